"""What a training is, in words that another process can compare."""

from __future__ import annotations

import dataclasses
import functools
import random
import re
import types
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import TensorDataset

from maxslope._digest import digest_of, digest_of_text

_BETWEEN, _DIGEST = re.compile(r"[][(){},]"), re.compile(r"(?<![.\w])[0-9a-f]{12,}\b")
_STATE = {"clock", "spent", "inspected", "memory", "ratio", "alarms", "until", "floor"}  # of an objective under way


def described(value: Any) -> str:
    """Return a value in words: classes and their settings, tensors by digest, functions by their code.

    >>> from maxslope import Linf
    >>> described(Linf(0.5)) == described(Linf(0.5)), described(Linf(0.5)) == described(Linf(0.25))
    (True, False)
    """
    return _words(value, {})


def _words(value: Any, seen: dict[int, Any]) -> str:
    """Words for a value; an object that was described already is named alone."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | torch.dtype | torch.device):
        return repr(value)
    if isinstance(value, Tensor | np.ndarray):
        return f"tensor {digest_of(torch.as_tensor(value))}"
    if isinstance(value, dict | list | tuple | set | frozenset):
        return _container(value, seen)
    if isinstance(value, functools.partial | types.MethodType | types.FunctionType):
        return _function(value, seen)
    if isinstance(value, type | types.BuiltinFunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    name = type(value).__qualname__
    if id(value) in seen:
        return name
    seen[id(value)] = value
    return f"{name}({_settings(value, seen)})"


def _container(value: Any, seen: dict[int, Any]) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_words(item, seen)}" for key, item in value.items()) + "}"
    found = [_words(item, seen) for item in value]
    return f"[{', '.join(sorted(found) if isinstance(value, set | frozenset) else found)}]"


def _function(value: Any, seen: dict[int, Any]) -> str:
    if isinstance(value, functools.partial):
        return f"partial({_words(value.func, seen)}, {_words(value.args, seen)}, {_words(value.keywords, seen)})"
    if isinstance(value, types.MethodType):
        return f"{_words(value.__func__, seen)} of {_words(value.__self__, seen)}"
    code = value.__code__
    cells = [_words(cell.cell_contents, seen) for cell in value.__closure__ or ()]
    constants = [c for c in code.co_consts if not isinstance(c, types.CodeType)]
    text = f"{code.co_code!r} {code.co_names} {constants} {cells} {_words(value.__defaults__, seen)}"
    return f"{value.__qualname__} {digest_of_text(text)[:12]}"


def _settings(value: Any, seen: dict[int, Any]) -> str:
    """What an object was made with: its fields, or its attributes, without what changes as it is used."""
    if isinstance(value, torch.nn.Module):
        return _words(dict(value.state_dict()), seen)
    if dataclasses.is_dataclass(value):
        held = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    else:
        held = {k: v for k, v in getattr(value, "__dict__", {}).items() if k not in _STATE and not k.startswith("__")}
    return ", ".join(f"{name}={_words(item, seen)}" for name, item in held.items())


def optimizer_words(optimizer: Optimizer) -> str:
    """Return an optimizer's class and settings, with its groups of parameters."""
    groups = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    sizes = [len(group["params"]) for group in optimizer.param_groups]
    return f"{type(optimizer).__qualname__} {described(groups)} of {sizes}"


def schedule_words(scheduler: LRScheduler) -> str:
    """Return a scheduler's class and settings at its beginning; functions that torch leaves out of its state too."""
    rates = getattr(scheduler, "lr_lambdas", None)
    return f"{type(scheduler).__qualname__} {described(scheduler.state_dict())} {described(rates)}"


def data_words(data: Any) -> str:
    """Return a fingerprint of training data: of a ``Dataset`` a few samples, if augmentation keeps them."""
    if isinstance(data, tuple | list):
        return f"tensors {digest_of(*data)}"
    if isinstance(data, TensorDataset):
        return f"tensors {digest_of(*data.tensors)}"
    count = len(data)
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            seen = [(described(data[i]), described(data[i])) for i in sorted({0, count // 2, count - 1})]
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
    same = [first for first, again in seen if first == again]
    return f"{type(data).__qualname__} of {count} samples {digest_of_text(str(same))[:12]}"


def apart(theirs: Any, mine: Any) -> str:
    """Say where two descriptions part: the names of settings and their two values, two settings at most.

    >>> from maxslope import Linf
    >>> apart(described(Linf(0.5)), described(Linf(0.25))), apart("SGD [lr: 0.2]", "Adam [lr: 0.1]"), apart(3, 2)
    ('eps 0.5 there, 0.25 here', 'SGD there, Adam here', '3 there, 2 here')
    """
    a, b = _leaves(str(theirs)), _leaves(str(mine))
    if len(a) == 1 == len(b):
        return _two("", a[0][1], b[0][1])
    pairs = [(one, other) for one, other in zip(a, b, strict=False) if one != other]
    if not pairs:
        return f"{len(a)} settings there, {len(b)} here"
    (name, there), (other, here) = pairs[0]
    if name != other:
        return f"{' '.join(filter(None, (name, there)))} there, {' '.join(filter(None, (other, here)))} here"
    if not name or len(a) != len(b) or [n for n, _ in a] != [n for n, _ in b]:
        return _two(name, there, here)
    more = f", and {len(pairs) - 2} more" if len(pairs) > 2 else ""
    return ", ".join(_two(n, t, h) for (n, t), (_, h) in pairs[:2]) + more


def _two(name: str, there: str, here: str) -> str:
    """Two values of a setting, in words."""
    if "tensor" in there and "tensor" in here:  # digests
        return f"{name} other numbers there, others here".lstrip()
    first, last = (_DIGEST.sub("", value).strip() for value in (there, here))
    if first == last:
        return f"{' '.join(filter(None, (name, first)))} of other code or content there, of another here"
    return f"{name} {_short(first)} there, {_short(last)} here".lstrip()


def _short(value: str) -> str:
    """A number as a person writes it; None in a word."""
    try:
        return f"{float(value):.6g}"
    except ValueError:
        return "none" if value == "None" else value[:40]


def _leaves(text: str) -> list[tuple[str, str]]:
    """The settings of a description in their order, (name, value); what has no name goes by the name before it."""
    found, name = [], ""
    for chunk in _BETWEEN.split(text):
        own, sep, value = chunk.strip().rpartition("=") if "=" in chunk else chunk.strip().rpartition(": ")
        name = own.strip(" '_") if sep else name
        if value.strip(" '=:"):
            found.append((name, value.strip(" '=:")))
    return found
