"""`maxslope odenet`: the flow of a mean-field residual network, measured and drawn."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maxslope.cli import ending, names, options
from maxslope.cli.ending import steps, typed
from maxslope.cli.options import OUTPUT, option

if TYPE_CHECKING:
    from maxslope.studies.networks import Data

EXAMPLES = """
[bold]Examples[/]

Two moons and digits, results in maxslope-odenet/:  [cyan]maxslope odenet[/]

Your table, the target in its last column, trained robustly:  [cyan]maxslope odenet mine.csv --eps 0.1 --out mine[/]
"""


def odenet(
    context: typer.Context,
    data: Annotated[
        str, typer.Argument(help="moons, digits, or a CSV file with the target last; both sets by default.")
    ] = "",
    *,
    out: Annotated[Path, option(OUTPUT, "Folder for figures and numbers.")] = Path("maxslope-odenet"),
    layers: Annotated[int, typer.Option(min=1, help="Layers L.")] = 6,
    particles: Annotated[int, typer.Option(min=1, help="Particles m per layer.")] = 24,
    penalty: Annotated[float, typer.Option(min=0, help="Regularization lambda.")] = 1e-2,
    eps: Annotated[
        str, typer.Option(help="l_2 radius of the robust risk, in the units of the inputs: 0.3 or 8/255; 0: none.")
    ] = "0",
    slope: Annotated[float, typer.Option(min=0, help="Stop at this slope.")] = 1e-7,
    gradients: Annotated[int, typer.Option(min=1, help="Stop after this many gradients.")] = 8000,
    seed: Annotated[int, options.seed_of("the two moons, the start, and the rows held out")] = 0,
    held_out: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the rows to score on and not to learn from; 0: none.")
    ] = 0.2,
    json_: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Follow particles: train a mean-field residual network by its flow, and say whether and how fast it converges.

    Prints loss, scores on rows learned from and held out, dissipation defect, exponent of Lojasiewicz with its
    interval, smallest eigenvalue and a verdict; writes a figure, the trajectory as CSV, the numbers as JSON and the
    network (safetensors, for maxslope.odenet.load) for each data set.
    """
    import torch

    from maxslope.report import odenet as report
    from maxslope.studies.networks import Settings

    options.drawn_into(out)
    radius = names.number(eps)
    if not 0 <= radius < float("inf"):
        raise ValueError(f"--eps is a radius that is not negative, got {eps}; 0 trains the plain risk.")
    settings = Settings(layers, particles, penalty, radius, slope, gradients, seed, held_out)
    tables = _tables(data, seed)
    lines: list[str] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small products: a second thread only waits
    try:
        with steps(out, len(tables), json_ or quiet, "training", "data sets") as update:
            found = report.run(out, tables, settings, say=lines.append, begun=update, command=typed(context))
            update(len(tables))
    finally:
        torch.set_num_threads(threads)
    line = "; ".join(f"{facts['data']}: {facts['fate']}" for facts in found)
    ending.tell({"folder": str(out), "seed": seed, "data": found}, line, lines, json=json_, quiet=quiet)


def _tables(word: str, seed: int) -> list[Data]:
    """The one place where a string names data of the mean-field network."""
    from maxslope.studies import networks as known

    ready: dict[str, Callable[[], Data]] = {"moons": partial(known.moons, seed), "digits": known.digits}
    if not word:
        return [make() for make in ready.values()]
    if word in ready:
        return [ready[word]()]
    if not Path(word).is_file():
        raise ValueError(f"Data are moons, digits or a CSV file that exists, got {word!r}.")
    return [known.table(Path(word))]
