"""How what a run was asked is written down: settings are told apart, also of what a function holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

import maxslope as ms
from maxslope.boundary import Densities, Grid
from maxslope.evaluation._codec import decode, encode
from maxslope.schemes import Explicit, MinimizingMovement, Momentum, SemiImplicit
from maxslope.sets import Box
from maxslope.spaces import Lp


class Lines:
    """Prints as every object does that says nothing of itself: by its address."""

    def __init__(self, most: float) -> None:
        self.most = most

    def read(self, z: Tensor) -> Tensor:
        return z.clamp(max=self.most)


def holding(thing: object) -> Callable[[Tensor], Tensor]:
    """A function that holds an object."""
    return lambda z: z if thing is None else z + 0


@pytest.mark.parametrize(
    ("make", "other"),
    [
        (lambda: Box(torch.zeros(1, 2), torch.ones(1, 2)), Box(torch.zeros(1, 2), torch.full((1, 2), 0.8))),
        (lambda: Explicit(0.1), Explicit(0.1, rate=2.0)),
        (lambda: SemiImplicit(0.1), SemiImplicit(0.2)),
        (lambda: Momentum(Explicit(0.1)), Momentum(Explicit(0.1), 0.5)),
        (lambda: MinimizingMovement(0.1), MinimizingMovement(0.1, nodes=3)),
        (lambda: ms.Linf(0.1), ms.Linf(0.2)),
        (lambda: Grid((4, 4), 0, 1), Grid((4, 4), 0, 2)),
        (lambda: Densities(torch.ones(4, 4), torch.ones(4, 4)), Densities(torch.ones(4, 4), torch.zeros(4, 4))),
        (lambda: Lines(1.0), Lines(2.0)),
    ],
)
def test_functions_are_known_by_the_settings_of_what_they_hold(make: Callable[[], object], other: object) -> None:
    """A run went on with a realization of another box, and mixed the two."""
    written = encode(holding(make()))
    assert "foreign" in written
    assert encode(holding(make())) == written
    assert encode(holding(other)) != written


def by_default(most: float) -> Callable[[Tensor], Tensor]:
    """A function with its setting as a default."""
    return lambda z, most=most, *, least=-most: z.clamp(least, most)


def test_functions_are_known_by_what_they_are_bound_to() -> None:
    """A method knows its object, a partial function its arguments, a function its defaults."""
    small, large = (Box(torch.zeros(1, 2), torch.full((1, 2), most)) for most in (0.5, 1.0))
    again = Box(torch.zeros(1, 2), torch.full((1, 2), 0.5))
    assert encode(small.project) == encode(again.project) != encode(large.project)
    assert encode(Lines(1.0).read) == encode(Lines(1.0).read) != encode(Lines(2.0).read)
    assert encode(by_default(1.0)) == encode(by_default(1.0)) != encode(by_default(2.0))
    assert encode(partial(torch.clamp, max=1.0)) == encode(partial(torch.clamp, max=1.0))
    assert encode(partial(torch.clamp, max=1.0)) != encode(partial(torch.clamp, max=2.0))


@pytest.mark.parametrize(
    "scheme",
    [Explicit(0.1), SemiImplicit(0.1, Lp(2), 2.0), MinimizingMovement(0.1, nodes=3), Momentum(Explicit(0.2), 0.5)],
)
def test_schemes_are_written_with_their_settings(scheme: object) -> None:
    assert repr(decode(encode(scheme))) == repr(scheme)
    assert repr(scheme).startswith(f"{type(scheme).__name__}(")
