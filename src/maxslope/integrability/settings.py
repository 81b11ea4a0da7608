"""Ready-made networks: the examples that the certificate was built for."""

from __future__ import annotations

from typing import Any

import sympy as sp

from maxslope.integrability.exact import exact
from maxslope.integrability.networks import LINEAR, TANH, NarrowNetwork, monomial


def tanh_bias(target: Any = "3/2") -> NarrowNetwork:
    """One tanh neuron with biases on (1, y), (-1, -y)."""
    y = exact(target, "the target")
    return NarrowNetwork(TANH, ((1, y), (-1, -y)))


def cubic_teacher(origin: bool = False) -> NarrowNetwork:
    """Cubic neuron with biases, taught by a = 1, w = sqrt 3; optionally with the point (0, 0)."""
    y = 3 * sp.sqrt(3)
    return NarrowNetwork(monomial(3), ((1, y), (-1, -y)) + (((0, 0),) if origin else ()))


def zero_target(k: int = 3, square: Any = 1) -> NarrowNetwork:
    """z^k with biases, target 0 at x = +-lambda with lambda^2 = `square`."""
    x = sp.sqrt(exact(square, "lambda squared"))
    return NarrowNetwork(monomial(k), ((x, 0), (-x, 0)))


def linear_bias(target: Any = 1) -> NarrowNetwork:
    """A linear neuron with hidden and output bias on (1, y), (-1, -y)."""
    y = exact(target, "the target")
    return NarrowNetwork(LINEAR, ((1, y), (-1, -y)))


def linear_pair(data: tuple[tuple[Any, Any], ...] = ((1, 1), (2, "3/2"))) -> NarrowNetwork:
    """Two linear neurons without bias: the control with a closed form."""
    return NarrowNetwork(LINEAR, data, neurons=2, bias=False)


def tanh_pair(x: Any = 1, y: Any = 3) -> NarrowNetwork:
    """Two tanh neurons without bias on one sample."""
    return NarrowNetwork(TANH, ((x, y),), neurons=2, bias=False)


def cubic_pair(data: tuple[tuple[Any, Any], ...] = ((1, 3), (2, 1))) -> NarrowNetwork:
    """Two cubic neurons without bias."""
    return NarrowNetwork(monomial(3), data, neurons=2, bias=False)
