"""Goals in closed forms: every number a goal gives, written down a second time for one row and one place at a time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from maxslope._checks import whole
from maxslope.criteria import CrossEntropy, LogitsRatio, Margin, OwnMargin, ProbabilityMargin
from maxslope.goals import AnyLabel, Beyond, Custom, Goal, Misclassified, Share, Targeted, TopK, Undetected, as_goal
from maxslope.goals.base import lowest, rows_of
from maxslope.goals.classes import as_logits

INF = math.inf
Z = torch.tensor([[3.0, 1.0, 2.0, -1.0], [0.0, 2.0, 1.0, 5.0], [1.0, 1.5, 4.0, 2.0], [0.5, -0.5, 0.25, 0.0]])
Y = torch.tensor([0, 1, 0, 3])
X = torch.zeros(4, 2)
CRITERIA = [CrossEntropy(), Margin(), OwnMargin(), ProbabilityMargin(), LogitsRatio()]
close = torch.testing.assert_close


def others(z: Tensor, k: int) -> list[float]:
    return sorted((float(v) for j, v in enumerate(z) if j != k), reverse=True)


def place(criterion: Any, z: Tensor, label: int, rival: int) -> float:
    return float(criterion(z[None], torch.tensor([label]), torch.tensor([rival])))


# --- classes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda c: type(c).__name__)
def test_energies_and_risks_of_classes(criterion: Any) -> None:
    """The criterion against the rival, turned around; of a target as it is; training raises none of them."""
    rivals = torch.tensor([2, 3, 3, 1])
    raw = criterion(Z, Y, rivals)
    for goal in (Misclassified(), TopK(1)):
        close(goal.energy(criterion, Z, Y, rivals), -raw)
    close(Targeted().energy(criterion, Z, Y, rivals), raw)
    strongest = torch.tensor([2, 3, 2, 0])
    close(Misclassified().risk(criterion, Z, Y), criterion(Z, Y, strongest))
    close(Misclassified().clean_risk(criterion, Z, Y), criterion(Z, Y, strongest))
    close(Undetected(2).clean_risk(criterion, Z, Y), criterion(Z, Y, strongest))
    with pytest.raises(ValueError, match="met by an error, got Targeted"):
        Targeted().risk(criterion, Z, Y)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_margins_of_the_k_largest(k: int) -> None:
    wanted = torch.tensor([float(z[y]) - others(z, y)[k - 1] for z, y in zip(Z, Y.tolist(), strict=True)])
    goal = TopK(k)
    close(goal.margin(Z, Y), wanted)
    scores, label = goal.scores(Z, Y)
    assert torch.equal(label, Y)
    assert scores.isinf().sum(1).tolist() == [k - 1] * 4
    assert torch.equal(scores.gather(1, Y[:, None]), Z.gather(1, Y[:, None]))
    assert goal.name == f"top-{k}"
    if k > 1:
        z = Z.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(goal.margin(z, Y).sum(), z)
        assert gradient.sum(1).tolist() == [0.0] * 4
        assert gradient.gather(1, Y[:, None]).squeeze(1).tolist() == [1.0] * 4


@pytest.mark.parametrize("k", [2, 3])
def test_energies_of_the_k_largest(k: int) -> None:
    """The mean over the rivals that must win, of which a fixed one is one, of what each costs against the label."""
    weakest = torch.tensor([3, 2, 1, 1])
    for rivals, fixed in ((TopK(k).compete(Z, Y)[1], False), (weakest, True)):
        for criterion in CRITERIA[:4]:
            wanted = []
            for z, y, rival in zip(Z, Y.tolist(), rivals.tolist(), strict=True):
                order = sorted((j for j in range(4) if j != y), key=lambda j: float(z[j]), reverse=True)
                must = [rival, *(j for j in order if j != rival)][:k] if fixed else order[:k]
                gaps = [float(z[y] - z[j]) for j in must]
                if isinstance(criterion, OwnMargin):
                    wanted.append(max(gaps))
                elif isinstance(criterion, Margin):
                    wanted.append(sum(max(gap, 0.0) for gap in gaps) / k)
                else:  # what the rival costs as a target, beside the label alone
                    wanted.append(sum(place(criterion, torch.stack([z[j], z[y]]), 0, 1) for j in must) / k)
            close(TopK(k).energy(criterion, Z, Y, rivals), torch.tensor(wanted))


def test_a_class_of_rejects_stands_with_the_label() -> None:
    for reject in (0, 3):
        goal, wanted = Undetected(reject), []
        for z, y in zip(Z, Y.tolist(), strict=True):
            rest = [float(v) for j, v in enumerate(z) if j not in (y, reject)]
            wanted.append(float(max(z[y], z[reject])) - max(rest))
        close(goal.margin(Z, Y), torch.tensor(wanted))
        close(goal.clean(Z, Y), Misclassified().margin(Z, Y))
        scores, label = goal.scores(Z, Y)
        assert torch.equal(label, Y)
        alone = reject != Y  # where the label is itself the class of rejects, it is the label
        assert bool(scores[alone, reject].isneginf().all())
        assert int(scores.isinf().sum()) == int(alone.sum())
        assert goal.name == f"reject={reject}"
    rivals, rows = torch.tensor([1, 0, 1, 1]), torch.arange(4)
    goal, p = Undetected(2), Z.softmax(1)
    one, wins = p[rows, Y] + p[:, 2], torch.maximum(Z[rows, Y], Z[:, 2])
    close(goal.energy(CrossEntropy(), Z, Y, rivals), one.log())
    close(goal.energy(ProbabilityMargin(), Z, Y, rivals), one - p[rows, rivals])
    for criterion in (Margin(), OwnMargin()):
        close(goal.energy(criterion, Z, Y, rivals), wins - Z[rows, rivals])


def test_targets() -> None:
    close(Targeted().margin(Z, Y), -Misclassified().margin(Z, Y))
    assert torch.equal(Targeted().compete(Z, Y)[1], Misclassified().compete(Z, Y)[1])
    assert torch.equal(Targeted().labels(Y, X), Y)
    assert torch.equal(Targeted(2).labels(Y, X), torch.full((4,), 2))
    assert torch.equal(Targeted(Y).labels(Y * 0, X), Y)
    assert [Targeted(2).name, Targeted().name, Targeted(Y).name] == ["target=2", "targeted", "targeted"]
    part = Targeted(Y).take(torch.tensor([3, 1]))
    assert isinstance(part.classes, Tensor)
    assert part.classes.tolist() == [3, 1]
    for same in (Targeted(2), Targeted(), Targeted(torch.tensor(2))):
        assert same.take(torch.tensor([0])) is same
    for bad, rows in ((Targeted(-1), X), (Targeted(Y[:2]), X)):
        with pytest.raises(ValueError, match="Targets"):
            bad.labels(Y, rows)
    with pytest.raises(ValueError, match="Targets are class numbers >= 0"):
        Targeted().labels(Y - 1, X)


def test_what_goals_of_classes_say() -> None:
    for goal in (Misclassified(), TopK(2), Undetected(1), Targeted()):
        assert (goal.logits, goal.ranked) == (True, not isinstance(goal, Targeted))
        assert goal.answers(Z) == [0, 3, 2, 0]
        assert goal.shown(Y) == [0, 1, 0, 3]
        assert goal.answers(goal.outputs(torch.tensor([0.5, -1.0, 0.0]))) == [1, 0, 0]
        assert goal.answers(goal.outputs(torch.tensor([[0.5], [-1.0]]))) == [1, 0]
        wanted = kl_div(Z.flip(0).log_softmax(1), Z.log_softmax(1), reduction="none", log_target=True).sum(1)
        close(goal.divergence(Z, Z.flip(0)), wanted)
        if not isinstance(goal, Targeted):
            assert goal.take(Y) is goal
    assert Misclassified().name == "misclassified"
    assert as_logits(torch.tensor([2.0, -3.0])).tolist() == [[0.0, 2.0], [0.0, -3.0]]
    assert as_logits(torch.tensor([[2.0], [-3.0]])).tolist() == [[0.0, 2.0], [0.0, -3.0]]
    assert torch.equal(as_logits(Z[:, :2]), Z[:, :2])


@pytest.mark.parametrize(
    ("goal", "classes", "largest", "said"),
    [
        (Misclassified(), 2, 1, None), (Misclassified(), 1, 1, None), (Misclassified(), 1, 2, "2 classes"),
        (Misclassified(), 2, 2, "2 classes"), (TopK(2), 3, 2, None), (TopK(2), 2, 1, "more than 2 classes"),
        (TopK(3), 2, 1, "more than 3 classes"), (TopK(1), 1, 1, None), (TopK(2), 3, 3, "3 classes"),
        (Undetected(2), 3, 2, None), (Undetected(3), 3, 2, "0 to 2"), (Undetected(4), 3, 2, "0 to 2"),
        (Undetected(1), 2, 1, "at least 3 classes"), (Undetected(0), 3, 2, None), (Undetected(0), 3, 3, "3 classes"),
    ],
)  # fmt: skip
def test_outputs_and_labels_of_classes_belong_together(goal: Goal, classes: int, largest: int, said: str) -> None:
    outputs, y = torch.zeros(3, classes), torch.tensor([0, largest, 0])
    if said is None:
        assert goal.check(outputs, y) is None
        assert goal.check(outputs[:, 0], y) is None if classes == 1 else True
    else:
        with pytest.raises(ValueError, match=said):
            goal.check(outputs, y)
    with pytest.raises(ValueError, match="rows"):
        goal.check(torch.zeros(3, 4, 2), y * 0)
    with pytest.raises(ValueError, match="rows"):
        goal.check(torch.zeros(2, 4), y * 0)


# --- tags ------------------------------------------------------------------------------------------------------------


def test_tags_one_by_one() -> None:
    goal, y = AnyLabel(), torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    signs = 2.0 * y - 1
    close(goal.margin(Z, y), (signs * Z).amin(1))
    scores, label = goal.scores(Z, y)
    assert (label.tolist(), label.dtype) == ([0] * 4, torch.int64)
    close(scores, torch.cat([torch.zeros(4, 1), -signs * Z], 1))
    close(goal.compete(Z, y)[1], (signs * Z).argmin(1) + 1)
    assert goal.answers(Z) == ["0 1 2", "1 2 3", "0 1 2 3", "0 2"]
    assert goal.shown(y) == ["0 3", "1", "0 1 2 3", ""]
    assert goal.answers(Z[:2, :3]) == ["0 1 2", "1 2"]
    p, q = Z.sigmoid(), Z.flip(0).sigmoid()
    wanted = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).sum(1)
    close(goal.divergence(Z, Z.flip(0)), wanted, rtol=1e-4, atol=1e-5)
    assert (goal.name, goal.logits, goal.ranked) == ("any-label", False, True)
    assert goal.labels(y.bool(), X).dtype == goal.labels(y.float(), X).dtype == torch.int64
    assert goal.check(Z, y) is None
    for outputs in (Z[:, :3], Z[:3], Z[:, 0], Z[:, :, None]):
        with pytest.raises(ValueError, match="a logit for each tag"):
            goal.check(outputs, y)
    for bad in (Y, y[:, :, None], y - 1, y + 1, y * 0.5, 2 * y):
        with pytest.raises(ValueError, match=r"\[rows, tags\] of 0 and 1"):
            goal.labels(bad, X)


# --- maps ------------------------------------------------------------------------------------------------------------

MAPS = torch.stack([Z.T, Z.flip(0).T, Z.flip(1).T]).reshape(3, 4, 2, 2)  # rows, classes, places
PLACES = torch.tensor([[[0, 1], [2, -1]], [[3, 2], [1, 0]], [[-1, -1], [2, -1]]])


def counted(row: int) -> list[tuple[Tensor, int]]:
    """The logits and the label of each place of a row that counts."""
    return [(MAPS[row, :, i, j], int(k)) for i, line in enumerate(PLACES[row]) for j, k in enumerate(line) if k >= 0]


def margins_of(row: int) -> list[float]:
    return [float(z[k]) - others(z, k)[0] for z, k in counted(row)]


SHARES = (1e-12, 0.25, 1 / 3, 0.5, 0.51, 2 / 3, 0.75, 1.0)


@pytest.mark.parametrize("share", SHARES)
def test_margins_of_a_share_of_places(share: float) -> None:
    goal, wanted, needed = Share(share), [], []
    for row in range(3):
        found = sorted(margins_of(row))
        needed.append(next(q for q in range(1, len(found) + 1) if q / len(found) >= share - 1e-9))
        wanted.append(found[needed[-1] - 1])
    close(goal.margin(MAPS, PLACES), torch.tensor(wanted))
    assert goal._needed((PLACES >= 0).flatten(1)).tolist() == needed
    scores, label = goal.scores(MAPS, PLACES)
    close(scores, torch.stack([torch.tensor(wanted), torch.zeros(3)], 1))
    assert (label.tolist(), label.dtype) == ([0] * 3, torch.int64)
    assert goal.name == f"share={share:g}"


@pytest.mark.parametrize("share", [0.25, 0.6, 1.0])
@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda c: type(c).__name__)
def test_energies_and_risks_of_a_share_of_places(criterion: Any, share: float) -> None:
    """Cross-entropy over places that are not yet wrong, margins over the nearest, others over all; risks over all."""
    goal, energies, risks = Share(share), [], []
    needed = goal._needed((PLACES >= 0).flatten(1)).tolist()
    for row in range(3):
        found, each = margins_of(row), []
        for z, k in counted(row):
            rival = max((j for j in range(4) if j != k), key=lambda j: float(z[j]))
            each.append(place(criterion, z, k, rival))
        risks.append(sum(each) / len(each))
        if isinstance(criterion, OwnMargin):
            energies.append(sorted(found)[needed[row] - 1])
        elif isinstance(criterion, Margin):
            energies.append(sum(max(m, 0.0) for m in sorted(found)[: needed[row]]) / needed[row])
        elif isinstance(criterion, CrossEntropy):
            energies.append(-sum(e for e, m in zip(each, found, strict=True) if m >= 0) / len(each))
        else:
            energies.append(-sum(each) / len(each))
    rivals = torch.zeros(3, dtype=torch.int64)
    close(goal.energy(criterion, MAPS, PLACES, rivals), torch.tensor(energies))
    close(goal.risk(criterion, MAPS, PLACES), torch.tensor(risks))


def test_what_maps_say() -> None:
    goal = Share(0.5)
    assert (goal.logits, goal.ranked) == (False, False)
    assert goal.answers(MAPS) == [""] * 3
    assert goal.answers(MAPS[:2]) == goal.shown(PLACES[:2]) == ["", ""]
    flipped = MAPS.flip(0)
    wanted = torch.stack([
        torch.stack([Misclassified().divergence(a[None], b[None])[0] for a, b in zip(p, q, strict=True)]).mean()
        for p, q in zip(MAPS.flatten(2).transpose(1, 2), flipped.flatten(2).transpose(1, 2), strict=True)
    ])  # fmt: skip
    close(goal.divergence(MAPS, flipped), wanted)
    tie = torch.zeros(1, 2, 1)
    assert float(goal.energy(CrossEntropy(), tie, torch.zeros(1, 1).long(), torch.tensor([0]))) < 0  # not yet wrong
    x = torch.zeros(3, 2)
    assert torch.equal(goal.labels(PLACES.short(), x), PLACES)
    for bad, said in ((torch.zeros(3).long(), "integer dtype"), (PLACES.float(), "integer dtype"),
                      (PLACES.clamp_max(-1), "at least one place"), (-PLACES - 1, "at least one place")):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            goal.labels(bad, x)
    assert goal.check(MAPS, PLACES) is None
    assert goal.check(MAPS[:, :, 0], PLACES[:, 0]) is None
    for outputs in (MAPS[..., :1], MAPS[:, :, :1], MAPS[:, :, 0], MAPS[:, 0], MAPS[..., None],
                    MAPS.repeat(1, 1, 2, 1), MAPS.repeat(1, 1, 1, 2)):  # fmt: skip
        with pytest.raises(ValueError, match=r"\[rows, classes, \*places\]"):
            goal.check(outputs, PLACES)
    assert goal.check(MAPS, PLACES.clamp_max(3)) is None
    for more in (1, 2):
        with pytest.raises(ValueError, match=rf"has 4 classes and the largest label is {3 + more}; give places"):
            goal.check(MAPS, PLACES + more)
    for bad in (0.0, -0.5, 1.0 + 1e-9, 2.0, math.nan):
        with pytest.raises(ValueError, match=r"in \(0, 1\]"):
            Share(bad)


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_numbers_that_are_off() -> None:
    goal, z, y = Beyond(0.5), torch.tensor([1.0, 2.0, -3.0, 0.0]), torch.tensor([1.25, 0.5, -3.75, 9.0])
    for outputs in (z, z[:, None]):
        close(goal.margin(outputs, y), 0.5 - (z - y).abs())
        scores, label = goal.scores(outputs, y)
        close(scores, torch.stack([0 * z, z - y - 0.5, y - z - 0.5], 1))
        assert (label.tolist(), label.dtype) == ([0] * 4, torch.int64)
        for criterion in CRITERIA:
            rivals = torch.tensor([1, 2, 1, 2])
            way = torch.where(rivals == 1, z - y, y - z)
            close(goal.energy(criterion, outputs, y, rivals), 0.5 - way)
        close(goal.risk(CrossEntropy(), outputs, y), cross_entropy(scores, label, reduction="none"))
        close(goal.divergence(outputs, z.flip(0)), (z - z.flip(0)) ** 2 / 2)
        assert goal.answers(outputs) == z.tolist()
        assert goal.check(outputs, y) is None
    assert goal.compete(z, y)[1].tolist() == [2, 1, 1, 2]
    assert goal.shown(y) == y.tolist()
    assert goal.name == "beyond=0.5"
    assert goal.outputs(torch.tensor([INF, -INF, 1.0])).isnan().tolist() == [True, True, False]
    for bad in (-0.1, INF, math.nan):
        with pytest.raises(ValueError, match="at least 0"):
            Beyond(bad)
    assert Beyond(0.0).margin(z, z).tolist() == [0.0] * 4
    for outputs in (torch.zeros(4, 2), torch.zeros(3), torch.zeros(3, 1), torch.zeros(4, 1, 1), torch.zeros(1, 4)):
        with pytest.raises(ValueError, match="one real number per row"):
            goal.check(outputs, y)
    for given, dtype in ((y, torch.float32), (y.double(), torch.float64), (y[:, None], torch.float32),
                         (Y, torch.float64), (Y[:, None], torch.float64), (y.half(), torch.float16)):  # fmt: skip
        found = goal.labels(given, X)
        assert (found.dtype, found.tolist()) == (dtype, given.reshape(-1).tolist())
    for bad in (torch.zeros(4, 2), torch.zeros(4, 1, 1), y + 1j, torch.zeros(4, 4)):
        with pytest.raises(ValueError, match="one real number per sample"):
            goal.labels(bad, X)
    for bad in (INF, -INF, math.nan):
        with pytest.raises(ValueError, match="must be finite"):
            goal.labels(torch.tensor([0.0, 1.0, bad, 2.0]), X)


# --- of one's own ----------------------------------------------------------------------------------------------------


def test_a_goal_of_ones_own() -> None:
    def half(outputs: Tensor, y: Tensor) -> Tensor:
        return outputs[:, 0] - 0.5 * y

    goal = as_goal(half)
    assert isinstance(goal, Custom)
    assert (goal.name, goal.ranked, goal.logits) == ("half", False, False)
    assert Custom(torch.nn.Linear(1, 1)).name == "custom"
    wanted = Z[:, 0] - 0.5 * Y
    close(goal.margin(Z, Y), wanted)
    close(goal.clean(Z, Y), wanted)
    scores, label = goal.scores(Z, Y)
    close(scores, torch.stack([wanted, 0 * wanted], 1))
    assert (label.tolist(), label.dtype) == ([0] * 4, torch.int64)
    for criterion in CRITERIA:
        close(goal.energy(criterion, Z, Y, Y), wanted)
    close(goal.risk(CrossEntropy(), Z, Y), torch.log1p((-wanted).exp()))
    close(goal.risk(Margin(), Z, Y), -wanted)
    assert goal.answers(Z[:3]) == goal.shown(Y[:3]) == [""] * 3
    assert goal.answers(Z.T[:2]) == [""] * 2
    assert goal.shown(PLACES) == [""] * 3
    assert goal.take(Y) is goal
    assert as_goal(goal) is goal
    with pytest.raises(ValueError, match="The goal half knows no divergence"):
        goal.divergence(Z, Z)
    for bad in (TopK, 3, None):
        with pytest.raises(TypeError, match=r"one of maxslope\.goals"):
            as_goal(bad)
    for function, got in ((lambda z, y: z, r"got \(4, 4\)"), (lambda z, y: z[:3, 0], r"got \(3,\)"),
                          (lambda z, y: 1.0, "got float"), (lambda z, y: z[:, :1], r"got \(4, 1\)")):  # fmt: skip
        with pytest.raises(ValueError, match=r"shape \[4\], " + got):
            Custom(function).check(Z, Y)
    with pytest.raises(ValueError, match=r"without jumps, got torch\.int64"):
        Custom(lambda z, y: z[:, 0].long()).check(Z, Y)


@pytest.mark.parametrize(
    ("goal", "outputs", "y"),
    [(Misclassified(), Z, Y), (TopK(2), Z, Y), (Undetected(2), Z, Y), (Share(0.5), MAPS, PLACES)],
    ids=lambda v: getattr(v, "name", ""),
)  # fmt: skip
def test_a_class_that_the_model_does_not_know_is_refused_in_any_row(goal: Goal, outputs: Tensor, y: Tensor) -> None:
    rows = torch.tensor([0, 1])
    assert goal.class_count(outputs) == 4
    assert goal.check_all(outputs[rows], rows, y) is None
    y = torch.cat([y, torch.full_like(y[:1], 255)])
    with pytest.raises(ValueError, match=r"4 classes and the largest label is 255"):
        goal.check_all(outputs[rows], rows, y)


def test_a_goal_of_ones_own_sees_outputs_and_labels_of_the_same_rows_alone() -> None:
    """Whole numbers are no class numbers, unless the goal says so: nothing is said of rows that are not shown."""

    def same(outputs: Tensor, y: Tensor) -> Tensor:
        assert torch.equal(outputs[:, 0], y.float())
        return outputs[:, 0]

    y = torch.tensor([3, 0, 7, 500])
    rows = torch.tensor([2, 0])
    goal = Custom(same)
    assert goal.class_count(y[rows, None].float()) is None
    goal.check_all(y[rows, None].float(), rows, y)


def test_goals_are_equal_where_they_ask_the_same() -> None:
    made = [Misclassified, lambda: TopK(2), lambda: TopK(3), lambda: Undetected(2), AnyLabel, lambda: Share(0.5),
            lambda: Beyond(0.5), lambda: Custom(as_logits)]  # fmt: skip
    for i, one in enumerate(made):
        assert [one() == other() for other in made] == [k == i for k in range(len(made))]
        assert hash(one()) == hash(one())
    assert Targeted(2) != Targeted(2)  # of tensors there is no equality


def test_what_goals_rest_on() -> None:
    for dtype in (torch.float32, torch.float64, torch.float16):
        low = torch.finfo(dtype).min / 8
        found = lowest(torch.tensor([-INF, low, 1.0, INF], dtype=dtype))
        assert found.tolist() == [low, low, 1.0, INF]
    for value, least, wanted in ((1, 1, True), (2, 1, True), (0, 1, False), (True, 1, False), (1.0, 1, False),
                                 (False, 0, False), (0, 0, True), ("1", 1, False)):  # fmt: skip
        assert whole(value, least) is wanted
    y = torch.ones(4, requires_grad=True)
    assert not rows_of(y, X).requires_grad
    assert rows_of(Z, X).shape == (4, 4)
    with pytest.raises(TypeError, match="got list"):
        rows_of([1, 2, 3, 4], X)
    for bad in (torch.tensor(1.0), torch.zeros(3), torch.zeros(5), torch.zeros(2, 4)):
        with pytest.raises(ValueError, match="4 of them, got shape"):
            rows_of(bad, X)
    for bad in (0, -1, True, 2.0):
        with pytest.raises(ValueError, match="integer k of at least 1"):
            TopK(bad)  # type: ignore[arg-type]
    for bad in (-1, False, 1.0):
        with pytest.raises(ValueError, match="a class number of at least 0"):
            Undetected(bad)  # type: ignore[arg-type]
