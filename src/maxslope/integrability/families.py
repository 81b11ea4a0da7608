"""Kovacic's families of signs modulo a splitting prime: the proof that case 1 does not occur."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import sympy as sp
from sympy.polys.galoistools import gf_add, gf_mul, gf_mul_ground, gf_pow, gf_quo

from maxslope.integrability._modular import (
    PRIME,
    generators,
    image_mod,
    primes,
    roots_mod,
    small_sums,
    sqrt_mod,
    value_mod,
)
from maxslope.integrability.local import Local, Residue
from maxslope.integrability.ode import Equation
from maxslope.integrability.symmetric import LARGEST, Recursion


@dataclass(frozen=True)
class Point:
    """One pole modulo p (None: infinity); `root` is sqrt(discriminant) or the amplitude a."""

    local: Local
    place: int | None
    root: int


@dataclass(frozen=True)
class Splitting:
    """A prime p with all poles, discriminant roots and amplitudes modulo p, at one image of the field's generator."""

    prime: int
    roots: tuple[tuple[int, ...], ...]
    points: tuple[Point, ...]
    generator: int = 0


@dataclass(frozen=True)
class Family:
    """Signs at the poles and at infinity with an integer degree d; the rank of its system."""

    signs: str
    degree: int
    rank: int

    @property
    def excluded(self) -> bool:
        """Full column rank modulo p: no polynomial P exists."""
        return self.rank == self.degree + 1


def _reduce(element: Residue, c: int, p: int, generator: int) -> int:
    """The element at t = c modulo p."""
    return value_mod(element.rep.to_list(), c, p, generator)


def splitting(field: Any, locals_: tuple[Local, ...], tries: int = 20000) -> tuple[Splitting, ...] | None:
    """One splitting for each root modulo p of the field's polynomial, or None if none of `tries` primes is suitable."""
    for count, p in enumerate(primes(PRIME)):
        if count >= tries:
            return None
        found = [_split_at(locals_, p, rho) for rho in generators(field, p) or []]
        if found and None not in found:
            return tuple(f for f in found if f is not None)
    return None


def _split_at(locals_: tuple[Local, ...], p: int, generator: int) -> Splitting | None:
    roots: list[list[int]] = []
    for factor in (local.factor for local in locals_ if local.factor is not None):
        found = roots_mod([image_mod(c, p, generator) for c in reversed(factor.rep.to_list())], p)
        if found is None:
            return None
        roots.append(found)
    places: list[tuple[Local, int | None]] = [(q, c) for q, cs in zip(locals_, roots, strict=False) for c in cs]
    places.append((locals_[-1], None))
    squares = [_square(local, c, p, generator) for local, c in places]
    if not all(v is None or v == 0 or pow(v, (p - 1) // 2, p) == 1 for v in squares):
        return None  # before any root is taken: most primes fail here
    points = (Point(q, c, _root(q, v, p)) for (q, c), v in zip(places, squares, strict=True))
    return Splitting(p, tuple(tuple(cs) for cs in roots), tuple(points), generator)


def _square(local: Local, c: int | None, p: int, generator: int) -> int | None:
    """What must be a square modulo p at a point: the amplitude's square, or the discriminant; None if nothing must."""
    if local.discriminant is None or (not local.irregular and local.difference() is not None):
        return None
    return _reduce(local.leading if local.irregular else local.discriminant, c or 0, p, generator)


def _root(local: Local, square: int | None, p: int) -> int:
    """The square root, or a rational exponent difference as it is."""
    if square is not None:
        return sqrt_mod(square, p) or 0
    return 0 if local.discriminant is None else image_mod(local.difference(), p)


@dataclass(frozen=True)
class _Choice:
    sign: str
    alpha: int
    powers: dict[int, int]


def _choices(point: Point, p: int, generator: int) -> list[_Choice]:
    local, c, half = point.local, point.place or 0, pow(2, -1, p)
    if local.discriminant is None:
        return []
    if point.place is not None and local.order == 1:
        return [_Choice("+", 1, {})]
    out = []
    for sign, s in (("+", point.root), ("-", -point.root)):
        if local.irregular and local.linear is not None:
            sigma = [_reduce(e, c, p, generator) for e in local.polar]
            top = len(sigma) + (1 if point.place is not None else -1)
            powers = {top - k: s * e % p for k, e in enumerate(sigma)}
            alpha = (local.half * half + s * _reduce(local.linear, c, p, generator)) % p
            out.append(_Choice(sign, alpha, powers))
        elif s or sign == "+":
            out.append(_Choice(sign, (local.half + s) * half % p, {}))
    return out


class Families(NamedTuple):
    """The number of families, and those with d in N."""

    total: int
    admissible: list[Family]


def families(eq: Equation, split: Splitting) -> Families:
    """The families, with the ranks of their systems modulo a prime: Kovacic (1986), section 3.1."""
    tables = [_choices(q, split.prime, split.generator) for q in split.points]
    found = []
    signed = [[-c.alpha for c in table] for table in tables[:-1]] + [[c.alpha for c in tables[-1]]]
    for indices, degree in small_sums(signed, LARGEST, split.prime):
        picks = tuple(table[i] for table, i in zip(tables, indices, strict=True))
        signs = "".join(c.sign for c in picks[:-1]) + "|" + picks[-1].sign
        polar = [{1: c.alpha, **c.powers} for c in picks[:-1]]
        system = modular_recursion(eq, split, 1, polar, picks[-1].powers)
        found.append(Family(signs, degree, system.rank(degree + 1, split.prime)))
    return Families(prod(len(table) for table in tables), found)


def modular_recursion(
    eq: Equation, split: Splitting, m: int, polar: Sequence[Mapping[int, int]], entire: Mapping[int, int]
) -> Recursion:
    """The recursion modulo p for phi with phi'/phi the sum of c/(x - pole)**k, {k: c} by pole, and of c x**k."""
    p = split.prime
    w, r = ([image_mod(c, p, split.generator) for c in q.rep.to_list()] for q in (eq.cleared.w, eq.cleared.r))
    a = gf_mul([entire.get(k, 0) for k in range(max(entire, default=-1), -1, -1)], w, p, sp.ZZ)
    for c, part in zip((c for cs in split.roots for c in cs), polar, strict=True):
        for k, value in part.items():
            rest = gf_quo(w, gf_pow([1, -c % p], k, p, sp.ZZ), p, sp.ZZ)
            a = gf_add(a, gf_mul_ground(rest, value, p, sp.ZZ), p, sp.ZZ)
    return Recursion(m, w, a, r, sp.ZZ)
