"""The network as a module that any attack or evaluation takes."""

from __future__ import annotations

from torch import Tensor, nn

from maxslope.odenet.design import Design
from maxslope.odenet.sweep import General


class OdeNet(nn.Module):
    """The map from inputs to outputs of given particles; differentiable in inputs and particles.

    Args:
        design: the network.
        theta: the particles, ``[L, m, p]``; copied.

    Raises:
        ValueError: if the particles do not fit the design.

    >>> import torch
    >>> from maxslope.odenet import Design, iid
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
