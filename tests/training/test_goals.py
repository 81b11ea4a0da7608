"""Training for any goal: the loss at the points found is that of the goal, and context and mask go with their rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from maxslope import AdversarialRisk, Linf, Trades, goals
from maxslope.criteria import CrossEntropy
from training._two import found_by

X = torch.rand(12, 5, generator=torch.Generator().manual_seed(3))


def net(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, outputs))


def tags(z: Tensor, y: Tensor) -> Tensor:
    return torch.log1p(torch.where(y > 0, -z, z).exp().sum(1))


def off(z: Tensor, y: Tensor) -> Tensor:
    d = z.reshape(-1) - y
    return torch.log(1 + (d - 0.3).exp() + (-d - 0.3).exp())


CASES = {
    "any label": (net(4), goals.AnyLabel(), (X[:, :4] > 0.5).long(), tags),
    "beyond": (net(1), goals.Beyond(0.3), X.sum(1), off),
    "top-2": (net(6), goals.TopK(2), torch.arange(12) % 6, None),
    "places": (
        nn.Sequential(nn.Linear(5, 12), nn.Unflatten(1, (3, 4))),
        goals.Share(0.5),
        torch.arange(48).reshape(12, 4) % 3,
        lambda z, y: nn.functional.cross_entropy(z, y, reduction="none").mean(1),
    ),
    "own margin": (net(2), lambda z, y: 1 - z[:, 0] * y, X[:, 0], lambda z, y: nn.functional.softplus(z[:, 0] * y - 1)),
}


@pytest.mark.parametrize("name", list(CASES))
def test_the_loss_is_that_of_the_goal_at_the_points_found(name: str) -> None:
    model, goal, y, by_hand = CASES[name]
    objective = AdversarialRisk(Linf(0.1), goal=goal)
    found = found_by(objective.fresh(), model, X, y).points
    assert bool(((found - X).abs() <= 0.1 + 1e-6).all())
    loss = objective(model, X, y)
    known = goals.as_goal(goal)
    torch.testing.assert_close(loss, known.risk(CrossEntropy(), model(found), y).mean())
    if by_hand is not None:
        torch.testing.assert_close(loss, by_hand(model(found), y).mean())
    assert float(loss.detach()) >= float(known.risk(CrossEntropy(), model(X), y).mean().detach()) - 1e-6
    loss.backward()
    assert all(bool(p.grad.isfinite().all()) and bool(p.grad.any()) for p in model.parameters())


@pytest.mark.parametrize("name", ["any label", "beyond", "places"])
def test_trades_moves_answers_of_any_kind(name: str) -> None:
    model, goal, y, _ = CASES[name]
    loss = Trades(Linf(0.1), beta=2.0, goal=goal)(model, X, y)
    clean = goal.clean_risk(CrossEntropy(), model(X), y).mean()
    assert float(loss.detach()) > float(clean.detach())
    assert float(goal.divergence(model(X), model(X)).detach().abs().max()) < 1e-6


def test_a_goal_without_a_divergence_is_refused_by_trades() -> None:
    with pytest.raises(ValueError, match="AdversarialRisk"):
        Trades(Linf(0.1), goal=lambda z, y: z[:, 0])(net(2), X, X[:, 0])
    with pytest.raises(ValueError, match="Targeted"):
        AdversarialRisk(Linf(0.1), goal=goals.Targeted(1))(net(3), X, torch.zeros(12).long())


@pytest.mark.parametrize("make", [AdversarialRisk, Trades])
def test_a_class_that_the_model_does_not_know_is_refused_in_any_row_of_the_first_batch(make: Any) -> None:
    x, y = X.repeat(20, 1), torch.zeros(240).long()
    y[101] = 3
    with pytest.raises(ValueError, match="below the number of classes, but the model has 3 classes"):
        make(Linf(0.1))(net(3), x, y)


def test_context_and_mask_go_with_their_rows() -> None:
    seen: list[Tensor] = []
    model = net(3)

    def two(x: Tensor, number: Tensor) -> Tensor:
        seen.append((x[:, 0] - number).detach().abs().amax())
        return model(x) + number[:, None]

    mask = torch.tensor([False, True, True, False, True])
    y, numbers = torch.arange(12) % 3, X[:, 0].clone()
    for objective in (AdversarialRisk(Linf(0.2)), Trades(Linf(0.2))):
        objective(two, X, y, context=numbers, mask=mask)
    assert float(torch.stack(seen).max()) == 0.0  # the first coordinate, which is masked, is the context of its row
    found = found_by(AdversarialRisk(Linf(0.2)), two, X, y, context=(numbers,), mask=mask).points
    assert torch.equal(found[:, ~mask], X[:, ~mask])
    assert not torch.equal(found[:, mask], X[:, mask])
