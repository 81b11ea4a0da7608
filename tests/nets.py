"""Small models and a counter of passes, shared by the tests."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn

from maxslope.energies import Network


def mlp(d: int = 6, classes: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A smooth network of points [rows, *shape] with d coordinates; weights require a gradient, as a user's do."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Flatten(), nn.Linear(d, 16), nn.GELU(), nn.Linear(16, classes))
        for layer in (net[1], net[3]):
            nn.init.normal_(layer.weight, std=1.5 / layer.in_features**0.5)
    return net.to(dtype).eval()


def conv(size: int = 8, classes: int = 5, seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A ReLU network on images [rows, 1, size, size], with a normalization layer whose statistics are frozen."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(6 * (size // 2) ** 2, classes),
        )
    return net.to(dtype).eval()


def images(rows: int, size: int = 8, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images [rows, 1, size, size] in [0, 1], some pixels on the faces of the box."""
    g = torch.Generator().manual_seed(seed)
    return (1.4 * torch.rand(rows, 1, size, size, generator=g, dtype=torch.float64) - 0.2).clamp(0, 1).to(dtype)


def answers(model: nn.Module, x: Tensor) -> Tensor:
    """The labels the model gives."""
    with torch.no_grad():
        return model(x).argmax(1)


class Counting:
    """Counts the rows of every forward call, and of every backward pass that reaches the input of a call.

    Rows carry their own number in their last coordinate, a multiple of 1/4096, which ``mask`` keeps from moving; so a
    row that fills up a call (a copy of another row of that call) is told from one that is wanted.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model, self.forward, self.backward, self.sizes = model, Counter[int](), Counter[int](), set[int]()

    def __call__(self, x: Tensor) -> Tensor:
        numbers = set((x.detach().reshape(x.shape[0], -1)[:, -1].double() * 4096).round().long().tolist())
        self.sizes.add(x.shape[0])
        self.forward.update(numbers)
        if x.requires_grad:
            x = _Watched.apply(x, lambda: self.backward.update(numbers))
        return self.model(x)

    def after_the_look(self, x: Tensor, tile: int) -> dict[int, int]:
        """Forward passes of each row, without those of the look at the model before an attack on ``x``."""
        look = Counting(self.model)
        Network(look, tile).inspect(x)
        assert sum(look.forward.values()) > 0
        return {row: count for row, count in (self.forward - look.forward).items() if count}

    @staticmethod
    def number(x: Tensor) -> Tensor:
        """The points with their numbers written into them."""
        x = x.clone()
        x.view(x.shape[0], -1)[:, -1] = torch.arange(x.shape[0], dtype=x.dtype) / 4096
        return x

    @staticmethod
    def mask(x: Tensor) -> Tensor:
        """Which coordinates may move."""
        mask = torch.ones_like(x[:1], dtype=torch.bool)
        mask.view(-1)[-1] = False
        return mask


class _Watched(torch.autograd.Function):
    """The identity, which reports that a gradient has come back."""

    @staticmethod
    def forward(ctx, x, report):
        ctx.report = report
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        ctx.report()
        return g, None
