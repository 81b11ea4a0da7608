"""``maxslope flow``: curves of maximal slope, drawn and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maxslope.cli import ending, options
from maxslope.cli.ending import steps, typed
from maxslope.cli.options import OUTPUT, option

EXAMPLES = """
[bold]Examples[/]

All figures and numbers, in maxslope-flow/ (minutes):  [cyan]maxslope flow moons[/]

A trial run without MNIST:  [cyan]maxslope flow moons --samples 6 --taus 3 --images 0[/]
"""

_OUT = Path("maxslope-flow")
app = typer.Typer(no_args_is_help=True)


@app.callback()
def flow() -> None:
    """Follow points: the experiment of the paper, with reference curves."""


@app.command(epilog=EXAMPLES)
def moons(
    context: typer.Context,
    out: Annotated[Path, option(OUTPUT, "Folder for figures (SVG, PNG, GIF) and numbers (CSV).")] = _OUT,
    samples: Annotated[int, typer.Option(min=2, help="Initial values of the difference against tau.")] = 200,
    taus: Annotated[int, typer.Option(min=2, help="Step sizes eps 2^-i, i = 0, 1, ...")] = 8,
    images: Annotated[int, typer.Option(min=0, help="MNIST images to follow; 0 leaves MNIST out.")] = 32,
    animation: options.Animation = True,
    seed: Annotated[int, options.seed_of("the two moons, the networks trained on them, and the initial values")] = 0,
    json_: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run the main paper's experiment on two moons and extend it: norms, rates, schemes, a reference, MNIST.

    Trains a ReLU and a GELU network, draws trajectories over level sets with step boxes, measures explicit scheme
    against minimizing movements over many initial values and step sizes, orders against the event-driven reference,
    other norms and rates, and distributional adversaries on two moons and MNIST.
    """
    from maxslope.report.experiment import PARTS, run

    options.drawn_into(out)
    told = 0
    with steps(out, PARTS, json_ or quiet, "following curves") as update:

        def say(text: str) -> None:
            nonlocal told
            told = min(told + 1, PARTS - 1)
            update.note(text)
            update(told)

        found = run(
            out, samples=samples, taus=taus, images=images, say=say, seed=seed, animation=animation,
            command=typed(context),
        )  # fmt: skip
        update(PARTS, "all parts")
    files = sorted(str(path) for path in out.iterdir() if path.suffix in (".html", ".svg", ".png", ".gif", ".csv"))
    orders = ", ".join(f"{name} {low:.2f} to {high:.2f}" for name, (_, low, high) in found["orders"].items())
    line = f"orders in tau against the reference (95 %): {orders}"
    gaps = {name: ", ".join(f"{v:.4f}" for v in values) for name, values in found["differences"].items()}
    lines = [line, *(f"{name}: explicit scheme to movements, by tau: {gap}" for name, gap in gaps.items())]
    lines.append(f"files      {', '.join(files)}")
    ending.tell(found | {"seed": seed, "files": files}, line, lines, json=json_, quiet=quiet)
