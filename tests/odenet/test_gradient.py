"""Acceptance test 1: the adjoint is the exact gradient of the discrete network."""

import pytest
import torch

from maxslope.odenet import (
    BoundedTanh,
    CustomField,
    Depth,
    Design,
    Lift,
    Logistic,
    OdeNet,
    Risk,
    Softmax,
    Squared,
    Tanh,
    iid,
    layered,
)
from maxslope.odenet.metric import Hilbert
from maxslope.odenet.probe import Probe, Remembering
from maxslope.odenet.robust import Worst
from maxslope.odenet.sweep import General, ResidualTanh, sweep
from maxslope.odenet.tableau import Tableau
from odenet._problems import digits, moons

OWN = CustomField(lambda x, t: t[:3] * torch.sin(t[3:6] @ x + t[6]), lambda d: 2 * d + 1)
FIELDS = {"tanh": Tanh(), "bounded": BoundedTanh(), "own": OWN}
DEPTHS = {f"{name}{k}": getattr(Depth, name)(k) for name in ("euler", "midpoint", "rk4") for k in (1, 3, 4)}
MISFITS = {
    "squared": (Squared(), 2, torch.randn(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))),
    "logistic": (Logistic(), 1, torch.arange(9) % 2),
    "softmax": (Softmax(), 3, torch.arange(9) % 3),
}
CASES = [
    (f, d, m) for f in FIELDS for d in DEPTHS for m in MISFITS if f == "tanh" or (d, m) == ("midpoint3", "softmax")
]


def problem(field: str, depth: str, misfit: str) -> tuple[Risk, torch.Tensor]:
    kind, outputs, y = MISFITS[misfit]
    generator = torch.Generator().manual_seed(0)
    lift = Lift(torch.ones(4).double(), torch.randn(4, 2, dtype=torch.float64, generator=generator))
    design = Design(3, 2, outputs, FIELDS[field], DEPTHS[depth], lift)
    x = torch.randn(9, 4, dtype=torch.float64, generator=generator)
    return Risk(design, x, y, kind, 0.03), iid(design, 3, 5, seed=1)


def by_autograd(risk: Risk, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The loss and its derivatives by theta and by the inputs, written without the sweeps."""
    t, x = theta.clone().requires_grad_(True), risk.x.clone().requires_grad_(True)
    net = OdeNet(risk.design, theta)
    z = torch.func.functional_call(net, {"theta": t}, (x,))
    if isinstance(risk.misfit, Softmax):
        fit = torch.nn.functional.cross_entropy(z, risk.y)
    elif isinstance(risk.misfit, Logistic):
        fit = (1 + (-risk.y * z).exp()).log().mean()
    else:
        fit = ((z - risk.y) ** 2).sum(1).mean() / 2
    value = fit + risk.penalty / (2 * t.shape[0] * t.shape[1]) * t.square().sum()
    return value.detach(), *torch.autograd.grad(value, (t, x))


@pytest.mark.parametrize(("field", "depth", "misfit"), CASES)
def test_the_adjoint_is_the_gradient(field: str, depth: str, misfit: str) -> None:
    risk, theta = problem(field, depth, misfit)
    found = risk.evaluate(theta)
    value, gradient, _ = by_autograd(risk, theta[0])
    assert abs(float(found.value - value)) <= 1e-14
    assert float((found.gradient[0] - gradient).norm() / gradient.norm()) <= 1e-13
    assert torch.equal(risk.look(theta).value, found.value)


def test_a_network_is_the_sum_it_says() -> None:
    """X+ = X + (1 / (L m)) sum_j u_j tanh(<w_j, X> + b_j), spelled out."""
    design = Design(3, 2, 1)
    theta = iid(design, 2, 4)[0]
    x = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    state = torch.tensor([0.3, -0.7, 0.0], dtype=torch.float64)
    for cell in theta:
        state = state + sum(q[:3] * torch.tanh(q[3:6] @ state + q[6]) for q in cell) / 8
    assert torch.allclose(OdeNet(design, theta)(x)[0], state[2:], atol=1e-15)
    assert [tuple(f.shape) for f in OdeNet(design, theta).features(x)] == [(1, 3)] * 3


@pytest.mark.parametrize("problem", [moons(40), digits(30)])
def test_the_fast_kernel_agrees_with_the_general_one(problem: Risk) -> None:
    theta = iid(problem.design, 4, 6)[0]
    start = problem.design.enter(problem.x)
    assert isinstance(sweep(problem.design), ResidualTanh)
    design, ends = problem.design, []
    for kind in (ResidualTanh(design.outputs), General(design)):
        features, trace = kind.forward(theta, start)
        assert features.shape == start.shape
        out = design.leave(features)
        into = torch.zeros_like(theta)
        kind.backward(theta, trace, design.leave_back(out), into)
        ends.append((out, kind.backward(theta, trace, design.leave_back(out), None), into))
    for a, b in zip(*ends, strict=True):
        assert float((a - b).norm() / b.norm()) < 1e-14


def test_the_wasserstein_gradient_is_the_derivative_in_the_metric() -> None:
    """<G, v>_g against central differences, and a scale that does not depend on L and m."""
    risk = moons(60)
    for layers, particles in ((2, 3), (8, 32)):
        theta = iid(risk.design, layers, particles)
        space = layered(layers, particles)
        probe = Probe(risk, Hilbert(space))
        spot = probe.spot(theta)
        v = iid(risk.design, layers, particles, seed=5)
        step = 1e-5
        difference = (risk.look(theta + step * v).value - risk.look(theta - step * v).value) / (2 * step)
        assert float(difference) == pytest.approx(probe.hilbert.inner(spot.gradient, v), abs=1e-6)
        assert spot.slope == pytest.approx(float(space.dual_norm(risk.evaluate(theta).gradient)), rel=1e-12)
        assert float(space.norm(v)) == pytest.approx(float(v.square().sum() / (layers * particles)) ** 0.5, rel=1e-12)
    # doubling every particle and every layer leaves the network's slope alone
    twice = theta.repeat_interleave(2, 2)
    assert Probe(risk, Hilbert(layered(8, 64))).spot(twice).slope == pytest.approx(spot.slope, rel=1e-12)


def test_products_with_the_hessian_are_symmetric_and_exact() -> None:
    risk = moons(30)
    theta = iid(risk.design, 3, 4)
    probe = Probe(risk, Hilbert(layered(3, 4)))
    v, w = (iid(risk.design, 3, 4, seed=s) for s in (1, 2))
    hv, hw = probe.bend(theta, v), probe.bend(theta, w)
    assert probe.hilbert.inner(hv, w) == pytest.approx(probe.hilbert.inner(hw, v), rel=1e-7)

    def loss(t: torch.Tensor) -> torch.Tensor:
        z = torch.func.functional_call(OdeNet(risk.design, theta[0]), {"theta": t}, (risk.x,))
        return ((z - risk.y) ** 2).mean() / 2 + risk.penalty / 24 * t.square().sum()

    exact = torch.func.jvp(torch.func.grad(loss), (theta[0],), (v[0],))[1] * 12
    assert float((hv[0] - exact).norm() / exact.norm()) < 1e-7
    assert not bool(probe.bend(theta, torch.zeros_like(v)).any())


@pytest.mark.parametrize("misfit", MISFITS)
def test_the_costate_is_the_gradient_by_the_inputs(misfit: str) -> None:
    risk, theta = problem("tanh", "euler1", misfit)
    found = Worst(risk.design, theta[0], risk.y, risk.misfit).evaluate(risk.x).gradient
    _, _, by_x = by_autograd(risk, theta[0])
    assert torch.allclose(found, -by_x * len(risk.x), atol=1e-14)


def test_rows_are_strangers() -> None:
    risk = moons(30)
    theta = iid(risk.design, 3, 4, rows=3)
    whole = risk.evaluate(theta)
    for k in range(3):
        alone = risk.evaluate(theta[k : k + 1])
        assert torch.equal(whole.gradient[k], alone.gradient[0])
        assert torch.equal(whole.value[k], alone.value[0])
    assert torch.equal(iid(risk.design, 3, 4, rows=1)[0], theta[0])
    assert risk.take(torch.tensor([1])) is risk
    assert risk.passes == 1


def test_memory_of_evaluations_is_by_value() -> None:
    risk = moons(10)
    seen = Remembering(risk)
    theta = iid(risk.design, 2, 2)
    first = seen.evaluate(theta)
    assert seen.evaluate(theta) is first
    assert seen.count == 1
    theta.mul_(2)
    assert seen.evaluate(theta) is not first
    assert seen.evaluate(theta / 2) is first
    assert seen.count == 2
    assert seen.passes == 1
    assert seen.take(torch.tensor([0])) is risk
    assert torch.equal(seen.look(theta).value, risk.look(theta).value)


def test_a_bounded_field_is_bounded_with_its_derivative() -> None:
    """|f| <= |u| and |D_x f| <= |u| for any weight; the tanh field breaks the second."""
    x = torch.randn(50, 3, dtype=torch.float64)
    theta = 10 ** (4 * torch.rand(20, 7, dtype=torch.float64)) * torch.randn(20, 7).double()
    for one in theta:
        jacobian = torch.func.vmap(torch.func.jacrev(lambda z, one=one: BoundedTanh().push(z[None], one[None])[0][0]))(
            x
        )
        assert bool((torch.linalg.matrix_norm(jacobian, 2) <= one[:3].norm() * (1 + 1e-12)).all())
        assert bool((BoundedTanh().push(x, one[None])[0].norm(dim=1) <= one[:3].norm() * (1 + 1e-12)).all())


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_the_order_of_particles_does_not_matter(field) -> None:
    x, theta = torch.randn(4, 3).double(), torch.randn(6, 7).double()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    assert torch.allclose(field.push(x, theta)[0], field.push(x, theta[order])[0], atol=1e-14)


def test_misuse_of_designs_and_data() -> None:
    design = Design(3, 2, 1)
    x, y = torch.zeros(4, 2), torch.tensor([0.0, 1.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="explicit tableau"):
        Tableau(((0.5,),), (1.0,))
    with pytest.raises(ValueError, match="at least one step"):
        Depth.euler(0)
    with pytest.raises(ValueError, match="mean"):
        Lift(torch.zeros(2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="between 1 and the number of channels"):
        Design(2, 3, 1)
    with pytest.raises(ValueError, match="lift must end"):
        Design(3, 2, 1, lift=Lift(torch.zeros(5), torch.zeros(5, 1)))
    with pytest.raises(ValueError, match="2 inputs was given rows of 5"):
        Risk(design, torch.zeros(4, 5), y, Squared())
    with pytest.raises(ValueError, match="penalty"):
        Risk(design, x, y, Squared(), -1.0)
    with pytest.raises(ValueError, match="one target per input"):
        Risk(design, x, y[:2], Squared())
    with pytest.raises(ValueError, match="not finite"):
        Risk(design, x, y / 0, Squared())
    with pytest.raises(ValueError, match="Targets of Logistic"):
        Risk(design, x, torch.arange(4), Logistic())
    with pytest.raises(ValueError, match="class numbers"):
        Risk(design, x, torch.arange(4), Softmax())
    with pytest.raises(ValueError, match=r"\[layers, particles, 7\]"):
        OdeNet(design, torch.zeros(2, 3, 6))
    with pytest.raises(ValueError, match=r"maps x \[d\]"):
        CustomField(lambda x, t: t[:1], lambda d: 1).push(torch.zeros(2, 3), torch.zeros(4, 1))
    with pytest.raises(ValueError, match="from 1 on"):
        iid(design, 0, 3)


def test_labels_of_two_classes_may_be_any_pair() -> None:
    for y in ([0, 1], [-1, 1], [False, True], [0, 0], [1, 1]):
        found = Logistic().targets(torch.tensor(y), 1)[:, 0].tolist()
        assert found == [1 if v == 1 else -1 for v in y]
