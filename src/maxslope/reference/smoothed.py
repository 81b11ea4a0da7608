"""An independent check: the smoothed inclusion by a stiff integrator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from maxslope._optional import optional
from maxslope._rows import flat
from maxslope.energies import Constrained, Energy
from maxslope.sets import Everything


def smoothed(energy: Energy, x: Tensor, times: Sequence[float], delta: float, *, tolerance: float = 1e-9) -> Tensor:
    """Return the points at ``times`` of u' = -tanh(dE(u) / delta), extrapolated linearly to delta = 0.

    As delta tends to 0 this becomes the l_inf inclusion; on a sliding set the smoothed curve stays O(delta) away, and
    2 u(delta / 2) - u(delta) removes the linear term.

    Args:
        energy: smooth and without constraint.
        x: ``[rows, *shape]``.
        times: increasing, not negative.
        delta: in units of each row's largest gradient component at the start.
        tolerance: relative and absolute, of the integrator (Radau IIA of order five).

    Returns:
        ``[times, rows, *shape]``, float64.

    Raises:
        ValueError: if the energy is constrained.
        ImportError: if scipy is not installed.

    >>> from maxslope.energies import Quadratic
    >>> out = smoothed(Quadratic(torch.eye(1)), torch.ones(1, 1), [0.5, 2.0], 1e-3)
    >>> torch.allclose(out.flatten(), torch.tensor([0.5, 0.0]).double(), atol=1e-4)
    True
    """
    if isinstance(energy, Constrained) and not isinstance(energy.domain, Everything):
        raise ValueError("The smoothed inclusion has no constraint; compare where the budget does not bind.")
    rows = []
    for i in range(x.shape[0]):
        index = torch.tensor([i])
        start = flat(x[index].double())[0].numpy()
        own = energy.take(index)
        size = delta * float(own.evaluate(x[index].double()).gradient.abs().max())
        coarse, fine = (_integrate(own, start, x[index].shape, times, s, tolerance) for s in (size, size / 2))
        rows.append(2 * fine - coarse)
    return torch.from_numpy(np.stack(rows, 1)).reshape(len(times), *x.shape)


def _integrate(
    energy: Energy, start: np.ndarray, shape: torch.Size, times: Sequence[float], delta: float, tolerance: float
) -> np.ndarray:
    with optional("The stiff solver needs scipy", "[flows]"):
        from scipy.integrate import solve_ivp

    def velocity(_: float, u: np.ndarray) -> np.ndarray:
        gradient = flat(energy.evaluate(torch.from_numpy(u).reshape(shape)).gradient)[0].numpy()
        return -np.tanh(gradient / delta)

    answer = solve_ivp(velocity, (0.0, times[-1]), start, "Radau", times, rtol=tolerance, atol=tolerance)
    points: np.ndarray = answer.y.T
    return points
