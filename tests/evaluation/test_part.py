"""A part of a data set: every row of its table, by a model whose verdicts are known, and what goes with rows."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from maxslope import L2, Budget, Linf, Lp, MaxslopeWarning, Randomized, attack, evaluate, goals, recipes
from maxslope._checks import PROBABILITIES
from maxslope._status import Status
from maxslope.attacks import Effort
from maxslope.attacks.findings import Kind, Severity
from maxslope.energies import Network
from maxslope.evaluation.hardware import Choice
from maxslope.evaluation.part import Job, Orders, Part, Threat, Work, evaluate_part, said_of

TILE = 4
EFFORT = Effort((recipes.pgd(4), recipes.pgd(3)))
# Class 0 while x_0 >= 0.4: distances 0.1, 0.3, wrong, not finite, 0.05, 0.4.
X = torch.tensor([[0.5, 0.5], [0.7, 0.5], [0.3, 0.5], [0.5, 0.99], [0.45, 0.5], [0.8, 0.5]])
Y = torch.zeros(6, dtype=torch.int64)


class Counted:
    """The model, and the rows it was shown."""

    def __init__(self) -> None:
        self.rows = self.backward = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        if x.requires_grad:
            x.register_hook(self.count)
        z = torch.stack([x[:, 0] - 0.4, 0 * x[:, 0]], 1)
        return torch.where(x[:, 1:] > 0.95, math.nan, z)

    def count(self, gradient: Tensor) -> None:
        self.backward += len(gradient)


def done(budget: Budget, threat: Threat | None = None, job: Job | None = None, model=None, **orders: object):
    model = model or Counted()
    choice = Choice(TILE)
    work = Work(model, choice, budget, threat or Threat(), 3, True)
    plan = Orders(**({"effort": EFFORT, "probe": False} | orders))
    return evaluate_part(work, model, plan, job or Job(0, 0, X, Y)), model


def test_every_row_of_the_table() -> None:
    part, model = done(Linf(0.2))
    table = part.table
    assert table["index"] == list(range(6))
    assert table["label"] == [0] * 6
    assert table["prediction"][:3] == [0, 0, 1]
    assert table["verdict"] == ["broken", "robust", "misclassified", "non-finite", "broken", "robust"]
    alone = attack(Counted(), X[[0, 1, 4, 5]], Y[:4], Linf(0.2), effort=EFFORT, seed=3, batch_size=TILE,
                   ids=torch.tensor([0, 1, 4, 5]))  # fmt: skip
    for k, row in enumerate((0, 1, 4, 5)):
        assert table["margin"][row] == float(alone.margin[k])
        assert table["distance"][row] == float(alone.distance[k])
        assert table["chance"][row] == float(alone.chance[k])
        assert table["foreseen"][row] == float(alone.foreseen[k])
        assert table["forward"][row] == int(alone.forward[k]) + 1
        assert table["backward"][row] == int(alone.backward[k])
        assert table["runs"][row] == int(alone.runs[k])
        assert table["reason"][row] == Status(int(alone.status[k])).sentence
        for name in ("gap", "slope", "local_gap"):
            own = float(getattr(alone, name)[k])
            assert table[name][row] == own or (math.isnan(own) and math.isnan(table[name][row]))
        assert torch.equal(part.points[row], alone.points[k])
    for row in (2, 3):
        assert (table["forward"][row], table["backward"][row], table["runs"][row]) == (1, 0, 0)
        assert table["distance"][row] == 0.0
        assert math.isnan(table["gap"][row])
        assert math.isnan(table["slope"][row])
        assert math.isnan(table["chance"][row])
        assert math.isnan(table["foreseen"][row])
        assert torch.equal(part.points[row], X[row])
    assert table["margin"][2] == pytest.approx(-0.1)
    assert math.isnan(table["margin"][3])
    assert "clean point" in table["reason"][2]
    assert "misclassifies" in table["reason"][2]
    assert "NaN or infinite" in table["reason"][3]
    assert part.executed == (model.rows, model.backward)
    assert (part.number, part.start, part.samples, part.probes, part.said) == (0, 0, 6, (0, 0), ())
    assert part.head[0] == pytest.approx((0.1, 0.0))
    assert len(part.head) == 6
    assert part.seconds > 0
    assert part.effort == EFFORT


def test_what_belongs_to_samples_goes_with_them() -> None:
    """Second part: samples 10 to 15 of a data set with an eps, a mask, a context and a target for each."""
    n = 16
    eps = torch.zeros(n)
    eps[10:] = torch.tensor([0.11, 0.29, 0.2, 0.2, 0.04, 0.41])
    job = Job(1, 10, X, Y)
    part, _ = done(Linf(eps), job=job)
    assert part.table["index"] == list(range(10, 16))
    assert part.table["verdict"] == ["broken", "robust", "misclassified", "non-finite", "robust", "broken"]
    assert part.head == ()
    mask = torch.zeros(n, 2, dtype=torch.bool)
    mask[10] = True
    part, _ = done(Linf(0.5), Threat(mask=mask), job)
    assert part.table["verdict"] == ["broken", "robust", "misclassified", "non-finite", "robust", "robust"]
    for rows in ((2, n), (0,)):  # which are not those of the data
        with pytest.raises(ValueError, match="The mask has the shape of a sample"):
            done(Linf(0.5), Threat(mask=torch.zeros(*rows, 2, dtype=torch.bool)), job)
    one = torch.tensor([False, True])
    part, _ = done(Linf(0.5), Threat(mask=one), job)
    assert part.table["verdict"].count("broken") == 0
    number = torch.full((n,), 9.0)
    number[10:] = torch.tensor([0.4, 0.4, 0.4, 0.4, 0.0, 0.9])
    moved, _ = done(
        Linf(0.2), Threat(context=(number,)), job, lambda x, t: torch.stack([x[:, 0] - t, 0 * t], 1)
    )  # fmt: skip
    assert moved.table["verdict"] == ["broken", "robust", "misclassified", "broken", "robust", "misclassified"]
    targets = torch.zeros(n, dtype=torch.int64)
    targets[10:12] = 1
    part, _ = done(Linf(0.2), Threat(goals.Targeted(targets)), job)
    assert part.table["verdict"] == ["broken", "robust", "broken", "non-finite", "misclassified", "misclassified"]
    drawn = Job(0, 0, X[:2], Y[:2], torch.tensor([11, 10]))
    part, _ = done(Linf(eps), job=drawn)
    assert part.table["index"] == [11, 10]
    assert part.table["verdict"] == ["broken", "robust"]  # 0.1 away within 0.29, 0.3 away within 0.11


def test_probes_and_points_are_as_ordered() -> None:
    x = X[[0, 1, 5]].repeat(8, 1)
    job = Job(0, 0, x, torch.zeros(24, dtype=torch.int64))
    part, model = done(Linf(0.2), job=job, probe=True)
    assert part.probes[0] > 0
    assert part.executed == (model.rows, model.backward)
    assert len(part.head) == 8
    for right in (15, 16):  # with fewer than 16 right ones there is too little to judge by
        some = torch.cat([x[:right], X[2:4]])
        few, model = done(Linf(0.2), job=Job(0, 0, some, torch.zeros(right + 2, dtype=torch.int64)), probe=True)
        assert (few.probes[0] > 0, few.probes[1] > 0) == (right == 16, right == 16)
        assert few.table["index"] == list(range(right + 2))
    work = Work(model, Choice(TILE), Linf(0.2), Threat(), 3, False)
    assert evaluate_part(work, model, Orders(EFFORT, False), job).points is None


def test_the_seconds_of_a_part_are_from_beginning_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(perf_counter=iter([1.0, 5.0]).__next__)
    monkeypatch.setattr("maxslope.evaluation.part.time", clock)
    assert done(Linf(0.2))[0].seconds == 4.0


def test_a_part_without_a_right_sample_is_not_attacked() -> None:
    part, model = done(Linf(0.2), job=Job(0, 0, X[2:4], Y[2:4]), probe=True)
    assert part.table["verdict"] == ["misclassified", "non-finite"]
    assert part.table["forward"] == [1, 1]
    assert torch.equal(part.points, X[2:4])
    assert (part.executed, part.effort, part.probes) == ((model.rows, 0), EFFORT, (0, 0))


def test_what_a_part_begins_with_is_nothing() -> None:
    """A stand-in for a part that was made before has cost nothing, and its work is to evaluate."""
    stub = Part(0, 0, {}, None, (0, 0))
    assert (stub.effort, stub.said, stub.probes, stub.head, stub.seconds) == (None, (), (0, 0), (), 0.0)
    assert Work(None, Choice(TILE), Linf(0.2), Threat(), 3, False).task is evaluate_part
    assert Threat().words() == {"goal": goals.Misclassified(), "context": (), "mask": None, "realize": None}


def test_a_report_counts_and_names() -> None:
    model = Counted()
    report = evaluate(model, (X, Y), Linf(0.2), effort=EFFORT, batch_size=TILE, probe=False, seed=3)
    assert (report.clean_accuracy, report.robust_accuracy) == (pytest.approx(4 / 6), pytest.approx(2 / 6))
    assert report.executed == (model.rows, model.backward)
    assert [f.kind for f in report.warnings] == [Kind.NON_FINITE]
    assert report.warnings[0].samples == (3,)
    halves = evaluate(Counted(), (X, Y), Linf(0.2), effort=EFFORT, batch_size=TILE, probe=False, seed=3, part=2)
    assert halves.table == report.table or str(halves.table) == str(report.table)


def test_rates_of_a_random_model() -> None:
    def noisy(x: Tensor) -> Tensor:
        return torch.stack([x[:, 0] - 0.4 + 0.02 * torch.randn(len(x)), 0 * x[:, 0]], 1)

    random = Randomized(noisy, draws=2, votes=16)
    report = evaluate(random, (X, Y), Budget(Lp(2), 0.2), effort=Effort((recipes.pgd(3),)), probe=False)
    rate = report.table["rate"]
    assert rate[2] == 1.0
    assert report.table["verdict"][2] == "misclassified"
    for verdict, share in zip(report.table["verdict"], rate, strict=True):
        if verdict == "broken":
            assert share >= 12 / 16
    wrong = report.table["forward"][2]
    assert wrong == 16


@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, None])
def test_a_mask_of_one_row_is_everybodys_and_others_go_with_their_samples(samples: int, rows: int | None) -> None:
    mask = torch.ones(rows or samples, 2, dtype=torch.bool)
    mask[-1, 0] = False  # the coordinate that decides
    x, y = X[:2].repeat(2, 1)[:samples], Y[:samples]
    report = evaluate(Counted(), (x, y), Linf(0.35), mask=mask, effort=EFFORT, probe=False, part=1)
    held = [True] * samples if rows == 1 else [k == samples - 1 for k in range(samples)]
    assert report.table["verdict"] == ["robust" if h else "broken" for h in held]


def test_probabilities_are_said_to_be_some_and_other_notes_speak_for_themselves() -> None:
    def softmax(x: Tensor) -> Tensor:
        return torch.stack([x[:, 0], 1 - x[:, 0]], 1)

    with pytest.warns(MaxslopeWarning, match="look like probabilities"):
        report = evaluate(softmax, (X[:2], Y[:2]), Linf(0.01), effort=EFFORT, probe=False)
    seen = {found.kind: found.seen for found in report.warnings}
    assert seen[Kind.PROBABILITIES] == "The model's outputs are in [0, 1] and sum to 1 in each row."


class Twice(Counted):
    """The same class everywhere, but all that is certified is twice what it is."""

    def __call__(self, x: Tensor) -> Tensor:
        return 2 * Counted.__call__(self, x)


@pytest.mark.parametrize("steps", [1, 4])
def test_what_a_faster_search_found_is_certified_by_the_model_itself(steps: int) -> None:
    """Margins, gaps and slopes are the model's; a look and a certificate are counted, and nothing else changes."""
    model, twin, choice = Counted(), Twice(), Choice(TILE, half=True)
    effort = Effort((recipes.pgd(steps, 0.1),))
    work = Work(model, choice, L2(0.2), Threat(), 3, True)
    part = evaluate_part(work, twin, Orders(effort, False), Job(0, 0, X, Y))
    rows = [0, 1, 4, 5]
    alone = attack(Twice(), X[rows], Y[:4], L2(0.2), effort=effort, seed=3, batch_size=TILE, ids=torch.tensor(rows))
    table, few = part.table, alone.points.shape[0]
    assert torch.equal(part.points[rows], alone.points)
    x = alone.points[:, 0]
    for k, row in enumerate(rows):
        standing = not bool(alone.broken[k])
        assert table["verdict"][row] == ("robust" if standing else "broken")
        assert table["margin"][row] == pytest.approx(float(x[k]) - 0.4)
        assert table["forward"][row] == int(alone.forward[k]) + 2  # at the clean point, and the look
        assert table["backward"][row] == int(alone.backward[k])
        assert math.isnan(table["local_gap"][row])
        if standing:
            way = float(x[k] - X[row, 0]) + 0.2  # to the farthest point against the gradient
            assert table["gap"][row] == pytest.approx(way, abs=1e-6)
            assert table["slope"][row] == pytest.approx(1.0 if way > 1e-3 else 0.0, abs=1e-3)
        else:
            assert math.isnan(table["gap"][row])
            assert math.isnan(table["slope"][row])
    assert sum(not broken for broken in alone.broken.tolist()) in range(1, few)
    assert twin.backward > 0
    assert part.executed == (model.rows + twin.rows, model.backward + twin.backward)
    # A faster model is not asked what the model itself is like.
    many = Job(0, 0, X[[0, 1, 5]].repeat(8, 1), torch.zeros(24, dtype=torch.int64))
    model, twin = Counted(), Twice()
    probed = evaluate_part(work, twin, Orders(effort, True), many)
    assert (probed.probes[0] > 0, twin.rows) == (True, 0)


def test_a_search_without_gradients_is_certified_without_them_too() -> None:
    model, twin, choice = Counted(), Twice(), Choice(TILE, half=True)
    work = Work(model, choice, Linf(0.2), Threat(), 3, True)
    effort = Effort((recipes.square(4),), "no gradients")
    part = evaluate_part(work, twin, Orders(effort, False), Job(0, 0, X, Y))
    assert part.table["backward"] == [0] * 6
    assert (part.executed[1], model.backward, twin.backward) == (0, 0, 0)
    assert all(math.isnan(g) for g in part.table["gap"])


def test_notes_speak_for_themselves_but_for_probabilities_and_once() -> None:
    notes = ["A note.", PROBABILITIES, "Zero notes.", "A note."]
    said = said_of(Network(Counted(), notes=notes))
    assert [found.kind for found in said] == [Kind.MODEL, Kind.PROBABILITIES, Kind.MODEL]
    assert [found.seen for found in said][::2] == ["A note.", "Zero notes."]
    assert "sum to 1 in each row" in said[1].seen


@pytest.mark.filterwarnings("ignore:The model is in training mode")
def test_a_model_in_training_mode_is_noted() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(2, 2))
    for training in (True, False):
        part, _ = done(Linf(0.01), model=net.train(training))
        assert [(found.kind, found.weight) for found in part.said] == [(Kind.MODEL, Severity.NOTE)] * training
    counted = Counted()
    counted.training = True
    assert done(Linf(0.01), model=counted)[0].said == ()
