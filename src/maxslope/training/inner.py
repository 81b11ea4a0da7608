"""The flow inside: a few steps up the loss, more where they pay."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from maxslope._rows import inner
from maxslope._status import Status
from maxslope.attacks.starts import Start, Uniform
from maxslope.energies import Energy, Evaluation
from maxslope.loop import Driver, Rows, Stop, march
from maxslope.schemes import Scheme, StepSize
from maxslope.sets import Set


@dataclass(frozen=True)
class Inner:
    """How much the inner flow spends on a sample, and when it has had enough.

    Step k of a sample has length first * eps * scale * (1 + cos(pi k / steps)) / 2. The scale is 1, or with ``adapt``
    starts at 1, halves after a step that gained less than a quarter of what its linearization promised, grows by half
    after one that gained more than three quarters, and is remembered with the sample. A row stops where the linear gap
    max { <grad l, z - x> : z allowed } is at most ``tolerance``: to first order no allowed point costs it more.

    Args:
        steps: most gradients a sample; 1 is single-step training.
        first: the first step in units of eps.
        tolerance: the linear gap, in units of the loss, at which a row stops; 0 stops none.
        ceiling: the loss above which a row stops: it is lost already, and going further only makes it harder
            (arXiv:2002.11242).
        adapt: whether step lengths follow the ratio of gain to promise.
        start: of samples that are not remembered; uniform in the budget.
        warm: whether samples are remembered; then the next flow starts where the last one ended.

    Raises:
        ValueError: if ``steps`` is less than 1, ``first`` is not positive or ``tolerance`` is negative.

    >>> Inner(steps=1, first=1.25).steps
    1
    """

    steps: int = 2
    first: float = 1.0
    tolerance: float = 0.0
    ceiling: float = torch.inf
    adapt: bool = False
    start: Start = field(default_factory=Uniform)
    warm: bool = True

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.first > 0 or not self.tolerance >= 0:
            raise ValueError(
                f"An inner flow needs steps >= 1, first > 0 and tolerance >= 0, got steps={self.steps}, "
                f"first={self.first}, tolerance={self.tolerance}; for training without an adversary use eps 0."
            )


class Ascent(Driver, StepSize):
    """Takes every row of a batch from its start to its own end; all rows at once, so that a step is one model call.

    Attributes:
        points: where the rows ended, in the domain, once :meth:`go` has returned.
        scale: what their step lengths ``reach`` are multiplied by then, ``[rows]`` float64.
        spent: gradients of each row, ``[rows]`` int64; as many forward as backward passes.
    """

    def __init__(self, energy: Energy, domain: Set, start: Tensor, reach: Tensor, scale: Tensor, inner: Inner) -> None:
        self.energy, self.domain, self.rules = energy, domain, inner
        self.reach, self.scale = reach.double() * inner.first, scale.double()
        self.lengths = self.reach * self.scale
        self.points = start
        self.spent = torch.zeros(start.shape[0], dtype=torch.int64, device=start.device)
        self.waiting = True
        self.clock = -1  # steps before the present one, the same for all rows: they entered together
        self.before: tuple[Tensor, Tensor, Evaluation] | None = None

    def go(self, scheme: Callable[[StepSize], Scheme]) -> Self:
        """Take all rows to their ends."""
        march(self, scheme(self), stop=Stop(), room=self.points.shape[0])
        return self

    def admit(self, room: int) -> tuple[Tensor, Tensor] | None:
        if not self.waiting:
            return None
        self.waiting = False
        return torch.arange(room, device=self.points.device), self.points

    def problem(self, job: Tensor) -> tuple[Energy, Set]:
        whole = job.numel() == self.points.shape[0]
        return (self.energy, self.domain) if whole else (self.energy.take(job), self.domain.take(job))

    def limit(self, job: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full_like(job, self.rules.steps), torch.full_like(job, torch.inf, dtype=torch.float64)

    def at(self, clock: Tensor, row: Tensor) -> Tensor:
        wave = (1 + math.cos(math.pi * self.clock / self.rules.steps)) / 2
        return (self.lengths if row.numel() == self.lengths.numel() else self.lengths[row]) * wave

    def observe(self, rows: Rows, evaluation: Evaluation, domain: Set) -> Tensor | None:
        self.clock += 1
        if self.rules.adapt and self.rules.steps > 1:
            self._rescale(rows, evaluation)
        enough: Tensor | None = None
        if self.rules.ceiling < torch.inf:
            enough = -evaluation.value > self.rules.ceiling
        if self.rules.tolerance > 0:
            closed = domain.gap(evaluation.gradient, rows.x) <= self.rules.tolerance
            enough = closed if enough is None else enough | closed
        return enough

    def report(self, ended: Rows, status: Tensor) -> None:
        """See :class:`Driver`. A row that ended early was evaluated once more than it moved."""
        spent = ended.clock + (status != Status.FINISHED)
        if ended.job.numel() == self.points.shape[0]:
            self.spent, self.points = spent, ended.x
        else:
            self.spent = self.spent.index_copy(0, ended.job, spent)
            self.points = self.points.index_copy(0, ended.job, ended.x)

    def _rescale(self, rows: Rows, evaluation: Evaluation) -> None:
        """Compare what the last step gained with what its linearization promised."""
        if self.before is not None:
            job, x, last = self.before
            if job.numel() != rows.job.numel():
                at = torch.searchsorted(job, rows.job)
                x, last = x[at], last.take(at)
            promised = inner(last.gradient, rows.x - x)
            gained = evaluation.value - last.value
            scale = self.scale[rows.job]
            scale = torch.where(gained > 0.25 * promised, scale / 2, scale)  # both are negative when all is well
            scale = torch.where((gained < 0.75 * promised) & (promised < 0), scale * 1.5, scale)
            self.scale[rows.job] = scale.clamp(0.125, 2.0)
            self.lengths = self.reach * self.scale
        self.before = (rows.job, rows.x, evaluation)
