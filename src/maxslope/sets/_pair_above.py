"""The equations of ``_pair`` for p >= 2, by the powers 1 / rho of their sides.

With s = |t| and o = |d| / r the equation has terms of one sign on each side:

    beyond e, or beyond the origin    lam s^rho + mu o^rho = |g|
    between                           lam s^rho + max(-g, 0) = mu o^rho + max(g, 0)

The power 1 / rho of each side is an l_rho norm of numbers that are linear in s, hence almost linear itself.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from maxslope.sets._pair_base import Multipliers, Now, Pair, Points, positive, total
from maxslope.spaces.lp import swift


class Above(Pair):
    """The unknown is t."""

    def bound(self, low: Tensor, high: Tensor) -> None:
        """See :class:`Pair`."""
        self.low = torch.maximum((low - self.e) / self.tau, (-1 - self.out) / self.scale).clamp_min_(-1)
        self.high = torch.minimum((high - self.e) / self.tau, (1 - self.out) / self.scale).clamp_max_(1)
        self.size, self.plus, self.minus = self.g.abs(), self.g.clamp_min(0), (-self.g).clamp_min(0)

    def begin(self, at_plane: Tensor, at_origin: Tensor, lam: Tensor, mu: Tensor, slant: Tensor) -> Points:
        """See :class:`Pair`; the nearer of e and the origin says where."""
        nearer = (self.g + 0.5**self.rho * (mu * self.at_e - lam * self.at_0) >= 0) & (slant > 0)
        return (torch.where(nearer, (at_origin - self.out) / self.scale, at_plane),)

    def step(self, points: Points, row: Multipliers) -> tuple[Points, Points, Multipliers, Tensor]:
        """See :class:`Pair`."""
        rho, tiny = self.rho, self.tiny
        lam, mu = row.log_lam.exp(), row.log_mu.exp()
        outward = positive(torch.addcmul(self.g, self.at_e, mu).neg_())  # beyond e
        through = positive(torch.addcmul(self.g, self.at_0, lam, value=-1))  # beyond the origin
        beyond = outward + through
        between = 1 - beyond
        way, side = outward.mul_(2).sub_(1), (-2 * through).add_(1)  # the signs of t and d
        least, most = through.mul_(self.far), torch.add(self.far, beyond, alpha=1e10)
        s = points[0].clamp(self.low, self.high).mul_(way).clamp_(least, most).clamp_min_(1e-6)
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
        sizes = total(s, pull_s), total(o, pull_o)
        now = Now(lam, mu, sizes, pull_s.mul_(way), pull_o.mul_(side), corrected - t, give, left.sub_(right))
        moved, _, following, error = self.follow(row, now, loose=math.inf)
        return (moved.add_(t),), (moved,), following, error

    def place(self, points: Points) -> Tensor:
        """See :class:`Pair`."""
        return torch.addcmul(self.e, points[0].clamp(self.low, self.high), self.tau)
