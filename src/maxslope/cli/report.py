"""``maxslope report``: a page on a run, or on several."""

from __future__ import annotations

import itertools
import shlex
import string
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maxslope._escape import visible
from maxslope.cli import options
from maxslope.cli.ending import steps
from maxslope.cli.options import OUTPUT, option
from maxslope.cli.settings import read, taken
from maxslope.cli.sources import open_sources, say_warnings_plainly

if TYPE_CHECKING:
    from torch import Tensor

    from maxslope.evaluation import Report, Smallest
    from maxslope.report import Comparison, Page
    from maxslope.report.smallest import SmallestPage
    from maxslope.sets import Budget

    Content = Page | Comparison | SmallestPage

EXAMPLES = """
[bold]Examples[/]

A page beside the run:  [cyan]maxslope evaluate --out run[/], then [cyan]maxslope report run[/]

Runs on the same samples, with ranks and paired tests:  [cyan]maxslope report plain trades mine --out change.html[/]

For a pull request, a paper or another program:  [cyan]maxslope report run --format markdown[/]  or  [cyan]latex, json,
csv[/]; figures:  [cyan]--format pdf[/]  or  [cyan]svg[/]
"""

_MOST = 20_000  # samples that are read again, to show a few of them
_STEPS = 4  # of a page: reading, curves, smallest perturbations, samples


class Format(StrEnum):
    """What to write."""

    html = "html"
    json = "json"
    csv = "csv"
    markdown = "markdown"
    latex = "latex"
    svg = "svg"
    pdf = "pdf"


Out = Annotated[Path | None, option(OUTPUT, "File to write; by default report.html in the folder, or the screen.")]
_SEED = "the samples whose smallest perturbation is looked for; by default that of each run"


@dataclass(frozen=True, eq=False)
class Run:
    """A run of ``evaluate`` or ``minimal`` from its folder, with model and data as far as they can be had again."""

    name: str
    report: Report | Smallest
    budget: Budget | None
    model: Any
    data: tuple[Tensor, Tensor] | None
    command: str


def report(
    *,
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs: one, or several on the same samples.")],
    out: Out = None,
    format_: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.html,
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    classes: Annotated[str, typer.Option(help="Names of the classes, with commas between.")] = "",
    names: Annotated[
        str, typer.Option(help="Names of several runs, with commas between; by default those of their folders.")
    ] = "",
    model: Annotated[
        bool, option(None, "Load the run's model and data again, to show samples and curves.", "--model/--no-model")
    ] = True,
    trust: options.Trust = False,
    memory: options.Memory = None,
    seed: Annotated[int | None, options.seed_of(_SEED)] = None,
    json_: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a page on a run: the answer with its interval, then the evidence; of several runs, a comparison.

    A page is one HTML file that loads nothing. Of a folder of `maxslope minimal` it shows the smallest perturbations.

    The model and data are loaded as the run names them, and used only if they are still the same. Where the run names
    code, that needs --trust: a run's folder may come from somebody else.
    """
    from maxslope.evaluation.store import APPROACH, Folder

    say_warnings_plainly()
    if json_ and out is None:
        format_ = Format.json  # the numbers alone; with --out the file as well
    options.file(out)
    for folder in runs:
        if not (folder / "run.json").is_file():
            raise ValueError(f"{folder} holds no run of maxslope; maxslope evaluate --out FOLDER makes one.")
        if len(runs) > 1 and Folder(folder).header["format"] == APPROACH:
            raise ValueError(
                f"A comparison is of evaluations, and {folder} holds smallest perturbations (of maxslope minimal); "
                f"give it alone, maxslope report {folder}, and compare evaluations."
            )
    seen = format_ in (Format.html, Format.svg, Format.pdf)
    labels, called = _listed(classes), _listed(names)
    if called and (len(called) != len(runs) or len(runs) == 1):
        raise ValueError(
            f"--names are one for each of several runs, with commas between, got {len(called)} for {len(runs)}; a page "
            "on one run has a --title."
        )
    total = _STEPS if len(runs) == 1 else len(runs) + 1
    with steps("No page is written.", total, quiet or json_ or not seen, "reading", "steps") as update:
        told = itertools.count()
        found = []
        for folder in runs:
            update(next(told), f"reading {folder}")
            found.append(_open(folder, {"trust": trust, "memory": memory}, with_model=model and seen))
        if len(found) == 1:
            content: Content = _page(found[0], title, labels, seed, lambda step: update(next(told), step))
        else:
            update(next(told), "comparing")
            content = _comparison(found, title, labels, called, seed)
        update(total, "written")
    _write(content, format_, out, runs)
    if json_ and out is not None:
        typer.echo(content.json(), nl=False)


def _write(content: Content, format_: Format, out: Path | None, runs: list[Path]) -> None:
    """Write a file, or to the screen what is no page and no drawing."""
    from maxslope.report.html import write

    if format_ in (Format.svg, Format.pdf):
        out = out or Path(f"maxslope.{format_.value}")
        out.parent.mkdir(parents=True, exist_ok=True)
        content.plot().savefig(out, format=format_.value)
        typer.echo(f"{out}", err=True)
        return
    text = getattr(content, format_.value)()
    if out is None and format_ is Format.html:
        out = runs[0] / "report.html" if len(runs) == 1 else Path("maxslope-compare.html")
    if out is None:
        typer.echo(text, nl=False)
        return
    write(out, text)
    typer.echo(f"{out} ({len(text.encode()) / 1e6:.2f} MB)", err=True)


def _page(run: Run, title: str | None, classes: list[str], seed: int | None, tell: Callable[[str], None]) -> Content:
    from maxslope.evaluation import Smallest
    from maxslope.report import page
    from maxslope.report.html import norm_and_eps
    from maxslope.report.smallest import SmallestPage

    if isinstance(run.report, Smallest):
        found = run.report
        about = replace(found.about, classes=tuple(classes) or found.about.classes)
        norm = norm_and_eps(run.budget)[0] or "the norm"
        return SmallestPage(replace(found, about=about), norm, title or "", run.command, run.data and run.data[0])
    return page(
        run.report, model=run.model, data=run.data, budget=run.budget, classes=classes, title=title or None,
        command=run.command, progress=tell, seed=seed,
    )  # fmt: skip


def _comparison(
    runs: list[Run], title: str | None, classes: list[str], names: list[str], seed: int | None
) -> Comparison:
    from maxslope.evaluation import Report
    from maxslope.report import compare

    all_there = all(run.model is not None for run in runs)
    if not names:  # folders of one name get letters
        letters, own = [*string.ascii_uppercase, *range(27, len(runs) + 1)], [run.name for run in runs]
        names = [f"{name} ({letters[k]})" if own.count(name) > 1 else name for k, name in enumerate(own)]
    reports = [run.report for run in runs if isinstance(run.report, Report)]
    return compare(
        *reports, names=names, data=runs[0].data,
        models=[run.model for run in runs] if all_there else None, budget=[run.budget for run in runs], classes=classes,
        seed=seed, title=title or None,
    )  # fmt: skip


def _listed(words: str) -> list[str]:
    """What stands between commas."""
    return [word.strip() for word in words.split(",")] if words else []


def _open(folder: Path, given: dict[str, Any], *, with_model: bool) -> Run:
    """The run in a folder."""
    from maxslope.evaluation import Folder, load, load_smallest
    from maxslope.evaluation._codec import decode
    from maxslope.evaluation.store import APPROACH

    header = Folder(folder).header
    of = "minimal" if header["format"] == APPROACH else "evaluate"
    found = load(folder) if of == "evaluate" else load_smallest(folder)
    try:
        budget = decode(header["budget"])
    except ValueError:
        budget = None  # a norm of somebody's own
    model, data = _again(folder, header, found, given, of) if with_model else (None, None)
    return Run(folder.resolve().name, found, budget, model, data, _command(folder, of))


def _command(folder: Path, of: str) -> str:
    """How to do a run again; nothing for one that was begun from Python, with objects."""
    try:
        found = read(folder / "run.toml", of)
    except ValueError:
        return ""
    return f"maxslope {of} --config {shlex.quote(str(folder / 'run.toml'))}{' --trust' if found.code else ''}"


def _again(
    folder: Path, header: dict[str, Any], found: Report | Smallest, given: dict[str, Any], of: str
) -> tuple[Any, Any]:
    """The run's model and its data, if they can be loaded and have not changed.

    Otherwise it says why not, on the error stream.
    """
    from maxslope.evaluation.data import fingerprint
    from maxslope.evaluation.plan import identity

    try:
        sources = open_sources(taken(folder / "run.toml", given, typed=False, command=of), quiet=True)
        for what, now in (("model", identity(sources.model)), ("data", fingerprint(sources.data))):
            if header[what] != now:
                raise ValueError(f"the {what} of {folder} changed since the run")
        return sources.model, _samples(sources.data, found)
    except (ValueError, TypeError, ImportError, OSError) as error:
        sys.stderr.write(visible(f"no samples and curves on the page: {' '.join(str(error).split())}") + "\n")
        return None, None


def _samples(data: Any, found: Report | Smallest) -> tuple[Tensor, Tensor]:
    """The samples that are in the report, in its order."""
    import torch

    from maxslope.evaluation.data import jobs

    wanted = [int(i) for i in found.table["index"]]
    if len(wanted) > _MOST:
        raise ValueError(f"samples are shown of runs with at most {_MOST} of them, got {len(wanted)}")
    known: dict[int, tuple[Tensor, Tensor]] = {}
    for job in jobs(data):
        known |= dict(zip(job.rows.tolist(), zip(job.x, job.y, strict=True), strict=True))
        if known.keys() >= set(wanted):
            break
    if left := set(wanted) - known.keys():
        raise ValueError(f"{len(left)} samples of the run are not in the data")
    x, y = zip(*(known[i] for i in wanted), strict=True)
    return torch.stack(x), torch.stack(y)
