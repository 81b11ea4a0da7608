"""The smallest perturbation of each sample, and with it robust accuracy at every eps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from maxslope._rows import choose, column
from maxslope.attacks._plan import LEAST, SHORTEST
from maxslope.attacks._pursuit import Nearest, Pursuit, follow_ways
from maxslope.attacks.effort import Effort
from maxslope.attacks.outside import input_box, rivals_of
from maxslope.attacks.question import Question, ask
from maxslope.attacks.verify import clean, verify
from maxslope.energies import Margin
from maxslope.energies.network import Context, Passes
from maxslope.goals import Goal
from maxslope.realize import Realization
from maxslope.sets import Budget
from maxslope.sets.budget import Bounds
from maxslope.spaces import Space

_HALVINGS = 4
_SEGMENT = 3.0  # the part of the segment to the clean point that is searched by halving, in what the margin says of it
_LEAST, _MOST = 1e-4, 0.25  # of the segment


@dataclass(frozen=True, eq=False)
class MinimalResult:
    """The smallest perturbations that were found, one entry per sample.

    Attributes:
        points: ``[rows, *shape]``, in the box: the nearest error found, or the clean point.
        norms: ``[rows]``, recomputed from ``points``: 0 where the clean point is an error, inf where none is known.
        found: ``[rows]`` bool, an error at ``points`` was confirmed by a forward pass of its own.
        non_finite: ``[rows]`` bool, the model answered NaN or +infinity at the clean point or on the way, and no error
            was found: neither robust nor an error; norms are NaN.
        margin: ``[rows]``, that of the goal at ``points``: negative where found, NaN where not finite.
        forward: forward passes, ``[rows]``.
        backward: backward passes, ``[rows]``.
        executed: forward and backward passes of whole calls, in rows, padding and the look at the model included.
        inspected: the forward passes among them of the look at the model before the search.
    """

    points: Tensor
    norms: Tensor
    found: Tensor
    non_finite: Tensor
    margin: Tensor
    forward: Tensor
    backward: Tensor
    executed: Passes
    inspected: int

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
        return security_curve(self.norms, eps)


@torch.inference_mode(False)
def minimal(
    model: Any,
    x: Tensor,
    y: Tensor,
    norm: Space,
    *,
    box: Bounds | None = (0.0, 1.0),
    effort: Effort | None = None,
    goal: Goal | Callable[[Tensor, Tensor], Tensor] | None = None,
    targets: Tensor | None = None,
    context: Context | Tensor = (),
    mask: Tensor | None = None,
    realize: Realization | Callable[[Tensor], Tensor] | None = None,
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
        norm: what is small: any that a :class:`Budget` takes, such as ``Lp(p)`` with p in [1, inf],
            ``Weighted(Lp(p), w)`` or ``Mixed(Lp(r), Lp(p), axis)``.
        box: the range of valid inputs, numbers or tensors of the shape of a sample; None for no box.
        effort: its ``passes`` are spent on each sample, and at most its ``limit``; by default those of
            ``Effort.standard()``, 100. ``Effort(passes=n)`` says another number.
        goal: what counts as an error, one of ``maxslope.goals`` or a function ``margin(outputs, y) -> [rows]``; by
            default another class than ``y`` being the largest.
        targets: ``[rows]``, classes to reach: short for ``goal=goals.Targeted(targets)``.
        context: a tensor or a tuple of tensors, one row a sample, that the model gets after the inputs.
        mask: boolean, broadcastable to ``x``; coordinates where it is False may not move.
        realize: what a point becomes before it counts, such as ``realize.Grid(256)``; see ``maxslope.realize``.
        ids: ``[rows]``, what random numbers are keyed by besides the seed; by default 0, 1, ...
        seed: of all random numbers.
        batch_size: rows per call of the model, padded, so that results do not depend on the company a sample keeps.

    Returns:
        A :class:`MinimalResult`. A sample costs at most ``effort.passes`` backward passes, and as many forward passes
        and 6 more: the clean point, 4 halvings, the verification. A clean point that is an error costs 1 forward pass.

    Raises:
        TypeError: for integer inputs, inputs or labels that are not tensors, floating-point labels, a norm that is no
            space, an effort that is none.
        ValueError: for wrong shapes, empty or non-finite inputs, labels out of range, inputs outside the box, a model
            in a training mode that matters, a device or dtype that differs, a norm without exact sets.

    Source: arXiv:2406.05376, section 4 (the steps); the adaptive radius of arXiv:1811.09600 and arXiv:2102.12827.

    >>> import maxslope as ms
    >>> model = torch.nn.Linear(2, 2).eval()
    >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), model.bias.data.zero_()
    >>> result = minimal(model, torch.tensor([[0.7, 0.5]]), torch.tensor([0]), ms.Lp(1), effort=ms.Effort(passes=20))
    >>> round(float(result.norms[0]), 2), result.robust_accuracy_at(0.1)
    (0.2, 1.0)
    """
    if not isinstance(norm, Space):
        raise TypeError(f"The norm is a space such as Lp(2), got {norm!r}; minimal finds eps itself: no budget.")
    budget = Budget(norm, 0.0, box)
    question = ask(
        model, x, y, budget, goal=goal, targets=targets, context=context, mask=mask, realize=realize, ids=ids,
        seed=seed, batch_size=batch_size,
    )  # fmt: skip
    return approach(question, mask, effort)


def security_curve(norms: Tensor, eps: Sequence[float] | Tensor) -> Tensor:
    """Return robust accuracy against eps, ``[k]``: the share of norms ``[n]`` that are > eps; NaN is not.

    Raises:
        ValueError: if some eps is negative or NaN.

    >>> security_curve(torch.tensor([0.0, 0.25, torch.inf]), [0.0, 0.25, 9.0])
    tensor([0.6667, 0.3333, 0.3333], dtype=torch.float64)
    """
    radii = torch.as_tensor(eps, dtype=torch.float64, device=norms.device)
    if not bool((radii >= 0).all()):
        raise ValueError(f"Every eps of a security curve must not be negative, got {radii.min().item()!r}.")
    return (norms.double() > radii.reshape(-1, 1)).double().mean(1)


def _passes(effort: Effort | None, draws: int) -> int:
    """Gradients of a sample, each of which takes ``draws`` passes."""
    if effort is None:
        return Effort.standard().passes
    if not isinstance(effort, Effort):
        raise TypeError(f"The effort of minimal is an Effort such as Effort(passes=100), got {effort!r}.")
    passes = effort.passes if effort.limit is None else min(effort.passes, effort.limit // draws)
    if passes < LEAST:
        raise ValueError(f"A smallest perturbation needs at least {LEAST} passes, got an effort limited to {passes}.")
    return passes


def approach(question: Question, mask: Tensor | None, effort: Effort | None) -> MinimalResult:
    """Return what :func:`minimal` returns, of a question that is asked already, with eps = 0."""
    box, passes = input_box(question, mask), _passes(effort, question.draws)
    question = replace(question, domain=box)
    cleans = clean(question)
    wrong = ~cleans.right & ~cleans.non_finite
    lengths = torch.full_like(question.ids, passes)
    pursuit = Pursuit(question, box, rivals_of(question, cleans), cleans.right, lengths)
    pursuit.go()
    nearest, left = pursuit.nearest, passes - pursuit.nearest.spent
    misled = pursuit.misled() & (left >= SHORTEST)
    follow_ways(question, box, pursuit.rivals, left, nearest, lambda: misled)
    backward = question.draws * nearest.spent
    forward = backward + question.votes
    found = nearest.size.isfinite()
    points = _halve(question, nearest, found, forward)
    margin, size = cleans.margin.clone(), torch.full_like(cleans.margin, torch.inf)
    index = found.nonzero().squeeze(1)
    if index.numel():
        seen = verify(question, index, points[index])
        forward[index] += question.votes
        found[index], size[index], points[index] = seen.broken, seen.distance, seen.points
        margin[index] = torch.where(seen.broken, seen.margin, margin[index])
    non_finite = (cleans.non_finite | nearest.non_finite) & ~found
    norms = torch.where(found, size, torch.inf).masked_fill(wrong, 0.0).masked_fill(non_finite, torch.nan)
    return MinimalResult(
        points=choose(found, points, question.x),
        norms=norms,
        found=found | wrong,
        non_finite=non_finite,
        margin=margin,
        forward=forward,
        backward=backward,
        executed=question.network.executed.passes(),
        inspected=question.inspected,
    )


def _halve(question: Question, nearest: Nearest, found: Tensor, forward: Tensor) -> Tensor:
    """Bring the errors found nearer along the segments to the clean points, by halving the last part of each.

    That part is three times what lies beyond the boundary by the linear model at the point.
    """
    index = found.nonzero().squeeze(1)
    if not index.numel():
        return nearest.points
    x, far, out = question.x[index], nearest.points[index], nearest.points.clone()
    part = _SEGMENT * nearest.beyond[index] / nearest.size[index]
    low, high = 1 - part.clamp(_LEAST, _MOST).to(x.dtype), torch.ones_like(part, dtype=x.dtype)
    energy = question.energy(index, Margin())
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        z = x + column(middle, x) * (far - x)
        error = energy.look(z).reached
        forward[index] += question.draws
        out[index[error]] = z[error]
        high, low = torch.where(error, middle, high), torch.where(error, low, middle)
    return out
