"""The checker's reading of a certificate: exact types, places, local data, the prime that splits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, isqrt
from typing import Any

from maxslope.integrability import _exact as ex

LIMIT = 200  # of the degrees of numerator and denominator
BITS = 4000  # of one number of a certificate
_FRACTION = re.compile(r"-?[0-9]{1,1200}(/[1-9][0-9]{0,1199})?", re.ASCII)


class CertificateError(ValueError):
    """The certificate does not prove its claim."""


def demand(condition: bool, reason: str) -> None:
    """Refuse the certificate unless the condition holds."""
    if not condition:
        raise CertificateError(f"certificate refused: {reason}. Derive it again with `certificate(...)`.")


def fields(value: Any, names: set[str], what: str) -> Mapping[str, Any]:
    """A mapping with exactly these keys: what nobody checks must not be there."""
    demand(isinstance(value, Mapping), f"{what} must be an object")
    demand(set(value) == names, f"{what} must have the fields {sorted(names)} and no others")
    return dict(value)


def listing(value: Any, what: str, most: int = 2 * LIMIT) -> Sequence[Any]:
    """A list that is not too long."""
    demand(type(value) in (list, tuple), f"{what} must be a list")
    demand(len(value) <= most, f"{what} has more than {most} entries, which this checker does not take on")
    return list(value)


def integer(value: Any, what: str) -> int:
    """An integer; truth values and floats are none."""
    demand(type(value) is int, f"{what} must be an integer")
    demand(value.bit_length() <= BITS, f"{what} has more than {BITS} bits, which this checker does not take on")
    return int(value)


def fraction(value: Any, what: str) -> Fraction:
    """A fraction written as "3", "-3" or "3/2"."""
    demand(type(value) is str and bool(_FRACTION.fullmatch(value)), f'{what} must be a fraction such as "3/2"')
    number = Fraction(value)
    demand(ex.bits(number) <= BITS, f"{what} has more than {BITS} bits, which this checker does not take on")
    return number


def text(value: Any, what: str) -> str:
    """A short string."""
    demand(type(value) is str and len(value) <= 10000, f"{what} must be a string of at most 10000 characters")
    return str(value)


@dataclass(frozen=True)
class Given:
    """The equation: coefficients lowest first; `modulus` is the polynomial of the generator of their field."""

    modulus: tuple[Fraction, ...] | None
    num: list[Any]
    den: list[Any]

    @property
    def radius(self) -> Fraction:
        """A bound for the generator at every root of its polynomial."""
        return Fraction(0) if self.modulus is None else ex.root_bound([abs(c) for c in self.modulus])


def modulus(data: Mapping[str, Any]) -> tuple[Fraction, ...] | None:
    """The monic polynomial of the field's generator, or None for the rationals."""
    if "field" not in data:
        return None
    polynomial = tuple(fraction(c, "a coefficient of the field") for c in listing(data["field"], "field", 40))
    demand(len(polynomial) > 2 and polynomial[-1] == 1, "the field needs a monic polynomial of degree 2 or more")
    return polynomial


def coefficient(value: Any, field: tuple[Fraction, ...] | None, what: str) -> Any:
    """An integer over the rationals, a list of fractions over another field."""
    if field is None:
        return Fraction(integer(value, what))
    rep = [fraction(c, what) for c in listing(value, what, len(field) - 1)]
    demand(not rep or rep[-1] != 0, f"{what} must not end with 0")
    return ex.Number(tuple(rep), field)


def polynomial(value: Any, field: tuple[Fraction, ...] | None, what: str) -> list[Any]:
    """A list of coefficients, lowest first, the last one not 0."""
    out = [coefficient(c, field, f"a coefficient of {what}") for c in listing(value, what, LIMIT + 1)]
    demand(not out or out[-1] != 0, f"{what} must not end with 0")
    return out


def given(data: Mapping[str, Any]) -> Given:
    """Numerator and denominator."""
    field = modulus(data)
    num, den = (polynomial(data["equation"][key], field, f"the {key}") for key in ("numerator", "denominator"))
    demand(bool(den), "the denominator vanishes")
    demand(field is None or den[-1] == 1, "the denominator must be monic")
    return Given(field, num, den)


@dataclass(frozen=True)
class Place:
    """The roots of one factor (f is None: infinity), with exponents (half +- sqrt(square))/2 or none."""

    f: list[Any] | None
    order: int
    half: int
    square: list[Any] | None

    @property
    def irregular(self) -> bool:
        """Whether the square belongs to an irregular point of even order."""
        return self.square is not None and (self.order > 2 if self.f is not None else self.order < 2)

    def growth(self, radius: Fraction) -> int:
        """A bound for the absolute value of an exponent, at every conjugate."""
        pole = Fraction(0) if self.f is None else ex.root_bound([ex.size(c, radius) for c in self.f])
        bound = sum((ex.size(c, radius) * pole**k for k, c in enumerate(self.square or [])), Fraction(0))
        return abs(self.half) + isqrt(int(bound) + 1) + 1


@dataclass(frozen=True)
class Case:
    """The equation and its points modulo p, with the generator of the field at one root modulo p."""

    num: list[int]
    den: list[int]
    points: list[tuple[Place, int | None]]
    p: int
    generator: int
    growth: int

    def reduce(self, value: Any) -> int:
        """A coefficient modulo p."""
        return ex.reduce(value, self.p, self.generator)


def _place(eq: Given, f: list[Any] | None, order: int) -> Place:
    """Exact local data; square None at odd irregular points."""
    finite = f is not None
    if (order == 1) if finite else (order > 2):
        return Place(f, order, 1, [Fraction(1)])
    if (order > 2 if finite else order < 2) and order % 2:
        return Place(f, order, 0, None)
    around = f if f is not None else [Fraction(0), Fraction(1)]
    field = tuple(around)

    num, den = ([ex.Number(tuple(ex.strip([c])), field) for c in p] for p in (eq.num, eq.den))
    pole = ex.Number(tuple(ex.divmod_poly([Fraction(0), Fraction(1)], around)[1]), field) if finite else None
    k = 0 if order == 2 else order // 2 - 1 if finite else 1 - order // 2
    series = ex.laurent(num, den, pole, order, k + 1, ex.EXACT)
    if order == 2:
        return Place(f, 2, 1, list((4 * series[0] + 1).rep))
    sigma = ex.root_series(series, ex.EXACT)[k]
    return Place(f, order, order // 2, list((4 * sigma * sigma * series[0]).rep))


def written(value: Any, eq: Given) -> Any:
    """A coefficient as a certificate states it in its local data."""
    if eq.modulus is None:
        return str(value)
    return [str(c) for c in (value.rep if isinstance(value, ex.Number) else ex.strip([value]))]


def places(data: Mapping[str, Any], eq: Given) -> list[Place]:
    """The poles by factor, then infinity; checks the factorization and the stated local data."""
    demand(bool(eq.num), "r must not vanish")
    found, whole = [], [eq.den[-1]]
    for entry in listing(data["equation"]["factors"], "the list of factors"):
        pair = listing(entry, "a factor with its order", 2)
        demand(len(pair) == 2, "a factor must come with its order")
        f, order = polynomial(pair[0], eq.modulus, "a factor"), integer(pair[1], "the order of a factor")
        demand(len(f) > 1, "a factor of the denominator is constant")
        demand(1 <= order <= LIMIT, "an order does not fit the degree of the denominator")
        canonical = f[-1] == 1 if eq.modulus else f[-1] > 0 and gcd(*(int(c) for c in f)) == 1
        demand(canonical, "a factor must be primitive with positive lead, or monic over a number field")
        f = [c / f[-1] for c in f]
        for _ in range(order):
            whole = ex.times(whole, f)
            demand(len(whole) <= len(eq.den), "the factors do not multiply to the denominator")
        found.append((f, order))
    demand(whole == eq.den, "the factors do not multiply to the denominator")
    out = [_place(eq, f, order) for f, order in found]
    out.append(_place(eq, None, len(eq.den) - len(eq.num)))
    stated = listing(data["local"], "the local data")
    demand(len(stated) == len(out), "local data are missing")
    for place, entry in zip(out, stated, strict=True):
        fields(entry, {"order", "half", "discriminant"}, "local data")
        square = None if place.square is None else [written(c, eq) for c in place.square]
        numbers = integer(entry["order"], "an order"), integer(entry["half"], "half")
        demand(numbers == (place.order, place.half), "an order in the local data is wrong")
        demand(entry["discriminant"] == square, "a discriminant in the local data is wrong")
    return out


def prime(data: Mapping[str, Any]) -> int:
    """The prime."""
    p = integer(data["prime"], "the prime")
    demand(p > 2**31 and ex.is_prime(p), "the prime is not suitable")
    return p


def split(eq: Given, found: list[Place], part: Mapping[str, Any], p: int, generator: int) -> Case:
    """Check the roots modulo p."""

    def reduced(poly: Sequence[Any]) -> list[int]:
        return [ex.reduce(c, p, generator) for c in poly]

    demand(reduced(eq.den)[-1] != 0, "the prime is not suitable")
    num, den = reduced(eq.num), reduced(eq.den)
    demand(num[-1] != 0, "at a root of the field's polynomial, or modulo the prime, the numerator has another degree")
    listed = listing(part["roots"], "the list of roots modulo p")
    demand(len(listed) == len(found) - 1, "the list of roots modulo p is incomplete")
    points: list[tuple[Place, int | None]] = []
    for place, cs in zip(found, listed, strict=False):
        f = reduced(place.f or [])
        roots = [integer(c, "a root modulo p") for c in listing(cs, "roots modulo p")]
        demand(len(roots) == len(f) - 1, "a factor does not split modulo p")
        demand(all(0 <= c < p and ex.evaluate(f, c, p) == 0 for c in roots), "a root modulo p is wrong")
        demand(all(ex.evaluate(num, c, p) for c in roots), "r is not in lowest terms")
        points += [(place, c) for c in roots]
    demand(len({c for _, c in points}) == len(points), "two poles agree modulo p")
    growth = max(place.growth(eq.radius) for place in found)
    return Case(num, den, [*points, (found[-1], None)], p, generator, growth)
