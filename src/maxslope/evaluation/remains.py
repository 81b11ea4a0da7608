"""How far a robust accuracy would still fall: an estimate for the data set, from the finds of one run."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate
from typing import Any, NamedTuple

from maxslope.attacks import Effort
from maxslope.attacks.stages import Pursuit, RandomSearch
from maxslope.attacks.state import EARLY

_RUN = 25  # gradients of a later run, most of which are hops of as many steps
_ALIKE = 0.5  # s of Remains: the smaller, the more do samples differ that look alike
_CONFIDENCE = 0.95
_FEWEST = 6  # runs of an effort below which nothing is said: hardly any of them is late


class Prior(NamedTuple):
    """What is known before a run of the factor by which the stopping rule's law is wrong on a network.

    Attributes:
        shape: of its Gamma law, a.
        rate: b.
        weight: of what the run itself has seen, w.
        most: the shape that no evidence exceeds, m: what earlier runs found is not what deeper ones will.
    """

    shape: float
    rate: float
    weight: float
    most: float = 5.0  # 47 late finds on 10,000 images of TRADES MNIST foresaw 19 where 36 fell


FITTED = Prior(0.5, 0.7, 0.35)


@dataclass(frozen=True)
class Remains:
    """What ``Effort.exhaustive()``, with another seed, would still break of the samples that stand: an estimate.

    The stopping rule thinks that one more run breaks a sample with chance P, which falls as g^(-3/2) over g gradients.
    ``exhaustive`` gives a sample up at a chance t, after (P / t)^(2/3) g gradients, so that by this law it foresees

        e = (2 P g / 25) (1 - (1 + (P / t)^(2/3))^(-1/2))

    finds of it, 25 gradients a run. Samples that look alike differ, as by a Gamma factor of shape s and mean 1: one
    that has stood the runs from the third on, of which l finds were foreseen, falls with the chance

        1 - ((s + l) / (s + l + e))^s,

    E in sum over those that stand; and A = sum of s log(1 + l / s) should have fallen in those runs, where N did. Also
    networks differ, by a factor of all their chances, on which N beside A is evidence. With a Gamma law of shape a and
    rate b for it before the run, and the evidence counted with the weight w, what remains is negative binomial of mean
    E (a + w N) / (b + w A) and shape 1 / (1 / (a + w N) + 1 / m): however much evidence there is, it is of other runs
    than those ahead. The numbers s, a, b, w and m are fitted.

    Attributes:
        samples: of the data set.
        standing: those that stand.
        finds: those that the run broke.
        late: those that it broke after their second run, N.
        foreseen: how many the rule had foreseen there, A.
        soon: how many it foresees in one more run of each that stands.
        ahead: how many it foresees up to the end of ``exhaustive``, E.
        gradients: that runs after the second took, about.
        prior: the four numbers.

    Source: a count whose rate has a Gamma law, as R. A. Fisher, A. S. Corbet and C. B. Williams count species, J.
    Animal Ecology 12 (1943), 42-58; the law of the rate is the project's own, fitted by ``benchmarks/remains.py``.

    >>> left = Remains(1000, 600, 200, late=3, foreseen=2.0, soon=0.1, ahead=4.0, gradients=30_000)
    >>> left.interval[0] <= left.share <= left.interval[1]
    True
    """

    samples: int
    standing: int
    finds: int
    late: int
    foreseen: float
    soon: float
    ahead: float
    gradients: int
    prior: Prior = FITTED

    @property
    def _evidence(self) -> tuple[float, float]:
        """Shape and rate of the law of the factor, after the run."""
        shape, rate, weight, most = self.prior
        shape, rate = shape + weight * self.late, rate + weight * self.foreseen
        bound = most / (most + shape)
        return shape * bound, rate * bound

    @cached_property
    def law(self) -> list[float]:
        """Probabilities of 0, 1, ... further finds, at most as many as samples stand."""
        shape, rate = self._evidence
        return negative_binomial(shape, self.ahead / rate * shape, self.standing)

    @property
    def share(self) -> float:
        """By how much the robust accuracy would fall, as a share of all samples: the mean of the estimate."""
        return sum(k * p for k, p in enumerate(self.law)) / self.samples

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of that fall, as shares of all samples; one find more at least, unless none is foreseen."""
        law, tail = self.law, (1 - _CONFIDENCE) / 2
        high = min(self.standing, max(quantile_of_law(law, 1 - tail), math.ceil(self.share * self.samples)))
        return quantile_of_law(law, tail) / self.samples, high / self.samples

    @property
    def next_find(self) -> float:
        """Gradients that the next find may cost, if all samples that stand go on; inf where none can be foreseen."""
        shape, rate = self._evidence
        return _RUN * self.standing * rate / (shape * self.soon) if self.soon else math.inf

    @property
    def points(self) -> str:
        """The estimate with its interval, in points."""
        return f"{self._percent(self.share)} ({' to '.join(map(self._percent, self.interval))})"

    def _percent(self, value: float) -> str:
        return f"{100 * value:.{1 if self.samples <= 2000 else 2}f}"

    @property
    def words(self) -> str:
        """The estimate in words, without its subject."""
        if not self.standing:
            return "no further: no sample stands"
        return (
            f"by about {self._percent(self.share)} points more (95 % interval "
            f"{' to '.join(map(self._percent, self.interval))}) if effort exhaustive were run with another seed: "
            "an estimate from this run's finds, not a bound"
        )

    @property
    def place(self) -> str:
        """Where the run stands on the curve of cost against strength, in words."""
        each = f", {_round(self.gradients / self.late)} each" if self.late > 1 else ""
        said = (
            f"runs after the second of a sample broke {self.late} of the {self.finds} that fell, for "
            f"{_round(self.gradients)} gradients{each}"
        )
        return said if math.isinf(self.next_find) else f"{said}; the next may cost about {_round(self.next_find)}"

    def data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "share": self.share,
            "interval": self.interval,
            "reference": "exhaustive, another seed",
            "standing": self.standing,
            "finds": self.finds,
            "late_finds": self.late,
            "late_gradients": self.gradients,
            "next_find_gradients": None if math.isinf(self.next_find) else self.next_find,
            "words": self.words,
            "place": self.place,
        }


def remains(table: Mapping[str, Sequence[Any]], effort: Effort) -> Remains | None:
    """Return the estimate that the table of a run gives; None where there is nothing to tell it from.

    That is so where runs are not those the estimate was fitted to (other recipes, fewer than six of them, pursuit or
    random search), and where an earlier version wrote the run, which did not keep what is needed.

    >>> table = {"verdict": ["robust"], "runs": [7], "chance": [0.003], "foreseen": [0.1], "backward": [130]}
    >>> found = remains(table, Effort.quick())
    >>> found.standing, found.late, remains(table, Effort(Effort.quick().runs[:2]))
    (1, 0, None)
    """
    other = any(isinstance(stage, Pursuit | RandomSearch) for stage in effort.stages)
    if other or len(effort.runs) < _FEWEST or set(effort.runs) - set(_reference().runs) or "foreseen" not in table:
        return None
    rows = [row for row in map(_Row._make, zip(*(table[name] for name in _Row._fields), strict=True)) if row.runs]
    if any(math.isnan(row.foreseen) for row in rows):
        return None
    first, threshold = sum(run.steps for run in effort.runs[:EARLY]), _reference().rule.risk
    stand, fell = ([row for row in rows if row.verdict == word] for word in ("robust", "broken"))
    return Remains(
        samples=len(table["verdict"]),
        standing=len(stand),
        finds=len(fell),
        late=sum(row.runs > EARLY for row in fell),
        foreseen=sum(_ALIKE * math.log1p(row.foreseen / _ALIKE) for row in rows),
        soon=sum(_falls(row.chance, row.foreseen) for row in stand),
        ahead=sum(_falls(_ahead(row.chance, row.backward, threshold), row.foreseen) for row in stand),
        gradients=sum(max(row.backward - first, 0) for row in rows),
    )


class _Row(NamedTuple):
    """What is asked of a sample: columns of the table of a report."""

    verdict: str
    runs: int
    chance: float
    foreseen: float
    backward: int


@cache
def _reference() -> Effort:
    return Effort.exhaustive()


def _ahead(chance: float, gradients: int, threshold: float) -> float:
    """What the law of :class:`Remains` expects of one sample up to the end of ``exhaustive``."""
    longer = (chance / threshold) ** (2 / 3)
    return 2 * chance * gradients / _RUN * (1 - 1 / math.sqrt(1 + longer))


def _falls(foreseen: float, stood: float) -> float:
    """The chance that a sample falls of which so many finds are foreseen, and that has stood so many."""
    return -math.expm1(-_ALIKE * math.log1p(foreseen / (_ALIKE + stood)))


def negative_binomial(shape: float, mean: float, most: int) -> list[float]:
    """Return the probabilities of 0 to ``most`` of a negative binomial law, all above ``most`` counted with it.

    p_k = Gamma(s + k) / (Gamma(s) k!) (1 + mean / s)^(-s) (1 + s / mean)^(-k), s the shape.

    Args:
        shape: positive; the larger, the nearer to Poisson's law.
        mean: at least 0.
        most: at least 0.

    Returns:
        most + 1 numbers that sum to 1.

    >>> [round(p, 3) for p in negative_binomial(1, 1, 2)]
    [0.5, 0.25, 0.25]
    """
    if mean == 0 or most == 0:
        return [1.0] + [0.0] * most
    none, odds = -shape * math.log1p(mean / shape) - math.lgamma(shape), -math.log1p(shape / mean)
    law = [math.exp(none + math.lgamma(shape + k) - math.lgamma(k + 1) + k * odds) for k in range(most)]
    return [*law, max(0.0, 1 - math.fsum(law))]


def quantile_of_law(law: Sequence[float], level: float) -> int:
    """Return the least k that is exceeded with probability at most 1 - level.

    >>> quantile_of_law([0.5, 0.25, 0.25], 0.5), quantile_of_law([0.5, 0.25, 0.25], 0.51)
    (0, 1)
    """
    return min(bisect_left([*accumulate(law)], level), len(law) - 1)


def _round(value: float) -> str:
    """Two figures and thousands, since no more of them are known.

    >>> _round(27183), _round(0)
    ('27,000', '0')
    """
    digits = 2 - len(f"{abs(value):.0f}")
    return f"{round(value, min(digits, 0)):,.0f}"
