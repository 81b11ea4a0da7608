"""Clouds of labeled points."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from maxslope.curve import Curve
from maxslope.energies.algebra import Potential
from maxslope.spaces import Space

__all__ = ["Cloud", "Potential", "clouds", "particle_speeds"]


@dataclass(frozen=True, eq=False)
class Cloud:
    """The measure (1/n) sum_i delta_(x_i, y_i). Points move, labels and mass never do.

    Args:
        points: ``[n, *shape]``.
        labels: ``[n]``.

    Raises:
        ValueError: if the numbers of points and labels differ.

    >>> import torch
    >>> Cloud(torch.zeros(3, 2), torch.tensor([0, 1, 1])).row.shape
    torch.Size([1, 3, 2])
    """

    points: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.points.ndim < 2 or self.labels.shape != self.points.shape[:1]:
            raise ValueError(
                f"A cloud has points [n, *shape] and one label each, got shapes {tuple(self.points.shape)} and "
                f"{tuple(self.labels.shape)}."
            )

    @property
    def row(self) -> Tensor:
        """The cloud as one row of the house, ``[1, n, *shape]``."""
        return self.points[None]

    def moved(self, points: Tensor) -> Cloud:
        """Return the cloud whose i-th point is now ``points[i]``."""
        return Cloud(points, self.labels)


def clouds(curve: Curve, labels: Tensor) -> list[Cloud]:
    """Return the clouds at the instants of a curve of one row."""
    return [Cloud(points[0], labels) for points in curve.points]


def particle_speeds(curve: Curve, space: Space) -> Tensor:
    """Return the speeds of the particle curves that represent a curve of clouds, ``[K, n]``.

    The metric speed of the cloud is their L^r mean: a curve of measures is carried by curves of particles.

    Source: arXiv:2406.05376 (representation by a measure on curves; Lisini's theorem).
    """
    return speeds(curve.points[:, 0], curve.time[:, :1], space)


def speeds(points: Tensor, times: Tensor, space: Space) -> Tensor:
    """Return the speeds ``[K, n]`` of curves through ``points``, ``[K+1, n, *shape]``, at ``times``, ``[K+1, 1]``."""
    way = points.diff(dim=0)
    return space.norm(way.flatten(0, 1)).reshape(way.shape[:2]).to(times) / times.diff(dim=0)
