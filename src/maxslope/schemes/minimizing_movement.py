"""Minimize the energy itself over everything a step may reach."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maxslope.schemes.base import Account, Accounting, Here, Memory, check_rate
from maxslope.schemes.inner import Descent, Inner, Problem, Solution
from maxslope.schemes.steps import StepSize, step_size
from maxslope.sets import BallBox, Box, Set, near
from maxslope.sets._roots import root
from maxslope.spaces import Lp, Space


@dataclass(frozen=True, eq=False, init=False)
class MinimizingMovement(Accounting):
    """x+ in argmin { E(z) : z in K, |z - x| <= tau }  (rate inf),
    x+ in argmin { E(z) + |z - x|^p / (p tau^(p-1)) : z in K }  (rate p < inf).

    The energy never rises. For p < inf, with w(r) in argmin { E : |z - x| <= r }, the answer is w(r) at the root of
    (r / tau)^(p-1) = |dE|(w(r)), the balance of the two slopes: the first local minimizer over r, and the only one for
    tau small. So one kind of inner problem, a ball, serves every rate and norm.

    The discrete energy inequality of the De Giorgi interpolation w,

        E(x+) + int_0^tau |dE|(w(r)) dr <= E(x)                                            (rate inf)
        E(x+) + d^p / (p tau^(p-1)) + int_0^tau |dE|^q(w_r) / q dr <= E(x),  d = |x+ - x|  (rate p < inf),

    w_r the penalized minimizer with step r, is checked at every step by Gauss's rule with ``nodes`` points, each an
    inner problem of its own in the same batch. ``Curve.excess`` holds left minus right side, ``Curve.failed`` counts
    the steps whose inner solve missed its criterion, and the status of such a row is UNSOLVED.

    Args:
        tau: step size in time, a number, one per row, or a :class:`StepSize`.
        space: the norm of the motion, Lp or Weighted(Lp).
        rate: p in (1, inf].
        inner: the solver, such as ``Descent()``, ``Newton()`` or ``Consensus()``.
        nodes: points of Gauss's rule; 0 leaves the inequality unchecked.

    Raises:
        ValueError: if the rate is not in (1, inf], a step size is negative, or ``nodes`` is.

    Source: arXiv:2406.05376, section 4 (minimizing movements; their limit is a p-curve of maximal slope).

    >>> from maxslope.energies import Quadratic
    >>> from maxslope.loop import flow
    >>> from maxslope.schemes import Newton
    >>> scheme = MinimizingMovement(tau=0.125, inner=Newton())
    >>> flow(Quadratic(torch.eye(2)), torch.tensor([[0.3125, 1.0]]), scheme=scheme, until=0.5).end.round(decimals=3)
    tensor([[0.0000, 0.5000]])
    """  # noqa: D205

    tau: StepSize
    space: Space
    rate: float
    inner: Inner
    nodes: int

    def __init__(
        self,
        tau: float | Tensor | StepSize,
        space: Space | None = None,
        rate: float = math.inf,
        inner: Inner | None = None,
        nodes: int = 2,
    ) -> None:
        check_rate(rate)
        if nodes < 0:
            raise ValueError(f"The number of nodes of Gauss's rule must not be negative, got nodes={nodes!r}.")
        object.__setattr__(self, "tau", step_size(tau))
        object.__setattr__(self, "space", Lp(math.inf) if space is None else space)
        object.__setattr__(self, "rate", rate)
        object.__setattr__(self, "inner", Descent() if inner is None else inner)
        object.__setattr__(self, "nodes", nodes)

    def start(self, x: Tensor) -> Memory:
        """See :class:`Scheme`; passes forward and backward, failures, the last excess."""
        zero = torch.zeros(x.shape[0], dtype=torch.int64, device=x.device)
        return zero, zero.clone(), zero.clone(), torch.zeros(x.shape[0], dtype=torch.float64, device=x.device)

    def account(self, memory: Memory) -> Account:
        """See :class:`Accounting`."""
        return Account(*memory)

    def step(self, here: Here, memory: Memory) -> tuple[Tensor, Memory]:
        """See :class:`Scheme`."""
        forward, backward, failed, _ = memory
        rows, copies = here.x.shape[0], 1 + self.nodes
        at, weights = _gauss(self.nodes, here.tau)
        shares = torch.cat([here.tau.new_ones(1), at])  # the step itself, then the nodes
        tau = (here.tau[None] * shares[:, None]).flatten()
        owner = torch.arange(rows, device=here.x.device).repeat(copies)
        found = self._minimize(_spread(here, owner, tau))
        parts = Solution(*(t.reshape(copies, rows, *t.shape[1:]) for t in found))
        excess = torch.full_like(here.evaluation.value, torch.nan)
        if self.nodes:
            slope = self._slope(here, found.x, owner).reshape(copies, rows)[1:]
            excess = self._excess(here, parts.x[0], parts.value[0], (weights[:, None] * slope).sum(0))
        carried = (
            forward + parts.forward.sum(0) + self.nodes,
            backward + parts.backward.sum(0) + self.nodes,
            failed + (~parts.solved.all(0)).long(),
            excess.double(),
        )
        return _onto_faces(here.domain, parts.x[0]), carried

    def _slope(self, here: Here, w: Tensor, owner: Tensor) -> Tensor:
        """The constrained slope |dE|(w) of every node (the step's own entry is left at zero), to the power q over q."""
        rows = here.x.shape[0]
        out = w.new_zeros(w.shape[0])
        nodes = owner[rows:]
        g = here.energy.take(nodes).evaluate(w[rows:]).gradient
        slope = here.domain.take(nodes).slope(g, w[rows:], self.space)
        if not math.isinf(self.rate):
            q = self.rate / (self.rate - 1)
            slope = slope**q / q
        out[rows:] = slope
        return out

    def _excess(self, here: Here, x: Tensor, value: Tensor, mean: Tensor) -> Tensor:
        spent = here.tau * mean
        if not math.isinf(self.rate):
            tau = here.tau.clamp_min(torch.finfo(here.tau.dtype).tiny)
            spent = spent + here.tau * (self.space.distance(here.x, x) / tau) ** self.rate / self.rate
        return value + spent - here.evaluation.value

    def _minimize(self, here: Here) -> Solution:
        """One minimizer per row, penalized or not."""
        if math.isinf(self.rate):
            return self._within(here, here.tau)
        rows = here.x.shape[0]
        total = torch.zeros(2, rows, dtype=torch.int64, device=here.x.device)
        tau = here.tau.clamp_min(torch.finfo(here.tau.dtype).tiny)

        def balance(r: Tensor) -> Tensor:
            found = self._within(here, r)
            g = here.energy.evaluate(found.x).gradient
            total[0].add_(found.forward + 1)
            total[1].add_(found.backward + 1)
            return (r / tau) ** (self.rate - 1) - here.domain.slope(g, found.x, self.space)

        slope = here.domain.slope(here.evaluation.gradient, here.x, self.space)
        high = torch.where(slope.isfinite(), here.tau * slope ** (1 / (self.rate - 1)), 0.0)
        for _ in range(40):
            short = balance(high) < 0
            if not bool(short.any()):
                break
            high = torch.where(short, 2 * high, high)
        radius = root(balance, torch.zeros_like(high), high, iterations=60)
        found = self._within(here, radius)
        return found._replace(forward=found.forward + total[0], backward=found.backward + total[1])

    def _within(self, here: Here, radius: Tensor) -> Solution:
        region = near(here.domain, here.x, radius, self.space)
        return self.inner.solve(Problem(here.energy, here.x, here.evaluation, region, radius, self.space))


def _onto_faces(domain: Set, x: Tensor) -> Tensor:
    """Put coordinates within rounding of a face of K onto it: a rest of 1e-15 would count as room to move."""
    if not isinstance(domain, Box | BallBox):
        return x
    box = domain if isinstance(domain, Box) else domain.box
    slack = 256 * torch.finfo(x.dtype).eps * x.abs().clamp_min(1)
    return torch.where(x - box.lo <= slack, box.lo, torch.where(box.hi - x <= slack, box.hi, x))


def _spread(here: Here, owner: Tensor, tau: Tensor) -> Here:
    """The same rows several times, each copy with a step of its own."""
    e = here.evaluation
    part = type(e)(*(t[owner] for t in e))
    return Here(here.x[owner], part, tau, here.energy.take(owner), here.domain.take(owner))


def _gauss(nodes: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss's rule on [0, 1]."""
    if not nodes:
        return like.new_zeros(0), like.new_zeros(0)
    at, weights = np.polynomial.legendre.leggauss(nodes)
    return like.new_tensor((at + 1) / 2), like.new_tensor(weights / 2)
