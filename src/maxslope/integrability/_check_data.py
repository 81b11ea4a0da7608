"""The checker's reading of a certificate: places, exact local data, the prime that splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, isqrt
from typing import Any

from maxslope.integrability import _exact as ex


class CertificateError(ValueError):
    """The certificate does not prove its claim."""


def demand(condition: bool, reason: str) -> None:
    """Refuse the certificate unless the condition holds."""
    if not condition:
        raise CertificateError(f"certificate refused: {reason}. Derive it again with `certificate(...)`.")


@dataclass(frozen=True)
class Place:
    """The roots of one factor (f is None: infinity), with exact local data."""

    f: list[Fraction] | None
    order: int
    half: int
    square: list[Fraction] | None

    def gap(self) -> Fraction | None:
        """sqrt(square) when rational; refuses when rationality cannot be decided."""
        if self.square is None:
            return None
        if len(self.square) <= 1:
            return ex.fraction_sqrt(self.square[0] if self.square else Fraction(0))
        polynomial = ex.characteristic(self.square, self.f or [])
        demand(ex.has_no_rational_root(polynomial), "a discriminant may be rational at a pole")
        return None

    def growth(self) -> int:
        """A bound for the absolute value of an exponent at any of the conjugate points."""
        square = self.square or [Fraction(0)]
        bound = abs(square[0])
        if len(square) > 1:
            bound = 1 + max(abs(c) for c in ex.characteristic(square, self.f or []))
        return abs(self.half) + isqrt(int(bound) + 1) + 1


@dataclass(frozen=True)
class Case:
    """The equation read from a certificate, reduced modulo p as well."""

    num: list[int]
    den: list[int]
    places: list[Place]
    p: int
    roots: list[list[int]]

    def points(self) -> list[tuple[Place, int | None]]:
        """All poles modulo p, then infinity."""
        pairs = zip(self.places[:-1], self.roots, strict=True)
        return [(q, c) for q, cs in pairs for c in cs] + [(self.places[-1], None)]


def _series(num: Sequence[Any], den: Sequence[Any], count: int, f: list[Fraction]) -> list[Any]:
    """Laurent coefficients of num/den over Q[t]/(f), den[0] invertible."""
    lead = ex.inverse_mod(den[0], f)
    out: list[list[Fraction]] = []
    for k in range(count):
        value = list(num[k]) if k < len(num) else []
        for j in range(1, min(k, len(den) - 1) + 1):
            value = ex.plus(value, ex.times(den[j], out[k - j]), -1)
        out.append(ex.divmod_poly(ex.times(value, lead), f)[1])
    return out


def _taylor(poly: Sequence[int], f: list[Fraction]) -> list[list[Fraction]]:
    """Coefficients of poly(c + u) in Q[t]/(f), c the class of t."""
    rows: list[list[Fraction]] = []
    for value in reversed(poly):
        moved = [ex.divmod_poly(ex.times(r, [Fraction(0), Fraction(1)]), f)[1] for r in rows]
        rows = [[], *rows]
        rows = [ex.plus(rows[i], moved[i] if i < len(moved) else []) for i in range(len(rows))]
        rows[0] = ex.plus(rows[0], [Fraction(value)])
    return rows


def _sqrt_coefficient(series: list[Any], k: int, f: list[Fraction]) -> list[Fraction]:
    """The k-th coefficient of sqrt(series/series[0])."""
    lead = ex.inverse_mod(series[0], f)
    sigma: list[list[Fraction]] = [[Fraction(1)]]
    for n in range(1, k + 1):
        value = ex.times(series[n], lead)
        for j in range(1, n):
            value = ex.plus(value, ex.times(sigma[j], sigma[n - j]), -1)
        sigma.append([c / 2 for c in ex.divmod_poly(value, f)[1]])
    return sigma[k]


def _place(num: list[int], den: list[int], f: list[Fraction] | None, order: int) -> Place:
    """Exact exponents (half +- sqrt(square))/2; square None at odd irregular points."""
    finite = f is not None
    if (order == 1) if finite else (order > 2):
        return Place(f, order, 1, [Fraction(1)])
    modulus = f if f is not None else [Fraction(0), Fraction(1)]
    if f is not None:
        rows = _taylor(num, f), _taylor(den, f)[order:]
    else:
        rows = [[Fraction(c)] for c in reversed(num)], [[Fraction(c)] for c in reversed(den)]
    if order == 2:
        lead = _series(*rows, 1, modulus)[0]
        return Place(f, 2, 1, ex.plus([4 * c for c in lead], [Fraction(1)]))
    if order % 2:
        return Place(f, order, 0, None)
    k = order // 2 - 1 if finite else 1 - order // 2
    series = _series(*rows, k + 1, modulus)
    sigma = _sqrt_coefficient(series, k, modulus)
    square = ex.times(ex.times(sigma, sigma), series[0])
    reduced = ex.divmod_poly([4 * c for c in square], modulus)[1]
    return Place(f, order, order // 2, reduced)


def read(data: Mapping[str, Any]) -> tuple[list[int], list[int], list[Place]]:
    """Numerator, denominator and places; checks the factorization."""
    eq = data["equation"]
    num, den = [int(c) for c in eq["numerator"]], [int(c) for c in eq["denominator"]]
    demand(bool(num and num[-1] and den and den[-1]), "r must be a non-zero rational function")
    whole: list[Fraction] = [Fraction(den[-1])]
    places = []
    for factor, order in eq["factors"]:
        demand(gcd(*factor) == 1 and factor[-1] > 0, "a factor must be primitive with positive lead")
        f = [Fraction(int(c)) for c in factor]
        demand(len(f) > 1 and order >= 1, "a factor of the denominator is constant")
        f = [c / f[-1] for c in f]
        for _ in range(order):
            whole = ex.times(whole, f)
        places.append(_place(num, den, f, int(order)))
    demand(whole == [Fraction(c) for c in den], "the factors do not multiply to the denominator")
    places.append(_place(num, den, None, len(den) - len(num)))
    demand(len(data["local"]) == len(places), "local data are missing")
    for place, stated in zip(places, data["local"], strict=True):
        square = None if place.square is None else [str(c) for c in place.square]
        demand(
            stated["order"] == place.order and stated["half"] == place.half,
            "an order in the local data is wrong",
        )
        demand(stated["discriminant"] == square, "a discriminant in the local data is wrong")
        gap = place.gap()
        pair = None if gap is None else [str((place.half + s * gap) / 2) for s in (1, -1)]
        demand(stated["exponents"] == pair, "an exponent in the local data is wrong")
    return num, den, places


def split(data: Mapping[str, Any]) -> Case:
    """Check the prime and the roots modulo p."""
    num, den, places = read(data)
    p = int(data["prime"])
    demand(p > 2**31 and ex.is_prime(p) and den[-1] % p != 0, "the prime is not suitable")
    roots = [[int(c) % p for c in cs] for cs in data["roots"]]
    demand(len(roots) == len(places) - 1, "the list of roots modulo p is incomplete")
    for place, cs in zip(places, roots, strict=False):
        f = [ex.reduce_fraction(c, p) for c in place.f or []]
        demand(len(cs) == len(f) - 1, "a factor does not split modulo p")
        demand(all(ex.evaluate(f, c, p) == 0 for c in cs), "a root modulo p is wrong")
        demand(all(ex.evaluate(num, c, p) for c in cs), "r is not in lowest terms")
    flat = [c for cs in roots for c in cs]
    demand(len(set(flat)) == len(flat), "two poles agree modulo p")
    return Case([c % p for c in num], [c % p for c in den], places, p, roots)
