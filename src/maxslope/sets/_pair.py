"""Two balls of one l_p norm, 1 < p < inf, and a box: Newton's method for all coordinates and both multipliers at once.

    argmin { <g, d> : |d - e|_p <= tau, |d|_p <= r, a <= d <= b }    where both balls bind.

With t = (d - e) / tau, rho = p - 1 and phi(t) = sign(t) |t|^rho every free coordinate solves

    lam phi(t) + mu phi((e + tau t) / r) + g = 0

for two numbers lam, mu > 0 that are common to a row. A step of Newton's method takes one evaluation of both powers: it
corrects each coordinate on its own, and moves lam and mu so that both norms come right to first order. What makes few
steps do is the form in which a coordinate is corrected: ``_pair_above`` for p >= 2, ``_pair_below`` for p < 2. The
derivation is the project's own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maxslope._rows import select
from maxslope.sets._pair_above import Above
from maxslope.sets._pair_base import Multipliers, Pair
from maxslope.sets._pair_below import Below
from maxslope.spaces import Lp

_STEPS = 40
_MANY = 6  # one in as many rows is settled before the others are taken apart: it costs a fifth of a step


def minimize(
    lp: Lp, g: Tensor, e: Tensor, tau: Tensor, radius: Tensor, a: Tensor, b: Tensor, *, pace: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return d, ``[rows, d]``, and where it is the minimizer, ``[rows]``; ``a`` and ``b`` bound d.

    A ``pace`` below 1 changes the multipliers by less at once, in more steps.
    """
    flip = torch.ones_like(e).copysign(e)  # now e >= 0
    make = Above if lp.p >= 2 else Below
    work: Pair = make(lp, g * (flip / g.abs().amax(1, keepdim=True)), e.abs(), tau[:, None], radius[:, None], pace)
    work.bound(torch.minimum(a * flip, b * flip), torch.maximum(a * flip, b * flip))
    points, row = work.start()
    d, index = torch.zeros_like(e), torch.arange(g.shape[0], device=g.device)
    settled = torch.zeros_like(tau, dtype=torch.bool)
    rests = torch.zeros_like(settled)  # of those that are still worked on
    for _ in range(round(_STEPS / pace)):
        best, points, row, error = work.step(points, row)
        done = ((error <= work.tolerance) | error.isnan()) & ~rests
        if not bool(done.any()):
            continue
        ready = done.nonzero().squeeze(1)
        d.index_copy_(0, index[ready], work.take(ready).place(tuple(select(t, ready) for t in best)))
        settled[index[ready]] = ~error[ready].isnan()
        rests = rests | done
        rest = (~rests).nonzero().squeeze(1)
        if not rest.numel():
            break
        if _MANY * rest.numel() <= (_MANY - 1) * len(rests):  # the others go on without those that are settled
            index, work, rests = index[rest], work.take(rest), rests[rest]
            points, row = tuple(select(t, rest) for t in points), Multipliers(*(select(t, rest) for t in row))
    return d * flip, settled
