"""Energies made of energies: sums, averages over random transforms, prices on distance, values alone, clouds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from maxslope import _random
from maxslope._rows import column, flat, take
from maxslope.energies.base import Energy, Evaluation

Transform = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Sum(Energy):
    """E = sum_j w_j E_j. The goal is reached where it is reached for every term; the margin is the weighted sum.

    Args:
        terms: the energies E_j.
        weights: the numbers w_j, one per term.

    Raises:
        ValueError: if the numbers of terms and weights differ, or there are none.

    >>> from maxslope.energies import Linear
    >>> one = Linear(torch.ones(1, 2))
    >>> Sum([one, one], [1.0, 2.0]).look(torch.ones(1, 2)).value
    tensor([6.])
    """

    terms: Sequence[Energy]
    weights: Sequence[float]

    def __post_init__(self) -> None:
        if not self.terms or len(self.terms) != len(self.weights):
            raise ValueError(
                f"Sum needs one weight per term and a term, got {len(self.terms)} terms, {len(self.weights)} weights."
            )

    def evaluate(self, x: Tensor) -> Evaluation:
        return _combine([term.evaluate(x) for term in self.terms], self.weights)

    def look(self, x: Tensor) -> Evaluation:
        return _combine([term.look(x) for term in self.terms], self.weights)

    def take(self, index: Tensor) -> Sum:
        return Sum([term.take(index) for term in self.terms], self.weights)

    @property
    def passes(self) -> int:
        return sum(term.passes for term in self.terms)


@dataclass(frozen=True, eq=False)
class Average(Energy):
    """E(x) = (1/k) sum_j E_0(T_j x): expectation over random transforms (EOT), arXiv:1707.07397.

    The transforms are drawn afresh at every point, keyed by (seed, the bits of the point, j): E stays a function of
    the point alone, whatever stands beside it, and two calls at one point agree. The goal counts as reached where it
    is reached for the majority of the draws.

    Args:
        base: the energy E_0.
        transform: ``transform(x, key)`` maps points ``[rows, *shape]`` and int64 keys ``[rows]`` to points that E_0
            takes, differentiably; draw with ``maxslope._random`` from the keys. The identity serves a model that is
            random itself.
        draws: k, at least 1.
        seed: of the draws.

    Raises:
        ValueError: if ``draws`` is less than 1.
    """

    base: Energy
    transform: Transform
    draws: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise ValueError(f"Average needs at least one draw, got draws={self.draws}.")

    def evaluate(self, x: Tensor) -> Evaluation:
        parts = []
        for key in self._keys(x):
            with torch.enable_grad():
                z = x.detach().requires_grad_(True)
                moved = self.transform(z, key)
                e = self.base.evaluate(moved.detach())
                (gradient,) = torch.autograd.grad(moved, z, e.gradient) if moved is not z else (e.gradient,)
            parts.append(e._replace(gradient=gradient))
        return self._mean(parts)

    def look(self, x: Tensor) -> Evaluation:
        with torch.no_grad():
            return self._mean([self.base.look(self.transform(x, key)) for key in self._keys(x)])

    def take(self, index: Tensor) -> Average:
        return replace(self, base=self.base.take(index))

    @property
    def passes(self) -> int:
        return self.draws * self.base.passes

    def _keys(self, x: Tensor) -> list[Tensor]:
        content = _random.keys_of_points(flat(x))
        return [_random.keys(self.seed, content, j) for j in range(self.draws)]

    def _mean(self, parts: Sequence[Evaluation]) -> Evaluation:
        most = torch.stack([e.reached for e in parts]).float().mean(0) > 0.5
        return _combine(parts, [1 / self.draws] * self.draws)._replace(reached=most)


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
        e, way = self.base.evaluate(x), x - self.center
        value = e.value + self.price * flat(way).square().sum(1)
        return e._replace(value=value, gradient=e.gradient + 2 * column(self.price, x) * way)

    def look(self, x: Tensor) -> Evaluation:
        e = self.base.look(x)
        return e._replace(value=e.value + self.price * flat(x - self.center).square().sum(1))

    def take(self, index: Tensor) -> Priced:
        return Priced(self.base.take(index), self.center[index], self.price[index])

    @property
    def passes(self) -> int:
        return self.base.passes


@dataclass(frozen=True, eq=False)
class Blind(Energy):
    """E itself, seen by its values alone: ``evaluate`` is one forward pass and its gradient has size zero.

    For gradient-free schemes and for models that autograd cannot see through (numpy, ONNX, a remote service): any
    callable that returns logits as a tensor will do.

    Args:
        energy: E; only its ``look`` is called.
        key: ``[rows]`` int64, what the random numbers of a scheme are keyed by besides the starting point and its own
            seed: ``_random.keys(seed, ids, run)`` keeps restarts from one point apart. None adds nothing.

    >>> from maxslope.energies import Quadratic
    >>> e = Blind(Quadratic(torch.eye(2))).evaluate(torch.ones(1, 2))
    >>> e.value, e.gradient.shape
    (tensor([1.]), torch.Size([1, 0]))
    """

    energy: Energy
    key: Tensor | None = None

    def evaluate(self, x: Tensor) -> Evaluation:
        return self.look(x)

    def look(self, x: Tensor) -> Evaluation:
        return self.energy.look(x)._replace(gradient=x.new_zeros(x.shape[0], 0))

    def take(self, index: Tensor) -> Blind:
        return Blind(self.energy.take(index), None if self.key is None else take(self.key, index))

    @property
    def passes(self) -> int:
        return self.energy.passes


@dataclass(frozen=True, eq=False)
class Potential(Energy):
    """The potential energy of a cloud, (1/n) sum_i E(x_i), of one row that holds n particles.

    Its gradient has the particle gradients over n as entries. The goal is reached where it is for every particle.

    Args:
        base: E, row for row with the particles.

    Source: arXiv:2406.05376 (potential energies on Wasserstein spaces).

    >>> from maxslope.energies import Quadratic
    >>> Potential(Quadratic(torch.eye(2))).evaluate(torch.ones(1, 4, 2)).value
    tensor([1.])
    """

    base: Energy

    def evaluate(self, x: Tensor) -> Evaluation:
        return self._gather(self.base.evaluate, x)

    def look(self, x: Tensor) -> Evaluation:
        return self._gather(self.base.look, x)

    def take(self, index: Tensor) -> Potential:
        """See :class:`Energy`; there is one row, so nothing to choose from."""
        return self

    @property
    def passes(self) -> int:
        """See :class:`Energy`; passes per particle."""
        return self.base.passes

    def _gather(self, of: Callable[[Tensor], Evaluation], x: Tensor) -> Evaluation:
        if x.shape[0] != 1:
            raise ValueError(f"A cloud is a single row [1, n, *shape], got {x.shape[0]} rows; run clouds one by one.")
        e = of(x[0])
        gradient = e.gradient.reshape(x.shape) / x.shape[1] if e.gradient.numel() else e.gradient.reshape(1, -1)
        return Evaluation(e.value.mean()[None], gradient, e.margin.mean()[None], e.reached.all()[None])


def _combine(parts: Sequence[Evaluation], weights: Sequence[float]) -> Evaluation:
    """The weighted sums; the goal is reached where it is for all."""
    *columns, reached = zip(*parts, strict=True)
    value, gradient, margin = (
        torch.stack([w * t for w, t in zip(weights, terms, strict=True)]).sum(0) for terms in columns
    )
    return Evaluation(value, gradient, margin, torch.stack(reached).all(0))
