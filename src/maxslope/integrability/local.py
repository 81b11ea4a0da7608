"""Local data of y'' = r y: orders, exponents, polar part of sqrt(r), logarithms; in k[t]/(f) at the roots of f."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import isqrt
from typing import Any

import sympy as sp
from sympy.polys.agca.extensions import FiniteExtension
from sympy.polys.densetools import dup_shift

from maxslope.integrability.exact import exact
from maxslope.integrability.ode import Equation

Residue = Any  # an ExtensionElement of sympy's FiniteExtension: an element of k[t]/(f)


@dataclass(frozen=True)
class Local:
    """The equation at the roots of one factor of the denominator, or at infinity, with exponents (half +- sqrt(D))/2.

    D is the `discriminant`, None at an irregular point of odd order. At one of even order the exponents are Kovacic's
    alpha, and `polar` holds the coefficients of [sqrt r] over the first one, whose square is `leading`.
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
    def regular(self) -> bool:
        """Whether the point is regular singular, or no singular point at all."""
        return self.discriminant is not None and not self.irregular

    @property
    def degree(self) -> int:
        """Number of conjugate points described (1 at infinity)."""
        return 1 if self.factor is None else int(self.factor.degree())

    def difference(self) -> Fraction | None:
        """The exponent difference when it is rational (regular points)."""
        return None if self.discriminant is None else rational_sqrt(rational(self.discriminant))

    def exponents(self) -> tuple[sp.Expr, ...]:
        """Both exponents as expressions, at one root of the factor."""
        if self.discriminant is None:
            return ()
        value = poly(self.discriminant).as_expr()
        if self.factor is not None:
            root = sp.roots(self.factor, multiple=True) or [sp.CRootOf(self.factor, 0)]
            value = value.subs(self.factor.gen, root[-1])
        half, root_d = sp.Rational(self.half, 2), sp.sqrtdenest(sp.sqrt(sp.radsimp(value)))
        return half + root_d / 2, half - root_d / 2

    def root(self) -> Residue | None:
        """sqrt(discriminant) in the field of the pole, or None; 2 a sigma at an irregular point."""
        if self.discriminant is None:
            return None
        if not self.irregular:
            return square_root(self.discriminant)
        a = self.amplitude()
        return None if a is None or self.linear is None else a * self.linear * 2

    def amplitude(self) -> Residue | None:
        """The leading coefficient a of [sqrt r] inside the field of the pole, or None."""
        return None if self.leading is None else square_root(self.leading)


def _field(eq: Equation, factor: sp.Poly | None) -> Any:
    """k[t]/(f), or k at infinity."""
    return FiniteExtension(sp.Poly(eq.x, eq.x, domain=eq.field) if factor is None else factor)


def laurent(eq: Equation, factor: sp.Poly | None, count: int) -> list[Residue]:
    """Leading `count` Laurent coefficients of r at the roots of a factor (None: infinity)."""
    field = _field(eq, factor)
    # highest first: lowest at infinity
    u, v = ([field.convert(c, field.domain) for c in p.rep.to_list()] for p in (eq.num, eq.den))
    if factor is not None:
        u, v = (dup_shift(p, field.generator, field)[::-1] for p in (u, v))
        v = v[next(i for i, c in enumerate(v) if c) :]
    return quotient_series(u, v, count)


def quotient_series(
    u: Sequence[Any], v: Sequence[Any], count: int, settle: Callable[[Any], Any] = lambda value: value
) -> list[Any]:
    """Leading coefficients of a quotient of power series with v[0] != 0; `settle` simplifies every one."""
    inverse = 1 / v[0]
    out: list[Any] = []
    for k in range(count):
        value = u[k] if k < len(u) else v[0] * 0
        for j in range(1, min(k, len(v) - 1) + 1):
            value = value - v[j] * out[k - j]
        out.append(settle(value * inverse))
    return out


def root_series(series: Sequence[Any]) -> list[Any]:
    """Coefficients sigma of sqrt(series/series[0])."""
    inverse, sigma = 1 / series[0], [series[0] ** 0]
    for k in range(1, len(series)):
        value = series[k] * inverse
        for j in range(1, k):
            value = value - sigma[j] * sigma[k - j]
        sigma.append(value / 2)
    return sigma


def local_at(
    factor: sp.Poly | None, order: int | None, series: Callable[[int], list[Any]], one: Callable[[], Any]
) -> Local:
    """Local data at a pole of that order, or at infinity, where exponents are growth rates, by leading coefficients."""
    if order is None or (order > 2 if factor is None else order == 1):
        return Local(factor, order, 1, one())
    if order == 2:
        return Local(factor, 2, 1, series(1)[0] * 4 + 1)
    if order % 2:
        return Local(factor, order, 0, None)
    half = order // 2
    top = 1 - half if factor is None else half - 1
    leading = series(top + 1)
    sigma = root_series(leading)
    square = leading[0] * sigma[top] * sigma[top] * 4
    return Local(factor, order, half, square, leading[0], tuple(sigma[:top]), sigma[top])


def local_data(eq: Equation) -> tuple[Local, ...]:
    """Local data at all poles (one entry per factor), then at infinity."""

    def at(factor: sp.Poly | None, order: int | None) -> Local:
        return local_at(factor, order, partial(laurent, eq, factor), lambda: _field(eq, factor).one)

    return (*(at(f, order) for f, order in eq.factors), at(None, eq.order_at_infinity))


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

    def right(k: int) -> sp.Expr:
        return sum((coefficient[j] * c[k - j] for j in range(1, k + 1)), sp.Integer(0))

    for k in range(1, count):
        c.append(sp.cancel(right(k) / ((start + k) * (start + k - 1) - b0)))
    return sp.factor(right(count))


def taylor_coefficients(g: sp.Expr, t: sp.Symbol, count: int) -> list[sp.Expr]:
    """Taylor coefficients of a rational function regular at t = 0."""
    u, v = (sp.Poly(p, t).all_coeffs()[::-1] for p in g.as_numer_denom())
    return quotient_series(u, v, count, sp.cancel)


def poly(u: Residue) -> sp.Poly:
    """The representing polynomial over k."""
    return sp.Poly.new(u.rep, *u.ext.modulus.gens)


def rational(u: Residue) -> Fraction | None:
    """The value as a fraction, or None when it is not rational."""
    if u.rep.degree() > 0:
        return None
    value = u.ext.domain.to_sympy(u.rep.LC())
    return Fraction(int(value.p), int(value.q)) if value.is_Rational else None


def trace(u: Residue) -> Any:
    """Trace to k: the sum over the roots of f."""
    field = u.ext
    diagonal = ((u * field.generator**k).rep.nth(k) for k in range(field.rank))
    return sum(diagonal, field.domain.zero)


def rational_sqrt(value: Fraction | None) -> Fraction | None:
    """Square root of a fraction when it is rational."""
    if value is None or value < 0:
        return None
    p, q = isqrt(value.numerator), isqrt(value.denominator)
    return Fraction(p, q) if p * p == value.numerator and q * q == value.denominator else None


def square_root(u: Residue) -> Residue | None:
    """A square root inside k[t]/(f), or None; Trager's norm when deg f > 1."""
    field, k = u.ext, u.ext.domain
    quick = rational_sqrt(rational(u))
    if quick is not None:
        return field.one * quick
    z, t = sp.Dummy("z"), sp.Dummy("t")
    if field.rank == 1:
        square = sp.Poly.from_list([k.one, k.zero, -u.rep.LC()], z, domain=k)
        linear = [g for g, _ in square.factor_list()[1] if g.degree() == 1]
        return field.convert(-linear[0].monic().rep.nth(0), k) if linear else None
    f, d = (p.as_expr().subs(p.gen, t) for p in (field.modulus, poly(u)))
    for s in range(1, 50):
        norm = sp.Poly(sp.resultant(f, (z - s * t) ** 2 - d, t), z, domain=k)
        if norm.is_sqf:
            return _split(u, norm, s)
    raise ArithmeticError("no squarefree norm among 49 shifts. This is a bug in maxslope.")


def _split(u: Residue, norm: sp.Poly, s: int) -> Residue | None:
    """The root of z^2 = u read off a factor of its shifted norm."""
    field, k = u.ext, u.ext.domain
    for g, _ in norm.factor_list()[1]:
        if g.degree() != field.rank:
            continue
        # evaluate g(z + s c) at z^2 = u: write it as even + odd * z
        even = odd = field.zero
        shift = field.generator * s
        for c in (field.convert(c, k) for c in g.rep.to_list()):
            even, odd = even * shift + odd * u + c, odd * shift + even
        if odd and (even / odd) ** 2 == u:
            return -even / odd
    return None
