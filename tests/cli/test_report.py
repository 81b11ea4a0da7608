"""``maxslope report`` on folders of runs: the page, the comparison, the other forms, and what cannot be shown."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pyarrow.parquet
import pytest
from torch.utils.data import DataLoader, Dataset, Subset
from typer.testing import CliRunner

import maxslope as ms
from maxslope.cli.main import app
from maxslope.cli.settings import Settings
from maxslope.cli.sources import Sources, about
from maxslope.data import default_data, default_network
from maxslope.evaluation import load_smallest
from maxslope.evaluation.draw import drawn, files_of
from maxslope.evaluation.images import ImageFolder
from report._runs import BUDGET, FAST, picture_run

RUN = CliRunner()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of the shipped network on the command line, by two budgets, and their folders."""
    base = tmp_path_factory.mktemp("runs")
    for name, eps in (("far", "0.3"), ("near", "0.1")):
        done = RUN.invoke(
            app,
            ["evaluate", "--samples", "12", "--effort", "quick", "--eps", eps, "--quiet", "--out", str(base / name)],
        )
        assert done.exit_code == 0, done.output
    return base / "far", base / "near"


def run(*words: str | Path) -> str:
    done = RUN.invoke(app, ["report", *map(str, words)])
    assert done.exit_code == 0, repr(done.exception)
    return done.stdout


def test_the_page_lies_beside_the_run(folders: tuple[Path, Path]) -> None:
    run(folders[0], "--title", "My network", "--classes", "zero,one,two,three,four,five,six,seven,eight,nine")
    text = (folders[0] / "report.html").read_text(encoding="utf-8")
    assert "<h1>My network</h1>" in text
    assert text.count("<img") >= 6  # points were not kept: those shown were found again, for a third of the passes
    assert re.search(r"Sample \d+, label (zero|one|two|three|four|five|six|seven|eight|nine)<", text)
    assert "Along curves of maximal slope" in text
    assert f"maxslope evaluate --config {folders[0] / 'run.toml'}" in text


def test_without_the_model_there_are_numbers_alone(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run(folders[0], "--no-model", "--out", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<img" not in text
    assert "The answer" in text


def test_other_forms_go_to_the_screen_or_to_a_file(folders: tuple[Path, Path], tmp_path: Path) -> None:
    content = json.loads(run(folders[0], "--format", "json"))
    report = ms.evaluate(default_network(), drawn(default_data(), 12, 0), ms.Linf(0.3), effort=ms.Effort.quick())
    assert content["facts"]["robust"]["count"] == round(12 * report.robust_accuracy)
    assert run(folders[0], "--format", "csv").splitlines()[0].startswith("index,label,prediction,verdict")
    run(folders[0], "--format", "markdown", "--out", tmp_path / "summary.md")
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").startswith("## Robustness within l_inf 0.3")


def test_two_runs_are_compared(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run(*folders, "--out", tmp_path / "change.html")
    text = (tmp_path / "change.html").read_text(encoding="utf-8")
    assert "far against near" in text
    assert "budgets differ" in text
    assert run(*folders, "--format", "markdown").startswith("## far against near")
    content = json.loads(run(folders[0], folders[0], "--format", "json"))
    assert content["names"] == ["far (A)", "far (B)"]
    assert content["p"] == 1.0


def test_the_default_place_of_a_comparison(folders: tuple[Path, Path], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(*folders)
    assert (tmp_path / "maxslope-compare.html").stat().st_size > 10_000


def test_a_run_from_python_has_a_page_without_samples(tmp_path: Path) -> None:
    model, x, y, _ = picture_run()
    ms.evaluate(model, (x, y), BUDGET, effort=FAST, out=tmp_path / "run")
    done = RUN.invoke(app, ["report", str(tmp_path / "run")])
    assert done.exit_code == 0
    assert "no samples and curves on the page" in done.stderr
    assert "maxslope evaluate --config" not in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_a_run_whose_data_changed_says_so(folders: tuple[Path, Path], tmp_path: Path) -> None:
    import shutil

    shutil.copytree(folders[0], tmp_path / "run")
    text = (tmp_path / "run" / "run.toml").read_text()
    (tmp_path / "run" / "run.toml").write_text(text.replace("samples = 12", "samples = 11"))
    done = RUN.invoke(app, ["report", str(tmp_path / "run")])
    assert done.exit_code == 0
    assert "changed since the run" in done.stderr
    assert "run.toml was edited" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_misuse_of_the_command(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for words, match in (
        ((tmp_path / "none",), "holds no run"),
        ((folders[0], folders[1], "--format", "nonsense"), ""),
    ):
        done = RUN.invoke(app, ["report", *map(str, words)])
        assert done.exit_code != 0
        assert match in str(done.exception)


def test_a_comparison_has_the_title_that_was_asked_for(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run(*folders, "--no-model", "--title", "Before and after", "--out", tmp_path / "change.html")
    text = (tmp_path / "change.html").read_text(encoding="utf-8")
    assert "<h1>Before and after</h1>" in text
    assert "Before and after" in text.split("</title>")[0]


def test_runs_have_the_names_that_were_given(folders: tuple[Path, Path]) -> None:
    content = json.loads(run(*folders, "--names", "plain, trained", "--format", "json"))
    assert content["names"] == ["plain", "trained"]
    assert content["sentence"].count("plain") == content["sentence"].count("trained") == 1
    for given in (folders, folders[:1]):
        done = RUN.invoke(app, ["report", *map(str, given), "--names", "plain"])
        assert f"got 1 for {len(given)}" in str(done.exception)


def test_weights_are_named_with_their_folder() -> None:
    """Two trainings, each with a network.safetensors in a folder of its own, do not look alike."""
    said = [about(Settings(model="nets.py:make", weights=f"/home/me/{name}/network.safetensors"),
                  Sources(None, None, None, 1), "l_inf 0.1").model for name in ("first", "second")]  # fmt: skip
    assert said == [f"nets.py:make, weights {name}/network.safetensors" for name in ("first", "second")]


def test_samples_of_folders_are_known_by_their_files(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="the extra `data` holds it")
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for k in range(3):
            image.new("RGB", (4, 4)).save(tmp_path / label / f"{k}.png")
    data = ImageFolder(tmp_path)
    names = [f"{label}/{k}.png" for label in ("cat", "dog") for k in range(3)]
    assert files_of(data, [4, 0]) == ["dog/1.png", "cat/0.png"]
    few = drawn(data, 2, 0)
    assert files_of(few, few.ids(0, 2).tolist()) == [names[int(k)] for k in few.ids(0, 2)]
    assert files_of(DataLoader(Subset(data, [5, 1]), 2), [0, 1]) == [names[5], names[1]]
    assert files_of(DataLoader(data, 2, shuffle=True), [0]) == []  # which sample is the first is not known
    theirs = type("Theirs", (Dataset,), {"root": str(tmp_path), "samples": [(str(p), 0) for p, _ in data.files]})()
    assert files_of(theirs, range(6)) == names  # as torchvision has them
    theirs.samples = [{"image": k} for k in range(6)]
    assert files_of(theirs, range(6)) == files_of(theirs, range(9)) == []
    assert files_of((few, few), [0]) == []


@pytest.mark.slow
def test_files_travel_into_every_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image", reason="the extra `data` holds it")
    monkeypatch.chdir(tmp_path)
    for k in range(8):
        path = tmp_path / "photos" / ("cat", "=dog")[k % 2] / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.new("RGB", (4, 4), (30 * k, 9, 9)).save(path)
    names = [f"=dog/{k}.png" for k in (1, 3, 5, 7)] + [f"cat/{k}.png" for k in (0, 2, 4, 6)]
    (tmp_path / "nets.py").write_text(
        "import torch\ndef make():\n    return lambda x: x.flatten(1)[:, :2] * torch.tensor([1.0, -1.0])\n"
    )
    asked = ["--model", "nets.py:make", "--data", "photos", "--effort", "quick", "--quiet"]
    for words in (
        ["evaluate", *asked, "--eps", "0.1", "--out", "run"],
        ["minimal", *asked, "--out", "near"],
        ["minimal", "--resume", "near", "--trust", "--quiet", "--out", "near.csv"],
        ["minimal", "--resume", "near", "--trust", "--quiet", "--out", "near.parquet"],
    ):
        assert RUN.invoke(app, words).exit_code == 0, words
    assert ms.load("run").table["file"] == names
    assert ms.load("run").to_pandas()["file"].tolist() == names
    assert load_smallest("near").to_pandas()["file"].tolist() == names
    for text in (run("run", "--format", "csv"), (tmp_path / "near.csv").read_text(encoding="utf-8")):
        read = [line["file"] for line in csv.DictReader(text.splitlines())]
        assert read == [f"'{name}" if name.startswith("=") else name for name in names]  # no formula of a spreadsheet
    assert pyarrow.parquet.read_table("near.parquet")["file"].to_pylist() == names
    run("run", "--trust")
    assert "cat/0.png" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
