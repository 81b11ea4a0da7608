"""Acceptance tests 6 to 9: the exponent, its interval, the certificate, lengths and verdicts."""

import math
from collections.abc import Callable

import pytest
import torch

import maxslope as ms
from maxslope.energies import Function, Quadratic
from maxslope.odenet import (
    Controlled,
    Curvature,
    Depth,
    ExplicitEuler,
    Fate,
    Risk,
    Stabilized,
    Until,
    descend,
    exponent,
    iid,
    layered,
    smallest_curvature,
    verdict,
)  # fmt: skip
from odenet._problems import CLOSED, digits, moons, pitchfork, row, separable


@pytest.mark.parametrize("name", CLOSED)
def test_known_exponents(name: str) -> None:
    energy, x, known = CLOSED[name]
    end = 1e-12 if name == "1e-6 x^2 + x^4" else 1e-8 if name == "x^2 + y^4" else 1e-9
    (run,) = descend(energy, x, until=Until(slope=end))
    found = exponent(run)
    assert found is not None
    assert found.theta == pytest.approx(known, abs=0.005)
    assert found.free == pytest.approx(known, abs=0.005)
    assert found.low <= known <= found.high
    assert found.high - found.low <= 0.05
    assert found.decades > 3.9
    fate = verdict(run).fate
    assert fate == (Fate.INFINITE if known == 1 else Fate.ALGEBRAIC if known > 0.55 else Fate.CONVERGED)
    if name not in ("softplus", "x^2 + y^4"):
        assert abs(found.limit) < 1e-14  # J* = 0 is not told, but found


@pytest.mark.parametrize("share", [1.5, 0.5])
def test_the_pitchfork_off_its_critical_value(share: float) -> None:
    risk = pitchfork(share)
    theta = iid(risk.design, 4, 8)
    (run,) = descend(risk, theta, until=Until(slope=1e-9))
    found = exponent(run)
    assert found is not None
    assert found.theta == pytest.approx(0.5, abs=0.005)
    assert found.low <= 0.5 <= found.high
    certificate = smallest_curvature(risk, run.end, layered(4, 8), products=300)
    if share > 1:  # at theta = 0 the eigenvalues are lambda and lambda -+ sqrt(2) (y - 1)
        assert certificate.smallest == pytest.approx(0.5 * math.sqrt(2) * 0.5, rel=1e-6)
        assert certificate.certifies
        assert verdict(run, curvature=certificate).fate == Fate.CONVERGED


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "shape"), [(Depth.euler(), (4, 8)), (Depth.midpoint(), (2, 4))])
def test_the_pitchfork_at_its_critical_value(depth: Depth, shape: tuple[int, int]) -> None:
    """The quartic remainder makes 3/4, the same for every L, m and scheme."""
    risk = pitchfork(1.0, depth)
    (run,) = descend(risk, iid(risk.design, *shape), until=Until(slope=1e-7))
    found = exponent(run)
    assert found is not None
    assert found.theta == pytest.approx(0.75, abs=0.01)
    assert found.low <= 0.75 <= found.high
    certificate = smallest_curvature(risk, run.end, layered(*shape))
    assert certificate.positive  # as at every point but the limit
    assert not certificate.certifies
    assert verdict(run, curvature=certificate).fate == Fate.ALGEBRAIC


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "seed"),
    [pytest.param(make, k, id=f"{make.__name__} {k}") for make, n in ((moons, 6), (digits, 4)) for k in range(n)],
)
def test_moons_and_digits_converge_exponentially(make: Callable[..., Risk], seed: int) -> None:
    """To slopes where the slowest mode is alone over the window; benchmarks/odenet.py has larger networks."""
    risk, shape, end = (moons(40, seed=seed), (2, 8), 1e-10) if make is moons else (digits(60), (3, 8), 1e-8)
    scheme = Controlled(Stabilized(241), 1e-3, layered(*shape))
    (run,) = descend(risk, iid(risk.design, *shape, seed=seed), until=Until(slope=end), scheme=scheme)
    found = exponent(run)
    certificate = smallest_curvature(risk, run.end, layered(*shape), products=600)
    assert found is not None
    assert found.low <= 0.5 <= found.high
    assert found.theta == pytest.approx(0.5, abs=0.02)
    assert certificate.certifies
    assert found.rate >= certificate.smallest * 0.99
    assert verdict(run, slope=end, curvature=certificate).fate == Fate.CONVERGED


@pytest.mark.slow
def test_separable_data_without_penalty_have_no_limit() -> None:
    risk = separable(40)
    (run,) = descend(risk, iid(risk.design, 2, 8), until=Until(time=1e6))
    found = exponent(run)
    assert found is not None
    assert found.high >= 0.98
    assert verdict(run).fate == Fate.INFINITE
    length = run.length
    at = [float(length[int((run.time <= t).sum()) - 1]) for t in (1e4, 1e5, 1e6)]
    assert at[2] - at[1] >= 1.5
    assert at[1] - at[0] >= 1.5


def test_predicted_and_actual_lengths() -> None:
    """x^4 from 1: the length is 1 to 1e-8, and the tail predicted on the way is right."""
    energy = Function(lambda x: x[:, 0] ** 4)
    (run,) = descend(energy, row(1), until=Until(slope=1e-9), scheme=Controlled(Stabilized(), 1e-8, ms.Lp(2)))
    left = float(run.end.abs())
    assert float(run.length[-1]) + left == pytest.approx(1, abs=1e-8)
    found = exponent(run)
    assert found is not None
    assert found.tail == pytest.approx(left, rel=1e-3)
    early = [descend(energy, row(1), until=Until(slope=s))[0] for s in (1e-3, 1e-5)]
    for part in early:
        guess = exponent(part)
        assert guess is not None
        assert guess.tail == pytest.approx(float(part.end.abs()), rel=0.01)
    risk = moons(40, penalty=5e-2)
    theta = iid(risk.design, 2, 8)
    first, last = (descend(risk, theta, until=Until(slope=s))[0] for s in (1e-7, 1e-11))
    guess = exponent(first)
    assert guess is not None
    assert 0.9 <= guess.tail / float(last.length[-1] - first.length[-1]) <= 1.2


def test_rates_of_explicit_euler_come_for_free() -> None:
    energy = Quadratic(torch.diag(torch.tensor([1.0, 3.0], dtype=torch.float64)))
    scheme = Controlled(ExplicitEuler(), 1e-2, ms.Lp(2))
    (run,) = descend(energy, row(1, 1), until=Until(slope=1e-7), scheme=scheme)
    found = exponent(run)
    assert found is not None
    assert found.theta == pytest.approx(0.5, abs=0.02)
    assert found.interval[0] <= 0.5 <= found.interval[1]
    assert math.isnan(float(run.rate[-1]))


def test_intervals_cover_random_quadratics() -> None:
    """Spectra that are bounded away from 0: all of 12 intervals cover 1/2, and none is wide."""
    generator = torch.Generator().manual_seed(3)
    for k in range(12):
        n = 2 + k
        spectrum = 10 ** (3 * torch.rand(n, generator=generator, dtype=torch.float64) - 2)
        x = torch.randn(1, n, generator=generator, dtype=torch.float64)
        (run,) = descend(Quadratic(torch.diag(spectrum)), x, until=Until(slope=1e-12))
        found = exponent(run)
        assert found is not None
        assert found.low <= 0.5 <= found.high
        assert found.high - found.low < 0.1


def test_too_early_to_say() -> None:
    risk = moons(40)
    (run,) = descend(risk, iid(risk.design, 2, 8), until=Until(time=3.0))
    assert verdict(run).fate == Fate.EARLY
    (run,) = descend(Quadratic(-torch.eye(1).double()), row(0.1), until=Until(time=1.0))  # the slope grows
    assert exponent(run) is None
    assert verdict(run).fate == Fate.EARLY
    (run,) = descend(Quadratic(torch.eye(1).double()), row(0.1), until=Until(steps=2))
    assert exponent(run) is None
    with pytest.raises(ValueError, match="decades"):
        exponent(run, decades=0)


def test_a_certificate_overrules_a_fit() -> None:
    """Eigenvalues 1, 2^-1, ..., 2^-13 look algebraic from far away; the smallest settles it."""
    spectrum = 2.0 ** -torch.arange(14, dtype=torch.float64)
    energy = Quadratic(torch.diag(spectrum))
    (run,) = descend(energy, torch.ones(1, 14).double(), until=Until(slope=1e-4))
    found = exponent(run)
    assert found is not None
    assert found.theta > 0.55
    sure = smallest_curvature(energy, run.end, ms.Lp(2))
    assert sure.smallest == pytest.approx(2.0**-13, rel=1e-6)
    assert sure.certifies
    assert verdict(run, curvature=sure).fate == Fate.EARLY  # 1e-4 / 2^-13 is a length of 0.8
    (run,) = descend(energy, torch.ones(1, 14).double(), until=Until(slope=1e-7))
    judged = verdict(run, curvature=sure)
    assert judged.fate == Fate.CONVERGED
    assert float(run.end.norm()) <= 1e-7 / sure.smallest  # what the certificate says is left
    assert any("remaining length of at most 0.000" in r for r in judged.reasons)
    unsure = Curvature(0.0, 1.0, 0.0, 1)
    assert not unsure.certifies
    assert any("no proof" in r for r in verdict(run, curvature=unsure).reasons)
    far = Curvature(1.0, 0.0, 0.8, 1)
    assert any("smaller slopes" in r for r in verdict(run, curvature=far).reasons)


@pytest.mark.parametrize(("power", "drift"), [(3, 0.5), (4, 7 / 9), (6, (6 / 5) ** 4 - 1)])
def test_no_point_near_a_degenerate_limit_certifies_it(power: int, drift: float) -> None:
    """The second derivative of |x|^p is positive, and (1 + 1/(p - 1))^(p - 2) times that at x (1 + 1/(p - 1))."""
    energy = Function(lambda x: x[:, 0].abs() ** power)
    for at in (1e-1, 1e-3):
        found = smallest_curvature(energy, row(at)[0], ms.Lp(2))
        assert found.positive
        assert found.drift == pytest.approx(drift, rel=1e-3)
        assert not found.certifies


def test_a_flat_bottom_is_certified_from_where_it_begins() -> None:
    """1e-6 x^2 + x^4 looks like x^4 down to x = 1e-3, and its fit says so; the limit is nondegenerate all the same."""
    energy, x, _ = CLOSED["1e-6 x^2 + x^4"]
    (run,) = descend(energy, x, until=Until(slope=1e-8))
    found = exponent(run)
    assert found is not None
    assert found.theta > 0.6
    assert not smallest_curvature(energy, run.end, ms.Lp(2)).certifies
    near = smallest_curvature(energy, row(1e-4)[0], ms.Lp(2))
    assert near.smallest == pytest.approx(2e-6 + 12e-8, rel=1e-4)
    assert near.certifies
    assert not smallest_curvature(Function(lambda z: -(z[:, 0] ** 2)), row(1)[0], ms.Lp(2)).certifies


def test_lanczos_agrees_with_the_dense_spectrum() -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(120, 120, generator=generator, dtype=torch.float64)
    matrix = matrix @ matrix.T / 120 + 0.01 * torch.eye(120)
    found = smallest_curvature(Quadratic(matrix), torch.zeros(120).double(), ms.Lp(2))
    assert found.smallest == pytest.approx(float(torch.linalg.eigvalsh(matrix)[0]), abs=1e-6)
    assert found.products > 10
    weighted = smallest_curvature(
        Quadratic(matrix), torch.zeros(120).double(), ms.Weighted(ms.Lp(2), torch.tensor(0.5))
    )
    assert weighted.smallest == pytest.approx(4 * found.smallest, rel=1e-5)
    weights = torch.linspace(1, 2, 120, dtype=torch.float64)
    uneven = smallest_curvature(Quadratic(matrix), torch.zeros(120).double(), ms.Weighted(ms.Lp(2), weights))
    scaled = matrix / weights / weights[:, None]
    assert uneven.smallest == pytest.approx(float(torch.linalg.eigvalsh(scaled)[0]), abs=1e-6)
    hard = smallest_curvature(Quadratic(matrix), torch.zeros(120).double(), ms.Lp(2), products=5)
    assert hard.products <= 8
    assert hard.error > 0.1
    assert not hard.certifies
    low = torch.zeros(120, 120, dtype=torch.float64)
    low[0, 0] = 1.0  # of rank one: the search ends by itself
    ended = smallest_curvature(Quadratic(low), torch.zeros(120).double(), ms.Lp(2))
    assert ended.products < 10
    assert ended.smallest == pytest.approx(0, abs=1e-9)
