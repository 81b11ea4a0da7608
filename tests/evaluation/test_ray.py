"""Ray: any number of workers, lost ones too, give the table of one process."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

import maxslope as ms
from maxslope.evaluation import cluster
from maxslope.evaluation.cluster import RayCrew
from maxslope.evaluation.hardware import Choice
from maxslope.evaluation.part import Work
from nets import answers, conv, images

ROOT = Path(__file__).parents[2]
NET = conv()
X = images(40)
Y = answers(NET, X)


@pytest.mark.slow
def test_two_workers_and_a_lost_one(tmp_path: Path) -> None:
    """The small form of `python benchmarks/scaling.py ray`: with real processes, one of which dies at its work."""
    pytest.importorskip("ray")
    words = ["ray", "--workers", "2", "--samples", "160", "--part", "32"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "scaling.py"), *words],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    alive, lost = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    assert alive["identical"]
    assert not alive["worker_killed"]
    assert lost["identical"]
    assert lost["worker_killed"]


class Remote:
    """Stands in for an actor: does the work at once, hands out numbers for it."""

    def __init__(self, ray: Any, work: Work, gpu: bool) -> None:
        worker = cluster._Worker(work, gpu)
        self.ray = ray
        self.part = types.SimpleNamespace(remote=lambda *words: ray.note(worker.part, *words))
        self.hello = types.SimpleNamespace(remote=lambda: ray.note(worker.hello))


class Pretended:
    """The few calls of Ray that are made, in one process; the last job under way is done first."""

    class Exceptions:
        class RayError(Exception):
            pass

        class RayTaskError(RayError):
            cause: Exception | None = None

    exceptions = Exceptions

    def __init__(self, lose: int = -1) -> None:
        self.results: dict[int, Any] = {}
        self.most, self.killed, self.lose, self.options = 0, 0, lose, {}
        self.started: dict[str, Any] | None = None

    def is_initialized(self) -> bool:
        return self.started is not None

    def init(self, **options: Any) -> None:
        self.started = options

    def shutdown(self) -> None:
        self.started = None

    def put(self, value: Any) -> Any:
        return value

    def remote(self, **options: Any) -> Any:
        self.options = options
        return lambda kind: types.SimpleNamespace(remote=lambda work, gpu: Remote(self, work, gpu))

    def note(self, method: Any, *words: Any) -> int:
        number = len(self.results)
        try:
            self.results[number] = method(*words)
        except Exception as error:
            self.results[number] = error
        return number

    def wait(self, waiting: list[int], num_returns: int) -> tuple[list[int], list[int]]:
        self.most = max(self.most, len(waiting))
        return waiting[-1:], waiting[:-1]

    def get(self, number: int) -> Any:
        found = self.results[number]
        if number == self.lose:
            raise self.exceptions.RayError("the actor died")
        if isinstance(found, Exception):
            error = self.exceptions.RayTaskError()
            error.cause = found
            raise error
        return found

    def kill(self, worker: Any) -> None:
        self.killed += 1


def crewed(monkeypatch: pytest.MonkeyPatch, ray: Pretended, model: Any = NET, **options: Any) -> ms.Report:
    monkeypatch.setattr(cluster, "_ray", lambda: ray)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    effort = ms.Effort((ms.recipes.pgd(3),), "fast")
    return ms.evaluate(model, (X, Y), ms.Linf(0.05), effort=effort, part=4, **options)


def test_jobs_wait_for_workers_and_come_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Pretended()
    report = crewed(monkeypatch, ray, crew=RayCrew(2, cpus=0.5, retries=7))
    assert report.table["index"] == list(range(40))
    assert str(report.table) == str(crewed(monkeypatch, ray).table)
    assert ray.most == 4  # two a worker, never more
    assert ray.killed == 2
    assert ray.started is None
    assert ray.options == {"num_cpus": 0.5, "num_gpus": 0.0, "max_restarts": -1, "max_task_retries": 7}


def test_a_connected_cluster_is_left_running(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Pretended()
    ray.started = {}
    crewed(monkeypatch, ray, crew=RayCrew(1, address="auto"))
    assert ray.started == {}


def test_runs_in_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    report = crewed(monkeypatch, Pretended(), crew=RayCrew(3), out=tmp_path)
    assert str(report.table) == str(crewed(monkeypatch, Pretended()).table)


def test_a_worker_lost_too_often(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"lost more often than it may be .*resume"):
        crewed(monkeypatch, Pretended(lose=5), crew=RayCrew(2), out=tmp_path)
    assert ms.evaluation.load(tmp_path).samples > 0
    ms.evaluation.resume(tmp_path, NET, (X, Y))


def test_errors_of_the_model_are_those_of_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match="returns a tensor of logits"):
        crewed(monkeypatch, Pretended(), model=lambda x: None, crew=RayCrew(2))


def test_workers_with_gpus_move_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, device: asked.append(device) or self)
    crewed(monkeypatch, Pretended(), crew=RayCrew(1, gpus=1))
    assert asked == ["cuda"]
    with pytest.raises(TypeError, match=r"needs a torch.nn.Module, got function"):
        crewed(monkeypatch, Pretended(), model=lambda x: NET(x) + 0, crew=RayCrew(1, gpus=1))


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": 1, "gpus": -1}, {"workers": 1, "retries": -1}])
def test_impossible_crews(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least one worker"):
        RayCrew(**options)


def test_ray_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"maxslope\[ray\]"):
        ms.evaluate(NET, (X, Y), ms.Linf(0.1), crew=RayCrew(1))


def test_a_worker_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    cluster._Worker(Work(NET, Choice(8), ms.Linf(0.1), 0, False), False)
    cluster._Worker(Work(NET, Choice(8, threads=3), ms.Linf(0.1), 0, False), False)
    assert used == [1, 3]
