"""How groups of coordinates share one radius: the radius that each gets, by one multiplier, in float64.

A group with the radius t gains phi(t), concave in t; the rate lambda(t) = phi'(t) falls. What is best for all groups
under sum_g t_g^r <= radius^r has one multiplier mu with lambda_g(t_g) = mu t_g^(r-1), and t_g falls as mu rises. Within
a group of l_p the same holds for coordinates: with theta = lambda t^(1-p) each has a closed form that its bounds clip.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope.sets._roots import root
from maxslope.spaces import Lp

_SPAN = 90.0  # of logarithms, on both sides: exp(90) is 1e39
_CLOSE = 1e-13  # relative: what is a jump rather than a slope of t


@dataclass(frozen=True)
class Cells:
    """What the groups want, on flat cells ``[rows, groups, size]`` in float64 around the center.

    Args:
        lp: the norm within a group.
        towards: the point to project where ``linear`` is False, else the covector to minimize.
        a: lower bounds.
        b: upper bounds.
        linear: whether <towards, d> is minimized, not |d - towards|^2 / 2.
    """

    lp: Lp
    towards: Tensor
    a: Tensor
    b: Tensor
    linear: bool

    def free(self) -> Tensor:
        """Where the groups would go without a radius."""
        if not self.linear:
            return self.towards.clamp(self.a, self.b)
        far = torch.where(self.towards == 0, 0.0, -self.towards.sign() * math.inf)
        return far.clamp(self.a, self.b)

    def size(self, d: Tensor) -> Tensor:
        """The norms of the groups, ``[rows, groups]``."""
        return self.lp.norm(d.flatten(0, 1)).reshape(d.shape[:2])

    def priced(self, theta: Tensor) -> Tensor:
        """The norms of the groups where |d|^p / p costs theta, p < inf, for theta > 0, ``[rows, groups]``."""
        weight, v = theta[:, :, None], self.towards
        if not self.linear:
            d = self.lp.prox(v, weight.expand_as(v))
        elif self.lp.p == 1:
            d = torch.where(v.abs() > weight, -v.sign() * math.inf, 0.0)
        else:
            d = self.lp.response(v, weight)
        return self.size(d.clamp(self.a, self.b))

    def rate(self, t: Tensor) -> Tensor:
        """What the groups of an l_inf norm gain by more radius than t, ``[rows, groups]``."""
        held = self.free().abs() > t[:, :, None]
        gain = self.towards.abs() if self.linear else self.towards.abs() - t[:, :, None]
        return torch.where(held, gain, 0.0).sum(2)


def radii(cells: Cells, r: float, radius: Tensor) -> Tensor:
    """Return the radii of the groups, ``[rows, groups]``, whose l_r norm is at most ``radius``.

    Args:
        cells: the groups; some point between the bounds is within the radius.
        r: the exponent across groups, 1 <= r < inf.
        radius: ``[rows]``.
    """
    outer = Lp(r)
    least = cells.size(torch.zeros_like(cells.a).clamp(cells.a, cells.b))
    most = torch.maximum(torch.minimum(cells.size(cells.free()), radius[:, None]), least)
    todo = (outer.norm(most) > radius).nonzero().squeeze(1)
    if not todo.numel():
        return most
    part = Cells(cells.lp, cells.towards[todo], cells.a[todo], cells.b[todo], cells.linear)
    low, high, wanted = least[todo], most[todo], radius[todo]
    center = part.towards.abs().flatten(1).amax(1).clamp_min(1e-300).log() - (r - 1) * wanted.clamp_min(1e-300).log()

    def at(log_mu: Tensor) -> Tensor:
        return _by_group(part, r, (log_mu + center).exp(), low, high)

    found = root(lambda m: outer.norm(at(m)) - wanted, torch.full_like(center, -_SPAN), torch.full_like(center, _SPAN))
    step = _CLOSE * found.abs().clamp_min(1.0)
    best = _between(outer, wanted, at(found + step), at(found - step))
    return most.index_copy(0, todo, best)


def _between(outer: Lp, wanted: Tensor, less: Tensor, more: Tensor) -> Tensor:
    """The point of the segment whose norm is as wanted: where t jumps at the multiplier, all of it is best."""
    low, high = torch.zeros_like(wanted), torch.ones_like(wanted)
    share = root(lambda s: outer.norm(torch.lerp(less, more, s[:, None])) - wanted, low, high)
    t = torch.lerp(less, more, share[:, None])
    return torch.where((outer.norm(less) > wanted)[:, None], less, t)


def _by_group(cells: Cells, r: float, mu: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The radii for a multiplier, ``[rows, groups]``, between ``low`` and ``high``."""
    price = mu[:, None].expand_as(low)
    if math.isinf(cells.lp.p):
        t = root(lambda t: price * t ** (r - 1) - cells.rate(t), low, high)
        return t.clamp(low, high)
    p = cells.lp.p
    if r == p:
        return cells.priced(price).clamp(low, high)
    top = cells.towards.abs().amax(2).clamp_min(1e-300).log()

    def excess(log_theta: Tensor) -> Tensor:
        theta = (log_theta + top).exp()
        t = cells.priced(theta).clamp(low, high)
        return theta * t ** (p - 1) - price * t ** (r - 1)

    found = root(excess, torch.full_like(top, -_SPAN), torch.full_like(top, _SPAN))
    if p > 1 or not cells.linear:
        return cells.priced((found + top).exp()).clamp(low, high)
    step = _CLOSE * found.abs().clamp_min(1.0)
    less, more = (cells.priced((found + s + top).exp()).clamp(low, high) for s in (step, -step))
    return ((found + top).exp() / price).pow(1 / (r - 1)).clamp(less, more)
