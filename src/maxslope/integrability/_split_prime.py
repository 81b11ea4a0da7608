"""A prime modulo which polynomials split and given elements are squares."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import sympy as sp

from maxslope.integrability import _lists as ls

PRIME = 2**61 - 1


def image_mod(value: Any, p: int, generator: int = 0) -> int:
    """A rational number modulo p; an element of a number field at a root of the field's polynomial modulo p."""
    if isinstance(value, sp.polys.polyclasses.ANP):
        out = 0
        for c in value.to_list():
            out = (out * generator + image_mod(c, p)) % p
        return out
    return int(value.numerator) * pow(int(value.denominator), -1, p) % p


def generators(field: Any, p: int) -> list[int] | None:
    """The roots modulo p of the polynomial of a field's generator (0 over the rationals), or None if it does not split.

    >>> generators(sp.QQ.algebraic_field(sp.sqrt(2)), 7)
    [3, 4]
    """
    if not field.is_Algebraic:
        return [0]
    return roots_mod([image_mod(c, p) for c in reversed(field.mod.to_list())], p)


@lru_cache(maxsize=32)
def embedding(field: Any) -> tuple[int, int]:
    """A prime with a homomorphism from the field: the prime and the image of the generator."""
    for p in primes(PRIME):
        found = generators(field, p)
        if found:
            return p, found[0]
    raise ArithmeticError(f"no prime splits {field}. This is a bug in maxslope.")


def primes(start: int) -> Iterator[int]:
    """Primes going down from `start`."""
    n = start
    while n > 2**32:
        if sp.isprime(n):
            yield n
        n -= 2


def _rem(a: list[int], f: list[int], p: int) -> list[int]:
    """Remainder modulo the monic f and p."""
    rest = [c % p for c in a]
    for top in range(len(rest) - 1, len(f) - 2, -1):
        c = rest[top]
        if c:
            for k, v in enumerate(f):
                rest[top - len(f) + 1 + k] = (rest[top - len(f) + 1 + k] - c * v) % p
    return ls.trim(rest[: len(f) - 1])


def _power(base: list[int], exponent: int, f: list[int], p: int) -> list[int]:
    out, square = [1], base
    while exponent:
        if exponent & 1:
            out = _rem(ls.mul(out, square, p), f, p)
        square = _rem(ls.mul(square, square, p), f, p)
        exponent >>= 1
    return out


def _monic(a: list[int], p: int) -> list[int]:
    inverse = pow(a[-1], -1, p)
    return [c * inverse % p for c in a]


def _gcd(a: list[int], b: list[int], p: int) -> list[int]:
    while b:
        b = _monic(b, p)
        a, b = b, _rem(a, b, p)
    return _monic(a, p)


def roots_mod(f: list[int], p: int) -> list[int] | None:
    """The roots of a monic f modulo p, or None unless it splits into distinct linear factors."""
    if len(f) == 2:
        return [-f[0] % p]
    frobenius = _power([0, 1], p, f, p)
    if ls.trim([c % p for c in ls.add(frobenius, [0, -1])]):
        return None
    return sorted(_equal_degree(f, p, random.Random(0)))


def _equal_degree(f: list[int], p: int, rng: random.Random) -> list[int]:
    """Cantor and Zassenhaus on a product of distinct linear factors."""
    if len(f) == 2:
        return [-f[0] % p]
    while True:
        power = _power([rng.randrange(p), 1], (p - 1) // 2, f, p)
        shifted = ls.trim([c % p for c in ls.add(power, [-1])])
        if not shifted:
            continue
        g = _gcd(f, shifted, p)
        if 1 < len(g) < len(f):
            return _equal_degree(g, p, rng) + _equal_degree(_quotient(f, g, p), p, rng)


def _quotient(a: list[int], b: list[int], p: int) -> list[int]:
    rest, out = list(a), []
    for top in range(len(a) - 1, len(b) - 2, -1):
        c = rest[top]
        out.append(c)
        for k, v in enumerate(b):
            rest[top - len(b) + 1 + k] = (rest[top - len(b) + 1 + k] - c * v) % p
    return out[::-1]


def sqrt_mod(value: int, p: int) -> int | None:
    """The smaller square root modulo p, or None."""
    value %= p
    if value == 0:
        return 0
    if pow(value, (p - 1) // 2, p) != 1:
        return None
    roots = roots_mod([-value % p, 0, 1], p)
    return None if roots is None else roots[0]
