"""No number without its warnings on the command line: quiet, JSON, the gate of CI, and what is told on the way."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from maxslope.attacks import Effort
from maxslope.attacks.findings import Finding, Kind
from maxslope.cli import evaluate as threshold
from maxslope.cli import progress as told
from maxslope.cli.main import app
from maxslope.evaluation import load
from maxslope.evaluation.about import About
from maxslope.evaluation.report import Report

RUN = CliRunner()
MASKED = """
import torch
from maxslope.data import default_network

class Masked(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = default_network()

    def forward(self, x):
        return self.net((x * 4).round() / 4)

def make():
    return Masked().eval()
"""


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("masked")
    (folder / "nets.py").write_text(MASKED)
    words = ["--model", f"{folder / 'nets.py'}:make", "--eps", "0.1", "--samples", "20", "--effort", "quick"]
    return ["evaluate", *words]


@pytest.mark.slow
def test_quiet_and_json_carry_the_warnings(masked: list[str], tmp_path: Path) -> None:
    done = RUN.invoke(app, [*masked, "-q", "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert done.stdout.count("\n") == 1
    assert "(not to be trusted)" in done.stdout
    assert "maxslope: warning: vanishing gradients: Gradient masking" in done.stderr
    again = RUN.invoke(app, ["evaluate", "--resume", str(tmp_path / "run"), "--trust", "--json"])
    facts = json.loads(again.stdout)
    assert facts["trusted"] is False
    assert facts["warnings"][0]["kind"] == "vanishing gradients"
    assert facts["warnings"][0]["severity"] == "warning"
    assert facts["about"]["samples"] == "20 of 1000 samples, drawn by label with seed 0"
    assert facts["about"]["budget"] == facts["budget"] == "l_inf 0.1"
    assert (facts["norm"], facts["eps"]) == ("l_inf", 0.1)
    for form in ("markdown", "latex"):
        text = RUN.invoke(app, ["report", str(tmp_path / "run"), "--format", form]).stdout
        assert "anishing gradients" in text
        assert "drawn by label" in text or form == "latex"
    gate = RUN.invoke(app, ["evaluate", "--resume", str(tmp_path / "run"), "--trust", "-q", "--fail-under", "10"])
    assert gate.exit_code in (threshold.DOUBTFUL, threshold.BELOW)


def made_up(robust: int, n: int, *, trusted: bool = True) -> Report:
    table = {"index": list(range(n)), "verdict": ["robust"] * robust + ["broken"] * (n - robust)}
    said = () if trusted else (Finding(Kind.OPEN_GAP, "Seen."),)
    return Report("l_inf 0.1", Effort.quick(), 0, table, None, (0, 0), warnings=said)


@pytest.mark.parametrize(
    ("robust", "n", "code"),
    [(95, 100, 0), (40, 100, 3), (62, 100, 4), (60, 60, 0), (3, 3, 4), (0, 1, 4), (0, 10, 3)],
)
def test_the_gate_tells_below_from_too_few(robust: int, n: int, code: int) -> None:
    found, sentence = threshold.verdict(made_up(robust, n), 0.6, strict=True)
    assert found == code
    assert f"{robust} of {n}" in sentence


def test_the_gate_is_strict_about_warnings() -> None:
    doubtful = made_up(95, 100, trusted=False)
    assert threshold.verdict(doubtful, 0.6, strict=True)[0] == threshold.DOUBTFUL
    assert threshold.verdict(doubtful, 0.6, strict=False)[0] == 0
    assert threshold.verdict(made_up(4, 100, trusted=False), 0.6, strict=True)[0] == threshold.BELOW  # masked or not


def test_the_gate_doubts_the_first_of_a_stream() -> None:
    first = replace(made_up(95, 100), about=About(first=True))
    assert threshold.verdict(first, 0.6, strict=True)[0] == threshold.DOUBTFUL
    assert threshold.verdict(first, 0.6, strict=False)[0] == 0


@pytest.mark.parametrize(("percent", "ok"), [(60.0, True), (1.0, True), (0.6, False), (100.0, False), (-3.0, False)])
def test_a_threshold_is_a_percentage(percent: float, ok: bool) -> None:
    if ok:
        assert threshold.checked(percent) == percent / 100
    else:
        with pytest.raises(ValueError, match="is a percentage of at least 1 and below 100"):
            threshold.checked(percent)
    assert threshold.checked(None) is None


def test_the_gate_on_the_command_line() -> None:
    words = ["evaluate", "--samples", "12", "--effort", "quick", "--eps", "0.01", "-q", "--fail-under"]
    passed = RUN.invoke(app, [*words, "60"])
    assert passed.exit_code == 0, passed.output
    assert "maxslope: passed, at least 60 %" in passed.stderr
    few = RUN.invoke(app, [*words, "95"])
    assert few.exit_code == threshold.UNDECIDED
    assert "too few samples to tell" in few.stderr


def test_minimal_draws_too(tmp_path: Path) -> None:
    table = tmp_path / "nearest.csv"
    done = RUN.invoke(
        app, ["minimal", "--samples", "10", "--effort", "quick", "--seed", "4", "-q", "--out", str(table)]
    )
    assert done.exit_code == 0, done.output
    lines = [line.split(",") for line in table.read_text().splitlines()]
    index, labels = ([int(line[lines[0].index(name)]) for line in lines[1:]] for name in ("index", "label"))
    assert sorted(labels) == list(range(10))  # one of each label, not the first ten
    assert index == sorted(index)
    assert index[-1] > 20


def test_minimal_carries_its_warnings(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(
        "import torch\nfrom maxslope.data import default_network\n"
        "def make(): return torch.nn.Sequential(default_network(), torch.nn.Softmax(1)).eval()\n"
    )
    words = ["minimal", "--model", f"{tmp_path / 'nets.py'}:make", "--samples", "4", "--effort", "quick"]
    quiet = RUN.invoke(app, [*words, "-q"])
    assert quiet.stdout.count("\n") == 1
    assert quiet.stderr.count("Remove the final softmax") == 1
    assert "Remove the final softmax" in json.loads(RUN.invoke(app, [*words, "--json"]).stdout)["warnings"][0]


def test_a_long_part_is_no_silence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing is told for so long, a line says that it goes on."""
    monkeypatch.setattr(told, "_EVERY", 0.05)
    with told.progress(100, False, doing="searching") as update:
        time.sleep(0.12)
        update(40, "fine")
        time.sleep(0.12)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("searching, 0 s so far")
    assert any(line.startswith("40 of 100 samples, fine") and line.endswith("so far") for line in lines)
    with told.progress(3, False, doing="reading", unit="steps", even=False) as update:
        update(1, "reading a")
    assert capsys.readouterr().err == "1 of 3 steps, reading a\n"


@pytest.mark.slow
def test_the_report_tells_its_steps(tmp_path: Path) -> None:
    done = RUN.invoke(
        app, ["evaluate", "--samples", "12", "--effort", "quick", "-q", "--eps", "0.1", "--out", str(tmp_path / "a")]
    )
    assert done.exit_code == 0, done.output
    spoken = RUN.invoke(app, ["report", str(tmp_path / "a")])
    assert "reading" in spoken.stderr
    assert "4 of 4 steps" in spoken.stderr
    assert "steps" not in RUN.invoke(app, ["report", str(tmp_path / "a"), "-q"]).stderr
    figure = RUN.invoke(app, ["report", str(tmp_path / "a"), "--format", "pdf", "--out", str(tmp_path / "f.pdf"), "-q"])
    assert figure.exit_code == 0, figure.output
    assert (tmp_path / "f.pdf").read_bytes().startswith(b"%PDF")


def test_class_names_travel_from_folders_to_table_and_page(tmp_path: Path) -> None:
    """A folder of images sorted by class: a draw has every class, and their names are everywhere."""
    images = pytest.importorskip("PIL.Image", reason="the extra `data` holds it")
    for k, name in enumerate(("ant", "bee", "cat")):
        (tmp_path / "insects" / name).mkdir(parents=True)
        for i in range(8):
            color = [40 * (k == c) + 100 + i for c in range(3)]
            images.new("RGB", (8, 8), tuple(color)).save(tmp_path / "insects" / name / f"{i}.png")
    (tmp_path / "nets.py").write_text(
        "import torch\nclass Mean(torch.nn.Module):\n    def forward(self, x):\n        return 9 * x.mean((2, 3))\n"
        "def make(): return Mean().eval()\n"
    )
    words = ["--model", f"{tmp_path / 'nets.py'}:make", "--data", str(tmp_path / "insects"), "--eps", "0.25/255"]
    done = RUN.invoke(
        app, ["evaluate", *words, "--samples", "6", "--effort", "quick", "-q", "--out", str(tmp_path / "run")]
    )
    assert done.exit_code == 0, done.output
    assert "within l_inf 0.25/255 (0.0009804)" in done.stdout
    report = load(tmp_path / "run")
    assert report.about.classes == ("ant", "bee", "cat")
    assert sorted(report.table["label"]) == [0, 0, 1, 1, 2, 2]
    assert [row["class"] for row in report.by_class()] == ["ant", "bee", "cat"]
    assert report.csv().splitlines()[1].endswith(",ant")
    made = RUN.invoke(app, ["report", str(tmp_path / "run"), "-q", "--no-model"])
    assert made.exit_code == 0, made.output
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    for word in ("<h1>Robustness within l_inf 0.25/255", ">bee<", "insects", "6 of 24 samples, drawn by label", "UTC"):
        assert word in text, word
