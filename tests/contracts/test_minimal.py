"""Smallest perturbations against closed forms and scipy, and the laws of every attack: verified, counted, per row."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize
from torch import Tensor, nn

from maxslope.attacks._plan import Way, shared, way_of
from maxslope.attacks._pursuit import Course, Nearest, Pursuit
from maxslope.attacks.attack import attack
from maxslope.attacks.effort import Effort
from maxslope.attacks.minimal import MinimalResult, _halve, minimal
from maxslope.attacks.outside import input_box
from maxslope.attacks.question import ask
from maxslope.data import default_data, default_network
from maxslope.goals import Targeted
from maxslope.sets import Budget
from maxslope.spaces import Lp, Mixed, Weighted

NORMS = (1, 1.5, 2, 3, math.inf)
SHAPES = ((6,), (2, 3, 4))


def affine(shape: tuple[int, ...], classes: int, seed: int = 0) -> tuple[nn.Module, Tensor, Tensor]:
    """W and b with a model z -> W z + b in float64, [classes, d] and [classes]."""
    generator = torch.Generator().manual_seed(seed)
    d = math.prod(shape)
    layer = nn.Linear(d, classes).double()
    layer.weight.data = torch.randn(classes, d, generator=generator, dtype=torch.float64)
    layer.bias.data = 0.3 * torch.randn(classes, generator=generator, dtype=torch.float64)
    return nn.Sequential(nn.Flatten(), layer).eval().requires_grad_(False), layer.weight.data, layer.bias.data


def samples(shape: tuple[int, ...], rows: int, seed: int = 1) -> Tensor:
    return 0.05 + 0.9 * torch.rand(rows, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def curved(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 24), nn.GELU(), nn.Linear(24, 5))
    return net.to(dtype).eval().requires_grad_(False)


def check(model: nn.Module, x: Tensor, y: Tensor, p: float, result: MinimalResult, lo: float, hi: float) -> None:
    """Found points are errors inside the box, and their norms are theirs."""
    found = result.found
    assert bool((model(result.points).argmax(1) != y)[found].all())
    assert bool(((result.points >= lo) & (result.points <= hi)).all())
    sizes = np.array([np.linalg.norm((z - c).numpy().ravel(), p) for z, c in zip(result.points, x, strict=True)])
    np.testing.assert_allclose(result.norms[found].numpy(), sizes[found.numpy()], rtol=1e-6, atol=1e-12)
    assert bool(result.norms[~found].isinf().all())


def smallest(a: np.ndarray, margin: float, x: np.ndarray, p: float, lo: float, hi: float) -> float:
    """min { |d|_p : <a, d> >= margin, lo <= x + d <= hi } by scipy: linear programs or SLSQP; inf where infeasible."""
    n = len(x)
    bounds = list(zip(lo - x, hi - x, strict=True))
    if np.maximum(a * (lo - x), a * (hi - x)).sum() < margin:
        return math.inf
    if p in (1, math.inf):
        extra = n if p == 1 else 1
        sizes = np.eye(n) if p == 1 else np.ones((n, 1))
        matrix = np.block([[np.eye(n), -sizes], [-np.eye(n), -sizes], [-a[None], np.zeros((1, extra))]])
        cost = np.concatenate([np.zeros(n), np.ones(extra)])
        answer = linprog(cost, matrix, np.append(np.zeros(2 * n), -margin), bounds=bounds + [(0, None)] * extra)
        return float(answer.fun)
    constraint = {"type": "ineq", "fun": lambda d: a @ d - margin, "jac": lambda d: a}
    start = np.clip(a * margin / (a @ a), lo - x, hi - x)
    answer = minimize(
        lambda d: (np.abs(d) ** p).sum(),
        start,
        jac=lambda d: p * np.sign(d) * np.abs(d) ** (p - 1),
        bounds=bounds,
        constraints=[constraint],
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )
    assert answer.success
    return float((np.abs(answer.x) ** p).sum() ** (1 / p))


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_affine_models_without_a_box(p: float, shape: tuple[int, ...]) -> None:
    """The smallest perturbation of an affine model is the least margin over dual norm, over the other classes."""
    model, W, _ = affine(shape, 4)
    x = samples(shape, 7)
    logits = model(x)
    y = logits.argmax(1)
    gaps = logits.gather(1, y[:, None]) - logits
    dual = Lp(p).dual_norm((W[y][:, None] - W[None]).reshape(-1, W.shape[1])).reshape(7, 4)
    truth = torch.where(dual > 0, gaps / dual.clamp_min(1e-300), math.inf).amin(1)
    result = minimal(model, x, y, Lp(p), box=None, effort=Effort(passes=60))
    check(model, x, y, p, result, -math.inf, math.inf)
    assert bool((result.norms >= truth * (1 - 1e-9)).all())
    assert bool((result.norms <= truth * 1.01).all()), (result.norms / truth).tolist()


@pytest.mark.parametrize("p", NORMS)
def test_affine_models_in_a_box(p: float) -> None:
    """With a box the truth is a linear program or a convex problem for each rival."""
    model, W, _ = affine((6,), 3, seed=5)
    x = samples((6,), 8, seed=2)
    logits = model(x)
    y = logits.argmax(1)
    result = minimal(model, x, y, Lp(p), effort=Effort(passes=100))
    check(model, x, y, p, result, 0, 1)
    for i in range(8):
        rivals = [k for k in range(3) if k != int(y[i])]
        truth = min(
            smallest((W[k] - W[y[i]]).numpy(), float(logits[i, y[i]] - logits[i, k]), x[i].numpy(), p, 0.0, 1.0)
            for k in rivals
        )
        if math.isinf(truth):
            assert not bool(result.found[i])
        else:
            assert truth * (1 - 1e-6) <= float(result.norms[i]) <= truth * 1.02 + 1e-9


@pytest.mark.parametrize("p", NORMS)
def test_a_curved_model(p: float) -> None:
    model = curved()
    x = samples((3, 4), 12).float()
    y = model(x).argmax(1)
    y[3] = (y[3] + 1) % 5
    quick = minimal(model, x, y, Lp(p), effort=Effort.quick())
    check(model, x, y, p, quick, 0, 1)
    assert float(quick.norms[3]) == 0
    assert bool(quick.found[3])
    assert torch.equal(quick.points[3], x[3])
    more = minimal(model, x, y, Lp(p), effort=Effort(passes=80))
    assert float(more.norms.median()) <= float(quick.norms.median()) * 1.001


def test_weighted_norms() -> None:
    """Lp(2) of w d is Lp(2) in coordinates scaled by w."""
    model, W, _ = affine((6,), 2, seed=7)
    x = samples((6,), 5)
    y = model(x).argmax(1)
    w = torch.tensor([0.5, 1.0, 2.0, 1.0, 3.0, 0.7], dtype=torch.float64)
    result = minimal(model, x, y, Weighted(Lp(2), w), box=None, effort=Effort(passes=60))
    gaps = model(x).gather(1, y[:, None]).squeeze(1) - model(x).gather(1, 1 - y[:, None]).squeeze(1)
    truth = gaps / ((W[0] - W[1]) / w).norm()
    torch.testing.assert_close(result.norms, truth, rtol=0.01, atol=0)


@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_a_row_is_a_stranger_to_its_batch(p: float) -> None:
    """In another order, in part, or alone: bit for bit the same points, whatever stands in the other slots."""
    model = curved()
    x = samples((3, 4), 23).float()
    y = model(x).argmax(1)
    ids = torch.arange(23) + 100
    effort = Effort(passes=60)
    whole = minimal(model, x, y, Lp(p), effort=effort, ids=ids, batch_size=8)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(0))
    for index in (order, order[:5], torch.tensor([17])):
        part = minimal(model, x[index], y[index], Lp(p), effort=effort, ids=ids[index], batch_size=8)
        assert torch.equal(part.points, whole.points[index])
        assert torch.equal(part.norms, whole.norms[index])
        assert torch.equal(part.forward, whole.forward[index])


class Counted(nn.Module):
    """Counts rows of calls with and without gradient."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.with_gradient, self.without = model, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.with_gradient += x.shape[0]
        else:
            self.without += x.shape[0]
        out: Tensor = self.model(x)
        return out


def test_counts_are_exact() -> None:
    model = Counted(curved()).eval()
    x = samples((3, 4), 9).float()
    y = model(x).argmax(1)
    y[0] = (y[0] + 1) % 5
    model.with_gradient = model.without = 0
    result = minimal(model, x, y, Lp(2), effort=Effort(passes=30), batch_size=1)
    assert int(result.backward.sum()) == model.with_gradient
    assert int((result.forward - result.backward).sum()) == model.without - result.inspected
    assert result.executed == (model.without + model.with_gradient, model.with_gradient)
    assert (int(result.forward[0]), int(result.backward[0])) == (1, 0)
    assert bool((result.backward <= 30).all())
    assert bool((result.forward <= 36).all())


def test_targets_are_reached() -> None:
    model = curved()
    x = samples((3, 4), 12).float()
    y = model(x).argmax(1)
    targets = (y + 1) % 5
    targets[2] = y[2]
    free = minimal(model, x, y, Lp(2), box=None)
    aimed = minimal(model, x, y, Lp(2), box=None, targets=targets)
    assert bool((model(aimed.points).argmax(1) == targets)[aimed.found].all())
    assert float(aimed.found.float().mean()) > 0.7
    assert float(aimed.norms[2]) == 0
    rest = torch.arange(12) != 2
    assert bool((aimed.norms >= 0.98 * free.norms)[rest].all())


def test_masked_coordinates_stay() -> None:
    model = curved()
    x = samples((3, 4), 6).float()
    y = model(x).argmax(1)
    mask = torch.zeros(3, 4, dtype=torch.bool)
    mask[1:] = True
    for p in (1, 2, math.inf):
        result = minimal(model, x, y, Lp(p), mask=mask, effort=Effort(passes=40), box=(-3.0, 3.0))
        assert torch.equal(result.points[:, 0], x[:, 0])
        assert bool(result.found.any())


def test_one_output_binary_models() -> None:
    layer = nn.Linear(4, 1).double().eval()
    x = samples((4,), 5)
    y = (layer(x).squeeze(1) > 0).long()
    result = minimal(layer, x, y, Lp(2), box=None, effort=Effort(passes=40))
    truth = layer(x).squeeze(1).abs() / layer.weight.norm()
    torch.testing.assert_close(result.norms, truth.detach(), rtol=0.01, atol=0)


class Constant(nn.Module):
    """Always class 0, whatever the input, with a gradient of zero."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return torch.stack([flat[:, 0] * 0 + 2, flat[:, 0] * 0], 1)


@pytest.mark.parametrize("box", [(0.0, 1.0), None])
def test_nothing_to_be_found(box: tuple[float, float] | None) -> None:
    x = samples((3,), 4).float()
    result = minimal(Constant().eval(), x, torch.zeros(4, dtype=torch.int64), Lp(2), box=box, effort=Effort(passes=12))
    assert not bool(result.found.any())
    assert bool(result.norms.isinf().all())
    assert torch.equal(result.points, x)
    assert bool((result.backward <= 12).all())
    assert result.robust_accuracy_at(1e9) == 1.0


def test_a_flat_clean_point_is_left() -> None:
    """Where the gradient vanishes at the clean point, other starts still find errors."""

    class Cliff(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            high = (x.flatten(1) - 0.5).relu().sum(1)
            return torch.stack([torch.full_like(high, 0.3), high], 1)

    x = torch.full((3, 8), 0.2)
    result = minimal(Cliff().eval(), x, torch.zeros(3, dtype=torch.int64), Lp(math.inf), effort=Effort(passes=60))
    assert bool(result.found.all())
    torch.testing.assert_close(result.norms, torch.full((3,), 0.3 + 0.3 / 8), rtol=0.02, atol=0)


def test_security_curve() -> None:
    """Monotone, a step down at every norm, and on affine models what `attack` finds at that eps."""
    model, _, _ = affine((6,), 3, seed=5)
    x = samples((6,), 20, seed=4)
    y = model(x).argmax(1)
    y[0] = (y[0] + 1) % 3
    result = minimal(model, x, y, Lp(2))
    eps = torch.linspace(0, 1.5, 40, dtype=torch.float64)
    curve = result.security_curve(eps)
    assert bool((curve.diff() <= 0).all())
    assert float(curve[0]) == pytest.approx(19 / 20)
    assert curve.tolist() == [result.robust_accuracy_at(float(e)) for e in eps]
    for e in (0.1, 0.4):
        clear = (result.norms / e - 1).abs() > 0.02
        broken = attack(model, x, y, Budget(Lp(2), e)).broken
        assert torch.equal(broken[clear], (result.norms <= e)[clear])


def test_seeds_and_the_model() -> None:
    """The same seed gives the same answer; no gradient, mode or global random state changes."""
    model = curved().requires_grad_(True)
    x = samples((3, 4), 6).float()
    y = model(x).argmax(1)
    state = torch.get_rng_state()
    first, second = (minimal(model, x, y, Lp(1), effort=Effort(passes=150), seed=4) for _ in range(2))
    assert torch.equal(first.points, second.points)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_non_finite_models_are_neither() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.flatten(1).sum(1).sub(100).sqrt(), x.flatten(1).sum(1)], 1)

    x = samples((3,), 2).float()
    result = minimal(Broken().eval(), x, torch.tensor([0, 1]), Lp(2), effort=Effort(passes=8))
    assert not bool(result.found.any())
    assert bool(result.norms.isnan().all())
    assert bool(result.non_finite.all())
    assert result.robust_accuracy_at(0.0) == 0.0


def test_misuse() -> None:
    model = curved()
    x = samples((3, 4), 4).float()
    y = model(x).argmax(1)
    with pytest.raises(TypeError, match="space such as"):
        minimal(model, x, y, Budget(Lp(2), 0.5))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Effort"):
        minimal(model, x, y, Lp(2), effort=100)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 4"):
        Effort(passes=3)
    with pytest.raises(ValueError, match="exact projections"):
        minimal(model, x, y, Weighted(Mixed(Lp(2), Lp(1), axis=1), torch.rand(4) + 1))
    with pytest.raises(ValueError, match="box"):
        minimal(model, x + 5, y, Lp(2))
    with pytest.raises(TypeError, match="floating"):
        minimal(model, x.long(), y, Lp(2))
    with pytest.raises(ValueError, match="labels"):
        minimal(model, x, y[:2], Lp(2))
    with pytest.raises(ValueError, match="lo <= hi"):
        minimal(model, x, y, Lp(2), box=(1.0, 0.0))
    result = minimal(model, x, y, Lp(2), effort=Effort.quick())
    with pytest.raises(ValueError, match="negative"):
        result.security_curve([0.1, -0.1])
    with pytest.raises(ValueError, match="negative"):
        result.robust_accuracy_at(math.nan)


def test_an_effort_is_its_passes_and_at_most_its_limit() -> None:
    model = curved()
    x = samples((3, 4), 3).float()
    y = model(x).argmax(1)
    few, limited = (minimal(model, x, y, Lp(2), effort=e) for e in (Effort(passes=12), Effort.exhaustive().limited(12)))
    assert torch.equal(few.points, limited.points)
    assert int(few.backward.max()) == 12
    with pytest.raises(ValueError, match="limited to 3"):
        minimal(model, x, y, Lp(2), effort=Effort.quick().limited(3))


class Gated(nn.Module):
    """At the clean point the only slope is a decoy of 0.1 in the last entry; half way to gray the boundary opens."""

    def forward(self, z: Tensor) -> Tensor:
        z = z.flatten(1)
        margin = 1 - 0.1 * (1 - z[:, -1]) - 20 * (z[:, :-1] - 0.2).relu().sum(1)
        return 3 * torch.stack([margin, torch.zeros_like(margin)], 1)


def test_where_the_first_gradient_misleads_other_ways_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The boundary is nearer than 0.3 of the first estimate, 10; an affine model is never called misleading."""
    made: list[int] = []

    def watched(number: int) -> Way:
        made.append(number)
        return way_of(number)

    monkeypatch.setattr(sys.modules["maxslope.attacks._pursuit"], "way_of", watched)
    x, y = torch.zeros(2, 7, dtype=torch.float64), torch.zeros(2, dtype=torch.long)
    x[:, -1] = 1.0
    result = minimal(Gated().eval(), x, y, Lp(2), effort=Effort(passes=60))
    assert bool(result.found.all())
    assert bool((result.norms <= 0.33).all())  # 20 (t - 0.2) = 1 at t = 0.25 along one entry
    assert made == [0, 1]
    assert result.backward.tolist() == [60, 60]
    minimal(Gated().eval(), x, y, Lp(math.inf), effort=Effort(passes=60))
    model, _, _ = affine((6,), 4)
    z = samples((6,), 7)
    minimal(model, z, model(z).argmax(1), Lp(2), effort=Effort(passes=60))
    assert made == [0, 1]


def test_the_way_out_reaches_a_target_that_the_first_gradient_takes_for_far() -> None:
    """On a robust network whole steps led from one end of the box to the other: 6 of 29 targets were never reached."""
    model = default_network()
    x, y = default_data()
    x, y = x[:16], y[:16]
    untargeted = minimal(model, x, y, Lp(math.inf), effort=Effort(passes=33))
    classes = model(untargeted.points).argmax(1)
    near = untargeted.found & (untargeted.norms > 0)
    found = minimal(model, x[near], y[near], Lp(math.inf), goal=Targeted(classes[near]), effort=Effort(passes=60))
    assert bool(found.found.all())
    assert bool((model(found.points).argmax(1) == classes[near]).all())
    assert float((found.norms / untargeted.norms[near]).median()) < 1.1


def test_samples_that_closing_in_still_brings_nearer_go_on_from_their_best_point() -> None:
    """By more than a quarter in the second half of its run; others explore before their last run."""
    course, job = Course(torch.full((3,), 33), torch.ones(3, dtype=torch.bool)), torch.arange(3)
    course.run[:], course.parts[:], course.most[:] = 1, 3, 10
    course.lengths = {k: [9, 9] for k in range(3)}
    course.pass_half(torch.tensor([5, 5, 4]), job, torch.tensor([2.0, 1.3, 9.0]))
    falls = course.falls(torch.tensor([1.0, 1.2, 1.0]), 0.25)
    assert falls.tolist() == [True, False, False]
    course.go_on(0, 1)
    course.run[:] = 2
    assert course.lengths == {0: [18], 1: [9, 9], 2: [9, 9]}
    assert course.last(job).tolist() == [True, False, False]
    assert course.exploration(job).tolist() == [-1, 0, 0]
    course.go_on(1, 2)
    for run in (2, 3):
        course.run[:] = run
        assert course.lengths[1] == [9, 9]
        assert bool(course.last(job)[1])
        assert int(course.exploration(job)[1]) == -1


@pytest.mark.parametrize("still", [-1.0, math.inf])
def test_whoever_goes_on_spends_the_same_passes(still: float, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = (part[:12] for part in default_data())
    model = default_network()
    monkeypatch.setattr("maxslope.attacks._pursuit._STILL", still)
    result = minimal(model, x, y, Lp(1), effort=Effort(passes=33))
    wrong = model(x).argmax(1) != y
    assert result.backward.tolist() == [0 if w else 33 for w in wrong]
    check(model, x[~wrong], y[~wrong], 1, _of(result, ~wrong), 0.0, 1.0)


class Apart(nn.Module):
    """Margins 1 - z_0 to class 1 and ``far`` - z_0 to class 2."""

    def __init__(self, far: float) -> None:
        super().__init__()
        self.far = far

    def forward(self, z: Tensor) -> Tensor:
        first = z[:, 0]
        return torch.stack([torch.zeros_like(first), first - 1, first - self.far], 1)


@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_an_exploration_that_is_far_from_its_boundary_is_given_up(p: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """After five gradients, the others of its ten go to the last run; a class as near is explored to the end."""
    given_up: list[int] = []

    def watched(passes: int, left: int) -> list[int]:
        given_up.append(left)
        return shared(passes, left)

    monkeypatch.setattr("maxslope.attacks._pursuit.shared", watched)
    x, y = torch.zeros(2, 3, dtype=torch.float64), torch.zeros(2, dtype=torch.long)
    for far, rows in ((1.05, 0), (1.5, 2)):
        given_up.clear()
        result = minimal(Apart(far).eval(), x, y, Lp(p), box=(-2.0, 2.0), effort=Effort(passes=33))
        torch.testing.assert_close(result.norms, torch.ones(2, dtype=torch.float64), rtol=2e-3, atol=0)
        assert result.backward.tolist() == [33, 33]
        assert len(given_up) == rows
        assert all(left >= 13 for left in given_up)  # 9 were planned


@pytest.mark.parametrize(("p", "shares"), [(2, [0.1, 0.4]), (math.inf, [0.4, 0.4]), (1, [0.4, 0.4])])
def test_last_runs_of_settled_samples_begin_with_smaller_steps_in_l_2(p: float, shares: list[float]) -> None:
    """Settled: brought nearer by less than a tenth since the middle of closing in."""
    x, y = torch.zeros(2, 3, dtype=torch.float64), torch.zeros(2, dtype=torch.long)
    question = ask(Apart(2.0).eval(), x, y, Budget(Lp(p), 0.0, (-2.0, 2.0)))
    box, rivals = input_box(question, None), torch.tensor([[1, 2], [1, 2]])
    pursuit = Pursuit(question, box, rivals, y == 0, torch.tensor([33, 33]))
    pursuit.radius[:], pursuit.nearest.size[:], pursuit.course.half[:] = 1.0, 1.0, torch.tensor([1.05, 1.15])
    pursuit.course.parts[:], clock, rows = 3, torch.zeros(2, dtype=torch.long), torch.arange(2)
    pursuit.course.run[:] = 2
    whole = pursuit.at(clock, rows)
    pursuit.course.run[:] = 3
    torch.testing.assert_close(pursuit.at(clock, rows) / whole, torch.tensor(shares, dtype=torch.float64))


@pytest.mark.parametrize("beyond", [0.002, 0.05])
def test_the_segment_that_is_halved_is_as_long_as_what_the_margin_says_lies_beyond(beyond: float) -> None:
    """Three times that, so four halvings leave less than a fifth of it."""
    x, y = torch.zeros(1, 3, dtype=torch.float64), torch.zeros(1, dtype=torch.long)
    question = ask(Apart(2.0).eval(), x, y, Budget(Lp(2), 0.0, (-2.0, 2.0)))
    nearest = Nearest(question)
    point = torch.tensor([[1 + beyond, 0.0, 0.0]], dtype=torch.float64)
    size = point.norm(dim=1)
    nearest.keep(torch.tensor([0]), point, size, size > 0, size - 1)
    points = _halve(question, nearest, torch.tensor([True]), torch.zeros(1, dtype=torch.long))
    assert 1 < float(points.norm()) <= 1 + beyond / 5


def _of(result: MinimalResult, rows: Tensor) -> MinimalResult:
    """Some rows of a result."""
    parts = {name: getattr(result, name)[rows] for name in ("points", "norms", "found", "margin")}
    return replace(result, **parts)
