"""The same attack as foolbox's, with the same steps from the same start, gives the same robust accuracy."""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

import maxslope as ms
from maxslope.attacks import Recipe, attack, recipes, starts
from maxslope.data import default_data, default_network
from maxslope.loop import Steps, flow
from maxslope.sets import Budget

SAMPLES = 200


@pytest.fixture(scope="module")
def foolbox() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside foolbox are foolbox's
        return pytest.importorskip("foolbox", reason="the extra `test` holds it")


@pytest.fixture(scope="module")
def shipped() -> tuple[Any, Tensor, Tensor]:
    x, y = default_data()
    return default_network(), x[:SAMPLES], y[:SAMPLES]


def theirs(foolbox: ModuleType, attacker: Any, model: Any, x: Tensor, y: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Points, and whether they are misclassified, asked of the model itself."""
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        points, _, _ = attacker(wrapped, x, y, epsilons=eps)
    with torch.no_grad():
        return points, model(points).argmax(1) != y


def ours(recipe: Recipe, model: Any, x: Tensor, y: Tensor, budget: Budget) -> tuple[Tensor, Tensor]:
    result = attack(model, x, y, budget, recipe=recipe, certify=False)
    return result.points, result.broken


@pytest.mark.slow
def test_pgd_in_l_inf(foolbox: ModuleType, shipped: tuple[Any, Tensor, Tensor]) -> None:
    """40 steps of 0.01 from the clean point within l_inf 0.3, cross-entropy: the same to one sample in 200."""
    model, x, y = shipped
    attacker = foolbox.attacks.LinfPGD(abs_stepsize=0.01, steps=40, random_start=False)
    _, fell = theirs(foolbox, attacker, model, x, y, 0.3)
    _, broken = ours(recipes.pgd(40, 0.01 / 0.3, start=starts.Clean()), model, x, y, ms.Linf(0.3))
    assert 10 < int(broken.sum()) < 190
    assert abs(int(fell.sum()) - int(broken.sum())) <= 1
    assert int((fell != broken).sum()) <= 2


@pytest.mark.slow
def test_normalized_gradients_in_l_2(foolbox: ModuleType, shipped: tuple[Any, Tensor, Tensor]) -> None:
    """40 steps of 0.1 within l_2 2.0. Foolbox rescales and then clips, here projections are exact: close, not equal."""
    model, x, y = shipped
    attacker = foolbox.attacks.L2PGD(abs_stepsize=0.1, steps=40, random_start=False)
    _, fell = theirs(foolbox, attacker, model, x, y, 2.0)
    _, broken = ours(recipes.pgd(40, 0.05, start=starts.Clean()), model, x, y, ms.L2(2.0))
    assert 10 < int(broken.sum()) < 190
    assert abs(int(fell.sum()) - int(broken.sum())) <= 3
    assert int((fell & ~broken).sum()) <= 1  # the exact projection loses nothing that the other one finds


@pytest.mark.parametrize(
    ("name", "budget", "step"), [("LinfPGD", ms.Linf(0.3), 0.05), ("L2PGD", ms.L2(0.5, None), 0.1)]
)
def test_paths_are_the_same_point_by_point(
    foolbox: ModuleType, shipped: tuple[Any, Tensor, Tensor], name: str, budget: Budget, step: float
) -> None:
    """Where no box binds in l_2, and always in l_inf: three steps end at the same points."""
    model, x, y = shipped
    x, y = x[:40] * 0.5 + 0.25, y[:40]
    with torch.no_grad():
        keep = model(x).argmax(1) == y
    x, y = x[keep], y[keep]
    eps = float(budget.eps)
    attacker = getattr(foolbox.attacks, name)(abs_stepsize=step, steps=3, random_start=False)
    wanted, fell = theirs(foolbox, attacker, model, x, y, eps)
    curve = flow(ms.Loss(model, y).within(budget.around(x)), x, scheme=ms.Explicit(step, budget.norm), until=Steps(3))
    # signs of gradients near zero differ between calls of different sizes: a few coordinates of a few rows
    apart = (curve.end - wanted).abs().flatten(1)
    assert float((apart > 1e-5).float().mean()) < 2e-3
    broken = attack(model, x, y, budget, recipe=Recipe("", 3, step / eps), certify=False).broken
    assert int((broken != fell).sum()) <= 1
