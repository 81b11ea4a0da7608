"""Polynomials as coefficient lists, lowest degree first, over any ring or modulo an integer."""

from __future__ import annotations

from collections.abc import Sequence
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


def divide(p: Sequence[Any], q: Sequence[Any]) -> tuple[Coefficients, Coefficients]:
    """Quotient and remainder over a field."""
    rest, quotient = trim(p), []
    lead = q[-1]
    for shift in range(len(rest) - len(q), -1, -1):
        factor = rest[shift + len(q) - 1] / lead
        quotient.append(factor)
        for k, c in enumerate(q):
            rest[shift + k] -= factor * c
    return quotient[::-1], trim(rest[: len(q) - 1])


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
