"""The figures of the two-moons experiment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from maxslope.report.canvas import COLORS, INK, blank, save, tidy
from maxslope.report.film import film as filmed
from maxslope.report.film import gif
from maxslope.report.moons_study import Differences, trajectories

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from maxslope.curve import Curve

STARTS = {"ReLU": ((0.1, 0.55), 0.2), "GELU": ((0.45, 0.3), 0.25)}
_MM, _EXPLICIT = COLORS[1], COLORS[0]


def draw_trajectories(nets: dict[str, nn.Module], path: Path) -> Figure:
    """Explicit scheme and minimizing movements over the level sets of the energy, with step boxes, for four tau."""
    figure = blank(11.2, 2.9 * len(nets))
    axes = figure.subplots(len(nets), 4, squeeze=False)
    for row, (name, net) in enumerate(nets.items()):
        start, eps = STARTS[name]
        for column, tau in enumerate((eps, eps / 2, eps / 10, 1e-3)):
            axis = axes[row, column]
            _levels(axis, net, start, eps)
            explicit, movement = trajectories(net, start, eps, tau)
            _path(axis, explicit, _EXPLICIT, "explicit (IFGSM)")
            _path(axis, movement, _MM, "minimizing movement")
            if tau > eps / 20:
                _boxes(axis, movement, tau)
            axis.set_title(f"{name}, tau = {tau:.3g}", fontsize=9, color=INK)
    axes[0, 0].legend(frameon=True, fontsize=7, loc="lower left")
    return save(figure, path)


def _levels(axis: Axes, net: nn.Module, start: tuple[float, float], eps: float) -> None:
    reach = 1.25 * eps
    at = [torch.linspace(c - reach, c + reach, 80, dtype=torch.float64) for c in start]
    grid = torch.cartesian_prod(*at)
    with torch.no_grad():
        center = float(net(torch.tensor([start], dtype=torch.float64)) > 0.5)
        value = (net(grid) - center).square().reshape(80, 80).T
    edges = (start[0] - reach, start[0] + reach, start[1] - reach, start[1] + reach)
    axis.imshow(value, origin="lower", extent=edges, cmap="Greys", alpha=0.55, interpolation="bilinear")
    axis.contour(at[0], at[1], value, levels=9, colors="white", linewidths=0.5)
    low = [c - eps for c in start]
    axis.add_patch(_rectangle(low, 2 * eps, INK, 1.2))
    axis.set_xlim(start[0] - reach, start[0] + reach)
    axis.set_ylim(start[1] - reach, start[1] + reach)
    axis.set_aspect("equal")
    axis.set_xticks([])
    axis.set_yticks([])


def _rectangle(low: list[float], width: float, color: str, line: float):  # type: ignore[no-untyped-def]
    from matplotlib.patches import Rectangle

    return Rectangle((low[0], low[1]), width, width, fill=False, edgecolor=color, linewidth=line)


def _path(axis: Axes, curve: Curve, color: str, label: str) -> None:
    points = curve.points[:, 0]
    few = len(points) < 60
    axis.plot(
        points[:, 0], points[:, 1], color=color, linewidth=1.2, marker="o" if few else None, markersize=2.5, label=label
    )


def _boxes(axis: Axes, curve: Curve, tau: float) -> None:
    moving = curve.points[1:, 0].ne(curve.points[:-1, 0]).any(1)
    for point in curve.points[:-1, 0][moving].tolist():
        axis.add_patch(_rectangle([c - tau for c in point], 2 * tau, _MM, 0.4))


def film(net: nn.Module, curve: Curve) -> tuple[Figure, list[str]]:
    """Return the film of a page: particles on their ways, over what the network answers."""
    figure = blank(5.2, 3.9)
    show = _particles(figure.subplots(), net, curve)

    def draw(k: int, gid: str) -> None:
        show(k, gid=gid)

    return filmed(figure, curve.time[:, 0].tolist(), draw)


def animate(net: nn.Module, curve: Curve, path: Path) -> None:
    """Write the film as a GIF; ``path`` ends with .gif."""
    figure = blank(5.2, 3.9)
    axis = figure.subplots()
    show, time = _particles(axis, net, curve), curve.time[:, 0].tolist()

    def draw(k: int) -> list[Any]:
        axis.set_title(f"t = {time[k]:.3f}", fontsize=10, color=INK)
        return show(k)

    gif(figure, time, draw, path)


def _particles(axis: Axes, net: nn.Module, curve: Curve) -> Callable[..., list[Any]]:
    """Draw what stands still, and return what draws the particles at an instant."""
    points = curve.points
    bounds = points.flatten(0, 1).aminmax(dim=0)
    low, high = (bounds.min - 0.15).tolist(), (bounds.max + 0.15).tolist()
    at = [torch.linspace(a, b, 60, dtype=torch.float64) for a, b in zip(low, high, strict=True)]
    with torch.no_grad():
        answer = net(torch.cartesian_prod(*at)).reshape(60, 60).T
        ones = net(points[0]) > 0.5
    edges: tuple[float, float, float, float] = (low[0], high[0], low[1], high[1])
    axis.imshow(answer, origin="lower", extent=edges, cmap="Greys", vmin=-0.5, vmax=1.5, alpha=0.5)
    axis.contour(at[0], at[1], answer, levels=[0.5], colors=INK, linewidths=1.0)
    for way in points.unbind(1):
        axis.plot(*way.T.tolist(), color=COLORS[5], linewidth=0.6)
    axis.set_title("Particles along the flow")
    axis.set_aspect("equal")
    axis.set_xticks([])
    axis.set_yticks([])

    def show(k: int, **style: Any) -> list[Any]:
        return [
            axis.plot(*points[k, own].T.tolist(), "o", color=color, markersize=3.5, **style)[0]
            for own, color in ((ones, _MM), (~ones, _EXPLICIT))
        ]

    return show


def draw_differences(found: dict[str, Differences], path: Path) -> Figure:
    """The mean largest difference between explicit scheme and minimizing movements against tau, with both measures."""
    figure = blank(7.6, 3.4)
    left, right = figure.subplots(1, 2, sharey=True)
    panels = ((left, "max over time, sup norm"), (right, "largest row sum (published measure)"))
    for k, (name, d) in enumerate(found.items()):
        for axis, table in ((left, d.largest), (right, d.matrix)):
            mean, error = table.mean(1), table.std(dim=1) / table.shape[1] ** 0.5
            axis.errorbar(
                d.taus, mean, yerr=2 * error, color=COLORS[k], marker="o", markersize=3, linewidth=1.2, label=name
            )
    for axis, title in panels:
        taus = next(iter(found.values())).taus
        axis.plot(taus, [tau / 2 for tau in taus], color=INK, linewidth=0.8, linestyle=":", label="order one")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_title(title, fontsize=9, color=INK)
        axis.set_xlabel("tau", color=INK)
        tidy(axis)
    left.set_ylabel("mean difference", color=INK)
    left.legend(frameon=False, fontsize=8)
    return save(figure, path)


def draw_images(panels: dict[str, Tensor], titles: dict[str, list[str]], path: Path) -> Figure:
    """Rows of images under their names, each with a caption.

    Args:
        panels: images ``[n, height, width]`` by name.
        titles: captions by name.
        path: without an ending.
    """
    count = max(len(t) for t in panels.values())
    figure = blank(1.1 * count + 1.0, 1.35 * len(panels))
    axes = figure.subplots(len(panels), count, squeeze=False)
    for row, (name, images) in enumerate(panels.items()):
        for k, image in enumerate(images):
            axes[row, k].imshow(image.numpy(), cmap="gray", vmin=0, vmax=1)
            axes[row, k].set_title(titles[name][k], fontsize=7, color=INK, pad=2)
        for axis in axes[row]:
            axis.set_xticks([])
            axis.set_yticks([])
        axes[row, 0].set_ylabel(name, fontsize=8, color=INK)
    return save(figure, path)
