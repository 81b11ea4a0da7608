"""Robust accuracy against the radius, from the nearest errors of all samples, or of a few weighted by verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maxslope.evaluation import Report
from maxslope.evaluation.report import BROKEN, ROBUST
from maxslope.evaluation.statistics import stratified
from maxslope.report.numbers import Share, counted

_RADII = 32
_SLACK = 1 + 1e-6  # distances are recomputed in the dtype of the samples


@dataclass(frozen=True)
class Radius:
    """Robust accuracy at one radius."""

    eps: float
    share: Share


def security(
    report: Report, near: Mapping[int, float], eps: float | None, reach: float | None
) -> tuple[tuple[Radius, ...], str, str]:
    """Return robust accuracy against the radius, from how many samples, and where the curve comes from in sentences.

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
        return (), *_source(report, near, eps, ())
    top = reach or min(max([eps or 0.0, *finite]), 4 * eps if eps else math.inf)
    if not beyond and eps:
        top = min(top, eps)
    grid = sorted({top * k / _RADII for k in range(_RADII + 1)} | ({eps} if eps is not None and eps <= top else set()))
    radii = tuple(Radius(r, _share(strata, r, eps or 0.0, len(verdicts))) for r in grid)
    return radii, *_source(report, near, eps, radii)


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
