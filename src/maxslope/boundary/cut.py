"""Exact minimizers of nonlocal perimeters by minimum cuts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from maxslope.boundary import _optional as optional
from maxslope.boundary.risk import Lattice
from maxslope.boundary.window import Offset, Offsets

FREE = -1


def minimum_cut(problem: Lattice, cost: Tensor, fixed: Tensor | None = None, factorized: bool = True) -> Tensor:
    """Return argmin over sets A of Per_eps(A) + sum_{i in A} h^d cost_i, the largest minimizer.

    The supremum of a layer is a chain of nodes, one level for each factor of the window; cells decided beforehand, and
    layers they decide, take no part. The cut is exact: the energy is submodular.

    Args:
        problem: grid, densities, window.
        cost: of a cell in A, ``[*shape]``, in units of density.
        fixed: int8 ``[*shape]``: 1 in A, 0 not in A, -1 free (all by default).
        factorized: whether to use the factors of the window; the naive graph is there to be compared with.

    Returns:
        Bool ``[*shape]``.

    Source: Y. Boykov, V. Kolmogorov, IEEE PAMI 26 (2004) 1124-1137 (the algorithm); the graph is described in the
    documentation of the boundary flow.

    >>> from maxslope.boundary import Densities, Grid
    >>> from maxslope.boundary.window import Window
    >>> from maxslope.spaces import Lp
    >>> one = torch.ones(8, 8)
    >>> problem = Lattice(Grid((8, 8), -1, 1), Densities(one, one), Window(1, Lp(1), 2))
    >>> cost = torch.where(torch.arange(8)[:, None] < 4, -20.0, 20.0).expand(8, 8)
    >>> minimum_cut(problem, cost).sum()
    tensor(32)
    """
    state = np.full(problem.grid.shape, FREE, dtype=np.int8) if fixed is None else fixed.cpu().numpy().astype(np.int8)
    free = state == FREE
    if not free.any():
        return torch.from_numpy(state == 1)
    graph = _Graph(state, problem.window.factors if factorized else (problem.window.offsets,))
    scale = problem.grid.cell / problem.eps
    rho0, rho1 = (t.cpu().numpy() * scale for t in (problem.densities.rho0, problem.densities.rho1))
    graph.cells(problem.grid.function(cost, "A cost").cpu().numpy() * problem.grid.cell - rho0 + rho1)
    graph.chain(rho0, rising=True)
    graph.chain(rho1, rising=False)
    state[free] = graph.solve()
    return torch.from_numpy(state == 1)


class _Graph:
    """A flow network over the free cells; the source's side is A."""

    def __init__(self, state: np.ndarray, factors: tuple[Offsets, ...]) -> None:
        self.state, self.free = state, state == FREE
        self.factors = [sorted(f) for f in factors]
        self.reaches = [max(max(abs(k) for k in o) for o in f) for f in self.factors]
        self.count = int(self.free.sum())
        self.edges: list[tuple[np.ndarray, np.ndarray]] = []
        self.ends: list[tuple[np.ndarray, np.ndarray]] = []  # nodes and the cost of their being in A

    def cells(self, cost: np.ndarray) -> None:
        """Every free cell pays its cost in A."""
        self.ends.append((np.arange(self.count), cost[self.free]))

    def chain(self, price: np.ndarray, rising: bool) -> None:
        """Add sum price max_W u (rising), or - sum price min_W u.

        A node of a level is the supremum of its children in the level below; 0: none can be one, 1: open, 2: one is.
        For the infimum the same is done with 1 - u.
        """
        pad = sum(self.reaches)
        one = self.state == (1 if rising else 0)
        level = np.pad(np.where(self.free, 1, np.where(one, 2, 0)).astype(np.uint8), pad)
        states = [level]
        for factor, reach in zip(self.factors, self.reaches, strict=True):
            level = np.zeros(tuple(n - 2 * reach for n in states[-1].shape), dtype=np.uint8)
            for o in factor:
                np.maximum(level, states[-1][_shifted(o, reach, level.shape)], out=level)
            states.append(level)
        wanted = (states[-1] == 1) & (price > 0)
        parents = self._number(wanted)
        self.ends.append((parents[wanted], price[wanted] if rising else -price[wanted]))
        for k in range(len(self.factors) - 1, -1, -1):
            children = self._children(states[k], wanted, k, pad)
            for o in self.factors[k]:
                where = _shifted(o, self.reaches[k], wanted.shape)
                both = wanted & (states[k][where] == 1)
                up, down = parents[both], children[where][both]
                self.edges.append((down, up) if rising else (up, down))
            wanted, parents = children >= 0, children

    def _children(self, below: np.ndarray, wanted: np.ndarray, k: int, pad: int) -> np.ndarray:
        """Numbers of the open nodes under the wanted ones of level k + 1; the lowest level is the cells."""
        if k == 0:
            numbers = np.full(self.state.shape, -1)
            numbers[self.free] = np.arange(self.count)[: int(self.free.sum())]
            return np.pad(numbers, pad, constant_values=-1)
        used = np.zeros(below.shape, dtype=bool)
        for o in self.factors[k]:
            used[_shifted(o, self.reaches[k], wanted.shape)] |= wanted
        return self._number(used & (below == 1))

    def _number(self, mask: np.ndarray) -> np.ndarray:
        numbers = np.full(mask.shape, -1)
        size = int(mask.sum())
        numbers[mask] = np.arange(self.count, self.count + size)
        self.count += size
        return numbers

    def solve(self) -> np.ndarray:
        """Cut, and return which free cells are in A."""
        graph: Any = optional.maxflow().Graph[float](self.count, sum(len(a) for a, _ in self.edges))
        graph.add_nodes(self.count)
        total = 1.0 + sum(float(np.abs(cost).sum()) for _, cost in self.ends)
        for a, b in self.edges:
            graph.add_edges(a, b, np.full(len(a), total), np.zeros(len(a)))
        for nodes, cost in (end for end in self.ends if len(end[0])):
            graph.add_grid_tedges(nodes, np.maximum(-cost, 0), np.maximum(cost, 0))
        graph.maxflow()
        outside: np.ndarray = graph.get_grid_segments(np.arange(int(self.free.sum())))
        return ~outside


def _shifted(o: Offset, reach: int, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(reach + k, reach + k + n) for k, n in zip(o, shape, strict=True))


def nested_cuts(problem: Lattice, g: Tensor, tau: float, levels: Tensor, band: float) -> Tensor:
    """Return where u lies among ``levels``, u = argmin TV_eps(u) + (1/2 tau) int (u - g)^2 drho, by nested cuts.

    {u >= s} minimizes Per_eps(A) + (1/tau) int_A (s - g) drho, and these sets shrink as s grows: level s is cut on the
    cells that the levels cut before left open, in the order of bisection.

    Args:
        problem: grid, densities, window.
        g: ``[*shape]``, the signed distance before the step.
        tau: time step, in length^2.
        levels: s, ``[2^m - 1]``, increasing.
        band: cells with |g| > band keep the sign of g.

    Returns:
        int64 ``[*shape]``: how many levels are at most u.
    """
    count = levels.numel()
    low, high = torch.zeros(g.shape, dtype=torch.int64), torch.full(g.shape, count)
    low[g >= band], high[g <= -band] = count, 0
    queue = [(0, count)]
    while queue:
        a, b = queue.pop(0)
        middle = (a + b) // 2
        here = (low == a) & (high == b)
        if not bool(here.any()):
            continue
        fixed = torch.where(here, FREE, (low > middle).to(torch.int8)).to(torch.int8)
        inside = minimum_cut(problem, problem.densities.rho * (float(levels[middle]) - g) / tau, fixed)
        low[here & inside], high[here & ~inside] = middle + 1, middle
        queue += [(lo, hi) for lo, hi in ((a, middle), (middle + 1, b)) if lo < hi]
    return low
