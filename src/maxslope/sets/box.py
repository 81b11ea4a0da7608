"""Boxes: lower and upper bounds, coordinate by coordinate. An l_inf ball is one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope._rows import column, flat, take
from maxslope.sets import _ball
from maxslope.sets._rounding import half_unit, is_half, tolerance
from maxslope.sets.base import Set
from maxslope.spaces import Lp, Mixed, Space, Weighted


@dataclass(frozen=True, eq=False)
class _Bounds(Set):
    """What a :class:`Box` holds, unchecked."""

    lo: Tensor
    hi: Tensor


class Box(_Bounds):
    """The set { lo <= z <= hi }, with its own bounds in every row.

    Args:
        lo: lower bounds, ``[rows, *shape]`` or ``[1, *shape]`` for the same bounds in every row; -inf is no bound.
        hi: upper bounds, likewise.

    Raises:
        ValueError: if some lower bound exceeds its upper bound (the set is empty).

    >>> Box(torch.zeros(1, 2), torch.ones(1, 2)).project(torch.tensor([[-1.0, 0.5]]))
    tensor([[0.0000, 0.5000]])
    """

    def __init__(self, lo: Tensor, hi: Tensor) -> None:
        if bool((lo.isnan() | hi.isnan()).any()):
            raise ValueError("A box needs lo <= hi everywhere, got NaN among its bounds; -inf and inf are no bounds.")
        _reject_empty(lo, hi)
        _Bounds.__init__(self, lo, hi)

    @classmethod
    def known(cls, lo: Tensor, hi: Tensor) -> Box:
        """Return a box that is known not to be empty, made without asking the device."""
        box = object.__new__(cls)
        _Bounds.__init__(box, lo, hi)
        return box

    def project(self, x: Tensor) -> Tensor:
        return x.clamp(self.lo, self.hi)

    def minimize_linear(self, xi: Tensor) -> Tensor:
        """See :class:`Set`; where xi is zero, the point of the box nearest 0."""
        z = torch.where(xi > 0, self.lo, torch.where(xi < 0, self.hi, torch.zeros_like(xi).clamp(self.lo, self.hi)))
        if bool(z.isinf().any()):
            raise ValueError("A linear form has no minimizer over an unbounded box; bound the box or add a ball.")
        return z

    def minimize_linear_near(self, xi: Tensor, x: Tensor, tau: Tensor, space: Space) -> Tensor:
        """See :class:`Set`. For l_inf, clipping the unconstrained step is exact."""
        lp, weights = separable(space)
        if math.isinf(lp.p):
            return self.project(torch.addcmul(x, column(tau, x), space.steepest(xi)))
        if is_half(x.dtype):
            wide = self.to(torch.float32)
            return wide.minimize_linear_near(xi.float(), x.float(), tau.float(), space).to(x.dtype)
        w = weights.to(x) if weights is not None else x.new_ones(())
        a, b = ((bound.expand_as(x) - x) * w for bound in (self.lo, self.hi))
        d = _ball.minimize_linear(lp, flat(xi / w), tau, flat(a), flat(b), centered=True)
        return self.project(x + d.reshape(x.shape) / w)

    def slope(self, xi: Tensor, x: Tensor, space: Space) -> Tensor:
        """See :class:`Set`; the dual norm of xi over the coordinates that can still move against it."""
        return space.dual_norm(self.movable(xi, x))

    def movable(self, xi: Tensor, x: Tensor) -> Tensor:
        """Return ``xi`` with zeros where the box forbids the descent direction -xi at ``x``."""
        return stopped(xi, *self.faces(x))

    def faces(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return where ``x`` lies on the lower and on the upper bound, up to rounding in the scale of row and box."""
        top = flat(x.abs()).amax(1) if x.numel() else x.new_zeros(x.shape[0])
        scale = torch.maximum(x.abs(), torch.minimum(self.hi - self.lo, column(top, x)))
        slack = 16 * torch.finfo(x.dtype).eps * scale
        return x - self.lo <= slack, self.hi - x <= slack

    def violation(self, x: Tensor) -> Tensor:
        return flat(torch.maximum(self.lo - x, x - self.hi).clamp_min(0)).amax(1).double()

    def contains(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """See :class:`Set`; the radius is half the width of a coordinate."""
        out = self.violation(x)
        if not bool((out > 0).any()):
            return ~out.isnan()
        kind = dtype or x.dtype
        # The bounds of a ball are rounded inwards themselves, by up to a unit.
        slack = tolerance(2 * half_unit(x, kind), (self.hi.double() - self.lo.double()) / 2, kind)
        excess = torch.maximum(self.lo.double() - x.double(), x.double() - self.hi.double())
        return flat(excess <= slack).all(1)

    def take(self, index: Tensor) -> Box:
        return Box.known(take(self.lo, index), take(self.hi, index))

    def to(self, dtype: torch.dtype) -> Box:
        """Return the same box with bounds of another dtype."""
        return Box.known(self.lo.to(dtype), self.hi.to(dtype))

    def intersect(self, lo: Tensor, hi: Tensor) -> Box:
        """Return the box of the points of this box that also lie between ``lo`` and ``hi``.

        Raises:
            ValueError: if there are none in some row. Rows of NaN are left to themselves.
        """
        lower, upper = torch.maximum(self.lo, lo), torch.minimum(self.hi, hi)
        _reject_empty(lower, upper)
        return Box.known(lower, upper)

    def within(self, x: Tensor, width: Tensor) -> Box:
        """Return the part of this box within ``width`` of points ``x`` of it, coordinate by coordinate; never empty."""
        return Box.known((x - width).clamp(self.lo, self.hi), (x + width).clamp(self.lo, self.hi))


def stopped(xi: Tensor, at_lo: Tensor, at_hi: Tensor) -> Tensor:
    """``xi`` with zeros where its descent direction is held by a bound."""
    return xi.masked_fill(((xi > 0) & at_lo) | ((xi < 0) & at_hi), 0.0)


def _reject_empty(lo: Tensor, hi: Tensor) -> None:
    bad = lo > hi
    if bool(bad.any()):
        raise ValueError(
            f"A box needs lo <= hi everywhere, got {int(bad.sum())} coordinates with lo > hi: the set is empty. Is the "
            "center inside the box of the inputs?"
        )


def separable(space: Space) -> tuple[Lp, Tensor | None]:
    """Return the exponent and the weights of an l_p norm, weighted or not; l_p of l_p is l_p.

    Raises:
        ValueError: for any other space, which has no exact set operations.
    """
    if isinstance(space, Mixed) and space.outer == space.inner:
        space = space.inner
    if isinstance(space, Lp):
        return space, None
    if isinstance(space, Weighted) and isinstance(space.base, Lp):
        return space.base, space.weights
    raise ValueError(
        f"Exact projections and linear minimizers exist here for Lp and Weighted(Lp), got {space!r}. Use one of those "
        "for the budget, or add the solver as CONTRIBUTING.md describes."
    )


def plain(norm: Space) -> tuple[Space, float]:
    r"""Return a norm in the form in which there are sets of it, and a factor: \|v\| = factor times that norm.

    A single weight is the factor, and l_p of l_p is l_p.

    Raises:
        ValueError: if there are no exact sets of this norm.
    """
    if isinstance(norm, Weighted) and isinstance(norm.base, Mixed) and norm.weights.numel() == 1:
        base, factor = plain(norm.base)
        return base, factor * float(norm.weights)
    if isinstance(norm, Mixed) and norm.outer == norm.inner:
        return norm.inner, 1.0
    if isinstance(norm, Lp | Mixed) or (isinstance(norm, Weighted) and isinstance(norm.base, Lp)):
        return norm, 1.0
    raise ValueError(
        f"A budget needs a norm with exact projections and linear minimizers, got {norm!r}. There are Lp(p), "
        "Weighted(Lp(p), w), Mixed(Lp(r), Lp(p), axis), and Weighted(Mixed(Lp(r), Lp(p), axis), w) with a single w; "
        "other weights on a norm of groups have none here."
    )
