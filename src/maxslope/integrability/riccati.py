"""Case 1: rational solutions of the Riccati equation w' + w^2 = r."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import factorial
from typing import Any

import sympy as sp

from maxslope.integrability._modular import embedding, image_mod, small_sums
from maxslope.integrability.local import Local, Residue, poly, trace
from maxslope.integrability.ode import Equation
from maxslope.integrability.symmetric import LARGEST, invariants, polynomials, recursion

_FEW = 24


@dataclass(frozen=True)
class RiccatiSolution:
    """w = theta + P'/P (family form), or (F' + c)/(2F) with F the `product` of two solutions and c constant."""

    omega: sp.Expr
    theta: sp.Expr | None = None
    polynomial: sp.Expr | None = None
    product: sp.Expr | None = None


@dataclass(frozen=True)
class _Choice:
    """One sign at one point: its part of theta and its part of the degree d."""

    theta: sp.Expr
    degree: Any


def _sum_over_roots(u: Residue, x: sp.Symbol, power: int) -> sp.Expr:
    """Sum over the roots c of f of u(c)/(x - c)**power."""
    f = u.ext.modulus
    if f.degree() == 1:
        return poly(u).as_expr() / f.as_expr() ** power
    top = (poly(u) * f.diff()).rem(f)
    return sp.cancel((-1) ** (power - 1) * sp.diff(top.as_expr() / f.as_expr(), x, power - 1) / factorial(power - 1))


def _choices(local: Local, x: sp.Symbol) -> list[_Choice]:
    """The sign choices at a point that are stable under conjugation."""
    root = local.root()
    if root is None:
        return []
    amplitude = local.amplitude()
    simple = local.factor is not None and local.order == 1
    signs = [1] if simple or (not root and amplitude is None) else [1, -1]
    out = []
    for sign in signs:
        alpha = (root * sign + local.half) / 2
        polar = [sigma * amplitude * sign for sigma in local.polar]  # highest power first
        if local.factor is not None:
            parts = ((u, len(polar) + 1 - k) for k, u in enumerate([*polar, alpha]))
            out.append(_Choice(sp.Add(*(_sum_over_roots(u, x, power) for u, power in parts)), -trace(alpha)))
        else:
            theta = sp.Add(*(poly(u).as_expr() * x**k for k, u in enumerate(reversed(polar))))
            out.append(_Choice(theta, trace(alpha)))
    return out


def _admissible(eq: Equation, locals_: tuple[Local, ...]) -> Iterator[tuple[list[_Choice], int]]:
    """Conjugation-stable choices whose degree is a non-negative integer: found modulo a prime, then exactly."""
    tables = [_choices(p, eq.x) for p in locals_]
    prime, generator = embedding(eq.field)
    images = [[image_mod(c.degree, prime, generator) for c in table] for table in tables]
    for indices, _ in small_sums(images, LARGEST, prime):
        picks = [table[i] for table, i in zip(tables, indices, strict=True)]
        degree = eq.field.to_sympy(sum((c.degree for c in picks), eq.field.zero))
        if degree.is_Integer and degree >= 0:
            yield picks, int(degree)


def rational_riccati(eq: Equation, locals_: tuple[Local, ...]) -> RiccatiSolution | None:
    """A solution w of w' + w^2 = r, rational over k or over one square root of k, or None: Kovacic (1986), section 3.1.

    A unique w has conjugate signs at conjugate poles; otherwise the product of two solutions is rational.
    """
    if any(p.discriminant is None for p in locals_):
        return None
    kinds = (_torus_solutions, family_solutions) if many_families(eq, locals_) else (family_solutions, _torus_solutions)
    return next((found for kind in kinds for found in kind(eq, locals_)), None)


def many_families(eq: Equation, locals_: tuple[Local, ...]) -> bool:
    """Whether there are so many families that one system for the product of two solutions is tried before them."""
    return len(list(islice(_admissible(eq, locals_), _FEW + 1))) > _FEW


def family_solutions(eq: Equation, locals_: tuple[Local, ...]) -> Iterator[RiccatiSolution]:
    """The solutions w = theta + P'/P, one a family with P'' + 2 theta P' + (theta' + theta^2 - r) P = 0."""
    for picks, degree in sorted(_admissible(eq, locals_), key=lambda item: item[1]):
        theta = sp.cancel(sp.Add(*(c.theta for c in picks)), extension=True)
        top, bottom = (sp.Poly(e, eq.x, domain=eq.field) for e in sp.fraction(theta))
        system = recursion(eq, 1, (eq.cleared.w * top).quo(bottom))
        for polynomial in islice(polynomials(eq, system, degree + 1), 1):
            p = polynomial.as_expr()
            yield RiccatiSolution(sp.factor(theta + sp.diff(p, eq.x) / p), theta, p)


def _torus_solutions(eq: Equation, locals_: tuple[Local, ...]) -> Iterator[RiccatiSolution]:
    """w = (g + c/F)/2 with F a rational product of two solutions, g = F'/F and c^2 = F^2 (4 r - 2 g' - g^2)."""
    for member in invariants(eq, locals_, 2):
        n, d = member.logarithmic_derivative(eq)
        n, d = n.cancel(d, include=True)
        # 4 r - 2 g' - g^2 = rest / (den d^2)
        rest = 4 * eq.num * d**2 - (2 * (n.diff() * d - n * d.diff()) + n**2) * eq.den
        if rest.is_zero:
            omega = n.as_expr() / (2 * d.as_expr())
            yield RiccatiSolution(omega, omega, sp.Integer(1))
            continue
        f = member.expression(eq)
        point = next(k for k in range(2, 10**6) if eq.den.eval(k) != 0 and d.eval(k) != 0)
        square = sp.radsimp(f.subs(eq.x, point) ** 2 * rest.eval(point) / (eq.den.eval(point) * d.eval(point) ** 2))
        omega = sp.factor((n.as_expr() / d.as_expr() + sp.sqrt(square) / f) / 2)
        yield RiccatiSolution(omega, product=f)
