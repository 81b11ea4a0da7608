"""The measurements behind the indicators: each on a small part of the samples, every pass counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from maxslope import _random
from maxslope._rows import choose, column, flat, inner
from maxslope._status import Status
from maxslope.attacks.findings import Finding, Kind, Severity
from maxslope.attacks.outside import pursue
from maxslope.attacks.question import Question
from maxslope.attacks.state import State
from maxslope.attacks.verify import verify
from maxslope.criteria import OwnMargin
from maxslope.energies import Average, Blind, CrossEntropy, Energy, Evaluation
from maxslope.goals import Misclassified
from maxslope.loop import Record, Steps, Stop, flow
from maxslope.schemes import Cosine, RandomSearch, SemiImplicit

PROBES = 80  # gradients that the probes of a sample take, at most
_MOST = 32  # standing samples probed


class Beyond:
    """Two short pursuits, from outside the budget, of a few samples; none is pursued twice."""

    passes = 40

    def __init__(self, question: Question) -> None:
        self.question, self.found = question, State(question, 1)

    def look(self, rows: Tensor) -> Tensor:
        """Whether errors within the budget were found for ``rows`` of the question, ``[rows]``."""
        new = rows[self.found.runs[rows] == 0]
        if new.numel():
            self.found.absorb(new, pursue(self.question.take(new), self.passes))
        return self.found.broken[rows]


def probed(question: Question, known: State, among: Tensor | None = None) -> Tensor:
    """Return the rows to probe: a few of those that stand, and are ``among`` those that may be, ``[n]`` bool."""
    standing = ~known.broken & known.best.isfinite() & (question.eps > 0)
    standing = standing if among is None else standing & among
    return _part(question, standing, min(_MOST, max(8, question.x.shape[0] // 64)))


def _part(question: Question, among: Tensor, most: int) -> Tensor:
    """At most ``most`` of the rows where ``among`` holds, those of the smallest hashes, in order of the question."""
    index = among.nonzero().squeeze(1)
    return index[_order(question, index)[:most]].sort().values


def _order(question: Question, rows: Tensor) -> Tensor:
    """The order of rows of the question by a hash of (seed, id), which no order of the samples changes."""
    return _random.keys(question.seed, question.ids[rows], _random.PROBE_ORDER).argsort(stable=True)


class Spot:
    """The probed samples as the attack left them; every tensor is ``[m]``, points are ``[m, *shape]``."""

    def __init__(self, question: Question, known: State, rows: Tensor) -> None:
        self.x, self.domain = question.x[rows], question.domain.take(rows)
        self.margin = question.energy(rows, OwnMargin())
        # What a realization rounds has steps, whose derivative is made up on purpose: differences are asked without it.
        self.smooth = replace(question, realize=None).energy(rows, OwnMargin())
        self.own, self.least = known.points[rows], known.best[rows]  # the best points of the attack, the margin there
        # whether the attack spent at least 10 gradients, or stopped where there was none
        self.long = (known.backward[rows] >= 10) | (known.status[rows] == Status.STATIONARY)


class Measured(NamedTuple):
    """What gradients say at the probed samples; every tensor is ``[m]``."""

    clean: Tensor  # the margin at the clean point
    gradient: Tensor  # its gradient there, [m, *shape]
    promise: Tensor  # the linear gap there: to first order no allowed point lowers the margin by more
    gap: Tensor  # the linear gap at the best point
    flat_loss: Tensor  # whether the cross-entropy has a gradient of exactly zero at the clean point

    @property
    def rounding(self) -> Tensor:
        """What differences of margins may be off by."""
        return 200 * torch.finfo(self.gradient.dtype).eps * (1 + self.clean.abs())


class Probe:
    """A small part of the samples that stand, and what is asked about them."""

    queries = 60

    def __init__(
        self, question: Question, known: State, beyond: Beyond | None = None, among: Tensor | None = None
    ) -> None:
        self.question, self.known, self.beyond = question, known, beyond or Beyond(question)
        self.forward = torch.zeros_like(known.backward)  # passes, [n], without those that ``beyond`` counts itself
        self.backward = torch.zeros_like(known.backward)
        self.rows = probed(question, known, among)  # of the question, [m]
        self.some = _part(question, torch.ones_like(known.broken), 2 * _MOST)  # standing or not, [k]
        self.spot = Spot(question, known, self.rows)
        self.points, self.margins = self.spot.own.clone(), self.spot.least.clone()  # the best that the probes met

    @cached_property
    def measured(self) -> Measured:
        """Margin and cross-entropy at the clean points, and the margin at the best ones, evaluated once."""
        spot = self.spot
        here = self._evaluate(spot.margin, spot.x)
        loss = self._evaluate(self.question.energy(self.rows, CrossEntropy()), spot.x)
        best = self._evaluate(spot.margin, spot.own)
        return Measured(
            clean=here.margin,
            gradient=here.gradient,
            promise=spot.domain.gap(here.gradient, spot.x),
            gap=spot.domain.gap(best.gradient, spot.own),
            flat_loss=(flat(loss.gradient) == 0).all(1),
        )

    def ids(self, rows: Tensor) -> tuple[int, ...]:
        """The ids of rows of the question."""
        return tuple(self.question.ids[rows].tolist())

    def finding(self, kind: Kind, seen: str, hit: Tensor, weight: Severity | None = None) -> Finding:
        """A finding on some of the probed samples."""
        return Finding(kind, seen, self.ids(self.rows[hit]), weight)

    def of(self, hit: Tensor) -> str:
        """How many of the probed samples, in words."""
        return f"{int(hit.sum())} of {hit.numel()} probed samples"

    def unsteady(self) -> Tensor:
        """Whether two identical calls of the model gave different logits, for each of ``some``."""
        x = self.question.x[self.some]
        self.clean_logits, again = (self._logits(self.some, x) for _ in range(2))
        same = self.clean_logits == again  # infinite ones too
        off = flat((self.clean_logits - again).abs().masked_fill(same, 0.0)).amax(1)
        size = flat(self.clean_logits.abs().masked_fill(self.clean_logits.isinf(), 0.0)).amax(1)
        return off > 1e-5 * size

    @property
    def looked_at(self) -> int:
        """Clean samples whose labels and answers are known."""
        return self.some.numel() if self.question.clean is None else self.question.clean.shape[0]

    def unseen_classes(self) -> tuple[Tensor, Tensor, list[int]] | None:
        """Broken rows, whether each went to a class unknown on clean data, and those classes; None if unanswerable."""
        question = self.question
        rows = _part(question, self.known.broken, 2 * _MOST)
        if question.goal != Misclassified() or not rows.numel():
            return None
        if question.x.shape[0] < 5 * self.clean_logits.shape[1]:
            return None
        known = torch.cat([question.y, self.clean_logits.argmax(1)]) if question.clean is None else question.clean
        answers = self._logits(rows, self.known.points[rows]).argmax(1)
        hit = ~torch.isin(answers, known)
        return rows, hit, sorted(set(answers[hit].tolist()))

    def differences(self) -> tuple[Tensor, Tensor]:
        """Whether margins change along short steps otherwise than gradients say, and whether tiny ones change nothing.

        The steps are 1/256 of the budget long, spread over all coordinates that can move: once down the gradient and
        once at random. An error counts if it exceeds half of what the steepest one of the two should give. Tiny steps
        are 64 times shorter. The points are not realized: that a grid has steps was asked for, and is no masking.
        """
        question, spot, measured, x = self.question, self.spot, self.measured, self.spot.x
        size = question.eps[self.rows] / question.budget.norm.norm(torch.ones_like(x)) / 256
        key = _random.keys(question.seed, question.ids[self.rows], _random.PROBES)
        down, anywhere = -measured.gradient.sign(), _random.sign(key, x.shape[1:]).to(x)
        steps = [spot.domain.project(x + column(size, x) * way) for way in (down, anywhere)]
        said = torch.stack([inner(measured.gradient, z - x) for z in steps])
        clean = measured.clean if question.realize is None else self._look(spot.smooth, x).margin
        seen = torch.stack([self._look(spot.smooth, z).margin - clean for z in steps])
        steepest, _ = said
        wrong = (seen - said).abs() > 0.5 * steepest.abs() + measured.rounding
        tiny = spot.domain.project(x + column(size / 64, x) * anywhere)
        return wrong.any(0), self._look(spot.smooth, tiny).margin == clean

    def random_search(self) -> tuple[Tensor, Tensor]:
        """Whether a short random search from the clean point beats the attack, and whether it breaks the sample."""
        return self._by_halves(self._search)

    def transfer(self) -> tuple[Tensor, Tensor]:
        """Whether points from elsewhere beat a sample's own ones, and whether they break it.

        They are the perturbations of six other samples, and where eight steps down the margin of a smoothed copy (the
        mean over four normal noises, a quarter of the budget long) lead.
        """
        return self._by_halves(self._carry_over)

    def _by_halves(self, ask: Callable[[Tensor], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Two answers for every probed sample; the second half is not asked where the first says no to both."""
        order = _order(self.question, self.rows)
        half = max(4, -(-order.numel() // 2))
        hit, broken = torch.zeros_like(self.spot.long), torch.zeros_like(self.spot.long)
        for at in (order[:half].sort().values, order[half:].sort().values):
            if at.numel():
                hit[at], broken[at] = ask(at)
            if not bool((hit | broken).any()):
                break
        return hit, broken

    def _search(self, at: Tensor) -> tuple[Tensor, Tensor]:
        rows = self.rows[at]
        key = _random.keys(self.question.seed, self.question.ids[rows], _random.PROBE_SEARCH)
        curve = flow(
            Blind(self.spot.margin.take(at), key).within(self.spot.domain.take(at)),
            self.spot.x[at],
            scheme=RandomSearch(self.queries),
            until=Steps(self.queries),
            stop=Stop(reached=True),
            record=Record(0),
        )
        self.forward[rows] += curve.forward
        return self._compare(at, curve.end, curve.margin[-1], curve.status == Status.REACHED)

    def _carry_over(self, at: Tensor) -> tuple[Tensor, Tensor]:
        known, question = self.known, self.question
        domain, margin = self.spot.domain.take(at), self.spot.margin.take(at)
        donors = _part(question, known.broken, 6)
        rest = self.rows[_order(question, self.rows)[: 6 - donors.numel()]]
        donors = torch.cat([donors, rest])
        candidates = [domain.project(self.spot.x[at] + known.points[d] - question.x[d]) for d in donors]
        candidates.append(self._smoothed(at))
        hit = broken = torch.zeros_like(self.spot.long[at])
        for z in candidates:
            self.forward[self.rows[at]] += self.question.draws
            e = margin.look(z)
            own = (flat(z) == flat(self.spot.own[at])).all(1)
            better, through = self._compare(at, z, e.margin, e.reached)
            hit, broken = hit | (better & ~own), broken | (through & ~own)
        return hit, broken

    def outside(self) -> Tensor:
        """Whether the boundary, followed from outside the budget, leads to an error inside it; two short ways."""
        broken = self.beyond.look(self.rows)
        self.points = choose(broken, self.beyond.found.points[self.rows], self.points)
        margins = torch.minimum(self.beyond.found.best[self.rows], self.margins)
        self.margins = torch.where(broken, margins, self.margins)
        return broken

    def _smoothed(self, at: Tensor) -> Tensor:
        rows = self.rows[at]
        norm, eps = self.question.budget.norm, self.question.eps[rows]
        width = float((eps / norm.norm(torch.ones_like(self.spot.x[at]))).mean()) / 4

        def blur(x: Tensor, key: Tensor) -> Tensor:
            return x + width * _random.normal(key, x.shape[1:]).to(x)

        mean = Average(self.spot.margin.take(at), blur, draws=4, seed=self.question.seed)
        curve = flow(
            mean.within(self.spot.domain.take(at)),
            self.spot.x[at],
            scheme=SemiImplicit(Cosine(eps.double(), 8), self.question.budget.motion),
            until=Steps(8),
            record=Record(0),
        )
        self.forward[rows] += curve.forward
        self.backward[rows] += curve.backward
        return curve.end

    def _compare(self, at: Tensor, z: Tensor, margin: Tensor, reached: Tensor) -> tuple[Tensor, Tensor]:
        """Whether points clearly beat the attack, and whether they break the sample; the best points are kept.

        Clearly: a fifth of the margin that the attack left is gone, and a tenth more was gained than by the attack. Of
        a random model, where means of few draws do that by chance: votes say that the sample is broken.
        """
        fine = margin.isfinite() & self.question.domain.take(self.rows[at]).contains(z)
        better = fine & (margin < self.margins[at])
        self.points[at] = choose(better, z, self.points[at])
        self.margins[at] = torch.where(better, margin, self.margins[at])
        clean, least = self.measured.clean[at], self.spot.least[at]
        clear = margin < 0.8 * least - self.measured.rounding[at]
        clear &= clean - margin > 1.1 * (clean - least).clamp_min(0)
        if self.question.votes == 1:
            return fine & clear, fine & reached
        broken, index = torch.zeros_like(fine), (fine & reached).nonzero().squeeze(1)
        if index.numel():
            self.forward[self.rows[at[index]]] += self.question.votes
            broken[index] = verify(self.question, self.rows[at[index]], z[index]).broken
        return broken, broken

    def _logits(self, rows: Tensor, x: Tensor) -> Tensor:
        self.forward[rows] += self.question.draws
        return self.question.outputs(rows, x)

    def _look(self, energy: Energy, x: Tensor) -> Evaluation:
        self.forward[self.rows] += self.question.draws
        return energy.look(x)

    def _evaluate(self, energy: Energy, x: Tensor) -> Evaluation:
        self.forward[self.rows] += self.question.draws
        self.backward[self.rows] += self.question.draws
        return energy.evaluate(x)
