"""Rational solutions of symmetric powers of y'' = r y, without building their operators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, reduce
from itertools import zip_longest
from math import factorial, lcm
from operator import mul
from typing import Any

import sympy as sp
from sympy.polys.densearith import dup_add, dup_mul, dup_mul_ground, dup_pow, dup_sub
from sympy.polys.densetools import dup_diff
from sympy.polys.galoistools import gf_trunc
from sympy.polys.matrices import DomainMatrix

from maxslope.integrability._modular import embedding, image_mod, rank_mod
from maxslope.integrability.local import Local
from maxslope.integrability.ode import Equation

LARGEST = 10**6  # degree of a polynomial P that is looked for


@dataclass(frozen=True)
class SymmetricPower:
    """F = prod f**e * P with deg P <= `degree` for rational solutions of the m-th symmetric power; None: only F = 0."""

    m: int
    exponents: tuple[int, ...]
    degree: int | None

    @property
    def columns(self) -> int:
        """Number of unknown coefficients of P."""
        return 0 if self.degree is None else self.degree + 1

    def recursion(self, eq: Equation) -> Recursion:
        """The recursion for P."""
        return product_recursion(eq, self.m, self.exponents)


def _extreme(local: Local, m: int, of: Callable[[list[int]], int]) -> int | None:
    """The least or greatest integer among i*alpha1 + (m-i)*alpha2, or o*m/4 at irregular points."""
    if local.order is not None and not local.regular:
        value = Fraction(local.order * m, 4)
        return int(value) if value.denominator == 1 else None
    gap = local.difference()
    steps = range(-m, m + 1, 2) if gap is not None else [0] if m % 2 == 0 else []
    values = [Fraction(local.half * m, 2) + i * (gap or Fraction(0)) / 2 for i in steps]
    integers = [int(v) for v in values if v.denominator == 1]
    return of(integers) if integers else None


def symmetric_power(locals_: tuple[Local, ...], m: int) -> SymmetricPower:
    """Exponents and degree bound of rational solutions: Ulmer and Weil (1996), sections 3 and 4."""
    exponents = [_extreme(p, m, min) for p in locals_[:-1]]
    top = _extreme(locals_[-1], m, max)
    known = [e for e in exponents if e is not None]
    if top is None or len(known) < len(exponents):
        return SymmetricPower(m, (), None)
    degree = top - sum(e * p.degree for e, p in zip(known, locals_[:-1], strict=True))
    return SymmetricPower(m, tuple(known), degree if degree >= 0 else None)


@dataclass(frozen=True)
class Recursion:
    """N_{i+1} = W N_i' + (A - i W') N_i - i(m-i+1) R N_{i-1} in `ring`, coefficients highest first.

    F_i = phi N_i / W**i with A = W phi'/phi, R = W**2 r; F solves the symmetric power if N_{m+1} = 0 and only then.
    """

    m: int
    w: list[Any]
    a: list[Any]
    r: list[Any]
    ring: Any

    @cached_property
    def factors(self) -> list[list[Any]]:
        """A - i W'."""
        ring = self.ring
        slope = dup_diff(self.w, 1, ring)
        return [dup_sub(self.a, dup_mul_ground(slope, ring(i), ring), ring) for i in range(self.m + 1)]

    def images(self, p: list[Any], modulus: int | None = None) -> list[list[Any]]:
        """All N_0 = p, ..., N_{m+1}."""
        ring, out = self.ring, [p]
        before: list[Any] = []
        for i, factor in enumerate(self.factors):
            current = out[-1]
            new = dup_add(dup_mul(dup_diff(current, 1, ring), self.w, ring), dup_mul(current, factor, ring), ring)
            rest = dup_mul_ground(dup_mul(before, self.r, ring), ring(i * (self.m - i + 1)), ring)
            new = dup_sub(new, rest, ring)
            before = current
            out.append(new if modulus is None else gf_trunc(new, modulus))
        return out

    def matrix(self, columns: int, modulus: int | None = None) -> list[list[Any]]:
        """Coefficients of N_{m+1}, lowest first, for N_0 = x**j, one column for each j."""
        images = [self.images([self.ring.one, *[self.ring.zero] * j], modulus)[-1][::-1] for j in range(columns)]
        return [list(row) for row in zip_longest(*images, fillvalue=self.ring.zero)]

    def rank(self, columns: int, p: int, generator: int = 0) -> int:
        """Rank of the linear system for P modulo p, at a root of the field's polynomial."""
        w, a, r = ([image_mod(c, p, generator) for c in row] for row in (self.w, self.a, self.r))
        return rank_mod(Recursion(self.m, w, a, r, sp.ZZ).matrix(columns, p), p)


def recursion(eq: Equation, m: int, a: sp.Poly) -> Recursion:
    """The recursion for phi with A = W phi'/phi; over the rationals W and A times s, R times s**2, all integers."""
    w, by_w, r = lists = [p.rep.to_list() for p in (eq.cleared.w, a, eq.cleared.r)]
    if not eq.over_rationals:
        return Recursion(m, w, by_w, r, eq.field)
    s = lcm(*(int(c.denominator) for row in lists for c in row))
    w, by_w, r = ([sp.ZZ.convert_from(c * s**e, sp.QQ) for c in row] for row, e in zip(lists, (1, 1, 2), strict=True))
    return Recursion(m, w, by_w, r, sp.ZZ)


def product_recursion(eq: Equation, m: int, exponents: Iterable[Any]) -> Recursion:
    """The recursion for phi = prod f**e over the factors of the denominator."""
    parts = (s * e for s, e in zip(eq.cleared.slopes, exponents, strict=True) if e)
    return recursion(eq, m, sum(parts, eq.cleared.w * 0))


def polynomials(eq: Equation, rec: Recursion, columns: int) -> Iterator[sp.Poly]:
    """The kernel; none, where a prime already shows it."""
    if rec.rank(columns, *embedding(eq.field)) < columns:
        yield from kernel(eq, rec, columns)


@dataclass(frozen=True)
class Invariant:
    """F = prod f**e * P, a rational solution of the m-th symmetric power."""

    power: SymmetricPower
    polynomial: sp.Poly

    def logarithmic_derivative(self, eq: Equation) -> tuple[sp.Poly, sp.Poly]:
        """F'/F as a fraction."""
        pairs = [(f, e) for (f, _), e in zip(eq.factors, self.power.exponents, strict=True) if e]
        parts = [(self.polynomial, 1), *pairs]
        den = reduce(mul, (f for f, _ in parts))
        return sum((e * f.diff() * den.quo(f) for f, e in parts), den * 0), den

    def expression(self, eq: Equation) -> sp.Expr:
        """F as a factored expression."""
        pairs = zip(eq.factors, self.power.exponents, strict=True)
        prefactor = sp.Mul(*(f.as_expr() ** e for (f, _), e in pairs))
        return sp.factor(prefactor * self.polynomial.as_expr())


def invariants(eq: Equation, locals_: tuple[Local, ...], m: int) -> list[Invariant]:
    """A basis of the rational solutions of the m-th symmetric power of y'' = r y."""
    power = symmetric_power(locals_, m)
    if not power.columns:
        return []
    return [Invariant(power, p) for p in polynomials(eq, power.recursion(eq), power.columns)]


def kernel(eq: Equation, rec: Recursion, columns: int) -> Iterator[sp.Poly]:
    """A basis of the P of degree below `columns` with N_{m+1} = 0."""
    rows = [[eq.field.convert(c) for c in row] for row in rec.matrix(columns)]
    matrix = DomainMatrix(rows, (len(rows), columns), eq.field)
    for row in matrix.nullspace().to_field().to_list():
        yield sp.Poly.from_list(list(reversed(row)), eq.x, domain=eq.field).monic()


def omega_polynomial(eq: Equation, rec: Recursion, polynomial: sp.Poly, w: sp.Symbol) -> sp.Poly:
    """F prod (w - y_i'/y_i) = sum_i (-1)**i F_i / i! w**(m-i) of an invariant F = phi P = prod y_i, times W**m/phi."""
    terms: dict[tuple[int, int], Any] = {}
    for i, n in enumerate(rec.images(polynomial.rep.to_list())[: rec.m + 1]):
        scale = eq.field((-1) ** i) / eq.field(factorial(i))
        for k, c in enumerate(reversed(dup_mul(n, dup_pow(rec.w, rec.m - i, rec.ring), rec.ring))):
            terms[rec.m - i, k] = eq.field.convert(c) * scale
    return sp.Poly.from_dict(terms, w, eq.x, domain=eq.field)
