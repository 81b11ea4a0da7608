"""Findings: values that travel whole, from the model to the report, through files, and into every form of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pyarrow import parquet

import maxslope as ms
from maxslope import Status
from maxslope.attacks import Effort, recipes
from maxslope.attacks.findings import Finding, Kind, Severity
from maxslope.evaluation import load
from maxslope.evaluation.about import About
from maxslope.evaluation.report import Report, judged
from nets import answers, conv, images

NET, X = conv(), images(20)
Y = answers(NET, X)
FAST = Effort((recipes.pgd(3),), "fast")


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("weight", [None, Severity.NOTE, Severity.WARNING])
def test_a_finding_survives_json(kind: Kind, weight: Severity | None) -> None:
    found = Finding(kind, "Seen: on 2 of 8 samples.", (3, 5), weight)
    again = Finding.of(json.loads(json.dumps(found.data())))
    assert (again.kind, again.seen, again.samples) == (kind, found.seen, (3, 5))
    assert (again.severity, str(again)) == (found.severity, str(found))
    assert again == Finding.of(again.data())


def test_kinds_say_what_to_do_and_name_what_exists() -> None:
    for kind in Kind:
        assert kind.meaning or kind is Kind.OTHER
        assert "energies.Average" not in kind.advice
        assert str(Finding(kind, "Seen.")).count(kind.advice) >= 1
    assert "Seen" in Finding(Kind.OUTSIDE, "Seen.")
    assert Kind.OUTSIDE.meaning


def test_a_sentence_of_an_old_run_is_kept_and_never_taken_apart() -> None:
    old = Finding.of("open gap: seen on 2 of 8.")
    assert old.kind is Kind.OTHER
    assert str(old) == "open gap: seen on 2 of 8."
    assert old.severity == Severity.WARNING
    assert (
        Finding.of({"kind": "of a later version", "seen": "Something.", "severity": "note"}).severity == Severity.NOTE
    )


def test_softmax_is_in_the_report_and_in_the_run(tmp_path: Path) -> None:
    with pytest.warns(ms.MaxslopeWarning, match="probabilities"):
        report = ms.evaluate(lambda x: NET(x).softmax(1), (X, Y), ms.Linf(0.05), effort=FAST, out=tmp_path / "run")
    assert Kind.PROBABILITIES in {found.kind for found in report.warnings}
    assert not report.trusted
    assert report.warnings == load(tmp_path / "run").warnings
    decision = json.loads((tmp_path / "run" / "decision.json").read_text())
    assert decision["said"][0]["kind"] == "probabilities"
    decision["said"] = ["open gap: seen on 2 of 8."]  # as earlier versions wrote it, without checksums
    (tmp_path / "run" / "decision.json").write_text(json.dumps(decision))
    header = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps({**header, "format": 1}))
    rows = tmp_path / "run" / "rows" / "part-00000.parquet"
    table = parquet.read_table(rows)
    known = json.loads(table.schema.metadata[b"maxslope"])
    known = {k: v for k, v in known.items() if k not in ("run", "decision", "content", "points")}
    parquet.write_table(table.replace_schema_metadata({"maxslope": json.dumps(known)}), rows)
    assert str(load(tmp_path / "run").warnings[0]) == "open gap: seen on 2 of 8."


def test_a_note_on_the_model_is_in_the_report() -> None:
    """Training mode without a layer that minds: a note, which was told the screen alone."""
    net = torch.nn.Sequential(NET)
    assert net.training
    with pytest.warns(ms.MaxslopeWarning, match="training mode"):
        report = ms.evaluate(net, (X, Y), ms.Linf(0.05), effort=FAST, probe=False)
    assert [(found.kind, found.severity) for found in report.warnings] == [(Kind.MODEL, Severity.NOTE)]
    assert report.trusted


def test_what_else_the_wrapper_notes_is_a_warning() -> None:
    probability = lambda x: torch.sigmoid(NET(x)[:, 0] - NET(x)[:, 1]) * 1  # noqa: E731
    with pytest.warns(ms.MaxslopeWarning, match="as a probability does"):
        report = ms.evaluate(probability, (X, torch.ones(20).long()), ms.Linf(0.01), effort=FAST, probe=False)
    assert [(found.kind, found.severity) for found in report.warnings[:1]] == [(Kind.MODEL, Severity.WARNING)]


def test_a_few_stuck_samples_do_not_take_the_trust_from_many() -> None:
    def table(stuck: int, verdict: str = "robust") -> dict[str, list]:
        reasons = [Status.STATIONARY.sentence] * stuck + ["else"] * (1000 - stuck)
        return {"index": list(range(1000)), "verdict": [verdict] * 1000, "reason": reasons}

    def said(table: Any, about: About = About()) -> tuple[Finding, ...]:  # noqa: B008
        return judged(Report("", FAST, 0, table, None, (0, 0), about=about)).warnings

    assert said(table(10))[0].severity == Severity.NOTE
    assert said(table(11))[0].severity == Severity.WARNING
    assert said(table(11, "broken")) == ()
    assert said(table(0), About(first=True))[0].kind is Kind.FIRST


# --- the report as an object -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report() -> Report:
    found = ms.evaluate(NET, (X, Y), ms.Linf(0.1), effort=FAST, probe=False)
    about = About("my net", "my images", "2026-11-29T10:00:00+00:00", "l_inf 25.5/255 (0.1)", classes=tuple("abcde"))
    return replace(found, about=about, warnings=(Finding(Kind.OPEN_GAP, "Seen on 3 <of> 8 samples."),))


def test_pandas(report: Report) -> None:
    pd = pytest.importorskip("pandas")
    frame = report.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert frame.index.tolist() == report.table["index"]
    assert (frame["verdict"] == "robust").mean() == report.robust_accuracy
    assert frame["label_name"].tolist() == ["abcde"[k] for k in frame["label"]]
    assert "open gap" in frame.attrs["warnings"][0]


def test_by_class_adds_up(report: Report) -> None:
    rows = report.by_class()
    assert sum(row["samples"] for row in rows) == report.samples
    assert sum(row["samples"] * row["robust_accuracy"] for row in rows) / 20 == pytest.approx(report.robust_accuracy)
    assert sum(row["samples"] * row["clean_accuracy"] for row in rows) / 20 == pytest.approx(report.clean_accuracy)
    assert {row["class"] for row in rows} <= set("abcde")


@pytest.mark.parametrize("form", ["__str__", "_repr_html_", "json", "markdown", "latex"])
def test_every_form_carries_the_warnings_and_what_was_asked(report: Report, form: str) -> None:
    text = getattr(report, form)()
    assert "open gap" in text.lower()
    assert "Seen on 3" in text
    assert "25.5/255" in text
    assert f"{100 * report.robust_accuracy:.1f}" in text or form == "json"
    if form == "_repr_html_":
        assert "3 &lt;of&gt; 8" in text
        assert text.index("Not to be trusted") < text.index("robust accuracy")


def test_what_a_prompt_shows_is_short_and_carries_doubts(report: Report) -> None:
    assert repr(report).count("\n") == 0
    assert "not to be trusted" in repr(report)
    assert "25.5/255" in repr(report)
    assert "not to be trusted" in repr(ms.page(report))
    assert "Not to be trusted" in repr(ms.compare(report, report))


def test_csv_names_classes(report: Report) -> None:
    header, first = report.csv().splitlines()[:2]
    assert header.split(",")[-1] == "class"
    assert first.split(",")[-1] == "abcde"[Y[0]]


@pytest.mark.parametrize("ending", ["svg", "pdf"])
def test_figures_are_vectors(report: Report, ending: str, tmp_path: Path) -> None:
    figure = report.plot()
    figure.savefig(tmp_path / f"figure.{ending}")
    start = (tmp_path / f"figure.{ending}").read_bytes()[:200]
    assert start.startswith(b"%PDF") or b"<svg" in start or b"<?xml" in start
    words = " ".join(axis.get_xlabel() for axis in figure.axes)
    assert "radius" in words
    assert "margin" in words
    assert "passes" in words
    assert "Not to be trusted" in figure.get_suptitle()
    for axis in figure.axes:
        if axis.get_ylabel() == "samples":
            assert all(tick == int(tick) for tick in axis.get_yticks())  # no half samples


def test_words_of_cost_cannot_contradict_each_other(report: Report) -> None:
    """How calls were filled up is no cost of the samples, and is not told."""
    own = sum(report.table["forward"]) + sum(report.table["backward"])
    assert str(replace(report, executed=(own, own // 2))) == str(report) == str(replace(report, executed=(1, 1)))
    assert "executed" not in str(report)


def test_statuses_say_only_what_is_known() -> None:
    assert "could not" not in " ".join(status.sentence for status in Status)
    for status in (Status.FINISHED, Status.STOPPED):
        assert status.sentence.endswith("what more steps would do is not known.")
    assert torch.equal(torch.tensor(int(Status.STOPPED)), torch.tensor(5))  # numbers are stored in runs
