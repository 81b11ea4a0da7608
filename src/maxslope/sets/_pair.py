"""Two balls of one l_p norm, 1 < p < inf, and a box: Newton's method for all coordinates and both multipliers at once.

    argmin { <g, d> : |d - e|_p <= tau, |d|_p <= r, a <= d <= b }    where both balls bind.

With t = (d - e) / tau, rho = p - 1 and phi(t) = sign(t) |t|^rho every free coordinate solves

    lam phi(t) + mu phi((e + tau t) / r) + g = 0

for two numbers lam, mu > 0 that are common to a row. A step of Newton's method takes one evaluation of both powers: it
corrects each coordinate on its own, and moves lam and mu so that both norms come right to first order. What makes few
steps do is the form in which a coordinate is corrected: :class:`_Above` for p >= 2, :class:`_Below` for p < 2. The
derivation is the project's own.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from copy import copy
from typing import NamedTuple, Self

import torch
from torch import Tensor

from maxslope._rows import select
from maxslope.spaces import Lp
from maxslope.spaces.lp import swift

_STEPS = 40
_MANY = 6  # one in as many rows is settled before the others are taken apart: it costs a fifth of a step
_SOFT = 0.15  # how much is added to the diagonal where what is wrong is large: without, it is near singular and cycles
_NEAR = 5e-4  # how small errors are that a whole step squares, for p >= 2
_LEAST = 0.3  # of |g|_q, where mu begins at least: from below it rises by a little a step

_Points = tuple[Tensor, ...]


def minimize(
    lp: Lp, g: Tensor, e: Tensor, tau: Tensor, radius: Tensor, a: Tensor, b: Tensor, *, pace: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return d, ``[rows, d]``, and where it is the minimizer, ``[rows]``; ``a`` and ``b`` bound d.

    A ``pace`` below 1 changes the multipliers by less at once, in more steps.
    """
    flip = torch.ones_like(e).copysign(e)  # now e >= 0
    make = _Above if lp.p >= 2 else _Below
    work: _Pair = make(lp, g * (flip / g.abs().amax(1, keepdim=True)), e.abs(), tau[:, None], radius[:, None], pace)
    work.bound(torch.minimum(a * flip, b * flip), torch.maximum(a * flip, b * flip))
    points, row = work.start()
    d, index = torch.zeros_like(e), torch.arange(g.shape[0], device=g.device)
    settled = torch.zeros_like(tau, dtype=torch.bool)
    rests = torch.zeros_like(settled)  # of those that are still worked on
    for _ in range(round(_STEPS / pace)):
        best, points, row, error = work.step(points, row)
        done = ((error <= work.tolerance) | error.isnan()) & ~rests
        if not bool(done.any()):
            continue
        ready = done.nonzero().squeeze(1)
        d.index_copy_(0, index[ready], work.take(ready).place(tuple(select(t, ready) for t in best)))
        settled[index[ready]] = ~error[ready].isnan()
        rests = rests | done
        rest = (~rests).nonzero().squeeze(1)
        if not rest.numel():
            break
        if _MANY * rest.numel() <= (_MANY - 1) * len(rests):  # the others go on without those that are settled
            index, work, rests = index[rest], work.take(rest), rests[rest]
            points, row = tuple(select(t, rest) for t in points), _Multipliers(*(select(t, rest) for t in row))
    return d * flip, settled


class _Multipliers(NamedTuple):
    """Where the multipliers stand, ``[rows, 1]``."""

    log_lam: Tensor
    log_mu: Tensor
    last_lam: Tensor  # by how much they changed last
    last_mu: Tensor
    share: Tensor  # of a step that is made: less where they swing


class _Now(NamedTuple):
    """The coordinates at a step of Newton's method."""

    lam: Tensor
    mu: Tensor
    power_t: Tensor  # lam |t|_p^p
    power_d: Tensor  # mu |d / r|_p^p
    pull_t: Tensor  # lam phi(t)
    pull_d: Tensor  # mu phi(d / r)
    own: Tensor  # by how much t is corrected with the multipliers as they are
    give: Tensor  # by how much t yields to a force
    force: Tensor  # that is left over


class _Step(NamedTuple):
    """What a step of Newton's method leaves."""

    best: _Points  # that are known
    points: _Points  # the next ones
    row: _Multipliers
    error: Tensor  # of the best, [rows]


class _Followed(NamedTuple):
    """How t follows the multipliers."""

    moved: Tensor  # by how much
    by_lam: Tensor  # the change of log lam
    by_mu: Tensor
    row: _Multipliers
    error: Tensor


class _Pair(ABC):
    """The equations of one batch; e >= 0, and the largest |g| of a row is 1; the radii are ``[rows, 1]``."""

    def __init__(self, lp: Lp, g: Tensor, e: Tensor, tau: Tensor, r: Tensor, pace: float) -> None:
        self.lp, self.rho, self.pace = lp, lp.p - 1, pace
        self.g, self.e, self.tau, self.r, self.scale = g, e, tau, r, tau / r
        kind = torch.finfo(g.dtype)
        self.tiny, self.tolerance = kind.tiny, 1e-5 if g.dtype == torch.float32 else 1e-8
        self.far, self.out = e / tau, e / r  # from e to the origin, in both units
        self.at_e, self.at_0 = swift(self.out, self.rho), swift(self.far, self.rho).clamp_max_(kind.max**0.7)
        self.dual = lp.dual_norm(g)[:, None]

    @abstractmethod
    def bound(self, low: Tensor, high: Tensor) -> None:
        """Take the bounds of d."""

    @abstractmethod
    def begin(self, at_plane: Tensor, at_origin: Tensor, lam: Tensor, mu: Tensor, slant: Tensor) -> _Points:
        """Return where the coordinates begin, t and d / r in the tangent plane at e being given."""

    @abstractmethod
    def step(self, points: _Points, row: _Multipliers) -> _Step:
        """Make a step of Newton's method."""

    @abstractmethod
    def place(self, points: _Points) -> Tensor:
        """Return d of the points."""

    def start(self) -> tuple[_Points, _Multipliers]:
        """The tangent plane at e in place of the ball."""
        size = _total(self.at_e, self.out)
        mu = torch.maximum(-_total(self.g, self.out) / size.clamp_min(self.tiny), _LEAST * self.dual)
        slant = torch.addcmul(self.g, mu, self.at_e)
        lam = self.lp.dual_norm(slant)[:, None].clamp_min(1e-6)
        other = torch.addcmul(self.g, lam, self.at_0, value=-1)
        t, d = (swift(v.abs() / w, 1 / self.rho).copysign(-v) for v, w in ((slant, lam), (other, mu)))
        row = _Multipliers(lam.log(), mu.log(), torch.zeros_like(mu), torch.zeros_like(mu), torch.ones_like(mu))
        return self.begin(t, d, lam, mu, slant), row

    def take(self, index: Tensor) -> Self:
        """The equations of some of the rows."""
        part = copy(self)
        for name, value in vars(self).items():
            setattr(part, name, select(value, index) if isinstance(value, Tensor) else value)
        return part

    def follow(self, row: _Multipliers, now: _Now, *, loose: float) -> _Followed:
        """Change the multipliers, and let t follow them.

        They rest where the coordinates are off by more than ``loose`` of the norms.
        """
        lam, mu, p, scale = now.lam, now.mu, self.lp.p, self.scale
        by_lam, by_mu = now.pull_t * now.give, now.pull_d * now.give  # minus the derivatives of t
        size_a, size_b = now.power_t / lam, now.power_d / mu
        own_a, own_b = _total(now.pull_t, now.own) / lam, _total(now.pull_d, now.own) * (scale / mu)
        miss_a, miss_b = size_a.log() / p, size_b.log() / p
        y_a, y_b = size_a * miss_a + own_a, size_b * miss_b + own_b
        soft = _SOFT / self.rho * (y_a.abs() + y_b.abs()).clamp_max(1)
        m_aa = _total(now.pull_t, by_lam) / lam + soft * size_a
        m_bb = _total(now.pull_d, by_mu) * (scale / mu) + soft * size_b
        mixed = _total(now.pull_t, by_mu)
        m_ab, m_ba = mixed / lam, mixed * (scale / mu)
        det = m_aa * m_bb - m_ab * m_ba
        cap = self.pace * min(3.0, 9 * self.rho)
        change = ((y_a * m_bb - y_b * m_ab) / det, (y_b * m_aa - y_a * m_ba) / det)
        off = (now.force * now.own).abs_().sum(1, keepdim=True) / self.dual
        rests = (own_a.abs() > loose * size_a) | (own_b.abs() > loose * size_b) | (off > 0.1 * loose)
        a, b = (c.nan_to_num(0.0).clamp(-cap, cap).masked_fill(rests, 0.0) for c in change)
        swings = _turned(a, row.last_lam) | _turned(b, row.last_mu)
        share = torch.where(swings, 0.5 * row.share, (2 * row.share).clamp_max(1)).where(b != 0, row.share)
        a, b = share * a, share * b
        log_lam, log_mu = (row.log_lam + a).clamp(-60, 60), (row.log_mu + b).clamp(-60, 60)
        off_a = miss_a.abs() * torch.where(miss_a < 0, (lam / self.dual).clamp_max(1), 1.0)
        off_b = miss_b.abs() / scale * torch.where(miss_b < 0, (mu / self.dual).clamp_max(1), 1.0)
        error = torch.maximum(torch.maximum(off_a, off_b), off)
        whole = (share == 1) & (error < _NEAR) & (self.rho >= 1)  # such a step squares what is off
        error = torch.where(whole, 3 * error.square(), error)[:, 0]
        moved = torch.addcmul(now.own, by_lam, a, value=-1).addcmul_(by_mu, b, value=-1)
        last = torch.where(b == 0, row.last_lam, a), torch.where(b == 0, row.last_mu, b)
        return _Followed(moved, a, b, _Multipliers(log_lam, log_mu, *last, share), error)


def _turned(change: Tensor, last: Tensor) -> Tensor:
    """Whether a step goes back by so much of the last one that it would go on to swing."""
    return (change * last < 0) & (change.abs() > 0.7 * last.abs())


def _total(one: Tensor, two: Tensor) -> Tensor:
    """The sums of products over rows, ``[rows, 1]``."""
    return (one * two).sum(1, keepdim=True)


def _positive(x: Tensor) -> Tensor:
    """1 where x > 0, else 0, as numbers: a fifth of the cost of a comparison. Takes ``x``."""
    return x.sign_().clamp_min_(0)


class _Above(_Pair):
    """The equations for p >= 2 in t, by the powers 1 / rho of their sides.

    With s = |t| and o = |d| / r the equation has terms of one sign on each side:

        beyond e, or beyond the origin    lam s^rho + mu o^rho = |g|
        between                           lam s^rho + max(-g, 0) = mu o^rho + max(g, 0)

    The power 1 / rho of each side is an l_rho norm of numbers that are linear in s, hence almost linear itself.
    """

    def bound(self, low: Tensor, high: Tensor) -> None:
        self.low = torch.maximum((low - self.e) / self.tau, (-1 - self.out) / self.scale).clamp_min_(-1)
        self.high = torch.minimum((high - self.e) / self.tau, (1 - self.out) / self.scale).clamp_max_(1)
        self.size, self.plus, self.minus = self.g.abs(), self.g.clamp_min(0), (-self.g).clamp_min(0)

    def begin(self, at_plane: Tensor, at_origin: Tensor, lam: Tensor, mu: Tensor, slant: Tensor) -> _Points:
        """See :class:`_Pair`; the nearer of e and the origin says where."""
        nearer = (self.g + 0.5**self.rho * (mu * self.at_e - lam * self.at_0) >= 0) & (slant > 0)
        return (torch.where(nearer, (at_origin - self.out) / self.scale, at_plane),)

    def step(self, points: _Points, row: _Multipliers) -> _Step:
        rho, tiny = self.rho, self.tiny
        lam, mu = row.log_lam.exp(), row.log_mu.exp()
        outward = _positive(torch.addcmul(self.g, self.at_e, mu).neg_())  # beyond e
        through = _positive(torch.addcmul(self.g, self.at_0, lam, value=-1))  # beyond the origin
        beyond = outward + through
        between = 1 - beyond
        way, side = outward.mul_(2).sub_(1), (-2 * through).add_(1)  # the signs of t and d
        least, most = through.mul_(self.far), torch.add(self.far, beyond, alpha=1e10)
        (known,) = points
        s = known.clamp(self.low, self.high).mul_(way).clamp_(least, most).clamp_min_(1e-6)
        t = s * way
        o = torch.addcmul(self.out, t, self.scale).mul_(side).clamp_min_(tiny)
        pull_s, pull_o = swift(s, rho).mul_(lam), swift(o, rho).mul_(mu)
        by_s, by_o = pull_s / s, (pull_o / o).mul_(self.scale)
        left = torch.lerp(pull_o, self.minus, between).add_(pull_s).clamp_min_(tiny)
        right = torch.lerp(self.size, pull_o + self.plus, between)
        ratio = (right / left).clamp_(tiny, 0.25 / tiny)
        root = swift(ratio, 1 / rho).clamp_(1e-3, 1e6)
        rise = torch.addcmul(by_s, by_o, (root / ratio).sub_(1).mul_(between).add_(1)).clamp_min_(tiny)
        wanted = root.sub_(1).mul_(left).div_(rise).mul_(way).add_(t)
        corrected = wanted.clamp(self.low, self.high)
        give = (1 - wanted.sub_(corrected).sign_().abs_()).div_((by_s + by_o).mul_(rho).clamp_min_(tiny))
        powers = _total(s, pull_s), _total(o, pull_o)
        now = _Now(lam, mu, *powers, pull_s.mul_(way), pull_o.mul_(side), corrected - t, give, left.sub_(right))
        to = self.follow(row, now, loose=math.inf)
        return _Step((to.moved.add_(t),), (to.moved,), to.row, to.error)

    def place(self, points: _Points) -> Tensor:
        (t,) = points
        return torch.addcmul(self.e, t.clamp(self.low, self.high), self.tau)


class _Below(_Pair):
    """The equations for p < 2, in the pulls lam |t|^rho and mu |d / r|^rho.

    Of t and d / r the smaller one is the unknown, in which a pull is steep; what is moved is its pull, of which it is a
    smooth function, the power 1 / rho.
    """

    def bound(self, low: Tensor, high: Tensor) -> None:
        self.low_t, self.high_t = ((low - self.e) / self.tau).clamp_min(-1), ((high - self.e) / self.tau).clamp_max(1)
        self.low_d = torch.maximum((low / self.r).clamp_min(-1), self.out - self.scale)
        self.high_d = torch.minimum((high / self.r).clamp_max(1), self.out + self.scale)
        self.faint = self.tiny**0.5

    def begin(self, at_plane: Tensor, at_origin: Tensor, lam: Tensor, mu: Tensor, slant: Tensor) -> _Points:
        return at_plane.clamp_(-2, 2), at_origin.clamp_(-2, 2)

    def step(self, points: _Points, row: _Multipliers) -> _Step:
        rho = self.rho
        lam, mu = row.log_lam.exp(), row.log_mu.exp()
        at_e, at_0 = mu * self.at_e, lam * self.at_0
        outward, through = _positive(-self.g - at_e), _positive(self.g - at_0)  # beyond e, beyond the origin
        between = (1 - outward).sub_(through)
        low = _positive(at_e.sub_(at_0).mul_(0.5**rho).add_(self.g)).mul_(between).add_(through)  # |d| is smaller
        way = torch.addcmul(outward, between, low).mul_(2).sub_(1)  # the sign with which the smaller one grows
        least, most = torch.lerp(self.low_t, self.low_d, low), torch.lerp(self.high_t, self.high_d, low)
        half = torch.lerp(self.far, self.out, low).mul_(0.5).sub_(2).mul_(between).add_(2)
        known_t, known_d = points
        v = torch.lerp(known_t, known_d, low).mul_(way).clamp_min_(0).minimum(half).mul_(way).clamp_(least, most)
        t, d = self.both(v, low)
        size_t, size_d = t.abs(), d.abs()
        pull_t, pull_d = swift(size_t, rho).mul_(lam), swift(size_d, rho).mul_(mu)
        signed_t, signed_d = (2 * outward).sub_(1).mul_(pull_t), (-2 * through).add_(1).mul_(pull_d)
        force = (signed_t + signed_d).add_(self.g)  # the derivative along the coordinate
        inner, outer = (v - least).sign_(), (most - v).sign_()  # 0 at a bound
        held = (1 - inner).mul_(_positive(force.clone())).addcmul_(1 - outer, _positive(-force))
        stiff_t, stiff_d = self.stiffness(size_t, pull_t, lam), self.stiffness(size_d, pull_d, mu).mul_(self.scale)
        give = (1 - held).div_(stiff_t + stiff_d)
        powers = _total(size_t, pull_t), _total(size_d, pull_d)
        now = _Now(lam, mu, *powers, signed_t, signed_d, -force * give, give, force)
        to = self.follow(row, now, loose=0.1)
        pull, stiff = torch.lerp(pull_t, pull_d, low), torch.lerp(stiff_t, stiff_d, low)
        change = stiff.mul_(to.moved).mul_(way).addcmul_(pull, torch.lerp(to.by_lam, to.by_mu, low))
        weight = torch.lerp(to.row.log_lam.exp(), to.row.log_mu.exp(), low)
        new = self.by_pull(pull, change, weight).mul_(way).clamp_(least, most)
        v = torch.lerp(new, v, held)  # what a bound holds stays to the bit
        return _Step((t, d), self.both(v, low), to.row, to.error)

    def place(self, points: _Points) -> Tensor:
        """See :class:`_Pair`; measured from the nearer of e and the origin, so that no digits are lost."""
        t, d = points
        nearer = t.abs() * self.tau < d.abs() * self.r
        return torch.where(nearer, torch.addcmul(self.e, t, self.tau), d * self.r)

    def both(self, v: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
        """T and d from the smaller one."""
        there, back = torch.addcmul(self.out, self.scale, v), (v - self.out).div_(self.scale)
        return torch.lerp(v, back, low), torch.lerp(there, v, low)

    def stiffness(self, size: Tensor, pull: Tensor, weight: Tensor) -> Tensor:
        """The derivative of a pull, large but finite at 0."""
        return torch.maximum(pull, weight * self.faint**self.rho).mul_(self.rho).div_(size.clamp_min(self.faint))

    def by_pull(self, pull: Tensor, change: Tensor, weight: Tensor) -> Tensor:
        """The smaller of both sizes, where its pull is what moves."""
        less = (change / pull.clamp_min(self.tiny)).clamp_(-80, 0).exp_().mul_(pull)
        more = change.add_(pull).maximum(less).clamp_min_(self.tiny)
        return swift(more.div_(weight), 1 / self.rho)
