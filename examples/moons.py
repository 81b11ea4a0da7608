"""The figures of the paper on adversarial flows, at a size for a coffee break.

The reader learns how the explicit scheme (iterated FGSM) and the minimizing movement follow the same curve: their
difference falls with the step size, at order one on a smooth network (arXiv:2406.05376, section 5).

    python examples/moons.py FOLDER

Needs scikit-learn, scipy, matplotlib and POT: pip install "maxslope[flows]". The full size, with other norms, rates,
networks, distributions and MNIST, is `maxslope flow moons`.
"""

import sys
from pathlib import Path

import torch

from maxslope.figures.moons import draw_differences, draw_trajectories
from maxslope.studies.moons import differences, steps, train


def main(folder: Path) -> None:
    """Train on two moons, draw curves over level sets, measure the difference at six step sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    network = train(torch.nn.GELU)
    draw_trajectories({"GELU": network}, folder / "trajectories")
    found = differences(network, 20, steps(count=6))
    draw_differences({"GELU": found}, folder / "differences")
    print("tau         difference of the two schemes, mean over 20 initial values")
    for tau, mean in zip(found.taus, found.largest.mean(1).tolist(), strict=True):
        print(f"{tau:<10.5f}  {mean:.4f}")
    print(f"Figures: {folder / 'trajectories.svg'}, {folder / 'differences.svg'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
