"""What several commands ask for: the model, the data and how much to say."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from maxslope._optional import optional
from maxslope.cli.asked import GOALS
from maxslope.cli.settings import Settings

NORMS = ["linf", "l2", "l1"]
EFFORTS = ["quick", "standard", "exhaustive"]
OUTPUT = "Output"
_WHAT, _DATA, _HOW, _RUN = "Model", "Data", "Attack", "Run"
_MODELS = "file.py:factory, package.module:factory, {}hf://name or timm://name; by default {}."
_SOURCES = (
    "A .npz, .safetensors, .parquet or .arrow file, a folder of images by class, a data set saved by Hugging Face's "
    "datasets, or file.py:factory; by default {} MNIST images."
)


def option(panel: str | None, text: str, *names: str, **more: Any) -> Any:
    """Return an option of a command, with its help, below a heading; names where they are not the argument's."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


def seed_of(what: str) -> Any:
    """Return the option ``--seed`` of a command: an integer, in words what of the command is random."""
    return option(_RUN, f"Seed of {what}.", callback=_whole)


def _whole(value: int | None) -> int | None:
    """A seed as it is, if it is one."""
    if value is not None and not -(2**63) <= value < 2**63:
        raise ValueError(f"--seed is a 64-bit integer, from -2^63 to 2^63 - 1, got {value}; give a smaller one.")
    return value


def _named(text: str) -> Any:
    return option(_DATA, text, show_default=False)


Model = Annotated[
    str,
    option(_WHAT, _MODELS.format("a .pt2 or .onnx file, ", "the network that ships with maxslope"), show_default=False),
]
Trained = Annotated[str, option(_WHAT, _MODELS.format("", "a small network for the data"), show_default=False)]
Weights = Annotated[
    Path | None, option(_WHAT, "A safetensors file (or .pt with tensors alone) for the factory's model.")
]
Device = Annotated[str | None, option(_WHAT, "Where the model runs: cpu, cuda, cuda:1, ...")]
_TRUST = (
    "Load pickles (.pt, .pth, .pkl) as models or data, and code that a configuration or a run's folder names. "
    "Both can do whatever you can do: only for files you made yourself."
)
Trust = Annotated[bool, option(_WHAT, _TRUST, "--trust")]
_GIGABYTES = "GiB that a packed file may take in memory; by default 1, or 64 times its size if that is more."
Memory = Annotated[float | None, option(_WHAT, _GIGABYTES, min=0.001)]
Data = Annotated[str, _named(_SOURCES.format("1,000"))]
TrainingData = Annotated[str, _named(_SOURCES.format("4,000"))]
_BOX = "Smallest and largest valid input, as --box 0 1; not needed where the data say it."
Box = Annotated[tuple[float, float] | None, option(_DATA, _BOX)]
NoBox = Annotated[bool, option(_DATA, "Inputs may take any value.", "--no-box")]
Size = Annotated[str | None, option(_DATA, "Scale images to cover HEIGHTxWIDTH (224 means 224x224) and cut them.")]
Samples = Annotated[int | None, option(_DATA, "How many samples, drawn by label with --seed; by default all.", min=1)]
Classes = Annotated[
    str | None, option(_DATA, "Names of the classes, with commas between; not needed for folders of images.")
]
Norm = Annotated[str, option(_HOW, "Norm of the perturbation: linf, l2, l1, l1.5, ...", autocompletion=lambda: NORMS)]
Eps = Annotated[str | None, option(_HOW, "Radius, in the units of the inputs: 0.3 or 8/255.")]
_ERRORS = (
    "What counts as an error, if not another class: top-3 (the label leaves the 3 largest), target=3, reject=10 "
    "(wrong, and not put into class 10), any-label, share=0.5 (of the places), beyond=0.1."
)
Goal = Annotated[str | None, option(_HOW, _ERRORS, autocompletion=lambda: GOALS)]
Mask = Annotated[Path | None, option(_HOW, "A .npy or .npz file of truths: where an input may move.")]
Grid = Annotated[int | None, option(_HOW, "Only points in so many equal steps of the box: 256 for 8-bit files.", min=2)]
Effort = Annotated[str, option(_HOW, "quick, standard or exhaustive.", autocompletion=lambda: EFFORTS)]
Seed = Annotated[int, seed_of("all random numbers")]
Part = Annotated[int, option(_RUN, "Most samples of a part.", min=1)]
Config = Annotated[Path | None, option(_RUN, "Options from a TOML file; those given here win.")]
Resume = Annotated[Path | None, option(_RUN, "Go on with the run in this folder.")]
BatchSize = Annotated[int | None, option(_RUN, "Rows per call of the model.", min=1)]
Workers = Annotated[int | None, option(_RUN, "Workers of Ray.", min=1)]
Gpus = Annotated[float, option(_RUN, "GPUs of each worker.", min=0)]
Ray = Annotated[str | None, option(_RUN, "Address of a Ray cluster, or auto.")]
Animation = Annotated[bool, option(OUTPUT, "Write a GIF, and put a film on the page.", "--animation/--no-animation")]
Json = Annotated[bool, option(OUTPUT, "Print one JSON object and nothing else.", "--json")]
Quiet = Annotated[bool, option(OUTPUT, "Print one line, no progress.", "--quiet", "-q")]


def given(context: typer.Context) -> dict[str, Any]:
    """Return the options that stand on the command line, those of the settings alone."""
    names = {field.name for field in fields(Settings)}
    sources = {name: context.get_parameter_source(name) for name in context.params if name in names}
    found = {name: context.params[name] for name, source in sources.items() if source and source.name == "COMMANDLINE"}
    return {name: str(value) if isinstance(value, Path) else value for name, value in found.items()}


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
        from maxslope.evaluation._arrays import parquet_module

        parquet_module()


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
