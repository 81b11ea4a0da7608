"""The packages of the extra ``boundary``, imported when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from maxslope._optional import optional


def load(module: str, package: str) -> Any:
    """Return a module of an optional package.

    Raises:
        ImportError: if it is not installed, naming the extra.
    """
    with optional(f"Sets on a grid need {package}", "[boundary]"):
        return import_module(module)
