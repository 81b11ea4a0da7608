"""What descents over kinks, and exact search between good points, add to an effort.

    python benchmarks/kinks.py --data DIR [--part budgets hard] [--efforts quick] [--samples 300]

``budgets``: an effort without and with its stages ``Bundle`` (and ``Patterns``) on the first samples, in three norms:
how many fall, backward passes a sample, how many of those that nearly fell are known to be local minima. ``hard``:
efforts as they are, with probes, on the 20 samples of ``mnist_small_adv_hard.json`` that have an error which gradients
hardly find. DIR holds mnist_test.npz, mnist_small_adv.safetensors and mnist_small_adv_hard.json.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import maxslope as ms
from maxslope.attacks.stages import Bundle, Patterns

BUDGETS = (ms.Linf(0.3), ms.L2(2.0), ms.L1(12.0))


def small(folder: Path) -> tuple[nn.Module, Tensor, Tensor]:
    """The network and the images."""
    from safetensors.torch import load_file

    net = nn.Sequential(
        nn.Conv2d(1, 4, 5, 2, 2), nn.ReLU(), nn.Conv2d(4, 8, 5, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(392, 128),
        nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip
    net.load_state_dict(load_file(folder / "mnist_small_adv.safetensors"))
    stored = np.load(folder / "mnist_test.npz")
    x = torch.tensor(stored["images"]).float()[:, None] / 255
    return net.eval().requires_grad_(False), x, torch.tensor(stored["labels"]).long()


def without(effort: ms.Effort) -> ms.Effort:
    """The effort without what this file is about."""
    return replace(effort, stages=tuple(s for s in effort.stages if not isinstance(s, Bundle | Patterns)))


def main() -> None:
    """Print one line per effort and budget."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path, required=True)
    ask.add_argument("--part", nargs="+", default=["budgets", "hard"], choices=["budgets", "hard"])
    ask.add_argument("--efforts", nargs="+", default=["quick"], choices=["quick", "standard", "exhaustive"])
    ask.add_argument("--samples", type=int, default=300)
    asked = ask.parse_args()
    net, x, y = small(asked.data)
    hard = torch.tensor(json.loads((asked.data / "mnist_small_adv_hard.json").read_text())["unsafe"])
    cases = [(b, torch.arange(asked.samples), False) for b in BUDGETS] if "budgets" in asked.part else []
    cases += [(BUDGETS[0], hard, True)] if "hard" in asked.part else []
    for name in asked.efforts:
        effort = getattr(ms.Effort, name)()
        for budget, at, probe in cases:
            for how, own in (("without", without(effort)), ("with", effort)):
                began, cpu = time.perf_counter(), time.process_time()
                found = ms.attack(net, x[at], y[at], budget, effort=own, ids=at, probe=probe)
                known = found.local_gap.isfinite() & ~found.broken
                minima = f"{int(found.local_minimum[known].sum())} of {int(known.sum())}"
                print(
                    f"| {budget} | {len(at)} | {name}, {how} | {int(found.broken.sum())} | "
                    f"{float(found.backward.float().mean()):.1f} | {minima} | "
                    f"{time.perf_counter() - began:.0f} s, {time.process_time() - cpu:.0f} s of processor |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
