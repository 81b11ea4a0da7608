"""exp(int w) for a rational w, term by term: partial fractions with known factors, Hermite reduction, logarithms."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp


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
        """exp of the antiderivative: powers instead of exponentials of logarithms.

        >>> x = sp.Symbol("x")
        >>> antiderivative(sp.Poly(1, x, domain="QQ"), sp.Poly(2*x, x, domain="QQ")).exponential()
        sqrt(x)
        """
        return sp.Mul(*(f**c for f, c in self.logs)) * sp.exp(sp.expand(self.rational + self.rest))


def antiderivative(num: sp.Poly, den: sp.Poly) -> Antiderivative:
    """Integrate num/den over its field of coefficients.

    Every irreducible factor f of the denominator gives a part A/f^e by one inverse modulo f^e, Hermite's
    reduction lowers e to 1, and a/f is sum a(c)/f'(c) log(x - c) over the roots c of f.

    Source: Bronstein, Symbolic Integration I, sections 2.2 and 2.4.
    """
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
