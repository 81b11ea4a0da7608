"""Follow curves of maximal slope through the loop, and keep what a :class:`Curve` reports."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope._rows import flat
from maxslope._status import Status
from maxslope.curve import Curve
from maxslope.energies import Energy, Evaluation
from maxslope.energies.base import parts
from maxslope.energies.convex import with_convex
from maxslope.loop.marching import Driver, Rows, Stop, ended, march
from maxslope.schemes import Accounting, Here, Memory, MinimizingMovement, Scheme
from maxslope.schemes.base import length
from maxslope.schemes.kinks import WIDTH, metric_slope
from maxslope.schemes.steps import by_row
from maxslope.sets import Set


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
        kinks: the slope is the least over gradients within ``kinks`` times the length of a step, at every instant, for
            2 d more evaluations in d <= 16 coordinates, and up to 32 in more (NaN where they do not settle it). 0 takes
            the gradient at the point for its word. By default minimizing movements look, a twentieth of a step to every
            side, where that gradient denies that a step ended at a minimizer, and no other scheme does.

    Raises:
        ValueError: if one of them is negative.
    """

    every: int = 1
    kinks: float | None = None

    def __post_init__(self) -> None:
        if self.kinks is not None and not self.kinks >= 0:
            raise ValueError(f"Gradients are gathered within kinks >= 0 steps of a point, got kinks={self.kinks!r}.")
        if self.every < 0:
            raise ValueError(f"A record keeps every k-th step, or the first alone for 0, got every={self.every!r}.")


class _Curves(Driver):
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
        self.evaluations, self.clock = torch.zeros_like(rows), torch.zeros_like(rows)
        self.instants: list[tuple[Tensor, dict[str, Tensor]]] = []
        self.memory: Memory = ()  # of each row when it ended, where the scheme keeps accounts
        if isinstance(scheme, Accounting):
            self.memory = tuple(part.clone() for part in scheme.start(x))

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
            self.instants.append((rows.job, self._seen(rows, evaluation, domain)))

    def _seen(self, rows: Rows, e: Evaluation, domain: Set) -> dict[str, Tensor]:
        """What is recorded of rows at one instant, by the names of the curve."""
        slope, kinked = self._slope(rows, e, domain)
        energy = with_convex(e.value, domain, rows.x)
        margin = energy if e.margin is e.value else e.margin
        seen = {"time": rows.time, "points": rows.x, "energy": energy, "slope": slope, "margin": margin}
        if isinstance(self.scheme, Accounting):
            account = self.scheme.account(rows.memory)
            seen |= {"failed": account.failed, "excess": account.excess}
        return seen if kinked is None else seen | {"kinked": kinked}

    def _slope(self, rows: Rows, e: Evaluation, domain: Set) -> tuple[Tensor, Tensor | None]:
        """The constrained metric slope (NaN where only values are known), and where it is not the gradient's own."""
        if e.blind:
            return torch.full_like(e.value, torch.nan), None
        scheme, kinks, own = self.scheme, self.record.kinks, domain.slope(e.gradient, rows.x, self.scheme.space)
        good = own.isfinite()
        if kinks is None and isinstance(scheme, MinimizingMovement):
            good &= scheme.suspects(rows.memory, e.gradient, rows.x, domain)
            radius = WIDTH * scheme.reached(rows.memory)
        elif kinks:
            tau = scheme.tau.at(rows.clock, rows.job).to(rows.x)
            radius = kinks * length(Here(rows.x, e, tau, self.energy, domain), scheme.space, scheme.rate)
        else:
            return own, None
        good &= flat(rows.x).isfinite().all(1)
        at = good.nonzero().squeeze(1)
        if at.numel():
            energy, job = self.energy.take(rows.job[at]), rows.job[at]
            found = metric_slope(energy, domain.take(at), rows.x[at], e.gradient[at], radius[at], scheme.space)
            own = own.index_copy(0, at, found.value)
            self.evaluations[job] += found.spent
        return own, good

    def report(self, ended: Rows, status: Tensor) -> None:
        self.final[ended.job], self.time[ended.job], self.status[ended.job] = ended.x, ended.time, status
        self.clock[ended.job] = ended.clock
        for whole, part in zip(self.memory, ended.memory if self.memory else (), strict=True):
            whole[ended.job] = part

    def curve(self) -> Curve:
        """Close with one evaluation at the last points, and lay the instants out with ended rows held fast."""
        e = self.energy.evaluate(self.final)
        rows = Rows(torch.arange(len(self.final)).to(self.clock), self.final, self.clock, self.time, self.memory)
        last = self._seen(rows, e, self.domain)
        columns: dict[str, Tensor] = {}
        for name, closing in last.items():
            column = []
            for job, seen in self.instants:
                full = closing.clone()
                full[job] = seen[name].to(full)
                column.append(full)
            columns[name] = torch.stack([*column, closing])
        forward = self.evaluations + 1
        backward = torch.zeros_like(forward) if e.blind else forward
        status = self.status
        if isinstance(self.scheme, Accounting):
            account = self.scheme.account(self.memory)
            forward, backward = forward + account.forward, backward + account.backward
            unsolved = (status == Status.FINISHED) & (account.failed > 0)
            status = torch.where(unsolved, int(Status.UNSOLVED), status)
        status = torch.where(ended(e, Stop()) == Status.NON_FINITE, int(Status.NON_FINITE), status)
        passes = self.energy.passes
        return Curve(
            status=status,
            forward=forward * passes,
            backward=backward * passes,
            space=self.scheme.space,
            rate=self.scheme.rate,
            **columns,
        )


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

    Source: arXiv:2406.05376; proved there is that semi-implicit steps and minimizing movements
    converge to it as tau -> 0, and so do explicit steps in l_inf within boxes, which are semi-implicit. Where another
    constraint binds explicit steps follow another curve (:class:`maxslope.schemes.Explicit`).

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
    smooth, domain = parts(energy)
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
