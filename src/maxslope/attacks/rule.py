"""When to stop trying: a statement about a sample's own margins over its own runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

_SCALE = 0.04  # fitted on recorded runs of eight networks and budgets, see benchmarks/RESULTS.md
_LEAST = 0.05  # what the spread of the runs counts for at least
_SPREAD = 0.8  # beyond which a spread says no more
_MISLED = 1 / 12  # of the way made: networks where smoothed runs end lower by more have late finds
_FEWEST = 8  # samples that tell it
_FAR = 1.75  # ways made, beyond which the way that is left says no more
_SURE, _TIMES = 0.4, 3.0  # the part of a run made before it may be given up; how far runs may differ from the first
_JUMP = 0.4  # the way a jump may be behind where it began; of 83 that broke a sample one was further behind


@dataclass(frozen=True)
class Rule:
    """Gives a sample up when the estimated chance that one more run would break it falls to ``risk``.

    That is a threshold, not the chance that the verdict is wrong: many more runs, each with a small chance, break more.
    What they may break of a data set is estimated by :class:`maxslope.evaluation.remains.Remains`.

    After k runs and g gradients without success, with m_0 the margin at the clean point and m the least margin seen,
    the way that is left in units of the way made is r = m / (m_0 - m), 1.75 at most. The chance that one more run
    succeeds is taken to be

        P = min( 1 / (k + 1), 0.04 f / (r g)^(3/2) ),   f = w min(z, 0.8), at least 0.05,

    Laplace's rule of succession where the margins say nothing (no run gained anything, or r is tiny), and a power law
    in r g: the nearer a sample is to an error, the later it may still fall, in proportion. The sum over all later runs
    is of order g^(-1/2). z is the spread of the better half of the independent runs, (median - least) / m: runs from
    different starts that end at one margin have most likely found the least one, runs that scatter have not. Plain runs
    and those along smoothed gradients are not mixed: those count which have the least margin. Before three runs are
    made, two of them of that kind, nothing is known of it, and f is ``unknown``. It uses this sample's numbers alone,
    never its rank among others. The weight w is 10; on networks where kinks mislead, :func:`misled`, an effort may
    take more.

    A run itself, other than the first, is given up where what is left of it cannot lead to an error: after t of T
    steps, 0.4 T at least, with least margin m so far, when

        m > max(descent, 3 d) (1 - t / T) (m_0 - m),   d = (m_1 - m_2) / (0.6 (m_0 - m_1)),

    m_1 and m_2 the least margins of the sample's first run after 0.4 of its steps and at its end: where gradients
    mislead, margins fall late, and the first run shows it. A jump, which starts near a point of least margin b, is
    given up as well when m - b > 0.4 (1 - t / T)^2 (m_0 - b). The law counts such a run with all T steps, so that a
    sample goes through the same runs as without, at fewer passes.

    Args:
        risk: in [0, 1]; 0 never gives up.
        descent: what the rest of a run is taken to lower the margin by at least, in units of the way made and of the
            part of the steps left; inf gives no run up.
        weight: of the spread of runs, w.
        unknown: f before three independent runs, or two of the kind that has the least margin.

    Raises:
        ValueError: if the risk is not in [0, 1], the descent is negative, or the weight or f is not positive and
            finite.

    >>> clean, history = torch.tensor([10.0]), torch.tensor([[8.0, 5.0]])
    >>> Rule(0.001).chance(clean, history, torch.tensor([2]), torch.tensor([25]), torch.zeros(2, dtype=torch.int64))
    tensor([0.0026], dtype=torch.float64)
    """

    risk: float
    descent: float = math.inf
    weight: float = field(default=10.0, metadata={"added": "0.4"})
    unknown: float = field(default=8.0, metadata={"added": "0.4"})

    def __post_init__(self) -> None:
        if not self.descent >= 0:
            raise ValueError(f"A descent is at least 0, or inf to give no run up, got descent={self.descent!r}.")
        if not 0 <= self.risk <= 1:
            raise ValueError(f"A risk is in [0, 1], got risk={self.risk!r}.")
        if not (0 < self.weight < math.inf and 0 < self.unknown < math.inf):
            raise ValueError(
                "The weight of a spread, and what an unknown one counts for, are positive and finite, got "
                f"weight={self.weight!r}, unknown={self.unknown!r}."
            )

    def goes_on(self, chance: Tensor) -> Tensor:
        """Return who gets another run, ``[rows]``: everyone where the risk is 0."""
        return torch.ones_like(chance, dtype=torch.bool) if self.risk == 0 else chance > self.risk

    @property
    def selective(self) -> bool:
        """Whether runs may be given up on the way."""
        return self.descent < math.inf

    def shown(self, clean: Tensor, early: Tensor, least: Tensor) -> Tensor:
        """Return d of the class, ``[rows]`` float64; inf where the first run had gained nothing until ``early``.

        That is its least margin after 0.4 of its steps, NaN where these were not made; ``least`` is that at its end.
        """
        clean, early, least = clean.double(), early.double(), least.double()
        way = clean - early
        return torch.where(way > 0, (early - least) / ((1 - _SURE) * way), torch.inf)

    def early(self, clock: Tensor, steps: Tensor) -> Tensor:
        """Return which runs have just made 0.4 of their steps, ``[rows]`` bool."""
        return clock == (_SURE * steps).ceil()

    def hopeless(
        self, clock: Tensor, steps: Tensor, clean: Tensor, least: Tensor, shown: Tensor, began: Tensor
    ) -> Tensor:
        """Return which runs are given up after ``clock`` of their steps, ``[rows]`` bool, by :meth:`shown`.

        ``began`` is the margin of the point that a jump started near, NaN for other runs. A run that has gained nothing
        goes on.
        """
        if not self.selective:
            return torch.zeros_like(clean, dtype=torch.bool)
        clean, least, began = clean.double(), least.double(), began.double()
        way, more, left = clean - least, (_TIMES * shown).clamp_min(self.descent), 1 - clock / steps
        behind = least - began > _JUMP * left * left * (clean - began)
        return (clock >= _SURE * steps) & ((least > more * left * way) | behind) & (way > 0)

    def chance(self, clean: Tensor, history: Tensor, runs: Tensor, gradients: Tensor, kinds: Tensor) -> Tensor:
        """Return the estimated chance that another run succeeds, ``[rows]`` float64.

        Args:
            clean: margins at the clean points, ``[rows]``.
            history: least margin of each run, ``[rows, runs]``, inf where not made.
            runs: runs made, ``[rows]``.
            gradients: backward passes of the runs made, those included that were not made of runs given up, ``[rows]``.
            kinds: ``[runs]`` int64, what runs are compared with each other: 0 for plain ones, 1 for those along
                smoothed gradients, -1 for those that start from what earlier ones found.
        """
        law, none = self._law(clean, history, gradients, kinds), 1 / (runs + 1.0)
        return torch.where(law.isnan(), none.double(), torch.minimum(law, none))

    def pursues(self, nearest: Tensor, gradients: Tensor) -> Tensor:
        """Return whom another way of a pursuit may break, ``[rows]`` bool.

        The way that is left is from the nearest error so far to the budget, in units of the budget: the law with
        r = nearest - 1 and f = 1. Where no error was found at any distance the distances say nothing.

        Args:
            nearest: the norm of the smallest perturbation known, in units of eps, inf where none is.
            gradients: made by the pursuit so far.

        >>> Rule(0.0003).pursues(torch.tensor([1.02, 1.3, torch.inf]), torch.tensor([120, 120, 120]))
        tensor([ True, False,  True])
        """
        made = (nearest.double() - 1).clamp_min(0) * gradients.clamp_min(1).double()
        law = _SCALE / (made * made.sqrt())
        return self.goes_on(torch.where(nearest.isfinite(), law, 1.0))

    def reach(self, clean: Tensor, history: Tensor, gradients: Tensor, kinds: Tensor) -> Tensor:
        """Return how many more gradients a row gets if its margins stay as they are, ``[rows]`` float64.

        The power law falls to the risk at g (P / risk)^(2/3) gradients; inf where the margins say nothing. What is
        given is that of :meth:`chance`.
        """
        law = self._law(clean, history, gradients, kinds)
        return (gradients * ((law / self.risk) ** (2 / 3) - 1)).clamp_min(0).nan_to_num(torch.inf, torch.inf)

    def _law(self, clean: Tensor, history: Tensor, gradients: Tensor, kinds: Tensor) -> Tensor:
        """The power law; NaN where nothing was gained, or the clean margin is unknown."""
        clean, best = clean.double(), history.double().amin(1)
        left = (best.clamp_min(0) / (clean - best)).clamp_max(_FAR)
        made = left * gradients.clamp_min(1).double()
        spread, known = _spread(history.double(), kinds)
        z = (spread / best.clamp_min(torch.finfo(best.dtype).tiny)).clamp_max(_SPREAD)
        factor = torch.where(known, (self.weight * z).clamp_min(_LEAST), self.unknown)
        # Square roots are rounded correctly; a vectorized power may round by how many rows stand beside a row.
        return torch.where(best < clean, _SCALE * factor / (made * made.sqrt()), torch.nan)


def misled(clean: Tensor, history: Tensor, kinds: Tensor) -> bool:
    """Whether kinks mislead plain runs: those along smoothed gradients end lower by more than 1/12 of the way made.

    That is the median of (least plain - least smoothed) / (m_0 - m) over the samples whose margins fell by half, eight
    at least, with three independent runs or more, both kinds among them. Where it is so, samples fall late. The
    arguments are those of :meth:`Rule.chance`, of samples that stand.

    >>> clean, ends = torch.full((8,), 5.0), torch.tensor([2.0, 1.5, 3.0]).repeat(8, 1)
    >>> misled(clean, ends, torch.tensor([0, 1, 0])), misled(clean, ends, torch.tensor([1, 0, 0]))
    (True, False)
    """
    clean, history = clean.double(), history.double()
    best = history.amin(1)
    plain, smoothed = _of_each_kind(history, kinds)
    told = (2 * best <= clean) & (plain.made + smoothed.made >= 3) & (plain.made >= 1) & (smoothed.made >= 1)
    share = ((plain.least - smoothed.least) / (clean - best))[told]
    return share.numel() >= _FEWEST and bool(share.median() > _MISLED)


class _Ends(NamedTuple):
    """Of the runs of one kind, ``[rows]``: the spread of the better half, the least margin, and how many they are."""

    spread: Tensor
    least: Tensor
    made: Tensor


def _spread(history: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor]:
    """Median less least margin of the better half of the runs of one kind, ``[rows]``, and whether it is known.

    It is the kind that has the least margin: plain runs and smoothed ones end apart for other reasons than chance.
    Three runs of both together tell it, two of them of that kind.
    """
    plain, smoothed = _of_each_kind(history, kinds)
    spread, _, made = (torch.where(plain.least <= smoothed.least, a, b) for a, b in zip(plain, smoothed, strict=True))
    known = (plain.made + smoothed.made >= 3) & (made >= 2)
    return torch.where(known, spread, 0.0), known


def _of_each_kind(history: Tensor, kinds: Tensor) -> tuple[_Ends, _Ends]:
    """What plain runs and smoothed ones came to."""
    return _ends(history.masked_fill(kinds != 0, torch.inf)), _ends(history.masked_fill(kinds != 1, torch.inf))


def _ends(history: Tensor) -> _Ends:
    if history.shape[1] < 2:
        history = torch.nn.functional.pad(history, (0, 2), value=torch.inf)
    ordered, made = history.sort(1).values, history.isfinite().sum(1)
    middle = ((made + 1) // 2).clamp_min(2) - 1
    middle = ordered.gather(1, middle.clamp_max(ordered.shape[1] - 1)[:, None]).squeeze(1)
    return _Ends(middle - ordered[:, 0], ordered[:, 0], made)
