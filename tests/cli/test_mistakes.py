"""Plausible mistakes at every command: each ends with one message that names the argument and the way out."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from maxslope.cli import main

NETS = """
import torch
from torch import nn
def make(): return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
def number(): return 3
def fails(): raise RuntimeError("no such layer")
def needs(width): return make()
def frozen(): return make().requires_grad_(False)
def plane(): return nn.Linear(2, 2)
def function(): return lambda x: x
def wide(): return nn.Sequential(nn.Flatten(), nn.Linear(99, 3))
def one(): return torch.rand(4)
def small(): return nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 6, 3))
def gray(): return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3))
def pair(): return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
def kind(): return nn.Linear
def two(): return (torch.rand(30, 16), torch.arange(30) % 3)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a careless user."""
    place = tmp_path_factory.mktemp("mistakes")
    (place / "nets.py").write_text(NETS)
    (place / "broken.py").write_text("def make(:\n")
    (place / "imports.py").write_text("import no_such_package\n")
    x, y = np.random.default_rng(0).random((30, 16), dtype=np.float32), np.arange(30) % 3
    np.savez(place / "data.npz", x=x, y=y, box=[0, 1])
    np.savez(place / "boxless.npz", x=x, y=y)
    np.savez(place / "unlabeled.npz", x=x)
    np.savez(place / "classes.npz", x=x, y=y + 90, box=[0, 1])
    np.savez(place / "pixels.npz", x=255 * x, y=y, box=[0, 1])
    np.savez(place / "named.npz", pictures=x, y=y)
    np.savez(place / "words.npz", x=x, y=np.array(["a"] * 30), box=[0, 1])
    np.savez(place / "uneven.npz", x=x, y=y[:5], box=[0, 1])
    np.savez(place / "empty.npz", x=x[:0], y=y[:0], box=[0, 1])
    np.savez(place / "few.npz", x=x[:4], y=y[:4], box=[0, 1])
    np.save(place / "numbers.npy", x)
    (place / "torn.npz").write_bytes((place / "data.npz").read_bytes()[:300])
    (place / "notes.txt").write_text("hello")
    (place / "model.pth").write_bytes(b"pickle")
    (place / "net.onnx").write_bytes(b"no graph")
    (place / "nothing").mkdir()
    for k in range(30):
        for name in ("photos", "holes"):
            path = place / name / ("bird", "cat", "dog")[k % 3] / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (8 * k, 0, 0)).save(path)
    (place / "holes" / "aside").mkdir()
    torch.save(torch.nn.Linear(2, 2), place / "whole.pt")
    unseen = ModuleType("of_another")
    unseen.Net = type("Net", (torch.nn.Linear,), {"__module__": "of_another"})  # type: ignore[attr-defined]
    sys.modules["of_another"] = unseen
    torch.save(unseen.Net(2, 2), place / "foreign.pt")
    del sys.modules["of_another"]
    save_file({"0.weight": torch.zeros(3, 16)}, place / "other.safetensors")
    (place / "points.csv").write_text("0,0,1\n1,1,0\n0,1,1\n1,0,0\n0.2,0.3,1\n0.8,0.9,0\n")
    (place / "eleven.csv").write_text("".join(f"{k / 11},{k * k % 7},{k}\n" for k in range(11)))
    (place / "space.csv").write_text("".join(f"{k},{k * k % 7},{k % 2},{k % 3}\n" for k in range(9)))
    (place / "third.csv").write_text("".join(f"{k},{k * k % 7},{k % 3}\n" for k in range(30)))
    np.savez(place / "single.npz", x=x[:4, :2], y=np.full(4, 3))
    (place / "text.csv").write_text("a,b\nc,d\n")
    (place / "wide.csv").write_text("1,2\n1,2,3\n")
    (place / "near.toml").write_text('[minimal]\neps = "0.1"\n')
    (place / "own.toml").write_text("[evaluate]\nepsilon = 3\n")
    return place


EVALUATE = ["evaluate", "--model", "nets.py:make", "--data", "data.npz", "--eps", "0.1"]
MINIMAL = ["minimal", "--model", "nets.py:make", "--data", "data.npz"]
TRAIN = ["train", "--model", "nets.py:make", "--data", "data.npz", "--eps", "0.1"]

SOURCES = [  # what evaluate, minimal and train share: (option, value, said)
    ("--model", "net.py:make", "There is no file net.py; its folder has nets.py"),
    ("--model", "nets.py:mak", "nets.py has no mak; did you mean make?"),
    ("--model", "nets.py", "A model is file.py:factory"),
    ("--model", "resnet50", "A model is file.py:factory"),
    ("--model", "nets.py:number", "makes a torch.nn.Module or a function from inputs to logits, got int"),
    ("--model", "nets.py:fails", "nets.py:fails() failed with RuntimeError: no such layer"),
    ("--model", "nets.py:needs", "missing 1 required positional argument: 'width'"),
    ("--model", "broken.py:make", "Importing broken.py failed with SyntaxError"),
    ("--model", "imports.py:make", "No module named 'no_such_package'"),
    ("--model", "no_such_module:make", "No module named 'no_such_module'"),
    ("--model", "model.pth", "is a pickle, which runs whatever code"),
    ("--model", "hf://nobody/nothing", "hf://"),
    ("--weights", "none.safetensors", "There is no file none.safetensors"),
    ("--weights", "other.safetensors", "do not fit the model: missing: 1.bias, 1.weight; unknown: 0.weight"),
    ("--weights", "notes.txt", "holds no weights"),
    ("--weights", "whole.pt", "more than tensors and plain values); save model.state_dict() alone"),
    (
        "--model",
        "nets.py:kind",
        "makes a model, got the class Linear itself, which has no weights yet: return Linear()",
    ),
    ("--data", "holes", "holes has folders without images, aside: as classes they would shift the numbers"),
    ("--device", "gpu", "The device 'gpu' cannot be used"),
    ("--data", "dat.npz", "There is no file dat.npz; its folder has data.npz"),
    ("--data", "torn.npz", "torn.npz is no npz file of plain arrays"),
    ("--data", "unlabeled.npz", "exactly one array of labels (label, labels, y"),
    ("--data", "named.npz", "exactly one array of inputs"),
    ("--data", "words.npz", "labels integers"),
    ("--data", "uneven.npz", "one row per sample"),
    ("--data", "boxless.npz", "give --box 0 1"),
    ("--data", "notes.txt", "notes.txt"),
    ("--data", "nothing", "nothing"),
    ("--data", "nets.py:one", "makes (x, y) tensors, a Dataset or a DataLoader, got Tensor"),
    ("--size", "big", "--size is a number of pixels"),
    ("--norm", "euclid", "--norm is linf, l2, l1"),
    ("--samples", "-3", "--samples"),
    ("--seed", "random", "--seed"),
    ("--nonsense", "1", "--nonsense"),
]
EPS = [
    ("--eps", "8", "--eps 8 is more than the whole box from 0 to 1; write 8/255 if pixels are meant"),
    ("--eps", "8%255", "A radius is a number such as 0.3 or a fraction such as 8/255, got '8%255'"),
    ("--eps", "-0.1", "eps=-0.1"),
    ("--eps", "nan", "eps=nan"),
    ("--eps", "1/0", "got '1/0'"),
]
PHOTOS = ["evaluate", "--data", "photos", "--eps", "0.1"]
IMAGES = [
    ("small", "The model fails on images of 8 x 8 pixels and 3 channels (RuntimeError: mat1 and mat2 shapes"),
    (
        "gray",
        "to have 1 channels, but got 3 channels instead): give it inputs of the size and channels it was made for",
    ),
]
CASES: list[tuple[list[str], str]] = [
    *[([*base, option, value], said) for base in (EVALUATE, MINIMAL, TRAIN) for option, value, said in SOURCES],
    *[([*base, option, value], said) for base in (EVALUATE, TRAIN) for option, value, said in EPS],
    (EVALUATE[:-2], "--eps is needed for a model of yours"),
    ([*EVALUATE[:-2], "--data", "dat.npz"], "There is no file dat.npz"),  # not hidden by the missing --eps
    ([*EVALUATE[:-2], "--model", "net.py:make"], "There is no file net.py"),
    ([*EVALUATE, "--data", "classes.npz"], "label"),
    *[([*PHOTOS, "--model", f"nets.py:{model}"], said) for model, said in IMAGES],
    ([*MINIMAL[:1], *PHOTOS[1:3], "--model", "nets.py:small"], IMAGES[0][1]),
    ([*TRAIN[:1], *PHOTOS[1:], "--model", "nets.py:small"], IMAGES[0][1]),
    (
        [*PHOTOS, "--model", "nets.py:pair"],
        "the largest label is 2; class numbers start at 0, and 2 belongs to a model with 3 outputs or more. The "
        "classes of the data are 0 bird, 1 cat, 2 dog.",
    ),
    (
        [*PHOTOS, "--model", "nets.py:small", "--classes", "cat,dog"],
        "got 2 names for 3 classes (bird, cat, dog); give them all, or leave it away",
    ),
    ([*EVALUATE, "--classes", "cat, dog"], "got 2 names for 3 classes; give them all."),
    (
        [*EVALUATE, "--model", "foreign.pt", "--trust"],
        "foreign.pt needs the module of_another, which is not here",
    ),
    ([*EVALUATE, "--data", "pixels.npz"], "box"),
    ([*EVALUATE, "--data", "empty.npz"], "at least one sample"),
    ([*EVALUATE, "--model", "nets.py:wide"], "RuntimeError"),
    ([*EVALUATE, "--effort", "max"], "--effort is one of quick, standard, exhaustive"),
    ([*EVALUATE, "--goal", "top5"], "--goal is one of top-K"),
    ([*EVALUATE, "--goal", "target=dog"], "--goal target takes a whole number (classes are numbered"),
    ([*EVALUATE, "--mask", "none.npy"], "--mask none.npy cannot be read"),
    ([*EVALUATE, "--mask", "numbers.npy"], "--mask is an array of truths"),
    ([*EVALUATE, "--grid", "1"], "--grid"),
    ([*EVALUATE, "--box", "1", "0"], "lo < hi"),
    ([*EVALUATE, "--box", "0"], "--box"),
    ([*EVALUATE, "--box", "0", "1", "--no-box"], "exclude each other"),
    ([*EVALUATE, "--out", "notes.txt"], "--out notes.txt: notes.txt is a file, where a folder is wanted"),
    ([*EVALUATE, "--picture", "nothing"], "--picture nothing is a folder, where a file is wanted"),
    ([*EVALUATE, "--picture", "p.png"], "needs images"),
    ([*EVALUATE, "--resume", "nothing"], "leave --eps away"),
    (["evaluate", "--resume", "nothing"], "nothing holds no run of maxslope; start one with --out nothing"),
    (["evaluate", "--config", "own.toml"], "'epsilon' is no option of a configuration"),
    (["evaluate", "--config", "none.toml"], "none.toml cannot be read"),
    ([*EVALUATE, "--fail-under", "0.6"], "--fail-under is a percentage"),
    ([*EVALUATE, "--workers", "0"], "--workers"),
    (["evaluate", "--weights", "other.safetensors"], "--weights belong to a factory"),
    ([*MINIMAL, "--at", "-1"], "--at is a radius that is not negative"),
    ([*MINIMAL, "--at", "8%255"], "got '8%255'"),
    ([*MINIMAL, "--out", "table.xlsx"], "--out is a folder to keep the run in, or a .csv or .parquet file of one row"),
    ([*MINIMAL, "--out", "notes.txt"], "--out is a folder to keep the run in, or a .csv or .parquet file of one row"),
    ([*MINIMAL, "--out", "notes.txt/deeper"], "notes.txt is a file, where a folder is wanted"),
    ([*MINIMAL, "--points"], "--points are kept in a folder: give --out FOLDER"),
    ([*MINIMAL, "--resume", "nothing", "--seed", "1"], "leave --seed away"),
    (["minimal", "--resume", "nothing"], "nothing holds no run of maxslope; start one with --out nothing"),
    (["minimal", "--config", "own.toml"], "own.toml has one table [minimal] of options, got evaluate"),
    (["minimal", "--config", "near.toml"], "'eps' is no option of a configuration; those are model, weights"),
    ([*MINIMAL, "--part", "0"], "--part"),
    ([*MINIMAL, "--gpus", "1"], "--gpus and --ray belong to --workers"),
    ([*MINIMAL, "--out", "none/table.csv"], "There is no folder none"),
    ([*MINIMAL, "--eps", "0.1"], "--at 0.1 gives the robust accuracy"),
    ([*TRAIN, "--objective", "pgd"], "--objective is risk or trades, got 'pgd'"),
    ([*TRAIN, "--rate", "0"], "--rate is a positive learning rate"),
    ([*TRAIN, "--rate", "fast"], "--rate"),
    ([*TRAIN, "--epochs", "0"], "--epochs"),
    ([*TRAIN, "--batch-size", "1000"], "--batch-size is between 1 and all 24 samples"),
    ([*TRAIN, "--data", "few.npz"], "needs 10 samples at least, got 4"),
    ([*TRAIN, "--average", "1"], "--average"),
    ([*TRAIN, "--model", "nets.py:frozen"], "--model nets.py:frozen has no parameter that requires a gradient"),
    ([*TRAIN, "--model", "nets.py:function"], "has no parameter that requires a gradient"),
    ([*TRAIN, "--model", "net.onnx"], "is an exported program, whose weights cannot be trained"),
    ([*TRAIN, "--out", "notes.txt"], "notes.txt is a file, where a folder is wanted"),
    ([*TRAIN, "--out", "notes.txt/deeper"], "notes.txt is a file, where a folder is wanted"),
    (TRAIN[:-2], "--eps is needed for a model of yours"),
    (
        ["train", "--data", "data.npz", "--eps", "0.1", "--weights", "other.safetensors"],
        "--weights belong to a factory",
    ),
    (["report"], "RUNS: it is missing. Folders of runs: one, or several"),
    (["report", "none"], "none holds no run"),
    (["report", "notes.txt"], "notes.txt"),
    (["report", "nothing"], "nothing holds no run"),
    (["report", "nothing", "nothing"], "nothing holds no run"),
    (["report", "nothing", "--format", "word"], "--format: 'word' is not one of 'html', 'json'"),
    (["report", "nothing", "--out", "nothing"], "--out nothing is a folder, where a file is wanted"),
    (["report", "nothing", "--out", "notes.txt/page.html"], "notes.txt is a file, where a folder is wanted"),
    (["report", "nothing", "--memory", "0"], "--memory"),
    (["report", "data.npz"], "data.npz"),
    (["report", "nothing", "--title"], "Option '--title' requires an argument. maxslope report --help lists"),
    (["report", "nothing", "--trust", "yes"], "holds no run"),
    (["report", "nothing", "--seed", "one"], "--seed"),
    (["report", "nothing", "--json", "--format", "xml"], "--format"),
    (["report", "nothing", "--formt", "json"], "has no option --formt; did you mean --format? maxslope report --help"),
    (["report", "-x", "nothing"], "-x"),
    (
        ["report", "nothing", "--model", "nets.py:make"],
        "holds no run of maxslope; maxslope evaluate --out FOLDER makes one",
    ),
    (["report", "http://nowhere/run"], "holds no run"),
    (["report", "nothing", "--classes"], "--classes"),
    (["report", "nothing", "--no-modell"], "did you mean --no-model?"),
    (["boundary", "moon"], "The source is one of moons, gaussians, disk, dumbbell"),
    (["boundary", "none.csv"], "There is no file none.csv"),
    (["boundary", "text.csv"], "expected x, y, label"),
    (["boundary", "nets.py:plane"], "its points come by --data FILE.csv"),
    (["boundary", "nets.py:none", "--data", "points.csv"], "has no none"),
    (["boundary", "net.py:plane", "--data", "points.csv"], "There is no file net.py"),
    (["boundary", "nets.py:plane", "--data", "none.csv"], "There is no file none.csv"),
    (["boundary", "moons", "--data", "points.csv"], "--data belongs to a model"),
    (["boundary", "--eps", "0"], "--eps is positive and finite"),
    (["boundary", "--eps", "8%255"], "got '8%255'"),
    (["boundary", "--until", "-1"], "--until is positive and finite"),
    (["boundary", "--tau", "nan"], "--tau is positive and finite"),
    (["boundary", "--cells=3"], "got '3'. Cells of the grid along its longer side"),
    (["boundary", "--neural", "-1"], "--neural"),
    (["boundary", "--out", "notes.txt"], "notes.txt is a file, where a folder is wanted"),
    (["boundary", "disk", "--eps", "1e-9"], "cells"),
    (["boundary", "disk", "--eps", "0.01", "--cells", "24"], "cells"),
    (["boundary", "nets.py:number", "--data", "points.csv"], "got int"),
    (["boundary", "gaussians", "--seed", "3.5"], "--seed"),
    (["boundary", "three", "--tau", "0.1"], "--tau 0.1 is for two classes; several take steps of"),
    (["boundary", "three", "--neural", "2"], "--neural 2 is for two classes"),
    (["boundary", "three", "--cells", "24", "--eps", "0.01"], "cells"),
    (["boundary", "three", "--data", "points.csv"], "--data belongs to a model"),
    (
        ["boundary", "eleven.csv"],
        "Boundaries are drawn of 2 to 10 classes, got 11 labels, 0, 1, 2, 3, ...; is the last",
    ),
    (["boundary", "space.csv"], "Several classes are followed in the plane: points [n, 2], got (9, 3)"),
    (["boundary", "data.npz"], "Several classes are followed in the plane: points [n, 2], got (30, 16)"),
    (["boundary", "none.npz"], "There is no file none.npz"),
    (["boundary", "torn.npz"], "torn.npz is no npz file of plain arrays"),
    (["boundary", "single.npz"], "A boundary lies between two classes or more, got 4 points with labels [3]"),
    (["boundary", "nets.py:plane", "--data", "third.csv"], "A classifier of 3 classes answers with as many logits"),
    (["boundary", "nets.py"], "The source is one of"),
    (["boundary", "--cells", "many"], "--cells"),
    (["odenet", "moon"], "Data are moons, digits or a CSV file that exists, got 'moon'"),
    (["odenet", "none.csv"], "CSV file that exists"),
    (["odenet", "nothing"], "CSV file that exists"),
    (["odenet", "text.csv"], "at least two lines"),
    (["odenet", "wide.csv"], "wide.csv"),
    (["odenet", "--eps", "-1"], "--eps is a radius that is not negative"),
    (["odenet", "--eps", "eight"], "got 'eight'"),
    (["odenet", "--layers", "0"], "--layers"),
    (["odenet", "--particles", "many"], "--particles"),
    (["odenet", "--penalty", "-1"], "--penalty"),
    (["odenet", "--gradients", "0"], "--gradients"),
    (["odenet", "--slope", "-1"], "--slope"),
    (["odenet", "--seed", "x"], "--seed"),
    (["odenet", "--eps", "1/0"], "got '1/0'"),
    (["odenet", "--eps", "inf"], "--eps is a radius that is not negative"),
    (["odenet", "moons", "digits"], "digits"),
    (["odenet", "data.npz"], "data.npz"),
    (["odenet", "--data", "table.csv"], "--data"),
    (["odenet", "--layers", "2.5"], "--layers"),
    (["odenet", "--out", "notes.txt"], "notes.txt is a file, where a folder is wanted"),
    (["integrability", "relu"], "relu"),
    (["integrability", "cubic", "--target", "2"], "--target belongs to tanh, zero and linear"),
    (["integrability", "tanh", "--target", "0.5"], "must"),
    (["integrability", "--activation", "sin"], "needs --activation and --data"),
    (["integrability", "--activation", "sin(y)", "--data", "1:0"], "z"),
    (["integrability", "--activation", "sin", "--data", "1"], "--data must be pairs"),
    (["integrability", "--activation", "z^5", "--data", "1:0", "--curve", "sqrt(s)"], "--curve must be a parameter"),
    (["integrability", "--activation", "z^5", "--data", "1:0", "--curve", "s: q, 0"], "q"),
    (["integrability", "--r", "sin(x)"], "must"),
    (["integrability", "--r", "x^2", "--p", "1"], "--r must come without --p and --q"),
    (["integrability", "--r", "x +"], "x +"),
    (["integrability", "--r", "__import__('os')"], "must"),
    (["integrability", "--parameter", "a"], "--parameter needs an r (--r) with one variable"),
    (["integrability", "--parameter", "a", "--r", "a*x*y"], "--parameter needs an r"),
    (["integrability", "--digits", "1"], "--digits"),
    (["integrability", "--activation", "relu", "--data", "1:0"], "relu"),
    (["integrability", "--data", "1:0"], "needs --activation and --data"),
    (["integrability", "tanh", "--certificate", "c.json"], "has no option --certificate any more; --out FOLDER"),
    (["integrability", "--out", "notes.txt"], "notes.txt is a file, where a folder is wanted"),
    (["integrability", "--activation", "tanh", "--data", "1:0", "--neurons", "0"], "neurons"),
    (["flow", "moon"], "No such command 'moon'"),
    (["flow", "moons", "--samples", "1"], "--samples"),
    (["flow", "moons", "--taus", "0"], "--taus"),
    (["flow", "moons", "--images", "-1"], "--images"),
    (["flow", "moons", "--seed", "two"], "--seed"),
    (["integrability", "--seed", "two"], "--seed"),
    (["flow", "moons", "--out", "notes.txt"], "notes.txt is a file, where a folder is wanted"),
    (["flow", "moons", "--out", "notes.txt/deeper"], "notes.txt is a file, where a folder is wanted"),
    (["flow", "moons", "--out"], "Option '--out' requires an argument. maxslope flow moons --help"),
    (["flow", "--samples", "3"], "maxslope flow has no option --samples"),
    (["flow", "moons", "--sample", "3"], "has no option --sample; did you mean --samples?"),
    (["flow", "moons", "--samples", "2.5"], "got '2.5'"),
    (["flow", "moons", "--tau", "3"], "did you mean --taus?"),
    (["flow", "moons", "--taus", "many"], "got 'many'"),
    (["flow", "moons", "--image=3"], "did you mean --images?"),
    (["flow", "moons", "--images", "all"], "got 'all'"),
    (["flow", "moons", "--no-animatoin"], "did you mean --no-animation?"),
    (["flow", "moons", "--seed", str(2**64)], "--seed is a 64-bit integer"),
    (["flow", "moons", "--quite"], "did you mean --quiet?"),
    (["flow", "moons", "--json=yes"], "Option '--json' does not take a value"),
    (["flow", "moons", "circles"], "(circles) maxslope flow moons --help lists what there is"),
    (["evalute"], "No such command 'evalute'. Did you mean 'evaluate'?"),
    (["--nonsense"], "--nonsense"),
    (["version", "--out", "x"], "maxslope version has no option --out"),
    (["evaluate", "--trust=yes"], "Option '--trust' does not take a value. maxslope evaluate --help"),
]


def run(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, standard output and error stream of the command, as a process has them."""
    monkeypatch.setattr(sys, "argv", ["maxslope", *words])
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


@pytest.mark.parametrize(("words", "said"), CASES, ids=[" ".join(words)[:90] for words, _ in CASES])
def test_a_mistake_is_named_with_its_way_out(
    words: list[str], said: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    code, out, error = run(words, monkeypatch, capsys)
    assert code in (1, 2), error
    assert said in error, error
    assert "Traceback" not in error
    lines = [line for line in error.splitlines() if line.startswith("maxslope: ") and "warning" not in line]
    assert len(lines) == 1, error
    assert out == ""
    left = [p for p in folder.rglob("*") if p not in before and "__pycache__" not in str(p)]
    assert left == [], left  # nothing is begun


def test_no_command_is_left_out() -> None:
    import typer

    from maxslope.cli.main import app

    counts = Counter(words[0] for words, _ in CASES)
    assert set(typer.main.get_command(app).commands) <= set(counts)  # type: ignore[attr-defined]
    assert min(counts[name] for name in set(counts) - {"version", "evalute", "--nonsense"}) >= 20
