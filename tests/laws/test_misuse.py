"""Law 7: misuse raises, or warns, and says the rule, the value received and what to do; odd but good input works."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import maxslope as ms
from maxslope.attacks import Effort, Recipe, attack, recipes
from maxslope.attacks.stages import Rescue
from maxslope.evaluation import evaluate
from maxslope.sets import Budget
from nets import answers, conv, images

NET = conv()
X = images(6)
Y = answers(NET, X)
BUDGET = ms.Linf(0.1)
QUICK = Effort((recipes.ifgsm(3),))


def by_attack(model: Any = NET, x: Any = X, y: Any = Y, budget: Any = BUDGET) -> Any:
    return attack(model, x, y, budget, recipe=recipes.ifgsm(3))


def by_evaluate(model: Any = NET, x: Any = X, y: Any = Y, budget: Any = BUDGET) -> Any:
    return evaluate(model, (x, y), budget, effort=QUICK, probe=False)


BOTH = pytest.mark.parametrize("call", [by_attack, by_evaluate])
Call = Callable[..., Any]


def refuses(error: type[Exception] | tuple[type[Exception], ...], call: Callable[[], object], *said: str) -> None:
    """The call raises, and the message holds the rule, the value and the remedy."""
    with pytest.raises(error) as raised:
        call()
    for part in said:
        assert part in str(raised.value), str(raised.value)


class Wrapped(nn.Module):
    """A model that does something to the logits of another."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.change = conv(), change
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.net(x))


# --- shapes, labels, values ------------------------------------------------------------------------------------------


@BOTH
def test_shapes(call: Call) -> None:
    refuses(ValueError, lambda: call(x=X[0, 0, 0], y=Y[:1].expand(8)), "[rows, *shape]", "(8,)", "x[None]")
    refuses(ValueError, lambda: call(x=X.new_zeros(6, 0)), "at least one row and coordinate", "(6, 0)", "x[None]")
    refuses(ValueError, lambda: call(y=Y[:, None]), "shape [6]", "(6, 1)", "y.flatten()")
    refuses(ValueError, lambda: call(y=nn.functional.one_hot(Y, 5)), "shape [6]", "(6, 5)", "argmax(1)")


def test_numbers_of_rows_differ() -> None:
    refuses(ValueError, lambda: by_attack(y=Y[:5]), "shape [6]", "(5,)", "one class number per row")
    refuses(ValueError, lambda: by_evaluate(y=Y[:5]), "one row per sample", "(6, 1, 8, 8)", "(5,)")
    refuses(ValueError, lambda: by_evaluate(y=Y[0]), "one row per sample", "()")


@BOTH
def test_labels(call: Call) -> None:
    refuses(ValueError, lambda: call(y=Y + 4), "below the number of classes", "5 classes", "start at 0")
    refuses(ValueError, lambda: call(y=Y.index_fill(0, torch.tensor([2]), -1)), "class numbers >= 0", "-1", "drop")
    refuses(TypeError, lambda: call(y=Y.float()), "integer dtype", "torch.float32", "y.long()")


ONE_HOT = nn.functional.one_hot(Y, 5)
SEVERAL = ONE_HOT + nn.functional.one_hot((Y + 1) % 5, 5)

GIVEN = {
    "a column": (Y[:, None], "y.flatten()"),
    "a column of floats": (Y[:, None].float(), "y.flatten()"),
    "a row": (Y[None], "y.flatten()"),
    "one-hot": (ONE_HOT, "y.argmax(1)"),
    "one-hot floats": (ONE_HOT.float(), "y.argmax(1)"),
    "one-hot of -1 and 1": (2 * ONE_HOT - 1, "y.argmax(1)"),
    "probabilities": (0.9 * ONE_HOT + 0.02, "y.argmax(1)"),
    "floats": (Y.float(), "y.long()"),
    "sparse": (Y.to_sparse(), "y.to_dense()"),
    "a list": (Y.tolist(), "torch.as_tensor(y)"),
    "an array": (Y.numpy(), "torch.as_tensor(y)"),
    "a list of tensors": (list(Y), "torch.stack(y).flatten()"),
    "a list of columns": (list(Y[:, None]), "torch.stack(y).flatten()"),
}

OTHER_GOALS = {
    "multi-hot": (SEVERAL, "goal=ms.goals.AnyLabel()"),
    "multi-hot floats": (SEVERAL.float(), "goal=ms.goals.AnyLabel()"),
    "multi-hot truth values": (SEVERAL.bool(), "goal=ms.goals.AnyLabel()"),
    "masks": ((X[:, 0] > 0.5).long(), "goal=ms.goals.Share(0.5)"),
    "masks of truth values": (X[:, 0] > 0.5, "goal=ms.goals.Share(0.5)"),
    "masks of classes": (torch.arange(6 * 9).reshape(6, 3, 3) % 5, "goal=ms.goals.Share(0.5)"),
    "one-hot masks": (nn.functional.one_hot(torch.arange(54).reshape(6, 9) % 3, 3).mT, "goal=ms.goals.Share(0.5)"),
    "real numbers": (torch.linspace(0.1, 2, 6), "goal=ms.goals.Beyond(tolerance)"),
    "real numbers in a column": (torch.linspace(0.1, 2, 6)[:, None], "goal=ms.goals.Beyond(tolerance)"),
    "several real numbers": (torch.linspace(-2, 2, 12).reshape(6, 2), "goal=ms.goals.Beyond(tolerance)"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_advice_on_labels_leads_to_the_right_ones(name: str) -> None:
    """Do what the message says until there is no message: these are the labels."""
    given, first = GIVEN[name]
    ways = {
        "y.argmax(1)": lambda y: y.argmax(1),
        "y.flatten()": lambda y: y.flatten(),
        "y.long()": lambda y: y.long(),
        "y.to_dense()": lambda y: y.to_dense(),
        "torch.as_tensor(y)": torch.as_tensor,
        "torch.stack(y).flatten()": lambda y: torch.stack(y).flatten(),
    }
    refuses((TypeError, ValueError), lambda: by_attack(y=given), first)
    for _ in range(3):
        try:
            by_attack(y=given)
            break
        except (TypeError, ValueError) as error:
            (way,) = (way for way in ways if way in str(error))  # one advice, not two
            given = ways[way](given)
    assert torch.equal(given, Y)


@pytest.mark.parametrize("name", OTHER_GOALS)
def test_labels_of_another_goal_are_told_its_name(name: str) -> None:
    given, goal = OTHER_GOALS[name]
    refuses((TypeError, ValueError), lambda: by_attack(y=given), goal)


def test_labels_without_a_class() -> None:
    some = Y.index_fill(0, torch.tensor([2]), -100)
    refuses(ValueError, lambda: by_attack(y=some), "-100", "x[y >= 0] and y[y >= 0]")
    refuses(ValueError, lambda: by_attack(y=torch.full_like(Y, -1)), "have no labels", "model(x).argmax(1)")
    refuses(ValueError, lambda: by_attack(y=Y.index_fill(0, torch.tensor([2]), 255)), "x[y != 255] and y[y != 255]")
    refuses(TypeError, lambda: by_attack(y=Y.float().index_fill(0, torch.tensor([2]), math.nan)), "1 are NaN", "drop")


def test_one_label_that_the_model_does_not_know_among_many() -> None:
    """Only some rows are shown to the model beforehand, and this one is none of them."""
    x, y = X.repeat(20, *[1] * (X.ndim - 1)), Y.repeat(20)
    for k in (1, 33, 119):
        odd = y.index_fill(0, torch.tensor([k]), 7)
        refuses(ValueError, partial(by_attack, x=x, y=odd), "largest label is 7", "with 8 outputs or more")
        odd = odd.clamp_min(1).clamp_max(5)
        refuses(ValueError, partial(by_attack, x=x, y=odd), "largest label is 5", "use y - 1")


def test_labels_in_other_numbers() -> None:
    refuses(ValueError, lambda: by_attack(y=torch.tensor([-1, 1] * 3)), "(y + 1) // 2")
    refuses(ValueError, lambda: by_attack(y=torch.arange(6).clamp_min(1)), "5 classes", "use y - 1")
    refuses(ValueError, lambda: by_attack(y=torch.arange(6)), "5 classes", "a model with 6 outputs or more")
    refuses(ValueError, lambda: by_attack(y=torch.tensor(1)), "y.expand(6)")
    refuses(TypeError, lambda: by_attack(y=3), "torch.full((x.shape[0],), 3)")
    refuses(TypeError, lambda: by_attack(y=["cat", "dog"] * 3), "names.index(c)")
    refuses(TypeError, lambda: by_attack(y=torch.complex(Y.float(), Y.float())), "integer dtype", "complex")
    refuses(ValueError, lambda: by_attack(y=Y.new_zeros(6, 0)), "(6, 0)", "class numbers")
    refuses(ValueError, lambda: by_attack(y=Y.repeat(2)), "12 labels do not belong to 6 samples")
    two = attack(lambda z: NET(z)[:, :2], X, (Y > 0), BUDGET, recipe=recipes.ifgsm(3))
    again = attack(lambda z: NET(z)[:, :2], X, (Y > 0).long(), BUDGET, recipe=recipes.ifgsm(3))
    assert torch.equal(two.points, again.points)  # truth values are classes 0 and 1
    assert torch.equal(by_attack(y=Y.to(torch.uint16)).points, by_attack().points)


def test_several_inputs_are_told_of_the_context() -> None:
    refuses(TypeError, lambda: by_attack(x=(X, X)), "several inputs", "one tensor x", "context=(...)")
    refuses(TypeError, lambda: by_attack(x={"image": X, "age": Y}), "several inputs", "context=(...)")
    refuses(TypeError, lambda: by_attack(x=list(X)), "torch.stack(x)")
    refuses(TypeError, lambda: by_attack(x=X.numpy()), "ndarray", "torch.as_tensor(x)")
    refuses(TypeError, lambda: by_attack(x=X.to_sparse()), "sparse", "x.to_dense()")


def test_a_number_of_rows_is_a_whole_number() -> None:
    for bad in ("16", 16.0, True):
        refuses(
            TypeError, lambda bad=bad: attack(NET, X, Y, BUDGET, recipe=recipes.fgsm(), batch_size=bad),
            "batch_size is a whole number", repr(bad),
        )  # fmt: skip


def test_targets() -> None:
    def aim(targets: Any) -> Any:
        return attack(NET, X, Y, BUDGET, recipe=recipes.ifgsm(3), targets=targets)

    refuses(ValueError, lambda: aim(Y[:3]), "Targets have shape [6]", "(3,)")
    refuses(ValueError, lambda: aim(torch.full_like(Y, 5)), "below the number of classes", "5 classes")
    refuses(TypeError, lambda: aim(Y.tolist()), "Targets are a torch tensor", "list")


@BOTH
def test_not_tensors(call: Call) -> None:
    refuses(TypeError, lambda: call(model="resnet"), "A model is callable", "str")
    refuses(TypeError, lambda: call(model=lambda x: {"logits": NET(x)}), "tensor of logits", "dict", "wrap it")
    refuses(ValueError, lambda: call(model=lambda x: NET(x)[None]), "[rows, classes]", "for 16 rows", "wrapper")
    refuses(TypeError, lambda: call(budget=0.1), "Budget", "0.1", "Linf")
    if call is by_attack:  # evaluate takes arrays
        with pytest.raises(TypeError, match="torch tensor"):
            call(x=X.numpy())
    with pytest.raises(TypeError, match=r"torch tensor|\(x, y\) tensors"):
        call(y=Y.tolist())


def test_efforts_and_recipes() -> None:
    refuses(ValueError, lambda: Effort(()), "at least one run", "eps 0")
    for wrong in (ms.schemes.RandomSearch(5), Rescue((recipes.square(5),))):
        refuses(TypeError, partial(Effort, (recipes.pgd(3), wrong)), "attacks.stages", "after a probe", "got R")
    refuses(ValueError, lambda: Effort((recipes.pgd(3), recipes.coordinate(3))), "share one scheme", "several attacks")
    refuses(ValueError, lambda: Recipe("x", -1, 1.0), "steps=-1")
    refuses(ValueError, lambda: Recipe("x", 1, math.nan), "first=nan")
    both = lambda: attack(NET, X, Y, BUDGET, recipe=recipes.fgsm(), effort=QUICK)  # noqa: E731
    refuses(ValueError, both, "not both", "Effort((recipe, ...))")
    refuses(ValueError, lambda: attack(NET, X, Y, BUDGET, recipe=recipes.fgsm(), restarts=0), "at least 1", "got 0")
    refuses(ValueError, lambda: attack(NET, X, Y, BUDGET, restarts=3), "only with a recipe", "got 3")
    refuses(ValueError, lambda: attack(NET, X, Y, BUDGET, recipe=recipes.fgsm(), batch_size=0), "at least 1", "got 0")
    refuses(TypeError, lambda: attack(NET, X, Y, BUDGET, effort="quick"), "The effort is an Effort", "Effort.quick()")
    refuses(TypeError, lambda: attack(NET, X, Y, BUDGET, recipe=recipes.pgd), "The recipe is a Recipe", "pgd(steps=40)")
    refuses(ValueError, lambda: Recipe("x", 1, 1.0, last=-0.1), "last=-0.1")
    refuses(ValueError, lambda: evaluate(NET, (X, Y), BUDGET, effort=QUICK, batch_size=0), "at least 1", "got 0")
    refuses(
        TypeError,
        lambda: evaluate(NET, (X, Y), BUDGET, effort="quick"),
        "effort is an Effort",
        "'quick'",
        "Effort.quick()",
    )


def test_data() -> None:
    for bad in ([X, Y, Y], {"x": X}, 3):
        refuses(TypeError, lambda bad=bad: evaluate(NET, bad, BUDGET), "(x, y) tensors", type(bad).__name__)
    lonely = torch.utils.data.TensorDataset(X)
    refuses(TypeError, lambda: evaluate(NET, lonely, BUDGET), "(input, label) pairs", "list", "wrap it")


@BOTH
def test_values(call: Call) -> None:
    refuses(ValueError, lambda: call(x=X * 255), "must lie in the box", "(0.0, 1.0)", "normalization inside the model")
    refuses(ValueError, lambda: call(x=X - 0.5), "must lie in the box", "-0.5", "box=None")
    for value in (math.nan, math.inf):
        x = X.clone()
        x[1, 0, 0, :2] = value
        refuses(ValueError, lambda x=x: call(x=x), "must be finite", "2 NaN or infinite", "replace")
    refuses(TypeError, lambda: call(x=(X * 255).to(torch.uint8)), "floating point", "torch.uint8", "x.float() / 255")
    refuses(TypeError, lambda: call(x=(X * 255).long()), "floating point", "torch.int64", "x.float() / 255")


def test_ids_and_masks() -> None:
    for ids, got in (([0, 1], "list"), (torch.arange(5), "torch.int64 (5,)"), (torch.rand(6), "torch.float32 (6,)")):
        refuses(ValueError, lambda ids=ids: attack(NET, X, Y, BUDGET, ids=ids), "[6] of integers", got)
    refuses(TypeError, lambda: attack(NET, X, Y, BUDGET, mask=X), "boolean", "torch.float32", "mask.bool()")
    refuses(ValueError, lambda: attack(NET, X, Y, BUDGET, mask=True), "The mask has the shape of a sample")


@BOTH
def test_a_box_that_is_bounded_on_one_side_is_checked_there(call: Call) -> None:
    refuses(ValueError, lambda: call(x=X - 0.5, budget=ms.Linf(0.1, box=(0.0, math.inf))), "must lie in the box")


def test_a_hair_outside_the_box_is_rounding() -> None:
    x = X.clamp(0, 1) + 1e-7 * (X == 1)
    assert float(x.amax()) > 1
    result = by_attack(x=x)
    assert bool((result.points <= 1).all())


# --- eps -------------------------------------------------------------------------------------------------------------


def test_bad_radii() -> None:
    for bad in (-0.1, math.nan, math.inf, torch.tensor([0.1, -0.1])):
        for make in (ms.Linf, ms.L2, ms.L1, lambda e: Budget(ms.Lp(1.5), e, None)):
            refuses(ValueError, lambda make=make, bad=bad: make(bad), "finite and not negative", f"eps={bad!r}")
    for whole in (8, torch.tensor(8), torch.tensor([1, 8])):
        refuses(TypeError, lambda whole=whole: ms.Linf(whole), "must be a float", f"eps={whole!r}", "/255")
    assert str(ms.Linf(8, box=(0, 255))) == "l_inf 8"
    assert str(ms.L2(3.0)) == "l_2 3"


def test_bad_boxes_and_norms() -> None:
    refuses(ValueError, lambda: ms.Linf(0.1, box=(1, 0)), "lo <= hi", "(1, 0)", "box=None")
    refuses(TypeError, lambda: Budget(2, 0.1), "space such as Lp(2)", "got 2")
    refuses(ValueError, lambda: ms.Lp(0.5), "[1, inf]", "0.5")


@BOTH
@pytest.mark.parametrize("count", [1, 5, 7])
def test_radii_by_sample_have_one_entry_each(call: Call, count: int) -> None:
    eps = torch.full((count,), 0.1)
    refuses(ValueError, lambda: call(budget=ms.Linf(eps)), "one per sample", f"({count},)", "[6]")


@pytest.mark.parametrize("make", [ms.Linf, ms.L2, ms.L1, lambda e: Budget(ms.Lp(1.5), e)])
def test_a_radius_of_zero_hands_the_point_back(make: Callable[[Any], Budget]) -> None:
    for zero in (0, 0.0, torch.zeros(6)):
        for how in ({"recipe": recipes.pgd(3)}, {"recipe": recipes.coordinate(3)}, {"effort": Effort.quick()}):
            result = attack(NET, X, Y, make(zero), **how)
            assert torch.equal(result.points, X)
            assert not result.broken.any()
            assert result.distance.tolist() == [0.0] * 6
            assert result.gap.abs().amax() == 0
    report = evaluate(NET, (X, Y), make(0.0), effort=QUICK)
    assert report.robust_accuracy == report.clean_accuracy == 1.0
    mixed = attack(NET, X, Y, make(torch.tensor([0.0, 0.1] * 3)), recipe=recipes.ifgsm(3))
    assert torch.equal(mixed.points[::2], X[::2])
    assert bool((mixed.points[1::2] != X[1::2]).flatten(1).any(1).all())


# --- models ----------------------------------------------------------------------------------------------------------


@BOTH
def test_training_mode(call: Call) -> None:
    net = conv().train()
    refuses(ValueError, lambda: call(model=net), "training mode", "1", "model.eval()")
    assert net.training  # and it stays in it
    dropout = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(64, 5)).train()
    refuses(ValueError, lambda: call(model=dropout), "training mode", "depend on chance", "model.eval()")
    harmless = nn.Sequential(nn.Flatten(), nn.Dropout(0.0), nn.Linear(64, 5)).train()
    with pytest.warns(ms.MaxslopeWarning, match=r"training mode; no layer here depends on it, but call model.eval\(\)"):
        call(model=harmless)


@BOTH
def test_probabilities(call: Call) -> None:
    soft = Wrapped(lambda z: z.softmax(1))
    with pytest.warns(ms.MaxslopeWarning, match=r"look like probabilities .*sum to 1.*remove the final softmax"):
        call(model=soft)
    for fine in (NET, Wrapped(lambda z: z.log_softmax(1)), Wrapped(lambda z: z.sigmoid())):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            call(model=fine)


def test_probabilities_are_noticed_once() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        by_attack(model=Wrapped(lambda z: z.softmax(1)))
    assert len(seen) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_outputs_that_are_not_finite(value: float) -> None:
    """At every point: nothing is robust, nothing broken, and the report says so."""
    bad = Wrapped(lambda z: z * 0 + value)
    report = by_evaluate(model=bad)
    assert report.table["verdict"] == ["non-finite"] * 6
    assert report.clean_accuracy == report.robust_accuracy == 0.0
    assert report.table["reason"] == ["The model's output at the clean point is NaN or infinite."] * 6
    assert report.table["backward"] == [0] * 6
    assert (
        "6 samples met NaN or infinity and are neither robust nor broken (first: [0, 1, 2, 3, 4])" in report.warnings[0]
    )
    result = by_attack(model=bad)
    assert result.non_finite.all()
    assert not result.broken.any()
    assert torch.equal(result.points, X)


def test_outputs_that_are_not_finite_on_the_way() -> None:
    """Finite at the clean points, NaN at others: correct, yet not robust, and never broken by NaN."""
    x = torch.full((4, 1, 8, 8), 0.45)
    y = answers(NET, x)
    fragile = Wrapped(lambda z: z)
    fragile.forward = lambda z: NET(z) + torch.where(z.flatten(1).amax(1) > 0.46, math.nan, 0.0)[:, None]
    report = by_evaluate(model=fragile, x=x, y=y)
    assert report.table["verdict"] == ["non-finite"] * 4
    assert report.clean_accuracy == 1.0
    assert report.robust_accuracy == 0.0
    assert report.clean_interval[1] == 1.0
    assert "4 samples met NaN" in str(report)


def test_models_with_one_output_are_binary() -> None:
    """One class alone cannot be left: a single output is the logit of class 1 against class 0."""
    net = Wrapped(lambda z: z[:, :1])
    y = (NET(X)[:, 0] > 0).long()
    report = by_evaluate(model=net, y=y)
    assert report.clean_accuracy == 1.0
    flat = by_evaluate(model=Wrapped(lambda z: z[:, 0]), y=y)
    assert str(flat.table) == str(report.table)
    refuses(
        ValueError,
        lambda: by_attack(model=net, y=torch.full_like(y, 2)),
        "below the number of classes",
        "2 classes",
        "is 2",
    )


def test_data_of_a_single_class() -> None:
    y = torch.zeros_like(Y)
    report = by_evaluate(y=y)
    assert report.clean_accuracy == pytest.approx(float((Y == 0).float().mean()))


def test_no_samples() -> None:
    refuses(ValueError, lambda: by_evaluate(x=X[:0], y=Y[:0]), "at least one sample", "none")
    empty = torch.utils.data.TensorDataset(X[:0], Y[:0])
    refuses(ValueError, lambda: evaluate(NET, empty, BUDGET), "at least one sample", "none")
    refuses(ValueError, lambda: by_attack(x=X[:0], y=Y[:0]), "at least one row", "(0, 1, 8, 8)")


def test_a_gradient_that_is_zero_everywhere() -> None:
    """Stationary, with a sentence that doubts it and a warning in the report; the point does not move."""
    net = Wrapped(lambda z: 40 * (z > 0).float() + 0 * z)
    y = net(X).argmax(1)
    result = by_attack(model=net, y=y)
    assert result.status.tolist() == [ms.Status.STATIONARY] * 6
    assert all("gradient is zero" in reason and "masked" in reason for reason in result.reasons())
    assert torch.equal(result.points, X)
    report = by_evaluate(model=net, y=y)
    assert "6 samples ended at a gradient that is zero" in report.warnings[0]
    assert "not to be trusted" in report.warnings[0]
    assert "warning" in str(report)


@BOTH
def test_a_model_that_autograd_cannot_see_through(call: Call) -> None:
    refuses(
        ValueError,
        lambda: call(model=lambda x: NET(x).detach()),
        "not depend differentiably",
        "detach",
        "Remove the break",
    )


@BOTH
def test_devices_and_dtypes(call: Call) -> None:
    elsewhere = conv().to("meta")
    refuses(ValueError, lambda: call(model=elsewhere), "one device", "meta and cpu", "x.to('meta')")
    refuses(
        ValueError, lambda: call(x=X.double()), "one dtype", "torch.float32 and torch.float64", "x.to(torch.float32)"
    )
    refuses(ValueError, lambda: call(model=conv(dtype=torch.float64)), "one dtype", "model.to(torch.float32)")


# --- odd but good ----------------------------------------------------------------------------------------------------


def test_layouts_of_memory_do_not_matter() -> None:
    wide = torch.cat([X, X], 3)
    strided = wide.transpose(2, 3).contiguous().transpose(2, 3)[..., :8]
    assert not strided.is_contiguous()
    last = X.expand(6, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    net = conv()
    first = net[0]
    colored = nn.Sequential(nn.Conv2d(3, 1, 1), net).eval()
    assert isinstance(first, nn.Conv2d)
    for a, b, model in ((strided, X, net), (last, last.contiguous(), colored)):
        y = answers(model, b)
        for budget in (ms.Linf(0.1), ms.L2(0.5)):
            one, two = (attack(model, x, y, budget, recipe=recipes.pgd(4)) for x in (a, b))
            assert torch.equal(one.broken, two.broken)
            torch.testing.assert_close(one.points, two.points, atol=1e-6, rtol=0)


@pytest.mark.parametrize("make", [ms.Linf, ms.L2, ms.L1])
def test_double_precision(make: Callable[[float], Budget]) -> None:
    net, x = conv(dtype=torch.float64), X.double()
    result = attack(net, x, Y, make(0.2), effort=Effort.quick())
    assert result.points.dtype == result.margin.dtype == torch.float64
    assert bool((result.distance <= 0.2 * (1 + 1e-6)).all())
    single = attack(NET, X, Y, make(0.2), effort=Effort.quick())
    assert torch.equal(result.broken, single.broken)


@pytest.mark.parametrize("make", [ms.Linf, ms.L2, ms.L1])
def test_half_precision(make: Callable[[float], Budget]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 5)).eval()
    y = answers(net, X)
    eps = {"Linf": 0.2, "L2": 1.5, "L1": 8.0}[make.__name__]
    wanted = attack(net, X, y, make(eps), recipe=recipes.pgd(6))
    net, x = net.half(), X.half()
    y_half = answers(net, x)
    result = attack(net, x, y_half, make(eps), recipe=recipes.pgd(6))
    assert result.points.dtype == torch.float16
    assert result.points.isfinite().all()
    assert bool(((result.points >= 0) & (result.points <= 1)).all())
    p = make(eps).norm.p
    far = torch.linalg.vector_norm((result.points.double() - x.double()).flatten(1), p, dim=1)
    assert bool((far <= eps * 1.02 + 0.01).all())
    assert int((result.broken != wanted.broken).sum()) <= 1
    again = net(result.points).argmax(1) != y_half
    assert torch.equal(result.broken, again)


def test_labels_of_other_integer_types() -> None:
    for dtype in (torch.int32, torch.uint8, torch.int16):
        assert torch.equal(by_attack(y=Y.to(dtype)).points, by_attack().points)


def test_functions_are_models() -> None:
    assert torch.equal(by_attack(model=NET).points, by_attack().points)


def test_points_of_any_rank() -> None:
    """Rows of one coordinate, and of five axes."""
    x = torch.tensor([[0.5], [0.2]])
    result = attack(
        lambda z: torch.cat([z, 0.45 + 0 * z], 1), x, torch.tensor([0, 1]), ms.Linf(0.1), recipe=recipes.fgsm()
    )
    assert result.broken.tolist() == [True, False]
    deep = X.reshape(6, 1, 2, 4, 2, 4)
    result = attack(lambda z: NET(z.reshape(-1, 1, 8, 8)), deep, Y, BUDGET, recipe=recipes.ifgsm(3))
    assert torch.equal(result.points.reshape(X.shape), by_attack().points)


def test_no_box() -> None:
    x = 3 * X - 1
    result = attack(NET, x, answers(NET, x), ms.Linf(0.5, box=None), effort=Effort.quick())
    assert bool((result.distance <= 0.5 * (1 + 1e-5)).all())
    assert float(result.points.amin()) < float(x.amin()) - 0.1


def test_another_box() -> None:
    """The same images in other units: the same verdicts."""
    scaled = attack(lambda z: NET(z / 255), X * 255, Y, ms.Linf(25.5, box=(0, 255)), recipe=recipes.ifgsm(3))
    assert torch.equal(scaled.broken, by_attack().broken)
    torch.testing.assert_close(scaled.points / 255, by_attack().points, atol=1e-5, rtol=0)


def test_a_scheme_that_counts_its_own_passes_is_not_a_run() -> None:
    movement = replace(recipes.pgd(2), scheme=ms.MinimizingMovement)
    with pytest.raises(ValueError, match=r"MinimizingMovement.*maxslope\.flow"):
        attack(NET, X, Y, BUDGET, recipe=movement)
