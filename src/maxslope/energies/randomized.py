"""A model that is random: what is asked of it is asked several times."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maxslope import _checks


@dataclass(frozen=True, eq=False)
class Randomized:
    """A random model, such as one with noise in front of it: gradients are averages over draws, verdicts are votes.

    The search follows the mean of its energy over ``draws`` answers (expectation over transformation,
    arXiv:1707.07397). A sample is broken where so many of ``votes`` other answers are errors that more than half of all
    answers are, with the stated confidence (an exact binomial test); a clean sample is right unless more than half of
    its votes are errors. Margins are those order statistics of the margins of the votes; tables have the share of
    errors in ``rate``.

    Draws are seeded by (seed, the bits of the point): a row's answers depend on its point alone, and an evaluation can
    be repeated. torch's global generators are left as they were. Each point is a call of its own, of ``draws`` or
    ``votes`` rows.

    Args:
        model: maps ``[rows, *shape]`` to ``[rows, ...]``; it draws from torch's global generators, differently for each
            row.
        draws: answers at each point of the search, at least 1.
        votes: answers on which a verdict rests, at least 1.
        confidence: of a verdict "broken", in [0.5, 1).
        seed: of the draws.

    Raises:
        TypeError: if the model is not callable.
        ValueError: if draws or votes are less than 1, the confidence is out of range, or no number of errors among the
            votes has it.

    >>> _ = torch.manual_seed(0)
    >>> Randomized(torch.nn.Dropout(0.5), draws=4, votes=16).needed
    12
    """

    model: Any
    draws: int = 8
    votes: int = 64
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if not callable(self.model):
            raise TypeError(f"Randomized wraps a model, got {type(self.model).__name__}.")
        if not _checks.whole(self.draws, 1) or not _checks.whole(self.votes, 1):
            raise ValueError(f"draws and votes are integers >= 1, got draws={self.draws!r}, votes={self.votes!r}.")
        if not 0.5 <= self.confidence < 1:
            raise ValueError(f"The confidence of a vote is in [0.5, 1), got {self.confidence!r}.")
        if 2.0**-self.votes > 1 - self.confidence:
            raise ValueError(
                f"{self.votes} votes cannot show anything with confidence {self.confidence:g}, even if all agree; give "
                f"at least {math.ceil(-math.log2(1 - self.confidence))}."
            )

    def __call__(self, x: Tensor, *context: Tensor) -> Tensor:
        """Return one answer for each row, with the caller's chance."""
        out: Tensor = self.model(x, *context)
        return out

    @property
    def needed(self) -> int:
        """The least number k of errors with P(B >= k) <= 1 - confidence, B binomial with ``votes`` fair coins."""
        tail, k = 0.0, self.votes + 1
        while k > 0 and (more := tail + math.comb(self.votes, k - 1) / 2.0**self.votes) <= 1 - self.confidence:
            tail, k = more, k - 1
        return k


@contextmanager
def seeded(key: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators for a while, and leave them as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(key)
        yield
