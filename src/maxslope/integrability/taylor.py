"""High-precision gradient flow by Taylor series, with the energy identity as its check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import mul
from typing import Any

import mpmath
import sympy as sp

from maxslope.integrability.exact import exact
from maxslope.integrability.loops import flint_module, precision
from maxslope.integrability.networks import NarrowNetwork

ORDER = 40


@dataclass(frozen=True)
class NumericFlow:
    """theta(t) with the dissipated energy E = int |grad L|^2 and the defect L(0) - L(t) - E."""

    theta: tuple[Any, ...]
    dissipated: Any
    defect: Any
    steps: int


def numeric_flow(
    network: NarrowNetwork,
    start: tuple[Any, ...],
    time: Any,
    digits: int = 40,
    flint: bool | None = None,
) -> NumericFlow:
    r"""Integrate $\theta' = -\nabla L$ and $E' = |\nabla L|^2$ to about `digits` digits.

    With python-flint by Taylor series of order 40, otherwise by `mpmath.odefun`, which is much slower. The defect of
    the energy identity $L(0) - L(t) = E(t)$ estimates the error and encloses nothing.

    Args:
        network: the network; its activation must be built from powers, roots and elementary functions.
        start: exact numbers, strings or mpmath numbers, one for each parameter.
        time: end time, positive.
        digits: decimal digits asked for.
        flint: use python-flint (True), mpmath (False), or what is installed (None).

    Raises:
        ValueError: if the start has the wrong length, the time is negative, or python-flint is not installed.

    Source: energy identity of curves of maximal slope, Ambrosio, Gigli and Savare, chapter 1.

    >>> from maxslope.integrability.networks import LINEAR
    >>> net = NarrowNetwork(LINEAR, ((1, 1),), bias=False)
    >>> flow = numeric_flow(net, (1, "1/2"), 1, digits=20)
    >>> bool(abs(flow.defect) < 1e-18)
    True
    """
    if len(start) != len(network.parameters):
        raise ValueError(f"the start must have one entry for each of {network.parameters}; got {len(start)}.")
    if time < 0:
        raise ValueError(f"the time must not be negative; got {time}.")
    module = None if flint is False else flint_module()
    if flint and module is None:
        raise ValueError("flint=True needs python-flint; install the extra maxslope[flint] or leave flint out.")
    gradient = list(network.gradient())
    field = [*(-g for g in gradient), sum((g**2 for g in gradient), sp.Integer(0))]
    with precision(digits + 15, module):
        begin = [_number(v) for v in start] + [mpmath.mpf(0)]
        if module is None:
            right = sp.lambdify(network.parameters, field, "mpmath")
            end, steps = list(mpmath.odefun(lambda t, y: right(*y[:-1]), 0, begin)(mpmath.mpf(time))), 0
        else:
            end, steps = _taylor(network, field, begin, mpmath.mpf(time), digits, module)
        loss = sp.lambdify(network.parameters, network.loss(), "mpmath")
        defect = loss(*begin[:-1]) - loss(*end[:-1]) - end[-1]
    return NumericFlow(tuple(end[:-1]), end[-1], defect, steps)


def _number(value: Any) -> Any:
    if isinstance(value, mpmath.mpf | int | float):
        return mpmath.mpf(value)
    return mpmath.mpmathify(sp.N(exact(value) if isinstance(value, str) else sp.sympify(value), mpmath.mp.dps + 5))


def _taylor(
    network: NarrowNetwork, field: list[Any], begin: list[Any], time: Any, digits: int, flint: Any
) -> tuple[list[Any], int]:
    functions = _functions(flint, field)
    power = sp.Function("power")  # of integers: flint's own is NaN for constants that may be 0
    field = [e.replace(lambda p: p.is_Pow and p.exp.is_Integer, lambda p: power(p.base, p.exp)) for e in field]
    right = sp.lambdify(network.parameters, field, [functions, "mpmath"], cse=True)
    state = [flint.arb(v) for v in begin]
    left, steps = mpmath.mpf(time), 0
    while left > 0:
        rows = _coefficients(right, state, flint)
        step = min(left, _step_size(rows, digits))
        h = flint.arb(step)
        state = [reduce(lambda total, value: total * h + value, row[::-1]).mid() for row in rows]
        left, steps = left - step, steps + 1
    return [mpmath.mpf(v) for v in state], steps


def _coefficients(right: Callable[..., Any], state: list[Any], flint: Any) -> list[list[Any]]:
    """Taylor coefficients of the solution: y_{k+1} = [t^k] f(y) / (k+1)."""
    rows = [[value] for value in state]
    for k in range(ORDER):
        flint.ctx.cap = k + 1
        values = right(*(flint.arb_series(row) for row in rows[:-1]))
        for row, value in zip(rows, values, strict=True):
            row.append((flint.arb_series(value)[k] / (k + 1)).mid())
    return rows


def _step_size(rows: list[list[Any]], digits: int) -> Any:
    """The step at which the last two terms are below 10**(-digits-5) relative to the state."""
    goal = mpmath.mpf(10) ** (-digits - 5)
    sizes = [(mpmath.mpf(abs(row[k])), 1 + mpmath.mpf(abs(row[0])), k) for k in (ORDER - 1, ORDER) for row in rows]
    steps = ((goal * scale / size) ** (mpmath.mpf(1) / k) for size, scale, k in sizes if size > 0)
    return min(steps, default=mpmath.inf)


def _functions(flint: Any, field: list[sp.Expr]) -> dict[str, Any]:
    """The numbers and elementary functions that lambdify writes, as power series."""
    known: dict[str, Callable[[Any], Any]] = {
        "exp": lambda s: s.exp(),
        "log": lambda s: s.log(),
        "sin": lambda s: s.sin(),
        "cos": lambda s: s.cos(),
        "tan": lambda s: s.sin() / s.cos(),
        "atan": lambda s: s.atan(),
        "sinh": lambda s: (s.exp() - (-s).exp()) / 2,
        "cosh": lambda s: (s.exp() + (-s).exp()) / 2,
        "tanh": lambda s: 1 - 2 / ((2 * s).exp() + 1),
        "erf": lambda s: s.erf(),
    }
    unknown = sorted({str(f.func) for expr in field for f in expr.atoms(sp.Function)} - set(known))
    if unknown:
        raise ValueError(f"the series evaluator does not know {unknown[0]}; use one of {sorted(known)} or flint=False.")

    def of_series(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda s: function(flint.arb_series(s))

    def power(base: Any, exponent: int) -> Any:
        out = reduce(mul, [base] * abs(exponent), flint.arb_series([1]))
        return 1 / out if exponent < 0 else out

    functions = {name: of_series(function) for name, function in known.items()}
    constants = {name: flint.arb(mpmath.mpf(getattr(mpmath, name))) for name in ("pi", "e", "phi", "euler", "catalan")}
    return functions | constants | {"mpf": flint.arb, "sqrt": of_series(lambda s: s.sqrt()), "power": power}
