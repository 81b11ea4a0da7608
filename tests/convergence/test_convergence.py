"""Measured orders, defects and residuals, on quadratics and on the trained two-moons network."""

import math
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from maxslope.energies import Linear, Quadratic
from maxslope.figures.moons import draw_convergence
from maxslope.loop import flow
from maxslope.reference import Convergence, convergence, euclidean_bowl, piecewise_linear, reference, water_filling
from maxslope.schemes import Explicit, MinimizingMovement, Newton, SemiImplicit
from maxslope.sets import Linf
from maxslope.spaces import Lp
from maxslope.studies.moons import constraints, problem, train

TAUS = [0.012 * 0.61**k for k in range(5)]


@cache
def on_the_network() -> Convergence:
    """Where coordinates slide or cross: elsewhere every scheme is exact."""
    energy, x = problem(train(nn.GELU), 32)
    found = reference(energy, x, 0.3, instants=30)
    rows = (found.unique & torch.tensor([len(e) > 0 for e in found.events])).nonzero().squeeze(1)
    schemes = {
        "explicit": Explicit,
        "semi-implicit": SemiImplicit,
        "minimizing movement": lambda tau: MinimizingMovement(tau, inner=Newton(), nodes=0),
    }
    path = cache(lambda t: found.at(t)[rows])
    return convergence(energy.take(rows), x[rows], schemes, TAUS, path, until=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["explicit", "semi-implicit"])
def test_first_order_on_the_trained_network(name: str) -> None:
    study = on_the_network()
    slope, low, high = study.orders[name]
    assert slope >= 0.95
    assert low <= slope <= high


@pytest.mark.slow
def test_minimizing_movements_are_closer() -> None:
    study = on_the_network()
    slope, _, high = study.orders["minimizing movement"]
    assert slope >= 0.7  # where it crosses is a matter of luck, up to tau: the interval is wide
    assert high >= 0.95
    ratio = study.errors["minimizing movement"].mean(1) / study.errors["explicit"].mean(1)
    assert float(ratio.max()) < 0.8
    assert study.defect_orders["minimizing movement"][0] >= 1.8


@pytest.mark.slow
def test_defect_and_residual_tend_to_zero_and_speed_stays_at_most_one() -> None:
    study = on_the_network()
    for name in study.errors:
        defect, residual = study.defects[name].mean(1), study.residuals[name].mean(1)
        assert float(defect[-1]) < 0.15 * float(defect[0])
        assert float(residual[-1]) < 0.15 * float(residual[0])
        assert study.defect_orders[name][0] >= 0.9
        assert float(study.speeds[name].max()) <= 1 + 1e-6


@pytest.mark.slow
def test_first_order_on_a_quadratic_with_sliding() -> None:
    g = torch.Generator().manual_seed(3)
    a = torch.randn(3, 3, generator=g, dtype=torch.float64)
    A, x = a @ a.T + 0.5 * torch.eye(3, dtype=torch.float64), torch.randn(8, 3, generator=g, dtype=torch.float64)
    schemes = {"explicit": Explicit, "semi-implicit": SemiImplicit}
    study = convergence(Quadratic(A), x, schemes, TAUS[:4], lambda t: piecewise_linear(A, x, t), until=1.0)
    assert all(study.orders[name][0] >= 0.95 for name in schemes)


@pytest.mark.parametrize(("closed", "p"), [(euclidean_bowl, 2), (water_filling, 1)])
def test_other_norms(closed, p: float) -> None:  # type: ignore[no-untyped-def]
    x = torch.tensor([[1.0, -0.6, 0.2], [0.3, 0.31, 0.32]], dtype=torch.float64)
    energy = Quadratic(torch.eye(3, dtype=torch.float64))
    schemes = {
        "explicit": lambda tau: Explicit(tau, Lp(p)),
        "semi-implicit": lambda tau: SemiImplicit(tau, Lp(p)),
    }
    study = convergence(energy, x, schemes, [0.09, 0.045, 0.0225], lambda t: closed(x, t), until=1.0)
    for name in schemes:
        assert float(study.errors[name][-1].max()) < 3 * 0.0225
        assert math.isfinite(study.orders[name][0])


@pytest.mark.slow
def test_picture_and_table(tmp_path: Path) -> None:
    study = on_the_network()
    draw_convergence(study, tmp_path / "study", "title")
    assert (tmp_path / "study.svg").stat().st_size > 5000
    assert (tmp_path / "study.png").stat().st_size > 5000
    records = study.table()
    assert len(records) == 3 * len(TAUS)
    assert records[0]["scheme"] == "explicit"


@pytest.mark.slow
def test_explicit_steps_settle_on_another_curve_where_a_constraint_binds() -> None:
    """In l_2 on a face of a box and on a ball; semi-implicit steps beside them tend to the reference with order one."""
    for name, study in constraints().items():
        assert study.astray == ["explicit"], name
        explicit, semi = (study.errors[n].mean(1) for n in ("explicit", "semi-implicit"))
        assert float(explicit.min()) > 0.03
        assert float(explicit[-1]) > 0.8 * float(explicit[0])
        assert float(semi[-1]) < 0.5 * float(semi[0])
        assert float(semi[-1]) < 0.01


def test_the_speed_that_a_projection_takes_away() -> None:
    """E = <(1, 2), x>, |x|_inf <= 0.3, l_2 from 0, t = 0.4: x_1 = -0.1789 for every tau; the flow comes to -0.2147."""
    x = torch.zeros(1, 2, dtype=torch.float64)
    energy = Linear(torch.tensor([[1.0, 2.0]]).double()).within(Linf(0.3, box=None).around(x))
    for tau in (0.05, 0.0125):
        assert float(flow(energy, x, scheme=Explicit(tau, Lp(2)), until=0.4).end[0, 0]) == pytest.approx(
            -0.1789, abs=1e-3
        )
    semi = flow(energy, x, scheme=SemiImplicit(0.005, Lp(2)), until=0.4)
    assert float(semi.end[0, 0]) == pytest.approx(-0.15 - (0.4 - 0.15 * math.sqrt(5)), abs=5e-3)


def test_misuse() -> None:
    x = torch.ones(1, 2)
    with pytest.raises(ValueError, match="at least two"):
        convergence(Quadratic(torch.eye(2)), x, {"explicit": Explicit}, [0.1], lambda t: x)
