"""The root finder and the convex minimum behind the sets."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maxslope.sets._roots import minimum, root


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_roots_to_machine_precision(dtype: torch.dtype) -> None:
    """Each entry finds its own root, rising or falling, to a few units in the last place."""
    target = torch.tensor([0.3, 1.7, 2.0, 9.5], dtype=dtype)
    lo, hi = torch.zeros(4, dtype=dtype), torch.full((4,), 10.0, dtype=dtype)
    for sign in (1, -1):
        found = root(lambda x, sign=sign: sign * (x**3 - target**3), lo, hi)
        torch.testing.assert_close(found, target, rtol=8 * torch.finfo(dtype).eps, atol=0)


@given(st.floats(-50, 50), st.floats(0.01, 5))
def test_jumps_and_flat_pieces(where: float, width: float) -> None:
    """A monotone function that jumps or is flat is bracketed all the same."""
    at = torch.tensor([where], dtype=torch.float64)
    lo, hi = at - width, at + 3 * width
    jump = root(lambda x: torch.where(x < at, -1.0, 2.0).double(), lo, hi)
    assert abs(float(jump - at)) <= 1e-12 * (1 + abs(where))
    kink = root(lambda x: (x - at).clamp_min(-0.001) * 1e-8, lo, hi)
    assert abs(float(kink - at)) <= 1e-12 * (1 + abs(where))


def test_no_change_of_sign_gives_the_nearer_end() -> None:
    """Without a root in the bracket, the end where |f| is smaller."""
    f = lambda x: x + 3  # noqa: E731
    assert float(root(f, torch.tensor([0.0]), torch.tensor([1.0]))) == 0.0
    assert float(root(lambda x: -f(x), torch.tensor([-9.0]), torch.tensor([-4.0]))) == -4.0
    assert float(root(f, torch.tensor([-3.0]), torch.tensor([5.0]))) == -3.0


def test_entries_are_strangers() -> None:
    """A finished entry rests: the same bits alone and beside an entry that needs more iterations."""
    target = torch.tensor([0.5, 1e-9, 3.3, 0.1], dtype=torch.float64)

    def solve(t: torch.Tensor) -> torch.Tensor:
        return root(lambda x: (x - t) ** 3 + (x - t) * 1e-6, torch.zeros_like(t) - 1, torch.zeros_like(t) + 40)

    together = solve(target)
    assert all(torch.equal(solve(target[i : i + 1]), together[i : i + 1]) for i in range(4))


def test_minimum_of_convex_functions() -> None:
    """The least value on [0, hi]: inside, at both ends, at a kink."""
    at = torch.tensor([0.3, -1.0, 7.0, 1.0], dtype=torch.float64)
    hi = torch.full((4,), 2.0, dtype=torch.float64)
    where, least = minimum(lambda m: (m - at).abs() + 1, hi)
    torch.testing.assert_close(where, torch.tensor([0.3, 0.0, 2.0, 1.0], dtype=torch.float64), atol=1e-7, rtol=0)
    torch.testing.assert_close(least, torch.tensor([1.0, 2.0, 6.0, 1.0], dtype=torch.float64))
    _, smooth = minimum(lambda m: (m - at).square(), hi)
    torch.testing.assert_close(smooth, torch.tensor([0.0, 1.0, 25.0, 0.0], dtype=torch.float64), atol=1e-15, rtol=0)
    assert math.isfinite(float(least.sum()))


def test_an_entry_of_nan_rests() -> None:
    """A function that is NaN, from the start or on the way, does not keep the others busy to the limit."""
    calls = 0

    def f(x: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        on_the_way = torch.where((x > 0) & (x < 40), math.nan, 1.0)
        return (x - 3.3) * torch.stack([torch.ones_like(x[0]), x[1] * math.nan, on_the_way[2]])

    lo, hi = torch.zeros(3, dtype=torch.float64), torch.full((3,), 40.0, dtype=torch.float64)
    found = root(f, lo, hi)
    assert float(found[0]) == pytest.approx(3.3)
    assert calls < 20
