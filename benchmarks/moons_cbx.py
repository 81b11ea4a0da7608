"""Minimizing movements on two moons: ours, all initial values at once, against a loop that runs `cbx` on each.

The loop runs consensus-based search with the package `cbx` (import name cbx), 30 particles and 30 inner iterations,
one initial value at a time, as published code for arXiv:2406.05376 does; ours runs (a) the same search batched over
rows and (b) Newton's method (GELU), where the energy is smooth. Same networks, initial values, budget and step sizes;
both in one run, one thread, best of three. Prints the cost per (initial value, step), and the mean largest difference
between the explicit scheme and each minimizing movement.

    pip install "maxslope[flows]" cbx==1.0.4
    python benchmarks/moons_cbx.py [initial values of the loop] [rows of ours]
"""

import sys
import time

import torch
from cbx.dynamics import CBO
from cbx.utils.torch_utils import to_torch_dynamic
from torch import nn

from maxslope.loop import flow
from maxslope.report.moons import EPS, SquaredError, problem, train
from maxslope.schemes import Consensus, Explicit, Inner, MinimizingMovement, Newton
from maxslope.sets import Linf

PARTICLES, ITERATIONS = 30, 30
UNTIL = 0.4


Swarm = to_torch_dynamic(CBO)


class IntoReach:
    """Clip the swarm to the step box and the budget."""

    def __init__(self, x: torch.Tensor, x0: torch.Tensor, tau: float) -> None:
        self.lo, self.hi = torch.maximum(x - tau, x0 - EPS), torch.minimum(x + tau, x0 + EPS)

    def __call__(self, swarm: CBO) -> None:
        swarm.x = swarm.x.clamp(self.lo, self.hi)


def loop(energy: SquaredError, x0: torch.Tensor, tau: float) -> torch.Tensor:
    """One trajectory per initial value, ``[steps + 1, rows, 2]``."""
    out = []
    for i in range(x0.shape[0]):
        model, label, x = energy.model, energy.labels[i], x0[i]
        path = [x]
        for _ in range(round(UNTIL / tau)):
            start = x + (2 * torch.rand(1, PARTICLES, 2, dtype=x.dtype) - 1) * tau
            start[0, 0] = x
            reach = IntoReach(x, x0[i], tau)
            start = start.clamp(reach.lo, reach.hi)
            swarm = Swarm(
                lambda z, model=model, label=label: -(model(z.reshape(-1, 2)) - label).square().reshape(z.shape[:-1]),
                x=start,
                f_dim="3D",
                check_f_dims=False,
                post_process=reach,
                max_it=ITERATIONS,
                verbosity=0,
                N=PARTICLES,
            )
            swarm.optimize(sched=None)
            x = torch.as_tensor(swarm.best_particle).reshape(2).clone()
            path.append(x)
        out.append(torch.stack(path))
    return torch.stack(out, 1)


def ours(energy: SquaredError, x0: torch.Tensor, tau: float, inner: Inner) -> torch.Tensor:
    """All initial values at once."""
    constrained = energy.within(Linf(EPS, box=None).around(x0))
    return flow(constrained, x0, scheme=MinimizingMovement(tau, inner=inner, nodes=0), until=UNTIL).points


def timed(call, rows: int, tau: float, repeats: int) -> tuple[float, torch.Tensor]:  # type: ignore[no-untyped-def]
    """Milliseconds per (initial value, step), the best of several runs, and the points."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        points = call()
        best = min(best, time.perf_counter() - start)
    return 1e3 * best / (rows * round(UNTIL / tau)), points


def main() -> None:
    torch.set_num_threads(1)
    few, many = (int(a) for a in (sys.argv[1:3] or ("5", "1000")))
    print(f"cbx, one by one: {few} initial values; ours: {many} rows at once; times in ms per (initial value, step)")
    print("network  tau      cbx loop   consensus   newton    ratios          difference to explicit")
    for name, activation in (("ReLU", nn.ReLU), ("GELU", nn.GELU)):
        energy, x = problem(train(activation), many)
        part, x_few = energy.take(torch.arange(few)), x[:few]
        for tau in (0.05, 0.0125, 0.00625):
            torch.manual_seed(0)
            ms_cbx, points = timed(lambda: loop(part, x_few, tau), few, tau, 1)  # noqa: B023
            box = energy.within(Linf(EPS, box=None).around(x))
            explicit = flow(box, x, scheme=Explicit(tau), until=UNTIL).points[:, :few]
            gap = [float((explicit - points).abs().amax((0, 2)).mean())]
            cost = []
            for inner in (Consensus(particles=PARTICLES, iterations=ITERATIONS), Newton()):
                rows = min(many, 200) if isinstance(inner, Consensus) else many
                own, start = energy.take(torch.arange(rows)), x[:rows]
                ms, points = timed(lambda: ours(own, start, tau, inner), rows, tau, 2)  # noqa: B023
                cost.append(ms)
                gap.append(float((explicit - points[:, :few]).abs().amax((0, 2)).mean()))
            ratios = "  ".join(f"{ms_cbx / c:6.0f}x" for c in cost)
            gaps = "  ".join(f"{g:.5f}" for g in gap)
            print(f"{name:7}  {tau:.5f}  {ms_cbx:8.2f}  {cost[0]:9.3f}  {cost[1]:8.4f}  {ratios}  {gaps}", flush=True)


if __name__ == "__main__":
    main()
