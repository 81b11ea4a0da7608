"""The checker's function fields, k(v)[g_1, ..., g_m] with g_j^2 in k(v), jets over them, and their expressions.

Expressions are integers, names, + - * / ^ and brackets; read by descent, never evaluated as code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from operator import add, mul, sub, truediv
from typing import Any

from maxslope.integrability import _exact as ex
from maxslope.integrability._check_data import LIMIT, demand, text

_BITS = 50_000
_TOKEN = re.compile(r"\s*(?:([0-9]{1,300})|([A-Za-z][A-Za-z0-9_]{0,19})|(.))", re.ASCII | re.DOTALL)
_DEPTH = 39  # of brackets
_POWER = 60


def _modest(poly: list[Any]) -> list[Any]:
    """A polynomial, refused when it has become too large to go on with."""
    demand(len(poly) <= LIMIT + 1, f"an expression has a degree above {LIMIT}, which this checker does not take on")
    for c in poly:
        for part in c.rep if isinstance(c, ex.Number) else (c,):
            demand(ex.bits(part) <= _BITS, f"a number has more than {_BITS} bits, which this checker does not take on")
    return poly


@dataclass(frozen=True)
class Ratio(ex.Operators):
    """A rational function num/den in lowest terms with monic denominator."""

    num: list[Any]
    den: list[Any]

    @staticmethod
    def of(num: list[Any], den: list[Any]) -> Ratio:
        """num/den, reduced."""
        if not den:
            raise ZeroDivisionError("a denominator vanishes")
        if not num:
            return Ratio([], [Fraction(1)])
        common = ex.gcd_poly(num, den)
        if len(common) > 1:
            num, den = ex.divmod_poly(num, common)[0], ex.divmod_poly(den, common)[0]
        lead = den[-1]
        return Ratio(_modest([c / lead for c in num]), _modest([c / lead for c in den]))

    def __neg__(self) -> Ratio:
        return Ratio([-c for c in self.num], self.den)

    def __add__(self, other: Ratio) -> Ratio:
        if self.den == other.den:
            return Ratio.of(ex.plus(self.num, other.num), self.den)
        left, right = ex.times(self.num, other.den), ex.times(other.num, self.den)
        return Ratio.of(ex.plus(left, right), ex.times(self.den, other.den))

    def __mul__(self, other: Ratio) -> Ratio:
        return Ratio.of(ex.times(self.num, other.num), ex.times(self.den, other.den))

    def __truediv__(self, other: Ratio) -> Ratio:
        return Ratio.of(ex.times(self.num, other.den), ex.times(self.den, other.num))

    def slope(self) -> Ratio:
        """Derivative by v."""
        top = ex.plus(ex.times(ex.diff(self.num), self.den), ex.times(self.num, ex.diff(self.den)), -1)
        return Ratio.of(top, ex.times(self.den, self.den))

    def at(self, v: Fraction) -> Any:
        """The value at a point that is no pole."""
        top, bottom = (sum((c * v**k for k, c in enumerate(p)), Fraction(0)) for p in (self.num, self.den))
        return top / bottom

    def order(self, v: Fraction) -> int:
        """The order of vanishing at a point; negative at a pole."""
        return _multiplicity(self.num, v) - _multiplicity(self.den, v)


def _multiplicity(poly: list[Any], v: Fraction) -> int:
    count = 0
    while poly:
        poly, rest = ex.divmod_poly(poly, [-v, Fraction(1)])
        if rest:
            break
        count += 1
    return count


def constant(value: Any) -> Ratio:
    """A constant rational function."""
    return Ratio(ex.strip([value]), [Fraction(1)])


@dataclass(frozen=True, eq=False)
class Element(ex.Operators):
    """sum over sets S of R_S prod_{j in S} g_j; `squares` are the g_j^2, the keys are bit masks."""

    terms: Mapping[int, Ratio]
    squares: tuple[Ratio, ...]

    def _new(self, terms: Mapping[int, Ratio]) -> Element:
        return Element({k: r for k, r in terms.items() if r.num}, self.squares)

    def _other(self, other: Any) -> Element:
        return other if isinstance(other, Element) else self._new({0: constant(other)})

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __neg__(self) -> Element:
        return self._new({k: -r for k, r in self.terms.items()})

    def __add__(self, other: Any) -> Element:
        terms = dict(self.terms)
        for k, r in self._other(other).terms.items():
            terms[k] = terms[k] + r if k in terms else r
        return self._new(terms)

    def __mul__(self, other: Any) -> Element:
        terms: dict[int, Ratio] = {}
        for k, r in self.terms.items():
            for n, s in self._other(other).terms.items():
                value = r * s
                for j, square in enumerate(self.squares):
                    if k & n & (1 << j):
                        value = value * square
                terms[k ^ n] = terms[k ^ n] + value if k ^ n in terms else value
        return self._new(terms)

    def __truediv__(self, other: Any) -> Element:
        return self * self._other(other).inverse()

    def __rtruediv__(self, other: Any) -> Element:
        return self._other(other) * self.inverse()

    def inverse(self) -> Element:
        """1/x by conjugates; refused for zero and for zero divisors."""
        top = max(self.terms, default=0).bit_length() - 1
        if top < 0:
            if not self.terms:
                raise ZeroDivisionError("an expression divides by zero")
            return self._new({0: constant(Fraction(1)) / self.terms[0]})
        conjugate = self._new({k: -r if k >> top & 1 else r for k, r in self.terms.items()})
        return conjugate * (self * conjugate).inverse()

    def slope(self) -> Element:
        """Derivative by v: g_j' = (g_j^2)' / (2 g_j^2) g_j."""
        terms = {}
        for k, r in self.terms.items():
            value = r.slope()
            for j, square in enumerate(self.squares):
                if k >> j & 1:
                    value = value + r * square.slope() / square * constant(Fraction(1, 2))
            terms[k] = value
        return self._new(terms)

    def integrable_at(self, v: Fraction) -> bool:
        """Whether every term has order above -1 at v, so that the integral from v exists."""
        halves = [square.order(v) for square in self.squares]
        orders = (2 * r.order(v) + sum(h for j, h in enumerate(halves) if k >> j & 1) for k, r in self.terms.items())
        return all(order > -2 for order in orders)

    def vanishes_at(self, v: Fraction) -> bool:
        """Whether the value at v is 0, for the branches with g_j(v) >= 0 where g_j(v)^2 is a rational square."""
        values: dict[int, Any] = {}
        for k, r in self.terms.items():
            value, left = r.at(v), k
            for j, square in enumerate(self.squares):
                root = _root(square.at(v)) if k >> j & 1 else None
                if root is not None:
                    value, left = value * root, left & ~(1 << j)
            values[left] = values.get(left, Fraction(0)) + value
        return all(value == 0 for value in values.values())


def _root(square: Any) -> Fraction | None:
    if isinstance(square, ex.Number):
        if len(square.rep) > 1:
            return None
        square = square.rep[0] if square.rep else Fraction(0)
    return ex.fraction_sqrt(square)


@dataclass(frozen=True, eq=False)
class Jet(ex.Operators):
    """a + b e + c e^2 modulo e^3, over anything with the operators of a ring."""

    a: Any
    b: Any
    c: Any

    @staticmethod
    def of(value: Any) -> Jet:
        """A constant, or the jet itself."""
        return value if isinstance(value, Jet) else Jet(value, Fraction(0), Fraction(0))

    def __neg__(self) -> Jet:
        return Jet(-self.a, -self.b, -self.c)

    def __add__(self, other: Any) -> Jet:
        o = Jet.of(other)
        return Jet(self.a + o.a, self.b + o.b, self.c + o.c)

    def __mul__(self, other: Any) -> Jet:
        o = Jet.of(other)
        return Jet(self.a * o.a, self.a * o.b + self.b * o.a, self.a * o.c + self.b * o.b + self.c * o.a)

    def __truediv__(self, number: Fraction) -> Jet:
        return self * (1 / number)


def name(value: Any, what: str) -> str:
    """A name as it may occur in an expression."""
    found = _TOKEN.fullmatch(text(value, what))
    demand(found is not None and found.group(2) == value, f"{what} must be a name of at most 20 letters and digits")
    return str(value)


_INFIX = {"+": (0, add), "-": (0, sub), "*": (1, mul), "/": (1, truediv)}  # how tightly they bind, what they do


@dataclass
class _Reader:
    """One pass over the tokens of an expression."""

    tokens: list[str]
    names: Mapping[str, Any]
    depth: int = 0

    def infix(self, level: int = 0) -> Any:
        """What stands between brackets, or between signs that bind less than `level`."""
        value = self.signed()
        while self.tokens[-1] in _INFIX and _INFIX[self.tokens[-1]][0] >= level:
            binds, combined = _INFIX[self.tokens.pop()]
            value = combined(value, self.infix(binds + 1))
        return value

    def signed(self) -> Any:
        if self.tokens[-1] != "-":
            return self.power()
        self.tokens.pop()
        return -self.signed()

    def power(self) -> Any:
        value = self.atom()
        if self.tokens[-1] != "^":
            return value
        self.tokens.pop()
        digits = self.tokens.pop()
        demand(digits.isdigit() and int(digits) <= _POWER, f"an exponent must be an integer from 0 to {_POWER}")
        out: Any = Fraction(1)
        for _ in range(int(digits)):
            out = out * value
            bits = ex.bits(out) if isinstance(out, Fraction) else 0
            demand(bits <= _BITS, "a number of an expression has too many digits")
        return out

    def atom(self) -> Any:
        token = self.tokens.pop()
        if token == "(":
            self.depth += 1
            demand(self.depth <= _DEPTH, "an expression is nested too deeply")
            value = self.infix()
            demand(self.tokens.pop() == ")", "a bracket is not closed")
            self.depth -= 1
            return value
        if token.isdigit():
            return Fraction(int(token))
        demand(token in self.names, f"an expression has the unknown part {token[:20]!r}")
        return self.names[token]


def expression(value: Any, names: Mapping[str, Any], what: str) -> Any:
    """The value of an expression; what a name stands for brings its own operators.

    >>> expression("2*(x - 1/2)^2", {"x": Fraction(3, 2)}, "it")
    Fraction(2, 1)
    """
    parts = [m.group(1) or m.group(2) or m.group(3) for m in _TOKEN.finditer(text(value, what).strip())]
    demand(len(parts) <= 4000, f"{what} is too long")
    reader = _Reader(["", *reversed(parts)], names)
    out = reader.infix()
    demand(reader.tokens == [""], f"{what} goes on after its end")
    return out
