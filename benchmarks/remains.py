"""What a run says remains, against what `exhaustive` with another seed still breaks.

    python benchmarks/remains.py --data DIR --out RUNS [--pair "digits linf 2" ...] [--samples 500]

For each pair of a network and a budget: `quick` and `standard` are run with seed 0, and `exhaustive` with seed 1 on the
samples that `standard` leaves. Runs are kept in RUNS and not made again; a pair's line compares the interval that the
report of `quick`, and that of `standard`, states with what fell later. ``--data DIR`` holds mnist_test.npz,
mnist_small_adv.safetensors, cifar10_test_2000.npz and cifar_cnn_a_mix.safetensors. The prior of each line is fitted to
the pairs of other networks alone.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch
from _table import head
from strength import Data, cnn_a, digits, fit, images, mlp, trained
from torch import Tensor, nn

import maxslope as ms
from maxslope.evaluation.remains import FITTED, Prior, Remains, remains

UNIT, WIDE = (0.0, 1.0), (0.0, 16.0)
STANDING = "robust"


@dataclass(frozen=True)
class Pair:
    """A network and a budget."""

    network: str
    norm: float
    eps: float
    box: tuple[float, float] = UNIT
    samples: int = 200


def small() -> nn.Module:
    """The layout of the small published network of MNIST."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 5, 2, 2), nn.ReLU(), nn.Conv2d(4, 8, 5, 2, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(392, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def small_adv(folder: Path) -> Data:
    from safetensors.torch import load_file

    net = small()
    net.load_state_dict(load_file(folder / "mnist_small_adv.safetensors"))
    return net.eval().requires_grad_(False), *images(folder / "mnist_test.npz")


def halves(folder: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """6,000 images to train on, 4,000 to attack."""
    x, y = images(folder / "mnist_test.npz")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return x[order[:6000]], y[order[:6000]], x[order[6000:]], y[order[6000:]]


def squares(_: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scikit-learn's digits as images of 8 x 8 pixels with entries 0 to 1: 1,200 to train on, 597 to attack."""
    from sklearn.datasets import load_digits

    table = load_digits()
    x, y = torch.tensor(table.images).float()[:, None] / 16, torch.tensor(table.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = x[order], y[order]
    return x[:1200], y[:1200], x[1200:], y[1200:]


def hardened(
    split: Callable[[Path], tuple[Tensor, Tensor, Tensor, Tensor]], make: Callable[[], nn.Module], budget: ms.Budget,
    steps: int, epochs: int = 6,
) -> Callable[[Path], Data]:  # fmt: skip
    """A network trained here against an attack of so many steps (none: normally, one: from a random point)."""

    def load(folder: Path) -> Data:
        x, y, a, b = split(folder)
        torch.manual_seed(2)
        net = make()
        if not steps:
            return fit(net, x, y, epochs), a, b
        optimizer = torch.optim.Adam(net.parameters(), 2e-3)
        for epoch in range(epochs):
            order = torch.randperm(len(x), generator=torch.Generator().manual_seed(epoch))
            reach = float(budget.eps) * min(1.0, (epoch + 1) / (epochs / 2))
            for part in order.split(100):
                moved = worst(net, x[part], y[part], math.isinf(budget.norm.p), reach, steps)
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(moved), y[part]).backward()
                optimizer.step()
        return net.eval().requires_grad_(False), a, b

    return load


def worst(net: nn.Module, x: Tensor, y: Tensor, linf: bool, eps: float, steps: int) -> Tensor:
    """Where projected gradient steps lead: what networks are trained on here, by hand and on purpose plainly."""
    noise = torch.empty_like(x).uniform_(-1, 1)
    z = (x + eps * (noise if linf else noise / noise.flatten(1).norm(dim=1)[:, None, None, None])).clamp(0, 1)
    for _ in range(steps):
        z.requires_grad_()
        (g,) = torch.autograd.grad(nn.functional.cross_entropy(net(z), y), z)
        length = 2.5 * eps / steps if steps > 1 else 1.25 * eps
        z = z.detach() + length * (g.sign() if linf else g / (g.flatten(1).norm(dim=1)[:, None, None, None] + 1e-12))
        d = z - x
        d = d.clamp(-eps, eps) if linf else d * (eps / d.flatten(1).norm(dim=1).clamp_min(eps))[:, None, None, None]
        z = (x + d).clamp(0, 1).detach()
    return z


def layers(*widths: int) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        steps = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(nn.Flatten(), *steps[:-1])

    return make


def tiny() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, 1, 1), nn.ReLU(), nn.Conv2d(12, 12, 3, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 10),
    )  # fmt: skip


def deeper() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1),
        nn.ReLU(), nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


NETWORKS: dict[str, Callable[[Path], Data]] = {
    "gelu-mlp": trained(mlp),
    "digits": digits,
    "cnn-a": cnn_a,
    "small-adv": small_adv,
    "pgd-l2": hardened(halves, small, ms.L2(2.0), 5),
    "deeper": hardened(halves, deeper, ms.Linf(0.0), 0, 8),
    "digits-pgd": hardened(squares, layers(64, 64, 64, 10), ms.Linf(0.15), 7, 40),
    "digits-conv": hardened(squares, tiny, ms.L2(0.0), 0, 30),
    "digits-one": hardened(squares, tiny, ms.Linf(0.2), 1, 40),
    "digits-l2": hardened(squares, tiny, ms.L2(0.8), 5, 40),
    "mlp-pgd": hardened(halves, layers(784, 64, 64, 10), ms.Linf(0.1), 7),
    "mlp-l2": hardened(halves, layers(784, 96, 10), ms.L2(1.5), 5),
}
PAIRS = {
    "small-adv linf .3": Pair("small-adv", math.inf, 0.3, samples=500),
    "digits-pgd linf .15": Pair("digits-pgd", math.inf, 0.15),
    "digits-one linf .2": Pair("digits-one", math.inf, 0.2),
    "digits-one linf .15": Pair("digits-one", math.inf, 0.15),
    "mlp-pgd linf .1": Pair("mlp-pgd", math.inf, 0.1),
    "mlp-l2 linf .05": Pair("mlp-l2", math.inf, 0.05),
    "digits-l2 linf .1": Pair("digits-l2", math.inf, 0.1),
    "gelu-mlp linf .06": Pair("gelu-mlp", math.inf, 0.06),
    "digits linf 2": Pair("digits", math.inf, 2.0, WIDE),
    "digits-conv linf .1": Pair("digits-conv", math.inf, 0.1),
    "deeper linf .1": Pair("deeper", math.inf, 0.1, samples=150),
    "cnn-a linf 4/255": Pair("cnn-a", math.inf, 4 / 255, samples=70),
    "digits-pgd l2 .5": Pair("digits-pgd", 2, 0.5, samples=60),
    "pgd-l2 l2 2": Pair("pgd-l2", 2, 2.0, samples=60),
}


@cache
def network(name: str, folder: Path) -> Data:
    return NETWORKS[name](folder)


def run(
    path: Path, model: nn.Module, x: Tensor, y: Tensor, budget: ms.Budget, effort: ms.Effort, seed: int
) -> ms.Report:
    """The report of a run in a folder, which is made if it is not there."""
    if (path / "done.json").is_file():
        return ms.load(path, points=False)
    return ms.evaluate(model, (x, y), budget, effort=effort, seed=seed, out=path, keep_points=False)


def standing(report: ms.Report) -> list[int]:
    return [int(i) for i, v in zip(report.table["index"], report.table["verdict"], strict=True) if v == STANDING]


def runs(name: str, options: argparse.Namespace) -> tuple[ms.Report, ms.Report, ms.Report]:
    """`quick`, `standard`, and `exhaustive` on what the latter leaves."""
    pair = PAIRS[name]
    model, x, y = network(pair.network, options.data)
    samples = options.samples or pair.samples
    x, y = x[:samples], y[:samples]
    budget = ms.Budget(ms.Lp(pair.norm), pair.eps, pair.box)
    folder = options.out / name.replace(" ", "_").replace("/", "-")
    quick = run(folder / "quick", model, x, y, budget, ms.Effort.quick(), 0)
    standard = run(folder / "standard", model, x, y, budget, ms.Effort.standard(), 0)
    left = standing(standard)
    last = run(folder / "exhaustive", model, x[left], y[left], budget, ms.Effort.exhaustive(), 1)
    return quick, standard, last


@dataclass(frozen=True)
class Case:
    """What a run said, and what fell later."""

    pair: str
    level: str
    said: Remains
    fell: int

    @property
    def network(self) -> str:
        return PAIRS[self.pair].network

    def by(self, prior: Prior) -> Case:
        return replace(self, said=replace(self.said, prior=prior))

    @property
    def covered(self) -> bool:
        low, high = (round(bound * self.said.samples) for bound in self.said.interval)
        return low <= self.fell <= high

    @property
    def width(self) -> float:
        """Of the interval, in points, if 1,000 samples had gone as these did."""
        s, more = self.said, 1000 / self.said.samples
        counts = {name: round(getattr(s, name) * more) for name in ("standing", "finds", "late", "gradients")}
        sums = {name: getattr(s, name) * more for name in ("foreseen", "soon", "ahead")}
        low, high = replace(s, samples=1000, **counts, **sums).interval
        return 100 * (high - low)


def cases(name: str, options: argparse.Namespace) -> list[Case]:
    quick, standard, last = runs(name, options)
    left = standing(standard)
    fell = len(last.table["index"]) - len(standing(last))
    sooner = len(set(standing(quick)) - set(left))
    later = {left[i] for i in set(last.table["index"]) - set(standing(last))} & set(standing(quick))
    said = [(report.effort.name, remains(report.table, report.effort)) for report in (quick, standard)]
    found = [(level, one) for level, one in said if one is not None]
    return [Case(name, level, one, sooner + len(later) if level == "quick" else fell) for level, one in found]


def fitted(known: Sequence[Case]) -> Prior:
    """The prior of the widest intervals among those of a grid under which what fell is likely: within 1 of the best.

    The shipped one, where nothing is known of others.
    """
    if not known:
        return FITTED
    shapes, means = (0.5, 0.7, 1, 1.4, 2, 3, 4), (0.5, 0.7, 1, 1.4, 2)
    weights = (0, 0.1, 0.2, 0.35, 0.5, 0.7, 1)
    grid = [Prior(a, a / mean, w) for a in shapes for mean in means for w in weights]
    likely = {p: sum(math.log(max(c.by(p).said.law[c.fell], 1e-9)) for c in known) for p in grid}
    best = max(likely.values())
    return max((p for p in grid if likely[p] >= best - 1), key=lambda p: max(c.by(p).width for c in known))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pair", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument("--samples", type=int, help="of each pair, instead of as many as cost a few minutes")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = [case for name in options.pair for case in cases(name, options)]
    head(
        "pair | effort | samples | robust | late finds (foreseen) | foreseen ahead | would fall | by others alone | "
        "fell | width"
    )
    for case in found:
        apart = case.by(fitted([other for other in found if other.network != case.network]))
        s = case.said
        print(
            f"| {case.pair} | {case.level} | {s.samples} | {100 * s.standing / s.samples:.1f} | {s.late} "
            f"({s.foreseen:.1f}) | {s.ahead:.2f} | {_told(case)} | {_told(apart)} | {100 * case.fell / s.samples:.1f} "
            f"({case.fell}) | {apart.width:.2f} |",
            flush=True,
        )
    print(f"\nFitted to all: {fitted(found)}; shipped: {FITTED}")


def _told(case: Case) -> str:
    return case.said.points + ("" if case.covered else " **outside**")


if __name__ == "__main__":
    main()
