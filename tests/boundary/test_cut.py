"""Windows, exact risks and minimum cuts: brute force, the naive graph, and the certified convex form."""

import itertools
import math
import time

import pytest
import torch

from boundary._cases import box, disk, flat_densities
from boundary._certified import certify
from maxslope.boundary import Cut, Densities, Grid, Lattice, Step, Window, robust_classifier
from maxslope.boundary.cut import minimum_cut, nested_cuts
from maxslope.boundary.window import mean_width
from maxslope.spaces import Lp

INF = math.inf


def random_problem(shape, window, seed=0):
    g = torch.Generator().manual_seed(seed)
    grid = Grid(shape, 0, [n / 8 for n in shape])
    d = Densities(0.2 + torch.rand(shape, generator=g), 0.2 + torch.rand(shape, generator=g))
    cost = 12 * torch.randn(shape, generator=g, dtype=torch.float64)
    return Lattice(grid, d, window), cost


class Naive(Window):
    """A window whose suprema are taken over its offsets, without levels between."""

    @property
    def levels(self):
        return (tuple((0, o) for o in sorted(self.offsets)),)


def naive(problem: Lattice) -> Lattice:
    """The same problem, whose graph has an arc for every offset."""
    w = problem.window
    return Lattice(problem.grid, problem.densities, Naive(w.radius, w.space, w.dim), problem.eps)


def neighbors(shape, window):
    """For every cell, the cells of its window, straight from the definition."""
    cells = list(itertools.product(*map(range, shape)))
    number = {c: k for k, c in enumerate(cells)}
    near = [[number.get(tuple(i + j for i, j in zip(c, o, strict=True))) for o in window.offsets] for c in cells]
    return [[k for k in row if k is not None] for row in near]


@pytest.mark.parametrize(
    ("radius", "p", "dim"),
    [
        (1, 1, 2), (2.3, 2, 2), (5.1, 2, 2), (4, 1, 2), (7, 1, 2), (3, INF, 2), (6, INF, 2), (2.3, 2, 3), (2, 1, 3),
        (2, INF, 3), (3.7, 1.5, 2), (12, 2, 2),
    ],
)  # fmt: skip
def test_suprema_by_levels_are_those_over_the_window(radius, p, dim):
    w = Window(radius, Lp(p), dim)
    with pytest.warns(DeprecationWarning, match="said by its levels"):
        assert w.factors == (w.offsets,)
    o = torch.tensor(sorted(w.offsets), dtype=torch.float64)
    assert float(Lp(p).norm(o).max()) <= radius
    assert w.reach == math.floor(radius)
    u = torch.rand(*(9,) * dim, generator=torch.Generator().manual_seed(1))
    near = neighbors(u.shape, w)
    brute = torch.stack([u.flatten()[row].max() for row in near]).reshape(u.shape)
    assert torch.equal(w.maximum(u), brute)
    brute = torch.stack([u.flatten()[row].min() for row in near]).reshape(u.shape)
    assert torch.equal(w.minimum(u), brute)


@pytest.mark.parametrize(
    ("p", "dim", "radius"), [(2, 2, 20), (2, 2, 40), (3, 2, 20), (1, 2, 20), (INF, 2, 20), (2, 3, 8)]
)
def test_the_levels_of_large_windows_are_few_and_found_at_once(p, dim, radius):
    """Two runs a line and two shifts for each doubling; the search for a cover took 45 seconds at radius 19."""
    began = time.process_time()
    w = Window(radius, Lp(p), dim)
    shifts = sum(map(len, w.levels))
    scale = w.scale
    assert time.process_time() - began < 2
    lines = (2 * radius + 1) ** (dim - 1)
    assert shifts <= 2 * lines + 2 * math.ceil(math.log2(2 * radius + 1))
    assert scale == pytest.approx(radius, rel=0.03)


def test_windows_have_the_mean_widths_of_their_hulls():
    assert mean_width(Lp(INF), 2) == pytest.approx(4 / math.pi, rel=1e-5)
    assert mean_width(Lp(INF), 3) == pytest.approx(1.5, rel=1e-3)
    for p, dim in [(INF, 2), (1, 2), (INF, 3)]:
        assert Window(4, Lp(p), dim).scale == pytest.approx(4)
    hull = 8 + 4 * math.sqrt(2)  # the octagon of R = 2.3: four sides of 2, four of sqrt 2
    assert Window(2.3, Lp(2), 2).scale == pytest.approx(hull / (2 * math.pi), rel=1e-5)
    assert Window(10.05, Lp(2), 2).scale / math.sqrt(101) == pytest.approx(0.990, abs=0.001)
    with pytest.raises(ValueError, match="at least one cell"):
        Window(0.5, Lp(2), 2)


@pytest.mark.parametrize(("radius", "p"), [(1.5, 2), (2, 2), (1, 1), (1, INF)])
@pytest.mark.parametrize("seed", [0, 1])
def test_cuts_beat_every_set(radius, p, seed):
    problem, cost = random_problem((4, 4), Window(radius, Lp(p), 2), seed)
    sets = torch.tensor(list(itertools.product((0.0, 1.0), repeat=16)), dtype=torch.float64)
    near = neighbors((4, 4), problem.window)
    up = torch.stack([sets[:, row].amax(1) for row in near], 1)
    down = torch.stack([sets[:, row].amin(1) for row in near], 1)
    rho0, rho1 = problem.densities.rho0.flatten(), problem.densities.rho1.flatten()
    energy = ((up - sets) @ rho0 + (sets - down) @ rho1) / problem.eps + sets @ cost.flatten()
    a = minimum_cut(problem, cost)
    found = problem.perimeter(a) + float(cost[a].sum()) * problem.grid.cell
    assert found == pytest.approx(float(energy.min()) * problem.grid.cell, abs=1e-9)
    assert torch.equal(a, minimum_cut(naive(problem), cost))


@pytest.mark.parametrize(
    ("shape", "radius", "p"), [((20, 24), 4.3, 2), ((20, 24), 3, 1), ((20, 24), 4, INF), ((8, 9, 8), 2.3, 2)]
)
def test_factors_and_narrow_bands_change_nothing(shape, radius, p):
    problem, cost = random_problem(shape, Window(radius, Lp(p), len(shape)))
    # Smooth enough for sets to survive their perimeter.
    cost = 40 * torch.sin(3 + 0.5 * torch.arange(shape[0]))[(..., *[None] * (len(shape) - 1))] + 3 * cost
    whole = minimum_cut(problem, cost)
    assert 0 < int(whole.sum()) < whole.numel()
    assert torch.equal(whole, minimum_cut(naive(problem), cost))
    fixed = whole.to(torch.int8)
    fixed[torch.rand(shape, generator=torch.Generator().manual_seed(5)) < 0.5] = -1
    assert torch.equal(whole, minimum_cut(problem, cost, fixed))
    assert torch.equal(whole, minimum_cut(problem, cost, whole.to(torch.int8)))


def test_robust_risk_is_risk_plus_eps_times_perimeter():
    for p, dim in [(2, 2), (1, 2), (INF, 2), (2, 3)]:
        problem, cost = random_problem((12,) * dim, Window(2, Lp(p), dim))
        for a in (cost > 0, disk(box(12, dim), 0.3) > 0):
            assert problem.robust_risk(a) == pytest.approx(
                problem.risk(a) + problem.eps * problem.perimeter(a), abs=1e-12
            )
    assert problem.risk(cost) == problem.risk(cost > 0)


def test_adversarial_training_is_one_step_with_the_bayes_function():
    problem, _ = random_problem((24, 24), Window(2.3, Lp(2), 2))
    x = problem.grid.points()
    d = Densities(problem.densities.rho0 * (-x[..., 0]).exp(), problem.densities.rho1 * x[..., 1].exp())
    problem = Lattice(problem.grid, d, problem.window)
    best = robust_classifier(problem)
    step = minimum_cut(problem, -d.rho * d.bayes / problem.eps)
    assert torch.equal(best, step)
    assert problem.robust_risk(best) <= problem.robust_risk(d.bayes > 0)
    worse = best.clone()
    worse[12, 12] = ~worse[12, 12]
    assert problem.robust_risk(worse) >= problem.robust_risk(best)
    energies = [  # Per_eps(A) - (1/eps) int_A (2 eta - 1) drho, what the step minimizes
        problem.perimeter(a) - float((a * d.bayes * d.rho).sum()) * problem.grid.cell / problem.eps
        for a in (best, d.bayes > 0)
    ]
    assert energies[0] <= energies[1]


def test_of_several_minimizers_the_cut_is_the_largest():
    """Without cost both the empty set and everything are optimal; the smallest is the largest of the complement."""
    problem, _ = random_problem((8, 8), Window(2, Lp(2), 2))
    nothing = torch.zeros(8, 8)
    assert bool(minimum_cut(problem, nothing).all())
    swapped = Densities(problem.densities.rho1, problem.densities.rho0)
    assert bool(minimum_cut(Lattice(problem.grid, swapped, problem.window), -nothing).all())


def certified():
    problem, _ = random_problem((24, 24), Window(2.3, Lp(2), 2), seed=3)
    grid = box(24)
    d = Densities(problem.densities.rho0, problem.densities.rho1 + disk(grid, 1.5).abs())
    problem = Lattice(grid, d, problem.window, problem.window.scale * grid.h)
    g = disk(grid, 0.55) + 0.1 * torch.sin(5 * grid.points()[..., 1])
    return problem, g, certify(problem, g, 0.01)


def test_levels_of_the_convex_form_are_cuts():
    problem, g, found = certified()
    assert 0 <= found.gap < 1e-6
    assert found.error < 2e-4
    for s in (-0.3, -0.1, 0.0, 0.05, 0.2, 0.4):
        a = minimum_cut(problem, problem.densities.rho * (s - g) / 0.01)
        assert not bool(((found.u > s) != a)[(found.u - s).abs() > 1e-3].any())
    levels = torch.linspace(-0.1, 0.1, 63, dtype=torch.float64)
    count = nested_cuts(problem, g, 0.01, levels, band=10.0)
    gap = 0.2 / 62
    inside = (found.u.abs() < 0.1 - gap) & (count > 0) & (count < 63)
    u = -0.1 + (count - 0.5) * gap
    assert int(inside.sum()) > 20
    assert float((u - found.u)[inside].abs().max()) <= gap / 2 + 1e-3 * problem.grid.h


def test_cut_is_the_zero_level_of_the_convex_form():
    problem, g, found = certified()
    u = Cut(2.3, 63).solve(Step(problem.grid, problem.densities, g, 0.01)).u
    near = found.u.abs() < 1.5 * problem.grid.h
    # The narrow band and the clipped levels leave what is near the zero level as it is.
    assert float((u - found.u)[near].abs().max()) < 1.75 * problem.grid.h / 31 + 1e-3 * problem.grid.h


def test_cuts_compare():
    """g <= g' gives u <= u': the energy is submodular."""
    grid = box(32)
    d = flat_densities(grid)
    g = disk(grid, 0.5)
    other = g + 0.02 + 0.02 * torch.sin(7 * grid.points()[..., 0])
    less, more = (Cut(2.3, 31).solve(Step(grid, d, f, 0.005)).u for f in (g, other))
    assert float((less - more).max()) <= 3.5 * grid.h / 30


def misuse():
    grid, one = box(8), torch.ones(8, 8)
    d, w = Densities(one, one), Window(2, Lp(2), 2)
    hole = torch.where(torch.eye(8) > 0, 0.0, 1.0)
    return {
        "belong together": lambda: Lattice(grid, d, Window(2, Lp(2), 3)),
        "radius eps": lambda: Lattice(grid, d, w, -1.0),
        "2\\^m - 1 levels": lambda: Cut(2, 10),
        "time step": lambda: Cut().solve(Step(grid, d, one, 0.0)),
        "positive everywhere": lambda: Cut().solve(Step(grid, Densities(hole, hole), one, 0.1)),
        "A signed distance": lambda: Cut().solve(Step(grid, d, torch.ones(3, 3), 0.1)),
        "A cost": lambda: minimum_cut(Lattice(grid, d, w), torch.ones(3, 3)),
    }


@pytest.mark.parametrize("rule", misuse())
def test_misuse(rule):
    with pytest.raises(ValueError, match=rule):
        misuse()[rule]()
