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
from maxslope.report.boundary import Study
from maxslope.report.partition import PartitionStudy


def write_boundaries(study: Study | PartitionStudy, path: Path) -> None:
    """Write the boundaries at every instant, and the signed distance where the flow is to be stopped, as .npz.

    ``time`` ``[K+1]``; ``points`` ``[n, d]`` in length units; ``first`` ``[m+1]``: line or surface j has the points
    ``first[j]`` to ``first[j+1]``; ``instant`` ``[m]``: when; ``of`` ``[m]``: which class of several it is around.
    ``triangles`` ``[t, 3]``, numbers of points: none in the plane. ``stopped``, its instant; ``distance``
    ``[*shape]`` there, of several classes ``[classes, *shape]``; ``low``, ``high``: the corners of the grid; ``names``.
    """
    curve, grid = study.curve, study.problem.grid
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
    instant, of = np.array(where, dtype=np.int64).reshape(-1, 2).T
    several: dict[str, Any] = (
        {"of": of, "names": np.array(study.problem.names)} if isinstance(study, PartitionStudy) else {}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        time=curve.time[:, 0].numpy(),
        points=torch.cat([*parts, torch.zeros(0, grid.dim, dtype=torch.float64)]).numpy(),
        first=np.cumsum([0, *map(len, parts)]),
        instant=instant,
        stopped=np.int64(study.best),
        distance=study.curve.points[study.best, 0].numpy(),
        low=np.array(grid.low),
        high=np.array(grid.high),
        triangles=torch.cat([*triangles, torch.zeros(0, 3, dtype=torch.int64)]).numpy(),
        **several,
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
