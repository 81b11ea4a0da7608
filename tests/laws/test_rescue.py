"""Where gradients are not to be trusted the effort is widened, said so, and can be replayed."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import maxslope as ms
from maxslope.attacks._plan import next_length, way_of
from maxslope.attacks._probe import PROBES
from maxslope.attacks.effort import staged
from maxslope.attacks.rule import Rule
from maxslope.attacks.stages import Bundle, OutsideProbe, Pursuit, RandomSearch, Rescue, Restarts, Runs
from maxslope.attacks.starts import Best, Mixed, Uniform
from maxslope.data import default_data, default_network
from maxslope.schemes import SemiImplicit
from nets import mlp


@pytest.mark.slow
def test_a_rescued_effort_finds_what_gradients_inside_the_budget_miss():
    """The shipped network, trained for l_inf, masks its gradients in l_2: its boundary is nearer than they say."""
    model, (x, y) = default_network(), default_data()
    x, y = x[:48], y[:48]
    plain = ms.attack(model, x, y, ms.L2(2.0), effort=ms.Effort.quick(), certify=False)
    effort = ms.Effort.quick().rescued()
    assert effort.stages[-2:] == (Pursuit(66), RandomSearch(200))
    assert "pursuit 66, 200 queries" in effort.name
    rescued = ms.attack(model, x, y, ms.L2(2.0), effort=effort, certify=False)
    assert bool((~plain.broken | rescued.broken).all())
    assert int(rescued.broken.sum()) >= int(plain.broken.sum()) + 10
    assert bool((rescued.distance[rescued.broken] <= 2.0 * (1 + 1e-5)).all())
    assert bool((model(rescued.points).argmax(1)[rescued.broken] != y[rescued.broken]).all())
    # Samples that fell before cost nothing more; the others pay for the search.
    assert torch.equal(rescued.forward[plain.broken], plain.forward[plain.broken])
    assert bool((rescued.forward[~plain.broken] > plain.forward[~plain.broken]).all())
    part = torch.tensor([40, 3, 17])
    alone = ms.attack(model, x[part], y[part], ms.L2(2.0), effort=effort, certify=False, ids=part)
    assert torch.equal(alone.points, rescued.points[part])
    assert torch.equal(alone.forward, rescued.forward[part])


@pytest.mark.slow
def test_an_early_rescue_wastes_no_runs_and_replays():
    """Where the first look from outside sees errors, the runs that look back are not made; the effort says so."""
    model, (x, y) = default_network(), default_data()
    x, y = x[:24], y[:24]
    first = ms.Recipe("descent", steps=12, first=2.0, last=0.0, scheme=SemiImplicit)
    jumps = (ms.Recipe("jump", 25, 0.5, 0.0, Best(), scheme=SemiImplicit),) * 6
    effort = ms.Effort(staged((first, first, *jumps), 10, 50))
    assert len(effort.stages[0].recipes) == 2
    found = ms.attack(model, x, y, ms.L2(2.0), effort=effort, probe=True, certify=False)
    assert found.effort == effort.pursued() == ms.Effort((first, first, Pursuit(40)), found.effort.name)
    assert found.stages == (Runs((first, first)), effort.stages[1], Pursuit(40))
    assert found.findings.masked
    again = ms.attack(model, x, y, ms.L2(2.0), effort=found.effort, certify=False)
    for name in ("points", "broken", "forward", "backward", "runs"):
        assert torch.equal(getattr(found, name), getattr(again, name)), name
    # In l_inf, for which the network was trained, nothing is seen from outside and every run is made.
    sound = ms.attack(model, x, y, ms.Linf(0.3), effort=effort, probe=True, certify=False)
    assert sound.effort == effort
    assert int(sound.runs.max()) == 8


WAVES = 15 * torch.randn(8, 24, generator=torch.Generator().manual_seed(0))


class Rough(nn.Module):
    """A margin of many local minima, all of them positive."""

    def forward(self, x):
        margin = 1.2 + 2 * torch.sin(x @ WAVES).mean(1)
        return torch.relu(torch.stack([margin, torch.zeros_like(margin)], 1))  # a kink, at 0


def _searching(weight: float = 1.0) -> ms.Effort:
    """Plain runs of long steps end higher on the rough margin, which has no kinks, than those of short steps."""
    long = ms.Recipe("long", 4, 2.0, 0.0, Uniform(), scheme=SemiImplicit)
    short = replace(long, name="short", first=0.6, smoothing=1.0)
    jumps = (replace(short, start=Mixed(Best(), Uniform(), 0.3), smoothing=0.0),) * 12
    return ms.Effort(staged((long, short, long, short, *jumps), 10, 20, weight=weight), rule=Rule(3e-3))


def test_where_kinks_mislead_all_samples_go_on_by_a_heavier_rule_and_replay():
    """Samples that the former rule had given up by then go on, as if the heavier one had been theirs from the start."""
    model = Rough().eval()
    x, y = 0.4 + 0.2 * torch.rand(24, 8, generator=torch.Generator().manual_seed(1)), torch.zeros(24, dtype=torch.long)
    options = dict(certify=False)
    lasting, heavy = (ms.Effort(_searching(w).stages[:-1], rule=Rule(3e-3)) for w in (1.0, 5.0))
    plain = ms.attack(model, x, y, ms.Linf(0.2), effort=lasting, probe=True, **options)
    found = ms.attack(model, x, y, ms.Linf(0.2), effort=heavy, probe=True, **options)
    assert plain.effort == lasting
    assert found.effort.rule == Rule(3e-3, weight=50.0)
    assert found.effort.name.endswith("kinks mislead")
    assert not any(isinstance(stage, OutsideProbe) for stage in found.effort.stages)
    more = found.counts.runs - plain.counts.runs
    assert bool((more >= 0).all())
    assert bool((more[plain.counts.runs == 3] > 0).any())  # the probe comes after four runs
    again = ms.attack(model, x, y, ms.Linf(0.2), effort=found.effort, **options)
    for name in ("points", "broken", "forward", "backward", "runs", "chance", "foreseen"):
        assert torch.equal(getattr(found, name), getattr(again, name)), name
    few = ms.attack(model, x[:7], y[:7], ms.Linf(0.2), effort=heavy, probe=True, **options)
    assert few.effort == heavy  # seven samples do not tell


@pytest.mark.parametrize("between", [Pursuit(8), RandomSearch(5), Restarts((ms.Recipe("again", 2, 0.6, 0.0),), 1)])
def test_runs_go_on_as_they_would_have_after_another_stage(between):
    """What other stages make of a sample are no runs of the effort: none of its own is left out, or counted as one."""
    model, run = Rough().eval(), ms.Recipe("run", 4, 0.1, 0.0, Uniform())
    x, y = 0.4 + 0.2 * torch.rand(12, 8, generator=torch.Generator().manual_seed(1)), torch.zeros(12, dtype=torch.long)
    effort = ms.Effort((run, between, run, run, run), rule=Rule(1e-9))
    found = ms.attack(model, x, y, ms.Linf(0.05), effort=effort, certify=False)
    plain = ms.attack(model, x, y, ms.Linf(0.05), effort=ms.Effort((run,) * 4, rule=Rule(1e-9)), certify=False)
    stand = ~found.broken & ~plain.broken
    assert int(stand.sum()) >= 8
    assert set((found.runs - plain.runs)[stand].tolist()) <= {1, 2}  # a long search by values follows a short one
    assert torch.equal(found.chance[stand], plain.chance[stand])


def rougher(x):
    """The same among four classes."""
    more = torch.sin(x @ WAVES[:, 1:3]) * 0.2 - torch.tensor([0.3, 0.6])
    return torch.cat([Rough()(x), more], 1)


def test_what_probes_say_does_not_hang_on_the_order_of_the_samples():
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    x, y = 0.4 + 0.2 * torch.rand(40, 8, generator=torch.Generator().manual_seed(5)), torch.zeros(40, dtype=torch.long)
    first, other = (
        ms.attack(rougher, x[at], y[at], ms.Linf(0.2), effort=_searching(), probe=True, batch_size=8, ids=at)
        for at in (torch.arange(40), order)
    )
    assert first.effort == other.effort
    assert torch.equal(first.findings.forward[order], other.findings.forward)
    assert [f.kind for f in first.findings.indicators] == [f.kind for f in other.findings.indicators]


def test_where_runs_agree_the_rule_stays():
    """An affine margin: runs from everywhere end at one point."""
    model = nn.Linear(8, 2).eval().requires_grad_(False)
    with torch.no_grad():
        model.bias.copy_(torch.tensor([9.0, 0.0]))
    x, y = torch.full((16, 8), 0.5), torch.zeros(16, dtype=torch.long)
    found = ms.attack(model, x, y, ms.Linf(0.2), effort=_searching(5.0), probe=True)
    assert found.effort == _searching(5.0)


def test_a_probe_that_changes_the_rule_comes_once_and_after_runs_alone():
    run, probe = ms.Recipe("run", 4, 0.6, 0.0), OutsideProbe((Pursuit(8),), 5.0)
    for weight in (0.5, 0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"at least 1 and finite, got weight="):
            OutsideProbe((), weight)
    for other in (Pursuit(8), RandomSearch(5), Bundle(5), Restarts((run,), 1)):
        with pytest.raises(ValueError, match=rf"comes after runs alone.*{type(other).__name__}"):
            ms.Effort((run, other, probe, run))
        assert ms.Effort((run, other, OutsideProbe(probe.then), run)).pursued().stages == (
            Runs((run,)),
            other,
            Pursuit(8),
        )
        assert ms.Effort((run, Rescue(()), probe, run, other)).weighted(probe).rule == Rule(0.0, weight=50.0)
    with pytest.raises(ValueError, match="looks from outside once, got 2"):
        ms.Effort((run, probe, run, probe))


def test_pursuit_breaks_what_lies_within_the_budget_and_is_verified():
    model = nn.Linear(4, 2).eval()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]))
        model.bias.fill_(3.0)
    x = torch.tensor([[0.6, 0.4, 0.5, 0.5], [0.9, 0.1, 0.5, 0.5]])
    idle = ms.Recipe("idle", steps=0, first=0.0)
    effort = ms.Effort((idle, Pursuit(40)))
    result = ms.attack(model, x, torch.zeros(2, dtype=torch.long), ms.L2(0.3), effort=effort)
    # The distance to the boundary is margin / |w_0 - w_1|_2 = 0.1414 and 0.5657.
    assert result.broken.tolist() == [True, False]
    assert float(result.distance[0]) <= 0.3
    assert float(result.margin[0]) < 0 < float(result.margin[1])
    assert int(result.backward[0]) > 0


def test_pursuit_stays_within_a_mask():
    """The free way to the boundary is shorter than eps, the way along the masked coordinate shorter still."""
    model = nn.Linear(3, 2).eval()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 9.0]]))
        model.bias.copy_(torch.tensor([4.6, 0.0]))
    x, mask = torch.tensor([[0.6, 0.5, 0.5]]), torch.tensor([[True, True, False]])
    effort = ms.Effort((ms.Recipe("idle", steps=0, first=0.0), Pursuit(40)))
    for budget in (ms.Linf(0.25), ms.L2(0.25)):  # the margin is 0.2: 0.1 in l_inf, 0.1414 in l_2, along the free ones
        result = ms.attack(model, x, torch.zeros(1, dtype=torch.long), budget, effort=effort, mask=mask)
        assert result.broken.tolist() == [True]
        assert float(result.points[0, 2]) == 0.5


def test_a_way_ends_as_soon_as_an_error_lies_within_the_budget():
    """Closing in goes on where eps is beyond what was found; the radius never falls below eps."""
    model = nn.Linear(4, 2).eval()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]))
        model.bias.fill_(3.0)
    x, y = torch.tensor([[0.6, 0.4, 0.5, 0.5]]).expand(3, 4), torch.zeros(3, dtype=torch.long)
    effort = ms.Effort((ms.Recipe("idle", steps=0, first=0.0), Pursuit(40)))
    # The boundary is at 0.1414.
    result = ms.attack(model, x, y, ms.L2(torch.tensor([0.5, 0.15, 0.1])), effort=effort, certify=False)
    assert result.broken.tolist() == [True, True, False]
    assert result.backward.tolist()[0] < result.backward.tolist()[1] < 40
    assert int(result.backward[2]) == 40


def test_ways_share_the_passes():
    for passes in range(4, 130):
        left, lengths = passes, list[int]()
        while left:
            lengths.append(next_length(left))
            left -= lengths[-1]
        assert sum(lengths) == passes
        assert len(lengths) == 1 or min(lengths) >= 8
        assert max(lengths) < 28
    found = [way_of(number) for number in range(20)]
    assert len({(type(way.start), way.rank) for way in found[:10]}) == 10
    assert len({way.number for way in found}) == len(found)
    again = {(way.start, way.rank) for way in found[10:]}
    assert not again & {(way.start, way.rank) for way in found[:10] if not isinstance(way.start, Uniform)}


def test_no_long_search_where_a_short_one_shows_nothing():
    """An affine model: gradients find the least margin at once, and 20 random queries cannot beat it."""
    model = nn.Linear(4, 2).eval()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.3, 0.2, 0.1], [0.0, 1.0, -0.5, 0.4]]))
        model.bias.copy_(torch.tensor([4.0, 0.0]))
    x, y = torch.full((1, 4), 0.5), torch.zeros(1, dtype=torch.long)
    found = ms.Recipe("descent", steps=10, first=1.0, scheme=SemiImplicit)
    seeing = ms.attack(model, x, y, ms.L2(0.3), effort=ms.Effort((found, RandomSearch(100))), certify=False)
    assert seeing.forward.tolist() == [11 + 21]
    idle = ms.Recipe("idle", steps=0, first=0.0)
    blind = ms.attack(model, x, y, ms.L2(0.3), effort=ms.Effort((idle, RandomSearch(100))), certify=False)
    assert blind.forward.tolist() == [1 + 21 + 101]


def rows_of(model, x, y, budget, effort, batch_size, **options):
    """The result, and what a model that counts rows of its calls counted: forward, backward."""
    seen = [0, 0]

    def counting(z):
        seen[0] += len(z)
        if z.requires_grad:
            z.register_hook(lambda g: seen.__setitem__(1, seen[1] + len(g)))
        return torch.cat([model(row[None].clone()) for row in z])  # kernels may round by the place of a row

    return ms.attack(counting, x, y, budget, effort=effort, batch_size=batch_size, **options), tuple(seen)


GATED = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).requires_grad_(False)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("passes", [0, 3, 25, 90, 200, 1000])
def test_a_limit_holds_for_all_stages_together(passes, batch_size):
    """Runs, ranking, probes, pursuit and certificate of every sample; executed is what the model counts."""
    torch.manual_seed(0)
    for layer in (GATED[0], GATED[2]):
        nn.init.normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    x = torch.rand(6, 6)
    y = GATED(x).argmax(1)
    ranked = ms.Recipe("ranked", 7, 1.0, 0.0, Uniform(), rival=2, scheme=SemiImplicit)
    runs = (ms.Recipe("descent", 10, 1.0, 0.0, scheme=SemiImplicit), ranked, ranked)
    rescue = Rescue((Pursuit(60), RandomSearch(20)))
    whole = ms.Effort((*runs, OutsideProbe((Pursuit(80),)), *runs, rescue, Pursuit(60)), candidates=2)
    for options in ({}, {"probe": True}, {"certify": False}):
        found, seen = rows_of(GATED, x, y, ms.L2(0.05), whole.limited(passes), batch_size, **options)
        assert found.executed == seen
        probes = found.findings.backward if found.findings else 0
        assert int((found.backward + probes).max()) <= passes
        if batch_size == 1:
            assert int((found.backward + probes).sum()) <= seen[1]
        full = ~found.broken & (found.backward + probes == passes)
        assert bool(found.gap[full & (found.backward < passes - 80)].isnan().all())
        again, _ = rows_of(GATED, x, y, ms.L2(0.05), found.effort, batch_size, certify=options.get("certify", True))
        for name in ("points", "broken", "backward", "forward"):
            assert torch.equal(getattr(again, name), getattr(found, name)), name
        assert torch.equal(again.gap.isnan(), found.gap.isnan())
    assert bool((~found.broken).any())


def test_what_the_probes_take_is_left_to_them_by_a_bundle():
    """It comes before the indicators; replayed, it has as many passes as it had."""
    x, y = 0.4 + 0.2 * torch.rand(12, 8, generator=torch.Generator().manual_seed(47)), torch.zeros(12, dtype=torch.long)
    run = ms.Recipe("run", 5, 0.6, 0.0, Uniform(), scheme=SemiImplicit)
    effort = ms.Effort((*(run,) * 4, Bundle(60), Rescue(())), rule=Rule(5e-4)).limited(102)
    found = ms.attack(Rough().eval(), x, y, ms.L2(0.2), effort=effort, probe=True)
    again = ms.attack(Rough().eval(), x, y, ms.L2(0.2), effort=found.effort)
    assert found.effort.reserve > 102 - 20 - 60  # a bundle before would have had more
    assert any(isinstance(stage, Bundle) for stage in found.stages)
    for name in ("points", "broken", "margin", "backward", "forward"):
        assert torch.equal(getattr(found, name), getattr(again, name)), name


def test_a_limited_effort_that_became_heavier_replays_with_probes_too():
    """The look from outside is not taken again, and what it took stays set aside."""
    x, y = 0.4 + 0.2 * torch.rand(16, 8, generator=torch.Generator().manual_seed(1)), torch.zeros(16, dtype=torch.long)
    stages = _searching(5.0).stages
    effort = ms.Effort((*stages[:-1], Bundle(90), stages[-1]), rule=Rule(1e-6)).limited(130)
    found = ms.attack(Rough().eval(), x, y, ms.Linf(0.2), effort=effort, probe=True)
    assert "kinks mislead" in found.effort.name
    for probe in (False, True):
        again = ms.attack(Rough().eval(), x, y, ms.Linf(0.2), effort=found.effort, probe=probe)
        assert again.effort == found.effort
        for name in ("points", "broken", "backward", "forward", "chance", "foreseen"):
            assert torch.equal(getattr(found, name), getattr(again, name)), name


@pytest.mark.parametrize(("between", "limit"), [(Bundle(40), 70), (Pursuit(40), 70), (Rescue(()), 100)])
def test_a_limit_leaves_to_later_runs_what_they_take(between, limit):
    x, y = 0.4 + 0.2 * torch.rand(12, 8, generator=torch.Generator().manual_seed(47)), torch.zeros(12, dtype=torch.long)
    run = ms.Recipe("run", 5, 0.6, 0.0, Uniform(), scheme=SemiImplicit)
    effort = ms.Effort((*(run,) * 4, between, *(run,) * 8), rule=Rule(5e-4)).limited(limit)
    found = ms.attack(Rough().eval(), x, y, ms.L2(0.2), effort=effort, probe=True)
    probes = 0 if found.findings is None else found.findings.backward
    assert int((found.backward + probes).max()) <= effort.limit
    assert int(found.runs.max()) >= 12


def test_a_spent_limit_leaves_gap_and_slope_unknown():
    model = nn.Linear(4, 2).eval().requires_grad_(False)
    with torch.no_grad():
        model.weight.mul_(0).add_(torch.tensor([[0.01, 0.0, 0.0, 0.0], [0.0, 0.01, 0.0, 0.0]]))
        model.bias.copy_(torch.tensor([1.0, 0.0]))
    x, y = torch.full((2, 4), 0.5), torch.zeros(2, dtype=torch.long)
    run = ms.Recipe("descent", 10, 1.0, 0.0, scheme=SemiImplicit)
    for passes, known in ((10, False), (11, True)):
        found = ms.attack(model, x, y, ms.L2(0.1), effort=ms.Effort((run,)).limited(passes))
        assert found.gap.isfinite().tolist() == found.slope.isfinite().tolist() == [known] * 2
        assert found.backward.tolist() == [passes] * 2


def test_probes_cost_no_more_than_a_limit_sets_aside_for_them():
    model, (x, y) = default_network(), default_data()
    found = ms.attack(model, x[:16], y[:16], ms.L2(2.0), effort=ms.Effort((ms.Recipe("idle", 0, 0.0),)), probe=True)
    assert 60 < int(found.findings.backward.max()) <= PROBES


def test_an_effort_has_no_names_of_before():
    for name in ("queries", "pursue", "rescue", "depth", "depht"):
        with pytest.raises(TypeError, match=name):
            ms.Effort(**{name: 9})
    with pytest.raises(TypeError, match="early"):
        ms.Effort.quick().rescued(early=True)
    assert not {"queries", "pursue", "depth", "__getattr__"} & set(dir(ms.Effort))


def test_probing_stages_that_are_not_made_cost_no_padding():
    """Without a probe between them the first runs and the others are one: samples do not wait for each other."""
    model, runs = mlp(), ms.Effort.quick().runs[:9]
    x = torch.rand(20, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    whole, parted = (
        ms.attack(model, x, model(x).argmax(1), ms.L2(0.1), effort=ms.Effort(stages), batch_size=8)
        for stages in (runs, staged(runs, 33, 200))
    )
    assert whole.executed == parted.executed
    assert whole.stages == parted.stages == (Runs(runs),)
    assert int(whole.runs.max()) == len(runs)
