"""Movers as schemes of the common loop: with steps of one size, or controlled by what they dissipate."""

from __future__ import annotations

import math
import sys
from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from maxslope import _random
from maxslope._rows import flat
from maxslope.energies import Evaluation
from maxslope.odenet.metric import Hilbert
from maxslope.odenet.movers import Move, Mover
from maxslope.odenet.probe import Probe, Spot
from maxslope.schemes import Account, Accounting, Adaptive, Here, Memory, StepSize
from maxslope.schemes.steps import Constant, step_size
from maxslope.sets import Everything
from maxslope.spaces import Space

_LONG = 1e30  # a longest step that never binds
_TRIES = 80
_SHORTEST = sys.float_info.min**0.5  # of shorter steps not even the square is a number
_CALM = 5  # steps without growth after a rejection
_FRESH = 8  # steps between looks at the largest eigenvalue
_ROUNDING = 1e-9  # changes of J below this share of it are taken by quadrature


class Notes(NamedTuple):
    """What a row carries besides its point: numbers of the last step, and totals."""

    spent: float = 0.0  # gradients, total
    failed: float = 0.0  # steps whose inner problem was not solved, or that no length could satisfy, total
    rejected: float = 0.0  # attempts, total
    passed: float = 0.0  # time of the last step
    proposal: float = math.nan  # the length to try next
    calm: float = _CALM  # steps since the last rejection
    stiffness: float = 0.0  # the largest eigenvalue
    age: float = _FRESH  # steps since it was looked at
    defect: float = 0.0  # estimated, of the last step
    drop: float = 0.0  # of the energy, of the last step
    way: float = 0.0  # the length of the last step
    rate: float = math.nan  # -d log |dJ| / dt at its start, or NaN
    excess: float = math.nan  # of De Giorgi's identity, or NaN

    def took(self, tau: float, drop: float, move: Move) -> Notes:
        """Note a step."""
        return self._replace(
            passed=tau, drop=drop, defect=move.defect, way=move.way, rate=move.rate, excess=move.excess
        )

    def rested(self, tau: float) -> Notes:
        """Note a step of a row that stays."""
        return self._replace(passed=tau, defect=0.0, drop=0.0, way=0.0, rate=math.nan, excess=math.nan)


def _column(memory: Memory, name: str) -> Tensor:
    """One of the notes of every row, ``[rows]``."""
    table, _ = memory
    return table[:, Notes._fields.index(name)].clone()


def notes(memory: Memory) -> Notes:
    """Read the notes of the first row."""
    table, _ = memory
    return Notes(*table[0].tolist())


class _RowByRow(Accounting):
    """Steps of a mover, each row by itself; a row carries its notes and a direction of largest curvature."""

    mover: Mover
    first: float = math.nan
    rate = 2.0

    @abstractmethod
    def one(self, probe: Probe, spot: Spot, n: Notes, v: Tensor, tau: float) -> tuple[Move | None, Notes, Tensor]:
        """Step one row, at most by tau; no move where it rests."""

    def start(self, x: Tensor) -> Memory:
        table = torch.tensor([Notes(proposal=self.first)], dtype=torch.float64, device=x.device)
        direction = _random.normal(_random.keys_of_points(flat(x)), x.shape[1:]).to(x)
        return table.expand(x.shape[0], -1).clone(), direction

    def account(self, memory: Memory) -> Account:
        spent = _column(memory, "spent").long()
        return Account(spent, spent.clone(), _column(memory, "failed").long(), _column(memory, "excess"))

    def step(self, here: Here, memory: Memory) -> tuple[Tensor, Memory]:
        if not isinstance(here.domain, Everything):
            raise ValueError(
                f"The flow of a network is not constrained, got a {type(here.domain).__name__}; put a penalty into "
                "the energy, or use Explicit, SemiImplicit or MinimizingMovement."
            )
        hilbert, (table, directions) = Hilbert(self.space), memory
        points, lines, ways = [], [], []
        for row, line in enumerate(table.tolist()):
            only = slice(row, row + 1)
            own = here.energy if len(table) == 1 else here.energy.take(torch.tensor([row], device=here.x.device))
            probe, n, v, tau = Probe(own, hilbert), Notes(*line), directions[only], float(here.tau[row])
            spot = probe.spot(here.x[only], Evaluation(*(t[only] for t in here.evaluation)))
            n, v = self.look(probe, spot, n, v)
            move, n, v = self.one(probe, spot, n, v, tau) if tau > 0 else (None, n.rested(0.0), v)
            points.append(spot.x if move is None else move.end.x)
            lines.append(n._replace(spent=n.spent + probe.count))
            ways.append(v)
        carried = torch.tensor(lines, dtype=torch.float64, device=table.device)
        return torch.cat(points), (carried, torch.cat(ways))

    def look(self, probe: Probe, spot: Spot, n: Notes, v: Tensor) -> tuple[Notes, Tensor]:
        """Look at the largest eigenvalue again where it is old."""
        if not self.mover.stiff or n.age < _FRESH:
            return n._replace(age=n.age + 1), v
        stiffness, v = probe.stiffness(spot.x, v, 12 if n.stiffness == 0 else 3)
        return n._replace(stiffness=stiffness, age=1.0), v


class Uniform(_RowByRow):
    """Steps of given sizes, whatever the defect: for order studies and short times.

    Args:
        mover: how a step is made.
        tau: step size in time, a number, one per row, or a :class:`StepSize`.
        space: Lp(2) or a weighted one, such as :func:`maxslope.odenet.layered`.

    Raises:
        ValueError: if a step size is negative, or the norm has no inner product.

    >>> import torch
    >>> from maxslope import Lp, Steps, flow
    >>> from maxslope.energies import Quadratic
    >>> from maxslope.odenet import ExplicitEuler
    >>> flow(Quadratic(torch.eye(1)), torch.ones(1, 1), scheme=Uniform(ExplicitEuler(), 0.5, Lp(2)), until=Steps(2)).end
    tensor([[0.2500]])
    """

    def __init__(self, mover: Mover, tau: float | Tensor | StepSize, space: Space) -> None:
        Hilbert(space)
        self.mover, self.tau, self.space = mover, step_size(tau), space

    def one(self, probe: Probe, spot: Spot, n: Notes, v: Tensor, tau: float) -> tuple[Move | None, Notes, Tensor]:
        """Make the step."""
        move = self.mover.move(probe, spot, tau, n.stiffness)
        drop, _ = _fall(spot, move)
        return move, n.took(tau, drop, move)._replace(failed=n.failed + (not move.solved)), v


class Controlled(_RowByRow, Adaptive):
    """Steps as long as the energy dissipation equality allows.

    A step is taken if J falls and e = c D / (J(a) - J(b)) <= tolerance, with D the estimated defect and c its safety
    factor; tau is then multiplied by 0.8 (tolerance / e)^(1 / order), between 0.3 and 2. Summed, this is the
    guarantee: J never rises, and

        sum of the defects <= tolerance (J(x_0) - J(x_T)).

    Below a drop of 1e-9 |J|, where differences of J are rounding, the drop is taken by quadrature along the step, and
    the slope must fall instead. A row whose steps no length satisfies rests where it is, and counts as unsolved.

    Args:
        mover: how a step is made; :class:`Stabilized` for long times.
        tolerance: in (0, 1).
        space: Lp(2) or a weighted one, such as :func:`maxslope.odenet.layered`.
        first: the length of the first attempt.
        longest: a longest step.

    Raises:
        ValueError: if the tolerance is not in (0, 1), a length not positive, or the norm has no inner product.

    >>> import torch
    >>> from maxslope import Lp, flow
    >>> from maxslope.energies import Quadratic
    >>> from maxslope.odenet import Stabilized
    >>> scheme = Controlled(Stabilized(), 1e-10, Lp(2))
    >>> curve = flow(Quadratic(torch.eye(1, dtype=torch.float64)), torch.ones(1, 1).double(), scheme=scheme, until=1.0)
    >>> bool((curve.end - torch.tensor(-1.0).exp()).abs() < 1e-4)
    True
    """

    def __init__(
        self, mover: Mover, tolerance: float, space: Space, *, first: float = 0.01, longest: float = _LONG
    ) -> None:
        if not 0 < tolerance < 1:
            raise ValueError(f"The tolerance on the dissipation defect is in (0, 1), got tolerance={tolerance!r}.")
        if not (first > 0 and 0 < longest < math.inf):
            raise ValueError(f"Steps have positive, finite lengths, got first={first!r} and longest={longest!r}.")
        Hilbert(space)
        self.mover, self.tolerance, self.space, self.first = mover, tolerance, space, first
        self.tau = Constant(longest)

    def passed(self, memory: Memory) -> Tensor:
        return _column(memory, "passed")

    def one(self, probe: Probe, spot: Spot, n: Notes, v: Tensor, tau: float) -> tuple[Move | None, Notes, Tensor]:
        """Attempt steps, each shorter than the one before, until one dissipates as it should."""
        most, tau = tau, n.proposal
        for _ in range(0 if n.failed else _TRIES):
            cut = min(most, self.mover.longest(n.stiffness))
            tau = cut if tau * (1 + 1e-9) >= cut else tau  # no last step that is only rounding
            if tau < _SHORTEST:
                break
            move = self.mover.move(probe, spot, tau, n.stiffness)
            drop, falls = _fall(spot, move)
            e = self.mover.safety * move.defect / drop if drop > 0 else math.inf
            factor = _factor(e, self.tolerance, self.mover.order)
            if falls and move.solved and e <= self.tolerance:
                grown = tau * (min(factor, 1.0) if n.calm < _CALM else factor)
                grown = max(grown, n.proposal) if tau == most else grown  # cut short by the end, not by the control
                return move, n.took(tau, drop, move)._replace(proposal=grown, calm=n.calm + 1), v
            tau *= min(factor, 0.9)
            n = n._replace(rejected=n.rejected + 1, calm=0.0)
            if n.age > 1:
                n, v = self.look(probe, spot, n._replace(age=_FRESH), v)
        return None, n._replace(failed=n.failed + 1).rested(most), v


def _fall(spot: Spot, move: Move) -> tuple[float, bool]:
    """The drop of J, by quadrature where rounding could hide it, and whether J, or there the slope, falls."""
    drop = spot.value - move.end.value
    if abs(drop) < _ROUNDING * abs(spot.value):
        return move.drop, move.drop > 0 and move.end.square < spot.square
    return drop, drop > 0


def _factor(e: float, tolerance: float, order: int) -> float:
    """What the next length is multiplied by."""
    if not e < math.inf:
        return 0.3
    return min(2.0, max(0.3, 0.8 * (tolerance / e) ** (1 / order))) if e > 0 else 2.0
