"""``maxslope minimal``: how near is the nearest error of each sample?"""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maxslope.cli import document, options
from maxslope.cli.settings import DEFAULT, Settings

if TYPE_CHECKING:
    from torch import Tensor

    from maxslope.cli.sources import Sources

EXAMPLES = """
[bold]Examples[/]

The network and images that ship with maxslope:  [cyan]maxslope minimal --norm l2 --samples 200[/]

Yours, with robust accuracy at two radii and a table:  [cyan]maxslope minimal --model nets.py:make --data test.npz
--at 1/255 --at 2/255 --out nearest.csv[/]
"""

_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def minimal(
    context: typer.Context,
    *,
    model: options.Model = DEFAULT,
    weights: options.Weights = None,
    device: options.Device = None,
    trust: options.Trust = False,
    memory: options.Memory = None,
    data: options.Data = DEFAULT,
    box: options.Box = None,
    no_box: options.NoBox = False,
    size: options.Size = None,
    samples: options.Samples = None,
    norm: options.Norm = "linf",
    goal: options.Goal = None,
    mask: options.Mask = None,
    grid: options.Grid = None,
    at: Annotated[
        list[str] | None,
        typer.Option(help="A radius to give robust accuracy at; repeat it.", rich_help_panel="Attack"),
    ] = None,
    eps: Annotated[str | None, typer.Option(hidden=True)] = None,
    effort: options.Effort = "standard",
    seed: options.Seed = 0,
    batch_size: options.BatchSize = None,
    out: Annotated[
        Path | None, typer.Option(help="A .csv or .parquet file, one row per sample.", rich_help_panel="Output")
    ] = None,
    json_: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find the smallest perturbation of each sample that the model gets wrong.

    Prints quantiles of its norm (0 where the clean point is wrong) and robust accuracy at radii.
    """
    from maxslope._checks import MaxslopeWarning
    from maxslope.cli import names
    from maxslope.cli.sources import open_sources, say_warnings_plainly

    say_warnings_plainly()
    if eps is not None:
        raise ValueError(f"--eps is what minimal finds; --at {eps} gives the robust accuracy at a radius.")
    s = replace(Settings(), **options.given(context))
    space, level, radii = names.norm(s.norm), names.effort(s.effort), [names.number(word) for word in at or []]
    if out is not None:
        _writable(out)
    if any(not radius >= 0 for radius in radii):
        raise ValueError(f"--at is a radius that is not negative, got {', '.join(at or [])}.")
    sources = open_sources(s, quiet=quiet or json_)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", MaxslopeWarning)
        table, whole = _table(sources, s, space, level, quiet or json_)
    said = list(dict.fromkeys(str(one.message) for one in seen))
    if sources.first:
        said.append(f"The samples are {sources.samples}: quantiles mean something only if that order is by chance.")
    if out is not None and table:
        _write(table, out)
    if not whole:
        done = len(table["index"]) if table else 0
        kept = (
            f"their rows are in {out}" if out is not None and table else "nothing is kept; --out FILE keeps their rows"
        )
        typer.echo(f"maxslope: interrupted after {done} samples; {kept}.", err=True)
        raise typer.Exit(130)
    _say(table, (s.norm, s.seed), radii, said, json_, quiet, out)
    for sentence in said:  # beside the numbers, also in quiet mode
        typer.echo(f"maxslope: warning: {sentence}", err=True)


def _table(sources: Sources, s: Settings, space: Any, level: Any, quiet: bool) -> tuple[dict[str, Tensor], bool]:
    """The nearest errors, part by part: index, label, norm, found, margin, forward, backward; whether it is all."""
    import torch

    from maxslope.attacks import minimal as search
    from maxslope.cli import asked
    from maxslope.cli.progress import progress
    from maxslope.evaluation.data import fitting, jobs
    from maxslope.evaluation.hardware import moved
    from maxslope.evaluation.part import Threat

    threat = Threat(**asked.threat(s))
    parts: list[dict[str, Tensor]] = []
    done, whole = 0, True
    try:
        with progress(sources.total, quiet, doing="searching") as update:
            for job in jobs(sources.data, fitting):
                x, ids = moved(job.x, sources.model), job.rows
                found = search(
                    sources.model, x, job.y, space, box=sources.box, effort=level, ids=ids, seed=s.seed,
                    batch_size=s.batch_size, **threat.take(ids, x).words(),
                )  # fmt: skip
                held = {"norm": found.norms, "found": found.found, "margin": found.margin}
                held |= {"forward": found.forward, "backward": found.backward}
                label = job.y if job.y.ndim == 1 else torch.full_like(ids, -1)  # what is no number stands in no table
                parts.append({"index": ids, "label": label} | {name: v.cpu() for name, v in held.items()})
                done += len(x)
                norms = torch.cat([part["norm"] for part in parts])
                update(done, f"median {float(norms.median()):.4g} so far")
    except KeyboardInterrupt:
        whole = False
    if not parts:
        return {}, whole
    columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    order = columns["index"].argsort()  # as the data have them, in whatever order they were drawn
    return {name: column[order] for name, column in columns.items()}, whole


def _say(
    table: dict[str, Tensor], asked: tuple[str, int], radii: list[float], said: list[str], json_: bool, quiet: bool,
    out: Path | None,
) -> None:  # fmt: skip
    norm, seed = asked
    norms = table["norm"].double()
    count = len(norms)
    known = norms[~norms.isnan()]
    ranked = (known if len(known) else norms).sort().values  # inf sorts last, and no quantile is interpolated with it
    quantiles = {q: float(ranked[int(q * (len(ranked) - 1))]) for q in _QUANTILES}
    robust = {radius: float((norms > radius).double().mean()) for radius in radii}
    clean = float((norms > 0).double().mean())
    if lost := int(norms.isnan().sum()):
        said.append(f"{lost} samples met NaN or infinity: neither robust nor errors, and in no quantile.")
    if json_:
        facts: dict[str, Any] = {
            "samples": count,
            "norm": norm,
            "seed": seed,
            "clean_accuracy": clean,
            "found": float(table["found"].double().mean()),
            "quantiles": {f"{q:g}": value for q, value in quantiles.items()},
            "robust_accuracy": {f"{radius:.6g}": share for radius, share in robust.items()},
            "forward_per_sample": float(table["forward"].double().mean()),
            "backward_per_sample": float(table["backward"].double().mean()),
            "warnings": said,
        }
        document.say(facts)
        return
    if quiet:
        typer.echo(f"median {norm} norm {quantiles[0.5]:.4g}, clean {100 * clean:.2f} %, {count} samples")
        return
    typer.echo(f"Smallest perturbations found, norm {norm}, {count} samples")
    typer.echo(f"clean accuracy   {100 * clean:.2f} %")
    for q, value in quantiles.items():
        typer.echo(f"{100 * q:>3.0f} % quantile   {value:.4g}")
    for radius, share in robust.items():
        typer.echo(f"robust accuracy at {radius:.4g}   {100 * share:.2f} %")
    cost = [float(table[name].double().mean()) for name in ("backward", "forward")]
    typer.echo(f"cost             {cost[0]:.1f} backward, {cost[1]:.1f} forward passes a sample")
    if out is not None:
        typer.echo(f"table            {out}")


def _writable(out: Path) -> None:
    """Raise before a long search where its table could not be written."""
    if out.suffix not in (".csv", ".parquet"):
        raise ValueError(f"--out is a .csv or .parquet file, got {out}.")
    if not out.parent.is_dir():
        raise ValueError(f"There is no folder {out.parent} to write {out.name} into; make it first.")
    if out.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ImportError('Tables in Parquet need pyarrow: pip install "maxslope[data]".')


def _write(table: dict[str, Tensor], out: Path) -> None:
    columns = {name: column.tolist() for name, column in table.items()}
    if out.suffix == ".csv":
        import csv

        with open(out, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
        return
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), out)
