"""Clean accuracies as of guessing, and classes in another order: said, where it is so, and only there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import maxslope as ms
from maxslope.attacks import Effort, recipes
from maxslope.attacks.findings import Kind, Severity
from maxslope.evaluation import smallest
from maxslope.evaluation.about import About
from maxslope.evaluation.guessing import doubts

FAST = Effort((recipes.pgd(2),), "fast")
ABOUT = About(goal="misclassified")


def said(labels: list[int], predictions: list[int], about: About = ABOUT, **more: Any) -> list[tuple[Kind, str]]:
    table = {"index": list(range(len(labels))), "label": labels, "prediction": predictions, **more}
    return [(found.kind, found.seen) for found in doubts(table, about)]


def test_a_model_that_says_one_class_is_no_better_than_guessing() -> None:
    """What a forgotten --weights leaves: 4 classes, one answer."""
    ((kind, seen),) = said([0, 1, 2, 3] * 10, [2] * 40)
    assert kind is Kind.GUESSING
    assert kind.severity == Severity.WARNING
    assert seen == (
        "10 of 40 clean samples are classified correctly (25.0 %, 95 % interval 14.2 to 40.2): the model answers class "
        "2 for 40 of them, and always to say so is right for 25.0 %."
    )
    for asked in ("--weights", "order", "range", "normalization"):
        assert asked in kind.advice


@pytest.mark.parametrize(
    ("labels", "predictions", "fires"),
    [
        ([0, 1, 2, 3] * 10, [0, 2, 1, 0] * 10, True),  # a quarter is right, of several answers
        ([0] * 36 + [1] * 4, [0] * 40, True),  # 90 % are right, and so would be any model that says 0
        ([0] * 90 + [1] * 10, [0] * 90 + [1] * 10, False),
        ([0] * 38 + [1] * 2, [0] * 38 + [1] * 2, False),  # all are right: few labels of the other kind, but known ones
        ([0] * 38 + [1] * 2, [0] * 40, True),
        ([0, 1] * 20, [0, 1] * 15 + [1, 1] * 5, False),  # 35 of 40
        ([0, 1] * 5, [0, 0] * 5, False),  # ten samples say nothing
        ([3] * 40, [3] * 40, False),  # one label alone
    ],
)
def test_guessing_is_named_where_it_is_and_nowhere_else(labels: list[int], predictions: list[int], fires: bool) -> None:
    assert [kind for kind, _ in said(labels, predictions)] == [Kind.GUESSING] * fires


def test_other_goals_and_answers_that_are_not_finite_are_left_alone() -> None:
    labels, constant = [0, 1, 2, 3] * 10, [2] * 40
    assert not said(labels, constant, About(goal="targeted"))
    assert not said(labels, constant, verdict=["non-finite"] * 40)


def test_swapped_and_shifted_classes_are_named() -> None:
    ((kind, seen),) = said([0, 1, 2, 3] * 10, [1, 0, 2, 3] * 10, About(goal="misclassified", classes=("cat", "dog")))
    assert kind is Kind.ORDER
    assert seen == (
        "Most clean samples of class cat are answered dog (10 of 10), of class dog are answered cat (10 of 10): these "
        "classes look swapped."
    )
    ((kind, seen),) = said([1, 2, 3] * 10, [0, 1, 2] * 10)
    assert (kind, seen.endswith("these classes look shifted.")) == (Kind.ORDER, True)
    assert not said([0, 1, 2, 3] * 10, [1, 1, 2, 3] * 10)  # a confusion, no other order
    assert not said([0, 1] * 4 + [2, 3] * 10, [1, 0] * 4 + [2, 3] * 10)  # four of each are few


class Columns(nn.Module):
    """The largest of four coordinates, or of them in another order."""

    def __init__(self, order: tuple[int, ...] = (0, 1, 2, 3)) -> None:
        nn.Module.__init__(self)
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        return 10 * x[:, list(self.order)]


def samples(each: int = 40) -> tuple[Tensor, Tensor]:
    y = torch.arange(4).repeat(each)
    noise = 0.1 * torch.rand(len(y), 4, generator=torch.Generator().manual_seed(0))
    return 0.4 + noise + 0.25 * nn.functional.one_hot(y, 4), y


def test_swapped_classes_are_no_detector() -> None:
    """Samples that are not attacked, being wrong, have classes too: nobody rejects anything."""
    report = ms.evaluate(Columns((1, 0, 2, 3)).eval(), samples(), ms.Linf(0.2), effort=FAST)
    kinds = [found.kind for found in report.warnings]
    assert Kind.ORDER in kinds
    assert Kind.UNSEEN_CLASS not in kinds
    assert not report.trusted


def test_every_verb_says_so() -> None:
    wrong = nn.Sequential(nn.Flatten(), nn.Linear(4, 4)).eval().requires_grad_(False)
    wrong[1].weight.zero_()
    report = ms.evaluate(wrong, samples(8), ms.Linf(0.2), effort=FAST)
    assert [found.kind for found in report.warnings if found.kind is Kind.GUESSING]
    found = smallest(wrong, samples(8), ms.Lp(2), effort=Effort(passes=4))
    assert [one.kind for one in found.warnings] == [Kind.GUESSING]
    fine = ms.evaluate(Columns().eval(), samples(8), ms.Linf(0.01), effort=FAST)
    assert fine.warnings == ()
