"""Solutions written out: substituted numerically into their equation, both of them, and independent."""

from time import process_time

import mpmath
import pytest
from sympy import QQ, Expr, Integral, Rational, Symbol, cancel, diff, exp, hyper, lambdify, sqrt, sympify

from integrability._lists import EXPECTED, FINITE, TWOS, X, hypergeometric
from integrability._oracles import hypergeometric as standard
from maxslope.integrability import certificate, lean, liouvillian, pull_back
from maxslope.integrability.ode import fraction_of
from maxslope.integrability.solutions import STANDARD, antiderivative, pullback

SOLVABLE = [(r, case) for r, case, _ in EXPECTED if case != 4]
POINT = mpmath.mpc("1.9", "0.3")


def derivatives(y: Expr, x: Symbol) -> list:
    """y, y' and y'' at a point, to 40 digits; the one integral counts as any number, since its constant is free."""
    if not y.has(Integral):
        f = lambdify(x, y, "mpmath")
        return [mpmath.diff(f, POINT, k) for k in range(3)]
    rows = [diff(y, x, k) for k in range(3)]
    return [lambdify(x, row.replace(Integral, lambda *_: Rational(2, 3)), "mpmath")(POINT) for row in rows]


def check_pair(pair: tuple[Expr, Expr], r: Expr, x: Symbol) -> None:
    """Both satisfy y'' = r y to 15 digits, and they are independent."""
    with mpmath.workdps(40):
        target = lambdify(x, r, "mpmath")(POINT)
        slopes = []
        for y in pair:
            value, first, second = derivatives(y, x)
            assert abs(second - target * value) < 1e-15 * (abs(second) + abs(value))
            slopes.append(first / value)
        assert abs(slopes[0] - slopes[1]) > 1e-10


@pytest.mark.parametrize(("r", "case"), SOLVABLE)
def test_both_solutions(r: str, case: int) -> None:
    found = liouvillian(r, X)
    pair = found.solutions()
    assert pair is not None
    assert found.solution() == pair[0]
    check_pair(pair, found.equation.r, X)


def test_no_solutions_in_case_4() -> None:
    assert liouvillian("x").solutions() is None
    assert liouvillian("x").solution() is None


@pytest.mark.slow
def test_eight_simple_poles_are_integrated_term_by_term() -> None:
    """The fault found from outside: `solution()` hung here."""
    omega = sum(Rational(k + 1, 7 + k) / (X - k) for k in range(8))
    r = cancel(diff(omega, X) + omega**2)
    found = liouvillian(r)
    start = process_time()
    y = found.solution()
    assert process_time() - start < 3
    assert cancel(diff(y, X) / y - omega) == 0


@pytest.mark.parametrize(
    "omega",
    [
        "1/(x**2 - 2)",
        "x/(x**2 + 1)**3 + 2*x",
        "(3*x + 1)/(x**2 + x + 1) + 5/x**3",
        "x/(x**3 - x - 1)",
        "1/(x**4 + 1)**2",
        "1/2",
    ],
)
def test_antiderivatives(omega: str) -> None:
    w = sympify(omega)
    found = antiderivative(*fraction_of(w, X, QQ))
    for expr in (diff(found.expression(), X), diff(found.exponential(), X) / found.exponential()):
        assert abs(complex((expr.doit() - w).subs(X, Rational(7, 3)).evalf(20))) < 1e-15


QUATERNIONS = {"plain": X, "cubic": X**3 - 3 * X, "Joukowski": (X**2 + 1) / (2 * X), "quadratic": X**2 / (X - 1)}


@pytest.mark.parametrize("name", QUATERNIONS)
def test_quaternion_groups_take_no_time(name: str) -> None:
    """The fault found from outside: 2.6 to 15.6 s (the cubic pullback took 97 s), others a tenth."""
    x = Symbol("t")
    r = pull_back(sympify(hypergeometric("1/2 1/2 1/2")).subs(X, x), x, QUATERNIONS[name], X)
    start = process_time()
    found = liouvillian(r)
    assert process_time() - start < 2.5
    assert (found.case, found.n) == (2, 2)
    check_pair(found.solutions(), found.equation.r, X)


def test_a_quaternion_group_without_rational_squares() -> None:
    """Three conjugate poles: no square of the pencil is rational, and the solutions have a CRootOf."""
    f = X**3 - X - 1
    r = cancel(Rational(-3, 16) * (diff(f, X) / f) ** 2 + Rational(3, 8) * X / f)
    found = liouvillian(r)
    assert found.case in (2, 4)
    if found.case == 2:
        check_pair(found.solutions(), r, X)


def test_dihedral_solutions_without_integrals() -> None:
    first, second = liouvillian(TWOS[0]).solutions()
    assert not first.has(Integral)
    assert cancel(first * second / sqrt(X)) == 1


def test_second_solution_by_reduction_of_order() -> None:
    """One invariant line: exp(-x^2/4) int exp(x^2/2)."""
    first, second = liouvillian("x**2/4 - 1/2").solutions()
    assert first == exp(-(X**2) / 4)
    assert second == first * Integral(exp(X**2 / 2), X)


def test_rational_reduction_is_written_out() -> None:
    """1 and x for r = 0; logarithms where 1/y^2 has residues."""
    assert set(liouvillian("0", X).solutions()) == {1 + 0 * X, X}
    found = liouvillian("(2*x**2 - 2*x)/(x**2*(x-1)**2)", X)
    check_pair(found.solutions(), found.equation.r, X)


@pytest.mark.parametrize(("r", "n"), FINITE[:4])
def test_case_3_is_explicit(r: str, n: int) -> None:
    """Klein: the equation is the pullback of a standard one, verified here by sympy's own arithmetic."""
    found = liouvillian(r, X)
    m, invariant = found.invariant
    image = pullback(found.equation, m, invariant)
    s = Symbol("s")
    assert found.n == n
    assert cancel(pull_back(standard(*STANDARD[m], s), s, image, X) - found.equation.r) == 0
    assert all(y.has(hyper) for y in found.solutions())


def test_lean_text_states_true_facts() -> None:
    """No Lean is installed here: every example is evaluated by sympy's arithmetic instead."""
    for r in ("x**2/4 - 5/2", "1/x - 3/(16*x**2)", "1/(4*x**2*(x-1))", "3/(16*x**2) + 1/(x-2)**2 + 7/x"):
        lines = [row for row in lean(certificate(liouvillian(r))).splitlines() if row.startswith("example")]
        assert lines
        for row in lines:
            statement = row.partition(" : ")[2].rpartition(" := by")[0].replace("^", "**").replace(": Int", "")
            statement = statement.replace("Rat) : ", "")
            left, right = (part.replace("x", "(x)") for part in statement.split(" = "))
            assert cancel(sympify(left) - sympify(right)) == 0, row


def test_lean_refuses_what_it_does_not_write() -> None:
    with pytest.raises(ValueError, match="larger field"):
        lean(certificate(liouvillian("sqrt(2)*x")))
    with pytest.raises(ValueError, match="characters"):
        lean(certificate(liouvillian(FINITE[2][0])))
