"""Smoothed kinks: mean slopes backward, nothing else changed, and each row by itself."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import maxslope as ms
from maxslope.attacks.recipes import Recipe
from maxslope.attacks.rule import Rule
from maxslope.attacks.starts import Uniform
from maxslope.data import default_data, default_network
from maxslope.energies import Energy, Loss, Margin, Network
from maxslope.energies.smoothing import Graduated
from maxslope.evaluation._codec import decode, encode
from maxslope.realize import Grid, Realized
from maxslope.sets import Box
from nets import conv, images

KINKS = {
    "relu": (nn.ReLU(), torch.relu),
    "in place": (nn.ReLU(inplace=True), torch.relu),
    "leaky": (nn.LeakyReLU(0.2), lambda z: nn.functional.leaky_relu(z, 0.2)),
    "relu6": (nn.ReLU6(), nn.functional.relu6),
    "hard tanh": (nn.Hardtanh(-0.5, 0.25), lambda z: z.clamp(-0.5, 0.25)),
}


def layer(kink: nn.Module) -> nn.Module:
    """Two outputs, the first the sum of a function of the inputs, the second zero."""

    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            total = kink(1.0 * x).flatten(1).sum(1)
            return torch.stack([total, torch.zeros_like(total)], 1)

    return Net()


def of(net: nn.Module, rows: int, widths: Tensor | None = None, tile: int | None = None) -> Loss:
    return Loss(Network(net, tile), torch.zeros(rows, dtype=torch.int64), Margin(), widths=widths)


@pytest.mark.parametrize("name", KINKS)
@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.05, 4.0))
def test_the_slope_is_the_mean_of_the_derivative_within_the_width(name: str, seed: int, width: float) -> None:
    module, function = KINKS[name]
    x = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    gradient = of(layer(module), 3, torch.full((3,), width)).evaluate(x).gradient
    s = width * x.flatten(1).square().mean(1).sqrt()[:, None, None]
    torch.testing.assert_close(gradient, (function(x + s) - function(x - s)) / (2 * s), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", KINKS)
def test_a_row_of_width_zero_keeps_its_gradient_to_the_bit(name: str) -> None:
    module, _ = KINKS[name]
    net = nn.Sequential(nn.Linear(6, 32), module, nn.Linear(32, 32), module, nn.Linear(32, 3))
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    x[3] = 0
    plain = of(net, 4, tile=4).evaluate(x)
    mixed = of(net, 4, torch.tensor([0.0, 1.0, 0.0, 0.0]), tile=4).evaluate(x)
    assert torch.equal(plain.gradient[[0, 2, 3]], mixed.gradient[[0, 2, 3]])
    assert not torch.equal(plain.gradient[1], mixed.gradient[1])
    assert torch.equal(plain.value, mixed.value)
    assert torch.equal(plain.margin, mixed.margin)


def test_a_row_does_not_hang_on_its_company() -> None:
    net, x = conv().eval(), images(5)
    widths = torch.tensor([0.5, 0.0, 2.0, 1.0, 0.0])
    together = of(net, 5, widths, tile=4).evaluate(x)
    for k in range(5):
        one = torch.tensor([k])
        alone = of(net, 5, widths, tile=4).take(one).evaluate(x[one])
        assert torch.equal(alone.gradient[0], together.gradient[k])


def test_it_counts_as_the_passes_that_it_is() -> None:
    loss = of(conv().eval(), 6, torch.ones(6), tile=4)
    loss.evaluate(images(6))
    assert isinstance(loss.model, Network)
    assert loss.model.executed.passes() == (8, 8)


def test_values_alone_are_not_touched() -> None:
    net, x = conv().eval(), images(3)
    assert torch.equal(of(net, 3, torch.ones(3)).look(x).value, of(net, 3).look(x).value)


def test_what_has_other_rows_than_the_points_keeps_its_derivatives() -> None:
    class Tokens(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            parts = torch.relu(x.reshape(-1, 2))  # three of each row
            total = parts.reshape(len(x), -1).sum(1)
            return torch.stack([total, torch.zeros_like(total)], 1)

    x = torch.tensor([[3.0, -1.0, 2.0, -2.0, 1.0, -3.0], [-1.0, 2.0, -1.0, 2.0, -1.0, 2.0]])
    assert torch.equal(of(Tokens(), 2, torch.ones(2)).evaluate(x).gradient, (x > 0).float())


def test_a_checkpointed_part_keeps_its_derivatives() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part, self.last = nn.Sequential(nn.Linear(6, 16), nn.ReLU()), nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(checkpoint(self.part, x, use_reentrant=False))

    torch.manual_seed(0)
    net, x = Net().eval(), torch.randn(4, 6)
    assert torch.equal(of(net, 4, torch.ones(4)).evaluate(x).gradient, of(net, 4).evaluate(x).gradient)


def test_a_scripted_model_keeps_its_derivatives() -> None:
    net, x = torch.jit.trace(conv().eval(), images(4)), images(4)
    assert torch.equal(of(net, 4, torch.ones(4)).evaluate(x).gradient, of(net, 4).evaluate(x).gradient)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_large_numbers_of_half_precision_stay_finite(dtype: torch.dtype) -> None:
    x = torch.tensor([[3e4, -3e4, 1e4]]).to(dtype)
    assert bool(of(layer(nn.ReLU()), 1, torch.ones(1)).evaluate(x).gradient.isfinite().all())


def test_the_width_falls_to_zero_at_four_fifths_of_the_steps() -> None:
    class Seen(Energy):
        widths: Tensor

        def evaluate(self, x: Tensor) -> None: ...  # type: ignore[override]

        def look(self, x: Tensor) -> None: ...  # type: ignore[override]

        def take(self, index: Tensor) -> Seen:
            return self

        def smoothed(self, widths: Tensor) -> Seen:
            self.widths = widths
            return self

    seen, clock = Seen(), torch.tensor([0, 4, 8, 10, 4])
    first, steps = torch.tensor([2.0, 2.0, 2.0, 2.0, 0.0]), torch.full((5,), 10)
    Graduated(seen, first, steps).after(clock)
    torch.testing.assert_close(seen.widths, torch.tensor([2.0, 1.0, 0.0, 0.0, 0.0]), check_dtype=False)
    Graduated(seen, first, steps).take(torch.tensor([1])).after(clock[[1]])
    torch.testing.assert_close(seen.widths, torch.tensor([1.0]), check_dtype=False)


def test_realized_points_and_rows_taken_keep_their_widths() -> None:
    x = torch.tensor([[0.5, 0.25], [0.25, 0.5]])
    net = layer(nn.Sequential(nn.Hardtanh(0.4, 1.0)))
    loss = Loss(net, torch.zeros(2, dtype=torch.int64), Margin())
    domain = Box(torch.zeros(2, 2), torch.ones(2, 2))
    realized = Realized(loss, Grid(5).within((0.0, 1.0), (2,)), domain, x)
    wide = realized.smoothed(torch.ones(2))
    assert torch.equal(wide.evaluate(x).gradient, loss.smoothed(torch.ones(2)).evaluate(x).gradient)
    assert torch.equal(wide.take(torch.tensor([1])).evaluate(x[1:]).gradient, wide.evaluate(x).gradient[1:])


def bumpy() -> nn.Module:
    """Margin 1 - x with a bump between 0.3 and 0.5: plain descents with short steps end at 0.3, far from x = 1."""

    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            z = torch.cat([x - 0.3, x - 0.4, x - 0.5], 1)
            bump = torch.relu(z) @ torch.tensor([4.0, -8.0, 4.0])
            margin = 0.5 - x[:, 0] + bump
            return torch.stack([margin, torch.zeros_like(margin)], 1)

    return Net().eval()


def test_a_smoothed_run_crosses_a_bump_that_holds_a_plain_one() -> None:
    x, y = torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64)
    plain = Recipe("plain", 40, 0.05, criterion=Margin())
    ask = {"model": bumpy(), "x": x, "y": y, "budget": ms.Linf(1.0, box=(0.0, 1.0))}
    assert not bool(ms.attack(**ask, recipe=plain).broken)
    assert bool(ms.attack(**ask, recipe=replace(plain, smoothing=2.0)).broken)


@pytest.mark.parametrize("smoothing", [-0.1, float("nan"), float("inf")])
def test_a_width_is_finite_and_not_negative(smoothing: float) -> None:
    with pytest.raises(ValueError, match=r"Kinks are smoothed by a finite width of at least 0, got smoothing="):
        Recipe("run", 5, 0.1, smoothing=smoothing)


def test_a_run_without_smoothing_is_stored_as_before() -> None:
    plain = ms.Effort([Recipe("run", 5, 0.1)])
    assert "smoothing" not in str(encode(plain))
    wide = ms.Effort([Recipe("run", 5, 0.1, smoothing=0.5)])
    assert decode(encode(wide)) == wide
    assert decode(encode(plain)) == plain


def test_a_network_knows_whether_kinks_were_met() -> None:
    """Where there are none, runs that ask for smoothing are plain ones, and are compared with plain ones."""
    x = torch.rand(4, 6, generator=torch.Generator().manual_seed(2))
    for module, kinked in ((nn.ReLU(), True), (nn.SiLU(), False)):
        loss = of(nn.Sequential(nn.Linear(6, 8), module, nn.Linear(8, 2)).eval(), 4)
        assert isinstance(loss.model, Network)
        loss.evaluate(x)
        assert not loss.model.executed.kinks
        loss.smoothed(torch.ones(4)).evaluate(x)
        assert loss.model.executed.kinks is kinked


def test_a_network_without_kinks_gives_what_plain_runs_give() -> None:
    net, x = nn.Sequential(nn.Linear(6, 16), nn.SiLU(), nn.Linear(16, 3)).eval(), torch.rand(24, 6)
    y, run = net(x).argmax(1), Recipe("run", 6, 0.5, 0.0, start=Uniform())
    plain, asked = (ms.Effort((run, replace(run, smoothing=s), run, run, run), rule=Rule(3e-3)) for s in (0.0, 1.0))
    found, other = (ms.attack(net, x, y, ms.Linf(0.1), effort=effort) for effort in (plain, asked))
    for name in ("points", "chance", "runs", "backward"):
        assert torch.equal(getattr(found, name), getattr(other, name)), name


class Within(nn.Module):
    """A model that differentiates a part of itself on the way, by autograd or by torch.func."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.part, self.how = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), how

    def forward(self, x: Tensor) -> Tensor:
        def energy(z: Tensor) -> Tensor:
            return self.part(z).logsumexp(1).sum()

        if self.how == "func":
            return self.part(x - 0.5 * torch.func.grad(energy)(x))
        if self.how == "forward mode":
            return self.part(x - 0.5 * torch.func.jvp(self.part, (x,), (torch.ones_like(x),))[1].sum(1, keepdim=True))
        with torch.enable_grad():
            z = x if x.requires_grad else x.detach().requires_grad_()
            (g,) = torch.autograd.grad(energy(z), z, create_graph=True)
        return self.part(x - 0.5 * g)


@pytest.mark.parametrize("how", ["autograd", "func", "forward mode"])
def test_a_model_that_differentiates_itself_keeps_its_values(how: str) -> None:
    torch.manual_seed(3)
    net, x = Within(how).eval().requires_grad_(False), torch.rand(8, 6)
    plain, wide = (of(net, 8, widths).evaluate(x) for widths in (None, torch.ones(8)))
    assert torch.equal(plain.value, wide.value)
    assert not torch.equal(plain.gradient, wide.gradient)
    found = ms.attack(net, x, net(x).argmax(1), ms.Linf(0.1), effort=ms.Effort.quick())
    outputs = net(found.points)
    best = outputs.gather(1, net(x).argmax(1)[:, None]).squeeze(1)
    other = outputs.scatter(1, net(x).argmax(1)[:, None], -torch.inf).amax(1)
    torch.testing.assert_close(found.margin, (best - other).detach(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("far", [-torch.inf, 1e30, -1e30])
def test_infinite_and_huge_values_before_a_kink_leave_gradients_finite(far: float) -> None:
    class Masked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            z = torch.cat([x, torch.full_like(x, far)], 1)
            return torch.relu(z)[:, :2].clamp_max(1e3)

    gradient = of(Masked(), 3, torch.ones(3)).evaluate(torch.rand(3, 4) - 0.5).gradient
    assert bool(gradient.isfinite().all())


def test_a_tiny_signal_is_smoothed_like_any_other() -> None:
    x = torch.tensor([[1.0, -0.5, 0.25]])
    small, one = (of(layer(nn.ReLU()), 1, torch.ones(1)).evaluate(scale * x).gradient for scale in (1e-30, 1.0))
    torch.testing.assert_close(small, one)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_leaky_slopes_of_width_zero_are_those_of_every_dtype(dtype: torch.dtype) -> None:
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(5)).to(dtype)
    net = nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(0.1), nn.Linear(8, 2)).to(dtype).eval()
    plain = of(net, 4, tile=4).evaluate(x)
    mixed = of(net, 4, torch.tensor([0.0, 1.0, 0.0, 0.0]), tile=4).evaluate(x)
    assert torch.equal(plain.gradient[[0, 2, 3]], mixed.gradient[[0, 2, 3]])


def test_what_is_no_plain_tensor_is_left_alone() -> None:
    class Own(torch.Tensor):
        pass

    x = torch.rand(4, 6) - 0.5
    for change in (lambda z: z.as_subclass(Own), lambda z: z.to_sparse()):

        class Net(nn.Module):
            def __init__(self, change: object) -> None:
                super().__init__()
                self.change = change

            def forward(self, x: Tensor) -> Tensor:
                z = torch.relu(self.change(1.0 * x))
                z = z.to_dense() if z.is_sparse else z.as_subclass(Tensor)
                return z[:, :2]

        net = Net(change)
        assert torch.equal(of(net, 4, torch.ones(4)).evaluate(x).gradient, of(net, 4).evaluate(x).gradient)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize("kink", [nn.ReLU(True), nn.LeakyReLU(0.1, True), nn.ReLU()], ids=["relu_", "leaky_", "relu"])
def test_a_compiled_model_has_the_values_and_gradients_of_its_own(kink: nn.Module) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), kink, nn.Linear(8, 8), kink, nn.Linear(8, 3)).eval()
    x, widths = torch.rand(4, 6), torch.tensor([1.0, 0.0, 0.5, 2.0])
    eager, compiled = (of(one, 4, widths).evaluate(x) for one in (net, torch.compile(net, backend="aot_eager")))
    torch.testing.assert_close(compiled.value, eager.value)
    if not isinstance(kink, nn.LeakyReLU):  # compiled in place, it keeps its derivatives
        torch.testing.assert_close(compiled.gradient, eager.gradient)


def test_half_of_the_runs_but_no_jumps_smooth_kinks() -> None:
    """The first run is a plain one; every kind of the later rounds is made both ways."""
    for effort in (ms.Effort.quick(), ms.Effort.standard(), ms.Effort.exhaustive()):
        alone = [run for run in effort.runs if not run.start.looks_back]
        smoothed = [run for run in alone if run.smoothing]
        assert alone[0].smoothing == 0
        assert 2 * len(smoothed) == len(alone)
        assert not any(run.smoothing for run in effort.runs if run.start.looks_back)
    later = [run for run in ms.Effort.standard().runs if not run.start.looks_back][10:]
    smoothed, plain = (
        {replace(r, smoothing=0.0, name="") for r in later if (r.smoothing > 0) is s} for s in (True, False)
    )
    assert smoothed == plain


@pytest.mark.slow
def test_smoothed_runs_break_what_masked_gradients_hide() -> None:
    """The shipped network in l_2: of 24 images the first six runs break most, and few if none of them smooths kinks."""
    model, (x, y) = default_network(), default_data()
    first = ms.Effort.standard().runs[:6]
    wide, plain = (
        ms.attack(model, x[:24], y[:24], ms.L2(2.0), effort=ms.Effort(runs, rule=Rule(0.0)), certify=False)
        for runs in (first, tuple(replace(run, smoothing=0.0) for run in first))
    )
    assert int(wide.broken.sum()) >= 2 * int(plain.broken.sum()) > 0


def test_an_infinite_gradient_behind_a_closed_kink_stays_zero_in_any_company() -> None:
    """The root of a closed ReLU: autograd makes 0 of its infinite gradient, and so do rows of width 0."""

    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x).sqrt()

    x = torch.tensor([[-1.0, 4.0], [1.0, 4.0]])
    mixed = of(Root(), 2, torch.tensor([0.0, 1.0])).evaluate(x).gradient
    assert torch.equal(mixed[0], of(Root(), 2).evaluate(x).gradient[0])
    assert bool(mixed.isfinite().all())


def test_what_is_changed_in_place_is_changed_for_whoever_holds_it() -> None:
    class Aliased(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            z = 2.0 * x
            nn.functional.relu(z, inplace=True)
            return z

    x = torch.tensor([[-1.0, 0.5], [0.25, -2.0]])
    wide, plain = (of(Aliased(), 2, widths).evaluate(x) for widths in (torch.ones(2), None))
    assert torch.equal(wide.value, plain.value)
    assert not torch.equal(wide.gradient, plain.gradient)
