"""The charts of a page, each with a caption and the table of its numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from maxslope.report.html_facts import Facts, Standing
from maxslope.report.html_radius import Radius, counted
from maxslope.report.html_svg import Axis, Chart
from maxslope.report.html_tracks import Track


@dataclass(frozen=True)
class Figure:
    """A chart, what it shows, and its numbers.

    Attributes:
        name: a word that is unique on the page.
        title: what it shows.
        svg: the drawing.
        caption: how to read it; true without the drawing.
        header: of the table.
        rows: of the table, as text.
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


def percent(value: float) -> str:
    """Return a share in percent.

    >>> percent(0.885)
    '88.5 %'
    """
    return f"{100 * value:.1f} %"


def signed(value: float) -> str:
    """Return a margin with its sign, in as few digits as tell it from 0.

    >>> signed(1.234), signed(-0.00041), signed(0.0)
    ('+1.23', '-0.00041', '0')
    """
    return f"{value:+.3g}" if value else "0"


def security_figure(found: Sequence[tuple[str, Facts]]) -> Figure | None:
    """Robust accuracy against the radius; none where it says no more than the accuracies at 0 and at the budget."""
    colored = [(color, name, f) for color, (name, f) in enumerate(found, 1) if f.has_curve]
    shown = [(name, f) for _, name, f in colored]
    if not shown:
        return None
    first = shown[0][1]
    norm = first.norm or "the norm"
    x = Axis(0, max(f.security[-1].eps for _, f in shown), f"radius eps in {norm}")
    said = "; ".join(dict.fromkeys(f.security_samples for _, f in shown))
    chart = Chart(x, Axis(0, 1, f"{said}; band: 95 %", percent=True), "security", _SECURITY, _describe(shown))
    for color, _, f in colored:
        _security(chart, f.security, color)
    if first.eps is not None and first.eps <= x.high:
        chart.upright(first.eps, "budget")
    for color, name, f in colored:
        lead = f"{name}: " if name else ""
        chart.dots([(r.eps, r.share.value, f"{lead}eps {r.eps:.3g}: {r.share.words}") for r in f.security], color)
        if f.eps is not None and f.eps <= x.high:
            chart.whisker(f.eps, f.robust.low, f.robust.high, color)
    header = ("eps", *(f"{name or 'robust accuracy'} (95 % interval)" for name, _ in shown))
    rows = _joined([{r.eps: r.share.words for r in f.security} for _, f in shown], lambda eps: f"{eps:.3g}")
    caption = _together([(name, f.security_source) for name, f in shown])
    return Figure("security", _SECURITY, chart.text(), caption, header, rows)


_SECURITY = "Robust accuracy against the radius"


def _security(chart: Chart, radii: Sequence[Radius], color: int) -> None:
    chart.band([(r.eps, r.share.low) for r in radii], [(r.eps, r.share.high) for r in radii], color)
    chart.line([(r.eps, r.share.value) for r in radii], color)


def _together(said: Sequence[tuple[str, str]]) -> str:
    """What is said of several runs: once where it is the same, else with their names; first sentences go first."""
    if len({words for _, words in said}) == 1:
        return said[0][1]
    split = [(name, *words.partition(". ")[::2]) for name, words in said]
    heads = " ".join(f"{name}: {head[:1].lower()}{head[1:]}." for name, head, _ in split)
    tails = {tail for _, _, tail in split}
    return f"{heads} {tails.pop()}" if len(tails) == 1 else " ".join(f"{name}: {words}" for name, words in said)


def _describe(shown: Sequence[tuple[str, Facts]]) -> str:
    ends = [
        f"{name + ': ' if name else ''}{percent(f.security[0].share.value)} at radius 0, "
        f"{percent(f.security[-1].share.value)} at {f.security[-1].eps:.3g}"
        for name, f in shown
    ]
    return "Falling curves with bands of 95 %. " + "; ".join(ends) + "."


def cost_figure(found: Sequence[tuple[str, Facts]]) -> Figure | None:
    """Samples that stand against passes spent on each; a run in which nothing fell is a level line."""
    shown = list(found)
    if all(f.cost[0].share.count == f.cost[-1].share.count for _, f in shown):
        return None
    unit = shown[0][1].cost_unit
    most = max(s.passes for _, f in shown for s in f.cost)
    shares = [s.share.value for _, f in shown for s in f.cost]
    low = max(0.0, min(shares) - 0.25 * (max(shares) - min(shares)) - 0.005)
    y = Axis(low, min(1.0, max(shares) + 0.005), "samples that stand", percent=True)
    title = "Samples that stand against passes"
    description = "Falling steps. " + " ".join(_cost_words(name, f) for name, f in shown)
    chart = Chart(Axis(1, max(most, 2), f"{unit} passes on a sample", log=True), y, "cost", title, description)
    for color, (name, f) in enumerate(shown, 1):  # by place among all runs, as in every chart and legend
        chart.steps([(max(s.passes, 1), s.share.value) for s in f.cost], color)
        lead = f"{name}: " if name else ""
        chart.dots([(max(s.passes, 1), s.share.value, lead + _after(s, unit)) for s in f.cost], color)
    caption = (
        f"Each step is a sample that fell after so many {unit} passes. Where the curve is flat at its right end, more "
        "effort found little more; where it still falls, ask for more. "
        + ("" if low == 0 else f"The vertical scale starts at {percent(low)}. ")
        + " ".join(_cost_words(name, f) for name, f in shown)
    )
    header = (f"{unit} passes", *(name or "still standing" for name, _ in shown))
    rows = _joined([{float(s.passes): percent(s.share.value) for s in f.cost} for _, f in shown], lambda p: f"{p:.0f}")
    return Figure("cost", "When samples fell", chart.text(), caption, header, rows)


def _after(standing: Standing, unit: str) -> str:
    return f"after {standing.passes} {unit} passes: {percent(standing.share.value)} stand"


def _cost_words(name: str, f: Facts) -> str:
    fell = f.cost[0].share.count - f.cost[-1].share.count
    lead = f"{name}: " if name else ""
    stood = "none stands" if f.survivor_cost is None else f"a sample that stands took {f.survivor_cost:.0f} (median)"
    last = max((s.passes for s, t in zip(f.cost[1:], f.cost, strict=False) if s.share.count < t.share.count), default=0)
    if not fell:
        return f"{lead}no sample fell; {stood}."
    return f"{lead}{counted(fell, 'sample')} fell, the last after {last} passes; {stood}."


def track_figures(found: Sequence[Track], norm: str) -> tuple[Figure, ...]:
    """Margin and slope along curves of maximal slope."""
    if not found:
        return ()
    longest = max(t.length[-1] for t in found)
    margins, slopes = [m for t in found for m in t.margin], [s for t in found for s in t.slope]
    falls = [f"sample {t.index} errs from length {t.falls:.3g} on" for t in found if t.falls is not None]
    words = f"Margins of {counted(len(found), 'sample')}: " + ("; ".join(falls) or "none errs") + "."
    x = Axis(0, longest, f"length of the curve in {norm}")
    low, high = min(0.0, *margins), max(0.0, *margins)
    margin = Chart(x, Axis(low, max(high, low + 1e-9), "logits"), "margin", "Margin along curves", words, margin=62)
    y = Axis(0, max(*slopes, 1e-9), "logits per unit of length")
    slope = Chart(x, y, "slope", "Slope along curves", "The slope of each.", margin=62)
    margin.level(0, "below: error")
    for color, t in enumerate(found, 1):
        for chart, values in ((margin, t.margin), (slope, t.slope)):
            chart.line(list(zip(t.length, values, strict=True)), color, f"no. {t.index}")
            every = list(zip(t.length, values, strict=True))[::2]
            chart.dots([(s, v, f"sample {t.index}, length {s:.3g}: {v:.3g}") for s, v in every], color)
    header = ("length", *(f"no. {t.index} (label {t.label})" for t in found))
    tables = [_table(found, lambda t: t.margin), _table(found, lambda t: t.slope)]
    return (
        Figure("margin", "Energy: the margin", margin.text(), _MARGIN + " " + words, header, tables[0]),
        Figure("slope", "Slope", slope.text(), _SLOPE, header, tables[1]),
    )


_MARGIN = "The margin, label against strongest rival, in logits: the energy that goes down. Below 0 the model errs."
_SLOPE = (
    "The constrained slope: by how many logits the margin falls for a unit of length, as fast as budget and box allow. "
    "At 0 there is nowhere left to go, to first order; where it jumps, the surface has a kink."
)


def _table(found: Sequence[Track], values: Callable[[Track], tuple[float, ...]]) -> tuple[tuple[str, ...], ...]:
    longest = max(found, key=lambda t: t.length[-1])
    rows = range(0, len(longest.length), 2)
    return tuple((f"{longest.length[k]:.3g}", *(f"{values(t)[k]:.3g}" for t in found)) for k in rows)


def _joined(columns: Sequence[dict[float, str]], name: Callable[[float], str]) -> tuple[tuple[str, ...], ...]:
    """Rows of several columns with keys of their own; a key that a column lacks is empty there."""
    keys = sorted({key for column in columns for key in column})
    return tuple((name(key), *(column.get(key, "") for column in columns)) for key in keys)
