"""What the floating-point grid of a sample does to a ball: bounds rounded inward, points moved onto the grid inside."""

from __future__ import annotations

import torch
from torch import Tensor

from maxslope._rows import column

_HALF = (torch.float16, torch.bfloat16)


def is_half(dtype: torch.dtype) -> bool:
    """Whether numbers have so few digits that sums over a sample are taken in float32."""
    return dtype in _HALF


def down(value: Tensor, dtype: torch.dtype) -> Tensor:
    """The largest numbers of ``dtype`` that do not exceed ``value``.

    >>> down(torch.tensor([0.1], dtype=torch.float64), torch.bfloat16).double()
    tensor([0.0996], dtype=torch.float64)
    """
    return _settle(value.double(), torch.zeros((), dtype=torch.float64, device=value.device), dtype, -torch.inf)


def interval(center: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest number of the dtype of ``center`` within ``width``, in float64, of it, exactly."""
    wide, inf = center.double(), torch.inf
    low, high = (_settle(*_sum(wide, w), center.dtype, end) for w, end in ((-width, inf), (width, -inf)))
    return low, high


def quotient(radius: Tensor, weights: Tensor) -> Tensor:
    """radius / weights in float64, rounded down: the largest number whose product with the weight is in the radius."""
    width = radius / weights
    product, rest = _product(width, weights)
    beyond = (product > radius) | ((product == radius) & ~(rest <= 0))
    zero = torch.zeros_like(width)
    return torch.where(beyond & width.isfinite(), torch.nextafter(width, zero), width)


def on_grid(anchor: Tensor, z: Tensor, share: Tensor) -> Tensor:
    """The point of the grid of ``z`` nearest to anchor + share (z - anchor), ``share`` being ``[rows]`` float64."""
    start = anchor.double()
    return torch.addcmul(start, column(share, z), z.double() - start).to(z.dtype)


def half_unit(z: Tensor, dtype: torch.dtype) -> Tensor:
    """Half a unit in the last place of ``dtype`` at each coordinate of ``z``, in float64: one rounding."""
    kind = torch.finfo(dtype)
    _, exponent = torch.frexp(z.double().abs().clamp_min(kind.tiny))
    return torch.ldexp(torch.full_like(exponent, kind.eps, dtype=torch.float64), exponent - 2)


def tolerance(rounding: Tensor, radius: Tensor, dtype: torch.dtype) -> Tensor:
    """How far outside a point still counts as inside: by a rounding, in half precision by no more than 1e-6 radius.

    In half precision a rounding may be a fifth of the radius, which would be another ball.
    """
    return torch.minimum(rounding, 1e-6 * radius) if is_half(dtype) else rounding


def _sum(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """a + b and what rounding left out (Knuth's two-sum), NaN where the sum is infinite."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _product(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """A b and what rounding left out (Dekker's product)."""
    (a_big, a_rest), (b_big, b_rest) = _halves(a), _halves(b)
    p = a * b
    return p, ((a_big * b_big - p) + a_big * b_rest + a_rest * b_big) + a_rest * b_rest


def _halves(t: Tensor) -> tuple[Tensor, Tensor]:
    """The first half of the digits, and the rest."""
    c = 134217729.0 * t  # 2^27 + 1
    big = c - (c - t)
    return big, t - big


def _settle(value: Tensor, rest: Tensor, dtype: torch.dtype, end: float) -> Tensor:
    """Round value + rest to ``dtype`` towards ``end``, an infinity."""
    near = value.to(dtype)
    wide = near.double()
    short = (
        (wide < value) | ((wide == value) & (rest > 0)) if end > 0 else (wide > value) | ((wide == value) & (rest < 0))
    )
    return torch.where(short, _next(near, end), near)


def _next(t: Tensor, end: float) -> Tensor:
    """The next number towards ``end``; float16 lacks it in some versions of torch, so its bits are counted there."""
    if t.dtype != torch.float16:
        return torch.nextafter(t, torch.full_like(t, end))
    bits = t.view(torch.int16)
    order = torch.where(bits < 0, -(bits & 0x7FFF), bits)  # numbers in their order, both zeros at 0
    order = order + (1 if end > 0 else -1)
    back = torch.where(order < 0, (-order) | -0x8000, order).view(torch.float16)
    return torch.where(t.isnan() | (t == end), t, back)
