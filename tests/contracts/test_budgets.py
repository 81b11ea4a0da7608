"""Budgets in closed forms: what may be given as a radius, a box, a mask or weights, and what it then is."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from maxslope.sets import L2, Budget, Linf, _shapes
from maxslope.spaces import Lp, Mixed, Weighted

INF = math.inf


def equal(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)


def test_radii_as_they_are_given() -> None:
    rows = torch.tensor([0.1, 0.2, 0.3])
    assert _shapes.radius(0.5) == (0.5, 0)
    assert _shapes.radius(rows[0])[1] == 0
    for axes, given in enumerate((rows, rows[:, None], rows[:, None, None]), 1):
        eps, found = _shapes.radius(given)
        assert isinstance(eps, Tensor)
        assert (eps.tolist(), found) == (rows.tolist(), axes)
    for bad in (torch.ones(3, 2), torch.ones(1, 1, 2), torch.ones(3, 0)):
        with pytest.raises(ValueError, match=r"one per sample, \[rows\]"):
            _shapes.radius(bad)
    for value in (True, 3, 0.5, rows):
        assert _shapes.number(value, "eps") is value
    assert _shapes.number([1.0, 2.0], "eps").tolist() == [1.0, 2.0]
    for bad, said in (([1j], "real numbers"), ([True], "real numbers"), (" 8 ", "write 8 without"), ("", "write 8/255"),
                      (None, "got None"), ([[1.0], [1.0, 2.0]], "eps is a number")):  # fmt: skip
        with pytest.raises(TypeError, match=said):
            _shapes.number(bad, "eps")


@pytest.mark.parametrize(
    ("count", "axes", "shape", "said"),
    [
        (3, 1, (3, 4), None), (3, 1, (3, 3), None), (3, 1, (3, 1, 5), None), (1, 1, (1, 1, 5), None),
        (3, 3, (3, 3, 5), None), (3, 4, (3, 3, 5, 5), None), (1, 3, (1, 3, 5), None), (4, 1, (4, 3, 5), None),
        (2, 1, (3, 4), r"here \[3\] or \[3, 1\], got the shape \(2,\) for"),
        (3, 1, (1, 3, 5), r"here \[1\] or \[1, 1, 1\], got the shape \(3,\)"),
        (3, 2, (3, 4, 5), r"got the shape \(3, 1\) for"),
        (3, 4, (3, 4, 5), r"got the shape \(3, 1, 1, 1\) for"),
        (2, 3, (3, 4, 5), r"got the shape \(2, 1, 1\) for"),
        (3, 1, (3, 3, 5), r"one per channel. For one per sample write eps.reshape\(-1, 1, 1\)"),
        (2, 1, (2, 2, 5, 5), r"eps.reshape\(-1, 1, 1, 1\)"),
    ],
)  # fmt: skip
def test_radii_that_fit(count: int, axes: int, shape: tuple[int, ...], said: str | None) -> None:
    eps, x = torch.full((count,), 0.1), torch.rand(shape)
    if said is None:
        _shapes.radius_fits(eps, axes, x)
        given = Budget(Lp(2), eps.reshape(count, *(1,) * (axes - 1)))
        assert equal(given.radius(x), eps.double())
        assert given.around(x).project(x + 1).shape == x.shape
    else:
        with pytest.raises(ValueError, match=said):
            _shapes.radius_fits(eps, axes, x)
        with pytest.raises(ValueError, match=said):
            Budget(Lp(2), eps.reshape(count, *(1,) * (axes - 1))).radius(x)


def test_the_budget_of_some_samples_is_known_to_be_by_sample() -> None:
    eps, x = torch.rand(7), torch.rand(3, 3, 5)
    part = Linf(eps).take(torch.tensor([4, 0, 2]))
    assert equal(part.radius(x), eps[[4, 0, 2]].double())
    with pytest.raises(ValueError, match=r"got the shape \(3,\) for"):
        part.radius(x[:2])
    for same in (Linf(0.5), Linf(torch.tensor(0.5))):
        assert same.take(torch.tensor([1])) is same
        assert equal(same.radius(x), torch.full((3,), 0.5, dtype=torch.float64))
    assert Linf(eps).take(torch.tensor([1])).box == (0.0, 1.0)
    assert (Linf(0.1)._axes, Linf(eps)._axes, Linf(eps[:, None])._axes, part._axes) == (0, 1, 2, -1)
    assert "_axes" not in repr(part)
    assert [str(b) for b in (L2(0.25), L2(torch.tensor(0.25)), L2(torch.tensor([0.5, 0.25, 1.0])), Linf(1 / 3))] == [
        "l_2 0.25", "l_2 0.25", "l_2 0.25..1", "l_inf 0.3333",
    ]  # fmt: skip
    assert str(Budget(Weighted(Lp(2), torch.tensor(2.0)), 0.5)).endswith(" 0.5")


@pytest.mark.parametrize(
    ("given", "shape", "fits"),
    [
        ((), (3, 5), True), ((1,), (3, 5), True), ((1, 1, 1, 1), (3, 5), True), ((3, 5), (3, 5), True),
        ((3, 1), (3, 5), True), ((1, 5), (3, 5), True), ((1, 3, 5), (3, 5), True), ((1, 3, 1), (3, 5), True),
        ((5,), (3, 5), False), ((5, 3), (3, 5), False), ((2, 3, 5), (3, 5), False), ((3, 4), (3, 5), False),
        ((2, 5), (3, 5), False), ((5,), (5,), True), ((1, 5), (5,), True), ((2, 5), (5,), False),
    ],
)  # fmt: skip
def test_bounds_weights_and_masks_that_fit(given: tuple[int, ...], shape: tuple[int, ...], fits: bool) -> None:
    x = torch.rand(2, *shape)
    value = 1 + torch.arange(math.prod(given), dtype=torch.float64).reshape(given)
    if fits:
        bound = _shapes.bound(value, x)
        assert equal(bound, value.float().reshape(given[-len(shape) :] if value.numel() > 1 else ()).expand(1, *shape))
        _shapes.weights(value, x)
    else:
        with pytest.raises(ValueError, match="The bounds of the box are numbers or have the shape of a sample"):
            _shapes.bound(value, x)
        with pytest.raises(ValueError, match="The weights of the norm are numbers or have the shape of a sample"):
            _shapes.weights(value, x)
    masked = (fits and len(given) in (len(shape), len(shape) + 1)) or given == (2, *shape)
    if masked:
        mask = _shapes.mask(value > 1, x)
        assert torch.equal(mask, value > 1)
    else:
        with pytest.raises(ValueError, match="The mask has the shape of a sample"):
            _shapes.mask(value > 1, x)
    with pytest.raises(TypeError, match="The mask is boolean"):
        _shapes.mask(value, x)


def test_boxes_that_are_pairs() -> None:
    low = torch.zeros(2)
    for pair in ((0.0, 1.0), [0.0, 1.0], (0, 1), (low, low), (-INF, INF), (0.0, low)):
        lo, hi = _shapes.box(pair)
        assert lo is pair[0]
        assert hi is pair[1]
    assert [float(t) for t in _shapes.box(torch.tensor([0.0, 1.0]))] == [0.0, 1.0]
    for bad in ("01", 1.0, (0.0,), (0.0, 1.0, 2.0), {0.0: 1, 1.0: 2}, torch.zeros(3)):
        with pytest.raises(TypeError, match="The box is a pair"):
            _shapes.box(bad)
    for bad in ((1.0, 0.0), (math.nan, 1.0), (0.0, math.nan), (low, low - 1)):
        with pytest.raises(ValueError, match=r"lo <= hi, got [12] coordinates"):
            _shapes.box(bad)
    with pytest.raises(ValueError, match="fit each other"):
        _shapes.box((low, torch.ones(3)))


@pytest.mark.parametrize(
    ("eps", "box", "refused"),
    [
        (8, (0.0, 1.0), True), (1, (0.0, 1.0), True), (1, (0.0, 1.99), True), (1, (0.0, 2.0), False),
        (0, (0.0, 1.0), False), (8.0, (0.0, 1.0), False), (torch.tensor(8.0), (0.0, 1.0), False),
        (torch.tensor([0, 1]), (0.0, 1.0), True), (torch.tensor([0, 0]), (0.0, 1.0), False), (8, (-1.5, 1.0), False),
        (8, (torch.tensor([0.0, 3.0]), torch.tensor([9.0, 3.0])), False), (8, (3.0, 3.0), False),
        (8, (torch.tensor([0.0, 3.0]), torch.tensor([9.0, 3.5])), True), (8, None, False), (8, (-INF, 1.0), False),
    ],
)  # fmt: skip
def test_whole_radii_are_refused_where_a_box_is_narrow(eps: object, box: object, refused: bool) -> None:
    if refused:
        with pytest.raises(TypeError, match=r"got the integer eps=.*on a box of width (1|1\.99|0\.5);"):
            Linf(eps, box)  # type: ignore[arg-type]
    else:
        assert Linf(eps, box).eps is eps  # type: ignore[arg-type]


def test_budgets_in_closed_form() -> None:
    x = torch.tensor([[0.2, 0.5], [0.4, 0.9]])
    low, high = Linf(0.25).window(x)
    assert (low.tolist(), high.tolist()) == ([[0.0, 0.0]] * 2, [[1.0, 1.0]] * 2)
    heavy = Budget(
        Weighted(Lp(1), torch.tensor([1.0, 2.0])), torch.tensor([0.5, 1.0]), (-INF, torch.tensor([INF, 9.0]))
    )
    low, high = heavy.window(x)
    torch.testing.assert_close(low, torch.tensor([[-0.3, 0.25], [-0.6, 0.4]]))
    torch.testing.assert_close(high, torch.tensor([[0.7, 9.0], [1.4, 9.0]]))
    low, high = heavy.window(x, torch.tensor([2.0, 4.0]))
    torch.testing.assert_close(low, torch.tensor([[-1.8, -0.5], [-3.6, -1.1]]))
    for bound, value in zip(heavy.bounds(x), ([[-INF, -INF]], [[INF, 9.0]]), strict=True):
        assert equal(bound, torch.tensor(value))
    assert [bound.tolist() for bound in L2(1.0, None).bounds(x)] == [[[-INF, -INF]], [[INF, INF]]]
    with pytest.raises(ValueError, match="The weights of the norm"):
        Budget(Weighted(Lp(2), torch.ones(3)), 0.1).around(x)
    held = Linf(0.5).around(x, mask=torch.tensor([True, False]))
    assert held.project(x + 9).tolist() == [[pytest.approx(0.7), 0.5], [pytest.approx(0.9), pytest.approx(0.9)]]
    free = L2(9.0).around(x, mask=torch.tensor([[True, False], [False, True]]))
    assert free.project(x + 9).tolist() == [[1.0, 0.5], [pytest.approx(0.4), 1.0]]
    shared, apart = Mixed(Lp(2), Lp(1), axis=1), Mixed(Lp(INF), Lp(2), axis=1)
    assert Budget(shared, 0.1).motion == Lp(INF)
    for norm in (apart, Lp(2), Weighted(Lp(2), torch.ones(2))):
        assert Budget(norm, 0.1).motion is norm
    assert Budget(Weighted(shared, torch.tensor(2.0)), 0.1).motion == Lp(INF)
    for bad in (-0.1, math.nan, INF, torch.tensor([0.1, -0.1]), torch.tensor([0.1, INF])):
        with pytest.raises(ValueError, match="eps must be finite and not negative"):
            Linf(bad)
    assert L2(0.0).around(x).project(x + 1).tolist() == x.tolist()
    with pytest.raises(TypeError, match="needs a space such as"):
        Budget(2, 0.1)  # type: ignore[arg-type]
