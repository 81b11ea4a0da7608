"""Sets in closed forms: every number of 16 bits, thresholds to the last digit, and what may be given."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from contracts._instances import instance, normal
from maxslope.sets import BallBox, Box, Set, _rounding, ball
from maxslope.sets.base import Everything
from maxslope.sets.box import plain, separable, stopped
from maxslope.spaces import Lp, Mixed, Space, Weighted

INF = math.inf
HALVES = (torch.float16, torch.bfloat16)
EPS = torch.finfo(torch.float64).eps


def double(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def equal(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)


# --- rounding --------------------------------------------------------------------------------------------------------


def numbers(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Every number of 16 bits, and their values in order."""
    every = torch.arange(-(1 << 15), 1 << 15).to(torch.int16).view(dtype)
    every = every[~every.isnan()]
    return every, every.double().unique()


@pytest.mark.parametrize("dtype", HALVES)
def test_the_next_number(dtype: torch.dtype) -> None:
    """Up and down, from every number; an infinity has none beyond it, and NaN stays NaN."""
    every, values = numbers(dtype)
    at = torch.searchsorted(values, every.double())
    for end, step in ((INF, 1), (-INF, -1)):
        wanted = values[(at + step).clamp(0, len(values) - 1)]
        assert equal(_rounding._next(every, end).double(), wanted)
        assert bool(_rounding._next(torch.tensor([math.nan], dtype=dtype), end).isnan().all())


@pytest.mark.parametrize("dtype", HALVES)
def test_the_largest_number_below(dtype: torch.dtype) -> None:
    """At every number, and a hair beside every number and every middle of two."""
    _, values = numbers(dtype)
    values = values[values.isfinite()]
    middle = (values[1:] + values[:-1]) / 2
    asked = torch.cat([t * (1 + hair) for t in (values, middle) for hair in (0.0, 1e-12, -1e-12)])
    asked = asked[asked >= values[0]]
    at = torch.searchsorted(values, asked, right=True) - 1
    assert equal(_rounding.down(asked, dtype), values[at].to(dtype))


@pytest.mark.parametrize("dtype", HALVES)
def test_the_first_and_the_last_number_of_an_interval(dtype: torch.dtype) -> None:
    _, values = numbers(dtype)
    values = values[(values.abs() >= 2**-9) & (values.abs() <= 2**9)]  # whose differences are exact
    center = values[(values.abs() >= 2**-8) & (values.abs() <= 2**8)]
    center = center[torch.randint(len(center), (150,))]
    width = torch.rand(150, dtype=torch.float64) * center.abs() * 0.3
    width[:20] = 0.0
    low, high = _rounding.interval(center.to(dtype), width)
    held = (values - center[:, None]).abs() <= width[:, None]
    assert equal(low, values.expand_as(held).masked_fill(~held, INF).amin(1).to(dtype))
    assert equal(high, values.expand_as(held).masked_fill(~held, -INF).amax(1).to(dtype))
    for end in _rounding.interval(center.to(dtype), torch.tensor(INF, dtype=torch.float64)):
        assert bool(end.isinf().all())


def test_what_rounding_leaves_out_is_exact() -> None:
    """s + rest = a + b and p + rest = a b in rational arithmetic, for numbers of very different size."""
    a = normal(1, 300) * 10.0 ** torch.linspace(-12, 12, 300)
    b = normal(2, 300) * 10.0 ** (7 * normal(3, 300)).clamp(-12, 12)
    total, product = _rounding._sum(a, b), _rounding._product(a, b)
    for k, (x, y) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        for (value, rest), wanted in ((total, Fraction(x) + Fraction(y)), (product, Fraction(x) * Fraction(y))):
            assert Fraction(float(value[k])) + Fraction(float(rest[k])) == wanted
            assert float(value[k]) == float(wanted)


def test_bounds_in_double_precision_are_the_last_numbers_of_the_ball() -> None:
    """Of widths and of quotients, in rational arithmetic."""
    center, width = normal(4, 200), normal(5, 200).abs() * 10.0 ** torch.linspace(-17, 1, 200)
    weights = normal(6, 200).abs() + 0.01
    low, high = _rounding.interval(center, width)
    ratio = _rounding.quotient(width, weights)
    above = (torch.nextafter(high, high + INF), torch.nextafter(ratio, ratio + INF), torch.nextafter(low, low - INF))
    for row in zip(center, width, weights, low, high, ratio, *above, strict=True):
        c, r, w, a, b, q, b1, q1, a1 = (Fraction(float(t)) for t in row)
        assert b - c <= r < b1 - c
        assert c - a <= r < c - a1
        assert q * w <= r < q1 * w
    of = _rounding.quotient(double([0.0, INF, 1.0, 6.0, 1e305]), double([3.0, 2.0, INF, 2.0, 1.0]))
    assert of.tolist()[0][:4] == [0.0, INF, 0.0, 3.0]
    assert 0 <= 1e305 - float(of[0, 4]) <= math.ulp(1e305)  # where the exact product overflows, to the safe side


@pytest.mark.parametrize("dtype", HALVES)
def test_half_a_unit_in_the_last_place(dtype: torch.dtype) -> None:
    """Half the way to the next larger number; of numbers below the normal ones, that of the least normal one."""
    every, _ = numbers(dtype)
    size = every.abs()
    size = size[(size >= torch.finfo(dtype).tiny) & (size < torch.finfo(dtype).max)]
    way = _rounding._next(size, INF).double() - size.double()
    assert equal(_rounding.half_unit(size, dtype), way / 2)
    assert equal(_rounding.half_unit(-size, dtype), way / 2)
    least = torch.tensor([torch.finfo(dtype).tiny, 0.0, -torch.finfo(dtype).tiny / 2])
    wanted = torch.finfo(dtype).eps * torch.finfo(dtype).tiny / 2
    assert _rounding.half_unit(least, dtype).tolist() == [wanted] * 3
    assert _rounding.half_unit(double([1.0, 3.0]), torch.float64).tolist() == [[EPS / 2, EPS]]
    assert [_rounding.is_half(kind) for kind in (*HALVES, torch.float32, torch.float64)] == [True, True, False, False]
    assert float(_rounding.tolerance(double([1.0]), double([3.0]), dtype)) == 3e-6
    assert float(_rounding.tolerance(double([1e-9]), double([3.0]), dtype)) == 1e-9
    assert float(_rounding.tolerance(double([1.0]), double([3.0]), torch.float32)) == 1.0


def test_the_grid_along_a_segment() -> None:
    anchor, z = torch.tensor([[0.0, 1.0], [4.0, 8.0]]).bfloat16(), torch.tensor([[1.0, 3.0], [4.0, 0.0]]).bfloat16()
    found = _rounding.on_grid(anchor, z, torch.tensor([0.5, 0.25], dtype=torch.float64))
    assert equal(found, torch.tensor([[0.5, 2.0], [4.0, 6.0]]).bfloat16())
    assert equal(_rounding.on_grid(anchor, z, torch.ones(2).double()), z)
    assert equal(_rounding.on_grid(anchor, z, torch.zeros(2).double()), anchor)


# --- boxes -----------------------------------------------------------------------------------------------------------


def test_a_box_in_closed_form() -> None:
    box = Box(double([-1.0, 1.0, -3.0, 0.0]), double([2.0, 3.0, -2.0, 0.0]))
    xi = double([0.0, 0.0, 0.0, 0.0], [1.0, -2.0, 3.0, 1.0], [-1.0, 2.0, -3.0, -1.0])
    z = box.minimize_linear(xi)
    assert z.tolist() == [[0.0, 1.0, -2.0, 0.0], [-1.0, 3.0, -3.0, 0.0], [2.0, 1.0, -2.0, 0.0]]
    x = double([0.5, 2.0, -2.5, 0.0])
    assert box.gap(xi[1:2], x).tolist() == [1.5 + 2.0 + 1.5]
    assert box.gap(xi[1:2], x + 99).tolist() == [5.0 + 99 * 3]
    assert box.gap(xi[1:2], x - 99).tolist() == [0.0]
    assert box.violation(double([3.0, 0.0, -2.5, 0.0], [0.0, 2.0, -2.5, 0.0], [0.0, 2.0, -7.0, 0.5])).tolist() == [
        1.0, 0.0, 4.0,
    ]  # fmt: skip
    part = box.intersect(double([-5.0, 1.5, -2.5, 0.0]), double([1.0, 9.0, 0.0, 0.0]))
    assert (part.lo.tolist(), part.hi.tolist()) == ([[-1.0, 1.5, -2.5, 0.0]], [[1.0, 3.0, -2.0, 0.0]])
    with pytest.raises(ValueError, match="got 2 coordinates"):
        box.intersect(double([2.5, 3.5, -3.0, 0.0]), double([9.0] * 4))
    near = box.within(x, double([0.25, 9.0, 0.25, 1.0]))
    assert (near.lo.tolist(), near.hi.tolist()) == ([[0.25, 1.0, -2.75, 0.0]], [[0.75, 3.0, -2.25, 0.0]])
    for lo, hi in ((math.nan, 1.0), (0.0, math.nan)):
        with pytest.raises(ValueError, match="NaN among its bounds"):
            Box(double([0.0, lo]), double([1.0, hi]))
    many = Box(double([0.0], [1.0], [2.0]), double([5.0], [6.0], [7.0])).take(torch.tensor([2, 0]))
    assert (many.lo.tolist(), many.hi.tolist()) == ([[2.0], [0.0]], [[7.0], [5.0]])


def test_bounds_stop_what_goes_against_them() -> None:
    xi = double([3.0, 3.0, -3.0, -3.0, 0.0])
    at_lo = torch.tensor([[True, False, True, False, True]])
    assert stopped(xi, at_lo, ~at_lo).tolist() == [[0.0, 3.0, -3.0, 0.0, 0.0]]
    box = Box(double([0.0] * 5), double([1.0] * 5))
    x = double([0.0, 1.0, 0.0, 1.0, 0.5])
    assert box.movable(xi, x).tolist() == [[0.0, 3.0, -3.0, 0.0, 0.0]]
    assert float(box.slope(xi, x, Lp(INF))) == 6.0


def test_faces_are_reached_up_to_rounding() -> None:
    """Sixteen units of the larger of a coordinate and the lesser of width and row, on either side; no more."""

    def at(x: list[float], lo: list[float], hi: list[float]) -> tuple[list[bool], list[bool]]:
        low, high = Box(double(lo), double(hi)).faces(double(x))
        return low[0].tolist(), high[0].tolist()

    for units, found in ((16, True), (17, False)):
        one = 1 + units * EPS
        assert at([one, 8.0], [1.0, -INF], [2.0, INF]) == ([found, False], [False, False])  # a width of 1
        assert at([one, 8.0], [1.0, 0.0], [1.0 + 2 * units * EPS, 9.0])[0] == [found, False]  # itself
        assert at([8 * units * EPS, 8.0], [0.0, -INF], [INF, INF])[0] == [found, False]  # the row
        assert at([4 * units * EPS, 8.0], [0.0, -INF], [4.0, INF])[0] == [found, False]  # the width
        assert at([-8 * units * EPS, 8.0], [-INF, -INF], [0.0, INF])[1] == [found, False]
    for empty in (double().reshape(0, 3), double().reshape(2, 0)):
        low, high = Box(empty[:1] * 0, empty[:1] * 0 + 1).faces(empty)
        assert low.shape == high.shape == empty.shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_a_point_counts_by_one_rounding_beyond_a_bound(dtype: torch.dtype) -> None:
    """One unit of the last place, and in few digits a millionth of half the width if that is less."""
    box = Box(torch.tensor([[1.0, -1.0]], dtype=dtype), torch.tensor([[3.0, 0.25]], dtype=dtype))
    unit = torch.finfo(dtype).eps
    few = _rounding.is_half(dtype)
    for k, wide in ((1, True), (2, False)):
        points = [
            [1.0 - unit * k / 2, 0.0],
            [3.0 + 2 * unit * k, 0.0],
            [2.0, -1 - unit * k],
            [2.0, 0.25 * (1 + unit * k)],
        ]
        x = torch.tensor(points, dtype=torch.float64)
        assert box.contains(x.to(dtype)).tolist() == [wide and not few] * 4
        assert box.contains(x, dtype).tolist() == [wide and not few] * 4
        assert box.contains(x.to(dtype)[:1].repeat(2, 1)).tolist() == [wide and not few] * 2
    assert box.contains(torch.tensor([[1.0, 0.25], [3.0, -1.0], [2.0, 0.5]], dtype=dtype)).tolist() == [
        True,
        True,
        False,
    ]
    inside = torch.tensor([[1.0, 0.25], [3.0, -1.0], [math.nan, 0.0]], dtype=dtype)
    assert box.contains(inside).tolist() == [True, True, False]
    if few:
        for share, held in ((0.99e-6, True), (1.01e-6, False)):
            assert box.contains(double([1.0 - share, 0.0], [3.0 + share, 0.0]), dtype).tolist() == [held, held]
            assert box.contains(double([2.0, 0.25 + 0.625 * share]), dtype).tolist() == [held]


@pytest.mark.parametrize("p", [1, 1.5, 2, 3, INF])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_steps_inside_a_wide_box_are_steepest(p: float, dtype: torch.dtype) -> None:
    """Where no bound holds, x + tau times the steepest direction, weighted or not; where one does, none goes beyond."""
    x, xi = normal(1, 4, 5).to(dtype), normal(2, 4, 5).to(dtype)
    tau = torch.tensor([0.5, 1.0, 2.0, 0.0], dtype=dtype)
    for space in (Lp(p), Weighted(Lp(p), torch.tensor([1.0, 2.0, 4.0, 0.5, 1.0]))):
        wide = Box(torch.full((1, 5), -99.0, dtype=dtype), torch.full((1, 5), 99.0, dtype=dtype))
        z = wide.minimize_linear_near(xi, x, tau, space)
        wanted = (x.double() + tau.double()[:, None] * space.steepest(xi.double())).to(dtype)
        torch.testing.assert_close(z, wanted)
        tight = Box((x - 0.125).to(dtype), (x + 0.25).to(dtype))
        z = tight.minimize_linear_near(xi, x, tau * 99, space)
        assert equal(z[:3], tight.minimize_linear(xi)[:3])
        assert equal(z[3], x[3])


def test_a_step_of_sums_fills_the_largest_first() -> None:
    """In l_1, where a bound holds, the rest of the length goes to the next coordinate; in l_2, it is scaled up."""
    x, xi = double([0.0, 0.0, 0.0]), double([3.0, -2.0, 1.0])
    box = Box(double([-0.5] * 3), double([0.75] * 3))
    z = box.minimize_linear_near(xi, x, torch.ones(1).double(), Lp(1))
    torch.testing.assert_close(z, double([-0.5, 0.5, 0.0]))
    z = box.minimize_linear_near(double([3.0, -4.0, 0.0]), x, torch.ones(1).double() * 0.8, Lp(2))
    torch.testing.assert_close(z, double([-0.48, 0.64, 0.0]))
    z = box.minimize_linear_near(double([4.0, -3.0, 0.0]), x, torch.ones(1).double() * 0.75, Lp(2))
    torch.testing.assert_close(z, double([-0.5, (0.75**2 - 0.25) ** 0.5, 0.0]))
    heavy = Weighted(Lp(1), torch.tensor([8.0, 1.0, 1.0]))
    z = box.minimize_linear_near(xi, x, torch.ones(1).double(), heavy)
    torch.testing.assert_close(z, double([0.0, 0.75, -0.25]))


def test_norms_of_which_there_are_sets() -> None:
    w, l2 = torch.tensor([1.0, 2.0]), Lp(2)
    for space, base, weights in ((l2, l2, None), (Mixed(l2, l2, axis=1), l2, None), (Weighted(l2, w), l2, w)):
        assert separable(space) == (base, weights)
        assert separable(space)[1] is weights
    groups = Mixed(Lp(INF), l2, axis=1)
    for other in (groups, Weighted(groups, w), Weighted(Weighted(l2, w), w)):
        with pytest.raises(ValueError, match="Exact projections"):
            separable(other)
    weighted = Weighted(l2, w)
    single = Weighted(groups, torch.tensor([3.0]))
    same = Weighted(Mixed(l2, l2, axis=1), torch.tensor(3.0))
    for norm, base, factor in (
        (l2, l2, 1.0), (weighted, weighted, 1.0), (groups, groups, 1.0), (single, groups, 3.0), (same, l2, 3.0),
        (Mixed(l2, l2, axis=1), l2, 1.0), (Weighted(l2, torch.tensor([3.0])), Weighted(l2, torch.tensor([3.0])), 1.0),
    ):  # fmt: skip
        known, by = plain(norm)
        assert by == factor
        assert type(known) is type(base)
        assert repr(known) == repr(base)
    for other in (Weighted(groups, w), Weighted(groups, w[:0]), Weighted(weighted, w)):
        with pytest.raises(ValueError, match="with a single w"):
            plain(other)


# --- balls in boxes --------------------------------------------------------------------------------------------------

KINDS = {
    "ball": dict(boxed=False),
    "ball in box": {},
    "center outside": dict(outside=True),
    "weighted": dict(weighted=True),
    "weighted, center outside": dict(weighted=True, outside=True),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_a_projection_is_a_linear_minimizer_for_the_way_back(p: float, kind: str) -> None:
    """<x - Px, z - Px> <= 0 for all z of K: the gap of Px - x at Px is 0; and a minimizer beats feasible points."""
    case = instance(p, 12, 4, 7, **KINDS[kind])
    x = case.center + 3 * normal(1, 12, 4) * case.radius[:, None]
    y = case.K.project(x)
    assert float(case.K.violation(y).max()) <= 1e-12
    assert float((case.K.gap(y - x, y) / (1 + (y - x).norm(dim=1))).max()) <= 1e-9
    assert bool((case.K.violation(x) > 0).any())
    torch.testing.assert_close(case.K.project(case.x), case.x, rtol=0, atol=1e-10)
    best = case.K.minimize_linear(case.xi)
    many = torch.arange(12).repeat(50)
    others = case.K.take(many).project(case.x[many] + 4 * normal(3, 600, 4) * case.radius[many, None])
    assert bool(((case.xi[many] * (others - best[many])).sum(1) >= -1e-9).all())
    # Single rows, and all of them, by another order of the same questions.
    for i in (3, 7):
        row = case.K.take(torch.tensor([i]))
        torch.testing.assert_close(row.minimize_linear(case.xi[i : i + 1]), best[i : i + 1])
        torch.testing.assert_close(row.project(x[i : i + 1]), y[i : i + 1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("step", "p"), [(1, 1), (2, 2), (INF, 1), (INF, 2)])
def test_a_step_stays_near_and_beats_what_is_near(p: float, kind: str, step: float) -> None:
    """|z - x| <= tau, z in K, and <xi, z> <= <xi, y> for feasible y at most tau away."""
    case = instance(p, 10, 3, 8, **KINDS[kind])
    space = Lp(step) if bool((case.w == 1).all()) else Weighted(Lp(step), case.w)
    tau = case.tau / 3
    z = case.K.minimize_linear_near(case.xi, case.x, tau, space)
    assert float(case.K.violation(z).max()) <= 1e-8
    assert bool((space.distance(case.x, z) <= tau * (1 + 1e-9)).all())
    many = torch.arange(10).repeat(60)
    way = case.K.take(many).project(case.x[many] + 2 * normal(3, 600, 3) * tau[many, None]) - case.x[many]
    way = way * (tau[many] / space.norm(way).clamp_min(1e-30)).clamp_max(1)[:, None]
    assert bool(((case.xi * (z - case.x)).sum(1)[many] <= (case.xi[many] * way).sum(1) + 1e-8).all())
    # A short step falls by tau times the slope, up to the curvature of the ball.
    slope = case.K.slope(case.xi, case.x, space)
    short = torch.full_like(tau, 1e-7)
    near = case.K.minimize_linear_near(case.xi, case.x, short, space)
    torch.testing.assert_close((case.xi * (case.x - near)).sum(1) / short, slope, rtol=3e-3, atol=3e-3)


def test_the_sphere_is_known_up_to_rounding() -> None:
    """64 units of the radius, and two of the point; no more. Outside of them nothing is held."""
    one = torch.ones(1, dtype=torch.float64)
    for units, slope in ((66, 0.0), (67, 1.0)):
        for norm in (Lp(1), Lp(2), Weighted(Lp(2), one)):
            K = ball(norm, double([0.0]), one)
            assert float(K.slope(double([-1.0]), double([1 - units * EPS]), norm)) == pytest.approx(slope, abs=1e-9)
            assert float(K.slope(double([1.0]), double([1 - units * EPS]), norm)) == pytest.approx(1.0)
    K = ball(Lp(2), double([1.0, 0.0]), torch.tensor([2.0**-40], dtype=torch.float64))
    for units, slope in ((2, 0.0), (3, 1.0)):  # of a point far from 0, whose rounding hides the sphere
        x = double([1.0, 2.0**-40 * (1 - 64 * EPS) - units * EPS])
        assert float(K.slope(double([0.0, -1.0]), x, Lp(2))) == pytest.approx(slope, abs=1e-9)


def test_slopes_on_the_spheres_of_norms() -> None:
    """On the l_1 sphere at a corner, and on a weighted l_2 sphere: what the multiplier of the normal leaves over."""
    K = ball(Lp(1), double([0.0, 0.0, 0.0]), torch.ones(1).double())
    corner, edge = double([1.0, 0.0, 0.0]), double([0.5, -0.5, 0.0])
    assert float(K.slope(double([-3.0, 1.0, 2.0]), corner, Lp(INF))) == pytest.approx(0.0, abs=1e-6)
    # min over mu >= 0 of |-3 + mu| + (5 - mu)^+ + (2 - mu)^+ is 2, at mu = 3 and beyond until 5
    assert float(K.slope(double([-3.0, 5.0, 2.0]), corner, Lp(INF))) == pytest.approx(2.0)
    assert float(K.slope(double([-3.0, 5.0, 2.0]), corner, Lp(1))) == pytest.approx(1.0)  # the largest of them
    assert float(K.slope(double([-3.0, 1.0, 0.0]), edge, Lp(2))) == pytest.approx(2**0.5)  # across: (-1, -1) / sqrt 2
    assert float(K.slope(double([-1.0, 1.0, 0.5]), edge, Lp(2))) == pytest.approx(0.0, abs=1e-6)
    w = torch.tensor([1.0, 2.0], dtype=torch.float64)
    K = ball(Weighted(Lp(2), w), double([1.0, 1.0]), torch.tensor([5.0], dtype=torch.float64))
    x = double([1.0 + 3.0, 1.0 + 2.0])  # w (x - c) = (3, 4), the normal is (3, 8) / 5
    tangent, normal_ = double([8.0, -3.0]), double([3.0, 8.0])
    assert float(K.slope(tangent - 2 * normal_, x, Lp(2))) == pytest.approx(73**0.5)
    assert float(K.slope(tangent + 2 * normal_, x, Lp(2))) == pytest.approx(5**0.5 * 73**0.5)
    assert float(K.slope(-normal_, x, Lp(2))) == pytest.approx(0.0, abs=1e-6)
    assert float(K.slope(tangent, double([1.0, 1.0]), Lp(2))) == pytest.approx(73**0.5)  # at the center


@pytest.mark.parametrize("p", [1, 2, 3])
def test_slopes_have_no_scale(p: float) -> None:
    """The same of a set and a point 1e-200 and 1e200 times as large: normals are of what has length 1."""
    case = instance(p, 12, 4, 9)
    wanted = case.K.slope(case.xi, case.x, Lp(2))
    assert not torch.allclose(wanted, case.xi.norm(dim=1))
    for s in (1e-200, 1e200):
        K = ball(Lp(p), case.center * s, case.radius * s, Box(case.lo * s, case.hi * s))
        torch.testing.assert_close(K.slope(case.xi, case.x * s, Lp(2)), wanted, rtol=1e-6, atol=1e-6)


def test_weights_of_steps_are_those_of_the_ball() -> None:
    x, xi, one = double([0.0, 0.0]), double([1.0, 1.0]), torch.ones(1).double()
    w = torch.tensor([1.0, 2.0])
    for own, step in ((None, w), (w, None), (w, 2 * w), (w, None)):
        norms = [Lp(2) if t is None else Weighted(Lp(2), t) for t in (own, step)]
        with pytest.raises(ValueError, match="the same weights"):
            ball(norms[0], x, one).minimize_linear_near(xi, x, one, norms[1])
    z = ball(Weighted(Lp(2), w), x, one).minimize_linear_near(xi, x, one / 2, Weighted(Lp(2), w.clone()))
    assert float(Weighted(Lp(2), w).norm(z)) == pytest.approx(0.5)
    assert z.tolist() == [pytest.approx([-0.5 * 2 / 5**0.5, -0.25 / 5**0.5])]
    z = ball(Lp(2), x, one).minimize_linear_near(xi, x, one / 2, Weighted(Lp(INF), w))
    assert z.tolist() == [[-0.5, -0.25]]


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("dtype", HALVES)
def test_balls_of_few_digits_answer_as_in_single_precision(p: float, dtype: torch.dtype) -> None:
    """What single precision says of the same numbers, rounded and moved inside."""
    c, v = torch.rand(3, 6).to(dtype), normal(1, 3, 6).to(dtype)
    radius = torch.tensor([0.3, 0.5, 1.0])
    box = Box(torch.zeros(1, 6, dtype=dtype), torch.ones(1, 6, dtype=dtype))
    K = ball(Lp(p), c, radius.to(dtype), box)
    wide = ball(Lp(p), c.float(), radius.to(dtype).float(), Box(box.lo.float(), box.hi.float()))
    assert isinstance(K, BallBox)
    assert K._wide is K._wide
    x = K.project(c + v)
    tau = torch.tensor([0.2, 0.2, 0.1], dtype=dtype)
    for low, high in (
        (x, wide.project((c + v).float())),
        (K.minimize_linear(v), wide.minimize_linear(v.float())),
        (K.minimize_linear_near(v, x, tau, Lp(p)), wide.minimize_linear_near(v.float(), x.float(), tau.float(), Lp(p))),
        (K.slope(v, x, Lp(p)), wide.slope(v.float(), x.float(), Lp(p))),
    ):
        assert low.dtype == dtype
        torch.testing.assert_close(low.float(), high, rtol=0.02, atol=0.02)


def test_what_a_ball_knows_of_itself() -> None:
    """Its weights and flat bounds, computed once, in the dtype of its centers."""
    for dtype in (torch.float32, torch.float64):
        box = Box(*(torch.tensor([bound], dtype=dtype) for bound in ([-0.5, -0.5], [0.75, 0.25])))
        K = ball(Weighted(Lp(2), torch.tensor([1.0, 2.0])), torch.zeros(2, 2, dtype=dtype), torch.ones(2), box)
        assert isinstance(K, BallBox)
        lp, _, w, a, b = K._frame
        assert (lp, w.tolist(), w.dtype) == (Lp(2), [1.0, 2.0], dtype)
        assert (a.tolist(), b.tolist()) == ([[-0.5, -1.0]] * 2, [[0.75, 0.5]] * 2)
        assert K._frame is K._frame
        assert "_frame" not in repr(K)
    plainly = ball(Lp(2), torch.zeros(2, 1, 3), torch.ones(2))
    assert isinstance(plainly, BallBox)
    assert (plainly._frame.weights, plainly._frame.unit.tolist()) == (None, 1.0)
    assert plainly.project(torch.full((2, 1, 3), 9.0)).shape == (2, 1, 3)


def test_what_is_a_ball() -> None:
    zero, one = double([0.0, 0.0]), torch.ones(1, dtype=torch.float64)
    K = ball(Weighted(Lp(INF), torch.tensor([1.0, 4.0])), zero, one, Box(zero - 0.5, zero + 9))
    assert isinstance(K, Box)
    assert (K.lo.tolist(), K.hi.tolist()) == ([[-0.5, -0.25]], [[1.0, 0.25]])
    assert isinstance(ball(Lp(INF), zero, one), Box)
    inside = ball(Lp(2), zero, one, Box(zero - 1, zero))
    assert (inside.centered, float(inside.radius)) == (True, 1.0)
    assert not ball(Lp(2), zero, one, Box(zero + 0.5, zero + 1)).centered
    assert ball(Lp(2), zero + math.nan, one, Box(zero + 0.5, zero + 1)).centered
    assert ball(Lp(2), zero, one).box.lo.tolist() == [[-INF, -INF]]
    # Down to the numbers of the center: 0.1 in double precision is less than the number next to it in single.
    assert float(ball(Lp(2), zero.float(), one * 0.1).radius) < 0.1
    touching = Box(zero + double([1.0, 0.0]), zero + 9)
    assert ball(Lp(2), zero, one * (1 - 0.9e-6), touching).take(torch.tensor([0])).radius.tolist() == [1 - 0.9e-6]
    with pytest.raises(ValueError, match=r"in 1 rows .*first: row 1"):
        ball(Lp(2), zero.repeat(2, 1), torch.tensor([1.0, 1 - 1.1e-6]).double(), touching)
    for bad in (-1.0, math.nan):
        with pytest.raises(ValueError, match="radii >= 0, got"):
            ball(Lp(2), zero.repeat(2, 1), torch.tensor([1.0, bad]).double())
    assert Everything().violation(zero).tolist() == [0.0]
    assert Everything().take(torch.tensor([0])) == Everything()
    torch.testing.assert_close(Everything().minimize_linear_near(zero + 1, zero, 2 * one, Lp(INF)), zero - 2)
    with pytest.raises(ValueError, match="no minimizer"):
        Everything().minimize_linear(zero)


class Half(Set):
    """The points with x_0 <= 0: what a set of one's own gets from :class:`Set`."""

    def project(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :1].clamp_max(0), x[:, 1:]], 1)

    def minimize_linear(self, xi: Tensor) -> Tensor:
        return torch.zeros_like(xi)

    def minimize_linear_near(self, xi: Tensor, x: Tensor, tau: Tensor, space: Space) -> Tensor:
        return x

    def slope(self, xi: Tensor, x: Tensor, space: Space) -> Tensor:
        return xi[:, 0]

    def violation(self, x: Tensor) -> Tensor:
        return x[:, 0].clamp_min(0).double()

    def take(self, index: Tensor) -> Half:
        return self


def test_what_every_set_has() -> None:
    x = double([3.0, 4.0], [-3.0, 4.0])
    assert Half().inside(x).tolist() == [[0.0, 4.0], [-3.0, 4.0]]
    assert Half().contains(x).tolist() == [False, True]
    tiny = double([EPS, 2.0], [2 * EPS, 2.0], [EPS, 1.0], [EPS / 2, 1.0])  # half a unit of the largest coordinate
    assert Half().contains(tiny).tolist() == [True, False, False, True]
    assert Half().contains(double([2.0**-24, 1.0], [2.0**-23, 1.0]), torch.float32).tolist() == [True, False]
    assert Half().gap(double([1.0, 2.0], [1.0, 0.0]), x).tolist() == [11.0, 0.0]
