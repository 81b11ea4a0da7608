"""The regularized risk of a network as an energy of its particles."""

from __future__ import annotations

import torch
from torch import Tensor

from maxslope.energies import Energy, Evaluation
from maxslope.energies.base import plain
from maxslope.odenet.design import Design
from maxslope.odenet.misfit import Misfit
from maxslope.odenet.sweep import Trace, sweep


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

    def __init__(
        self,
        design: Design,
        x: Tensor,
        y: Tensor,
        misfit: Misfit,
        penalty: float = 0.0,
        weights: Tensor | None = None,
    ) -> None:
        if not penalty >= 0:
            raise ValueError(f"The penalty lambda must not be negative, got penalty={penalty!r}.")
        if x.shape[0] != y.shape[0] or x.shape[0] == 0:
            raise ValueError(
                f"A risk needs one target per input and an input, got {x.shape[0]} inputs and {y.shape[0]} targets."
            )
        self.design, self.x, self.misfit, self.penalty = design, x, misfit, penalty
        self.weights = None if weights is None else _shares(weights, x.shape[0])
        self.y = misfit.targets(y, design.outputs)
        self._start = design.enter(x)  # X(0), in the dtype of the inputs

    def evaluate(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`; ``x`` holds particles ``[rows, L, m, p]``."""
        with torch.no_grad():
            values, gradients = zip(*map(self._both, x), strict=True)
            return plain(torch.stack(values), torch.stack(gradients))

    def look(self, x: Tensor) -> Evaluation:
        with torch.no_grad():
            return plain(torch.stack([self._regularized(self._fit(theta)[0], theta)[0] for theta in x]))

    def take(self, index: Tensor) -> Risk:
        """See :class:`Energy`; every row has the same data."""
        return self

    def at(self, x: Tensor) -> Risk:
        """Return the risk at other inputs of the same targets."""
        return Risk(self.design, x, self.y, self.misfit, self.penalty, self.weights)

    def targets(self, theta: Tensor) -> Tensor:
        """Return y, numbers in the dtype of ``theta``."""
        return self.y.to(theta) if self.y.is_floating_point() else self.y

    def _fit(self, theta: Tensor) -> tuple[Tensor, Tensor, Trace]:
        """Losses, their derivatives by the outputs, and the trace."""
        self.design.check(theta)
        same = self._start.dtype == theta.dtype and self._start.device == theta.device
        start = self._start if same else self.design.enter(self.x.to(theta))
        features, trace = sweep(self.design).forward(theta, start)
        return *self.misfit.both(self.design.leave(features), self.targets(theta)), trace

    def _regularized(self, losses: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss with the penalty, and the gradient of the penalty."""
        gradient = theta * (self.penalty / (theta.shape[0] * theta.shape[1]))
        mean = losses.mean() if self.weights is None else torch.dot(self.weights.to(losses), losses)
        return mean + torch.dot(theta.reshape(-1), gradient.reshape(-1)) / 2, gradient

    def _both(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        losses, slope, trace = self._fit(theta)
        value, gradient = self._regularized(losses, theta)
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
