"""Your own model: what to wrap before the first call, and what the checks say when it was forgotten.

The reader learns the two rules for a model: it maps inputs in the box to logits, so normalization belongs inside; and
it is in evaluation mode. Each rule is broken once here, to show the message.

    python examples/own_model.py FOLDER

Trains a small network on scikit-learn's 8 x 8 digits, as a stand-in for yours: pip install "maxslope[examples]".
"""

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import maxslope as ms


class Normalized(nn.Module):
    """Normalization inside the model, so that eps and box are in the units of the images."""

    def __init__(self, net: nn.Module, mean: float, std: float) -> None:
        nn.Module.__init__(self)
        self.net, self.mean, self.std = net, mean, std

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images in [0, 1]."""
        return self.net((x - self.mean) / self.std)


def trained(x: Tensor, y: Tensor) -> nn.Module:
    """Train what stands in for your model; it is left in training mode, as after any training."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(15):
        for part in torch.randperm(len(x)).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net((x[part] - 0.3) / 0.35), y[part]).backward()
            optimizer.step()
    return net


def refused(what: str, model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Show what the checks say."""
    try:
        ms.evaluate(model, (x, y), ms.Linf(0.1))
    except ValueError as error:
        print(f"{what}: {error}\n")


def main(folder: Path) -> None:
    """Break each rule once, then evaluate."""
    folder.mkdir(parents=True, exist_ok=True)
    data = load_digits()
    x, y = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16, torch.tensor(data.target)
    net = trained(x[:1200], y[:1200])
    x, y = x[1200:1400], y[1200:1400]

    model = Normalized(net, 0.3, 0.35)
    refused("in training mode", model, x, y)
    refused("normalized outside", net.eval(), (x - 0.3) / 0.35, y)
    model.eval()
    report = ms.evaluate(model, (x, y), ms.Linf(0.1), effort=ms.Effort.quick())
    print(report)
    (folder / "report.txt").write_text(f"{report}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
