"""An attack under way: the stages of an effort are made, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from maxslope import _random
from maxslope.attacks._plan import LEAST
from maxslope.attacks._probe import PROBES, Beyond
from maxslope.attacks.effort import Effort, grouped
from maxslope.attacks.finish import gathered
from maxslope.attacks.indicators import Findings, indicators, indicators_of_values, misled
from maxslope.attacks.outside import pursue
from maxslope.attacks.patterns import piecewise, solved
from maxslope.attacks.question import Question
from maxslope.attacks.recipes import square
from maxslope.attacks.rule import Rule
from maxslope.attacks.runs import Runner, anew
from maxslope.attacks.stages import (
    Bundle,
    OutsideProbe,
    Patterns,
    Pursuit,
    RandomSearch,
    Rescue,
    Restarts,
    Runs,
    Stage,
)
from maxslope.attacks.state import State
from maxslope.criteria import OwnMargin

_NEAR = 0.2  # of the margin at the first point: samples that nearly fell
_SEARCHED = 12  # runs of an effort, the first left out if there are others, that a new search for good points makes
_ENDLESS = 2**62  # passes, where there is no limit
_TRIAL = 5  # the part of its queries that a random search must show its worth in


class Search:
    """Makes the stages of an effort on the samples that stand."""

    def __init__(self, question: Question, effort: Effort, *, probe: bool) -> None:
        if effort.limit is not None:  # each step takes as many passes as the model has draws
            fewer = effort.limited(effort.limit // question.draws)
            effort = replace(fewer, name=effort.name, limit=effort.limit)  # the same, if it was limited so
        self.question, self.limit = question, effort.limit
        self.probe = probe  # whether probing stages are made, and the indicators asked
        self.effort = effort  # as the probes decided; without them it does the same again
        self.runner = Runner(question, effort.runs, effort.rule, effort.candidates)
        self.known, self.beyond = self.runner.known, Beyond(question)
        self.begun = 0  # runs of the stages so far
        self.made: list[Stage] = []  # of some sample, probing ones included
        self.findings: Findings | None = None  # what the indicators said, if they were asked

    def go(self) -> None:
        """Make all stages."""
        stages = deque(self._planned())
        while stages:
            stage = stages.popleft()
            if isinstance(stage, OutsideProbe | Rescue):
                self.made.append(stage)
                if self._says_so(stage):
                    self.effort, stages = self.effort.decided(stage), deque(stage.then)
                elif isinstance(stage, OutsideProbe) and stage.weight != 1 and self.runner.misled():
                    self.effort = self.effort.weighted(stage)
                    self.runner.go_by(self.effort.rule)
            elif _MAKERS[type(stage)](self, stage):
                self.made.append(stage)
        self._ask()

    def _planned(self) -> tuple[Stage, ...]:
        """The stages without probing ones that are not made; runs on either side of one are then made in one go."""
        asks = self.probe and not self.effort.gradient_free
        made = {OutsideProbe: asks and self._leaves(Beyond.passes), Rescue: asks}
        return grouped([stage for stage in self.effort.stages if made.get(type(stage), True)])

    def _says_so(self, stage: OutsideProbe | Rescue) -> bool:
        """Whether a probing stage says that gradients are not to be trusted."""
        if isinstance(stage, OutsideProbe):
            said = misled(self.question, self.known, self.beyond)
            self._charge(self.beyond.found.backward)
            return said
        self._ask()
        return self.findings is not None and self.findings.masked

    def _leaves(self, passes: int) -> bool:
        """Whether the limit leaves so many passes after all runs."""
        runs = sum(run.steps for run in self.effort.runs) + self.effort.candidates
        return self.limit is None or self.question.draws * (runs + passes) <= self.limit

    def _ask(self) -> None:
        """Ask the indicators, once."""
        if not self.probe or self.findings is not None:
            return
        among = None
        if self.limit is not None:
            among = self.known.backward + self.question.draws * PROBES <= self.limit - self._later()
        ask = indicators_of_values if self.effort.gradient_free else indicators
        self.findings = ask(self.question, self.known, beyond=self.beyond, among=among)
        self._charge(self.findings.backward)

    def _charge(self, probes: Tensor) -> None:
        """Take what probes cost so far, ``[n]``, off the limit of every sample: all are treated alike.

        An effort that replays another keeps what that one's probes took.
        """
        if self.limit is not None:
            self.effort = replace(self.effort, reserve=max(self.effort.reserve, int(probes.max())))

    def _left(self, rows: Tensor) -> Tensor:
        """Backward passes that the limit leaves some samples, beside those of runs to come."""
        most = _ENDLESS if self.limit is None else self.limit - self.effort.reserve - self._later()
        return most - self.known.backward[rows]

    def _later(self) -> int:
        """Backward passes that the runs to come take of a sample, at most."""
        before, runs = self.effort.runs[: self.begun], self.effort.runs[self.begun :]
        ranking = any(run.rival for run in runs) and not any(run.rival for run in before)
        steps = sum(run.steps for run in runs if not run.blind)
        return self.question.draws * (steps + self.effort.candidates * ranking)

    def _near(self, among: Tensor | bool = True) -> Tensor:
        """The samples that nearly fell."""
        known = self.known
        return (~known.broken & (known.best <= _NEAR * known.clean) & among).nonzero().squeeze(1)

    # Each of the following makes a stage, and returns whether there was a sample to make it of.

    def _run(self, stage: Runs) -> bool:
        """Go on with the runs, to the last of this stage."""
        before = int(self.known.runs.sum())
        self.begun += len(stage.recipes)
        self.runner.go(self.begun)
        return int(self.known.runs.sum()) > before

    def _pursue(self, stage: Pursuit) -> bool:
        """Look for errors from outside the budget, with what the limit leaves."""
        self._ask()
        standing = (~self.known.broken).nonzero().squeeze(1)
        passes = (self._left(standing) // self.question.draws).clamp_max(stage.passes)
        standing, passes = standing[passes >= LEAST], passes[passes >= LEAST]
        if standing.numel():
            self.known.absorb(standing, pursue(self.question.take(standing), passes, stage.risk))
        return bool(standing.numel())

    def _gather(self, stage: Bundle) -> bool:
        """Descend from points that nearly fell, over kinks, with what the limit leaves beside the certificate."""
        known, question = self.known, self.question
        if question.realize is not None or question.draws > 1 or self.effort.gradient_free:
            return False
        near = self._near(known.local.isnan())  # NaN: not asked at this point
        if self.limit is not None and near.numel():
            self._ask()  # what probes take is left to them
        passes = (self._left(near) - 1).clamp_max(stage.passes)
        near, passes = near[passes > 0], passes[passes > 0]
        if near.numel():
            known.absorb(near, gathered(question.take(near), known.points[near], known.best[near], passes, stage.share))
        return bool(near.numel())

    def _restart(self, stage: Restarts) -> bool:
        """Search from scratch, with other random numbers; without a limit of passes alone."""
        known, effort, made = self.known, self.effort, False
        for number in range(1, stage.times + 1):
            on = (~known.broken & effort.rule.goes_on(known.prospect.chance)).nonzero().squeeze(1)
            if self.limit is not None or not on.numel():
                break
            seed, made = self.question.seed + number * _random.RESTARTS, True
            found = anew(self.question, on, stage.recipes, effort.rule, seed=seed, candidates=effort.candidates)
            known.absorb(on, found)
            known.prospect.absorb(on, found.prospect)
        return made

    def _solve(self, stage: Patterns) -> bool:
        """Search exactly between good points of samples that nearly fell; without a limit of passes alone."""
        known, near = self.known, self._near()
        if self.limit is not None or self.effort.gradient_free or not near.numel():
            return False
        net = piecewise(self.question)
        if net is None:
            return False
        runs = self.effort.runs[1:_SEARCHED] or self.effort.runs
        known.absorb(near, solved(self.question.take(near), known.points[near], known.best[near], net, runs, stage))
        return True

    def _search(self, stage: RandomSearch) -> bool:
        """Search by values, at length where a short search lowers the margin by more than everything before it did."""
        self._ask()
        known, standing = self.known, (~self.known.broken).nonzero().squeeze(1)
        made = bool(standing.numel())
        for queries in (-(-stage.queries // _TRIAL), stage.queries):
            if standing.numel():
                before = known.best[standing]
                found = anew(self.question, standing, (square(queries),), Rule(0.0), seed=self.question.seed)
                known.absorb(standing, found)
                lowered, gained = before - known.best[standing], known.clean[standing] - before
                standing = standing[~known.broken[standing] & (lowered > gained.nan_to_num().clamp_min(0))]
        return made


_MAKERS: dict[type, Callable[[Search, Any], bool]] = {
    Runs: Search._run,
    Pursuit: Search._pursue,
    RandomSearch: Search._search,
    Bundle: Search._gather,
    Restarts: Search._restart,
    Patterns: Search._solve,
}


class Certificate(NamedTuple):
    """How a margin may still fall near points that stand; every tensor is ``[rows]``, NaN where it was not asked."""

    gap: Tensor  # the linear gap of the margin, max { <grad m, x - z> : z allowed }
    slope: Tensor  # its constrained slope, in logits per unit of the norm
    local_gap: Tensor  # by how much allowed steps near the point may lower it, to first order and over kinks

    @classmethod
    def none(cls, known: State) -> Certificate:
        """Return what is known without another pass."""
        nothing = torch.full_like(known.best, torch.nan)
        return cls(nothing, nothing.clone(), known.local.masked_fill(known.broken, torch.nan))


def certificate(question: Question, known: State, effort: Effort, moved: Tensor | None = None) -> Certificate:
    """Return gap and slope of the margin at the best points of the samples that stand: one more pass each.

    The margin of points that were ``moved``, ``[rows]`` bool, is looked at again.

    NaN where a sample is broken, where the effort's limit of backward passes is spent, and of efforts that look at
    values alone.
    """
    found = Certificate.none(known)
    if effort.gradient_free:
        return found
    moved = torch.zeros_like(known.broken) if moved is None else moved
    certified = ~known.broken & known.best.isfinite()
    if effort.limit is not None:
        certified &= known.backward + question.draws <= effort.limit - effort.reserve
    standing = certified.nonzero().squeeze(1)
    if not standing.numel():
        return found
    x, domain = known.points[standing], question.domain.take(standing)
    # The energy of the margin falls as the adversary gains, so its gradient is that of the margin itself.
    e = question.energy(standing, OwnMargin()).evaluate(x)
    xi = e.gradient
    known.count(standing, question.draws, question.draws)
    again = moved[standing]  # where rounding took a point out of its set, and it was moved, its margin is another one
    known.best[standing[again]] = e.margin[again]
    found.gap[standing] = domain.gap(xi, x)
    found.slope[standing] = domain.slope(xi, x, question.budget.norm)
    return found
