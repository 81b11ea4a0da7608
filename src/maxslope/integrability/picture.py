"""A picture of the poles, the loops of the monodromy and their traces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mpmath

from maxslope._optional import optional
from maxslope.integrability.loops import Monodromy


def draw(monodromy: Monodromy, path: str | Path, title: str = "") -> Path:
    """Write the picture; the format follows the file name (svg, png, pdf).

    Args:
        monodromy: what `monodromy` returned.
        path: file to write.
        title: a line above the picture.

    Returns:
        The path written.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    target = Path(path)
    figure_of(monodromy, title).savefig(target)
    return target


def figure_of(monodromy: Monodromy, title: str = "") -> Any:
    """The picture as a figure of matplotlib."""
    with optional("Pictures need matplotlib", "[report]"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=(7.0, 5.0), layout="constrained")
    axes: Any = figure.add_subplot()
    marks = zip(monodromy.poles, monodromy.matrices, monodromy.loops, strict=True)
    for index, (pole, matrix, loop) in enumerate(marks):
        color = f"C{index}"
        points = [complex(z) for z in loop]
        axes.plot([z.real for z in points], [z.imag for z in points], color=color, lw=1)
        trace = matrix[0, 0] + matrix[1, 1]
        label = f"M{index + 1} at {_short(pole)}: trace {_short(trace)}"
        axes.plot(float(pole.real), float(pole.imag), "x", color=color, label=label)
    base = complex(monodromy.base)
    axes.plot(base.real, base.imag, "ko", ms=4, label="base point")
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("real part")
    axes.set_ylabel("imaginary part")
    axes.set_title(title, fontsize=9)
    axes.legend(fontsize=7, loc="best")
    return figure


def _short(value: Any) -> str:
    z = mpmath.mpc(value)
    return str(mpmath.nstr(z.real, 7) if abs(z.imag) < 1e-12 else mpmath.nstr(z, 5))
