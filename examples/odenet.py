"""A residual network as a flow of particles: train it, ask where its training goes, and attack it.

The reader learns that the mean-field network trains by the same loop as everything else, that the flow says when it has
converged (an exponent with its interval, or an honest "too early to say"), and that a robust version is one argument.

    python examples/odenet.py FOLDER

Needs scikit-learn: pip install "maxslope[flows]". Data: two noisy moons.
"""

import sys
import warnings
from pathlib import Path

import torch
from sklearn.datasets import make_moons
from sklearn.exceptions import ConvergenceWarning

import maxslope as ms
from maxslope.odenet import Design, OdeNetClassifier, Risk, Squared, Until, descend, iid, verdict

BUDGET = ms.L2(0.2, box=None)


def main(folder: Path) -> None:
    """Fit plainly and robustly, attack both; then follow a small flow to its end."""
    folder.mkdir(parents=True, exist_ok=True)
    x, y = make_moons(300, noise=0.1, random_state=0)
    points, labels = torch.tensor(x[150:]), torch.tensor(y[150:])
    warnings.simplefilter("ignore", ConvergenceWarning)  # 150 gradients tell the two apart; the flows would go on
    for name, budget in (("plain", None), ("robust", BUDGET)):
        model = OdeNetClassifier(layers=4, particles=16, gradients=150, budget=budget).fit(x[:150], y[:150])
        report = ms.evaluate(model.network_, (points, labels), BUDGET, effort=ms.Effort.quick())
        print(f"{name}: {report.clean_accuracy:.1%} clean, {report.robust_accuracy:.1%} within {report.budget}, "
              f"energy {float(model.run_.energy[-1]):.4f} after {model.run_.gradients} gradients")  # fmt: skip
        torch.save(model.network_.state_dict(), folder / f"{name}.pt")

    # A problem small enough to be followed to the end: four samples, ridge penalty.
    torch.manual_seed(0)
    inputs = torch.linspace(-1, 1, 4, dtype=torch.float64)[:, None]
    design = Design(2, 1, 1)
    risk = Risk(design, inputs, inputs.sin(), Squared(), penalty=0.1)
    (run,) = descend(risk, iid(design, 3, 4), until=Until(slope=1e-7, gradients=4000))
    found = verdict(run)
    print(found.fate.value)
    print("\n".join(found.reasons))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
