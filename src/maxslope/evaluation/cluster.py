"""Ray does the work: on this machine or on a cluster, with workers that may be lost."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from maxslope._escape import first_line
from maxslope._optional import optional
from maxslope.evaluation.crew import Crew, Team
from maxslope.evaluation.models import OWN
from maxslope.evaluation.part import Job, Orders, Part, Work

Fetch = Callable[[], Work]


@dataclass(frozen=True)
class RayCrew(Crew):
    """Workers of Ray, each with a copy of the model.

    This process alone reads data and writes the folder. One job a worker is under way and one more is read, so that
    memory does not grow with the data. A worker that dies is started again and its job is repeated; since a part
    depends on its job alone, the table is the same.

    Args:
        workers: how many.
        gpus: of each worker; the model is moved there. 0 leaves it where it is.
        cpus: of each worker.
        address: of the cluster, such as ``"auto"``; None starts one on this machine unless one is connected.
        retries: how often a job is repeated when its worker is lost.

    Raises:
        ValueError: for fewer than one worker, negative amounts or retries.

    >>> RayCrew(2).words()
    'Ray, 2 workers'
    """

    workers: int
    gpus: float = 0.0
    cpus: float = 1.0
    address: str | None = None
    retries: int = 3

    def __post_init__(self) -> None:
        if self.workers < 1 or self.gpus < 0 or self.cpus < 0 or self.retries < 0:
            raise ValueError(f"A crew has at least one worker and no negative amounts, got {self!r}.")

    def words(self) -> str:
        return f"Ray, {self.workers} workers" + (f", {self.gpus:g} GPUs each" if self.gpus else "")

    @contextmanager
    def team(self, work: Work) -> Iterator[Team]:
        ray = _ray()
        ours = not ray.is_initialized()
        if ours:
            enough = {} if self.address else {"num_cpus": max(os.cpu_count() or 1, int(self.workers * self.cpus + 1))}
            silent = {"log_to_driver": False, "include_dashboard": False, "logging_level": "ERROR"}
            with _own_sigterm():
                ray.init(address=self.address, **silent, **enough)
        workers: list[Any] = []
        try:
            if ours and not self.address:
                self._check_gpus(ray.cluster_resources().get("GPU", 0.0))
            options = {
                "num_cpus": self.cpus, "num_gpus": self.gpus, "max_restarts": -1, "max_task_retries": self.retries,
            }  # fmt: skip
            if self.gpus and not isinstance(work.model, torch.nn.Module):
                kind = type(work.model).__name__
                raise TypeError(f"Workers with GPUs move the model there, which needs a torch.nn.Module, got {kind}.")
            shared = ray.put(work)
            make = ray.remote(**options)(_Worker)
            workers += [make.remote(self.gpus > 0) for _ in range(self.workers)]
            yield _Team(ray, workers, partial(ray.get, shared)).parts
        finally:
            if ours:
                ray.shutdown()
            else:
                for worker in workers:
                    ray.kill(worker)

    def _check_gpus(self, there: float) -> None:
        """Workers that ask for more than this machine has would be waited for forever."""
        if self.workers * self.gpus > there:
            raise ValueError(
                f"{self.workers} workers with {self.gpus:g} GPUs each need {self.workers * self.gpus:g}, and Ray finds "
                f"{there:g} on this machine; ask for fewer, or name a cluster (--ray, address=)."
            )


class _Worker:
    """Holds the model in a process of its own."""

    def __init__(self, gpu: bool) -> None:
        self.gpu = gpu
        self.held: tuple[Work, Any] | None = None  # and the model as the search calls it

    def hello(self, fetch: Fetch) -> None:
        """Get the work, and answer as soon as there is somebody to do it."""
        work = fetch()
        torch.set_num_threads(work.choice.threads or 1)
        work = replace(work, model=work.model.to("cuda")) if self.gpu else work
        self.held = work, work.choice.search(work.model)

    def part(self, fetch: Fetch, orders: Orders, job: Job) -> Part:
        """Evaluate one job; a worker that was started again gets the work first."""
        if self.held is None:
            self.hello(fetch)
        assert self.held is not None
        work, search = self.held
        return work.task(work, search, orders, job)


class _Team:
    """Workers, those that are free, and what is under way; a worker gets a job when it has said hello."""

    def __init__(self, ray: Any, workers: list[Any], fetch: Fetch) -> None:
        self.ray, self.fetch, self.free = ray, fetch, list[Any]()
        self.starting = {worker.hello.remote(fetch): worker for worker in workers}

    def parts(self, orders: Orders, jobs: Iterator[Job]) -> Iterator[Part]:
        """Give every free worker a job; yield parts as they are done, when their workers have the next."""
        busy: dict[Any, Any] = {}
        done: list[Any] = []
        waiting = next(jobs, None)
        while waiting is not None or busy:
            while self.free and waiting is not None:
                worker = self.free.pop(0)
                busy[worker.part.remote(self.fetch, orders, waiting)] = worker
                yield from self._got(done)  # before more data are read, which may fail
                waiting = next(jobs, None)
            yield from self._got(done)
            came, _ = self.ray.wait([*busy, *self.starting], num_returns=1)
            for reference in came:
                if reference in self.starting:
                    _got(self.ray, reference)
                    self.free.append(self.starting.pop(reference))
                else:
                    self.free.append(busy.pop(reference))
                    done.append(reference)
        yield from self._got(done)

    def _got(self, done: list[Any]) -> Iterator[Part]:
        while done:
            yield _got(self.ray, done.pop())


def _got(ray: Any, reference: Any) -> Any:
    """The answer, or the error that the same job raises in one process."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ray.exceptions.RayError):
            first = first_line(error.cause)
            raise OSError(f"A worker of Ray cannot load the model or what it is to do: {first}") from error
        raise error.cause if isinstance(error.cause, Exception) else error from None
    except ray.exceptions.RayError as error:
        raise OSError(
            f"A worker of Ray was lost more often than it may be ({type(error).__name__}); what is finished is kept: "
            "resume the run, with more memory a worker or fewer workers"
        ) from error


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Ray puts a handler of its own, which aborts the process, in the place of the caller's."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if before is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def _ray() -> Any:
    """Ray, told to report to nobody, and to send along the code of modules that were loaded from a file."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with optional("Workers of Ray need ray", "[ray]"):
        import ray
        from ray import cloudpickle
    for module in [module for name, module in sys.modules.items() if name.startswith(OWN)]:
        cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
    return ray
