"""Budgets and efforts as plain data, and back: only frozen records and classes of this package come back to life."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import math
import re
import types
from typing import Any

import torch
from torch import Tensor

_ROOMS = {"attacks", "criteria", "curve", "energies", "goals", "loop", "realize", "schemes", "sets", "spaces"}
_OLD = "runs that maxslope 0.1 wrote are read by maxslope 0.2"
_NUMBERS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def encode(value: Any) -> Any:
    """Return ``value`` as JSON data: records by class and fields, tensors by entries, foreign objects by name alone.

    >>> from maxslope import Linf
    >>> decode(encode(Linf(0.5))).eps
    0.5
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, Tensor):
        return {"tensor": encode(value.detach().cpu().tolist()), "dtype": str(value.dtype).removeprefix("torch.")}
    if isinstance(value, type | types.FunctionType) and _at_home(value.__module__):
        if "<" not in value.__qualname__:
            return {"name": f"{value.__module__}:{value.__qualname__}"}
    elif dataclasses.is_dataclass(value) and _at_home(type(value).__module__):
        names = [field.name for field in dataclasses.fields(value) if _told(field, value)]
        fields = {name: encode(getattr(value, name)) for name in names}
        return {"record": f"{type(value).__module__}:{type(value).__qualname__}", "fields": fields}
    return {"foreign": f"{type(value).__module__}:{type(value).__qualname__}", "code": _code(value)}


def _told(field: dataclasses.Field[Any], value: Any) -> bool:
    """Whether a field is written: one that later versions ``added`` only where it says something new."""
    new = "added" in field.metadata and getattr(value, field.name) == field.default
    return not new and not field.name.startswith("_")


def _at_home(module: str) -> bool:
    """Whether budgets and efforts are made of what a module holds; others do not come to life.

    >>> _at_home("maxslope.sets.budget"), _at_home("maxslope.report.html")
    (True, False)
    """
    home, _, place = module.partition(".")
    return home == "maxslope" and place.split(".")[0] in _ROOMS and "__" not in place


def _code(value: Any) -> str:
    """A few digits that change with the code of a function, for comparison alone."""
    code = getattr(value, "__code__", None)
    cells = [_shown(cell.cell_contents) for cell in getattr(value, "__closure__", None) or ()]
    own, beside = getattr(value, "__self__", None), getattr(value, "__kwdefaults__", None) or {}
    bound = [*(() if own is None else (own,)), *(getattr(value, "__defaults__", None) or ()), *beside.values()]
    text = _shown(value) if code is None else f"{code.co_code!r} {code.co_names} {code.co_consts} {cells}"
    text += "".join(f" {_shown(thing)}" for thing in bound)
    return hashlib.blake2b(re.sub(r"0x[0-9a-f]+", "", text).encode(), digest_size=8).hexdigest()


def _shown(value: Any) -> str:
    """What an object shows of itself; where that is its address, its attributes, too."""
    text, own = repr(value), getattr(value, "__dict__", None)
    return f"{text} {sorted(own.items())}" if " at 0x" in text and own else text


def decode(data: Any) -> Any:
    """Return what :func:`encode` was given.

    Raises:
        ValueError: for names outside this package, foreign objects, or data of another form.
    """
    try:
        return _decoded(data)
    except RecursionError:
        raise ValueError("Stored data have thousands of brackets inside each other.") from None


def _decoded(data: Any) -> Any:
    if data is None or isinstance(data, bool | int | float | str):
        return data
    if isinstance(data, list):
        return tuple(_decoded(item) for item in data)
    if isinstance(data, dict):
        if data.keys() == {"float"} and data["float"] in _NUMBERS:
            return _NUMBERS[data["float"]]
        if data.keys() == {"tensor", "dtype"}:
            return _tensor(data["tensor"], data["dtype"])
        if data.keys() == {"name"}:
            return _named(data["name"])
        if data.keys() == {"record", "fields"}:
            return _record(data["record"], data["fields"])
        if "foreign" in data:
            raise ValueError(
                f"The run used an object of {data['foreign']}, which is code and not stored; pass the budget and the "
                "effort again."
            )
    raise ValueError(f"Stored data hold numbers, texts, lists and records of maxslope, got {str(data)[:80]!r}.")


def _tensor(entries: Any, name: Any) -> Tensor:
    dtype = getattr(torch, str(name), None)
    try:
        if isinstance(dtype, torch.dtype):
            return torch.tensor(_decoded(entries), dtype=dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"A stored tensor is nested lists of numbers, got another thing: {error}.") from error
    raise ValueError(f"A stored tensor names a dtype of torch, got {name!r}.")


def _record(name: Any, fields: Any) -> Any:
    kind = _named(name)
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(fields, dict)):
        raise ValueError(f"A stored record names a record of maxslope, got {name!r}.")
    if strange := sorted(fields.keys() - {field.name for field in dataclasses.fields(kind)}):
        raise ValueError(f"The stored record {name} has fields that are unknown here, {', '.join(strange)}: {_OLD}.")
    try:
        return kind(**{key: _decoded(value) for key, value in fields.items()})
    except (TypeError, ValueError, AttributeError, ArithmeticError, LookupError, RuntimeError) as error:
        raise ValueError(f"The stored record {name} does not fit this version of maxslope: {error}.") from error


def _named(name: Any) -> Any:
    module, _, path = str(name).partition(":")
    if not _at_home(module) or not path.isidentifier():
        raise ValueError(f"Stored names are those of maxslope's own records, got {name!r}.")
    try:
        found = getattr(importlib.import_module(module), path)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"This version of maxslope has no {name}; another one wrote the run: {_OLD}.") from error
    if not isinstance(found, type | types.FunctionType) or found.__module__ != module:
        raise ValueError(f"Stored names are those of maxslope's own records, got {name!r}.")
    return found
