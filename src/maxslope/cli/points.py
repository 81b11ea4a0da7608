"""From the words of ``maxslope boundary`` to what is followed: built-in sets, points, densities, networks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from maxslope.studies.problems import Classes, Problem


_PLANE, _SPACE = 96, 32  # cells
_TABLES = (".csv", ".npz")


def opened(
    source: str, data: Path | None, cells: int | None, eps: float | None, seed: int
) -> tuple[Problem | Classes, Any]:
    """The one place where a string names a problem; and the model, where there is one."""
    import torch

    from maxslope.evaluation.models import call
    from maxslope.studies import problems as ready
    from maxslope.studies.partition import three

    built_in: dict[str, Callable[[int, float | None], Problem | Classes]] = {
        "moons": partial(ready.moons, seed=seed),
        "gaussians": ready.gaussians,
        "disk": ready.disk,
        "dumbbell": ready.dumbbell,
        "ball": partial(ready.disk, dim=3),
        "neck": partial(ready.dumbbell, dim=3),
        "three": three,
    }
    if data is not None and ":" not in source:
        raise ValueError(f"--data belongs to a model (file.py:factory), got {source!r}; give the file itself.")
    if source in built_in:
        return built_in[source](cells or (_SPACE if source in ("ball", "neck") else _PLANE), eps), None
    if source.endswith(_TABLES):
        x, y, names = points(Path(source))
        return _of_points(x, y, names, cells, eps, Path(source).name), None
    if ":" not in source:
        raise ValueError(
            f"The source is one of {', '.join(built_in)}, a .csv or .npz file or file.py:factory, got {source!r}."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = call(source, "model")
    if isinstance(made, tuple) and len(made) == 4 and data is None:
        rho0, rho1, low, high = made
        return ready.own(rho0, rho1, low, high, cells or (_PLANE if len(low) == 2 else _SPACE), eps), None
    model, (x, y, names) = _model(made, source, data)
    problem = _of_points(x, y, names, cells, eps, "Samples")
    return ready.network(problem, model, title=source.rpartition(":")[2]), model


def _of_points(
    x: Tensor, y: Tensor, names: tuple[str, ...], cells: int | None, eps: float | None, title: str
) -> Problem | Classes:
    """Kernel densities of points of two classes, or of several."""
    from maxslope.studies.partition import several
    from maxslope.studies.problems import samples

    cells = cells or (_SPACE if x.ndim == 2 and x.shape[1] == 3 else _PLANE)
    if len(names) == 2:
        return samples(x, y, cells, eps, title=title)
    return several(x, y, names, cells, eps, title=title)


def _model(made: Any, source: str, data: Path | None) -> tuple[Any, tuple[Tensor, Tensor, tuple[str, ...]]]:
    """The model that a factory made, and samples: its own, or those of --data."""
    import torch

    if isinstance(made, tuple) and len(made) == 3:
        model, x, y = made
        found = numbered(torch.as_tensor(x), torch.as_tensor(y))
    elif data is None:
        raise ValueError(
            f"{source} made a model alone; its points come by --data FILE.csv, or the factory returns (model, points, "
            "labels)."
        )
    else:
        model = made
    if data is not None:
        found = points(data)
    if not callable(model):
        raise TypeError(
            f"{source} makes a model, a callable from points [n, 2] or [n, 3] to logits, got {type(model).__name__}."
        )
    if isinstance(model, torch.nn.Module):
        model.eval()
    return model, found


def points(path: Path) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Return points ``[n, 2]`` or ``[n, 3]``, labels 0, 1, ... and what these were in a .csv or .npz file."""
    if path.suffix != ".npz":
        return read_table(path)
    from maxslope.evaluation.datasets import load_data

    x, y = load_data(str(path), unbounded=True).data
    return numbered(x, y)


def numbered(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Return points with the numbers of their labels, and the labels in order; ValueError unless there are several."""
    if y.is_floating_point() and bool((y == y.round()).all()):
        y = y.long()
    if y.ndim != 1 or y.shape != x.shape[:1] or y.is_floating_point() or y.is_complex():
        raise ValueError(
            f"Points have one whole number each as a label, got labels of {y.dtype} and shape {tuple(y.shape)} for "
            f"points of shape {tuple(x.shape)}."
        )
    known = sorted(set(y.tolist()))
    if len(known) < 2:
        raise ValueError(f"A boundary lies between two classes or more, got {len(y)} points with labels {known}.")
    numbers = {label: k for k, label in enumerate(known)}
    return x, y.new_tensor([numbers[label] for label in y.tolist()]).long(), tuple(map(str, known))


def read_table(path: Path) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Read a table with the columns x, y, label or x, y, z, label; a first line without numbers is a header.

    Labels are numbered in the order of what was read, as numbers or else as words. ValueError names the line at fault.
    """
    import torch

    from maxslope.studies.tables import numeric, read_csv

    lines = read_csv(path, slice(2))
    columns = len(lines[0].cells) if lines else 3
    for number, cells in lines:
        if len(cells) != columns or columns not in (3, 4) or not numeric(cells[:-1]):
            wanted = "x, y, label with two" if columns != 4 else "x, y, z, label with three"
            raise ValueError(f"{path}, line {number}: expected {wanted} finite numbers, got {cells!r}.")
    places = [[float(word) for word in line.cells[:-1]] for line in lines]
    words = [line.cells[-1].strip() for line in lines]
    known = sorted(set(words), key=lambda word: (0, float(word), word) if numeric([word]) else (1, 0.0, word))
    if len(known) < 2:
        raise ValueError(f"{path} needs points of two classes or more, got {len(words)} points with labels {known}.")
    return torch.tensor(places), torch.tensor([known.index(word) for word in words]), tuple(known)
