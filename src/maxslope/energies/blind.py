"""An energy of which only values are known: no backward pass is ever made."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from maxslope._rows import take
from maxslope.energies.base import Energy, Evaluation


@dataclass(frozen=True, eq=False)
class Blind(Energy):
    """E itself, seen by its values alone: ``evaluate`` is one forward pass and its gradient has size zero.

    For gradient-free schemes and for models that autograd cannot see through (numpy, ONNX, a remote service): any
    callable that returns logits as a tensor will do.

    Args:
        energy: E; only its ``look`` is called.
        key: ``[rows]`` int64, what the random numbers of a scheme are keyed by besides the starting point and its own
            seed: ``_random.keys(seed, ids, run)`` keeps restarts from one point apart. None adds nothing.

    >>> import torch
    >>> from maxslope.energies import Quadratic
    >>> e = Blind(Quadratic(torch.eye(2))).evaluate(torch.ones(1, 2))
    >>> e.value, e.gradient.shape
    (tensor([1.]), torch.Size([1, 0]))
    """

    energy: Energy
    key: Tensor | None = None

    def evaluate(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`; ``passes`` forward passes, none backward."""
        return self.look(x)

    def look(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`."""
        return self.energy.look(x)._replace(gradient=x.new_zeros(x.shape[0], 0))

    def take(self, index: Tensor) -> Blind:
        """See :class:`Energy`."""
        return Blind(self.energy.take(index), None if self.key is None else take(self.key, index))

    @property
    def passes(self) -> int:
        """See :class:`Energy`."""
        return self.energy.passes
