"""Exact search between good points of piecewise linear networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import maxslope as ms
from maxslope.attacks.patterns import between, piecewise
from maxslope.attacks.question import ask
from maxslope.attacks.stages import Patterns


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Sequential(nn.Linear(8, 6), nn.ReLU()),
        nn.Linear(6, 3),
    ).eval().requires_grad_(False)  # fmt: skip


def margin(net: nn.Module, z: Tensor, label: int) -> Tensor:
    out = net(z)
    return out[:, label] - out.scatter(1, torch.full((len(z), 1), label), -torch.inf).amax(1)


X = torch.rand(4, 1, 3, 3, generator=torch.Generator().manual_seed(1))


def test_matrices_say_what_the_network_says() -> None:
    net = network()
    found = piecewise(ask(net, X, net(X).argmax(1), ms.Linf(0.1)))
    assert found is not None
    for x in X:
        out = found.at(x).outputs
        np.testing.assert_allclose(out, net(x[None])[0].numpy(), rtol=1e-5, atol=1e-5)


def test_elsewhere_nothing_is_said() -> None:
    net = network()
    y = net(X).argmax(1)
    for question in (
        ask(net, X, y, ms.L2(0.1)),
        ask(net.forward, X, y, ms.Linf(0.1)),
        ask(nn.Sequential(*net, nn.Tanh()).eval(), X, y, ms.Linf(0.1)),
        ask(nn.Sequential(nn.Flatten(), nn.Linear(9, 3)).eval(), X, y, ms.Linf(0.1)),  # gradients say it all
        ask(net, X, y, ms.Linf(0.1), goal=ms.goals.TopK(2)),
        ask(net, X, y, ms.Linf(0.1), realize=ms.realize.Grid(16)),
    ):
        assert piecewise(question) is None


@pytest.mark.parametrize("seed", [0, 1])
def test_with_all_relus_open_it_is_the_exact_minimum(seed: int) -> None:
    """No point of 20,000, nor any of descents from them, is below the program's answer."""
    net = network(seed)
    x = X[:1]
    y = int(net(x).argmax(1))
    question = ask(net, x, torch.tensor([y]), ms.Linf(0.3))
    found = piecewise(question)
    assert found is not None
    z = between(found, question.domain.lo[0], question.domain.hi[0], y, [x[0]], binaries=14, nodes=10_000)
    assert z is not None
    rival = int(net(x)[0].scatter(0, torch.tensor(y), -torch.inf).argmax())
    towards = lambda p: net(p)[:, y] - net(p)[:, rival]  # noqa: E731
    drawn = torch.rand(20_000, 1, 3, 3, generator=torch.Generator().manual_seed(seed))
    low, high = question.domain.lo, question.domain.hi
    drawn = torch.cat([low + (high - low) * drawn, low + (high - low) * drawn.round()])
    assert float(towards(z[None])) <= float(towards(drawn).min()) + 1e-5
    assert bool(question.domain.contains(z[None]))


def test_relus_on_which_points_agree_stay() -> None:
    net = network()
    x = X[:1]
    y = int(net(x).argmax(1))
    question = ask(net, x, torch.tensor([y]), ms.Linf(0.3))
    found = piecewise(question)
    assert found is not None
    z = between(found, question.domain.lo[0], question.domain.hi[0], y, [x[0]], binaries=1, nodes=1000)
    assert z is not None
    entering = [np.concatenate(found.at(p).relus) for p in (x[0], z)]
    changed = (np.sign(entering[0]) * np.sign(entering[1]) < 0) & (np.abs(entering[1]) > 1e-5)
    assert changed.sum() <= 1


@pytest.mark.slow
def test_an_attack_takes_what_programs_find_verified_and_replays() -> None:
    net = network()
    y = net(X).argmax(1)
    first = ms.recipes.pgd(2)
    effort = ms.Effort((first, first, Patterns(restarts=1, binaries=14, nodes=500)))
    eps = 0.25
    before = ms.attack(net, X, y, ms.Linf(eps), effort=ms.Effort((first, first)))
    found = ms.attack(net, X, y, ms.Linf(eps), effort=effort)
    again = ms.attack(net, X, y, ms.Linf(eps), effort=found.effort)
    assert torch.equal(found.points, again.points)
    assert bool((found.margin <= before.margin).all())
    assert bool(found.broken[before.broken].all())
    assert torch.equal(net(found.points).argmax(1) != y, found.broken)


def test_of_a_single_run_new_searches_make_that_one() -> None:
    net, one = network(), X[:1]
    y, run, stage = net(one).argmax(1), ms.recipes.ifgsm(2), Patterns(restarts=1, binaries=2, nodes=5)
    net[-1].bias[y] -= 0.999 * ms.attack(net, one, y, ms.Linf(0.2), recipe=run).margin  # the sample nearly falls
    found = ms.attack(net, one, y, ms.Linf(0.2), effort=ms.Effort((run, stage)))
    assert found.stages[-1] == stage
    assert int(found.runs) == 2


def test_misuse_of_the_stage() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Patterns(restarts=0)
