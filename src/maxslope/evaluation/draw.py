"""Samples drawn from data by a seed, in proportion to their labels; every beginning of the order is a draw too."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, SequentialSampler, Subset, TensorDataset, default_collate

from maxslope import _random
from maxslope._digest import digest_of
from maxslope._pairs import whole_sampler
from maxslope.evaluation.data import EMPTY, Batch, Stored, by_number, fingerprint
from maxslope.evaluation.images import ImageFolder


def order(count: int, seed: int, labels: Tensor | None = None) -> Tensor:
    """Return an order of samples, ``[count]``, each beginning of which is a seeded draw, stratified by label.

    The k-th of the m samples of a label, in an order drawn for it, stands at (k + u) / m of the whole, u uniform: the
    first n samples hold n m / count of the label, up to one more or less. Without labels it is a random permutation.

    >>> labels = torch.arange(100) // 50  # sorted, as folders are
    >>> labels[order(100, 0, labels)[:10]].bincount().tolist()
    [5, 5]
    """
    keys = _random.keys(seed, torch.arange(count), _random.SAMPLES)
    shuffled = keys.argsort(stable=True)
    if labels is None:
        return shuffled
    grouped = shuffled[labels[shuffled].argsort(stable=True)]
    sizes = torch.unique(labels, return_counts=True)[1]
    within = torch.cat([torch.arange(int(size)) for size in sizes]).double()
    u = _random.keys(seed, grouped, _random.GROUPS).double() / 2.0**64 + 0.5
    return grouped[((within + u) / sizes.double().repeat_interleave(sizes)).argsort(stable=True)]


class Drawn(Stored):
    """Samples of data that are read by number, in a drawn order; each keeps its index in the data as its id."""

    def __init__(self, whole: Any, indices: Tensor, words: str) -> None:
        found = by_number(whole)
        if found is None:
            raise ValueError(f"Samples are drawn from data that are read by number, got {type(whole).__name__}.")
        self.whole, self.indices, self.words = whole, indices, words
        self.read = found.read

    def __len__(self) -> int:
        return int(self.indices.shape[0])

    def ids(self, start: int, stop: int) -> Tensor:
        return self.indices[start:stop]

    def rows(self, start: int, stop: int) -> Batch:
        """See :class:`Stored`; samples that lie side by side are read together."""
        chosen = self.indices[start:stop]
        if isinstance(self.whole, tuple | list):
            return self.whole[0][chosen], self.whole[1][chosen]
        wanted, back = chosen.sort()
        runs = wanted.tensor_split((wanted.diff() != 1).nonzero().squeeze(1) + 1)
        parts, place = [self.read(int(run[0]), int(run[-1]) + 1) for run in runs], back.argsort()
        x, y = (torch.cat([part[k] for part in parts])[place] for k in (0, 1))
        return x, y

    def digest(self) -> str:
        return f"{fingerprint(self.whole)}, {len(self)} drawn {digest_of(self.indices)}"


def drawn(data: Any, samples: int | None, seed: int) -> Drawn | None:
    """Return ``samples`` of data drawn by a seed (all by default), stratified where labels are known beforehand.

    None where data are a stream, or a loader that chooses or collates in its own way: they are read in their own order.

    >>> x, y = torch.arange(6.0)[:, None], torch.tensor([0, 0, 0, 1, 1, 1])
    >>> few = drawn((x, y), 2, 0)
    >>> sorted(few.rows(0, 2)[1].tolist()), few.words
    ([0, 1], '2 of 6 samples, drawn by label with seed 0')
    """
    data = whole_of(data)
    found = None if isinstance(data, DataLoader) else by_number(data)
    if found is None:
        return None
    count, labels = found.samples, labels_of(data)
    if not count:
        raise ValueError(EMPTY)
    if labels is not None and labels.shape != (count,):
        labels = None
    chosen = order(count, seed, labels)[:samples]
    how = "by label" if labels is not None else "by chance"
    all_ = len(chosen) == count
    words = f"all {count} samples" if all_ else f"{len(chosen)} of {count} samples, drawn {how} with seed {seed}"
    return Drawn(data, chosen, words)


def whole_of(data: Any) -> Any:
    """Return the data set of a loader that yields all of it, in whatever order, collated as usual; other data as is."""
    if not isinstance(data, DataLoader) or isinstance(data.dataset, IterableDataset) or not whole_sampler(data):
        return data
    plain = data.collate_fn is default_collate and data.batch_size is not None and not data.drop_last
    return data.dataset if plain else data


def divided(data: Any, counts: Sequence[int], seed: int) -> list[Any]:
    """Return disjoint parts of data, of so many samples each, and the rest: seeded draws, in proportion to labels.

    ValueError if no sample is left.

    >>> x, y = torch.arange(8.0)[:, None], torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    >>> [part[1].bincount().tolist() for part in divided((x, y), [2, 4], 0)]
    [[1, 1], [2, 2], [1, 1]]
    """
    found = by_number(data)
    if found is None:
        raise ValueError(f"Data are divided that are read by number, got {type(data).__name__}.")
    labels, ends = labels_of(data), [0, *itertools.accumulate(counts), found.samples]
    if ends[-1] <= ends[-2]:
        raise ValueError(f"{ends[-2]} of {ends[-1]} samples are to be held out, and none is left; give more samples.")
    drawn_order = order(found.samples, seed, labels)
    parts = [drawn_order[start:stop] for start, stop in itertools.pairwise(ends)]
    if isinstance(data, tuple | list):
        return [(data[0][part], data[1][part]) for part in parts]
    return [Drawn(data, part, f"{len(part)} of {found.samples} samples, a draw with seed {seed}") for part in parts]


def by_class(labels: Tensor) -> bool:
    """Whether samples come in the order of their classes, more or less: labels change half as often as by chance.

    >>> by_class(torch.arange(100) // 50), by_class(torch.arange(100) % 2)
    (True, False)
    """
    shares = torch.unique(labels, return_counts=True)[1].double() / max(len(labels), 1)
    chance = float(1 - shares.square().sum()) * max(len(labels) - 1, 0)
    return int((labels[1:] != labels[:-1]).sum()) < chance / 2


def labels_of(data: Any) -> Tensor | None:
    """Return the labels ``[n]`` of data, where they are known without reading all inputs."""
    if isinstance(data, tuple | list):
        labels = data[1]
    elif isinstance(data, Stored):
        labels = data.labels()
    elif isinstance(data, TensorDataset):
        labels = data.tensors[-1]
    else:
        labels = getattr(data, "targets", None)
    if labels is None:
        return None
    found = torch.as_tensor(labels)
    return None if found.ndim != 1 or found.is_floating_point() else found.cpu().long()


def classes_of(data: Any) -> tuple[str, ...]:
    """Return the names of classes that data know, such as those of folders of images; none where they are numbers."""
    names = getattr(data, "classes", None)
    if not isinstance(names, list | tuple) or all(str(name).isdecimal() for name in names):
        return ()
    return tuple(str(name) for name in names)


def files_of(data: Any, indices: Sequence[Any]) -> list[str]:
    """Return the names of the files of samples, given by their index; none where samples have no files.

    Of images in folders by class, as ``--data`` or torchvision's ``ImageFolder`` have them, and of what is chosen from
    them or loaded in their own order.
    """
    if isinstance(data, Drawn):
        data = data.whole
    if isinstance(data, DataLoader) and isinstance(data.sampler, SequentialSampler):
        data = data.dataset
    if isinstance(data, Subset):
        return files_of(data.dataset, [data.indices[int(k)] for k in indices])
    if isinstance(data, ImageFolder):
        return [data.name_of(int(k)) for k in indices]
    root, samples = getattr(data, "root", None), getattr(data, "samples", None)
    if not (isinstance(root, str | Path) and isinstance(samples, list)):
        return []
    chosen = [samples[int(k)] for k in indices if int(k) < len(samples)]
    if len(chosen) < len(indices) or not all(isinstance(s, tuple) and isinstance(s[0], str | Path) for s in chosen):
        return []  # samples of another kind
    return [os.path.relpath(path, root).replace(os.sep, "/") for path, *_ in chosen]
