"""How far the answers move from given ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from maxslope.energies.classifier import OfOutputs
from maxslope.energies.network import Model, Network
from maxslope.goals.classes import as_logits


def divergence(reference: Tensor, logits: Tensor) -> Tensor:
    """Return KL(softmax(reference) || softmax(logits)) of each row, ``[rows]``, differentiable in both.

    >>> divergence(torch.zeros(1, 2), torch.zeros(1, 2))
    tensor([0.])
    """
    log_p, log_q = reference.log_softmax(1), logits.log_softmax(1)
    return (log_p.exp() * (log_p - log_q)).sum(1)


@dataclass(frozen=True, eq=False)
class Divergence(OfOutputs):
    """E(x) = -KL(softmax(reference) || softmax(h(x))): goes down as the answer leaves the reference.

    Its gradient is zero where h(x) equals the reference, so that a flow from a clean point needs a start beside it.

    Args:
        model: a module or function from points to logits, or a :class:`Network`.
        reference: logits, ``[rows, classes]``; a constant.

    Source: arXiv:1901.08573, equation (5) (the inner problem of TRADES).
    """

    model: Model | Network
    reference: Tensor

    def take(self, index: Tensor) -> Divergence:
        """See :class:`Energy`."""
        return replace(self, reference=self.reference[index])

    def from_outputs(self, outputs: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """See :class:`OfOutputs`; there is no goal."""
        value = -divergence(self.reference[rows], as_logits(outputs))
        return value, value.detach(), torch.zeros_like(value, dtype=torch.bool)
