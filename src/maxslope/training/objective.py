"""Objectives: the energies of weights that adversarial training lowers. One line in anyone's loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor

from maxslope import _checks
from maxslope._modes import bare, inference
from maxslope._rows import select
from maxslope.energies import Criterion, CrossEntropy, Network
from maxslope.energies.classifier import Divergence, OfOutputs
from maxslope.energies.network import Context, Model
from maxslope.goals import Goal, Misclassified
from maxslope.sets import Budget
from maxslope.training._inside import Batch, Inside, Ramp
from maxslope.training.adversary import Adversary
from maxslope.training.guard import Guard
from maxslope.training.inner import Inner


class Objective(ABC):
    """An energy of weights: ``loss = objective(model, x, y)`` is a scalar whose gradient trains the model.

    The adversary sees the model in evaluation mode (batch statistics frozen, dropout off, arXiv:2010.00467); only the
    forward pass of the loss itself runs in the mode the model is in, and only it updates running statistics. Afterwards
    every submodule has the mode it had. No weight receives a gradient before ``loss.backward()``.
    """

    inside: Inside  # made by each

    @torch.inference_mode(False)
    def __call__(
        self,
        model: Any,
        x: Tensor,
        y: Tensor,
        ids: Tensor | None = None,
        *,
        context: Context | Tensor = (),
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the loss, a scalar.

        Args:
            model: from inputs ``[rows, *shape]`` to logits; a module (also inside DistributedDataParallel) or a
                function.
            x: clean inputs, ``[rows, *shape]``, in the box.
            y: labels, ``[rows]``.
            ids: the index of each sample in its data set: what warm starts and random numbers are keyed by.
            context: a tensor or a tuple of tensors, one row a sample, that the model gets after the inputs.
            mask: boolean, of the shape of a sample or of ``x``; coordinates where it is False may not move.
        """
        x = _checks.points(x)
        _checks.mask(mask)
        given = _checks.context(context, len(x), x.device)
        return self.loss(model, Batch(x, self.inside.goal.labels(y, x), ids, given, mask))

    @abstractmethod
    def loss(self, model: Any, batch: Batch) -> Tensor:
        """Return the loss of a checked batch, a scalar."""

    @property
    def spent(self) -> dict[str, int]:
        """Samples seen, and forward and backward passes of the inner flows and of the guard's looks, in rows."""
        return dict(self.inside.spent)

    @property
    def condition(self) -> dict[str, float]:
        """The radius at the next call as a share of the budget's, and ratio and alarms of the guard."""
        watch = self.inside.watch
        return {"radius": self.inside.scale, "ratio": watch.ratio, "alarms": watch.alarms}

    def fresh(self) -> Self:
        """Return the same objective, at the same point of its curriculum, that remembers nothing and has no guard."""
        other = copy(self)
        other.inside = self.inside.again()
        return other

    def state(self) -> dict[str, Any]:
        """Return what is remembered, for a checkpoint."""
        return self.inside.state()

    def restore(self, state: dict[str, Any], device: torch.device | None = None) -> None:
        """Take back what ``state`` returned, on a device."""
        self.inside.restore(state, device)


@dataclass(frozen=True, eq=False)
class InnerLoss(OfOutputs):
    """E(x) = -l(h(x), y), as :class:`maxslope.energies.Loss`, but no goal is asked for, and no margin."""

    model: Model | Network
    labels: Tensor
    criterion: Criterion
    goal: Goal = field(default_factory=Misclassified)
    context: Context = ()

    def take(self, index: Tensor) -> InnerLoss:
        context = tuple(select(t, index) for t in self.context)
        return replace(self, labels=self.labels[index], context=context)

    def from_outputs(self, outputs: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """See :class:`OfOutputs`; there is no goal."""
        value = -self.goal.risk(self.criterion, outputs, self.labels[rows])
        return value, value.detach(), torch.zeros_like(value, dtype=torch.bool)


class AdversarialRisk(Objective):
    """The adversarial risk (1 - c) mean l(h(x~), y) + c mean l(h(x), y), x~ what the adversary finds.

    Args:
        adversary: an :class:`Adversary`, or a budget, which stands for ``Pointwise(budget)``.
        criterion: l, raised by the adversary and lowered by the weights.
        clean: c in [0, 1), the share of the clean risk; 0 makes no pass for it.
        ramp: the curriculum on eps.
        guard: against catastrophic overfitting.
        seed: of random starts, keyed by (seed, sample id, call).
        goal: what counts as an error, of which the criterion is taken; see ``Goal.risk``. By default another class.

    Raises:
        TypeError: if the adversary is neither a budget nor an adversary.
        ValueError: if ``clean`` is not in [0, 1).

    Source: arXiv:1706.06083, equation (2.1).

    >>> import maxslope as ms
    >>> net = torch.nn.Linear(2, 2)
    >>> loss = AdversarialRisk(ms.Linf(0.1))(net, torch.rand(4, 2), torch.tensor([0, 1, 0, 1]))
    >>> loss.requires_grad, loss.shape, net.weight.grad
    (True, torch.Size([]), None)
    """

    def __init__(
        self,
        adversary: Adversary | Budget,
        *,
        criterion: Criterion | None = None,
        clean: float = 0.0,
        ramp: Ramp | None = None,
        guard: Guard | None = None,
        seed: int = 0,
        goal: Goal | Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        if not 0 <= clean < 1:
            raise ValueError(f"The share of the clean risk is in [0, 1), got clean={clean!r}; train plainly for 1.")
        self.criterion: Criterion = criterion or CrossEntropy()
        self.clean = clean
        self.inside = Inside(adversary, ramp, guard, seed, goal)

    def loss(self, model: Any, batch: Batch) -> Tensor:
        net, goal = bare(model), self.inside.goal
        with inference(net):
            network = self.inside.network(net, batch)
            found = self.inside.find(net, InnerLoss(network, batch.y, self.criterion, goal, batch.context), batch)
        moved = batch.answers(model, found)
        loss = goal.risk(self.criterion, moved, batch.y[found.rows]).mean()
        if self.clean == 0:
            return loss
        at_clean = goal.clean_risk(self.criterion, batch.answers(model), batch.y).mean()
        return (1 - self.clean) * loss + self.clean * at_clean


class Trades(Objective):
    """TRADES: mean l(h(x), y) + beta mean KL(h(x) || h(x~)), x~ the adversary's maximizer of the divergence.

    Args:
        adversary: an :class:`Adversary`, or a budget, which stands for two steps from a random start, later from where
            the sample's last flow ended. The clean point is stationary for the divergence, and the linear gap says
            nothing near it: give an ``Inner`` a random start and no tolerance.
        beta: weight of the divergence, positive; 6 in the source for CIFAR-10, 1 and 6 in its tables.
        ramp: the curriculum on eps.
        guard: against catastrophic overfitting.
        seed: of random starts.
        goal: what the answers are; see ``Goal.divergence``. By default logits of classes.

    Raises:
        ValueError: if ``beta`` is not positive.

    Source: arXiv:1901.08573, equation (5).

    >>> import maxslope as ms
    >>> Trades(ms.L2(0.5)).beta
    6.0
    """

    def __init__(
        self,
        adversary: Adversary | Budget,
        *,
        beta: float = 6.0,
        ramp: Ramp | None = None,
        guard: Guard | None = None,
        seed: int = 0,
        goal: Goal | Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        if not beta > 0:
            raise ValueError(f"TRADES needs beta > 0, got beta={beta!r}; for beta 0 train plainly.")
        self.beta = beta
        self.inside = Inside(adversary, ramp, guard, seed, goal, Inner(adapt=True))

    def loss(self, model: Any, batch: Batch) -> Tensor:
        """See :class:`Objective`; one forward pass more, for the answers that the adversary moves away from."""
        net, goal = bare(model), self.inside.goal
        with inference(net):
            network = self.inside.network(net, batch)
            reference = network.all_outputs(batch.x, batch.context)
            found = self.inside.find(net, Divergence(network, reference, goal, batch.context), batch)
            self.inside.spent["forward"] += batch.x.shape[0]
        clean, moved = batch.answers(model), batch.answers(model, found)
        rest = goal.divergence(clean[found.rows], moved).mean()
        return goal.clean_risk(CrossEntropy(), clean, batch.y).mean() + self.beta * rest
