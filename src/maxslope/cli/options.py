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

_WHAT, _DATA, _HOW, _RUN, _OUT = "Model", "Data", "Attack", "Run", "Output"

Model = Annotated[
    str,
    typer.Option(
        help="file.py:factory, package.module:factory, a .pt2 or .onnx file, hf://name or timm://name; by default the "
        "network that ships with maxslope.",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
Trained = Annotated[
    str,
    typer.Option(
        help="file.py:factory, package.module:factory, hf://name or timm://name; by default a small network for the "
        "data.",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(help="A safetensors file (or .pt with tensors alone) for the factory's model.", rich_help_panel=_WHAT),
]
Device = Annotated[str | None, typer.Option(help="Where the model runs: cpu, cuda, cuda:1, ...", rich_help_panel=_WHAT)]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Load pickles (.pt, .pth, .pkl) as models or data, and code that a configuration or a run's folder names. "
        "Both can do whatever you can do: only for files you made yourself.",
        rich_help_panel=_WHAT,
    ),
]
Memory = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        help="GiB that a packed file may take in memory; by default 1, or 64 times its size if that is more.",
        rich_help_panel=_WHAT,
    ),
]
Data = Annotated[
    str,
    typer.Option(
        help="A .npz, .safetensors, .parquet or .arrow file, a folder of images by class, a data set saved by Hugging "
        "Face's datasets, or file.py:factory; by default 1,000 MNIST images.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
TrainingData = Annotated[
    str,
    typer.Option(
        help="A .npz, .safetensors, .parquet or .arrow file, a folder of images by class, a data set saved by Hugging "
        "Face's datasets, or file.py:factory; by default 4,000 MNIST images.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Box = Annotated[
    tuple[float, float] | None,
    typer.Option(
        help="Smallest and largest valid input, as --box 0 1; not needed where the data say it.", rich_help_panel=_DATA
    ),
]
NoBox = Annotated[bool, typer.Option("--no-box", help="Inputs may take any value.", rich_help_panel=_DATA)]
Size = Annotated[
    str | None,
    typer.Option(help="Scale images to cover HEIGHTxWIDTH (224 means 224x224) and cut them.", rich_help_panel=_DATA),
]
Samples = Annotated[
    int | None,
    typer.Option(min=1, help="How many samples, drawn by label with --seed; by default all.", rich_help_panel=_DATA),
]
Classes = Annotated[
    str | None,
    typer.Option(
        help="Names of the classes, with commas between; not needed for folders of images.", rich_help_panel=_DATA
    ),
]
Norm = Annotated[
    str,
    typer.Option(
        help="Norm of the perturbation: linf, l2, l1, l1.5, ...",
        autocompletion=lambda: NORMS,
        rich_help_panel=_HOW,
    ),
]
Eps = Annotated[
    str | None,
    typer.Option(help="Radius, in the units of the inputs: 0.3 or 8/255.", rich_help_panel=_HOW),
]
Goal = Annotated[
    str | None,
    typer.Option(
        help="What counts as an error, if not another class: top-3 (the label leaves the 3 largest), target=3, "
        "reject=10 (wrong, and not put into class 10), any-label, share=0.5 (of the places), beyond=0.1.",
        autocompletion=lambda: GOALS,
        rich_help_panel=_HOW,
    ),
]
Mask = Annotated[
    Path | None,
    typer.Option(help="A .npy or .npz file of truths: where an input may move.", rich_help_panel=_HOW),
]
Grid = Annotated[
    int | None,
    typer.Option(
        min=2, help="Only points in so many equal steps of the box: 256 for 8-bit files.", rich_help_panel=_HOW
    ),
]
Effort = Annotated[
    str,
    typer.Option(help="quick, standard or exhaustive.", autocompletion=lambda: EFFORTS, rich_help_panel=_HOW),
]


def _whole(value: int | None) -> int | None:
    """A seed as it is, if it is one."""
    if value is not None and not -(2**63) <= value < 2**63:
        raise ValueError(f"--seed is a 64-bit integer, from -2^63 to 2^63 - 1, got {value}; give a smaller one.")
    return value


def seed_of(what: str) -> Any:
    """Return the option ``--seed`` of a command: an integer, in words what of the command is random."""
    return typer.Option(callback=_whole, help=f"Seed of {what}.", rich_help_panel=_RUN)


Seed = Annotated[int, seed_of("all random numbers")]
Part = Annotated[int, typer.Option(min=1, help="Most samples of a part.", rich_help_panel=_RUN)]
Config = Annotated[
    Path | None, typer.Option(help="Options from a TOML file; those given here win.", rich_help_panel=_RUN)
]
Resume = Annotated[Path | None, typer.Option(help="Go on with the run in this folder.", rich_help_panel=_RUN)]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Rows per call of the model.", rich_help_panel=_RUN)]
Workers = Annotated[int | None, typer.Option(min=1, help="Workers of Ray.", rich_help_panel=_RUN)]
Gpus = Annotated[float, typer.Option(min=0, help="GPUs of each worker.", rich_help_panel=_RUN)]
Ray = Annotated[str | None, typer.Option(help="Address of a Ray cluster, or auto.", rich_help_panel=_RUN)]
Animation = Annotated[
    bool,
    typer.Option("--animation/--no-animation", help="Write a GIF, and put a film on the page.", rich_help_panel=_OUT),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.", rich_help_panel=_OUT)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print one line, no progress.", rich_help_panel=_OUT)]


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
