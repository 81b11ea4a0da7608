"""Minimizing movements on two moons: ours, all initial values at once, against a loop that runs `cbx` on each.

The loop runs consensus-based search with the package `cbx` (import name cbx), 30 particles and 30 inner iterations,
one initial value at a time, as published code for arXiv:2406.05376 does; ours runs (a) the same search batched over
rows (at most 200) and (b) Newton's method. Same networks, initial values, budget and step sizes; both by turns in one
run, one thread. Prints medians of the cost per (initial value, step) and of the ratios of each turn, and the mean
largest difference between the explicit scheme and each minimizing movement: cbx, consensus, newton.

    pip install "maxslope[flows]" cbx==1.0.4
    python benchmarks/moons_cbx.py [initial values of the loop] [rows of ours] [turns]
"""

import sys
import time
from statistics import median

import torch
from cbx.dynamics import CBO
from cbx.utils.torch_utils import to_torch_dynamic
from torch import nn

from maxslope.loop import flow
from maxslope.schemes import Consensus, Explicit, InnerSolver, MinimizingMovement, Newton
from maxslope.sets import Linf
from maxslope.studies.moons import EPS, SquaredError, problem, train

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


def ours(energy: SquaredError, x0: torch.Tensor, tau: float, inner: InnerSolver) -> torch.Tensor:
    """All initial values at once."""
    constrained = energy.within(Linf(EPS, box=None).around(x0))
    return flow(constrained, x0, scheme=MinimizingMovement(tau, inner=inner, nodes=0), until=UNTIL).points


def timed(call, rows: int, tau: float) -> tuple[float, torch.Tensor]:  # type: ignore[no-untyped-def]
    """Milliseconds per (initial value, step), and the points."""
    start = time.perf_counter()
    points = call()
    return 1e3 * (time.perf_counter() - start) / (rows * round(UNTIL / tau)), points


def case(name: str, energy: SquaredError, x: torch.Tensor, tau: float, few: int, pairs: int) -> str:
    """One line: medians over pairs of runs, the loop and ours by turns."""
    part, x_few = energy.take(torch.arange(few)), x[:few]
    torch.manual_seed(0)
    solvers = {"consensus": Consensus(particles=PARTICLES, iterations=ITERATIONS), "newton": Newton()}
    costs: dict[str, list[float]] = {"cbx": [], "consensus": [], "newton": []}
    points: dict[str, torch.Tensor] = {}
    for _ in range(pairs):
        ms, points["cbx"] = timed(lambda: loop(part, x_few, tau), few, tau)
        costs["cbx"].append(ms)
        for kind, inner in solvers.items():
            rows = min(len(x), 200) if kind == "consensus" else len(x)
            own, start = energy.take(torch.arange(rows)), x[:rows]
            ms, points[kind] = timed(lambda: ours(own, start, tau, inner), rows, tau)  # noqa: B023
            costs[kind].append(ms)
    box = part.within(Linf(EPS, box=None).around(x_few))
    explicit = flow(box, x_few, scheme=Explicit(tau), until=UNTIL).points
    gaps = [float((explicit - points[kind][:, :few]).abs().amax((0, 2)).mean()) for kind in costs]
    ratios = {k: median(a / b for a, b in zip(costs["cbx"], costs[k], strict=True)) for k in solvers}
    return (
        f"{name:7}  {tau:.5f}  {median(costs['cbx']):8.2f}  {median(costs['consensus']):9.3f}  "
        f"{median(costs['newton']):8.4f}  {ratios['consensus']:6.0f}x  {ratios['newton']:6.0f}x  "
        + "  ".join(f"{gap:.5f}" for gap in gaps)
    )


def main() -> None:
    torch.set_num_threads(1)
    few, many, pairs = (int(a) for a in (*sys.argv[1:], *("2", "1000", "3")[len(sys.argv) - 1 :]))
    print(f"cbx, one by one: {few} initial values; ours: {many} rows at once; times in ms per (initial value, step)")
    print("network  tau      cbx loop   consensus   newton    ratios          differences to the explicit scheme")
    for name, activation in (("ReLU", nn.ReLU), ("GELU", nn.GELU)):
        energy, x = problem(train(activation), many)
        for tau in (0.05, 0.0125, 0.00625):
            print(case(name, energy, x, tau, few, pairs), flush=True)


if __name__ == "__main__":
    main()
