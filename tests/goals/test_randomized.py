"""Random models: votes with a stated confidence, seeded draws, and a caller's chance that is left alone."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from scipy.stats import binom
from torch import Tensor, nn

import maxslope as ms
from maxslope.attacks.question import ask
from maxslope.attacks.verify import verify

SIGMA = 0.3
X = torch.tensor([[0.9, 0.1], [0.62, 0.5], [0.5, 0.48], [0.8, 0.5], [0.45, 0.55], [0.53, 0.2]])
Y = torch.zeros(6, dtype=torch.int64)


class Noisy(nn.Module):
    """Logits (z_0, z_1) behind noise: an answer at z is wrong with probability Phi((z_1 - z_0) / (sigma sqrt 2))."""

    def forward(self, x: Tensor) -> Tensor:
        return x + SIGMA * torch.randn_like(x)


def share(z: Tensor) -> Tensor:
    """The probability of an error."""
    return torch.special.ndtr((z[:, 1] - z[:, 0]) / (SIGMA * math.sqrt(2)))


@pytest.mark.parametrize("votes", [8, 16, 33, 64])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
def test_votes_needed_are_those_of_the_binomial_test(votes: int, confidence: float) -> None:
    needed = ms.Randomized(Noisy(), votes=votes, confidence=confidence).needed
    assert binom.sf(needed - 1, votes, 0.5) <= 1 - confidence < binom.sf(needed - 2, votes, 0.5)


def attacked(eps: float = 0.1, index: Any = slice(None), seed: int = 0) -> ms.AttackResult:
    model = ms.Randomized(Noisy().eval(), draws=4, votes=32, seed=seed)
    ids = torch.arange(6)[index]
    return ms.attack(model, X[index], Y[index], ms.Linf(eps), ids=ids, effort=ms.Effort.quick().limited(60))


def test_verdicts_are_what_most_answers_are() -> None:
    """In a ball of 0.1 the difference of the logits falls by 0.2: error rates of the worst point are known."""
    worst = share(X + torch.tensor([-0.1, 0.1]))
    found = attacked()
    assert found.broken[worst > 0.8].all()
    assert not found.broken[worst < 0.45].any()
    torch.manual_seed(1)
    for z, broken in zip(found.points, found.broken, strict=True):  # his own vote
        rate = float((Noisy()(z.expand(4000, 2)).argmax(1) == 1).double().mean())
        assert not broken or rate > 0.5


def test_the_callers_chance_is_left_alone_and_runs_repeat() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = attacked()
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(99)
    again = attacked()
    assert torch.equal(first.points, again.points)
    assert torch.equal(first.margin, again.margin)
    assert not torch.equal(first.points, attacked(seed=1).points)


def test_rows_are_strangers() -> None:
    whole, order = attacked(), torch.tensor([4, 0, 2])
    part = attacked(index=order)
    for name in ("points", "margin", "broken", "forward", "backward"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[order]), name


def test_a_clean_sample_is_wrong_where_most_answers_are() -> None:
    model = ms.Randomized(Noisy().eval(), draws=4, votes=64)
    x = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
    report = ms.evaluate(model, (x, Y[:2]), ms.Linf(0.01), effort=ms.Effort.quick())
    assert report.table["verdict"] == ["robust", "misclassified"]
    small = ms.minimal(model, X[3:4], Y[3:4], ms.Lp(math.inf), effort=ms.Effort(passes=30))
    # Half of all answers are errors where the logits meet, at (z_0 - z_1) / 2; what votes do not confirm is not found.
    assert float(small.norms) >= 0.9 * 0.15


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"draws": 0}, "draws=0"),
        ({"votes": 0}, "votes=0"),
        ({"confidence": 1.0}, "[0.5, 1)"),
        ({"votes": 3}, "at least 5"),
        ({"votes": 4, "confidence": 0.95}, "at least 5"),
    ],
)
def test_misuse(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        ms.Randomized(Noisy(), **options)


def test_a_random_model_is_told_of_it() -> None:
    with pytest.warns(UserWarning, match=r"Randomized\(model"):
        ms.evaluate(Noisy().eval(), (X, Y), ms.Linf(0.1), effort=ms.Effort.quick())


class Overflowing(nn.Module):
    """Right by far, but for one answer in five, in which a logit of the other class is infinite."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        out = torch.stack([x[:, 0] + 5, x[:, 1]], 1)
        out[torch.rand(len(x)) < 0.2, 1] = self.value
        return out


@pytest.mark.parametrize("value", [math.inf, math.nan, -math.inf])
def test_one_vote_that_is_not_finite_leaves_no_verdict(value: float) -> None:
    """Neither robust nor broken, however many votes were right; a rival of minus infinity has just not won."""
    question = ask(ms.Randomized(Overflowing(value).eval(), draws=2, votes=32), X, Y, ms.Linf(0.01))
    seen = verify(question, torch.arange(len(X)), X)
    bad = value != -math.inf
    assert seen.non_finite.tolist() == [bad] * len(X)
    assert seen.margin.isnan().tolist() == [bad] * len(X)
    assert not bool(seen.broken.any())
