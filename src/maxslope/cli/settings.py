"""The configuration of ``maxslope evaluate`` and ``minimal``: options, a TOML file of options, and both together."""

from __future__ import annotations

import shlex
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

DEFAULT = "default"
TABLE = "evaluate"
_ELSEWHERE = {"minimal": ("eps", "classes", "fast")}  # options that a command does not have
_ASKED = ("trust", "memory")  # at each call, and never by a file
_LARGEST = 1 << 20  # bytes of a configuration


@dataclass(frozen=True)
class Settings:
    """The options that decide what is computed; each is an option of the command of the same name."""

    model: str = DEFAULT
    weights: str | None = None
    data: str = DEFAULT
    box: tuple[float, float] | None = None
    no_box: bool = False
    size: str | None = None
    samples: int | None = None
    classes: str | None = None
    norm: str = "linf"
    eps: str | None = None
    goal: str | None = None
    mask: str | None = None
    grid: int | None = None
    effort: str = "standard"
    seed: int = 0
    batch_size: int | None = None
    part: int = 1024
    device: str | None = None
    fast: bool = False
    points: bool = False
    trust: bool = False
    memory: float | None = None

    def table(self, command: str = TABLE) -> dict[str, dict[str, Any]]:
        """Return the settings as tables of TOML, files by their absolute paths; what is asked each time is left out."""
        values = {key: value for key, value in asdict(self).items() if value is not None and key not in _ASKED}
        for key in ("model", "weights", "data", "mask"):
            if key in values:
                values[key] = absolute(values[key])
        return {command: {key: value for key, value in values.items() if key not in _ELSEWHERE.get(command, ())}}

    @property
    def code(self) -> list[str]:
        """The options whose values name code, which is run to make a model or data."""
        from maxslope.evaluation.models import runs_code

        return [name for name, word in (("model", self.model), ("data", self.data)) if runs_code(word)]

    @property
    def most(self) -> int | None:
        """Bytes that a packed file may take, None for the default."""
        return None if self.memory is None else int(self.memory * (1 << 30))


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


_KINDS: dict[str, tuple[type, ...]] = {
    field.name: {"int": (int,), "bool": (bool,)}.get(str(field.type).split(" ", 1)[0], (str,))
    for field in fields(Settings)
}


def _value(key: str, value: Any, path: Path, command: str) -> Any:
    without = (*_ASKED, *_ELSEWHERE.get(command, ()))
    if key not in _KINDS or key in without:
        known = ", ".join(name for name in _KINDS if name not in without)
        raise ValueError(f"{path}: {key!r} is no option of a configuration; those are {known}.")
    if key == "box":
        if not (isinstance(value, list) and len(value) == 2 and all(type(v) in (int, float) for v in value)):
            raise ValueError(f"{path}: box is a list of two numbers, got {value!r}.")
        return (float(value[0]), float(value[1]))
    if key in ("eps", "size") and type(value) in (int, float):
        return str(value)
    if type(value) not in _KINDS[key]:
        raise ValueError(f"{path}: {key} is {_KINDS[key][0].__name__}, got {value!r}.")
    if key in ("samples", "batch_size", "part") and value < 1:
        raise ValueError(f"{path}: {key} is at least 1, got {value}.")
    if key == "seed" and not -(2**63) <= value < 2**63:
        raise ValueError(f"{path}: seed is a 64-bit integer, got {value}.")
    return value
