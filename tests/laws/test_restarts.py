"""New searches from scratch: each is the same attack with another seed, of the samples that stand."""

import pytest
import torch

import maxslope as ms
from maxslope import _random
from maxslope.attacks.rule import Rule
from maxslope.attacks.stages import Restarts
from maxslope.attacks.starts import Uniform
from nets import answers, mlp

GUESS = ms.Recipe("guess", 1, 0.5, start=Uniform())
SEED, TIMES = 5, 3


def asked():
    model, x = mlp(8), torch.rand(48, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return model, x, answers(model, x)


def test_a_restart_is_the_attack_with_another_seed():
    """Verdicts, least margins and passes are those of the attacks one after the other, until one breaks the sample."""
    model, x, y = asked()
    whole = ms.attack(model, x, y, ms.Linf(0.2), effort=ms.Effort((GUESS, Restarts((GUESS,), TIMES))), seed=SEED)
    seeds = [SEED + k * _random.RESTARTS for k in range(TIMES + 1)]
    each = [ms.attack(model, x, y, ms.Linf(0.2), recipe=GUESS, seed=seed, certify=False) for seed in seeds]
    broken = torch.stack([one.broken for one in each])
    made = broken.cumsum(0).roll(1, 0) == 0
    made[0] = True
    assert whole.stages == whole.effort.stages
    assert torch.equal(whole.broken, broken.any(0))
    assert 0 < int(broken[0].sum()) < int(whole.broken.sum()) < len(x)
    assert torch.equal(whole.runs, made.sum(0))
    assert torch.equal(whole.backward, made.sum(0) + ~whole.broken)  # a certificate where nothing broke
    least = torch.where(made, torch.stack([one.margin for one in each]), torch.inf).amin(0)
    assert torch.equal(whole.margin[~whole.broken], least[~whole.broken])
    alone = ms.attack(
        model, x[7:9], y[7:9], ms.Linf(0.2), effort=whole.effort, seed=SEED, ids=torch.tensor([7, 8]), batch_size=1
    )
    assert torch.equal(alone.points, whole.points[7:9])


def test_restarts_are_for_samples_that_the_rule_does_not_give_up_and_for_efforts_without_limit():
    model, x, y = asked()
    sure = ms.Effort((GUESS, Restarts((GUESS,), TIMES)), rule=Rule(1.0))
    assert set(ms.attack(model, x, y, ms.Linf(0.2), effort=sure, seed=SEED).runs.tolist()) == {1}
    few = ms.Effort((GUESS, Restarts((GUESS,), TIMES))).limited(100)
    assert set(ms.attack(model, x, y, ms.Linf(0.2), effort=few, seed=SEED).runs.tolist()) == {1}


def test_what_the_rule_foresaw_of_a_restart_is_summed():
    model, x, y = asked()
    runs = (GUESS,) * 4
    once = ms.attack(model, x, y, ms.Linf(0.2), effort=ms.Effort(runs), seed=SEED)
    twice = ms.attack(model, x, y, ms.Linf(0.2), effort=ms.Effort((*runs, Restarts(runs, 1))), seed=SEED)
    again = ms.attack(model, x, y, ms.Linf(0.2), effort=ms.Effort(runs), seed=SEED + _random.RESTARTS)
    stands = ~once.broken
    assert bool(stands.any())
    assert torch.equal(twice.foreseen[stands], (once.foreseen + again.foreseen)[stands])
    assert torch.equal(twice.chance[stands], again.chance[stands])


@pytest.mark.parametrize(("recipes", "times"), [((), 1), ((GUESS,), 0)])
def test_restarts_need_runs_and_a_time(recipes, times):
    with pytest.raises(ValueError, match="Restarts need a recipe and a time at least"):
        Restarts(recipes, times)
