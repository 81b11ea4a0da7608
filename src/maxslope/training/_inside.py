"""What every objective has inside: an adversary, its memory, a curriculum, a guard, counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maxslope.energies import Energy, Network
from maxslope.energies.network import Context
from maxslope.goals import Goal, Misclassified, as_goal
from maxslope.sets import Budget
from maxslope.training.adversary import Adversary, Perturbed, Pointwise, Problem
from maxslope.training.guard import Guard, Watch
from maxslope.training.inner import Inner
from maxslope.training.memory import Memory


@dataclass(frozen=True)
class Ramp:
    """A curriculum: the radius grows linearly from ``first`` to 1 times the budget's over the first calls.

    Args:
        calls: of the objective until the full radius.
        first: the factor at the start, in [0, 1].

    Raises:
        ValueError: if ``calls`` is negative or ``first`` is not in [0, 1].

    >>> Ramp(10).at(5)
    0.5
    """

    calls: int
    first: float = 0.0

    def __post_init__(self) -> None:
        if self.calls < 0 or not 0 <= self.first <= 1:
            raise ValueError(
                f"A ramp needs calls >= 0 and first in [0, 1], got calls={self.calls}, first={self.first}."
            )

    def at(self, clock: int) -> float:
        """Return the factor at a call."""
        return 1.0 if clock >= self.calls else self.first + (1 - self.first) * clock / self.calls


@dataclass(frozen=True, eq=False)
class Batch:
    """The samples of one call of an objective."""

    x: Tensor
    y: Tensor
    ids: Tensor | None
    context: Context
    mask: Tensor | None

    def answers(self, model: Any, found: Perturbed | None = None) -> Tensor:
        """The model's outputs at the clean points, or at those found, in full precision where autocast has halved it.

        Losses are differences of large numbers.
        """
        x, context = self.x, self.context
        if found is not None:
            x, context = found.points, tuple(t[found.rows] for t in context)
        out: Tensor = model(x.clone(), *context)
        return out.float() if out.dtype in (torch.float16, torch.bfloat16) else out


class Inside:
    """What every objective has inside: an adversary, its memory, a curriculum, a guard, counts."""

    def __init__(
        self, adversary: Adversary | Budget, ramp: Ramp | None, guard: Guard | None, seed: int,
        goal: Goal | Callable[..., Tensor] | None, inner: Inner | None = None,
    ) -> None:  # fmt: skip
        if isinstance(adversary, Budget):
            adversary = Pointwise(adversary, inner or Inner())
        if not isinstance(adversary, Adversary):
            raise TypeError(
                f"The adversary is a Budget such as Linf(8 / 255) or an Adversary such as Pointwise, got {adversary!r}."
            )
        self.adversary, self.ramp, self.seed, self.goal = adversary, ramp, seed, as_goal(goal or Misclassified())
        self.memory, self.watch = Memory(), Watch(guard)
        self.clock = 0
        self.inspected = False  # outputs are looked at in the first call, not in each
        self.spent = {"samples": 0, "forward": 0, "backward": 0, "guard forward": 0, "guard backward": 0}

    @property
    def scale(self) -> float:
        """The radius of the next call as a share of the budget's."""
        return 1.0 if self.ramp is None else self.ramp.at(self.clock)

    def find(self, net: Any, energy: Energy, batch: Batch) -> Perturbed:
        """Return the points of this call, and advance the clock."""
        x, ids = batch.x, batch.ids
        places = torch.arange(x.shape[0], device=x.device) if ids is None else ids.to(x.device)
        problem = Problem(
            net, energy, x, batch.y, None if ids is None else places, places, draw=(self.seed, self.clock),
            scale=self.scale, more=self.watch.more(self.clock), cold=self.clock < self.watch.until, memory=self.memory,
            slot="0", goal=self.goal, context=batch.context, mask=batch.mask,
        )  # fmt: skip
        found = self.adversary.perturb(problem)
        if self.watch.look(problem, self.adversary, found, self.clock):
            self.memory.forget()
        self.clock += 1
        added = (x.shape[0], found.forward, found.backward, *self.watch.spent)
        self.spent = {k: v + a for (k, v), a in zip(self.spent.items(), added, strict=True)}
        return found

    def network(self, net: Any, batch: Batch) -> Network:
        """Return the model, which at the first call is asked whether it is what a search assumes."""
        network = Network(net)
        if not self.inspected:
            self.inspected = True
            outputs, rows = network.inspect(batch.x, batch.context, logits=self.goal.logits)
            self.spent["forward"] += network.executed.forward
            self.goal.check_all(outputs, rows, batch.y)
        return network

    def again(self) -> Inside:
        """The same without memory, and without a guard."""
        other = Inside(self.adversary, self.ramp, None, self.seed, self.goal)
        other.clock = self.clock
        other.memory.numbers = dict(self.memory.numbers)
        return other

    def state(self) -> dict[str, Any]:
        kept = {"memory": self.memory.state(), "watch": self.watch.state()}
        return {"clock": self.clock, "spent": dict(self.spent)} | kept

    def restore(self, state: dict[str, Any], device: torch.device | None) -> None:
        self.clock, self.spent = int(state["clock"]), dict(state["spent"])
        self.memory.restore(state["memory"], device)
        self.watch.restore(state["watch"])
        self.inspected = self.clock > 0  # a run that goes on has looked at its model
