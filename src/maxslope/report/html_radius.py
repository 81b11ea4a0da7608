"""Robust accuracy against the radius, from the nearest errors of all samples, or of a few weighted by verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from maxslope.evaluation import Report, wilson
from maxslope.evaluation.report import BROKEN, MISCLASSIFIED, NON_FINITE, ROBUST
from maxslope.evaluation.statistics import stratified

_RADII = 32
_SLACK = 1 + 1e-6  # distances are recomputed in the dtype of the samples


@dataclass(frozen=True)
class Share:
    """A share of samples and its 95 % Wilson interval; the count is no whole number where a few stand for all.

    >>> Share.of(80, 100).words
    '80.0 % (71.1 to 86.7 %)'
    """

    count: float
    total: int
    low: float
    high: float

    @classmethod
    def of(cls, count: int, total: int) -> Share:
        """Return the share with its interval."""
        return cls(count, total, *wilson(count, total))

    @property
    def value(self) -> float:
        """count / total; 0 of none."""
        return self.count / self.total if self.total else 0.0

    @property
    def words(self) -> str:
        """The share and its interval, in percent."""
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f} %)"


@dataclass(frozen=True)
class Radius:
    """Robust accuracy at one radius."""

    eps: float
    share: Share


def counted(count: float, noun: str) -> str:
    """Return a number of things in words.

    >>> counted(1, "sample"), counted(0, "sample")
    ('1 sample', '0 samples')
    """
    return f"{count:.0f} {noun}{'' if count == 1 else 's'}"


def security(
    report: Report, few: tuple[Sequence[int], Sequence[float]] | None, eps: float | None, reach: float | None
) -> tuple[tuple[Radius, ...], str, str]:
    """Return robust accuracy against the radius, from how many samples, and where the curve comes from in sentences.

    Where smallest perturbations are known of a few samples only, those that stand stand for all that stand, and those
    that fell for all that fell: the curve begins at the share of samples that are right and passes through the robust
    accuracy of the whole run at the budget, unless a smaller perturbation says less.

    Args:
        report: of ``evaluate``.
        few: rows of it, and the norms of the smallest perturbations known of them.
        eps: the budget, if it is one number.
        reach: the largest radius; by default as far as there is something to see.
    """
    verdicts = [str(v) for v in report.table["verdict"]]
    distances = map(float, report.table["distance"])
    norms = [_known(v, d) for v, d in zip(verdicts, distances, strict=True)]
    looked: set[int] = set()
    if few is not None:
        for row, found in zip(*few, strict=True):
            norms[row] = min(norms[row], found)
        looked = set(few[0])
    strata = []
    for verdict in (ROBUST, BROKEN):
        rows = [k for k, v in enumerate(verdicts) if v == verdict]
        own = [k for k in rows if k in looked]
        if verdict == BROKEN and not own:
            own = rows  # what the evaluation knows of them
        strata.append((len(rows), [norms[k] for k in own]))
    beyond = bool(looked) and not (strata[0][0] and not strata[0][1])  # whether anything is known beyond the budget
    finite = [d for _, own in strata for d in own if 0 < d < math.inf]
    if not finite and not eps:
        return (), *_source(report, looked, eps, ())
    top = reach or _reach(finite, eps, beyond)
    if not beyond and eps:
        top = min(top, eps)
    grid = sorted({top * k / _RADII for k in range(_RADII + 1)} | ({eps} if eps is not None and eps <= top else set()))
    radii = tuple(Radius(r, _share(strata, r, eps or 0.0, len(verdicts))) for r in grid)
    return radii, *_source(report, looked, eps, radii)


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


def _source(report: Report, looked: set[int], eps: float | None, radii: Sequence[Radius]) -> tuple[str, str]:
    """Of how many samples the curve is, and where it comes from, in words that are true of it."""
    if not looked:
        return f"upper bound from {counted(report.samples, 'sample')}", (
            "From the points of this one evaluation, which looked at one radius only: an upper bound that is loose at "
            "smaller radii, and says nothing beyond its own."
        )
    verdicts = [str(v) for v in report.table["verdict"]]
    right = {k for k, v in enumerate(verdicts) if v in (ROBUST, BROKEN)}
    if right <= looked:
        which = "every sample" if len(looked) == len(verdicts) else "every sample that is right without a change"
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
    return f"estimated from {len(looked & right)} of {len(right)} samples", (
        f"Estimated from {len(looked & right)} of the {len(right)} samples that are right without a change, by the "
        "smallest perturbation found for each. Those that stand and those that fell count by their numbers in the "
        f"whole run{passes}. Elsewhere it is an estimate, with the band as its 95 % interval. The upright interval at "
        "the budget is the answer, from all samples."
    )


def _reach(finite: Sequence[float], eps: float | None, beyond: bool) -> float:
    """How far the curve goes: to the budget, or where distances beyond it are known to four times as far at most."""
    farthest = max(finite, default=0.0)
    if not eps:
        return farthest
    return min(max(eps, farthest), 4 * eps) if beyond else eps


def _known(verdict: str, distance: float) -> float:
    """The distance of the nearest error known."""
    return {BROKEN: distance, MISCLASSIFIED: 0.0, NON_FINITE: 0.0}.get(verdict, math.inf)
