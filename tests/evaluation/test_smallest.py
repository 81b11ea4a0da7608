"""Smallest perturbations of a data set: in parts, in a folder, gone on with bit for bit."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import torch

import maxslope as ms
from maxslope.evaluation import (
    Folder,
    Interrupted,
    Smallest,
    evaluate,
    load,
    load_smallest,
    resume,
    resume_smallest,
    smallest,
)
from maxslope.evaluation.smallest import quantile
from nets import answers, conv, images

NET = conv()
X = images(24)
Y = answers(NET, X)
Y[::10] = (Y[::10] + 1) % 5
EFFORT = ms.Effort(passes=8)


def run(out: Path | None = None, model: Any = NET, data: Any = (X, Y), **options: Any) -> Smallest:
    return smallest(model, data, ms.Lp(2), **({"effort": EFFORT, "part": 8, "out": out, "seed": 3} | options))


WHOLE = run()


def same(a: Smallest, b: Smallest) -> None:
    assert str(a.table) == str(b.table)  # NaN is not itself, but its letters are
    assert a.points is not None
    assert b.points is not None
    assert torch.equal(a.points, b.points)
    assert (a.executed, a.seed, a.warnings, a.effort) == (b.executed, b.seed, b.warnings, b.effort)


def interrupted_after(parts: int) -> Any:
    told = iter(range(parts))

    def progress(done: int, so_far: float) -> None:
        if next(told) == parts - 1:
            raise KeyboardInterrupt

    return progress


def test_it_is_minimal_part_by_part() -> None:
    found = ms.minimal(NET, X, Y, ms.Lp(2), effort=EFFORT, seed=3)
    assert WHOLE.norms.tolist() == found.norms.double().tolist()
    assert WHOLE.table["found"] == found.found.tolist()
    assert WHOLE.table["backward"] == found.backward.tolist()
    assert WHOLE.table["index"] == list(range(24))
    assert WHOLE.table["label"] == Y.tolist()
    assert torch.equal(WHOLE.points, found.points)  # type: ignore[arg-type]
    assert WHOLE.robust_accuracy_at(0.2) == found.robust_accuracy_at(0.2)
    assert 0 < WHOLE.robust_accuracy_at(0.0) < 1


def test_what_a_mask_holds_fast_stays() -> None:
    mask = torch.zeros(X.shape[1:], dtype=torch.bool)
    mask[..., :4] = True
    found = run(data=(X[:10], Y[:10]), mask=mask)
    assert found.points is not None
    assert torch.equal(found.points[..., 4:], X[:10, ..., 4:])
    assert found.norms.tolist() == ms.minimal(NET, X[:10], Y[:10], ms.Lp(2), effort=EFFORT, mask=mask).norms.tolist()
    assert bool((found.norms >= WHOLE.norms[:10]).any())


def test_seed_ids_and_rows_per_call_reach_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, list[int], int]] = []
    real = sys.modules["maxslope.evaluation.part"].ask

    def recorded(*words: Any, **more: Any) -> Any:
        asked.append((more["seed"], more["ids"].tolist(), more["batch_size"]))
        return real(*words, **more)

    monkeypatch.setattr(sys.modules["maxslope.evaluation.part"], "ask", recorded)
    run(data=(X[:10], Y[:10]), seed=9, batch_size=4)
    assert asked == [(9, list(range(8)), 4), (9, [8, 9], 4)]


def test_what_was_interrupted_and_resumed_is_the_uninterrupted_run_bit_for_bit(tmp_path: Path) -> None:
    with pytest.raises(Interrupted) as stop:
        run(tmp_path / "a", progress=interrupted_after(2))
    assert stop.value.done == 16
    assert stop.value.begun
    part = load_smallest(tmp_path / "a")
    assert part.table["norm"] == WHOLE.table["norm"][:16]
    assert "not finished: 16 of 24" in str(part.warnings[0])
    assert "resume_smallest" in str(part.warnings[0])
    before = {p.name: p.read_bytes() for p in (tmp_path / "a" / "rows").iterdir()}
    same(resume_smallest(tmp_path / "a", NET, (X, Y)), WHOLE)
    after = {p.name: p.read_bytes() for p in (tmp_path / "a" / "rows").iterdir()}
    assert len(after) == 3
    assert before.items() <= after.items()  # not computed again
    same(load_smallest(tmp_path / "a"), WHOLE)
    same(run(tmp_path / "b"), WHOLE)


def test_an_interruption_without_a_folder_holds_what_is_done() -> None:
    with pytest.raises(Interrupted) as stop:
        run(progress=interrupted_after(1))
    assert stop.value.report.table["norm"] == WHOLE.table["norm"][:8]
    assert not stop.value.begun


def test_another_model_other_data_and_another_mask_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, progress=interrupted_after(1))
    with pytest.raises(ValueError, match="The model is not what the run"):
        resume_smallest(tmp_path, conv(seed=1), (X, Y))
    with pytest.raises(ValueError, match="The data are not what the run"):
        resume_smallest(tmp_path, NET, (X.flip(0), Y))
    with pytest.raises(ValueError, match="are others than those of the run"):
        resume_smallest(tmp_path, NET, (X, Y), mask=torch.ones(X.shape[1:], dtype=torch.bool))
    with pytest.raises(ValueError, match="holds a run already"):
        run(tmp_path)


def test_what_was_altered_is_named(tmp_path: Path) -> None:
    run(tmp_path)
    path = tmp_path / "rows" / "part-00001.parquet"
    found = pyarrow.parquet.read_table(path)
    norms = pyarrow.array([9.0] * len(found))
    other = found.set_column(found.column_names.index("norm"), "norm", norms)
    pyarrow.parquet.write_table(other.replace_schema_metadata(found.schema.metadata), path)
    with pytest.raises(ValueError, match=r"part-00001.parquet cannot be read \(its checksum is another one"):
        load_smallest(tmp_path)
    for column, kind in (("norm", "numbers"), ("found", "truths")):
        words = pyarrow.array(["x"] * len(found))
        other = found.set_column(found.column_names.index(column), column, words)
        known = json.loads(found.schema.metadata[b"maxslope"])
        known["content"] = ""  # as somebody who edits with care
        pyarrow.parquet.write_table(other.replace_schema_metadata({"maxslope": json.dumps(known)}), path)
        with pytest.raises(ValueError, match=f"its column {column} holds other things than {kind}"):
            load_smallest(tmp_path)


def test_a_folder_knows_what_it_holds(tmp_path: Path) -> None:
    """An evaluation is no search for smallest perturbations, and each says what reads it."""
    run(tmp_path / "near")
    for call in (lambda: load(tmp_path / "near"), lambda: resume(tmp_path / "near", NET, (X, Y))):
        with pytest.raises(
            ValueError, match=r"holds a search for smallest perturbations, not an evaluation; take .*res"
        ):
            call()
    fast = ms.Effort((ms.recipes.ifgsm(3),), "fast")
    evaluate(NET, (X[:8], Y[:8]), ms.L2(0.1), effort=fast, out=tmp_path / "run")
    for call in (
        lambda: load_smallest(tmp_path / "run"),
        lambda: resume_smallest(tmp_path / "run", NET, (X[:8], Y[:8])),
    ):
        with pytest.raises(
            ValueError, match=r"holds an evaluation, not a search for smallest .*; take maxslope evaluate"
        ):
            call()
    assert Folder(tmp_path / "near").header["format"] == 3


def test_what_is_not_finite_is_said() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        out = 10 * x
        return torch.where(x[:, :1] > 0.8, torch.nan, out)

    x, y = torch.tensor([[0.9, 0.1], [0.6, 0.5]]), torch.tensor([0, 0])
    found = smallest(model, (x, y), ms.Lp(2), effort=ms.Effort(passes=8))
    assert math.isnan(found.table["norm"][0])  # type: ignore[arg-type]
    assert "1 samples met NaN or infinity" in str(found.warnings[-1])
    assert quantile([math.nan]) != quantile([math.nan])


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"norm": ms.L2(0.1)}, TypeError, "The norm is a space such as Lp"),
        ({"effort": "quick"}, TypeError, "The effort is an Effort such as"),
        ({"part": 0}, ValueError, "A part has at least one sample, got part=0"),
    ],
)
def test_misuse(options: dict[str, Any], error: type[Exception], said: str) -> None:
    norm = options.pop("norm", ms.Lp(2))
    with pytest.raises(error, match=said):
        smallest(NET, (X, Y), norm, **options)
