"""An evaluation under way: parts come in, are kept, and can be reported at any time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maxslope._digest import digest_of
from maxslope._rows import flat
from maxslope.attacks import Effort
from maxslope.energies import Network
from maxslope.evaluation._codec import decode, encode
from maxslope.evaluation.crew import Crew, LocalCrew, Team
from maxslope.evaluation.data import fingerprint, fitting, jobs
from maxslope.evaluation.draw import files_of
from maxslope.evaluation.hardware import Choice, Hardware, device_of, moved
from maxslope.evaluation.kept import decided
from maxslope.evaluation.part import Job, Orders, Part, Threat, Work, summed
from maxslope.evaluation.plan import EVALUATION, Plan, Purpose, header_of, identity, threat_of, toml_of
from maxslope.evaluation.report import Column, Report, in_order
from maxslope.evaluation.store import Folder, contents
from maxslope.sets import Budget

_CLOSE = 1e-3  # relative; logits of one model on two machines


class Session:
    """Takes the jobs of a plan to a crew and keeps the parts, in memory or in a folder; with a header it goes on."""

    def __init__(
        self, plan: Plan, out: str | Path | None, crew: Crew | None, header: dict[str, Any] | None = None
    ) -> None:
        self.plan, self.header = plan, header
        self.folder = None if out is None else Folder(out)
        self.crew = crew or default_crew(plan.model)
        self.held: list[Part] = []
        self.finished: dict[int, dict[str, Any]] = {}
        self.effort: Effort | None = None  # of every sample, once the first part is done
        self.head: list[list[float]] = []  # of a run that goes on: logits of the first samples
        self.choice: Choice | None = None
        self.told: list[Any] = []  # a column of the samples done
        self.largest = plan.largest

    @property
    def done(self) -> int:
        """Samples done."""
        return len(self.told)

    @property
    def so_far(self) -> tuple[int, Any]:
        """Samples done, and what they say so far."""
        return self.done, self.plan.purpose.so_far(self.told)

    def go(self) -> Iterator[tuple[int, Any]]:
        """Do what is left to do; yield (samples done, what they say so far) after every part."""
        with nullcontext() if self.folder is None else self.folder.locked():
            began = time.perf_counter()
            if self.folder is not None and self.header is None:
                self.folder.refuse_a_second()
            if self.header is not None:
                self._reopen()
                yield self.so_far
            todo = jobs(self.plan.data, self._limit, self._seen_before, frozenset(self.finished))
            head = next(todo, None)
            if head is not None:
                yield from self._work(head, todo)
            if self.folder is not None:
                self.folder.finish(self.done, time.perf_counter() - began)

    def result(self) -> Any:
        """Return the result of what is done so far."""
        return self.plan.purpose.result(self._contents())

    def _contents(self) -> Report:
        """What is done so far, whatever was looked for, as a report without doubts about its rows."""
        plan = self.plan
        if self.folder is not None:
            return contents(self.folder.path, plan.purpose.format, points=plan.keep_points)
        if self.effort is None:
            raise ValueError("Nothing is evaluated yet: the first part is not done.")
        parts = sorted(self.held, key=lambda part: part.number)
        table: dict[str, Column] = {
            name: list(itertools.chain.from_iterable(part.table[name] for part in parts))  # type: ignore[misc]
            for name in parts[0].table
        }
        points = torch.cat([p.points for p in parts if p.points is not None]) if plan.keep_points else None
        executed, first = summed(part.executed for part in parts), parts[0]
        table, points = in_order(table, points)
        return Report(
            str(plan.budget), self.effort, plan.seed, table, points, executed, first.probes, first.said, plan.about
        )

    def _work(self, head: Job, todo: Iterator[Job]) -> Iterator[tuple[int, int]]:
        plan = self.plan
        choice = self._choose(head)
        if self.folder is not None and self.header is None:
            self.header = header_of(plan, choice, self.crew) | {"part": self.largest}
            self.folder.begin(self.header, toml_of(plan))
        task = plan.purpose.task
        work = Work(plan.model, choice, plan.budget, plan.threat, plan.seed, plan.keep_points, task)
        with self.crew.team(work) as team:
            if head.number == 0:
                first = next(self._parts(team, Orders(plan.effort, plan.probe), iter([head])))
                self.effort = first.effort or plan.effort
                yield self.so_far
            else:
                todo = itertools.chain([head], todo)
            assert self.effort is not None
            for _ in self._parts(team, Orders(self.effort, False), todo):
                yield self.so_far

    def _parts(self, team: Team, orders: Orders, todo: Iterator[Job]) -> Iterator[Part]:
        """Parts as they come, kept before they are handed on."""
        digests: dict[int, tuple[str, str]] = {}

        def known(jobs: Iterator[Job]) -> Iterator[Job]:
            for job in jobs:
                if self.folder is not None:
                    digests[job.number] = digest_of(job.x, job.y), digest_of(job.x[:1], job.y[:1])
                yield job

        for found in team(orders, known(todo)):
            files = files_of(self.plan.data, found.table["index"])
            part = replace(found, table=found.table | {"file": files}) if files else found
            if self.folder is None:
                self.held.append(part)
            else:
                self.folder.keep(part, self.plan.seed, *digests.pop(part.number))
            self.told += part.table[self.plan.purpose.column]
            yield part

    def _limit(self, x: Tensor) -> int:
        """Samples of a part: as the run was begun, or as memory and the model's device suggest."""
        if self.header is None:
            device = device_of(self.plan.model)
            self.largest = fitting(x, self.plan.largest, "cpu" if device is None else device.type)
        return self.largest

    def _choose(self, head: Job) -> Choice:
        if self.choice is not None:
            return self.choice
        x = moved(head.x, self.plan.model)
        off = self.plan.hardware == Hardware() or not x.is_floating_point() or x.ndim < 2
        return (Hardware() if off else self.plan.hardware).measure(self.plan.model, x, self.plan.batch_size)

    def _reopen(self) -> None:
        """Take over what is finished, and refuse another model or other data."""
        assert self.folder is not None
        assert self.header is not None
        header = self.header
        for what, now in (("model", identity(self.plan.model)), ("data", fingerprint(self.plan.data))):
            if header[what] != now:
                raise ValueError(
                    f"The {what} {'is' if what == 'model' else 'are'} not what the run in {self.folder.path} was begun "
                    f"with ({header[what]} then, {now} now); resume with the same {what}, or start another run."
                )
        try:
            self.choice = Choice(**header["choice"])
        except TypeError as error:
            raise ValueError(f"{self.folder.path / 'run.json'} is damaged: {error}.") from error
        decision = self.folder.decision
        if decision is None:
            return  # the first part decides for all, and is not there
        self.finished = self.folder.finished()
        self.effort, self.head = decided(self.plan.effort, decision), decision["head"]
        for _ in self.folder.points(self.finished):
            pass  # each is checked as it is read, and let go
        self.told = [*self.folder.table(self.finished).get(self.plan.purpose.column, ())]

    def _seen_before(self, job: Job, whole: bool) -> None:
        """Compare the samples of a finished part, and on the first part the model's answers, with those of before."""
        assert self.folder is not None
        known = self.finished[job.number]
        if digest_of(job.x, job.y) != known["digest" if whole else "first"]:
            raise ValueError(
                f"The data are not what the run in {self.folder.path} was begun with: part {job.number} begins with or "
                "holds other samples (a shuffled loader?); resume with the same data, or start another run."
            )
        if job.number == 0 and self.choice is not None:
            before = torch.tensor(self.head, dtype=torch.float64)[: len(job.x)]
            x = moved(job.x[: len(before)], self.plan.model)
            context = tuple(t[: len(before)].to(x.device) for t in self.plan.threat.context)
            network = Network(self.plan.model, self.choice.tile, voting=True)
            out = network.all_outputs(x, context)
            out = out.reshape(-1, network.answers, *out.shape[1:]).mean(1)
            now = flat(self.plan.threat.goal.outputs(out)).double().cpu()
            scale = _CLOSE * float(before.nan_to_num().abs().amax().clamp_min(1e-12))
            if now.shape != before.shape or not torch.allclose(now, before, _CLOSE, scale, equal_nan=True):
                raise ValueError(
                    f"The model answers otherwise than the one that the run in {self.folder.path} was begun with; "
                    "resume with the same model, or start another run."
                )


def reopened(
    path: str | Path,
    model: Any,
    data: Any,
    budget: Budget | None,
    effort: Effort | None,
    threat: Threat | None,
    crew: Crew | None,
    purpose: Purpose = EVALUATION,
) -> Session:
    """Return the session that goes on with the run in a folder; ValueError if that is another one than is asked for."""
    header = Folder(path).opened(purpose.format)
    try:
        stored = {"budget": header["budget"], "effort": header["effort"]}
        for name, given in (("budget", budget), ("effort", effort)):
            if given is not None and encode(given) != stored[name]:
                raise ValueError(f"The {name} is another one than that of the run in {path}; leave it out.")
        asked = header.get("threat", threat_of(Threat()))  # runs of earlier versions knew one
        if threat is not None and threat_of(threat) != asked:
            raise ValueError(
                f"Goal, context, mask or realization are others than those of the run in {path}; give the same."
            )
        if threat is None and (asked["context"] or asked["mask"]):
            raise ValueError(
                f"The run in {path} had a context or a mask, which a folder does not hold; give the same again: "
                "context=..., mask=...."
            )
        threat = threat or Threat(decode(asked["goal"]), realize=decode(asked["realize"]))
        plan = Plan(
            model, data, budget or decode(stored["budget"]), effort or decode(stored["effort"]), header["seed"],
            header["batch_size"], header["probe"], header["keep_points"], header["part"], Hardware(),
            threat, purpose=purpose,
        )  # fmt: skip
        kinds = ((plan.budget, Budget), (plan.effort, Effort), (plan.threat, Threat), (plan.seed, int))
        if strange := [type(value).__name__ for value, kind in kinds if not isinstance(value, kind)]:
            raise TypeError(f"a budget, an effort, a threat and a seed, got {strange[0]} among them")
    except (KeyError, TypeError) as error:
        raise ValueError(f"{Path(path) / 'run.json'} is damaged: {error!r}.") from error
    return Session(plan, path, crew, header)


def default_crew(model: Any) -> Crew:
    """Return this process; Ray on all GPUs where the model is on one of several and Ray is installed."""
    device = device_of(model)
    several = device is not None and device.type == "cuda" and torch.cuda.device_count() > 1
    if several and find_spec("ray") is not None:
        from maxslope.evaluation.cluster import RayCrew

        return RayCrew(torch.cuda.device_count(), gpus=1.0)
    return LocalCrew()
