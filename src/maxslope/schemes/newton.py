"""Newton's method in a box, which sees kinks, for small dimensions."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from maxslope._rows import choose, flat
from maxslope.schemes.inner import InnerProblem, InnerSolver, Solution, bound_of_gap
from maxslope.sets import Box

_MOST = 6
_NEAR = 1e-4  # of the radius: how near the two sides of a kink are when it counts as found
_MISSES = 7  # models in a row that may fail before a row gives up: a corner, where more than two pieces meet
_BEYOND = 0.05  # of the distances of the two points from the kink: how far past it a trial goes


@dataclass(frozen=True)
class Newton(InnerSolver):
    """Newton's method in a box: quadratic models, each minimized exactly, convex or not, in a trust region.

    The first trial is the vertex of the linearized energy; where the gradient there still points out of the box, one
    evaluation is all. Elsewhere the model <g, s> + <s, H s> / 2 is minimized over the part of the box within the
    trust region by going through all 3^d sets of active bounds, with H from differences of gradients (d evaluations).
    A trial that the model promised and the energy refused often lies beyond a kink. Then the next model is the larger
    of the two linearizations, on this side and on that, minimized exactly as well, at one evaluation; trials fall by
    turns on either side of the kink and close in on it.

    Solved means a certified first-order point, as for :class:`Descent`; or, at a kink, that some mixture of the two
    gradients is certified, with points not further apart than 1e-4 of the step; or that no model improves the energy
    by more than its rounding.

    Args:
        iterations: models a row may take.
        tolerance: relative size of the linear gap.

    Raises:
        ValueError: in ``solve``, if the region is no box (an l_inf step within a box or an l_inf budget) or the
            dimension exceeds 6.

    Source: an exhaustive active-set method, and cutting planes as in bundle methods (Lemarechal 1975); mixtures of
    gradients at points nearby by Goldstein, Optimization of Lipschitz continuous functions (1977).
    """

    iterations: int = 12
    tolerance: float = 1e-11

    def solve(self, problem: InnerProblem) -> Solution:
        d = flat(problem.x).shape[1]
        if not isinstance(problem.region, Box) or d > _MOST:
            raise ValueError(
                f"Newton minimizes over boxes in at most {_MOST} dimensions, got {type(problem.region).__name__} in "
                f"{d}; use Descent or Consensus for other norms and larger dimensions."
            )
        run = _Run(problem, problem.region, self.tolerance)
        for _ in range(self.iterations):
            if not run.advance():
                break
        run.certify()
        return Solution(run.best.z.reshape(problem.x.shape), run.best.value, run.solved, run.spent, run.spent)


class _Planes(NamedTuple):
    """Linearizations of the energy, one for each row."""

    z: Tensor
    value: Tensor
    gradient: Tensor
    gap: Tensor  # max { <g, z - w> : lo <= w <= hi }, less what rounding makes of it

    def take(self, index: Tensor) -> _Planes:
        return _Planes(*(t[index] for t in self))

    def put(self, index: Tensor, rows: _Planes) -> None:
        for whole, part in zip(self, rows, strict=True):
            whole[index] = part

    def where(self, mask: Tensor, other: _Planes) -> _Planes:
        """These where ``mask`` holds, ``other`` elsewhere."""
        return _Planes(*(choose(mask, a, b) for a, b in zip(self, other, strict=True)))


class _Run:
    """The best points so far, those beyond a kink, and how far the quadratic model is trusted."""

    def __init__(self, problem: InnerProblem, box: Box, tolerance: float) -> None:
        e = problem.evaluation
        self.problem = problem
        self.lo, self.hi = (flat(b.expand_as(problem.x)) for b in (box.lo, box.hi))
        x, g = flat(problem.x), flat(e.gradient)
        self.best = _Planes(x.clone(), e.value.clone(), g.clone(), gap_in_box(x, g, self.lo, self.hi))
        self.far = _Planes(*(t.clone() for t in self.best))
        self.bound = bound_of_gap(problem, 0.3 * tolerance)
        self.trust = problem.radius.clone()
        self.kink = torch.zeros_like(e.value, dtype=torch.bool)
        self.solved, self.missed = self.kink.clone(), torch.zeros_like(e.value, dtype=torch.int64)
        self.spent = torch.zeros_like(e.value, dtype=torch.int64)
        vertex = torch.where(g > 0, self.lo, torch.where(g < 0, self.hi, x))
        every = torch.arange(x.shape[0], device=x.device)
        self._try(every, choose(e.value.isfinite(), vertex, x))

    def advance(self) -> bool:
        """One model for every row that is not done; return whether any was left."""
        self.certify()
        index = (~self.solved & (self.missed < _MISSES)).nonzero().squeeze(1)
        if not index.numel():
            return False
        at_kink = self.kink[index]
        step = torch.empty_like(self.best.z[index])
        for mask, model in ((~at_kink, self._by_curvature), (at_kink, self._between_planes)):
            if bool(mask.any()):
                step[mask] = model(index[mask])
        trust = self.trust[index]
        good, beyond = self._try(index, self.best.z[index] + step)
        self.trust[index] = torch.where(at_kink, trust, torch.where(good, 2 * trust, trust / 4))
        self.kink[index] = torch.where(good, at_kink, beyond)
        self.missed[index] = torch.where(good, 0, self.missed[index] + 1)
        return True

    def certify(self) -> None:
        """Mark the rows whose gap, or that of a mixture of the two gradients at a kink, is within its bound."""
        self.solved = self.solved | (self.best.gap <= self.bound)
        near = (self.best.z - self.far.z).abs().amax(1) <= _NEAR * self.problem.radius
        index = (self.kink & near & ~self.solved).nonzero().squeeze(1)
        if not index.numel():
            return
        z, lo, hi = (t[index][:, None] for t in (self.best.z, self.lo, self.hi))
        mixed = mixtures(self.best.gradient[index], self.far.gradient[index])
        self.solved[index] = gap_in_box(z, mixed, lo, hi).amin(1) <= self.bound[index]

    def _by_curvature(self, index: Tensor) -> Tensor:
        """Steps of the quadratic model; rows that it does not improve beyond rounding are solved."""
        best, trust = self.best.take(index), self.trust[index][:, None]
        lo = (torch.maximum(self.lo[index], best.z - trust) - best.z).clamp_max(0)
        hi = (torch.minimum(self.hi[index], best.z + trust) - best.z).clamp_min(0)
        H = self._hessian(index, best)
        step = minimize_model(best.gradient, H, lo, hi)
        gain = -((best.gradient + (step[:, None] @ H).squeeze(1) / 2) * step).sum(1)
        free = step.abs().amax(1) < trust[:, 0]
        self.solved[index] = free & (gain <= 8 * torch.finfo(step.dtype).eps * best.value.abs())
        return step

    def _between_planes(self, index: Tensor) -> Tensor:
        """Steps of the larger of two linearizations, to just past where they meet, on the side of the farther point."""
        best, far = self.best.take(index), self.far.take(index)
        way, turn = far.z - best.z, far.gradient - best.gradient
        ahead = (best.value - far.value + (far.gradient * way).sum(1)).clamp_min(0)
        lo, hi = self.lo[index] - best.z, self.hi[index] - best.z
        step, balance = minimize_planes(best.gradient, far.gradient, ahead, lo, hi)
        over = ((turn * way).sum(1) - ahead).abs()  # by how much the planes differ at the far point
        slope = (balance * turn).sum(1)
        past = _BEYOND * (over + ahead) * (over - ahead).sign() / torch.where(slope == 0, torch.inf, slope)
        return step + balance * past[:, None]

    def _try(self, index: Tensor, trial: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate; keep what is lower, or as low to rounding and flatter. Return what was kept and what fell beyond.

        At a kink a trial is beyond if its gradient is nearer to the one of the far side. The pair keeps one point on
        either side: what was best becomes the far one if a better point lies there.
        """
        lo, hi = self.lo[index], self.hi[index]
        trial = torch.minimum(torch.maximum(trial, lo), hi)
        e = self.problem.energy.take(index).evaluate(trial.reshape(-1, *self.problem.x.shape[1:]))
        self.spent[index] += 1
        g = flat(e.gradient)
        new = _Planes(trial, e.value, g, gap_in_box(trial, g, lo, hi))
        old, far = self.best.take(index), self.far.take(index)
        finite = e.value.isfinite() & g.isfinite().all(1)
        rounding = 8 * torch.finfo(trial.dtype).eps * old.value.abs()
        level = (new.value <= old.value + rounding) & (new.gap < old.gap)
        good = finite & ((new.value < old.value - rounding) | level)
        near, away = ((g - other).abs().amax(1) for other in (old.gradient, far.gradient))
        beyond = finite & (~self.kink[index] | (away < near))
        self.best.put(index, new.where(good, old))
        self.far.put(index, old.where(good, new).where(beyond, far))
        return good, beyond

    def _hessian(self, index: Tensor, best: _Planes) -> Tensor:
        """Differences of gradients, ``[k, d, d]`` and symmetric, d evaluations a row."""
        k, d = best.z.shape
        h = torch.finfo(best.z.dtype).eps ** (1 / 3) * 0.1
        shifted = best.z[:, None] + h * torch.eye(d, dtype=best.z.dtype, device=index.device)
        points = shifted.reshape(-1, *self.problem.x.shape[1:])
        g = self.problem.energy.take(index.repeat_interleave(d)).evaluate(points).gradient
        self.spent[index] += d
        H = (g.reshape(k, d, d) - best.gradient[:, None, :]) / h
        symmetric: Tensor = (H + H.mT) / 2
        return symmetric


def gap_in_box(z: Tensor, g: Tensor, lo: Tensor, hi: Tensor) -> Tensor:
    """The linear gap max { <g, z - w> : lo <= w <= hi } over the last axis, less its rounding."""
    rounding = 64 * torch.finfo(z.dtype).eps * (g.abs() * z.abs()).sum(-1)
    return torch.where(g > 0, g * (z - lo), torch.where(g < 0, g * (z - hi), 0.0 * g)).sum(-1) - rounding


def minimize_model(g: Tensor, H: Tensor, lo: Tensor, hi: Tensor) -> Tensor:
    """Return the global minimizer of <g, s> + <s, H s> / 2 over lo <= s <= hi, for any symmetric H.

    Some minimizer lies in the relative interior of a face on which H, ``[rows, d, d]``, is positive definite, or at a
    vertex: all 3^d faces of all rows are tried, those of one dimension in one batch of linear systems. lo <= 0 <= hi.

    >>> minimize_model(torch.ones(1, 1), torch.full((1, 1, 1), 4.0), -torch.ones(1, 1), torch.ones(1, 1))
    tensor([[-0.2500]])
    """
    best, least = torch.zeros_like(g), torch.zeros_like(g[:, 0])
    row = torch.arange(g.shape[0], device=g.device)
    for held, free in _faces(g.shape[1]):
        at = held.to(g.device)  # [faces, d]
        s = torch.where(at < 0, lo[:, None], torch.where(at > 0, hi[:, None], 0.0))
        if free.shape[1]:
            s = _stationary(g, H, s, free.to(g.device).long())
        inside = ((s >= lo[:, None]) & (s <= hi[:, None])).all(2)
        value = ((g[:, None] + (s @ H) / 2) * s).sum(2)
        value, which = torch.where(inside, value, torch.inf).min(1)
        better = value < least
        best = torch.where(better[:, None], s[row, which], best)
        least = torch.where(better, value, least)
    return best


@cache
def _faces(d: int) -> list[tuple[Tensor, Tensor]]:
    """Faces of the cube by dimension k: bounds held, ``[faces, d]`` in -1, 0, 1, and what is free, ``[faces, k]``."""
    groups: dict[int, list[tuple[int, ...]]] = {}
    for face in itertools.product((-1, 0, 1), repeat=d):
        groups.setdefault(face.count(0), []).append(face)
    held = [torch.tensor(faces) for _, faces in sorted(groups.items())]
    return [(faces, (faces == 0).nonzero()[:, 1].reshape(len(faces), -1)) for faces in held]


def _stationary(g: Tensor, H: Tensor, s: Tensor, free: Tensor) -> Tensor:
    """Fill in the free coordinates of every face, ``[rows, faces, d]``; NaN where its system is singular."""
    rows, (faces, k) = g.shape[0], free.shape
    index = free.expand(rows, faces, k)
    rhs = -(g[:, None] + s @ H).gather(2, index)
    if k == 1:
        diagonal = H.diagonal(dim1=1, dim2=2)[:, free[:, 0]]
        solution = rhs / torch.where(diagonal == 0, torch.nan, diagonal)[:, :, None]
    else:
        systems = H[:, free[:, :, None], free[:, None, :]]
        solution, info = torch.linalg.solve_ex(systems, rhs[:, :, :, None])
        solution = torch.where((info == 0)[:, :, None], solution.squeeze(3), torch.nan)
    return s.scatter(2, index, solution)


def minimize_planes(a: Tensor, b: Tensor, ahead: Tensor, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
    """Return argmin max { <a, s>, <b, s> - ahead } over lo <= s <= hi, and which coordinate balances the planes.

    With some weight w the point minimizes the linear form w a + (1 - w) b. Either w is 0 or 1, or the two planes meet
    at the point and one coordinate of the form vanishes: its value there makes them meet. So d + 2 points are tried.
    The balancing coordinate is a 1 in ``[rows, d]``, all 0 at a vertex. lo <= 0 <= hi.

    >>> a, b, one = torch.tensor([[1.0, 1.0]]), torch.tensor([[-1.0, 0.5]]), torch.ones(1, 2)
    >>> minimize_planes(a, b, torch.tensor([1.0]), -one, one)
    (tensor([[-0.2500, -1.0000]]), tensor([[1., 0.]]))
    """
    rows, d = a.shape
    gap = a - b
    forms = mixtures(a, b)  # [rows, d + 2, d]
    s = torch.where(forms > 0, lo[:, None], torch.where(forms < 0, hi[:, None], 0.0))
    free = torch.cat([torch.eye(d, dtype=a.dtype, device=a.device), a.new_zeros(2, d)])
    rest = (s * gap[:, None] * (1 - free)).sum(2)
    balance = -(rest + ahead[:, None])[:, :d] / torch.where(gap == 0, torch.nan, gap)
    s[:, :d] = torch.where(free[:d] > 0, balance[:, :, None], s[:, :d])
    inside = ((s >= lo[:, None]) & (s <= hi[:, None])).all(2)
    level = torch.maximum((s * a[:, None]).sum(2), (s * b[:, None]).sum(2) - ahead[:, None])
    which = torch.where(inside, level, torch.inf).argmin(1)
    row = torch.arange(rows, device=a.device)
    return s[row, which], free[which]


def mixtures(a: Tensor, b: Tensor) -> Tensor:
    """The forms w a + (1 - w) b, 0 <= w <= 1, with a vanishing coordinate, then b and a: ``[rows, d + 2, d]``.

    A convex, piecewise linear function of w whose pieces depend on the signs of the form is least at one of them.
    """
    gap = a - b
    w = torch.where(gap == 0, 0.0, -b / gap).clamp(0, 1)[:, :, None]
    mixed = w * a[:, None] + (1 - w) * b[:, None]
    crosses = (a * b < 0)[:, :, None]  # there the coordinate vanishes but for rounding
    own = torch.eye(a.shape[1], dtype=torch.bool, device=a.device)
    mixed = torch.where(own & crosses, 0.0, mixed)
    return torch.cat([mixed, b[:, None], a[:, None]], 1)
