"""The equation y'' = r y with an exact rational function r."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp
from sympy.polys.polytools import parallel_poly_from_expr


@dataclass(frozen=True)
class Equation:
    """The equation y'' = r y, r = num/den in lowest terms with monic den, over a field k.

    `factors` holds the irreducible factors of den over k with their multiplicities.
    """

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
    expr = sp.sympify(r)
    free = sorted(expr.free_symbols, key=str)
    if x is None:
        x = free[0] if free else sp.Symbol("x")
    others = [s for s in free if s != x]
    if others:
        raise ValueError(
            f"r must have one variable and exact parameters; got the further symbols {others}. "
            "Substitute rational or algebraic numbers for them."
        )
    if expr.has(sp.Float):
        raise ValueError(f"r must be exact; got floats in {expr}. Use Rational('1/3') or strings.")
    if not expr.is_rational_function(x):
        raise ValueError(f"r must be a rational function of {x}; got {expr}.")
    return _reduce(expr, x)


def _reduce(expr: sp.Expr, x: sp.Symbol) -> Equation:
    top, bottom = sp.together(expr).as_numer_denom()
    try:
        (num, den), _ = parallel_poly_from_expr((top, bottom), x, extension=True, field=True)
    except sp.PolynomialError as error:
        raise ValueError(f"r must have exact algebraic coefficients; got {expr}.") from error
    if not den.domain.is_QQ and not den.domain.is_Algebraic:
        num, den = (_algebraic(p, x) for p in (num, den))
    num, den = num.cancel(den, include=True)
    num, den = num.to_field(), den.to_field()
    lead = den.LC()
    num, den = num.mul_ground(1 / lead), den.monic()
    factors = tuple((f.monic(), int(e)) for f, e in den.factor_list()[1])
    return Equation(num, den, tuple(sorted(factors, key=_factor_key)))


def extend(eq: Equation, number: sp.Expr) -> Equation:
    """The same equation over the field with one more algebraic number."""
    field = sp.QQ.algebraic_field(*(() if eq.over_rationals else (eq.field.ext,)), number)
    num, den = (sp.Poly(p.as_expr(), eq.x, domain=field) for p in (eq.num, eq.den))
    factors = tuple((f.monic(), int(e)) for f, e in den.factor_list()[1])
    return Equation(num, den, tuple(sorted(factors, key=_factor_key)))


def _algebraic(p: sp.Poly, x: sp.Symbol) -> sp.Poly:
    if p.domain.is_QQ_I:
        return p.set_domain(sp.QQ.algebraic_field(sp.I))
    raise ValueError(f"coefficients must be rational or algebraic numbers; got the ring {p.domain}")


def _factor_key(item: tuple[sp.Poly, int]) -> tuple[int, str]:
    return int(item[0].degree()), str(item[0].as_expr())
