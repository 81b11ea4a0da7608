"""The checker's own derivation of r: from activation, data, curve and normal directions to y'' = r y.

Everything is computed in k(v)[g_1, ..., g_m] with g_j^2 in k(v), where an identity holds for every branch of the roots.
A state of the activation is right if it has the right value at the origin and solves its equation along the curve.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from maxslope.integrability import _exact as ex
from maxslope.integrability._check_data import Given, demand, fields, fraction, integer, listing, text
from maxslope.integrability._tower import Element, Jet, Ratio, constant, expression, name

RULES: dict[str, dict[str, Any]] = {
    "tanh": {"value": "u", "states": {"u": {"rate": "1 - u^2", "start": "0"}}},
    "tan": {"value": "u", "states": {"u": {"rate": "1 + u^2", "start": "0"}}},
    "z/sqrt(1+z^2)": {"value": "z*u", "states": {"u": {"rate": "-z*u^3", "start": "1"}}},
    "sigmoid": {"value": "u", "states": {"u": {"rate": "u - u^2", "start": "1/2"}}},
    "sin": {"value": "u", "states": {"u": {"rate": "t", "start": "0"}, "t": {"rate": "-u", "start": "1"}}},
}
_KEYS = {"activation", "neurons", "bias", "data", "variable", "roots", "origin", "curve", "states", "normal"}


@dataclass(frozen=True)
class _Setting:
    """The network of a certificate, read into the tower of its curve."""

    squares: tuple[Ratio, ...]
    names: Mapping[str, Any]
    rule: Mapping[str, Any]
    neurons: int
    bias: bool
    data: list[tuple[Element, Element]]
    origin: Fraction | None
    theta: list[Element | None]
    slopes: list[Element]

    def element(self, value: Any) -> Element:
        """A value as an element of the tower."""
        return value if isinstance(value, Element) else Element({}, self.squares) + value

    def read(self, value: Any, what: str) -> Element:
        """An expression in v, the square roots and the generator of the field."""
        return self.element(expression(value, self.names, what))


def check_derivation(data: Mapping[str, Any], eq: Given) -> str:
    """Derive r again, compare it with the equation, and describe the network in words."""
    setting = _setting(fields(data, _KEYS, "the derivation"), eq)
    jets = _jets(setting, data["states"])
    gradient, hessian = _derivatives(setting, jets)
    speed = _speed(setting, gradient)
    block = _normal_block(setting, data["normal"], hessian)
    matrix = [[-(entry / speed) for entry in row] for row in block]
    r = _normal_form(setting, matrix)
    stated = setting.element(Element({0: Ratio.of(eq.num, eq.den)}, setting.squares))
    demand(not (r - stated), "the network, on this curve, leads to another r")
    samples = ", ".join(f"({x}, {y})" for x, y in data["data"])
    kind = data["activation"] if isinstance(data["activation"], str) else f"activation by rule {data['activation']}"
    integral = f"the integral from {data['origin']} of "
    entries = [integral + v["slope"] if isinstance(v, Mapping) else str(v) for v in data["curve"]]
    curve = ", ".join(f"{k} = {v}" for k, v in zip(_parameters(setting), entries, strict=True))
    roots = "".join(f", {k}^2 = {v}" for k, v in data["roots"].items())
    if eq.modulus is not None:
        roots += f", alpha any root of the polynomial with the coefficients {', '.join(str(c) for c in eq.modulus)}"
    return (
        f"the network of {setting.neurons} neuron(s) {kind}, {'with' if setting.bias else 'without'} biases, "
        f"on the data {samples}, along the curve {curve} in {data['variable']}{roots}"
    )


def _parameters(setting: _Setting) -> list[str]:
    one = ["a", "w"] + (["b"] if setting.bias else [])
    marks = [""] if setting.neurons == 1 else [str(j + 1) for j in range(setting.neurons)]
    return [n + m for m in marks for n in one] + (["c"] if setting.bias else [])


def _setting(data: Mapping[str, Any], eq: Given) -> _Setting:
    names, squares = _tower(data, eq)
    neurons = integer(data["neurons"], "the number of neurons")
    demand(1 <= neurons <= 6, "the number of neurons must be from 1 to 6 for this checker")
    demand(type(data["bias"]) is bool, "bias must be true or false")
    origin = None if data["origin"] is None else fraction(data["origin"], "the origin")
    bare = _Setting(squares, names, _rule(data["activation"]), neurons, data["bias"], [], origin, [], [])
    samples = []
    for entry in listing(data["data"], "the data", 20):
        pair = listing(entry, "a sample", 2)
        demand(len(pair) == 2, "a sample must be a pair")
        x, y = (bare.read(value, "a number of the data") for value in pair)
        demand(not x.slope() and not y.slope(), "the data must be constant")
        samples.append((x, y))
    demand(bool(samples), "there are no data")
    entries = listing(data["curve"], "the curve", 25)
    demand(len(entries) == len(_parameters(bare)), "the curve must have one entry for each parameter")
    theta: list[Element | None] = []
    slopes = []
    for entry in entries:
        if isinstance(entry, Mapping):
            fields(entry, {"slope"}, "an integral on the curve")
            demand(origin is not None, "an integral on the curve needs an origin")
            theta.append(None)
            slopes.append(bare.read(entry["slope"], "a slope"))
            demand(slopes[-1].integrable_at(origin or Fraction(0)), "a slope has no integral from the origin")
        else:
            element = bare.read(entry, "an entry of the curve")
            theta.append(element)
            slopes.append(element.slope())
    return replace(bare, data=samples, theta=theta, slopes=slopes)


def _tower(data: Mapping[str, Any], eq: Given) -> tuple[dict[str, Any], tuple[Ratio, ...]]:
    """Names and squares: the variable, the generator `alpha`, then the square roots one by one."""
    variable = name(data["variable"], "the variable")
    demand(isinstance(data["roots"], Mapping) and len(data["roots"]) <= 6, "there may be at most 6 square roots")
    names: dict[str, Any] = {}
    if eq.modulus is not None:
        names["alpha"] = ex.Number((Fraction(0), Fraction(1)), eq.modulus)
    demand(variable not in names, "a name occurs twice")
    along = {0: Ratio([Fraction(0), Fraction(1)], [Fraction(1)])}
    plain = {**names, variable: Element(along, ())}
    squares: list[Ratio] = []
    for key, value in data["roots"].items():
        demand(name(key, "a square root") not in plain, "a name occurs twice")
        square = expression(value, plain, "the square of a root")
        rational = square.terms.get(0) if isinstance(square, Element) else constant(square)
        demand(rational is not None and bool(rational.num), "a square root must not vanish")
        squares.append(rational or constant(Fraction(0)))
    fixed = tuple(squares)
    roots = {key: Element({1 << j: constant(Fraction(1))}, fixed) for j, key in enumerate(data["roots"])}
    return {**names, variable: Element(along, fixed), **roots}, fixed


def _rule(activation: Any) -> Mapping[str, Any]:
    if isinstance(activation, str):
        power = activation.removeprefix("z^")
        if power.isascii() and power.isdigit() and activation == f"z^{int(power)}" and 1 <= int(power) <= 60:
            return {"value": activation, "states": {}}
        demand(activation in RULES, f"the activation {activation[:40]!r} is unknown and has no rule")
        return RULES[activation]
    rule = fields(activation, {"value", "states"}, "the rule of an activation")
    _entire(rule["value"], "the value of an activation")
    demand(isinstance(rule["states"], Mapping) and len(rule["states"]) <= 6, "there may be at most 6 states")
    for key, state in rule["states"].items():
        demand(name(key, "a state") not in ("z", "alpha"), "a state must not be called z or alpha")
        _entire(fields(state, {"rate", "start"}, "a state")["rate"], "a rate")
        fraction(state["start"], "the start of a state")
    return rule


def _entire(value: Any, what: str) -> None:
    """A polynomial: no division but by an integer, so that the solution with given values at z = 0 is unique."""
    demand(not re.search(r"/(?!\s*[0-9])", text(value, what)), f"{what} must not divide by anything but integers")


def _jets(s: _Setting, given: Any) -> list[list[Jet]]:
    """The jets s, s', s''/2 at every sample (row) and neuron (column); verifies the states."""
    rows = listing(given, "the states", 20)
    demand(len(rows) == len(s.data), "the states need one row for each sample")
    width = 3 if s.bias else 2
    out = []
    for (x, _), row in zip(s.data, rows, strict=True):
        demand(len(listing(row, "the states of a sample", 6)) == s.neurons, "the states need one entry for each neuron")
        jets = []
        for j, entry in enumerate(row):
            w, b = width * j + 1, width * j + 2
            shift, turn = (s.theta[b], s.slopes[b]) if s.bias else (s.element(0), s.element(0))
            weight = s.theta[w]
            still = not x
            slope = (s.element(0) if still else s.slopes[w] * x) + turn
            z = shift if still else None if weight is None or shift is None else weight * x + shift
            rest = [v for v in (shift, s.element(0) if still else weight) if v is not None]
            jets.append(_jet(s, z, slope, rest, fields(entry, set(s.rule["states"]), "the states of a neuron")))
        out.append(jets)
    return out


def _jet(s: _Setting, z: Element | None, slope: Element, rest: Sequence[Element], entry: Mapping[str, Any]) -> Jet:
    """The jet of the activation at z; z is None where it is an integral of `slope` from the origin."""
    values = {key: s.read(value, "a state") for key, value in entry.items()}
    known: dict[str, Any] = {"alpha": s.names["alpha"]} if "alpha" in s.names else {}
    if z is not None:
        known["z"] = Jet(z, s.element(1), s.element(0))
    states = {key: Jet.of(v) for key, v in values.items()}
    for _ in range(2):  # u' = rate gives the second coefficient from the first, then the third from both
        rates = {k: Jet.of(expression(s.rule["states"][k]["rate"], known | states, "a rate")) for k in values}
        states = {k: Jet(v, s.element(rates[k].a), s.element(rates[k].b) * Fraction(1, 2)) for k, v in values.items()}
    if values:
        demand(s.origin is not None, "states need an origin")
        v0 = s.origin or Fraction(0)
        demand(all(part.vanishes_at(v0) for part in rest), "at the origin, what enters the activation must vanish")
        for key, value in values.items():
            start = fraction(s.rule["states"][key]["start"], "the start of a state")
            demand((value - start).vanishes_at(v0), "a state has another value at the origin")
            demand(not (value.slope() - states[key].b * slope), "a state does not satisfy its equation along the curve")
    jet = Jet.of(expression(s.rule["value"], known | states, "the value of an activation"))
    return Jet(s.element(jet.a), s.element(jet.b), s.element(jet.c))


def _derivatives(s: _Setting, jets: list[list[Jet]]) -> tuple[list[Element], list[list[Element]]]:
    """Gradient and Hessian of L = 1/2 sum (f(x) - y)^2 on the curve."""
    n, width = len(s.slopes), 3 if s.bias else 2
    zero = s.element(0)
    gradient, hessian = [zero] * n, [[zero] * n for _ in range(n)]
    for (x, y), row in zip(s.data, jets, strict=True):
        residual, first = -y, [zero] * n
        second: dict[tuple[int, int], Element] = {}
        if s.bias:
            first[-1], residual = s.element(1), residual + _entry(s, n - 1)
        for j, jet in enumerate(row):
            k = width * j
            a = _entry(s, k)
            residual, first[k] = residual + a * jet.a, jet.a
            inner = [(k + 1, x)] + ([(k + 2, s.element(1))] if s.bias else [])
            for i, u in inner:
                first[i] = a * jet.b * u
                second[k, i] = second[i, k] = jet.b * u
                for m, v in inner:
                    second[i, m] = 2 * (a * jet.c * u * v)
        for i in range(n):
            gradient[i] = gradient[i] + residual * first[i]
            for m in range(n):
                hessian[i][m] = hessian[i][m] + first[i] * first[m] + residual * second.get((i, m), zero)
    return gradient, hessian


def _entry(s: _Setting, index: int) -> Element:
    value = s.theta[index]
    demand(value is not None, "an output weight or bias must not be an integral on the curve")
    return s.element(0) if value is None else value


def _speed(s: _Setting, gradient: list[Element]) -> Element:
    """v' with grad L + v' theta' = 0."""
    pivot = next((i for i, t in enumerate(s.slopes) if t), None)
    demand(pivot is not None, "the curve is a point")
    speed = -(gradient[pivot or 0] / s.slopes[pivot or 0])
    demand(bool(speed), "the curve consists of equilibria")
    for g, t in zip(gradient, s.slopes, strict=True):
        demand(not (g + speed * t), "the curve does not follow the gradient")
    return speed


def _normal_block(s: _Setting, given: Any, hessian: list[list[Element]]) -> list[list[Element]]:
    """The matrix B of Hess L on the span of two vectors n_j: H n_j = sum_k B_kj n_k."""
    rows = listing(given, "the normal directions", 2)
    demand(len(rows) == 2, "there must be two normal directions")
    normal = [[fraction(c, "a normal direction") for c in listing(row, "a normal direction", 25)] for row in rows]
    demand(all(len(row) == len(hessian) for row in normal), "a normal direction has another number of entries")
    gram = [[sum((u * v for u, v in zip(n, m, strict=True)), Fraction(0)) for m in normal] for n in normal]
    det = gram[0][0] * gram[1][1] - gram[0][1] * gram[1][0]
    demand(det != 0, "the normal directions are parallel")
    inverse = [[gram[1][1] / det, -gram[0][1] / det], [-gram[1][0] / det, gram[0][0] / det]]
    zero = s.element(0)
    block = [[zero, zero], [zero, zero]]
    for j, n in enumerate(normal):
        image = [sum((e * c for e, c in zip(row, n, strict=True)), zero) for row in hessian]
        along = [sum((e * c for e, c in zip(image, m, strict=True)), zero) for m in normal]
        for k in range(2):
            block[k][j] = inverse[k][0] * along[0] + inverse[k][1] * along[1]
        left = [e - block[0][j] * p - block[1][j] * q for e, p, q in zip(image, *normal, strict=True)]
        demand(not any(left), "the Hessian does not keep the normal directions")
    return block


def _normal_form(s: _Setting, matrix: list[list[Element]]) -> Element:
    """r = p^2/4 + p'/2 - q of the first component of Y' = M Y."""
    (a, b), (c, d) = matrix
    demand(bool(b), "the normal system is triangular")
    turn = b.slope() / b
    p = -(a + d) - turn
    q = a * d - b * c - a.slope() + a * turn
    r: Element = p * p * Fraction(1, 4) + p.slope() * Fraction(1, 2) - q
    return r
