"""The checker's two steps modulo p: no rational Riccati solution, no invariant."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from operator import itemgetter
from typing import Any, NamedTuple

from maxslope.integrability import _exact as ex
from maxslope.integrability._check_data import LIMIT, Case, Place, demand, fields, integer, listing


class Choice(NamedTuple):
    """One sign at one point: alpha modulo p, and the polar part as {power of 1/(x-c) or x: value}."""

    sign: str
    alpha: int
    powers: dict[int, int]


def check_families(case: Case, part: Mapping[str, Any]) -> None:
    """Every family whose degree may be a non-negative integer is excluded: a solution P would be one modulo p."""
    stated = fields(part["families"], {"total", "admissible"}, "families")
    roots = listing(part["square_roots"], "the list of square roots")
    demand(len(roots) == len(case.points), "square roots are missing")
    pairs = zip(case.points, roots, strict=True)
    tables = [_choices(case, q, c, integer(s, "a square root")) for (q, c), s in pairs]
    bound = case.growth * len(case.points)
    demand(bound < case.p // 4, "the prime is too small for the degree bound")
    total = prod(len(table) for table in tables)
    demand(integer(stated["total"], "the number of families") == total, "the number of families is wrong")
    found = []
    for picks, degree in _admissible(tables, bound, case.p):
        demand(degree <= 2 * LIMIT, "a family has a degree that this checker does not take on")
        *poles, last = picks
        polar = [{1: q.alpha, **q.powers} for q in poles]
        rank = ex.mod_rank(_columns(case, 1, polar, last.powers, degree), case.p)
        signs = "".join(q.sign for q in poles) + "|" + last.sign
        found.append({"signs": signs, "degree": degree, "columns": degree + 1, "rank": rank})
    listed = [_family(f) for f in listing(stated["admissible"], "the list of families", 10000)]
    by_signs = itemgetter("signs")
    demand(sorted(listed, key=by_signs) == sorted(found, key=by_signs), "a family is wrong")
    demand(all(f["rank"] == f["columns"] for f in found), "a family is not excluded")


def _family(value: Any) -> dict[str, Any]:
    entry = dict(fields(value, {"signs", "degree", "columns", "rank"}, "a family"))
    demand(type(entry["signs"]) is str, "the signs of a family must be a string")
    for key in ("degree", "columns", "rank"):
        integer(entry[key], f"the {key} of a family")
    return entry


def _admissible(tables: list[list[Choice]], bound: int, p: int) -> Iterator[tuple[list[Choice], int]]:
    """Picks with alpha_oo - sum alpha_c in 0, ..., bound modulo p; two halves that meet in the middle."""
    if not all(tables):
        return
    poles, cut = tables[:-1], len(tables) // 2
    sizes = [prod(len(table) for table in half) for half in (tables[:cut], tables[cut:])]
    demand(max(sizes) <= 1 << 18, "there are more families than this checker takes on")
    tails = list(product(*poles[cut:], tables[-1]))
    right = sorted(((q[-1].alpha - sum(c.alpha for c in q[:-1])) % p, i) for i, q in enumerate(tails))
    keys = [value for value, _ in right]
    met = 0
    for head in product(*poles[:cut]):
        left = sum(c.alpha for c in head) % p
        for low, high in ((left, left + bound), (left - p, left + bound - p)):
            for value, i in right[bisect_left(keys, low) : bisect_right(keys, high)]:
                met += 1
                demand(met <= 10000, "more families have an integer degree than this checker takes on")
                yield [*head, *tails[i]], value - low


def _choices(case: Case, place: Place, c: int | None, s: int) -> list[Choice]:
    """Signs at one point; s is sqrt(discriminant), or the amplitude at an irregular point."""
    p = case.p
    half = pow(2, -1, p)
    demand(0 <= s < p, "a square root must lie between 0 and p")
    if place.square is None:
        demand(s == 0, "no square root belongs to an odd order")
        return []
    if not place.irregular:
        square = [case.reduce(v) for v in place.square]
        demand(s * s % p == ex.evaluate(square, c or 0, p), "a square root modulo p is wrong")
        simple = c is not None and place.order == 1
        demand(not simple or s == 1, "the square root at a simple pole must be 1")
        signs = [("+", 1)] if simple or s == 0 else [("+", 1), ("-", -1)]
        return [Choice(label, (place.half + sign * s) * half % p, {}) for label, sign in signs]
    nu = place.order // 2 if c is not None else -place.order // 2
    top = nu - 1 if c is not None else nu + 1
    series = ex.laurent(case.num, case.den, c, place.order, top + 1, ex.modulo(p))
    sigma = ex.root_series(series, ex.modulo(p))
    demand(s * s % p == series[0], "an amplitude modulo p is wrong")
    out = []
    for label, sign in (("+", 1), ("-", -1)):
        alpha = (place.half * half + sign * s * sigma[top]) % p
        powers = {nu - k: sign * s * sigma[k] % p for k in range(top)}
        out.append(Choice(label, alpha, powers))
    return out


def _power(c: int, exponent: int, by: ex.Arithmetic) -> list[int]:
    """(x - c)**exponent."""
    out = [1]
    for _ in range(exponent):
        out = by.poly(ex.times(out, [-c, 1]))
    return out


def _extreme(case: Case, place: Place, c: int | None, s: int, m: int) -> int | None:
    """Least (at a pole) or greatest (at infinity) exponent of a product of m solutions that may be an integer.

    What only looks like an integer modulo p, as m half/2 + k s/2, widens the search, which weakens no proof.
    """
    if place.irregular or place.square is None:
        return place.order * m // 4 if place.order * m % 4 == 0 else None
    p, bound = case.p, m * case.growth
    demand(bound < p // 4, "the prime is too small for the degree bound")
    half = pow(2, -1, p)
    values = [(m * place.half + k * s) * half % p for k in range(-m, m + 1, 2)]
    whole = [v if v <= bound else v - p for v in values if v <= bound or v >= p - bound]
    return (max if c is None else min)(whole) if whole else None


def check_symmetric_power(case: Case, roots: Sequence[int], step: Mapping[str, Any]) -> None:
    """The m-th symmetric power has no rational solution other than zero."""
    m, p = integer(step["m"], "m"), case.p
    for number in (step["columns"], step["rank"], *listing(step["exponents"], "the exponents")):
        integer(number, f"a number of symmetric power {m}")
    found = [_extreme(case, q, c, s, m) for (q, c), s in zip(case.points, roots, strict=True)]
    known = [e for e in found if e is not None]
    degree = known[-1] - sum(known[:-1]) if len(known) == len(found) else -1
    possible = degree >= 0
    expected = {"m": m, "exponents": known[:-1] if possible else [], "columns": max(degree + 1, 0)}
    rank = 0
    if possible:
        demand(degree <= 100 * LIMIT, f"symmetric power {m} has more columns than this checker takes on")
        rank = ex.mod_rank(_columns(case, m, [{1: e} for e in known[:-1]], {}, degree), p)
    demand(dict(step) == {**expected, "rank": rank}, f"symmetric power {m} is misstated")
    demand(rank == expected["columns"], f"symmetric power {m} may have a rational solution")


def _columns(
    case: Case, m: int, polar: Sequence[Mapping[int, int]], entire: Mapping[int, int], degree: int
) -> list[list[int]]:
    """Images of P = 1, ..., x**degree under F_{i+1} = F_i' - i(m-i+1) r F_{i-1}, F_0 = phi P, cleared by phi and S.

    phi'/phi has polar parts {k: value of 1/(x-c)**k} and an entire one; m = 1 is P'' + 2 theta P' + ... of case 1.
    """
    by = ex.modulo(case.p)
    finite = [(c, (q.order + 1) // 2) for q, c in case.points if c is not None]
    s = [1]
    for c, nu in finite:
        s = by.poly(ex.times(s, _power(c, nu, by)))
    a: list[int] = []
    for k, value in entire.items():
        a = ex.plus(a, [0] * k + s, value)
    for (c, _), part in zip(finite, polar, strict=True):
        for k, value in part.items():
            quotient, rest = ex.divmod_poly(s, _power(c, k, by), by)
            demand(not rest, "internal: polar part too large")
            a = ex.plus(a, quotient, value)
    r, rest = ex.divmod_poly(by.poly(ex.times(ex.times(s, s), case.num)), case.den, by)
    demand(not rest, "internal: a pole of r is missing")
    return [ex.chain(m, s, by.poly(a), r, [0] * j + [1], by)[-1] for j in range(degree + 1)]
