"""Errors within the budget, looked for from outside it."""

from __future__ import annotations

import torch
from torch import Tensor

from maxslope._rows import choose
from maxslope.attacks._pursuit import Nearest, follow_ways
from maxslope.attacks._targets import ranked
from maxslope.attacks.question import Question
from maxslope.attacks.rule import Rule
from maxslope.attacks.state import State
from maxslope.attacks.verify import Cleans, clean, verify
from maxslope.sets import Box, Budget
from maxslope.sets.groups import box_of
from maxslope.spaces import Lp


def pursue(question: Question, passes: int | Tensor, risk: float = 0.0) -> State:
    """Look for errors within the budget from outside it, on several ways, until one is found or the passes are spent.

    Which part of the boundary is found depends on where the way starts and towards which class it goes, more than on
    how long it lasts. All samples are right to begin with; each has at least 4 ``passes``, the same or its own, ``[n]``
    int64, and is given up at a ``risk``, see :meth:`maxslope.attacks.rule.Rule.pursues`. Counts as one run.
    """
    bounds = box_of(question.domain)
    assert bounds is not None, "the sets of budgets have bounds"
    # What a mask holds fast has equal bounds.
    allowed = input_box(question, bounds.lo < bounds.hi)
    cleans = clean(question)
    rivals, finite = rivals_of(question, cleans), ~cleans.non_finite
    nearest, rule, known = Nearest(question), Rule(risk), State(question, 1)

    def wanted() -> Tensor:
        near = nearest.size / question.eps
        return finite & (nearest.size > question.eps) & rule.pursues(near, nearest.spent)

    follow_ways(question, allowed, rivals, passes + torch.zeros_like(question.ids), nearest, wanted)
    inside = nearest.size <= question.eps
    found = inside.nonzero().squeeze(1)
    known.backward, known.runs = question.draws * nearest.spent, torch.ones_like(nearest.spent)
    known.forward = known.backward + question.votes * (1 + inside.long())
    known.non_finite = nearest.non_finite
    if found.numel():
        seen = verify(question, found, nearest.points[found])
        known.broken[found] = seen.broken
        known.unconfirmed[found] = (~seen.broken).long()
        known.best[found] = torch.where(seen.broken, seen.margin, torch.inf)
    known.points = choose(known.broken, nearest.points, question.x)
    return known


def input_box(question: Question, mask: Tensor | None) -> Box:
    """Return the box of the inputs around each sample, where the mask allows it to move."""
    allowed = Budget(Lp(2), 0.0, question.budget.box).around(question.x, mask=mask)
    assert not isinstance(allowed, Box)
    return allowed.box


def rivals_of(question: Question, cleans: Cleans) -> Tensor:
    """Return the scores besides that of each label, largest first; none where the goal knows no rivals."""
    if not question.goal.ranked:
        return question.ids.new_zeros(question.rows, 0)
    return ranked(question.goal, cleans.outputs, question.y)
