"""One JSON document on the standard output, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import typer


def say(facts: Mapping[str, Any]) -> None:
    """Print facts as one JSON document; numbers that JSON does not know are null."""
    from maxslope.report.html_export import plain

    typer.echo(json.dumps(plain(dict(facts)), allow_nan=False, default=str))
