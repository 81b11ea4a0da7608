"""Kovacic's problem: the Liouvillian solutions of y'' = r y."""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial
from typing import Any

import sympy as sp
from sympy.polys.densetools import dup_eval

from maxslope.integrability.exact import is_zero
from maxslope.integrability.local import Local, local_data
from maxslope.integrability.ode import Equation, equation, fraction_of
from maxslope.integrability.riccati import RiccatiSolution, rational_riccati
from maxslope.integrability.solutions import algebraic, imprimitive, pullback, torus, triangular
from maxslope.integrability.symmetric import Invariant, invariants, omega_polynomial

W = sp.Symbol("w")


@dataclass(frozen=True)
class Liouvillian:
    """What Kovacic's algorithm finds for y'' = r y.

    `case` is 1 (triangular group), 2 (imprimitive), 3 (finite primitive) or 4 (SL2(C): no Liouvillian solution).
    `n` is the degree of w = y'/y over C(x) for a solution y: 1, 2, 4, 6, 12 or None. `minimal` is a polynomial that w
    satisfies, in case 3 perhaps a reducible one; in case 1 w is omega = `theta` + P'/P with P the `polynomial`, or
    omega alone. `invariant` is (m, F): F solves the m-th symmetric power. `square` is F = (y1 y2)^2 in case 2, which
    may need an algebraic number outside k.
    """

    equation: Equation
    case: int
    n: int | None
    omega: sp.Expr | None = None
    theta: sp.Expr | None = None
    polynomial: sp.Expr | None = None
    minimal: sp.Expr | None = None
    invariant: tuple[int, sp.Expr] | None = None
    square: sp.Expr | None = None

    @property
    def solvable(self) -> bool:
        """Whether the identity component of the differential Galois group is solvable."""
        return self.case != 4

    def solution(self) -> sp.Expr | None:
        """A Liouvillian solution, or None in case 4."""
        pair = self.solutions()
        return None if pair is None else pair[0]

    def solutions(self) -> tuple[sp.Expr, sp.Expr] | None:
        """Two independent Liouvillian solutions, or None in case 4.

        Source: Kovacic (1986), section 3; Klein (1884) for case 3.

        >>> liouvillian("x**2/4 - 1/2").solution()
        exp(-x**2/4)
        """
        eq = self.equation
        if self.theta is not None:
            return triangular(eq, RiccatiSolution(self.omega, self.theta, self.polynomial))
        if self.square is not None:
            return imprimitive(eq, self.square)
        if self.case in (2, 4) or self.invariant is None:
            return None
        m, f = self.invariant
        if self.case == 1:
            return torus(eq, f)
        image = pullback(eq, m, f)
        return None if image is None else algebraic(eq, m, image)

    def latex(self) -> str:
        """The equation, its group and its solutions as LaTeX."""
        return latex_answer(rf"y'' = {sp.latex(self.equation.r)} \, y", "y", self, self.solutions())

    def verify(self) -> bool:
        """Substitute: w' + w^2 = r modulo the polynomial of w; True in case 4 (nothing to do)."""
        if self.case == 4:
            return True
        if self.case == 1:
            return verify_riccati(self.equation, self.omega)
        return verify_algebraic(self.equation, self.minimal)


def latex_answer(head: str, name: str, result: Liouvillian, pair: tuple[sp.Expr, sp.Expr] | None) -> str:
    """A displayed equation, a sentence on the group, and the solutions."""
    groups = {1: "triangular", 2: "imprimitive", 3: "finite and primitive", 4: r"$SL_2(\mathbb C)$"}
    group = f"The differential Galois group of its normal form is {groups[result.case]} (case {result.case})."
    lines = [rf"\[ {head} \]", group]
    if pair is None:
        lines.append("There is no Liouvillian solution." if result.case == 4 else "Its solutions are implicit.")
    else:
        x = sp.latex(result.equation.x)
        lines += [rf"\[ {name}_{{{k}}}({x}) = {sp.latex(y)} \]" for k, y in enumerate(pair, 1)]
    return "\n".join(lines)


def verify_riccati(eq: Equation, omega: sp.Expr | None) -> bool:
    """Whether omega' + omega^2 = r identically."""
    if omega is None:
        return False
    try:
        u, v = fraction_of(omega, eq.x, eq.field)
    except (sp.CoercionFailed, sp.PolynomialError):  # a square root outside the field
        return is_zero(sp.together(sp.diff(omega, eq.x) + omega**2 - eq.r).as_numer_denom()[0])
    top = u.diff() * v - u * v.diff() + u**2
    return bool((top * eq.den - eq.num * v**2).is_zero)


def verify_algebraic(eq: Equation, minimal: sp.Expr | None) -> bool:
    """Whether every root w of the polynomial Q satisfies w' + w^2 = r: Q divides Q_x + (r - w^2) Q_w."""
    if minimal is None:
        return False
    top = sp.fraction(sp.together(minimal))[0]
    q, num, den, w = (sp.Poly(e, W, eq.x, domain=eq.field) for e in (top, eq.num.as_expr(), eq.den.as_expr(), W))
    if q.degree(W) < 1:
        return False
    change = den * q.diff(eq.x) + (num - w**2 * den) * q.diff(W)
    return bool(change.prem(q).is_zero)


def liouvillian(r: Any, x: sp.Symbol | None = None) -> Liouvillian:
    r"""Decide whether y'' = r y has a Liouvillian solution, and find one.

    Case 1 first ($\omega' + \omega^2 = r$ with $\omega$ rational), then the symmetric powers 4, 6, 8 and 12; every
    solution is verified by substitution before it is returned.

    Args:
        r: rational function with rational or algebraic coefficients (expression, string or `Equation`).
        x: its variable; needed only when r is constant.

    Returns:
        A `Liouvillian` with the case, the logarithmic derivative and the invariant.

    Raises:
        ValueError: if r is not an exact rational function of one variable.

    Source: Kovacic, J. Symbolic Computation 2 (1986) 3-43; Ulmer and Weil, J. Symbolic Computation 22 (1996) 179-200.

    >>> liouvillian("x**2/4 - 1/2").omega
    -x/2
    >>> liouvillian("x").case
    4
    """
    eq = r if isinstance(r, Equation) else equation(r, x)
    found = _decide(eq)
    if not found.verify():
        raise ArithmeticError(
            f"the solution found for r = {eq.r} does not satisfy the equation. This is a bug in maxslope."
        )
    return found


def _decide(eq: Equation) -> Liouvillian:
    locals_ = local_data(eq)
    riccati = rational_riccati(eq, locals_)
    if riccati is not None:
        pair = None if riccati.product is None else (2, riccati.product)
        return Liouvillian(eq, 1, 1, riccati.omega, riccati.theta, riccati.polynomial, invariant=pair)
    for m, n in _powers(locals_):
        basis = invariants(eq, locals_, m)
        if not basis:
            continue
        if m == 4:
            return _imprimitive(eq, basis)
        return Liouvillian(eq, 3, n, minimal=_minimal(eq, basis[0]), invariant=(m, basis[0].expression(eq)))
    return Liouvillian(eq, 4, None)


def _powers(locals_: tuple[Local, ...]) -> tuple[tuple[int, int], ...]:
    """The symmetric powers, with n, that may have a rational solution where the group is irreducible."""
    # a simple pole and two equal exponents mean a logarithm, in no such group; a finite one has no irregular point
    if any((p.order == 1 and p.factor is not None) or (p.order == 2 and not p.discriminant) for p in locals_):
        return ()
    return ((4, 2), (6, 4), (8, 6), (12, 12)) if all(p.regular for p in locals_) else ((4, 2),)


def _minimal(eq: Equation, invariant: Invariant) -> sp.Expr:
    return omega_polynomial(eq, invariant.power.recursion(eq), invariant.polynomial, W).as_expr()


def _imprimitive(eq: Equation, basis: list[Invariant]) -> Liouvillian:
    """Case 2: w^2 - g w + (g' + g^2)/2 - r = 0 with F = (y1 y2)^2, g = F'/(2F), or a quartic where no F is over k."""
    factors = [q for q, _ in _discriminant(eq, basis).factor_list()[1]] if len(basis) == 2 else []
    squares = [_member(basis, q) for q in factors if q.degree() == 1]
    for f in (*basis, *squares):
        minimal = _quadratic(eq, f)
        if minimal is not None:
            square = f.expression(eq)
            return Liouvillian(eq, 2, 2, minimal=minimal, invariant=(4, square), square=square)
    first = basis[0].expression(eq)
    square = first + _least_root(factors) * basis[1].expression(eq) if factors and eq.over_rationals else None
    return Liouvillian(eq, 2, 2, minimal=_minimal(eq, basis[0]), invariant=(4, first), square=square)


def _quadratic(eq: Equation, f: Invariant) -> sp.Expr | None:
    """The polynomial of w when F is a square: with c = (g' + g^2)/2 - r it is if c' + g (c - r) = 0."""
    n, d = f.logarithmic_derivative(eq)
    n, d = n.cancel(d * 2, include=True)
    top = (n.diff() * d - n * d.diff() + n**2) * eq.den - 2 * d**2 * eq.num
    a, b = top.cancel(2 * d**2 * eq.den, include=True)
    # b d c' = (a' b - a b') d / b and b d g (c - r) = n (a - b r)
    rest = (a.diff() * b - a * b.diff()) * d * eq.den + n * (a * eq.den - b * eq.num) * b
    if not rest.is_zero:
        return None
    return W**2 - n.as_expr() / d.as_expr() * W + a.as_expr() / b.as_expr()


def _member(basis: list[Invariant], linear: sp.Poly) -> Invariant:
    """F_0 + t F_1 with t the root of a linear polynomial."""
    first, second = (b.polynomial for b in basis)
    return Invariant(basis[0].power, first + second.mul_ground(-linear.monic().rep.to_list()[-1]))


def _least_root(factors: list[sp.Poly]) -> sp.Expr:
    """A root of a factor of least degree, over the rationals."""
    factor = min(factors, key=lambda q: int(q.degree()))
    return sp.roots(factor, multiple=True)[0] if factor.degree() == 2 else sp.CRootOf(factor, 0)


def _discriminant(eq: Equation, basis: list[Invariant]) -> sp.Poly:
    """The discriminant in t of sum_i (-1)^i F_i/i! w^(4-i) for F = F_0 + t F_1, constant in x; 0 for a square."""
    k, t = eq.field, sp.Dummy("t")
    rec = basis[0].power.recursion(eq)

    def at(coefficients: list[Any], point: int) -> Any:
        return dup_eval([k.convert(c) for c in coefficients], k(point), k)

    point = next(c for c in range(2, 3 + eq.den.degree()) if not k.is_zero(at(rec.w, c)))
    terms: dict[tuple[int, int], Any] = {}
    for j, member in enumerate(basis):
        for i, n in enumerate(rec.images(member.polynomial.rep.to_list())[:5]):
            terms[(4 - i, j)] = at(n, point) / (at(rec.w, point) ** i * k((-1) ** i * factorial(i)))
    form = sp.Poly.from_dict({e: c for e, c in terms.items() if c}, W, t, domain=k)
    return sp.Poly(form.discriminant(), t, domain=k)
