"""What goals say of clean samples, of outputs that are no numbers, and of misuse."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import maxslope as ms
from maxslope.goals import AnyLabel, Beyond, Misclassified, Share, Targeted, TopK, Undetected, as_goal

INF, NAN = math.inf, math.nan
ONE = torch.tensor([1])


@pytest.mark.parametrize(
    ("goal", "outputs", "y", "margin"),
    [
        (Misclassified(), [[1.0, 1.0]], [0], 0.0),
        (TopK(1), [[3.0, 5.0, 1.0]], [0], -2.0),
        (TopK(2), [[3.0, 5.0, 1.0]], [0], 2.0),
        (TopK(2), [[3.0, 5.0, 4.0]], [0], -1.0),
        (TopK(2), [[3.0, 5.0, -INF]], [0], INF),
        (Targeted(), [[3.0, 5.0, 1.0]], [1], -2.0),
        (Undetected(2), [[3.0, 5.0, 9.0]], [0], 4.0),
        (Undetected(2), [[3.0, 5.0, 4.0]], [0], -1.0),
        (Undetected(2), [[3.0, -INF, 4.0]], [0], INF),
        (AnyLabel(), [[3.0, -2.0]], [[1, 0]], 2.0),
        (AnyLabel(), [[3.0, -2.0]], [[1, 1]], -2.0),
        (AnyLabel(), [[3.0, -INF]], [[1, 0]], 3.0),
        (Share(0.5), [[[3.0, 1.0, 2.0], [0.0, 4.0, 0.0]]], [[0, 0, 0]], 2.0),
        (Share(0.3), [[[3.0, 1.0, 2.0], [0.0, 4.0, 0.0]]], [[0, 0, 0]], -3.0),
        (Share(0.5), [[[3.0, 1.0, 2.0], [0.0, 4.0, 0.0]]], [[0, 0, -1]], -3.0),
        (Beyond(0.5), [2.0], [2.25], 0.25),
        (Beyond(0.5), [[2.0]], [4.0], -1.5),
        (lambda z, y: z[:, 0] - y, [[2.0]], [4.0], -2.0),
    ],
)
def test_margins(goal: Any, outputs: Any, y: Any, margin: float) -> None:
    assert float(as_goal(goal).margin(torch.tensor(outputs), torch.tensor(y))) == margin


def affine(values: Tensor) -> Any:
    """A model whose outputs do not depend on the point, but on the number of the row that it carries."""

    def model(x: Tensor) -> Tensor:
        return values[x.flatten(1)[:, 0].detach().round().long()] + 0.0 * x.sum()

    return model


CLEAN = [
    (Undetected(2), [[0.0, 1.0, 3.0], [0.0, 3.0, 1.0], [3.0, 1.0, 1.0]], [1, 1, 1], [False, True, False]),
    (Targeted(), [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]], [1, 1, 1], [False, True, True]),
    (TopK(2), [[0.0, 2.0, 1.0], [1.0, 2.0, 0.0], [1.0, 2.0, 1.0]], [0, 0, 0], [False, True, True]),
    (AnyLabel(), [[1.0, 1.0], [1.0, -1.0], [1.0, 0.0]], [[1, 0]] * 3, [False, True, True]),
    (Beyond(1.0), [[0.0], [5.0], [4.0]], [4.5, 4.5, 5.0], [False, True, True]),
    (Share(1.0), [[[0.0, 0.0], [1.0, 1.0]], [[0.0, 2.0], [1.0, 0.0]]] * 2, [[0, 0]] * 4, [False, True] * 2),
]


@pytest.mark.parametrize(("goal", "outputs", "y", "right"), CLEAN)
def test_clean_samples_are_right_where_their_margin_is_not_negative(
    goal: Any, outputs: Any, y: Any, right: Any
) -> None:
    x = torch.arange(float(len(right)))[:, None].expand(-1, 3).contiguous()
    model, y = affine(torch.tensor(outputs)), torch.tensor(y)
    budget = ms.Linf(0.0, box=None)
    report = ms.evaluate(model, (x, y), budget, goal=goal, effort=ms.Effort.quick())
    assert [verdict == "robust" for verdict in report.table["verdict"]] == right
    assert report.clean_accuracy == pytest.approx(sum(right) / len(right))
    norms = ms.minimal(model, x, y, ms.Lp(2), box=None, goal=goal, effort=ms.Effort(passes=4)).norms
    assert (norms == 0).tolist() == [not one for one in right]


NOT_FINITE = [
    (Misclassified(), [[NAN, 1.0, 1.0]], [0]),
    (TopK(2), [[INF, 1.0, 0.0]], [0]),
    (TopK(2), [[3.0, NAN, 0.0]], [0]),
    (Targeted(), [[3.0, NAN, 0.0]], [0]),
    (Undetected(2), [[3.0, 1.0, NAN]], [0]),
    (AnyLabel(), [[3.0, NAN]], [[1, 0]]),
    (Share(0.5), [[[3.0, NAN], [0.0, 1.0]]], [[0, 0]]),
    (Beyond(0.5), [[NAN]], [0.0]),
    (Beyond(0.5), [[INF]], [0.0]),
    (Beyond(0.5), [[-INF]], [0.0]),
    (lambda z, y: z[:, 0] - y, [[NAN, 0.0]], [0.0]),
]


@pytest.mark.parametrize(("goal", "outputs", "y"), NOT_FINITE)
def test_no_number_is_the_third_state(goal: Any, outputs: Any, y: Any) -> None:
    x, y = torch.zeros(1, 3), torch.tensor(y)
    model = affine(torch.tensor(outputs))
    verdicts = ms.evaluate(model, (x, y), ms.Linf(0.1, box=None), goal=goal, effort=ms.Effort.quick()).table["verdict"]
    assert verdicts == ["non-finite"]
    found = ms.attack(model, x, y, ms.Linf(0.1, box=None), goal=goal, recipe=ms.recipes.fgsm())
    assert found.non_finite.tolist() == [True]
    assert found.broken.tolist() == [False]
    smallest = ms.minimal(model, x, y, ms.Lp(2), box=None, goal=goal, effort=ms.Effort(passes=4))
    assert smallest.non_finite.tolist() == [True]
    assert bool(smallest.norms.isnan().all())


def test_a_class_that_cannot_win_leaves_gradients_finite() -> None:
    def model(x: Tensor) -> Tensor:
        dead = torch.full_like(x[:, :1], -INF)
        return torch.cat([x, dead, dead], 1)

    x = torch.tensor([[0.3, 0.2, 0.1]])
    for goal, broken in ((TopK(2), True), (Undetected(4), True), (TopK(3), False)):
        found = ms.attack(model, x, torch.tensor([0]), ms.Linf(0.2), goal=goal, effort=ms.Effort.quick())
        assert found.broken.tolist() == [broken]
        assert found.non_finite.tolist() == [False]


def asked(goal: Any, outputs: Any, y: Any) -> None:
    x = torch.zeros(len(outputs), 2)
    ms.attack(affine(torch.tensor(outputs)), x, y, ms.Linf(0.1, box=None), goal=goal, recipe=ms.recipes.fgsm())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: TopK(0), "at least 1, got 0"),
        (lambda: TopK(True), "integer k"),
        (lambda: TopK(2.0), "integer k"),
        (lambda: Undetected(-1), "got -1"),
        (lambda: Share(0.0), "got at_least=0.0"),
        (lambda: Share(1.5), "got at_least=1.5"),
        (lambda: Beyond(-1.0), "got -1.0"),
        (lambda: Beyond(NAN), "got nan"),
        (lambda: as_goal("top"), "TopK"),
        (lambda: as_goal(TopK), "TopK"),
        (lambda: asked(TopK(2), [[0.0, 1.0]], torch.tensor([0])), "more than 2 classes"),
        (lambda: asked(Undetected(3), [[0.0, 1.0, 2.0]], torch.tensor([0])), "0 to 2"),
        (lambda: asked(Undetected(1), [[0.0, 1.0]], torch.tensor([0])), "at least 3 classes"),
        (lambda: asked(TopK(1), [[0.0, 1.0]], torch.tensor([2])), "largest label is 2"),
        (lambda: asked(AnyLabel(), [[0.0, 1.0]], torch.tensor([1])), "Misclassified"),
        (lambda: asked(AnyLabel(), [[0.0, 1.0]], torch.tensor([[1, 2]])), "from 1 to 2"),
        (lambda: asked(AnyLabel(), [[0.0, 1.0]], torch.tensor([[1, 0, 1]])), "a logit for each tag"),
        (lambda: asked(Share(0.5), [[0.0, 1.0]], torch.tensor([1])), "Misclassified"),
        (lambda: asked(Share(0.5), [[[0.0], [1.0]]], torch.tensor([[-1]])), "at least one place"),
        (lambda: asked(Share(0.5), [[[0.0], [1.0]]], torch.tensor([[2]])), "largest"),
        (lambda: asked(Share(0.5), [[[0.0], [1.0]]], torch.tensor([[0, 1]])), "[rows, classes, *places]"),
        (lambda: asked(Beyond(0.5), [[0.0, 1.0]], torch.tensor([0.5])), "choose one output"),
        (lambda: asked(Beyond(0.5), [[0.0]], torch.tensor([NAN])), "must be finite"),
        (lambda: asked(Beyond(0.5), [[0.0]], torch.tensor([[0.0, 1.0]])), "one real number per sample"),
        (lambda: asked(lambda z, y: z, [[0.0, 1.0]], torch.tensor([0])), "one margin per row"),
        (lambda: asked(lambda z, y: 0.0, [[0.0, 1.0]], torch.tensor([0])), "one margin per row"),
    ],
)  # fmt: skip
def test_misuse(call: Any, said: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert said in str(caught.value)


@pytest.mark.parametrize("count", [lambda z, y: (z > 0).sum(1) - 1, lambda z, y: (z > 0).any(1)])
def test_a_margin_that_counts_is_refused_with_the_way_out(count: Any) -> None:
    """It has no gradient; what the message proposes has, and asks the same."""
    x, y = torch.tensor([[0.5, 0.3], [-0.5, 0.05]]), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ValueError, match="real number"):
        ms.attack(lambda x: x, x, y, ms.Linf(0.1, box=None), goal=count)
    last = ms.attack(lambda x: x, x, y, ms.Linf(0.1, box=None), goal=lambda z, y: z.sort(1).values[:, 1])
    assert last.broken.tolist() == [False, True]


@pytest.mark.parametrize("model", [lambda x: x.sum(1), lambda x: x.sum(1, keepdim=True)])
def test_answers_and_labels_may_be_columns_and_labels_whole_numbers(model: Any) -> None:
    """In every verb; a model of one number a row, ``[rows]``, once ended in an error of an index."""
    x, budget, goal = torch.tensor([[0.5, 0.3], [-0.5, 0.05], [2.0, 1.0]]), ms.Linf(0.1, box=None), Beyond(0.9)
    for y in (torch.tensor([0, 0, 3]), torch.tensor([[0.0], [0.0], [3.0]]), torch.tensor([0.0, 0.0, 3.0])):
        assert ms.attack(model, x, y, budget, goal=goal).broken.tolist() == [True, False, False]
        report = ms.evaluate(model, (x, y), budget, goal=goal, probe=False)
        assert report.table["verdict"] == ["broken", "robust", "robust"]
    many = torch.rand(24, 2)  # so many that the indicators are asked
    probed = ms.evaluate(
        model, (many, many.sum(1)), ms.Linf(0.01, box=None), goal=Beyond(0.05), effort=ms.Effort.quick()
    )
    assert probed.table["verdict"] == ["robust"] * 24
    assert sum(probed.probes) > 0
    nearest = ms.minimal(model, x, torch.tensor([0.0, 0.0, 3.0]), ms.Lp(math.inf), goal=goal, box=None)
    assert nearest.norms.tolist() == pytest.approx([0.05, 0.225, 0.45], rel=1e-2)


def test_bits_are_0_and_1() -> None:
    with pytest.raises(ValueError, match="0 and 1"):
        ms.attack(lambda x: x, torch.rand(2, 3), torch.tensor([[0, 1, -1], [1, 0, 1]]), ms.Linf(0.1), goal=AnyLabel())
