"""Slopes and defects at kinks, what a movement vouches for, and rows that are not finite."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, nnls
from torch import Tensor

import maxslope as ms
from maxslope.energies import Function, Linear, Quadratic
from maxslope.loop import Record, Steps, flow
from maxslope.schemes import Consensus, Descent, Explicit, MinimizingMovement, Newton, Scheme, SemiImplicit
from maxslope.schemes.kinks import least_slope, metric_slope, simplex
from maxslope.sets import L2, Box, Everything, Linf
from maxslope.spaces import Lp

INF = Lp(math.inf)
ABS = Function(lambda z: z.abs().sum(1))


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def f64(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.slow
def test_at_the_kink_of_the_modulus_the_slope_is_zero_and_the_defect_vanishes() -> None:
    """E = |x| from 0.63: the curve arrives at 0.63 and rests; its slope there is 0, whatever side rounding chose."""
    for tau in (0.1, 0.05, 0.025):
        curve = flow(ABS, f64([0.63]), scheme=MinimizingMovement(tau, inner=Newton()), until=1.3)
        assert curve.status.tolist() == [ms.Status.FINISHED]
        late = curve.time[:, 0] > 0.63 + tau
        assert float(curve.slope[late].max()) < 1e-3
        assert curve.kinked is not None
        assert bool(curve.kinked[late].all())
        assert abs(float(curve.defect())) <= tau
        blind = flow(
            ABS, f64([0.63]), scheme=MinimizingMovement(tau, inner=Newton()), until=1.3, record=Record(kinks=0)
        )
        assert float(blind.defect()) < -0.5  # what the gradient at the point says


def test_the_explicit_scheme_sees_kinks_where_it_is_asked_to_look() -> None:
    """It chatters around 0 at a distance of a step: gradients within one step cancel."""
    for tau in (0.05, 0.025):
        curve = flow(ABS, f64([0.63]), scheme=Explicit(tau), until=1.3, record=Record(kinks=1.0))
        assert abs(float(curve.defect())) <= 2 * tau
        # its own evaluation at each instant, two more for each coordinate
        assert curve.forward.tolist() == [3 * len(curve.time)]


def test_along_a_curved_kink_the_slope_is_that_of_the_motion_along_it() -> None:
    """E = |z_1 - z_0^2 - 0.05| - 0.2 z_0: of all mixtures of the two gradients the least l_1 norm is 0.2."""
    energy = Function(lambda z: (z[:, 1] - z[:, 0].square() - 0.05).abs() - 0.2 * z[:, 0])
    x = f64([0.1, 0.0], [0.11, 0.13])
    curve = flow(energy, x, scheme=MinimizingMovement(0.1, inner=Newton(), nodes=0), until=Steps(2))
    torch.testing.assert_close(curve.slope[1:], torch.full_like(curve.slope[1:], 0.2), rtol=0, atol=0.03)


@pytest.mark.slow
def test_in_a_box_a_face_holds_part_of_a_kink() -> None:
    """E = |z_0 - z_1| + 2 z_1 at z_1 = 0, the lower face: only z_0 can move, along the kink at z_0 = 0: slope 0."""
    energy = Function(lambda z: (z[:, 0] - z[:, 1]).abs() + 2 * z[:, 1])
    box = Box(f64([-1.0, 0.0]), f64([1.0, 1.0]))
    x = f64([1e-9, 0.0], [0.5, 0.0])
    gradient = energy.evaluate(x).gradient
    for space in (INF, Lp(2), Lp(1)):
        found = metric_slope(energy, box, x, gradient, torch.full((2,), 0.01, dtype=torch.float64), space)
        torch.testing.assert_close(found.value, torch.tensor([0.0, 1.0], dtype=torch.float64), rtol=0, atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
@pytest.mark.parametrize(("d", "m"), [(2, 3), (3, 7)])
def test_least_element_of_a_hull_against_linear_programs_and_least_squares(p: float, d: int, m: int) -> None:
    G = draw(12, m, d) + 0.6
    found = least_slope(Everything(), torch.zeros(12, d, dtype=torch.float64), G, Lp(p))
    for k in range(12):
        A = G[k].numpy().T
        if p == 2:
            weight, _ = nnls(np.vstack([A, 1e4 * np.ones((1, m))]), np.r_[np.zeros(d), 1e4])
            exact = float(np.linalg.norm(A @ weight))
        else:  # the dual norm as bounds t_i (l_1) or one bound t (l_inf)
            extra = np.eye(d) if math.isinf(p) else np.ones((d, 1))
            size = extra.shape[1]
            rows = np.vstack([np.hstack([A, -extra]), np.hstack([-A, -extra])])
            cost, mass = np.r_[np.zeros(m), np.ones(size)], np.r_[np.ones(m), np.zeros(size)][None]
            exact = float(linprog(cost, rows, np.zeros(2 * d), mass, [1.0]).fun)
        assert exact - 1e-7 <= float(found[k]) <= exact + 0.02


def test_the_nearest_point_of_the_simplex() -> None:
    w = draw(50, 4)
    s = simplex(w)
    torch.testing.assert_close(s.sum(1), torch.ones(50, dtype=torch.float64))
    other = torch.softmax(draw(200, 4, seed=1), 1)
    assert float(((w - s)[:, None] * (other[None] - s[:, None])).sum(2).max()) < 1e-12
    assert float(s.min()) >= 0


def test_how_near_gradients_are_gathered_is_not_negative() -> None:
    with pytest.raises(ValueError, match="got kinks=-1"):
        Record(kinks=-1)


@pytest.mark.slow
def test_the_defect_is_of_order_one_where_a_budget_begins_to_bind_and_two_elsewhere() -> None:
    """Movements too: the trapezoid rule meets a jump of the constrained slope between two instants."""
    A, x = f64([2.0, 0.5], [0.5, 1.0]), f64([0.9, 0.4])
    for energy, least, most in (
        (Quadratic(A), 1.8, 2.2),
        (Quadratic(A).within(L2(0.25, box=None).around(x)), 0.8, 1.2),
    ):
        sizes = []
        for tau in (0.01, 0.0025):
            scheme = MinimizingMovement(tau, Lp(2), inner=Descent(restarts=0), nodes=0)
            sizes.append(abs(float(flow(energy, x, scheme=scheme, until=0.4).defect())))
        assert least <= math.log(sizes[0] / sizes[1]) / math.log(4) <= most


# --- what a movement vouches for -------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [2, 5, 20])
def test_a_search_that_misses_the_minimum_of_a_linear_form_is_not_vouched_for(d: int) -> None:
    """Of |c|_1 tau in l_inf a swarm attains less and less as d grows; from one in a thousand on it is unsolved."""
    c = draw(12, d)
    start = torch.zeros_like(c)
    curve = flow(Linear(c), start, scheme=MinimizingMovement(0.1, inner=Consensus()), until=Steps(1))
    missed = 1 + curve.energy[-1] / (0.1 * c.abs().sum(1))
    unsolved = curve.status == ms.Status.UNSOLVED
    assert bool(unsolved[missed > 2e-3].all())
    assert not bool(unsolved[missed < 5e-4].any()) or d > 2
    exact = flow(Linear(c), start, scheme=MinimizingMovement(0.1), until=Steps(1))
    assert exact.status.tolist() == [ms.Status.FINISHED] * 12


@pytest.mark.slow
def test_smooth_steps_that_are_solved_stay_vouched_for() -> None:
    """No false alarm where coordinates slide, cross or meet faces, in any norm or rate."""
    x = draw(6, 3)
    a = draw(3, 3, seed=2)
    energy = Quadratic(a @ a.T + 0.3 * torch.eye(3, dtype=torch.float64))
    for scheme in (
        MinimizingMovement(0.2, inner=Newton()),
        MinimizingMovement(0.2, Lp(2)),
        MinimizingMovement(0.25, Lp(2), rate=2.0, inner=Descent(restarts=0)),
    ):
        for domain in (Everything(), Linf(0.5, box=None).around(x)):
            curve = flow(energy.within(domain), x, scheme=scheme, until=0.6)
            assert curve.status.tolist() == [ms.Status.FINISHED] * 6
            assert curve.kinked is not None
            assert not bool(curve.kinked.any())


# --- rows that are not finite ----------------------------------------------------------------------------------------

ALL: dict[str, Scheme] = {
    "explicit": Explicit(0.1, Lp(2)),
    "semi-implicit in l_inf": SemiImplicit(0.1),
    "semi-implicit in l_2": SemiImplicit(0.1, Lp(2)),
    "semi-implicit, rate 2": SemiImplicit(0.1, Lp(2), 2.0),
    "momentum": ms.Momentum(SemiImplicit(0.1)),
    "descent": MinimizingMovement(0.1, Lp(2), inner=Descent(restarts=0)),
    "descent, rate 2": MinimizingMovement(0.1, Lp(2), 2.0, Descent(restarts=0, iterations=15), nodes=0),
    "Newton": MinimizingMovement(0.1, inner=Newton()),
    "consensus": MinimizingMovement(0.1, inner=Consensus(particles=6, iterations=5)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_a_row_that_is_not_finite_ends_alone(name: str) -> None:
    """NaN or infinite at the start, or NaN on the way: the others go on, to the bit."""
    energy = Function(lambda z: torch.where(z[:, 0] < -1, torch.nan, z[:, 0] + z[:, 1].square()))
    good = f64([1.0, 1.0], [2.0, 0.5])
    x = torch.cat([f64([math.nan, 1.0], [math.inf, 0.5], [-0.95, 0.25]), good])
    boxes = isinstance(ALL[name], MinimizingMovement) and (name == "Newton" or ALL[name].rate == 2)  # or it takes long
    for domain in (None,) if boxes else (None, "ball"):
        K = [L2(0.6, box=None).around(z.nan_to_num(0.3, 0.3)) if domain else Everything() for z in (x, good)]
        curve, alone = (
            flow(energy.within(k), z, scheme=ALL[name], until=0.2) for k, z in zip(K, (x, good), strict=True)
        )
        assert curve.status[:1].tolist() == [ms.Status.NON_FINITE]
        assert torch.equal(curve.end[3:], alone.end)
        assert curve.status[3:].tolist() == alone.status.tolist()
        walks = isinstance(ALL[name], MinimizingMovement)  # which never goes where the energy is NaN
        assert bool(curve.energy[-1, 2].isfinite()) == walks
        assert (int(curve.status[2]) == ms.Status.NON_FINITE) != walks
