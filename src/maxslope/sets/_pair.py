"""Two balls of one l_p norm, 1 < p < inf, and a box: Newton's method for all coordinates and both multipliers at once.

    argmin { <g, d> : |d - e|_p <= tau, |d|_p <= r, a <= d <= b }    where both balls bind.

With t = (d - e) / tau, rho = p - 1 and phi(t) = sign(t) |t|^rho every free coordinate solves

    lam phi(t) + mu phi((e + tau t) / r) + g = 0

for two numbers lam, mu > 0 that are common to a row. A step of Newton's method takes one evaluation of both powers: it
corrects each coordinate on its own, and moves lam and mu so that both norms come right to first order. What makes few
steps do is the form in which a coordinate is corrected. Let s be the smaller of |t| and |d|, in its unit, where e >= 0:

    beyond e, or beyond the origin    alpha s^rho + beta o^rho = C,     o = e + s
    between                           alpha s^rho - beta o^rho = C,     o = e - s <= s + e

and terms of one sign on each side. For rho >= 1 the powers 1 / rho of both sides are almost linear in s; for rho < 1 the
sides themselves are in alpha s^rho. The derivation is the project's own.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from maxslope.spaces import Lp

_STEPS = 40


class Row(NamedTuple):
    """Where the iteration stands. Signs are flipped so that e >= 0; multipliers are logarithms, ``[rows, 1]``."""

    t: Tensor  # (d - e) / tau
    d: Tensor  # d / r
    log_lam: Tensor
    log_mu: Tensor
    last: Tensor  # by how much log mu changed last
    share: Tensor  # of a step of the multipliers that is made: less where they swing


class Place(NamedTuple):
    """On which side of e and of the origin the solution of each coordinate lies, by the present multipliers."""

    outward: Tensor  # beyond e
    through: Tensor  # beyond the origin
    low: Tensor  # between, or beyond the origin: |d| is the smaller of |d| and |t|, in units of its own

    @property
    def beyond(self) -> Tensor:
        """Whether t and d have one sign."""
        return self.outward | self.through

    @property
    def way(self) -> Tensor:
        """The sign with which the smaller of both grows: t beyond e, minus t before e, d, or minus d."""
        return torch.where(self.outward | (self.low & ~self.through), 1.0, -1.0)


def minimize(lp: Lp, g: Tensor, e: Tensor, tau: Tensor, radius: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return d, ``[rows, d]``, and where it is the minimizer, ``[rows]``; ``a`` and ``b`` bound d."""
    flip = torch.ones_like(e).copysign(e)
    work = _Pair(lp, g * flip / g.abs().amax(1, keepdim=True), e.abs(), tau[:, None], radius[:, None])
    low, high = (torch.where(flip < 0, -x, y) for x, y in ((b, a), (a, b)))
    work.bound(low, high)
    row, settled = work.solve()
    # Measured from the nearer of e and the origin, so that no digits are lost.
    moved = torch.where(row.t.abs() * work.tau < row.d.abs() * work.r, row.t * work.tau + work.e, row.d * work.r)
    return moved * flip, settled


class _Pair:
    """The equations of one batch; e >= 0, and the largest |g| of a row is 1."""

    def __init__(self, lp: Lp, g: Tensor, e: Tensor, tau: Tensor, r: Tensor) -> None:
        self.lp, self.rho = lp, lp.p - 1
        self.g, self.e, self.tau, self.r, self.scale = g, e, tau, r, tau / r
        kind = torch.finfo(g.dtype)
        self.tiny, self.faint = kind.tiny, kind.tiny**0.5
        self.tolerance = 1e-5 if g.dtype == torch.float32 else 1e-8
        self.far, self.out = e / tau, e / r  # from e to the origin, in both units
        self.at_e, self.at_0 = self.out**self.rho, self.far**self.rho  # phi at e and at the origin
        self.dual = lp.dual_norm(g)

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
        return Row(t, d, lam.log(), mu.log(), torch.zeros_like(mu), torch.ones_like(mu))

    def solve(self) -> tuple[Row, Tensor]:
        """Iterate; a row that is settled rests."""
        row = self.start()
        settled = torch.zeros_like(self.dual, dtype=torch.bool)
        for _ in range(_STEPS):
            here, new, error = self.step(row)
            settled = settled | (error <= self.tolerance)
            keep = settled[:, None]
            row = Row(*(torch.where(keep, old, other) for old, other in zip(here, new, strict=True)))
            if bool((settled | error.isnan()).all()):
                break
        return row, settled

    def place(self, row: Row) -> tuple[Place, Tensor, Tensor]:
        """Where the solution lies, and the present t and d moved there."""
        at_e, at_0 = row.log_mu.exp() * self.at_e, row.log_lam.exp() * self.at_0
        outward, through = -self.g >= at_e, self.g >= at_0
        low = ~outward & (through | (-self.g <= (at_e - at_0) * 0.5**self.rho))
        least = 1e-6 if self.rho >= 1 else 0.0  # from 0 the first step of a power above 1 is as long as there is room
        t = torch.where(outward, row.t.clamp_min(least), row.t.clamp_max(0.0).maximum(-0.5 * self.far))
        d = torch.where(through, row.d.clamp_max(-least), row.d.clamp_min(0.0).minimum(0.5 * self.out))
        t, d = t.clamp(self.low_t, self.high_t), d.clamp(self.low_d, self.high_d)
        return Place(outward, through, low), *self.consistent(low, t, d)

    def consistent(self, low: Tensor, t: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        """Let the larger of t and d follow the smaller one."""
        return (
            torch.where(low, (d - self.out) / self.scale, t),
            torch.where(low, d, torch.addcmul(self.out, self.scale, t)),
        )

    def step(self, row: Row) -> tuple[Row, Row, Tensor]:
        """The row in its place, the next one by Newton's method, and how far from a solution it is, ``[rows]``."""
        rho, p, scale, tiny = self.rho, self.lp.p, self.scale, self.tiny
        place, t, d = self.place(row)
        here = row._replace(t=t, d=d)
        lam, mu = row.log_lam.exp(), row.log_mu.exp()
        size_t, size_d = t.abs(), d.abs()
        pull_t, pull_d = (row.log_lam + rho * size_t.log()).exp(), (row.log_mu + rho * size_d.log()).exp()
        signed_t, signed_d = pull_t.copysign(t), pull_d.copysign(d)
        force = signed_t + signed_d + self.g  # the derivative along the coordinate
        at_low = torch.where(place.low, d <= self.low_d, t <= self.low_t)
        at_high = torch.where(place.low, d >= self.high_d, t >= self.high_t)
        held = (at_low & (force > 0)) | (at_high & (force < 0))
        stiff_t, stiff_d = self.stiffness(size_t, pull_t, lam), scale * self.stiffness(size_d, pull_d, mu)
        give = (1 / (stiff_t + stiff_d).clamp_min(tiny)).masked_fill(held, 0.0)
        own = -force * give if rho < 1 else self.correct(place, size_t, size_d, pull_t, pull_d).masked_fill(held, 0.0)
        follow_a, follow_b = signed_t * give, signed_d * give  # minus the derivatives of t by log lam and log mu
        phi_t, phi_d = signed_t / lam, signed_d * (scale / mu)
        size_a, size_b = (size_t * pull_t).sum(1, keepdim=True) / lam, (size_d * pull_d).sum(1, keepdim=True) / mu
        miss_a, miss_b = size_a.log() / p, size_b.log() / p
        m_aa, m_ab = (phi_t * follow_a).sum(1, keepdim=True), (phi_t * follow_b).sum(1, keepdim=True)
        m_ba, m_bb = (phi_d * follow_a).sum(1, keepdim=True), (phi_d * follow_b).sum(1, keepdim=True)
        y_a = size_a * miss_a + (phi_t * own).sum(1, keepdim=True)
        y_b = size_b * miss_b + (phi_d * own).sum(1, keepdim=True)
        cap = 2 * max(rho, min(0.15, 1.5 * rho))  # a change of a logarithm that keeps powers in sight
        det = m_aa * m_bb - m_ab * m_ba
        det = torch.where(det.abs() > 0, det, torch.full_like(det, tiny))
        by_a = ((y_a * m_bb - y_b * m_ab) / det).clamp(-cap, cap)
        by_b = ((y_b * m_aa - y_a * m_ba) / det).clamp(-cap, cap)
        if rho < 1:
            loose = (
                ((phi_t * own).abs().sum(1, keepdim=True) > 0.1 * size_a)
                | ((phi_d * own).abs().sum(1, keepdim=True) > 0.1 * size_b)
                | ((force * own).abs().sum(1, keepdim=True) > 0.01 * self.dual[:, None])
            )
            by_a, by_b = by_a.masked_fill(loose, 0.0), by_b.masked_fill(loose, 0.0)
        swings = (by_b * row.last < 0) & (by_b.abs() > 0.3 * row.last.abs())
        share = torch.where(swings, 0.5 * row.share, (2 * row.share).clamp_max(1))
        by_a, by_b = share * by_a, share * by_b
        moved = own - by_a * follow_a - by_b * follow_b
        log_lam, log_mu = (row.log_lam + by_a).clamp(-60, 60), (row.log_mu + by_b).clamp(-60, 60)
        if rho >= 1:
            t, d = t + moved, d + scale * moved
        else:  # what a bound holds stays to the bit
            t = torch.where(held, t, self.by_pull(place, pull_t, stiff_t * moved, by_a, log_lam))
            d = torch.where(held, d, self.by_pull(place, pull_d, stiff_d * moved, by_b, log_mu))
        t, d = self.consistent(place.low, t.clamp(self.low_t, self.high_t), d.clamp(self.low_d, self.high_d))
        wrong = (force * own).abs().sum(1) / self.dual
        dual = self.dual[:, None]
        off_a = miss_a.abs() * torch.where(miss_a < 0, (lam / dual).clamp_max(1), 1.0)
        off_b = miss_b.abs() / scale * torch.where(miss_b < 0, (mu / dual).clamp_max(1), 1.0)
        error = torch.maximum(torch.maximum(off_a, off_b)[:, 0], wrong)
        return here, Row(t, d, log_lam, log_mu, torch.where(by_b == 0, row.last, by_b), share), error

    def stiffness(self, size: Tensor, pull: Tensor, weight: Tensor) -> Tensor:
        """The derivative of a pull, large but finite at 0 for rho < 1."""
        if self.rho >= 1:
            return self.rho * pull / size.clamp_min(self.tiny)
        return self.rho * torch.maximum(pull, weight * self.faint**self.rho) / size.clamp_min(self.faint)

    def correct(self, place: Place, size_t: Tensor, size_d: Tensor, pull_t: Tensor, pull_d: Tensor) -> Tensor:
        """What each coordinate lacks with the multipliers as they are, in t, for rho >= 1."""
        scale, tiny, low, beyond = self.scale, self.tiny, place.low, place.beyond
        s, o = torch.where(low, size_d, size_t), torch.where(low, size_t, size_d)
        a, b = torch.where(low, pull_d, pull_t), torch.where(low, pull_t, pull_d)
        unit = torch.where(low, 1 / scale, scale)  # what a unit of s is in o
        want = torch.where(beyond, self.g.abs(), torch.where(low, -self.g, self.g))
        left = (a + torch.where(beyond, b, (-want).clamp_min(0))).clamp_min(tiny)
        right = torch.where(beyond, want, b + want.clamp_min(0)).clamp_min(tiny)
        x = ((right.log() - left.log()) / self.rho).clamp(-10, 3)
        by_s, by_o = a / s.clamp_min(tiny), unit * b / o.clamp_min(tiny)
        rise = torch.where(beyond, (by_s + by_o) / left, by_s / left + x.exp() * by_o / right)
        ds = x.expm1() / rise.clamp_min(tiny) * place.way
        return torch.where(low, ds / scale, ds)

    def by_pull(self, place: Place, pull: Tensor, change: Tensor, by: Tensor, log_weight: Tensor) -> Tensor:
        """The smaller of t and d for rho < 1, where its pull is what moves."""
        way = place.way
        new = torch.maximum(pull * (1 + by) + change * way, 0.05 * pull)
        return way * ((new.clamp_min(self.tiny).log() - log_weight) / self.rho).exp()
