"""Several classes: ``maxslope boundary three``, points with more than two labels, and the numbers behind them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from maxslope.boundary import Grid, Perimeter, signed_distance
from maxslope.cli.main import app
from maxslope.cli.points import numbered
from maxslope.studies import partition, problems
from maxslope.studies.partition import several, study
from maxslope.studies.problems import Classes, network

RUN = CliRunner()
CENTERS = torch.tensor([[0.0, 0.0], [1.0, 0.2], [0.4, 1.0]])


def samples(count: int = 90) -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.arange(count) % 3
    return CENTERS[y] + 0.25 * torch.randn(count, 2, generator=torch.Generator().manual_seed(0)), y


def run(out: Path, *words: str) -> dict[str, Any]:
    done = RUN.invoke(app, ["boundary", *words, "--out", str(out), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    said: dict[str, Any] = json.loads(done.output)
    return said


def test_of_two_classes_the_risks_are_those_of_two_classes() -> None:
    """The sum over classes of what leaves each is the robust risk of the pair."""
    two = problems.gaussians(48)
    d = two.densities
    problem = Classes(
        "two", two.grid, torch.stack([d.rho0, d.rho1]), torch.stack([-d.bayes, d.bayes]), two.eps, ("a", "b")
    )
    found = study(problem, until=0.002)
    sd = signed_distance(d.bayes, two.grid)[None]
    pair = Perimeter(two.grid, d, two.eps)
    assert float(found.stop.risk[0]) == pytest.approx(float(pair.risk(sd)), abs=1e-4)
    assert float(found.stop.robust_risk[0]) == pytest.approx(float(pair.robust_risk(sd)), abs=2e-4)
    assert float(found.areas[0].sum()) == pytest.approx(1.0, abs=0.01)


def test_three_sectors_stay_and_a_wave_is_smoothed() -> None:
    """Straight lines at 120 degrees are at rest; boundaries that wind get shorter, and the risk rises."""
    grid = Grid((32, 32), -1, 1)
    angle = torch.atan2(*grid.points().unbind(-1))
    sectors = torch.stack([torch.cos(angle - 2 * torch.pi * k / 3) for k in range(3)])
    even = torch.full((3, 32, 32), 1 / 12, dtype=torch.float64)
    still = study(Classes("sectors", grid, even, sectors, 0.15, ("0", "1", "2")), until=0.01)
    assert float(still.curve.energy[-1, 0]) == pytest.approx(float(still.curve.energy[0, 0]), rel=0.02)
    said: list[str] = []
    wound = study(partition.three(48), tell=said.append)
    assert said[0] == f"the boundaries, step 1 of {len(said)}"
    assert said[-1] == f"the boundaries, step {len(said)} of {len(said)}"
    energy = wound.curve.energy[:, 0]
    assert float(energy[-1]) < 0.99 * float(energy[0])
    assert float(wound.stop.risk[-1]) > float(wound.stop.risk[0])
    assert float(wound.stop.robust_risk[wound.stop.index]) < float(wound.stop.robust_risk[0])
    assert len(wound.records()) == len(wound.curve.time)


@pytest.mark.slow
def test_the_command_writes_what_it_writes_for_two(tmp_path: Path) -> None:
    said = run(tmp_path, "three", "--cells", "32", "--until", "0.01")
    assert said["classes"] == ["0", "1", "2"]
    assert [Path(name).name for name in said["files"]] == [
        "report.html", "boundary.svg", "boundary.png", "numbers.svg", "numbers.png", "numbers.csv", "boundary.npz",
        "boundary.gif",
    ]  # fmt: skip
    assert all(Path(name).is_file() for name in said["files"])
    with (tmp_path / "numbers.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == said["instants"]
    assert float(rows[0]["robust_risk"]) == said["robust_risk"][0]
    assert min(float(row["robust_risk"]) for row in rows) == said["least_robust_risk"]
    assert "area_2" in rows[0]
    with np.load(tmp_path / "boundary.npz") as kept:
        assert kept["distance"].shape == (3, 32, 32)
        assert set(kept["of"].tolist()) == {0, 1, 2}
        assert len(kept["first"]) == len(kept["of"]) + 1 == len(kept["instant"]) + 1
        assert kept["first"][-1] == len(kept["points"])
        assert kept["time"][kept["stopped"]] == said["stopped_at"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "maxslope boundary three --until 0.01 --cells 32" in page
    assert 'class="frame" data-frame="0"' in page
    assert "Three classes: boundaries over time" in page


@pytest.mark.slow
def test_points_of_several_labels_by_table_by_arrays_and_with_a_classifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = samples()
    monkeypatch.chdir(tmp_path)
    names = ["ant", "bee", "cat"]
    lines = [f"{a!r},{b!r},{names[k]}" for (a, b), k in zip(x.tolist(), y.tolist(), strict=True)]
    Path("points.csv").write_text("\n".join(["x,y,label", *lines]), encoding="utf-8")
    np.savez("points.npz", x=x.numpy(), y=10 * y.numpy())
    Path("nets.py").write_text(
        f"import torch\nc = torch.tensor({CENTERS.tolist()})\n"
        "def make(): return lambda x: -(x[:, None] - c).square().sum(2)\n",
        encoding="utf-8",
    )
    words = ["--cells", "32", "--until", "0.005", "--no-animation"]
    table = run(Path("a"), "points.csv", *words)
    assert table["classes"] == names
    assert sum(first for first, _ in table["areas"].values()) == pytest.approx(1.0, abs=0.02)
    assert not Path("a/boundary.gif").exists()
    assert 'class="frame"' not in Path("a/report.html").read_text(encoding="utf-8")
    arrays = run(Path("b"), "points.npz", *words)
    assert arrays["classes"] == ["0", "10", "20"]
    assert arrays["robust_risk"] == pytest.approx(table["robust_risk"])
    given = run(Path("c"), "nets.py:make", "--data", "points.npz", *words)
    assert given["start"] == "the classifier given"
    assert given["robust_risk"][0] != table["robust_risk"][0]
    spoken = RUN.invoke(app, ["boundary", "points.csv", *words, "--out", "d"], catch_exceptions=False)
    assert "class ant" in spoken.stdout
    assert "of the box" in spoken.stdout


def test_misuse() -> None:
    x, y = samples()
    problem = several(x, y, ("0", "1", "2"), 32)
    with pytest.raises(ValueError, match="gives the whole box of the samples one label"):
        network(problem, lambda x: torch.tensor([[0.0, 1.0, 0.0]]).expand(len(x), 3), "constant")
    with pytest.raises(ValueError, match=r"whole number each as a label, got labels of torch.float32"):
        numbered(x, y + 0.5)
    assert numbered(x, y.float())[2] == ("0", "1", "2")
    grid = problem.grid
    flat = (
        torch.ones(2, *grid.shape, dtype=torch.float64) * torch.tensor([1.0, 2.0], dtype=torch.float64)[:, None, None]
    )
    with pytest.raises(ValueError, match="give the time, --until"):
        study(Classes("flat", grid, flat, torch.stack([grid.points()[..., 0], flat[1] * 0]), 0.3, ("a", "b")))
