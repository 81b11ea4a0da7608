"""What a space must know: how far, and which way is steepest."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class Space(ABC):
    """A norm |.| on R^d, applied row by row, with its dual |xi|_* = sup { <xi, v> : |v| <= 1 }.

    Every map takes points or covectors of shape ``[rows, *shape]``. The laws that hold for all spaces, and are
    tested for all of them: the triangle inequality, ``<xi, steepest(xi)> = -dual_norm(xi)`` and
    ``norm(steepest(xi)) <= 1`` per row, and steepest(0) = 0.

    Source: arXiv:2406.05376, section 2 (the duality map drives the differential inclusion).
    """

    @abstractmethod
    def norm(self, v: Tensor) -> Tensor:
        """Return |v| of each row, shape ``[rows]``."""

    @abstractmethod
    def dual_norm(self, xi: Tensor) -> Tensor:
        """Return |xi|_* of each row, shape ``[rows]``."""

    @abstractmethod
    def steepest(self, xi: Tensor) -> Tensor:
        """Return v in argmin { <xi, v> : |v| <= 1 }, the shape of ``xi``; zero where xi is zero."""

    @abstractmethod
    def sample(self, key: Tensor, like: Tensor) -> Tensor:
        """Return points uniform (Lebesgue) in the unit ball, the shape and dtype of ``like``.

        Args:
            key: ``[rows]`` int64 keys, see ``maxslope._random.keys``; the same key gives the same point.
            like: ``[rows, *shape]``.
        """

    def distance(self, x: Tensor, z: Tensor) -> Tensor:
        """Return |z - x| of each row, shape ``[rows]``."""
        return self.norm(z - x)
