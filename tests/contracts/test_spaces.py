"""Spaces against their laws, and the uniformity of their samples."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from contracts._instances import ROWS, SHAPES, SPACES, norm_of, normal, numpy, spaces, weights
from maxslope import _random
from maxslope.spaces import Lp, Mixed, Space, Weighted
from maxslope.spaces.parameters import Layered

DTYPES = (torch.float64, torch.float32)
EACH = pytest.mark.parametrize(("shape", "name"), SPACES)


def inner(xi: Tensor, v: Tensor) -> Tensor:
    return (xi * v).reshape(xi.shape[0], -1).sum(1)


def tolerance(dtype: torch.dtype) -> float:
    return 1e-12 if dtype == torch.float64 else 5e-6


# --- norms -----------------------------------------------------------------------------------------------------------


@EACH
def test_norm_laws(shape: tuple[int, ...], name: str) -> None:
    """|v + w| <= |v| + |w|, |s v| = |s| |v|, |v| > 0 unless v = 0; for the dual norm too."""
    space = spaces(shape)[name]
    for dtype in DTYPES:
        v, w = normal(1, 7, *shape, dtype=dtype), normal(2, 7, *shape, dtype=dtype)
        for norm in (space.norm, space.dual_norm):
            assert norm(v).shape == (7,)
            assert norm(v).dtype == dtype
            assert bool((norm(v + w) <= (norm(v) + norm(w)) * (1 + tolerance(dtype))).all())
            torch.testing.assert_close(norm(-2.5 * v), 2.5 * norm(v))
            assert bool((norm(v) > 0).all() & (norm(0 * v) == 0).all())
        torch.testing.assert_close(space.distance(v, w), space.norm(w - v))


@pytest.mark.parametrize("p", [1, 1.5, 2, 3, 50, math.inf])
@pytest.mark.parametrize("shape", SHAPES)
def test_norms_by_their_formulas(p: float, shape: tuple[int, ...]) -> None:
    """Lp, Weighted and the dual exponent against numpy, row by row."""
    v, w = normal(3, 3, *shape), weights(shape)
    q = math.inf if p == 1 else 1 if math.isinf(p) else p / (p - 1)
    for i in range(3):
        assert float(Lp(p).norm(v)[i]) == pytest.approx(norm_of(numpy(v[i]), p), rel=1e-12)
        assert float(Lp(p).dual_norm(v)[i]) == pytest.approx(norm_of(numpy(v[i]), q), rel=1e-12)
        assert float(Weighted(Lp(p), w).norm(v)[i]) == pytest.approx(norm_of(numpy(v[i] * w), p), rel=1e-12)
        assert float(Weighted(Lp(p), w).dual_norm(v)[i]) == pytest.approx(norm_of(numpy(v[i] / w), q), rel=1e-12)


@pytest.mark.parametrize("axis", [1, 2, 3, -1, (1, 2), (2, 3), (1, 3), (1, 2, 3), (3, 1)])
def test_mixed_norm_by_its_formula(axis: int | tuple[int, ...]) -> None:
    """The norm over groups is torch's own vector norm, first within, then across."""
    v = normal(4, 3, 2, 3, 4)
    for outer, inside in ((1, 2), (3, 1.5), (math.inf, 1), (2, math.inf)):
        groups = torch.linalg.vector_norm(v, inside, dim=axis)
        wanted = torch.linalg.vector_norm(groups.reshape(3, -1), outer, dim=1)
        torch.testing.assert_close(Mixed(Lp(outer), Lp(inside), axis).norm(v), wanted)


# --- duality ---------------------------------------------------------------------------------------------------------


@EACH
def test_steepest_attains_the_dual_norm(shape: tuple[int, ...], name: str) -> None:
    """<xi, steepest> = -|xi|_*, |steepest| <= 1, for dense, sparse, tied and zero rows, in 1, 3 and 7 rows."""
    space = spaces(shape)[name]
    for dtype in DTYPES:
        xi = normal(5, 7, *shape, dtype=dtype)
        xi[1] = 0
        xi[2] = xi[2].sign()
        xi[3] = torch.where(normal(6, *shape) > 0, xi[3], torch.zeros_like(xi[3]))
        xi[4] *= 1e-30 if dtype == torch.float32 else 1e-200
        xi[5] *= 1e30 if dtype == torch.float32 else 1e200
        for rows in ROWS:
            v = space.steepest(xi[:rows])
            assert v.shape == (rows, *shape)
            assert v.dtype == dtype
            dual = space.dual_norm(xi[:rows])
            torch.testing.assert_close(inner(xi[:rows], v), -dual, rtol=tolerance(dtype), atol=0)
            assert float(space.norm(v).max()) <= 1 + tolerance(dtype)
        assert bool((space.steepest(xi)[1] == 0).all())


@EACH
def test_holder_and_the_dual_of_the_dual(shape: tuple[int, ...], name: str) -> None:
    """|<xi, v>| <= |xi|_* |v|, and |v| = sup <xi, v> over |xi|_* <= 1 is attained at a norming covector."""
    space = spaces(shape)[name]
    v, xi = normal(7, 50, *shape), normal(8, 50, *shape)
    assert bool((inner(xi, v).abs() <= space.dual_norm(xi) * space.norm(v) * (1 + 1e-12)).all())
    # The gradient of the norm at v is the norming covector (v is generic; for max norms it is a subgradient).
    point = v.clone().requires_grad_()
    (norming,) = torch.autograd.grad(space.norm(point).sum(), point)
    torch.testing.assert_close(inner(norming, v), space.norm(v))
    torch.testing.assert_close(space.dual_norm(norming), torch.ones(50, dtype=torch.float64))


@given(st.floats(1, 100), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6))
def test_any_exponent(p: float, entries: list[float]) -> None:
    """The laws of duality for every real p and any row, of dimension 1 too."""
    xi = torch.tensor([entries], dtype=torch.float64)
    v = Lp(p).steepest(xi)
    assert bool(v.isfinite().all())
    assert float(Lp(p).norm(v)) <= 1 + 1e-10
    dual = float(Lp(p).dual_norm(xi))
    assert float(inner(xi, v)) == pytest.approx(-dual, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("p", [1, 1.5, 2, 3, 50, math.inf])
@pytest.mark.parametrize("size", [1e30, 1e-30, 1e18, 1e-18])
def test_no_power_overflows(p: float, size: float) -> None:
    """In float32, |s v| = s |v| for s = 1e30 and 1e-30, beside rows of ordinary size."""
    v = torch.tensor([[3.0, -4.0, 0.0, 1.0], [3.0, -4.0, 0.0, 1.0]])
    scaled = v * torch.tensor([[size], [1.0]])
    weighted = Weighted(Lp(p), torch.tensor([1.0, 2.0, 3.0, 0.5]))
    for space in (Lp(p), weighted, Mixed(Lp(p), Lp(2), 1), Mixed(Lp(2), Lp(p), 1)):
        for norm in (space.norm, space.dual_norm):
            torch.testing.assert_close(norm(scaled)[0] / size, norm(v)[0], rtol=2e-6, atol=0)
        torch.testing.assert_close(space.steepest(scaled)[0], space.steepest(v)[1], rtol=1e-5, atol=1e-6)


def test_steepest_directions_in_closed_form() -> None:
    """flows.md section 2: signs, one coordinate, the normalized gradient, and zero where xi is zero for l_inf."""
    xi = torch.tensor([[3.0, -4.0, 0.0]], dtype=torch.float64)
    expected = {math.inf: [-1.0, 1.0, 0.0], 1: [0.0, 1.0, 0.0], 2: [-0.6, 0.8, 0.0]}
    for p, wanted in expected.items():
        torch.testing.assert_close(Lp(p).steepest(xi), torch.tensor([wanted], dtype=torch.float64))
    cubic = -xi.sign() * xi.abs() ** 0.5 / (3**1.5 + 4**1.5) ** (1 / 3)
    torch.testing.assert_close(Lp(3).steepest(xi), cubic)


@EACH
def test_rows_are_strangers(shape: tuple[int, ...], name: str) -> None:
    """Bit for bit the same alone, in a batch and in another order.

    Where powers are taken, up to the last bit: torch's vectorized powers round the last entries of an array otherwise.
    """
    space, xi = spaces(shape)[name], normal(10, 7, *shape)
    powers = any(p in name for p in ("1.5", "3", "50"))
    for rows in (torch.tensor([4, 2, 6, 0, 5, 3, 1]), *torch.arange(7)[:, None]):
        for f in (space.norm, space.dual_norm, space.steepest):
            one, two = f(xi)[rows], f(xi[rows])
            assert torch.equal(one, two) or (powers and torch.allclose(one, two, rtol=1e-14, atol=1e-15))


def test_misuse_raises() -> None:
    """Exponents below 1, weights that are not positive, groups along the row axis."""
    for p in (0.5, -1, math.nan):
        with pytest.raises(ValueError, match=r"exponent p in \[1, inf\]"):
            Lp(p)
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="positive, finite weights"):
            Weighted(Lp(2), torch.tensor([1.0, bad]))
    for axis in (0, -3, 3, (0, 1), ()):
        with pytest.raises(ValueError, match="axis 0 counts rows"):
            Mixed(Lp(2), Lp(2), axis=axis).norm(torch.ones(2, 3, 4))


# --- coordinate maps of Lp used by the sets --------------------------------------------------------------------------


@given(st.sampled_from([1, 1.1, 1.5, 2, 3, 8]), st.floats(-100, 100), st.floats(1e-6, 1e6))
def test_prox_is_optimal(p: float, at: float, weight: float) -> None:
    """d = prox(v, w) satisfies d - v + w sign(d) |d|^(p-1) = 0 (a subgradient at 0 for p = 1)."""
    v, w = torch.tensor([[at]], dtype=torch.float64), torch.tensor([[weight]], dtype=torch.float64)
    d = Lp(p).prox(v, w)
    pull = w * Lp(p).slope_of_power(d)
    if p == 1 and float(d) == 0:
        assert abs(at) <= weight
    else:
        assert abs(float(d - v + pull)) <= 1e-9 * (1 + abs(at))


# --- samples ---------------------------------------------------------------------------------------------------------

N = 4000
SAMPLED: dict[str, tuple[Space, tuple[int, ...]]] = {
    **{f"Lp({p})": (Lp(p), (3,)) for p in (1, 1.5, 2, 50, 1000, math.inf)},
    "line": (Lp(1.5), (1,)),
    "Weighted(1.5)": (Weighted(Lp(1.5), torch.tensor([0.5, 1.0, 2.0])), (3,)),
    "Mixed(1,2)": (Mixed(Lp(1), Lp(2), axis=1), (2, 2)),
    "Mixed(1.5,inf)": (Mixed(Lp(1.5), Lp(math.inf), axis=2), (2, 2)),
    "Mixed(inf,1)": (Mixed(Lp(math.inf), Lp(1), axis=1), (2, 2)),
    "Mixed(1000,1000) of one": (Mixed(Lp(1000), Lp(1000), axis=1), (1, 3)),
    "Weighted(Mixed)": (Weighted(Mixed(Lp(2), Lp(1), axis=1), torch.tensor([[1.0, 2.0], [0.5, 1.0]])), (2, 2)),
}


def drawn(name: str, seed: int = 0) -> Tensor:
    space, shape = SAMPLED[name]
    return space.sample(_random.keys(seed, torch.arange(N)), torch.empty(N, *shape, dtype=torch.float64))


def rejected(name: str) -> Tensor:
    """Uniform points in the unit ball by rejection from its bounding box: an independent sampler."""
    space, shape = SAMPLED[name]
    unit = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
    half = (1 / space.norm(unit)).reshape(shape)
    g = torch.Generator().manual_seed(11)
    points = (2 * torch.rand(40 * N, *shape, generator=g, dtype=torch.float64) - 1) * half
    inside = points[space.norm(points) <= 1]
    assert len(inside) >= 2000
    return inside[: 3 * N]


@pytest.mark.parametrize("name", list(SAMPLED))
def test_samples_are_uniform_in_radius(name: str) -> None:
    """The d-th power of the norm of a uniform point is uniform on [0, 1] (Kolmogorov and Smirnov)."""
    space, shape = SAMPLED[name]
    x = drawn(name)
    assert bool(x.isfinite().all())
    radius = space.norm(x)
    assert float(radius.max()) <= 1 + 1e-12
    assert stats.kstest(numpy(radius ** math.prod(shape)), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("name", list(SAMPLED))
def test_samples_have_the_marginals_of_a_rejection_sampler(name: str) -> None:
    """Coordinates, sums and differences of coordinates, products of moduli: two-sample Kolmogorov and Smirnov."""
    x, y = (t.reshape(len(t), -1) for t in (drawn(name), rejected(name)))
    d = x.shape[1]
    views = [lambda t, i=i: t[:, i] for i in range(d)]
    if d > 1:
        views += [lambda t: t[:, 0] + t[:, 1], lambda t: t[:, 0] - t[:, -1]]
        views += [lambda t: t[:, 0].abs() * t[:, 1].abs(), lambda t: t[:, 0] * t[:, -1]]
    for view in views:
        assert stats.ks_2samp(numpy(view(x)), numpy(view(y))).pvalue > 1e-3


@EACH
def test_draws_are_keyed(shape: tuple[int, ...], name: str) -> None:
    """The same key gives the same bits alone, in 7, 64 and 1000 rows, and in any order, in float32 and float64."""
    space = spaces(shape)[name]
    for dtype in DTYPES:
        keys = _random.keys(3, torch.arange(1000), 1)
        like = torch.empty(1000, *shape, dtype=dtype)
        all_rows = space.sample(keys, like)
        assert all_rows.dtype == dtype
        assert all_rows.shape == like.shape
        assert float(space.norm(all_rows).max()) <= 1 + tolerance(dtype)
        for rows in (1, 7, 64):
            assert torch.equal(space.sample(keys[:rows], like[:rows]), all_rows[:rows])
        order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
        assert torch.equal(space.sample(keys[order], like), all_rows[order])


@EACH
def test_other_keys_give_other_points(shape: tuple[int, ...], name: str) -> None:
    """Different seeds, samples and restarts draw different points; consecutive samples are uncorrelated."""
    space = spaces(shape)[name]
    like = torch.empty(500, *shape, dtype=torch.float64)
    ids = torch.arange(500)
    base = space.sample(_random.keys(0, ids, 0), like)
    for streams in ((1, ids, 0), (0, ids, 1), (0, ids + 1000, 0), (0, 0, ids)):
        keys = _random.keys(*streams)
        other = space.sample(keys, like)
        # with key (0, 0, ids) the single row (0, 0, 0) is the same by design
        assert int((other == base).reshape(500, -1).all(1).sum()) <= 1
        first, second = base.reshape(500, -1)[:, 0], other.reshape(500, -1)[:, 0]
        assert abs(float(torch.corrcoef(torch.stack([first, second]))[0, 1])) < 0.2
    first = base.reshape(500, -1)[:, 0]
    assert abs(float(torch.corrcoef(torch.stack([first[1:], first[:-1]]))[0, 1])) < 0.2


def test_layers_of_different_sizes_share_a_steep_norm() -> None:
    """|v|^4 is uniform, and |v_1| nearly: a Gamma variable with the parameter 1/400 underflows, its logarithm not."""
    space = Layered(Lp(400), Lp(2), (1, 3))
    v = space.sample(_random.keys(0, torch.arange(4000)), torch.empty(4000, 4, dtype=torch.float64))
    for uniform in (space.norm(v) ** 4, v[:, 0].abs()):
        assert stats.kstest(uniform.numpy(), "uniform").pvalue > 1e-3
