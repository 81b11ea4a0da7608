"""Evaluations of the same samples, side by side: which fell where, and whether that can be chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, NamedTuple

from torch import Tensor

from maxslope.attacks import MinimalResult
from maxslope.evaluation import Report
from maxslope.evaluation.report import ROBUST
from maxslope.evaluation.statistics import holm, mcnemar, paired_interval
from maxslope.facts.answers import answers_of
from maxslope.facts.evaluation import Facts, facts
from maxslope.facts.numbers import counted, percent
from maxslope.report.comparison import Comparison, Counts, Difference, Pair
from maxslope.report.html import bounds_of, norm_and_eps, with_names
from maxslope.report.html_samples import AtHand, Example, examples, with_points
from maxslope.report.merging import SEARCH, Candidates, affordable, merged, nearest, representative
from maxslope.sets import Budget

_SHOWN = 4


class Run(NamedTuple):
    """One of the runs, with what is at hand of it."""

    name: str
    report: Report
    model: Any
    budget: Budget | None


def compare(
    *reports: Report,
    names: Sequence[str] = (),
    data: tuple[Tensor, Tensor] | None = None,
    models: Sequence[Any] | None = None,
    budget: Budget | Sequence[Budget | None] | None = None,
    smallest: Sequence[MinimalResult] | None = None,
    classes: Sequence[str] = (),
    seed: int | None = None,
    title: str | None = None,
    files: Sequence[str] = (),
) -> Comparison:
    """Compare evaluations of the same samples: models, or attacks on one model.

    The verdicts are paired by sample, so that a difference is judged by the samples that differ alone; of more than two
    runs every pair is tested, and p-values are adjusted for their number. With data, models and one norm, the smallest
    perturbations of the same few samples are looked for in each run, for curves against the radius that weigh them by
    the verdicts of each whole run; what is found there against an evaluation is verified and counted. Points that the
    runs kept are shown to every model; what they break that stood is verified and noted, not counted, so that attacks
    on one model can be compared.

    Args:
        reports: of ``evaluate`` on the same samples, two at least.
        names: of the runs; by default A, B, C, ...
        data: inputs ``[n, *shape]`` and labels, to show samples that differ.
        models: of the runs, for their answers to the samples shown.
        budget: of all, or of each.
        smallest: of ``minimal`` on the first samples in each run, for robust accuracy against the radius.
        classes: names by class number; by default those the reports know.
        seed: of the draw of samples whose smallest perturbation is looked for, and of that search; by default those of
            the evaluations.
        title: of the page; by default the names of the runs.
        files: names of the samples' files, in the order of the reports; by default those in the first's table.

    Returns:
        A :class:`Comparison`: prints and displays itself; ``.pairs``, ``.ranks()``, ``.save(path)``, ``.markdown()``.

    Raises:
        ValueError: if there are fewer than two runs, or they are not about the same samples.

    >>> import torch, maxslope as ms
    >>> data = torch.tensor([[0.9, 0.1], [0.6, 0.5]]), torch.tensor([0, 0])
    >>> runs = [ms.evaluate(lambda x: 10 * x, data, ms.Linf(eps)) for eps in (0.04, 0.2)]
    >>> compare(*runs).sentence
    'A is 50.0 points above B, not established by 1 sample with different verdicts: p = 1.'
    """
    if len(reports) < 2:
        raise ValueError(f"A comparison is about two runs at least, got {len(reports)}.")
    named = tuple(names) or tuple(chr(ord("A") + k) if k < 26 else f"run {k + 1}" for k in range(len(reports)))
    if len(named) != len(reports):
        raise ValueError(f"Each run has one name, got {len(named)} names for {len(reports)} runs.")
    _same_samples(reports)
    reports = tuple(with_names(report, classes or reports[0].about.classes) for report in reports)
    asked = data is not None and models is not None and all(report.about.plain for report in reports)
    if not asked:  # a search of our own would answer another question than other evaluations did
        models = [None] * len(reports)
    budgets = [budget] * len(reports) if budget is None or isinstance(budget, Budget) else list(budget)
    runs = [Run(*own) for own in zip(named, reports, models or (), budgets, strict=True)]
    rows: Sequence[int] = range(0 if smallest is None else len(smallest[0].norms))
    errs: tuple[tuple[float | None, ...], ...] = ()
    notes = _notes(reports)
    if data is not None and asked:
        if smallest is None:
            runs, smallest, rows = _looked(runs, data, seed)
        errs, said = _transferred(runs, data)
        notes += said
    stood = [[v == ROBUST for v in run.report.table["verdict"]] for run in runs]
    differ = [i for i, column in enumerate(zip(*stood, strict=True)) if len(set(column)) > 1]
    return Comparison(
        names=named,
        facts=_facts(runs, smallest, rows),
        pairs=_pairs(stood),
        differences=tuple(_difference(runs, i) for i in differ),
        shown=((),) * len(runs) if data is None else _shown(runs, stood, data, files or reports[0].files),
        notes=notes,
        transfer=errs,
        heading=title or "",
    )


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
    runs: list[Run], data: tuple[Tensor, Tensor], seed: int | None
) -> tuple[list[Run], list[MinimalResult] | None, Sequence[int]]:
    """The runs with what smallest perturbations of the same samples say against them, these, and their rows."""
    least = min((run.report for run in runs), key=lambda report: affordable(report, 0))
    rows = representative([run.report for run in runs], affordable(least, 0), least.seed if seed is None else seed)
    norms = {None if run.budget is None or run.model is None else str(run.budget.norm) for run in runs}
    if len(norms) > 1 or None in norms or not rows:
        return runs, None, ()
    found, after = [], []
    for run in runs:
        assert run.budget is not None
        near = nearest(rows, run.report, run.model, data, run.budget, seed)
        found.append(near)
        candidates = [Candidates(rows, near.points, SEARCH, near.margin)]
        report, _ = merged(run.report, data, run.model, run.budget, candidates)
        after.append(run._replace(report=report))
    return after, found, rows


def _transferred(
    runs: Sequence[Run], data: tuple[Tensor, Tensor]
) -> tuple[tuple[tuple[float | None, ...], ...], tuple[str, ...]]:
    """The share of samples on which each model errs at the points of each run, and notes on what that breaks.

    None where a run kept no points, or a model is not at hand.
    """
    better = [run.report for run in runs]
    errs: list[list[float | None]] = [[None] * len(runs) for _ in runs]
    for i, source in enumerate(runs):
        for j, other in enumerate(runs):
            points = source.report.points
            if points is None or other.model is None:
                continue
            wrong = answers_of(other.model, points).argmax(1).cpu() != data[1].cpu()
            errs[i][j] = float(wrong.double().mean())
            rows = wrong.nonzero().squeeze(1).tolist()
            if i != j and other.budget is not None and rows:
                candidates = Candidates(rows, points[rows], f"the points of {source.name}")
                better[j], _ = merged(better[j], data, other.model, other.budget, [candidates])
    notes = [
        f"The points of the other runs break {counted(fell, 'sample')} that stood in {run.name}, verified within its "
        f"budget: its robust accuracy is at most {percent(now.robust_accuracy)}."
        for run, now in zip(runs, better, strict=True)
        if (fell := round((run.report.robust_accuracy - now.robust_accuracy) * now.samples))
    ]
    known = any(share is not None for row in errs for share in row)
    return tuple(map(tuple, errs)) if known else (), tuple(notes)


def _facts(runs: Sequence[Run], smallest: Sequence[MinimalResult] | None, rows: Sequence[int]) -> tuple[Facts, ...]:
    """The numbers of each run, security curves on the same radii."""
    norms = [None] * len(runs) if smallest is None else [near.norms for near in smallest]

    def numbers(reach: float | None) -> tuple[Facts, ...]:
        found = []
        for run, near in zip(runs, norms, strict=True):
            norm, eps = norm_and_eps(run.budget)
            found.append(facts(run.report, title=run.name, norm=norm, eps=eps, smallest=near, rows=rows, reach=reach))
        return tuple(found)

    found = numbers(None)
    if smallest is None:  # one radius tells nothing about others
        return tuple(replace(f, security=()) for f in found)
    return numbers(max(f.security[-1].eps for f in found)) if all(f.security for f in found) else found


def _pairs(stood: Sequence[Sequence[bool]]) -> tuple[Pair, ...]:
    """Every two runs, tested by the samples on which they differ."""
    found = []
    for a, b in combinations(range(len(stood)), 2):
        both = list(zip(stood[a], stood[b], strict=True))
        n = len(both)
        counts = Counts(*(both.count(stand) for stand in ((True, True), (True, False), (False, True), (False, False))))
        interval, p = paired_interval(counts.first, counts.second, n), mcnemar(counts.first, counts.second)
        found.append(Pair(a, b, counts, (counts.first - counts.second) / n, interval, p, p))
    return tuple(replace(p, adjusted=q) for p, q in zip(found, holm([p.p for p in found]), strict=True))


def _difference(runs: Sequence[Run], row: int) -> Difference:
    first = runs[0].report
    return Difference(
        int(first.table["index"][row]),
        first.about.name(first.table["label"][row]),
        tuple(str(run.report.table["verdict"][row]) for run in runs),
        tuple(float(run.report.table["margin"][row]) for run in runs),
    )


def _shown(
    runs: Sequence[Run], stood: Sequence[Sequence[bool]], data: tuple[Tensor, Tensor], files: Sequence[str]
) -> tuple[tuple[Example, ...], ...]:
    """For each run, samples that stand there and fell in another run, as the first such run broke them; each once."""
    found: list[tuple[Example, ...]] = []
    before: set[int] = set()
    for own in stood:
        fell = {i: next((j for j, s in enumerate(stood) if not s[i]), None) for i, stands in enumerate(own) if stands}
        wanted = [(i, j) for i, j in fell.items() if j is not None and i not in before][:_SHOWN]
        before |= {i for i, _ in wanted}
        shown: dict[int, Example] = {}
        for j in dict.fromkeys(j for _, j in wanted):
            rows, (name, report, model, budget) = [i for i, of in wanted if of == j], runs[j]
            if model is not None and budget is not None:
                report = with_points(report, rows, data, model, budget)
            if report.points is not None:
                seen = examples(report, rows, AtHand(data[0], model, bounds_of(budget, data[0]), files))
                # others did not fall again
                shown |= {i: replace(one, by=name) for i, one in seen.items() if one.reach > 0}
        found.append(tuple(shown[i] for i, _ in wanted if i in shown))
    return tuple(found)


def _notes(reports: Sequence[Report]) -> tuple[str, ...]:
    notes = []
    budgets, efforts = (dict.fromkeys(own) for own in ([r.asked for r in reports], [r.effort.name for r in reports]))
    if len({r.budget for r in reports}) > 1:
        said = " and ".join(budgets) if len(budgets) > 1 else "see the runs"
        notes.append(f"The budgets differ: {said}. The difference is theirs as well.")
    if len(efforts) > 1:
        notes.append(
            f"The efforts differ: {' and '.join(efforts)}. A stronger attack finds more on the same model, so part of "
            "the difference may be the attack's."
        )
    elif len({repr(replace(r.effort, reserve=0)) for r in reports}) > 1:
        notes.append(
            f"The efforts differ, though all are named {reports[0].effort.name}: in their runs or their stopping rule, "
            "as between versions. Part of the difference may be the attack's."
        )
    return tuple(notes)
