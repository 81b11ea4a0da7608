"""The log-log picture of a convergence study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maxslope.report.canvas import COLORS, INK, blank, save, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from maxslope.reference import Convergence


def draw(study: Convergence, path: Path, title: str = "") -> Figure:
    """Write errors, dissipation defects and inclusion residuals against tau, each with its fitted order.

    Args:
        study: what ``convergence`` returned.
        path: without an ending; SVG and PNG files are written.
        title: above the picture.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    figure = blank(10.5, 3.4)
    left, middle, right = figure.subplots(1, 3)
    panel(left, study, "errors", "max over time of the error")
    panel(middle, study, "defects", "dissipation defect")
    panel(right, study, "residuals", "inclusion residual")
    left.legend(frameon=False, fontsize=8)
    if title:
        figure.suptitle(title, color=INK, fontsize=11)
    return save(figure, path)


def panel(axis: Axes, study: Convergence, which: str, label: str) -> None:
    """Draw one table: the mean over rows, and for errors a band between the 10 % and the 90 % quantile."""
    tables = {"errors": study.errors, "defects": study.defects, "residuals": study.residuals}[which]
    orders = study.orders if which == "errors" else None
    for k, (name, table) in enumerate(tables.items()):
        mean = table.mean(1).clamp_min(1e-17).tolist()
        text = name if orders is None else f"{name}: order {orders[name][0]:.2f}"
        axis.loglog(
            study.taus, mean, marker="o", markersize=3, color=COLORS[k % len(COLORS)], label=text, linewidth=1.3
        )
        if orders is not None and table.shape[1] > 1:
            low, high = (table.quantile(q, dim=1).clamp_min(1e-17).tolist() for q in (0.1, 0.9))
            axis.fill_between(study.taus, low, high, color=COLORS[k % len(COLORS)], alpha=0.12, linewidth=0)
    top = max(float(t.mean(1).max()) for t in tables.values())
    axis.loglog(
        study.taus, [top * tau / max(study.taus) for tau in study.taus], color=INK, linewidth=0.8, linestyle=":"
    )
    shown = study.taus[:: max(1, len(study.taus) // 3)]
    axis.set_xticks(shown, [f"{tau:.2g}" for tau in shown])
    axis.set_xticks([], minor=True)
    axis.set_xlabel("tau", color=INK)
    axis.set_ylabel(label, color=INK)
    tidy(axis)
