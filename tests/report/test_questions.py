"""Reports on every question: forms that hold for it, and no search of theirs that would answer another."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import nn

import maxslope as ms
from maxslope.attacks.findings import Kind

FAST = ms.Effort((ms.recipes.pgd(3),), "fast")
BUDGET = ms.Linf(0.05)


def asked(question: str) -> tuple[Any, tuple[torch.Tensor, torch.Tensor], dict[str, Any]]:
    """Model, data and options of a question."""
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Flatten(), nn.Linear(16, 4)).eval(), torch.rand(20, 1, 4, 4)
    y, number, places = net(x).argmax(1), nn.Sequential(nn.Flatten(), nn.Linear(16, 1)).eval(), nn.Conv2d(1, 3, 1)
    return {
        "random": (ms.Randomized(lambda z: net(z + 0.01 * torch.randn_like(z)), draws=2, votes=8), (x, y), {}),
        "top": (net, (x, y), {"goal": ms.goals.TopK(2)}),
        "labels": (net, (x, (net(x) > 0).long()), {"goal": ms.goals.AnyLabel()}),
        "regression": (number, (x, number(x).detach()), {"goal": ms.goals.Beyond(0.05)}),
        "places": (places.eval(), (x, places(x).argmax(1)), {"goal": ms.goals.Share(0.5)}),
        "mask": (net, (x, y), {"mask": (torch.arange(16) < 2).reshape(1, 4, 4)}),
        "targets": (net, (x, y), {"targets": (y + 1) % 4}),
    }[question]


@pytest.mark.slow
@pytest.mark.parametrize("question", ["random", "top", "labels", "regression", "places", "mask", "targets"])
def test_every_question_has_its_forms(question: str) -> None:
    model, data, options = asked(question)
    with warnings.catch_warnings(action="ignore"):
        report = ms.evaluate(model, data, BUDGET, effort=FAST, **options)
        found = ms.page(report, model=model, data=data, budget=BUDGET)
        both = ms.compare(report, report, data=data, models=[model, model], budget=BUDGET)
    assert report.about.plain == (question == "random")
    if question != "random":  # the page knows the budget, but not the question: it must not count errors of another
        assert Kind.MISSED not in {one.kind for one in found.facts.doubts}
        assert found.tracks == ()
        assert found.facts.robust.value == report.robust_accuracy
        assert both.facts[0].robust.value == report.robust_accuracy
        assert "not every point or every answer counts as usual" in found.html()
    for text in (found.html(), found.json(), found.csv(), found.markdown(), found.latex(), both.html(), str(both)):
        assert text
    if find_spec("pandas"):
        assert len(report.to_pandas()) == 20
    assert sum(row["samples"] for row in report.by_class()) == (
        0 if question in ("labels", "regression", "places") else 20
    )
    assert report.plot().axes
