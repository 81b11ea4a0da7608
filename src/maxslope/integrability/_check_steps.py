"""The checker's two steps modulo p: no rational Riccati solution, no invariant."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import product
from typing import Any

from maxslope.integrability import _exact as ex
from maxslope.integrability._check_data import Case, Place, demand

# One sign at one point: label, alpha modulo p, polar part as {power of 1/(x-c) or x: value}.
Choice = tuple[str, int, dict[int, int]]


def check_families(case: Case, data: Mapping[str, Any]) -> None:
    """Every family whose degree may be a non-negative integer is excluded by full rank."""
    stated = data["families"]
    points, roots = case.points(), data["square_roots"]
    demand(len(roots) == len(points), "square roots are missing")
    tables = [_choices(case, q, c, int(s)) for (q, c), s in zip(points, roots, strict=True)]
    bound = sum(place.growth() for place, _ in points)
    demand(bound < case.p // 4, "the prime is too small for the degree bound")
    found, total = [], 0
    for picks in product(*tables):
        total += 1
        degree = (picks[-1][1] - sum(q[1] for q in picks[:-1])) % case.p
        if degree <= bound:
            columns = _riccati_columns(case, list(picks), degree)
            rank = ex.mod_rank(columns, case.p)
            signs = "".join(q[0] for q in picks[:-1]) + "|" + picks[-1][0]
            found.append({"signs": signs, "degree": degree, "columns": degree + 1, "rank": rank})
    demand(stated["total"] == total, "the number of families is wrong")
    listed = sorted(stated["admissible"], key=lambda f: str(f["signs"]))
    demand(listed == sorted(found, key=lambda f: str(f["signs"])), "a family is wrong")
    demand(all(f["rank"] == f["columns"] for f in found), "a family is not excluded")


def _choices(case: Case, place: Place, c: int | None, s: int) -> list[Choice]:
    """Signs at one point; s is sqrt(discriminant), or the amplitude at an irregular point."""
    p = case.p
    half = pow(2, -1, p)
    if place.square is None:
        demand(s == 0, "no square root belongs to an odd order")
        return []
    irregular = place.order > 2 if c is not None else place.order < 2
    if not irregular:
        square = [ex.reduce_fraction(v, p) for v in place.square or []]
        demand(s * s % p == ex.evaluate(square, c or 0, p), "a square root modulo p is wrong")
        gap = place.gap()
        demand(gap is None or s % p == ex.reduce_fraction(gap, p), "a sign label is wrong")
        single = s % p == 0 or (c is not None and place.order == 1)
        signs = [("+", 1)] if single else [("+", 1), ("-", -1)]
        return [(label, (place.half + sign * s) * half % p, {}) for label, sign in signs]
    nu = place.order // 2 if c is not None else -place.order // 2
    top = nu - 1 if c is not None else nu + 1
    lead, sigma = _sqrt_series(case, place, c, top)
    demand(s * s % p == lead, "an amplitude modulo p is wrong")
    out = []
    for label, sign in (("+", 1), ("-", -1)):
        alpha = (place.half * half + sign * s * sigma[top]) % p
        powers = {nu - k: sign * s * sigma[k] % p for k in range(top)}
        out.append((label, alpha, powers))
    return out


def _sqrt_series(case: Case, place: Place, c: int | None, top: int) -> tuple[int, list[int]]:
    """Leading Laurent coefficient of r at a point and sqrt(r/leading) to order `top`."""
    p = case.p
    if c is None:
        u, v = case.num[::-1], case.den[::-1]
    else:
        u, v = _shift(case.num, c, p), _shift(case.den, c, p)[place.order :]
    inverse = pow(v[0], -1, p)
    series: list[int] = []
    for k in range(top + 1):
        value = u[k] if k < len(u) else 0
        value -= sum(v[j] * series[k - j] for j in range(1, min(k, len(v) - 1) + 1))
        series.append(value * inverse % p)
    lead, sigma, half = pow(series[0], -1, p), [1], pow(2, -1, p)
    for k in range(1, top + 1):
        cross = sum(sigma[j] * sigma[k - j] for j in range(1, k))
        sigma.append((series[k] * lead - cross) * half % p)
    return series[0], sigma


def _shift(poly: list[int], c: int, p: int) -> list[int]:
    """Coefficients of poly(x + c)."""
    out: list[int] = []
    for value in reversed(poly):
        out = ex.mod_sum(p, (1, [0, *out]), (c, out), (1, [value]))
    return out


def _power(base: list[int], exponent: int, p: int) -> list[int]:
    out = [1]
    for _ in range(exponent):
        out = ex.mod_times(out, base, p)
    return out


def _riccati_columns(case: Case, picks: list[Choice], degree: int) -> list[list[int]]:
    """Images of 1, x, ..., x**degree under S^2 (P'' + 2 theta P' + (theta' + theta^2 - r) P)."""
    p = case.p
    finite = [(q, c) for q, c in case.points() if c is not None]
    nus = [max(1, q.order // 2) for q, _ in finite]
    s = [1]
    for (_, c), nu in zip(finite, nus, strict=True):
        s = ex.mod_times(s, _power([-c, 1], nu, p), p)
    t: list[int] = []
    for (_, c), pick in zip(finite, picks, strict=False):
        for power, value in {1: pick[1], **pick[2]}.items():
            rest = ex.mod_quotient(s, _power([-c, 1], power, p), p)
            demand(rest is not None, "internal: polar part too large")
            t = ex.mod_sum(p, (1, t), (value, rest or []))
    for power, value in picks[-1][2].items():
        t = ex.mod_sum(p, (1, t), (value, ex.mod_times(s, [0] * power + [1], p)))
    s2 = ex.mod_times(s, s, p)
    r = ex.mod_quotient(ex.mod_times(s2, case.num, p), case.den, p)
    demand(r is not None, "internal: a pole of r is missing")
    ts = ex.mod_times(t, s, p)
    mixed = ex.mod_times(ex.mod_diff(t, p), s, p), ex.mod_times(t, ex.mod_diff(s, p), p)
    g = ex.mod_sum(p, (1, mixed[0]), (-1, mixed[1]), (1, ex.mod_times(t, t, p)), (-1, r or []))
    columns = []
    for j in range(degree + 1):
        image = ex.mod_sum(p, (1, [0] * j + g))
        image = ex.mod_sum(p, (1, image), (2 * j, [0] * (j - 1) + ts if j else []))
        image = ex.mod_sum(p, (1, image), (j * (j - 1), [0] * (j - 2) + s2 if j > 1 else []))
        columns.append(image)
    return columns


def _extreme(place: Place, m: int, finite: bool) -> int | None:
    """Least (at a pole) or greatest (at infinity) integer exponent of a product of m solutions."""
    if place.order > 2 if finite else place.order < 2:
        return place.order * m // 4 if place.order * m % 4 == 0 else None
    gap = place.gap()
    middle = [Fraction(m, 2)] if m % 2 == 0 else []
    if gap is not None:
        middle = [Fraction(m, 2) + k * gap / 2 for k in range(-m, m + 1, 2)]
    whole = [int(v) for v in middle if v.denominator == 1]
    return (min if finite else max)(whole) if whole else None


def check_symmetric_power(case: Case, step: Mapping[str, Any]) -> None:
    """The m-th symmetric power has no rational solution other than zero."""
    m, p = int(step["m"]), case.p
    low = [_extreme(place, m, True) for place in case.places[:-1]]
    high = _extreme(case.places[-1], m, False)
    exponents = [e for e in low if e is not None]
    degree = -1
    if high is not None and len(exponents) == len(low):
        sizes = [len(place.f or [0]) - 1 for place in case.places[:-1]]
        degree = high - sum(e * n for e, n in zip(exponents, sizes, strict=True))
    possible = degree >= 0
    expected = {"m": m, "exponents": exponents if possible else [], "columns": max(degree + 1, 0)}
    rank = 0
    if possible:
        rank = ex.mod_rank(_power_columns(case, m, exponents, degree), p)
    demand(dict(step) == {**expected, "rank": rank}, f"symmetric power {m} is misstated")
    demand(rank == expected["columns"], f"symmetric power {m} may have a rational solution")


def _power_columns(case: Case, m: int, exponents: list[int], degree: int) -> list[list[int]]:
    """Images of 1, ..., x**degree under the recursion of the symmetric power, cleared by S."""
    p = case.p
    s, a = [1], [0]
    weights = [(q, e) for q, e in zip(case.places[:-1], exponents, strict=True)]
    bases = [[ex.reduce_fraction(v, p) for v in q.f or []] for q, _ in weights]
    for (q, _), f in zip(weights, bases, strict=True):
        s = ex.mod_times(s, _power(f, (q.order + 1) // 2, p), p)
    for (_, e), f in zip(weights, bases, strict=True):
        rest = ex.mod_quotient(s, f, p) or []
        a = ex.mod_sum(p, (1, a), (e, ex.mod_times(ex.mod_diff(f, p), rest, p)))
    r = ex.mod_quotient(ex.mod_times(ex.mod_times(s, s, p), case.num, p), case.den, p)
    demand(r is not None, "internal: a pole of r is missing")
    ds = ex.mod_diff(s, p)
    columns = []
    for j in range(degree + 1):
        before: list[int] = []
        current = [0] * j + [1]
        for i in range(m + 1):
            factor = ex.mod_sum(p, (1, a), (-i, ds))
            new = ex.mod_sum(
                p,
                (1, ex.mod_times(s, ex.mod_diff(current, p), p)),
                (1, ex.mod_times(factor, current, p)),
                (-i * (m - i + 1), ex.mod_times(r or [], before, p)),
            )
            before, current = current, new
        columns.append(current)
    return columns
