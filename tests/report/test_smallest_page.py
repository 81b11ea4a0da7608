"""The page of smallest perturbations: the answer and every form of it, from known norms and from a run's folder."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from maxslope.attacks import Effort
from maxslope.attacks.findings import Finding, Kind
from maxslope.cli.main import app
from maxslope.evaluation import Smallest
from maxslope.evaluation.about import About
from maxslope.report.smallest import SmallestPage

RUN = CliRunner()
NORMS = [0.0, 0.1, 0.2, 0.3, math.inf]
TABLE = {
    "index": list(range(5)), "label": [0, 1, 0, 1, 1], "norm": NORMS, "found": [True] * 4 + [False],
    "margin": [-0.1] * 4 + [0.2], "forward": [9] * 5, "backward": [8] * 5, "file": [f"a/{k}.png" for k in range(5)],
}  # fmt: skip
ABOUT = About("net", "photos", "2026-11-30T02:24:55+00:00", classes=("cat", "<dog>"))


def made(norms: list[float] = NORMS, *, points: bool = False) -> SmallestPage:
    x = torch.rand(5, 1, 6, 6)
    kept = x + 0.1 if points else None
    said = (Finding(Kind.FIRST, "5 samples: the first of a stream."),)
    found = Smallest(Effort.quick(), 3, TABLE | {"norm": norms}, kept, (45, 40), said, ABOUT)
    return SmallestPage(found, "l_2", command="maxslope minimal --config run.toml", x=x)


def test_the_answer_is_the_median_with_what_is_not_known() -> None:
    assert made().answer == (
        "For half of 5 samples an error was found at distance 0.2 or nearer. For 1 of them no error is known."
    )
    assert made([0.1, *[math.inf] * 4]).answer == "Of 5 samples an error is known for 1 alone."


def test_the_curve_falls_from_clean_accuracy_to_what_no_error_is_known_of() -> None:
    radii, shares = made()._curve()
    assert (shares[0].value, shares[-1].value) == (0.8, 0.2)
    assert [s.value for r, s in zip(radii, shares, strict=True) if abs(r - 0.25) < 0.003] == [0.4]
    assert [s.value for s in made([0.0] * 5)._curve()[1]] == [0.0] * 65


@pytest.mark.parametrize("points", [False, True])
def test_the_page_says_everything_and_escapes_names(points: bool) -> None:
    text = made(points=points).html()
    for words in (
        "<h1>Smallest perturbations in l_2</h1>", "the first of a stream", "2026-11-30 02:24:55 UTC", "a/1.png",
        "&lt;dog&gt;", "80.0 %", "maxslope minimal --config run.toml", "an upper bound of the smallest there is",
    ):  # fmt: skip
        assert words in text, words
    assert "<dog>" not in text
    assert ("<image" in text) == points
    assert ("--points" in text) != points


def test_the_other_forms_hold_the_same_numbers() -> None:
    page = made()
    facts = json.loads(page.json())["facts"]
    assert (facts["norm"], facts["quantiles"]["0.5"], facts["clean_accuracy"]) == ("l_2", 0.2, 0.8)
    assert json.loads(page.json())["table"]["norm"][-1] is None  # infinity is no number of JSON
    assert page.csv().splitlines()[2].endswith("a/1.png,<dog>")
    assert "| 50.0 % | 0.2 |" in page.markdown()
    assert "| cat | 2 | 50.0 %" in page.markdown()
    assert r"50.0 \% & 0.2 \\" in page.latex()


@pytest.mark.slow
def test_a_folder_of_minimal_is_reported_and_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["--samples", "6", "--norm", "l2", "--effort", "quick", "-q"]
    assert RUN.invoke(app, ["minimal", *asked, "--points", "--out", "near"]).exit_code == 0
    assert RUN.invoke(app, ["report", "near"]).exit_code == 0
    text = Path("near/report.html").read_text(encoding="utf-8")
    assert "Smallest perturbations in l_2" in text
    assert "maxslope minimal --config near/run.toml" in text
    assert "<image" in text  # model and data were loaded again
    assert json.loads(RUN.invoke(app, ["report", "near", "--json"]).stdout)["facts"]["samples"] == 6
    done = RUN.invoke(app, ["report", "near", "near"])
    assert str(done.exception) == (
        "A comparison is of evaluations, and near holds smallest perturbations (of maxslope minimal); give it alone, "
        "maxslope report near, and compare evaluations."
    )
