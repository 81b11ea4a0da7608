"""What an evaluation found."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from torch import Tensor

from maxslope._escape import html, markup, visible
from maxslope._optional import optional
from maxslope._status import Status
from maxslope.attacks import Effort
from maxslope.attacks.findings import Finding, Kind, Severity
from maxslope.attacks.finish import LEFT
from maxslope.evaluation.about import About
from maxslope.evaluation.guessing import doubts
from maxslope.evaluation.remains import Remains, remains
from maxslope.evaluation.statistics import wilson

ROBUST, BROKEN, MISCLASSIFIED, NON_FINITE = "robust", "broken", "misclassified", "non-finite"

_FEW = 0.01  # of all samples: so far a doubt about some does not move the share of all

Column = list[int] | list[float] | list[str]


@dataclass(frozen=True, eq=False, repr=False)
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
            returned point), gap, slope, local_gap (by how much steps nearby may still lower the margin, kinks included;
            NaN where that was not looked for), distance, chance (that another run would have succeeded, as the stopping
            rule estimates it), foreseen (finds it had expected of the sample's runs after the second), forward,
            backward, runs, reason; file, where samples are images in folders.
        points: ``[n, *shape]``, the returned points (the clean ones where misclassified), if kept.
        executed: forward and backward passes of whole calls of the model, in rows, padding included.
        probes: forward and backward passes of the indicators' probes, on a few samples, not in the table.
        warnings: what may be wrong with these numbers; ``str()`` of each is a sentence.
        about: model, data, date, budget as typed and names of classes, as far as they were said.
    """

    budget: str
    effort: Effort
    seed: int
    table: dict[str, Column]
    points: Tensor | None
    executed: tuple[int, int]
    probes: tuple[int, int] = (0, 0)
    warnings: tuple[Finding, ...] = ()
    about: About = field(default_factory=About)

    @property
    def asked(self) -> str:
        """The budget as it was typed, or in the library's own words."""
        return self.about.budget or self.budget

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
    def remains(self) -> Remains | None:
        """How far ``robust_accuracy`` would still fall with more effort: an estimate from this run, not a bound.

        None where there is nothing to tell it from, or the numbers are doubted for more than a lack of effort.
        """
        doubted = any(f.severity == Severity.WARNING and f.kind is not Kind.MISSED for f in self.warnings)
        return None if doubted else remains(self.table, self.effort)

    @property
    def clean_interval(self) -> tuple[float, float]:
        """95 % Wilson interval of ``clean_accuracy``."""
        return wilson(round(self.clean_accuracy * self.samples), self.samples)

    @property
    def forward_per_sample(self) -> float:
        """Mean number of forward passes over all samples, the probes of the indicators included."""
        forward, _ = self.probes
        return (sum(map(float, self.table["forward"])) + forward) / self.samples

    @property
    def backward_per_sample(self) -> float:
        """Mean number of backward passes over all samples, the probes of the indicators included."""
        _, backward = self.probes
        return (sum(map(float, self.table["backward"])) + backward) / self.samples

    @property
    def trusted(self) -> bool:
        """Whether no warning says that the numbers are not to be trusted; notes do not say so."""
        return all(found.severity < Severity.WARNING for found in self.warnings)

    @property
    def _clean_non_finite(self) -> int:
        pairs = zip(self.table["verdict"], self.table["runs"], strict=True)
        return sum(verdict == NON_FINITE and runs == 0 for verdict, runs in pairs)

    def _count(self, verdict: str) -> int:
        return sum(v == verdict for v in self.table["verdict"])

    @property
    def local_minima(self) -> tuple[int, int]:
        """How many standing samples are known to be local minima to first order, and of how many that was asked.

        Where no step nearby, within the share of eps that the effort's stage ``Bundle`` names, may lower the margin by
        more than 1 % of it, kinks included. (0, 0) where the effort has no such stage.
        """
        columns = (self.table.get(name, []) for name in ("verdict", "local_gap", "margin"))
        known = [
            (float(gap), float(margin))
            for verdict, gap, margin in zip(*columns, strict=False)
            if verdict == ROBUST and not math.isnan(float(gap))
        ]
        return sum(gap <= LEFT * margin for gap, margin in known), len(known)

    def reasons(self) -> dict[str, int]:
        """Return why runs ended, and for how many samples."""
        return dict(Counter(map(str, self.table["reason"])).most_common())

    @property
    def files(self) -> list[str]:
        """The name of each sample's file; empty where samples have none."""
        return [str(name) for name in self.table.get("file", ())]

    @property
    def classes(self) -> list[int]:
        """The label of each sample; empty where labels are no class numbers."""
        return [label for label in self.table["label"] if isinstance(label, int)]

    def by_class(self) -> list[dict[str, Any]]:
        """Return one line per label: class, samples, clean and robust accuracy, its 95 % interval.

        None, where labels are no class numbers (regression, several labels a sample).
        """
        verdicts: dict[int, list[str]] = {}
        for label, verdict in zip(self.classes, self.table["verdict"] if self.classes else (), strict=True):
            verdicts.setdefault(label, []).append(str(verdict))
        found = []
        for label, own in sorted(verdicts.items()):
            n, robust = len(own), own.count(ROBUST)
            right = sum(v not in (MISCLASSIFIED, NON_FINITE) for v in own)
            found.append(
                {"class": self.about.name(label), "samples": n, "clean_accuracy": right / n,
                 "robust_accuracy": robust / n, "interval": wilson(robust, n)}
            )  # fmt: skip
        return found

    def to_pandas(self) -> Any:
        """Return the table as a ``pandas.DataFrame``, by index, with the names of classes; warnings in its ``attrs``.

        Raises:
            ImportError: if pandas is not installed.
        """
        return framed(self.table, self.about, self.warnings)

    def plot(self) -> Any:
        """Return security curve, margins and cost as a figure of matplotlib; ``.savefig("figure.pdf")`` writes it.

        Raises:
            ImportError: if matplotlib is not installed.
        """
        return self._page().plot()

    def json(self) -> str:
        """Return all numbers as JSON."""
        return str(self._page().json())

    def csv(self) -> str:
        """Return the table of all samples as comma-separated values."""
        return str(self._page().csv())

    def markdown(self) -> str:
        """Return a summary for a pull request or a model card."""
        return str(self._page().markdown())

    def latex(self) -> str:
        """Return the accuracies, of all and by class, as a table for a paper (booktabs)."""
        return str(self._page().latex())

    def _page(self) -> Any:
        return import_module("maxslope").page(self)  # the public page names rooms that lie above this one

    def _repr_html_(self) -> str:
        """What notebooks show: the doubts, the numbers, what they cost."""
        said = "".join(f"<p><b>{html(found.name)}.</b> {html(found.sentence)}</p>" for found in self.warnings)
        cells = "".join(f"<tr><th>{name}</th><td>{html(words)}</td></tr>" for name, words in self._rows())
        doubt = "" if self.trusted else "<p><b>Not to be trusted:</b></p>"
        return f"<h4>Robustness within {html(self.asked)}</h4>{doubt}{said}<table>{cells}</table>"

    def _rows(self) -> list[tuple[str, str]]:
        """The numbers with their names, in words."""
        left, beside = self.remains, sum(self.probes)
        rows = [
            ("model", self.about.model),
            ("data", self.about.data),
            ("samples", self.about.samples or f"{self.samples}"),
            ("error", self.about.error),
            ("clean accuracy", f"{100 * self.clean_accuracy:.2f} %  (95 % interval {_span(*self.clean_interval)})"),
            ("robust accuracy", f"{100 * self.robust_accuracy:.2f} %  (95 % interval {_span(*self.interval)})"),
            ("would fall", "" if left is None else left.words),
            ("cost", f"{self.backward_per_sample:.1f} backward, {self.forward_per_sample:.1f} forward passes a sample"
             + (f" ({beside / self.samples:.1f} of them by indicators)" if beside else "")),
            ("late finds", "" if left is None else left.place),
            ("effort", f"{self.effort.name}, seed {self.seed}"),
        ]  # fmt: skip
        return [(name, words) for name, words in rows if words]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        title = f"Robustness within {markup(self.asked)}"
        table = Table(title=title, title_justify="left", show_header=False, box=None)
        table.add_column(style="bold")
        table.add_column()
        for name, words in self._rows():
            if name == "cost" and not self.trusted:
                table.add_row("", "[yellow]not to be trusted: see the warnings[/]")
            table.add_row(name, markup(words))
        yield table
        yield ""
        yield "Why each sample's evaluation ended"
        for reason, count in self.reasons().items():
            yield from _hanging(f"  {count:>6}  ", reason, options.max_width)
        for warning in self.warnings:
            warns = warning.severity == Severity.WARNING
            first, *rest = _hanging("warning " if warns else "note ", str(warning), options.max_width)
            yield f"[yellow]warning[/] {first.removeprefix('warning ')}" if warns else first
            yield from rest

    def __repr__(self) -> str:
        doubt = "" if self.trusted else ", not to be trusted"
        robust = f"{100 * self.robust_accuracy:.2f} % ({_span(*self.interval)})"
        return f"<Report: robust {robust} within {visible(self.asked)}, {self.samples} samples{doubt}>"

    def __str__(self) -> str:
        console = Console(width=110, color_system=None, force_terminal=False)
        with console.capture() as capture:
            console.print(self)
        return capture.get().rstrip()


def _hanging(lead: str, words: str, width: int) -> list[str]:
    """Words after a lead, as lines for rich, the later ones below the first word."""
    room = max(width - len(lead), 20)
    lines = textwrap.wrap(visible(words), room, break_on_hyphens=False) or [""]
    return [f"{lead if k == 0 else ' ' * len(lead)}{markup(line)}" for k, line in enumerate(lines)]


def _span(low: float, high: float) -> str:
    return f"{100 * low:.2f} to {100 * high:.2f}"


def judged(report: Report) -> Report:
    """Return a report with what its rows and the choice of its samples say against it, after its other warnings."""
    table, about, found = report.table, report.about, list(report.warnings)
    if about.first:
        found.append(Finding(Kind.FIRST, f"{report.samples} samples: the first of a stream, in its own order."))
    bad = _samples(table, "verdict", NON_FINITE)
    if bad:
        seen = f"{len(bad)} samples met NaN or infinity and are neither robust nor broken (first: {list(bad[:5])})."
        found.append(Finding(Kind.NON_FINITE, seen, bad))
    standing = set(_samples(table, "verdict", ROBUST))
    unseen = tuple(
        i for i, m in zip(table["index"], table.get("margin", ()), strict=False) if m == math.inf and i in standing
    )
    if unseen:
        seen = f"{len(unseen)} samples have no allowed point with a finite margin (first: {list(unseen[:5])})."
        found.append(Finding(Kind.NOTHING_ALLOWED, seen, unseen))
    stuck = tuple(i for i in _samples(table, "reason", Status.STATIONARY.sentence) if i in standing)
    if stuck:
        seen = (
            f"{len(stuck)} samples ended at a gradient that is zero in every coordinate (first: {list(stuck[:5])}): "
            "the gradient is masked or saturated there, and their robustness is not to be trusted."
        )
        few = len(stuck) <= _FEW * len(table["index"])
        found.append(Finding(Kind.STATIONARY, seen, stuck, Severity.NOTE if few else None))
    return replace(report, warnings=(*found, *doubts(table, about)))


def in_order(table: dict[str, Column], points: Tensor | None) -> tuple[dict[str, Column], Tensor | None]:
    """Return rows and points by the samples' indices, however evaluated; ValueError if a sample is there twice."""
    index = [int(i) for i in table["index"]]
    if index == sorted(set(index)):
        return table, points
    twice, count = Counter(index).most_common(1)[0]
    if count > 1:
        raise ValueError(f"A sample has one row, but sample {twice} is there {count} times.")
    order = sorted(range(len(index)), key=index.__getitem__)
    sorted_: dict[str, Any] = {name: [column[k] for k in order] for name, column in table.items()}
    return sorted_, None if points is None else points[order]


def framed(table: dict[str, Column], about: About, warnings: tuple[Finding, ...]) -> Any:
    """Return a table as a ``pandas.DataFrame``; see :meth:`Report.to_pandas`."""
    with optional("A table of pandas needs pandas", "pandas"):
        pandas = import_module("pandas")
    frame = pandas.DataFrame(table).set_index("index")
    for column in ("label", "prediction") if about.classes else ():
        if column in table:
            frame[f"{column}_name"] = [about.name(k) for k in table[column]]
    frame.attrs["warnings"] = [str(found) for found in warnings]
    return frame


def _samples(table: dict[str, Column], column: str, word: str) -> tuple[int, ...]:
    """The indices of the samples that have a word in a column."""
    rows = zip(table["index"], table[column], strict=True)
    return tuple(int(i) for i, v in rows if v == word)  # type: ignore[call-overload]
