"""Inputs and labels as two arrays: what every verb takes, in the forms users have them."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler


def pair_of(data: Any) -> tuple[Tensor, Tensor] | None:
    """Return inputs and labels as tensors if ``data`` are two tensors or numpy arrays, else None.

    Tensors come back as they are; arrays share their memory where they can.

    >>> x, y = pair_of((np.zeros((2, 3)), np.array([0, 1])))
    >>> x.shape, y.dtype
    (torch.Size([2, 3]), torch.int64)
    """
    if not is_pair(data, Tensor | np.ndarray):
        return None
    return _tensor(data[0]), _tensor(data[1])


def is_pair(data: Any, kind: Any = Tensor) -> bool:
    """Return whether data are two tensors, or two of another kind."""
    return isinstance(data, tuple | list) and len(data) == 2 and all(isinstance(item, kind) for item in data)


def yielded(item: Any) -> tuple[Tensor, Tensor]:
    """Return inputs and labels of what a data set or a loader yields; TypeError if that is no pair."""
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise TypeError(f"A data set yields (input, label) pairs, got {type(item).__name__}; wrap it to yield pairs.")
    return torch.as_tensor(item[0]), torch.as_tensor(item[1])


def whole_sampler(loader: DataLoader[Any]) -> bool:
    """Whether a loader of a map-style data set yields each sample once, in whatever order."""
    sampler, count = loader.sampler, length_of(loader.dataset)
    if isinstance(sampler, RandomSampler):
        return not sampler.replacement and len(sampler) == count
    return isinstance(sampler, SequentialSampler) and len(sampler) == count


def length_of(data: Any) -> int | None:
    """Return the number of samples where it is known."""
    return len(data) if isinstance(data, Sized) else None


def alike(data: Any, kind: torch.dtype | None) -> Any:
    """Return a pair of tensors with inputs of floating-point numbers in a model's precision; other data as they are.

    >>> alike((torch.zeros(1, 2, dtype=torch.float64), torch.zeros(1)), torch.float32)[0].dtype
    torch.float32
    """
    pair = pair_of(data)
    if pair is None or kind is None or not pair[0].is_floating_point():
        return data
    return pair[0].to(kind), pair[1]


def _tensor(item: Any) -> Tensor:
    if isinstance(item, Tensor):
        return item
    if item.dtype.kind not in "fiub":
        raise TypeError(f"Inputs and labels are arrays of numbers, got {item.dtype}.")
    plain = np.ascontiguousarray(item, dtype=item.dtype.newbyteorder("="))
    return torch.from_numpy(plain if plain.flags.writeable else plain.copy())
