"""Evaluations of the same samples, side by side: which fell where, and whether that can be chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from torch import Tensor

from maxslope.attacks import MinimalResult
from maxslope.evaluation import Report
from maxslope.evaluation.report import ROBUST
from maxslope.evaluation.statistics import holm, mcnemar, paired_interval
from maxslope.report.comparison import Comparison, Difference, Pair
from maxslope.report.html import bounds_of, norm_and_eps
from maxslope.report.html_facts import Facts, class_name, facts
from maxslope.report.html_radius import counted
from maxslope.report.html_samples import Example, answers_of, examples, with_points
from maxslope.report.merging import SEARCH, Candidates, affordable, merged, nearest, representative
from maxslope.sets import Budget

_SHOWN = 4


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
        files: names of the samples' files, in the order of the reports, where they have any.

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
    named = tuple(names) or tuple(_letters(k) for k in range(len(reports)))
    if len(named) != len(reports):
        raise ValueError(f"Each run has one name, got {len(named)} names for {len(reports)} runs.")
    _same_samples(reports)
    words = classes or reports[0].about.classes
    if not all(report.about.plain for report in reports):
        models = None  # a search of our own would answer another question than the evaluations did
    budgets = [budget] * len(reports) if budget is None or isinstance(budget, Budget) else list(budget)
    rows: Sequence[int] = range(0 if smallest is None else len(smallest[0].norms))
    if smallest is None and data is not None and models is not None:
        reports, smallest, rows = _looked(reports, data, models, budgets, seed)
    errs: tuple[tuple[float | None, ...], ...] = ()
    notes = _notes(reports)
    if data is not None and models is not None:
        errs, said = _transferred(reports, named, data, models, budgets)
        notes += said
    stood = [[v == ROBUST for v in r.table["verdict"]] for r in reports]
    differ = [i for i, column in enumerate(zip(*stood, strict=True)) if len(set(column)) > 1]
    return Comparison(
        names=named,
        facts=_facts(reports, named, budgets, None if smallest is None else (rows, smallest), words),
        pairs=_pairs(stood),
        differences=tuple(_difference(reports, i, words) for i in differ),
        shown=_shown(reports, named, stood, data, models, budgets, words, files),
        notes=notes,
        transfer=errs,
        heading=title or "",
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
    reports: Sequence[Report],
    data: tuple[Tensor, Tensor],
    models: Sequence[Any],
    budgets: Sequence[Budget | None],
    seed: int | None,
) -> tuple[tuple[Report, ...], list[MinimalResult] | None, Sequence[int]]:
    """Smallest perturbations of the same samples in each run, and the reports with what they say against them."""
    norms = {str(b.norm) if b is not None else "" for b in budgets}
    few, least = min(((affordable(report, 0), report) for report in reports), key=lambda pair: pair[0])
    cheapest = representative(reports, few, least.seed if seed is None else seed)
    if len(norms) > 1 or "" in norms or not cheapest or any(model is None for model in models):
        return tuple(reports), None, ()
    found, after = [], []
    for report, model, own in zip(reports, models, budgets, strict=True):
        assert own is not None
        near = nearest(cheapest, report, model, data, own, seed)
        assert near is not None
        found.append(near)
        candidates = [Candidates(cheapest, near.points, SEARCH, near.margin)]
        after.append(merged(report, data, model, own, candidates)[0])
    return tuple(after), found, cheapest


def _transferred(
    reports: Sequence[Report],
    names: Sequence[str],
    data: tuple[Tensor, Tensor],
    models: Sequence[Any],
    budgets: Sequence[Budget | None],
) -> tuple[tuple[tuple[float | None, ...], ...], tuple[str, ...]]:
    """The share of samples on which each model errs at the points of each run, and notes on what that breaks.

    None where a run kept no points, or a model is not at hand.
    """
    y, better = data[1], list(reports)
    errs: list[tuple[float | None, ...]] = []
    for i, (report, name) in enumerate(zip(reports, names, strict=True)):
        points = report.points
        row: list[float | None] = []
        for j, model in enumerate(models):
            if points is None or model is None:
                row.append(None)
                continue
            wrong = answers_of(model, points).argmax(1).cpu() != y.cpu()
            row.append(float(wrong.double().mean()))
            budget = budgets[j]
            if i != j and budget is not None:
                rows = wrong.nonzero().squeeze(1).tolist()
                candidates = Candidates(rows, points[rows], f"the points of {name}")
                better[j] = merged(better[j], data, model, budget, [candidates] if rows else [])[0]
        errs.append(tuple(row))
    notes = [
        f"The points of the other runs break {counted(fell, 'sample')} that stood in {name}, verified within its "
        f"budget: its robust accuracy is at most {100 * now.robust_accuracy:.1f} %."
        for name, before, now in zip(names, reports, better, strict=True)
        if (fell := round((before.robust_accuracy - now.robust_accuracy) * before.samples))
    ]
    return tuple(errs) if any(e is not None for row in errs for e in row) else (), tuple(notes)


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
        class_name(reports[0].table["label"][row], classes),
        tuple(str(r.table["verdict"][row]) for r in reports),
        tuple(float(r.table["margin"][row]) for r in reports),
    )


def _shown(
    reports: Sequence[Report],
    names: Sequence[str],
    stood: Sequence[Sequence[bool]],
    data: tuple[Tensor, Tensor] | None,
    models: Sequence[Any] | None,
    budgets: Sequence[Budget | None],
    classes: Sequence[str],
    files: Sequence[str],
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
            rows, other, model = [i for i, of in wanted if of == j], reports[j], None if models is None else models[j]
            budget = budgets[j]
            if data is not None and model is not None and budget is not None:
                other = with_points(other, rows, data, model, budget)
            if data is not None and other.points is not None:
                seen = examples(other, rows, data[0].detach(), model, bounds_of(budget, data[0]), classes, files)
                shown |= {
                    i: replace(one, by=names[j]) for i, one in seen.items() if one.reach > 0
                }  # others did not fall again
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
