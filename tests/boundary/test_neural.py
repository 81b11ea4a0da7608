"""Distances to networks' boundaries, the flow as a loss, the driver: closed forms, brute force, the limit law."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import cache

import pytest
import torch
from scipy import ndimage
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from maxslope._status import Status
from maxslope.attacks.effort import Effort
from maxslope.boundary import Densities, Grid, contour, signed_distance
from maxslope.boundary._distance_network import nearest
from maxslope.boundary.limit import LimitLaw, WeightedPerimeter, limit_flow
from maxslope.boundary.neural import Regression, Relaxation, distances, margin, on_grid, score, worst
from maxslope.boundary.neural_flow import (
    NeuralFlow,
    Samples,
    Training,
    Variation,
    draw,
    fit,
    neural_flow,
    settle,
    weights_of,
)

Function = Callable[[Tensor], Tensor]


def somewhere(n: int, d: int = 2, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(n, d, generator=g, dtype=torch.float64) - 1


# --- distances -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
@pytest.mark.parametrize("d", [2, 3, 10])
def test_balls_in_any_dimension_and_any_profile(d: int, dtype: torch.dtype, tolerance: float) -> None:
    x = somewhere(500, d).to(dtype)
    r = math.sqrt(d) / 2
    exact = r - x.norm(dim=1)
    for f in (lambda z: r - z.norm(dim=1), lambda z: r**2 - z.square().sum(1)):
        found = nearest(f, x)
        assert bool(found.found.all())
        torch.testing.assert_close(found.signed, exact, rtol=0, atol=tolerance)
        torch.testing.assert_close(found.point.norm(dim=1), torch.full_like(exact, r), rtol=0, atol=4 * tolerance)
    assert found.passes.unique().tolist() == [21]


def ellipse(z: Tensor) -> Tensor:
    return 1 - (z[:, 0] / 0.75) ** 2 - (z[:, 1] / 0.4) ** 2


def outline(n: int) -> Tensor:
    t = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    return torch.stack([0.75 * t.cos(), 0.4 * t.sin()], 1)


def test_an_ellipse_against_brute_force_inside_and_outside() -> None:
    x, dense = somewhere(400), outline(50_000)
    exact = torch.cat([torch.cdist(part, dense).amin(1) for part in torch.split(x, 50)]) * ellipse(x).sign()
    for near, steps in ((None, 20), (None, 12), (outline(100), 12)):
        found = nearest(ellipse, x, steps=steps, near=near)
        assert float((found.signed - exact).abs().max()) < 1e-6
    assert float((nearest(ellipse, x, steps=8).signed - exact).abs().mean()) < 1e-5


def test_two_circles_need_known_zeros_to_find_the_nearer_one() -> None:
    """Seen from near the middle line the gradient of a product points anywhere."""

    def f(z: Tensor) -> Tensor:
        left, right = (torch.hypot(z[:, 0] - m, z[:, 1]) - 0.3 for m in (-0.5, 0.5))
        return -torch.tanh(8 * left) * torch.tanh(8 * right)

    x = somewhere(300)
    exact = torch.minimum(*((torch.hypot(x[:, 0] - m, x[:, 1]) - 0.3).abs() for m in (-0.5, 0.5)))
    t = torch.linspace(0, 2 * math.pi, 60, dtype=torch.float64)
    circle = 0.3 * torch.stack([t.cos(), t.sin()], 1)
    shift = torch.tensor([0.5, 0.0], dtype=torch.float64)
    known = nearest(f, x, near=torch.cat([circle - shift, circle + shift]))
    inside = exact < 0.29  # the centers are equally far from all zeros
    assert float((known.signed.abs() - exact)[inside].abs().max()) < 1e-5
    assert bool((known.signed.sign() == f(x).sign()).all())


def test_no_zero_is_a_result_and_a_flat_gradient_no_error() -> None:
    x = somewhere(3)
    none = nearest(lambda z: 1 + z.square().sum(1), x)
    assert none.signed.tolist() == [math.inf] * 3
    assert not bool(none.found.any())
    flat = nearest(lambda z: 0 * z.sum(1) - 1, x)
    assert flat.signed.tolist() == [-math.inf] * 3
    assert distances(lambda z: 0 * z.sum(1) - 1, x).signed.tolist() == [-0.25] * 3
    on = nearest(lambda z: z[:, 0], torch.zeros(1, 2))
    assert on.signed.tolist() == [0.0]
    assert on.found.tolist() == [True]


def test_a_row_does_not_see_its_neighbors() -> None:
    x = somewhere(40)
    together = nearest(ellipse, x, near=outline(7))
    alone = [nearest(ellipse, x[k : k + 1], near=outline(7)) for k in (0, 17, 39)]
    assert torch.equal(together.point[[0, 17, 39]], torch.cat([a.point for a in alone]))


def test_saturated_networks_are_no_trap() -> None:
    """tanh of a steep score: nine in ten points see no gradient, but they start from zeros that others found."""
    x = somewhere(1000).float()
    found = distances(lambda z: torch.tanh(20 * (0.5 - z.norm(dim=1))), x, reach=0.25)
    exact = (0.5 - x.norm(dim=1)).clamp(-0.25, 0.25)
    error = (found.signed - exact).abs()
    assert float(error.mean()) < 1e-4
    assert float((error > 1e-3).float().mean()) < 0.01


def test_misuse_of_distances_is_explained() -> None:
    with pytest.raises(ValueError, match=r"from points \[rows, d\], got \(1, 2, 2\)"):
        nearest(ellipse, torch.zeros(1, 2, 2))
    with pytest.raises(ValueError, match="reach is a positive length, got 0"):
        nearest(ellipse, torch.zeros(1, 2), reach=0)
    with pytest.raises(ValueError, match="steps=0"):
        nearest(ellipse, torch.zeros(1, 2), steps=0)
    with pytest.raises(TypeError, match="floating point"):
        nearest(ellipse, torch.zeros(1, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match="cut off at a positive length, got reach=inf"):
        distances(ellipse, torch.zeros(1, 2), reach=math.inf)


# --- scores and adversaries ------------------------------------------------------------------------------------------


class Disk(nn.Module):
    """p = sigmoid(sharpness (r - |x|)), a set with one weight."""

    def __init__(self, r: float, sharpness: float = 1.0) -> None:
        nn.Module.__init__(self)
        self.r = nn.Parameter(torch.tensor(r, dtype=torch.float64))
        self.sharpness = sharpness

    def forward(self, x: Tensor) -> Tensor:
        return self.sharpness * (self.r - x.norm(dim=1))


def test_scores_of_all_binary_models() -> None:
    x = torch.tensor([[1.0, 3.0], [2.0, 1.0]])
    assert score(lambda z: z, x).tolist() == [2.0, -1.0]
    assert score(lambda z: z[:, :1], x).tolist() == [1.0, 2.0]
    assert score(lambda z: z[:, 1], x).tolist() == [3.0, 1.0]
    with pytest.raises(ValueError, match="3 outputs"):
        score(lambda z: z.new_zeros(2, 3), x)
    with pytest.raises(TypeError, match="tensor of logits"):
        score(lambda z: None, x)  # type: ignore[arg-type,return-value]
    grid = Grid((8, 8), -1, 1)
    assert torch.equal(on_grid(Disk(0.5), grid), 0.5 - grid.points().norm(dim=-1))


def test_worst_points_stay_in_the_ball_and_attain_the_optimum() -> None:
    x = somewhere(200)
    x = x[x.norm(dim=1) > 0.2]
    labels = torch.arange(len(x)) % 2
    moved = worst(Disk(0.5), x, labels, 0.1)
    assert float((moved - x).norm(dim=1).max()) <= 0.1 + 1e-12
    best = 0.5 - x.norm(dim=1) + torch.where(labels == 0, 0.1, -0.1)
    torch.testing.assert_close(Disk(0.5)(moved), best, rtol=0, atol=1e-8)
    near = x[ellipse(x).abs() < 0.5]
    t = torch.linspace(0, 2 * math.pi, 2000, dtype=torch.float64)
    sphere = 0.1 * torch.stack([t.cos(), t.sin()], 1)
    around = ellipse((near[:, None] + sphere).reshape(-1, 2)).reshape(len(near), -1).amax(1)
    found = ellipse(worst(ellipse, near, torch.zeros(len(near), dtype=torch.int64), 0.1, steps=5))
    rise = around - ellipse(near)
    assert float(((found - ellipse(near)) / rise).min()) > 0.97
    assert torch.equal(worst(Disk(0.5), x, labels, 0.0), x)
    with pytest.raises(ValueError, match="steps=0"):
        worst(ellipse, x, labels, 0.1, steps=0)


def test_the_model_is_left_as_it_was() -> None:
    net = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    net[0].eval()
    modes = [m.training for m in net.modules()]
    before = copy.deepcopy(net.state_dict())
    x = somewhere(20).float()
    first = worst(net, x, torch.zeros(20, dtype=torch.int64), 0.1)
    assert torch.equal(first, worst(net, x, torch.zeros(20, dtype=torch.int64), 0.1))  # no dropout inside
    distances(net, x)
    on_grid(net, Grid((4, 4), -1, 1))
    assert [m.training for m in net.modules()] == modes
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_a_margin_is_positive_where_the_model_is_right() -> None:
    x, labels = somewhere(5), torch.tensor([0, 1, 1, 0, 1])
    assert torch.equal(margin(Disk(0.5), x, labels) > 0, (Disk(0.5)(x) > 0) == (labels == 1))


# --- losses ----------------------------------------------------------------------------------------------------------


def plane(n: int, half_side: float) -> tuple[Tensor, Tensor]:
    """Every point of a fine grid once with each label: rho0 = rho1 = const."""
    points = Grid((n, n), -half_side, half_side).points().reshape(-1, 2)
    return points.repeat(2, 1), torch.arange(2).repeat_interleave(len(points))


@pytest.mark.parametrize("tau", [0.01, 0.03])
def test_the_relaxation_makes_the_implicit_step_of_a_disk(tau: float) -> None:
    """Among disks its minimizer is r+ = (r + sqrt(r^2 - 4 tau)) / 2, V = -1/r with c = 1, whatever eps."""
    x, labels = plane(70, 0.9)
    for eps in (0.05, 0.12):
        loss = Relaxation(tau, eps, reach=10.0, steps=1)
        signed = 0.6 - x.norm(dim=1)

        def value(r: float, loss: Relaxation = loss, signed: Tensor = signed) -> float:
            with torch.no_grad():
                return float(loss(Disk(r, 40.0), x, labels, signed))

        best = minimize_scalar(value, bounds=(0.4, 0.65), method="bounded", options={"xatol": 1e-4}).x
        assert best == pytest.approx((0.6 + math.sqrt(0.36 - 4 * tau)) / 2, abs=0.005)  # the sigmoid is not a step


class Bent(nn.Module):
    """sd of a disk less lam / |x|: the minimizer of the ROF problem has lam = tau."""

    def __init__(self, lam: float) -> None:
        nn.Module.__init__(self)
        self.lam = nn.Parameter(torch.tensor(lam, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        r = x.norm(dim=1)
        return 0.6 - r - self.lam / r


def test_the_regression_has_the_closed_form_minimizer_of_a_disk() -> None:
    """On an annulus a < r < b: lam = tau ln((b^2 - eps^2) / (a^2 - eps^2)) / (2 ln(b / a)), tau as eps -> 0."""
    x, labels = plane(120, 0.85)
    ring = (x.norm(dim=1) > 0.3) & (x.norm(dim=1) < 0.8)
    x, labels = x[ring], labels[ring]
    tau, eps = 0.02, 0.1
    loss = Regression(tau, eps, reach=1e3, steps=1)
    net = Bent(0.5 * tau)
    slope = []
    for lam in (0.0, 2 * tau):
        net.lam.data.fill_(lam)
        (g,) = torch.autograd.grad(loss(net, x, labels, 0.6 - x.norm(dim=1)), net.lam)
        slope.append(float(g))
    root = 2 * tau * slope[0] / (slope[0] - slope[1])  # the loss is quadratic in lam
    assert root == pytest.approx(tau * math.log((0.64 - 0.01) / (0.09 - 0.01)) / (2 * math.log(8 / 3)), rel=0.01)


def test_losses_by_hand() -> None:
    x, labels = torch.tensor([[0.2, 0.0], [-0.1, 0.3]]), torch.tensor([0, 1])
    signed = torch.tensor([0.1, -0.4])

    def tilt(z: Tensor) -> Tensor:
        return 3 * z[:, 0]

    control = Regression(0.5, 0.1, reach=0.2, variation=0.0)(tilt, x, labels, signed)
    target = 0.2 * torch.tanh(signed / 0.2)
    torch.testing.assert_close(control, (3 * x[:, 0] - target).square().mean())
    full = Regression(0.5, 0.1, reach=0.2, variation=2.0)(tilt, x, labels, signed)
    torch.testing.assert_close(full, control + 2 * 3)
    p = (3 * x[:, 0]).sigmoid()
    moved = (3 * (x[:, 0] + torch.tensor([0.1, -0.1]))).sigmoid()
    both = Relaxation(0.5, 0.1, reach=0.2)(tilt, x, labels, signed)
    fit = -(torch.tensor([0.1, -0.2]) * p).mean() / 0.5
    torch.testing.assert_close(both, fit + ((moved - p) * torch.tensor([1.0, -1.0])).mean() / 0.1)


def test_a_loss_serves_anyones_loop() -> None:
    """In five dimensions, with batch norm in training mode and an optimizer of the caller's."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.SiLU(), nn.Linear(8, 2))
    x, labels = somewhere(64, 5).float(), torch.arange(64) % 2
    signed = distances(net, x).signed
    assert float(signed.abs().max()) <= 0.25
    adam = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss = Regression(0.1, 0.05)(net, x, labels, signed)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(float(loss.detach()))
    assert net.training
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("kind", [Regression, Relaxation])
def test_misuse_of_losses_is_explained(kind: type[Regression]) -> None:
    for name in ("tau", "eps", "reach"):
        with pytest.raises(ValueError, match=f"positive, finite {name}, got {name}=0"):
            kind(**{"tau": 0.1, "eps": 0.1, "reach": 0.1} | {name: 0})
    with pytest.raises(ValueError, match=r"reach=0.25 below eps=1.0; take reach=2\."):
        kind(0.1, 1.0)
    with pytest.raises(ValueError, match="steps=0"):
        kind(0.1, 0.1, steps=0)
    with pytest.raises(ValueError, match="variation=-1"):
        kind(0.1, 0.1, variation=-1)


# --- the driver ------------------------------------------------------------------------------------------------------


GRID = Grid((64, 64), -1.2, 1.2)
EPS, TAU = 0.08, 0.03


@cache
def wavy() -> tuple[Densities, Samples, nn.Module]:
    """Two Gaussians, samples of them, and a network with a wavy boundary."""
    x, y = GRID.points().unbind(-1)
    densities = Densities(*(torch.exp(-((x - m) ** 2 + y**2) / 2 / 0.35**2) for m in (-0.45, 0.45)))
    samples = draw(densities, GRID, 8192)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU(), nn.Linear(48, 1))
    adam = torch.optim.Adam(net.parameters(), 1e-2)
    for k in range(300):
        z = samples.x[256 * (k % 32) : 256 * (k % 32 + 1)]
        loss = (net(z)[:, 0] - (z[:, 0] - 0.1 - 0.25 * torch.sin(3 * z[:, 1] + 0.5))).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return densities, samples, net.eval()


@cache
def followed(variation: float) -> NeuralFlow:
    _, samples, net = wavy()
    training = Training(400, 800, 256, 1e-2)
    judged = Samples(samples.x[:2048], samples.labels[:2048])
    movement = Regression(TAU, EPS, variation=variation)
    return neural_flow(net, samples, movement, steps=1, training=training, judged=judged)


def apart(u: Tensor, v: Tensor) -> float:
    points = torch.cat(contour(u, GRID))
    points = points[points[:, 1].abs() < 0.8]
    return float(abs(ndimage.map_coordinates(v.numpy(), GRID.to_index(points).T.numpy(), order=1)).mean())


@pytest.mark.slow
def test_the_network_follows_the_law_and_its_control_stands_still() -> None:
    """Measured: moved .054, law .045, gap .012, control .011 of a step; robust risk .193 -> .176."""
    densities, _, net = wavy()
    before = weights_of(net)
    nf = followed(1.0)
    assert torch.equal(before, weights_of(net))
    start, end = (signed_distance(on_grid(nf.model(k), GRID), GRID) for k in (0, 1))
    law = limit_flow(LimitLaw(GRID, densities, EPS), start, TAU).end[0]
    moved, wanted, gap = apart(end, start), apart(law, start), apart(end, law)
    assert wanted > 0.03
    assert 0.8 * wanted < moved < 1.5 * wanted
    assert gap < 0.45 * moved
    length = WeightedPerimeter(GRID, densities.rho)
    first, last, exact = (float(length.look(u[None]).value) for u in (start, end, law))
    assert last < 0.98 * first
    assert last == pytest.approx(exact, rel=0.03)
    assert float(nf.robust_risk[1]) < float(nf.robust_risk[0]) - 0.005
    still = followed(0.0)
    drift = apart(*(signed_distance(on_grid(still.model(k), GRID), GRID) for k in (1, 0)))
    assert drift < 0.4 * moved


@pytest.mark.slow
def test_the_record_is_a_curve_of_weights() -> None:
    nf = followed(1.0)
    _, samples, net = wavy()
    assert nf.curve.points.shape == (2, 1, weights_of(net).numel())
    assert nf.curve.time[:, 0].tolist() == pytest.approx([0.0, TAU])
    assert nf.curve.status.tolist() == [Status.FINISHED]
    gap = (nf.robust_risk - nf.risk) / EPS
    torch.testing.assert_close(nf.curve.energy[:, 0].double(), gap, rtol=1e-5, atol=0)
    model = nf.model(1)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    energy = Variation(net, samples, EPS, Effort.quick())
    assert energy.take(torch.tensor([0])) is energy
    clean = float(((net(samples.x)[:, 0] > 0) != (samples.labels == 1)).double().mean())
    assert energy.of(weights_of(net)).risk == pytest.approx(clean)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_form_b_runs_too() -> None:
    _, samples, net = wavy()
    samples = Samples(samples.x[:60], samples.labels[:60])
    small = Training(5, 3, 16)
    torch.manual_seed(1)
    first = neural_flow(net, samples, Relaxation(TAU, EPS), steps=2, training=small)
    torch.manual_seed(2)
    second = neural_flow(net, samples, Relaxation(TAU, EPS), steps=2, training=small)
    assert torch.equal(first.curve.points, second.curve.points)
    assert torch.equal(first.curve.points[0, 0], weights_of(net))  # no fit to distances before the relaxation
    other = neural_flow(net, samples, Relaxation(TAU, EPS), steps=2, training=Training(5, 3, 16, seed=1))
    assert not torch.equal(first.curve.points[-1], other.curve.points[-1])


class Rippled(nn.Module):
    """Distance to a plane with ripples: half of all gradients point the wrong way, and the zeros stay."""

    def __init__(self, d: int) -> None:
        nn.Module.__init__(self)
        self.normal = nn.Parameter(torch.ones(d, dtype=torch.float64) / d**0.5)

    def forward(self, x: Tensor) -> Tensor:
        away = x @ self.normal
        return away + 0.02 * torch.sin(200 * away)


@pytest.mark.slow
def test_the_energy_is_measured_by_the_attack_of_the_house_and_not_by_the_search_in_training() -> None:
    """In 64 dimensions, where a few gradient steps see a third of it; the truth is known in closed form."""
    net = Rippled(64)
    x = 0.5 * somewhere(30, 64)
    away = x.sum(1) / 8
    clear = ((away.abs() - 0.4).abs() > 0.03) & (away.abs() > 0.03)  # ripples do not decide
    x, away = x[clear], away[clear]
    labels = (away > 0).long()
    truth = float((away.abs() < 0.4).double().mean())
    said = Variation(net, Samples(x, labels), 0.4, Effort.quick()).of(weights_of(net))
    assert said.risk == 0.0
    assert 0.9 * truth < said.robust_risk <= truth
    assert 1 <= said.backward <= said.forward
    moved = worst(net, x, labels, 0.4, steps=5)
    believed = float(((net(moved) > 0) != (labels == 1)).double().mean())
    assert believed < 0.7 * truth  # what was reported once


def test_what_a_flow_costs_is_counted() -> None:
    calls = [0]

    class Counting(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            calls[0] += len(x)
            return nn.functional.linear(x, self.weight, self.bias)

    torch.manual_seed(0)
    net, x = Counting(3, 1), somewhere(50, 3).float()
    labels = (torch.arange(50) % 2).long()
    samples, movement = Samples(x, labels), Regression(0.01, 0.1)
    training = Training(iterations=4, first=3, batch=8)
    for number, batches in ((0, 3), (1, 4)):
        calls[0] = 0
        distances(net, x)
        measured = calls[0]
        calls[0] = 0
        fit(net, samples, movement, training, number) if number else settle(net, samples, movement, training)
        assert calls[0] - measured == batches * 8 * (movement.passes if number else 2)
    nf = neural_flow(net, samples, movement, steps=2, training=training)
    assert nf.trained == 8 * (2 * 4 * 6 + 3 * 2)
    assert nf.passes.shape == (3, 2)
    part = Samples(x[:20], labels[:20])
    told = neural_flow(net, samples, movement, steps=2, training=training, judged=part, effort=Effort.standard())
    assert torch.equal(told.curve.points, nf.curve.points)
    assert told.risk[0] == pytest.approx(
        float(((told.model(0)(part.x)[:, 0] > 0) != (part.labels == 1)).double().mean())
    )


def test_the_first_fit_leaves_the_boundary_where_it_is_although_no_sample_is_near() -> None:
    """Samples alone say nothing of where between them a boundary lies; points on the way to its zeros do."""
    torch.manual_seed(0)
    x = torch.cat([somewhere(60, 8) * 0.05 + side for side in (-0.5, 0.5)]).float()
    samples = Samples(x, (torch.arange(120) >= 60).long())
    net = nn.Sequential(nn.Linear(8, 24), nn.SiLU(), nn.Linear(24, 1))
    adam = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(150):
        loss = (net(x)[:, 0] - 9 * (x.mean(1) - 0.2)).square().mean()  # not in the middle
        adam.zero_grad()
        loss.backward()
        adam.step()
    before = distances(net, x, reach=3.0).signed
    movement = Regression(0.01, 0.3, reach=3.0)
    after = distances(settle(net, samples, movement, Training(first=300, batch=64)), x, reach=3.0).signed
    assert float(before.abs().min()) > 0.3
    assert float((after - before).abs().max()) < 0.12


def test_samples_of_densities_have_their_moments() -> None:
    densities, samples, _ = wavy()
    for k, m in ((0, -0.45), (1, 0.45)):
        part = samples.x[samples.labels == k]
        assert len(part) / len(samples.x) == pytest.approx(0.5, abs=0.02)
        assert float(part[:, 0].mean()) == pytest.approx(m, abs=0.02)
        assert float(part.std(0).mean()) == pytest.approx(0.345, abs=0.015)
    assert torch.equal(draw(densities, GRID, 5).x, draw(densities, GRID, 50).x[:5])


def test_misuse_of_the_driver_is_explained() -> None:
    _, samples, net = wavy()
    with pytest.raises(ValueError, match="steps=0"):
        neural_flow(net, samples, Regression(TAU, EPS), steps=0)
    with pytest.raises(ValueError, match="every sample the same label"):
        neural_flow(nn.Sequential(nn.Linear(2, 1), nn.Softplus()), samples, Regression(TAU, EPS))
    with pytest.raises(ValueError, match="labels up to 2"):
        Samples(torch.zeros(3, 2), torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="positive rate"):
        Training(rate=0)
