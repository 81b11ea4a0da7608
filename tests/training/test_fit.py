"""fit: the same weights whatever interrupted it and however many processes shared it; means, checks, curves."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)

import maxslope as ms
from maxslope import _random
from maxslope.attacks.starts import Clean
from maxslope.loop import Steps, flow
from maxslope.schemes import Explicit
from maxslope.spaces import Lp
from maxslope.spaces.parameters import Layered, Layout
from maxslope.training import (
    AdversarialRisk,
    Callback,
    Check,
    Checkpoint,
    Inner,
    Plan,
    Pointwise,
    Trace,
    distributed,
    fit,
    processes,
    world,
)
from maxslope.training.fit import _Weights
from maxslope.training.memory import Memory
from maxslope.training.run import Beside, Run
from maxslope.training.source import Source, order
from maxslope.training.weights import WeightRisk
from training._two import data, net, train

HERE = Path(__file__).parent
X, Y = data()
BUDGET = ms.Linf(0.05)
TINY = Plan(epochs=2, batch_size=20)


def flat(model: nn.Module) -> Tensor:
    return torch.cat([t.detach().double().reshape(-1) for t in model.state_dict().values()])


def sgd(rate: float) -> Callable[..., torch.optim.Optimizer]:
    return lambda parameters: torch.optim.SGD(parameters, rate)


def constant(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)


# --- what a fit is --------------------------------------------------------------------------------------------------


def test_fit_is_the_loop_one_would_write() -> None:
    """Same batches, same objective, same optimizer, by hand: the same weights to the last bit."""
    plan = Plan(epochs=3, batch_size=30, optimizer=sgd(0.3), schedule=constant)
    mine, theirs = net(), net()
    fitted = fit(mine, (X, Y), AdversarialRisk(BUDGET), plan, seed=5)
    objective, optimizer = AdversarialRisk(BUDGET), sgd(0.3)(theirs.parameters())
    for epoch in range(3):
        for rows in order(5, epoch, 100)[:90].split(30):
            optimizer.zero_grad()
            objective(theirs, X[rows], Y[rows], rows).backward()
            optimizer.step()
    assert torch.equal(flat(mine), flat(theirs))
    assert (fitted.step, fitted.status, len(fitted.history)) == (9, ms.Status.FINISHED, 3)
    assert fitted.network is mine
    assert not mine.training
    assert fitted.history[-1]["loss"] < fitted.history[0]["loss"]
    assert fitted.spent["samples"] == 270
    assert world().size == 1


def test_the_order_and_the_global_generator() -> None:
    assert sorted(order(0, 1, 50).tolist()) == list(range(50))
    assert order(0, 1, 50).tolist() != order(0, 2, 50).tolist() != order(1, 2, 50).tolist()
    model = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.Linear(8, 3)).double()
    start = {k: v.clone() for k, v in model.state_dict().items()}
    results = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        model.load_state_dict(start)
        fit(model, (X, Y), AdversarialRisk(BUDGET), TINY)
        assert torch.equal(state, torch.get_rng_state())
        results.append(flat(model))
    assert torch.equal(*results)


@pytest.mark.parametrize("number", [0, 3, -2, 2**63 - 1, 2**64 - 1])
def test_a_number_makes_the_key_that_a_tensor_makes(number: int) -> None:
    ids = torch.arange(4)
    word = torch.full_like(ids, (number + 2**63) % 2**64 - 2**63)
    assert torch.equal(_random.keys(5, number, ids, number), _random.keys(5, word, ids, word))
    assert torch.equal(_random.keys(number, number), _random.keys(number, word)[:1])
    assert _random.keys(0, ids).unique().numel() == 4


def test_the_result_depends_on_the_seed_alone() -> None:
    a, b, c = net(), net(), net()
    fit(a, (X, Y), AdversarialRisk(BUDGET), TINY, seed=1)
    fit(b, TensorDataset(X, Y), AdversarialRisk(BUDGET), TINY, seed=1)
    fit(c, (X, Y), AdversarialRisk(BUDGET), TINY, seed=2)
    assert torch.equal(flat(a), flat(b))
    assert not torch.equal(flat(a), flat(c))


def test_frozen_parts_stay_frozen() -> None:
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)).double().train()
    model[1].eval()
    model[0].requires_grad_(False)
    before, first = model[1].running_mean.clone(), model[0].weight.clone()
    fit(model, (X, Y), AdversarialRisk(BUDGET), TINY)
    assert torch.equal(model[1].running_mean, before)
    assert torch.equal(model[0].weight, first)
    moving = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)).double().eval()
    fit(moving, (X, Y), AdversarialRisk(BUDGET), TINY)
    assert moving[1].num_batches_tracked.item() == 10  # one a step


def test_augmentation_is_keyed_by_sample_and_epoch() -> None:
    seen: list[tuple[int, ...]] = []

    def jitter(x: Tensor, key: Tensor) -> Tensor:
        seen.append(tuple(sorted(key.tolist())))
        return (x + 0.01 * _random.normal(key, x.shape[1:])).clamp(0, 1)

    fit(net(), (X, Y), AdversarialRisk(BUDGET), Plan(epochs=2, batch_size=50), transform=jitter)
    assert set(seen[0]) | set(seen[1]) == set(_random.keys(0, 7, torch.arange(100), 0).tolist())
    assert set(seen[2]) | set(seen[3]) == set(_random.keys(0, 7, torch.arange(100), 1).tolist())


def test_a_training_has_no_value_to_look_at() -> None:
    run = Run(net(), AdversarialRisk(BUDGET), TINY, Source((X, Y), 20, 0, 0, 0, 1), 0, Beside())
    weights = _Weights(run)
    with pytest.raises(NotImplementedError, match="WeightRisk"):
        weights.look(torch.zeros(1, 1))
    assert weights.take(torch.tensor([0])) is weights
    assert (weights.passes, run.step) == (1, 0)


# --- interruptions --------------------------------------------------------------------------------------------------


class KilledError(Exception):
    """Raised in place of a signal."""


@pytest.mark.parametrize(("seed", "every"), [(0, None), (1, 3), (2, 1)])
def test_killed_anywhere_and_resumed_the_weights_are_the_same(tmp_path: Path, seed: int, every: int | None) -> None:
    whole = net()
    reference = train(whole, seed=seed)
    kills = sorted((_random.bits(_random.keys(seed, 3), (3,))[0] % 48 + 1).tolist())
    for kill in kills:

        def die(moment: Any, kill: int = kill) -> None:
            if moment.step >= kill:
                raise KilledError

        with pytest.raises(KilledError):
            train(net(), tmp_path / "run.pt", seed, every=every, progress=die)
    last = net(7)  # what it starts from no longer matters where there is a checkpoint
    if not (tmp_path / "run.pt").exists():
        last = net()
    resumed = train(last, tmp_path / "run.pt", seed, every=every)
    assert torch.equal(flat(whole), flat(last))
    assert strip(resumed.history) == strip(reference.history)
    assert resumed.spent == reference.spent
    again = train(net(9), tmp_path / "run.pt", seed, every=every)  # finished: nothing is left to do
    assert torch.equal(flat(again.network), flat(last))
    assert list(tmp_path.iterdir()) == [tmp_path / "run.pt"]


def strip(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in record.items() if k != "seconds"} for record in history]


def test_means_schedules_and_traces_are_resumed_too(tmp_path: Path) -> None:
    def run(model: nn.Module, path: Path | None, stop: int | None) -> ms.training.Fitted:
        def die(moment: Any) -> None:
            if moment.step == stop:
                raise KilledError

        trace = Trace(AdversarialRisk(BUDGET), X[:10], Y[:10], every=2)
        keep = None if path is None else Checkpoint(path, every=4)
        plan = Plan(epochs=2, batch_size=20, average=0.9)
        return fit(model, (X, Y), AdversarialRisk(BUDGET), plan, checkpoint=keep, trace=trace, progress=die)

    whole = run(net(), None, None)
    with pytest.raises(KilledError):
        run(net(), tmp_path / "a.pt", 7)
    resumed = run(net(3), tmp_path / "a.pt", None)
    assert torch.equal(flat(whole.network), flat(resumed.network))
    assert whole.curve is not None
    assert resumed.curve is not None
    assert torch.equal(whole.curve.points, resumed.curve.points)
    assert torch.equal(whole.curve.energy, resumed.curve.energy)
    assert whole.curve.time.tolist() == resumed.curve.time.tolist()


def test_a_kill_while_saving_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = Checkpoint(tmp_path / "c.pt")
    checkpoint.save({"fingerprint": {"a": 1}, "x": torch.ones(1)})

    def torn(state: Any, file: Any) -> None:
        file.write(b"half a file")
        raise KilledError

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(KilledError):
        checkpoint.save({"fingerprint": {"a": 1}, "x": torch.zeros(1)})
    state = checkpoint.read()
    assert state is not None
    assert state["x"].item() == 1
    checkpoint.compare(state, {"a": 1})
    with pytest.raises(ValueError, match="another training"):
        checkpoint.compare(state, {"a": 2})
    assert Checkpoint(tmp_path / "none.pt").read() is None


def test_a_full_disk_leaves_the_old_checkpoint_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Checkpoint(tmp_path / "c.pt")
    checkpoint.save({"fingerprint": {"a": 1}})

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="make room or get permission, then resume"):
            checkpoint.save({"fingerprint": {"a": 2}})
    assert checkpoint.read() == {"fingerprint": {"a": 1}}
    assert list(tmp_path.iterdir()) == [tmp_path / "c.pt"]


# --- several processes ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    """50 steps in float64 with warm starts, a guard and checks: weights agree to 1e-5 (here to rounding)."""
    words = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(
        [sys.executable, *words, str(HERE / "_two.py"), str(tmp_path / "two.pt")],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    two = torch.load(tmp_path / "two.pt")
    assert two["size"] == 2
    model = net()
    one = train(model)
    assert one.step == 50
    other = net()
    other.load_state_dict(two["weights"])
    assert float((flat(model) - flat(other)).abs().max()) <= 1e-10
    for a, b in zip(strip(one.history), strip(two["history"]), strict=True):
        assert a == pytest.approx(b, rel=1e-9)


# --- the plan -------------------------------------------------------------------------------------------------------


def test_the_mean_of_the_weights() -> None:
    plan = Plan(epochs=2, batch_size=50, optimizer=sgd(0.1), schedule=constant, average=0.5)
    model, by_hand = net(), net()
    fitted = fit(model, (X, Y), AdversarialRisk(BUDGET), plan)
    mean = AveragedModel(by_hand, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=True)
    objective, optimizer = AdversarialRisk(BUDGET), sgd(0.1)(by_hand.parameters())
    for epoch in range(2):
        for rows in order(0, epoch, 100).split(50):
            optimizer.zero_grad()
            objective(by_hand, X[rows], Y[rows], rows).backward()
            optimizer.step()
            mean.update_parameters(by_hand)
    assert torch.equal(flat(fitted.network), flat(mean.module))
    assert torch.equal(flat(model), flat(by_hand))


def test_checks_keep_the_best_weights_and_stop() -> None:
    """A learning rate that explodes after the first epoch: the best weights are the early ones."""

    def wild(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 if step < 15 else 1e4)

    effort = ms.Effort((ms.recipes.pgd(3),))
    model = net()
    plan = Plan(epochs=12, batch_size=20, optimizer=sgd(0.5), schedule=wild)
    check = Check(X, Y, BUDGET, effort=effort, patience=2)
    fitted = fit(model, (X, Y), AdversarialRisk(BUDGET), plan, check=check)
    robust = [record["robust"] for record in fitted.history]
    assert fitted.status == ms.Status.STOPPED
    assert fitted.step < 60
    assert robust[-1] <= max(robust)
    report = ms.evaluate(fitted.network, (X, Y), BUDGET, effort=effort, probe=False)
    assert report.robust_accuracy == pytest.approx(max(robust))
    assert fitted.history[robust.index(max(robust))]["clean"] == pytest.approx(report.clean_accuracy)


def test_a_loss_that_is_not_finite_ends_the_training_with_a_status() -> None:
    class Breaks(nn.Linear):
        def __init__(self) -> None:
            super().__init__(5, 3)
            self.calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += self.training and torch.is_grad_enabled()  # the look at the model takes no gradients
            return super().forward(x) * (torch.nan if self.calls > 3 else 1.0)

    model = Breaks().double()
    with torch.no_grad():
        model.weight.fill_(0.1)
    fitted = fit(model, (X, Y), AdversarialRisk(BUDGET), TINY)
    assert (fitted.status, fitted.step) == (ms.Status.NON_FINITE, 3)
    assert bool(flat(model).isfinite().all())


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_mixed_precision(precision: torch.dtype) -> None:
    x = X.float()
    model = net().float()
    full = net().float()
    fit(full, (x, Y), AdversarialRisk(BUDGET), TINY)
    fitted = fit(model, (x, Y), AdversarialRisk(BUDGET), Plan(epochs=2, batch_size=20, precision=precision))
    assert fitted.step == 10
    assert model[0].weight.dtype == torch.float32
    assert float((flat(model) - flat(full)).abs().max()) < 0.05


# --- what a user has: loaders, arrays, optimizers, schedules, callbacks ---------------------------------------------


class Pairs(Dataset[Any]):
    """Samples as numpy has them."""

    def __getitem__(self, i: int) -> Any:
        return X[i].numpy(), int(Y[i])

    def __len__(self) -> int:
        return 100


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(zip(X, Y, strict=True))


@pytest.mark.parametrize(
    ("given", "plan"),
    [
        ((X.numpy(), Y.numpy()), TINY),
        ((X.float().double().numpy().astype("f4"), Y.numpy()), TINY),  # in the model's precision
        (TensorDataset(X, Y), TINY),
        (Pairs(), TINY),
        (DataLoader(TensorDataset(X, Y), batch_size=20, shuffle=True), Plan(epochs=2)),
        (DataLoader(Pairs(), batch_size=20, num_workers=0), TINY),
        (DataLoader(Pairs(), batch_size=20, collate_fn=default_collate), Plan(epochs=2)),
    ],
    ids=["arrays", "single precision", "TensorDataset", "Dataset", "shuffled loader", "loader", "collate"],
)
def test_data_in_any_form_train_the_same_weights(given: Any, plan: Plan) -> None:
    reference, model = net(), net()
    x = torch.as_tensor(given[0]).double() if isinstance(given, tuple) else X
    fit(reference, (x, Y), AdversarialRisk(BUDGET), TINY)
    fit(model, given, AdversarialRisk(BUDGET), plan)
    assert torch.equal(flat(reference), flat(model))


@pytest.mark.parametrize(
    ("given", "plan", "error", "said"),
    [
        (DataLoader(Stream(), batch_size=5), TINY, TypeError, "a stream has no order to be keyed by the seed"),
        ("mine.npz", TINY, TypeError, "maxslope.evaluation.reader.readable"),
        (DataLoader(Pairs(), batch_size=10), TINY, ValueError, "loader's batch size is 10 and the plan's 20"),
        (
            DataLoader(Pairs(), sampler=WeightedRandomSampler([1.0] * 100, 9)),
            Plan(epochs=1),
            ValueError,
            "draws by its",
        ),
        (DataLoader(Pairs(), batch_sampler=[[1, 2]]), Plan(epochs=1), ValueError, "says no batch size"),
    ],
)
def test_data_that_cannot_be_trained_on(given: Any, plan: Plan, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        fit(net(), given, AdversarialRisk(BUDGET), plan)


def rates(plan: Plan, model: nn.Module, **more: Any) -> list[float]:
    return [record["rate"] for record in fit(model, (X, Y), AdversarialRisk(BUDGET), plan, **more).history]


LR = torch.optim.lr_scheduler


@pytest.mark.parametrize(
    "kind", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam", "Adamax", "Adadelta", "ASGD", "Rprop"]
)
def test_any_optimizer_as_class_function_or_instance(kind: str) -> None:
    made = getattr(torch.optim, kind)
    models = [net() for _ in range(3)]
    forms = [made, partial(made, lr=made(models[0].parameters()).defaults["lr"]), made(models[2].parameters())]
    for model, optimizer in zip(models, forms, strict=True):
        fit(model, (X, Y), AdversarialRisk(BUDGET), Plan(epochs=1, batch_size=50, optimizer=optimizer))
    assert torch.equal(flat(models[0]), flat(models[1]))
    assert torch.equal(flat(models[0]), flat(models[2]))
    assert not torch.equal(flat(models[0]), flat(net()))


def test_any_schedule() -> None:
    step = partial(LR.StepLR, step_size=2, gamma=0.1)
    assert rates(Plan(2, 50, sgd(0.1), step), net()) == pytest.approx([0.01, 0.001])  # after each step
    assert rates(Plan(2, 50, sgd(0.1), step, per_epoch=True), net()) == pytest.approx([0.1, 0.1])
    assert rates(Plan(2, 50, sgd(0.1), None), net()) == [0.1, 0.1]
    cosine = rates(Plan(2, 50, sgd(0.1), LR.CosineAnnealingLR), net())  # its length is that of the training
    assert cosine == pytest.approx([0.05, 0.0])
    flat_loss = partial(LR.ReduceLROnPlateau, patience=0, threshold=1e9)
    assert rates(Plan(4, 50, sgd(0.1), flat_loss), net())[-1] < 0.1
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert rates(Plan(2, 50, optimizer, LR.ExponentialLR(optimizer, 0.5)), model) == pytest.approx([0.025, 0.00625])
    robust = partial(LR.ReduceLROnPlateau, mode="max", patience=0, threshold=1e9)
    with pytest.raises(ValueError, match="needs check="):
        rates(Plan(2, 50, sgd(0.1), robust), net())
    check = Check(X[:5], Y[:5], BUDGET, effort=ms.Effort((ms.recipes.ifgsm(1),)))
    assert rates(Plan(3, 50, sgd(0.1), robust), net(), check=check)[-1] < 0.1
    momenta = [g["momentum"] for g in optimizer.param_groups]
    assert momenta == [0]


def test_one_cycle_leaves_an_optimizer_without_momentum_without() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fit(model, (X, Y), AdversarialRisk(BUDGET), Plan(1, 50, optimizer))
    assert optimizer.param_groups[0]["momentum"] == 0


def foreign() -> Plan:
    return Plan(1, 50, torch.optim.SGD(net().parameters(), lr=0.1))


@pytest.mark.parametrize(
    ("plan", "error", "said"),
    [
        (foreign, ValueError, "got 4 parameters of something else; make it of model.parameters"),
        (lambda: Plan(1, 50, 0.1), TypeError, "one of torch.optim, such as SGD"),
        (lambda: Plan(1, 50, lambda parameters: 3), TypeError, "got int from <lambda>"),
        (lambda: Plan(1, 50, torch.optim.LBFGS), ValueError, "LBFGS"),
        (lambda: Plan(1, 50, schedule=3), TypeError, "A schedule is a scheduler of torch"),
        (lambda: Plan(1, 50, schedule=lambda optimizer: 3), TypeError, "got int"),
        (
            lambda: Plan(1, 50, schedule=LR.StepLR(torch.optim.SGD(net().parameters(), lr=0.1), 2)),
            ValueError,
            "got one of another optimizer; give both",
        ),
    ],
)
def test_optimizers_and_schedules_that_do_not_fit(plan: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        fit(net(), (X, Y), AdversarialRisk(BUDGET), plan())


def test_callbacks_hear_all_and_may_end_it() -> None:
    heard: list[str] = []
    listen = Callback(
        step=lambda moment: heard.append(f"step {moment.step}"),
        epoch=lambda moment: heard.append(f"epoch {moment.epoch} {'loss' in moment.last}"),
        end=lambda fitted: heard.append(f"end {fitted.step}"),
    )
    model = net()
    fitted = fit(model, (X, Y), AdversarialRisk(BUDGET), Plan(2, 50), callbacks=[listen])
    wanted = ["step 1", "step 2", "epoch 1 True", "step 3", "step 4", "epoch 2 True", "end 4"]
    assert heard == wanted
    assert fitted.network is model
    stop = Callback(epoch=lambda moment: moment.network is not None and moment.epoch == 1)
    ended = fit(net(), (X, Y), AdversarialRisk(BUDGET), Plan(9, 50), callbacks=[stop])
    assert (ended.status, ended.step, len(ended.history)) == (ms.Status.STOPPED, 2, 1)
    early = fit(net(), (X, Y), AdversarialRisk(BUDGET), Plan(9, 50), callbacks=[Callback(step=lambda m: m.step == 3)])
    assert (early.status, early.step) == (ms.Status.STOPPED, 3)
    with pytest.raises(TypeError, match="got function among them"):
        fit(net(), (X, Y), AdversarialRisk(BUDGET), TINY, callbacks=[rates])


# --- the geometric view ---------------------------------------------------------------------------------------------


def test_gradient_descent_is_the_explicit_flow_of_weights() -> None:
    """Full-batch SGD through fit, and flow with rate 2 in l_2 on the same energy: the same curve."""
    objective = AdversarialRisk(Pointwise(BUDGET, Inner(steps=2, warm=False, start=Clean())))
    model = net()
    energy = WeightRisk(net(), objective, X, Y)
    curve = flow(energy, energy.row, scheme=Explicit(0.2, Lp(2), rate=2), until=Steps(6))
    plan = Plan(epochs=6, batch_size=100, optimizer=sgd(0.2), schedule=constant)
    fitted = fit(model, (X, Y), objective.fresh(), plan, trace=Trace(objective, X, Y))
    assert fitted.curve is not None
    torch.testing.assert_close(fitted.curve.points, curve.points, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(fitted.curve.energy, curve.energy, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(fitted.curve.slope, curve.slope, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(fitted.curve.time, curve.time)
    torch.testing.assert_close(fitted.curve.defect(), curve.defect())


def test_the_dissipation_of_training_closes_as_steps_shrink() -> None:
    energy = WeightRisk(net(), AdversarialRisk(Pointwise(BUDGET, Inner(steps=1, start=Clean()))), X, Y)
    defects = []
    for tau in (0.2, 0.1, 0.05):
        curve = flow(energy, energy.row, scheme=Explicit(tau, Lp(2), rate=2), until=1.0)
        defects.append(float(curve.defect().abs()) / float(curve.energy[0] - curve.energy[-1]))
    assert defects[2] < defects[1] < defects[0]
    assert defects[2] < 0.02
    assert defects[0] / defects[2] > 3  # order one at least


def test_the_risk_is_a_function_of_the_weights_and_leaves_the_model_alone() -> None:
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.GELU(), nn.Linear(6, 3)).double().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    objective = AdversarialRisk(BUDGET)
    energy = WeightRisk(model, objective, X, Y)
    rows = torch.cat([energy.row, energy.row + 0.1])
    e = energy.evaluate(rows)
    torch.testing.assert_close(energy.look(rows).value, e.value)
    assert torch.equal(energy.take(torch.tensor([0])).evaluate(rows).value, e.value)
    step = 1e-6 * torch.eye(rows.shape[1]).double()[:3]
    slopes = (energy.look(energy.row + step).value - energy.look(energy.row - step).value) / 2e-6
    torch.testing.assert_close(e.gradient[0, :3], slopes, rtol=1e-4, atol=1e-7)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert model.training
    assert model[1].training
    assert objective.spent["samples"] == 0
    assert energy.passes == 1


def test_weights_as_a_row() -> None:
    model = net()
    layout = Layout.of(model)
    row = layout.row(model)
    assert row.shape == (1, 5 * 12 + 12 + 12 * 3 + 3)
    assert layout.sizes == (60, 12, 36, 3)
    assert float(layout.gradient(model).abs().max()) == 0
    model(X).sum().backward()
    assert float(layout.gradient(model)[0, -3:].min()) == 100
    layout.load(model, row + 1)
    torch.testing.assert_close(layout.row(model), row + 1)
    with pytest.raises(ValueError, match="no parameter that requires a gradient"):
        Layout.of(nn.ReLU())


@pytest.mark.parametrize(("outer", "inner"), [(1, 2), (2, 1), (torch.inf, 1.5), (1.5, torch.inf), (3, 2), (2, 2)])
def test_the_layered_norm_obeys_the_laws_of_a_space(outer: float, inner: float) -> None:
    space = Layered(Lp(outer), Lp(inner), (3, 1, 4))
    xi, v = torch.randn(40, 8).double(), torch.randn(40, 8).double()
    xi[0] = 0
    way = space.steepest(xi)
    torch.testing.assert_close((xi * way).sum(1), -space.dual_norm(xi))
    assert float(space.norm(way).max()) <= 1 + 1e-12
    assert bool((way[0] == 0).all())
    assert bool(((xi * v).sum(1).abs() <= space.dual_norm(xi) * space.norm(v) * (1 + 1e-12)).all())
    assert bool((space.norm(xi + v) <= space.norm(xi) + space.norm(v) + 1e-12).all())
    draws = space.sample(_random.keys(0, torch.arange(4000)), torch.empty(4000, 8))
    size = space.norm(draws.double())
    assert float(size.max()) <= 1 + 1e-6
    # uniform in a ball of dimension 8: |v|^8 is uniform in [0, 1]
    assert float((size**8).mean()) == pytest.approx(0.5, abs=0.02)
    if outer == inner:
        torch.testing.assert_close(space.norm(v), Lp(outer).norm(v))


def test_layerwise_descent_moves_every_layer_equally_far() -> None:
    energy = WeightRisk(net(), AdversarialRisk(BUDGET), X, Y)
    space = Layered(Lp(torch.inf), Lp(2), energy.layout.sizes)
    curve = flow(energy, energy.row, scheme=Explicit(0.01, space), until=Steps(3))
    way = (curve.points[1] - curve.points[0]).split(list(energy.layout.sizes), 1)
    assert [float(part.norm()) for part in way] == pytest.approx([0.01] * 4)
    assert float(curve.energy[-1]) < float(curve.energy[0])


# --- misuse ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: fit(net(), (X, Y), "risk"), TypeError, "an Objective such as"),
        (lambda: fit(len, (X, Y), AdversarialRisk(BUDGET)), TypeError, "builtin"),
        (lambda: fit(net(), [X], AdversarialRisk(BUDGET)), TypeError, "or a map-style"),
        (lambda: fit(net(), (X, Y[:3]), AdversarialRisk(BUDGET)), ValueError, "100 and 3 rows"),
        (lambda: fit(net(), (X, Y), AdversarialRisk(BUDGET), Plan(batch_size=101)), ValueError, "batch_size=101"),
        (lambda: Source((X, Y), 10, 0, 0, 0, 3), ValueError, "3 processes"),
        (lambda: Plan(epochs=0), ValueError, "epochs=0"),
        (lambda: Plan(average=1.0), ValueError, "average=1.0"),
        (lambda: Check(X, Y, BUDGET, patience=0), ValueError, "patience=0"),
        (lambda: Checkpoint(Path("x"), every=0), ValueError, "every=0"),
        (lambda: Trace(AdversarialRisk(BUDGET), X, Y, every=0), ValueError, "every=0"),
        (lambda: Layered(Lp(1), Lp(2), ()), ValueError, "sizes=()"),
        (lambda: Layered(Lp(1), Lp(2), (3,)).norm(torch.zeros(1, 4)), ValueError, "the rows have 4"),
        (lambda: fit(nn.ReLU(), (X, Y), AdversarialRisk(BUDGET)), ValueError, "nothing would be trained"),
    ],
)
def test_misuse(call: Callable[[], object], error: type[Exception], said: str) -> None:
    with pytest.raises(error) as raised:
        call()
    assert said in str(raised.value), str(raised.value)


def test_memory_holds_several_slots() -> None:
    memory, eps = Memory(), torch.ones(1)
    memory.keep("a", torch.tensor([3]), torch.ones(1, 2), torch.full((1,), 0.5), eps)
    memory.keep("b", torch.tensor([3]), 2 * torch.ones(1, 2), torch.ones(1), eps)
    assert memory.recall("a", torch.tensor([3]), torch.zeros(1, 2), eps)[0].tolist() == [[1, 1]]
    assert memory.recall("b", torch.tensor([3]), torch.zeros(1, 2), eps)[0].tolist() == [[2, 2]]
    memory.forget()
    assert not bool(memory.recall("a", torch.tensor([3]), torch.zeros(1, 2), eps)[2])


# --- processes without a second one ---------------------------------------------------------------------------------


def test_a_group_of_one_is_joined_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch import distributed

    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29713"}.items():
        monkeypatch.setenv(name, value)
    with processes() as here:
        assert (here.rank, here.size) == (0, 1)
        assert distributed.is_initialized()
        with processes() as inside:  # joined already: nothing happens
            assert inside == here
        assert distributed.is_initialized()
    assert not distributed.is_initialized()


def test_each_process_has_its_share_of_a_batch() -> None:
    whole = Source((X, Y), 10, 3, 0, 0, 1)
    parts = [Source((X, Y), 10, 3, 0, rank, 2) for rank in (0, 1)]
    for step in (0, 9, 10, 25):
        together = torch.cat([part.ids(step) for part in parts])
        assert sorted(together.tolist()) == sorted(whole.ids(step).tolist())


def test_what_is_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process is played by doubles of the collectives."""
    monkeypatch.setattr(distributed, "world", lambda: distributed.World(0, 2))

    def all_gather(parts: list[Tensor], part: Tensor) -> None:
        for k, out in enumerate(parts):
            out.copy_(part + 10 * k)

    monkeypatch.setattr(distributed.dist, "all_gather", all_gather)
    monkeypatch.setattr(distributed.dist, "all_reduce", lambda t: t.mul_(2))
    assert distributed.gathered(torch.tensor([1, 2])).tolist() == [1, 2, 11, 12]
    part = torch.ones(2)
    assert distributed.summed(part).tolist() == [2, 2]
    assert part.tolist() == [1, 1]
    memory, eps = Memory(), torch.ones(1)
    memory.keep("a", torch.tensor([3]), torch.ones(1, 2), torch.ones(1), eps)
    assert memory.recall("a", torch.tensor([3, 13, 4]), torch.zeros(3, 2), torch.ones(3))[2].tolist() == [
        True,
        True,
        False,
    ]


def test_what_a_training_made_is_one_line() -> None:
    """Not the network and all of its history."""
    x = torch.rand(40, 2, generator=torch.Generator().manual_seed(0))
    fitted = fit(nn.Linear(2, 2), (x, torch.arange(40) % 2), AdversarialRisk(ms.Linf(0.02)), Plan(2, 20))
    shown = repr(fitted)
    assert shown.startswith("<Fitted: Linear of 6 weights, 2 epochs, 4 steps, loss 0.")
    assert "\n" not in shown
    assert len(shown) < 160
