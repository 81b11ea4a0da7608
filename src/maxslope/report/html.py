"""One self-contained HTML page on an evaluation: the answer first, then the evidence."""

from __future__ import annotations

import base64
import hashlib
import platform
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from maxslope._optional import optional
from maxslope.attacks import MinimalResult
from maxslope.evaluation import Report
from maxslope.facts import export
from maxslope.facts.evaluation import Facts, Named, facts
from maxslope.facts.numbers import number, percent, signed
from maxslope.figures.evaluation import plotted
from maxslope.report.html_figures import Figure, cost_figure, security_figure, track_figures
from maxslope.report.html_samples import AtHand, Group, again, groups, with_points
from maxslope.report.merging import SEARCH, Candidates, Track, affordable, merged, nearest, representative, tracks
from maxslope.sets import Budget
from maxslope.spaces import Lp

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure as MatplotlibFigure

_ROWS = 5000  # of the table that can be downloaded from the page


class Written(ABC):
    """What is written as one HTML page."""

    @abstractmethod
    def html(self) -> str:
        """Return the page: one file, which loads nothing.

        Raises:
            ImportError: if jinja2 is not installed, or matplotlib where the page has figures of it.
        """

    def save(self, path: str | Path) -> Path:
        """Write the HTML page to ``path``, creating its folder, and return the path.

        Raises:
            ImportError: as :meth:`html`.
        """
        return write(path, self.html())

    def _repr_html_(self) -> str:
        """What notebooks show: a frame, so that the page's style and the notebook's leave each other alone."""
        return (
            f'<iframe srcdoc="{escape(self.html(), quote=True)}" width="100%" height="640" style="border:0" '
            'sandbox="allow-scripts allow-downloads" title="maxslope"></iframe>'
        )


@dataclass(frozen=True, eq=False, repr=False)
class Page(Written):
    """What is known of an evaluation, ready to be written in several forms.

    Attributes:
        report: the evaluation, with what the page found against it.
        facts: its numbers.
        groups: samples to show.
        tracks: curves of maximal slope of a few of them.
        command: how to do the evaluation again, if somebody said.
        budget: of the evaluation, if somebody said.
    """

    report: Report
    facts: Facts
    groups: tuple[Group, ...] = ()
    tracks: tuple[Track, ...] = ()
    command: str = ""
    budget: Budget | None = None

    @property
    def python(self) -> str:
        """Lines of Python that do the evaluation again."""
        return export.to_python(self.report, self.budget)

    @property
    def left_out(self) -> int:
        """Samples of the groups without a picture: points were not kept, and finding them again is dear."""
        return sum(len(group.unseen) for group in self.groups)

    @property
    def pictured(self) -> bool:
        """Whether samples are shown as images."""
        return any(one.pictures for group in self.groups for one in group.examples)

    def figures(self) -> dict[str, Figure]:
        """Return the charts by name: security, cost, margin, slope, as far as there are numbers for them."""
        single = [Named("", self.facts)]
        tracks = track_figures(self.tracks, self.facts.norm or "the norm")
        found = (security_figure(single), cost_figure(single), *tracks)
        return {figure.name: figure for figure in found if figure is not None}

    def html(self) -> str:
        packed = base64.b64encode(self.csv().encode()).decode("ascii") if self.report.samples <= _ROWS else ""
        download = f"data:text/csv;base64,{packed}" if packed else ""
        return render("page.html.j2", page=self, facts=self.facts, figures=self.figures(), download=download)

    def json(self) -> str:
        """Return all numbers as JSON; NaN and infinity are null."""
        about, table = self.report.about, self.report.table
        return export.to_json({"about": about, "facts": self.facts, "tracks": self.tracks, "table": table})

    def csv(self) -> str:
        """Return the table of all samples as comma-separated values."""
        return export.table_csv(self.report)

    def markdown(self) -> str:
        """Return a summary for a pull request or a model card."""
        return export.to_markdown(self.facts, self.command)

    def latex(self) -> str:
        """Return the table of classes for a paper; it needs the package booktabs."""
        return export.to_latex(self.facts)

    def plot(self) -> MatplotlibFigure:
        """Return security curve, margins and cost as a figure of matplotlib: ``.savefig("figure.pdf")``, or ``.svg``.

        Raises:
            ImportError: if matplotlib is not installed.
        """
        return plotted([Named("", self.facts)], self.report)

    def __repr__(self) -> str:
        return f"<Page of {self.report!r}>"

    def __str__(self) -> str:
        return self.markdown()


def page(
    report: Report,
    *,
    model: Any = None,
    data: tuple[Tensor, Tensor] | None = None,
    budget: Budget | None = None,
    smallest: MinimalResult | None = None,
    classes: Sequence[str] = (),
    title: str | None = None,
    command: str = "",
    progress: Callable[[str], None] | None = None,
    seed: int | None = None,
    files: Sequence[str] = (),
) -> Page:
    """Gather what a report says about an evaluation.

    With data (and points kept) samples are shown, with a model its answers to them. With a budget as well, curves of
    maximal slope of a few samples are followed, and the smallest perturbations of up to 200 samples are looked for,
    drawn by verdict and label, as many as half of the evaluation's own passes afford: they say about how robust it is
    at every radius.
    Where points were not kept, those of the samples that are shown are found again. What a page finds against the
    evaluation is verified and counted, in all numbers; ``.report`` of the page holds it, with a warning that names it.

    Args:
        report: of ``evaluate``.
        model: the model that was evaluated.
        data: its inputs ``[n, *shape]`` and labels ``[n]``, in the order of the report.
        budget: of the evaluation.
        smallest: of ``minimal`` on the first samples, instead of looking for them here.
        classes: names by class number; by default those the report knows.
        title: of the page.
        command: how to do the evaluation again, shown on the page.
        progress: called with words for each step.
        seed: of the draw of samples whose smallest perturbation is looked for, and of that search; by default the
            evaluation's.
        files: names of the samples' files, in the order of the report; by default those in its table.

    Returns:
        A :class:`Page`: ``.save(path)`` writes HTML; ``.json()``, ``.csv()``, ``.markdown()`` return text.

    Raises:
        TypeError: if the report is none.
        ValueError: if data or points belong to another report.

    >>> import maxslope as ms
    >>> x, y = torch.tensor([[0.9, 0.1], [0.6, 0.5]]), torch.tensor([0, 0])
    >>> found = ms.evaluate(lambda x: 10 * x, (x, y), ms.Linf(0.2))
    >>> page(found, title="Two points").facts.robust.words
    '50.0 % (9.5 to 90.5 %)'
    """
    _check(report, data, files)
    if classes:
        report = with_names(report, classes)
    if not report.about.plain:
        model = None  # a search of the page's own would answer another question than the evaluation did
    tell = progress or (lambda step: None)
    rows: Sequence[int] = range(0 if smallest is None else len(smallest.norms))
    followed: tuple[Track, ...] = ()
    shown: tuple[Group, ...] = ()
    known: dict[int, Tensor] = {}
    kept = report.points is not None
    rows_again = [] if kept or data is None else again(report)
    if data is not None and budget is not None:
        candidates: list[Candidates] = []
        if model is not None:
            tell("curves of maximal slope")
            followed, candidates = tracks(report, model, data[0].detach(), data[1], budget)
        if model is not None and smallest is None:
            few = affordable(report, sum(len(track.length) for track in followed), rows_again)
            rows = representative([report], few, report.seed if seed is None else seed)
            tell(f"smallest perturbations of {len(rows)} samples")
            smallest = nearest(rows, report, model, data, budget, seed) if rows else None
        if smallest is not None:
            candidates.append(Candidates(rows, smallest.points, SEARCH, smallest.margin))
        report, known = merged(report, data, model, budget, candidates)
    norm, eps = norm_and_eps(budget)
    norms = None if smallest is None else smallest.norms
    found = facts(report, title=title, norm=norm, eps=eps, smallest=norms, rows=rows)
    if data is not None:
        if model is not None and budget is not None:
            tell("samples")
            report = with_points(report, rows_again, data, model, budget, known)
        having = None if kept else {*rows_again, *known}
        shown = groups(report, AtHand(data[0], model, bounds_of(budget, data[0]), files or report.files), having)
    return Page(report, found, shown, followed, command, budget)


def _check(report: Report, data: tuple[Tensor, Tensor] | None, files: Sequence[str]) -> None:
    if not isinstance(report, Report):
        raise TypeError(f"A page is made of a Report, which evaluate returns, got {type(report).__name__}.")
    if files and len(files) != report.samples:
        raise ValueError(f"Each sample has one file, got {len(files)} files for {report.samples} samples.")
    if data is None:
        return
    x, y = data
    others = report.about.plain and y.tolist() != report.table["label"]  # other goals show labels in words of their own
    if x.shape[0] != report.samples or others:
        raise ValueError(
            f"The data must be those of the report, sample by sample, got {x.shape[0]} samples for {report.samples} "
            f"rows{'' if x.shape[0] != report.samples else ' with other labels'}; pass the same (x, y) in the same "
            "order."
        )
    if report.points is not None and report.points.shape != x.shape:
        raise ValueError(
            f"The data must be those of the report, got samples {tuple(x.shape[1:])} for points of shape "
            f"{tuple(report.points.shape[1:])}."
        )


def with_names(report: Report, classes: Sequence[str]) -> Report:
    """Return the report with other names of its classes."""
    return replace(report, about=replace(report.about, classes=tuple(map(str, classes))))


def norm_and_eps(budget: Budget | None) -> tuple[str | None, float | None]:
    """Return the name of the norm and the radius, None where unknown; the radius also where it differs by sample."""
    if budget is None:
        return None, None
    name = f"l_{budget.norm.p:g}" if isinstance(budget.norm, Lp) else str(budget.norm)
    return name, None if torch.as_tensor(budget.eps).ndim else float(budget.eps)


def bounds_of(budget: Budget | None, x: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the range of valid inputs; without a budget (0, 1) where the inputs fit, else None."""
    if budget is None:
        return (torch.zeros(1), torch.ones(1)) if bool(((x >= 0) & (x <= 1)).all()) else None
    if budget.box is None:
        return None
    low, high = (torch.as_tensor(b) for b in budget.box)
    return low, high


def render(template: str, **content: Any) -> str:
    """Return a page of a template of this room; nothing it needs lies outside of it.

    Raises:
        ImportError: if jinja2 is not installed.
    """
    with optional("HTML pages need jinja2", "[report]"):
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    folder = resources.files("maxslope.report") / "templates"
    script = (folder / "script.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=PackageLoader("maxslope.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"percent": percent, "number": partial(number, digits=3), "signed": signed}
    own = sys.modules["maxslope"].__version__  # the public page lies above this room
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    text: Markup | str = environment.get_template(template).render(
        style=Markup((folder / "style.css").read_text(encoding="utf-8")),
        script=Markup(script),
        digest=digest,
        versions=f"maxslope {own}, torch {torch.__version__}, Python {platform.python_version()}",
        safe=Markup,
        **content,
    )
    return str(text)


def write(path: str | Path, text: str) -> Path:
    """Write a text file, creating its folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
