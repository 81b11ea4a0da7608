"""Step sizes: how long the step of a row is, from its own clock."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


class StepSize(ABC):
    """tau as a function of how many steps a row has made. Parameters may differ by row."""

    @abstractmethod
    def at(self, clock: Tensor, row: Tensor) -> Tensor:
        """Return tau, ``[rows]`` float64.

        Args:
            clock: ``[rows]`` int64, steps made so far.
            row: ``[rows]`` int64, which row of the parameters belongs to each.
        """


@dataclass(frozen=True, eq=False)
class Constant(StepSize):
    """tau, the same at every step.

    Args:
        tau: not negative, a number or one per row.

    Raises:
        ValueError: if a step size is negative or not finite.

    >>> Constant(0.1).at(torch.tensor([0, 5]), torch.tensor([0, 1]))
    tensor([0.1000, 0.1000], dtype=torch.float64)
    """

    tau: float | Tensor

    def __post_init__(self) -> None:
        check_tau(self.tau)

    def at(self, clock: Tensor, row: Tensor) -> Tensor:
        return by_row(self.tau, row)


@dataclass(frozen=True, eq=False)
class Cosine(StepSize):
    """last + (first - last) (1 + cos(pi k / steps)) / 2 at step k = 0, 1, ..., steps - 1.

    Args:
        first: the first step, a number or one per row.
        steps: the length of the run, a number or one per row.
        last: what the step tends to.

    Raises:
        ValueError: if a step size is negative or not finite.

    >>> Cosine(1.0, 2).at(torch.tensor([0, 1]), torch.tensor([0, 0]))
    tensor([1.0000, 0.5000], dtype=torch.float64)
    """

    first: float | Tensor
    steps: int | Tensor
    last: float | Tensor = 0.0

    def __post_init__(self) -> None:
        check_tau(self.first)
        check_tau(self.last)

    def at(self, clock: Tensor, row: Tensor) -> Tensor:
        first, last = by_row(self.first, row), by_row(self.last, row)
        steps = by_row(self.steps, row)
        return last + (first - last) * half_wave(clock.minimum(steps), steps)


def half_wave(clock: Tensor, steps: Tensor) -> Tensor:
    """Half a cosine wave, (1 + cos(pi clock / steps)) / 2: from 1 at clock 0 to 0 at ``steps``."""
    return (1 + torch.cos(math.pi * clock / steps)) / 2


def step_size(tau: float | Tensor | StepSize) -> StepSize:
    """A number or ``[rows]`` tensor as a constant step size; a step size as it is."""
    return tau if isinstance(tau, StepSize) else Constant(tau)


def by_row(value: float | Tensor, row: Tensor) -> Tensor:
    """Return ``value`` (a number, or one per row) for the rows ``row``, float64."""
    if isinstance(value, Tensor) and value.ndim:
        return value.to(device=row.device, dtype=torch.float64)[row]
    return torch.full(row.shape, float(value), dtype=torch.float64, device=row.device)


def check_tau(tau: float | Tensor) -> None:
    """Raise ValueError unless every step size is finite and not negative."""
    values = torch.as_tensor(tau)
    if not bool((values >= 0).all() & values.isfinite().all()):
        raise ValueError(f"Step sizes must be finite and not negative, got tau={tau!r}.")
