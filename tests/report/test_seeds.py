"""What ``--seed`` of a command decides, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import maxslope as ms
from maxslope.figures.neural import fresh
from maxslope.report.merging import affordable, representative
from maxslope.studies import moons


@pytest.mark.slow
def test_the_moons_their_networks_and_initial_values_follow_the_seed() -> None:
    pytest.importorskip("sklearn", reason="the extra `flows` holds it")
    first, again, other = (moons.data(20, seed)[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(moons.data(20)[0], moons.data(20, 0)[0])
    nets = [moons.train(nn.GELU, epochs=1, seed=seed) for seed in (0, 0, 5)]
    weights = [next(net.parameters()) for net in nets]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    starts = [moons.problem(nets[0], 4, seed)[1] for seed in (0, 0, 5)]
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


def test_the_experiment_hands_the_seed_to_all_that_is_random(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each part is asked for its seed and stops there: the parts themselves have tests of their own."""
    experiment = pytest.importorskip("maxslope.report.experiment", reason="the extra `flows` holds what it needs")
    asked: dict[str, Any] = {}

    def recorded(name: str, answer: Any) -> Any:
        def called(*words: Any, **more: Any) -> Any:
            asked[name] = more.get("seed", words[-1] if words else None)
            return answer

        return called

    class Nothing:
        def __init__(self) -> None:
            self.largest, self.orders, self.astray = torch.zeros(1, 1), {}, ()  # type: ignore[var-annotated]

        def table(self, *words: Any) -> list[Any]:
            return []

        def save(self, path: Path) -> Path:
            return path

    for name in ("train", "differences", "orders", "geometries", "clouds_of_moons", "particles"):
        answer: Any = [] if name in ("geometries", "clouds_of_moons") else Nothing()
        place = experiment if name == "clouds_of_moons" else experiment.moons
        monkeypatch.setattr(place, name, recorded(name, answer))
    monkeypatch.setattr(experiment.moons, "constraints", dict)
    monkeypatch.setattr(experiment, "write_csv", lambda *words: None)
    figures = experiment.moons_figures
    for name in ("draw_trajectories", "draw_differences", "draw_convergence"):
        monkeypatch.setattr(figures, name, lambda *words, **more: None)
    monkeypatch.setattr(experiment, "sheet", lambda *words, **more: Nothing())
    monkeypatch.setattr(figures, "animate", lambda *words: asked.setdefault("animate", 11))
    monkeypatch.setattr(figures, "film", lambda *words: asked.setdefault("film", 11))
    few: dict[str, Any] = {"samples": 2, "taus": 2, "images": 0, "say": lambda words: None, "seed": 11}
    experiment.run(tmp_path, **few, animation=False)
    assert asked == dict.fromkeys(("train", "differences", "orders", "geometries", "clouds_of_moons"), 11)
    experiment.run(tmp_path, **few)
    assert asked.keys() - {"train", "differences", "orders", "geometries", "clouds_of_moons"} == {
        "particles", "animate", "film"
    }  # fmt: skip
    assert set(asked.values()) == {11}


@pytest.mark.slow
def test_boundaries_follow_the_seed() -> None:
    pytest.importorskip("sklearn", reason="the extra `flows` holds it")
    pytest.importorskip("skfmm", reason="the extra `boundary` holds it")
    from maxslope.boundary import Grid
    from maxslope.boundary.neural_flow import Samples
    from maxslope.studies.problems import moons as problem

    starts = [problem(24, seed=seed).start for seed in (0, 0, 1)]
    assert torch.equal(starts[0], starts[1])
    assert starts[0].shape != starts[2].shape or not torch.equal(starts[0], starts[2])
    grid = Grid((8, 8), -1, 1)
    few = Samples(torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64))
    nets = [next(fresh(grid.points()[..., 0], grid, few, 1, seed).parameters()) for seed in (0, 0, 1)]
    assert torch.equal(nets[0], nets[1])
    assert not torch.equal(nets[0], nets[2])


@pytest.mark.slow
def test_the_command_hands_its_seed_to_data_factory_and_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("sklearn", reason="the extra `flows` holds it")
    pytest.importorskip("skfmm", reason="the extra `boundary` holds it")
    from typer.testing import CliRunner

    from maxslope.cli.main import app
    from maxslope.cli.points import opened
    from maxslope.figures import neural
    from maxslope.studies.problems import moons as problem

    made, _ = opened("moons", None, 24, None, 5)
    assert torch.equal(made.start, problem(24, seed=5).start)
    (tmp_path / "nets.py").write_text(
        "import torch\ndef make():\n    x = torch.rand(40, 2)\n"
        "    return (lambda z: z[:, 1] - 0.5), x, (x[:, 0] > 0.5).long()\n"
    )
    drawn = [opened(f"{tmp_path / 'nets.py'}:make", None, 24, None, seed)[0].samples[0] for seed in (0, 0, 1)]  # type: ignore[union-attr]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    asked: dict[str, int] = {}

    def recorded(name: str, real: Any) -> Any:
        def called(*words: Any) -> Any:
            asked[name] = words[-1]
            return real(*words)

        return called

    def flow(*words: Any, training: Any, **more: Any) -> Any:
        asked["batches"] = training.seed
        raise KeyboardInterrupt

    for name in ("draw", "fresh"):
        monkeypatch.setattr(neural, name, recorded(name, getattr(neural, name)))
    monkeypatch.setattr(neural, "neural_flow", flow)
    monkeypatch.setattr(neural.Training, "first", 1)
    words = ["boundary", "disk", "--cells", "24", "--until", "0.01", "--neural", "1", "--no-animation", "--seed", "6"]
    assert CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out"), "-q"]).exit_code == 130
    assert asked == {"draw": 6, "fresh": 6, "batches": 6}


def test_a_page_draws_its_samples_by_its_own_seed_or_that_of_the_run() -> None:
    x, y = torch.rand(400, 2, generator=torch.Generator().manual_seed(0)), torch.arange(400) % 2
    report = ms.evaluate(lambda x: 10 * x, (x, y), ms.Linf(0.2), effort=ms.Effort.quick(), seed=3)
    few = affordable(report, 0)
    usual = representative([report], few, 3)
    assert len(usual) >= few > 0
    assert representative([report], few, 3) == usual
    assert representative([report], few, 4) != usual


def test_the_loops_of_another_seed_have_the_same_traces() -> None:
    pytest.importorskip("sympy", reason="the extra `integrability` holds it")
    from maxslope.integrability.loops import base_of, monodromy

    found = [monodromy("-3/(16*x**2) + 1/(x - 1)", digits=15, base=base_of(seed)) for seed in (0, 1)]
    assert found[0].base != found[1].base
    for one, other in zip(*(m.traces().values() for m in found), strict=True):
        assert abs(one - other) < 1e-12
