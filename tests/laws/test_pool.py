"""Runs in slots: every run is served exactly once, whatever the number of slots, and nothing is lost."""

import math
from itertools import pairwise
from operator import attrgetter

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import maxslope as ms
from maxslope import _rows
from maxslope._status import Status
from maxslope.attacks.pilot import pilot
from maxslope.attacks.question import ask
from maxslope.attacks.recipes import Recipe
from maxslope.attacks.rule import Rule, misled
from maxslope.attacks.runs import Runner
from maxslope.attacks.scheduler import settled_before
from maxslope.attacks.starts import Best, Clean, Corner, Gray, Last, Middle, Mixed, Opposite, Origin, Towards, Uniform
from maxslope.attacks.state import Outcome, State
from maxslope.data import default_data, default_network
from maxslope.energies import CrossEntropy, Diversified, Margin, ProbabilityMargin
from maxslope.schemes import SemiImplicit


def net(seed=0, width=16, classes=4, inputs=8):  # kernels of other widths may round by the position of a row
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, classes))
    return layers.eval().requires_grad_(False)


def data(n=90, inputs=8, model=None):
    x = torch.rand(n, inputs, generator=torch.Generator().manual_seed(1))
    return x, (model or net())(x).argmax(1)


def run(steps, start=None, criterion=None, rival=0, first=0.5):
    return Recipe("r", steps, first, 0.0, start or Uniform(), criterion or Margin(), SemiImplicit, rival=rival)


RUNS = (
    run(3, Clean()),
    run(7, Uniform(), CrossEntropy()),
    run(2, Opposite(), rival=1),
    run(3, Mixed(Best(), Uniform(), 0.5)),
    run(2, Mixed(Best(), Uniform(), 0.2), CrossEntropy()),
    run(5, Corner(), rival=2),
    run(0),
)


def pool(calls, tile, model, x, y, budget, runs=RUNS, risk=0.0, patience=None, descent=math.inf):
    question = ask(model, x, y, budget, seed=3, batch_size=tile)
    return Runner(question, runs, Rule(risk, descent), calls=calls, patience=patience)


def executed(runner):
    """Forward and backward passes of whole calls, without the look at the model."""
    forward, backward = runner.question.network.executed.passes()
    return forward - runner.question.inspected, backward


NAMES = (
    "points",
    "broken",
    "best",
    "clean",
    "forward",
    "backward",
    "runs",
    "status",
    "prospect.history",
    "prospect.chance",
    "prospect.foreseen",
    "unconfirmed",
)


@pytest.mark.parametrize("risk", [0.0, 0.02])
def test_one_slot_of_calls_equals_sixty_four(risk):
    model = net()
    x, y = data()
    several = [pool(calls, 8, model, x, y, ms.L2(0.4), risk=risk).go() for calls in (1, 3, 64)]
    for name in NAMES:
        one, three, many = (attrgetter(name)(t) for t in several)
        assert torch.equal(one, three), name
        assert torch.equal(one, many), name
    assert 0 < int(several[0].broken.sum()) < len(x)


@pytest.mark.parametrize("risk", [0.0, 0.02])
@pytest.mark.parametrize("patience", [2, 4, 9])
@pytest.mark.parametrize("calls", [1, 3, 64])
def test_asking_the_device_seldom_changes_nothing_but_executed_passes(calls, patience, risk):
    """Rows that ended stand still until the device is asked; what they did is counted up to where they ended."""
    model = net()
    x, y = data()
    runs = (*RUNS, Recipe("constant", 40, 0.2, start=Clean(), criterion=Margin(), scheme=SemiImplicit))
    for budget in (ms.L2(0.4), ms.Linf(torch.linspace(0.0, 0.3, len(x)))):
        at_once = pool(calls, 8, model, x, y, budget, runs, risk).go()
        asked = pool(calls, 8, model, x, y, budget, runs, risk, patience)
        seldom = asked.go()
        for name in NAMES:
            torch.testing.assert_close(
                attrgetter(name)(seldom), attrgetter(name)(at_once), rtol=0, atol=0, equal_nan=True, msg=name
            )
        assert executed(asked)[1] >= int(seldom.backward.sum())
    assert 0 < int(at_once.broken.sum()) < len(x)


class Asked(TorchDispatchMode):
    """Counts what makes a device and its processor wait for each other."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket in (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero)
        return func(*args, **(kwargs or {}))


def test_steps_between_looks_ask_the_device_nothing():
    """Four steps of an l_inf pool with runs of three criteria, a fixed rival among them, and no row that ends."""
    model = nn.Linear(6, 3).eval()
    with torch.no_grad():
        model.weight.mul_(1e-4)
        model.bias.copy_(torch.tensor([5.0, 0.0, 0.0]))
    asked, at_calls = Asked(), []

    def watched(x):
        at_calls.append(asked.count)
        return model(x)

    runs = (run(40, Clean()), run(40, Uniform(), CrossEntropy()), run(40, Opposite(), ProbabilityMargin(), rival=1))
    x, y = torch.rand(8, 6), torch.zeros(8, dtype=torch.long)
    with asked:
        pool(1, 24, watched, x, y, ms.Linf(0.1), runs, patience=4).go()
    between = [b - a for a, b in pairwise(at_calls)]
    # 40 steps, of which every fourth ends with a look, and what begins and ends the runs.
    assert between.count(0) >= 28
    assert between.count(0) + between.count(1) >= 36


@pytest.mark.parametrize("budget", [ms.Linf(0.15), ms.L2(0.4), ms.L1(0.8)])
def test_what_a_gpu_is_spared_changes_nothing(budget, monkeypatch):
    """On a device that is not asked what the rows are up to, every bit is that of one that is asked at every step."""
    model = net()
    x, y = data(32)
    runs = (*RUNS, Recipe("constant", 40, 0.2, start=Clean(), criterion=Margin(), scheme=SemiImplicit))
    steep = tuple(Recipe("explicit", 40, first, start=start) for first, start in ((0.2, Clean()), (0.3, Uniform())))
    for recipes in (runs, steep):
        asked = pool(3, 8, model, x, y, budget, recipes).go()
        monkeypatch.setattr(_rows, "_FREE", ())
        seldom = pool(3, 8, model, x, y, budget, recipes)
        assert seldom.patience == 4
        spared = seldom.go()
        monkeypatch.undo()
        for name in NAMES:
            torch.testing.assert_close(
                attrgetter(name)(spared), attrgetter(name)(asked), rtol=0, atol=0, equal_nan=True, msg=name
            )
        assert 0 < int(asked.broken.sum()) < len(x)


def test_runs_with_other_clocks_ask_the_device_nothing_between_looks(monkeypatch):
    """Cycles are looked for by clocks that the processor knows; rows that entered apart have different ones."""
    monkeypatch.setattr(_rows, "_FREE", ())
    model = nn.Linear(6, 3).eval()
    with torch.no_grad():
        model.weight.mul_(1e-4)
        model.bias.copy_(torch.tensor([5.0, 0.0, 0.0]))
    asked, at_calls = Asked(), []

    def watched(x):
        at_calls.append(asked.count)
        return model(x)

    runs = tuple(Recipe("constant", steps, 1e-3, start=start) for steps, start in ((40, Clean()), (60, Uniform())))
    x, y = torch.rand(12, 6), torch.zeros(12, dtype=torch.long)
    with asked:
        pool(1, 8, watched, x, y, ms.Linf(0.1), runs).go()
    between = [b - a for a, b in pairwise(at_calls)]
    assert between.count(0) > 0.6 * len(between)  # every fourth step ends with a look, and rows end and enter


class Captured(torch.autograd.Function):
    """A linear model as a captured graph: outputs and gradients are the same buffers at every call."""

    out, slope, weight = (
        torch.zeros(8, 4),
        torch.zeros(8, 8),
        torch.rand(8, 4, generator=torch.Generator().manual_seed(3)),
    )

    @staticmethod
    def forward(ctx, x):
        return Captured.out.copy_(x @ Captured.weight).detach()

    @staticmethod
    def backward(ctx, grad):
        return Captured.slope.copy_(grad @ Captured.weight.T)


def test_a_captured_graph_is_done_with_before_the_next_call(monkeypatch):
    monkeypatch.setattr(_rows, "_FREE", ())
    x = data(20)[0]
    y = (x @ Captured.weight).argmax(1)
    budget = ms.L2(0.2)
    plain, graph = (pool(3, 8, model, x, y, budget).go() for model in (lambda z: z @ Captured.weight, Captured.apply))
    for name in NAMES:
        torch.testing.assert_close(
            attrgetter(name)(graph), attrgetter(name)(plain), rtol=0, atol=0, equal_nan=True, msg=name
        )
    assert 0 < int(plain.broken.sum()) < len(x)


@pytest.mark.parametrize("risk", [0.0, 0.02])
@pytest.mark.parametrize("first", [1, 3, 4, 99])
def test_going_on_equals_not_having_stopped(first, risk):
    """After the first runs of every sample the driver can be asked what is known, and goes on as if it had not been."""
    model = net()
    x, y = data()
    whole = pool(4, 8, model, x, y, ms.L2(0.4), risk=risk).go()
    stopped = pool(4, 8, model, x, y, ms.L2(0.4), risk=risk)
    begun = stopped.go(first)
    assert int(begun.runs.max()) == min(first, len(RUNS))
    spent = begun.backward.clone()
    known = stopped.go()
    assert first == 99 or bool((known.backward > spent).any())
    for name in NAMES:
        assert torch.equal(attrgetter(name)(known), attrgetter(name)(whole)), name


@pytest.mark.parametrize("calls", [1, 5])
def test_every_run_is_served_exactly_once(calls):
    """A model that cannot be fooled lets every sample make all its runs: passes are known in advance."""
    model = nn.Linear(6, 3).eval()
    with torch.no_grad():
        model.weight.mul_(1e-4)
        model.bias.copy_(torch.tensor([5.0, 0.0, 0.0]))
    x = torch.rand(50, 6)
    runner = pool(calls, 8, model, x, torch.zeros(50, dtype=torch.long), ms.Linf(0.1))
    known = runner.go()
    assert known.runs.tolist() == [len(RUNS)] * 50
    assert known.backward.tolist() == [sum(r.steps for r in RUNS)] * 50
    # One forward pass a step, one verification a run, and one to rank the rivals.
    assert known.forward.tolist() == [sum(r.steps for r in RUNS) + len(RUNS) + 1] * 50
    assert torch.isfinite(known.prospect.history).all()
    assert executed(runner)[1] >= int(known.backward.sum())


def test_executed_passes_are_those_the_model_sees():
    x, y = data()
    seen = {"rows": 0}
    model = net()
    model.register_forward_pre_hook(lambda m, args: seen.__setitem__("rows", seen["rows"] + args[0].shape[0]))
    runner = pool(2, 8, model, x, y, ms.Linf(0.1))
    known = runner.go()
    assert runner.question.network.executed.forward == seen["rows"]
    assert int(known.forward.sum()) <= executed(runner)[0]


def test_what_breaks_first_in_order_is_what_counts():
    """Runs made ahead of time change nothing: the outcome equals that of one sample and one slot at a time."""
    model = net(3)
    x, y = data(40, model=model)
    together = pool(4, 16, model, x, y, ms.Linf(0.08)).go()
    for i in range(0, 40, 7):
        one = ask(model, x[i : i + 1], y[i : i + 1], ms.Linf(0.08), ids=torch.tensor([i]), seed=3, batch_size=16)
        alone = Runner(one, RUNS, Rule(0.0), calls=1).go()
        assert torch.equal(alone.points[0], together.points[i])
        assert int(alone.forward[0]) == int(together.forward[i])
        assert int(alone.runs[0]) == int(together.runs[i])


def test_rule_is_the_documented_formula_and_gives_up_by_it():
    clean, history = torch.tensor([10.0, 10.0, 10.0]), torch.tensor([[8.0, 5.0], [9.0, 0.01], [10.0, 11.0]])
    BOTH = torch.zeros(2, dtype=torch.int64)
    chance = Rule(0.1).chance(clean, history, torch.tensor([2, 2, 2]), torch.tensor([25, 25, 25]), BOTH)
    assert chance[0] == pytest.approx(8 * 0.04 / (1.0 * 25) ** 1.5)
    assert chance[1] == pytest.approx(1 / 3)  # as good as broken: Laplace's rule of succession
    assert chance[2] == pytest.approx(1 / 3)  # nothing was gained: the margins say nothing
    little = torch.tensor([[9.0, 9.5], [9.99, 10.0], [10.0, 9.0]])  # beyond 1.75 ways made, less says no more
    far = Rule(0.1).chance(clean, little, torch.tensor([2, 2, 2]), torch.tensor([25, 25, 25]), BOTH)
    assert far.tolist() == pytest.approx([8 * 0.04 / (1.75 * 25) ** 1.5] * 3)
    with pytest.raises(ValueError, match=r"risk=1\.5"):
        Rule(1.5)


def test_jumps_start_side_by_side_from_what_the_last_independent_run_left():
    jump = run(1, Mixed(Best(), Uniform()))
    assert settled_before((run(1), jump, jump, run(1), run(1, Last()), run(1, Best()))) == [0, 1, 1, 0, 4, 4]


def test_targets_are_ranked_by_their_distance_to_first_order():
    """Class 1 has the larger logit; class 2 is nearer: gaps 1 and 2, gradients of dual norm 0.5 and 4."""
    model = nn.Linear(2, 3)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 4.0]]))
        model.bias.copy_(torch.tensor([3.0, 2.0, 1.0]))
    x, y, runs = torch.zeros(5, 2), torch.zeros(5, dtype=torch.long), (run(4, Clean(), rival=1),)
    budget = ms.Linf(0.6, box=(-1, 1))
    by_logits, by_distance = (
        Runner(ask(model.eval(), x, y, budget, batch_size=2), runs, Rule(0.0), candidates, calls=2).go()
        for candidates in (0, 9)
    )
    assert not bool(by_logits.broken.any())
    assert bool(by_distance.broken.all())
    steps = by_distance.backward - 2  # two candidates, one pass each
    assert bool((by_distance.forward == steps + 1 + 1 + 2).all())  # verification, logits, candidates


def test_runs_that_agree_lower_the_chance_and_runs_that_scatter_raise_it():
    clean, made, gradients = torch.full((3,), 10.0), torch.full((3,), 4), torch.full((3,), 25)
    history = torch.tensor([[5.0, 5.02, 7.0, 9.0], [5.0, 8.0, 9.0, 9.0], [5.0, 5.0, 5.0, 9.0]])
    law = 0.04 / 25**1.5
    every = torch.zeros(4, dtype=torch.int64)
    chance = Rule(0.1).chance(clean, history, made, gradients, every)
    torch.testing.assert_close(chance, law * torch.tensor([0.05, 6.0, 0.05], dtype=torch.float64), rtol=1e-6, atol=0)
    heavy = Rule(0.1, weight=50.0).chance(
        clean, torch.cat([history, history[:, :1] + 5], 1)[:, [0, 1, 4]], made, gradients, every[:3]
    )
    torch.testing.assert_close(heavy[:2], law * torch.tensor([0.2, 30.0], dtype=torch.float64), rtol=1e-6, atol=0)
    far = Rule(0.1).chance(clean[:1], torch.tensor([[5.0, 9.5, 9.6]]), made[:1], gradients[:1], every[:3])
    assert float(far) == pytest.approx(8.0 * law)  # beyond 0.8 a spread says no more
    with pytest.raises(ValueError, match=r"weight=0\.0"):
        Rule(0.1, weight=0.0)
    # a run that starts where another ended agrees with it and says nothing: two independent ones are too few
    hop = torch.tensor([0, -1, -1, 0])
    torch.testing.assert_close(Rule(0.1).chance(clean, history, made, gradients, hop)[2].item(), 8 * law)


def test_plain_and_smoothed_runs_are_not_compared_with_each_other():
    """The spread is that of the kind which has the least margin; two of its runs, of three, tell it."""
    clean, made, gradients = torch.full((3,), 10.0), torch.full((3,), 4), torch.full((3,), 25)
    history = torch.tensor([[5.0, 9.0, 5.5, 9.1], [9.0, 5.0, 9.5, 5.5], [5.0, 9.0, 9.0, 9.0]])
    kinds, law = torch.tensor([0, 1, 0, 1]), 0.04 / 25**1.5
    chance = Rule(0.1).chance(clean, history, made, gradients, kinds)
    torch.testing.assert_close(chance, law * torch.tensor([1.0, 1.0, 8.0], dtype=torch.float64), rtol=1e-6, atol=0)
    alone = Rule(0.1).chance(clean, history, made, gradients, torch.tensor([0, 1, 1, 1]))
    assert float(alone[0]) == pytest.approx(8 * law)  # one plain run has the least margin, and no company
    first = Rule(0.1).chance(clean[:2], history[:2, :3], made[:2], gradients[:2], kinds[:3])
    torch.testing.assert_close(first, law * torch.tensor([1.0, 8.0], dtype=torch.float64), rtol=1e-6, atol=0)


def test_kinks_mislead_where_smoothed_runs_end_lower_on_most_of_eight_samples_whose_margins_fell_by_half():
    clean, kinds = torch.full((9,), 8.0), torch.tensor([0, 1, 0, -1])
    ends = torch.tensor([[2.0, 1.0, 3.0, torch.inf]]).repeat(9, 1)  # 1 of 7 ways made between the kinds
    assert misled(clean, ends, kinds)
    assert misled(clean[:8], ends[:8], kinds)
    assert not misled(clean[:7], ends[:7], kinds)
    assert not misled(clean, ends, torch.tensor([1, 0, 1, -1]))  # plain runs are the lower ones
    assert not misled(clean, ends, torch.tensor([0, 0, 0, -1]))
    assert not misled(clean, ends + 3.5, kinds)  # 4.5 of 8 are left
    assert not misled(clean, torch.tensor([[1.5, 1.0, 3.0, torch.inf]]).repeat(9, 1), kinds)  # 0.5 of 7
    assert not misled(clean, ends[:, [0, 1, 3, 3]], kinds)  # two runs
    jump = torch.tensor([[2.0, torch.inf, 3.0, 1.0]]).repeat(9, 1)
    assert not misled(clean, jump, kinds)  # a jump is of neither kind
    ends[:5, 0] = 1.0
    assert not misled(clean, ends, kinds)  # on four of nine


def test_reach_is_where_the_chance_falls_to_the_risk():
    """With the margins of now, a row goes on for exactly so many gradients."""
    clean, history, gradients = torch.tensor([10.0]), torch.tensor([[8.0, 5.0, 8.0]]), torch.tensor([50])
    every, made, rule = torch.zeros(3, dtype=torch.int64), torch.tensor([3]), Rule(2e-5)
    reach = rule.reach(clean, history, gradients, every)
    later = (gradients + reach).double()
    assert float(rule.chance(clean, history, made, later, every)) == pytest.approx(2e-5, rel=1e-4)
    assert float(reach) > 0
    assert float(Rule(0.5).reach(clean, history, gradients, every)) == 0  # given up already
    unknown = rule.reach(torch.tensor([1.0]), history, gradients, every)  # nothing was gained
    assert unknown.tolist() == [math.inf] == Rule(0.0).reach(clean, history, gradients, every).tolist()


def test_a_run_is_given_up_where_the_rest_of_it_cannot_lead_to_an_error():
    """m > max(descent, 3 d)(1 - t/T)(m_0 - m), with m_0 = 10, and 3 of 10 steps left."""
    rule, clock, steps = Rule(0.1, 0.2), torch.tensor(7), torch.tensor(10.0)
    clean = torch.full((6,), 10.0)
    least = torch.tensor([0.5, 0.7, 0.7, 1.7, 10.0, 9.0])
    shown = torch.tensor([0.0, 0.0, 0.2, 0.2, 0.0, torch.nan])  # 0.06 or 0.18 of 9.3 may still be gained
    began = torch.full((6,), torch.nan)
    up = rule.hopeless(clock, steps, clean, least, shown, began)
    assert up.tolist() == [False, True, False, True, False, False]
    assert not bool(rule.hopeless(torch.tensor(3), steps, clean, least, shown, began).any())  # too early
    assert not bool(Rule(0.1).hopeless(clock, steps, clean, least, shown, began).any())
    # a jump that began near a margin of 0.1 may be 0.4 0.3^2 9.9 = 0.36 behind
    near, late = torch.tensor([0.45, 0.47]), torch.full((2,), torch.inf)
    back = (clock, steps, clean[:2], near, late, torch.full((2,), 0.1))
    assert rule.hopeless(*back).tolist() == [False, True]
    assert not bool(Rule(0.1).hopeless(*back).any())
    early = torch.tensor([6.0, 10.0, torch.nan])
    fell = rule.shown(torch.full((3,), 10.0), early, torch.tensor([3.6, 3.6, 3.6]))
    torch.testing.assert_close(fell[:1], torch.tensor([2.4 / (0.6 * 4.0)], dtype=torch.float64))
    assert bool(fell[1].isinf())
    with pytest.raises(ValueError, match="descent=-1"):
        Rule(0.1, -1.0)


def test_runs_given_up_are_counted_by_what_they_cost_and_weighed_by_what_they_are():
    """A linear model: the first step is the last that gains anything, so every later run ends at 0.4 of its own."""
    model = nn.Linear(6, 2, bias=False).eval()
    with torch.no_grad():
        model.weight.copy_(torch.stack([torch.ones(6), -torch.ones(6)]))
    x, y = torch.full((5, 6), 0.9), torch.zeros(5, dtype=torch.long)
    runs = [Recipe("r", steps, 2.0, 0.0, Clean(), Margin(), SemiImplicit) for steps in (10, 20, 15, 10)]
    known = pool(2, 4, model, x, y, ms.Linf(0.1), runs, descent=0.2).go()
    made = 10 + 9 + 7 + 5  # a run that ends at the look after t steps was evaluated t + 1 times
    assert known.backward.tolist() == [made] * 5
    assert known.forward.tolist() == [made + 4] * 5
    assert known.prospect.planned.tolist() == [[10, 20, 15, 10]] * 5
    assert known.status.tolist() == [int(ms.Status.STOPPED)] * 5
    whole = pool(2, 4, model, x, y, ms.Linf(0.1), runs).go()
    assert whole.backward.tolist() == whole.prospect.planned.sum(1).tolist() == [55] * 5
    assert torch.equal(known.prospect.chance, whole.prospect.chance)
    assert torch.equal(known.points, whole.points)


@pytest.mark.parametrize("patience", [1, 4])
def test_runs_given_up_are_the_same_alone_and_among_others(patience):
    """No run starts ahead before the first has shown how late margins fall."""
    model, runs = net(3), tuple(run(steps, Uniform()) for steps in (10, 10, 20, 15)) + RUNS[3:5]
    x, y = data(40, model=model)
    budget = ms.Linf(0.06)
    together = pool(4, 16, model, x, y, budget, runs, descent=0.05, patience=patience).go()
    whole = pool(4, 16, model, x, y, budget, runs, patience=patience).go()
    assert int(together.backward.sum()) < int(whole.backward.sum())
    for i in range(0, 40, 5):
        one = ask(model, x[i : i + 1], y[i : i + 1], budget, ids=torch.tensor([i]), seed=3, batch_size=16)
        alone = Runner(one, runs, Rule(0.0, 0.05), calls=1, patience=patience).go()
        for name in ("points", "forward", "backward", "prospect.planned", "runs", "best", "prospect.chance"):
            assert torch.equal(attrgetter(name)(alone)[0], attrgetter(name)(together)[i]), name


def test_a_pursuit_gives_up_those_whose_nearest_error_stays_far_outside():
    """0.04 / (r g)^(3/2) with the way from the nearest error to the budget."""
    nearest, made = torch.tensor([1.5, 1.5, 1.0, torch.inf]), torch.tensor([20, 100, 100, 100])
    assert 0.04 / (0.5 * 20) ** 1.5 > 1e-3 > 0.04 / (0.5 * 100) ** 1.5
    assert Rule(1e-3).pursues(nearest, made).tolist() == [True, False, True, True]
    assert bool(Rule(0.0).pursues(nearest, made).all())


def test_a_last_sample_fills_its_calls_with_its_own_later_runs():
    """Jumps wait for the run before them alone, so that one sample of many runs leaves little padding."""
    model = nn.Linear(6, 3).eval()
    with torch.no_grad():
        model.weight.mul_(1e-4)
        model.bias.copy_(torch.tensor([5.0, 0.0, 0.0]))
    runs = (run(6), *(run(3, Mixed(Best(), Uniform())) for _ in range(6))) * 8
    runner = pool(2, 8, model, torch.rand(1, 6), torch.zeros(1, dtype=torch.long), ms.Linf(0.1), runs)
    useful = sum(r.steps for r in runs)
    assert int(runner.go().backward) == useful
    assert executed(runner)[1] < 1.6 * useful  # one run after the other: 8 times


def test_more_risk_means_fewer_passes_and_no_more_broken():
    net_, (x, y) = default_network(), default_data()
    x, y = x[:96], y[:96]
    careless, careful = (
        ms.attack(net_, x, y, ms.Linf(0.3), effort=ms.Effort(RUNS, rule=Rule(risk)), certify=False)
        for risk in (0.05, 0.0)
    )
    assert careless.backward.sum() < careful.backward.sum()
    assert bool((~careless.broken | careful.broken).all())
    assert bool((careless.chance[~careless.broken & (careless.runs < len(RUNS))] <= 0.05).all())


def test_signed_steps_that_come_back_stop_with_the_same_verdict():
    """A linear model on a box: constant steps cycle between two points; the run need not go on."""
    weight = torch.tensor([[1.0, -1.0, 0.5], [-1.0, 1.0, -0.5]])
    model = nn.Linear(3, 2, bias=False).eval()
    with torch.no_grad():
        model.weight.copy_(weight)
    x, y = torch.tensor([[0.9, 0.1, 0.5]]), torch.tensor([0])
    recipe = ms.recipes.pgd(steps=1000, step=0.25, start=Clean())
    result = ms.attack(model, x, y, ms.Linf(0.2), recipe=recipe, certify=False)
    assert int(result.backward) < 40
    assert result.status[0] == ms.Status.STOPPED
    assert not result.broken[0]
    # The closed form of a linear margin over the box: every coordinate at its end.
    expected = (weight[0] - weight[1]) @ (x[0] - 0.2 * (weight[0] - weight[1]).sign()).clamp(0, 1)
    assert float(result.margin[0]) == pytest.approx(float(expected), abs=1e-6)


def test_an_error_that_verification_does_not_confirm_is_counted_and_not_broken():
    class Flicker(nn.Module):
        """Right in every call but those with gradient."""

        def forward(self, x):
            sign = -1.0 if x.requires_grad else 1.0
            return torch.stack([sign * (1 + x.sum(1)), torch.zeros(len(x))], 1)

    x = torch.rand(4, 3)
    result = ms.attack(Flicker().eval(), x, torch.zeros(4, dtype=torch.long), ms.Linf(0.01), recipe=ms.recipes.fgsm())
    assert not result.broken.any()
    assert result.unconfirmed.tolist() == [1, 1, 1, 1]
    assert result.status.tolist() == [ms.Status.REACHED] * 4


@pytest.mark.parametrize(
    "start",
    [Clean(), Uniform(), Corner(), Opposite(), Middle(), Gray(), Mixed(Middle(), Uniform()), Best(), Last(),
     Towards(torch.rand(3, 6))],
)  # fmt: skip
@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_starts_are_rows_apart_and_end_inside_the_budget(start, p):
    x = torch.rand(7, 6)
    budget = ms.Budget(ms.Lp(p), 0.3)
    key = torch.arange(7)
    origin = Origin(x, torch.full((7,), 0.3), budget, key, x.roll(1, 0), x.roll(2, 0))
    points = start.points(origin)
    some = torch.tensor([4, 1])
    part = Origin(x[some], origin.eps[some], budget, key[some], origin.best[some], origin.last[some])
    assert torch.equal(start.points(part), points[some])
    domain = budget.around(x)
    assert float(domain.violation(domain.project(points)).max()) < 1e-6


def test_starts_are_where_they_say():
    x = torch.tensor([[0.1, 0.6, 0.5]])
    origin = Origin(x, torch.tensor([1.0]), ms.Linf(1.0), torch.tensor([5]), x, x)
    assert Opposite().points(origin).tolist() == [[1.0, 0.0, 1.0]]
    assert Middle().points(origin).tolist() == [[0.5, 0.5, 0.5]]
    assert set(Corner().points(origin)[0].tolist()) <= {0.0, 1.0}
    gray = Gray().points(origin)[0]
    assert gray[0] == gray[1] == gray[2]


def test_where_a_run_ended_is_kept_beside_its_best_point():
    model = net(2)
    x, y = data(3, model=model)
    known = State(ask(model, x, y, ms.Linf(0.1)), 2)
    margin, rest = torch.tensor(0.5).to(x), (torch.tensor(n) for n in (False, True, int(Status.FINISHED), 4, 3, 7))
    outcome = Outcome(x[1] + 0.1, x[1] + 0.2, margin, *rest)
    known.settle(torch.tensor([1]), [outcome])
    assert torch.equal(known.points[1], x[1] + 0.1)
    assert torch.equal(known.last[1], x[1] + 0.2)
    counted = (known.forward, known.backward, known.runs, known.unconfirmed, known.prospect.planned.sum(1))
    assert [t.tolist() for t in counted] == [[0, n, 0] for n in (4, 3, 1, 1, 7)]
    assert torch.equal(known.points[[0, 2]], x[[0, 2]])


def test_output_diversified_runs_through_a_start_where_the_last_run_ended():
    model = net(2)
    x, y = data(30, model=model)
    runs = (run(3, Clean(), Diversified(1)), run(6, Last(), Margin()))
    known = pool(2, 8, model, x, y, ms.Linf(0.1), runs=runs).go()
    again = pool(1, 8, model, x, y, ms.Linf(0.1), runs=runs).go()
    assert torch.equal(known.points, again.points)
    z = model(x)
    weights = [Diversified(s)(z, y, y) for s in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert float(weights[0].abs().max()) <= float(z.abs().sum(1).max())


def test_pilot_reorders_the_runs_and_can_be_replayed():
    model, (x, y) = default_network(), default_data()
    effort = ms.Effort((run(4, Clean(), ProbabilityMargin()), *(run(s, st, c) for s, st, c in (
        (4, Corner(), Margin()), (4, Middle(), CrossEntropy()), (8, Middle(), CrossEntropy()), (4, Opposite(), Margin())
    ))), rule=Rule(0.001))  # fmt: skip
    right = model(x).argmax(1) == y
    chosen = pilot(model, x[right][:200], y[right][:200], ms.Linf(0.35), effort, samples=16)
    again = pilot(model, x[right][:200], y[right][:200], ms.Linf(0.35), effort, samples=16)
    assert [r.name for r in chosen.effort.runs] == [r.name for r in again.effort.runs]
    assert chosen.effort.runs[0] == effort.runs[0]
    assert [r.steps for r in chosen.effort.runs] == [r.steps for r in effort.runs]
    assert {type(r.start) for r in chosen.effort.runs[1:]} <= {Corner, Middle, Opposite}
    assert chosen.forward > chosen.backward > 0
    with pytest.raises(ValueError, match="samples=0"):
        pilot(model, x, y, ms.Linf(0.3), effort, samples=0)
    for runs in (effort.runs[:1], effort.runs[:2]):  # nothing to order, nothing spent
        single = ms.Effort(runs)
        assert pilot(model, x, y, ms.Linf(0.3), single) == (single, 0, 0)


def test_limited_effort_keeps_whole_runs_within_the_passes():
    effort = ms.Effort.standard().limited(60)
    assert sum(r.steps for r in effort.runs) <= 60
    assert effort.runs == ms.Effort.standard().runs[: len(effort.runs)]
    assert [run.steps for run in ms.Effort.standard().limited(1).runs] == [1]
