"""Objectives: the energies of weights that adversarial training lowers. One line in anyone's loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maxslope import _checks
from maxslope.energies import Criterion, CrossEntropy, Energy, Network
from maxslope.energies.divergence import Divergence, divergence
from maxslope.energies.network import Model
from maxslope.goals.classes import as_logits
from maxslope.sets import Budget
from maxslope.training._loss import InnerLoss, loss_of
from maxslope.training._modes import bare, inference
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


class Objective(ABC):
    """An energy of weights: ``loss = objective(model, x, y)`` is a scalar whose gradient trains the model.

    The adversary sees the model in evaluation mode (batch statistics frozen, dropout off, arXiv:2010.00467); only the
    forward pass of the loss itself runs in the mode the model is in, and only it updates running statistics. Afterwards
    every submodule has the mode it had. No weight receives a gradient before ``loss.backward()``.
    """

    @property
    @abstractmethod
    def spent(self) -> dict[str, int]:
        """Samples seen, and forward and backward passes of the inner flows and of the guard's looks, in rows."""

    @abstractmethod
    def __call__(self, model: Any, x: Tensor, y: Tensor, ids: Tensor | None = None) -> Tensor:
        """Return the loss, a scalar.

        Args:
            model: from inputs ``[rows, *shape]`` to logits; a module (also inside DistributedDataParallel) or a
                function.
            x: clean inputs, ``[rows, *shape]``, in the box.
            y: labels, ``[rows]``.
            ids: the index of each sample in its data set: what warm starts and random numbers are keyed by.
        """

    @abstractmethod
    def fresh(self) -> Objective:
        """Return the same objective, at the same point of its curriculum, that remembers nothing."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return what is remembered, for a checkpoint."""

    @abstractmethod
    def restore(self, state: dict[str, Any], device: torch.device | None = None) -> None:
        """Take back what ``state`` returned, on a device."""

    @property
    @abstractmethod
    def condition(self) -> dict[str, float]:
        """The radius at the next call as a share of the budget's, and ratio and alarms of the guard."""


class _Inside:
    """What every objective has inside: an adversary, its memory, a curriculum, a guard, counts."""

    def __init__(self, adversary: Adversary, ramp: Ramp | None, guard: Guard | None, seed: int) -> None:
        if not isinstance(adversary, Adversary):
            raise TypeError(
                f"The adversary is a Budget such as Linf(8 / 255) or an Adversary such as Pointwise, got {adversary!r}."
            )
        self.adversary, self.ramp, self.seed = adversary, ramp, seed
        self.memory, self.watch = Memory(), Watch(guard)
        self.clock = 0
        self.inspected: list[bool] = []  # whether outputs were looked at: at the first call, not at each
        self.spent = {"samples": 0, "forward": 0, "backward": 0, "guard forward": 0, "guard backward": 0}

    def find(self, net: Any, energy: Energy, x: Tensor, y: Tensor, ids: Tensor | None) -> Perturbed:
        """Return the points of this call, and advance the clock."""
        places = torch.arange(x.shape[0], device=x.device) if ids is None else ids.to(x.device)
        scale = 1.0 if self.ramp is None else self.ramp.at(self.clock)
        more = self.watch.more(self.clock)
        known = None if ids is None else places
        cold, draw = self.clock < self.watch.until, (self.seed, self.clock)
        problem = Problem(net, energy, x, y, known, places, draw, scale, more, cold, self.memory, "0")
        found = self.adversary.perturb(problem)
        if self.watch.look(problem, self.adversary, found, self.clock):
            self.memory.forget()
        self.clock += 1
        added = (x.shape[0], found.forward, found.backward, *self.watch.spent)
        self.watch.spent = [0, 0]
        self.spent = {k: v + a for (k, v), a in zip(self.spent.items(), added, strict=True)}
        return found

    def network(self, net: Any, x: Tensor, y: Tensor) -> Network:
        """Return the model, which at the first call is asked whether it is what a search assumes."""
        network = Network(net)
        if not self.inspected:
            self.inspected.append(True)
            outputs, _ = network.inspect(x)
            self.spent["forward"] += network.executed[0]
            _checks.logits(outputs, outputs.shape[0])
            _checks.classes(int(y.max()), as_logits(outputs).shape[1])
        return network

    def again(self) -> _Inside:
        """The same without memory, and without a guard."""
        other = _Inside(self.adversary, self.ramp, None, self.seed)
        other.clock = self.clock
        other.memory.numbers = dict(self.memory.numbers)
        return other

    def state(self) -> dict[str, Any]:
        return {
            "clock": self.clock,
            "spent": dict(self.spent),
            "memory": self.memory.state(),
            "watch": self.watch.state(),
        }

    def restore(self, state: dict[str, Any], device: torch.device | None) -> None:
        self.clock, self.spent = int(state["clock"]), dict(state["spent"])
        self.memory.restore(state["memory"], device)
        self.watch.restore(state["watch"])
        self.inspected = [True] * bool(self.clock)  # a run that goes on has looked at its model


class _Stateful(Objective):
    """What objectives share besides their formula; ``inside`` and ``_copy`` are set by each."""

    inside: _Inside

    @property
    def spent(self) -> dict[str, int]:
        """See :class:`Objective`."""
        return dict(self.inside.spent)

    @property
    def condition(self) -> dict[str, float]:
        """See :class:`Objective`."""
        radius = 1.0 if self.inside.ramp is None else self.inside.ramp.at(self.inside.clock)
        return {"radius": radius, "ratio": self.inside.watch.ratio, "alarms": self.inside.watch.alarms}

    def state(self) -> dict[str, Any]:
        """See :class:`Objective`."""
        return self.inside.state()

    def restore(self, state: dict[str, Any], device: torch.device | None = None) -> None:
        """See :class:`Objective`."""
        self.inside.restore(state, device)


class AdversarialRisk(_Stateful):
    """The adversarial risk (1 - c) mean l(h(x~), y) + c mean l(h(x), y), x~ what the adversary finds.

    Args:
        adversary: an :class:`Adversary`, or a budget, which stands for ``Pointwise(budget)``.
        criterion: l, raised by the adversary and lowered by the weights.
        clean: c in [0, 1), the share of the clean risk; 0 makes no pass for it.
        ramp: the curriculum on eps.
        guard: against catastrophic overfitting.
        seed: of random starts, keyed by (seed, sample id, call).

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
    ) -> None:
        if not 0 <= clean < 1:
            raise ValueError(f"The share of the clean risk is in [0, 1), got clean={clean!r}; train plainly for 1.")
        self.criterion: Criterion = criterion or CrossEntropy()
        self.clean = clean
        self.inside = _Inside(Pointwise(adversary) if isinstance(adversary, Budget) else adversary, ramp, guard, seed)

    @torch.inference_mode(False)
    def __call__(self, model: Any, x: Tensor, y: Tensor, ids: Tensor | None = None) -> Tensor:
        """See :class:`Objective`."""
        x, y = _checked(x, y)
        found = self.points(model, x, y, ids)
        loss = self._mean(model, found.points, y[found.rows])
        return loss if self.clean == 0 else (1 - self.clean) * loss + self.clean * self._mean(model, x, y)

    def points(self, model: Any, x: Tensor, y: Tensor, ids: Tensor | None = None) -> Perturbed:
        """Return what the adversary finds, and remember it."""
        net = bare(model)
        with inference(net):
            return self.inside.find(net, InnerLoss(self.inside.network(net, x, y), y, self.criterion), x, y, ids)

    def fresh(self) -> AdversarialRisk:
        """See :class:`Objective`."""
        other = AdversarialRisk(self.inside.adversary, criterion=self.criterion, clean=self.clean)
        other.inside = self.inside.again()
        return other

    def _mean(self, model: Any, x: Tensor, y: Tensor) -> Tensor:
        return loss_of(self.criterion, _answers(model)(x), y).mean()


class Trades(_Stateful):
    """TRADES: mean l(h(x), y) + beta mean KL(h(x) || h(x~)), x~ the adversary's maximizer of the divergence.

    Args:
        adversary: an :class:`Adversary`, or a budget, which stands for two steps from a random start, later from where
            the sample's last flow ended. The clean point is stationary for the divergence, and the linear gap says
            nothing near it: give an ``Inner`` a random start and no tolerance.
        beta: weight of the divergence, positive; 6 in the source for CIFAR-10, 1 and 6 in its tables.
        ramp: the curriculum on eps.
        guard: against catastrophic overfitting.
        seed: of random starts.

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
    ) -> None:
        if not beta > 0:
            raise ValueError(f"TRADES needs beta > 0, got beta={beta!r}; for beta 0 train plainly.")
        self.beta = beta
        away = Inner(adapt=True)
        wrapped = Pointwise(adversary, away) if isinstance(adversary, Budget) else adversary
        self.inside = _Inside(wrapped, ramp, guard, seed)

    @torch.inference_mode(False)
    def __call__(self, model: Any, x: Tensor, y: Tensor, ids: Tensor | None = None) -> Tensor:
        """See :class:`Objective`; one forward pass more, for the answers that the adversary moves away from."""
        x, y = _checked(x, y)
        net = bare(model)
        with inference(net):
            network = self.inside.network(net, x, y)
            energy = Divergence(network, as_logits(network.all_outputs(x)))
            found = self.inside.find(net, energy, x, y, ids)
            self.inside.spent["forward"] += x.shape[0]
        clean, moved = _answers(model)(x), _answers(model)(found.points)
        return CrossEntropy()(clean, y, y).mean() + self.beta * divergence(clean[found.rows], moved).mean()

    def fresh(self) -> Trades:
        """See :class:`Objective`."""
        other = Trades(self.inside.adversary, beta=self.beta)
        other.inside = self.inside.again()
        return other


def _answers(model: Any) -> Model:
    """The model's logits, in full precision where autocast has halved it: losses are differences of large numbers."""

    def logits(x: Tensor) -> Tensor:
        out = as_logits(model(x.clone()))
        return out.float() if out.dtype in (torch.float16, torch.bfloat16) else out

    return logits


def _checked(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    x = _checks.points(x)
    return x, _checks.labels(y, x)
