"""Attack samples within a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maxslope import _checks
from maxslope._rows import choose
from maxslope._status import Status
from maxslope.attacks.effort import Effort
from maxslope.attacks.finish import LEFT
from maxslope.attacks.indicators import Findings
from maxslope.attacks.question import Question, ask
from maxslope.attacks.recipes import Recipe
from maxslope.attacks.search import Certificate, Search, certificate
from maxslope.attacks.stages import Stage
from maxslope.attacks.state import Counts, State
from maxslope.attacks.verify import verify
from maxslope.energies.network import Context, Passes
from maxslope.goals import Goal
from maxslope.realize import Realization
from maxslope.sets import Budget


@dataclass(frozen=True, eq=False)
class AttackResult:
    """What an attack found, one entry per sample.

    Attributes:
        points: ``[rows, *shape]``, inside ball and box: where ``broken``, the point that breaks the sample; elsewhere
            the point of least margin that was seen.
        broken: ``[rows]`` bool, recomputed from ``points`` by a forward pass of its own.
        margin: ``[rows]``, the logit margin at ``points``: negative where broken (for targets: positive until the
            target wins).
        rate: ``[rows]``, the share of answers at ``points`` at which the adversary has won: 0 or 1, unless the model
            is :class:`Randomized`.
        certificate: how the margin may still fall near ``points``; see :attr:`gap`, :attr:`slope`, :attr:`local_gap`.
        distance: ``[rows]``, the norm of ``points - x``.
        non_finite: ``[rows]`` bool, some run met NaN or infinity and the sample is not broken.
        unconfirmed: ``[rows]``, runs that met an error which the verification did not confirm (a model that is random).
        status: ``[rows]`` of :class:`Status`, why the last run ended.
        chance: ``[rows]``, what the stopping rule last thought of another run; at most the rule's threshold where it
            gave up.
        foreseen: ``[rows]``, how many finds it foresaw from all runs of a sample but the first two, made or broken off
            by an error: the sum of its chances before each. What was found beside it says how far to believe it.
        counts: what it cost: passes and runs of each sample, and passes of whole calls; see :class:`Counts`.
        effort: what was done; pass it again to replay it without probes.
        stages: which of its stages were made of some sample, the probes among them; see ``maxslope.attacks.stages``.
        findings: what the indicators said, if they were asked.
    """

    points: Tensor
    broken: Tensor
    margin: Tensor
    rate: Tensor
    certificate: Certificate
    distance: Tensor
    non_finite: Tensor
    unconfirmed: Tensor
    status: Tensor
    chance: Tensor
    foreseen: Tensor
    counts: Counts
    effort: Effort
    stages: tuple[Stage, ...]
    findings: Findings | None

    @property
    def gap(self) -> Tensor:
        """The linear gap max { <grad m, x - z> : z allowed } of the margin m at ``points``, ``[rows]``.

        To first order no allowed point lowers the margin by more. NaN where broken or not certified.
        """
        return self.certificate.gap

    @property
    def slope(self) -> Tensor:
        """The constrained slope of the margin at ``points``, ``[rows]``, in logits per unit of the norm.

        0 exactly at first-order stationary points. NaN where broken or not certified.
        """
        return self.certificate.slope

    @property
    def local_gap(self) -> Tensor:
        """By how much allowed steps from ``points`` within a tenth of eps may lower the margin, ``[rows]``.

        To first order and kinks included: by how much they lower the largest of the linear forms of all gradients seen
        there (within the share of the stage ``Bundle``). NaN where broken or where it was not looked for: only samples
        that nearly fell have gradients gathered, and only by efforts with that stage.
        """
        return self.certificate.local_gap

    @property
    def local_minimum(self) -> Tensor:
        """Where ``points`` are local minima to first order, kinks included: ``local_gap`` below 1 % of the margin."""
        return self.local_gap <= LEFT * self.margin

    @property
    def forward(self) -> Tensor:
        """Forward passes, ``[rows]``."""
        return self.counts.forward

    @property
    def backward(self) -> Tensor:
        """Backward passes, ``[rows]``."""
        return self.counts.backward

    @property
    def runs(self) -> Tensor:
        """Runs made, ``[rows]``."""
        return self.counts.runs

    @property
    def executed(self) -> Passes:
        """Forward and backward passes of whole calls, in rows; see :class:`Counts`."""
        return self.counts.executed

    @property
    def inspected(self) -> int:
        """The forward passes among them of the look at the model before the attack."""
        return self.counts.inspected

    def reasons(self) -> list[str]:
        """Return one sentence per sample on why its last run ended."""
        return [Status(int(s)).sentence for s in self.status]


@torch.inference_mode(False)
def attack(
    model: Any,
    x: Tensor,
    y: Tensor,
    budget: Budget,
    *,
    effort: Effort | None = None,
    recipe: Recipe | None = None,
    restarts: int = 1,
    goal: Goal | Callable[[Tensor, Tensor], Tensor] | None = None,
    targets: Tensor | None = None,
    context: Context | Tensor = (),
    mask: Tensor | None = None,
    realize: Realization | Callable[[Tensor], Tensor] | None = None,
    ids: Tensor | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    certify: bool = True,
    probe: bool = False,
) -> AttackResult:
    """Look for points in the budget that the model gets wrong.

    Follows curves of maximal slope of E(x) = -loss(model(x), y) + chi_K(x), K the ball of the budget and its box.

    Args:
        model: from inputs ``[rows, *shape]`` to logits ``[rows, classes]`` (or ``[rows]``, one-output binary models),
            in evaluation mode. Preprocessing belongs inside.
        x: clean inputs, ``[rows, *shape]``, in the box.
        y: labels, ``[rows]``.
        budget: such as ``Linf(8 / 255)``; its eps may differ by sample.
        effort: the runs of each sample; by default ``Effort.standard()``.
        recipe: one named attack instead of an effort, such as ``recipes.pgd(40)``.
        restarts: runs of ``recipe``.
        goal: what counts as an error, one of ``maxslope.goals`` or a function ``margin(outputs, y) -> [rows]``; by
            default another class than ``y`` being the largest.
        targets: ``[rows]``, classes to reach: short for ``goal=goals.Targeted(targets)``.
        context: a tensor or a tuple of tensors, one row a sample, that the model gets after the inputs.
        mask: boolean, of the shape of a sample or of ``x``; coordinates where it is False may not move.
        realize: what a point becomes before it counts, such as ``realize.Grid(256)``; see ``maxslope.realize``.
        ids: ``[rows]``, what random numbers are keyed by besides the seed; by default 0, 1, ... Give the index in the
            data set to get the same numbers for a sample in any batch.
        seed: of all random numbers.
        batch_size: rows per call of the model, always exactly that many (missing rows are padding), so that results
            do not depend on the company a sample keeps; by default chosen by the size of a sample.
        certify: spend one more forward and backward pass on each sample that is not broken, for gap and slope.
        probe: ask the indicators whether these verdicts deserve trust, on a small part of the samples (their passes are
            in ``findings``), and let pursuit from outside and random search follow, as the effort's stages say, where
            they do not: after the first runs where a look from outside says so, otherwise after all. Where kinks
            mislead plain runs, an ``OutsideProbe`` with a weight lets all samples follow a heavier rule. A sample that
            has not enough passes left under a limit is not probed.

    Returns:
        An :class:`AttackResult`. A run of n steps costs n backward and n + 1 forward passes, its verification included.

    Raises:
        TypeError: for integer inputs, inputs or labels that are not tensors, floating-point labels, a mask that is not
            boolean, a budget, an effort or a recipe that is none.
        ValueError: for wrong shapes, empty or non-finite inputs, labels out of range, inputs outside the box, a model
            in a training mode that matters, a device or dtype that differs, a recipe beside an effort, restarts below 1
            or without a recipe.

    Source: arXiv:2406.05376, sections 3 and 4.

    >>> import maxslope as ms
    >>> model = torch.nn.Linear(2, 2).eval()
    >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), model.bias.data.zero_()
    >>> result = ms.attack(model, torch.tensor([[0.7, 0.4]]), torch.tensor([0]), ms.Linf(0.2))
    >>> result.broken
    tensor([True])
    """
    chosen = chosen_effort(effort, recipe, restarts)
    question = ask(
        model, x, y, budget, goal=goal, targets=targets, context=context, mask=mask, realize=realize, ids=ids,
        seed=seed, batch_size=batch_size,
    )  # fmt: skip
    return answer(question, chosen, certify=certify, probe=probe)


def chosen_effort(effort: Effort | None, recipe: Recipe | None, restarts: int) -> Effort:
    """Return the effort that effort, recipe and restarts stand for."""
    if recipe is not None and effort is not None:
        raise ValueError("Give a recipe or an effort, not both; Effort((recipe, ...)) makes an effort of recipes.")
    _checks.effort(effort, Effort)
    if recipe is not None and not isinstance(recipe, Recipe):
        raise TypeError(f"The recipe is a Recipe, got {recipe!r}; call its maker, such as recipes.pgd(steps=40).")
    if restarts < 1 or (restarts > 1 and recipe is None):
        raise ValueError(f"restarts must be at least 1, and more only with a recipe that they repeat, got {restarts}.")
    return Effort((recipe,) * restarts, recipe.name) if recipe is not None else effort or Effort.standard()


def answer(question: Question, chosen: Effort, *, certify: bool, probe: bool) -> AttackResult:
    """Return what an effort finds; see :func:`attack`."""
    search = Search(question, chosen, probe=probe)
    search.go()
    known, effort = search.known, search.effort
    moved = _put_inside(question, known)
    found = _certified(question, known, effort, moved) if certify else Certificate.none(known)
    points = _handed_back(question, known)
    rate = known.broken.to(question.x.dtype)
    if question.votes > 1:
        rate = verify(question, torch.arange(question.rows, device=points.device), known.points).rate
        known.forward += question.votes
    return AttackResult(
        points=points,
        broken=known.broken,
        margin=known.best,
        rate=rate,
        certificate=found,
        distance=question.budget.norm.distance(question.x, points),
        non_finite=known.non_finite & ~known.broken,
        unconfirmed=known.unconfirmed,
        status=known.status,
        chance=known.prospect.chance,
        foreseen=known.prospect.foreseen,
        counts=known.counts(question),
        effort=effort,
        stages=tuple(search.made),
        findings=search.findings,
    )


def _put_inside(question: Question, known: State) -> Tensor:
    """Move points that rounding left outside of their sets; return which these are, ``[rows]`` bool."""
    if question.realize is not None:  # they are points of the search, and not handed back
        return torch.zeros_like(known.broken)
    before, known.points = known.points, question.domain.inside(known.points)
    return (known.points != before).flatten(1).any(1)


def _certified(question: Question, known: State, effort: Effort, moved: Tensor) -> Certificate:
    """The certificate of the points that stand; those that were moved have another margin, which is asked for."""
    found = certificate(question, known, effort, moved)
    rows = (moved & ~known.broken & found.gap.isnan() & known.best.isfinite()).nonzero().squeeze(1)
    if rows.numel():
        seen = verify(question, rows, known.points[rows])
        known.best[rows], known.broken[rows] = seen.margin, seen.broken
        known.status[rows[seen.broken]] = int(Status.REACHED)
        known.count(rows, question.votes, 0)
    return found


def _handed_back(question: Question, known: State) -> Tensor:
    """The points as they count; where no realized one is allowed, the clean one is what there is."""
    if question.realize is None:
        return known.points
    points = question.realized(known.points, question.x, question.domain)
    return choose(question.domain.contains(points), points, question.x)
