"""The equation y'' = r y with an exact rational function r."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import sympy as sp

from maxslope.integrability.exact import exact


class Cleared(NamedTuple):
    """W = prod f**ceil(order/2) over the factors f of the denominator, W**2 r, and W f'/f: all are polynomials."""

    w: sp.Poly
    r: sp.Poly
    slopes: tuple[sp.Poly, ...]


@dataclass(frozen=True)
class Equation:
    """The equation y'' = r y, r = num/den in lowest terms over a field, den monic with irreducible `factors`."""

    num: sp.Poly
    den: sp.Poly
    factors: tuple[tuple[sp.Poly, int], ...]

    @property
    def x(self) -> sp.Symbol:
        """The independent variable."""
        return self.den.gen

    @property
    def field(self) -> Any:
        """The sympy domain of the coefficients."""
        return self.den.domain

    @property
    def r(self) -> sp.Expr:
        """The rational function as an expression."""
        return self.num.as_expr() / self.den.as_expr()

    @cached_property
    def cleared(self) -> Cleared:
        """What clears the poles of the equation."""
        w = sp.Poly(1, self.x, domain=self.field)
        for f, order in self.factors:
            w = w * f ** ((order + 1) // 2)
        slopes = tuple(f.diff() * w.quo(f) for f, _ in self.factors)
        return Cleared(w, (w**2 * self.num).quo(self.den), slopes)

    @property
    def order_at_infinity(self) -> int | None:
        """deg den - deg num, or None for r = 0."""
        return None if self.num.is_zero else int(self.den.degree() - self.num.degree())

    @property
    def over_rationals(self) -> bool:
        """Whether all coefficients are rational."""
        return bool(self.field.is_QQ)


def equation(r: Any, x: sp.Symbol | None = None) -> Equation:
    """Read a rational function into an equation y'' = r y.

    Args:
        r: a rational function with rational or algebraic coefficients (expression or string).
        x: its variable; needed only when r is constant.

    Raises:
        ValueError: if r is not rational in x, holds floats or holds further symbols.

    >>> equation("1/x - 3/(16*x**2)").order_at_infinity
    1
    """
    expr = exact(r, "r", {} if x is None else {str(x): x})
    free = sorted(expr.free_symbols, key=str)
    if x is None:
        x = free[0] if free else sp.Symbol("x")
    others = [s for s in free if s != x]
    if others:
        raise ValueError(
            f"r must have one variable and exact parameters; got the further symbols {others}. "
            "Substitute rational or algebraic numbers for them."
        )
    if not expr.is_rational_function(x):
        raise ValueError(f"r must be a rational function of {x}; got {expr}.")
    return _factored(*fraction_of(expr, x, field_of(expr)))


def monic_below(num: sp.Poly, den: sp.Poly) -> tuple[sp.Poly, sp.Poly]:
    """The same fraction with monic denominator."""
    return num.mul_ground(den.domain.one / den.rep.LC()), den.monic()


def _factored(num: sp.Poly, den: sp.Poly) -> Equation:
    """The equation of a fraction in lowest terms."""
    num, den = monic_below(num, den)
    factors = [(f.monic(), int(e)) for f, e in den.factor_list()[1]]
    return Equation(num, den, tuple(sorted(factors, key=lambda item: (item[0].degree(), str(item[0].as_expr())))))


def field_of(expr: sp.Expr) -> Any:
    """The smallest field with all numbers of an expression."""
    numbers = [n for n in _numbers(expr) if not n.is_Rational]
    if not numbers:
        return sp.QQ
    if not all(n.is_algebraic for n in numbers):
        raise ValueError(f"r must have exact algebraic coefficients; got {expr}.")
    return sp.QQ.algebraic_field(*sorted(set(numbers), key=sp.default_sort_key))


def _numbers(expr: sp.Expr) -> Iterator[sp.Expr]:
    """The numbers of an expression; powers and roots of numbers as a whole."""
    if expr.is_Atom or (expr.is_number and not (expr.is_Add or expr.is_Mul)):
        if expr.is_number:
            yield expr
        return
    for part in expr.args:
        yield from _numbers(part)


def fraction_of(expr: sp.Expr, x: sp.Symbol, field: Any) -> tuple[sp.Poly, sp.Poly]:
    """A rational function in lowest terms over a field, from polynomials on: expanding expressions takes minutes."""
    one = sp.Poly(1, x, domain=field)
    if not expr.has(x) or expr == x or (expr.is_Add and expr.is_polynomial(x)):
        return sp.Poly(expr, x, domain=field), one
    if expr.is_Pow and expr.exp.is_Integer:
        num, den = fraction_of(expr.base, x, field)
        power = abs(int(expr.exp))
        return (num**power, den**power) if expr.exp > 0 else (den**power, num**power)
    num, den = sp.Poly(int(not expr.is_Add), x, domain=field), one
    for part in expr.args:
        u, v = fraction_of(part, x, field)
        num, den = (num * u, den * v) if expr.is_Mul else (num * v + u * den, den * v)
        if den.degree() > 0:
            num, den = num.cancel(den, include=True)
    return num, den


def extend(eq: Equation, number: sp.Expr) -> Equation:
    """The same equation over the field with one more algebraic number."""
    field = sp.QQ.algebraic_field(*(() if eq.over_rationals else (eq.field.ext,)), number)
    return _factored(*(sp.Poly(p.as_expr(), eq.x, domain=field) for p in (eq.num, eq.den)))
