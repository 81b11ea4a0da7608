"""Acceptance test 2: the metric is the transport distance of layers, and movements know no labels."""

import sys

import numpy as np
import ot
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from maxslope import Lp, Mixed, Weighted
from maxslope.odenet import ParticleMovement, distance, iid, layered, sobol
from maxslope.odenet.metric import Hilbert
from maxslope.odenet.probe import Probe
from odenet._problems import moons


@pytest.mark.parametrize("tau", [0.1, 1.0, 10.0])
def test_a_movement_pairs_particles_with_themselves(tau: float) -> None:
    risk = moons(60)
    theta = iid(risk.design, 4, 16)
    probe = Probe(risk, Hilbert(layered(4, 16)))
    end, solved = ParticleMovement(1e-9).minimize(probe, probe.spot(theta), tau)
    assert solved
    labels = float(layered(4, 16).norm(end.x - theta))
    costs = [torch.cdist(a, b).square().numpy() for a, b in zip(theta[0], end.x[0], strict=True)]
    weight = np.full(16, 1 / 16)
    by_pot = np.mean([ot.emd2(weight, weight, c) for c in costs]) ** 0.5
    by_hungary = np.mean([c[linear_sum_assignment(c)].mean() for c in costs]) ** 0.5
    found = distance(theta[0], end.x[0])
    assert (labels, by_pot, by_hungary) == pytest.approx((found,) * 3, abs=1e-8)


def test_a_movement_does_not_see_the_order_of_particles() -> None:
    risk = moons(40)
    theta = iid(risk.design, 3, 8)
    order = torch.stack([torch.randperm(8) for _ in range(3)])
    index = order[None, :, :, None].expand_as(theta)
    ends = []
    for x in (theta, theta.gather(2, index)):
        probe = Probe(risk, Hilbert(layered(3, 8)))
        ends.append(ParticleMovement(1e-15).minimize(probe, probe.spot(x), 0.5)[0].x)  # to rounding
    assert float((ends[0].gather(2, index) - ends[1]).abs().max()) <= 1e-12
    start = [risk.evaluate(x).gradient for x in (theta, theta.gather(2, index))]
    assert float((start[0].gather(2, index) - start[1]).abs().max()) <= 1e-15


def test_distances_of_unequal_layers() -> None:
    a = torch.tensor([[[0.0], [1.0]]])
    assert distance(a, a.repeat_interleave(3, 1)) == pytest.approx(0, abs=1e-12)
    assert distance(a, torch.tensor([[[2.0]]])) == pytest.approx(2.5**0.5)
    shifted = distance(a.repeat(4, 1, 1), torch.cat([a, a, a, a + 2]))
    assert shifted == pytest.approx(1.0)  # one of four layers moved by 2


def test_a_triangle_of_random_networks() -> None:
    risk = moons(10)
    a, b, c = iid(risk.design, 2, 12, rows=3)
    assert distance(a, c) <= distance(a, b) + distance(b, c)
    assert distance(a, b) == pytest.approx(distance(b, a))
    assert distance(a, b) <= float(layered(2, 12).norm((a - b)[None])) + 1e-12


def test_hilbert_spaces_alone() -> None:
    assert Hilbert(Lp(2)).weight == 1
    assert Hilbert(layered(7, 11)).weight == pytest.approx(1 / 77, rel=1e-15)
    weights = torch.tensor([1.0, 2.0])
    uneven = Hilbert(Weighted(Lp(2), weights))
    xi, v = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 5.0]])
    assert uneven.inner(uneven.gradient(xi), v) == pytest.approx(23)
    for space in (Lp(1), Weighted(Lp(3), weights), Mixed(Lp(2), Lp(1), axis=1)):
        with pytest.raises(ValueError, match="inner product"):
            Hilbert(space)
    with pytest.raises(ValueError, match="one layer"):
        layered(0, 3)
    with pytest.raises(ValueError, match="families"):
        distance(torch.zeros(2, 3, 1), torch.zeros(1, 3, 1))


def test_sobol_starts_fill_the_layers_evenly() -> None:
    risk = moons(10)
    theta = sobol(risk.design, 8, 32)
    assert torch.equal(theta, sobol(risk.design, 8, 32))
    assert not torch.equal(theta, sobol(risk.design, 8, 32, seed=1))
    assert torch.equal(sobol(risk.design, 8, 32, rows=2)[0], theta[0])
    assert float(theta.mean((0, 1, 2)).abs().max()) < 0.02  # iid: 0.0625
    assert float((theta.square().mean((0, 1, 2)) - 1).abs().max()) < 0.08
    assert bool(theta.isfinite().all())
    state = torch.random.get_rng_state()
    sobol(risk.design, 2, 2)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(("module", "shape"), [("scipy.optimize", (1, 3, 2)), ("ot", (1, 4, 2))])
def test_missing_packages_are_named(module: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"maxslope\[flows\]"):
        distance(torch.zeros(1, 3, 2), torch.zeros(shape))
