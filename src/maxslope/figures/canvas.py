"""Paper, ink, films and files: what every figure shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from maxslope._optional import optional

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, AMBER, GRAY = "#1b1f24", "#f59e0b", "#64748b"
COLORS = ("#0f4c81", "#c2410c", "#0f766e", "#7c3aed", "#a16207", GRAY, "#be185d", "#15803d")
_PAGE, _GIF = 25, 48  # instants of a film


def blank(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, drawn without a screen."""
    with optional("Figures need matplotlib", "[report]"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def dress(axis: Axes, title: str = "", x: str = "", y: str = "", *, key: bool = False) -> None:
    """Name a panel and its scales, with a key if it is to have one; take off the lines a reader does not need."""
    axis.set_title(title, fontsize=9, color=INK)
    axis.set_xlabel(x, fontsize=9, color=INK)
    axis.set_ylabel(y, fontsize=9, color=INK)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(which="both", labelsize=8, colors=INK)
    if key:
        legend(axis)


def legend(axis: Axes) -> None:
    """Draw the key of a panel."""
    axis.legend(fontsize=8, facecolor="white", framealpha=0.85, edgecolor="none")


def plane(axis: Axes, low: Sequence[float], high: Sequence[float]) -> None:
    """Let a panel show a box of the plane, with equal scales."""
    axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    axis.tick_params(labelsize=8, colors=INK)


def raster(low: Sequence[float], high: Sequence[float], cells: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Return so many coordinates along each side of a box, and the points ``[cells^2, 2]`` of their grid, float64."""
    across, up = (torch.linspace(a, b, cells, dtype=torch.float64) for a, b in zip(low, high, strict=True))
    return (across, up), torch.cartesian_prod(across, up)


def shade(axis: Axes, values: Any, low: Sequence[float], high: Sequence[float], **style: Any) -> None:
    """Draw values ``[across, up]`` or ``[across, up, 4]`` over a box of the plane."""
    box = (low[0], high[0], low[1], high[1])
    axis.imshow(values.transpose(0, 1), origin="lower", extent=box, **style)


def passing(share: float) -> str:
    """Return the color of an instant, from ink at 0 to amber at 1.

    >>> passing(0.0), passing(1.0)
    ('#1b1f24', '#f59e0b')
    """
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in zip(rgb(INK), rgb(AMBER), strict=True))


def rgb(color: str) -> list[int]:
    """Return red, green and blue, 0 to 255."""
    return [int(color[k : k + 2], 16) for k in (1, 3, 5)]


def instants(last: int, count: int) -> list[int]:
    """Return at most ``count`` instants from 0 to ``last``, evenly.

    >>> instants(2, 25), instants(100, 3)
    ([0, 1, 2], [0, 50, 100])
    """
    return sorted({round(k * last / (count - 1)) for k in range(count)})


def film(figure: Figure, times: Sequence[float], draw: Callable[..., Any]) -> tuple[Figure, list[str]]:
    """Return a figure with every instant of a film in it, and the names of the instants.

    See :func:`maxslope.report.drawn.panels`, whose page shows one of them, which a slider chooses. ``draw`` is called
    with the number of an instant and the word ``gid`` that all it draws has to carry.
    """
    shown = instants(len(times) - 1, _PAGE)
    for frame, k in enumerate(shown):
        draw(k, gid=f"frame-{frame}")
    return figure, [f"t = {times[k]:.4f}" for k in shown]


def gif(axis: Axes, times: Sequence[float], draw: Callable[[int], Sequence[Any]], path: Path) -> None:
    """Write a film as a GIF, its times above a panel; ``draw`` returns what it drew, which is taken off again."""
    from matplotlib.animation import FuncAnimation, PillowWriter

    drawn: list[Any] = []
    figure: Any = axis.figure

    def frame(k: int) -> list[Any]:
        for artist in drawn:
            artist.remove()
        axis.set_title(f"t = {times[k]:.4f}", fontsize=10, color=INK)
        drawn[:] = draw(k)
        return []

    frames = instants(len(times) - 1, _GIF)
    frame(frames[0])
    figure.canvas.draw()
    figure.set_layout_engine("none")  # the layout of the first frame serves all
    path.parent.mkdir(parents=True, exist_ok=True)
    FuncAnimation(figure, frame, frames, init_func=list).save(path, writer=PillowWriter(fps=12), dpi=80)


def save(figure: Figure, path: Path, title: str = "", size: float = 12) -> Figure:
    """Write ``path`` with the endings .svg and .png, and return the figure; the same figure gives the same bytes."""
    import matplotlib

    if title:
        figure.suptitle(title, color=INK, fontsize=size)
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "maxslope", "svg.fonttype": "path"}):
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), dpi=150, metadata={"Software": None})
    return figure
