"""Normalize, step, project: iterated FGSM and every normalized gradient descent."""

from __future__ import annotations

import torch
from torch import Tensor

from maxslope._rows import column
from maxslope.energies.convex import Convex
from maxslope.schemes.base import Here, Memory, Memoryless, length
from maxslope.spaces import Lp


class Explicit(Memoryless):
    """x+ = P_K(x + tau |xi|_*^(q-1) v(xi)), with v the steepest direction and P_K the Euclidean projection.

    For l_inf this is iterated FGSM (one step with tau = eps is FGSM), for l_2 normalized gradient descent, for l_1
    greedy coordinate descent. For l_inf budgets it equals the semi-implicit scheme; for others it does not.

    What it converges to as tau tends to 0: the flow, where no constraint binds, and in l_inf within a box. Where
    another constraint binds, the projection takes away a part of each step, and the limit is a slower curve, not that
    of maximal slope: E = <(1, 2), x>, |x|_inf <= 0.3, motion in l_2 from 0 comes to x_1 = -0.179 at t = 0.4 for every
    tau, the flow to -0.215. :class:`SemiImplicit` spends the whole step, and is the remedy.

    Args:
        tau: step size in time, a number, one per row, or a :class:`StepSize`.
        space: the norm of the motion.
        rate: p in (1, inf]; inf moves with unit speed.

    Raises:
        ValueError: if the rate is not in (1, inf] or a step size is negative.

    Source: arXiv:2406.05376 (explicit Euler; FGSM as its first step). The theorem there is about
    semi-implicit steps and minimizing movements.
    """

    def step(self, here: Here, memory: Memory) -> tuple[Tensor, Memory]:
        if isinstance(here.domain, Convex):
            return self._forward_backward(here, here.domain), memory
        way = self.space.steepest(here.evaluation.gradient)
        far = column(length(here, self.space, self.rate), here.x)
        return here.domain.project(torch.addcmul(here.x, far, way)), memory

    def _forward_backward(self, here: Here, convex: Convex) -> Tensor:
        """x+ = prox(x - tau xi, tau): of the flow of E_d + E_c with rate 2 in l_2."""
        if self.rate != 2 or self.space != Lp(2):
            raise ValueError(
                f"With a convex part the explicit step is known for Lp(2) and rate 2 (forward, then backward), got "
                f"{self.space!r} and rate={self.rate!r}; SemiImplicit minimizes with it at every rate."
            )
        return convex.prox(here.x - column(here.tau, here.x) * here.evaluation.gradient, here.tau)
