"""The same question through ``attack``, ``evaluate`` and ``minimal``: no contradiction.

Over norms, dtypes, boxes and models whose logits may be -inf (a class that cannot win) or not finite. Linear models, so
that the truth is known: the nearest error is where some rival's logit meets the label's.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from maxslope import Budget, Lp, attack, evaluate, goals, minimal, recipes
from maxslope.attacks import Effort
from maxslope.attacks.question import ask
from maxslope.attacks.verify import verify
from maxslope.goals.classes import OfClasses

SHORT = Effort((recipes.pgd(8), recipes.pgd(8)))
INF = math.inf
ROWS, D, CLASSES = 12, 5, 4


class Odd(nn.Module):
    """A linear model with a class that cannot win, or answers that are not finite for some inputs."""

    def __init__(self, kind: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.kind = kind
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.linear = nn.Linear(D, CLASSES).to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        z = self.linear(x)
        dead = torch.arange(CLASSES) == 2
        if self.kind == "never":
            return z.masked_fill(dead, -INF)
        if self.kind == "alone":  # no rival at all
            return z.masked_fill(torch.arange(CLASSES) != 1, -INF)
        where = x[:, :1] > 0.8
        if self.kind == "nan":
            return torch.where(where, math.nan, z)
        if self.kind == "one nan":
            return torch.where(where & dead, math.nan, z)
        return torch.where(where & dead, INF, z) if self.kind == "+inf" else z


BOXES = {"unit": (0.0, 1.0), "none": None, "half": (0.0, INF), "infinite": (-INF, INF)}
KINDS = ["plain", "never", "alone", "nan", "one nan", "+inf"]


def data(kind: str, dtype: torch.dtype) -> tuple[nn.Module, Tensor, Tensor]:
    model = Odd(kind, dtype).eval()
    x = torch.rand(ROWS, D, generator=torch.Generator().manual_seed(1)).to(dtype)
    with torch.no_grad():
        y = model(x).nan_to_num(nan=0.0, posinf=0.0, neginf=-9e9).argmax(1)
    y[::4] = (y[::4] + 1) % CLASSES
    return model, x, y


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("p", "dtype", "box"),
    [(INF, torch.float32, "unit"), (2, torch.float64, "half"), (1, torch.float32, "none"), (1.5, torch.float64, "unit"),
     (INF, torch.bfloat16, "infinite"), (2, torch.float16, "unit"), (2, torch.float32, "infinite")],
)  # fmt: skip
def test_no_contradiction(kind: str, p: float, dtype: torch.dtype, box: str) -> None:
    model, x, y = data(kind, dtype)
    budget = Budget(Lp(p), 0.15 if p == INF else 0.4, BOXES[box])
    found = attack(model, x, y, budget, effort=SHORT, batch_size=1)  # row by row, so that all agree to the bit
    report = evaluate(model, (x, y), budget, effort=SHORT, probe=False, batch_size=1)
    nearest = minimal(model, x, y, Lp(p), box=BOXES[box], effort=Effort(passes=12))
    verdicts, table = report.table["verdict"], report.table

    with torch.no_grad():
        z = model(x)
        bad = ~(z < INF).all(1)
        margin = z.gather(1, y[:, None])[:, 0] - z.scatter(1, y[:, None], -INF).amax(1)
    wrong = (margin < 0) & ~bad
    assert [v == "misclassified" for v in verdicts] == wrong.tolist()
    assert report.clean_accuracy == pytest.approx(float((~wrong & ~bad).float().mean()))
    assert torch.equal(nearest.norms == 0, wrong)
    assert bool(nearest.non_finite[bad].all())
    assert bool(nearest.norms[nearest.non_finite].isnan().all())
    assert [v == "non-finite" and r == 0 for v, r in zip(verdicts, table["runs"], strict=True)] == bad.tolist()
    assert bool((found.non_finite | found.broken)[bad].all())  # elsewhere in the ball answers may be finite, and wrong
    for i in (~wrong & ~bad).nonzero().flatten().tolist():  # the samples that evaluate attacks
        assert (verdicts[i] == "broken") == bool(found.broken[i])
        assert (verdicts[i] == "non-finite") == bool(found.non_finite[i])
        assert torch.equal(report.points[i], found.points[i])

    # What is broken the model says itself, inside ball and box; what is nearest too, and a radius beyond it is enough.
    with torch.no_grad():
        z = model(found.points)
        own = z.gather(1, y[:, None])[:, 0] < z.scatter(1, y[:, None], -INF).amax(1)
    assert bool(own[found.broken].all())
    size = Lp(p).distance(x.double(), found.points.double())
    assert bool((size <= budget.eps * (1 + 1e-6) + float(torch.finfo(dtype).eps) * D).all())
    hit = nearest.found & ~wrong
    assert not bool(nearest.found[bad].any())
    if kind == "alone":
        assert not bool((nearest.found & (y == 1)).any())
        assert not bool((found.broken & (y == 1)).any())
    if kind in ("never", "alone"):
        with torch.no_grad():
            answers = model(found.points).argmax(1)
        assert not bool((answers[found.broken & (y != 2)] == 2).any())
    if bool(hit.any()):
        wide = Budget(Lp(p), float(nearest.norms[hit].max()) * (1 + 1e-3), BOXES[box])
        question = ask(model, x, y, wide)
        assert bool(verify(question, hit.nonzero().flatten(), nearest.points[hit]).broken.all())
    inside = hit & (
        nearest.norms <= 0.5 * budget.eps
    )  # far inside the budget even short runs see errors of linear models
    assert bool((found.broken | found.non_finite)[inside].all())


@pytest.mark.parametrize("p", [INF, 2, 1])
def test_linear_truth_with_a_class_that_cannot_win(p: float) -> None:
    """The distance to the nearest of the rivals that can win, exactly; the verdicts on both sides of it."""
    model, x, y = data("never", torch.float64)
    w, b = model.linear.weight.detach(), model.linear.bias.detach()
    z = x @ w.T + b
    truth = torch.full((ROWS,), INF, dtype=torch.float64)
    dual = Lp(1 if p == INF else INF if p == 1 else 2)
    for k in (0, 1, 3):
        gap = z.gather(1, y[:, None])[:, 0] - z[:, k]
        slope = dual.norm(w[y] - w[k])
        truth = torch.where(
            (y != k) & (y != 2), torch.minimum(truth, (gap / slope.clamp_min(1e-12)).clamp_min(0)), truth
        )
    right = (y != 2) & (truth > 0)
    nearest = minimal(model, x, y, Lp(p), box=None, effort=Effort(passes=60))
    torch.testing.assert_close(nearest.norms[right], truth[right], rtol=2e-3, atol=1e-9)
    for factor, broken in ((0.98, False), (1.05, True)):
        eps = (factor * truth[right]).clamp_max(1e6)
        found = attack(model, x[right], y[right], Budget(Lp(p), eps.reshape(-1, 1), None), effort=Effort.quick())
        assert found.broken.tolist() == [broken] * int(right.sum())
        if not broken:
            continue
        report = evaluate(
            model, (x[right], y[right]), Budget(Lp(p), eps.reshape(-1, 1), None), effort=Effort.quick(), probe=False
        )
        assert report.robust_accuracy == 0.0


def test_ties_belong_to_the_label() -> None:
    """A margin of zero is not negative: nobody has won. The same in every verb."""
    flat = lambda z: torch.zeros(len(z), 3)  # noqa: E731
    x, y = torch.rand(6, 2), torch.tensor([0, 1, 2, 0, 1, 2])
    budget = Budget(Lp(2), 0.3)
    for effort in (SHORT, Effort((recipes.square(20),))):
        with pytest.raises(ValueError, match="differentiably") if effort is SHORT else nullcontext():
            found = attack(flat, x, y, budget, effort=effort)
            assert not bool(found.broken.any())
            assert evaluate(flat, (x, y), budget, effort=effort, probe=False).clean_accuracy == 1.0
    goal = goals.Misclassified()
    assert bool((goal.clean(flat(x), y) == 0).all())


@dataclass(frozen=True)
class Costs(OfClasses):
    """The least output is the answer: to know the outputs twice is to know their opposite."""

    name = "costs"

    def outputs(self, out: Tensor) -> Tensor:
        return -out


def test_outputs_are_known_once_in_every_verb() -> None:
    """Costs of a model are what logits of its opposite are."""
    torch.manual_seed(0)
    model, x = nn.Linear(4, 3).eval(), torch.rand(40, 4)
    opposite = lambda z: -model(z)  # noqa: E731
    y, budget = opposite(x).argmax(1), Budget(Lp(2), 0.2)
    y[0] = (y[0] + 1) % 3
    one = evaluate(model, (x, y), budget, goal=Costs(), effort=SHORT, probe=False)
    two = evaluate(opposite, (x, y), budget, effort=SHORT, probe=False)
    assert one.clean_accuracy == two.clean_accuracy == 39 / 40
    assert 0 < one.robust_accuracy < one.clean_accuracy
    for column in ("verdict", "prediction", "label", "backward"):
        assert one.table[column] == two.table[column], column
    near = (minimal(model, x, y, Lp(2), goal=Costs()), minimal(opposite, x, y, Lp(2)))
    torch.testing.assert_close(near[0].norms, near[1].norms)


def test_a_target_leaves_the_labels_of_a_table_alone() -> None:
    """Tables show the caller's labels; a sample in the target class is not called misclassified."""
    torch.manual_seed(0)
    model, x = nn.Linear(4, 3).eval(), torch.rand(30, 4)
    y = model(x).argmax(1)
    for goal in (goals.Targeted(1), goals.Targeted(torch.full((30,), 1))):
        report = evaluate(model, (x, y), Budget(Lp(2), 0.05), goal=goal, effort=SHORT, probe=False)
        assert report.table["label"] == report.table["prediction"] == y.tolist()
        there = [verdict == "misclassified" for verdict in report.table["verdict"]]
        assert there == (y == 1).tolist()
        said = {report.table["reason"][k] for k, on in enumerate(there) if on}
        assert f"{goal.name}; not every point or every answer" in " ".join(str(report).split())
        assert said == {"The model puts the clean point into the target class already: nothing to attack."}


def test_a_target_that_the_model_does_not_know_is_called_a_target() -> None:
    model, x = nn.Linear(4, 3), torch.rand(2, 4)
    with pytest.raises(ValueError, match=r"Targets must be below .* the largest target is 30"):
        attack(model.eval(), x, torch.tensor([0, 1]), Budget(Lp(2), 0.1), goal=goals.Targeted(30))
