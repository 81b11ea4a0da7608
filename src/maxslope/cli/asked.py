"""From the words of a command to what is asked: goal, mask and grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maxslope.cli.settings import DEFAULT

if TYPE_CHECKING:
    from torch import Tensor

    from maxslope.cli.settings import Settings
    from maxslope.evaluation.crew import Crew
    from maxslope.goals import Goal
    from maxslope.realize import Grid
    from maxslope.sets import Budget

GOALS = ["top-5", "target=0", "reject=10", "any-label", "share=0.5", "beyond=0.1"]


def goal(word: str | None) -> Goal:
    """Return the goal that a word names; None is another class than the label.

    >>> goal("top-3"), goal("beyond=0.25")
    (TopK(k=3), Beyond(tolerance=0.25))
    """
    from maxslope import goals

    if word is None:
        return goals.Misclassified()
    if word == "any-label":
        return goals.AnyLabel()
    kinds: dict[str, tuple[type[int | float], Callable[[Any], Goal]]] = {
        "top": (int, goals.TopK),
        "target": (int, goals.Targeted),
        "reject": (int, goals.Undetected),
        "share": (float, goals.Share),
        "beyond": (float, goals.Beyond),
    }
    name, _, value = (word.replace("top-", "top=", 1) if word.startswith("top-") else word).partition("=")
    if name not in kinds:
        raise ValueError(
            f"--goal is one of top-K, target=CLASS, reject=CLASS, any-label, share=S, beyond=TOLERANCE, got {word!r}."
        )
    read, make = kinds[name]
    try:
        number = read(value)
    except ValueError as error:
        like = next(example for example in GOALS if example.startswith(name))
        kind = "a whole number (classes are numbered as the model's outputs, from 0)" if read is int else "a number"
        raise ValueError(f"--goal {name} takes {kind}, such as {like}, got {word!r}.") from error
    try:
        return make(number)
    except ValueError as error:
        raise ValueError(f"--goal {word}: {error}") from error


def mask(word: str | None, most: int | None = None) -> Tensor | None:
    """Return the boolean array in an .npy or .npz file (its only one, or that called mask), None for no file."""
    import zipfile

    import torch

    from maxslope.evaluation._arrays import npy, npz

    if word is None:
        return None
    path = Path(word)
    try:
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                names = [item.filename.removesuffix(".npy") for item in archive.infolist()]
            name = names[0] if len(names) == 1 else "mask"
            array = npz(path, {name}, most).get(name)
        else:
            with path.open("rb") as file:
                array = npy(file, path.stat().st_size, path, most)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"--mask {word} cannot be read ({error}); write it with numpy.save or numpy.savez.") from error
    if array is None or array.dtype != bool:
        got = "no array called mask" if array is None else f"an array of {array.dtype}"
        raise ValueError(f"--mask is an array of truths, True where an input may move; {word} holds {got}.")
    return torch.from_numpy(array)


def budget(s: Settings) -> Callable[[tuple[float, float] | None], Budget]:
    """Return what makes the budget of settings in a box; its words are checked here, before anything is loaded."""
    from maxslope.cli import names

    names.norm(s.norm)
    checked = None if s.eps is None else names.budget(s.norm, s.eps)

    def inside(box: tuple[float, float] | None) -> Budget:
        if checked is None and DEFAULT not in (s.model, s.data):
            raise ValueError(
                "--eps is needed for a model of yours: the radius in the units of the inputs, such as 8/255."
            )
        return names.inside(names.budget(s.norm, None) if checked is None else checked, box)

    return inside


def threat(s: Settings) -> dict[str, Any]:
    """Return goal, mask and realization, as ``evaluate`` and ``minimal`` take them."""
    return {"goal": goal(s.goal), "mask": mask(s.mask, s.most), "realize": _grid(s.grid)}


def crew(workers: int | None, gpus: float, ray: str | None) -> Crew | None:
    """Return who does the work, None for this process; ValueError for GPUs or a cluster without workers."""
    if workers is None:
        if gpus or ray:
            raise ValueError("--gpus and --ray belong to --workers: say how many workers.")
        return None
    from maxslope.evaluation.cluster import RayCrew

    return RayCrew(workers, gpus=gpus, address=ray)


def words(s: Settings) -> str:
    """Return what is asked besides the norm, in words; empty for the usual question.

    >>> from maxslope.cli.settings import Settings
    >>> words(Settings(goal="top-3", grid=256))
    'goal top-3, 256 levels'
    """
    found = [f"goal {s.goal}"] if s.goal else []
    found += [f"mask {Path(s.mask).name}"] if s.mask else []
    return ", ".join([*found, f"{s.grid} levels"] if s.grid else found)


def _grid(levels: int | None) -> Grid | None:
    from maxslope.realize import Grid

    return None if levels is None else Grid(levels)
