"""Several classes: a partition of the box, each of whose boundaries moves by the law of its own pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from maxslope.boundary.densities import Densities
from maxslope.boundary.distance import gone
from maxslope.boundary.grid import Grid
from maxslope.boundary.limit import (
    LevelSet,
    Measured,
    WeightedPerimeter,
    derivatives,
    ending,
    redistanced,
    slopes,
    steps,
)
from maxslope.curve import Curve
from maxslope.energies import Evaluation
from maxslope.energies.base import plain
from maxslope.loop import Record, Steps, Stop, flow
from maxslope.schemes import Constant

_LIGHTEST = 0.1  # the weight of a class, at least, against the heaviest there: none would slip between two others


@dataclass(frozen=True, eq=False)
class PartitionPerimeter(Measured):
    r"""sum_k int rho_k dH^(d-1) over the boundary of A_k: every boundary of i and j counts with rho_i + rho_j.

    This is the limit of (robust risk - risk) / eps for a classifier of several classes, of whose class k the points of
    A_k within eps of its boundary are broken. The goal is reached where one class has all.

    Args:
        grid: the cells.
        rho: of the classes with their priors, ``[classes, *shape]``.
    """

    grid: Grid
    rho: Tensor

    def look(self, x: Tensor) -> Evaluation:
        parts = [WeightedPerimeter(self.grid, rho).look(u) for rho, u in zip(self.rho, x.unbind(1), strict=True)]
        left = torch.stack([~part.reached for part in parts]).sum(0)
        return plain(torch.stack([part.value for part in parts]).sum(0))._replace(reached=left < 2)


@dataclass(frozen=True, eq=False)
class PairLaw:
    r"""The distances u_k of all classes diffuse; now and then the largest takes all, and they become distances anew.

    du_k/dt = div(rho_kj grad u_k) / rho_kj, rho_kj = rho_k + rho_j, with j the strongest rival of k there: for a
    distance this is -(kappa + d_nu log rho_kj), the law of the pair. After some explicit steps of it class k is where
    rho_k u_k is largest, rho_k held above a tenth of the heaviest. On the boundary of a pair u_k = -u_j, and the
    weights do not matter; where three classes meet they make the angles that balance the tensions rho_k + rho_j, as in
    threshold dynamics, where the least of sum_j (rho_k + rho_j) G * 1_j is the largest rho_k (2 G * 1_k - 1).

    Args:
        grid: the cells.
        rho: of the classes, ``[classes, *shape]``.

    Source: S. Esedoglu, S. Ruuth, R. Tsai, J. Comput. Phys. 229 (2010) 1017-1042 (distances that diffuse);
    S. Esedoglu, F. Otto, Comm. Pure Appl. Math. 68 (2015) 808-864 (the largest takes all, by tensions).
    """

    grid: Grid
    rho: Tensor

    @cached_property
    def drifts(self) -> Tensor:
        """The gradients of log rho_kj, held above a thousandth of its maximum, ``[classes, classes, d, *shape]``."""
        pairs = [[a + b for b in self.rho] for a in self.rho]
        logs = [torch.stack([rho.clamp_min(1e-3 * float(rho.max())).log() for rho in row]) for row in pairs]
        return torch.stack([slopes(row, self.grid.h) for row in logs])

    def change(self, x: Tensor) -> Tensor:
        """Return du/dt of all rows, ``[rows, classes, *shape]``."""
        return torch.stack([self._of(u) for u in x])

    def anew(self, u: Tensor) -> Tensor:
        """Return the distances of the classes of a row, ``[classes, *shape]``, where the largest has taken all."""
        weights = self.rho.maximum(_LIGHTEST * self.rho.amax(0))
        return torch.stack([redistanced(v, self.grid) for v in shared(weights * u)])

    def _of(self, u: Tensor) -> Tensor:
        gradient, hessian = derivatives(u, self.grid.h)
        rival = rivals(u)[:, None, None].expand(-1, 1, self.grid.dim, *self.grid.shape)
        drift = self.drifts.gather(1, rival)[:, 0]
        return hessian.diagonal(dim1=1, dim2=2).sum(-1) + (drift * gradient).sum(1)


def rivals(v: Tensor) -> Tensor:
    """Return the strongest other class of every class, ``[classes, *shape]``."""
    first, second = v.topk(2, dim=0).indices
    number = torch.arange(len(v), device=v.device).reshape(-1, *(1,) * (v.ndim - 1))
    return torch.where(first == number, second, first)


def shared(v: Tensor) -> Tensor:
    """Return (v_k - max_{j != k} v_j) / 2, positive where k is the largest: a partition but for ties.

    Args:
        v: ``[classes, *shape]``.

    >>> shared(torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 3.0]]))
    tensor([[ 0.5000, -1.5000],
            [-0.5000, -1.0000],
            [-1.0000,  1.0000]])
    """
    return (v - v.gather(0, rivals(v))) / 2


def partition_flow(
    grid: Grid,
    rho: Tensor | Sequence[Tensor],
    u: Tensor,
    until: float,
    *,
    record: Record | None = None,
    redistance: int = 10,
    tell: Callable[[int, int], object] | None = None,
) -> Curve:
    """Follow the boundaries between several classes, each by the law of its own pair, junctions as they come.

    As eps -> 0, adversarial training adds eps times :class:`PartitionPerimeter` to the risk: the boundary of i and j
    has tension rho_i + rho_j, and moves by V = -kappa - d_nu log (rho_i + rho_j). In constant equal densities a class
    with n neighbors in the plane changes its area by (pi / 3) (n - 6), the law of von Neumann and Mullins. Reflection
    at the edge; classes may vanish. Where three meet, their angles balance the tensions (Herring's law), to first order
    in the cells, densities held above a tenth of the largest there.

    Args:
        grid: where.
        rho: densities of the classes with their priors, ``[classes, *shape]``.
        u: the class k is where u_k is largest, ``[classes, *shape]``; such as logits, or ``rho`` itself.
        until: the time, in length^2.
        record: which instants to keep; by default the first and the last.
        redistance: steps of h^2 / 5 (in space, 2 h^2 / 15) between two sharings.
        tell: called with the number of each step before it is made, and with that of all.

    Returns:
        A :class:`Curve` with one row of points ``[classes, *shape]``, positive where a class is, and the energy of
        :class:`PartitionPerimeter`, which is exact after a sharing. VANISHED tells that one class has all.

    Raises:
        ValueError: if there are fewer than two classes, shapes do not match, or one class has all.

    Source: arXiv:2404.14402 (two classes); of several by the same limit, see the page on boundaries.

    >>> grid = Grid((24, 24), -1, 1)
    >>> angle = torch.atan2(*grid.points().unbind(-1))
    >>> sectors = torch.stack([torch.cos(angle - 2 * torch.pi * k / 3) for k in range(3)])
    >>> curve = partition_flow(grid, torch.ones(3, 24, 24), sectors, 0.01)
    >>> curve.end.shape, (curve.end[0].argmax(0) != sectors.argmax(0)).sum() < 24  # 120 degrees: only the edge bends
    (torch.Size([1, 3, 24, 24]), tensor(True))
    """
    rho = torch.as_tensor(rho) if isinstance(rho, Tensor) else torch.stack(list(rho))
    if rho.ndim != grid.dim + 1 or rho.shape[0] < 2 or tuple(rho.shape[1:]) != grid.shape or rho.shape != u.shape:
        raise ValueError(
            f"Densities and functions of two classes or more are [classes, {', '.join(map(str, grid.shape))}], got "
            f"{tuple(rho.shape)} and {tuple(u.shape)}."
        )
    count = steps(until, grid)
    count += -count % max(redistance, 1)  # shared at the end
    fields = torch.stack([redistanced(v, grid) for v in shared(u.detach().double())])
    if int((~gone(fields)).sum()) < 2:
        raise ValueError("A partition has at least two classes somewhere, got one that has all; enlarge the grid.")
    rho = rho.detach().double()
    _ = Densities(rho[0], rho[1:].sum(0))  # checks their values
    law = PairLaw(grid, rho)
    told = None if tell is None else lambda step: tell(step, count)
    scheme = LevelSet(law.change, law.anew, Constant(until / count), redistance, told)
    energy, stop = PartitionPerimeter(grid, rho), Stop(reached=True)
    return ending(flow(energy, fields[None], scheme=scheme, until=Steps(count), stop=stop, record=record or Record(0)))
