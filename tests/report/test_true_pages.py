"""Pages and comparisons say nothing that is not true of what they show."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import maxslope as ms
from maxslope.evaluation import wilson
from maxslope.evaluation.statistics import stratified
from maxslope.report import compare, page
from maxslope.report.html_facts import facts
from maxslope.report.merging import representative
from report._runs import BUDGET, EPS, picture_run

# --- the curve against the radius ------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 7, 20])
def test_the_curve_of_a_few_samples_agrees_with_the_answer(count: int) -> None:
    """At 0 and at the budget it is the run's own share, with the run's own interval; nothing claims to be a bound."""
    model, x, y, report = picture_run()
    rows = representative([report], count, 0)
    assert {report.table["verdict"][k] for k in rows} == {"robust", "broken"}
    index = torch.tensor(rows)
    near = ms.minimal(model, x[index], y[index], BUDGET.norm, effort=ms.Effort(passes=8))
    norms = near.norms.clone()
    for k, row in enumerate(rows):  # as after what was found has been counted
        if report.table["verdict"][row] == "robust":
            norms[k] = norms[k].clamp_min(EPS * 1.01)
    found = facts(report, norm="l_inf", eps=EPS, smallest=norms, rows=rows)
    at = {r.eps: r.share for r in found.security}
    assert at[0.0].value == pytest.approx(report.clean_accuracy)
    assert at[EPS].value == pytest.approx(report.robust_accuracy)
    assert (at[EPS].low, at[EPS].high) == pytest.approx(report.interval)
    values = [r.share.value for r in found.security]
    assert values == sorted(values, reverse=True)
    assert all(0 <= r.share.low <= r.share.value <= r.share.high <= 1 for r in found.security)
    assert "upper bound" not in found.security_source
    assert f"Estimated from {len(rows)} of the" in found.security_source
    assert "the robust accuracy of the whole run at the budget" in found.security_source


def test_a_curve_that_does_not_meet_the_answer_does_not_say_so() -> None:
    report = picture_run()[3]
    rows = representative([report], 5, 0)
    found = facts(report, eps=EPS, smallest=torch.full((len(rows),), EPS / 2), rows=rows)
    assert next(r for r in found.security if r.eps == EPS).share.value < report.robust_accuracy
    assert "of the whole run at the budget" not in found.security_source


def test_a_few_of_each_stratum_estimate_the_whole() -> None:
    """Over many draws the estimate is right on average, and the interval covers the truth at about its confidence."""
    whole = torch.rand(4000, generator=torch.Generator().manual_seed(0)) ** 2  # distances
    radius, eps, covered, values = 0.05, 0.2, 0, []
    truth = float((whole > radius).double().mean())
    for seed in range(200):
        draw = torch.Generator().manual_seed(seed + 1)
        run = whole[torch.randperm(4000, generator=draw)[:160]]
        fell = run[run <= eps]
        few = fell[:8]  # of those that fell; all others are known to stand
        stood = int((run > eps).sum())
        value, low, high = stratified([(stood, stood, stood), (len(fell), int((few > radius).sum()), len(few))])
        values.append(value)
        covered += low <= truth <= high
    assert abs(sum(values) / 200 - truth) < 0.015
    assert covered >= 184


def test_the_interval_of_strata_seen_whole_is_wilson_s() -> None:
    assert stratified([(30, 30, 30), (10, 0, 10)])[1:] == pytest.approx(wilson(30, 40))
    few = stratified([(30, 3, 3), (10, 0, 1)])
    assert few[0] == 0.75
    assert few[1] < wilson(30, 40)[0] < wilson(30, 40)[1] < few[2]
    assert stratified([]) == (0.0, 0.0, 1.0)


def test_curves_of_a_comparison_meet_the_answers_of_both_runs() -> None:
    model, x, y, report = picture_run()
    report = replace(report, effort=ms.Effort.quick())
    other = ms.evaluate(model, (x, y), BUDGET, effort=report.effort, seed=1)
    rows = representative([report, other], 6, 0)
    for run in (report, other):
        assert {"robust", "broken"} <= {run.table["verdict"][k] for k in rows}
    found = compare(other, other, data=(x, y), models=(model, model), budget=BUDGET)
    for one in found.facts:
        assert one.security
        assert next(r for r in one.security if r.eps == EPS).share.value == pytest.approx(one.robust.value)
        assert one.security[0].share.value == pytest.approx(one.clean.value)
        assert one.robust.low <= one.robust.value <= one.robust.high
    assert "Estimated from" in found.figures()["security"].caption or "every sample" in found.facts[0].security_source


def test_nothing_is_said_beyond_the_budget_where_no_sample_that_stands_was_looked_at() -> None:
    report = picture_run()[3]
    rows = [k for k, v in enumerate(report.table["verdict"]) if v == "broken"][:3]
    found = facts(report, eps=EPS, smallest=torch.full((3,), EPS / 3), rows=rows)
    assert found.security[-1].eps == EPS
    assert page(report).facts.security[-1].eps == pytest.approx(EPS, abs=1e-6)
