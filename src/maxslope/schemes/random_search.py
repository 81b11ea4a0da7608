"""Random search: propose, look at the value, keep what is lower. No gradients."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from maxslope import _random
from maxslope._rows import choose, column, flat
from maxslope.energies import Blind
from maxslope.schemes.base import Here, Memory, Scheme
from maxslope.schemes.steps import Constant, StepSize
from maxslope.sets import BallBox, Box, Groups, Shared
from maxslope.spaces import Lp, Space

L_INF = Lp(math.inf)
_HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)  # of the run, where the windows' area halves
_SIZES = (0.3, 2.0)  # of an addition, in units of the radius


class Search(Scheme):
    """A scheme that proposes a point, sees its value at the next evaluation, and keeps the best one of each row.

    It carries (best point, its value, proposals made, key); rows are told apart by their keys alone: the bits of the
    point a row starts at, the seed of the scheme and, if the energy is :class:`Blind` with keys, those.
    """

    queries: int
    seed: int
    rate = math.inf

    @cached_property
    def tau(self) -> StepSize:  # type: ignore[override]
        """The step size in time: a run takes the time 1."""
        return Constant(1 / self.queries)

    def start(self, x: Tensor) -> Memory:
        key = _random.keys(self.seed, _random.keys_of_points(flat(x)))
        value = torch.full(x.shape[:1], torch.inf, dtype=x.dtype, device=x.device)
        return x.clone(), value, torch.zeros_like(key), key

    def step(self, here: Here, memory: Memory) -> tuple[Tensor, Memory]:
        best, least, clock, key, *own = memory
        value, energy = here.evaluation.value, here.energy
        better = value < least  # NaN is never better
        best, least = choose(better, here.x, best), torch.where(better, value, least)
        more = (energy.key,) if isinstance(energy, Blind) and energy.key is not None else ()
        x, carried = self.propose(here, best, clock, _random.keys(_random.PROPOSAL, key, *more, clock), tuple(own))
        return choose(clock + 1 >= self.queries, best, x), (best, least, clock + 1, key, *carried)

    @abstractmethod
    def propose(self, here: Here, best: Tensor, clock: Tensor, key: Tensor, own: Memory) -> tuple[Tensor, Memory]:
        """Return where to look next, and what the search carries besides: a key is that of one proposal of a row."""


@dataclass(frozen=True, eq=False)
class RandomSearch(Search):
    """z = best + change on a random window; best+ = z if E(z) < E(best), else best.

    Points of shape ``[c, h, w]`` change on a square, others on a random set of coordinates; its share of all
    coordinates halves as the run goes on, from ``share`` down to single pixels. What changes depends on the set:

        l_inf box      each channel of the window to one of its two bounds at random, never a change of nothing
        l_p ball, box  z = P_K(best + s h), h two hills of opposite signs in the window, |s h| uniform in 0.3 to 2
                       radii, P_K the exact projection: what the ball lacks is taken from everywhere

    Balls of norms of groups are treated as those of l_p.

    Each step evaluates the last proposal and makes one; the last step returns to the best point. A curve of this
    scheme shows its proposals, so its energy goes up and down.

    Args:
        queries: proposals in a run.
        share: of all coordinates in the first windows, in (0, 1]; by default 0.8 in boxes and 0.1 in balls.
        space: the norm of the motion; only reports use it.
        seed: random numbers are keyed by (seed, the bits of the starting point, the keys of a :class:`Blind` energy).

    Raises:
        ValueError: if there are no queries or the share is not in (0, 1]; in ``step``, if the set is neither a box nor
            a ball, of one norm or of a norm of groups, in a box.

    Source: Andriushchenko, Croce, Flammarion and Hein, Square Attack (arXiv:1912.00049), for windows, schedule
    and hills; adding and projecting instead of moving norm from window to window is the project's own, for any p.

    >>> from maxslope.energies import Quadratic
    >>> from maxslope.loop import Steps, flow
    >>> K = Box(torch.full((1, 4), 1.0), torch.full((1, 4), 2.0))
    >>> E = Blind(Quadratic(torch.eye(4))).within(K)
    >>> flow(E, torch.full((1, 4), 1.5), scheme=RandomSearch(60), until=Steps(60)).end
    tensor([[1., 1., 1., 1.]])
    """

    queries: int
    share: float | None = None
    space: Space = L_INF
    seed: int = 0

    def __post_init__(self) -> None:
        if self.queries < 1 or not (self.share is None or 0 < self.share <= 1):
            raise ValueError(
                f"Random search needs queries >= 1 and a share in (0, 1], got {self.queries} and {self.share}."
            )

    def propose(self, here: Here, best: Tensor, clock: Tensor, key: Tensor, own: Memory) -> tuple[Tensor, Memory]:
        domain = here.domain
        first = (0.8 if isinstance(domain, Box) else 0.1) if self.share is None else self.share
        share = share_at(first, clock, self.queries)
        if isinstance(domain, Box):
            return _to_bounds(best, share, key, domain), own
        if isinstance(domain, BallBox | Groups | Shared):
            return _add(best, share, key, domain), own
        raise ValueError(f"Random search moves in boxes and in balls with boxes, got {type(domain).__name__}.")


def share_at(first: float, clock: Tensor, queries: int) -> Tensor:
    """The share of coordinates in a window, ``[rows]`` float64: halved at fixed fractions of the run.

    >>> share_at(0.8, torch.tensor([0, 6, 900]), 1000)
    tensor([0.8000, 0.2000, 0.0016], dtype=torch.float64)
    """
    passed = torch.tensor(_HALVINGS, dtype=torch.float64, device=clock.device)
    halvings = (clock[:, None] / queries > passed).sum(1)
    return first * 0.5 ** halvings.double()


def _to_bounds(best: Tensor, share: Tensor, key: Tensor, domain: Box) -> Tensor:
    """Move the window to random bounds of the box; if it lies there already, to the opposite ones."""
    window = _window(key, share, best, least=1)
    free = best.ndim != 4  # coordinates without neighbors have signs of their own
    shape = best.shape[1:] if free else (best.shape[1], 1, 1)
    way = _random.sign(_random.keys(_random.SIGNS, key), shape).to(best).expand_as(best)
    z = torch.where(window, domain.minimize_linear(-way), best)
    idle = (flat(z) == flat(best)).all(1)
    if not bool(idle.any()):
        return z
    return choose(idle, torch.where(window, domain.minimize_linear(way), best), z)


def _add(best: Tensor, share: Tensor, key: Tensor, domain: BallBox | Groups | Shared) -> Tensor:
    """Add a pattern to the window and project: what the budget lacks is taken from everywhere."""
    window = _window(key, share, best, least=3)
    pattern = torch.where(window, _pattern(key, window).to(best), 0.0)
    low, high = _SIZES
    size = (low + (high - low) * _random.uniform(_random.keys(_random.SIZE, key), (1,)).squeeze(1)).to(
        best
    ) * domain.radius
    length = domain.norm.norm(pattern).clamp_min(torch.finfo(best.dtype).tiny)
    return domain.project(best + column(size / length, best) * pattern)


def _pattern(key: Tensor, window: Tensor) -> Tensor:
    """Two hills, 1 / (1 + distance from the middle of a half) and its negative; independent heights without squares."""
    shape = window.shape[1:]
    if window.ndim != 4:
        return _random.normal(_random.keys(_random.HEIGHTS, key), shape)
    draws = _random.sign(_random.keys(_random.HEIGHTS, key), (shape[0] + 1,))
    return _hills(window[:, 0], draws[:, 0] > 0)[:, None] * draws[:, 1:, None, None]


def _hills(window: Tensor, upright: Tensor) -> Tensor:
    """``[rows, h, w]``; where ``upright`` holds one hill lies above the other, elsewhere beside it."""
    y, x = (window.any(d).cumsum(1) - 1 for d in (2, 1))  # coordinates within the window, right in it alone
    return torch.where(upright[:, None, None], _pair(y, x), _pair(x, y).mT)


def _pair(along: Tensor, across: Tensor) -> Tensor:
    size = (along.amax(1, keepdim=True) + 1).double()
    low = (size / 2).floor()
    first = along < low
    middle = torch.where(first, low, size + low) / 2 - 0.5
    width = (across.amax(1, keepdim=True) + 1).double()
    far = torch.maximum((along - middle).abs()[:, :, None], (across - width / 2 + 0.5).abs()[:, None, :])
    return torch.where(first, -1.0, 1.0)[:, :, None] / (1 + far)


def _window(key: Tensor, share: Tensor, like: Tensor, least: int) -> Tensor:
    """A mask of the shape of ``like``: a random square of a share of each image, or a random set of coordinates."""
    if like.ndim != 4:
        u = _random.uniform(key, like.shape[1:]).flatten(1)
        count = (share * u.shape[1]).round().long().clamp(1, u.shape[1])
        level = u.sort(1).values.gather(1, count[:, None] - 1)
        return (u <= level).reshape(like.shape)
    h, w = like.shape[2:]
    side = (share * h * w).sqrt().round().clamp(min(least, h, w), min(h, w))
    corner = _random.uniform(key, (2,))
    marks = []
    for d, extent in enumerate((h, w)):
        first = (corner[:, d] * (extent - side + 1)).floor()[:, None]
        at = torch.arange(extent, device=like.device)
        marks.append((at >= first) & (at < first + side[:, None]))
    down, across = marks
    return (down[:, None, :, None] & across[:, None, None, :]).expand_as(like)
