"""Sets against their laws: projection, linear minimizer, semi-implicit step, slope, gap, budgets."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from contracts._instances import Instance, Problem, instance, normal, numpy
from maxslope.sets import L1, L2, BallBox, Box, Budget, Everything, Linf, _joint, ball
from maxslope.spaces import Lp, Mixed, Space, Weighted

P = (1, 1.5, 2, 3)
KINDS = {
    "ball": dict(boxed=False),
    "ball in box": {},
    "center outside": dict(outside=True),
    "weighted": dict(weighted=True),
    "weighted, center outside": dict(weighted=True, outside=True),
}
EVERY = pytest.mark.parametrize(("p", "kind"), [(p, kind) for p in P for kind in KINDS])


def inner(xi: Tensor, v: Tensor) -> Tensor:
    return (xi * v).reshape(xi.shape[0], -1).sum(1)


def space_of(case: Instance, p: float) -> Space:
    return Lp(p) if bool((case.w == 1).all()) else Weighted(Lp(p), case.w)


def members(case: Instance, count: int, seed: int) -> Tensor:
    """Feasible points [count, rows, d], on the boundary half of the time, made without the code under test."""
    g = torch.Generator().manual_seed(seed)
    rows, d = case.center.shape
    anchor = case.center.clamp(case.lo, case.hi)
    radius = case.radius[:, None]
    v = torch.randn(count, rows, d, generator=g, dtype=torch.float64) * radius
    v = torch.where(torch.rand(v.shape, generator=g) < 0.4, 0.0, v)
    z = (anchor + v * torch.rand(count, rows, 1, generator=g, dtype=torch.float64) * 2).clamp(case.lo, case.hi)
    low, high = torch.zeros(count, rows, 1, dtype=torch.float64), torch.ones(count, rows, 1, dtype=torch.float64)
    for _ in range(34):  # the largest share, to 1e-10, of the segment from the anchor that stays in the ball
        mid = (low + high) / 2
        y = case.w * (anchor + mid * (z - anchor) - case.center)
        size = torch.linalg.vector_norm(y, case.p, dim=2, keepdim=True)
        low, high = torch.where(size <= radius, mid, low), torch.where(size <= radius, high, mid)
    return anchor + low * (z - anchor)


# --- projection ------------------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("d", [1, 2, 6])
def test_projection_is_feasible_idempotent_and_optimal(p: float, kind: str, d: int) -> None:
    """|w (Px - c)|_p <= r, PPx = Px and <x - Px, z - Px> <= 0 for z in K."""
    case = instance(p, 40, d, 10 * d, **KINDS[kind])
    x = case.center + 3 * normal(1, 40, d) * case.radius[:, None]
    x[::5] = case.x[::5]
    y = case.K.project(x)
    assert all(case.problem(i).excess(numpy(y[i])) <= 1e-12 for i in range(40))
    torch.testing.assert_close(case.K.project(y), y, rtol=0, atol=1e-10)
    torch.testing.assert_close(y[::5], case.x[::5], rtol=0, atol=1e-10)
    z = members(case, 300, 2)
    scale = 1 + (x - y).norm(dim=1)
    assert float((((x - y) * (z - y)).sum(2) / scale).max()) <= 1e-9


@EVERY
def test_projection_equals_a_quadratic_program(p: float, kind: str) -> None:
    """The projection equals SLSQP's (in which an l_1 ball is a set of linear rows)."""
    case = instance(p, 12, 5, 3, **KINDS[kind])
    x = case.center + 2 * normal(4, 12, 5) * case.radius[:, None]
    y = case.K.project(x)
    for i in range(12):
        wanted = case.problem(i).nearest(numpy(x[i]), numpy(case.x[i]))
        np.testing.assert_allclose(numpy(y[i]), wanted, atol=2e-6)


def test_projections_in_closed_form() -> None:
    """Radial for an l_2 ball, soft thresholding for l_1, clipping for a box; a box breaks radial rescaling."""
    x = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    zero, one = torch.zeros(1, 2, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    torch.testing.assert_close(ball(Lp(2), zero, one).project(x), x / 5)
    torch.testing.assert_close(ball(Lp(1), zero, 2 * one).project(x), torch.tensor([[0.5, 1.5]], dtype=torch.float64))
    torch.testing.assert_close(Box(zero, zero + 2).project(x), zero + 2)
    # min (d1 - 3)^2 + (d2 - 4)^2 on the unit disk with d2 <= 0.6: d = (0.8, 0.6), not a clipped radial point
    half = Box(zero - 9, torch.tensor([[9.0, 0.6]], dtype=torch.float64))
    wanted = torch.tensor([[0.8, 0.6]], dtype=torch.float64)
    torch.testing.assert_close(ball(Lp(2), zero, one, half).project(x), wanted)


# --- linear minimizer ------------------------------------------------------------------------------------------------


def test_projection_onto_a_euclidean_ball_from_near_and_far() -> None:
    """A point just outside takes two steps of Newton's method; one whose bounds all hold is filled from zero."""
    v = torch.tensor([[10.0, 10, 10, 0.1], [0.3, 0.3, 0.3, 0.1], [0, 0, 0, 0.2], [2, 0.1, 0, 0]], dtype=torch.float64)
    radius = torch.tensor([0.5, 0.5, 0.5, 0.0], dtype=torch.float64)
    box = Box(-torch.ones(1, 4, dtype=torch.float64), torch.ones(1, 4, dtype=torch.float64))
    K = ball(Lp(2), torch.zeros(4, 4, dtype=torch.float64), radius, box)
    scale = 0.5 / v[:2].norm(dim=1, keepdim=True)
    expected = torch.cat([v[:2] * scale, v[2:3], torch.zeros(1, 4)])
    torch.testing.assert_close(K.project(v), expected, rtol=1e-12, atol=0)
    assert bool((K.violation(K.project(v)) <= 1e-15).all())


def test_projections_of_images_satisfy_the_conditions_of_karush_kuhn_and_tucker() -> None:
    """On the sphere, and clip(s v) with one s per row: s is the same for all coordinates that are not at a bound."""
    x = (normal(3, 7, 500).clamp(-0.5, 0.5) + 0.5).double()
    v = 0.2 * normal(4, 7, 500) * torch.logspace(-6, 2, 7, dtype=torch.float64)[:, None]
    radius = v.norm(dim=1) * torch.tensor([0.999, 0.5, 0.1, 0.9, 0.01, 0.03, 0.0005], dtype=torch.float64)
    K = ball(Lp(2), x, radius, Box(torch.zeros(1, 500).double(), torch.ones(1, 500).double()))
    d = K.project(x + v) - x
    outside = ((x + v).clamp(0, 1) - x).norm(dim=1) > radius
    free = (x + d > 0) & (x + d < 1) & (v.abs() > 1e-3 * v.abs().amax(1, keepdim=True))
    ratio = d / v
    least, most = ratio.where(free, torch.inf).amin(1), ratio.where(free, -torch.inf).amax(1)
    assert int(outside.sum()) >= 5
    assert bool((most - least <= 1e-7 * most)[outside].all())
    torch.testing.assert_close(d.norm(dim=1)[outside], radius[outside], rtol=1e-9, atol=0)


@EVERY
@pytest.mark.parametrize("d", [1, 6])
def test_linear_minimizer_is_feasible_and_beats_1000_points(p: float, kind: str, d: int) -> None:
    """<xi, z*> <= <xi, z> for 1,000 feasible z."""
    case = instance(p, 30, d, 20 + d, **KINDS[kind])
    z = case.K.minimize_linear(case.xi)
    assert all(case.problem(i).excess(numpy(z[i])) <= 1e-10 for i in range(30))
    others = (members(case, 1000, 5) * case.xi).sum(2)
    assert bool((inner(case.xi, z) <= others.amin(0) + 1e-9).all())


@EVERY
def test_linear_minimizer_equals_a_program(p: float, kind: str) -> None:
    """The value equals scipy's linear program (p = 1) or SLSQP."""
    case = instance(p, 25, 6, 31, **KINDS[kind])
    got = inner(case.xi, case.K.minimize_linear(case.xi))
    for i in range(25):
        wanted = case.problem(i).linear(numpy(case.xi[i]), numpy(case.x[i]))
        assert abs(float(got[i]) - wanted) <= 1e-6 * (1 + abs(wanted)), (i, float(got[i]), wanted)


# --- the semi-implicit step ------------------------------------------------------------------------------------------

PAIRS = [(p, p) for p in P] + [(1, 2), (2, 1), (2, 3), (3, 1)] + [(math.inf, p) for p in (1, 2, 3)]
INTO_BOX = [(1, math.inf), (2, math.inf), (3, math.inf), (math.inf, math.inf)]


def exists(p: float, kind: str) -> bool:
    """Whether there is such a set: a box has no center to put outside."""
    return not ("outside" in kind and math.isinf(p))


def check_step(case: Instance, step: float, rows: int, relative: float) -> None:
    z = case.K.minimize_linear_near(case.xi, case.x, case.tau, space_of(case, step))
    for i in range(rows):
        row, xi = case.step_problem(i, step), numpy(case.xi[i])
        assert row.excess(numpy(z[i])) <= (1e-9 if step == case.p else 1e-8), (i, row.excess(numpy(z[i])))
        wanted, got = row.linear(xi, numpy(case.x[i])), float(xi @ numpy(z[i]))
        assert abs(got - wanted) <= relative * max(abs(wanted), float(np.abs(xi).max()) * 1e-3), (i, got, wanted)


@pytest.mark.parametrize("kind", ["ball", "ball in box", "center outside"])
@pytest.mark.parametrize("p", [1, 2])
def test_semi_implicit_step_equals_an_independent_solver_on_200_instances(p: float, kind: str) -> None:
    """The l_1 step against scipy's linear program, the l_2 step against SLSQP, 1e-6 relative in the linear value."""
    check_step(instance(p, 200, 6, 41, **KINDS[kind]), p, 200, 1e-6)


@pytest.mark.parametrize(
    ("step", "p", "kind"), [(step, p, kind) for kind in KINDS for step, p in PAIRS + INTO_BOX if exists(p, kind)]
)
def test_semi_implicit_step_for_pairs_of_norms(step: float, p: float, kind: str) -> None:
    """Steps and budgets of different norms against scipy."""
    rows = 12 if {step, p} <= {1, 2, math.inf} else 6
    check_step(instance(p, rows, 5, 43, **KINDS[kind]), step, rows, 2e-6)


def test_plane_example_of_the_paper() -> None:
    """In the plane, x = (1, 0), xi = (-1, -1), tau = 1/2: projected -1.220, semi-implicit -1.359 (closed forms)."""
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    xi, tau = torch.tensor([[-1.0, -1.0]], dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64)
    K = ball(Lp(2), torch.zeros_like(x), torch.ones_like(tau))
    explicit = float(inner(xi, K.project(x + 0.5 * Lp(2).steepest(xi))))
    reach = 1 + 0.5 / math.sqrt(2)
    assert explicit == pytest.approx(-(reach + 0.5 / math.sqrt(2)) / math.hypot(reach, 0.5 / math.sqrt(2)), abs=1e-12)
    implicit = float(inner(xi, K.minimize_linear_near(xi, x, tau, Lp(2))))
    assert implicit == pytest.approx(-(0.875 + math.sqrt(1 - 0.875**2)), abs=1e-12)  # both circles meet at z_1 = 7/8
    assert (round(explicit, 3), round(implicit, 3)) == (-1.220, -1.359)


def test_taxicab_step_in_closed_form() -> None:
    """At x on the l_1 sphere half a step goes inward, half outward: x = (1, 0), xi = (-1, -3) gives (0.75, 0.25)."""
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    K = ball(Lp(1), torch.zeros_like(x), one)
    z = K.minimize_linear_near(torch.tensor([[-1.0, -3.0]], dtype=torch.float64), x, 0.5 * one, Lp(1))
    torch.testing.assert_close(z, torch.tensor([[0.75, 0.25]], dtype=torch.float64))


@pytest.mark.parametrize("eps", [3.0, 60.0, 120.0])
def test_taxicab_shortcuts_on_images_equal_a_linear_program(eps: float) -> None:
    """Many coordinates, of which the l_1 solvers first sort a few: still the linear program's value."""
    x0 = images(2, 400).double()
    K, taxi, one = L1(eps).around(x0), Lp(1), np.ones(400)
    x = K.project(x0 + normal(85, 2, 400))
    for share in (0.05, 0.6):
        xi = normal(86, 2, 400)
        tau = torch.full((2,), share * eps, dtype=torch.float64)
        z, far = K.minimize_linear_near(xi, x, tau, taxi), K.minimize_linear(xi)
        for i in range(2):
            ball_i = (1, numpy(x0[i]), eps, one)
            row = Problem([ball_i, (1, numpy(x[i]), float(tau[i]), one)], one * 0, one.copy())
            alone = Problem([ball_i], one * 0, one.copy())
            assert row.excess(numpy(z[i])) <= 1e-10
            for point, problem in ((z, row), (far, alone)):
                wanted = problem.linear(numpy(xi[i]), numpy(x[i]))
                assert float(inner(xi, point)[i]) == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("p", [*P, math.inf])
def test_a_step_longer_than_the_diameter_is_the_minimizer_over_the_set(p: float) -> None:
    """tau = 10 diameters: the linear value over K itself."""
    case = instance(p, 30, 6, 51)
    z = case.K.minimize_linear_near(case.xi, case.x, case.tau * 0 + 1e3, Lp(p))
    torch.testing.assert_close(inner(case.xi, z), inner(case.xi, case.K.minimize_linear(case.xi)))


@pytest.mark.parametrize("p", [*P, math.inf])
def test_a_tiny_step_moves_with_the_slope(p: float) -> None:
    """tau = 1e-9, float64: <xi, x - z> = tau slope(x) to first order, and |z - x| <= tau."""
    case = instance(p, 20, 6, 52)
    tau = torch.full_like(case.tau, 1e-9)
    z = case.K.minimize_linear_near(case.xi, case.x, tau, Lp(p))
    rate = inner(case.xi, case.x - z) / tau
    assert bool((Lp(p).distance(case.x, z) <= tau * (1 + 1e-6)).all())
    # Never faster than the slope; as fast, up to the curvature of the sphere and rounding.
    slope = case.K.slope(case.xi, case.x, Lp(p))
    assert float((rate - slope).max()) <= 1e-5
    assert float((slope - rate).max()) <= (1e-5 if p in (1, math.inf) else 2e-4)


# --- slope and gap ---------------------------------------------------------------------------------------------------


@cache
def near_and_far(p: float, kind: str) -> Tensor:
    """Feasible points [4000, rows, d] of the sets below, half of them close to where the slope is asked."""
    case = instance(p, 25, 4, 61, **KINDS[kind])
    z = members(case, 2000, 62)
    return torch.cat([z, case.x + 1e-3 * (z - case.x)])


@pytest.mark.parametrize(
    ("p", "kind", "step"),
    [
        (p, kind, step)
        for p in (*P, math.inf)
        for kind in ("ball in box", "center outside", "weighted")
        for step in (1, 2, 3, math.inf)
        if exists(p, kind)
    ],
)
def test_slope_is_the_steepest_feasible_quotient(p: float, kind: str, step: float) -> None:
    """slope >= <xi, x - z> / |x - z| for all z in K, and the quotient of short semi-implicit steps attains it."""
    case = instance(p, 25, 4, 61, **KINDS[kind])
    space = space_of(case, step)
    slope = case.K.slope(case.xi, case.x, space)
    z = near_and_far(p, kind)
    moved = space.norm((case.x - z).reshape(-1, 4)).reshape(z.shape[:2])
    quotient = torch.where(moved > 1e-7, ((case.x - z) * case.xi).sum(2).clamp_min(0) / moved, 0.0)
    assert float((quotient.amax(0) - slope).max()) <= 1e-7
    case.tau[:] = 1e-5
    for i in range(2):
        xi, x = numpy(case.xi[i]), numpy(case.x[i])
        best = (float(xi @ x) - case.step_problem(i, step).linear(xi, x)) / 1e-5
        # the quotient over steps of length 1e-5 falls short of the slope by the curvature of the sphere only
        flat = p in (1, math.inf) and step in (1, math.inf)
        assert best >= float(slope[i]) - (1e-4 if flat else 0.05) * (1 + float(slope[i])), (i, best, float(slope[i]))


def test_slope_of_a_box_counts_the_coordinates_that_can_move() -> None:
    """flows.md section 5: for l_inf the sum of |xi_i| over coordinates that can still move against xi_i."""
    lo, hi = torch.zeros(1, 4), torch.ones(1, 4)
    x = torch.tensor([[0.0, 1.0, 0.0, 0.5]])
    xi = torch.tensor([[3.0, 5.0, -7.0, 11.0]])
    assert float(Box(lo, hi).slope(xi, x, Lp(math.inf))) == 5 + 7 + 11


def test_slope_on_the_sphere_in_closed_form() -> None:
    """On the l_2 sphere the normal part of an outward descent drops out; inward descent keeps all of it."""
    x = torch.tensor([[3.0, 4.0], [3.0, 4.0], [0.3, 0.4]], dtype=torch.float64)
    K = ball(Lp(2), torch.zeros_like(x), torch.full((3,), 5.0, dtype=torch.float64))
    normal_out, tangent = x[:1] / 5, torch.tensor([[0.8, -0.6]], dtype=torch.float64)
    outward = (2 * tangent - 3 * normal_out).expand(3, 2).clone()
    outward[1] = 2 * tangent[0] + 3 * normal_out[0]
    slope = K.slope(outward, x, Lp(2))
    torch.testing.assert_close(slope, torch.tensor([2.0, 13**0.5, 13**0.5], dtype=torch.float64))
    stationary = K.slope(-x / 5, x, Lp(2))
    assert float(stationary[0]) <= 1e-12


@pytest.mark.parametrize("p", [*P, math.inf])
def test_slope_and_gap_vanish_at_the_minimizer(p: float) -> None:
    """First-order stationary points have slope and gap zero, in float32 too."""
    case = instance(p, 40, 6, 63)
    z = case.K.minimize_linear(case.xi)
    assert float(case.K.gap(case.xi, z).abs().max()) <= 1e-12
    assert float(case.K.slope(case.xi, z, Lp(p)).max()) <= 1e-6
    assert float(case.K.slope(case.xi, z, Lp(2)).max()) <= 1e-6


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("eps", [2.0, 0.5, 0.01, 1e-3])
def test_the_sphere_is_found_in_float32(p: float, eps: float) -> None:
    """At the minimizer on float32 images the slope vanishes against |xi|_*, for balls near the rounding of x too."""
    x0, xi = images(32), normal(65, 32, 784).float()
    K = Budget(Lp(p), eps).around(x0)
    slope = K.slope(xi, K.minimize_linear(xi), Lp(p))
    assert float((slope / Lp(p).dual_norm(xi)).max()) <= 1e-3


@pytest.mark.parametrize("p", [*P, math.inf])
def test_radius_zero_leaves_the_center_only(p: float) -> None:
    """eps = 0: every operation returns the center, the slope is zero."""
    c = torch.rand(3, 4, dtype=torch.float64)
    zero = torch.zeros(3, dtype=torch.float64)
    K, xi = ball(Lp(p), c, zero, Box(c * 0, c * 0 + 1)), normal(1, 3, 4)
    for z in (K.project(c + xi), K.minimize_linear(xi), K.minimize_linear_near(xi, c, zero + 1, Lp(p))):
        torch.testing.assert_close(z, c, rtol=0, atol=1e-12)
    assert bool((K.slope(xi, c, Lp(p)) == 0).all())
    assert bool((K.gap(xi, c).abs() <= 1e-12).all())


@EVERY
def test_gap_bounds_every_improvement(p: float, kind: str) -> None:
    """gap >= 0 and gap >= <xi, x - z> for z in K."""
    case = instance(p, 30, 5, 64, **KINDS[kind])
    gap = case.K.gap(case.xi, case.x)
    assert float(gap.min()) >= -1e-12
    better = ((case.x - members(case, 500, 6)) * case.xi).sum(2).amax(0)
    assert bool((better <= gap + 1e-9).all())


# --- rows, layouts, precision ----------------------------------------------------------------------------------------


SAME = [(p, p) for p in (1, 1.1, 1.5, 2, 2.5, 3, 7, 50)]


@pytest.mark.parametrize(("step", "p"), [*SAME, (math.inf, 2), (2, math.inf), (2, 1), (1, 2)])
def test_rows_are_strangers(step: float, p: float) -> None:
    """A row alone, or the rows in another order, give the same bits; take(rows) is the set of those rows."""
    case = instance(p, 7, 6, 71)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])

    def answers(K: BallBox | Box, rows: Tensor) -> list[Tensor]:
        x, xi = case.x[rows], case.xi[rows]
        return [
            K.project(3 * x - 1),
            K.minimize_linear(xi),
            K.minimize_linear_near(xi, x, case.tau[rows], Lp(step)),
            K.slope(xi, x, Lp(step)),
            K.violation(3 * x),
        ]

    together = answers(case.K, torch.arange(7))
    for rows in (order, *torch.arange(7)[:, None]):
        for one, two in zip(together, answers(case.K.take(rows), rows), strict=True):
            assert torch.equal(one[rows], two)


@pytest.mark.parametrize("p", [*P, math.inf])
def test_layout_does_not_matter(p: float) -> None:
    """Channels-last and other strided inputs give the answers of contiguous ones, in the shape given."""
    c = torch.rand(3, 3, 4, 5)
    xi, v = normal(2, 3, 3, 4, 5, dtype=torch.float32), normal(3, 3, 3, 4, 5, dtype=torch.float32)
    tau = torch.full((3,), 0.3)

    def answers(change) -> list[Tensor]:  # type: ignore[no-untyped-def]
        K = Budget(Lp(p), 0.7).around(change(c))
        z = K.minimize_linear_near(change(xi), change(K.project(c)), tau, Lp(p))
        return [K.project(change(c + v)), K.minimize_linear(change(xi)), z, K.slope(change(xi), change(c), Lp(p))]

    plain = answers(lambda t: t)
    strided = answers(lambda t: t.transpose(1, 3).contiguous().transpose(1, 3))
    for one, two in zip(plain, strided, strict=True):
        assert one.shape == two.shape
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)
    last = answers(lambda t: t.contiguous(memory_format=torch.channels_last))
    for one, two in zip(plain, last, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def images(rows: int, d: int = 784) -> Tensor:
    """Float32 rows in [0, 1] like handwriting: three quarters exact zeros, some exact ones."""
    return (normal(81, rows, d) * 1.2 - 0.8).clamp(0, 1).float()


@pytest.mark.parametrize(("p", "eps"), [(1, 15.0), (1.5, 6.0), (2, 2.0), (3, 0.9), (math.inf, 0.3)])
def test_float32_images_agree_with_float64(p: float, eps: float) -> None:
    """On float32 images: feasible to 1e-6 relative, values within 1e-5 of float64, over several steps."""
    x0 = images(6)
    xi = normal(82, 6, 784).float()
    xi = torch.where(normal(83, 6, 784) > 0.5, xi, torch.zeros_like(xi))
    xi[1] = xi[1].sign()  # ties
    xi[2] *= 1e-20
    xi[3] = 0
    xi[3, 5] = -1.0  # a single entry counts
    single, double = Budget(Lp(p), eps).around(x0), Budget(Lp(p), eps).around(x0.double())
    x = x0
    for share in (0.7, 0.3, 0.1, 0.7):
        tau = torch.full((6,), share * eps)
        z = single.minimize_linear_near(xi, x, tau, Lp(p))
        start = double.project(x.double())
        wanted = double.minimize_linear_near(xi.double(), start, tau.double(), Lp(p))
        assert float(single.violation(z).max()) <= 1e-6 * eps
        assert bool((z >= 0).all() & (z <= 1).all())
        scale = tau * Lp(p).dual_norm(xi)
        error = inner(xi.double(), z.double() - wanted) / scale
        assert float(error.abs().max()) <= 1e-5, (share, error)
        x = z + 0.0
    for got, wanted in (
        (single.project(x0 + xi), double.project(x0.double() + xi.double())),
        (single.project(x0 + 0.4), double.project(x0.double() + 0.4)),
    ):
        assert float(single.violation(got).max()) <= 1e-6 * eps
        torch.testing.assert_close(got.double(), wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize("p", [*P, math.inf])
def test_extreme_scales_within_a_row(p: float) -> None:
    """Where the large covectors are blocked by faces, tiny ones spend the budget: exactly eps of it, in float32."""
    x0 = torch.zeros(2, 6)
    tiny = 1e-12 if p == 1.5 else 1e-25  # |xi|^(q-1) is a float32 too
    xi = torch.tensor([[9.0, 1.0, tiny, -tiny, -2 * tiny, 0.0], [9.0, -1e-3, -tiny, -tiny, 1.0, 0.0]])
    K = Budget(Lp(p), 0.5, (0.0, 1.0)).around(x0)
    wanted = Budget(Lp(p), 0.5, (0.0, 1.0)).around(x0.double()).minimize_linear(xi.double())
    z = K.minimize_linear(xi)
    assert float(K.violation(z).max()) <= 1e-6
    torch.testing.assert_close(z[0].double(), wanted[0], rtol=1e-4, atol=1e-6)
    wide = Box(x0, torch.tensor([[1.0, 0.1, 5.0, 5.0, 5.0, 5.0]]))
    z = ball(Lp(p), x0, torch.ones(2), wide).minimize_linear(torch.tensor([[0.0, -1.0, -tiny, 0.0, 0.0, 0.0]] * 2))
    rest = 1.0 if math.isinf(p) else (1 - 0.1**p) ** (1 / p)
    torch.testing.assert_close(z, torch.tensor([[0.0, 0.1, rest, 0.0, 0.0, 0.0]] * 2))


@pytest.mark.parametrize("p", [*P, math.inf])
@pytest.mark.parametrize("d", [1, 5])
def test_a_zero_covector_moves_nothing(p: float, d: int) -> None:
    """xi = 0: any point of K is a minimizer, none is NaN, the slope and the gap are zero."""
    case = instance(p, 7, d, 84)
    zero = torch.zeros_like(case.xi)
    z = case.K.minimize_linear_near(zero, case.x, case.tau, Lp(p))
    torch.testing.assert_close(z, case.x)
    assert bool(case.K.minimize_linear(zero).isfinite().all())
    assert bool((case.K.slope(zero, case.x, Lp(p)) == 0).all() & (case.K.gap(zero, case.x) == 0).all())


def test_violation_is_the_largest_excess() -> None:
    """Outside ball or box by how much; zero inside."""
    zero, one = torch.zeros(3, 2), torch.ones(3)
    K = ball(Lp(1), zero, one, Box(zero - 0.75, zero + 0.75))
    x = torch.tensor([[1.0, 1.0], [0.0, 0.8], [0.3, 0.3]])
    torch.testing.assert_close(K.violation(x), torch.tensor([1.0, 0.05, 0.0]).double(), atol=1e-6, rtol=0)


# --- misuse ----------------------------------------------------------------------------------------------------------


def test_empty_sets_raise() -> None:
    """An empty set is an error that names the rows and the way out."""
    zero, one = torch.zeros(2, 3), torch.ones(2)
    with pytest.raises(ValueError, match="lo <= hi everywhere, got 3 coordinates"):
        Box(zero + torch.tensor([[0.0], [2.0]]), zero + 1)
    with pytest.raises(ValueError, match=r"row 1\); move the center into the box or enlarge"):
        ball(Lp(2), zero + torch.tensor([[0.0], [5.0]]), one, Box(zero, zero + 1))
    with pytest.raises(ValueError, match="empty"):
        ball(Lp(math.inf), zero + 5, one, Box(zero, zero + 1))
    for bad in (-1.0, math.nan):
        with pytest.raises(ValueError, match="radii >= 0"):
            ball(Lp(2), zero, one * bad)


def test_unbounded_sets_and_foreign_norms_raise() -> None:
    """No minimizer of a linear form over R^d; no exact solver for a mixed norm or for unequal weights."""
    zero, one = torch.zeros(1, 3), torch.ones(1)
    half = Box(zero, zero + math.inf)
    with pytest.raises(ValueError, match="unbounded"):
        Everything().minimize_linear(zero)
    with pytest.raises(ValueError, match="unbounded"):
        half.minimize_linear(zero - 1)
    assert torch.equal(half.minimize_linear(zero + 1), zero)
    with pytest.raises(ValueError, match="Weighted"):
        ball(Mixed(Lp(1), Lp(2), axis=1), zero, one)
    K = ball(Weighted(Lp(2), torch.tensor([1.0, 2.0, 3.0])), zero, one)
    with pytest.raises(ValueError, match="same weights"):
        K.minimize_linear_near(zero + 1, zero, one, Lp(2))


@pytest.mark.parametrize("eps", [-0.1, math.nan, math.inf, torch.tensor([0.1, -0.1]), torch.tensor([0.1, math.nan])])
def test_budget_rejects_a_radius_that_is_no_radius(eps: float | Tensor) -> None:
    """Negative, NaN and infinite eps raise."""
    with pytest.raises(ValueError, match="eps must be finite and not negative"):
        L2(eps)


@pytest.mark.parametrize("eps", [8, torch.tensor(8), torch.tensor([1, 8])])
def test_budget_rejects_integer_pixels(eps: int | Tensor) -> None:
    """An integer eps on [0, 1] is a slip; on [0, 255], and zero anywhere, it is not."""
    with pytest.raises(TypeError, match="255"):
        Linf(eps)
    assert Linf(eps, (0.0, 255.0)).eps is eps
    assert Linf(0).eps == 0


def test_budget_rejects_what_is_no_norm_or_box() -> None:
    """A string or number for a norm, an empty box."""
    with pytest.raises(TypeError, match="Lp"):
        Budget("l2", 0.1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lo <= hi"):
        L2(0.1, (1.0, 0.0))


def test_budget_per_row_mask_and_take() -> None:
    """Eps per row, coordinates that may not move, bounds per coordinate, and the budget of a selection of rows."""
    x = torch.rand(3, 2, 4)
    eps = torch.tensor([0.1, 0.2, 0.0])
    mask = torch.tensor([[True], [False]])
    for make in (L1, L2, Linf):
        budget = make(eps)
        z = budget.around(x, mask=mask).project(x + 3 * normal(7, 3, 2, 4, dtype=torch.float32))
        assert torch.equal(z[:, 1], x[:, 1])
        size = budget.norm.norm(z - x)
        assert bool((size <= eps * (1 + 1e-5) + 1e-7).all())
        rows = torch.tensor([2, 0])
        part = budget.take(rows).around(x[rows], mask=mask).project(x[rows] + 1)
        torch.testing.assert_close(part, budget.around(x, mask=mask).project(x + 1)[rows])
        assert make(0.3).take(rows).eps == 0.3
    hi = torch.full((2, 4), 0.5)
    assert float(L2(9.0, (torch.zeros(2, 4), hi)).around(x.clamp(0, 0.5)).project(x + 5).max()) == 0.5
    assert float(Linf(0.5, None).around(x).project(x + 5).sub(x).max()) == pytest.approx(0.5)
    assert (str(L1(12.0)), str(L2(eps)), str(Linf(0.5))) == ("l_1 12", "l_2 0..0.2", "l_inf 0.5")


def test_everything_is_unconstrained() -> None:
    """No constraint: identity, full step, full slope, no violation."""
    x, xi = normal(1, 3, 4), normal(2, 3, 4)
    K = Everything()
    assert K.project(x) is x
    assert K.take(torch.tensor([0])) is K
    z = K.minimize_linear_near(xi, x, torch.ones(3, dtype=torch.float64), Lp(2))
    torch.testing.assert_close(inner(xi, x - z), xi.norm(dim=1))
    torch.testing.assert_close(K.slope(xi, x, Lp(2)), xi.norm(dim=1))
    assert torch.equal(K.violation(x), torch.zeros(3, dtype=torch.float64))


def test_a_gradient_almost_along_the_radius_needs_no_general_solver() -> None:
    """In single precision, too: what is across the radius is squared by itself, not as a difference of squares."""
    x0 = torch.full((6, 3072), 0.5)
    e = Lp(2).sample(torch.arange(6), x0)
    e = e / e.norm(dim=1, keepdim=True)
    across = Lp(2).sample(torch.arange(6, 12), x0)
    across = across - (across * e).sum(1, keepdim=True) * e
    xi = -e + torch.tensor([0.2, 0.1, 0.06, 0.05, 0.04, 0.03])[:, None] * across / across.norm(dim=1, keepdim=True)
    tau = torch.full((6,), 0.003)
    low, high = torch.full_like(e, -1.0) - e, torch.full_like(e, 1.0) - e
    d, settled = _joint._euclidean(xi, e, tau, torch.ones(6), low, high)
    assert bool(settled.all())
    torch.testing.assert_close((d - e).norm(dim=1), tau, rtol=3e-5, atol=0)
    torch.testing.assert_close(d.norm(dim=1), torch.ones(6), rtol=1e-6, atol=0)
    # Across the radius the step goes against the gradient, as far as the sphere allows.
    assert bool(((d - e) * xi).sum(1).lt(0).all())
