"""How much to spend: the runs a sample goes through before it is called robust."""

from __future__ import annotations

from dataclasses import dataclass

from maxslope.attacks.recipes import Recipe
from maxslope.attacks.starts import Clean, Corner, Middle, Opposite, Start, Uniform
from maxslope.energies import Criterion, CrossEntropy, Margin, ProbabilityMargin
from maxslope.schemes import SemiImplicit


@dataclass(frozen=True)
class Effort:
    """The runs of a sample, in order; it leaves as soon as one breaks it.

    Args:
        runs: recipes that share one scheme.
        name: what reports call it.

    Raises:
        ValueError: if there are no runs, or their schemes or norms of motion differ.

    >>> Effort.quick().name
    'quick'
    """

    runs: tuple[Recipe, ...]
    name: str = "custom"

    def __post_init__(self) -> None:
        if not self.runs:
            raise ValueError("An effort needs at least one run; for clean accuracy alone use a budget of eps 0.")
        first = self.runs[0]
        if any(r.scheme is not first.scheme or r.space != first.space for r in self.runs):
            raise ValueError("All runs of an effort share one scheme and one norm of motion; use several attacks instead.")

    @classmethod
    def quick(cls) -> Effort:
        """Return a first answer: up to 25 gradients a sample."""
        return cls((_run(10, 2.0, Clean(), ProbabilityMargin()), _run(15, 0.5, Opposite(), Margin())), "quick")

    @classmethod
    def standard(cls) -> Effort:
        """Return the default: up to 100 gradients a sample."""
        return cls(
            (
                *cls.quick().runs,
                _run(20, 1.0, Middle(), CrossEntropy()),
                _run(20, 2.0, Uniform(), ProbabilityMargin()),
                _run(20, 0.5, Opposite(), Margin(), rival=2),
                _run(15, 1.0, Corner(), Margin()),
            ),
            "standard",
        )

    @classmethod
    def exhaustive(cls) -> Effort:
        """Return restarts from many starts with all criteria: up to about 900 gradients a sample."""
        starts: tuple[Start, ...] = (Opposite(), Middle(), Uniform(), Corner())
        more = [
            _run(50, first, start, criterion, rival=rival)
            for rival in (0, 2)
            for criterion, first in ((Margin(), 0.5), (ProbabilityMargin(), 2.0))
            for start in starts
        ]
        return cls((*cls.standard().runs, *more), "exhaustive")


def _run(steps: int, first: float, start: Start, criterion: Criterion, rival: int = 0) -> Recipe:
    name = f"{type(start).__name__} {type(criterion).__name__} {steps}"
    return Recipe(name, steps, first, last=0.0, start=start, criterion=criterion, scheme=SemiImplicit, rival=rival)
