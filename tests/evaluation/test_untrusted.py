"""Files from other people, read with an attacker's eyes: format by attack. Nothing runs, nothing fills the memory."""

from __future__ import annotations

import io
import json
import pickle
import sys
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

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
