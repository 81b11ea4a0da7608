"""The pool: a fixed number of slots, one run per slot, and a run that ends is replaced at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope import _random
from maxslope._rows import flat
from maxslope._status import Status
from maxslope.attacks.recipes import Recipe
from maxslope.attacks.starts import Origin
from maxslope.energies import Energy, Evaluation, Loss, Margin, Network, PerRow, TargetedLoss
from maxslope.flow import Feed, Rows, Stop, march
from maxslope.schemes import StepSize
from maxslope.sets import Budget, Set


@dataclass(frozen=True, eq=False)
class Task:
    """Samples to attack.

    Attributes:
        network: the model, in tiles.
        x: clean points, ``[n, *shape]``.
        labels: ``[n]``; the classes to leave, or with ``targeted`` the classes to reach.
        targeted: whether ``labels`` are targets.
        budget: norm, eps and box.
        domain: the allowed sets, row for row.
        eps: ``[n]``.
        ids: ``[n]`` int64, what random numbers are keyed by.
        seed: likewise.
    """

    network: Network
    x: Tensor
    labels: Tensor
    targeted: bool
    budget: Budget
    domain: Set
    eps: Tensor
    ids: Tensor
    seed: int

    def energy(self, samples: Tensor, criterion: PerRow | Margin, rivals: Tensor | None) -> Energy:
        """Return the energy of the given samples under a criterion."""
        labels = self.labels[samples]
        if self.targeted:
            return TargetedLoss(self.network, labels, criterion)
        return Loss(self.network, labels, criterion, rivals)


class Tally:
    """What is known of each sample: best point, verdict, passes. Every tensor is ``[n]`` or ``[n, *shape]``."""

    def __init__(self, task: Task) -> None:
        n, device = task.x.shape[0], task.x.device
        self.best = torch.full((n,), torch.inf, dtype=task.x.dtype, device=device)
        self.points = task.x.clone()
        self.broken = torch.zeros(n, dtype=torch.bool, device=device)
        self.non_finite = torch.zeros_like(self.broken)
        self.unconfirmed = torch.zeros(n, dtype=torch.int64, device=device)
        self.status = torch.full((n,), int(Status.RUNNING), dtype=torch.int64, device=device)
        self.forward = torch.zeros_like(self.status)
        self.backward = torch.zeros_like(self.status)
        self.runs = torch.zeros_like(self.status)

    def improve(self, samples: Tensor, x: Tensor, margin: Tensor) -> None:
        """Keep the points of least margin; NaN never improves."""
        better = (margin < self.best[samples]) & ~self.broken[samples]
        index = samples[better]
        self.best[index] = margin[better]
        self.points[index] = x[better]


class Pool(Feed, StepSize):
    """Runs each sample through its recipes, in order, until it is broken or none is left.

    What happens to a sample depends on the sample alone: its runs are numbered, their random numbers keyed by (seed,
    sample id, run), and the next run starts when the last one is verified. Slots are only where runs take place.

    Every run ends with a verification: one forward pass at the point it hands back, in a canonical call, so that a
    run of n steps costs n backward and n + 1 forward passes.

    Args:
        task: the samples.
        recipes: the runs of each sample, in order; one scheme for all.
        room: slots.
    """

    def __init__(self, task: Task, recipes: Sequence[Recipe], room: int) -> None:
        self.task, self.recipes, self.room = task, recipes, room
        self.tally = Tally(task)
        n = task.x.shape[0]
        self.ready: deque[int] = deque(range(n))
        self.pending: list[tuple[Tensor, Tensor, Tensor]] = []
        self.run = torch.zeros(n, dtype=torch.int64)
        self.strongest: Tensor | None = None
        self._first, self._last, self._steps, self._choice, self._rival = (
            torch.tensor(column, dtype=torch.float64)
            for column in zip(*(_numbers(r, k) for k, r in enumerate(recipes)), strict=True)
        )

    def go(self) -> Tally:
        """Run everything and return what is known of each sample."""
        maker, space = self.recipes[0].scheme, self.recipes[0].space or self.task.budget.norm
        march(self, maker(self, space), stop=Stop(reached=True, stationary=True), room=self.room)
        return self.tally

    def admit(self, room: int) -> tuple[Tensor, Tensor] | None:
        """See :class:`Feed`."""
        while True:
            waiting = sum(job.numel() for job, _, _ in self.pending)
            if waiting and (waiting >= self.room or (not self.ready and room >= self.room / 2)):
                self._verify()
            count = min(room, len(self.ready))
            if not count:
                return None
            job = torch.tensor([self.ready.popleft() for _ in range(count)], device=self.task.x.device)
            x = self._starts(job)
            moving = self._steps[self.run[job.cpu()]].to(job.device) > 0
            if bool(moving.all()):
                return job, x
            self.pending.append((job[~moving], x[~moving], torch.full_like(job[~moving], int(Status.FINISHED))))
            if bool(moving.any()):
                return job[moving], x[moving]

    def problem(self, job: Tensor) -> tuple[Energy, Set]:
        """See :class:`Feed`."""
        choice = self._choice[self.run[job.cpu()]].long().to(job.device)
        criterion = PerRow([r.criterion for r in self.recipes], choice)
        return self.task.energy(job, criterion, self._rivals(job)), self.task.domain.take(job)

    def limit(self, job: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Feed`."""
        steps = self._steps[self.run[job.cpu()]].to(job.device)
        return steps.long(), torch.full_like(steps, torch.inf)

    def at(self, clock: Tensor, row: Tensor) -> Tensor:
        """See :class:`StepSize`."""
        run = self.run[row.cpu()]
        first, last, steps = (t[run].to(row.device) for t in (self._first, self._last, self._steps))
        wave = last + (first - last) * (1 + torch.cos(torch.pi * clock / steps)) / 2
        return torch.where(last < 0, first, wave) * self.task.eps[row].double()

    def observe(self, rows: Rows, evaluation: Evaluation, domain: Set) -> None:
        """See :class:`Feed`."""
        self.tally.forward[rows.job] += 1
        self.tally.backward[rows.job] += 1
        self.tally.improve(rows.job, rows.x, evaluation.margin)

    def report(self, ended: Rows, status: Tensor) -> None:
        """See :class:`Feed`."""
        self.pending.append((ended.job, ended.x, status))

    def _verify(self) -> None:
        """Recompute the verdict at every point handed back; samples that stand get their next run."""
        job, x, status = (torch.cat(parts) for parts in zip(*self.pending, strict=True))
        self.pending = []
        tally, task = self.tally, self.task
        e = task.energy(job, Margin(), None).look(x)
        tally.forward[job] += 1
        tally.runs[job] += 1
        finite = e.value.isfinite()
        broken = e.reached & finite & (task.domain.take(job).violation(x) <= tolerance(task, job, x))
        tally.improve(job, x, e.margin)
        tally.points[job[broken]], tally.best[job[broken]] = x[broken], e.margin[broken]
        tally.unconfirmed[job[(status == Status.REACHED) & ~broken]] += 1
        tally.broken[job[broken]] = True
        tally.non_finite[job[(status == Status.NON_FINITE) | ~finite]] = True
        tally.status[job] = torch.where(broken, int(Status.REACHED), status)
        self.run[job.cpu()] += 1
        on = job[~broken]
        self.ready.extend(on[(self.run[on.cpu()] < len(self.recipes)).to(on.device)].tolist())

    def _starts(self, job: Tensor) -> Tensor:
        """The starting points of the next run of each sample, projected onto the allowed sets."""
        task, run = self.task, self.run[job.cpu()]
        x = task.x[job]
        key = _random.keys(task.seed, task.ids[job], run.to(job.device))
        out = x
        for r in run.unique().tolist():
            rows = (run == r).nonzero().squeeze(1).to(job.device)
            origin = Origin(x[rows], task.eps[job[rows]], task.budget.take(job[rows]), key[rows])
            out = out.index_copy(0, rows, self.recipes[r].start.points(origin))
        return task.domain.take(job).project(out)

    def _rivals(self, job: Tensor) -> Tensor | None:
        """The fixed class each run raises, -1 for the strongest at each point."""
        rank = self._rival[self.run[job.cpu()]].long().to(job.device)
        if self.task.targeted or not bool((rank > 0).any()):
            return None
        order = self._order()[job]
        at = (rank - 1).clamp(0, order.shape[1] - 1)
        return torch.where(rank > 0, order.gather(1, at[:, None]).squeeze(1), -1)

    def _order(self) -> Tensor:
        """The wrong classes of each sample by their logits at the clean point, strongest first."""
        if self.strongest is None:
            z = self.task.network.all_logits(self.task.x)
            self.tally.forward += 1
            z = z.scatter(1, self.task.labels[:, None], -torch.inf)
            self.strongest = z.argsort(dim=1, descending=True, stable=True)[:, :-1]
        return self.strongest


def _numbers(recipe: Recipe, k: int) -> tuple[float, ...]:
    """What the tensors of the pool hold of a recipe; a last step of -1 marks constant steps."""
    return recipe.first, -1.0 if recipe.last is None else recipe.last, recipe.steps, k, recipe.rival


def tolerance(task: Task, samples: Tensor, x: Tensor) -> Tensor:
    """How far outside rounding may put a point: 1e-6 eps and a few units in the last place of the inputs, ``[rows]``."""
    size = flat(x).abs().amax(1).clamp_min(1)
    return 1e-6 * task.eps[samples] + 8 * torch.finfo(x.dtype).eps * size
