"""Data in the forms users have it, as a stream of batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

Batch = tuple[Tensor, Tensor]


def batches(data: Any, size: int) -> Iterator[Batch]:
    """Yield (inputs ``[rows, *shape]``, labels ``[rows]``) from whatever the user gave, in order.

    Args:
        data: ``(x, y)`` tensors, a ``Dataset`` of (input, label) pairs, or a ``DataLoader`` (its own order and batch
            size are kept: do not shuffle where rows are to be found again).
        size: rows of a batch where the data do not say.

    Raises:
        TypeError: for anything else.
        ValueError: for tensors of different lengths, or no samples.
    """
    count = 0
    for x, y in _source(data, size):
        count += x.shape[0]
        yield x, y
    if count == 0:
        raise ValueError("Data hold at least one sample, got none; is the split or the filter empty?")


def length(data: Any) -> int | None:
    """Return the number of samples where it is known without reading them."""
    if isinstance(data, tuple | list) and len(data) == 2 and isinstance(data[0], Tensor):
        return int(data[0].shape[0]) if data[0].ndim else 0
    if isinstance(data, DataLoader):
        data = data.dataset
    try:
        return len(data)
    except TypeError:
        return None


def _source(data: Any, size: int) -> Iterator[Batch]:
    if isinstance(data, tuple | list) and len(data) == 2 and all(isinstance(t, Tensor) for t in data):
        x, y = data
        if x.ndim == 0 or y.ndim == 0 or x.shape[0] != y.shape[0]:
            raise ValueError(
                f"Inputs and labels must have one row per sample, got shapes {tuple(x.shape)} and {tuple(y.shape)}."
            )
        for start in range(0, x.shape[0], size):
            yield x[start : start + size], y[start : start + size]
    elif isinstance(data, DataLoader):
        yield from map(_pair, data)
    elif isinstance(data, Dataset):
        yield from map(_pair, DataLoader(data, batch_size=size))
    else:
        raise TypeError(
            f"Data are (x, y) tensors, a torch Dataset of (input, label) pairs or a DataLoader, got "
            f"{type(data).__name__}."
        )


def _pair(item: Any) -> Batch:
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise TypeError(f"A data set yields (input, label) pairs, got {type(item).__name__}; wrap it to yield pairs.")
    return torch.as_tensor(item[0]), torch.as_tensor(item[1])
