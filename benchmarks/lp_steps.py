"""What a step in l_p costs beside one in l_2: ratios of medians, measured in turns within one process.

    python benchmarks/lp_steps.py --rows 64 --coordinates 784 --repeats 9

Four operations of the set {|z - x|_p <= eps, 0 <= z <= 1} in float32, from points on the sphere: the joint step in the
same norm, the step in l_inf, the projection of a step that has left the ball, the linear minimizer. Then a whole
gradient step of the semi-implicit scheme on a network 784-256-256-10, its forward and backward pass included, and an
attack of 20 semi-implicit steps on the network that ships with the package, everything included.

With ``--shared`` instead the projection and the linear minimizer of Mixed(Lp(r), Lp(p), axis=1), radius 3, on as many
images of 3 x 16 x 16.

Times are those of the process, so that others who use the machine count less. Before the first, a tensor of 28 MB is
freed, as convolutions do: only then the allocator keeps the memory of tensors of 200 KB, whatever the norm.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch
from _table import head, row
from torch import Tensor, nn

import maxslope as ms
from maxslope.data import default_data, default_network
from maxslope.energies import Loss
from maxslope.schemes import SemiImplicit
from maxslope.sets import Budget
from maxslope.spaces import Lp, Mixed

EXPONENTS = (2, 1.1, 1.5, 3, 7, 50)
SHARES = (0.5, 0.2, 0.05)


def operations(p: float, rows: int, d: int) -> dict[str, Callable[[], object]]:
    """The operations of one exponent by name, each over all lengths of steps."""
    g = torch.Generator().manual_seed(0)
    x = (torch.randn(rows, d, generator=g) * 1.2 - 0.8).clamp(0, 1)
    xi = torch.randn(rows, d, generator=g)
    lp, eps = Lp(p), 2.0 * d ** (1 / p - 0.5)
    K = Budget(lp, eps).around(x)
    z = K.minimize_linear(xi + 0.7 * torch.randn(rows, d, generator=g))
    net = nn.Sequential(nn.Linear(d, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)).eval()
    energy = Loss(net, torch.arange(rows) % 10)
    taus = [torch.full((rows,), share * eps) for share in SHARES]

    def whole() -> None:
        for tau in taus:
            K.minimize_linear_near(energy.evaluate(z).gradient, z, tau, lp)

    def each(step: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        return lambda: [step(tau) for tau in taus]

    images, labels = (t[:rows] for t in default_data())
    shipped, budget = default_network(), Budget(lp, 0.5 * d ** (1 / p - 0.5))
    recipe = ms.recipes.Recipe("steps", steps=20, first=0.2, last=0.0, scheme=SemiImplicit)

    return {
        "joint step": each(lambda tau: K.minimize_linear_near(xi, z, tau, lp)),
        "l_inf step": each(lambda tau: K.minimize_linear_near(xi, z, tau / d ** (1 / p), Lp(math.inf))),
        "projection": each(lambda tau: K.project(z + tau[:, None] * lp.steepest(xi))),
        "linear minimizer": lambda: K.minimize_linear(xi),
        "gradient step": whole,
        "attack": lambda: ms.attack(shipped, images, labels, budget, recipe=recipe, certify=False),
    }


def shared(rows: int) -> None:
    """Print what budgets cost whose groups share a radius."""
    g = torch.Generator().manual_seed(0)
    x, way, xi = torch.rand(rows, 3, 16, 16, generator=g), *torch.randn(2, rows, 3, 16, 16, generator=g)
    print("| r | p | projection | linear minimizer |\n|---|---|---|---|")
    for r, p in ((1, 1.5), (1, 2), (1, 3), (1, math.inf), (2, 1), (2, 1.5), (2, 3), (2, math.inf)):
        K = Budget(Mixed(Lp(r), Lp(p), axis=1), 3.0).around(x)
        times = (seconds(lambda K=K: K.project(x + way)), seconds(lambda K=K: K.minimize_linear(xi)))
        print(f"| {r} | {p:g} | " + " | ".join(f"{1e3 * t:.0f} ms" for t in times) + " |")


def seconds(run: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--coordinates", type=int, default=784)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--shared", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.empty(7_000_000)
    if args.shared:
        return shared(args.rows)
    made = {p: operations(p, args.rows, args.coordinates) for p in EXPONENTS}
    names = list(made[2])
    times: dict[tuple[float, str], list[float]] = {(p, name): [] for p in EXPONENTS for name in names}
    for _ in range(args.repeats + 1):
        for name in names:
            for p in EXPONENTS:  # in turns, so that what else the machine does falls on all of them
                times[p, name].append(seconds(made[p][name]))
    head(" | ".join(["p", *names]))
    for p in EXPONENTS:
        cells = [statistics.median(times[p, name][1:]) for name in names]
        base = [statistics.median(times[2, name][1:]) for name in names]
        shown = (f"{1e3 * a:.1f} ms" if p == 2 else f"{a / b:.1f}" for a, b in zip(cells, base, strict=True))
        row(f"{p:g}", *shown)


if __name__ == "__main__":
    main()
