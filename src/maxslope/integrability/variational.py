"""The normal variational equation along a curve and its reduction to y'' = r y."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from maxslope.integrability.curves import IntegralCurve, rational, vanishes
from maxslope.integrability.networks import NarrowNetwork, Plane
from maxslope.integrability.ode import field_of, fraction_of


@dataclass(frozen=True)
class NormalEquation:
    """Y' = M Y with M = -H_normal / v', u'' + p u' + q u = 0 for its first component, y'' = r y for its normal form.

    p, q and r are None where M is triangular: then the system is solved by quadratures.
    """

    variable: sp.Symbol
    speed: sp.Expr
    matrix: sp.Matrix
    p: sp.Expr | None
    q: sp.Expr | None
    r: sp.Expr | None


def eliminate(matrix: sp.Matrix, v: sp.Symbol) -> tuple[sp.Expr, sp.Expr]:
    """p = -(m11 + m22) - m12'/m12 and q = m11 m22 - m12 m21 - m11' + m11 m12'/m12 of u'' + p u' + q u = 0, u = Y_1."""
    m11, m12, m21, m22 = matrix
    if m12 == 0:
        raise ValueError("m12 must not vanish; the system is triangular and needs no elimination.")
    square = rational(m12**2, v, "m12^2")
    slope = sp.cancel(sp.diff(square, v) / (2 * square))
    first, second = (rational(m, v, "a diagonal entry") for m in (m11, m22))
    cross = rational(m12 * m21, v, "m12 m21")
    p = sp.cancel(-(first + second) - slope)
    q = sp.cancel(first * second - cross - sp.diff(first, v) + first * slope)
    return p, q


def normal_form(p: sp.Expr, q: sp.Expr, v: sp.Symbol) -> sp.Expr:
    """r = p^2/4 + p'/2 - q, in lowest terms."""
    expr = p**2 / 4 + sp.diff(p, v) / 2 - q
    if expr.free_symbols <= {v} and not field_of(expr).is_QQ:  # factoring over a number field takes seconds
        num, den = fraction_of(expr, v, field_of(expr))
        return num.as_expr() / den.as_expr()
    return sp.factor(sp.cancel(expr))


def normal_equation(network: NarrowNetwork, curve: IntegralCurve, plane: Plane) -> NormalEquation:
    """Derive the normal variational equation along a verified curve in an invariant plane.

    Args:
        network: the network, with n parameters.
        curve: an integral curve in the plane; it is verified.
        plane: an invariant plane of codimension 2.

    Raises:
        ValueError: if the curve leaves the plane or does not follow the gradient, if the
            mixed Hessian block does not vanish, or if an entry is not algebraic enough.

    Source: arXiv:0901.4586 (Ayoul and Zung) for the role of the equation.
    """
    if plane.normal.shape[1] != 2:
        raise ValueError(f"the plane must have codimension 2; got {plane.normal.shape[1]}.")
    if not plane.contains(curve.theta):
        raise ValueError(f"the curve must lie in the plane; got theta = {curve.theta}.")
    v = curve.variable
    speed = curve.speed(network)
    hessian = curve.on(network, network.hessian())
    mixed = plane.tangent.T * hessian * plane.normal
    if not all(vanishes(e) for e in mixed):
        raise ValueError(f"the mixed Hessian block must vanish on the plane; got {mixed}.")
    n = plane.normal
    matrix = -((n.T * n).inv() * n.T * hessian * n) / speed
    matrix = matrix.applyfunc(lambda e: _tidy(e, v))
    if matrix[0, 1] == 0 or matrix[1, 0] == 0:
        return NormalEquation(v, speed, matrix, None, None, None)
    p, q = eliminate(matrix, v)
    return NormalEquation(v, speed, matrix, p, q, normal_form(p, q, v))


def _tidy(expr: sp.Expr, v: sp.Symbol) -> sp.Expr:
    """A rational form where there is one, the expanded expression otherwise."""
    if expr.is_rational_function(v):
        return sp.cancel(sp.together(expr))
    return sp.simplify(sp.expand(expr))


def pull_back(r: sp.Expr, x: sp.Symbol, image: sp.Expr, v: sp.Symbol) -> sp.Expr:
    """Normal form of y'' = r(x) y after x = image(v): r(image) image'^2 - S(image)/2.

    S is the Schwarzian derivative. A change of variable by an algebraic function keeps the
    solvability of the identity component.

    >>> x, v = sp.symbols("x v")
    >>> pull_back(x, x, v**2, v)
    (16*v**6 + 3)/(4*v**2)
    """
    d1, d2, d3 = (sp.diff(image, v, k) for k in (1, 2, 3))
    schwarzian = d3 / d1 - sp.Rational(3, 2) * (d2 / d1) ** 2
    return sp.factor(sp.cancel(sp.together(r.subs(x, image) * d1**2 - schwarzian / 2)))
