"""A derivation written out for the checker: network, curve and states as expressions in a tower of square roots."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from maxslope.integrability.curves import IntegralCurve, rational_in
from maxslope.integrability.networks import Activation, NarrowNetwork, Plane

_CANDIDATES = (0, 1, -1, 2, -2, sp.Rational(1, 2))


@dataclass
class _Writer:
    """Sympy expressions as strings; square roots get names on the way."""

    variable: sp.Symbol
    base: Any
    roots: dict[sp.Expr, sp.Symbol] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The variable's name in the certificate."""
        text = str(self.variable)
        return text if re.fullmatch(r"[A-Za-z][A-Za-z0-9]{0,9}", text) and text != "alpha" else "v"

    def text(self, expr: Any) -> str:
        """The expression in the variable, `alpha` and square roots."""
        out = self._plain(sp.sympify(expr))
        free = out.free_symbols - set(self.roots.values()) - {self.variable, sp.Symbol("alpha")}
        symbols = [self.variable, sp.Symbol("alpha"), *self.roots.values()]
        rational = all(a.is_Rational for a in out.atoms(sp.Number, sp.NumberSymbol, sp.I.func))
        if free or not rational or not out.is_rational_function(*symbols):
            raise ValueError(f"{expr} is not made of square roots of rational functions")
        return str(sp.sstr(out.subs(self.variable, sp.Symbol(self.name)))).replace("**", "^")

    def _plain(self, expr: sp.Expr) -> sp.Expr:
        inside = self._constant(expr)
        if inside != expr or not expr.args:
            return inside
        if expr.is_Pow and expr.exp.is_Rational and expr.exp.q == 2:
            return self._root(expr.base) ** (2 * expr.exp)
        return expr.func(*(self._plain(a) for a in expr.args))

    def _constant(self, expr: sp.Expr) -> sp.Expr:
        """An irrational number of the equation's field as a polynomial in alpha; anything else as it is."""
        if not self.base.is_Algebraic or not expr.is_number or expr.is_Rational:
            return expr
        try:
            element = self.base.from_sympy(expr)
        except (sp.CoercionFailed, NotImplementedError):
            return expr
        terms = (sp.QQ.to_sympy(c) for c in reversed(element.to_list()))
        return sp.Add(*(c * sp.Symbol("alpha") ** k for k, c in enumerate(terms)))

    def _root(self, square: sp.Expr) -> sp.Expr:
        """The names of the roots of its factors, multiplied: roots that depend on each other get none of their own."""
        pieces = _pieces(square, self.variable)
        for piece in pieces:
            if piece not in self.roots:
                self.roots[piece] = sp.Symbol(f"g{len(self.roots) + 1}")
        return sp.Mul(*(self.roots[piece] for piece in pieces))

    def squares(self) -> dict[str, str]:
        """What the named square roots are roots of."""
        squares = dict(self.roots)
        out = {str(g): self.text(square) for square, g in squares.items()}
        if len(self.roots) > len(squares):
            raise ValueError("a square root stands under another one")
        return out


def _pieces(square: sp.Expr, v: sp.Symbol) -> list[sp.Expr]:
    """Factors whose product is `square`; of an integer its prime factors."""
    if square.is_Integer:
        return [sp.Integer(p) for p, e in sp.factorint(square).items() for _ in range(e)]
    if square.is_polynomial(v) and square.has(v):
        factors = sp.factor_list(square, v)[1]
        if len(factors) > 1:
            parts = [f for f, e in factors for _ in range(e)]
            rest = sp.cancel(square / sp.Mul(*parts))
            return parts if rest == 1 else [rest, *parts]
    return [square]


def derivation(network: NarrowNetwork, curve: IntegralCurve, plane: Plane, base: Any) -> dict[str, Any]:
    """What the checker needs to derive r, over the field `base`, again; refused unless made of square roots."""
    writer = _Writer(curve.variable, base)
    states = _states(network, curve)
    origin = _origin(network, curve) if network.activation.states else None
    written: dict[str, Any] = {
        "activation": _activation(network.activation),
        "neurons": network.neurons,
        "bias": network.bias,
        "data": [[writer.text(x), writer.text(y)] for x, y in network.samples],
        "variable": writer.name,
        "origin": None if origin is None else str(origin),
        "curve": [_entry(writer, t) for t in curve.theta],
        "states": [[{k: writer.text(e) for k, e in cell.items()} for cell in row] for row in states],
        "normal": [[str(c) for c in plane.normal.col(k)] for k in range(2)],
    }
    return written | {"roots": writer.squares()}


def _activation(activation: Activation) -> Any:
    if activation.named or activation.power is not None:
        return activation.name
    if activation.value is None:
        raise ValueError(f"the activation {activation.name} has no rule (states and a value)")
    states = {s.name: {"rate": s.rate, "start": s.start} for s in activation.states}
    return {"value": activation.value, "states": states}


def _entry(writer: _Writer, theta: sp.Expr) -> Any:
    """An expression, or the slope of an integral where the entry is none."""
    try:
        return writer.text(theta)
    except ValueError:
        return {"slope": writer.text(sp.simplify(sp.diff(theta, writer.variable)))}


def _inputs(network: NarrowNetwork) -> list[list[sp.Expr]]:
    """w_j x_i + b_j by sample and neuron."""
    neurons = [network.neuron(j) for j in range(network.neurons)]
    return [[w * x + sum(b) for _, w, *b in neurons] for x, _ in network.samples]


def _states(network: NarrowNetwork, curve: IntegralCurve) -> list[list[dict[str, sp.Expr]]]:
    def along(z: sp.Expr) -> dict[str, sp.Expr]:
        states = network.activation.states
        return {s.name: rational_in(curve.on(network, s.function(z)), curve.variable) for s in states}

    return [[along(z) for z in row] for row in _inputs(network)]


def _origin(network: NarrowNetwork, curve: IntegralCurve) -> sp.Rational:
    """A rational point where every input of the activation vanishes."""
    inputs = [curve.on(network, z) for row in _inputs(network) for z in row]
    for value in _CANDIDATES:
        if all(sp.simplify(z.subs(curve.variable, value)) == 0 for z in inputs):
            return sp.Rational(value)
    raise ValueError(f"no input of the activation vanishes at {curve.variable} = 0, 1, -1, 2, -2 or 1/2")
