"""The runs of a smallest perturbation: flows in balls around the clean points that close as the runs go on."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

from maxslope import _random
from maxslope._rows import flat
from maxslope._status import Status
from maxslope.attacks._balls import Closing, exponent
from maxslope.attacks._plan import EXPLORE, OUTWARD, Way, even, lengths_after, next_length, outward, shared, way_of
from maxslope.attacks.question import Question, calls_for
from maxslope.attacks.starts import Clean, Origin
from maxslope.energies import Energy, Evaluation, Margin
from maxslope.loop import Driver, Rows, Stop, march
from maxslope.schemes import Momentum, SemiImplicit, StepSize
from maxslope.schemes.steps import half_wave
from maxslope.sets import Box, Set
from maxslope.sets.box import plain
from maxslope.spaces import Lp, Mixed

_FIRST_CUT = 0.1  # the share of the radius that a run first tries to save
_PUSH = 1.6  # how fast the radius grows while nothing is found
_DECAY = 0.3  # of the momentum
_FIRST_STEP = {2.0: 0.5, math.inf: 1.0}  # the norms that are moved in as well, and their first step in radii
_LAST_STEP, _NEAR_STEP = 0.4, 0.1  # of the first step, in last runs, and in those of l_2 of samples that have settled
_SETTLED = 0.1  # of the norm: what the second half of closing in brings them at most
_OTHER_STEP = 0.35  # for other norms steps are in l_inf: those of l_1 reach few coordinates, and are blind to the rest
_WHOLE = 4  # steps of the way out that are as long as the radius has them
_STILL = 0.25  # of the norm: samples that closing in brought nearer by more in its second half go on from there
_MISLED = 0.3  # of the first estimate: where the boundary is nearer, gradients at the clean point do not know it
_BEYOND = 1e-4  # of the way to the boundary: how far on its wrong side the linear model aims
_INSIDE = 0.9999  # of the budget: the least radius on a way, so that rounding does not decide
_AFAR = 3.0  # budgets, how far away a start is where there is no box
_LOOK, _BEHIND = 4, 0.15  # steps after which an exploration has to have led near, and how near, of the least norm


class Room:
    """Where a pursuit takes place; every tensor is ``[n]``."""

    def __init__(self, question: Question, box: Box) -> None:
        self.norm, self.box = question.budget.norm, box  # what is small, and what the goal is reached in, row for row
        p = exponent(self.norm)
        self.own = p in _FIRST_STEP  # whether steps are made in the norm itself, or in l_inf
        self.first = _FIRST_STEP.get(p, _OTHER_STEP)  # the first step, in radii
        self.euclidean = p == 2 and not isinstance(plain(self.norm)[0], Mixed)
        # how far away the box allows a point to be, and how wide it is where it is widest, 1 without a box
        self.farthest = self.norm.norm(torch.maximum(question.x - box.lo, box.hi - question.x))
        width = flat((box.hi - box.lo).expand_as(question.x)).amax(1)
        self.width = width.masked_fill(width.isinf(), 1.0)


class Nearest:
    """What a pursuit has found; every tensor is ``[n]``, points are ``[n, *shape]``."""

    def __init__(self, question: Question) -> None:
        self.points = question.x.clone()
        self.size = torch.full_like(question.eps, torch.inf)  # the norm of the smallest perturbation, inf for none
        self.beyond = torch.zeros_like(self.size)  # how far beyond the boundary it ends, by the linear model
        self.promise = torch.full_like(self.size, torch.nan)  # where the first gradient says that the boundary is
        self.spent = torch.zeros_like(question.ids)  # gradients
        self.non_finite = torch.zeros_like(self.spent, dtype=torch.bool)  # whether an answer on the way was not

    def keep(self, job: Tensor, x: Tensor, size: Tensor, error: Tensor, gap: Tensor) -> None:
        """Keep the errors that are nearer than those before them."""
        nearer = error & (size < self.size[job])
        index = job[nearer]
        self.size[index], self.points[index] = size[nearer], x[nearer]
        self.beyond[index] = gap[nearer].to(self.beyond)

    def absorb(self, rows: Tensor, other: Nearest) -> None:
        """Take over what a further pursuit of some of the samples has found."""
        self.keep(rows, other.points, other.size, other.size.isfinite(), other.beyond)
        self.spent[rows] += other.spent
        self.non_finite[rows] |= other.non_finite


class Course:
    """Which run of its plan each sample is in; every tensor is ``[n]`` int64.

    Where a sample is ``bounded`` by a box, another start is left when the way out leads nowhere.
    """

    def __init__(self, passes: Tensor, bounded: Tensor) -> None:
        self.passes = passes  # gradients of each sample
        self.run, self.tries = torch.zeros_like(passes), torch.zeros_like(passes)  # that led somewhere, and nowhere
        self.parts = torch.zeros_like(passes)  # runs that are planned after the way out
        first = torch.tensor([outward(count) for count in passes.tolist()], device=passes.device)
        self.most = torch.where(bounded, first, passes)  # steps of the run under way
        self.lengths: dict[int, list[int]] = {}  # by sample, of the runs that are still to come after the way out
        self.half = torch.full(passes.shape, torch.nan, device=passes.device)  # least norm halfway of closing in

    def pass_half(self, clock: Tensor, job: Tensor, size: Tensor) -> None:
        """Note the least norm so far, ``[n]``, of the samples that are halfway of the run after the way out."""
        now = job[(self.run[job] == 1) & (clock == self.most[job] // 2)]
        self.half[now] = size[now].to(self.half)

    def falls(self, size: Tensor, share: float) -> Tensor:
        """Whether each sample was brought nearer by more than a share since the middle of that run, ``[n]`` bool."""
        return self.half > (1 + share) * size

    def plan(self, sample: int, run: int, lengths: list[int]) -> None:
        """Set the lengths of the runs from the next one, number ``run``, on."""
        self.lengths[sample], self.parts[sample] = lengths, max(run, 1) - 1 + len(lengths)

    def go_on(self, sample: int, runs: int) -> None:
        """Let the rest of the passes go into last runs: other starts would be left as far from their ends."""
        if rest := sum(self.lengths[sample]):
            self.lengths[sample], self.parts[sample] = even(rest, runs), 2

    def exploration(self, job: Tensor) -> Tensor:
        """Which exploration the run of each sample is, -1 where it is none, ``[rows]``."""
        run = self.run[job]
        return torch.where((run > 1) & (run < self.parts[job]), (run - 2).clamp_max(len(EXPLORE) - 1), -1)

    def last(self, job: Tensor) -> Tensor:
        """Whether the run of a sample is one of the last of several, which start at its best point."""
        return (self.parts[job] > 1) & (self.run[job] >= self.parts[job])

    def left(self, clock: Tensor, job: Tensor) -> Tensor:
        """Half a cosine wave, from 1 at the beginning of a run to 0 at its end."""
        return half_wave(clock, self.most[job])


class Pursuit(Driver, StepSize):
    """Follows each sample out to an error and back towards the clean point, as near as its passes allow.

    A row keeps a radius eps and a cut g. With n = |x - x0|, margin m and its gradient xi, the linear model puts the
    decision boundary at the distance m / |xi|_*:

        nothing found    eps <- n + m / |xi|_*, and from step to step by a factor between 1.6 and 2
        x is an error    eps <- max(n - |m| / |xi|_*, n (1 - g)),   g <- 1.5 g
        x is none        eps <- part of the way back to the best norm (1 - g / 2),   g <- g / 2

    and the scheme makes the exact semi-implicit step in the ball of radius eps around x0, in the box.

    Args:
        question: the samples.
        rivals: ``[n, classes - 1]``, wrong classes, strongest first.
        box: what the goal of the question is reached in, row for row.
        active: ``[n]`` bool, the samples to attack.
        passes: gradients of each sample, ``[n]``.
        way: where to go from and towards what, and no further than the budget of the question; by default several runs
            share the passes, and eps of the question is not used.

    Source: the sequence of radii follows DDN (arXiv:1811.09600) and FMN (arXiv:2102.12827); the steps are those of
    arXiv:2406.05376, section 4.
    """

    def __init__(
        self, question: Question, box: Box, rivals: Tensor, active: Tensor, passes: Tensor, way: Way | None = None
    ) -> None:
        self.question, self.rivals, self.way = question, rivals, way
        self.room = Room(question, box)
        self.nearest = Nearest(question)
        self.course = Course(passes, self.room.farthest.isfinite())
        self.radius = torch.zeros_like(self.nearest.size)
        self.cut = torch.full_like(self.radius, _FIRST_CUT)
        self.goal = torch.zeros_like(self.radius) if way is None else question.eps.clone()
        self.ready: deque[int] = deque(active.nonzero().squeeze(1).tolist())
        legs = EXPLORE if way is None else (*EXPLORE, (way.start, way.rank))
        self.starts = [start for start, _ in legs]
        self.ranks = torch.tensor([rank for _, rank in legs] + [0] * (way is None), device=question.x.device)
        outward = OUTWARD if way is None else (len(EXPLORE),)
        self.outward = torch.tensor(outward, device=question.x.device)  # which starts, by the number of tries

    def go(self) -> None:
        """Spend the passes of every sample."""
        scheme = Momentum(SemiImplicit(self, self.room.norm if self.room.own else Lp(math.inf)), _DECAY)
        rows = self.question.network.tile or self.question.x.shape[0]
        march(self, scheme, stop=Stop(), room=calls_for(self.question) * rows)

    def admit(self, room: int) -> tuple[Tensor, Tensor] | None:
        count = min(room, len(self.ready))
        if count <= 0:
            return None
        job = torch.tensor([self.ready.popleft() for _ in range(count)], device=self.question.x.device)
        found = self.nearest.size[job].isfinite()
        far = self.room.farthest[job]
        most = torch.where(self._from_afar(job), torch.where(far.isfinite(), far, _AFAR * self.goal[job]), 0.0)
        inward = torch.minimum(self.radius[job], self.nearest.size[job] * (1 - _FIRST_CUT / 2))
        self.cut[job], self.radius[job] = _FIRST_CUT, torch.where(found, inward, most)
        return job, self._balls(job).project(self._starts(job))

    def problem(self, job: Tensor) -> tuple[Energy, Set]:
        return self.question.energy(job, Margin(), self._rivals(job), self.room.box.take(job)), self._balls(job)

    def _balls(self, job: Tensor) -> Closing:
        return Closing(self.room.norm, self.question.x[job], self.room.box.take(job), self.radius, job)

    def limit(self, job: Tensor) -> tuple[Tensor, Tensor]:
        return self.course.most[job], torch.full(job.shape, torch.inf, dtype=torch.float64, device=job.device)

    def at(self, clock: Tensor, row: Tensor) -> Tensor:
        """See :class:`StepSize`: half a cosine wave once something is found; the last run begins with part of a step.

        The way out starts with whole steps, and goes on with ever shorter ones: where the gradient at the clean point
        says that the boundary is far, steps of that length lead from one end of the box to the other, and nowhere.
        """
        outward = _WHOLE / clock.double().clamp_min(_WHOLE)
        wave = torch.where(self.course.run[row] == 0, outward, self.course.left(clock, row))
        scale = self.radius[row] if self.room.own else torch.minimum(self.radius[row], self.room.width[row])
        near = self.room.euclidean & ~self.course.falls(self.nearest.size, _SETTLED)[row]
        share = torch.where(self.course.last(row), torch.where(near, _NEAR_STEP, _LAST_STEP), 1.0)
        return self.room.first * share * (0.01 + 0.99 * wave) * scale.double()

    def observe(self, rows: Rows, evaluation: Evaluation, domain: Set) -> Tensor | None:
        """See :class:`Driver`: keeps what is nearer, sets the next radius, and ends the way out once it succeeds."""
        job, error = rows.job, evaluation.reached & ~evaluation.value.isnan()
        x = self.question.x[job]
        size = self.room.norm.distance(x, self.question.realized(rows.x, x, self.room.box.take(job)))
        self.nearest.spent[job] += 1
        slope = self.room.norm.dual_norm(self.room.box.take(job).movable(evaluation.gradient, rows.x))
        gap = evaluation.value.abs() / slope.clamp_min(torch.finfo(size.dtype).tiny)
        self.nearest.keep(job, rows.x, size, error, gap)
        self.course.pass_half(rows.clock, job, self.nearest.size)
        # On the boundary itself nobody wins.
        gap = gap * torch.where(error, 1 - _BEYOND, 1 + _BEYOND).to(gap)
        unknown = self.nearest.promise[job].isnan()
        self.nearest.promise[job[unknown]] = gap[unknown]
        cap = 0.5 * self.course.left(rows.clock, job).to(size) + 0.005
        self.cut[job] = torch.where(error, torch.minimum(1.5 * self.cut[job], cap), 0.5 * self.cut[job]).clamp_min(1e-3)
        radius = self._next(job, rows.clock == 0, size, gap, error)
        self.radius[job] = torch.where(radius.isfinite(), radius, self.radius[job])
        best = self.nearest.size[job]
        behind = ~error & (size + gap > (1 + _BEHIND) * best) & (rows.clock >= _LOOK)
        given_up = behind & (self.course.exploration(job) >= 0)
        return (best <= self.goal[job]) | given_up | ((error | (slope == 0)) & (self.course.run[job] == 0))

    def report(self, ended: Rows, status: Tensor) -> None:
        """See :class:`Driver`: the next run of each sample that has passes left."""
        self.nearest.non_finite[ended.job[status == Status.NON_FINITE]] = True
        job = ended.job[self.nearest.size[ended.job] > self.goal[ended.job]]
        found = self.nearest.size[job].isfinite()
        self.course.run[job] += found.long()
        self.course.tries[job] += (~found).long()
        course = self.course
        shown = (course.run, self.nearest.spent, course.passes, self.misled(), course.falls(self.nearest.size, _STILL))
        columns = (t[job].tolist() for t in shown)
        for sample, run, spent, passes, misled, falls in zip(job.tolist(), *columns, strict=True):
            if run <= 1:
                course.plan(sample, run, self._lengths(passes, run, spent))
            elif passes - spent > sum(course.lengths[sample]) and self.way is None:  # the run was given up
                course.plan(sample, run, shared(passes, passes - spent))
            if run == 2 and misled and self.way is None:
                continue
            if run == 2 and falls:
                course.go_on(sample, 2 if self.room.euclidean else 1)
            coming = course.lengths[sample]
            if coming and coming[0] > 0:
                course.most[sample] = coming.pop(0)
                self.ready.append(sample)

    def misled(self) -> Tensor:
        """Whether the boundary is far nearer than the gradient at the clean point said, ``[n]``.

        On networks whose gradients are sound the norm found was at least 0.6 times the first estimate m / |xi|_*. In
        l_2 alone: in l_inf and l_1 other ways did not pay.
        """
        return (self.nearest.size < _MISLED * self.nearest.promise) & self.room.euclidean

    def _next(self, job: Tensor, first: Tensor, size: Tensor, gap: Tensor, error: Tensor) -> Tensor:
        """The radius of the next step, ``[rows]``; see the class."""
        radius, best, cut = self.radius[job], self.nearest.size[job], self.cut[job]
        near_best = torch.minimum(size, best)
        closer = torch.minimum(near_best, torch.maximum(size - gap, near_best * (1 - cut)))
        aim = best * (1 - cut / 2)
        back = torch.minimum(radius + 0.3 * (aim - radius).clamp_min(0), torch.maximum(size + gap, radius))
        grown = torch.minimum(size + gap, 2 * radius).maximum(_PUSH * radius)
        outward = torch.where(first & (radius == 0), size + gap, grown)
        found = best.isfinite()
        new = torch.where(error, closer, torch.where(found, back, outward))
        new = torch.where(found, torch.minimum(new, aim), new).minimum(self.room.farthest[job])
        return torch.maximum(new, _INSIDE * self.goal[job])

    def _lengths(self, passes: int, run: int, spent: int) -> list[int]:
        """The lengths of what follows the way out, which led somewhere where ``run`` is 1 and nowhere where it is 0."""
        if self.way is not None:
            return [passes - spent] if run else []
        return lengths_after(passes, spent) if run else [passes - spent]

    def _from_afar(self, job: Tensor) -> Tensor:
        """Whether the way out of each sample starts as far away as the box allows, ``[rows]``."""
        out = self.way is not None and not isinstance(self.way.start, Clean)
        return self.course.tries[job] > 0 if self.way is None else torch.full(job.shape, out, device=job.device)

    def _rank(self, job: Tensor) -> Tensor:
        """The rank of the class each run raises, by the logits at the clean point; 0 for the strongest anywhere."""
        ranks = self.ranks[self.course.exploration(job)]
        return torch.where(ranks <= self.rivals.shape[1], ranks, 0)

    def _rivals(self, job: Tensor) -> Tensor | None:
        rank = self._rank(job)
        if not bool((rank > 0).any()):
            return None
        named = self.rivals[job].gather(1, (rank - 1).clamp_min(0)[:, None]).squeeze(1)
        return torch.where(rank > 0, named, -1)

    def _starts(self, job: Tensor) -> Tensor:
        """Where the next run of each sample starts, before the projection onto its ball.

        Runs that aim at a class the model does not have start at random. The way out starts at the clean point; where
        that fails, at the opposite face of the box, then at random.
        """
        kind = self.course.exploration(job)
        lacking = (kind >= 0) & (self.ranks[kind] > 0) & (self._rank(job) == 0)
        kind = torch.where(lacking, len(EXPLORE) - 1, kind)
        outward = self.outward[self.course.tries[job].clamp_max(len(self.outward) - 1)]
        kind = torch.where(self.course.run[job] == 0, outward, kind)
        out = self.nearest.points[job].clone()
        stream = 0 if self.way is None else self.way.number
        for k in set(kind.tolist()) - {-1}:
            rows = (kind == k).nonzero().squeeze(1)
            part, points = job[rows], self.nearest.points[job[rows]]
            key = _random.keys(
                self.question.seed, self.question.ids[part], self.course.run[part], self.course.tries[part] + stream
            )
            origin = Origin(self.question.x[part], self.radius[part], self.question.budget, key, points, points)
            out[rows] = self.starts[k].points(origin)
        return out


def follow_ways(
    question: Question, box: Box, rivals: Tensor, left: Tensor, nearest: Nearest, wanted: Callable[[], Tensor]
) -> None:
    """Spend the gradients ``left``, ``[n]``, on one way after the other, each a pursuit within the budget of its own.

    ``nearest`` takes in what is found; ``wanted`` is asked before each way which samples it is for, ``[n]`` bool.
    """
    number = 0
    while (rows := ((left > 0) & wanted()).nonzero().squeeze(1)).numel():
        lengths = torch.tensor([next_length(count) for count in left[rows].tolist()], device=rows.device)
        pursuit = Pursuit(question.take(rows), box.take(rows), rivals[rows], rows >= 0, lengths, way_of(number))
        pursuit.go()
        nearest.absorb(rows, pursuit.nearest)
        left[rows] -= lengths
        number += 1
