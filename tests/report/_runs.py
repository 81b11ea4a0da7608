"""Small evaluations that the pages of the tests are made of."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

import maxslope as ms
from maxslope.attacks import Effort, recipes
from maxslope.evaluation import Report, evaluate
from nets import answers, conv, images, mlp

FAST = Effort((recipes.ifgsm(3), recipes.pgd(6)), "fast")
EPS = 0.12
BUDGET = ms.Linf(EPS)


@cache
def picture_run(seed: int = 0) -> tuple[Any, Tensor, Tensor, Report]:
    """Forty images of 8 x 8 pixels, a few with wrong labels, under a short attack."""
    model, x = conv(seed=seed), images(40)
    y = answers(conv(), x)
    y[::10] = (y[::10] + 1) % 5
    return model, x, y, evaluate(model, (x, y), BUDGET, effort=FAST)


@cache
def tabular_run() -> tuple[Any, Tensor, Tensor, Report]:
    """Thirty samples of six numbers."""
    model = mlp()
    x = torch.rand(30, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = answers(model, x)
    return model, x, y, evaluate(model, (x, y), ms.L2(0.2), effort=FAST)
