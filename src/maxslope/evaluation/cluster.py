"""Ray does the work: on this machine or on a cluster, with workers that may be lost."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from maxslope.evaluation.crew import Crew, Team
from maxslope.evaluation.hardware import Ready
from maxslope.evaluation.models import OWN
from maxslope.evaluation.part import Job, Orders, Part, Work, evaluate_part

_AHEAD = 2  # jobs a worker has at hand, so that it need not wait for the next


@dataclass(frozen=True)
class RayCrew(Crew):
    """Workers of Ray, each with a copy of the model.

    This process alone reads data and writes the folder. At most two jobs a worker are under way, so that memory does
    not grow with the data. A worker that dies is started again and its jobs are repeated; since a part depends on its
    job alone, the table is the same.

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
        """See :class:`Crew`."""
        return f"Ray, {self.workers} workers" + (f", {self.gpus:g} GPUs each" if self.gpus else "")

    @contextmanager
    def team(self, work: Work) -> Iterator[Team]:
        """See :class:`Crew`."""
        ray = _ray()
        ours = not ray.is_initialized()
        if ours:
            enough = {} if self.address else {"num_cpus": max(os.cpu_count() or 1, int(self.workers * self.cpus + 1))}
            silent = {"log_to_driver": False, "include_dashboard": False, "logging_level": "ERROR"}
            ray.init(address=self.address, **silent, **enough)
        try:
            options = {
                "num_cpus": self.cpus, "num_gpus": self.gpus, "max_restarts": -1, "max_task_retries": self.retries,
            }  # fmt: skip
            shared = ray.put(replace(work, model=_movable(work.model)) if self.gpus else work)
            make = ray.remote(**options)(_Worker)
            workers = [make.remote(shared, self.gpus > 0) for _ in range(self.workers)]
            yield _Team(ray, workers).parts
            for worker in workers:
                ray.kill(worker)
        finally:
            if ours:
                ray.shutdown()


class _Worker:
    """Holds the model in a process of its own."""

    def __init__(self, work: Work, gpu: bool) -> None:
        torch.set_num_threads(work.choice.threads or 1)
        model = work.model.to("cuda") if gpu else work.model
        self.work = replace(work, model=model)
        self.ready: Ready = work.choice.ready(model)

    def hello(self) -> None:
        """Answer as soon as there is somebody to answer."""

    def part(self, orders: Orders, job: Job) -> Part:
        """Evaluate one job."""
        return evaluate_part(self.work, self.ready, orders, job)


class _Team:
    """Workers, those that are free, and what is under way; a worker gets jobs when it has said hello."""

    def __init__(self, ray: Any, workers: list[Any]) -> None:
        self.ray, self.free = ray, list[Any]()
        self.starting = {worker.hello.remote(): worker for worker in workers}

    def parts(self, orders: Orders, jobs: Iterator[Job]) -> Iterator[Part]:
        """Give every worker at most two jobs at a time; yield parts as they are done."""
        busy: dict[Any, Any] = {}
        waiting = next(jobs, None)
        while waiting is not None or busy:
            while self.free and waiting is not None:
                worker = self.free.pop(0)
                busy[worker.part.remote(orders, waiting)] = worker
                waiting = next(jobs, None)
            done, _ = self.ray.wait([*busy, *self.starting], num_returns=1)
            for reference in done:
                if reference in self.starting:
                    _got(self.ray, reference)
                    self.free += [self.starting.pop(reference)] * _AHEAD
                else:
                    self.free.append(busy.pop(reference))
                    yield _got(self.ray, reference)


def _got(ray: Any, reference: Any) -> Any:
    """The answer, or the error that the same job raises in one process."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else error from None
    except ray.exceptions.RayError as error:
        raise OSError(
            f"A worker of Ray was lost more often than it may be ({type(error).__name__}); what is finished is kept: "
            "resume the run, with more memory a worker or fewer workers"
        ) from error


def _movable(model: Any) -> Any:
    if not isinstance(model, torch.nn.Module):
        raise TypeError(
            f"Workers with GPUs move the model there, which needs a torch.nn.Module, got {type(model).__name__}."
        )
    return model


def _ray() -> Any:
    """Ray, told to report to nobody, and to send along the code of modules that were loaded from a file."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        from ray import cloudpickle
    except ImportError as error:
        raise ImportError('Workers of Ray need ray: pip install "maxslope[ray]".') from error
    for module in [module for name, module in sys.modules.items() if name.startswith(OWN)]:
        cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
    return ray
