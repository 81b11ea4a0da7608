"""The loss that the inner flow raises and the weights lower, and nothing besides."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from maxslope.criteria import strongest_rival
from maxslope.energies import Criterion, CrossEntropy, Network
from maxslope.energies.classifier import OfOutputs
from maxslope.energies.network import Model
from maxslope.goals.classes import as_logits


def loss_of(criterion: Criterion, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the criterion of each row, ``[rows]``; cross-entropy has no rival, so that none is looked for.

    >>> loss_of(CrossEntropy(), torch.zeros(1, 2), torch.tensor([0]))
    tensor([0.6931])
    """
    rivals = labels if isinstance(criterion, CrossEntropy) else strongest_rival(logits, labels)
    return criterion(logits, labels, rivals)


@dataclass(frozen=True, eq=False)
class InnerLoss(OfOutputs):
    """E(x) = -l(h(x), y), as :class:`maxslope.energies.Loss`, but with no goal and no margin: training asks for none.

    Args:
        model: a module or function from points to logits, or a :class:`Network`.
        labels: ``[rows]``, int64.
        criterion: l.

    Source: arXiv:1706.06083, equation (2.1) (the inner maximum).
    """

    model: Model | Network
    labels: Tensor
    criterion: Criterion

    def take(self, index: Tensor) -> InnerLoss:
        """See :class:`Energy`."""
        return replace(self, labels=self.labels[index])

    def from_outputs(self, outputs: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """See :class:`OfOutputs`; there is no goal."""
        value = -loss_of(self.criterion, as_logits(outputs), self.labels[rows])
        return value, value.detach(), torch.zeros_like(value, dtype=torch.bool)
