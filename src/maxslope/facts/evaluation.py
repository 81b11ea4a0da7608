"""What a page says, as plain numbers and words: nothing here knows how it is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from torch import Tensor

from maxslope.attacks.findings import Finding, Severity
from maxslope.attacks.stages import Bundle
from maxslope.evaluation import Report
from maxslope.evaluation.about import About
from maxslope.evaluation.remains import Remains
from maxslope.evaluation.report import BROKEN, MISCLASSIFIED, NON_FINITE, ROBUST
from maxslope.evaluation.statistics import stratified
from maxslope.facts.numbers import Share, counted, thinned

_RADII = 32
_SLACK = 1 + 1e-6  # distances are recomputed in the dtype of the samples


@dataclass(frozen=True)
class Radius:
    """Robust accuracy at one radius."""

    eps: float
    share: Share


def security(report: Report, near: Mapping[int, float], eps: float | None, reach: float | None) -> tuple[Radius, ...]:
    """Return robust accuracy against the radius.

    Where smallest perturbations are known of a few samples only, those that stand stand for all that stand, and those
    that fell for all that fell: the curve begins at the share of samples that are right and passes through the robust
    accuracy of the whole run at the budget, unless a smaller perturbation says less.

    Args:
        report: of ``evaluate``.
        near: by row, the norms of the smallest perturbations known.
        eps: the budget, if it is one number.
        reach: the largest radius; by default as far as there is something to see.
    """
    verdicts, distances = report.table["verdict"], report.table["distance"]

    def norm(row: int) -> float:
        own = float(distances[row]) if verdicts[row] == BROKEN else math.inf
        return min(own, near.get(row, math.inf))

    strata = []
    for verdict in (ROBUST, BROKEN):
        rows = [k for k, v in enumerate(verdicts) if v == verdict]
        looked = [k for k in rows if k in near]
        if verdict == BROKEN and not looked:
            looked = rows  # what the evaluation knows of them
        strata.append((len(rows), [norm(k) for k in looked]))
    standing, known = strata[0]
    beyond = bool(near) and not (standing and not known)  # whether anything is known beyond the budget
    finite = [d for _, own in strata for d in own if 0 < d < math.inf]
    if not finite and not eps:
        return ()
    top = reach or min(max([eps or 0.0, *finite]), 4 * eps if eps else math.inf)
    if not beyond and eps:
        top = min(top, eps)
    grid = sorted({top * k / _RADII for k in range(_RADII + 1)} | ({eps} if eps is not None and eps <= top else set()))
    return tuple(Radius(r, _share(strata, r, eps or 0.0, len(verdicts))) for r in grid)


def _share(strata: Sequence[tuple[int, Sequence[float]]], radius: float, eps: float, total: int) -> Share:
    """The share that stands at a radius; what no stratum holds errs without a change.

    Of those that stand in the run and those that fell there, all is known at 0, of the first up to the budget and of
    the second from there on: a few tell nothing more.
    """
    parts = []
    for stood, (n, own) in zip((True, False), strata, strict=True):
        stand, looked = (sum(d > radius * _SLACK for d in own), len(own)) if own else (n, n)
        if stand == looked and (radius == 0 or (stood and radius <= eps)):
            stand = looked = n
        elif stand == 0 and not stood and radius >= eps:
            looked = n
        parts.append((n, stand, looked))
    if all(n == looked for n, _, looked in parts):
        return Share.of(sum(stand for _, stand, _ in parts), total)
    wrong = total - sum(n for n, _, _ in parts)
    value, low, high = stratified([*parts, (wrong, 0, wrong)])
    return Share(value * total, total, low, high)


def _source(report: Report, near: Mapping[int, float], eps: float | None, radii: Sequence[Radius]) -> tuple[str, str]:
    """Of how many samples the curve is, and where it comes from, in words that are true of it."""
    if not near:
        return f"upper bound from {counted(report.samples, 'sample')}", (
            "From the points of this one evaluation, which looked at one radius only: an upper bound that is loose at "
            "smaller radii, and says nothing beyond its own."
        )
    right = {k for k, v in enumerate(report.table["verdict"]) if v in (ROBUST, BROKEN)}
    if right <= near.keys():
        which = "every sample" if len(near) == report.samples else "every sample that is right without a change"
        return f"upper bound from all {counted(report.samples, 'sample')}", (
            f"From the smallest perturbation found for {which}, each verified, and the points of this evaluation: at "
            "every radius an upper bound of the true robust accuracy."
        )
    at = {r.eps: r.share.value for r in radii}
    meets = []
    if at and abs(at[0.0] - report.clean_accuracy) < 1e-9:
        meets.append("the clean accuracy at 0")
    if eps is not None and abs(at.get(eps, math.nan) - report.robust_accuracy) < 1e-9:
        meets.append("the robust accuracy of the whole run at the budget")
    passes = f", so that the curve passes through {' and '.join(meets)}" if meets else ""
    looked = len(near.keys() & right)
    return f"estimated from {looked} of {len(right)} samples", (
        f"Estimated from {looked} of the {len(right)} samples that are right without a change, by the "
        "smallest perturbation found for each. Those that stand and those that fell count by their numbers in the "
        f"whole run{passes}. Elsewhere it is an estimate, with the band as its 95 % interval. The upright interval at "
        "the budget is the answer, from all samples."
    )


MEANINGS = {
    ROBUST: "classified correctly, and no allowed change was found that fools the model",
    BROKEN: "classified correctly, but an allowed change was found and verified that fools the model",
    MISCLASSIFIED: "wrong without any change",
    NON_FINITE: "the model answered NaN or infinity: counted as neither robust nor broken",
}


@dataclass(frozen=True)
class Standing:
    """How many samples still stood after so many passes each."""

    passes: int
    share: Share


@dataclass(frozen=True)
class PerClass:
    """One class: all samples with this label."""

    name: str
    clean: Share
    robust: Share


@dataclass(frozen=True)
class Facts:
    """All numbers of a page.

    Attributes:
        norm: the name of the norm, if the budget is known.
        eps: the radius, if it is one number and known.
        verdicts: (verdict, meaning, share) of those that occur.
        doubts: what may be wrong with the numbers, warnings first.
        remains: how far the robust accuracy would still fall with more effort; None where nothing tells.
        closed: (standing samples whose linear gap is below their margin, standing samples with a known gap).
        local: (standing samples that are local minima to first order, kinks included, those with gradients gathered
            nearby, within which share of the budget).
        passes: mean backward and forward passes of a sample.
        security: robust accuracy against the radius; empty where no distance is known.
        security_samples: whether that curve is a bound or an estimate, and from how many samples.
        security_source: where it comes from, in sentences.
        cost: samples standing against passes.
        cost_unit: backward or forward.
        survivor_cost: median passes of a sample that stands, in the same unit; None where none stands.
        effort: (run, steps, longest step in units of eps) of each run of the portfolio.
    """

    title: str
    budget: str
    norm: str | None
    eps: float | None
    samples: int
    clean: Share
    robust: Share
    verdicts: tuple[tuple[str, str, Share], ...]
    doubts: tuple[Finding, ...]
    remains: Remains | None
    closed: tuple[int, int]
    local: tuple[int, int, float]
    passes: tuple[float, float]
    security: tuple[Radius, ...]
    security_samples: str
    security_source: str
    cost: tuple[Standing, ...]
    cost_unit: str
    survivor_cost: float | None
    classes: tuple[PerClass, ...]
    effort: tuple[tuple[str, int, float], ...]
    effort_name: str
    seed: int
    about: About

    @property
    def asked(self) -> list[tuple[str, str]]:
        """What was asked, of what, and when, as far as somebody said: (name, words)."""
        said = self.about
        rows = [
            ("Model", said.model),
            ("Data", said.data),
            ("Samples", said.samples or f"{self.samples}"),
            ("Budget", f"{self.budget}: any change of a sample up to this size"),
            ("Error", said.error),
            ("Effort", self.effort_name),
            ("Date", said.date.replace("T", " ").replace("+00:00", " UTC")),
        ]
        return [(name, words) for name, words in rows if words]

    @property
    def local_words(self) -> str:
        """How many of the samples that nearly fell are known to be local minima, and what follows of the others."""
        minima, asked, share = self.local
        within = (
            f"within {100 * share:.3g} % of the budget, by all gradients seen there, no step lowers the margin by more "
            "than 1 % of itself"
        )
        others = "steps nearby may still lower the margin: more effort may find an error there"
        if not minima:
            return (
                f"None of the {asked} samples that nearly fell is known to stand at a local minimum of the margin "
                f"(where {within}). Around all of them {others}."
            )
        which = f"All {asked}" if minima == asked else f"{minima} of {asked}"
        rest = "" if minima == asked else f" Around the other {asked - minima} {others}."
        stand = "stands" if minima == 1 and asked > 1 else "stand"
        if asked == 1:
            which, stand = "The one", "stands"
        of = "sample" if asked == 1 else "samples"
        return (
            f"{which} {of} that nearly fell {stand} at a local minimum of the margin, to first order and kinks "
            f"included: {within}. There the search did not stop too early; a lower minimum may lie elsewhere.{rest}"
        )

    def weakest(self, count: int) -> list[PerClass]:
        """Return the classes whose robust accuracy is shown to be least: by the upper ends of their intervals."""
        return sorted(self.classes, key=lambda c: c.robust.high)[:count]

    @property
    def has_curve(self) -> bool:
        """Whether the curve against the radius says more than the accuracies at 0 and at the budget."""
        known = {r.share.value for r in self.security[:-1]}
        return len(known) > 1 or (bool(known) and self.security[-1].eps > (self.eps or 0))

    @property
    def trusted(self) -> bool:
        """Whether no warning says that the numbers are not to be trusted."""
        return all(found.severity < Severity.WARNING for found in self.doubts)


class Named(NamedTuple):
    """The numbers of a run with its name, which is empty where there is no other."""

    name: str
    facts: Facts


def looked_at(runs: Iterable[Named]) -> str:
    """Return from how many samples the curves of runs are, each said once."""
    said = "; ".join(dict.fromkeys(run.facts.security_samples for run in runs if run.facts.has_curve))
    return said.replace(" samples; estimated from ", "; ")


def facts(
    report: Report,
    *,
    title: str | None = None,
    norm: str | None = None,
    eps: float | None = None,
    smallest: Tensor | None = None,
    rows: Sequence[int] | None = None,
    reach: float | None = None,
) -> Facts:
    """Return what a report says, in numbers and words.

    The norms of the smallest perturbations known, ``smallest`` ``[k]``, are those of ``rows``, by default the first.
    The security curve ends at ``reach``, by default where there is nothing more to see.
    """
    verdicts = [str(v) for v in report.table["verdict"]]
    n = report.samples
    counts = {v: verdicts.count(v) for v in MEANINGS}
    cost, unit, survivors = _cost(report, verdicts)
    norms = [] if smallest is None else smallest.tolist()
    near = dict(zip(range(len(norms)) if rows is None else rows, norms, strict=True))
    radii = security(report, near, eps, reach)
    samples, source = _source(report, near, eps, radii)
    return Facts(
        title=title or f"Robustness within {report.asked}",
        budget=report.asked,
        norm=norm,
        eps=eps,
        samples=n,
        clean=Share.near(report.clean_accuracy, n),
        robust=Share.of(counts[ROBUST], n),
        verdicts=tuple((v, MEANINGS[v], Share.of(c, n)) for v, c in counts.items() if c),
        doubts=tuple(sorted(report.warnings, key=lambda found: -found.severity)),
        remains=report.remains,
        closed=_closed(report, verdicts),
        local=(*report.local_minima, next((s.share for s in report.effort.stages if isinstance(s, Bundle)), 0.0)),
        passes=(report.backward_per_sample, report.forward_per_sample),
        security=radii,
        security_samples=samples,
        security_source=source,
        cost=cost,
        cost_unit=unit,
        survivor_cost=survivors,
        classes=tuple(
            PerClass(own["class"], Share.near(own["clean_accuracy"], k), Share.near(own["robust_accuracy"], k))
            for own in report.by_class()
            for k in [own["samples"]]
        ),
        effort=tuple((r.name, r.steps, r.first) for r in report.effort.runs),
        effort_name=report.effort.name,
        seed=report.seed,
        about=report.about,
    )


def _closed(report: Report, verdicts: Sequence[str]) -> tuple[int, int]:
    gaps, margins = (map(float, report.table[name]) for name in ("gap", "margin"))
    rows = zip(gaps, margins, verdicts, strict=True)
    known = [(g, m) for g, m, v in rows if v == ROBUST and math.isfinite(g)]
    return sum(g < m for g, m in known), len(known)


def _cost(report: Report, verdicts: Sequence[str]) -> tuple[tuple[Standing, ...], str, float | None]:
    """Samples that stand after so many passes each."""
    unit = "backward" if any(report.table["backward"]) else "forward"
    spent = [int(p) for p in report.table[unit]]
    fell = sorted(p for p, v in zip(spent, verdicts, strict=True) if v == BROKEN)
    stood = [p for p, v in zip(spent, verdicts, strict=True) if v == ROBUST]
    n, start = len(verdicts), len(fell) + len(stood)
    most = max([*fell, *stood], default=0)
    steps = [Standing(0, Share.of(start, n))]
    steps += [Standing(p, Share.of(start - sum(f <= p for f in fell), n)) for p in thinned(sorted(set(fell)), 48)]
    if most > steps[-1].passes:
        steps.append(Standing(most, Share.of(len(stood), n)))
    return tuple(steps), unit, float(median(stood)) if stood else None
