"""A part of a data set: what a worker is given, what it hands back, and the work in between."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from maxslope import _checks
from maxslope.attacks import AttackResult, Effort, attack
from maxslope.attacks.attack import certificate
from maxslope.attacks.findings import Finding, Kind
from maxslope.attacks.task import Tally, Task, prepare
from maxslope.energies import Loss, Margin, Network
from maxslope.evaluation.hardware import Choice, Ready
from maxslope.evaluation.report import BROKEN, MISCLASSIFIED, NON_FINITE, ROBUST, Column
from maxslope.sets import Budget

_FEW = 16  # correct samples below which a data set is not probed
_HEAD = 8  # rows whose logits are kept, to know the model again
_CLEAN_WRONG = "The model misclassifies the clean point: nothing to attack."
_CLEAN_NON_FINITE = "The model's output at the clean point is NaN or infinite."


@dataclass(frozen=True, eq=False)
class Work:
    """What all parts of a run share.

    Attributes:
        model: the caller's.
        choice: how it is called.
        budget: of the whole data set.
        seed: of all random numbers.
        keep_points: whether parts hold the returned points.
    """

    model: Any
    choice: Choice
    budget: Budget
    seed: int
    keep_points: bool


@dataclass(frozen=True, eq=False)
class Orders:
    """What differs between the first part and the others.

    Attributes:
        effort: of every sample.
        probe: whether the indicators are asked.
    """

    effort: Effort
    probe: bool


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
    """What was found on the samples of a job.

    Attributes:
        number: of the job.
        start: index of its first sample.
        table: one entry per sample in each column; see :class:`Report`.
        points: the returned points, if kept.
        executed: forward and backward passes of whole calls, padding included.
        rescued: whether the indicators said that gradients are not to be trusted.
        early: whether they said so after the first runs.
        said: what they said.
        probes: forward and backward passes of their probes.
        head: logits of the first samples.
        seconds: that it took.
    """

    number: int
    start: int
    table: dict[str, Column]
    points: Tensor | None
    executed: tuple[int, int]
    rescued: bool = False
    early: bool = False
    said: tuple[Finding, ...] = ()
    probes: tuple[int, int] = (0, 0)
    head: tuple[tuple[float, ...], ...] = ()
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """Number of samples."""
        return len(self.table["index"])


def decided(effort: Effort, *, rescued: bool, early: bool) -> Effort:
    """Return the effort of every sample after what the first part said."""
    return effort.rescued(early=early) if rescued else effort


def evaluate_part(work: Work, ready: Ready, orders: Orders, job: Job) -> Part:
    """Classify the samples of a job, and attack those that are classified correctly."""
    began, rows = time.perf_counter(), job.rows
    x = _checks.points(ready.move(job.x))
    y = _checks.labels(job.y, x)
    budget = work.budget.take(rows)
    _checks.in_box(x, budget.box)
    _checks.model(ready.model, x)
    tile = ready.choice.tile
    network = Network(ready.model, tile, int(y.max()))
    logits = network.all_logits(x)
    _, margin, wrong = Loss(network, y, Margin()).from_logits(logits, slice(None))
    finite = logits.isfinite().all(1)
    table = _clean(rows, y, logits, margin, finite)
    points = x.clone()
    executed = (-(-len(rows) // tile) * tile, 0)
    head = tuple(tuple(row) for row in logits[:_HEAD].tolist()) if job.number == 0 else ()
    part = Part(job.number, job.start, table, points, executed, head=head, said=_said(network, logits))
    right = (finite & ~wrong).nonzero().squeeze(1)
    if right.numel():
        probe = orders.probe and right.numel() >= _FEW
        fast = ready.search is not ready.model and not probe  # indicators judge the model itself
        model = ready.search if fast else ready.model
        chosen, ids = budget.take(right.cpu()), rows[right.cpu()]
        result = attack(
            model, x[right], y[right], chosen, effort=orders.effort, ids=ids, seed=work.seed, batch_size=tile,
            probe=probe, certify=not fast,
        )  # fmt: skip
        points[right] = result.points
        _fill(table, right.tolist(), result)
        part = _with(part, orders, result)
        if fast:
            task = prepare(
                ready.model, x[right], y[right], chosen, targets=None, mask=None, ids=ids, seed=work.seed,
                batch_size=tile,
            )  # fmt: skip
            part = _full_precision(part, task, right.tolist(), result)
    kept = points.cpu() if work.keep_points else None
    return replace(part, points=kept, seconds=time.perf_counter() - began)


def _clean(rows: Tensor, y: Tensor, logits: Tensor, margin: Tensor, finite: Tensor) -> dict[str, Column]:
    """The table as it stands before any attack."""
    nan = torch.full_like(margin, torch.nan)
    return {
        "index": rows.tolist(),
        "label": y.tolist(),
        "prediction": logits.argmax(1).tolist(),
        "verdict": [MISCLASSIFIED if f else NON_FINITE for f in finite.tolist()],
        "margin": margin.tolist(),
        "gap": nan.tolist(),
        "slope": nan.tolist(),
        "distance": torch.zeros_like(margin).tolist(),
        "chance": nan.tolist(),
        "forward": [1] * len(rows),
        "backward": [0] * len(rows),
        "runs": [0] * len(rows),
        "reason": [_CLEAN_WRONG if f else _CLEAN_NON_FINITE for f in finite.tolist()],
    }


def _said(network: Network, logits: Tensor) -> tuple[Finding, ...]:
    """What the model's answers to clean samples, and what wraps it, say about it."""
    seen = _checks.probabilities(logits)
    found = [Finding(Kind.PROBABILITIES, seen)] if seen else []
    notes = [str(note) for note in getattr(network, "notes", ())]
    return (*found, *(Finding(Kind.MODEL, note) for note in dict.fromkeys(notes) if not seen or seen not in note))


def _with(part: Part, orders: Orders, result: AttackResult) -> Part:
    """The part with what the attack cost and what the indicators said."""
    executed = (part.executed[0] + result.executed[0], part.executed[1] + result.executed[1])
    findings = result.findings
    if findings is None:
        return replace(part, executed=executed)
    return replace(
        part,
        executed=executed,
        rescued=result.effort is not orders.effort,
        early=result.effort == orders.effort.rescued(early=True),
        said=(*part.said, *findings.indicators),
        probes=(int(findings.forward.sum()), int(findings.backward.sum())),
    )


def _full_precision(part: Part, task: Task, at: list[int], result: AttackResult) -> Part:
    """Margins and certificates of a faster search, computed again by the model itself."""
    everyone = torch.arange(len(at), device=task.x.device)
    tally = Tally(task, 1)
    tally.points, tally.broken = result.points, result.broken
    tally.best = task.energy(everyone, Margin()).look(result.points).margin
    tally.count(everyone, task.network.tile, 1, 0)
    gap, slope = certificate(task, tally)
    table: dict[str, list[Any]] = {name: list(column) for name, column in part.table.items()}
    columns = {"margin": tally.best, "gap": gap, "slope": slope}
    for k, row in enumerate(at):
        for name, values in columns.items():
            table[name][row] = float(values[k])
        table["forward"][row] += int(tally.forward[k])
        table["backward"][row] += int(tally.backward[k])
    executed = (part.executed[0] + tally.executed[0], part.executed[1] + tally.executed[1])
    return replace(part, table=cast(dict[str, Column], table), executed=executed)


def _fill(table: dict[str, Column], at: list[int], result: AttackResult) -> None:
    """Write what the attack found into the rows it was given."""
    verdicts = [
        BROKEN if broken else NON_FINITE if bad else ROBUST
        for broken, bad in zip(result.broken.tolist(), result.non_finite.tolist(), strict=True)
    ]
    columns: dict[str, Column] = {
        "verdict": verdicts,
        "margin": result.margin.tolist(),
        "gap": result.gap.tolist(),
        "slope": result.slope.tolist(),
        "distance": result.distance.tolist(),
        "chance": result.chance.tolist(),
        "forward": (result.forward + 1).tolist(),
        "backward": result.backward.tolist(),
        "runs": result.runs.tolist(),
        "reason": result.reasons(),
    }
    for name, values in columns.items():
        for row, value in zip(at, values, strict=True):
            table[name][row] = value  # type: ignore[call-overload]
