"""Gradient-free schemes: laws of acceptance, sets, keys and counts; models that autograd cannot see through."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import maxslope as ms
from maxslope import _random
from maxslope._status import Status
from maxslope.attacks import attack, recipes
from maxslope.energies import Blind, Evaluation, Loss, Margin, Network, Quadratic
from maxslope.energies.base import plain
from maxslope.loop import Driver, Record, Rows, Steps, Stop, flow, march
from maxslope.schemes import RandomSearch, Swarm
from maxslope.schemes.random_search import Search, _window, share_at
from maxslope.sets import Box, Budget, Everything, Set
from nets import answers, conv, images, mlp

SCHEMES = [RandomSearch(40), Swarm(40, 6)]
BUDGETS = [ms.Linf(0.2), ms.L2(1.0), ms.L1(3.0), Budget(ms.Lp(1.5), 1.0)]


def task(kind: str, rows: int = 5) -> tuple[torch.nn.Module, Tensor, Tensor]:
    """A model, points and labels: images of two channels or tabular rows, float64."""
    if kind == "images":
        x = images(rows, dtype=torch.float64)
        net = conv(dtype=torch.float64)
    else:
        x, net = torch.rand(rows, 2, 3, dtype=torch.float64), mlp()
    return net, x, answers(net, x)


@pytest.mark.parametrize("kind", ["images", "tabular"])
@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: type(s).__name__)
def test_stays_inside_keeps_the_best_and_spends_no_gradient(scheme: Search, budget: Budget, kind: str) -> None:
    net, x, y = task(kind)
    domain = budget.around(x)
    energy = Blind(Loss(net, y, Margin()))
    curve = flow(energy.within(domain), x, scheme=scheme, until=Steps(scheme.queries))
    outside = torch.stack([domain.violation(z) for z in curve.points])
    assert float(outside.max()) <= 1e-9
    assert torch.equal(curve.energy[-1], curve.energy.amin(0))
    assert bool((curve.energy[-1] < curve.energy[0]).all())
    assert torch.equal(curve.forward, torch.full_like(curve.forward, scheme.queries + 1))
    assert not curve.backward.any()
    assert bool(curve.slope.isnan().all())
    assert bool((curve.status == Status.FINISHED).all())


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: type(s).__name__)
def test_rows_are_strangers(scheme: Search, budget: Budget) -> None:
    """Alone, in another order and together: the same points, to the bit."""
    net, x, y = task("images", 4)
    net = Network(net, 4)
    key = _random.keys(3, torch.arange(4))

    def end(rows: Tensor) -> Tensor:
        energy = Blind(Loss(net, y[rows], Margin()), key[rows]).within(budget.around(x[rows]))
        return flow(energy, x[rows], scheme=scheme, until=Steps(scheme.queries), record=Record(0)).end

    together = end(torch.arange(4))
    turned = end(torch.tensor([2, 0, 3, 1]))
    assert torch.equal(turned, together[[2, 0, 3, 1]])
    assert torch.equal(torch.cat([end(torch.tensor([i])) for i in (0, 3)]), together[[0, 3]])


class Slots(Driver):
    """Jobs one after the other through a few slots; remembers where each job ended."""

    def __init__(self, energy: Blind, domain: Set, x: Tensor, steps: int) -> None:
        self.energy, self.domain, self.x, self.steps = energy, domain, x, steps
        self.next, self.end, self.seen = 0, x.clone(), torch.zeros(len(x), dtype=torch.int64)

    def admit(self, room: int) -> tuple[Tensor, Tensor] | None:
        job = torch.arange(self.next, min(self.next + room, len(self.x)))
        self.next += len(job)
        return (job, self.x[job]) if len(job) else None

    def problem(self, job: Tensor) -> tuple[Blind, Set]:
        return self.energy.take(job), self.domain.take(job)

    def limit(self, job: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full_like(job, self.steps), torch.full(job.shape, math.inf, dtype=torch.float64)

    def observe(self, rows: Rows, evaluation: Evaluation, domain: Set) -> None:
        self.seen[rows.job] += 1

    def report(self, ended: Rows, status: Tensor) -> None:
        self.end[ended.job] = ended.x


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: type(s).__name__)
def test_slots_do_not_matter(scheme: Search) -> None:
    """Rows that enter late have a clock of their own, and a row that breaks leaves at once."""
    net, x, y = task("images", 6)
    domain = ms.L2(4.0).around(x)
    energy = Blind(Loss(Network(net, 6), y, Margin()), _random.keys(0, torch.arange(6)))
    ends, seen = [], []
    for room in (2, 5, 6):
        feed = Slots(energy, domain, x, scheme.queries)
        march(feed, scheme, stop=Stop(reached=True, stationary=True), room=room)
        ends.append(feed.end)
        seen.append(feed.seen)
    assert torch.equal(ends[0], ends[2])
    assert torch.equal(ends[1], ends[2])
    assert torch.equal(seen[0], seen[2])
    broken = answers(net, ends[0]) != y
    assert bool(broken.any())
    assert bool((seen[0][broken] < scheme.queries).any())


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: type(s).__name__)
def test_keys_and_seeds_keep_runs_apart(scheme: Search) -> None:
    net, x, y = task("images", 2)
    domain = ms.Linf(0.2).around(x)

    def end(key: Tensor | None, scheme: Search = scheme) -> Tensor:
        energy = Blind(Loss(net, y, Margin()), key).within(domain)
        return flow(energy, x, scheme=scheme, until=Steps(20), record=Record(0)).end

    ids = torch.arange(2)
    assert torch.equal(end(_random.keys(0, ids, 1)), end(_random.keys(0, ids, 1)))
    assert not torch.equal(end(_random.keys(0, ids, 1)), end(_random.keys(0, ids, 2)))
    assert not torch.equal(end(None), end(None, type(scheme)(scheme.queries, seed=1)))


def test_proposals_on_a_box_sit_at_bounds_and_always_change_something() -> None:
    net, x, y = task("images", 3)
    x = 0.3 + 0.4 * x
    domain = ms.Linf(0.1).around(x)
    curve = flow(Blind(Loss(net, y, Margin())).within(domain), x, scheme=RandomSearch(60), until=Steps(59))
    best = x.clone()
    least = curve.energy[0].clone()
    for z, value in zip(curve.points[1:-1], curve.energy[1:-1], strict=True):
        moved = z != best
        assert bool(moved.flatten(1).any(1).all())
        at_bound = ((z - domain.lo).abs() < 1e-12) | ((z - domain.hi).abs() < 1e-12)
        assert bool(at_bound[moved].all())
        better = value < least
        best[better], least[better] = z[better], value[better]


def test_a_mask_holds() -> None:
    net, x, y = task("images", 3)
    mask = torch.zeros_like(x[:1], dtype=torch.bool)
    mask[..., :4] = True
    for budget in BUDGETS:
        energy = Blind(Loss(net, y, Margin())).within(budget.around(x, mask=mask))
        end = flow(energy, x, scheme=RandomSearch(30), until=Steps(30), record=Record(0)).end
        assert torch.equal(end[..., 4:], x[..., 4:])
        assert not torch.equal(end, x)


def test_windows() -> None:
    """Squares of the right side that reach every pixel; sets of the right size elsewhere."""
    key = _random.keys(0, torch.arange(400))
    squares = _window(key, torch.full((400,), 0.25, dtype=torch.float64), torch.zeros(400, 2, 8, 6), least=1)
    assert bool((squares.flatten(1).sum(1) == 2 * 9).all())
    assert bool((squares.any(3).sum(2) == 3).all())
    assert bool(squares.any(0).all())
    sets = _window(key, torch.full((400,), 0.25, dtype=torch.float64), torch.zeros(400, 3, 4), least=1)
    assert bool((sets.flatten(1).sum(1) == 3).all())
    assert bool(sets.any(0).all())
    assert float(share_at(0.8, torch.tensor([999]), 1000)) == 0.8 / 2**9


def test_a_plain_function_is_attacked_through_its_values() -> None:
    """Numpy inside: autograd sees nothing, and gradient steps say so."""
    weight = np.random.default_rng(0).normal(size=(12, 3))

    def model(x: Tensor) -> Tensor:
        assert not x.requires_grad
        return torch.from_numpy(np.round(x.numpy().reshape(len(x), -1), 1) @ weight)

    x = torch.rand(8, 12, dtype=torch.float64)
    y = model(x).argmax(1)
    domain = ms.Linf(0.3).around(x)
    curve = flow(
        Blind(Loss(model, y, Margin())).within(domain),
        x,
        scheme=RandomSearch(200),
        until=Steps(200),
        stop=Stop(reached=True, stationary=True),
    )
    broken = curve.status == Status.REACHED
    assert int(broken.sum()) >= 6
    assert bool((model(curve.end).argmax(1) != y)[broken].all())
    assert not bool((curve.status == Status.STATIONARY).any())
    assert bool((curve.forward[broken] < 201).all())


def test_nan_is_never_better() -> None:
    class Hole(Quadratic):
        def look(self, x: Tensor) -> Evaluation:
            value = x.square().sum(1)
            return plain(torch.where(value < 1.0, torch.nan, value))

    domain = Box(torch.full((2, 3), -1.0), torch.full((2, 3), 1.0))
    curve = flow(Blind(Hole(torch.eye(3))).within(domain), torch.full((2, 3), 0.9), scheme=Swarm(30), until=Steps(30))
    ended = curve.status == Status.NON_FINITE
    assert bool((curve.energy[-1][~ended].isfinite()).all())


def test_misuse() -> None:
    with pytest.raises(ValueError, match="queries >= 1"):
        RandomSearch(0)
    with pytest.raises(ValueError, match="share in"):
        RandomSearch(5, 1.5)
    with pytest.raises(ValueError, match="particles >= 2"):
        Swarm(5, 1)
    with pytest.raises(ValueError, match="boxes and in balls"):
        flow(Blind(Quadratic(torch.eye(2))), torch.ones(1, 2), scheme=RandomSearch(5), until=Steps(5))
    assert isinstance(Everything(), Set)


def test_blind_energies() -> None:
    blind = Blind(Quadratic(torch.eye(2)), torch.tensor([5, 6, 7]))
    e = blind.evaluate(torch.ones(3, 2))
    assert e.gradient.shape == (3, 0)
    part = blind.take(torch.tensor([2, 0]))
    assert part.key is not None
    assert part.key.tolist() == [7, 5]
    assert part.passes == 1


@pytest.mark.slow
def test_beats_gradients_where_they_are_masked() -> None:
    """The shipped network, trained in l_inf, misleads gradients in l_2; values do not lie."""
    from maxslope.data import default_data, default_network
    from maxslope.schemes import Cosine, SemiImplicit

    net = default_network()
    x, y = (t[:24] for t in default_data())
    domain = ms.L2(2.0).around(x)
    loss = Loss(Network(net, 24), y, Margin())
    stop = Stop(reached=True)
    blind = flow(Blind(loss).within(domain), x, scheme=RandomSearch(300), until=Steps(300), stop=stop, record=Record(0))
    seeing = flow(
        loss.within(domain),
        x,
        scheme=SemiImplicit(Cosine(2.0, 40), ms.Lp(2)),
        until=Steps(40),
        stop=stop,
        record=Record(0),
    )
    assert int((blind.status == Status.REACHED).sum()) > int((seeing.status == Status.REACHED).sum())


def test_points_that_are_drawn_twice_are_no_cycle() -> None:
    """In few coordinates windows meet the same corners again and again: the search goes on, and finds the best one."""
    x = torch.full((6, 2), 0.5) + torch.linspace(-0.2, 0.2, 12).reshape(6, 2)
    weight = torch.tensor([[1.0, -2.0], [-1.0, 2.0]])
    z = x @ weight.T + torch.tensor([4.0, 0.0])  # nobody is broken: all queries are made
    result = attack(
        lambda p: p @ weight.T + torch.tensor([4.0, 0.0]), x, z.argmax(1), ms.Linf(0.1), recipe=recipes.square(60)
    )
    assert result.forward.tolist() == [61] * 6
    torch.testing.assert_close(result.margin, z[:, 0] - z[:, 1] - 0.6)
