"""The loss that the inner flow raises and the weights lower, and nothing besides."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from maxslope._rows import select
from maxslope.criteria import Criterion
from maxslope.energies import Network
from maxslope.energies.classifier import OfOutputs
from maxslope.energies.network import Context, Model
from maxslope.goals import Goal, Misclassified


@dataclass(frozen=True, eq=False)
class InnerLoss(OfOutputs):
    """E(x) = -l(h(x), y), as :class:`maxslope.energies.Loss`, but no goal is asked for, and no margin.

    Args:
        model: a module or function from points to outputs, or a :class:`Network`.
        labels: ``[rows, ...]``.
        criterion: l, of the scores of the goal.
        goal: what counts as an error.
        context: tensors that the model gets after the points, row for row.

    Source: arXiv:1706.06083, equation (2.1) (the inner maximum).
    """

    model: Model | Network
    labels: Tensor
    criterion: Criterion
    goal: Goal = field(default_factory=Misclassified)
    context: Context = ()

    @property
    def beside(self) -> Context:
        """See :class:`OfOutputs`."""
        return self.context

    def take(self, index: Tensor) -> InnerLoss:
        """See :class:`Energy`."""
        context = tuple(select(t, index) for t in self.context)
        return replace(self, labels=self.labels[index], context=context)

    def from_outputs(self, outputs: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """See :class:`OfOutputs`; there is no goal."""
        value = -self.goal.risk(self.criterion, outputs, self.labels[rows])
        return value, value.detach(), torch.zeros_like(value, dtype=torch.bool)
