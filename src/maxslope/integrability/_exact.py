"""Exact arithmetic for the checker, in pure Python: fractions, Q[t]/(f) and prime fields.

Polynomials are lists, lowest degree first. Nothing here uses a computer algebra system.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import isqrt

Poly = list[Fraction]
ModPoly = list[int]


def strip(p: Sequence[Fraction]) -> Poly:
    """Drop vanishing leading coefficients."""
    out = list(p)
    while out and out[-1] == 0:
        out.pop()
    return out


def plus(p: Sequence[Fraction], q: Sequence[Fraction], sign: int = 1) -> Poly:
    """p + sign * q."""
    out = [Fraction(0)] * max(len(p), len(q))
    for i, a in enumerate(p):
        out[i] += a
    for i, b in enumerate(q):
        out[i] += sign * b
    return strip(out)


def times(p: Sequence[Fraction], q: Sequence[Fraction]) -> Poly:
    """Product."""
    out = [Fraction(0)] * max(len(p) + len(q) - 1, 0)
    for i, a in enumerate(p):
        for j, b in enumerate(q):
            out[i + j] += a * b
    return strip(out)


def diff(p: Sequence[Fraction]) -> Poly:
    """Derivative."""
    return [k * c for k, c in enumerate(p)][1:]


def divmod_poly(p: Sequence[Fraction], q: Sequence[Fraction]) -> tuple[Poly, Poly]:
    """Quotient and remainder."""
    rest, out = list(p), [Fraction(0)] * max(len(p) - len(q) + 1, 0)
    for shift in range(len(out) - 1, -1, -1):
        out[shift] = rest[shift + len(q) - 1] / q[-1]
        for k, c in enumerate(q):
            rest[shift + k] -= out[shift] * c
    return strip(out), strip(rest[: len(q) - 1] if len(rest) >= len(q) else rest)


def inverse_mod(p: Sequence[Fraction], f: Sequence[Fraction]) -> Poly:
    """Inverse of p modulo f."""
    r0, r1 = list(f), divmod_poly(p, f)[1]
    s0: Poly = []
    s1: Poly = [Fraction(1)]
    while len(r1) > 1:
        quotient, rest = divmod_poly(r0, r1)
        r0, r1 = r1, rest
        s0, s1 = s1, plus(s0, times(quotient, s1), -1)
    if not r1:
        raise ZeroDivisionError("element not invertible modulo the factor")
    return [c / r1[0] for c in s1]


def characteristic(element: Sequence[Fraction], f: Sequence[Fraction]) -> Poly:
    """Characteristic polynomial of multiplication by an element of Q[t]/(f)."""
    n = len(f) - 1
    columns = []
    for k in range(n):
        column = divmod_poly(times(element, [Fraction(0)] * k + [Fraction(1)]), f)[1]
        columns.append(column + [Fraction(0)] * (n - len(column)))
    coefficients = [Fraction(1)]
    power = [[Fraction(0)] * n for _ in range(n)]
    for k in range(1, n + 1):
        for i in range(n):
            power[i][i] += coefficients[-1]
        power = [
            [sum((columns[j][i] * power[c][j] for j in range(n)), Fraction(0)) for i in range(n)] for c in range(n)
        ]
        coefficients.append(-sum((power[i][i] for i in range(n)), Fraction(0)) / k)
    return coefficients[::-1]


def has_no_rational_root(p: Sequence[Fraction]) -> bool:
    """True when some small prime shows that a monic polynomial has no rational root."""
    for q in range(3, 2000, 2):
        if all(q % d for d in range(3, isqrt(q) + 1, 2)):
            if any(c.denominator % q == 0 for c in p):
                continue
            reduced = [c.numerator * pow(c.denominator, -1, q) % q for c in p]
            if all(evaluate(reduced, x, q) for x in range(q)):
                return True
    return False


def fraction_sqrt(value: Fraction) -> Fraction | None:
    """Rational square root of a fraction, if any."""
    if value < 0:
        return None
    root = Fraction(isqrt(value.numerator), isqrt(value.denominator))
    return root if root * root == value else None


def is_prime(n: int) -> bool:
    """Miller-Rabin with the thirteen bases that decide every n < 3.3e24."""
    bases = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
    if n < 43 or n % 2 == 0 or n >= 3 * 10**24:
        return n in bases
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in bases:
        x = pow(base, odd, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def reduce_fraction(value: Fraction, p: int) -> int:
    """Image of a fraction in the field of p elements."""
    return value.numerator * pow(value.denominator, -1, p) % p


def evaluate(poly: Sequence[int], x: int, p: int) -> int:
    """Value of a polynomial modulo p."""
    out = 0
    for c in reversed(poly):
        out = (out * x + c) % p
    return out


def mod_times(a: Sequence[int], b: Sequence[int], p: int) -> ModPoly:
    """Product modulo p."""
    out = [0] * max(len(a) + len(b) - 1, 0)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] = (out[i + j] + x * y) % p
    return out


def mod_sum(p: int, *terms: tuple[int, Sequence[int]]) -> ModPoly:
    """Sum of multiples of polynomials modulo p."""
    out = [0] * max((len(t) for _, t in terms), default=0)
    for factor, poly in terms:
        for i, c in enumerate(poly):
            out[i] = (out[i] + factor * c) % p
    return out


def mod_diff(a: Sequence[int], p: int) -> ModPoly:
    """Derivative modulo p."""
    return [k * c % p for k, c in enumerate(a)][1:]


def mod_quotient(a: Sequence[int], b: Sequence[int], p: int) -> ModPoly | None:
    """Exact quotient modulo p, or None when b does not divide a."""
    rest, out = list(a), [0] * max(len(a) - len(b) + 1, 0)
    lead = pow(b[-1], -1, p)
    for shift in range(len(out) - 1, -1, -1):
        out[shift] = rest[shift + len(b) - 1] * lead % p
        for k, c in enumerate(b):
            rest[shift + k] = (rest[shift + k] - out[shift] * c) % p
    return None if any(rest) else out


def mod_rank(columns: Sequence[Sequence[int]], p: int) -> int:
    """Rank modulo p of a list of vectors of possibly different lengths."""
    height = max((len(c) for c in columns), default=0)
    pivots: dict[int, list[int]] = {}
    for column in columns:
        vector = list(column) + [0] * (height - len(column))
        for i in range(height):
            if vector[i] % p == 0:
                continue
            if i not in pivots:
                lead = pow(vector[i], -1, p)
                pivots[i] = [c * lead % p for c in vector]
                break
            factor = vector[i]
            vector = [(a - factor * b) % p for a, b in zip(vector, pivots[i], strict=True)]
    return len(pivots)
