"""An energy with a price on distance."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from maxslope._rows import column, flat
from maxslope.energies.base import Energy, Evaluation


@dataclass(frozen=True, eq=False)
class Priced(Energy):
    """E(z) + price |z - x|_2^2: going far costs.

    Args:
        base: E.
        center: x, row for row.
        price: ``[rows]``.
    """

    base: Energy
    center: Tensor
    price: Tensor

    def evaluate(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`."""
        e, way = self.base.evaluate(x), x - self.center
        value = e.value + self.price * flat(way).square().sum(1)
        return e._replace(value=value, gradient=e.gradient + 2 * column(self.price, x) * way)

    def look(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`."""
        e = self.base.look(x)
        return e._replace(value=e.value + self.price * flat(x - self.center).square().sum(1))

    def take(self, index: Tensor) -> Priced:
        """See :class:`Energy`."""
        return Priced(self.base.take(index), self.center[index], self.price[index])

    @property
    def passes(self) -> int:
        """See :class:`Energy`."""
        return self.base.passes
