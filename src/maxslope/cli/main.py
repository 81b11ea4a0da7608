"""The ``maxslope`` command. Heavy imports wait until a command runs."""

from __future__ import annotations

import sys

import typer

from maxslope.cli import flow
from maxslope.cli.evaluate import evaluate
from maxslope.cli.integrability import integrability

app = typer.Typer(
    name="maxslope",
    help="Curves of maximal slope: how robust is a classifier, with evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(evaluate)
app.command()(integrability)
app.add_typer(flow.app, name="flow")


@app.command()
def version() -> None:
    """Print the versions of maxslope, torch and Python."""
    import torch

    import maxslope

    typer.echo(f"maxslope {maxslope.__version__}, torch {torch.__version__}, Python {sys.version.split()[0]}")


def main() -> None:
    """Run the command line; misuse ends with one line on the error stream and exit code 2."""
    try:
        app()
    except (ValueError, TypeError, OSError, ImportError) as error:
        typer.echo(f"maxslope: {error}", err=True)
        raise SystemExit(2) from error
