"""Laws of the verdict: changes of variable, the two routes, solutions built on purpose."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Rational, cancel, diff, sympify

from integrability._lists import EXPECTED, X, tanh_normal_form
from maxslope.integrability import liouvillian, second_opinion
from maxslope.integrability.curves import rational
from maxslope.integrability.ode import equation
from maxslope.integrability.variational import pull_back

fractions = st.fractions(-3, 3, max_denominator=4).map(lambda f: Rational(f.numerator, f.denominator))
nonzero = fractions.filter(bool)
QUICK = [e for e in EXPECTED if e[2] != 12]


@pytest.mark.slow
@settings(max_examples=10)
@given(equation_=st.sampled_from(QUICK), a=nonzero, b=fractions)
def test_affine_change_keeps_the_verdict(equation_: tuple, a: Rational, b: Rational) -> None:
    r, case, n = equation_
    moved = liouvillian(pull_back(sympify(r), X, a * X + b, X), X)
    assert (moved.case, moved.n) == (case, n)


@settings(max_examples=10)
@given(equation_=st.sampled_from(QUICK), c=fractions)
def test_moebius_change_keeps_the_verdict(equation_: tuple, c: Rational) -> None:
    r, case, n = equation_
    moved = liouvillian(pull_back(sympify(r), X, 1 / (X - c), X), X)
    assert (moved.case, moved.n) == (case, n)


@settings(max_examples=15)
@given(
    exponents=st.lists(fractions, min_size=1, max_size=3),
    places=st.lists(st.integers(-3, 3), min_size=3, max_size=3, unique=True),
    tail=st.lists(fractions, max_size=3),
    pole=fractions,
)
def test_built_solutions_are_found(exponents: list, places: list, tail: list, pole: Rational) -> None:
    """w is chosen first, r = w' + w^2 afterwards: the answer must be case 1 and verified."""
    w = sum((e / (X - c) for e, c in zip(exponents, places, strict=False)), pole / X**2)
    w += sum((c * X**k for k, c in enumerate(tail)), Rational(0))
    found = liouvillian(cancel(diff(w, X) + w**2), X)
    assert found.case == 1
    assert found.verify()


@pytest.mark.parametrize(("r", "case", "n"), EXPECTED)
def test_classic_and_invariants_agree(r: str, case: int, n: int | None) -> None:
    opinion = second_opinion(equation(r, X))
    assert (opinion.case, opinion.n) == (case, n)


@pytest.mark.parametrize("y", [pytest.param(y, marks=pytest.mark.slow) for y in ("3/2", "1")])
def test_classic_agrees_on_tanh(y: str) -> None:
    assert second_opinion(equation(tanh_normal_form(y))).case == 4


def test_classic_needs_rational_coefficients() -> None:
    with pytest.raises(ValueError, match="rational coefficients"):
        second_opinion(equation("sqrt(2)*x"))


def test_pull_back_composes() -> None:
    first = pull_back(pull_back(X, X, X**2, X), X, X + 1, X)
    assert cancel(first - pull_back(X, X, (X + 1) ** 2, X)) == 0


def test_rational_refuses_roots() -> None:
    with pytest.raises(ValueError, match="rational function"):
        rational(sympify("sqrt(x)"), X, "an entry")
