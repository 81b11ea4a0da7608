"""Models and data from outside: every form, and a clear refusal of everything else."""

from __future__ import annotations

import io
import json
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader

import maxslope as ms
from maxslope.evaluation import datasets, evaluate
from maxslope.evaluation.data import fingerprint, jobs
from maxslope.evaluation.datasets import load_data
from maxslope.evaluation.models import Function, Logits, load_model
from nets import answers, conv, images

NET = conv()
X = images(12)
Y = answers(NET, X)
FACTORY = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 5)
    def forward(self, x):
        return self.linear(x.flatten(1))
def make(): return Net()
def function(): return lambda x: x.flatten(1)[:, :5]
def number(): return 3
def fails(): raise KeyError("no weights")
ready = Net()
def pair(): return torch.rand(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64)
def loader(): return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*pair()), batch_size=2)
"""


class Witness:
    """Leaves a trace when it is unpickled."""

    path = ""

    def __reduce__(self) -> Any:
        return (open, (self.path, "w"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "nets.py").write_text(FACTORY)
    return tmp_path


# --- models ----------------------------------------------------------------------------------------------------------


def test_models_from_files_of_code(place: Path) -> None:
    model = load_model(f"{place}/nets.py:make")
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert model(X).shape == (12, 5)
    assert isinstance(load_model(f"{place}/nets.py:function"), Function)
    assert load_model(f"{place}/nets.py:function")(X).shape == (12, 5)
    assert load_model(f"{place}/nets.py:ready").linear.in_features == 64
    assert isinstance(load_model("torch.nn:Identity", device="cpu"), nn.Identity)


def test_weights_of_a_factory(place: Path) -> None:
    net = load_model(f"{place}/nets.py:make")
    save_file({k: v + 1 for k, v in net.state_dict().items()}, place / "w.safetensors")
    torch.save({"state_dict": net.state_dict()}, place / "w.pt")
    word = f"{place}/nets.py:make"
    more = load_model(word, weights=place / "w.safetensors")
    assert torch.allclose(more(X) - net(X), X.flatten(1).sum(1, keepdim=True) + 1, atol=1e-4)
    assert torch.equal(load_model(word, weights=place / "w.pt")(X), net(X))
    save_file({"linear.weight": torch.zeros(5, 3), "other": torch.zeros(1)}, place / "bad.safetensors")
    with pytest.raises(ValueError, match=r"missing: linear.bias; unknown: other; of another shape: linear.weight"):
        load_model(word, weights=place / "bad.safetensors")
    torch.save([1, 2], place / "list.pt")
    with pytest.raises(ValueError, match="no table of named tensors, but list"):
        load_model(word, weights=place / "list.pt")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("resnet50", "A model is file.py:factory"),
        ("{}/none.py:make", "There is no file"),
        ("{}/nets.py:", "A model from code is"),
        ("{}/nets.py:nothing", "has no nothing; it has Net, make"),
        ("{}/nets.py:fails", "failed with KeyError: 'no weights'"),
        ("{}/nets.py:number", "got int"),
        ("{}/broken.py:make", "failed with SyntaxError"),
        ("no_such_package.models:make", "failed with ModuleNotFoundError"),
        ("{}/none.pt2", "There is no file"),
        ("{}/none.onnx", "There is no file"),
        ("{}/none.pth", "is a pickle, which runs whatever code"),
    ],
)
def test_words_that_name_no_model(word: str, said: str, place: Path) -> None:
    (place / "broken.py").write_text("def make(:")
    with pytest.raises(ValueError, match=said):
        load_model(word.format(place))


def test_unusable_devices(place: Path) -> None:
    with pytest.raises(ValueError, match="device 'nonsense' cannot be used"):
        load_model(f"{place}/nets.py:make", device="nonsense")


def test_pickles_are_refused_unless_trusted(place: Path) -> None:
    Witness.path = str(place / "trace")
    torch.save(Witness(), place / "evil.pt")
    torch.save(nn.Linear(64, 5), place / "good.pt")
    torch.save(nn.Linear(64, 5).state_dict(), place / "weights.pt")
    for name in ("evil.pt", "good.pt"):
        with pytest.raises(ValueError, match=r"pickle, which runs whatever code .* --trust"):
            load_model(str(place / name))
    with pytest.raises(ValueError, match="without running code"):
        load_model(f"{place}/nets.py:make", weights=place / "evil.pt")
    with pytest.raises(ValueError, match="without running code"):
        load_data(str(place / "evil.pt"))
    assert not (place / "trace").exists()
    assert load_model(str(place / "good.pt"), trust=True)(X.flatten(1)).shape == (12, 5)
    with pytest.raises(ValueError, match="holds weights, not a model"):
        load_model(str(place / "weights.pt"), trust=True)
    (place / "cut.pt").write_bytes(b"PK")
    with pytest.raises(ValueError, match="cannot be read"):
        load_model(str(place / "cut.pt"), trust=True)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "net.pt2"
    program = torch.export.export(NET, (X[:4],), dynamic_shapes=({0: torch.export.Dim("rows", min=2, max=4096)},))
    torch.export.save(program, path)
    return path


def test_exported_programs(exported: Path) -> None:
    model = load_model(str(exported))
    assert torch.allclose(model(X), NET(X), atol=1e-6)
    report = evaluate(model, (X, Y), ms.Linf(0.05), effort=ms.Effort((ms.recipes.ifgsm(2),)), probe=False)
    assert report.samples == 12


def test_packages_that_convert(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """onnx2torch, transformers and timm as they are called; what they are asked for comes from local files alone."""
    onnx = pytest.importorskip("onnx")
    asked: dict[str, Any] = {}
    kept = NET

    class Auto:
        @staticmethod
        def from_pretrained(name: str, **options: Any) -> nn.Module:
            asked[name] = options
            if name == "missing":
                raise OSError("not a local folder")

            class Answer(nn.Module):
                def forward(self, x: torch.Tensor) -> Any:
                    return types.SimpleNamespace(logits=NET(x))

            return Answer()

    def create(name: str, pretrained: bool) -> nn.Module:
        if name == "missing":
            raise RuntimeError("Unknown model")
        asked[name] = pretrained
        return conv(seed=1)

    def convert(graph: Any) -> nn.Module:
        assert graph.ir_version == 8
        return kept

    monkeypatch.setitem(sys.modules, "onnx2torch", types.SimpleNamespace(convert=convert))
    monkeypatch.setitem(sys.modules, "transformers", types.SimpleNamespace(AutoModelForImageClassification=Auto))
    monkeypatch.setitem(sys.modules, "timm", types.SimpleNamespace(create_model=create))
    graph = onnx.helper.make_graph([], "none", [], [])
    (tmp_path / "net.onnx").write_bytes(onnx.helper.make_model(graph, ir_version=8).SerializeToString())
    assert load_model(str(tmp_path / "net.onnx")) is kept
    (tmp_path / "bad.onnx").write_bytes(b"\xff no protobuf")
    with pytest.raises(ValueError, match="cannot be converted from ONNX"):
        load_model(str(tmp_path / "bad.onnx"))
    model = load_model("hf://some/net")
    assert isinstance(model, Logits)
    assert torch.equal(model(X), NET(X))
    assert asked["some/net"] == {"local_files_only": True, "trust_remote_code": False}
    with pytest.raises(ValueError, match="hf://missing is not here"):
        load_model("hf://missing")
    load_model("timm://small")
    assert asked["small"] is True
    save_file(NET.state_dict(), tmp_path / "w.safetensors")
    assert torch.equal(load_model("timm://small", weights=tmp_path / "w.safetensors")(X), NET(X))
    assert asked["small"] is False
    with pytest.raises(ValueError, match="timm://missing cannot be made"):
        load_model("timm://missing")


@pytest.mark.parametrize(
    ("module", "word"),
    [("onnx2torch", "{}/net.onnx"), ("transformers", "hf://x"), ("timm", "timm://x")],
)
def test_missing_packages_of_models(module: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match="pip install"):
        load_model(word.format(tmp_path))


# --- data ------------------------------------------------------------------------------------------------------------


def all_of(data: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Everything, through the stream of parts of odd sizes."""
    found = list(jobs(data, lambda x: 5))
    return torch.cat([job.x for job in found]), torch.cat([job.y for job in found])


BYTES = (X * 255).round().to(torch.uint8)


def test_npz(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x=X.numpy(), y=Y.numpy(), box=[0, 1])
    loaded = load_data(str(path))
    assert loaded.box == (0.0, 1.0)
    assert "from the data" in loaded.notes[-1]
    assert torch.equal(loaded.data[0], X)
    assert load_data(str(path), box=(-1, 2)).box == (-1, 2)
    assert load_data(str(path), unbounded=True).box is None
    np.savez(path, images=BYTES[:, 0].numpy(), labels=Y.numpy().astype(np.uint8))
    loaded = load_data(str(path))
    assert loaded.box == (0.0, 1.0)
    assert torch.equal(loaded.data[0], BYTES.float() / 255)
    assert loaded.data[1].dtype == torch.int64
    assert "divided by 255" in loaded.notes[0]
    assert "a channel was added" in loaded.notes[1]
    np.savez(path, images=np.zeros((2, 6, 7, 3), np.uint8), labels=np.zeros(2, int))
    assert load_data(str(path)).data[0].shape == (2, 3, 6, 7)
    assert "channels were put first" in load_data(str(path)).notes[1]


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "data.safetensors"
    save_file({"x": X, "labels": Y}, path, {"box": "[0.0, 1.0]"})
    loaded = load_data(str(path))
    assert loaded.box == (0.0, 1.0)
    x, y = all_of(loaded.data)
    assert torch.equal(x, X)
    assert torch.equal(y, Y)
    assert torch.equal(loaded.data[3][0], X[3])
    first = fingerprint(loaded.data)
    save_file({"images": BYTES, "label": Y.int()}, path)
    loaded = load_data(str(path))
    assert fingerprint(loaded.data) != first
    assert torch.equal(all_of(loaded.data)[0], BYTES.float() / 255)
    save_file({"images": X, "label": Y.float()}, path, {"box": "0 1"})
    with pytest.raises(ValueError, match="labels are integers"):
        all_of(load_data(str(path)).data)
    save_file({"images": X, "label": Y}, path, {"box": "wide"})
    with pytest.raises(ValueError, match="are two numbers, got 'wide'"):
        load_data(str(path))
    save_file({"images": X, "label": Y[:3]}, path)
    with pytest.raises(ValueError, match="one row per sample"):
        load_data(str(path))


def pictures(folder: Path, names: tuple[str, ...], size: tuple[int, int] = (10, 8)) -> Path:
    for k, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for j in range(2):
            Image.fromarray(np.full((*size, 3), 40 * k + j, np.uint8)).save(folder / name / f"{j}.png")
    return folder


def test_folders_of_images(tmp_path: Path) -> None:
    loaded = load_data(str(pictures(tmp_path / "words", ("dog", "cat"))))
    assert loaded.box == (0.0, 1.0)
    assert "0 to 1 by the sorted folders" in loaded.notes[0]
    x, y = all_of(loaded.data)
    assert x.shape == (4, 3, 10, 8)
    assert y.tolist() == [0, 0, 1, 1]
    assert x[:, 0, 0, 0].tolist() == pytest.approx([40 / 255, 41 / 255, 0, 1 / 255])
    assert load_data(str(tmp_path / "words"), size=(5, 5)).data[0][0].shape == (3, 5, 5)
    assert load_data(str(tmp_path / "words"), size=(20, 4)).data[0][0].shape == (3, 20, 4)
    numbered = load_data(str(pictures(tmp_path / "numbers", ("243", "7"))))
    assert all_of(numbered.data)[1].tolist() == [243, 243, 7, 7]
    assert "the folders' own numbers" in numbered.notes[0]
    assert fingerprint(numbered.data) != fingerprint(loaded.data)
    pictures(tmp_path / "words", ("eel",), size=(4, 4))
    with pytest.raises(ValueError, match="--size 224"):
        all_of(load_data(str(tmp_path / "words")).data)
    (tmp_path / "words" / "cat" / "0.png").write_bytes(b"\x89PNG no")
    with pytest.raises(ValueError, match="no image that can be read"):
        all_of(load_data(str(tmp_path / "words"), size=(4, 4)).data)


def encoded(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_parquet_and_arrow(tmp_path: Path) -> None:
    """Images as bytes or structs of bytes, numbers as nested lists; several files, several row groups."""
    labels = list(range(7))
    kinds = {
        "struct": pa.array([{"bytes": encoded(30 * k), "path": None} for k in labels]),
        "bytes": pa.array([encoded(30 * k) for k in labels]),
        "bytes lists": pa.array([[[30 * k] * 4] * 4 for k in labels], pa.list_(pa.list_(pa.uint8()))),
    }
    for name, column in kinds.items():
        path = tmp_path / f"{name}.parquet"
        pyarrow.parquet.write_table(pa.table({"image": column, "label": labels}), path, row_group_size=3)
        loaded = load_data(str(path))
        x, y = all_of(loaded.data)
        assert loaded.box == (0.0, 1.0)
        assert y.tolist() == labels
        assert x.flatten(1)[:, 0].tolist() == pytest.approx([30 * k / 255 for k in labels])
        assert len(fingerprint(loaded.data)) > 20
    table = pa.table({"x": [[0.5 * k, 1.0] for k in labels], "y": labels})
    (tmp_path / "many").mkdir()
    for k in range(2):
        pyarrow.parquet.write_table(table, tmp_path / "many" / f"{k}.parquet")
    loaded = load_data(str(tmp_path / "many"), unbounded=True)
    assert all_of(loaded.data)[0].shape == (14, 2)
    for name, writer in (("file", pa.ipc.new_file), ("stream", pa.ipc.new_stream)):
        with writer(str(tmp_path / f"{name}.arrow"), table.schema) as sink:
            sink.write_table(table)
        assert torch.equal(
            all_of(load_data(str(tmp_path / f"{name}.arrow"), box=(0, 4)).data)[0], all_of(loaded.data)[0][:7]
        )
    pyarrow.parquet.write_table(pa.table({"x": table["x"], "y": ["a"] * 7}), tmp_path / "names.parquet")
    with pytest.raises(ValueError, match="class numbers, got 'a'"):
        all_of(load_data(str(tmp_path / "names.parquet"), unbounded=True).data)
    pyarrow.parquet.write_table(pa.table({"x": [[1.0], [1.0, 2.0]], "y": [0, 1]}), tmp_path / "ragged.parquet")
    with pytest.raises(ValueError, match="inputs of one shape"):
        all_of(load_data(str(tmp_path / "ragged.parquet"), unbounded=True).data)
    pyarrow.parquet.write_table(pa.table({"x": [1], "a": [0]}), tmp_path / "short.parquet")
    with pytest.raises(ValueError, match=r"no column of labels \(label.*got x, a"):
        load_data(str(tmp_path / "short.parquet"))
    pyarrow.parquet.write_table(table.slice(0, 0), tmp_path / "none.parquet")
    with pytest.raises(ValueError, match="holds no rows"):
        load_data(str(tmp_path / "none.parquet"))


def test_images_that_a_conversion_would_cut(tmp_path: Path) -> None:
    """Pillow turns 16-bit values into 255 and floating-point ones into 0, and says nothing."""
    (tmp_path / "0").mkdir()
    for name, kind in (("a.png", np.uint16), ("b.tiff", np.float32)):
        Image.fromarray(np.full((4, 4), 300, dtype=kind)).save(tmp_path / "0" / name)
        with pytest.raises(ValueError, match=f"{name} is no image that can be read .*16-bit and floating-point values"):
            load_data(str(tmp_path)).data.rows(0, 1)
        (tmp_path / "0" / name).unlink()


def test_what_lies_beside_the_images(tmp_path: Path) -> None:
    (tmp_path / "0" / "folder.png").mkdir(parents=True)
    (tmp_path / "0" / "._a.png").touch()
    Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(tmp_path / "0" / "a.png")
    assert len(load_data(str(tmp_path)).data) == 1


def test_only_what_is_needed_is_unpacked(tmp_path: Path) -> None:
    arrays = {"x": np.zeros((2, 3), dtype=np.float32), "y": np.zeros(2, dtype=np.int64)}
    np.savez(tmp_path / "more.npz", **arrays)
    with zipfile.ZipFile(tmp_path / "more.npz", "a") as archive:
        archive.writestr("huge.npy", b"no array at all")
    assert load_data(str(tmp_path / "more.npz"), unbounded=True).data[0].shape == (2, 3)
    np.save(tmp_path / "one.npy", arrays["x"])
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(ValueError, match="no archive of arrays"):
        load_data(str(tmp_path / "one.npz"))


def test_labels_beyond_64_bits(tmp_path: Path) -> None:
    table = pa.table({"x": [[1.0], [2.0]], "label": pa.array([0, 2**63], pa.uint64())})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="holds class numbers, got 9223372036854775808"):
        load_data(str(tmp_path / "t.parquet"), unbounded=True).data.rows(0, 2)


def test_images_beside_a_table(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(60))
    pyarrow.parquet.write_table(
        pa.table({"image": [{"bytes": None, "path": "a.png"}], "label": [3]}), tmp_path / "t.parquet"
    )
    assert float(load_data(str(tmp_path / "t.parquet")).data[0][0][0, 0, 0]) == pytest.approx(60 / 255)
    pyarrow.parquet.write_table(
        pa.table({"image": pa.array([None], pa.binary()), "label": [3]}), tmp_path / "t.parquet"
    )
    with pytest.raises(ValueError, match="rows without a value"):
        all_of(load_data(str(tmp_path / "t.parquet")).data)


def test_saved_data_sets(tmp_path: Path) -> None:
    """The layout that datasets' save_to_disk writes: state.json beside Arrow streams."""
    folder = tmp_path / "saved" / "test"
    folder.mkdir(parents=True)
    table = pa.table({"pixel_values": [[0.0, 1.0]] * 3, "label": [0, 1, 2]})
    with pa.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), table.schema) as sink:
        sink.write_table(table)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    (folder / "state.json").write_text(json.dumps(state))
    assert all_of(load_data(str(folder), box=(0, 1)).data)[1].tolist() == [0, 1, 2]
    (folder.parent / "dataset_dict.json").write_text("{}")
    with pytest.raises(ValueError, match=r"the splits test; name one"):
        load_data(str(folder.parent))
    for text in ("[", "{}", json.dumps({"_data_files": [{"filename": "../../other.arrow"}]}), '{"_data_files": []}'):
        (folder / "state.json").write_text(text)
        with pytest.raises(ValueError, match=r"damaged|not there"):
            load_data(str(folder))


def test_data_from_code(place: Path) -> None:
    for name, kind in (("pair", tuple), ("loader", DataLoader)):
        loaded = load_data(f"{place}/nets.py:{name}", box=(0, 1))
        assert isinstance(loaded.data, kind)
        assert all_of(loaded.data)[0].shape == (4, 1, 8, 8)
    with pytest.raises(ValueError, match="give --box 0 1"):
        load_data(f"{place}/nets.py:pair")
    with pytest.raises(ValueError, match=r"makes .* tensors, a Dataset or a DataLoader, got int"):
        load_data(f"{place}/nets.py:number", box=(0, 1))


def test_pickled_tensors(tmp_path: Path) -> None:
    torch.save((BYTES, Y), tmp_path / "pair.pt")
    assert load_data(str(tmp_path / "pair.pt")).box == (0.0, 1.0)  # tensors alone are read without code
    torch.save({"x": X, "y": Y}, tmp_path / "table.pt")
    assert torch.equal(load_data(str(tmp_path / "table.pt"), box=(0, 1)).data[0], X)
    torch.save([X], tmp_path / "one.pt")
    with pytest.raises(ValueError, match="got list"):
        load_data(str(tmp_path / "one.pt"))
    (tmp_path / "cut.pt").write_bytes(b"PK")
    with pytest.raises(ValueError, match="cannot be read"):
        load_data(str(tmp_path / "cut.pt"), trust=True)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": X.numpy()}, "exactly one array of labels .* got none among x"),
        ({"x": X.numpy(), "images": X.numpy(), "y": Y.numpy()}, "exactly one array of inputs .* got images, x"),
        ({"x": X.numpy(), "y": Y.numpy()}, "give --box 0 1"),
        ({"x": X.numpy(), "y": Y.numpy(), "box": [0, 1, 2]}, "'box' is two numbers"),
        ({"x": X.numpy(), "y": Y.numpy(), "box": [1, 0]}, "two numbers lo < hi, got 1 0"),
        ({"x": X.numpy(), "y": Y.numpy(), "box": [0, np.inf]}, "two numbers lo < hi"),
        ({"x": np.array(["a"]), "y": Y.numpy()}, "inputs are numbers and labels integers"),
        ({"x": X.numpy(), "y": Y.numpy().astype(float)}, "labels integers, got float32 and float64"),
        ({"x": np.array([{}]), "y": Y.numpy()}, "no npz file of plain arrays"),
    ],
)
def test_arrays_that_do_not_fit(arrays: Any, said: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(ValueError, match=said):
        load_data(str(tmp_path / "data.npz"))


@pytest.mark.parametrize(
    ("word", "said"),
    [("nothing", "no such folder"), ("{}/none.npz", "There is no file"), ("{}", "no images in folders of classes")],
)
def test_words_that_name_no_data(word: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        load_data(word.format(tmp_path))


@pytest.mark.parametrize(
    ("module", "name"),
    [("safetensors", "a.safetensors"), ("pyarrow", "a.parquet"), ("PIL", "images")],
)
def test_missing_packages_of_data(module: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path / "images", ("a",))
    (tmp_path / name).touch() if "." in name else None
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"maxslope\[data\]"):
        all_of(load_data(str(tmp_path / name)).data)


# --- malformed files -------------------------------------------------------------------------------------------------

WRITERS = {
    "npz": lambda p: np.savez(p, x=X[:2].numpy(), y=Y[:2].numpy(), box=[0, 1]),
    "safetensors": lambda p: save_file({"x": X[:2], "y": Y[:2]}, p, {"box": "0 1"}),
    "parquet": lambda p: pyarrow.parquet.write_table(pa.table({"x": [[0.5]] * 2, "y": [0, 1]}), p),
    "arrow": lambda p: pa.ipc.new_file(str(p), pa.schema([("x", pa.list_(pa.float32())), ("y", pa.int64())])).close(),
    "pt": lambda p: torch.save((X[:2], Y[:2]), p),
    "pt2": lambda p: p.write_bytes(b"PK\x03\x04"),
}


@pytest.mark.parametrize("kind", sorted(WRITERS))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.randoms(use_true_random=False), noise=st.binary(min_size=1, max_size=12))
def test_malformed_files_are_refused_with_a_sentence(kind: str, tmp_path: Path, seed: Any, noise: bytes) -> None:
    """Bytes overwritten, cut off or made up: what is read is data, or the error says what is wrong; nothing is run."""
    path = tmp_path / f"file.{kind}"
    WRITERS[kind](path)
    content = bytearray(path.read_bytes())
    where = seed.randrange(max(len(content) - len(noise), 1))
    content[where : where + len(noise)] = noise
    if seed.random() < 0.3:
        del content[seed.randrange(len(content)) :]
    path.write_bytes(bytes(content))
    try:
        if kind == "pt2":
            load_model(str(path))
        else:
            all_of(load_data(str(path), box=(0, 1)).data)
    except (ValueError, ImportError) as error:
        said = str(error)
    else:
        said = "it was read: the changed bytes are data"
    assert len(said) > 20
    assert "Traceback" not in said


def test_unknown_shapes_are_said_by_name(tmp_path: Path) -> None:
    assert datasets._prepared(torch.zeros(2, 5, dtype=torch.int64), tmp_path)[0].dtype == torch.float32
