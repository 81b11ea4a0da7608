"""Figures of a training: epochs, decision boundaries in the plane, the curve of weights, margins and distances.

Each is written at a path without an ending, as SVG and PNG, and needs matplotlib: ImportError says how to get it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from maxslope.goals.classes import as_logits
from maxslope.report.canvas import COLORS, INK, blank, dress, plane, raster, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from maxslope.curve import Curve
    from maxslope.training import Geometry

_CLASSES = ("#9fc3e7", "#f3b58e", "#9ed5c9", "#c9b3f2", "#e3cf98", "#c3cad4", "#ecadc9", "#aad9b4")


def draw_history(history: Sequence[Mapping[str, Any]], path: Path, title: str = "") -> Figure:
    """Draw the history of a :class:`maxslope.training.Fitted`: loss, accuracies that were checked, gradients, guard.

    Raises:
        ValueError: if no epoch was completed.
    """
    if not history:
        raise ValueError("A picture of a training needs at least one completed epoch, got none.")
    from matplotlib.ticker import MaxNLocator

    checked = [record for record in history if "robust" in record]
    figure = blank(10.5, 3.1)
    loss, accuracy, cost = figure.subplots(1, 3)

    def line(axis: Axes, name: str, color: int, label: str = "", scale: float = 1.0, **style: Any) -> None:
        known = [record for record in history if name in record]
        values = [scale * record[name] for record in known]
        axis.plot([r["epoch"] for r in known], values, color=COLORS[color], label=label or name, linewidth=1.4, **style)

    line(loss, "loss", 0)
    line(accuracy, "clean", 0, scale=100, marker="o", markersize=3)
    line(accuracy, "robust", 1, scale=100, marker="o", markersize=3)
    line(cost, "backward", 0, "gradients")
    line(cost, "radius", 2, "radius / eps")
    line(cost, "ratio", 1, "guard's ratio")
    dress(loss, "mean loss of the epoch's batches", "epoch")
    dress(accuracy, "accuracy on held-out samples, %", "epoch", key=bool(checked))
    dress(cost, "inner gradients a sample", "epoch", key=True)
    if not checked:
        accuracy.text(0.5, 0.5, "not checked", ha="center", color=INK, transform=accuracy.transAxes)
    for axis in (loss, accuracy, cost):
        axis.set_ylim(bottom=0, top=100 if axis is accuracy else None)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return save(figure, path, title, 11)


def draw_boundaries(
    models: Mapping[str, Callable[[Tensor], Tensor]], x: Tensor, y: Tensor, eps: float, path: Path, *, p: float = 2.0
) -> Figure:
    """Write the regions of classifiers of the plane, side by side, with samples and the budgets of a few.

    Args:
        models: by name; from ``[rows, 2]`` to logits.
        x: samples, ``[n, 2]``.
        y: labels, ``[n]``.
        eps: the radius of the drawn budgets.
        path: without an ending.
        p: of the norm: 2 draws disks, inf draws boxes, 1 draws diamonds.

    Raises:
        ValueError: if the samples are not points of the plane.
    """
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"Decision boundaries are drawn in the plane, for samples [n, 2], got {tuple(x.shape)}.")
    low, high = (x.amin(0) - 2 * eps).tolist(), (x.amax(0) + 2 * eps).tolist()
    figure = blank(3.6 * len(models), 3.4 * (high[1] - low[1]) / (high[0] - low[0]) + 0.4)
    sides, grid = raster(low, high, 240)
    classes = int(y.max()) + 1
    axes = figure.subplots(1, len(models), squeeze=False)[0]
    for axis, (name, model) in zip(axes, models.items(), strict=True):
        with torch.no_grad():
            logits = as_logits(model(grid.to(x))).reshape(240, 240, -1).transpose(0, 1)
        levels = [k - 0.5 for k in range(classes + 1)]
        axis.contourf(*sides, logits.argmax(2), levels=levels, colors=_CLASSES[:classes])
        if classes == 2:
            axis.contour(*sides, logits[..., 1] - logits[..., 0], levels=[0.0], colors=INK, linewidths=1.2)
        else:
            first, second = logits.topk(2, 2).values.unbind(2)
            axis.contour(*sides, first - second, levels=[0.02], colors=INK)
        for c in range(classes):
            axis.scatter(*x[y == c].T, s=5, color=COLORS[c], linewidths=0)
        _budgets(axis, x, eps, p)
        axis.set_title(name, fontsize=10, color=INK)
        plane(axis, low, high)
    return save(figure, path)


def _budgets(axis: Axes, x: Tensor, eps: float, p: float) -> None:
    """The balls around a few samples far from each other."""
    from matplotlib.patches import Polygon

    chosen = [0]
    for _ in range(min(9, len(x) - 1)):
        chosen.append(int(torch.cdist(x, x[chosen]).amin(1).argmax()))
    angle = torch.linspace(0, 2 * torch.pi, 121)[:-1]
    circle = torch.stack([angle.cos(), angle.sin()], 1).double()
    outline = eps * circle / torch.linalg.vector_norm(circle, ord=p, dim=1, keepdim=True)
    for i in chosen:
        axis.add_patch(Polygon((outline + x[i]).tolist(), fill=False, edgecolor=INK, linewidth=0.7))


def draw_geometry(found: Mapping[str, Geometry], eps: float, path: Path) -> Figure:
    """Write distributions of margins, distances to the boundary and local Lipschitz constants, say before and after.

    Args:
        found: what :func:`maxslope.training.geometry` returned, by name.
        eps: the radius that is marked among the distances.
        path: without an ending.
    """
    figure = blank(10.5, 3.1)
    axes = figure.subplots(1, 3)
    titles = {
        "margin": "logit margin at the samples",
        "distance": "distance to the nearest error found",
        "lipschitz": "local Lipschitz constant of the margin",
    }
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        values = [getattr(g, name).double().cpu() for g in found.values()]
        values = [v[v.isfinite()] for v in values]
        whole = torch.cat(values)
        edges = torch.linspace(float(whole.min()), float(whole.quantile(0.995)) + 1e-12, 25).tolist()
        for k, (label, v) in enumerate(zip(found, values, strict=True)):
            shown = v.clamp_max(edges[-1]).tolist()
            style = {"bins": edges, "color": COLORS[k], "weights": [100 / len(shown)] * len(shown)}
            axis.hist(shown, histtype="stepfilled", alpha=0.18, **style)
            axis.hist(shown, histtype="step", linewidth=1.3, label=label, **style)
        dress(axis, title, y="samples, %", key=axis is axes[2])
    axes[0].axvline(0, color=INK, linewidth=0.8, linestyle=":")
    axes[1].axvline(eps, color=INK, linewidth=0.8, linestyle=":")
    return save(figure, path)


def draw_weights(curve: Curve, path: Path) -> Figure:
    """Write a curve of weights: energy against time, and what is left of it by the energy dissipation equality.

    The two lines agree for a gradient flow. Other optimizers move further than |dE| in their time, or elsewhere: for
    them the second line falls faster, and by how much is the dissipation defect. The curve has one row, as
    ``Fitted.curve``.
    """
    figure = blank(7.2, 3.1)
    left, right = figure.subplots(1, 2)
    time, energy, slope = (column[:, 0].cpu() for column in (curve.time, curve.energy, curve.slope))
    passed = time.diff()
    # energy dissipation equality of a curve of rate 2: E(0) - E(t) = int |w'|^2 / 2 + |dE|^2 / 2
    rate = (slope[1:] ** 2 + slope[:-1] ** 2) / 4 + curve.speed[:, 0].cpu() ** 2 / 2
    spent = torch.cat([torch.zeros(1, dtype=time.dtype), (rate * passed).cumsum(0)])
    left.plot(time, energy, color=COLORS[0], linewidth=1.4, label="energy on the frozen batch")
    left.plot(time, energy[0] - spent, color=COLORS[1], linewidth=1.1, linestyle="--", label="energy - dissipation")
    room = 0.1 * float(energy.max() - energy.min()) + 1e-12
    left.set_ylim(float(energy.min()) - room, float(energy.max()) + room)
    right.semilogy(time, slope.clamp_min(1e-12), color=COLORS[0], linewidth=1.4)
    dress(left, x="time (sum of learning rates)", key=True)
    dress(right, "slope |dE|", "time (sum of learning rates)")
    return save(figure, path)
