"""Random instances and independent oracles (numpy and scipy only) shared by the contract tests of spaces and sets."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linprog, minimize
from torch import Tensor

from maxslope.sets import BallBox, Box, ball
from maxslope.spaces import Lp, Mixed, Space, Weighted

EXPONENTS = (1, 1.5, 2, 3, 50, math.inf)
SHAPES = ((5,), (2, 3), (2, 3, 4))
ROWS = (1, 3, 7)
Array = np.ndarray


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal numbers from a generator of their own."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def weights(shape: tuple[int, ...]) -> Tensor:
    """Positive weights between 0.3 and 3 of the shape of one sample."""
    return (normal(9, *shape) * 0.7).exp().clamp(0.3, 3.0)


def spaces(shape: tuple[int, ...]) -> dict[str, Space]:
    """Every kind of space on points of this shape, by name."""
    made: dict[str, Space] = {}
    for p in EXPONENTS:
        made[f"Lp({p})"] = Lp(p)
        made[f"Weighted({p})"] = Weighted(Lp(p), weights(shape))
    axes: tuple[int | tuple[int, ...], ...] = (1,) if len(shape) == 1 else (1, -1, (1, 2))
    for outer, inner in ((1, 2), (2, 1), (math.inf, 1.5), (1.5, math.inf), (3, 3), (50, 1), (2, 2), (1, math.inf)):
        for axis in axes:
            made[f"Mixed({outer},{inner},{axis})"] = Mixed(Lp(outer), Lp(inner), axis=axis)
    made["Weighted(Mixed)"] = Weighted(Mixed(Lp(2), Lp(1), axis=1), weights(shape))
    return made


SPACES = [(shape, name) for shape in SHAPES for name in spaces(shape)]


def norm_of(v: Array, p: float) -> float:
    """The l_p norm by its formula."""
    top = float(np.abs(v).max(initial=0.0))
    return top if top == 0 or math.isinf(p) else top * float((np.abs(v / top) ** p).sum() ** (1 / p))


@dataclass
class Problem:
    """One row in plain numpy: the points with |w (z - c)|_p <= r for each ball (p, c, r, w) and lo <= z <= hi."""

    balls: list[tuple[float, Array, float, Array]]
    lo: Array
    hi: Array

    def __post_init__(self) -> None:
        for p, c, r, w in self.balls:
            if math.isinf(p):
                self.lo, self.hi = np.maximum(self.lo, c - r / w), np.minimum(self.hi, c + r / w)
        self.flat = [b for b in self.balls if b[0] == 1]
        self.curved = [b for b in self.balls if 1 < b[0] < math.inf]

    def excess(self, z: Array) -> float:
        """How far z is outside."""
        out = max(float((self.lo - z).max()), float((z - self.hi).max()), 0.0)
        return max([out, *(norm_of(w * (z - c), p) - r for p, c, r, w in self.balls)])

    def linear(self, xi: Array, start: Array) -> float:
        """Return min <xi, z>: a linear program (HiGHS) where no ball is curved, SLSQP elsewhere."""
        if self.curved:
            return self._smooth(lambda z: float(xi @ z), lambda z: xi, start)[0]
        matrix, rhs = self._polyhedron()
        cost = np.concatenate([xi, np.zeros(matrix.shape[1] - len(xi))])
        tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
        answer = linprog(cost, A_ub=matrix, b_ub=rhs, bounds=self._bounds(), options=tight)
        assert answer.status == 0, answer.message
        return float(answer.fun)

    def nearest(self, x: Array, start: Array) -> Array:
        """Return argmin |z - x|_2 by SLSQP."""
        return self._smooth(lambda z: float((z - x) @ (z - x)) / 2, lambda z: z - x, start)[1]

    def _bounds(self) -> list[tuple[float | None, float | None]]:
        pairs = zip(self.lo, self.hi, strict=True)
        free = [(None if math.isinf(a) else a, None if math.isinf(b) else b) for a, b in pairs]
        return free + [(0, None)] * (len(self.lo) * len(self.flat))

    def _polyhedron(self) -> tuple[Array, Array]:
        """The l_1 balls as linear rows in (z, u_1, ..., u_k): u_j >= |w (z - c)|, sum u_j <= r."""
        n, k = len(self.lo), len(self.flat)
        rows, rhs = np.zeros((0, n * (1 + k))), np.zeros(0)
        for j, (_, c, r, w) in enumerate(self.flat):
            slot = np.zeros((1, k))
            slot[0, j] = 1
            for sign in (1.0, -1.0):
                rows = np.vstack([rows, np.hstack([sign * np.diag(w), -np.kron(slot, np.eye(n))])])
                rhs = np.concatenate([rhs, sign * w * c])
            rows = np.vstack([rows, np.hstack([np.zeros((1, n)), np.kron(slot, np.ones((1, n)))])])
            rhs = np.concatenate([rhs, [r]])
        return rows, rhs

    def _smooth(self, f, grad, start: Array) -> tuple[float, Array]:  # type: ignore[no-untyped-def]
        n = len(start)
        matrix, rhs = self._polyhedron()
        extra = matrix.shape[1] - n
        cons = [{"type": "ineq", "fun": lambda s: rhs - matrix @ s, "jac": lambda s: -matrix}] if len(rhs) else []
        for p, c, r, w in self.curved:
            cons.append(
                {
                    "type": "ineq",
                    "fun": lambda s, p=p, c=c, r=r, w=w: 1 - (np.abs(w * (s[:n] - c) / r) ** p).sum(),
                    "jac": lambda s, p=p, c=c, r=r, w=w: np.concatenate(
                        [-p * np.sign(s[:n] - c) * np.abs(w * (s[:n] - c) / r) ** (p - 1) * w / r, np.zeros(extra)]
                    ),
                }
            )
        best, point = math.inf, start
        for trial in range(4):
            z = start if trial == 0 else point + 1e-2 * np.random.default_rng(trial).normal(size=n)
            lift = [np.abs(w * (z - c)) for _, c, _, w in self.flat]
            answer = minimize(
                lambda s: f(s[:n]),
                np.concatenate([z, *lift]),
                jac=lambda s: np.concatenate([grad(s[:n]), np.zeros(extra)]),
                bounds=self._bounds(),
                constraints=cons,
                method="SLSQP",
                options={"ftol": 1e-15, "maxiter": 300},
            )
            if self.excess(answer.x[:n]) < 1e-8 and answer.fun < best - 1e-12:
                best, point = float(answer.fun), answer.x[:n]
        return best, point


@dataclass
class Instance:
    """A ball and a box, points in and out, covectors: ``rows`` random rows at once."""

    K: BallBox | Box
    p: float
    center: Tensor
    radius: Tensor
    lo: Tensor
    hi: Tensor
    w: Tensor
    x: Tensor  # in K
    xi: Tensor
    tau: Tensor

    def problem(self, i: int) -> Problem:
        """Row i for the oracle."""
        return Problem([(self.p, *self.ball(i))], numpy(self.lo[i]), numpy(self.hi[i]))

    def ball(self, i: int) -> tuple[Array, float, Array]:
        """Center, radius and weights of row i."""
        return numpy(self.center[i]), float(self.radius[i]), numpy(self.w)

    def step_problem(self, i: int, step: float) -> Problem:
        """Row i with the ball of the semi-implicit step."""
        row = self.problem(i)
        return Problem([*row.balls, (step, numpy(self.x[i]), float(self.tau[i]), numpy(self.w))], row.lo, row.hi)


def numpy(t: Tensor) -> Array:
    """A flat float64 numpy copy."""
    return t.double().reshape(-1).numpy()


def instance(
    p: float, rows: int, d: int, seed: int, *, boxed: bool = True, outside: bool = False, weighted: bool = False
) -> Instance:
    """Rows that mix all cases: ball active or not, x inside, on the sphere, on faces, sparse and tied covectors.

    Args:
        p: the norm of the ball.
        rows: how many.
        d: dimension.
        seed: of everything.
        boxed: whether there is a box.
        outside: whether the center lies outside the box.
        weighted: whether the norm has weights.
    """
    g = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=g, dtype=torch.float64)

    w = weights((d,)) if weighted else torch.ones(d, dtype=torch.float64)
    space = Weighted(Lp(p), w) if weighted else Lp(p)
    lo = torch.full((rows, d), -math.inf, dtype=torch.float64)
    hi = -lo
    center = uniform(rows, d)
    center = torch.where(uniform(rows, d) < 0.3, center.round(), center)  # on faces of the box
    if boxed:
        lo, hi = -0.2 * uniform(rows, d).round(), 1 + 0.2 * uniform(rows, d).round()
        if outside:
            center = torch.where(uniform(rows, d) < 0.3, center + (center - 0.5).sign() * 0.8, center)
            center[:, 0] = 1.6
    nearest = center.clamp(lo, hi)
    base = space.distance(center, nearest)
    radius = base + (0.1 + 1.2 * uniform(rows)) * d ** (0 if math.isinf(p) else 1 / p) * 0.5
    K = ball(space, center, radius, Box(lo, hi) if boxed else None)
    far = center + 2.5 * (uniform(rows, d) - 0.5) * radius[:, None]
    x = K.project(far)  # tested for itself; only a feasible point is needed here, checked by the caller
    share = uniform(rows).round()[:, None] * uniform(rows)[:, None]
    x = x + share * (nearest - x)
    xi = torch.randn(rows, d, generator=g, dtype=torch.float64)
    xi = torch.where(uniform(rows, d) < 0.15, 0.0, xi)
    tied = (uniform(rows) < 0.2)[:, None]
    xi = torch.where(tied, xi.sign(), xi)
    tau = radius * 10 ** (-2 * uniform(rows)) * (1 + uniform(rows))
    return Instance(K, p, center, radius, lo, hi, w, x, xi, tau)
