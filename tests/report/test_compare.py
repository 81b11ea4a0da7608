"""Two runs side by side: the paired test, the interval, and the samples that differ."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from itertools import product
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

import maxslope as ms
from maxslope.report import compare
from maxslope.report.compare import mcnemar, paired_interval
from report._runs import BUDGET, picture_run, tabular_run


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_test(b: int, c: int) -> None:
    wanted = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(wanted, rel=1e-9)
    assert mcnemar(b, c) == mcnemar(c, b)


def test_mcnemar_keeps_its_level() -> None:
    """Under b ~ Bin(n, 1/2) the test rejects at 5 % in at most 5 % of cases."""
    n = 30
    share = [binomtest(b, n).pvalue for b in range(n + 1)]
    assert len(share) == n + 1
    assert sum(comb(n, b) / 2**n for b in range(n + 1) if mcnemar(b, n - b) <= 0.05) <= 0.05


def test_mcnemar_of_negative_counts() -> None:
    with pytest.raises(ValueError, match="not be negative, got -1 and 2"):
        mcnemar(-1, 2)


def test_the_interval_covers() -> None:
    """Exactly: for a few trinomials, the adjusted Wald interval covers the difference at about its confidence."""
    n = 40
    for p, r in ((0.1, 0.1), (0.2, 0.05), (0.05, 0.02)):
        covered = 0.0
        for b, c in product(range(n + 1), repeat=2):
            if b + c > n:
                continue
            weight = comb(n, b) * comb(n - b, c) * p**b * r**c * (1 - p - r) ** (n - b - c)
            low, high = paired_interval(b, c, n)
            covered += weight * (low <= p - r <= high)
        assert 0.93 <= covered <= 1.0, (p, r, covered)


def test_the_interval_is_antisymmetric_and_bounded() -> None:
    low, high = paired_interval(7, 2, 50)
    assert paired_interval(2, 7, 50) == pytest.approx((-high, -low))
    assert paired_interval(1, 0, 1)[1] <= 1
    assert paired_interval(7, 2, 50, 0.5)[0] > low


@pytest.fixture(scope="module")
def two():
    model, x, y, first = picture_run()
    second = ms.evaluate(model, (x, y), ms.Linf(0.03), effort=first.effort)
    return (
        compare(first, second, names=("far", "near"), data=(x, y), models=(model, model), budget=BUDGET),
        first,
        second,
    )


def test_counts_are_those_of_the_tables(two) -> None:
    found, first, second = two
    pairs = list(zip(first.table["verdict"], second.table["verdict"], strict=True))
    assert sum(found.counts) == 40
    assert found.counts[2] == sum(a != "robust" and b == "robust" for a, b in pairs) > 0
    assert found.counts[1] == 0  # a larger budget breaks no fewer, under the same seed or not: here it holds
    assert found.difference == pytest.approx((found.counts[1] - found.counts[2]) / 40)
    assert found.p == mcnemar(found.counts[1], found.counts[2])
    assert [d.index for d in found.differences] == [
        i for i, (a, b) in enumerate(pairs) if (a == "robust") != (b == "robust")
    ]
    assert [e.index for e in found.shown[1]] == [d.index for d in found.differences][:4]
    assert found.shown[0] == ()
    assert all(e.verdict == "broken" for e in found.shown[1])


def test_notes_name_what_makes_runs_differ(two) -> None:
    found, first, _ = two
    assert any("budgets differ" in note for note in found.notes)
    other = compare(first, replace(first, effort=replace(first.effort, name="other"), warnings=("look out",)))
    assert any("efforts differ" in note for note in other.notes)
    assert "second: look out" in other.notes


def test_a_sentence_for_each_outcome(two) -> None:
    found, first, _ = two
    assert compare(first, first).sentence == "A and B agree on every sample."
    assert compare(first, first).p == 1.0
    many = replace(found, p=0.001)
    assert many.sentence.startswith("near is")
    assert "more robust than far" in many.sentence
    assert "do not establish" in replace(found, p=0.5).sentence


def test_forms(two) -> None:
    found = two[0]
    content = json.loads(found.json())
    assert content["counts"]["second"] == found.counts[2]
    rows = list(csv.DictReader(io.StringIO(found.csv())))
    assert [int(r["index"]) for r in rows] == [d.index for d in found.differences]
    assert rows[0]["verdict near"] == "robust"
    assert f"{100 * found.difference:+.1f} points" in found.markdown()
    assert "budgets differ" in found.markdown()
    text = found.html()
    assert text.count("<img") == 3 * len(found.shown[1])
    assert "Robust in near alone" in text


def test_security_curves_share_their_radii() -> None:
    model, x, y, first = picture_run()
    smallest = ms.minimal(model, x, y, BUDGET.norm, effort=ms.Effort.quick())
    found = compare(first, first, budget=BUDGET, smallest=(smallest, smallest))
    figure = found.figures()["security"]
    assert all(all(row) for row in figure.rows)
    assert "security" not in compare(first, first, budget=BUDGET).figures()


def test_the_norm_has_its_whole_name() -> None:
    report = picture_run()[3]
    budget = ms.Budget(ms.Mixed(ms.Lp(1), ms.Lp(2), 1), 0.5)
    assert compare(report, report, budget=budget).facts[0].norm == str(budget.norm)
    assert compare(report, report, budget=BUDGET).facts[0].norm == "l_inf"


def test_saving(two, tmp_path) -> None:
    assert two[0].save(tmp_path / "c.html").stat().st_size > 10_000


def test_other_samples_are_refused() -> None:
    first, second = picture_run()[3], tabular_run()[3]
    with pytest.raises(ValueError, match="40 and 30 samples; evaluate both on the same data"):
        compare(first, second)
    table = {**first.table, "label": [*first.table["label"][1:], 0]}
    with pytest.raises(ValueError, match="other indices or labels"):
        compare(first, replace(first, table=table))
