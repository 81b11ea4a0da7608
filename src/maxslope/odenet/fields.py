"""What a particle does to a feature vector: f(x, theta)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Kept = tuple[Tensor, ...]


class Field(ABC):
    """f(x, theta) in R^d, summed over the particles of a cell, with its exact transposed derivative.

    The laws tested for every field: ``pull`` is the transpose of the derivative of ``push``, and the sum does not
    depend on the order of the particles.
    """

    @abstractmethod
    def size(self, channels: int) -> int:
        """Return p, the numbers in one particle, for d = ``channels``."""

    @abstractmethod
    def push(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Kept]:
        """Return sum_j f(x_n, theta_j), ``[n, d]``, and what ``pull`` needs; autograd may go through.

        Args:
            x: features, ``[n, d]``.
            theta: the particles of one cell, ``[m, p]``.
        """

    @abstractmethod
    def pull(self, costate: Tensor, x: Tensor, theta: Tensor, kept: Kept) -> tuple[Tensor, Tensor]:
        """Return the derivatives of sum_nj <costate_n, f(x_n, theta_j)> by theta, ``[m, p]``, and x, ``[n, d]``."""


@dataclass(frozen=True)
class Tanh(Field):
    """f(x, (u, w, b)) = u tanh(<w, x> + b), p = 2d + 1; |f| <= |u| grows linearly in theta.

    >>> Tanh().push(torch.ones(1, 2), torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0]]))[0]
    tensor([[0., 0.]])
    """

    def size(self, channels: int) -> int:
        return 2 * channels + 1

    def push(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Kept]:
        u, w, b = _parts(theta, x.shape[1])
        t = torch.addmm(b, x, w.T).tanh_()
        return t @ u, (t,)

    def pull(self, costate: Tensor, x: Tensor, theta: Tensor, kept: Kept) -> tuple[Tensor, Tensor]:
        u, w, _ = _parts(theta, x.shape[1])
        s = torch.ops.aten.tanh_backward(costate @ u.T, kept[0])
        return torch.cat([kept[0].T @ costate, s.T @ x, s.sum(0)[:, None]], 1), s @ w


@dataclass(frozen=True)
class BoundedTanh(Field):
    """f(x, (u, w, b)) = u tanh(<w_bar, x> + b), w_bar = w / sqrt(1 + |w|^2), p = 2d + 1.

    Both |f| <= |u| and |D_x f| <= |u| grow linearly in theta, where |D_x f| of :class:`Tanh` grows like |theta|^2.
    Still analytic.

    >>> particle = torch.tensor([[1.0, 1e9, 0.0]])
    >>> BoundedTanh().push(torch.ones(1, 1), particle)[0]  # the weight counts as 1
    tensor([[0.7616]])
    """

    def size(self, channels: int) -> int:
        return 2 * channels + 1

    def push(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Kept]:
        u, w, b = _parts(theta, x.shape[1])
        root = (1 + w.square().sum(1, keepdim=True)).sqrt()
        bounded = torch.cat([u, w / root, b[:, None]], 1)
        out, kept = Tanh().push(x, bounded)
        return out, (*kept, bounded, root)

    def pull(self, costate: Tensor, x: Tensor, theta: Tensor, kept: Kept) -> tuple[Tensor, Tensor]:
        *tanh, bounded, root = kept
        found, by_x = Tanh().pull(costate, x, bounded, tuple(tanh))
        (_, bar, _), (by_u, by_bar, by_b) = (_parts(t, x.shape[1]) for t in (bounded, found))
        by_w = (by_bar - bar * (bar * by_bar).sum(1, keepdim=True)) / root
        return torch.cat([by_u, by_w, by_b[:, None]], 1), by_x


@dataclass(frozen=True, eq=False)
class CustomField(Field):
    """Your own f, of one feature vector and one particle; derivatives by autograd, 4 to 20 times the cost of Tanh.

    Args:
        f: maps x ``[d]`` and theta ``[p]`` to ``[d]`` in torch operations that ``torch.func.vmap`` understands.
        numbers: p, as a function of d.

    Raises:
        ValueError: if f does not return ``[d]``.

    >>> linear = CustomField(lambda x, theta: theta[0] * x, numbers=lambda d: 1)
    >>> linear.push(torch.ones(1, 2), torch.tensor([[1.0], [2.0]]))[0]
    tensor([[3., 3.]])
    """

    f: Callable[[Tensor, Tensor], Tensor]
    numbers: Callable[[int], int]

    def size(self, channels: int) -> int:
        return self.numbers(channels)

    def push(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Kept]:
        out = torch.func.vmap(torch.func.vmap(self.f, (None, 0)), (0, None))(x, theta)
        if out.shape != (x.shape[0], theta.shape[0], x.shape[1]):
            raise ValueError(
                f"A field maps x [d] and theta [p] to [d], here d = {x.shape[1]}, but the function returned "
                f"{tuple(out.shape[2:])}."
            )
        return out.sum(1), ()

    def pull(self, costate: Tensor, x: Tensor, theta: Tensor, kept: Kept) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            z, t = x.detach().requires_grad_(True), theta.detach().requires_grad_(True)
            out, _ = self.push(z, t)
            by_theta, by_x = torch.autograd.grad(out, (t, z), costate, materialize_grads=True)
        return by_theta, by_x


def _parts(theta: Tensor, d: int) -> tuple[Tensor, Tensor, Tensor]:
    return theta[:, :d], theta[:, d : 2 * d], theta[:, 2 * d]
