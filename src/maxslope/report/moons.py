"""The two-moons experiment: its data, networks and energy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maxslope._optional import optional
from maxslope.energies import Energy, Evaluation
from maxslope.energies.base import plain

TAUS = 8
EPS = 0.2


def data(samples: int = 1000, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return two moons with noise 0.1: points ``[n, 2]`` and labels ``[n]``, float32."""
    with optional("The two moons need scikit-learn", "[flows]"):
        from sklearn.datasets import make_moons
    x, y = make_moons(samples, noise=0.1, random_state=seed % 2**32)
    return torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y, dtype=torch.float32)


def train(activation: type[nn.Module], *, epochs: int = 100, seed: int = 0) -> nn.Module:
    """Train the network 2-20-20-20-1, batch norm after each activation and a sigmoid at the end, on the two moons.

    Mean squared error, Adam, batches of 100; data, start and batches by the seed. Torch's global generator is left
    as it was. The network is in eval mode, float64, with frozen weights, and maps ``[n, 2]`` to ``[n]``.
    """
    x, y = data(seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for width in (2, 20, 20):
            layers += [nn.Linear(width, 20), activation(), nn.BatchNorm1d(20)]
        net = nn.Sequential(*layers, nn.Linear(20, 1), nn.Sigmoid(), nn.Flatten(0))
        adam = torch.optim.Adam(net.parameters())
        for _ in range(epochs):
            for batch in torch.split(torch.randperm(len(x)), 100):
                adam.zero_grad()
                (net(x[batch]) - y[batch]).square().mean().backward()
                adam.step()
    return net.double().eval().requires_grad_(False)


@dataclass(frozen=True, eq=False)
class SquaredError(Energy):
    """E(x) = -(h(x) - y)^2: goes down as the model errs. Its goal: h(x) and y on different sides of 1/2.

    The model h maps ``[rows, *shape]`` to ``[rows]``; labels are ``[rows]``, in its dtype.

    Source: arXiv:2406.05376 (the experiment on two moons).
    """

    model: nn.Module
    labels: Tensor

    def evaluate(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`."""
        with torch.enable_grad():
            z = x.detach().requires_grad_(True)
            value = -(self.model(z) - self.labels).square()
            (gradient,) = torch.autograd.grad(value.sum(), z)
        return plain(value.detach(), gradient)._replace(reached=value.detach() < -0.25)

    def look(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`."""
        with torch.no_grad():
            value = -(self.model(x) - self.labels).square()
        return plain(value)._replace(reached=value < -0.25)

    def take(self, index: Tensor) -> SquaredError:
        """See :class:`Energy`."""
        return SquaredError(self.model, self.labels[index])

    @property
    def passes(self) -> int:
        """See :class:`Energy`."""
        return 1


def problem(net: nn.Module, rows: int, seed: int = 0) -> tuple[SquaredError, Tensor]:
    """Return initial values uniform in [-1, 1]^2 and the energy with the network's own answers as labels."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(rows, 2, generator=generator, dtype=torch.float64) - 1
    with torch.no_grad():
        labels = (net(x) > 0.5).double()
    return SquaredError(net, labels), x


def steps(eps: float = EPS, count: int = TAUS) -> list[float]:
    """The step sizes eps 2^-i, largest first.

    >>> steps(0.5, 3)
    [0.5, 0.25, 0.125]
    """
    return [eps * math.ldexp(1.0, -i) for i in range(count)]
