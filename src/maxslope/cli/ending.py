"""How a command ends before its end: one sentence on what is kept, and exit code 130."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from maxslope._escape import visible


@contextmanager
def interruptible(kept: str | Path | Callable[[], str]) -> Iterator[None]:
    """End a command that is interrupted with a sentence on the error stream and exit code 130.

    Args:
        kept: what is kept and how to go on, said then; of a folder, that its finished files stay.
    """
    try:
        yield
    except KeyboardInterrupt:
        said = f"Finished files stay in {kept}; the same command begins again." if isinstance(kept, Path) else kept
        typer.echo(visible(f"maxslope: interrupted. {said if isinstance(said, str) else said()}"), err=True)
        raise typer.Exit(130) from None
