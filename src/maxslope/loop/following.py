"""Follow curves of maximal slope through the loop, and keep what a :class:`Curve` reports."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope._status import Status
from maxslope.curve import Curve
from maxslope.energies import Constrained, Energy, Evaluation
from maxslope.loop.marching import Feed, Rows, Stop, ended, march
from maxslope.schemes import Accounting, Scheme
from maxslope.schemes.steps import by_row
from maxslope.sets import Everything, Set


@dataclass(frozen=True, eq=False)
class Steps:
    """Ends a row after a number of steps (a float for ``until`` ends it at a time).

    Args:
        count: steps, a number or one per row, ``[rows]``.

    Raises:
        ValueError: if a count is negative.

    >>> Steps(40).count
    40
    """

    count: int | Tensor

    def __post_init__(self) -> None:
        if not bool((torch.as_tensor(self.count) >= 0).all()):
            raise ValueError(f"A number of steps must not be negative, got {self.count!r}.")


@dataclass(frozen=True)
class Record:
    """Which instants a :class:`Curve` keeps besides the last: every ``every``-th step; 0 keeps the first only.

    Args:
        every: at least 0.

    Raises:
        ValueError: if it is negative.
    """

    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 0:
            raise ValueError(f"A record keeps every k-th step, or the first alone for 0, got every={self.every!r}.")


class _Curves(Feed):
    """All rows at once, none after; keeps what the curve reports."""

    def __init__(self, energy: Energy, domain: Set, x: Tensor, scheme: Scheme, until: float | Steps, record: Record):
        self.energy, self.domain, self.x, self.scheme, self.record = energy, domain, x, scheme, record
        rows = torch.arange(x.shape[0], device=x.device)
        self.waiting: Tensor | None = rows
        count, end = (until.count, torch.inf) if isinstance(until, Steps) else (2**62, float(until))
        self.most = by_row(count, rows).long()
        self.end = by_row(end, rows)
        self.final = x.clone()
        self.time = torch.zeros_like(self.end)
        self.status = torch.full_like(rows, int(Status.FINISHED))
        self.evaluations = torch.zeros_like(rows)
        self.instants: list[tuple[Tensor, ...]] = []
        self.account = scheme.account(scheme.start(x)) if isinstance(scheme, Accounting) else None

    def admit(self, room: int) -> tuple[Tensor, Tensor] | None:
        waiting, self.waiting = self.waiting, None
        if waiting is None:
            return None
        job = waiting[(self.most > 0) & (self.end > 0)]
        return (job, self.x[job]) if job.numel() else None

    def problem(self, job: Tensor) -> tuple[Energy, Set]:
        whole = job.numel() == self.x.shape[0]
        return (self.energy, self.domain) if whole else (self.energy.take(job), self.domain.take(job))

    def limit(self, job: Tensor) -> tuple[Tensor, Tensor]:
        return self.most[job], self.end[job]

    def observe(self, rows: Rows, evaluation: Evaluation, domain: Set) -> None:
        self.evaluations[rows.job] += 1
        step = int(rows.clock[0])
        if step == 0 or (self.record.every and step % self.record.every == 0):
            slope = self._slope(domain, evaluation, rows.x)
            extra = self.scheme.account(rows.memory)[2:] if isinstance(self.scheme, Accounting) else ()
            self.instants.append((rows.job, rows.time, rows.x, evaluation.value, slope, evaluation.margin, *extra))

    def _slope(self, domain: Set, evaluation: Evaluation, x: Tensor) -> Tensor:
        """The constrained slope; NaN where only values are known."""
        if evaluation.gradient.shape != x.shape:
            return torch.full_like(evaluation.value, torch.nan)
        return domain.slope(evaluation.gradient, x, self.scheme.space)

    def report(self, ended: Rows, status: Tensor) -> None:
        self.final[ended.job], self.time[ended.job], self.status[ended.job] = ended.x, ended.time, status
        if self.account is not None and isinstance(self.scheme, Accounting):
            for whole, part in zip(self.account, self.scheme.account(ended.memory), strict=True):
                whole[ended.job] = part

    def curve(self) -> Curve:
        """Close with one evaluation at the last points, and lay the instants out with ended rows held fast."""
        e = self.energy.evaluate(self.final)
        slope = self._slope(self.domain, e, self.final)
        last = (self.time, self.final, e.value, slope, e.margin, *(self.account[2:] if self.account else ()))
        columns: list[Tensor] = []
        for k, closing in enumerate(last):
            column = []
            for job, *values in self.instants:
                full = closing.clone()
                full[job] = values[k].to(full)
                column.append(full)
            columns.append(torch.stack([*column, closing]))
        forward = self.evaluations + 1
        backward = forward if e.gradient.shape == self.final.shape else torch.zeros_like(forward)
        status = self.status
        if self.account is not None:
            forward, backward = forward + self.account.forward, backward + self.account.backward
            unsolved = (status == Status.FINISHED) & (self.account.failed > 0)
            status = torch.where(unsolved, int(Status.UNSOLVED), status)
        status = torch.where(ended(e, Stop()) == Status.NON_FINITE, int(Status.NON_FINITE), status)
        counts = (forward * self.energy.passes, backward * self.energy.passes)
        time, points, value, slope, margin, *extra = columns
        return Curve(time, points, value, slope, margin, status, *counts, self.scheme.space, self.scheme.rate, *extra)


@torch.inference_mode(False)
def flow(
    energy: Energy,
    x: Tensor,
    *,
    scheme: Scheme,
    until: float | Steps,
    stop: Stop | None = None,
    record: Record | None = None,
) -> Curve:
    """Follow the p-curve of maximal slope of ``energy`` from each row of ``x``.

    u' in d|.|_*(-xi) with xi the element of least dual norm of dE(u), at speed |dE|^(q-1) (1 for p = inf), discretized
    by ``scheme``.

    Args:
        energy: what goes down; ``energy.within(K)`` constrains the curve to K.
        x: the starting points, ``[rows, *shape]``; projected onto the domain first.
        scheme: how a step is made; it names the norm, the rate and the step size.
        until: a time, or :class:`Steps`.
        stop: what ends a row early; by default only a non-finite energy.
        record: which instants to keep; by default all.

    Returns:
        A :class:`Curve` with one column per row.

    Raises:
        ValueError: if ``x`` has no rows or is not floating point, ``until`` is not a finite time >= 0, or step sizes
            that end at 0 might never reach it.

    Source: arXiv:2406.05376, sections 2 and 4; convergence of the schemes as tau -> 0 is proved there.

    >>> from maxslope.energies import Quadratic
    >>> from maxslope.schemes import Explicit
    >>> curve = flow(Quadratic(torch.eye(2)), torch.tensor([[1.0, 0.5]]), scheme=Explicit(tau=0.125), until=0.25)
    >>> curve.end
    tensor([[0.7500, 0.2500]])
    """
    if x.ndim < 2 or x.shape[0] == 0 or not x.is_floating_point():
        raise ValueError(
            f"flow needs floating-point points [rows, *shape] with at least one row, got {x.dtype} {tuple(x.shape)}."
        )
    if not isinstance(until, Steps) and not 0 <= until < float("inf"):
        raise ValueError(f"until is a finite time >= 0 or Steps(n), got {until!r}.")
    if not isinstance(until, Steps) and until > 0:
        _check_arrival(scheme, x, until)
    smooth, domain = (energy.smooth, energy.domain) if isinstance(energy, Constrained) else (energy, Everything())
    curves = _Curves(smooth, domain, domain.project(x.detach()), scheme, until, record or Record())
    march(curves, scheme, stop=stop or Stop(), room=x.shape[0])
    return curves.curve()


def _check_arrival(scheme: Scheme, x: Tensor, until: float) -> None:
    """Raise where steps that die out would never reach the end."""
    rows = torch.arange(x.shape[0], device=x.device)
    late = scheme.tau.at(torch.full_like(rows, 2**40), rows)
    if not bool((late > 0).all()):
        raise ValueError(
            f"A flow until a time needs step sizes that stay above 0, got {int((late <= 0).sum())} rows whose steps "
            f"end at 0 before the time {until!r} may be reached; use until=Steps(n)."
        )
