"""From the settings of a command to what is asked: budget, goal, mask and grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from maxslope.cli import names
from maxslope.cli.settings import DEFAULT

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from maxslope.cli.settings import Settings
    from maxslope.evaluation.crew import Crew
    from maxslope.sets import Budget


def _mask(path: Path | None, most: int | None) -> Tensor | None:
    """The boolean array in an .npy or .npz file (its only one, or that called mask), None for no file."""
    import zipfile

    import torch

    from maxslope.evaluation._arrays import npy, npz

    if path is None:
        return None
    try:
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                held = [item.filename.removesuffix(".npy") for item in archive.infolist()]
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


def budget(s: Settings) -> Callable[[tuple[float, float] | None], Budget]:
    """Return what makes the budget of settings in a box; its words are checked here, before anything is loaded."""
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


def words(s: Settings) -> str:
    """Return what is asked besides the norm, in words; empty for the usual question.

    >>> from maxslope.cli.settings import Settings
    >>> words(Settings(goal="top-3", grid=256))
    'goal top-3, 256 levels'
    """
    found = [f"goal {s.goal}"] if s.goal else []
    found += [f"mask {s.mask.name}"] if s.mask else []
    return ", ".join([*found, f"{s.grid} levels"] if s.grid else found)
