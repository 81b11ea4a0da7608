"""The page of an evaluation: its numbers are the report's, its forms agree, and misuse is told."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread

import maxslope as ms
from maxslope.attacks import recipes
from maxslope.attacks.findings import Finding, Kind
from maxslope.data import default_data, default_network
from maxslope.evaluation import Report, wilson
from maxslope.facts.evaluation import Named, facts
from maxslope.facts.export import plain
from maxslope.facts.numbers import Share, percent
from maxslope.report import page
from maxslope.report.html import render
from maxslope.report.html_figures import cost_figure, security_figure
from maxslope.report.html_samples import change, chosen, data_uri, picture
from maxslope.report.html_svg import Axis, Chart
from report._runs import BUDGET, EPS, FAST, picture_run, tabular_run


@pytest.fixture(scope="module")
def full():
    model, x, y, report = picture_run()
    return page(report, model=model, data=(x, y), budget=BUDGET, classes=list("abcde"), command="maxslope evaluate")


class Outline(HTMLParser):
    """Headings, ids, links and pictures of a page."""

    def __init__(self, text: str) -> None:
        HTMLParser.__init__(self)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str, key: str) -> list[str | None]:
        return [attrs[key] for name, attrs in self.tags if name == tag and key in attrs]


# --- the numbers -----------------------------------------------------------------------------------------------------


def test_the_answer_is_the_report_s(full) -> None:
    report, found = full.report, full.facts
    assert found.robust.value == report.robust_accuracy
    assert (found.robust.low, found.robust.high) == report.interval
    assert found.clean.value == pytest.approx(report.clean_accuracy)
    assert (found.clean.low, found.clean.high) == report.clean_interval
    assert sum(share.count for _, _, share in found.verdicts) == report.samples
    assert found.passes == (report.backward_per_sample, report.forward_per_sample)
    assert found.eps == EPS
    assert found.norm == "l_inf"


def test_classes_add_up(full) -> None:
    assert sum(c.robust.count for c in full.facts.classes) == full.facts.robust.count
    assert sum(c.robust.total for c in full.facts.classes) == full.facts.samples
    assert {c.name for c in full.facts.classes} <= set("abcde")


def test_the_security_curve_falls_from_clean_accuracy_and_meets_the_answer() -> None:
    model, x, y, report = picture_run()
    smallest = ms.minimal(model, x, y, BUDGET.norm, effort=ms.Effort.quick())
    curve = page(report, data=(x, y), budget=BUDGET, smallest=smallest).facts.security
    shares = [r.share.value for r in curve]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(report.clean_accuracy)
    at_budget = next(r for r in curve if r.eps == EPS)
    assert at_budget.share.value <= report.robust_accuracy  # what either search found counts
    assert curve[-1].eps <= 4 * EPS
    for r in curve:  # by hand: the nearest error known of each sample
        known = [
            min(0.0 if v == "misclassified" else d if v == "broken" else math.inf, float(s))
            for v, d, s in zip(report.table["verdict"], report.table["distance"], smallest.norms.tolist(), strict=True)
        ]
        assert r.share.count == sum(k > r.eps * (1 + 1e-6) for k in known)


def test_errors_that_the_evaluation_missed_are_told() -> None:
    model, x, y, _ = picture_run()
    nothing = ms.Effort((recipes.pgd(0),), "nothing")
    report = ms.evaluate(model, (x, y), BUDGET, effort=nothing, probe=False)
    smallest = ms.minimal(model, x[:20], y[:20], BUDGET.norm, effort=ms.Effort.quick())
    found = page(report, data=(x, y), budget=BUDGET, smallest=smallest)
    verdicts = report.table["verdict"][:20]
    missed = sum(v == "robust" and s <= EPS for v, s in zip(verdicts, smallest.norms.tolist(), strict=True))
    assert missed > 0
    told = {doubt.name: doubt for doubt in found.facts.doubts}["missed errors"]
    assert found.facts.robust.count == list(report.table["verdict"]).count("robust") - missed  # counted, not noted
    assert len(told.samples) == missed
    assert f"{missed} of" in told.sentence
    assert f"alone had said {100 * report.robust_accuracy:.1f} %" in found.html()
    assert f"{100 * found.facts.robust.value:.1f} %" in found.html().split("</title>")[0]
    assert "from all samples" in found.facts.security_source
    assert found.report.robust_accuracy == found.facts.robust.value < report.robust_accuracy
    model_asked = page(report, model=model, data=(x, y), budget=BUDGET, smallest=smallest)
    again = {doubt.name: doubt for doubt in model_asked.facts.doubts}["missed errors"]
    assert set(told.samples) <= set(again.samples)
    for row in again.samples:
        point = model_asked.report.points[row]
        assert int(model(point[None]).argmax(1)) != int(y[row])
        assert float((point - x[row]).abs().max()) <= EPS + 1e-6


def test_without_smallest_perturbations_the_curve_ends_at_the_budget_and_says_so() -> None:
    report = picture_run()[3]
    found = facts(report, eps=EPS)
    assert found.security[-1].eps == EPS
    assert found.security[-1].share.count == found.robust.count
    assert "one radius only" in found.security_source
    assert found.security_samples == "upper bound from 40 samples"
    assert facts(report).security[-1].eps == pytest.approx(EPS, abs=1e-6)


def test_a_curve_that_only_repeats_the_answer_is_not_drawn() -> None:
    report = picture_run()[3]
    right = [EPS if v == "broken" else math.nan for v in report.table["verdict"]]
    flat = facts(replace(report, table={**report.table, "distance": right}), eps=EPS)
    assert not flat.has_curve
    assert security_figure([Named("", flat)]) is None
    nearer = facts(report, eps=EPS, smallest=torch.tensor([EPS / 2]), rows=[right.index(EPS)])
    assert security_figure([Named("", nearer)]) is not None


def test_the_cost_curve_falls_from_correct_to_robust(full) -> None:
    steps = full.facts.cost
    table = full.report.table
    fell = [b for b, v in zip(table["backward"], table["verdict"], strict=True) if v == "broken"]
    assert steps[0].share.count == full.facts.robust.count + len(fell)
    assert steps[-1].share.count == full.facts.robust.count
    for s in steps:
        assert steps[0].share.count - s.share.count == sum(b <= s.passes for b in fell)
    assert full.facts.cost_unit == "backward"


def test_a_blind_attack_is_counted_in_forward_passes_and_follows_no_curves() -> None:
    model, x, y, _ = picture_run()
    report = ms.evaluate(model, (x[:12], y[:12]), BUDGET, effort=ms.Effort((recipes.square(30),), "blind"))
    found = page(report, model=model, data=(x[:12], y[:12]), budget=BUDGET)
    assert found.facts.cost_unit == "forward"
    assert found.tracks == ()
    assert "one radius only" in found.facts.security_source


def test_samples_are_chosen_by_cost_and_margin(full) -> None:
    titles = [g.title for g in full.groups]
    assert titles[0].startswith("Easiest")
    first, stood = full.groups[0].examples, full.groups[titles.index("Nearly fell")].examples
    assert all(e.verdict == "broken" for e in first)
    assert [e.passes for e in first] == sorted(e.passes for e in first)
    assert [e.margin for e in stood] == sorted(e.margin for e in stood)
    rows = [i for _, _, own in chosen(full.report) for i in own]
    assert len(rows) == len(set(rows))  # nobody is shown twice


def test_answers_are_the_model_s(full) -> None:
    model, x, _, _ = picture_run()
    for group in full.groups:
        for one in group.examples:
            p = model(full.report.points[one.index][None]).detach().softmax(1)[0]
            assert one.moved.name == "abcde"[int(p.argmax())]
            assert one.moved.probability == pytest.approx(float(p.max()), abs=1e-5)
            assert (one.moved.name != one.label) == (one.verdict == "broken")
            assert one.reach == pytest.approx(float((full.report.points[one.index] - x[one.index]).abs().max()))


def test_curves_are_flows_of_the_margin(full) -> None:
    model, x, y, _ = picture_run()
    assert 1 <= len(full.tracks) <= 4
    for t in full.tracks:
        logits = model(x[t.index][None])[0].detach()
        others = logits.clone()
        others[y[t.index]] = -torch.inf
        assert t.margin[0] == pytest.approx(float(logits[y[t.index]] - others.max()), abs=1e-4)
        assert t.length[-1] == pytest.approx(EPS)
        assert t.margin[-1] < t.margin[0]
        below = [s for s, m in zip(t.length, t.margin, strict=True) if m < 0]
        assert t.falls == (below[0] if below else None)
    assert {"security", "cost", "margin", "slope"} == set(full.figures())


def test_doubts_come_with_a_meaning() -> None:
    found = (Finding(Kind.NON_FINITE, "3 samples met NaN."), Finding(Kind.VANISHING, "Seen on 2 of 8."))
    report = replace(picture_run()[3], warnings=found)
    first, second = facts(report).doubts
    assert first is found[1]  # warnings before notes
    assert second is found[0]
    assert all(kind.meaning for kind in Kind if kind is not Kind.OTHER)
    text = page(report).html()
    for one in found:
        assert one.meaning in text
        assert one.seen in text
    assert "Not to be trusted" in text.split('id="answer-title"')[1].split("Robust accuracy")[0]
    assert page(report).markdown().index("Not to be trusted") < page(report).markdown().index("Robust accuracy")
    assert "Seen on 2 of 8" in page(report).markdown()
    assert json.loads(page(report).json())["facts"]["doubts"][0]["kind"] == "vanishing gradients"


def test_a_report_in_which_nothing_fell_has_no_cost_curve() -> None:
    model, x, y, _ = picture_run()
    report = ms.evaluate(model, (x[1:5], y[1:5]), ms.Linf(0.0), effort=FAST)
    smallest = ms.minimal(model, x[1:5], y[1:5], BUDGET.norm, effort=ms.Effort(passes=8))
    found = page(report, model=model, data=(x[1:5], y[1:5]), budget=ms.Linf(0.0), smallest=smallest)
    assert page(report, model=model, data=(x[1:5], y[1:5]), budget=ms.Linf(0.0)).tracks == ()
    assert {s.share.count for s in found.facts.cost} == {4}
    assert found.tracks == ()
    assert "cost" not in found.figures()
    assert "security" in found.figures()  # what is beyond the budget is known from the smallest perturbations
    assert "Curves" not in found.html()
    assert security_figure([Named("", facts(report))]) is None
    assert cost_figure([Named("", facts(report))]) is None


def test_shares() -> None:
    assert Share.of(0, 0).value == 0
    assert (Share.of(3, 10).low, Share.of(3, 10).high) == wilson(3, 10)
    assert percent(1) == "100.0 %"


# --- the forms -------------------------------------------------------------------------------------------------------


def test_the_page_is_one_small_file_that_loads_nothing(full, tmp_path: Path) -> None:
    path = full.save(tmp_path / "deep" / "page.html")
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_size < 1e6
    outline = Outline(text)
    addresses = [*outline.all("img", "src"), *outline.all("link", "href"), *outline.all("a", "href")]
    assert all(a.startswith(("data:", "#")) for a in addresses)
    assert outline.all("script", "src") == []
    assert "default-src 'none'" in text
    assert not re.search(r"url\(|@import|https?://", text)


def test_links_lead_somewhere_and_pictures_have_words(full) -> None:
    outline = Outline(full.html())
    ids = [attrs["id"] for _, attrs in outline.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    assert {a[1:] for a in outline.all("a", "href") if a.startswith("#")} <= set(ids)
    assert {w for words in outline.all("svg", "aria-labelledby") for w in words.split()} <= set(ids)
    pictures = [attrs for tag, attrs in outline.tags if tag == "img"]
    assert len(pictures) == 3 * sum(len(g.examples) for g in full.groups)
    assert all(p["alt"] for p in pictures)
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_names_are_escaped() -> None:
    model, x, y, report = picture_run()
    evil = "<script>alert(1)</script>"
    text = page(report, model=model, data=(x, y), classes=[evil] * 5, title=evil, command=evil).html()
    assert evil not in text
    assert "&lt;script&gt;" in text


def test_json_holds_everything_and_no_nan(full) -> None:
    content = json.loads(full.json(), parse_constant=pytest.fail)
    assert content["facts"]["robust"]["count"] == full.facts.robust.count
    assert content["table"]["verdict"] == full.report.table["verdict"]
    assert len(content["tracks"]) == len(full.tracks)
    assert plain([math.inf, 1, None]) == [None, 1, None]


def test_csv_is_the_table(full) -> None:
    rows = list(csv.DictReader(io.StringIO(full.csv())))
    assert [r["verdict"] for r in rows] == full.report.table["verdict"]
    assert [float(r["margin"]) for r in rows] == full.report.table["margin"]


def test_markdown_has_the_answer_and_the_command(full) -> None:
    text = full.markdown()
    assert f"{100 * full.report.robust_accuracy:.1f} %" in text
    assert "maxslope evaluate" in text
    assert all(f"| {c.name} | {c.robust.total} |" in text for c in full.facts.classes)


def test_numbers_instead_of_pictures_for_tables() -> None:
    model, x, y, report = tabular_run()
    found = page(report, model=model, data=(x, y), budget=ms.L2(0.2))
    text = found.html()
    assert "<img" not in text
    assert "feature" in text
    one = found.groups[0].examples[0]
    assert [f.clean for f in one.features] == pytest.approx(x[one.index].tolist())
    assert [f.moved for f in one.features] == pytest.approx(report.points[one.index].tolist())


def test_without_model_data_or_points_the_page_shows_what_there_is() -> None:
    _, x, y, report = picture_run()
    bare = page(report)
    assert bare.groups == ()
    assert bare.html()
    shown = page(report, data=(x, y))
    assert shown.groups[0].examples[0].moved.probability is None
    assert "seen as not asked" not in shown.html()
    assert page(replace(report, points=None), data=(x, y)).groups == ()


def test_points_that_were_not_kept_are_found_again() -> None:
    model, x, y, report = picture_run()
    bare = replace(report, points=None)
    near = ms.minimal(model, x[:8], y[:8], BUDGET.norm, effort=ms.Effort(passes=8))
    again, kept = (page(r, model=model, data=(x, y), budget=BUDGET, smallest=near) for r in (bare, report))
    pictures = {e.index: e.pictures for g in kept.groups for e in g.examples}
    found = {e.index: e.pictures for g in again.groups for e in g.examples}
    assert len(found) >= 4
    assert found == {i: pictures[i] for i in found}
    assert again.left_out == len(pictures) - len(found)
    assert (f"{again.left_out} of the samples below ha" in again.html()) == (again.left_out > 0)
    assert kept.left_out == 0
    wrong = replace(bare, seed=5, table={**bare.table, "verdict": ["broken"] * 40})
    shown = page(wrong, model=model, data=(x, y), budget=BUDGET).groups[0].examples
    assert any(e.reach == 0 for e in shown)  # what does not come out again is not shown as if it had


def test_color_pictures_and_boxes() -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 3)).eval()
    x = 2 * torch.rand(12, 3, 4, 4) - 1
    y = model(x).argmax(1)
    for box in ((-1.0, 1.0), None):
        budget = ms.L2(0.5, box=box)
        report = ms.evaluate(model, (x, y), budget, effort=FAST)
        found = page(report, model=model, data=(x, y), budget=budget)
        assert all(len(e.pictures) == 3 for g in found.groups for e in g.examples)
    assert page(report, data=(x, y)).groups  # no budget: the range is each picture's own


def test_an_eps_per_sample() -> None:
    model, x, y, _ = picture_run()
    budget = ms.Linf(torch.linspace(0, 0.1, 40))
    report = ms.evaluate(model, (x, y), budget, effort=FAST)
    found = page(report, model=model, data=(x, y), budget=budget)
    assert found.facts.eps is None
    assert all(t.length[-1] == pytest.approx(float(budget.eps[t.index])) for t in found.tracks)
    assert found.html()


def test_misuse_of_a_page() -> None:
    _, x, y, report = picture_run()
    with pytest.raises(TypeError, match="which evaluate returns, got str"):
        page("report")
    with pytest.raises(ValueError, match="39 samples for 40 rows"):
        page(report, data=(x[1:], y[1:]))
    with pytest.raises(ValueError, match="other labels"):
        page(report, data=(x, y + 1))
    with pytest.raises(ValueError, match=r"samples \(1, 4, 16\) for points of shape \(1, 8, 8\)"):
        page(report, data=(x.reshape(40, 1, 4, 16), y))


def test_a_missing_jinja_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(ImportError, match=r"maxslope\[report\]"):
        render("page.html.j2")


# --- drawing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 5), (4, 2, 3)])
def test_png_is_read_back_by_others(shape: tuple[int, ...], tmp_path: Path) -> None:
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8)
    said, _, packed = data_uri(pixels).partition(",")
    assert said == "data:image/png;base64"
    (tmp_path / "a.png").write_bytes(base64.b64decode(packed))
    assert torch.equal(torch.from_numpy(imread(tmp_path / "a.png") * 255).round().to(torch.uint8), pixels)


def test_pictures_span_their_range() -> None:
    gray = picture(torch.tensor([[[-1.0, 0.0, 1.0, 9.0]]]), -1, 1)
    assert gray.tolist() == [[0, 128, 255, 255]]
    delta = change(torch.tensor([[[-0.1, 0.0, 0.1]]]), 0.1)
    dark, middle, bright = delta[0].tolist()
    assert dark[2] > dark[0]  # blue
    assert bright[0] > bright[2]  # orange
    assert len(set(middle)) == 1
    assert change(torch.zeros(3, 2, 2), 0.0).unique().tolist() == [128]


def test_axes() -> None:
    assert [name for _, name in Axis(1, 100, "passes", log=True).ticks()] == ["1", "3", "10", "30", "100"]
    assert [name for _, name in Axis(1, 5, "passes", log=True).ticks()] == ["1", "2", "5"]
    assert [name for _, name in Axis(1, 1e5, "passes", log=True).ticks()][-1] == "1e+05"
    assert [v for v, _ in Axis(-0.3, 0.31, "margin").ticks()] == pytest.approx([-0.2, 0, 0.2])
    assert Axis(1, 100, "passes", log=True).share(10) == pytest.approx(0.5)
    assert Axis(0, 2, "x").share(5) == 1
    for bad in ({"low": 1, "high": 1}, {"low": 0, "high": 1, "log": True}):
        with pytest.raises(ValueError, match="An axis needs low < high"):
            Axis(label="x", **bad)


def test_charts_say_what_they_show() -> None:
    chart = Chart(Axis(0, 1, "a & b"), Axis(0, 1, ""), "n", "Title <1>", "Words.", margin=60)
    chart.line([(0, 0), (1, 0.5)], 1, "one")
    chart.line([(0, 0), (1, 0.5)], 2, "two")
    chart.steps([(0, 1), (1, 0)], 3)
    chart.dots([(0, 0, "x < y")], 1)
    chart.whisker(0.2, 0, 1, 2)
    chart.upright(0.1, "left")
    chart.upright(0.9, "right")
    chart.level(0, "l")
    text = chart.text()
    assert "Title &lt;1&gt;" in text
    assert "a &amp; b" in text
    assert "<title>x &lt; y</title>" in text
    ys = [float(y) for y in re.findall(r'class="name c\d" x="[\d.]+" y="([\d.]+)"', text)]
    assert abs(ys[1] - ys[0]) >= 16  # labels at one height are moved apart
    assert chart.place((0, 0))[1] > chart.place((0, 1))[1]


def test_labels_at_the_bottom_stay_on_the_drawing() -> None:
    chart = Chart(Axis(0, 1, "x"), Axis(0, 1, ""), "n", "t", "d", margin=60)
    for k in range(3):
        chart.line([(0, 0), (1, 0)], k + 1, str(k))
    ys = [float(y) for y in re.findall(r'class="name c\d" x="[\d.]+" y="([\d.]+)"', chart.text())]
    assert max(ys) <= 250.1


def test_report_type_is_shared() -> None:
    assert isinstance(picture_run()[3], Report)


class Counted(torch.nn.Module):
    """A model that counts the rows it is called with."""

    def __init__(self, net: torch.nn.Module) -> None:
        torch.nn.Module.__init__(self)
        self.net, self.rows = net, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.rows += len(x)
        return self.net(x)


@pytest.mark.slow
@pytest.mark.parametrize("kept", [True, False])
def test_a_page_costs_less_than_its_evaluation(kept: bool) -> None:
    """At most about half, in rows of real calls, whether points were kept or not; told step by step."""
    model = Counted(default_network()).eval()
    data = tuple(t[:60] for t in default_data())
    report = ms.evaluate(model, data, ms.Linf(0.3), effort=ms.Effort.quick(), keep_points=kept)
    spent, model.rows = model.rows, 0
    steps: list[str] = []
    found = page(report, model=model, data=data, budget=ms.Linf(0.3), progress=steps.append)
    assert 0 < model.rows <= 0.6 * spent
    assert steps[0] == "curves of maximal slope"
    assert steps[1].startswith("smallest perturbations of")
    assert steps[-1] == "samples"
    model.rows = 0
    page(report).html()
    assert model.rows == 0
    assert found.facts.security


def test_long_series_are_drawn_with_what_is_added_to_them() -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(640, 2)).eval()
    x = torch.rand(3, 1, 640, generator=torch.Generator().manual_seed(0))
    y = model(x).argmax(1)
    report = ms.evaluate(model, (x, y), ms.Linf(0.05), effort=FAST)
    found = page(report, model=model, data=(x, y), budget=ms.Linf(0.05))
    for one in (e for g in found.groups for e in g.examples):
        clean, change = one.signal
        assert f"From {float(x[one.index].min()):.3g} to {float(x[one.index].max()):.3g}." in clean
        delta = report.points[one.index].double() - x[one.index].double()
        assert f"From {float(delta.min()):.3g} to {float(delta.max()):.3g}." in change
        assert clean.count("L") == 2 * 320 - 1  # the least and the largest of each two
    assert "becomes brighter" not in found.html()
    assert found.html().count('class="signal"') == 3
