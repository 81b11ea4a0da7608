"""Pages on studies: what was asked, the answer, what remains, then the evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from maxslope.facts.numbers import number, thinned
from maxslope.report.drawn import panels
from maxslope.report.html import Written, render
from maxslope.report.html_figures import Figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

    from maxslope.integrability import Proof, Verdict
    from maxslope.integrability.loops import Monodromy


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
