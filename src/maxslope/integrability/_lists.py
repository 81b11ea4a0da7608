"""Polynomials as coefficient lists, lowest degree first, over any ring or modulo an integer."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

Coefficients = list[Any]


def trim(p: Sequence[Any]) -> Coefficients:
    """Drop vanishing leading coefficients."""
    end = len(p)
    while end and not p[end - 1]:
        end -= 1
    return list(p[:end])


def reduce_mod(p: Sequence[Any], modulus: int | None) -> Coefficients:
    """Reduce every coefficient when a modulus is given."""
    return trim(p) if modulus is None else trim([c % modulus for c in p])


def add(p: Sequence[Any], q: Sequence[Any]) -> Coefficients:
    """Sum of two polynomials."""
    if len(p) < len(q):
        p, q = q, p
    return [a + b for a, b in zip(p, q, strict=False)] + list(p[len(q) :])


def scale(p: Sequence[Any], factor: Any) -> Coefficients:
    """Multiple of a polynomial by a ring element."""
    return [c * factor for c in p]


def mul(p: Sequence[Any], q: Sequence[Any], modulus: int | None = None) -> Coefficients:
    """Product of two polynomials."""
    if not p or not q:
        return []
    zero = p[0] * 0 * q[0]
    out = [zero] * (len(p) + len(q) - 1)
    for i, a in enumerate(p):
        if a:
            for j, b in enumerate(q):
                out[i + j] += a * b
    return reduce_mod(out, modulus)


def derivative(p: Sequence[Any]) -> Coefficients:
    """Derivative of a polynomial."""
    return [c * k for k, c in enumerate(p)][1:]


def small_sums(tables: Sequence[Sequence[int]], bound: int, p: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """One index from each table, such that the values sum to at most `bound` modulo p; and the sum.

    The sums of one half are looked up among those of the other half.

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
