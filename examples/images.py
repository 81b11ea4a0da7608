"""An image classifier: from a first verdict to a page that shows the evidence.

The reader learns the three calls that most questions need: `evaluate` for robust accuracy under one budget, `minimal`
for every budget at once, and `page` for a file to hand to somebody else; and which numbers to look at in each.

    python examples/images.py FOLDER

Uses the small robust network and the held-out MNIST images that ship with the package:
pip install "maxslope[demo,report]".
"""

import sys
from pathlib import Path

import maxslope as ms
from maxslope.data import default_data, default_network
from maxslope.report import page


def main(folder: Path) -> None:
    """Evaluate, look at the evidence, write the page."""
    folder.mkdir(parents=True, exist_ok=True)
    model = default_network()
    x, y = (part[:100] for part in default_data())
    budget = ms.Linf(0.3)

    report = ms.evaluate(model, (x, y), budget, effort=ms.Effort.quick())
    print(report)

    # What stands beside a verdict: how far the nearest class was at the worst point, and whether more was promised.
    robust = [k for k, verdict in enumerate(report.table["verdict"]) if verdict == "robust"]
    nearest = min(robust, key=lambda k: report.table["margin"][k])
    print(f"Closest to an error among the robust: sample {nearest}, margin {report.table['margin'][nearest]:.3f}, to "
          f"first order no allowed point lowers it by more than {report.table['gap'][nearest]:.3f}.")  # fmt: skip

    smallest = ms.minimal(model, x, y, ms.Lp(float("inf")), effort=ms.Effort.quick())
    curve = smallest.security_curve([0.1, 0.2, 0.3, 0.4])
    print("Robust accuracy at 0.1, 0.2, 0.3, 0.4:", ", ".join(f"{value:.0%}" for value in curve.tolist()))
    print("Both are upper bounds: at 0.3 the smaller one counts.")

    shown = page(report, model=model, data=(x, y), budget=budget, smallest=smallest, title="The shipped network")
    print("Page:", shown.save(folder / "report.html"))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
