"""Energies against their laws: gradients, separate rows, exact counts, a model left as it was."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from maxslope import _random
from maxslope.energies import (
    Average,
    Constrained,
    CrossEntropy,
    Energy,
    Function,
    Linear,
    LogitsRatio,
    Loss,
    Margin,
    Network,
    PerRow,
    ProbabilityMargin,
    Quadratic,
    Sum,
    TargetedLoss,
)
from maxslope.energies.classifier import Divergence
from maxslope.goals import Misclassified
from maxslope.sets import Box, Linf
from nets import Counting, conv, images, mlp

SHAPE = (2, 3)
CRITERIA = [CrossEntropy(), Margin(), ProbabilityMargin(), LogitsRatio(), LogitsRatio(targeted=True)]


def points(rows: int = 5, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(rows, *SHAPE, generator=g, dtype=torch.float64)


def symmetric(d: int) -> Tensor:
    a = torch.randn(d, d, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return a + a.T


def shaken(x: Tensor, key: Tensor) -> Tensor:
    """A random transform: scaled and shifted, by the keys alone."""
    scale = 0.7 + 0.6 * _random.uniform(key, (1,)).to(x)
    return x * scale[..., None] + 0.1 * _random.normal(key, x.shape[1:], offset=1).to(x)


def energies(rows: int = 5) -> dict[str, Energy]:
    """One of every kind, for points [rows, 2, 3]."""
    net, y = mlp(), torch.arange(rows) % 4
    every = {f"Loss {c}": Loss(net, y, c) for c in CRITERIA}
    targeted = {f"TargetedLoss {c}": TargetedLoss(net, y, c) for c in CRITERIA}
    rivals = torch.tensor([1, -1, 3, -1, 2] * rows)[:rows]
    c = torch.randn(rows, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    loss = Loss(net, y, Margin())
    return (
        every
        | targeted
        | {
            "Loss with rivals": Loss(net, y, Margin(), rivals),
            "Loss in tiles": Loss(Network(net, tile=3), y, Margin(), rivals),
            "PerRow": Loss(net, y, PerRow(CRITERIA, torch.arange(rows) % len(CRITERIA)), rivals),
            "TargetedLoss PerRow": TargetedLoss(net, y, PerRow(CRITERIA, (torch.arange(rows) + 1) % len(CRITERIA))),
            "Sum": Sum([loss, Linear(c), Quadratic(symmetric(6))], [1.0, -0.5, 2.0]),
            "Average": Average(loss, lambda x, key: x + 0.05 * torch.tanh(x), draws=3),
            "Linear": Linear(c),
            "Linear, one for all": Linear(c[:1]),
            "Quadratic": Quadratic(symmetric(6)),
            "Function": Function(lambda x: x.pow(3).sum((1, 2)) + x[:, 0, 0].sin()),
            "Constrained": loss.within(Linf(10.0, box=None).around(points(rows))),
        }
    )


EVERY = pytest.mark.parametrize("name", energies())


def central(value: Callable[[Tensor], Tensor], x: Tensor, h: float = 1e-5) -> Tensor:
    """Central differences of [rows] -> [rows], coordinate by coordinate."""
    flat = x.reshape(x.shape[0], -1)
    out = torch.empty_like(flat)
    for i in range(flat.shape[1]):
        e = torch.zeros_like(flat)
        e[:, i] = h
        out[:, i] = (value((flat + e).reshape(x.shape)) - value((flat - e).reshape(x.shape))) / (2 * h)
    return out.reshape(x.shape)


@EVERY
def test_gradient_is_that_of_the_value(name: str) -> None:
    energy, x = energies()[name], points()
    e = energy.evaluate(x)
    assert e.gradient.shape == x.shape
    torch.testing.assert_close(e.gradient, central(lambda z: energy.look(z).value, x), atol=2e-8, rtol=1e-6)
    assert float(e.gradient.abs().amax()) > 1e-2


def test_gradient_of_an_average_over_random_transforms() -> None:
    """The draws hang on the point, so they are held fast: the gradient is the mean of grad E_0(T_j x) through T_j."""
    base, x, draws = Loss(mlp(), torch.arange(5) % 4, Margin()), points(), 4
    seen: list[Tensor] = []

    def watched(z: Tensor, key: Tensor) -> Tensor:
        seen.append(key)
        return shaken(z, key)

    e = Average(base, watched, draws, seed=7).evaluate(x)
    keys = list(seen)
    assert len(keys) == draws
    assert len(torch.stack(keys).unique()) == 5 * draws

    def mean(z: Tensor) -> Tensor:
        return torch.stack([base.look(shaken(z, key)).value for key in keys]).mean(0)

    torch.testing.assert_close(e.value, mean(x))
    torch.testing.assert_close(e.gradient, central(mean, x), atol=1e-8, rtol=1e-6)


def test_an_average_is_a_function_of_the_point_and_the_seed() -> None:
    base, x = Loss(mlp(), torch.arange(5) % 4), points()
    energy = Average(base, shaken, 3)
    first = energy.evaluate(x)
    assert torch.equal(first.value, energy.look(x).value)
    assert not torch.equal(first.value, Average(base, shaken, 3, seed=1).look(x).value)
    alone = energy.take(torch.tensor([3])).evaluate(x[3:4])
    torch.testing.assert_close(alone.value, first.value[3:4], rtol=1e-14, atol=0)
    torch.testing.assert_close(alone.gradient, first.gradient[3:4], rtol=1e-13, atol=1e-15)


def test_an_average_draws_from_the_distribution_it_says() -> None:
    """E over a uniform scale s in [0.7, 1.3] of <c, s x> is <c, x>; over 4,000 draws within five standard errors."""
    x = torch.ones(1, 2, 1, dtype=torch.float64)
    energy = Average(Linear(torch.ones_like(x)), shaken, 4000)
    deviation = math.sqrt(2 * 2 * 0.6**2 / 12 + 2 * 0.1**2)
    assert abs(float(energy.look(x).value) - 2.0) < 5 * deviation / math.sqrt(4000)


def test_an_average_reaches_its_goal_by_majority() -> None:
    """A model whose answer hangs on the sign of the input, moved by +1, +1 and -3: two draws of three see the sign."""
    moves = iter(torch.tensor([1.0, 1.0, -3.0] * 2))
    base = Loss(lambda x: torch.cat([-x, x], 1), torch.tensor([0, 0]))
    e = Average(base, lambda x, key: x + next(moves), 3).evaluate(torch.tensor([[0.5], [-2.0]]))
    assert e.reached.tolist() == [True, False]


def test_an_average_over_a_random_model() -> None:
    """The identity as a transform: no copy, every draw asks the model anew."""
    net = Counting(mlp())
    x = Counting.number(points())
    energy = Average(Loss(net, torch.arange(5) % 4), lambda z, key: z, 4)
    plain = Loss(mlp(), torch.arange(5) % 4).evaluate(x)
    e = energy.evaluate(x)
    torch.testing.assert_close(e.gradient, plain.gradient)
    assert energy.passes == 4
    assert net.forward == dict.fromkeys(range(5), 4) == net.backward


@EVERY
def test_look_sees_what_evaluate_sees(name: str) -> None:
    energy, x = energies()[name], points()
    seen, full = energy.look(x), energy.evaluate(x)
    for a, b in ((seen.value, full.value), (seen.margin, full.margin), (seen.reached, full.reached)):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-15)
        assert a.shape == (5,)
        assert not a.requires_grad
    assert seen.gradient.numel() == 0
    assert not full.gradient.requires_grad
    assert not full.value.requires_grad


@EVERY
@pytest.mark.parametrize("index", [[3], [4, 0, 2], [1, 0, 4, 3, 2]])
def test_rows_are_separate(name: str, index: list[int]) -> None:
    """Some rows alone, or in another order, with take(): the same numbers."""
    energy, x, at = energies()[name], points(), torch.tensor(index)
    whole, part = energy.evaluate(x), energy.take(at).evaluate(x[at])
    for a, b in zip(part, whole, strict=True):
        torch.testing.assert_close(a, b[at], rtol=1e-12, atol=1e-14)


@EVERY
def test_a_bad_row_spoils_no_other(name: str) -> None:
    energy, x = energies()[name], points()
    bad = x.clone()
    bad[2] = math.nan
    keep = torch.tensor([0, 1, 3, 4])
    for a, b in zip(energy.evaluate(bad), energy.evaluate(x), strict=True):
        torch.testing.assert_close(a[keep], b[keep], rtol=1e-12, atol=1e-14)


@EVERY
def test_no_point_is_changed_and_autograd_may_be_off(name: str) -> None:
    energy, x = energies()[name], points()
    before, e = x.clone(), energy.evaluate(x)
    with torch.no_grad():
        off = energy.evaluate(x)
    torch.testing.assert_close(off.gradient, e.gradient, rtol=0, atol=0)
    assert torch.equal(x, before)
    assert not x.requires_grad
    asked = x.clone().requires_grad_(True)
    torch.testing.assert_close(energy.evaluate(asked).gradient, e.gradient, rtol=0, atol=0)
    assert asked.grad is None


# --- values against formulas written down again ----------------------------------------------------------------------


def by_hand(z: list[float], y: int, rival: int) -> dict[str, float]:
    """Every criterion of one row of logits, in plain Python."""
    total = sum(math.exp(v) for v in z)
    s = sorted(z, reverse=True)
    raised = z[rival] - z[y]
    return {
        "CrossEntropy()": math.log(total) - z[y],
        "Margin()": raised,
        "ProbabilityMargin()": (math.exp(z[rival]) - math.exp(z[y])) / total,
        "LogitsRatio(targeted=False)": raised / (s[0] - s[2]),
        "LogitsRatio(targeted=True)": raised / (s[0] - (s[2] + s[3]) / 2),
    }


ROWS = [[0.3, -1.2, 2.0, 0.9], [4.0, 1.0, 0.5, -3.0], [-1.0, -2.0, -0.5, -0.25]]


@pytest.mark.parametrize("criterion", CRITERIA, ids=str)
def test_criteria_are_their_formulas(criterion: object) -> None:
    logits, y = torch.tensor(ROWS, dtype=torch.float64), torch.tensor([2, 1, 0])
    rivals = [3, 0, 3]  # by eye: the largest logit among the others
    want = [by_hand(z, int(t), r)[str(criterion)] for z, t, r in zip(ROWS, y, rivals, strict=True)]
    energy = Loss(lambda x: x, y, criterion)
    e = energy.look(logits)
    torch.testing.assert_close(e.value, -torch.tensor(want, dtype=torch.float64))
    margins = [2.0 - 0.9, 1.0 - 4.0, -1.0 - -0.25]
    torch.testing.assert_close(e.margin, torch.tensor(margins, dtype=torch.float64))
    assert e.reached.tolist() == [False, True, True]
    aimed = TargetedLoss(lambda x: x, y, criterion).look(logits)
    torch.testing.assert_close(aimed.value, torch.tensor(want, dtype=torch.float64))
    torch.testing.assert_close(aimed.margin, -torch.tensor(margins, dtype=torch.float64))
    assert aimed.reached.tolist() == [True, False, False]


def test_fixed_rivals_raise_their_class_and_leave_the_margin_alone() -> None:
    logits, y = torch.tensor(ROWS, dtype=torch.float64), torch.tensor([2, 1, 0])
    e = Loss(lambda x: x, y, Margin(), torch.tensor([0, -1, 1])).look(logits)
    torch.testing.assert_close(e.value, torch.tensor([1.7, -3.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(e.margin, torch.tensor([1.1, -3.0, -0.75], dtype=torch.float64))


def test_each_row_has_its_own_criterion() -> None:
    logits, y = torch.tensor(ROWS, dtype=torch.float64), torch.tensor([2, 1, 0])
    choice = torch.tensor([4, 0, 2])
    e = Loss(lambda x: x, y, PerRow(CRITERIA, choice)).look(logits)
    one_by_one = [-by_hand(ROWS[i], int(y[i]), r)[str(CRITERIA[int(choice[i])])] for i, r in enumerate([3, 0, 3])]
    torch.testing.assert_close(e.value, torch.tensor(one_by_one, dtype=torch.float64))


@pytest.mark.parametrize(("targeted", "needed"), [(False, 3), (True, 4)])
def test_the_ratio_of_logits_says_how_many_classes_it_needs(targeted: bool, needed: int) -> None:
    energy = Loss(mlp(classes=needed - 1), torch.tensor([0, 1]), LogitsRatio(targeted))
    with pytest.raises(ValueError, match=rf"at least {needed} classes, the model has {needed - 1}; use Margin"):
        energy.evaluate(points(2))
    assert Loss(mlp(classes=needed), torch.tensor([0, 1]), LogitsRatio(targeted)).look(points(2)).value.isfinite().all()


@pytest.mark.parametrize("out", [(1,), ()], ids=["[rows, 1]", "[rows]"])
def test_binary_models_with_one_output(out: tuple[int, ...]) -> None:
    """One output z is the two logits (0, z): cross-entropy is softplus(-z) for label 1 and softplus(z) for label 0."""
    net = mlp(classes=1)
    x, y = points(), torch.tensor([0, 1, 0, 1, 1])
    z = net(x).detach().squeeze(1)
    sign = 2.0 * y - 1
    model = lambda p: net(p).reshape(p.shape[0], *out)  # noqa: E731
    e = Loss(model, y).evaluate(x)
    torch.testing.assert_close(e.value, -nn.functional.softplus(-sign * z))
    torch.testing.assert_close(e.margin, sign * z)
    assert torch.equal(e.reached, sign * z < 0)
    torch.testing.assert_close(e.gradient, central(lambda p: Loss(model, y).look(p).value, x), atol=1e-8, rtol=1e-6)
    with pytest.raises(ValueError, match="2 classes"):
        Misclassified().check(model(x), torch.tensor([0, 1, 2, 0, 0]))


@pytest.mark.parametrize(
    ("classes", "criterion"), [(n, c) for n in (2, 3, 10, 1000) for c in CRITERIA[: 3 if n == 2 else 4]], ids=str
)
def test_any_number_of_classes(classes: int, criterion: object) -> None:
    net, x = mlp(classes=classes), points()
    y = torch.tensor([0, classes - 1, classes // 2, 1, 0])
    e = Loss(net, y, criterion).evaluate(x)
    torch.testing.assert_close(
        e.gradient, central(lambda p: Loss(net, y, criterion).look(p).value, x), atol=1e-7, rtol=1e-6
    )
    logits = net(x).detach()
    for i in range(5):
        others = [float(v) for j, v in enumerate(logits[i]) if j != int(y[i])]
        assert float(e.margin[i]) == pytest.approx(float(logits[i, y[i]]) - max(others), rel=1e-12)


def test_infinite_logits_of_a_model_are_no_margin_of_a_rival() -> None:
    """A model that masks classes by -inf still has a strongest rival."""
    logits = torch.tensor([[1.0, -math.inf, 0.5]], dtype=torch.float64)
    assert float(Loss(lambda x: logits, torch.tensor([0]), Margin()).look(torch.zeros(1, 2)).margin) == 0.5


# --- counts, tiles, and the caller's model ---------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [None, 1, 2, 4, 7])
def test_pass_counts_are_exact(tile: int | None) -> None:
    """Every row goes forward once and back once; calls have exactly the size of a tile."""
    counting = Counting(mlp())
    x, y = Counting.number(points()), torch.arange(5) % 4
    energy = Loss(Network(counting, tile), y, PerRow(CRITERIA, y))
    assert energy.passes == 1
    energy.evaluate(x)
    assert counting.forward == counting.backward == dict.fromkeys(range(5), 1)
    assert counting.sizes == {5 if tile is None else tile}
    energy.look(x)
    assert counting.forward == dict.fromkeys(range(5), 2)
    assert counting.backward == dict.fromkeys(range(5), 1)
    Network(counting, tile).all_outputs(x)
    assert counting.forward == dict.fromkeys(range(5), 3)
    assert counting.sizes == {5 if tile is None else tile}


def test_passes_of_sums_and_averages_add_up() -> None:
    counting = Counting(mlp())
    x, y = Counting.number(points()), torch.arange(5) % 4
    loss = Loss(counting, y)
    energy = Sum([Average(loss, lambda z, key: z * 1.0, 3), TargetedLoss(counting, y)], [0.5, 1.0])
    energy.evaluate(x)
    assert energy.passes == 4
    assert energy.within(Linf(0.1).around(x)).passes == 4
    assert counting.forward == counting.backward == dict.fromkeys(range(5), 4)
    assert [e.passes for e in (Linear(x), Quadratic(torch.eye(6)), Function(lambda z: z.sum((1, 2))))] == [1, 1, 1]


@pytest.mark.parametrize("tile", [4, 16])
def test_a_tile_gives_a_row_the_same_bits_in_any_company(tile: int) -> None:
    """float32 convolutions: alone, padded, among others, at another place: logits and gradients are bit-equal."""
    net, x = conv(), images(40)
    y = torch.arange(40) % 5
    energy = Loss(Network(net, tile), y, PerRow(CRITERIA, torch.arange(40) % 5))
    whole, logits = energy.evaluate(x), Network(net, tile).all_outputs(x)
    g = torch.Generator().manual_seed(0)
    for count in (1, 1, 3, 7, 23, 40):
        at = torch.randperm(40, generator=g)[:count]
        part = energy.take(at).evaluate(x[at])
        assert torch.equal(Network(net, tile).all_outputs(x[at]), logits[at])
        for a, b in zip(part, whole, strict=True):
            assert torch.equal(a, b[at])


def test_the_model_stays_as_it_was() -> None:
    net, x, y = conv(), images(6), torch.arange(6) % 5
    frozen = next(net.parameters()).requires_grad_(False)
    net[1].train()  # mode is the caller's: energies neither switch nor restore it
    state = {k: v.clone() for k, v in net.state_dict().items()}
    modes = [m.training for m in net.modules()]
    net[1].momentum = 0.0
    Loss(net, y).evaluate(x)
    TargetedLoss(Network(net, 4), y).evaluate(x)
    Loss(net, y).look(x)
    assert [m.training for m in net.modules()] == modes
    assert all(p.grad is None for p in net.parameters())
    assert [p.requires_grad for p in net.parameters()] == [p is not frozen for p in net.parameters()]
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in net.modules())
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items() if "num_batches" not in k)


def test_gradients_that_a_user_has_collected_stay() -> None:
    net, x, y = conv(), images(6), torch.arange(6) % 5
    net(x).sum().backward()
    before = [p.grad.clone() for p in net.parameters()]
    Loss(net, y).evaluate(x)
    assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), before, strict=True))


def test_hooks_of_the_user_keep_working() -> None:
    net, x, y = conv(), images(6), torch.arange(6) % 5
    calls: list[int] = []
    net[5].register_forward_hook(lambda module, inputs, out: calls.append(out.shape[0]))
    Loss(net, y).evaluate(x)
    assert calls == [6]
    assert len(net[5]._forward_hooks) == 1


# --- Constrained -----------------------------------------------------------------------------------------------------


def test_a_constrained_energy_is_infinite_outside_and_itself_inside() -> None:
    lo = torch.zeros(1, *SHAPE, dtype=torch.float64)
    plain = Linear(torch.ones(5, *SHAPE, dtype=torch.float64))
    energy, x = plain.within(Box(lo, lo + 1)), points()
    assert isinstance(energy, Constrained)
    out = x.clone()
    out[1, 0, 0], out[3, 1, 2] = 1.001, -1e-6
    for e in (energy.evaluate(out), energy.look(out)):
        assert e.value.isinf().tolist() == [False, True, False, True, False]
        assert bool((e.value[1::2] > 0).all())
        torch.testing.assert_close(e.value[::2], x[::2].sum((1, 2)))
    at = torch.tensor([3, 0])
    assert energy.take(at).look(out[at]).value.isinf().tolist() == [True, False]


def test_rounding_leaves_no_point_outside() -> None:
    """A projection onto a float32 l_2 ball is inside, to the constrained energy."""
    from maxslope.sets import L2

    x = images(50)
    domain = L2(1.0).around(x)
    z = domain.project(x + torch.randn(x.shape, generator=torch.Generator().manual_seed(0)))
    assert Linear(x).within(domain).look(z).value.isfinite().all()


# --- misuse ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "matrix", [torch.ones(2, 3), torch.ones(3), torch.ones(1, 3), torch.tensor([[1.0, 2.0], [0.0, 1.0]])]
)
def test_a_quadratic_needs_a_symmetric_matrix(matrix: Tensor) -> None:
    with pytest.raises(ValueError, match=r"needs a symmetric matrix \[d, d\], got shape .*use \(A \+ A.T\) / 2"):
        Quadratic(matrix)


def test_sums_and_averages_need_terms() -> None:
    one = Linear(torch.ones(1, 2))
    for terms, weights in (([], []), ([one], [1.0, 2.0])):
        with pytest.raises(ValueError, match=rf"one weight per term.*got {len(terms)} terms, {len(weights)} weights"):
            Sum(terms, weights)
    with pytest.raises(ValueError, match="at least one draw, got draws=0"):
        Average(one, shaken, 0)


def test_an_energy_is_constrained_once() -> None:
    box = Box(torch.zeros(1, 2), torch.ones(1, 2))
    with pytest.raises(ValueError, match="one set, got a second one; intersect"):
        Linear(torch.ones(1, 2)).within(box).within(box)


def test_a_divergence_calls_its_network_in_tiles() -> None:
    """The last bit of a row does not depend on its company, as for every energy of logits."""
    net, x = conv(), images(5)
    seen: list[int] = []
    network = Network(lambda z: (seen.append(z.shape[0]), net(z))[1], 3)
    energy = Divergence(network, net(x.flip(0)).detach())
    e = energy.evaluate(x)
    assert seen == [3, 3]
    alone = energy.take(torch.tensor([4])).evaluate(x[4:])
    assert torch.equal(alone.value, e.value[4:])
    assert torch.equal(alone.gradient, e.gradient[4:])
    assert not bool(e.reached.any())


def test_a_function_returns_one_number_per_row() -> None:
    for f in (lambda x: x, lambda x: x.sum()):
        for ask in (Function(f).evaluate, Function(f).look):
            with pytest.raises(ValueError, match=r"one number per row, shape \[5\].*sum over the other axes"):
                ask(points())


@pytest.mark.parametrize("kind", ["function", "loss"])
def test_an_energy_that_is_cut_from_its_point_says_so(kind: str) -> None:
    cut = mlp()
    energy: Energy
    if kind == "loss":
        energy = Loss(lambda x: cut(x.detach()).detach(), torch.arange(5) % 4)
    else:
        energy = Function(lambda x: x.detach().sum((1, 2)))
    with pytest.raises(ValueError, match=r"does not depend differentiably on .*\(a detach.*Remove the break"):
        energy.evaluate(points())


@pytest.mark.parametrize("kind", ["function", "loss"])
def test_an_energy_that_ignores_its_point_is_flat(kind: str) -> None:
    """A weight that requires a gradient lets autograd run, though not to the point: the gradient is zero."""
    weight = torch.ones(4, dtype=torch.float64, requires_grad=True)
    energy: Energy
    if kind == "loss":
        energy = Loss(lambda x: (2 * weight).expand(x.shape[0], 4), torch.arange(5) % 4)
    else:
        energy = Function(lambda x: (2 * weight[:1]).expand(x.shape[0]))
    assert not energy.evaluate(points()).gradient.any()


def test_models_return_logits_row_by_row() -> None:
    x, y = points(), torch.arange(5) % 4
    with pytest.raises(TypeError, match=r"returns a tensor of logits .*got dict; wrap it"):
        Loss(lambda p: {"logits": p}, y).evaluate(x)
    for bad in (lambda p: p, lambda p: p[:3, 0], lambda p: p.sum()):
        with pytest.raises(ValueError, match=r"returns logits \[rows, classes\].*got \(.*\) for 5 rows; reduce"):
            Loss(bad, y).evaluate(x)
