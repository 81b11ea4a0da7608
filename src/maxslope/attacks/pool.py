"""The pool: a fixed number of slots, one run per slot, and a run that ends is replaced at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from maxslope import _random
from maxslope._status import Status
from maxslope.attacks.recipes import Recipe
from maxslope.attacks.rule import Rule
from maxslope.attacks.starts import Origin
from maxslope.attacks.task import Tally, Task
from maxslope.energies import Energy, Evaluation, Margin, PerRow
from maxslope.flow import Feed, Rows, Stop, march
from maxslope.schemes import StepSize
from maxslope.sets import Set

__all__ = ["Pool", "Tally", "Task"]


class Pool(Feed, StepSize):
    """Takes each sample through its runs, in order, until it is broken, the rule gives it up or no run is left.

    What happens to a sample depends on the sample alone: its runs are numbered, their random numbers keyed by (seed,
    sample id, run), and the next run is decided when the last one is verified. Slots are only where runs take place.

    Every run ends with a verification: one forward pass at the point it hands back, in a canonical call, so that a
    run of n steps costs n backward and n + 1 forward passes.

    Args:
        task: the samples.
        runs: the recipes of each sample, in order; one scheme for all.
        rule: who goes on.
        room: slots.
    """

    def __init__(self, task: Task, runs: Sequence[Recipe], rule: Rule, room: int) -> None:
        self.task, self.recipes, self.rule, self.room = task, runs, rule, room
        self.tally = Tally(task, len(runs))
        self.ready: deque[int] = deque(range(task.x.shape[0]))
        self.pending: list[tuple[Tensor, Tensor, Tensor]] = []
        self.order: Tensor | None = None
        self.criteria = list(dict.fromkeys(r.criterion for r in runs))
        numbers = [
            (r.first, -1.0 if r.last is None else r.last, r.steps, self.criteria.index(r.criterion), r.rival) for r in runs
        ]
        table = torch.tensor(numbers, dtype=torch.float64, device=task.x.device)
        self.first, self.final, self.steps, self.choice, self.rival = table.T.contiguous()

    def go(self) -> Tally:
        """Run everything and return what is known of each sample."""
        maker, space = self.recipes[0].scheme, self.recipes[0].space or self.task.budget.norm
        march(self, maker(self, space), stop=Stop(reached=True, stationary=True), room=self.room)
        return self.tally

    def admit(self, room: int) -> tuple[Tensor, Tensor] | None:
        """See :class:`Feed`."""
        while True:
            waiting = sum(job.numel() for job, _, _ in self.pending)
            if waiting and (waiting >= self.room / 2 or (not self.ready and room >= self.room - waiting)):
                self._verify()
            count = min(room, len(self.ready))
            if not count:
                return None
            job = torch.tensor([self.ready.popleft() for _ in range(count)], device=self.task.x.device)
            x = self._starts(job)
            moving = self.steps[self.tally.runs[job]] * self.task.eps[job] > 0
            if not bool(moving.all()):
                self.pending.append((job[~moving], x[~moving], torch.full_like(job[~moving], int(Status.FINISHED))))
            if bool(moving.any()):
                return job[moving], x[moving]

    def problem(self, job: Tensor) -> tuple[Energy, Set]:
        """See :class:`Feed`."""
        only = len(self.criteria) == 1
        criterion = self.criteria[0] if only else PerRow(self.criteria, self.choice[self.tally.runs[job]].long())
        return self.task.energy(job, criterion, self._rivals(job)), self.task.domain.take(job)

    def limit(self, job: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Feed`."""
        steps = self.steps[self.tally.runs[job]]
        return steps.long(), torch.full_like(steps, torch.inf)

    def at(self, clock: Tensor, row: Tensor) -> Tensor:
        """See :class:`StepSize`."""
        run = self.tally.runs[row]
        first, final = self.first[run], self.final[run]
        wave = final + (first - final) * (1 + torch.cos(torch.pi * clock / self.steps[run])) / 2
        return torch.where(final < 0, first, wave) * self.task.eps[row].double()

    def observe(self, rows: Rows, evaluation: Evaluation, domain: Set) -> Tensor | None:
        """See :class:`Feed`."""
        tally = self.tally
        tally.count(rows.job, self.task.network.tile, 1, 1)
        first = tally.clean[rows.job].isnan()
        tally.clean[rows.job] = torch.where(first, evaluation.margin, tally.clean[rows.job])
        tally.improve(rows.job, rows.x, evaluation.margin)
        return None

    def report(self, ended: Rows, status: Tensor) -> None:
        """See :class:`Feed`."""
        self.pending.append((ended.job, ended.x, status))

    def _verify(self) -> None:
        """Recompute the verdict at every point handed back, and let the rule decide who gets another run."""
        job, x, status = (torch.cat(parts) for parts in zip(*self.pending, strict=True))
        self.pending = []
        tally, task = self.tally, self.task
        e = task.energy(job, Margin()).look(x)
        tally.count(job, task.network.tile, 1, 0)
        finite = e.value.isfinite()
        broken = e.reached & finite & task.allowed(job, x)
        tally.improve(job, x, e.margin)
        tally.points[job[broken]], tally.best[job[broken]] = x[broken], e.margin[broken]
        tally.last[job] = x
        tally.unconfirmed[job[(status == Status.REACHED) & ~broken]] += 1
        tally.broken[job[broken]] = True
        tally.non_finite[job[(status == Status.NON_FINITE) | ~finite]] = True
        tally.status[job] = torch.where(broken, int(Status.REACHED), status)
        tally.runs[job] += 1
        tally.chance[job] = self.rule.chance(
            tally.clean[job], tally.history[job], tally.runs[job], tally.backward[job]
        )
        on = ~broken & (tally.runs[job] < len(self.recipes)) & (tally.chance[job] > self.rule.risk)
        self.ready.extend(job[on].tolist())

    def _starts(self, job: Tensor) -> Tensor:
        """The starting points of the next run of each sample, projected onto the allowed sets."""
        task, run = self.task, self.tally.runs[job]
        key = _random.keys(task.seed, task.ids[job], run)
        out = task.x[job]
        for r in sorted(set(run.tolist())):
            rows = (run == r).nonzero().squeeze(1)
            own = job[rows]
            origin = Origin(
                task.x[own], task.eps[own], task.budget.take(own), key[rows], self.tally.points[own], self.tally.last[own]
            )
            out = out.index_copy(0, rows, self.recipes[r].start.points(origin))
        return task.domain.take(job).project(out)

    def _rivals(self, job: Tensor) -> Tensor | None:
        """The fixed class each run raises, -1 for the strongest at each point."""
        rank = self.rival[self.tally.runs[job]].long()
        if self.task.targeted or not bool((rank > 0).any()):
            return None
        order = self._order()[job]
        at = (rank - 1) % order.shape[1]
        return torch.where(rank > 0, order.gather(1, at[:, None]).squeeze(1), -1)

    def _order(self) -> Tensor:
        """The wrong classes of each sample by their logits at the clean point, strongest first: one forward pass."""
        if self.order is None:
            z = self.task.network.all_logits(self.task.x)
            self.tally.count(torch.arange(z.shape[0], device=z.device), self.task.network.tile, 1, 0)
            z = z.scatter(1, self.task.labels[:, None], -torch.inf)
            self.order = z.argsort(dim=1, descending=True, stable=True)[:, :-1]
        return self.order
