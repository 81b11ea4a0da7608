"""Bounds keep their confidence: against scipy, exactly by enumeration, and along whole sequences."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from maxslope.evaluation.statistics import evidence, lower_bound, upper_bound


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_bounds_are_those_of_clopper_and_pearson(confidence: float) -> None:
    for k, n in ((0, 7), (3, 7), (7, 7), (450, 500), (1, 1), (2, 80), (79, 80)):
        exact = stats.binomtest(k, n, alternative="greater").proportion_ci(confidence, "exact")
        assert lower_bound(k, n, confidence) == pytest.approx(exact.low, abs=1e-9)
        exact = stats.binomtest(k, n, alternative="less").proportion_ci(confidence, "exact")
        assert upper_bound(k, n, confidence) == pytest.approx(exact.high, abs=1e-9)


def test_a_bound_of_hardly_any_confidence_is_near_one() -> None:
    assert lower_bound(1, 1, 1e-17) == pytest.approx(1)


def test_the_bound_holds_at_every_share() -> None:
    """The probability that the bound lies above the true share, summed exactly, is at most 5 %."""
    n = 30
    bounds = [lower_bound(k, n) for k in range(n + 1)]
    for p in torch.linspace(0.02, 0.98, 25).tolist():
        wrong = sum(stats.binom.pmf(k, n, p) for k in range(n + 1) if bounds[k] > p)
        assert wrong <= 0.05 + 1e-12


@given(st.integers(0, 30), st.integers(0, 30), st.floats(0.05, 0.95))
def test_evidence_is_its_integral(robust: int, broken: int, share: float) -> None:
    n = robust + broken

    def ratio(q: float) -> float:
        return math.exp(robust * math.log(q / share) + broken * math.log((1 - q) / (1 - share))) if q < 1 else 0.0

    wanted = integrate.quad(ratio, share, 1, limit=200)[0] / (1 - share)
    if n == 0:
        wanted = 1.0
    assert evidence(robust, n, share) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("share", [0.3, 0.8, 0.95])
@pytest.mark.parametrize("below", [0.0, 0.1])
def test_evidence_is_a_supermartingale(share: float, below: float) -> None:
    """At a true share of at most ``share`` the next sample does not raise it on average; at it, it stays exactly."""
    p = share - below
    for n in range(12):
        for k in range(n + 1):
            expected = p * evidence(k + 1, n + 1, share) + (1 - p) * evidence(k, n + 1, share)
            assert expected <= evidence(k, n, share) * (1 + 1e-9)
            if not below:
                assert expected == pytest.approx(evidence(k, n, share), rel=1e-9)


def test_looking_after_every_sample_is_allowed() -> None:
    """The probability of ever passing within 200 samples, computed exactly, is at most 1 - confidence."""
    share, enough = 0.8, 20.0
    alive, passed = {0: 1.0}, 0.0
    for n in range(1, 201):
        after: dict[int, float] = {}
        for k, weight in alive.items():
            for more, chance in ((1, share), (0, 1 - share)):
                after[k + more] = after.get(k + more, 0.0) + weight * chance
        alive = {}
        for k, weight in after.items():
            if evidence(k, n, share) >= enough:
                passed += weight
            else:
                alive[k] = weight
    assert 0.005 < passed <= 0.05


def test_much_evidence_is_infinite() -> None:
    assert evidence(100_000, 100_000, 0.5) == math.inf


def test_misuse() -> None:
    for function, arguments in ((lower_bound, (3, 2)), (lower_bound, (1, 2, 1.0)), (evidence, (3, 2, 0.5)),
                                (evidence, (1, 2, 0.0))):  # fmt: skip
        with pytest.raises(ValueError, match="0 <= k <= n"):
            function(*arguments)
