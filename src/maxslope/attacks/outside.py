"""Errors within the budget, looked for from outside it."""

from __future__ import annotations

import torch
from torch import Tensor

from maxslope.attacks._plan import way_of, ways
from maxslope.attacks._pursuit import Pursuit
from maxslope.attacks.question import Question
from maxslope.attacks.rule import Rule
from maxslope.attacks.state import State
from maxslope.attacks.verify import Cleans, clean, held, verify
from maxslope.sets import Box, Budget
from maxslope.sets.groups import box_of
from maxslope.spaces import Lp


def pursue(question: Question, passes: int | Tensor, risk: float = 0.0) -> State:
    """Look for errors within the budget from outside it, on several ways, until one is found or the passes are spent.

    Where gradients mislead inside the budget, the boundary may still be found from outside and followed inwards. Which
    part of the boundary is found depends on where the way starts and towards which class it goes, more than on how
    long it lasts.

    Args:
        question: about samples that are all right to begin with.
        passes: gradients a sample, at least 4, a number or one per sample, ``[n]`` int64.
        risk: of giving a sample up, see :meth:`maxslope.attacks.rule.Rule.pursues`.

    Returns:
        What is known of each sample, as of one run.
    """
    bounds = box_of(question.domain)
    assert bounds is not None, "the sets of budgets have bounds"
    # What a mask holds fast has equal bounds.
    allowed = input_box(question, bounds.lo < bounds.hi)
    cleans = clean(question)
    rivals, finite = rivals_of(question, cleans), ~cleans.non_finite
    spent, nearest, rule = torch.zeros_like(question.ids), torch.full_like(question.eps, torch.inf), Rule(risk)
    inside, points, known = torch.zeros_like(finite), question.x.clone(), State(question, 1)
    planned = [[length for _, length in ways(count)] for count in (passes + torch.zeros_like(spent)).tolist()]
    for number in range(max(map(len, planned))):
        lengths = torch.tensor([sum(row[number : number + 1]) for row in planned], device=spent.device)
        left = (finite & ~inside & (lengths > 0) & rule.pursues(nearest, spent)).nonzero().squeeze(1)
        if not left.numel():
            break
        way, lengths = way_of(number), lengths[left]
        pursuit = Pursuit(question.take(left), allowed.take(left), rivals[left], finite[left], lengths, way)
        pursuit.go()
        spent[left] += pursuit.nearest.spent
        known.non_finite[left] |= pursuit.nearest.non_finite
        nearest[left] = nearest[left].minimum(pursuit.nearest.size / question.eps[left])
        inside[left] = pursuit.nearest.size <= question.eps[left]
        points[left[inside[left]]] = pursuit.nearest.points[inside[left]]
    found = inside.nonzero().squeeze(1)
    known.backward, known.runs = question.draws * spent, torch.ones_like(spent)
    known.forward = known.backward + question.votes * (1 + inside.long())
    if found.numel():
        seen = verify(question, found, points[found])
        known.broken[found] = seen.broken
        known.unconfirmed[found] = (~seen.broken).long()
        known.best[found] = torch.where(seen.broken, seen.margin, torch.inf)
    known.points = held(known.broken, points, question.x)
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
    scores, label = question.goal.scores(cleans.outputs, question.y)
    return scores.scatter(1, label[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)[:, :-1]
