"""Where a run starts. A start is a small frozen object; its points are projected onto the allowed set by the pool."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from maxslope import _random
from maxslope._rows import column
from maxslope.sets import Budget


class Origin(NamedTuple):
    """What a start may know of its rows.

    Attributes:
        x: clean points, ``[rows, *shape]``.
        eps: ``[rows]``, in the dtype of ``x``.
        budget: the norm and the box.
        key: ``[rows]`` int64, from (seed, sample id, run).
        best: the point of least margin of the runs up to the last one that does not look back, so that several runs
            can start from it side by side; the clean point before the first.
        last: where the sample's last run ended; the clean point before the first.
    """

    x: Tensor
    eps: Tensor
    budget: Budget
    key: Tensor
    best: Tensor
    last: Tensor

    def bounds(self) -> tuple[Tensor, Tensor]:
        """The box; where it has no bound, as far as the budget reaches."""
        return self.budget.window(self.x, self.eps)


class Start(ABC):
    """Maps clean points to starting points; rows are treated separately."""

    @property
    def looks_back(self) -> bool:
        """Whether the points depend on earlier runs of the sample, up to the last independent one."""
        return False

    @property
    def draws(self) -> bool:
        """Whether the points depend on random numbers; where they do not, no key has to be made."""
        return True

    @property
    def follows(self) -> bool:
        """Whether the points depend on the very run before: such a run cannot start ahead of time."""
        return False

    @abstractmethod
    def points(self, origin: Origin) -> Tensor:
        """Return ``[rows, *shape]``, not yet projected onto the allowed set."""


@dataclass(frozen=True)
class Clean(Start):
    """The clean point."""

    draws = False

    def points(self, origin: Origin) -> Tensor:
        return origin.x


@dataclass(frozen=True)
class Uniform(Start):
    """Uniform (Lebesgue) in the ball of radius ``fraction`` eps; what leaves the box is projected back."""

    fraction: float = 1.0

    def points(self, origin: Origin) -> Tensor:
        noise = origin.budget.norm.sample(origin.key, torch.empty_like(origin.x))
        return origin.x + column(self.fraction * origin.eps, origin.x) * noise


@dataclass(frozen=True)
class Corner(Start):
    """A random corner of the box, as far towards it as the budget allows."""

    def points(self, origin: Origin) -> Tensor:
        lo, hi = origin.bounds()
        return torch.where(_random.sign(origin.key, origin.x.shape[1:]) > 0, hi, lo)


@dataclass(frozen=True)
class Opposite(Start):
    """Towards the opposite face of the box: every coordinate to the bound that is farther away."""

    def points(self, origin: Origin) -> Tensor:
        lo, hi = origin.bounds()
        return torch.where(origin.x - lo > hi - origin.x, lo, hi)


@dataclass(frozen=True)
class Middle(Start):
    """Towards the middle of the box."""

    def points(self, origin: Origin) -> Tensor:
        lo, hi = origin.bounds()
        return (lo + hi) / 2


@dataclass(frozen=True)
class Gray(Start):
    """One random level of the box in every coordinate: uniform gray, for images."""

    def points(self, origin: Origin) -> Tensor:
        lo, hi = origin.bounds()
        level = _random.uniform(origin.key, (1,)).to(lo.dtype)
        return lo + column(level[:, 0], lo) * (hi - lo)


@dataclass(frozen=True, eq=False)
class Towards(Start):
    """Towards one of given points, such as samples or means of other classes, drawn at random.

    Args:
        targets: ``[m, *shape]``.
    """

    targets: Tensor

    def points(self, origin: Origin) -> Tensor:
        draw = _random.uniform(origin.key, (1,))[:, 0] * self.targets.shape[0]
        return self.targets.to(origin.x)[draw.long().clamp_max(self.targets.shape[0] - 1)]


@dataclass(frozen=True)
class Best(Start):
    """The sample's point of least margin, of its runs up to the last one that does not look back."""

    looks_back = True

    def points(self, origin: Origin) -> Tensor:
        return origin.best


@dataclass(frozen=True)
class Last(Start):
    """Where the sample's last run ended."""

    looks_back = True
    follows = True

    def points(self, origin: Origin) -> Tensor:
        return origin.last


@dataclass(frozen=True)
class Mixed(Start):
    """Each coordinate from ``second`` with probability ``share``, from ``first`` otherwise.

    ``Mixed(Best(), Uniform(), 0.1)`` makes the next run a hop of a basin-hopping search (Wales and Doye, J. Phys. Chem.
    A 101 (1997)): it leaves the best point in a tenth of the coordinates.
    """

    first: Start
    second: Start
    share: float = 0.3

    @property
    def looks_back(self) -> bool:
        return self.first.looks_back or self.second.looks_back

    @property
    def follows(self) -> bool:
        return self.first.follows or self.second.follows

    def points(self, origin: Origin) -> Tensor:
        coin = _random.uniform(_random.keys(_random.MIXTURE, origin.key), origin.x.shape[1:]) < self.share
        return torch.where(coin, self.second.points(origin), self.first.points(origin))
