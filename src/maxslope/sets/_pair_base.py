"""What both forms of the equations of ``_pair`` have in common: their constants, and a step of the multipliers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from typing import NamedTuple, Self

import torch
from torch import Tensor

from maxslope._rows import select
from maxslope.spaces import Lp
from maxslope.spaces.lp import swift

_SOFT = 0.15  # how much is added to the diagonal where what is wrong is large: without, it is near singular and cycles
_NEAR = 5e-4  # how small errors are that a whole step squares, for p >= 2
_LEAST = 0.3  # of |g|_q, where mu begins at least: from below it rises by a little a step

Points = tuple[Tensor, ...]


class Multipliers(NamedTuple):
    """Where the multipliers stand, ``[rows, 1]``."""

    log_lam: Tensor
    log_mu: Tensor
    last_lam: Tensor  # by how much they changed last
    last_mu: Tensor
    share: Tensor  # of a step that is made: less where they swing


class Now(NamedTuple):
    """The coordinates at a step of Newton's method."""

    lam: Tensor
    mu: Tensor
    powers: tuple[Tensor, Tensor]  # lam |t|_p^p and mu |d / r|_p^p
    pull_t: Tensor  # lam phi(t)
    pull_d: Tensor  # mu phi(d / r)
    own: Tensor  # by how much t is corrected with the multipliers as they are
    give: Tensor  # by how much t yields to a force
    force: Tensor  # that is left over


class Pair(ABC):
    """The equations of one batch; e >= 0, and the largest |g| of a row is 1.

    Args:
        lp: the norm.
        g: covectors.
        e: centers of the steps.
        tau: radii of the steps, ``[rows, 1]``.
        r: radii of the budgets, ``[rows, 1]``.
        pace: below 1 the multipliers change by less at once.
    """

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
    def begin(self, at_plane: Tensor, at_origin: Tensor, lam: Tensor, mu: Tensor, slant: Tensor) -> Points:
        """Return where the coordinates begin, t and d / r in the tangent plane at e being given."""

    @abstractmethod
    def step(self, points: Points, row: Multipliers) -> tuple[Points, Points, Multipliers, Tensor]:
        """Return the best points known, the next ones and multipliers by Newton's method, and the error of the best."""

    @abstractmethod
    def place(self, points: Points) -> Tensor:
        """Return d of the points."""

    def start(self) -> tuple[Points, Multipliers]:
        """The tangent plane at e in place of the ball."""
        size = total(self.at_e, self.out)
        mu = torch.maximum(-total(self.g, self.out) / size.clamp_min(self.tiny), _LEAST * self.dual)
        slant = torch.addcmul(self.g, mu, self.at_e)
        lam = self.lp.dual_norm(slant)[:, None].clamp_min(1e-6)
        other = torch.addcmul(self.g, lam, self.at_0, value=-1)
        t, d = (swift(v.abs() / w, 1 / self.rho).copysign(-v) for v, w in ((slant, lam), (other, mu)))
        row = Multipliers(lam.log(), mu.log(), torch.zeros_like(mu), torch.zeros_like(mu), torch.ones_like(mu))
        return self.begin(t, d, lam, mu, slant), row

    def take(self, index: Tensor) -> Self:
        """The equations of some of the rows."""
        part = copy(self)
        for name, value in vars(self).items():
            setattr(part, name, select(value, index) if isinstance(value, Tensor) else value)
        return part

    def follow(self, row: Multipliers, now: Now, *, loose: float) -> tuple[Tensor, Points, Multipliers, Tensor]:
        """By how much t follows the multipliers, by how much log lam and log mu change, what they are then, the error.

        They rest where the coordinates are off by more than ``loose`` of the norms.
        """
        lam, mu, p, scale = now.lam, now.mu, self.lp.p, self.scale
        by_lam, by_mu = now.pull_t * now.give, now.pull_d * now.give  # minus the derivatives of t
        size_a, size_b = now.powers[0] / lam, now.powers[1] / mu
        own_a, own_b = total(now.pull_t, now.own) / lam, total(now.pull_d, now.own) * (scale / mu)
        miss_a, miss_b = size_a.log() / p, size_b.log() / p
        y_a, y_b = size_a * miss_a + own_a, size_b * miss_b + own_b
        soft = _SOFT / self.rho * (y_a.abs() + y_b.abs()).clamp_max(1)
        m_aa = total(now.pull_t, by_lam) / lam + soft * size_a
        m_bb = total(now.pull_d, by_mu) * (scale / mu) + soft * size_b
        mixed = total(now.pull_t, by_mu)
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
        return moved, (a, b), Multipliers(log_lam, log_mu, *last, share), error


def _turned(change: Tensor, last: Tensor) -> Tensor:
    """Whether a step goes back by so much of the last one that it would go on to swing."""
    return (change * last < 0) & (change.abs() > 0.7 * last.abs())


def total(one: Tensor, two: Tensor) -> Tensor:
    """The sums of products over rows, ``[rows, 1]``."""
    return (one * two).sum(1, keepdim=True)


def positive(x: Tensor) -> Tensor:
    """1 where x > 0, else 0, as numbers: a fifth of the cost of a comparison. Takes ``x``."""
    return x.sign_().clamp_min_(0)
