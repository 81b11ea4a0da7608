"""Explicit integral curves in invariant planes: the table, and curves given by the user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp

from maxslope.integrability.networks import ALGEBRAIC, TAN, TANH, NarrowNetwork


def rational(expr: sp.Expr, v: sp.Symbol, what: str) -> sp.Expr:
    """Bring an expression into the form of a rational function of v, or refuse it."""
    for attempt in (_cancel, _thorough):
        value = attempt(expr)
        if value.is_rational_function(v):
            return value
    raise ValueError(f"{what} must be a rational function of {v}; got {expr}. Choose another parameter of the curve.")


def rational_in(expr: sp.Expr, v: sp.Symbol) -> sp.Expr:
    """An expression with functions of the curve's parameter, simplified as far as its square roots go."""
    return expr if expr.is_rational_function(v) else sp.simplify(_settle(expr))


def _cancel(expr: sp.Expr) -> sp.Expr:
    plain = expr.is_rational_function(*expr.free_symbols)
    return sp.cancel(sp.together(expr if plain else sp.expand(expr)))


def _settle(expr: sp.Expr) -> sp.Expr:
    """Write functions of logarithms and arc tangents as rational functions, one by one."""
    for inner in (sp.log, sp.atan):
        composed = {f for f in expr.atoms(sp.Function) if f.has(inner) and f.func is not inner}
        closed = {f: sp.expand_trig(f) if inner is sp.atan else sp.powsimp(f.rewrite(sp.exp)) for f in composed}
        expr = expr.subs({f: _cancel(moved) for f, moved in closed.items()})
    return expr


def vanishes(expr: sp.Expr) -> bool:
    """Whether an algebraic expression is identically zero."""
    return bool(_cancel(expr) == 0 or _thorough(expr) == 0)


def _thorough(expr: sp.Expr) -> sp.Expr:
    return _cancel(sp.simplify(sp.radsimp(sp.simplify(expr))))


@dataclass(frozen=True)
class IntegralCurve:
    """A parametrized curve theta(v), v best a positive symbol (square roots simplify); `origin`: where it is from."""

    variable: sp.Symbol
    theta: tuple[sp.Expr, ...]
    origin: str = "given by the user"

    def on(self, network: NarrowNetwork, expr: Any) -> Any:
        """An expression (or matrix) in the parameters, restricted to the curve."""
        values = dict(zip(network.parameters, self.theta, strict=True))
        if isinstance(expr, sp.MatrixBase):
            return expr.applyfunc(lambda e: _settle(e.subs(values)))
        return _settle(expr.subs(values))

    def matches(self, network: NarrowNetwork) -> None:
        """Refuse a curve with another number of entries than the network has parameters."""
        if len(self.theta) != len(network.parameters):
            raise ValueError(
                f"the curve must have one entry for each of {network.parameters}; got {len(self.theta)} entries."
            )

    def speed(self, network: NarrowNetwork) -> sp.Expr:
        """v' along the flow, exact; verifies that the curve is an integral curve.

        Raises:
            ValueError: if the gradient is not parallel to the tangent of the curve, or the
                curve has another number of coordinates than the network.
        """
        self.matches(network)
        tangent = [sp.diff(t, self.variable) for t in self.theta]
        gradient = self.on(network, network.gradient())
        pivot = next((i for i, t in enumerate(tangent) if t != 0), None)
        if pivot is None:
            raise ValueError(f"the curve must move with {self.variable}; got a constant point.")
        speed = rational(-gradient[pivot] / tangent[pivot], self.variable, "the speed v'")
        for t, g, name in zip(tangent, gradient, network.parameters, strict=True):
            if not vanishes(g + speed * t):
                raise ValueError(
                    "the curve must follow the gradient: grad L + v' theta'(v) = 0; "
                    f"the {name} entry leaves {_cancel(g + speed * t)}. Check the parametrization."
                )
        if speed == 0:
            raise ValueError("the curve must not consist of equilibria; the gradient vanishes.")
        return speed


def table_curve(network: NarrowNetwork, exponential: bool = False) -> IntegralCurve:
    """The explicit curve known for a network.

    z^k: w = sqrt(k) a, v = a^2 (odd data symmetry with biases; any data for equal neurons).
    tanh with |x_i| = 1: a = sinh w, v = cosh w (v = e^w for equal neurons).
    tan with |x_i| = 1: a = sin w, v = tan(w/2). z/sqrt(1+z^2) with |x_i| = 1 and y = 0:
    a^2 = w^2 + w^4/2, v = w. With another common |x_i| a and w are divided by it. Two linear neurons: the
    second is dead and a = w.

    Args:
        network: one neuron with biases, or equal neurons without.
        exponential: ask for v = e^w on the tanh curve with biases as well.

    Raises:
        ValueError: if the table has no curve for the network.

    >>> from maxslope.integrability.networks import TANH
    >>> table_curve(NarrowNetwork(TANH, ((1, 2), (-1, -2)))).theta
    (sqrt(C - 1)*sqrt(C + 1), acosh(C), 0, 0)
    """
    k = network.activation.power
    if network.bias and network.neurons != 1:
        raise ValueError("the table has one neuron with biases or several without; give a curve.")
    if k == 1 and network.neurons == 2:
        v = sp.Symbol("alpha", positive=True)
        return IntegralCurve(v, (v, v, sp.Integer(0), sp.Integer(0)), "dead neuron, a1 = w1")
    if k is not None:
        v = sp.Symbol("s", positive=True)
        return _spread(network, v, sp.sqrt(v), sp.sqrt(k * v), f"w = sqrt({k}) a, s = a^2")
    sizes = network.sizes
    if len(sizes) > 1 or 0 in sizes:
        raise ValueError(
            f"the table needs one |x_i| for all samples, not 0, for {network.activation.name}; "
            f"got {[x for x, _ in network.samples]}. Give a curve."
        )
    unit = _unit_curve(network, exponential or not network.bias)
    size = sizes.pop()
    scaled = f", both over {size}" if size != 1 else ""
    return IntegralCurve(unit.variable, tuple(t / size for t in unit.theta), unit.origin + scaled)


def _unit_curve(network: NarrowNetwork, exponential: bool) -> IntegralCurve:
    """Curves a^2/2 = int s/s' dw for inputs +-1; for +-x both a and w are divided by x."""
    own = network.activation
    if own == TANH and exponential:
        v = sp.Symbol("V", positive=True)
        return _spread(network, v, (v - 1 / v) / 2, sp.log(v), "a = sinh w, V = e^w")
    if own == TANH:
        v = sp.Symbol("C", positive=True)
        a = sp.sqrt(v - 1) * sp.sqrt(v + 1)
        return _spread(network, v, a, sp.acosh(v), "a = sinh w, C = cosh w")
    if own == TAN:
        v = sp.Symbol("t", positive=True)
        return _spread(network, v, 2 * v / (1 + v**2), 2 * sp.atan(v), "a = sin w, t = tan(w/2)")
    if own == ALGEBRAIC and all(y == 0 for _, y in network.samples):
        v = sp.Symbol("w", positive=True)
        return _spread(network, v, v * sp.sqrt(1 + v**2 / 2), v, "a^2 = w^2 + w^4/2")
    raise ValueError(
        f"the table has no algebraic curve for the activation {own.name} on these data. "
        "Give a curve as IntegralCurve(v, theta)."
    )


def _spread(network: NarrowNetwork, v: sp.Symbol, a: sp.Expr, w: sp.Expr, origin: str) -> IntegralCurve:
    """Put the pair (a, w) into every neuron, with zero biases."""
    biases = (sp.S.Zero,) * network.bias
    return IntegralCurve(v, (a, w, *biases) * network.neurons + biases, origin)
