"""Sets at their edges: missing bounds, single points, tiny and huge scales, rows of NaN, few digits, shapes."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from contracts._instances import instance, normal
from maxslope.sets import L1, L2, BallBox, Box, Budget, Linf, Set, _joint, ball, near
from maxslope.spaces import Lp, Mixed, Space, Weighted

P = (1, 1.1, 1.5, 2, 3, 50, math.inf)
INF = math.inf
MIXED = torch.tensor([-INF, -90.0, -INF, -90.0, -INF, -90.0])
NO_BOUNDS = {
    "inf": (-INF, INF),
    "below": (-90.0, INF),
    "above": (-INF, 90.0),
    "by coordinate": (MIXED, -MIXED.flip(0)),
    "far": (-90.0, 90.0),
}


def steps(p: float) -> tuple[float, ...]:
    """Step norms with exact solvers that are fast in a ball of l_p."""
    return tuple({p, INF} | ({1, 2} if math.isinf(p) else set()))


def answers(K: Set, x: Tensor, v: Tensor, xi: Tensor, tau: Tensor, step: Space) -> list[Tensor]:
    """What a set says, row by row."""
    y = K.project(x + v)
    N = near(K, y, tau, step)
    return [
        y,
        K.minimize_linear(xi),
        K.minimize_linear_near(xi, y, tau, step),
        K.slope(xi, y, step),
        K.gap(xi, y),
        K.violation(x + v),
        K.contains(y),
        K.inside(x + v),
        N.project(x + v) if isinstance(N, Box | BallBox) else y,  # the meet of two curved balls is iterated: slow
        N.minimize_linear(xi),
        N.slope(xi, y, step),
        N.violation(x),
    ]


# --- missing bounds --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", P)
@pytest.mark.parametrize("kind", NO_BOUNDS)
def test_bounds_that_do_not_bind_are_no_bounds(p: float, kind: str) -> None:
    """Half and doubly infinite bounds, bounds of some coordinates, and far ones: the bits of no box."""
    x, v, xi = normal(1, 4, 6), 3 * normal(2, 4, 6), normal(3, 4, 6)
    tau = torch.full((4,), 0.2, dtype=torch.float64)
    for step in steps(p):
        without = answers(Budget(Lp(p), 0.7, None).around(x), x, v, xi, tau, Lp(step))
        bounded = answers(Budget(Lp(p), 0.7, NO_BOUNDS[kind]).around(x), x, v, xi, tau, Lp(step))
        for one, two in zip(without, bounded, strict=True):
            assert torch.equal(one, two) or torch.allclose(one, two, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("p", P)
def test_half_a_box_binds_where_it_is(p: float) -> None:
    """With lo = 0 and no upper bound the answers are those of a box that is far above."""
    x, xi = normal(1, 4, 6).abs(), normal(3, 4, 6)
    x[:, :2] = 0.0
    tau = torch.full((4,), 0.2, dtype=torch.float64)
    half, wide = (Budget(Lp(p), 0.7, (0.0, hi)).around(x) for hi in (INF, 90.0))
    for one, two in zip(*(answers(K, x, 3 * normal(2, 4, 6), xi, tau, Lp(p)) for K in (half, wide)), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("p", P)
def test_an_infinite_ball_is_its_box(p: float) -> None:
    """A radius of infinity says nothing: projections and minimizers of the box."""
    x, xi = torch.rand(3, 5, dtype=torch.float64), normal(4, 3, 5)
    box = Box(torch.zeros(1, 5, dtype=torch.float64), torch.ones(1, 5, dtype=torch.float64))
    K = ball(Lp(p), x, torch.full((3,), INF, dtype=torch.float64), box)
    assert torch.equal(K.project(x + xi), box.project(x + xi))
    if p > 1:
        torch.testing.assert_close(K.minimize_linear(xi), box.minimize_linear(xi))


@pytest.mark.parametrize("p", P)
def test_windows_are_finite(p: float) -> None:
    """Where the box has no bound, the window ends where eps does; elsewhere it is the box."""
    x = torch.rand(2, 6)
    low, high = Budget(Lp(p), 0.5, (MIXED, -MIXED.flip(0))).window(x)
    assert bool(low.isfinite().all() & high.isfinite().all())
    assert torch.equal(low[:, 1], torch.full((2,), -90.0))
    torch.testing.assert_close(low[:, 0], x[:, 0] - 0.5)
    low, _ = Budget(Weighted(Lp(p), torch.tensor(2.0)), 0.5, None).window(x, torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(low, x - torch.tensor([[0.5], [1.5]]))


# --- single points and scales ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", P)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_single_point(p: float, dtype: torch.dtype) -> None:
    """Eps 0, and a box of one point: everything is the center, slope and gap vanish, nothing is NaN."""
    x, xi = torch.rand(3, 5).to(dtype), normal(5, 3, 5).to(dtype)
    for K in (Budget(Lp(p), 0.0).around(x), Budget(Lp(p), 0.5, (0.0, 1.0)).around(x, mask=x != x)):
        for step in (1, 2, p):
            assert torch.equal(K.slope(xi, x, Lp(step)), torch.zeros(3, dtype=dtype)), step
        if isinstance(K, BallBox) and not bool(K.radius.any()):  # one point, whatever the covector
            assert torch.equal(K.slope(xi * math.nan, x, Lp(2)), torch.zeros(3, dtype=dtype))
        assert torch.equal(K.project(x + xi), x)
        assert torch.equal(K.minimize_linear(xi), x)
        assert bool((K.gap(xi, x) == 0).all() & K.contains(x).all())


@pytest.mark.parametrize("p", P)
def test_tiny_points_and_radii(p: float) -> None:
    """Squares that underflow, radii below the rounding of x: no NaN, nothing outside."""
    zero = torch.zeros(1, 3)
    for size in (1e-25, 1e-40, 1e-45):
        for radius in (0.0, 1e-30, 1e-42):
            K = ball(Lp(p), zero, torch.tensor([radius]))
            z = K.inside(K.project(torch.full_like(zero, size)))
            assert bool(z.isfinite().all() & (K.violation(z) == 0))
    x = torch.rand(4, 9)
    K = Budget(Lp(p), 1e-9).around(x)  # less than half a unit in the last place
    assert bool(K.slope(torch.ones(4, 9), x, Lp(p)).isfinite().all())
    assert bool((K.violation(K.inside(K.project(x + 1))) == 0).all())


SCALES = ((1e-30, torch.float32), (1e30, torch.float32), (1e-200, torch.float64), (1e200, torch.float64))


@pytest.mark.parametrize("boxed", [True, False])
@pytest.mark.parametrize("p", [p for p in P if p != 1.1])
def test_answers_scale_with_the_set(p: float, boxed: bool) -> None:
    """Everything times 1e-30 or 1e30 in float32, 1e-200 or 1e200 in float64: the same answers in those units."""
    c, v, xi = torch.rand(6, 5, dtype=torch.float64), normal(6, 6, 5), normal(7, 6, 5)
    radius = torch.tensor([0.0, 0.1, 0.3, 0.5, 1.0, 2.0], dtype=torch.float64)
    lo = torch.zeros(1, 5, dtype=torch.float64)
    x = ball(Lp(p), c, radius, Box(lo, lo + 1) if boxed else None).project(c + v)

    def scaled(s: float, dtype: torch.dtype, step: float) -> list[Tensor]:
        at = lambda t: (t * s).to(dtype)  # noqa: E731
        K = ball(Lp(p), at(c), at(radius), Box(at(lo), at(lo + 1)) if boxed else None)
        start, far = K.project(at(x)), at(0.2 * radius)
        points = [K.project(at(c + v)), K.minimize_linear(xi.to(dtype)), near(K, start, far, Lp(step)).project(at(c))]
        points.append(K.minimize_linear_near(xi.to(dtype), start, far, Lp(step)))
        return [(q / s).double() for q in points] + [K.slope(xi.to(dtype), start, Lp(step)).double()]

    for step in {p, INF} if p not in (1.5, 3, 50) else {INF}:
        wanted = scaled(1.0, torch.float64, step)
        for s, dtype in (
            (1e-30, torch.float32),
            (1e30, torch.float32),
            (1e-200, torch.float64),
            (1e200, torch.float64),
        ):
            for one, two in zip(wanted, scaled(s, dtype, step), strict=True):
                accuracy = 3e-5 if dtype == torch.float32 else 1e-7
                torch.testing.assert_close(two, one, rtol=accuracy, atol=accuracy)


# --- strangers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", P)
def test_a_row_of_nan_is_alone(p: float) -> None:
    """A row whose points, covectors or centers are NaN changes no bit of the others, and raises nothing."""
    x, v, xi = torch.rand(4, 5, dtype=torch.float64), normal(8, 4, 5), normal(9, 4, 5)
    tau = torch.full((4,), 0.1, dtype=torch.float64)
    good = torch.tensor([0, 1, 3])
    eps, box = torch.full((4,), 0.4, dtype=torch.float64), Box(x[:1] * 0, x[:1] * 0 + 1)
    for step in steps(p):
        for broken in range(3):
            parts = [x.clone(), v.clone(), xi.clone()]
            parts[broken][2] = math.nan
            K = ball(Lp(p), parts[0], eps, box)
            whole = answers(K, parts[0], parts[1], parts[2], tau, Lp(step))
            alone = answers(ball(Lp(p), x[good], eps[good], box), *(t[good] for t in parts), tau[good], Lp(step))
            for one, two in zip(whole, alone, strict=True):
                same = torch.equal(one[good], two)
                assert same or (p not in (1, 2, INF) and torch.allclose(one[good].double(), two.double(), rtol=1e-12))


@pytest.mark.parametrize("p", [1, 2, INF])
def test_a_center_outside_the_box_does_not_change_its_neighbors(p: float) -> None:
    """Rows whose box holds the center are solved as they are alone."""
    case = instance(p, 6, 5, 17, outside=not math.isinf(p))
    center = case.center.clone()
    center[:3] = center[:3].clamp(case.lo[:3], case.hi[:3])
    K = ball(Lp(p), center, case.radius, Box(case.lo, case.hi))
    for i in range(3):
        alone = ball(Lp(p), center[i : i + 1], case.radius[i : i + 1], Box(case.lo[i : i + 1], case.hi[i : i + 1]))
        far = center[i : i + 1] + 3
        assert torch.equal(alone.project(far), K.project(center + 3)[i : i + 1])
        assert torch.equal(alone.minimize_linear(case.xi[i : i + 1]), K.minimize_linear(case.xi)[i : i + 1])


# --- few digits ------------------------------------------------------------------------------------------------------

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("eps", [8 / 255, 0.006, 0.3, 1e-3, 1e-9])
def test_an_l_inf_ball_is_exact_in_the_numbers_of_its_sample(dtype: torch.dtype, eps: float) -> None:
    """Its bounds are the first and the last number z with |z - x| <= eps, in rational arithmetic."""
    x = torch.rand(1, 60).to(dtype)
    K = Budget(Lp(INF), eps, None).around(x)
    assert isinstance(K, Box)
    wide = torch.full_like(x, INF)
    for a, lo, hi in zip(*(t.double()[0].tolist() for t in (x, K.lo, K.hi)), strict=True):
        assert Fraction(a) - Fraction(lo) <= Fraction(eps) >= Fraction(hi) - Fraction(a)
    if dtype != torch.float16:  # the next number is outside
        beyond = torch.nextafter(K.hi, wide).double() - x.double()
        assert bool((beyond.nextafter(wide.double()) > eps).all())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", P)
def test_points_of_few_digits_lie_in_the_ball_of_their_sample(p: float, dtype: torch.dtype) -> None:
    """A budget of bf16 images is not larger than it says, and little of it is lost; box and ball hold, exactly."""
    x, xi = torch.rand(4, 3, 16, 16).to(dtype), normal(10, 4, 3, 16, 16).to(dtype)
    eps = 2.0 * 768 ** (1 / p - 0.5)
    K = Budget(Lp(p), eps).around(x)
    far = K.project(x + xi)
    for z in (far, K.minimize_linear(xi), K.minimize_linear_near(xi, far, torch.full((4,), eps / 3).to(dtype), Lp(p))):
        w = K.inside(z)
        assert w.dtype == dtype
        size = Lp(p).norm(w.double() - x.double())
        assert bool((size <= eps).all() & (K.violation(w) == 0).all() & K.contains(w).all())
        assert torch.equal(K.inside(w), w)
        assert bool((w >= 0).all() & (w <= 1).all())
        if dtype in (torch.float16, torch.bfloat16):
            assert torch.equal(w, z)  # what comes back is inside as it comes
    assert (
        float(Lp(p).norm(K.inside(far).double() - x.double()).min()) >= (0.9 if dtype == torch.bfloat16 else 0.99) * eps
    )


@pytest.mark.parametrize("p", P)
def test_the_tolerance_of_a_verdict(p: float) -> None:
    """One rounding of the coordinates, and no more than a millionth of the radius: in bf16, nothing beyond it."""
    x = torch.full((1, 100), 0.5, dtype=torch.bfloat16)
    K = Budget(Lp(p), 0.006 * 100 ** (0 if math.isinf(p) else 1 / p)).around(x)
    over = torch.nextafter(torch.nextafter(x, torch.ones_like(x)), torch.ones_like(x))  # by 0.0078
    assert not bool(K.contains(over))
    assert not bool(K.contains(x.float() + 0.00601, torch.bfloat16))
    assert bool(K.contains(x))
    wide = Budget(Lp(p), 0.5, None).around(x.float())
    at = wide.project(x.float() + 1)
    assert bool(wide.contains(wide.inside(at)))
    assert not bool(wide.contains(x.float() + 1.001 * (at - x.float())))
    assert not bool(Budget(Lp(p), 0.5, (0.0, 0.6)).around(x.float()).contains(torch.full((1, 100), 0.61)))


def test_a_budget_of_weights_is_exact_too() -> None:
    """w |z - x| <= eps in rational arithmetic, for l_inf."""
    x, w = torch.rand(1, 40), torch.rand(40) + 0.1
    K = Budget(Weighted(Lp(INF), w), 0.03, None).around(x)
    assert isinstance(K, Box)
    for a, b, c in zip(*(t.double().reshape(-1).tolist() for t in (x, K.hi, w)), strict=True):
        assert (Fraction(b) - Fraction(a)) * Fraction(c) <= Fraction(0.03)


# --- shapes ----------------------------------------------------------------------------------------------------------


def test_eps_per_channel_is_refused() -> None:
    """By name, with the way out, whatever the number of rows; [rows, 1, ...] says that rows are meant."""
    per_channel = torch.tensor([0.1, 0.2, 0.3])
    for rows in (1, 3, 8):
        x = torch.rand(rows, 3, 5, 5)
        for eps in (per_channel, per_channel.reshape(3, 1, 1), per_channel.numpy(), per_channel.tolist()):
            with pytest.raises(ValueError, match=r"eps.*Weighted"):
                Linf(eps).around(x)
    for eps in (torch.rand(8, 3, 1, 1), torch.rand(1, 3, 1, 1), torch.rand(3, 5, 5)):
        with pytest.raises(ValueError, match=r"eps.*Weighted"):
            Linf(eps)
    x = torch.rand(3, 3, 5, 5)
    K = Linf(per_channel.reshape(3, 1, 1, 1), None).around(x)
    torch.testing.assert_close(K.project(x + 1)[:, 0, 0, 0], x[:, 0, 0, 0] + per_channel)
    part = Linf(torch.rand(100)).take(torch.tensor([5, 6, 7]))  # rows of a larger set of samples
    assert part.around(x).project(x + 9).shape == x.shape
    with pytest.raises(ValueError, match="eps"):
        part.around(x[:2])
    table = torch.rand(3, 3)
    assert torch.equal(L2(per_channel).radius(table), per_channel.double())


@pytest.mark.parametrize("eps", ["8/255", " 0.1", "eps", [0.1, "x"], {"a": 1}, 1j, None, [[0.1], [0.1, 0.2]]])
def test_eps_that_is_no_number(eps: object) -> None:
    """Strings, complex numbers and ragged lists are refused by name; a string says how to write it."""
    with pytest.raises(TypeError, match="eps") as caught:
        L2(eps)  # type: ignore[arg-type]
    assert not isinstance(eps, str) or eps.strip() in str(caught.value)


def test_arrays_are_taken() -> None:
    """Numpy arrays and lists are tensors, for eps, bounds and masks."""
    x = torch.rand(8, 3, 5, 5)
    for eps in (np.full(8, 0.1, "f"), [0.1] * 8, np.float32(0.1), np.array(0.1)):
        assert float(Linf(eps, None).around(x).project(x + 1).sub(x).max()) == pytest.approx(0.1)
    bounds = (np.zeros((3, 1, 1), "f"), np.full((3, 1, 1), 0.5, "f"))
    assert float(Linf(9.0, bounds).around(x / 2).project(x + 1).max()) == 0.5
    held = Linf(0.1).around(x, mask=np.zeros((3, 1, 1), bool))  # type: ignore[arg-type]
    assert torch.equal(held.project(x + 1), x)


@pytest.mark.parametrize("shape", [(3,), (5,), (3, 1), (5, 5), (8, 3, 5, 5), (3, 5, 4), (2, 3, 1, 1)])
def test_a_box_that_does_not_fit(shape: tuple[int, ...]) -> None:
    """A bound that would need an axis, or has another size, is refused by name; ones and single numbers fit."""
    x = torch.rand(8, 3, 5, 5)
    for budget in (Linf(0.1, (torch.zeros(shape), 1.0)), L2(0.1, (-1.0, torch.ones(shape)))):
        with pytest.raises(ValueError, match=r"box.*\[3, 5, 5\].*\[C, 1, 1\]"):
            budget.around(x)
    for fits in ((), (1,), (3, 1, 1), (1, 5, 5), (3, 5, 5), (1, 3, 1, 1)):
        assert Linf(0.1, (torch.zeros(fits), 1.0)).around(x).project(x).shape == x.shape


@pytest.mark.parametrize("box", ["01", (0.0, 1.0, 2.0), 1.0, (0.0, "1"), (None, 1.0), {0.0, 1.0}])
def test_a_box_that_is_no_pair(box: object) -> None:
    """Anything but two bounds is refused by name."""
    with pytest.raises(TypeError, match="box"):
        L2(0.1, box)  # type: ignore[arg-type]


def test_bounds_that_do_not_fit_each_other() -> None:
    """Lower above upper, NaN, or of different shapes."""
    for box in (
        (1.0, 0.0),
        (math.nan, 1.0),
        (torch.zeros(2), torch.tensor([1.0, -1.0])),
        (torch.zeros(2), torch.ones(3)),
    ):
        with pytest.raises(ValueError, match="box"):
            L2(0.1, box)


@pytest.mark.parametrize("make", [Linf, L2, L1])
def test_coordinates_whose_bounds_meet_stay(make) -> None:  # type: ignore[no-untyped-def]
    """Lo = hi is a mask; an integer eps is measured against the widths of the others."""
    x = torch.tensor([[0.2, 0.5, 0.7]])
    bounds = (torch.tensor([0.0, 0.5, 0.0]), torch.tensor([1.0, 0.5, 1.0]))
    one, two = make(0.4, bounds).around(x), make(0.4).around(x, mask=torch.tensor([True, False, True]))
    xi = torch.tensor([[1.0, -3.0, -2.0]])
    for a, b in ((one.project(x - 3), two.project(x - 3)), (one.minimize_linear(xi), two.minimize_linear(xi))):
        assert torch.equal(a, b)
        assert float(a[0, 1]) == 0.5
    assert float(one.slope(xi, x, Lp(2))) == pytest.approx(5**0.5)
    with pytest.raises(TypeError, match="255"):
        make(8, bounds)
    assert make(8, (torch.tensor([0.0, 7.0]), torch.tensor([255.0, 7.0]))).eps == 8


@pytest.mark.parametrize("shape", [(4, 6, 6), (5, 5), (7,), (6,), (), (2, 1, 6, 6), (4, 2, 1, 1), (1, 1)])
def test_a_mask_that_does_not_fit(shape: tuple[int, ...]) -> None:
    """A mask with an axis too few, or of another size, is refused by name."""
    x = torch.rand(4, 1, 6, 6)
    with pytest.raises(ValueError, match="mask"):
        Linf(0.1).around(x, mask=torch.ones(shape, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"mask.*bool"):
        Linf(0.1).around(x, mask=torch.ones(1, 6, 6))
    for fits in ((1, 6, 6), (4, 1, 6, 6), (4, 1, 1, 1), (1, 1, 6), (1, 1, 1)):
        assert torch.equal(Linf(0.1).around(x, mask=torch.zeros(fits, dtype=torch.bool)).project(x + 1), x)


def test_weights_that_do_not_fit() -> None:
    """Weights of a norm are refused by name as bounds are."""
    x = torch.rand(8, 3, 5, 5)
    for shape in ((3,), (5,), (8, 3, 1, 1), (3, 4, 5)):
        with pytest.raises(ValueError, match=r"norm.*\[C, 1, 1\]"):
            Budget(Weighted(Lp(2), torch.ones(shape)), 0.1).around(x)
    assert Budget(Weighted(Lp(2), torch.ones(3, 1, 1)), 0.1).around(x).project(x).shape == x.shape


# --- groups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", [1, 1.5, 2, 3, INF])
@pytest.mark.parametrize("boxed", [True, False])
def test_a_budget_of_every_pixel(inner: float, boxed: bool) -> None:
    """L_inf of l_p: every group is its own ball, in every operation; a mask holds, and rows are taken whole."""
    x, xi = torch.rand(3, 2, 2, 4, dtype=torch.float64), normal(11, 3, 2, 2, 4)
    norm, bounds = Mixed(Lp(INF), Lp(inner), axis=1), (0.0, 1.0) if boxed else None
    K = Budget(norm, torch.tensor([0.2, 0.4, 0.0]), bounds).around(x)
    tau = torch.tensor([0.05, 0.1, 0.1], dtype=torch.float64)
    mover = norm if inner not in (1.5, 3) else Lp(INF)

    def cell(t: Tensor) -> Tensor:
        return t.permute(0, 2, 3, 1).reshape(24, 2)

    eps = torch.tensor([0.2, 0.4, 0.0]).repeat_interleave(8)
    cells = Budget(Lp(inner), eps, bounds).take(torch.arange(24)).around(cell(x))
    y = K.project(x + xi)
    torch.testing.assert_close(cell(y), cells.project(cell(x + xi)))
    torch.testing.assert_close(cell(K.minimize_linear(xi)), cells.minimize_linear(cell(xi)))
    step = Lp(inner) if mover is norm else Lp(INF)
    z = K.minimize_linear_near(xi, y, tau, mover)
    wanted = cells.minimize_linear_near(cell(xi), cell(y), tau.repeat_interleave(8), step)
    torch.testing.assert_close(cell(z), wanted, rtol=0, atol=1e-9)
    slopes = cells.slope(cell(xi), cell(y), Lp(inner)).reshape(3, 8)
    torch.testing.assert_close(K.slope(xi, y, norm), slopes.sum(1))
    torch.testing.assert_close(K.slope(xi, y, Lp(2)), cells.slope(cell(xi), cell(y), Lp(2)).reshape(3, 8).norm(dim=1))
    assert bool((norm.norm(K.inside(y) - x) <= torch.tensor([0.2, 0.4, 0.0]).double() + 1e-15).all())
    assert bool(K.contains(K.inside(y)).all())
    assert bool((K.violation(x + 2) > 0).all() & ~K.contains(x + 2).any())
    rows = torch.tensor([2, 0])
    torch.testing.assert_close(K.take(rows).project((x + xi)[rows]), y[rows])
    held = Budget(norm, 0.3, bounds).around(x, mask=torch.tensor([True, False]).reshape(2, 1, 1))
    assert torch.equal(held.project(x + xi)[:, 1], x[:, 1])


def test_norms_of_groups_that_are_known_and_others() -> None:
    """L_p of l_p is l_p, one weight is a unit; what has no exact sets is refused when the budget is made."""
    x, v = torch.rand(2, 3, 4), 3 * torch.rand(2, 3, 4)
    for p in (1, 2, INF):
        same = Budget(Mixed(Lp(p), Lp(p), axis=1), 0.5, None).around(x).project(x + v)
        assert torch.equal(same, Budget(Lp(p), 0.5, None).around(x).project(x + v))
    pixels = Mixed(Lp(INF), Lp(2), axis=1)
    halved = Budget(Weighted(pixels, torch.tensor(2.0)), 0.5, None).around(x).project(x + v)
    torch.testing.assert_close(halved, Budget(pixels, 0.25, None).around(x).project(x + v))
    for norm in (
        Weighted(pixels, torch.ones(3, 1) * 2),
        Weighted(Weighted(Lp(2), torch.ones(1)), torch.ones(1)),
    ):
        with pytest.raises(ValueError, match="exact"):
            Budget(norm, 0.1)
    with pytest.raises(ValueError, match="step"):
        Budget(pixels, 0.1).around(x).minimize_linear_near(v, x, torch.ones(2), Lp(2))
    with pytest.raises(ValueError, match="Slopes"):
        Budget(pixels, 0.1).around(x).slope(v, x, Mixed(Lp(INF), Lp(2), axis=2))


@pytest.mark.parametrize("p", [1.1, 1.5, 2.5, 7, 50])
def test_steps_of_one_norm_hold_the_conditions_of_karush_kuhn_and_tucker(p: float) -> None:
    """At the step xi + lam phi(d - e) + mu phi(d) vanishes where no bound holds, with two numbers a row."""
    x, lp = (normal(12, 5, 60) * 1.2 - 0.3).clamp(0, 1), Lp(p)
    eps = 0.25 * 60 ** (1 / p)
    K = Budget(lp, eps).around(x)
    assert isinstance(K, BallBox)
    y = K.minimize_linear(normal(13, 5, 60))
    xi = normal(14, 5, 60) + 0.5 * normal(13, 5, 60)
    for share in (0.6, 0.2, 0.03):
        tau = torch.full((5,), share * eps, dtype=torch.float64)
        z = K.minimize_linear_near(xi, y, tau, lp)
        assert float(K.violation(z).max()) <= 1e-12
        assert bool((lp.norm(z - y) <= tau * (1 + 1e-9)).all())
        # no feasible point does better: towards the minimizers over many other balls and boxes, pulled inside
        for k in range(40):
            other = y + tau[:, None] * lp.steepest(xi + 0.3 * normal(20 + k, 5, 60))
            w = K.inside(K.project(other))
            w = y + (tau / lp.norm(w - y).clamp_min(1e-30)).clamp_max(1)[:, None] * (w - y)
            assert bool(((xi * (w - z)).sum(1) >= -1e-7 * tau * lp.dual_norm(xi)).all())


@pytest.mark.parametrize("p", [1.1, 1.5, 3, 7, 50])
def test_projections_of_every_norm_hold_the_conditions_of_karush_kuhn_and_tucker(p: float) -> None:
    """Between its bounds d + mu phi(d) = v with one mu >= 0 a row; beyond a bound the sign says where v pulls."""
    x, lp = (normal(15, 6, 60) * 1.2 - 0.3).clamp(0, 1), Lp(p)
    eps = 0.2 * 60 ** (1 / p)
    excess = torch.tensor([1e-7, 1e-3, 0.1, 1.0, 10.0, 100.0], dtype=torch.float64)
    v = lp.steepest(normal(16, 6, 60)) * eps * (1 + excess[:, None])
    d = Budget(lp, eps, None).around(0 * x).project(v)
    pull = d.sign() * d.abs() ** (p - 1)
    mu = ((v - d) * pull).sum(1) / pull.square().sum(1)
    torch.testing.assert_close(lp.norm(d), torch.full((6,), eps, dtype=torch.float64), rtol=1e-9, atol=0)
    assert bool((mu >= 0).all())
    assert bool(((v - d - mu[:, None] * pull).abs().amax(1) <= 1e-9 * v.abs().amax(1)).all())
    radius = torch.full((6,), eps, dtype=torch.float64)
    e = ball(lp, 0 * x, radius, Box(-x, 1 - x)).project(v)
    at_lo, at_hi = e <= 1e-12 - x, e >= 1 - 1e-12 - x
    pull = e.sign() * e.abs() ** (p - 1)
    free = ~(at_lo | at_hi)
    mu = ((v - e) * pull * free).sum(1) / (pull.square() * free).sum(1).clamp_min(1e-300)
    rest, scale = v - e - mu[:, None] * pull, 1e-7 * v.abs().amax(1, keepdim=True)
    assert bool(
        ((rest.abs() <= scale) | ~free).all() & ((rest <= scale) | ~at_lo).all() & ((rest >= -scale) | ~at_hi).all()
    )


@pytest.mark.parametrize("p", [1.1, 1.5, 3, 7, 50])
def test_steps_along_a_curve_need_no_nested_roots(p: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where both balls bind, in every dtype and for short and long steps; nested roots take minutes."""

    def nested(*_: object, **__: object) -> Tensor:
        raise AssertionError("nested roots")

    monkeypatch.setattr(_joint, "_nested", nested)
    lp = Lp(p)
    for dtype in (torch.float32, torch.float64):
        x = (normal(17, 16, 200) * 1.2 - 0.8).clamp(0, 1).to(dtype)
        eps = 0.6 * 200 ** (1 / p - 0.5)
        K, z = Budget(lp, eps).around(x), x
        for turn, share in enumerate((0.7, 0.5, 0.3, 0.1, 0.03, 0.003)):
            xi = (normal(18, 16, 200) + (0.3 + turn % 3) * normal(19 + turn, 16, 200)).to(dtype)
            z = K.minimize_linear_near(xi, z, torch.full((16,), share * eps, dtype=dtype), lp)
            assert float(K.violation(z).max()) <= 1e-6 * eps
