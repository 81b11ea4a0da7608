"""What a training is asked to do, and what it tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from maxslope.attacks import Effort
from maxslope.curve import Curve
from maxslope.sets import Budget
from maxslope.training.objective import Objective


def adam(parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Return Adam at the rate 0.004, the peak of the one-cycle schedule, whose mean is half of it."""
    return torch.optim.Adam(parameters, lr=4e-3)


def one_cycle(optimizer: Optimizer, steps: int) -> LRScheduler:
    """Return torch's one-cycle schedule over the whole training, up to the optimizer's own rate."""
    return OneCycleLR(optimizer, [float(g["lr"]) for g in optimizer.param_groups], total_steps=max(steps, 2))


@dataclass(frozen=True)
class Plan:
    """How long, in what batches, by which optimizer.

    Args:
        epochs: passes through the data, at least 1.
        batch_size: samples of a step, over all processes.
        optimizer: makes an optimizer of parameters; :func:`adam` by default.
        schedule: makes a scheduler of an optimizer and the number of steps, stepped after each; :func:`one_cycle` by
            default.
        average: decay of the running mean of weights and buffers (``torch.optim.swa_utils``); None keeps none.
        precision: dtype of autocast, such as ``torch.bfloat16``; None for full precision. float16 scales the loss.
        workers: of the DataLoader, for a ``Dataset``.

    Raises:
        ValueError: if ``epochs`` is less than 1 or the decay is not in [0, 1).

    >>> Plan(epochs=5).batch_size
    100
    """

    epochs: int = 20
    batch_size: int = 100
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] = adam
    schedule: Callable[[Optimizer, int], LRScheduler] = one_cycle
    average: float | None = None
    precision: torch.dtype | None = None
    workers: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or (self.average is not None and not 0 <= self.average < 1):
            raise ValueError(
                f"A plan needs epochs >= 1 and a decay in [0, 1) or None, got epochs={self.epochs}, "
                f"average={self.average}."
            )


@dataclass(frozen=True, eq=False)
class Check:
    """Verified robust accuracy on held-out samples during training, and when to stop on it.

    Args:
        x: ``[n, *shape]``.
        y: ``[n]``.
        budget: what is verified.
        effort: of the attack; ``Effort.quick()`` by default.
        every: epochs between two checks, at least 1.
        patience: checks without a better robust accuracy after which training stops; None never stops. The best
            weights are handed back either way.

    Raises:
        ValueError: if ``every`` or ``patience`` is less than 1.

    Source: arXiv:2002.11569 (robust overfitting, and early stopping against it).
    """

    x: Tensor
    y: Tensor
    budget: Budget
    effort: Effort = field(default_factory=Effort.quick)
    every: int = 1
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.every < 1 or (self.patience is not None and self.patience < 1):
            raise ValueError(f"every and patience are at least 1, got every={self.every}, patience={self.patience}.")


@dataclass(frozen=True, eq=False)
class Trace:
    """What to record of the curve of weights: energy and slope on a frozen batch.

    Args:
        objective: the energy on the batch; its curriculum stands still.
        x: the frozen inputs.
        y: their labels.
        every: optimizer steps between two instants, at least 1.

    Raises:
        ValueError: if ``every`` is less than 1.
    """

    objective: Objective
    x: Tensor
    y: Tensor
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"A trace keeps every first step or fewer, got every={self.every}.")


class Moment(NamedTuple):
    """Where a training stands, told after every step and after every epoch.

    Attributes:
        step: optimizer steps made.
        steps: in all.
        epoch: epochs completed.
        loss: of the last batch, or the mean of an epoch that was just completed.
        last: the record of the last completed epoch; empty before.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    last: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a training made.

    Attributes:
        network: the model to use, in evaluation mode: with the best checked weights if there were checks, the running
            mean of the weights if there was one; otherwise the trained model itself.
        history: one record for each epoch: epoch, step, loss (mean over its batches), rate, radius (factor of the
            curriculum), backward (inner gradients a sample, of this epoch), ratio and alarms of the guard, seconds, and
            clean and robust accuracy where they were checked.
        status: why training ended, a :class:`Status` value.
        step: optimizer steps made.
        spent: of the objective: samples, forward and backward passes of the inner flows and of the guard.
        curve: of the weights, one row, where a trace was asked for; time is the sum of learning rates.
    """

    network: nn.Module
    history: list[dict[str, Any]]
    status: int
    step: int
    spent: dict[str, int]
    curve: Curve | None
