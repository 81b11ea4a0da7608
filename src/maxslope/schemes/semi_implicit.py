"""Minimize the linearized energy exactly over everything a step may reach."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from maxslope._rows import column, inner
from maxslope.energies.convex import Convex, with_convex
from maxslope.schemes.base import Here, Memory, Memoryless, length
from maxslope.sets import Everything
from maxslope.sets._roots import minimum
from maxslope.spaces import Lp


class SemiImplicit(Memoryless):
    """x+ in argmin { <DE(x), z> : z in K, |z - x| <= tau }  (rate inf),
    x+ in argmin { <DE(x), z> + |z - x|^p / (p tau^(p-1)) : z in K }  (rate p < inf).

    Constraint and step are one problem, solved exactly: where the budget binds, this goes further down than stepping
    first and projecting afterwards. As tau tends to 0 its curves converge, along subsequences, to curves of maximal
    slope, whatever constraint binds; explicit steps do not (:class:`Explicit`).

    Args:
        tau: step size in time, a number, one per row, or a :class:`StepSize`.
        space: the norm of the motion: that of the budget, or l_inf, or any finite l_p.
        rate: p in (1, inf].

    Raises:
        ValueError: if the rate is not in (1, inf] or a step size is negative.

    Source: arXiv:2406.05376 (semi-implicit scheme; its limit is an inf-curve of maximal slope).
    """  # noqa: D205

    def step(self, here: Here, memory: Memory) -> tuple[Tensor, Memory]:
        if isinstance(here.domain, Convex):
            return self._with_convex(here, here.domain), memory
        radius = length(here, self.space, self.rate)
        if not (math.isinf(self.rate) or isinstance(here.domain, Everything)):
            radius = self._penalized(here, radius)
        return here.domain.minimize_linear_near(here.evaluation.gradient, here.x, radius, self.space), memory

    def _with_convex(self, here: Here, convex: Convex) -> Tensor:
        """The same problem with E_c; for p < inf in l_2 it is prox(x - s xi, s) with s |z - x|^(p-2) = tau^(p-1)."""
        xi, x, tau = here.evaluation.gradient, here.x, here.tau
        if math.isinf(self.rate):
            return convex.minimize_linear_near(xi, x, tau, self.space)
        if self.rate == 2 and self.space == Lp(2):
            return convex.prox(x - column(tau, x) * xi, tau)
        power = self.rate - 2
        if self.space == Lp(2):

            def excess(s: Tensor, size: Tensor) -> Tensor:  # s |z - x|^(p-2) tends to 0 with s
                return torch.where(size > 0, s * size**power, 0.0) - tau ** (power + 1)

            return convex.at_length(xi, x, tau, excess)
        longest = tau * convex.slope(xi, x, self.space) ** (1 / (self.rate - 1))
        return convex.minimize_linear_near(xi, x, self._penalized(here, longest), self.space)

    def _penalized(self, here: Here, longest: Tensor) -> Tensor:
        """The radius r in [0, longest] that minimizes min { <xi, z> : |z - x| <= r } + r^p / (p tau^(p-1)).

        The inner minimum is convex and decreasing in r, so a golden-section search on the sum finds it.
        """
        xi, x, p = here.evaluation.gradient, here.x, self.rate
        tau = here.tau.clamp_min(torch.finfo(x.dtype).tiny)

        def cost(r: Tensor) -> Tensor:
            z = here.domain.minimize_linear_near(xi, x, r, self.space)
            return with_convex(inner(xi, z - x), here.domain, z) + tau * (r / tau) ** p / p

        radius, _ = minimum(cost, longest, iterations=42)
        return radius
