"""``maxslope minimal``: how near is the nearest error of each sample?"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maxslope._escape import visible
from maxslope.cli import ending, names, options, sources
from maxslope.cli.ending import interrupted
from maxslope.cli.options import OUTPUT, option
from maxslope.cli.progress import progress
from maxslope.cli.settings import ELSEWHERE, How, Settings, asked_for, given, of_settings

if TYPE_CHECKING:
    from maxslope.evaluation import Smallest

EXAMPLES = """
[bold]Examples[/]

The network and images that ship with maxslope:  [cyan]maxslope minimal --norm l2 --samples 200[/]

Yours, with robust accuracy at two radii and a table:  [cyan]maxslope minimal --model nets.py:make --data test.npz
--at 1/255 --at 2/255 --out nearest.csv[/]

A folder that keeps the run:  [cyan]maxslope minimal --samples 200 --out near[/]; to go on, or for its table:
[cyan]maxslope minimal --resume near --out near.csv[/]; for a page: [cyan]maxslope report near[/]
"""

At = Annotated[list[str] | None, option("Attack", "A radius to give robust accuracy at; repeat it.")]
_OUT = "Folder to keep the run in, so that it can go on; or a .csv or .parquet file, one row per sample."
Out = Annotated[Path | None, option(OUTPUT, _OUT)]


@of_settings(*ELSEWHERE["minimal"])
def minimal(
    context: typer.Context,
    *,
    at: At = None,
    eps: Annotated[str | None, typer.Option(hidden=True)] = None,
    workers: options.Workers = None,
    gpus: options.Gpus = 0.0,
    ray: options.Ray = None,
    config: options.Config = None,
    resume: options.Resume = None,
    out: Out = None,
    points: Annotated[bool, option(OUTPUT, "Keep the nearest errors in the folder.", "--points")] = False,
    json_: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find the smallest perturbation of each sample that the model gets wrong.

    Prints quantiles of its norm (0 where the clean point is wrong) and robust accuracy at radii.
    """
    if eps is not None:
        raise ValueError(f"--eps is what minimal finds; --at {eps} gives the robust accuracy at a radius.")
    s = asked_for(config, resume, given(context), "minimal")
    radii = [names.number(word) for word in at or []]
    if any(not radius >= 0 for radius in radii):
        raise ValueError(f"--at is a radius that is not negative, got {', '.join(at or [])}.")
    crew = sources.crew(workers, gpus, ray)
    folder, table = _places(out, resume)
    if points and folder is None:
        raise ValueError("--points are kept in a folder: give --out FOLDER.")
    how = How(resume, folder, table, json_, quiet)
    found = _run(s, crew, how)
    if table is not None:
        _write(found.table, table)
    _say(found, s.norm, radii, how)


def _places(out: Path | None, resume: Path | None) -> tuple[Path | None, Path | None]:
    """The folder that keeps the run, and the table; nothing long begins where one cannot be written."""
    from maxslope.evaluation._arrays import need_pyarrow

    if out is None:
        return None, None
    if out.suffix not in (".csv", ".parquet"):
        if resume is not None:
            raise ValueError(
                f"--resume goes on in its own folder; --out names a .csv or .parquet file there, got {out}."
            )
        if out.suffix[1:].isalpha() and not out.is_dir():
            raise ValueError(
                f"--out is a folder to keep the run in, or a .csv or .parquet file of one row per sample, got {out}."
            )
        options.run_folder(out)
        return out, None
    if not out.parent.is_dir():
        raise ValueError(f"There is no folder {out.parent} to write {out.name} into; make it first.")
    options.file(out)
    if out.suffix == ".parquet":
        need_pyarrow("Tables in Parquet need")
    return None, out


def _run(s: Settings, crew: Any, how: How) -> Smallest:
    """Load, check and search, and tell how far it is; an interruption says what is kept and how to go on."""
    from maxslope._checks import MaxslopeWarning
    from maxslope.evaluation import Interrupted, resume_smallest, smallest

    sources.say_warnings_plainly()
    space, level, threat = names.norm(s.norm), names.effort(s.effort), sources.threat(s)
    found = sources.open_sources(s, quiet=how.silent)
    try:
        with (
            progress(found.total, how.silent, resumed=how.resume is not None, doing="searching") as update,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", MaxslopeWarning)  # the result says the same

            def tell(done: int, median: float) -> None:
                update(done, f"median {median:.4g} so far")

            if how.resume is not None:
                return resume_smallest(how.resume, found.model, found.data, progress=tell, crew=crew, **threat)
            return smallest(
                found.model, found.data, space, box=found.box, effort=level, seed=s.seed,
                batch_size=s.batch_size, keep_points=s.points, progress=tell, out=how.out, part=s.part, crew=crew,
                about=sources.about(s, found), configuration=s.table("minimal"), **threat,
            )  # fmt: skip
    except Interrupted as stop:
        rows = None if stop.report is None else how.beside
        if rows is not None:
            _write(stop.report.table, rows)
        interrupted(stop, "minimal", s, how.folder, rows)


def _say(found: Smallest, norm: str, radii: list[float], how: How) -> None:
    """Print the numbers, and beside them, also in quiet mode, what may be wrong with them."""
    said = [str(one) for one in found.warnings]
    place = None if how.folder is None else str(how.folder)
    facts = {"norm": norm, **found.facts(radii), "warnings": said, "folder": place}
    median, clean = facts["quantiles"]["0.5"], 100 * facts["clean_accuracy"]
    line = f"median {norm} norm {median:.4g}, clean {clean:.2f} %, {facts['samples']} samples"
    lines = [*_lines(facts)]
    for name, path in (("kept in", how.folder), ("table", how.beside)):
        lines += [] if path is None else [f"{name:<16} {visible(str(path))}"]
    ending.tell(facts, line, lines, json=how.json, quiet=how.quiet)
    for sentence in said:
        typer.echo(f"maxslope: warning: {visible(sentence)}", err=True)


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    """The numbers, a line each."""
    yield f"Smallest perturbations found, norm {facts['norm']}, {facts['samples']} samples"
    yield f"clean accuracy   {100 * facts['clean_accuracy']:.2f} %"
    for q, value in facts["quantiles"].items():
        yield f"{100 * float(q):>3.0f} % quantile   {value:.4g}"
    for radius, share in facts["robust_accuracy"].items():
        yield f"robust accuracy at {float(radius):.4g}   {100 * share:.2f} %"
    backward, forward = facts["backward_per_sample"], facts["forward_per_sample"]
    yield f"cost             {backward:.1f} backward, {forward:.1f} forward passes a sample"


def _write(columns: dict[str, Any], out: Path) -> None:
    if out.suffix == ".csv":
        from maxslope.facts.export import columns_csv

        out.write_text(columns_csv(columns), encoding="utf-8")
        return
    from maxslope.evaluation._arrays import need_pyarrow

    pyarrow = need_pyarrow()
    pyarrow.parquet.write_table(pyarrow.table(columns), out)
