"""Several classes: a partition of the box, each of whose boundaries moves by the law of its own pair."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from maxslope._status import Status
from maxslope.boundary.densities import Densities
from maxslope.boundary.distance import vanished
from maxslope.boundary.grid import Grid
from maxslope.boundary.limit import WeightedPerimeter, derivatives, redistanced
from maxslope.curve import Curve
from maxslope.energies import Energy, Evaluation
from maxslope.energies.base import plain
from maxslope.loop import Record, Steps, Stop, flow
from maxslope.schemes import Here, Memory, Scheme, StepSize
from maxslope.schemes.steps import step_size
from maxslope.spaces import Lp, Space

_LIGHTEST = 0.1  # the weight of a class, at least, against the heaviest there: none would slip between two others


@dataclass(frozen=True, eq=False)
class PartitionPerimeter(Energy):
    r"""sum_k int rho_k dH^(d-1) over the boundary of A_k: every boundary of i and j counts with rho_i + rho_j.

    This is the limit of (robust risk - risk) / eps for a classifier of several classes, of whose class k the points of
    A_k within eps of its boundary are broken. Only values are known.

    Args:
        grid: the cells.
        rho: of the classes with their priors, ``[classes, *shape]``.
    """

    grid: Grid
    rho: Tensor

    def evaluate(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`; the gradient has size zero."""
        return self.look(x)

    def look(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`; the goal is reached where one class has all."""
        parts = [WeightedPerimeter(self.grid, rho).look(u).value for rho, u in zip(self.rho, x.unbind(1), strict=True)]
        left = torch.tensor([sum(not vanished(u) for u in row) for row in x])
        return plain(torch.stack(parts).sum(0))._replace(reached=left < 2)

    def take(self, index: Tensor) -> PartitionPerimeter:
        """See :class:`Energy`."""
        return self

    @property
    def passes(self) -> int:
        """See :class:`Energy`."""
        return 1


@dataclass(frozen=True, eq=False, init=False)
class Junctions(Scheme):
    r"""The distances d_k of all classes diffuse; now and then the largest takes all, and they become distances anew.

    du_k/dt = div(rho_kj grad u_k) / rho_kj, rho_kj = rho_k + rho_j, with j the strongest rival of k there: for a
    distance this is -(kappa + d_nu log rho_kj), the law of the pair. After ``redistance`` explicit steps of it class k
    is where rho_k u_k is largest, rho_k held above a tenth of the heaviest. On the boundary of a pair u_k = -u_j, and
    the weights do not matter; where three classes meet they make the angles that balance the tensions rho_k + rho_j, as
    in threshold dynamics, where the least of sum_j (rho_k + rho_j) G * 1_j is the largest rho_k (2 G * 1_k - 1).

    Args:
        grid: the cells.
        rho: of the classes, ``[classes, *shape]``.
        tau: step size in time; at most 0.4 h^2 / d is stable.
        redistance: steps between two sharings, at least 1; less than a cell is diffused over if there are few.
        tell: called with the number of each step before it is made.

    Source: S. Esedoglu, S. Ruuth, R. Tsai, J. Comput. Phys. 229 (2010) 1017-1042 (distances that diffuse);
    S. Esedoglu, F. Otto, Comm. Pure Appl. Math. 68 (2015) 808-864 (the largest takes all, by tensions).
    """

    grid: Grid
    weights: Tensor
    drifts: tuple[tuple[Tensor, ...], ...]
    redistance: int
    tau: StepSize
    space: Space
    rate: float
    tell: Callable[[int], object] | None

    def __init__(
        self,
        grid: Grid,
        rho: Tensor,
        tau: float | Tensor | StepSize,
        redistance: int = 10,
        tell: Callable[[int], object] | None = None,
    ) -> None:
        if redistance < 1:
            raise ValueError(f"At least one step lies between two redistancings, got redistance={redistance!r}.")
        object.__setattr__(self, "grid", grid)
        object.__setattr__(self, "weights", rho.maximum(_LIGHTEST * rho.amax(0)))
        object.__setattr__(self, "drifts", tuple(tuple(_drift(a + b, grid) for b in rho) for a in rho))
        object.__setattr__(self, "redistance", redistance)
        object.__setattr__(self, "tau", step_size(tau))
        object.__setattr__(self, "space", Lp(math.inf))
        object.__setattr__(self, "rate", math.inf)
        object.__setattr__(self, "tell", tell)

    def start(self, x: Tensor) -> Memory:
        """See :class:`Scheme`; the steps made."""
        return (torch.zeros(x.shape[0], dtype=torch.int64, device=x.device),)

    def step(self, here: Here, memory: Memory) -> tuple[Tensor, Memory]:
        """See :class:`Scheme`."""
        made = memory[0] + 1
        if self.tell is not None:
            self.tell(int(made.max()))
        rows = []
        for u, tau, count in zip(here.x, here.tau.tolist(), made.tolist(), strict=True):
            new = u + tau * torch.stack([self._change(k, u) for k in range(len(u))])
            if count % self.redistance == 0:
                new = torch.stack([redistanced(v, self.grid) for v in shared(self.weights * new)])
            rows.append(new)
        return torch.stack(rows), (made,)

    def _change(self, k: int, u: Tensor) -> Tensor:
        """du_k/dt; the strongest rival differs from place to place."""
        order = u.topk(2, dim=0).indices
        rival = torch.where(order[0] == k, order[1], order[0])
        gradient, hessian = derivatives(u[k][None], self.grid.h)
        drift = torch.zeros_like(gradient[0])
        for j in sorted(set(rival.flatten().tolist())):
            drift = torch.where(rival == j, self.drifts[k][j], drift)
        return hessian[0].diagonal(dim1=0, dim2=1).sum(-1) + (drift * gradient[0]).sum(0)


def _drift(rho: Tensor, grid: Grid) -> Tensor:
    """The gradient of log rho, ``[d, *shape]``."""
    gradient, _ = derivatives(_held(rho).log()[None], grid.h)
    return gradient[0]


def _held(rho: Tensor) -> Tensor:
    """rho, held above a thousandth of its maximum."""
    return rho.clamp_min(1e-3 * float(rho.max()))


def shared(v: Tensor) -> Tensor:
    """Return (v_k - max_{j != k} v_j) / 2, positive where k is the largest: a partition but for ties.

    Args:
        v: ``[classes, *shape]``.

    >>> shared(torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 3.0]]))
    tensor([[ 0.5000, -1.5000],
            [-0.5000, -1.0000],
            [-1.0000,  1.0000]])
    """
    top = v.topk(2, dim=0)
    number = torch.arange(len(v), device=v.device).reshape(-1, *(1,) * (v.ndim - 1))
    return (v - torch.where(top.indices[0] == number, top.values[1], top.values[0])) / 2


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

    Adversarial training of a classifier of several classes adds to its risk eps sum_k int rho_k over the boundary of
    A_k, as eps -> 0: the boundary of i and j has tension rho_i + rho_j, and moves by V = -kappa - d_nu log (rho_i +
    rho_j). In constant equal densities a class with n neighbors in the plane changes its area by (pi / 3) (n - 6), the
    law of von Neumann and Mullins. Reflection at the edge; classes may vanish. Where three meet, their angles balance
    the tensions (Herring's law), to first order in the cells, densities held above a tenth of the largest there.

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
    if not 0 <= until < math.inf:
        raise ValueError(f"until is a finite time >= 0, got until={until!r}.")
    fields = torch.stack([redistanced(v, grid) for v in shared(u.detach().double())])
    if sum(not vanished(v) for v in fields) < 2:
        raise ValueError("A partition has at least two classes somewhere, got one that has all; enlarge the grid.")
    rho = rho.detach().double()
    _ = Densities(rho[0], rho[1:].sum(0))  # checks their values
    count = max(math.ceil(until / (0.4 * grid.h**2 / grid.dim)), 1)
    count = redistance * math.ceil(count / redistance)  # shared at the end
    told = None if tell is None else lambda step: tell(step, count)
    scheme = Junctions(grid, rho, until / count, redistance, told)
    energy = PartitionPerimeter(grid, rho)
    curve = flow(
        energy, fields[None], scheme=scheme, until=Steps(count), stop=Stop(reached=True), record=record or Record(0)
    )
    status = torch.where(curve.status == Status.REACHED, int(Status.VANISHED), curve.status)
    return replace(curve, status=status)
