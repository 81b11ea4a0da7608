"""The configuration of ``maxslope evaluate`` and ``minimal``: options, a TOML file of options, and both together."""

from __future__ import annotations

import inspect
import shlex
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from maxslope.cli import options
from maxslope.cli.names import EFFORTS, GOALS, NORMS
from maxslope.cli.options import DATA, HOW, RUN, WHAT, on_line, option

DEFAULT = "default"
TABLE = "evaluate"
ELSEWHERE = {"minimal": ("eps", "classes", "fast")}  # options that a command does not have
_ASKED = ("trust", "memory")  # at each call, and never by a file
_LARGEST = 1 << 20  # bytes of a configuration
_MODEL = options.MODELS.format("a .pt2 or .onnx file, ", "the network that ships with maxslope")
_BOX = "Smallest and largest valid input, as --box 0 1; not needed where the data say it."
_SAMPLES = "How many samples, drawn by label with --seed; by default all."
_NAMES = "Names of the classes, with commas between; not needed for folders of images."
_GOAL = "What counts as an error, if not another class: {}.".format(
    ", ".join(goal.example + f" ({goal.meaning})" * bool(goal.meaning) for goal in GOALS.values())
)
_LEVELS = "Only points in so many equal steps of the box: 256 for 8-bit files."
_SIZE = "Scale images to cover HEIGHTxWIDTH (224 means 224x224) and cut them."
_WEIGHTS = "A safetensors file (or .pt with tensors alone) for the factory's model."


def _completed(panel: str, text: str, words: Iterable[str]) -> Any:
    """An option whose words a shell completes."""
    return option(panel, text, autocompletion=lambda: list(words))


@dataclass(frozen=True)
class Settings:
    """The options that decide what is computed; each is an option of the command of the same name."""

    model: Annotated[str, option(WHAT, _MODEL, show_default=False)] = DEFAULT
    weights: Annotated[Path | None, option(WHAT, _WEIGHTS)] = None
    data: Annotated[str, option(DATA, options.SOURCES.format("1,000"), show_default=False)] = DEFAULT
    box: Annotated[tuple[float, float] | None, option(DATA, _BOX)] = None
    no_box: Annotated[bool, option(DATA, "Inputs may take any value.", "--no-box")] = False
    size: Annotated[str | None, option(DATA, _SIZE)] = None
    samples: Annotated[int | None, option(DATA, _SAMPLES, min=1)] = None
    classes: Annotated[str | None, option(DATA, _NAMES)] = None
    norm: Annotated[str, _completed(HOW, "Norm of the perturbation: linf, l2, l1, l1.5, ...", NORMS)] = "linf"
    eps: Annotated[str | None, option(HOW, "Radius, in the units of the inputs: 0.3 or 8/255.")] = None
    goal: Annotated[str | None, _completed(HOW, _GOAL, [goal.example for goal in GOALS.values()])] = None
    mask: Annotated[Path | None, option(HOW, "A .npy or .npz file of truths: where an input may move.")] = None
    grid: Annotated[int | None, option(HOW, _LEVELS, min=2)] = None
    effort: Annotated[str, _completed(HOW, "quick, standard or exhaustive.", EFFORTS)] = "standard"
    seed: Annotated[int, options.seed_of("all random numbers")] = 0
    batch_size: Annotated[int | None, option(RUN, "Rows per call of the model.", min=1)] = None
    part: Annotated[int, option(RUN, "Most samples of a part.", min=1)] = 1024
    device: Annotated[str | None, option(WHAT, "Where the model runs: cpu, cuda, cuda:1, ...")] = None
    fast: Annotated[bool, option(RUN, "Measure what makes the search faster here, use it.", "--fast")] = False
    points: bool = False
    trust: options.Trust = False
    memory: options.Memory = None

    def table(self, command: str = TABLE) -> dict[str, dict[str, Any]]:
        """Return the settings as tables of TOML, files by their absolute paths; what is asked each time is left out."""
        values = {key: value for key, value in asdict(self).items() if value is not None and key not in _ASKED}
        for key in ("model", "weights", "data", "mask"):
            if key in values:
                values[key] = absolute(str(values[key]))
        return {command: {key: value for key, value in values.items() if key not in ELSEWHERE.get(command, ())}}

    @property
    def code(self) -> list[str]:
        """The options whose values name code, which is run to make a model or data."""
        from maxslope.evaluation.models import runs_code

        return [name for name, word in (("model", self.model), ("data", self.data)) if runs_code(word)]

    @property
    def most(self) -> int | None:
        """Bytes that a packed file may take, None for the default."""
        return None if self.memory is None else int(self.memory * (1 << 30))


def of_settings(*without: str, **instead: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of :class:`Settings`, but for some, and others instead; :func:`given` reads them."""

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        context, *others = own = list(inspect.signature(command, eval_str=True).parameters.values())
        left_out = {*without, *(parameter.name for parameter in own)}
        kinds = get_type_hints(Settings, include_extras=True) | instead
        common = [
            inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=kinds[f.name])
            for f in fields(Settings)
            if f.name not in left_out and get_origin(kinds[f.name]) is Annotated
        ]

        @wraps(command)
        def called(**values: Any) -> None:
            command(**{parameter.name: values[parameter.name] for parameter in own})

        called.__signature__ = inspect.Signature([context, *common, *others])  # type: ignore[attr-defined]
        called.__annotations__ = {p.name: p.annotation for p in (context, *common, *others)}
        return called

    return with_options


def given(context: typer.Context) -> dict[str, Any]:
    """Return the options that stand on the command line, those of the settings alone."""
    names = {field.name for field in fields(Settings)}
    return {name: value for name, value in on_line(context).items() if name in names}


@dataclass(frozen=True)
class How:
    """Where a run is kept, what is written beside it (a picture, a table), and how much is said."""

    resume: Path | None
    out: Path | None
    beside: Path | None
    json: bool
    quiet: bool

    @property
    def folder(self) -> Path | None:
        """That keeps the run."""
        return self.resume or self.out

    @property
    def silent(self) -> bool:
        """Whether nothing is said of how far it is."""
        return self.json or self.quiet


def asked_for(config: Path | None, resume: Path | None, given: dict[str, Any], command: str = TABLE) -> Settings:
    """Return what a command is to compute: of its configuration, or the run it goes on with, and the command line."""
    if resume is None:
        return replace(Settings(), **given) if config is None else taken(config, given, command=command)
    other = sorted(given.keys() - {"trust", "memory", "device", "model", "weights", "data"})
    if other or config is not None:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in other) or "--config"
        raise ValueError(f"--resume goes on with the run as it was begun; leave {names} away, or start another run.")
    from maxslope.evaluation.store import APPROACH, FORMAT, Folder

    if not (resume / "run.json").exists():
        raise ValueError(f"{resume} holds no run of maxslope; start one with --out {resume}.")
    Folder(resume).opened(FORMAT if command == TABLE else APPROACH)
    return taken(resume / "run.toml", given, command=command)


def taken(path: Path, given: dict[str, Any], *, typed: bool = True, command: str = TABLE) -> Settings:
    """Return the settings of a file, which somebody else may have written, with what was typed in their place.

    ValueError if the file names code, and nobody typed that name (where one may) or ``--trust``.
    """
    found = replace(read(path, command), **given)
    named = [name for name in found.code if name not in given]
    if named and not found.trust:
        words = ", ".join(f"{name} = {getattr(found, name)!r}" for name in named)
        again = " ".join(f"--{name} {shlex.quote(getattr(found, name))}" for name in named)
        raise ValueError(
            f"{path} names code ({words}), which would run with your rights. "
            + (f"Read it, then type {again} again, or add " if typed else "Add ")
            + "--trust if you wrote the file yourself."
        )
    return found


def absolute(word: str) -> str:
    """Return a word with its file as an absolute path, if it names one.

    >>> absolute("torchvision.models:resnet18")
    'torchvision.models:resnet18'
    """
    place, colon, name = word.rpartition(":")
    for file in (place, f"{place}.py"):
        if colon and file.endswith(".py") and Path(file).is_file():
            return f"{Path(file).resolve()}:{name}"
    return str(Path(word).resolve()) if word != DEFAULT and Path(word).exists() else word


def read(path: Path, command: str = TABLE) -> Settings:
    """Read the settings of a command from a TOML file; ValueError names what is unknown or of the wrong kind."""
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"it has {path.stat().st_size} bytes, where options have {_LARGEST} at most")
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"The configuration {path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The configuration {path} is not TOML: {error}.") from error
    if "run" in found:
        raise ValueError(
            f"{path} is of a run begun from Python, with objects; go on there: resume(folder, model, data)."
        )
    table = found.get(command)
    if not isinstance(table, dict) or len(found) > 1:
        raise ValueError(
            f"The configuration {path} has one table [{command}] of options, got {', '.join(found) or 'nothing'}."
        )
    return replace(Settings(), **{key: _value(key, value, path, command) for key, value in table.items()})


_KINDS = {name: (get_args(kind) or (kind,))[0] for name, kind in get_type_hints(Settings).items()}


def _value(key: str, value: Any, path: Path, command: str) -> Any:
    without = (*_ASKED, *ELSEWHERE.get(command, ()))
    if key not in _KINDS or key in without:
        known = ", ".join(name for name in _KINDS if name not in without)
        raise ValueError(f"{path}: {key!r} is no option of a configuration; those are {known}.")
    if key == "box":
        if not (isinstance(value, list) and len(value) == 2 and all(type(v) in (int, float) for v in value)):
            raise ValueError(f"{path}: box is a list of two numbers, got {value!r}.")
        return (float(value[0]), float(value[1]))
    if key in ("eps", "size") and type(value) in (int, float):
        return str(value)
    kind = _KINDS[key]
    wanted: Any = str if kind is Path else kind
    if type(value) is not wanted:
        raise ValueError(f"{path}: {key} is {wanted.__name__}, got {value!r}.")
    if key in ("samples", "batch_size", "part") and value < 1:
        raise ValueError(f"{path}: {key} is at least 1, got {value}.")
    if key == "seed" and not -(2**63) <= value < 2**63:
        raise ValueError(f"{path}: seed is a 64-bit integer, got {value}.")
    return Path(value) if kind is Path else value
