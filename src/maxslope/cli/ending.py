"""How a command ends before its end: one sentence on what is kept, and exit code 130."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from maxslope._escape import visible

if TYPE_CHECKING:
    from maxslope.evaluation import Interrupted


def interrupted(stop: Interrupted, folder: Path | None, command: str, rows: Path | None = None) -> NoReturn:
    """End a run in parts that was interrupted: what is kept and how to go on, on the error stream; exit code 130.

    ``rows`` is a file that holds the rows of the samples that are done.
    """
    if folder is None and not stop.done:
        kept = "Nothing is kept: no part was finished."
    elif folder is None and rows is None:
        kept = "They are not kept: --out FOLDER keeps a run, so that it can go on."
    elif folder is None:
        kept = f"Their rows are kept in {rows}; --out FOLDER keeps a run, so that it can go on."
    elif not stop.begun:
        kept = f"The run in {folder} was not begun yet."
    else:
        kept = f"{'They are kept' if stop.done else 'No part was finished'}; go on with: {command}"
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
