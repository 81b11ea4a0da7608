"""Budgets of groups of coordinates: every attack takes them, and smallest perturbations meet closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import maxslope as ms
from maxslope.sets import Budget
from maxslope.spaces import Lp, Mixed, Weighted

INF = math.inf
SHAPE = (3, 2, 2)


def linear(seed: int = 0) -> tuple[nn.Module, Tensor, Tensor]:
    """A model z -> W z + b of two classes, and the weights and the offset of the margin of class 0."""
    torch.manual_seed(seed)
    layer = nn.Linear(12, 2).double()
    model = nn.Sequential(nn.Flatten(), layer).eval().requires_grad_(False)
    return model, (layer.weight[0] - layer.weight[1]).reshape(1, *SHAPE), layer.bias[0] - layer.bias[1]


def least_radius(norm: ms.Space, x: Tensor, xi: Tensor, wanted: Tensor, box: tuple[float, float] | None) -> Tensor:
    """The radius at which a linear form falls by ``wanted``, by bisection."""
    low, high = torch.zeros_like(wanted), torch.full_like(wanted, 20.0)
    for _ in range(50):
        middle = (low + high) / 2
        enough = Budget(norm, middle, box).take(torch.arange(len(x))).around(x).gap(xi, x) >= wanted
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return high


def check_minimal(norm: ms.Space, rtol: float) -> None:
    """Without a box the distance is the margin over the dual norm; in a box, where a linear form falls by it."""
    model, w, b = linear()
    x = 0.1 + 0.8 * torch.rand(4, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    margin = (w * x).flatten(1).sum(1) + b
    y, xi = (margin < 0).long(), w * margin.sign().reshape(-1, 1, 1, 1)
    found = ms.minimal(model, x, y, norm, box=None, effort=ms.Effort(passes=40))
    torch.testing.assert_close(found.norms, margin.abs() / norm.dual_norm(w), rtol=rtol, atol=0.0)
    boxed = ms.minimal(model, x, y, norm, box=(0.0, 1.0), effort=ms.Effort(passes=100))
    exact = least_radius(norm, x, xi, margin.abs(), (0.0, 1.0))
    torch.testing.assert_close(boxed.norms, exact, rtol=rtol, atol=0.0)
    assert bool((boxed.norms >= exact * (1 - 1e-9)).all())
    torch.testing.assert_close(norm.norm(boxed.points - x), boxed.norms)


@pytest.mark.parametrize("inner", [1, 1.5, 2, 3, INF])
def test_the_smallest_change_of_every_group(inner: float) -> None:
    check_minimal(Mixed(Lp(INF), Lp(inner), axis=1), 2e-3)


def test_the_smallest_change_in_units() -> None:
    check_minimal(Weighted(Mixed(Lp(INF), Lp(2), axis=1), torch.tensor(4.0)), 2e-3)


def check_attacks(norm: ms.Space, eps: float, box: tuple[float, float] | None) -> None:
    """Every stage of a probing attack, searches by values and named attacks; what they find is inside."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.GELU(), nn.Linear(16, 3))
    model = layers.eval().requires_grad_(False)
    x = torch.rand(20, *SHAPE)
    layers[3].bias.data -= model(x).mean(0)  # no class is ahead
    y, budget = model(x).argmax(1), Budget(norm, eps, box)
    named = ({"recipe": recipe} for recipe in (ms.recipes.square(40), ms.recipes.pgd(8)))
    for given in ({"effort": ms.Effort.quick(), "probe": True}, *named):
        found = ms.attack(model, x, y, budget, **given)
        assert 0 < int(found.broken.sum()) < 20
        assert bool((norm.norm((found.points - x).double()) <= eps * (1 + 1e-5)).all())
        assert bool(budget.around(x).contains(found.points).all())
    pursuit = ms.Effort([ms.recipes.square(5), ms.attacks.stages.Pursuit(12), ms.attacks.stages.RandomSearch(10)])
    ms.attack(model, x, y, budget, effort=pursuit, realize=None if box is None else ms.realize.Grid(256))


@pytest.mark.parametrize(("inner", "eps"), [(1, 0.08), (2, 0.06), (INF, 0.04)])
@pytest.mark.parametrize("box", [(0.0, 1.0), None])
def test_attacks_take_a_radius_of_every_group(inner: float, eps: float, box: tuple[float, float] | None) -> None:
    check_attacks(Mixed(Lp(INF), Lp(inner), axis=1), eps, box)


def test_attacks_take_a_radius_in_units() -> None:
    check_attacks(Weighted(Mixed(Lp(INF), Lp(2), axis=1), torch.tensor(4.0)), 0.24, (0.0, 1.0))
