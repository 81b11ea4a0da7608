"""A table with mixed constraints: units, ranges, values that cannot change, and a budget for each row.

The reader learns how to say what an adversary may do to a row of a table: `Weighted` measures each column in its own
unit, the box gives each column its range, the mask holds fixed what nobody can change, and eps may differ by row. The
l_1 norm then asks for few changes, and says which columns a decision hangs on.

    python examples/tabular.py FOLDER

Needs scikit-learn: pip install "maxslope[examples]". Data: the 442 patients of scikit-learn's diabetes table, in their
units (age, sex, body mass index, blood pressure, six blood values); the question is whether the disease progresses
faster than the median a year later.
"""

import csv
import math
import sys
from pathlib import Path

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn

import maxslope as ms

COLUMNS = ["age", "sex", "bmi", "bp", "tc", "ldl", "hdl", "tch", "ltg", "glu"]


class Standardized(nn.Module):
    """Units belong inside the model: inputs are what the table says."""

    def __init__(self, x: Tensor) -> None:
        nn.Module.__init__(self)
        self.register_buffer("mean", x.mean(0))
        self.register_buffer("std", x.std(0))
        self.net = nn.Sequential(nn.Linear(x.shape[1], 24), nn.GELU(), nn.Linear(24, 2))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (slow, fast) of rows ``[rows, 10]``."""
        return self.net((x - self.mean) / self.std)


def trained(x: Tensor, y: Tensor) -> nn.Module:
    """Fit a small network, with weight decay against so few rows."""
    torch.manual_seed(0)
    model = Standardized(x)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.5)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.eval()


def main(folder: Path) -> None:
    """Train, attack under the constraints, and count which columns move."""
    folder.mkdir(parents=True, exist_ok=True)
    data = load_diabetes(scaled=False)
    x = torch.tensor(data.data, dtype=torch.float32)
    y = (torch.tensor(data.target) > 140.5).long()
    model = trained(x[:300], y[:300])
    x, y = x[300:], y[300:]

    spread = x.std(0)
    units = ms.Weighted(ms.Lp(math.inf), 1 / spread)  # every column in its own standard deviations
    box = (x.amin(0) - 0.5 * spread, x.amax(0) + 0.5 * spread)  # no value beyond what patients have
    fixed = torch.tensor([name in ("age", "sex") for name in COLUMNS])
    eps = torch.where(x[:, 0] > 60, 0.15, 0.1)  # the values of older patients are less certain
    found = ms.attack(model, x, y, ms.Budget(units, eps, box), mask=~fixed, effort=ms.Effort.quick(), probe=True)
    right = model(x).argmax(1) == y
    assert not bool((found.points != x)[:, fixed].any())
    for indicator in found.findings.indicators if found.findings else ():
        print(f"indicator: {indicator.sentence}")
    print(f"{int(right.sum())} of {len(x)} patients are classified correctly.")
    print(f"{int((right & found.broken).sum())} of them no longer, where every value but age and sex may be off by 0.1 "
          "standard deviations (0.15 from 60 years on).")  # fmt: skip

    few = ms.Weighted(ms.Lp(1), 1 / spread)
    nearest = ms.minimal(model, x[right], y[right], few, box=box, mask=~fixed, effort=ms.Effort(passes=60))
    moved = (nearest.points - x[right]).abs() / spread > 1e-3
    print(f"With one deviation to spend over all columns, {nearest.robust_accuracy_at(1.0):.0%} of them stand.")
    print(f"A smallest change moves {float(moved.sum(1).float().median()):.0f} column(s), in the median.")
    print("Columns that move:", ", ".join(f"{n} {int(k)}" for n, k in zip(COLUMNS, moved.sum(0), strict=True) if k))
    with (folder / "smallest-changes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["deviations", *COLUMNS])
        for size, change in zip(nearest.norms.tolist(), (nearest.points - x[right]).tolist(), strict=True):
            writer.writerow([f"{size:.4f}", *(f"{value:.4g}" for value in change)])


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
