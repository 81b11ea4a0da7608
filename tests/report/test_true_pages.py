"""Pages and comparisons say nothing that is not true of what they show."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from rich.console import Console

import maxslope as ms
from maxslope.attacks.findings import Finding, Kind
from maxslope.attacks.rule import Rule
from maxslope.evaluation import wilson
from maxslope.evaluation.about import About
from maxslope.evaluation.statistics import stratified
from maxslope.facts.evaluation import Named, facts
from maxslope.report import compare, page
from maxslope.report.comparison import Comparison
from maxslope.report.html_figures import security_figure
from maxslope.report.html_samples import again, chosen
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
    other = replace(found, security_source="Estimated from 2. Those" + found.security_source.partition("Those")[2])
    figure = security_figure([Named("a", found), Named("b", other)])
    assert figure is not None
    assert figure.caption.count("Elsewhere it is an estimate") == 1
    assert "b: estimated from 2." in figure.caption
    assert f"Estimated from {len(rows)} of the" in found.security_source
    right = sum(v in ("robust", "broken") for v in report.table["verdict"])
    assert f">estimated from {len(rows)} of {right} samples; band: 95 %</text>" in figure.svg  # on the figure itself
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


@pytest.mark.slow
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


# --- headings of samples ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def without_points():
    """A page of a run that kept no points, which affords few of them again."""
    model, x, y, report = picture_run()
    table = dict(report.table)
    table["backward"] = [5 * (b + k) for k, b in enumerate(table["backward"])]
    bare = replace(report, points=None, table=table)
    return page(bare, model=model, data=(x, y), budget=BUDGET), bare


def test_headings_are_true_of_the_whole_table_whatever_has_a_picture(without_points) -> None:
    found, report = without_points
    table = found.report.table
    rows = range(report.samples)
    later = {i for one in found.report.warnings if one.kind is Kind.MISSED for i in one.samples}
    fell = sorted((table["backward"][k], k) for k in rows if table["verdict"][k] == "broken" and k not in later)
    stood = sorted(table["margin"][k] for k in rows if table["verdict"][k] == "robust")
    by_title = {group.title: group for group in found.groups}
    hard, near = by_title["Hard: fell last"], by_title["Nearly fell"]
    assert {one.passes for one in (*hard.examples, *hard.unseen)} == {passes for passes, _ in fell[4:][::-1][:4]}
    assert sorted(one.margin for one in (*near.examples, *near.unseen)) == stood[:4]
    assert found.left_out == sum(len(group.unseen) for group in found.groups) > 0
    text = found.html()
    assert f"{found.left_out} of the samples below have no picture" in text
    for group in found.groups:
        for one in group.unseen:
            assert f"sample {one.index} (margin " in text


def test_the_first_of_each_group_are_found_again_before_the_others(without_points) -> None:
    _, report = without_points
    rows = again(report)
    for _, _, own in chosen(report):
        places = [own.index(k) for k in rows if k in own]
        assert 0 in places


def test_curves_name_their_samples(without_points) -> None:
    found, _ = without_points
    said = found.html().split('id="curves-title"')[1].split("</p>")[0]
    assert all(f"{track.index}" in said for track in found.tracks)
    assert "above" not in said


def test_what_another_search_broke_is_not_said_to_have_fallen_last() -> None:
    report = picture_run()[3]
    row = list(report.table["verdict"]).index("broken")
    found = replace(report, warnings=(Finding(Kind.MISSED, "One.", (row,)),))
    groups = {title: own for title, _, own in chosen(found)}
    assert groups["Fell afterwards"] == [row]
    assert all(row not in own for title, own in groups.items() if title != "Fell afterwards")


@pytest.mark.parametrize(
    ("local", "says", "never"),
    [
        ((0, 13, 0.1), "None of the 13 samples", "did not stop too early"),
        ((5, 13, 0.1), "5 of 13 samples that nearly fell stand", "None of"),
        ((1, 13, 0.1), "1 of 13 samples that nearly fell stands", "None of"),
        ((13, 13, 0.1), "All 13 samples that nearly fell stand", "Around"),
        ((1, 1, 0.1), "The one sample that nearly fell stands", "Around"),
    ],
)
def test_local_minima_in_words_for_none_some_and_all(local: tuple[int, int, float], says: str, never: str) -> None:
    words = replace(facts(picture_run()[3]), local=local).local_words
    assert words.startswith(says)
    assert never not in words
    assert ("Around" in words) == (local[0] < local[1])


def test_the_files_of_samples_are_named() -> None:
    model, x, y, report = picture_run()
    names = [f"cat/{k:03}.png" for k in range(len(x))]
    found = page(report, model=model, data=(x, y), budget=BUDGET, files=names)
    one = found.groups[0].examples[0]
    assert f"Sample {one.index} (cat/{one.index:03}.png), label" in found.html()
    with pytest.raises(ValueError, match="got 1 files for 40 samples"):
        page(report, data=(x, y), files=["a.png"])


# --- do it again -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "typed", "line"),
    [
        (ms.Linf(4 / 255), "l_inf 4/255 (0.01569)", "budget = ms.Linf(4 / 255)"),
        (ms.L2(0.5, box=None), "", "budget = ms.L2(0.5, box=None)"),
        (ms.L1(2.0, box=(-1.0, float("inf"))), "", 'budget = ms.L1(2.0, box=(-1.0, float("inf")))'),
        (ms.Budget(ms.Lp(1.5), 0.25), "l_1.5 1/3", "budget = ms.Budget(ms.Lp(1.5), 0.25)"),
    ],
)
def test_the_lines_of_python_run(budget: ms.Budget, typed: str, line: str) -> None:
    """With the model and data of the run they give its table again."""
    model, x, y, _ = picture_run()
    x, y = x[:2], y[:2]
    report = ms.evaluate(model, (x, y), budget, effort=ms.Effort.quick(), seed=2, about=About(budget=typed))
    code = page(report, budget=budget).python
    assert line in code.splitlines()
    assert "effort = ms.Effort.quick()" in code
    assert page(report, budget=budget).html().count("import maxslope as ms") == 1
    said: dict[str, Any] = {"model": model, "x": x, "y": y}
    exec(code, said)
    assert str(said["again"].table) == str(report.table)  # NaN is no NaN


def test_an_effort_of_ones_own_is_taken_from_the_report() -> None:
    model, x, y, report = picture_run()
    code = page(report, budget=BUDGET).python
    said: dict[str, Any] = {"model": model, "x": x, "y": y, "report": report}
    exec(code, said)
    assert said["again"].table["verdict"] == report.table["verdict"]
    former = replace(report, effort=ms.Effort(ms.Effort.standard().stages, "standard", Rule(5e-4)))
    assert "effort = report.effort" in page(former, budget=BUDGET).python  # that of an earlier version
    unknown = page(report).python
    assert "# budget: l_inf 0.12" in unknown


# --- comparisons -----------------------------------------------------------------------------------------------------


def made(*stands: list[bool]) -> Comparison:
    report = picture_run()[3]
    runs = []
    for own in stands:
        table = {name: list(column)[: len(own)] for name, column in report.table.items()}
        table["verdict"] = ["robust" if s else "broken" for s in own]
        runs.append(replace(report, table=table, points=None, warnings=()))
    return compare(*runs, names=[f"p_{k}" for k in range(len(stands))])


def test_headline_and_number_agree() -> None:
    """The worse run comes first: the number on the page is that of the sentence, and its order is named."""
    found = made([k < 6 for k in range(40)], [k < 22 for k in range(40)])
    assert found.sentence.startswith("p_1 is 40.0 points more robust than p_0")
    text = found.html()
    answer = text.split('<dl class="answer">')[1].split("</dl>")[0]
    assert "p_1 minus p_0" in answer
    assert '<span class="big">+40.0</span> points' in answer
    low, high = (float(v) for v in re.findall(r"95 % interval ([+-][\d.]+) to ([+-][\d.]+)", answer)[0])
    assert low < 40 < high
    assert "p_1 ahead by 40.0 points" in text.split("</title>")[0]
    assert found.difference == pytest.approx(-0.4)  # first minus second, as before
    turned = made([k < 22 for k in range(40)], [k < 6 for k in range(40)])
    assert turned.leads == pytest.approx((0, 1, *found.leads[2:]))


def test_a_title_is_a_title() -> None:
    report = picture_run()[3]
    text = compare(report, report, title="Three networks").html()
    assert "<h1>Three networks</h1>" in text
    assert text.split("<title>")[1].split("</title>")[0].removeprefix("Not to be trusted: ") == "Three networks"
    assert compare(report, report, title="Mine").markdown().startswith("## Mine")
    assert compare(report, report).title == "A against B"


@pytest.mark.slow
def test_pictures_name_the_run_that_was_fooled() -> None:
    model, x, y, first = picture_run()
    others = [ms.evaluate(model, (x, y), ms.Linf(eps), effort=first.effort) for eps in (0.03, 0.06)]
    found = compare(others[0], first, others[1], names=("small", "large", "middle"), data=(x, y), models=[model] * 3,
                    budget=[ms.Linf(0.03), BUDGET, ms.Linf(0.06)])  # fmt: skip
    shown = [one for own in found.shown for one in own]
    assert shown
    assert len({one.index for one in shown}) == len(shown)  # each sample once
    for one in shown:
        assert one.by in ("large", "middle")
        assert f"As {one.by} was fooled" in found.html()


def test_a_paper_gets_the_tests_of_pairs() -> None:
    found = made([k < 6 for k in range(40)], [k < 22 for k in range(40)], [k < 21 for k in range(40)])
    text = found.latex()
    assert text.count("\\toprule") == 2
    for pair in found.pairs:
        assert f"{pair.p:.2g} & {pair.adjusted:.2g}" in text.replace("\\textasciitilde{}", "~")
    assert "`" not in text


@pytest.mark.slow
def test_no_backticks_are_shown() -> None:
    model, x, y, _ = picture_run()
    report = ms.evaluate(model, (x[:12], y[:12]), BUDGET, effort=ms.Effort.quick())
    assert report.remains is not None
    both = compare(report, report)
    for text in (page(report).html().split("</style>")[1], str(report), report.latex(), both.latex(), str(both)):
        assert "`" not in text.split("<script>")[0]


def test_captions_do_not_scroll_with_their_tables() -> None:
    """Within a box that scrolls a caption is as wide as the table, and cut on a phone."""
    found = made([k < 6 for k in range(40)], [k < 22 for k in range(40)])
    text = found.html().split("</style>")[1]
    assert "<caption>" not in text
    for name in re.findall(r'aria-describedby="([\w-]+)"', text):
        assert f'id="{name}"' in text
    header = text.split('aria-label="Runs: table"')[1].split("</thead>")[0]
    assert header.index("would fall by") < header.index("Budget")


def test_reasons_hang_below_their_first_word() -> None:
    console = Console(width=80, color_system=None, force_terminal=False)
    report = replace(picture_run()[3], warnings=(Finding(Kind.VANISHING, "Seen on [2] of 8 samples."),))
    with console.capture() as capture:
        console.print(report)
    lines = capture.get().split("Why each sample's evaluation ended\n")[1].splitlines()
    assert all(len(line.rstrip()) <= 80 for line in lines)
    reasons = [line for line in lines if not line.startswith(("warning ", "        "))]
    assert all(re.match(r" {2,}\d+  \S|warning ", line) for line in reasons)
    assert sum(re.match(r" {2,}\d+  \S", line) is not None for line in lines) == len(report.reasons())
    said = next(k for k, line in enumerate(lines) if line.startswith("warning vanishing gradients: Seen on [2] of 8"))
    assert len(lines) > said + 1
    assert all(line.startswith("        ") and line[8] != " " for line in lines[said + 1 :])
