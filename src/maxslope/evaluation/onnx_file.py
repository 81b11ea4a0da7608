"""Models in ONNX."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from maxslope._optional import optional
from maxslope.evaluation._files import beside, needed, without_pickles


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
