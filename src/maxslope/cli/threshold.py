"""``--fail-under``: is a robust accuracy shown to be at least so high? The exit code says which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from maxslope.cli.options import OUTPUT, option

if TYPE_CHECKING:
    from maxslope.evaluation import Report

BELOW, UNDECIDED, DOUBTFUL = 3, 4, 5
_CONFIDENCE = 0.95

FailUnder = Annotated[float | None, option(OUTPUT, "Percentage that must be shown to stand, or exit code 3 to 5.")]
Strict = Annotated[
    bool, option(OUTPUT, "Whether --fail-under fails on verdicts not to be trusted.", "--strict/--no-strict")
]


def checked(percent: float | None) -> float | None:
    """Return a percentage in [1, 100) as a share; ValueError else, as 0.6 hardly means 0.6 %."""
    if percent is None:
        return None
    if not 1 <= percent < 100:
        raise ValueError(
            f"--fail-under is a percentage of at least 1 and below 100, such as 60, got {percent:g}; no finite number "
            "of samples shows 100 %."
        )
    return percent / 100


def verdict(report: Report, share: float, *, strict: bool) -> tuple[int, str]:
    """Return exit code and sentence: 0 shown, 3 shown to be below, 4 too few samples to tell, 5 not to be trusted.

    Exact one-sided bounds (Clopper and Pearson) at confidence 95 %, over the choice of samples.
    """
    from maxslope.adapters.bounds import lower_bound, upper_bound
    from maxslope.evaluation.report import ROBUST

    n, robust = report.samples, list(report.table["verdict"]).count(ROBUST)
    low, high = lower_bound(robust, n, _CONFIDENCE), upper_bound(robust, n, _CONFIDENCE)
    seen = f"{robust} of {n} samples stand ({100 * robust / n:.1f} %)"
    if high < share:
        return BELOW, f"below {100 * share:g} %: {seen}, at most {100 * high:.1f} % with confidence 95 %."
    if strict and not report.trusted:
        return DOUBTFUL, f"not to be trusted: {seen}, but see the warnings; --no-strict goes by the count alone."
    if strict and report.about.first:
        return DOUBTFUL, (
            f"not to be trusted: {seen}, but they are the first of a stream, and may be of few classes; give data that "
            "are read by number, or --no-strict, which goes by the count alone."
        )
    if low < share:
        return UNDECIDED, (
            f"too few samples to tell whether {100 * share:g} % stand: {seen}, {100 * low:.1f} % to {100 * high:.1f} % "
            "with confidence 95 % each; give more samples."
        )
    return 0, f"at least {100 * share:g} %: {seen}, at least {100 * low:.1f} % with confidence 95 %."
