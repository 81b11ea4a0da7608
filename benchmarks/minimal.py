"""Smallest perturbations beside adv-lib's FMN, DDN, ALMA, PDPGD, SuperDeepFool and foolbox's Brendel-Bethge.

    python benchmarks/minimal.py [--case shipped gelu-mlp relu-conv digits] [--norms inf 2 1] [--samples 192]
        [--passes 33 100] [--peer-passes 100] [--no-bethge] [--data DIR]

Without ``--data``: the shipped network, two trained here on 600 of the shipped images, one on scikit-learn's digits
scaled to [0, 1]. With ``--data DIR`` (the files that benchmarks/strength.py names) also ``trades`` and ``cnn-a``.
Passes are rows counted inside the model, padding included, over all samples. A peer that comes in several settings is
run in each, and only its best (by its own median on these very samples) is printed: that choice favors peers, for
maxslope has none. Every norm, peers' too, is recomputed from the returned points; a point that is no error or leaves
the box counts as inf, a sample misclassified from the start as 0. Brendel-Bethge needs numba; its forward passes
include the search for its starting points, and where that fails on one image the whole attack does ("failed").
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import _stand_ins
import numpy as np
import strength
import torch
from _counting import Counting
from _table import head, row
from torch import Tensor, nn

from maxslope.attacks.effort import Effort
from maxslope.attacks.minimal import minimal
from maxslope.spaces import Lp

Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]
Outcome = tuple[Tensor, float, float, float]  # norms, forward and backward rows a sample, seconds


def digits(_: Path) -> strength.Data:
    """Scikit-learn's digits as a table with entries in [0, 1], as peers want it."""
    model, x, y = strength.digits(_)
    return _Times16(model).eval(), x / 16, y


class _Times16(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x * 16)
        return out


CASES: dict[str, Callable[[Path], strength.Data]] = {
    "shipped": strength.shipped,
    "gelu-mlp": strength.trained(strength.mlp),
    "relu-conv": strength.trained(strength.conv),
    "digits": digits,
    "trades": strength.trades,
    "cnn-a": strength.cnn_a,
}


def peers(p: float, passes: int, bethge: bool, seed: int) -> Iterator[tuple[str, list[tuple[str, Attack]]]]:
    """Every peer that knows the norm, in its settings; `passes` gradients each (SuperDeepFool ends by itself)."""
    from adv_lib.attacks import alma, ddn, fmn, pdpgd, sdf

    def fast(alpha: float) -> Attack:
        return lambda m, x, y: fmn(m, x, y, norm=p, steps=passes, α_init=alpha)

    def primal_dual(rate: float) -> Attack:
        return lambda m, x, y: pdpgd(m, x, y, norm=p, num_steps=passes, primal_lr=rate)

    def lagrangian(distance: float) -> Attack:
        memory = 0.5 if passes < 500 else 0.9  # as its authors have it
        return lambda m, x, y: alma(m, x, y, distance=f"l{p:g}", num_steps=passes, init_lr_distance=distance, α=memory)

    yield "FMN", [(f"alpha {a:g}", fast(a)) for a in (0.1, 1.0, 10.0)]
    yield "PDPGD", [(f"lr {r:g}", primal_dual(r)) for r in (0.1, 0.01)]
    if p == 2:
        yield "DDN", [("", lambda m, x, y: ddn(m, x, y, steps=passes, levels=None))]
        yield "SuperDeepFool", [("", lambda m, x, y: sdf(m, x, y, steps=passes))]
    if p in (1, 2):
        yield "ALMA", [(f"distance {d:g}", lagrangian(d)) for d in ((0.1, 1.0) if p == 2 else (1.0, 10.0))]
    if bethge:
        yield "Brendel-Bethge", [(f"lr {r:g}", brendel_bethge(p, passes, r, seed)) for r in (1e-3, 1e-2)]


def brendel_bethge(p: float, passes: int, rate: float, seed: int) -> Attack:
    """Foolbox's, on the samples that are classified rightly."""

    def run(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        import foolbox
        from foolbox import attacks

        kinds = {1: attacks.L1BrendelBethgeAttack, 2: attacks.L2BrendelBethgeAttack}
        kind = kinds.get(p, attacks.LinfinityBrendelBethgeAttack)
        np.random.seed(seed)
        right = model(x).argmax(1) == y
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
        goal = foolbox.criteria.Misclassification(y[right])
        points, _, _ = kind(steps=passes, lr=rate)(wrapped, x[right], goal, epsilons=None)
        return x.index_copy(0, right.nonzero()[:, 0], points)

    return run


def norms_of(model: nn.Module, x: Tensor, y: Tensor, points: Tensor, p: float) -> Tensor:
    """The norms of the points that are errors inside the box, inf elsewhere, 0 where the clean point is one."""
    with torch.no_grad():
        clean, wrong = model(x).argmax(1) != y, model(points).argmax(1) != y
    inside = ((points >= -1e-6) & (points <= 1 + 1e-6)).flatten(1).all(1)
    size = Lp(p).distance(x.double(), points.double())
    return torch.where(wrong & inside, size, torch.inf).masked_fill(clean, 0.0)


def measure(model: Counting, x: Tensor, y: Tensor, p: float, attack: Attack, seed: int) -> Outcome:
    """Norms, forward and backward rows a sample, and seconds."""
    torch.manual_seed(seed)
    model.reset()
    start = time.perf_counter()
    points = attack(model, x.clone(), y).detach()
    took = time.perf_counter() - start
    counts = model.forward_rows / len(x), model.backward_rows / len(x)
    return norms_of(model.model, x, y, points, p), *counts, took


def ours(p: float, passes: int, seed: int) -> Attack:
    return lambda m, x, y: minimal(m, x, y, Lp(p), effort=Effort(passes=passes), seed=seed).points


def line(case: str, p: float, name: str, result: Outcome) -> str:
    size, forward, backward, took = result
    found = size[size.isfinite()]
    cells = [case, f"{p:g}", name, f"{size.median():.4g}", f"{found.mean():.4g}", f"{100 * len(found) / len(size):.1f}"]
    return "| " + " | ".join([*cells, f"{forward:.0f}", f"{backward:.0f}", f"{took:.1f}"]) + " |"


def compare(case: str, data: strength.Data, p: float, options: argparse.Namespace) -> None:
    model, x, y = data
    x, y = x[: options.samples], y[: options.samples]
    counting, seed = Counting(model), options.seed
    for passes in options.passes:
        print(line(case, p, f"maxslope {passes}", measure(counting, x, y, p, ours(p, passes, seed), seed)), flush=True)
    for passes in options.peer_passes:
        for name, settings in peers(p, passes, options.bethge, seed):
            outcomes = []
            for setting, attack in settings:
                try:
                    outcomes.append((setting, measure(counting, x, y, p, attack, seed)))
                except Exception as error:  # a peer that fails is reported, not fatal
                    failure = f"{type(error).__name__}: {error}".split("\n")[0][:60]
            if not outcomes:
                row(case, f"{p:g}", f"{name} {passes}", f"failed ({failure})", *[""] * 5)
                continue
            setting, best = min(outcomes, key=lambda o: (float(o[1][0].median()), -int(o[1][0].isfinite().sum())))
            print(line(case, p, f"{name} {passes} {setting}".strip(), best), flush=True)


def versions() -> str:
    names = ("maxslope", "torch", "adv-lib", "foolbox", "numba")
    found = []
    for name in names:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} from source" if name == "maxslope" else f"no {name}")
    return ", ".join([f"Python {platform.python_version()}", *found])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=CASES)
    parser.add_argument("--norms", nargs="+", type=float, default=[math.inf, 2.0, 1.0])
    parser.add_argument("--samples", type=int, default=192)
    parser.add_argument("--passes", nargs="+", type=int, default=[33, 100])
    parser.add_argument("--peer-passes", nargs="+", type=int, default=[100])
    parser.add_argument("--no-bethge", dest="bethge", action="store_false")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    _stand_ins.install()
    standard = [case for case in CASES if options.data or case not in ("trades", "cnn-a")]
    print(f"{versions()}; {options.samples} samples, seed {options.seed}, {options.threads} thread(s).\n")
    head("network | p | attack | median norm | mean norm of found | success % | forward | backward | seconds")
    for case in options.case or standard:
        torch.manual_seed(options.seed)
        data = CASES[case](options.data or Path("."))
        for p in options.norms:
            compare(case, data, int(p) if p in (1, 2) else p, options)


if __name__ == "__main__":
    main()
