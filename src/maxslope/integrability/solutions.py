"""Two independent solutions of y'' = r y written out, from what Kovacic's algorithm found."""

from __future__ import annotations

from itertools import islice

import sympy as sp

from maxslope.integrability.integrals import Antiderivative, antiderivative
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
    """sqrt(F) exp(+-c/2 int dx/F) with F the product of two solutions and c^2 = F'^2 - 2 F F'' + 4 r F^2.

    Over the field with c the two solutions are of the form P exp(int theta), and are written so.
    """
    slope = sp.diff(f, eq.x)
    c = sp.sqrt(sp.cancel(slope**2 - 2 * f * sp.diff(slope, eq.x) + 4 * eq.r * f**2))
    larger = extend(eq, c)
    pair = [_exponential(larger, s) for s in islice(family_solutions(larger, local_data(larger)), 2)]
    if len(pair) == 2:
        return pair[0], pair[1]
    inside = antiderivative(*reversed(fraction_of(f, eq.x, eq.field)))
    root = sp.sqrt(f)
    return root * _scaled(inside, c / 2).exponential(), root * _scaled(inside, -c / 2).exponential()


def _scaled(inside: Antiderivative, factor: sp.Expr) -> Antiderivative:
    logs = tuple((f, sp.radsimp(sp.expand(c * factor))) for f, c in inside.logs)
    return Antiderivative(factor * inside.rational, logs, factor * inside.rest)


def imprimitive(eq: Equation, f: sp.Expr) -> Pair:
    """F^(1/4) exp(+-C/2 int dx/sqrt F) with C^2 = F (4 r - 2 g' - g^2), g = F'/(2F)."""
    x = eq.x
    g = sp.diff(f, x) / (2 * f)
    point = next(c for c in range(2, 1000) if all(sp.sympify(e).subs(x, c) != 0 for e in (f, eq.den.as_expr())))
    constant = sp.radsimp((f * (4 * eq.r - 2 * sp.diff(g, x) - g**2)).subs(x, point))
    inside = _inverse_root(f, x)
    half, root = sp.sqrt(constant) / 2, f ** sp.Rational(1, 4)
    return root * _scaled(inside, half).exponential(), root * _scaled(inside, -half).exponential()


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
