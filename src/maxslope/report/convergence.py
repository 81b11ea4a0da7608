"""The log-log picture of a convergence study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from maxslope.report.canvas import COLORS, INK, blank, dress, save

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from maxslope.reference import Convergence


def draw(study: Convergence, path: Path, title: str = "") -> Figure:
    """Write errors, dissipation defects and inclusion residuals against tau, as SVG and PNG; ``path`` has no ending."""
    figure = blank(10.5, 3.4)
    left, middle, right = figure.subplots(1, 3)
    errors = {f"{name}: order {study.orders[name][0]:.2f}": table for name, table in study.errors.items()}
    _panel(left, study.taus, errors, "max over time of the error", spread=True)
    _panel(middle, study.taus, study.defects, "dissipation defect")
    _panel(right, study.taus, study.residuals, "inclusion residual")
    figure.suptitle(title, color=INK, fontsize=11)
    return save(figure, path)


def _panel(
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
