"""``maxslope evaluate``: how robust is a model?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    norm: Annotated[str, typer.Option(help="Norm of the budget: linf, l2, l1, l1.5, ...")] = "linf",
    eps: Annotated[str | None, typer.Option(help="Radius, in the units of the inputs: 0.3 or 8/255.")] = None,
    effort: Annotated[str, typer.Option(help="quick, standard or exhaustive.")] = "standard",
    samples: Annotated[int, typer.Option(min=1, help="How many of the samples, from the first.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows per call of the model.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Where to write the picture; its ending names the format.")
    ] = Path("maxslope-evaluate.png"),
) -> None:
    """Evaluate the network that ships with maxslope on 1,000 held-out MNIST images.

    Prints clean and robust accuracy with 95 % intervals, the cost in passes and why each sample's evaluation ended,
    and writes a picture of clean images, perturbations and adversarial images.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from maxslope.cli import names
    from maxslope.data import default_data, default_network
    from maxslope.evaluation import evaluate as run

    budget, level = names.budget(norm, eps), names.effort(effort)
    model = default_network()
    x, y = (t[:samples] for t in default_data())
    console = Console()
    columns = (TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[so_far]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        task = bar.add_task("", total=len(x), so_far="")

        def progress(done: int, robust: int) -> None:
            bar.update(task, completed=done, so_far=f"{100 * robust / done:.1f} % robust so far")

        report = run(model, (x, y), budget, effort=level, seed=seed, batch_size=batch_size, progress=progress)
    console.print(report)
    if picture is not None:
        from maxslope.report.picture import draw

        draw(report, model, x, picture)
        console.print(f"picture    {picture}", highlight=False)
