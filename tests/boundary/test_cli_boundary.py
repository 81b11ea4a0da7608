"""``maxslope boundary`` on the command line, and the experiments behind it: numbers, pictures, tables, misuse."""

from __future__ import annotations

import copy
import csv
import itertools
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

from maxslope.boundary import Densities, Grid, Perimeter, contour, signed_distance, stopping_time
from maxslope.boundary.limit import LimitLaw, limit_flow
from maxslope.boundary.neural_flow import Training
from maxslope.cli import main
from maxslope.cli import points as cli
from maxslope.cli.main import app
from maxslope.cli.points import read_table
from maxslope.evaluation.models import call
from maxslope.figures.neural import follow
from maxslope.loop import Record
from maxslope.studies import boundary as ready
from maxslope.studies import problems

RUN = CliRunner()

FACTORY = """
import torch

def bare():
    return lambda x: x[:, 1] - 0.3 * torch.sin(4 * x[:, 0])

def whole():
    torch.manual_seed(0)
    x = torch.rand(80, 2) * 2 - 1
    return bare(), x, (x[:, 1] > 0).long()

def module():
    return torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 2))

def nothing():
    return 3

def constant():
    return lambda x: 0 * x[:, 0] + 1
"""


def run(out: Path, *words: str) -> dict[str, Any]:
    done = RUN.invoke(app, ["boundary", *words, "--out", str(out), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    said: dict[str, Any] = json.loads(done.output)
    return said


def numbers(out: Path) -> list[dict[str, float]]:
    with (out / "numbers.csv").open(newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def table(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def scattered(path: Path, labels: tuple[str, str] = ("0", "1")) -> Path:
    g = torch.Generator().manual_seed(1)
    points = 0.3 * torch.randn(120, 2, generator=g)
    rows = [f"{x:.4f},{y + 0.5 * (k % 2):.4f},{labels[k % 2]}" for k, (x, y) in enumerate(points.tolist())]
    return table(path, ["x,y,label", *rows])


def assert_drawn(path: Path) -> None:
    pixels = imread(path)
    assert min(pixels.shape[:2]) > 300
    assert len({tuple(c) for c in pixels[::5, ::5, :3].reshape(-1, 3).round(2).tolist()}) > 20


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_gaussians_end_to_end(tmp_path: Path) -> None:
    """The robust risk falls, then rises; the stop is where theory expects it, the risk where one step would get."""
    said = run(tmp_path, "gaussians", "--cells", "64", "--eps", "0.09", "--tau", "0.0017")
    rows = numbers(tmp_path)
    assert len(rows) == said["steps"] + 1
    robust = [row["robust_risk"] for row in rows]
    assert robust[0] == pytest.approx(said["robust_risk"][0])
    assert min(robust) == pytest.approx(said["least_robust_risk"])
    assert 0 < robust.index(min(robust)) < len(robust) - 1
    assert min(robust) < robust[0] - 0.001
    assert said["stopped_at"] == pytest.approx(said["expected_stop"], rel=0.35)
    assert said["adversarial_training"] == pytest.approx(min(robust), rel=0.005)
    for row in rows:  # the identity of the adversarial risk
        assert row["robust_risk"] == pytest.approx(row["risk"] + 0.09 * row["nonlocal_perimeter"], abs=1e-9)
    energy = [row["nonlocal_perimeter"] for row in rows]
    assert max(b - a for a, b in itertools.pairwise(energy)) < 0
    assert said["gap_to_reference_in_cells"] < 0.5
    assert [Path(name).name for name in said["files"]] == [
        "report.html", "boundary.svg", "boundary.png", "numbers.svg", "numbers.png", "numbers.csv", "boundary.npz",
        "boundary.gif",
    ]  # fmt: skip
    assert all(Path(name).is_file() for name in said["files"])
    for name in ("boundary.png", "numbers.png"):
        assert_drawn(tmp_path / name)
    with Image.open(tmp_path / "boundary.gif") as gif:
        assert gif.n_frames == said["steps"] + 1
        gif.seek(0)
        first = gif.convert("RGB").tobytes()
        gif.seek(gif.n_frames - 1)
        assert gif.convert("RGB").tobytes() != first
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    last = min(24, said["steps"])  # of 25 times, or of fewer
    assert page.count(f'class="frame" data-frame="{last}"') == 2  # this flow and the limit law


@pytest.mark.slow
def test_the_disk_ends_at_its_closed_form(tmp_path: Path) -> None:
    said = run(tmp_path, "disk", "--cells", "32", "--until", "0.08", "--no-animation", "--eps", "0.1")
    rho = 0.25
    radius = [said["weighted_perimeter"][k] / (2 * math.pi * rho) for k in (0, 1)]
    assert radius[0] == pytest.approx(0.6, abs=0.005)
    assert radius[1] == pytest.approx(math.sqrt(0.36 - 0.16), abs=0.015)
    assert said["expected_stop"] is None
    assert said["adversarial_training"] is None
    assert not (tmp_path / "boundary.gif").exists()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "maxslope boundary disk --eps 0.1 --until 0.08 --cells 32 --no-animation" in page
    assert 'class="frame"' not in page


@pytest.mark.slow
def test_a_dumbbell_becomes_one_round_set(tmp_path: Path) -> None:
    done = RUN.invoke(
        app,
        ["boundary", "dumbbell", "--cells", "32", "--until", "0.02", "--no-animation", "--out", str(tmp_path)],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    assert "A dumbbell: " in done.output
    assert "cells to the level-set solution" in done.output


@pytest.mark.slow
def test_points_of_ones_own_with_words_for_labels(tmp_path: Path) -> None:
    said = run(
        tmp_path, str(scattered(tmp_path / "mine.csv", ("cat", "dog"))), "--cells", "32", "--no-animation",
        "--tau", "0.004", "--until", "0.04", "--eps", "1/8",
    )  # fmt: skip
    assert said["problem"] == "mine.csv"
    assert said["steps"] == 10
    assert said["eps"] == 0.125
    assert said["robust_risk"][1] < said["robust_risk"][0]


@pytest.mark.slow
def test_a_model_of_ones_own(tmp_path: Path) -> None:
    code = table(tmp_path / "nets.py", [FACTORY])
    points = scattered(tmp_path / "points.csv")
    words = ("--cells", "32", "--no-animation", "--until", "0.03")
    said = run(tmp_path, f"{code}:bare", "--data", str(points), *words)
    assert said["problem"] == "bare"
    assert said["robust_risk"][1] < said["robust_risk"][0]
    made = call(f"{code}:whole", "model")
    model, (x, y, _) = cli._model(made, f"{code}:whole", None)  # it brings its own points, which --data replaces
    assert (len(x), sorted(set(y.tolist()))) == (80, [0, 1])
    assert len(cli._model(made, f"{code}:whole", points)[1][0]) == 120
    assert cli._model(call(f"{code}:module", "model"), f"{code}:module", points)[0].training is False
    assert model(x).shape == (80,)


@pytest.mark.slow
def test_the_boundaries_are_written_for_other_programs(tmp_path: Path) -> None:
    run(tmp_path, "disk", "--cells", "24", "--until", "0.04", "--no-animation", "--tau", "0.01")
    with np.load(tmp_path / "boundary.npz") as stored:
        assert stored["time"].tolist() == pytest.approx([0, 0.01, 0.02, 0.03, 0.04])
        assert stored["instant"].tolist() == [0, 1, 2, 3, 4]  # a line each
        for k in range(5):
            line = stored["points"][stored["first"][k] : stored["first"][k + 1]]
            r = (line**2).sum(1) ** 0.5
            assert float(abs(r - math.sqrt(0.36 - 2 * stored["time"][k])).max()) < 0.03
        assert stored["distance"].shape == (24, 24)
        assert stored["stopped"] == 4
        assert (stored["low"].tolist(), stored["high"].tolist()) == ([-1, -1], [1, 1])


@pytest.mark.slow
def test_sets_in_space_and_densities_of_ones_own(tmp_path: Path) -> None:
    said = run(tmp_path / "ball", "ball", "--cells", "24", "--until", "0.03")
    assert said["cells"] == [24, 24, 24]
    r = [math.sqrt(p / (4 * math.pi * 0.125)) for p in said["weighted_perimeter"]]
    assert r[0] == pytest.approx(0.6, abs=0.01)
    assert r[1] == pytest.approx(math.sqrt(0.36 - 0.12), abs=0.03)
    assert_drawn(tmp_path / "ball" / "boundary.png")
    with np.load(tmp_path / "ball" / "boundary.npz") as stored:
        assert int(stored["triangles"].max()) == len(stored["points"]) - 1
    code = table(tmp_path / "mine.py", ["import torch", "def two():", "    def f(side):",
        "        return lambda x: torch.exp(-((x - side * 0.4) ** 2).sum(-1) / 0.3)",
        "    return f(-1), f(1), (-1, -1), (1, 0.5)"])  # fmt: skip
    said = run(tmp_path / "own", f"{code}:two", "--cells", "32", "--no-animation")
    assert said["cells"] == [32, 24]
    assert said["robust_risk"][1] <= said["robust_risk"][0] + 1e-3


def test_a_point_of_each_class_is_enough(tmp_path: Path) -> None:
    """It ended with "until=nan": a class of one point has no spread, and no mass was at the boundary."""
    x, y = torch.tensor([[0.0, 0.0], [1.0, 0.8]]), torch.tensor([0, 1])
    problem = problems.samples(x, y, 24)
    assert math.isfinite(stopping_time(problem.grid, problem.densities, problem.eps))
    bandwidth = float(x.double().std(0, correction=0).mean())
    both = Densities.from_samples(problem.grid, x, y, bandwidth)
    torch.testing.assert_close(problem.densities.rho, both.rho)
    side = problem.grid.points()[..., 0] - 0.5
    far = Densities((side < -0.3).double(), (side > 0.3).double())
    with pytest.raises(ValueError, match="no mass at the boundary"):
        stopping_time(problem.grid, far, problem.eps, side)


def test_a_network_is_stopped_where_its_own_robust_risk_is_least() -> None:
    """A classifier with more waves than the Bayes classifier has a longer way; the time told was that of the latter."""
    grid = Grid((48, 48), -1, 1)
    x, y = grid.points().unbind(-1)
    s = x + 0.2 * (4 * y).sin()
    densities = Densities((-3 * s).sigmoid(), (3 * s).sigmoid())
    start = s + 0.1 * (6 * y).cos()
    bayes, own = stopping_time(grid, densities, 0.05), stopping_time(grid, densities, 0.05, start)
    assert stopping_time(grid, densities, 0.05, densities.bayes) == pytest.approx(bayes, rel=0.05)
    curve = limit_flow(LimitLaw(grid, densities), start, 0.08, record=Record(4))
    measured = float(curve.time[Perimeter(grid, densities, 0.05).robust_risk(curve.points[:, 0]).argmin(), 0])
    assert own == pytest.approx(measured, rel=0.15)
    assert abs(own - measured) < abs(bayes - measured) / 2
    problem = problems.Problem("A network", grid, densities, start, 0.09, given=True)
    assert ready.study(problem, until=0.002, tau=0.001).expected == pytest.approx(
        stopping_time(grid, densities, 0.09, start)
    )


def test_large_grids_have_references_on_fewer_cells() -> None:
    problem = problems.disk(200)
    law = LimitLaw(problem.grid, problem.densities)
    curve = ready.level_sets(law, signed_distance(problem.start, problem.grid), 0.002)
    assert curve.points.shape[-2:] == (200, 200)
    assert len(curve.time) <= 66
    r = torch.cat(contour(curve.end[0], problem.grid)).norm(dim=1)
    assert float((r - math.sqrt(0.36 - 0.004)).abs().max()) < 2e-3


def test_an_adversary_as_large_as_the_box_is_quick(tmp_path: Path) -> None:
    """Its window was factored for hours."""
    began = time.process_time()
    try:
        ready.study(problems.disk(32, 1.5), until=0.01, tau=0.005)
    except ValueError as error:
        assert "too long" in str(error)  # noqa: PT017
    assert time.process_time() - began < 20


def test_moons_need_scikit_learn_alone() -> None:
    problem = problems.moons(32)
    assert problem.samples is not None
    assert len(problem.samples[0]) == 1000
    assert len(contour(problem.start, problem.grid)) == 1


# --- misuse ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["sun"],
            "disk, dumbbell, ball, neck, three, a .csv or .npz file or file.py:factory, got 'sun'",
        ),
        (["moons", "--data", "x.csv"], "--data belongs to a model"),
        (["gaussians", "--eps", "0"], "--eps is positive and finite, got 0.0"),
        (["gaussians", "--eps", "wide"], "got 'wide'"),
        (["gaussians", "--until", "-1"], "--until is positive and finite, got -1.0"),
        (["gaussians", "--tau", "nan"], "--tau is positive and finite, got nan"),
        (["gaussians", "--cells", "24", "--eps", "0.01"], "reaches at least 1.2 cells"),
        (["nowhere.csv"], "There is no file nowhere.csv"),
        (["one.csv"], "needs points of two classes or more, got 2 points with labels ['1']"),
        (["empty.csv"], "got 0 points with labels []"),
        (["short.csv"], "short.csv, line 2: expected x, y, label with two finite numbers, got ['1', '2']"),
        (["bad.csv"], "bad.csv, line 3: expected x, y, label"),
        (["line.csv"], "The samples lie on a line"),
        (["bytes.csv"], "is not a table in UTF-8"),
        (["nets.py:bare"], "made a model alone; its points come by --data FILE.csv"),
        (["nets.py:missing"], "has no missing"),
        (["nets.py:nothing", "--data", "points.csv"], "a callable from points [n, 2] or [n, 3] to logits, got int"),
        (["nets.py:constant", "--data", "points.csv"], "gives the whole box of the samples one label"),
        (["nets.py:whole", "--neural", "1", "--cells", "24", "--no-animation", "--until", "0.001"], "a torch module"),
    ],
)
def test_wrong_words_end_with_one_line(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "nets.py", [FACTORY])
    table(tmp_path / "one.csv", ["0,0,1", "1,1,1"])
    table(tmp_path / "empty.csv", ["x,y,label"])
    table(tmp_path / "short.csv", ["0,0,1", "1,2"])
    table(tmp_path / "bad.csv", ["x,y,label", "0,0,1", "0,nan,1"])
    table(tmp_path / "line.csv", ["0,0,1", "1,0,0", "2,0,1"])
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    scattered(tmp_path / "points.csv")
    monkeypatch.setattr(sys, "argv", ["maxslope", "boundary", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in (1, 2)
    error = capsys.readouterr().err.splitlines()[-1]  # what was going on may stand before it
    assert error.startswith("maxslope: ")
    assert said in error


def test_help_shows_examples_and_typer_refuses_the_rest() -> None:
    assert "maxslope boundary points.csv" in " ".join(RUN.invoke(app, ["boundary", "--help"]).output.split())
    assert RUN.invoke(app, ["boundary", "disk", "--cells", "2"]).exit_code == 2


def test_tables_of_points(tmp_path: Path) -> None:
    x, y, _ = read_table(table(tmp_path / "a.csv", ["1,2,10", "", "3,4,9", "-1e-1,0,10"]))
    torch.testing.assert_close(x, torch.tensor([[1.0, 2.0], [3.0, 4.0], [-0.1, 0.0]]))
    assert y.tolist() == [1, 0, 1]  # 9 < 10 as numbers
    assert read_table(table(tmp_path / "b.csv", ["u,v,w", "1,2,b", "3,4,a"]))[1].tolist() == [1, 0]


def test_misuse_of_the_experiments_is_explained() -> None:
    with pytest.raises(ValueError, match=r"samples \[n, 2\] or \[n, 3\], got \(4, 4\)"):
        problems.samples(torch.zeros(4, 4), torch.arange(4) % 2)
    with pytest.raises(ValueError, match=r"0 and 1, got labels \[0, 1, 2, 3\]"):
        problems.samples(torch.rand(4, 2), torch.arange(4))
    one = problems.gaussians(24)
    densities = Densities(one.densities.rho0, 0 * one.densities.rho1)
    alone = problems.Problem("One class", one.grid, densities, one.start, 0.3)
    with pytest.raises(ValueError, match="One class is more likely everywhere"):
        ready.study(alone)


# --- the neural flow beside it ---------------------------------------------------------------------------------------


def test_the_neural_flow_is_drawn_with_its_control(tmp_path: Path) -> None:
    """Few iterations: numbers without meaning, but all of them, in length units, and a picture."""
    problem = problems.gaussians(32, 0.15)
    study = ready.study(problem, until=0.02)
    said, _ = follow(study, None, 2, tmp_path / "network", training=Training(5, 3, 32), samples=512)
    assert set(said) == {"moved", "law_moved", "gap", "control_moved", "robust_risk", "risk", "passes_of_risks"}
    assert len(said["robust_risk"]) == 3
    assert 0.01 < said["law_moved"] < 0.1
    assert_drawn(tmp_path / "network.png")


class Wave(nn.Module):
    """A module in the units of a wide box."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.height = nn.Parameter(torch.tensor(10.0))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 1] - self.height * torch.sin(x[:, 0] / 40)


@pytest.mark.slow
def test_a_trained_module_is_followed_in_its_own_units_and_left_alone(tmp_path: Path) -> None:
    g = torch.Generator().manual_seed(0)
    x = 100 * torch.rand(200, 2, generator=g)
    y = (x[:, 1] > 50).long()
    net = nn.Sequential(Wave())
    before = copy.deepcopy(net.state_dict())
    problem = problems.network(problems.samples(x - 50, y, 32), net, "a wave")
    study = ready.study(problem, until=100.0)
    said, _ = follow(study, net, 1, tmp_path / "network", training=Training(20, 0, 64, 1e-3), samples=512)
    assert said["law_moved"] > 0.05
    assert torch.equal(before["0.height"], net.state_dict()["0.height"])
    assert study.problem.title == "a wave"
