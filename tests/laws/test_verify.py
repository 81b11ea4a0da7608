"""The one answer: what ``verify`` and ``clean`` say of points whose worth is known, and what a question hands them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from maxslope import L2, Budget, Effort, Linf, Lp, Randomized, attack, goals, realize, recipes
from maxslope.attacks.question import ask, calls_for, tile_for
from maxslope.attacks.verify import clean, settled, verify
from maxslope.criteria import Margin
from maxslope.energies import Network

X = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.25, 0.75], [0.9, 0.1]])
Y = torch.tensor([0, 0, 1, 0])


def model(x: Tensor) -> Tensor:
    """Class 0 while x_0 >= 0.4, class 1 below; NaN where x_1 > 0.95."""
    z = torch.stack([x[:, 0] - 0.4, torch.zeros_like(x[:, 0])], 1)
    return torch.where(x[:, 1:] > 0.95, math.nan, z)


def asked(budget: Budget | None = None, **options: object):
    return ask(model, X, Y, budget or Linf(0.2), **options)


def everyone(question) -> Tensor:
    return torch.arange(question.rows)


def test_broken_is_wrong_finite_and_inside() -> None:
    question = asked()
    points = torch.tensor([[0.35, 0.5], [0.45, 0.2], [0.45, 0.75], [0.75, 0.1]])
    seen = verify(question, everyone(question), points)
    assert seen.broken.tolist() == [True, False, True, False]
    assert seen.inside.tolist() == [True, True, True, True]
    assert not bool(seen.non_finite.any())
    torch.testing.assert_close(seen.margin, torch.tensor([-0.05, 0.05, -0.05, 0.35]))
    torch.testing.assert_close(seen.distance, torch.tensor([0.15, 0.2, 0.2, 0.15]))  # the second was 0.3 away
    assert seen.rate.tolist() == [1.0, 0.0, 1.0, 0.0]
    torch.testing.assert_close(seen.points[1], torch.tensor([0.45, 0.3]))
    assert torch.equal(seen.points[[0, 2, 3]], points[[0, 2, 3]])
    far = verify(asked(Linf(0.05)), torch.tensor([0]), points[:1])  # wrong where it was, right where it may be
    assert (bool(far.broken), far.points.tolist()) == (False, [[pytest.approx(0.45), 0.5]])


def test_an_answer_that_is_not_finite_breaks_nothing() -> None:
    question = asked(Linf(0.5))
    points = torch.tensor([[0.35, 0.96], [0.6, 0.96]])
    seen = verify(question, torch.tensor([0, 1]), points)
    assert seen.non_finite.tolist() == [True, True]
    assert seen.broken.tolist() == [False, False]
    assert bool(seen.margin.isnan().all())
    above = ask(lambda x: model(x).nan_to_num(nan=math.inf), X, Y, Linf(0.5))
    assert verify(above, torch.tensor([0]), points[:1]).non_finite.tolist() == [True]
    below = ask(lambda x: torch.stack([x[:, 0] * 0 - math.inf, x[:, 0]], 1), X, Y, Linf(0.5))
    seen = verify(below, torch.tensor([0, 2]), X[[0, 2]])
    assert seen.broken.tolist() == [True, False]  # -inf cannot win
    assert seen.non_finite.tolist() == [False, False]


def test_rows_name_the_samples_of_the_points() -> None:
    question = asked(Linf(torch.tensor([0.2, 0.1, 0.3, 0.6])))
    point = torch.tensor([[0.35, 0.5]])
    assert [bool(verify(question, torch.tensor([i]), point).broken) for i in (0, 1)] == [True, False]
    two = verify(question, torch.tensor([1, 0]), point.expand(2, -1))
    assert two.broken.tolist() == [False, True]
    where = asked(Linf(0.6))  # one point, which is class 1: wrong for samples 0, 1 and 3, right for sample 2
    for rows in ([2, 0], [3, 2, 1], [2]):
        seen = verify(where, torch.tensor(rows), point.expand(len(rows), -1))
        assert seen.broken.tolist() == [i != 2 for i in rows]
        torch.testing.assert_close(seen.margin, torch.tensor([0.05 if i == 2 else -0.05 for i in rows]))


def test_a_hair_outside_counts_only_as_rounding() -> None:
    question = asked(L2(0.2))
    for excess, inside in ((1e-8, True), (1e-5, False), (-1e-5, True)):
        point = torch.tensor([[0.5 - 0.2 - excess, 0.5]])
        own = asked(L2(0.2), realize=lambda z: z)  # a realization is taken as it is, and no point is moved
        assert bool(verify(own, torch.tensor([0]), point).inside) is inside
        moved = verify(question, torch.tensor([0]), point)
        assert bool(moved.inside)
        assert float((moved.points.double() - X[:1].double()).norm()) <= 0.2
    box = asked(Linf(0.6), realize=lambda z: z)
    seen = verify(box, torch.tensor([0]), torch.tensor([[-0.05, 0.5]]))
    assert (bool(seen.inside), bool(seen.broken)) == (False, False)


def test_points_count_as_they_are_realized() -> None:
    question = asked(Linf(0.25), realize=realize.Grid(5))
    seen = verify(question, torch.tensor([0, 0]), torch.tensor([[0.39, 0.5], [0.36, 0.5]]))
    assert seen.points.tolist() == [[0.5, 0.5], [0.25, 0.5]]
    assert seen.broken.tolist() == [False, True]
    torch.testing.assert_close(seen.distance, torch.tensor([0.0, 0.25]))
    out = asked(Linf(0.25), realize=lambda z: z - 0.3)
    seen = verify(out, torch.tensor([0]), torch.tensor([[0.5, 0.5]]))
    assert (bool(seen.inside), bool(seen.broken)) == (False, False)
    assert settled(out, X, X, out.domain)[0].tolist() == pytest.approx([0.2, 0.2])
    rows, apart = torch.tensor([2, 0]), Linf(0.1).around(X[:2])
    sought, within = question.energy(rows, Margin()), question.energy(rows, Margin(), domain=apart)
    torch.testing.assert_close(sought.domain.project(X[rows] + 9), (X[rows] + 0.25).clamp_max(1))
    assert within.domain is apart
    one = realize.OneHot([[0, 1]])  # of two columns, which the samples have
    assert ask(lambda x: 2 * x, torch.eye(2), Y[:2], Linf(1.0), realize=one).realize == one
    with pytest.raises(ValueError, match=r"names column 2, but samples of shape \(2,\) have 2"):
        asked(realize=realize.OneHot([[1, 2]]))


def test_clean_says_who_is_right() -> None:
    x = torch.tensor([[0.5, 0.5], [0.3, 0.5], [0.5, 0.99], [0.4, 0.5]])
    question = ask(model, x, torch.tensor([0, 0, 0, 1]), Linf(0.1))
    seen = clean(question)
    assert seen.right.tolist() == [True, False, False, True]  # a tie belongs to the label
    assert seen.non_finite.tolist() == [False, False, True, False]
    torch.testing.assert_close(seen.margin, torch.tensor([0.1, -0.1, math.nan, 0.0]), equal_nan=True, atol=1e-7, rtol=0)
    assert seen.rate.tolist() == [0.0, 1.0, 0.0, 0.0]
    assert seen.outputs.shape == (4, 2)
    rejects = ask(lambda z: torch.cat([model(z), z[:, 1:] - 0.45], 1), x, torch.tensor([0, 0, 0, 1]), Linf(0.1),
                  goal=goals.Undetected(2))  # fmt: skip
    assert clean(rejects).right.tolist()[:2] == [True, False]
    assert float(clean(rejects).margin[1]) > 0  # rejected: the adversary has not won yet, but the sample is wrong


def test_a_vote_needs_more_than_half_with_confidence() -> None:
    votes = 16

    class Coin(torch.nn.Module):
        """Errs with a chance of x_0."""

        def forward(self, x: Tensor) -> Tensor:
            wrong = torch.rand(len(x)) < x[:, 0]
            return torch.stack([0.5 - wrong.float(), torch.zeros(len(x))], 1)

    x = torch.tensor([[0.0, 0.5], [1.0, 0.5], [0.5, 0.5], [0.65, 0.1]])
    question = ask(Randomized(Coin().eval(), draws=2, votes=votes), x, torch.zeros(4).long(), Linf(0.1))
    assert (question.draws, question.votes) == (2, votes)
    seen = verify(question, everyone(question), x)
    assert seen.broken.tolist()[:2] == [False, True]
    assert seen.rate.tolist()[:2] == [0.0, 1.0]
    for rate, broken, margin in zip(seen.rate.tolist(), seen.broken.tolist(), seen.margin.tolist(), strict=True):
        assert broken == (rate * votes >= 12) == (margin < 0)  # 12 of 16: P(B >= 12) <= 0.05 < P(B >= 11)
    right = clean(question)
    for rate, good in zip(right.rate.tolist(), right.right.tolist(), strict=True):
        assert good == (rate <= 0.5)
    again = verify(question, torch.tensor([2]), x[2:3])
    assert torch.equal(again.rate, seen.rate[2:3])
    assert question.network.executed.passes() == (2 + 3 * 4 * votes - 3 * votes + 0, 0)


def test_the_parts_of_a_question_go_with_their_rows() -> None:
    context = torch.arange(4.0)
    mask = torch.tensor([[True, False], [False, True], [True, True], [False, False]])
    eps = torch.tensor([0.1, 0.2, 0.3, 0.4])

    def two(x: Tensor, number: Tensor) -> Tensor:
        return torch.stack([x[:, 0], number - 1.5], 1)

    whole = ask(two, X, Y, Linf(eps), context=context, mask=mask, ids=torch.tensor([7, 8, 9, 10]), seed=3)
    assert whole.rows == 4
    index = torch.tensor([2, 0])
    part = whole.take(index)
    for name in ("x", "y", "eps", "ids"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[index]), name
    assert torch.equal(part.context[0], context[index])
    assert part.budget.eps.tolist() == pytest.approx([0.3, 0.1])
    assert (part.seed, part.goal, part.network) == (3, whole.goal, whole.network)
    corners = torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    torch.testing.assert_close(part.domain.project(corners), whole.domain.take(index).project(corners))
    torch.testing.assert_close(part.domain.project(corners), torch.tensor([[0.55, 1.0], [0.6, 0.5]]))
    e = whole.energy(torch.tensor([3, 1]), Margin()).look(X[[3, 1]])
    torch.testing.assert_close(e.margin, torch.tensor([0.9 - 1.5, 0.5 + 0.5]))
    assert torch.equal(whole.outputs(torch.tensor([3]), X[3:]), torch.tensor([[0.9, 1.5]]))
    assert float(verify(whole, torch.tensor([3]), X[3:]).margin) == pytest.approx(-0.6)


def test_what_a_question_begins_with() -> None:
    question = asked()
    assert question.ids.tolist() == [0, 1, 2, 3]
    assert question.seed == 0
    assert question.goal == goals.Misclassified()
    assert question.inspected == question.network.executed.forward > 0
    with pytest.warns(DeprecationWarning, match=r"executed\.forward"):
        assert list(question.network.executed) == list(question.network.executed.passes())
    assert question.network.tile == tile_for(X)
    assert asked(batch_size=3).network.tile == 3
    assert isinstance(asked(targets=Y).goal, goals.Targeted)
    with pytest.raises(ValueError, match="Give a goal or targets, not both"):
        asked(targets=Y, goal=goals.TopK(1))
    with pytest.raises(ValueError, match=r"context has one row per sample, 4 of them, got shape \(3,\) at place 0"):
        asked(context=torch.zeros(3))
    with pytest.raises(ValueError, match="2 classes"):
        ask(model, X, Y + 1, Linf(0.1))
    points = X + 0.01
    assert torch.equal(question.realized(points, X, question.domain), points)
    small = settled(asked(Budget(Lp(2), 0.1)), X + 10, X, L2(0.1).around(X))
    assert bool((Lp(2).distance(X.double(), small.double()) <= 0.1).all())


@pytest.mark.parametrize(
    ("size", "tile", "wide"),
    [(0, 16, 512), (2, 16, 512), (1536, 16, 512), (1537, 16, 256), (3072, 16, 256), (3073, 16, 128), (6144, 16, 128),
     (6145, 8, 64), (150528, 8, 64)],
)  # fmt: skip
def test_the_size_of_calls(size: int, tile: int, wide: int) -> None:
    """Powers of two, by the size of a sample; on a processor few, elsewhere eight times as many."""
    x = torch.empty(3, size)
    assert tile_for(x) == tile
    assert tile_for(torch.empty(3, size, device="meta")) == wide
    for rows in (None, 1, 7):
        question = replace(asked(), x=x, network=Network(model, rows))
        assert calls_for(question) == max(4, min(256, 1048576 // max(size, 1)) // (rows or tile))


def test_the_rank_that_decides_a_vote() -> None:
    """Of 16 answers j are wrong: broken from 12 on, wrong to begin with from 9 on, and the margin is that answer's."""

    class Fixed(nn.Module):
        """The k-th answer at x is (k - 16 x_0) / 16, with which class 0 leads."""

        def forward(self, x: Tensor) -> Tensor:
            lead = torch.arange(len(x)) / len(x) - x[:, 0]
            return torch.stack([lead, torch.zeros(len(x))], 1)

    wrong = torch.arange(17)
    x = torch.stack([wrong / 16, torch.zeros(17)], 1)
    question = ask(Randomized(Fixed().eval(), draws=4, votes=16), x, torch.zeros(17).long(), Linf(0.0))
    seen, before = verify(question, everyone(question), x), clean(question)
    for answers in (seen, before):
        assert torch.equal(answers.rate, wrong / 16)
    assert torch.equal(seen.broken, wrong >= 12)
    assert torch.equal(seen.margin, (11 - wrong) / 16)
    assert torch.equal(before.right, wrong <= 8)
    assert torch.equal(before.margin, (8 - wrong) / 16)
    torch.testing.assert_close(before.outputs[:, 0], 7.5 / 16 - wrong / 16)
    torch.testing.assert_close(question.outputs(torch.tensor([3, 1]), x[[3, 1]])[:, 0], torch.tensor([3.0, 5.0]) / 16)


@pytest.mark.parametrize(
    "effort",
    [Effort((recipes.square(20),), "no gradients"), Effort((recipes.pgd(5),), "spent").limited(5)],
    ids=lambda e: e.name,
)
def test_a_margin_is_that_of_the_point_returned_also_where_none_is_certified(effort: Effort) -> None:
    torch.manual_seed(0)
    net, x = nn.Linear(3, 2).double().eval(), torch.rand(40, 3).double()
    y = net(x).argmax(1)
    found = attack(net, x, y, Budget(Lp(1.5), 2e-4), effort=effort)
    with torch.no_grad():
        out = torch.cat([net(point[None]) for point in found.points])
    margin = out.gather(1, y[:, None])[:, 0] - out.gather(1, 1 - y[:, None])[:, 0]
    assert bool(found.gap.isnan().all())
    assert (margin - found.margin).abs().max() < 1e-14
