"""Networks and estimators in a file: tensors in safetensors, the rest as JSON in its header; nothing in it is code."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maxslope._optional import optional
from maxslope._status import Status
from maxslope.odenet.descent import DescentResult
from maxslope.odenet.design import Depth, Design, Lift
from maxslope.odenet.fields import BoundedTanh, Field, Tanh
from maxslope.odenet.sweep import OdeNet
from maxslope.odenet.tableau import Tableau
from maxslope.sets import Budget
from maxslope.spaces import Lp

_KEY = "maxslope.odenet"
_FORMAT = 1
_FIELDS: dict[str, Field] = {"Tanh": Tanh(), "BoundedTanh": BoundedTanh()}
_FITTED = ("n_features_in_", "n_iter_", "held_out_losses_", "best_step_")


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


def save_estimator(model: Any, path: Path | str, facts: dict[str, Any], more: dict[str, Tensor]) -> None:
    """Write settings, what ``fit`` found and the network of a fitted estimator, and what it adds of its own."""
    network, tensors = packed(model.network_)
    columns = {name: value for name, value in vars(model.run_).items() if isinstance(value, Tensor)}
    said = {
        "estimator": type(model).__name__,
        "settings": {name: _plain(name, value) for name, value in model.get_params(deep=False).items()},
        "fitted": {name: vars(model)[name] for name in _FITTED if name in vars(model)},
        "run": {name: value for name, value in vars(model.run_).items() if name not in columns},
        **facts,
    }
    if "feature_names_in_" in vars(model):
        said["feature_names"] = model.feature_names_in_.tolist()
    run = {f"run.{name}": value for name, value in columns.items()}
    write(path, {**network, **said}, {**tensors, **run, **more})


def load_estimator(model: Any, path: Path | str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Give a new estimator what a file keeps; return the file."""
    said, tensors = read(path)
    if said.get("estimator") != type(model).__name__:
        raise ValueError(
            f"{str(path)!r} holds {said.get('estimator') or 'a network without an estimator'}, not a "
            f"{type(model).__name__}; maxslope.odenet.load reads the network of either."
        )
    model.set_params(**{name: _back(name, value) for name, value in said["settings"].items()})
    for name, value in said["fitted"].items():
        setattr(model, name, value)
    if "feature_names" in said:
        model.feature_names_in_ = np.array(said["feature_names"], dtype=object)
    run: dict[str, Any] = {**said["run"], "status": Status(said["run"]["status"])}
    run |= {name.removeprefix("run."): value for name, value in tensors.items() if name.startswith("run.")}
    model.run_ = DescentResult(**run)
    model.network_ = unpacked(said, tensors)
    return said, tensors


def labels(classes: np.ndarray) -> dict[str, Any]:
    """Return class names for JSON."""
    values = classes.tolist()
    if not all(isinstance(value, str | int | float | bool) for value in values):
        raise ValueError(f"Classes are saved as strings, numbers or booleans, got {classes!r}.")
    return {"dtype": "object" if classes.dtype == object else classes.dtype.str, "values": values}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, Budget):
        eps = torch.as_tensor(value.eps)
        box = None if value.box is None else [torch.as_tensor(b) for b in value.box]
        if not isinstance(value.norm, Lp) or eps.ndim or (box is not None and any(b.ndim for b in box)):
            raise ValueError(f"A budget is saved if its norm is an Lp and eps and box are numbers, got {value!r}.")
        p = "inf" if math.isinf(value.norm.p) else value.norm.p
        bounds = None if box is None else [float(b) if b.isfinite() else str(float(b)) for b in box]  # as in JSON
        return {"p": p, "eps": float(eps), "box": bounds}
    if name == "class_weight" and isinstance(value, dict):
        return [[labels(np.array([key]))["values"][0], float(weight)] for key, weight in value.items()]
    return value.item() if isinstance(value, np.generic) else value


def _back(name: str, value: Any) -> Any:
    if name == "budget" and value is not None:
        box = None if value["box"] is None else (float(value["box"][0]), float(value["box"][1]))
        return Budget(Lp(float(value["p"])), value["eps"], box=box)
    return dict(value) if name == "class_weight" and isinstance(value, list) else value
