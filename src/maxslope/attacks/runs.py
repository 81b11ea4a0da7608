"""The runs of samples: a fixed number of slots, one run in each, and a run that ends is replaced at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from maxslope import _random
from maxslope._rows import asks_freely, choose, select
from maxslope._status import Status
from maxslope.attacks._targets import Targets
from maxslope.attacks.question import Question, calls_for
from maxslope.attacks.recipes import Recipe
from maxslope.attacks.rule import Rule, misled
from maxslope.attacks.scheduler import Scheduler, Turn
from maxslope.attacks.slots import Slots, Watch
from maxslope.attacks.starts import Origin
from maxslope.attacks.state import Outcome, State
from maxslope.attacks.verify import verify
from maxslope.energies import Blind, Energy, Evaluation, Graduated, PerRow
from maxslope.loop import Driver, Rows, Stop, march
from maxslope.schemes import Accounting
from maxslope.sets import Box, Set

_SHORT = 16  # steps below which looking for cycles does not pay


class Table:
    """What the driver looks up of the runs of a sample, in order; every tensor is ``[runs]``."""

    def __init__(self, recipes: Sequence[Recipe], device: torch.device) -> None:
        self.recipes, self.gradient_free = recipes, recipes[0].blind
        self.ranking = next((k for k, run in enumerate(recipes) if run.rival > 0), -1)  # the first that fixes a rival
        # whether a run does not start from what earlier ones found
        kinds = [-1 if run.start.looks_back else int(run.smoothing > 0) for run in recipes]
        self.kinds = torch.tensor(kinds, device=device)  # where the network has kinks, see Rule.chance
        self.independent = self.kinds >= 0
        # the first step in units of eps, what steps tend to, -1 where they are constant, and how many there are
        lasts = [-1.0 if run.last is None else run.last for run in recipes]
        columns = ([run.first for run in recipes], lasts, [run.steps for run in recipes])
        self.first, self.last, self.steps = torch.tensor(columns, dtype=torch.float64, device=device)
        self.smoothing = torch.tensor([run.smoothing for run in recipes], device=device)  # of kinks, at first
        self.smooths = any(run.smoothing > 0 for run in recipes)
        self.rival = torch.tensor([run.rival for run in recipes], device=device)  # the rank of the class to raise
        self.criteria = list(dict.fromkeys(run.criterion for run in recipes))  # what is raised by some run, and by each
        self.choice = torch.tensor([self.criteria.index(run.criterion) for run in recipes], device=device)


class Ended(NamedTuple):
    """Runs that have ended and wait for their verification, one a row."""

    slot: Tensor  # in which they were
    end: Tensor  # where
    status: Tensor  # why
    margin: Tensor  # the least one
    point: Tensor  # where that was seen

    def take(self, index: Tensor) -> Ended:
        """Return some of them."""
        return Ended(*(select(column, index) for column in self))


class Runner(Driver):
    """Takes each sample through its runs, in order, until it is broken, the rule gives it up or no run is left.

    What happens to a sample depends on the sample alone: its runs are numbered, their random numbers keyed by (seed,
    sample id, run), and they count in that order (:class:`Scheduler`). Slots are only where runs take place.

    Every run ends with a verification: one forward pass at the point it hands back, in a canonical call, so that a
    run of n steps costs n backward and n + 1 forward passes (one that the rule gives up on the way those of the steps
    it saw); of a random model each step costs ``question.draws`` of both, and a verification ``question.votes``.

    All ``recipes`` share one scheme. There are slots for so many ``calls`` of the model, by default for as many as pay;
    ``patience`` is 1 on a processor and 4 on other devices by default, and nothing but executed passes depends on it.
    """

    def __init__(
        self, question: Question, recipes: Sequence[Recipe], rule: Rule, candidates: int = 0, calls: int = 0,
        patience: int | None = None,
    ) -> None:  # fmt: skip
        self.question, self.rule = question, rule
        device = question.x.device
        self.table = Table(recipes, device)
        self.patience = patience or (1 if asks_freely(question.x) else 4)
        tile = question.network.tile or question.rows
        self.room = (calls or calls_for(question)) * tile
        self.known = State(question, len(recipes))
        self.anchor = question.x.clone()  # the best point that runs which look back may see
        self.scheduler = Scheduler(question.rows, recipes, tile, int(self.selective))
        self.slots = Slots(3 * self.room, self.known.best)
        self.targets = Targets(question, candidates)
        # Steps are constant, for long: a point met twice is then a cycle, but not where points are drawn.
        steady = any(run.last is None and run.steps > _SHORT and not run.blind for run in recipes)
        cyclic = steady and isinstance(question.domain, Box)
        self.watch = Watch(3 * self.room, question.x, cyclic=cyclic, asks=self.patience == 1)
        self.waiting: list[Ended] = []
        self.idle = 0  # passes that rows which wait for their verification could have made
        self.changed = False  # whether other rows are under way than at the step before

    @property
    def selective(self) -> bool:
        """Whether runs may be given up on the way."""
        return self.rule.selective and not self.table.gradient_free

    @property
    def _kinds(self) -> Tensor:
        """Of the runs, as :meth:`Rule.chance` asks for them: where no kink was met, smoothed ones are plain."""
        return self.table.kinds if self.question.network.executed.kinks else self.table.kinds.clamp_max(0)

    def go(self, runs: int | None = None) -> State:
        """Run everything, or the first ``runs`` of each sample at most; called again, it goes on from there.

        Returns:
            What is known of each sample.
        """
        known, recipes, made = self.known, self.table.recipes, self.known.prospect.runs
        most = len(recipes) if runs is None else min(runs, len(recipes))
        on = (made < most) & ~known.broken & ((made == 0) | self.rule.goes_on(known.prospect.chance))
        self.scheduler.begin(on.nonzero().squeeze(1).tolist(), most)
        maker, space = recipes[0].scheme, recipes[0].moves(self.question.budget)
        scheme = maker(self.watch, space)
        if isinstance(scheme, Accounting):
            raise ValueError(
                f"A run of an attack spends one gradient a step, and {type(scheme).__name__} spends what it alone "
                "knows, so that passes would go uncounted. Use a scheme such as Explicit or SemiImplicit, or follow "
                "this one with maxslope.flow."
            )
        march(self, scheme, stop=Stop(reached=True, stationary=True), room=self.room)
        return known

    def misled(self) -> bool:
        """Whether kinks mislead the plain runs of the samples that stand, so that later runs may still break them."""
        known = self.known
        on = ~known.broken & known.best.isfinite()
        return misled(known.clean[on], known.prospect.history[on], self._kinds)

    def go_by(self, rule: Rule) -> None:
        """Follow another rule: the samples that it would not have given up go on when the runs do."""
        self.rule = rule
        self.known.prospect.reconsider(rule, self.known.clean, self._kinds)

    def admit(self, room: int) -> tuple[Tensor, Tensor] | None:
        tile = self.scheduler.tile
        while True:
            waiting, live = sum(ended.slot.numel() for ended in self.waiting), self.room - room
            self.idle += (1 if self.table.gradient_free else 2) * waiting
            # To wait for company costs what waiting rows could have done, not to wait the padding of a call.
            if waiting and (not live or self.idle >= tile - waiting):
                self._verify()
            turns = self.scheduler.next(min(room, len(self.slots.free)), live)
            if not turns:
                if not live and self.waiting:
                    continue
                return None
            slot, x = self._enter(turns)
            moving = self.table.steps[self.slots.run[slot]] * self.question.eps[self.slots.sample[slot]] > 0
            if not bool(moving.all()):
                still, at = slot[~moving], x[~moving]
                done, nothing = torch.full_like(still, int(Status.FINISHED)), at.new_full((len(at),), torch.inf)
                self.waiting.append(Ended(still, at, done, nothing, at))
            if bool(moving.any()):
                return slot[moving], select(x, moving)

    def problem(self, job: Tensor) -> tuple[Energy, Set]:
        self.changed = True
        table, sample, run = self.table, self.slots.sample[job], self.slots.run[job]
        only = len(table.criteria) == 1
        criterion = table.criteria[0] if only else PerRow(table.criteria, table.choice[run])
        energy = self.question.energy(sample, criterion, self.targets.of(sample, table.rival[run]))
        if table.gradient_free:
            energy = Blind(energy, _random.keys(self.question.seed, self.question.ids[sample], run))
        elif table.smooths and bool((widths := table.smoothing[run]).any()):
            energy = Graduated(energy, widths, table.steps[run].long())
        return energy, self.question.domain.take(sample)

    def limit(self, job: Tensor) -> tuple[Tensor, Tensor]:
        steps = self.table.steps[self.slots.run[job]]
        return steps.long(), torch.full_like(steps, torch.inf)

    def observe(self, rows: Rows, evaluation: Evaluation, domain: Set) -> Tensor | None:
        slot, slots, table = rows.job, self.slots, self.table
        if self.changed:
            run, eps = slots.run[slot], self.question.eps[slots.sample[slot]].double()
            last = torch.where(table.last[run] < 0, -1.0, table.last[run] * eps)  # of constant steps, at eps 0 too
            self.watch.follow(rows, table.first[run] * eps, last, table.steps[run])
            new = ((rows.clock == 0) & (run == 0)).nonzero().squeeze(1)
            self.known.clean[slots.sample[slot[new]]] = evaluation.margin[new]
            self.changed = False
        self.watch.improve(rows.x, evaluation.margin)
        over = [
            self.watch.cycles(rows, evaluation) if self.watch.cyclic else None,
            self._hopeless(rows) if self.selective else None,
            slots.cancelled[slot] if slots.doomed else None,
        ]
        masks = [mask for mask in over if mask is not None]
        return reduce(torch.logical_or, masks) if masks else None

    def _hopeless(self, rows: Rows) -> Tensor | None:
        """Runs that the rule gives up on the way; None where there is none."""
        slot, slots, watch, known = rows.job, self.slots, self.watch, self.known
        slots.early[slot] = torch.where(self.rule.early(rows.clock, watch.steps), watch.margin, slots.early[slot])
        sample = slots.sample[slot]
        began = torch.where(self.table.independent[slots.run[slot]], torch.nan, known.prospect.level[sample])
        up = self.rule.hopeless(
            rows.clock, watch.steps, known.clean[sample], watch.margin, known.prospect.shown[sample], began
        )
        up &= watch.final == 0
        if watch.asks and not bool(up.any()):
            return None
        slots.hopeless[slot] |= up
        return up

    def report(self, ended: Rows, status: Tensor) -> None:
        self.slots.doomed = False  # every cancelled row leaves at the next look, and this is one
        # A row that ended before its step was evaluated once more than it moved.
        self.slots.made[ended.job] = ended.clock + (status != Status.FINISHED)
        stays = self.slots.drop(ended.job)
        if bool(stays.any()):
            slot = ended.job[stays]
            self.waiting.append(Ended(slot, select(ended.x, stays), status[stays], *self.watch.best(slot)))

    def _enter(self, turns: Sequence[Turn]) -> tuple[Tensor, Tensor]:
        """Give slots to new runs; return the slots and the starting points, projected onto the allowed sets."""
        question, slot = self.question, self.slots.take(turns)
        self.scheduler.enter(turns, slot.tolist())
        sample, run = self.slots.sample[slot], self.slots.run[slot]
        self.targets.learn(sample[self.table.rival[run] > 0])
        key = _random.keys(question.seed, question.ids[sample], run)
        out = select(question.x, sample)
        for number in sorted({turn.run for turn in turns}):
            rows = (run == number).nonzero().squeeze(1)
            own = sample[rows]
            x, anchor, last = (select(points, own) for points in (question.x, self.anchor, self.known.last))
            origin = Origin(x, question.eps[own], question.budget.take(own), key[rows], anchor, last)
            out = out.index_copy(0, rows, self.table.recipes[number].start.points(origin))
        return slot, question.domain.take(sample).project(out)

    def _verify(self) -> None:
        """Recompute the verdict at every point handed back, then let count what can count."""
        run = Ended(*(torch.cat(parts) for parts in zip(*self.waiting, strict=True)))
        self.waiting, self.idle = [], 0
        run = run.take(self.slots.drop(run.slot))
        slot = run.slot
        if not slot.numel():
            return
        sample = self.slots.sample[slot]
        seen = verify(self.question, sample, run.end)
        broken = seen.broken
        # What breaks is the verified point; an error that verification does not confirm is not even a small margin.
        better = broken | (seen.inside & (seen.margin < run.margin))
        least = torch.where(better, seen.margin, run.margin)
        least = torch.where((seen.margin < 0) & ~broken, torch.inf, least)
        point = choose(better, run.end, run.point)
        status = torch.where(seen.non_finite, int(Status.NON_FINITE), run.status)
        status = torch.where(broken, int(Status.REACHED), status)
        doubtful = (status == Status.REACHED) & ~broken
        forward, backward = self._passes(slot)
        skipped = self.question.draws * (self.table.steps[self.slots.run[slot]].long() - self.slots.made[slot])
        planned = backward + torch.where(self.slots.hopeless[slot], skipped, 0)
        first = (self.slots.run[slot] == 0).nonzero().squeeze(1)
        clean, early = self.known.clean[sample[first]], self.slots.early[slot[first]]
        self.known.prospect.shown[sample[first]] = self.rule.shown(clean, early, least[first])
        made = Outcome(point, run.end, least, broken, doubtful, status, forward, backward, planned)
        self.scheduler.ended.update(zip(slot.tolist(), made.each(), strict=True))
        self._settle(sorted(set(sample.tolist())))

    def _passes(self, slot: Tensor) -> tuple[Tensor, Tensor]:
        """Forward and backward passes of runs that have ended, with verification and ranking of classes."""
        ranked, ranking = self.targets.passes, self.slots.run[slot] == self.table.ranking
        draws, made = self.question.draws, self.slots.made[slot]
        forward = draws * (made + ranked.forward * ranking) + self.question.votes
        return forward, draws * (made * (not self.table.gradient_free) + ranked.backward * ranking)

    def _settle(self, samples: list[int]) -> None:
        """Let ended runs count in order, let the rule decide after each, and cancel what came too early."""
        known, kinds = self.known, self._kinds
        while samples:
            due = self.scheduler.due(samples)
            if not due.samples:
                return
            self.slots.free.extend(due.slots)
            index = torch.tensor(due.samples, device=known.best.device)
            known.settle(index, due.outcomes)
            prospect, clean = known.prospect, known.clean[index]
            runs = prospect.runs[index]
            alone = index[self.table.independent[runs - 1]]
            self.anchor.index_copy_(0, alone, select(known.points, alone))
            prospect.level[alone] = known.best[alone]
            history, gradients = prospect.history[index], prospect.planned[index].sum(1)
            prospect.chance[index] = self.rule.chance(clean, history, runs, gradients, kinds)
            more = runs < self.scheduler.most
            on = (~known.broken[index] & more & self.rule.goes_on(prospect.chance[index])).tolist()
            reach = self.rule.reach(clean, history, gradients, kinds)
            for sample, goes_on, far in zip(due.samples, on, reach.tolist(), strict=True):
                if goes_on:
                    self.scheduler.go_on(sample, far)
                else:
                    self.slots.cancel(*self.scheduler.close(sample))
            samples = [sample for sample, goes_on in zip(due.samples, on, strict=True) if goes_on]


def anew(
    question: Question, rows: Tensor, runs: Sequence[Recipe], rule: Rule, *, seed: int, candidates: int = 0
) -> State:
    """Return what a search of some samples from scratch finds, with random numbers of another seed."""
    return Runner(replace(question.take(rows), seed=seed), runs, rule, candidates).go()
