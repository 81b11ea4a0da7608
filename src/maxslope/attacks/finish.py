"""The last descent from points that nearly are errors: over kinks, until no step nearby goes down."""

from __future__ import annotations

import torch
from torch import Tensor

from maxslope.attacks.question import Question
from maxslope.attacks.state import State
from maxslope.attacks.verify import verify
from maxslope.criteria import OwnMargin
from maxslope.schemes.bundle import descend

LEFT = 0.01  # of the margin: what steps nearby may still promise at a point that counts as a local minimum


def gathered(question: Question, points: Tensor, margins: Tensor, passes: Tensor, share: float) -> State:
    """Descend from allowed points of samples that stand, by gradients of the margin gathered within a share of eps.

    Returns:
        What is known of each sample: a lower point, verified, or none; and by how much steps within that share of eps
        may lower the margin to first order at the point that is kept, in ``local``.
    """
    everyone, space = torch.arange(question.rows, device=points.device), question.budget.motion
    radius = share * question.eps
    found = descend(
        question.energy(everyone, OwnMargin()), question.domain, points, radius, space,
        passes=passes, enough=torch.zeros_like(margins), share=LEFT,
    )  # fmt: skip
    known = State(question, 0)
    known.backward, known.forward = found.spent.clone(), found.spent.clone()
    known.local = found.bound
    lower = (found.value < margins).nonzero().squeeze(1)
    if lower.numel():
        seen = verify(question, lower, found.points[lower])
        known.verified(lower, seen)
        known.unconfirmed[lower] = ((found.value[lower] < 0) & ~seen.broken).long()
        known.local[lower[~(known.best[lower] < margins[lower])]] = torch.nan  # of a point that is not kept
    return known
