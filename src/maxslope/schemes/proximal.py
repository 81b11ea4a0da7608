"""Proximal gradient descent: the inner solver of movements whose energy has a convex part besides an indicator."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from maxslope._rows import choose, column, flat, inner
from maxslope.energies.convex import Convex
from maxslope.schemes.inner import InnerProblem, InnerSolver, Solution


@dataclass(frozen=True)
class Proximal(InnerSolver):
    """z+ = argmin { <DE_d(z), w> + |w - z|_2^2 / (2 s) + E_c(w) : w in the region }, s by the spectral rule.

    A step is taken if E = E_d + E_c falls by at least |z+ - z|^2 / (10 s), and tried again with s / 2 otherwise. Solved
    means a gap max { <DE_d(z), z - w> + E_c(z) - E_c(w) } over the region of at most ``tolerance`` times that at the
    center.

    Args:
        iterations: evaluations a row may take.
        tolerance: relative size of the gap.

    Raises:
        ValueError: in ``solve``, if the region has no proximal map; ``Descent`` serves sets.

    Source: Wright, Nowak and Figueiredo, Sparse reconstruction by separable approximation (2009).
    """

    iterations: int = 200
    tolerance: float = 1e-8

    def solve(self, problem: InnerProblem) -> Solution:
        region, e = problem.region, problem.evaluation
        if not isinstance(region, Convex):
            raise ValueError(
                f"Proximal needs a proximal map of the region, got {type(region).__name__}; use Descent()."
            )
        tiny = torch.finfo(e.value.dtype).tiny
        bound = self.tolerance * region.gap(e.gradient, problem.x)
        bound = bound + 64 * torch.finfo(e.value.dtype).eps * e.value.abs().clamp_min(tiny)
        z, value, g = problem.x, e.value, e.gradient
        s = problem.radius / flat(g).norm(dim=1).clamp_min(tiny)
        spent = torch.zeros_like(value, dtype=torch.int64)
        solved = torch.zeros_like(spent, dtype=torch.bool)
        for _ in range(self.iterations):
            solved = region.gap(g, z) <= bound
            if bool(solved.all()):
                break
            trial = region.prox(z - column(s, z) * g, s)
            seen = problem.energy.evaluate(trial)
            level, way = seen.value + region.value(trial), trial - z
            spent += (~solved).long()
            size = flat(way).square().sum(1)
            good = (level <= value - 0.1 * size / s + 8 * torch.finfo(s.dtype).eps * value.abs()) & ~solved
            turn = inner(way, seen.gradient - g)
            s = torch.where(good, torch.where(turn > 0, size / turn.clamp_min(tiny), 10 * s), s / 2)
            z, value, g = choose(good, trial, z), torch.where(good, level, value), choose(good, seen.gradient, g)
        return Solution(z, value, solved, spent, spent)
