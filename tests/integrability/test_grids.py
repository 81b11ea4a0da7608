"""Agreement with Kimura's and Whittaker's theorems on whole grids, without mismatch."""

from collections import Counter
from fractions import Fraction
from itertools import product

import pytest
from sympy import Rational, Symbol, cancel, sqrt, sympify

from integrability._lists import SCHWARZ, X
from integrability._oracles import ZeroTarget, hypergeometric, kimura_solvable, linear_bias_equation
from maxslope.integrability import NarrowNetwork, decide, liouvillian, monomial
from maxslope.integrability.networks import LINEAR
from maxslope.integrability.variational import eliminate, normal_form

VALUES = ("1", "3/2", "2", "3", "5")


@pytest.mark.slow
def test_kimura_grid() -> None:
    """100 linear networks with biases: 61 without solution, 38 in case 1, one tetrahedral."""
    cases: Counter[int] = Counter()
    mismatches = []
    for n, m2, y in product(range(2, 6), VALUES, VALUES):
        found = liouvillian(linear_bias_equation(n, m2, y, X))
        cases[found.case] += 1
        a, b, c = Fraction(n), Fraction(m2), Fraction(y)
        expected = kimura_solvable(
            abs(a / (2 * c) - Fraction(1, 2)), a / (2 * c) + a / (2 * b), a / (2 * b) + Fraction(1, 2)
        )
        if found.solvable != expected:
            mismatches.append((n, m2, y))
    assert mismatches == []
    assert cases == {4: 61, 1: 38, 3: 1}


@pytest.mark.parametrize(("n", "row"), [(n, row) for n, rows in SCHWARZ.items() for row in rows])
def test_kimura_on_schwarz_rows(n: int | None, row: str) -> None:
    assert kimura_solvable(*row.split()) is (n is not None)
    assert liouvillian(hypergeometric(*row.split(), X)).n == n


@pytest.mark.slow
def test_whittaker_grid() -> None:
    """k = 1, 3, 5 and lambda^2 = p/q up to 6: 69 equations, 11 solvable."""
    s = Symbol("s", positive=True)
    answers = []
    for k, square in product((1, 3, 5), sorted({Fraction(p, q) for p in range(1, 7) for q in range(1, 7)})):
        setting = ZeroTarget(k, square)
        found = liouvillian(normal_form(*eliminate(setting.matrix(s), s), s), s)
        answers.append((setting.solvable(), found.solvable))
    assert Counter(answers) == {(True, True): 11, (False, False): 58}


@pytest.mark.parametrize(("k", "square"), [(1, "1"), (3, "1"), (3, "2/9"), (5, "1"), (7, "1")])
def test_whittaker_matrix_comes_from_the_loss(k: int, square: str) -> None:
    x = sqrt(Rational(square))
    verdict = decide(NarrowNetwork(monomial(k), ((x, 0), (-x, 0))))
    s = verdict.curve.variable
    matrix = ZeroTarget(k, Fraction(square)).matrix(s)
    assert (verdict.normal.matrix - matrix).applyfunc(cancel).is_zero_matrix
    assert verdict.solvable == ZeroTarget(k, Fraction(square)).solvable()


def test_whittaker_identity() -> None:
    """The gamma-equation is W'' = (1/4 - K/x + (4 mu^2 - 1)/(4 x^2)) W at x = N t, 1/t = 2 k^(k+1) m_2k s^k."""
    from maxslope.integrability.variational import pull_back

    s = Symbol("s", positive=True)
    for k in (1, 3, 5, 7):
        setting = ZeroTarget(k, Fraction(1))
        matrix = setting.matrix(s)
        swapped = matrix.extract([1, 0], [1, 0])  # gamma first
        r = normal_form(*eliminate(swapped, s), s)
        a, b = (Rational(v.numerator, v.denominator) for v in setting.constants)
        kappa, mu = (a + Rational(1, 2)) / 2 - b, (a - Rational(1, 2)) / 2
        whittaker = Rational(1, 4) - kappa / X + (4 * mu**2 - 1) / (4 * X**2)
        image = 2 / (4 * k ** (k + 1) * s**k)
        assert cancel(pull_back(whittaker, X, image, s) - r) == 0


@pytest.mark.parametrize(
    ("data", "n", "m2", "y"),
    [
        (((1, 1), (-1, -1)), 2, 2, 2),
        (((1, "1/2"), (-1, "-1/2")), 2, 2, 1),
        (((1, 1), (-1, -1), (0, 0)), 3, 2, 2),
        (((1, 1), (-1, -1), (2, 1), (-2, -1)), 4, 10, 6),
    ],
)
def test_linear_equation_comes_from_the_loss(data: tuple, n: int, m2: int, y: int) -> None:
    verdict = decide(NarrowNetwork(LINEAR, data))
    assert cancel(verdict.normal.r - linear_bias_equation(n, m2, y, verdict.curve.variable)) == 0


@pytest.mark.parametrize(
    ("setting", "case", "omega"),
    [
        ((2, 2, 2), 4, None),
        ((2, 2, 1), 1, "-1/(4*x*(2*x-1))"),
        ((3, 2, 2), 1, "(x-3)/(8*x*(x-1)) + 1/(x-3)"),
        ((5, 7, 3), 4, None),
    ],
)
def test_linear_examples(setting: tuple, case: int, omega: str | None) -> None:
    found = liouvillian(linear_bias_equation(*setting, X))
    assert found.case == case
    if omega is not None:
        assert cancel(found.omega - sympify(omega)) == 0


def test_linear_tetrahedral_resonance() -> None:
    found = liouvillian(linear_bias_equation(5, 3, 3, X))
    assert (found.case, found.n) == (3, 4)
    degree, invariant = found.invariant
    expected = sympify(
        "x**2*(64*x**7-1120*x**6+8190*x**5-32095*x**4+70560*x**3-79282*x**2+26250*x+15625)/(64*(x-1)**2)"
    )
    assert degree == 6
    assert cancel(invariant / expected).is_number


@pytest.mark.parametrize(
    ("square", "polynomial", "theta"),
    [
        ("1/2", "x**3-8/189", "(81*x**3-8)/(108*x**4)"),
        ("2/3", "1", "(100*x**3+1)/(32*x**4)"),
        ("1/4", "x**6-128*x**3/459+4096/136323", None),
        ("2/9", "x**3+9/52", None),
        ("1/3", None, None),
        ("1", None, None),
    ],
)
def test_rescaling_the_inputs_switches_the_closed_form(square: str, polynomial: str | None, theta: str | None) -> None:
    """Zero target, k = 3: the polynomial P and omega of the page."""
    s = Symbol("s", positive=True)
    found = liouvillian(normal_form(*eliminate(ZeroTarget(3, Fraction(square)).matrix(s), s), s), s)
    assert found.solvable is (polynomial is not None)
    if polynomial is not None:
        assert cancel(found.polynomial - sympify(polynomial).subs(X, s)) == 0
    if theta is not None:
        assert cancel(found.theta - sympify(theta).subs(X, s)) == 0
