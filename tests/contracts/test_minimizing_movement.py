"""Minimizing movements against their laws: closed forms, energy inequality, counts, certificates, rows."""

import math
from collections.abc import Callable

import pytest
import torch

from maxslope import Status
from maxslope.energies import Energy, Evaluation, Function, Linear, Quadratic
from maxslope.loop import Record, Steps, flow
from maxslope.reference import rated_bowl, sliding
from maxslope.schemes import Best, Consensus, Descent, Explicit, InnerSolver, MinimizingMovement, Momentum, Newton
from maxslope.schemes.newton import minimize_model, minimize_planes
from maxslope.sets import L1, L2, Box, Budget, Linf, near
from maxslope.spaces import Lp, Mixed

SOLVERS = {"descent": Descent(), "newton": Newton(), "consensus": Consensus()}
EXACT = {"descent": Descent(), "newton": Newton()}


def points(rows: int = 4, d: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matrix(d: int = 3, seed: int = 1) -> torch.Tensor:
    a = points(d, d, seed)
    return a @ a.T + 0.2 * torch.eye(d, dtype=torch.float64)


class Counted(Energy):
    """A quadratic that counts its passes row by row."""

    def __init__(self, base: Energy, rows: torch.Tensor, forward: torch.Tensor, backward: torch.Tensor) -> None:
        self.base, self.rows, self.forward, self.backward = base, rows, forward, backward

    def evaluate(self, x: torch.Tensor) -> Evaluation:
        self.forward.index_add_(0, self.rows, torch.ones_like(self.rows))
        self.backward.index_add_(0, self.rows, torch.ones_like(self.rows))
        return self.base.evaluate(x)

    def look(self, x: torch.Tensor) -> Evaluation:
        self.forward.index_add_(0, self.rows, torch.ones_like(self.rows))
        return self.base.look(x)

    def take(self, index: torch.Tensor) -> "Counted":
        return Counted(self.base.take(index), self.rows[index], self.forward, self.backward)

    @property
    def passes(self) -> int:
        return self.base.passes


@pytest.mark.parametrize("name", EXACT)
def test_sits_on_the_sliding_set_where_the_explicit_scheme_chatters(name: str) -> None:
    x, tau = points(), 0.07
    energy = Quadratic(torch.diag(torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)))
    mm = flow(energy, x, scheme=MinimizingMovement(tau, inner=EXACT[name]), until=3.5)
    explicit = flow(energy, x, scheme=Explicit(tau), until=3.5)
    late = mm.time[:, 0] > 3.0  # every coordinate has reached zero
    assert float(mm.points[late].abs().max()) < 1e-6
    chatter = explicit.points[late].diff(dim=0).abs().amax()
    assert float(chatter) == pytest.approx(tau, rel=1e-6)
    assert float((mm.points - torch.stack([sliding(x, float(t)) for t in mm.time[:, 0]])).abs().max()) < 1e-6
    assert (mm.status == Status.FINISHED).all()


def test_consensus_comes_within_a_fraction_of_a_step_without_gradients() -> None:
    x, tau = points(), 0.07
    energy = Quadratic(torch.diag(torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)))
    scheme = MinimizingMovement(tau, inner=Consensus(), nodes=0)
    curve = flow(energy, x, scheme=scheme, until=3.5, record=Record(kinks=0))  # a look at kinks needs gradients
    assert float(curve.end.abs().max()) < 0.5 * tau
    assert float(curve.energy.diff(dim=0).max()) <= 0
    assert curve.backward.tolist() == [51, 51, 51, 51]  # the loop's own


@pytest.mark.parametrize(
    ("name", "p"),
    [(name, p) for p in (1, 2, math.inf) for name in SOLVERS if name != "newton" or p == math.inf],  # boxes only
)
def test_linear_energy_in_closed_form(name: str, p: float) -> None:
    c, x = points(3, 2, 5), points(3, 2, 6)
    curve = flow(Linear(c), x, scheme=MinimizingMovement(0.1, Lp(p), inner=SOLVERS[name], nodes=0), until=0.3)
    wanted = x + 0.3 * Lp(p).steepest(c)
    best = (c * wanted).sum(1)
    slack = 0.05 if name == "consensus" else 1e-9
    assert float((curve.energy[-1] - best).max()) <= slack * 0.3 * float(c.norm())


@pytest.mark.parametrize("name", SOLVERS)
def test_energy_never_rises_and_every_point_is_feasible(name: str) -> None:
    x = points(5)
    energy = Function(lambda z: torch.sin(3 * z).sum(1) + z.prod(1))
    K = Linf(0.5, box=None).around(x)
    curve = flow(energy.within(K), x, scheme=MinimizingMovement(0.1, inner=SOLVERS[name]), until=1.0)
    assert float(curve.energy.diff(dim=0).max()) <= 1e-14
    assert all(float(K.violation(p).max()) < 1e-12 for p in curve.points)
    assert float(curve.speed.max()) <= 1 + 1e-6


@pytest.mark.parametrize("rate", [2.0, 4.0, math.inf])
def test_discrete_energy_inequality_with_the_order_of_the_quadrature(rate: float) -> None:
    """Along a smooth curve left and right side agree but for Gauss's rule: order five a step with two nodes."""
    x = points(3)
    worst = []
    for tau in (0.1, 0.05):
        scheme = MinimizingMovement(tau, Lp(2), rate=rate, inner=Descent(restarts=0), nodes=2)
        curve = flow(Quadratic(matrix() / 4), x, scheme=scheme, until=0.2)
        assert curve.excess is not None
        assert curve.failed is not None
        assert int(curve.failed[-1].max()) == 0
        worst.append(float(curve.excess.abs().max()))
    assert worst[0] < 1e-4
    assert worst[1] < max(worst[0] / 16, 1e-9)


def test_unsolved_steps_show_in_the_status() -> None:
    x = points(2)
    lazy = Descent(restarts=0, iterations=1, tolerance=1e-12)
    curve = flow(Quadratic(matrix()), x, scheme=MinimizingMovement(2.0, inner=lazy, nodes=0), until=4.0)
    assert curve.failed is not None
    assert (curve.status == Status.UNSOLVED).all()
    assert (curve.failed[-1] > 0).all()
    assert "inner minimization" in curve.reasons()[0]


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("rate", [math.inf, 2.0])
def test_counts_are_exact(name: str, rate: float) -> None:
    x = points(3, 2)
    zero = torch.zeros(3, dtype=torch.int64)
    energy = Counted(Quadratic(matrix(2)), torch.arange(3), zero, zero.clone())
    inner: InnerSolver = Consensus(particles=5, iterations=4) if name == "consensus" else SOLVERS[name]
    curve = flow(energy, x, scheme=MinimizingMovement(0.1, rate=rate, inner=inner), until=Steps(3))
    assert curve.forward.tolist() == energy.forward.tolist()
    assert curve.backward.tolist() == energy.backward.tolist()


@pytest.mark.parametrize("name", SOLVERS)
def test_rows_are_strangers(name: str) -> None:
    x = points(5, 2)
    energy = Function(lambda z: torch.sin(3 * z).sum(1) + z[:, 0] * z[:, 1])
    scheme = MinimizingMovement(0.1, inner=SOLVERS[name])
    whole = flow(energy, x, scheme=scheme, until=0.5)
    order = torch.tensor([3, 0, 4, 2, 1])
    shuffled = flow(energy, x[order], scheme=scheme, until=0.5)
    alone = flow(energy, x[2:3], scheme=scheme, until=0.5)
    torch.testing.assert_close(shuffled.end, whole.end[order], rtol=0, atol=1e-9)
    torch.testing.assert_close(alone.end, whole.end[2:3], rtol=0, atol=1e-9)
    assert alone.forward.tolist() == whole.forward[2:3].tolist()


@pytest.mark.parametrize("p", [1.5, 2, math.inf])
def test_finite_rate_on_the_bowl(p: float) -> None:
    """For E = |x|^2 / 2 in l_2 and rate 2 a step is x / (1 + tau); other norms meet the balance of slopes."""
    x = points(3)
    scheme = MinimizingMovement(0.1, Lp(p), rate=2.0, inner=Descent(restarts=0), nodes=0)
    curve = flow(Quadratic(torch.eye(3, dtype=torch.float64)), x, scheme=scheme, until=Steps(2))
    if p == 2:
        torch.testing.assert_close(curve.end, x / 1.21, rtol=1e-9, atol=1e-9)
    step = Lp(p).norm(curve.points[1] - curve.points[0])
    torch.testing.assert_close(step / 0.1, curve.slope[1], rtol=1e-6, atol=1e-6)


def test_finite_rates_converge_to_their_flow() -> None:
    x = points(3)
    errors = []
    for tau in (0.1, 0.05):
        scheme = MinimizingMovement(tau, Lp(2), rate=3.0, inner=Descent(restarts=0), nodes=0)
        end = flow(Quadratic(torch.eye(3, dtype=torch.float64)), x, scheme=scheme, until=0.5).end
        errors.append(float((end - rated_bowl(x, 0.5, 3.0)).abs().max()))
    assert errors[1] < 0.6 * errors[0]


def test_inside_two_curved_constraints() -> None:
    """In the plane of the design: from (1, 0) on the unit circle, step 1/2: the minimizer of <(-1,-1), z>."""
    x = torch.tensor([[0.0, 0.0]], dtype=torch.float64)
    K = L2(1.0, box=None).around(x)
    start = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    c = torch.tensor([[-1.0, -1.0]], dtype=torch.float64)
    scheme = MinimizingMovement(0.5, Lp(2), inner=Descent(restarts=0), nodes=0)
    curve = flow(Linear(c).within(K), start, scheme=scheme, until=Steps(1))
    assert float(curve.energy[-1]) == pytest.approx(-1.359, abs=1e-3)


@pytest.mark.parametrize(
    ("budget", "p"),
    [
        pytest.param(L1, 1, marks=pytest.mark.slow),
        pytest.param(L2, 1, marks=pytest.mark.slow),
        pytest.param(L1, 2, marks=pytest.mark.slow),
        (L2, 2),
        (L2, math.inf),
        (L1, math.inf),
        (Linf, 1),
        (Linf, 2),
        (Linf, math.inf),
    ],
)
def test_projection_onto_what_a_step_may_reach(budget: Callable[..., Budget], p: float) -> None:
    """Feasible, idempotent and optimal: <v - Pv, z - Pv> <= 0 for sampled z."""
    x0 = 0.5 + 0.2 * points(6, 4, 7).clamp(-2, 2)
    K = budget(0.4, box=(0.0, 1.0)).around(x0)
    x = K.project(x0 + 0.6 * points(6, 4, 8))
    radius = torch.full((6,), 0.15, dtype=torch.float64)
    region = near(K, x, radius, Lp(p))
    v = x + points(6, 4, 9)
    z = region.project(v)
    assert float(region.violation(z).max()) < 1e-9
    torch.testing.assert_close(region.project(z), z, rtol=0, atol=1e-6)
    for seed in range(8):
        other = region.project(x + 0.2 * points(6, 4, 10 + seed))
        assert float(((v - z) * (other - z)).sum(1).max()) < 2e-6


def test_models_are_minimized_exactly() -> None:
    """Against a fine grid, for convex and nonconvex models."""
    H = torch.stack([matrix(2), -matrix(2), matrix(2) - 2 * torch.eye(2, dtype=torch.float64)])
    g, lo, hi = points(3, 2, 3), -torch.rand(3, 2, dtype=torch.float64), torch.rand(3, 2, dtype=torch.float64)
    s = minimize_model(g, H, lo, hi)
    at = torch.linspace(0, 1, 201, dtype=torch.float64)
    grid = torch.cartesian_prod(at, at)
    for k in range(3):
        z = lo[k] + grid * (hi[k] - lo[k])
        value = z @ g[k] + (z @ H[k] * z).sum(1) / 2
        mine = float(s[k] @ g[k] + s[k] @ H[k] @ s[k] / 2)
        assert mine <= float(value.min()) + 1e-12
        assert mine >= float(value.min()) - 1e-3


@pytest.mark.parametrize("d", [1, 2, 4])
def test_the_larger_of_two_planes_is_minimized_exactly(d: int) -> None:
    """Against its dual: max over w in [0, 1] of min over the box of <w a + (1 - w) b, s> - (1 - w) ahead."""
    a, b = points(40, d, 1), points(40, d, 2)
    lo, hi, ahead = -points(40, d, 3).abs(), points(40, d, 4).abs(), points(40, 1, 5).abs()[:, 0]
    s, _ = minimize_planes(a, b, ahead, lo, hi)
    assert bool(((s >= lo) & (s <= hi)).all())
    level = torch.maximum((a * s).sum(1), (b * s).sum(1) - ahead)
    w = torch.linspace(0, 1, 4001, dtype=torch.float64)[:, None, None]
    form = w * a + (1 - w) * b
    dual = torch.where(form > 0, form * lo, form * hi).sum(2) - (1 - w[:, :, 0]) * ahead
    torch.testing.assert_close(level, dual.amax(0), rtol=0, atol=2e-3)
    assert float((dual.amax(0) - level).max()) <= 1e-12


def test_newton_finds_minimizers_on_kinks_and_vouches_for_them() -> None:
    """E = |z_1 - z_0^2 - 0.05| - 0.2 z_0: along the kink to the face of the step."""
    energy = Function(lambda z: (z[:, 1] - z[:, 0].square() - 0.05).abs() - 0.2 * z[:, 0])
    x = torch.tensor([[0.1, 0.0], [0.11, 0.13], [-0.1, 0.06]], dtype=torch.float64)
    scheme = MinimizingMovement(0.1, inner=Newton(), nodes=0)
    curve = flow(energy, x, scheme=scheme, until=Steps(1), record=Record(kinks=0))
    z0 = x[:, 0] + 0.1
    torch.testing.assert_close(curve.end[:, 0], z0, rtol=0, atol=1e-12)
    torch.testing.assert_close(curve.end[:, 1], z0.square() + 0.05, rtol=0, atol=2e-5)
    assert (curve.status == Status.FINISHED).all()
    assert int(curve.forward.max()) < 25


def test_newton_does_not_vouch_for_what_two_planes_cannot_tell() -> None:
    """At a corner, where three pieces meet, it stays and says so; it never goes up."""
    energy = Function(lambda z: torch.stack([z[:, 0] + z[:, 1], -z[:, 0], -2 * z[:, 1]], 1).amax(1))
    x = torch.tensor([[0.03, 0.02]], dtype=torch.float64)
    curve = flow(energy, x, scheme=MinimizingMovement(0.1, inner=Newton(), nodes=0), until=Steps(3))
    assert float(curve.energy.diff(dim=0).max()) <= 0
    assert float(curve.energy[-1]) < 0.1 * float(curve.energy[0]) or int(curve.status) == Status.UNSOLVED


def test_a_row_that_is_not_finite_rests_and_says_so() -> None:
    x = torch.tensor([[1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)
    energy = Function(lambda z: torch.where(z[:, 0] < 0, torch.nan, z.square().sum(1)))
    for inner in SOLVERS.values():
        curve = flow(energy, x, scheme=MinimizingMovement(0.1, inner=inner), until=0.3)
        assert int(curve.status[1]) == Status.NON_FINITE
        assert curve.end[1].tolist() == [-1.0, 1.0]
        assert int(curve.status[0]) in (Status.FINISHED, Status.UNSOLVED)


def test_misuse() -> None:
    with pytest.raises(ValueError, match="nodes"):
        MinimizingMovement(0.1, nodes=-1)
    with pytest.raises(ValueError, match="boxes"):
        flow(Quadratic(matrix()), points(), scheme=MinimizingMovement(0.1, Lp(2), inner=Newton()), until=0.1)
    with pytest.raises(ValueError, match="Momentum"):
        Momentum(MinimizingMovement(0.1))
    for inner, bad in ((Descent, {"restarts": -1}), (Descent, {"iterations": 0}), (Consensus, {"particles": 1})):
        with pytest.raises(ValueError, match=f"{inner.__name__} needs"):
            inner(**bad)
    with pytest.raises(ValueError, match="at least one solver"):
        Best(())
    box = Box(torch.zeros(1, 2), torch.ones(1, 2))
    with pytest.raises(ValueError, match="Exact projections"):
        near(box, torch.ones(1, 2), torch.ones(1), Mixed(Lp(1), Lp(2), axis=1))
