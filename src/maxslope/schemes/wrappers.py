"""Schemes that change what another scheme sees."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope._rows import column, flat
from maxslope.schemes.base import Accounting, Here, Memory, Scheme
from maxslope.schemes.steps import StepSize
from maxslope.spaces import Space


@dataclass(frozen=True, eq=False)
class Momentum(Scheme):
    """Steps along m+ = decay m + xi / |xi|_1 instead of the gradient xi: MI-FGSM, arXiv:1710.06081, eq. (6).

    Args:
        scheme: the scheme that makes the step.
        decay: at least 0; 1 in the source.

    Raises:
        ValueError: if the decay is negative, or the scheme minimizes the energy itself, whatever the gradient.
    """

    scheme: Scheme
    decay: float = 1.0

    def __post_init__(self) -> None:
        if not self.decay >= 0:
            raise ValueError(f"The decay of a momentum must not be negative, got decay={self.decay!r}.")
        if isinstance(self.scheme, Accounting):
            raise ValueError(
                f"Momentum changes the gradient a scheme steps along, but {type(self.scheme).__name__} evaluates the "
                "energy at places of its own; wrap Explicit or SemiImplicit."
            )

    @property
    def tau(self) -> StepSize:  # type: ignore[override]
        """The step size in time of the scheme."""
        return self.scheme.tau

    @property
    def space(self) -> Space:  # type: ignore[override]
        """Its norm of the motion."""
        return self.scheme.space

    @property
    def rate(self) -> float:  # type: ignore[override]
        """Its rate p."""
        return self.scheme.rate

    def start(self, x: Tensor) -> Memory:
        """See :class:`Scheme`; the momentum, and what the inner scheme carries."""
        return (torch.zeros_like(x), *self.scheme.start(x))

    def step(self, here: Here, memory: Memory) -> tuple[Tensor, Memory]:
        velocity, *rest = memory
        xi = here.evaluation.gradient
        size = flat(xi).abs().sum(1)
        velocity = self.decay * velocity + xi / column(torch.where(size > 0, size, torch.ones_like(size)), xi)
        seen = here._replace(evaluation=here.evaluation._replace(gradient=velocity))
        x, carried = self.scheme.step(seen, tuple(rest))
        return x, (velocity, *carried)
