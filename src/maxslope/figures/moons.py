"""The figures of the two-moons experiment, and of convergence studies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from maxslope.figures import canvas
from maxslope.figures.canvas import COLORS, GRAY, INK, blank, dress, plane, raster, save, shade
from maxslope.studies.moons import Differences, trajectories

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from maxslope.curve import Curve
    from maxslope.reference import Convergence

_STARTS = {"ReLU": ((0.1, 0.55), 0.2), "GELU": ((0.45, 0.3), 0.25)}
_EXPLICIT, _MM = COLORS[:2]


def draw_trajectories(nets: dict[str, nn.Module], path: Path) -> Figure:
    """Explicit scheme and minimizing movements over the level sets of the energy, with step boxes, for four tau."""
    figure = blank(11.2, 2.9 * len(nets))
    axes = figure.subplots(len(nets), 4, squeeze=False)
    for row, (name, net) in enumerate(nets.items()):
        start, eps = _STARTS[name]
        for axis, tau in zip(axes[row], (eps, eps / 2, eps / 10, 1e-3), strict=True):
            _levels(axis, net, start, eps)
            explicit, movement = trajectories(net, start, eps, tau)
            for curve, color, label in (
                (explicit, _EXPLICIT, "explicit (IFGSM)"),
                (movement, _MM, "minimizing movement"),
            ):
                mark = "o" if len(curve.points) < 60 else None
                way = curve.points[:, 0].T
                axis.plot(*way, color=color, linewidth=1.2, marker=mark, markersize=2.5, label=label)
            if tau > eps / 20:
                moving = movement.points[1:, 0].ne(movement.points[:-1, 0]).any(1)
                for point in movement.points[:-1, 0][moving].tolist():
                    _box(axis, point, tau, _MM, 0.4)
            axis.set_title(f"{name}, tau = {tau:.3g}", fontsize=9, color=INK)
    axes[0, 0].legend(frameon=True, fontsize=7, loc="lower left")
    return save(figure, path)


def _levels(axis: Axes, net: nn.Module, start: tuple[float, float], eps: float) -> None:
    """Draw the level sets of the energy around a start, and its budget."""
    low, high = [c - 1.25 * eps for c in start], [c + 1.25 * eps for c in start]
    sides, grid = raster(low, high, 80)
    with torch.no_grad():
        center = float(net(torch.tensor([start], dtype=torch.float64)) > 0.5)
        value = (net(grid) - center).square().reshape(80, 80)
    shade(axis, value, low, high, cmap="Greys", alpha=0.55, interpolation="bilinear")
    axis.contour(*sides, value.T, levels=9, colors="white", linewidths=0.5)
    _box(axis, start, eps, INK, 1.2)
    plane(axis, low, high)
    axis.set(xticks=[], yticks=[])  # places do not matter


def _box(axis: Axes, center: Any, half: float, color: str, line: float) -> None:
    from matplotlib.patches import Rectangle

    corner = (center[0] - half, center[1] - half)
    axis.add_patch(Rectangle(corner, 2 * half, 2 * half, fill=False, edgecolor=color, linewidth=line))


def film(net: nn.Module, curve: Curve) -> tuple[Figure, list[str]]:
    """Return the film of a page: particles on their ways, over what the network answers."""
    figure = blank(5.2, 3.9)
    return canvas.film(figure, curve.time[:, 0].tolist(), _particles(figure.subplots(), net, curve))


def animate(net: nn.Module, curve: Curve, path: Path) -> None:
    """Write the film as a GIF; ``path`` ends with .gif."""
    axis = blank(5.2, 3.9).subplots()
    canvas.gif(axis, curve.time[:, 0].tolist(), _particles(axis, net, curve), path)


def _particles(axis: Axes, net: nn.Module, curve: Curve) -> Callable[..., list[Any]]:
    """Draw what stands still, and return what draws the particles at an instant."""
    points = curve.points
    bounds = points.flatten(0, 1).aminmax(dim=0)
    low, high = (bounds.min - 0.15).tolist(), (bounds.max + 0.15).tolist()
    sides, grid = raster(low, high, 60)
    with torch.no_grad():
        answer = net(grid).reshape(60, 60)
        ones = net(points[0]) > 0.5
    shade(axis, answer, low, high, cmap="Greys", vmin=-0.5, vmax=1.5, alpha=0.5)
    axis.contour(*sides, answer.T, levels=[0.5], colors=INK, linewidths=1.0)
    for way in points.unbind(1):
        axis.plot(*way.T.tolist(), color=GRAY, linewidth=0.6)
    axis.set_title("Particles along the flow")
    plane(axis, low, high)
    axis.set(xticks=[], yticks=[])  # places do not matter

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
    for k, (name, d) in enumerate(found.items()):
        for axis, table in ((left, d.largest), (right, d.matrix)):
            mean, error = table.mean(1), table.std(dim=1) / table.shape[1] ** 0.5
            style: dict[str, Any] = {"color": COLORS[k], "marker": "o", "markersize": 3, "linewidth": 1.2}
            axis.errorbar(d.taus, mean, yerr=2 * error, label=name, **style)
    taus = next(iter(found.values())).taus
    for axis in (left, right):
        axis.plot(taus, [tau / 2 for tau in taus], color=INK, linewidth=0.8, linestyle=":", label="order one")
        axis.set(xscale="log", yscale="log")
    dress(left, "max over time, sup norm", "tau", "mean difference", key=True)
    dress(right, "largest row sum (published measure)", "tau")
    return save(figure, path)


def draw_images(panels: dict[str, Tensor], titles: dict[str, list[str]], path: Path) -> Figure:
    """Rows of images ``[n, height, width]`` under their names, each with a caption."""
    count = max(len(t) for t in panels.values())
    figure = blank(1.1 * count + 1.0, 1.35 * len(panels))
    axes = figure.subplots(len(panels), count, squeeze=False)
    for row, (name, images) in zip(axes, panels.items(), strict=True):
        for axis, image, title in zip(row, images, titles[name], strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1)
            axis.set_title(title, fontsize=7, color=INK, pad=2)
        for axis in row:
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, fontsize=8, color=INK)
    return save(figure, path)


def draw_convergence(study: Convergence, path: Path, title: str = "") -> Figure:
    """Write errors, dissipation defects and inclusion residuals against tau, as SVG and PNG; ``path`` has no ending."""
    figure = blank(10.5, 3.4)
    left, middle, right = figure.subplots(1, 3)
    errors = {f"{name}: order {study.orders[name][0]:.2f}": table for name, table in study.errors.items()}
    _convergence(left, study.taus, errors, "max over time of the error", spread=True)
    _convergence(middle, study.taus, study.defects, "dissipation defect")
    _convergence(right, study.taus, study.residuals, "inclusion residual")
    return save(figure, path, title, 11)


def _convergence(
    axis: Axes, taus: Sequence[float], tables: Mapping[str, Tensor], label: str, *, spread: bool = False
) -> None:
    """Draw the means over rows of tables ``[taus, rows]``; spread, a band from the 10 % to the 90 % quantile."""
    for k, (name, table) in enumerate(tables.items()):
        color = COLORS[k % len(COLORS)]
        mean, low, high = (
            v.clamp_min(1e-17).tolist() for v in (table.mean(1), table.quantile(0.1, dim=1), table.quantile(0.9, dim=1))
        )
        axis.loglog(taus, mean, marker="o", markersize=3, color=color, label=name, linewidth=1.3)
        if spread and table.shape[1] > 1:
            axis.fill_between(taus, low, high, color=color, alpha=0.12, linewidth=0)
    top = max(float(t.mean(1).max()) for t in tables.values())
    axis.loglog(taus, [top * tau / max(taus) for tau in taus], color=INK, linewidth=0.8, linestyle=":")
    shown = taus[:: max(1, len(taus) // 3)]
    axis.set_xticks(shown, [f"{tau:.2g}" for tau in shown])
    axis.set_xticks([], minor=True)
    dress(axis, x="tau", y=label, key=spread)
