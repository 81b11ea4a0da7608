"""The two-moons experiment: differences fall with tau, figures and tables are written."""

from functools import cache
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from maxslope.cli.flow import app
from maxslope.figures.moons import animate, draw_differences, draw_trajectories, film
from maxslope.loop import flow
from maxslope.report.drawn import panels
from maxslope.report.experiment import clouds_of_moons
from maxslope.schemes import Best, Consensus, MinimizingMovement, Newton
from maxslope.sets import Linf
from maxslope.studies.moons import data, differences, geometries, particles, problem, train


@cache
def network(name: str) -> nn.Module:
    return train({"ReLU": nn.ReLU, "GELU": nn.GELU}[name])


@pytest.mark.parametrize("name", ["ReLU", "GELU"])
def test_networks_learn_the_moons_and_leave_the_generator_alone(name: str) -> None:
    before = torch.get_rng_state()
    net = network(name)
    assert torch.equal(before, torch.get_rng_state())
    x, y = data()
    with torch.no_grad():
        assert float(((net(x.double()) > 0.5) == y.bool()).double().mean()) > 0.98


def test_difference_falls_with_first_order_on_the_smooth_network() -> None:
    found = differences(network("GELU"), 40, [0.1, 0.05, 0.025, 0.0125], until=0.4)
    mean = found.largest.mean(1)
    assert float(mean[-1]) < 0.2 * float(mean[0])
    assert float(mean[-1]) < 0.02
    assert (found.matrix >= found.largest - 1e-12).all()
    assert found.table("GELU")[0]["tau"] == 0.1


@pytest.mark.slow
def test_difference_falls_on_the_network_with_kinks() -> None:
    mean = differences(network("ReLU"), 16, [0.1, 0.025], until=0.4).largest.mean(1)
    assert float(mean[1]) < 0.5 * float(mean[0])


def test_two_solvers_are_at_least_as_good_as_each() -> None:
    energy, x = problem(network("ReLU"), 10)
    K = energy.within(Linf(0.2, box=None).around(x))
    parts = (Newton(iterations=6), Consensus(particles=10, iterations=8))
    ends = [
        flow(K, x, scheme=MinimizingMovement(0.05, inner=inner, nodes=0), until=0.05).energy[-1]
        for inner in (*parts, Best(parts))
    ]
    assert bool((ends[2] <= torch.minimum(ends[0], ends[1]) + 1e-12).all())


@pytest.mark.slow
def test_figures(tmp_path: Path) -> None:
    draw_trajectories({"GELU": network("GELU")}, tmp_path / "paths")
    draw_differences({"GELU": differences(network("GELU"), 4, [0.1, 0.05], until=0.2)}, tmp_path / "differences")
    assert {p.suffix for p in tmp_path.iterdir()} == {".svg", ".png"}
    assert len(list(tmp_path.iterdir())) == 4


def test_particles_move_in_a_film_of_few_bytes(tmp_path: Path) -> None:
    """Each within its budget, with an energy that falls; a frame of the page for each instant, and a GIF."""
    net = network("GELU")
    way = particles(net, 8, 0.05)
    assert float((way.points - way.points[0]).abs().max()) <= 0.2 + 1e-12
    assert bool((way.energy[-1] < way.energy[0]).all())
    figure, names = film(net, way)
    (panel,) = panels(figure, "film", ("How to read it.",), frames=names)
    assert names[0] == "t = 0.0000"
    assert panel.frames == tuple(names)
    assert len(names) == len(way.time) == 7
    assert {panel.svg.count(f'data-frame="{k}"') for k in range(7)} == {2}  # two labels
    assert len(panel.svg) < 60_000
    animate(net, way, tmp_path / "particles.gif")
    with Image.open(tmp_path / "particles.gif") as gif:
        assert gif.n_frames == 7
    assert (tmp_path / "particles.gif").stat().st_size < 120_000


def test_other_norms_and_rates() -> None:
    records = geometries(network("GELU"), rows=2, tau=0.1)
    assert {r["norm"] for r in records} == {1.0, 2.0, float("inf")}
    assert all(float(r["max_speed"]) <= 1 + 1e-6 for r in records if r["rate"] == float("inf"))


@pytest.mark.slow
def test_risks() -> None:
    risk = {r["adversary"]: float(r["risk"]) for r in clouds_of_moons(network("GELU"))}
    assert min(risk["W_2"], risk["W_1"]) >= risk["W_inf"]
    assert risk["W_2"] >= risk["W_2 from mu_0 alone"]
    assert risk["W_2 dual bound"] >= risk["W_2"] - 1e-3


@pytest.mark.slow
def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maxslope.studies.moons.train", lambda activation, seed: network(activation.__name__))
    answer = CliRunner().invoke(
        app, ["moons", "--out", str(tmp_path), "--samples", "2", "--taus", "2", "--images", "8"]
    )
    assert answer.exit_code == 0, answer.output
    names = {p.name for p in tmp_path.iterdir()}
    assert {
        "trajectories.svg",
        "differences.png",
        "convergence.csv",
        "geometries.csv",
        "mnist.svg",
        "report.html",
        "particles.gif",
    } <= names
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'class="frame" data-frame="15"' in page
    assert "particles.gif" in page
