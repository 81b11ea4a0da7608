"""Wall time of 40-step PGD over the time of the same forward and backward passes, beside four peers.

    python benchmarks/overhead.py [--repeats 7] [--threads 1] [--steps 40] [--networks ...] [--cpu]

Needs foolbox, torchattacks, adversarial-robustness-toolbox and adv-lib (the last three without their dependencies
beyond torch and numpy). Nothing breaks, so that every attack makes every pass: the shipped network is attacked at l_inf
0.1 and l_2 0.5 on images that withstand it, the larger one, whose weights are random, at 1e-4. In each repeat every
attack is timed right after bare passes of the same shape, and the ratio of that pair is kept; the table shows medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import _stand_ins
import torch
from _networks import resnet18
from _table import head
from torch import Tensor, nn

import maxslope as ms
from maxslope.attacks.starts import Clean
from maxslope.data import default_data, default_network

Run = Callable[[], object]


def bare(model: nn.Module, x: Tensor, y: Tensor, steps: int, forward: int) -> Run:
    """``steps`` forward and backward passes and ``forward`` more forward passes."""

    def run() -> None:
        for _ in range(steps):
            z = x.detach().requires_grad_(True)
            torch.autograd.grad(nn.functional.cross_entropy(model(z), y, reduction="sum"), z)
        with torch.no_grad():
            for _ in range(forward):
                model(x)

    return run


def ours(model: nn.Module, x: Tensor, y: Tensor, budget: ms.Budget, steps: int) -> Run:
    recipe = ms.recipes.pgd(steps, 0.02, start=Clean())
    return lambda: ms.attack(model, x, y, budget, recipe=recipe, batch_size=len(x), certify=False)


def peers(model: nn.Module, x: Tensor, y: Tensor, norm: str, eps: float, steps: int) -> dict[str, Run]:
    import foolbox
    import torchattacks
    from adv_lib.attacks import pgd_linf
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier

    step = 0.02 * eps
    fool = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    attack = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}[norm](
        abs_stepsize=step, steps=steps, random_start=False
    )
    runs: dict[str, Run] = {"foolbox": lambda: attack(fool, x, y, epsilons=eps)}
    if norm == "linf":
        ta = torchattacks.PGD(model, eps=eps, alpha=step, steps=steps, random_start=False)
        runs["adv-lib"] = lambda: pgd_linf(model, x, y, eps, steps=steps, random_init=False, absolute_step_size=step)
    else:
        ta = torchattacks.PGDL2(model, eps=eps, alpha=step, steps=steps, random_start=False)
    runs["torchattacks"] = lambda: ta(x, y)
    wrapped = PyTorchClassifier(
        model, nn.CrossEntropyLoss(), tuple(x.shape[1:]), 10, clip_values=(0.0, 1.0), device_type="cpu"
    )
    art = ProjectedGradientDescentPyTorch(
        wrapped,
        norm={"linf": "inf", "l2": 2}[norm],
        eps=eps,
        eps_step=step,
        max_iter=steps,
        batch_size=len(x),
        verbose=False,
    )
    images, labels = x.numpy(), y.numpy()
    runs["ART"] = lambda: art.generate(images, labels)
    return runs


def standing(model: nn.Module) -> Tensor:
    """64 images that withstand both radii."""
    x, y = default_data()
    x, y = x[:128], y[:128]
    broken = [ms.attack(model, x, y, b, effort=ms.Effort.quick()).broken for b in (ms.Linf(0.1), ms.L2(0.5))]
    return x[~(broken[0] | broken[1])][:64]


def calls(model: nn.Module, run: Run) -> tuple[int, int]:
    """Forward passes with and without gradient that one run makes."""
    with_gradient = without = 0

    def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        nonlocal with_gradient, without
        with_gradient += args[0].requires_grad
        without += not args[0].requires_grad

    first = next(m for m in model.modules() if not list(m.children()))  # ART calls layers, not the module
    handle = first.register_forward_pre_hook(hook)
    run()
    handle.remove()
    return with_gradient, without


def seconds(run: Run, clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--networks", nargs="+", choices=("shipped", "resnet18"), default=["shipped", "resnet18"])
    parser.add_argument("--cpu", action="store_true", help="CPU time of one thread, for a machine that is shared")
    options = parser.parse_args()
    clock = time.process_time if options.cpu else time.perf_counter
    torch.set_num_threads(options.threads)
    _stand_ins.install()
    torch.manual_seed(0)
    cases = [
        ("shipped MNIST network", default_network(), standing(default_network()), (0.1, 0.5), options.repeats),
        ("ResNet-18, 32 x 32", resnet18(), torch.rand(8, 3, 32, 32), (1e-4, 1e-4), max(3, options.repeats // 2)),
    ]
    print(f"torch {torch.__version__}, {options.threads} threads, {options.steps} steps, medians of paired ratios\n")
    head("network | batch | norm | attack | passes (with / without gradient) | time over bare passes | range")
    wanted = [case for case, key in zip(cases, ("shipped", "resnet18"), strict=True) if key in options.networks]
    for name, model, images, radii, repeats in wanted:
        labels = model(images).argmax(1)
        for norm, budget in (("linf", ms.Linf(radii[0])), ("l2", ms.L2(radii[1]))):
            runs = {"maxslope": ours(model, images, labels, budget, options.steps)}
            runs |= peers(model, images, labels, norm, float(budget.eps), options.steps)
            counts = {k: calls(model, run) for k, run in runs.items()}
            ratios: dict[str, list[float]] = {k: [] for k in runs}
            for _ in range(repeats):
                for k, run in runs.items():
                    plain = bare(model, images, labels, *counts[k])
                    before, own, after = (seconds(f, clock) for f in (plain, run, plain))
                    ratios[k].append(own / ((before + after) / 2))
            for k, r in ratios.items():
                passes = f"{counts[k][0]} / {counts[k][1]}"
                span = f"{min(r):.3f} to {max(r):.3f}"
                print(
                    f"| {name} | {len(images)} | {norm} | {k} | {passes} | {statistics.median(r):.3f} | {span} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
