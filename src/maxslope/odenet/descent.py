"""Follow a flow to its end and keep the numbers, not the points."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from maxslope._status import Status
from maxslope.energies import Energy, Evaluation
from maxslope.loop import Driver, Rows, Stop, march
from maxslope.odenet.control import Controlled, Notes, Uniform, notes
from maxslope.odenet.metric import Hilbert, layered
from maxslope.odenet.movers import Stabilized
from maxslope.odenet.probe import Probe, Remembering
from maxslope.odenet.settings import whole
from maxslope.sets import Everything, Set
from maxslope.spaces import Lp

_MOST = 2**62


@dataclass(frozen=True)
class Until:
    """What ends a flow, whichever comes first.

    Args:
        slope: the slope |dJ| falls to this.
        time: of the flow.
        steps: taken.
        gradients: computed, checked between steps.

    Raises:
        ValueError: if a bound is negative, or none is given.

    >>> Until(slope=1e-5).steps
    1000000
    """

    slope: float = 0.0
    time: float = math.inf
    steps: int = 1_000_000
    gradients: int = _MOST

    def __post_init__(self) -> None:
        if not (whole(self.steps) and whole(self.gradients)):
            raise ValueError(f"Steps and gradients are whole numbers, got {self!r}.")
        if not (self.slope >= 0 and self.time >= 0 and self.steps >= 0 and self.gradients >= 0):
            raise ValueError(f"Bounds of a flow must not be negative, got {self!r}.")


@dataclass(frozen=True, eq=False)
class DescentResult:
    """What a flow did, at its instants 0..K; every tensor is float64.

    Attributes:
        time: ``[K+1]``.
        energy: J, ``[K+1]``.
        slope: |dJ|, ``[K+1]``.
        rate: -d log |dJ| / dt = <G, Hess J G> / |G|^2, ``[K+1]``; NaN where it was not computed.
        defect: estimated int |y' + G(y)|^2 / 2 dt of each step, ``[K]``.
        drop: of the energy in each step, without cancellation, ``[K]``.
        way: the length of each step, ``[K]``.
        start: the first point, ``[*shape]``.
        end: the last point, ``[*shape]``.
        status: a :class:`maxslope.Status`: REACHED where the slope fell to its bound, FINISHED where steps, time or
            gradients were spent, STOPPED by ``watch``, STATIONARY at a zero gradient, UNSOLVED where no step
            dissipates as it should.
        gradients: computed in all.
        rejected: attempts at steps.
        safety: what the defects are multiplied by to bound the true ones.
    """

    time: Tensor
    energy: Tensor
    slope: Tensor
    rate: Tensor
    defect: Tensor
    drop: Tensor
    way: Tensor
    start: Tensor
    end: Tensor
    status: Status
    gradients: int
    rejected: int
    safety: float

    @property
    def length(self) -> Tensor:
        """The length of the curve so far, ``[K+1]``."""
        return torch.cat([self.way.new_zeros(1), self.way.cumsum(0)])

    @property
    def monotone(self) -> bool:
        """Whether the energy never rose by more than rounding, 1e-13 (1 + |J|)."""
        return bool((self.energy.diff() <= 1e-13 * (1 + self.energy[:-1].abs())).all())

    @property
    def relative_defect(self) -> float:
        """Safety times the sum of the defects over J(0) - J(T): what the tolerance bounds."""
        total = float(self.drop.sum())
        return self.safety * float(self.defect.sum()) / total if total > 0 else 0.0


def descend(
    energy: Energy,
    start: Tensor,
    *,
    until: Until,
    scheme: Controlled | Uniform | None = None,
    rates: bool = True,
    watch: Callable[[Tensor], bool] | None = None,
) -> list[DescentResult]:
    """Follow the gradient flow of ``energy`` from every row of ``start``, one row after the other.

    x' = -G(x) with G the gradient in the metric of the scheme. By default the stabilized scheme with tolerance 1e-3
    on the dissipation defect runs, in the metric d for particles ``[rows, L, m, p]`` and in l_2 for other shapes.

    Args:
        energy: such as :class:`maxslope.odenet.Risk`.
        start: ``[rows, *shape]``, floating point; float64 unless only a rough picture is wanted.
        until: what ends the flow.
        scheme: :class:`Controlled` or :class:`Uniform`.
        rates: compute the rate -d log |dJ| / dt at every instant (two gradients unless the scheme gives it), which
            exponents need.
        watch: told every point, ``[*shape]``, after its numbers are written down; it ends the flow by returning True.

    Returns:
        A :class:`DescentResult` per row.

    Raises:
        ValueError: if ``start`` is not floating point ``[rows, *shape]``.

    Source: arXiv:2311.15365 (curve of maximal slope of the risk, its convergence).

    >>> from maxslope.energies import Quadratic
    >>> (run,) = descend(Quadratic(torch.eye(2).double()), torch.ones(1, 2).double(), until=Until(slope=1e-6))
    >>> run.monotone, run.relative_defect < 1e-3
    (True, True)
    """
    if start.ndim < 2 or start.shape[0] == 0 or not start.is_floating_point():
        raise ValueError(f"descend needs floating-point points [rows, *shape], got {start.dtype} {tuple(start.shape)}.")
    if scheme is None:
        scheme = Controlled(Stabilized(), 1e-3, layered(*start.shape[1:3]) if start.ndim == 4 else Lp(2))
    log = _Log(energy, start.detach(), scheme, until, rates, watch)
    march(log, scheme, stop=Stop(stationary=True), room=1)
    return log.found


class _Knot(NamedTuple):
    """What is written down at an instant."""

    time: float
    energy: float
    slope: float
    rate: float


class _Log(Driver):
    """One row at a time; writes down numbers, keeps no points."""

    def __init__(
        self,
        energy: Energy,
        x: Tensor,
        scheme: Controlled | Uniform,
        until: Until,
        rates: bool,
        watch: Callable[[Tensor], bool] | None,
    ) -> None:
        self.energy, self.x, self.scheme, self.until, self.watch = energy, x, scheme, until, watch
        self.asks = rates and not scheme.mover.rates
        self.hilbert = Hilbert(scheme.space)
        self.found: list[DescentResult] = []

    def admit(self, room: int) -> tuple[Tensor, Tensor] | None:
        row = len(self.found)
        if not room or row == len(self.x):
            return None
        job = torch.tensor([row], device=self.x.device)
        self.seen = Remembering(self.energy.take(job) if len(self.x) > 1 else self.energy)
        self.knots: list[_Knot] = []
        self.steps: list[Notes] = []
        return job, self.x[job]

    def problem(self, job: Tensor) -> tuple[Energy, Set]:
        return self.seen, Everything()

    def limit(self, job: Tensor) -> tuple[Tensor, Tensor]:
        most = torch.tensor([max(self.until.steps, 1)], device=job.device)
        return most, torch.tensor([self.until.time], dtype=torch.float64, device=job.device)

    def observe(self, rows: Rows, evaluation: Evaluation, domain: Set) -> Tensor | None:
        self.last = notes(rows.memory)
        self.why = Status.UNSOLVED if self._rests() else self._write(rows, evaluation)
        return None if self.why == Status.RUNNING else torch.ones(1, dtype=torch.bool, device=rows.x.device)

    def _rests(self) -> bool:
        """Whether the control found no step; then the point is the one written down last."""
        return isinstance(self.scheme, Controlled) and self.last.failed > 0

    def _write(self, rows: Rows, evaluation: Evaluation) -> Status:
        """Write an instant down, and return why the flow ends there, or RUNNING."""
        probe = Probe(self.seen, self.hilbert)
        spot = probe.spot(rows.x, evaluation)
        if self.knots:
            self.steps.append(self.last)
            if self.scheme.mover.rates:
                self.knots[-1] = self.knots[-1]._replace(rate=self.last.rate)
        rate = probe.rate(spot) if self.asks else math.nan
        self.knots.append(_Knot(float(rows.time), spot.value, spot.slope, rate))
        self.spent = self.seen.count
        told = self.watch is not None and self.watch(rows.x[0])
        if spot.slope <= self.until.slope:
            return Status.REACHED
        if self.spent >= self.until.gradients or self.until.steps == 0 or self.until.time == 0:
            return Status.FINISHED
        return Status.STOPPED if told else Status.RUNNING

    def report(self, ended: Rows, status: Tensor) -> None:
        why = Status(int(status))
        if why == Status.FINISHED:  # the last step was not observed
            self.last, self.watch = notes(ended.memory), None
            if not self._rests():
                self._write(ended, self.seen.evaluate(ended.x))
        if why == Status.STOPPED:
            why = self.why
        if self.last.failed > 0 and why in (Status.FINISHED, Status.STOPPED):
            why = Status.UNSOLVED
        time, energy, slope, rate = torch.tensor(self.knots, dtype=torch.float64).T.contiguous()
        steps = torch.tensor([(n.defect, n.drop, n.way) for n in self.steps], dtype=torch.float64)
        defect, drop, way = steps.reshape(-1, 3).T.contiguous()
        self.found.append(
            DescentResult(
                time=time, energy=energy, slope=slope, rate=rate, defect=defect, drop=drop, way=way,
                start=self.x[len(self.found)], end=ended.x[0], status=why, gradients=self.spent,
                rejected=int(self.last.rejected), safety=self.scheme.mover.safety,
            )
        )  # fmt: skip
