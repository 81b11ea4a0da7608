"""From the words for a model and data to the objects, and what was done to them said aloud."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maxslope._escape import visible
from maxslope.cli.ending import interruptible
from maxslope.cli.settings import DEFAULT, Settings

if TYPE_CHECKING:
    from maxslope.evaluation.about import About
    from maxslope.evaluation.datasets import Loaded


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

    names, labels = tuple(name.strip() for name in word.split(",")), labels_of(data)
    known = classes_of(data)
    count = max(len(known), 0 if labels is None or not labels.numel() else 1 + int(labels.max()))
    if len(names) < count:
        folders = f" ({', '.join(known[:8])}{', ...' * (len(known) > 8)})" if known else ""
        raise ValueError(
            f"--classes names every class in the order of its number, got {len(names)} names for {count} "
            f"classes{folders}; give them all" + (", or leave it away: the data have names." if known else ".")
        )
    return names


def about(s: Settings, sources: Sources, asked: str) -> About:
    """Return what was asked, in the words of the command; a file by its name, not by its place on this machine."""
    from maxslope.evaluation.about import About

    model = "the network that ships with maxslope" if s.model == DEFAULT else s.model
    data = "the 1,000 MNIST images that ship with maxslope" if s.data == DEFAULT else s.data
    weights = f", weights {_short(str(s.weights))}" if s.weights else ""
    return About(
        model=_short(model) + weights, data=_short(data), budget=asked, samples=sources.samples, first=sources.first,
        classes=sources.classes,
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
