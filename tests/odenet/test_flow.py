"""Acceptance tests 3, 4, 5, and 11 in part: orders, the guarantee of the control, De Giorgi's identity."""

import math

import pytest
import torch
from torch import Tensor

import maxslope as ms
from maxslope.energies import Energy, Function, Quadratic
from maxslope.odenet import (
    Affine,
    Controlled,
    CustomField,
    Design,
    ExplicitEuler,
    Hermite,
    Mover,
    ParticleMovement,
    Risk,
    RungeKutta,
    Squared,
    Stabilized,
    Tableau,
    Uniform,
    Until,
    descend,
    dissipation,
    iid,
    layered,
)  # fmt: skip
from maxslope.odenet.metric import Hilbert
from maxslope.odenet.probe import Probe
from odenet._problems import digits, moons, row

MOVERS: dict[str, tuple[Mover, float, float, float]] = {  # order of the Hermite defect, its slack, order in d
    "euler": (ExplicitEuler(), 2, 0.1, 1),
    "heun": (RungeKutta(Tableau.heun()), 4, 0.25, 2),
    "midpoint": (RungeKutta(Tableau.midpoint()), 4, 0.25, 2),
    "rk4": (RungeKutta(Tableau.rk4()), 6, 0.2, 4),
    "rkl2": (Stabilized(), 4, 0.25, 2),
    "jko": (ParticleMovement(1e-11), 2, 0.1, 1),
}


def small() -> tuple[Risk, Tensor]:
    risk = moons(50)
    return risk, iid(risk.design, 4, 8, seed=1)


def end_of(risk: Risk, theta: Tensor, mover: Mover, tau: float, until: float) -> ms.Curve:
    return ms.flow(risk, theta, scheme=Uniform(mover, tau, layered(*theta.shape[1:3])), until=until)


@pytest.fixture(scope="module")
def truth() -> Tensor:
    risk, theta = small()
    return end_of(risk, theta, RungeKutta(Tableau.rk4()), 0.01, 2.0).end


@pytest.mark.parametrize("name", MOVERS)
def test_orders_of_defect_and_distance(name: str, truth: Tensor) -> None:
    mover, order, slack, far = MOVERS[name]
    risk, theta = small()
    taus = (0.05, 0.025)
    curves = [end_of(risk, theta, mover, tau, 2.0) for tau in taus]
    defects = [float(dissipation(risk, c, Hermite(), nodes=4).sum()) for c in curves]
    assert math.log2(defects[0] / defects[1]) == pytest.approx(order, abs=slack)
    ways = [float(c.space.norm(c.end - truth)) for c in curves]
    assert math.log2(ways[0] / ways[1]) == pytest.approx(far, abs=0.1)
    straight = [float(dissipation(risk, c, Affine(), nodes=4).sum()) for c in curves]
    assert math.log2(straight[0] / straight[1]) == pytest.approx(2, abs=0.1)
    assert all(bool((c.energy.diff(dim=0) <= 1e-13).all()) for c in curves)


def test_left_endpoint_sums_show_order_one_for_every_scheme() -> None:
    """What makes explicit Euler look first order is the quadrature, which makes RK4 look first order too."""
    risk, theta = small()
    for mover in (ExplicitEuler(), RungeKutta(Tableau.rk4())):
        found = []
        for tau in (0.05, 0.025):
            c = end_of(risk, theta, mover, tau, 2.0)
            speed, slope = c.speed[:, 0], c.slope[:-1, 0]
            found.append(float((tau * (speed**2 + slope**2) / 2).sum() - (c.energy[0] - c.energy[-1])))
        assert math.log2(abs(found[0] / found[1])) == pytest.approx(1, abs=0.1)


def test_common_schemes_follow_the_same_flow() -> None:
    """The house's explicit scheme with rate 2 in the metric is the explicit Euler mover."""
    risk, theta = small()
    space = layered(4, 8)
    ours = ms.flow(risk, theta, scheme=Uniform(ExplicitEuler(), 0.1, space), until=1.0)
    common = ms.flow(risk, theta, scheme=ms.Explicit(0.1, space, rate=2.0), until=1.0)
    assert torch.allclose(ours.end, common.end, atol=1e-13)
    assert torch.allclose(ours.slope, common.slope, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["euler", "bs23", "rkl2"])
def test_the_control_bounds_the_defect(name: str) -> None:
    mover = {"euler": ExplicitEuler(), "bs23": RungeKutta(Tableau.bogacki_shampine()), "rkl2": Stabilized()}[name]
    for make, shape, until in ((moons, (4, 8), 10.0), (digits, (3, 8), 4.0)):
        for seed in range(4):
            risk = make(50)
            theta = iid(risk.design, *shape, seed=seed)
            for tolerance in (1e-2, 1e-3, 1e-4, 1e-6):
                end = until if tolerance > 1e-4 or name == "rkl2" else 0.5  # steps are short; it holds at any time
                scheme = Controlled(mover, tolerance, layered(*shape))
                (run,) = descend(risk, theta, until=Until(time=end), scheme=scheme, rates=False)
                fall = float(run.energy[0] - run.energy[-1])
                assert run.safety * float(run.defect.sum()) <= tolerance * fall * (1 + 1e-9)
                assert run.monotone
                assert run.relative_defect <= tolerance * (1 + 1e-9)
                assert float(run.time[-1]) == pytest.approx(end)
                assert run.status == ms.Status.FINISHED


@pytest.mark.parametrize("name", ["euler", "rkl2"])
def test_the_estimated_defect_is_close_to_the_true_one(name: str) -> None:
    risk, theta = small()
    mover = MOVERS[name][0]
    scheme = Controlled(mover, 1e-3, layered(4, 8))
    curve = ms.flow(risk, theta, scheme=scheme, until=5.0)
    true = dissipation(risk, curve, Affine() if name == "euler" else Hermite())
    (run,) = descend(risk, theta, until=Until(time=5.0), scheme=scheme)
    assert torch.equal(run.end, curve.end[0])
    assert 0.8 <= float(run.defect.sum() / true.sum()) <= 1.02
    assert float(true.sum()) <= 1e-3 * float(curve.energy[0] - curve.energy[-1])
    assert torch.allclose(run.energy[:-1], curve.energy[:-1, 0], atol=1e-14)


@pytest.mark.slow
def test_the_stabilized_scheme_reaches_small_slopes_cheaply() -> None:
    """At most 8000 gradients to slope 1e-5 (the design saw 4971), below 1/5 of those of adaptive explicit Euler."""
    risk = moons(100)
    theta = iid(risk.design, 4, 16)
    (run,) = descend(risk, theta, until=Until(slope=1e-5))
    assert float(run.slope[-1]) <= 1e-5
    assert run.gradients <= 8000
    assert run.relative_defect <= 1e-3
    euler = Controlled(ExplicitEuler(), 1e-2, layered(4, 16))
    (slow,) = descend(risk, theta, until=Until(slope=1e-5, gradients=5 * run.gradients), scheme=euler, rates=False)
    assert float(slow.slope[-1]) > 1e-5


@pytest.mark.parametrize(("tau", "nodes"), [(0.05, 4), (0.2, 4)])
def test_the_identity_of_de_giorgi(tau: float, nodes: int) -> None:
    risk, theta = small()
    curve = ms.flow(risk, theta, scheme=Uniform(ParticleMovement(1e-12, nodes), tau, layered(4, 8)), until=ms.Steps(2))
    assert float(curve.excess[1:].abs().max()) <= 1e-8
    assert int(curve.failed[-1]) == 0
    assert bool((curve.energy.diff(dim=0) < 0).all())


def test_the_discrete_gradient_dissipates_exactly() -> None:
    """Gonzalez' discrete gradient: J(b) - J(a) = -|b - a|^2 / tau to rounding; an oracle for J and G together."""
    risk, theta = small()
    probe = Probe(risk, Hilbert(layered(4, 8)))
    a, tau, b = probe.spot(theta), 0.1, theta
    for _ in range(60):
        end = probe.spot(b)
        way = b - theta
        g = probe.gradient((theta + b) / 2)
        square = probe.hilbert.inner(way, way)
        if square > 0:
            g = g + (end.value - a.value - probe.hilbert.inner(g, way)) / square * way
        b = theta - tau * g
    way = b - theta
    assert abs(probe.spot(b).value - a.value + probe.hilbert.inner(way, way) / tau) <= 1e-12


@pytest.mark.parametrize("mover", [ExplicitEuler(), Stabilized(), ParticleMovement()], ids=["euler", "rkl2", "jko"])
def test_quadratics_by_hand(mover: Mover) -> None:
    """One step on lambda x^2 / 2 multiplies x by a known number."""
    factor = 0.7
    end = ms.flow(
        Quadratic(factor * torch.eye(1).double()), row(1), scheme=Uniform(mover, 0.5, ms.Lp(2)), until=0.5
    ).end
    z = 0.5 * factor
    # three stages of the stabilized scheme: b + a P_3(1 - 2 z / 5) with b = 5/12, a = 7/12, w = 2/5
    legendre = lambda y: (5 * y**3 - 3 * y) / 2  # noqa: E731
    known = {ExplicitEuler: 1 - z, ParticleMovement: 1 / (1 + z), Stabilized: 7 / 12 + 5 / 12 * legendre(1 - 2 / 5 * z)}
    assert float(end) == pytest.approx(known[type(mover)], abs=1e-9)


def test_stages_reach_the_stiffness() -> None:
    mover = Stabilized(most=21)
    for reach in (0.0, 1.0, 7.3, 50.0):
        s = mover.stages(reach)
        assert s % 2 == 1
        assert s >= 3
        assert s * s + s - 2 >= 2.2 * reach
        assert s == 3 or (s - 2) ** 2 + (s - 2) - 2 < 2.2 * reach
    assert mover.stages(mover.longest(3.0) * 3.0) <= 21
    stiff = Quadratic(torch.diag(torch.tensor([1.0, 1e4], dtype=torch.float64)))
    (run,) = descend(stiff, row(1, 1), until=Until(slope=1e-6))
    assert run.gradients < 6000  # explicit steps are at most 2e-4 long: 70 000 of them
    assert run.monotone


def test_rows_are_strangers_in_a_flow() -> None:
    risk = moons(20)
    theta = iid(risk.design, 2, 4, rows=3)
    scheme = Controlled(Stabilized(), 1e-3, layered(2, 4))
    whole = ms.flow(risk, theta, scheme=scheme, until=1.0)
    for k in range(3):
        alone = ms.flow(risk, theta[k : k + 1], scheme=scheme, until=1.0)
        assert torch.equal(whole.end[k], alone.end[0])
        assert int(whole.forward[k]) == int(alone.forward[0])
    runs = descend(risk, theta, until=Until(time=1.0), scheme=scheme)
    assert [torch.equal(run.end, whole.end[k]) for k, run in enumerate(runs)] == [True] * 3


class Broken(Energy):
    """A gradient that is not that of the value: no step dissipates."""

    def evaluate(self, x: Tensor):
        e = Quadratic(torch.eye(x.shape[1]).to(x)).evaluate(x)
        return e._replace(gradient=-e.gradient)

    look = evaluate

    def take(self, index: Tensor) -> Energy:
        return self

    @property
    def passes(self) -> int:
        return 1


def test_a_row_that_cannot_step_rests_and_says_so() -> None:
    for mover in (ExplicitEuler(), Stabilized()):
        (run,) = descend(Broken(), row(1.0), until=Until(slope=1e-9), scheme=Controlled(mover, 1e-3, ms.Lp(2)))
        assert run.status == ms.Status.UNSOLVED
        assert torch.equal(run.end, run.start)
        assert len(run.time) == 1
        curve = ms.flow(Broken(), row(1.0), scheme=Controlled(mover, 1e-3, ms.Lp(2)), until=5.0)
        assert int(curve.status[0]) == ms.Status.UNSOLVED
        assert float(curve.time[-1]) == 5.0
    movement = ms.flow(Broken(), row(1.0), scheme=Uniform(ParticleMovement(), 0.9, ms.Lp(2)), until=0.9)
    assert int(movement.status[0]) in (ms.Status.UNSOLVED, ms.Status.FINISHED)


def test_ends_of_a_flow() -> None:
    energy, x = Quadratic(torch.eye(2).double()), row(1, 2)
    (run,) = descend(energy, x, until=Until(steps=3))
    assert len(run.time) == 4
    assert len(run.way) == 3
    (run,) = descend(energy, x, until=Until(steps=0))
    assert len(run.time) == 1
    assert torch.equal(run.end, x[0])
    (run,) = descend(energy, x, until=Until(time=0))
    assert len(run.time) == 1
    (run,) = descend(energy, x, until=Until(gradients=30))
    assert 30 <= run.gradients <= 60
    (run,) = descend(energy, 0 * x, until=Until(slope=0, steps=5))
    assert run.relative_defect == 0
    (run,) = descend(Function(lambda z: z.sum(1).log()), -x, until=Until(steps=5))
    assert run.status == ms.Status.NON_FINITE
    (run,) = descend(energy, x, until=Until(time=1.0), scheme=Controlled(Stabilized(), 1e-8, ms.Lp(2), longest=0.1))
    assert float(run.time.diff().max()) <= 0.1 + 1e-12
    assert torch.allclose(run.end, x[0] * math.exp(-1), atol=1e-4)
    assert float(run.length[-1]) == pytest.approx(5**0.5 * (1 - math.exp(-1)), rel=1e-4)


def test_memory_grows_linearly_with_layers_times_particles() -> None:
    """Peak of live storage of one gradient, over that of the particles, is the same constant for every L m."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Peak(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.now = self.peak = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            import weakref

            out = func(*args, **(kwargs or {}))
            for t in out if isinstance(out, (tuple, list)) else (out,):
                if isinstance(t, Tensor) and t._base is None and not any(t is a for a in args):
                    size = t.untyped_storage().nbytes()
                    self.now += size
                    weakref.finalize(t, self.free, size)
            self.peak = max(self.peak, self.now)
            return out

        def free(self, size: int) -> None:
            self.now -= size

    risk = moons(64)
    peaks = []
    for layers, particles in ((4, 16), (8, 16), (16, 16), (16, 64)):
        theta = iid(risk.design, layers, particles)
        with Peak() as peak:
            risk.evaluate(theta)
        peaks.append(peak.peak / (layers * particles))
    assert peaks[-1] <= peaks[0] * 1.05
    assert max(peaks) <= 64 * 8 * 3


def test_misuse_of_schemes() -> None:
    from maxslope.sets import Box

    x = row(1)
    energy = Quadratic(torch.eye(1).double())
    with pytest.raises(ValueError, match="tolerance"):
        Controlled(Stabilized(), 0.0, ms.Lp(2))
    with pytest.raises(ValueError, match="positive, finite lengths"):
        Controlled(Stabilized(), 0.1, ms.Lp(2), first=0.0)
    with pytest.raises(ValueError, match="inner product"):
        Uniform(ExplicitEuler(), 0.1, ms.Lp(1))
    with pytest.raises(ValueError, match="3 stages"):
        Stabilized(2)
    with pytest.raises(ValueError, match="tolerance in"):
        ParticleMovement(0.0)
    with pytest.raises(ValueError, match="negative"):
        Until(slope=-1.0)
    with pytest.raises(ValueError, match="floating-point points"):
        descend(energy, torch.ones(1, 1, dtype=torch.int64), until=Until(steps=1))
    boxed = energy.within(Box(-torch.ones(1, 1).double(), torch.ones(1, 1).double()))
    with pytest.raises(ValueError, match="not constrained"):
        ms.flow(boxed, x, scheme=Uniform(ExplicitEuler(), 0.1, ms.Lp(2)), until=1.0)
    two = ms.flow(energy, torch.cat([x, x]), scheme=Uniform(ExplicitEuler(), 0.5, ms.Lp(2)), until=0.5)
    with pytest.raises(ValueError, match="row by row"):
        dissipation(energy, two, Affine())


def test_a_movement_steps_over_negative_curvature_and_checks_itself() -> None:
    """Where J + d^2 / (2 tau) is not convex the solver still goes down; De Giorgi's identity shows the wrong branch."""
    wave = Function(lambda x: (8 * x[:, 0]).cos())
    curve = ms.flow(wave, row(0.05), scheme=Uniform(ParticleMovement(nodes=8), 5.0, ms.Lp(2)), until=5.0)
    assert float(curve.energy[-1]) < float(curve.energy[0])
    assert float(curve.excess[-1].abs()) > 1e-3
    assert CustomField(lambda x, t: x, lambda d: 0).size(3) == 0
    assert Squared().targets(torch.zeros(3), 1).shape == (3, 1)
    assert Design(1, 1, 1).raw == 1
    rest = ms.flow(wave, row(0.05), scheme=Uniform(ExplicitEuler(), torch.tensor([0.0]), ms.Lp(2)), until=ms.Steps(2))
    assert torch.equal(rest.end, row(0.05))


def test_minimizing_movements_under_control() -> None:
    """Every step solved, every defect within the bound, and the same end as the stabilized scheme."""
    risk, theta = small()
    ends = []
    for mover in (ParticleMovement(1e-8), Stabilized()):
        (run,) = descend(risk, theta, until=Until(time=3.0), scheme=Controlled(mover, 1e-4, layered(4, 8)))
        assert run.monotone
        assert run.relative_defect <= 1e-4 * (1 + 1e-9)
        assert run.status == ms.Status.FINISHED
        ends.append(run.end)
    assert float(layered(4, 8).norm((ends[0] - ends[1])[None])) < 0.05
    probe = Probe(Quadratic(torch.eye(1).double()), Hilbert(ms.Lp(2)))
    assert math.isnan(probe.rate(probe.spot(0 * row(1))))
    assert not ParticleMovement(most=1, tolerance=1e-14).minimize(Probe(risk, Hilbert(layered(4, 8))), Probe(
        risk, Hilbert(layered(4, 8))).spot(theta), 1.0)[1]  # fmt: skip
