"""u'' + p u' + q u = 0: through the normal form, with the solutions mapped back; a hook for sympy's dsolve."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sympy as sp
from sympy.solvers.ode import ode as sympy_ode
from sympy.solvers.ode.single import SingleODESolver

from maxslope.integrability.exact import exact
from maxslope.integrability.kovacic import Liouvillian, latex_answer, liouvillian
from maxslope.integrability.ode import equation
from maxslope.integrability.solutions import antiderivative
from maxslope.integrability.variational import normal_form


@dataclass(frozen=True)
class SecondOrder:
    """u'' + p u' + q u = 0 with u = y gauge, gauge = exp(-1/2 int p), and the answer for y'' = r y in `normal`."""

    p: sp.Expr
    q: sp.Expr
    gauge: sp.Expr
    normal: Liouvillian

    @property
    def solvable(self) -> bool:
        """Whether there are Liouvillian solutions: multiplication by the gauge keeps them."""
        return self.normal.solvable

    def solutions(self) -> tuple[sp.Expr, sp.Expr] | None:
        """Two independent Liouvillian solutions u, or None."""
        pair = self.normal.solutions()
        if pair is None:
            return None
        first, second = (sp.powsimp(y * self.gauge) for y in pair)
        return first, second

    def latex(self) -> str:
        """The equation, its group and its solutions as LaTeX."""
        head = rf"u'' + \left({sp.latex(self.p)}\right) u' + \left({sp.latex(self.q)}\right) u = 0"
        return latex_answer(head, "u", self.normal, self.solutions())


def second_order(p: Any, q: Any, x: sp.Symbol | None = None) -> SecondOrder:
    r"""Decide whether $u'' + p\,u' + q\,u = 0$ has Liouvillian solutions, and find them.

    Args:
        p: rational function with rational or algebraic coefficients (expression or string).
        q: the same.
        x: the variable; needed only when p and q are constant.

    Raises:
        ValueError: if p or q is not an exact rational function of one variable.

    Source: Kovacic, J. Symbolic Computation 2 (1986), section 1.

    >>> second_order("2/x", 1).solutions()  # spherical Bessel functions of order 0
    (exp(I*x)/x, exp(-I*x)/x)
    """
    named = {} if x is None else {str(x): x}
    first, second = exact(p, "p", named), exact(q, "q", named)
    free = sorted((first.free_symbols | second.free_symbols), key=str)
    if len(free) > 1:
        raise ValueError(f"p and q must have one variable; got the symbols {free}. Substitute numbers for parameters.")
    x = x or (free[0] if free else sp.Symbol("x"))
    fraction = equation(first, x)  # says what is wrong with p
    equation(second, x)
    half = fraction.num.mul_ground(fraction.field(-1) / fraction.field(2))
    gauge = antiderivative(half, fraction.den).exponential()
    return SecondOrder(first, second, gauge, liouvillian(normal_form(first, second, x), x))


class Kovacic(SingleODESolver):  # type: ignore[misc]
    """Sympy's solver of the hint "kovacic": linear, homogeneous, of second order, with rational coefficients."""

    hint = "kovacic"
    has_integral = False
    order = (2,)
    found: tuple[sp.Expr, sp.Expr] | None = None

    def _matches(self) -> bool:
        problem = self.ode_problem
        terms = problem.get_linear_coefficients(problem.eq_expanded, problem.func, 2)
        if terms is None or terms[-1] != 0 or terms[2] == 0:
            return False
        try:
            p, q = (sp.cancel(terms[k] / terms[2]) for k in (1, 0))
            equation = second_order(p, q, problem.sym)
        except ValueError:
            return False
        self.found = equation.solutions()
        return self.found is not None

    def _get_general_solution(self, *, simplify_flag: bool = True) -> list[sp.Eq]:
        constants = self.ode_problem.get_numbered_constants(num=2)
        return [sp.Eq(self.ode_problem.func, sum(c * y for c, y in zip(constants, self.found or (), strict=True)))]


@contextmanager
def kovacic_hint() -> Iterator[None]:
    """Give sympy's `dsolve` the hint "kovacic" inside the block; sympy is as before afterwards.

    >>> x, u = sp.Symbol("x"), sp.Function("u")
    >>> with kovacic_hint():
    ...     sp.dsolve(u(x).diff(x, 2) + u(x).diff(x) * 2 / x + u(x), hint="kovacic")
    Eq(u(x), (C1*exp(-I*x) + C2*exp(I*x))/x)
    """
    before = sympy_ode.allhints, sp.solvers.ode.allhints
    sympy_ode.solver_map["kovacic"] = Kovacic
    sympy_ode.allhints = sp.solvers.ode.allhints = (*before[0], "kovacic")
    try:
        yield
    finally:
        sympy_ode.solver_map.pop("kovacic", None)
        sympy_ode.allhints, sp.solvers.ode.allhints = before
