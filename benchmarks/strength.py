"""Robust accuracy against passes, beside AutoAttack `standard` (the published settings,
built from torchattacks' attacks), on the same images and network.

    python benchmarks/strength.py --case mnist-linf mnist-l2 mnist-l1 gelu-mlp relu-conv digits-tabular \
        [--samples 500] [--efforts quick standard] [--no-peer] [--data DIR]

Cases that need no data of the reader's: the shipped network; networks trained here, normally, on the shipped images and
on scikit-learn's digits (unnormalized, as a table). With ``--data DIR`` (mnist_test.npz, trades_mnist.safetensors,
cifar10_test_2000.npz, cifar_cnn_a_mix.safetensors) also ``trades`` and ``cnn-a``. Rows of every call are counted inside
the model, padding included; ``useful`` leaves padding out. For l_1, which torchattacks lacks, the peer is the union of
APGD-CE and targeted APGD of adv-lib. Every verdict, peers' too, is recomputed from the returned points.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import _stand_ins
import numpy as np
import torch
from _counting import Counting
from _table import head
from torch import Tensor, nn

import maxslope as ms
from maxslope.data import default_data, default_network

Data = tuple[nn.Module, Tensor, Tensor]


@dataclass(frozen=True)
class Case:
    """A network, its images and a budget."""

    load: Callable[[Path], Data]
    norm: float
    eps: float
    box: tuple[float, float] = (0.0, 1.0)


def shipped(_: Path) -> Data:
    x, y = default_data()
    return default_network(), x, y


def fit(net: nn.Module, x: Tensor, y: Tensor, epochs: int) -> nn.Module:
    """Train normally, seeded."""
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(epoch))
        for part in order.split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[part]), y[part]).backward()
            optimizer.step()
    return net.eval().requires_grad_(False)


def trained(make: Callable[[], nn.Module]) -> Callable[[Path], Data]:
    """A network trained on 600 of the shipped images and evaluated on the other 400."""

    def load(_: Path) -> Data:
        x, y = default_data()
        torch.manual_seed(1)
        return fit(make(), x[:600], y[:600], 20), x[600:], y[600:]

    return load


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 10)
    )


def conv() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, 2), nn.ReLU(), nn.Conv2d(16, 32, 5, 2), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10)
    )


def digits(_: Path) -> Data:
    """Scikit-learn's digits as an unnormalized table with entries 0 to 16."""
    from sklearn.datasets import load_digits

    table = load_digits()
    x, y = torch.tensor(table.data).float(), torch.tensor(table.target)
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 10))
    return fit(net, x[:1200], y[:1200], 30), x[1200:], y[1200:]


def trades(folder: Path) -> Data:
    from safetensors.torch import load_file

    c = nn.Conv2d
    features = [c(1, 32, 3), nn.ReLU(), c(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2), c(32, 64, 3), nn.ReLU(), c(64, 64, 3)]
    head = [nn.Linear(1024, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 10)]
    net = nn.Sequential(*features, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), *head)
    names = dict(zip(("conv1", "conv2", "conv3", "conv4", "fc1", "fc2", "fc3"), (0, 2, 5, 7, 11, 13, 15), strict=True))
    stored = load_file(folder / "trades_mnist.safetensors")
    net.load_state_dict({f"{names[k.split('.')[1]]}.{k.split('.')[2]}": v for k, v in stored.items()})
    return net.eval().requires_grad_(False), *images(folder / "mnist_test.npz")


class Normalize(nn.Module):
    """(x - mean) / 0.225 by channel."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1)) / 0.225


def cnn_a(folder: Path) -> Data:
    from safetensors.torch import load_file

    net = nn.Sequential(
        nn.Conv2d(3, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(2048, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip
    net.load_state_dict(load_file(folder / "cifar_cnn_a_mix.safetensors"))
    x, y = images(folder / "cifar10_test_2000.npz")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))  # the file is sorted by class
    return nn.Sequential(Normalize(), net).eval().requires_grad_(False), x[order], y[order]


def images(path: Path) -> tuple[Tensor, Tensor]:
    with np.load(path) as stored:
        x, y = torch.tensor(stored["images"]).float() / 255, torch.tensor(stored["labels"]).long()
    return (x if x.ndim == 4 else x[:, None]), y


CASES = {
    "mnist-linf": Case(shipped, math.inf, 0.3),
    "mnist-l2": Case(shipped, 2, 2.0),
    "mnist-l1": Case(shipped, 1, 10.0),
    "gelu-mlp": Case(trained(mlp), math.inf, 0.06),
    "relu-conv": Case(trained(conv), math.inf, 0.1),
    "digits-tabular": Case(digits, math.inf, 2.0, (0.0, 16.0)),
    "trades": Case(trades, math.inf, 0.3),
    "cnn-a-2": Case(cnn_a, math.inf, 2 / 255),
    "cnn-a-4": Case(cnn_a, math.inf, 4 / 255),
    "cnn-a-8": Case(cnn_a, math.inf, 8 / 255),
    "cnn-a-l2": Case(cnn_a, 2, 0.25),
}


DEFAULT = ("mnist-linf", "gelu-mlp", "digits-tabular")


def peer(model: nn.Module, x: Tensor, y: Tensor, case: Case, seed: int) -> Tensor:
    """AutoAttack's points; boxes other than [0, 1] are scaled into it."""
    lo, hi = case.box
    eps = case.eps / (hi - lo)

    def scaled(z: Tensor) -> Tensor:
        out: Tensor = model(z * (hi - lo) + lo)
        return out

    inside = (x - lo) / (hi - lo)
    torch.manual_seed(seed)
    if case.norm == 1:
        from adv_lib.attacks import apgd, apgd_targeted

        points = inside
        for run in (apgd, apgd_targeted):
            standing = scaled(points).argmax(1) == y
            points = points.index_copy(
                0, standing.nonzero()[:, 0], run(scaled, inside[standing], y[standing], eps, norm=1)
            )
        return points * (hi - lo) + lo
    import torchattacks

    wrapped = Scaled(model, lo, hi).eval()
    norm = "Linf" if math.isinf(case.norm) else "L2"
    common = {"norm": norm, "eps": eps, "seed": seed, "verbose": False, "n_restarts": 1}
    # torchattacks.AutoAttack takes 10 steps; these are the 100 steps and 5,000 queries of the published suite.
    attack = torchattacks.MultiAttack(
        [
            torchattacks.APGD(wrapped, loss="ce", steps=100, **common),
            torchattacks.APGDT(wrapped, steps=100, n_classes=10, **common),
            torchattacks.FAB(wrapped, steps=100, multi_targeted=True, n_classes=10, **common),
            torchattacks.Square(wrapped, n_queries=5000, **common),
        ]
    )
    shape = inside.shape
    flat = inside.reshape(len(x), 1, 1, -1) if inside.ndim == 2 else inside
    wrapped.shape = shape[1:]
    return (
        torch.cat([attack(a, b) for a, b in zip(flat.split(250), y.split(250), strict=True)]).reshape(shape) * (hi - lo)
        + lo
    )


class Scaled(nn.Module):
    """The model on the unit box."""

    def __init__(self, model: nn.Module, lo: float, hi: float) -> None:
        super().__init__()
        self.model, self.lo, self.hi = model, lo, hi
        self.shape: torch.Size = torch.Size()

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.model(z.reshape(-1, *self.shape) * (self.hi - self.lo) + self.lo)
        return out


def verified(model: nn.Module, x: Tensor, y: Tensor, points: Tensor, case: Case) -> float:
    """Robust accuracy of points, counting only those inside ball and box."""
    inside = ms.Lp(case.norm).distance(x.double(), points.double()) <= case.eps * (1 + 1e-5) + 1e-6
    inside &= ((points >= case.box[0] - 1e-6) & (points <= case.box[1] + 1e-6)).flatten(1).all(1)
    right = torch.cat([model(p).argmax(1) for p in x.split(500)]) == y
    wrong = torch.cat([model(p).argmax(1) for p in points.split(500)]) != y
    return float((right & ~(wrong & inside)).float().mean())


def main(about: str | None = __doc__, samples: int = 500) -> None:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--case", nargs="+", choices=CASES, default=[name for name in CASES if name in DEFAULT] or [*CASES]
    )
    parser.add_argument("--samples", type=int, default=samples)
    parser.add_argument("--efforts", nargs="+", default=["quick", "standard"])
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--data", type=Path, default=Path("."))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    _stand_ins.install()
    head("case | samples | clean % | attack | robust % | backward | forward | executed backward / forward | seconds")
    for name in options.case:
        case = CASES[name]
        torch.manual_seed(options.seed)
        model, x, y = case.load(options.data)
        x, y = x[: options.samples], y[: options.samples]
        counting, n = Counting(model), len(x)
        clean = float((model(x).argmax(1) == y).float().mean())
        for level in options.efforts:
            counting.reset()
            start = time.perf_counter()
            effort = getattr(ms.Effort, level)()
            report = ms.evaluate(
                counting, (x, y), ms.Budget(ms.Lp(case.norm), case.eps, case.box), effort=effort, seed=options.seed
            )
            took = time.perf_counter() - start
            assert report.points is not None
            robust = verified(model, x, y, report.points, case)
            executed = f"{counting.backward_rows / n:.1f} / {counting.forward_rows / n:.1f}"
            useful = f"{report.backward_per_sample:.1f} | {report.forward_per_sample:.1f}"
            print(
                f"| {name} | {n} | {100 * clean:.2f} | maxslope {report.effort.name} | {100 * robust:.2f} | {useful} "
                f"| {executed} | {took:.1f} |",
                flush=True,
            )
        if not options.no_peer:
            counting.reset()
            start = time.perf_counter()
            points = peer(counting, x, y, case, options.seed)
            took = time.perf_counter() - start
            robust = verified(model, x, y, points, case)
            which = "adv-lib APGD-CE + APGD-T" if case.norm == 1 else "AutoAttack standard"
            executed = f"{counting.backward_rows / n:.1f} / {counting.forward_rows / n:.1f}"
            print(
                f"| {name} | {n} | {100 * clean:.2f} | {which} | {100 * robust:.2f} | {counting.backward_rows / n:.1f} "
                f"| {counting.forward_rows / n:.1f} | {executed} | {took:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
