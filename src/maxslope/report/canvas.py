"""Paper, ink and files: what every figure shares."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maxslope._escape import cell
from maxslope._optional import optional

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, AMBER = "#1b1f24", "#f59e0b"
COLORS = ("#0f4c81", "#c2410c", "#0f766e", "#7c3aed", "#a16207", "#64748b", "#be185d", "#15803d")


def blank(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, drawn without a screen.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    with optional("Figures need matplotlib", "[report]"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def tidy(axis: Axes) -> None:
    """Take off the lines a reader does not need."""
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.tick_params(labelsize=8, colors=INK)


def passing(share: float) -> str:
    """Return the color of an instant, from ink at 0 to amber at 1.

    >>> passing(0.0), passing(1.0)
    ('#1b1f24', '#f59e0b')
    """
    ends = [[int(color[k : k + 2], 16) for k in (1, 3, 5)] for color in (INK, AMBER)]
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in zip(*ends, strict=True))


def save(figure: Figure, path: Path) -> Figure:
    """Write ``path`` with the endings .svg and .png, and return the figure; the same figure gives the same bytes."""
    import matplotlib

    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "maxslope", "svg.fonttype": "path"}):
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), dpi=150, metadata={"Software": None})
    return figure


def write_csv(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write records of equal keys as a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([cell(name) for name in records[0]])
        writer.writerows([cell(record[name]) for name in records[0]] for record in records)
