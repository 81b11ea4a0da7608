"""What a point becomes in the world before it counts: pixels of a file, categories of a table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from maxslope import _checks
from maxslope._rows import column, flat
from maxslope.energies.base import Energy, Evaluation
from maxslope.sets import Box, Set
from maxslope.sets.groups import box_of

_HALVINGS = 12


def _last_that_fits(fits: Callable[[Tensor], Tensor], good: Tensor, bad: Tensor) -> Tensor:
    """The last number that fits, ``[rows]``, on the way from ``good``, which do, to ``bad``, which need not."""
    for _ in range(_HALVINGS):
        middle = (good + bad) / 2
        inside = fits(middle)
        good, bad = torch.where(inside, middle, good), torch.where(inside, bad, middle)
    return good


class Realization(ABC):
    """A map from points of the search to points of the world, row by row.

    The search goes through it with the derivative of the identity (a straight-through gradient, arXiv:1308.3432); only
    a realized point that lies in ball and box can be broken.
    """

    @abstractmethod
    def __call__(self, x: Tensor, center: Tensor, domain: Set) -> Tensor:
        """Return the realized points, ``[rows, *shape]``, inside the allowed sets as far as that can be.

        Args:
            x: points of the search, ``[rows, *shape]``, in their sets.
            center: the clean points, ``[rows, *shape]``.
            domain: the allowed sets, row for row.
        """

    def within(self, box: Any, shape: Sequence[int]) -> Realization:
        """Return the realization of inputs of this shape in this box (None for no box).

        Raises:
            ValueError: if they cannot be realized.
        """
        return self


@dataclass(frozen=True)
class Grid(Realization):
    """The box in equal steps: ``Grid(256)`` for files with 8 bits a channel.

    Each coordinate goes to the nearest level that its bounds allow: those of the box and of the mask, and in l_inf
    those of the ball. Where the point then leaves the ball of another norm, a coordinate goes to the next level away
    from the clean point only from a larger part of a step on, the same for all coordinates of the row and as small as
    the ball allows. What does not move stays as it is, bit for bit: coordinates that the mask holds, and those that are
    back at the level of the clean point.

    Args:
        levels: at least 2, both ends of the box included.
        box: the range that is divided, numbers or tensors of the shape of a sample; None for the box of the budget.

    Raises:
        ValueError: if there are fewer than 2 levels, or the box is not finite.

    >>> from maxslope.sets import Linf
    >>> x, z = torch.tensor([[0.0, 0.5]]), torch.tensor([[0.3, 0.9]])
    >>> Grid(3, box=(0.0, 1.0))(z, x, Linf(0.5).around(x))
    tensor([[0.5000, 1.0000]])
    """

    levels: int
    box: tuple[Any, Any] | None = None

    def __post_init__(self) -> None:
        if not _checks.whole(self.levels, 2):
            raise ValueError(f"A grid has an integer number of at least 2 levels, got {self.levels!r}.")
        if self.box is None:
            return
        lo, hi = (torch.as_tensor(bound, dtype=torch.float64) for bound in self.box)
        if not bool((lo.isfinite() & hi.isfinite() & (lo < hi)).all()):
            raise ValueError(f"A grid divides a finite box with lo < hi, got box={self.box!r}.")

    def within(self, box: Any, shape: Sequence[int]) -> Grid:
        """See :class:`Realization`: the box of the budget is the one that is divided, unless the grid has its own."""
        if self.box is None and box is None:
            raise ValueError(
                f"Grid({self.levels}) divides a box, but the budget has none; give Grid(levels, box=(0, 1))."
            )
        return self if self.box is not None else Grid(self.levels, box)

    def __call__(self, x: Tensor, center: Tensor, domain: Set) -> Tensor:
        bounds = box_of(domain)
        limits = self._limits(x, bounds)
        z = self._rounded(x, center, limits, x.new_full((x.shape[0],), 0.5))
        out = ~domain.contains(z)
        if isinstance(domain, Box) or not bool(out.any()):
            return z
        # Norms fall as the threshold rises, and at 1 no coordinate passes the level before the point.
        one = x.new_ones(len(x))
        least = _last_that_fits(lambda t: domain.contains(self._rounded(x, center, limits, t)), one, one / 2)
        return torch.where(column(out, z), self._rounded(x, center, limits, least), z)

    def _scale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The two ends of the grid, float64."""
        assert self.box is not None
        lo, hi = (torch.as_tensor(bound, device=x.device).to(torch.float64) for bound in self.box)
        return lo, hi

    def _level(self, x: Tensor) -> Tensor:
        """Where coordinates lie among the levels, float64: 0 at the first, between two of them a fraction."""
        lo, hi = self._scale(x)
        return (x.double() - lo) / (hi - lo) * (self.levels - 1)

    def _limits(self, x: Tensor, bounds: Box | None) -> tuple[Tensor, Tensor, Tensor]:
        """The first and the last level within bounds, up to rounding, and which coordinates cannot move."""
        lo, hi = self._scale(x)
        top = torch.full_like(x, self.levels - 1, dtype=torch.float64)
        if bounds is None:
            return torch.zeros_like(top), top, torch.zeros_like(top, dtype=torch.bool)
        slack = 4 * torch.finfo(x.dtype).eps * torch.maximum(lo.abs(), hi.abs()) / (hi - lo) * (self.levels - 1)
        least = (self._level(bounds.lo) - slack).ceil().clamp_min(0).minimum(top)
        most = (self._level(bounds.hi) + slack).floor().clamp_min(0).minimum(top)
        return least, torch.maximum(least, most), bounds.lo == bounds.hi

    def _rounded(self, x: Tensor, center: Tensor, limits: tuple[Tensor, Tensor, Tensor], threshold: Tensor) -> Tensor:
        """Points on the grid; ``threshold`` of a step is how far beyond a level the next one away is taken."""
        lo, hi = self._scale(x)
        least, most, held = limits
        home = self._level(center).round()
        way = self._level(x) - home
        whole = way.abs().floor()
        far = (way.abs() - whole) >= column(threshold, x).double() - 1e-9
        level = (home + way.sign() * (whole + far)).maximum(least).minimum(most)
        z = (lo + level / (self.levels - 1) * (hi - lo)).to(x.dtype)
        close = 8 * torch.finfo(x.dtype).eps * torch.maximum(lo.abs(), hi.abs())
        stays = (level == home) & ((z - center).abs() <= close)
        return torch.where(stays | held, center, z)


@dataclass(frozen=True)
class OneHot(Realization):
    """Categories in columns: in each group the largest becomes 1 and the others 0.

    Where the point then leaves the ball, only those groups change whose new category is farthest ahead of the old one,
    as many as the ball allows, and the other columns move as far as the rest of it lasts.

    Args:
        groups: lists of columns (indices into flat samples) that stand for one category each.

    Raises:
        ValueError: if a group is empty, or a column stands in two.

    >>> from maxslope.sets import L1
    >>> x = torch.tensor([[1.0, 0.0, 0.2]])
    >>> OneHot([[0, 1]])(torch.tensor([[0.4, 0.6, 0.2]]), x, L1(2.0).around(x))
    tensor([[0.0000, 1.0000, 0.2000]])
    """

    groups: Sequence[Sequence[int]]

    def __post_init__(self) -> None:
        columns = [k for group in self.groups for k in group]
        if not self.groups or not all(self.groups) or len(set(columns)) != len(columns) or min(columns) < 0:
            raise ValueError(
                f"OneHot needs groups of columns, none empty, no column twice, got {[list(g) for g in self.groups]!r}."
            )

    def __call__(self, x: Tensor, center: Tensor, domain: Set) -> Tensor:
        home, wanted = self._largest(center), self._largest(x)
        whole = self._point(wanted, x)
        fits = domain.contains(whole)
        if bool(fits.all()):
            return whole
        ahead = flat(x).gather(1, wanted) - flat(x).gather(1, home)
        leads = torch.where(wanted != home, ahead, -1.0)  # groups that do not change come last
        order = leads.argsort(dim=1, descending=True, stable=True).argsort(dim=1)

        def changed(count: Tensor) -> Tensor:
            return self._point(torch.where(order < count[:, None], wanted, home), center)

        high = (wanted != home).sum(1)
        low = torch.zeros_like(high)
        while bool((low < high).any()):
            middle = (low + high + 1) // 2
            inside = domain.contains(changed(middle))
            low, high = torch.where(inside, middle, low), torch.where(inside, high, middle - 1)
        most = changed(low)
        # What the categories leave of the ball goes to the other columns, as far along their way as it lasts.
        way = flat(x - center).clone()
        way[:, self._columns(x).flatten()] = 0
        way = way.reshape(x.shape)
        part = _last_that_fits(
            lambda t: domain.contains(most + column(t, x) * way), x.new_zeros(len(x)), x.new_ones(len(x))
        )
        return torch.where(column(fits, x), whole, most + column(part, x) * way)

    def _columns(self, x: Tensor) -> Tensor:
        """The columns of each group, ``[groups, most of them]``; where a group has fewer, its first one again."""
        width = max(map(len, self.groups))
        return torch.tensor([[*group, *[group[0]] * (width - len(group))] for group in self.groups], device=x.device)

    def _largest(self, x: Tensor) -> Tensor:
        """The column of the largest of each group, ``[rows, groups]``."""
        columns = self._columns(x)
        place = flat(x)[:, columns].argmax(2, keepdim=True)
        return columns.expand(len(x), -1, -1).gather(2, place).squeeze(2)

    def _point(self, ones: Tensor, rest: Tensor) -> Tensor:
        """The points with 1 in the columns ``ones`` ``[rows, groups]``, 0 in the others of groups, else ``rest``."""
        out = flat(rest).clone()
        out[:, self._columns(rest).flatten()] = 0
        return out.scatter(1, ones, 1.0).reshape(rest.shape)

    def within(self, box: Any, shape: Sequence[int]) -> OneHot:
        size, most = int(torch.Size(shape).numel()), max(k for group in self.groups for k in group)
        if most >= size:
            raise ValueError(f"OneHot names column {most}, but samples of shape {tuple(shape)} have {size}.")
        return self


@dataclass(frozen=True)
class Mapped(Realization):
    """Any function of rows, such as an encoder followed by its decoder.

    Args:
        function: from points ``[rows, *shape]`` to points of the same shape, row by row.
    """

    function: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor, center: Tensor, domain: Set) -> Tensor:
        z: Any = self.function(x.clone())
        if not isinstance(z, Tensor) or z.shape != x.shape:
            got = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
            raise ValueError(f"A realization returns points of the shape it is given, {tuple(x.shape)}, got {got}.")
        moved: Tensor = z.detach().to(x.dtype)
        return moved


def as_realization(value: Any) -> Realization | None:
    """Return a realization as it is, a function as one, None as None.

    Raises:
        TypeError: for anything else.
    """
    if value is None or isinstance(value, Realization):
        return value
    if callable(value) and not isinstance(value, type):
        return Mapped(value)
    raise TypeError(f"realize is a Realization such as Grid(256), or a function of rows, got {value!r}.")


@dataclass(frozen=True, eq=False)
class Realized(Energy):
    """E(R(x)), R the realization, with the derivative of E at R(x): R counts as the identity.

    Where R(x) is not allowed, the goal is not reached and the margin is infinite.
    """

    base: Energy
    realize: Realization
    domain: Set
    center: Tensor

    def evaluate(self, x: Tensor) -> Evaluation:
        return self._allowed(x, self.base.evaluate)

    def look(self, x: Tensor) -> Evaluation:
        return self._allowed(x, self.base.look)

    def smoothed(self, widths: Tensor) -> Realized:
        return replace(self, base=self.base.smoothed(widths))

    def take(self, index: Tensor) -> Realized:
        return Realized(self.base.take(index), self.realize, self.domain.take(index), self.center[index])

    @property
    def passes(self) -> int:
        return self.base.passes

    def _allowed(self, x: Tensor, evaluate: Callable[[Tensor], Evaluation]) -> Evaluation:
        z = self.realize(x, self.center, self.domain)
        e, inside = evaluate(z), self.domain.contains(z)
        return e._replace(margin=torch.where(inside, e.margin, torch.inf), reached=e.reached & inside)
