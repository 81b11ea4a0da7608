"""Films: one figure with many instants, each a frame of a page, or of a GIF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRAMES = 25  # of a page's film
_GIF = 48


def chosen(last: int, count: int = FRAMES) -> list[int]:
    """Return at most ``count`` instants from 0 to ``last``, evenly.

    >>> chosen(2), chosen(100, 3)
    ([0, 1, 2], [0, 50, 100])
    """
    return sorted({round(k * last / (count - 1)) for k in range(count)})


def film(figure: Figure, times: Sequence[float], draw: Callable[[int, str], None]) -> tuple[Figure, list[str]]:
    """Return a figure with every instant of a film in it, and the names of the instants.

    See :func:`maxslope.report.drawn.panels`, whose page shows one of them, which a slider chooses.

    Args:
        figure: with what stands still.
        times: of all instants.
        draw: called with the number of an instant and the word, ``gid``, that all it draws has to carry.
    """
    names = []
    for frame, k in enumerate(chosen(len(times) - 1)):
        draw(k, f"frame-{frame}")
        names.append(f"t = {times[k]:.4f}")
    return figure, names


def gif(figure: Figure, times: Sequence[float], draw: Callable[[int], Sequence[Any]], path: Path) -> None:
    """Write a film as a GIF.

    Args:
        figure: with what stands still.
        times: of all instants.
        draw: called with the number of an instant; returns what it drew, which is taken off before the next.
        path: ends with .gif.
    """
    from matplotlib.animation import FuncAnimation, PillowWriter

    drawn: list[Any] = []

    def frame(k: int) -> list[Any]:
        for artist in drawn:
            artist.remove()
        drawn[:] = draw(k)
        return []

    frames = chosen(len(times) - 1, _GIF)
    frame(frames[0])
    figure.canvas.draw()
    figure.set_layout_engine("none")  # the layout of the first frame serves all
    path.parent.mkdir(parents=True, exist_ok=True)
    FuncAnimation(figure, frame, frames, init_func=list).save(path, writer=PillowWriter(fps=12), dpi=80)
