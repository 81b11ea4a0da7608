"""`maxslope odenet`: the flow of a mean-field residual network, measured and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maxslope.cli import options


def odenet(
    data: Annotated[
        str, typer.Argument(help="moons, digits, or a CSV file with the target last; both sets by default.")
    ] = "",
    out: Annotated[Path, typer.Option(help="Folder for figures and numbers.")] = Path("maxslope-odenet"),
    *,
    layers: Annotated[int, typer.Option(min=1, help="Layers L.")] = 6,
    particles: Annotated[int, typer.Option(min=1, help="Particles m per layer.")] = 24,
    penalty: Annotated[float, typer.Option(min=0, help="Regularization lambda.")] = 1e-2,
    eps: Annotated[
        float, typer.Option(min=0, help="l_2 radius of the robust risk, units of the inputs; 0: none.")
    ] = 0.0,
    slope: Annotated[float, typer.Option(min=0, help="Stop at this slope.")] = 1e-7,
    gradients: Annotated[int, typer.Option(min=1, help="Stop after this many gradients.")] = 8000,
    seed: Annotated[int, typer.Option(help="Seed of the start, and of the rows held out.")] = 0,
    held_out: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the rows to score on and not to learn from; 0: none.")
    ] = 0.2,
    json_: options.Json = False,
) -> None:
    """Train a mean-field residual network by its flow, and say whether, how fast and why it converges.

    Prints loss, scores on rows learned from and held out, dissipation defect, exponent of Lojasiewicz with its
    interval, smallest eigenvalue and a verdict; writes a figure, the trajectory as CSV, the numbers as JSON and the
    network (safetensors, for maxslope.odenet.load) for each data set.
    """
    import json

    import torch
    from rich.console import Console

    from maxslope.report import odenet as report
    from maxslope.report import odenet_study as known

    console = Console()
    torch.set_num_threads(1)  # small products: a second thread only waits

    def say(text: str) -> None:
        if not json_:
            console.print(text, highlight=False, markup=False)

    ready = {"moons": known.moons, "digits": known.digits}
    path = Path(data)
    if data and data not in ready and not path.is_file():
        raise ValueError(f"Data are moons, digits or a CSV file that exists, got {data!r}.")
    names = [data] if data in ready else list(ready)
    tables = [known.table(path)] if data and data not in ready else [ready[name]() for name in names]
    settings = known.Settings(layers, particles, penalty, eps, slope, gradients, seed, held_out)
    found = report.run(out, tables, settings, say=say)
    if json_:
        typer.echo(json.dumps({"folder": str(out), "data": found}))
