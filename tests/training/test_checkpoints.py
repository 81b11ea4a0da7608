"""Checkpoints: each goes on with the training that it was made with, and what is damaged is named."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import maxslope as ms
from maxslope.training import AdversarialRisk, Checkpoint, Plan, fit
from maxslope.training.identity import apart, data_words
from training._two import data, net

X, Y = data()
BUDGET = ms.Linf(0.05)


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1)


def slower(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-3)


def constant(optimizer: torch.optim.Optimizer, steps: int) -> Any:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)


def fading(optimizer: torch.optim.Optimizer, steps: int) -> Any:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 / (1 + step))


class Samples(torch.utils.data.Dataset[Any]):
    def __init__(self, x: Any, noise: bool = False) -> None:
        self.x, self.noise = x, noise

    def __getitem__(self, i: int) -> Any:
        return self.x[i] + (torch.rand(()) if self.noise else 0), Y[i]

    def __len__(self) -> int:
        return len(self.x)


FIRST = Plan(epochs=2, batch_size=50)
OTHER: dict[str, tuple[str, dict[str, Any]]] = {
    "another objective": ("objective", {"objective": ms.Trades(BUDGET)}),
    "another eps": ("objective", {"objective": AdversarialRisk(ms.Linf(0.01))}),
    "another norm": ("objective", {"objective": AdversarialRisk(ms.L2(0.05))}),
    "more steps": (
        "objective",
        {"objective": AdversarialRisk(ms.training.Pointwise(BUDGET, ms.training.Inner(steps=5)))},
    ),
    "a curriculum": ("objective", {"objective": AdversarialRisk(BUDGET, ramp=ms.training.Ramp(9))}),
    "a guard": ("objective", {"objective": AdversarialRisk(BUDGET, guard=ms.training.Guard())}),
    "another optimizer": ("optimizer", {"plan": replace(FIRST, optimizer=sgd)}),
    "another rate": ("optimizer", {"plan": replace(FIRST, optimizer=slower)}),
    "another schedule": ("schedule", {"plan": replace(FIRST, schedule=constant)}),
    "other inputs": ("data", {"data": (X.roll(1, 0), Y)}),
    "other labels": ("data", {"data": (X, Y.roll(1))}),
    "data of another kind": ("data", {"data": Samples(X)}),
    "a mean of weights": ("average", {"plan": replace(FIRST, average=0.9)}),
    "another precision": ("precision", {"plan": replace(FIRST, precision=torch.bfloat16)}),
    "an augmentation": ("transform", {"transform": lambda x, key: x}),
    "a check": ("check", {"check": ms.training.Check(X[:4], Y[:4], BUDGET)}),
    "more epochs, by another optimizer": ("optimizer", {"plan": replace(FIRST, epochs=3, optimizer=sgd)}),
    "more epochs, on another schedule": ("schedule", {"plan": replace(FIRST, epochs=3, schedule=constant)}),
    "another seed": ("seed", {"seed": 1}),
}


def once(path: Path, **options: Any) -> ms.training.Fitted:
    given = {"data": (X, Y), "objective": AdversarialRisk(BUDGET), "plan": FIRST} | options
    data, objective, plan = (given.pop(name) for name in ("data", "objective", "plan"))
    return fit(net(), data, objective, plan, checkpoint=Checkpoint(path), **given)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "c.pt"
    once(path)
    return path


@pytest.mark.parametrize("how", OTHER)
def test_a_checkpoint_goes_on_with_its_own_training_alone(how: str, made: Path) -> None:
    name, options = OTHER[how]
    before = made.read_bytes()
    with pytest.raises(ValueError, match=rf"belongs to another training \(.*{name} .* there, .* here"):
        once(made, **options)
    assert made.read_bytes() == before
    once(made)  # the same one is still taken


class KilledError(Exception):
    """Raised in place of a signal."""


@pytest.mark.parametrize("how", ["a function", "instances", "per epoch"])
def test_more_epochs_go_on_and_are_resumed_bit_for_bit(how: str, tmp_path: Path) -> None:
    """Two epochs, then four: the weights go on, the schedule begins anew, and a kill changes nothing."""

    def plan(model: Any, epochs: int) -> Plan:
        if how == "instances":
            optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.5)
            schedule: Any = torch.optim.lr_scheduler.StepLR(optimizer, 3)
            return Plan(epochs, 50, optimizer, schedule)
        if how == "per epoch":
            return Plan(epochs, 50, schedule=partial(torch.optim.lr_scheduler.StepLR, step_size=1), per_epoch=True)
        return Plan(epochs, 50)

    def go(path: Path, epochs: int, stop: int = -1) -> ms.training.Fitted:
        def die(moment: Any) -> None:
            if moment.step == stop:
                raise KilledError

        model = net()
        keep = Checkpoint(path, every=1)
        return fit(model, (X, Y), AdversarialRisk(BUDGET), plan(model, epochs), checkpoint=keep, progress=die)

    first = go(tmp_path / "a.pt", 2)
    (tmp_path / "b.pt").write_bytes((tmp_path / "a.pt").read_bytes())
    before = [t.clone() for t in first.network.state_dict().values()]
    more = go(tmp_path / "a.pt", 4)
    assert [record["epoch"] for record in more.history] == [1, 2, 3, 4]
    assert more.step == 8
    assert not all(map(torch.equal, before, more.network.state_dict().values()))
    rates = [record["rate"] for record in more.history]
    if how == "a function":  # one cycle up to 0.004 over all four steps, then over the four that are left
        assert rates[2:] == pytest.approx(rates[:2])
    if how == "instances":  # whoever gives a scheduler has it go on
        assert rates == pytest.approx([0.2, 0.02, 0.002, 0.002])
    with pytest.raises(KilledError):
        go(tmp_path / "b.pt", 4, stop=6)
    again = go(tmp_path / "b.pt", 4)
    assert all(map(torch.equal, again.network.state_dict().values(), more.network.state_dict().values()))
    assert [r["rate"] for r in again.history] == rates
    last = go(tmp_path / "a.pt", 5)  # and once more
    assert last.step == 10


def test_fewer_epochs_than_are_done_are_no_other_training(made: Path) -> None:
    with pytest.raises(ValueError, match=r"is one of 2 epochs, of which 2 are done; asked for are 1\. Ask for 2"):
        once(made, plan=replace(FIRST, epochs=1))
    with pytest.raises(ValueError, match="belongs to another training"):
        once(made, plan=replace(FIRST, epochs=1), seed=1)


def test_what_differs_is_said_in_words(made: Path) -> None:
    with pytest.raises(ValueError, match=rf"\(objective eps {BUDGET.eps:.6g} there, 0\.5 here\)"):
        once(made, objective=AdversarialRisk(replace(BUDGET, eps=0.5)))
    with pytest.raises(ValueError, match=r"\(data other numbers there, others here\)"):
        once(made, data=(X, Y.roll(1)))
    words = apart("Risk(norm=Lp(p=2), _axes=0, f=g 0123456789ab)", "Risk(norm=Lp(p=2), _axes=1, f=g ba9876543210)")
    assert words == "axes 0 there, 1 here, f g of other code or content there, of another here"


def test_the_seconds_of_a_training_that_goes_on_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once(tmp_path / "c.pt")
    state = torch.load(tmp_path / "c.pt", weights_only=True)
    torch.save(state | {"seconds": 1000.0}, tmp_path / "c.pt")
    fitted = once(tmp_path / "c.pt", plan=replace(FIRST, epochs=3))
    assert 1000 < fitted.history[2]["seconds"] < 2000


@pytest.mark.parametrize(
    ("made_by", "setting", "then"),
    [
        (lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=4), "T_max=4", "climbs again"),
        (lambda o: torch.optim.lr_scheduler.PolynomialLR(o, total_iters=4), "total_iters=4", "rate is 0"),
        (
            lambda o: torch.optim.lr_scheduler.SequentialLR(
                o,
                [torch.optim.lr_scheduler.ConstantLR(o), torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=3)],
                [1],
            ),
            "T_max=3",
            "climbs again",
        ),
    ],
)
def test_a_schedule_that_runs_past_its_end_is_said(made_by: Any, setting: str, then: str, tmp_path: Path) -> None:
    """Two epochs of two steps end with the schedule; two epochs more do not."""

    def go(epochs: int, made_by: Any = made_by) -> ms.training.Fitted:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        plan = Plan(epochs, 50, optimizer, made_by(optimizer))
        return fit(model, (X, Y), AdversarialRisk(BUDGET), plan, checkpoint=Checkpoint(tmp_path / "c.pt"))

    with warnings.catch_warnings():
        warnings.simplefilter("error", ms.MaxslopeWarning)
        go(2)
    with pytest.warns(ms.MaxslopeWarning, match=rf"ends after 4 steps \({setting}\).* goes on to 8: .*{then}"):
        go(4)


def test_a_schedule_that_is_made_begins_anew_where_a_scheduler_would_climb(tmp_path: Path) -> None:
    """What the warning advises, after the first epochs were made with a scheduler of their length."""

    def go(epochs: int, schedule: Any) -> list[float]:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        given = schedule(optimizer, 4) if epochs == 2 else schedule
        plan = Plan(epochs, 50, optimizer, given)
        fitted = fit(model, (X, Y), AdversarialRisk(BUDGET), plan, checkpoint=Checkpoint(tmp_path / "c.pt"))
        return [record["rate"] for record in fitted.history]

    go(2, torch.optim.lr_scheduler.CosineAnnealingLR)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ms.MaxslopeWarning)
        rates = go(4, torch.optim.lr_scheduler.CosineAnnealingLR)
    assert rates == pytest.approx([0.025, 0.0, 0.025, 0.0])


def test_one_cycle_past_its_end_is_refused_before_it_begins() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    plan = Plan(3, 50, optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=4))
    with pytest.raises(ValueError, match=r"ends after 4 steps \(total_steps=4\).* goes on to 6: torch refuses"):
        fit(model, (X, Y), AdversarialRisk(BUDGET), plan)


def test_short_trainings_go_on_though_the_first_rate_depends_on_their_length(tmp_path: Path) -> None:
    """One cycle of a step or two begins on its way down."""
    for epochs in (1, 2, 9):
        fitted = once(tmp_path / "c.pt", plan=replace(FIRST, epochs=epochs, batch_size=100))
        assert fitted.step == epochs


def test_schedules_differ_by_their_functions(tmp_path: Path) -> None:
    once(tmp_path / "c.pt", plan=replace(FIRST, schedule=constant))
    with pytest.raises(ValueError, match="schedule"):
        once(tmp_path / "c.pt", plan=replace(FIRST, schedule=fading))


def test_samples_of_a_dataset_are_compared_unless_they_are_random(tmp_path: Path) -> None:
    once(tmp_path / "a.pt", data=Samples(X))
    once(tmp_path / "a.pt", data=Samples(X.clone()))
    with pytest.raises(ValueError, match="data"):
        once(tmp_path / "a.pt", data=Samples(X + 0.5))
    state = torch.get_rng_state()
    assert data_words(Samples(X, noise=True)) == data_words(Samples(X, noise=True))
    assert torch.equal(torch.get_rng_state(), state)


class Evil:
    path = ""

    def __reduce__(self) -> Any:
        return (open, (self.path, "w"))


def test_damaged_checkpoints_are_named(made: Path, tmp_path: Path) -> None:
    path, content = tmp_path / "c.pt", made.read_bytes()
    Evil.path = str(tmp_path / "trace")
    state = torch.load(made, weights_only=True)
    for damage in (content[: len(content) // 2], b"", b"PK\x03\x04", b"no file of torch", pickle.dumps(Evil(), 0)):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match=r"c\.pt cannot be read .*; was it cut off"):
            once(path)
    torch.save(Evil(), path)
    with pytest.raises(ValueError, match=r"cannot be read"):
        once(path)
    assert not (tmp_path / "trace").exists()
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.namelist():
            new.writestr(item, old.read(item))
        new.writestr("c/data/999", bytes(1 << 20))
    with pytest.raises(ValueError, match="unpacks to"):
        once(path)
    for other in ([1, 2], {"fingerprint": 3}, {"a": torch.ones(1)}):
        torch.save(other, path)
        with pytest.raises(ValueError, match="is no checkpoint of a training"):
            once(path)
    cut = {k: v for k, v in state.items() if k != "optimizer"}
    for other in (cut, state | {"step": -1}, state | {"step": "3"}, state | {"model": {}}, state | {"objective": {}}):
        torch.save(other, path)
        with pytest.raises(ValueError, match=r"c\.pt is damaged, or of another version"):
            once(path)


def test_checkpoints_of_earlier_versions_go_on_with_a_warning(made: Path, tmp_path: Path) -> None:
    state = torch.load(made, weights_only=True)
    kept = ("seed", "epochs", "batch size", "samples", "weights")
    torch.save(state | {"fingerprint": {k: state["fingerprint"][k] for k in kept}}, tmp_path / "old.pt")
    with pytest.warns(UserWarning, match="does not say with which objective, optimizer, schedule, data"):
        once(tmp_path / "old.pt")
