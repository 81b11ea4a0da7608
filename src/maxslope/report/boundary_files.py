"""What a boundary flow leaves for other programs: its boundaries, and its networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maxslope._optional import optional
from maxslope.boundary import Grid, contour, surface
from maxslope.boundary.neural_flow import NeuralFlow
from maxslope.curve import Curve
from maxslope.report.boundary import Study
from maxslope.report.partition import PartitionStudy


def write_boundaries(study: Study, path: Path) -> None:
    """Write the boundary at every instant, and the signed distance where the flow is to be stopped, as .npz.

    ``time`` ``[K+1]``; ``points`` ``[n, d]`` in length units; ``first`` ``[m+1]``: line or surface j has the points
    ``first[j]`` to ``first[j+1]``; ``instant`` ``[m]``: when. ``triangles`` ``[t, 3]``, numbers of points: none in
    the plane. ``stopped``, its instant; ``distance`` ``[*shape]`` there; ``low``, ``high``: the corners of the grid.
    """
    stop = {"stopped": np.int64(study.stop.index), "distance": study.stop.sd.numpy()}
    _write(study.curve, study.problem.grid, stop, path)


def write_partition(study: PartitionStudy, path: Path) -> None:
    """Write the boundaries of every class at every instant as .npz.

    As :func:`write_boundaries` does, and ``of`` ``[m]``, the class that line j is around; ``names`` of the classes;
    ``distance`` is ``[classes, *shape]``, positive where a class is, at the instant of the least robust risk.
    """
    best, names = study.best, np.array(study.problem.names)
    stop = {"stopped": np.int64(best), "distance": study.curve.points[best, 0].numpy(), "names": names}
    _write(study.curve, study.problem.grid, stop, path)


def _write(curve: Curve, grid: Grid, more: dict[str, Any], path: Path) -> None:
    """Write the boundaries of a curve of sets, or of several sets at once."""
    parts: list[Tensor] = []
    triangles: list[Tensor] = []
    where: list[tuple[int, int]] = []
    count = 0
    for k, fields in enumerate(curve.points[:, 0]):
        for j, u in enumerate(fields.reshape(-1, *grid.shape)):
            for points, faces in _drawn(u, grid):
                parts.append(points)
                triangles.append(faces + count)
                where.append((k, j))
                count += len(points)
    lengths = torch.tensor([0, *(len(part) for part in parts)])
    if "names" in more:
        more = more | {"of": np.array([j for _, j in where], dtype=np.int64)}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        time=curve.time[:, 0].numpy(),
        points=torch.cat([*parts, torch.zeros(0, grid.dim, dtype=torch.float64)]).numpy(),
        first=lengths.cumsum(0).numpy(),
        instant=np.array([k for k, _ in where], dtype=np.int64),
        low=np.array(grid.low),
        high=np.array(grid.high),
        triangles=torch.cat([*triangles, torch.zeros(0, 3, dtype=torch.int64)]).numpy(),
        **more,
    )


def write_networks(flow: NeuralFlow, path: Path) -> None:
    """Write the weights at every instant as safetensors: ``K.name`` for the parameter ``name`` at instant K."""
    with optional("Networks in files need safetensors", "[data]"):
        from safetensors.torch import save_file
    tensors = {}
    for k in range(len(flow.curve.points)):
        for name, value in flow.model(k).state_dict().items():
            tensors[f"{k}.{name}"] = value.contiguous().clone()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)


def _drawn(u: Tensor, grid: Grid) -> list[tuple[Tensor, Tensor]]:
    nothing = torch.zeros(0, 3, dtype=torch.int64)
    if grid.dim == 2:
        return [(line, nothing) for line in contour(u, grid)]
    points, triangles = surface(u, grid)
    return [(points, triangles)] if len(points) else []
