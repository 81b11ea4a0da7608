"""Where a run took place, and what it was about."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from maxslope._digest import digest_of, digest_of_text
from maxslope.energies import Randomized


def environment() -> dict[str, Any]:
    """Return versions, system and devices."""
    cuda = torch.cuda.is_available()
    return {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "devices": [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())] if cuda else [],
    }


def identity(model: Any) -> str:
    """Return a fingerprint of a model: class, layers and the bits of its weights; of a function, its name.

    Of a random model, also how it is asked.

    >>> a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    >>> identity(a) == identity(a), identity(a) == identity(b)
    (True, False)
    """
    if isinstance(model, Randomized):
        asked = (model.draws, model.votes, model.confidence, model.seed)
        return f"Randomized {asked} of {identity(model.model)}"
    if not isinstance(model, nn.Module):
        kind = model if callable(getattr(model, "__name__", None)) else type(model)
        return f"{kind.__module__}:{getattr(model, '__qualname__', kind.__qualname__)}"
    state = model.state_dict()
    names = ",".join(state)
    tensors = [value for value in state.values() if isinstance(value, torch.Tensor)]
    return f"{type(model).__qualname__} {digest_of_text(repr(model) + names)} {digest_of(*tensors)}"


def toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Return tables of texts, numbers, truths and lists of numbers as TOML; None is left out.

    >>> toml({"run": {"eps": "8/255", "seed": 0}}).splitlines()
    ['[run]', 'eps = "8/255"', 'seed = 0']
    """
    blocks = []
    for title, table in tables.items():
        lines = [f"{key} = {_value(value)}" for key, value in table.items() if value is not None]
        blocks.append("\n".join([f"[{title}]", *lines]))
    return "\n\n".join(blocks) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(c, c if c.isprintable() else f"\\U{ord(c):08x}") for c in str(value)) + '"'
