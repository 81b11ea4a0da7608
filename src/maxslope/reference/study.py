"""Measured convergence: errors, orders with confidence intervals, dissipation defects, inclusion residuals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from maxslope._rows import inner
from maxslope.curve import Curve
from maxslope.energies import Energy
from maxslope.energies.base import parts
from maxslope.loop import flow
from maxslope.reference.curves import Reference
from maxslope.schemes import Scheme
from maxslope.spaces import Space

Maker = Callable[[float], Scheme]
Path = Callable[[float], Tensor]


@dataclass(frozen=True, eq=False)
class Convergence:
    """What happened as tau went to 0. Every table is ``[taus, rows]`` under the name of its scheme.

    Attributes:
        taus: the step sizes.
        errors: max over time of |u_tau(t) - u(t)|, in the norm of the motion, at all instants and halfway between.
        defects: of the energy dissipation equality, |D(T)|.
        residuals: int_0^T (|dE|(u) - <-dE(u), u'>) dt by the midpoint rule: zero exactly where u' lies in the duality
            set, for rate inf (NaN otherwise).
        speeds: the largest metric speed.
        orders: of the mean error over rows: (least squares slope, lower, upper), a 95 % interval by resampling rows.
        defect_orders: likewise of the mean defect.
    """

    taus: tuple[float, ...]
    errors: dict[str, Tensor]
    defects: dict[str, Tensor]
    residuals: dict[str, Tensor]
    speeds: dict[str, Tensor]

    @property
    def orders(self) -> dict[str, tuple[float, float, float]]:
        """Orders of the errors."""
        return {name: order(self.taus, table) for name, table in self.errors.items()}

    @property
    def astray(self) -> list[str]:
        """Schemes whose curves settle on something else: the mean error at the least step size is no smaller than half
        of that at the largest, although the step is at most half as long, and it is larger than that step.
        """  # noqa: D205
        small, large = min(self.taus), max(self.taus)
        ends = [self.taus.index(tau) for tau in (small, large)]
        means = {name: [float(table[k].mean()) for k in ends] for name, table in self.errors.items()}
        return [n for n, (low, high) in means.items() if small <= large / 2 and low > max(high / 2, small)]

    @property
    def defect_orders(self) -> dict[str, tuple[float, float, float]]:
        """Orders of the dissipation defects."""
        return {name: order(self.taus, table) for name, table in self.defects.items()}

    def table(self) -> list[dict[str, float | str]]:
        """One record per scheme and step size: means and largest values over rows, ready for a CSV file."""
        return [
            {
                "scheme": name,
                "tau": tau,
                "mean_error": float(self.errors[name][k].mean()),
                "max_error": float(self.errors[name][k].max()),
                "mean_defect": float(self.defects[name][k].mean()),
                "mean_residual": float(self.residuals[name][k].mean()),
                "max_speed": float(self.speeds[name][k].max()),
            }
            for name in self.errors
            for k, tau in enumerate(self.taus)
        ]


def convergence(
    energy: Energy,
    x: Tensor,
    schemes: Mapping[str, Maker],
    taus: Sequence[float],
    reference: Curve | Reference | Path,
    *,
    until: float = 1.0,
) -> Convergence:
    """Run every scheme with every step size and compare with a reference.

    Explicit steps converge to the flow without constraint, and in l_inf within boxes, where they are semi-implicit.
    Where another constraint binds, the projection takes speed away, and they settle on another curve, whatever the step
    size: ``Convergence.astray`` names them. Semi-implicit steps and movements, which the theorem is about, do not.

    Args:
        energy: with its constraint.
        x: ``[rows, *shape]``.
        schemes: by name, functions from a step size to a scheme, such as ``{"explicit": Explicit}``.
        taus: at least two.
        reference: what ``reference`` returned, a finely recorded curve, or a function from a time to the points
            ``[rows, *shape]``.
        until: the end.

    Returns:
        A :class:`Convergence`.

    Raises:
        ValueError: if there are fewer than two step sizes.

    >>> from maxslope.energies import Quadratic
    >>> from maxslope.reference import euclidean_bowl
    >>> from maxslope.schemes import Explicit
    >>> from maxslope.spaces import Lp
    >>> x = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    >>> study = convergence(Quadratic(torch.eye(2)), x, {"explicit": lambda tau: Explicit(tau, Lp(2))}, [0.5, 0.25],
    ...                     lambda t: euclidean_bowl(x, t), until=4.0)
    >>> round(float(study.errors["explicit"][0, 0]), 9), study.astray
    (0.0, [])
    """
    if len(taus) < 2:
        raise ValueError(f"Orders need at least two step sizes, got {list(taus)!r}.")
    path = reference if callable(reference) else reference.at
    columns: dict[str, list[tuple[Tensor, ...]]] = {name: [] for name in schemes}
    for name, maker in schemes.items():
        for tau in taus:
            curve = flow(energy, x, scheme=maker(tau), until=until)
            columns[name].append(
                (_error(curve, path), curve.defect().abs(), residual(energy, curve), curve.speed.amax(0))
            )
    tables = [{name: torch.stack([c[k] for c in cells]) for name, cells in columns.items()} for k in range(4)]
    return Convergence(tuple(taus), *tables)


def _error(curve: Curve, path: Path) -> Tensor:
    """The largest distance over time; all rows share the instants of a run with one step size."""
    worst = torch.zeros_like(curve.time[0])
    instants = curve.time[:, 0].tolist()
    halves = [(a + b) / 2 for a, b in pairwise(instants)]
    for t in [*instants, *halves]:
        there = path(t).to(curve.points.dtype)
        worst = torch.maximum(worst, curve.space.distance(there, curve.at(t)).to(worst))
    return worst


def residual(energy: Energy, curve: Curve) -> Tensor:
    """Return int_0^T (|dE|(u) - <-dE(u), u'>) dt by the midpoint rule, ``[rows]``; NaN for a rate p < inf.

    The integrand is not negative where the speed is at most 1, and zero exactly if u' lies in d|.|_*(-xi).
    """
    if curve.rate != torch.inf:
        return torch.full_like(curve.time[0], torch.nan)
    steps = misses(energy, curve.points, curve.time, curve.space)
    return torch.as_tensor(sum(steps))


def misses(energy: Energy, points: Tensor, times: Tensor, space: Space) -> Tensor:
    """Return what each step of curves through ``[K+1, rows, *shape]`` adds to :func:`residual`, ``[K, rows]``."""
    smooth, domain = parts(energy)
    found = []
    for before, after, passed in zip(points[:-1], points[1:], times.diff(dim=0), strict=True):
        middle = (before + after) / 2
        g = smooth.evaluate(middle).gradient
        found.append(domain.slope(g, middle, space).to(passed) * passed + inner(g, after - before).to(passed))
    return torch.stack(found)


def order(taus: Sequence[float], table: Tensor, *, resamples: int = 1000) -> tuple[float, float, float]:
    """Return the least squares slope of log(mean over rows) against log tau and a 95 % percentile interval.

    The table is ``[taus, rows]``; rows are resampled with a fixed seed.

    >>> round(order([0.1, 0.01], torch.tensor([[1.0, 2.0], [0.1, 0.2]]))[0], 6)
    1.0
    """
    values = table.double().numpy()
    logs = np.log(np.asarray(taus))
    centered = (logs - logs.mean()) / ((logs - logs.mean()) ** 2).sum()

    def slope(mean: np.ndarray) -> np.ndarray:
        return np.asarray(centered @ np.log(np.maximum(mean, 1e-300)))

    draws = np.random.default_rng(0).integers(0, values.shape[1], (resamples, values.shape[1]))
    many = slope(values[:, draws].mean(2))
    low, high = np.quantile(many, [0.025, 0.975])
    return float(slope(values.mean(1))), float(low), float(high)
