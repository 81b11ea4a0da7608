"""What the output of a network is measured by, with its slope in closed form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


class Misfit(ABC):
    """A loss l(z, y) of outputs z ``[n, outputs]`` and targets y."""

    @abstractmethod
    def targets(self, y: Tensor, outputs: int) -> Tensor:
        """Return y in the form ``both`` takes.

        Raises:
            ValueError: if y does not fit.
        """

    @abstractmethod
    def both(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return l ``[n]`` and its derivative by z ``[n, outputs]``; autograd may go through l."""


@dataclass(frozen=True)
class Squared(Misfit):
    """l = |z - y|^2 / 2, y ``[n]`` or ``[n, outputs]``.

    >>> Squared().both(torch.tensor([[3.0]]), torch.tensor([[1.0]]))
    (tensor([2.]), tensor([[2.]]))
    """

    def targets(self, y: Tensor, outputs: int) -> Tensor:
        wide = y[:, None] if y.ndim == 1 else y
        if wide.ndim != 2 or wide.shape[1] != outputs or not bool(wide.isfinite().all()):
            raise ValueError(
                f"Targets of Squared are finite numbers [n, {outputs}], got {tuple(y.shape)} with "
                f"{int((~wide.isfinite()).sum())} that are not finite."
            )
        return wide

    def both(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        miss = z - y
        return miss.square().sum(1) / 2, miss


@dataclass(frozen=True)
class Logistic(Misfit):
    """l = log(1 + exp(-y z)) of one output, y in {-1, 1}; targets may be 0 and 1.

    >>> Logistic().both(torch.zeros(1, 1), torch.ones(1, 1))
    (tensor([0.6931]), tensor([[-0.5000]]))
    """

    def targets(self, y: Tensor, outputs: int) -> Tensor:
        values = sorted(set(y.reshape(-1).tolist()))
        known = set(values) <= {0, 1} or set(values) <= {-1, 1}
        if y.numel() != y.shape[0] or outputs != 1 or not known:
            raise ValueError(
                f"Targets of Logistic are [n] of -1 and 1 (or 0 and 1) for one output, got {tuple(y.shape)} with "
                f"values {values[:5]} and outputs={outputs}; use Softmax() for more classes."
            )
        y = y.reshape(-1, 1)
        return 2 * y.long() - 1 if 0 in values else y

    def both(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        size = y * z
        return functional.softplus(-size).squeeze(1), -y * torch.sigmoid(-size)


@dataclass(frozen=True)
class Softmax(Misfit):
    """l = -log softmax(z)_y with class numbers y ``[n]``.

    >>> Softmax().both(torch.zeros(1, 2), torch.tensor([0]))[1]
    tensor([[-0.5000,  0.5000]])
    """

    def targets(self, y: Tensor, outputs: int) -> Tensor:
        whole = not (y.is_floating_point() or y.is_complex()) or bool((y == y.round()).all())
        if y.ndim != 1 or not whole or int(y.min()) < 0 or int(y.max()) >= outputs:
            raise ValueError(
                f"Targets of Softmax are class numbers [n] from 0 to {outputs - 1}, got {tuple(y.shape)} from "
                f"{float(y.min()):g} to {float(y.max()):g}."
            )
        return y.long()

    def both(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        logs, at = z.log_softmax(1), y[:, None]
        slope = logs.detach().exp()
        slope.scatter_add_(1, at, slope.new_full(at.shape, -1.0))
        return -logs.gather(1, at).squeeze(1), slope
