"""What a training step does beside its passes, counted: times are the machine's, numbers of operations are ours."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import maxslope as ms
from maxslope._checks import MaxslopeWarning
from maxslope._modes import inference
from maxslope.attacks.starts import Clean, Corner, Middle, Opposite, Origin, Start, Uniform
from maxslope.cli.train import train
from maxslope.energies import CrossEntropy, Loss, Margin
from maxslope.training import AdversarialRisk, Inner, Plan, Pointwise
from maxslope.training.objective import InnerLoss

X, Y = torch.rand(20, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3
STEPS, EPS = 3, 0.1


class Operations(TorchDispatchMode):
    """Counts what reaches the device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def operations(step: Callable[[], Tensor]) -> int:
    step()
    with Operations() as seen:
        step()
    return seen.count


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def by_hand(model: nn.Module) -> Tensor:
    low, high, z = (X - EPS).clamp(min=0), (X + EPS).clamp(max=1), X
    for k in range(STEPS):
        z = z.detach().requires_grad_(True)
        (g,) = torch.autograd.grad(nn.functional.cross_entropy(model(z), Y, reduction="sum"), z)
        length = EPS * (1 + math.cos(math.pi * k / STEPS)) / 2
        z = torch.minimum(torch.maximum(z.detach() + length * g.sign(), low), high)
    return nn.functional.cross_entropy(model(z.detach()), Y)


def test_a_step_makes_few_operations_more_than_one_by_hand_and_has_its_loss() -> None:
    model = net()
    objective = AdversarialRisk(Pointwise(ms.Linf(EPS), Inner(steps=STEPS, warm=False, start=Clean())))
    torch.testing.assert_close(objective(model, X, Y), by_hand(model))
    own, hand = operations(lambda: objective(model, X, Y)), operations(lambda: by_hand(model))
    # The former loop: 264. Bounds that are exact in the dtype and copies for the model take 45 of them.
    assert own - hand <= 150


@pytest.mark.parametrize("criterion", [CrossEntropy(), Margin()])
def test_the_inner_loss_is_the_loss_without_a_goal(criterion: Any) -> None:
    model = net()
    mine, whole = InnerLoss(model, Y, criterion).evaluate(X), Loss(model, Y, criterion).evaluate(X)
    assert torch.equal(mine.value, whole.value)
    assert torch.equal(mine.gradient, whole.gradient)
    assert torch.equal(mine.margin, mine.value)
    assert not mine.reached.any()
    part = torch.tensor([3, 1])
    few = InnerLoss(model, Y, criterion).take(part).look(X[part]).value  # a call of another size: other kernels
    torch.testing.assert_close(few, whole.value[part])


def test_probabilities_are_warned_of_once_an_objective() -> None:
    model, objective = nn.Sequential(net(), nn.Softmax(1)), AdversarialRisk(ms.Linf(EPS))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", MaxslopeWarning)
        objective(model, X, Y)
        objective(model, X, Y)
    assert sum("look like probabilities" in str(w.message) for w in seen) == 1


@pytest.mark.parametrize("start", [Clean(), Corner(), Middle(), Opposite(), Uniform()])
def test_a_start_that_draws_nothing_does_not_depend_on_its_key(start: Start) -> None:
    budget, eps = ms.Linf(EPS), torch.full((20,), EPS)
    one, other = (start.points(Origin(X, eps, budget, torch.arange(20) + k, X, X)) for k in (0, 99))
    assert start.draws or torch.equal(one, other)
    assert not (isinstance(start, Clean) and start.draws)
    assert start.draws or isinstance(start, Clean | Middle | Opposite)


@pytest.mark.parametrize("steps", [1, 2])
def test_rows_that_end_together_are_counted_as_rows_that_do_not(steps: int) -> None:
    energy = Loss(net(), Y).within(ms.Linf(EPS).around(X))
    together = ms.flow(energy, X, scheme=ms.SemiImplicit(0.02), until=ms.Steps(steps))
    counts = torch.full((20,), steps)
    counts[0] = steps + 1
    apart = ms.flow(energy, X, scheme=ms.SemiImplicit(0.02), until=ms.Steps(counts))
    assert torch.equal(together.end[1:], apart.end[1:])
    assert torch.equal(together.status, apart.status)
    assert torch.equal(together.forward[1:], apart.forward[1:])
    assert int(apart.forward[0]) == steps + 2


class Elsewhere(nn.Linear):
    """Keeps its mode where compiled and scripted modules do: not as a plain flag."""

    @property
    def training(self) -> bool:
        return bool(self.__dict__.get("mode", True))

    @training.setter
    def training(self, mode: bool) -> None:
        self.__dict__["mode"] = mode


def test_modes_come_and_go_wherever_a_module_keeps_them() -> None:
    model = nn.Sequential(Elsewhere(2, 2), nn.Dropout(), nn.BatchNorm1d(2).eval()).train()
    model[2].training = False
    with inference(model):
        assert [m.training for m in model.modules()] == [False] * 4
    assert [m.training for m in model.modules()] == [True, True, True, False]


def test_the_command_and_the_plan_have_the_same_rate() -> None:
    rate = inspect.signature(train).parameters["rate"].default
    assert Plan().optimizer([nn.Parameter(torch.zeros(1))]).param_groups[0]["lr"] == rate == 4e-3
