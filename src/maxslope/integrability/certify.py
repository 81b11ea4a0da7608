"""JSON certificates for the group of y'' = r y; `checker.check` verifies them without sympy."""

from __future__ import annotations

from math import lcm
from typing import Any

import sympy as sp

from maxslope.integrability.families import Splitting, families, splitting
from maxslope.integrability.kovacic import Liouvillian
from maxslope.integrability.local import Local, local_data
from maxslope.integrability.ode import Equation, fraction_of, monic_below
from maxslope.integrability.symmetric import symmetric_power

FORMAT = "maxslope-integrability-2"


def certificate(result: Liouvillian) -> dict[str, Any]:
    """The certificate of a result: a witness in cases 1 to 3, exclusions in case 4.

    Args:
        result: what `liouvillian` returned, over the rationals or a number field.

    Returns:
        A mapping for `json.dump`; see the page on certificates for its keys.

    Raises:
        ValueError: if no prime splits all poles and exponents.

    Source: Kovacic (1986), section 3.1; Ulmer and Weil (1996).

    >>> from maxslope.integrability.kovacic import liouvillian
    >>> certificate(liouvillian("x"))["claim"]
    'SL2'
    """
    eq = result.equation
    head: dict[str, Any] = {
        "format": FORMAT,
        "claim": "solvable" if result.solvable else "SL2",
        **({} if eq.over_rationals else {"field": [str(c) for c in reversed(eq.field.mod.to_list())]}),
        "equation": dict(zip(("numerator", "denominator"), _lists(eq, eq.num, eq.den), strict=True)),
    }
    if result.solvable:
        return head | {"witness": _witness(result)}
    head["equation"]["factors"] = [[*_lists(eq, f), order] for f, order in eq.factors]
    locals_ = local_data(eq)
    return head | {"local": [_local(q) for q in locals_]} | _exclusions(eq, locals_)


def _coefficient(value: Any) -> Any:
    """A fraction, or the list of fractions of an element of a number field, as strings."""
    if isinstance(value, sp.polys.polyclasses.ANP):
        return [str(c) for c in reversed(value.to_list())]
    return str(value)


def _lists(eq: Equation, *polynomials: sp.Poly) -> list[list[Any]]:
    """Coefficients, lowest first: integers over the rationals, times one number for all."""
    lists = [p.rep.to_list()[::-1] for p in polynomials]
    if not eq.over_rationals:
        return [[_coefficient(c) for c in row] for row in lists]
    common = lcm(*(int(c.denominator) for row in lists for c in row))
    return [[int(c.numerator) * common // int(c.denominator) for c in row] for row in lists]


def _local(local: Local) -> dict[str, Any]:
    square = local.discriminant
    return {
        "order": local.order,
        "half": local.half,
        "discriminant": None if square is None else [_coefficient(c) for c in reversed(square.rep.to_list())],
    }


def _exclusions(eq: Equation, locals_: tuple[Local, ...]) -> dict[str, Any]:
    splits = splitting(eq.field, locals_)
    if splits is None:
        raise ValueError(
            "no prime below 2**61 among 20000 splits all poles and exponents of "
            f"r = {eq.r}. Choose a variable in which the poles have smaller degree."
        )
    parts = [_part(eq, locals_, split) for split in splits]
    if eq.over_rationals:
        return {"prime": splits[0].prime, **parts[0]}
    return {
        "prime": splits[0].prime,
        "conjugates": [{"generator": s.generator, **part} for s, part in zip(splits, parts, strict=True)],
    }


def _part(eq: Equation, locals_: tuple[Local, ...], split: Splitting) -> dict[str, Any]:
    total, admissible = families(eq, split)
    powers = []
    for m in (4, 6, 8, 12):
        power = symmetric_power(locals_, m)
        sizes = [q.degree for q in locals_[:-1]]
        stated = [e for e, n in zip(power.exponents, sizes, strict=True) for _ in range(n)] if power.columns else []
        ranks = power.recursion(eq).rank(power.columns, split.prime, split.generator) if power.columns else 0
        powers.append({"m": m, "exponents": stated, "columns": power.columns, "rank": ranks})
    return {
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
    kind, (m, expr) = ("invariant", result.invariant) if result.invariant else ("riccati", (1, result.omega))
    if expr is None:
        raise ValueError("a solvable result must carry omega or an invariant; got neither.")
    num, den = monic_below(*fraction_of(expr, eq.x, eq.field))
    if kind == "invariant" and not eq.over_rationals:
        num = num.monic()
    top, bottom = _lists(eq, num, den)
    return {"kind": kind, "m": m, "numerator": top, "denominator": bottom}
