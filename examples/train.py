"""Train a robust classifier, and measure what it gained and what it cost.

The reader learns that adversarial training is `fit` with an objective, how a held-out set chooses the weights, that the
result is judged by an attack stronger than the one trained against, and how the same objective is one line in a loop of
one's own.

    python examples/train.py FOLDER

Needs scikit-learn and safetensors: pip install "maxslope[examples]". Data: scikit-learn's 8 x 8 digits.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn

import maxslope as ms
from maxslope.training import Check, Plan

BUDGET = ms.Linf(0.15)


def network() -> nn.Module:
    """Return a small convolutional network with the same weights each time."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return Adam at a rate for few epochs; the default schedule goes up to it and down again."""
    return torch.optim.Adam(parameters, lr=5e-3)


def main(folder: Path) -> None:
    """Train plainly and robustly, judge both, save the better one."""
    folder.mkdir(parents=True, exist_ok=True)
    data = load_digits()
    x, y = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16, torch.tensor(data.target)
    seen, held, test = ((x[part], y[part]) for part in (slice(1300), slice(1300, 1450), slice(1450, None)))

    print("training      clean   robust  inner gradients a sample")
    for name, objective in (
        ("plain", ms.AdversarialRisk(ms.Linf(0.0))),  # an adversary who may do nothing, at the same cost
        ("adversarial", ms.AdversarialRisk(BUDGET)),
        ("TRADES", ms.Trades(BUDGET)),
    ):
        short = ms.Effort.quick().limited(20)  # enough to choose; the weights of the best check are handed back
        check = Check(*held, BUDGET, effort=short, every=5)
        fitted = ms.fit(network(), seen, objective, Plan(epochs=15, optimizer=adam), check=check)
        report = ms.evaluate(fitted.network, test, BUDGET, effort=ms.Effort.quick(), probe=False)
        spent = objective.spent["backward"] / objective.spent["samples"]
        print(f"{name:<12}  {report.clean_accuracy:6.1%}  {report.robust_accuracy:6.1%}  {spent:.1f}")
        save_file(fitted.network.state_dict(), folder / f"{name}.safetensors")

    # In a loop of your own the objective is a loss like any other.
    model, objective = network().train(), ms.AdversarialRisk(BUDGET)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for rows in torch.arange(400).split(100):
        optimizer.zero_grad()
        loss = objective(model, seen[0][rows], seen[1][rows], ids=rows)
        loss.backward()
        optimizer.step()
    print(f"Four steps in a loop of one's own: the adversarial risk is {loss.item():.2f}.")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
