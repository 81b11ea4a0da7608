"""The stages of an attack: what is made of every sample that stands, one after the other, as plain records."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from maxslope.attacks._plan import LEAST
from maxslope.attacks.recipes import Recipe
from maxslope.attacks.rule import Rule


@dataclass(frozen=True)
class Runs:
    """Gradient runs inside the budget; further ``Runs`` of an effort go on counting where these end.

    Args:
        recipes: one for each run, in order.

    Raises:
        ValueError: if there are none.
    """

    recipes: tuple[Recipe, ...]

    def __post_init__(self) -> None:
        if not self.recipes:
            raise ValueError("Runs need at least one recipe, got none.")


@dataclass(frozen=True)
class Pursuit:
    """Along the boundary from outside the budget: short ways from several starts towards several classes.

    Where gradients mislead inside the budget, the boundary may still be found from outside and followed inwards.

    Args:
        passes: gradients a sample, at least 4.
        risk: a sample is given up when the estimated chance that another way would break it falls to this, see
            :meth:`maxslope.attacks.rule.Rule.pursues`; 0 never gives up.

    Raises:
        ValueError: if there are fewer passes, or the risk is not in [0, 1].
    """

    passes: int
    risk: float = 0.0

    def __post_init__(self) -> None:
        Rule(self.risk)
        if self.passes < LEAST:
            raise ValueError(f"A pursuit needs at least {LEAST} passes, got {self.passes!r}.")

    def __str__(self) -> str:
        return f"pursuit {self.passes}"


@dataclass(frozen=True)
class RandomSearch:
    """Gradient-free search by values alone.

    A fifth as many queries come before, and a sample gets the others where they lower its margin by more than
    everything before them did.

    Args:
        queries: forward passes a sample, at least 1.

    Raises:
        ValueError: if there are fewer.
    """

    queries: int

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise ValueError(f"A random search needs at least one query, got {self.queries!r}.")

    def __str__(self) -> str:
        return f"{self.queries} queries"


@dataclass(frozen=True)
class Bundle:
    """From the best point of samples that nearly fell: steps that every gradient seen nearby says go down.

    Made of samples whose least margin is at most a fifth of that at their first point. Either such a step lowers the
    margin and is taken, or the gradients leave none: the point is a local minimum to first order, kinks included.
    Not made where a point is realized or the model is random: gradients nearby then say nothing of values there.

    Args:
        passes: gradients a sample, at most; at least 1.
        share: of eps, within which gradients count and steps are made.

    Raises:
        ValueError: if there are fewer, or the share is not in (0, 1].
    """

    passes: int
    share: float = 0.1

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise ValueError(f"A bundle needs at least one pass, got {self.passes!r}.")
        if not 0 < self.share <= 1:
            raise ValueError(f"A bundle gathers gradients within a share of eps in (0, 1], got {self.share!r}.")


@dataclass(frozen=True)
class Restarts:
    """New searches from scratch, with random numbers of their own, of the samples that the rule does not give up.

    Jumps of a search start from its best point, and so stay where it has led; on the hardest samples several shorter
    searches break other ones than one long search does. Made only where backward passes have no limit.

    Args:
        recipes: the runs of each search, in order.
        times: how many searches.

    Raises:
        ValueError: if there are no runs, or no searches.
    """

    recipes: tuple[Recipe, ...]
    times: int

    def __post_init__(self) -> None:
        if not self.recipes or self.times < 1:
            raise ValueError(f"Restarts need a recipe and a time at least, got {len(self.recipes)} and {self.times}.")


@dataclass(frozen=True)
class Patterns:
    """Exact search where gradients end: mixed-integer programs among the activation patterns of good points.

    Made of samples that nearly fell, on networks of affine layers with ReLUs between them, for l_inf budgets and the
    goal of a wrong class, where scipy is installed; elsewhere not. New searches, with seeds of their own, find good
    points; ReLUs on which all of them agree stay as they are, and the others are solved for. A program takes seconds
    to minutes, and no passes but that of the verification.

    Args:
        restarts: new searches of a sample, each of some 300 gradients.
        binaries: ReLUs that are left open, at most.
        nodes: of the search tree of a program, at most: a limit in work, so that a verdict replays.

    Raises:
        ValueError: if one of them is below 1.
    """

    restarts: int = 8
    binaries: int = 40
    nodes: int = 20

    def __post_init__(self) -> None:
        if min(self.restarts, self.binaries, self.nodes) < 1:
            raise ValueError(f"Exact search needs restarts, binaries and nodes of at least 1, got {self!r}.")


@dataclass(frozen=True)
class OutsideProbe:
    """A look from outside the budget at a few samples that stand, made where an attack is asked to probe.

    Where errors are seen, more runs inside the budget are wasted, and so is a search by values: ``then`` is made
    instead of what follows in the effort. Otherwise the effort goes on; where kinks mislead most samples (see
    :func:`maxslope.attacks.rule.misled`), all samples follow a rule that gives the spread of runs ``weight`` times
    the weight, as if it had been theirs from the first run on: then only runs may come before.

    Args:
        then: the stages of every sample that stands, where errors are seen.
        weight: at least 1, which leaves the rule as it is.

    Raises:
        ValueError: if the weight is below 1 or not finite.
    """

    then: tuple[Pursuit | RandomSearch, ...]
    weight: float = field(default=1.0, metadata={"added": "0.4"})

    def __post_init__(self) -> None:
        if not 1 <= self.weight < math.inf:  # a lighter rule would have given up runs that are made by then
            raise ValueError(f"The weight of an OutsideProbe is at least 1 and finite, got weight={self.weight!r}.")


@dataclass(frozen=True)
class Rescue:
    """The indicators, on a few samples, made where an attack is asked to probe.

    Where they say that gradients are not to be trusted, ``then`` is made instead of what follows in the effort.

    Args:
        then: the stages of every sample that stands, where they say so.
    """

    then: tuple[Pursuit | RandomSearch, ...]


Probing = OutsideProbe | Rescue
Stage = Runs | Pursuit | RandomSearch | Bundle | Restarts | Patterns | Probing
