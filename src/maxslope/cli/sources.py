"""From settings to objects: model, data, budget and goal; and what was done to data said aloud."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maxslope._escape import visible
from maxslope.cli import names
from maxslope.cli.ending import interruptible
from maxslope.cli.settings import DEFAULT, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from maxslope.evaluation.about import About
    from maxslope.evaluation.crew import Crew
    from maxslope.evaluation.datasets import Loaded
    from maxslope.sets import Budget


@dataclass(frozen=True, eq=False)
class Sources:
    """A model, data and the box of their inputs; how samples were chosen, and what their classes are called.

    ``ordered`` says that samples come in the order of the data, which may be sorted by class.
    """

    model: Any
    data: Any
    box: tuple[float, float] | None
    total: int | None
    samples: str = ""
    first: bool = False
    classes: tuple[str, ...] = ()
    ordered: bool = False


def open_sources(settings: Settings, *, quiet: bool) -> Sources:
    """Load the model and the data of settings, and say on the error stream what was done to them."""
    from maxslope._pairs import alike
    from maxslope.evaluation.data import FirstStreamed, length
    from maxslope.evaluation.draw import by_class, classes_of, drawn
    from maxslope.evaluation.hardware import dtype_of
    from maxslope.evaluation.tables import Table

    with loading(quiet):
        model, loaded = _model(settings), open_data(settings)
    kind, notes, box = dtype_of(model), loaded.notes, loaded.box
    data = alike(loaded.data, kind)
    if isinstance(data, tuple | list) and loaded.data[0].dtype != data[0].dtype:
        notes = (*notes, f"{loaded.data[0].dtype} as {kind}, which the model computes with".replace("torch.", ""))
    said(notes, quiet)
    classes = _named(settings.classes, data) if settings.classes else classes_of(data)
    as_is = settings.samples is None and isinstance(data, Table) and not by_class(data.labels())  # read at one stretch
    few = None if as_is else drawn(data, settings.samples, settings.seed)
    if few is not None:
        return Sources(model, few, box, len(few), few.words, classes=classes)
    if settings.samples is None:
        return Sources(model, data, box, length(data), classes=classes, ordered=True)
    first, words = FirstStreamed(data, settings.samples), f"the first {settings.samples}, in the order of the data"
    return Sources(model, first, box, None, words, True, classes, ordered=True)


def said(notes: tuple[str, ...], quiet: bool) -> None:
    """Say on the error stream what was read from data or done to them."""
    for note in () if quiet else notes:
        sys.stderr.write(f"data: {visible(note)}\n")


def _named(word: str, data: Any) -> tuple[str, ...]:
    """The names that ``--classes`` gives, one for every class of the data at least."""
    from maxslope.evaluation.draw import classes_of, labels_of

    given, labels = tuple(name.strip() for name in word.split(",")), labels_of(data)
    known = classes_of(data)
    count = max(len(known), 0 if labels is None or not labels.numel() else 1 + int(labels.max()))
    if len(given) < count:
        folders = f" ({', '.join(known[:8])}{', ...' * (len(known) > 8)})" if known else ""
        raise ValueError(
            f"--classes names every class in the order of its number, got {len(given)} names for {count} "
            f"classes{folders}; give them all" + (", or leave it away: the data have names." if known else ".")
        )
    return given


def about(s: Settings, sources: Sources, *asked: str) -> About:
    """Return what was asked, in the words of the command; a file by its name, not by its place on this machine."""
    from maxslope.evaluation.about import About

    model = "the network that ships with maxslope" if s.model == DEFAULT else s.model
    data = "the 1,000 MNIST images that ship with maxslope" if s.data == DEFAULT else s.data
    weights = f", weights {_short(str(s.weights))}" if s.weights else ""
    return About(
        model=_short(model) + weights, data=_short(data), budget=", ".join([*asked, *words(s)]),
        samples=sources.samples, first=sources.first, classes=sources.classes,
    )  # fmt: skip


def _short(word: str) -> str:
    """A path by its last two parts."""
    parts = word.split("/")
    return word if "://" in word or len(parts) < 3 else "/".join(parts[-2:])


@contextmanager
def loading(quiet: bool) -> Iterator[None]:
    """Say that models and data are being loaded, where that takes long."""
    from maxslope.cli.progress import progress

    with (
        interruptible("Nothing was begun: the model and the data were being loaded."),
        progress(None, quiet, doing="loading the model and the data", unit="files", even=False, stays=False),
    ):
        yield


def _model(s: Settings) -> Any:
    from maxslope.data import default_network
    from maxslope.evaluation.models import load_model, placed

    if s.model != DEFAULT:
        return load_model(s.model, weights=s.weights, trust=s.trust, device=s.device, most=s.most)
    if s.weights is not None:
        raise ValueError("--weights belong to a factory: give --model file.py:factory.")
    return placed(default_network(), s.device)


def open_data(s: Settings) -> Loaded:
    """Return the data that settings name, their box, and what was done to them."""
    from maxslope.data import default_data
    from maxslope.evaluation.datasets import Loaded, load_data

    if s.box is not None and s.no_box:
        raise ValueError("--box and --no-box exclude each other.")
    if s.data == DEFAULT:
        if s.box is not None or s.no_box or s.size is not None:
            raise ValueError("--box, --no-box and --size belong to data of yours: give --data.")
        return Loaded(default_data(), (0.0, 1.0))
    size = height_and_width(s.size)
    return load_data(s.data, box=s.box, unbounded=s.no_box, size=size, trust=s.trust, most=s.most)


def height_and_width(word: str | None) -> tuple[int, int] | None:
    """Return the size that ``224`` or ``224x320`` names.

    >>> height_and_width("224"), height_and_width("224x320")
    ((224, 224), (224, 320))
    """
    if word is None:
        return None
    height, _, width = word.lower().partition("x")
    width = width or height
    if not (height.isdecimal() and width.isdecimal() and 0 < int(height) <= 65536 and 0 < int(width) <= 65536):
        raise ValueError(f"--size is a number of pixels such as 224, or 224x320 (height x width), got {word!r}.")
    return int(height), int(width)


def say_warnings_plainly() -> None:
    """Write warnings as lines of the command, without the place in the source."""

    def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
        sys.stderr.write(f"maxslope: warning: {visible(str(message))}\n")

    warnings.showwarning = show  # type: ignore[assignment]


def budget(s: Settings, box: tuple[float, float] | None) -> Budget:
    """Return the budget of settings in a box; a model of one's own has no default radius."""
    if s.eps is None and DEFAULT not in (s.model, s.data):
        raise ValueError("--eps is needed for a model of yours: the radius in the units of the inputs, such as 8/255.")
    return names.inside(names.budget(s.norm, s.eps), box)


def threat(s: Settings) -> dict[str, Any]:
    """Return goal, mask and realization, as ``evaluate`` and ``minimal`` take them."""
    from maxslope.realize import Grid

    realize = None if s.grid is None else Grid(s.grid)
    return {"goal": names.goal(s.goal), "mask": _mask(s.mask, s.most), "realize": realize}


def crew(workers: int | None, gpus: float, ray: str | None) -> Crew | None:
    """Return who does the work, None for this process; ValueError for GPUs or a cluster without workers."""
    if workers is None:
        if gpus or ray:
            raise ValueError("--gpus and --ray belong to --workers: say how many workers.")
        return None
    from maxslope.evaluation.cluster import RayCrew

    return RayCrew(workers, gpus=gpus, address=ray)


def words(s: Settings) -> list[str]:
    """Return what is asked besides the norm, in words; none for the usual question.

    >>> from maxslope.cli.settings import Settings
    >>> words(Settings(goal="top-3", grid=256))
    ['goal top-3', '256 levels']
    """
    found = [f"goal {s.goal}"] if s.goal else []
    found += [f"mask {s.mask.name}"] if s.mask else []
    return [*found, f"{s.grid} levels"] if s.grid else found


def _mask(path: Path | None, most: int | None) -> Tensor | None:
    """The boolean array in an .npy or .npz file (its only one, or that called mask), None for no file."""
    import zipfile

    import torch

    from maxslope.evaluation._arrays import npy, npz

    if path is None:
        return None
    try:
        if path.suffix == ".npz":
            held = list(npz(path, set(), most))
            name = held[0] if len(held) == 1 else "mask"
            array = npz(path, {name}, most).get(name)
        else:
            with path.open("rb") as file:
                array = npy(file, path.stat().st_size, path, most)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"--mask {path} cannot be read ({error}); write it with numpy.save or numpy.savez.") from error
    if array is None or array.dtype != bool:
        got = "no array called mask" if array is None else f"an array of {array.dtype}"
        raise ValueError(f"--mask is an array of truths, True where an input may move; {path} holds {got}.")
    return torch.from_numpy(array)
