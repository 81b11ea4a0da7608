"""u'' + p u' + q u = 0, sympy's hint, and families in one parameter, against closed forms and oracles."""

from fractions import Fraction

import mpmath
import pytest
from sympy import Function, Matrix, Rational, Symbol, cancel, dsolve, exp, lambdify, sqrt, symbols

import maxslope.integrability
from integrability._lists import X
from integrability._oracles import ZeroTarget, hypergeometric, kimura_solvable
from integrability.test_solutions import POINT, derivatives
from maxslope.integrability import kovacic_hint, liouvillian, parametric, second_order
from maxslope.integrability.variational import eliminate, normal_form

SOLVED = [
    ("2/x", "1"),  # spherical Bessel
    ("-2*x", "4"),  # Hermite, n = 2
    ("-2*x/(1 - x^2)", "6/(1 - x^2)"),  # Legendre, n = 2
    ("-x/(1 - x^2)", "9/(1 - x^2)"),  # Chebyshev, n = 3
    ("(1 - x)/x", "3/x"),  # Laguerre, n = 3
    ("1/x", "-4/x^2"),  # Euler
    ("1/x", "1 - 1/(4*x^2)"),  # Bessel, order 1/2
    ("0", "1/4/x - 0"),  # case 2 after a shift or none: decided below
    ("1/(2*x)", "-1/(4*x)"),  # exp(+-sqrt x)
    ("(3*x - 1)/(x^2 - 1)", "1/(x^2 - 1)"),
    ("sqrt(2)", "1"),
]


def check_linear(p: str, q: str) -> int:
    found = second_order(p, q, X)
    pair = found.solutions()
    assert (pair is None) == (not found.solvable)
    if pair is None:
        return 4
    with mpmath.workdps(40):
        numbers = [lambdify(X, e, "mpmath")(POINT) for e in (found.p, found.q)]
        slopes = []
        for u in pair:
            value, first, second = derivatives(u, X)
            rest = second + numbers[0] * first + numbers[1] * value
            assert abs(rest) < 1e-15 * (abs(second) + abs(first) + abs(value))
            slopes.append(first / value)
        assert abs(slopes[0] - slopes[1]) > 1e-10
    return found.normal.case


@pytest.mark.parametrize(("p", "q"), SOLVED)
def test_solutions_are_mapped_back(p: str, q: str) -> None:
    assert check_linear(p, q) in ((1, 2, 3) if q != "1/4/x - 0" else (4,))


def test_polynomial_solutions() -> None:
    """Hermite, Legendre and Laguerre: the polynomials come out up to a factor."""
    for p, q, expected in (
        ("-2*x", "4", 2 * X**2 - 1),
        ("-2*x/(1 - x^2)", "6/(1 - x^2)", 3 * X**2 - 1),
        ("(1 - x)/x", "2/x", X**2 - 4 * X + 2),
    ):
        ratios = [cancel(u / expected) for u in second_order(p, q).solutions()]
        assert any(r.is_number for r in ratios), ratios


def test_no_solutions() -> None:
    found = second_order("1/x", "1")  # Bessel, order 0
    assert not found.solvable
    assert found.solutions() is None
    assert "no Liouvillian" in found.latex()


def test_latex() -> None:
    text = second_order("2/x", 1).latex()
    assert r"u_{1}(x) = \frac{e^{i x}}{x}" in text
    assert "triangular" in text
    assert r"y_{1}(x)" in liouvillian("x^2/4 - 1/2").latex()


@pytest.mark.parametrize(
    ("p", "q", "message"),
    [
        ("0.5", "x", "float"),
        (0.5, "x", "exact"),
        ("sin(x)", "x", "rational"),
        ("a*x", "x", "one variable"),
        (None, "x", "exact"),
        ("x", "__import__('os')", "expression"),
        ("x", "x.real", "expression"),
        ("x", "9**9**9**9", "too large"),
        ("x", "1/0", "zero"),
        ("x", "(" * 5000, "expression"),
    ],
)
def test_misuse(p: object, q: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        second_order(p, q)


@pytest.mark.slow
def test_hint_of_sympy() -> None:
    """An equation that `dsolve` has no closed form for; and sympy as it was afterwards."""
    u = Function("u")
    eq = u(X).diff(X, 2) - 2 * X * u(X).diff(X) + 4 * u(X)
    with kovacic_hint():
        found = dsolve(eq, u(X), hint="kovacic")
        with pytest.raises((ValueError, NotImplementedError), match=r"kovacic|solve"):
            dsolve(u(X).diff(X, 2) - X * u(X), u(X), hint="kovacic")
    assert found.lhs == u(X)
    assert cancel((found.rhs.diff(X, 2) - 2 * X * found.rhs.diff(X) + 4 * found.rhs).subs({"C2": 0, "C1": 0})) == 0
    assert found.rhs.has(2 * X**2 - 1)
    with pytest.raises(ValueError, match="kovacic"):
        dsolve(eq, u(X), hint="kovacic")


# --- families in a parameter ------------------------------------------------------------------------------------------


def test_bessel_family() -> None:
    """Half an odd integer, and nothing else (Watson, section 4.74)."""
    nu = Symbol("nu")
    found = parametric("(4*nu**2 - 1)/(4*x**2) - 1", nu, X, samples=[0, 1, "1/3", "1/4"])
    assert set(found.solvable_at) == {Rational(n, 2) for n in (-5, -3, -1, 1, 3, 5)}
    for value in (Rational(p, q) for q in range(1, 5) for p in range(-6, 7)):
        assert not (found.excluded(value) and liouvillian(f"(4*({value})**2 - 1)/(4*x**2) - 1").solvable)
        assert found.excluded(value) == (value.q != 2)
    assert "Exact: case 1" in found.text()
    assert "Sampled (nu: case): 0: case 4" in found.text()


def test_hermite_family() -> None:
    """x^2/4 - 1/2 - n: every integer n."""
    n = Symbol("n")
    found = parametric("x**2/4 - 1/2 - n", n, X, samples=["1/3", "1/2"], largest=3)
    assert set(found.solvable_at) == set(range(-4, 4))
    assert found.excluded("1/2")


@pytest.mark.slow
def test_hypergeometric_family() -> None:
    """Differences (l, 1/3, 1/4) against Kimura's theorem on a grid: nothing solvable is excluded."""
    ell = Symbol("l")
    found = parametric(hypergeometric(ell, Rational(1, 3), Rational(1, 4), X), ell, X, largest=1)
    for value in found.decided:
        if value.is_Rational:
            assert found.decided[value].solvable == kimura_solvable(str(value), "1/3", "1/4")
    for value in (Fraction(p, q) for q in (1, 2, 3, 4, 5, 12) for p in range(-2 * q, 2 * q + 1)):
        if kimura_solvable(value, "1/3", "1/4"):
            assert not found.excluded(value)


def test_the_cubic_network_with_target_zero() -> None:
    """lambda^2 as a parameter: solvable at 1/(2 n) and 2/(3 (2n - 1)), the Whittaker condition of the network."""
    s, square = symbols("s square")
    entry = 270 * square**2 / (108 * square**3 * s)
    assert ZeroTarget(3, Fraction(2, 3)).matrix(s)[0, 0] == entry.subs(square, Rational(2, 3))
    bend, mixed, speed = 270 * square**2 * s**3, 18 * square * sqrt(s) ** 3, -108 * square**3 * s**4
    r = normal_form(*eliminate(-Matrix([[bend, mixed], [mixed, 2]]) / speed, s), s)
    found = parametric(r, square, s, samples=["1/3", 1], largest=0)
    expected = {Rational(1, 2), Rational(1, 4), Rational(2, 3), Rational(2, 9)}
    for value in expected:
        assert not found.excluded(value)
    for value in (Rational(1, 3), Rational(1), Rational(1, 5), Rational(3, 7)):
        assert found.excluded(value)
    assert all(v in found.sampled for v in (Rational(1, 3), Rational(1)))


@pytest.mark.parametrize(("a", "b"), [("0", "0"), ("1", "0"), ("-2", "1/4"), ("1/2", "-1")])
def test_conditions_are_necessary(a: str, b: str) -> None:
    """r = c/x^2 + a/x + b: nothing that has a solution is excluded."""
    c = Symbol("c")
    found = parametric(f"c/x**2 + ({a})/x + ({b})", c, X, largest=-1)
    for value in ("3/16", "0", "2", "-1/4", "1/3", "-3/16"):
        if found.excluded(value):
            assert not liouvillian(f"({value})/x**2 + ({a})/x + ({b})", X).solvable


@pytest.mark.parametrize(
    ("r", "message"),
    [("a*nu*x", "alone"), ("sin(nu)*x", "rational"), ("nu/(x**3 - x - nu)", "degree"), ("nu*0.5", "float")],
)
def test_misuse_of_families(r: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parametric(r, Symbol("nu"), X)


def test_star_import() -> None:
    """The fault found from outside: it gave nothing."""
    space: dict[str, object] = {}
    exec("from maxslope.integrability import *", space)
    assert set(maxslope.integrability.__all__) <= set(space)
    assert exp(0) == sqrt(1)
