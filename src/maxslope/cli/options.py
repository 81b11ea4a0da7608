"""Options of several commands, and what is checked of the places that they write to."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from maxslope._optional import optional

OUTPUT = "Output"
WHAT, DATA, HOW, RUN = "Model", "Data", "Attack", "Run"
MODELS = "file.py:factory, package.module:factory, {}hf://name or timm://name; by default {}."
SOURCES = (
    "A .npz, .safetensors, .parquet or .arrow file, a folder of images by class, a data set saved by Hugging Face's "
    "datasets, or file.py:factory; by default {} MNIST images."
)


def option(panel: str | None, text: str, *names: str, **more: Any) -> Any:
    """Return an option of a command, with its help, below a heading; names where they are not the argument's."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


def seed_of(what: str) -> Any:
    """Return the option ``--seed`` of a command: an integer, in words what of the command is random."""
    return option(RUN, f"Seed of {what}.", callback=_whole)


def _whole(value: int | None) -> int | None:
    """A seed as it is, if it is one."""
    if value is not None and not -(2**63) <= value < 2**63:
        raise ValueError(f"--seed is a 64-bit integer, from -2^63 to 2^63 - 1, got {value}; give a smaller one.")
    return value


_TRUST = (
    "Load pickles (.pt, .pth, .pkl) as models or data, and code that a configuration or a run's folder names. "
    "Both can do whatever you can do: only for files you made yourself."
)
_GIGABYTES = "GiB that a packed file may take in memory; by default 1, or 64 times its size if that is more."

Trust = Annotated[bool, option(WHAT, _TRUST, "--trust")]
Memory = Annotated[float | None, option(WHAT, _GIGABYTES, min=0.001)]
Trained = Annotated[str, option(WHAT, MODELS.format("", "a small network for the data"), show_default=False)]
TrainingData = Annotated[str, option(DATA, SOURCES.format("4,000"), show_default=False)]
Config = Annotated[Path | None, option(RUN, "Options from a TOML file; those given here win.")]
Resume = Annotated[Path | None, option(RUN, "Go on with the run in this folder.")]
Workers = Annotated[int | None, option(RUN, "Workers of Ray.", min=1)]
Gpus = Annotated[float, option(RUN, "GPUs of each worker.", min=0)]
Ray = Annotated[str | None, option(RUN, "Address of a Ray cluster, or auto.")]
Animation = Annotated[bool, option(OUTPUT, "Write a GIF, and put a film on the page.", "--animation/--no-animation")]
Json = Annotated[bool, option(OUTPUT, "Print one JSON object and nothing else.", "--json")]
Quiet = Annotated[bool, option(OUTPUT, "Print one line, no progress.", "--quiet", "-q")]


def on_line(context: typer.Context) -> dict[str, Any]:
    """Return the values of the arguments and options that stand on the command line, by their names."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name: context.params[name] for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def folder(path: Path | None, option: str = "--out") -> None:
    """Raise ValueError where something else lies in the place of a folder that is to be written."""
    if path is None:
        return
    for place in (path, *path.parents):
        if place.exists() and not place.is_dir():
            raise ValueError(f"{option} {path}: {place} is a file, where a folder is wanted; give another {option}.")


def run_folder(path: Path | None) -> None:
    """Check the folder that is to keep a run, and what writes it, before anything long begins."""
    folder(path)
    if path is not None:
        from maxslope.evaluation._arrays import need_pyarrow

        need_pyarrow()


def drawn_into(path: Path) -> None:
    """Check the folder that figures and a page are written into, and what draws them, before anything long begins."""
    folder(path)
    with optional("Figures and pages need matplotlib and jinja2", "[report]"):
        import_module("matplotlib.figure")
        import_module("jinja2")


def file(path: Path | None, option: str = "--out") -> None:
    """Raise ValueError where a file that is to be written cannot be."""
    if path is None:
        return
    if path.is_dir():
        raise ValueError(f"{option} {path} is a folder, where a file is wanted; give {option} {path / 'name'} or so.")
    folder(path.parent if str(path.parent) != "." else None, option)
