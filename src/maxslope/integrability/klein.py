"""Explicit solutions for the finite primitive groups: pullbacks of a standard equation (Klein's theorem)."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from maxslope.integrability.ode import Equation, fraction_of

# exponent differences at 0, 1 and infinity of the standard equation, by the degree of the rational invariant
_STANDARD = {
    6: (sp.Rational(1, 3), sp.Rational(1, 2), sp.Rational(1, 4)),
    8: (sp.Rational(1, 3), sp.Rational(1, 2), sp.Rational(1, 4)),
    12: (sp.Rational(1, 3), sp.Rational(1, 2), sp.Rational(1, 5)),
}


@dataclass(frozen=True)
class Pullback:
    """y'' = r y is the pullback of the hypergeometric equation with differences (l, m, n) by s = image(x).

    y = Y(s)/sqrt(s') with Y'' = h Y. The identity behind it is verified exactly.
    """

    variable: sp.Symbol
    image: sp.Expr
    differences: tuple[sp.Expr, sp.Expr, sp.Expr]

    def solutions(self) -> tuple[sp.Expr, sp.Expr]:
        """Two solutions by 2F1(a, b; c; s), with s near 0; both are algebraic functions of x."""
        first, second = (self._solution(sign) for sign in (1, -1))
        return first, second

    def _solution(self, sign: int) -> sp.Expr:
        ell, m, n = self.differences
        ell = sign * ell
        s = self.image
        a, b = (1 - ell - m - n) / 2, (1 - ell - m + n) / 2
        front = s ** ((1 - ell) / 2) * (1 - s) ** ((1 - m) / 2) / sp.sqrt(sp.factor(sp.diff(s, self.variable)))
        return front * sp.hyper((a, b), (1 - ell,), s)


def pullback(eq: Equation, m: int, invariant: sp.Expr) -> Pullback | None:
    """Klein's rational function of an equation with a rational invariant F of degree 6, 8 or 12.

    The Hessian of the form is H = (m-1)(m F F'' - m^2 r F^2 - (m-1) F'^2). The function is c H^3/F^4
    (m = 6), c F^3/H^2 (m = 8, where H is the square of the form of degree 6) or c H^3/F^5 (m = 12);
    two values of x determine c. It is returned only if the pullback is r.

    Source: Klein, Vorlesungen ueber das Ikosaeder (1884), I.2; van Hoeij and Weil, Solving second order
    linear differential equations with Klein's theorem (2005).
    """
    x = eq.x
    f = invariant
    first = sp.diff(f, x)
    hessian = m * f * sp.diff(first, x) - m**2 * eq.r * f**2 - (m - 1) * first**2
    shape = {6: (3, -4), 8: (-2, 3), 12: (3, -5)}[m]
    num, den = fraction_of(sp.together(hessian), x, eq.field)
    base_num, base_den = fraction_of(f, x, eq.field)
    pairs = [(num, den, shape[0]), (base_num, base_den, shape[1])]
    top = bottom = sp.Poly(1, x, domain=eq.field)
    for p, q, e in pairs:
        up, down = (p, q) if e > 0 else (q, p)
        top, bottom = top * up ** abs(e), bottom * down ** abs(e)
    top, bottom = top.cancel(bottom, include=True)
    scale = _scale(eq, top, bottom, _STANDARD[m])
    if scale is None:
        return None
    image = sp.factor(scale * top.as_expr() / bottom.as_expr())
    found = Pullback(x, image, _STANDARD[m])
    return found if _verified(eq, top.mul_ground(eq.field.convert(scale)), bottom, _STANDARD[m]) else None


def _parts(top: sp.Poly, bottom: sp.Poly) -> tuple[sp.Poly, sp.Poly, sp.Poly, sp.Poly]:
    """For s = top/bottom: s' = a/bottom^2, and the Schwarzian derivative as a fraction."""
    a = top.diff() * bottom - top * bottom.diff()
    # s''/s' = a'/a - 2 bottom'/bottom = u/v, Schwarzian = (u/v)' - (u/v)^2/2
    u, v = (a.diff() * bottom - 2 * a * bottom.diff()).cancel(a * bottom, include=True)
    return a, bottom, 2 * (u.diff() * v - u * v.diff()) - u**2, 2 * v**2


def _scale(eq: Equation, top: sp.Poly, bottom: sp.Poly, differences: tuple[sp.Expr, ...]) -> sp.Expr | None:
    """The constant c for which c top/bottom may be the pullback: common root of two quadratic equations."""
    c = sp.Dummy("c")
    ell, m, n = differences
    a, _, schwarz, below = _parts(top, bottom)
    common = sp.Poly(0, c, domain=eq.field)
    point, used = 2, 0
    while used < 3:
        point += 1
        values = [p.eval(point) for p in (top, bottom, a, below, eq.den)]
        if any(v == 0 for v in values):
            continue
        used += 1
        # c^2 s^2 h(c s) (s'/s)^2 = r + schwarz/2, with s = top/bottom at the point
        t, b, d, w, den = (eq.field.from_sympy(sp.sympify(v)) for v in values)
        num, sch = (eq.field.from_sympy(sp.sympify(p.eval(point))) for p in (eq.num, schwarz))
        s, ratio = t / b, t * b / d
        right = (num / den + sch / (w * eq.field(2))) * ratio * ratio * eq.field(4)
        left = [eq.field.from_sympy(e) for e in (ell**2 - 1, m**2 - 1, 1 - ell**2 - m**2 + n**2)]
        # (l-1)(cs-1)^2 + (m-1)(cs)^2 + x cs(cs-1) - right (cs-1)^2
        square = left[0] - right
        z2, z1, z0 = square + left[1] + left[2], -square * eq.field(2) - left[2], square
        row = sp.Poly.from_list([z2 * s * s, z1 * s, z0], c, domain=eq.field)
        common = common.gcd(row)
    roots = [q.monic() for q, _ in common.factor_list()[1] if q.degree() == 1] if common.degree() > 0 else []
    return -roots[0].eval(0) if roots else None


def _verified(eq: Equation, top: sp.Poly, bottom: sp.Poly, differences: tuple[sp.Expr, ...]) -> bool:
    """h(s) s'^2 - Schwarzian/2 = r, exactly."""
    ell, m, n = (sp.Rational(v) for v in differences)
    a, b, schwarz, below = _parts(top, bottom)
    # s = t/b: h(s) s'^2 = a^2 ((l-1) (t-b)^2 + (m-1) t^2 + x t (t-b)) / (4 t^2 (t-b)^2 b^2)
    t, d = top, top - bottom
    upper = (ell**2 - 1) * d**2 + (m**2 - 1) * t**2 + (1 - ell**2 - m**2 + n**2) * t * d
    left_num, left_den = (a**2 * upper).cancel(4 * t**2 * d**2 * b**2, include=True)
    num = left_num * below * 2 - schwarz * left_den
    den = left_den * below * 2
    return bool((num * eq.den - eq.num * den).is_zero)
