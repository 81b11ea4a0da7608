"""Schemes against their laws: closed forms, feasibility, separate rows, finite rates, momentum, step sizes."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.optimize import linprog, minimize
from torch import Tensor

import maxslope as ms
from maxslope.energies import Energy, Linear, Loss, Quadratic
from maxslope.energies.base import plain
from maxslope.loop import Record, Steps, flow
from maxslope.schemes import Constant, Cosine, Explicit, Here, Momentum, Scheme, SemiImplicit, StepSize
from maxslope.sets import Budget, Everything, Set
from maxslope.spaces import Lp, Weighted
from nets import mlp

P = (1.0, 1.5, 2.0, 3.0, math.inf)
SCHEMES = (Explicit, SemiImplicit)
EVERY = pytest.mark.parametrize(("scheme", "p"), [(s, p) for s in SCHEMES for p in P])


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def steepest(c: Tensor, p: float) -> Tensor:
    """The table of flows.md, section 2, written down once more; rows [rows, d]."""
    if p == 1:
        v = torch.zeros_like(c)
        at = c.abs().argmax(1)
        rows = torch.arange(c.shape[0])
        v[rows, at] = -c[rows, at].sign()
        return v
    if math.isinf(p):
        return -c.sign()
    q = p / (p - 1)
    return -c.sign() * c.abs() ** (q - 1) / torch.linalg.vector_norm(c, q, dim=1, keepdim=True) ** (q - 1)


def dual(c: Tensor, p: float) -> Tensor:
    return torch.linalg.vector_norm(c, math.inf if p == 1 else 1.0 if math.isinf(p) else p / (p - 1), dim=1)


def here(energy: Energy, domain: Set, x: Tensor, tau: float) -> Here:
    return Here(x, energy.evaluate(x), torch.full((x.shape[0],), tau, dtype=x.dtype), energy, domain)


def one_step(scheme: Scheme, energy: Energy, domain: Set, x: Tensor, tau: float) -> Tensor:
    return scheme.step(here(energy, domain, x, tau), scheme.start(x))[0]


# --- a linear energy, in closed form ---------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("rate", [math.inf, 2.0, 3.0])
def test_free_steps_of_a_linear_energy(scheme: type[Scheme], p: float, rate: float) -> None:
    """x + n tau |c|_*^(q-1) v(c), with speed 1 for rate inf."""
    c, x = draw(4, 3), draw(4, 3, seed=1)
    curve = flow(Linear(c), x, scheme=scheme(0.125, Lp(p), rate), until=1.0)
    speed = torch.ones(4, dtype=torch.float64) if math.isinf(rate) else dual(c, p) ** (1 / (rate - 1))
    times = torch.arange(9, dtype=torch.float64)[:, None] / 8
    torch.testing.assert_close(curve.time, times.expand(9, 4))
    torch.testing.assert_close(curve.points, x + (times * speed)[..., None] * steepest(c, p))
    torch.testing.assert_close(curve.slope, dual(c, p).expand(9, 4))
    torch.testing.assert_close(curve.speed, speed.expand(8, 4))
    torch.testing.assert_close(curve.defect(), torch.zeros(4, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("scheme", "p"), [(SemiImplicit, p) for p in P] + [(Explicit, p) for p in (1.0, 2.0, math.inf)]
)
def test_a_linear_energy_within_a_ball(scheme: type[Scheme], p: float) -> None:
    """From the center along the steepest ray: x + min(t, eps) v(c), and then it stays.

    Not so for the explicit scheme in other norms, whose Euclidean projections slide along the sphere.
    """
    c, x = draw(4, 3), draw(4, 3, seed=1)
    domain = Budget(Lp(p), 0.55, box=None).around(x)
    curve = flow(Linear(c).within(domain), x, scheme=scheme(0.125, Lp(p)), until=1.0)
    ray = x + curve.time[..., None].clamp_max(0.55) * steepest(c, p)
    torch.testing.assert_close(curve.points, ray, atol=1e-8, rtol=0)
    if p != 1:  # in l_1 the sphere's vertex is the minimizer, but its normal cone is thick
        torch.testing.assert_close(curve.slope[-1], torch.zeros(4, dtype=torch.float64), atol=1e-5, rtol=0)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_linear_energy_in_a_box(scheme: type[Scheme]) -> None:
    """l_inf: every coordinate goes at unit speed and stops at its own face."""
    c, x = draw(4, 3), draw(4, 3, seed=1).sigmoid()
    domain = Budget(Lp(math.inf), 0.6, box=(0.0, 1.0)).around(x)
    curve = flow(Linear(c).within(domain), x, scheme=scheme(0.125), until=1.0)
    for k, t in enumerate(curve.time[:, 0].tolist()):
        want = torch.where(c > 0, (x - min(t, 0.6)).clamp_min(0), (x + min(t, 0.6)).clamp_max(1))
        torch.testing.assert_close(curve.points[k], want)
    assert not curve.slope[-1].any()


def test_a_greedy_step_in_a_box_goes_on_with_the_next_coordinate() -> None:
    """l_1, semi-implicit, tau = 1 from (0.5, 0.5, 0.5) along c = (3, -2, 1): 0.5 in the first, 0.5 in the second."""
    c, x = torch.tensor([[3.0, -2.0, 1.0]]).double(), torch.full((1, 3), 0.5).double()
    domain = Budget(Lp(1), 10.0).around(x)
    z = one_step(SemiImplicit(1.0, Lp(1)), Linear(c), domain, x, 1.0)
    torch.testing.assert_close(z, torch.tensor([[0.0, 1.0, 0.5]]).double())
    # the explicit step spends all of it on the first coordinate, and the projection takes half of it back
    z = one_step(Explicit(1.0, Lp(1)), Linear(c), domain, x, 1.0)
    torch.testing.assert_close(z, torch.tensor([[0.0, 0.5, 0.5]]).double())


def test_semi_implicit_motion_keeps_unit_speed_along_a_face() -> None:
    """l_2 in a box: after (1, 0.5) - t (3, 4) / 5 meets x_2 = 0 at t = 0.625, the first coordinate goes on alone."""
    c, x = torch.tensor([[3.0, 4.0]]).double(), torch.tensor([[1.0, 0.5]]).double()
    domain = Budget(Lp(2), 10.0, box=(-0.0, 1.0)).around(x)
    curve = flow(Linear(c).within(domain), x, scheme=SemiImplicit(0.125, Lp(2)), until=0.875)
    torch.testing.assert_close(curve.end, torch.tensor([[1.0 - 0.375 - 0.25, 0.0]]).double())
    torch.testing.assert_close(curve.speed, torch.ones(7, 1).double())
    torch.testing.assert_close(curve.slope[-1], torch.tensor([3.0]).double())
    # the slope falls from 5 to 3 at the end of a step, and the trapezoid rule sees 4 there
    torch.testing.assert_close(curve.defect(), torch.tensor([0.125]).double(), atol=1e-9, rtol=0)


@pytest.mark.parametrize(("scheme", "value"), [(Explicit, -1.220), (SemiImplicit, -1.359)])
def test_the_plane_example(scheme: type[Scheme], value: float) -> None:
    """flows.md, section 4: l_2, x0 = 0, eps = 1, x = (1, 0), xi = (-1, -1), tau = 1/2."""
    xi, x0, x = torch.tensor([[-1.0, -1.0]]).double(), torch.zeros(1, 2).double(), torch.tensor([[1.0, 0.0]]).double()
    domain = Budget(Lp(2), 1.0, box=None).around(x0)
    curve = flow(Linear(xi).within(domain), x, scheme=scheme(0.5, Lp(2)), until=0.5)
    assert float(curve.energy[-1]) == pytest.approx(value, abs=5e-4)
    assert float(torch.linalg.vector_norm(curve.end)) == pytest.approx(1.0, abs=1e-9)
    if scheme is SemiImplicit:  # the corner of both circles: (1 - tau^2 / 2, tau sqrt(1 - tau^2 / 4))
        corner = torch.tensor([[1 - 0.125, 0.5 * math.sqrt(1 - 0.0625)]], dtype=torch.float64)
        torch.testing.assert_close(curve.end, corner, atol=1e-8, rtol=0)
    else:  # radial, since there is no box
        ray = torch.tensor([[1 + 0.5 / math.sqrt(2), 0.5 / math.sqrt(2)]], dtype=torch.float64)
        torch.testing.assert_close(curve.end, ray / ray.norm(), atol=1e-9, rtol=0)


# --- laws on a network -----------------------------------------------------------------------------------------------


def task(rows: int = 7) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(5)
    x = (1.4 * torch.rand(rows, 2, 3, generator=g, dtype=torch.float64) - 0.2).clamp(0, 1)
    return x, torch.arange(rows) % 4


BUDGETS = {f"l_{p:g}": (Lp(p), 0.4 * 6 ** (0 if math.isinf(p) else 1 / p)) for p in P}
BUDGETS["weighted"] = (Weighted(Lp(2), torch.tensor([[1.0, 2.0, 0.5], [1.5, 1.0, 1.0]]).double()), 0.8)


def scheme_of(kind: str, norm: object, tau: float | Tensor | StepSize = 0.15) -> Scheme:
    return {
        "explicit": lambda: Explicit(tau, norm),
        "semi-implicit": lambda: SemiImplicit(tau, norm),
        "momentum": lambda: Momentum(Explicit(tau, norm), 0.9),
        "momentum of semi-implicit": lambda: Momentum(SemiImplicit(tau, norm), 0.9),
        "explicit, rate 2": lambda: Explicit(tau, norm, 2.0),
        "semi-implicit, rate 2": lambda: SemiImplicit(tau, norm, 2.0),
        "semi-implicit in l_inf": lambda: SemiImplicit(tau, Lp(math.inf)),
    }[kind]()


KINDS = [
    "explicit",
    "semi-implicit",
    "momentum",
    "momentum of semi-implicit",
    "explicit, rate 2",
    "semi-implicit, rate 2",
]
COSTLY = {("semi-implicit, rate 2", b) for b in ("l_1.5", "l_3")}  # a search around a search; tested in one step
ON_NETWORK = pytest.mark.parametrize(
    ("kind", "budget"),
    [(k, b) for k in [*KINDS, "semi-implicit in l_inf"] for b in BUDGETS if (k, b) not in COSTLY],
)


def violation(norm: object, eps: float, x0: Tensor, z: Tensor) -> float:
    """How far the points are outside ball and box, without the code under test."""
    w = norm.weights if isinstance(norm, Weighted) else torch.ones(())
    p = norm.base.p if isinstance(norm, Weighted) else norm.p
    size = torch.linalg.vector_norm((w * (z - x0)).reshape(z.shape[0], -1), p, dim=1)
    return max(float((size - eps).amax()), float((z - 1).amax()), float((-z).amax()))


@ON_NETWORK
def test_points_are_feasible_after_every_step(kind: str, budget: str) -> None:
    norm, eps = BUDGETS[budget]
    x, y = task()
    energy = Loss(mlp(), y).within(Budget(norm, eps).around(x))
    curve = flow(energy, x, scheme=scheme_of(kind, norm), until=Steps(5))
    for z in curve.points:
        assert violation(norm, eps, x, z) <= 1e-12
    assert curve.energy.isfinite().all()
    assert bool((curve.energy[-1] < curve.energy[0]).all())
    assert float((curve.points[-1] - x).abs().amax()) > 0.1


@ON_NETWORK
def test_a_row_moves_alone_as_in_a_batch(kind: str, budget: str) -> None:
    """Row by row, in a batch and in another order: the same points."""
    norm, eps = BUDGETS[budget]
    x, y = task()
    tau = torch.linspace(0.05, 0.2, 7, dtype=torch.float64)
    steps = torch.tensor([2, 5, 1, 4, 5, 0, 3])

    def run(at: Tensor) -> Tensor:
        energy = Loss(mlp(), y[at]).within(Budget(norm, eps).around(x[at]))
        scheme = scheme_of(kind, norm, tau[at])
        return flow(energy, x[at], scheme=scheme, until=Steps(steps[at]), record=Record(0)).end

    whole = run(torch.arange(7))
    order = torch.tensor([4, 0, 6, 5, 2, 1, 3])
    tight = {"atol": 1e-9 if "rate" not in kind else 1e-6, "rtol": 0}  # minimizers are not unique to the last bit
    torch.testing.assert_close(run(order), whole[order], **tight)
    some = [0, 1, 4, 6]
    alone = torch.cat([run(torch.tensor([i])) for i in some])
    torch.testing.assert_close(alone, whole[some], **tight)
    assert torch.equal(whole[5], x[5])


@ON_NETWORK
def test_a_finished_row_is_bit_identical_afterwards(kind: str, budget: str) -> None:
    norm, eps = BUDGETS[budget]
    x, y = task()
    domain = Budget(norm, eps).around(x)
    energy = Loss(mlp(), y).within(domain)
    curve = flow(energy, x, scheme=scheme_of(kind, norm), until=Steps(torch.tensor([2, 5, 1, 5, 3, 0, 5])))
    for row, steps in enumerate([2, 5, 1, 5, 3, 0, 5]):
        for k in range(steps, curve.points.shape[0]):
            assert torch.equal(curve.points[k, row], curve.points[-1, row])
            assert curve.time[k, row] == curve.time[-1, row]
        assert steps == 0 or not torch.equal(curve.points[0, row], curve.points[1, row])


@pytest.mark.parametrize("rate", [math.inf, 2.0])
def test_on_l_inf_both_schemes_are_one(rate: float) -> None:
    x, y = task(20)
    energy = Loss(mlp(), y).within(ms.Linf(0.35).around(x))
    a, b = (flow(energy, x, scheme=s(0.1, Lp(math.inf), rate), until=Steps(10)).points for s in SCHEMES)
    if math.isinf(rate):
        assert torch.equal(a, b)
    else:  # the penalized step gives up length where the box holds coordinates back
        assert float((a - b).abs().amax()) > 1e-3


def test_on_l_2_the_schemes_differ_and_semi_implicit_steps_go_further_down() -> None:
    x, _y = task(20)
    domain = ms.L2(0.6).around(x)
    c = draw(20, 2, 3, seed=9)
    start = domain.project(x + 0.5 * draw(20, 2, 3, seed=10))
    a, b = (one_step(s(0.3, Lp(2)), Linear(c), domain, start, 0.3) for s in SCHEMES)
    down = ((b - a) * c).sum((1, 2))
    assert bool((down <= 1e-9).all())
    assert float(down.amin()) < -1e-2


@pytest.mark.parametrize("scheme", SCHEMES)
def test_unit_speed_at_most(scheme: type[Scheme]) -> None:
    x, y = task()
    for norm, eps in BUDGETS.values():
        energy = Loss(mlp(), y).within(Budget(norm, eps).around(x))
        curve = flow(energy, x, scheme=scheme(0.1, norm), until=1.0)
        # the explicit step projects in l_2, which may lengthen steps in another norm; the semi-implicit step never does
        if scheme is SemiImplicit or norm == Lp(2) or norm == Lp(math.inf):
            assert float(curve.speed.amax()) <= 1 + 1e-6


# --- finite rates ----------------------------------------------------------------------------------------------------


def penalized(
    xi: Tensor, x: Tensor, x0: Tensor, eps: float, tau: float, rate: float, box: tuple[float, float]
) -> float:
    """min <xi, z - x> + |z - x|_2^p / (p tau^(p-1)) over |z - x0|_2 <= eps and the box, by scipy."""
    g, a, c = (t.reshape(-1).numpy() for t in (xi, x, x0))
    best = math.inf
    for start in (a, (a + c) / 2):
        answer = minimize(
            lambda z: g @ (z - a) + ((z - a) @ (z - a) + 1e-18) ** (rate / 2) / (rate * tau ** (rate - 1)),
            start,
            bounds=[box] * len(a),
            constraints=[{"type": "ineq", "fun": lambda z: eps**2 - (z - c) @ (z - c), "jac": lambda z: -2 * (z - c)}],
            method="SLSQP",
            options={"ftol": 1e-15, "maxiter": 500},
        )
        if eps**2 - (answer.x - c) @ (answer.x - c) > -1e-9:
            best = min(best, float(answer.fun))
    return best


@pytest.mark.parametrize("rate", [1.5, 2.0, 3.0])
def test_penalized_steps_agree_with_scipy(rate: float) -> None:
    """The semi-implicit step of a p-curve within ball and box, l_2."""
    rows = 12
    x0 = draw(rows, 4, seed=1).sigmoid()
    domain = ms.L2(0.4).around(x0)
    x = domain.project(x0 + 0.6 * draw(rows, 4, seed=2))
    xi = draw(rows, 4, seed=3)
    z = one_step(SemiImplicit(0.3, Lp(2), rate), Linear(xi), domain, x, 0.3)
    move = torch.linalg.vector_norm(z - x, dim=1)
    got = (xi * (z - x)).sum(1) + move**rate / (rate * 0.3 ** (rate - 1))
    assert violation(Lp(2), 0.4, x0, z) <= 1e-9
    free = 0.3 * torch.linalg.vector_norm(xi, dim=1) ** (1 / (rate - 1))
    assert int((move < free - 1e-3).sum()) > 0  # the constraint binds somewhere
    for i in range(rows):
        want = penalized(xi[i], x[i], x0[i], 0.4, 0.3, rate, (0.0, 1.0))
        assert float(got[i]) == pytest.approx(want, rel=2e-6, abs=1e-8)


@pytest.mark.slow
def test_penalized_steps_in_l_inf_agree_with_a_linear_program() -> None:
    """Rate 2, l_inf in a box: min over r of (min <c, z - x> over |z - x| <= r) + r^2 / (2 tau), each a program."""
    x, c = draw(6, 3, seed=1).sigmoid(), draw(6, 3, seed=2)
    domain = ms.Linf(0.2).around(x)
    z = one_step(SemiImplicit(0.1, Lp(math.inf), 2.0), Linear(c), domain, x, 0.1)
    got = (c * (z - x)).sum(1) + (z - x).abs().amax(1) ** 2 / 0.2
    for i in range(6):
        best = math.inf
        for r in torch.linspace(0, 0.2, 401, dtype=torch.float64).tolist():
            bounds = [(max(v - r, 0.0), min(v + r, 1.0)) for v in x[i].tolist()]
            best = min(best, linprog(c[i].numpy(), bounds=bounds).fun - float(c[i] @ x[i]) + r * r / 0.2)
        assert float(got[i]) <= best + 1e-9
        assert float(got[i]) == pytest.approx(best, abs=5e-4)  # kinks between the grid of r


def test_a_penalized_step_that_nothing_holds_back_is_the_free_one() -> None:
    x, xi = torch.full((5, 3), 0.5).double(), 0.1 * draw(5, 3)
    domain = ms.L2(50.0, box=None).around(x)
    for rate in (2.0, 3.0):
        scheme = SemiImplicit(0.1, Lp(2), rate)
        held, free = (one_step(scheme, Linear(xi), k, x, 0.1) for k in (domain, Everything()))
        torch.testing.assert_close(held, free, atol=1e-8, rtol=1e-6)


# --- momentum --------------------------------------------------------------------------------------------------------


def test_momentum_is_its_recursion() -> None:
    """m+ = 0.5 m + xi / |xi|_1, by hand: xi = x for E = |x|^2 / 2, l_inf steps of 0.4."""
    x = torch.tensor([[1.0, -0.5], [0.3, 0.9]]).double()
    curve = flow(Quadratic(torch.eye(2).double()), x, scheme=Momentum(Explicit(0.4), 0.5), until=Steps(5))
    for row in range(2):
        z, m = x[row].tolist(), [0.0, 0.0]
        for k in range(5):
            assert curve.points[k, row].tolist() == pytest.approx(z)
            size = abs(z[0]) + abs(z[1])
            m = [0.5 * a + b / size for a, b in zip(m, z, strict=True)]
            z = [a - 0.4 * math.copysign(1, b) for a, b in zip(z, m, strict=True)]
        assert curve.end[row].tolist() == pytest.approx(z)
    plain_steps = flow(Quadratic(torch.eye(2).double()), x, scheme=Explicit(0.4), until=Steps(5))
    assert not torch.allclose(curve.points, plain_steps.points)


def test_momentum_without_decay_is_the_scheme_itself() -> None:
    x, y = task()
    energy = Loss(mlp(), y).within(ms.Linf(0.4).around(x))
    a, b = (flow(energy, x, scheme=s, until=Steps(6)).points for s in (Momentum(Explicit(0.1), 0.0), Explicit(0.1)))
    assert torch.equal(a, b)


def test_momentum_of_a_zero_gradient_is_no_nan() -> None:
    scheme = Momentum(Explicit(0.1), 1.0)
    x = torch.zeros(1, 3).double()
    z, memory = scheme.step(here(Quadratic(torch.eye(3).double()), Everything(), x, 0.1), scheme.start(x))
    assert torch.equal(z, x)
    assert all(m.isfinite().all() for m in memory)


def test_momenta_nest() -> None:
    """Each keeps a memory of its own."""
    scheme = Momentum(Momentum(Explicit(0.1), 0.5), 0.25)
    x = torch.tensor([[1.0, 2.0]]).double()
    evaluation = plain(x.sum(1), torch.tensor([[3.0, -1.0]]).double())
    state = Here(x, evaluation, torch.tensor([0.1]).double(), Linear(x), Everything())
    _, memory = scheme.step(state, scheme.start(x))
    torch.testing.assert_close(memory[0], torch.tensor([[0.75, -0.25]]).double())
    torch.testing.assert_close(memory[1], torch.tensor([[0.75, -0.25]]).double())
    _, memory = scheme.step(state, memory)
    torch.testing.assert_close(memory[0], torch.tensor([[0.9375, -0.3125]]).double())
    torch.testing.assert_close(memory[1], torch.tensor([[0.375 + 0.75, -0.125 - 0.25]]).double())


# --- step sizes ------------------------------------------------------------------------------------------------------


def test_constant_steps_by_row() -> None:
    tau = torch.tensor([0.1, 0.2, 0.3])
    row, clock = torch.tensor([2, 0, 2]), torch.tensor([0, 4, 9])
    torch.testing.assert_close(Constant(tau).at(clock, row), tau.double()[[2, 0, 2]])
    torch.testing.assert_close(Constant(torch.tensor(0.5)).at(clock, row), torch.full((3,), 0.5).double())


def test_cosine_steps_are_their_formula() -> None:
    clock = torch.arange(7)
    got = Cosine(0.8, 4, 0.2).at(clock, torch.zeros_like(clock))
    want = [0.2 + 0.3 * (1 + math.cos(math.pi * min(k, 4) / 4)) for k in range(7)]
    assert got.tolist() == pytest.approx(want)
    by_row = Cosine(torch.tensor([0.8, 1.0]), torch.tensor([4, 2]), torch.tensor([0.2, 0.0]))
    assert by_row.at(torch.tensor([1, 1]), torch.tensor([0, 1])).tolist() == pytest.approx([want[1], 0.5])


def test_a_flow_follows_its_step_sizes() -> None:
    c, x = torch.tensor([[1.0], [1.0]]).double(), torch.zeros(2, 1).double()
    scheme = Explicit(Cosine(torch.tensor([1.0, 2.0]), 4))
    curve = flow(Linear(c), x, scheme=scheme, until=Steps(4))
    half = [0.5 * (1 + math.cos(math.pi * k / 4)) for k in range(4)]
    assert curve.time[-1].tolist() == pytest.approx([sum(half), 2 * sum(half)])
    torch.testing.assert_close(curve.end[:, 0], -curve.time[-1])


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf, torch.tensor([0.1, -1.0])])
def test_step_sizes_are_finite_and_not_negative(bad: float | Tensor) -> None:
    makers = [Constant, lambda t: Cosine(t, 3), lambda t: Cosine(0.1, 3, t), Explicit, SemiImplicit]
    for make in makers:
        with pytest.raises(ValueError, match="Step sizes must be finite and not negative, got tau="):
            make(bad)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("rate", [1.0, 0.0, -2.0, math.nan])
def test_rates_are_above_one(scheme: type[Scheme], rate: float) -> None:
    with pytest.raises(ValueError, match=r"in \(1, inf\], got rate="):
        scheme(0.1, Lp(2), rate)


def test_the_decay_of_a_momentum_is_not_negative() -> None:
    for bad in (-0.5, math.nan):
        with pytest.raises(ValueError, match="must not be negative, got decay="):
            Momentum(Explicit(0.1), bad)


def test_a_record_keeps_every_kth_step() -> None:
    with pytest.raises(ValueError, match="got every=-1"):
        Record(-1)
