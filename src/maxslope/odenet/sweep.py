"""Forward through the layers, and back: the network as a module, and its exact adjoint.

With h = 1 / (L K) the stages of a cell are Y_i = X + h sum_j a_ij F(Y_j), F(Y) = (1/m) sum_j f(Y, theta_j). Backwards,
kbar_i = b_i p + sum_(j>i) a_ji ybar_j, ybar_i = h DF(Y_i)^T kbar_i and p <- p + sum_i ybar_i: the transpose of what was
computed, so its gradient is that of the discrete loss to rounding, and loss and dissipation stay consistent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from maxslope.odenet.design import Design
from maxslope.odenet.fields import Kept, Tanh
from maxslope.odenet.tableau import Tableau, plus

Trace = list[tuple[Tensor, Kept]]


class Sweep(ABC):
    """Both directions through one network."""

    @abstractmethod
    def forward(self, theta: Tensor, start: Tensor) -> tuple[Tensor, Trace]:
        """Return X(1), ``[n, d]``, in the channels that are read, and the trace, linear in layers times particles."""

    @abstractmethod
    def backward(self, theta: Tensor, trace: Trace, costate: Tensor, into: Tensor | None) -> Tensor:
        """Add the derivative by theta to ``into``; where that is None, return the costate at depth 0.

        Costates at depth 1 are 0 but in the channels that are read.
        """


def sweep(design: Design) -> Sweep:
    """Return the fastest sweep for a design."""
    plain = design.depth.substeps == 1 and design.depth.tableau == Tableau.euler()
    return ResidualTanh(design.outputs) if plain and isinstance(design.field, Tanh) else General(design)


class General(Sweep):
    """Any field, any explicit Runge-Kutta scheme in depth."""

    def __init__(self, design: Design) -> None:
        self.field, self.depth, self.tableau = design.field, design.depth, design.depth.tableau

    def forward(self, theta: Tensor, start: Tensor) -> tuple[Tensor, Trace]:
        """See :class:`Sweep`; autograd may go through."""
        x = start
        trace: Trace = []
        for cell in theta:
            x = self.cell(cell, x, len(theta), trace)
        return x, trace

    def cell(self, cell: Tensor, x: Tensor, layers: int, trace: Trace) -> Tensor:
        """Return the features after one of ``layers`` cells; add what ``backward`` needs to the trace."""
        h = 1 / (layers * self.depth.substeps * cell.shape[0])
        for _ in range(self.depth.substeps):
            rates: list[Tensor] = []
            for row in self.tableau.a:
                y = plus(x, row, rates, h)
                rate, kept = self.field.push(y, cell)
                rates.append(rate)
                trace.append((y, kept))
            x = plus(x, self.tableau.b, rates, h)
        return x

    def backward(self, theta: Tensor, trace: Trace, costate: Tensor, into: Tensor | None) -> Tensor:
        layers, particles, _ = theta.shape
        h = 1 / (layers * self.depth.substeps * particles)
        p, at = costate, len(trace)
        stages = len(self.tableau.b)
        for layer in range(layers - 1, -1, -1):
            for _ in range(self.depth.substeps):
                bars: list[Tensor] = [p] * stages
                for i in range(stages - 1, -1, -1):
                    at -= 1
                    y, kept = trace[at]
                    later = [self.tableau.a[j][i] for j in range(i + 1, stages)]
                    k = plus(self.tableau.b[i] * p, later, bars[i + 1 :], 1.0)
                    by_theta, by_x = self.field.pull(k, y, theta[layer], kept)
                    bars[i] = h * by_x
                    if into is not None:
                        into[layer].add_(by_theta, alpha=h)
                p = plus(p, (1.0,) * stages, bars, 1.0)
        return p


class ResidualTanh(Sweep):
    """Euler steps of :class:`Tanh`, in half the time of autograd.

    A column of ones beside the features makes weights and biases one matrix product, and products add into slices of
    the gradient. The last layer computes the channels that are read, the last ``read``, and no costate of the inputs is
    computed where the derivative by theta is asked for: a fifth of the work of three layers with many inputs.
    """

    def __init__(self, read: int) -> None:
        self.read = read

    def forward(self, theta: Tensor, start: Tensor) -> tuple[Tensor, Trace]:
        layers, particles, _ = theta.shape
        d = start.shape[1]
        x = torch.cat([start, start.new_ones(start.shape[0], 1)], 1)
        out = torch.cat([theta[:, :, :d], theta.new_zeros(layers, particles, 1)], 2)  # leaves the ones alone
        trace: Trace = []
        for layer in range(layers):
            t = (x @ theta[layer, :, d:].T).tanh_()
            trace.append((x, (t,)))
            if layer < layers - 1:
                x = torch.addmm(x, t, out[layer], alpha=1 / (layers * particles))
        rest = d - self.read
        end = torch.addmm(x[:, rest:d], t, theta[-1, :, rest:d], alpha=1 / (layers * particles))
        return torch.cat([x[:, :rest], end], 1) if rest else end, trace

    def backward(self, theta: Tensor, trace: Trace, costate: Tensor, into: Tensor | None) -> Tensor:
        layers, particles, _ = theta.shape
        d = costate.shape[1]
        h = 1 / (layers * particles)
        p, rest = costate, d - self.read
        for layer in range(layers - 1, -1, -1):
            x, (t,) = trace[layer]
            cell = theta[layer]
            q = p[:, rest:]  # the costate where it is not 0
            s = torch.ops.aten.tanh_backward(q @ cell[:, rest:d].T, t)
            if into is not None:
                into[layer, :, rest:d].addmm_(t.T, q, alpha=h)
                into[layer, :, d:].addmm_(s.T, x, alpha=h)
            if layer or into is None:
                p = torch.addmm(p, s, cell[:, d : 2 * d], alpha=h)
            rest = 0
        return p


class OdeNet(nn.Module):
    """The map from inputs to outputs of given particles; differentiable in inputs and particles.

    Args:
        design: the network.
        theta: the particles, ``[L, m, p]``; copied.

    Raises:
        ValueError: if the particles do not fit the design.

    >>> from maxslope.odenet import iid
    >>> design = Design(3, 2, 1)
    >>> OdeNet(design, iid(design, 4, 8)[0])(torch.zeros(5, 2, dtype=torch.float64)).shape
    torch.Size([5, 1])
    """

    def __init__(self, design: Design, theta: Tensor) -> None:
        nn.Module.__init__(self)
        design.check(theta)
        self.design = design
        self.theta = nn.Parameter(theta.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs ``[n, outputs]`` of inputs ``[n, *shape]``."""
        return self.design.leave(self.features(x)[-1])

    def features(self, x: Tensor) -> list[Tensor]:
        """Return X(0) and X after each layer, each ``[n, d]``."""
        whole = General(self.design)
        layers = self.theta.shape[0]
        found = [self.design.enter(x)]
        for layer in range(layers):
            found.append(whole.cell(self.theta[layer], found[-1], layers, []))
        return found
