"""What a file keeps of a fitted estimator besides its network."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maxslope._status import Status
from maxslope.odenet import store
from maxslope.odenet.descent import DescentResult
from maxslope.sets import Budget
from maxslope.spaces import Lp

Array = np.ndarray
_FITTED = ("n_features_in_", "n_iter_", "held_out_losses_", "best_step_")


def save(model: Any, path: Path | str, facts: dict[str, Any], more: dict[str, Tensor]) -> None:
    """Write settings, what ``fit`` found, and the network."""
    network, tensors = store.packed(model.network_)
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
    store.write(path, {**network, **said}, {**tensors, **run, **more})


def load(model: Any, path: Path | str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Give a new estimator what a file keeps; return the file."""
    said, tensors = store.read(path)
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
    fields = [field.name for field in dataclasses.fields(DescentResult)]
    run |= {name: tensors[f"run.{name}"] for name in fields if f"run.{name}" in tensors}
    model.run_ = DescentResult(**run)
    model.network_ = store.unpacked(said, tensors)
    return said, tensors


def labels(classes: Array) -> dict[str, Any]:
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
        bounds = None if box is None else [_number(float(b)) for b in box]
        return {"p": p, "eps": float(eps), "box": bounds}
    if name == "class_weight" and isinstance(value, dict):
        return [[labels(np.array([key]))["values"][0], float(weight)] for key, weight in value.items()]
    return value.item() if isinstance(value, np.generic) else value


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)  # JSON knows no infinity


def _back(name: str, value: Any) -> Any:
    if name == "budget" and value is not None:
        box = None if value["box"] is None else (float(value["box"][0]), float(value["box"][1]))
        return Budget(Lp(float(value["p"])), value["eps"], box=box)
    return dict(value) if name == "class_weight" and isinstance(value, list) else value
