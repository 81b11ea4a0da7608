"""Figures of an evaluation: its samples, its margins, the charts of its page for papers.

They need matplotlib: ImportError says how to get it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from maxslope.evaluation.report import BROKEN, MISCLASSIFIED, ROBUST, Report
from maxslope.facts.answers import answers_of
from maxslope.facts.evaluation import Named, looked_at
from maxslope.facts.numbers import Share, percent, signed
from maxslope.figures.canvas import COLORS, GRAY, INK, blank, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN = 8
_COLORS = {BROKEN: COLORS[1], ROBUST: COLORS[2]}


def draw(report: Report, model: Any, x: Tensor, path: Path) -> None:
    """Write a picture of broken and of nearly broken samples ``[n, 1 or 3, height, width]``, and of all margins.

    The report has kept its points; the model is asked about those shown; the ending of the path names the format.

    Raises:
        ValueError: if the report kept no points, or the samples are not images.
    """
    drawable(x, path)
    figure = picture_of(report, model, x)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def picture_of(report: Report, model: Any, x: Tensor, count: int = _SHOWN, side: float = 1.35) -> Figure:
    """Return the picture that :func:`draw` writes, with so many samples, each so many inches wide.

    Raises:
        ValueError: if the report kept no points.
    """
    if report.points is None:
        raise ValueError("The picture shows the returned points, which this report did not keep: keep_points=True.")
    shown = _choose(report, count)
    figure = blank(side * count + 1.2, 8.3 * side / 1.35)
    images, bars = np.ravel(figure.subfigures(2, 1, height_ratios=[2.35, 1], squeeze=False))
    _images(images, report, model, x, shown)
    margins(bars.subplots(), report)
    low, high = report.interval
    said = (
        f"Robust accuracy {percent(report.robust_accuracy)} (95 % interval {100 * low:.1f} to {100 * high:.1f}) "
        f"within {report.asked}, clean {percent(report.clean_accuracy)}, {report.samples} samples"
    )
    doubts = "" if report.trusted else "\nNot to be trusted: " + ", ".join(w.name for w in report.warnings)
    figure.suptitle(said + doubts, color=INK, fontsize=12)
    return figure


def drawable(x: Tensor, path: Path) -> None:
    """Raise where :func:`draw` could draw nothing: what a long evaluation had better know before it begins.

    Raises:
        ValueError: if the samples are not images, or no picture has that ending.
    """
    known = blank(1, 1).canvas.get_supported_filetypes()
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ValueError(f"The picture needs images [n, 1 or 3, height, width], got {tuple(x.shape)}.")
    if path.suffix.removeprefix(".").lower() not in known:
        raise ValueError(f"A picture ends with .{', .'.join(known)}, got {path.name!r}.")


def _choose(report: Report, count: int) -> list[int]:
    """Broken samples, one per label first, then the robust ones of least margin: positions in the table."""
    table = report.table
    broken = [i for i, v in enumerate(table["verdict"]) if v == BROKEN]
    first: dict[Any, int] = {}
    for i in broken:
        first.setdefault(table["label"][i], i)
    order = [*first.values(), *(i for i in broken if i not in first.values())]
    margin = [float(m) for m in table["margin"]]
    close = sorted((i for i, v in enumerate(table["verdict"]) if v == ROBUST), key=margin.__getitem__)
    wanted = [*order[: count - 2], *close[:2], *order[count - 2 :], *close[2:]]
    return wanted[:count] or list(range(min(count, report.samples)))


def _images(figure: Any, report: Report, model: Any, x: Tensor, shown: list[int]) -> None:
    assert report.points is not None
    clean, points = x[shown].cpu(), report.points[shown].cpu()
    answers = answers_of(model, report.points[shown].to(x.device)).argmax(1).tolist()
    heads, feet = [], []
    for i, k in zip(shown, answers, strict=True):
        verdict = str(report.table["verdict"][i])
        label, answer = map(report.about.name, (report.table["label"][i], k))
        heads.append(f"label {label}")
        said = f"still {answer}" if verdict == ROBUST else f"seen as {answer}"
        margin = signed(float(report.table["margin"][i]))
        feet.append((f"{said}\nmargin {margin}", _COLORS.get(verdict, GRAY)))
    strips(figure, clean, points, heads, feet)


def strips(figure: Any, clean: Tensor, points: Tensor, heads: Sequence[str], feet: Sequence[tuple[str, str]]) -> None:
    """Draw clean images ``[n, channels, height, width]`` in [0, 1], changes and points below each other.

    Words stand above each, and words with their color below.
    """
    change = points - clean
    reach = float(change.abs().amax().clamp_min(1e-12))
    axes = figure.subplots(3, len(clean), squeeze=False)
    for column, (head, (foot, color)) in enumerate(zip(heads, feet, strict=True)):
        _show(axes[0, column], clean[column], 0.0, 1.0, "gray")
        _show(axes[1, column], change[column], -reach, reach, "RdBu_r")
        _show(axes[2, column], points[column], 0.0, 1.0, "gray")
        axes[0, column].set_title(head, fontsize=10, color=INK)
        axes[2, column].set_xlabel(foot, fontsize=9, color=color)
    key = "" if clean.shape[1] == 3 else "\nred: brighter\nblue: darker"
    for row, name in enumerate(("clean", f"change up to\n±{reach:.2g}{key}", "perturbed")):
        axes[row, 0].set_ylabel(name, fontsize=10, color=INK)


def _show(axis: Axes, image: Tensor, low: float, high: float, colors: str) -> None:
    """Draw an image of 1 or 3 channels; the colors are those of one channel."""
    bright = ((image - low) / (high - low)).clamp(0, 1).permute(1, 2, 0)
    axis.imshow(bright.squeeze(2).numpy(), cmap=colors, vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


VERDICTS = ((BROKEN, COLORS[1]), (MISCLASSIFIED, COLORS[5]), (ROBUST, COLORS[2]))
_DASHES = ("-", "--", ":", "-.")


def plotted(runs: Sequence[Named], report: Report | None = None) -> Figure:
    """Return robust accuracy against the radius, margins (of one run) and samples standing against passes.

    What is not known has no panel. Doubts stand in the title.
    """
    panels: list[Any] = []
    if any(f.has_curve for _, f in runs):
        panels.append(lambda axis: security(axis, runs))
    if report is not None:
        panels.append(lambda axis: margins(axis, report))
    if any(f.cost[0].share.count != f.cost[-1].share.count for _, f in runs):
        panels.append(lambda axis: cost(axis, runs))
    figure = blank(4.4 * max(len(panels), 1), 3.6)
    for axis, draw in zip(figure.subplots(1, max(len(panels), 1), squeeze=False)[0], panels, strict=False):
        draw(axis)
    doubts = [name or "this run" for name, f in runs if not f.trusted]
    if doubts:
        figure.suptitle(f"Not to be trusted: {', '.join(doubts)}", color=COLORS[1], fontsize=11)
    return figure


def security(axis: Axes, runs: Sequence[Named]) -> None:
    """Robust accuracy against the radius, with its band, and the answer at the budget with its interval."""
    for k, (name, f) in enumerate(runs):
        color, radii = COLORS[k % len(COLORS)], f.security
        if not f.has_curve:
            continue
        label = name or "robust accuracy"
        band(axis, [r.eps for r in radii], [r.share for r in radii], color, linestyle=_DASHES[k % 4], label=label)
        if f.eps is not None and f.eps <= radii[-1].eps:
            middle = 100 * f.robust.value
            ends = [[middle - 100 * f.robust.low], [100 * f.robust.high - middle]]
            axis.errorbar([f.eps], [middle], yerr=ends, fmt="o", color=color, capsize=3, markersize=4)
    axis.set(xlim=(0, None), ylim=(0, 101))
    said = looked_at(runs)
    norm = runs[0].facts.norm or "the norm"
    dress(axis, f"{said}; band: 95 %", f"radius in {norm}", "robust accuracy in %", key=len(runs) > 1)


def band(axis: Axes, radii: Sequence[float], shares: Sequence[Share], color: str, **style: Any) -> None:
    """Draw shares in percent against the radius, with the band of their intervals."""
    low, high = [100 * share.low for share in shares], [100 * share.high for share in shares]
    axis.fill_between(radii, low, high, alpha=0.18, color=color)
    axis.plot(radii, [100 * share.value for share in shares], color=color, **style)


def cost(axis: Axes, runs: Sequence[Named]) -> None:
    """Samples that stand against passes spent on each."""
    for k, (name, f) in enumerate(runs):
        x, y = ([s.passes + 1 for s in f.cost], [100 * s.share.value for s in f.cost])
        axis.step(x, y, _DASHES[k % 4], where="post", color=COLORS[k % len(COLORS)], label=name or "still standing")
    axis.set_xscale("log")
    passes = f"{runs[0].facts.cost_unit} passes on a sample, plus 1"
    dress(axis, x=passes, y="samples that stand in %", key=len(runs) > 1)


def margins(axis: Axes, report: Report) -> None:
    """How far the samples are from an error, in logits, at their worst points; whole samples on the axis."""
    from matplotlib.ticker import MaxNLocator

    pairs = list(zip(report.table["verdict"], map(float, report.table["margin"]), strict=True))
    pairs = [(v, m) for v, m in pairs if math.isfinite(m)]
    values = [[m for v, m in pairs if v == verdict] for verdict, _ in VERDICTS]
    labels = [f"{verdict} ({len(v)})" for (verdict, _), v in zip(VERDICTS, values, strict=True)]
    low, high = min([0.0, *(m for _, m in pairs)]), max([0.0, *(m for _, m in pairs)])
    width = max((high - low) / 60, 1e-9)
    edges = [k * width for k in range(math.floor(low / width), math.ceil(high / width) + 1)]  # 0 is an edge
    if len(edges) < 2:
        edges = [0.0, width]
    axis.hist(values, bins=edges, stacked=True, color=[c for _, c in VERDICTS], label=labels)
    axis.axvline(0, color=INK, linewidth=1)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    dress(axis, x="logit margin at the worst point found\n(0 is the decision boundary)", y="samples")
    axis.set_ylim(top=1.35 * axis.get_ylim()[1])  # room for the key
    axis.legend(frameon=False, loc="upper center", ncols=len(values), fontsize=8, columnspacing=1.0, handlelength=1.2)
