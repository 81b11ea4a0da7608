"""What is asked: samples, a goal, an allowed set, and how a point becomes one of the world."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from maxslope import _checks
from maxslope._rows import select
from maxslope.criteria import Criterion
from maxslope.energies import Energy, Loss, Network, PerRow, Randomized
from maxslope.energies.network import Context
from maxslope.goals import Goal, Misclassified, Targeted, as_goal
from maxslope.realize import Realization, Realized, as_realization
from maxslope.sets import Budget, Set


@dataclass(frozen=True, eq=False)
class Question:
    """Samples, and what is asked about each."""

    network: Network  # the model, in tiles
    x: Tensor  # clean points, [n, *shape]
    y: Tensor  # [n, ...]; for most goals class numbers, the classes to leave, or with Targeted to reach
    goal: Goal  # what the adversary wants
    context: Context  # what the model gets after the points, row for row
    realize: Realization | None  # what a point becomes before it counts; None for the point itself
    budget: Budget  # norm, eps and box
    domain: Set  # the allowed sets, row for row
    eps: Tensor  # [n]
    ids: Tensor  # [n] int64, what random numbers are keyed by
    seed: int  # likewise
    inspected: int  # forward passes of the look at the model before anything else, in rows
    clean: Tensor | None = None  # [m, 2], labels and answers of the clean samples of which these are some

    @property
    def rows(self) -> int:
        """Number of samples."""
        return self.x.shape[0]

    def energy(
        self, samples: Tensor, criterion: PerRow | Criterion, rivals: Tensor | None = None, domain: Set | None = None
    ) -> Energy:
        """Return the energy of the given samples under a criterion; ``domain`` holds other allowed sets of theirs."""
        context = tuple(select(t, samples) for t in self.context)
        loss = Loss(self.network, self.y[samples], criterion, rivals, self.goal, context)
        if self.realize is None:
            return loss
        own = self.domain.take(samples) if domain is None else domain
        return Realized(loss, self.realize, own, select(self.x, samples))

    def realized(self, points: Tensor, x: Tensor, domain: Set) -> Tensor:
        """Return what points become in the world, for clean points ``x`` and their allowed sets, row for row."""
        return points if self.realize is None else self.realize(points, x, domain)

    def outputs(self, samples: Tensor, x: Tensor) -> Tensor:
        """Return the model's outputs at points of the given samples, ``[k, ...]``, as the goal knows them.

        Of a random model these are means over its draws.
        """
        context = tuple(select(t, samples) for t in self.context)
        out = self.network.all_outputs(x, context)
        return self.goal.outputs(out.reshape(x.shape[0], self.draws, *out.shape[1:]).mean(1))

    @property
    def votes(self) -> int:
        """Answers of the model that a verdict rests on: 1, unless it is random."""
        return replace(self.network, voting=True).answers

    @property
    def draws(self) -> int:
        """Answers of the model at each point of the search: 1, unless it is random."""
        return self.network.answers

    def take(self, index: Tensor) -> Question:
        """Return the question about the samples ``index``."""
        return replace(
            self,
            x=select(self.x, index),
            y=self.y[index],
            context=tuple(select(t, index) for t in self.context),
            budget=self.budget.take(index),
            domain=self.domain.take(index),
            eps=self.eps[index],
            ids=self.ids[index],
        )


def ask(
    model: Any,
    x: Tensor,
    y: Tensor,
    budget: Budget,
    *,
    goal: Any = None,
    targets: Tensor | None = None,
    context: Any = (),
    mask: Tensor | None = None,
    realize: Any = None,
    ids: Tensor | None = None,
    seed: int = 0,
    batch_size: int | None = None,
) -> Question:
    """Check everything, and return the question."""
    _checks.budget(budget, Budget)
    x = _checks.points(x)
    goal = wanted(goal, targets)
    labels = goal.labels(y, x)
    context = _checks.context(context, x.shape[0], x.device)
    eps = budget.radius(x).to(x.dtype)
    budget.bounds(x)
    _checks.in_box(x, budget.box)
    _checks.model(model.model if isinstance(model, Randomized) else model, x)
    _checks.ids(ids, x)
    _checks.batch_size(batch_size)
    network = Network(model, batch_size or tile_for(x))
    realization = as_realization(realize)
    realized = None if realization is None else realization.within(budget.box, x.shape[1:])
    domain = budget.around(x, mask=mask)
    outputs, rows = network.inspect(x, context, logits=goal.logits)
    goal.check_all(outputs, rows, labels)
    return Question(
        network=network,
        x=x,
        y=labels,
        goal=goal,
        context=context,
        realize=realized,
        budget=budget,
        domain=domain,
        eps=eps,
        ids=torch.arange(x.shape[0], device=x.device) if ids is None else ids.to(x.device),
        seed=seed,
        inspected=network.executed.forward,
    )


def wanted(goal: Any, targets: Tensor | None) -> Goal:
    """Return the goal that a goal and targets, of which one may be given, stand for."""
    if targets is None:
        return Misclassified() if goal is None else as_goal(goal)
    if goal is not None:
        raise ValueError("Give a goal or targets, not both: targets=t is short for goal=goals.Targeted(t).")
    return Targeted(targets)


def tile_for(x: Tensor) -> int:
    """Rows per call of the model, from the size of a sample and the kind of device alone.

    On a processor larger calls are hardly faster, and calls that are not full cost less at the end.

    >>> tile_for(torch.zeros(1, 1, 28, 28))
    16
    """
    size = x.shape[1:].numel()
    tile = max([8, *(rows for rows in (16, 32, 64) if rows * size <= 98304)])
    return min(tile, 16) if x.is_cpu else 8 * tile


def calls_for(question: Question) -> int:
    """Calls of the model per step of the pool: 256 rows, if they are small, share the cost of its bookkeeping.

    >>> import maxslope as ms
    >>> x, y = torch.rand(2, 1, 28, 28), torch.tensor([0, 1])
    >>> calls_for(ask(lambda x: 9 * x.flatten(1)[:, :2], x, y, ms.Linf(0.1)))
    16
    """
    rows = min(256, (1 << 20) // max(question.x.shape[1:].numel(), 1))
    return max(4, rows // (question.network.tile or tile_for(question.x)))
