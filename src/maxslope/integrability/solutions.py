"""Solutions of y'' = r y written out, from what Kovacic's algorithm found."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, islice

import sympy as sp

from maxslope.integrability.local import local_data
from maxslope.integrability.ode import Equation, extend, fraction_of
from maxslope.integrability.riccati import RiccatiSolution, family_solutions, many_families

Pair = tuple[sp.Expr, sp.Expr]


def triangular(eq: Equation, first: RiccatiSolution) -> Pair:
    """P exp(int theta), and a second one of that form, or y int dx/y^2 where there is none."""
    y = _exponential(eq, first)
    locals_ = local_data(eq)
    found = () if many_families(eq, locals_) else family_solutions(eq, locals_)
    other = next((f for f in found if sp.cancel(f.omega - first.omega) != 0), None)
    return y, y * _reduction(eq, y) if other is None else _exponential(eq, other)


def _exponential(eq: Equation, family: RiccatiSolution) -> sp.Expr:
    """P exp(int theta)."""
    return family.polynomial * antiderivative(*fraction_of(family.theta, eq.x, eq.field)).exponential()


def _reduction(eq: Equation, y: sp.Expr) -> sp.Expr:
    """int dx/y^2, written out where 1/y^2 is rational."""
    square = sp.powsimp(sp.expand_power_base(1 / y**2, force=True), force=True)
    if square.is_rational_function(eq.x):
        return antiderivative(*fraction_of(square, eq.x, eq.field)).expression()
    return sp.Integral(square, eq.x)


def torus(eq: Equation, f: sp.Expr) -> Pair:
    """P exp(int theta) over the field with c, or sqrt(F) exp(+-c/2 int dx/F), c^2 = F'^2 - 2 F F'' + 4 r F^2."""
    slope = sp.diff(f, eq.x)
    c = sp.sqrt(sp.cancel(slope**2 - 2 * f * sp.diff(slope, eq.x) + 4 * eq.r * f**2))
    larger = extend(eq, c)
    pair = [_exponential(larger, s) for s in islice(family_solutions(larger, local_data(larger)), 2)]
    if len(pair) == 2:
        return pair[0], pair[1]
    return _both(sp.sqrt(f), antiderivative(*reversed(fraction_of(f, eq.x, eq.field))), c / 2)


def _both(front: sp.Expr, inside: Antiderivative, factor: sp.Expr) -> Pair:
    """front exp(+-factor inside)."""

    def one(c: sp.Expr) -> sp.Expr:
        logs = tuple((f, sp.radsimp(sp.expand(weight * c))) for f, weight in inside.logs)
        return front * Antiderivative(c * inside.rational, logs, c * inside.rest).exponential()

    return one(factor), one(-factor)


def imprimitive(eq: Equation, f: sp.Expr) -> Pair:
    """F^(1/4) exp(+-C/2 int dx/sqrt F) with C^2 = F (4 r - 2 g' - g^2), g = F'/(2F)."""
    x = eq.x
    g = sp.diff(f, x) / (2 * f)
    point = next(c for c in range(2, 1000) if all(sp.sympify(e).subs(x, c) != 0 for e in (f, eq.den.as_expr())))
    constant = sp.radsimp((f * (4 * eq.r - 2 * sp.diff(g, x) - g**2)).subs(x, point))
    return _both(f ** sp.Rational(1, 4), _inverse_root(f, x), sp.sqrt(constant) / 2)


def _inverse_root(f: sp.Expr, x: sp.Symbol) -> Antiderivative:
    """int dx/sqrt F: closed where F is a square times a polynomial of degree 1 or 2 with a rational parametrization."""
    left = Antiderivative(sp.Integer(0), (), sp.Integral(1 / sp.sqrt(f), x))
    top, bottom = sp.fraction(sp.together(f))
    if not (top.is_polynomial(x) and all(c.is_Rational for c in sp.Poly(top * bottom, x).coeffs())):
        return left
    content, factors = sp.factor_list(top * bottom, x)
    q = sp.Mul(*(g for g, e in factors if e % 2))
    t = sp.Dummy("t")
    found = _rational_points(sp.Poly(q, x), t)
    if found is None:
        return left
    image, root, back = found
    outside = sp.Mul(*(g ** (e // 2) for g, e in factors)) / bottom
    # sqrt F = sqrt(content) outside root, with x = image(t), root = sqrt q, t = back(x)
    integrand = sp.diff(image, t) / (outside.subs(x, image) * root)
    part = antiderivative(*fraction_of(integrand, t, sp.QQ))
    scale = sp.sqrt(content)
    logs = tuple((g.subs(t, back), c / scale) for g, c in part.logs)
    return Antiderivative(part.rational.subs(t, back) / scale, logs, part.rest.subs(t, back) / scale)


def _rational_points(q: sp.Poly, t: sp.Symbol) -> tuple[sp.Expr, sp.Expr, sp.Expr] | None:
    """x and sqrt q as rational functions of t, and t as a function of x, for q of degree 1 or 2."""
    x, root = q.gen, sp.sqrt(q.as_expr())
    if q.degree() == 1:
        a, b = q.all_coeffs()
        return (t**2 - b) / a, t, root
    if q.degree() != 2:
        return None
    a, b, c = q.all_coeffs()
    zeros = [z for z in sp.roots(q, multiple=True) if z.is_Rational]
    if zeros:
        first, second = zeros
        image = (t**2 * second - a * first) / (t**2 - a)
        return image, sp.cancel((image - second) * t), root / (x - second)
    if sp.sqrt(a).is_Rational:
        image = (t**2 - c) / (b + 2 * sp.sqrt(a) * t)
        return image, sp.cancel(t - sp.sqrt(a) * image), root + sp.sqrt(a) * x
    return None


@dataclass(frozen=True)
class Antiderivative:
    """int w = rational + sum_k weight_k log(base_k) + rest; `rest` holds sums over roots of higher degree."""

    rational: sp.Expr
    logs: tuple[tuple[sp.Expr, sp.Expr], ...]
    rest: sp.Expr

    def expression(self) -> sp.Expr:
        """The antiderivative."""
        return self.rational + sp.Add(*(c * sp.log(f) for f, c in self.logs)) + self.rest

    def exponential(self) -> sp.Expr:
        """exp of the antiderivative: powers instead of exponentials of logarithms."""
        return sp.Mul(*(f**c for f, c in self.logs)) * sp.exp(sp.expand(self.rational + self.rest))


def antiderivative(num: sp.Poly, den: sp.Poly) -> Antiderivative:
    """Integrate num/den over its field by Hermite's reduction: Bronstein, Symbolic Integration I, 2.2 and 2.4."""
    x = den.gen
    whole, rest = num.div(den)
    rational = whole.integrate().as_expr()
    logs: list[tuple[sp.Expr, sp.Expr]] = []
    sums = sp.Integer(0)
    for factor, e in den.factor_list()[1]:
        f = factor.monic()
        power = f**e
        part = (rest * den.quo(power).invert(power)).rem(power)
        for k in range(e, 1, -1):
            # part / f^k with part = s f + t f': -t / ((k-1) f^(k-1)) + int (s + t'/(k-1)) / f^(k-1)
            t = (part * f.diff().invert(f)).rem(f)
            s = (part - t * f.diff()).quo(f)
            rational += -t.as_expr() / ((k - 1) * f.as_expr() ** (k - 1))
            part = s + t.diff().mul_ground(den.domain.one / den.domain(k - 1))
        more, left = _logarithms(part, f, x)
        logs += more
        sums += left
    return Antiderivative(rational, tuple(logs), sums)


def _logarithms(part: sp.Poly, f: sp.Poly, x: sp.Symbol) -> tuple[list[tuple[sp.Expr, sp.Expr]], sp.Expr]:
    """part/f as logarithms: of f itself when all residues agree, of linear factors up to degree 2."""
    residue = (part * f.diff().invert(f)).rem(f)
    if residue.is_zero:
        return [], sp.Integer(0)
    if residue.degree() <= 0:
        return [(f.as_expr(), residue.as_expr())], sp.Integer(0)
    if f.degree() == 2:
        roots = sp.roots(f.as_expr(), x, multiple=True)
        return [(x - c, sp.radsimp(sp.expand(residue.as_expr().subs(x, c)))) for c in roots], sp.Integer(0)
    c = sp.Dummy("c")
    body = sp.Lambda(c, residue.as_expr().subs(x, c) * sp.log(x - c))
    return [], sp.RootSum(f.as_expr(), body, x=x, auto=False) if f.domain.is_QQ else sp.Integral(
        part.as_expr() / f.as_expr(), x
    )


# exponent differences at 0, 1 and infinity of the standard equation, by the degree of the rational invariant
STANDARD = {m: (sp.Rational(1, 3), sp.Rational(1, 2), sp.Rational(1, k)) for m, k in ((6, 4), (8, 4), (12, 5))}


def algebraic(eq: Equation, m: int, s: sp.Expr) -> Pair:
    """y = Y(s)/sqrt(s') with Y = 2F1 of the standard equation near s = 0; both are algebraic functions of x."""
    first, second, third = STANDARD[m]

    def one(ell: sp.Expr) -> sp.Expr:
        a, b = ((1 - ell - second + sign * third) / 2 for sign in (-1, 1))
        front = s ** ((1 - ell) / 2) * (1 - s) ** ((1 - second) / 2) / sp.sqrt(sp.factor(sp.diff(s, eq.x)))
        return front * sp.hyper((a, b), (1 - ell,), s)

    return one(first), one(-first)


def pullback(eq: Equation, m: int, invariant: sp.Expr) -> sp.Expr | None:
    """s = c H^3/F^4 (m = 6), c F^3/H^2 (8) or c H^3/F^5 (12) with F the invariant of degree m, H its Hessian: Klein.

    Source: Klein, Vorlesungen ueber das Ikosaeder (1884), I.2; van Hoeij and Weil, Solving second order
    linear differential equations with Klein's theorem (2005).
    """
    x, f = eq.x, invariant
    first = sp.diff(f, x)
    hessian = m * f * sp.diff(first, x) - m**2 * eq.r * f**2 - (m - 1) * first**2
    by_hessian, by_invariant = {6: (3, -4), 8: (-2, 3), 12: (3, -5)}[m]
    top, bottom = fraction_of(sp.together(hessian) ** by_hessian * f**by_invariant, x, eq.field)
    scale = _scale(eq, top, bottom, STANDARD[m])
    if scale is None or not _verified(eq, top.mul_ground(eq.field.convert(scale)), bottom, STANDARD[m]):
        return None
    return sp.factor(scale * top.as_expr() / bottom.as_expr())


def _parts(top: sp.Poly, bottom: sp.Poly) -> tuple[sp.Poly, sp.Poly, sp.Poly]:
    """For s = top/bottom: s' = a/bottom^2, and the Schwarzian derivative as a fraction."""
    a = top.diff() * bottom - top * bottom.diff()
    # s''/s' = a'/a - 2 bottom'/bottom = u/v, Schwarzian = (u/v)' - (u/v)^2/2
    u, v = (a.diff() * bottom - 2 * a * bottom.diff()).cancel(a * bottom, include=True)
    return a, 2 * (u.diff() * v - u * v.diff()) - u**2, 2 * v**2


def _standard(t: sp.Poly, d: sp.Poly, differences: tuple[sp.Expr, ...]) -> sp.Poly:
    """4 t^2 d^2 / b^2 h(t/b) with d = t - b and h the r of the standard equation."""
    ell, m, n = (v**2 for v in differences)
    return (ell - 1) * d**2 + (m - 1) * t**2 + (1 - ell - m + n) * t * d


def _scale(eq: Equation, top: sp.Poly, bottom: sp.Poly, differences: tuple[sp.Expr, ...]) -> sp.Expr | None:
    """The constant c for which c top/bottom may be the pullback: common root of three quadratic equations."""
    c = sp.Dummy("c")
    a, schwarz, below = _parts(top, bottom)
    common = sp.Poly(0, c, domain=eq.field)
    never_zero = (top, bottom, a, below, eq.den)
    for point in islice((k for k in count(3) if all(p.eval(k) != 0 for p in never_zero)), 3):
        # c^2 s^2 h(c s) (s'/s)^2 = r + schwarz/2, with s = top/bottom at the point
        values = (sp.sympify(p.eval(point)) for p in (*never_zero, eq.num, schwarz))
        t, b, d, w, den, num, sch = (eq.field.from_sympy(v) for v in values)
        right = (num / den + sch / (w * eq.field(2))) * (t * b / d) ** 2 * eq.field(4)
        scaled, less = (sp.Poly.from_list([t / b, eq.field(k)], c, domain=eq.field) for k in (0, -1))
        common = common.gcd(_standard(scaled, less, differences) - (less**2).mul_ground(right))
    roots = [q.monic() for q, _ in common.factor_list()[1] if q.degree() == 1] if common.degree() > 0 else []
    return -roots[0].eval(0) if roots else None


def _verified(eq: Equation, top: sp.Poly, bottom: sp.Poly, differences: tuple[sp.Expr, ...]) -> bool:
    """h(s) s'^2 - Schwarzian/2 = r, exactly."""
    a, schwarz, below = _parts(top, bottom)
    d = top - bottom
    # s = t/b: h(s) s'^2 = a^2 ((l-1) d^2 + (m-1) t^2 + x t d) / (4 t^2 d^2 b^2)
    upper = a**2 * _standard(top, d, differences)
    left_num, left_den = upper.cancel(4 * top**2 * d**2 * bottom**2, include=True)
    num = left_num * below * 2 - schwarz * left_den
    den = left_den * below * 2
    return bool((num * eq.den - eq.num * den).is_zero)
