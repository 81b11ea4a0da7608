"""What a comparison of runs knows, and its forms: page, table, text, figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from maxslope._escape import markdown, visible
from maxslope.attacks.findings import Finding
from maxslope.facts.evaluation import Facts, Named
from maxslope.facts.export import latex_comments, latex_table, markdown_table, to_csv, to_json
from maxslope.facts.numbers import counted, percent
from maxslope.figures.evaluation import plotted
from maxslope.report.html import Written, render
from maxslope.report.html_figures import Figure, cost_figure, security_figure
from maxslope.report.html_samples import Example

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

LEVEL = 0.05  # of the paired tests, all together
_REMAINS = "would fall under effort exhaustive, estimated"
_REMAINED = (
    "what effort exhaustive with another seed would still break, estimated from each run's own finds, with a 95 % "
    "interval; no bound"
)
_TESTED = "Robust in one of two runs alone: samples, and the p-value of McNemar's exact test."


@dataclass(frozen=True)
class Difference:
    """A sample that some runs broke and others did not."""

    index: int
    label: str
    verdicts: tuple[str, ...]
    margins: tuple[float, ...]


class Counts(NamedTuple):
    """Samples that are robust in both of two runs, in the first alone, in the second alone, in neither."""

    both: int
    first: int
    second: int
    neither: int


class Lead(NamedTuple):
    """The places of the more robust of two runs and of the other; their difference, not negative, and its interval."""

    ahead: int
    behind: int
    gap: float
    low: float
    high: float


@dataclass(frozen=True)
class Pair:
    """Two of the runs.

    Attributes:
        first: its place among the runs.
        second: likewise.
        counts: samples by where they are robust.
        difference: robust accuracy of the first minus that of the second.
        interval: 95 % interval of the difference, of this pair alone.
        p: McNemar's exact p-value of "both are equally robust".
        adjusted: the same, adjusted (Holm) for the number of pairs that are compared.
    """

    first: int
    second: int
    counts: Counts
    difference: float
    interval: tuple[float, float]
    p: float
    adjusted: float

    @property
    def better(self) -> int | None:
        """The place of the run that is shown to be more robust, None where neither is."""
        if self.adjusted >= LEVEL:
            return None
        return self.first if self.difference > 0 else self.second

    @property
    def points(self) -> tuple[str, str]:
        """Difference and interval in points."""
        gap, low, high = (f"{100 * value:+.1f}" for value in (self.difference, *self.interval))
        return gap, f"{low} to {high}"


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Written):
    """Runs on the same samples.

    Attributes:
        names: of the runs.
        facts: of each.
        pairs: every two of them, tested.
        differences: the samples that separate them: robust in some, not in all.
        shown: for each run, pictures of samples that are robust there and fell in another run, as they fell.
        notes: what makes the runs hard to compare.
        transfer: the share of samples on which each model (column) errs at the points of each run (row); None where
            points or model are not at hand, empty where none are.
        heading: the title, if it is not made of the names.
    """

    names: tuple[str, ...]
    facts: tuple[Facts, ...]
    pairs: tuple[Pair, ...]
    differences: tuple[Difference, ...]
    shown: tuple[tuple[Example, ...], ...]
    notes: tuple[str, ...]
    transfer: tuple[tuple[float | None, ...], ...] = ()
    heading: str = ""

    @property
    def runs(self) -> list[Named]:
        """Names and numbers, run by run."""
        return list(map(Named, self.names, self.facts))

    @property
    def counts(self) -> Counts:
        """Of the first two runs: see :class:`Pair`."""
        return self.pairs[0].counts

    @property
    def p(self) -> float:
        """Of the first two runs: McNemar's exact p-value."""
        return self.pairs[0].p

    @property
    def interval(self) -> tuple[float, float]:
        """Of the first two runs: the 95 % interval of their difference."""
        return self.pairs[0].interval

    @property
    def difference(self) -> float:
        """Robust accuracy of the first minus that of the second."""
        return self.pairs[0].difference

    @property
    def leads(self) -> Lead:
        """Of the first two runs: which one is ahead, and by how much."""
        (low, high), gap = self.interval, self.difference
        return Lead(0, 1, gap, low, high) if gap >= 0 else Lead(1, 0, -gap, -high, -low)

    @property
    def warnings(self) -> tuple[tuple[str, Finding], ...]:
        """What may be wrong with the numbers, with the name of the run: warnings first."""
        found = [(name, one) for name, f in self.runs for one in f.doubts]
        return tuple(sorted(found, key=lambda pair: -pair[1].severity))

    @property
    def doubtful(self) -> tuple[str, ...]:
        """The runs whose numbers are not to be trusted."""
        return tuple(name for name, f in self.runs if not f.trusted)

    def ranks(self) -> tuple[tuple[int, int], ...]:
        """Return the best and the worst rank of each run that the paired tests leave open, 1 the most robust."""
        places = range(len(self.names))
        behind = [sum(p.better == k for p in self.pairs) for k in places]
        ahead = [sum(p.better not in (None, k) and k in (p.first, p.second) for p in self.pairs) for k in places]
        return tuple((1 + a, len(self.names) - b) for a, b in zip(ahead, behind, strict=True))

    @property
    def sentence(self) -> str:
        """The outcome in words; doubts lead."""
        doubt = f"Not to be trusted ({', '.join(self.doubtful)}: see the warnings). " if self.doubtful else ""
        return doubt + (self._of_two() if len(self.names) == 2 else self._of_many())

    def _of_two(self) -> str:
        first, second = self.names[self.leads.ahead], self.names[self.leads.behind]
        gap = 100 * self.leads.gap
        if not self.differences:
            return f"{first} and {second} agree on every sample."
        if self.p >= LEVEL:
            return (
                f"{first} is {gap:.1f} points above {second}, not established by "
                f"{counted(len(self.differences), 'sample')} with different verdicts: p = {self.p:.2g}."
            )
        return f"{first} is {gap:.1f} points more robust than {second}: p = {self.p:.2g}."

    def _of_many(self) -> str:
        best, *others = self.order()
        beaten = {p.first + p.second - best for p in self.pairs if p.better == best}
        open_ = [self.names[k] for k in others if k not in beaten]
        value = f"{self.names[best]} has the highest robust accuracy, {percent(self.facts[best].robust.value)}"
        if not open_:
            return f"{value}, and the paired tests put it ahead of all {len(others)} others."
        return f"{value}; these samples do not separate it from {', '.join(open_)} (paired tests, Holm)."

    def order(self) -> list[int]:
        """Return the places of the runs, the most robust first."""
        return sorted(range(len(self.names)), key=lambda k: -self.facts[k].robust.value)

    def figures(self) -> dict[str, Figure]:
        """Return the charts by name: security, cost, as far as there are numbers for them."""
        return {f.name: f for f in (security_figure(self.runs), cost_figure(self.runs)) if f is not None}

    def classes(self) -> list[tuple[str, tuple[str, ...], float]]:
        """Return name, robust accuracy in each run, and the first minus the second, by class."""
        rows = zip(*(f.classes for f in self.facts), strict=True)
        return [
            (row[0].name, tuple(c.robust.words for c in row), row[0].robust.value - row[1].robust.value) for row in rows
        ]

    def rows(self) -> list[dict[str, Any]]:
        """Return the runs as lines of a table, the most robust first."""
        found = []
        for k in self.order():
            (name, f), (low, high) = self.runs[k], self.ranks()[k]
            backward, forward = f.passes
            found.append({
                "rank": f"{low}" if low == high else f"{low} to {high}",
                "run": name + ("" if f.trusted else " (not to be trusted)"),
                "budget": f.budget,
                "robust": f.robust.words,
                "clean": f.clean.words,
                "remains": "not estimated" if f.remains is None else f"{f.remains.points} points",
                "backward": backward,
                "forward": forward,
                "place": k,
            })  # fmt: skip
        return found

    def transfers(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return header and rows of the table of transfer: what each model gets wrong at the points of each run."""
        header = ("errors at the points of", *(f"model of {name}" for name in self.names))
        rows = [
            (name, *("not at hand" if share is None else percent(share) for share in row))
            for name, row in zip(self.names, self.transfer, strict=True)
        ]
        return header, rows

    def html(self) -> str:
        return render("compare.html.j2", c=self, figures=self.figures(), remained=_REMAINED)

    def json(self) -> str:
        """Return all numbers as JSON."""
        content = {
            "names": self.names,
            "warnings": [{"run": name, **found.data()} for name, found in self.warnings],
            "sentence": self.sentence,
            "facts": self.facts,
            "ranks": self.ranks(),
            "pairs": self.pairs,
            "counts": self.counts._asdict(),
            "difference": self.difference,
            "interval": self.interval,
            "p": self.p,
            "differences": self.differences,
            "notes": self.notes,
            "transfer": self.transfer,
        }
        return to_json(content)

    def csv(self) -> str:
        """Return the samples that differ as comma-separated values."""
        header = ("index", "label", *(f"{word} {name}" for word in ("verdict", "margin") for name in self.names))
        return to_csv(header, [(d.index, d.label, *d.verdicts, *d.margins) for d in self.differences])

    def markdown(self) -> str:
        """Return a summary for a pull request; warnings lead."""
        return "".join([
            f"## {markdown(self.title)}\n\n{markdown(self.sentence)}\n\n",
            *(f"> **{markdown(name)}** {markdown(str(found))}\n\n" for name, found in self.warnings),
            markdown_table(*self._table()),
            f"\nWould fall: {_REMAINED}.\n\n",
            *(f"{markdown(self._tested(pair))}\n" for pair in self.pairs),
            "\n" + markdown_table(*self.transfers()) if self.transfer else "",
            *(f"\n> {markdown(note)}\n" for note in self.notes),
        ])  # fmt: skip

    def latex(self) -> str:
        """Return the tables of the runs and of their pairs for a paper; they need the package booktabs."""
        said = latex_comments(f"{name}: {found}" for name, found in self.warnings)
        runs, pairs = latex_table(*self._table()), latex_table(*self._tests())
        return f"{said}{runs}\n% {_TESTED}\n{pairs}"

    def plot(self) -> MatplotlibFigure:
        """Return the curves of all runs together as a figure of matplotlib.

        Raises:
            ImportError: if matplotlib is not installed.
        """
        return plotted(self.runs)

    @property
    def title(self) -> str:
        """The heading, or the runs by name."""
        return self.heading or (" against " if len(self.names) == 2 else ", ").join(self.names)

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Header and lines of the table of runs."""
        header = ("rank", "run", "budget", "robust", _REMAINS, "clean", "passes a sample (backward, forward)")
        names = ("rank", "run", "budget", "robust", "remains", "clean")
        return header, [(*(r[name] for name in names), f"{r['backward']:.0f}, {r['forward']:.0f}") for r in self.rows()]

    def _tests(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Header and lines of the table of pairs."""
        header = ("pair", "points (95 % interval)", "first alone", "second alone", "p", "adjusted p (Holm)")
        lines: list[tuple[str, ...]] = []
        for pair in self.pairs:
            gap, interval = pair.points
            alone = f"{pair.counts.first}", f"{pair.counts.second}"
            lines.append((self._minus(pair), f"{gap} ({interval})", *alone, f"{pair.p:.2g}", f"{pair.adjusted:.2g}"))
        return header, lines

    def _tested(self, pair: Pair) -> str:
        gap, interval = pair.points
        many = f", {pair.adjusted:.2g} adjusted for {len(self.pairs)} pairs" if len(self.pairs) > 1 else ""
        return (
            f"{self._minus(pair)}: {gap} points (95 % interval {interval}); robust in the first alone "
            f"{pair.counts.first}, in the second alone {pair.counts.second} samples; p = {pair.p:.2g}{many}."
        )

    def _minus(self, pair: Pair) -> str:
        return f"{self.names[pair.first]} minus {self.names[pair.second]}"

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        lines = [self.sentence, *(f"warning {name}: {found}" for name, found in self.warnings)]
        lines += [
            f"{r['rank']:>8}  {r['run']}: robust {r['robust']}, would fall by {r['remains']}, clean {r['clean']}, "
            f"{r['backward']:.0f} backward passes"
            for r in self.rows()
        ]
        lines.append(f'"would fall": {_REMAINED}.')
        return visible("\n".join([*lines, *map(self._tested, self.pairs), *self.notes]))
