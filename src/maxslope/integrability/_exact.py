"""Exact arithmetic for the checker, in pure Python: number fields, k[t]/(f) and prime fields.

Polynomials are lists, lowest degree first; their coefficients are fractions, or `Number`s where a
field is given. Nothing here uses a computer algebra system.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from math import inf, isqrt
from time import monotonic
from typing import Any

Poly = list[Any]
_END: ContextVar[float] = ContextVar("end", default=inf)


class OverTimeError(ArithmeticError):
    """The computation went on for longer than it was given."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Give what is computed inside so many seconds."""
    token = _END.set(monotonic() + seconds)
    try:
        yield
    finally:
        _END.reset(token)


def tick() -> None:
    """Stop when the time is up; every long loop here calls it."""
    if monotonic() > _END.get():
        raise OverTimeError("the time is up")


class Operators(ABC):
    """The operators that follow from -x, x + y and x * y."""

    @abstractmethod
    def __neg__(self) -> Any: ...

    @abstractmethod
    def __add__(self, other: Any) -> Any: ...

    @abstractmethod
    def __mul__(self, other: Any) -> Any: ...

    def __radd__(self, other: Any) -> Any:
        return self + other

    def __sub__(self, other: Any) -> Any:
        return self + (-other)

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __rmul__(self, other: Any) -> Any:
        return self * other


@dataclass(frozen=True, eq=False)
class Number(Operators):
    """An element of Q[alpha]/(m), lowest first; what needs no refused division holds at every root of any m."""

    rep: tuple[Fraction, ...]
    modulus: tuple[Fraction, ...]

    def _new(self, rep: Sequence[Any]) -> Number:
        return Number(tuple(divmod_poly(rep, self.modulus)[1]), self.modulus)

    def _other(self, other: Any) -> Sequence[Any]:
        return other.rep if isinstance(other, Number) else strip([Fraction(other)])

    def __eq__(self, other: object) -> bool:
        return list(self.rep) == list(self._other(other))

    def __hash__(self) -> int:
        return hash(self.rep)

    def __neg__(self) -> Number:
        return Number(tuple(-c for c in self.rep), self.modulus)

    def __add__(self, other: Any) -> Number:
        return Number(tuple(plus(self.rep, self._other(other))), self.modulus)

    def __mul__(self, other: Any) -> Number:
        return self._new(times(self.rep, self._other(other)))

    def __truediv__(self, other: Any) -> Number:
        return self._new(times(self.rep, inverse_mod(self._other(other), self.modulus)))

    def __rtruediv__(self, other: Any) -> Number:
        return self._new(times(self._other(other), inverse_mod(self.rep, self.modulus)))


@dataclass(frozen=True)
class Arithmetic:
    """Of the coefficients of polynomials: their inverses, and how what was computed is brought to its normal form."""

    inverse: Callable[[Any], Any]
    settle: Callable[[Any], Any]

    def poly(self, p: Sequence[Any]) -> Poly:
        """The polynomial with settled coefficients."""
        return strip([self.settle(c) for c in p])


EXACT = Arithmetic(lambda c: Fraction(1) / c, lambda c: c)


def modulo(p: int) -> Arithmetic:
    """That of integers modulo a prime."""
    return Arithmetic(lambda c: pow(c, -1, p), lambda c: c % p)


def bits(value: int | Fraction) -> int:
    """Of numerator or denominator, whichever is longer."""
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def size(value: Any, radius: Fraction) -> Fraction:
    """A bound for a coefficient at every root of the field's polynomial; no root exceeds `radius`."""
    if not isinstance(value, Number):
        return abs(Fraction(value))
    return sum((abs(c) * radius**k for k, c in enumerate(value.rep)), Fraction(0))


def root_bound(sizes: Sequence[Any]) -> Fraction:
    """Fujiwara: no root of a monic polynomial exceeds 2 max |a_{n-k}|^(1/k); `sizes` bound its coefficients."""
    n = len(sizes) - 1
    return Fraction(2 * max((_root_above(sizes[n - k], k) for k in range(1, n + 1)), default=0))


def _root_above(value: Fraction, k: int) -> int:
    """An integer whose k-th power is at least `value`, at most twice too large."""
    whole = -(-value.numerator // value.denominator)
    return 0 if whole <= 0 else 1 << (-(-whole.bit_length() // k))


def strip(p: Sequence[Any]) -> Poly:
    """Drop vanishing leading coefficients."""
    out = list(p)
    while out and out[-1] == 0:
        out.pop()
    return out


def plus(p: Sequence[Any], q: Sequence[Any], factor: int = 1) -> Poly:
    """p + factor * q."""
    return strip([a + factor * b for a, b in zip_longest(p, q, fillvalue=0)])


def times(p: Sequence[Any], q: Sequence[Any]) -> Poly:
    """Product."""
    out: Poly = [0] * max(len(p) + len(q) - 1, 0)
    for i, a in enumerate(p):
        tick()
        for j, b in enumerate(q):
            out[i + j] += a * b
    return strip(out)


def diff(p: Sequence[Any]) -> Poly:
    """Derivative."""
    return [k * c for k, c in enumerate(p)][1:]


def chain(m: int, w: Poly, a: Poly, r: Poly, start: Poly, by: Arithmetic = EXACT) -> list[Poly]:
    """n_0 = start, ..., n_{m+1} of n_{i+1} = w n_i' + (a - i w') n_i - i(m-i+1) r n_{i-1}."""
    members: list[Poly] = [[], start]
    for i in range(m + 1):
        before, current = members[-2:]
        new = plus(times(w, diff(current)), times(plus(a, diff(w), -i), current))
        members.append(by.poly(plus(new, times(r, before), -i * (m - i + 1))))
    return members[1:]


def divmod_poly(p: Sequence[Any], q: Sequence[Any], by: Arithmetic = EXACT) -> tuple[Poly, Poly]:
    """Quotient and remainder; the leading coefficient of q does not vanish."""
    rest, lead = list(p), by.inverse(q[-1])
    out: Poly = [Fraction(0)] * max(len(p) - len(q) + 1, 0)
    for shift in range(len(out) - 1, -1, -1):
        tick()
        out[shift] = by.settle(rest.pop() * lead)
        for k in range(len(q) - 1):
            rest[shift + k] = by.settle(rest[shift + k] - out[shift] * q[k])
    return strip(out), strip(rest)


def shift(p: Sequence[Any], c: Any, by: Arithmetic) -> Poly:
    """Coefficients of p(c + t)."""
    out: Poly = []
    for value in reversed(p):
        moved = [c * v for v in out] + [0]
        out = [by.settle(a + b) for a, b in zip(moved, [value, *out], strict=True)]
    return out


def series(num: Sequence[Any], den: Sequence[Any], count: int, by: Arithmetic) -> Poly:
    """Coefficients of the power series num/den."""
    inverse = by.inverse(den[0])
    out: Poly = []
    for k in range(count):
        value = num[k] if k < len(num) else 0
        for j in range(1, min(k, len(den) - 1) + 1):
            value = value - den[j] * out[k - j]
        out.append(by.settle(value * inverse))
    return out


def laurent(num: Poly, den: Poly, c: Any, order: int, count: int, by: Arithmetic) -> Poly:
    """Leading coefficients of num/den at its pole c of that order, or at infinity (None)."""
    if c is None:
        return series(num[::-1], den[::-1], count, by)
    return series(shift(num, c, by), shift(den, c, by)[order:], count, by)


def root_series(series: Sequence[Any], by: Arithmetic) -> Poly:
    """Coefficients of sqrt(series/series[0])."""
    inverse, half = by.inverse(series[0]), by.inverse(2)
    sigma: Poly = [1]
    for k in range(1, len(series)):
        value = series[k] * inverse
        for j in range(1, k):
            value = value - sigma[j] * sigma[k - j]
        sigma.append(by.settle(value * half))
    return sigma


def inverse_mod(p: Sequence[Any], f: Sequence[Any]) -> Poly:
    """Inverse of p modulo f."""
    r0, r1 = list(f), divmod_poly(p, f)[1]
    s0: Poly = []
    s1: Poly = [Fraction(1)]
    while len(r1) > 1:
        quotient, rest = divmod_poly(r0, r1)
        r0, r1 = r1, rest
        s0, s1 = s1, plus(s0, times(quotient, s1), -1)
    if not r1:
        raise ZeroDivisionError("an element is not invertible")
    return [c / r1[0] for c in s1]


def gcd_poly(p: Sequence[Any], q: Sequence[Any]) -> Poly:
    """The monic greatest common divisor."""
    return [Fraction(1)] if _coprime(p, q) else _euclid(p, q, EXACT)


def _euclid(p: Sequence[Any], q: Sequence[Any], by: Arithmetic) -> Poly:
    r0, r1 = list(p), list(q)
    while r1:
        lead = by.inverse(r1[-1])
        r1 = [by.settle(c * lead) for c in r1]
        r0, r1 = r1, divmod_poly(r0, r1, by)[1]
    return r0


def _coprime(p: Sequence[Any], q: Sequence[Any], prime: int = 2**61 - 1) -> bool:
    """True only when a reduction modulo a prime, which kills no leading coefficient, shows it; a quick first look."""
    if not all(not isinstance(c, Number) and c.denominator % prime for c in (*p, *q)) or not p or not q:
        return False
    r0, r1 = ([reduce(c, prime) for c in side] for side in (p, q))
    return bool(r0[-1] and r1[-1]) and len(_euclid(r0, r1, modulo(prime))) == 1


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
    twos = ((n - 1) & (1 - n)).bit_length() - 1

    def passes(base: int) -> bool:
        squares = [pow(base, (n - 1) >> twos, n)]
        for _ in range(twos - 1):
            squares.append(squares[-1] ** 2 % n)
        return squares[0] == 1 or n - 1 in squares

    return all(map(passes, bases))


def reduce(value: Any, p: int, generator: int = 0) -> int:
    """Image of a fraction in the field of p elements; a number goes to its value at `generator`."""
    if isinstance(value, Number):
        return evaluate([reduce(c, p) for c in value.rep], generator, p)
    return int(value.numerator * pow(value.denominator, -1, p) % p)


def evaluate(poly: Sequence[int], x: int, p: int) -> int:
    """Value of a polynomial modulo p."""
    out = 0
    for c in reversed(poly):
        out = (out * x + c) % p
    return out


def mod_rank(columns: Sequence[Sequence[int]], p: int) -> int:
    """Rank modulo p of a list of vectors of possibly different lengths."""
    height = max((len(c) for c in columns), default=0)
    pivots: dict[int, list[int]] = {}
    for column in columns:
        tick()
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
