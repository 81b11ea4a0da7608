"""Explicit Runge-Kutta tableaus, in depth and in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tableau:
    """Stages k_i = F(y + tau sum_(j<i) a_ij k_j) and the step y+ = y + tau sum_i b_i k_i.

    Args:
        a: the rows a_i, the i-th of length i = 0, 1, ...
        b: the weights b_i.

    Raises:
        ValueError: if the rows are not explicit or the weights do not sum to 1.

    >>> Tableau.midpoint().b
    (0.0, 1.0)
    """

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]

    def __post_init__(self) -> None:
        if [len(row) for row in self.a] != list(range(len(self.b))) or abs(sum(self.b) - 1) > 1e-12:
            raise ValueError(
                f"An explicit tableau has rows of lengths 0, 1, 2, ... and weights that sum to 1, got a={self.a!r}, "
                f"b={self.b!r}."
            )

    @staticmethod
    def euler() -> Tableau:
        """Return the explicit Euler scheme, of order one."""
        return Tableau(((),), (1.0,))

    @staticmethod
    def heun() -> Tableau:
        """Return the explicit trapezoid rule, of order two."""
        return Tableau(((), (1.0,)), (0.5, 0.5))

    @staticmethod
    def midpoint() -> Tableau:
        """Return the explicit midpoint rule, of order two."""
        return Tableau(((), (0.5,)), (0.0, 1.0))

    @staticmethod
    def bogacki_shampine() -> Tableau:
        """Return the scheme of Bogacki and Shampine (Appl. Math. Lett. 2, 1989), of order three."""
        return Tableau(((), (0.5,), (0.0, 0.75)), (2 / 9, 1 / 3, 4 / 9))

    @staticmethod
    def rk4() -> Tableau:
        """Return the classical scheme of order four."""
        return Tableau(((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6))


def plus(x: Tensor, weights: Sequence[float], terms: Sequence[Tensor], h: float) -> Tensor:
    """Return x + h sum_i weights_i terms_i over the terms there are, without the zeros."""
    for weight, term in zip(weights, terms, strict=False):
        if weight:
            x = torch.add(x, term, alpha=h * weight)
    return x
