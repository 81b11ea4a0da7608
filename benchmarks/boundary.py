"""Cost of the boundary flow: exact cuts with and without factors, a step by the number of cells, a whole flow.

    python benchmarks/boundary.py [--repeats 5] [--sizes 64 128 256 512 1024] [--device cpu]

Needs the extra ``boundary``. Times are CPU seconds of one thread (wall seconds on another device). Beside it: the
explicit level-set method of second order (:func:`maxslope.boundary.limit.limit_flow`, what a level-set code does) and
the morphological curvature flow of scikit-image. Factored and naive cuts take turns; ratios are medians of pairs.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from _table import head, row
from skimage.segmentation import morphological_geodesic_active_contour

from maxslope.boundary import (
    Cut,
    Densities,
    Grid,
    Isotropic,
    Lattice,
    Soft,
    Solver,
    Step,
    Window,
    evolve,
    signed_distance,
)
from maxslope.boundary.cut import minimum_cut
from maxslope.boundary.limit import LimitLaw, limit_flow
from maxslope.boundary.window import Level
from maxslope.loop import Record
from maxslope.spaces import Lp

RADIUS, UNTIL = 0.6, 0.02


def problem(n: int) -> tuple[Grid, Densities, torch.Tensor]:
    grid = Grid((n, n), -1, 1)
    half = torch.full((n, n), 0.5, dtype=torch.float64)
    return grid, Densities(half, half), RADIUS - grid.points().norm(dim=-1)


class Naive(Window):
    """A window whose suprema are taken over its offsets, without levels between."""

    @property
    def levels(self) -> tuple[Level, ...]:  # type: ignore[override]
        return (tuple((0, o) for o in sorted(self.offsets)),)


def clock(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def cuts(repeats: int) -> None:
    head("window | tau | naive (s) | factored (s) | ratio | range")
    grid, d, sd = problem(128)
    for radius, p, tau in (
        (5.1, 2, 0.0023),
        (10.05, 2, 0.0023),
        (10.05, 2, 0.0094),
        (10, math.inf, 0.0023),
        (10, 1, 0.0023),
    ):
        window = Window(radius, Lp(p), 2)
        lattice, plain = (
            Lattice(grid, d, w, window.scale * grid.h) for w in (window, Naive(window.radius, window.space, window.dim))
        )
        len(window.levels)  # found once
        band = 2 * math.sqrt(tau) + 4 * grid.h
        fixed = torch.where(sd >= band, 1, torch.where(sd <= -band, 0, -1)).to(torch.int8)
        pairs = []
        for _ in range(repeats):
            pairs.append(tuple(clock(partial(minimum_cut, of, -d.rho * sd / tau, fixed)) for of in (plain, lattice)))
        ratios = sorted(a / b for a, b in pairs)
        naive, factored = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(
            f"| l_{p}, R = {radius} | {tau} | {naive:.3f} | {factored:.3f} | {statistics.median(ratios):.1f} | "
            f"{ratios[0]:.1f} to {ratios[-1]:.1f} |"
        )


def one_step(solver: Solver, n: int, repeats: int) -> tuple[float, float, int]:
    """Seconds of the solver and of redistancing, and its iterations, with tau = 0.15 h r."""
    grid, d, sd = problem(n)
    tau = 0.15 * grid.h * RADIUS
    solving, distance, found = [], [], None
    for _ in range(repeats):
        begin = time.process_time()
        found = solver.solve(Step(grid, d, sd, tau))
        middle = time.process_time()
        signed_distance(found.u, grid, solver.width(grid, tau))
        solving.append(middle - begin)
        distance.append(time.process_time() - middle)
    assert found is not None
    return statistics.median(solving), statistics.median(distance), found.iterations


def steps(sizes: list[int], repeats: int) -> None:
    head("solver | N | solve (s) | distance (s) | iterations | microseconds a cell")
    plan = [(Soft(), sizes), (Isotropic(), [n for n in sizes if n <= 256]), (Cut(), [n for n in sizes if n <= 256])]
    for solver, over in plan:
        total = []
        for n in over:
            solving, distance, count = one_step(solver, n, repeats if n <= 256 else min(repeats, 3))
            total.append(solving + distance)
            print(
                f"| {type(solver).__name__} | {n} | {solving:.3f} | {distance:.3f} | {count} | "
                f"{1e6 * total[-1] / n**2:.2f} |"
            )
        order = math.log(total[-1] / total[0]) / (2 * math.log(over[-1] / over[0]))
        print(f"\n{type(solver).__name__}: cost grows like the number of cells to the power {order:.2f}\n")


def morphological(n: int) -> tuple[float, float, int]:
    """Iterations of the morphological curvature operator until the disk has shrunk as far as the flow makes it."""
    _, _, sd = problem(n)
    goal = math.pi * (RADIUS**2 - 2 * UNTIL)
    begin, u, count, area = time.process_time(), (sd > 0).numpy(), 0, math.inf
    while count < 400:
        u = morphological_geodesic_active_contour(torch.ones(n, n).numpy(), 1, u, smoothing=1, balloon=0)
        count += 1
        before, area = area, float(u.sum()) * 4 / n**2
        if area <= goal or area == before:
            break
    return time.process_time() - begin, area - goal, count


def flows(sizes: list[int]) -> None:
    exact = math.sqrt(RADIUS**2 - 2 * UNTIL)
    head("method | N | steps | CPU s | radius error / h")
    for n in sizes:
        grid, d, sd = problem(n)

        def radius(u: torch.Tensor, grid: Grid = grid) -> float:
            return math.sqrt(grid.measure(u) / math.pi)

        for name, solver in (("minimizing movements, Soft", Soft()), ("minimizing movements, Cut", Cut())):
            if n > 128 and isinstance(solver, Cut):
                continue
            begin = time.process_time()
            curve = evolve(sd, grid, d, until=UNTIL, tau=0.15 * grid.h * RADIUS, solver=solver)
            spent = time.process_time() - begin
            off = (radius(curve.end[0]) - exact) / grid.h
            row(name, n, len(curve.time) - 1, f"{spent:.2f}", f"{off:+.3f}")
        begin = time.process_time()
        curve = limit_flow(LimitLaw(grid, d), sd, UNTIL, record=Record(1))
        spent = time.process_time() - begin
        count = len(curve.time) - 1
        row("level set, explicit", n, count, f"{spent:.2f}", f"{(radius(curve.end[0]) - exact) / grid.h:+.3f}")
        spent, missing, count = morphological(n)
        off = (math.sqrt((missing + math.pi * exact**2) / math.pi) - exact) / grid.h
        row("scikit-image, morphological", n, count, f"{spent:.2f}", f"{off:+.3f}")


def device_steps(device: str, sizes: list[int]) -> None:
    """Wall seconds of the soft solvers elsewhere, and their difference from the answer of the CPU."""
    head("solver | N | wall s on the CPU | wall s on the device | largest difference / h")
    for solver in (Soft(), Isotropic()):
        for n in sizes:
            grid, d, sd = problem(n)
            tau, walls, found = 0.15 * grid.h * RADIUS, [], []
            for place in ("cpu", device):
                here = Step(grid, d, sd.to(place), tau)
                for _ in range(2):  # the first one warms up
                    begin = time.perf_counter()
                    found.append(solver.solve(here).u.cpu())
                    wall = time.perf_counter() - begin
                walls.append(wall)
            gap = float((found[-1] - found[0]).abs().max()) / grid.h
            row(type(solver).__name__, n, f"{walls[0]:.3f}", f"{walls[1]:.3f}", f"{gap:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.device != "cpu":
        device_steps(options.device, options.sizes)
        return
    cuts(options.repeats)
    steps(options.sizes, options.repeats)
    flows([n for n in options.sizes if n <= 256])


if __name__ == "__main__":
    main()
