"""The regularized risk of a network as an energy of its particles."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from maxslope.energies import Energy, Evaluation
from maxslope.energies.base import plain
from maxslope.odenet.design import Design
from maxslope.odenet.misfit import Misfit
from maxslope.odenet.sweep import sweep


@dataclass(frozen=True, eq=False)
class Risk(Energy):
    """J(theta) = sum_n c_n l(z(x_n; theta), y_n) + lambda / (2 L m) sum_lj |theta_lj|^2, of rows of networks.

    c_n = 1 / N, or the weight of a datum over the sum of the weights: a datum of weight 2 counts as one given twice.
    The gradient is the exact adjoint of the discrete network. The flow of J in the metric of
    :func:`maxslope.odenet.layered` is theta' = -L m dJ/dtheta, and |dJ|^2 = L m |dJ/dtheta|^2.

    Args:
        design: the network.
        x: inputs, ``[N, *shape]``.
        y: targets, see the misfit.
        misfit: l.
        penalty: lambda, at least 0.
        weights: of the data, ``[N]``, not negative and not all zero; None weighs all alike.

    Raises:
        ValueError: if targets do not fit, numbers of inputs, targets and weights differ, a weight is negative or not
            finite or all are zero, or the penalty is negative.

    Source: arXiv:2311.15365 (existence of a minimizer for lambda > 0, of the curve of maximal slope, its convergence).

    >>> from maxslope.odenet import Squared
    >>> risk = Risk(Design(1, 1, 1), torch.ones(1, 1), torch.tensor([1.5]), Squared(), penalty=0.5)
    >>> risk.evaluate(torch.zeros(1, 2, 2, 3)).value
    tensor([0.1250])
    """

    design: Design
    x: Tensor
    y: Tensor
    misfit: Misfit
    penalty: float = 0.0
    weights: Tensor | None = None
    _start: Tensor = field(init=False, repr=False)  # X(0), in the dtype of the inputs

    def __post_init__(self) -> None:
        if not self.penalty >= 0:
            raise ValueError(f"The penalty lambda must not be negative, got penalty={self.penalty!r}.")
        if self.x.shape[0] != self.y.shape[0] or self.x.shape[0] == 0:
            raise ValueError(
                f"A risk needs one target per input and an input, got {self.x.shape[0]} inputs and {self.y.shape[0]} "
                "targets."
            )
        if self.weights is not None:
            object.__setattr__(self, "weights", _shares(self.weights, self.x.shape[0]))
        object.__setattr__(self, "y", self.misfit.targets(self.y, self.design.outputs))
        object.__setattr__(self, "_start", self.design.enter(self.x))

    def evaluate(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`; ``x`` holds particles ``[rows, L, m, p]``."""
        with torch.no_grad():
            pairs = [self._both(theta) for theta in x]
            if len(pairs) == 1:
                return plain(pairs[0][0][None], pairs[0][1][None])
            return plain(torch.stack([v for v, _ in pairs]), torch.stack([g for _, g in pairs]))

    def look(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`."""
        with torch.no_grad():
            return plain(torch.stack([self._value(theta) for theta in x]))

    def take(self, index: Tensor) -> Risk:
        """See :class:`Energy`; every row has the same data."""
        return self

    @property
    def passes(self) -> int:
        """See :class:`Energy`."""
        return 1

    def losses(self, theta: Tensor) -> Tensor:
        """Return l of every datum, ``[N]``, for particles ``[L, m, p]``."""
        with torch.no_grad():
            return self._fit(theta)[0]

    def _fit(self, theta: Tensor) -> tuple[Tensor, Tensor, list[tuple[Tensor, tuple[Tensor, ...]]]]:
        self.design.check(theta)
        same = self._start.dtype == theta.dtype and self._start.device == theta.device
        start = self._start if same else self.design.enter(self.x.to(theta))
        features, trace = sweep(self.design).forward(theta, start)
        y = self.y.to(theta) if self.y.is_floating_point() else self.y
        return *self.misfit.both(self.design.leave(features), y), trace

    def _value(self, theta: Tensor) -> Tensor:
        value = self._mean(self._fit(theta)[0])
        return value + self._share(theta) / 2 * torch.dot(theta.reshape(-1), theta.reshape(-1))

    def _mean(self, losses: Tensor) -> Tensor:
        return losses.mean() if self.weights is None else torch.dot(self.weights.to(losses), losses)

    def _share(self, theta: Tensor) -> float:
        return self.penalty / (theta.shape[0] * theta.shape[1])

    def _both(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        losses, slope, trace = self._fit(theta)
        gradient = theta * self._share(theta)
        value = self._mean(losses) + torch.dot(theta.reshape(-1), gradient.reshape(-1)) / 2
        slope = slope / len(losses) if self.weights is None else slope * self.weights.to(slope)[:, None]
        sweep(self.design).backward(theta, trace, self.design.leave_back(slope), gradient)
        return value, gradient


def _shares(weights: Tensor, count: int) -> Tensor:
    """Weights that sum to 1."""
    total = weights.double().sum()
    if weights.shape != (count,) or not bool((weights >= 0).all() & weights.isfinite().all() & (total > 0)):
        raise ValueError(
            f"Weights of a risk are [{count}] finite numbers, not negative and not all zero, got "
            f"{tuple(weights.shape)}, {int((weights < 0).sum())} of them negative, with sum {float(total):g}."
        )
    return weights.double() / total
