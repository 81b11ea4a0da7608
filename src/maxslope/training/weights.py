"""The geometric view: training as a flow of weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from maxslope._modes import inference
from maxslope.energies import Energy, Evaluation
from maxslope.energies.base import plain
from maxslope.schemes import Here, Memory, Scheme, StepSize
from maxslope.spaces import Lp
from maxslope.spaces.parameters import Layout
from maxslope.training.objective import Objective


@dataclass(frozen=True, eq=False)
class WeightRisk(Energy):
    """E(w) = objective at weights w on a frozen batch: rows are weights, ``[rows, d]``.

    The gradient is taken at the adversary's points, as if they stood still: where the inner maximizer is unique this is
    the gradient of the maximum (Danskin's theorem). The model stays as it is, in evaluation mode, and the objective
    remembers nothing, so that E is a function of w. Explicit steps of rate 2 in l_2 are gradient descent.

    Args:
        model: a module; its own weights are not touched.
        objective: such as ``AdversarialRisk(Linf(0.1))``; its adversary, its formula, the radius of its curriculum.
        x: the frozen inputs, ``[n, *shape]``.
        y: their labels, ``[n]``.

    Source: arXiv:1706.06083, appendix A (Danskin's theorem); arXiv:2406.05376, section 2 (flows in normed spaces).

    >>> import maxslope as ms
    >>> from maxslope.training import AdversarialRisk
    >>> net, x, y = nn.Linear(2, 2).double(), torch.rand(8, 2).double(), torch.arange(8) % 2
    >>> energy = WeightRisk(net, AdversarialRisk(ms.Linf(0.1)), x, y)
    >>> curve = ms.flow(energy, energy.row, scheme=ms.Explicit(0.1, ms.Lp(2), rate=2), until=1.0)
    >>> bool(curve.energy[-1] < curve.energy[0]), curve.end.shape
    (True, torch.Size([1, 6]))
    """

    model: nn.Module
    objective: Objective
    x: Tensor
    y: Tensor

    @property
    def layout(self) -> Layout:
        """Where each weight lies in a row."""
        return Layout.of(self.model)

    @property
    def row(self) -> Tensor:
        """The model's weights, ``[1, d]``."""
        return self.layout.row(self.model)

    def evaluate(self, x: Tensor) -> Evaluation:
        values, gradients = [], []
        for weights in x.detach():
            with torch.enable_grad():
                z = weights.clone().requires_grad_(True)
                value = self._value(z)
                gradients.append(torch.autograd.grad(value, z)[0])
            values.append(value.detach())
        return plain(torch.stack(values), torch.stack(gradients))

    def look(self, x: Tensor) -> Evaluation:
        with torch.no_grad():
            return plain(torch.stack([self._value(weights) for weights in x.detach()]))

    def take(self, index: Tensor) -> WeightRisk:
        """See :class:`Energy`; every row is measured on the same batch."""
        return self

    def _value(self, weights: Tensor) -> Tensor:
        held = self.layout.tensors(weights)
        with inference(self.model):
            return self.objective.fresh()(lambda z: functional_call(self.model, held, (z,)), self.x, self.y)


class _Rates(StepSize):
    """The time a step of an optimizer takes: its learning rate."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    def at(self, clock: Tensor, row: Tensor) -> Tensor:
        rate = float(self.optimizer.param_groups[0]["lr"])
        return torch.full(row.shape, rate, dtype=torch.float64, device=row.device)


class Optimizer(Scheme):
    """A ``torch.optim`` optimizer as a scheme: weights move as it moves them, time is the sum of learning rates.

    Plain SGD is the explicit scheme of rate 2 in l_2. The gradient is the one on the parameters, which the energy has
    just computed.

    Args:
        optimizer: over the parameters of the row.
        advance: makes the optimizer's step and returns the new row ``[1, d]``.

    Source: arXiv:2406.05376, section 2.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, advance: Callable[[], Tensor]) -> None:
        self.tau: StepSize = _Rates(optimizer)
        self.space, self.rate = Lp(2), 2.0
        self.advance = advance

    def start(self, x: Tensor) -> Memory:
        """See :class:`Scheme`; what is carried is the optimizer's own."""
        return ()

    def step(self, here: Here, memory: Memory) -> tuple[Tensor, Memory]:
        """See :class:`Scheme`; weights whose energy is not finite stay."""
        value, gradient = here.evaluation.value, here.evaluation.gradient
        finite = math.isfinite(float(value.sum() + gradient.sum()))  # then all terms are; large ones may overflow
        finite = finite or bool(value.isfinite().all() & gradient.isfinite().all())
        return (self.advance() if finite else here.x), memory
