"""Numerical monodromy of y'' = r y and a test for Zariski density in SL2(C)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from importlib.util import find_spec
from itertools import combinations, islice, pairwise, product
from typing import Any

import mpmath
import sympy as sp
from sympy.polys.densetools import dup_shift

from maxslope._random import keys, uniform
from maxslope.integrability.ode import Equation, equation

BASE = mpmath.mpc("0.3", "1.7")
STEP = 0.4  # of a Taylor series, over the distance to the nearest pole


@dataclass(frozen=True)
class Witness:
    """Two words A, B whose traces show that they generate a Zariski dense subgroup."""

    words: tuple[str, str]
    traces: tuple[Any, Any, Any]
    commutator: Any
    margin: float


@dataclass(frozen=True)
class Monodromy:
    """Monodromy matrices around the poles by angle at the base point, one loop each; `product` is that around all.

    `error` is the largest distance of a determinant from 1.
    """

    base: Any
    poles: tuple[Any, ...]
    matrices: tuple[Any, ...]
    loops: tuple[tuple[Any, ...], ...]
    product: Any
    error: float
    digits: int

    def traces(self) -> dict[str, Any]:
        """Trace of each matrix, by the pole."""
        return {mpmath.nstr(c, 8): _trace(m) for c, m in zip(self.poles, self.matrices, strict=True)}

    def trace_at(self, pole: Any) -> Any:
        """The trace at the pole nearest to a number."""
        return _trace(min(zip(self.poles, self.matrices, strict=True), key=lambda pair: abs(pair[0] - pole))[1])

    def witness(self, tolerance: float = 1e-8) -> Witness | None:
        """The pair of words that shows a Zariski dense group by the largest margin; None proves nothing."""
        with mpmath.workdps(self.digits):
            pairs = combinations(islice(_words(self.matrices), 64), 2)
            found = [_judge((name_a, name_b), a, b) for (name_a, a), (name_b, b) in pairs]
        best = max(found, key=lambda witness: witness.margin, default=None)
        return best if best is not None and best.margin > tolerance else None


def _trace(m: Any) -> Any:
    return m[0, 0] + m[1, 1]


def _words(matrices: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    for i, m in enumerate(matrices):
        yield f"M{i + 1}", m
    for (i, a), (j, b) in product(enumerate(matrices), repeat=2):
        if i != j:
            yield f"M{i + 1} M{j + 1}", a * b


def _judge(words: tuple[str, str], a: Any, b: Any) -> Witness:
    """How far the group is from a common eigenvector, from an imprimitive and from a finite one."""
    ab = a * b
    traces = (_trace(a), _trace(b), _trace(ab))
    commutator = _trace(ab * mpmath.inverse(b * a))
    irreducible = abs(commutator - 2)
    primitive = sorted(abs(t) for t in traces)[1]
    phi = (1 + mpmath.sqrt(5)) / 2
    special = (0, 1, 2, mpmath.sqrt(2), phi, phi - 1)
    infinite = max(min(min(abs(t - s), abs(t + s)) for s in special) for t in (*traces, commutator))
    return Witness(words, traces, commutator, float(min(irreducible, primitive, infinite)))


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
    """A complex number of the backend from a number."""
    return mpmath.mpc(value) if flint is None else flint.acb(mpmath.mpc(value))


def sharpen(value: Any, flint: Any | None) -> Any:
    """The midpoint of a ball: errors are estimated afterwards, not enclosed."""
    return value if flint is None else value.mid()


@dataclass(frozen=True)
class _Transport:
    """Analytic continuation of the basis (y, y') by Taylor steps."""

    num: list[Any]
    den: list[Any]
    poles: list[Any]
    terms: int
    flint: Any | None

    def along(self, points: list[Any]) -> list[Any]:
        """The columns (y, y') of the fundamental matrix carried along a polygon, as backend numbers."""
        one, zero = make_complex(1, self.flint), make_complex(0, self.flint)
        columns = [(one, zero), (zero, one)]
        for start, end in pairwise(points):
            here = start
            while here != end:
                reach = STEP * min(abs(here - c) for c in self.poles) if self.poles else 1
                gap = end - here
                step = gap if abs(gap) <= reach else gap * (reach / abs(gap))
                columns = self._step(columns, here, step)
                here = end if step is gap else here + step
        return columns

    def _step(self, columns: list[Any], here: Any, step: Any) -> list[Any]:
        z, h = make_complex(here, self.flint), make_complex(step, self.flint)
        num, den = (dup_shift(p[::-1], z, None)[::-1] for p in (self.num, self.den))
        lead = 1 / den[0]
        out = []
        for column in columns:
            c = [*column]
            for k in range(self.terms):
                value = z * 0
                for j in range(min(k, len(num) - 1) + 1):
                    value += num[j] * c[k - j]
                for j in range(1, min(k, len(den) - 1) + 1):
                    value -= den[j] * c[k - j + 2] * ((k - j + 2) * (k - j + 1))
                c.append(value * lead / ((k + 2) * (k + 1)))
            y, dy = z * 0, z * 0
            for k in range(len(c) - 1, -1, -1):
                y = y * h + c[k]
                dy = dy * h + c[k] * k if k else dy
            out.append((sharpen(y, self.flint), sharpen(dy, self.flint)))
        return out


def _loop(base: Any, pole: Any, poles: list[Any]) -> list[Any]:
    """Straight to the pole, once around it counterclockwise, and back."""
    others = [abs(pole - c) for c in poles if c != pole] + [abs(base - pole)]
    radius = min(others) / 2
    direction = (base - pole) / abs(base - pole)
    corners = 16
    circle = [pole + radius * direction * mpmath.expjpi(mpmath.mpf(2 * k) / corners) for k in range(corners + 1)]
    circle[-1] = circle[0]
    return [base, *circle, base]


def base_of(seed: int) -> Any:
    """The usual base point for seed 0, else one drawn within a fifth of it: other loops, but the same traces."""
    if seed == 0:
        return BASE
    size, turn = uniform(keys(seed), (2,))[0].tolist()
    return BASE + mpmath.mpf(size) / 5 * mpmath.expjpi(2 * mpmath.mpf(turn))


def monodromy(r: Any, x: sp.Symbol | None = None, digits: int = 40, base: Any = BASE) -> Monodromy:
    """Monodromy matrices of y'' = r y around its finite poles.

    Args:
        r: rational function, or an `Equation`.
        x: its variable when r is constant.
        digits: decimal digits.
        base: base point; no two poles may be seen from it in the same direction.

    Raises:
        ValueError: if two poles lie in the same direction from the base point.

    Source: our own; evidence only, the certificate is the proof.

    >>> m = monodromy("-3/(16*x**2)", digits=15)
    >>> abs(m.trace_at(0)) < 1e-12  # -2 cos(pi/2)
    True
    """
    eq = r if isinstance(r, Equation) else equation(r, x)
    flint = flint_module()
    with precision(digits + 10, flint):
        base = mpmath.mpc(base)
        roots = [c for f, _ in eq.factors for c in f.nroots(digits + 10, maxsteps=200)]
        poles = [mpmath.mpmathify(sp.N(c, digits + 10)) for c in roots]

        def angle(pole: Any) -> float:
            return float(mpmath.arg((pole - base) / mpmath.mpc(0, 1)))

        poles.sort(key=angle)
        if any(angle(b) - angle(a) < 1e-6 for a, b in pairwise(poles)):
            raise ValueError(
                f"the base point must see all poles in different directions; got base {mpmath.nstr(base, 5)}. Move it."
            )
        lists = [[mpmath.mpmathify(sp.N(c, digits + 10)) for c in reversed(p.all_coeffs())] for p in (eq.num, eq.den)]
        num, den = ([make_complex(c, flint) for c in p] for p in lists)
        transport = _Transport(num, den, poles, int((digits + 10) / 0.39) + 10, flint)
        loops = tuple(tuple(_loop(base, c, poles)) for c in poles)
        raw = [transport.along(list(loop)) for loop in loops]
        matrices = tuple(mpmath.matrix([[mpmath.mpc(e) for e in column] for column in m]).T for m in raw)
        whole = reduce(lambda product, m: m * product, matrices, mpmath.eye(2))
        with mpmath.workdps(2 * digits + 20):  # the difference from 1 cancels
            errors = [abs(m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0] - 1) for m in matrices]
        error = float(max([*errors, mpmath.mpf(0)]))
    return Monodromy(base, tuple(poles), matrices, loops, whole, error, digits)
