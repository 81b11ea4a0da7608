"""Objectives: closed forms for linear models, budgets, modes, memory, guards, misuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import maxslope as ms
from maxslope.attacks.starts import Clean, Uniform
from maxslope.energies import Loss, Margin
from maxslope.energies.classifier import Divergence
from maxslope.goals.classes import divergence
from maxslope.sets import Budget
from maxslope.spaces import Lp, Mixed
from maxslope.training import (
    AdversarialRisk,
    Adversary,
    ByRecipe,
    Drawn,
    Each,
    Guard,
    Inner,
    Lagrangian,
    Perturbed,
    Pointwise,
    Problem,
    Ramp,
    Shared,
    Trades,
    Worst,
)
from nets import Counting, conv, images, mlp
from training._two import found_by

X = torch.rand(12, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = torch.arange(12) % 4
IDS = torch.arange(12)
FREE = {"box": None}


def number(loss: Tensor) -> float:
    return float(loss.detach())


def two_class(seed: int = 0) -> nn.Linear:
    net = nn.Linear(6, 2).double()
    g = torch.Generator().manual_seed(seed)
    net.weight.data.copy_(torch.randn(2, 6, generator=g, dtype=torch.float64))
    return net


def cold(steps: int, **rules: Any) -> Inner:
    return Inner(steps=steps, warm=False, **{"start": Clean(), **rules})


def clean(**rules: Any) -> Inner:
    """From the clean points, with steps that adapt."""
    return Inner(start=Clean(), adapt=True, **rules)


# --- closed forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 1.5, 2, math.inf])
def test_the_risk_of_a_linear_model_is_known(p: float) -> None:
    """sup over the ball lowers the margin <w, x> + b of a two-class linear model by exactly eps |w|_q."""
    net, y, eps = two_class(), Y % 2, 0.3
    w = net.weight[1] - net.weight[0]
    sign = 2.0 * y - 1
    margin = sign * (X @ w + net.bias[1] - net.bias[0]) - eps * Lp(p).dual_norm(w[None])
    exact = nn.functional.softplus(-margin).mean()
    loss = AdversarialRisk(Pointwise(Budget(Lp(p), eps, None), cold(2)))(net, X, y)
    torch.testing.assert_close(loss, exact)
    want = torch.autograd.grad(exact, net.weight)[0]
    got = torch.autograd.grad(loss, net.weight)[0]
    torch.testing.assert_close(got, want)  # Danskin: the gradient at the maximizer is that of the maximum


def test_the_shared_budget_of_a_linear_energy_is_spent_where_it_pays() -> None:
    """For E_i = -c_i <w, x_i>, W_r spends s_i ~ c_i^(1/(r-1)), and gains eps |w|_q times the L^r' mean of c."""
    c = torch.tensor([0.1, 0.2, 1.0, 2.0], dtype=torch.float64)
    w = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    x = torch.zeros(4, 2, dtype=torch.float64)
    energy = ms.Function(lambda z: -(c[:, None] * w * z).sum(1))
    for r, norm in ((2, Lp(2)), (3, Lp(2)), (2, Lp(math.inf)), (3, Lp(3))):
        adversary = Shared(Budget(norm, 0.5, None), r, cold(4))
        found = adversary.perturb(problem(energy, x, torch.zeros(4, dtype=torch.int64)))
        far = norm.norm(found.points)
        share = c ** (1 / (r - 1))
        torch.testing.assert_close(far / far.sum(), share / share.sum(), rtol=1e-6, atol=1e-8)
        assert float(far.pow(r).mean() ** (1 / r)) == pytest.approx(0.5, rel=1e-6)
        gain = float((c * (w * found.points).sum(1)).mean())
        dual = r / (r - 1)
        assert gain == pytest.approx(0.5 * float(norm.dual_norm(w)) * float(c.pow(dual).mean() ** (1 / dual)), rel=1e-6)
        assert (found.forward, found.backward) == (16, 16)


def test_the_lagrangian_of_a_linear_energy_goes_as_far_as_its_price_says() -> None:
    """max c <w, z - x> - price |z - x|^2 is at distance c |w| / (2 price)."""
    c = torch.tensor([1.0, 3.0], dtype=torch.float64)
    w = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    energy = ms.Function(lambda z: -(c[:, None] * w * z).sum(1))
    x = torch.zeros(2, 2, dtype=torch.float64)
    found = Lagrangian(2.0, box=None, steps=1).perturb(problem(energy, x, torch.zeros(2, dtype=torch.int64)))
    torch.testing.assert_close(found.points, c[:, None] * w / 4)


def test_the_price_rises_and_falls_until_the_budget_is_spent() -> None:
    energy = ms.Function(lambda z: -z.sum(1))
    seen = problem(energy, torch.zeros(5, 4, dtype=torch.float64), torch.zeros(5, dtype=torch.int64))
    adversary = Lagrangian(0.1, eps=0.5, box=None, steps=1, rate=0.3)
    for _ in range(60):
        found = adversary.perturb(seen)
    assert float(found.points.norm(dim=1).square().mean().sqrt()) == pytest.approx(0.5, rel=1e-3)
    assert seen.memory.numbers["0 price"] == pytest.approx(2.0, rel=1e-3)  # |grad| / (2 price) = 2 / 4


def problem(energy: Any, x: Tensor, y: Tensor, **more: Any) -> Problem:
    from maxslope.training.memory import Memory

    ids = torch.arange(x.shape[0])
    given = dict(net=None, ids=ids, places=ids, draw=(0, 0), scale=1.0, more=0, cold=False, memory=Memory(), slot="0")
    return Problem(energy=energy, x=x, y=y, **(given | more))


def test_divergence_is_kullback_leibler() -> None:
    p, q = torch.randn(5, 3).double(), torch.randn(5, 3).double()
    want = nn.functional.kl_div(q.log_softmax(1), p.softmax(1), reduction="none").sum(1)
    torch.testing.assert_close(divergence(p, q), want)
    net = mlp()
    energy = Divergence(net, net(X).detach())
    e = energy.evaluate(X)
    torch.testing.assert_close(e.value, torch.zeros_like(e.value), atol=1e-12, rtol=0)
    moved = X + 0.1
    step = 1e-6 * torch.eye(6).double()[0]
    slope = (energy.look(moved + step).value - energy.look(moved - step).value) / 2e-6
    torch.testing.assert_close(energy.evaluate(moved).gradient[:, 0], slope, rtol=1e-5, atol=1e-8)
    part = torch.tensor([3, 1])
    torch.testing.assert_close(energy.take(part).look(moved[part]).value, energy.look(moved).value[part])
    assert energy.passes == 1


def test_trades_is_its_formula() -> None:
    net = mlp()
    objective = Trades(Pointwise(ms.Linf(0.05, **FREE), cold(3, start=Uniform(1e-3))), beta=2.0)
    found, loss = found_by(objective.fresh(), net, X, Y), objective(net, X, Y).detach()
    clean = net(X).detach()
    smooth = nn.functional.cross_entropy(clean, Y)
    rest = divergence(clean, net(found.points).detach()).mean()
    assert float(rest) > 1e-4
    torch.testing.assert_close(loss, smooth + 2 * rest)
    free = Trades(ms.Linf(0.05, **FREE), beta=2.0)(net, X, Y).detach()
    assert float(free) == pytest.approx(float(loss), rel=0.2)
    zero = Trades(ms.Linf(0.0, **FREE))(net, X, Y).detach()
    torch.testing.assert_close(zero, smooth)


def test_mixtures() -> None:
    net = mlp()
    small, large = (Pointwise(ms.Linf(e, **FREE), cold(3)) for e in (0.01, 0.1))
    one, two = (number(AdversarialRisk(a)(net, X, Y)) for a in (small, large))
    assert one < two
    assert number(AdversarialRisk(Each([small, large]))(net, X, Y)) == pytest.approx((one + two) / 2)
    assert number(AdversarialRisk(Worst([small, large]))(net, X, Y)) >= two - 1e-12
    drawn = AdversarialRisk(Drawn([small, large]))
    points = found_by(drawn, net, X, Y, IDS)
    far = (points.points - X).abs().amax(1)
    picks = far > 0.05
    assert 0 < int(picks.sum()) < 12
    torch.testing.assert_close(far[~picks], torch.full_like(far[~picks], 0.01))
    again = found_by(AdversarialRisk(Drawn([small, large])), net, X.flip(0), Y.flip(0), IDS.flip(0))
    torch.testing.assert_close(again.points.flip(0), points.points)  # which one is drawn belongs to the sample
    only = AdversarialRisk(Drawn([small, large], [0.0, 1.0]))(net, X, Y)
    assert number(only) == pytest.approx(two)


def test_the_share_of_the_clean_risk() -> None:
    net = mlp()
    adversarial = AdversarialRisk(Pointwise(ms.Linf(0.1, **FREE), cold(2)))(net, X, Y)
    both = AdversarialRisk(Pointwise(ms.Linf(0.1, **FREE), cold(2)), clean=0.25)(net, X, Y)
    torch.testing.assert_close(both, 0.75 * adversarial + 0.25 * nn.functional.cross_entropy(net(X), Y))


def test_any_criterion_and_one_output() -> None:
    net = mlp()
    loss = AdversarialRisk(Pointwise(ms.Linf(0.0, **FREE), cold(1)), criterion=Margin())(net, X, Y)
    logits = net(X)
    rival = logits.scatter(1, Y[:, None], -math.inf).amax(1)
    torch.testing.assert_close(loss, (rival - logits.gather(1, Y[:, None])[:, 0]).mean())
    one = nn.Sequential(nn.Linear(6, 1), nn.Flatten(0)).double()
    plain = AdversarialRisk(ms.Linf(0.0, **FREE))(one, X, Y % 2)
    torch.testing.assert_close(plain, nn.functional.binary_cross_entropy_with_logits(one(X), (Y % 2).double()))


# --- budgets and costs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "adversary",
    [
        Pointwise(ms.Linf(0.1)),
        Pointwise(ms.L2(0.5), Inner(steps=3, start=Uniform())),
        Pointwise(ms.L1(1.0)),
        ByRecipe(ms.Linf(0.1), ms.recipes.pgd(3)),
        Worst([Pointwise(ms.Linf(0.1)), Pointwise(ms.Linf(0.05))]),
        Drawn([Pointwise(ms.Linf(0.1)), ByRecipe(ms.Linf(0.05), ms.recipes.fgsm())]),
    ],
)
def test_points_stay_in_ball_and_box_and_raise_the_loss(adversary: Adversary) -> None:
    net, x = conv(), images(10)
    y = net(x).argmax(1)
    objective = AdversarialRisk(adversary)
    for _ in range(3):  # the third call starts where the second one ended
        found = found_by(objective, net, x, y, torch.arange(10))
        assert float(found.points.min()) >= 0
        assert float(found.points.max()) <= 1
        budget = ms.L2(0.5) if "p=2" in repr(adversary) else ms.L1(1.0) if "p=1)" in repr(adversary) else ms.Linf(0.1)
        assert float(budget.norm.norm(found.points - x).max()) <= float(budget.eps) * (1 + 1e-5)
    energy = Loss(net, y)
    assert float(energy.look(found.points).value.mean()) < float(energy.look(x).value.mean())


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_passes_are_counted_and_no_row_is_padding(steps: int) -> None:
    """A training step of n rows is one model call of n rows for each inner gradient."""
    x = Counting.number(torch.rand(10, 6, dtype=torch.float64))
    net = Counting(mlp())
    objective = AdversarialRisk(Pointwise(ms.Linf(1e-6), cold(steps)))
    objective(net, x, Y[:10])
    looked = objective.spent["forward"] - 10 * steps  # at the first call the model is looked at
    assert looked == 3 * 10
    assert objective.spent["samples"] == 10
    assert objective.spent["backward"] == 10 * steps
    net.forward.clear()
    net.backward.clear()
    objective(net, x, Y[:10])
    assert objective.spent["forward"] == looked + 20 * steps
    assert net.sizes == {10}
    assert set(net.backward.values()) == {steps}
    assert set(net.forward.values()) == {steps + 1}


def test_the_model_is_called_once_for_each_gradient_while_rows_leave() -> None:
    sizes: list[int] = []
    net = mlp()

    def called(z: Tensor) -> Tensor:
        sizes.append(z.shape[0])
        return net(z)

    objective = AdversarialRisk(Pointwise(ms.Linf(0.05, **FREE), clean(steps=6, tolerance=0.2, warm=False)))
    loss = objective(called, X, Y)
    assert sizes[:3] == [12] * 3  # the look at the model
    assert sizes[-1] == 12
    assert sizes[:-1] == sorted(sizes[:-1], reverse=True)
    assert sum(sizes[3:-1]) == objective.spent["backward"] < 6 * 12
    assert number(loss) <= number(AdversarialRisk(Pointwise(ms.Linf(0.05, **FREE), cold(6)))(net, X, Y)) + 0.2


def test_a_row_stops_where_the_gap_is_closed_or_all_is_lost() -> None:
    net, y = two_class(), Y % 2
    gap = AdversarialRisk(Pointwise(ms.Linf(0.2, **FREE), clean(steps=8, tolerance=1e-9, warm=False)))
    gap(net, X, y)
    assert gap.spent["backward"] == 2 * 12  # a linear model is at its corner after one step, which the gap then shows
    lost = AdversarialRisk(Pointwise(ms.Linf(0.2, **FREE), cold(8, ceiling=0.0)))
    lost(net, X, y)
    assert lost.spent["backward"] == 12
    both = AdversarialRisk(Pointwise(ms.Linf(0.2, **FREE), cold(8, ceiling=1e9, tolerance=1e-9)))
    both(net, X, y)
    assert both.spent["backward"] == 24


def test_steps_follow_the_ratio_of_gain_to_promise() -> None:
    """On a steep parabola long steps overshoot and shrink; on a line they grow."""
    memory = problem(ms.Function(lambda z: 50 * z.square().sum(1)), torch.full((2, 1), 0.02).double(), Y[:2])
    Pointwise(ms.Linf(1.0, box=None), clean(steps=6)).perturb(memory)
    line = problem(ms.Function(lambda z: -z.sum(1)), torch.zeros(2, 1).double(), Y[:2])
    Pointwise(ms.Linf(1e6, box=None), clean(steps=6, first=1e-3)).perturb(line)
    ids, one = torch.arange(2), torch.ones(2).double()
    assert float(memory.memory.recall("0", ids, torch.zeros(2, 1).double(), one)[1].max()) < 0.6
    assert float(line.memory.recall("0", ids, torch.zeros(2, 1).double(), one)[1].min()) == 2.0


def test_a_warm_start_goes_on_where_the_last_flow_ended() -> None:
    net = mlp()
    warm = AdversarialRisk(Pointwise(ms.Linf(0.3, **FREE), clean(steps=1, first=0.25)))
    losses = [number(warm(net, X, Y, IDS)) for _ in range(6)]
    assert losses == sorted(losses)
    assert losses[-1] > losses[0] * 1.2
    shuffled = torch.randperm(12)
    a = found_by(warm, net, X[shuffled], Y[shuffled], IDS[shuffled]).points
    other = AdversarialRisk(Pointwise(ms.Linf(0.3, **FREE), clean(steps=1, first=0.25)))
    for _ in range(6):
        other(net, X, Y, IDS)
    torch.testing.assert_close(a, found_by(other, net, X, Y, IDS).points[shuffled])  # remembered by id, not by place
    unknown = AdversarialRisk(Pointwise(ms.Linf(0.3, **FREE), clean(steps=1, first=0.25)))
    assert [number(unknown(net, X, Y)) for _ in range(2)] == pytest.approx([losses[0]] * 2)


def test_some_samples_may_be_new() -> None:
    objective = AdversarialRisk(Pointwise(ms.Linf(0.3, **FREE), clean(steps=1, first=0.25)))
    net = mlp()
    found_by(objective, net, X[:6], Y[:6], IDS[:6])
    mixed = found_by(objective, net, X, Y, IDS).points
    new = AdversarialRisk(Pointwise(ms.Linf(0.3, **FREE), clean(steps=1, first=0.25)))
    fresh = found_by(new, net, X, Y, IDS).points
    torch.testing.assert_close(mixed[6:], fresh[6:])
    assert bool((mixed[:6] != fresh[:6]).any(1).all())
    far = found_by(objective, net, X[:2], Y[:2], torch.tensor([5000, 1])).points  # the memory grows
    torch.testing.assert_close(far[0], fresh[0])


def test_the_curriculum() -> None:
    net = mlp()
    objective = AdversarialRisk(Pointwise(ms.Linf(0.4, **FREE), cold(1)), ramp=Ramp(4))
    far = [float((found_by(objective, net, X, Y).points - X).abs().max()) for _ in range(6)]
    assert far == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.4])
    assert objective.condition["radius"] == 1.0
    assert Ramp(0).at(0) == 1.0
    assert Ramp(10, 0.5).at(5) == 0.75


# --- the caller's model ---------------------------------------------------------------------------------------------


class Busy(nn.Module):
    """Batch norm, dropout, a frozen batch norm; notes its mode at every call."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.BatchNorm1d(16))
        self.head = nn.Linear(16, 4)
        self.modes: list[tuple[bool, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.modes.append((self.training, self.body[1].training, self.body[2].training, self.body[3].training))
        return self.head(self.body(x))


@pytest.mark.parametrize("make", [lambda: AdversarialRisk(ms.Linf(0.1)), lambda: Trades(ms.Linf(0.1))])
def test_modes_statistics_and_gradients(make: Callable[[], Any]) -> None:
    net = Busy().double().train()
    net.body[3].eval()
    before = net.body[1].num_batches_tracked.item()
    random = torch.get_rng_state()
    objective = make()
    loss = objective(net, X, Y)
    outer = 1 if isinstance(objective, AdversarialRisk) else 2
    assert net.modes[-outer:] == [(True, True, True, False)] * outer
    assert set(net.modes[:-outer]) == {(False, False, False, False)}
    assert (net.training, net.body[3].training) == (True, False)
    assert net.body[1].num_batches_tracked.item() == before + outer  # by the training forward alone
    assert all(p.grad is None for p in net.parameters())
    loss.backward()
    assert all(p.grad is not None for p in net.parameters())
    assert not torch.equal(random, torch.get_rng_state())  # dropout is the model's own; the adversary draws nothing
    net.eval()
    random = torch.get_rng_state()
    make()(net, X, Y)
    assert torch.equal(random, torch.get_rng_state())
    assert not net.training


def test_modes_come_back_after_an_error() -> None:
    net = Busy().double().train()
    with pytest.raises(ValueError, match="number of classes"):
        AdversarialRisk(ms.Linf(0.1))(net, X, Y + 4)
    assert all(m.training for m in net.modules())


def test_half_precision() -> None:
    net = conv()
    x = images(8)
    with torch.autocast("cpu", torch.bfloat16):
        loss = AdversarialRisk(ms.Linf(0.1))(net, x, torch.arange(8) % 5)
    assert loss.dtype == torch.float32
    assert number(loss) == pytest.approx(number(AdversarialRisk(ms.Linf(0.1))(net, x, torch.arange(8) % 5)), rel=0.05)
    loss.backward()


# --- the guard ------------------------------------------------------------------------------------------------------


def test_the_guard_sees_a_masked_gradient_and_spends_more() -> None:
    """An adversary that finds the maximum only when it is given more: the loss it trains on says nothing."""
    calls: list[int] = []

    class Hidden(Adversary):
        """One useless step, unless more is asked for."""

        def perturb(self, problem: Problem) -> Perturbed:
            calls.append(problem.more)
            x = problem.x + (1.0 if problem.more else 0.0)
            return Perturbed(x, torch.arange(x.shape[0]), x.shape[0], x.shape[0])

    net = nn.Linear(1, 2).double()
    net.weight.data.copy_(torch.tensor([[-5.0], [5.0]]))
    net.bias.data.zero_()
    x, y = torch.zeros(40, 1).double() - 1.0, torch.zeros(40, dtype=torch.int64)
    guard = Guard(every=3, share=0.5, steps=2, threshold=2.0, hold=4)
    objective = AdversarialRisk(Hidden(), guard=guard)
    for _ in range(16):
        objective(net, x, y)
    remedy = [0, 2, *[2] * 4]  # call 0 and its look, then four calls of the remedy
    after = [1, 1, 3] + [1, 1, 1, 3] * 3  # one more for good, and a look, two beyond it, at every third call
    assert calls == [*remedy, *after]
    assert objective.condition["alarms"] == 1
    assert objective.condition["ratio"] == 1.0
    assert objective.spent["guard backward"] > 0
    few = AdversarialRisk(ms.Linf(0.01), guard=Guard(every=1))
    for _ in range(3):
        few(mlp(), X, Y, IDS)
    assert few.condition["alarms"] == 0
    assert 0.9 < few.condition["ratio"] < 1.5


def test_an_alarm_forgets_the_warm_starts_and_a_batch_may_have_no_chosen_sample() -> None:
    net = mlp()
    objective = AdversarialRisk(
        Pointwise(ms.Linf(0.2, **FREE), clean(steps=1, first=0.01)), guard=Guard(every=2, share=1.0, threshold=1.0001)
    )
    for _ in range(2):
        objective(net, X, Y, IDS)
    assert objective.condition["alarms"] == 1
    _, _, known = objective.inside.memory.recall("0", IDS, X, torch.ones(12).double())
    assert not bool(known.any())
    none = AdversarialRisk(ms.Linf(0.2, **FREE), guard=Guard(every=1, share=1e-9))
    none(net, X, Y, IDS)
    assert none.condition["ratio"] == 1.0


# --- state ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [AdversarialRisk, Trades])
def test_state_goes_on_where_it_was(kind: Callable[..., Any]) -> None:
    net = mlp()
    options = {"ramp": Ramp(5), "guard": Guard(every=2), "seed": 3}
    whole, first, second = (kind(ms.Linf(0.2, **FREE), **options) for _ in range(3))
    values = [number(whole(net, X, Y, IDS)) for _ in range(6)]
    got = [number(first(net, X, Y, IDS)) for _ in range(3)]
    second.restore(first.state(), torch.device("cpu"))
    got += [number(second(net, X, Y, IDS)) for _ in range(3)]
    assert got == values
    assert second.spent == whole.spent
    fresh = whole.fresh()
    assert fresh.condition["radius"] == 1.0
    assert fresh.spent["samples"] == 0


# --- misuse ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: AdversarialRisk("linf"), TypeError, "an Adversary such as Pointwise"),
        (lambda: AdversarialRisk(ms.Linf(0.1), clean=1.0), ValueError, "clean=1.0"),
        (lambda: Trades(ms.Linf(0.1), beta=0.0), ValueError, "beta=0.0"),
        (lambda: Pointwise("linf"), TypeError, "such as Linf"),
        (lambda: Pointwise(ms.Linf(torch.tensor([0.1, 0.2]))), ValueError, "one eps"),
        (lambda: Inner(steps=0), ValueError, "steps=0"),
        (lambda: Inner(tolerance=-1.0), ValueError, "tolerance=-1.0"),
        (lambda: Inner(first=0.0), ValueError, "first=0.0"),
        (lambda: Shared(ms.L2(1.0), math.inf), ValueError, "use Pointwise"),
        (lambda: Shared(Budget(Mixed(Lp(math.inf), Lp(2), axis=1), 1.0), 2), TypeError, "l_p norm"),
        (lambda: Lagrangian(0.0), ValueError, "price=0.0"),
        (lambda: Lagrangian(1.0, eps=-1.0), ValueError, "eps=-1.0"),
        (lambda: Worst([]), ValueError, "at least one adversary"),
        (lambda: Each([ms.Linf(0.1)]), ValueError, "at least one adversary"),
        (lambda: Drawn([Pointwise(ms.Linf(0.1))], [1.0, 2.0]), ValueError, "one share"),
        (lambda: Guard(threshold=1.0), ValueError, "threshold > 1"),
        (lambda: Guard(share=0.0), ValueError, "share in"),
        (lambda: Ramp(-1), ValueError, "calls >= 0"),
        (lambda: AdversarialRisk(ms.Linf(0.1))(mlp(), X.long(), Y), TypeError, "floating point"),
        (lambda: AdversarialRisk(ms.Linf(0.1))(mlp(), X, Y[:3]), ValueError, "one class number per row"),
    ],
)
def test_misuse(call: Callable[[], object], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=None) as raised:
        call()
    assert said in str(raised.value), str(raised.value)
