"""Where a curve may go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from maxslope._rows import column, flat, inner
from maxslope.sets._rounding import half_unit
from maxslope.spaces import Space


class Set(ABC):
    """A closed convex set K, one for each row, with its exact projections.

    The laws tested for every set: a projection is feasible, idempotent and optimal (<x - Px, z - Px> <= 0 for z in K);
    a linear minimizer is feasible and beats every feasible point; K is not empty.
    """

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """Return the Euclidean projection argmin { |z - x|_2 : z in K }, the shape of ``x``."""

    @abstractmethod
    def minimize_linear(self, xi: Tensor) -> Tensor:
        """Return some z in argmin { <xi, z> : z in K }, the shape of ``xi``.

        Raises:
            ValueError: if K is unbounded.
        """

    @abstractmethod
    def minimize_linear_near(self, xi: Tensor, x: Tensor, tau: Tensor, space: Space) -> Tensor:
        """Return some z in argmin { <xi, z> : z in K, |z - x| <= tau }, the semi-implicit step.

        Args:
            xi: covectors, ``[rows, *shape]``.
            x: points of K, ``[rows, *shape]``.
            tau: step lengths, ``[rows]``.
            space: the norm of the step.

        Raises:
            ValueError: if no exact solver exists for this pair of norms.

        Source: arXiv:2406.05376, semi-implicit scheme.
        """

    @abstractmethod
    def slope(self, xi: Tensor, x: Tensor, space: Space) -> Tensor:
        """Return the constrained slope of an energy with gradient ``xi`` at ``x`` in K, shape ``[rows]``.

        |d(E + chi_K)|(x) = min { |xi + nu|_* : nu in N_K(x) } = sup { <xi, x - z>^+ / |x - z| : z in K }. It vanishes
        exactly at first-order stationary points.
        """

    @abstractmethod
    def violation(self, x: Tensor) -> Tensor:
        """Return how far each row is outside, as the largest excess over a constraint; 0 inside, float64 ``[rows]``."""

    @abstractmethod
    def take(self, index: Tensor) -> Self:
        """Return the sets of the rows ``index``."""

    def inside(self, x: Tensor) -> Tensor:
        """Return ``x`` with the rows moved into K that rounding has left outside; the other rows as they are.

        What a projection returns in few digits may lie outside by its last digit. The sets of this package move such
        points to numbers of their dtype that are inside, exactly.
        """
        return self.project(x)

    def contains(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Return which rows count as points of K, ``[rows]`` bool: the one tolerance of every verdict.

        A point may be outside by one rounding of its coordinates, half a unit in their last place, measured in the norm
        of the ball (a unit beyond bounds, which are rounded inwards themselves); in half precision by no more than a
        millionth of the radius. Points of :meth:`inside` need neither.

        Args:
            x: points, ``[rows, *shape]``.
            dtype: in which the *sample* is given; by default that of ``x``.
        """
        return self.violation(x) <= flat(half_unit(x, dtype or x.dtype)).amax(1)

    def gap(self, xi: Tensor, x: Tensor) -> Tensor:
        """Return the linear (Frank-Wolfe) gap max { <xi, x - z> : z in K } of each row, shape ``[rows]``.

        No point of K improves the linearized energy by more than this.
        """
        return inner(xi, x - self.minimize_linear(xi)).clamp_min(0)  # of a point of K it is negative by rounding alone


@dataclass(frozen=True)
class Everything(Set):
    """All of R^d: no constraint.

    >>> Everything().project(torch.ones(1, 2))
    tensor([[1., 1.]])
    """

    def project(self, x: Tensor) -> Tensor:
        return x

    def minimize_linear(self, xi: Tensor) -> Tensor:
        raise ValueError("A linear form has no minimizer on an unbounded set; constrain the energy: energy.within(K).")

    def minimize_linear_near(self, xi: Tensor, x: Tensor, tau: Tensor, space: Space) -> Tensor:
        return x + column(tau, x) * space.steepest(xi)

    def slope(self, xi: Tensor, x: Tensor, space: Space) -> Tensor:
        return space.dual_norm(xi)

    def violation(self, x: Tensor) -> Tensor:
        return torch.zeros(x.shape[0], dtype=torch.float64, device=x.device)

    def take(self, index: Tensor) -> Everything:
        return self
