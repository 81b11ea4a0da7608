"""``maxslope report``: a page on a run, or on two."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maxslope._escape import visible
from maxslope.cli import options

if TYPE_CHECKING:
    from torch import Tensor

    from maxslope.evaluation import Report
    from maxslope.report import Comparison, Page
    from maxslope.sets import Budget

EXAMPLES = """
[bold]Examples[/]

A page beside the run:  [cyan]maxslope evaluate --out run[/], then [cyan]maxslope report run[/]

Two runs on the same samples, with a paired test:  [cyan]maxslope report before after --out change.html[/]

For a pull request, or for another program:  [cyan]maxslope report run --format markdown[/]  or  [cyan]json, csv[/]
"""

_MOST = 20_000  # samples that are read again, to show a few of them


class Format(StrEnum):
    """What to write."""

    html = "html"
    json = "json"
    csv = "csv"
    markdown = "markdown"


@dataclass(frozen=True, eq=False)
class Run:
    """A run from its folder, with its model and data as far as they can be had again."""

    name: str
    report: Report
    budget: Budget | None
    model: Any
    data: tuple[Tensor, Tensor] | None
    command: str


def report(
    *,
    runs: Annotated[list[Path], typer.Argument(help="One folder of a run, or two of runs on the same samples.")],
    out: Annotated[
        Path | None, typer.Option(help="File to write; by default report.html in the folder, or the screen.")
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.html,
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    classes: Annotated[str, typer.Option(help="Names of the classes, with commas between.")] = "",
    model: Annotated[
        bool,
        typer.Option("--model/--no-model", help="Load the run's model and data again, to show samples and curves."),
    ] = True,
    trust: options.Trust = False,
    memory: options.Memory = None,
) -> None:
    """Write a page on a run: the answer with its interval, then the evidence; of two runs, a comparison.

    A page is one HTML file that loads nothing.

    The model and data are loaded as the run names them, and used only if they are still the same. Where the run names
    code, that needs --trust: a run's folder may come from somebody else.
    """
    from maxslope.cli.sources import say_warnings_plainly

    say_warnings_plainly()
    if not 1 <= len(runs) <= 2:
        raise ValueError(f"A report is about one run or two, got {len(runs)} folders.")
    html = format_ is Format.html
    found = [_open(folder, {"trust": trust, "memory": memory}, with_model=model and html) for folder in runs]
    names = [name.strip() for name in classes.split(",")] if classes else []
    content = _page(found[0], title, names) if len(found) == 1 else _comparison(found, names)
    writers = {Format.html: content.html, Format.json: content.json, Format.csv: content.csv}
    text = writers.get(format_, content.markdown)()
    if out is None and html:
        out = runs[0] / "report.html" if len(runs) == 1 else Path("maxslope-compare.html")
    if out is None:
        typer.echo(text, nl=False)
        return
    from maxslope.report.html import write

    write(out, text)
    typer.echo(f"{out} ({len(text.encode()) / 1e6:.2f} MB)", err=True)


def _page(run: Run, title: str | None, classes: list[str]) -> Page:
    from maxslope.report import page

    return page(
        run.report, model=run.model, data=run.data, budget=run.budget, classes=classes, title=title or None,
        command=run.command,
    )  # fmt: skip


def _comparison(runs: list[Run], classes: list[str]) -> Comparison:
    from maxslope.report import compare

    first, second = runs
    both = first.model is not None and second.model is not None
    return compare(
        first.report, second.report, names=_names(first.name, second.name), data=first.data,
        models=(first.model, second.model) if both else None, budget=first.budget, classes=classes,
    )  # fmt: skip


def _names(first: str, second: str) -> tuple[str, str]:
    return (first, second) if first != second else (f"{first} (A)", f"{second} (B)")


def _open(folder: Path, given: dict[str, Any], *, with_model: bool) -> Run:
    """The run in a folder."""
    from maxslope.evaluation import Folder, load
    from maxslope.evaluation._codec import decode

    header, found = Folder(folder).header, load(folder)
    try:
        budget = decode(header["budget"])
    except ValueError:
        budget = None  # a norm of somebody's own
    model, data = _again(folder, header, found, given) if with_model else (None, None)
    return Run(folder.resolve().name, found, budget, model, data, _command(folder))


def _command(folder: Path) -> str:
    """How to do a run again; nothing for one that was begun from Python, with objects."""
    from maxslope.cli.settings import read

    try:
        found = read(folder / "run.toml")
    except ValueError:
        return ""
    return f"maxslope evaluate --config {shlex.quote(str(folder / 'run.toml'))}{' --trust' if found.code else ''}"


def _again(folder: Path, header: dict[str, Any], found: Report, given: dict[str, Any]) -> tuple[Any, Any]:
    """The run's model and data, if they can be loaded and have not changed; otherwise why not, on the error stream."""
    from maxslope.cli.settings import taken
    from maxslope.cli.sources import open_sources
    from maxslope.evaluation.data import fingerprint
    from maxslope.evaluation.environment import identity

    try:
        sources = open_sources(taken(folder / "run.toml", given, typed=False), quiet=True)
        for what, before, now in (
            ("model", header["model"], identity(sources.model)),
            ("data", header["data"], fingerprint(sources.data)),
        ):
            if before != now:
                raise ValueError(f"the {what} of {folder} changed since the run")
        return sources.model, _samples(sources.data, found)
    except (ValueError, TypeError, ImportError, OSError) as error:
        sys.stderr.write(visible(f"no samples and curves on the page: {' '.join(str(error).split())}") + "\n")
        return None, None


def _samples(data: Any, found: Report) -> tuple[Tensor, Tensor]:
    """The samples that are in the report."""
    import torch

    from maxslope.evaluation.data import jobs

    if found.samples > _MOST or list(found.table["index"]) != list(range(found.samples)):
        raise ValueError(f"samples are shown of finished runs with at most {_MOST} of them, got {found.samples}")
    parts, count = [], 0
    for job in jobs(data):
        parts.append((job.x, job.y))
        count += job.x.shape[0]
        if count >= found.samples:
            break
    x, y = (torch.cat([part[k] for part in parts])[: found.samples] for k in (0, 1))
    return x, y
