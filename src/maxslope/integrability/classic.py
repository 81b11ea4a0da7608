"""Kovacic's classic cases 2 and 3, kept as a second opinion on the invariants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

import sympy as sp

from maxslope.integrability import _lists as ls
from maxslope.integrability._split_prime import image_mod
from maxslope.integrability.families import Splitting, families, splitting
from maxslope.integrability.kovacic import W, verify_algebraic
from maxslope.integrability.local import Local, local_data
from maxslope.integrability.ode import Equation
from maxslope.integrability.symmetric import kernel


@dataclass(frozen=True)
class ClassicOpinion:
    """Case and n found by Kovacic's enumeration; `case` is None when it stays undecided.

    `minimal` is a polynomial of degree n in w, verified by substitution (cases 2 and 3);
    `tried` counts the families with d in N that were solved modulo the prime.
    """

    case: int | None
    n: int | None
    minimal: sp.Expr | None
    tried: int


def second_opinion(eq: Equation) -> ClassicOpinion:
    """Kovacic's algorithm as published: families of case 1, then n = 2, 4, 6, 12.

    Families are excluded modulo a prime that splits the poles; a survivor is solved exactly and
    its polynomial is verified by substitution.

    Args:
        eq: the equation, with rational coefficients.

    Raises:
        ValueError: if the coefficients are irrational or no splitting prime is found.

    Source: Kovacic, J. Symbolic Computation 2 (1986), sections 3.1, 4.1 and 5.1.

    >>> from maxslope.integrability.ode import equation
    >>> second_opinion(equation("1/x - 3/(16*x**2)")).n
    2
    """
    if not eq.over_rationals:
        raise ValueError(f"the second opinion needs rational coefficients; got {eq.field}.")
    locals_ = local_data(eq)
    splits = splitting(eq.field, locals_)
    if splits is None:
        raise ValueError(f"no splitting prime for r = {eq.r}; use `liouvillian` alone.")
    split = splits[0]
    found = families(eq, split)[1]
    if not all(f.excluded for f in found):
        return ClassicOpinion(1, 1, None, len(found))
    tried = len(found)
    for n in (2, 4, 6, 12):
        undecided = False
        for exponents, degree in _families(locals_, split, n):
            tried += 1
            flat = [e for place in exponents for e in place]
            matrix = _matrix_mod(eq, split, n, flat, degree)
            if ls.rank_mod(matrix, split.prime) == degree + 1:
                continue
            minimal = _lift(eq, n, exponents, degree)
            if minimal is not None:
                return ClassicOpinion(2 if n == 2 else 3, n, minimal, tried)
            undecided = True
        if undecided:
            return ClassicOpinion(None, None, None, tried)
    return ClassicOpinion(4, None, None, tried)


def _exponents(local: Local, n: int) -> list[int]:
    """Kovacic's set E at one pole or at infinity; empty when the case is impossible."""
    finite = local.factor is not None
    order = local.order
    if finite and order == 1:
        return [4] if n == 2 else [12]
    if order is not None and (order > 2 if finite else order < 2):
        return [order] if n == 2 else []
    gap = local.difference() or Fraction(0)
    unit, middle = (Fraction(2), 2) if n == 2 else (Fraction(12, n), 6)
    steps = range(-1, 2) if n == 2 else range(-n // 2, n // 2 + 1)
    values = {middle + k * unit * gap for k in steps}
    return sorted(int(v) for v in values if v.denominator == 1)


def _families(locals_: tuple[Local, ...], split: Splitting, n: int) -> Iterator[tuple[list[list[int]], int]]:
    """Exponents (per factor, per conjugate root) and d in N."""
    sets = [_exponents(p, n) for p in locals_]
    sizes = [len(cs) for cs in split.roots]
    slots = [s for s, size in zip(sets, sizes, strict=False) for _ in range(size)]
    for picks in product(*slots, sets[-1]):
        if n == 2 and all(e % 2 == 0 for e in picks):
            continue
        scaled = n * (picks[-1] - sum(picks[:-1]))
        weight = 4 if n == 2 else 12
        if scaled >= 0 and scaled % weight == 0:
            grouped, start = [], 0
            for size in sizes:
                grouped.append(list(picks[start : start + size]))
                start += size
            yield grouped, scaled // weight


@dataclass(frozen=True)
class _System:
    """S, theta S and S^2 r as coefficient lists (S^3-cleared data in case 2)."""

    s: list[Any]
    t: list[Any]
    r: list[Any]

    def chain(self, p: list[Any], n: int, modulus: int | None) -> list[list[Any]]:
        """P_n = -P, ..., P_{-1} of case 3."""
        before: list[Any] = []
        current, out = ls.scale(p, -1), [ls.scale(p, -1)]
        ds = ls.derivative(self.s)
        for i in range(n, -1, -1):
            new = ls.scale(ls.mul(self.s, ls.derivative(current), modulus), -1)
            factor = ls.add(ls.scale(ds, n - i), ls.scale(self.t, -1))
            new = ls.add(new, ls.mul(factor, current, modulus))
            tail = ls.scale(ls.mul(self.r, before, modulus), -(n - i) * (i + 1))
            before, current = current, ls.reduce_mod(ls.add(new, tail), modulus)
            out.append(current)
        return out

    def third_order(self, p: list[Any], modulus: int | None) -> list[Any]:
        """S^3 (P''' + 3 theta P'' + ... ) of case 2, through D(f) = S f' + (theta S - i S') f."""
        d0 = p
        d1 = self._apply(d0, 0, modulus)
        d2 = self._apply(d1, 1, modulus)
        d3 = self._apply(d2, 2, modulus)
        # phi''' - 4 r phi' - 2 r' phi with r = R/S^2, r' = (S R' - 2 S' R)/S^3
        dr = ls.add(
            ls.mul(self.s, ls.derivative(self.r), modulus),
            ls.scale(ls.mul(ls.derivative(self.s), self.r, modulus), -2),
        )
        out = ls.add(d3, ls.scale(ls.mul(self.r, d1, modulus), -4))
        out = ls.add(out, ls.scale(ls.mul(dr, d0, modulus), -2))
        return ls.reduce_mod(out, modulus)

    def _apply(self, f: list[Any], i: int, modulus: int | None) -> list[Any]:
        factor = ls.add(self.t, ls.scale(ls.derivative(self.s), -i))
        return ls.add(ls.mul(self.s, ls.derivative(f), modulus), ls.mul(factor, f, modulus))

    def columns(self, n: int, degree: int, one: Any, modulus: int | None) -> list[list[Any]]:
        """Rows of the linear system for the coefficients of P."""
        images = []
        for j in range(degree + 1):
            p = [one * 0] * j + [one]
            images.append(self.third_order(p, modulus) if n == 2 else self.chain(p, n, modulus)[-1])
        height = max((len(i) for i in images), default=0)
        return [[i[k] if k < len(i) else one * 0 for i in images] for k in range(height)]


def _matrix_mod(eq: Equation, split: Splitting, n: int, exponents: list[int], degree: int) -> list[list[int]]:
    p = split.prime
    roots = [c for cs in split.roots for c in cs]
    orders = [order for (_, order), cs in zip(eq.factors, split.roots, strict=True) for _ in cs]
    nus = [(order + 1) // 2 for order in orders]
    s, r = [1], [image_mod(c, p) for c in reversed(eq.num.rep.to_list())]
    for c, order, nu in zip(roots, orders, nus, strict=True):
        for _ in range(nu):
            s = ls.mul(s, [-c, 1], p)
        for _ in range(2 * nu - order):
            r = ls.mul(r, [-c, 1], p)
    t: list[int] = []
    weight = pow(2, -1, p) if n == 2 else n * pow(12, -1, p)
    for k, e in enumerate(exponents):
        part = [e * weight % p]
        for j, c in enumerate(roots):
            for _ in range(nus[j] - (j == k)):
                part = ls.mul(part, [-c, 1], p)
        t = ls.add(t, part)
    return _System(s, ls.reduce_mod(t, p), r).columns(n, degree, 1, p)


def _lift(eq: Equation, n: int, exponents: list[list[int]], degree: int) -> sp.Expr | None:
    """Solve a family with conjugate-invariant exponents exactly and verify its polynomial."""
    if any(len(set(place)) > 1 for place in exponents):
        return None
    x = eq.x
    s, t = (sp.Poly(v, x, domain=eq.field) for v in (1, 0))
    for f, order in eq.factors:
        s = s * f ** ((order + 1) // 2)
    for (f, _), place in zip(eq.factors, exponents, strict=True):
        t = t + f.diff() * s.quo(f) * sp.Rational(place[0] * n, 4 if n == 2 else 12)
    r = (s**2 * eq.num).quo(eq.den)
    system = _System(*(list(reversed(p.rep.to_list())) for p in (s, t, r)))
    one = eq.field.one
    for p in kernel(system.columns(n, degree, one, None), degree + 1, eq):
        minimal = _polynomial(eq, system, n, s, t, p)
        if verify_algebraic(eq, minimal):
            return minimal
    return None


def _polynomial(eq: Equation, system: _System, n: int, s: sp.Poly, t: sp.Poly, p: sp.Poly) -> sp.Expr:
    """w^2 - g w + (g' + g^2)/2 - r with g = theta + P'/P, or sum S^i P_i/(n-i)! w^i."""
    if n == 2:
        g = sp.cancel(t.as_expr() / s.as_expr() + p.diff().as_expr() / p.as_expr())
        return W**2 - g * W + sp.cancel((sp.diff(g, eq.x) + g**2) / 2 - eq.r)
    chain = system.chain(list(reversed(p.rep.to_list())), n, None)
    terms = []
    for index, coefficients in enumerate(chain[:-1]):
        i = n - index
        value = sp.Poly.from_list(list(reversed(coefficients)) or [0], eq.x, domain=eq.field)
        terms.append((s**i * value).as_expr() * W**i / sp.factorial(index))
    return sp.Add(*terms)
