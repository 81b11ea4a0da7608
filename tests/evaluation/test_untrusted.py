"""Files from other people, read with an attacker's eyes: format by attack. Nothing runs, nothing fills the memory."""

from __future__ import annotations

import io
import json
import pickle
import struct
import sys
import types
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from torch import nn

from maxslope.evaluation import _files, models
from maxslope.evaluation._codec import decode
from maxslope.evaluation.datasets import load_data
from maxslope.evaluation.models import load_model
from nets import answers, conv, images

NET = conv()
X = images(12)
Y = answers(NET, X)
ROWS = torch.export.Dim("rows", min=2, max=4096)


class Witness:
    """Leaves a trace when it is unpickled."""

    path = ""

    def __reduce__(self) -> Any:
        return (open, (self.path, "w"))


@pytest.fixture
def trace(tmp_path: Path) -> Iterator[Path]:
    """What code from a file would leave behind; that it is absent is asked at the end of every test."""
    Witness.path = str(tmp_path / "trace")
    yield tmp_path / "trace"
    assert not (tmp_path / "trace").exists()


def touch(trace: Path) -> str:
    """An expression that leaves the trace."""
    return f"__import__('pathlib').Path({str(trace)!r}).touch()"


def saved(thing: Any) -> bytes:
    made = io.BytesIO()
    torch.save(thing, made)
    return made.getvalue()


# --- exported programs -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The members of an exported network, without the folder that holds them all."""
    path = tmp_path_factory.mktemp("export") / "net.pt2"
    torch.export.save(torch.export.export(NET, (X[:4],), dynamic_shapes=({0: ROWS},)), path)
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def pack(path: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_STORED, root: str = "net/") -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(root + name, content)
    return path


def test_plain_programs_are_read(members: dict[str, bytes], tmp_path: Path, trace: Path) -> None:
    more = members | {"extra/note": b"anything"}
    for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        model = load_model(str(pack(tmp_path / "net.pt2", more, kind)))
        assert torch.equal(model(X), NET(X))


@pytest.mark.parametrize("name", ["data/sample_inputs/model.pt", "data/constants/model.pt", "data/weights/model.pt"])
@pytest.mark.parametrize("protocol", [*range(6), None])
def test_pickles_of_any_protocol(
    protocol: int | None, name: str, members: dict[str, bytes], tmp_path: Path, trace: Path
) -> None:
    content = saved(Witness()) if protocol is None else pickle.dumps(Witness(), protocol)
    path = pack(tmp_path / "net.pt2", members | {name: content})
    with pytest.raises(ValueError, match=r"holds pickled objects .*can run code"):
        load_model(str(path))


def edited(members: dict[str, bytes], name: str, change: Callable[[Any], None]) -> dict[str, bytes]:
    """The members with one of JSON changed."""
    found = json.loads(members[name])
    change(found)
    return members | {name: json.dumps(found).encode()}


GRAPH, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"


def first_node(found: Any) -> Any:
    return found["graph_module"]["graph"]["nodes"][0]


def values(found: Any) -> Any:
    return found["graph_module"]["graph"]["tensor_values"]


def tree_of(found: Any, tree: Any) -> None:
    found["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = json.dumps([1, tree])


FACTORY = {"default_factory_module": "antigravity", "default_factory_name": "webbrowser", "dict_context": []}
ENUM = json.dumps({"__enum__": True, "fqn": "antigravity:webbrowser", "name": "x"})

EDITS: dict[str, tuple[str, Callable[[Any, str], Any], str]] = {
    "expression": (
        GRAPH,
        lambda g, code: values(g)["input"]["sizes"][0]["as_expr"].update(expr_str=code),
        "holds the expression",
    ),
    "name of an input": (
        GRAPH,
        lambda g, code: g["graph_module"]["graph"]["inputs"][9]["as_tensor"].update(name=f"x={code}"),
        "holds the name",
    ),
    "name of a value": (
        GRAPH,
        lambda g, code: values(g).update({f"x={code}": {}}),
        "holds the name",
    ),
    "name of a weight": (
        GRAPH,
        lambda g, code: g["graph_module"]["signature"]["input_specs"][0]["parameter"].update(
            parameter_name=f'a"), {code}, ("'
        ),
        "holds the name",
    ),
    "an operation of another library": (
        GRAPH,
        lambda g, code: first_node(g).update(target="torch.ops.image.write_file.default"),
        "calls 'torch.ops.image.write_file.default'",
    ),
    "an operation that writes": (
        GRAPH,
        lambda g, code: first_node(g).update(target="torch.ops.aten.from_file.default"),
        "calls 'torch.ops.aten.from_file.default'",
    ),
    "a function": (GRAPH, lambda g, code: first_node(g).update(target="torch.hub.load"), "calls 'torch.hub.load'"),
    "a tree with a factory": (
        GRAPH,
        lambda g, code: tree_of(
            g, {"type": "collections.defaultdict", "context": FACTORY, "children_spec": []}
        ),
        "holds a tree of 'collections.defaultdict'",
    ),
    "a tree with an enum": (
        GRAPH,
        lambda g, code: tree_of(g, {"type": "builtins.dict", "context": ENUM, "children_spec": []}),
        "holds a tree of",
    ),
    "a pickled weight with a shape": (
        WEIGHTS,
        lambda w, code: w["config"]["0.weight"].update(use_pickle=True),
        "holds pickled objects",
    ),
    "an opaque constant": (
        CONSTANTS,
        lambda w, code: w["config"].update(a={"path_name": "opaque_obj_0", "use_pickle": False, "tensor_meta": {}}),
        "holds pickled objects",
    ),
    "a weight elsewhere": (
        WEIGHTS,
        lambda w, code: w["config"]["0.weight"].update(path_name="../sample_inputs/model.pt"),
        "holds pickled objects",
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", EDITS)
def test_graphs_that_could_run_code(attack: str, members: dict[str, bytes], tmp_path: Path, trace: Path) -> None:
    name, change, said = EDITS[attack]
    path = pack(tmp_path / "net.pt2", edited(members, name, lambda found: change(found, touch(trace))))
    with pytest.raises(ValueError, match=f"{said}.*can run code"):
        load_model(str(path))
    assert "antigravity" not in sys.modules


def test_guards_are_not_run(members: dict[str, bytes], tmp_path: Path, trace: Path) -> None:
    """torch makes a function of these texts, and calls it with every input."""
    path = pack(tmp_path / "net.pt2", edited(members, GRAPH, lambda g: g.update(guards_code=[touch(trace)])))
    assert torch.equal(load_model(str(path))(X), NET(X))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("data/aotinductor/model/net.so", "which is no graph and no tensor"),
        ("data/constants/opaque_obj_0", "which is no graph and no tensor"),
        ("data/constants/custom_obj_0", "which is no graph and no tensor"),
        ("code/__torch__.py", "which is no graph and no tensor"),
        ("data.pkl", "which is no graph and no tensor"),
        ("data/sample_inputs/../../models/model.json", "which is no graph and no tensor"),
        ("MODELS/model.json", "which is no graph and no tensor"),
    ],
)
def test_members_that_are_no_tensors(
    name: str, said: str, members: dict[str, bytes], tmp_path: Path, trace: Path
) -> None:
    path = pack(tmp_path / "net.pt2", members | {name: pickle.dumps(Witness(), 0)})
    with pytest.raises(ValueError, match=f"{said}.*can run code"):
        load_model(str(path))


def test_archives_that_two_readers_read_differently(members: dict[str, bytes], tmp_path: Path, trace: Path) -> None:
    path = pack(tmp_path / "net.pt2", members)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("net/data/sample_inputs/model.pt", pickle.dumps(Witness(), 0))
    with pytest.raises(ValueError, match="two members of one name"):
        load_model(str(path))
    ahead = pack(tmp_path / "evil.pt2", members | {"data/sample_inputs/model.pt": pickle.dumps(Witness(), 0)})
    path.write_bytes(ahead.read_bytes() + pack(tmp_path / "good.pt2", members).read_bytes())  # the last one counts
    assert torch.equal(load_model(str(path))(X), NET(X))


def test_deep_and_empty_programs(members: dict[str, bytes], tmp_path: Path, trace: Path) -> None:
    deep = pack(tmp_path / "deep.pt2", members | {GRAPH: b"[" * 100_000 + b"]" * 100_000})
    with pytest.raises(ValueError, match="thousands of brackets"):
        load_model(str(deep))
    huge = edited(members, WEIGHTS, lambda w: w["config"]["0.weight"]["tensor_meta"].update(sizes=[{"as_int": 2**40}]))
    with pytest.raises(ValueError, match=r"no bytes for the weight '0.weight'"):
        load_model(str(pack(tmp_path / "huge.pt2", huge | {"data/weights/weight_0": b""})))
    nothing = pack(tmp_path / "nothing.pt2", {"archive_format": b"pt2"})
    with pytest.raises(ValueError, match=r"no file of torch\.export"):
        load_model(str(nothing))


def test_older_programs_hold_pickles_of_tensors(members: dict[str, bytes], tmp_path: Path, trace: Path) -> None:
    """The layout of torch 2.6: everything in one folder, weights in files of torch.save."""
    old = {"version": b"8.20", "serialized_exported_program.json": members[GRAPH]}
    old |= {f"serialized_{name}.pt": saved({}) for name in ("state_dict", "constants", "example_inputs")}
    for name in ("state_dict", "constants", "example_inputs"):
        evil = old | {f"serialized_{name}.pt": pickle.dumps(Witness(), 0)}
        with pytest.raises(ValueError, match="pickled objects"):
            load_model(str(pack(tmp_path / "net.pt2", evil, root="")))
    with pytest.raises(ValueError, match="which is no graph and no tensor"):
        load_model(str(pack(tmp_path / "net.pt2", old | {"serialized_state_dict.json": b""}, root="")))


# --- ONNX ------------------------------------------------------------------------------------------------------------


def onnx_model(name: str = "relu", place: str = "") -> Any:
    onnx = pytest.importorskip("onnx")
    kind, shape = onnx.TensorProto.FLOAT, [None, 3]
    x, y = (onnx.helper.make_tensor_value_info(word, kind, shape) for word in ("x", "y"))
    weight = onnx.helper.make_tensor("w", kind, [3], [1.0, 1.0, 1.0])
    if place:
        weight.ClearField("float_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", place), ("length", "12")):
            entry = weight.external_data.add()
            entry.key, entry.value = key, value
    node = onnx.helper.make_node("Mul", ["x", "w"], ["y"], name=name)
    return onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [y], [weight]), ir_version=8)


class Traced(nn.Module):
    """Stands in for what onnx2torch makes: a graph that calls modules by the names of nodes."""

    @staticmethod
    def of(graph: Any) -> nn.Module:
        root, traced = nn.Module(), torch.fx.Graph()
        x = traced.placeholder("input_1")
        for node in graph.graph.node:
            root.add_module(node.name, nn.ReLU())
            x = traced.call_module(node.name, (x,))
        traced.output(x)
        return torch.fx.GraphModule(root, traced)


def test_names_in_onnx_do_not_end_up_in_code(tmp_path: Path, trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx2torch", types.SimpleNamespace(convert=Traced.of))
    found = onnx_model(f'training"), getattr(open({str(trace)!r}, "w"), "close")(), str("')  # a name has no points
    with pytest.raises(TypeError):
        Traced.of(found)(X)
    trace.unlink()  # the attack is real
    (tmp_path / "net.onnx").write_bytes(found.SerializeToString())
    assert torch.equal(load_model(str(tmp_path / "net.onnx"))(-X), torch.zeros_like(X))


@pytest.mark.parametrize("place", ["../secret", "/etc/hostname", "link"])
def test_weights_of_onnx_lie_beside_it(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx2torch", types.SimpleNamespace(convert=Traced.of))
    (tmp_path / "secret").write_bytes(bytes(12))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "model" / "net.onnx").write_bytes(onnx_model(place=place).SerializeToString())
    with pytest.raises(ValueError, match="does not lie beside it"):
        load_model(str(tmp_path / "model" / "net.onnx"))
    (tmp_path / "model" / "weights").write_bytes(bytes(12))
    (tmp_path / "model" / "net.onnx").write_bytes(onnx_model(place="weights").SerializeToString())
    assert load_model(str(tmp_path / "model" / "net.onnx")) is not None


# --- code ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["def make(): raise SystemExit(0)", "raise SystemExit(0)", "def make(): exit()"])
def test_factories_that_end_the_process(body: str, tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(body)
    with pytest.raises(ValueError, match="failed with SystemExit"):
        load_model(f"{tmp_path}/nets.py:make")


# --- data: pickles ---------------------------------------------------------------------------------------------------


def table(more: dict[bytes, bytes] | None = None, kind: Any = None) -> Any:
    x = pa.array([[0.5, 1.0]] * 3, kind or pa.list_(pa.float32()))
    return pa.table({"x": x, "y": [0, 1, 0]}).replace_schema_metadata(more)


def pickled_kind(place: str) -> Any:
    """A schema whose column says that a pickle tells its type, as pyarrow once believed (CVE-2023-47248)."""
    extension = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Witness(), 2),
    }
    field = pa.field("x", pa.list_(pa.float32()), metadata=extension)
    return table().cast(pa.schema([field, pa.field("y", pa.int64())]))


def to_arrow(found: Any, path: Path, compression: str | None = None) -> None:
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(str(path), found.schema, options=options) as sink:
        sink.write_table(found)


PICKLED: dict[str, Callable[[Path], Any]] = {
    "an array of objects.npz": lambda p: np.savez(p, x=np.array([Witness()] * 2), y=np.zeros(2, int)),
    "labels of objects.npz": lambda p: np.savez(p, x=np.zeros((2, 2)), y=np.array([Witness()] * 2)),
    "a box of objects.npz": lambda p: np.savez(
        p, x=np.zeros((2, 2)), y=np.zeros(2, int), box=np.array([Witness()] * 2)
    ),
    "a bare pickle.npz": lambda p: p.write_bytes(pickle.dumps(Witness(), 0)),
    "a pickle inside.npz": lambda p: pack(p, {"x.npy": pickle.dumps(Witness(), 0), "y.npy": b""}, root=""),
    "a bare pickle.pt": lambda p: p.write_bytes(pickle.dumps(Witness(), 0)),
    "a newer pickle.pt": lambda p: p.write_bytes(pickle.dumps((Witness(), 1), 5)),
    "an archive.pt": lambda p: torch.save((Witness(), torch.zeros(2)), p),
    "of the old layout.pt": lambda p: torch.save((Witness(), 1), p, _use_new_zipfile_serialization=False),
    "a script.pt": lambda p: torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(str(p)),
    "a pickle.safetensors": lambda p: p.write_bytes(pickle.dumps(Witness(), 0)),
    "a pickle.parquet": lambda p: p.write_bytes(pickle.dumps(Witness(), 0)),
    "a pickle.arrow": lambda p: p.write_bytes(pickle.dumps(Witness(), 0)),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", PICKLED)
def test_data_with_pickles_are_refused(name: str, tmp_path: Path, trace: Path) -> None:
    PICKLED[name](tmp_path / name)
    with pytest.raises(ValueError, match=r"no npz|cannot be read|its header has"):
        load_data(str(tmp_path / name), unbounded=True)
    if name.endswith(".pt"):
        with pytest.raises(ValueError, match="that can be read without running code"):
            models._weights(tmp_path / name)


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize("where", ["pandas", "maxslope", "column"])
def test_pickles_in_metadata_are_left_alone(where: str, ending: str, tmp_path: Path, trace: Path) -> None:
    evil = pickle.dumps(Witness(), 0)
    found = pickled_kind(where) if where == "column" else table({where.encode(): evil})
    path = tmp_path / f"data.{ending}"
    pyarrow.parquet.write_table(found, path) if ending == "parquet" else to_arrow(found, path)
    assert load_data(str(path), unbounded=True).data.rows(0, 3)[0].shape == (3, 2)


# --- data: more than there is room for -------------------------------------------------------------------------------


def npz_of(path: Path, shape: tuple[int, ...], descr: str = "|u1", content: bytes = b"") -> None:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": descr, "fortran_order": False, "shape": shape})
    labels = io.BytesIO()
    np.save(labels, np.zeros(shape[0] if 0 < shape[0] < 100 else 1, int))
    pack(path, {"x.npy": head.getvalue() + content, "y.npy": labels.getvalue()}, zipfile.ZIP_DEFLATED, root="")


def png_of(path: Path, width: int, height: int) -> None:
    """A picture whose size stands there, and hardly anything else."""
    path.parent.mkdir()
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in parts]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def equal_rows(path: Path, wide: int = 1 << 12) -> None:
    """Rows of one long value: a dictionary of one, and numbers that point to it."""
    found = pa.table({"x": pa.array([b"\0" * wide] * 4096), "y": pa.array([0] * 4096)})
    pyarrow.parquet.write_table(found, path, compression="zstd", use_dictionary=True)


def repeated_in_torch(path: Path, count: int = 1 << 40) -> None:
    torch.save((torch.zeros(1).expand(count), torch.zeros(1, dtype=torch.int64)), path)


def packed_torch(path: Path) -> None:
    torch.save((torch.zeros(1 << 21), torch.zeros(1, dtype=torch.int64)), path.with_suffix(".raw"))
    with zipfile.ZipFile(path.with_suffix(".raw")) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.namelist():
            new.writestr(item, old.read(item))


def header_of(path: Path, length: int) -> None:
    path.write_bytes(length.to_bytes(8, "little") + b"{}" * 40)


LARGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "zeros that are packed.npz": (lambda p: npz_of(p, (5 << 20,), content=bytes(5 << 20)), "GiB of memory"),
    "small numbers become large ones.npz": (lambda p: npz_of(p, (1 << 20,), content=bytes(1 << 20)), "GiB of memory"),
    "a shape of its own.npz": (lambda p: npz_of(p, (2**50,)), "GiB of memory"),
    "a shape beyond numbers.npz": (lambda p: npz_of(p, (2**40, 2**40, 2**40)), "GiB of memory"),
    "a shape beyond its bytes.npz": (lambda p: npz_of(p, (1 << 19,)), "more than the"),
    "a negative shape.npz": (lambda p: npz_of(p, (-1, 5)), "has no size"),
    "bytes of no length.npz": (lambda p: npz_of(p, (2**40,), "|S0"), "has no size"),
    "a picture.parts": (
        lambda p: png_of(p / "0" / "a.png", 60_000, 60_000),
        "more than the 262144 pixels that are allowed",
    ),
    "equal rows.parquet": (equal_rows, "GiB of memory"),
    "compressed.arrow": (
        lambda p: to_arrow(pa.table({"x": pa.array(np.zeros(1 << 20)), "y": pa.array([0] * (1 << 20))}), p, "zstd"),
        "GiB of memory",
    ),
    "compressed as well.arrow": (
        lambda p: to_arrow(pa.table({"x": pa.array(np.zeros(1 << 20)), "y": pa.array([0] * (1 << 20))}), p, "lz4"),
        "GiB of memory",
    ),
    "one number, repeated.pt": (repeated_in_torch, "GiB of memory"),
    "compressed.pt": (packed_torch, "GiB of memory"),
    "a header of its own.safetensors": (lambda p: header_of(p, 2**40), "its header has"),
    "a negative header.safetensors": (lambda p: header_of(p, 2**64 - 1), "its header has"),
    "no header.safetensors": (lambda p: header_of(p, 0), "its header has"),
}


@pytest.mark.parametrize("name", LARGE)
def test_sizes_are_bounded_before_memory_is_taken(name: str, tmp_path: Path) -> None:
    """Under a limit of 4 MiB, here; what is allowed by default is asked below."""
    write, said = LARGE[name]
    path = tmp_path / name
    if name.endswith(".parts"):
        path.mkdir()
    write(path)
    with pytest.raises(ValueError, match=said):
        load_data(str(path), unbounded=True, most=4 << 20).data.rows(0, 1)


def test_what_a_file_may_take_by_default(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1000))
    _files.bounded(tmp_path / "a", 1 << 30)
    with pytest.raises(
        ValueError, match=r"a has 1000 bytes and asks for 2.73 GiB .* 1 GiB are allowed.*--memory GIGABYTES"
    ):
        _files.bounded(tmp_path / "a", int(2.73 * 2**30))
    _files.bounded(tmp_path / "a", int(2.73 * 2**30), 3 << 30)
    with (tmp_path / "a").open("wb") as file:
        file.truncate(1 << 25)  # a large file may take 64 times its size
    _files.bounded(tmp_path / "a", 1 << 31)


def test_a_limit_can_be_raised(tmp_path: Path) -> None:
    npz_of(tmp_path / "a.npz", (8, 1 << 18), content=bytes(1 << 21))
    with pytest.raises(ValueError, match="--memory"):
        load_data(str(tmp_path / "a.npz"), most=8 << 20)
    found = load_data(str(tmp_path / "a.npz"), most=16 << 20)
    assert found.data[0].shape == (8, 1 << 18)


def test_arrays_of_other_orders_are_read(tmp_path: Path) -> None:
    x = np.arange(24.0).reshape(4, 3, 2)
    arrays = {"x": np.asfortranarray(x).astype(">f8"), "y": np.zeros(4, dtype=">i2"), "box": np.array([0, 30])}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    assert torch.equal(load_data(str(tmp_path / "a.npz")).data[0], torch.from_numpy(x))


# --- data: names of other files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["../secret.png", "/etc/passwd", "link.png"])
def test_pictures_of_a_table_lie_beside_it(place: str, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "data").mkdir()
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / "secret.png")
    (tmp_path / "data" / "link.png").symlink_to(tmp_path / "secret.png")
    column = pa.array([{"bytes": None, "path": place}])
    pyarrow.parquet.write_table(pa.table({"image": column, "label": [0]}), tmp_path / "data" / "a.parquet")
    with pytest.raises(ValueError, match="does not lie beside it"):
        load_data(str(tmp_path / "data" / "a.parquet")).data.rows(0, 1)


def test_pictures_that_start_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow hands PostScript to Ghostscript, whatever the name of the file is."""
    from PIL import EpsImagePlugin

    def start(*words: Any, **options: Any) -> None:
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", start)
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "a.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 2 2\n%%EndComments\nshowpage\n%%EOF\n"
    )
    with pytest.raises(ValueError, match="no image that can be read"):
        load_data(str(tmp_path)).data.rows(0, 1)


@pytest.mark.parametrize("text", ["[" * 100_000, "{" * 100_000, '{"_data_files": [' + "[" * 50_000])
def test_descriptions_that_are_bombs(text: str, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(ValueError, match=r"state\.json"):
        load_data(str(tmp_path), unbounded=True)
    with pytest.raises(ValueError, match="thousands of brackets"):
        decode(nested(100_000))


def nested(depth: int) -> Any:
    found: Any = 1
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(
    "name",
    [
        "maxslope._digest:whole",
        "maxslope.report.html:write",
        "maxslope.training.checkpoint:Checkpoint",
        "maxslope.attacks:__getattr__",
        "maxslope.attacks.__init__:x",
        "maxslopes.attacks.rule:Rule",
        "maxslope.attacks.rule:Rule.__init__",
        "maxslope..attacks:x",
    ],
)
def test_only_records_of_budgets_and_efforts_come_to_life(name: str) -> None:
    for data in ({"name": name}, {"record": name, "fields": {}}):
        with pytest.raises(ValueError, match=r"[Ss]tored|has no"):
            decode(data)
