"""Programs of torch.export, and models in ONNX, read without running what their author may have put into them.

``torch.export.load`` unpickles whatever does not look like plain tensors, evaluates expressions and guards, writes
names into source code that it runs, imports modules that a tree names, and loads compiled libraries. So an archive is
taken apart here, only tensors and a graph of known operations are taken over, and a new archive of these is handed to
torch: what torch reads was written by this module.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maxslope._optional import optional
from maxslope.evaluation._files import beside, needed, unpacked, without_pickles

_MARKS = {
    "archive_format", "archive_version", "version", "byteorder", ".format_version", ".storage_alignment",
    ".data/version", ".data/serialization_id",
}  # fmt: skip
_GRAPH = re.compile(r"models/\w+\.json|serialized_exported_program\.json")
_CONFIG = re.compile(r"data/(?:weights|constants)/\w+_config\.json")
_RAW = re.compile(r"data/(?:weights/weight|constants/tensor)_\d+")
_TENSORS = re.compile(r"data/(?:weights|constants|sample_inputs)/\w+\.pt|serialized_\w+\.pt")
_DROPPED = ("extra/", "extra_files/")
_WORD = re.compile(r"[\w.\-/@]*", re.ASCII)
_TEXT = re.compile(r"[\w .,>:+\-/]*", re.ASCII)  # an argument of an operation: "same", "bij,bjk->bik", "cuda:0"
_EXPRESSION = re.compile(r"[0-9+\-*/%<>=(), .]{0,500}")
_NAMES = re.compile(
    r"Symbol\('[su]\d+'(?:, (?:positive|integer)=True)*\)|"
    r"\b(?:[su]\d+|Integer|Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CeilDiv|CleanDiv|Eq|Ne|True|False|oo)\b"
)
_TARGET = re.compile(
    r"_operator\.(?:eq|ne|le|ge|lt|gt|neg|pos|mul|add|sub|floordiv|mod|pow|truediv|and_|or_|lshift|rshift|getitem)|"
    r"math\.(?:trunc|ceil|floor)|torch\._?sym_\w+|torch\.ops\.higher_order\.(?:wrap_with_set_grad_enabled|cond)|"
    r"torch\.ops\.(?:aten\.(?!from_file\b|_print\b|save\b)|prims\.|quantized_decomposed\.)\w+\.\w+",
    re.ASCII,
)
_TREES = {None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}


class SuspectError(Exception):
    """What an archive holds that can run code, in words."""


def load_exported(path: Path, *, trust: bool, most: int | None = None) -> nn.Module:
    """Return the module of a program that torch.export saved; with ``trust`` torch reads it as it is."""
    needed(path)
    try:
        if trust:
            return torch.export.load(path).module()
        with without_pickles():
            return torch.export.load(plain_archive(path, most)).module()
    except SuspectError as reason:
        raise ValueError(
            f"{path} {reason}, which can run code when it is read; add --trust if you made it yourself."
        ) from reason
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"{path} is no file of torch.export that this version of torch reads ({type(error).__name__}: {error})."
        ) from error


def plain_archive(path: Path, most: int | None = None) -> io.BytesIO:
    """Return an archive that holds what is tensors and a graph in another one; SuspectError for what can run code."""
    members = _members(path, most)
    packed = {name: len(content) for name, content in members.items()}
    made, root = io.BytesIO(), "archive/" if "archive_format" in members else ""
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in members.items():
            if (clean := _taken(name, content, packed)) is not None:
                archive.writestr(root + name, clean)
    made.seek(0)
    return made


def _members(path: Path, most: int | None) -> dict[str, bytes]:
    """The members of an archive by name, without the folder that holds them all."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked(path, archive, most)
            names = archive.namelist()
            if len(set(names)) != len(names):
                raise SuspectError("holds two members of one name")
            found = {name: archive.read(name) for name in names if not name.endswith("/")}
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, UnicodeError) as error:
        raise ValueError(f"{path} is no file of torch.export: {error}.") from error
    roots = {name.partition("/")[0] for name in found}
    if len(roots) == 1 and all("/" in name for name in found):
        found = {name.partition("/")[2]: content for name, content in found.items()}
    return found


def _taken(name: str, content: bytes, packed: dict[str, int]) -> bytes | None:
    """What is taken over of a member; None for what is left out."""
    if name in _MARKS:
        if len(content) > 64 or not content.strip().isascii():
            raise SuspectError(f"holds a mark {name} of {len(content)} bytes")
        return content
    if name.startswith(_DROPPED):
        return None
    if _RAW.fullmatch(name):
        return content
    if _TENSORS.fullmatch(name):
        return _tensors(name, content)
    if not _GRAPH.fullmatch(name) and not _CONFIG.fullmatch(name):
        raise SuspectError(f"holds {name[:60]!r}, which is no graph and no tensor")
    try:
        found = json.loads(content)
        if _CONFIG.fullmatch(name):
            _config(found, name.rpartition("/")[0], packed)
        return json.dumps(_clean(found, "")).encode()
    except RecursionError:
        raise SuspectError(f"holds {name} with thousands of brackets inside each other") from None
    except ValueError as error:
        raise ValueError(f"{name} is damaged: {error}") from error


def _tensors(name: str, content: bytes) -> bytes:
    """Tensors in plain containers, packed anew."""
    if not content:
        return content
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        raise SuspectError(f"holds pickled objects ({name})") from error
    made = io.BytesIO()
    torch.save(found, made)
    return made.getvalue()


def _config(found: Any, folder: str, packed: dict[str, int]) -> None:
    """Raise unless weights are raw bytes that are there, as many as their shapes say."""
    table = found.get("config") if isinstance(found, dict) else None
    if not isinstance(table, dict):
        raise ValueError("a list of weights has a table 'config'")
    for key, item in table.items():
        if not isinstance(item, dict) or item.get("use_pickle") or not isinstance(item.get("tensor_meta"), dict):
            raise SuspectError(f"holds pickled objects (for {key[:40]!r})")
        place = f"{folder}/{item.get('path_name')}"
        if not _RAW.fullmatch(place):
            raise SuspectError(f"holds pickled objects ({place[:60]!r})")
        if not packed.get(place) and all(size != {"as_int": 0} for size in item["tensor_meta"].get("sizes", [])):
            raise ValueError(f"there are no bytes for the weight {key!r}")


def _clean(item: Any, key: str) -> Any:
    """A graph without what is not needed to compute it; SuspectError for names, operations or expressions unknown."""
    if isinstance(item, dict):
        if item.get("use_pickle") and item.get("tensor_meta") is None:
            raise SuspectError("holds pickled constants")
        for name in item:
            if not _WORD.fullmatch(name):
                raise SuspectError(f"holds the name {name[:40]!r}")
        return {name: {} if name == "metadata" else _clean(value, name) for name, value in item.items()}
    if key == "guards_code":
        return []
    if isinstance(item, list):
        return [_clean(value, key) for value in item]
    if isinstance(item, str):
        _check_text(item, key)
    return item


def _check_text(text: str, key: str) -> None:
    if key in ("in_spec", "out_spec"):
        _check_tree(text)
    elif key == "expr_str":
        if not _EXPRESSION.fullmatch(_NAMES.sub("", text)):
            raise SuspectError(f"holds the expression {text[:40]!r}")
    elif key in ("target", "as_operator"):
        if not _TARGET.fullmatch(text):
            raise SuspectError(f"calls {text[:60]!r}")
    elif not (_TEXT if key in ("as_string", "as_strings", "torch_version") else _WORD).fullmatch(text):
        raise SuspectError(f"holds the name {text[:40]!r}")


def _check_tree(text: str) -> None:
    """Raise unless a tree is one of tuples, lists and tables: others import the module they name."""
    if not text:
        return
    todo = [json.loads(text)[1]]
    while todo:
        tree = todo.pop()
        if tree["type"] not in _TREES:
            raise SuspectError(f"holds a tree of {str(tree['type'])[:40]!r}")
        context = tree["context"]
        names = json.loads(context) if isinstance(context, str) else context
        if names is not None and not (isinstance(names, list) and all(isinstance(n, str | int) for n in names)):
            raise SuspectError(f"holds a tree of {str(names)[:40]!r}")
        todo += tree["children_spec"]


def load_onnx(path: Path) -> nn.Module:
    """Return the module of an ONNX file; ValueError if it cannot be converted, or names a file elsewhere.

    Names of nodes end up in source code that torch.fx runs, so they are given anew; weights come from the file or from
    files beside it.
    """
    needed(path)
    with optional("Models in ONNX need onnx2torch", "[onnx]"):
        import onnx
        from onnx2torch import convert
    try:
        found = onnx.load(str(path), load_external_data=False)
        for k, item in enumerate(_messages(found)):
            if item.DESCRIPTOR.name == "NodeProto":
                item.name = f"node_{k}"
            elif item.DESCRIPTOR.name == "TensorProto":
                beside(path, {entry.key: entry.value for entry in item.external_data}.get("location", ""))
        onnx.load_external_data_for_model(found, str(path.resolve().parent))
        with without_pickles():
            model: nn.Module = convert(found)
    except Exception as error:
        raise ValueError(f"{path} cannot be converted from ONNX: {type(error).__name__}: {error}.") from error
    return model


def _messages(found: Any) -> Iterator[Any]:
    """All parts of a model: graphs inside attributes, functions and sparse tensors included."""
    from google.protobuf.message import Message

    todo = [found]
    while todo:
        item = todo.pop()
        yield item
        for field, value in item.ListFields():
            if field.type == field.TYPE_MESSAGE:
                todo += [value] if isinstance(value, Message) else value
