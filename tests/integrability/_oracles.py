"""Closed-form theorems as oracles for the general algorithm."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import permutations, product
from typing import Any

import sympy as sp

from maxslope.integrability.exact import exact

# Schwarz's rows 2 to 15 as extended by Kimura; True asks for an even sum of the shifts.
_ROWS = (
    ("1/2 1/3 1/3", False),
    ("2/3 1/3 1/3", True),
    ("1/2 1/3 1/4", False),
    ("2/3 1/4 1/4", True),
    ("1/2 1/3 1/5", False),
    ("2/5 1/3 1/3", True),
    ("2/3 1/5 1/5", True),
    ("1/2 2/5 1/5", True),
    ("3/5 1/3 1/5", True),
    ("2/5 2/5 2/5", True),
    ("2/3 1/3 1/5", True),
    ("4/5 1/5 1/5", True),
    ("1/2 2/5 1/3", True),
    ("3/5 2/5 1/3", True),
)


def hypergeometric(l: Any, m: Any, n: Any, x: sp.Symbol) -> sp.Expr:  # noqa: E741
    """r with poles 0, 1, oo and exponent differences l, m, n."""
    a, b, c = (exact(v) for v in (l, m, n))
    cross = (1 - a**2 - b**2 + c**2) / (4 * x * (x - 1))
    return (a**2 - 1) / (4 * x**2) + (b**2 - 1) / (4 * (x - 1) ** 2) + cross


def kimura_solvable(l: Any, m: Any, n: Any) -> bool:  # noqa: E741
    """Kimura's theorem: when the hypergeometric equation has solvable identity component.

    Args:
        l: rational exponent difference at 0.
        m: the one at 1.
        n: the one at infinity.

    Source: Kimura, Funkcialaj Ekvacioj 12 (1969), theorem 1.
    """
    a, b, c = (Fraction(str(v)) for v in (l, m, n))
    for value in (a + b + c, -a + b + c, a - b + c, a + b - c):
        if value.denominator == 1 and value.numerator % 2:
            return True
    if sum((v - Fraction(1, 2)).denominator == 1 for v in (a, b, c)) >= 2:
        return True
    for row, even in _ROWS:
        target = [Fraction(v) for v in row.split()]
        for order in permutations((a, b, c)):
            for signs in product((1, -1), repeat=3):
                shifts = [s * v - t for s, v, t in zip(signs, order, target, strict=True)]
                whole = all(q.denominator == 1 for q in shifts)
                if whole and not (even and sum(shifts) % 2):
                    return True
    return False


def linear_bias_equation(n: Any, m2: Any, y: Any, s: sp.Symbol) -> sp.Expr:
    """r(s) of f = a(wx+b)+c on N symmetric points, m2 = sum x^2, Y = sum xy, s = a^2.

    Its exponent differences are |N/(2Y)-1/2|, N/(2Y)+N/(2 m2), N/(2 m2)+1/2.
    """
    n, m2, y = (exact(v) for v in (n, m2, y))
    top = (n**2 + 2 * n * m2 - 3 * m2**2) * s**2
    top += (2 * n**2 - 2 * n * y + 2 * n * m2 + 2 * y * m2) * s + n**2 - 2 * n * y - 3 * y**2
    return top / (16 * s**2 * (m2 * s - y) ** 2)


@dataclass(frozen=True)
class ZeroTarget:
    """Odd monomial z^k with target 0 on x = +-lambda: the Whittaker case, by moments."""

    k: int
    square: Fraction

    @property
    def constants(self) -> tuple[Fraction, Fraction]:
        """A = (2k-1) m_{2k-2} / (2k m_{2k}) and B = m_{k-1}^2 / (2 N m_{2k})."""
        k, q = self.k, self.square
        return Fraction(2 * k - 1, 2 * k) / q, Fraction(1, 2) / q

    def matrix(self, s: sp.Symbol) -> sp.Matrix:
        """M = -H/s' on the curve w = sqrt(k) a, s = a^2."""
        k, q = self.k, sp.Rational(self.square.numerator, self.square.denominator)
        speed = -4 * k**k * q**k * s ** (k + 1)
        hbb = 2 * k**k * (2 * k - 1) * q ** (k - 1) * s**k
        half = sp.Rational(k - 1, 2)
        hbc = 2 * k * k**half * q**half * sp.sqrt(s) ** k
        return -sp.Matrix([[hbb, hbc], [hbc, 2]]) / speed

    def solvable(self) -> bool:
        """Martinet and Ramis: B in {1, 2, ...} or A - B in {1/2, 3/2, ...}."""
        a, b = self.constants
        second = a - b - Fraction(1, 2)
        return (b.denominator == 1 and b >= 1) or (second.denominator == 1 and second >= 0)
