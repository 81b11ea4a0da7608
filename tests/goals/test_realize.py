"""What a point becomes before it counts: levels of files, categories of tables."""

from __future__ import annotations

import io
import math
from itertools import combinations, product
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

import maxslope as ms
from maxslope.realize import Grid, OneHot
from nets import answers, conv, images, mlp

STEP = 1 / 255


def eight_bits(x: Tensor) -> Tensor:
    return (x * 255).round() / 255


def through_png(x: Tensor) -> Tensor:
    back = []
    for one in x:
        file = io.BytesIO()
        Image.fromarray((one[0] * 255).round().to(torch.uint8).numpy()).save(file, "PNG")
        back.append(
            torch.tensor(list(Image.open(io.BytesIO(file.getvalue())).tobytes())).reshape(one.shape).float() / 255
        )
    return torch.stack(back)


@pytest.mark.parametrize("budget", [ms.Linf(14.7 * STEP), ms.Linf(14 * STEP), ms.L2(0.5), ms.L1(2.5)])
@pytest.mark.parametrize("on_grid", [True, False])
def test_files_keep_what_was_found(budget: ms.Budget, on_grid: bool) -> None:
    net, x = conv(), images(24)
    x = eight_bits(x) if on_grid else x
    y = answers(net, x)
    found = ms.attack(net, x, y, budget, realize=Grid(256), effort=ms.Effort.quick())
    broken = found.broken
    assert 0 < int(broken.sum()) < 24
    assert torch.equal(through_png(found.points[broken]), found.points[broken])
    assert bool((answers(net, through_png(found.points[broken])) != y[broken]).all())
    size = budget.norm.norm(found.points[broken] - x[broken])
    assert bool((size <= budget.eps * (1 + 1e-4)).all())
    torch.testing.assert_close(found.distance[broken], size)


def test_smallest_perturbations_and_tables_are_of_files() -> None:
    net, x = conv(), eight_bits(images(8))
    y = answers(net, x)
    small = ms.minimal(net, x, y, ms.Lp(math.inf), realize=Grid(256), effort=ms.Effort(passes=30))
    levels = small.norms / STEP
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-3)
    assert torch.equal(through_png(small.points), small.points)
    report = ms.evaluate(net, (x, y), ms.Linf(14.4 * STEP), realize=Grid(256), effort=ms.Effort.quick())
    broken = [verdict == "broken" for verdict in report.table["verdict"]]
    assert broken == (small.norms <= 14.001 * STEP).tolist()


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
@pytest.mark.parametrize("eps", [0.6, 1.7, 2.0, 3.2])
def test_points_are_on_the_grid_in_the_ball_and_stay_there(p: float, eps: float) -> None:
    x = eight_bits(images(16, size=4).double())
    budget = ms.Budget(ms.Lp(p), eps * STEP)
    domain, grid = budget.around(x), Grid(256, (0.0, 1.0))
    z = domain.project(x + eps * STEP * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).double())
    out = grid(z, x, domain)
    levels = out * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-9)
    assert bool(domain.contains(out).all())
    assert torch.equal(grid(out, x, domain), out)
    assert torch.equal(out == x, (out - x).abs() < STEP / 2)  # what is back at its level has its bits
    if math.isinf(p):  # the nearest allowed level, coordinate by coordinate
        nearest = ((z * 255).round() - x * 255).clamp(-int(eps), int(eps)) + x * 255
        torch.testing.assert_close(levels, nearest.clamp(0, 255), rtol=0, atol=1e-9)


def test_a_clean_point_between_levels_has_those_that_the_ball_holds() -> None:
    x = torch.tensor([[0.4, 0.4, 0.4, 0.4]], dtype=torch.float64)
    z = torch.tensor([[1.65, -0.4, 0.95, 0.4]], dtype=torch.float64)
    box = (-10.0, 10.0)
    out = Grid(21, box)(z, x, ms.Linf(1.3, box).around(x))  # allowed: from -0.9 to 1.7
    assert out.tolist() == [[1.0, 0.0, 1.0, 0.0]]
    nowhere = ms.Linf(0.3, box).around(x)
    assert not bool(nowhere.contains(Grid(21, box)(x, x, nowhere)).any())


def test_what_a_mask_holds_stays_where_it_is() -> None:
    x = torch.tensor([[0.4111, 0.2, 0.6, 0.8]])
    mask = torch.tensor([False, True, True, True])

    def net(z: Tensor) -> Tensor:
        return torch.stack([z[:, 1], z[:, 2] - 0.3], 1)

    found = ms.attack(net, x, torch.tensor([1]), ms.Linf(0.21), mask=mask, realize=Grid(11), effort=ms.Effort.quick())
    assert found.broken.tolist() == [True]
    assert float(found.points[0, 0]) == float(x[0, 0])


def test_only_steps_as_large_as_a_level_can_break() -> None:
    """One coordinate of ten levels: the margin falls by 1 a level, and half a level breaks nothing."""

    def net(z: Tensor) -> Tensor:
        return torch.stack([10 * z[:, 0] + 0.5, 0 * z[:, 0]], 1)

    x, y = torch.tensor([[0.0, 0.0]]), torch.tensor([0])
    for eps, broken in ((0.05, False), (0.099, False), (0.1, True), (0.19, True)):
        grid = Grid(21, (-1.0, 1.0))
        found = ms.attack(net, x, y, ms.Linf(eps, (-1.0, 1.0)), realize=grid, effort=ms.Effort.quick())
        assert found.broken.tolist() == [broken], eps


GROUPS = [[0, 1, 2], [3, 4], [5, 6, 7, 8]]


def every(x: Tensor, groups: list[list[int]], changes: int) -> Tensor:
    """All tables with at most so many categories changed, of one row."""
    out = [x]
    for some in combinations(groups, changes):
        for pick in product(*some):
            z = x.clone()
            for group, k in zip(some, pick, strict=True):
                z[group] = 0.0
                z[k] = 1.0
            out.append(z)
    return torch.stack(out)


@pytest.mark.parametrize("changes", [1, 2])
def test_categories_are_searched_as_well_as_all_tables(changes: int) -> None:
    net, g = mlp(9, 3, seed=1), torch.Generator().manual_seed(0)
    x = torch.zeros(30, 9, dtype=torch.float64)
    for group in GROUPS:
        x.scatter_(1, torch.tensor(group)[torch.randint(len(group), (30, 1), generator=g)], 1.0)
    y = answers(net, x)
    tables = [every(row, GROUPS, changes) for row in x]
    truth = torch.tensor([bool((answers(net, t) != k).any()) for t, k in zip(tables, y, strict=True)])
    found = ms.attack(net, x, y, ms.L1(2.0 * changes), realize=OneHot(GROUPS))
    assert int(truth.sum()) > 0
    assert bool((truth | ~found.broken).all())
    # The derivative at one table says little about others: a few are missed.
    assert int((truth & ~found.broken).sum()) <= (5 if changes == 1 else 1)
    for z, t in zip(
        found.points[found.broken], [t for t, b in zip(tables, found.broken, strict=True) if b], strict=True
    ):
        assert bool((t == z).all(1).any())


def test_as_many_categories_change_as_the_ball_allows() -> None:
    x = torch.tensor([[1.0, 0.0, 1.0, 0.0, 0.5]])
    z = torch.tensor([[0.4, 0.6, 0.1, 0.9, 0.5]])
    groups = OneHot([[0, 1], [2, 3]])
    assert groups(z, x, ms.L1(4.0).around(x)).tolist() == [[0.0, 1.0, 0.0, 1.0, 0.5]]
    assert groups(z, x, ms.L1(2.0).around(x)).tolist() == [[1.0, 0.0, 0.0, 1.0, 0.5]]
    assert groups(z, x, ms.L1(1.9).around(x)).tolist() == [[1.0, 0.0, 1.0, 0.0, 0.5]]


def test_rows_are_strangers() -> None:
    net, x = conv(), eight_bits(images(9))
    y, ids, order = answers(net, x), torch.arange(9), torch.tensor([4, 1, 7])
    common: dict[str, Any] = {"realize": Grid(256), "effort": ms.Effort.quick(), "batch_size": 4}
    whole = ms.attack(net, x, y, ms.L2(0.1), ids=ids, **common)
    part = ms.attack(net, x[order], y[order], ms.L2(0.1), ids=ids[order], **common)
    assert torch.equal(part.points, whole.points[order])
    assert torch.equal(part.margin, whole.margin[order])


def test_any_function_and_only_allowed_points_count() -> None:
    net, x = conv(), images(8)
    y = answers(net, x)
    far = ms.attack(net, x, y, ms.Linf(0.05), realize=lambda z: (z + 0.2).clamp(0, 1), recipe=ms.recipes.pgd(5))
    assert not bool(far.broken.any())
    half = ms.attack(net, x, y, ms.Linf(0.1), realize=lambda z: (4 * z).round() / 4, effort=ms.Effort.quick())
    assert bool((ms.Lp(math.inf).norm(half.points - x)[half.broken] <= 0.1 + 1e-6).all())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Grid(1), "at least 2 levels, got 1"),
        (lambda: Grid(4, (0.0, math.inf)), "finite box"),
        (lambda: OneHot([]), "none empty"),
        (lambda: OneHot([[0, 1], [1, 2]]), "no column twice"),
        (lambda: tried(Grid(256), None), "Grid(256) divides a box"),
        (lambda: tried(OneHot([[0, 9]]), (0.0, 1.0)), "column 9"),
        (lambda: tried(lambda z: z[:, :1], (0.0, 1.0)), "shape it is given"),
        (lambda: tried("png", (0.0, 1.0)), "Grid(256)"),
    ],
)
def test_misuse(call: Any, said: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert said in str(caught.value)


def tried(realize: Any, box: Any) -> None:
    net = mlp(4, 3, dtype=torch.float32)
    budget = ms.Linf(0.1, box)
    ms.attack(net, torch.full((2, 4), 0.5), torch.tensor([0, 1]), budget, realize=realize, recipe=ms.recipes.fgsm())
