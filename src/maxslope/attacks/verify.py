"""The one answer: what a point is worth, asked of the model itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from maxslope._rows import flat, select
from maxslope.attacks.question import Question
from maxslope.energies import Randomized
from maxslope.sets import Set


class Verdicts(NamedTuple):
    """What the model says at points of samples, one entry a row."""

    points: Tensor  # those that were asked: realized, and inside ball and box up to one rounding
    margin: Tensor  # of the goal: negative where the adversary has won, NaN where not finite
    broken: Tensor  # whether the adversary has won at a finite answer, inside the allowed set
    non_finite: Tensor  # whether the answer has NaN or +infinity in it
    inside: Tensor  # whether the point is allowed
    distance: Tensor  # the norm of the way from the clean point
    rate: Tensor  # the share of answers at which the adversary has won: 0 or 1, unless the model is random


def verify(question: Question, rows: Tensor, points: Tensor) -> Verdicts:
    """Ask the model at points of samples, one forward pass each (``question.votes``, if it is random), and decide.

    This is the only place where ``broken`` is decided: a fresh call of the model at the realized point, in a tile of
    canonical shape; the margin of the goal is negative, the answer is finite, and the point lies in ball and box.
    ``rows`` are samples of the question, ``[k]``, and ``points`` one of each, ``[k, *shape]``.
    """
    x, domain = select(question.x, rows), question.domain.take(rows)
    z = settled(question, points, x, domain)
    goal, y = question.goal, select(question.y, rows)
    margins, non_finite, _ = _answers(question, rows, z, lambda out: goal.compete(out, y)[0])
    random = question.network.model
    needed = random.needed if isinstance(random, Randomized) else 1
    margin = margins.sort(1).values[:, needed - 1].masked_fill(non_finite, torch.nan)
    inside = domain.contains(z)
    return Verdicts(
        points=z,
        margin=margin.to(x.dtype),
        broken=(margin < 0) & inside,
        non_finite=non_finite,
        inside=inside,
        distance=question.budget.norm.distance(x, z),
        rate=(margins < 0).to(x.dtype).mean(1),
    )


def settled(question: Question, points: Tensor, x: Tensor, domain: Set) -> Tensor:
    """Return the points that count: realized, or moved inside where they lie out of ball or box, if by a rounding."""
    return domain.inside(points) if question.realize is None else question.realized(points, x, domain)


class Cleans(NamedTuple):
    """What the model says at the clean points, one entry a row."""

    outputs: Tensor  # as the goal knows them, the mean of several
    margin: Tensor  # of the goal, NaN where not finite
    right: Tensor  # whether the sample is right to begin with
    non_finite: Tensor
    rate: Tensor  # the share of answers that are wrong


def clean(question: Question) -> Cleans:
    """Ask the model at the clean points: one forward pass each, or ``question.votes``."""
    everyone, goal, y = torch.arange(question.rows, device=question.x.device), question.goal, question.y

    def both(out: Tensor) -> Tensor:
        return torch.stack([goal.compete(out, y)[0], goal.clean(out, y)], 1)

    margins, non_finite, outputs = _answers(question, everyone, question.x, both)
    middle = margins.sort(1).values[:, margins.shape[1] // 2].masked_fill(non_finite[:, None], torch.nan)
    kind, (margin, lead) = question.x.dtype, middle.unbind(1)
    _, leads = margins.unbind(2)
    rate = (leads < 0).to(kind).mean(1)
    return Cleans(outputs, margin.to(kind), lead >= 0, non_finite, rate)


def _answers(
    question: Question, rows: Tensor, z: Tensor, margin: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """The margins ``[k, answers, ...]`` at points, whether they are not finite ``[k]``, and the mean outputs."""
    network = replace(question.network, voting=True)
    out = network.all_outputs(z, tuple(select(t, rows) for t in question.context))
    parts = [question.goal.outputs(one) for one in out.reshape(len(z), network.answers, *out.shape[1:]).unbind(1)]
    margins = torch.stack([margin(one) for one in parts], 1)
    bad = torch.stack([~(flat(one) < torch.inf).all(1) for one in parts], 1).any(1)
    bad = bad | margins.isnan().flatten(1).any(1)
    return margins, bad, torch.stack(parts).mean(0)
