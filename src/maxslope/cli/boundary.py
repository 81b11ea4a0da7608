"""``maxslope boundary``: a decision boundary, followed along the flow of adversarial training."""

from __future__ import annotations

import itertools
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maxslope._escape import visible
from maxslope._optional import optional
from maxslope.cli import document, options
from maxslope.cli.ending import interruptible
from maxslope.cli.points import opened
from maxslope.cli.progress import progress

if TYPE_CHECKING:
    from maxslope.report.boundary import Study
    from maxslope.report.boundary_problems import Problem
    from maxslope.report.partition import Classes, PartitionStudy

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
Cells = Annotated[
    int | None,
    typer.Option(
        min=24, max=1024, help="Cells of the grid along its longer side; 96, in space 32.", rich_help_panel="Flow"
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        help="Folder for pictures (SVG, PNG, GIF), numbers (CSV), boundaries and networks (NPZ, safetensors).",
        rich_help_panel="Output",
    ),
]


def boundary(
    context: typer.Context,
    source: Source = "moons",
    *,
    data: Annotated[
        Path | None,
        typer.Option(help="A .csv or .npz file of labeled points, for a model.", rich_help_panel="Data"),
    ] = None,
    eps: Annotated[
        str | None,
        typer.Option(help="Radius of the adversary, in units of the points; 3 % of the box.", rich_help_panel="Flow"),
    ] = None,
    until: Annotated[
        float | None, typer.Option(help="Time, in length squared; twice the stopping time.", rich_help_panel="Flow")
    ] = None,
    tau: Annotated[float | None, typer.Option(help="Time step.", rich_help_panel="Flow")] = None,
    cells: Cells = None,
    neural: Annotated[
        int, typer.Option(min=0, help="Steps of the neural flow, with its control; slow.", rich_help_panel="Flow")
    ] = 0,
    animation: options.Animation = True,
    seed: Annotated[
        int,
        options.seed_of(
            "the points of moons, of what a factory draws, and with --neural of networks, samples, batches"
        ),
    ] = 0,
    out: Out = Path("maxslope-boundary"),
    json_: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Follow decision boundaries, of two classes or several: adversarial training as mean curvature flow.

    Draws the boundary over time beside level-set solutions of its law, perimeter and robust risk against time with the
    stopping rule, and an animation; writes the numbers as CSV. More than two labels: every pair's boundary by the limit
    law, without a second solution beside it. Source: arXiv:2404.14402.
    """
    from maxslope.cli import names
    from maxslope.cli.again import typed

    radius = None if eps is None else names.number(eps)
    for name, value in (("--eps", radius), ("--until", until), ("--tau", tau)):
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{name} is positive and finite, got {value}.")
    options.drawn_into(out)
    if neural:
        with optional("Networks in files need safetensors", "[data]"):
            import_module("safetensors.torch")
    problem, model = opened(source, data, cells, radius, seed)
    how = (until, tau), (animation, neural, seed), out, typed(context)
    said = _followed((problem, model), *how, silent=json_ or quiet)
    if json_:
        document.say(said)
    elif quiet:
        typer.echo(_line(said))
    else:
        _say(said)


def _followed(
    given: tuple[Problem | Classes, Any],
    times: tuple[float | None, float | None],
    drawn: tuple[bool, int, int],
    out: Path,
    command: str,
    *,
    silent: bool,
) -> dict[str, Any]:
    """Follow the boundary, draw and write what was found; tell how far it is."""
    from maxslope.report.boundary import study
    from maxslope.report.boundary_problems import Problem

    (problem, model), (until, tau), (animation, neural, seed) = given, times, drawn
    if not isinstance(problem, Problem):
        return _followed_several(problem, times, drawn, out, command, silent=silent)
    parts = itertools.count()
    total = 3 + bool(neural)
    with (
        interruptible(out),
        progress(total, silent, doing="following", unit="parts", even=False) as update,
    ):
        part = next(parts)
        found = study(problem, until=until, tau=tau, tell=lambda words: update(part, words))
        update(next(parts), "drawing")
        drawings, written = _draw(found, out, animation and problem.grid.dim == 2)
        more: dict[str, Any] = {}
        if neural:
            update(next(parts), "the neural flow and its control")
            more = {"neural": _neural(found, model, (neural, seed), out, drawings)}
            written += [out / name for name in ("network.svg", "network.png", "networks.safetensors")]
        update(next(parts), "writing the page")
        written.insert(0, _page(found, drawings, more.get("neural"), out, written, command, animation))
        said = found.summary() | {"seed": seed, "files": [str(path) for path in written]} | more
        update(total, "written")
    return said


def _followed_several(
    problem: Classes,
    times: tuple[float | None, float | None],
    drawn: tuple[bool, int, int],
    out: Path,
    command: str,
    *,
    silent: bool,
) -> dict[str, Any]:
    """Follow the boundaries of several classes, draw and write what was found; tell how far it is."""
    from maxslope.report.partition import study

    (until, tau), (animation, neural, seed) = times, drawn
    if tau is not None:
        raise ValueError(f"--tau {tau:g} is for two classes; several take steps of 0.4 h^2 / d: leave it away.")
    if neural:
        raise ValueError(f"--neural {neural} is for two classes; leave it away, or give points of two.")
    with interruptible(out), progress(3, silent, doing="following", unit="parts", even=False) as update:
        found = study(problem, until=until, tell=lambda words: update(0, words))
        update(1, "drawing")
        drawings, written = _draw_several(found, out, animation)
        update(2, "writing the page")
        written.insert(0, _page_several(found, drawings, animation, out, written, command))
        update(3, "written")
    return found.summary() | {"seed": seed, "files": [str(path) for path in written]}


def _draw_several(found: PartitionStudy, out: Path, animation: bool) -> tuple[dict[str, Any], list[Path]]:
    from maxslope.report.boundary_figures import animate, draw_areas, draw_several
    from maxslope.report.boundary_files import write_boundaries
    from maxslope.report.canvas import write_csv

    drawings = {"boundary": draw_several(found, out / "boundary"), "numbers": draw_areas(found, out / "numbers")}
    write_csv(found.records(), out / "numbers.csv")
    write_boundaries(found, out / "boundary.npz")
    if animation:
        animate(found, out / "boundary.gif")
    return drawings, [out / name for name in (*_FILES, *(["boundary.gif"] if animation else []))]


def _page_several(
    found: PartitionStudy, drawings: dict[str, Any], animation: bool, out: Path, written: list[Path], command: str
) -> Path:
    from maxslope.report.boundary_figures import film
    from maxslope.report.boundary_sheet import sheet_of_several

    files = [path.name for path in written]
    page = sheet_of_several(found, drawings, film(found) if animation else None, command=command, files=files)
    return page.save(out / "report.html")


def _draw(found: Study, out: Path, animation: bool) -> tuple[dict[str, Any], list[Path]]:
    from maxslope.report.boundary_figures import animate, draw_flow, draw_numbers
    from maxslope.report.boundary_files import write_boundaries
    from maxslope.report.canvas import write_csv

    drawings = {"boundary": draw_flow(found, out / "boundary"), "numbers": draw_numbers(found, out / "numbers")}
    write_csv(found.records(), out / "numbers.csv")
    write_boundaries(found, out / "boundary.npz")
    written = [out / name for name in _FILES]
    if animation:
        animate(found, out / "boundary.gif")
        written.append(out / "boundary.gif")
    return drawings, written


def _neural(found: Study, model: Any, how: tuple[int, int], out: Path, drawings: dict[str, Any]) -> dict[str, Any]:
    from maxslope.report.boundary_neural import follow

    steps, seed = how
    summary: dict[str, Any] = follow(found, model, steps, out / "network", drawings=drawings, seed=seed)
    return summary


def _line(said: dict[str, Any]) -> str:
    before, after = said["robust_risk"]
    return (
        f"robust risk {before:.4f} -> {after:.4f} at t = {said['until']:.4g}, eps = {said['eps']:.4g}: {said['status']}"
    )


def _page(
    found: Study, drawings: dict[str, Any], neural: Any, out: Path, written: list[Path], command: str, animation: bool
) -> Path:
    from maxslope.report.boundary_figures import film
    from maxslope.report.boundary_sheet import sheet

    files = [path.name for path in written]
    page = sheet(
        found,
        drawings,
        film(found) if animation and found.problem.grid.dim == 2 else None,
        neural=neural,
        command=command,
        files=files,
    )
    return page.save(out / "report.html")


def _say(said: dict[str, Any]) -> None:
    before, after = said["robust_risk"]
    if "classes" in said:
        _say_several(said)
        return
    typer.echo(f"{said['problem']}: {said['steps']} steps to t = {said['until']:.4g}, eps = {said['eps']:.4g}")
    typer.echo(f"status           {said['status']}")
    start, end = said["weighted_perimeter"]
    typer.echo(f"perimeter        {start:.4f} -> {end:.4f}")
    typer.echo(f"robust risk      {before:.4f} -> {after:.4f}, least {said['least_robust_risk']:.4f}")
    if said["adversarial_training"] is not None:
        typer.echo(f"                 {said['adversarial_training']:.4f} after adversarial training in one step")
    stop = "" if said["expected_stop"] is None else f", expected {said['expected_stop']:.4g}"
    typer.echo(f"stop             t = {said['stopped_at']:.4g}{stop}")
    if said["gap_to_reference_in_cells"] is not None:
        typer.echo(f"gap              at most {said['gap_to_reference_in_cells']:.2f} cells to the level-set solution")
    for name, value in said.get("neural", {}).items():
        typer.echo(f"network          {name}: {value}")
    typer.echo(f"files            {', '.join(said['files'])}")


def _say_several(said: dict[str, Any]) -> None:
    before, after = said["robust_risk"]
    start, end = said["weighted_perimeter"]
    typer.echo(f"{said['problem']}: {len(said['classes'])} classes to t = {said['until']:.4g}, eps = {said['eps']:.4g}")
    typer.echo(f"status           {said['status']}")
    typer.echo(f"perimeter        {start:.4f} -> {end:.4f}")
    typer.echo(f"robust risk      {before:.4f} -> {after:.4f}, least {said['least_robust_risk']:.4f}")
    typer.echo(f"stop             t = {said['stopped_at']:.4g}")
    for name, (first, last) in said["areas"].items():
        typer.echo(f"class {visible(name):<10} {100 * first:.1f} % -> {100 * last:.1f} % of the box")
    typer.echo(f"files            {', '.join(said['files'])}")
