"""`maxslope odenet`: the flow of a mean-field residual network, measured and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def odenet(
    context: typer.Context,
    data: Annotated[
        str, typer.Argument(help="moons, digits, or a CSV file with the target last; both sets by default.")
    ] = "",
    *,
    out: Annotated[Path, typer.Option(help="Folder for figures and numbers.")] = Path("maxslope-odenet"),
    layers: Annotated[int, typer.Option(min=1, help="Layers L.")] = 6,
    particles: Annotated[int, typer.Option(min=1, help="Particles m per layer.")] = 24,
    penalty: Annotated[float, typer.Option(min=0, help="Regularization lambda.")] = 1e-2,
    eps: Annotated[
        float, typer.Option(min=0, help="l_2 radius of the robust risk, units of the inputs; 0: none.")
    ] = 0.0,
    slope: Annotated[float, typer.Option(min=0, help="Stop at this slope.")] = 1e-7,
    gradients: Annotated[int, typer.Option(min=1, help="Stop after this many gradients.")] = 8000,
    seed: Annotated[int, typer.Option(help="Seed of the start.")] = 0,
) -> None:
    """Train a mean-field residual network by its flow, and say whether, how fast and why it converges.

    Prints loss, dissipation defect, exponent of Lojasiewicz with its interval, smallest eigenvalue and a verdict;
    writes a figure, the trajectory as CSV and the numbers as JSON for each data set.
    """
    import torch
    from rich.console import Console

    from maxslope.cli.again import typed
    from maxslope.report import odenet as report
    from maxslope.report import odenet_study as known

    console = Console()
    torch.set_num_threads(1)  # small products: a second thread only waits

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False)

    ready = {"moons": known.moons, "digits": known.digits}
    path = Path(data)
    if data and data not in ready and not path.is_file():
        raise ValueError(f"Data are moons, digits or a CSV file that exists, got {data!r}.")
    names = [data] if data in ready else list(ready)
    tables = [known.table(path)] if data and data not in ready else [ready[name]() for name in names]
    settings = known.Settings(layers, particles, penalty, eps, slope, gradients, seed)
    report.run(out, tables, settings, say=say, command=typed(context))
