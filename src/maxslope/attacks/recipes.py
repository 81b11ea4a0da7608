"""Named attacks are data: a start, a criterion, a scheme and its steps.

attack(model, x, y, Linf(8 / 255), recipe=pgd(steps=40))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from maxslope.attacks.starts import Clean, Start, Uniform
from maxslope.energies import Criterion, CrossEntropy, Margin
from maxslope.schemes import Explicit, Momentum, RandomSearch, Scheme, SemiImplicit, StepSize, Swarm
from maxslope.sets import Budget
from maxslope.spaces import Lp, Space

MakeScheme = Callable[[StepSize, Space], Scheme]


@dataclass(frozen=True)
class Recipe:
    """One run: from ``start``, ``steps`` steps of ``scheme`` along minus the gradient of minus ``criterion``.

    Args:
        name: what reports call it.
        steps: gradient steps, at least 0.
        first: the first step, in units of eps.
        last: what the steps tend to along half a cosine wave, in units of eps; None keeps ``first`` throughout.
        start: where the run starts.
        criterion: what is raised.
        scheme: makes the scheme from step sizes and the norm of the motion.
        space: the norm of the motion; None for the norm of the budget, or of its exact steps.
        rival: 0 raises the strongest wrong class at each point; k >= 1 fixes the k-th strongest at the clean point.
        blind: whether only values are looked at; no backward pass is made.
        smoothing: how far the kinks of the model (ReLUs) are smoothed at first in the gradients that the run follows,
            in units of the root mean square of what enters a layer; see ``energies.Graduated``.

    Raises:
        ValueError: if ``steps``, ``first``, ``last``, ``rival`` or ``smoothing`` is negative, or the latter not finite.
    """

    name: str
    steps: int
    first: float
    last: float | None = None
    start: Start = field(default_factory=Clean)
    criterion: Criterion = field(default_factory=CrossEntropy)
    scheme: MakeScheme = Explicit
    space: Space | None = None
    rival: int = 0
    blind: bool = False
    smoothing: float = field(default=0.0, metadata={"added": "0.4"})

    def moves(self, budget: Budget) -> Space:
        """Return the norm of the motion in a budget; exact steps where its groups share a radius are made in l_inf."""
        return self.space or (budget.motion if self.scheme is SemiImplicit else budget.norm)

    def __post_init__(self) -> None:
        if self.steps < 0 or not self.first >= 0 or not (self.last is None or self.last >= 0) or self.rival < 0:
            raise ValueError(
                f"A recipe needs steps, first, last and rival >= 0, got steps={self.steps}, first={self.first}, "
                f"last={self.last}, rival={self.rival}."
            )
        if not 0 <= self.smoothing < math.inf:
            raise ValueError(f"Kinks are smoothed by a finite width of at least 0, got smoothing={self.smoothing!r}.")


def fgsm() -> Recipe:
    """Return one step of length eps: the fast gradient (sign) method, arXiv:1412.6572.

    >>> fgsm().steps
    1
    """
    return Recipe("FGSM", steps=1, first=1.0)


def ifgsm(steps: int = 10) -> Recipe:
    """Return the iterated method from the clean point with steps eps / steps, arXiv:1607.02533."""
    return Recipe("IFGSM", steps, _first(steps))


def pgd(
    steps: int = 40, step: float | None = None, *, start: Start | None = None, criterion: Criterion | None = None
) -> Recipe:
    """Return projected gradient descent with constant steps, arXiv:1706.06083.

    Args:
        steps: gradient steps.
        step: in units of eps; by default 2.5 / steps.
        start: by default uniform in the ball.
        criterion: by default cross-entropy.
    """
    first, start, criterion = _first(steps, 2.5, step), start or Uniform(), criterion or CrossEntropy()
    return Recipe("PGD", steps, first, start=start, criterion=criterion)


def momentum(steps: int = 10, decay: float = 1.0) -> Recipe:
    """Return MI-FGSM, arXiv:1710.06081: steps of eps / steps along an accumulated gradient."""
    return Recipe("MI-FGSM", steps, _first(steps), scheme=lambda tau, space: Momentum(Explicit(tau, space), decay))


def normalized_gradient(steps: int = 40, step: float | None = None) -> Recipe:
    """Return normalized gradient descent: the explicit scheme moving in l_2, whatever the norm of the budget."""
    return Recipe("NGD", steps, _first(steps, 2.5, step), space=Lp(2))


def coordinate(steps: int = 100, step: float | None = None) -> Recipe:
    """Return greedy coordinate ascent: exact linearized steps in l_1, each on the coordinates that pay most."""
    return Recipe("coordinate", steps, _first(steps, 5.0, step), scheme=SemiImplicit, space=Lp(1))


def square(queries: int = 1000) -> Recipe:
    """Return random search on windows, arXiv:1912.00049: values alone, at most ``queries`` + 1 forward passes.

    >>> square(500).blind
    True
    """
    return _by_values("random search", queries, lambda tau, space: RandomSearch(queries, space=space))


def swarm(queries: int = 1000, particles: int = 20) -> Recipe:
    """Return consensus-based search: values alone, at most ``queries`` + 1 forward passes."""
    return _by_values("consensus", queries, lambda tau, space: Swarm(queries, particles, space=space))


def _by_values(name: str, queries: int, scheme: MakeScheme) -> Recipe:
    return Recipe(name, queries, _first(queries), criterion=Margin(), scheme=scheme, blind=True)


def _first(steps: int, way: float = 1.0, step: float | None = None) -> float:
    """The first step in units of eps: all steps together make a way, unless the step is given."""
    return way / max(steps, 1) if step is None else step
