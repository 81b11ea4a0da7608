"""Budgets of groups of coordinates: every attack takes them, and smallest perturbations meet closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

import maxslope as ms
from maxslope.attacks import stages
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
    found = ms.minimal(model, x, y, norm, box=None, effort=ms.Effort(passes=30))
    torch.testing.assert_close(found.norms, margin.abs() / norm.dual_norm(w), rtol=rtol, atol=0.0)
    boxed = ms.minimal(model, x, y, norm, box=(0.0, 1.0), effort=ms.Effort(passes=80))
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
    after = (stages.Pursuit(8), stages.RandomSearch(10))
    probing = ms.Effort([*ms.Effort.quick().runs[:2], stages.OutsideProbe(after[:1]), stages.Rescue(after)])
    named = ({"recipe": recipe} for recipe in (ms.recipes.square(40), ms.recipes.pgd(8)))
    for given in ({"effort": probing, "probe": True}, *named):
        found = ms.attack(model, x, y, budget, **given)
        assert 0 < int(found.broken.sum()) < 20
        assert bool((norm.norm((found.points - x).double()) <= eps * (1 + 1e-5)).all())
        assert bool(budget.around(x).contains(found.points).all())
    pursuit = ms.Effort([ms.recipes.square(5), *after])
    ms.attack(model, x, y, budget, effort=pursuit, realize=None if box is None else ms.realize.Grid(256))


@pytest.mark.parametrize(
    ("inner", "eps", "box"), [(1, 0.08, (0.0, 1.0)), (1.5, 0.07, None), (2, 0.06, None), (INF, 0.04, (0.0, 1.0))]
)
def test_attacks_take_a_radius_of_every_group(inner: float, eps: float, box: tuple[float, float] | None) -> None:
    check_attacks(Mixed(Lp(INF), Lp(inner), axis=1), eps, box)


def test_attacks_take_a_radius_in_units() -> None:
    check_attacks(Weighted(Mixed(Lp(INF), Lp(2), axis=1), torch.tensor(4.0)), 0.24, (0.0, 1.0))


# --- groups that share a radius --------------------------------------------------------------------------------------

SHARED = [(1, 1.5), (1, 2), (1, INF), (1.5, 1), (1.5, 2), (2, 1), (2, 3), (2, INF), (3, INF)]


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def solved(norm: Mixed, x: Tensor, radius: float, goal: str, v: Tensor, bounds: tuple[Tensor, Tensor]) -> float:
    """The least value over the ball in the box, by a conic or sequential solver that knows nothing of multipliers."""
    shape = x.shape

    def value(z: np.ndarray) -> float:
        z = torch.as_tensor(z).reshape(shape)
        return float((v * z).sum() if goal == "linear" else ((z - v) ** 2).sum() / 2)

    def slope(z: np.ndarray) -> np.ndarray:
        z = torch.as_tensor(z).reshape(shape)
        return (v if goal == "linear" else z - v).flatten().numpy()

    n = x.numel()
    groups = x.shape[1:].numel() // x.shape[1]
    # slack variables: sizes of coordinates u >= |z - x| and of groups t, so that corners of norms are smooth
    r, p = norm.outer.p, norm.inner.p

    def parts(w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return w[:n], w[n : 2 * n].reshape(shape[1], groups), w[2 * n :]

    def room(w: np.ndarray) -> np.ndarray:
        z, u, t = parts(w)
        d = z - x.flatten().numpy()
        inside = (t - u).ravel() if math.isinf(p) else t**p - (np.abs(u) ** p).sum(0)
        return np.concatenate([u.ravel() - d, u.ravel() + d, inside, [radius**r - (np.abs(t) ** r).sum()]])

    start = np.concatenate([x.flatten().numpy(), np.full(n, 0.01 * radius), np.full(groups, 0.1 * radius)])
    ends = [(float(a), float(b)) for a, b in zip(*(e.flatten().tolist() for e in bounds), strict=True)]
    found = minimize(
        lambda w: value(w[:n]), start, jac=lambda w: np.concatenate([slope(w[:n]), np.zeros(n + groups)]),
        bounds=ends + [(0, None)] * (n + groups), constraints={"type": "ineq", "fun": room}, method="SLSQP",
        options={"maxiter": 300, "ftol": 1e-12},
    )  # fmt: skip
    return float(found.fun)


@pytest.mark.parametrize(("r", "p"), SHARED)
def test_a_shared_radius_is_used_best(r: float, p: float) -> None:
    """Projection, linear minimizer and step in l_inf: no value of a general solver is lower, and all are inside."""
    x = 0.1 + 0.8 * torch.rand(2, 2, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    norm = Mixed(Lp(r), Lp(p), axis=1)
    v, xi, tau = x + 0.7 * draw(1, 2, 2, 3), draw(2, 2, 2, 3), torch.tensor([0.1, 0.2], dtype=torch.float64)
    K = Budget(norm, 0.5).around(x)
    y = K.project(x + 0.4 * draw(3, 2, 2, 3))
    answers = (K.project(v), K.minimize_linear(xi), K.minimize_linear_near(xi, y, tau, Lp(INF)))
    for k in range(2):
        lo, hi = torch.zeros_like(x[k]), torch.ones_like(x[k])
        near = ((y[k] - tau[k]).clamp(0, 1), (y[k] + tau[k]).clamp(0, 1))
        for z, goal, w, ends in zip(
            answers, ("project", "linear", "linear"), (v, xi, xi), ((lo, hi), (lo, hi), near), strict=True
        ):
            one = z[k]
            mine = float((w[k] * one).sum() if goal == "linear" else ((one - w[k]) ** 2).sum() / 2)
            assert mine <= solved(norm, x[k : k + 1], 0.5, goal, w[k : k + 1], ends) + 2e-6  # one may stop too early
            assert float(norm.norm((one - x[k])[None])) <= 0.5 * (1 + 1e-12)
            assert bool(((one >= ends[0] - 1e-12) & (one <= ends[1] + 1e-12)).all())


@pytest.mark.parametrize(("r", "p"), SHARED)
def test_rows_that_share_a_radius_are_strangers(r: float, p: float) -> None:
    """Alone and beside rows that take more or fewer steps, the same radii to the bit."""
    x, xi = torch.full((6, 2, 5), 0.5, dtype=torch.float64), draw(3, 6, 2, 5)
    v = 10 ** torch.linspace(-1, 2, 6)[:, None, None] * draw(2, 6, 2, 5)
    budget = Budget(Mixed(Lp(r), Lp(p), axis=1), 0.3)
    together = budget.around(x)
    for k in range(6):
        alone = budget.around(x[k : k + 1])
        assert torch.equal(alone.project(x[k : k + 1] + v[k : k + 1]), together.project(x + v)[k : k + 1])
        assert torch.equal(alone.minimize_linear(xi[k : k + 1]), together.minimize_linear(xi)[k : k + 1])


@pytest.mark.slow
@pytest.mark.parametrize(("r", "p"), SHARED)
def test_the_slope_is_the_limit_of_short_steps(r: float, p: float) -> None:
    """In l_inf and in the norm of the set, at random points of the sphere, some with a group at the center."""
    norm = Mixed(Lp(r), Lp(p), axis=1)
    x = 0.1 + 0.8 * torch.rand(4, 2, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    K, xi = Budget(norm, 0.3).around(x), draw(5, 4, 2, 3)
    y = K.project(x + 2 * draw(6, 4, 2, 3))
    y[2:] = K.project(torch.where(torch.tensor([True, False, True]), x + draw(7, 4, 2, 3), x))[2:]
    assert bool((norm.norm(y - x) > 0.3 * (1 - 1e-9)).all())
    y = torch.where((1 - y) < 1e-9, 1.0, torch.where(y < 1e-9, 0.0, y))
    tau = torch.full((4,), 1e-7, dtype=torch.float64)
    short = (xi * (y - K.minimize_linear_near(xi, y, tau, Lp(INF)))).flatten(1).sum(1) / 1e-7
    torch.testing.assert_close(K.slope(xi, y, Lp(INF)), short, rtol=1e-3, atol=2e-3)
    for space in (norm, *([Lp(2)] if 1 < p < INF else [])):
        bound = K.slope(xi, y, space)
        for k in range(3):  # no direction inside does better
            z = K.project(y + 10 ** -(1 + k % 4) * draw(100 + k, 4, 2, 3) * (1 if k % 2 else xi.abs()))
            rate = (xi * (y - z)).flatten(1).sum(1) / space.norm(z - y).clamp_min(1e-300)
            assert bool((rate <= bound * (1 + 1e-6) + 1e-9).all())


@pytest.mark.slow
@pytest.mark.parametrize(("r", "p", "eps"), [(1, 2, 0.2), (2, INF, 0.06)])
def test_attacks_take_a_shared_radius(r: float, p: float, eps: float) -> None:
    check_attacks(Mixed(Lp(r), Lp(p), axis=1), eps, (0.0, 1.0))


@pytest.mark.slow
@pytest.mark.parametrize(("r", "p"), [(1, 2), (2, 1)])
def test_the_smallest_shared_change(r: float, p: float) -> None:
    check_minimal(Mixed(Lp(r), Lp(p), axis=1), 5e-3)


@pytest.mark.parametrize("norm", [Mixed(Lp(1), Lp(2), axis=1), Mixed(Lp(INF), Lp(2), axis=1)])
def test_training_against_budgets_of_groups(norm: Mixed) -> None:
    """The risk within the budget is more than at the samples, and has gradients."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    x, y = torch.rand(6, *SHAPE), torch.arange(6) % 3
    found = ms.AdversarialRisk(ms.training.Pointwise(Budget(norm, 0.2)))(model, x, y)
    found.backward()
    assert float(found.detach()) > float(nn.functional.cross_entropy(model(x), y).detach()) + 0.01
    assert model[1].weight.grad is not None
    assert bool(model[1].weight.grad.abs().sum() > 0)


def test_half_precision_one_sided_bounds_and_steps_that_are_not_exact() -> None:
    """Points in few digits are inside, exactly; a bound may lack; a step in the norm of the set is refused."""
    norm = Mixed(Lp(1), Lp(2), axis=1)
    x, xi = torch.rand(2, 3, 4), draw(1, 2, 3, 4).float()
    for dtype in (torch.bfloat16, torch.float32):
        K = Budget(norm, 0.5, (0.0, INF)).around(x.to(dtype), mask=torch.tensor([True, False, True])[:, None])
        for z in (K.project((x + xi).to(dtype)), K.minimize_linear(xi.to(dtype))):
            assert z.dtype == dtype
            assert float(K.violation(z).max()) == 0.0
            assert torch.equal(z[:, 1], x.to(dtype)[:, 1])
            assert float(norm.norm((z - x.to(dtype)).double()).max()) > 0.49
    rows = torch.tensor([1])
    torch.testing.assert_close(K.take(rows).minimize_linear(xi[rows]), K.minimize_linear(xi)[rows])
    with pytest.raises(ValueError, match="measured in"):
        K.minimize_linear_near(xi, x, torch.ones(2), norm)
    with pytest.raises(ValueError, match="Slopes"):
        K.slope(xi, x, Lp(3))
    none = Budget(norm, 0.0).around(x)
    torch.testing.assert_close(none.project(x + xi), x)
    assert float(none.slope(xi, x, norm).max()) == 0.0
