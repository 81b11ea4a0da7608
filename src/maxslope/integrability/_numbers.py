"""High-precision complex and real numbers: python-flint when installed, mpmath otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import mpmath


def flint_module() -> Any | None:
    """The python-flint module, or None."""
    return import_module("flint") if find_spec("flint") is not None else None


@contextmanager
def precision(digits: int, flint: Any | None) -> Iterator[None]:
    """Working precision in decimal digits for both number types, restored afterwards."""
    before = None if flint is None else (flint.ctx.prec, flint.ctx.cap)
    if flint is not None:
        flint.ctx.prec = int(3.33 * digits) + 10
    try:
        with mpmath.workdps(digits):
            yield
    finally:
        if flint is not None and before is not None:
            flint.ctx.prec, flint.ctx.cap = before


def make_complex(value: Any, flint: Any | None) -> Any:
    """A complex number of the backend from an mpmath number."""
    number = mpmath.mpc(value)
    if flint is None:
        return number
    digits = mpmath.mp.dps + 5
    re, im = (flint.arb(mpmath.nstr(part, digits)) for part in (number.real, number.imag))
    return flint.acb(re, im)


def to_mpmath(value: Any, flint: Any | None) -> Any:
    """The midpoint of a backend number as an mpmath complex number."""
    if flint is None:
        return value
    digits = mpmath.mp.dps + 5
    re, im = (part.mid().str(digits, radius=False) for part in (value.real, value.imag))
    return mpmath.mpc(re, im)


def sharpen(value: Any, flint: Any | None) -> Any:
    """The midpoint of a ball: errors are estimated afterwards, not enclosed."""
    return value if flint is None else value.mid()
