"""Laws 2 to 5 of the house: rows are strangers, the model is untouched, verdicts are verified, counts are exact."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
import torch
from torch import Tensor

import maxslope as ms
from maxslope import _random
from maxslope.attacks import AttackResult, Effort, Recipe, attack, recipes, starts
from maxslope.attacks._pursuit import Room
from maxslope.attacks.outside import input_box
from maxslope.attacks.question import ask
from maxslope.energies import CrossEntropy, Margin
from maxslope.evaluation import evaluate
from maxslope.schemes import Explicit, SemiImplicit
from maxslope.sets import Budget
from maxslope.spaces import Lp, Space, Weighted
from nets import Counting, answers, conv, images, mlp

ROWS = 1000
NET = conv()
X = images(ROWS)
Y = answers(NET, X)
IDS = torch.arange(ROWS)
WEIGHTS = 0.5 + torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(4))
NORMS: dict[str, Space] = {
    "l_inf": Lp(math.inf),
    "l_2": Lp(2),
    "l_1": Lp(1),
    "l_1.5": Lp(1.5),
    "weighted l_2": Weighted(Lp(2), WEIGHTS),
    "weighted l_inf": Weighted(Lp(math.inf), WEIGHTS),
}
# A radius for each sample, from hopeless to easy, so that samples leave after every number of runs and steps.
LARGEST = {"l_inf": 0.25, "l_2": 1.3, "l_1": 6.0, "l_1.5": 2.2, "weighted l_2": 1.2, "weighted l_inf": 0.22}
SPREAD = torch.tensor([0.05, 1.0, 0.4, 0.15, 0.7, 0.25, 0.55])[IDS % 7]

RECIPES = {
    "FGSM": recipes.fgsm(),
    "IFGSM": recipes.ifgsm(4),
    "PGD": recipes.pgd(6),
    "PGD on the margin": recipes.pgd(6, 0.3, start=starts.Corner(), criterion=Margin()),
    "momentum": recipes.momentum(5),
    "normalized gradient": recipes.normalized_gradient(6),
    "coordinate": recipes.coordinate(8),
    "semi-implicit": Recipe("semi-implicit", 6, 1.0, 0.0, starts.Uniform(0.5), CrossEntropy(), SemiImplicit),
    "fixed rival": Recipe("fixed rival", 4, 0.5, None, starts.Middle(), Margin(), Explicit, None, 2),
}
EFFORTS = {"quick": Effort.quick(), "standard": Effort.standard().limited(300)}  # hops and long runs among them


def budget(norm: str, at: Tensor) -> Budget:
    return Budget(NORMS[norm], LARGEST[norm] * SPREAD[at])


def run(at: Tensor, norm: str, how: Recipe | Effort, **options: object) -> AttackResult:
    """Attack some of the samples, keyed by what they are, not by where they stand."""
    which = {"recipe": how} if isinstance(how, Recipe) else {"effort": how}
    return attack(NET, X[at], Y[at], budget(norm, at), ids=at, seed=5, **which, **options)


def assert_same(part: AttackResult, whole: AttackResult, at: Tensor) -> None:
    """The same samples elsewhere: every field to the bit."""
    for name in ("broken", "forward", "backward", "runs", "status", "non_finite", "unconfirmed"):
        assert getattr(part, name).tolist() == getattr(whole, name)[at].tolist(), name
    assert torch.equal(part.points, whole.points[at]), float((part.points - whole.points[at]).abs().amax())
    for name in ("margin", "distance", "gap", "slope", "local_gap"):
        assert torch.equal(getattr(part, name).nan_to_num(-7.0), getattr(whole, name)[at].nan_to_num(-7.0)), name


# --- Law 2 -----------------------------------------------------------------------------------------------------------

COSTLY = {("l_2", "coordinate"), *((norm, how) for norm in ("l_2", "l_1") for how in EFFORTS)}
COMBINATIONS = [
    pytest.param(norm, how, marks=[pytest.mark.slow] if (norm, how) in COSTLY else [])
    for norm in ("l_inf", "l_2", "l_1")
    for how in [*RECIPES, *EFFORTS]
]


@pytest.mark.parametrize(("norm", "how"), COMBINATIONS)
def test_a_sample_alone_in_company_and_in_another_order(norm: str, how: str) -> None:
    what = RECIPES.get(how) or EFFORTS[how]
    options = {"restarts": 2} if how in RECIPES else {}
    everyone = torch.arange(40)
    whole = run(everyone, norm, what, **options)
    if how in ("PGD", "semi-implicit", *EFFORTS):  # some of each; others are too weak for it in some norms
        assert 0 < int(whole.broken.sum()) < 40
    for at in ([1], [38], [5, 37, 7, 33, 2, 18, 24]):
        assert_same(run(torch.tensor(at), norm, what, **options), whole, torch.tensor(at))
    shuffled = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    assert_same(run(shuffled, norm, what, **options), whole, shuffled)


@pytest.mark.parametrize(
    ("norm", "how", "many"),
    [
        ("l_inf", "PGD", 1000),
        pytest.param("l_inf", "quick", 200, marks=pytest.mark.slow),
        ("l_2", "PGD", 1000),
        ("l_2", "semi-implicit", 1000),
    ],
)
def test_a_sample_among_many(norm: str, how: str, many: int) -> None:
    what = RECIPES.get(how) or EFFORTS[how]
    whole = run(IDS[:many], norm, what)
    for at in ([many - 1], [many // 2], [3, many - 2, 64, 128, many // 2 + 1, many - 33, 25]):
        assert_same(run(torch.tensor(at), norm, what), whole, torch.tensor(at))
    backwards = IDS[:many].flip(0)
    assert_same(run(backwards, norm, what), whole, backwards)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["l_inf", "l_2"])
def test_the_exhaustive_effort_too(norm: str) -> None:
    everyone = torch.arange(14)
    effort = Effort.exhaustive().limited(1000)
    whole = run(everyone, norm, effort)
    for at in ([0], [3], [13, 2, 10, 5, 7, 0, 1]):
        assert_same(run(torch.tensor(at), norm, effort), whole, torch.tensor(at))


class Alone(torch.nn.Module):
    """A model that computes each row by itself, at an address of its own: kernels of matrices round by both."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.model(x[i : i + 1].clone()) for i in range(len(x))])


ALONE = [
    ("l_inf", torch.float32, Effort.quick().limited(60)),
    ("l_2", torch.float32, Effort.quick().limited(60)),
    ("l_1", torch.float32, Effort.quick().limited(60)),
    ("l_inf", torch.float64, recipes.pgd(6)),
    ("l_2", torch.float64, Effort.quick().limited(45)),
    ("l_1", torch.float64, recipes.pgd(6)),
    ("l_1.5", torch.float32, recipes.pgd(3)),
]


@pytest.mark.parametrize(("norm", "dtype", "how"), ALONE, ids=lambda v: str(getattr(v, "name", v)))
def test_of_a_model_that_computes_rows_alone_nothing_depends_on_company(
    norm: str, dtype: torch.dtype, how: Recipe | Effort
) -> None:
    """Neither on the size of calls, the order of samples or their number: what rounds otherwise is the model alone."""
    d = 13  # vectors of processors leave a remainder
    model = Alone(mlp(d, classes=5, dtype=dtype)).eval()
    x = torch.rand(11, d, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(dtype)
    y, largest = answers(model, x), {"l_inf": 0.15, "l_2": 0.4, "l_1": 0.9, "l_1.5": 0.6}[norm]
    which = {"recipe": how, "restarts": 2} if isinstance(how, Recipe) else {"effort": how}

    def go(at: Tensor, size: int | None) -> AttackResult:
        limits = Budget(NORMS[norm], largest * SPREAD[at].to(dtype))
        return attack(model, x[at], y[at], limits, ids=at, seed=5, batch_size=size, **which)

    whole = go(torch.arange(11), 16)
    assert 0 < int(whole.broken.sum()) < 11
    for at, size in (([4], 1), ([9, 2, 5], 3), ([10, 3, 8, 0, 6, 7, 1], 8), (list(range(10, -1, -1)), None)):
        assert_same(go(torch.tensor(at), size), whole, torch.tensor(at))


def test_smallest_perturbations_of_a_model_that_computes_rows_alone() -> None:
    model = Alone(mlp(13, classes=5, dtype=torch.float32)).eval()
    x = torch.rand(7, 13, generator=torch.Generator().manual_seed(3))
    y = answers(model, x)
    for p in (1, 2, math.inf):
        whole = ms.minimal(model, x, y, Lp(p), effort=Effort(passes=30), batch_size=16)
        at = torch.tensor([5, 1, 6])
        part = ms.minimal(model, x[at], y[at], Lp(p), effort=Effort(passes=30), ids=at, batch_size=2)
        for name in ("points", "norms", "margin", "forward", "backward"):
            assert torch.equal(getattr(part, name), getattr(whole, name)[at]), (p, name)


@pytest.mark.parametrize("d", [1, 3, 5, 13, 70])
def test_draws_and_powers_round_alike_in_any_company(d: int) -> None:
    """Normal quantiles and powers of what vectors of a processor leave over would not."""
    key = torch.arange(33)
    noise = _random.normal(key, (d,))
    alone = torch.cat([_random.normal(key[i : i + 1], (d,)) for i in range(33)])
    assert torch.equal(noise, alone)
    for values in (noise, noise.float()):
        for p in (1.0, 1.5, 2.0, 3.0, 7.0):
            for of in (Lp(p).norm, Lp(p).steepest, Lp(p).dual_norm):
                assert torch.equal(of(values), torch.cat([of(values[i : i + 1]) for i in range(33)])), (p, of)


def test_a_mask_of_one_sample_is_nothing_to_another() -> None:
    """Steps of a pursuit in l_inf are as long as the widest free range of their own sample, not of any."""
    mask = torch.ones(2, 3, dtype=torch.bool)
    mask[0, 2] = False
    x, box = torch.rand(2, 3), (torch.zeros(3), torch.tensor([1.0, 2.0, 9.0]))
    question = ask(lambda z: z, x, torch.tensor([0, 1]), Budget(Lp(3), 0.0, box), mask=mask)
    assert Room(question, input_box(question, mask)).width.tolist() == [2.0, 9.0]


@pytest.mark.parametrize("batch_size", [1, 3, 16, 100])
def test_the_size_of_calls_changes_rounding_at_most(batch_size: int) -> None:
    """Other calls, other kernels: verdicts agree but for samples on the edge, and so do almost all points."""
    a, b = (run(torch.arange(64), "l_inf", RECIPES["PGD"], batch_size=size) for size in (None, batch_size))
    assert int((a.broken != b.broken).sum()) <= 1
    near = (a.points - b.points).abs().flatten(1).amax(1) < 1e-5
    assert int(near.sum()) >= 60


@pytest.mark.parametrize("how", ["quick", "standard"])
def test_a_row_of_a_report_does_not_depend_on_the_other_rows(how: str) -> None:
    """The first 1, 7 and 64 samples of more, which are keyed by their place in the data."""
    radius = 0.1
    count = 200 if how == "quick" else 130
    y = Y.clone()
    y[::9] = (y[::9] + 1) % 5  # some are misclassified
    whole = evaluate(NET, (X[:count], y[:count]), ms.Linf(radius), effort=EFFORTS[how], seed=2, probe=False)
    assert {"robust", "broken", "misclassified"} <= set(whole.table["verdict"])
    for rows in (1, 7, 64):
        part = evaluate(NET, (X[:rows], y[:rows]), ms.Linf(radius), effort=EFFORTS[how], seed=2, probe=False)
        for name, column in part.table.items():
            assert str(column) == str(whole.table[name][:rows]), name
        assert torch.equal(part.points, whole.points[:rows])


def test_a_report_in_another_order() -> None:
    """Runs without random starts: the order of the data only orders the rows."""
    effort = Effort((RECIPES["IFGSM"], recipes.ifgsm(7)))
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    a = evaluate(NET, (X[:64], Y[:64]), ms.Linf(0.08), effort=effort, probe=False)
    b = evaluate(NET, (X[order], Y[order]), ms.Linf(0.08), effort=effort, probe=False)
    assert torch.equal(b.points, a.points[order])
    for name in set(a.table) - {"index"}:
        assert str(b.table[name]) == str([a.table[name][i] for i in order.tolist()]), name


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("start", [starts.Uniform(), starts.Corner()], ids=["Uniform", "Corner"])
def test_random_starts_are_bit_equal_and_hang_on_seed_and_id(norm: str, start: starts.Start) -> None:
    """A run of no steps hands back its start."""
    only = Recipe("start", 0, 0.0, start=start)

    def begin(at: Tensor, seed: int = 5, ids: Tensor | None = None) -> Tensor:
        ids = at if ids is None else ids
        return attack(NET, X[at], Y[at], Budget(NORMS[norm], LARGEST[norm]), ids=ids, seed=seed, recipe=only).points

    whole = begin(IDS)
    for at in (torch.tensor([17]), torch.tensor([3, 999, 1, 500, 2, 7, 64]), IDS.flip(0)):
        if norm == "l_1.5" and isinstance(start, starts.Corner):  # projected by a root of powers, which round
            torch.testing.assert_close(begin(at), whole[at], atol=3e-7, rtol=0)
        else:
            assert torch.equal(begin(at), whole[at])
    seven = torch.arange(7)
    for other in (begin(seven, seed=6), begin(seven, ids=seven + 1), X[:7]):
        assert all(not torch.equal(a, b) for a, b in zip(whole[:7], other, strict=True))
    same_image = X[:1].expand(7, -1, -1, -1)
    many = attack(NET, same_image, Y[:1].expand(7), Budget(NORMS[norm], LARGEST[norm]), recipe=only).points
    assert len({tuple(p.flatten().tolist()) for p in many}) == 7


def test_restarts_are_all_made_where_nothing_is_gained() -> None:
    """Recipes do not give up: three runs of a model whose gradient is zero, and three of no steps."""
    step = lambda x: 1e3 * (x.flatten(1)[:, :2] > 2).float() + 0 * x.flatten(1)[:, :2]  # noqa: E731
    flat = attack(step, X[:5], torch.zeros(5, dtype=torch.int64), ms.Linf(0.1), recipe=recipes.pgd(4), restarts=3)
    assert flat.runs.tolist() == [3] * 5
    assert flat.status.tolist() == [ms.Status.STATIONARY] * 5
    still = run(torch.arange(5), "l_inf", Recipe("start", 0, 0.0, start=starts.Clean()), restarts=3)
    assert still.runs.tolist() == [3] * 5


def test_restarts_start_elsewhere() -> None:
    """Starts of margin m_1, ..., m_k: the least is kept, and it falls (weakly, somewhere strictly) with k."""
    only = Recipe("start", 0, 0.0, start=starts.Uniform())
    margins = [run(torch.arange(64), "l_inf", only, restarts=k).margin for k in (1, 2, 5)]
    for a, b in itertools.pairwise(margins):
        assert bool((b <= a).all())
        assert int((b < a).sum()) > 5


# --- Law 3 -----------------------------------------------------------------------------------------------------------


def state_of_the_world(net: torch.nn.Module) -> list[object]:
    """All that an attack might leave changed."""
    return [
        [p.grad for p in net.parameters()],
        [p.requires_grad for p in net.parameters()],
        [m.training for m in net.modules()],
        [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in net.modules()],
        [len(p._backward_hooks or ()) for p in net.parameters()],
        {k: v.tolist() for k, v in net.state_dict().items()},
        torch.get_rng_state().tolist(),
        str(np.random.get_state()),
        random.getstate(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
    ]


@pytest.mark.parametrize("how", [*RECIPES, *EFFORTS])
def test_the_world_is_left_as_it_was(how: str) -> None:
    net = conv()
    next(net.parameters()).requires_grad_(False)
    net[2].train()  # a mode that does not matter, and the caller's
    what = RECIPES.get(how) or EFFORTS[how]
    which = {"recipe": what} if isinstance(what, Recipe) else {"effort": what}
    x, y = X[:9].clone(), Y[:9].clone()
    before = state_of_the_world(net)
    attack(net, x, y, budget("l_inf", torch.arange(9)), **which)
    if isinstance(what, Effort):
        evaluate(net, (x, y), budget("l_inf", torch.arange(9)), effort=what)
    for was, is_now in zip(before, state_of_the_world(net), strict=True):
        assert was == is_now
    assert torch.equal(x, X[:9])
    assert torch.equal(y, Y[:9])
    assert not x.requires_grad


def test_gradients_and_grad_mode_of_the_caller_survive() -> None:
    net = conv()
    x = X[:5].clone().requires_grad_(True)
    net(x).sum().backward()
    grads = [p.grad.clone() for p in net.parameters()]
    kept = x.grad.clone()
    a = attack(net, x, Y[:5], ms.Linf(0.1), recipe=recipes.ifgsm(3))
    with torch.no_grad():
        b = attack(net, x, Y[:5], ms.Linf(0.1), recipe=recipes.ifgsm(3))
        assert not torch.is_grad_enabled()
    assert torch.equal(a.points, b.points)
    assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), grads, strict=True))
    assert torch.equal(x.grad, kept)
    assert not a.points.requires_grad
    a.points.zero_()  # the caller may do as he likes with what he was given
    assert bool((x != 0).any())


# --- Law 4 -----------------------------------------------------------------------------------------------------------


def size(norm: Space, v: Tensor) -> Tensor:
    """The norm of each row in float64, without the code under test."""
    w, p = (norm.weights.double(), norm.base.p) if isinstance(norm, Weighted) else (torch.ones(()).double(), norm.p)
    return torch.linalg.vector_norm((w * v.double()).flatten(1), p, dim=1)


def assert_verified(result: AttackResult, norm: str, at: Tensor, targets: Tensor | None = None) -> None:
    eps = (LARGEST[norm] * SPREAD[at]).double()
    z, x = result.points, X[at]
    assert z.dtype == x.dtype
    assert bool(((z >= 0) & (z <= 1)).all())
    assert bool((size(NORMS[norm], z.double() - x.double()) <= eps * (1 + 2e-6) + 1e-6).all())
    torch.testing.assert_close(
        result.distance.double(), size(NORMS[norm], z.double() - x.double()), rtol=1e-5, atol=1e-6
    )
    for net, points in ((NET, z), (conv(dtype=torch.float64), z.double())):
        with torch.no_grad():
            logits = net(points)
        fooled = logits.argmax(1) != Y[at] if targets is None else logits.argmax(1) == targets
        aim = Y[at] if targets is None else targets
        best = logits.scatter(1, aim[:, None], -math.inf).amax(1)
        own = logits.gather(1, aim[:, None]).squeeze(1)
        margin = own - best if targets is None else best - own
        torch.testing.assert_close(result.margin.double(), margin.double(), rtol=1e-4, atol=2e-5)
        clear = margin.abs() > 2e-5
        assert torch.equal(result.broken[clear], fooled[clear])
        assert int((~clear).sum()) <= 2


@pytest.mark.parametrize(
    ("norm", "how"),
    [
        (norm, how)
        for norm in ("l_inf", "l_2", "l_1")
        for how in ("PGD", "semi-implicit", "normalized gradient", "quick")
    ]
    + [("l_1.5", "PGD"), ("weighted l_2", "PGD"), ("weighted l_inf", "PGD"), ("weighted l_2", "semi-implicit")]
    + [("l_1", "coordinate"), ("weighted l_inf", "semi-implicit"), ("weighted l_inf", "quick")],
)
def test_verdicts_are_true_of_the_returned_points(norm: str, how: str) -> None:
    at = torch.arange(64)
    result = run(at, norm, RECIPES.get(how) or EFFORTS[how])
    assert 0 < int(result.broken.sum()) < 64
    assert_verified(result, norm, at)


@pytest.mark.slow
def test_verdicts_are_true_of_exact_steps_in_a_norm_without_closed_forms() -> None:
    at = torch.arange(7)
    result = run(at, "l_1.5", Recipe("semi-implicit", 2, 1.0, None, starts.Uniform(0.5), CrossEntropy(), SemiImplicit))
    assert 0 < int(result.broken.sum()) < 7
    assert_verified(result, "l_1.5", at)


@pytest.mark.parametrize("norm", ["l_inf", "l_2"])
def test_targeted_verdicts_are_true_too(norm: str) -> None:
    at, targets = torch.arange(64), (Y[:64] + 1) % 5
    result = run(at, norm, recipes.pgd(8), targets=targets)
    assert 0 < int(result.broken.sum()) < 64
    assert_verified(result, norm, at, targets)


def test_masked_coordinates_do_not_move() -> None:
    mask = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(2)) < 0.5
    for norm in NORMS:
        if norm != "l_1.5":
            result = run(torch.arange(21), norm, recipes.pgd(4), mask=mask)
            assert torch.equal(result.points[:, ~mask], X[:21][:, ~mask])
            assert not torch.equal(result.points, X[:21])
            assert_verified(result, norm, torch.arange(21))


def test_an_error_that_the_verification_does_not_see_is_no_break() -> None:
    """A model that errs only while gradients are taken: reached in every run, confirmed in none."""

    def moody(x: Tensor) -> Tensor:
        z = NET(x)
        return -z if torch.is_grad_enabled() else z

    result = attack(moody, X[:6], Y[:6], ms.Linf(1e-4), recipe=recipes.pgd(5), restarts=3, certify=False)
    assert not result.broken.any()
    assert result.unconfirmed.tolist() == [3] * 6
    assert result.runs.tolist() == [3] * 6


def test_a_row_that_is_not_finite_is_a_third_state() -> None:
    """NaN appears on the way (a pixel above 0.5 breaks the model): neither robust nor broken, and others go on."""
    x = torch.full((4, 1, 8, 8), 0.45)
    x[2:] = 0.1

    def fragile(z: Tensor) -> Tensor:
        return NET(z) + torch.where(z.flatten(1).amax(1) > 0.5, math.nan, 0.0)[:, None]

    y = answers(NET, x)
    result = attack(fragile, x, y, ms.Linf(torch.tensor([0.1, 0.1, 0.02, 0.02])), recipe=recipes.ifgsm(5))
    assert result.non_finite.tolist() == [True, True, False, False]
    assert not result.broken[:2].any()
    assert result.status[:2].tolist() == [ms.Status.NON_FINITE] * 2
    assert result.points.isfinite().all()
    assert torch.equal(answers(NET, result.points[:2]), y[:2])  # the worst finite point, not the broken one
    alone = attack(fragile, x[2:], y[2:], ms.Linf(0.02), recipe=recipes.ifgsm(5), ids=torch.tensor([2, 3]))
    assert torch.equal(alone.points, result.points[2:])


# --- Law 5 -----------------------------------------------------------------------------------------------------------


PRECISE = conv(dtype=torch.float64)


def counted(norm: str, how: Recipe | Effort, rows: int = 30, **options: object) -> tuple[AttackResult, Counting]:
    """In float64, so that no sample stands on an edge between one size of calls and another."""
    x = Counting.number(X[:rows].double())
    counting = Counting(PRECISE)
    which = {"recipe": how} if isinstance(how, Recipe) else {"effort": how}
    y = answers(PRECISE, x)
    limits = Budget(NORMS[norm], LARGEST[norm] * SPREAD[:rows])
    return attack(counting, x, y, limits, mask=Counting.mask(x[0]), **which, **options), counting


@pytest.mark.parametrize(
    ("norm", "how", "certify"),
    [
        *[("l_inf", h, True) for h in [*RECIPES, *EFFORTS]],
        *[("l_2", h, False) for h in [*RECIPES, *EFFORTS] if h != "coordinate"],  # slow, one by one
        *[("l_inf", "PGD", False), ("l_2", "PGD", True), ("l_2", "quick", True)],
    ],
)
def test_counts_are_those_of_the_model(how: str, norm: str, certify: bool) -> None:
    """Sample by sample, where calls have one row and nothing fills them up.

    In larger calls the same passes are counted: not the padding, and no run that was started ahead of its turn instead
    of padding and then was not needed. Every call has the size of a tile.
    """
    what = RECIPES.get(how) or EFFORTS[how]
    options = {"restarts": 3} if how in RECIPES else {"rows": 7}
    result, counting = counted(norm, what, certify=certify, batch_size=1, **options)
    assert {i: int(n) for i, n in enumerate(result.forward)} == counting.after_the_look(
        Counting.number(X[: len(result.forward)].double()), 1
    )
    assert {i: int(n) for i, n in enumerate(result.backward) if n} == dict(counting.backward)
    assert counting.sizes == {1}
    tiled, seen = counted(norm, what, certify=certify, batch_size=8, **options)
    assert torch.equal(tiled.forward, result.forward)
    assert torch.equal(tiled.backward, result.backward)
    assert seen.sizes - {len(result.forward)} == {8}  # the look asks once without padding


@pytest.mark.parametrize("certify", [False, True])
@pytest.mark.parametrize("how", [name for name in RECIPES if name != "fixed rival"])
def test_a_run_of_n_steps_costs_n_backward_and_one_more_forward(how: str, certify: bool) -> None:
    """forward = backward + 1 a run; robust samples make all steps of all runs; a certificate is one pass each way."""
    recipe = RECIPES[how]
    result, _ = counted("l_inf", recipe, certify=certify, restarts=3)
    assert torch.equal(result.forward, result.backward + result.runs)
    robust = ~result.broken
    assert result.runs[robust].tolist() == [3] * int(robust.sum())
    extra = 1 if certify else 0
    moved = robust & (result.status != ms.Status.STATIONARY)
    assert set(result.backward[moved].tolist()) == {3 * recipe.steps + extra}
    assert bool((result.backward[result.broken] <= 3 * recipe.steps).all())
    assert torch.equal(result.gap.isnan(), ~robust | torch.tensor(not certify))
    assert torch.equal(result.slope.isnan(), ~robust | torch.tensor(not certify))


def test_samples_that_fall_leave_at_once() -> None:
    """A sample broken at step k of a run has cost k + 1 gradients there, the last one at the point that breaks it."""
    x = torch.tensor([[0.50], [0.42], [0.30]])
    model = lambda z: torch.cat([z, 0.355 + 0 * z], 1)  # noqa: E731  # breaks below 0.355
    result = attack(model, x, torch.tensor([0, 0, 1]), ms.Linf(0.2), recipe=recipes.ifgsm(20), certify=False)
    # steps of 0.01: sample 0 needs 15 of them, sample 1 needs 7, sample 2 (label 1) breaks above 0.355 after 6
    assert result.broken.tolist() == [True] * 3
    assert result.backward.tolist() == [16, 8, 7]
    assert torch.equal(result.forward, result.backward + 1)


def test_a_report_counts_the_clean_pass_too() -> None:
    x = Counting.number(X[:30])
    counting = Counting(NET)
    y = answers(NET, x)
    y[::5] = (y[::5] + 1) % 5
    # without a mask the numbers would move: weights make moving the last pixel impossible at this radius
    heavy = torch.ones(1, 8, 8)
    heavy[0, 7, 7] = 1e6
    effort = Effort((recipes.pgd(4), recipes.pgd(5)))
    report = evaluate(
        counting, (x, y), Budget(Weighted(Lp(math.inf), heavy), 0.1), effort=effort, batch_size=1, probe=False
    )
    forward = counting.after_the_look(x, 1)
    assert {i: n for i, n in enumerate(report.table["forward"])} == forward
    assert {i: n for i, n in enumerate(report.table["backward"]) if n} == dict(counting.backward)
    assert report.forward_per_sample == pytest.approx(sum(forward.values()) / 30)
    assert report.backward_per_sample == pytest.approx(sum(counting.backward.values()) / 30)
    wrong = [i for i, v in enumerate(report.table["verdict"]) if v == "misclassified"]
    assert wrong == list(range(0, 30, 5))
    assert [report.table["forward"][i] for i in wrong] == [1] * 6


# --- certificates ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["l_inf", "l_2", "l_1"])
def test_gap_and_slope_of_a_linear_model_are_known(norm: str) -> None:
    """The margin <w, x> + b is linear: gap = margin - least margin in the budget, by the dual norm; slope likewise."""
    w = torch.tensor([[0.3, -0.2, 0.5, 0.1]])
    model = lambda z: torch.stack([z @ w[0] + 2.0, 0 * z[:, 0]], 1)  # noqa: E731
    x = torch.full((3, 4), 0.5)
    p = NORMS[norm].p
    q = math.inf if p == 1 else 1.0 if math.isinf(p) else p / (p - 1)
    dual = float(torch.linalg.vector_norm(w, q))
    limits = Budget(NORMS[norm], torch.tensor([0.1, 0.2, 0.0]))
    stay = Recipe("stay", 0, 0.0)
    result = attack(model, x, torch.zeros(3, dtype=torch.int64), limits, recipe=stay)
    torch.testing.assert_close(result.gap, torch.tensor([0.1, 0.2, 0.0]) * dual, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(result.slope[:2], torch.full((2,), dual), atol=1e-5, rtol=1e-5)
    walk = Recipe("walk", 12, 0.25, None, starts.Uniform(), Margin(), SemiImplicit)
    down = attack(model, x[:2], torch.zeros(2, dtype=torch.int64), Budget(NORMS[norm], 0.1), recipe=walk)
    torch.testing.assert_close(down.gap, torch.zeros(2), atol=2e-6, rtol=0)
    torch.testing.assert_close(down.margin, torch.full((2,), 2.0 + 0.35 - 0.1 * dual), atol=2e-6, rtol=0)
