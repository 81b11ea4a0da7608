"""Curves from clouds: the particles behind a curve of measures, found again by chained optimal couplings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from maxslope.energies import Energy
from maxslope.reference.study import misses
from maxslope.spaces import Space
from maxslope.transport.clouds import Cloud, by_label, distances, optimal_assignment, speeds


@dataclass(frozen=True, eq=False)
class Paths:
    """A measure on curves, (1/n) sum of deltas at piecewise affine curves, whose marginals are the given clouds.

    Attributes:
        times: ``[K+1]``.
        points: ``[K+1, n, *shape]``: curve i is ``points[:, i]`` and begins at particle i of the first cloud.
        labels: ``[n]``, of the first cloud; no curve changes its label.
        order: ``[K+1, n]``: the place of curve i in cloud k.
        space: the norm of one particle's displacement.
        r: of W_r.
        apart: ``[K]``: by how much the coupling of two clouds is the only one to make sense: the least distance of two
            particles of one label in the first, over twice the largest displacement. Above 1 every other coupling
            moves some particle further than this one moves any: the curves are those of the particles.
    """

    times: Tensor
    points: Tensor
    labels: Tensor
    order: Tensor
    space: Space
    r: float
    apart: Tensor

    @property
    def speeds(self) -> Tensor:
        """The speeds of the curves, ``[K, n]``."""
        return speeds(self.points, self.times[:, None], self.space)

    @property
    def metric_speed(self) -> Tensor:
        """|mu'| between instants, ``[K]``: the L^r mean of the speeds, since every coupling of the chain is optimal."""
        speeds = self.speeds
        return speeds.amax(1) if math.isinf(self.r) else speeds.pow(self.r).mean(1) ** (1 / self.r)

    def residuals(self, energy: Energy) -> Tensor:
        """Return how far each curve is from the inclusion u' in d|.|_*(-DE(u)), ``[K, n]``, on average over a step.

        |dE|(u) - <-DE(u), u'> at the middle of the step, constrained slope and gradient; 0 exactly where a curve of
        speed at most 1 descends as steeply as it can.

        Args:
            energy: of one particle, row for row with the first cloud; ``energy.within(K)`` where they are constrained.
        """
        return misses(energy, self.points, self.times[:, None], self.space) / self.times.diff()[:, None]


def paths(clouds: Sequence[Cloud], times: Sequence[float] | Tensor, r: float, space: Space) -> Paths:
    """Recover a measure on curves from clouds whose particles come in any order.

    Successive clouds are coupled optimally in W_r, class by class, and the couplings are chained; for r = inf by a
    perfect matching within the bottleneck, of these one of least total squared length, since the bottleneck alone would
    say nothing about particles that move less. The curve of measures has the metric speed of this measure on curves;
    for small steps it is the only one with this property, and ``apart`` says whether they are small.

    Args:
        clouds: at least two, with equal numbers of particles of each label.
        times: increasing, one for each cloud.
        r: in [1, inf].
        space: the norm of one particle's displacement.

    Returns:
        A :class:`Paths`.

    Raises:
        ValueError: if there are fewer than two clouds, they differ in size or labels, or times do not increase.
        ImportError: if POT (r < inf) or scipy (r = inf) is not installed.

    Source: Lisini, Calc. Var. 28 (2007) 85-120: absolutely continuous curves of measures are carried by measures on
    curves; arXiv:2406.05376 uses it to characterize the W_inf flow of a potential energy.

    >>> from maxslope import Lp
    >>> one = Cloud(torch.tensor([[0.0], [1.0]]), torch.zeros(2))
    >>> two = Cloud(torch.tensor([[1.1], [0.1]]), torch.zeros(2))
    >>> paths([one, two], [0.0, 0.1], 2, Lp(2)).order.tolist()
    [[0, 1], [1, 0]]
    """
    when = torch.as_tensor(times, dtype=torch.float64)
    if len(clouds) < 2 or when.shape != (len(clouds),) or not bool((when.diff() > 0).all()):
        raise ValueError(f"Curves need two clouds at least and increasing times, got {len(clouds)} at {when.tolist()}.")
    n = clouds[0].points.shape[0]
    order, apart = [torch.arange(n)], []
    for before, after in pairwise(clouds):
        match, ratio = _couple(before, after, r, space)
        order.append(match[order[-1]])
        apart.append(ratio)
    points = torch.stack([cloud.points[at] for cloud, at in zip(clouds, order, strict=True)])
    return Paths(when, points, clouds[0].labels, torch.stack(order), space, r, torch.tensor(apart, dtype=torch.float64))


def _couple(a: Cloud, b: Cloud, r: float, space: Space) -> tuple[Tensor, float]:
    """Where each particle of ``a`` goes in ``b``, and how far apart they are for that."""
    match = torch.empty(a.points.shape[0], dtype=torch.int64)
    nearest, longest = math.inf, 0.0
    for label, here, there in by_label(a, b):
        if len(here) != len(there):
            raise ValueError(
                f"Labels never move: clouds have as many particles of each label, got {len(here)} and {len(there)} of "
                f"label {label!r}."
            )
        cost = distances(a.points[here], b.points[there], space)
        to = optimal_assignment(cost, r)
        match[here] = there[torch.from_numpy(to).long()]
        longest = max(longest, float(cost[np.arange(len(to)), to].max()))
        own = distances(a.points[here], a.points[here], space)
        np.fill_diagonal(own, np.inf)
        nearest = min(nearest, float(own.min()))
    return match, nearest / (2 * longest) if longest > 0 else math.inf
