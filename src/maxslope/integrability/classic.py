"""Kovacic's classic cases 2 and 3, kept as a second opinion on the invariants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, product

import sympy as sp

from maxslope.integrability.families import Splitting, families, modular_recursion, splitting
from maxslope.integrability.kovacic import W, verify_algebraic
from maxslope.integrability.local import Local, local_data
from maxslope.integrability.ode import Equation
from maxslope.integrability.symmetric import kernel, omega_polynomial, product_recursion

_WEIGHTS = {2: 4, 4: 12, 6: 12, 12: 12}  # of Kovacic's exponents, by n


@dataclass(frozen=True)
class ClassicOpinion:
    """Case (None: undecided) and n, the verified polynomial of w in cases 2 and 3, and how many families were tried."""

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
    found = families(eq, split).admissible
    if not all(f.excluded for f in found):
        return ClassicOpinion(1, 1, None, len(found))
    tried = len(found)
    for n in (2, 4, 6, 12):
        undecided = False
        for exponents, degree in _families(locals_, split, n):
            tried += 1
            p = split.prime
            weight = n * pow(_WEIGHTS[n], -1, p)
            polar = [{1: e * weight % p} for place in exponents for e in place]
            if modular_recursion(eq, split, n, polar, {}).rank(degree + 1, p) == degree + 1:
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
    if local.factor is not None and local.order == 1:
        return [4] if n == 2 else [12]
    if local.order is not None and not local.regular:
        return [local.order] if n == 2 else []
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
        if scaled >= 0 and scaled % _WEIGHTS[n] == 0:
            left = iter(picks)
            yield [list(islice(left, size)) for size in sizes], scaled // _WEIGHTS[n]


def _lift(eq: Equation, n: int, exponents: list[list[int]], degree: int) -> sp.Expr | None:
    """Solve a family with conjugate-invariant exponents exactly and verify its polynomial."""
    if any(len(set(place)) > 1 for place in exponents):
        return None
    weights = [sp.Rational(place[0] * n, _WEIGHTS[n]) for place in exponents]
    rec = product_recursion(eq, n, weights)
    for p in kernel(eq, rec, degree + 1):
        minimal = omega_polynomial(eq, rec, p, W).as_expr()
        if verify_algebraic(eq, minimal):
            return minimal
    return None
