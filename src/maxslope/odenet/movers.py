"""One attempt at a step of the gradient flow x' = -G(x), with its own measure of how far it is from the flow."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from maxslope.odenet.probe import Probe, Spot
from maxslope.odenet.settings import whole
from maxslope.odenet.tableau import Tableau, plus


class Move(NamedTuple):
    """A step from a to b in time tau, seen as a curve y between them.

    Attributes:
        end: the energy at b.
        defect: D = int |y' + G(y)|^2 / 2 dt, what the step fails the energy dissipation equality by.
        drop: -int <G(y), y'> dt by quadrature: J(a) - J(b) without cancellation.
        way: the length of y.
        rate: -d log |dJ| / dt at a where it is a by-product, else NaN.
        solved: False where an inner problem was not.
        excess: of minimizing movements, left minus right side of De Giorgi's identity; NaN where not checked.
    """

    end: Spot
    defect: float
    drop: float
    way: float
    rate: float = math.nan
    solved: bool = True
    excess: float = math.nan


class Mover(ABC):
    """How a step is attempted.

    For any curve y, int |y'|^2/2 + |G(y)|^2/2 dt + J(b) - J(a) = int |y' + G(y)|^2 / 2 dt >= 0: the defect is a sum of
    squares without cancellation, additive over steps.

    Attributes:
        order: the power of tau in defect over drop; with order above 2 in time the Hermite interpolant limits it to 4.
        safety: what the estimated defect is multiplied by to bound the true one.
        stiff: whether ``move`` needs the largest eigenvalue of the Hessian.
        rates: whether ``rate`` is a by-product of a step.

    Source: arXiv:2311.15365 (curve of maximal slope); the identity is the chain rule.
    """

    order: ClassVar[int]
    safety: ClassVar[float] = 1.0
    stiff: ClassVar[bool] = False
    rates: ClassVar[bool] = False

    def longest(self, stiffness: float) -> float:
        """Return the longest step worth an attempt."""
        return math.inf

    @abstractmethod
    def move(self, probe: Probe, here: Spot, tau: float, stiffness: float) -> Move:
        """Return the attempt; ``stiffness`` is 0 where it is not needed."""


@dataclass(frozen=True)
class ExplicitEuler(Mover):
    """X+ = x - tau G(x), y affine: one gradient. D = (tau / 6) |G(b) - G(a)|^2."""

    order: ClassVar[int] = 2
    rates: ClassVar[bool] = True

    def move(self, probe: Probe, here: Spot, tau: float, stiffness: float) -> Move:
        end = probe.spot(here.x.sub(here.gradient, alpha=tau))
        turned = probe.square(end.gradient - here.gradient)
        along = (here.square + end.square - turned) / 2  # <G(a), G(b)>
        rate = (here.square - along) / (tau * here.square) if tau * here.square else math.nan
        return Move(end, tau / 6 * turned, tau / 2 * (here.square + along), tau * here.slope, rate)


@dataclass(frozen=True)
class RungeKutta(Mover):
    """A step of an explicit tableau, y the cubic Hermite interpolant: one gradient more than stages.

    Args:
        tableau: such as ``Tableau.heun()``, ``Tableau.rk4()``, ``Tableau.bogacki_shampine()``.
    """

    tableau: Tableau

    order: ClassVar[int] = 4
    safety: ClassVar[float] = 1.25

    def move(self, probe: Probe, here: Spot, tau: float, stiffness: float) -> Move:
        stages = [here.gradient]
        for row in self.tableau.a[1:]:
            stages.append(probe.gradient(plus(here.x, row, stages, -tau)))
        return hermite(probe, here, probe.spot(plus(here.x, self.tableau.b, stages, -tau)), tau)


@dataclass(frozen=True)
class Stabilized(Mover):
    """The Runge-Kutta-Legendre scheme of order two: s stages reach tau lambda_max = (s^2 + s - 2) / 2.

    s is odd with s^2 + s - 2 >= 2.2 tau lambda_max. Steps as long as the slow modes allow cost the square root of what
    explicit steps would, and fast modes are damped.

    Args:
        most: the largest number of stages, at least 3.

    Raises:
        ValueError: if ``most`` is below 3.

    Source: Meyer, Balsara, Aslam, J. Comput. Phys. 257 (2014), section 3.
    """

    most: int = 81

    def __post_init__(self) -> None:
        if not whole(self.most, 3):
            raise ValueError(f"The stabilized scheme takes at least 3 stages, got most={self.most}.")

    order: ClassVar[int] = 4
    safety: ClassVar[float] = 1.25
    stiff: ClassVar[bool] = True

    def longest(self, stiffness: float) -> float:
        return (self.most**2 + self.most - 2) / (2.2 * stiffness) if stiffness > 0 else math.inf

    def stages(self, reach: float) -> int:
        """Return s for tau lambda_max = ``reach``."""
        s = math.ceil((math.sqrt(9 + 8.8 * reach) - 1) / 2)
        return max(3, s + 1 - s % 2)

    def move(self, probe: Probe, here: Spot, tau: float, stiffness: float) -> Move:
        s = self.stages(tau * stiffness)
        w = 4 / (s * s + s - 2)
        b = [1 / 3, 1 / 3] + [(j * j + j - 2) / (2 * j * (j + 1)) for j in range(2, s + 1)]
        before, now = here.x, here.x.sub(here.gradient, alpha=b[1] * w * tau)
        for j in range(2, s + 1):
            mu, nu = (2 * j - 1) / j * b[j] / b[j - 1], -(j - 1) / j * b[j] / b[j - 2]
            new = (now * mu).add_(before, alpha=nu).add_(here.x, alpha=1 - mu - nu)
            new.sub_(probe.gradient(now), alpha=mu * w * tau)
            new.add_(here.gradient, alpha=(1 - b[j - 1]) * mu * w * tau)
            before, now = now, new
        return hermite(probe, here, probe.spot(now), tau)


def hermite(probe: Probe, a: Spot, b: Spot, tau: float) -> Move:
    """Close a step by the cubic Hermite interpolant with slopes -G at both ends; one more gradient.

    y' + G(y) vanishes at both ends, so to leading order it is a parabola with its middle value R:
    D = (1/2)(8/15) tau |R|^2, measured at 0.82 to 1.005 of the truth. Drop and length by Simpson's rule.
    """
    way = b.x - a.x
    middle = probe.gradient(a.x + way / 2 + (b.gradient - a.gradient) * (tau / 8))
    speed = way * (1.5 / tau) + (a.gradient + b.gradient) / 4
    drop = tau / 6 * (a.square - 4 * probe.hilbert.inner(middle, speed) + b.square)
    length = tau / 6 * (a.slope + 4 * probe.norm(speed) + b.slope)
    return Move(b, tau * 4 / 15 * probe.square(speed + middle), drop, length)
