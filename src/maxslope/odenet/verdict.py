"""What a flow shows, with its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from maxslope.odenet.descent import DescentResult
from maxslope.odenet.exponent import Exponent, exponent
from maxslope.odenet.spectrum import Curvature

_WIDEST = 0.15  # an interval wider than this says nothing
_DECADES = 3.0
_ALGEBRAIC = 0.55  # an interval above it shows a theta above 1/2
_INFINITE = 0.98  # an interval that reaches it may hold theta = 1
_SPREAD = 0.03
_LEFT = 1e-3  # of the length so far


class Fate(Enum):
    """Where a flow goes.

    The value is one sentence.
    """

    CONVERGED = "The flow has converged: the slope is small, and hardly any length is left."
    ALGEBRAIC = "The flow converges algebraically: the exponent is above 1/2, the length still finite."
    INFINITE = "Nothing bounds the length: the exponent reaches 1, as where a minimizer is missing."
    EARLY = "Too early to say: the slope is not small enough, or no power law holds over enough decades."


@dataclass(frozen=True, eq=False)
class FlowVerdict:
    """A fate and what speaks for it.

    Attributes:
        fate: a :class:`Fate`.
        fit: the exponent along the trajectory, or None where there is no power law.
        curvature: the smallest eigenvalue at the end, or None where it was not asked for.
        length: of the curve.
        monotone: whether the energy never rose.
        relative_defect: of the energy dissipation equality, at most the tolerance of the scheme.
        reasons: why, one sentence each.
    """

    fate: Fate
    fit: Exponent | None
    curvature: Curvature | None
    length: float
    monotone: bool
    relative_defect: float
    reasons: tuple[str, ...]


def verdict(run: DescentResult, *, slope: float = 1e-6, curvature: Curvature | None = None) -> FlowVerdict:
    """Say where a flow goes.

    Converged: slope <= ``slope``, and a remaining length of at most 1e-3 of the length so far. Near a nondegenerate
    limit (:attr:`Curvature.certifies`) that is |dJ| / ((1 - drift) lambda_min), whatever the fit says. Otherwise it is
    the one predicted by a power law over at least 3 decades whose four parts agree to 0.03. Algebraic: the interval of
    the exponent lies above 0.55. Infinite length: it reaches 0.98. Where the interval is wider than 0.15 or the window
    shorter, too early to say.

    The thresholds of the interval are those of the design of this room, and were calibrated on problems with known
    answers, not derived.

    Args:
        run: with rates.
        slope: what counts as small.
        curvature: at the end of the run.

    Returns:
        A :class:`FlowVerdict`.

    Source: arXiv:2311.15365 (convergence); arXiv:1707.03129 (finite length, decay rates).

    >>> from maxslope.energies import Function
    >>> from maxslope.odenet import Until, descend
    >>> (run,) = descend(Function(lambda x: x.pow(4).sum(1)), torch.ones(1, 1).double(), until=Until(slope=1e-8))
    >>> verdict(run).fate.name
    'ALGEBRAIC'
    """
    fit = exponent(run)
    if curvature is not None and curvature.certifies:
        fate, why = _certified(run, slope, curvature)
    else:
        fate, why = (Fate.EARLY, []) if fit is None else _fitted(run, slope, fit)
    reasons = (_law(fit), *([] if curvature is None else [_proof(curvature)]), *why)
    return FlowVerdict(fate, fit, curvature, float(run.length[-1]), run.monotone, run.relative_defect, reasons)


@dataclass(frozen=True, eq=False)
class Escape:
    """How the second moment of each layer is shared among its particles.

    A flow of measures stays compact where |theta|^2 is uniformly integrable. Where it is not, a vanishing share of the
    particles carries a share of the second moment that does not vanish.

    Attributes:
        share: of the largest particle, ``[L]``, between 1/m and 1.
        moment: (1/m) sum_j |theta_lj|^2, ``[L]``.
        farthest: max_j |theta_lj|, ``[L]``.
        particles: m.
    """

    share: Tensor
    moment: Tensor
    farthest: Tensor
    particles: int

    @property
    def escaping(self) -> bool:
        """Whether one of at least 8 particles carries half of the second moment of a layer."""
        return self.particles >= 8 and float(self.share.max()) >= 0.5


def escape(theta: Tensor) -> Escape:
    """Return who carries the second moment of each layer.

    Growth p < 2 of the field in theta keeps minimizing sequences compact; for p = 2 the minimum need not be attained:
    f = theta^4 / (1 + theta^2), l = (x - 1)^2 has the infimum 3/4, approached by mass r / M^2 at M -> inf.

    Args:
        theta: ``[L, m, p]``.

    Returns:
        An :class:`Escape`.

    Raises:
        ValueError: if ``theta`` is not ``[L, m, p]``.

    Source: arXiv:2311.15365 (growth of order p < 2 as assumption); the example is derived in docs/odenet.md.

    >>> theta = torch.zeros(1, 100, 1)
    >>> theta[0, 3] = 7.0
    >>> escape(theta).escaping
    True
    """
    if theta.ndim != 3 or theta.numel() == 0:
        raise ValueError(f"The particles of a network are [layers, particles, size], got {tuple(theta.shape)}.")
    square = theta.detach().double().square().sum(2)
    total = square.sum(1)
    share = torch.where(total > 0, square.amax(1) / total, 1 / theta.shape[1])
    return Escape(share, total / theta.shape[1], square.amax(1).sqrt(), theta.shape[1])


def _law(fit: Exponent | None) -> str:
    if fit is None:
        return (
            "The slope does not decay over a decade of J - J* at the end of the run, so there is no power law to fit."
        )
    return (
        f"theta = {fit.theta:.4f}, interval [{fit.low:.3f}, {fit.high:.3f}], J*-free {fit.free:.4f}, over "
        f"{fit.decades:.1f} decades."
    )


def _proof(curvature: Curvature) -> str:
    proof = "no proof"
    if curvature.certifies:
        proof = "the limit is nondegenerate, theta = 1/2"
    elif curvature.positive:
        proof = "it changes too much on the way to the limit to say anything about it, so go on to smaller slopes"
    return f"Smallest eigenvalue {curvature.smallest:.3g} +- {curvature.error:.1g}: {proof}."


def _certified(run: DescentResult, slope: float, curvature: Curvature) -> tuple[Fate, list[str]]:
    end, length = float(run.slope[-1]), float(run.length[-1])
    left = end / ((1 - curvature.drift) * curvature.smallest)
    why = f"slope {end:.2g} (wanted {slope:g}), so a remaining length of at most {left:.2g} of {length:.3g}."
    return Fate.CONVERGED if end <= slope and left <= _LEFT * length else Fate.EARLY, [why]


def _fitted(run: DescentResult, slope: float, fit: Exponent) -> tuple[Fate, list[str]]:
    if fit.decades < _DECADES or fit.high - fit.low > _WIDEST:
        return Fate.EARLY, [f"A verdict wants {_DECADES:g} decades and an interval of at most {_WIDEST:g}."]
    if fit.high >= _INFINITE:
        return Fate.INFINITE, []
    if fit.low > _ALGEBRAIC:
        return Fate.ALGEBRAIC, []
    end, length = float(run.slope[-1]), float(run.length[-1])
    settled = end <= slope and fit.spread <= _SPREAD and fit.tail <= _LEFT * length
    why = f"slope {end:.2g} (wanted {slope:g}), predicted remaining length {fit.tail:.2g} of {length:.3g}."
    return Fate.CONVERGED if settled else Fate.EARLY, [why]
