"""The figure of a study of a network's flow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from maxslope.odenet import Squared
from maxslope.report.canvas import COLORS, INK, blank, save, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from maxslope.report.odenet_study import Study


def draw(study: Study, path: Path) -> Figure:
    """Loss, slope, exponent fit, particles by layer, share of the largest particle, decision regions.

    Args:
        study: what was trained.
        path: without an ending; SVG and PNG files are written.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    figure = blank(11.0, 6.4)
    axes = figure.subplots(2, 3)
    _loss(axes[0, 0], study)
    _slope(axes[0, 1], study)
    _fit(axes[0, 2], study)
    _particles(axes[1, 0], study)
    _features(axes[1, 1], study)
    _answers(axes[1, 2], study)
    for axis in axes.flat:
        tidy(axis)
    figure.suptitle(f"{study.data.name}: {study.verdict.fate.value}", color=INK, fontsize=10)
    return save(figure, path)


def _title(axis: Axes, title: str, x: str, y: str) -> None:
    axis.set_title(title, fontsize=9, color=INK)
    axis.set_xlabel(x, fontsize=8, color=INK)
    axis.set_ylabel(y, fontsize=8, color=INK)


def _loss(axis: Axes, study: Study) -> None:
    run = study.run
    later = run.time > 0
    axis.semilogx(run.time[later], run.energy[later], color=COLORS[0], linewidth=1.4)
    other = axis.twinx()
    other.semilogx(run.time[later], run.length[later], color=COLORS[1], linewidth=1.2, linestyle="--")
    other.set_ylabel("length of the curve (dashed)", fontsize=8, color=COLORS[1])
    other.tick_params(labelsize=8, colors=COLORS[1])
    other.spines["top"].set_visible(False)
    _title(axis, "energy and length", "time", "J")


def _slope(axis: Axes, study: Study) -> None:
    run = study.run
    later = run.time > 0
    axis.loglog(run.time[later], run.slope[later], color=COLORS[0], linewidth=1.4, label="slope |dJ|")
    rate = torch.where(run.rate > 0, run.rate, torch.nan)
    axis.loglog(run.time[later], rate[later], color=COLORS[2], linewidth=1.0, label="rate -d log |dJ| / dt")
    curvature = study.verdict.curvature
    if curvature is not None and curvature.smallest > 0:
        axis.axhline(curvature.smallest, color=INK, linestyle=":", linewidth=0.8, label="smallest eigenvalue")
    axis.legend(frameon=False, fontsize=7)
    _title(axis, "slope and rate", "time", "")


def _fit(axis: Axes, study: Study) -> None:
    found = study.verdict.fit
    _title(axis, "exponent along the trajectory", "J - J*", "|dJ|")
    if found is None:
        axis.text(0.5, 0.5, "no power law yet", ha="center", transform=axis.transAxes, fontsize=9, color=INK)
        return
    gap, slope = found.gap, found.slope
    axis.loglog(gap[::8], slope[::8], "o", markersize=2.5, color=COLORS[0], label="trajectory")
    middle = gap.log().mean(), slope.log().mean()
    line = (found.theta * (gap.log() - middle[0]) + middle[1]).exp()
    label = f"theta = {found.theta:.3f} in [{found.low:.3f}, {found.high:.3f}]"
    axis.loglog(gap, line, color=COLORS[1], linewidth=1.2, label=label)
    half = ((gap.log() - middle[0]) / 2 + middle[1]).exp()
    axis.loglog(gap, half, color=INK, linewidth=0.8, linestyle=":", label="theta = 1/2")
    axis.legend(frameon=False, fontsize=7)


def _particles(axis: Axes, study: Study) -> None:
    """Where the particles of each layer start and end: size of input and output weights."""
    d = study.risk.design.channels
    theta = study.run.end
    layers = theta.shape[0]
    from matplotlib import colormaps

    shades = colormaps["viridis"](torch.linspace(0.05, 0.9, layers).numpy())
    start = study.start
    axis.plot(
        start[..., d : 2 * d].norm(dim=2).flatten(), start[..., :d].norm(dim=2).flatten(),
        ".", color="#cbd5e1", markersize=3, label="start",
    )  # fmt: skip
    for layer in range(layers):
        at = theta[layer, :, d : 2 * d].norm(dim=1), theta[layer, :, :d].norm(dim=1)
        label = f"layer {layer + 1}" if layer in (0, layers - 1) else None
        axis.plot(*at, "o", color=shades[layer], markersize=3, alpha=0.85, label=label)
    whole = torch.cat([theta, start])
    top = 1.05 * float(torch.stack([whole[..., :d], whole[..., d : 2 * d]]).norm(dim=3).max())
    axis.plot([0, top], [0, top], color=INK, linewidth=0.6, linestyle=":")
    axis.legend(frameon=False, fontsize=7)
    _title(axis, "particles by layer", "|w|", "|u|")


def _features(axis: Axes, study: Study) -> None:
    """Paths of a few data through depth, in the plane of the features' two widest directions at the end."""
    features = torch.stack(study.network.features(study.risk.x))  # [L + 1, N, d]
    end = features[-1] - features[-1].mean(0)
    basis = torch.linalg.svd(end, full_matrices=False)[2][:2].T
    flat = (features - features[-1].mean(0)) @ basis
    if flat.shape[2] == 1:
        flat = torch.stack([torch.linspace(0, 1, len(flat))[:, None].expand(flat.shape[:2]).to(flat), flat[..., 0]], 2)
    for k in range(0, flat.shape[1], max(1, flat.shape[1] // 60)):
        color = _shade(study, study.data.y[k])
        axis.plot(flat[:, k, 0], flat[:, k, 1], color=color, linewidth=0.6, alpha=0.6)
        axis.plot(flat[-1, k, 0], flat[-1, k, 1], "o", color=color, markersize=2.5)
    _title(axis, "data through depth (dots: at the end)", "first direction", "second direction")


def _shade(study: Study, y: Tensor) -> str | tuple[float, float, float, float]:
    if not study.data.y.is_floating_point():
        from matplotlib import colormaps

        count = int(study.data.y.max()) + 1
        shade: tuple[float, float, float, float] = colormaps["tab10"](int(y) % 10)
        return COLORS[int(y)] if count == 2 else shade
    return COLORS[0]


def _answers(axis: Axes, study: Study) -> None:
    """Decision regions on the plane of two features, or of two principal components; for regression, z over y."""
    risk = study.risk
    if isinstance(risk.misfit, Squared):
        z = study.network(risk.x)[:, 0]
        axis.plot(risk.y[:, 0], z, "o", color=COLORS[0], markersize=2.5, alpha=0.7)
        ends = [float(risk.y.min()), float(risk.y.max())]
        axis.plot(ends, ends, color=INK, linewidth=0.8, linestyle=":")
        _title(axis, "prediction over target (standardized)", "y", "z")
        return
    mean, plane = _plane(risk.x)
    at = (risk.x - mean) @ plane
    low, high = at.amin(0), at.amax(0)
    margin = 0.12 * (high - low).clamp_min(1e-9)
    sides = [
        torch.linspace(float(a), float(b), 160, dtype=at.dtype)
        for a, b in zip(low - margin, high + margin, strict=True)
    ]
    grid = torch.cartesian_prod(*sides)
    z = study.network(mean + grid @ plane.T)
    edges = (float(sides[0][0]), float(sides[0][-1]), float(sides[1][0]), float(sides[1][-1]))
    if z.shape[1] == 1:
        value = z.reshape(160, 160).T
        axis.imshow(
            value.sigmoid(), origin="lower", extent=edges, cmap="RdBu_r", vmin=0, vmax=1, alpha=0.35, aspect="auto"
        )
        axis.contour(*sides, value, levels=[0.0], colors=INK, linewidths=1.0)
    else:
        regions = z.argmax(1).reshape(160, 160).T
        axis.imshow(
            regions % 10, origin="lower", extent=edges, cmap="tab10", vmin=-0.5, vmax=9.5, alpha=0.3, aspect="auto"
        )
    for label in range(int(study.data.y.max()) + 1):
        of = at[study.data.y == label]
        axis.plot(of[:, 0], of[:, 1], "o", color=_shade(study, torch.tensor(label)), markersize=2.2)
    where = "plane of the data" if risk.x.shape[1] <= 2 else "principal plane"
    _title(axis, f"answers on the {where}", "", "")


def _plane(x: Tensor) -> tuple[Tensor, Tensor]:
    """The plane to draw on: its origin ``[features]`` and two directions ``[features, 2]``."""
    features = x.shape[1]
    if features == 2:
        return torch.zeros_like(x[0]), torch.eye(2, dtype=x.dtype)
    mean = x.mean(0)
    basis = torch.linalg.svd(x - mean, full_matrices=False)[2]
    if features == 1:
        return mean, torch.cat([basis[:1].T, torch.zeros_like(basis[:1].T)], 1)
    return mean, basis[:2].T
