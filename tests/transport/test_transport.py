"""Distributional adversaries: speeds against exact assignments, labels, dissipation, risks, duality."""

import itertools
import math
from functools import cache

import pytest
import torch
from torch import nn

from maxslope.energies import Function, Loss, Margin, Quadratic
from maxslope.loop import Steps, flow
from maxslope.schemes import Explicit
from maxslope.spaces import Lp
from maxslope.studies.moons import SquaredError, data, train
from maxslope.transport import Cloud, Potential, adversary, cloud_space, clouds, distance, dual, particle_speeds
from maxslope.transport.adversary import affordable


@cache
def moons() -> tuple[SquaredError, Cloud]:
    x, y = data(60)
    return SquaredError(train(nn.GELU, epochs=30), y.double()), Cloud(x.double(), y.long())


def by_permutations(a: Cloud, b: Cloud, r: float, space: Lp) -> float:
    n = len(a.points)
    best = math.inf
    for s in itertools.permutations(range(n)):
        index = torch.tensor(s)
        if bool((a.labels != b.labels[index]).any()):
            continue
        size = space.norm(b.points[index] - a.points)
        best = min(best, float(size.max() if math.isinf(r) else size.pow(r).mean() ** (1 / r)))
    return best


@pytest.mark.parametrize("r", [1, 2, 3.5, math.inf])
@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_distances_against_all_permutations(r: float, p: float) -> None:
    g = torch.Generator().manual_seed(0)
    a, b = (Cloud(torch.randn(6, 2, generator=g, dtype=torch.float64), torch.tensor([0, 0, 0, 0, 1, 1])) for _ in "ab")
    assert distance(a, b, r, Lp(p)) == pytest.approx(by_permutations(a, b, r, Lp(p)), rel=1e-9)


def test_labels_never_move() -> None:
    points = torch.zeros(2, 1)
    a, b = Cloud(points, torch.tensor([0, 0])), Cloud(points, torch.tensor([0, 1]))
    assert distance(a, b, 2, Lp(2)) == math.inf
    with pytest.raises(ValueError, match="equal size"):
        distance(a, Cloud(torch.zeros(3, 1), torch.zeros(3)), 2, Lp(2))
    with pytest.raises(ValueError, match="one label each"):
        Cloud(points, torch.zeros(3))


@pytest.mark.parametrize("r", [1, 2, math.inf])
@pytest.mark.parametrize("p", [2, math.inf])
def test_speeds_agree_with_exact_assignments(r: float, p: float) -> None:
    energy, cloud = moons()
    space = cloud_space(60, 1, r, Lp(p))
    tau = 0.004
    curve = flow(Potential(energy), cloud.row, scheme=Explicit(tau, space), until=Steps(6))
    along = clouds(curve, cloud.labels)
    particles = particle_speeds(curve, Lp(p))
    for k in range(6):
        exact = distance(along[k], along[k + 1], r, Lp(p)) / tau
        own = float(particles[k].max() if math.isinf(r) else particles[k].pow(r).mean() ** (1 / r))
        assert exact == pytest.approx(1.0, abs=1e-6)
        assert own == pytest.approx(exact, abs=1e-6)
        assert float(curve.speed[k]) == pytest.approx(exact, abs=1e-6)
    assert all(torch.equal(c.labels, cloud.labels) and len(c.points) == 60 for c in along)
    assert distance(along[0], along[-1], r, Lp(p)) <= 6 * tau + 1e-9


@pytest.mark.parametrize("r", [1, 2, math.inf])
def test_steepest_field_spends_where_it_pays(r: float) -> None:
    """s_i proportional to |xi_i|_*^(1/(r-1)), unit L^r norm, and the dual norm is the L^(r') norm of |n xi_i|_*."""
    g = torch.Generator().manual_seed(1)
    xi = torch.randn(1, 5, 3, generator=g, dtype=torch.float64)
    space = cloud_space(5, 1, r, Lp(2))
    v = space.steepest(xi)
    size, pull = v[0].norm(dim=1), xi[0].norm(dim=1)
    assert float(space.norm(v)) == pytest.approx(1.0)
    if math.isinf(r):
        assert torch.allclose(size, torch.ones(5, dtype=torch.float64))
        dual_norm = (5 * pull).mean()
    elif r == 1:
        assert int((size > 0).sum()) == 1
        assert int(size.argmax()) == int(pull.argmax())
        dual_norm = (5 * pull).max()
    else:
        assert torch.allclose(size / size[0], pull / pull[0])
        dual_norm = (5 * pull).square().mean().sqrt()
    assert float(space.dual_norm(xi)) == pytest.approx(float(dual_norm))


@pytest.mark.parametrize("r", [1, 2, math.inf])
def test_dissipation_equality_of_the_potential(r: float) -> None:
    energy, cloud = moons()
    space = cloud_space(60, 1, r, Lp(2))
    defects = []
    for tau in (0.01, 0.0025):
        curve = flow(Potential(energy), cloud.row, scheme=Explicit(tau, space), until=0.04)
        defects.append(abs(float(curve.defect())))
        assert float(curve.slope[0]) == pytest.approx(
            float(space.dual_norm(Potential(energy).evaluate(cloud.row).gradient))
        )
    assert defects[1] < 0.5 * defects[0] + 1e-6


@pytest.mark.slow
def test_risk_of_the_everyone_for_himself_adversary_is_the_mean_of_pointwise_ones() -> None:
    energy, cloud = moons()
    whole = adversary(energy, cloud, r=math.inf, norm=Lp(2), eps=0.2)
    pointwise = [
        adversary(
            energy.take(torch.tensor([i])),
            Cloud(cloud.points[i : i + 1], cloud.labels[i : i + 1]),
            r=math.inf,
            norm=Lp(2),
            eps=0.2,
        ).risk
        for i in range(0, 60, 10)
    ]
    each = -energy.take(torch.arange(0, 60, 10)).look(whole.cloud.points[::10]).value
    torch.testing.assert_close(each, torch.tensor(pointwise, dtype=torch.float64), rtol=0, atol=1e-9)
    assert distance(cloud, whole.cloud, math.inf, Lp(2)) <= 0.2 + 1e-9


@pytest.mark.parametrize("r", [1, 2, 3])
def test_shared_budget_attains_at_least_the_risk(r: float) -> None:
    energy, cloud = moons()
    each = adversary(energy, cloud, r=math.inf, norm=Lp(2), eps=0.15)
    shared = adversary(energy, cloud, r=r, norm=Lp(2), eps=0.15)
    assert distance(cloud, shared.cloud, r, Lp(2)) <= 0.15 + 1e-9
    assert shared.risk > each.risk  # here it pays to leave some particles alone
    assert float(shared.curve.speed.max()) <= 1 + 1e-6
    alone = adversary(energy, cloud, r=r, norm=Lp(2), eps=0.15, start=cloud)
    assert alone.risk <= shared.risk + 1e-12


def test_choices_under_a_shared_budget_against_all_choices() -> None:
    """Of low mean value for what they cost: no choice that costs at most as much is better."""
    g = torch.Generator().manual_seed(0)
    for _ in range(20):
        values, costs = torch.randn(3, 5, generator=g).double(), 2.5 * torch.rand(3, 5, generator=g).double()
        costs[0] = 0
        which = affordable(values, costs)
        row = torch.arange(5)
        spent, value = float(costs[which, row].mean()), float(values[which, row].mean())
        assert spent <= 1
        every = torch.tensor(list(itertools.product(range(3), repeat=5)))
        fair = costs[every, row].mean(1) <= spent + 1e-12
        assert value <= float(values[every, row].mean(1)[fair].min()) + 1e-12
    assert affordable(torch.zeros(1, 2).double(), torch.full((1, 2), 3.0).double()).tolist() == [0, 0]


@pytest.mark.slow
def test_dual_bounds_the_shared_budget_from_above() -> None:
    energy, cloud = moons()
    shared = adversary(energy, cloud, r=2, norm=Lp(2), eps=0.15, steps=40)
    bound = dual(energy, cloud, 0.15)
    assert bound.value >= shared.risk - 1e-3
    assert bound.spent == pytest.approx(0.15, rel=0.35)
    assert abs(bound.value - shared.risk) < 0.25 * bound.value


def test_dual_of_a_linear_loss_in_closed_form() -> None:
    """max <c, z> over W_2(mu, mu_0) <= eps: everyone moves by eps c / |c|, the price is |c| / (2 eps)."""
    c = torch.tensor([3.0, 4.0], dtype=torch.float64)
    cloud = Cloud(torch.randn(5, 2, dtype=torch.float64), torch.zeros(5))
    energy = Function(lambda z: -(z * c).sum(1))
    found = dual(energy, cloud, 0.1)
    exact = float((cloud.points * c).sum(1).mean()) + 0.1 * 5
    assert found.value == pytest.approx(exact, abs=1e-5)
    assert found.price == pytest.approx(25, rel=1e-2)


def test_images() -> None:
    from maxslope.data import default_data, default_network

    x, y = (t[:16] for t in default_data())
    energy = Loss(default_network(), y, Margin())
    cloud = Cloud(x, y)
    each = adversary(energy, cloud, r=math.inf, norm=Lp(2), eps=1.0, steps=5, box=(0.0, 1.0))
    shared = adversary(energy, cloud, r=2, norm=Lp(2), eps=1.0, steps=5, box=(0.0, 1.0))
    assert shared.risk >= each.risk
    assert distance(cloud, shared.cloud, 2, Lp(2)) <= 1 + 1e-4
    assert float(shared.cloud.points.min()) >= 0
    assert float(shared.cloud.points.max()) <= 1


def test_misuse() -> None:
    energy, cloud = Quadratic(torch.eye(2)), Cloud(torch.ones(3, 2), torch.zeros(3))
    with pytest.raises(ValueError, match="eps"):
        adversary(energy, cloud, r=2, norm=Lp(2), eps=-1.0)
    with pytest.raises(ValueError, match="start"):
        adversary(energy, cloud, r=1, norm=Lp(2), eps=1.0, start=Cloud(torch.full((3, 2), 3.0), cloud.labels))
    with pytest.raises(ValueError, match="single row"):
        Potential(energy).evaluate(torch.ones(2, 3, 2))
    with pytest.raises(ValueError, match="positive"):
        dual(energy, cloud, 0.0)
    for eps, rounds in ((math.inf, 24), (0.1, 0)):
        with pytest.raises(ValueError, match="a round at least"):
            dual(energy, cloud, eps, rounds=rounds)
    for r, steps in ((0.5, 20), (math.nan, 20), (2, 0)):
        with pytest.raises(ValueError, match="r >= 1 and steps >= 1"):
            adversary(energy, cloud, r=r, norm=Lp(2), eps=1.0, steps=steps)
    with pytest.raises(ValueError, match=r"r in \[1, inf\], got r=0.5"):
        distance(cloud, cloud, 0.5, Lp(2))
