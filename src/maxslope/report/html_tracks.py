"""Curves of maximal slope of a few samples of a page: how the model's margin falls along them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maxslope._rows import per_row
from maxslope.energies import Loss, Margin, Network
from maxslope.evaluation import Report
from maxslope.loop import Steps, flow
from maxslope.report.html_samples import chosen
from maxslope.report.merging import Candidates
from maxslope.schemes import SemiImplicit
from maxslope.sets import Budget

_STEPS = 24


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
    eps = per_row(budget.eps, x)[rows] if isinstance(budget.eps, Tensor) else per_row(budget.eps, x[rows])
    rows = [i for i, e in zip(rows, eps.tolist(), strict=True) if e > 0]
    if not rows or report.effort.runs[0].blind:
        return (), []
    index = torch.tensor(rows, device=x.device)
    own, labels = budget.take(index), y[index].long()
    eps = per_row(own.eps, x[index])
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
