"""What a page finds itself, on samples that stood: it belongs into the answer, and into nobody's margin note."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from maxslope._rows import per_row
from maxslope.attacks import Effort, MinimalResult, minimal
from maxslope.attacks.findings import Finding, Kind
from maxslope.attacks.question import ask
from maxslope.attacks.verify import verify
from maxslope.energies import Loss, Margin, Network
from maxslope.evaluation import Report
from maxslope.evaluation.draw import order
from maxslope.evaluation.report import BROKEN, ROBUST, Column
from maxslope.loop import Steps, flow
from maxslope.report.html_samples import chosen, spent_on
from maxslope.schemes import SemiImplicit
from maxslope.sets import Budget

_NAMED = 5
_STEPS = 24  # of a curve
SEARCH = "the search for smallest perturbations"
_CURVE = 200  # samples at most whose smallest perturbation is looked for, if nobody gives one
_FEWEST = 10  # of them, below which there is no curve
_PRICE = 3.5  # passes for each gradient of a search for a smallest perturbation, forward ones and halvings included


@dataclass(frozen=True, eq=False)
class Candidates:
    """Points ``[len(rows), *shape]`` that may be errors of rows of a report, and how they were found.

    The verified margins there, ``[len(rows)]``, are for where no model can be asked.
    """

    rows: Sequence[int]
    points: Tensor
    how: str
    margins: Tensor | None = None


def merged(
    report: Report, data: tuple[Tensor, Tensor], model: Any, budget: Budget, found: Sequence[Candidates]
) -> tuple[Report, dict[int, Tensor]]:
    """Return the report in which samples that stood are broken where a candidate is an error, and those errors by row.

    Each point is asked again: inside ball and box, and wrong by a call of the model (without one, by the margins that
    came with it). The worst verdict of a sample counts, so that the robust accuracy never rises. A finding names the
    samples and what the evaluation alone had said.
    """
    table: dict[str, list[Any]] = {name: list(column) for name, column in report.table.items()}
    broken: dict[int, Tensor] = {}
    ways: list[str] = []
    for one in found:
        standing = [k for k, row in enumerate(one.rows) if table["verdict"][row] == ROBUST]
        fell = _errors(report, data, model, budget, one, standing) if standing else {}
        for row, (point, margin, distance) in fell.items():
            table["verdict"][row] = BROKEN
            table["reason"][row] = f"{one.how.capitalize()} broke it after the evaluation; verified."
            table["margin"][row], table["distance"][row] = margin, distance
            for name in {"gap", "slope", "local_gap"} & table.keys():
                table[name][row] = float("nan")
            broken[row] = point
        ways += [one.how] if fell else []
    if not broken:
        return report, {}
    ids = tuple(sorted(int(table["index"][row]) for row in broken))
    named = ", ".join(map(str, ids[:_NAMED])) + (", ..." if len(ids) > _NAMED else "")
    stood = list(report.table["verdict"]).count(ROBUST)
    finding = Finding(
        Kind.MISSED,
        f"{len(ids)} of {stood} samples that stood in the evaluation were broken afterwards, by "
        f"{' and '.join(dict.fromkeys(ways))}, verified and counted: {named}. The "
        f"evaluation alone had said {100 * report.robust_accuracy:.1f} %.",
        ids,
    )
    columns = {name: cast(Column, column) for name, column in table.items()}
    points = report.points
    if points is not None:
        points = points.clone()
        for row, point in broken.items():
            points[row] = point.to(points)
    return replace(report, table=columns, points=points, warnings=(*report.warnings, finding)), broken


def _errors(
    report: Report, data: tuple[Tensor, Tensor], model: Any, budget: Budget, found: Candidates, which: list[int]
) -> dict[int, tuple[Tensor, float, float]]:
    """Point, margin and distance of those of the candidates that are errors, by row of the report."""
    x, y = (t.detach() for t in data)
    rows, points = [found.rows[k] for k in which], found.points[which]
    index = torch.tensor(rows)
    at, own = index.to(x.device), budget.take(index)
    if model is None:  # by the margins of whoever found the points
        if found.margins is None:
            return {}
        points, margin = points.to(x), found.margins[which]
        error = own.around(x[at]).contains(points) & (margin.to(x) <= 0)
        distance = budget.norm.distance(x[at], points)
    else:
        ids = torch.tensor([int(report.table["index"][row]) for row in rows])
        question = ask(model, x[at], y[at], own, ids=ids, seed=report.seed)
        seen = verify(question, torch.arange(len(rows), device=question.x.device), points.to(question.x))
        error, points, margin, distance = seen.broken, seen.points, seen.margin, seen.distance
    fell = error.nonzero().squeeze(1).tolist()
    return {rows[k]: (points[k], float(margin[k]), float(distance[k])) for k in fell}


def affordable(report: Report, spent: int, rows: Sequence[int] = ()) -> int:
    """Return of how many samples the smallest perturbation is worth looking for.

    A page costs at most half of its evaluation, counted in passes, of which forward and backward ones in pairs are
    ``spent`` already and ``rows`` are attacked again; under some ten samples a curve says nothing.
    """
    if report.effort.runs[0].blind:
        return 0
    passes = spent_on(report)
    left = (sum(passes) + sum(report.probes)) / 2 - 2 * spent - 3 * sum(passes[i] for i in rows)
    count = min(_CURVE, report.samples, int(left / (_PRICE * Effort.quick().passes)))
    return count if count >= min(_FEWEST, report.samples) else 0


def representative(reports: Sequence[Report], count: int, seed: int) -> list[int]:
    """Return so many rows of runs on the same samples, drawn by verdicts and label.

    Those that are wrong without a change in every run are left out, since nothing is to be looked for. Of those that
    stand in a run, and of those that fell there, there is at least one.
    """
    verdicts = list(zip(*(r.table["verdict"] for r in reports), strict=True))
    right = [k for k, own in enumerate(verdicts) if ROBUST in own or BROKEN in own]
    labels = reports[0].classes or [0] * len(verdicts)
    strata = {key: k for k, key in enumerate(sorted({(*verdicts[k], labels[k]) for k in right}, key=str))}
    codes = torch.tensor([strata[*verdicts[k], labels[k]] for k in right], dtype=torch.int64)
    drawn = [right[k] for k in order(len(right), seed, codes).tolist()] if right else []
    few = drawn[: max(count, 0)]
    for j in range(len(reports)) if few else ():
        for verdict in (ROBUST, BROKEN):
            if not any(verdicts[k][j] == verdict for k in few):
                few += [k for k in drawn if verdicts[k][j] == verdict][:1]
    return sorted(few)


def nearest(
    rows: Sequence[int], report: Report, model: Any, data: tuple[Tensor, Tensor], budget: Budget, seed: int | None
) -> MinimalResult:
    """Return the smallest perturbations of some samples, by the report's seed where there is no other."""
    index = torch.tensor(rows)
    x, y = (t[index.to(t.device)].detach() for t in data)
    ids = torch.tensor([int(report.table["index"][row]) for row in rows])
    seed = report.seed if seed is None else seed
    return minimal(model, x, y, budget.norm, box=budget.box, effort=Effort.quick(), seed=seed, ids=ids)


@dataclass(frozen=True)
class Track:
    """A curve of maximal slope of the margin, from a clean sample.

    Attributes:
        length: how far the curve has gone, in units of the norm.
        margin: the energy there, in logits; negative where the model errs.
        slope: the constrained slope there, in logits per unit of the norm.
    """

    index: int
    label: str
    length: tuple[float, ...]
    margin: tuple[float, ...]
    slope: tuple[float, ...]
    reason: str

    @property
    def falls(self) -> float | None:
        """The length at which the margin is first negative, None if it never is."""
        return next((s for s, m in zip(self.length, self.margin, strict=True) if m < 0), None)


def tracks(
    report: Report, model: Any, x: Tensor, y: Tensor, budget: Budget
) -> tuple[tuple[Track, ...], list[Candidates]]:
    """Follow a few samples, one of each group, along curves of maximal slope of their margins.

    The second of the pair holds the points of least margin on them, which may be errors that an evaluation missed.

    A semi-implicit flow in the norm of the budget, inside budget and box, with steps of eps / 24 until the length
    eps; the margin z_label - z_rival is the energy that goes down.

    Source: arXiv:2406.05376, section 4.
    """
    rows = list(dict.fromkeys(own[0] for _, _, own in chosen(report)))
    if report.effort.runs[0].blind or not rows:
        return (), []
    index = torch.tensor(rows, device=x.device)
    eps = per_row(budget.take(index).eps, x[index])
    index, eps = index[eps > 0], eps[eps > 0]
    rows = index.tolist()
    if not rows:
        return (), []
    own, labels = budget.take(index), y[index].long()
    energy = Loss(Network(model), labels, Margin()).within(own.around(x[index]))
    scheme = SemiImplicit(tau=eps.double() / _STEPS, space=budget.motion)
    curve = flow(energy, x[index], scheme=scheme, until=Steps(_STEPS))
    least = curve.margin.nan_to_num(torch.inf).argmin(0)
    points = curve.points[least, torch.arange(len(rows), device=least.device)]
    found = tuple(
        Track(
            int(report.table["index"][row]),
            report.about.name(int(labels[k])),
            length=tuple(curve.time[:, k].tolist()),
            margin=tuple(curve.margin[:, k].tolist()),
            slope=tuple(curve.slope[:, k].tolist()),
            reason=curve.reasons()[k],
        )
        for k, row in enumerate(rows)
    )
    return found, [Candidates(rows, points, "a curve of maximal slope")]
