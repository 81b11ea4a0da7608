"""``maxslope flow``: curves of maximal slope, drawn and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Curves of maximal slope, drawn and measured.", no_args_is_help=True, add_completion=False)


@app.callback()
def flow() -> None:
    """Curves of maximal slope, drawn and measured."""


@app.command()
def moons(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for figures (SVG, PNG) and numbers (CSV).")] = Path("maxslope-flow"),
    samples: Annotated[int, typer.Option(min=2, help="Initial values of the difference against tau.")] = 200,
    taus: Annotated[int, typer.Option(min=2, help="Step sizes eps 2^-i, i = 0, 1, ...")] = 8,
    images: Annotated[int, typer.Option(min=0, help="MNIST images to follow; 0 leaves MNIST out.")] = 32,
) -> None:
    """Run the main paper's experiment on two moons and extend it: norms, rates, schemes, a reference, MNIST.

    Trains a ReLU and a GELU network, draws trajectories over level sets with step boxes, measures explicit scheme
    against minimizing movements over many initial values and step sizes, orders against the event-driven reference,
    other norms and rates, and distributional adversaries on two moons and MNIST.
    """
    from rich.console import Console

    from maxslope.cli.again import typed
    from maxslope.report.experiment import run

    console = Console()

    def say(text: str) -> None:
        console.print(text, highlight=False)

    run(out, samples=samples, taus=taus, images=images, say=say, command=typed(context))
