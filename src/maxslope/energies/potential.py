"""Energies of clouds: one row holds all particles."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from maxslope.energies.base import Energy, Evaluation


@dataclass(frozen=True, eq=False)
class Potential(Energy):
    """The potential energy of a cloud, (1/n) sum_i E(x_i), of one row that holds n particles.

    Its gradient has the particle gradients over n as entries. The goal is reached where it is for every particle.

    Args:
        base: E, row for row with the particles.

    Source: arXiv:2406.05376 (potential energies on Wasserstein spaces).

    >>> import torch
    >>> from maxslope.energies import Quadratic
    >>> Potential(Quadratic(torch.eye(2))).evaluate(torch.ones(1, 4, 2)).value
    tensor([1.])
    """

    base: Energy

    def evaluate(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`."""
        return self._gather(self.base.evaluate(_particles(x)), x)

    def look(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`."""
        return self._gather(self.base.look(_particles(x)), x)

    def take(self, index: Tensor) -> Potential:
        """See :class:`Energy`; there is one row, so nothing to choose from."""
        return self

    @property
    def passes(self) -> int:
        """See :class:`Energy`; passes per particle."""
        return self.base.passes

    def _gather(self, e: Evaluation, x: Tensor) -> Evaluation:
        gradient = e.gradient.reshape(x.shape) / x.shape[1] if e.gradient.numel() else e.gradient.reshape(1, -1)
        return Evaluation(e.value.mean()[None], gradient, e.margin.mean()[None], e.reached.all()[None])


def _particles(x: Tensor) -> Tensor:
    if x.shape[0] != 1:
        raise ValueError(f"A cloud is a single row [1, n, *shape], got {x.shape[0]} rows; run clouds one by one.")
    return x[0]
