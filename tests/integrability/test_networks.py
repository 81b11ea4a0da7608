"""Networks, symmetries, curves, variational equations and verdicts."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Matrix, Rational, Symbol, acosh, cancel, cos, exp, log, oo, sin, sqrt, symbols, sympify, tanh

from integrability._lists import CUBIC, X, tanh_normal_form
from maxslope.integrability import (
    ALGEBRAIC,
    ATAN,
    ERF,
    LINEAR,
    SIGMOID,
    SIN,
    SOFTPLUS,
    TAN,
    TANH,
    Activation,
    IntegralCurve,
    NarrowNetwork,
    check,
    decide,
    examine,
    invariant_planes,
    liouvillian,
    log_obstruction,
    monomial,
    pull_back,
    search,
    symmetries,
    table_curve,
)
from maxslope.integrability import settings as ready
from maxslope.integrability.curve_search import flat_neurons, silent_neuron
from maxslope.integrability.local import rational
from maxslope.integrability.networks import Plane
from maxslope.integrability.variational import eliminate, normal_equation, normal_form

TARGETS = st.fractions(-4, 4, max_denominator=5).filter(lambda y: abs(y) > 1)


def plane_of(network: NarrowNetwork, curve: IntegralCurve) -> Plane:
    return next(p for p in invariant_planes(network) if p.contains(curve.theta))


def test_loss_gradient_and_order_of_parameters() -> None:
    net = NarrowNetwork(LINEAR, ((1, 2),), neurons=2)
    assert [str(p) for p in net.parameters] == ["a1", "w1", "b1", "a2", "w2", "b2", "c"]
    a, w = NarrowNetwork(TANH, ((1, 2),), bias=False).parameters
    assert NarrowNetwork(TANH, ((1, 2),), bias=False).gradient()[0] == (a * tanh(w) - 2) * tanh(w)


def test_symmetries_are_symmetries_and_no_more() -> None:
    net = ready.tanh_bias(2)
    found = list(symmetries(net))
    assert len(found) == 3  # (b, c), (a, w, c)... : the Klein group of signs
    identity = Matrix.eye(4)
    assert all(g.matrix() * g.matrix() == identity for g in found)
    assert list(symmetries(NarrowNetwork(TANH, ((1, 2), (-1, 5))))) != found


def test_asymmetric_data_have_no_plane() -> None:
    net = NarrowNetwork(TANH, ((1, 2), (-1, 5)))
    with pytest.raises(ValueError, match="no signed permutation"):
        decide(net)


def test_tanh_equations_as_derived_by_hand() -> None:
    verdict = decide(ready.tanh_bias("3/2"))
    c, y = verdict.curve.variable, Rational(3, 2)
    assert cancel(verdict.normal.speed + 2 * (c**2 - 1) * (c**2 - y * c - 1) / c**3) == 0
    bottom = (c**2 - 1) * (1 + y * c - c**2)
    p = (-3 * c**4 + 3 * y * c**3 + 6 * c**2 - 2 * y * c - 2) / (c * bottom)
    q = (6 + 2 * y * c - 3 * c**2) / (c**2 * bottom)
    assert cancel(verdict.normal.p - p) == 0
    assert cancel(verdict.normal.q - q) == 0
    partial = (
        "34/225/(x-2)**2-898/3375/(x-2)-35/144/(x-1)**2-409/432/(x-1)-11/144/(x+1)**2-103/432/(x+1)"
        "-26/225/(x+1/2)**2+25148/3375/(x+1/2)+6/x**2-6/x"
    )
    assert cancel(verdict.normal.r - sympify(partial, rational=True).subs(X, c)) == 0


@pytest.mark.slow
@settings(max_examples=3)
@given(TARGETS)
def test_tanh_normal_form_for_any_target(y: object) -> None:
    verdict = decide(ready.tanh_bias(str(y)))
    c = verdict.curve.variable
    assert cancel(verdict.normal.r - tanh_normal_form(str(y)).subs(X, c)) == 0
    assert log_obstruction(verdict.normal.r, c, oo) == -3
    assert verdict.result.case == 4


@pytest.mark.slow
def test_tanh_derived_twice() -> None:
    """From the loss in V = e^w (order 16), and by hand in C = (V + 1/V)/2: the pull-back agrees."""
    net = ready.tanh_bias("3/2")
    curve = table_curve(net, exponential=True)
    v = curve.variable
    normal = normal_equation(net, curve, plane_of(net, curve))
    assert normal.r.as_numer_denom()[0].as_poly(v).degree() == 16
    assert cancel(pull_back(tanh_normal_form("3/2"), X, (v + 1 / v) / 2, v) - normal.r) == 0


def test_cubic_teacher() -> None:
    verdict = decide(ready.cubic_teacher())
    s = verdict.curve.variable
    assert cancel(verdict.normal.r - sympify(CUBIC).subs(X, s)) == 0
    assert verdict.group.startswith("SL2")
    assert "closure" in verdict.neighborhood


@pytest.mark.parametrize("data", [((1, 2), (-1, -2), (3, 1), (-3, -1)), ((2, 1), (-2, -1), (0, 0))])
def test_cubic_moment_formulas(data: tuple) -> None:
    """s' = -6 sqrt3 s^2 (3 sqrt3 m6 s^2 - Y3), Hbb = 135 m4 s^3 - 6 sqrt3 Y1 s, Hbc = 9 m2 a^3, Hcc = N."""
    net = NarrowNetwork(monomial(3), data)
    curve = table_curve(net)
    s = curve.variable
    m2, m4, m6 = (sum(x**k for x, _ in data) for k in (2, 4, 6))
    y1, y3 = (sum(x**k * y for x, y in data) for k in (1, 3))
    assert cancel(curve.speed(net) + 6 * sqrt(3) * s**2 * (3 * sqrt(3) * m6 * s**2 - y3)) == 0
    hessian = curve.on(net, net.hessian())
    assert cancel(hessian[2, 2].expand() - (135 * m4 * s**3 - 6 * sqrt(3) * y1 * s)) == 0
    assert (hessian[2, 3] - 9 * m2 * sqrt(s) ** 3).expand() == 0
    assert hessian[3, 3] == len(data)


def test_cubic_local_data() -> None:
    """Exponents of the page; at the irregular point 0 the polar part is 1/(108 s^2)."""
    q = Rational
    got = {None if p.factor is None else -p.factor.eval(0): p for p in decide(ready.cubic_teacher()).local}
    assert got[1].exponents() == (q(95, 108), q(13, 108))
    assert got[-1].exponents() == (q(47, 54), q(7, 54))
    assert got[0].exponents() == (q(5, 4), q(3, 4))
    assert got[0].irregular
    assert rational(got[0].amplitude()) == Fraction(1, 108)
    assert rational(got[0].root()) == Fraction(-1, 2)  # exponent 3/4 goes with +1/(108 s^2)
    assert got[None].exponents() == (q(5, 2), q(-3, 2))


def test_every_plane_is_tried() -> None:
    """The dead-neuron curve lies in three fixed planes; none shows an obstruction."""
    net = ready.linear_pair()
    planes = [p for p in invariant_planes(net) if p.contains(table_curve(net).theta)]
    assert len(planes) == 3
    assert all(decide(net, plane=p).solvable for p in planes)


def test_cubic_zero_target() -> None:
    verdict = decide(ready.zero_target())
    s = verdict.curve.variable
    assert cancel(verdict.normal.r - (43740 * s**6 + 216 * s**3 + 1) / (11664 * s**8)) == 0
    assert verdict.result.case == 4
    assert "irregular" in verdict.neighborhood


def test_linear_pair_is_solvable() -> None:
    verdict = decide(ready.linear_pair())
    alpha = verdict.curve.variable
    assert cancel(verdict.normal.r - 3 / (4 * alpha**2)) == 0
    assert verdict.result.omega == 3 / (2 * alpha)
    assert verdict.result.polynomial == 1


def test_tanh_pair_is_solvable() -> None:
    verdict = decide(ready.tanh_pair())
    v = verdict.curve.variable
    assert cancel(verdict.normal.r - (2 * v**4 - v**2 + 2) / (v**2 * (v**2 - 1) ** 2)) == 0
    assert cancel(verdict.result.omega - (4 * v**2 + 2) / (2 * v * (v**2 - 1))) == 0


@pytest.mark.parametrize("data", [((1, 3), (2, 1)), ((1, "1/2"), (-3, 2), (5, 0))])
def test_cubic_pair_is_solvable(data: tuple) -> None:
    verdict = decide(ready.cubic_pair(data))
    assert cancel(verdict.normal.r - 3 / (4 * verdict.curve.variable**2)) == 0
    assert verdict.solvable


@pytest.mark.slow
def test_other_activations_of_the_table() -> None:
    for net in (NarrowNetwork(ALGEBRAIC, ((1, 0), (-1, 0))), NarrowNetwork(TAN, ((1, 2), (-1, -2)))):
        verdict = decide(net)
        assert verdict.result.case == 4
        assert check(verdict.certificate()) == "SL2"


@pytest.mark.slow
def test_own_activation_with_own_curve() -> None:
    """s(z) = 3 tanh(z)/3 under another name, with the tanh curve given by hand."""
    mine = Activation("mine", lambda z: (exp(2 * z) - 1) / (exp(2 * z) + 1))
    v = Symbol("v", positive=True)
    net = NarrowNetwork(mine, ((1, "3/2"), (-1, "-3/2")))
    curve = IntegralCurve(v, ((v - 1 / v) / 2, log(v), sympify(0), sympify(0)))
    plane = plane_of(NarrowNetwork(TANH, net.data), curve)
    verdict = decide(net, curve, Plane(None, plane.tangent, plane.normal))
    assert cancel(verdict.normal.r - pull_back(tanh_normal_form("3/2"), X, (v + 1 / v) / 2, v)) == 0


def test_wrong_curves_are_refused() -> None:
    net = ready.tanh_bias(2)
    v = Symbol("v", positive=True)
    zero = sympify(0)
    plane = plane_of(net, table_curve(net))
    with pytest.raises(ValueError, match="follow the gradient"):
        decide(net, IntegralCurve(v, (v, log(v), zero, zero)), plane)
    with pytest.raises(ValueError, match="lie in the plane"):
        decide(net, IntegralCurve(v, (v, v, v, v)), plane)
    with pytest.raises(ValueError, match="one entry for each"):
        IntegralCurve(v, (v,)).speed(net)
    with pytest.raises(ValueError, match="constant point"):
        IntegralCurve(v, (zero,) * 4).speed(net)
    line = NarrowNetwork(LINEAR, ((1, 0),), bias=False)
    with pytest.raises(ValueError, match="equilibria"):
        IntegralCurve(v, (v, zero)).speed(line)


def test_wrong_planes_are_refused() -> None:
    net = ready.tanh_bias(2)
    curve = table_curve(net)
    skew = Plane(None, Matrix([[1, 0], [0, 1], [1, 0], [0, 0]]), Matrix([[0, 0], [0, 0], [1, 0], [0, 1]]))
    with pytest.raises(ValueError, match="mixed Hessian"):
        normal_equation(net, curve, skew)
    line = Plane(None, Matrix.eye(4)[:, :3], Matrix.eye(4)[:, 3:])
    with pytest.raises(ValueError, match="codimension 2"):
        normal_equation(net, curve, line)


@pytest.mark.parametrize(
    "net",
    [
        NarrowNetwork(TANH, ((2, 1), (-1, -1))),
        NarrowNetwork(ALGEBRAIC, ((1, 1), (-1, -1))),
        NarrowNetwork(Activation("sine", sin), ((1, 1), (-1, -1))),
        NarrowNetwork(TANH, ((1, 1), (-1, -1)), neurons=2),
    ],
)
def test_the_table_says_what_it_lacks(net: NarrowNetwork) -> None:
    with pytest.raises(ValueError, match=r"[Gg]ive a curve"):
        table_curve(net)


def test_samples_must_be_exact() -> None:
    with pytest.raises(ValueError, match="exact"):
        NarrowNetwork(TANH, ((1.0, 2),))
    with pytest.raises(ValueError, match="exact"):
        NarrowNetwork(TANH, (("y", 2),))


def test_elimination_against_substitution() -> None:
    """u'' + p u' + q u = 0 holds for the first component of a generic system."""
    v = symbols("v")
    m = Matrix([[1 / v, v], [2, v**2]])
    p, q = eliminate(m, v)
    u, z = symbols("u z")
    du = m[0, 0] * u + m[0, 1] * z
    dz = m[1, 0] * u + m[1, 1] * z
    ddu = (m[0, 0].diff(v) * u + m[0, 1].diff(v) * z + m[0, 0] * du + m[0, 1] * dz).expand()
    assert cancel(ddu + p * du + q * u) == 0
    assert normal_form(sympify(0), -v, v) == v
    with pytest.raises(ValueError, match="m12"):
        eliminate(Matrix([[1, 0], [1, 1]]), v)


def test_triangular_systems_are_solved_by_quadratures() -> None:
    """Output bias decouples when the data average to nothing: a neuron with w = 0 stays dead."""
    net = NarrowNetwork(LINEAR, ((1, 1), (-1, -1)), neurons=2, bias=False)
    v = Symbol("v", positive=True)
    curve = table_curve(net)
    assert decide(net, curve).solvable
    even = NarrowNetwork(monomial(2), ((1, 1),), neurons=2, bias=False)
    zero = sympify(0)
    dead = IntegralCurve(v, (v, sqrt(2) * v, zero, zero))
    plane = Plane(None, Matrix.eye(4)[:, :2], Matrix.eye(4)[:, 2:])
    verdict = decide(even, dead, plane)
    assert verdict.result is None
    assert verdict.solvable
    assert "quadratures" in verdict.sketch()
    with pytest.raises(ValueError, match="triangular"):
        verdict.certificate()


def test_sketch_of_a_finite_group() -> None:
    """Five points, m2 = Y = 3: the tetrahedral resonance of the linear network."""
    x = sqrt(Rational(3, 2))
    verdict = decide(NarrowNetwork(LINEAR, ((x, x), (-x, -x), (0, 0), (0, 0), (0, 0))))
    assert (verdict.result.case, verdict.result.n) == (3, 4)
    assert "Invariant of degree 6" in verdict.sketch()
    assert check(verdict.certificate()) == "solvable"


def test_irregular_at_infinity_is_said() -> None:
    verdict = decide(ready.zero_target())
    assert "equilibria included" in verdict.neighborhood
    moved = replace(verdict, result=liouvillian("x"))
    assert "infinity" in moved.neighborhood


def test_verdict_says_what_follows_and_what_does_not() -> None:
    negative, positive = decide(ready.linear_bias(1)), decide(ready.linear_bias("1/2"))
    assert any("not integrable" in s for s in negative.follows())
    assert any("does not follow" in s for s in negative.does_not_follow())
    assert not any("not integrable by" in s for s in positive.follows())
    assert any("solvable is not integrable" in s for s in positive.does_not_follow())
    assert negative.neighborhood == "near the curve"


@pytest.mark.parametrize("make", [ready.tanh_bias, ready.cubic_teacher, ready.linear_pair, ready.tanh_pair])
def test_sketch_and_certificate_tell_the_same(make: object) -> None:
    verdict = decide(make())
    data = verdict.certificate()
    text = verdict.sketch()
    assert check(data) == ("solvable" if verdict.solvable else "SL2")
    assert verdict.group in text
    assert verdict.network.activation.name in str(examine(data).network)
    assert all(statement in text for statement in (*verdict.follows(), *verdict.does_not_follow()))
    assert f"in {data['derivation']['variable']}" in str(examine(data).network)


def test_curve_values() -> None:
    c = table_curve(ready.tanh_bias(2)).variable
    assert table_curve(ready.tanh_bias(2)).theta[1] == acosh(c)
    assert cancel(table_curve(NarrowNetwork(TAN, ((1, 1),), bias=False)).theta[0]) != cos(c)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"neurons": 0}, "at least 1"),
        ({"neurons": 1.5}, "at least 1"),
        ({"neurons": True}, "at least 1"),
        ({"bias": 1}, "True or False"),
        ({"data": ((1,),)}, "pair"),
        ({"data": (1, 2)}, "pair"),
        ({"data": ("12",)}, "pair"),
        ({"data": ()}, "pairs"),
        ({"data": "1:2"}, "pairs"),
        ({"data": None}, "pairs"),
        ({"data": ((1, "N*x"),)}, "exact number"),
        ({"data": ((1, None),)}, "exact"),
        ({"data": ((1, "__import__('os').getcwd()"),)}, "expression"),
        ({"data": ((1, float("nan")),)}, "exact"),
        ({"activation": "tanh"}, "Activation"),
    ],
)
def test_misuse_of_networks(change: dict, message: str) -> None:
    """Raw errors found from outside."""
    with pytest.raises(ValueError, match=message):
        NarrowNetwork(**{"activation": TANH, "data": ((1, 1), (-1, -1)), **change})


def test_one_neuron_without_bias_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="three parameters"):
        decide(NarrowNetwork(TANH, ((1, 1),), bias=False))
    assert invariant_planes(NarrowNetwork(TANH, ((1, 1),), bias=False)) == []


@pytest.mark.slow
@pytest.mark.parametrize("size", ["2", "1/3", pytest.param("sqrt(2)", marks=pytest.mark.slow)])
def test_tanh_with_any_common_input(size: str) -> None:
    """The curve over |x|; r is that of |x| = 1 and other weights of the two normal directions."""
    verdict = decide(NarrowNetwork(TANH, ((size, 1), (f"-{size}", -1))))
    assert verdict.group == "SL2(C) (case 4)"
    assert verdict.written_out is None


@pytest.mark.parametrize("activation", [SIN, ERF, ATAN, TANH])
def test_silent_neuron(activation: Activation) -> None:
    """Along it r = (A^2/4 - A/2)/v^2 + 1 with A = s(w x)^2, whatever the odd activation is."""
    verdict = decide(
        NarrowNetwork(activation, ((3, 2), (-3, 2))), silent_neuron(NarrowNetwork(activation, ((3, 2), (-3, 2))))
    )
    v, a = verdict.normal.variable, Rational(1, 4)
    assert cancel(verdict.normal.r - ((a**2 / 4 - a / 2) / v**2 + 1)) == 0
    assert verdict.group == "SL2(C) (case 4)"
    assert "closure" in verdict.neighborhood


def test_flat_neurons() -> None:
    """Two sigmoids with w = 0, against the Hessian written by hand."""
    network = NarrowNetwork(SIGMOID, ((1, 0), (-1, 0)), neurons=2, bias=False)
    verdict = decide(network, flat_neurons(network))
    v = verdict.normal.variable
    hand = Matrix([[(v + 1) ** 2, v**2 - 1], [v**2 - 1, (v - 1) ** 2]]) / 8 / v
    assert (verdict.normal.matrix - hand).applyfunc(cancel) == Matrix.zeros(2, 2)
    assert check(verdict.certificate()) == "SL2"


def test_search_says_what_it_tried() -> None:
    softplus = search(NarrowNetwork(SOFTPLUS, ((1, 0), (-1, 0)), neurons=2, bias=False))
    assert [a.verdict for a in softplus] == [None, None, None]
    assert "dilogarithm" in softplus[0].text()
    assert "log(2)" in softplus[2].text()
