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
from maxslope.evaluation import Interrupted, evaluate, resume
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
    found = lesson(settings, tmp_path / "out", quiet=True)
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


def test_names_of_classes_of_a_saved_data_set(tmp_path: Path) -> None:
    word = saved(tmp_path / "a")
    assert readable(word, NET).classes == ()
    for description, names in (
        ({"features": {"label": {"names": ["a", "b"]}}}, ("a", "b")),
        ({"features": {"label": {}}}, ()),
        ({"features": {}}, ()),
        ([], ()),
        ({"features": {"label": {"names": "ab"}}}, ()),
    ):
        (tmp_path / "a" / "dataset_info.json").write_text(json.dumps(description))
        assert readable(word, NET).classes == names


def test_a_table_that_is_sorted_by_class_is_drawn(tmp_path: Path) -> None:
    """What is said of "robust so far" is said of all classes."""
    labels = {"sorted": [k // 8 for k in range(24)], "mixed": [k % 3 for k in range(24)]}
    tables = {name: pa.table({"x": X.tolist(), "label": values}) for name, values in labels.items()}
    (tmp_path / "nets.py").write_text(
        "import torch\nfrom nets import mlp\ndef make(): return mlp(6, 3, dtype=torch.float32)\n"
    )
    words = ["evaluate", "--model", f"{tmp_path}/nets.py:make", "--box", "0", "1", "--eps", "0.01", "--effort", "quick"]
    for name, table in tables.items():
        pyarrow.parquet.write_table(table, tmp_path / f"{name}.parquet")
        done = CliRunner().invoke(app, [*words, "--data", str(tmp_path / f"{name}.parquet")])
        assert done.exit_code == 0, done.exception
        assert ("in the order of the data" in done.stderr) == (name == "mixed")


def test_an_interruption_carries_what_is_known(tmp_path: Path) -> None:
    def stop(done: int, robust: int) -> None:
        if done > 10:
            raise KeyboardInterrupt

    for out in (None, tmp_path / "run"):
        with pytest.raises(KeyboardInterrupt) as caught:
            report((X, Y), progress=stop, part=8, out=out)
        assert isinstance(caught.value, Interrupted)
        assert caught.value.done == 16
        assert caught.value.begun == (out is not None)
        assert (caught.value.report is None) == (out is not None)
        if out is None:
            assert caught.value.report.table["index"] == list(range(16))
    assert str(resume(tmp_path / "run", NET, (X, Y)).table) == str(report((X, Y), part=8).table)


def test_data_sets_of_hugging_face(tmp_path: Path) -> None:
    """In memory with a choice of rows, from a factory, and saved to disk with names of classes."""
    hub = pytest.importorskip("datasets")
    features = hub.Features({"x": hub.Sequence(hub.Value("float32")), "label": hub.ClassLabel(names=["a", "b", "c"])})
    data = hub.Dataset.from_dict({"x": X.tolist(), "label": Y.tolist()}, features=features)
    some = data.select([5, 3, 8])
    x, y = collected(some)
    assert torch.equal(x, X[[5, 3, 8]])
    assert torch.equal(y, Y[[5, 3, 8]])
    assert str(report(data).table) == str(report((X, Y)).table)
    data.save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "hub.py").write_text(
        f"import datasets\ndef rows(): return datasets.load_from_disk({str(tmp_path / 'saved')!r})\n"
    )
    for word in (str(tmp_path / "saved"), f"{tmp_path / 'hub.py'}:rows"):
        found = readable(word, NET)
        assert torch.equal(collected(found)[0], X)
        assert found.classes == ("a", "b", "c")
    with pytest.raises(ValueError, match="name a split: train"):
        readable(hub.DatasetDict({"train": data}))
    with pytest.raises(TypeError, match=r"reader\.readable"):
        ms.training.fit(mlp(6, 3), data, ms.AdversarialRisk(ms.Linf(0.05)))
