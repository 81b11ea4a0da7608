"""Rational solutions of symmetric powers of y'' = r y, without building their operators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import factorial
from operator import mul
from typing import Any

import sympy as sp
from sympy.polys.matrices import DomainMatrix

from maxslope.integrability import _lists as ls
from maxslope.integrability._split_prime import PRIME, embedding, image_mod
from maxslope.integrability.local import Local
from maxslope.integrability.ode import Equation

LARGEST = 10**6  # degree of a polynomial P that is looked for


@dataclass(frozen=True)
class SymmetricPower:
    """Shape of the search for F in k(x) with F solving the m-th symmetric power.

    F = prod f**e * P with deg P <= `degree`; `degree` is None when an exponent cannot be an
    integer or the degree bound is negative, so that F = 0 is the only rational solution.
    """

    m: int
    exponents: tuple[int, ...]
    degree: int | None

    @property
    def columns(self) -> int:
        """Number of unknown coefficients of P."""
        return 0 if self.degree is None else self.degree + 1

    def recursion(self, eq: Equation) -> Recursion:
        """The recursion for P."""
        return recursion(eq, self.m, logarithmic_derivative(eq, self.exponents))


def _integer_bound(local: Local, m: int, largest: bool) -> int | None:
    """Extreme integer among i*alpha1 + (m-i)*alpha2, or o*m/4 at irregular points."""
    if local.order is not None and (local.order > 2 if local.factor is not None else local.order < 2):
        value = Fraction(local.order * m, 4)
        return int(value) if value.denominator == 1 else None
    gap = local.difference()
    steps = range(-m, m + 1, 2) if gap is not None else [0] if m % 2 == 0 else []
    values = [Fraction(local.half * m, 2) + i * (gap or Fraction(0)) / 2 for i in steps]
    integers = [int(v) for v in values if v.denominator == 1]
    return (max if largest else min)(integers) if integers else None


def symmetric_power(locals_: tuple[Local, ...], m: int) -> SymmetricPower:
    """Exponents and degree bound of rational solutions of the m-th symmetric power.

    Source: Ulmer and Weil, J. Symbolic Computation 22 (1996), sections 3 and 4.
    """
    exponents = [_integer_bound(p, m, False) for p in locals_[:-1]]
    top = _integer_bound(locals_[-1], m, True)
    known = [e for e in exponents if e is not None]
    if top is None or len(known) < len(exponents):
        return SymmetricPower(m, (), None)
    degree = top - sum(e * p.degree for e, p in zip(known, locals_[:-1], strict=True))
    return SymmetricPower(m, tuple(known), degree if degree >= 0 else None)


@dataclass(frozen=True)
class Recursion:
    """N_{i+1} = W N_i' + (A - i W') N_i - i(m-i+1) R N_{i-1}, all polynomials in x.

    F_i = phi N_i / W**i with phi = prod f**e, A = W phi'/phi, R = W**2 r; F solves the symmetric
    power if and only if N_{m+1} = 0.
    """

    m: int
    w: list[Any]
    a: list[Any]
    r: list[Any]

    def images(self, p: list[Any], modulus: int | None = None) -> list[list[Any]]:
        """All N_0 = p, ..., N_{m+1}."""
        dw = ls.derivative(self.w)
        before: list[Any] = []
        current, out = p, [p]
        for i in range(self.m + 1):
            new = ls.mul(self.w, ls.derivative(current), modulus)
            factor = ls.add(self.a, ls.scale(dw, -i))
            new = ls.add(new, ls.mul(factor, current, modulus))
            new = ls.add(new, ls.scale(ls.mul(self.r, before, modulus), -i * (self.m - i + 1)))
            before, current = current, ls.reduce_mod(new, modulus)
            out.append(current)
        return out

    def matrix(self, columns: int, modulus: int | None = None) -> list[list[Any]]:
        """Coefficients of N_{m+1} for N_0 = x**j, one column for each j."""
        zero = self.w[0] * 0
        one = zero + 1
        images = [self.images([zero] * j + [one], modulus)[-1] for j in range(columns)]
        height = max((len(p) for p in images), default=0)
        return [[p[k] if k < len(p) else zero for p in images] for k in range(height)]


def recursion(eq: Equation, m: int, theta: tuple[sp.Poly, sp.Poly]) -> Recursion:
    """The recursion for phi with phi'/phi = theta, a fraction; with integer coefficients over the rationals."""
    w = sp.Poly(1, eq.x, domain=eq.field)
    for f, order in eq.factors:
        w = w * f ** ((order + 1) // 2)
    polynomials = w, (w * theta[0]).quo(theta[1]), (w**2 * eq.num).quo(eq.den)
    lists = [p.rep.to_list()[::-1] for p in polynomials]
    return Recursion(m, *(_clear(lists) if eq.over_rationals else lists))


def logarithmic_derivative(eq: Equation, exponents: Iterable[Any]) -> tuple[sp.Poly, sp.Poly]:
    """phi'/phi of phi = prod f**e over the factors of the denominator, as a fraction."""
    return _slopes(sp.Poly(1, eq.x, domain=eq.field), [(f, e) for (f, _), e in zip(eq.factors, exponents, strict=True)])


def _slopes(polynomial: sp.Poly, factors: list[tuple[sp.Poly, Any]]) -> tuple[sp.Poly, sp.Poly]:
    parts = [(polynomial, 1), *((f, e) for f, e in factors if e)]
    den = reduce(mul, (f for f, _ in parts))
    return sum((f.diff() * den.quo(f) * e for f, e in parts), den * 0), den


def _clear(lists: list[list[Any]]) -> list[list[Any]]:
    """Scale W and A by s and R by s**2 so that all coefficients are integers."""
    s = 1
    for row, weight in zip(lists, (1, 1, 2), strict=True):
        for c in row:
            while int(c.denominator) and s**weight % int(c.denominator):
                s *= int(c.denominator) // sp.igcd(s**weight, int(c.denominator))
    return [
        [int(c.numerator) * s**weight // int(c.denominator) for c in row]
        for row, weight in zip(lists, (1, 1, 2), strict=True)
    ]


def rank(rec: Recursion, columns: int, p: int = PRIME, generator: int = 0) -> int:
    """Rank of the linear system for P modulo p, at a root of the field's polynomial."""
    lists = ([image_mod(c, p, generator) for c in row] for row in (rec.w, rec.a, rec.r))
    return ls.rank_mod(Recursion(rec.m, *lists).matrix(columns, p), p)


def polynomials(eq: Equation, rec: Recursion, columns: int) -> Iterator[sp.Poly]:
    """A basis of the P of degree below `columns` with N_{m+1} = 0: none, where a prime already shows it."""
    if rank(rec, columns, *embedding(eq.field)) < columns:
        yield from kernel(rec.matrix(columns), columns, eq)


@dataclass(frozen=True)
class Invariant:
    """F = prod f**e * P, a rational solution of the m-th symmetric power."""

    power: SymmetricPower
    polynomial: sp.Poly

    def logarithmic_derivative(self, eq: Equation) -> tuple[sp.Poly, sp.Poly]:
        """F'/F as a fraction."""
        return _slopes(self.polynomial, [(f, e) for (f, _), e in zip(eq.factors, self.power.exponents, strict=True)])

    def expression(self, eq: Equation) -> sp.Expr:
        """F as a factored expression."""
        pairs = zip(eq.factors, self.power.exponents, strict=True)
        prefactor = sp.Mul(*(f.as_expr() ** e for (f, _), e in pairs))
        return sp.factor(prefactor * self.polynomial.as_expr())


def invariants(eq: Equation, locals_: tuple[Local, ...], m: int) -> list[Invariant]:
    """A basis of the rational solutions of the m-th symmetric power of y'' = r y.

    >>> from maxslope.integrability.ode import equation
    >>> from maxslope.integrability.local import local_data
    >>> eq = equation("1/x - 3/(16*x**2)")
    >>> [f.expression(eq) for f in invariants(eq, local_data(eq), 4)]
    [x]
    """
    power = symmetric_power(locals_, m)
    if not power.columns:
        return []
    return [Invariant(power, p) for p in polynomials(eq, power.recursion(eq), power.columns)]


def kernel(system: list[list[Any]], columns: int, eq: Equation) -> Iterator[sp.Poly]:
    """Polynomials whose coefficients (lowest first) span the kernel of a matrix over k."""
    rows = [[eq.field.convert(c) for c in row] for row in system]
    if not rows:
        rows = [[eq.field.zero] * columns]
    matrix = DomainMatrix(rows, (len(rows), columns), eq.field)
    for row in matrix.nullspace().to_field().to_list():
        yield sp.Poly.from_list(list(reversed(row)), eq.x, domain=eq.field).monic()


def omega_polynomial(eq: Equation, rec: Recursion, polynomial: sp.Poly, w: sp.Symbol) -> sp.Poly:
    """The polynomial of w = y'/y, up to a factor in k(x), of an invariant F = phi P = prod y_i.

    With F_{i+1} = F_i' - i(m-i+1) r F_{i-1} one has
    F prod (w - y_i'/y_i) = sum_i (-1)**i F_i / i! w**(m-i); here it is multiplied by W**m/phi.
    """
    m = rec.m
    start = polynomial.rep.to_list()[::-1]
    powers = [[rec.w[0] ** 0]]
    for _ in range(m):
        powers.append(ls.mul(powers[-1], rec.w))
    terms: dict[tuple[int, int], Any] = {}
    for i, n in enumerate(rec.images(start)[: m + 1]):
        sign = eq.field((-1) ** i) / eq.field(factorial(i))
        for k, c in enumerate(ls.mul(n, powers[m - i])):
            if c:
                terms[(m - i, k)] = eq.field.convert(c) * sign
    return sp.Poly.from_dict(terms, w, eq.x, domain=eq.field)
