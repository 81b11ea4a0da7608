"""Figures of matplotlib inside a page: a panel each, in the page's colors and type."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from maxslope.figures.canvas import AMBER, COLORS, INK, passing
from maxslope.report.html_figures import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

_WORDS = dict(zip(COLORS, ("c1", "c2", "c3", "c4", "c5", "c8", "c6", "c7"), strict=True))
_WORDS |= {INK: "ink", "#000000": "ink", "#ffffff": "card", "#cccccc": "line", "#b0b0b0": "soft", "#808080": "soft"}
_TABLEAU = ("1f77b4", "ff7f0e", "2ca02c", "d62728", "9467bd", "8c564b", "e377c2", "7f7f7f", "bcbd22", "17becf")
_WORDS |= {f"#{color}": f"c{k}" for color, k in zip(_TABLEAU, (1, 2, 7, 6, 4, 5, 6, 8, 5, 3), strict=True)}
_PAGE = {passing(k / 100): f"color-mix(in oklab, {AMBER} {k}%, var(--ink))" for k in range(1, 100)}
_PAGE |= {color: f"var(--{word})" for color, word in _WORDS.items()}
_FRAME = re.compile(r'<g id="frame-(\d+)">')
_LONG = re.compile(r"(\.\d\d)\d+")
_HEX = re.compile(r"#[0-9a-f]{6}\b")


def panels(
    figure: MatplotlibFigure, name: str, captions: Sequence[str], *, frames: Sequence[str] = ()
) -> tuple[Figure, ...]:
    """Return each panel of a figure as a drawing of a page, with the panel's title; the figure itself is used up.

    What is drawn with ``gid="frame-3"`` is seen at the fourth of the ``frames`` alone, which a slider chooses.

    Args:
        figure: of matplotlib.
        name: a word that is unique on the page.
        captions: how to read each panel; the last serves the panels after it.
        frames: the names of the instants of a film.
    """
    from matplotlib.transforms import Bbox

    found = []
    for k, group in enumerate(_alone(figure)):
        if not any(axis.has_data() for axis in group):
            continue
        title = " ".join((group[0].get_title() or group[0].get_ylabel() or name).split())
        group[0].set_title("")
        for axis in figure.axes:
            axis.set_visible(axis in group)
        said = captions[min(k, len(captions) - 1)] if captions else ""
        boxes = [box for axis in group if (box := axis.get_tightbbox()) is not None]
        box = Bbox.union(boxes).transformed(figure.dpi_scale_trans.inverted()).padded(0.04)
        svg = themed(_svg(figure, bbox_inches=box), f"{name}-{k + 1}", f"{title}. {said}")
        found.append(Figure(f"{name}-{k + 1}", title, svg, said, (), (), frames=tuple(frames)))
    return tuple(found)


def whole(figure: MatplotlibFigure, name: str, caption: str) -> Figure:
    """Return a figure with its panels together as one drawing of a page, in a box that scrolls where it is narrow."""
    svg = themed(_svg(figure), f"{name}-1", f"{name}. {caption}")
    return Figure(f"{name}-1", name, svg, caption, (), (), wide=True)


def _alone(figure: MatplotlibFigure) -> list[list[Axes]]:
    """The panels of a figure, ready to stand alone; the places of the others stay where they were."""
    for axis in figure.axes:
        if axis.get_label() == "<colorbar>":
            axis.remove()  # of several panels
        elif len(axis.get_shared_y_axes().get_siblings(axis)) > 1:
            axis.tick_params(labelleft=True, labelbottom=True)
    figure.suptitle("")
    figure.canvas.draw()
    figure.set_layout_engine("none")
    groups: dict[tuple[float, ...], list[Axes]] = {}  # each with the axes that lie upon it
    for axis in figure.axes:
        groups.setdefault(axis.get_position().bounds, []).append(axis)
    return list(groups.values())


def _svg(figure: MatplotlibFigure, **options: Any) -> str:
    import matplotlib

    text = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "maxslope", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True, **options)
    return text.getvalue().decode("utf-8")


def themed(svg: str, name: str, words: str) -> str:
    """Return a file of matplotlib as an element of a page: its colors are the page's, its ids unique, its words said.

    >>> print(themed('<svg viewBox="0 0 9 9"><g id="a"><path style="stroke: #1b1f24"/></g></svg>', "n", "A line."))
    <svg class="drawn" role="img" aria-label="A line." viewBox="0 0 9 9"><g><path style="stroke: var(--ink)"/></g></svg>
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    view = re.search(r'viewBox="[^"]*"', body)
    inner = body[body.index(">") + 1 :]
    inner = _FRAME.sub(r'<g class="frame" data-frame="\1">', inner)
    used = set(re.findall(r"(?:url\(|href=\")#([^\")]+)", inner))
    inner = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", inner)
    inner = re.sub(r'(url\(|href=")#', rf"\1#{name}-", inner)
    inner = re.sub(r' (?:d|x|y)="[^"]*"', lambda m: _LONG.sub(r"\1", m[0]), inner)  # a hundredth of a point is enough
    inner = re.sub(r'style="[^"]*"', lambda m: _HEX.sub(lambda color: _PAGE.get(color[0], color[0]), m[0]), inner)
    inner = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px system-ui, sans-serif", inner)
    inner = re.sub(r">\s+<", "><", inner).strip()
    return f'<svg class="drawn" role="img" aria-label="{escape(words)}" {view[0] if view else ""}>{inner}'
