"""Evaluate a model on data: many attacks, one verdict per sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from maxslope import _checks
from maxslope._status import Status
from maxslope.attacks import AttackResult, Effort, attack
from maxslope.attacks.indicators import Findings
from maxslope.attacks.task import tile_for
from maxslope.energies import Loss, Margin, Network
from maxslope.evaluation.data import batches, length
from maxslope.evaluation.report import BROKEN, MISCLASSIFIED, NON_FINITE, ROBUST, Column, Report
from maxslope.sets import Budget

_ROWS = 1024
_FEW = 16  # correct samples below which a data set is not probed
_CLEAN_WRONG = "The model misclassifies the clean point: nothing to attack."
_CLEAN_NON_FINITE = "The model's output at the clean point is NaN or infinite."

Progress = Callable[[int, int], None]


def evaluate(
    model: Any,
    data: Any,
    budget: Budget,
    *,
    effort: Effort | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    probe: bool = True,
    keep_points: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Evaluate how robust a model is: clean accuracy, robust accuracy, and a verdict with evidence per sample.

    Every sample is classified, then attacked by ``effort`` where it is classified correctly. A sample's row does not
    depend on the other samples, on their order or number.

    Args:
        model: from inputs ``[rows, *shape]`` to logits, in evaluation mode; preprocessing belongs inside.
        data: ``(x, y)`` tensors, a ``Dataset`` of pairs or a ``DataLoader``.
        budget: such as ``Linf(8 / 255)``; an eps per sample goes with ``(x, y)`` tensors.
        effort: by default ``Effort.standard()``.
        seed: of all random numbers, which are keyed by (seed, index of the sample, run).
        batch_size: rows per call of the model; by default chosen by the size of a sample.
        probe: whether the indicators are asked, on a small part of the first 1,024 samples; if they say that gradients
            are not to be trusted, random search follows on every sample that stands, as ``effort.rescue`` says, and the
            report's ``effort`` records it. Their passes are in ``report.probes``, not in the table.
        keep_points: whether the report holds the returned points.
        progress: called with (samples done, samples robust so far) as the evaluation goes on.

    Returns:
        A :class:`Report`.

    Raises:
        TypeError: for data or inputs of the wrong kind.
        ValueError: for wrong shapes, labels or inputs out of range, or a model in training mode.

    >>> from maxslope import Linf
    >>> x, y = torch.tensor([[0.9, 0.1], [0.6, 0.5]]), torch.tensor([0, 0])
    >>> report = evaluate(lambda x: 10 * x, (x, y), Linf(0.2))
    >>> report.clean_accuracy, report.robust_accuracy, report.table["verdict"]
    (1.0, 0.5, ['robust', 'broken'])
    """
    _checks.budget(budget, Budget)
    _checks.effort(effort, Effort)
    _checks.batch_size(batch_size)
    samples = length(data)
    if samples is not None:
        _checks.eps_rows(budget.eps, samples)
    effort = effort or Effort.standard()
    parts: list[_Part] = []
    done = robust = 0
    findings: Findings | None = None
    for x, y in batches(data, _ROWS):
        rows = torch.arange(done, done + x.shape[0])
        part = _evaluate_part(model, x, y, budget.take(rows), rows, effort, seed, batch_size, probe and not parts)
        if part.result is not None:
            effort, findings = part.result.effort, findings or part.result.findings
        parts.append(replace(part, result=None, points=part.points if keep_points else x.new_zeros(0)))
        done += x.shape[0]
        robust += sum(v == ROBUST for v in part.table["verdict"])
        if progress is not None:
            progress(done, robust)
    table = {name: _joined([p.table[name] for p in parts]) for name in parts[0].table}
    points = torch.cat([p.points for p in parts]) if keep_points else None
    executed = (sum(p.executed[0] for p in parts), sum(p.executed[1] for p in parts))
    probes = (0, 0) if findings is None else (int(findings.forward.sum()), int(findings.backward.sum()))
    said = () if findings is None else tuple(f"{i.name}: {i.sentence}" for i in findings.indicators)
    return Report(str(budget), effort, seed, table, points, executed, probes, (*said, *_warnings(table)))


@dataclass(frozen=True, eq=False)
class _Part:
    table: dict[str, Column]
    points: Tensor
    executed: tuple[int, int]
    result: AttackResult | None


def _evaluate_part(
    model: Any,
    x: Tensor,
    y: Tensor,
    budget: Budget,
    rows: Tensor,
    effort: Effort,
    seed: int,
    batch_size: int | None,
    probe: bool,
) -> _Part:
    x = _checks.points(x)
    y = _checks.labels(y, x)
    _checks.in_box(x, budget.box)
    _checks.model(model, x)
    tile = batch_size or tile_for(x)
    network = Network(model, tile, int(y.max()))
    logits = network.all_logits(x)
    _, margin, wrong = Loss(network, y, Margin()).from_logits(logits, slice(None))
    finite = logits.isfinite().all(1)
    nan = torch.full_like(margin, torch.nan)
    table: dict[str, Column] = {
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
    points = x.clone()
    executed = (-(-len(rows) // tile) * tile, 0)
    right = (finite & ~wrong).nonzero().squeeze(1)
    result = None
    if right.numel():
        result = attack(
            model, x[right], y[right], budget.take(right), effort=effort, ids=rows[right.cpu()], seed=seed,
            batch_size=tile, probe=probe and right.numel() >= _FEW,
        )  # fmt: skip
        points[right] = result.points
        _fill(table, right.tolist(), result)
        executed = (executed[0] + result.executed[0], result.executed[1])
    return _Part(table, points, executed, result)


def _joined(columns: list[Column]) -> Column:
    joined: list[Any] = []
    for column in columns:
        joined += column
    return joined


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


def _warnings(table: dict[str, Column]) -> tuple[str, ...]:
    found = []
    bad = [i for i, v in zip(table["index"], table["verdict"], strict=True) if v == NON_FINITE]
    if bad:
        found.append(f"{len(bad)} samples met NaN or infinity and are neither robust nor broken (first: {bad[:5]}).")
    stuck = [i for i, r in zip(table["index"], table["reason"], strict=True) if r == Status.STATIONARY.sentence]
    if stuck:
        found.append(
            f"{len(stuck)} samples ended at a gradient that is zero in every coordinate (first: {stuck[:5]}): the "
            "gradient is masked or saturated there, and their robustness is not to be trusted."
        )
    return tuple(found)
