"""The order in which wrong classes are aimed at."""

from __future__ import annotations

import torch
from torch import Tensor

from maxslope.attacks.question import Question
from maxslope.energies import Margin


def nearest_first(question: Question, rows: Tensor, order: Tensor, count: int) -> Tensor:
    """Order the first classes by (z_y - z_k) / |grad (z_y - z_k)|_*, how far they are to first order.

    Args:
        question: the samples.
        rows: of the question.
        order: ``[rows, classes - 1]``, the wrong classes by their logits.
        count: how many of them are ordered.

    Source: Melamed, Yehudai and Shamir, MALT (arXiv:2407.02240), who rank targets so.
    """
    far, count = [], min(count, order.shape[1])
    for k in range(count):
        e = question.energy(rows, Margin(), order[:, k]).evaluate(question.x[rows])
        size = question.budget.norm.dual_norm(e.gradient)
        far.append(torch.where(size > 0, e.value / size, torch.inf))
    nearest = torch.stack(far, 1).argsort(dim=1, stable=True)
    return torch.cat([order[:, :count].gather(1, nearest), order[:, count:]], 1)
