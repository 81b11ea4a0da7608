"""Batches by sample id: the same ones whatever was interrupted, however many processes share them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, IterableDataset, default_collate

from maxslope import _random
from maxslope._pairs import alike, pair_of, whole_sampler, yielded

Transform = Callable[[Tensor, Tensor], Tensor]
Batch = tuple[Tensor, Tensor, Tensor]
_BATCH = 100  # samples, where neither a plan nor a loader says how many


def order(seed: int, epoch: int, samples: int) -> Tensor:
    """Return the order of the samples in an epoch, keyed by (seed, epoch)."""
    return _random.bits(_random.keys(seed, _random.ORDER, epoch), (samples,))[0].argsort()


class Source:
    """Yields (ids, inputs, labels) of the steps from one step on; each process gets its share of every batch.

    The last, incomplete batch of an epoch is left out; the next epoch has another order. Numbers with a point in numpy
    arrays become of ``kind``.
    """

    def __init__(
        self, data: Any, batch_size: int | None, seed: int, workers: int, rank: int, size: int,
        *, kind: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        collate: Any = default_collate
        if isinstance(data, DataLoader):
            _check_loader(data, batch_size)
            batch_size, workers = batch_size or data.batch_size, workers or data.num_workers
            data, collate = data.dataset, data.collate_fn
        found = pair_of(data)
        if found is not None and any(isinstance(item, np.ndarray) for item in data):
            found = alike(found, kind)
        pair, data = found is not None, data if found is None else found
        if not pair and not (isinstance(data, Dataset) and isinstance(data, Sized)):
            raise TypeError(_wanted(data))
        self.samples = int(data[0].shape[0]) if pair else len(data)
        if pair and data[1].shape[0] != self.samples:
            raise ValueError(
                f"Inputs and labels have one row per sample, got {self.samples} and {data[1].shape[0]} rows."
            )
        batch_size = min(_BATCH, self.samples) if batch_size is None else batch_size
        if not 1 <= batch_size <= self.samples or batch_size % size:
            raise ValueError(
                f"A batch has between 1 and all {self.samples} samples, equally many for each of {size} processes, got "
                f"batch_size={batch_size}."
            )
        self.data, self.pair, self.workers, self.collate = data, pair, workers, collate
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
        numbers: Any = (self.ids(step).tolist() for step in range(first, last))
        collate = partial(_collated, self.collate)
        loader = DataLoader(self.data, batch_sampler=numbers, num_workers=self.workers, collate_fn=collate)
        for step, (x, y) in zip(range(first, last), loader, strict=True):
            yield self.ids(step), x, y


def _wanted(data: Any) -> str:
    """What is said of data of another kind."""
    way = ""
    if isinstance(data, str | Path) or type(data).__module__.partition(".")[0] == "datasets":
        way = "; of files and of Hugging Face's datasets give maxslope.evaluation.reader.readable(...)"
    elif isinstance(data, IterableDataset):
        way = "; a stream has no order to be keyed by the seed: collect it, or write the loop yourself"
    return (
        f"Training data are (x, y) tensors or arrays, or a map-style Dataset of pairs or a DataLoader of one, got "
        f"{type(data).__name__}{way}."
    )


def _check_loader(loader: DataLoader[Any], batch_size: int | None) -> None:
    """Raise unless a loader brings a data set whose order may be made here, keyed by the seed."""
    if not isinstance(loader.dataset, Sized):
        raise TypeError(_wanted(loader.dataset))
    if not whole_sampler(loader) and not isinstance(loader.sampler, DistributedSampler):
        raise ValueError(
            f"A loader brings its data set, and the order is keyed by the seed; got one that draws by its own "
            f"{type(loader.sampler).__name__}, which would be lost. Give its dataset, or write the loop yourself, "
            "with the objective as loss."
        )
    if loader.batch_size is None and batch_size is None:
        raise ValueError("A loader with a batch sampler of its own says no batch size: give Plan(batch_size=...).")
    if None not in (loader.batch_size, batch_size) and loader.batch_size != batch_size:
        raise ValueError(
            f"The loader's batch size is {loader.batch_size} and the plan's {batch_size}; leave one of them away."
        )


def _collated(collate: Any, items: list[Any]) -> tuple[Tensor, Tensor]:
    """Inputs and labels of a batch."""
    return yielded(collate(items))
