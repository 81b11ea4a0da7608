"""How far the answers move from given ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from maxslope.energies.base import Energy, Evaluation, gradient_of, plain
from maxslope.energies.classifier import Model, Network


def divergence(reference: Tensor, logits: Tensor) -> Tensor:
    """Return KL(softmax(reference) || softmax(logits)) of each row, ``[rows]``, differentiable in both.

    >>> divergence(torch.zeros(1, 2), torch.zeros(1, 2))
    tensor([0.])
    """
    log_p, log_q = reference.log_softmax(1), logits.log_softmax(1)
    return (log_p.exp() * (log_p - log_q)).sum(1)


@dataclass(frozen=True, eq=False)
class Divergence(Energy):
    """E(x) = -KL(softmax(reference) || softmax(h(x))): goes down as the answer leaves the reference.

    Its gradient is zero where h(x) equals the reference, so that a flow from a clean point needs a start beside it.

    Args:
        model: a module or function from points to logits, or a :class:`Network`.
        reference: logits, ``[rows, classes]``; a constant.

    Source: arXiv:1901.08573, equation (5) (the inner problem of TRADES).
    """

    model: Model | Network
    reference: Tensor

    def evaluate(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`."""
        with torch.enable_grad():
            z = x.detach().requires_grad_(True)
            value = self._value(z)
            gradient = gradient_of(value, z)
        return plain(value.detach(), gradient)

    def look(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`."""
        with torch.no_grad():
            return plain(self._value(x))

    def take(self, index: Tensor) -> Divergence:
        """See :class:`Energy`."""
        return replace(self, reference=self.reference[index])

    @property
    def passes(self) -> int:
        """See :class:`Energy`."""
        return 1

    def _value(self, x: Tensor) -> Tensor:
        network = self.model if isinstance(self.model, Network) else Network(self.model)
        return -divergence(self.reference, network.logits(x))
