"""A part of a data set: what a worker is given, what it hands back, and the work in between."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from maxslope import _checks
from maxslope._rows import flat
from maxslope.attacks import AttackResult, Effort
from maxslope.attacks.attack import answer
from maxslope.attacks.findings import Finding, Kind, Severity
from maxslope.attacks.question import Question, ask
from maxslope.attacks.search import certificate
from maxslope.attacks.state import State
from maxslope.attacks.verify import Cleans, clean
from maxslope.energies import Margin, Network
from maxslope.energies.network import Context
from maxslope.evaluation.hardware import Choice, moved
from maxslope.evaluation.report import BROKEN, MISCLASSIFIED, NON_FINITE, ROBUST, Column
from maxslope.goals import Goal, Misclassified
from maxslope.realize import Realization
from maxslope.sets import Budget

Task = Callable[["Work", Any, "Orders", "Job"], "Part"]  # Any: the model as the search calls it
_FEW = 16  # correct samples below which a data set is not probed
HEAD = 8  # rows whose logits are kept, to know the model again
_FOUND = {"margin", "gap", "slope", "local_gap", "distance", "chance", "foreseen", "backward", "runs", "rate"}
_CLEAN_NON_FINITE = "The model's output at the clean point is NaN or infinite."


@dataclass(frozen=True, eq=False)
class Threat:
    """What is asked about every sample of a data set, besides its budget.

    Attributes:
        goal: what counts as an error.
        context: tensors that the model gets after the inputs, one row a sample of the whole data set.
        mask: what may move, of the shape of a sample or of all of them; None for everything.
        realize: what a point becomes before it counts.
    """

    goal: Goal = field(default_factory=Misclassified)
    context: Context = ()
    mask: Tensor | None = None
    realize: Realization | None = None

    def take(self, rows: Tensor, x: Tensor) -> Threat:
        """Return the threat to samples ``rows`` of the data set, whose inputs are ``x``."""
        mask = self.mask
        if mask is not None and mask.ndim == x.ndim and mask.shape[0] > 1:
            mask = mask[rows]
        return Threat(self.goal.take(rows), tuple(t[rows] for t in self.context), mask, self.realize)

    def words(self) -> dict[str, Any]:
        """Return the keywords of ``attack`` and ``minimal``."""
        return {"goal": self.goal, "context": self.context, "mask": self.mask, "realize": self.realize}


@dataclass(frozen=True)
class Work:
    """What all parts of a run share."""

    model: Any  # the caller's
    choice: Choice  # how it is called
    budget: Budget  # of the whole data set, as the threat
    threat: Threat
    seed: int
    keep_points: bool
    task: Task = field(default_factory=lambda: evaluate_part)


@dataclass(frozen=True)
class Orders:
    """What differs between the first part and the others."""

    effort: Effort
    probe: bool  # whether the indicators are asked


@dataclass(frozen=True, eq=False)
class Job:
    """Samples ``start`` to ``start + len(x)`` of a data set: part ``number``; ``ids`` where they have other numbers."""

    number: int
    start: int
    x: Tensor
    y: Tensor
    ids: Tensor | None = None

    @property
    def rows(self) -> Tensor:
        """What the samples are known by: random numbers, budgets and the table go by it."""
        return torch.arange(self.start, self.start + self.x.shape[0]) if self.ids is None else self.ids


@dataclass(frozen=True, eq=False)
class Part:
    """What was found on the samples of a job."""

    number: int  # of the job
    start: int  # index of its first sample
    table: dict[str, Column]  # one entry per sample in each column; see Report
    points: Tensor | None  # the returned points, if kept
    executed: tuple[int, int]  # forward and backward passes of whole calls, padding included
    effort: Effort | None = None  # of the other parts, as the indicators decided if they were asked
    said: tuple[Finding, ...] = ()  # by them
    probes: tuple[int, int] = (0, 0)  # their forward and backward passes
    head: tuple[tuple[float, ...], ...] = ()  # logits of the first samples
    seconds: float = 0.0

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.table["index"])


def summed(passes: Iterable[Sequence[int]]) -> tuple[int, int]:
    """Return the sums of forward and of backward passes."""
    forward, backward = (sum(map(int, counts)) for counts in zip(*passes, strict=True))
    return forward, backward


def asked_of(work: Work, job: Job) -> Question:
    """Return what is asked about the samples of a job."""
    x = _checks.points(moved(job.x, work.model))
    return ask(
        work.model, x, job.y, work.budget.take(job.rows), ids=job.rows, seed=work.seed, batch_size=work.choice.tile,
        **work.threat.take(job.rows, x).words(),
    )  # fmt: skip


def evaluate_part(work: Work, search: Any, orders: Orders, job: Job) -> Part:
    """Classify the samples of a job, and attack those that are right."""
    began, question = time.perf_counter(), asked_of(work, job)
    cleans = clean(question)
    table, points, probes = _clean(question, cleans, job.y), question.x.clone(), (0, 0)
    effort, said = orders.effort, said_of(question.network)
    right = cleans.right.nonzero().squeeze(1)
    if right.numel():
        probe = orders.probe and right.numel() >= _FEW
        fast = work.choice.twin and not probe  # indicators judge the model itself
        classes = isinstance(question.goal, Misclassified)  # of all clean samples, right or wrong: label and answer
        known = torch.stack([question.y, cleans.outputs.argmax(1)], 1) if classes else None
        own = replace(question.take(right), clean=known)
        asked = replace(own, network=replace(own.network, model=search)) if fast else own
        result = answer(asked, effort, probe=probe, certify=not fast)
        points[right] = result.points
        _fill(table, right.tolist(), result, question.votes)
        if (found := result.findings) is not None:
            effort, said = result.effort, (*said, *found.indicators)
            probes = int(found.forward.sum()), int(found.backward.sum())
        if fast:
            _full_precision(table, own, right.tolist(), result)
    head, executed = head_of(cleans) if job.number == 0 else (), question.network.executed.passes()
    kept, seconds = points.cpu() if work.keep_points else None, time.perf_counter() - began
    return Part(job.number, job.start, table, kept, executed, effort, said, probes, head, seconds)


def _clean(question: Question, cleans: Cleans, y: Tensor) -> dict[str, Column]:
    """The table as it stands before any attack."""
    goal, rows = question.goal, question.rows
    bad, nan = cleans.non_finite.tolist(), [math.nan] * rows
    rates: dict[str, Column] = {"rate": cleans.rate.tolist()} if question.votes > 1 else {}
    return rates | {
        "index": question.ids.tolist(),
        "label": goal.shown(goal.given(y, question.x)),
        "prediction": goal.answers(cleans.outputs),
        "verdict": [NON_FINITE if one else MISCLASSIFIED for one in bad],
        "margin": cleans.margin.tolist(),
        **{name: list(nan) for name in ("gap", "slope", "local_gap")},
        "distance": [0.0] * rows,
        **{name: list(nan) for name in ("chance", "foreseen")},
        "forward": [question.votes] * rows,
        "backward": [0] * rows,
        "runs": [0] * rows,
        "reason": [_CLEAN_NON_FINITE if one else goal.begun for one in bad],
    }


def head_of(cleans: Cleans) -> tuple[tuple[float, ...], ...]:
    """Return the logits of the first samples, to know the model again."""
    return tuple(tuple(row) for row in flat(cleans.outputs[:HEAD]).tolist())


def said_of(network: Network) -> tuple[Finding, ...]:
    """What a look at the model found that is no reason to refuse it."""
    found = []
    for note in dict.fromkeys(network.notes):
        kind = Kind.PROBABILITIES if note == _checks.PROBABILITIES else Kind.MODEL
        seen = "The model's outputs are in [0, 1] and sum to 1 in each row." if kind is Kind.PROBABILITIES else note
        found.append(Finding(kind, seen))
    if isinstance(network.model, nn.Module) and network.model.training:
        found.append(
            Finding(Kind.MODEL, "The model is in training mode, though no layer depends on it.", weight=Severity.NOTE)
        )
    return tuple(found)


def _full_precision(table: dict[str, Column], question: Question, at: list[int], result: AttackResult) -> None:
    """Write margins and certificates of a faster search, computed again by the model itself."""
    everyone = torch.arange(len(at), device=question.x.device)
    known = State(question, 1)
    known.points, known.broken, known.backward = result.points, result.broken, result.backward.clone()
    known.best = question.energy(everyone, Margin()).look(result.points).margin
    known.count(everyone, question.draws, 0)
    columns = {"margin": known.best, **certificate(question, known, result.effort)._asdict()}
    for name, more in (("forward", known.forward), ("backward", known.backward - result.backward)):
        columns[name] = more + torch.tensor([table[name][k] for k in at], device=more.device)
    _write(table, at, {name: values.tolist() for name, values in columns.items()})


def _fill(table: dict[str, Column], at: list[int], result: AttackResult, votes: int) -> None:
    """Write what the attack found into the rows it was given."""
    verdicts = [
        BROKEN if broken else NON_FINITE if bad else ROBUST
        for broken, bad in zip(result.broken.tolist(), result.non_finite.tolist(), strict=True)
    ]
    numbers = [name for name in table if name in _FOUND]
    columns = {name: getattr(result, name).tolist() for name in numbers}
    forward = (result.forward + votes).tolist()
    _write(table, at, columns | {"verdict": verdicts, "forward": forward, "reason": result.reasons()})


def _write(table: Any, at: list[int], columns: Any) -> None:
    """Put the values of columns into rows of a table."""
    for name, values in columns.items():
        for row, value in zip(at, values, strict=True):
            table[name][row] = value
