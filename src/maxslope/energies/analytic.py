"""Energies given by a formula or by a function of the point; those whose flows are known in closed form are oracles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope._rows import flat, inner, select, take
from maxslope.energies.base import Energy, Evaluation, gradients_of, plain


@dataclass(frozen=True, eq=False)
class Linear(Energy):
    """E(x) = <c, x>. Its flow for any norm is x + t steepest(c) until a constraint is met.

    Args:
        c: covectors, ``[rows, *shape]`` or ``[1, *shape]``.

    >>> Linear(torch.tensor([[1.0, -2.0]])).evaluate(torch.ones(1, 2)).value
    tensor([-1.])
    """

    c: Tensor

    def evaluate(self, x: Tensor) -> Evaluation:
        c = self.c.expand_as(x)
        return plain(inner(c, x), c)

    def look(self, x: Tensor) -> Evaluation:
        return plain(inner(self.c.expand_as(x), x))

    def take(self, index: Tensor) -> Linear:
        return Linear(take(self.c, index))


@dataclass(frozen=True, eq=False)
class Quadratic(Energy):
    """E(x) = <x, A x> / 2 with a symmetric matrix A, the same in every row.

    Known flows (unconstrained): A diagonal and positive, l_inf: u_i = sign(x_i)(|x_i| - t)^+; A = I, l_2:
    u = x (1 - t/|x|)^+; A = I, l_1: water filling; A = I, l_2, rate 2: u = x e^-t.

    Args:
        matrix: ``[d, d]``, symmetric.

    Raises:
        ValueError: if the matrix is not square or not symmetric.

    Source: arXiv:2406.05376; closed forms by direct integration.

    >>> Quadratic(torch.eye(2)).evaluate(torch.tensor([[3.0, 4.0]])).value
    tensor([12.5000])
    """

    matrix: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.matrix.shape)
        square = len(shape) == 2 and shape[0] == shape[1]
        if not square or not torch.allclose(self.matrix, self.matrix.T):
            raise ValueError(
                f"Quadratic needs a symmetric matrix [d, d], got shape {shape}"
                f"{' that is not symmetric' if square else ''}; use (A + A.T) / 2."
            )

    def evaluate(self, x: Tensor) -> Evaluation:
        gradient = (flat(x) @ self.matrix.to(x)).reshape(x.shape)
        return plain(inner(x, gradient) / 2, gradient)

    def look(self, x: Tensor) -> Evaluation:
        return plain(self.evaluate(x).value)

    def take(self, index: Tensor) -> Quadratic:
        return self


@dataclass(frozen=True, eq=False)
class Function(Energy):
    """E(x) = f(x, *rows) for any differentiable torch function of the points that treats rows separately.

    Data that belong to rows, such as labels, go into ``rows`` and with their rows through every scheme. A function that
    closes over them instead meets other rows than it expects where some end early or are tried several times.

    Args:
        f: maps ``[rows, *shape]``, and the same rows of each tensor in ``rows``, to ``[rows]``.
        rows: tensors ``[rows, ...]`` aligned with the points.

    Raises:
        ValueError: if ``f`` does not return one number per row, or a tensor in ``rows`` has another number of rows.

    >>> Function(lambda x: x.square().sum(1)).evaluate(torch.tensor([[1.0, 2.0]])).gradient
    tensor([[2., 4.]])
    >>> labels = torch.tensor([0.0, 3.0])
    >>> Function(lambda x, y: (x[:, 0] - y).square(), (labels,)).take(torch.tensor([1])).look(torch.ones(1, 1)).value
    tensor([4.])
    """

    f: Callable[..., Tensor]
    rows: tuple[Tensor, ...] = ()

    def evaluate(self, x: Tensor) -> Evaluation:
        with torch.enable_grad():
            z = x.detach().requires_grad_(True)
            value = self._value(z)
            (gradient,) = gradients_of(value, [z])
        return plain(value.detach(), gradient)

    def look(self, x: Tensor) -> Evaluation:
        with torch.no_grad():
            return plain(self._value(x))

    def take(self, index: Tensor) -> Function:
        return Function(self.f, tuple(select(part, index) for part in self.rows)) if self.rows else self

    def _value(self, x: Tensor) -> Tensor:
        counts = [part.shape[0] if part.ndim else 0 for part in self.rows]
        if any(count != x.shape[0] for count in counts):
            raise ValueError(
                f"Data of rows have one entry for each of the {x.shape[0]} points, but rows hold {counts}; expand what "
                "is common to all, or let the function close over it."
            )
        try:
            value = self.f(x, *self.rows)
        except (RuntimeError, IndexError) as error:
            error.add_note(
                f"The function was called with {x.shape[0]} points. If it closes over data of rows, such as labels, "
                "hand them over instead, Function(f, rows=(labels,)): rows become fewer, and come repeatedly."
            )
            raise
        if value.shape != (x.shape[0],):
            raise ValueError(
                f"An energy returns one number per row, shape [{x.shape[0]}], but the function returned "
                f"{tuple(value.shape)} for points {tuple(x.shape)}; sum over the other axes, and hand data of rows "
                "over as Function(f, rows=(labels,))."
            )
        return value
