"""What goes down along a curve."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from maxslope._rows import flat
from maxslope.energies.convex import with_convex
from maxslope.sets import Everything, Set


class Evaluation(NamedTuple):
    """An energy at the points ``[rows, *shape]``; every scalar has shape ``[rows]``.

    Attributes:
        value: the energy.
        gradient: its gradient, the shape of the points; zero-sized where it was not asked for.
        margin: how far the goal is (a classifier's logit margin; else the value); comparable across losses.
        reached: whether the goal is reached (the model misclassifies; always False where there is no goal).
    """

    value: Tensor
    gradient: Tensor
    margin: Tensor
    reached: Tensor

    @property
    def blind(self) -> bool:
        """Whether the value alone was asked for, and no gradient."""
        return not self.gradient.numel()

    def take(self, index: Tensor) -> Evaluation:
        """Return the rows ``index``; an index may occur many times."""
        return Evaluation(*(value[index] for value in self))


class Energy(ABC):
    """A function E of points, evaluated row by row: E(x)_i depends on x_i and the data of row i alone.

    Source: arXiv:2406.05376, section 3 (the adversarial energy).
    """

    @abstractmethod
    def evaluate(self, x: Tensor) -> Evaluation:
        """Return value and gradient at ``x``, ``[rows, *shape]``: ``passes`` forward and backward passes."""

    @abstractmethod
    def look(self, x: Tensor) -> Evaluation:
        """Return the value at ``x`` without gradient: ``passes`` forward passes, none backward."""

    @abstractmethod
    def take(self, index: Tensor) -> Energy:
        """Return the energy of the rows ``index``."""

    def after(self, clock: Tensor) -> Energy:
        """Return the energy that rows follow after so many steps, ``[rows]``: this one, unless it is graduated."""
        return self

    def smoothed(self, widths: Tensor) -> Energy:
        """Return this energy with gradients whose kinks are smoothed, see ``energies.Graduated``.

        Args:
            widths: ``[rows]``. An energy that is not one of a model's outputs has no kinks that it knows of.
        """
        return self

    @property
    def passes(self) -> int:
        """Model passes that one evaluation of a row takes."""
        return 1

    def within(self, domain: Set) -> Constrained:
        """Return E + chi_K, the energy that is infinite outside ``domain``, or E + E_c with a :class:`Convex` part."""
        return Constrained(self, domain)


@dataclass(frozen=True, eq=False)
class Constrained(Energy):
    """E + chi_K: a differentiable energy and the convex set it is constrained to, or E + E_c with a :class:`Convex`.

    Raises:
        ValueError: if the energy is constrained already: a flow projects onto one set.

    >>> import torch
    >>> from maxslope.energies import Linear
    >>> from maxslope.sets import Box
    >>> c = torch.tensor([[1.0, 0.0]])
    >>> Linear(c).within(Box(-torch.ones(1, 2), torch.ones(1, 2))).look(torch.ones(1, 2)).value
    tensor([1.])
    """

    smooth: Energy
    domain: Set

    def __post_init__(self) -> None:
        if isinstance(self.smooth, Constrained):
            raise ValueError(
                "An energy is constrained to one set, got a second one; intersect them first, as a Budget does with "
                "its box."
            )

    def evaluate(self, x: Tensor) -> Evaluation:
        return self._outside(x, self.smooth.evaluate(x))

    def look(self, x: Tensor) -> Evaluation:
        return self._outside(x, self.smooth.look(x))

    def take(self, index: Tensor) -> Constrained:
        return Constrained(self.smooth.take(index), self.domain.take(index))

    @property
    def passes(self) -> int:
        return self.smooth.passes

    def _outside(self, x: Tensor, e: Evaluation) -> Evaluation:
        value = with_convex(e.value, self.domain, x)
        slack = 1e3 * torch.finfo(x.dtype).eps * flat(x).abs().amax(1).clamp_min(1)
        return e._replace(value=torch.where(self.domain.violation(x) > slack, torch.inf, value))


def parts(energy: Energy) -> tuple[Energy, Set]:
    """The smooth energy, and the set it is constrained to."""
    return (energy.smooth, energy.domain) if isinstance(energy, Constrained) else (energy, Everything())


def plain(value: Tensor, gradient: Tensor | None = None) -> Evaluation:
    """An evaluation of an energy without a goal."""
    nothing = value.new_zeros(value.shape[0], 0)
    return Evaluation(
        value, nothing if gradient is None else gradient, value, torch.zeros_like(value, dtype=torch.bool)
    )


def gradients_of(value: Tensor, parts: Sequence[Tensor]) -> list[Tensor]:
    """The gradients of per-row values with respect to the points alone, given in parts; zero where values ignore them.

    Raises:
        ValueError: if autograd cannot see how the values depend on anything.
    """
    if not value.requires_grad:
        raise ValueError(
            "The energy does not depend differentiably on its points (a detach, an argmax or a numpy call inside the "
            "model or function?). Remove the break, give the step a backward approximation, or use a gradient-free "
            "attack."
        )
    # The sum, and no vector of ones: for that autograd would import sympy, which takes a second.
    gradients: tuple[Tensor | None, ...] = torch.autograd.grad(value.sum(), parts, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(gradients, parts, strict=True)]
