"""A robustness test for a test suite: it passes only where a bound with stated confidence says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from maxslope import _checks
from maxslope.attacks import Effort
from maxslope.attacks.findings import Finding
from maxslope.evaluation import Report, evaluate
from maxslope.evaluation.data import length
from maxslope.evaluation.report import ROBUST
from maxslope.evaluation.run import threatened
from maxslope.evaluation.statistics import evidence, lower_bound, upper_bound
from maxslope.sets import Budget

_CHUNK = 64
_MOST = 1_000_000
_ASKED: dict[str, Any] = {"goal": None, "targets": None, "context": (), "mask": None, "realize": None}


@dataclass(frozen=True)
class Evidence:
    """What a passed assertion rests on.

    Attributes:
        robust: samples that stood.
        samples: samples that were attacked; with ``sequential`` perhaps not all.
        at_least: the share that was asserted.
        confidence: of the statement that at least this share of the population stands the attack.
        bound: the one-sided lower bound of the share at that confidence; of a sequential test, ``at_least``.
        warnings: what may be wrong with the verdicts; without ``strict`` some may say not to trust them.
    """

    robust: int
    samples: int
    at_least: float
    confidence: float
    bound: float
    warnings: tuple[Finding, ...] = ()


def assert_robust(
    model: Any,
    data: Any,
    budget: Budget,
    *,
    at_least: float,
    confidence: float = 0.95,
    effort: Effort | None = None,
    seed: int = 0,
    sequential: bool = False,
    strict: bool = True,
    **asked: Any,
) -> Evidence:
    """Fail unless at least a share of the population of samples stands the attack, with stated confidence.

    The data are taken as independent draws from the population. If its true share of samples that stand this attack is
    below ``at_least``, this passes with probability at most 1 - confidence. The statement is about the choice of
    samples, not about stronger attacks: where the indicators say that the verdicts are not to be trusted (masked
    gradients, random outputs), this fails whatever the count, unless ``strict`` is False.

    By default all samples are attacked once and the exact bound of Clopper and Pearson decides. With ``sequential``
    samples are attacked 64 at a time, in their order, until an e-value decides: the guarantee holds although one looks
    in between, passing may come early, and a share close to ``at_least`` needs more samples than the fixed test.

    Args:
        model: from inputs to logits, in evaluation mode.
        data: ``(x, y)`` tensors; without ``sequential`` a ``Dataset`` or ``DataLoader`` too. Not sorted by difficulty.
        budget: such as ``Linf(8 / 255)``.
        at_least: the share, in (0, 1).
        confidence: in (0, 1).
        effort: by default ``Effort.quick()``.
        seed: of all random numbers.
        sequential: whether to stop as soon as the outcome is clear.
        strict: whether verdicts that are not to be trusted fail; False makes them warnings.
        asked: ``goal``, ``targets``, ``context``, ``mask`` and ``realize``, as :func:`maxslope.evaluate` takes them.

    Returns:
        :class:`Evidence`.

    Raises:
        AssertionError: if the bound is below ``at_least`` (it says whether the model is weak or the samples few), or if
            the verdicts are not to be trusted.
        TypeError: for sequential tests of anything but tensors.
        ValueError: for shares or confidences outside (0, 1).

    >>> import maxslope as ms
    >>> x = torch.tensor([[0.9, 0.1]]).repeat(60, 1)
    >>> assert_robust(lambda x: 10 * x, (x, torch.zeros(60).long()), ms.Linf(0.1), at_least=0.9).bound > 0.9
    True
    """
    if not 0 < at_least < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"at_least and confidence lie between 0 and 1, got {at_least!r} and {confidence!r}; no finite number of "
            "samples shows a share of 1."
        )
    effort = effort or Effort.quick()
    if unknown := sorted(asked.keys() - _ASKED.keys()):
        raise TypeError(f"assert_robust has no argument {unknown[0]!r}; see maxslope.evaluate for what is asked.")
    if sequential:
        return _one_by_one(model, data, budget, at_least, confidence, effort, seed, asked, strict=strict)
    report = evaluate(model, data, budget, effort=effort, seed=seed, keep_points=False, **asked)
    robust, n = list(report.table["verdict"]).count(ROBUST), report.samples
    bound = lower_bound(robust, n, confidence)
    if bound < at_least:
        raise AssertionError(_why(robust, n, at_least, confidence, bound, str(budget)) + _beside(report.warnings))
    _trust(report, strict=strict)
    return Evidence(robust, n, at_least, confidence, bound, report.warnings)


def _trust(report: Report, *, strict: bool) -> None:
    """Fail on verdicts that are not to be trusted; warn of everything else."""
    if strict and not report.trusted:
        raise AssertionError(
            f"The verdicts are not to be trusted, although {100 * report.robust_accuracy:.1f} % of {report.samples} "
            f"samples stand within {report.budget}.{_beside(report.warnings)} (strict=False passes all the same.)"
        )
    for found in report.warnings:
        _checks.warn(f"assert_robust: {found}")


def _beside(found: Sequence[Finding]) -> str:
    """What may be wrong with the verdicts, one line each."""
    return "".join(f"\n  {one}" for one in found)


def _one_by_one(
    model: Any, data: Any, budget: Budget, at_least: float, confidence: float, effort: Effort, seed: int,
    asked: dict[str, Any], *, strict: bool,
) -> Evidence:  # fmt: skip
    """Attack chunk by chunk until an e-value reaches 1 / (1 - confidence)."""
    if not (isinstance(data, tuple | list) and len(data) == 2 and all(isinstance(t, Tensor) for t in data)):
        raise TypeError(f"A sequential test takes tensors (x, y), which it reads in parts, got {type(data).__name__}.")
    x, y = data
    n, enough, robust = length(data) or 0, 1 / (1 - confidence), 0
    said: tuple[Finding, ...] = ()
    threat = threatened(**(_ASKED | asked), samples=n)
    for part, (start, stop) in enumerate(pairwise([*range(0, n, _CHUNK), n])):
        rows = torch.arange(start, stop)
        report = evaluate(
            model, (x[rows], y[rows]), budget.take(rows), effort=effort, seed=seed + part, keep_points=False,
            probe=part == 0, **threat.take(rows, x).words(),
        )  # fmt: skip
        _trust(report, strict=strict)
        said += report.warnings
        robust += list(report.table["verdict"]).count(ROBUST)
        if evidence(robust, stop, at_least) >= enough:
            return Evidence(robust, stop, at_least, confidence, at_least, said)
        if evidence(stop - robust, stop, 1 - at_least) >= enough:
            raise AssertionError(
                f"The model is not robust enough within {budget}: {robust} of {stop} samples stand, which shows with "
                f"confidence {confidence:g} that fewer than {at_least:g} do."
            )
    found = evidence(robust, n, at_least)
    raise AssertionError(
        f"Not shown within {budget}: {robust} of {n} samples stand, and their e-value against a share of {at_least:g} "
        f"is {found:.3g}, below {enough:.3g}. Give more samples, ask for less, or use the test of a fixed number of "
        "samples (sequential=False), which is sharper."
    )


def _why(robust: int, n: int, at_least: float, confidence: float, bound: float, budget: str) -> str:
    """Whether the model is too weak, or the samples are too few."""
    seen = (
        f"{robust} of {n} samples stand within {budget} ({100 * robust / n:.1f} %); with confidence {confidence:g} at "
        f"least {100 * bound:.1f} % of the population do, asked for {100 * at_least:g} %."
    )
    if upper_bound(robust, n, confidence) < at_least:
        return f"The model is not robust enough: {seen} Fewer than that is shown with the same confidence."
    if robust / n <= at_least:
        return f"Not shown: {seen} The samples stand no more often than that, so more of them would hardly help."
    return f"Too few samples: {seen} About {_needed(robust / n, at_least, confidence)} that stand as often would do."


def _needed(share: float, at_least: float, confidence: float) -> int:
    """About how many samples with this share make the bound pass."""
    low, high = 1, 2
    while lower_bound(int(share * high), high, confidence) < at_least and high < _MOST:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if lower_bound(int(share * middle), middle, confidence) < at_least else (low, middle)
    return high
