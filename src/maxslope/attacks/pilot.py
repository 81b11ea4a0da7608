"""Choose the order of an effort's runs on a small part of the data; the choice is an effort again, to be replayed."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle
from typing import Any, NamedTuple

import torch
from torch import Tensor

from maxslope import _random
from maxslope.attacks.attack import AttackResult, answer
from maxslope.attacks.effort import Effort
from maxslope.attacks.question import ask
from maxslope.attacks.recipes import Recipe
from maxslope.sets import Budget

_PROBE = 20  # steps of a probe
_POOL = 6  # samples looked at for one that is kept
_FEWEST = 8  # samples that tell kinds apart


class Pilot(NamedTuple):
    """What a pilot chose and what it cost.

    Attributes:
        effort: the effort with its runs reordered.
        forward: forward passes, in total.
        backward: backward passes, in total.
    """

    effort: Effort
    forward: int
    backward: int


def pilot(
    model: Any,
    x: Tensor,
    y: Tensor,
    budget: Budget,
    effort: Effort,
    *,
    samples: int = 48,
    seed: int = 0,
    batch_size: int | None = None,
    **asked: Any,
) -> Pilot:
    """Try every kind of run of ``effort`` on the samples nearest an error, and put first what breaks most.

    The first run stays first. Of a part of the data drawn by hashed position, it is made on all; on those that stand
    with the least margin, one short run of every kind (start, criterion, rival, first step) follows. Kinds are then
    taken greedily by what they break of the rest, ties by their mean rank of margins. Afterwards each verdict under the
    chosen effort depends on its own sample alone, and passing the effort again replays it.

    Args:
        model: see :func:`maxslope.attack`.
        x: correctly classified inputs, ``[rows, *shape]``.
        y: labels, ``[rows]``.
        budget: see :func:`maxslope.attack`.
        effort: whose runs are ordered.
        samples: how many near samples every kind is tried on.
        seed: of the draw and the runs.
        batch_size: see :func:`maxslope.attack`.
        asked: ``goal``, ``targets``, ``context``, ``mask`` and ``realize``, see :func:`maxslope.attack`.

    Returns:
        A :class:`Pilot`; the effort as it was where fewer than 8 samples stand after the first run, or where there is
        nothing to order: fewer than two kinds of run after the first.

    Raises:
        ValueError: if ``samples`` is less than 1, and what :func:`maxslope.attack` raises.
    """
    if samples < 1:
        raise ValueError(f"A pilot needs at least one sample, got samples={samples}.")
    first, *later = effort.runs
    kinds: dict[tuple[Any, ...], Recipe] = {}  # the first run of each kind
    for recipe in later:
        kinds.setdefault((recipe.start, recipe.criterion, recipe.rival, recipe.first), recipe)
    if len(kinds) < 2:
        return Pilot(effort, 0, 0)
    question = ask(model, x, y, budget, seed=seed, batch_size=batch_size, **asked)
    made: list[AttackResult] = []

    def run(recipe: Recipe, rows: Tensor) -> AttackResult:
        made.append(answer(question.take(rows), Effort((recipe,), recipe.name), certify=False, probe=False))
        return made[-1]

    draw = _random.uniform(_random.keys(seed, torch.arange(x.shape[0], device=x.device)), (1,))[:, 0]
    part = draw.argsort()[: _POOL * samples]
    begun = run(first, part)
    standing = (~begun.broken & begun.margin.isfinite()).nonzero().squeeze(1)
    near = part[standing[begun.margin[standing].argsort()[:samples]]]
    if near.numel() >= _FEWEST:
        tried = list(kinds.values())
        found = [run(replace(r, steps=min(r.steps, _PROBE)), near) for r in tried]
        broken = torch.stack([f.broken for f in found])
        rank = torch.stack([f.margin for f in found]).argsort(0).argsort(0).double().mean(1)
        order = cycle(tried[k] for k in _greedy(broken, rank))
        # Lengths keep their places: short runs of every kind come before long ones.
        runs = [
            replace(kind, steps=r.steps, name=f"{kind.name.rsplit(' ', 1)[0]} {r.steps}")
            for kind, r in zip(order, later, strict=False)
        ]
        effort = effort.reordered((first, *runs), f"{effort.name} (piloted)")
    return Pilot(effort, sum(int(r.forward.sum()) for r in made), sum(int(r.backward.sum()) for r in made))


def _greedy(broken: Tensor, rank: Tensor) -> list[int]:
    """Kinds by what they break of the samples that no earlier kind broke, ties by mean rank."""
    left = torch.ones_like(broken[0])
    rest, order = list(range(len(broken))), []
    while rest:
        best = max(rest, key=lambda k: (int((broken[k] & left).sum()), -float(rank[k])))
        left &= ~broken[best]
        order.append(best)
        rest.remove(best)
    return order
