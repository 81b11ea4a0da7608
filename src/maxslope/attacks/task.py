"""What is attacked, and what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from maxslope import _checks
from maxslope._rows import flat, per_row, select
from maxslope._status import Status
from maxslope.energies import Criterion, Energy, Loss, Network, PerRow, TargetedLoss
from maxslope.sets import Budget, Set


@dataclass(frozen=True, eq=False)
class Task:
    """Samples to attack.

    Attributes:
        network: the model, in tiles.
        x: clean points, ``[n, *shape]``.
        labels: ``[n]``; the classes to leave, or with ``targeted`` the classes to reach.
        targeted: whether ``labels`` are targets.
        budget: norm, eps and box.
        domain: the allowed sets, row for row.
        eps: ``[n]``.
        ids: ``[n]`` int64, what random numbers are keyed by.
        seed: likewise.
    """

    network: Network
    x: Tensor
    labels: Tensor
    targeted: bool
    budget: Budget
    domain: Set
    eps: Tensor
    ids: Tensor
    seed: int

    def energy(self, samples: Tensor, criterion: PerRow | Criterion, rivals: Tensor | None = None) -> Energy:
        """Return the energy of the given samples under a criterion."""
        labels = self.labels[samples]
        if self.targeted:
            return TargetedLoss(self.network, labels, criterion)
        return Loss(self.network, labels, criterion, rivals)

    def take(self, index: Tensor) -> Task:
        """Return the task of the samples ``index``."""
        return replace(
            self,
            x=select(self.x, index),
            labels=self.labels[index],
            budget=self.budget.take(index),
            domain=self.domain.take(index),
            eps=self.eps[index],
            ids=self.ids[index],
        )

    def allowed(self, samples: Tensor, x: Tensor) -> Tensor:
        """Return whether points lie in their sets, up to 1e-6 eps and a few units in the last place, ``[rows]``."""
        size = flat(x).abs().amax(1).clamp_min(1)
        slack = 1e-6 * self.eps[samples] + 8 * torch.finfo(x.dtype).eps * size
        return self.domain.take(samples).violation(x) <= slack


class Run(NamedTuple):
    """The outcome of one run of one sample."""

    point: Tensor
    end: Tensor
    margin: float
    broken: bool
    unconfirmed: bool
    status: int
    forward: int
    backward: int


class Tally:
    """What is known of each sample. Every tensor is ``[n]``, ``[n, *shape]`` or ``[n, runs]``.

    Attributes:
        clean: the margin at the first point of the first run.
        best: the least margin seen, at ``points``.
        history: the least margin of each run, inf where it was not made.
        last: where the last run ended.
        chance: what the stopping rule last thought of another run.
        executed: forward and backward passes of whole calls, padding included.
    """

    def __init__(self, task: Task, runs: int) -> None:
        n, device = task.x.shape[0], task.x.device
        self.best = torch.full((n,), torch.inf, dtype=task.x.dtype, device=device)
        self.clean = torch.full_like(self.best, torch.nan)
        self.history = torch.full((n, runs), torch.inf, dtype=task.x.dtype, device=device)
        self.points = task.x.clone()
        self.last = self.points.clone()
        self.chance = torch.ones(n, dtype=torch.float64, device=device)
        self.broken = torch.zeros(n, dtype=torch.bool, device=device)
        self.non_finite = torch.zeros_like(self.broken)
        self.unconfirmed = torch.zeros(n, dtype=torch.int64, device=device)
        self.status = torch.full((n,), int(Status.RUNNING), dtype=torch.int64, device=device)
        self.forward = torch.zeros_like(self.status)
        self.backward = torch.zeros_like(self.status)
        self.runs = torch.zeros_like(self.status)
        self.executed = [0, 0]

    def settle(self, samples: Tensor, ended: Sequence[Run]) -> None:
        """Take over the outcomes of the next runs of different samples: their passes, least margins and verdicts."""
        points, ends, *columns = zip(*ended, strict=True)
        device = self.best.device
        margin = torch.tensor(columns[0], dtype=self.best.dtype, device=device)
        broken, doubtful, status, forward, backward = (torch.tensor(c, device=device) for c in columns[1:])
        self.forward[samples] += forward
        self.backward[samples] += backward
        self.history[samples, self.runs[samples]] = margin
        self.runs[samples] += 1
        self.last.index_copy_(0, samples, torch.stack(ends))  # copies rows whole, as an assignment by index does not
        self.status[samples] = status
        self.non_finite[samples] |= status == Status.NON_FINITE
        self.unconfirmed[samples] += doubtful
        better = broken | (margin < self.best[samples])
        self.best[samples[better]] = margin[better]
        self.points.index_copy_(0, samples[better], select(torch.stack(points), better))
        self.broken[samples] = broken

    def absorb(self, index: Tensor, other: Tally) -> None:
        """Take over what a later attack found on the samples ``index``, none of them broken before."""
        for name in ("forward", "backward", "runs", "unconfirmed"):
            getattr(self, name)[index] += getattr(other, name)
        better = other.broken | (other.best < self.best[index])
        self.best[index[better]], self.points[index[better]] = other.best[better], other.points[better]
        self.status[index[other.broken]] = int(Status.REACHED)
        self.broken[index] = other.broken
        self.non_finite[index] |= other.non_finite
        for k in (0, 1):
            self.executed[k] += other.executed[k]

    def count(self, samples: Tensor, tile: int | None, forward: int, backward: int) -> None:
        """Add passes made for samples outside of runs."""
        self.forward[samples] += forward
        self.backward[samples] += backward
        self.execute(samples.numel(), tile, forward, backward)

    def execute(self, rows: int, tile: int | None, forward: int, backward: int) -> None:
        """Add executed passes, in whole calls."""
        whole = rows if tile is None else -(-rows // tile) * tile
        self.executed[0] += forward * whole
        self.executed[1] += backward * whole


def prepare(
    model: Any,
    x: Tensor,
    y: Tensor,
    budget: Budget,
    *,
    targets: Tensor | None,
    mask: Tensor | None,
    ids: Tensor | None,
    seed: int,
    batch_size: int | None,
) -> Task:
    """Check everything and lay out the task."""
    _checks.budget(budget, Budget)
    x = _checks.points(x)
    labels = _checks.labels(y, x)
    if targets is not None:
        labels = _checks.labels(targets, x, "Targets")
    _checks.in_box(x, budget.box)
    _checks.model(model, x)
    _checks.eps_rows(budget.eps, x.shape[0])
    _checks.ids(ids, x)
    _checks.mask(mask)
    _checks.batch_size(batch_size)
    return Task(
        network=Network(model, batch_size or tile_for(x), int(labels.max())),
        x=x,
        labels=labels,
        targeted=targets is not None,
        budget=budget,
        domain=budget.around(x, mask=mask),
        eps=per_row(budget.eps, x),
        ids=torch.arange(x.shape[0], device=x.device) if ids is None else ids.to(x.device),
        seed=seed,
    )


def tile_for(x: Tensor) -> int:
    """Rows per call of the model, from the size of a sample and the kind of device alone.

    On a processor larger calls are hardly faster, and calls that are not full cost less at the end.

    >>> tile_for(torch.zeros(1, 1, 28, 28))
    16
    """
    size = max(x[0].numel(), 1)
    tile = max(8, min(64, 1 << (max(int(98304 / size), 1).bit_length() - 1)))
    return min(tile, 16) if x.device.type == "cpu" else 8 * tile


def calls_for(task: Task) -> int:
    """Calls of the model per step of the pool: 256 rows, if they are small, share the cost of its bookkeeping.

    >>> import maxslope as ms
    >>> x, y = torch.rand(2, 1, 28, 28), torch.tensor([0, 1])
    >>> options = {"targets": None, "mask": None, "ids": None, "seed": 0, "batch_size": None}
    >>> calls_for(prepare(lambda x: 9 * x.flatten(1)[:, :2], x, y, ms.Linf(0.1), **options))
    16
    """
    rows = min(256, (1 << 20) // max(task.x[0].numel(), 1))
    return max(4, rows // (task.network.tile or rows or 1))
