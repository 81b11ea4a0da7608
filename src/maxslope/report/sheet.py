"""One page on a study: what was asked, the answer, what remains, then the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from maxslope.report.html import framed, render, write
from maxslope.report.html_figures import Figure


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


@dataclass(frozen=True, eq=False, repr=False)
class Sheet:
    """A page on a study.

    Attributes:
        asked: what was asked, of what: (name, words).
        answer: in a sentence or two.
        numbers: (name, number with its unit, what it is beside), the first the largest.
        doubts: why the numbers may not be trusted.
        remains: what is not known, or was not asked.
        parts: the evidence.
        command: how to do it again.
        files: what else was written, beside the page.
        date: when; now by default.
    """

    title: str
    asked: Sequence[tuple[str, str]]
    answer: str
    numbers: Sequence[tuple[str, str, str]] = ()
    doubts: Sequence[str] = ()
    remains: Sequence[str] = ()
    parts: Sequence[Part] = ()
    command: str = ""
    files: Sequence[str] = ()
    date: str = ""

    def when(self) -> str:
        """Return the date of the study, in words."""
        return self.date or datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")

    def html(self) -> str:
        """Return the page: one file, which loads nothing."""
        return render("sheet.html.j2", s=self)

    def save(self, path: str | Path) -> Path:
        """Write the page and return its path."""
        return write(path, self.html())

    def __repr__(self) -> str:
        return f"<Sheet: {self.title}>"

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return framed(self.html())
