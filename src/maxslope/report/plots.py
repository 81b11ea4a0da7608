"""The charts of a page as figures of matplotlib, for papers: vectors in SVG and PDF, colors that print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from maxslope.evaluation import Report
from maxslope.evaluation.report import BROKEN, MISCLASSIFIED, ROBUST
from maxslope.report.canvas import COLORS, INK, blank, dress
from maxslope.report.html_facts import Facts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Named = Sequence[tuple[str, Facts]]
VERDICTS = ((BROKEN, COLORS[1]), (MISCLASSIFIED, COLORS[5]), (ROBUST, COLORS[2]))
_DASHES = ("-", "--", ":", "-.")


def plotted(runs: Named, report: Report | None = None) -> Figure:
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


def security(axis: Axes, runs: Named) -> None:
    """Robust accuracy against the radius, with its band, and the answer at the budget with its interval."""
    for k, (name, f) in enumerate(runs):
        color, radii = COLORS[k % len(COLORS)], f.security
        if not f.has_curve:
            continue
        x = [r.eps for r in radii]
        low, high = [100 * r.share.low for r in radii], [100 * r.share.high for r in radii]
        axis.fill_between(x, low, high, alpha=0.18, color=color)
        axis.plot(x, [100 * r.share.value for r in radii], _DASHES[k % 4], color=color, label=name or "robust accuracy")
        if f.eps is not None and f.eps <= x[-1]:
            middle = 100 * f.robust.value
            ends = [[middle - 100 * f.robust.low], [100 * f.robust.high - middle]]
            axis.errorbar([f.eps], [middle], yerr=ends, fmt="o", color=color, capsize=3, markersize=4)
    axis.set_ylim(0, 101)
    axis.set_xlim(left=0)
    said = "; ".join(dict.fromkeys(f.security_samples for _, f in runs if f.has_curve))
    norm = runs[0][1].norm or "the norm"
    dress(axis, f"{said}; band: 95 %", f"radius in {norm}", "robust accuracy in %", key=len(runs) > 1)


def cost(axis: Axes, runs: Named) -> None:
    """Samples that stand against passes spent on each."""
    for k, (name, f) in enumerate(runs):
        x, y = ([s.passes + 1 for s in f.cost], [100 * s.share.value for s in f.cost])
        axis.step(x, y, _DASHES[k % 4], where="post", color=COLORS[k % len(COLORS)], label=name or "still standing")
    axis.set_xscale("log")
    passes = f"{runs[0][1].cost_unit} passes on a sample, plus 1"
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
