"""Exact expressions from strings and numbers; strings are read by a grammar, never run as code."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from operator import add, mul, sub, truediv
from typing import Any

import sympy as sp

_PLAIN = "sqrt exp log sin cos tan sinh cosh tanh asin acos atan asinh acosh atanh erf Rational"
FUNCTIONS: Mapping[str, Callable[..., sp.Expr]] = {
    **{name: getattr(sp, name) for name in _PLAIN.split(" ")},
    "sigmoid": lambda z: 1 / (1 + sp.exp(-z)),
    "softplus": lambda z: sp.log(1 + sp.exp(z)),
}
_CONSTANTS = {"pi": sp.pi, "E": sp.E, "I": sp.I}
_LONGEST = 20_000
_POWER = 10_000
_BITS = 200_000


def exact(value: Any, what: str = "the number", symbols: Mapping[str, sp.Symbol] | None = None) -> sp.Expr:
    """Read an integer, a fraction, a sympy expression or a string as an exact expression.

    Names in a string stand for `symbols` or symbols of their own; `what` is said in messages.

    >>> exact("3/2"), exact("sqrt(2)*x^2")
    (3/2, sqrt(2)*x**2)
    """
    if isinstance(value, str):
        found = _read(value, what, symbols or {})
    elif isinstance(value, sp.Expr):
        found = value
    elif type(value) is int or (isinstance(value, Fraction) and type(value) is Fraction):
        found = sp.Rational(value.numerator, value.denominator)
    else:
        raise ValueError(
            f'{what} must be exact: an integer, a Fraction, a sympy expression or a string such as "3/2"; '
            f'got {value!r}. Write Fraction(3, 2) or "3/2" for 1.5.'
        )
    if found.has(sp.Float):
        raise ValueError(f'{what} must be exact; got floats in {value!r}. Write "3/2" instead of 1.5.')
    if found.has(sp.nan, sp.zoo, sp.oo, -sp.oo):
        raise ValueError(f"{what} must be finite; got {value!r}.")
    return found


def number(value: Any, what: str = "the number") -> sp.Expr:
    """Read an exact number, without symbols."""
    found = exact(value, what)
    if not found.is_number:
        raise ValueError(f"{what} must be an exact number; got {value!r}. Substitute numbers for its symbols.")
    return found


def _read(text: str, what: str, symbols: Mapping[str, sp.Symbol]) -> sp.Expr:
    if len(text) > _LONGEST:
        raise ValueError(f"{what} must have at most {_LONGEST} characters; got {len(text)}.")
    try:
        tree = ast.parse(text.strip().replace("^", "**"), mode="eval").body
        return _value(tree, symbols)
    except (SyntaxError, RecursionError, MemoryError, ZeroDivisionError, TypeError, ValueError) as error:
        raise ValueError(
            f"{what} must be an exact expression such as x^2/4 - 3/2, with the functions {', '.join(FUNCTIONS)}; "
            f"got {text[:80]!r} ({error})."
        ) from error


def _value(node: ast.expr, symbols: Mapping[str, sp.Symbol]) -> sp.Expr:
    match node:
        case ast.Constant(value=int() as n) if type(n) is int:
            return sp.Integer(n)
        case ast.Constant(value=float() as n):
            raise ValueError(f"{n} is a float and must be written as a fraction")
        case ast.Name(id=name) if name in symbols:
            return symbols[name]
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.Name(id=name) if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,30}", name):
            return sp.Symbol(name)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner, symbols)
        case ast.UnaryOp(op=ast.UAdd(), operand=inner):
            return _value(inner, symbols)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name](*(_value(a, symbols) for a in arguments))
        case ast.BinOp(left=left, op=op, right=right):
            return _combine(_value(left, symbols), op, _value(right, symbols))
    raise ValueError(f"{ast.unparse(node)[:40]} is not allowed")


_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: add,
    ast.Sub: sub,
    ast.Mult: mul,
    ast.Div: truediv,
    ast.Pow: pow,
}


def _combine(a: sp.Expr, op: ast.operator, b: sp.Expr) -> sp.Expr:
    if type(op) not in _OPERATORS:
        raise ValueError("an operator is not allowed")
    if isinstance(op, ast.Div) and b == 0:
        raise ValueError("it divides by zero")
    if isinstance(op, ast.Pow) and (
        (b.is_Rational and abs(b) > _POWER) or (a.is_Rational and b.is_Rational and _bits(a) * abs(b) > _BITS)
    ):
        raise ValueError("a power is too large")
    return _OPERATORS[type(op)](a, b)


def _bits(number: sp.Rational) -> int:
    return max(int(number.p).bit_length(), int(number.q).bit_length())


def is_zero(expr: sp.Expr) -> bool:
    """Whether an expression is identically zero, as far as sympy sees."""
    return bool(sp.expand(expr) == 0 or sp.simplify(expr) == 0)
