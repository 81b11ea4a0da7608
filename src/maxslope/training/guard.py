"""Against catastrophic overfitting: an indicator computed during training, and a remedy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope.training.adversary import Adversary, Perturbed, Problem
from maxslope.training.distributed import summed


@dataclass(frozen=True)
class Guard:
    """Compares, on a slice of the batch, the loss a training step sees with what a few cold steps more find.

    ratio = (0.1 + mean loss after ``steps`` more gradients from a cold start) / (0.1 + mean loss at the training's
    points).
    Where the training's steps find what there is to find it is near 1 (0.99 to 1.04 over a training with two warm steps
    on MNIST at 0.3). In catastrophic overfitting the weights learn to fool these steps, and accuracy under longer
    attacks falls to 0 (1.4 to 3.5 with single steps on the same data).

    The remedy: for the next ``hold`` calls everyone spends ``steps`` gradients more, from a cold start, and after that
    one gradient more than before for good, at most ``steps``: training moves from single steps towards many as far
    as the data demand.

    Args:
        every: calls of the objective between two looks.
        share: of the batch that is looked at, in (0, 1].
        steps: gradients more than the training spends, in the look and in the remedy.
        threshold: the ratio that sounds the alarm, above 1.
        hold: calls of the objective that the remedy lasts.

    Raises:
        ValueError: if a number is out of range.

    Source: arXiv:2001.03994, section 5 (the phenomenon); arXiv:2006.03089 (a few steps of PGD as the remedy);
    arXiv:2007.02617 (local linearity as the indicator).

    >>> Guard().threshold
    1.25
    """

    every: int = 20
    share: float = 0.25
    steps: int = 5
    threshold: float = 1.25
    hold: int = 40

    def __post_init__(self) -> None:
        if min(self.every, self.steps, self.hold) < 1 or not 0 < self.share <= 1 or not self.threshold > 1:
            raise ValueError(
                f"A guard needs every, steps, hold >= 1, a share in (0, 1] and a threshold > 1, got {self!r}."
            )


class Watch:
    """The state of a guard: what it last saw, since when the remedy is on, and how often the alarm rang."""

    def __init__(self, guard: Guard | None) -> None:
        self.guard = guard
        self.ratio = 1.0
        self.alarms = 0
        self.until = 0  # the call at which the remedy ends
        self.floor = 0  # gradients more for good
        self.spent = (0, 0)  # forward and backward passes of the last look, in rows

    def more(self, clock: int) -> int:
        """The gradients a sample spends on top, at this call."""
        return self.guard.steps if self.guard is not None and clock < self.until else self.floor

    def look(self, problem: Problem, adversary: Adversary, found: Perturbed, clock: int) -> bool:
        """Measure the ratio where it is time to; return whether the alarm rings."""
        guard = self.guard
        self.spent = (0, 0)
        if guard is None or clock % guard.every or clock < self.until:
            return False
        # By sample, not by place, so that the slice of a batch does not depend on how processes divide it.
        chosen = (problem.key & 0xFFFF) < guard.share * 0x10000
        index = chosen.nonzero().squeeze(1)
        total = torch.zeros(4, dtype=torch.float64, device=problem.x.device)
        if index.numel():
            mine = chosen[found.rows]
            part = problem.take(index)._replace(more=problem.more + guard.steps, cold=True)
            other = adversary.perturb(part)
            own = _loss(problem, found.rows[mine], found.points[mine])
            few = _loss(part, other.rows, other.points)
            total = torch.stack([own.sum(), own.new_tensor(own.numel()), few.sum(), few.new_tensor(few.numel())])
            self.spent = (other.forward + own.numel() + few.numel(), other.backward)
        a, n, b, m = summed(total).tolist()
        if not n:
            return False
        self.ratio = (b / m + 0.1) / (a / n + 0.1)
        if self.ratio <= guard.threshold:
            return False
        self.until = clock + 1 + guard.hold
        self.floor = min(self.floor + 1, guard.steps)
        self.alarms += 1
        return True

    def state(self) -> dict[str, float]:
        """Return what must be known to go on."""
        return {"ratio": self.ratio, "alarms": self.alarms, "until": self.until, "floor": self.floor}

    def restore(self, state: dict[str, float]) -> None:
        """Take back what ``state`` returned."""
        self.ratio, self.alarms = float(state["ratio"]), int(state["alarms"])
        self.until, self.floor = int(state["until"]), int(state["floor"])


def _loss(problem: Problem, rows: Tensor, points: Tensor) -> Tensor:
    return -problem.energy.take(rows).look(points).value.double()
