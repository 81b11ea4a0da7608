"""Energies with data of rows, and with a convex part that has a proximal map, under every scheme."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

import maxslope as ms
from maxslope.energies import Function, Linear, Quadratic, Sparse, TotalVariation
from maxslope.loop import Steps, flow
from maxslope.schemes import Consensus, Descent, Explicit, MinimizingMovement, Newton, Proximal, Scheme, SemiImplicit
from maxslope.sets import Box
from maxslope.spaces import Lp

INF = Lp(math.inf)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def f64(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


# --- data of rows ----------------------------------------------------------------------------------------------------

SCHEMES: dict[str, Scheme] = {
    "explicit": Explicit(0.1),
    "semi-implicit": SemiImplicit(0.1, Lp(2)),
    "momentum": ms.Momentum(Explicit(0.1)),
    "descent": MinimizingMovement(0.1, Lp(2), inner=Descent()),
    "Newton": MinimizingMovement(0.1, inner=Newton()),
    "consensus": MinimizingMovement(0.1, inner=Consensus(particles=5, iterations=4)),
    "rate 2": MinimizingMovement(0.1, Lp(2), 2.0, Descent(restarts=0)),
}


@pytest.mark.parametrize("name", SCHEMES)
def test_labels_travel_with_their_rows(name: str) -> None:
    """E = |x - y|^2 / 2: every row goes to its own y, as alone, and one that ends early takes nothing along."""
    x, y = draw(3, 2), draw(3, 2, seed=1)
    tau = torch.tensor([0, 2, 1])
    energy = Function(lambda z, y: (z - y).square().sum(1) / 2, (y,))
    whole = flow(energy, x, scheme=SCHEMES[name], until=Steps(tau))
    for i in range(3):
        alone = flow(
            Function(lambda z, i=i: (z - y[i]).square().sum(1) / 2),
            x[i : i + 1],
            scheme=SCHEMES[name],
            until=Steps(int(tau[i])),
        )
        torch.testing.assert_close(whole.end[i : i + 1], alone.end, rtol=0, atol=1e-12)


def test_data_of_other_rows_are_refused_and_closures_told_apart() -> None:
    x, y = draw(3, 2), draw(2, 2)
    for bad in (y, torch.tensor(1.0)):
        with pytest.raises(ValueError, match=r"one entry for each of the 3 points, but rows hold \[[20]\]"):
            Function(lambda z, y: z.sum(1), (bad,)).evaluate(x)
    closure = Function(lambda z: (z - draw(3, 2)).square().sum(1))
    with pytest.raises(RuntimeError) as caught:
        flow(closure, x, scheme=MinimizingMovement(0.1), until=Steps(1))
    assert "rows=(labels,)" in "".join(caught.value.__notes__)


# --- a convex part ---------------------------------------------------------------------------------------------------


def total(c: Tensor, weight: float, center: Tensor | None, z: np.ndarray) -> float:
    home = 0 if center is None else center.numpy()
    return float(z @ c.numpy() + weight * np.abs(z - home).sum())


@pytest.mark.parametrize("center", [None, f64([0.2, -0.1, 0.4])])
@pytest.mark.parametrize("p", [2.0, math.inf])
def test_semi_implicit_steps_with_an_l_1_term_beat_sampled_points(p: float, center: Tensor | None) -> None:
    """min <c, z> + w |z - m|_1 over the ball of the step, against 20,000 points of it and SLSQP from the best."""
    x, c = draw(4, 3), draw(4, 3, seed=3)
    step = flow(Linear(c).within(Sparse(0.7, center)), x, scheme=SemiImplicit(0.5, Lp(p)), until=Steps(1)).end
    shots = Lp(p).sample(torch.arange(20_000), torch.empty(20_000, 3, dtype=torch.float64))
    for i in range(4):
        mine = total(c[i], 0.7, None if center is None else center[0], step[i].numpy())
        assert float(Lp(p).norm(step[i : i + 1] - x[i : i + 1])) <= 0.5 + 1e-9
        z = x[i] + 0.5 * shots
        home = 0 if center is None else center[0]
        values = z @ c[i] + 0.7 * (z - home).abs().sum(1)
        assert mine <= float(values.min()) + 1e-12
        assert mine >= float(values.min()) - 0.05


def test_the_flow_of_a_bowl_with_an_l_1_term_in_closed_form() -> None:
    """E = sum a_i x_i^2 / 2 + w |x|_1 in l_inf: sign(x_i) (|x_i| - t)^+, and the slope is sum of a_i |x_i| + w."""
    x, a = f64([1.0, -0.52, 0.3]), torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    energy = Quadratic(torch.diag(a)).within(Sparse(0.4))
    for scheme in (SemiImplicit(0.01), MinimizingMovement(0.05, inner=Proximal())):
        curve = flow(energy, x, scheme=scheme, until=1.2)
        for t in (0.2, 0.7, 1.2):
            exact = x.sign() * (x.abs() - t).clamp_min(0)
            assert float((curve.at(t) - exact).abs().max()) < 1e-9
        first = float((a * x.abs()).sum() + 0.4 * 3)
        assert float(curve.slope[0]) == pytest.approx(first, rel=1e-12)
        assert float(curve.energy[0]) == pytest.approx(float((a * x.square()).sum() / 2 + 0.4 * x.abs().sum()))
        assert float(curve.slope[-1]) < 1e-9
        assert abs(float(curve.defect())) < 0.1
        assert curve.status.tolist() == [ms.Status.FINISHED]


@pytest.mark.parametrize("scheme", [Explicit, SemiImplicit])
def test_gradient_flow_with_an_l_1_term_in_closed_form(scheme: type[Scheme]) -> None:
    """Rate 2, l_2, E = |x|^2 / 2 + w |x|_1: u_i = sign(x_i) ((|x_i| + w) e^-t - w)^+, first order."""
    x, w = f64([1.0, -0.52, 0.3]), 0.4
    energy = Quadratic(torch.eye(3, dtype=torch.float64)).within(Sparse(w))
    errors = []
    for tau in (0.02, 0.01):
        curve = flow(energy, x, scheme=scheme(tau, Lp(2), 2.0), until=0.8)
        exact = x.sign() * ((x.abs() + w) * math.exp(-0.8) - w).clamp_min(0)
        errors.append(float((curve.end - exact).abs().max()))
    assert errors[1] < 0.6 * errors[0] < 0.01


@pytest.mark.parametrize("rate", [1.5, 3.0])
@pytest.mark.parametrize("p", [2.0, math.inf])
def test_penalized_steps_with_an_l_1_term_beat_sampled_points(p: float, rate: float) -> None:
    x, c, tau = draw(2, 2), draw(2, 2, seed=3), 0.3
    step = flow(Linear(c).within(Sparse(0.2)), x, scheme=SemiImplicit(tau, Lp(p), rate), until=Steps(1)).end
    shots = draw(40_000, 2, seed=9)

    def cost(z: Tensor, i: int) -> Tensor:
        far = Lp(p).norm(z - x[i])
        return z @ c[i] + 0.2 * z.abs().sum(1) + far**rate / (rate * tau ** (rate - 1))

    for i in range(2):
        mine = float(cost(step[i : i + 1], i))
        for size in (1.0, 0.1, 0.01):
            assert mine <= float(cost(step[i] + size * shots, i).min()) + 1e-9


@pytest.mark.parametrize("p", [2.0, math.inf])
def test_movements_with_an_l_1_term_against_a_smooth_program(p: float) -> None:
    """min E_d(z) + w |z|_1, |z - x| <= tau, with z = a - b, a, b >= 0: SLSQP knows no kinks then."""
    x, A = draw(3, 2, seed=5), f64([2.0, 0.7], [0.7, 1.0])
    curve = flow(
        Quadratic(A).within(Sparse(0.3)), x, scheme=MinimizingMovement(0.3, Lp(p), inner=Proximal()), until=Steps(1)
    )
    assert curve.status.tolist() == [ms.Status.FINISHED] * 3

    def value(s: np.ndarray) -> float:
        z = s[:2] - s[2:]
        return float(z @ A.numpy() @ z / 2 + 0.3 * s.sum())

    for i in range(3):
        at = x[i].numpy()
        room = {
            "type": "ineq",
            "fun": lambda s, at=at: 0.3 - np.linalg.norm(s[:2] - s[2:] - at, 2 if p == 2 else np.inf),
        }
        start = np.r_[np.maximum(at, 0), np.maximum(-at, 0)]
        answer = minimize(value, start, bounds=[(0, None)] * 4, constraints=[room], options={"ftol": 1e-14})
        assert float(curve.energy[-1, i]) <= answer.fun + 1e-7


def test_in_a_box_with_an_l_1_term() -> None:
    x = f64([0.5, 0.5])
    box = Box(f64([0.25, -1.0]), f64([1.0, 1.0]))
    curve = flow(Linear(f64([0.1, 0.1])).within(Sparse(0.3, box=box)), x, scheme=SemiImplicit(0.1), until=1.0)
    torch.testing.assert_close(curve.end, f64([0.25, 0.0]))
    assert float(curve.slope[-1]) == 0.0


def test_total_variation_denoises_as_a_program_does() -> None:
    """A line of 6 pixels: prox against SLSQP on z, t with t_i >= |z_(i+1) - z_i|, and a step of rate 2 is it."""
    pytest.importorskip("skimage")
    v = f64([0.0, 0.1, 0.9, 1.0, 0.4, 0.45])
    mine = TotalVariation(0.2).prox(v, torch.tensor([0.5], dtype=torch.float64))[0].numpy()
    D = np.diff(np.eye(6), axis=0)
    rows = [{"type": "ineq", "fun": lambda s, k=k: s[6:] - k * (D @ s[:6])} for k in (1, -1)]
    answer = minimize(
        lambda s: ((s[:6] - v.numpy()) ** 2).sum() / 2 + 0.1 * s[6:].sum(),
        np.r_[v[0].numpy(), np.abs(D @ v[0].numpy())],
        constraints=rows,
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert np.abs(mine - answer.x[:6]).max() < 2e-4
    still = Function(lambda z: 0 * z.sum(1)).within(TotalVariation(0.2))
    step = flow(still, v, scheme=SemiImplicit(0.5, Lp(2), 2.0), until=Steps(1))
    assert np.abs(step.end[0].numpy() - mine).max() < 1e-12
    assert float(step.energy[-1]) < float(step.energy[0])
    fast = flow(still, v, scheme=SemiImplicit(0.05, Lp(2)), until=Steps(1))  # unit speed
    assert float(fast.speed[0]) == pytest.approx(1.0, abs=1e-6)


def test_what_has_no_exact_step_is_refused() -> None:
    energy, x = Quadratic(torch.eye(2)).within(Sparse(0.1)), torch.ones(1, 2)
    cases: list[tuple[Scheme, str]] = [
        (Explicit(0.1), "rate 2"),
        (SemiImplicit(0.1, Lp(1)), "known in Lp"),
        (MinimizingMovement(0.1, inner=Newton()), "Proximal"),
    ]
    for scheme, text in cases:
        with pytest.raises(ValueError, match=text):
            flow(energy, x, scheme=scheme, until=Steps(1))
    with pytest.raises(ValueError, match="negative"):
        Sparse(-0.1)
    with pytest.raises(ValueError, match="Descent"):
        flow(Quadratic(torch.eye(2)), x, scheme=MinimizingMovement(0.1, inner=Proximal()), until=Steps(1))
