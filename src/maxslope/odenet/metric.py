"""The distance between families of layers: d(mu, nu)^2 = int_0^1 W_2(mu_t, nu_t)^2 dt."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from maxslope._optional import optional
from maxslope._rows import inner
from maxslope.spaces import Lp, Space, Weighted


def layered(layers: int, particles: int) -> Space:
    """Return the norm |v| = ((1 / (L m)) sum_lj |v_lj|^2)^(1/2) of velocities ``[rows, L, m, p]``.

    As long as displacements stay below half the least gap between particles of a layer, the identity pairs them best,
    so this is the metric d along a curve. Its dual norm of dJ/dtheta is the slope |dJ|, and the steepest direction
    runs along the Wasserstein gradient L m dJ/dtheta: time does not depend on L and m.

    Args:
        layers: L, at least 1.
        particles: m, at least 1.

    Raises:
        ValueError: if there are no layers or particles.

    Source: arXiv:2403.12887 (the conditional transport metric).

    >>> layered(2, 2).norm(torch.ones(1, 2, 2, 1))
    tensor([1.])
    """
    if layers < 1 or particles < 1:
        raise ValueError(f"A network has at least one layer and one particle, got {layers} and {particles}.")
    return Weighted(Lp(2), torch.tensor((layers * particles) ** -0.5, dtype=torch.float64))


class Hilbert:
    """A space whose norm comes from an inner product <v, w> = weight v w: gradients instead of differentials.

    Args:
        space: Lp(2), or Weighted(Lp(2)).

    Raises:
        ValueError: if the norm does not come from an inner product.
    """

    def __init__(self, space: Space) -> None:
        base = space.base if isinstance(space, Weighted) else space
        if not (isinstance(base, Lp) and base.p == 2):
            raise ValueError(
                f"Gradient flows of order above one need an inner product, Lp(2) or Weighted(Lp(2)), got {space!r}; "
                "for other norms use Explicit or SemiImplicit."
            )
        self.weight: float | Tensor = 1.0
        if isinstance(space, Weighted):
            square = space.weights.double().square()
            # 1 / (L m) instead of its rounded square root squared
            self.weight = 1 / round(float(1 / square), 9) if square.numel() == 1 else square

    def gradient(self, xi: Tensor) -> Tensor:
        """Return the gradient of a differential."""
        if isinstance(self.weight, Tensor):
            return xi / self.weight.to(xi)
        return xi if self.weight == 1 else xi * (1 / self.weight)

    def inner(self, v: Tensor, w: Tensor) -> float:
        """Return <v, w> of points of one row."""
        if isinstance(self.weight, Tensor):
            return float(inner(v * self.weight.to(v), w))
        return float(torch.dot(v.reshape(-1), w.reshape(-1))) * self.weight


def distance(a: Tensor, b: Tensor) -> float:
    """Return d(a, b) = ((1/L) sum_l W_2(a_l, b_l)^2)^(1/2), with exact transport in every layer.

    Equal numbers of particles make an assignment problem per layer (scipy), unequal ones a linear program (POT).

    Args:
        a: ``[L, m, p]``.
        b: ``[L, m', p]``.

    Returns:
        The distance.

    Raises:
        ValueError: if layers or the sizes of particles differ.
        ImportError: if scipy, or POT for unequal numbers, is not installed.

    Source: arXiv:2403.12887; Flamary et al., POT (JMLR 2021).

    >>> cloud = torch.tensor([[[0.0], [1.0]]])
    >>> distance(cloud, cloud.flip(1) + 2)
    2.0
    """
    if a.ndim != 3 or b.ndim != 3 or a.shape[0] != b.shape[0] or a.shape[2] != b.shape[2]:
        raise ValueError(
            f"Two families [layers, particles, size] of equal layers and sizes are compared, got {tuple(a.shape)} and "
            f"{tuple(b.shape)}."
        )
    square = [_square_distance(x.detach().double().cpu(), y.detach().double().cpu()) for x, y in zip(a, b, strict=True)]
    return math.sqrt(max(sum(square), 0.0) / len(square))


def _square_distance(x: Tensor, y: Tensor) -> float:
    """W_2^2 of two clouds."""
    cost = np.asarray((x[:, None] - y[None]).square().sum(2))
    if x.shape == y.shape:
        with optional("Distances between networks need scipy", "[flows]"):
            from scipy.optimize import linear_sum_assignment
        return float(cost[linear_sum_assignment(cost)].mean())
    with optional("Layers of unequal size need POT", "[flows]"):
        import ot
    weights = [np.full(n, 1 / n) for n in cost.shape]
    return float(ot.emd2(*weights, cost, numItermax=10_000_000))
