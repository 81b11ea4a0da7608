"""The charts of a page, each with a caption and the table of its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maxslope.facts.evaluation import Facts, Named, looked_at
from maxslope.facts.numbers import counted, percent
from maxslope.report.html_svg import Axis, Chart
from maxslope.report.merging import Track


@dataclass(frozen=True)
class Figure:
    """A chart or drawing, how to read it (true without the drawing), and a table of its numbers.

    Attributes:
        name: a word that is unique on the page.
        frames: names of the instants, of a film.
        wide: whether it scrolls where there is little room, instead of becoming too small to read.
    """

    name: str
    title: str
    svg: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    frames: tuple[str, ...] = ()
    wide: bool = False


_SECURITY = "Robust accuracy against the radius"


def security_figure(found: Sequence[Named]) -> Figure | None:
    """Robust accuracy against the radius; none where it says no more than the accuracies at 0 and at the budget."""
    shown = [(color, name, f) for color, (name, f) in enumerate(found, 1) if f.has_curve]
    if not shown:
        return None
    _, _, first = shown[0]
    x = Axis(0, max(f.security[-1].eps for _, _, f in shown), f"radius eps in {first.norm or 'the norm'}")
    said = looked_at(found)
    ends = [
        f"{_lead(name)}{percent(f.security[0].share.value)} at radius 0, "
        f"{percent(f.security[-1].share.value)} at {f.security[-1].eps:.3g}"
        for _, name, f in shown
    ]
    words = f"Falling curves with bands of 95 %. {'; '.join(ends)}."
    chart = Chart(x, Axis(0, 1, f"{said}; band: 95 %", percent=True), "security", _SECURITY, words)
    for color, _, f in shown:
        low, middle, high = ([(r.eps, getattr(r.share, end)) for r in f.security] for end in ("low", "value", "high"))
        chart.band(low, high, color)
        chart.line(middle, color)
    if first.eps is not None and first.eps <= x.high:
        chart.upright(first.eps, "budget")
    for color, name, f in shown:
        lead = f"{_lead(name)}eps"
        chart.dots([(r.eps, r.share.value, f"{lead} {r.eps:.3g}: {r.share.words}") for r in f.security], color)
        if f.eps is not None and f.eps <= x.high:
            chart.whisker(f.eps, f.robust.low, f.robust.high, color)
    header = ("eps", *(f"{name or 'robust accuracy'} (95 % interval)" for _, name, _ in shown))
    rows = _joined([{r.eps: r.share.words for r in f.security} for _, _, f in shown], ".3g")
    caption = _together([(name, f.security_source) for _, name, f in shown])
    return Figure("security", _SECURITY, chart.text(), caption, header, rows)


def _lead(name: str) -> str:
    return f"{name}: " if name else ""


def _together(said: Sequence[tuple[str, str]]) -> str:
    """What is said of several runs: once where it is the same, else with their names; first sentences go first."""
    if len(every := {words for _, words in said}) == 1:
        return every.pop()
    split = [(name, *words.partition(". ")[::2]) for name, words in said]
    heads = " ".join(f"{name}: {head[:1].lower()}{head[1:]}." for name, head, _ in split)
    tails = {tail for _, _, tail in split}
    return f"{heads} {tails.pop()}" if len(tails) == 1 else " ".join(f"{name}: {words}" for name, words in said)


def cost_figure(found: Sequence[Named]) -> Figure | None:
    """Samples that stand against passes spent on each; a run in which nothing fell is a level line."""
    if all(f.cost[0].share.count == f.cost[-1].share.count for _, f in found):
        return None
    unit = found[0].facts.cost_unit
    most = max(s.passes for _, f in found for s in f.cost)
    shares = [s.share.value for _, f in found for s in f.cost]
    low = max(0.0, min(shares) - 0.25 * (max(shares) - min(shares)) - 0.005)
    x = Axis(1, max(most, 2), f"{unit} passes on a sample", log=True)
    y = Axis(low, min(1.0, max(shares) + 0.005), "samples that stand", percent=True)
    words = " ".join(_cost_words(name, f) for name, f in found)
    chart = Chart(x, y, "cost", "Samples that stand against passes", f"Falling steps. {words}")
    for color, (name, f) in enumerate(found, 1):  # by place among all runs, as in every chart and legend
        stood = [(max(s.passes, 1), s.share.value) for s in f.cost]
        after = [f"{_lead(name)}after {s.passes} {unit} passes: {percent(s.share.value)} stand" for s in f.cost]
        chart.steps(stood, color)
        chart.dots([(*at, said) for at, said in zip(stood, after, strict=True)], color)
    caption = (
        f"Each step is a sample that fell after so many {unit} passes. Where the curve is flat at its right end, more "
        "effort found little more; where it still falls, ask for more. "
        + ("" if low == 0 else f"The vertical scale starts at {percent(low)}. ")
        + words
    )
    header = (f"{unit} passes", *(name or "still standing" for name, _ in found))
    rows = _joined([{s.passes: percent(s.share.value) for s in f.cost} for _, f in found], "d")
    return Figure("cost", "When samples fell", chart.text(), caption, header, rows)


def _cost_words(name: str, f: Facts) -> str:
    fell = f.cost[0].share.count - f.cost[-1].share.count
    stood = "none stands" if f.survivor_cost is None else f"a sample that stands took {f.survivor_cost:.0f} (median)"
    last = max((s.passes for s, t in zip(f.cost[1:], f.cost, strict=False) if s.share.count < t.share.count), default=0)
    what = f"{counted(fell, 'sample')} fell, the last after {last} passes" if fell else "no sample fell"
    return f"{_lead(name)}{what}; {stood}."


def track_figures(found: Sequence[Track], norm: str) -> tuple[Figure, ...]:
    """Margin and slope along curves of maximal slope."""
    if not found:
        return ()
    longest = max((t.length for t in found), key=lambda length: length[-1])
    margins, slopes = [m for t in found for m in t.margin], [s for t in found for s in t.slope]
    falls = [f"sample {t.index} errs from length {t.falls:.3g} on" for t in found if t.falls is not None]
    words = f"Margins of {counted(len(found), 'sample')}: " + ("; ".join(falls) or "none errs") + "."
    x = Axis(0, longest[-1], f"length of the curve in {norm}")
    low, high = min(0.0, *margins), max(0.0, *margins)
    margin = Chart(x, Axis(low, max(high, low + 1e-9), "logits"), "margin", "Margin along curves", words, margin=62)
    y = Axis(0, max(*slopes, 1e-9), "logits per unit of length")
    slope = Chart(x, y, "slope", "Slope along curves", "The slope of each.", margin=62)
    margin.level(0, "below: error")
    for color, t in enumerate(found, 1):
        for chart, values in ((margin, t.margin), (slope, t.slope)):
            points = list(zip(t.length, values, strict=True))
            chart.line(points, color, f"no. {t.index}")
            chart.dots([(s, v, f"sample {t.index}, length {s:.3g}: {v:.3g}") for s, v in points[::2]], color)
    header = ("length", *(f"no. {t.index} (label {t.label})" for t in found))

    def table(columns: Sequence[Sequence[float]]) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(f"{v:.3g}" for v in row) for row in list(zip(longest, *columns, strict=True))[::2])

    energy = f"{_MARGIN} {words}"
    return (
        Figure("margin", "Energy: the margin", margin.text(), energy, header, table([t.margin for t in found])),
        Figure("slope", "Slope", slope.text(), _SLOPE, header, table([t.slope for t in found])),
    )


_MARGIN = "The margin, label against strongest rival, in logits: the energy that goes down. Below 0 the model errs."
_SLOPE = (
    "The constrained slope: by how many logits the margin falls for a unit of length, as fast as budget and box allow. "
    "At 0 there is nowhere left to go, to first order; where it jumps, the surface has a kink."
)


def _joined(columns: Sequence[Mapping[Any, str]], form: str) -> tuple[tuple[str, ...], ...]:
    """Rows of several columns with keys of their own; a key that a column lacks is empty there."""
    keys = sorted({key for column in columns for key in column})
    return tuple((f"{key:{form}}", *(column.get(key, "") for column in columns)) for key in keys)
