"""Consensus-based search: a swarm for every row, no gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope import _random
from maxslope._rows import choose, flat
from maxslope.schemes.inner import InnerProblem, InnerSolver, Solution
from maxslope.sets import Set

_POINTS = 4096  # of a block of rows on a processor


@dataclass(frozen=True)
class Consensus(InnerSolver):
    """Consensus-based optimization: particles drift to a weighted mean and explore in proportion to their distance.

    With m = sum_j w_j z_j, w_j proportional to exp(-alpha (E(z_j) - min E) / (max E - min E)), a particle moves by
    -dt (z - m) + sigma sqrt(dt) |z - m| n per coordinate, n normal, and is projected back onto the region. Energies
    are measured by their own spread in the swarm, so that tiny steps are searched as sharply as large ones. One
    particle starts at the center, the others at random in the step ball; all are rows of one batch. The best point
    ever seen is taken. Solved means consensus: the swarm spreads over at most ``spread`` of the step.

    Args:
        particles: at least 2.
        iterations: evaluations of the swarm.
        alpha: inverse temperature in units of the spread of energies.
        sigma: size of the noise.
        dt: length of a move.
        spread: what counts as consensus, relative to the radius.
        seed: random numbers are keyed by (seed, the bits of the center).

    Raises:
        ValueError: if there are fewer than 2 particles or 1 iteration.

    Source: Pinnau, Totzeck, Tse and Martin, A consensus-based model for global optimization and its mean-field limit
    (2017); anisotropic noise by Carrillo, Jin, Li and Zhu (2021).
    """

    particles: int = 30
    iterations: int = 30
    alpha: float = 50.0
    sigma: float = 0.7
    dt: float = 0.5
    spread: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if self.particles < 2 or self.iterations < 1:
            raise ValueError(
                f"Consensus needs particles >= 2 and iterations >= 1, got {self.particles} and {self.iterations}."
            )

    def solve(self, problem: InnerProblem) -> Solution:
        """See :class:`InnerSolver`; rows go in blocks whose swarms stay in the cache of a processor."""
        rows = torch.arange(problem.x.shape[0], device=problem.x.device)
        blocks = torch.split(rows, max(1, _POINTS // self.particles)) if problem.x.device.type == "cpu" else (rows,)
        if len(blocks) == 1:
            return self._search(problem)
        found = [self._search(problem.take(block)) for block in blocks]
        return Solution(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def _search(self, problem: InnerProblem) -> Solution:
        x = problem.x
        rows, n = x.shape[0], self.particles
        row = torch.arange(rows, device=x.device)
        owner = row.repeat_interleave(n)
        energy, region = problem.energy.take(owner), problem.region.take(owner)
        key = _random.keys(self.seed, _random.keys_of_points(flat(x)))
        z = self._starts(problem, region, key)
        best, least, mean = x, problem.evaluation.value, x
        for k in range(self.iterations):
            value = energy.look(z.flatten(0, 1)).value.reshape(rows, n)
            value = torch.where(value.isfinite(), value, torch.inf)
            at = value.argmin(1)
            low = value[row, at]
            lower = low < least
            best = choose(lower, z[row, at], best)
            least = torch.where(lower, low, least)
            mean = consensus(z, value, self.alpha)
            if k + 1 < self.iterations:
                z = self._move(z, mean, region, _random.keys(k, key))
        gap = (z - mean[:, None]).reshape(rows * n, *x.shape[1:])
        wide = problem.space.norm(gap).reshape(rows, n).mean(1)
        spent = torch.full((rows,), n * self.iterations, dtype=torch.int64, device=x.device)
        solved = (wide <= self.spread * problem.radius) & least.isfinite()
        return Solution(best, least, solved, spent, torch.zeros_like(spent))

    def _starts(self, problem: InnerProblem, region: Set, key: Tensor) -> Tensor:
        shots = [problem.shot(_random.keys(j, key, -1)) for j in range(self.particles - 1)]
        z = torch.stack([problem.x, *shots], 1)
        return region.project(z.flatten(0, 1)).reshape(z.shape)

    def _move(self, z: Tensor, mean: Tensor, region: Set, key: Tensor) -> Tensor:
        moved = drift(z, mean[:, None], _random.normal(key, z.shape[1:]).to(z), self.dt, self.sigma)
        return region.project(moved.flatten(0, 1)).reshape(z.shape)


def drift(z: Tensor, mean: Tensor, noise: Tensor, dt: float, sigma: float) -> Tensor:
    """One move of particles: z - dt (z - m) + sigma sqrt(dt) |z - m| n, coordinate by coordinate."""
    way = z - mean
    return z - dt * way + sigma * math.sqrt(dt) * way.abs() * noise


def consensus(z: Tensor, value: Tensor, alpha: float) -> Tensor:
    """The weighted mean of every swarm, ``[rows, *shape]``."""
    least = value.amin(1, keepdim=True)
    most = torch.where(value.isfinite(), value, least).amax(1, keepdim=True)
    width = torch.where(most > least, most - least, torch.ones_like(most))
    weight = torch.exp(-alpha * (value - least) / width)
    weight = torch.where(weight.isfinite(), weight, 0.0)
    weight = weight / weight.sum(1, keepdim=True).clamp_min(torch.finfo(z.dtype).tiny)
    return (weight.reshape(*weight.shape, *(1,) * (z.ndim - 2)) * z).sum(1)
