"""Two balls of one l_p norm, 1 < p < inf, and a box: Newton's method for all coordinates and both multipliers at once.

    argmin { <g, d> : |d - e|_p <= tau, |d|_p <= r, a <= d <= b }    where both balls bind.

With t = (d - e) / tau, rho = p - 1 and phi(t) = sign(t) |t|^rho every free coordinate solves

    lam phi(t) + mu phi((e + tau t) / r) + g = 0

for two numbers lam, mu > 0 that are common to a row. A step of Newton's method takes one evaluation of both powers: it
corrects each coordinate on its own, and moves lam and mu so that both norms come right to first order. What makes few
steps do is the form in which a coordinate is corrected. Let s be the smaller of |t| and |d|, in its unit, where e >= 0:

    beyond e, or beyond the origin    alpha s^rho + beta o^rho = C,     o = e + s
    between                           alpha s^rho - beta o^rho = C,     o = e - s <= s + e

and terms of one sign on each side. For rho >= 1 the powers 1 / rho of both sides are almost linear in s; for rho < 1
the sides themselves are in alpha s^rho. The derivation is the project's own.
"""

from __future__ import annotations

from copy import copy
from typing import NamedTuple

import torch
from torch import Tensor

from maxslope.spaces import Lp

_STEPS = 40
_GROW = 1.3  # of the share of a step after one that did not swing; 2 leaves cycles


class Row(NamedTuple):
    """Where the iteration stands. Signs are flipped so that e >= 0; multipliers are logarithms, ``[rows, 1]``."""

    t: Tensor  # (d - e) / tau
    d: Tensor  # d / r
    log_lam: Tensor
    log_mu: Tensor
    last: Tensor  # by how much log mu changed last
    share: Tensor  # of a step of the multipliers that is made: less where they swing


class Place(NamedTuple):
    """On which side of e and of the origin each coordinate has its solution, by the present multipliers, as 0 or 1."""

    outward: Tensor  # beyond e
    through: Tensor  # beyond the origin
    low: Tensor  # |d| is the smaller of |t| and |d|, each in its unit
    between: Tensor  # e and the origin
    way: Tensor  # the sign with which the smaller of both grows: t beyond e, minus t before e, d, or minus d


def minimize(
    lp: Lp, g: Tensor, e: Tensor, tau: Tensor, radius: Tensor, a: Tensor, b: Tensor, *, pace: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return d, ``[rows, d]``, and where it is the minimizer, ``[rows]``; ``a`` and ``b`` bound d.

    A ``pace`` below 1 changes the multipliers by less at once, in more steps.
    """
    flip = torch.ones_like(e).copysign(e)
    work = _Pair(lp, g * flip / g.abs().amax(1, keepdim=True), e.abs(), tau[:, None], radius[:, None])
    low, high = (torch.where(flip < 0, -x, y) for x, y in ((b, a), (a, b)))
    work.bound(low, high)
    work.pace = pace
    row, settled = work.solve()
    # Measured from the nearer of e and the origin, so that no digits are lost.
    moved = torch.where(row.t.abs() * work.tau < row.d.abs() * work.r, row.t * work.tau + work.e, row.d * work.r)
    return moved * flip, settled


class _Pair:
    """The equations of one batch; e >= 0, and the largest |g| of a row is 1."""

    def __init__(self, lp: Lp, g: Tensor, e: Tensor, tau: Tensor, r: Tensor) -> None:
        self.lp, self.rho, self.pace = lp, lp.p - 1, 1.0
        self.g, self.e, self.tau, self.r, self.scale = g, e, tau, r, tau / r
        kind = torch.finfo(g.dtype)
        self.tiny, self.faint = kind.tiny, kind.tiny**0.5
        self.tolerance = 1e-5 if g.dtype == torch.float32 else 1e-8
        self.far, self.out = e / tau, e / r  # from e to the origin, in both units
        huge = kind.max**0.7
        # phi at e and at the origin
        self.at_e, self.at_0 = self.out**self.rho, (self.far**self.rho).clamp_max(huge)
        self.dual = lp.dual_norm(g)[:, None]

    def bound(self, low: Tensor, high: Tensor) -> None:
        """Take bounds of d, and what the balls say of each coordinate."""
        self.low_d, self.high_d = (low / self.r).clamp_min(-1), (high / self.r).clamp_max(1)
        self.low_t = ((low - self.e) / self.tau).clamp_min(-1)
        self.high_t = ((high - self.e) / self.tau).clamp_max(1)
        self.low_d = torch.maximum(self.low_d, self.out - self.scale)
        self.high_d = torch.minimum(self.high_d, self.out + self.scale)

    def start(self) -> Row:
        """The tangent plane at e in place of the ball."""
        n = self.at_e
        size = (n * self.out).sum(1, keepdim=True)
        mu = (-(self.g * self.out).sum(1, keepdim=True) / size.clamp_min(self.tiny)).clamp_min(1e-3)
        slant = torch.addcmul(self.g, mu, n)
        lam = self.lp.dual_norm(slant)[:, None].clamp_min(1e-6)
        other = torch.addcmul(self.g, lam, self.at_0, value=-1)
        t, d = (-((v.abs() / w) ** (1 / self.rho)).copysign(v) for v, w in ((slant, lam), (other, mu)))
        t, d = t.clamp(-2, 2), d.clamp(-2, 2)
        return Row(t, d, lam.log(), mu.log(), torch.zeros_like(mu), torch.ones_like(mu))

    def take(self, index: Tensor) -> _Pair:
        """The equations of some of the rows."""
        part = copy(self)
        for name, value in vars(self).items():
            setattr(part, name, value[index] if isinstance(value, Tensor) else value)
        return part

    def solve(self) -> tuple[Row, Tensor]:
        """Iterate; a row that is settled rests, and the others go on without it."""
        row, work = self.start(), self
        answer, index = row, torch.arange(self.g.shape[0], device=self.g.device)
        settled = torch.zeros_like(self.dual[:, 0], dtype=torch.bool)
        for _ in range(round(_STEPS / self.pace)):
            here, row, error = work.step(row)
            done = (error <= self.tolerance) | error.isnan()
            if bool(done.any()):
                for old, new in zip(answer, here, strict=True):
                    old.index_copy_(0, index[done], new[done])
                settled[index[done]] = ~error[done].isnan()
                rest = (~done).nonzero().squeeze(1)
                if not rest.numel():
                    break
                index, work, row = index[rest], work.take(rest), Row(*(t[rest] for t in row))
        return answer, settled

    def place(self, row: Row, lam: Tensor, mu: Tensor) -> Place:
        """Where the solution of each coordinate lies."""
        at_e, at_0 = mu * self.at_e, lam * self.at_0
        outward, through = (self.g + at_e <= 0).to(self.g), (self.g - at_0 >= 0).to(self.g)
        through = through * (1 - outward)
        nearer = (0.5**self.rho * (at_e - at_0) + self.g >= 0).to(self.g)
        between = 1 - outward - through
        low = torch.addcmul(through, between, nearer)
        way = 2 * torch.addcmul(outward, between, low) - 1
        return Place(outward, through, low, between, way)

    def step(self, row: Row) -> tuple[Row, Row, Tensor]:
        """The row in its place, the next one by Newton's method, and how far from a solution it is, ``[rows]``."""
        rho, p, scale, tiny = self.rho, self.lp.p, self.scale, self.tiny
        lam, mu = row.log_lam.exp(), row.log_mu.exp()
        at = self.place(row, lam, mu)
        least, most = torch.lerp(self.low_t, self.low_d, at.low), torch.lerp(self.high_t, self.high_d, at.low)
        half = torch.lerp(self.far, self.out, at.low) * (0.5 * at.between) + (1 - at.between) * 2
        s = (torch.lerp(row.t, row.d, at.low) * at.way).clamp_min(1e-6 if rho >= 1 else 0.0).minimum(half)
        v = (s * at.way).clamp(least, most)  # the smaller of t and d
        t, d = self.both(v, at.low)
        here = row._replace(t=t, d=d)
        size_t, size_d = t.abs(), d.abs()
        pull_t, pull_d = lam * self.power(size_t), mu * self.power(size_d)
        signed_t, signed_d = pull_t * (2 * at.outward - 1), pull_d * (1 - 2 * at.through)
        force = signed_t + signed_d + self.g  # the derivative along the coordinate
        held = ((v <= least) & (force > 0)) | ((v >= most) & (force < 0))
        free = (~held).to(t)
        stiff_t, stiff_d = self.stiffness(size_t, pull_t, lam), scale * self.stiffness(size_d, pull_d, mu)
        give = free / (stiff_t + stiff_d).clamp_min(tiny)
        own = -force * give if rho < 1 else self.correct(at, size_t, size_d, pull_t, pull_d) * free
        follow_a, follow_b = signed_t * give, signed_d * give  # minus the derivatives of t by log lam and log mu
        phi_t, phi_d = signed_t / lam, signed_d * (scale / mu)
        size_a, size_b = (size_t * pull_t).sum(1, keepdim=True) / lam, (size_d * pull_d).sum(1, keepdim=True) / mu
        miss_a, miss_b = size_a.log() / p, size_b.log() / p
        own_a, own_b = (phi_t * own).sum(1, keepdim=True), (phi_d * own).sum(1, keepdim=True)
        m_aa, m_bb = (phi_t * follow_a).sum(1, keepdim=True), (phi_d * follow_b).sum(1, keepdim=True)
        m_ab = (phi_t * follow_b).sum(1, keepdim=True)
        y_a, y_b = size_a * miss_a + own_a, size_b * miss_b + own_b
        wrong = (force * own).abs().sum(1, keepdim=True) / self.dual
        by_a, by_b = self.solved(m_aa, m_ab, m_ab * (lam * scale / mu), m_bb, y_a, y_b)
        if rho < 1:  # first the coordinates, where they are far from what the multipliers say
            loose = (own_a.abs() > 0.1 * size_a) | (own_b.abs() > 0.1 * size_b) | (wrong > 0.01)
            by_a, by_b = by_a.masked_fill(loose, 0.0), by_b.masked_fill(loose, 0.0)
        swings = (by_b * row.last < 0) & (by_b.abs() > 0.3 * row.last.abs())
        share = torch.where(swings, 0.5 * row.share, (_GROW * row.share).clamp_max(1)).where(by_b != 0, row.share)
        by_a, by_b = share * by_a, share * by_b
        moved = own - by_a * follow_a - by_b * follow_b
        log_lam, log_mu = (row.log_lam + by_a).clamp(-60, 60), (row.log_mu + by_b).clamp(-60, 60)
        unit = torch.lerp(torch.ones_like(scale), scale, at.low)  # of v in t
        if rho >= 1:
            v = v + unit * moved
        else:  # what a bound holds stays to the bit
            pull, stiff = torch.lerp(pull_t, pull_d, at.low), torch.lerp(stiff_t, stiff_d, at.low)
            by, log_weight = torch.lerp(by_a, by_b, at.low), torch.lerp(log_lam, log_mu, at.low)
            v = torch.where(held, v, self.by_pull(pull, pull * by + stiff * moved * at.way, log_weight) * at.way)
        t, d = self.both(v.clamp(least, most), at.low)
        off_a = miss_a.abs() * torch.where(miss_a < 0, (lam / self.dual).clamp_max(1), 1.0)
        off_b = miss_b.abs() / scale * torch.where(miss_b < 0, (mu / self.dual).clamp_max(1), 1.0)
        error = torch.maximum(torch.maximum(off_a, off_b), wrong)[:, 0]
        return here, Row(t, d, log_lam, log_mu, torch.where(by_b == 0, row.last, by_b), share), error

    def solved(
        self, m_aa: Tensor, m_ab: Tensor, m_ba: Tensor, m_bb: Tensor, y_a: Tensor, y_b: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The changes of log lam and log mu, so small that powers stay in sight."""
        det = m_aa * m_bb - m_ab * m_ba
        det = torch.where(det.abs() > 0, det, torch.full_like(det, self.tiny))
        cap = self.pace * min(2 * max(self.rho, min(0.15, 3 * self.rho)), 12.0)
        by_a, by_b = (y_a * m_bb - y_b * m_ab) / det, (y_b * m_aa - y_a * m_ba) / det
        return by_a.clamp(-cap, cap), by_b.clamp(-cap, cap)

    def both(self, v: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
        """T and d from the smaller one."""
        return (
            torch.lerp(v, (v - self.out) / self.scale, low),
            torch.lerp(torch.addcmul(self.out, self.scale, v), v, low),
        )

    def power(self, size: Tensor) -> Tensor:
        """Size^rho, which underflows for large rho only where the logarithm does."""
        if self.rho == 1:
            return size
        return size**self.rho if self.rho <= 12 else (self.rho * size.log()).exp()

    def stiffness(self, size: Tensor, pull: Tensor, weight: Tensor) -> Tensor:
        """The derivative of a pull, large but finite at 0 for rho < 1."""
        if self.rho >= 1:
            return self.rho * pull / size.clamp_min(self.tiny)
        return self.rho * torch.maximum(pull, weight * self.faint**self.rho) / size.clamp_min(self.faint)

    def correct(self, at: Place, size_t: Tensor, size_d: Tensor, pull_t: Tensor, pull_d: Tensor) -> Tensor:
        """What each coordinate lacks with the multipliers as they are, in t, for rho >= 1."""
        tiny = self.tiny
        s, o = torch.lerp(size_t, size_d, at.low), torch.lerp(size_d, size_t, at.low)
        a, b = torch.lerp(pull_t, pull_d, at.low), torch.lerp(pull_d, pull_t, at.low)
        unit = torch.lerp(self.scale, 1 / self.scale, at.low)  # what a unit of s is in o
        want = -self.g * at.way
        left = (a + (1 - at.between) * b + at.between * (-want).clamp_min(0)).clamp_min(tiny)
        right = torch.addcmul(want.clamp_min(0), at.between, b).clamp_min(tiny)
        gain = ((right / left).clamp(tiny, 1 / (4 * tiny)).log() / self.rho).clamp(-10, 3).expm1()
        by_s, by_o = a / s.clamp_min(tiny), unit * b / o.clamp_min(tiny)
        rise = torch.addcmul(by_s, 1 - at.between, by_o) / left + at.between * (gain + 1) * by_o / right
        ds = (gain / rise.clamp_min(tiny)).clamp(-2, 2) * at.way
        return ds * torch.lerp(torch.ones_like(self.scale), 1 / self.scale, at.low)

    def by_pull(self, pull: Tensor, change: Tensor, log_weight: Tensor) -> Tensor:
        """The smaller of both sizes for rho < 1, where its pull is what moves."""
        more = pull + change
        less = pull * (change / pull.clamp_min(self.tiny)).clamp_max(0).exp()
        return ((torch.maximum(more, less).clamp_min(self.tiny).log() - log_weight) / self.rho).exp()
