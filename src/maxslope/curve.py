"""The record of a flow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope._rows import column
from maxslope._status import Status
from maxslope.spaces import Space

_UNKNOWN = (
    " At {} of {} instants the slope is not known, and so the defect: a kink (or an unsolved step) with more pieces "
    "than the gradients seen nearby can tell apart."
)


@dataclass(frozen=True, eq=False)
class Curve:
    """A discrete curve of maximal slope, all rows side by side, at the recorded instants 0..K.

    Between instants the curve is the piecewise affine interpolant. Rows that ended early stay where they ended.

    Attributes:
        time: ``[K+1, rows]``.
        points: ``[K+1, rows, *shape]``.
        energy: ``[K+1, rows]``.
        slope: the constrained metric slope |d(E + chi_K)|, ``[K+1, rows]``, in units of energy per length: that of the
            gradient at the point, or the least over gradients nearby where ``kinked`` says so; NaN where not known.
        margin: of the goal, ``[K+1, rows]`` (the energy itself where there is no goal).
        status: ``[rows]`` of :class:`Status` values.
        forward: forward passes, ``[rows]``.
        backward: backward passes, ``[rows]``.
        space: the norm of the motion.
        rate: p of the p-curve.
        failed: of schemes with an inner solver: steps so far whose inner problem was not solved, ``[K+1, rows]``.
        excess: of minimizing movements: by how much the discrete energy inequality fails at the step that ended
            here (negative: it holds), ``[K+1, rows]``; NaN where it was not checked.
        kinked: where the slope is that of gradients nearby, ``[K+1, rows]`` (see :class:`Record`); None if nowhere.
    """

    time: Tensor
    points: Tensor
    energy: Tensor
    slope: Tensor
    margin: Tensor
    status: Tensor
    forward: Tensor
    backward: Tensor
    space: Space
    rate: float
    failed: Tensor | None = None
    excess: Tensor | None = None
    kinked: Tensor | None = None

    @property
    def speed(self) -> Tensor:
        """The metric speed |u'| between recorded instants, ``[K, rows]``; 0 where no time passes."""
        before, after = self.points[:-1].flatten(0, 1), self.points[1:].flatten(0, 1)
        size = self.space.distance(before, after).reshape(-1, self.time.shape[1]).to(self.time)
        passed = self.time.diff(dim=0)
        return torch.where(passed > 0, size / torch.where(passed > 0, passed, 1.0), 0.0)

    @property
    def end(self) -> Tensor:
        """The last points, ``[rows, *shape]``."""
        return self.points[-1]

    def at(self, t: float | Tensor) -> Tensor:
        """Return the points of the piecewise affine interpolant at time ``t`` (a number or ``[rows]``).

        Before the start it is the first point, after the end the last.
        """
        times = self.time.T.contiguous()
        when = torch.as_tensor(t, dtype=times.dtype, device=times.device).expand(times.shape[0])[:, None]
        after = torch.searchsorted(times, when.contiguous()).clamp(1, max(times.shape[1] - 1, 1)).squeeze(1)
        if times.shape[1] == 1:
            return self.points[0]
        row = torch.arange(times.shape[0], device=times.device)
        t0, t1 = times[row, after - 1], times[row, after]
        share = ((when[:, 0] - t0) / torch.where(t1 > t0, t1 - t0, torch.ones_like(t0))).clamp(0, 1)
        a, b = self.points[after - 1, row], self.points[after, row]
        return a + column(share.to(a), a) * (b - a)

    def defect(self) -> Tensor:
        """Return the dissipation defect, ``[rows]``: how far the curve is from the energy dissipation equality.

        D = E(u(0)) - E(u(T)) - int_0^T |dE|(u) dt for p = inf, and with the integrand |u'|^p / p + |dE|^q / q for
        p < inf. Interpolant: piecewise affine (constant speed between instants). Quadrature: trapezoid rule in the
        slope. D tends to 0 with tau, with order two where the slope is smooth along the curve, order one across kinks
        and where a constraint begins or ceases to bind between two instants, whatever the scheme. NaN where a slope is.

        Source: arXiv:2406.05376 (energy dissipation equality).
        """
        passed = self.time.diff(dim=0)
        if math.isinf(self.rate):
            integrand = self.slope.to(passed)
            moving: Tensor | float = 0.0
        else:
            q = self.rate / (self.rate - 1)
            integrand = self.slope.to(passed) ** q / q
            moving = self.speed**self.rate / self.rate
        spent = ((integrand[1:] + integrand[:-1]) / 2 + moving) * passed
        return (self.energy[0] - self.energy[-1]).to(passed) - spent.sum(0)

    def reasons(self) -> list[str]:
        """Return the sentence of each row's status, and why its slope and defect are not known where they are not."""
        sentences = [Status(int(s)).sentence for s in self.status]
        if self.kinked is None:
            return sentences
        lost = (self.kinked & self.slope.isnan()).sum(0).tolist()
        return [s + (_UNKNOWN.format(n, len(self.time)) if n else "") for s, n in zip(sentences, lost, strict=True)]
