"""Evaluations of the same samples, side by side: which fell where, and whether that can be chance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from maxslope.attacks import MinimalResult
from maxslope.attacks.findings import Finding
from maxslope.evaluation import Report
from maxslope.evaluation.report import ROBUST
from maxslope.evaluation.statistics import holm, mcnemar, paired_interval
from maxslope.report.html import bounds_of, framed, norm_and_eps, render, write
from maxslope.report.html_export import latex_table, markdown_table, plain, to_csv
from maxslope.report.html_facts import Facts, class_name, facts
from maxslope.report.html_figures import Figure, cost_figure, security_figure
from maxslope.report.html_samples import Example, examples, with_points
from maxslope.report.merging import SEARCH, Candidates, affordable, merged, nearest
from maxslope.report.plots import plotted
from maxslope.sets import Budget

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

_SHOWN = 4
_LEVEL = 0.05  # of the paired tests, all together


@dataclass(frozen=True)
class Difference:
    """A sample that some runs broke and others did not."""

    index: int
    label: str
    verdicts: tuple[str, ...]
    margins: tuple[float, ...]


@dataclass(frozen=True)
class Pair:
    """Two of the runs.

    Attributes:
        first: its place among the runs.
        second: likewise.
        counts: samples robust in both, in the first alone, in the second alone, in neither.
        difference: robust accuracy of the first minus that of the second.
        interval: 95 % interval of the difference, of this pair alone.
        p: McNemar's exact p-value of "both are equally robust".
        adjusted: the same, adjusted (Holm) for the number of pairs that are compared.
    """

    first: int
    second: int
    counts: tuple[int, int, int, int]
    difference: float
    interval: tuple[float, float]
    p: float
    adjusted: float

    @property
    def better(self) -> int | None:
        """The place of the run that is shown to be more robust, None where neither is."""
        if self.adjusted >= _LEVEL:
            return None
        return self.first if self.difference > 0 else self.second


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Runs on the same samples.

    Attributes:
        names: of the runs.
        facts: of each.
        pairs: every two of them, tested.
        differences: the samples that separate them: robust in some, not in all.
        shown: for each run, pictures of samples that are robust there and fell in another run, as they fell.
        notes: what makes the runs hard to compare.
    """

    names: tuple[str, ...]
    facts: tuple[Facts, ...]
    pairs: tuple[Pair, ...]
    differences: tuple[Difference, ...]
    shown: tuple[tuple[Example, ...], ...]
    notes: tuple[str, ...]

    @property
    def counts(self) -> tuple[int, int, int, int]:
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
    def warnings(self) -> tuple[tuple[str, Finding], ...]:
        """What may be wrong with the numbers, with the name of the run: warnings first."""
        found = [(name, one) for name, f in zip(self.names, self.facts, strict=True) for one in f.doubts]
        return tuple(sorted(found, key=lambda pair: -pair[1].severity))

    @property
    def doubtful(self) -> tuple[str, ...]:
        """The runs whose numbers are not to be trusted."""
        return tuple(name for name, f in zip(self.names, self.facts, strict=True) if not f.trusted)

    def ranks(self) -> tuple[tuple[int, int], ...]:
        """Return the best and the worst rank of each run that the paired tests leave open, 1 the most robust."""
        ahead = [sum(p.better is not None and p.better != k and k in (p.first, p.second) for p in self.pairs)
                 for k in range(len(self.names))]  # fmt: skip
        behind = [sum(p.better == k for p in self.pairs) for k in range(len(self.names))]
        return tuple((1 + a, len(self.names) - b) for a, b in zip(ahead, behind, strict=True))

    @property
    def sentence(self) -> str:
        """The outcome in words; doubts lead."""
        doubt = ""
        if self.doubtful:
            doubt = f"Not to be trusted ({', '.join(self.doubtful)}: see the warnings). "
        return doubt + (self._of_two() if len(self.names) == 2 else self._of_many())

    def _of_two(self) -> str:
        first, second = self.names if self.difference >= 0 else self.names[::-1]
        gap = 100 * abs(self.difference)
        if not self.differences:
            return f"{first} and {second} agree on every sample."
        if self.p >= _LEVEL:
            return (
                f"{first} is {gap:.1f} points above {second}, which {len(self.differences)} samples with different "
                f"verdicts do not establish: p = {self.p:.2g}."
            )
        return f"{first} is {gap:.1f} points more robust than {second}: p = {self.p:.2g}."

    def _of_many(self) -> str:
        order = self.order()
        best = order[0]
        open_ = [self.names[k] for k in order[1:] if not self._ahead(best, k)]
        value = f"{self.names[best]} has the highest robust accuracy, {100 * self.facts[best].robust.value:.1f} %"
        if not open_:
            return f"{value}, and the paired tests put it ahead of all {len(self.names) - 1} others."
        return f"{value}; these samples do not separate it from {', '.join(open_)} (paired tests, Holm)."

    def _ahead(self, one: int, other: int) -> bool:
        return any({p.first, p.second} == {one, other} and p.better == one for p in self.pairs)

    def order(self) -> list[int]:
        """Return the places of the runs, the most robust first."""
        return sorted(range(len(self.names)), key=lambda k: -self.facts[k].robust.value)

    def figures(self) -> dict[str, Figure]:
        """Return the charts by name: security, cost, as far as there are numbers for them."""
        pairs = list(zip(self.names, self.facts, strict=True))
        return {f.name: f for f in (security_figure(pairs), cost_figure(pairs)) if f is not None}

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
            name, f, (low, high) = self.names[k], self.facts[k], self.ranks()[k]
            found.append({
                "rank": f"{low}" if low == high else f"{low} to {high}",
                "run": name + ("" if f.trusted else " (not to be trusted)"),
                "budget": f.budget,
                "robust": f.robust.words,
                "clean": f.clean.words,
                "backward": f.passes[0],
                "forward": f.passes[1],
                "place": k,
            })  # fmt: skip
        return found

    def html(self) -> str:
        """Return the page: one file, which loads nothing.

        Raises:
            ImportError: if jinja2 is not installed.
        """
        return render("compare.html.j2", c=self, figures=self.figures())

    def json(self) -> str:
        """Return all numbers as JSON."""
        content = {
            "names": self.names,
            "warnings": [{"run": name, **found.data()} for name, found in self.warnings],
            "sentence": self.sentence,
            "facts": self.facts,
            "ranks": self.ranks(),
            "pairs": self.pairs,
            "counts": dict(zip(("both", "first", "second", "neither"), self.counts, strict=True)),
            "difference": self.difference,
            "interval": self.interval,
            "p": self.p,
            "differences": self.differences,
            "notes": self.notes,
        }
        return json.dumps(plain(content), indent=1, allow_nan=False) + "\n"

    def csv(self) -> str:
        """Return the samples that differ as comma-separated values."""
        header = ("index", "label", *(f"{word} {name}" for word in ("verdict", "margin") for name in self.names))
        return to_csv(header, [(d.index, d.label, *d.verdicts, *d.margins) for d in self.differences])

    def markdown(self) -> str:
        """Return a summary for a pull request; warnings lead."""
        return (
            f"## {self.title}\n\n{self.sentence}\n\n"
            + "".join(f"> **{name}** {found}\n\n" for name, found in self.warnings)
            + markdown_table(*self._table())
            + "\n"
            + "".join(f"{self._tested(pair)}\n" for pair in self.pairs)
            + "".join(f"\n> {note}\n" for note in self.notes)
        )

    def latex(self) -> str:
        """Return the table of the runs for a paper; it needs the package booktabs."""
        said = [f"% {name}: {found}" for name, found in self.warnings]
        return "\n".join([*said, latex_table(*self._table())])

    def plot(self) -> MatplotlibFigure:
        """Return the curves of all runs together as a figure of matplotlib.

        Raises:
            ImportError: if matplotlib is not installed.
        """
        return plotted(list(zip(self.names, self.facts, strict=True)))

    @property
    def title(self) -> str:
        """The runs by name."""
        return " against ".join(self.names) if len(self.names) == 2 else ", ".join(self.names)

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        header = ("rank", "run", "budget", "robust", "clean", "passes a sample (backward, forward)")
        lines: list[tuple[str, ...]] = [
            (r["rank"], r["run"], r["budget"], r["robust"], r["clean"], f"{r['backward']:.0f}, {r['forward']:.0f}")
            for r in self.rows()
        ]
        return header, lines

    def _tested(self, pair: Pair) -> str:
        gap, low, high = (f"{100 * value:+.1f}" for value in (pair.difference, *pair.interval))
        many = f", {pair.adjusted:.2g} adjusted for {len(self.pairs)} pairs" if len(self.pairs) > 1 else ""
        return (
            f"{self.names[pair.first]} minus {self.names[pair.second]}: {gap} points (95 % interval {low} to {high}); "
            f"robust in the first alone {pair.counts[1]}, in the second alone {pair.counts[2]} samples; "
            f"p = {pair.p:.2g}{many}."
        )

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        lines = [self.sentence, *(f"warning {name}: {found}" for name, found in self.warnings)]
        lines += [
            f"{r['rank']:>8}  {r['run']}: robust {r['robust']}, clean {r['clean']}, {r['backward']:.0f} backward passes"
            for r in self.rows()
        ]
        return "\n".join([*lines, *map(self._tested, self.pairs), *self.notes])

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return framed(self.html())

    def save(self, path: str | Path) -> Path:
        """Write the HTML page to ``path``, creating its folder, and return the path.

        Raises:
            ImportError: if jinja2 is not installed.
        """
        return write(path, self.html())


def compare(
    *reports: Report,
    names: Sequence[str] = (),
    data: tuple[Tensor, Tensor] | None = None,
    models: Sequence[Any] | None = None,
    budget: Budget | Sequence[Budget | None] | None = None,
    smallest: Sequence[MinimalResult] | None = None,
    classes: Sequence[str] = (),
) -> Comparison:
    """Compare evaluations of the same samples: models, or attacks on one model.

    The verdicts are paired by sample, so that a difference is judged by the samples that differ alone; of more than two
    runs every pair is tested, and p-values are adjusted for their number. With data, models and one norm, the smallest
    perturbations of the same few samples are looked for in each run, for curves against the radius; what is found there
    against an evaluation is verified and counted.

    Args:
        reports: of ``evaluate`` on the same samples, two at least.
        names: of the runs; by default A, B, C, ...
        data: inputs ``[n, *shape]`` and labels, to show samples that differ.
        models: of the runs, for their answers to the samples shown.
        budget: of all, or of each.
        smallest: of ``minimal`` on the first samples in each run, for robust accuracy against the radius.
        classes: names by class number; by default those the reports know.

    Returns:
        A :class:`Comparison`: prints and displays itself; ``.pairs``, ``.ranks()``, ``.save(path)``, ``.markdown()``.

    Raises:
        ValueError: if there are fewer than two runs, or they are not about the same samples.

    >>> import torch, maxslope as ms
    >>> data = torch.tensor([[0.9, 0.1], [0.6, 0.5]]), torch.tensor([0, 0])
    >>> runs = [ms.evaluate(lambda x: 10 * x, data, ms.Linf(eps)) for eps in (0.04, 0.2)]
    >>> compare(*runs).sentence
    'A is 50.0 points above B, which 1 samples with different verdicts do not establish: p = 1.'
    """
    if len(reports) < 2:
        raise ValueError(f"A comparison is about two runs at least, got {len(reports)}.")
    named = tuple(names) or tuple(_letters(k) for k in range(len(reports)))
    if len(named) != len(reports):
        raise ValueError(f"Each run has one name, got {len(named)} names for {len(reports)} runs.")
    _same_samples(reports)
    words = classes or reports[0].about.classes
    budgets = [budget] * len(reports) if budget is None or isinstance(budget, Budget) else list(budget)
    rows: Sequence[int] = range(0 if smallest is None else len(smallest[0].norms))
    if smallest is None and data is not None and models is not None:
        reports, smallest, rows = _looked(reports, data, models, budgets)
    stood = [[v == ROBUST for v in r.table["verdict"]] for r in reports]
    differ = [i for i, column in enumerate(zip(*stood, strict=True)) if len(set(column)) > 1]
    return Comparison(
        names=named,
        facts=_facts(reports, named, budgets, None if smallest is None else (rows, smallest), words),
        pairs=_pairs(stood),
        differences=tuple(_difference(reports, i, words) for i in differ),
        shown=_shown(reports, stood, data, models, budgets, words),
        notes=_notes(reports),
    )


def _letters(k: int) -> str:
    return chr(ord("A") + k) if k < 26 else f"run {k + 1}"


def _same_samples(reports: Sequence[Report]) -> None:
    first = reports[0]
    for other in reports[1:]:
        if (first.table["index"], first.table["label"]) != (other.table["index"], other.table["label"]):
            raise ValueError(
                f"Runs are compared sample by sample, got {first.samples} and {other.samples} samples"
                f"{' with other indices or labels' if first.samples == other.samples else ''}; evaluate both on the "
                "same data."
            )


def _looked(
    reports: Sequence[Report], data: tuple[Tensor, Tensor], models: Sequence[Any], budgets: Sequence[Budget | None]
) -> tuple[tuple[Report, ...], list[MinimalResult] | None, Sequence[int]]:
    """Smallest perturbations of the same samples in each run, and the reports with what they say against them."""
    norms = {str(b.norm) if b is not None else "" for b in budgets}
    cheapest = min((affordable(report, 0) for report in reports), key=len)
    if len(norms) > 1 or "" in norms or not cheapest or any(model is None for model in models):
        return tuple(reports), None, ()
    found, after = [], []
    for report, model, own in zip(reports, models, budgets, strict=True):
        assert own is not None
        near = nearest(cheapest, report, model, data, own)
        assert near is not None
        found.append(near)
        candidates = [Candidates(cheapest, near.points, SEARCH, near.margin)]
        after.append(merged(report, data, model, own, candidates)[0])
    return tuple(after), found, cheapest


def _facts(
    reports: Sequence[Report],
    names: Sequence[str],
    budgets: Sequence[Budget | None],
    smallest: tuple[Sequence[int], Sequence[MinimalResult]] | None,
    classes: Sequence[str],
) -> tuple[Facts, ...]:
    """The numbers of each run, security curves on the same radii."""
    rows = () if smallest is None else smallest[0]
    norms = [None] * len(reports) if smallest is None else [s.norms for s in smallest[1]]
    runs = list(zip(reports, names, norms, map(norm_and_eps, budgets), strict=True))

    def numbers(reach: float | None) -> list[Facts]:
        return [
            facts(r, title=name, norm=norm, eps=eps, smallest=few, rows=rows, reach=reach, classes=classes)
            for r, name, few, (norm, eps) in runs
        ]

    found = numbers(None)
    if smallest is None:  # one radius tells nothing about others
        return tuple(replace(f, security=()) for f in found)
    if all(f.security for f in found):
        found = numbers(max(f.security[-1].eps for f in found))
    return tuple(found)


def _pairs(stood: Sequence[Sequence[bool]]) -> tuple[Pair, ...]:
    """Every two runs, tested by the samples on which they differ."""
    found = []
    for a, b in combinations(range(len(stood)), 2):
        both = list(zip(stood[a], stood[b], strict=True))
        n, first, second = len(both), both.count((True, False)), both.count((False, True))
        counts = (both.count((True, True)), first, second, both.count((False, False)))
        interval, p = paired_interval(first, second, n), mcnemar(first, second)
        found.append(Pair(a, b, counts, (first - second) / n, interval, p, p))
    return tuple(replace(p, adjusted=q) for p, q in zip(found, holm([p.p for p in found]), strict=True))


def _difference(reports: Sequence[Report], row: int, classes: Sequence[str]) -> Difference:
    return Difference(
        int(reports[0].table["index"][row]),
        class_name(int(reports[0].table["label"][row]), classes),
        tuple(str(r.table["verdict"][row]) for r in reports),
        tuple(float(r.table["margin"][row]) for r in reports),
    )


def _shown(
    reports: Sequence[Report],
    stood: Sequence[Sequence[bool]],
    data: tuple[Tensor, Tensor] | None,
    models: Sequence[Any] | None,
    budgets: Sequence[Budget | None],
    classes: Sequence[str],
) -> tuple[tuple[Example, ...], ...]:
    """For each run, samples that stand there and fell in another run, as the first such run broke them."""
    found: list[tuple[Example, ...]] = []
    for own in stood:
        fell = {i: next((j for j, s in enumerate(stood) if not s[i]), None) for i, stands in enumerate(own) if stands}
        wanted = [(i, j) for i, j in fell.items() if j is not None][:_SHOWN]
        shown: dict[int, Example] = {}
        for j in dict.fromkeys(j for _, j in wanted):
            rows, other, model = [i for i, of in wanted if of == j], reports[j], None if models is None else models[j]
            budget = budgets[j]
            if data is not None and model is not None and budget is not None:
                other = with_points(other, rows, data, model, budget)
            if data is not None and other.points is not None:
                seen = examples(other, rows, data[0].detach(), model, bounds_of(budget, data[0]), classes)
                shown |= {i: one for i, one in seen.items() if one.reach > 0}  # others did not fall again
        found.append(tuple(shown[i] for i, _ in wanted if i in shown))
    return tuple(found)


def _notes(reports: Sequence[Report]) -> tuple[str, ...]:
    notes = []
    budgets, efforts = [r.asked for r in reports], [r.effort.name for r in reports]
    if len({r.budget for r in reports}) > 1:
        said = " and ".join(dict.fromkeys(budgets)) if len(set(budgets)) > 1 else "see the runs"
        notes.append(f"The budgets differ: {said}. The difference is theirs as well.")
    if len(set(efforts)) > 1:
        notes.append(
            f"The efforts differ: {' and '.join(dict.fromkeys(efforts))}. A stronger attack finds more on the same "
            "model, so part of the difference may be the attack's."
        )
    return tuple(notes)
