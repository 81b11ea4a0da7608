"""A training that torchrun starts in two processes: python _two.py OUT; and what an adversary finds."""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

import maxslope as ms
from maxslope.training import (
    AdversarialRisk,
    Check,
    Checkpoint,
    Guard,
    Inner,
    Objective,
    Perturbed,
    Plan,
    Pointwise,
    Ramp,
    fit,
    processes,
)


def data() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    x = torch.rand(100, 5, generator=g, dtype=torch.float64)
    return x, (x[:, 0] + x[:, 1] > 1).long() + (x[:, 2] > 0.7).long()


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 12), nn.GELU(), nn.Linear(12, 3)).double()


def train(model: nn.Module, path: Path | None = None, seed: int = 0, **more):  # type: ignore[no-untyped-def]
    """50 steps: warm starts, steps that adapt, a curriculum, a guard, checks."""
    x, y = data()
    objective = AdversarialRisk(
        Pointwise(ms.Linf(0.1), Inner(steps=2, tolerance=1e-3, adapt=True)),
        ramp=Ramp(20),
        guard=Guard(every=5),
        seed=seed,
    )
    effort = ms.Effort((ms.recipes.pgd(3),))
    check = Check(x[:21], y[:21], ms.Linf(0.1), effort=effort)
    keep = None if path is None else Checkpoint(path, every=more.pop("every", None))
    return fit(model, (x, y), objective, Plan(epochs=5, batch_size=10), check=check, checkpoint=keep, seed=seed, **more)


def found_by(objective: Objective, *asked: Any, **more: Any) -> Perturbed:
    """What the adversary of an objective finds in one call of it."""
    found: list[Perturbed] = []
    find = objective.inside.find
    objective.inside.find = lambda *a: found.append(find(*a)) or found[-1]  # type: ignore[method-assign]
    objective(*asked, **more)
    objective.inside.find = find  # type: ignore[method-assign]
    return found[0]


def main() -> None:
    torch.set_num_threads(1)
    with processes() as here:
        model = net()
        fitted = train(model)
        if here.rank == 0:
            torch.save({"weights": model.state_dict(), "history": fitted.history, "size": here.size}, sys.argv[1])


if __name__ == "__main__":
    main()
    os._exit(0)  # threads of gloo outlive their group, and now and then abort an interpreter that ends
