"""Public names that have changed: they go on until 0.3, and say what they are called now."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def former(room: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a room some of whose names have changed.

    Args:
        room: the module's ``__name__``.
        names: from the names until now to those that it has.

    >>> former("maxslope.loop", {"Feed": "Driver"})("Food")
    Traceback (most recent call last):
    ...
    AttributeError: module 'maxslope.loop' has no attribute 'Food'
    """

    def found(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        warnings.warn(f"{room}.{name} is now {room}.{names[name]}.", DeprecationWarning, stacklevel=3)
        return getattr(import_module(room), names[name])

    return found
