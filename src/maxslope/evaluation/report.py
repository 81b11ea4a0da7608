"""What an evaluation found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from torch import Tensor

from maxslope._escape import markup
from maxslope._status import Status
from maxslope.attacks import Effort
from maxslope.evaluation.statistics import wilson

ROBUST, BROKEN, MISCLASSIFIED, NON_FINITE = "robust", "broken", "misclassified", "non-finite"

Column = list[int] | list[float] | list[str]


@dataclass(frozen=True, eq=False)
class Report:
    """Robust accuracy of a model on samples, with the evidence.

    ``robust_accuracy`` is the share of samples that are classified correctly and for which no allowed point was found
    that is not: an upper bound of the true worst-case accuracy, as for every attack. Samples whose evaluation was
    not finite count as neither robust nor broken, and are named in ``warnings``.

    Attributes:
        budget: in words.
        effort: what was run; pass it to ``evaluate`` again to replay it.
        seed: of all random numbers.
        table: one entry per sample in each column: index, label, prediction, verdict, margin (logit margin at the
            returned point), gap, slope, distance, chance (that another run would have succeeded, as the stopping rule
            estimates it), forward, backward, runs, reason.
        points: ``[n, *shape]``, the returned points (the clean ones where misclassified), if kept.
        executed: forward and backward passes of whole calls of the model, in rows, padding included.
        probes: forward and backward passes of the indicators' probes, on a few samples, not in the table.
        warnings: sentences on what may be wrong with these numbers.
    """

    budget: str
    effort: Effort
    seed: int
    table: dict[str, Column]
    points: Tensor | None
    executed: tuple[int, int]
    probes: tuple[int, int] = (0, 0)
    warnings: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.table["index"])

    @property
    def clean_accuracy(self) -> float:
        """Share of samples classified correctly without perturbation."""
        return 1 - (self._count(MISCLASSIFIED) + self._clean_non_finite) / self.samples

    @property
    def robust_accuracy(self) -> float:
        """Share of samples that are correct and stood every attack."""
        return self._count(ROBUST) / self.samples

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of ``robust_accuracy`` over the choice of samples (not over the strength of attacks)."""
        return wilson(self._count(ROBUST), self.samples)

    @property
    def clean_interval(self) -> tuple[float, float]:
        """95 % Wilson interval of ``clean_accuracy``."""
        return wilson(round(self.clean_accuracy * self.samples), self.samples)

    @property
    def forward_per_sample(self) -> float:
        """Mean number of forward passes over all samples, the probes of the indicators included."""
        return (sum(map(float, self.table["forward"])) + self.probes[0]) / self.samples

    @property
    def backward_per_sample(self) -> float:
        """Mean number of backward passes over all samples, the probes of the indicators included."""
        return (sum(map(float, self.table["backward"])) + self.probes[1]) / self.samples

    @property
    def _clean_non_finite(self) -> int:
        pairs = zip(self.table["verdict"], self.table["runs"], strict=True)
        return sum(verdict == NON_FINITE and runs == 0 for verdict, runs in pairs)

    def _count(self, verdict: str) -> int:
        return sum(v == verdict for v in self.table["verdict"])

    def reasons(self) -> dict[str, int]:
        """Return why runs ended, and for how many samples."""
        return dict(Counter(map(str, self.table["reason"])).most_common())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        low, high = self.interval
        title = f"Robustness within {markup(self.budget)}"
        table = Table(title=title, title_justify="left", show_header=False, box=None)
        table.add_column(style="bold")
        table.add_column()
        clean = self.clean_interval
        table.add_row("samples", f"{self.samples}")
        table.add_row("clean accuracy", f"{100 * self.clean_accuracy:.2f} %  (95 % interval {_span(*clean)})")
        table.add_row("robust accuracy", f"{100 * self.robust_accuracy:.2f} %  (95 % interval {_span(low, high)})")
        cost = f"{self.backward_per_sample:.1f} backward, {self.forward_per_sample:.1f} forward passes a sample"
        table.add_row("cost", cost)
        executed = [count / self.samples for count in self.executed]
        table.add_row("", f"{executed[1]:.1f} and {executed[0]:.1f} executed, padding of calls included")
        table.add_row("effort", f"{markup(self.effort.name)}, risk {self.effort.rule.risk:g}, seed {self.seed}")
        yield table
        yield ""
        yield "Why each sample's evaluation ended"
        for reason, count in self.reasons().items():
            yield f"  {count:>6}  {markup(reason)}"
        for warning in self.warnings:
            yield f"[yellow]warning[/] {markup(warning)}"

    def __str__(self) -> str:
        console = Console(width=110, color_system=None, force_terminal=False)
        with console.capture() as capture:
            console.print(self)
        return capture.get().rstrip()


def _span(low: float, high: float) -> str:
    return f"{100 * low:.2f} to {100 * high:.2f}"


def warnings_of(table: dict[str, Column]) -> tuple[str, ...]:
    """Return sentences on samples whose rows are not to be trusted."""
    found = []
    bad = [i for i, v in zip(table["index"], table["verdict"], strict=True) if v == NON_FINITE]
    if bad:
        found.append(f"{len(bad)} samples met NaN or infinity and are neither robust nor broken (first: {bad[:5]}).")
    stuck = [i for i, r in zip(table["index"], table["reason"], strict=True) if r == Status.STATIONARY.sentence]
    if stuck:
        found.append(
            f"{len(stuck)} samples ended at a gradient that is zero in every coordinate (first: {stuck[:5]}): the "
            "gradient is masked or saturated there, and their robustness is not to be trusted."
        )
    return tuple(found)
