"""Descent at kinks: gradients gathered nearby, and the step that lowers all of their linear forms at once."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from maxslope._rows import inner
from maxslope.energies import Energy
from maxslope.schemes._barrier import Array, Cap, mixture
from maxslope.sets import BallBox, Set
from maxslope.sets.box import separable
from maxslope.sets.groups import box_of
from maxslope.spaces import Lp, Space, Weighted

CONFIRMED = 0.8  # of a promise: a step that attains so much of it shows that nearby gradients have said all
_DENIED = 0.5  # of a promise: where a gradient repeats so much of it, but the energy has not fallen, look nearer
_HALVINGS = 4


class Nearby(NamedTuple):
    """What gradients gathered nearby say, one entry a row; NaN where E or its gradient was not finite."""

    points: Tensor  # where the descent ended: the point of least energy seen, [rows, *shape]
    value: Tensor  # the energy there
    bound: Tensor  # by how much a step within K and the radius can lower the largest of the linear forms, from above
    slope: Tensor  # the least constrained slope of mixtures of the gradients, from above; NaN where points move
    attained: Tensor  # the largest decrease that a step from the point was seen to make, per length
    spent: Tensor  # evaluations, int64


def descend(
    energy: Energy,
    domain: Set,
    x: Tensor,
    radius: Tensor,
    space: Space,
    *,
    passes: Tensor,
    enough: Tensor,
    share: float,
) -> Nearby:
    """Take steps that all gradients seen nearby say go down, or find that there are none, for each row by itself.

    A step d minimizes max_i <g_i, d> - lag_i over K - x within the radius, where the linear form of the energy at y_i
    lies lag_i >= 0 below E(x); forms that lie above count as if they met it. If the energy is lower there, that is the
    new point; if not, the gradient there joins the bundle (or that of half the step, where it repeats a promise that
    was not kept), until the promise is ``enough`` or the passes are spent. The bound is that of the decrease of
    max_i E(y_i) + <g_i, z - y_i>: for convex energies no step there lowers E by more, for others none does to first
    order. In sets of groups steps are chosen without regard to the radii of groups; the bounds regard them.

    Args:
        energy: row for row with ``x``.
        domain: K.
        x: points of K, ``[rows, *shape]``.
        radius: ``[rows]``, of steps, and of how far gradients count.
        space: the norm of both.
        passes: ``[rows]`` int64, evaluations at most, that at ``x`` included; at least 1.
        enough: ``[rows]``, the bound at which a row rests.
        share: of the energy at the point: likewise.

    Source: Goldstein, Optimization of Lipschitz continuous functions (1977); Lemarechal, Bundle methods in nonsmooth
    optimization (1978).

    >>> from maxslope.energies import Function
    >>> from maxslope.sets import Everything
    >>> E, x, one = Function(lambda z: z.abs().sum(1)), torch.tensor([[0.3, -0.002]]), torch.ones(1)
    >>> found = descend(E, Everything(), x, 0.01 * one, Lp(2), passes=90 * one.long(), enough=1e-6 * one, share=0)
    >>> bool(found.bound <= 1e-6), bool(found.value < 0.015)
    (True, True)
    """
    return _heard(_Moving, energy, domain, x, radius, space, passes, enough, share)


def gather(
    energy: Energy, domain: Set, x: Tensor, radius: Tensor, space: Space, *, passes: Tensor, enough: Tensor
) -> Nearby:
    """Gather gradients around ``x`` as :func:`descend` does, and stay there.

    Gradients count as if they were those at ``x``, lags 0; a row rests once a step attains four fifths of what is
    promised.
    """
    return _heard(_Staying, energy, domain, x, radius, space, passes, enough, 0.0)


def _heard(
    kind: type[_Row], energy: Energy, domain: Set, x: Tensor, radius: Tensor, space: Space, passes: Tensor,
    enough: Tensor, share: float,
) -> Nearby:  # fmt: skip
    """What rows of a kind say in the end; where they go next is evaluated together."""
    each = zip(radius.tolist(), passes.tolist(), enough.tolist(), strict=True)
    rows = [
        kind(domain.take(torch.tensor([k], device=x.device)), x[k : k + 1].clone(), space, *limits, share)
        for k, limits in enumerate(each)
    ]
    while asked := [(k, row, row.target) for k, row in enumerate(rows) if row.target is not None]:
        index = torch.tensor([k for k, _, _ in asked], device=x.device)
        e = energy.take(index).evaluate(torch.cat([target for _, _, target in asked]))
        for at, (_, row, _) in enumerate(asked):
            row.hear(float(e.value[at]), e.gradient[at : at + 1])

    said = [(row.value, row.bound, row.slope, row.attained) for row in rows]
    value, bound, slope, attained = x.new_tensor(said).unbind(1)
    spent = torch.tensor([row.spent for row in rows], device=x.device)
    return Nearby(torch.cat([row.x for row in rows]), value, bound, slope, attained, spent)


class _Form(NamedTuple):
    """The linear form of the energy around a point."""

    point: Tensor
    value: float
    gradient: Array


@dataclass(eq=False)
class _Row(ABC):
    """The bundle of one row, around its point; ``target`` is where the energy is asked next, if anywhere."""

    domain: Set
    x: Tensor
    space: Space
    radius: float
    passes: int
    enough: float
    share: float = 0.0
    value: float = math.nan
    bound: float = math.nan
    slope: float = math.nan
    attained: float = 0.0
    spent: int = 0
    target: Tensor | None = None
    forms: list[_Form] = field(default_factory=list)
    step: Tensor | None = None
    promise: float = 0.0
    halved: int = 0

    def __post_init__(self) -> None:
        self.target = self.x if self.passes > 0 else None

    def hear(self, value: float, gradient: Tensor) -> None:
        """Take in what the energy is at the target."""
        z, self.target = self.target, None
        assert z is not None
        self.spent += 1
        finite = math.isfinite(value) and bool(gradient.isfinite().all())
        if self.step is None:
            self.value = value
            if finite:
                self._plan(z, value, gradient)
            return
        lower = self.value - value
        self.attained = max(self.attained, lower / max(float(self.space.distance(self.x, z)), 1e-300))
        if self._settles(z, value, gradient if finite else None):
            return
        if finite and float(inner(gradient, z - self.x)) > -_DENIED * self.promise * 0.5**self.halved:
            self._plan(z, value, gradient)
        elif self.halved < _HALVINGS:
            self.halved += 1
            self._ask(self.step / 2)
        elif finite:
            self._plan(z, value, gradient)

    def _ask(self, step: Tensor) -> None:
        z = self.domain.project(self.x + step)
        if self.spent < self.passes and not torch.equal(z, self.x):
            self.step, self.target = step, z

    def _plan(self, z: Tensor, value: float, gradient: Tensor) -> None:
        """Add a gradient, bound what mixtures leave, and ask at the end of the step that lowers all forms most."""
        self.forms.append(_Form(z, value, _array(gradient)))
        G = np.stack([form.gradient for form in self.forms])
        lags = self._lags(G)
        d, weights = mixture(G, *_region(self.domain, self.x, self.radius, self.space), lags)
        xi = torch.from_numpy(weights @ G).to(self.x).reshape(self.x.shape)
        tau = torch.full_like(self.x.flatten()[:1], self.radius)
        far = self.domain.minimize_linear_near(xi, self.x, tau, self.space) - self.x
        self.bound = _least(self.bound, max(-float(inner(xi, far)), 0.0) + float(weights @ lags))
        self.slope = _least(self.slope, self._slope(xi))
        steps = [torch.from_numpy(d).to(self.x).reshape(self.x.shape), far]
        promises = [-float((G @ _array(step) - lags).max()) for step in steps]
        best = int(np.argmax(promises))
        self.promise, self.halved = promises[best], 0
        if self.bound > max(self.enough, self.share * self.value) and self.promise > 0:
            self._ask(steps[best])

    @abstractmethod
    def _settles(self, z: Tensor, value: float, gradient: Tensor | None) -> bool:
        """Whether what was found at the end of a step, no gradient where it is not finite, ends the matter."""

    @abstractmethod
    def _lags(self, G: Array) -> Array:
        """By how much the linear forms lie below the value at the point."""

    @abstractmethod
    def _slope(self, xi: Tensor) -> float:
        """The constrained slope of a mixture of gradients, NaN where the point moves on."""


class _Moving(_Row):
    """Moves to lower points."""

    def _settles(self, z: Tensor, value: float, gradient: Tensor | None) -> bool:
        if gradient is None or not value < self.value:
            return False
        self.x, self.value, self.attained, self.bound = z, value, 0.0, math.nan
        self.forms = [form for form in self.forms if float(self.space.distance(z, form.point)) <= self.radius]
        self._plan(z, value, gradient)
        return True

    def _lags(self, G: Array) -> Array:
        x = _array(self.x)
        there = [form.value + form.gradient @ (x - _array(form.point)) for form in self.forms]
        return np.maximum(self.value - np.array(there), 0.0)

    def _slope(self, xi: Tensor) -> float:
        return math.nan


class _Staying(_Row):
    """Stays where it is, and rests once a step attains most of what is promised."""

    def _settles(self, z: Tensor, value: float, gradient: Tensor | None) -> bool:
        return self.value - value >= CONFIRMED * self.promise * 0.5**self.halved

    def _lags(self, G: Array) -> Array:
        return np.zeros(len(G))

    def _slope(self, xi: Tensor) -> float:
        return float(self.domain.slope(xi, self.x, self.space))


def _least(known: float, new: float) -> float:
    return new if math.isnan(known) else min(known, new)


def _region(domain: Set, x: Tensor, radius: float, space: Space) -> tuple[Array, Array, list[Cap]]:
    """The steps that K and the radius allow, as bounds and caps."""
    caps: list[Cap] = []
    box = box_of(domain)
    low, high = np.full(x.numel(), -np.inf), np.full(x.numel(), np.inf)
    if radius <= 0:
        return np.zeros(x.numel()), np.zeros(x.numel()), caps
    if box is not None:
        low, high = (_array(bound.double() - x.double()) for bound in (box.lo, box.hi))
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    if isinstance(domain, BallBox):
        caps.append(_cap(domain.norm, x - domain.center, float(domain.radius)))
    if isinstance(space, Lp | Weighted) and not math.isinf(separable(space)[0].p):
        caps.append(_cap(space, torch.zeros_like(x), radius))
    else:
        width = radius / _weights(space, x)
        low, high = np.maximum(low, -width), np.minimum(high, width)
    return low, high, [cap for cap in caps if cap.radius > 0]


def _cap(norm: Space, offset: Tensor, radius: float) -> Cap:
    return Cap(separable(norm)[0].p, _weights(norm, offset), _array(offset), radius)


def _weights(norm: Space, x: Tensor) -> Array:
    """The weights of a norm, ``[n]``; 1 where it has none."""
    return _array((norm.weights if isinstance(norm, Weighted) else torch.ones_like(x)).expand(x.shape))


def _array(x: Tensor) -> Array:
    """The entries of a single row, ``[n]``."""
    return np.asarray(x.double().flatten().cpu().numpy(), dtype=np.float64)
