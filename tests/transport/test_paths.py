"""Curves from clouds: particles of known flows are found again from shuffled clouds, with their speed and inclusion."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from maxslope.energies import Function, Quadratic
from maxslope.loop import flow
from maxslope.schemes import Explicit, SemiImplicit
from maxslope.sets import Linf
from maxslope.spaces import Lp
from maxslope.transport import Cloud, Potential, cloud_space, clouds, distance, paths
from maxslope.transport.clouds import optimal_assignment

INF = Lp(math.inf)
LABELS = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1])


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shuffled(points: Tensor, labels: Tensor) -> tuple[list[Cloud], list[Tensor]]:
    g = torch.Generator().manual_seed(7)
    orders = [torch.randperm(len(labels), generator=g) for _ in points]
    orders[0] = torch.arange(len(labels))
    return [Cloud(p[o], labels[o]) for p, o in zip(points, orders, strict=True)], orders


@pytest.mark.parametrize("r", [1, 2, math.inf])
@pytest.mark.parametrize("p", [2, math.inf])
def test_particles_of_a_flow_are_found_again(r: float, p: float) -> None:
    """Rows follow their own flow in W_inf; from clouds in random order the same curves come back, to the bit."""
    x = draw(8, 2)
    energy = Function(lambda z: torch.sin(2 * z).sum(1) + z.square().sum(1) / 2)
    curve = flow(energy, x, scheme=SemiImplicit(0.02, Lp(p)), until=0.4)
    mixed, orders = shuffled(curve.points, LABELS)
    found = paths(mixed, curve.time[:, 0], r, Lp(p))
    assert torch.equal(found.points, curve.points)
    assert all(torch.equal(o[at], torch.arange(8)) for o, at in zip(orders, found.order, strict=True))
    assert float(found.apart.min()) > 1
    assert float(found.speeds.max()) <= 1 + 1e-9


def test_the_measure_on_curves_has_the_metric_speed_of_the_clouds_and_follows_the_inclusion() -> None:
    """For W_inf: speed at most one for almost every curve, and |dE|(u) - <-DE(u), u'> = O(tau) along it."""
    x = draw(8, 2)
    energy = Quadratic(torch.tensor([[2.0, 0.3], [0.3, 1.0]]).double())
    means = []
    for tau in (0.02, 0.01):
        curve = flow(energy.within(Linf(0.5, box=None).around(x)), x, scheme=Explicit(tau), until=0.6)
        mixed, _ = shuffled(curve.points, LABELS)
        found = paths(mixed, curve.time[:, 0], math.inf, INF)
        for k in (0, 7, 20):
            exact = distance(mixed[k], mixed[k + 1], math.inf, INF) / tau
            assert float(found.metric_speed[k]) == pytest.approx(exact, abs=1e-9)
        domain = Linf(0.5, box=None).around(x)
        residuals = found.residuals(energy.within(domain))
        assert float(residuals.min()) >= -1e-9
        means.append(float(residuals.mean()))
    assert means[1] < 0.7 * means[0]
    away = draw(8, 2, seed=5)  # curves that no flow made do not follow it
    straight = paths(
        [Cloud(x, LABELS), Cloud(x + 0.1 * away / away.abs().amax(1, keepdim=True), LABELS)], [0.0, 0.1], 2, INF
    )
    assert float(straight.residuals(energy).mean()) > 10 * means[1]


@pytest.mark.parametrize("r", [1, 2])
def test_shared_budgets_too(r: float) -> None:
    """A W_r flow of the whole cloud: its metric speed is one, that of single curves need not be."""
    x = draw(8, 2)
    space = cloud_space(8, 1, r, Lp(2))
    energy = Potential(Quadratic(torch.eye(2).double()))
    curve = flow(energy, x[None], scheme=Explicit(0.01, space), until=0.1)
    mixed, _ = shuffled(torch.stack([c.points for c in clouds(curve, LABELS)]), LABELS)
    found = paths(mixed, curve.time[:, 0], r, Lp(2))
    torch.testing.assert_close(found.points, curve.points[:, 0], rtol=0, atol=0)
    torch.testing.assert_close(found.metric_speed, torch.ones(10, dtype=torch.float64), rtol=0, atol=1e-9)
    assert float(found.speeds.max()) > 1.05


def test_steps_that_are_too_long_are_said_to_be() -> None:
    """Two particles pass through each other in one step: the optimal coupling swaps them, and `apart` is below one."""
    x = torch.tensor([[0.0], [0.1]], dtype=torch.float64)
    end = torch.tensor([[0.1], [0.0]], dtype=torch.float64)
    found = paths([Cloud(x, torch.zeros(2)), Cloud(end, torch.zeros(2))], [0.0, 1.0], 2, Lp(2))
    assert found.order[1].tolist() == [1, 0]
    middle = torch.tensor([[0.06], [0.04]], dtype=torch.float64)
    far = paths([Cloud(x, torch.zeros(2)), Cloud(middle, torch.zeros(2))], [0.0, 1.0], 2, Lp(2))
    assert float(far.apart) < 1.3  # moved by 0.04 where they are 0.1 apart
    swapped = Cloud(end, torch.tensor([0.0, 1.0]))
    kept = paths([Cloud(x, torch.tensor([0.0, 1.0])), swapped], [0.0, 1.0], 2, Lp(2))  # labels tell them apart
    assert kept.order[1].tolist() == [0, 1]


def test_bottleneck_matchings_against_all_permutations() -> None:
    """Of all matchings of least largest cost, the one of least squares."""
    for seed in range(6):
        cost = draw(5, 5, seed=seed).abs().numpy()
        to = optimal_assignment(cost, math.inf)
        level = cost[range(5), to].max()
        every = [[cost[i, s[i]] for i in range(5)] for s in itertools.permutations(range(5))]
        least = min(max(c) for c in every)
        squares = min(sum(v * v for v in c) for c in every if max(c) <= least + 1e-15)
        assert level == pytest.approx(least, abs=1e-15)
        assert sum(cost[i, to[i]] ** 2 for i in range(5)) == pytest.approx(squares, abs=1e-12)


def test_misuse() -> None:
    cloud = Cloud(draw(3, 2), torch.tensor([0, 0, 1]))
    with pytest.raises(ValueError, match="two clouds at least"):
        paths([cloud], [0.0], 2, Lp(2))
    with pytest.raises(ValueError, match="increasing times"):
        paths([cloud, cloud], [0.0, 0.0], 2, Lp(2))
    with pytest.raises(ValueError, match="as many particles of each label"):
        paths([cloud, Cloud(cloud.points, torch.tensor([0, 1, 1]))], [0.0, 1.0], 2, Lp(2))
