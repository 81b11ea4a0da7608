"""Adversaries of a training step: they map a batch to the points at which the weights are trained."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from maxslope import _random
from maxslope._rows import choose, per_row, take
from maxslope.attacks import Recipe, attack
from maxslope.attacks.starts import Origin
from maxslope.energies import Energy
from maxslope.energies.network import Context
from maxslope.goals import Goal, Misclassified
from maxslope.schemes import SemiImplicit
from maxslope.sets import Budget
from maxslope.training.inner import Ascent, Inner
from maxslope.training.memory import Memory


class Problem(NamedTuple):
    """What an adversary may know of a training step.

    Attributes:
        net: the model, in evaluation mode.
        energy: minus the loss that is raised, row for row.
        x: clean points, ``[rows, *shape]``.
        y: labels, ``[rows]``.
        ids: which samples these are, ``[rows]``; None where nobody knows, and then nothing is remembered.
        places: what random numbers are keyed by, ``[rows]`` int64: the ids, or the rows of the batch.
        draw: (seed, clock), likewise.
        scale: what every radius is multiplied by (a curriculum).
        more: gradients a sample on top of what the adversary would spend (a remedy).
        cold: whether what is remembered is to be ignored.
        memory: of samples.
        slot: the name of this adversary in the memory.
        goal: what counts as an error.
        context: what the model gets after the points, row for row.
        mask: what may move; None for everything.
    """

    net: Any
    energy: Energy
    x: Tensor
    y: Tensor
    ids: Tensor | None
    places: Tensor
    draw: tuple[int, int]
    scale: float
    more: int
    cold: bool
    memory: Memory
    slot: str
    goal: Goal = Misclassified()
    context: Context = ()
    mask: Tensor | None = None

    @property
    def key(self) -> Tensor:
        """What random numbers of each row are drawn with, ``[rows]`` int64, from (seed, sample id, clock)."""
        seed, clock = self.draw
        return _random.keys(seed, self.places, clock)

    def take(self, index: Tensor) -> Problem:
        """Return the problem of the rows ``index``."""
        ids = None if self.ids is None else self.ids[index]
        x, y, places = self.x[index], self.y[index], self.places[index]
        context = tuple(t[index] for t in self.context)
        mask = self.mask if self.mask is None or self.mask.ndim < x.ndim else take(self.mask, index)
        energy = self.energy.take(index)
        return self._replace(energy=energy, x=x, y=y, ids=ids, places=places, context=context, mask=mask)


class Perturbed(NamedTuple):
    """What an adversary found.

    Attributes:
        points: ``[m, *shape]``.
        rows: ``[m]``, the row of the batch each point belongs to.
        forward: forward passes, in rows.
        backward: backward passes, in rows.
    """

    points: Tensor
    rows: Tensor
    forward: int
    backward: int


class Adversary(ABC):
    """Looks for points near a batch at which the loss is large. Frozen: what it remembers is in the memory."""

    @abstractmethod
    def perturb(self, problem: Problem) -> Perturbed:
        """Return points of the budget; the model is in evaluation mode, and no gradient reaches a weight."""


@dataclass(frozen=True, eq=False)
class Pointwise(Adversary):
    """Everyone has the same budget: max { l(h(z), y) : |z - x| <= eps }, a flow for each sample.

    This is the adversary in W_inf: its risk is the average of pointwise suprema.

    Args:
        budget: such as ``Linf(8 / 255)``, one eps for all.
        inner: how much is spent on a sample.

    Raises:
        ValueError: if the budget has an eps per sample, which a batch cannot be matched with.

    Source: arXiv:1706.06083, equation (2.1); arXiv:2406.05376, section 5 (W_inf).

    >>> from maxslope import Linf
    >>> Pointwise(Linf(0.1)).inner.steps
    2
    """

    budget: Budget
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        if not isinstance(self.budget, Budget):
            raise TypeError(f"The budget is a Budget such as Linf(8 / 255), got {self.budget!r}.")
        if isinstance(self.budget.eps, Tensor) and self.budget.eps.ndim:
            raise ValueError(
                f"An adversary of training has one eps, got {tuple(self.budget.eps.shape)} of them; batches change."
            )

    def perturb(self, problem: Problem) -> Perturbed:
        x = problem.x
        budget, inner = _scaled(self.budget, problem.scale), self.inner
        eps, domain = per_row(budget.eps, x), budget.around(x, mask=problem.mask)
        if problem.more:
            inner = replace(inner, steps=inner.steps + problem.more)
        start, scale = self._start(problem, budget, eps)
        climb = Ascent(problem.energy, domain, domain.project(start), eps, scale, inner).go(
            lambda tau: SemiImplicit(tau, budget.motion)
        )
        if problem.ids is not None and self.inner.warm and not problem.cold:
            problem.memory.keep(problem.slot, problem.ids, climb.points - x, climb.scale.to(x.dtype), eps)
        spent = int(climb.spent.sum())
        return Perturbed(climb.points, torch.arange(x.shape[0], device=x.device), spent, spent)

    def _start(self, problem: Problem, budget: Budget, eps: Tensor) -> tuple[Tensor, Tensor]:
        """Where each row starts and how long its steps are: as remembered, or as the rules say."""
        x, warm = problem.x, None
        if problem.ids is not None and self.inner.warm and not problem.cold:
            warm = problem.memory.recall(problem.slot, problem.ids, x, eps)
            if bool(warm.known.all()):
                return x + warm.offset, warm.scale
        key = problem.key if self.inner.start.draws else problem.places
        start = self.inner.start.points(Origin(x, eps, budget, key, x, x))
        if warm is None:
            return start, torch.ones_like(eps)
        return choose(warm.known, x + warm.offset, start), torch.where(warm.known, warm.scale, 1.0)


@dataclass(frozen=True, eq=False)
class ByRecipe(Adversary):
    """Any named attack: what ``maxslope.attack`` returns for a recipe, verified and counted.

    Points of samples that did not break are those of least margin. Costs more than :class:`Pointwise` for the same
    steps (verdicts are verified), and stops at the first error.

    Args:
        budget: such as ``L1(12.0)``.
        recipe: such as ``recipes.pgd(10)``.

    >>> from maxslope import L2, recipes
    >>> ByRecipe(L2(0.5), recipes.fgsm()).recipe.name
    'FGSM'
    """

    budget: Budget
    recipe: Recipe

    def perturb(self, problem: Problem) -> Perturbed:
        x = problem.x
        budget = _scaled(self.budget, problem.scale)
        recipe = replace(self.recipe, steps=self.recipe.steps + problem.more)
        found = attack(
            problem.net, x, problem.y, budget, goal=problem.goal, context=problem.context, mask=problem.mask,
            recipe=recipe, ids=problem.key, batch_size=x.shape[0], certify=False,
        )  # fmt: skip
        rows = torch.arange(x.shape[0], device=x.device)
        return Perturbed(found.points, rows, int(found.forward.sum()), int(found.backward.sum()))


@dataclass(frozen=True, eq=False)
class _Several(Adversary):
    """Adversaries, each with a slot of its own in the memory."""

    adversaries: Sequence[Adversary]

    def __post_init__(self) -> None:
        if not self.adversaries or not all(isinstance(a, Adversary) for a in self.adversaries):
            raise ValueError(
                f"A mixture needs at least one adversary such as Pointwise(Linf(0.1)), got {self.adversaries!r}."
            )

    def _found(self, problem: Problem) -> list[Perturbed]:
        return [self._asked(k, problem) for k in range(len(self.adversaries))]

    def _asked(self, k: int, problem: Problem) -> Perturbed:
        return self.adversaries[k].perturb(problem._replace(slot=f"{problem.slot}.{k}"))


@dataclass(frozen=True, eq=False)
class Worst(_Several):
    """The worst of several adversaries, sample by sample: max over budgets of the loss.

    Args:
        adversaries: of any kinds and budgets.

    Source: arXiv:1904.13000, section 3 (the max strategy).
    """

    def perturb(self, problem: Problem) -> Perturbed:
        """See :class:`Adversary`; one forward pass more for each adversary."""
        found = self._found(problem)
        best, worst = found[0].points, problem.energy.look(found[0].points).value
        for other in found[1:]:
            value = problem.energy.look(other.points).value
            best, worst = choose(value < worst, other.points, best), torch.minimum(value, worst)
        forward = sum(f.forward + f.points.shape[0] for f in found)
        return Perturbed(best, found[0].rows, forward, sum(f.backward for f in found))


@dataclass(frozen=True, eq=False)
class Each(_Several):
    """All of several adversaries: the weights see every sample once for each, the risk is their average.

    Args:
        adversaries: of any kinds and budgets.

    Source: arXiv:1904.13000, section 3 (the average strategy).
    """

    def perturb(self, problem: Problem) -> Perturbed:
        found = self._found(problem)
        points, rows = torch.cat([f.points for f in found]), torch.cat([f.rows for f in found])
        return Perturbed(points, rows, sum(f.forward for f in found), sum(f.backward for f in found))


@dataclass(frozen=True, eq=False)
class Drawn(_Several):
    """One of several adversaries for each sample, drawn afresh at every step by (seed, sample id, step).

    A mixture at the price of one adversary.

    Args:
        adversaries: of any kinds and budgets.
        shares: how often each is drawn; equally often by default.

    Raises:
        ValueError: if the shares are not one nonnegative number for each adversary, with a positive sum.
    """

    shares: Sequence[float] | None = None

    def __post_init__(self) -> None:
        _Several.__post_init__(self)
        shares = self.shares or [1.0] * len(self.adversaries)
        if len(shares) != len(self.adversaries) or min(shares) < 0 or not math.fsum(shares) > 0:
            raise ValueError(
                f"Drawn needs one share >= 0 for each of its {len(self.adversaries)} adversaries, and a positive sum, "
                f"got {self.shares!r}."
            )

    def perturb(self, problem: Problem) -> Perturbed:
        shares = torch.tensor(self.shares or [1.0] * len(self.adversaries), dtype=torch.float64)
        edges = (shares.cumsum(0) / shares.sum()).to(problem.x.device)
        lot = _random.uniform(_random.keys(_random.ADVERSARY, problem.key), (1,))[:, 0]
        choice = torch.searchsorted(edges, lot).clamp_max(len(edges) - 1)
        points, forward, backward = problem.x.clone(), 0, 0
        for k in range(len(edges)):
            index = (choice == k).nonzero().squeeze(1)
            if index.numel():
                found = self._asked(k, problem.take(index))
                points[index[found.rows]] = found.points
                forward, backward = forward + found.forward, backward + found.backward
        return Perturbed(points, torch.arange(points.shape[0], device=points.device), forward, backward)


def _scaled(budget: Budget, scale: float) -> Budget:
    """The budget with ``scale`` times its radius; itself where nothing changes, so that nothing is checked again."""
    return budget if scale == 1 else Budget(budget.norm, budget.eps * scale, budget.box)
