"""Every indicator fires on a model built to trigger it, and stays silent on ordinary ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import maxslope as ms
from maxslope._status import Status
from maxslope.attacks.indicators import Findings, Severity, enough, indicators, indicators_of_values
from maxslope.attacks.question import Question, ask
from maxslope.data import default_data, default_network
from maxslope.energies import Criterion, CrossEntropy, Margin
from maxslope.loop import Steps, Stop, flow
from maxslope.schemes import Cosine, SemiImplicit
from maxslope.sets import Budget

NET, (X, Y) = default_network(), default_data()


class Tally:
    """What an attack found, before it has begun."""

    def __init__(self, task: Question) -> None:
        rows = len(task.x)
        self.best, self.points = torch.full((rows,), torch.inf), task.x.clone()
        self.broken = torch.zeros(rows, dtype=torch.bool)
        self.status, self.unconfirmed, self.backward = torch.zeros(3, rows, dtype=torch.int64)


def attacked(
    model: Callable[[Tensor], Tensor],
    budget: Budget,
    n: int = 32,
    *,
    steps: int = 20,
    criterion: Criterion | None = None,
    data: tuple[Tensor, Tensor] = (X, Y),
) -> tuple[Question, Tally]:
    """One run of steps from the clean point, every sample correctly classified at first, tallied as the pool does."""
    x, y = data[0][:n], data[1][:n]
    model = model.eval() if isinstance(model, nn.Module) else model
    right = model(x).argmax(1) == y
    x, y = x[right], y[right]
    task = ask(model, x, y, budget, targets=None, mask=None, ids=None, seed=0, batch_size=None)
    rows = torch.arange(len(y))
    tally = Tally(task)
    curve = flow(
        task.energy(rows, criterion or Margin()).within(task.domain),
        x,
        scheme=SemiImplicit(Cosine(task.eps.double(), steps), budget.norm),
        until=Steps(steps),
        stop=Stop(reached=True, stationary=True),
    )
    for points, margin in zip(curve.points, curve.margin, strict=True):
        better = margin < tally.best
        tally.best[better], tally.points[better] = margin[better], points[better]
    tally.broken = curve.status == Status.REACHED
    tally.status, tally.backward = curve.status, curve.backward
    return task, tally


def named(task: Question, tally: Tally) -> dict[str, Severity]:
    findings = indicators(task, tally)
    check_costs(task, tally, findings)
    ids = set(task.ids.tolist())
    for one in findings.indicators:
        assert one.sentence.endswith(".")
        assert one.samples
        assert set(one.samples) <= ids
    return {one.name: one.severity for one in findings.indicators}


def check_costs(task: Question, tally: Tally, findings: Findings) -> None:
    assert len(findings.probed) <= 32
    assert int(findings.forward.max()) <= 200
    assert int(findings.backward.max()) <= 100
    assert bool(task.domain.take(findings.probed).contains(findings.points).all())
    assert bool((findings.margins <= tally.best[findings.probed]).all())


class Before(nn.Module):
    """A step of preprocessing before the shipped network."""

    def __init__(self, step: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor] = lambda z: z) -> None:
        super().__init__()
        self.net, self.step, self.after = NET, step, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.net(self.step(x)))


def rounded(x: Tensor) -> Tensor:
    return (x * 7).round() / 7


def straight_through(x: Tensor) -> Tensor:
    return x + (rounded(x) - x).detach()


class WrongGradient(torch.autograd.Function):
    """The identity with a gradient that has nothing to do with it."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g.flip(-1, -2).roll(3, -1) * -1


def small_mlp() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """A small network trained for a moment on half of the shipped images."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(X[:500]), Y[:500]).backward()
        optimizer.step()
    return net.eval().requires_grad_(False), (X[500:], Y[500:])


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 20])
def test_silent_on_the_shipped_network(steps: int) -> None:
    task, tally = attacked(NET, ms.Linf(0.3), 64, steps=steps)
    assert not [name for name, severity in named(task, tally).items() if severity == Severity.WARNING]
    if steps > 1:
        assert named(task, tally) == {}


@pytest.mark.slow
@pytest.mark.parametrize("budget", [ms.Linf(0.05), ms.L2(0.7), ms.L1(4.0)], ids=str)
@pytest.mark.parametrize("criterion", [Margin(), CrossEntropy()], ids=lambda c: type(c).__name__)
def test_silent_on_an_ordinary_network(budget: Budget, criterion: Criterion) -> None:
    net, data = small_mlp()
    task, tally = attacked(net, budget, 48, data=data, criterion=criterion)
    assert named(task, tally) == {}


def test_masked_by_thresholds() -> None:
    """A steep threshold has derivatives that underflow."""
    task, tally = attacked(Before(lambda x: torch.sigmoid(1e4 * (x - 0.5))), ms.Linf(0.45))
    fired = named(task, tally)
    assert fired["vanishing gradients"] == fired["random steps win"] == Severity.WARNING


def test_errors_found_from_outside_the_budget() -> None:
    """In l_2 the shipped network, trained in l_inf, hides its errors behind thresholds from steps inside the ball."""
    task, tally = attacked(NET, ms.L2(2.0), 48)
    findings = indicators(task, tally)
    assert findings.masked
    assert {one.name: one.severity for one in findings.indicators}["outside wins"] == Severity.WARNING
    better = findings.margins < 0
    assert bool(better.any())
    wrong = NET(findings.points[better]).argmax(1) != task.y[findings.probed[better]]
    assert bool(wrong.all())


def test_quantized_input() -> None:
    """Rounding to 8 levels has derivative zero."""
    fired = named(*attacked(Before(rounded), ms.Linf(0.3)))
    assert fired["vanishing gradients"] == Severity.WARNING
    assert fired["random steps win"] == Severity.WARNING


@pytest.mark.slow
def test_quantized_input_with_a_backward_approximation() -> None:
    """A straight-through gradient works, but it is not the derivative, and that is said."""
    task, tally = attacked(Before(straight_through), ms.Linf(0.3))
    fired = named(task, tally)
    assert fired == {"gradient disagrees": Severity.WARNING}
    (one,) = indicators(task, tally).indicators
    assert "quantized" in one.sentence


@pytest.mark.slow
def test_wrong_backward_approximation() -> None:
    task, tally = attacked(Before(WrongGradient.apply), ms.Linf(0.3))
    fired = named(task, tally)
    assert fired["gradient disagrees"] == Severity.WARNING
    assert "quantized" not in indicators(task, tally).indicators[0].sentence


def test_preprocessing_without_a_derivative_raises_and_says_what_to_do() -> None:
    model = Before(lambda x: torch.from_numpy(x.detach().numpy().round(1)))
    with pytest.raises(ValueError, match="gradient-free"):
        attacked(model, ms.Linf(0.3), 4)


@pytest.mark.slow
def test_saturated_loss() -> None:
    scaled = Before(lambda x: x, lambda z: 1000 * z)
    fired = named(*attacked(scaled, ms.Linf(0.3), criterion=CrossEntropy()))
    assert fired["saturated loss"] == Severity.WARNING
    assert "saturated loss" in named(*attacked(scaled, ms.Linf(0.3), criterion=Margin()))
    assert "vanishing gradients" not in fired


def test_random_output() -> None:
    noisy = Before(lambda x: x + 0.05 * torch.randn_like(x))
    with pytest.warns(ms.MaxslopeWarning, match="Randomized"):
        fired = named(*attacked(noisy, ms.Linf(0.1)))
    assert fired["random output"] == Severity.WARNING


def test_errors_that_verification_takes_back() -> None:
    task, tally = attacked(NET, ms.Linf(0.1), 8, steps=2)
    tally.unconfirmed[2] = 1
    (one,) = indicators(task, tally).indicators
    assert (one.name, one.samples) == ("random output", (int(task.ids[2]),))


class Detector(nn.Module):
    """The shipped network with an eleventh class for images with too much gray."""

    def forward(self, x: Tensor) -> Tensor:
        gray = (4 * x * (1 - x)).flatten(1).mean(1, keepdim=True)
        return torch.cat([NET(x), 400 * (gray - 0.35)], 1)


def test_detector() -> None:
    task, tally = attacked(Detector(), ms.Linf(0.3), 64)
    findings = [one for one in indicators(task, tally).indicators if one.name == "unseen class"]
    assert findings
    assert "class 10" in findings[0].sentence


def test_shattered_gradients_leave_a_gap() -> None:
    """A ripple too small to matter for values, and all that a gradient sees."""
    ripple = Before(lambda x: x + 1e-4 * torch.sin(3e6 * x))
    fired = named(*attacked(ripple, ms.Linf(0.3), steps=30))
    assert fired["open gap"] == Severity.WARNING


def test_points_of_other_samples_win() -> None:
    """Random search cannot know a secret pattern that another sample's point carries."""

    class Secret(nn.Module):
        pattern = torch.sign(torch.randn(1, 28, 28, generator=torch.Generator().manual_seed(0)))

        def forward(self, x: Tensor) -> Tensor:
            match = ((x - 0.5).sign() * self.pattern).flatten(1).mean(1)
            z = NET(x).detach() + 0 * x.sum()
            return z - 100 * torch.relu(match - 0.5)[:, None] * nn.functional.one_hot(z.argmax(1), 10)

    x = torch.full((24, 1, 28, 28), 0.5) + 0.1 * (X[:24] - 0.5)
    y = NET(x).argmax(1)
    task = ask(Secret().eval(), x, y, ms.Linf(0.3), targets=None, mask=None, ids=None, seed=0, batch_size=None)
    tally = Tally(task)
    z = task.energy(torch.arange(24), Margin()).look(x)
    tally.best = z.margin.clone()
    tally.broken[:4] = True
    tally.points[:4] = x[:4] + 0.3 * Secret.pattern
    tally.status[:] = int(Status.STATIONARY)
    assert named(task, tally)["transfer wins"] == Severity.WARNING


def test_rows_choose_the_same_probes_in_any_order() -> None:
    task, tally = attacked(NET, ms.Linf(0.1), 24, steps=4)
    back = torch.arange(len(task.x)).flip(0)
    other = ask(
        NET, task.x[back], task.y[back], ms.Linf(0.1), targets=None, mask=None, ids=back, seed=0, batch_size=None
    )
    turned = Tally(other)
    for name in ("best", "points", "broken", "status", "backward"):
        setattr(turned, name, getattr(tally, name)[back])
    a, b = indicators(task, tally), indicators(other, turned)
    order = b.probed.flip(0)
    assert torch.equal(task.ids[a.probed], other.ids[order])
    assert torch.equal(a.margins, b.margins.flip(0))
    assert torch.equal(a.forward, b.forward.flip(0))


def test_without_gradients_only_values_are_asked_for() -> None:
    def plain(x: Tensor) -> Tensor:
        return torch.from_numpy(NET(x).numpy())

    x, y = X[:8], NET(X[:8]).argmax(1)
    task = ask(plain, x, y, ms.Linf(0.1), targets=None, mask=None, ids=None, seed=0, batch_size=None)
    findings = indicators_of_values(task, Tally(task))
    assert findings.indicators == ()
    assert int(findings.backward.sum()) == 0


def test_enough() -> None:
    assert enough(torch.tensor([True]), 0.5)
    assert not enough(torch.tensor([True, False, False]), 0.1)
