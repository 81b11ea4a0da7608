"""Two evaluations of the same samples, side by side: which fell where, and whether that can be chance."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

from torch import Tensor

from maxslope._escape import markdown
from maxslope.attacks import MinimalResult
from maxslope.evaluation import Report
from maxslope.evaluation.report import ROBUST
from maxslope.report.html import bounds_of, norm_and_eps, render, write
from maxslope.report.html_export import markdown_table, percents, plain, to_csv
from maxslope.report.html_facts import Facts, class_name, facts
from maxslope.report.html_figures import Figure, cost_figure, security_figure
from maxslope.report.html_samples import Example, examples, with_points
from maxslope.sets import Budget

_SHOWN = 4


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p-value of McNemar's test.

    p = min(1, 2 P(B <= min(b, c))), B binomial with b + c trials of probability 1/2.

    Args:
        only_first: pairs b in which the first alone succeeds.
        only_second: pairs c in which the second alone does.

    Raises:
        ValueError: if a count is negative.

    Source: Q. McNemar, Psychometrika 12 (1947), 153-157; the exact form conditions on b + c.

    >>> mcnemar(1, 8)
    0.0390625
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"Counts must not be negative, got {only_first} and {only_second}.")
    n = only_first + only_second
    tail = sum(math.comb(n, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, tail / 2 ** (n - 1)) if n else 1.0


def paired_interval(only_first: int, only_second: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the adjusted Wald interval of a difference of paired shares, first minus second.

    d -+ z sqrt((p + r - d^2) / (n + 2)) with p = (b + 1) / (n + 2), r = (c + 1) / (n + 2), d = p - r.

    Args:
        only_first: pairs in which the first alone succeeds.
        only_second: pairs in which the second alone does.
        n: all pairs.
        confidence: of the two-sided interval.

    Returns:
        (lower, upper), within [-1, 1].

    Source: D. G. Bonett and R. M. Price, J. Educ. Behav. Stat. 37 (2012), 479-488.

    >>> [round(v, 3) for v in paired_interval(10, 2, 100)]
    [0.008, 0.149]
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p, r = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    half = z * math.sqrt((p + r - (p - r) ** 2) / (n + 2))
    return max(-1.0, p - r - half), min(1.0, p - r + half)


@dataclass(frozen=True)
class Difference:
    """A sample that one run broke and the other did not."""

    index: int
    label: str
    verdicts: tuple[str, str]
    margins: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two runs on the same samples.

    Attributes:
        names: of the runs.
        facts: of each.
        counts: samples robust in both, in the first alone, in the second alone, in neither.
        p: McNemar's exact p-value of "both are equally robust".
        interval: 95 % interval of the difference of robust accuracies, first minus second.
        differences: the samples that are robust in one run alone.
        shown: for each run, pictures of samples that are robust there alone, as the other run broke them.
        notes: what makes the runs hard to compare.
    """

    names: tuple[str, str]
    facts: tuple[Facts, Facts]
    counts: tuple[int, int, int, int]
    p: float
    interval: tuple[float, float]
    differences: tuple[Difference, ...]
    shown: tuple[tuple[Example, ...], tuple[Example, ...]]
    notes: tuple[str, ...]

    @property
    def difference(self) -> float:
        """Robust accuracy of the first minus that of the second."""
        return self.facts[0].robust.value - self.facts[1].robust.value

    @property
    def sentence(self) -> str:
        """The outcome in words."""
        first, second = self.names if self.difference >= 0 else self.names[::-1]
        gap = 100 * abs(self.difference)
        if not self.differences:
            return f"{first} and {second} agree on every sample."
        if self.p >= 0.05:
            return (
                f"{first} is {gap:.1f} points above {second}, which {len(self.differences)} samples with different "
                f"verdicts do not establish: p = {self.p:.2g}."
            )
        return f"{first} is {gap:.1f} points more robust than {second}: p = {self.p:.2g}."

    def figures(self) -> dict[str, Figure]:
        """Return the charts by name: security, cost, as far as there are numbers for them."""
        pairs = list(zip(self.names, self.facts, strict=True))
        return {f.name: f for f in (security_figure(pairs), cost_figure(pairs)) if f is not None}

    def classes(self) -> list[tuple[str, str, str, float]]:
        """Return name, robust accuracy in each run, and their difference by class."""
        pairs = zip(self.facts[0].classes, self.facts[1].classes, strict=True)
        return [(a.name, a.robust.words, b.robust.words, a.robust.value - b.robust.value) for a, b in pairs]

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
            "facts": [asdict(f) for f in self.facts],
            "counts": dict(zip(("both", "first", "second", "neither"), self.counts, strict=True)),
            "difference": self.difference,
            "interval": self.interval,
            "p": self.p,
            "differences": [asdict(d) for d in self.differences],
            "notes": self.notes,
        }
        return json.dumps(plain(content), indent=1, allow_nan=False) + "\n"

    def csv(self) -> str:
        """Return the samples that differ as comma-separated values."""
        header = ("index", "label", *(f"{word} {name}" for word in ("verdict", "margin") for name in self.names))
        return to_csv(header, [(d.index, d.label, *d.verdicts, *d.margins) for d in self.differences])

    def markdown(self) -> str:
        """Return a summary for a pull request."""
        pairs = zip(self.names, self.facts, strict=True)
        rows = [(name, f.budget, percents(f.clean), percents(f.robust)) for name, f in pairs]
        gap, low, high = (f"{100 * value:+.1f}" for value in (self.difference, *self.interval))
        return (
            f"## {markdown(self.names[0])} against {markdown(self.names[1])}\n\n{markdown(self.sentence)}\n\n"
            + markdown_table(("run", "budget", "clean", "robust"), rows)
            + f"\nDifference {gap} points (95 % interval {low} to {high}); robust in the first alone {self.counts[1]}, "
            f"in the second alone {self.counts[2]} samples.\n"
            + "".join(f"\n> {markdown(note)}\n" for note in self.notes)
        )

    def save(self, path: str | Path) -> Path:
        """Write the HTML page to ``path``, creating its folder, and return the path.

        Raises:
            ImportError: if jinja2 is not installed.
        """
        return write(path, self.html())


def compare(
    first: Report,
    second: Report,
    *,
    names: tuple[str, str] = ("A", "B"),
    data: tuple[Tensor, Tensor] | None = None,
    models: tuple[Any, Any] | None = None,
    budget: Budget | None = None,
    smallest: tuple[MinimalResult, MinimalResult] | None = None,
    classes: Sequence[str] = (),
) -> Comparison:
    """Compare two evaluations of the same samples: models, or attacks on one model.

    The verdicts are paired by sample, so that the difference is judged by the samples that differ alone.

    Args:
        first: of ``evaluate``.
        second: of ``evaluate`` on the same samples.
        names: of the runs.
        data: inputs ``[n, *shape]`` and labels, to show samples that differ.
        models: of the runs, for their answers to the samples shown.
        budget: of both, for the name of its norm and its box.
        smallest: of ``minimal`` on the first samples in each run, for robust accuracy against the radius.
        classes: names by class number.

    Returns:
        A :class:`Comparison`: ``.p``, ``.interval``, ``.save(path)``, ``.markdown()``.

    Raises:
        ValueError: if the runs are not about the same samples.

    >>> import torch, maxslope as ms
    >>> data = torch.tensor([[0.9, 0.1], [0.6, 0.5]]), torch.tensor([0, 0])
    >>> runs = [ms.evaluate(lambda x: 10 * x, data, ms.Linf(eps)) for eps in (0.04, 0.2)]
    >>> compare(*runs).sentence
    'A is 50.0 points above B, which 1 samples with different verdicts do not establish: p = 1.'
    """
    columns = [(r.table["index"], r.table["label"]) for r in (first, second)]
    if columns[0] != columns[1]:
        raise ValueError(
            f"Runs are compared sample by sample, got {first.samples} and {second.samples} samples"
            f"{' with other indices or labels' if first.samples == second.samples else ''}; evaluate both on the same "
            "data."
        )
    norm, eps = norm_and_eps(budget)
    norms = [None, None] if smallest is None else [s.norms for s in smallest]
    runs = list(zip((first, second), names, norms, strict=True))
    found = [facts(r, title=name, norm=norm, eps=eps, smallest=few, classes=classes) for r, name, few in runs]
    if smallest is None:  # one radius tells nothing about others
        found = [replace(f, security=()) for f in found]
    elif all(f.security for f in found):
        far = max(f.security[-1].eps for f in found)
        found = [
            facts(r, title=name, norm=norm, eps=eps, smallest=few, reach=far, classes=classes) for r, name, few in runs
        ]
    stood = [[v == ROBUST for v in r.table["verdict"]] for r in (first, second)]
    pairs = list(zip(*stood, strict=True))
    counts = tuple(pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False)))
    differ = [[i for i, pair in enumerate(pairs) if pair == only] for only in ((True, False), (False, True))]
    return Comparison(
        names=names,
        facts=(found[0], found[1]),
        counts=(counts[0], counts[1], counts[2], counts[3]),
        p=mcnemar(counts[1], counts[2]),
        interval=paired_interval(counts[1], counts[2], len(pairs)),
        differences=tuple(_difference(first, second, i, classes) for i in sorted(differ[0] + differ[1])),
        shown=_shown((first, second), differ, data, models, budget, classes),
        notes=_notes(first, second),
    )


def _difference(first: Report, second: Report, row: int, classes: Sequence[str]) -> Difference:
    a, b = first.table, second.table
    return Difference(
        int(a["index"][row]),
        class_name(int(a["label"][row]), classes),
        (str(a["verdict"][row]), str(b["verdict"][row])),
        (float(a["margin"][row]), float(b["margin"][row])),
    )


def _shown(
    reports: tuple[Report, Report],
    differ: Sequence[Sequence[int]],
    data: tuple[Tensor, Tensor] | None,
    models: tuple[Any, Any] | None,
    budget: Budget | None,
    classes: Sequence[str],
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Samples that stand in one run alone, as the other run broke them."""
    found: list[tuple[Example, ...]] = []
    for k, rows in enumerate(differ):
        other, model = reports[1 - k], None if models is None else models[1 - k]
        if data is not None and model is not None and budget is not None:
            other = with_points(other, rows[:_SHOWN], data, model, budget)
        if data is None or other.points is None:
            found.append(())
            continue
        shown = examples(other, rows[:_SHOWN], data[0].detach(), model, bounds_of(budget, data[0]), classes)
        found.append(tuple(shown.values()))
    return found[0], found[1]


def _notes(first: Report, second: Report) -> tuple[str, ...]:
    notes = []
    if first.budget != second.budget:
        notes.append(f"The budgets differ: {first.budget} and {second.budget}. The difference is theirs as well.")
    if first.effort.name != second.effort.name:
        notes.append(
            f"The efforts differ: {first.effort.name} and {second.effort.name}. A stronger attack finds more on the "
            "same model, so part of the difference may be the attack's."
        )
    notes += [f"{name}: {w}" for name, r in (("first", first), ("second", second)) for w in r.warnings]
    return tuple(notes)
