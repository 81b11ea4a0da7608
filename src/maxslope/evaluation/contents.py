"""What a run holds, whatever was looked for, in memory or in its folder."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from maxslope.attacks import Effort
from maxslope.attacks.findings import Finding
from maxslope.evaluation.about import About
from maxslope.evaluation.report import Column, Report, warnings_of


@dataclass(frozen=True, eq=False)
class Contents:
    """What a run holds, in memory or in its folder.

    Attributes:
        words: of the budget.
        effort: of every sample.
        seed: of all random numbers.
        table: of all parts, in the order of the samples.
        points: likewise, if kept.
        executed: forward and backward passes of whole calls.
        probes: those of the indicators.
        said: what the first part found, and what is to be said of the folder.
        about: where the numbers come from.
    """

    words: str
    effort: Effort
    seed: int
    table: dict[str, Column]
    points: Tensor | None
    executed: tuple[int, int]
    probes: tuple[int, int]
    said: tuple[Finding, ...]
    about: About

    def report(self) -> Report:
        """Return the report of an evaluation."""
        said = (*self.said, *warnings_of(self.table, self.about))
        return Report(
            self.words, self.effort, self.seed, self.table, self.points, self.executed, self.probes, said, self.about
        )
