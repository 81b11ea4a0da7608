"""Local data of y'' = r y: orders, exponents, the polar part of sqrt(r), logarithms."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy as sp

from maxslope.integrability import _lists as ls
from maxslope.integrability._residue import Residue, ResidueField, rational_sqrt, square_root
from maxslope.integrability.exact import exact
from maxslope.integrability.ode import Equation


@dataclass(frozen=True)
class Local:
    """The equation at the roots of one factor of the denominator, or at infinity.

    The exponents are (half +- sqrt(discriminant))/2. At a pole of even order 2 nu >= 4 (or of
    order -2 nu <= 0 at infinity) they are Kovacic's alpha, with sqrt(discriminant) = b/a, and
    `polar` holds the coefficients of [sqrt r] divided by its leading coefficient a.
    An odd order above 2 (below 1 at infinity) has no exponents: `discriminant` is None.
    """

    factor: sp.Poly | None
    order: int | None
    half: int
    discriminant: Residue | None
    leading: Residue | None = None
    polar: tuple[Residue, ...] = ()
    linear: Residue | None = None

    @property
    def irregular(self) -> bool:
        """Whether the point is an irregular singular point of even order."""
        return bool(self.polar)

    @property
    def degree(self) -> int:
        """Number of conjugate points described (1 at infinity)."""
        return 1 if self.factor is None else int(self.factor.degree())

    def difference(self) -> Fraction | None:
        """The exponent difference when it is rational (regular points)."""
        return None if self.discriminant is None else rational_sqrt(self.discriminant.rational())

    def exponents(self) -> tuple[sp.Expr, ...]:
        """Both exponents as expressions, at one root of the factor."""
        if self.discriminant is None:
            return ()
        value = self.discriminant.poly().as_expr()
        if self.factor is not None:
            root = sp.roots(self.factor, multiple=True) or [sp.CRootOf(self.factor, 0)]
            value = value.subs(self.factor.gen, root[-1])
        half, root_d = sp.Rational(self.half, 2), sp.sqrtdenest(sp.sqrt(sp.radsimp(value)))
        return half + root_d / 2, half - root_d / 2

    def root(self) -> Residue | None:
        """sqrt(discriminant) inside the field of the pole, or None.

        At an irregular point it is 2 a sigma with a = sqrt(leading) in that field.
        """
        if self.discriminant is None:
            return None
        if not self.irregular:
            return square_root(self.discriminant)
        a = self.amplitude()
        return None if a is None or self.linear is None else a * self.linear * 2

    def amplitude(self) -> Residue | None:
        """The leading coefficient a of [sqrt r] inside the field of the pole, or None."""
        return None if self.leading is None else square_root(self.leading)


def laurent(eq: Equation, factor: sp.Poly | None, count: int) -> list[Residue]:
    """Leading `count` Laurent coefficients of r at the roots of a factor (None: infinity)."""
    lists = [list(reversed(p.rep.to_list())) for p in (eq.num, eq.den)]
    if factor is None:
        field = ResidueField(sp.Poly(eq.x, eq.x, domain=eq.field))
        tops = [[field.constant(c) for c in reversed(p)] for p in lists]
    else:
        field = ResidueField(factor)
        tops = [_shift([field.constant(c) for c in p], field.generator()) for p in lists]
        tops[1] = tops[1][next(i for i, c in enumerate(tops[1]) if c) :]
    u, v = tops
    zero, inverse = field.constant(0), v[0].inverse()
    out: list[Residue] = []
    for k in range(count):
        value = u[k] if k < len(u) else zero
        for j in range(1, min(k, len(v) - 1) + 1):
            value = value - v[j] * out[k - j]
        out.append(value * inverse)
    return out


def _shift(p: list[Residue], c: Residue) -> list[Residue]:
    """Coefficients of p(c + t)."""
    out: list[Any] = []
    for value in reversed(p):
        out = ls.add([c * 0, *out], ls.scale(out, c)) if out else []
        out = ls.add(out, [value]) if out else [value]
    return out


def _sqrt_series(series: list[Residue], count: int) -> list[Residue]:
    """Coefficients sigma of sqrt(series/series[0])."""
    lead = series[0].inverse()
    sigma = [series[0] * 0 + 1]
    for k in range(1, count):
        value = series[k] * lead
        for j in range(1, k):
            value = value - sigma[j] * sigma[k - j]
        sigma.append(value / 2)
    return sigma


def local_at(eq: Equation, factor: sp.Poly, order: int) -> Local:
    """Local data at the roots of an irreducible factor of multiplicity `order`."""
    field = ResidueField(factor)
    if order == 1:
        return Local(factor, 1, 1, field.constant(1))
    if order == 2:
        return Local(factor, 2, 1, laurent(eq, factor, 1)[0] * 4 + 1)
    if order % 2:
        return Local(factor, order, 0, None)
    nu = order // 2
    series = laurent(eq, factor, nu)
    sigma = _sqrt_series(series, nu)
    square = series[0] * sigma[nu - 1] * sigma[nu - 1] * 4
    return Local(factor, order, nu, square, series[0], tuple(sigma[: nu - 1]), sigma[nu - 1])


def local_at_infinity(eq: Equation) -> Local:
    """Local data at infinity; exponents are growth rates: y ~ x**alpha."""
    order = eq.order_at_infinity
    field = ResidueField(sp.Poly(eq.x, eq.x, domain=eq.field))
    if order is None or order > 2:
        return Local(None, order, 1, field.constant(1))
    if order == 2:
        return Local(None, 2, 1, laurent(eq, None, 1)[0] * 4 + 1)
    if order % 2:
        return Local(None, order, 0, None)
    nu = -order // 2
    series = laurent(eq, None, nu + 2)
    sigma = _sqrt_series(series, nu + 2)
    square = series[0] * sigma[nu + 1] * sigma[nu + 1] * 4
    return Local(None, order, -nu, square, series[0], tuple(sigma[: nu + 1]), sigma[nu + 1])


def local_data(eq: Equation) -> tuple[Local, ...]:
    """Local data at all poles (one entry per factor), then at infinity."""
    return (*(local_at(eq, f, e) for f, e in eq.factors), local_at_infinity(eq))


def log_obstruction(r: Any, x: sp.Symbol, point: Any) -> sp.Expr:
    r"""Frobenius obstruction to a basis without logarithm at a point with integer difference.

    With exponents differing by n >= 1 the recurrence for the solution of the smaller growth
    cannot be continued at step n unless the returned value vanishes. Other symbols are allowed.

    Args:
        r: rational function, at most a double pole at `point` (order >= 2 at infinity).
        x: its variable.
        point: a number or `sympy.oo`.

    Raises:
        ValueError: if the exponent difference at the point is not a positive integer.

    Source: Ince, Ordinary Differential Equations, section 16.1.

    >>> x = sp.Symbol("x")
    >>> log_obstruction(3/(4*x**2) + 5/x, x, 0)
    -25
    """
    t = sp.Dummy("t")
    infinite = point is sp.oo
    g = sp.cancel(exact(r, "r", {str(x): x}).subs(x, 1 / t if infinite else point + t))
    g = sp.cancel(g / t**2 if infinite else g * t**2)
    b0 = sp.simplify(g.subs(t, 0))
    n = sp.sqrt(1 + 4 * b0)
    if not (n.is_Integer and n >= 1):
        raise ValueError(
            f"the exponent difference must be a positive integer; got {n} at {point}. "
            "Without it no logarithm is possible (or it is always there, for 0)."
        )
    start, count = (1 - n) / 2, int(n)
    coefficient = taylor_coefficients(g, t, count + 1)
    c: list[sp.Expr] = [sp.Integer(1)]
    for k in range(1, count + 1):
        rhs = sum((coefficient[j] * c[k - j] for j in range(1, k + 1)), sp.Integer(0))
        if k == count:
            return sp.factor(rhs)
        c.append(sp.cancel(rhs / ((start + k) * (start + k - 1) - b0)))
    raise AssertionError("unreachable")


def taylor_coefficients(g: sp.Expr, t: sp.Symbol, count: int) -> list[sp.Expr]:
    """Taylor coefficients of a rational function regular at t = 0."""
    u, v = (list(reversed(sp.Poly(p, t).all_coeffs())) for p in g.as_numer_denom())
    out: list[sp.Expr] = []
    for k in range(count):
        value = u[k] if k < len(u) else sp.Integer(0)
        for j in range(1, min(k, len(v) - 1) + 1):
            value -= v[j] * out[k - j]
        out.append(sp.cancel(value / v[0]))
    return out
