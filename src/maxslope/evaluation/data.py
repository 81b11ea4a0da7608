"""Data in the forms users have it, as a stream of parts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, default_collate

from maxslope._digest import digest_of, digest_of_text
from maxslope._pairs import is_pair, length_of, yielded
from maxslope.attacks.question import tile_for
from maxslope.evaluation.part import Job

Batch = tuple[Tensor, Tensor]
Seen = Callable[[Job, bool], None]
Limit = Callable[[Tensor], int]

EMPTY = "Data hold at least one sample, got none; is the split or the filter empty?"
FIRST = 256  # samples of the first part, so that a first answer comes soon
LARGEST = 1024  # samples of a part: more would not make the calls of the model fuller
_BATCH = 32  # samples that are collected at once from a stream
BYTES = 1 << 24  # of the inputs of a part: an attack holds about fifteen copies of them


class Stored(Dataset[Any]):
    """A data set that comes from files and knows itself again: rows by number, a digest of its content, a box."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples."""

    @abstractmethod
    def rows(self, start: int, stop: int) -> Batch:
        """Return inputs ``[rows, *shape]`` and labels ``[rows]`` of the samples from ``start`` to ``stop``."""

    @abstractmethod
    def digest(self) -> str:
        """Return a fingerprint of the content."""

    def ids(self, start: int, stop: int) -> Tensor:
        """Return the numbers that the samples have in the data set, by which they are known."""
        return torch.arange(start, stop)

    def labels(self) -> Tensor | None:
        """Return all labels where they are known without reading inputs, else None."""
        return None

    def __getitem__(self, i: int) -> Batch:
        """Return one sample and its label."""
        x, y = self.rows(i, i + 1)
        return x[0], y[0]


def sizes(largest: int = LARGEST) -> Iterator[int]:
    """Yield the sizes of parts: a small one, then the largest, since every part ends with calls that are not full.

    >>> from itertools import islice
    >>> list(islice(sizes(), 3))
    [256, 1024, 1024]
    """
    yield min(FIRST, largest)
    while True:
        yield largest


def fitting(x: Tensor, largest: int = LARGEST, device: str = "cpu") -> int:
    """Return how many samples like ``x`` a part has at most: few enough for memory, enough for full calls of a device.

    >>> fitting(torch.zeros(1, 1, 28, 28)), fitting(torch.zeros(1, 3, 64, 64)), fitting(torch.zeros(1, 3, 224, 224))
    (1024, 256, 32)
    """
    size = max(x[:1].numel(), 1)
    by_memory = 1 << max((BYTES // (4 * size)).bit_length() - 1, 0)
    calls = 4 * tile_for(x[:1]) * (1 if device == "cpu" or x.device.type != "cpu" else 8)
    return min(largest, LARGEST, max(by_memory, calls))


def jobs(
    data: Any, limit: Limit = fitting, finished: Seen | None = None, done: frozenset[int] = frozenset()
) -> Iterator[Job]:
    """Yield the samples of whatever the user gave, in order, in parts.

    Args:
        data: ``(x, y)`` tensors, a ``Dataset`` of (input, label) pairs, or a ``DataLoader``, whose own order is kept.
        limit: how many samples a part has at most, decided on seeing the first inputs.
        finished: told about every part in ``done``, and whether it is given all its samples or only the first one
            (where samples can be read by number, the rest is not read).
        done: numbers of parts not to yield.
    """
    numbered = by_number(data)
    job = None
    for job in _streamed(data, limit) if numbered is None else _numbered(numbered, limit, done):
        if job.number not in done:
            yield replace(job, ids=data.ids(job.start, job.start + len(job.x))) if isinstance(data, Stored) else job
        elif finished is not None:
            finished(job, numbered is None)
    if job is None:
        raise ValueError(EMPTY)


def length(data: Any) -> int | None:
    """Return the number of samples where it is known without reading them."""
    if is_pair(data):
        return int(data[0].shape[0]) if data[0].ndim else 0
    return length_of(data.dataset if isinstance(data, DataLoader) else data)


def fingerprint(data: Any) -> str:
    """Return what is known of data before reading them: all of tensors and files, kind and length of the rest."""
    if isinstance(data, Stored):
        return data.digest()
    if is_pair(data) or isinstance(data, TensorDataset):
        return f"tensors {digest_of(*(data.tensors if isinstance(data, TensorDataset) else data))}"
    if isinstance(data, DataLoader):
        return f"loader, {fingerprint(data.dataset)}"
    return f"{type(data).__name__} of {length(data)} samples {digest_of_text(type(data).__qualname__)}"


class Numbered(NamedTuple):
    """How to read the samples from a number to another, and how many there are."""

    read: Callable[[int, int], Batch]
    samples: int


def by_number(data: Any) -> Numbered | None:
    """Return how to read samples by number and how many there are; None for loaders and streams."""
    if is_pair(data):
        x, y = _matching(*data)
        return Numbered(lambda start, stop: (x[start:stop], y[start:stop]), int(x.shape[0]))
    if isinstance(data, DataLoader | IterableDataset):
        return None
    if not isinstance(data, Dataset):
        raise TypeError(
            f"Data are (x, y) tensors, a torch Dataset of (input, label) pairs or a DataLoader, got "
            f"{type(data).__name__}; of several inputs one is attacked, the one tensor x, and the others go along as "
            "context=(...)."
        )
    count = length(data)
    if count is None:
        return None
    if isinstance(data, Stored):
        return Numbered(data.rows, count)
    return Numbered(
        lambda start, stop: _matching(*yielded(default_collate([data[i] for i in range(start, stop)]))), count
    )


def _numbered(data: Numbered, limit: Limit, done: frozenset[int]) -> Iterator[Job]:
    """All parts, those that are done with their first sample alone."""
    start = number = 0
    size = sizes(limit(data.read(0, 1)[0]) if data.samples else 1)
    while start < data.samples:
        stop = min(start + next(size), data.samples)
        yield Job(number, start, *data.read(start, start + 1 if number in done else stop))
        start, number = stop, number + 1


def _streamed(data: Any, limit: Limit) -> Iterator[Job]:
    """All parts, as batches fill them."""
    held: list[Batch] = []
    start = number = wanted = 0
    size: Iterator[int] = iter(())
    for batch in _batches(data):
        if not wanted:
            size = sizes(limit(batch[0]))
            wanted = next(size)
        held.append(batch)
        while sum(x.shape[0] for x, _ in held) >= wanted:
            x, y = (torch.cat(column) for column in zip(*held, strict=True))
            held = [(x[wanted:], y[wanted:])] if x.shape[0] > wanted else []
            yield Job(number, start, x[:wanted], y[:wanted])
            start, number, wanted = start + wanted, number + 1, next(size)
    if held:
        x, y = (torch.cat(column) for column in zip(*held, strict=True))
        yield Job(number, start, x, y)


def _batches(data: Any) -> Iterator[Batch]:
    """The batches of a loader, or of a stream."""
    loader = data if isinstance(data, DataLoader) else DataLoader(data, batch_size=_BATCH)
    return (_matching(*yielded(item)) for item in loader)


def _matching(x: Tensor, y: Tensor) -> Batch:
    if x.ndim == 0 or y.ndim == 0 or x.shape[0] != y.shape[0]:
        raise ValueError(
            f"Inputs and labels must have one row per sample, got shapes {tuple(x.shape)} and {tuple(y.shape)}."
        )
    return x, y


class FirstStreamed(IterableDataset[Batch]):
    """The first samples of a stream, or of a loader that chooses in its own way."""

    def __init__(self, whole: Any, samples: int) -> None:
        self.whole, self.samples = whole, samples

    def __iter__(self) -> Iterator[Batch]:
        """Yield samples and labels."""
        return islice((pair for x, y in _batches(self.whole) for pair in zip(x, y, strict=True)), self.samples)
