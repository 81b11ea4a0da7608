"""Goals of classifiers: one class of several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maxslope import _checks
from maxslope.criteria import Criterion, Margin, OwnMargin, against_rival, pick
from maxslope.goals.base import Goal, lowest


class OfClasses(Goal):
    """A goal about logits ``[rows, classes]`` and class numbers ``[rows]``."""

    logits = True
    begun = "The model misclassifies the clean point: nothing to attack."

    def outputs(self, out: Tensor) -> Tensor:
        """See :class:`Goal`; one-output binary models have the two logits (0, z)."""
        return as_logits(out)

    def labels(self, y: Any, x: Tensor) -> Tensor:
        return _checks.labels(y, x)

    def check(self, outputs: Tensor, y: Tensor) -> None:
        _checks.logits(outputs, y.shape[0])
        _checks.classes(y, self.class_count(outputs), self.word)

    def class_count(self, outputs: Tensor) -> int:
        """See :class:`Goal`: the logits of a row."""
        return self.outputs(outputs).shape[1]

    def scores(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Goal`: the logits."""
        return outputs, y

    def divergence(self, reference: Tensor, outputs: Tensor) -> Tensor:
        """See :class:`Goal`: KL(softmax(reference) || softmax(outputs)).

        >>> Misclassified().divergence(torch.zeros(1, 2), torch.zeros(1, 2))
        tensor([0.])
        """
        return divergence(self.outputs(reference), self.outputs(outputs))

    def answers(self, outputs: Tensor) -> list[Any]:
        """See :class:`Goal`: the largest logit, the label's where it is one of several."""
        return outputs.argmax(1).tolist()

    def shown(self, y: Tensor) -> list[Any]:
        return y.tolist()


@dataclass(frozen=True)
class Misclassified(OfClasses):
    """Another class is more likely than the label: m = z_y - max { z_k : k != y }.

    >>> Misclassified().margin(torch.tensor([[3.0, 1.0], [0.0, 2.0]]), torch.tensor([0, 0]))
    tensor([ 2., -2.])
    """

    name = "misclassified"


@dataclass(frozen=True, eq=False)
class Targeted(OfClasses):
    """A given class is more likely than all others: m = max { z_k : k != t } - z_t.

    A clean sample is right where the target does not win to begin with.

    Args:
        classes: the targets t, a number or one per sample, ``[rows]``; None takes the labels for targets.

    >>> Targeted(1).margin(torch.tensor([[3.0, 1.0]]), torch.tensor([1]))
    tensor([2.])
    """

    classes: int | Tensor | None = None
    ranked = False
    word = "target"
    begun = "The model puts the clean point into the target class already: nothing to attack."

    def given(self, y: Any, x: Tensor) -> Tensor:
        """See :class:`Goal`: the labels, whatever the targets are."""
        return _checks.labels(y, x)

    @property
    def name(self) -> str:
        return f"target={self.classes}" if isinstance(self.classes, int) else "targeted"

    def labels(self, y: Any, x: Tensor) -> Tensor:
        """See :class:`Goal`: the targets."""
        if self.classes is None:
            return _checks.labels(y, x, "Targets")
        targets = torch.full((x.shape[0],), self.classes) if isinstance(self.classes, int) else self.classes
        return _checks.labels(targets, x, "Targets")

    def compete(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        lead, rival = against_rival(outputs, y)
        return -lead, rival

    def energy(self, criterion: Criterion, outputs: Tensor, y: Tensor, rivals: Tensor) -> Tensor:
        """See :class:`Goal`: the criterion of a sample that is to be classified as t."""
        return criterion(lowest(outputs), y, rivals)

    def risk(self, criterion: Criterion, outputs: Tensor, y: Tensor) -> Tensor:
        """See :class:`Goal`.

        Raises:
            ValueError: always: a model is not trained against single targets.
        """
        raise ValueError("Training wants a goal that is met by an error, got Targeted; use Misclassified or TopK.")

    def take(self, index: Tensor) -> Targeted:
        each = isinstance(self.classes, Tensor) and self.classes.ndim > 0
        return Targeted(self.classes[index]) if each else self  # type: ignore[index]


@dataclass(frozen=True)
class TopK(OfClasses):
    """The label is not among the k most likely classes: m = z_y - the k-th largest of the others.

    Several classes must win: the search lowers the mean of what each of the k nearest to it costs as a target, or by
    how much each of them is behind.

    Args:
        k: at least 1; ``TopK(1)`` is :class:`Misclassified`.

    Raises:
        ValueError: if k is less than 1.

    >>> TopK(2).margin(torch.tensor([[3.0, 5.0, 1.0, 2.0]]), torch.tensor([0]))
    tensor([1.])
    """

    k: int

    def __post_init__(self) -> None:
        if not _checks.whole(self.k, 1):
            raise ValueError(f"TopK needs an integer k of at least 1, got {self.k!r}; TopK(1) asks for the top class.")

    @property
    def name(self) -> str:
        return f"top-{self.k}"

    def check(self, outputs: Tensor, y: Tensor) -> None:
        OfClasses.check(self, outputs, y)
        classes = self.class_count(outputs)
        if self.k >= classes:
            raise ValueError(
                f"TopK({self.k}) needs more than {self.k} classes, the model has {classes}: the label is always among "
                f"the {self.k} largest. Use a smaller k."
            )

    def scores(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Goal`: the logits without the k - 1 largest of the others, which may stay above the label."""
        above = outputs.detach().scatter(1, y[:, None], -torch.inf).topk(self.k - 1, 1).indices
        return outputs.scatter(1, above, -torch.inf), y

    def energy(self, criterion: Criterion, outputs: Tensor, y: Tensor, rivals: Tensor) -> Tensor:
        """See :class:`Goal`: the mean over the rivals that must win of what a target costs, each against the label.

        A rival that has won costs next to nothing, one that has not the more the farther it is.
        """
        if self.k == 1:
            return -criterion(lowest(outputs), y, rivals)
        # The fixed rival, if it is one, is counted among them.
        must = outputs.detach().scatter(1, y[:, None], -torch.inf).scatter(1, rivals[:, None], torch.inf)
        scores = lowest(outputs)
        winners = scores.gather(1, must.topk(self.k, 1).indices)
        label = scores.gather(1, y[:, None])
        if isinstance(criterion, OwnMargin):
            return label[:, 0] - winners.amin(1)
        if isinstance(criterion, Margin):
            return ((label - winners).clamp_min(0) / self.k).sum(1)
        pairs = torch.stack([winners, label.expand(-1, self.k)], 2).flatten(0, 1)
        first = torch.zeros_like(pairs[:, 0], dtype=torch.int64)
        return (criterion(pairs, first, torch.ones_like(first)) / self.k).reshape(-1, self.k).sum(1)


@dataclass(frozen=True)
class Undetected(OfClasses):
    """Wrong, and not put into the class of rejects: m = max(z_y, z_reject) - max { z_k : k not y, not reject }.

    A clean sample that is put into the class of rejects counts as wrong. Criteria of probabilities see
    label and rejects as one class of probability p_y + p_reject, without the kink of the maximum.

    Args:
        reject: the class of rejects.

    Raises:
        ValueError: if it is negative.

    >>> goal, z = Undetected(reject=2), torch.tensor([[1.0, 3.0, 4.0], [1.0, 3.0, 2.0]])
    >>> goal.margin(z, torch.tensor([0, 0])), goal.clean(z[:1], torch.tensor([0]))
    (tensor([ 1., -1.]), tensor([-3.]))
    """

    reject: int

    def __post_init__(self) -> None:
        if not _checks.whole(self.reject, 0):
            raise ValueError(f"The class of rejects is a class number of at least 0, got {self.reject!r}.")

    @property
    def name(self) -> str:
        return f"reject={self.reject}"

    def check(self, outputs: Tensor, y: Tensor) -> None:
        OfClasses.check(self, outputs, y)
        classes = self.class_count(outputs)
        if self.reject >= classes or classes < 3:
            raise ValueError(
                f"Undetected(reject={self.reject}) needs at least 3 classes with the class of rejects among them, the "
                f"model has {classes} (0 to {classes - 1})."
            )

    def scores(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Goal`: label and class of rejects stand together."""
        return self._merged(outputs, y, torch.maximum), y

    def energy(self, criterion: Criterion, outputs: Tensor, y: Tensor, rivals: Tensor) -> Tensor:
        join = torch.maximum if isinstance(criterion, Margin | OwnMargin) else torch.logaddexp
        return -criterion(lowest(self._merged(lowest(outputs), y, join)), y, rivals)

    def _merged(self, outputs: Tensor, y: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """The logits with one number for label and rejects, in the place of the label."""
        label = join(pick(outputs, y), outputs[:, self.reject])
        rest = outputs.index_fill(1, torch.tensor([self.reject], device=y.device), -torch.inf)
        return rest.scatter(1, y[:, None], label[:, None])

    def clean(self, outputs: Tensor, y: Tensor) -> Tensor:
        """See :class:`Goal`: the margin of :class:`Misclassified`."""
        return against_rival(outputs, y)[0]

    def clean_risk(self, criterion: Criterion, outputs: Tensor, y: Tensor) -> Tensor:
        """See :class:`Goal`: that of :class:`Misclassified`."""
        return Misclassified().risk(criterion, outputs, y)


def divergence(reference: Tensor, logits: Tensor) -> Tensor:
    """Return KL(softmax(reference) || softmax(logits)) over the second axis, ``[rows, ...]``, differentiable in both.

    >>> divergence(torch.zeros(1, 2), torch.zeros(1, 2))
    tensor([0.])
    """
    log_p, log_q = reference.log_softmax(1), logits.log_softmax(1)
    return (log_p.exp() * (log_p - log_q)).sum(1)


def as_logits(out: Tensor) -> Tensor:
    """Return outputs ``[rows, classes]`` as they are, and one-output binary ones as the two logits (0, z).

    >>> as_logits(torch.tensor([3.0]))
    tensor([[0., 3.]])
    """
    if out.ndim > 1 and out.shape[1] > 1:
        return out
    z = out.reshape(-1)
    return torch.stack([torch.zeros_like(z), z], 1)
