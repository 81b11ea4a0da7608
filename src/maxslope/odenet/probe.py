"""An energy seen from one point: value, gradient in the metric, curvature."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import torch
from torch import Tensor

from maxslope.energies import Energy, Evaluation
from maxslope.odenet.metric import Hilbert


class Spot(NamedTuple):
    """A point of one row and the energy there.

    Attributes:
        x: ``[1, *shape]``.
        value: J.
        gradient: G, the gradient in the metric, the shape of ``x``.
        square: |G|^2, the squared slope.
    """

    x: Tensor
    value: float
    gradient: Tensor
    square: float

    @property
    def slope(self) -> float:
        """|dJ|."""
        return math.sqrt(self.square)


class Probe:
    """Evaluates one row of an energy in a metric, and counts."""

    def __init__(self, energy: Energy, hilbert: Hilbert) -> None:
        self.energy, self.hilbert, self.count = energy, hilbert, 0

    def spot(self, x: Tensor, known: Evaluation | None = None) -> Spot:
        """Return the energy at ``x``, from an evaluation where one is known."""
        if known is None:
            known = self.energy.evaluate(x)
            self.count += 1
        g = self.hilbert.gradient(known.gradient)
        return Spot(x, float(known.value), g, self.square(g))

    def gradient(self, x: Tensor) -> Tensor:
        """Return G at ``x``."""
        self.count += 1
        return self.hilbert.gradient(self.energy.evaluate(x).gradient)

    def square(self, v: Tensor) -> float:
        """Return |v|^2 in the metric."""
        return self.hilbert.inner(v, v)

    def norm(self, v: Tensor) -> float:
        """Return |v| in the metric."""
        return math.sqrt(self.square(v))

    def bend(self, x: Tensor, v: Tensor) -> Tensor:
        """Return Hess J(x) v in the metric: central differences of G, two gradients, error about 1e-9 relative."""
        size = self.norm(v)
        if size == 0:
            return torch.zeros_like(v)
        step = torch.finfo(x.dtype).eps ** (1 / 3) * max(1.0, self.norm(x)) / size
        found: Tensor = (self.gradient(x + step * v) - self.gradient(x - step * v)) / (2 * step)
        return found

    def rate(self, here: Spot) -> float:
        """Return r = <G, Hess J G> / |G|^2 = -d log |dJ| / dt along the flow."""
        if here.square == 0:
            return math.nan
        return self.hilbert.inner(here.gradient, self.bend(here.x, here.gradient)) / here.square

    def stiffness(self, x: Tensor, v: Tensor, iterations: int) -> tuple[float, Tensor]:
        """Return the largest modulus of an eigenvalue of Hess J(x) by power iteration from ``v``, and its direction."""
        size = 0.0
        for _ in range(iterations):
            way = self.bend(x, v)
            size = self.norm(way)
            if not 0 < size < math.inf:
                return max(size, 0.0), v
            v = way / size
        return size, v


class Remembering(Energy):
    """Another energy that does not evaluate its last few points again, and counts what it evaluated."""

    def __init__(self, base: Energy) -> None:
        self.base, self.count = base, 0
        self._known: deque[tuple[Tensor, Evaluation]] = deque(maxlen=3)  # the end of a step, and what closes it

    def evaluate(self, x: Tensor) -> Evaluation:
        for point, found in self._known:
            if torch.equal(point, x):
                return found
        found = self.base.evaluate(x)
        self.count += 1
        self._known.append((x.clone(), found))
        return found

    def look(self, x: Tensor) -> Evaluation:
        return self.base.look(x)

    def take(self, index: Tensor) -> Energy:
        return self.base.take(index)

    @property
    def passes(self) -> int:
        return self.base.passes
