"""Expressions of a certificate: integers, names, + - * / ^ and brackets; read by descent, never evaluated as code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from maxslope.integrability._check_data import demand, text

_TOKEN = re.compile(r"\s*(?:([0-9]{1,300})|([A-Za-z][A-Za-z0-9_]{0,19})|(.))", re.ASCII | re.DOTALL)
_DEPTH = 40
_POWER = 60


def name(value: Any, what: str) -> str:
    """A name as it may occur in an expression."""
    found = _TOKEN.fullmatch(text(value, what))
    demand(found is not None and found.group(2) == value, f"{what} must be a name of at most 20 letters and digits")
    return str(value)


@dataclass
class _Reader:
    """One pass over the tokens of an expression."""

    tokens: list[str]
    names: Mapping[str, Any]
    depth: int = 0

    def sum(self) -> Any:
        self.depth += 1
        demand(self.depth <= _DEPTH, "an expression is nested too deeply")
        value = self.product()
        while self.tokens[-1] in ("+", "-"):
            sign = self.tokens.pop()
            other = self.product()
            value = value + other if sign == "+" else value - other
        self.depth -= 1
        return value

    def product(self) -> Any:
        value = self.signed()
        while self.tokens[-1] in ("*", "/"):
            sign = self.tokens.pop()
            other = self.signed()
            value = value * other if sign == "*" else value / other
        return value

    def signed(self) -> Any:
        negative = False
        while self.tokens[-1] == "-":
            self.tokens.pop()
            negative = not negative
        value = self.power()
        return -value if negative else value

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
            _modest(out)
        return out

    def atom(self) -> Any:
        token = self.tokens.pop()
        if token == "(":
            value = self.sum()
            demand(self.tokens.pop() == ")", "a bracket is not closed")
            return value
        if token.isdigit():
            return Fraction(int(token))
        demand(token in self.names, f"an expression has the unknown part {token[:20]!r}")
        return self.names[token]


def _modest(value: Any) -> None:
    if isinstance(value, Fraction):
        bits = max(value.numerator.bit_length(), value.denominator.bit_length())
        demand(bits <= 50_000, "a number of an expression has too many digits")


def expression(value: Any, names: Mapping[str, Any], what: str) -> Any:
    """The value of an expression; what a name stands for brings its own operators.

    >>> expression("2*(x - 1/2)^2", {"x": Fraction(3, 2)}, "it")
    Fraction(2, 1)
    """
    parts = [m.group(1) or m.group(2) or m.group(3) for m in _TOKEN.finditer(text(value, what).strip())]
    demand(len(parts) <= 4000, f"{what} is too long")
    reader = _Reader(["", *reversed(parts)], names)
    out = reader.sum()
    demand(reader.tokens == [""], f"{what} goes on after its end")
    return out
