"""Other libraries, the real ones: they call us, we call them, and nobody is believed without a check."""

from __future__ import annotations

import math
import sys
import warnings
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import maxslope as ms
from maxslope import adapters
from maxslope.adapters.conversions import need
from maxslope.attacks import Effort, recipes
from nets import answers, conv, images

FAST = Effort((recipes.ifgsm(3), recipes.pgd(8)), "fast")
WEAK = Effort((recipes.pgd(0),), "nothing")
NET = conv().requires_grad_(False)
X = images(24)
Y = answers(NET, X)
EPS = 0.1


def package(name: str) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what others deprecate is theirs
        return pytest.importorskip(name, reason=f"{name} is not installed")


@pytest.fixture(scope="module")
def foolbox() -> ModuleType:
    return package("foolbox")


@pytest.fixture(scope="module")
def torchattacks() -> ModuleType:
    return package("torchattacks")


@pytest.fixture(scope="module")
def classifier() -> Any:
    package("art.estimators.classification")
    return art_classifier(NET)


def art_classifier(net: nn.Module, **options: Any) -> Any:
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        net, loss=nn.CrossEntropyLoss(), input_shape=(1, 8, 8), nb_classes=5, clip_values=(0.0, 1.0), device_type="cpu",
        **options,
    )  # fmt: skip


def broken_at(points: Tensor) -> Tensor:
    return NET(points).argmax(1) != Y


def assert_allowed(points: Tensor, norm: float, eps: float) -> None:
    far = (points - X).flatten(1).norm(p=norm, dim=1)
    assert float(far.max()) <= eps * (1 + 1e-5)
    assert float(points.min()) >= 0
    assert float(points.max()) <= 1


# --- foolbox ---------------------------------------------------------------------------------------------------------


def test_a_foolbox_model_keeps_its_preprocessing_and_bounds(foolbox: ModuleType) -> None:
    fmodel = foolbox.PyTorchModel(NET, bounds=(0, 1), preprocessing={"mean": 0.2, "std": 0.5}, device="cpu")
    taken = adapters.from_foolbox(fmodel)
    assert taken.box == (0.0, 1.0)
    assert torch.allclose(taken.model(X), NET((X - 0.2) / 0.5))
    report = ms.evaluate(taken.model, (X, answers(lambda x: NET((x - 0.2) / 0.5), X)), ms.Linf(0.05), effort=FAST)
    assert report.clean_accuracy == 1.0


def test_our_attack_is_called_as_theirs(foolbox: ModuleType) -> None:
    fmodel = foolbox.PyTorchModel(NET, bounds=(0, 1), device="cpu")
    attack = adapters.as_foolbox(ms.Lp(math.inf), effort=FAST)
    assert isinstance(attack, foolbox.attacks.base.AttackWithDistance)
    raw, clipped, success = attack(fmodel, X, Y, epsilons=EPS)
    assert torch.equal(raw, clipped)
    assert_allowed(clipped, math.inf, EPS)
    assert torch.equal(success, broken_at(clipped))
    own = ms.attack(NET, X, Y, ms.Linf(EPS), effort=FAST)
    assert torch.equal(success, own.broken)
    assert torch.equal(raw, own.points)


def test_several_epsilons_and_none(foolbox: ModuleType) -> None:
    fmodel = foolbox.PyTorchModel(NET, bounds=(0, 1), device="cpu")
    attack = adapters.as_foolbox(ms.Lp(2), effort=FAST)
    raw, clipped, success = attack(fmodel, X, foolbox.criteria.Misclassification(Y), epsilons=[0.1, 0.5, None])
    assert len(raw) == len(clipped) == 3
    assert success.shape == (3, 24)
    assert success[0].sum() <= success[1].sum() <= success[2].sum()
    assert torch.equal(success[2], broken_at(raw[2]))
    smallest = attack(fmodel, X, Y, epsilons=None)[0]
    assert torch.equal(smallest, raw[2])
    assert repr(attack.distance) == repr(foolbox.distances.l2)
    for radii in (np.array([0.1, 0.5]), torch.tensor([0.1, 0.5]), (e for e in (0.1, 0.5))):
        assert torch.equal(attack(fmodel, X, Y, epsilons=radii)[2], success[:2])
    assert torch.equal(attack(fmodel, X, Y, epsilons=np.float64(0.5))[2], success[1])


def test_targets_and_repeats(foolbox: ModuleType) -> None:
    fmodel = foolbox.PyTorchModel(NET, bounds=(0, 1), device="cpu")
    attack = adapters.as_foolbox(ms.Lp(math.inf), effort=FAST)
    targets = (Y + 1) % 5
    points, _, success = attack(fmodel, X, foolbox.criteria.TargetedMisclassification(targets), epsilons=0.3)
    assert torch.equal(success, NET(points).argmax(1) == targets)
    again, _, _ = attack.repeat(2)(fmodel, X[:4], Y[:4], epsilons=EPS)
    assert again.shape == X[:4].shape


def test_misuse_in_the_manner_of_foolbox(foolbox: ModuleType) -> None:
    fmodel = foolbox.PyTorchModel(NET, bounds=(0, 1), device="cpu")
    attack = adapters.as_foolbox(ms.Lp(2), effort=FAST)
    with pytest.raises(TypeError, match="has an l_p norm"):
        adapters.as_foolbox("l2")
    with pytest.raises(TypeError, match="The criterion is labels"):
        attack(fmodel, X, foolbox.criteria.Misclassification(Y) & foolbox.criteria.Misclassification(Y), epsilons=EPS)
    with pytest.raises(TypeError, match="foolbox model such as PyTorchModel"):
        adapters.from_foolbox(NET)
    with pytest.raises(TypeError):
        attack(fmodel, X, Y, epsilons=EPS, steps=3)


# --- ART -------------------------------------------------------------------------------------------------------------


def test_an_art_classifier_keeps_its_preprocessing(classifier: Any) -> None:
    taken = adapters.from_art(classifier)
    assert taken.box == (0.0, 1.0)
    assert torch.allclose(taken.model(X), torch.from_numpy(classifier.predict(X.numpy())), atol=1e-5)
    shifted = art_classifier(NET, preprocessing=(0.2, 0.5))
    out = adapters.from_art(shifted).model(X.clone().requires_grad_())
    assert torch.allclose(out.detach(), torch.from_numpy(shifted.predict(X.numpy())), atol=1e-5)
    assert out.requires_grad


def test_an_art_classifier_without_or_with_boxes_of_pixels(classifier: Any) -> None:
    from art.estimators.classification import PyTorchClassifier

    free = PyTorchClassifier(NET, loss=None, input_shape=(1, 8, 8), nb_classes=5, device_type="cpu")
    assert adapters.from_art(free).box is None
    low, high = np.zeros((1, 8, 8), "float32"), np.ones((1, 8, 8), "float32")
    each = PyTorchClassifier(
        NET, loss=None, input_shape=(1, 8, 8), nb_classes=5, device_type="cpu", clip_values=(low, high)
    )
    box = adapters.from_art(each).box
    assert box is not None
    assert box[1].shape == (1, 8, 8)


def test_our_attack_generates_as_theirs(classifier: Any) -> None:
    from art.attacks import EvasionAttack

    attack = adapters.as_art(classifier, ms.Lp(math.inf), EPS, effort=FAST)
    assert isinstance(attack, EvasionAttack)
    points = attack.generate(X.numpy(), Y.numpy())
    assert points.dtype == np.float32
    assert_allowed(torch.from_numpy(points), math.inf, EPS)
    one_hot = nn.functional.one_hot(Y, 5).numpy()
    assert (attack.generate(X.numpy(), one_hot) == points).all()
    assert (attack.generate(X.numpy()) == points).all()  # Y are the classifier's own answers
    own = ms.attack(NET, X, Y, ms.Linf(EPS), effort=FAST)
    assert torch.equal(broken_at(torch.from_numpy(points)), own.broken)
    attack.set_params(eps=0.0)
    assert (attack.generate(X.numpy(), Y.numpy()) == X.numpy()).all()
    assert "eps=0.0" in repr(attack)


def test_targets_in_the_manner_of_art(classifier: Any) -> None:
    attack = adapters.as_art(classifier, ms.Lp(2), 2.0, effort=FAST, targeted=True)
    targets = (Y + 1) % 5
    points = torch.from_numpy(attack.generate(X.numpy(), targets.numpy()))
    own = ms.attack(NET, X, Y, ms.L2(2.0), effort=FAST, targets=targets)
    assert torch.equal(NET(points).argmax(1) == targets, own.broken)


def test_misuse_in_the_manner_of_art(classifier: Any) -> None:
    with pytest.raises(TypeError, match="takes ART's PyTorchClassifier, got Conv"):
        adapters.from_art(conv()[0])
    with pytest.raises(ValueError, match="needs the labels to reach"):
        adapters.as_art(classifier, ms.Lp(2), 0.1, targeted=True).generate(X.numpy())
    with pytest.raises(TypeError, match="x and y alone, got mask"):
        adapters.as_art(classifier, ms.Lp(2), 0.1).generate(X.numpy(), mask=None)
    with pytest.raises(ValueError, match="must not be negative"):
        adapters.as_art(classifier, ms.Lp(2), -0.1)


# --- torchattacks ----------------------------------------------------------------------------------------------------


def test_our_attack_is_a_torchattack(torchattacks: ModuleType) -> None:
    attack = adapters.as_torchattacks(NET, ms.Linf(EPS), effort=FAST)
    assert isinstance(attack, torchattacks.attack.Attack)
    points = attack(X, Y)
    assert_allowed(points, math.inf, EPS)
    assert torch.equal(broken_at(points), ms.attack(NET, X, Y, ms.Linf(EPS), effort=FAST).broken)


def test_modes_normalization_and_company(torchattacks: ModuleType) -> None:
    attack = adapters.as_torchattacks(NET, ms.Linf(0.3), effort=FAST)
    attack.set_mode_targeted_by_label(quiet=True)
    targets = (Y + 1) % 5
    own = ms.attack(NET, X, Y, ms.Linf(0.3), effort=FAST, targets=targets)
    assert torch.equal(NET(attack(X, targets)).argmax(1) == targets, own.broken)

    shifted = adapters.as_torchattacks(NET, ms.Linf(EPS), effort=FAST)
    shifted.set_normalization_used(mean=[0.2], std=[0.5])
    points = shifted((X - 0.2) / 0.5, answers(NET, (X - 0.2) / 0.5))
    assert float((points * 0.5 + 0.2 - X).abs().max()) <= EPS * (1 + 1e-4)

    both = torchattacks.MultiAttack(
        [torchattacks.PGD(NET, eps=EPS, steps=2), adapters.as_torchattacks(NET, ms.Linf(EPS))]
    )
    assert int(broken_at(both(X, Y)).sum()) >= int(broken_at(attack_alone(torchattacks)).sum())


def attack_alone(torchattacks: ModuleType) -> Tensor:
    points: Tensor = torchattacks.PGD(NET, eps=EPS, steps=2)(X, Y)
    return points


def test_misuse_in_the_manner_of_torchattacks(torchattacks: ModuleType) -> None:
    with pytest.raises(TypeError, match="The budget is a Budget"):
        adapters.as_torchattacks(NET, 0.1)


# --- AutoAttack and RobustBench --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_autoattack_is_replaced_by_one_line() -> None:
    adversary = adapters.AutoAttack(NET, norm="Linf", eps=EPS)
    x, y = X[:10], Y[:10]
    points, labels = adversary.run_standard_evaluation(x, y, bs=16, return_labels=True)
    assert torch.equal(points, adversary.run_standard_evaluation(x, y, bs=16))
    assert torch.equal(labels, NET(points).argmax(1))
    assert float((points - x).abs().max()) <= EPS * (1 + 1e-5)
    own = ms.evaluate(NET, (x, y), ms.Linf(EPS), batch_size=16)
    assert float((labels == y).float().mean()) == pytest.approx(own.robust_accuracy)
    assert 0 < own.robust_accuracy < 1
    unmoved = (points == x).flatten(1).all(1)
    assert torch.equal(unmoved, labels == y)
    assert adversary.clean_accuracy(x, (y + 1) % 5) == 0.0


def test_the_real_autoattack_finds_about_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where AutoAttack is installed: one attack in steps finds no sample that we do not, and the calls agree."""
    autoattack = package("pyautoattack")
    monkeypatch.setattr(sys, "settrace", lambda tracer: None)  # it takes away the tracer that measures coverage
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = autoattack.AutoAttack(
            NET, norm="Linf", eps=EPS, version="custom", attacks=["apgd-ce"], device="cpu", seed=0
        )
        points = theirs.run_standard_evaluation(X, Y, batch_size=24)[0]
    ours = adapters.AutoAttack(NET, norm="Linf", eps=EPS).run_standard_evaluation(X, Y, bs=24)
    assert points.shape == ours.shape
    assert bool((broken_at(ours) >= broken_at(points)).all())
    assert int(broken_at(points).sum()) > 0


@pytest.mark.slow
def test_a_state_path_keeps_the_run(tmp_path: Any) -> None:
    adversary = adapters.AutoAttack(NET, norm="L2", eps=0.5, version="standard", seed=3, device="cpu")
    first = adversary.run_standard_evaluation(X[:4], Y[:4], state_path=tmp_path / "run")
    points, labels = adversary.run_standard_evaluation(X[:4], Y[:4], state_path=tmp_path / "run", return_labels=True)
    assert torch.equal(points, first)
    assert torch.equal(labels, NET(first).argmax(1))


def test_what_was_found_is_logged(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="maxslope"):
        file = tmp_path / "log.txt"
        adversary = adapters.AutoAttack(NET, "Linf", 0.05, device="cpu", verbose=True, log_path=str(file))
        adversary.run_standard_evaluation(X[:4], Y[:4])
    assert "robust accuracy" in caplog.text
    assert file.read_text().count("robust accuracy") == 1


def test_benchmark_gives_both_accuracies() -> None:
    clean, robust = adapters.benchmark(NET, n_examples=6, dataset=(X, Y), threat_model="Linf", eps=EPS)
    report = ms.evaluate(NET, (X[:6], Y[:6]), ms.Linf(EPS), batch_size=32)
    assert (clean, robust) == (report.clean_accuracy, report.robust_accuracy)


def test_benchmark_asks_robustbench_for_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """By RobustBench's documented interface, stood in for here: the names and the order of arguments of its loader."""
    import enum
    from types import ModuleType as Module

    data, enums, zoo, root = (Module(f"robustbench{n}") for n in (".data", ".model_zoo.enums", ".model_zoo", ""))
    enums.BenchmarkDataset = enum.Enum("BenchmarkDataset", {"cifar_10": "cifar10"})
    enums.ThreatModel = enum.Enum("ThreatModel", {"Linf": "Linf", "L2": "L2"})
    data.get_preprocessing = lambda dataset, threat, name, preprocessing: "ready"
    data.load_clean_dataset = lambda dataset, n, folder, ready: (X[:n], Y[:n])
    for module in (root, zoo, enums, data):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    clean, _ = adapters.benchmark(NET, 6, "cifar10", "L2", eps=0.1, version="standard")
    assert clean == 1.0
    with pytest.raises(ValueError, match="not a valid BenchmarkDataset"):
        adapters.benchmark(NET, 6, "cifar-none", "L2", eps=0.1)


def test_misuse_in_the_manner_of_autoattack() -> None:
    with pytest.raises(ValueError, match="norm is one of Linf, L2, L1, got 'L3'"):
        adapters.AutoAttack(NET, norm="L3")
    with pytest.raises(ValueError, match="version is one of standard, plus, got 'rand'"):
        adapters.AutoAttack(NET, version="rand")
    with pytest.raises(ImportError, match="pip install no_such_package"):
        need("no_such_package.data", "")
    with pytest.raises(ImportError, match=r'pip install "maxslope\[foolbox\]"'):
        need("no_such_package", "foolbox")


# --- second opinions -------------------------------------------------------------------------------------------------


def opinion(*peers: adapters.Peer, budget: Any = None) -> tuple[Any, Any]:
    budget = ms.Linf(EPS) if budget is None else budget
    report = ms.evaluate(NET, (X, Y), budget, effort=WEAK)
    return report, adapters.second_opinion(report, NET, (X, Y), budget, *peers)


def check_merge(before: Any, after: Any) -> None:
    """Verdicts only fall, and every break is real."""
    verdicts = list(zip(before.table["verdict"], after.table["verdict"], strict=True))
    assert set(verdicts) <= {("robust", "robust"), ("robust", "broken"), ("broken", "broken")}
    assert_allowed(after.points, math.inf, EPS)
    broken = torch.tensor([v == "broken" for v in after.table["verdict"]])
    assert torch.equal(broken, broken_at(after.points) | torch.zeros_like(broken))
    for i in broken.nonzero().flatten().tolist():
        assert after.table["margin"][i] < 0
        assert after.table["distance"][i] == pytest.approx(float((after.points[i] - X[i]).abs().max()), abs=1e-6)


def test_the_real_attacks_of_others_are_verified_and_merged(
    foolbox: ModuleType, torchattacks: ModuleType, classifier: Any
) -> None:
    from art.attacks.evasion import FastGradientMethod

    global_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    peers = [
        adapters.Foolbox(foolbox.attacks.LinfFastGradientAttack()),
        adapters.Torchattack(torchattacks.PGD(NET, eps=EPS, alpha=EPS / 2, steps=5)),
        adapters.Art(FastGradientMethod(classifier, eps=EPS)),
    ]
    for peer in peers:
        before, after = opinion(peer)
        check_merge(before, after)
        assert after.robust_accuracy < before.robust_accuracy
        assert after.warnings[-1].seen.startswith(f"{peer.name} broke")
        assert any(peer.name in reason for reason in after.table["reason"])
    before, after = opinion(*peers)
    check_merge(before, after)
    assert after.forward_per_sample > before.forward_per_sample
    assert torch.equal(torch.get_rng_state(), global_state[0])
    assert (np.random.get_state()[1] == global_state[1]).all()


def test_points_outside_are_brought_back_and_counted() -> None:
    liar = adapters.FunctionPeer("liar", lambda model, x, y, budget: 1 - x)
    before, after = opinion(liar)
    check_merge(before, after)
    assert "had left the budget" in after.warnings[-1]


def test_points_that_are_no_numbers_break_nothing() -> None:
    broken = adapters.FunctionPeer("broken", lambda model, x, y, budget: x * torch.nan)
    before, after = opinion(broken)
    assert after.robust_accuracy == before.robust_accuracy
    assert "24 of its points had left the budget" in after.warnings[-1]


def test_nobody_is_asked_when_nobody_stands() -> None:
    report = ms.evaluate(NET, (X, Y), ms.Linf(1.0), effort=FAST)
    never = adapters.FunctionPeer("never", lambda model, x, y, budget: pytest.fail("asked"))
    after = adapters.second_opinion(report, NET, (X, Y), ms.Linf(1.0), never)
    assert after.robust_accuracy == report.robust_accuracy == 0


def test_a_function_goes_to_foolbox_too(foolbox: ModuleType) -> None:
    report = ms.evaluate(NET, (X, Y), ms.Linf(EPS), effort=WEAK)
    peer = adapters.Foolbox(foolbox.attacks.LinfFastGradientAttack(), name="mine")
    after = adapters.second_opinion(report, NET.forward, (X, Y), ms.Linf(torch.full((24,), EPS)), peer)
    assert after.robust_accuracy < 1
    with pytest.raises(ValueError, match="knows one eps"):
        adapters.second_opinion(report, NET, (X, Y), ms.Linf(torch.linspace(0, EPS, 24)), peer)
    with pytest.raises(ValueError, match="bounds that are two numbers"):
        adapters.second_opinion(report, NET, (X, Y), ms.Linf(EPS, box=None), peer)


def test_misuse_of_a_second_opinion() -> None:
    report = ms.evaluate(NET, (X, Y), ms.Linf(EPS), effort=WEAK)
    with pytest.raises(TypeError, match="is a Peer such as"):
        adapters.second_opinion(report, NET, (X, Y), ms.Linf(EPS), "pgd")
    with pytest.raises(ValueError, match="23 samples for 24 rows"):
        adapters.second_opinion(report, NET, (X[1:], Y[1:]), ms.Linf(EPS))
    with pytest.raises(ValueError, match=r"wrong must return points \(24, 1, 8, 8\), got \(24,\)"):
        opinion(adapters.FunctionPeer("wrong", lambda model, x, y, budget: y))
    with pytest.raises(ValueError, match="got str"):
        opinion(adapters.FunctionPeer("wrong", lambda model, x, y, budget: "x"))


def test_a_run_of_ours_goes_on_where_theirs_ended(foolbox: ModuleType) -> None:
    peer = adapters.Foolbox(foolbox.attacks.LinfFastGradientAttack())
    recipe = adapters.continued(peer, NET, steps=5)
    alone = opinion(peer)[1]
    report = ms.evaluate(NET, (X, Y), ms.Linf(EPS), effort=Effort((recipe,), "theirs and ours"))
    assert report.robust_accuracy <= alone.robust_accuracy
    mixed = Effort((*Effort.quick().runs[:2], recipe), "mixed")
    assert ms.evaluate(NET, (X, Y), ms.Linf(EPS), effort=mixed).robust_accuracy <= report.robust_accuracy + 1 / 24
