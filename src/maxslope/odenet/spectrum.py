"""The smallest eigenvalue of the Hessian: the certificate of exponential convergence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maxslope.energies import Energy
from maxslope.odenet.metric import Hilbert
from maxslope.odenet.probe import Probe, Spot
from maxslope.spaces import Space

_DENSE = 80
_DRIFT = 0.25  # Kantorovich's condition is 1/2; half of it is left for what the estimate does not see


@dataclass(frozen=True)
class Curvature:
    """The smallest eigenvalue of the Hessian of J in the metric, at a point x near a limit.

    Attributes:
        smallest: the eigenvalue.
        error: |H v - smallest v| for its unit vector v: an eigenvalue lies this close.
        drift: its relative change over |dJ| / smallest along v, about as far as the limit lies; inf where the
            eigenvalue is not positive. Near the minimum of |x|^p, p >= 3, it is at least 1/2 however close x comes.
        products: Hessian-vector products it took.
    """

    smallest: float
    error: float
    drift: float
    products: int

    @property
    def positive(self) -> bool:
        """Whether the eigenvalue is positive beyond its error."""
        return self.smallest > 3 * self.error

    @property
    def certifies(self) -> bool:
        """Whether it is positive and drifts by at most 1/4: then the limit is nondegenerate and theta = 1/2."""
        return self.positive and self.drift <= _DRIFT


def smallest_curvature(energy: Energy, x: Tensor, space: Space, *, products: int = 1000) -> Curvature:
    """Return lambda_min of Hess J(x) in the metric of ``space`` by Lanczos; dense for at most 80 coordinates.

    lambda_min > 0 at the limit proves that it is nondegenerate, and there the exponent of Lojasiewicz is 1/2, whatever
    a fit over a finite window says. A flow ends before its limit, and lambda_min > 0 there proves nothing by itself:
    x^4 has it at every x but 0. So the change of the eigenvalue over the distance |dJ| / lambda_min is measured too:
    with K the Lipschitz constant of the Hessian, K |dJ| / lambda_min^2 <= 1/2 is the condition of Kantorovich for a
    nondegenerate critical point within 2 |dJ| / lambda_min. K is estimated along the eigenvector alone.

    Args:
        energy: of one row.
        x: the point, ``[*shape]``, float64.
        space: Lp(2) or a weighted one.
        products: a bound on the steps of Lanczos, of two gradients and a vector of memory each.

    Returns:
        A :class:`Curvature`. Lanczos may miss an eigenvector orthogonal to its start: ``error`` bounds the distance to
        some eigenvalue, not to the smallest.

    Source: Parlett, The symmetric eigenvalue problem (1998), chapter 13; Kantorovich and Akilov, Functional analysis
    (1982), chapter 18; arXiv:2311.15365 (the inequality it certifies).

    >>> from maxslope import Lp
    >>> from maxslope.energies import Quadratic
    >>> found = smallest_curvature(Quadratic(torch.diag(torch.tensor([3.0, 0.5]))), torch.zeros(2).double(), Lp(2))
    >>> round(found.smallest, 6), found.certifies
    (0.5, True)
    """
    probe = Probe(energy, Hilbert(space))
    here = probe.spot(x[None])
    weight = probe.hilbert.weight
    root = weight.to(x).sqrt() if isinstance(weight, Tensor) else 1.0  # makes the operator symmetric

    def way(v: np.ndarray) -> Tensor:
        return torch.as_tensor(np.array(v).reshape(here.x.shape), dtype=x.dtype, device=x.device) / root

    def apply(v: np.ndarray) -> np.ndarray:
        return (probe.bend(here.x, way(v)) * root).cpu().double().numpy().reshape(-1)

    n = x.numel()
    if n <= _DENSE:
        matrix = np.stack([apply(e) for e in np.eye(n)], 1)
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
        value, vector = float(values[0]), vectors[:, 0]
    else:
        value, vector = _lanczos(apply, n, products)
    error = float(np.linalg.norm(apply(vector) - value * vector))
    drift = _drift(probe, here, value, way(vector))
    return Curvature(value, error, drift, (probe.count - 1) // 2)  # two gradients each


def _drift(probe: Probe, here: Spot, value: float, way: Tensor) -> float:
    """The largest relative change of <v, H v> at distance |dJ| / value along v, to both sides."""
    if value <= 0:
        return math.inf
    way = way / probe.norm(way)
    step = way * (here.slope / value)
    return max(abs(probe.hilbert.inner(way, probe.bend(z, way)) / value - 1) for z in (here.x - step, here.x + step))


def _lanczos(apply: Callable[[np.ndarray], np.ndarray], n: int, most: int) -> tuple[float, np.ndarray]:
    """The smallest Ritz value and its vector, until its residual is 1e-4 of it or below what products can tell.

    Without restarts, which cost ARPACK five to ten times the products where eigenvalues crowd at the lower end; every
    vector is made orthogonal to all before, twice.
    """
    q = np.cos(np.arange(n))  # the same answer in every run
    basis = [q / np.linalg.norm(q)]
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        q = apply(basis[-1])
        diagonal.append(float(basis[-1] @ q))
        whole = np.stack(basis)
        for _ in range(2):
            q = q - (whole @ q) @ whole
        size = float(np.linalg.norm(q))
        count = len(basis)
        done = count >= most or size <= 1e-12 * abs(diagonal[0])
        if done or count % 20 == 0:
            off = np.array(beside)
            values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1))
            left = size * abs(float(vectors[-1, 0]))
            if done or left <= max(1e-4 * abs(values[0]), 1e-9 * abs(values[-1])):
                return float(values[0]), vectors[:, 0] @ whole
        beside.append(size)
        basis.append(q / size)
