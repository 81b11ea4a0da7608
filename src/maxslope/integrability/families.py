"""Kovacic's families of signs modulo a splitting prime: the proof that case 1 does not occur."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import sympy as sp

from maxslope.integrability import _lists as ls
from maxslope.integrability._residue import Residue
from maxslope.integrability._split_prime import primes, roots_mod, sqrt_mod
from maxslope.integrability.local import Local
from maxslope.integrability.ode import Equation
from maxslope.integrability.symmetric import PRIME


@dataclass(frozen=True)
class Point:
    """One pole modulo p (None: infinity); `root` is sqrt(discriminant) or the amplitude a."""

    local: Local
    place: int | None
    root: int


@dataclass(frozen=True)
class Splitting:
    """A prime p with all poles, discriminant roots and amplitudes in the field of p elements."""

    prime: int
    roots: tuple[tuple[int, ...], ...]
    points: tuple[Point, ...]


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


def image_mod(value: Any, p: int) -> int:
    """A rational number modulo p."""
    return int(value.numerator) * pow(int(value.denominator), -1, p) % p


def _reduce(element: Residue, c: int, p: int) -> int:
    """The element at t = c modulo p."""
    out = 0
    for value in reversed(element.rep):
        out = (out * c + image_mod(value, p)) % p
    return out


def splitting(locals_: tuple[Local, ...], tries: int = 20000) -> Splitting | None:
    """The largest suitable prime up to 2**61 - 1, or None after `tries` primes."""
    for count, p in enumerate(primes(PRIME)):
        if count >= tries:
            return None
        found = _split_at(locals_, p)
        if found is not None:
            return found
    return None


def _split_at(locals_: tuple[Local, ...], p: int) -> Splitting | None:
    roots: list[tuple[int, ...]] = []
    points: list[Point] = []
    for local in locals_[:-1]:
        if local.factor is None:
            return None
        f = [image_mod(c, p) for c in reversed(local.factor.rep.to_list())]
        found = roots_mod(f, p)
        if found is None:
            return None
        roots.append(tuple(found))
    places: list[tuple[Local, int | None]] = [(q, c) for q, cs in zip(locals_, roots, strict=False) for c in cs]
    for local, c in [*places, (locals_[-1], None)]:
        gap = local.difference() if not local.irregular else None
        if local.discriminant is None:
            root: int | None = 0
        elif gap is not None:
            root = image_mod(sp.Rational(gap.numerator, gap.denominator), p)
        else:
            element = local.leading if local.irregular else local.discriminant
            root = None if element is None else sqrt_mod(_reduce(element, c or 0, p), p)
        if root is None:
            return None
        points.append(Point(local, c, root))
    return Splitting(p, tuple(roots), tuple(points))


@dataclass(frozen=True)
class _Choice:
    sign: str
    alpha: int
    powers: tuple[tuple[int, int], ...]


def _choices(point: Point, p: int) -> list[_Choice]:
    local, c, half = point.local, point.place or 0, pow(2, -1, p)
    if local.discriminant is None:
        return []
    if point.place is not None and local.order == 1:
        return [_Choice("+", 1, ())]
    out = []
    for sign, s in (("+", point.root), ("-", -point.root)):
        if local.irregular and local.linear is not None:
            sigma = [_reduce(e, c, p) for e in local.polar]
            top = len(sigma) + (1 if point.place is not None else -1)
            powers = tuple((top - k, s * e % p) for k, e in enumerate(sigma))
            alpha = (local.half * half + s * _reduce(local.linear, c, p)) % p
            out.append(_Choice(sign, alpha, powers))
        elif s or sign == "+":
            out.append(_Choice(sign, (local.half + s) * half % p, ()))
    return out


def families(eq: Equation, split: Splitting) -> tuple[int, list[Family]]:
    """The number of families, and those with d a non-negative integer, with their ranks.

    Source: Kovacic, J. Symbolic Computation 2 (1986), section 3.1, read modulo a prime.
    """
    tables = [_choices(q, split.prime) for q in split.points]
    bound = _degree_bound(split)
    found, total = [], 0
    for picks in product(*tables):
        total += 1
        degree = (picks[-1].alpha - sum(c.alpha for c in picks[:-1])) % split.prime
        if degree <= bound:
            signs = "".join(c.sign for c in picks[:-1]) + "|" + picks[-1].sign
            matrix = _matrix(eq, split, picks, degree)
            found.append(Family(signs, degree, ls.rank_mod(matrix, split.prime)))
    return total, found


def _degree_bound(split: Splitting) -> int:
    """A number above every degree, from floating-point exponents, doubled."""
    total = 2.0
    for point in split.points:
        d = point.local.discriminant
        if d is None:
            continue
        value = d.poly()
        places = [0] if point.local.factor is None else sp.Poly(point.local.factor).nroots(30)
        gaps = [abs(complex(sp.N(value.eval(z), 30))) ** 0.5 for z in places]
        total += abs(point.local.half) + max(gaps)
    return int(2 * total)


def _iterate(start: list[int], factor: list[int], count: int, p: int) -> list[int]:
    for _ in range(count):
        start = ls.mul(start, factor, p)
    return start


def _matrix(eq: Equation, split: Splitting, picks: tuple[_Choice, ...], degree: int) -> list[list[int]]:
    """Rows of the system of S^2 (P'' + 2 theta P' + (theta' + theta^2 - r) P) = 0."""
    p = split.prime
    finite = [(q, c) for q, c in zip(split.points, picks, strict=True) if q.place is not None]
    nus = [max(1, (q.local.order or 0) // 2) for q, _ in finite]
    whole = [1]
    for (q, _), nu in zip(finite, nus, strict=True):
        whole = _iterate(whole, [-(q.place or 0), 1], nu, p)
    t = [v for k, v in sorted(_entire(picks[-1]).items())]
    t = ls.mul(t, whole, p)
    for index, (_, choice) in enumerate(finite):
        for power, value in ((1, choice.alpha), *choice.powers):
            part = [value]
            for other, (q, _) in enumerate(finite):
                count = nus[other] - (power if other == index else 0)
                part = _iterate(part, [-(q.place or 0), 1], count, p)
            t = ls.add(t, part)
    num = [image_mod(c, p) for c in reversed(eq.num.rep.to_list())]
    for (q, _), nu in zip(finite, nus, strict=True):
        num = _iterate(num, [-(q.place or 0), 1], 2 * nu - (q.local.order or 0), p)
    g = ls.mul(ls.derivative(t), whole, p)
    g = ls.add(g, ls.scale(ls.mul(t, ls.derivative(whole), p), -1))
    g = ls.reduce_mod(ls.add(ls.add(g, ls.mul(t, t, p)), ls.scale(num, -1)), p)
    ts, s2 = ls.mul(t, whole, p), ls.mul(whole, whole, p)
    images = []
    for j in range(degree + 1):
        image = [0] * j + g
        image = ls.add(image, [0] * max(j - 1, 0) + ls.scale(ts, 2 * j))
        images.append(ls.add(image, [0] * max(j - 2, 0) + ls.scale(s2, j * (j - 1))))
    height = max(len(i) for i in images)
    return [[i[k] if k < len(i) else 0 for i in images] for k in range(height)]


def _entire(choice: _Choice) -> dict[int, int]:
    """The polynomial part of theta, as {power: coefficient} without gaps."""
    values = dict(choice.powers)
    return {k: values.get(k, 0) for k in range(max(values, default=-1) + 1)}


def family_list(eq: Equation, locals_: tuple[Local, ...]) -> Iterator[Family]:
    """Families with d in N, for display; empty when no splitting prime is found."""
    split = splitting(locals_)
    if split is not None:
        yield from families(eq, split)[1]
