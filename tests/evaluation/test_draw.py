"""Samples that are drawn: in proportion, by the seed, with their own numbers from data to table."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
)

import maxslope as ms
from maxslope.attacks import Effort, recipes
from maxslope.evaluation import load
from maxslope.evaluation.draw import divided, drawn, order
from maxslope.evaluation.reader import collected
from maxslope.evaluation.report import in_order
from nets import answers, conv, images

NET, X = conv(), images(30)
Y = answers(NET, X)
FAST = Effort((recipes.pgd(3),), "fast")
BUDGET = ms.Linf(0.08)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 5), st.data())
def test_every_beginning_holds_each_label_in_proportion(labels: list[int], seed: int, more: st.DataObject) -> None:
    y = torch.tensor(sorted(labels))  # as folders are
    found = order(len(y), seed, y)
    assert sorted(found.tolist()) == list(range(len(y)))
    n = more.draw(st.integers(1, len(y)))
    counts = y[found[:n]].bincount(minlength=5)
    wanted = n * y.bincount(minlength=5) / len(y)
    assert float((counts - wanted).abs().max()) < 3  # a stratum is never missed by more than a few samples


def test_nobody_is_preferred() -> None:
    """Over many seeds each sample is drawn as often as any other, with and without labels."""
    y = torch.tensor([0] * 12 + [1] * 6 + [2] * 2)
    for labels in (y, None):
        hits = torch.zeros(20)
        for seed in range(600):
            hits[order(20, seed, labels)[:5]] += 1
        assert float((hits / 600 - 0.25).abs().max()) < 0.09  # five standard deviations


def test_a_sorted_folder_is_not_cut_off() -> None:
    """The first 10 of 100 sorted samples are of one class; a draw has each, and another seed draws others."""
    x, y = torch.arange(100.0)[:, None], torch.arange(100) // 10
    few = drawn((x, y), 10, 0)
    assert few.rows(0, 10)[1].sort().values.tolist() == list(range(10))
    assert few.ids(0, 10).tolist() != drawn((x, y), 10, 1).ids(0, 10).tolist()
    assert few.words == "10 of 100 samples, drawn by label with seed 0"
    assert drawn((x, y), 1000, 0).words == drawn((x, y), None, 0).words == "all 100 samples"


@pytest.mark.parametrize("kind", ["tensors", "dataset", "list"])
def test_rows_are_those_of_the_whole(kind: str) -> None:
    x, y = torch.arange(40.0)[:, None], torch.arange(40) % 4
    whole = {"tensors": (x, y), "dataset": TensorDataset(x, y), "list": [x, y]}[kind]
    few = drawn(whole, 17, 3)
    got_x, got_y = few.rows(2, 15)
    assert got_x.squeeze(1).long().tolist() == few.ids(2, 15).tolist()
    assert torch.equal(got_y, y[few.ids(2, 15)])
    assert len(few) == 17
    assert few.digest() != drawn(whole, 17, 4).digest()


def test_streams_are_not_drawn() -> None:
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(zip(X, Y, strict=True))

    assert drawn(Stream(), 3, 0) is None
    assert drawn(DataLoader(Stream()), 3, 0) is None


def test_a_drawn_row_is_the_row_of_the_whole(tmp_path: Path) -> None:
    """Rows are strangers: indices in the data, verdicts and margins of a draw are those of the whole evaluation."""
    whole = ms.evaluate(NET, (X, Y), BUDGET, effort=FAST, probe=False)
    few = ms.evaluate(NET, drawn((X, Y), 11, 5), BUDGET, effort=FAST, probe=False, part=4, out=tmp_path / "run")
    index = few.table["index"]
    assert index == sorted(drawn((X, Y), 11, 5).indices.tolist())  # in the order of the data, whatever was drawn
    for name in ("label", "prediction", "verdict", "margin", "distance"):
        assert few.table[name] == [whole.table[name][i] for i in index]
    assert torch.equal(few.points, whole.points[index])
    again = load(tmp_path / "run")
    assert str(again.table) == str(few.table)
    assert torch.equal(again.points, few.points)
    (tmp_path / "run" / "done.json").unlink()
    for file in (tmp_path / "run" / "rows" / "part-00001.parquet", tmp_path / "run" / "points" / "part-00001.npy"):
        file.unlink()
    resumed = ms.resume(tmp_path / "run", NET, drawn((X, Y), 11, 5))
    assert str(resumed.table) == str(few.table)
    with pytest.raises(ValueError, match="data are not what the run"):
        ms.resume(tmp_path / "run", NET, drawn((X, Y), 11, 6))


def test_rows_are_put_in_order_with_their_points() -> None:
    table, points = in_order({"index": [3, 1, 2], "verdict": ["c", "a", "b"]}, torch.tensor([3.0, 1.0, 2.0]))
    assert table == {"index": [1, 2, 3], "verdict": ["a", "b", "c"]}
    assert points.tolist() == [1, 2, 3]


def test_a_loader_of_a_whole_data_set_is_drawn_from_and_others_keep_their_order() -> None:
    x, y = torch.arange(40.0)[:, None], torch.arange(40) // 20
    whole = TensorDataset(x, y)
    for loader in (DataLoader(whole, batch_size=7), DataLoader(whole, batch_size=7, shuffle=True)):
        few = drawn(loader, 4, 0)
        assert few is not None
        assert few.rows(0, 4)[1].bincount().tolist() == [2, 2]
        assert few.words == "4 of 40 samples, drawn by label with seed 0"
    for loader in (
        DataLoader(whole, batch_size=7, sampler=SubsetRandomSampler([1, 2])),
        DataLoader(whole, batch_size=7, drop_last=True),
        DataLoader(whole, batch_size=7, collate_fn=lambda items: default_collate(items)[::-1]),
        DataLoader(whole, sampler=RandomSampler(whole, replacement=True)),
    ):
        assert drawn(loader, 4, 0) is None
    with pytest.raises(ValueError, match="at least one sample"):
        drawn((x[:0], y[:0]), None, 0)


def test_parts_are_disjoint_and_their_data_may_be_of_any_kind() -> None:
    x, y = torch.arange(40.0)[:, None], torch.arange(40) // 20
    for data in ((x, y), TensorDataset(x, y)):
        parts = [collected(part) for part in divided(data, [4, 6], 3)]
        assert [len(part[0]) for part in parts] == [4, 6, 30]
        assert torch.equal(torch.cat([part[0] for part in parts]).sort(0).values, x)
        assert [part[1].bincount().tolist() for part in parts] == [[2, 2], [3, 3], [15, 15]]
    with pytest.raises(ValueError, match="none is left"):
        divided((x, y), [20, 20], 0)
