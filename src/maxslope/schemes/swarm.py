"""Consensus-based search as a scheme: a swarm for every row, one particle seen at each step. No gradients."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from maxslope import _random
from maxslope._rows import choose, column
from maxslope.schemes.base import Here, Memory
from maxslope.schemes.consensus import consensus, drift
from maxslope.schemes.random_search import L_INF, Search
from maxslope.spaces import Space


@dataclass(frozen=True, eq=False)
class Swarm(Search):
    """z_j+ = P_K(z_j - dt (z_j - m) + sigma sqrt(dt) |z_j - m| n): particles take turns, m the consensus of all.

    The consensus m is the mean with weights exp(-alpha (E(z_j) - min E) / (max E - min E)) and n is normal, as in
    :class:`Consensus`; there the whole swarm moves at once inside one step, here each step evaluates one particle,
    which moves when its next turn comes. The first particle is the starting point, the others start far out in random
    directions, constant on square tiles of images, projected onto the set. The last step returns to the best point.

    Args:
        queries: evaluations in a run.
        particles: at least 2.
        alpha: inverse temperature in units of the spread of energies.
        sigma: size of the noise.
        dt: length of a move.
        space: the norm of the motion; only reports use it.
        seed: random numbers are keyed by (seed, the bits of the starting point, the keys of a :class:`Blind` energy).

    Raises:
        ValueError: if there are no queries or fewer than two particles.

    Source: Pinnau, Totzeck, Tse and Martin, A consensus-based model for global optimization and its mean-field limit
    (2017); anisotropic noise by Carrillo, Jin, Li and Zhu (2021). Taking turns is the project's own.

    >>> from maxslope.energies import Blind, Quadratic
    >>> from maxslope.loop import Steps, flow
    >>> from maxslope.sets import Box
    >>> K = Box(torch.full((1, 2), -1.0), torch.full((1, 2), 1.0))
    >>> curve = flow(Blind(Quadratic(torch.eye(2))).within(K), torch.ones(1, 2), scheme=Swarm(200), until=Steps(200))
    >>> bool(curve.end.abs().max() < 0.1)
    True
    """

    queries: int
    particles: int = 20
    alpha: float = field(default=200.0, kw_only=True)
    sigma: float = field(default=1.5, kw_only=True)
    dt: float = field(default=0.5, kw_only=True)
    space: Space = field(default=L_INF, kw_only=True)
    seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        if self.queries < 1 or self.particles < 2:
            raise ValueError(f"A swarm needs queries >= 1 and particles >= 2, got {self.queries} and {self.particles}.")

    def start(self, x: Tensor) -> Memory:
        """See :class:`Scheme`; besides what every search carries, the swarm and its values."""
        best, least, *rest = Search.start(self, x)
        swarm = x[:, None].repeat(1, self.particles, *(1,) * (x.ndim - 1))
        return best, least, *rest, swarm, least[:, None].repeat(1, self.particles)

    def propose(self, here: Here, best: Tensor, clock: Tensor, key: Tensor, own: Memory) -> tuple[Tensor, Memory]:
        swarm, values = own
        row = torch.arange(len(clock), device=clock.device)
        seen = clock % self.particles
        swarm, values = swarm.clone(), values.clone()
        value = here.evaluation.value
        swarm[row, seen], values[row, seen] = here.x, torch.where(value.isfinite(), value, torch.inf)
        turn = (clock + 1) % self.particles
        z, mean = swarm[row, turn], consensus(swarm, values, self.alpha)
        noise = _random.normal(key, z.shape[1:]).to(z)
        moved = here.domain.project(drift(z, mean, noise, self.dt, self.sigma))
        far = 1e3 * (1 + here.x.abs().flatten(1).amax(1))
        first = here.domain.project(here.x + column(far, here.x) * _tiles(key, here.x))
        return choose(clock + 1 < self.particles, first, moved), (swarm, values)


def _tiles(key: Tensor, like: Tensor) -> Tensor:
    """Random signs, one for each channel of each tile (a fifth of the image wide), or one for each coordinate."""
    if like.ndim != 4:
        return _random.sign(key, like.shape[1:]).to(like)
    h, w = like.shape[2:]
    side = max(1, round(min(h, w) / 5))
    signs = _random.sign(key, (like.shape[1], -(-h // side), -(-w // side))).to(like)
    return signs.repeat_interleave(side, 2).repeat_interleave(side, 3)[:, :, :h, :w]
