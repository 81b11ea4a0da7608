"""Pages on studies: what was asked, the answer, what remains, then the evidence; and those of the systems."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from maxslope.report.drawn import panels, whole
from maxslope.report.html import Written, render
from maxslope.report.html_figures import Figure
from maxslope.report.numbers import Share, number, percent, thinned

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

    from maxslope.integrability import Proof, Verdict
    from maxslope.integrability.loops import Monodromy
    from maxslope.reference import Convergence
    from maxslope.report.moons import Differences
    from maxslope.report.odenet_study import Study as NetworkStudy


@dataclass(frozen=True)
class Rows:
    """A table: what it says, the names of its columns, and its cells as words."""

    title: str
    header: Sequence[str]
    cells: Sequence[Sequence[str]]
    open: bool = False


@dataclass(frozen=True)
class Part:
    """A section of evidence."""

    title: str
    words: str = ""
    figures: Sequence[Figure] = ()
    tables: Sequence[Rows] = ()
    text: str = ""


class Again(NamedTuple):
    """The command that does a study again, and the files beside its page."""

    command: str = ""
    files: Sequence[str] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Sheet(Written):
    """A page on a study.

    Attributes:
        asked: what was asked, of what: (name, words).
        answer: in a sentence or two.
        numbers: (name, number with its unit, what it is beside), the first the largest.
        remains: what is not known, or was not asked.
        parts: the evidence.
        command: how to do it again.
        files: what else was written, beside the page.
        doubts: why the numbers may not be trusted.
        date: when; now by default.
    """

    title: str
    asked: Sequence[tuple[str, str]]
    answer: str
    numbers: Sequence[tuple[str, str, str]] = ()
    remains: Sequence[str] = ()
    parts: Sequence[Part] = ()
    command: str = ""
    files: Sequence[str] = ()
    doubts: Sequence[str] = ()
    date: str = ""

    def html(self) -> str:
        return render("sheet.html.j2", s=self, now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))

    def __repr__(self) -> str:
        return f"<Sheet: {self.title}>"


_MOST = 60  # lines of a table on a page; the files have all
Drawings = Mapping[str, "MatplotlibFigure"]
Film = tuple["MatplotlibFigure", Sequence[str]]


def table(title: str, records: Sequence[Mapping[str, Any]], *, open_: bool = False) -> Rows:
    """Return records of equal keys as a table of a page: numbers in a few digits, at most sixty lines, evenly."""
    shown, names = thinned(records, _MOST), list(records[0])
    said = f"{title} ({len(shown)} of {len(records)} lines)" if len(shown) < len(records) else title
    return Rows(said, [name.replace("_", " ") for name in names], [[_cell(r[n]) for n in names] for r in shown], open_)


def plain_table(title: str, values: Mapping[str, Any]) -> Rows:
    """Return numbers with their names as a table."""
    return Rows(title, ("number", "value"), [(name.replace("_", " "), _cell(value)) for name, value in values.items()])


def _cell(value: Any) -> str:
    """A number, or several with commas, in a few digits; nothing where it is NaN."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    if isinstance(value, float):
        return "" if math.isnan(value) else number(value)
    return str(value)


def moving(film: Film | None, caption: str) -> tuple[Figure, ...]:
    """Return the film of a page, where there is one."""
    return () if film is None else panels(film[0], "film", (caption,), frames=film[1])


def odenet(studies: Sequence[tuple[NetworkStudy, MatplotlibFigure]], again: Again) -> Sheet:
    """Return the page of studies of mean-field networks, one section for each table of data."""
    from maxslope.report.odenet_study import numbers as measured

    parts, said, remains, big = [], [], [], []
    for k, (study, figure) in enumerate(studies):
        own, name = measured(study), study.data.name
        said.append(f"{name}: {own['fate']}")
        remains += [f"{name}: {reason}" for reason in own["reasons"]]
        score = f"{name}: {study.measure} on the training data"
        big.append((score, percent(study.score), f"risk J = {number(own['energy'], 5)}"))
        words = (
            f"{own['samples']} samples, {own['layers']} layers of {own['particles']} particles; {own['gradients']} "
            f"gradients to a slope of {number(own['slope'], 2)}. The energy dissipation equality holds to "
            f"{number(own['relative_defect'], 1)} of the energy that was lost."
        )
        values = {key: value for key, value in own.items() if isinstance(value, int | float | str)}
        numbers = plain_table(f"{name}: numbers", values)
        parts.append(Part(name, words, panels(figure, f"net-{k}", _NETWORK), [numbers]))
    names = ", ".join(study.data.name for study, _ in studies)
    asked = [
        ("Question", "does the training of a mean-field residual network converge, how fast, and why"),
        ("Data", names),
    ]
    return Sheet(f"Mean-field networks: {names}", asked, " ".join(said), big, remains, parts, *again)


_NETWORK = (
    "The energy falls along the flow; dashed, how far the weights have moved: a length that levels off has an end.",
    "The slope and its rate of decay. Where the rate settles at the smallest eigenvalue, convergence is exponential.",
    "Slope against energy above the limit, on logarithmic scales: the steepness is the exponent of Lojasiewicz.",
    "Each dot is a particle: the sizes of its input and output weights, from the start (gray) to the end.",
    "Samples on their way through the layers.",
    "What the network answers.",
)


def moons(
    study: Convergence,
    differences: Mapping[str, Differences],
    held: Mapping[str, Convergence],
    drawings: Drawings,
    film: Film | None,
    again: Again,
) -> Sheet:
    """Return the page of the experiment on two moons.

    Orders of schemes against the event-driven reference (``study``); differences of explicit scheme and minimizing
    movements, by network; convergence where a constraint binds, by case (``held``); figures by name; a film.
    """
    gaps = {name: d.largest.mean(1).tolist() for name, d in differences.items()}
    shrink = [f"{name}: from {number(gap[0])} to {number(gap[-1])}" for name, gap in gaps.items()]
    first = next(iter(differences.values()))
    answer = (
        f"As the step tau shrinks from {number(first.taus[0])} to {number(first.taus[-1])}, the mean distance between "
        f"iterated FGSM and minimizing movements goes {'; '.join(shrink)}. Against an independent reference "
        "curve the schemes converge with the orders below."
    )
    numbers = [
        (f"Order of {name}", f"{o:.2f}", f"95 % interval {low:.2f} to {high:.2f}")
        for name, (o, low, high, *_) in study.orders.items()
    ]
    astray = "; ".join(f"{case}: {', '.join(s.astray)}" for case, s in held.items() if s.astray)
    remains = [f"Where a constraint binds, these schemes settle on another curve than the flow: {astray}."]
    if not astray:
        remains.clear()
    remains.append(
        "Two networks, one data set: the orders are measured here, and proved in the paper under its assumptions."
    )
    ways = [*moving(film, _PARTICLES), *panels(drawings["trajectories"], "way", _WAYS)]
    gap_tables = [table(f"{n}: differences", d.table(n)) for n, d in differences.items()]
    order_figures = panels(drawings["convergence"], "order", _ORDERS)
    parts = [
        Part("Curves", "White lines: level sets of the energy. The dark square: the budget.", ways),
        Part("Explicit steps and minimizing movements", "", panels(drawings["differences"], "gap", _GAPS), gap_tables),
        Part("Against the reference", "", order_figures, [table("Orders", study.table())]),
    ]
    if "mnist" in drawings:
        parts.append(Part("Images", "", [whole(drawings["mnist"], "images", _MNIST)]))
    asked = [
        ("Question", "do attacks with small steps follow a curve of maximal slope, and how closely"),
        ("Data", "two moons" + (", MNIST" if "mnist" in drawings else "")),
        ("Initial values", f"{first.largest.shape[1]}"),
        ("Source", "arXiv:2406.05376"),
    ]
    return Sheet("Curves of maximal slope on two moons", asked, answer, numbers, remains, parts, *again)


_WAYS = ("Explicit steps in blue, minimizing movements in red, with their step boxes.",)
_PARTICLES = (
    "Points of the two moons on curves of maximal slope, each within its own budget, by explicit steps; the slider "
    "chooses the time. Red and blue: what the network says at the start; the dark line: where it changes its mind."
)
_GAPS = (
    "The largest distance over time, mean over initial values, with two standard errors. Dotted: order one.",
    "The same by the measure that was published, the largest row sum.",
)
_ORDERS = (
    "Error against the reference; bands hold 80 % of the initial values. Dotted: order one.",
    "How far the energy dissipation equality is missed.",
    "How far the velocity is from the steepest directions.",
)
_MNIST = "Clean images, and the worst found where each moves by at most the radius, or all together on average."


def integrability(title: str, verdict: Verdict | None, proof: Proof, monodromy: Monodromy, again: Again) -> Sheet:
    """Return the page of a decision about closed forms: no verdict where an equation alone was decided."""
    from mpmath import nstr

    from maxslope.integrability.picture import figure_of

    parts = [] if verdict is None else [Part("The proof, in short", text=verdict.sketch())]
    rows = [{"pole": pole, "trace of its monodromy": str(nstr(t, 12))} for pole, t in monodromy.traces().items()]
    tables = [table("Traces", rows, open_=True)] if rows else []
    parts.append(Part("Numerical evidence", _EVIDENCE, panels(figure_of(monodromy), "loops", _LOOPS), tables))
    asked = [("Question", "has this gradient flow, or equation, solutions in closed form"), ("Of", title)]
    numbers = [("The independent checker confirms", proof.claim, proof.scope)]
    answer = f"{proof.claim}." if verdict is None else " ".join(verdict.follows())
    remains = () if verdict is None else verdict.does_not_follow()
    return Sheet(f"Closed forms: {title}", asked, answer, numbers, remains, parts, *again)


_EVIDENCE = (
    "Computed in floating point along loops in the complex plane, beside the proof: it proves nothing by itself."
)
_LOOPS = ("Loops around the poles of the equation, and the trace of what a turn does to solutions.",)


def training(
    history: Sequence[Mapping[str, Any]],
    drawing: MatplotlibFigure,
    asked: Sequence[tuple[str, str]],
    held: int,
    again: Again,
) -> Sheet:
    """Return the page of a training, whose accuracies were verified on so many ``held`` samples."""
    checked = [record for record in history if "robust" in record]
    numbers, remains = [], []
    answer = f"{len(history)} epochs; no accuracy was checked on held-out samples."
    if checked:
        best, last = max(checked, key=lambda record: record["robust"]), checked[-1]
        answer = (
            f"The best epoch of {len(history)}, number {best['epoch']}, is right on {percent(best['robust'])} of "
            f"{held} held-out samples under attack, and on {percent(best['clean'])} without; its weights were kept."
        )
        for name in ("robust", "clean"):
            interval = f"95 % interval {Share.near(best[name], held).interval}"
            numbers.append((f"{name.capitalize()} accuracy", percent(best[name]), interval))
        if last["epoch"] != best["epoch"]:
            remains.append(f"After the last epoch it was {percent(last['robust'])}.")
        remains.append(
            "The epoch was chosen on these very samples, and the attack inside a training is a short one: the number "
            "is an upper bound. An evaluation (maxslope evaluate) of other samples says more."
        )
    parts = [Part("Epoch by epoch", "", panels(drawing, "history", _HISTORY), [table("All epochs", history)])]
    return Sheet("A robust training", asked, answer, numbers, remains, parts, *again)


_HISTORY = (
    "The loss that is trained on: under attack, so that it may rise where the attack gets stronger.",
    "Accuracies on samples that were held out, each verified.",
    "What the attack inside the training costs, and how large its radius is.",
)
