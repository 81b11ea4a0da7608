"""What an adversary wants of the logits: functions that are large where the model errs.

A criterion maps logits ``[rows, classes]``, labels ``[rows]`` and rivals ``[rows]`` to ``[rows]``. The rival is the
class to raise; ``strongest_rival`` is the usual choice, a fixed one aims at a class. Any callable with this signature
serves as a criterion; the rival may be ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from maxslope import _random

Criterion = Callable[[Tensor, Tensor, Tensor], Tensor]


def pick(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the logit of one class per row."""
    return logits.gather(1, classes[:, None]).squeeze(1)


def strongest_rival(logits: Tensor, labels: Tensor) -> Tensor:
    """Return argmax over the classes other than the label, ``[rows]``.

    >>> strongest_rival(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0]))
    tensor([2])
    """
    return against_rival(logits.detach(), labels)[1]


def against_rival(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far the label's logit is above the largest of the others, and the class of that one, each ``[rows]``.

    >>> against_rival(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0]))
    (tensor([1.]), tensor([2]))
    """
    largest, rival = logits.scatter(1, labels[:, None], -torch.inf).max(1)
    return pick(logits, labels) - largest, rival


@dataclass(frozen=True)
class CrossEntropy:
    """-log softmax(z)_y. Saturates in float32 once the margin exceeds about 17: its gradient is then zero.

    >>> CrossEntropy()(torch.zeros(1, 2), torch.tensor([0]), torch.tensor([1]))
    tensor([0.6931])
    """

    def __call__(self, logits: Tensor, labels: Tensor, rivals: Tensor) -> Tensor:
        """Return the criterion, ``[rows]``."""
        return functional.cross_entropy(logits, labels, reduction="none")


@dataclass(frozen=True)
class Margin:
    """z_rival - z_y, the loss of Carlini and Wagner (arXiv:1608.04644): positive exactly where the rival wins.

    >>> Margin()(torch.tensor([[3.0, 1.0]]), torch.tensor([0]), torch.tensor([1]))
    tensor([-2.])
    """

    def __call__(self, logits: Tensor, labels: Tensor, rivals: Tensor) -> Tensor:
        """Return the criterion, ``[rows]``."""
        return pick(logits, rivals) - pick(logits, labels)


@dataclass(frozen=True)
class OwnMargin:
    """Minus the margin of the goal itself, however the goal builds its other criteria: for statements about margins.

    On scores it is :class:`Margin`; a goal that searches along a smoother form of its margin gives the exact one here.

    >>> OwnMargin()(torch.tensor([[3.0, 1.0]]), torch.tensor([0]), torch.tensor([1]))
    tensor([-2.])
    """

    def __call__(self, logits: Tensor, labels: Tensor, rivals: Tensor) -> Tensor:
        """Return the criterion, ``[rows]``."""
        return pick(logits, rivals) - pick(logits, labels)


@dataclass(frozen=True)
class ProbabilityMargin:
    """p_rival - p_y with p = softmax(z): the probability margin attack, arXiv:2411.15210.

    >>> ProbabilityMargin()(torch.zeros(1, 2), torch.tensor([0]), torch.tensor([1]))
    tensor([0.])
    """

    def __call__(self, logits: Tensor, labels: Tensor, rivals: Tensor) -> Tensor:
        """Return the criterion, ``[rows]``."""
        p = logits.softmax(1)
        return pick(p, rivals) - pick(p, labels)


@dataclass(frozen=True)
class LogitsRatio:
    """The difference-of-logits ratio (z_rival - z_y) / (z_(1) - z_(3)), arXiv:2003.01690, invariant to shift and scale.

    z_(1) >= z_(2) >= z_(3) are the sorted logits. With ``targeted`` the denominator is z_(1) - (z_(3) + z_(4)) / 2.

    Args:
        targeted: use the denominator of the targeted form, which needs four classes instead of three.

    Raises:
        ValueError: if the model has too few classes.

    >>> LogitsRatio()(torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([0]), torch.tensor([1]))
    tensor([-0.5000])
    """

    targeted: bool = False

    def __call__(self, logits: Tensor, labels: Tensor, rivals: Tensor) -> Tensor:
        """Return the criterion, ``[rows]``."""
        needed = 4 if self.targeted else 3
        if logits.shape[1] < needed:
            raise ValueError(
                f"The difference-of-logits ratio needs at least {needed} classes, the model has {logits.shape[1]}; "
                "use Margin() instead."
            )
        top = logits.topk(needed, 1).values
        third = (top[:, 2] + top[:, 3]) / 2 if self.targeted else top[:, 2]
        return (pick(logits, rivals) - pick(logits, labels)) / (top[:, 0] - third).clamp_min(1e-12)


@dataclass(frozen=True)
class Diversified:
    """<w, z> with random weights w in [-1, 1]: output-diversified starts, arXiv:2003.06878.

    The weights are keyed by the seed and the label. A few steps of it from the clean point, and a run that starts where
    they ended (``starts.Last``), make an output-diversified run.

    Args:
        seed: of the weights.
    """

    seed: int = 0

    def __call__(self, logits: Tensor, labels: Tensor, rivals: Tensor) -> Tensor:
        """Return the criterion, ``[rows]``."""
        weights = 2 * _random.uniform(_random.keys(self.seed, labels), logits.shape[1:]) - 1
        return (weights.to(logits) * logits).sum(1)
