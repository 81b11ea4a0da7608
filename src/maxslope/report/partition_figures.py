"""Pictures of several classes over time, their numbers, and a film."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from maxslope.report.boundary_figures import extent, lines, track
from maxslope.report.canvas import COLORS, INK, blank, passing, save, tidy
from maxslope.report.film import film as filmed
from maxslope.report.film import gif
from maxslope.report.partition import Classes, PartitionStudy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN = 6  # instants in the still picture
_HUES = (*COLORS, "#4d7c0f", "#1e3a8a")


def draw_flow(found: PartitionStudy, path: Path) -> Figure:
    """Draw the boundaries at six times, the last in amber (``path``.svg and .png)."""
    wide, tall = extent(found.problem.grid)
    figure = blank(6.2, 5.2 * tall / wide + 0.9)
    axis = figure.subplots()
    _background(axis, found.problem)
    last = len(found.curve.time) - 1
    for k in range(_SHOWN):
        share = k / (_SHOWN - 1)
        instant = round(share * last)
        style: dict[str, Any] = {"color": passing(share), "linewidth": 1.6}
        _boundaries(axis, found, instant, **style)
        axis.plot([], [], label=f"t = {float(found.curve.time[instant, 0]):.3g}", **style)
    axis.legend(fontsize=8, facecolor="white", framealpha=0.85, edgecolor="none")
    axis.set_title("The boundaries at six times", fontsize=10, color=INK)
    figure.suptitle(found.problem.title, color=INK, fontsize=12)
    return save(figure, path)


def draw_numbers(found: PartitionStudy, path: Path) -> Figure:
    """Draw perimeter, risks and areas against time (``path``.svg and .png)."""
    time = found.curve.time[:, 0].tolist()
    figure = blank(13.0, 3.6)
    left, middle, right = figure.subplots(1, 3)
    left.plot(time, found.curve.energy[:, 0].tolist(), color=COLORS[0])
    left.set_title("perimeter, weighted", fontsize=10, color=INK)
    middle.plot(time, found.robust_risk.tolist(), color=COLORS[1], label=f"robust risk, ε = {found.problem.eps:.3g}")
    middle.plot(time, found.risk.tolist(), color=COLORS[0], label="risk")
    middle.plot([time[found.best]], [float(found.robust_risk[found.best])], "o", color=INK, label="least")
    middle.set_title("risk and robust risk", fontsize=10, color=INK)
    for k, name in enumerate(found.problem.names):
        right.plot(time, found.areas[:, k].tolist(), color=_HUES[k], label=name)
    right.set_title("share of the box, by class", fontsize=10, color=INK)
    for axis in (middle, right):
        axis.legend(fontsize=8, facecolor="white", framealpha=0.85, edgecolor="none")
    for axis in (left, middle, right):
        axis.set_xlabel("time (length²)", color=INK)
        tidy(axis)
    figure.suptitle(f"{found.problem.title}: what the flow changes", color=INK, fontsize=12)
    return save(figure, path)


def animate(found: PartitionStudy, path: Path) -> None:
    """Write a GIF of the boundaries, the robust risk so far beside them; ``path`` ends with .gif."""
    wide, tall = extent(found.problem.grid)
    figure = blank(8.2, min(max(4.2 * tall / wide + 0.6, 2.8), 5.0))
    picture, numbers = figure.subplots(1, 2, width_ratios=[1.25, 1])
    _background(picture, found.problem)
    time = found.curve.time[:, 0].tolist()
    show = track(numbers, time, found.robust_risk.tolist(), found.best)

    def draw(k: int) -> list[Any]:
        picture.set_title(f"t = {time[k]:.4f}", fontsize=10, color=INK)
        show(k)
        return _boundaries(picture, found, k, color=INK, linewidth=2.0)

    gif(figure, time, draw, path)


def film(found: PartitionStudy) -> tuple[Figure, list[str]]:
    """Return the film of a page: the boundaries at many times."""
    wide, tall = extent(found.problem.grid)
    figure = blank(5.2, min(5.2 * tall / wide + 0.5, 6.0))
    axis = figure.subplots()
    _background(axis, found.problem)
    axis.set_title("The boundaries over time")

    def draw(k: int, gid: str) -> None:
        _boundaries(axis, found, k, color=INK, linewidth=2.0, gid=gid)

    return filmed(figure, found.curve.time[:, 0].tolist(), draw)


def _boundaries(axis: Axes, found: PartitionStudy, instant: int, **style: Any) -> list[Any]:
    """The boundaries of all classes but the last, which has none that is not another's."""
    fields = found.curve.points[instant, 0]
    return [line for u in fields[:-1] for line in lines(axis, u, found.problem.grid, **style)]


def _background(axis: Axes, problem: Classes) -> None:
    """The classes: hue by the likeliest one, strength by the density; samples as dots."""
    grid, rho = problem.grid, problem.rho
    total = rho.sum(0)
    likeliest = rho.argmax(0)
    top = rho.topk(2, dim=0).values
    share = 0.38 * (total / total.max()).sqrt() * (top[0] - top[1]) / total.clamp_min(1e-300)
    tint = torch.tensor([[int(c[k : k + 2], 16) / 255 for k in (1, 3, 5)] for c in _HUES[: len(rho)]])[likeliest]
    image: Tensor = torch.cat([tint.double(), share.clamp(0, 1)[..., None]], -1)
    extremes = (grid.low[0], grid.high[0], grid.low[1], grid.high[1])
    axis.imshow(image.transpose(0, 1).numpy(), origin="lower", extent=extremes, interpolation="bilinear")
    if problem.samples is not None:
        for k in range(len(rho)):
            part = problem.samples[0][problem.samples[1] == k][:1000]
            axis.plot(part[:, 0].tolist(), part[:, 1].tolist(), ".", color=_HUES[k], markersize=1.6, alpha=0.5)
    axis.set_xlim(grid.low[0], grid.high[0])
    axis.set_ylim(grid.low[1], grid.high[1])
    axis.set_aspect("equal")
    axis.tick_params(labelsize=8, colors=INK)
