"""Batches by sample id: the same ones whatever was interrupted, however many processes share them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from maxslope import _random
from maxslope._pairs import pair_of

Transform = Callable[[Tensor, Tensor], Tensor]
Batch = tuple[Tensor, Tensor, Tensor]


def order(seed: int, epoch: int, samples: int) -> Tensor:
    """Return the order of the samples in an epoch, keyed by (seed, epoch).

    >>> sorted(order(0, 3, 4).tolist())
    [0, 1, 2, 3]
    """
    return _random.bits(_random.keys(seed, 101, epoch), (samples,))[0].argsort()


class Source:
    """Yields (ids, inputs, labels) of the steps from one step on; each process gets its share of every batch.

    The last, incomplete batch of an epoch is left out; the next epoch has another order.

    Args:
        data: ``(x, y)`` tensors or numpy arrays, or a map-style ``Dataset`` of (input, label) pairs.
        batch_size: samples of a step, over all processes.
        seed: of the order.
        workers: of the DataLoader, for a ``Dataset``.
        rank: of this process.
        size: number of processes.

    Raises:
        TypeError: for other data.
        ValueError: if there are fewer samples than a batch, or processes do not divide it.
    """

    def __init__(self, data: Any, batch_size: int, seed: int, workers: int, rank: int, size: int) -> None:
        found = pair_of(data)
        pair, data = found is not None, data if found is None else found
        if not pair and not (isinstance(data, Dataset) and isinstance(data, Sized)):
            raise TypeError(
                f"Training data are (x, y) tensors or arrays, or a map-style Dataset of pairs, got "
                f"{type(data).__name__}; of a DataLoader give its dataset: batches are made here, keyed by the seed."
            )
        self.samples = int(data[0].shape[0]) if pair else len(data)
        if pair and data[1].shape[0] != self.samples:
            raise ValueError(
                f"Inputs and labels have one row per sample, got {self.samples} and {data[1].shape[0]} rows."
            )
        if not 1 <= batch_size <= self.samples or batch_size % size:
            raise ValueError(
                f"A batch has between 1 and all {self.samples} samples, equally many for each of {size} processes, got "
                f"batch_size={batch_size}."
            )
        self.data, self.pair, self.workers = data, pair, workers
        self.batch_size, self.seed, self.rank, self.size = batch_size, seed, rank, size
        self._epoch, self._order = 0, order(seed, 0, self.samples)

    @property
    def batches(self) -> int:
        """Batches of an epoch."""
        return self.samples // self.batch_size

    def ids(self, step: int) -> Tensor:
        """Return the samples that this process has at a step."""
        epoch, place = divmod(step, self.batches)
        if self._epoch != epoch:
            self._epoch, self._order = epoch, order(self.seed, epoch, self.samples)
        whole = self._order[place * self.batch_size : (place + 1) * self.batch_size]
        return whole[self.rank :: self.size]

    def steps(self, first: int, last: int) -> Iterator[Batch]:
        """Yield the batches of steps ``first`` to ``last`` - 1."""
        if self.pair:
            x, y = self.data
            for step in range(first, last):
                ids = self.ids(step)
                where = ids.to(x.device)
                yield ids, x[where], y[where.to(y.device)]
            return
        loader = DataLoader(_Indexed(self.data), batch_sampler=_Ids(self, first, last), num_workers=self.workers)
        for ids, x, y in loader:
            yield ids, x, y


class _Indexed(Dataset[tuple[int, Any, Any]]):
    """A data set that tells which sample it gives."""

    def __init__(self, base: Any) -> None:
        self.base = base

    def __getitem__(self, index: int) -> tuple[int, Any, Any]:
        x, y = self.base[index]
        return index, x, y


class _Ids(Sampler[list[int]]):
    def __init__(self, source: Source, first: int, last: int) -> None:
        self.source, self.first, self.last = source, first, last

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.first, self.last):
            yield self.source.ids(step).tolist()

    def __len__(self) -> int:
        return self.last - self.first
