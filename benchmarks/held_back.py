"""Four networks that had no part in any choice of the attacks, beside AutoAttack: `strength.py` on them.

    python benchmarks/held_back.py --data DIR [--case held-bn ...] [--samples 200] [--efforts quick standard]

``--data DIR`` holds mnist_test.npz. Each network is trained here, seeded, on 6,000 of its images, and attacked on
others with the budget it was trained for: two in l_inf (one with batch normalization and SiLU, one with pooling and
leaky ReLUs), one in l_2 (ELU), and a deeper residual one trained normally.
"""

from __future__ import annotations

import math

import strength
from remains import halves, hardened
from strength import Case
from torch import Tensor, nn

import maxslope as ms


def normalized() -> nn.Module:
    steps = []
    for before, after, stride in ((1, 12, 2), (12, 24, 2), (24, 24, 1)):
        steps += [nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.SiLU()]
    return nn.Sequential(*steps, nn.Flatten(), nn.Linear(24 * 49, 10))


def pooled() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, 1, 1), nn.LeakyReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, 1, 1), nn.LeakyReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 49, 64), nn.LeakyReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def smooth() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 12, 5, 2, 2), nn.ELU(), nn.Conv2d(12, 24, 5, 2, 2), nn.ELU(), nn.Flatten(),
        nn.Linear(24 * 49, 100), nn.ELU(), nn.Linear(100, 10),
    )  # fmt: skip


class Residual(nn.Module):
    """x + convolutions of x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        c = channels
        self.inside = nn.Sequential(nn.Conv2d(c, c, 3, 1, 1), nn.GELU(), nn.Conv2d(c, c, 3, 1, 1), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.inside(x)
        return out


def deep() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 12, 5, 2, 2), Residual(12), nn.Conv2d(12, 24, 3, 2, 1), Residual(24), Residual(24), Residual(24),
        nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(24 * 9, 10),
    )  # fmt: skip


CASES = {
    "held-bn": Case(hardened(halves, normalized, ms.Linf(0.2), 7), math.inf, 0.2),
    "held-pool": Case(hardened(halves, pooled, ms.Linf(0.1), 7), math.inf, 0.1),
    "held-l2": Case(hardened(halves, smooth, ms.L2(1.5), 7), 2, 1.5),
    "held-deep": Case(hardened(halves, deep, ms.Linf(0.05), 0, 10), math.inf, 0.05),
}

if __name__ == "__main__":
    strength.CASES.clear()
    strength.CASES.update(CASES)
    strength.main(__doc__, samples=200)
