"""The continuous model and its discretization: channels, field, depth scheme, and how data enter and leave."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope.odenet.fields import Field, Tanh
from maxslope.odenet.settings import whole
from maxslope.odenet.tableau import Tableau


@dataclass(frozen=True)
class Depth:
    """An explicit Runge-Kutta scheme in depth, with particles held constant on each cell.

    Particles are never interpolated between layers: that would choose a coupling the metric does not contain. So the
    error is of order one in 1 / L for Euler and of order two for every other scheme; RK4 has order four only where
    particles are constant in depth, and the midpoint rule is the one to take.

    Args:
        tableau: of one step.
        substeps: steps per cell, at least 1.

    Raises:
        ValueError: if there are no substeps.

    >>> Depth.midpoint(2).substeps
    2
    """

    tableau: Tableau
    substeps: int = 1

    def __post_init__(self) -> None:
        if not whole(self.substeps, 1):
            raise ValueError(f"A cell takes at least one step, got substeps={self.substeps!r}.")

    @staticmethod
    def euler(substeps: int = 1) -> Depth:
        """Return X+ = X + h F(X): a plain residual network."""
        return Depth(Tableau.euler(), substeps)

    @staticmethod
    def midpoint(substeps: int = 1) -> Depth:
        """Return the explicit midpoint rule."""
        return Depth(Tableau.midpoint(), substeps)

    @staticmethod
    def rk4(substeps: int = 1) -> Depth:
        """Return the classical Runge-Kutta scheme."""
        return Depth(Tableau.rk4(), substeps)


@dataclass(frozen=True, eq=False)
class Lift:
    """An affine map x -> (x - mean) matrix from raw inputs to the first channels, such as a principal-component map.

    Args:
        mean: ``[raw]``.
        matrix: ``[raw, inputs]``.

    Raises:
        ValueError: if the shapes do not match.

    >>> Lift(torch.zeros(3), torch.ones(3, 1)).matrix.shape
    torch.Size([3, 1])
    """

    mean: Tensor
    matrix: Tensor

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or self.mean.shape != self.matrix.shape[:1]:
            raise ValueError(
                f"A lift has a mean [raw] and a matrix [raw, inputs], got {tuple(self.mean.shape)} and "
                f"{tuple(self.matrix.shape)}."
            )


@dataclass(frozen=True, eq=False)
class Design:
    """All of a network but its particles: X' = (1/m) sum_j f(X, theta_j(t)) for X(0) = (x, 0), read at X(1).

    Args:
        channels: d.
        inputs: the first channels take the data, the others start at 0.
        outputs: the last channels are read; they may overlap with the inputs.
        field: f.
        depth: the scheme in depth.
        lift: an affine map applied to raw data first; None takes them as they are.

    Raises:
        ValueError: if inputs or outputs do not fit into the channels, or the lift into the inputs.

    Source: arXiv:2311.15365 (the continuous model); arXiv:2403.12887 (its metric and finite-width networks).

    >>> Design(channels=3, inputs=2, outputs=1).size
    7
    """

    channels: int
    inputs: int
    outputs: int
    field: Field = Tanh()  # noqa: RUF009
    depth: Depth = Depth.euler()  # noqa: RUF009
    lift: Lift | None = None

    def __post_init__(self) -> None:
        counts = (self.channels, self.inputs, self.outputs)
        if not all(whole(n, 1) and n <= self.channels for n in counts):
            raise ValueError(
                f"Inputs and outputs are whole numbers between 1 and the number of channels, got "
                f"channels={self.channels!r}, inputs={self.inputs!r}, outputs={self.outputs!r}."
            )
        if self.lift is not None and self.lift.matrix.shape[1] != self.inputs:
            raise ValueError(
                f"The lift must end in the inputs, got a matrix {tuple(self.lift.matrix.shape)} for "
                f"inputs={self.inputs}."
            )

    @property
    def size(self) -> int:
        """P, the numbers in one particle."""
        return self.field.size(self.channels)

    @property
    def raw(self) -> int:
        """Numbers in one raw input."""
        return self.inputs if self.lift is None else self.lift.matrix.shape[0]

    def enter(self, x: Tensor) -> Tensor:
        """Return X(0), ``[n, d]``, of raw inputs ``[n, *shape]``.

        Raises:
            ValueError: if a row does not hold ``raw`` numbers.
        """
        rows = x.reshape(x.shape[0], -1)
        if rows.shape[1] != self.raw:
            raise ValueError(f"A network of {self.raw} inputs was given rows of {rows.shape[1]} numbers.")
        if self.lift is not None:
            rows = (rows - self.lift.mean.to(rows)) @ self.lift.matrix.to(rows)
        return torch.cat([rows, rows.new_zeros(rows.shape[0], self.channels - self.inputs)], 1)

    def enter_back(self, costate: Tensor) -> Tensor:
        """Return the transpose of ``enter`` applied to ``[n, d]``: ``[n, raw]``."""
        part = costate[:, : self.inputs]
        return part if self.lift is None else part @ self.lift.matrix.to(part).T

    def leave(self, features: Tensor) -> Tensor:
        """Return the outputs ``[n, outputs]`` of X(1)."""
        return features[:, self.channels - self.outputs :]

    def leave_back(self, slope: Tensor) -> Tensor:
        """Return the transpose of ``leave``: the costate at depth 1."""
        zeros = slope.new_zeros(slope.shape[0], self.channels - self.outputs)
        return torch.cat([zeros, slope], 1)

    def check(self, theta: Tensor) -> None:
        """Raise ValueError unless ``theta`` is ``[layers, particles, size]``."""
        if theta.ndim != 3 or theta.shape[2] != self.size or theta.numel() == 0:
            raise ValueError(
                f"Particles of this design are [layers, particles, {self.size}], got {tuple(theta.shape)}; "
                "maxslope.odenet.sobol and iid make them."
            )
