"""Rows: the leading axis of every tensor of the house.

Points are ``[rows, *shape]`` of any rank, scalars are ``[rows]``. These helpers are the only places where that
layout is spelled out.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_FREE = ("cpu",)  # kinds of devices whose tensors are asked what the rows are up to, to spare work
_VECTORS = 64  # entries that are whole vectors of any processor
_AT_ONCE = 1 << 14  # entries below which torch does not share work among threads


def flat(x: Tensor) -> Tensor:
    """View (or copy) ``[rows, *shape]`` as ``[rows, d]``.

    >>> flat(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 12])
    """
    return x.reshape(x.shape[0], -1) if x.numel() else x.new_zeros(x.shape[0], x.shape[1:].numel())


def column(scalars: Tensor, like: Tensor) -> Tensor:
    """Shape ``[rows]`` scalars so that they broadcast against ``like`` of shape ``[rows, *shape]``.

    >>> column(torch.ones(2), torch.zeros(2, 3, 4)).shape
    torch.Size([2, 1, 1])
    """
    return scalars.reshape(-1, *(1,) * (like.ndim - 1))


def choose(mask: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Row by row: ``new`` where ``mask`` (shape ``[rows]``) holds, ``old`` elsewhere."""
    return torch.where(column(mask, new), new, old)


def inner(xi: Tensor, v: Tensor) -> Tensor:
    """The pairing <xi, v> of each row, shape ``[rows]``."""
    return (flat(xi) * flat(v)).sum(1)


def per_row(value: float | Tensor, like: Tensor) -> Tensor:
    """A number or ``[rows]`` tensor as a ``[rows]`` tensor with the dtype and device of ``like``."""
    if isinstance(value, Tensor):
        return value.to(like).expand(like.shape[0])
    return torch.full((like.shape[0],), float(value), dtype=like.dtype, device=like.device)


def select(value: Tensor, index: Tensor) -> Tensor:
    """Rows ``index`` (a mask or integers) of a per-row tensor, copied whole: six times as fast as ``value[index]``.

    >>> select(torch.tensor([[1, 2], [3, 4]]), torch.tensor([False, True]))
    tensor([[3, 4]])
    """
    return value.index_select(0, index.nonzero().squeeze(1) if index.dtype == torch.bool else index)


def take(value: Tensor, index: Tensor) -> Tensor:
    """Rows ``index`` of a per-row tensor; a tensor with a single row stands for every row and is returned as it is."""
    return value if value.shape[0] == 1 else select(value, index)


def asks_freely(x: Tensor) -> bool:
    """Whether a question to a tensor costs no more than a look: on a processor, while a GPU makes its processor wait.

    >>> asks_freely(torch.zeros(1))
    True
    """
    return x.device.type in _FREE


def entrywise(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a function of entries so that the last bit of a value does not depend on how many entries there are.

    On a processor powers and normal quantiles of whole vectors are computed by other instructions than the entries
    left over, which round otherwise; so nothing is left over. Sums of rows, roots, exponentials and logarithms round
    alike without.

    >>> entrywise(lambda t: t**1.5, torch.tensor([[4.0, 9.0, 16.0]]))
    tensor([[ 8., 27., 64.]])
    """
    if x.device.type != "cpu" or not x.numel():
        return function(x)
    entries = x.reshape(-1).contiguous()  # entries that lie apart are computed one by one, and round otherwise
    missing = -len(entries) % _VECTORS
    if missing:
        entries = torch.cat([entries, entries[-1:].expand(missing)])
    parts = [function(entries[at : at + _AT_ONCE]) for at in range(0, len(entries), _AT_ONCE)]
    whole = parts[0] if len(parts) == 1 else torch.cat(parts)
    return whole[: x.numel()].reshape(x.shape)
