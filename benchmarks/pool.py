"""Wall time of a whole attack over the time of its useful passes made bare, last sample included.

    python benchmarks/pool.py [--samples 1000] [--effort quick standard] [--threads 1]

Bare passes run at the batch size of the pool's calls, before and after; a forward and backward pass and a forward pass
alone are timed apart. The ratio of executed to useful passes is what calls that are not full cost at the end, when few
samples are left; what remains of the ratio of times is bookkeeping.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from _table import head
from torch import Tensor, nn

import maxslope as ms
from maxslope.attacks.question import tile_for
from maxslope.data import default_data, default_network


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def bare(model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float]:
    """Seconds of a row's forward and backward pass, and of its forward pass alone."""

    def both() -> None:
        z = x.detach().requires_grad_(True)
        torch.autograd.grad(nn.functional.cross_entropy(model(z), y, reduction="sum"), z)

    def forward() -> None:
        with torch.no_grad():
            model(x)

    return tuple(statistics.median(seconds(f) for _ in range(30)) / len(x) for f in (both, forward))  # type: ignore


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--effort", nargs="+", choices=("quick", "standard"), default=["quick", "standard"])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = default_network()
    x, y = (t[: options.samples] for t in default_data())
    right = model(x).argmax(1) == y
    x, y = x[right], y[right]
    tile = tile_for(x)
    head("effort | samples | robust | useful backward / forward | executed over useful | time over useful passes")
    for name in options.effort:
        effort = {"quick": ms.Effort.quick, "standard": ms.Effort.standard}[name]()
        before = bare(model, x[:tile], y[:tile])
        start = time.perf_counter()
        result = ms.attack(model, x, y, ms.Linf(0.3), effort=effort, certify=False)
        taken = time.perf_counter() - start
        after = bare(model, x[:tile], y[:tile])
        both, alone = ((b + a) / 2 for b, a in zip(before, after, strict=True))
        useful = int(result.backward.sum()), int(result.forward.sum())
        cost = useful[0] * both + (useful[1] - useful[0]) * alone
        waste = sum(result.executed) / sum(useful)
        print(
            f"| {name} | {len(x)} | {int((~result.broken).sum())} | {useful[0]} / {useful[1]} | {waste:.2f} | "
            f"{taken / cost:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
