"""Networks in a file: tensors in safetensors, everything else as JSON in its header; nothing in it is code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maxslope._optional import optional
from maxslope.odenet.design import Depth, Design, Lift
from maxslope.odenet.fields import BoundedTanh, Field, Tanh
from maxslope.odenet.network import OdeNet
from maxslope.odenet.tableau import Tableau

_KEY = "maxslope.odenet"
_FORMAT = 1
_FIELDS: dict[str, Field] = {"Tanh": Tanh(), "BoundedTanh": BoundedTanh()}


def save(network: OdeNet, path: Path | str) -> None:
    """Write a network to a safetensors file.

    Args:
        network: with a field that has a name, :class:`Tanh` or :class:`BoundedTanh`.
        path: of the file; it is replaced.

    Raises:
        ValueError: if the field is a function of the caller's.
        ImportError: if safetensors is not installed.

    >>> import tempfile
    >>> from maxslope.odenet import Design, iid
    >>> design = Design(3, 2, 1)
    >>> network = OdeNet(design, iid(design, 2, 4)[0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(network, Path(folder) / "net.safetensors")
    ...     again = load(Path(folder) / "net.safetensors")
    >>> bool((again.theta == network.theta).all()), again.design.channels
    (True, 3)
    """
    write(path, *packed(network))


def load(path: Path | str) -> OdeNet:
    """Read a network that :func:`save`, an estimator's ``save`` or ``maxslope odenet`` wrote.

    Args:
        path: of the file.

    Returns:
        The network, in evaluation mode.

    Raises:
        ValueError: if the file holds something else.
        ImportError: if safetensors is not installed.
    """
    return unpacked(*read(path))


def packed(network: OdeNet) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return a network as JSON and tensors."""
    design = network.design
    name = type(design.field).__name__
    if name not in _FIELDS:
        raise ValueError(
            f"A file holds no code, so the fields that can be saved are {', '.join(_FIELDS)}, got {design.field!r}; "
            "save network.theta and make the design anew."
        )
    said = {
        "channels": design.channels, "inputs": design.inputs, "outputs": design.outputs, "field": name,
        "depth": {"a": design.depth.tableau.a, "b": design.depth.tableau.b, "substeps": design.depth.substeps},
    }  # fmt: skip
    tensors = {"theta": network.theta.detach()}
    if design.lift is not None:
        tensors |= {"lift.mean": design.lift.mean, "lift.matrix": design.lift.matrix}
    return {"design": said}, tensors


def unpacked(said: dict[str, Any], tensors: dict[str, Tensor]) -> OdeNet:
    """Return the network of ``packed``."""
    d, depth = said["design"], said["design"]["depth"]
    tableau = Tableau(tuple(tuple(row) for row in depth["a"]), tuple(depth["b"]))
    lift = Lift(tensors["lift.mean"], tensors["lift.matrix"]) if "lift.mean" in tensors else None
    design = Design(
        d["channels"], d["inputs"], d["outputs"], _FIELDS[d["field"]], Depth(tableau, depth["substeps"]), lift
    )
    return OdeNet(design, tensors["theta"]).eval().requires_grad_(False)


def write(path: Path | str, said: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write tensors, and JSON in the header, to one file."""
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    header = {_KEY: json.dumps({"format": _FORMAT, **said}, allow_nan=False)}
    _library().torch.save_file(whole, str(path), metadata=header)


def read(path: Path | str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a file of ``write``."""
    if not Path(path).is_file():
        raise ValueError(f"A network is read from a file that exists, got {str(path)!r}.")
    library = _library()
    try:
        with library.safe_open(str(path), framework="pt") as file:
            said = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            tensors = {name: torch.as_tensor(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except library.SafetensorError as error:
        raise ValueError(f"{str(path)!r} is no safetensors file ({error}); save() writes one.") from error
    if said.get("format") != _FORMAT:
        raise ValueError(
            f"A network of maxslope.odenet has format {_FORMAT} in its header, got {said.get('format')!r} in "
            f"{str(path)!r}; save() writes such a file."
        )
    return said, tensors


def _library() -> Any:
    with optional("Networks in files need safetensors", "[flows]"):
        import safetensors
        import safetensors.torch
    return safetensors
