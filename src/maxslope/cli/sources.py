"""From the words for a model and data to the objects, and what was done to them said aloud."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

from maxslope.cli.settings import DEFAULT


@dataclass(frozen=True, eq=False)
class Sources:
    """A model, data and the box of their inputs."""

    model: Any
    data: Any
    box: tuple[float, float] | None
    total: int | None


def open_sources(
    model: str, data: str, *, weights: str | Path | None, box: tuple[float, float] | None, no_box: bool,
    size: str | None, samples: int | None, device: str | None, trust: bool, quiet: bool,
) -> Sources:  # fmt: skip
    """Load the model and the data that words name; say on the error stream what was read from them or done to them.

    Raises:
        ValueError: if one cannot be loaded, or only one of the two is the default.
    """
    from maxslope.evaluation.data import length, limited

    if box is not None and no_box:
        raise ValueError("--box and --no-box exclude each other.")
    net = _model(model, weights, device, trust)
    samples_of, bounds = _data(data, box, no_box, size, trust, quiet)
    if samples is not None:
        samples_of = limited(samples_of, samples)
    if device is not None and model == DEFAULT:
        net = net.to(device)
    return Sources(net, samples_of, bounds, length(samples_of))


def _model(word: str, weights: str | Path | None, device: str | None, trust: bool) -> Any:
    from maxslope.data import default_network
    from maxslope.evaluation.models import load_model

    if word != DEFAULT:
        return load_model(word, weights=weights, trust=trust, device=device)
    if weights is not None:
        raise ValueError("--weights belong to a factory: give --model file.py:factory.")
    return default_network()


def _data(
    word: str, box: tuple[float, float] | None, no_box: bool, size: str | None, trust: bool, quiet: bool
) -> tuple[Any, tuple[float, float] | None]:
    from maxslope.data import default_data
    from maxslope.evaluation.datasets import load_data

    if word == DEFAULT:
        if box is not None or no_box or size is not None:
            raise ValueError("--box, --no-box and --size belong to data of yours: give --data.")
        return default_data(), (0.0, 1.0)
    loaded = load_data(word, box=box, unbounded=no_box, size=height_and_width(size), trust=trust)
    if not quiet:
        for note in loaded.notes:
            sys.stderr.write(f"data: {note}\n")
    return loaded.data, loaded.box


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
        sys.stderr.write(f"maxslope: warning: {message}\n")

    warnings.showwarning = show  # type: ignore[assignment]
