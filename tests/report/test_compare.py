"""Two runs side by side: the paired test, the interval, and the samples that differ."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from itertools import product
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

import maxslope as ms
from maxslope.attacks import Effort, recipes
from maxslope.attacks.findings import Finding, Kind
from maxslope.attacks.rule import Rule
from maxslope.evaluation import Report
from maxslope.evaluation.statistics import holm, mcnemar, paired_interval
from maxslope.facts.evaluation import Named
from maxslope.report import compare
from maxslope.report.comparison import Comparison
from maxslope.report.html_figures import security_figure
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
    doubt = Finding(Kind.OPEN_GAP, "Seen on 3 of 8 samples.")
    first = replace(first, warnings=())
    other = compare(first, replace(first, effort=replace(first.effort, name="other"), warnings=(doubt,)))
    assert any("efforts differ: " in note for note in other.notes)
    assert not any("efforts differ" in note for note in found.notes)
    earlier = replace(first, effort=replace(first.effort, rule=Rule(0.123)))
    assert any("efforts differ, though all are named" in note for note in compare(first, earlier).notes)
    assert other.warnings == (("B", doubt),)
    assert other.doubtful == ("B",)
    assert other.sentence.startswith("Not to be trusted (B: see the warnings). A and B agree")
    text = other.html()
    assert text.index("Seen on 3 of 8") < text.index("agree on every sample")  # the warning leads, on the page too
    assert "Not to be trusted" in text.split("</title>")[0]
    assert other.markdown().index("Seen on 3 of 8") < other.markdown().index("| rank")
    assert str(other).index("Seen on 3 of 8") < str(other).index("robust")
    assert json.loads(other.json())["warnings"][0]["run"] == "B"
    assert other.latex().startswith("% B: open gap")


def test_a_sentence_for_each_outcome(two) -> None:
    found, first = replace(two[0], facts=tuple(replace(f, doubts=()) for f in two[0].facts)), two[1]
    first = replace(first, warnings=())
    assert compare(first, first).sentence == "A and B agree on every sample."
    assert compare(first, first).p == 1.0
    (pair,) = found.pairs
    many = replace(found, pairs=(replace(pair, p=0.001),))
    assert many.sentence.startswith("near is")
    assert "more robust than far" in many.sentence
    assert "not established by" in replace(found, pairs=(replace(pair, p=0.5),)).sentence


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
    budget = ms.Budget(ms.Mixed(ms.Lp(float("inf")), ms.Lp(2), 1), 0.5)
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


# --- several runs ----------------------------------------------------------------------------------------------------


def made_up(*stands: list[bool], warnings: tuple[Finding, ...] = ()) -> list[Report]:
    """Runs on the same samples that stand as told; the others fell after as many passes as their index."""
    found = []
    for own in stands:
        n = len(own)
        nothing: list[float] = [0.0] * n
        table = {
            "index": list(range(n)), "label": [k % 2 for k in range(n)], "prediction": [k % 2 for k in range(n)],
            "verdict": ["robust" if s else "broken" for s in own], "margin": [1.0 if s else -1.0 for s in own],
            "gap": nothing, "slope": nothing, "distance": nothing, "chance": nothing,
            "forward": [k + 2 for k in range(n)], "backward": [k + 1 for k in range(n)],
            "runs": [1] * n, "reason": ["made up"] * n,
        }  # fmt: skip
        effort = ms.Effort.quick()
        found.append(Report("l_inf 0.1", effort, 0, table, None, (0, 0), warnings=warnings))
    return found


def three() -> Comparison:
    return compare(*made_up([True] * 60, [k >= 30 for k in range(60)], [k >= 31 for k in range(60)]), names="xyz")


def test_ranks_are_those_that_the_tests_leave_open() -> None:
    found = three()
    assert found.ranks() == ((1, 1), (2, 3), (2, 3))  # y and z differ by one sample
    assert [p.adjusted for p in found.pairs] == holm([p.p for p in found.pairs])
    assert [p.better for p in found.pairs] == [0, 0, None]
    assert found.sentence.startswith(
        "x has the highest robust accuracy, 100.0 %, and the paired tests put it ahead of all"
    )
    tied = compare(*made_up([True, False], [False, True], [True, True]), names="xyz")
    assert tied.ranks() == ((1, 3), (1, 3), (1, 3))
    assert "do not separate it from x, y" in tied.sentence
    backwards = compare(*made_up([k >= 31 for k in range(60)], [True] * 60), names="zx")
    assert backwards.ranks() == ((2, 2), (1, 1))


def test_holm_by_hand_and_never_below_the_p_value() -> None:
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.5]) == [0.5]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_keeps_the_order(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(a >= b for a, b in zip(adjusted, p, strict=True))
    assert [adjusted[k] for k in sorted(range(len(p)), key=p.__getitem__)] == sorted(adjusted)
    assert max(adjusted) <= 1


@pytest.mark.parametrize("still", [0, 1, 2])
def test_each_run_has_its_own_color_whatever_fell(still: int) -> None:
    """A run in which nothing fell, at each place: the falling lines keep the color of their place and of the legend."""
    runs = [[k >= 10 + 5 * place for k in range(60)] for place in range(3)]
    runs[still] = [True] * 60
    svg = compare(*made_up(*runs), names="xyz").figures()["cost"].svg
    ends = {}
    for color, path in re.findall(r'class="line c(\d)" d="([^"]+)"', svg):
        ends[int(color) - 1] = float(path.split()[-1])
    assert set(ends) == {0, 1, 2}
    heights = [ends[k] for k in range(3)]
    order = sorted(range(3), key=lambda k: sum(runs[k]))
    assert sorted(range(3), key=lambda k: -heights[k]) == order  # further down on the drawing: fewer stand
    words = [f"{name}: after" for name in "xyz"]
    for color, word in enumerate(words, 1):
        dots = re.findall(r'class="dot c(\d)"[^>]*><title>' + re.escape(word), svg)
        assert set(dots) == {str(color)}


def test_several_runs_in_all_forms() -> None:
    found = three()
    text = found.html()
    assert all(word in text for word in ("2 to 3", "adjusted", "<title>x, y, z</title>"))
    assert [row["run"] for row in found.rows()] == ["x", "y", "z"]
    assert found.markdown().count("minus") == 3
    assert str(found).count("minus") == 3
    assert "\\toprule" in found.latex()
    assert found._repr_html_().startswith("<iframe srcdoc=")
    assert json.loads(found.json())["ranks"] == [[1, 1], [2, 3], [2, 3]]
    rows = list(csv.DictReader(io.StringIO(found.csv())))
    assert {"verdict x", "verdict y", "verdict z"} <= set(rows[0])
    assert len(rows) == len(found.differences) == 31


def test_samples_that_separate_several_runs() -> None:
    """Each run's pictures: samples that stand there, as the first run that fell was fooled."""
    model, x, y, first = picture_run()
    others = [ms.evaluate(model, (x, y), ms.Linf(eps), effort=first.effort) for eps in (0.03, 0.06)]
    found = compare(first, *others, data=(x, y), models=[model] * 3, budget=BUDGET)
    assert len(found.shown) == 3
    verdicts = [list(r.table["verdict"]) for r in (first, *others)]
    for k, examples in enumerate(found.shown):
        assert all(verdicts[k][e.index] == "robust" for e in examples)
        assert all(any(v[e.index] != "robust" for v in verdicts) for e in examples)
    assert found.shown[1]
    assert "Robust in B, not in all" in found.html()


def test_misuse_of_a_comparison() -> None:
    report = picture_run()[3]
    with pytest.raises(ValueError, match="two runs at least, got 1"):
        compare(report)
    with pytest.raises(ValueError, match="got 1 names for 2 runs"):
        compare(report, report, names=["a"])


@pytest.mark.parametrize("without", [0, 1])
def test_a_run_without_a_curve_against_the_radius_leaves_colors_alone(without: int) -> None:
    model, x, y, report = picture_run()
    near = ms.minimal(model, x[:8], y[:8], BUDGET.norm, effort=ms.Effort(passes=8))
    found = compare(report, report, budget=BUDGET, smallest=(near, near))
    bare = [replace(f, security=()) if k == without else f for k, f in enumerate(found.facts)]
    svg = security_figure(list(map(Named, "ab", bare))).svg
    drawn = {int(color) for color in re.findall(r'class="(?:line|band|dot|whisker) c(\d)"', svg)}
    assert drawn == {2 - without}


def test_samples_fall_within_the_budget_of_their_own_run() -> None:
    """Points that were not kept are found again in the run's own budget, not in that of the first."""
    model, x, y, wide = picture_run()
    narrow = ms.evaluate(model, (x, y), ms.Linf(0.03), effort=wide.effort)
    first, second = replace(narrow, points=None), replace(wide, points=None)
    found = compare(first, second, data=(x, y), models=[model] * 2, budget=[ms.Linf(0.03), BUDGET], smallest=None)
    assert found.shown[0]  # robust in the narrow budget, fallen in the wide one
    assert all(0.03 < e.reach <= 0.12 + 1e-6 for e in found.shown[0])


def test_points_are_shown_to_every_model_and_what_they_break_is_noted() -> None:
    """A run whose attack was too weak is told what the other run's points break."""
    model, x, y, strong = picture_run()
    weak = ms.evaluate(model, (x, y), BUDGET, effort=Effort((recipes.ifgsm(1),), "one step"))
    assert weak.robust_accuracy > strong.robust_accuracy
    found = compare(weak, strong, names=("weak", "strong"), data=(x, y), models=(model, model), budget=BUDGET)
    own = [1 - report.robust_accuracy for report in (weak, strong)]
    assert found.transfer[0] == pytest.approx((own[0], own[0]))  # one model twice: rows are alike
    assert found.transfer[1] == pytest.approx((own[1], own[1]))
    both = [v == w == "robust" for v, w in zip(weak.table["verdict"], strong.table["verdict"], strict=True)]
    fell = round(weak.robust_accuracy * len(x)) - sum(both)
    said = f"break {fell} samples that stood in weak, verified within its budget: its robust accuracy is at most "
    assert f"{said}{100 * sum(both) / len(x):.1f} %" in " ".join(found.notes)
    assert found.facts[0].robust.count == round(weak.robust_accuracy * len(x))
    assert "Transfer" in found.html()
    assert "errors at the points of" in found.markdown()
    without = compare(weak, replace(strong, points=None), data=(x, y), models=(model, model), budget=BUDGET)
    assert without.transfer[1] == (None, None)
    assert compare(weak, strong).transfer == ()
