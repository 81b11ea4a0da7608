"""Modulo a prime: one at which polynomials split and given elements are squares, sums, ranks."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import sympy as sp
from sympy.ntheory import sqrt_mod as sympy_sqrt_mod
from sympy.polys.galoistools import gf_edf_zassenhaus, gf_eval, gf_pow_mod, gf_trunc

PRIME = 2**61 - 1


def image_mod(value: Any, p: int, generator: int = 0) -> int:
    """A rational number modulo p; an element of a number field at a root of the field's polynomial modulo p."""
    if isinstance(value, sp.polys.polyclasses.ANP):
        return value_mod(value.to_list(), generator, p)
    return int(value.numerator) * pow(int(value.denominator), -1, p) % p


def value_mod(polynomial: list[Any], x: int, p: int, generator: int = 0) -> int:
    """The value at x modulo p of a polynomial, highest coefficient first."""
    return int(gf_eval([image_mod(c, p, generator) for c in polynomial], x, p, sp.ZZ))


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
    n = start + 1
    while (n := sp.prevprime(n)) > 2**32:
        yield n


def roots_mod(f: list[int], p: int) -> list[int] | None:
    """The roots of a monic f (lowest degree first) modulo p, or None unless it splits into distinct linear factors."""
    top = gf_trunc(f[::-1], p)
    if len(f) > 2 and gf_pow_mod([1, 0], p, top, p, sp.ZZ) != [1, 0]:
        return None
    return sorted(int(-g[1] % p) for g in gf_edf_zassenhaus(top, 1, p, sp.ZZ))


def sqrt_mod(value: int, p: int) -> int | None:
    """The smaller square root modulo p, or None."""
    root = sympy_sqrt_mod(value, p)
    return None if root is None else min(root, -root % p)


def small_sums(tables: Sequence[Sequence[int]], bound: int, p: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """One index from each table, such that the values sum to at most `bound` modulo p; and the sum.

    >>> list(small_sums([[1, 5], [10, 99]], 12, 101))
    [((0, 0), 11), ((1, 1), 3)]
    """
    cut = len(tables) // 2
    tails: dict[int, list[tuple[int, ...]]] = {}
    for indices, value in _sums(tables[cut:], p):
        tails.setdefault(value, []).append(indices)
    keys = sorted(tails)
    for head, value in _sums(tables[:cut], p):
        for start in (-value, p - value):
            for key in keys[bisect_left(keys, start) : bisect_right(keys, start + bound)]:
                for tail in tails[key]:
                    yield head + tail, key - start


def _sums(tables: Sequence[Sequence[int]], p: int) -> list[tuple[tuple[int, ...], int]]:
    out: list[tuple[tuple[int, ...], int]] = [((), 0)]
    for table in tables:
        out = [((*indices, i), (value + v) % p) for indices, value in out for i, v in enumerate(table)]
    return out


def rank_mod(rows: Sequence[Sequence[int]], p: int) -> int:
    """Rank of an integer matrix modulo the prime `p`."""
    matrix = [[c % p for c in row] for row in rows]
    rank, width = 0, len(matrix[0]) if matrix else 0
    for column in range(width):
        pivot = next((i for i in range(rank, len(matrix)) if matrix[i][column]), None)
        if pivot is None:
            continue
        matrix[rank], matrix[pivot] = matrix[pivot], matrix[rank]
        inverse = pow(matrix[rank][column], -1, p)
        top = [c * inverse % p for c in matrix[rank]]
        matrix[rank] = top
        for i in range(rank + 1, len(matrix)):
            factor = matrix[i][column]
            if factor:
                matrix[i] = [(a - factor * b) % p for a, b in zip(matrix[i], top, strict=True)]
        rank += 1
    return rank
