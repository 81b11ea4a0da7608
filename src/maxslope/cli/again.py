"""How to do a command again: its words, as somebody would type them."""

from __future__ import annotations

import shlex
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from maxslope.cli.settings import Settings


def typed(context: typer.Context) -> str:
    """Return the command that runs, with the arguments and options that were given."""
    words = context.command_path.split()
    words[:1] = ["maxslope"]
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE":
            continue
        words += _words(parameter, context.params[name])
    return shlex.join(words)


def going_on(command: str, folder: Path | None, s: Settings) -> str:
    """Return the command that goes on with a run."""
    return f"maxslope {command} --resume {shlex.quote(str(folder))}{' --trust' if s.code or s.trust else ''}"


def _words(parameter: Any, value: Any) -> list[str]:
    """An argument or option as words."""
    if isinstance(value, Enum):
        value = value.value
    values = [str(part) for part in value] if isinstance(value, tuple | list) else [str(value)]
    if parameter.param_type_name == "argument":
        return values
    option = max(parameter.opts, key=len)
    if isinstance(value, bool):
        off = max(parameter.secondary_opts, key=len, default="")
        return [option] if value or not off else [off]
    if parameter.multiple:
        return [word for one in values for word in (option, one)]
    return [option, *values]
