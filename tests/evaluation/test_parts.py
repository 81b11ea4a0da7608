"""Which samples are asked about, and in what parts: every sample once, in its place, whatever form the data have."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from maxslope._digest import digest_of
from maxslope.evaluation.data import (
    FirstStreamed,
    Stored,
    by_number,
    fingerprint,
    fitting,
    jobs,
    length,
    sizes,
)
from maxslope.evaluation.draw import Drawn, by_class, classes_of, divided, drawn, labels_of, order, whole_of

X, Y = torch.arange(20.0).reshape(10, 2), torch.arange(10)


class Pairs(Dataset[Any]):
    """Samples one by one, and which were read."""

    def __init__(self, count: int = 10) -> None:
        self.count, self.seen = count, []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        self.seen.append(i)
        return X[i], int(Y[i])


class Stream(IterableDataset[Any]):
    def __init__(self, count: int = 10) -> None:
        self.count = count

    def __iter__(self) -> Any:
        return ((X[i], int(Y[i])) for i in range(self.count))


class File(Stored):
    """Rows that are known by numbers from 100 on, and which were read together."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return 10

    def rows(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        self.seen.append((start, stop))
        return X[start:stop], Y[start:stop]

    def digest(self) -> str:
        return "file"

    def ids(self, start: int, stop: int) -> Tensor:
        return torch.arange(100 + start, 100 + stop)

    def labels(self) -> Tensor:
        return Y // 5


def forms() -> dict[str, Any]:
    return {
        "tensors": (X, Y), "list": [X, Y], "tensor set": TensorDataset(X, Y), "pairs": Pairs(), "stream": Stream(),
        "file": File(), "loader": DataLoader(Pairs(), batch_size=3), "loader of a stream": DataLoader(Stream(), 4),
        "one batch": DataLoader(Pairs(), batch_size=10),
    }  # fmt: skip


# --- parts -----------------------------------------------------------------------------------------------------------


def four(x: Tensor) -> int:
    return 4


@pytest.mark.parametrize("kind", forms())
@pytest.mark.parametrize("largest", [1, 3, 5, 10, 11])
def test_every_sample_is_in_one_part(kind: str, largest: int) -> None:
    found = list(jobs(forms()[kind], lambda x: largest))
    assert [job.number for job in found] == list(range(len(found)))
    assert [job.start for job in found] == list(range(0, 10, largest))
    assert [len(job.x) for job in found] == [min(largest, 10 - start) for start in range(0, 10, largest)]
    assert torch.equal(torch.cat([job.x for job in found]), X)
    assert torch.equal(torch.cat([job.y for job in found]), Y)
    rows = torch.cat([job.rows for job in found]).tolist()
    assert rows == list(range(100, 110) if kind == "file" else range(10))
    by_size = list(jobs(forms()[kind], lambda x: int(x.shape[1]) + 1))
    assert [len(job.x) for job in by_size] == [3, 3, 3, 1]


@pytest.mark.parametrize("kind", forms())
def test_parts_that_are_done_are_shown_and_not_yielded(kind: str) -> None:
    data, seen = forms()[kind], []
    found = list(jobs(data, four, lambda *part: seen.append(part), frozenset({0, 2})))
    assert [(job.number, job.start, len(job.x)) for job in found] == [(1, 4, 4)]
    streamed = by_number(data) is None
    assert [(job.number, whole) for job, whole in seen] == [(0, streamed), (2, streamed)]
    for (job, _), start in zip(seen, (0, 8), strict=True):
        stop = (min(start + 4, 10)) if streamed else start + 1
        assert torch.equal(job.x, X[start:stop])
        assert torch.equal(job.y, Y[start:stop])
    assert [job.number for job in jobs(forms()[kind], four, None, frozenset({0}))] == [1, 2]
    found = list(jobs(forms()[kind], lambda x: 5, lambda *part: seen.append(part), frozenset({1})))
    assert [job.number for job in found] == [0]
    assert torch.equal(seen[-1][0].x, X[5:] if streamed else X[5:6])
    assert list(jobs(forms()[kind], four, None, frozenset({0, 1, 2}))) == []


def test_no_sample_is_read_that_is_not_asked_for() -> None:
    data = Pairs()
    list(jobs(data, four, lambda *part: None, frozenset({0, 2})))
    assert data.seen == [0, 0, 4, 5, 6, 7, 8]  # the first one also says how many a part has


@pytest.mark.parametrize(
    "empty", [(X[:0], Y[:0]), Pairs(0), Stream(0), DataLoader(Stream(0)), (torch.zeros(0), torch.zeros(0))]
)
def test_data_without_samples(empty: Any) -> None:
    with pytest.raises(ValueError, match="at least one sample, got none"):
        list(jobs(empty))


def test_the_sizes_of_parts() -> None:
    assert [list(islice(sizes(k), 3)) for k in (1, 255, 256, 257, 5000)] == [
        [1, 1, 1], [255, 255, 255], [256, 256, 256], [256, 257, 257], [256, 5000, 5000],
    ]  # fmt: skip
    assert list(islice(sizes(), 2)) == [256, 1024]
    # 2^24 bytes of inputs, a power of two; no less than four calls
    for numbers, rows in ((1, 1024), (4096, 1024), (4097, 512), (8192, 512), (8193, 256), (65536, 64), (65537, 32),
                          (10**6, 32), (10**7, 32)):  # fmt: skip
        x = torch.zeros(1).expand(3, numbers)
        assert fitting(x) == rows
        assert fitting(x, 20) == 20
        assert fitting(x, device="cuda") == max(rows, min(4 * 8 * (8 if numbers > 6144 else 16), 1024))
    assert fitting(torch.zeros(0, 4)) == 1024
    meta = torch.empty(2, 10**6, device="meta")
    assert fitting(meta, device="cuda") == fitting(meta) == 4 * 64
    assert fitting(torch.zeros(1).expand(3, 784), 10**6) == 1024


def test_what_is_known_of_data_before_they_are_read() -> None:
    known = {kind: length(data) for kind, data in forms().items()}
    assert {kind for kind, count in known.items() if count is None} == {"stream", "loader of a stream"}
    assert set(known.values()) == {10, None}
    assert length((torch.tensor(1.0), Y)) == 0
    marks = {kind: fingerprint(data) for kind, data in forms().items()}
    assert marks["tensors"] == marks["list"] == marks["tensor set"] != fingerprint((X + 1, Y))
    assert marks["tensors"].startswith("tensors ")
    assert marks["file"] == "file"
    assert marks["pairs"].startswith("Pairs of 10 samples ")
    assert marks["stream"].startswith("Stream of None samples ")
    assert marks["loader"] == f"loader, {marks['pairs']}"
    assert {kind: by_number(data) is None for kind, data in forms().items()} == {
        kind: "stream" in kind or kind in ("loader", "one batch") for kind in forms()
    }
    for kind in ("tensors", "pairs", "file"):
        read, count = by_number(forms()[kind]) or (None, 0)
        assert count == 10
        assert [t.tolist() for t in read(2, 4)] == [X[2:4].tolist(), [2, 3]]
    for bad in ((X, Y[:3]), (X, torch.tensor(1)), (torch.tensor(1.0), Y), (torch.tensor(1.0), torch.tensor(1.0))):
        with pytest.raises(ValueError, match="one row per sample, got shapes"):
            by_number(bad)
    for bad in ((X, Y, Y), X, "data", (X, Y.numpy()), (X,)):
        with pytest.raises(TypeError, match="Data are"):
            by_number(bad)
    for items in ([(X[0], X[0], 1)], [X[0]], [{"x": X[0]}]):
        with pytest.raises(TypeError, match="yields \\(input, label\\) pairs"):
            list(jobs(DataLoader(items)))  # type: ignore[arg-type]
    for batch in ((X, Y[:3]), (X, torch.tensor(1)), (torch.tensor(1.0), Y)):
        with pytest.raises(ValueError, match="one row per sample, got shapes"):
            list(jobs(DataLoader([batch], batch_size=None)))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["stream", "loader", "loader of a stream", "one batch"])
@pytest.mark.parametrize("samples", [1, 4, 9, 10, 12])
def test_the_first_samples(kind: str, samples: int) -> None:
    found = list(jobs(FirstStreamed(forms()[kind], samples), lambda x: 3))
    assert torch.equal(torch.cat([job.x for job in found]), X[:samples])
    assert torch.equal(torch.cat([job.y for job in found]), Y[:samples])


@pytest.mark.parametrize(("samples", "read"), [(3, 4), (4, 4), (5, 8)])
def test_a_stream_is_read_no_further_than_asked(samples: int, read: int) -> None:
    seen: list[int] = []

    class Watched(Stream):
        def __iter__(self) -> Any:
            return (seen.append(i) or (X[i], i) for i in range(10))

    assert len(list(FirstStreamed(DataLoader(Watched(), batch_size=4), samples))) == samples
    assert seen == list(range(read))


def test_one_sample_of_a_file() -> None:
    x, y = File()[3]
    assert (x.tolist(), y.tolist()) == (X[3].tolist(), 3)


# --- draws -----------------------------------------------------------------------------------------------------------


def test_a_draw_is_the_same_everywhere() -> None:
    """The numbers themselves: a run that is resumed by a later version must find its samples again."""
    labels = torch.tensor([0] * 6 + [1] * 4 + [2] * 2)
    assert order(12, 3, labels).tolist() == [4, 7, 3, 8, 2, 11, 10, 5, 9, 6, 0, 1]
    assert order(12, 3).tolist() == [4, 7, 11, 3, 2, 5, 8, 0, 1, 9, 10, 6]
    assert order(12, 4).tolist() == [3, 1, 2, 0, 8, 7, 9, 10, 11, 4, 5, 6]


@pytest.mark.parametrize("seed", range(20))
def test_samples_of_a_label_are_spread_over_the_whole(seed: int) -> None:
    """The k-th of m of a label stands at (k + u) / m of the whole, up to where the others stand."""
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 6 + [3] * 4)
    found = labels[order(100, seed, labels)]
    for label, count in enumerate((60, 30, 6, 4)):
        held = (found == label).cumsum(0).double()
        wanted = torch.arange(1, 101).double() * count / 100
        assert float((held - wanted).abs().max()) < 1 + 3 * count / 100
        # Alone they would stand at k / m to (k + 1) / m.
        at = (found == label).nonzero().squeeze(1).double() / 100
        k = torch.arange(count).double()
        assert bool(((at > k / count - 0.04) & (at < (k + 1) / count + 0.04)).all())


def test_rows_that_lie_side_by_side_are_read_together() -> None:
    file = File()
    some = Drawn(file, torch.tensor([4, 8, 3, 0, 9, 5, 2]), "words")
    x, y = some.rows(0, 6)
    assert y.tolist() == [4, 8, 3, 0, 9, 5]
    assert torch.equal(x, X[y])
    assert file.seen == [(0, 1), (3, 6), (8, 10)]
    assert some.rows(5, 7)[1].tolist() == [5, 2]
    assert (len(some), some.words, some.digest()) == (7, "words", f"file, 7 drawn {digest_of(some.indices)}")
    assert some.ids(1, 3).tolist() == [8, 3]
    for whole in ((X, Y), [X, Y]):
        x, y = Drawn(whole, torch.tensor([4, 8, 3]), "").rows(1, 3)
        assert (y.tolist(), x.tolist()) == ([8, 3], X[[8, 3]].tolist())
    with pytest.raises(ValueError, match="read by number, got Stream"):
        Drawn(Stream(), torch.tensor([0]), "")


def test_what_is_drawn() -> None:
    y = Y // 5
    for data, how in (((X, y), "by label"), (File(), "by label"), (Pairs(), "by chance"), ((X, X), "by chance")):
        few, every = drawn(data, 4, 1), drawn(data, None, 1)
        assert few is not None
        assert every is not None
        assert (len(few), few.words) == (4, f"4 of 10 samples, drawn {how} with seed 1")
        for all_of_it in (every, drawn(data, 10, 1), drawn(data, 11, 1)):
            assert (len(all_of_it), all_of_it.words) == (10, "all 10 samples")
            assert torch.equal(all_of_it.indices[:4], few.indices)
        assert few.digest().startswith(f"{fingerprint(data)}, 4 drawn ")
    unlabeled = Pairs()
    unlabeled.targets = [0] * 9  # of another length: not of these samples
    assert drawn(unlabeled, 4, 1).words.startswith("4 of 10 samples, drawn by chance")
    unlabeled.targets = y.tolist()
    assert drawn(unlabeled, 4, 1).words.startswith("4 of 10 samples, drawn by label")
    with pytest.raises(ValueError, match="at least one sample"):
        drawn(Pairs(0), 4, 1)


def test_the_data_set_of_a_loader() -> None:
    whole = Pairs()
    assert whole_of(whole) is whole
    assert whole_of(DataLoader(whole, 3)) is whole
    assert whole_of(DataLoader(whole, 3, shuffle=True)) is whole
    for other in (DataLoader(whole, 3, drop_last=True), DataLoader(whole, batch_size=None), DataLoader(Stream(), 3),
                  DataLoader(whole, 3, collate_fn=list), DataLoader(whole, 3, sampler=range(4))):  # fmt: skip
        assert whole_of(other) is other


def test_parts_of_a_division() -> None:
    y = Y // 5
    for data in ((X, y), [X, y], File()):
        one, two, rest = divided(data, [2, 4], 7)
        kept = [t.indices if isinstance(t, Drawn) else t[0][:, 0].long() // 2 for t in (one, two, rest)]
        assert torch.equal(torch.cat(kept), order(10, 7, y))
        assert [len(t) for t in kept] == [2, 4, 4]
    assert one.words == "2 of 10 samples, a draw with seed 7"
    assert one.digest().startswith("file, 2 drawn ")
    assert len(divided((X, y), [9], 0)[1][0]) == 1
    for counts in ([10], [5, 5], [11]):
        with pytest.raises(ValueError, match=rf"{sum(counts)} of 10 samples are to be held out, and none is left"):
            divided((X, y), counts, 0)
    with pytest.raises(ValueError, match="read by number, got Stream"):
        divided(Stream(), [1], 0)


def test_labels_and_classes_that_data_know() -> None:
    for data in ((X, Y), [X, Y], TensorDataset(X, Y), (X, Y.int())):
        assert labels_of(data).tolist() == list(range(10))
        assert labels_of(data).dtype == torch.int64
    assert labels_of(TensorDataset(X, X[:, 0], Y)).tolist() == list(range(10))
    assert labels_of(File()).tolist() == [0] * 5 + [1] * 5
    for unknown in (Pairs(), (X, X), (X, Y[:, None]), (X, Y.float()), Stream()):
        assert labels_of(unknown) is None
    named = Pairs()
    for classes, found in ((["cat", "1"], ("cat", "1")), (("cat", 2), ("cat", "2")), (["0", "1"], ()), ([0, 1], ()),
                           ("cats", ()), (None, ())):  # fmt: skip
        named.classes = classes
        assert classes_of(named) == found
    assert classes_of(Pairs()) == ()


def test_an_order_by_class_is_known() -> None:
    """Half as many changes as by chance is the limit: n - 1 times the chance that two labels differ."""
    assert by_class(torch.arange(100) // 10)
    assert not by_class(torch.arange(100) % 10)
    assert not by_class(torch.zeros(5).long())
    assert not by_class(torch.zeros(0).long())
    y = torch.tensor([0] * 9 + [1] * 8)  # by chance 16 (1 - (9/17)^2 - (8/17)^2) = 7.97 changes
    for changes, found in ((1, True), (3, True), (4, False)):
        parts = [y[:9].split([5, 4]), y[9:].split([4, 4])]
        (a, b), (c, d) = parts
        mixed = {1: [a, b, c, d], 3: [a, c, b, d], 4: [a, c, b, d[:3], a[:1] * 0]}[changes]
        labels = torch.cat(mixed)
        assert int((labels[1:] != labels[:-1]).sum()) == changes
        assert by_class(labels) is found
