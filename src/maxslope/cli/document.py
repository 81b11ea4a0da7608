"""One JSON document on the standard output, and nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import typer


def say(facts: Mapping[str, Any]) -> None:
    """Print facts as one JSON document; numbers that JSON does not know are null."""
    typer.echo(json.dumps(plain(facts), allow_nan=False))


def plain(value: Any) -> Any:
    """Return a value of texts, finite numbers, lists and tables alone.

    >>> plain({"a": (1.0, float("inf")), "b": None})
    {'a': [1.0, None], 'b': None}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
