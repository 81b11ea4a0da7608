"""Random numbers keyed by (seed, sample id, restart), so that a row's draws never depend on its neighbors.

A counter-based generator: number ``i`` of a key is a hash of (key, i), the SplitMix64 finalizer of Steele, Lea and
Flood (OOPSLA 2014) applied to ``key + i * golden``. Integer arithmetic only, so the bits are the same on every
device, for every batch size and in any order. Draws are computed in float64 and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from maxslope._rows import entrywise

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB
# What keeps the draws of one use apart from those of another.
GAMMA, REST, BALL_SIGNS, BOOST = 0, 1, 2, 3  # of a point of a ball, made of its key
CELLS, CELL_NORMS, BLOCKS, BLOCK_NORMS = 1, 2, 5, 6  # of groups of its coordinates
PROPOSAL, SIGNS, HEIGHTS, SIZE = 0, 1, 3, 4  # of a random search, made of the key of a row
MIXTURE = 7  # of two starts, made of the key of a run
PROBES, PROBE_SEARCH, PROBE_ORDER = 0x1D1CA, 0x1D1CB, 0x1D1CC  # beside the numbers of runs
ORDER, TRANSFORM, ADVERSARY, MODEL = 101, 7, 11, 13  # of a training: its batches, what is made of them, its models
SAMPLES, GROUPS = 0xD4A3, 0xD4A4  # of samples drawn from all, or from groups
RESTARTS, PATTERNS = 2_000_003, 1_000_003  # between the seeds of new searches


def _shift(z: Tensor, bits: int) -> Tensor:
    """Logical right shift of signed 64-bit integers."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _mix(z: Tensor) -> Tensor:
    z = (z ^ _shift(z, 30)) * _MIX_1
    z = (z ^ _shift(z, 27)) * _MIX_2
    return z ^ _shift(z, 31)


def keys(seed: int, *streams: Tensor | int) -> Tensor:
    """One 64-bit key per row from a seed and any number of integers or ``[rows]`` integer tensors.

    >>> k = keys(0, torch.arange(3), 1)
    >>> bool(keys(0, torch.tensor([2]), 1)[0] == k[2])
    True
    """
    key: Tensor | int = _mixed(_signed(seed) + _GOLDEN)
    for stream in streams:
        if isinstance(stream, Tensor):
            key = _mix((stream.to(torch.int64) + 1) * _GOLDEN + key)
        else:
            word = _signed((_signed(stream) + 1) * _GOLDEN)
            key = _mix(key + word) if isinstance(key, Tensor) else _mixed(key + word)
    return key if isinstance(key, Tensor) else torch.tensor([key], dtype=torch.int64)


def _mixed(value: int) -> int:
    """What :func:`_mix` makes of one number, without tensors of one entry."""
    z = value % 2**64
    z = (z ^ z >> 30) * _MIX_1 % 2**64
    z = (z ^ z >> 27) * _MIX_2 % 2**64
    return _signed(z ^ z >> 31)


def _signed(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


def bits(key: Tensor, shape: Sequence[int], offset: int = 0) -> Tensor:
    """Hashed 64-bit integers of shape ``[rows, *shape]``; ``offset`` moves along each row's sequence."""
    count = math.prod(shape)
    index = torch.arange(offset + 1, offset + count + 1, dtype=torch.int64, device=key.device)
    return _mix(key[:, None] + index * _GOLDEN).reshape(key.shape[0], *shape)


def uniform(key: Tensor, shape: Sequence[int], offset: int = 0) -> Tensor:
    """Uniform float64 in the open interval (0, 1), shape ``[rows, *shape]``."""
    return (_shift(bits(key, shape, offset), 11).to(torch.float64) + 0.5) * 2.0**-53


def normal(key: Tensor, shape: Sequence[int], offset: int = 0) -> Tensor:
    """Standard normal float64, by the inverse distribution function."""
    return entrywise(torch.special.ndtri, uniform(key, shape, offset))


def gamma(key: Tensor, concentration: Tensor, shape: Sequence[int]) -> Tensor:
    """Gamma(concentration, 1) float64 by Marsaglia and Tsang (ACM TOMS 2000), for concentrations of at least 1.

    ``concentration`` is a float64 tensor that broadcasts to ``shape``.

    Every entry walks through its own proposals and keeps its first accepted one, so an entry's value does not
    depend on how long its neighbors take.
    """
    d = concentration - 1 / 3
    c = 1 / (9 * d).sqrt()
    n = math.prod(shape)
    out = torch.full((key.shape[0], *shape), math.nan, dtype=torch.float64, device=key.device)
    offset = n
    while bool(out.isnan().any()):
        x = normal(key, shape, offset)
        v = (1 + c * x) ** 3
        accept = (v > 0) & (
            uniform(key, shape, offset + n).log() < 0.5 * x**2 + d - d * v + d * v.clamp_min(1e-300).log()
        )
        out = torch.where(out.isnan() & accept, d * v, out)
        offset += 2 * n
    return out


def sign(key: Tensor, shape: Sequence[int], offset: int = 0) -> Tensor:
    """Random signs -1.0 or 1.0, float64."""
    return 1.0 - 2.0 * (bits(key, shape, offset) & 1).to(torch.float64)


def keys_of_points(rows: Tensor) -> Tensor:
    """One key per row of ``[rows, d]`` from the bits of its entries, so that equal points have equal keys."""
    words = rows.detach().double().contiguous().view(torch.int64)
    index = torch.arange(1, rows.shape[1] + 1, dtype=torch.int64, device=rows.device)
    return _mix(words ^ _mix(index * _GOLDEN)).sum(1)
