"""Speed on the hardware: measured, recorded, and never part of a verdict."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import maxslope as ms
from maxslope.attacks import Effort, recipes
from maxslope.evaluation import Hardware, evaluate, hardware, resume
from maxslope.evaluation.hardware import Choice, Search, device_of, moved
from nets import answers, conv, images

NET = conv()
X = images(60)
Y = answers(NET, X)
BUDGET = ms.Linf(0.05)
EFFORT = Effort((recipes.ifgsm(5), recipes.pgd(5)), "fast")


class Seen(nn.Module):
    """Notes how it is called."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.net = conv()
        self.calls: list[tuple[bool, bool, int]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.append((torch.is_autocast_enabled("cpu"), x.requires_grad, len(x)))
        return self.net(x)


def clock(monkeypatch: pytest.MonkeyPatch, times: Any) -> None:
    """Times as told instead of measured."""
    monkeypatch.setattr(hardware, "_time", times)


def test_nothing_is_on_by_default() -> None:
    choice = Hardware().measure(NET, X)
    assert choice == Choice(tile=16)
    assert choice.search(NET) is NET


def test_verdicts_never_come_from_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search is bfloat16, everything else the caller's model; broken means broken by that model."""
    clock(monkeypatch, lambda model, x: 0.1 if isinstance(model, Search) else 1.0)
    net = Seen().eval()
    report = evaluate(net, (X, Y), BUDGET, effort=EFFORT, hardware=Hardware(half=True), probe=False)
    assert any(half and gradient for half, gradient, _ in net.calls)
    assert not any(half and not gradient for half, gradient, _ in net.calls)
    assert report.points is not None
    broken = torch.tensor([v == "broken" for v in report.table["verdict"]])
    assert 0 < int(broken.sum()) < 60
    assert torch.equal(answers(NET, report.points) != Y, broken)
    logits = NET(report.points)
    best = logits.gather(1, Y[:, None]).squeeze(1) - logits.scatter(1, Y[:, None], -torch.inf).amax(1)
    assert torch.tensor(report.table["margin"]) == pytest.approx(best.detach(), abs=1e-5)
    plain = evaluate(NET, (X, Y), BUDGET, effort=EFFORT, probe=False)
    assert abs(report.robust_accuracy - plain.robust_accuracy) <= 0.1
    standing = ~broken
    # as many gradients as without: those of the runs, and one of the model itself for the certificate
    assert {n for n, b in zip(report.table["backward"], broken.tolist(), strict=True) if not b} == {11}
    assert bool(torch.tensor(report.table["gap"])[standing].isfinite().all())
    assert bool(torch.tensor(report.table["gap"])[broken].isnan().all())


def test_the_first_part_is_asked_by_the_model_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, lambda model, x: 0.1 if isinstance(model, Search) else 1.0)
    net = Seen().eval()
    evaluate(net, (X[:30], Y[:30]), BUDGET, effort=EFFORT, hardware=Hardware(half=True))
    assert not any(half for half, _, _ in net.calls)  # one part, and indicators judge the model


@pytest.mark.parametrize("option", ["half", "channels_last", "compile"])
def test_options_are_kept_where_they_pay(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda model: lambda x: model(x) + 0)
    for ratio, kept in ((0.5, True), (0.95, False), (2.0, False)):
        clock(monkeypatch, lambda model, x, ratio=ratio: ratio if isinstance(model, Search) else 1.0)
        choice = Hardware(**{option: True}).measure(NET, X)
        assert getattr(choice, option) is kept
        assert choice.times == {f"without {option}": 1.0, option: ratio}
        report = evaluate(NET, (X, Y), BUDGET, effort=EFFORT, hardware=Hardware(**{option: True}), probe=False)
        assert report.samples == 60


def test_what_fails_is_left_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(model: Any) -> Any:
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(torch, "compile", fails)
    choice = Hardware(compile=True).measure(NET, X)
    assert not choice.compile
    assert "no compiler here" in str(choice.times["compile"])


def test_batches_grow_while_they_pay_and_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def times(model: Any, x: torch.Tensor) -> float:
        if len(x) > 512:
            raise RuntimeError("CUDA out of memory")
        return 100 / len(x)

    clock(monkeypatch, times)
    choice = Hardware(batch=True).measure(NET, X)
    assert choice.tile == 512
    assert "out of memory" in str(choice.times["1024 rows"])
    clock(monkeypatch, lambda model, x: 1.0)
    assert Hardware(batch=True).measure(NET, X).tile == 16
    assert Hardware(batch=True).measure(NET, X, 7).tile == 7  # the caller insists
    clock(monkeypatch, lambda model, x: 1 / len(x))
    assert Hardware(batch=True).measure(NET, X).tile == 4096


def test_threads_are_set_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    used: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    clock(monkeypatch, lambda model, x: 1 / used[-1] if used[-1] < 4 else 1.0)
    choice = Hardware(threads=True).measure(NET, X)
    assert choice.threads == 2
    assert set(choice.times) == {"1 threads", "2 threads", "4 threads"}
    with choice.set_threads():
        assert used[-1] == 2
    assert used[-1] == 4
    monkeypatch.undo()
    assert torch.get_num_threads() == before


def test_real_measurements() -> None:
    """Everything that needs no compiler, timed in earnest; the model is left as it was."""
    state = {k: v.clone() for k, v in NET.state_dict().items()}
    choice = Hardware(batch=True, half=True, channels_last=True, threads=True).measure(NET, X)
    assert {"16 rows", "1 threads", "half", "channels_last"} <= set(choice.times)
    assert all(float(v) > 0 for v in choice.times.values())
    assert all(torch.equal(v, state[k]) and v.is_contiguous() for k, v in NET.state_dict().items())


def test_the_choice_is_recorded_and_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, lambda model, x: 0.1 if isinstance(model, Search) else 1.0)
    options: dict[str, Any] = {"effort": EFFORT, "hardware": Hardware(half=True, batch=True), "part": 20}
    whole = evaluate(NET, (X, Y), BUDGET, out=tmp_path, **options)
    assert json.loads((tmp_path / "run.json").read_text())["choice"] == asdict(
        Choice(16, half=True, times={"16 rows": 1.0, "32 rows": 1.0, "without half": 1.0, "half": 0.1})
    )
    (tmp_path / "rows" / "part-00001.parquet").unlink()

    def never(model: Any, x: torch.Tensor) -> float:
        raise AssertionError("nothing is measured again")

    clock(monkeypatch, never)
    assert str(resume(tmp_path, NET, (X, Y)).table) == str(whole.table)


def test_samples_go_where_the_model_is() -> None:
    assert device_of(NET) == torch.device("cpu")
    assert device_of(lambda x: x) is None
    assert device_of(nn.Identity()) is None
    assert moved(X, NET) is X
    assert moved(X, nn.Identity()) is X
    assert moved(X, conv().to("meta")) is X  # refused later, with a sentence
