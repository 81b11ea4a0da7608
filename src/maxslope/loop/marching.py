"""THE loop: many rows, each with its own clock and its own end, whose places are filled again."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from maxslope._memory import keep_freed_memory
from maxslope._rows import choose, flat, select
from maxslope._status import Status
from maxslope.energies import Energy, Evaluation
from maxslope.schemes import Adaptive, Here, Memory, Scheme
from maxslope.sets import Set


@dataclass(frozen=True)
class Stop:
    """What ends a row early, besides a non-finite energy, which always does.

    Args:
        reached: stop where the goal of the energy is reached.
        stationary: stop where the gradient is zero in every coordinate.
    """

    reached: bool = False
    stationary: bool = False


class Rows(NamedTuple):
    """The rows under way; each has its own clock and its own job number.

    Attributes:
        job: ``[rows]`` int64, which job of the driver a row serves.
        x: ``[rows, *shape]``.
        clock: ``[rows]`` int64, steps made.
        time: ``[rows]`` float64.
        memory: what the scheme carries.
    """

    job: Tensor
    x: Tensor
    clock: Tensor
    time: Tensor
    memory: Memory

    def take(self, index: Tensor) -> Rows:
        """Return the rows ``index`` (a mask or integers)."""
        return self._each(lambda own: select(own, index))

    def put(self, at: Tensor, other: Rows) -> Rows:
        """Return these rows with those ``at`` replaced by ``other``."""
        return self._each(lambda own, new: own.index_copy(0, at, new), other)

    def join(self, other: Rows) -> Rows:
        """Return these rows followed by ``other``."""
        return self._each(lambda *both: torch.cat(both), other)

    def _each(self, change: Callable[..., Tensor], *others: Rows) -> Rows:
        columns = ((rows.job, rows.x, rows.clock, rows.time, *rows.memory) for rows in (self, *others))
        job, x, clock, time, *memory = (change(*column) for column in zip(*columns, strict=True))
        return Rows(job, x, clock, time, tuple(memory))


class Driver(ABC):
    """Where the loop gets its rows, their problems and their limits from, and where it hands them back.

    Attributes:
        patience: steps after which the loop asks the device which rows ended, at most. 1 asks after every step, which
            makes a GPU wait for its processor; where it is more, rows that ended stand still until then, and
            ``observe`` sees them again where they are.
    """

    patience: int = 1

    @abstractmethod
    def admit(self, room: int) -> tuple[Tensor, Tensor] | None:
        """Return at most ``room`` new rows as (jobs ``[k]``, points ``[k, *shape]``), or None where none waits.

        Called before every step with the room that rows which ended left; what is admitted starts with clock 0.
        """

    @abstractmethod
    def problem(self, job: Tensor) -> tuple[Energy, Set]:
        """Return the smooth energy and the domain of the rows that serve ``job``; asked whenever other rows are."""

    @abstractmethod
    def limit(self, job: Tensor) -> tuple[Tensor, Tensor]:
        """Return the number of steps (int64) and the time (float64) at which each row ends."""

    @abstractmethod
    def observe(self, rows: Rows, evaluation: Evaluation, domain: Set) -> Tensor | None:
        """See the rows and their energy before each step; a mask ``[rows]`` ends rows here, None ends none."""

    @abstractmethod
    def report(self, ended: Rows, status: Tensor) -> None:
        """Take back rows that ended: ``ended.x`` is where, ``status`` is why."""


def march(driver: Driver, scheme: Scheme, *, stop: Stop, room: int) -> None:
    """Run the loop until the driver has no more rows: at most ``room`` rows at a time, refilled before every step.

    One step of every row: evaluate, observe, step; rows that ended leave. Each step costs one forward and one
    backward pass of the energy per row, and there is no other loop over steps in the project.
    """
    keep_freed_memory()
    rows: Rows | None = None
    gaps: Tensor | None = None  # rows that ended
    known: _Known | None = None
    while True:
        live = 0 if rows is None else len(rows.job) - (0 if gaps is None else len(gaps))
        arrived = driver.admit(room - live)
        if arrived is not None or gaps is not None:
            unseen = known if gaps is None else None
            rows, gaps, known = _refill(rows, gaps, arrived, scheme), None, None
            if rows is not None:
                known = _Known(driver, rows, unseen)
        if rows is None or known is None:
            return
        energy = known.energy.after(rows.clock)
        evaluation = energy.evaluate(rows.x)
        enough = driver.observe(rows, evaluation, known.domain)
        calm = enough is None and driver.patience == 1 and _nothing_happened(evaluation, stop)
        sound = calm or driver.patience > 1
        seen = (rows.x, evaluation) if sound else without_nan(rows.x, evaluation, known.domain)
        moved = _step(rows, *seen, scheme, energy, known)
        known.left -= 1
        if calm and known.left > 0:
            rows = moved
            continue
        if calm and known.together:  # all have made their last step
            driver.report(moved, torch.full_like(rows.job, int(Status.FINISHED)))
            rows, gaps, known = None, None, None
            continue
        rows = known.settle(rows, moved, None if calm else ended(evaluation, stop), enough)
        if known.unseen < driver.patience and known.left > 0:
            continue
        known.unseen, leave = 0, known.status != Status.RUNNING
        if bool(leave.any()):
            gaps = leave.nonzero().squeeze(1)
            driver.report(rows.take(gaps), known.status[gaps])


def _refill(
    rows: Rows | None, gaps: Tensor | None, arrived: tuple[Tensor, Tensor] | None, scheme: Scheme
) -> Rows | None:
    """New rows take the places of those that ended; places without a new row are closed up, further rows follow."""
    fresh: Rows | None = None
    if arrived is not None:
        job, x = arrived
        fresh = Rows(job, x, torch.zeros_like(job), torch.zeros_like(job, dtype=torch.float64), scheme.start(x))
    if rows is None:
        return fresh
    if gaps is not None:
        filled = min(gaps.shape[0], 0 if fresh is None else fresh.job.shape[0])
        if fresh is not None:
            rows = rows.put(gaps[:filled], fresh.take(torch.arange(filled, device=gaps.device)))
            rest = torch.arange(filled, fresh.job.shape[0], device=gaps.device)
            fresh = fresh.take(rest) if rest.numel() else None
        if filled < gaps.shape[0]:
            keep = torch.ones_like(rows.job, dtype=torch.bool)
            keep[gaps[filled:]] = False
            rows = rows.take(keep)
    if fresh is not None:
        rows = rows.join(fresh)
    return rows if rows.job.numel() else None


class _Known:
    """What stays the same from step to step as long as the same rows are under way.

    ``before`` is what was known of the first of them, if the device was not asked since.
    """

    def __init__(self, driver: Driver, rows: Rows, before: _Known | None = None) -> None:
        self.energy, self.domain = driver.problem(rows.job)
        self.most, self.end = driver.limit(rows.job)  # steps and times at which rows end
        self.endless = bool(self.end.isposinf().all())  # no row ends at a time
        # steps in which no row ends by its limit, 0 where that is not known beforehand; whether all end together then
        first, last = (self.most - rows.clock).aminmax() if self.endless else (0, 1)
        self.left, self.together = int(first), int(first) == int(last)
        self.status, self.unseen = torch.zeros_like(rows.job), 0  # and steps since the device was asked for it
        if before is not None and before.unseen:
            self.status[: before.status.shape[0]], self.unseen = before.status, before.unseen

    def settle(self, rows: Rows, moved: Rows, event: Tensor | None, enough: Tensor | None) -> Rows:
        """Note who ends with this step, and return where everyone is then.

        Rows that end early stay where they were before the step, those that are at their limit where they are after
        it, those that ended before where they ended. ``event`` is what :func:`ended` says of the evaluation before the
        step, None if no row ends so, and ``enough`` what the driver says.
        """
        running = self.status == Status.RUNNING
        status = self.status if event is None else torch.where(running, event, self.status)
        if enough is not None:
            status = torch.where(enough & (status == Status.RUNNING), int(Status.STOPPED), status)
        goes = status == Status.RUNNING
        late = (moved.clock >= self.most) | (moved.time >= self.end)
        self.status, self.unseen = torch.where(goes & late, int(Status.FINISHED), status), self.unseen + 1
        if event is None and enough is None and self.unseen == 1:
            return moved
        x, clock = choose(goes, moved.x, rows.x), torch.where(goes, moved.clock, rows.clock)
        time = torch.where(goes, moved.time, rows.time)
        memory = tuple(choose(running, b, a) for a, b in zip(rows.memory, moved.memory, strict=True))
        return Rows(rows.job, x, clock, time, memory)


def without_nan(x: Tensor, evaluation: Evaluation, domain: Set) -> tuple[Tensor, Evaluation]:
    """Let rows that are not finite make their last step, which nobody keeps, from a point of K and with no gradient.

    So a scheme never meets NaN, and one such row cannot end the others.
    """
    value, gradient = evaluation.value, evaluation.gradient
    if math.isfinite(float(value.sum() + gradient.sum() + x.sum())):  # a sum is finite only if its terms are
        return x, evaluation
    good = value.isfinite() & flat(gradient).isfinite().all(1) & flat(x).isfinite().all(1)
    value, margin = (torch.where(good, t, 0.0) for t in (value, evaluation.margin))
    gradient = choose(good, gradient, torch.zeros_like(gradient))
    return choose(good, x, domain.project(torch.zeros_like(x))), Evaluation(value, gradient, margin, evaluation.reached)


def _step(rows: Rows, x: Tensor, evaluation: Evaluation, scheme: Scheme, energy: Energy, known: _Known) -> Rows:
    tau = scheme.tau.at(rows.clock, rows.job)
    if not known.endless:
        # The last step is shortened to end on time, and stretched over a remainder that is only rounding.
        left = known.end - rows.time
        tau = torch.where(tau * (1 + 1e-9) >= left, left, tau)
    here = Here(x, evaluation, tau.to(rows.x.dtype), energy, known.domain)
    x, memory = scheme.step(here, rows.memory)
    if isinstance(scheme, Adaptive):
        tau = scheme.passed(memory)
    return Rows(rows.job, x, rows.clock + 1, rows.time + tau, memory)


def _nothing_happened(evaluation: Evaluation, stop: Stop) -> bool:
    """Whether no row ends at this evaluation, in the fewest operations; False where only :func:`ended` can tell."""
    if not (stop.reached or stop.stationary):  # a sum is finite only if its terms are
        return math.isfinite(float(evaluation.value.sum() + evaluation.gradient.sum()))
    calm = evaluation.value
    if not evaluation.blind:
        size = torch.linalg.vector_norm(flat(evaluation.gradient), dim=1)
        calm = calm + (size.log() if stop.stationary else size)  # not finite where either is not, or the size is 0
    if stop.reached:
        calm = calm.masked_fill(evaluation.reached, torch.inf)
    return math.isfinite(float(calm.sum()))  # a sum is finite only if its terms are


def ended(evaluation: Evaluation, stop: Stop) -> Tensor:
    """The status of each row after an evaluation; the size of the gradient tells both NaN and zero in one pass.

    Where no gradient was asked for nothing is stationary.
    """
    size = torch.ones_like(evaluation.value) if evaluation.blind else flat(evaluation.gradient).abs().sum(1)
    status = torch.zeros_like(size, dtype=torch.int64)
    if stop.stationary:
        status = torch.where(size == 0, int(Status.STATIONARY), status)
    if stop.reached:
        status = torch.where(evaluation.reached, int(Status.REACHED), status)
    return torch.where(evaluation.value.isfinite() & size.isfinite(), status, int(Status.NON_FINITE))
