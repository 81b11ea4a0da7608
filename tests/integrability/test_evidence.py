"""Monodromy and the high-precision flow: evidence that agrees with the proofs."""

from fractions import Fraction

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import lambdify, sinh, sympify

from integrability._lists import CUBIC, FINITE, ONES, TWOS, X, tanh_normal_form
from integrability._oracles import linear_bias_equation
from maxslope.integrability import LINEAR, Activation, NarrowNetwork, decide, liouvillian, monodromy, numeric_flow
from maxslope.integrability import settings as ready
from maxslope.integrability.loops import _judge, flint_module
from maxslope.integrability.oracles import linear_closed_form

FINE = mpmath.mpf(10) ** -36


def trace(m: object) -> object:
    return m[0, 0] + m[1, 1]


@pytest.fixture(scope="module")
def tanh() -> object:
    return monodromy(tanh_normal_form("3/2"))


def test_tanh_traces(tanh: object) -> None:
    """-2 cos(pi difference) at each pole, the identity at the apparent singularity 0."""
    with mpmath.workdps(40):
        for pole, difference in ((-1, "5/6"), (-0.5, "11/15"), (0, "5"), (1, "1/6"), (2, "19/15")):
            f = Fraction(difference)
            expected = -2 * mpmath.cospi(mpmath.mpf(f.numerator) / f.denominator)
            assert abs(tanh.trace_at(pole) - expected) < FINE
        apparent = tanh.matrices[min(range(5), key=lambda i: abs(tanh.poles[i]))]
        assert mpmath.norm(apparent - mpmath.eye(2)) < FINE


def test_tanh_is_parabolic_at_infinity(tanh: object) -> None:
    with mpmath.workdps(40):
        assert abs(trace(tanh.product) + 2) < FINE
        assert mpmath.norm(tanh.product + mpmath.eye(2)) > 1


def test_tanh_witness_words(tanh: object) -> None:
    by_pole = {round(float(c.real), 3): m for c, m in zip(tanh.poles, tanh.matrices, strict=True)}
    a, b = by_pole[-0.5] * by_pole[2.0], by_pole[2.0] * by_pole[-1.0]
    assert complex(trace(a)) == pytest.approx(4.2366 + 1.5409j, abs=1e-4)
    assert complex(trace(b)) == pytest.approx(3.6446 + 1.9263j, abs=1e-4)
    found = _judge(("", ""), a, b)
    assert found.margin > 0.5
    assert tanh.witness().margin > 1


def test_cubic_traces_and_witness() -> None:
    """Nearly unitary group: the density test still sees it, with margin .0887."""
    found = monodromy(CUBIC)
    expected = {-1: "1.3724832757374671715", 0: "-0.0086156448890399792", 1: "1.454747283146097392"}
    with mpmath.workdps(40):
        for pole, value in expected.items():
            assert abs(found.trace_at(pole) - mpmath.mpf(value)) < 1e-17
    witness = found.witness()
    assert witness.margin == pytest.approx(0.0887, abs=1e-4)
    assert complex(witness.commutator) == pytest.approx(1.91129, abs=1e-5)
    assert found.error < 1e-38


@pytest.mark.parametrize("r", [*ONES, *TWOS, *(r for r, _ in FINITE)])
def test_solvable_equations_show_no_witness(r: str) -> None:
    assert liouvillian(r, X).solvable
    assert monodromy(r, X, digits=15).witness() is None


@pytest.mark.parametrize(
    "r",
    [
        tanh_normal_form("3/2"),
        tanh_normal_form("2"),
        tanh_normal_form("1"),
        tanh_normal_form("8/3"),
        CUBIC,
        linear_bias_equation(2, 2, 2, X),
        linear_bias_equation(5, 7, 3, X),
    ],
)
def test_dense_groups_show_a_witness(r: object) -> None:
    assert liouvillian(r, X).case == 4
    found = monodromy(r, X, digits=25)
    assert found.witness().margin > 1e6 * found.error


def test_cyclic_monodromy_cannot_see_stokes_matrices() -> None:
    """Zero target: SL2 by proof, no witness: no witness is no proof of solvability."""
    verdict = decide(ready.zero_target())
    assert not verdict.solvable
    assert monodromy(verdict.result.equation, digits=20).witness() is None


@settings(max_examples=10)
@given(st.fractions(-2, 2, max_denominator=6), st.fractions(-2, 2, max_denominator=6))
def test_hypergeometric_traces(a: Fraction, b: Fraction) -> None:
    from integrability._oracles import hypergeometric

    found = monodromy(hypergeometric(str(a), str(b), "1/7", X), X, digits=20)
    for pole, f in ((0, a), (1, b)):
        if abs(f) != 1 and any(abs(c - pole) < 0.1 for c in found.poles):
            assert abs(found.trace_at(pole) + 2 * mpmath.cospi(mpmath.mpf(f.numerator) / f.denominator)) < 1e-15
    if len(found.poles) == 2:
        assert abs(trace(found.product) + 2 * mpmath.cospi(mpmath.mpf(1) / 7)) < 1e-15


def test_both_backends_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    r = linear_bias_equation(2, 2, 1, X)
    first = monodromy(r, digits=15)
    monkeypatch.setattr("maxslope.integrability.loops.flint_module", lambda: None)
    second = monodromy(r, digits=15)
    for a, b in zip(first.matrices, second.matrices, strict=True):
        assert mpmath.norm(a - b) < 1e-13


def test_collinear_poles_are_refused() -> None:
    with pytest.raises(ValueError, match="different directions"):
        monodromy("1/(x**2*(x-1)**2)", base=mpmath.mpc(2))


def test_no_poles_no_loops() -> None:
    found = monodromy("x")
    assert found.matrices == ()
    assert found.witness() is None


# --- the numeric flow ---


@pytest.mark.parametrize(
    ("network", "start"),
    [
        (ready.tanh_bias("3/2"), (sinh(sympify("1/2")), "1/2", 0, 0)),
        (ready.tanh_bias("3/2"), ("1/2", "1/3", "1/5", "-1/7")),
        (NarrowNetwork(Activation("bump", lambda z: z / (1 + z**2)), ((1, 2),)), (1, 1, 0, 0)),
    ],
)
def test_energy_identity(network: NarrowNetwork, start: tuple) -> None:
    flow = numeric_flow(network, start, 1)
    assert abs(flow.defect) < 1e-40
    assert flow.dissipated > 0


@pytest.mark.slow
def test_cubic_first_integral() -> None:
    """3 a^2 - w^2 - b^2 does not drift, and the energy identity holds."""
    flow = numeric_flow(ready.cubic_teacher(), ("1/2", "1/3", "1/5", "-1/7"), 1)
    assert abs(flow.defect) < 1e-40
    with mpmath.workdps(50):
        a, w, b, _ = flow.theta
        start = 3 * mpmath.mpf(1) / 4 - mpmath.mpf(1) / 9 - mpmath.mpf(1) / 25
        assert abs(3 * a**2 - w**2 - b**2 - start) < 1e-42


def test_linear_control_in_closed_form() -> None:
    """The closed form of two linear neurons against the numeric flow: 1e-30 is asked for."""
    data = ((1, 1), (2, "3/2"))
    flow = numeric_flow(ready.linear_pair(data), ("1/2", "1/3", "1/5", "-1/7"), 1)
    with mpmath.workdps(50):
        start = [mpmath.mpf(p) / q for p, q in ((1, 2), (1, 3), (1, 5), (-1, 7))]
        exact = linear_closed_form(((1, 1), (2, mpmath.mpf("1.5"))), tuple(start), 1)
        assert max(abs(p - q) for p, q in zip(flow.theta, exact, strict=True)) < mpmath.mpf(10) ** -42


@pytest.mark.slow
@settings(max_examples=6)
@given(
    st.lists(st.tuples(st.integers(-3, 3).filter(bool), st.integers(-3, 3)), min_size=1, max_size=3),
    st.lists(st.integers(1, 5), min_size=4, max_size=4),
)
def test_linear_control_on_any_data(data: list, start: list) -> None:
    theta = tuple(sympify(f"{n}/4") for n in start)
    flow = numeric_flow(NarrowNetwork(LINEAR, tuple(data), neurons=2, bias=False), theta, mpmath.mpf("0.25"), 35)
    with mpmath.workdps(45):
        exact = linear_closed_form(tuple(data), tuple(mpmath.mpf(n) / 4 for n in start), mpmath.mpf("0.25"))
        assert max(abs(p - q) for p, q in zip(flow.theta, exact, strict=True)) < mpmath.mpf(10) ** -30


@pytest.mark.slow
def test_whole_flow_against_the_normal_equation() -> None:
    """b/eps and c/eps of the four-dimensional flow from (sinh .5, .5, 1e-18, 0) at t = 1."""
    eps = "1/1000000000000000000"
    flow = numeric_flow(ready.tanh_bias("3/2"), (sinh(sympify("1/2")), "1/2", eps, 0), 1, digits=45)
    with mpmath.workdps(40):
        b, c = (v * mpmath.mpf(10) ** 18 for v in flow.theta[2:])
        assert abs(b - mpmath.mpf("0.35834086054137342126")) < 1e-19
        assert abs(c - mpmath.mpf("-0.19692685349003803494")) < 1e-19
    verdict = decide(ready.tanh_bias("3/2"))
    v = verdict.curve.variable
    matrix = lambdify(v, verdict.normal.matrix * verdict.normal.speed, "mpmath")
    speed = lambdify(v, verdict.normal.speed, "mpmath")

    def field(_: object, y: list) -> list:
        m = matrix(y[0])
        return [speed(y[0]), m[0, 0] * y[1] + m[0, 1] * y[2], m[1, 0] * y[1] + m[1, 1] * y[2]]

    with mpmath.workdps(25):
        end = mpmath.odefun(field, 0, [mpmath.cosh(mpmath.mpf("0.5")), mpmath.mpf(1), mpmath.mpf(0)])(1)
        assert abs(end[1] - b) < 1e-20
        assert abs(end[2] - c) < 1e-20


def test_elliptic_integrals_solve_the_linear_bias_network() -> None:
    """Data (1,1), (-1,-1): beta = c1 E(s) + c2 (K(1-s) - E(1-s)), s = a^2; SL2 all the same."""
    flow = numeric_flow(ready.linear_bias(1), ("2/5", "2/5", "1/1000000000000", 0), mpmath.mpf("0.7"), digits=40)
    with mpmath.workdps(30):
        beta = flow.theta[2] * mpmath.mpf(10) ** 12
        assert abs(beta - mpmath.mpf("0.7271489774181778")) < 1e-15
        basis = (mpmath.ellipe, lambda s: mpmath.ellipk(1 - s) - mpmath.ellipe(1 - s))
        s0, s1 = mpmath.mpf("0.16"), flow.theta[0] ** 2
        # beta(s0) = 1 and beta' = -Hbb beta / s' with gamma = 0
        slope = -2 * s0 / (-4 * s0 * (s0 - 1))
        rows = mpmath.matrix([[f(s0) for f in basis], [mpmath.diff(f, s0) for f in basis]])
        c = mpmath.lu_solve(rows, mpmath.matrix([1, slope]))
        assert abs(sum(k * f(s1) for k, f in zip(c, basis, strict=True)) - beta) < 1e-15


@pytest.mark.slow
def test_mpmath_flow_agrees() -> None:
    network, start = ready.tanh_bias("3/2"), ("1/2", "1/3", "1/5", "-1/7")
    first = numeric_flow(network, start, mpmath.mpf("0.125"), 10)
    second = numeric_flow(network, start, mpmath.mpf("0.125"), 10, flint=False)
    assert max(abs(p - q) for p, q in zip(first.theta, second.theta, strict=True)) < 1e-15
    assert abs(second.defect) < 1e-15


@pytest.mark.slow
@pytest.mark.skipif(flint_module() is None, reason="python-flint is not installed")
@pytest.mark.parametrize("name", ["exp", "log", "sin", "cos", "tan", "atan", "sinh", "cosh", "tanh", "sqrt", "erf"])
def test_series_of_elementary_functions(name: str) -> None:
    """The flow of a' = -grad with one sample and s(z) = f(1 + z^2/9), flint against mpmath."""
    import sympy

    own = Activation(name, lambda z: getattr(sympy, name)(1 + z**2 / 9) ** sympify("3/2") / 7)
    network = NarrowNetwork(own, ((1, 1),), bias=False)
    if name == "tan":
        network = NarrowNetwork(Activation(name, lambda z: sympy.tan(z / 5)), ((1, 1),), bias=False)
    first = numeric_flow(network, ("1/2", "1/3"), mpmath.mpf("0.125"), 8)
    second = numeric_flow(network, ("1/2", "1/3"), mpmath.mpf("0.125"), 8, flint=False)
    assert max(abs(p - q) for p, q in zip(first.theta, second.theta, strict=True)) < 1e-8


@pytest.mark.parametrize(
    ("start", "time", "message"),
    [((1,), 1, "one entry"), ((1, 1), -1, "negative")],
)
def test_flow_misuse(start: tuple, time: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        numeric_flow(NarrowNetwork(LINEAR, ((1, 1),), bias=False), start, time)


def test_missing_flint_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maxslope.integrability.taylor.flint_module", lambda: None)
    network = NarrowNetwork(LINEAR, ((1, 1),), bias=False)
    with pytest.raises(ValueError, match="python-flint"):
        numeric_flow(network, (1, 1), 1, flint=True)
    assert abs(numeric_flow(network, (1, 1), mpmath.mpf("0.1"), 10).defect) < 1e-10


def test_unknown_functions_are_named() -> None:
    import sympy

    network = NarrowNetwork(Activation("gamma", sympy.gamma), ((1, 1),), bias=False)
    if flint_module() is not None:
        with pytest.raises(ValueError, match="does not know"):
            numeric_flow(network, (1, 1), 1, flint=True)


def test_linear_control_on_the_degenerate_line() -> None:
    """T = 0 and a = w: a' = -S a^3, so a = 1/sqrt(1 + 2 S t)."""
    a, w = linear_closed_form(((1, 1), (1, -1)), (1, 1), 3)
    assert a == w
    assert a == pytest.approx(1 / 13**0.5)


def test_closed_form_misuse() -> None:
    with pytest.raises(ValueError, match="non-zero"):
        linear_closed_form(((1, 1),), (1, -1), 1)
