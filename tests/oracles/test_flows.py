"""Flows known in closed form (flows.md, section 6), and what a curve reports of them."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

import maxslope as ms
from maxslope.energies import Energy, Function, Linear, Loss, Quadratic
from maxslope.loop import Record, Steps, Stop
from maxslope.loop import flow as follow
from maxslope.schemes import Cosine, Explicit, Scheme, SemiImplicit
from maxslope.sets import Budget
from maxslope.spaces import Lp
from nets import mlp

SCHEMES = pytest.mark.parametrize("scheme", [Explicit, SemiImplicit])
INF = Lp(math.inf)
Flow = Callable[[float], Tensor]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def f64(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def wide(energy: Energy, x: Tensor, space: Lp) -> Energy:
    """Constrained to a ball that the curve never meets, so that the constrained solvers work too."""
    return energy.within(Budget(space, 50.0, box=None).around(x))


def error(curve: ms.Curve, flow: Flow) -> float:
    """The largest distance, in any coordinate, at any recorded instant."""
    exact = torch.stack([flow(float(t)) for t in curve.time[:, 0]])
    return float((curve.points - exact).abs().amax())


def order(taus: list[float], errors: list[float]) -> float:
    """The slope of log error over log tau."""
    return float(np.polyfit(np.log(taus), np.log(errors), 1)[0])


TAUS = [0.2 / math.pi * 2**-k for k in range(4)]  # no instant at which a coordinate happens to be 0


def orders(
    make: Callable[[float], Scheme], energy: Energy, x: Tensor, flow: Flow, until: float
) -> tuple[list[float], float]:
    errors = [error(follow(energy, x, scheme=make(tau), until=until), flow) for tau in TAUS]
    return errors, order(TAUS, errors)


# --- closed forms ----------------------------------------------------------------------------------------------------


@SCHEMES
@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, math.inf])
def test_1_linear(scheme: type[Scheme], p: float) -> None:
    """u(t) = x + t v(c), for any tau, to rounding; also where tau does not divide the time."""
    c, x = draw(3, 4, seed=1), draw(3, 4, seed=2)
    v = Lp(p).steepest(c)  # tested against its formula in contracts/test_schemes.py
    for energy in (Linear(c), wide(Linear(c), x, Lp(p))):
        curve = follow(energy, x, scheme=scheme(0.3, Lp(p)), until=1.0)
        assert curve.time[:, 0].tolist() == pytest.approx([0.0, 0.3, 0.6, 0.9, 1.0])
        assert error(curve, lambda t: x + t * v) < 1e-9


@SCHEMES
def test_1_linear_in_a_box(scheme: type[Scheme]) -> None:
    """Every coordinate stops at its face: x_i - sign(c_i) min(t, way to the face)."""
    c, x = draw(3, 4, seed=1), draw(3, 4, seed=2).sigmoid()
    way = torch.where(c > 0, x, 1 - x)
    energy = Linear(c).within(ms.Linf(2.0).around(x))
    curve = follow(energy, x, scheme=scheme(0.07, INF), until=1.0)
    assert error(curve, lambda t: x - c.sign() * way.clamp_max(t)) < 1e-14
    # the slope is the sum of |c_i| over the coordinates under way, and so is minus the derivative of the energy
    for k, t in enumerate(curve.time[:, 0].tolist()):
        torch.testing.assert_close(curve.slope[k], (c.abs() * (way > t + 1e-12)).sum(1))


A = f64([1.0, 2.5, 0.4, 3.0, 1.7])[0]
X2 = f64([0.9, -0.5, 0.33, 0.71, -0.05], [0.2, 0.4, -0.6, 0.8, -1.0])


def test_2_shrinking_coordinates() -> None:
    """u_i = sign(x_i)(|x_i| - t)^+ in l_inf: first order, and never off by more than tau."""
    energy = Quadratic(torch.diag(A))
    flow: Flow = lambda t: X2.sign() * (X2.abs() - t).clamp_min(0)  # noqa: E731
    for scheme in (Explicit, SemiImplicit):
        errors, measured = orders(lambda tau, s=scheme: s(tau, INF), wide(energy, X2, INF), X2, flow, 1.2)
        assert all(e <= tau * (1 + 1e-9) for e, tau in zip(errors, TAUS, strict=True))
        assert measured >= 0.9


def test_2_is_exact_until_a_coordinate_arrives() -> None:
    curve = follow(Quadratic(torch.diag(A)), X2, scheme=Explicit(0.01), until=0.05)
    assert error(curve, lambda t: X2.sign() * (X2.abs() - t)) < 1e-14


def test_2_the_explicit_scheme_chatters_with_amplitude_tau() -> None:
    """Once at 0, a coordinate jumps between z and z - tau, with 0 <= z <= tau, for ever."""
    tau = TAUS[0]
    late = follow(Quadratic(torch.diag(A)), X2, scheme=Explicit(tau, INF), until=Steps(60)).points[-10:]
    jumps = late.diff(dim=0)
    torch.testing.assert_close(jumps.abs(), torch.full_like(jumps, tau))
    assert float((jumps[1:] + jumps[:-1]).abs().amax()) < 1e-14
    swing = late.amax(0) - late.amin(0)
    torch.testing.assert_close(swing, torch.full_like(swing, tau))
    assert bool(((late.amax(0) >= 0) & (late.amin(0) <= 0)).all())


X3 = f64([0.9, -0.5, 0.33], [0.5, 0.1, -0.25])


@pytest.mark.slow
def test_3_to_the_center() -> None:
    """u = x (1 - t / |x|)^+ in l_2: exact on the way, within tau at the center, so of first order."""
    energy = Quadratic(torch.eye(3, dtype=torch.float64))
    size = torch.linalg.vector_norm(X3, dim=1, keepdim=True)
    flow: Flow = lambda t: X3 * (1 - t / size).clamp_min(0)  # noqa: E731
    for scheme in (Explicit, SemiImplicit):
        domain = wide(energy, X3, Lp(2))
        assert error(follow(domain, X3, scheme=scheme(TAUS[0], Lp(2)), until=0.5), flow) < 1e-12
        errors, measured = orders(lambda tau, s=scheme: s(tau, Lp(2)), domain, X3, flow, 1.15)
        assert all(e <= tau * (1 + 1e-9) for e, tau in zip(errors, TAUS, strict=True))
        assert measured >= 0.9


def water(x: Tensor, t: float) -> Tensor:
    """sign(x_i) min(|x_i|, lam) with sum (|x_i| - lam)^+ = t, by the sorted moduli, one row at a time."""
    out = torch.empty_like(x)
    for i, row in enumerate(x):
        s = sorted(row.abs().tolist(), reverse=True)
        total, lam = 0.0, 0.0
        for k in range(1, len(s) + 1):
            total += s[k - 1]
            below = s[k] if k < len(s) else 0.0
            lam = (total - t) / k
            if lam >= below:
                break
        out[i] = row.sign() * row.abs().clamp_max(max(lam, 0.0))
    return out


@pytest.mark.slow
def test_4_water_filling() -> None:
    """u_i = sign(x_i) min(|x_i|, lam(t)) in l_1: within tau, first order."""
    x = f64([0.9, -0.5, 0.33, 0.61], [0.3, 0.31, -0.29, 0.05])
    assert torch.allclose(water(x, 0.29)[0].abs(), f64([0.61, 0.5, 0.33, 0.61]))
    energy = Quadratic(torch.eye(4, dtype=torch.float64))
    for scheme in (Explicit, SemiImplicit):
        errors, measured = orders(
            lambda tau, s=scheme: s(tau, Lp(1)), wide(energy, x, Lp(1)), x, lambda t: water(x, t), 0.9
        )
        assert all(e <= 2 * tau for e, tau in zip(errors, TAUS, strict=True))
        assert measured >= 0.9


@SCHEMES
@pytest.mark.parametrize("rate", [2.0, 3.0])
def test_5_finite_rates(scheme: type[Scheme], rate: float) -> None:
    """|u|' = -|u|^(q-1) in l_2: u = x e^-t for rate 2, |u| = (sqrt|x| - t/2)^2 for rate 3 (q - 1 = 1/2)."""
    energy = Quadratic(torch.eye(3, dtype=torch.float64))
    size = torch.linalg.vector_norm(X3, dim=1, keepdim=True)

    def flow(t: float) -> Tensor:
        left = size * math.exp(-t) if rate == 2 else (size.sqrt() - t / 2) ** 2
        return X3 * left / size

    errors, measured = orders(lambda tau: scheme(tau, Lp(2), rate), energy, X3, flow, 0.7)
    assert 0.9 <= measured <= 1.2
    assert errors[-1] < 2e-3
    curve = follow(energy, X3, scheme=scheme(1e-3, Lp(2), rate), until=0.7)
    q = rate / (rate - 1)
    torch.testing.assert_close(curve.speed, curve.slope[:-1] ** (q - 1), rtol=1e-9, atol=0)
    assert float(curve.defect().abs().amax()) < 1e-3


def test_6_sliding_along_a_fold() -> None:
    """E = <x, A x> / 2 with A = [[1, -1/2], [-1/2, 1]] from (1, 0.2), l_inf.

    The gradient is (0.9, -0.3): u = (1 - t, 0.2 + t) until its second entry is 0 at t = 0.2, at (0.8, 0.4); then
    u = (0.8 - s, 0.4 - s / 2) slides into the origin.
    """
    energy, x = Quadratic(f64([1.0, -0.5], [-0.5, 1.0])), f64([1.0, 0.2])

    def flow(t: float) -> Tensor:
        return f64([1 - t, 0.2 + t]) if t < 0.2 else f64([0.8, 0.4]) - min(t - 0.2, 0.8) * f64([1.0, 0.5])

    for scheme in (Explicit, SemiImplicit):
        errors, measured = orders(lambda tau, s=scheme: s(tau, INF), wide(energy, x, INF), x, flow, 1.1)
        assert all(e <= 3 * tau for e, tau in zip(errors, TAUS, strict=True))
        assert measured >= 0.9


@SCHEMES
@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("rate", [math.inf, 2.0])
def test_7_where_the_flow_is_not_unique_the_scheme_stays(scheme: type[Scheme], p: float, rate: float) -> None:
    """E = -|x|^2 / 2 leaves 0 in any direction; the selection here is v(0) = 0, and nothing is NaN."""
    x = torch.zeros(2, 3, dtype=torch.float64)
    x[1] = f64([0.5, 0.0, -0.25])
    energy = Quadratic(-torch.eye(3, dtype=torch.float64))
    for e in (energy, energy.within(Budget(Lp(p), 2.0, box=None).around(torch.zeros_like(x)))):
        curve = follow(e, x, scheme=scheme(0.1, Lp(p), rate), until=0.3)
        assert not curve.points[:, 0].any()
        assert curve.points.isfinite().all()
        assert curve.slope.isfinite().all()
        assert curve.status.tolist() == [ms.Status.FINISHED] * 2
        assert bool((curve.energy[-1, 1] < curve.energy[0, 1]).all())
        stopped = follow(e, x, scheme=scheme(0.1, Lp(p), rate), until=0.3, stop=Stop(stationary=True))
        assert stopped.status.tolist() == [ms.Status.STATIONARY, ms.Status.FINISHED]
        assert stopped.time[-1].tolist() == pytest.approx([0.0, 0.3])


# --- the dissipation equality ----------------------------------------------------------------------------------------

SMOOTH = {
    "quadratic in l_2": (Quadratic(torch.diag(A[:3])), X3, Lp(2), math.inf),
    "quadratic in l_3": (Quadratic(torch.diag(A[:3])), X3, Lp(3), math.inf),
    "quadratic in l_2, rate 2": (Quadratic(torch.diag(A[:3])), X3, Lp(2), 2.0),
    "quartic in l_1.5, rate 3": (Function(lambda x: (x**4).sum(1) + x.square().sum(1)), X3, Lp(1.5), 3.0),
    "network in l_2": (Loss(mlp(3), torch.tensor([0, 1])), X3, Lp(2), math.inf),
}


@SCHEMES
@pytest.mark.parametrize("name", SMOOTH)
def test_the_defect_vanishes_with_the_step(scheme: type[Scheme], name: str) -> None:
    """|D| tends to 0 with order >= 0.9; and a curve can lose no more than the equality allows, so D <= quadrature."""
    energy, x, space, rate = SMOOTH[name]
    taus = [0.04 * 2**-k for k in range(5)]
    defects = [follow(energy, x, scheme=scheme(tau, space, rate), until=0.24).defect() for tau in taus]
    sizes = [float(d.abs().amax()) for d in defects]
    assert order(taus, sizes) >= 0.9
    assert sizes[-1] < 0.02
    assert float(defects[-1].amin()) >= -0.02
    assert float(defects[-1].amax()) <= 1e-4


@SCHEMES
def test_the_defect_across_kinks_is_of_first_order(scheme: type[Scheme]) -> None:
    """Oracle 2 in l_inf, coordinate after coordinate arriving and chattering."""
    energy = Quadratic(torch.diag(A))
    sizes = [float(follow(energy, X2, scheme=scheme(tau, INF), until=1.2).defect().abs().amax()) for tau in TAUS]
    assert 0.9 <= order(TAUS, sizes) <= 1.5
    assert all(size <= 1.2 * float(A.sum()) * tau for size, tau in zip(sizes, TAUS, strict=True))


def test_the_defect_is_its_formula() -> None:
    """E = |x|^2 / 2 in the line from 1, tau = 1/4: the slopes are 1, 3/4, 1/2, so D = 0; rate 2 by hand."""
    energy, x = Quadratic(torch.ones(1, 1).double()), f64([1.0])
    curve = follow(energy, x, scheme=Explicit(0.25), until=0.5)
    assert curve.slope[:, 0].tolist() == pytest.approx([1.0, 0.75, 0.5])
    assert float(curve.defect()) == pytest.approx(0.5 - 0.125 - 0.375, abs=1e-15)
    curve = follow(energy, x, scheme=Explicit(0.5, Lp(2), 2.0), until=1.0)
    u = [1.0, 0.5, 0.25]
    assert curve.points[:, 0, 0].tolist() == pytest.approx(u)
    spent = sum(0.5 * ((a * a + b * b) / 4 + ((a - b) / 0.5) ** 2 / 2) for a, b in itertools.pairwise(u))
    assert float(curve.defect()) == pytest.approx((1 - 0.0625) / 2 - spent, abs=1e-14)


@SCHEMES
def test_speed_is_at_most_one(scheme: type[Scheme]) -> None:
    for energy, x, space, rate in SMOOTH.values():
        if math.isinf(rate):
            curve = follow(energy, x, scheme=scheme(0.03, space), until=0.5)
            assert float(curve.speed.amax()) <= 1 + 1e-6
            assert float(curve.speed.amin()) >= 1 - 1e-6  # free: nothing slows it


# --- what a curve reports --------------------------------------------------------------------------------------------


def test_points_between_instants() -> None:
    """at(t) is affine between instants, the first point before and the last one after; t may differ by row."""
    curve = follow(Linear(f64([1.0, -1.0], [2.0, 1.0])), f64([0.0, 0.0], [1.0, 1.0]), scheme=Explicit(0.25), until=1.0)
    torch.testing.assert_close(curve.at(0.3), f64([-0.3, 0.3], [0.7, 0.7]))
    torch.testing.assert_close(curve.at(0.5), curve.points[2], rtol=0, atol=0)
    torch.testing.assert_close(curve.at(f64([0.1, 0.9])[0]), f64([-0.1, 0.1], [0.1, 0.1]))
    for t, k in ((-1.0, 0), (0.0, 0), (1.0, -1), (7.0, -1)):
        torch.testing.assert_close(curve.at(t), curve.points[k], rtol=0, atol=0)
    still = follow(Linear(f64([1.0])), f64([3.0]), scheme=Explicit(0.25), until=0.0)
    assert still.points.shape == (1, 1, 1)
    assert still.at(0.5).tolist() == [[3.0]]
    assert still.defect().tolist() == [0.0]
    assert still.speed.shape == (0, 1)
    assert still.forward.tolist() == [1]


def test_points_between_instants_where_speeds_change() -> None:
    """A polygon by hand: steps of length 1, 1/2, ... by the cosine, in three axes."""
    curve = follow(Linear(f64([1.0])), f64([0.0]), scheme=Explicit(Cosine(1.0, 4)), until=Steps(4))
    when = curve.time[:, 0]
    for a, b in itertools.pairwise(when):
        for share in (0.0, 0.25, 1.0):
            t = float(a + share * (b - a))
            assert float(curve.at(t)) == pytest.approx(-t)


def test_rows_have_their_own_clocks() -> None:
    """Step sizes, counts of steps and ends by row; ended rows stand still, at speed 0."""
    x = torch.zeros(3, 1).double()
    energy = Linear(torch.ones(3, 1).double())
    tau = torch.tensor([0.1, 0.25, 0.5], dtype=torch.float64)
    curve = follow(energy, x, scheme=Explicit(tau), until=1.0)
    assert [len(set(curve.time[:, i].tolist())) for i in range(3)] == [11, 5, 3]
    torch.testing.assert_close(curve.end, -torch.ones(3, 1).double())
    assert curve.forward.tolist() == [11, 5, 3]
    assert curve.speed[-1].tolist() == pytest.approx([1.0, 0.0, 0.0])
    curve = follow(energy, x, scheme=Explicit(tau), until=Steps(torch.tensor([3, 0, 1])))
    assert curve.end[:, 0].tolist() == pytest.approx([-0.3, 0.0, -0.5])
    assert curve.time[-1].tolist() == pytest.approx([0.3, 0.0, 0.5])
    assert curve.forward.tolist() == curve.backward.tolist() == [4, 1, 2]
    assert curve.at(0.2)[:, 0].tolist() == pytest.approx([-0.2, 0.0, -0.2])


@pytest.mark.parametrize("tau", [0.1, 1 / 3, 0.7, 1e-2])
def test_the_last_step_ends_on_time(tau: float) -> None:
    """Shortened, or stretched over a remainder that is rounding: never a step of length 1e-17."""
    curve = follow(Linear(f64([1.0])), f64([0.0]), scheme=Explicit(tau), until=1.0)
    assert float(curve.time[-1, 0]) == 1.0
    assert curve.points.shape[0] == math.ceil(1 / tau - 1e-6) + 1
    assert float(curve.end) == pytest.approx(-1.0, abs=1e-12)


@pytest.mark.parametrize("every", [0, 1, 3, 100])
def test_records_keep_every_so_many_instants(every: int) -> None:
    energy, x = Quadratic(torch.diag(A)), X2
    full = follow(energy, x, scheme=Explicit(0.05), until=Steps(10))
    some = follow(energy, x, scheme=Explicit(0.05), until=Steps(10), record=Record(every))
    kept = [k for k in range(10) if k == 0 or (every and k % every == 0)] + [10]
    for name in ("time", "points", "energy", "slope", "margin"):
        assert torch.equal(getattr(some, name), getattr(full, name)[kept])
    assert torch.equal(some.forward, full.forward)


def test_statuses_and_stops() -> None:
    """Per row: reached, stationary, not finite, finished; counts and times are those of each row's own end."""
    energy = Function(lambda x: x.square().sum(1) / 2 * torch.where(x[:, 0].detach() > 5, math.nan, 1.0))
    x = f64([1.0, 0.0], [0.0, 0.0], [9.0, 0.0])
    curve = follow(energy, x, scheme=Explicit(0.125), until=Steps(3), stop=Stop(stationary=True))
    assert curve.status.tolist() == [ms.Status.FINISHED, ms.Status.STATIONARY, ms.Status.NON_FINITE]
    assert torch.equal(curve.end[1:], x[1:])
    assert curve.time[-1].tolist() == [0.375, 0.0, 0.0]
    assert curve.forward.tolist() == [4, 2, 2]
    assert curve.reasons() == [ms.Status(int(s)).sentence for s in curve.status]
    assert len(set(curve.reasons())) == 3
    free = follow(energy, x[:2], scheme=Explicit(0.125), until=Steps(3))
    assert free.status.tolist() == [ms.Status.FINISHED] * 2


def test_a_curve_that_reaches_its_goal_stops_there_if_asked() -> None:
    """Two logits (x_1, x_2), from (1, 0), labels 0: the margin x_1 - x_2 falls by 2 tau a step."""
    energy = Loss(lambda x: x, torch.tensor([0, 0]))
    x = f64([1.0, 0.0], [1.0, 0.7])
    curve = follow(energy, x, scheme=Explicit(0.11), until=Steps(9), stop=Stop(reached=True))
    assert curve.status.tolist() == [ms.Status.REACHED] * 2
    assert curve.margin[-1].tolist() == pytest.approx([1.0 - 5 * 0.22, 0.3 - 2 * 0.22])
    assert curve.time[-1].tolist() == pytest.approx([0.55, 0.22])
    assert curve.forward.tolist() == [7, 4]  # one a step, one that sees the goal, one that closes the curve
    on = follow(energy, x, scheme=Explicit(0.11), until=Steps(9))
    assert on.status.tolist() == [ms.Status.FINISHED] * 2
    assert on.margin[-1].tolist() == pytest.approx([1.0 - 9 * 0.22, 0.3 - 9 * 0.22])


def test_an_energy_that_breaks_on_the_way_is_not_finite() -> None:
    """Also when only the last point is not finite."""
    energy = Function(lambda x: x[:, 0] * torch.where(x[:, 0].detach() < 0.55, math.nan, 1.0))
    for steps in (5, 10):
        curve = follow(energy, f64([1.0], [9.0]), scheme=Explicit(0.1), until=Steps(steps))
        assert curve.status.tolist() == [ms.Status.NON_FINITE, ms.Status.FINISHED]
        assert float(curve.end[0]) == pytest.approx(0.5)
        assert float(curve.end[1]) == pytest.approx(9 - steps / 10)


def test_a_start_outside_is_projected_first() -> None:
    energy = Linear(f64([1.0, 1.0])).within(ms.L2(1.0, box=None).around(torch.zeros(1, 2).double()))
    curve = follow(energy, f64([3.0, 4.0]), scheme=SemiImplicit(0.1, Lp(2)), until=0.2)
    torch.testing.assert_close(curve.points[0], f64([0.6, 0.8]))


@pytest.mark.parametrize("tau", [0.0, Cosine(0.1, 4), torch.tensor([0.5, 0.0])], ids=["0", "dying", "one row"])
def test_steps_of_zero_do_not_run_for_ever(tau: object) -> None:
    energy, x = Linear(f64([1.0], [1.0])), f64([0.0], [0.0])
    with pytest.raises(ValueError, match=r"stay above 0, got [12] rows whose steps end at 0 .*use until=Steps\(n\)"):
        follow(energy, x, scheme=Explicit(tau), until=1.0)
    assert follow(energy, x, scheme=Explicit(tau), until=Steps(6)).status.tolist() == [ms.Status.FINISHED] * 2
    assert follow(energy, x, scheme=Explicit(tau), until=0.0).end.tolist() == [[0.0], [0.0]]
    warming = Cosine(0.0, 4, 0.1)
    assert follow(energy, x, scheme=Explicit(warming), until=0.5).end[:, 0].tolist() == pytest.approx([-0.5, -0.5])


@pytest.mark.parametrize("until", [-0.1, math.inf, math.nan])
def test_times_are_finite_and_not_negative(until: float) -> None:
    with pytest.raises(ValueError, match=r"until is a finite time >= 0 or Steps\(n\), got"):
        follow(Linear(f64([1.0])), f64([0.0]), scheme=Explicit(0.1), until=until)


def test_counts_of_steps_are_not_negative() -> None:
    for bad in (-1, torch.tensor([3, -1])):
        with pytest.raises(ValueError, match="must not be negative, got"):
            Steps(bad)


@pytest.mark.parametrize("x", [torch.zeros(3), torch.zeros(0, 2), torch.zeros(2, 2, dtype=torch.int64)])
def test_flows_start_from_rows_of_floats(x: Tensor) -> None:
    with pytest.raises(ValueError, match=r"floating-point points \[rows, \*shape\] with at least one row, got torch"):
        follow(Linear(torch.ones(1, 2)), x, scheme=Explicit(0.1), until=1.0)


def test_public_names_load_on_first_use() -> None:
    assert set(ms.__all__) <= set(dir(ms))
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        ms.nonsense  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize("first", ["attack", "flow"])
def test_flow_is_a_function_whatever_is_loaded_first(first: str) -> None:
    """A module of the same name would take its place on the public page."""
    code = f"import maxslope as ms; ms.{first}; import types; assert isinstance(ms.flow, types.FunctionType), ms.flow"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
