"""A prime modulo which polynomials split and given elements are squares."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import sympy as sp
from sympy.ntheory import sqrt_mod as sympy_sqrt_mod
from sympy.polys.galoistools import gf_edf_zassenhaus, gf_pow_mod, gf_trunc

PRIME = 2**61 - 1


def image_mod(value: Any, p: int, generator: int = 0) -> int:
    """A rational number modulo p; an element of a number field at a root of the field's polynomial modulo p."""
    if isinstance(value, sp.polys.polyclasses.ANP):
        out = 0
        for c in value.to_list():
            out = (out * generator + image_mod(c, p)) % p
        return out
    return int(value.numerator) * pow(int(value.denominator), -1, p) % p


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
    n = start
    while n > 2**32:
        if sp.isprime(n):
            yield n
        n -= 2


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
