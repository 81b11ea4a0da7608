"""One reader: data of every form are the same samples to every verb."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader, TensorDataset
from typer.testing import CliRunner

import maxslope as ms
from maxslope._pairs import pair_of
from maxslope.attacks import Effort, recipes
from maxslope.cli.learning import lesson
from maxslope.cli.main import app
from maxslope.cli.settings import Settings
from maxslope.evaluation import evaluate, resume
from maxslope.evaluation.reader import collected, readable
from nets import answers, mlp

NET = mlp(6, 3, dtype=torch.float32)
X = torch.rand(24, 6, generator=torch.Generator().manual_seed(0))
Y = answers(NET, X)
FAST = Effort((recipes.ifgsm(2),), "fast")
CODE = """
import numpy, torch
def pair():
    d = numpy.load({path!r})
    return torch.from_numpy(d["x"]), torch.from_numpy(d["y"])
"""


def columns() -> Any:
    return pa.table({"x": X.tolist(), "label": Y.tolist()})


def arrow(path: Path) -> str:
    with pa.ipc.new_stream(str(path), columns().schema) as sink:
        sink.write_table(columns())
    return str(path)


def saved(folder: Path) -> str:
    folder.mkdir()
    arrow(folder / "data-00000-of-00001.arrow")
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    return str(folder)


def npz(path: Path) -> str:
    np.savez(path, x=X.numpy(), y=Y.numpy())
    return str(path)


def code(path: Path) -> str:
    path.with_suffix(".py").write_text(CODE.format(path=npz(path.with_suffix(".npz"))))
    return f"{path.with_suffix('.py')}:pair"


WORDS: dict[str, Callable[[Path], str]] = {
    "npz": lambda p: npz(p / "a.npz"),
    "safetensors": lambda p: [save_file({"x": X, "y": Y}, p / "a.safetensors"), str(p / "a.safetensors")][1],
    "parquet": lambda p: [pyarrow.parquet.write_table(columns(), p / "a.parquet"), str(p / "a.parquet")][1],
    "arrow": lambda p: arrow(p / "a.arrow"),
    "saved": lambda p: saved(p / "a"),
    "torch": lambda p: [torch.save((X, Y), p / "a.pt"), str(p / "a.pt")][1],
    "code": lambda p: code(p / "a.py"),
}
OBJECTS: dict[str, Any] = {
    "tensors": (X, Y),
    "arrays": (X.numpy(), Y.numpy()),
    "an array and a tensor": [X.numpy(), Y],
    "doubles": (X.double().numpy(), Y.numpy().astype(np.int32)),
    "read-only arrays": (np.broadcast_to(X.numpy(), (1, *X.shape))[0], Y.numpy()),
    "another order of bytes": (X.numpy().astype(">f4"), Y.numpy().astype(">i8")),
    "dataset": TensorDataset(X, Y),
    "loader": DataLoader(TensorDataset(X, Y), batch_size=5),
}


def report(data: Any, **options: Any) -> Any:
    return evaluate(NET, data, ms.Linf(0.05), effort=FAST, probe=False, **options)


@pytest.mark.parametrize("form", [*OBJECTS, *WORDS])
def test_every_form_is_the_same_to_evaluate(form: str, tmp_path: Path) -> None:
    data = OBJECTS[form] if form in OBJECTS else WORDS[form](tmp_path)
    x, y = collected(readable(data, NET))
    assert torch.equal(x, X)
    assert torch.equal(y.long(), Y)
    assert str(report(data).table) == str(report((X, Y)).table)


@pytest.mark.parametrize("form", WORDS)
def test_every_form_is_the_same_to_train(form: str, tmp_path: Path) -> None:
    settings = Settings(data=WORDS[form](tmp_path), box=(0.0, 1.0), eps="0.1")
    found = lesson(settings, tmp_path / "out", first=True, quiet=True)
    x, y = (torch.cat(column) for column in zip(found.check, found.left, found.data, strict=True))
    places = [int((row == X).all(1).nonzero()) for row in x]
    assert sorted(places) == list(range(24))
    assert y.tolist() == Y[places].tolist()
    assert found.box == (0.0, 1.0)


def test_minimal_and_evaluate_read_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(
        "import torch\nfrom nets import mlp\ndef make(): return mlp(6, 3, dtype=torch.float32)\n"
    )
    for form in ("npz", "parquet"):
        words = ["--model", f"{tmp_path}/nets.py:make", "--data", WORDS[form](tmp_path), "--box", "0", "1", "--json"]
        for command in (["minimal"], ["evaluate", "--eps", "0.01", "--effort", "quick"]):
            done = CliRunner().invoke(app, [*command, *words])
            assert done.exit_code == 0, done.exception
            assert json.loads(done.stdout)["samples"] == 24
            assert json.loads(done.stdout)["clean_accuracy"] == 1.0


def test_arrays_train_as_tensors_do() -> None:
    plan = ms.training.Plan(epochs=1, batch_size=8)
    found = []
    for data in ((X, Y), (X.numpy(), Y.numpy())):
        net = mlp(6, 3, dtype=torch.float32)
        ms.training.fit(net, data, ms.AdversarialRisk(ms.Linf(0.05)), plan)
        found.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    assert torch.equal(*found)


def test_runs_of_arrays_are_resumed(tmp_path: Path) -> None:
    arrays = (X.numpy(), Y.numpy())
    whole = report(arrays, out=tmp_path / "run", part=8)
    (tmp_path / "run" / "rows" / "part-00001.parquet").unlink()
    assert str(resume(tmp_path / "run", NET, arrays).table) == str(whole.table)


@pytest.mark.parametrize("data", [(np.array(["a"]), Y.numpy()), (np.array([{}]), Y.numpy())])
def test_arrays_of_other_things(data: Any) -> None:
    with pytest.raises(TypeError, match="arrays of numbers"):
        pair_of(data)


def test_other_data_are_refused_as_before() -> None:
    for data in (3, [X], (X, [1, 2]), {"x": X}):
        with pytest.raises(TypeError, match="Data are"):
            report(data)
