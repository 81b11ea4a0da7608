"""Boundaries of several classes beside a closed form, threshold dynamics and linear programs.

    python benchmarks/partition.py

The others share no code with the package: ``tests/boundary/_partitions.py`` (numpy and scipy).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from _table import head, row

from maxslope.boundary import Densities, Grid, Lattice, Window, contour, partition_flow
from maxslope.loop import Record
from maxslope.spaces import Lp
from maxslope.studies.partition import three

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "boundary"))
from _cases import apart
from _partitions import least_robust_risk, threshold_dynamics, wave

SEEDS = ((-0.55, -0.5), (0.6, -0.45), (-0.05, 0.1), (-0.6, 0.6), (0.5, 0.65))  # of five cells, the middle one enclosed


def waves() -> None:
    """The speed of the traveling wave, by densities and cells."""
    head("densities | cells a side | speed | closed form | error | CPU s")
    for rho in ((1.0, 1.0, 1.0), (1.0, 1.0, 3.0), (3.0, 3.0, 1.0)):
        for n in (16, 32, 48):
            began = time.process_time()
            grid = Grid((2 * n, n), (-1, 0), (1, 1))
            exact, start = wave(rho, *grid.points().numpy().transpose(2, 0, 1))
            even = torch.tensor(rho, dtype=torch.float64)[:, None, None].expand(start.shape)
            ends = partition_flow(grid, even, torch.from_numpy(start), 0.08).points[:, 0, 2]
            first, last = (grid.measure(u) for u in ends)
            speed = (last - first) / 0.08
            spent = time.process_time() - began
            row(rho, n, f"{speed:.4f}", f"{exact:.4f}", f"{speed / exact - 1:+.1%}", f"{spent:.1f}")


def voronoi(grid: Grid) -> torch.Tensor:
    """Minus the distances to the seeds, ``[classes, *shape]``."""
    return torch.stack([-(grid.points() - torch.tensor(seed, dtype=torch.float64)).norm(dim=-1) for seed in SEEDS])


def networks() -> None:
    """Voronoi's cells with tensions of their own, beside threshold dynamics: areas, distances of boundaries."""
    rho = torch.tensor([1.0, 1.0, 2.0, 1.0, 3.0], dtype=torch.float64)
    until, fine = 0.06, Grid((768, 768), -1, 1)
    labels = voronoi(fine).argmax(0).numpy()
    head("method | areas at the end | mean distance to the finest threshold dynamics, by class | CPU s")
    found = []
    for steps in (40, 20, 10):
        began = time.process_time()
        end, by = threshold_dynamics(labels, (rho[:, None] + rho).numpy(), (2.0, 2.0), until / steps, steps)
        spent = time.process_time() - began
        areas = [float((end == k).mean() * 4) for k in range(len(rho))]
        found.append([contour(torch.from_numpy(v), fine) for v in by])
        say(f"threshold dynamics, 768^2, {steps} steps", areas, found, spent)
    for n in (32, 64):
        began = time.process_time()
        grid = Grid((n, n), -1, 1)
        densities = rho[:, None, None].expand(-1, n, n)
        end = partition_flow(grid, densities, voronoi(grid), until).end[0]
        spent = time.process_time() - began
        found.append([contour(u, grid) for u in end])
        say(f"`partition_flow`, {n}^2", [grid.measure(u) for u in end], found, spent)


def say(name: str, areas: list[float], found: list[list[list[torch.Tensor]]], spent: float) -> None:
    gaps = [apart(a, b, 1.0)[1] if a and b else float("nan") for a, b in zip(found[-1], found[0], strict=True)]
    shown = (", ".join(f"{v:.{digits}f}" for v in values) for values, digits in ((areas, 3), (gaps, 4)))
    row(name, *shown, f"{spent:.1f}")


def programs() -> None:
    """The least robust risk of three classes by a linear program beside the flow's, on the same cells."""
    head("cells a side | R | likeliest class | least along the flow | least of all (bound) | fractions | CPU s")
    for n, radius in ((32, 1.5), (48, 2.3), (64, 3.2)):
        problem, window = three(n, radius * 2.4 / n), Window(radius, Lp(2), 2)
        grid, rho = problem.grid, problem.rho
        began = time.process_time()
        bound, shares = least_robust_risk((rho * grid.cell).numpy(), sorted(window.offsets))
        spent = time.process_time() - began
        between = np.mean((shares > 1e-6) & (shares < 1 - 1e-6))
        parts = [Lattice(grid, Densities(0 * own, own), window) for own in rho]
        curve = partition_flow(grid, rho, rho, 0.02, record=Record(5), redistance=5)
        risks = [sum(p.robust_risk(u) for p, u in zip(parts, fields, strict=True)) for fields in curve.points[:, 0]]
        row(n, radius, f"{risks[0]:.4f}", f"{min(risks):.4f}", f"{bound:.4f}", f"{between:.1%}", f"{spent:.1f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for table in (waves, networks, programs):
        table()
        print(flush=True)
