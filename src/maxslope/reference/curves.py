"""Reference curves: what schemes are measured against, in every norm and at every rate, and what is known of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from maxslope.curve import Curve
from maxslope.energies import Energy
from maxslope.energies.base import parts
from maxslope.reference.base import Array, Row
from maxslope.reference.events import Straight
from maxslope.reference.rates import Rated
from maxslope.reference.smooth import Smooth
from maxslope.reference.sparse import Single
from maxslope.schemes.base import check_rate
from maxslope.sets import BallBox, Box, Everything, Set
from maxslope.spaces import Lp


@dataclass(frozen=True, eq=False)
class Reference:
    """Reference curves and what is known about them.

    Attributes:
        curve: the curves, at a common grid of instants; float64. Status UNSOLVED marks rows where a gradient jumps or
            Newton's method or the integrator failed (the energy is not smooth there), NON_FINITE those where the energy
            or its gradient ceases to be finite or grows by eight digits; they rest from then on, where they were.
        unique: whether the flow had only one way to go at every event, as far as second derivatives tell, ``[rows]``.
            Where it had several, or the energy is flat, the curve is the one of least speed (v = 0 where xi = 0 and
            nothing drives it away).
        events: the times at which coordinates began or ceased to slide, crossed zero, tied, met a face or arrived.
    """

    curve: Curve
    unique: Tensor
    events: list[list[float]]
    _rows: Sequence[Row] = field(repr=False)

    def at(self, t: float) -> Tensor:
        """Return the points at any time, ``[rows, *shape]`` float64, as exact as at the instants of the grid."""
        points = np.stack([row.at(t) for row in self._rows])
        return torch.from_numpy(points).reshape(self.curve.points.shape[1:])


def reference(
    energy: Energy,
    x: Tensor,
    until: float,
    *,
    space: Lp | None = None,
    rate: float = math.inf,
    instants: int = 512,
    tolerance: float = 1e-11,
) -> Reference:
    """Follow the p-curve of maximal slope to a tolerance, from event to event.

    Rate inf, by the norm of the motion:

        l_inf        coordinates move along straight lines, rest at faces, or slide with xi_i = 0, which Newton's method
                     solves at any time wanted; nothing is integrated
        l_1          one coordinate moves, or several that share the largest |xi_i|: Newton's method for
                     |xi_i| equal, and sum_i |u_i - u_i(t_0)| = t - t_0, at any time wanted
        1 < p < inf  u' = v(xi), integrated in the time s of ds = dt / |xi|_*, in which a minimizer is met smoothly

    Events, found by bisection, are zeros of xi_i, ties, vanishing shares of the speed, |v_i| = 1 on a sliding set,
    faces, the sphere; after each the admissible velocities are found anew. For rate p < inf the same curve is run
    through at the speed |dE|^(q-1): an equation for one number.

    Args:
        energy: smooth; constrained by ``energy.within(K)`` to a box (not for l_1), or to a ball of l_2 without a box if
            the motion is in l_2.
        x: ``[rows, *shape]``, computed in float64.
        until: the end.
        space: l_p; l_inf by default.
        rate: p in (1, inf].
        instants: the curve is recorded at ``instants`` equal steps of time (``Reference.at`` knows it between them),
            and scanned for events at least that finely; two events of one coordinate within half of a step may be
            missed.
        tolerance: of Newton's method, event times and the integrator, relative.

    Returns:
        A :class:`Reference`.

    Raises:
        ValueError: if the domain is none of those, or ``until``, ``instants`` or the rate is out of range.
        ImportError: if scipy is not installed (p < inf in either sense).

    Source: arXiv:2406.05376 (the inclusion u' in d|.|_*(-xi), and its speed); the solvers are the project's
    own, with DOP853 of Hairer, Norsett and Wanner (1993) in scipy.

    >>> from maxslope.energies import Quadratic
    >>> found = reference(Quadratic(torch.eye(2)), torch.tensor([[1.0, 0.25]]), 0.5)
    >>> found.curve.end, found.unique.tolist()
    (tensor([[0.5000, 0.0000]], dtype=torch.float64), [True])
    """
    smooth, domain = parts(energy)
    space = Lp(math.inf) if space is None else space
    check_rate(rate)
    if not until > 0 or instants < 1:
        raise ValueError(f"A reference curve needs until > 0 and instants >= 1, got {until!r} and {instants!r}.")
    x = domain.project(x.detach().double())
    grid = np.linspace(0.0, until, instants + 1)
    rows = []
    for k in torch.arange(len(x))[:, None]:
        rows.append(_row(smooth.take(k), domain.take(k), x[k], tolerance, space, rate))
    points = torch.stack([torch.from_numpy(row.follow(grid)) for row in rows], 1).reshape(instants + 1, *x.shape)
    return Reference(
        _record(smooth, domain, points, grid, rows, space, rate),
        torch.tensor([row.unique for row in rows]),
        [row.events for row in rows],
        rows,
    )


def _row(energy: Energy, domain: Set, x: Tensor, tolerance: float, space: Lp, rate: float) -> Row:
    """One curve, by the solver that knows the motion in the domain."""
    plain = isinstance(domain, Everything) or (isinstance(domain, Box) and space.p > 1)
    in_ball = isinstance(domain, BallBox) and space == domain.norm == Lp(2) and _endless(domain.box)
    if not plain and not in_ball:
        raise ValueError(
            "Reference curves are known in boxes and without constraint (l_1: without; l_2: also in its balls without "
            f"a box), got {type(domain).__name__} for a motion in {space!r}; compare with a scheme of tiny steps "
            "instead."
        )
    if in_ball or 1 < space.p < math.inf:
        return Smooth(energy, domain, x, tolerance, space, rate)
    kind = Straight if math.isinf(space.p) else Single
    row = kind(energy, domain, x, tolerance)
    return row if math.isinf(rate) else Rated(row, space, rate)


def _endless(box: Box) -> bool:
    return bool(box.lo.isneginf().all() & box.hi.isposinf().all())


def _record(energy: Energy, domain: Set, points: Tensor, grid: Array, rows: list[Row], space: Lp, rate: float) -> Curve:
    n, k = points.shape[1], points.shape[0]
    evaluations = [energy.evaluate(p) for p in points]
    count = (torch.tensor([row.spent for row in rows]) + k) * energy.passes
    return Curve(
        torch.from_numpy(grid)[:, None].expand(k, n).contiguous(),
        points,
        torch.stack([e.value for e in evaluations]),
        torch.stack([domain.slope(e.gradient, p, space) for e, p in zip(evaluations, points, strict=True)]),
        torch.stack([e.margin for e in evaluations]),
        torch.tensor([int(row.status) for row in rows]),
        count,
        count.clone(),
        space,
        rate,
    )
