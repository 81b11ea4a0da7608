"""Distance to the zero set of a function: Newton's method towards it, and along it towards the nearest point."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope import _checks
from maxslope._rows import column, inner
from maxslope.energies import Function
from maxslope.loop import Steps, flow
from maxslope.schemes import Constant, Here, Memory, Scheme, StepSize
from maxslope.spaces import Lp, Space

_EUCLID = Lp(2)
_NOT_YET = 3.0  # how much a point off the zero set is worse than its distance says


@dataclass(frozen=True, eq=False)
class Nearest:
    """Nearest zeros of a function.

    Attributes:
        signed: the distance, positive where f > 0, ``[rows]``; inf or -inf where no zero was found.
        point: the nearest zero found, ``[rows, d]``.
        found: whether ``point`` is a zero up to a hundredth of its distance, ``[rows]``.
        passes: forward and backward passes, ``[rows]``.
    """

    signed: Tensor
    point: Tensor
    found: Tensor
    passes: Tensor


@dataclass(frozen=True, eq=False)
class Closest(Scheme):
    r"""z+ = z - f g / \|g\|^2 + w P (x - z): towards { f = 0 }, and along it towards the anchor x.

    g is the gradient of f at z, P the projection onto its complement. With w = 1 the step minimizes \|z+ - x\| over the
    zeros of the linearized f, which converges if the curvature times the distance is below 1; so w is the secant
    (Barzilai-Borwein) estimate of 1 / (1 + curvature distance) from the step before. A step towards the zero set is no
    longer than ``reach``; one that overshoots halves the longest one allowed.

    Source: the sequential quadratic program of min \|z - x\| subject to f(z) = 0; step sizes of Barzilai and Borwein,
    IMA J. Numer. Anal. 8 (1988).
    """

    reach: float
    anchor: Tensor

    space: Space = _EUCLID
    rate: float = math.inf
    tau: StepSize = Constant(1.0)  # noqa: RUF009  # a unit of time a step

    def start(self, x: Tensor) -> Memory:
        """See :class:`Scheme`; anchor, last move along the set, pull there, signed step towards it, its bound."""
        pull = torch.zeros_like(x)
        none = x.new_zeros(x.shape[0])
        return self.anchor.to(x), pull, pull, none, torch.full_like(none, self.reach)

    def step(self, here: Here, memory: Memory) -> tuple[Tensor, Memory]:
        anchor, moved, pulled, last, bound = memory
        value, g = here.evaluation.value, here.evaluation.gradient
        size = _EUCLID.norm(g)
        safe = torch.where(size > 0, size, 1.0)
        normal = g / column(safe, g)
        wanted = torch.where(size > 0, -value / safe, 0.0)
        # The sign changed, and the way back is no shorter: f bends too much for steps of this length. A sign that
        # changed because the point moved along the set says nothing.
        wild = (wanted * last < 0) & (wanted.abs() > last.abs() / 2) & (last.abs() > 2 * _EUCLID.norm(moved))
        bound = torch.where(wild, torch.minimum(bound, last.abs() / 2), (1.5 * bound).clamp_max(self.reach))
        across = wanted.clamp(-bound, bound)
        way = anchor - here.x
        pull = way - column(inner(way, normal), g) * normal
        weight = _secant(moved, pulled - pull)
        along = column(weight, g) * pull
        x = here.x + column(across, g) * normal + along
        return x, (anchor, along, pull, across, bound)


def _secant(moved: Tensor, change: Tensor) -> Tensor:
    """<s, s> / <s, y> in [0.05, 4]; 1 where nothing moved, or the pull grows on the way (beyond a focal point)."""
    square, curve = inner(moved, moved), inner(moved, change)
    usable = (square > 0) & (curve > 0)
    return torch.where(usable, square / torch.where(usable, curve, 1.0), 1.0).clamp(0.05, 4.0)


def nearest(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    reach: float = math.inf,
    steps: int = 20,
    near: Tensor | None = None,
) -> Nearest:
    """Return the zeros of f nearest to points, and their signed distances sign(f(x)) min { |z - x| : f(z) = 0 }.

    Every row takes ``steps`` steps of :class:`Closest` from x itself and, where zeros are known, also from the nearest
    of those, ``near``; the best zero on the way is taken, a local minimizer. ``reach`` is the longest step towards the
    zero set, about the largest distance of interest.

    Raises:
        TypeError: if the points are not a floating-point tensor.
        ValueError: if the points are not ``[rows, d]``, reach is not positive or there is no step.

    >>> disk = nearest(lambda z: 1 - z.square().sum(1), torch.tensor([[0.5, 0.0], [0.0, 3.0]]))
    >>> disk.signed, disk.point
    (tensor([ 0.5000, -2.0000]), tensor([[1., 0.],
            [0., 1.]]))
    """
    x = _checks.points(x)
    if x.ndim != 2:
        raise ValueError(f"Distances are measured from points [rows, d], got {tuple(x.shape)}; flatten the others.")
    if not reach > 0:
        raise ValueError(f"reach is a positive length, got {reach!r}.")
    if steps < 1:
        raise ValueError(f"The search for the nearest zero takes at least 1 step, got steps={steps!r}.")
    if near is None or not near.shape[0]:
        return _search(f, x, x, reach, steps)
    known = near.to(x)
    start = known[torch.cat([torch.cdist(part, known).argmin(1) for part in torch.split(x, 4096)])]
    return _best(_search(f, x, x, reach, steps), _search(f, x, start, reach, steps))


def _search(f: Callable[[Tensor], Tensor], x: Tensor, start: Tensor, reach: float, steps: int) -> Nearest:
    energy = Function(f)
    curve = flow(energy, start, scheme=Closest(reach, x), until=Steps(steps))
    off = curve.energy.abs() / torch.where(curve.slope > 0, curve.slope, torch.finfo(x.dtype).tiny)
    off = torch.where(curve.energy == 0, 0.0, off)
    length = _EUCLID.norm((curve.points - x).flatten(0, 1)).reshape(off.shape)
    cost = length + _NOT_YET * off
    at = torch.where(cost.isfinite(), cost, torch.inf).argmin(0)
    row = torch.arange(x.shape[0], device=x.device)
    away = length[at, row]
    tiny = 64 * torch.finfo(x.dtype).eps * (1 + _EUCLID.norm(x))
    found = off[at, row] <= 0.01 * away + tiny
    sign = energy.look(x).value.sign()
    return Nearest(sign * torch.where(found, away, torch.inf), curve.points[at, row], found, curve.forward)


def _best(a: Nearest, b: Nearest) -> Nearest:
    """Row by row the nearer of two zeros."""
    closer = b.found & (~a.found | (b.signed.abs() < a.signed.abs()))
    return Nearest(
        torch.where(closer, b.signed, a.signed),
        torch.where(closer[:, None], b.point, a.point),
        a.found | b.found,
        a.passes + b.passes,
    )
