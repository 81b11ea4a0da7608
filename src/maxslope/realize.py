"""What a point becomes in the world before it counts: pixels of a file, categories of a table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maxslope._rows import column
from maxslope.energies.base import Energy, Evaluation
from maxslope.goals.base import whole
from maxslope.sets import Set

_HALVINGS = 12


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

    Each coordinate goes to the nearest level; where that leaves the ball, it goes to the next level away from the clean
    point only from a larger part of a step on, the same for all coordinates of the row and as small as the ball allows.

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
        if not whole(self.levels, 2):
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
        """See :class:`Realization`."""
        z = self._rounded(x, center, x.new_full((x.shape[0],), 0.5))
        out = ~domain.contains(z)
        if not bool(out.any()):
            return z
        # Norms fall as the threshold rises, and at 1 no coordinate passes the level before the point.
        low, high = z.new_full((x.shape[0],), 0.5), z.new_ones(x.shape[0])
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            fits = domain.contains(self._rounded(x, center, middle))
            low, high = torch.where(fits, low, middle), torch.where(fits, middle, high)
        return torch.where(column(out, z), self._rounded(x, center, high), z)

    def _rounded(self, x: Tensor, center: Tensor, threshold: Tensor) -> Tensor:
        """Points on the grid; ``threshold`` of a step is how far beyond a level the next one away is taken."""
        assert self.box is not None
        lo, hi = (torch.as_tensor(bound, device=x.device).to(torch.float64) for bound in self.box)
        step = (hi - lo) / (self.levels - 1)
        at, home = (x.double() - lo) / step, ((center.double() - lo) / step).round()
        way = at - home
        whole = way.abs().floor()
        far = (way.abs() - whole) >= column(threshold, x).double() - 1e-9
        level = home + way.sign() * (whole + far)
        return (lo + level.clamp(0, self.levels - 1) * step).to(x.dtype)


@dataclass(frozen=True)
class OneHot(Realization):
    """Categories in columns: in each group the largest becomes 1 and the others 0.

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
        """See :class:`Realization`."""
        flat = x.reshape(x.shape[0], -1).clone()
        for group in self.groups:
            at = torch.tensor(list(group), device=x.device)
            own = flat[:, at]
            flat[:, at] = torch.zeros_like(own).scatter(1, own.argmax(1, keepdim=True), 1.0)
        return flat.reshape(x.shape)

    def within(self, box: Any, shape: Sequence[int]) -> OneHot:
        """See :class:`Realization`."""
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
        """See :class:`Realization`."""
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

    Args:
        base: E.
        realize: R.
        domain: the allowed sets, row for row.
        center: the clean points.
    """

    base: Energy
    realize: Realization
    domain: Set
    center: Tensor

    def evaluate(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`."""
        z = self.realize(x, self.center, self.domain)
        return self._allowed(z, self.base.evaluate(z))

    def look(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`."""
        z = self.realize(x, self.center, self.domain)
        return self._allowed(z, self.base.look(z))

    def take(self, index: Tensor) -> Realized:
        """See :class:`Energy`."""
        return Realized(self.base.take(index), self.realize, self.domain.take(index), self.center[index])

    @property
    def passes(self) -> int:
        """See :class:`Energy`."""
        return self.base.passes

    def _allowed(self, z: Tensor, e: Evaluation) -> Evaluation:
        inside = self.domain.contains(z)
        return e._replace(margin=torch.where(inside, e.margin, torch.inf), reached=e.reached & inside)
