"""The equations of ``_pair`` for p < 2, in the pulls lam |t|^rho and mu |d / r|^rho.

Of t and d / r the smaller one is the unknown, in which a pull is steep; what is moved is its pull, of which it is a
smooth function, the power 1 / rho.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maxslope.sets._pair_base import Multipliers, Now, Pair, Points, positive, total
from maxslope.spaces.lp import swift


class Below(Pair):
    """The unknowns are t and d / r, of which one says what the other is."""

    def bound(self, low: Tensor, high: Tensor) -> None:
        """See :class:`Pair`."""
        self.low_t, self.high_t = ((low - self.e) / self.tau).clamp_min(-1), ((high - self.e) / self.tau).clamp_max(1)
        self.low_d = torch.maximum((low / self.r).clamp_min(-1), self.out - self.scale)
        self.high_d = torch.minimum((high / self.r).clamp_max(1), self.out + self.scale)
        self.faint = self.tiny**0.5

    def begin(self, at_plane: Tensor, at_origin: Tensor, lam: Tensor, mu: Tensor, slant: Tensor) -> Points:
        """See :class:`Pair`."""
        return at_plane.clamp_(-2, 2), at_origin.clamp_(-2, 2)

    def step(self, points: Points, row: Multipliers) -> tuple[Points, Points, Multipliers, Tensor]:
        """See :class:`Pair`."""
        rho = self.rho
        lam, mu = row.log_lam.exp(), row.log_mu.exp()
        at_e, at_0 = mu * self.at_e, lam * self.at_0
        outward, through = positive(-self.g - at_e), positive(self.g - at_0)  # beyond e, beyond the origin
        between = (1 - outward).sub_(through)
        low = positive(at_e.sub_(at_0).mul_(0.5**rho).add_(self.g)).mul_(between).add_(through)  # |d| is smaller
        way = torch.addcmul(outward, between, low).mul_(2).sub_(1)  # the sign with which the smaller one grows
        least, most = torch.lerp(self.low_t, self.low_d, low), torch.lerp(self.high_t, self.high_d, low)
        half = torch.lerp(self.far, self.out, low).mul_(0.5).sub_(2).mul_(between).add_(2)
        v = torch.lerp(points[0], points[1], low).mul_(way).clamp_min_(0).minimum(half).mul_(way).clamp_(least, most)
        t, d = self.both(v, low)
        size_t, size_d = t.abs(), d.abs()
        pull_t, pull_d = swift(size_t, rho).mul_(lam), swift(size_d, rho).mul_(mu)
        signed_t, signed_d = (2 * outward).sub_(1).mul_(pull_t), (-2 * through).add_(1).mul_(pull_d)
        force = (signed_t + signed_d).add_(self.g)  # the derivative along the coordinate
        inner, outer = (v - least).sign_(), (most - v).sign_()  # 0 at a bound
        held = (1 - inner).mul_(positive(force.clone())).addcmul_(1 - outer, positive(-force))
        stiff_t, stiff_d = self.stiffness(size_t, pull_t, lam), self.stiffness(size_d, pull_d, mu).mul_(self.scale)
        give = (1 - held).div_(stiff_t + stiff_d)
        sizes = total(size_t, pull_t), total(size_d, pull_d)
        now = Now(lam, mu, sizes, signed_t, signed_d, -force * give, give, force)
        moved, by, following, error = self.follow(row, now, loose=0.1)
        pull, stiff = torch.lerp(pull_t, pull_d, low), torch.lerp(stiff_t, stiff_d, low)
        change = stiff.mul_(moved).mul_(way).addcmul_(pull, torch.lerp(by[0], by[1], low))
        weight = torch.lerp(following.log_lam.exp(), following.log_mu.exp(), low)
        new = self.by_pull(pull, change, weight).mul_(way).clamp_(least, most)
        v = torch.lerp(new, v, held)  # what a bound holds stays to the bit
        return (t, d), self.both(v, low), following, error

    def place(self, points: Points) -> Tensor:
        """See :class:`Pair`; measured from the nearer of e and the origin, so that no digits are lost."""
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
