"""Convex parts of an energy besides indicators: functions with a proximal map, in the place of a set."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maxslope._optional import optional
from maxslope._rows import column, flat, inner, take
from maxslope.sets import Box, Set
from maxslope.sets._ball import draw
from maxslope.sets._roots import above, root
from maxslope.spaces import Lp, Space


class Convex(Set):
    """A convex, lower semicontinuous E_c, one for each row, with argmin { |z - v|_2^2 / 2 + s E_c(z) }.

    It takes the place of a set, ``energy.within(E_c)``: an indicator is the E_c that is 0 on K. Then the methods of a
    set mean what they mean for E_c: a linear form is minimized together with E_c, the slope is that of E_d + E_c.

    Source: arXiv:2406.05376 (E = E_d + E_c); Parikh and Boyd, Proximal algorithms (2014).
    """

    @abstractmethod
    def value(self, x: Tensor) -> Tensor:
        """Return E_c, ``[rows]``."""

    @abstractmethod
    def prox(self, v: Tensor, weight: Tensor) -> Tensor:
        """Return argmin { |z - v|_2^2 / 2 + weight E_c(z) }, with one weight a row, ``[rows]``."""

    def near(self, x: Tensor, radius: Tensor, space: Space) -> Convex:
        """Return E_c + chi { |z - x| <= radius }, in l_2, from the proximal map of E_c alone."""
        if space != Lp(2):
            raise ValueError(
                f"Next to {type(self).__name__} steps are known in Lp(2), got {space!r}; Sparse knows Lp(inf) too."
            )
        return Within(self, x, radius)

    def minimize_linear_near(self, xi: Tensor, x: Tensor, tau: Tensor, space: Space) -> Tensor:
        """Return argmin { <xi, z> + E_c(z) : |z - x| <= tau }, the semi-implicit step.

        In l_2 it is prox(x - s xi, s) at the time s at which the step has length tau, a root of a monotone function;
        where no time is long enough, the minimizer lies inside.
        """
        if space != Lp(2):
            return self.near(x, tau, space).minimize_linear(xi)
        tiny = torch.finfo(x.dtype).tiny
        first = tau / euclidean(xi).clamp_min(tiny)
        return self.at_length(xi, x, first, lambda s, size: size - tau)

    def at_length(self, xi: Tensor, x: Tensor, first: Tensor, excess: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Return prox(x - s xi, s) at the root in s of ``excess(s, |prox - x|)``, which rises with s.

        The search for a bracket begins at the times ``first``, ``[rows]``.
        """

        def step(s: Tensor) -> Tensor:
            return self.prox(x - column(s, x) * xi, s)

        def over(s: Tensor) -> Tensor:
            return excess(s, euclidean(step(s) - x))

        last = above(over, first.clamp(1e-30, 1.0))
        found: Tensor = step(root(over, torch.zeros_like(last), last, iterations=60))
        return found

    def slope(self, xi: Tensor, x: Tensor, space: Space) -> Tensor:
        """See :class:`Set`; in l_2 |x - prox(x - s xi, s)| / s with a small s, which tends to the slope from below."""
        return self._quotient(xi, x, space, s=torch.finfo(x.dtype).eps ** 0.5, least=1e-12)

    def _quotient(self, xi: Tensor, x: Tensor, space: Space, *, s: float, least: float) -> Tensor:
        """That quotient with a time s relative to the sizes of x and xi; unknown, NaN, but in l_2."""
        if space != Lp(2):
            return torch.full_like(flat(x)[:, 0], torch.nan)
        time = s * (1 + euclidean(x)) / euclidean(xi).clamp_min(least)
        return euclidean(x - self.prox(x - column(time, x) * xi, time)) / time

    def project(self, x: Tensor) -> Tensor:
        """See :class:`Set`; E_c is finite everywhere."""
        return x

    def minimize_linear(self, xi: Tensor) -> Tensor:
        raise ValueError(f"A linear form and {type(self).__name__} may have no minimizer; take steps of finite length.")

    def violation(self, x: Tensor) -> Tensor:
        return torch.zeros_like(flat(x)[:, 0])

    def gap(self, xi: Tensor, x: Tensor) -> Tensor:
        """Return max { <xi, x - z> + E_c(x) - E_c(z) } of each row."""
        z = self.minimize_linear(xi)
        return inner(xi, x - z) + self.value(x) - self.value(z)


@dataclass(frozen=True, eq=False)
class Sparse(Convex):
    """E_c(z) = weight |z - center|_1, within a box: soft thresholding. It knows steps in l_2 and in l_inf.

    Args:
        weight: not negative, a number or one for each row.
        center: ``[rows, *shape]`` or ``[1, *shape]``; 0 by default.
        box: where z may be; everywhere by default.

    Raises:
        ValueError: if a weight is negative.

    >>> Sparse(0.5).prox(torch.tensor([[1.0, -0.2]]), torch.ones(1))
    tensor([[0.5000, -0.0000]])
    """

    weight: float | Tensor
    center: Tensor | None = None
    box: Box | None = None

    def __post_init__(self) -> None:
        if not bool((torch.as_tensor(self.weight) >= 0).all()):
            raise ValueError(f"The weight of an l_1 term must not be negative, got {self.weight!r}.")

    def value(self, x: Tensor) -> Tensor:
        return self._weights(x) * flat(self._way(x)).abs().sum(1)

    def prox(self, v: Tensor, weight: Tensor) -> Tensor:
        """See :class:`Convex`: soft thresholding, then the box; exact, coordinate by coordinate."""
        way = self._way(v)
        soft = way.sign() * (way.abs() - column(weight * self._weights(v), v)).clamp_min(0)
        return self.project(soft if self.center is None else soft + self.center)

    def project(self, x: Tensor) -> Tensor:
        return x if self.box is None else self.box.project(x)

    def violation(self, x: Tensor) -> Tensor:
        return torch.zeros_like(flat(x)[:, 0]) if self.box is None else self.box.violation(x)

    def near(self, x: Tensor, radius: Tensor, space: Space) -> Convex:
        """See :class:`Convex`; in l_inf the box that a step may reach."""
        if space != Lp(math.inf):
            return Convex.near(self, x, radius, space)
        low, high = x - column(radius, x), x + column(radius, x)
        return Sparse(self.weight, self.center, Box(low, high) if self.box is None else self.box.intersect(low, high))

    def minimize_linear(self, xi: Tensor) -> Tensor:
        """See :class:`Set`: the center where |xi_i| <= weight, else the bound of the box down the form."""
        if self.box is None:
            return Convex.minimize_linear(self, xi)
        w = column(self._weights(xi), xi)
        home = torch.zeros_like(xi) if self.center is None else self.center.expand_as(xi)
        return torch.where(xi > w, self.box.lo, torch.where(xi < -w, self.box.hi, self.box.project(home)))

    def slope(self, xi: Tensor, x: Tensor, space: Space) -> Tensor:
        """See :class:`Set`: the element of least dual norm is the least in every coordinate, for every l_p."""
        way, w = self._way(x), column(self._weights(x), x)
        slack = 16 * torch.finfo(x.dtype).eps * x.abs().clamp_min(1)
        at_home = way.abs() <= slack
        least = torch.where(at_home, xi.sign() * (xi.abs() - w).clamp_min(0), xi + w * way.sign())
        return space.dual_norm(least if self.box is None else self.box.movable(least, x))

    def take(self, index: Tensor) -> Sparse:
        weight = self.weight[index] if isinstance(self.weight, Tensor) and self.weight.ndim else self.weight
        center = None if self.center is None else take(self.center, index)
        return Sparse(weight, center, None if self.box is None else self.box.take(index))

    def _way(self, x: Tensor) -> Tensor:
        return x if self.center is None else x - self.center

    def _weights(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.weight, dtype=x.dtype, device=x.device).expand(x.shape[0])


@dataclass(frozen=True, eq=False)
class TotalVariation(Convex):
    """E_c(z) = weight sum over pixels of |grad z|_2 with forward differences over all axes of a sample, in l_2.

    The proximal map is scikit-image's (extra ``boundary``), iterated until the energy moves by less than ``tolerance``
    of itself in an iteration: as exact as that, so slopes are good to a few digits.

    Args:
        weight: not negative.
        tolerance: of scikit-image's iteration.

    Source: Rudin, Osher and Fatemi (1992); Chambolle, An algorithm for total variation minimization (2004).
    """

    weight: float
    tolerance: float = 1e-9

    def value(self, x: Tensor) -> Tensor:
        parts = []
        for axis in range(1, x.ndim):
            last = x.narrow(axis, x.shape[axis] - 1, 1)
            parts.append(torch.cat([x.diff(dim=axis), torch.zeros_like(last)], axis))
        return self.weight * flat(torch.stack(parts).square().sum(0).sqrt()).sum(1)

    def prox(self, v: Tensor, weight: Tensor) -> Tensor:
        with optional("Total variation needs scikit-image", "[boundary]"):
            from skimage.restoration import denoise_tv_chambolle
        denoise: Callable[..., Any] = denoise_tv_chambolle
        rows = []
        for row, w in zip(v.detach().double().cpu().numpy(), (weight * self.weight).tolist(), strict=True):
            smooth = row if w <= 0 else denoise(row, weight=w, eps=self.tolerance, max_num_iter=20_000)
            rows.append(torch.from_numpy(smooth.copy()))
        return torch.stack(rows).to(v)

    def slope(self, xi: Tensor, x: Tensor, space: Space) -> Tensor:
        """See :class:`Convex`; with a longer time s, since the proximal map is not exact."""
        return self._quotient(xi, x, space, s=1e-2, least=1e-2)

    def take(self, index: Tensor) -> TotalVariation:
        return self


@dataclass(frozen=True, eq=False)
class Within(Convex):
    """E_c + chi { |z - center|_2 <= radius }.

    Its proximal map is that of E_c at a point drawn to the center, (v + m center) / (1 + m), with weight s / (1 + m)
    and the multiplier m of the ball, a root.
    """

    base: Convex
    center: Tensor
    radius: Tensor

    def value(self, x: Tensor) -> Tensor:
        """See :class:`Convex`; of E_c alone."""
        return self.base.value(x)

    def prox(self, v: Tensor, weight: Tensor) -> Tensor:

        def drawn(m: Tensor) -> Tensor:
            share = column(1 / (1 + m), v)
            return self.base.prox(share * v + (1 - share) * self.center, weight / (1 + m))

        def outside(m: Tensor) -> Tensor:
            return self.radius - euclidean(drawn(m) - self.center)

        zero = torch.zeros_like(self.radius)
        far = outside(zero) < 0
        if not bool(far.any()):
            return drawn(zero)
        high = above(lambda m: torch.where(far, outside(m), 0.0), torch.ones_like(zero), 4.0)
        m = torch.where(far, root(outside, zero, high, iterations=60), zero)
        return drawn(m)

    def minimize_linear(self, xi: Tensor) -> Tensor:
        return self.base.minimize_linear_near(xi, self.center, self.radius, Lp(2))

    def project(self, x: Tensor) -> Tensor:
        """See :class:`Set`; towards the center, which lies in the domain of E_c."""
        return draw(Lp(2), self.base.project(x), self.center, self.radius)

    def slope(self, xi: Tensor, x: Tensor, space: Space) -> Tensor:
        """See :class:`Set`; of E_c alone: the ball limits a step, not the motion."""
        return self.base.slope(xi, x, space)

    def take(self, index: Tensor) -> Within:
        return Within(self.base.take(index), self.center[index], self.radius[index])


def euclidean(v: Tensor) -> Tensor:
    """|v|_2 of each row."""
    return Lp(2).norm(v)


def with_convex(value: Tensor, domain: Set, x: Tensor) -> Tensor:
    """E_d + E_c, where the domain is a convex function; E_d where it is a set."""
    return value + domain.value(x) if isinstance(domain, Convex) else value
