"""What a boundary flow leaves, of two classes or several: pictures, numbers, a film, and its boundaries as arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from maxslope.boundary import Grid, contour, surface
from maxslope.curve import Curve
from maxslope.figures import canvas
from maxslope.figures.canvas import COLORS, GRAY, INK, blank, dress, instants, legend, passing, plane, rgb, save, shade
from maxslope.studies.boundary import Study
from maxslope.studies.partition import PartitionStudy
from maxslope.studies.problems import Classes, Problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHARES = tuple(k / 5 for k in range(6))  # of the time, in the still picture
HUES = (*COLORS, "#4d7c0f", "#1e3a8a")
_BLUE, _RED, _TEAL = COLORS[:3]
_TIME = "time (length²)"


def draw_flow(study: Study | PartitionStudy, path: Path) -> Figure:
    """Draw boundaries at several times, of two classes beside the laws they follow (``path``.svg and .png)."""
    if isinstance(study, PartitionStudy):
        return _draw_several(study, path)
    problem, curve = study.problem, study.curve
    if problem.grid.dim == 3:
        return _draw_space(study, path)
    figure = blank(12.3, 3.55 * tall(problem.grid) + 1.0)
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    times = [share * float(curve.time[-1, 0]) for share in SHARES]
    sources = {
        "minimizing movements": curve,
        f"level sets, the law of ε = {problem.eps:.3g}": study.reference,
        "level sets, the limit law, ε → 0": study.limit,
    }
    for axis, (title, source) in zip(panels, sources.items(), strict=True):
        background(axis, problem)
        for share, t in zip(SHARES, times, strict=True):
            lines(axis, source.at(t)[0], problem.grid, color=passing(share), linewidth=1.6)
        axis.set_title(title, fontsize=10, color=INK)
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    half = times[1] / 2
    norm = BoundaryNorm([t - half for t in times] + [times[-1] + half], len(times))
    colors = ScalarMappable(norm, ListedColormap([passing(share) for share in SHARES]))
    bar = figure.colorbar(colors, ax=panels, ticks=times, fraction=0.025, pad=0.01)
    bar.ax.set_yticklabels([f"{t:.3g}" for t in times])
    bar.ax.tick_params(labelsize=8, length=0)
    bar.set_label("time", fontsize=9)
    return save(figure, path, f"{problem.title}: the boundary over time")


def _draw_space(study: Study, path: Path) -> Figure:
    """Surfaces at four times, those of the movements above those of the law of the same eps."""
    grid, end = study.problem.grid, float(study.curve.time[-1, 0])
    figure = blank(12.3, 6.4)
    for row, (source, title) in enumerate(((study.curve, "minimizing movements"), (study.reference, "level sets"))):
        for k in range(4):
            t = end * k / 3
            axis: Any = figure.add_subplot(2, 4, 4 * row + k + 1, projection="3d")
            points, triangles = surface(source.at(t)[0], grid)
            if len(triangles):
                x, y, z = points.T.tolist()
                axis.plot_trisurf(x, y, z, triangles=triangles.tolist(), color=passing(k / 3), linewidth=0)
            (x0, y0, z0), (x1, y1, z1) = grid.low, grid.high
            axis.set(xlim=(x0, x1), ylim=(y0, y1), zlim=(z0, z1))
            axis.set_box_aspect([b - a for a, b in zip(grid.low, grid.high, strict=True)])
            axis.tick_params(labelsize=6)
            axis.set_title(f"{title}, t = {t:.3g}", fontsize=9, color=INK)
    return save(figure, path, f"{study.problem.title}: the boundary over time")


def draw_numbers(study: Study | PartitionStudy, path: Path) -> Figure:
    """Draw perimeters and risks against time, and the stopping rule or areas (``path``.svg and .png)."""
    if isinstance(study, PartitionStudy):
        return _draw_areas(study, path)
    curve, stop = study.curve, study.stop
    time = curve.time[:, 0].tolist()
    figure = blank(13.0, 3.8)
    left, middle, right = figure.subplots(1, 3)
    left.plot(time, study.perimeter.tolist(), color=_BLUE, label=r"$\int \rho$ over the boundary")
    left.plot(time, curve.energy[:, 0].tolist(), color=_RED, label="nonlocal perimeter Per$_ε$")
    left.plot(*_thin(study.reference), ".", color=GRAY, markersize=4, label=r"$\int \rho$, level sets of the same ε")
    left.plot(*_thin(study.limit), "x", color=GRAY, markersize=4, label=r"$\int \rho$, limit law")
    left.set_ylim(0, left.get_ylim()[1] * 1.05)
    middle.plot(time, stop.robust_risk.tolist(), color=_RED, label="along the flow")
    if 0 < stop.index < len(time) - 1:
        middle.plot([stop.time], [float(stop.robust_risk[stop.index])], "o", color=INK, label="stop: before it rises")
    if not math.isnan(study.trained):
        middle.axhline(study.trained, color=_TEAL, linewidth=1, linestyle="--", label="adversarial training, one step")
    if not math.isnan(study.expected) and study.expected <= time[-1]:
        middle.axvline(study.expected, color=GRAY, linewidth=1, linestyle=":", label="expected, ε / (2⟨|∇η|⟩)")
    right.plot(time, stop.risk.tolist(), color=_BLUE)
    dress(left, "perimeter", _TIME, key=True)
    dress(middle, f"robust risk, ε = {study.problem.eps:.3g}", _TIME, key=True)
    dress(right, "risk", _TIME)
    return save(figure, path, f"{study.problem.title}: what the flow changes")


def _thin(curve: Curve) -> tuple[list[float], list[float]]:
    """A few instants of a long curve: times and energies."""
    few = instants(curve.time.shape[0] - 1, 13)
    return curve.time[few, 0].tolist(), curve.energy[few, 0].tolist()


def animate(study: Study | PartitionStudy, path: Path) -> None:
    """Write a GIF of the film of a page, with the robust risk so far beside it; ``path`` ends with .gif."""
    figure = blank(8.2, min(max(4.2 * tall(study.problem.grid) + 0.6, 2.8), 5.0))
    picture, numbers = figure.subplots(1, 2, width_ratios=[1.25, 1])
    background(picture, study.problem)
    time, robust, stop = study.curve.time[:, 0].tolist(), study.stop.robust_risk.tolist(), study.stop.index
    numbers.plot(time, robust, color="#d6d3d1")
    (way,) = numbers.plot([], [], color=_RED)
    (point,) = numbers.plot([], [], "o", color=_RED)
    turns = 0 < stop < len(time) - 1
    if turns:
        numbers.axvline(time[stop], color=GRAY, linewidth=1, linestyle=":")
    dress(numbers, "robust risk; dotted: stop" if turns else "robust risk", _TIME)

    def draw(k: int) -> list[Any]:
        way.set_data(time[: k + 1], robust[: k + 1])
        point.set_data([time[k]], [robust[k]])
        return _instant(picture, study, k)

    canvas.gif(picture, time, draw, path)


def film(study: Study | PartitionStudy) -> tuple[Figure, list[str]]:
    """Return the film of a page: the boundary at many times, where there is a limit law that dotted."""
    figure = blank(5.2, min(5.2 * tall(study.problem.grid) + 0.5, 6.0))
    axis = figure.subplots()
    background(axis, study.problem)
    axis.set_title("The boundary over time")
    time = study.curve.time[:, 0].tolist()
    return canvas.film(figure, time, lambda k, gid: _instant(axis, study, k, gid=gid))


def _instant(axis: Axes, study: Study | PartitionStudy, k: int, **style: Any) -> list[Any]:
    """Draw the boundaries at an instant, the limit law dotted."""
    drawn, grid = [], study.problem.grid
    for u in study.beside(k):
        drawn += lines(axis, u, grid, color=GRAY, linewidth=1.0, linestyle=":", **style)
    for u in study.boundaries(k):
        drawn += lines(axis, u, grid, color=INK, linewidth=2.0, **style)
    return drawn


def _draw_several(found: PartitionStudy, path: Path) -> Figure:
    """The boundaries of several classes at six times, the last in amber."""
    figure = blank(6.2, 5.2 * tall(found.problem.grid) + 0.9)
    axis = figure.subplots()
    background(axis, found.problem)
    for share in SHARES:
        instant = round(share * (len(found.curve.time) - 1))
        style: dict[str, Any] = {"color": passing(share), "linewidth": 1.6}
        for u in found.boundaries(instant):
            lines(axis, u, found.problem.grid, **style)
        axis.plot([], [], label=f"t = {float(found.curve.time[instant, 0]):.3g}", **style)
    legend(axis)
    axis.set_title("The boundaries at six times", fontsize=10, color=INK)
    return save(figure, path, found.problem.title)


def _draw_areas(found: PartitionStudy, path: Path) -> Figure:
    """Perimeter, risks and areas of several classes against time."""
    time, stop = found.curve.time[:, 0].tolist(), found.stop
    figure = blank(13.0, 3.6)
    left, middle, right = figure.subplots(1, 3)
    left.plot(time, found.curve.energy[:, 0].tolist(), color=_BLUE)
    middle.plot(time, stop.robust_risk.tolist(), color=_RED, label=f"robust risk, ε = {found.problem.eps:.3g}")
    middle.plot(time, stop.risk.tolist(), color=_BLUE, label="risk")
    middle.plot([stop.time], [float(stop.robust_risk[stop.index])], "o", color=INK, label="least")
    for name, hue, area in zip(found.problem.names, HUES, found.areas.unbind(1), strict=False):
        right.plot(time, area.tolist(), color=hue, label=name)
    dress(left, "perimeter, weighted", _TIME)
    dress(middle, "risk and robust risk", _TIME, key=True)
    dress(right, "share of the box, by class", _TIME, key=True)
    return save(figure, path, f"{found.problem.title}: what the flow changes")


def draw_network(
    problem: Problem, networks: Sequence[Tensor], control: Tensor, references: Sequence[Tensor], tau: float, path: Path
) -> Figure:
    """Draw a network's boundary after each step beside the law of the same eps from the same start, and the control.

    Level-set functions: ``networks`` from the start on, every ``tau``; ``control`` after the last step without the
    perimeter; ``references`` of the law at the same times.
    """
    grid, count = problem.grid, len(networks) - 1
    figure = blank(9.2, 4.2 * tall(grid) + 0.9)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)

    def mark(axis: Axes, u: Tensor, label: str, color: str, width: float) -> None:
        lines(axis, u, grid, color=color, linewidth=width)
        axis.plot([], [], label=label, color=color, linewidth=width)

    for axis, title in ((left, "trained with the perimeter"), (right, "trained without it: bias alone")):
        background(axis, problem)
        mark(axis, networks[0], "start", INK, 1.2)
        axis.set_title(title, fontsize=10, color=INK)
    for k in range(1, count + 1):
        mark(left, networks[k], f"network, t = {k * tau:.3g} (dotted: the law)", passing(k / count), 2)
        lines(left, references[k], grid, color=passing(k / count), linewidth=1.2, linestyle=":")
    mark(right, control, f"control after {count} steps", _RED, 2)
    for axis in (left, right):
        legend(axis)
    return save(figure, path, f"{problem.title}: the neural flow")


def tall(grid: Grid) -> float:
    """Return the height of a grid in its widths."""
    return (grid.high[1] - grid.low[1]) / (grid.high[0] - grid.low[0])


def background(axis: Axes, problem: Problem | Classes) -> None:
    """Draw the classes: hue by the likeliest one, strength by the density; samples as dots."""
    grid, rho = problem.grid, problem.rho
    total, top = rho.sum(0), rho.topk(2, dim=0).values
    share = 0.38 * (total / total.max()).sqrt() * (top[0] - top[1]) / total.clamp_min(1e-300)
    tint = torch.tensor([rgb(hue) for hue in HUES[: len(rho)]], dtype=torch.float64)[rho.argmax(0)] / 255
    image = torch.cat([tint, share.clamp(0, 1)[..., None]], -1)  # see-through, on whatever paper
    shade(axis, image, grid.low, grid.high, interpolation="bilinear")
    if problem.samples is not None:
        x, labels = problem.samples
        for k in range(len(rho)):
            part = x[labels == k][:1000]
            axis.plot(*part.T.tolist(), ".", color=HUES[k], markersize=1.6, alpha=0.5)
    plane(axis, grid.low, grid.high)


def lines(axis: Axes, u: Tensor, grid: Grid, **style: Any) -> list[Any]:
    """Draw the boundary of {u > 0}; return its lines."""
    return [axis.plot(*line.T.tolist(), **style)[0] for line in contour(u, grid)]


def write_boundaries(study: Study | PartitionStudy, path: Path) -> None:
    """Write the boundaries at every instant, and the signed distance where the flow is to be stopped, as .npz.

    ``time`` ``[K+1]``; ``points`` ``[n, d]`` in length units; ``first`` ``[m+1]``: line or surface j has the points
    ``first[j]`` to ``first[j+1]``; ``instant`` ``[m]``: when; ``of`` ``[m]``: which class of several it is around.
    ``triangles`` ``[t, 3]``, numbers of points: none in the plane. ``stopped``, its instant; ``distance``
    ``[*shape]`` there, of several classes ``[classes, *shape]``; ``low``, ``high``: the corners of the grid; ``names``.
    """
    curve, grid = study.curve, study.problem.grid
    parts: list[Tensor] = []
    triangles: list[Tensor] = []
    where: list[tuple[int, int]] = []
    count = 0
    for k, fields in enumerate(curve.points[:, 0]):
        for j, u in enumerate(fields.reshape(-1, *grid.shape)):
            for points, faces in _drawn(u, grid):
                parts.append(points)
                triangles.append(faces + count)
                where.append((k, j))
                count += len(points)
    instant, of = np.array(where, dtype=np.int64).reshape(-1, 2).T
    several: dict[str, Any] = (
        {"of": of, "names": np.array(study.problem.names)} if isinstance(study, PartitionStudy) else {}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        time=curve.time[:, 0].numpy(),
        points=torch.cat([*parts, torch.zeros(0, grid.dim, dtype=torch.float64)]).numpy(),
        first=np.cumsum([0, *map(len, parts)]),
        instant=instant,
        stopped=np.int64(study.stop.index),
        distance=study.stop.sd.numpy(),
        low=np.array(grid.low),
        high=np.array(grid.high),
        triangles=torch.cat([*triangles, torch.zeros(0, 3, dtype=torch.int64)]).numpy(),
        **several,
    )


def _drawn(u: Tensor, grid: Grid) -> list[tuple[Tensor, Tensor]]:
    nothing = torch.zeros(0, 3, dtype=torch.int64)
    if grid.dim == 2:
        return [(line, nothing) for line in contour(u, grid)]
    points, triangles = surface(u, grid)
    return [(points, triangles)] if len(points) else []
