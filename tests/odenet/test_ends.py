"""How flows end, and what is said about it."""

import pytest
import torch

import maxslope as ms
from maxslope import odenet
from maxslope.energies import Function
from maxslope.odenet import Controlled, ExplicitEuler, RungeKutta, Stabilized, Tableau, Uniform, Until, descend
from odenet._problems import moons, row

KINK = Function(lambda x: x.abs().sum(1))


@pytest.mark.parametrize("mover", [Stabilized(), ExplicitEuler(), RungeKutta(Tableau.heun())])
@pytest.mark.parametrize("start", [row(1e-130), row(1.0, 0.5)])
def test_a_kink_ends_a_flow_whose_steps_become_too_short(mover: odenet.Mover, start: torch.Tensor) -> None:
    scheme = Controlled(mover, 1e-3, ms.Lp(2))
    (run,) = descend(KINK, start, until=Until(slope=1e-6), scheme=scheme)
    assert run.status == ms.Status.UNSOLVED
    assert run.monotone
    judged = odenet.verdict(run)
    assert judged.fit is None
    assert judged.fate is odenet.Fate.EARLY


def test_the_status_is_what_ended_the_flow() -> None:
    risk = moons(20)
    theta = odenet.sobol(risk.design, 2, 4)
    seen: list[float] = []

    def watch(point: torch.Tensor) -> bool:
        seen.append(float(risk.look(point[None]).value))
        return len(seen) == 3

    for until, status in (
        (Until(slope=0.3), ms.Status.REACHED),
        (Until(gradients=60), ms.Status.FINISHED),
        (Until(steps=2), ms.Status.FINISHED),
        (Until(steps=0), ms.Status.FINISHED),
        (Until(time=0.1), ms.Status.FINISHED),
        (Until(time=0.0), ms.Status.FINISHED),
    ):
        (run,) = descend(risk, theta, until=until)
        assert run.status == status, until
    (run,) = descend(risk, theta, until=Until(), watch=watch)
    assert run.status == ms.Status.STOPPED
    assert seen == pytest.approx(run.energy.tolist(), rel=1e-14)
    (still,) = descend(KINK, row(0.0), until=Until(), scheme=Uniform(ExplicitEuler(), 0.1, ms.Lp(2)))
    assert still.status in (ms.Status.STATIONARY, ms.Status.REACHED)


def test_no_sentence_says_what_more_steps_would_do() -> None:
    """They were not made: of a run that was cut short nothing is known but that."""
    for status in (ms.Status.FINISHED, ms.Status.STOPPED):
        assert "what more steps would do is not known" in status.sentence


def test_less_than_a_decade_is_no_power_law() -> None:
    """Theta was fitted to no decades at all, and came out at 1e13."""
    quadratic, start = Function(lambda x: x.square().sum(1) / 2), row(1.0, 2.0)
    for slope, fitted in ((1.2, False), (0.9, False), (1e-3, True)):
        (run,) = descend(quadratic, start, until=Until(slope=slope), scheme=Controlled(Stabilized(), 1e-7, ms.Lp(2)))
        found = odenet.exponent(run)
        assert (found is not None) == fitted
        assert any("a decade of J - J*" in reason for reason in odenet.verdict(run).reasons) != fitted
        if found is not None:
            assert found.decades >= 1
            assert 0.45 < found.theta < 0.55
    with pytest.raises(ValueError, match="decades"):
        odenet.exponent(run, decades=0.5)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: odenet.Depth.euler(1.5), r"substeps=1\.5"),
        (lambda: odenet.Design(3.5, 2, 1), r"channels=3\.5"),
        (lambda: odenet.Design(3, 0, 1), "inputs=0"),
        (lambda: Stabilized(3.5), r"most=3\.5"),
        (lambda: Until(steps=1.5), "whole numbers"),
        (lambda: odenet.RobustRisk(moons(4), ms.L2(0.1, box=None), steps=2.5), r"steps=2\.5"),
    ],
)
def test_counts_are_whole_numbers(make, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()
