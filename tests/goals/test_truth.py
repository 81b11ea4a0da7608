"""Every goal beside its truth: affine outputs, where it is a union of polyhedra, and nets in the plane, on grids."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor, nn

import maxslope as ms
from maxslope.goals import AnyLabel, Beyond, Misclassified, Share, Targeted, TopK, Undetected
from nets import mlp

D, ROWS = 4, 7
Affine = tuple[Tensor, float]  # a, c: a delta + c < 0


def bits(outputs: Tensor, y: Tensor) -> Tensor:
    return ((outputs > 0) != (y > 0)).any(1)


def beaten_by(outputs: Tensor, y: Tensor, k: int) -> Tensor:
    return (outputs > outputs.gather(1, y[:, None])).sum(1) >= k


def far(outputs: Tensor, y: Tensor) -> Tensor:
    """A goal of one's own: some coordinate of the answer is off by more than 10,000."""
    return (1e4 - (outputs - y).abs()).amin(1)


@dataclass(frozen=True)
class Case:
    """A goal, what it means written down a second time, and the polyhedra of one sample it is the union of."""

    seed: int  # of the network and the samples, so that another case changes nothing here
    goal: Any
    outputs: int
    label: Callable[[Tensor], Tensor]  # outputs at the clean points -> labels
    wrong: Callable[[Tensor, Tensor], Tensor]
    parts: Callable[[Tensor, Tensor, Tensor], list[list[Affine]]]  # weights, outputs, label of one sample
    shape: tuple[int, ...] = ()
    scale: float = 1.0
    together: bool = False  # several things must hold at once, and the way to them has dead ends


def one(w: Tensor, z: Tensor, k: int, j: int) -> Affine:
    """k is below j."""
    return w[k] - w[j], float(z[k] - z[j])


def others(count: int, *but: int) -> list[int]:
    return [k for k in range(count) if k not in but]


def share_parts(w: Tensor, z: Tensor, y: Tensor) -> list[list[Affine]]:
    """Two of four places; output k of place p is number 4 k + p."""
    places = [one(w, z.reshape(-1), int(4 * y[p] + p), int(4 * (1 - y[p]) + p)) for p in range(4)]
    return [list(pair) for pair in combinations(places, 2)]


CASES = {
    "misclassified": Case(
        0, Misclassified(), 4, lambda z: z.argmax(1), lambda z, y: z.argmax(1) != y,
        lambda w, z, y: [[one(w, z, int(y), j)] for j in others(4, int(y))],
    ),
    "targeted": Case(
        1, Targeted(), 4, lambda z: z.argsort(1)[:, 1], lambda z, y: z.argmax(1) == y,
        lambda w, z, y: [[one(w, z, j, int(y)) for j in others(4, int(y))]], together=True,
    ),
    "top-2": Case(
        2, TopK(2), 5, lambda z: z.argmax(1), lambda z, y: beaten_by(z, y, 2),
        lambda w, z, y: [[one(w, z, int(y), j) for j in s] for s in combinations(others(5, int(y)), 2)],
        together=True,
    ),
    "top-3": Case(
        3, TopK(3), 5, lambda z: z.argsort(1)[:, -2], lambda z, y: beaten_by(z, y, 3),
        lambda w, z, y: [[one(w, z, int(y), j) for j in s] for s in combinations(others(5, int(y)), 3)],
        together=True,
    ),
    "undetected": Case(
        4, Undetected(reject=4), 5, lambda z: z[:, :4].argmax(1), lambda z, y: (z.argmax(1) != y) & (z.argmax(1) != 4),
        lambda w, z, y: [[one(w, z, int(y), j), one(w, z, 4, j)] for j in others(4, int(y))],
    ),
    "any label": Case(
        5, AnyLabel(), 5, lambda z: (z > 0).long(), bits,
        lambda w, z, y: [[((2 * y[j] - 1) * w[j], float((2 * y[j] - 1) * z[j]))] for j in range(5)],
    ),
    "share": Case(
        6, Share(0.5), 8, lambda z: z.argmax(1), lambda z, y: (z.argmax(1) != y).sum(1) >= 2, share_parts, (2, 4),
        together=True,
    ),
    "beyond": Case(
        7, Beyond(1.5), 1, lambda z: z[:, 0] + torch.linspace(-1.2, 1.1, len(z)).to(z),
        lambda z, y: (z[:, 0] - y).abs() > 1.5,
        lambda w, z, y: [[(w[0], float(z[0] - y) + 1.5)], [(-w[0], 1.5 - float(z[0] - y))]],
    ),
    "own": Case(
        8, far, 2, lambda z: z + 8e3 * torch.linspace(-1, 0.9, len(z)).to(z)[:, None],
        lambda z, y: ((z - y).abs() > 1e4).any(1),
        lambda w, z, y: [[(s * w[j], 1e4 + s * float(z[j] - y[j]))] for j in range(2) for s in (1, -1)], scale=1e4,
    ),
}  # fmt: skip
NAMES = list(CASES)


class Shaped(nn.Module):
    def __init__(self, layer: nn.Linear, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layer, self.shape = layer, shape

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out.reshape(-1, *self.shape) if self.shape else out


def asked(name: str) -> tuple[Case, nn.Module, Tensor, Tensor]:
    case = CASES[name]
    g = torch.Generator().manual_seed(case.seed)
    layer = nn.Linear(D, case.outputs).double()
    with torch.no_grad():
        for part in layer.parameters():
            part.copy_(case.scale * torch.randn(part.shape, generator=g, dtype=torch.float64))
    model = Shaped(layer, case.shape).eval()
    x = torch.randn(ROWS, D, generator=g, dtype=torch.float64)
    with torch.no_grad():
        y = case.label(model(x))
    return case, model, x, y


def distances(case: Case, model: nn.Module, x: Tensor, y: Tensor, p: float) -> Tensor:
    """The least norm with which each sample reaches the goal, by linear programs."""
    w, found = model.layer.weight.detach(), []
    for z, label in zip(model(x).detach(), y, strict=True):
        found.append(min(nearest(part, p) for part in case.parts(w, z, label)))
    return torch.tensor(found, dtype=torch.float64)


def nearest(part: list[Affine], p: float) -> float:
    """min |delta|_p with a delta + c <= 0 for all of them, p = 1 or inf; delta = u - v."""
    a = torch.stack([torch.cat([a, -a]) for a, _ in part]).numpy()
    c = [-c for _, c in part]
    if p == 1:
        return float(linprog([1.0] * (2 * D), A_ub=a, b_ub=c, bounds=[(0, None)] * (2 * D)).fun)
    rows = [[*row, 0.0] for row in a.tolist()] + [[float(j == k) for j in range(2 * D)] + [-1.0] for k in range(2 * D)]
    goal, bounds = [0.0] * (2 * D) + [1.0], [(0, None)] * (2 * D + 1)
    return float(linprog(goal, A_ub=rows, b_ub=c + [0.0] * (2 * D), bounds=bounds).fun)


@pytest.mark.parametrize("p", [1.0, math.inf])
@pytest.mark.parametrize("name", NAMES)
def test_attacks_break_what_can_be_broken_and_nothing_else(name: str, p: float) -> None:
    case, model, x, y = asked(name)
    away = distances(case, model, x, y, p)
    right = ~case.wrong(model(x), y)
    for factor, broken in ((1.1, True), (0.97, False)):
        budget = ms.Budget(ms.Lp(p), factor * away.clamp_min(1e-3), None)
        effort = ms.Effort.standard() if broken else ms.Effort.quick()
        found = ms.attack(model, x, y, budget, goal=case.goal, effort=effort)
        assert int((found.broken != broken)[right].sum()) <= (broken and case.together)
        assert torch.equal(found.broken, case.wrong(model(found.points), y))  # his own forward pass
        assert bool((ms.Lp(p).norm(found.points - x) <= budget.eps * (1 + 1e-9)).all())
        assert torch.equal(found.margin < 0, found.broken)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_smallest_perturbations_are_those_of_the_linear_program(name: str) -> None:
    case, model, x, y = asked(name)
    for p in (1.0, math.inf):
        found = ms.minimal(model, x, y, ms.Lp(p), box=(-6.0, 6.0), goal=case.goal)
        away = torch.where(case.wrong(model(x), y), 0.0, distances(case, model, x, y, p))
        assert bool((found.norms >= away * (1 - 1e-6)).all())
        near = (found.norms <= 1.03 * away + 1e-9) & found.found
        # Where several things must hold at once, whole-radius steps in l_inf jump between them: some are not found.
        assert int((~near).sum()) <= (4 if case.together else 0), (found.norms / away).tolist()
        assert bool(case.wrong(model(found.points), y)[found.found].all())


@pytest.mark.parametrize("name", NAMES)
def test_tables_say_who_stands(name: str) -> None:
    case, model, x, y = asked(name)
    away = distances(case, model, x, y, math.inf)
    eps = float(away.sort().values[2:4].mean())
    table = ms.evaluate(model, (x, y), ms.Linf(eps, box=None), goal=case.goal, effort=ms.Effort.quick()).table
    clean = case.wrong(model(x), y)
    if name == "undetected":
        clean = model(x).argmax(1) != y
    kinds = zip(clean.tolist(), away.tolist(), strict=True)
    expected = ["misclassified" if bad else "broken" if d < eps else "robust" for bad, d in kinds]
    assert table["verdict"] == expected


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_strangers(name: str) -> None:
    case, model, x, y = asked(name)
    ids, order = torch.arange(ROWS), torch.tensor([5, 0, 3])
    eps = distances(case, model, x, y, math.inf).median()
    budget, effort = ms.Linf(float(eps), box=None), ms.Effort.standard().limited(90)
    common: dict[str, Any] = {"goal": case.goal, "effort": effort, "batch_size": 4}
    whole = ms.attack(model, x, y, budget, ids=ids, **common)
    part = ms.attack(model, x[order], y[order], budget, ids=ids[order], **common)
    for name_ in ("points", "margin", "gap", "broken", "forward", "backward"):
        assert torch.equal(getattr(part, name_).nan_to_num(9), getattr(whole, name_)[order].nan_to_num(9)), name_


def test_the_gap_is_that_of_the_margin_itself() -> None:
    """Where outputs are affine and one place decides, the least margin in the ball is margin minus gap."""
    case, model, x, y = asked("share")
    found = ms.attack(model, x, y, ms.Linf(1e-4, box=None), goal=case.goal, recipe=ms.recipes.fgsm())
    w = model.layer.weight.detach().reshape(2, 4, D)
    for row in range(ROWS):
        z = model(found.points[row : row + 1])[0]
        m = torch.stack([z[int(y[row, p]), p] - z[1 - int(y[row, p]), p] for p in range(4)])
        p = int(m.sort().indices[1])  # two of four places must be wrong
        steepest = (w[int(y[row, p]), p] - w[1 - int(y[row, p]), p]).abs().sum()
        assert found.margin[row] == pytest.approx(float(m[p].detach()), abs=1e-12)
        assert found.slope[row] <= float(steepest) * (1 + 1e-9)
        assert found.gap[row] <= 2e-4 * float(steepest)


GRID: dict[str, tuple[Any, Callable[[Tensor, Tensor], Tensor]]] = {
    "top-2": (TopK(2), lambda z, y: beaten_by(z, y, 2)),
    "undetected": (Undetected(3), lambda z, y: (z.argmax(1) != y) & (z.argmax(1) != 3)),
}


@pytest.mark.parametrize("name", list(GRID))
def test_nets_in_two_dimensions_are_searched_as_well_as_a_grid_does(name: str) -> None:
    goal, wrong = GRID[name]
    net = mlp(2, 5, seed=3)
    x = 4 * torch.rand(24, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 2
    y = net(x).argmax(1)
    line = torch.linspace(-1, 1, 81, dtype=torch.float64)
    around = torch.cartesian_prod(line, line)
    eps = 0.8
    every = net((x[:, None] + eps * around).reshape(-1, 2)).detach()
    truth = wrong(every, y.repeat_interleave(len(around))).reshape(len(x), -1).any(1) & ~wrong(net(x), y)
    found = ms.attack(net, x, y, ms.Linf(eps, box=None), goal=goal)
    assert 3 < int(truth.sum()) < 22
    assert bool((found.broken | ~truth).all())
    assert torch.equal(found.broken, wrong(net(found.points), y))
