"""``maxslope evaluate``: how robust is a model?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maxslope._escape import visible
from maxslope.cli import ending, names, options, sources
from maxslope.cli.ending import interrupted
from maxslope.cli.options import OUTPUT, option
from maxslope.cli.progress import progress
from maxslope.cli.settings import DEFAULT, How, Settings, asked_for, given, of_settings

if TYPE_CHECKING:
    from maxslope.evaluation import Report
    from maxslope.sets import Budget

_PICTURE = Path("maxslope-evaluate.png")
_MOST = 10_000  # samples that are held in memory for a picture
BELOW, UNDECIDED, DOUBTFUL = 3, 4, 5  # exit codes of --fail-under
_CONFIDENCE = 0.95

EXAMPLES = """
[bold]Examples[/]

The network and images that ship with maxslope:  [cyan]maxslope evaluate[/]

Your model, your images, a folder to keep the run in:  [cyan]maxslope evaluate --model nets.py:make
--weights net.safetensors --data test.npz --eps 8/255 --out run[/]

Go on after Ctrl-C, a crash or a full disk:  [cyan]maxslope evaluate --resume run[/] (and [cyan]--trust[/], where
the model or the data are code of yours)

The same again from its configuration, with more effort:  [cyan]maxslope evaluate --config run/run.toml --effort
exhaustive --out run2[/]

A gate for CI, which asks for at least 60 percent:  [cyan]maxslope evaluate --model nets.py:make --data test.npz
--eps 8/255 --fail-under 60[/]

Exit codes: 0 done, 1 the run failed (disk, worker, model), 2 misuse, 130 interrupted. With --fail-under: 0 shown to be
at least so robust, 3 shown to be less, 4 too few samples to tell, 5 verdicts not to be trusted (unless --no-strict).
"""

_GATE = "Percentage that must be shown to stand, or exit code 3 to 5."
_STRICT = "Whether --fail-under fails on verdicts not to be trusted."


@of_settings()
def evaluate(
    context: typer.Context,
    *,
    workers: options.Workers = None,
    gpus: options.Gpus = 0.0,
    ray: options.Ray = None,
    config: options.Config = None,
    resume: options.Resume = None,
    out: Annotated[Path | None, option(OUTPUT, "Folder to keep the run in, so that it can go on.")] = None,
    points: Annotated[bool, option(OUTPUT, "Keep the adversarial points in the folder.", "--points")] = False,
    picture: Annotated[Path | None, option(OUTPUT, "Where to write the picture; its ending names the format.")] = None,
    fail_under: Annotated[float | None, option(OUTPUT, _GATE)] = None,
    strict: Annotated[bool, option(OUTPUT, _STRICT, "--strict/--no-strict")] = True,
    json_: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Evaluate how robust a classifier is: yours, or the small network that ships with maxslope.

    Prints clean and robust accuracy with 95 % intervals, its cost and why each evaluation ended.

    By default 1,000 held-out MNIST images are evaluated, and a picture of perturbations is drawn.
    """
    s, share = asked_for(config, resume, given(context)), checked(fail_under)
    if resume is not None and out is not None:
        raise ValueError("--resume goes on in its own folder; leave --out away.")
    if points and out is None:
        raise ValueError("--points are kept in a folder: give --out.")
    if picture is None and s.data == DEFAULT and not (out or resume or json_ or quiet):
        picture = _PICTURE
    report = _run(s, How(resume, out, picture, json_, quiet), sources.crew(workers, gpus, ray))
    if share is not None:
        code, sentence = verdict(report, share, strict=strict)
        typer.echo(f"maxslope: {'passed' if code == 0 else 'failed'}, {sentence}", err=True)
        raise typer.Exit(code)


def checked(percent: float | None) -> float | None:
    """Return a percentage in [1, 100) as a share; ValueError else, as 0.6 hardly means 0.6 %."""
    if percent is None:
        return None
    if not 1 <= percent < 100:
        raise ValueError(
            f"--fail-under is a percentage of at least 1 and below 100, such as 60, got {percent:g}; no finite number "
            "of samples shows 100 %."
        )
    return percent / 100


def verdict(report: Report, share: float, *, strict: bool) -> tuple[int, str]:
    """Return exit code and sentence: 0 shown, 3 shown to be below, 4 too few samples to tell, 5 not to be trusted.

    Exact one-sided bounds (Clopper and Pearson) at confidence 95 %, over the choice of samples.
    """
    from maxslope.evaluation.report import ROBUST
    from maxslope.evaluation.statistics import lower_bound, upper_bound

    n, robust = report.samples, list(report.table["verdict"]).count(ROBUST)
    low, high = lower_bound(robust, n, _CONFIDENCE), upper_bound(robust, n, _CONFIDENCE)
    seen = f"{robust} of {n} samples stand ({100 * robust / n:.1f} %)"
    if high < share:
        return BELOW, f"below {100 * share:g} %: {seen}, at most {100 * high:.1f} % with confidence 95 %."
    if strict and not report.trusted:
        return DOUBTFUL, f"not to be trusted: {seen}, but see the warnings; --no-strict goes by the count alone."
    if strict and report.about.first:
        return DOUBTFUL, (
            f"not to be trusted: {seen}, but they are the first of a stream, and may be of few classes; give data that "
            "are read by number, or --no-strict, which goes by the count alone."
        )
    if low < share:
        return UNDECIDED, (
            f"too few samples to tell whether {100 * share:g} % stand: {seen}, {100 * low:.1f} % to {100 * high:.1f} % "
            "with confidence 95 % each; give more samples."
        )
    return 0, f"at least {100 * share:g} %: {seen}, at least {100 * low:.1f} % with confidence 95 %."


def _run(s: Settings, how: How, crew: Any) -> Report:
    """Load, check, evaluate, and say what came out; an interruption says what is kept and how to go on."""
    from maxslope.evaluation import Hardware, Interrupted, evaluate, resume, wilson

    sources.say_warnings_plainly()
    level, silent = names.effort(s.effort), how.silent
    names.budget(s.norm, s.eps)
    threat = sources.threat(s)
    options.run_folder(how.out)
    options.file(how.beside, "--picture")
    found = sources.open_sources(s, quiet=silent)
    chosen = sources.budget(s, found.box)
    shown = None if how.beside is None else _inputs(found.data, how, how.beside)
    about = sources.about(s, found, names.asked(s.norm, s.eps))
    try:
        with progress(found.total, silent, resumed=how.resume is not None) as update:

            def tell(done: int, robust: int) -> None:
                low, high = (100 * bound for bound in wilson(robust, done))
                share = f"{100 * robust / max(done, 1):.2f} % robust so far ({low:.1f} to {high:.1f})"
                update(done, share + (", in the order of the data" if found.ordered else ""))

            if how.resume is not None:
                report = resume(how.resume, found.model, found.data, progress=tell, crew=crew, **threat)
            else:
                report = evaluate(
                    found.model, found.data, chosen, effort=level, seed=s.seed, batch_size=s.batch_size,
                    keep_points=s.points or how.beside is not None, progress=tell, out=how.out, part=s.part, crew=crew,
                    hardware=Hardware.measured() if s.fast else None, about=about, configuration=s.table(), **threat,
                )  # fmt: skip
    except Interrupted as stop:
        if stop.report is not None:
            _say(stop.report, None, chosen, how)
        interrupted(stop, "evaluate", s, how.folder)
    _say(report, how.folder, chosen, how)
    if how.beside is not None:
        _draw(report, found.model, shown, how.beside, silent)
    return report


def _say(report: Report, folder: Path | None, budget: Budget, how: How) -> None:
    from rich.console import Console

    if how.json:
        ending.say(as_data(report, folder, budget))
    elif how.quiet:
        low, high = (100 * bound for bound in report.interval)
        typer.echo(
            f"robust {100 * report.robust_accuracy:.2f} % ({low:.2f} to {high:.2f}) within {visible(report.asked)}, "
            f"clean {100 * report.clean_accuracy:.2f} %, {report.samples} samples"
            + ("" if report.remains is None else f", would fall by about {report.remains.points} points")
            + ("" if report.trusted else " (not to be trusted)")
        )
        for found in report.warnings:
            typer.echo(f"maxslope: {found.severity.name.lower()}: {visible(str(found))}", err=True)
    else:
        console = Console()
        console.print(report)
        if folder is not None:
            typer.echo(f"kept in    {visible(str(folder))}")  # which may have brackets, that a console takes for colors


def as_data(report: Report, folder: Path | None, budget: Budget) -> dict[str, Any]:
    """Return a report as JSON data, its budget as it was typed and in numbers."""
    from maxslope.spaces import Lp

    norm = budget.norm
    return {
        "samples": report.samples,
        "clean_accuracy": report.clean_accuracy,
        "clean_interval": report.clean_interval,
        "robust_accuracy": report.robust_accuracy,
        "interval": report.interval,
        "remains": None if report.remains is None else report.remains.data(),
        "budget": report.asked,
        "norm": f"l_{norm.p:g}" if isinstance(norm, Lp) else str(norm),
        "eps": float(budget.eps),
        "about": asdict(report.about),
        "effort": report.effort.name,
        "seed": report.seed,
        "forward_per_sample": report.forward_per_sample,
        "backward_per_sample": report.backward_per_sample,
        "reasons": report.reasons(),
        "trusted": report.trusted,
        "warnings": [found.data() for found in report.warnings],
        "folder": None if folder is None else str(folder),
    }


def _inputs(data: Any, how: How, picture: Path) -> Any:
    """The clean inputs that a picture shows beside the points; what cannot be drawn is refused before the run."""
    from maxslope.evaluation import Folder
    from maxslope.evaluation.data import Stored, by_number
    from maxslope.figures.evaluation import drawable

    if how.resume is not None and not Folder(how.resume).header["keep_points"]:
        raise ValueError("A picture needs the points of the run, which were not kept (--points).")
    found = by_number(data)
    if found is None or found.samples > _MOST:
        raise ValueError(f"A picture needs data that are read by number, {_MOST} samples at most: use --samples.")
    x = found.read(0, found.samples)[0]
    drawable(x, picture)
    return x[data.ids(0, found.samples).argsort()] if isinstance(data, Stored) else x  # in the order of the report


def _draw(report: Report, model: Any, x: Any, picture: Path, silent: bool) -> None:
    from maxslope.evaluation.hardware import moved
    from maxslope.figures.evaluation import draw

    draw(report, model, moved(x, model), picture)
    if not silent:
        typer.echo(f"picture    {picture}")
