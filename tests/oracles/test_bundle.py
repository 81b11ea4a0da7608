"""Bundles of nearby gradients: the step that lowers all, stationarity at kinks, and what an attack makes of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, nnls
from torch import Tensor

import maxslope as ms
from maxslope.attacks.stages import Bundle
from maxslope.energies import Function
from maxslope.loop import Record, Steps, flow
from maxslope.schemes import Explicit, MinimizingMovement
from maxslope.schemes._barrier import Cap, mixture
from maxslope.schemes.bundle import Nearby, descend, gather
from maxslope.sets import L1, L2, Box, Everything, Linf, Set
from maxslope.spaces import Lp

INF = Lp(math.inf)
ABS = Function(lambda z: z.abs().sum(1))


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def look(energy: Function, domain: Set, x: Tensor, radius: float, space: Lp, passes: int = 60) -> Nearby:
    n = torch.ones(len(x), dtype=x.dtype)
    return gather(energy, domain, x, radius * n, space, passes=passes * n.long(), enough=0 * n)


# --- the step and the mixture ----------------------------------------------------------------------------------------


def exact(G: np.ndarray, a: np.ndarray, b: np.ndarray, caps: list[tuple[np.ndarray, float]]) -> float:
    """min max_i <g_i, d>, a <= d <= b, |offset + d|_1 <= radius, as a linear program with bounds for the moduli."""
    m, n = G.shape
    rows, right = [np.hstack([G, -np.ones((m, 1)), np.zeros((m, n * len(caps)))])], [np.zeros(m)]
    for k, (offset, radius) in enumerate(caps):
        size = np.zeros((n, n * len(caps)))
        size[:, n * k : n * (k + 1)] = np.eye(n)
        zero = np.zeros((n, 1))
        rows += [np.hstack([np.eye(n), zero, -size]), np.hstack([-np.eye(n), zero, -size])]
        rows += [np.hstack([np.zeros((1, n + 1)), size.sum(0)[None]])]
        right += [-offset, offset, np.array([radius])]
    cost = np.zeros(n + 1 + n * len(caps))
    cost[n] = 1
    bounds = [*zip(a, b, strict=True), (None, None), *[(0, None)] * (n * len(caps))]
    return float(linprog(cost, np.vstack(rows), np.concatenate(right), bounds=bounds).fun)


@pytest.mark.parametrize(("n", "m"), [(2, 3), (40, 8)])
def test_the_step_within_bounds_is_that_of_a_linear_program(n: int, m: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(6):
        G = rng.normal(size=(m, n)) + 0.2
        a, b = -0.1 * (rng.random(n) < 0.7), 0.1 * rng.random(n)
        d, w = mixture(G, a, b, ())
        best, scale = exact(G, a, b, []), float((np.abs(G) * 0.1).sum(1).max())
        assert (d >= a).all()
        assert (d <= b).all()
        assert abs(w.sum() - 1) < 1e-9
        assert (w >= 0).all()
        assert best - 1e-12 <= float((G @ d).max()) <= best + 0.08 * abs(best) + 1e-3 * scale
        xi = w @ G  # what the mixture leaves is never less than the best step
        assert best - 0.08 * abs(best) - 1e-3 * scale <= float(np.minimum(xi * a, xi * b).sum()) <= best + 1e-12


def test_the_step_within_two_balls_of_l_1_is_that_of_a_linear_program() -> None:
    rng = np.random.default_rng(1)
    n, m = 30, 6
    for _ in range(4):
        G = rng.normal(size=(m, n)) + 0.3
        offset = rng.normal(size=n) * (rng.random(n) < 0.3)
        offset /= np.abs(offset).sum()
        ones, wide = np.ones(n), np.full(n, np.inf)
        d, _ = mixture(G, -wide, wide, [Cap(1, ones, offset, 1.0), Cap(1, ones, 0 * offset, 0.05)])
        best = exact(G, -wide, wide, [(offset, 1.0), (0 * offset, 0.05)])
        assert abs(float((G @ d).max()) - best) <= 0.15 * abs(best) + 2e-3 * 0.05 * np.abs(G).max()


@pytest.mark.parametrize("p", [1.5, 2.0, 3.0])
def test_the_least_element_of_a_hull_in_other_norms(p: float) -> None:
    """Without other constraints the mixture has the least dual norm; in l_2 that is a least squares problem."""
    q = p / (p - 1)
    for k in range(4):
        G = draw(4, 12, seed=k).numpy() + 0.4
        wide = np.full(12, np.inf)
        d, w = mixture(G, -wide, wide, [Cap(p, np.ones(12), np.zeros(12), 0.01)])
        least = 0.01 * float(np.linalg.norm(w @ G, q))
        assert -float((G @ d).max()) == pytest.approx(least, rel=0.06)  # a step and a bound that meet
        if p == 2:
            weight, _ = nnls(np.vstack([G.T, 1e4 * np.ones((1, 4))]), np.r_[np.zeros(12), 1e4])
            assert least == pytest.approx(0.01 * float(np.linalg.norm(weight @ G)), rel=0.02)


def test_where_nothing_may_move_nothing_moves() -> None:
    d, w = mixture(np.ones((2, 3)), np.zeros(3), np.zeros(3), ())
    assert d.tolist() == [0.0] * 3
    assert w.tolist() == [0.5, 0.5]


# --- slopes at kinks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [INF, Lp(2), Lp(1)])
def test_the_modulus_is_stationary_at_its_kink_and_not_beside_it(space: Lp) -> None:
    x = torch.stack([1e-9 * draw(40), 1e-9 * draw(40)])
    x[1, :10] = 1.0
    found = look(ABS, Everything(), x, 0.01, space, 120)
    steep = {math.inf: 10.0, 2.0: math.sqrt(10), 1.0: 1.0}[space.p]
    assert float(found.slope[0]) <= 0.02 * steep
    assert float(found.slope[1]) == pytest.approx(steep, rel=0.03)
    assert float(found.attained[1]) == pytest.approx(steep, rel=0.2)


@pytest.mark.parametrize(("space", "p"), [(INF, math.inf), (Lp(2), 2.0), (Lp(1), 1.0)])
def test_the_slope_of_a_maximum_of_linear_functions(space: Lp, p: float) -> None:
    """At 0 all pieces meet: the slope is the least dual norm over their hull, and a step attains it."""
    G = draw(5, 20) + 0.5
    energy = Function(lambda z: (z @ G.T).amax(1))
    found = look(energy, Everything(), torch.zeros(1, 20, dtype=torch.float64), 0.1, space)
    wide = np.full(20, np.inf)
    if p == 2:
        weight, _ = nnls(np.vstack([G.T.numpy(), 1e4 * np.ones((1, 5))]), np.r_[np.zeros(20), 1e4])
        slope = float(np.linalg.norm(weight @ G.numpy()))
    elif p == 1:
        slope = -10 * exact(G.numpy(), -wide, wide, [(np.zeros(20), 0.1)])
    else:
        slope = -10 * exact(G.numpy(), np.full(20, -0.1), np.full(20, 0.1), [])
    assert float(found.slope) == pytest.approx(slope, rel=0.1)
    assert float(found.slope) >= slope * (1 - 1e-9)
    assert 0.8 * slope * (1 - 1e-9) <= float(found.attained) <= slope * (1 + 1e-9)


@pytest.mark.parametrize("budget", [Linf(0.5, box=None), L2(0.5, box=None), L1(0.5, box=None), L2(0.5)])
def test_on_the_boundary_of_a_budget_the_normal_counts(budget: ms.Budget) -> None:
    """Linear forms are least there, so it is stationary for them; a kink inside is one without."""
    x0 = torch.full((1, 20), 0.5, dtype=torch.float64)
    g = draw(20)
    domain = budget.around(x0)
    energy = Function(lambda z: z @ g)
    least = domain.minimize_linear(g[None])
    assert float(look(energy, domain, least, 0.05, budget.motion).bound) <= 1e-6
    halfway = (x0 + least) / 2
    assert float(look(energy, domain, halfway, 0.05, budget.motion).bound) > 1e-3
    inside = Function(lambda z: (z @ g - halfway @ g).abs())
    assert float(look(inside, domain, halfway, 0.05, budget.motion).bound) <= 1e-3 * float(g.abs().sum()) * 0.05


def test_small_networks_against_brute_force() -> None:
    """In the plane: where a bundle rests, a fine grid of its neighborhood has nothing lower than it says."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 12), torch.nn.ReLU(), torch.nn.Linear(12, 1)).double()
    energy = Function(lambda z: net(z).squeeze(1))
    box = Box(-torch.ones(1, 2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64))
    x = (2 * torch.rand(12, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64) - 1).clamp(-1, 1)
    radius = 0.1
    one = torch.ones(12, dtype=torch.float64)
    found = descend(energy, box, x, radius * one, INF, passes=200 * one.long(), enough=1e-4 * one, share=0.0)
    assert bool((found.value <= energy.look(x).value).all())
    assert bool((found.bound <= 1e-4).all())
    side = torch.linspace(-radius, radius, 81, dtype=torch.float64)
    around = torch.cartesian_prod(side, side)
    lower = 0
    for k in range(12):
        least = float(energy.look((found.points[k] + around).clamp(-1, 1)).value.min())
        lower += least < float(found.value[k]) - 1e-3 * radius
    assert lower <= 1  # of the radius around a kink that bends down, gradients do not tell


def test_curves_in_many_coordinates_know_their_slope_at_kinks() -> None:
    x = 0.03 * torch.ones(1, 40, dtype=torch.float64)
    curve = flow(ABS, x, scheme=MinimizingMovement(0.1), until=0.3)
    assert curve.kinked is not None
    assert curve.kinked[:, 0].tolist() == [False, True, True, True]
    assert float(curve.slope[1:].max()) < 1e-3 * 40
    assert abs(float(curve.defect())) <= 0.1 * 40 / 2  # of the step that ends at the kink
    seen = flow(ABS, x, scheme=Explicit(0.02, Lp(2)), until=Steps(3), record=Record(kinks=0.01))
    torch.testing.assert_close(
        seen.slope[:, 0], torch.full((4,), math.sqrt(40), dtype=torch.float64), rtol=0.03, atol=0
    )


def test_where_gradients_nearby_do_not_settle_it_the_slope_is_unknown_and_says_so() -> None:
    """A maximum of 60 forms in general position at their common point: 32 gradients are too few."""
    G = draw(60, 60)
    energy = Function(lambda z: (z @ (G - 0.9 * G.mean(0)).T).amax(1))
    x = torch.zeros(1, 60, dtype=torch.float64)
    curve = flow(energy, x, scheme=Explicit(1e-9, Lp(2)), until=Steps(1), record=Record(kinks=0.5))
    assert bool(curve.slope[0].isnan())
    assert bool(curve.defect().isnan())
    assert "of 2 instants the slope is not known" in curve.reasons()[0]


# --- attacks ---------------------------------------------------------------------------------------------------------


class Valley:
    """Logits (m, 0) with m = 5 |z_0 - z_1| + z_0 - level: gradient steps zigzag across the valley z_0 = z_1."""

    def __init__(self, level: float = 0.35) -> None:
        self.level = level

    def __call__(self, z: Tensor) -> Tensor:
        m = 5 * (z[:, 0] - z[:, 1]).abs() + z[:, 0] - self.level
        return torch.stack([m, torch.zeros_like(m)], 1)


def test_a_descent_along_a_kink_finds_what_steps_across_it_do_not() -> None:
    x, y = torch.tensor([[0.62, 0.2], [0.3, 0.9]]), torch.tensor([0, 0])
    runs = (ms.recipes.pgd(4),)
    before = ms.attack(Valley(), x, y, ms.Linf(0.25), effort=ms.Effort(runs))
    after = ms.attack(Valley(), x, y, ms.Linf(0.25), effort=ms.Effort((*runs, Bundle(40))))
    assert not bool(before.broken.any())
    assert bool(before.local_gap.isnan().all())
    assert after.stages[-1] == Bundle(40)
    assert float(after.margin[0]) == pytest.approx(0.02, abs=2e-3)  # z = (0.37, 0.37)
    assert after.local_minimum.tolist() == [True, False]
    assert after.local_gap.isnan().tolist() == [False, True]  # the second is far from falling: nothing is spent on it
    assert after.backward[1] == before.backward[1]
    assert before.backward[0] < after.backward[0] <= before.backward[0] + 40
    assert int(after.broken.sum()) == 0


def test_an_error_that_a_descent_finds_is_verified_and_its_passes_are_counted() -> None:
    model = Valley(0.45)
    x, y = torch.tensor([[0.62, 0.2]]), torch.tensor([0])
    effort = ms.Effort((ms.recipes.pgd(4), Bundle(40)))
    found = ms.attack(model, x, y, ms.Linf(0.25), effort=effort, batch_size=1)
    assert found.broken.tolist() == [True]
    assert bool(found.local_gap.isnan().all())
    assert int(model(found.points).argmax(1)) == 1
    assert found.status.tolist() == [ms.Status.REACHED]
    assert found.executed == (int(found.forward) + found.inspected, int(found.backward))
    again = ms.attack(model, x, y, ms.Linf(0.25), effort=found.effort, batch_size=1)
    assert torch.equal(again.points, found.points)


@pytest.mark.parametrize("most", [0, 4, 5, 6, 7, 12])
def test_a_limit_holds_for_the_descent_too(most: int) -> None:
    x, y = torch.tensor([[0.62, 0.2]]), torch.tensor([0])
    effort = ms.Effort((ms.recipes.pgd(4), Bundle(40))).limited(most)
    found = ms.attack(Valley(), x, y, ms.Linf(0.25), effort=effort, batch_size=1)
    assert int(found.backward) <= most
    assert found.executed[1] == int(found.backward)
    assert bool(found.gap.isfinite()) == (most > 4)


def test_a_realized_point_has_no_gradients_nearby() -> None:
    x, y = torch.tensor([[0.62, 0.2]]), torch.tensor([0])
    effort = ms.Effort((ms.recipes.pgd(4), Bundle(40)))
    found = ms.attack(Valley(), x, y, ms.Linf(0.25), effort=effort, realize=ms.realize.Grid(256))
    assert bool(found.local_gap.isnan().all())
    assert Bundle(40) not in found.stages


def test_reports_say_how_many_stand_at_local_minima() -> None:
    x, y = torch.tensor([[0.62, 0.2], [0.3, 0.9]]), torch.tensor([0, 0])
    effort = ms.Effort((ms.recipes.pgd(4), Bundle(40)))
    report = ms.evaluate(Valley(), (x, y), ms.Linf(0.25), effort=effort)
    assert report.local_minima == (1, 1)
    assert "within 10 % of the budget" in ms.page(report).html()
    assert '"local": [\n   1,\n   1,\n   0.1\n  ]' in report.json()


def test_misuse_of_the_stage() -> None:
    with pytest.raises(ValueError, match="got 0"):
        Bundle(0)
    with pytest.raises(ValueError, match=r"share of eps in \(0, 1\], got 2"):
        Bundle(4, 2)
