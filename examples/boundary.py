"""What adversarial training does to a decision boundary: it moves it by curvature, and one can stop in time.

The reader learns how to follow the boundary between two classes of known densities, that its nonlocal perimeter falls
all the way while the robust risk falls and then rises, and where the best stop is: by the recorded flow, and beforehand
by a formula. One exact step of adversarial training, a minimum cut, is the judge.

    python examples/boundary.py FOLDER

Needs scikit-fmm, OR-Tools, scikit-image and matplotlib: pip install "maxslope[boundary,report]".
"""

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from maxslope.boundary import Densities, Grid, Lattice, Perimeter, evolve, first_rise, robust_classifier, stopping_time
from maxslope.boundary.window import Window
from maxslope.spaces import Lp

EPS = 0.18  # of the adversary


def wave(points: Tensor, side: float) -> Tensor:
    """Return the density of the class above a wave, or below it; both together are uniform on the square."""
    x, y = points.unbind(-1)
    return torch.sigmoid(side * 4 * (y - 0.3 * torch.sin(3 * x))) / 9


def main(folder: Path) -> None:
    """Follow the flow from the Bayes classifier, stop it, draw it."""
    folder.mkdir(parents=True, exist_ok=True)
    grid = Grid((120, 120), -1.5, 1.5)
    densities = Densities(wave(grid.points(), -1.0), wave(grid.points(), 1.0))
    expected = stopping_time(grid, densities, EPS)
    curve = evolve(densities.bayes, grid, densities, until=3 * expected)
    perimeter = Perimeter(grid, densities, EPS)
    stopped = first_rise(curve, perimeter)
    trained = robust_classifier(Lattice(grid, densities, Window(EPS / grid.h, Lp(2), 2)))

    moved = trained != (densities.bayes > 0)  # cells that adversarial training gives another label
    flowed = (stopped.sd > 0) != (densities.bayes > 0)
    print(f"The perimeter falls from {float(curve.energy[0, 0]):.3f} to {float(curve.energy[-1, 0]):.3f}.")
    print(f"The robust risk falls from {float(stopped.robust_risk[0]):.4f} to {float(stopped.robust_risk.min()):.4f}, "
          f"then rises to {float(stopped.robust_risk[-1]):.4f}.")  # fmt: skip
    print(f"The best stop was at time {stopped.time:.4f}; the formula had said {expected:.4f}.")
    print(f"One step of adversarial training relabels {int(moved.sum())} cells, the stopped flow {int(flowed.sum())}; "
          f"{int((moved & flowed).sum())} of them are the same.")  # fmt: skip

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    x, y = grid.points().unbind(-1)
    sets = (
        ("Bayes classifier", curve.points[0, 0], "-"),
        ("stopped", stopped.sd, "-"),
        ("followed on", curve.points[-1, 0], ":"),
        ("adversarial training", trained.double() - 0.5, "--"),
    )
    for k, (name, levels, style) in enumerate(sets):
        left.contour(x, y, levels, levels=[0], colors=f"C{k}", linestyles=style)
        left.plot([], [], style, color=f"C{k}", label=name)
    left.set_aspect("equal")
    left.legend(fontsize=7, loc="lower left")
    right.plot(curve.time[:, 0], stopped.robust_risk, label="robust risk")
    right.axvline(expected, color="0.5", linestyle=":", label="expected stop")
    right.set_xlabel("time")
    right.legend(fontsize=7)
    figure.savefig(folder / "boundary.png", dpi=130)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
