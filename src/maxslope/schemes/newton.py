"""Exact minimization of quadratic models over boxes, for small dimensions."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope._rows import choose, flat
from maxslope.energies import Evaluation
from maxslope.schemes.inner import Inner, Problem, Solution, certified
from maxslope.sets import Box

_MOST = 6


@dataclass(frozen=True)
class Newton(Inner):
    """Newton's method in a box: quadratic models, each minimized exactly, convex or not, in a trust region.

    The first trial is the vertex of the linearized energy; where the gradient there still points out of the box, one
    evaluation is all. Elsewhere the model <g, s> + <s, H s> / 2 is minimized over the part of the box within the
    trust region by going through all 3^d sets of active bounds, with H from differences of gradients (d evaluations).
    Solved means a certified first-order point, as for :class:`Descent`.

    Args:
        iterations: models a row may take.
        tolerance: relative size of the linear gap.

    Raises:
        ValueError: in ``solve``, if the region is no box (an l_inf step within a box or an l_inf budget) or the
            dimension exceeds 6.

    Source: an exhaustive active-set method: a minimizer over a box solves the model on its free coordinates.
    """

    iterations: int = 12
    tolerance: float = 1e-11

    def solve(self, problem: Problem) -> Solution:
        """See :class:`Inner`."""
        d = flat(problem.x).shape[1]
        if not isinstance(problem.region, Box) or d > _MOST:
            raise ValueError(
                f"Newton minimizes over boxes in at most {_MOST} dimensions, got {type(problem.region).__name__} in "
                f"{d}; use Descent or Consensus for other norms and larger dimensions."
            )
        run = _Run(problem)
        for _ in range(self.iterations):
            if not run.advance(self.tolerance):
                break
        solved = certified(problem, run.z, run.gradient, self.tolerance)
        return Solution(run.z, run.value, solved, run.spent, run.spent)


class _Run:
    """The best points so far, their gradients, and how far the model is trusted around them."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        e = problem.evaluation
        self.z, self.value, self.gradient = problem.x.clone(), e.value.clone(), e.gradient.clone()
        self.trust = problem.radius.clone()
        self.spent = torch.zeros_like(self.value, dtype=torch.int64)
        self.done = torch.zeros_like(self.value, dtype=torch.bool)
        vertex = problem.region.minimize_linear(e.gradient)
        self._try(torch.arange(len(self.value), device=vertex.device), choose(e.value.isfinite(), vertex, problem.x))

    def advance(self, tolerance: float) -> bool:
        """One model for every row that is not done; return whether any was left."""
        self.done = self.done | certified(self.problem, self.z, self.gradient, 0.3 * tolerance)
        index = (~self.done).nonzero().squeeze(1)
        if not index.numel():
            return False
        part = self.problem.take(index)
        assert isinstance(part.region, Box)
        z, trust = flat(self.z[index]), self.trust[index][:, None]
        lo = torch.maximum(flat(part.region.lo), z - trust) - z
        hi = torch.minimum(flat(part.region.hi), z + trust) - z
        H = self._hessian(index, part)
        step = minimize_model(flat(self.gradient[index]), H, lo.clamp_max(0), hi.clamp_min(0))
        good = self._try(index, part.region.project((z + step).reshape(part.x.shape)))
        self.trust[index] = torch.where(good, self.trust[index] * 2, self.trust[index] / 4)
        tiny = 4 * torch.finfo(z.dtype).eps * (1 + z.abs().amax(1))
        self.done[index] = (self.trust[index] <= tiny) | (step.abs().amax(1) <= tiny)
        return True

    def _try(self, index: Tensor, trial: Tensor) -> Tensor:
        """Evaluate; keep what is lower, or as low to rounding and flatter. Return which steps were kept."""
        e: Evaluation = self.problem.energy.take(index).evaluate(trial)
        self.spent[index] += 1
        finite = e.value.isfinite() & flat(e.gradient).isfinite().all(1)
        old = self.value[index]
        rounding = 8 * torch.finfo(trial.dtype).eps * old.abs()
        part_gap = take_gap(self.problem, index, self.z[index], self.gradient[index])
        new_gap = take_gap(self.problem, index, trial, e.gradient)
        level = e.value <= old + rounding
        good = finite & ((e.value < old - rounding) | (level & (new_gap < part_gap)))
        self.z[index] = choose(good, trial, self.z[index])
        self.value[index] = torch.where(good, e.value, old)
        self.gradient[index] = choose(good, e.gradient, self.gradient[index])
        return good

    def _hessian(self, index: Tensor, part: Problem) -> Tensor:
        """Differences of gradients, ``[k, d, d]`` and symmetric, d evaluations a row."""
        z = flat(self.z[index])
        k, d = z.shape
        h = torch.finfo(z.dtype).eps ** (1 / 3) * 0.1
        owner = torch.arange(k, device=z.device).repeat_interleave(d)
        shifted = z[owner] + h * torch.eye(d, dtype=z.dtype, device=z.device).repeat(k, 1)
        g = part.energy.take(owner).evaluate(shifted.reshape(k * d, *part.x.shape[1:])).gradient
        self.spent[index] += d
        H = (g.reshape(k, d, d) - flat(self.gradient[index])[:, None, :]) / h
        symmetric: Tensor = (H + H.mT) / 2
        return symmetric


def take_gap(problem: Problem, index: Tensor, z: Tensor, gradient: Tensor) -> Tensor:
    """The linear gap over the regions of the rows ``index``."""
    return problem.region.take(index).gap(gradient, z)


def minimize_model(g: Tensor, H: Tensor, lo: Tensor, hi: Tensor) -> Tensor:
    """Return the global minimizer of <g, s> + <s, H s> / 2 over lo <= s <= hi, for any symmetric H.

    Some minimizer lies in the relative interior of a face on which H is positive definite, or at a vertex: every face
    is tried, 3^d small linear systems for all rows at once.

    Args:
        g: ``[rows, d]``.
        H: ``[rows, d, d]``.
        lo: at most 0, ``[rows, d]``.
        hi: at least 0, ``[rows, d]``.

    >>> minimize_model(torch.ones(1, 1), torch.full((1, 1, 1), 4.0), -torch.ones(1, 1), torch.ones(1, 1))
    tensor([[-0.2500]])
    """
    d = g.shape[1]
    best, least = torch.zeros_like(g), torch.zeros_like(g[:, 0])
    for face in itertools.product((-1, 0, 1), repeat=d):
        at = torch.tensor(face, device=g.device)
        s = torch.where(at < 0, lo, torch.where(at > 0, hi, torch.zeros_like(g)))
        free = (at == 0).nonzero().squeeze(1)
        if free.numel():
            rhs = -(g + (H @ s[:, :, None]).squeeze(2))[:, free]
            solution, info = torch.linalg.solve_ex(H[:, free][:, :, free], rhs[:, :, None])
            s = s.index_copy(1, free, torch.where((info == 0)[:, None], solution.squeeze(2), torch.nan))
        inside = ((s >= lo) & (s <= hi)).all(1)
        value = (g * s).sum(1) + (s * (H @ s[:, :, None]).squeeze(2)).sum(1) / 2
        better = inside & (value < least)
        best, least = torch.where(better[:, None], s, best), torch.where(better, value, least)
    return best
