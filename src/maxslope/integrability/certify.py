"""JSON certificates for the group of y'' = r y; `checker.check` verifies them without sympy."""

from __future__ import annotations

from math import lcm
from typing import Any

import sympy as sp

from maxslope.integrability.families import families, splitting
from maxslope.integrability.kovacic import Liouvillian
from maxslope.integrability.local import Local, local_data
from maxslope.integrability.ode import Equation
from maxslope.integrability.symmetric import rank, symmetric_power

FORMAT = "maxslope-integrability-1"


def certificate(result: Liouvillian) -> dict[str, Any]:
    """The certificate of a result: a witness in cases 1 to 3, exclusions in case 4.

    Args:
        result: what `liouvillian` returned, over the rationals.

    Returns:
        A mapping for `json.dump`; see the page on certificates for its keys.

    Raises:
        ValueError: if coefficients are irrational, or no prime splits all poles and exponents.

    Source: Kovacic (1986), section 3.1; Ulmer and Weil (1996).

    >>> from maxslope.integrability.kovacic import liouvillian
    >>> certificate(liouvillian("x"))["claim"]
    'SL2'
    """
    eq = result.equation
    if not eq.over_rationals:
        raise ValueError(
            f"certificates need rational coefficients; got the field {eq.field}. "
            "`liouvillian` itself decides such equations; only the certificate is missing."
        )
    locals_ = local_data(eq)
    head = {
        "format": FORMAT,
        "claim": "solvable" if result.solvable else "SL2",
        "case": result.case,
        "equation": _equation(eq),
        "local": [] if eq.num.is_zero else [_local(q) for q in locals_],
    }
    return head | (_witness(result) if result.solvable else _exclusions(eq, locals_))


def _integers(num: sp.Poly, den: sp.Poly) -> tuple[list[int], list[int]]:
    """Integer coefficients, lowest first, of a fraction of polynomials."""
    common = lcm(*(int(c.q) for p in (num, den) for c in p.all_coeffs()))
    first, second = ([int(c * common) for c in reversed(p.all_coeffs())] for p in (num, den))
    return first, second


def _equation(eq: Equation) -> dict[str, Any]:
    num, den = _integers(eq.num, eq.den)
    factors = []
    for f, order in eq.factors:
        cleared = f.clear_denoms(convert=True)[1]
        factors.append([[int(c) for c in reversed(cleared.all_coeffs())], order])
    return {
        "variable": str(eq.x),
        "numerator": num,
        "denominator": den,
        "factors": factors,
        "partial_fractions": str(sp.apart(eq.r, eq.x)),
    }


def _local(local: Local) -> dict[str, Any]:
    square = local.discriminant
    gap = local.difference()
    half = sp.Rational(local.half, 2)
    shift = None if gap is None else sp.Rational(gap.numerator, gap.denominator) / 2
    return {
        "order": local.order,
        "half": local.half,
        "discriminant": None if square is None else [str(sp.QQ.to_sympy(c)) for c in square.rep],
        "exponents": None if shift is None else [str(half + shift), str(half - shift)],
    }


def _exclusions(eq: Equation, locals_: tuple[Local, ...]) -> dict[str, Any]:
    split = splitting(locals_)
    if split is None:
        raise ValueError(
            "no prime below 2**61 among 20000 splits all poles and exponents of "
            f"r = {eq.r}. Choose a variable in which the poles have smaller degree."
        )
    total, admissible = families(eq, split)
    powers = []
    for m in (4, 6, 8, 12):
        power = symmetric_power(locals_, m)
        stated = list(power.exponents) if power.columns else []
        ranks = rank(eq, power, split.prime)
        powers.append({"m": m, "exponents": stated, "columns": power.columns, "rank": ranks})
    return {
        "prime": split.prime,
        "roots": [list(cs) for cs in split.roots],
        "square_roots": [q.root for q in split.points],
        "families": {
            "total": total,
            "admissible": [
                {"signs": f.signs, "degree": f.degree, "columns": f.degree + 1, "rank": f.rank} for f in admissible
            ],
        },
        "symmetric_powers": powers,
    }


def _witness(result: Liouvillian) -> dict[str, Any]:
    eq = result.equation
    omega, invariant = result.omega, result.invariant
    if omega is not None and invariant is None:
        kind, m, expr = "riccati", 1, omega
    elif invariant is not None:
        kind, m, expr = "invariant", *invariant
    else:
        raise ValueError("a solvable result must carry omega or an invariant; got neither.")
    num, den = (sp.Poly(e, eq.x, domain=sp.QQ) for e in sp.fraction(sp.cancel(expr)))
    top, bottom = _integers(num, den)
    return {
        "witness": {
            "kind": kind,
            "m": m,
            "numerator": top,
            "denominator": bottom,
            "expression": str(expr),
        }
    }
