"""What a training is asked to do, and what it tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from maxslope._status import Status
from maxslope.attacks import Effort
from maxslope.curve import Curve
from maxslope.sets import Budget
from maxslope.training.objective import Objective
from maxslope.training.stepping import one_cycle


def adam(parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Return Adam at the rate 0.004, the peak of the one-cycle schedule, whose mean is half of it."""
    return torch.optim.Adam(parameters, lr=4e-3)


@dataclass(frozen=True)
class Plan:
    """How long, in what batches, by which optimizer.

    Args:
        epochs: passes through the data, at least 1.
        batch_size: samples of a step, over all processes; by default the loader's, else 100 or all where there are
            fewer.
        optimizer: any of ``torch.optim`` that needs one gradient a step: the optimizer of the model's weights, or what
            makes one of parameters (a class, a function); :func:`adam` by default.
        schedule: any of ``torch.optim.lr_scheduler``: the scheduler of that optimizer, or what makes one of an
            optimizer and the number of steps, or of an optimizer alone; None keeps the rate; by default
            :func:`one_cycle`.
        average: decay of the running mean of weights and buffers (``torch.optim.swa_utils``); None keeps none.
        precision: dtype of autocast, such as ``torch.bfloat16``; None for full precision. float16 scales the loss.
        workers: of the DataLoader, for a ``Dataset``.
        per_epoch: whether the schedule is stepped after each epoch instead of each step, and counts epochs. A
            ``ReduceLROnPlateau`` always is: it watches the epoch's mean loss, or the robust accuracy (``mode="max"``).

    Raises:
        ValueError: if ``epochs`` is less than 1 or the decay is not in [0, 1).

    >>> Plan(epochs=5, optimizer=torch.optim.SGD, schedule=None).epochs
    5
    """

    epochs: int = 20
    batch_size: int | None = None
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | Optimizer = adam
    schedule: Callable[..., LRScheduler] | LRScheduler | None = one_cycle
    average: float | None = None
    precision: torch.dtype | None = None
    workers: int = 0
    per_epoch: bool = False

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
        network: the model as it is now (the running mean, where there is one).
    """

    step: int
    steps: int
    epoch: int
    loss: float
    last: dict[str, Any]
    network: nn.Module


@dataclass(frozen=True)
class Callback:
    """What is to be called during a training; ``step`` and ``epoch`` end it by returning True.

    Args:
        step: called with the :class:`Moment` after every step.
        epoch: called with the :class:`Moment` after every epoch, its record and checks included.
        end: called with the :class:`Fitted` at the end.

    >>> enough = Callback(epoch=lambda moment: moment.last["loss"] < 0.1)
    """

    step: Callable[[Moment], bool | None] | None = None
    epoch: Callable[[Moment], bool | None] | None = None
    end: Callable[[Fitted], None] | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Fitted:
    """What a training made; ``repr()`` of it is one line.

    Attributes:
        network: the model to use, in evaluation mode: with the best checked weights if there were checks, the running
            mean of the weights if there was one; otherwise the trained model itself.
        history: one record for each epoch: epoch, step, loss (mean over its batches), rate, radius (factor of the
            curriculum), backward (inner gradients a sample, of this epoch), ratio and alarms of the guard, seconds of
            training until then (of all runs that went on), and clean and robust accuracy where they were checked.
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

    def __repr__(self) -> str:
        words = [f"{len(self.history)} epochs, {self.step} steps"]
        words += [f"loss {record['loss']:.4g}" for record in self.history[-1:]]
        if checked := [(record["robust"], record["clean"]) for record in self.history if "robust" in record]:
            robust, clean = max(checked)
            words.append(f"best clean {100 * clean:.2f} %, robust {100 * robust:.2f} %")
        network = f"{type(self.network).__name__} of {sum(p.numel() for p in self.network.parameters())} weights"
        ended = Status(self.status).sentence.rstrip(".")
        return f"<Fitted: {network}, {', '.join(words)}; {ended[:1].lower()}{ended[1:]}>"
