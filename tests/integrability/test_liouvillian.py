"""Kovacic's problem: every equation of the test list, with the expected solutions."""

import pytest
from sympy import I, Poly, Rational, cancel, diff, exp, oo, simplify, sqrt, symbols, sympify

from integrability._lists import (
    EXPECTED,
    ICOSA,
    OCTA,
    TETRA,
    TETRA_SQUARED,
    X,
    tanh_normal_form,
)
from maxslope.integrability import liouvillian, local_data, log_obstruction
from maxslope.integrability.kovacic import W, verify_algebraic, verify_riccati
from maxslope.integrability.ode import equation
from maxslope.integrability.symmetric import invariants, symmetric_power
from maxslope.integrability.variational import pull_back


@pytest.mark.parametrize(("r", "case", "n"), EXPECTED)
def test_case_and_degree(r: str, case: int, n: int | None) -> None:
    found = liouvillian(r, X)
    assert (found.case, found.n) == (case, n)
    assert found.solvable is (case != 4)
    assert found.verify()


@pytest.mark.parametrize(
    ("n", "polynomial", "theta"),
    [
        (-3, "x**2+1", "x/2"),
        (-2, "x", "x/2"),
        (-1, "1", "x/2"),
        (0, "1", "-x/2"),
        (1, "x", "-x/2"),
        (2, "x**2-1", "-x/2"),
        (3, "x**3-3*x", "-x/2"),
    ],
)
def test_hermite_polynomials(n: int, polynomial: str, theta: str) -> None:
    found = liouvillian(X**2 / 4 - Rational(1, 2) - n)
    assert found.polynomial == sympify(polynomial)
    assert found.theta == sympify(theta)


@pytest.mark.parametrize(
    ("r", "m", "invariant"),
    [
        ("1/x - 3/(16*x**2)", 4, "x"),
        (TETRA, 6, "x**2*(x-1)**2"),
        (OCTA, 8, "x**2*(x-1)**3"),
        (ICOSA, 12, "x**3*(x-1)**4"),
        (TETRA_SQUARED, 6, "x*(x**2-1)**2"),
    ],
)
def test_invariants(r: str, m: int, invariant: str) -> None:
    found = liouvillian(r)
    assert found.invariant is not None
    degree, value = found.invariant
    assert degree == m
    assert cancel(value / sympify(invariant)).is_number


@pytest.mark.parametrize(("r", "case", "n"), [e for e in EXPECTED if e[1] == 1])
def test_case_one_solutions_satisfy_the_equation(r: str, case: int, n: int) -> None:
    """Differentiate exp(int w) itself, not the Riccati identity."""
    y = liouvillian(r, X).solution()
    assert simplify((diff(y, X, 2) - sympify(r) * y) / y) == 0


def test_case_two_solution_satisfies_the_equation() -> None:
    r = sympify("1/x - 3/(16*x**2)")
    t = symbols("t", positive=True)  # x = t^2 resolves the root
    y = liouvillian(r).solution()
    w = (diff(y, X) / y).subs(X, t**2)
    assert simplify(diff(w, t) / (2 * t) + w**2 - r.subs(X, t**2)) == 0


def test_no_solution_has_no_formula() -> None:
    assert liouvillian("x").solution() is None
    assert liouvillian(ICOSA).solution() is not None


@pytest.mark.parametrize(
    ("y", "degree"), [("3/2", 1), ("8/3", 1), ("21/10", 1), ("5/6", 1), ("15/56", 1), ("2", 2), ("1", 2), ("0", 1)]
)
def test_tanh_normal_forms_have_no_solution(y: str, degree: int) -> None:
    """Rational poles, quadratic poles (y = 1, 2) and irregular ones (y = 0)."""
    found = liouvillian(tanh_normal_form(y))
    assert found.case == 4
    assert max(f.degree() for f, _ in found.equation.factors) == degree


@pytest.mark.parametrize("y", ["1/2", "1/3"])
def test_tanh_between_the_listed_targets(y: str) -> None:
    assert liouvillian(tanh_normal_form(y)).case == 4


def test_tanh_local_data() -> None:
    """y = 3/2: exponents of the page, at every pole."""
    found = local_data(equation(tanh_normal_form("3/2")))
    got = {None if p.factor is None else -p.factor.eval(0): tuple(sorted(p.exponents(), reverse=True)) for p in found}
    q = Rational
    assert got == {
        2: (q(17, 15), q(-2, 15)),
        1: (q(7, 12), q(5, 12)),
        -1: (q(11, 12), q(1, 12)),
        q(-1, 2): (q(13, 15), q(2, 15)),
        0: (q(3), q(-2)),
        None: (q(3, 2), q(-1, 2)),
    }


@pytest.mark.parametrize(("m", "degree"), [(4, 6), (6, 9), (8, 12), (12, 24)])
def test_tanh_symmetric_powers(m: int, degree: int) -> None:
    eq = equation(tanh_normal_form("3/2"))
    power = symmetric_power(local_data(eq), m)
    assert power.degree == degree
    assert invariants(eq, local_data(eq), m) == []


def test_log_obstruction_for_every_target() -> None:
    """Theorem A: -3 at infinity and 0 at C = 0, with y left symbolic."""
    y = symbols("y")
    r = tanh_normal_form(y)
    assert log_obstruction(r, X, oo) == -3
    assert log_obstruction(r, X, 0) == 0


def test_log_obstruction_of_known_equations() -> None:
    assert log_obstruction(2 / X**2, X, 0) == 0
    assert log_obstruction(1 / X, X, 0) != 0
    with pytest.raises(ValueError, match="positive integer"):
        log_obstruction(1 / (3 * X**2), X, 0)


def test_irrational_exponents_over_conjugate_poles() -> None:
    """Exponents 1 +- 1/sqrt(5) at the golden ratio and its conjugate (tanh, y = 1)."""
    eq = equation(tanh_normal_form("1"))
    quadratic = next(p for p in local_data(eq) if p.degree == 2)
    assert quadratic.difference() is None
    root = quadratic.root()
    assert root is not None
    assert root * root == quadratic.discriminant


def test_solution_over_conjugate_poles() -> None:
    """y = (x^2 - 2)^(1/3) exp(x): the logarithmic derivative has its poles at +-sqrt 2."""
    w = 2 * X / (3 * (X**2 - 2)) + 1
    found = liouvillian(cancel(diff(w, X) + w**2))
    assert found.case == 1
    assert cancel(found.omega - w) == 0


def test_two_solutions_over_a_square_root() -> None:
    """y = exp(+-sqrt(2) x): rational coefficients, w = +-sqrt 2; and (1+x^2)^(1/2 +- i sqrt 2/..)."""
    found = liouvillian("2", X)
    assert cancel(found.omega**2) == 2
    conjugate = liouvillian("-5/(4*(x**2+1)**2) - 1/(x**2+1)**2")
    assert conjugate.verify()
    assert conjugate.case == 1


def test_coefficients_in_a_number_field() -> None:
    """(x + sqrt 3)^a and a Gaussian coefficient."""
    w = sqrt(3) / X + 1 / (X - sqrt(3))
    assert liouvillian(cancel(diff(w, X) + w**2)).case == 1
    assert liouvillian(I * X).case == 4
    assert liouvillian(-1 + 0 * X, X).case == 1


@pytest.mark.slow
def test_quaternion_group() -> None:
    """Exponent differences 1/2, 1/2, 1/2: invariants of degree four form a plane."""
    found = liouvillian("-3/(16*x**2) - 3/(16*(x-1)**2) + 3/(16*x*(x-1))")
    assert found.case == 2
    assert found.verify()
    moved = liouvillian(pull_back(found.equation.r, X, (2 * X + 5) / (X - 7), X))
    assert (moved.case, Poly(moved.minimal, W).degree()) == (2, 2)


def test_quaternion_group_with_conjugate_squares() -> None:
    """Poles at the cube roots of 2: the three squares are conjugate, a quartic is returned."""
    found = liouvillian("-27*x/(8*(x**3-2)**2)")
    assert (found.case, Poly(found.minimal, W).degree()) == (2, 4)
    assert found.verify()


def test_verification_refuses_wrong_answers() -> None:
    eq = equation("x**2/4 - 3/2")
    assert verify_riccati(eq, 1 / X - X / 2)
    assert not verify_riccati(eq, 1 / X + X / 2)
    assert not verify_riccati(eq, None)
    good = liouvillian(TETRA)
    assert not verify_algebraic(good.equation, good.minimal + W)
    assert not verify_algebraic(good.equation, X)
    assert not verify_algebraic(good.equation, None)


@pytest.mark.parametrize(
    ("r", "message"),
    [("0.5*x", "exact"), ("a*x", "one variable"), (exp(X), "rational function"), ("pi*x", "algebraic")],
)
def test_misuse(r: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        liouvillian(r, X)
