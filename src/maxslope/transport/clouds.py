"""Clouds of labeled points, and energies of clouds."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from maxslope.curve import Curve
from maxslope.energies import Energy, Evaluation
from maxslope.spaces import Space


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


@dataclass(frozen=True, eq=False)
class Potential(Energy):
    """The potential energy of a cloud, (1/n) sum_i E(x_i), of one row that holds n particles.

    Its gradient has the particle gradients over n as entries. The goal is reached where it is for every particle.

    Args:
        base: E, row for row with the particles.

    Source: arXiv:2406.05376, section 5 (potential energies on Wasserstein spaces).

    >>> import torch
    >>> from maxslope.energies import Quadratic
    >>> Potential(Quadratic(torch.eye(2))).evaluate(torch.ones(1, 4, 2)).value
    tensor([1.])
    """

    base: Energy

    def evaluate(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`."""
        return self._gather(self.base.evaluate(_particles(x)), x)

    def look(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`."""
        return self._gather(self.base.look(_particles(x)), x)

    def take(self, index: Tensor) -> Potential:
        """See :class:`Energy`; there is one row, so nothing to choose from."""
        return self

    @property
    def passes(self) -> int:
        """See :class:`Energy`; passes per particle."""
        return self.base.passes

    def _gather(self, e: Evaluation, x: Tensor) -> Evaluation:
        gradient = e.gradient.reshape(x.shape) / x.shape[1] if e.gradient.numel() else e.gradient.reshape(1, -1)
        return Evaluation(e.value.mean()[None], gradient, e.margin.mean()[None], e.reached.all()[None])


def _particles(x: Tensor) -> Tensor:
    if x.shape[0] != 1:
        raise ValueError(f"A cloud is a single row [1, n, *shape], got {x.shape[0]} rows; run clouds one by one.")
    return x[0]


def clouds(curve: Curve, labels: Tensor) -> list[Cloud]:
    """Return the clouds at the instants of a curve of one row."""
    return [Cloud(points[0], labels) for points in curve.points]


def particle_speeds(curve: Curve, space: Space) -> Tensor:
    """Return the speeds of the particle curves that represent a curve of clouds, ``[K, n]``.

    The metric speed of the cloud is their L^r mean: a curve of measures is carried by curves of particles.

    Source: arXiv:2406.05376, section 5 (representation by a measure on curves; Lisini's theorem).
    """
    way = curve.points[:, 0].diff(dim=0)
    size = space.norm(way.flatten(0, 1)).reshape(way.shape[:2])
    return size.to(curve.time) / curve.time.diff(dim=0)
