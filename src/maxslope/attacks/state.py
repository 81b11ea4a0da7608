"""What is known of each sample, as runs are settled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from maxslope._rows import select
from maxslope._status import Status
from maxslope.attacks.question import Question
from maxslope.attacks.rule import Rule
from maxslope.attacks.verify import Verdicts
from maxslope.energies.network import Passes

EARLY = 2  # runs of a sample that break what is easy: what they find says little about what later ones will


class Outcome(NamedTuple):
    """What came of a run, or of several: then every tensor has one more axis in front."""

    point: Tensor  # where its least margin was seen
    end: Tensor  # where it ended
    margin: Tensor  # the least one
    broken: Tensor  # whether the verification confirmed an error
    unconfirmed: Tensor  # whether there was one that it did not confirm
    status: Tensor  # why the run ended
    forward: Tensor  # passes, the verification included
    backward: Tensor
    planned: Tensor  # backward passes, with those that a run given up on the way did not make

    def each(self) -> Iterator[Outcome]:
        """The outcomes of several runs, one by one."""
        return (Outcome(*one) for one in zip(*self, strict=True))


class Counts(NamedTuple):
    """What an attack cost: passes and runs of each sample, ``[rows]``, and passes of whole calls."""

    forward: Tensor
    backward: Tensor
    runs: Tensor
    # what a counting model counts: padding, runs that did not count, the probes and the look at the model included
    executed: Passes
    inspected: int  # the forward passes among them of the look at the model before the attack


class Prospect:
    """What the stopping rule goes by, and what it thinks; every tensor is ``[n]``, and ``like`` one of margins."""

    def __init__(self, like: Tensor, runs: int) -> None:
        self.runs = torch.zeros_like(like, dtype=torch.int64)  # made of an effort's; other stages make others
        # the least margin of each run, [n, runs], inf where it was not made
        self.history = like.new_full((len(like), runs), torch.inf)
        # backward passes of each run, [n, runs], with those that runs given up on the way did not make
        self.planned = torch.zeros_like(self.history, dtype=torch.int32)
        self.chance = torch.ones_like(like, dtype=torch.float64)  # what the rule last thought of another run
        self.foreseen = torch.zeros_like(self.chance)  # the sum of its chances before the runs after the first EARLY
        self.level = torch.full_like(like, torch.nan)  # the margin that jumps start near, NaN before a run has ended
        # how far the first run fell late, as the rule measures it, NaN before it has ended
        self.shown = torch.full_like(self.chance, torch.nan)

    def settle(self, samples: Tensor, margin: Tensor, planned: Tensor) -> None:
        """Take over the next runs of different samples: their least margins and passes."""
        run = self.runs[samples]
        self.planned[samples, run] = planned.int()
        self.history[samples, run] = margin
        self.foreseen[samples] += torch.where(run < EARLY, 0.0, self.chance[samples])
        self.runs[samples] += 1

    def reconsider(self, rule: Rule, clean: Tensor, kinds: Tensor) -> None:
        """Think what another rule would have thought from the first run on."""
        runs = self.runs
        self.foreseen.zero_()
        for made in range(1, int(runs.max()) + 1):
            on = runs >= made
            history, gradients = self.history[on, :made], self.planned[on, :made].sum(1)
            self.chance[on] = rule.chance(clean[on], history, runs[on].clamp_max(made), gradients, kinds[:made])
            self.foreseen += torch.where((runs > made) & (made >= EARLY), self.chance, 0.0)

    def absorb(self, samples: Tensor, other: Prospect) -> None:
        """Take over what the rule thought of a new search for the samples."""
        self.foreseen[samples] += other.foreseen
        self.chance[samples] = other.chance


class State:
    """What is known of each sample. Every tensor is ``[n]`` or ``[n, *shape]``."""

    def __init__(self, question: Question, runs: int) -> None:
        n, device = question.x.shape[0], question.x.device
        self.best = torch.full((n,), torch.inf, dtype=question.x.dtype, device=device)  # the least margin seen
        self.points = question.x.clone()  # where
        self.clean = torch.full_like(self.best, torch.nan)  # the margin at the first point of the first run
        self.last = self.points.clone()  # where the last run ended
        self.prospect = Prospect(self.best, runs)
        self.broken = torch.zeros(n, dtype=torch.bool, device=device)
        self.non_finite = torch.zeros_like(self.broken)
        # by how much steps near ``points`` may lower the margin, to first order and over kinks; NaN where unknown
        self.local = torch.full_like(self.best, torch.nan)
        self.unconfirmed = torch.zeros(n, dtype=torch.int64, device=device)
        self.status = torch.full((n,), int(Status.RUNNING), dtype=torch.int64, device=device)
        self.forward = torch.zeros_like(self.status)
        self.backward = torch.zeros_like(self.status)
        self.runs = torch.zeros_like(self.status)

    def settle(self, samples: Tensor, outcomes: Sequence[Outcome]) -> None:
        """Take over the outcomes of the next runs of different samples: their passes, least margins and verdicts."""
        run = Outcome(*(torch.stack(column) for column in zip(*outcomes, strict=True)))
        self.forward[samples] += run.forward
        self.backward[samples] += run.backward
        self.prospect.settle(samples, run.margin, run.planned)
        self.runs[samples] += 1
        self.last.index_copy_(0, samples, run.end)  # copies rows whole, as an assignment by index does not
        self.status[samples] = run.status
        self.non_finite[samples] |= run.status == Status.NON_FINITE
        self.unconfirmed[samples] += run.unconfirmed
        better = run.broken | (run.margin < self.best[samples])
        self.best[samples[better]], self.local[samples[better]] = run.margin[better], torch.nan
        self.points.index_copy_(0, samples[better], select(run.point, better))
        self.broken[samples] = run.broken

    def absorb(self, index: Tensor, other: State) -> None:
        """Take over what a later attack found on the samples ``index``, none of them broken before."""
        for name in ("forward", "backward", "runs", "unconfirmed"):
            getattr(self, name)[index] += getattr(other, name)
        better = other.broken | (other.best < self.best[index])
        self.best[index[better]], self.points[index[better]] = other.best[better], other.points[better]
        self.local[index] = torch.where(better | other.local.isfinite(), other.local, self.local[index])
        self.status[index[other.broken]] = int(Status.REACHED)
        self.broken[index] = other.broken
        self.non_finite[index] |= other.non_finite

    def verified(self, samples: Tensor, seen: Verdicts) -> None:
        """Take over what a verification, one forward pass each, says of new points; a margin outside counts as inf."""
        self.broken[samples], self.points[samples] = seen.broken, seen.points
        self.best[samples] = torch.where(seen.inside, seen.margin, torch.inf).nan_to_num(torch.inf, torch.inf)
        self.forward[samples] += 1

    def count(self, samples: Tensor, forward: int, backward: int) -> None:
        """Add passes made for samples outside of runs."""
        self.forward[samples] += forward
        self.backward[samples] += backward

    def counts(self, question: Question) -> Counts:
        """Return what everything cost so far."""
        executed = question.network.executed.passes()
        return Counts(self.forward, self.backward, self.runs, executed, question.inspected)
