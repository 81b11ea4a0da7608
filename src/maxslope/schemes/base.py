"""How one step of size tau is made."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from maxslope.energies import Energy, Evaluation
from maxslope.schemes.steps import StepSize, step_size
from maxslope.sets import Set
from maxslope.spaces import Lp, Space

Memory = tuple[Tensor, ...]


class Here(NamedTuple):
    """All a scheme may know at a step.

    Attributes:
        x: the points, ``[rows, *shape]``, in the domain.
        evaluation: the energy there, with its gradient.
        tau: step sizes, ``[rows]``, in the dtype of ``x``.
        energy: for schemes that evaluate it again, row for row with ``x``.
        domain: the constraint, row for row with ``x``.
    """

    x: Tensor
    evaluation: Evaluation
    tau: Tensor
    energy: Energy
    domain: Set


class Scheme(ABC):
    """One step of a p-curve of maximal slope: geometry by ``space``, rate p by ``rate``, length by ``tau``.

    With q = p / (p - 1) a curve has speed |u'| = |dE|^(q - 1), which is 1 for p = inf. A scheme treats rows
    separately. What it carries from step to step is a tuple of tensors with a row axis. The loop evaluates where rows
    are: a gradient at another place is had by putting the row there, or by an :class:`Accounting` scheme.

    Attributes:
        space: the norm of the motion.
        rate: p in (1, inf].
        tau: the step size in time.

    Source: arXiv:2406.05376.
    """

    space: Space
    rate: float
    tau: StepSize

    @abstractmethod
    def start(self, x: Tensor) -> Memory:
        """Return what the scheme carries at the start of rows at ``x``."""

    @abstractmethod
    def step(self, here: Here, memory: Memory) -> tuple[Tensor, Memory]:
        """Return the next points, in the domain, and what is carried on."""


@dataclass(frozen=True, eq=False)
class _Settled(Scheme):
    """What a :class:`Memoryless` holds, in the form in which it is used."""

    tau: StepSize
    space: Space
    rate: float


class Memoryless(_Settled):
    """A scheme of a step size, a norm and a rate that carries nothing."""

    def __init__(self, tau: float | Tensor | StepSize, space: Space | None = None, rate: float = math.inf) -> None:
        check_rate(rate)
        _Settled.__init__(self, step_size(tau), Lp(math.inf) if space is None else space, rate)

    def start(self, x: Tensor) -> Memory:
        """See :class:`Scheme`; nothing is carried."""
        return ()


class Account(NamedTuple):
    """What a scheme spent and found besides the points; every tensor is ``[rows]``.

    Attributes:
        forward: evaluations of the energy besides the loop's own, since the start, int64; the loop counts the passes.
        backward: likewise, those with a gradient.
        failed: steps since the start whose inner problem was not solved, int64; 0 of schemes without one.
        excess: float64, E(x+) + (what the De Giorgi interpolation dissipates) - E(x) of the last step, at most 0 but
            for quadrature; NaN where it was not checked, and of schemes without an inner problem.
    """

    forward: Tensor
    backward: Tensor
    failed: Tensor
    excess: Tensor


class Accounting(Scheme):
    """A scheme that evaluates the energy itself, and says what it spent; ``MinimizingMovement`` is one.

    Where an evaluation of its own is not finite, it returns a point that is not, or where that was seen: the loop ends
    the row there.
    """

    @abstractmethod
    def account(self, memory: Memory) -> Account:
        """Read the account from what is carried."""


class Adaptive(Accounting):
    """A scheme that chooses the length of its steps: ``tau`` is the longest it may take, ``passed`` what it took."""

    @abstractmethod
    def passed(self, memory: Memory) -> Tensor:
        """Return the time that the last step took, ``[rows]`` float64, read from what is carried."""


def length(here: Here, space: Space, rate: float) -> Tensor:
    """Return how far an unconstrained step goes, tau |xi|_*^(q - 1), ``[rows]``; tau itself for rate inf."""
    if rate == torch.inf:
        return here.tau
    return here.tau * space.dual_norm(here.evaluation.gradient) ** (1 / (rate - 1))


def check_rate(rate: float) -> None:
    """Raise ValueError unless the rate is in (1, inf]."""
    if not rate > 1:
        raise ValueError(f"The rate p of a p-curve of maximal slope is in (1, inf], got rate={rate!r}.")
