"""The robust risk: the loss at the worst input each budget allows, as an energy of the particles."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from maxslope._rows import choose
from maxslope.energies import Energy, Evaluation
from maxslope.energies.base import plain
from maxslope.loop import Driver, Rows, Stop, march
from maxslope.odenet.design import Design
from maxslope.odenet.misfit import Misfit
from maxslope.odenet.risk import Risk
from maxslope.odenet.settings import whole
from maxslope.odenet.sweep import sweep
from maxslope.schemes import Constant, Cosine, Explicit, StepSize
from maxslope.schemes.steps import by_row
from maxslope.sets import Budget, Set
from maxslope.spaces import Lp

_REACH = 10.0  # steps in radii: fixed points of projected steps do not depend on it


@dataclass(frozen=True, eq=False)
class Worst(Energy):
    """E(x) = -l(z(x; theta), y), of rows of inputs: what an adversary of one network ``[L, m, p]`` lowers."""

    design: Design
    theta: Tensor
    y: Tensor
    misfit: Misfit

    def evaluate(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`; the gradient is the costate at depth 0."""
        with torch.no_grad():
            both = sweep(self.design)
            features, trace = both.forward(self.theta, self.design.enter(x))
            loss, slope = self.misfit.both(self.design.leave(features), self.y)
            costate = both.backward(self.theta, trace, self.design.leave_back(slope), None)
            return plain(-loss, -self.design.enter_back(costate).reshape(x.shape))

    def look(self, x: Tensor) -> Evaluation:
        with torch.no_grad():
            features, _ = sweep(self.design).forward(self.theta, self.design.enter(x))
            return plain(-self.misfit.both(self.design.leave(features), self.y)[0])

    def take(self, index: Tensor) -> Worst:
        return replace(self, y=self.y[index])


class _Seek(Driver):
    """All rows at once for a number of steps; keeps the best point of each, and neither curve nor slopes."""

    def __init__(self, energy: Worst, domain: Set, x: Tensor, steps: int) -> None:
        self.energy, self.domain, self.steps = energy, domain, steps
        self.best, self.end = x.clone(), x.clone()
        self.value = x.new_full(x.shape[:1], torch.inf)
        self.waiting = True

    def admit(self, room: int) -> tuple[Tensor, Tensor] | None:
        if not self.waiting:
            return None
        self.waiting = False
        return torch.arange(len(self.best), device=self.best.device), self.domain.project(self.best)

    def problem(self, job: Tensor) -> tuple[Energy, Set]:
        whole = job.numel() == len(self.best)
        return (self.energy, self.domain) if whole else (self.energy.take(job), self.domain.take(job))

    def limit(self, job: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full_like(job, self.steps), by_row(torch.inf, job)

    def observe(self, rows: Rows, evaluation: Evaluation, domain: Set) -> None:
        better = evaluation.value < self.value[rows.job]
        self.value[rows.job] = torch.where(better, evaluation.value, self.value[rows.job])
        self.best[rows.job] = choose(better, rows.x, self.best[rows.job])

    def report(self, ended: Rows, status: Tensor) -> None:
        self.end[ended.job] = ended.x


@dataclass(frozen=True, eq=False)
class RobustRisk(Energy):
    """J(theta) = (1/N) sum_n max { l(z(x; theta), y_n) : x in K(x_n) } + lambda |theta|^2 / (2 L m).

    The maximum is sought by the flow of -l in input space. In l_2 its projected steps are long and come to rest exactly
    where the loss is stationary on K; in other norms they get shorter and shorter. The gradient is that of the risk at
    the maximizers found (Danskin), so it is exact as far as they are; :meth:`gap` says how far.

    J has a kink where an input has two maximizers. The squared loss seeks such kinks: once z fits y, outputs too large
    and too small are equally bad, and the flow comes to a ridge on which no step dissipates as it should. The logistic
    and the softmax loss fall with the margin alone, and stay smooth as long as z is nearly affine on K.

    Args:
        risk: the risk at clean inputs.
        budget: K, such as ``L2(0.1, box=None)`` in the units of the inputs.
        steps: of the inner flow, at least 1. Maximizers in the sphere of an l_2 ball are approached linearly.

    Raises:
        ValueError: if there are no steps.

    Source: Danskin, SIAM J. Appl. Math. 14 (1966); arXiv:2406.05376 (the inner flow); arXiv:1706.06083 (the risk).

    >>> from maxslope import L2
    >>> from maxslope.odenet import Design, Risk, Squared, iid
    >>> design = Design(1, 1, 1)
    >>> risk = Risk(design, torch.ones(1, 1), torch.tensor([1.5]), Squared())
    >>> RobustRisk(risk, L2(0.5, box=None)).look(torch.zeros(1, 2, 2, 3)).value  # z = x: the worst input is 0.5
    tensor([0.5000])
    """

    risk: Risk
    budget: Budget
    steps: int = 12

    def __post_init__(self) -> None:
        if not whole(self.steps, 1):
            raise ValueError(f"The inner flow takes at least one step, got steps={self.steps}.")

    def evaluate(self, x: Tensor) -> Evaluation:
        parts = [self._at(theta).evaluate(theta[None]) for theta in x]
        return Evaluation(*map(torch.cat, zip(*parts, strict=True)))

    def look(self, x: Tensor) -> Evaluation:
        return plain(torch.cat([self._at(theta).look(theta[None]).value for theta in x]))

    def take(self, index: Tensor) -> RobustRisk:
        """See :class:`Energy`; every row has the same data."""
        return self

    @property
    def passes(self) -> int:
        """See :class:`Energy`; forward and backward passes of each datum."""
        return self.steps + 2

    def worst(self, theta: Tensor) -> Tensor:
        """Return the worst inputs found for particles ``[L, m, p]``, the shape of the inputs."""
        clean = self.risk.x.to(theta)
        energy, domain = self._adversary(theta), self.budget.around(clean)
        seek = _Seek(energy, domain, clean, self.steps)
        march(seek, Explicit(self._tau(), self.budget.norm), stop=Stop(), room=len(clean))
        # where the last step is as good as the best, it is the one that has converged
        value = energy.look(seek.end).value
        return choose(value <= seek.value + 1e-14 * value.abs(), seek.end, seek.best)

    def _tau(self) -> StepSize:
        """Long steps where the ball is round, so that they come to rest; else ever shorter ones, as on an edge."""
        eps = torch.as_tensor(self.budget.eps)
        if self.budget.norm == Lp(2):
            return Constant(_REACH * eps)
        return Cosine(2 * eps, self.steps)

    def gap(self, theta: Tensor) -> Tensor:
        """Return the linear gap at the worst inputs, ``[N]``: the linearized loss rises no more in the budget."""
        worst = self.worst(theta)
        xi = self._adversary(theta).evaluate(worst).gradient
        return self.budget.around(self.risk.x.to(theta)).gap(xi, worst)

    def _adversary(self, theta: Tensor) -> Worst:
        return Worst(self.risk.design, theta, self.risk.targets(theta), self.risk.misfit)

    def _at(self, theta: Tensor) -> Risk:
        self.risk.design.check(theta)
        return self.risk.at(self.worst(theta))
