"""Families y'' = r(x, lambda) y: for which values of one parameter are there Liouvillian solutions?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import product
from typing import Any

import sympy as sp

from maxslope.integrability.exact import exact, number
from maxslope.integrability.kovacic import Liouvillian, liouvillian
from maxslope.integrability.local import Local, local_at, taylor_coefficients

_MOST = 7  # points with two signs


@dataclass(frozen=True)
class _Point:
    """A pole (or infinity) with its local data, whose exponents are (half +- gap)/2."""

    place: sp.Expr
    local: Local

    @cached_property
    def gap(self) -> sp.Expr | None:
        """The difference of the exponents; None at an irregular point of odd order."""
        p = self.local
        if p.discriminant is None:
            return None
        return 2 * _root(p.leading) * sp.cancel(p.linear) if p.irregular else _root(p.discriminant)

    def exponents(self) -> list[tuple[str, sp.Expr]]:
        if self.gap is None:
            return []
        if self.local.order == 1 and self.local.factor is not None:
            return [("+", sp.Integer(1))]
        return [("+", (self.local.half + self.gap) / 2), ("-", (self.local.half - self.gap) / 2)]

    def doubles(self) -> list[sp.Expr]:
        """Kovacic's set E of case 2."""
        if not self.local.regular:
            return [sp.Integer(self.local.order)]
        if self.local.order == 2 and self.gap is not None:
            return [sp.Integer(2), 2 + 2 * self.gap, 2 - 2 * self.gap]
        return [sp.Integer(e) for e in ((0, 2, 4) if self.local.factor is None else (4,))]


def _allowed(row: list[sp.Expr]) -> bool:
    """Integers, one of them odd, with (e_oo - sum e_c)/2 a non-negative integer."""
    if not all(_integer(e) for e in row) or all(e % 2 == 0 for e in row):
        return False
    degree = (row[-1] - sum(row[:-1])) / 2
    return bool(degree >= 0 and degree.is_integer)


@dataclass(frozen=True)
class Parametric:
    """The answer for a family: exact conditions, the values they allow with their verdicts, and samples.

    Case 1 needs one of `degrees`, by signs at the poles and at infinity, to be 0, 1, 2, ... Case 2 needs a row of
    `doubles` (Kovacic's e) of integers, one odd, with (e_oo - sum e_c)/2 in 0, 1, 2, ...; for that one of `halves` is
    half an odd integer, or a point of `odd_order`. Case 3 needs `irregular` to be false. Excepted are the values in
    `special`, where poles meet or change their order. `decided` are the values that the conditions allow (with small
    integers) and the special ones, `sampled` those that were asked for.
    """

    r: sp.Expr
    parameter: sp.Symbol
    degrees: dict[str, sp.Expr]
    halves: tuple[sp.Expr, ...]
    doubles: tuple[tuple[sp.Expr, ...], ...]
    odd_order: bool
    irregular: bool
    special: tuple[sp.Expr, ...]
    decided: dict[sp.Expr, Liouvillian] = field(repr=False)
    sampled: dict[sp.Expr, Liouvillian] = field(repr=False)

    @property
    def solvable_at(self) -> tuple[sp.Expr, ...]:
        """The decided and sampled values with Liouvillian solutions."""
        both = {**self.decided, **self.sampled}
        return tuple(sorted((v for v, found in both.items() if found.solvable), key=sp.default_sort_key))

    def excluded(self, value: Any) -> bool:
        """Whether the conditions alone exclude Liouvillian solutions at a value; False says nothing."""
        at = number(value, "the value")
        if at in self.special:
            return False
        degrees = [d.subs(self.parameter, at) for d in self.degrees.values()]
        one = any(_integer(d) and d >= 0 for d in degrees)
        doubles = [sp.nsimplify(2 * h.subs(self.parameter, at)) for h in self.halves]
        two = any(_allowed([e.subs(self.parameter, at) for e in row]) for row in self.doubles)
        three = not self.irregular and all(sp.simplify(h).is_rational is not False for h in doubles)
        return not (one or two or three)

    def text(self) -> str:
        """What is exact and what is sampled, in words."""
        name = self.parameter
        degrees = ", ".join(str(d) for d in dict.fromkeys(self.degrees.values())) or "none"
        halves = ", ".join(str(h) for h in dict.fromkeys(self.halves)) or "none"
        two = "a pole of odd order allows it" if self.odd_order else f"unless one of {halves} is half an odd integer"
        three = "impossible, a point is irregular" if self.irregular else f"only where all of {halves} are rational"
        lines = [
            f"y'' = ({self.r}) y, parameter {name}.",
            f"Exact: case 1 is excluded unless one of {degrees} is 0, 1, 2, ...",
            f"Exact: case 2 is excluded: {two}." if not self.odd_order else f"Exact: case 2: {two}.",
            f"Exact: case 3: {three}.",
            f"Not covered by these: {name} in {list(self.special)}, where poles meet or change their order.",
        ]
        for title, found in (("Decided one by one", self.decided), ("Sampled", self.sampled)):
            rows = ", ".join(f"{v}: case {f.case}" for v, f in found.items()) or "none"
            lines.append(f"{title} ({name}: case): {rows}.")
        lines.append("Other values that are not excluded are open: the conditions are necessary, not sufficient.")
        return "\n".join(lines)


def _integer(value: sp.Expr) -> bool:
    return bool(sp.simplify(value).is_integer)


def parametric(r: Any, parameter: sp.Symbol, x: sp.Symbol, samples: Iterable[Any] = (), largest: int = 2) -> Parametric:
    r"""Say for which values of a parameter $y'' = r(x, \lambda)\,y$ has Liouvillian solutions.

    The exponents are computed with the parameter in them, so Kovacic's necessary conditions become conditions
    on the parameter, exact for every value. Values that meet them with degrees up to `largest` are decided one
    by one, and so are the samples; the rest is left open, and `text()` says so.

    Args:
        r: rational in x and in the parameter (expression or string).
        parameter: the parameter.
        x: the variable.
        samples: exact values to decide as well.
        largest: degrees d up to this one are solved for the parameter.

    Raises:
        ValueError: if r has other symbols, a pole of degree above 2 over Q(parameter), or too many poles.

    Source: Kovacic, J. Symbolic Computation 2 (1986), theorem of section 2.1 and section 3.1.

    >>> x, nu = sp.symbols("x nu")
    >>> found = parametric((4*nu**2 - 1)/(4*x**2) - 1, nu, x, samples=["1/3"])  # Bessel
    >>> found.solvable_at
    (-5/2, -3/2, -1/2, 1/2, 3/2, 5/2)
    >>> found.excluded("1/5"), found.excluded("7/2")
    (True, False)
    """
    expr = sp.cancel(exact(r, "r", {str(x): x, str(parameter): parameter}))
    others = expr.free_symbols - {x, parameter}
    if others:
        raise ValueError(f"r must have the symbols {x} and {parameter} alone; got {sorted(others, key=str)} as well.")
    if not expr.is_rational_function(x, parameter):
        raise ValueError(f"r must be rational in {x} and {parameter}; got {expr}.")
    points = list(_points(expr, x))
    if sum(len(p.exponents()) == 2 for p in points) > _MOST:
        raise ValueError(f"r must have at most {_MOST} poles of order 2 or more; got {len(points) - 1} poles.")
    degrees, doubles = dict(_degrees(points)), tuple(product(*(p.doubles() for p in points)))
    halves = tuple(p.gap for p in points if p.gap is not None and p.local.order == 2)
    odd = any(p.local.discriminant is None for p in points)
    special = _special(expr, points, parameter, x)
    values = [v for d in dict.fromkeys(degrees.values()) for n in range(largest + 1) for v in _solve(d - n, parameter)]
    values += [v for h in dict.fromkeys(halves) for n in (1, 3) for v in _solve(2 * h - n, parameter)]
    bottom = sp.fraction(sp.together(expr))[1]
    candidates = [v for v in {*values, *special} if sp.expand(bottom.subs(parameter, v)) != 0]
    decided, sampled = (
        {v: liouvillian(expr.subs(parameter, v), x) for v in chosen}
        for chosen in (sorted(candidates, key=sp.default_sort_key), [number(v, "a sample") for v in samples])
    )
    irregular = any(not p.local.regular for p in points)
    return Parametric(expr, parameter, degrees, halves, doubles, odd, irregular, special, decided, sampled)


def _solve(condition: sp.Expr, parameter: sp.Symbol) -> list[sp.Expr]:
    """The algebraic solutions; none when the parameter does not occur."""
    if not condition.has(parameter):
        return []
    return [v for v in sp.solve(condition, parameter) if v.is_algebraic and not v.free_symbols]


def _points(expr: sp.Expr, x: sp.Symbol) -> Iterator[_Point]:
    num, den = (sp.Poly(e, x) for e in sp.fraction(sp.together(expr)))
    t = sp.Dummy("t")
    for f, order in den.factor_list()[1]:
        if f.degree() > 2:
            raise ValueError(f"a pole must have degree at most 2 over the field of the parameter; got {f.as_expr()}.")
        for place in sp.roots(f.as_expr(), x, multiple=True):
            yield _point(place, sp.Poly(x - place, x), int(order), sp.simplify(expr.subs(x, place + t) * t**order), t)
    order = int(den.degree() - num.degree())
    yield _point(sp.oo, None, order, expr.subs(x, 1 / t) * t**-order, t)


def _point(place: sp.Expr, factor: sp.Poly | None, order: int, moved: sp.Expr, t: sp.Symbol) -> _Point:
    """The local data of r = moved t^-order in t = x - place, or of t^order at infinity in t = 1/x."""
    return _Point(
        place, local_at(factor, order, partial(taylor_coefficients, sp.cancel(moved), t), lambda: sp.Integer(1))
    )


def _root(square: sp.Expr) -> sp.Expr:
    """sqrt, with squares of polynomials taken out: 2 nu and not 2 sqrt(nu^2)."""
    parts = []
    for side in sp.fraction(sp.together(square)):
        content, factors = sp.factor_list(side)
        whole = sp.Mul(*(f ** (e // 2) for f, e in factors))
        parts.append((whole, content * sp.Mul(*(f ** (e % 2) for f, e in factors))))
    (top, over), (bottom, under) = parts
    return sp.expand(top / bottom * sp.sqrt(sp.cancel(over / under)))


def _degrees(points: list[_Point]) -> Iterator[tuple[str, sp.Expr]]:
    for picks in product(*(p.exponents() for p in points)):
        signs = "".join(s for s, _ in picks[:-1]) + "|" + picks[-1][0]
        yield signs, sp.simplify(picks[-1][1] - sum((a for _, a in picks[:-1]), sp.Integer(0)))


def _special(expr: sp.Expr, points: list[_Point], parameter: sp.Symbol, x: sp.Symbol) -> tuple[sp.Expr, ...]:
    """Values where poles meet, numerator and denominator share a root, or a leading coefficient vanishes."""
    num, den = (sp.Poly(e, x) for e in sp.fraction(sp.together(expr)))
    places = [p.place for p in points if p.local.factor is not None]
    conditions = [a - b for i, a in enumerate(places) for b in places[:i]]
    conditions += [num.eval(c) for c in places] + [num.LC(), den.LC()]
    found = {v for e in conditions for v in _solve(sp.simplify(e), parameter)}
    return tuple(sorted(found, key=sp.default_sort_key))
