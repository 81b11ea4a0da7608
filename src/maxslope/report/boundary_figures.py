"""Pictures of a boundary flow: over time, beside its references, its numbers, and an animation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from maxslope.boundary import Grid, contour, surface
from maxslope.report.boundary import Problem, Study
from maxslope.report.canvas import COLORS, INK, blank, passing, save, tidy
from maxslope.report.film import film as filmed
from maxslope.report.film import gif

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN = 6  # instants in the still picture
_BLUE, _RED, _TEAL, _GRAY = COLORS[0], COLORS[1], COLORS[2], COLORS[5]


def draw_flow(study: Study, path: Path) -> Figure:
    """Draw the boundary at several times beside the law of the same eps and the limit law (``path``.svg and .png)."""
    problem, curve = study.problem, study.curve
    if problem.grid.dim == 3:
        return _draw_space(study, path)
    wide, tall = extent(problem.grid)
    figure = blank(12.3, 3.55 * tall / wide + 1.0)
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    end = float(curve.time[-1, 0])
    titles = (
        "minimizing movements",
        f"level sets, the law of ε = {problem.eps:.3g}",
        "level sets, the limit law, ε → 0",
    )
    for axis, source, title in zip(panels, (curve, study.reference, study.limit), titles, strict=True):
        _background(axis, problem)
        for k in range(_SHOWN):
            t = end * k / (_SHOWN - 1)
            lines(axis, source.at(t)[0], problem.grid, color=passing(k / (_SHOWN - 1)), linewidth=1.6)
        axis.set_title(title, fontsize=10, color=INK)
    from matplotlib.colors import ListedColormap

    colors = ListedColormap([passing(k / (_SHOWN - 1)) for k in range(_SHOWN)])
    ticks = [end * k / (_SHOWN - 1) for k in range(_SHOWN)]
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm

    half = end / (_SHOWN - 1) / 2
    norm = BoundaryNorm([t - half for t in ticks] + [end + half], _SHOWN)
    bar = figure.colorbar(ScalarMappable(norm, colors), ax=panels, ticks=ticks, fraction=0.025, pad=0.01)
    bar.ax.set_yticklabels([f"{t:.3g}" for t in ticks])
    bar.ax.tick_params(labelsize=8, length=0)
    bar.set_label("time", fontsize=9)
    figure.suptitle(f"{problem.title}: the boundary over time", color=INK, fontsize=12)
    return save(figure, path)


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
            for bound, low, high in zip(
                (axis.set_xlim, axis.set_ylim, axis.set_zlim), grid.low, grid.high, strict=True
            ):
                bound(low, high)
            axis.set_box_aspect([b - a for a, b in zip(grid.low, grid.high, strict=True)])
            axis.tick_params(labelsize=6)
            axis.set_title(f"{title}, t = {t:.3g}", fontsize=9, color=INK)
    figure.suptitle(f"{study.problem.title}: the boundary over time", color=INK, fontsize=12)
    return save(figure, path)


def draw_numbers(study: Study, path: Path) -> Figure:
    """Draw perimeters and risks against time, with the stopping rule (``path``.svg and .png)."""
    curve, stop = study.curve, study.stop
    time = curve.time[:, 0].tolist()
    figure = blank(13.0, 3.8)
    left, middle, right = figure.subplots(1, 3)
    left.plot(time, study.perimeter.tolist(), color=_BLUE, label=r"$\int \rho$ over the boundary")
    left.plot(time, curve.energy[:, 0].tolist(), color=_RED, label="nonlocal perimeter Per$_ε$")
    left.plot(*_thin(study.reference), ".", color=_GRAY, markersize=4, label=r"$\int \rho$, level sets of the same ε")
    left.plot(*_thin(study.limit), "x", color=_GRAY, markersize=4, label=r"$\int \rho$, limit law")
    left.set_ylim(0, left.get_ylim()[1] * 1.05)
    left.set_title("perimeter", fontsize=10, color=INK)
    middle.plot(time, stop.robust_risk.tolist(), color=_RED, label="along the flow")
    if 0 < stop.index < len(time) - 1:
        middle.plot([stop.time], [float(stop.robust_risk[stop.index])], "o", color=INK, label="stop: before it rises")
    if not math.isnan(study.trained):
        middle.axhline(study.trained, color=_TEAL, linewidth=1, linestyle="--", label="adversarial training, one step")
    if not math.isnan(study.expected) and study.expected <= time[-1]:
        middle.axvline(study.expected, color=_GRAY, linewidth=1, linestyle=":", label="expected, ε / (2⟨|∇η|⟩)")
    middle.set_title(f"robust risk, ε = {study.problem.eps:.3g}", fontsize=10, color=INK)
    right.plot(time, stop.risk.tolist(), color=_BLUE)
    right.set_title("risk", fontsize=10, color=INK)
    for axis in (left, middle):
        _legend(axis)
    for axis in (left, middle, right):
        axis.set_xlabel("time (length²)", color=INK)
        tidy(axis)
    figure.suptitle(f"{study.problem.title}: what the flow changes", color=INK, fontsize=12)
    return save(figure, path)


def animate(study: Study, path: Path) -> None:
    """Write a GIF: the boundary and, thin, that of the limit law; the robust risk so far beside it.

    Args:
        study: what was followed.
        path: ends with .gif.
    """
    problem, curve = study.problem, study.curve
    wide, tall = extent(problem.grid)
    figure = blank(8.2, min(max(4.2 * tall / wide + 0.6, 2.8), 5.0))
    picture, numbers = figure.subplots(1, 2, width_ratios=[1.25, 1])
    _background(picture, problem)
    time = curve.time[:, 0].tolist()
    show = track(numbers, time, study.stop.robust_risk.tolist(), study.stop.index)

    def draw(k: int) -> list[Any]:
        picture.set_title(f"t = {time[k]:.4f}", fontsize=10, color=INK)
        show(k)
        return [
            *lines(picture, study.limit.at(time[k])[0], problem.grid, color=_GRAY, linewidth=0.9),
            *lines(picture, curve.points[k, 0], problem.grid, color=INK, linewidth=2.0),
        ]

    gif(figure, time, draw, path)


def track(axis: Axes, time: list[float], robust: list[float], stop: int) -> Callable[[int], None]:
    """Draw the robust risk against time, and return what shows it up to an instant."""
    axis.plot(time, robust, color="#d6d3d1")
    (way,) = axis.plot([], [], color=_RED)
    (point,) = axis.plot([], [], "o", color=_RED)
    axis.set_title("robust risk", fontsize=9, color=INK)
    if 0 < stop < len(time) - 1:
        axis.axvline(time[stop], color=_GRAY, linewidth=1, linestyle=":")
        axis.set_title("robust risk; dotted: stop", fontsize=9, color=INK)
    axis.set_xlabel("time (length²)", fontsize=9)
    tidy(axis)

    def show(k: int) -> None:
        way.set_data(time[: k + 1], robust[: k + 1])
        point.set_data([time[k]], [robust[k]])

    return show


def film(study: Study) -> tuple[Figure, list[str]]:
    """Return the film of a page: the boundary at many times, the limit law dotted."""
    curve, grid = study.curve, study.problem.grid
    wide, tall = extent(grid)
    figure = blank(5.2, min(5.2 * tall / wide + 0.5, 6.0))
    axis = figure.subplots()
    _background(axis, study.problem)
    axis.set_title("The boundary over time")
    time = curve.time[:, 0].tolist()

    def draw(k: int, gid: str) -> None:
        lines(axis, study.limit.at(time[k])[0], grid, color=_GRAY, linewidth=1.0, linestyle=":", gid=gid)
        lines(axis, curve.points[k, 0], grid, color=INK, linewidth=2.0, gid=gid)

    return filmed(figure, time, draw)


def draw_network(
    problem: Problem, networks: Sequence[Tensor], control: Tensor, references: Sequence[Tensor], tau: float, path: Path
) -> Figure:
    """Draw a network's boundary after each step beside the law of the same eps from the same start, and the control.

    Args:
        problem: grid, densities, eps.
        networks: level-set functions, the start first.
        control: after the last step without the perimeter.
        references: of the law, at the same times.
        tau: between them.
        path: without its ending.
    """
    wide, tall = extent(problem.grid)
    figure = blank(9.2, 4.2 * tall / wide + 0.9)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    count = len(networks) - 1
    for axis in (left, right):
        _background(axis, problem)
        lines(axis, networks[0], problem.grid, color=INK, linewidth=1.2)
    _mark(left, "start", color=INK, linewidth=1.2)
    for k in range(1, count + 1):
        color = passing(k / count)
        lines(left, networks[k], problem.grid, color=color, linewidth=2)
        lines(left, references[k], problem.grid, color=color, linewidth=1.2, linestyle=":")
        _mark(left, f"network, t = {k * tau:.3g} (dotted: the law)", color=color, linewidth=2)
    lines(right, control, problem.grid, color=_RED, linewidth=2)
    _mark(right, "start", color=INK, linewidth=1.2)
    _mark(right, f"control after {count} steps", color=_RED, linewidth=2)
    left.set_title("trained with the perimeter", fontsize=10, color=INK)
    right.set_title("trained without it: bias alone", fontsize=10, color=INK)
    for axis in (left, right):
        _legend(axis)
    figure.suptitle(f"{problem.title}: the neural flow", color=INK, fontsize=12)
    return save(figure, path)


def _mark(axis: Axes, label: str, **style: Any) -> None:
    axis.plot([], [], label=label, **style)


def _legend(axis: Axes) -> None:
    axis.legend(fontsize=8, facecolor="white", framealpha=0.85, edgecolor="none")


def _thin(curve: Any, count: int = 13) -> tuple[list[float], list[float]]:
    """A few instants of a long curve: times and energies."""
    last = curve.time.shape[0] - 1
    index = sorted({round(k * last / (count - 1)) for k in range(count)})
    return curve.time[index, 0].tolist(), curve.energy[index, 0].tolist()


def extent(grid: Grid) -> tuple[float, float]:
    """Return the width and height of a grid."""
    return grid.high[0] - grid.low[0], grid.high[1] - grid.low[1]


def _background(axis: Axes, problem: Problem) -> None:
    """The classes: hue by the likelier one, strength by the density; samples as dots."""
    d, grid = problem.densities, problem.grid
    strength = (d.rho / d.rho.max()).sqrt()
    share = (0.38 * strength * (2 * d.eta - 1)).clamp(-1, 1)
    blue, red = torch.tensor([0.06, 0.30, 0.51]), torch.tensor([0.76, 0.25, 0.05])
    tint = torch.where(share[..., None] > 0, red, blue).double()
    image = torch.cat([tint, share.abs()[..., None].double()], -1)  # see-through, on whatever paper
    axis.imshow(
        image.clamp(0, 1).transpose(0, 1).numpy(),
        origin="lower",
        extent=(grid.low[0], grid.high[0], grid.low[1], grid.high[1]),
        interpolation="bilinear",
    )
    if problem.samples is not None:
        for label, color in ((0, _BLUE), (1, _RED)):
            part = problem.samples.x[problem.samples.labels == label][:1000]
            axis.plot(part[:, 0].tolist(), part[:, 1].tolist(), ".", color=color, markersize=1.6, alpha=0.5)
    axis.set_xlim(grid.low[0], grid.high[0])
    axis.set_ylim(grid.low[1], grid.high[1])
    axis.set_aspect("equal")
    axis.tick_params(labelsize=8, colors=INK)


def lines(axis: Axes, u: Tensor, grid: Grid, **style: Any) -> list[Any]:
    """Draw the boundary of {u > 0}; return its lines."""
    return [axis.plot(line[:, 0].tolist(), line[:, 1].tolist(), **style)[0] for line in contour(u, grid)]
