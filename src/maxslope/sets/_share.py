"""How groups of coordinates share one radius: the radius that each gets, by one multiplier, in float64.

A group with the radius t gains phi(t), concave in t; the rate lambda(t) = phi'(t) falls. What is best for all groups
under sum_g t_g^r <= radius^r has one multiplier mu with lambda_g(t_g) = mu t_g^(r-1), and t_g falls as mu rises. Within
a group of l_p the same holds for coordinates: with theta = lambda t^(1-p) each has a closed form that its bounds clip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from maxslope.sets._roots import Function, root
from maxslope.spaces import Lp

_LOW, _TINY = -90.0, 41.0  # logarithms: of the least multiplier, and of how small a radius is beside the whole
_SAFE = 5.0  # the largest dual exponent whose powers of small numbers do not vanish
_CLOSE = 1e-12  # relative: what is a jump rather than a slope of t


@dataclass(frozen=True, eq=False)
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
        """The norms of the groups where |d|^p / p costs theta > 0, p < inf and p > 1 if linear, ``[rows, groups]``."""
        weight, v = theta[:, :, None], self.towards
        d = self.lp.response(v, weight) if self.linear else self.lp.prox(v, weight.expand_as(v))
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
    unit = torch.where(radius > 0, radius, 1.0)[:, None, None]
    part = replace(
        cells, a=cells.a / unit, b=cells.b / unit, towards=cells.towards if cells.linear else cells.towards / unit
    )
    one = (radius > 0).double()
    outer, low = Lp(r), part.size(torch.zeros_like(part.a).clamp(part.a, part.b))
    high = torch.maximum(torch.minimum(part.size(part.free()), one[:, None]), low)
    todo = (outer.norm(high) > one).nonzero().squeeze(1)
    if todo.numel():
        rows = replace(part, towards=part.towards[todo], a=part.a[todo], b=part.b[todo])
        high = high.index_copy(0, todo, _shared(rows, outer, low[todo], high[todo]))
    return high * unit[:, :, 0]


def _shared(cells: Cells, outer: Lp, low: Tensor, high: Tensor) -> Tensor:
    """The radii whose norm is 1: where they jump at the multiplier, all of the segment is best."""
    answer = _Answer(cells, outer, low, high)
    top = cells.towards.abs().flatten(1).amax(1).clamp_min(1e-300).log()
    most = 10.0 + (outer.p - 1) * math.log(low.shape[1])
    found = root(lambda m: answer.excess(m + top), torch.full_like(top, _LOW), torch.full_like(top, most))
    step = _CLOSE * found.abs().clamp_min(1.0)
    less, more = answer.radii(found + step + top), answer.radii(found - step + top)
    ends = torch.zeros_like(found), torch.ones_like(found)
    share = root(lambda s: outer.norm(torch.lerp(less, more, s[:, None])) - 1, *ends)
    return torch.lerp(less, more, share[:, None])


class _Answer:
    """How the radii answer to a multiplier; every answer narrows where the next ones are looked for.

    The unknown s of a group rises with the multiplier: the logarithm of theta, or -t in l_inf.

    Args:
        cells: the groups.
        outer: the norm across groups.
        low: the least radii.
        high: the largest radii.
    """

    def __init__(self, cells: Cells, outer: Lp, low: Tensor, high: Tensor) -> None:
        self.cells, self.outer, self.low, self.high = cells, outer, low, high
        self.p, self.line = cells.lp.p, _line(cells, outer.p, low, high)
        self.top = cells.towards.abs().amax(2).clamp_min(1e-300).log()
        if math.isinf(self.p):
            self.first, self.last = -high, -low
        else:
            self.first, self.last = (torch.full_like(low, at) for at in (_LOW, 5.0 + _TINY * (self.p - 1)))
        self.under = torch.full_like(low[:, 0], -math.inf), self.first  # multipliers below the best, and s there
        self.over = torch.full_like(low[:, 0], math.inf), self.last

    def excess(self, log_mu: Tensor) -> Tensor:
        """The norm of the radii less 1, ``[rows]``."""
        if self.line is not None:
            return self.outer.norm(self.line(log_mu)) - 1
        s = self._solve(log_mu)
        excess = self.outer.norm(self._norms(s)) - 1
        below = (excess > 0) & (log_mu >= self.under[0])
        above = (excess <= 0) & (log_mu <= self.over[0])
        self.under = torch.where(below, log_mu, self.under[0]), torch.where(below[:, None], s, self.under[1])
        self.over = torch.where(above, log_mu, self.over[0]), torch.where(above[:, None], s, self.over[1])
        return excess

    def radii(self, log_mu: Tensor) -> Tensor:
        """The radii for a multiplier, ``[rows, groups]``."""
        return self._norms(self._solve(log_mu)) if self.line is None else self.line(log_mu)

    def _norms(self, s: Tensor) -> Tensor:
        return (-s if math.isinf(self.p) else self.cells.priced((s + self.top).exp())).clamp(self.low, self.high)

    def _solve(self, log_mu: Tensor) -> Tensor:
        price = log_mu.exp()[:, None].expand_as(self.low)

        def f(s: Tensor) -> Tensor:
            t = self._norms(s)
            rate = self.cells.rate(t) if math.isinf(self.p) else (s + self.top).exp() * t ** (self.p - 1)
            return rate - price * t ** (self.outer.p - 1)

        lo = torch.where((log_mu >= self.under[0])[:, None], self.under[1], self.first)
        hi = torch.where((log_mu <= self.over[0])[:, None], self.over[1], self.last)
        return _crossing(f, lo, hi)


def _line(cells: Cells, r: float, low: Tensor, high: Tensor) -> _Steps | _Corners | None:
    """What answers in closed form, for linear forms alone."""
    if not cells.linear:
        return None
    if cells.lp.p == 1 or math.isinf(cells.lp.p):
        return _Steps(cells, r, low, high)
    return _Corners(cells, low, high) if r == 1 and cells.lp.q <= _SAFE else None


class _Steps:
    """Linear forms in l_1 and l_inf: a rate that falls in steps, each lasting as long as mu t^(r-1) is below it."""

    def __init__(self, cells: Cells, r: float, low: Tensor, high: Tensor) -> None:
        self.r, self.low, self.high = r, low, high
        size = cells.free().abs().clamp_max(2.0)  # all of the radius is 1
        if cells.lp.p == 1:
            rate, order = cells.towards.abs().sort(2, descending=True)
            rooms = (size - torch.zeros_like(size).clamp(cells.a, cells.b).abs()).clamp_min(0).gather(2, order)
        else:
            ends, order = torch.maximum(size, low[:, :, None]).sort(2)
            rooms = torch.diff(ends, dim=2, prepend=low[:, :, None])
            rate = cells.towards.abs().gather(2, order).flip(2).cumsum(2).flip(2)
        self.rate, self.rooms, self.before = rate.log(), rooms, low[:, :, None] + rooms.cumsum(2) - rooms

    def __call__(self, log_mu: Tensor) -> Tensor:
        more = self.rate - log_mu[:, None, None]
        wanted = (more / (self.r - 1)).exp() if self.r > 1 else torch.where(more > 0, math.inf, 0.0)
        spent = torch.minimum((wanted - self.before).clamp_min(0), self.rooms).sum(2)
        return (self.low + spent).clamp(self.low, self.high)


class _Corners:
    r"""Linear forms in l_p, 1 < p < inf, for r = 1, where the rate is mu: in w = theta^q it is piecewise linear.

    mu^q = sum_i clip(\|xi_i\|^q, least_i^p w, most_i^p w), and t^p = mu^q / w.
    """

    def __init__(self, cells: Cells, low: Tensor, high: Tensor) -> None:
        self.p, self.q, self.low, self.high = cells.lp.p, cells.lp.q, low, high
        size = cells.towards.abs()
        top = size.flatten(1).amax(1).clamp_min(1e-300)
        self.top = top.log()
        x = (size / top[:, None, None]) ** self.q
        most = cells.free().abs().clamp_max(2.0) ** self.p
        least = torch.zeros_like(most).clamp(cells.a, cells.b).abs() ** self.p
        at, order = torch.cat([x / most, x / least], 2).nan_to_num(0.0, posinf=math.inf).sort(2)
        zero = torch.zeros_like(most)
        falls = torch.cat([most, zero], 2).gather(2, order)  # sums of one sign each: what is 0 is exactly 0
        rises = torch.cat([zero, least], 2).gather(2, order)
        gone = falls.flip(2).cumsum(2).flip(2)
        slope = gone + rises.cumsum(2) - rises  # before each corner
        self.slope = torch.cat([slope, rises.sum(2, keepdim=True)], 2)
        self.at = torch.nn.functional.pad(at, (1, 0))
        grown = (slope * torch.diff(self.at, dim=2)).nan_to_num(0.0, posinf=math.inf).cumsum(2)
        self.value = torch.nn.functional.pad(grown, (1, 0))

    def __call__(self, log_mu: Tensor) -> Tensor:
        level = (self.q * (log_mu - self.top)).exp()[:, None, None].expand(*self.low.shape, 1).contiguous()
        k = torch.searchsorted(self.value[:, :, 1:].contiguous(), level)
        at, value, slope = (t.gather(2, k) for t in (self.at, self.value, self.slope))
        w = at + (level - value) / slope
        return (level / w).nan_to_num(0.0).pow(1 / self.p).squeeze(2).clamp(self.low, self.high)


def _crossing(f: Function, lo: Tensor, hi: Tensor) -> Tensor:
    """Where an increasing function is 0, the end nearest to that where it has one sign."""
    found = root(f, lo, hi)
    return torch.where(f(lo) >= 0, lo, torch.where(f(hi) <= 0, hi, found))
