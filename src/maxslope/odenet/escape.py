"""Whether mass escapes to infinity: uniform integrability of |theta|^2."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Escape:
    """How the second moment of each layer is shared among its particles.

    A flow of measures stays compact where |theta|^2 is uniformly integrable. Where it is not, a vanishing share of the
    particles carries a share of the second moment that does not vanish.

    Attributes:
        share: of the largest particle, ``[L]``, between 1/m and 1.
        moment: (1/m) sum_j |theta_lj|^2, ``[L]``.
        farthest: max_j |theta_lj|, ``[L]``.
        particles: m.
    """

    share: Tensor
    moment: Tensor
    farthest: Tensor
    particles: int

    @property
    def escaping(self) -> bool:
        """Whether one of at least 8 particles carries half of the second moment of a layer."""
        return self.particles >= 8 and float(self.share.max()) >= 0.5


def escape(theta: Tensor) -> Escape:
    """Return who carries the second moment of each layer.

    Growth p < 2 of the field in theta keeps minimizing sequences compact; for p = 2 the minimum need not be attained:
    f = theta^4 / (1 + theta^2), l = (x - 1)^2 has the infimum 3/4, approached by mass r / M^2 at M -> inf.

    Args:
        theta: ``[L, m, p]``.

    Returns:
        An :class:`Escape`.

    Raises:
        ValueError: if ``theta`` is not ``[L, m, p]``.

    Source: arXiv:2311.15365 (growth of order p < 2 as assumption); the example is derived in docs/odenet.md.

    >>> theta = torch.zeros(1, 100, 1)
    >>> theta[0, 3] = 7.0
    >>> escape(theta).escaping
    True
    """
    if theta.ndim != 3 or theta.numel() == 0:
        raise ValueError(f"The particles of a network are [layers, particles, size], got {tuple(theta.shape)}.")
    square = theta.detach().double().square().sum(2)
    total = square.sum(1)
    share = torch.where(total > 0, square.amax(1) / total, 1 / theta.shape[1])
    return Escape(share, total / theta.shape[1], square.amax(1).sqrt(), theta.shape[1])
