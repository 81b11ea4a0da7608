"""Closed forms, the event-driven reference and the stiff smoothed solver against each other."""

import math
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import nn

from maxslope import Status
from maxslope.energies import Energy, Function, Linear, Quadratic
from maxslope.loop import flow
from maxslope.reference import (
    Reference,
    concave,
    euclidean_bowl,
    linear,
    piecewise_linear,
    rated_bowl,
    reference,
    sliding,
    smoothed,
    water_filling,
)
from maxslope.schemes import Explicit, MinimizingMovement, Newton
from maxslope.sets import L2, Box
from maxslope.spaces import Lp
from maxslope.studies.moons import SquaredError, problem, train


def points(rows: int = 4, d: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def definite(d: int, seed: int) -> torch.Tensor:
    a = points(d, d, seed)
    return a @ a.T + 0.1 * torch.eye(d, dtype=torch.float64)


@cache
def gelu() -> tuple[SquaredError, torch.Tensor]:
    return problem(train(nn.GELU), 12)


def slowly(
    energy: Energy, x: torch.Tensor, t: float, space: Lp, rate: float = math.inf, steps: int = 800
) -> torch.Tensor:
    """The explicit scheme with tiny steps: an oracle for closed forms in any norm."""
    return flow(energy, x, scheme=Explicit(t / steps, space, rate), until=t).end


@pytest.mark.parametrize("p", [1, 1.5, 2, math.inf])
def test_linear(p: float) -> None:
    c, x = points(3, 4, 1), points(3, 4, 2)
    torch.testing.assert_close(linear(c, x, 0.7, Lp(p)), slowly(Linear(c), x, 0.7, Lp(p), steps=7), rtol=0, atol=1e-12)


def test_linear_in_a_box_stops_at_faces() -> None:
    c, x = points(3, 4, 1), torch.zeros(3, 4, dtype=torch.float64)
    box = Box(torch.full((1, 4), -0.3, dtype=torch.float64), torch.full((1, 4), 0.6, dtype=torch.float64))
    found = reference(Linear(c).within(box), x, 1.0, instants=20)
    for k in (3, 11, 20):
        wanted = linear(c, x, k / 20, Lp(math.inf), box)
        torch.testing.assert_close(found.curve.points[k], wanted, rtol=0, atol=1e-12)
    assert found.unique.all()
    with pytest.raises(ValueError, match="leave out the box"):
        linear(c, x, 1.0, Lp(2), box)


@pytest.mark.parametrize(
    ("closed", "space", "rate"),
    [
        (euclidean_bowl, Lp(2), math.inf),
        (water_filling, Lp(1), math.inf),
        (lambda x, t: rated_bowl(x, t, 2.0), Lp(2), 2.0),
        (lambda x, t: rated_bowl(x, t, 3.5), Lp(2), 3.5),
        (lambda x, t: rated_bowl(x, t, 1.5), Lp(2), 1.5),
    ],
)
def test_bowls_against_tiny_steps(closed, space: Lp, rate: float) -> None:  # type: ignore[no-untyped-def]
    x, energy = points(3, 4), Quadratic(torch.eye(4, dtype=torch.float64))
    for t in (0.3, 0.9):
        assert float((closed(x, t) - slowly(energy, x, t, space, rate)).abs().max()) < 6e-3


def test_reference_meets_the_sliding_set_of_a_diagonal_energy() -> None:
    x = points(5)
    found = reference(Quadratic(torch.diag(torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64))), x, 2.5, instants=50)
    for k in range(51):
        assert float((found.curve.points[k] - sliding(x, 2.5 * k / 50)).abs().max()) < 1e-8
    assert found.unique.all()
    assert (found.curve.status == Status.FINISHED).all()


@pytest.mark.parametrize("seed", range(4))
def test_reference_slides_as_the_piecewise_linear_flow_does(seed: int) -> None:
    x, A = points(3, 3 + seed % 2, seed), definite(3 + seed % 2, 10 + seed)
    found = reference(Quadratic(A), x, 1.5, instants=60)
    for k in range(0, 61, 4):
        wanted = piecewise_linear(A, x, 1.5 * k / 60)
        assert float((found.curve.points[k] - wanted).abs().max()) < 1e-8
    assert found.unique.all()


def test_sliding_in_the_plane_by_hand() -> None:
    """A = [[2, 1], [1, 2]], from (1, 0): xi = (2, 1), v = (-1, -1) until 2 x_2 + x_1 = 0, at once sliding v_2 = 1/2."""
    A = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    meet = 1 / 3  # x_1 = 1 - t, x_2 = -t: 1 - t - 2 t = 0
    for t in (0.2, meet, 0.8, 1.0, 2.0):
        s = max(min(t, 1.0) - meet, 0.0)
        wanted = torch.tensor([[1 - min(t, 1.0), -min(t, meet) + s / 2]], dtype=torch.float64)
        torch.testing.assert_close(piecewise_linear(A, x, t), wanted, rtol=0, atol=1e-12)


def test_saddle_point_is_not_unique_and_says_so() -> None:
    energy = Quadratic(-torch.eye(2, dtype=torch.float64))
    x = torch.tensor([[0.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    found = reference(energy, x, 1.0, instants=10)
    assert found.unique.tolist() == [False, True]
    torch.testing.assert_close(found.curve.end, concave(x, 1.0), rtol=0, atol=1e-12)
    # every other departure has the same right to be called a curve of maximal slope: it dissipates what it should
    for leave, direction in ((0.0, 1.0), (0.25, -1.0)):
        late = concave(x, 1.0, leave, direction)
        assert float(late[0, 0]) == direction * (1 - leave)
        assert float(energy.look(late).value[0]) < float(energy.look(found.curve.end).value[0])
    explicit = flow(energy, x, scheme=Explicit(0.1), until=1.0)
    torch.testing.assert_close(explicit.end, concave(x, 1.0), rtol=0, atol=1e-12)


def test_an_energy_that_ignores_a_coordinate_is_not_unique() -> None:
    found = reference(Function(lambda z: z[:, 0].square()), torch.ones(1, 2, dtype=torch.float64), 0.5, instants=4)
    assert found.unique.tolist() == [False]
    torch.testing.assert_close(found.curve.end, torch.tensor([[0.5, 1.0]], dtype=torch.float64))


def test_reference_in_a_box_meets_minimizing_movements() -> None:
    """Faces, release from them, and sliding, in one run."""
    x, A = points(3, 2, 4), definite(2, 5)
    box = Box(x - 0.4, x + 0.7)
    found = reference(Quadratic(A).within(box), x, 1.5, instants=300)
    tau = 1.5 / 300
    mm = flow(Quadratic(A).within(box), x, scheme=MinimizingMovement(tau, inner=Newton(), nodes=0), until=1.5)
    assert float((mm.points - found.curve.points).abs().max()) < 2 * tau
    assert float(found.curve.defect().abs().max()) < 0.02
    assert float(found.curve.speed.max()) <= 1 + 1e-6


@pytest.mark.slow
def test_trained_network_against_the_stiff_smoothed_solver() -> None:
    energy, x = gelu()
    x = x[1:5]
    energy = energy.take(torch.arange(1, 5))
    found = reference(energy, x, 0.4, instants=64)
    stiff = smoothed(energy, x, [0.2, 0.4], 1e-3)
    rows = found.unique & (found.curve.status == Status.FINISHED)
    assert int(rows.sum()) >= 3
    for k, t in enumerate((32, 64)):
        assert float((stiff[k] - found.curve.points[t])[rows].abs().max()) < 1e-4


@pytest.mark.slow
def test_defect_of_the_reference_is_that_of_its_quadrature() -> None:
    energy, x = gelu()
    coarse, fine = (reference(energy, x, 0.4, instants=n).curve.defect().abs().max() for n in (32, 128))
    assert float(fine) < 1e-3
    assert float(fine) < 0.3 * float(coarse)


def test_kinks_are_reported() -> None:
    """An energy with a kink has no tangent sliding set: Newton's method fails there, and the row says so."""
    found = reference(
        Function(lambda z: z.abs().sum(1)), torch.tensor([[0.3, 1.0]], dtype=torch.float64), 0.5, instants=8
    )
    assert int(found.curve.status[0]) == Status.UNSOLVED
    assert float(found.curve.end[0, 0].abs()) < 1e-6


def test_misuse() -> None:
    energy, x = Quadratic(torch.eye(2)), torch.ones(1, 2)
    with pytest.raises(ValueError, match="boxes"):
        reference(energy.within(L2(0.5, box=None).around(x)), x, 1.0)
    with pytest.raises(ValueError, match="until"):
        reference(energy, x, 0.0)
    with pytest.raises(ValueError, match="constraint"):
        smoothed(energy.within(Box(x - 1, x + 1)), x, [1.0], 1e-3)


# --- other norms, finite rates, and what a reference owes to honesty -------------------------------------------------


def worst(found: Reference, closed: Callable[[float], torch.Tensor]) -> float:
    """The largest error at the instants and between them."""
    times = [*found.curve.time[::7, 0].tolist(), 0.111, 0.777]
    return max(float((found.at(t) - closed(t)).abs().max()) for t in times)


@pytest.mark.parametrize(
    ("closed", "space", "rate"),
    [
        (euclidean_bowl, Lp(2), math.inf),
        (water_filling, Lp(1), math.inf),
        (lambda x, t: rated_bowl(x, t, 1.5), Lp(2), 1.5),
        (lambda x, t: rated_bowl(x, t, 2.0), Lp(2), 2.0),
        (lambda x, t: rated_bowl(x, t, 3.5), Lp(2), 3.5),
    ],
    ids=["l_2", "l_1", "rate 1.5", "rate 2", "rate 3.5"],
)
def test_references_meet_closed_forms_in_other_norms_and_rates(closed, space: Lp, rate: float) -> None:  # type: ignore[no-untyped-def]
    x = points(2, 4, seed=3)
    until = float(space.norm(x).max()) * 1.1 if math.isinf(rate) else 2.0  # one curve arrives, the other is under way
    found = reference(Quadratic(torch.eye(4).double()), x, until, space=space, rate=rate, instants=28)
    assert worst(found, lambda t: closed(x, t)) < 1e-8
    assert found.unique.all()
    assert (found.curve.status == Status.FINISHED).all()
    assert found.curve.space == space
    assert found.curve.rate == rate


def test_a_finite_rate_where_the_slope_grows_after_an_event() -> None:
    """E = (x^2 - 3 y^2) / 2, rate 2: s' = 3.3 + 2 s until x = 0.3 is gone at s = 0.3, then y' = 3 y from 1.3 on."""
    energy = Quadratic(torch.diag(torch.tensor([1.0, -3.0], dtype=torch.float64)))
    found = reference(energy, torch.tensor([[0.3, 1.0]], dtype=torch.float64), 1.5, rate=2.0, instants=15)
    gone = math.log(3.9 / 3.3) / 2
    end = torch.tensor([[0.0, 1.3 * math.exp(3 * (1.5 - gone))]], dtype=torch.float64)
    torch.testing.assert_close(found.curve.end, end, rtol=1e-8, atol=1e-8)
    assert found.events == [[pytest.approx(gone, abs=1e-8)]]


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
@pytest.mark.parametrize("rate", [math.inf, 2.0])
def test_a_critical_point_rests(p: float, rate: float) -> None:
    """From the minimizer, and from a saddle, where another way would be down the negative curvature."""
    for curvature, unique in ((1e-3, True), (-1.0, False)):
        energy = Quadratic(torch.diag(torch.tensor([1.0, curvature], dtype=torch.float64)))
        found = reference(energy, torch.zeros(1, 2), 1.0, space=Lp(p), rate=rate, instants=4)
        assert not found.curve.points.any()
        assert (found.curve.status.item(), found.unique.item()) == (Status.FINISHED, unique)


@pytest.mark.parametrize("flat", [1, 8])
def test_a_flat_energy_in_many_coordinates_moves_nothing(flat: int) -> None:
    """Eight coordinates have no gradient: more than those for which every face is tried."""
    energy = Quadratic(torch.diag(torch.tensor([1.0] * (8 - flat) + [0.0] * flat, dtype=torch.float64)))
    found = reference(energy, torch.zeros(1, 8), 1.0, instants=4)
    assert not found.curve.points.any()
    assert (found.curve.status.item(), found.unique.item()) == (Status.FINISHED, False)


@pytest.mark.parametrize("p", [1.5, 3.0, 6.0])
@pytest.mark.parametrize("rate", [math.inf, 2.0])
def test_references_in_l_p_meet_the_flow_of_half_the_squared_norm(p: float, rate: float) -> None:
    """E = |x|_p^2 / 2: DE is the duality map, so u = x (1 - t / |x|_p)^+, and x e^-t for rate 2."""
    x = points(2, 3, seed=4)
    size = Lp(p).norm(x)[:, None]
    energy = Function(lambda z: Lp(p).norm(z).square() / 2)
    found = reference(energy, x, 1.0, space=Lp(p), rate=rate, instants=14)
    assert worst(found, lambda t: x * ((1 - t / size).clamp_min(0) if math.isinf(rate) else math.exp(-t))) < 1e-8


@pytest.mark.parametrize("space", [Lp(math.inf), Lp(1), Lp(2)])
def test_one_coordinate_has_one_flow_in_every_norm(space: Lp) -> None:
    """E = x^2, rate 3: |u|' = -(2 |u|)^(1/2), so |u|^(1/2) = |x|^(1/2) - t / 2^(1/2), and then it rests."""
    x = torch.tensor([[1.3], [-0.4]], dtype=torch.float64)
    found = reference(Quadratic(2 * torch.eye(1).double()), x, 1.5, space=space, rate=3.0, instants=20)
    assert worst(found, lambda t: (x.abs().sqrt() - t / math.sqrt(2)).clamp_min(0).square() * x.sign()) < 1e-8


def test_rates_of_sliding_curves_against_tiny_steps() -> None:
    """In l_inf, with coordinates that come to slide at different times, rate 2."""
    a = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    x = points(1, 3)
    found = reference(Quadratic(torch.diag(a)), x, 0.6, rate=2.0, instants=12)
    tiny = slowly(Quadratic(torch.diag(a)), x, 0.6, Lp(math.inf), 2.0, steps=4000)
    assert float((found.curve.end - tiny).abs().max()) < 5e-3
    assert len(found.events[0]) >= 1


def test_ties_in_l_1_with_a_coupled_energy_against_tiny_steps() -> None:
    x, A = points(2, 3, seed=1), definite(3, 5)
    found = reference(Quadratic(A), x, 0.5, space=Lp(1), instants=20)
    tiny = slowly(Quadratic(A), x, 0.5, Lp(1), steps=4000)
    assert float((found.curve.end - tiny).abs().max()) < 5e-3
    assert max(len(e) for e in found.events) >= 1
    assert float((found.curve.speed - 1).abs().max()) < 1e-8


def test_in_the_plane_faces_and_spheres_hold_a_curve() -> None:
    """E = <(1, 2), x>, l_2, from 0: in |x|_inf <= 0.3 the true end at t = 0.4 is -0.2147 lower than the start, and in
    |x|_2 <= 0.2 it goes straight to the minimizer and rests.
    """
    c, x = torch.tensor([[1.0, 2.0]], dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64)
    box = Box(x - 0.3, x + 0.3)
    found = reference(Linear(c).within(box), x, 0.4, space=Lp(2), instants=16)
    at_face = 0.3 * math.sqrt(5) / 2
    end = torch.tensor([[-0.15 - (0.4 - at_face), -0.3]], dtype=torch.float64)
    torch.testing.assert_close(found.curve.end, end, rtol=0, atol=1e-9)
    ball = L2(0.2, box=None).around(x)
    found = reference(Linear(c).within(ball), x + 0.05, 0.4, space=Lp(2), instants=16)
    torch.testing.assert_close(found.curve.end, -0.2 * c / math.sqrt(5), rtol=0, atol=1e-8)
    assert float(found.curve.slope[-1]) < 1e-6
    assert found.unique.tolist() == [True]
    assert found.curve.status.tolist() == [Status.FINISHED]
    other = reference(Linear(c).within(ball), torch.tensor([[-0.2, 0.0]]).double(), 0.1, space=Lp(2), instants=8)
    turn = 0.1 / 0.2  # along the sphere at unit speed
    wanted = 0.2 * torch.tensor([[-math.cos(turn), -math.sin(turn)]], dtype=torch.float64)
    torch.testing.assert_close(other.curve.end, wanted, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("space", "slack"), [(None, 1e-8), (Lp(1), 1e-8), (Lp(2), 1e-3)])
def test_a_reference_stops_where_the_energy_is_flat(space: Lp | None, slack: float) -> None:
    """E = max(|z| - 1, 0)^4 from 1.5: nothing drives it on from 1, and any way on would do."""
    energy = Function(lambda z: (z.abs() - 1).clamp_min(0).pow(4).sum(1))
    found = reference(energy, torch.tensor([[1.5]], dtype=torch.float64), 1.0, space=space, instants=20)
    assert float(found.curve.end) == pytest.approx(1.0, abs=slack)
    assert found.unique.tolist() == [False]


@pytest.mark.parametrize("space", [None, Lp(1)])
def test_singular_energies_and_starts_that_are_not_finite_end_with_a_status(space: Lp | None) -> None:
    x = torch.tensor([[0.53, 1.9], [math.nan, 1.0]], dtype=torch.float64)
    for f in (lambda z: z.abs().log().sum(1), lambda z: (-1 / z.abs()).sum(1), lambda z: (z - 0.1).sqrt().sum(1)):
        found = reference(Function(f), x, 1.0, space=space, instants=40)
        assert found.curve.status.tolist() == [Status.NON_FINITE] * 2
        assert bool(found.curve.points[:, 0].isfinite().all())
        assert float(found.curve.energy[-1, 0].abs()) < 1e4


def test_what_no_reference_knows_is_refused() -> None:
    energy, x = Quadratic(torch.eye(2)), torch.zeros(1, 2)
    for domain, space in ((L2(0.5, box=None).around(x), Lp(math.inf)), (Box(x - 1, x + 1), Lp(1))):
        with pytest.raises(ValueError, match="are known in boxes"):
            reference(energy.within(domain), x, 1.0, space=space)
