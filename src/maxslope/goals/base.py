"""What a goal is, and how a function becomes one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maxslope import _checks
from maxslope.criteria import Criterion, CrossEntropy, against_rival


class Goal(ABC):
    """What the adversary wants, as a margin m(outputs, y) of each row: negative exactly where it has won.

    A tie is not won: what asks for "at least" is written as "more than".

    A goal is seen as a competition: scores ``[rows, k]`` of which one belongs to the label; the adversary has won where
    another one is larger. The criteria of the search (cross-entropy, margins of logits and of probabilities, fixed
    rivals, rivals by distance) are made of these scores, so that a goal of one's own is attacked like any other.

    Attributes:
        name: what tables call it.
        logits: whether outputs are logits of classes, whose rows do not sum to 1.
        ranked: whether a rival can be fixed, by the order of the scores at the clean point.
        word: for what a goal's labels are.
        begun: what is said of a sample with which the adversary has won to begin with.
    """

    logits: bool = False
    ranked: bool = True
    word: str = "label"
    begun: str = "The adversary has won at the clean point to begin with: nothing to attack."

    @property
    @abstractmethod
    def name(self) -> str:
        """What tables call it."""

    @abstractmethod
    def scores(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores ``[rows, k]``, differentiable in ``outputs``, and which one is the label's, ``[rows]``."""

    @abstractmethod
    def labels(self, y: Any, x: Tensor) -> Tensor:
        """Return the labels of points ``x``, checked.

        Raises:
            TypeError: for labels of the wrong kind.
            ValueError: for labels of the wrong shape or range.
        """

    def given(self, y: Any, x: Tensor) -> Tensor:
        """Return the labels that tables show: those of :meth:`labels`, unless these are targets."""
        return self.labels(y, x)

    def outputs(self, out: Tensor) -> Tensor:
        """Return the outputs of a model as the goal knows them.

        Asked once of every answer: ``scores``, ``compete``, ``clean``, ``energy`` and ``answers`` take what it returns;
        ``margin``, ``risk``, ``divergence``, ``check`` and ``class_count`` take what the model does.
        """
        return out

    @abstractmethod
    def check(self, outputs: Tensor, y: Tensor) -> None:
        """Raise unless outputs and labels belong together; asked once, not at every step.

        Raises:
            ValueError: if they do not.
        """

    def class_count(self, outputs: Tensor) -> int | None:
        """Return how many classes a model with such outputs knows; None where labels are no class numbers."""
        return None

    def check_all(self, outputs: Tensor, rows: Tensor, y: Tensor) -> None:
        """Raise unless the outputs of some ``rows`` belong to their labels, and the model knows the labels of all.

        Raises:
            ValueError: if they do not, or it does not.
        """
        self.check(outputs, y[rows])
        count = self.class_count(outputs)
        if count is not None:
            _checks.classes(y, count, self.word)

    def compete(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the margin and the strongest rival (an index of the scores), each ``[rows]``."""
        return against_rival(*self.scores(outputs, y))

    def margin(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return m, ``[rows]``: negative where the adversary has won."""
        return self.compete(self.outputs(outputs), y)[0]

    def clean(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return what says whether a clean sample is right, ``[rows]``: negative where it is wrong to begin with."""
        return self.compete(outputs, y)[0]

    def energy(self, criterion: Criterion, outputs: Tensor, y: Tensor, rivals: Tensor) -> Tensor:
        """Return what goes down as the adversary gains, ``[rows]``, differentiable in ``outputs``.

        Args:
            criterion: of scores, label and rival.
            outputs: as :meth:`outputs` returns them.
            y: labels.
            rivals: ``[rows]``, indices of scores.
        """
        scores, label = self.scores(outputs, y)
        return -criterion(lowest(scores), label, rivals)

    def risk(self, criterion: Criterion, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the loss that training lowers at the adversary's points, ``[rows]``.

        Args:
            criterion: of scores, label and rival.
            outputs: of the model, differentiable.
            y: labels.
        """
        outputs = self.outputs(outputs)
        scores, label = self.scores(outputs, y)
        rivals = label if isinstance(criterion, CrossEntropy) else self.compete(outputs.detach(), y)[1]
        return criterion(scores, label, rivals)

    def clean_risk(self, criterion: Criterion, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the loss that training lowers at clean points, ``[rows]``."""
        return self.risk(criterion, outputs, y)

    def divergence(self, reference: Tensor, outputs: Tensor) -> Tensor:
        """Return how far outputs are from reference ones, ``[rows]``, not negative and differentiable in both.

        Raises:
            ValueError: if the goal knows no such distance.
        """
        raise ValueError(f"The goal {self.name} knows no divergence of answers; train with AdversarialRisk.")

    def answers(self, outputs: Tensor) -> list[Any]:
        """Return what a table shows as the prediction of each row."""
        return [""] * outputs.shape[0]

    def shown(self, y: Tensor) -> list[Any]:
        """Return what a table shows as the label of each row."""
        return [""] * y.shape[0]

    def take(self, index: Tensor) -> Goal:
        """Return the goal of the samples ``index`` (the same one, unless it differs by sample)."""
        return self


@dataclass(frozen=True)
class Custom(Goal):
    """A goal given by its margin.

    Args:
        function: from outputs ``[rows, ...]`` and labels ``[rows, ...]`` to margins ``[rows]``, negative where the
            adversary has won, differentiable in the outputs.

    The search lowers the margin itself, whatever its units: with nothing to compete with, every criterion is a rising
    function of it, and those that saturate would lose its gradient.

    >>> far = Custom(lambda outputs, y: 2.0 - (outputs - y).norm(dim=1))
    >>> far.margin(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
    tensor([-3.])
    """

    function: Callable[[Tensor, Tensor], Tensor]
    ranked = False

    @property
    def name(self) -> str:
        named: str = getattr(self.function, "__name__", "custom")
        return named

    def labels(self, y: Any, x: Tensor) -> Tensor:
        """See :class:`Goal`: any tensor with a row for each point."""
        return rows_of(y, x)

    def check(self, outputs: Tensor, y: Tensor) -> None:
        """See :class:`Goal`: the function is called."""
        self.scores(outputs, y)

    def scores(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Goal`: the margin against 0."""
        m = self._checked(outputs, y)
        return torch.stack([m, torch.zeros_like(m)], 1), torch.zeros_like(m, dtype=torch.int64)

    def energy(self, criterion: Criterion, outputs: Tensor, y: Tensor, rivals: Tensor) -> Tensor:
        """See :class:`Goal`: the margin, for every criterion."""
        return self._checked(outputs, y)

    def _checked(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The margins that the function returns."""
        m: Any = self.function(outputs, y)
        if not isinstance(m, Tensor) or m.shape != (outputs.shape[0],):
            got = tuple(m.shape) if isinstance(m, Tensor) else type(m).__name__
            raise ValueError(f"A goal returns one margin per row, shape [{outputs.shape[0]}], got {got}.")
        if not m.is_floating_point():
            raise ValueError(
                f"A margin is a real number that follows the outputs without jumps, got {m.dtype}; where the goal "
                "counts, return the value at which the count changes, such as outputs.sort(1).values[:, 0]."
            )
        margins: Tensor = m
        return margins


def as_goal(goal: Any) -> Goal:
    """Return a goal as it is, and a function ``margin(outputs, y)`` as a goal.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(goal, Goal):
        return goal
    if callable(goal) and not isinstance(goal, type):
        return Custom(goal)
    raise TypeError(
        f"A goal is one of maxslope.goals such as TopK(5), or a function margin(outputs, y) -> [rows], got {goal!r}."
    )


def rows_of(y: Any, x: Tensor) -> Tensor:
    """Raise unless ``y`` is a tensor with one row per row of ``x``; return it on the same device."""
    if not isinstance(y, Tensor):
        raise TypeError(f"Labels are a torch tensor with one row per sample, got {type(y).__name__}.")
    if y.ndim < 1 or y.shape[0] != x.shape[0]:
        raise ValueError(
            f"Labels have one row per sample, {x.shape[0]} of them, got shape {tuple(y.shape)}; give one for each."
        )
    found: Tensor = y.detach().to(x.device)
    return found


def lowest(scores: Tensor) -> Tensor:
    """Scores with -inf, which stands for what cannot win, replaced by a number so low that it wins as little."""
    return scores.clamp_min(torch.finfo(scores.dtype).min / 8)
