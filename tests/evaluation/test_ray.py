"""Ray: any number of workers, lost ones too, give the table of one process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import types
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

import maxslope as ms
from maxslope.evaluation import cluster, smallest
from maxslope.evaluation.cluster import RayCrew
from maxslope.evaluation.hardware import Choice
from maxslope.evaluation.part import Job, Orders, Threat, Work
from nets import answers, conv, images

ROOT = Path(__file__).parents[2]
NET = conv()
X = images(40)
Y = answers(NET, X)
FAST = ms.Effort((ms.recipes.pgd(3),), "fast")


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

    def __init__(self, ray: Any, gpu: bool) -> None:
        worker = cluster._Worker(gpu)
        self.ray = ray
        self.part = types.SimpleNamespace(remote=lambda *words: ray.note(worker.part, *words, by=self))
        self.hello = types.SimpleNamespace(remote=lambda *words: ray.note(worker.hello, *words))


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
        self.parts: dict[Remote, list[int]] = {}  # numbers of the jobs that each worker was given

    def is_initialized(self) -> bool:
        return self.started is not None

    def init(self, **options: Any) -> None:
        self.started = options

    def shutdown(self) -> None:
        self.started = None

    def put(self, value: Any) -> int:
        return self.note(lambda: value)

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0, "GPU": 1.0}

    def remote(self, **options: Any) -> Any:
        self.options = options
        return lambda kind: types.SimpleNamespace(remote=lambda *words: Remote(self, *words))

    def note(self, method: Any, *words: Any, by: Remote | None = None) -> int:
        number = len(self.results)
        if by is not None:
            self.parts.setdefault(by, []).append(words[-1].number)
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
        if number == 0 and isinstance(found, Exception):
            raise found
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
    return ms.evaluate(model, (X, Y), ms.Linf(0.05), **{"effort": FAST, "part": 4} | options)


def test_smallest_perturbations_are_those_of_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    few: dict[str, Any] = {"effort": ms.Effort(passes=8), "part": 4}
    alone = smallest(NET, (X[:12], Y[:12]), ms.Lp(2), **few)
    monkeypatch.setattr(cluster, "_ray", Pretended)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    assert smallest(NET, (X[:12], Y[:12]), ms.Lp(2), crew=RayCrew(2), **few).table == alone.table


def test_jobs_wait_for_workers_and_come_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Pretended()
    report = crewed(monkeypatch, ray, crew=RayCrew(2, cpus=0.5, retries=7))
    assert report.table["index"] == list(range(40))
    assert str(report.table) == str(crewed(monkeypatch, ray).table)
    assert ray.most == 2  # one a worker, never more
    assert ray.killed == 0  # they end with Ray
    assert ray.started is None
    assert ray.options == {"num_cpus": 0.5, "num_gpus": 0.0, "max_restarts": -1, "max_task_retries": 7}


def test_no_job_queues_behind_another_while_a_worker_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Pretended()
    crewed(monkeypatch, ray, part=10, crew=RayCrew(3))
    rest = [[number for number in given if number] for given in ray.parts.values()]  # part 0 comes before all others
    assert sorted(rest) == [[1], [2], [3]]


def test_what_is_done_is_kept_when_the_data_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Torn(Dataset[Any]):
        def __getitem__(self, i: int) -> Any:
            if i == 39:
                raise OSError("the disk is gone")
            return X[i], Y[i]

        def __len__(self) -> int:
            return 40

    ray = Pretended()
    monkeypatch.setattr(cluster, "_ray", lambda: ray)
    with pytest.raises(OSError, match="the disk is gone"):
        ms.evaluate(NET, Torn(), ms.Linf(0.05), effort=FAST, part=10, crew=RayCrew(1), out=tmp_path)
    assert ms.evaluation.load(tmp_path).samples == 20  # the third was under way
    assert ray.started is None


def test_a_worker_that_was_started_again_gets_the_work_again() -> None:
    work = Work(NET, Choice(8), ms.Linf(0.05), Threat(), 0, False)
    job = Job(0, 0, X[:4], Y[:4])
    part = cluster._Worker(False).part(lambda: work, Orders(FAST, False), job)
    assert part.table["index"] == [0, 1, 2, 3]


def test_a_connected_cluster_is_left_running(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Pretended()
    ray.started = {}
    crewed(monkeypatch, ray, crew=RayCrew(2, address="auto"))
    assert ray.started == {}
    assert ray.killed == 2  # its workers are not
    with pytest.raises(TypeError, match="returns a tensor of logits"):
        crewed(monkeypatch, ray, model=lambda x: None, crew=RayCrew(1, address="auto"))
    assert ray.killed == 3


def test_the_handler_of_sigterm_is_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Rude(Pretended):
        def init(self, **options: Any) -> None:
            Pretended.init(self, **options)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    before = signal.getsignal(signal.SIGTERM)
    try:
        crewed(monkeypatch, Rude(), crew=RayCrew(1))
        assert signal.getsignal(signal.SIGTERM) is before
    finally:
        signal.signal(signal.SIGTERM, before)


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


def test_more_gpus_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would wait for them forever; on a cluster they may still come."""
    ray = Pretended()
    with pytest.raises(ValueError, match="2 workers with 1 GPUs each need 2, and Ray finds 1 on this machine"):
        crewed(monkeypatch, ray, crew=RayCrew(2, gpus=1))
    assert ray.started is None
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, device: self)
    crewed(monkeypatch, Pretended(), crew=RayCrew(2, gpus=1, address="auto"))


def test_a_model_that_workers_cannot_load(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Pretended()

    def failing(value: Any) -> int:
        ray.results[0] = Pretended.Exceptions.RayError("No module named 'nets'\ntraceback: ...")
        return 0

    monkeypatch.setattr(ray, "put", failing)
    with pytest.raises(OSError, match=r"cannot load the model or what it is to do: No module named 'nets'$"):
        crewed(monkeypatch, ray, crew=RayCrew(1))


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
    for choice in (Choice(8), Choice(8, threads=3)):
        cluster._Worker(False).hello(partial(Work, NET, choice, ms.Linf(0.1), Threat(), 0, False))
    assert used == [1, 3]
