"""How groups of coordinates share one radius: the radius that each gets, by one multiplier, in float64.

A group with the radius t gains phi(t), concave in t; the rate lambda(t) = phi'(t) falls. What is best for all groups
under sum_g t_g^r <= radius^r has one multiplier mu with lambda_g(t_g) = mu t_g^(r-1), and t_g falls as mu rises. Within
a group of l_p the same holds for coordinates: with theta = lambda t^(1-p) each has a closed form that its bounds clip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from maxslope.sets._roots import newton, root
from maxslope.spaces import Lp
from maxslope.spaces.lp import power

_LOW, _TINY = -90.0, 41.0  # logarithms: of the least multiplier, and of how small a radius is beside the whole
_SAFE = 5.0  # the largest dual exponent whose powers of small numbers do not vanish
_CLOSE = 1e-12  # relative: what is a jump rather than a slope of t


@dataclass(frozen=True, eq=False)
class Cells:
    """What the groups want, on flat cells ``[rows, groups, size]`` in float64 around the center."""

    lp: Lp  # the norm within a group
    towards: Tensor
    a: Tensor  # lower and upper bounds
    b: Tensor
    linear: bool  # whether <towards, d> is minimized, not |d - towards|^2 / 2

    def take(self, index: Tensor) -> Cells:
        """Those of some rows."""
        return replace(self, towards=self.towards[index], a=self.a[index], b=self.b[index])

    def each(self) -> Cells:
        """Every group as a row of its own."""
        towards, a, b = (part.flatten(0, 1)[:, None] for part in (self.towards, self.a, self.b))
        return replace(self, towards=towards, a=a, b=b)

    def free(self) -> Tensor:
        """Where the groups would go without a radius."""
        if not self.linear:
            return self.towards.clamp(self.a, self.b)
        far = torch.where(self.towards == 0, 0.0, -self.towards.sign() * math.inf)
        return far.clamp(self.a, self.b)

    def size(self, d: Tensor) -> Tensor:
        """The norms of the groups, ``[rows, groups]``."""
        return self.lp.norm(d.flatten(0, 1)).reshape(d.shape[:2])

    def priced(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """The norms of the groups where |d|^p / p costs theta > 0, p < inf, and by how much their logarithms fall.

        The second is minus the derivative of log t by log theta; both ``[rows, groups]``, p > 1 if linear.
        """
        p, size = self.lp.p, self.towards.abs()
        weight = theta[:, :, None]
        free = self.lp.response(self.towards, weight) if self.linear else self.lp.prox(self.towards, weight)
        d = free.clamp(self.a, self.b)
        t, length = self.size(d), d.abs()
        part = power(length / t.clamp_min(1e-300)[:, :, None], p) * (d == free)
        if self.linear:
            return t, part.sum(2) / (p - 1)
        pull = size - length
        return t, (part * pull / torch.where(length > 0, length + (p - 1) * pull, 1.0)).sum(2)


def radii(cells: Cells, r: float, radius: Tensor) -> Tensor:
    """Return the radii of the groups, ``[rows, groups]``, whose l_r norm, 1 <= r < inf, is at most ``radius``.

    Some point between the bounds is within the radius, ``[rows]``.
    """
    unit = torch.where(radius > 0, radius, 1.0)[:, None, None]
    towards = cells.towards if cells.linear else cells.towards / unit
    part = replace(cells, a=cells.a / unit, b=cells.b / unit, towards=towards)
    one = (radius > 0).double()
    outer, low = Lp(r), part.size(torch.zeros_like(part.a).clamp(part.a, part.b))
    high = torch.maximum(torch.minimum(part.size(part.free()), one[:, None]), low)
    todo = (outer.norm(high) > one).nonzero().squeeze(1)
    if todo.numel():
        high = high.index_copy(0, todo, _shared(part.take(todo), outer, low[todo], high[todo]))
    return high * unit[:, :, 0]


def _shared(cells: Cells, outer: Lp, low: Tensor, high: Tensor) -> Tensor:
    """The radii whose norm is 1: where they jump at the multiplier, all of the segment is best."""
    line: _Steps | _Corners | None = None  # what answers in closed form
    if math.isinf(cells.lp.p) or (cells.linear and cells.lp.p == 1):
        line = _Steps(cells, outer.p, low, high)
    elif cells.linear and outer.p == 1 and cells.lp.q <= _SAFE:
        line = _Corners(cells, low, high)
    top = cells.towards.abs().flatten(1).amax(1).clamp_min(1e-300).log()
    least, most = top + _LOW, top + 10.0 + (outer.p - 1) * math.log(low.shape[1])
    if line is None:
        answer, every = _Answer(cells, outer, low, high), torch.arange(len(top), device=top.device)
        found = newton(answer.excess, least, most, top)
        if not cells.linear:  # nothing jumps
            return answer.now.t.reshape(low.shape)
        step = _CLOSE * found.abs().clamp_min(1.0)
        less, more = (answer.radii(log_mu, every) for log_mu in (found + step, found - step))
    else:
        found = root(lambda log_mu: outer.norm(line(log_mu)) - 1, least, most)
        step = _CLOSE * found.abs().clamp_min(1.0)
        less, more = line(found + step), line(found - step)
    ends = torch.zeros_like(found), torch.ones_like(found)
    share = root(lambda s: outer.norm(torch.lerp(less, more, s[:, None])) - 1, *ends)
    return torch.lerp(less, more, share[:, None])


class _Answer:
    """How the radii, from ``low`` to ``high``, answer to a multiplier, p < inf: by the logarithms s of theta.

    The next ones are looked for where the last ones and their derivative say. All tensors are those of the groups of
    all rows, one after the other.
    """

    def __init__(self, cells: Cells, outer: Lp, low: Tensor, high: Tensor) -> None:
        self.cells, self.outer, self.groups = cells.each(), outer, torch.arange(low.shape[1], device=low.device)
        self.low, self.high = low.flatten(), high.flatten()
        self.more = cells.lp.p - outer.p
        self.top = self.cells.towards.abs().amax((1, 2)).clamp_min(1e-300).log()
        every = torch.arange(len(self.low), device=low.device)
        self.first, self.last = _LOW, _TINY * (cells.lp.p - 1)
        self.least, self.most = (self._at(torch.full_like(self.low, s), every).log_mu for s in (_LOW, self.last))
        self.now = self._at(torch.full_like(self.low, -1.0), every)

    def excess(self, log_mu: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """1 less the norm of the radii of some rows, and the multiplier that Newton's method tries next."""
        t = self.radii(log_mu, rows)
        size = self.outer.norm(t)
        s, fall = (part.reshape(-1, len(self.groups))[rows] for part in (self.now.s, self.now.fall))
        falls = torch.where((s > self.first) & (s < self.last), fall / (1 - self.more * fall), 0.0)
        rate = (power(t / size[:, None], self.outer.p) * falls).sum(1)
        return 1 - size, log_mu + _log1p((size - 1) / (size * rate if self.outer.p < 2 else rate))

    def radii(self, log_mu: Tensor, rows: Tensor) -> Tensor:
        """The radii of some rows for their multipliers, ``[k, groups]``."""
        entries = (rows[:, None] * len(self.groups) + self.groups).flatten()
        wanted = log_mu.repeat_interleave(len(self.groups))
        now = self.now.take(entries)
        beyond = wanted >= self.most[entries]
        fixed = beyond | (wanted <= self.least[entries])
        ends = torch.where(beyond, self.last, self.first).to(wanted)
        lo, hi = ends.where(fixed, ends.new_tensor(self.first)), ends.where(fixed, ends.new_tensor(self.last))

        def miss(s: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
            here = self._at(s, entries[at])
            return here.log_mu - wanted[at], self._next(here, wanted[at])

        start = self._next(now, wanted)
        start = torch.where((start > lo) & (start < hi), start, now.s.clamp(lo, hi))
        found = self._at(newton(miss, lo, hi, start), entries)
        self.now = _Radii(*(old.index_copy(0, entries, new) for old, new in zip(self.now, found, strict=True)))
        return found.t.reshape(len(rows), -1)

    def _next(self, now: _Radii, wanted: Tensor) -> Tensor:
        """Newton's method, for a projection in t for the rate less mu t^(r-1); log t is a line in s, t one in theta."""
        p, r = self.cells.lp.p, self.outer.p
        if self.cells.linear:
            return now.s + (wanted - now.log_mu) / (1 - self.more * now.fall)
        ratio = (wanted - now.log_mu).exp()
        grows = (1 - ratio) * now.fall / (1 - (p - 1) * now.fall + (r - 1) * ratio * now.fall)
        bent = now.s + _log1p(-grows / now.fall) if p == 1 else now.s - _log1p(grows) / now.fall
        return torch.where(now.fall > 0, bent, now.s + wanted - now.log_mu)

    def _at(self, s: Tensor, entries: Tensor) -> _Radii:
        cells = self.cells if len(entries) == len(self.low) else self.cells.take(entries)
        log_theta = s + self.top[entries]
        norm, fall = (part.squeeze(1) for part in cells.priced(log_theta.exp()[:, None]))
        t = norm.clamp(self.low[entries], self.high[entries])
        return _Radii(s, t, torch.where(t == norm, fall, 0.0), log_theta + self.more * t.clamp_min(1e-300).log())


def _log1p(x: Tensor) -> Tensor:
    """The logarithm of 1 + x, where a step too long is cut."""
    return x.clamp_min(-0.95).log1p()


class _Radii(NamedTuple):
    s: Tensor
    t: Tensor
    fall: Tensor  # minus the derivative of log t by s
    log_mu: Tensor  # of the multiplier for which they are best

    def take(self, entries: Tensor) -> _Radii:
        return _Radii(*(part[entries] for part in self))


class _Steps:
    """A rate that falls in steps: of linear forms in l_1 and l_inf, and, sloping in between, of projections in l_inf.

    Each step lasts as long as mu t^(r-1) is below its rate, which is that at 0 less ``slant`` t.
    """

    def __init__(self, cells: Cells, r: float, low: Tensor, high: Tensor) -> None:
        self.r, self.low, self.high = r, low, high
        size = cells.free().abs().clamp_max(2.0)  # all of the radius is 1
        gain, self.slant = cells.towards.abs(), None
        if cells.lp.p == 1:
            rate, order = gain.sort(2, descending=True)
            rooms = (size - torch.zeros_like(size).clamp(cells.a, cells.b).abs()).clamp_min(0).gather(2, order)
        else:
            ends, order = torch.maximum(size, low[:, :, None]).sort(2)
            rooms = torch.diff(ends, dim=2, prepend=low[:, :, None])
            rate = gain.gather(2, order).flip(2).cumsum(2).flip(2)
            if not cells.linear:
                self.slant = torch.arange(size.shape[2], 0, -1).to(rate)
        self.rate, self.rooms, self.before = rate.log(), rooms, low[:, :, None] + rooms.cumsum(2) - rooms

    def __call__(self, log_mu: Tensor) -> Tensor:
        more = self.rate - log_mu[:, None, None]
        if self.slant is not None:
            wanted = _meeting(more.exp(), self.slant * (-log_mu).exp()[:, None, None], self.r).reshape(more.shape)
        else:
            wanted = (more / (self.r - 1)).exp() if self.r > 1 else torch.where(more > 0, math.inf, 0.0)
        spent = torch.minimum((wanted - self.before).clamp_min(0), self.rooms).sum(2)
        return (self.low + spent).clamp(self.low, self.high)


def _meeting(rate: Tensor, slant: Tensor, r: float) -> Tensor:
    """The t >= 0 with t^(r-1) = rate - slant t; where r is neither 1 nor 2 by Newton's method from above."""
    if r in (1, 2):
        return (rate - 1).clamp_min(0) / slant if r == 1 else rate / (slant + 1)
    most = torch.minimum(rate / slant, power(rate, 1 / (r - 1))).flatten()
    rate, slant = rate.flatten(), slant.expand_as(rate).flatten()

    def miss(t: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        pull = power(t, r - 1)
        excess = pull + slant[at] * t - rate[at]
        return excess / rate[at], t - excess / ((r - 1) * pull / t + slant[at])

    return newton(miss, torch.zeros_like(most), most, most)


class _Corners:
    r"""Linear forms in l_p, 1 < p < inf, for r = 1, where the rate is mu: in w = theta^q it is piecewise linear.

    mu^q = sum_i clip(\|xi_i\|^q, least_i^p w, most_i^p w), and t^p = mu^q / w.
    """

    def __init__(self, cells: Cells, low: Tensor, high: Tensor) -> None:
        self.p, self.q, self.low, self.high = cells.lp.p, cells.lp.q, low, high
        size = cells.towards.abs()
        top = size.flatten(1).amax(1).clamp_min(1e-300)
        self.top = top.log()
        x = power(size / top[:, None, None], self.q)
        most = power(cells.free().abs().clamp_max(2.0), self.p)
        least = power(torch.zeros_like(most).clamp(cells.a, cells.b).abs(), self.p)
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
        return power((level / w).nan_to_num(0.0), 1 / self.p).squeeze(2).clamp(self.low, self.high)
