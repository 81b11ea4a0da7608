"""Movers as schemes of the common loop: with steps of one size, or controlled by what they dissipate."""

from __future__ import annotations

import math
import sys
from dataclasses import InitVar, dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from maxslope import _random
from maxslope._rows import flat
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


class Notes(NamedTuple):
    """What a row carries besides its point: numbers of the last step, and totals."""

    spent: float  # gradients, total
    failed: float  # steps whose inner problem was not solved, or that no length could satisfy, total
    rejected: float  # attempts, total
    passed: float  # time of the last step
    proposal: float  # the length to try next
    calm: float  # steps since the last rejection
    stiffness: float  # the largest eigenvalue
    age: float  # steps since it was looked at
    defect: float  # estimated, of the last step
    drop: float  # of the energy, of the last step
    way: float  # the length of the last step
    rate: float  # -d log |dJ| / dt at its start, or NaN
    excess: float  # of De Giorgi's identity, or NaN


def _column(memory: Memory, name: str) -> Tensor:
    """One of the notes of every row, ``[rows]``."""
    return memory[0][:, Notes._fields.index(name)].clone()


def notes(memory: Memory, row: int = 0) -> Notes:
    """Read the notes of one row."""
    return Notes(*memory[0][row].tolist())


def _account(memory: Memory) -> Account:
    spent = _column(memory, "spent").long()
    return Account(spent, spent.clone(), _column(memory, "failed").long(), _column(memory, "excess"))


def _start(x: Tensor, proposal: float) -> Memory:
    blank = Notes(0, 0, 0, 0, proposal, _CALM, 0, _FRESH, 0, 0, 0, math.nan, math.nan)
    table = torch.tensor([blank], dtype=torch.float64, device=x.device).expand(x.shape[0], -1).clone()
    direction = _random.normal(_random.keys_of_points(flat(x)), x.shape[1:]).to(x)
    return table, direction


@dataclass(frozen=True, eq=False, init=False)
class Uniform(Accounting):
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

    mover: Mover
    tau: StepSize
    space: Space
    rate: float = 2.0

    def __init__(self, mover: Mover, tau: float | Tensor | StepSize, space: Space) -> None:
        Hilbert(space)
        object.__setattr__(self, "mover", mover)
        object.__setattr__(self, "tau", step_size(tau))
        object.__setattr__(self, "space", space)

    def start(self, x: Tensor) -> Memory:
        """See :class:`Scheme`; the notes of :class:`Notes`, and a direction of largest curvature."""
        return _start(x, math.nan)

    def account(self, memory: Memory) -> Account:
        """See :class:`Accounting`."""
        return _account(memory)

    def step(self, here: Here, memory: Memory) -> tuple[Tensor, Memory]:
        """See :class:`Scheme`."""
        return _rows(here, memory, self.space, self._one)

    def _one(self, probe: Probe, spot: Spot, n: Notes, v: Tensor, tau: float) -> tuple[Move | None, Notes, Tensor]:
        n, v = _look(self.mover, probe, spot, n, v)
        if tau == 0:
            return None, _rest(n, 0.0), v
        move = self.mover.move(probe, spot, tau, n.stiffness)
        drop = _drop(spot, move)
        return move, n._replace(passed=tau, drop=drop, **_of(move), failed=n.failed + (not move.solved)), v


@dataclass(frozen=True, eq=False)
class Controlled(Adaptive):
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

    mover: Mover
    tolerance: float
    space: Space
    first: float = field(default=0.01, kw_only=True)
    longest: InitVar[float] = field(default=_LONG, kw_only=True)
    tau: StepSize = field(init=False)
    rate: float = field(default=2.0, init=False)

    def __post_init__(self, longest: float) -> None:
        if not 0 < self.tolerance < 1:
            raise ValueError(f"The tolerance on the dissipation defect is in (0, 1), got tolerance={self.tolerance!r}.")
        if not (self.first > 0 and 0 < longest < math.inf):
            raise ValueError(f"Steps have positive, finite lengths, got first={self.first!r} and longest={longest!r}.")
        Hilbert(self.space)
        object.__setattr__(self, "tau", Constant(longest))

    def start(self, x: Tensor) -> Memory:
        """See :class:`Scheme`; the notes of :class:`Notes`, and a direction of largest curvature."""
        return _start(x, self.first)

    def account(self, memory: Memory) -> Account:
        """See :class:`Accounting`."""
        return _account(memory)

    def passed(self, memory: Memory) -> Tensor:
        """See :class:`Adaptive`."""
        return _column(memory, "passed")

    def step(self, here: Here, memory: Memory) -> tuple[Tensor, Memory]:
        """See :class:`Scheme`."""
        return _rows(here, memory, self.space, self._one)

    def _one(self, probe: Probe, spot: Spot, n: Notes, v: Tensor, most: float) -> tuple[Move | None, Notes, Tensor]:
        n, v = _look(self.mover, probe, spot, n, v)
        if most <= 0:
            return None, _rest(n, 0.0), v
        tau = n.proposal
        for _ in range(0 if n.failed else _TRIES):
            cut = min(most, self.mover.longest(n.stiffness))
            tau = cut if tau * (1 + 1e-9) >= cut else tau  # no last step that is only rounding
            if tau < _SHORTEST:
                break
            move = self.mover.move(probe, spot, tau, n.stiffness)
            drop, falls = _drop(spot, move), _falls(spot, move)
            e = self.mover.safety * move.defect / drop if drop > 0 else math.inf
            factor = _factor(e, self.tolerance, self.mover.order)
            if falls and move.solved and e <= self.tolerance:
                grown = tau * (min(factor, 1.0) if n.calm < _CALM else factor)
                grown = max(grown, n.proposal) if tau == most else grown  # cut short by the end, not by the control
                n = n._replace(passed=tau, drop=drop, **_of(move), proposal=grown, calm=n.calm + 1)
                return move, n, v
            tau *= min(factor, 0.9)
            n = n._replace(rejected=n.rejected + 1, calm=0.0)
            if n.age > 1:
                n, v = _look(self.mover, probe, spot, n._replace(age=_FRESH), v)
        return None, _rest(n._replace(failed=n.failed + 1), most), v


def _rest(n: Notes, time: float) -> Notes:
    """A step of a row that stays."""
    return n._replace(passed=time, defect=0.0, drop=0.0, way=0.0, rate=math.nan, excess=math.nan)


def _look(mover: Mover, probe: Probe, spot: Spot, n: Notes, v: Tensor) -> tuple[Notes, Tensor]:
    """Look at the largest eigenvalue again where it is old."""
    if not mover.stiff or n.age < _FRESH:
        return n._replace(age=n.age + 1), v
    stiffness, v = probe.stiffness(spot.x, v, 12 if n.stiffness == 0 else 3)
    return n._replace(stiffness=stiffness, age=1.0), v


def _of(move: Move) -> dict[str, float]:
    return {"defect": move.defect, "way": move.way, "rate": move.rate, "excess": move.excess}


def _quiet(spot: Spot, move: Move) -> bool:
    """Whether J changes by no more than rounding can hide."""
    return abs(spot.value - move.end.value) < 1e-9 * abs(spot.value)


def _drop(spot: Spot, move: Move) -> float:
    return move.drop if _quiet(spot, move) else spot.value - move.end.value


def _falls(spot: Spot, move: Move) -> bool:
    if _quiet(spot, move):
        return move.drop > 0 and move.end.square < spot.square
    return move.end.value < spot.value


def _factor(e: float, tolerance: float, order: int) -> float:
    if not e < math.inf:
        return 0.3
    return min(2.0, max(0.3, 0.8 * (tolerance / e) ** (1 / order))) if e > 0 else 2.0


def _rows(here: Here, memory: Memory, space: Space, one) -> tuple[Tensor, Memory]:  # type: ignore[no-untyped-def]
    """Step each row by itself."""
    if not isinstance(here.domain, Everything):
        raise ValueError(
            f"The flow of a network is not constrained, got a {type(here.domain).__name__}; put a penalty into "
            "the energy, or use Explicit, SemiImplicit or MinimizingMovement."
        )
    hilbert, rows = Hilbert(space), here.x.shape[0]
    table, direction = memory
    points, lines, ways = [], [], []
    for row in range(rows):
        only = slice(row, row + 1)
        x = here.x if rows == 1 else here.x[only]
        energy = here.energy if rows == 1 else here.energy.take(torch.tensor([row], device=x.device))
        probe = Probe(energy, hilbert)
        spot = probe.spot(x, type(here.evaluation)(*(t[only] for t in here.evaluation)))
        move, n, way = one(probe, spot, Notes(*table[row].tolist()), direction[only], float(here.tau[row]))
        points.append(x if move is None else move.end.x)
        lines.append(n._replace(spent=n.spent + probe.count))
        ways.append(way)
    carried = torch.tensor(lines, dtype=torch.float64, device=table.device)
    return (points[0], (carried, ways[0])) if rows == 1 else (torch.cat(points), (carried, torch.cat(ways)))
