"""``maxslope boundary``: a decision boundary, followed along the flow of adversarial training."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maxslope._optional import optional
from maxslope.cli import document, options
from maxslope.cli.ending import interruptible
from maxslope.cli.progress import progress

if TYPE_CHECKING:
    from torch import Tensor

    from maxslope.report.boundary import Problem, Study

_PLANE, _SPACE = 96, 32  # cells

EXAMPLES = """
[bold]Examples[/]

Two moons, pictures and an animation in maxslope-boundary/:  [cyan]maxslope boundary[/]

Your points, a table with the columns x, y, label:  [cyan]maxslope boundary points.csv --eps 0.1[/]

Your network in the plane, on those points:  [cyan]maxslope boundary nets.py:make --data points.csv[/]

Two steps of the neural flow as well:  [cyan]maxslope boundary gaussians --neural 2[/]
"""


Source = Annotated[
    str,
    typer.Argument(
        help="moons, gaussians, disk, dumbbell, in space ball, neck; a .csv file with the columns x, y, label or "
        "x, y, z, label; or file.py:factory that makes a model of such points, (model, points, labels), or two "
        "densities and a box, (rho0, rho1, low, high)."
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
        Path | None, typer.Option(help="A .csv file with the columns x, y, label, for a model.", rich_help_panel="Data")
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
    animation: Annotated[
        bool, typer.Option("--animation/--no-animation", help="Write a GIF.", rich_help_panel="Output")
    ] = True,
    seed: Annotated[
        int,
        options.seed_of(
            "the points of moons, of what a factory draws, and with --neural of networks, samples, batches", "Run"
        ),
    ] = 0,
    out: Out = Path("maxslope-boundary"),
    json_: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Follow decision boundaries: adversarial training as mean curvature flow.

    Draws the boundary over time beside level-set solutions of its law, perimeter and robust risk against time with the
    stopping rule, and an animation; writes the numbers as CSV. Source: arXiv:2404.14402.
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
    problem, model = _problem(source, data, cells, radius, seed)
    said = _followed(
        (problem, model), (until, tau), (animation, neural, seed), out, typed(context), silent=json_ or quiet
    )
    if json_:
        document.say(said)
    elif quiet:
        typer.echo(_line(said))
    else:
        _say(said)


def _followed(
    given: tuple[Problem, Any],
    times: tuple[float | None, float | None],
    drawn: tuple[bool, int, int],
    out: Path,
    command: str,
    *,
    silent: bool,
) -> dict[str, Any]:
    """Follow the boundary, draw and write what was found; tell how far it is."""
    from maxslope.report.boundary import study

    (problem, model), (until, tau), (animation, neural, seed) = given, times, drawn
    parts = itertools.count()
    total = 2 + animation + bool(neural)
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
        written.insert(0, _page(found, drawings, more.get("neural"), out, written, command))
        said = found.summary() | {"seed": seed, "files": [str(path) for path in written]} | more
        update(total, "written")
    return said


def _problem(source: str, data: Path | None, cells: int | None, eps: float | None, seed: int) -> tuple[Problem, Any]:
    """The one place where a string names a problem; and the model, where there is one."""
    from maxslope.evaluation.models import call
    from maxslope.report import boundary as ready

    built_in: dict[str, Callable[[int, float | None], Problem]] = {
        "moons": partial(ready.moons, seed=seed),
        "gaussians": ready.gaussians,
        "disk": ready.disk,
        "dumbbell": ready.dumbbell,
        "ball": ready.ball,
        "neck": ready.neck,
    }
    if data is not None and ":" not in source:
        raise ValueError(f"--data belongs to a model (file.py:factory), got {source!r}; give the .csv file itself.")
    if source in built_in:
        return built_in[source](cells or (_SPACE if source in ("ball", "neck") else _PLANE), eps), None
    if source.endswith(".csv"):
        x, y = read_points(Path(source))
        return ready.samples(x, y, cells or _cells(x), eps, title=Path(source).name), None
    if ":" not in source:
        raise ValueError(f"The source is one of {', '.join(built_in)}, a .csv file or file.py:factory, got {source!r}.")
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = call(source, "model")
    if isinstance(made, tuple) and len(made) == 4 and data is None:
        rho0, rho1, low, high = made
        return ready.own(rho0, rho1, low, high, cells or (_PLANE if len(low) == 2 else _SPACE), eps), None
    model, x, y = _model(made, source, data)
    problem = ready.samples(x, y, cells or _cells(x), eps)
    return ready.network(problem, model, source.rpartition(":")[2]), model


def _cells(x: Tensor) -> int:
    return _SPACE if x.ndim == 2 and x.shape[1] == 3 else _PLANE


def _model(made: Any, source: str, data: Path | None) -> tuple[Any, Tensor, Tensor]:
    """The model that a factory made, and samples: its own, or those of --data."""
    import torch

    if isinstance(made, tuple) and len(made) == 3:
        model, x, y = made
        x, y = torch.as_tensor(x), torch.as_tensor(y)
    elif data is None:
        raise ValueError(
            f"{source} made a model alone; its points come by --data FILE.csv, or the factory returns (model, points, "
            "labels)."
        )
    else:
        model = made
    if data is not None:
        x, y = read_points(data)
    if not callable(model):
        raise TypeError(
            f"{source} makes a model, a callable from points [n, 2] or [n, 3] to logits, got {type(model).__name__}."
        )
    if isinstance(model, torch.nn.Module):
        model.eval()
    return model, x, y


def read_points(path: Path) -> tuple[Tensor, Tensor]:
    """Read a table with the columns x, y, label or x, y, z, label; a first line without numbers is a header.

    Returns:
        Points ``[n, 2]`` or ``[n, 3]`` and labels 0 and 1, ``[n]``; the smaller of two labels (as numbers,
        else as words) is 0.

    Raises:
        ValueError: if the file is no such table, with the line at fault.
    """
    import torch

    from maxslope.evaluation._files import needed

    needed(path)
    with path.open(newline="", encoding="utf-8") as file:
        try:
            rows = [(number, row) for number, row in enumerate(csv.reader(file), 1) if row]
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not a table in UTF-8: {error}.") from error
    if rows and not _numeric(rows[0][1][:2]):
        rows = rows[1:]
    columns = len(rows[0][1]) if rows else 3
    points, words = [], []
    for number, row in rows:
        if len(row) != columns or columns not in (3, 4) or not _numeric(row[:-1]):
            wanted = "x, y, label with two" if columns != 4 else "x, y, z, label with three"
            raise ValueError(f"{path}, line {number}: expected {wanted} finite numbers, got {row!r}.")
        points.append([float(word) for word in row[:-1]])
        words.append(row[-1].strip())
    known = sorted(set(words), key=lambda word: (0, float(word), word) if _numeric([word]) else (1, 0.0, word))
    if len(known) != 2:
        raise ValueError(f"{path} needs points of two classes, got {len(rows)} points with labels {known[:5]}.")
    return torch.tensor(points), torch.tensor([known.index(word) for word in words])


def _numeric(words: list[str]) -> bool:
    try:
        return bool(words) and all(abs(float(word)) < float("inf") for word in words)
    except ValueError:
        return False


def _draw(found: Study, out: Path, animation: bool) -> tuple[dict[str, Any], list[Path]]:
    from maxslope.report.boundary_figures import animate, draw_flow, draw_numbers
    from maxslope.report.boundary_files import write_boundaries
    from maxslope.report.canvas import write_csv

    drawings = {"boundary": draw_flow(found, out / "boundary"), "numbers": draw_numbers(found, out / "numbers")}
    write_csv(found.records(), out / "numbers.csv")
    write_boundaries(found, out / "boundary.npz")
    names = ("boundary.svg", "boundary.png", "numbers.svg", "numbers.png", "numbers.csv", "boundary.npz")
    written = [out / name for name in names]
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


def _page(found: Study, drawings: dict[str, Any], neural: Any, out: Path, written: list[Path], command: str) -> Path:
    from maxslope.report.boundary_figures import film
    from maxslope.report.boundary_sheet import sheet

    files = [path.name for path in written]
    page = sheet(
        found,
        drawings,
        film(found) if found.problem.grid.dim == 2 else None,
        neural=neural,
        command=command,
        files=files,
    )
    return page.save(out / "report.html")


def _say(said: dict[str, Any]) -> None:
    before, after = said["robust_risk"]
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
