"""The assertion passes, fails and stops where it should, and says why."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import TensorDataset

import maxslope as ms
from maxslope.adapters import assert_robust
from maxslope.attacks import Effort, recipes
from maxslope.evaluation.statistics import lower_bound

FAST = Effort((recipes.fgsm(),), "fgsm")


def population(n: int, robust: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of which every n/robust-th stands an l_inf budget of 0.1 under the identity, the rest does not."""
    x = torch.tensor([[0.55, 0.45]]).repeat(n, 1)
    stands = (torch.arange(n) * robust) // n != ((torch.arange(n) - 1) * robust) // n
    x[stands] = torch.tensor([0.9, 0.1])
    assert int(stands.sum()) == robust
    y = torch.arange(n) % 2  # every other sample mirrored, so that both classes occur
    return torch.where(y[:, None] == 1, x.flip(1), x), y


def model(x: torch.Tensor) -> torch.Tensor:
    return 10 * x


BUDGET = ms.Linf(0.1)


def test_it_passes_where_the_bound_does() -> None:
    found = assert_robust(model, population(200, 190), BUDGET, at_least=0.9, effort=FAST)
    assert (found.robust, found.samples) == (190, 200)
    assert found.bound == lower_bound(190, 200)
    assert found.bound >= 0.9
    same = assert_robust(model, TensorDataset(*population(200, 190)), BUDGET, at_least=0.9, effort=FAST)
    assert same == found


def test_it_fails_where_the_model_is_weak() -> None:
    with pytest.raises(AssertionError, match=r"not robust enough: 100 of 200 samples stand within l_inf 0.1"):
        assert_robust(model, population(200, 100), BUDGET, at_least=0.9, effort=FAST)


def test_it_fails_where_samples_are_few_and_says_how_many_would_do() -> None:
    with pytest.raises(AssertionError, match=r"Too few samples: 47 of 50 .* About (\d+) that stand") as failure:
        assert_robust(model, population(50, 47), BUDGET, at_least=0.9, effort=FAST)
    needed = int(str(failure.value).rsplit("About ", 1)[1].split()[0])
    assert lower_bound(int(0.94 * needed), needed) >= 0.9
    assert lower_bound(int(0.94 * needed * 0.8), int(0.8 * needed)) < 0.9


def test_it_fails_where_more_samples_would_not_help() -> None:
    with pytest.raises(AssertionError, match="more of them would hardly help"):
        assert_robust(model, population(50, 45), BUDGET, at_least=0.9, effort=FAST)


def test_a_sequential_test_stops_early_either_way() -> None:
    found = assert_robust(model, population(640, 630), BUDGET, at_least=0.7, effort=FAST, sequential=True)
    assert found.samples < 640
    assert found.bound == 0.7
    with pytest.raises(AssertionError, match=r"of (64|128) samples stand, which shows"):
        assert_robust(model, population(640, 64), BUDGET, at_least=0.7, effort=FAST, sequential=True)
    with pytest.raises(AssertionError, match=r"Not shown within l_inf 0.1: 46 of 64 .* e-value"):
        assert_robust(model, population(64, 46), BUDGET, at_least=0.7, effort=FAST, sequential=True)


def test_an_eps_per_sample_goes_along() -> None:
    x, y = population(128, 0)
    budget = ms.Linf(torch.cat([torch.zeros(64), torch.full((64,), 0.1)]))
    found = assert_robust(model, (x, y), budget, at_least=0.4, effort=FAST)
    assert found.robust == 64
    again = assert_robust(model, (x, y), budget, at_least=0.8, effort=FAST, sequential=True)
    assert again.samples == 64  # the first chunk has eps 0 and settles it


def masked(x: torch.Tensor) -> torch.Tensor:
    return (10 * x).round() + 0 * x


@pytest.mark.parametrize(("at_least", "sequential"), [(0.9, False), (0.7, True)])
def test_a_verdict_that_is_not_to_be_trusted_does_not_pass(at_least: float, sequential: bool) -> None:
    """A masked model of which every sample stands: fails with the reason, unless told to go by the count."""
    data, options = population(60, 60), {"at_least": at_least, "effort": FAST, "sequential": sequential}
    with pytest.raises(AssertionError, match=r"(?s)not to be trusted, although 100.0 %.*vanishing gradients.*strict"):
        assert_robust(masked, data, BUDGET, **options)
    with pytest.warns(ms.MaxslopeWarning, match="assert_robust: "):
        found = assert_robust(masked, data, BUDGET, strict=False, **options)
    assert "vanishing gradients" in {one.name for one in found.warnings}


def test_a_failure_carries_the_warnings_too() -> None:
    with pytest.raises(AssertionError, match=r"(?s)(not robust enough|Not shown|Too few).*vanishing gradients"):
        assert_robust(masked, population(60, 60), BUDGET, at_least=0.99, effort=FAST)


def test_notes_do_not_fail() -> None:
    def sometimes(x: torch.Tensor) -> torch.Tensor:
        return torch.where((x[:, :1] == x[:, :1].max()) & (x[:, :1] > 0.95), torch.nan, 10 * x)

    x, y = population(200, 200)
    x[0] = torch.tensor([0.99, 0.1])
    with pytest.warns(ms.MaxslopeWarning, match="not finite"):
        found = assert_robust(sometimes, (x, y), BUDGET, at_least=0.9, effort=FAST)
    assert [one.name for one in found.warnings] == ["not finite"]


def test_misuse() -> None:
    data = population(10, 10)
    with pytest.raises(ValueError, match="no finite number of samples"):
        assert_robust(model, data, BUDGET, at_least=1.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        assert_robust(model, data, BUDGET, at_least=0.5, confidence=1.0)
    with pytest.raises(TypeError, match="takes tensors"):
        assert_robust(model, TensorDataset(*data), BUDGET, at_least=0.5, sequential=True)
