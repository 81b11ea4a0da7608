"""A norm in other units: |v|_w = |w v|."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope.spaces.base import Space


@dataclass(frozen=True, eq=False)
class Weighted(Space):
    """The norm |v|_w = |w v| of another space, its dual |xi / w|_*, and steepest(xi) = base.steepest(xi / w) / w.

    Args:
        base: the space whose norm is taken of w v.
        weights: positive, of shape ``shape`` of one sample (or broadcastable to it).

    Raises:
        ValueError: if a weight is not positive and finite.

    >>> from maxslope.spaces import Lp
    >>> Weighted(Lp(1), torch.tensor([1.0, 10.0])).norm(torch.tensor([[1.0, 1.0]]))
    tensor([11.])
    """

    base: Space
    weights: Tensor

    def __post_init__(self) -> None:
        if not bool(((self.weights > 0) & self.weights.isfinite()).all()):
            raise ValueError(
                f"Weighted needs positive, finite weights, got a smallest weight of {float(self.weights.min())} and a "
                f"largest of {float(self.weights.max())}; leave out coordinates that may not move by a mask on the box."
            )

    def _like(self, v: Tensor) -> Tensor:
        return self.weights.to(v)

    def norm(self, v: Tensor) -> Tensor:
        return self.base.norm(v * self._like(v))

    def dual_norm(self, xi: Tensor) -> Tensor:
        return self.base.dual_norm(xi / self._like(xi))

    def steepest(self, xi: Tensor) -> Tensor:
        return self.base.steepest(xi / self._like(xi)) / self._like(xi)

    def sample(self, key: Tensor, like: Tensor) -> Tensor:
        """See :class:`Space`; a linear image of the uniform distribution is uniform."""
        return self.base.sample(key, torch.empty_like(like)) / self._like(like)
