"""Runs that last: a folder that goes on after anything, and refuses what would spoil it."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import maxslope as ms
from maxslope import _digest
from maxslope.attacks import Effort, Recipe, recipes
from maxslope.attacks.effort import staged
from maxslope.attacks.rule import Rule
from maxslope.attacks.stages import Bundle, RandomSearch
from maxslope.attacks.starts import Best, Mixed, Uniform
from maxslope.data import default_data, default_network
from maxslope.evaluation import Folder, Report, evaluate, kept, load, resume, store
from maxslope.evaluation._codec import decode, encode
from maxslope.evaluation.crew import LocalCrew
from maxslope.evaluation.data import fitting, jobs, sizes
from maxslope.evaluation.session import default_crew
from maxslope.schemes import SemiImplicit
from nets import answers, conv, images

ROOT = Path(__file__).parents[2]
NET = conv()
X = images(40)
Y = answers(NET, X)
Y[::10] = (Y[::10] + 1) % 5
BUDGET = ms.Linf(0.08)
FAST = Effort((recipes.ifgsm(3), recipes.pgd(3)), "fast")


def run(out: Path | None = None, data: Any = (X, Y), model: Any = NET, **options: Any) -> Report:
    return evaluate(model, data, BUDGET, **({"effort": FAST, "part": 8, "out": out} | options))


WHOLE = run(None)


def same(a: Report, b: Report) -> None:
    assert str(a.table) == str(b.table)  # NaN is not itself, but its letters are
    assert (a.points is None) == (b.points is None)
    assert a.points is None or torch.equal(a.points, b.points)
    assert (a.executed, a.probes, a.seed, a.budget, a.warnings) == (b.executed, b.probes, b.seed, b.budget, b.warnings)
    assert a.effort == b.effort


def without(folder: Path, *numbers: int) -> None:
    """As if the run had been stopped before these parts."""
    for number in numbers:
        (folder / "rows" / f"part-{number:05d}.parquet").unlink()
    (folder / "done.json").unlink(missing_ok=True)


def old(folder: Path, header: dict[str, Any] | None = None) -> None:
    """As an earlier version wrote it: format 1, without checksums."""
    header = json.loads((folder / "run.json").read_text()) if header is None else header
    header.pop("toml", None)
    (folder / "run.json").write_text(json.dumps(header | {"format": 1}))
    for path in (folder / "rows").glob("*.parquet"):
        edit(path, known=lambda known: [known.pop(name, None) for name in ("run", "content", "points", "decision")])


def edit(path: Path, known: Any = lambda known: None, table: Any = lambda table: table) -> None:
    """Write a part anew with its description or its rows changed."""
    found = pyarrow.parquet.read_table(path)
    said = json.loads(found.schema.metadata[b"maxslope"])
    known(said)
    found = table(found).replace_schema_metadata({"maxslope": json.dumps(said)})
    pyarrow.parquet.write_table(found, path)


# --- the folder ------------------------------------------------------------------------------------------------------


def test_a_run_in_a_folder_is_the_run_in_memory(tmp_path: Path) -> None:
    report = run(tmp_path / "run")
    same(report, WHOLE)
    same(load(tmp_path / "run"), WHOLE)
    assert load(tmp_path / "run", points=False).points is None
    assert str(run(None, part=1024, probe=False).table) == str(WHOLE.table)  # parts do not matter


def test_what_lies_in_the_folder(tmp_path: Path) -> None:
    run(tmp_path, seed=-3)
    assert {p.name for p in tmp_path.iterdir()} == {
        "run.toml", "run.json", "decision.json", "done.json", "rows", "points", "lock", "lock.json",
    }  # fmt: skip
    header = json.loads((tmp_path / "run.json").read_text())
    assert header["samples"] == 40
    assert header["words"]["budget"] == "l_inf 0.08"
    assert header["environment"]["torch"] == torch.__version__
    assert decode(header["effort"]) == FAST
    assert tomllib.loads((tmp_path / "run.toml").read_text()) == {"run": {"seed": -3, "part": 8}}
    table = pyarrow.parquet.read_table(tmp_path / "rows")  # a data set as others read it
    assert table.num_rows == 40
    assert set(table.column_names) == {*WHOLE.table, "seed"}
    assert set(table.column("seed").to_pylist()) == {-3}
    assert sorted(table.column("index").to_pylist()) == list(range(40))
    known = Folder(tmp_path).finished()
    assert [known[k]["start"] for k in range(5)] == [0, 8, 16, 24, 32]


def test_points_are_optional(tmp_path: Path) -> None:
    report = run(tmp_path, keep_points=False)
    assert report.points is None
    assert not (tmp_path / "points").exists()
    assert str(report.table) == str(WHOLE.table)


@pytest.mark.parametrize("missing", [(4,), (1, 2, 3), (0,), (0, 1, 2, 3, 4)])
def test_resumed_runs_are_the_uninterrupted_ones(missing: tuple[int, ...], tmp_path: Path) -> None:
    run(tmp_path)
    without(tmp_path, *missing)
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "rows").iterdir()}
    if len(missing) < 5:
        partial = load(tmp_path)
        assert partial.samples == 40 - 8 * len(missing)
        assert "not finished" in partial.warnings[0]
        assert f"{partial.samples} of 40" in str(partial)
    else:
        with pytest.raises(ValueError, match="No part of the run"):
            load(tmp_path)
    seen: list[tuple[int, int]] = []
    report = resume(tmp_path, NET, (X, Y), progress=lambda done, robust: seen.append((done, robust)))
    same(report, WHOLE)
    assert all(p.stat().st_mtime_ns == when for p, when in kept.items())  # nothing was computed again
    assert seen[0][0] == 8 * (5 - len(missing))
    assert seen[-1] == (40, round(40 * report.robust_accuracy))
    assert resume(tmp_path, NET, (X, Y)).samples == 40  # a finished run may be resumed: nothing is left


def test_models_are_not_called_for_finished_parts(tmp_path: Path) -> None:
    calls: list[int] = []

    class Counted(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls.append(len(x))
            return NET(x)

    model = Counted().eval()
    run(tmp_path, model=model)
    without(tmp_path, 4)
    calls.clear()
    resume(tmp_path, model, (X, Y))
    again = len(calls)
    calls.clear()
    run(None, model=model)
    assert again < len(calls) / 3


def test_the_rescue_is_decided_once_for_all(tmp_path: Path) -> None:
    """Indicators are asked on the first part; later parts follow its decision, also after an interruption."""

    class Quantized(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return NET((x * 8).round() / 8)

    net = Quantized().eval()
    effort = Effort(staged((recipes.ifgsm(5),), 4, 20), "weak")
    whole = run(tmp_path / "a", model=net, effort=effort, part=24)
    assert whole.effort == effort.rescued()
    assert RandomSearch(20) in whole.effort.stages
    assert json.loads((tmp_path / "a" / "decision.json").read_text())["effort"]["stages"][:-2] == [1]
    without(tmp_path / "a", 1)
    same(resume(tmp_path / "a", net, (X, Y)), whole)
    same(run(None, model=net, effort=effort, part=24), whole)


@pytest.mark.slow
@pytest.mark.parametrize("hops", [0, 9])
def test_an_early_rescue_is_decided_once_for_all(hops: int, tmp_path: Path) -> None:
    """The first part makes the first runs alone, and so do the others, also after an interruption.

    Without runs that look back the first ones are all there are, and the rescue is the early one all the same.
    """
    net, (x, y) = default_network(), default_data()
    descent = Recipe("descent", 12, 2.0, 0.0, scheme=SemiImplicit)
    effort = Effort(staged((descent, *(replace(descent, start=Best()),) * hops), 5, 20))
    options: dict[str, Any] = dict(effort=effort, part=20)
    whole = evaluate(net, (x[:40], y[:40]), ms.L2(2.0), out=tmp_path / "a", **options)
    assert whole.effort == effort.pursued()
    assert max(whole.table["runs"]) <= 2  # one descent, one pursuit
    decision = json.loads((tmp_path / "a" / "decision.json").read_text())
    assert decision["effort"]["stages"][:-1] == [1]
    before = {"runs": 1, "then": decision["effort"]["stages"][1:], "name": whole.effort.name, "reserve": 0}
    assert kept.decided(effort, {"effort": before}) == whole.effort  # as 0.3 wrote it
    without(tmp_path / "a", 1)
    same(resume(tmp_path / "a", net, (x[:40], y[:40])), whole)
    same(evaluate(net, (x[:40], y[:40]), ms.L2(2.0), **options), whole)


@pytest.mark.parametrize("between", [None, Bundle(10)])
def test_a_heavier_rule_is_decided_once_for_all(between: Bundle | None, tmp_path: Path) -> None:
    """The first part sees that smoothed runs end lower; later parts follow its rule, also after an interruption.

    Stages keep their places: a bundle between runs comes before the later ones in every part.
    """
    waves = 15 * torch.randn(8, 24, generator=torch.Generator().manual_seed(0))

    class Rough(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            margin = 1.2 + 2 * torch.sin(x @ waves).mean(1)
            return torch.relu(torch.stack([margin, torch.zeros_like(margin)], 1))  # a kink, at 0

    long = Recipe("long", 4, 2.0, 0.0, Uniform(), scheme=SemiImplicit)
    short = replace(long, name="short", first=0.6, smoothing=1.0)  # it ends lower, by its steps
    jumps = (replace(short, start=Mixed(Best(), Uniform(), 0.3), smoothing=0.0),) * 12
    effort = Effort(staged((long, short, long, short, *jumps), 10, 20, weight=5.0), rule=Rule(3e-3))
    if between:
        effort = Effort((*effort.stages[:2], between, *effort.stages[2:]), rule=effort.rule)
    x = 0.4 + 0.2 * torch.rand(48, 8, generator=torch.Generator().manual_seed(1))
    net, data, options = Rough().eval(), (x, torch.zeros(48, dtype=torch.long)), dict[str, Any](effort=effort, part=24)
    whole = evaluate(net, data, ms.Linf(0.2), out=tmp_path / "a", **options)
    assert whole.effort.rule == Rule(3e-3, weight=50.0)
    without(tmp_path / "a", 1)
    same(resume(tmp_path / "a", net, data), whole)
    assert ms.load(tmp_path / "a").effort == whole.effort
    same(evaluate(net, data, ms.Linf(0.2), **options), whole)


class Pairs(Dataset[Any]):
    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return X[i], int(Y[i])

    def __len__(self) -> int:
        return 40


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return ((X[i], int(Y[i])) for i in range(40))


@pytest.mark.parametrize(
    "data",
    [TensorDataset(X, Y), Pairs(), Stream(), DataLoader(Pairs(), batch_size=7), DataLoader(Stream(), batch_size=40)],
    ids=["tensors", "pairs", "stream", "loader", "one batch"],
)
def test_data_of_every_form_are_resumed(data: Any, tmp_path: Path) -> None:
    run(tmp_path, data)
    without(tmp_path, 1, 3)
    same(resume(tmp_path, NET, data), WHOLE)


def test_a_small_part_comes_first_and_no_part_is_too_large() -> None:
    seen = [(job.number, job.start, len(job.x)) for job in jobs((torch.zeros(3000, 1), torch.zeros(3000)))]
    assert seen == [(0, 0, 256), (1, 256, 1024), (2, 1280, 1024), (3, 2304, 696)]
    big = torch.zeros(70, 3, 224, 224)
    assert [len(job.x) for job in jobs((big, torch.zeros(70)), fitting)] == [32, 32, 6]
    assert fitting(big, device="cuda") == 256
    assert fitting(big, 10) == 10
    size = sizes(10)
    assert [next(size), next(size)] == [10, 10]


def test_efforts_and_budgets_of_other_packages(tmp_path: Path) -> None:
    """Code is not stored: such a run is resumed with the same objects, and with no others."""
    effort = Effort((recipes.momentum(3),), "mine")
    whole = run(tmp_path, effort=effort)
    assert load(tmp_path).effort.name == "mine"
    without(tmp_path, 2)
    with pytest.raises(ValueError, match="pass the budget and the effort again"):
        resume(tmp_path, NET, (X, Y))
    with pytest.raises(ValueError, match="The effort is another one"):
        resume(tmp_path, NET, (X, Y), effort=Effort((recipes.momentum(3, decay=0.5),), "mine"))
    with pytest.raises(ValueError, match="The budget is another one"):
        resume(tmp_path, NET, (X, Y), effort=effort, budget=ms.Linf(0.09))
    again = resume(tmp_path, NET, (X, Y), effort=effort, budget=BUDGET)
    assert str(again.table) == str(whole.table)


# --- interruptions ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_killed_again_and_again(tmp_path: Path) -> None:
    """SIGKILL at random moments; the full form is `python benchmarks/scaling.py kill`."""
    words = ["kill", "--samples", "240", "--kills", "4", "--part", "16"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "scaling.py"), *words],
        capture_output=True, text=True, check=False, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["identical"]
    assert facts["finished_parts_untouched"]
    assert (facts["rows"], facts["duplicates"]) == (240, 0)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("when", range(6))
def test_a_full_disk_at_any_write(when: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = iter(range(1000))
    real = os.fsync

    def full(handle: int) -> None:
        if next(writes) >= 2 * when:
            raise OSError(code, os.strerror(code))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(_digest.os, "fsync", full)
        if 2 * when < 15:
            with pytest.raises(OSError, match="make room or get permission, then resume") as caught:
                run(tmp_path)
            assert caught.value.errno == code
    assert not list(tmp_path.rglob("*.tmp"))
    same(resume(tmp_path, NET, (X, Y)) if Folder(tmp_path).exists else run(tmp_path), WHOLE)


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Cannot write to the folder"):
        run(tmp_path / "file" / "run")

    def refuse(*a: Any, **k: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    run(tmp_path / "run")
    with monkeypatch.context() as patch:
        for place in (os, _digest.os):
            patch.setattr(place, "replace", refuse)
        patch.setattr(Path, "mkdir", refuse)
        same(load(tmp_path / "run"), WHOLE)  # reading needs no right to write
        with pytest.raises(OSError, match="Cannot write to the folder"):
            resume(tmp_path / "run", NET, (X, Y))


def test_left_over_pieces_are_swept(tmp_path: Path) -> None:
    run(tmp_path)
    without(tmp_path, 4)
    (tmp_path / "rows" / ".part-00004.parquet.tmp").write_bytes(b"half")
    same(resume(tmp_path, NET, (X, Y)), WHOLE)
    assert not list(tmp_path.rglob("*.tmp"))


def test_an_interruption_keeps_what_is_done(tmp_path: Path) -> None:
    def interrupt(done: int, robust: int) -> None:
        if done >= 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, progress=interrupt)
    assert load(tmp_path).samples == 16
    same(resume(tmp_path, NET, (X, Y)), WHOLE)


def test_one_process_a_folder(tmp_path: Path) -> None:
    run(tmp_path)
    without(tmp_path, 1)
    with (
        Folder(tmp_path).locked(),
        pytest.raises(ValueError, match=rf"Another process \({os.getpid()}\) is writing to .*; wait for it"),
    ):
        resume(tmp_path, NET, (X, Y))
    same(resume(tmp_path, NET, (X, Y)), WHOLE)


@pytest.mark.slow
def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    run(tmp_path)
    without(tmp_path, 1)
    code = f"""
import os, signal
from maxslope.evaluation.store import Folder
with Folder({str(tmp_path)!r}).locked():
    print('held', flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=rf"Another process \({holder.pid}\)"):
            resume(tmp_path, NET, (X, Y))
        holder.kill()
    same(resume(tmp_path, NET, (X, Y)), WHOLE)


# --- refusals --------------------------------------------------------------------------------------------------------


def test_a_run_that_came_to_no_part_does_not_block_its_folder(tmp_path: Path) -> None:
    """It fails at its first attack, after the folder was made: nothing is lost by beginning again."""

    class Failing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.requires_grad:
                raise RuntimeError("out of memory")
            return NET(x)

    with pytest.raises(RuntimeError, match="out of memory"):
        run(tmp_path, model=Failing().eval())
    assert (tmp_path / "run.json").exists()
    same(run(tmp_path), WHOLE)


def test_a_second_run_in_one_folder(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(ValueError, match="holds a run already; go on with it"):
        run(tmp_path)


def test_another_model_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "module")
    run(tmp_path / "function", model=lambda x: NET(x) + 0)
    without(tmp_path / "module", 1)
    without(tmp_path / "function", 1)
    with pytest.raises(ValueError, match=r"The model is not what the run .* was begun with"):
        resume(tmp_path / "module", conv(seed=1), (X, Y))
    with pytest.raises(ValueError, match="The model is not what"):
        resume(tmp_path / "module", lambda x: NET(x) + 0, (X, Y))
    other = conv(seed=1)
    twin = lambda x: other(x) + 0  # noqa: E731 - told apart by its answers, since a function has no weights
    twin.__qualname__ = "test_another_model_is_refused.<locals>.<lambda>"
    with pytest.raises(ValueError, match="The model answers otherwise"):
        resume(tmp_path / "function", twin, (X, Y))


def test_other_data_are_refused(tmp_path: Path) -> None:
    for name, data in (("tensors", (X, Y)), ("loader", DataLoader(Pairs(), batch_size=8)), ("pairs", Pairs())):
        run(tmp_path / name, data)
        without(tmp_path / name, 3)
    with pytest.raises(ValueError, match="The data are not what the run"):
        resume(tmp_path / "tensors", NET, (X, Y.roll(1)))
    order = list(range(39, -1, -1))
    with pytest.raises(ValueError, match="shuffled loader"):
        resume(tmp_path / "loader", NET, DataLoader(Pairs(), batch_size=8, sampler=order))

    class Changed(Pairs):
        def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
            return (X[i] * (0.5 if i == 8 else 1)), int(Y[i])

    Changed.__qualname__, Changed.__name__ = Pairs.__qualname__, Pairs.__name__
    with pytest.raises(ValueError, match="part 1 begins with"):
        resume(tmp_path / "pairs", NET, Changed())


def test_there_is_no_run(tmp_path: Path) -> None:
    for call in (lambda: load(tmp_path), lambda: resume(tmp_path, NET, (X, Y))):
        with pytest.raises(ValueError, match="holds no run of maxslope"):
            call()


@pytest.mark.parametrize("damage", ["cut", "other", "empty"])
def test_a_damaged_part_is_named(damage: str, tmp_path: Path) -> None:
    run(tmp_path)
    path = tmp_path / "rows" / "part-00002.parquet"
    content = {"cut": path.read_bytes()[:-20], "other": b"PAR1 no PAR1", "empty": b""}[damage]
    path.write_bytes(content)
    for call in (lambda: load(tmp_path), lambda: resume(tmp_path, NET, (X, Y))):
        with pytest.raises(ValueError, match=r"part-00002.parquet cannot be read .*; delete it and resume"):
            call()
    path.unlink()
    same(resume(tmp_path, NET, (X, Y)), WHOLE)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.json", "{"), ("run.json", "[]"), ("run.json", '{"format": 99}'), ("run.json", '{"format": 1}'),
        ("decision.json", "{}"), ("decision.json", "\x00"),
    ],
)  # fmt: skip
def test_damaged_descriptions_are_named(name: str, text: str, tmp_path: Path) -> None:
    run(tmp_path)
    without(tmp_path, 1)
    (tmp_path / name).write_text(text)
    for call in (lambda: load(tmp_path), lambda: resume(tmp_path, NET, (X, Y))):
        with pytest.raises(ValueError, match=name):
            call()


def test_damaged_points_are_named(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "points" / "part-00002.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ValueError, match=r"The points .*part-00002.npy cannot be read"):
        load(tmp_path)


def test_a_part_has_samples() -> None:
    with pytest.raises(ValueError, match="at least one sample, got part=0"):
        run(None, part=0)


def test_pyarrow_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"maxslope\[data\]"):
        run(tmp_path)


RECIPE_OF_0_2 = (
    '{"record": "maxslope.attacks.recipes:Recipe", "fields": {"name": "IFGSM", "steps": 5, "first": 0.2, "last": null, '
    '"start": {"record": "maxslope.attacks.starts:Clean", "fields": {}}, '
    '"criterion": {"record": "maxslope.criteria:CrossEntropy", "fields": {}}, '
    '"scheme": {"name": "maxslope.schemes.explicit:Explicit"}, "space": null, "rival": 0, "blind": false}}'
)
EFFORT_OF_0_2 = (
    '{"record": "maxslope.attacks.effort:Effort", "fields": {"stages": [{"record": "maxslope.attacks.stages:Runs", '
    f'"fields": {{"recipes": [{RECIPE_OF_0_2}]}}}}], "name": "weak", '
    '"rule": {"record": "maxslope.attacks.rule:Rule", "fields": {"risk": 0.0, "descent": {"float": "inf"}}}, '
    '"candidates": 0, "passes": 8, "limit": null, "reserve": 0}}'
)
BUDGET_OF_0_2 = (
    '{"record": "maxslope.sets.budget:Budget", "fields": {"norm": {"record": "maxslope.spaces.lp:Lp", '
    '"fields": {"p": 2}}, "eps": {"tensor": [0.5, 0.25], "dtype": "float32"}, "box": [-1.0, 1.0]}}'
)


def test_what_0_2_stored_is_read_and_written_alike() -> None:
    """So a run of it is opened, and goes on where its effort and budget are given again."""
    effort, budget = (decode(json.loads(text)) for text in (EFFORT_OF_0_2, BUDGET_OF_0_2))
    assert effort == Effort((recipes.ifgsm(5),), "weak", passes=8)
    assert [json.dumps(encode(value)) for value in (effort, budget)] == [EFFORT_OF_0_2, BUDGET_OF_0_2]
    column = torch.tensor([[0.5], [0.25]])
    assert json.dumps(encode(ms.Budget(ms.Lp(2), column, (-1.0, 1.0)))) == BUDGET_OF_0_2


def test_runs_that_0_1_wrote_name_the_version_that_reads_them(tmp_path: Path) -> None:
    """It named an effort by its numbers of passes and queries, and criteria by another module."""
    fields = {"runs": [json.loads(RECIPE_OF_0_2)], "name": "weak", "queries": 0, "pursue": 0, "rescue": 20, "depth": 8}
    effort = {"record": "maxslope.attacks.effort:Effort", "fields": fields | {"candidates": 0}}
    criterion = {"record": "maxslope.energies.criteria:Margin", "fields": {}}
    for data, said in ((effort, "unknown here, depth, pursue, queries, rescue, runs"), (criterion, "has no maxslope")):
        with pytest.raises(ValueError, match=rf"{said}.*: runs that maxslope 0\.1 wrote are read by maxslope 0\.2\."):
            decode(data)
    run(tmp_path)
    header = json.loads((tmp_path / "run.json").read_text())
    old(tmp_path, header | {"effort": effort})
    assert load(tmp_path).effort.name == "fast"  # its tables are read
    with pytest.raises(ValueError, match=r"read by maxslope 0\.2"):
        resume(tmp_path, NET, (X, Y))


# --- stored objects --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        Effort.quick(), Effort.standard().rescued(), Effort.exhaustive(), FAST, ms.Lp(math.inf),
        Effort((recipes.coordinate(),)), None, 1.5, "text", True, (1, (2.0, "x")),
    ],
    ids=repr,
)  # fmt: skip
def test_objects_come_back_from_plain_data(value: Any) -> None:
    assert decode(json.loads(json.dumps(encode(value), allow_nan=False))) == value


def test_budgets_come_back_with_their_tensors() -> None:
    budget = ms.Budget(ms.Weighted(ms.Lp(2), torch.tensor([1.0, 2.0])), torch.tensor([0.1, 0.2]), (-1.0, 1.0))
    again = decode(json.loads(json.dumps(encode(budget))))
    assert torch.equal(again.eps, budget.eps)
    assert torch.equal(again.norm.weights, budget.norm.weights) if "weights" in vars(budget.norm) else True
    assert again.box == (-1.0, 1.0)
    assert encode(again) == encode(budget)


@pytest.mark.parametrize(
    "data",
    [
        {"name": "os:system"}, {"name": "maxslope.cli.main:main"}, {"record": "maxslope.sets.budget:Budget"},
        {"record": "builtins:eval", "fields": {}}, {"name": "maxslope.evaluation._codec:importlib.import_module"},
        {"record": "maxslope.sets.budget:Budget", "fields": {"no": 1}}, {"name": "maxslope.nowhere:Thing"},
        {"record": "maxslope.attacks.rule:Rule", "fields": []}, {"tensor": [1], "dtype": "load"}, {"float": "much"},
        {"tensor": ["x"], "dtype": "float32"}, {"name": "maxslope.evaluation._codec:Tensor"}, {}, {"name": 3},
        {"name": "maxslope.evaluation._codec:os"}, {"foreign": "x", "code": "y"},
    ],
    ids=str,
)  # fmt: skip
def test_stored_data_bring_only_records_to_life(data: Any) -> None:
    with pytest.raises(ValueError, match=r"[Ss]tored|no maxslope|not stored|has no"):
        decode(data)


def test_the_default_crew_is_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_crew(NET) == LocalCrew()
    from maxslope.evaluation import session
    from maxslope.evaluation.cluster import RayCrew

    monkeypatch.setattr(session, "device_of", lambda model: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert default_crew(NET) == RayCrew(4, gpus=1.0)
    assert "4 workers, 1 GPUs each" in default_crew(NET).words()


def test_nothing_is_reported_before_the_first_part() -> None:
    from maxslope.evaluation.hardware import Hardware
    from maxslope.evaluation.session import Plan, Session

    plan = Plan(NET, (X, Y), BUDGET, FAST, 0, None, True, True, 8, Hardware())
    with pytest.raises(ValueError, match="Nothing is evaluated yet"):
        Session(plan, None, None).result()


def test_stored_effort_of_the_wrong_kind(tmp_path: Path) -> None:
    run(tmp_path)
    header = json.loads((tmp_path / "run.json").read_text())
    for name in ("budget", "effort", "seed"):
        old(tmp_path, header | {name: "3"})
        with pytest.raises(ValueError, match="is damaged"):
            resume(tmp_path, NET, (X, Y))
    old(tmp_path, header | {"effort": 3})
    with pytest.raises(ValueError, match="is damaged"):
        store.load(tmp_path)


# --- folders from other people ---------------------------------------------------------------------------------------


def rename(folder: Path, *names: str) -> None:
    """Give each part the place of the next one in a circle."""
    for kind, ending in (("rows", "parquet"), ("points", "npy")):
        held = [(folder / kind / f"{name}.{ending}").read_bytes() for name in names]
        for name, content in zip(names, held[-1:] + held[:-1], strict=True):
            (folder / kind / f"{name}.{ending}").write_bytes(content)


def verdict(table: Any) -> Any:
    column = table.column("verdict").to_pylist()
    column[1] = "robust" if column[1] != "robust" else "broken"
    return table.set_column(table.column_names.index("verdict"), "verdict", [column])


PART = "rows/part-00001.parquet"
ALTERED: dict[str, tuple[Any, str]] = {
    "a part is missing": (lambda f: (f / PART).unlink(), "40 samples, and 32 .*part-00001.parquet is missing"),
    "the last part is missing": (lambda f: (f / "rows/part-00004.parquet").unlink(), "part-00004.parquet is missing"),
    "points are missing": (lambda f: (f / "points/part-00003.npy").unlink(), "part-00003.npy is missing"),
    "a row is dropped": (lambda f: edit(f / PART, table=lambda t: t.slice(0, 7)), "part-00001.parquet.*checksum"),
    "a row is repeated": (
        lambda f: edit(f / PART, table=lambda t: pyarrow.concat_tables([t, t.slice(7)])),
        "part-00001.parquet.*checksum",
    ),
    "a verdict is altered": (lambda f: edit(f / PART, table=verdict), "part-00001.parquet.*rows were altered"),
    "rows are in another order": (
        lambda f: edit(f / PART, table=lambda t: t.take(list(range(7, -1, -1)))),
        "part-00001.parquet.*checksum",
    ),
    "parts are swapped": (lambda f: rename(f, "part-00001", "part-00002"), "it is part 2 under another name"),
    "a part is repeated": (
        lambda f: (f / "rows/part-00005.parquet").write_bytes((f / PART).read_bytes()),
        "it is part 1 under another name",
    ),
    "a part is repeated by its number": (
        lambda f: (f / "rows/part-000001.parquet").write_bytes((f / PART).read_bytes()),
        "repeats part-00001.parquet",
    ),
    "points are swapped": (
        lambda f: (f / "points/part-00001.npy").write_bytes((f / "points/part-00002.npy").read_bytes()),
        "part-00001.npy cannot be read .*checksum",
    ),
    "a count is altered": (
        lambda f: edit(f / PART, known=lambda k: k.update(rows=7)),
        "it holds 7 samples from 8 on, where part 1 holds 8",
    ),
    "the place is altered": (
        lambda f: edit(f / PART, known=lambda k: k.update(start=9)),
        "where part 1 holds 8 from 8",
    ),
    "checksums are taken off": (
        lambda f: edit(f / PART, known=lambda k: k.pop("content")),
        "carries no checksums, and those of this run do",
    ),
    "the decision is altered": (
        lambda f: (f / "decision.json").write_text((f / "decision.json").read_text().replace("null", "0")),
        "decision.json was edited",
    ),
    "the budget is altered": (
        lambda f: (f / "run.json").write_text((f / "run.json").read_text().replace("0.08", "0.3")),
        "run.json was edited since",
    ),
    "the description is a bomb": (lambda f: (f / "run.json").write_text("[" * 100_000), "thousands of brackets"),
    "a file is a link": (
        lambda f: ((f / "lock.json").unlink(missing_ok=True), (f / "lock.json").symlink_to(f.parent / "elsewhere")),
        "lock.json is a link to .*elsewhere",
    ),
    "parts lie elsewhere": (
        lambda f: ((f / "rows").rename(f.parent / "rows"), (f / "rows").symlink_to(f.parent / "rows")),
        "rows is a link",
    ),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    run(folder)
    return folder


@pytest.mark.parametrize("how", ALTERED)
def test_a_run_that_was_altered_is_refused(how: str, whole: Path, tmp_path: Path) -> None:
    """By load, and by resume where it does not compute the part again anyway."""
    shutil.copytree(whole, tmp_path / "run")
    change, said = ALTERED[how]
    change(tmp_path / "run")
    with pytest.raises(ValueError, match=said):
        load(tmp_path / "run")
    if "part is missing" in how:
        same(resume(tmp_path / "run", NET, (X, Y)), WHOLE)
        same(load(tmp_path / "run"), WHOLE)
        return
    with pytest.raises(ValueError, match="cannot be read" if how == "points are missing" else said):
        resume(tmp_path / "run", NET, (X, Y))
    assert not (tmp_path / "elsewhere").exists()


def test_parts_of_another_run_are_refused(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    run(tmp_path / "other", seed=1)
    for name in (PART, "points/part-00001.npy"):
        (tmp_path / "run" / name).write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(ValueError, match=r"part-00001.parquet is of another run"):
        load(tmp_path / "run")


def test_runs_of_earlier_versions_are_read_with_a_warning(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    old(tmp_path / "run")
    report = load(tmp_path / "run")
    assert report.warnings[0].seen == "An earlier version wrote this run, without checksums."
    assert str(report.table) == str(WHOLE.table)
    edit(tmp_path / "run" / PART, table=lambda t: t.slice(0, 7))  # what can be seen without checksums is seen
    with pytest.raises(ValueError, match="its rows are not the samples 8 to 15"):
        load(tmp_path / "run")
    (tmp_path / "run" / PART).unlink()
    with pytest.raises(ValueError, match=r"part-00001\.parquet is missing"):
        load(tmp_path / "run")
    assert str(resume(tmp_path / "run", NET, (X, Y)).table) == str(WHOLE.table)


def test_an_edited_configuration_is_named(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    assert load(tmp_path / "run").warnings == WHOLE.warnings
    (tmp_path / "run" / "run.toml").write_text("[evaluate]\neps = 1\n")
    assert "run.toml was edited" in load(tmp_path / "run").warnings[0]


def test_a_sample_that_two_parts_hold(whole: Path, tmp_path: Path) -> None:
    """Samples that are drawn have numbers of their own, but each has one."""
    shutil.copytree(whole, tmp_path / "run")

    def moved(table: Any) -> Any:
        return table.set_column(table.column_names.index("index"), "index", [list(range(8))])

    def signed(known: Any) -> None:
        table = pyarrow.parquet.read_table(tmp_path / "run" / PART)
        known["content"] = kept.digest_of_table(moved(table).to_pydict())

    edit(tmp_path / "run" / PART, known=signed, table=moved)
    with pytest.raises(ValueError, match="hold a sample twice"):
        load(tmp_path / "run")


@pytest.mark.parametrize("said", [3, [{"samples": 5}], [{"samples": ["x"]}], [{"kind": []}]])
def test_findings_that_are_none(said: Any, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    old(tmp_path / "run")
    found = json.loads((tmp_path / "run" / "decision.json").read_text())
    (tmp_path / "run" / "decision.json").write_text(json.dumps(found | {"said": said}))
    with pytest.raises(ValueError, match="is damaged"):
        load(tmp_path / "run")


@pytest.mark.parametrize("about", [{"classes": [1, 2]}, {"classes": 3}])
def test_words_that_are_none(about: Any, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    header = json.loads((tmp_path / "run" / "run.json").read_text())
    old(tmp_path / "run", header | {"about": about})
    with pytest.raises(ValueError, match="is damaged"):
        load(tmp_path / "run")


def test_points_that_ask_for_more_than_is_there(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    old(tmp_path / "run")
    path = tmp_path / "run" / "points" / "part-00001.npy"
    for shape, said in (((2**50,), "GiB of memory"), ((8, 2**18), "more than the"), ((-1, 8), "no size")):
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        with pytest.raises(ValueError, match=said):
            load(tmp_path / "run")
    np.save(path, np.array([{}] * 8), allow_pickle=True)
    with pytest.raises(ValueError, match="holds objects, which are pickles"):
        load(tmp_path / "run")


def test_a_temporary_file_is_never_a_link(tmp_path: Path) -> None:
    (tmp_path / ".a.tmp").symlink_to(tmp_path / "elsewhere")
    with _digest.whole(tmp_path / "a") as file:
        file.write(b"x")
    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "a").read_bytes() == b"x"
