"""How the minimization inside a minimizing movement is done: solvers as objects, all rows at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from maxslope import _random
from maxslope._rows import choose, column, flat, inner
from maxslope.energies import Energy, Evaluation
from maxslope.sets import Set
from maxslope.spaces import Space


class InnerProblem(NamedTuple):
    """Minimize E over a region around x, row by row.

    Attributes:
        energy: E, row for row with ``x``.
        x: the centers, ``[rows, *shape]``, in the region.
        evaluation: E at ``x`` with its gradient, already paid for.
        region: K intersected with { |z - x| <= radius }.
        radius: ``[rows]``.
        space: the norm of the step.
    """

    energy: Energy
    x: Tensor
    evaluation: Evaluation
    region: Set
    radius: Tensor
    space: Space

    def take(self, index: Tensor) -> InnerProblem:
        """Return the problems of the rows ``index``; an index may occur many times."""
        return InnerProblem(
            self.energy.take(index), self.x[index], self.evaluation.take(index), self.region.take(index),
            self.radius[index], self.space,
        )  # fmt: skip

    def shot(self, key: Tensor) -> Tensor:
        """Return a random point of the step ball around each center, not yet in K."""
        return self.x + column(self.radius, self.x) * self.space.sample(key, self.x)


class Solution(NamedTuple):
    """What an inner solver found.

    Attributes:
        x: the best point of each row, ``[rows, *shape]``, in the region; never worse than the center.
        value: E there, ``[rows]``.
        solved: whether the solver vouches for it by its own criterion, ``[rows]``.
        forward: forward passes spent, in units of evaluations of E, ``[rows]`` int64.
        backward: likewise.
    """

    x: Tensor
    value: Tensor
    solved: Tensor
    forward: Tensor
    backward: Tensor


class InnerSolver(ABC):
    """A solver of argmin { E(z) : z in K, |z - x| <= radius }, many rows at once, each for itself."""

    @abstractmethod
    def solve(self, problem: InnerProblem) -> Solution:
        """Return the best points found; numerics never raise, a failure shows in ``solved``."""


def certified(problem: InnerProblem, z: Tensor, gradient: Tensor, tolerance: float) -> Tensor:
    """Whether the linear gap max { <g, z - w> : w in the region } is at most ``tolerance`` times that of the center.

    No feasible direction then improves the linearized energy by more: a first-order certificate, ``[rows]``.
    """
    tiny = torch.finfo(z.dtype).eps
    rounding = 64 * tiny * inner(gradient.abs(), z.abs())
    return problem.region.gap(gradient, z) <= bound_of_gap(problem, tolerance) + rounding


def bound_of_gap(problem: InnerProblem, tolerance: float) -> Tensor:
    """``tolerance`` times the linear gap at the center, and the least gap that counts, ``[rows]``."""
    e, tiny = problem.evaluation, torch.finfo(problem.x.dtype).eps
    return tolerance * problem.region.gap(e.gradient, problem.x) + tiny**2  # energies below eps^2 count as zero


@dataclass(frozen=True)
class Descent(InnerSolver):
    """Projected descent with restarts: spectral steps (Barzilai and Borwein), Armijo's rule, exact projections.

    Starts: the center, the semi-implicit step (the minimizer of the linearized energy), and random points of the step
    ball, keyed by (seed, the bits of the center). Each start is a row of its own until the best is taken. Solved means
    a certified first-order point: a linear gap of at most ``tolerance`` times that at the center.

    Args:
        restarts: random starts besides the two others, at least 0.
        iterations: evaluations a start may take.
        tolerance: relative size of the gap.
        seed: of the random starts.

    Raises:
        ValueError: if there are fewer than 0 restarts or 1 iteration.

    Source: Birgin, Martinez and Raydan, Nonmonotone spectral projected gradient methods on convex sets (2000).
    """

    restarts: int = 1
    iterations: int = 60
    tolerance: float = 1e-9
    seed: int = 0

    def __post_init__(self) -> None:
        if self.restarts < 0 or self.iterations < 1:
            raise ValueError(f"Descent needs restarts >= 0, iterations >= 1, got {self.restarts}, {self.iterations}.")

    def solve(self, problem: InnerProblem) -> Solution:
        rows, starts = problem.x.shape[0], 2 + self.restarts
        owner = torch.arange(rows, device=problem.x.device).repeat_interleave(starts)
        spread = problem.take(owner)
        z = spread.region.project(self._starts(problem).flatten(0, 1))
        state = _Paths(spread, z)
        for _ in range(self.iterations - 1):
            if not state.advance(self.tolerance):
                break
        solved = certified(spread, state.z, state.gradient, self.tolerance)
        return _best(problem, state.z, state.value, solved, state.spent)

    def _starts(self, problem: InnerProblem) -> Tensor:
        """Starting points, ``[rows, starts, *shape]``."""
        x, g = problem.x, problem.evaluation.gradient
        linear = problem.region.minimize_linear(g)
        key = _random.keys(self.seed, _random.keys_of_points(flat(x)))
        shots = [problem.shot(_random.keys(j, key)) for j in range(self.restarts)]
        return torch.stack([x, torch.where(g.isfinite(), linear, x), *shots], 1)


class _Paths:
    """Spectral projected gradient descent of many starts; every start pauses once it is done."""

    def __init__(self, problem: InnerProblem, z: Tensor) -> None:
        self.problem, self.z = problem, z
        e = problem.energy.evaluate(z)
        self.value, self.gradient = e.value.clone(), e.gradient.clone()
        n = z.shape[0]
        self.spent = torch.ones(n, dtype=torch.int64, device=z.device)
        self.done = torch.zeros(n, dtype=torch.bool, device=z.device)
        size = flat(self.gradient).norm(dim=1)
        self.spectral = problem.radius / size.clamp_min(torch.finfo(z.dtype).tiny)
        self.share = torch.ones_like(self.value)
        self.recent = self.value[:, None].repeat(1, 5)

    def advance(self, tolerance: float) -> bool:
        """Try one point on every start that is not done; return whether any was left."""
        self.done = self.done | certified(self.problem, self.z, self.gradient, 0.3 * tolerance)
        index = (~self.done).nonzero().squeeze(1)
        if not index.numel():
            return False
        part = self.problem.take(index)
        z, g = self.z[index], self.gradient[index]
        way = part.region.project(z - column(self.spectral[index], z) * g) - z
        down = inner(g, way)
        trial = z + column(self.share[index], z) * way
        e = part.energy.evaluate(trial)
        self.spent[index] += 1
        allowed = self.recent[index].amax(1) + 1e-4 * self.share[index] * down
        flatness = 8 * torch.finfo(z.dtype).eps * self.value[index].abs()
        good = (e.value <= allowed + flatness) & e.gradient.flatten(1).isfinite().all(1)
        self._accept(index, good, trial, e)
        self.share[index] = torch.where(good, 1.0, self.share[index] / 3)
        stuck = (down >= 0) | (self.share[index] < 1e-12) | ~down.isfinite()
        self.done[index] = self.done[index] | stuck
        return True

    def _accept(self, index: Tensor, good: Tensor, trial: Tensor, e: Evaluation) -> None:
        s = trial - self.z[index]
        y = e.gradient - self.gradient[index]
        curve = inner(s, y)
        longest = 1e6 * self.problem.radius[index] / flat(e.gradient).norm(dim=1).clamp_min(torch.finfo(s.dtype).tiny)
        step = torch.where(curve > 0, inner(s, s) / curve, longest)
        step = torch.minimum(step, longest).clamp_min(torch.finfo(s.dtype).tiny)
        self.spectral[index] = torch.where(good, step, self.spectral[index])
        recent = self.recent[index]
        self.recent[index] = choose(good, torch.cat([recent[:, 1:], e.value[:, None]], 1), recent)
        self.z[index] = choose(good, trial, self.z[index])
        self.value[index] = torch.where(good, e.value, self.value[index])
        self.gradient[index] = choose(good, e.gradient, self.gradient[index])


def _best(problem: InnerProblem, z: Tensor, value: Tensor, solved: Tensor, spent: Tensor) -> Solution:
    """The best start of each row; the center itself where nothing went further down."""
    rows = problem.x.shape[0]
    value = torch.where(value.isfinite(), value, torch.inf).reshape(rows, -1)
    at = value.argmin(1)
    row = torch.arange(rows, device=z.device)
    least = value[row, at]
    down = least <= problem.evaluation.value
    x = choose(down, z.reshape(rows, -1, *z.shape[1:])[row, at], problem.x)
    passes = spent.reshape(rows, -1).sum(1)
    solved = solved.reshape(rows, -1)[row, at] & down
    return Solution(x, torch.where(down, least, problem.evaluation.value), solved, passes, passes)


@dataclass(frozen=True)
class Best(InnerSolver):
    """The lowest point of several solvers; solved where one of them vouches for its own, which is no lower.

    Newton's method and a consensus-based search together serve energies with kinks: the one is exact off the kinks,
    the other does not mind them.

    Args:
        solvers: at least one.

    Raises:
        ValueError: if there is none.
    """

    solvers: tuple[InnerSolver, ...]

    def __post_init__(self) -> None:
        if not self.solvers:
            raise ValueError("Best needs at least one solver, such as Best((Newton(), Consensus())), got none.")

    def solve(self, problem: InnerProblem) -> Solution:
        best, *others = (solver.solve(problem) for solver in self.solvers)
        for other in others:
            lower = other.value < best.value
            best = Solution(
                choose(lower, other.x, best.x),
                torch.where(lower, other.value, best.value),
                best.solved | other.solved,
                best.forward + other.forward,
                best.backward + other.backward,
            )
        return best
