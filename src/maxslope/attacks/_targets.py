"""The fixed classes that runs may raise: wrong ones in order, by their logits or by how far they are."""

from __future__ import annotations

import torch
from torch import Tensor

from maxslope.attacks.question import Question
from maxslope.energies import Margin
from maxslope.energies.network import Passes
from maxslope.goals import Goal


class Targets:
    """Wrong classes of each sample, ranked at its clean point once a run asks for them.

    The passes this takes belong to the sample's first run that fixes a rival, and are counted when that run counts. So
    many ``candidates`` with the largest logits are ordered by their distance to first order, at a pass each.
    """

    def __init__(self, question: Question, candidates: int) -> None:
        self.question, self.candidates = question, candidates
        self.ranked: Tensor | None = None
        self.known = torch.zeros_like(question.ids, dtype=torch.bool)

    @property
    def passes(self) -> Passes:
        """Forward and backward passes of a sample."""
        if not self.question.goal.ranked:
            return Passes(0, 0)
        tried = 0 if self.ranked is None else min(self.candidates, self.ranked.shape[1])
        return Passes(1 + tried, tried)

    def learn(self, samples: Tensor) -> None:
        """Rank the classes of samples that are not known yet."""
        missing = samples[~self.known[samples]].tolist()
        if not self.question.goal.ranked or not missing:
            return
        wanted = torch.tensor(sorted(set(missing)), device=samples.device)
        question = self.question
        order = ranked(question.goal, question.outputs(wanted, question.x[wanted]), question.y[wanted])
        if self.candidates:
            order = nearest_first(question, wanted, order, self.candidates)
        if self.ranked is None:
            self.ranked = order.new_zeros(question.rows, order.shape[1])
        self.ranked[wanted], self.known[wanted] = order, True

    def of(self, sample: Tensor, rank: Tensor) -> Tensor | None:
        """The class that each row raises, ``[rows]``, by its rank; -1 (rank 0) for the strongest."""
        if self.ranked is None or not bool((rank > 0).any()):
            return None
        at = (rank - 1) % self.ranked.shape[1]
        return torch.where(rank > 0, self.ranked[sample].gather(1, at[:, None]).squeeze(1), -1)


def ranked(goal: Goal, outputs: Tensor, y: Tensor) -> Tensor:
    """Return the scores besides that of each label, largest first, ``[rows, scores - 1]``."""
    scores, label = goal.scores(outputs, y)
    return scores.scatter(1, label[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)[:, :-1]


def nearest_first(question: Question, rows: Tensor, order: Tensor, count: int) -> Tensor:
    """Order the first ``count`` classes by (z_y - z_k) / |grad (z_y - z_k)|_*, how far they are to first order.

    ``order`` are the wrong classes of some rows by their logits, ``[rows, classes - 1]``.

    Source: Melamed, Yehudai and Shamir, MALT (arXiv:2407.02240), who rank targets so.
    """
    far, count = [], min(count, order.shape[1])
    for k in range(count):
        e = question.energy(rows, Margin(), order[:, k]).evaluate(question.x[rows])
        size = question.budget.norm.dual_norm(e.gradient)
        far.append(torch.where(size > 0, e.value / size, torch.inf))
    nearest = torch.stack(far, 1).argsort(dim=1, stable=True)
    return torch.cat([order[:, :count].gather(1, nearest), order[:, count:]], 1)
