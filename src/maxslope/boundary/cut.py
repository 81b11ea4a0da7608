"""Exact minimizers of nonlocal perimeters by minimum cuts."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from maxslope.boundary._optional import load
from maxslope.boundary.risk import Lattice
from maxslope.boundary.window import Level, overlap

FREE = -1


def minimum_cut(problem: Lattice, cost: Tensor, fixed: Tensor | None = None) -> Tensor:
    """Return argmin over sets A of Per_eps(A) + sum_{i in A} h^d cost_i, the largest minimizer, exactly.

    The supremum of a layer is a node above others, by the levels of the window; cells decided beforehand, and
    suprema they decide, take no part.

    Args:
        problem: grid, densities, window.
        cost: of a cell in A, ``[*shape]``, in units of density.
        fixed: int8 ``[*shape]``: 1 in A, 0 not in A, -1 free (all by default).

    Source: B. V. Cherkassky, A. V. Goldberg, Algorithmica 19 (1997) 390-410 (the algorithm).

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
    graph = _Graph(state, problem.window.levels, problem.window.reach)
    scale = problem.grid.cell / problem.eps
    rho0, rho1 = (t.cpu().numpy() * scale for t in (problem.densities.rho0, problem.densities.rho1))
    for price in (problem.grid.function(cost, "A cost").cpu().numpy() * problem.grid.cell, -rho0, rho1):
        graph.pay(graph.cells[free], price[free])  # one by one: what cancels goes on to cancel when rounded
    graph.suprema(rho0, rising=True)
    graph.suprema(rho1, rising=False)
    state[free] = ~graph.outside()[: int(free.sum())]
    return torch.from_numpy(state == 1)


class _Graph:
    """A flow network whose first nodes are the free cells; the source's side is A."""

    def __init__(self, state: np.ndarray, levels: tuple[Level, ...], reach: int) -> None:
        self.state, self.levels, self.reach = state, levels, reach
        self.count = 0
        self.cells = self._number(state == FREE)
        self.edges: list[tuple[np.ndarray, np.ndarray]] = [(self.cells[:0].ravel(),) * 2]
        self.ends: list[tuple[np.ndarray, np.ndarray]] = []

    def pay(self, nodes: np.ndarray, cost: np.ndarray) -> None:
        """Nodes pay their cost in A."""
        self.ends.append((nodes, cost))

    def suprema(self, price: np.ndarray, rising: bool) -> None:
        """Add sum price max_W u (rising), or - sum price min_W u.

        A node is the supremum of its children in levels below; 0: none can be one, 1: open, 2: one is. For the infimum
        the same is done with 1 - u.
        """
        one = self.state == (1 if rising else 0)
        states = [np.pad(np.where(self.state == FREE, 1, np.where(one, 2, 0)).astype(np.uint8), self.reach)]
        for children in self.levels:
            level = np.zeros_like(states[0])
            for k, o in children:
                here, there = overlap(o, level.shape)
                np.maximum(level[here], states[k][there], out=level[here])
            states.append(level)
        priced = np.pad(price, self.reach)
        used = [np.zeros(level.shape, dtype=bool) for level in states]
        used[-1] = (states[-1] == 1) & (priced > 0)
        for t in range(len(self.levels), 0, -1):
            for k, o in self.levels[t - 1]:
                here, there = overlap(o, used[t].shape)
                used[k][there] |= used[t][here] & (states[k][there] == 1)
        numbers = [np.pad(self.cells, self.reach, constant_values=-1), *map(self._number, used[1:])]
        cost = priced[used[-1]]
        self.pay(numbers[-1][used[-1]], cost if rising else -cost)
        for t, children in enumerate(self.levels, 1):
            for k, o in children:
                here, there = overlap(o, used[t].shape)
                both = used[t][here] & (states[k][there] == 1)
                up, down = numbers[t][here][both], numbers[k][there][both]
                self.edges.append((down, up) if rising else (up, down))

    def _number(self, mask: np.ndarray) -> np.ndarray:
        numbers = np.full(mask.shape, -1)
        numbers[mask] = self.count + np.arange(int(mask.sum()))
        self.count += int(mask.sum())
        return numbers

    def outside(self) -> np.ndarray:
        """Return which nodes reach the sink, by the push-relabel method of OR-Tools.

        Costs are rounded to multiples of q = 2^-58 of their sum S (to a power of two). The n of them change the energy
        of a set by n q / 2 at most, so that the set is optimal up to n q: 3e-13 S for 1e5 of them.
        """
        nodes, cost = (np.concatenate(column) for column in zip(*self.ends, strict=True))
        down, up = (np.concatenate(column) for column in zip(*self.edges, strict=True))
        total = float(np.abs(cost).sum())
        price = np.zeros(self.count, dtype=np.int64)
        if total > 0:
            np.add.at(price, nodes, np.rint(cost * 2.0 ** (58 - math.ceil(math.log2(total)))).astype(np.int64))
        inside, outside = np.flatnonzero(price < 0), np.flatnonzero(price > 0)
        source, sink = self.count, self.count + 1
        graph = load("ortools.graph.python.max_flow", "ortools").SimpleMaxFlow()
        graph.add_arcs_with_capacity(  # the first arc carries nothing; it names the two ends, where no other does
            np.concatenate([[source], down, np.full(len(inside), source), outside]).astype(np.int32),
            np.concatenate([[sink], up, inside, np.full(len(outside), sink)]).astype(np.int32),
            np.concatenate([[0], np.full(len(down), 2**60), -price[inside], price[outside]]).astype(np.int64),
        )
        status = graph.solve(source, sink)
        if status != graph.OPTIMAL:
            raise RuntimeError(f"The minimum cut was not found: OR-Tools says {status}.")
        reaching = np.zeros(self.count + 2, dtype=bool)
        reaching[graph.get_sink_side_min_cut()] = True
        return reaching


def nested_cuts(problem: Lattice, g: Tensor, tau: float, levels: Tensor, band: float) -> Tensor:
    """Return where u lies among ``levels``, u = argmin TV_eps(u) + (1/2 tau) int (u - g)^2 drho, by nested cuts.

    The sets {u >= s} shrink as s grows: a level is cut on the cells that those before left open, by bisection.

    Cells with |g| > band keep the sign of g. Returned is how many of the 2^m - 1 levels are at most u, ``[*shape]``.
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
