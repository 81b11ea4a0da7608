"""The two classes: densities rho0 and rho1 on a grid, from functions or samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope.boundary._optional import load
from maxslope.boundary.grid import Grid, shares


@dataclass(frozen=True, eq=False)
class _Given:
    """What :class:`Densities` hold, in the form in which it is used."""

    rho0: Tensor
    rho1: Tensor


class Densities(_Given):
    """Densities of the classes 0 and 1, with their priors.

    Args:
        rho0: ``[*shape]``, not negative, in mass per length^d.
        rho1: likewise.

    Raises:
        ValueError: if the shapes differ, a value is negative or not finite, or all are zero.

    >>> d = Densities(torch.full((8, 8), 1.0), torch.full((8, 8), 3.0))
    >>> float(d.eta[0, 0]), d.rho.dtype
    (0.75, torch.float64)
    """

    def __init__(self, rho0: Tensor, rho1: Tensor) -> None:
        if rho0.shape != rho1.shape:
            raise ValueError(
                f"The two densities share one grid, got shapes {tuple(rho0.shape)} and {tuple(rho1.shape)}."
            )
        _Given.__init__(self, rho0.detach().double(), rho1.detach().double())
        for name, value in (("rho0", self.rho0), ("rho1", self.rho1)):
            if not bool((value.isfinite() & (value >= 0)).all()):
                raise ValueError(
                    f"Densities are finite and not negative, got {name} with minimum {float(value.min())}."
                )
        if not float(self.rho.max()) > 0:
            raise ValueError("Densities must be positive somewhere, got zeros everywhere.")

    @property
    def rho(self) -> Tensor:
        """rho0 + rho1."""
        return self.rho0 + self.rho1

    @property
    def eta(self) -> Tensor:
        """P(y = 1 | x) = rho1 / rho; 1/2 where there is no mass."""
        rho = self.rho
        return torch.where(rho > 0, self.rho1 / torch.where(rho > 0, rho, 1.0), 0.5)

    @property
    def bayes(self) -> Tensor:
        """2 eta - 1, positive where the Bayes classifier says 1."""
        return 2 * self.eta - 1

    def floored(self, share: float = 1e-3) -> Densities:
        """Return densities with rho >= share max rho: the law divides by rho, and its drift is clipped there.

        Raises:
            ValueError: if the share is not in [0, 1).
        """
        if not 0 <= share < 1:
            raise ValueError(f"The floor is a share of the largest density in [0, 1), got {share!r}.")
        missing = (share * self.rho.max() - self.rho).clamp_min(0) / 2
        return Densities(self.rho0 + missing, self.rho1 + missing)

    def to(self, like: Tensor) -> Densities:
        """Return the densities on the device of ``like``."""
        return Densities(self.rho0.to(like.device), self.rho1.to(like.device))

    @staticmethod
    def from_functions(grid: Grid, f0: Callable[[Tensor], Tensor], f1: Callable[[Tensor], Tensor]) -> Densities:
        """Return the values of two functions of points ``[*shape, d]`` at the centers.

        >>> grid = Grid((8, 8), -1, 1)
        >>> Densities.from_functions(grid, lambda x: x[..., 0].exp(), lambda x: 1 - 0 * x[..., 0]).rho.shape
        torch.Size([8, 8])
        """
        x = grid.points()
        return Densities(grid.function(f0(x), "A density"), grid.function(f1(x), "A density"))

    @staticmethod
    def from_samples(grid: Grid, x: Tensor, y: Tensor, bandwidth: float | None = None) -> Densities:
        """Return Gaussian kernel density estimates, the priors being the shares of the labels.

        rho_k(z) = (1/n) sum_{y_i = k} N(z; x_i, bandwidth^2 I), reflected at the edge so that mass stays. Samples are
        shared among the nearest cells, which widens them by h^2/6 a direction, and the kernel is narrowed by as much.

        Args:
            grid: where.
            x: ``[n, d]``, samples in the box.
            y: ``[n]``, labels 0 and 1.
            bandwidth: standard deviation of the kernel, in length units; by default Scott's rule, by class,
                sigma n_k^(-1/(d+4)), with the sigma of all samples where those of a class are one point.

        Raises:
            ValueError: if shapes do not match, labels are not 0 and 1, samples lie outside, or the bandwidth is less
                than h.

        Source: D. W. Scott, Multivariate Density Estimation (1992), section 6.3.
        """
        if x.ndim != 2 or x.shape[1] != grid.dim or y.shape != x.shape[:1] or not x.shape[0]:
            raise ValueError(
                f"Samples are [n, {grid.dim}] with one label each, got shapes {tuple(x.shape)} and {tuple(y.shape)}."
            )
        if not bool(((y == 0) | (y == 1)).all()):
            raise ValueError(
                f"Labels are 0 and 1, got values from {y.min().item()} to {y.max().item()}; choose two classes."
            )
        x = x.detach().cpu().double()
        low, high = x.new_tensor(grid.low), x.new_tensor(grid.high)
        if not bool(((x >= low) & (x <= high)).all()):
            raise ValueError(
                f"Samples lie in the box of the grid, {grid.low} to {grid.high}, got coordinates from "
                f"{x.amin(0).tolist()} to {x.amax(0).tolist()}; enlarge the grid or drop them."
            )
        parts = [_kernel_density(grid, x[y.cpu() == k], x, bandwidth) for k in (0, 1)]
        return Densities(*parts)


def _kernel_density(grid: Grid, x: Tensor, samples: Tensor, bandwidth: float | None) -> Tensor:
    """The smoothed histogram of one class, with the share of the class as its mass."""
    if not x.shape[0]:
        return torch.zeros(grid.shape, dtype=torch.float64)
    sigma = float(x.std(0, correction=0).mean()) or float(samples.std(0, correction=0).mean())
    width = max(sigma * len(x) ** (-1 / (grid.dim + 4)), grid.h) if bandwidth is None else float(bandwidth)
    if not width >= grid.h:
        raise ValueError(f"The bandwidth of a kernel density is at least h = {grid.h}, got {width}; refine the grid.")
    cells, weights = shares(grid.to_index(x))
    inner = cells.clamp_min(0).minimum(torch.tensor(grid.shape) - 1)
    counts = torch.zeros(grid.shape, dtype=torch.float64)
    counts.index_put_(inner.unbind(-1), weights, accumulate=True)
    spread = (width**2 - grid.h**2 / 6) ** 0.5 / grid.h
    smooth = load("scipy.ndimage", "scipy").gaussian_filter(counts.numpy(), spread, mode="reflect", truncate=6.0)
    return torch.from_numpy(smooth) / (samples.shape[0] * grid.cell)
