"""Energies made of energies: sums, and averages over random transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from maxslope import _random
from maxslope._rows import flat
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
        """See :class:`Energy`."""
        return _combine([term.evaluate(x) for term in self.terms], self.weights)

    def look(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`."""
        return _combine([term.look(x) for term in self.terms], self.weights)

    def take(self, index: Tensor) -> Sum:
        """See :class:`Energy`."""
        return Sum([term.take(index) for term in self.terms], self.weights)

    @property
    def passes(self) -> int:
        """See :class:`Energy`."""
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
        """See :class:`Energy`."""
        parts = []
        for key in self._keys(x):
            with torch.enable_grad():
                z = x.detach().requires_grad_(True)
                moved = self.transform(z, key)
                e = self.base.evaluate(moved.detach())
                (gradient,) = torch.autograd.grad(moved, z, e.gradient) if moved is not z else (e.gradient,)
            parts.append(e._replace(gradient=gradient))
        return _combine(parts, [1 / self.draws] * self.draws, majority=True)

    def look(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`."""
        with torch.no_grad():
            parts = [self.base.look(self.transform(x, key)) for key in self._keys(x)]
        return _combine(parts, [1 / self.draws] * self.draws, majority=True)

    def take(self, index: Tensor) -> Average:
        """See :class:`Energy`."""
        return replace(self, base=self.base.take(index))

    @property
    def passes(self) -> int:
        """See :class:`Energy`."""
        return self.draws * self.base.passes

    def _keys(self, x: Tensor) -> list[Tensor]:
        content = _random.keys_of_points(flat(x))
        return [_random.keys(self.seed, content, j) for j in range(self.draws)]


def _combine(parts: Sequence[Evaluation], weights: Sequence[float], *, majority: bool = False) -> Evaluation:
    def total(tensors: Sequence[Tensor]) -> Tensor:
        return torch.stack([w * t for w, t in zip(weights, tensors, strict=True)]).sum(0)

    votes = torch.stack([e.reached for e in parts])
    return Evaluation(
        total([e.value for e in parts]),
        total([e.gradient for e in parts]),
        total([e.margin for e in parts]),
        votes.float().mean(0) > 0.5 if majority else votes.all(0),
    )
