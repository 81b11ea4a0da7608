"""The one answer: what a point is worth, asked of the model itself."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from maxslope._rows import column, select
from maxslope.attacks.question import Question


class Verdicts(NamedTuple):
    """What the model says at points of samples, one entry a row.

    Attributes:
        points: ``[rows, *shape]``, the points that were asked: realized, and inside ball and box up to one rounding.
        margin: ``[rows]``, of the goal: negative where the adversary has won. NaN where not finite.
        broken: ``[rows]`` bool: the adversary has won at a finite answer, inside the allowed set.
        non_finite: ``[rows]`` bool: the answer, or the point, has NaN or +infinity in it.
        inside: ``[rows]`` bool: the point is allowed.
        distance: ``[rows]``, the norm of the way from the clean point.
    """

    points: Tensor
    margin: Tensor
    broken: Tensor
    non_finite: Tensor
    inside: Tensor
    distance: Tensor


def verify(question: Question, rows: Tensor, points: Tensor) -> Verdicts:
    """Ask the model at points of samples, one forward pass each, and decide.

    This is the only place where ``broken`` is decided: a fresh call of the model at the realized point, in a tile of
    canonical shape; the margin of the goal is negative, the answer is finite, and the point lies in ball and box.

    Args:
        question: what is asked.
        rows: samples of the question, ``[k]``.
        points: ``[k, *shape]``, a point of each.

    Returns:
        :class:`Verdicts`, in the order of ``rows``.
    """
    x, domain = select(question.x, rows), question.domain.take(rows)
    z = question.realized(points, x, domain)
    outputs, y = question.outputs(rows, z), question.y[rows]
    margin = question.goal.compete(outputs, y)[0]
    non_finite = ~(outputs < torch.inf).flatten(1).all(1) | margin.isnan()
    inside = domain.contains(z)
    return Verdicts(
        points=z,
        margin=margin.masked_fill(non_finite, torch.nan).to(x.dtype),
        broken=(margin < 0) & inside & ~non_finite,
        non_finite=non_finite,
        inside=inside,
        distance=question.budget.norm.distance(x, z),
    )


class Cleans(NamedTuple):
    """What the model says at the clean points, one entry a row.

    Attributes:
        outputs: as the goal knows them.
        margin: ``[rows]``: of the goal, NaN where not finite.
        right: ``[rows]`` bool: the sample is right to begin with.
        non_finite: ``[rows]`` bool.
    """

    outputs: Tensor
    margin: Tensor
    right: Tensor
    non_finite: Tensor


def clean(question: Question) -> Cleans:
    """Ask the model at the clean points: one forward pass each."""
    everyone = torch.arange(question.rows, device=question.x.device)
    outputs = question.outputs(everyone, question.x)
    margin = question.goal.compete(outputs, question.y)[0]
    non_finite = ~(outputs < torch.inf).flatten(1).all(1) | margin.isnan()
    right = (question.goal.clean(outputs, question.y) >= 0) & ~non_finite
    return Cleans(outputs, margin.masked_fill(non_finite, torch.nan).to(question.x.dtype), right, non_finite)


def held(broken: Tensor, found: Tensor, x: Tensor) -> Tensor:
    """The points found where they break, the clean points elsewhere."""
    return torch.where(column(broken, x), found, x)
