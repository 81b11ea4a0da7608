"""The smallest eigenvalue of the Hessian: the certificate of exponential convergence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maxslope.energies import Energy
from maxslope.odenet.metric import Hilbert
from maxslope.odenet.probe import Probe
from maxslope.spaces import Space

_DENSE = 80


@dataclass(frozen=True)
class Curvature:
    """The smallest eigenvalue of the Hessian of J in the metric.

    Attributes:
        smallest: the eigenvalue.
        error: |H v - smallest v| for its unit vector v: an eigenvalue lies this close.
        products: Hessian-vector products it took.
    """

    smallest: float
    error: float
    products: int

    @property
    def certifies(self) -> bool:
        """Whether the smallest eigenvalue is positive beyond its error: the limit is nondegenerate and theta = 1/2."""
        return self.smallest > 3 * self.error


def smallest_curvature(energy: Energy, x: Tensor, space: Space, *, products: int = 3000) -> Curvature:
    """Return lambda_min of Hess J(x) in the metric of ``space`` by Lanczos; dense for at most 80 coordinates.

    lambda_min > 0 at the limit proves that it is nondegenerate, and there the exponent of Lojasiewicz is 1/2, whatever
    a fit over a finite window says.

    Args:
        energy: of one row.
        x: the point, ``[*shape]``, float64.
        space: Lp(2) or a weighted one.
        products: a bound on Hessian-vector products, two gradients each.

    Returns:
        A :class:`Curvature`. Lanczos may miss an eigenvector orthogonal to its start: ``error`` bounds the distance to
        some eigenvalue, not to the smallest.

    Raises:
        ImportError: if scipy is not installed and there are more than 80 coordinates.

    Source: Lehoucq, Sorensen, Yang, ARPACK users' guide (1998); arXiv:2311.15365 (the inequality it certifies).

    >>> from maxslope import Lp
    >>> from maxslope.energies import Quadratic
    >>> found = smallest_curvature(Quadratic(torch.diag(torch.tensor([3.0, 0.5]))), torch.zeros(2).double(), Lp(2))
    >>> round(found.smallest, 6), found.certifies
    (0.5, True)
    """
    probe, point = Probe(energy, Hilbert(space)), x[None]
    count = 0

    def apply(v: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        way = torch.as_tensor(np.array(v).reshape(point.shape), dtype=x.dtype, device=x.device)
        return probe.bend(point, way).cpu().double().numpy().reshape(-1)

    n = x.numel()
    if n <= _DENSE:
        matrix = np.stack([apply(e) for e in np.eye(n)], 1)
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
        value, vector = float(values[0]), vectors[:, 0]
    else:
        value, vector = _lanczos(apply, n, products)
    return Curvature(value, float(np.linalg.norm(apply(vector) - value * vector)), count)


def _lanczos(apply, n: int, products: int) -> tuple[float, np.ndarray]:  # type: ignore[no-untyped-def]
    try:
        from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
    except ImportError as error:
        raise ImportError('The smallest eigenvalue needs scipy: pip install "maxslope[flows]".') from error
    operator = LinearOperator((n, n), matvec=apply, dtype=np.float64)
    width = min(n, 60)
    start = np.cos(np.arange(n))  # the same answer in every run
    try:
        values, vectors = eigsh(
            operator, k=1, which="SA", ncv=width, tol=1e-6, v0=start, maxiter=max(1, products // (width // 2))
        )
    except ArpackNoConvergence:
        values, vectors = eigsh(operator, k=1, which="SA", ncv=min(n, 2 * width), tol=1e-2, v0=start, maxiter=10_000)
    return float(values[0]), vectors[:, 0]
