"""The pool: a fixed number of slots, one run per slot, and a run that ends is replaced at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from maxslope import _random
from maxslope._rows import choose, select
from maxslope._status import Status
from maxslope.attacks._targets import nearest_first
from maxslope.attacks._watch import Watch
from maxslope.attacks.question import Question
from maxslope.attacks.recipes import Recipe
from maxslope.attacks.rule import Rule
from maxslope.attacks.starts import Origin
from maxslope.attacks.tally import Run, Tally
from maxslope.attacks.verify import verify
from maxslope.energies import Blind, Energy, Evaluation, PerRow
from maxslope.loop import Feed, Rows, Stop, march
from maxslope.schemes import StepSize
from maxslope.sets import Box, Set

_SHORT = 16  # steps below which looking for cycles does not pay
_CROWDED = 16  # padding below this part of the rows under way is not worth a search for runs ahead of time


class Pool(Feed, StepSize):
    """Takes each sample through its runs, in order, until it is broken, the rule gives it up or no run is left.

    What happens to a sample depends on the sample alone: its runs are numbered, their random numbers keyed by (seed,
    sample id, run), and they are settled in that order. Slots are only where runs take place. Calls of the model have
    a fixed number of rows; where rows would be padding, later runs of samples that are still open start ahead of time.
    Such a run counts only if its turn comes, so points, verdicts and passes are those of one run after the other.

    Every run ends with a verification: one forward pass at the point it hands back, in a canonical call, so that a
    run of n steps costs n backward and n + 1 forward passes.

    Args:
        question: the samples.
        runs: the recipes of each sample, in order; one scheme for all.
        rule: who goes on.
        calls: slots, in calls of the model.
        candidates: how many of the classes with the largest logits are ordered as targets by their distance to first
            order, one forward and one backward pass each; 0 keeps the order of the logits.
        patience: see :class:`Feed`; by default 1 on a processor and 4 on other devices. Nothing but executed passes
            depends on it.
    """

    def __init__(
        self, question: Question, runs: Sequence[Recipe], rule: Rule, calls: int, candidates: int = 0,
        patience: int | None = None,
    ) -> None:  # fmt: skip
        self.question, self.recipes, self.rule, self.candidates = question, runs, rule, candidates
        self.backward = 0 if runs[0].blind else 1  # passes of a step
        n, device = question.x.shape[0], question.x.device
        self.patience = patience or (1 if device.type == "cpu" else 4)
        self.tile = question.network.tile or n
        self.room = calls * self.tile
        self.tally = Tally(question, len(runs))
        self.ready: deque[int] = deque()
        self.most = 0  # runs that a sample makes for now
        self.open: dict[int, dict[int, int]] = {}  # sample -> run -> lane
        self.ended: dict[int, Run] = {}  # lane -> outcome, until its turn
        self.pending: list[tuple[Tensor, ...]] = []  # lanes, where they ended, why, the least margin and where
        self.idle = 0  # passes that rows which wait for their verification could have made
        self.settled = [0] * n  # runs of each sample, as in the tally
        self.reach = [float(runs[0].steps)] * n  # gradients that each sample is expected to go on for
        self.ranked: Tensor | None = None
        self.known = torch.zeros(n, dtype=torch.bool, device=device)
        self.ranking = next((k for k, r in enumerate(runs) if r.rival > 0 and question.goal.ranked), -1)
        self.independent = torch.tensor([not r.start.looks_back for r in runs], device=device)
        self.anchor = question.x.clone()  # the best point that runs which look back may see
        self.waits = _settled_before(runs)
        self.criteria = list(dict.fromkeys(r.criterion for r in runs))
        numbers = [
            (r.first, -1.0 if r.last is None else r.last, r.steps, self.criteria.index(r.criterion), r.rival)
            for r in runs
        ]
        table = torch.tensor(numbers, dtype=torch.float64, device=device)
        self.first, self.final, self.steps, self.choice, self.rival = table.T.contiguous()
        lanes = 3 * self.room
        self.free = list(range(lanes))
        self.sample, self.run, self.made = (torch.zeros(lanes, dtype=torch.int64, device=device) for _ in range(3))
        self.cancelled = torch.zeros(lanes, dtype=torch.bool, device=device)
        self.doomed = False  # whether a lane under way is cancelled
        self.spent = False  # whether no run can start ahead of time until another sample enters or a run is settled
        self.entered = False  # whether a sample's first run has made no step yet
        self.cyclic = any(self._walks(r) for r in runs) and isinstance(question.domain, Box)
        self.watch = Watch(lanes, question.x, cyclic=self.cyclic, asks=self.patience == 1)

    @staticmethod
    def _walks(recipe: Recipe) -> bool:
        """Whether steps are constant: a point met twice is then a cycle, but not where points are drawn."""
        return recipe.last is None and recipe.steps > _SHORT and not recipe.blind

    def go(self, runs: int | None = None) -> Tally:
        """Run everything, or the first ``runs`` of each sample at most; called again, it goes on from there.

        Returns:
            What is known of each sample.
        """
        before, self.most = self.most, len(self.recipes) if runs is None else min(runs, len(self.recipes))
        tally = self.tally
        more = (tally.runs == before) & (tally.runs < self.most)
        on = more & ~tally.broken & ((tally.runs == 0) | self.rule.goes_on(tally.chance))
        self.ready.extend(on.nonzero().squeeze(1).tolist())
        maker, space = self.recipes[0].scheme, self.recipes[0].space or self.question.budget.norm
        march(self, maker(self, space), stop=Stop(reached=True, stationary=True), room=self.room)
        return self.tally

    def admit(self, room: int) -> tuple[Tensor, Tensor] | None:
        """See :class:`Feed`."""
        while True:
            waiting, live = sum(ended[0].numel() for ended in self.pending), self.room - room
            self.idle += (1 + self.backward) * waiting
            # To wait for company costs what waiting rows could have done, not to wait the padding of a call.
            if waiting and (not live or self.idle >= self.tile - waiting):
                self._verify()
            turns = self._next(room, live)
            if not turns:
                if not live and self.pending:
                    continue
                return None
            lane, x = self._enter(turns)
            moving = self.steps[self.run[lane]] * self.question.eps[self.sample[lane]] > 0
            if not bool(moving.all()):
                still, at = lane[~moving], x[~moving]
                nothing = at.new_full((len(at),), torch.inf)
                self.pending.append((still, at, torch.full_like(still, int(Status.FINISHED)), nothing, at))
            if bool(moving.any()):
                return lane[moving], select(x, moving)

    def problem(self, job: Tensor) -> tuple[Energy, Set]:
        """See :class:`Feed`."""
        sample, run = self.sample[job], self.run[job]
        only = len(self.criteria) == 1
        criterion = self.criteria[0] if only else PerRow(self.criteria, self.choice[run].long())
        energy = self.question.energy(sample, criterion, self._rivals(sample, run))
        if self.recipes[0].blind:
            energy = Blind(energy, _random.keys(self.question.seed, self.question.ids[sample], run))
        return energy, self.question.domain.take(sample)

    def limit(self, job: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Feed`."""
        steps = self.steps[self.run[job]]
        return steps.long(), torch.full_like(steps, torch.inf)

    def at(self, clock: Tensor, row: Tensor) -> Tensor:
        """See :class:`StepSize`."""
        return self.watch.step(clock)

    def observe(self, rows: Rows, evaluation: Evaluation, domain: Set) -> Tensor | None:
        """See :class:`Feed`."""
        lane, tally = rows.job, self.tally
        if self.watch.job is not lane:
            run, eps = self.run[lane], self.question.eps[self.sample[lane]].double()
            final = torch.where(self.final[run] < 0, -1.0, self.final[run] * eps)  # of constant steps, at eps 0 too
            self.watch.follow(rows, self.first[run] * eps, final, self.steps[run])
        if self.entered:
            new = ((rows.clock == 0) & (self.run[lane] == 0)).nonzero().squeeze(1)
            tally.clean[self.sample[lane[new]]] = evaluation.margin[new]
            self.entered = False
        self.watch.improve(rows.x, evaluation.margin)
        back = self.watch.cycles(rows, evaluation) if self.cyclic else None
        if not self.doomed:
            return back
        return self.cancelled[lane] if back is None else self.cancelled[lane] | back

    def report(self, ended: Rows, status: Tensor) -> None:
        """See :class:`Feed`."""
        self.doomed = False  # every cancelled row leaves at the next look, and this is one
        # A row that ended before its step was evaluated once more than it moved.
        self.made[ended.job] = ended.clock + (status != Status.FINISHED)
        gone = self.cancelled[ended.job]
        self.free.extend(ended.job[gone].tolist())
        if not bool(gone.all()):
            stays = ~gone
            lane = ended.job[stays]
            self.pending.append((lane, select(ended.x, stays), status[stays], *self.watch.best(lane)))

    def _next(self, room: int, live: int) -> list[tuple[int, int]]:
        """The (sample, run) pairs that enter now: samples whose turn it is, then runs ahead of time, not padding."""
        count = min(room, len(self.ready), len(self.free))
        turns = []
        for _ in range(count):
            sample = self.ready.popleft()
            turns.append((sample, self.settled[sample]))
            self.open.setdefault(sample, {})
        if count:
            self.spent = False
        padding = min(-(live + count) % self.tile, room - count, len(self.free) - count)
        if live + count and padding * _CROWDED > live + count and not self.spent:
            ahead = self._ahead(padding, turns)
            self.spent = len(ahead) < padding
            turns += ahead
        return turns

    def _ahead(self, most: int, turns: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """At most ``most`` later runs that may start now, those first which are surest to count.

        A run will count if its sample goes on until its turn comes: if the gradients of the runs before it are few
        beside those that the sample is expected to go on for. Runs beyond that are not started: padding costs the same.
        """
        found, entering = [], set(turns)
        for sample, lanes in self.open.items():
            settled, reach, before, own = self.settled[sample], self.reach[sample], 0.0, 0
            for run in range(settled, self.most):
                if before > reach or own == most:
                    break
                if run not in lanes and (sample, run) not in entering and self.waits[run] <= settled:
                    found.append((before / reach if reach else 0.0, before, sample, run))
                    own += 1
                before += self.recipes[run].steps
        return [(sample, run) for _, _, sample, run in sorted(found)[:most]]

    def _enter(self, turns: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """Give lanes to new runs; return the lanes and the starting points, projected onto the allowed sets."""
        question, tally, device = self.question, self.tally, self.question.x.device
        lane = torch.tensor([self.free.pop() for _ in turns], device=device)
        sample, run = torch.tensor(turns, device=device).T
        for at, (s, r) in zip(lane.tolist(), turns, strict=True):
            self.open[s][r] = at
        self.sample[lane], self.run[lane], self.made[lane] = sample, run, 0
        self.cancelled[lane] = False
        self.entered = self.entered or bool((run == 0).any())
        self._rank(sample, run)
        key = _random.keys(question.seed, question.ids[sample], run)
        out = select(question.x, sample)
        for r in sorted({r for _, r in turns}):
            rows = (run == r).nonzero().squeeze(1)
            own = sample[rows]
            x, anchor, last = (select(points, own) for points in (question.x, self.anchor, tally.last))
            origin = Origin(x, question.eps[own], question.budget.take(own), key[rows], anchor, last)
            out = out.index_copy(0, rows, self.recipes[r].start.points(origin))
        return lane, question.domain.take(sample).project(out)

    def _verify(self) -> None:
        """Recompute the verdict at every point handed back, then settle what can be settled."""
        lane, x, status, margin, point = (torch.cat(parts) for parts in zip(*self.pending, strict=True))
        self.pending, self.idle = [], 0
        gone = self.cancelled[lane]
        self.free.extend(lane[gone].tolist())
        lane, x, status, margin, point = (select(t, ~gone) for t in (lane, x, status, margin, point))
        if not lane.numel():
            return
        question, sample = self.question, self.sample[lane]
        seen = verify(question, sample, x)
        broken = seen.broken
        # What breaks is the verified point; an error that verification does not confirm is not even a small margin.
        better = seen.inside & (seen.margin < margin)
        least = torch.where(broken | better, seen.margin, margin)
        least = torch.where((seen.margin < 0) & ~broken, torch.inf, least)
        point = choose(broken | better, x, point)
        status = torch.where(broken, int(Status.REACHED), torch.where(seen.non_finite, int(Status.NON_FINITE), status))
        doubtful = (status == Status.REACHED) & ~broken
        ranking = self.run[lane] == self.ranking
        tried = 0 if self.ranked is None else min(self.candidates, self.ranked.shape[1])
        backward = self.made[lane] * self.backward + tried * ranking
        forward = self.made[lane] + 1 + (1 + tried) * ranking
        columns = (least, broken, doubtful, status, forward, backward)
        listed = (c.tolist() for c in columns)
        for at, *values in zip(lane.tolist(), point.unbind(), x.unbind(), *listed, strict=True):
            self.ended[at] = Run(*values)
        self._settle(sorted(set(sample.tolist())))

    def _settle(self, samples: list[int]) -> None:
        """Settle ended runs in order, let the rule decide after each, and cancel what came too early."""
        tally, self.spent = self.tally, False
        while samples:
            turn, outcomes = [], []
            for s in samples:
                lane = self.open[s].get(self.settled[s])
                if lane is not None and lane in self.ended:
                    outcomes.append(self.ended.pop(lane))
                    self.open[s].pop(self.settled[s])
                    self.settled[s] += 1
                    self.free.append(lane)
                    turn.append(s)
            if not turn:
                return
            index = torch.tensor(turn, device=tally.best.device)
            tally.settle(index, outcomes)
            alone = index[self.independent[tally.runs[index] - 1]]
            self.anchor.index_copy_(0, alone, select(tally.points, alone))
            clean, history, gradients = tally.clean[index], tally.history[index], tally.backward[index]
            tally.chance[index] = self.rule.chance(clean, history, tally.runs[index], gradients, self.independent)
            on = ~tally.broken[index] & (tally.runs[index] < self.most) & self.rule.goes_on(tally.chance[index])
            reach = self.rule.reach(clean, history, gradients, self.independent)
            for s, goes_on, self.reach[s] in zip(turn, on.tolist(), reach.tolist(), strict=True):
                if not goes_on:
                    self._close(s)
                elif self.settled[s] not in self.open[s]:
                    self.ready.append(s)
            samples = [s for s, goes_on in zip(turn, on.tolist(), strict=True) if goes_on]

    def _close(self, sample: int) -> None:
        """A sample is decided: runs ahead of time leave at the next step, or at once if they have ended."""
        for lane in self.open.pop(sample).values():
            self.cancelled[lane] = self.doomed = True
            if self.ended.pop(lane, None) is not None:
                self.free.append(lane)

    def _rivals(self, sample: Tensor, run: Tensor) -> Tensor | None:
        """The fixed class each run raises, -1 for the strongest at each point."""
        rank = self.rival[run].long()
        if self.ranked is None or not bool((rank > 0).any()):
            return None
        at = (rank - 1) % self.ranked.shape[1]
        return torch.where(rank > 0, self.ranked[sample].gather(1, at[:, None]).squeeze(1), -1)

    def _rank(self, sample: Tensor, run: Tensor) -> None:
        """Rank the wrong classes of samples that need it at the clean point: one forward pass each for the logits.

        The pass, and those of :func:`nearest_first`, belong to the sample's first run that fixes a rival, and are
        counted when that run is settled.
        """
        missing = sample[(self.rival[run] > 0) & ~self.known[sample]].tolist()
        if not self.question.goal.ranked or not missing:
            return
        wanted = torch.tensor(sorted(set(missing)), device=sample.device)
        question = self.question
        scores, label = question.goal.scores(question.outputs(wanted, question.x[wanted]), question.y[wanted])
        z = scores.scatter(1, label[:, None], -torch.inf)
        order = z.argsort(dim=1, descending=True, stable=True)[:, :-1]
        if self.candidates:
            order = nearest_first(self.question, wanted, order, self.candidates)
        if self.ranked is None:
            self.ranked = order.new_zeros(self.question.x.shape[0], order.shape[1])
        self.ranked[wanted], self.known[wanted] = order, True


def _settled_before(runs: Sequence[Recipe]) -> list[int]:
    """How many runs of a sample must be settled before each may start."""
    waits, known = [], 0
    for k, recipe in enumerate(runs):
        waits.append(k if recipe.start.follows else known if recipe.start.looks_back else 0)
        known = known if recipe.start.looks_back else k + 1
    return waits
