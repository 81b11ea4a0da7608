"""How much to spend: the runs a sample may go through, and when to stop."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from maxslope.attacks.recipes import Recipe
from maxslope.attacks.rule import Rule
from maxslope.attacks.starts import Best, Clean, Middle, Mixed, Opposite, Start, Uniform
from maxslope.energies import Criterion, CrossEntropy, Margin, ProbabilityMargin
from maxslope.schemes import SemiImplicit

_CE, _M, _PM = CrossEntropy(), Margin(), ProbabilityMargin()


@dataclass(frozen=True)
class Effort:
    """The runs of a sample, in order. It leaves as soon as one breaks it, or when the rule gives it up.

    Args:
        runs: recipes that share one scheme.
        name: what reports call it.
        rule: who goes on after a run; by default everyone.
        queries: forward passes of gradient-free random search on each sample that stands after the runs; a fifth as
            many come before, and a sample gets the others where they lower its margin by more than gradients did.
        pursue: gradients of pursuit, from outside the budget, of each sample that stands after the runs.
        rescue: what ``queries`` becomes where the indicators say that gradients are not to be trusted.
        depth: passes a sample for :func:`maxslope.minimal`.
        candidates: how many classes are ranked as targets by their distance to first order, at a pass each, and not by
            their logits alone.

    Raises:
        ValueError: if there are no runs, or their schemes or norms of motion differ.

    >>> Effort.quick().name
    'quick'
    """

    runs: tuple[Recipe, ...]
    name: str = "custom"
    rule: Rule = field(default_factory=lambda: Rule(0.0))
    queries: int = 0
    pursue: int = 0
    rescue: int = 0
    depth: int = 100
    candidates: int = 0

    def __post_init__(self) -> None:
        if not self.runs:
            raise ValueError("An effort needs at least one run; for clean accuracy alone use a budget of eps 0.")
        first = self.runs[0]
        if any(r.scheme is not first.scheme or r.space != first.space or r.blind != first.blind for r in self.runs):
            raise ValueError(
                "All runs of an effort share one scheme and one norm of motion; use several attacks instead."
            )

    @classmethod
    def quick(cls) -> Effort:
        """Return a first answer: about 10 to 40 gradients a sample, 680 where it nearly falls; risk 0.003."""
        return cls(portfolio(more=0), "quick", Rule(3e-3), rescue=200, depth=33)

    @classmethod
    def standard(cls) -> Effort:
        """Return the default: about 50 to 170 gradients a sample, risk 0.0002."""
        return cls(portfolio(), "standard", Rule(2e-4), rescue=1000)

    @classmethod
    def exhaustive(cls) -> Effort:
        """Return a last answer: hundreds of gradients a sample, up to 40,680 where it nearly falls; risk 0.00001."""
        return cls(portfolio(more=200), "exhaustive", Rule(1e-5), rescue=3000, depth=400, candidates=9)

    @property
    def opening(self) -> int:
        """How many runs come before the first that starts from what earlier ones found."""
        return next((k for k, run in enumerate(self.runs) if run.start.looks_back), len(self.runs))

    def rescued(self, *, early: bool = False) -> Effort:
        """Return this effort with twice ``depth`` gradients of pursuit and ``rescue`` queries after its runs.

        Args:
            early: where errors are seen from outside the budget, more runs inside it are wasted, and so is a search by
                values: keep the ``opening`` runs alone, and pursue with four times ``depth`` gradients.
        """
        if early:
            more = f"{self.name}, {self.opening} runs, pursuit {4 * self.depth}"
            return replace(self, runs=self.runs[: self.opening], queries=0, pursue=4 * self.depth, name=more)
        more = f"{self.name}, pursuit {2 * self.depth}, {self.rescue} queries"
        return replace(self, queries=self.rescue, pursue=2 * self.depth, name=more)

    def limited(self, passes: int) -> Effort:
        """Return this effort with at most ``passes`` backward passes a sample (and one run at least)."""
        kept, spent = [self.runs[0]], self.runs[0].steps
        for run in self.runs[1:]:
            spent += run.steps
            if spent > passes:
                break
            kept.append(run)
        return replace(self, runs=tuple(kept), name=f"{self.name}, at most {passes} backward")


def portfolio(more: int = 40) -> tuple[Recipe, ...]:
    """Return the default runs: short ones of every kind first, then longer ones, then ``more`` rounds of random ones.

    No start, criterion or target wins on every network, so the kinds that break what the others leave come early.
    Between the longer ones come hops: short runs from the best point so far, a part of it drawn anew. On the hardest
    samples of one network 300 gradients in hops of 25 broke 11 of 160, three independent runs of 100 none.
    """
    short = (
        _run(10, 2.0, Clean(), _PM),
        _run(15, 0.5, Middle(), _CE),
        _run(20, 1.0, Clean(), _M, rival=2),
        _run(20, 1.0, Opposite(), _PM),
        _run(20, 1.0, Uniform(), _CE),
        _run(20, 1.0, Opposite(), _M, rival=3),
    )
    longer = (
        *_hops(3),
        _run(50, 0.5, Middle(), _CE),
        *_hops(3),
        _run(50, 1.0, Clean(), _M, rival=2),
        *_hops(3),
        _run(50, 0.5, Opposite(), _PM),
        *_hops(3),
        _run(50, 1.0, Uniform(), _CE),
        *_hops(3),
    )
    kinds = (
        (0.5, Mixed(Middle(), Uniform()), _CE, 0),
        (0.5, Mixed(Opposite(), Uniform()), _M, 2),
        (1.0, Uniform(), _PM, 0),
        (0.5, Mixed(Middle(), Opposite(), 0.5), _CE, 0),
        (1.0, Uniform(), _M, 2),
        (0.5, Mixed(Middle(), Uniform()), _PM, 0),
        (1.0, Mixed(Clean(), Uniform()), _M, 4),
        (0.5, Mixed(Opposite(), Uniform()), _CE, 0),
    )
    rounds = ((_run(50, *kinds[k % len(kinds)]), *_hops(6)) for k in range(more))
    return short + longer + tuple(run for one in rounds for run in one)


def _hops(count: int) -> tuple[Recipe, ...]:
    return tuple(_hop(25, k) for k in range(count))


def _hop(steps: int, k: int) -> Recipe:
    """A hop of a basin-hopping search: from the best point, with a share of its coordinates drawn anew.

    One in six draws next to nothing and takes short steps; one in six draws nothing, and takes very short ones: on a
    network of many kinks they end the descent that longer ones leave undone.
    """
    if k % 6 == 3:
        return _run(steps, 0.005, Best(), _M)
    share, first = ((0.02, 0.1), (0.1, 0.25), (0.3, 0.5))[k % 3]
    return _run(steps, first, Mixed(Best(), Uniform(), share), (_M, _CE, _PM)[(k + k // 3) % 3])


def _run(steps: int, first: float, start: Start, criterion: Criterion, rival: int = 0) -> Recipe:
    name = f"{type(start).__name__} {type(criterion).__name__} {steps}"
    return Recipe(name, steps, first, last=0.0, start=start, criterion=criterion, scheme=SemiImplicit, rival=rival)
