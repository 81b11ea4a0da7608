"""Attacks on a network through the common rooms, and its robust risk as an energy."""

import pytest
import torch

import maxslope as ms
from maxslope.odenet import Design, Logistic, OdeNet, Risk, RobustRisk, Softmax, Squared, Until, descend, iid, layered
from maxslope.odenet.robust import Worst
from odenet._problems import moons


@pytest.fixture(scope="module")
def trained() -> tuple[Risk, torch.Tensor]:
    risk = moons(60, misfit=Logistic())
    (run,) = descend(risk, iid(risk.design, 2, 8), until=Until(time=100.0), rates=False)
    return risk, run.end


def test_a_network_is_attacked_like_any_module(trained: tuple[Risk, torch.Tensor]) -> None:
    risk, theta = trained
    net = OdeNet(risk.design, theta).eval().requires_grad_(False)
    labels = (risk.y[:, 0] > 0).long()
    clean = (net(risk.x)[:, 0] > 0) == (labels == 1)
    assert float(clean.double().mean()) > 0.95
    result = ms.attack(net, risk.x, labels, ms.L2(0.6, box=None), effort=ms.Effort.quick())
    moved = (net(result.points)[:, 0] > 0) != (labels == 1)
    assert torch.equal(result.broken, moved)
    assert bool(((result.points - risk.x).norm(dim=1) <= 0.6 + 1e-9).all())
    assert 0.02 < float(result.broken.double().mean()) < 1


def test_without_a_budget_it_is_the_risk() -> None:
    risk = moons(20)
    theta = iid(risk.design, 2, 4, rows=2)
    robust = RobustRisk(risk, ms.L2(0.0, box=None))
    assert torch.equal(robust.evaluate(theta).value, risk.evaluate(theta).value)
    assert torch.equal(robust.evaluate(theta).gradient, risk.evaluate(theta).gradient)
    assert robust.passes == 14
    adversary = Worst(risk.design, theta[0], risk.y, risk.misfit)
    part = adversary.take(torch.tensor([3, 5]))
    assert torch.equal(part.look(risk.x[[3, 5]]).value, part.evaluate(risk.x[[3, 5]]).value)
    assert torch.allclose(part.look(risk.x[[3, 5]]).value, adversary.look(risk.x).value[[3, 5]], atol=1e-14)
    assert part.passes == 1
    assert robust.take(torch.tensor([0])) is robust


@pytest.mark.slow
@pytest.mark.parametrize(
    "budget", [ms.L2(0.1, box=None), ms.Linf(0.1, box=None), ms.L1(0.1, box=None)], ids=["2", "inf", "1"]
)
def test_the_worst_inputs_are_the_worst(budget: ms.Budget, trained: tuple[Risk, torch.Tensor]) -> None:
    """Better than 2000 random inputs each, stationary on the budget, and above the clean risk."""
    risk, theta = trained
    robust = RobustRisk(risk, budget, steps=40)
    worst = robust.worst(theta)
    K = budget.around(risk.x)
    assert float(K.violation(worst).max()) < 1e-12
    network = OdeNet(risk.design, theta).requires_grad_(False)

    def losses(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.softplus(-(risk.y * network(x))[:, 0])

    best = losses(worst)
    assert bool((best >= losses(risk.x) - 1e-12).all())
    for k in range(100):
        other = K.project(risk.x + 0.1 * torch.randn(risk.x.shape, dtype=torch.float64))
        beaten = losses(other) <= best + (1e-9 if budget.norm == ms.Lp(2) else 2e-3)
        assert float(beaten.double().mean()) >= (1 if budget.norm == ms.Lp(2) else 0.95), (
            k
        )  # elsewhere local maximizers
    if budget.norm == ms.Lp(2):
        assert float(robust.gap(theta).median()) < 1e-12
    assert bool((robust.gap(theta) >= -1e-12).all())


def test_the_gradient_is_that_of_the_maximum(trained: tuple[Risk, torch.Tensor]) -> None:
    """Danskin: central differences of the maximum itself."""
    risk, theta = trained
    robust = RobustRisk(risk, ms.L2(0.05, box=None), steps=60)
    x = theta[None]
    v = iid(risk.design, 2, 8, seed=3)
    step = 1e-5
    difference = (robust.look(x + step * v).value - robust.look(x - step * v).value) / (2 * step)
    assert float(difference) == pytest.approx(float((robust.evaluate(x).gradient * v).sum()), rel=1e-5)


def test_the_flow_of_the_robust_risk_makes_the_network_robust(trained: tuple[Risk, torch.Tensor]) -> None:
    risk, theta = trained
    budget = ms.L2(0.15, box=None)
    robust = RobustRisk(risk, budget)
    (run,) = descend(robust, theta[None], until=Until(time=15.0), rates=False)
    assert run.monotone
    assert run.relative_defect <= 1e-3
    assert float(robust.look(run.end[None]).value) < float(robust.look(theta[None]).value) - 1e-4
    labels = (risk.y[:, 0] > 0).long()
    rates = []
    for t in (theta, run.end):
        net = OdeNet(risk.design, t).eval().requires_grad_(False)
        rates.append(float(ms.attack(net, risk.x, labels, budget, effort=ms.Effort.quick()).broken.double().mean()))
    assert rates[1] <= rates[0]


def test_multi_class_and_regression() -> None:
    x = torch.randn(12, 3, dtype=torch.float64)
    for outputs, y, misfit in ((3, torch.arange(12) % 3, Softmax()), (2, torch.randn(12, 2).double(), Squared())):
        risk = Risk(Design(4, 3, outputs), x, y, misfit, 0.01)
        theta = iid(risk.design, 2, 4)
        robust = RobustRisk(risk, ms.Linf(0.1, box=None))
        assert float(robust.look(theta).value) >= float(risk.look(theta).value)
        assert robust.evaluate(theta).gradient.shape == theta.shape
    with pytest.raises(ValueError, match="at least one step"):
        RobustRisk(risk, ms.Linf(0.1, box=None), steps=0)


def test_a_caller_module_keeps_its_weights(trained: tuple[Risk, torch.Tensor]) -> None:
    risk, theta = trained
    net = OdeNet(risk.design, theta)
    before = net.theta.detach().clone()
    energy = RobustRisk(risk, ms.L2(0.1, box=None))
    descend(energy, net.theta.detach()[None], until=Until(steps=2), rates=False)
    assert torch.equal(net.theta, before)
    assert net.theta.grad is None
    assert layered(2, 8).norm(theta[None]).shape == (1,)
