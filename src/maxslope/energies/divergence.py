"""How far the answers move from given ones."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from maxslope._rows import select
from maxslope.energies.classifier import OfOutputs
from maxslope.energies.network import Context, Model, Network
from maxslope.goals import Goal, Misclassified


@dataclass(frozen=True, eq=False)
class Divergence(OfOutputs):
    """E(x) = -D(reference, h(x)), D the divergence of the goal: goes down as the answer leaves the reference.

    Its gradient is zero where h(x) equals the reference, so that a flow from a clean point needs a start beside it.

    Args:
        model: a module or function from points to outputs, or a :class:`Network`.
        reference: outputs, ``[rows, ...]``; a constant.
        goal: what the answers are; KL(softmax(reference) || softmax(h(x))) for classes.
        context: tensors that the model gets after the points, row for row.

    Source: arXiv:1901.08573, equation (5) (the inner problem of TRADES).
    """

    model: Model | Network
    reference: Tensor
    goal: Goal = field(default_factory=Misclassified)
    context: Context = ()

    def take(self, index: Tensor) -> Divergence:
        context = tuple(select(t, index) for t in self.context)
        return replace(self, reference=select(self.reference, index), context=context)

    def from_outputs(self, outputs: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """See :class:`OfOutputs`; no goal is reached."""
        value = -self.goal.divergence(self.reference[rows], outputs)
        return value, value.detach(), torch.zeros_like(value, dtype=torch.bool)
