"""How much to spend: the stages a sample may go through, and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from maxslope.attacks._plan import LEAST
from maxslope.attacks.recipes import Recipe
from maxslope.attacks.rule import Rule
from maxslope.attacks.stages import (
    Bundle,
    OutsideProbe,
    Patterns,
    Probing,
    Pursuit,
    RandomSearch,
    Rescue,
    Restarts,
    Runs,
    Stage,
)
from maxslope.attacks.starts import Best, Clean, Last, Middle, Mixed, Opposite, Start, Uniform
from maxslope.energies import Criterion, CrossEntropy, Margin, ProbabilityMargin
from maxslope.schemes import SemiImplicit

_DESCENT = 0.2  # later runs that broke a sample of seven networks with sound gradients needed 0.11 of it at most
_STANDARD, _PURSUED = Rule(1e-3, _DESCENT), 2.5e-4  # runs; the risk of pursuits
_QUICK = Rule(3e-3, _DESCENT, unknown=4.0)
_WEIGHT = 3.0  # of the spread of runs, where kinks mislead: benchmarks/RESULTS.md, "What each rule gave"
_SMOOTHING = 1.0  # of kinks, at first: of 0.5, 1 and 2 it broke most hard instances in runs of 20 to 100 steps
_CE, _M, _PM = CrossEntropy(), Margin(), ProbabilityMargin()
_Kind = tuple[float, Start, Criterion, int]  # of a run: first step, start, criterion, rival


@dataclass(frozen=True)
class _Settled:
    """What an :class:`Effort` holds, once recipes are runs and nothing is left to default."""

    stages: tuple[Stage, ...]
    name: str
    rule: Rule
    candidates: int
    passes: int
    limit: int | None
    reserve: int


class Effort(_Settled):
    """The stages of a sample, in order. It leaves as soon as one breaks it.

    Args:
        stages: see ``maxslope.attacks.stages``; recipes stand for runs. By default those of :meth:`standard`.
        name: what reports call it.
        rule: who goes on after a run; by default everyone, and with the default stages as :meth:`standard` has it.
        candidates: how many classes are ranked as targets by their distance to first order, at a pass each, and not by
            their logits alone.
        passes: gradients a sample of :func:`maxslope.minimal`, at least 4.
        limit: backward passes a sample, at most: runs, ranking of targets, pursuit, certificate and probes together.
            None for no limit. Made by :meth:`limited`.
        reserve: how many of these passes stages after the runs leave untouched: what probes of some samples took, so
            that all samples are treated alike.

    Raises:
        TypeError: if a stage is none.
        ValueError: if there are no runs, or their schemes or norms of motion differ; if passes are fewer than 4; if
            there are two stages ``OutsideProbe``, or one with a weight after other stages than runs.

    >>> Effort.quick().name, Effort(passes=60).passes
    ('quick', 60)
    """

    def __init__(
        self,
        stages: Sequence[Stage | Recipe] | None = None,
        name: str = "custom",
        rule: Rule | None = None,
        *,
        candidates: int = 0,
        passes: int = 100,
        limit: int | None = None,
        reserve: int = 0,
    ) -> None:
        if stages is None:
            stages, rule = _standard(), rule or _STANDARD
        _Settled.__init__(self, grouped(stages), name, rule or Rule(0.0), candidates, passes, limit, reserve)
        self._check()

    def reordered(self, runs: Sequence[Recipe], name: str) -> Effort:
        """Return this effort with other runs in the places of its own.

        Args:
            runs: as many as it has.
            name: what reports call it.
        """
        return replace(self, stages=self._with(runs), name=name)

    def _with(self, runs: Sequence[Recipe]) -> tuple[Stage, ...]:
        """The stages with other runs, at most as many, in their places."""
        rest = iter(runs)
        stages: list[Stage] = []
        for stage in self.stages:
            if not isinstance(stage, Runs):
                stages.append(stage)
            elif own := tuple(islice(rest, len(stage.recipes))):
                stages.append(Runs(own))
        return tuple(stages)

    def _check(self) -> None:
        after = [one for stage in self.stages if isinstance(stage, Probing) for one in stage.then]
        given: list[Any] = [*self.stages, *after]
        if strange := [stage for stage in given if not isinstance(stage, Stage)]:
            raise TypeError(
                "The stages of an effort are recipes and those of maxslope.attacks.stages, after a probe the latter "
                f"alone, got {strange[0]!r}."
            )
        runs = self.runs
        if not runs:
            raise ValueError("An effort needs at least one run; for clean accuracy alone use a budget of eps 0.")
        first = runs[0]
        if any(r.scheme is not first.scheme or r.space != first.space or r.blind != first.blind for r in runs):
            raise ValueError(
                "All runs of an effort share one scheme and one norm of motion; use several attacks instead."
            )
        self._check_looks()
        if self.passes != int(self.passes) or self.passes < LEAST:
            raise ValueError(
                f"A smallest perturbation needs an integer of at least {LEAST} passes, got {self.passes!r}."
            )

    def _check_looks(self) -> None:
        looks = [stage for stage in self.stages if isinstance(stage, OutsideProbe)]
        if len(looks) > 1:
            raise ValueError(f"An effort looks from outside once, got {len(looks)} stages OutsideProbe; leave one.")
        if not looks or looks[0].weight == 1:
            return
        before = self.stages[: self.stages.index(looks[0])]
        if others := [stage for stage in before if not isinstance(stage, Runs | Probing)]:
            raise ValueError(
                "An OutsideProbe with a weight comes after runs alone: it changes the rule from the first run on, and "
                f"{others[0]!r} went by the former one. Put that stage after the probe, or leave the weight out."
            )

    @classmethod
    def quick(cls) -> Effort:
        """Return a first answer: about 10 to 40 gradients a sample, 1,500 where it nearly falls."""
        return cls(staged(portfolio(more=4), 33, 200, 40), "quick", _QUICK, passes=33)

    @classmethod
    def standard(cls) -> Effort:
        """Return the default: about 20 to 90 gradients a sample, 8,700 where it nearly falls."""
        return cls(_standard(), "standard", _STANDARD)

    @classmethod
    def exhaustive(cls) -> Effort:
        """Return a last answer: hundreds of gradients a sample, up to 44,000 where it nearly falls; on small networks
        of ReLUs, with scipy, programs of seconds to minutes each for those samples (see the stage ``Patterns``).
        """  # noqa: D205
        *stages, rescue = staged(portfolio(), 400, 3000, 100)
        stages += [Restarts(portfolio(jump=_crossing), 4), Bundle(100), Patterns()]
        return cls((*stages, rescue), "exhaustive", Rule(3e-6), candidates=9, passes=400)

    @property
    def runs(self) -> tuple[Recipe, ...]:
        """The recipes of all runs, in order."""
        return tuple(recipe for stage in self.stages if isinstance(stage, Runs) for recipe in stage.recipes)

    @property
    def gradient_free(self) -> bool:
        """Whether runs look at values alone."""
        return self.runs[0].blind

    def decided(self, probe: Probing) -> Effort:
        """Return this effort after one of its probing stages has said that gradients are not to be trusted.

        What that stage names comes instead of what follows it; nothing is probed any more.

        Args:
            probe: one of ``stages``.
        """
        kept = [stage for stage in self.stages[: self.stages.index(probe)] if not isinstance(stage, Probing)]
        one = replace(self, stages=(*kept, *probe.then))
        fewer = [f"{len(one.runs)} runs"] if isinstance(probe, OutsideProbe) else []
        return replace(one, name=", ".join([self.name, *fewer, *map(str, probe.then)]))

    def weighted(self, probe: OutsideProbe) -> Effort:
        """Return this effort as it goes on after kinks were seen to mislead: all of it follows the heavier rule.

        Args:
            probe: one of ``stages``; it is left out.
        """
        return replace(
            self,
            stages=tuple(stage for stage in self.stages if stage != probe),
            rule=replace(self.rule, weight=self.rule.weight * probe.weight),
            name=f"{self.name}, kinks mislead",
        )

    def rescued(self) -> Effort:
        """Return this effort as the indicators, saying that gradients are not to be trusted, would have it.

        Its runs, then what its stage ``Rescue`` names; the effort itself where it has none.
        """
        return next((self.decided(stage) for stage in self.stages if isinstance(stage, Rescue)), self)

    def pursued(self) -> Effort:
        """Return this effort as a look from outside the budget that sees errors would have it.

        Its first runs, then what its stage ``OutsideProbe`` names; the effort itself where it has none.
        """
        return next((self.decided(stage) for stage in self.stages if isinstance(stage, OutsideProbe)), self)

    def limited(self, passes: int) -> Effort:
        """Return this effort with at most ``passes`` backward passes a sample, over all of its stages.

        Runs are kept whole, as many as fit, the first one shortened if it must be; a pursuit has what they leave. The
        certificate takes one more pass where one is left, gap and slope are NaN where none is. Probes are made on
        samples that have passes left for them.

        Args:
            passes: at least 0.

        Raises:
            ValueError: if it is negative.
        """
        if passes < 0:
            raise ValueError(f"A limit of backward passes is at least 0, got {passes!r}.")
        return replace(
            self,
            stages=self._with(_fitting(self.runs, passes, self.candidates)),
            name=f"{self.name}, at most {passes} backward",
            candidates=min(self.candidates, passes),
            limit=passes if self.limit is None else min(passes, self.limit),
        )


def _fitting(runs: Sequence[Recipe], passes: int, candidates: int) -> list[Recipe]:
    """The first runs that together take at most so many backward passes, the ranking of targets included."""
    kept: list[Recipe] = []
    left, ranking = passes, candidates
    for run in runs:
        cost = 0 if run.blind else run.steps + (ranking if run.rival else 0)
        if cost > left and kept:
            break
        shorter = max(run.steps - max(cost - left, 0), 0)
        kept.append(run if shorter == run.steps else replace(run, steps=shorter))
        left, ranking = max(left - cost, 0), 0 if run.rival else ranking
    return kept


def grouped(stages: Sequence[Stage | Recipe]) -> tuple[Stage, ...]:
    """Return the stages with neighboring runs put together."""
    made: list[Stage] = []
    for stage in stages:
        recipes = (stage,) if isinstance(stage, Recipe) else stage.recipes if isinstance(stage, Runs) else ()
        if recipes and made and isinstance(made[-1], Runs):
            made[-1] = Runs((*made[-1].recipes, *recipes))
        else:
            made.append(Runs(recipes) if isinstance(stage, Recipe) else stage)
    return tuple(made)


def staged(
    runs: tuple[Recipe, ...], passes: int, queries: int, bundle: int = 0, *, outside: int = 4, risk: float = 0.0,
    weight: float = 1.0,
) -> tuple[Stage, ...]:  # fmt: skip
    """Return runs with a probe after the first of them and one after all; ``passes`` are those of ``minimal``.

    After all runs, and before the last probe, comes a :class:`Bundle` of so many passes, if it is given any. The first
    runs are those before the first that starts from what earlier ones found. After a look from outside a pursuit has
    ``outside`` times the passes, and gives samples up at a ``risk``; a rescue gives none up. The ``weight`` is that of
    the :class:`OutsideProbe`.
    """
    first = next((k for k, run in enumerate(runs) if run.start.looks_back), len(runs))
    rescue = Rescue((Pursuit(2 * passes), RandomSearch(queries)))
    rest = (Runs(runs[first:]),) if first < len(runs) else ()
    last = (Bundle(bundle),) if bundle else ()
    return (Runs(runs[:first]), OutsideProbe((Pursuit(outside * passes, risk),), weight), *rest, *last, rescue)


def _standard() -> tuple[Stage, ...]:
    """The stages of :meth:`Effort.standard`."""
    return staged(portfolio(), 100, 1000, 40, outside=6, risk=_PURSUED, weight=_WEIGHT)


def portfolio(more: int = 40, jump: Callable[[int, int], Recipe] | None = None) -> tuple[Recipe, ...]:
    """Return the default runs: short ones of every kind first, then longer ones, then ``more`` rounds of random ones.

    No start, criterion or target wins on every network, so the kinds that break what the others leave come early.
    Half of them, but no jumps, smooth the kinks of the network in their gradients, less and less: on networks of ReLUs
    that were trained against attacks such runs end lower, and where gradients are masked far lower.
    Between the longer ones come jumps: short runs from the best point so far, a part of it drawn anew. On the hardest
    samples of one network 300 gradients in jumps of 25 broke 11 of 160, three independent runs of 100 none.
    """

    def jumps(count: int) -> tuple[Recipe, ...]:
        return tuple((jump or _jump)(25, k) for k in range(count))

    short = (
        _run(10, 2.0, Clean(), _PM),
        _run(15, 0.5, Middle(), _CE, 0, _SMOOTHING),
        _run(20, 1.0, Clean(), _M, rival=2),
        _run(20, 1.0, Opposite(), _PM, 0, _SMOOTHING),
        _run(20, 1.0, Uniform(), _CE),
        _run(20, 1.0, Opposite(), _M, 3, _SMOOTHING),
    )
    longer: tuple[_Kind, ...] = (
        (0.5, Middle(), _CE, 0), (1.0, Clean(), _M, 2), (0.5, Opposite(), _PM, 0), (1.0, Uniform(), _CE, 0),
    )  # fmt: skip
    kinds: tuple[_Kind, ...] = (
        (0.5, Mixed(Middle(), Uniform()), _CE, 0),
        (0.5, Mixed(Opposite(), Uniform()), _M, 2),
        (1.0, Uniform(), _PM, 0),
        (0.5, Mixed(Middle(), Opposite(), 0.5), _CE, 0),
        (1.0, Uniform(), _M, 2),
        (0.5, Mixed(Middle(), Uniform()), _PM, 0),
        (1.0, Mixed(Clean(), Uniform()), _M, 4),
        (0.5, Mixed(Opposite(), Uniform()), _CE, 0),
    )
    rounds = [(_run(50, *kind, _SMOOTHING * (1 - k % 2)), *jumps(3)) for k, kind in enumerate(longer)]
    for k in range(more):  # each kind in turn, smoothed and plain
        turn, at = divmod(k, len(kinds))
        rounds.append((_run(50, *kinds[at], _SMOOTHING * (1 - (turn + at) % 2)), *jumps(6)))
    return short + jumps(3) + tuple(run for one in rounds for run in one)


def _jump(steps: int, k: int) -> Recipe:
    """A jump of a basin-hopping search: from the best point, with a share of its coordinates drawn anew.

    One in six draws next to nothing and takes short steps; one in six draws nothing, and takes very short ones: on a
    network of many kinks they end the descent that longer ones leave undone.
    """
    if k % 6 == 3:
        return _run(steps, 0.005, Best(), _M)
    share, first = ((0.02, 0.1), (0.1, 0.25), (0.3, 0.5))[k % 3]
    return _run(steps, first, Mixed(Best(), Uniform(), share), (_M, _CE, _PM)[(k + k // 3) % 3])


def _crossing(steps: int, k: int) -> Recipe:
    """Like :func:`_jump`, but one in six is a crossover: half of the coordinates from where the run before ended."""
    return _run(steps, 0.1, Mixed(Best(), Last(), 0.5), _M) if k % 6 == 0 else _jump(steps, k)


def _run(
    steps: int, first: float, start: Start, criterion: Criterion, rival: int = 0, smoothing: float = 0.0
) -> Recipe:
    name = f"{type(start).__name__} {type(criterion).__name__} {steps}{' smoothed' if smoothing else ''}"
    return Recipe(name, steps, first, 0.0, start, criterion, SemiImplicit, rival=rival, smoothing=smoothing)
