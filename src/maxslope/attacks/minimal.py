"""The smallest perturbation of each sample, and with it robust accuracy at every eps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maxslope._rows import column
from maxslope.attacks._plan import SHORTEST, way_of, ways
from maxslope.attacks._pursuit import Pursuit
from maxslope.attacks.effort import Effort
from maxslope.attacks.task import Tally, Task, prepare
from maxslope.energies import Margin
from maxslope.sets import BallBox, Box, Budget
from maxslope.sets.budget import Bounds
from maxslope.spaces import Lp, Space

_HALVINGS = 4
_SEGMENT = 0.03  # the last part of the segment to the clean point, searched by halving


@dataclass(frozen=True)
class Depth:
    """How many gradients :func:`minimal` spends on each sample.

    Args:
        passes: at least 4.

    Raises:
        ValueError: if there are fewer than 4.

    >>> Depth.quick().passes
    33
    """

    passes: int = 100

    def __post_init__(self) -> None:
        if self.passes != int(self.passes) or self.passes < 4:
            raise ValueError(f"A smallest perturbation needs an integer of at least 4 passes, got {self.passes!r}.")

    @classmethod
    def quick(cls) -> Depth:
        """Return 33 gradients a sample."""
        return cls(33)

    @classmethod
    def standard(cls) -> Depth:
        """Return the default, 100 gradients a sample."""
        return cls(100)

    @classmethod
    def exhaustive(cls) -> Depth:
        """Return 500 gradients a sample."""
        return cls(500)


@dataclass(frozen=True, eq=False)
class MinimalResult:
    """The smallest perturbations that were found, one entry per sample.

    Attributes:
        points: ``[rows, *shape]``, in the box: the nearest error found, or the clean point.
        norms: ``[rows]``, recomputed from ``points``: 0 where the clean point is an error, inf where none is known.
        found: ``[rows]`` bool, an error at ``points`` was confirmed by a forward pass of its own.
        margin: ``[rows]``, the logit margin at ``points``, of the label over its rivals, or of the rivals over the
            target: not positive where found.
        forward: forward passes, ``[rows]``.
        backward: backward passes, ``[rows]``.
    """

    points: Tensor
    norms: Tensor
    found: Tensor
    margin: Tensor
    forward: Tensor
    backward: Tensor

    def robust_accuracy_at(self, eps: float) -> float:
        """Return the share of samples without an error found within ``eps``.

        An upper bound of the robust accuracy, as every attack gives.

        Args:
            eps: not negative, in the units of the norm.

        Raises:
            ValueError: if eps is negative or NaN.
        """
        return float(self.security_curve([eps])[0])

    def security_curve(self, eps: Sequence[float] | Tensor) -> Tensor:
        """Return robust accuracy against eps, ``[k]``: the share of samples with norms > eps; it never rises with eps.

        Args:
            eps: ``[k]``, not negative, in the units of the norm.

        Raises:
            ValueError: if some eps is negative or NaN.
        """
        radii = torch.as_tensor(eps, dtype=torch.float64, device=self.norms.device)
        if not bool((radii >= 0).all()):
            raise ValueError(f"Every eps of a security curve must not be negative, got {radii.min().item()!r}.")
        return (self.norms.double() > radii.reshape(-1, 1)).double().mean(1)


def minimal(
    model: Any,
    x: Tensor,
    y: Tensor,
    norm: Space,
    *,
    box: Bounds | None = (0.0, 1.0),
    effort: Effort | Depth | None = None,
    targets: Tensor | None = None,
    mask: Tensor | None = None,
    ids: Tensor | None = None,
    seed: int = 0,
    batch_size: int | None = None,
) -> MinimalResult:
    """Look for the smallest perturbation that the model gets wrong.

        min { |z - x| : lo <= z <= hi, argmax model(z) != y }

    Flows of the margin in balls around each sample that close while the flow stays wrong; several runs per sample,
    from several starts and towards several classes; at the end a search on the segment to the clean point.

    Args:
        model: from inputs ``[rows, *shape]`` to logits ``[rows, classes]`` (or ``[rows]``, one-output binary models),
            in evaluation mode. Preprocessing belongs inside.
        x: clean inputs, ``[rows, *shape]``, in the box.
        y: labels, ``[rows]``.
        norm: what is small: any ``Lp(p)``, p in [1, inf], or ``Weighted(Lp(p), w)``.
        box: the range of valid inputs, numbers or tensors of the shape of a sample; None for no box.
        effort: how much to spend, a :class:`Depth` or the depth of an :class:`Effort`; by default
            ``Depth.standard()``.
        targets: ``[rows]``, classes to reach instead of leaving ``y``.
        mask: boolean, broadcastable to ``x``; coordinates where it is False may not move.
        ids: ``[rows]``, what random numbers are keyed by besides the seed; by default 0, 1, ...
        seed: of all random numbers.
        batch_size: rows per call of the model, padded, so that results do not depend on the company a sample keeps.

    Returns:
        A :class:`MinimalResult`. A sample costs at most ``effort.passes`` backward passes, and as many forward passes
        and 6 more: the clean point, 4 halvings, the verification. A clean point that is an error costs 1 forward pass.

    Raises:
        TypeError: for integer inputs, inputs or labels that are not tensors, floating-point labels, a norm that is no
            space, an effort that is no Depth.
        ValueError: for wrong shapes, empty or non-finite inputs, labels out of range, inputs outside the box, a model
            in a training mode that matters, a device or dtype that differs, a norm without exact sets.

    Source: arXiv:2406.05376, section 4 (the steps); the adaptive radius of arXiv:1811.09600 and arXiv:2102.12827.

    >>> import maxslope as ms
    >>> model = torch.nn.Linear(2, 2).eval()
    >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), model.bias.data.zero_()
    >>> result = minimal(model, torch.tensor([[0.7, 0.5]]), torch.tensor([0]), ms.Lp(1), effort=Depth(20))
    >>> round(float(result.norms[0]), 2), result.robust_accuracy_at(0.1)
    (0.2, 1.0)
    """
    if not isinstance(norm, Space):
        raise TypeError(f"The norm is a space such as Lp(2), got {norm!r}; minimal finds eps itself: no budget.")
    depth = Depth(effort.depth) if isinstance(effort, Effort) else Depth.standard() if effort is None else effort
    if not isinstance(depth, Depth):
        raise TypeError(f"The effort of minimal is an Effort or a Depth such as Depth(100), got {effort!r}.")
    budget = Budget(norm, 0.0, box)
    task = prepare(model, x, y, budget, targets=targets, mask=mask, ids=ids, seed=seed, batch_size=batch_size)
    allowed = Budget(Lp(2), 0.0, box).around(task.x, mask=mask)
    assert not isinstance(allowed, Box)
    return _run(task, allowed.box, depth)


def pursue(task: Task, passes: int) -> Tally:
    """Look for errors within the budget from outside it, on several ways, until one is found or the passes are spent.

    Where gradients mislead inside the budget, the boundary may still be found from outside and followed inwards. Which
    part of the boundary is found depends on where the way starts and towards which class it goes, more than on how
    long it lasts.

    Args:
        task: the samples, all classified correctly.
        passes: gradients a sample, at least 4.

    Returns:
        A :class:`Tally` of one run.
    """
    bounds = task.domain.box if isinstance(task.domain, BallBox) else task.domain
    assert isinstance(bounds, Box)
    # What a mask holds fast has equal bounds.
    allowed = Budget(Lp(2), 0.0, task.budget.box).around(task.x, mask=bounds.lo < bounds.hi)
    assert not isinstance(allowed, Box)
    rivals, _, finite = _rivals(task, task.network.all_logits(task.x))
    spent = torch.zeros_like(task.labels)
    inside, points = torch.zeros_like(finite), task.x.clone()
    for way, length in ways(max(passes, 4)):
        left = (finite & ~inside).nonzero().squeeze(1)
        if not left.numel():
            break
        lengths = torch.full_like(left, length)
        pursuit = Pursuit(task.take(left), allowed.box.take(left), rivals[left], finite[left], lengths, way)
        pursuit.go()
        spent[left] += pursuit.spent
        inside[left] = pursuit.best <= task.eps[left]
        points[left[inside[left]]] = pursuit.points[inside[left]]
    tally, found = Tally(task, 1), inside.nonzero().squeeze(1)
    tally.backward, tally.runs = spent, torch.ones_like(spent)
    tally.forward = spent + 1 + inside
    if found.numel():
        e = task.energy(found, Margin()).look(points[found])
        tally.broken[found] = e.reached & e.value.isfinite() & task.allowed(found, points[found])
        tally.unconfirmed[found] = (~tally.broken[found]).long()
        tally.best[found] = torch.where(tally.broken[found], e.margin, torch.inf)
    tally.points = torch.where(column(tally.broken, points), points, task.x)
    tally.executed = [int(tally.forward.sum()), int(tally.backward.sum())]
    return tally


def _rivals(task: Task, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The classes besides each label, strongest first, their logits, and whether all logits are finite."""
    others = logits.scatter(1, task.labels[:, None], -torch.inf)
    return others.argsort(dim=1, descending=True, stable=True)[:, :-1], others, logits.isfinite().all(1)


def _run(task: Task, box: Box, effort: Depth) -> MinimalResult:
    logits = task.network.all_logits(task.x)
    wrong = (logits.argmax(1) == task.labels) if task.targeted else (logits.argmax(1) != task.labels)
    rivals, others, finite = _rivals(task, logits)
    pursuit = Pursuit(task, box, rivals, ~wrong & finite, torch.full_like(task.labels, effort.passes))
    pursuit.go()
    _elsewhere(pursuit, effort.passes)
    forward = pursuit.spent + 1
    found = pursuit.best.isfinite()
    points = _halve(task, pursuit.points, found, forward)
    margin = others.amax(1) - logits.gather(1, task.labels[:, None]).squeeze(1)
    margin = margin if task.targeted else -margin
    index = found.nonzero().squeeze(1)
    if index.numel():
        e = task.energy(index, Margin()).look(points[index])
        forward[index] += 1
        inside = box.take(index).violation(points[index]) <= 0
        found[index] = e.reached & e.margin.isfinite() & inside
        margin[index] = torch.where(found[index], e.margin, margin[index])
    points = torch.where(column(found, points), points, task.x)
    norms = torch.where(found, task.budget.norm.distance(task.x, points), torch.inf)
    found = found | (wrong & finite)
    norms = norms.masked_fill(wrong & finite, 0.0)
    return MinimalResult(points, norms, found, margin, forward, pursuit.spent)


def _elsewhere(pursuit: Pursuit, passes: int) -> None:
    """Spend what is left of the passes of samples whose gradients misled the pursuit on other ways."""
    task, left = pursuit.task, passes - pursuit.spent
    left = torch.where(pursuit.misled() & (left >= SHORTEST), left, 0)
    number = 0
    while bool((left > 0).any()):
        rows = (left > 0).nonzero().squeeze(1)
        lengths = torch.tensor([ways(count)[0][1] for count in left[rows].tolist()], device=rows.device)
        other = Pursuit(
            task.take(rows), pursuit.box.take(rows), pursuit.rivals[rows], rows >= 0, lengths, way_of(number)
        )
        other.go()
        nearer = other.best < pursuit.best[rows]
        at = rows[nearer]
        pursuit.best[at], pursuit.points[at] = other.best[nearer], other.points[nearer]
        pursuit.spent[rows] += other.spent
        left[rows] -= lengths
        number += 1


def _halve(task: Task, points: Tensor, found: Tensor, forward: Tensor) -> Tensor:
    """Bring the errors found nearer along the segments to the clean points, by halving the last part of each."""
    index = found.nonzero().squeeze(1)
    if not index.numel():
        return points
    x, far, out = task.x[index], points[index], points.clone()
    low, high = torch.full_like(far.flatten(1)[:, 0], 1 - _SEGMENT), torch.ones_like(far.flatten(1)[:, 0])
    energy = task.energy(index, Margin())
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        z = x + column(middle, x) * (far - x)
        error = energy.look(z).reached
        forward[index] += 1
        out[index[error]] = z[error]
        high, low = torch.where(error, middle, high), torch.where(error, low, middle)
    return out
