"""``maxslope boundary``: a decision boundary, followed along the flow of adversarial training."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maxslope._escape import visible
from maxslope._optional import optional
from maxslope.cli import ending, names, options
from maxslope.cli.ending import steps, typed
from maxslope.cli.options import OUTPUT, option
from maxslope.cli.points import opened

if TYPE_CHECKING:
    from maxslope.studies.problems import Classes, Problem


EXAMPLES = """
[bold]Examples[/]

Two moons, pictures and an animation in maxslope-boundary/:  [cyan]maxslope boundary[/]

Your points, a table with the columns x, y, label:  [cyan]maxslope boundary points.csv --eps 0.1[/]

Your network in the plane, on those points:  [cyan]maxslope boundary nets.py:make --data points.csv[/]

Three classes or more (made, or labels of your points):  [cyan]maxslope boundary three[/], [cyan]maxslope boundary
flowers.csv[/]

Two steps of the neural flow as well:  [cyan]maxslope boundary gaussians --neural 2[/]
"""


_FILES = ("boundary.svg", "boundary.png", "numbers.svg", "numbers.png", "numbers.csv", "boundary.npz")

Source = Annotated[
    str,
    typer.Argument(
        help="moons, gaussians, disk, dumbbell, in space ball, neck, of three classes three; a .csv file with the "
        "columns x, y, label or x, y, z, label, or a .npz file; or file.py:factory that makes a model of such points, "
        "(model, points, labels), or two densities and a box, (rho0, rho1, low, high)."
    ),
]
_CELLS = "Cells of the grid along its longer side; 96, in space 32."
_OUT = "Folder for pictures (SVG, PNG, GIF), numbers (CSV), boundaries and networks (NPZ, safetensors)."


@dataclass(frozen=True)
class _Asked:
    """How to follow, and what to write."""

    until: float | None
    tau: float | None
    animation: bool
    neural: int
    seed: int
    out: Path
    command: str


def boundary(
    context: typer.Context,
    source: Source = "moons",
    *,
    data: Annotated[Path | None, option("Data", "A .csv or .npz file of labeled points, for a model.")] = None,
    eps: Annotated[
        str | None, option("Flow", "Radius of the adversary, in units of the points; 3 % of the box.")
    ] = None,
    until: Annotated[float | None, option("Flow", "Time, in length squared; twice the stopping time.")] = None,
    tau: Annotated[float | None, option("Flow", "Time step.")] = None,
    cells: Annotated[int | None, option("Flow", _CELLS, min=24, max=1024)] = None,
    neural: Annotated[int, option("Flow", "Steps of the neural flow, with its control; slow.", min=0)] = 0,
    animation: options.Animation = True,
    seed: Annotated[
        int,
        options.seed_of(
            "the points of moons, of what a factory draws, and with --neural of networks, samples, batches"
        ),
    ] = 0,
    out: Annotated[Path, option(OUTPUT, _OUT)] = Path("maxslope-boundary"),
    json_: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Follow decision boundaries, of two classes or several: adversarial training as mean curvature flow.

    Draws the boundary over time beside level-set solutions of its law, perimeter and robust risk against time with the
    stopping rule, and an animation; writes the numbers as CSV. More than two labels: every pair's boundary by the limit
    law, without a second solution beside it. Source: arXiv:2404.14402.
    """
    radius = None if eps is None else names.number(eps)
    for name, value in (("--eps", radius), ("--until", until), ("--tau", tau)):
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{name} is positive and finite, got {value}.")
    options.drawn_into(out)
    if neural:
        with optional("Networks in files need safetensors", "[data]"):
            import_module("safetensors.torch")
    problem, model = opened(source, data, cells, radius, seed)
    how = _Asked(until, tau, animation, neural, seed, out, typed(context))
    said = _followed(problem, model, how, silent=json_ or quiet)
    before, after = said["robust_risk"]
    when = f"t = {said['until']:.4g}, eps = {said['eps']:.4g}: {said['status']}"
    ending.tell(said, f"robust risk {before:.4f} -> {after:.4f} at {when}", _lines(said), json=json_, quiet=quiet)


def _followed(problem: Problem | Classes, model: Any, how: _Asked, *, silent: bool) -> dict[str, Any]:
    """Follow the boundaries of two classes or several, draw and write what was found; tell how far it is."""
    from maxslope.figures.boundary import film
    from maxslope.report.boundary_sheet import sheet
    from maxslope.report.sheets import Again
    from maxslope.studies import boundary, partition
    from maxslope.studies.problems import Problem

    study: Any = partial(boundary.study, tau=how.tau)
    moving = how.animation and problem.grid.dim == 2
    if not isinstance(problem, Problem):
        study = partition.study
        if how.tau is not None:
            raise ValueError(f"--tau {how.tau:g} is for two classes; several take steps of 0.4 h^2 / d: leave it away.")
        if how.neural:
            raise ValueError(f"--neural {how.neural} is for two classes; leave it away, or give points of two.")
    count, total = itertools.count(), 3 + bool(how.neural)
    with steps(how.out, total, silent, "following") as update:
        step = next(count)
        found = study(problem, until=how.until, tell=lambda words: update(step, words))
        update(next(count), "drawing")
        drawings, written = _draw(found, how.out, moving)
        network: dict[str, Any] = {}
        if how.neural:
            from maxslope.figures.neural import follow

            update(next(count), "the neural flow and its control")
            place = how.out / "network"
            network, drawings["network"] = follow(found, model, how.neural, place, seed=how.seed)
            written += [how.out / name for name in ("network.svg", "network.png", "networks.safetensors")]
        update(next(count), "writing the page")
        shown = film(found) if moving else None
        page = sheet(found, drawings, shown, Again(how.command, [path.name for path in written]), network)
        written.insert(0, page.save(how.out / "report.html"))
        update(total, "written")
    said: dict[str, Any] = found.summary() | {"seed": how.seed, "files": [str(path) for path in written]}
    return said | ({"neural": network} if network else {})


def _draw(found: Any, out: Path, moving: bool) -> tuple[dict[str, Any], list[Path]]:
    """Figures by name, and the files that were written."""
    from maxslope.facts.export import write_csv
    from maxslope.figures.boundary import animate, draw_flow, draw_numbers, write_boundaries

    drawings = {"boundary": draw_flow(found, out / "boundary"), "numbers": draw_numbers(found, out / "numbers")}
    write_csv(found.records(), out / "numbers.csv")
    write_boundaries(found, out / "boundary.npz")
    if moving:
        animate(found, out / "boundary.gif")
    return drawings, [out / name for name in (*_FILES, *(["boundary.gif"] if moving else []))]


def _lines(said: dict[str, Any]) -> Iterator[str]:
    """What was found, a line for each number."""
    classes = said.get("classes")
    length = f"{said['steps']} steps" if classes is None else f"{len(classes)} classes"
    (first, last), (before, after) = said["weighted_perimeter"], said["robust_risk"]
    yield f"{said['problem']}: {length} to t = {said['until']:.4g}, eps = {said['eps']:.4g}"
    yield f"status           {said['status']}"
    yield f"perimeter        {first:.4f} -> {last:.4f}"
    yield f"robust risk      {before:.4f} -> {after:.4f}, least {said['least_robust_risk']:.4f}"
    if said.get("adversarial_training") is not None:
        yield f"                 {said['adversarial_training']:.4f} after adversarial training in one step"
    stop = "" if said.get("expected_stop") is None else f", expected {said['expected_stop']:.4g}"
    yield f"stop             t = {said['stopped_at']:.4g}{stop}"
    if said.get("gap_to_reference_in_cells") is not None:
        yield f"gap              at most {said['gap_to_reference_in_cells']:.2f} cells to the level-set solution"
    for name, (start, end) in said.get("areas", {}).items():
        yield f"class {visible(name):<10} {100 * start:.1f} % -> {100 * end:.1f} % of the box"
    for name, value in said.get("neural", {}).items():
        yield f"network          {name}: {value}"
    yield f"files            {', '.join(said['files'])}"
