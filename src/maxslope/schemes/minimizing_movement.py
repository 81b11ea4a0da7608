"""Minimize the energy itself over everything a step may reach."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from maxslope._rows import flat
from maxslope.energies import Energy
from maxslope.energies.convex import Convex, with_convex
from maxslope.schemes.base import Account, Accounting, Here, Memory, check_rate
from maxslope.schemes.inner import Descent, InnerProblem, InnerSolver, Solution
from maxslope.schemes.kinks import SUSPECT, WIDTH, metric_slope, suspects
from maxslope.schemes.proximal import Proximal
from maxslope.schemes.steps import StepSize, step_size
from maxslope.sets import BallBox, Box, Set, near
from maxslope.sets._roots import above, root
from maxslope.spaces import Lp, Space

_SHARES = (1.0, 0.25, 0.06)  # of the way to the minimizer of the linearized energy
_DENIED = 1e-3  # of what the slope at its start promises a step: if it lacks more it was not solved, whoever vouches


class _Carried(NamedTuple):
    """What a movement carries, one entry a row: its account, and its last step."""

    forward: Tensor
    backward: Tensor
    failed: Tensor
    excess: Tensor
    start: Tensor  # where the step began
    radius: Tensor  # of the ball it was made in
    allowed: Tensor  # the linear gap up to which its end counts as stationary


class _Slopes(NamedTuple):
    """What gradients say at the answers of a step and of its nodes."""

    slope: Tensor  # the metric slope, [1 + nodes, rows]
    denied: Tensor  # whether a lower point denies the step's own answer, [rows]
    forward: Tensor  # passes for the answers, one after the other
    backward: Tensor


@dataclass(frozen=True, eq=False)
class _Settled(Accounting):
    """What a :class:`MinimizingMovement` holds, in the form in which it is used."""

    tau: StepSize
    space: Space
    rate: float
    inner: InnerSolver
    nodes: int


class MinimizingMovement(_Settled):
    """x+ in argmin { E(z) : z in K, |z - x| <= tau }  (rate inf),
    x+ in argmin { E(z) + |z - x|^p / (p tau^(p-1)) : z in K }  (rate p < inf).

    The energy never rises. For p < inf, with w(r) in argmin { E : |z - x| <= r }, the answer is w(r) at the root of
    (r / tau)^(p-1) = |dE|(w(r)), the balance of the two slopes: the first local minimizer over r, and the only one for
    tau small. So one kind of inner problem, a ball, serves every rate and norm.

    The discrete energy inequality of the De Giorgi interpolation w,

        E(x+) + int_0^tau |dE|(w(r)) dr <= E(x)                                            (rate inf)
        E(x+) + d^p / (p tau^(p-1)) + int_0^tau |dE|^q(w_r) / q dr <= E(x),  d = |x+ - x|  (rate p < inf),

    w_r the penalized minimizer with step r, is checked at every step by Gauss's rule with ``nodes`` points, each an
    inner problem of its own in the same batch. ``Curve.excess`` holds left minus right side. It may be positive where
    the slope jumps inside a step, by quadrature, or because a step was not solved. So where the inequality fails, or
    the gradient denies that the answer is a minimizer, three points further down that gradient are tried: if one is
    lower by a thousandth of tau |dE|(x), the step counts in ``Curve.failed`` and its row as UNSOLVED, as where an inner
    solve missed its criterion. Otherwise a kink holds the answer, and its slope is the metric slope, that of gradients
    nearby (:func:`metric_slope`), not that of whichever side the point fell on. With no nodes nothing is tried.

    Args:
        tau: step size in time, a number, one per row, or a :class:`StepSize`.
        space: the norm of the motion, Lp or Weighted(Lp).
        rate: p in (1, inf].
        inner: the solver, such as ``Descent()``, ``Newton()`` or ``Consensus()``.
        nodes: points of Gauss's rule; 0 leaves the inequality unchecked.

    Raises:
        ValueError: if the rate is not in (1, inf], a step size is negative, or ``nodes`` is.

    Source: arXiv:2406.05376 (minimizing movements; their limit is a p-curve of maximal slope).

    >>> from maxslope.energies import Quadratic
    >>> from maxslope.loop import flow
    >>> from maxslope.schemes import Newton
    >>> scheme = MinimizingMovement(tau=0.125, inner=Newton())
    >>> flow(Quadratic(torch.eye(2)), torch.tensor([[0.3125, 1.0]]), scheme=scheme, until=0.5).end.round(decimals=3)
    tensor([[0.0000, 0.5000]])
    """  # noqa: D205

    def __init__(
        self,
        tau: float | Tensor | StepSize,
        space: Space | None = None,
        rate: float = math.inf,
        inner: InnerSolver | None = None,
        nodes: int = 2,
    ) -> None:
        check_rate(rate)
        if nodes < 0:
            raise ValueError(f"The number of nodes of Gauss's rule must not be negative, got nodes={nodes!r}.")
        motion, solver = Lp(math.inf) if space is None else space, Descent() if inner is None else inner
        _Settled.__init__(self, step_size(tau), motion, rate, solver, nodes)

    def start(self, x: Tensor) -> Memory:
        """See :class:`Scheme`; passes forward and backward, failures, the last excess, and the last step."""
        zero = torch.zeros(x.shape[0], dtype=torch.int64, device=x.device)
        none = torch.zeros_like(flat(x)[:, 0])
        allowed = torch.full_like(none, torch.inf)
        return _Carried(zero, zero.clone(), zero.clone(), none.double(), x.clone(), none, allowed)

    def account(self, memory: Memory) -> Account:
        last = _Carried(*memory)
        return Account(last.forward, last.backward, last.failed, last.excess)

    def reached(self, memory: Memory) -> Tensor:
        """Return the radius of the ball that the last step was made in, ``[rows]``."""
        return _Carried(*memory).radius

    def suspects(self, memory: Memory, gradient: Tensor, x: Tensor, domain: Set) -> Tensor:
        """Whether the gradient at ``x`` denies that the last step ended at a minimizer: a kink holds it, ``[rows]``."""
        last = _Carried(*memory)
        sound = last.allowed.isfinite() & flat(gradient).isfinite().all(1) & flat(x).isfinite().all(1)
        at = sound.nonzero().squeeze(1)
        if not at.numel():
            return sound
        region = reach(domain.take(at), last.start[at], last.radius[at], self.space)
        return sound.index_copy(0, at, suspects(gradient[at], x[at], region, last.allowed[at]))

    def step(self, here: Here, memory: Memory) -> tuple[Tensor, Memory]:
        last = _Carried(*memory)
        total = with_convex(here.evaluation.value, here.domain, here.x)
        here = here._replace(evaluation=here.evaluation._replace(value=total))
        rows, copies = here.x.shape[0], 1 + self.nodes
        at, weights = gauss(self.nodes, here.tau)
        shares = torch.cat([here.tau.new_ones(1), at])  # the step itself, then the nodes
        owner = torch.arange(rows, device=here.x.device).repeat(copies)
        taus = (here.tau[None] * shares[:, None]).flatten()
        spread = Here(
            here.x[owner], here.evaluation.take(owner), taus, here.energy.take(owner), here.domain.take(owner)
        )
        found, radius = self._minimize(spread)
        start = here.domain.slope(here.evaluation.gradient, here.x, self.space)
        x, value, radius_here = found.x[:rows], found.value[:rows], radius[:rows]
        excess, solved = torch.full_like(value, torch.nan), found.solved.reshape(copies, rows).all(0)
        forward, backward = found.forward, found.backward
        if self.nodes:
            base = value + self._kinetic(here, x) - here.evaluation.value
            seen = self._slopes(spread, found, radius, start, base)
            excess = base + here.tau * (weights[:, None] * self._integrand(seen.slope[1:])).sum(0)
            solved = solved & ~seen.denied
            forward, backward = forward + seen.forward, backward + seen.backward
        forward, backward = (spent.reshape(copies, rows).sum(0) for spent in (forward, backward))
        return _onto_faces(here.domain, x), _Carried(
            last.forward + forward, last.backward + backward, last.failed + (~solved).long(), excess.double(), here.x,
            radius_here, SUSPECT * radius_here * start,
        )  # fmt: skip

    def _slopes(self, here: Here, found: Solution, radius: Tensor, start: Tensor, base: Tensor) -> _Slopes:
        """What gradients say at the step's answer and the nodes.

        Where no point further down the gradient is lower, the gradients nearby are asked for the slope.
        """
        w, copies, rows = found.x, 1 + self.nodes, len(start)
        g = here.energy.evaluate(w).gradient
        slope = here.domain.slope(g, w, self.space)
        forward, backward = torch.ones_like(found.forward), torch.ones_like(found.backward)
        promised = start.repeat(copies) * radius
        region = reach(here.domain, here.x, radius, self.space)
        kinked = suspects(g, w, region, SUSPECT * promised)
        slack = _DENIED * promised + 64 * torch.finfo(w.dtype).eps * here.evaluation.value.abs()
        own = self._integrand(torch.cat([start[None], slope.reshape(copies, rows)[1:], slope[None, :rows]]))
        ask = kinked.clone()
        ask[:rows] |= base + here.tau[:rows] * _least_integral(own, gauss(self.nodes, w)[0]) > slack[:rows]
        at = ask.nonzero().squeeze(1)
        beaten = torch.zeros_like(kinked)
        if at.numel():
            end = region.take(at).minimize_linear(g[at])
            whole = here.energy.take(at).within(here.domain.take(at))
            beaten[at] = _falls(whole, w[at], end, (found.value - slack)[at])
            forward[at] += len(_SHARES)
        at = (kinked & ~beaten).nonzero().squeeze(1)
        if at.numel():
            energy, domain = here.energy.take(at), here.domain.take(at)
            kinks = metric_slope(energy, domain, w[at], g[at], WIDTH * radius[at], self.space)
            slope = slope.index_copy(0, at, kinks.value)
            forward[at] += kinks.spent
            backward[at] += kinks.spent
        return _Slopes(slope.reshape(copies, rows), beaten[:rows], forward, backward)

    def _integrand(self, slope: Tensor) -> Tensor:
        """What the dissipation integrates: |dE|, or |dE|^q / q."""
        if math.isinf(self.rate):
            return slope
        q = self.rate / (self.rate - 1)
        return slope**q / q

    def _kinetic(self, here: Here, x: Tensor) -> Tensor | float:
        """The kinetic part d^p / (p tau^(p-1)) of a step to ``x``; none for rate inf."""
        if math.isinf(self.rate):
            return 0.0
        tau = here.tau.clamp_min(torch.finfo(here.tau.dtype).tiny)
        return here.tau * (self.space.distance(here.x, x) / tau) ** self.rate / self.rate

    def _minimize(self, here: Here) -> tuple[Solution, Tensor]:
        """One minimizer per row, penalized or not, and the radius of the ball it is the minimizer of."""
        if math.isinf(self.rate):
            return self._within(here, here.tau), here.tau
        forward, backward = (torch.zeros_like(here.tau, dtype=torch.int64) for _ in range(2))
        tau = here.tau.clamp_min(torch.finfo(here.tau.dtype).tiny)

        def balance(r: Tensor) -> Tensor:
            found = self._within(here, r)
            g = here.energy.evaluate(found.x).gradient
            forward.add_(found.forward + 1)
            backward.add_(found.backward + 1)
            return (r / tau) ** (self.rate - 1) - here.domain.slope(g, found.x, self.space)

        slope = here.domain.slope(here.evaluation.gradient, here.x, self.space)
        high = above(balance, torch.where(slope.isfinite(), here.tau * slope ** (1 / (self.rate - 1)), 0.0))
        radius = root(balance, torch.zeros_like(high), high, iterations=60)
        found = self._within(here, radius)
        return found._replace(forward=found.forward + forward, backward=found.backward + backward), radius

    def _within(self, here: Here, radius: Tensor) -> Solution:
        region = reach(here.domain, here.x, radius, self.space)
        if isinstance(region, Convex) and not isinstance(self.inner, Proximal):
            raise ValueError(
                f"With a convex part besides a set the inner solver is Proximal(), got {type(self.inner).__name__}."
            )
        return self.inner.solve(InnerProblem(here.energy, here.x, here.evaluation, region, radius, self.space))


def reach(domain: Set, x: Tensor, radius: Tensor, space: Space) -> Set:
    """What a step may reach: :func:`near`, or the convex part restricted to the ball of the step."""
    return domain.near(x, radius, space) if isinstance(domain, Convex) else near(domain, x, radius, space)


def _falls(energy: Energy, x: Tensor, end: Tensor, lower: Tensor) -> Tensor:
    """Whether the energy falls below ``lower`` on the way from ``x`` to ``end``, at a few points."""
    values = [energy.look(x + share * (end - x)).value for share in _SHARES]
    return (torch.stack(values) < lower).any(0)


def _least_integral(path: Tensor, at: Tensor) -> Tensor:
    """The mean over [0, 1] of what is known at 0, at the nodes and at 1, from below where it is monotone in between."""
    ends = torch.cat([at.new_zeros(1), at, at.new_ones(1)]).diff()
    return (ends[:, None] * torch.minimum(path[1:], path[:-1])).sum(0)


def _onto_faces(domain: Set, x: Tensor) -> Tensor:
    """Put coordinates within rounding of a face of K onto it: a rest of 1e-15 would count as room to move."""
    if not isinstance(domain, Box | BallBox):
        return x
    box = domain if isinstance(domain, Box) else domain.box
    slack = 256 * torch.finfo(x.dtype).eps * x.abs().clamp_min(1)
    return torch.where(x - box.lo <= slack, box.lo, torch.where(box.hi - x <= slack, box.hi, x))


def gauss(nodes: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss's rule on [0, 1]."""
    if not nodes:
        return like.new_zeros(0), like.new_zeros(0)
    at, weights = np.polynomial.legendre.leggauss(nodes)
    return like.new_tensor((at + 1) / 2), like.new_tensor(weights / 2)
