"""How a command ends: with a document, or before its end with a sentence; and how it is done again, or gone on with."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from maxslope._escape import visible
from maxslope.cli.options import on_line
from maxslope.cli.progress import Update, progress

if TYPE_CHECKING:
    from maxslope.cli.settings import Settings
    from maxslope.evaluation import Interrupted


def say(facts: Mapping[str, Any]) -> None:
    """Print facts as one JSON document, and nothing else; numbers that JSON does not know are null."""
    import json

    from maxslope.facts.export import plain

    typer.echo(json.dumps(plain(dict(facts)), allow_nan=False, default=str))


def tell(facts: Mapping[str, Any], line: str, lines: Iterable[str], *, json: bool, quiet: bool) -> None:
    """Print what came out in the form that was asked for: as one JSON document, as one line, or as all lines."""
    if json:
        say(facts)
    else:
        typer.echo(line if quiet else "\n".join(lines))


def interrupted(
    stop: Interrupted, command: str, s: Settings, folder: Path | None, rows: Path | None = None
) -> NoReturn:
    """End a run in parts that was interrupted: what is kept and how to go on, on the error stream; exit code 130.

    ``rows`` is a file that holds the rows of the samples that are done.
    """
    again = f"maxslope {command} --resume {shlex.quote(str(folder))}{' --trust' if s.code or s.trust else ''}"
    if folder is None and not stop.done:
        kept = "Nothing is kept: no part was finished."
    elif folder is None and rows is None:
        kept = "They are not kept: --out FOLDER keeps a run, so that it can go on."
    elif folder is None:
        kept = f"Their rows are kept in {rows}; --out FOLDER keeps a run, so that it can go on."
    elif not stop.begun:
        kept = f"The run in {folder} was not begun yet."
    else:
        kept = f"{'They are kept' if stop.done else 'No part was finished'}; go on with: {again}"
    samples = "1 sample" if stop.done == 1 else f"{stop.done} samples" if stop.done else "the first samples were done"
    typer.echo(visible(f"maxslope: interrupted {'after' if stop.done else 'before'} {samples}. {kept}"), err=True)
    raise typer.Exit(130) from None


@contextmanager
def interruptible(kept: str | Path | Callable[[], str]) -> Iterator[None]:
    """End a command that is interrupted with a sentence on the error stream and exit code 130.

    It says what is kept and how to go on; of a folder, that its finished files stay.
    """
    try:
        yield
    except KeyboardInterrupt:
        said = f"Finished files stay in {kept}; the same command begins again." if isinstance(kept, Path) else kept
        typer.echo(visible(f"maxslope: interrupted. {said if isinstance(said, str) else said()}"), err=True)
        raise typer.Exit(130) from None


@contextmanager
def steps(kept: str | Path, total: int | None, quiet: bool, doing: str, unit: str = "parts") -> Iterator[Update]:
    """Yield what is told of steps that each take their own time; an interruption says what is kept."""
    with interruptible(kept), progress(total, quiet, doing=doing, unit=unit, even=False) as update:
        yield update


def typed(context: typer.Context) -> str:
    """Return the command that runs, with the arguments and options that were given."""
    words, values = ["maxslope", *context.command_path.split()[1:]], on_line(context)
    for parameter in context.command.params:
        if parameter.name in values:
            words += _words(parameter, values[parameter.name])
    return shlex.join(words)


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
