"""The worked examples of the guide keep the laws of their kinds: who copies one starts from the truth."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from maxslope.energies import Linear, Quadratic
from maxslope.loop import Steps, flow
from maxslope.schemes import Constant, SemiImplicit
from maxslope.sets import L2
from maxslope.spaces import Lp

GUIDE = Path(__file__).parents[1] / "CONTRIBUTING.md"


@cache
def classes() -> dict[str, Any]:
    """What the blocks of the guide define, by name."""
    made: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        names: dict[str, Any] = {"__name__": "guide"}
        exec(compile(block, str(GUIDE), "exec"), names)
        made |= names
    return made


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def test_the_guide_has_one_example_of_each_kind() -> None:
    assert {"Ellipse", "Span", "Distance", "TowardsVertex", "Mirrored", "margin_descent"} <= set(classes())


def test_the_norm_keeps_the_laws_of_spaces() -> None:
    space, a, b, xi = classes()["Ellipse"](draw(3, 3)), draw(7, 3), draw(7, 3), draw(7, 3)
    assert bool((space.norm(a + b) <= space.norm(a) + space.norm(b) + 1e-12).all())
    torch.testing.assert_close((xi * space.steepest(xi)).sum(1), -space.dual_norm(xi))
    torch.testing.assert_close(space.norm(space.steepest(xi)), torch.ones(7, dtype=torch.float64))
    assert bool(((xi * a).sum(1) <= space.dual_norm(xi) * space.norm(a) + 1e-12).all())
    inside = space.sample(torch.arange(200), torch.empty(200, 3, dtype=torch.float64))
    assert float(space.norm(inside).max()) <= 1 + 1e-12
    assert bool((space.steepest(torch.zeros_like(xi)) == 0).all())


def test_the_set_keeps_the_laws_of_sets() -> None:
    basis = torch.linalg.qr(draw(4, 2)).Q.T
    domain, x, xi = classes()["Span"](draw(7, 4), basis), draw(7, 4), draw(7, 4)
    near = domain.project(x)
    torch.testing.assert_close(domain.project(near), near)
    assert float(domain.violation(near).max()) < 1e-12
    others = domain.center + draw(7, 2) @ basis
    assert float(((x - near) * (others - near)).sum(1).abs().max()) < 1e-12  # orthogonal, hence optimal
    tau = torch.full((7,), 0.3, dtype=torch.float64)
    step = domain.minimize_linear_near(xi, near, tau, Lp(2))
    assert float(domain.violation(step).max()) < 1e-12
    torch.testing.assert_close((xi * (near - step)).sum(1) / tau, domain.slope(xi, near, Lp(2)))
    with pytest.raises(ValueError, match="l_2 alone"):
        domain.slope(xi, near, Lp(1))
    with pytest.raises(ValueError, match="unbounded"):
        domain.minimize_linear(xi)


def test_the_energy_keeps_the_laws_of_energies() -> None:
    energy, x = classes()["Distance"](draw(5, 3)), draw(5, 3)
    h = 1e-6 * torch.eye(3, dtype=torch.float64)
    central = torch.stack([(energy.look(x + e).value - energy.look(x - e).value) / 2e-6 for e in h], dim=1)
    torch.testing.assert_close(energy.evaluate(x).gradient, central, rtol=1e-6, atol=1e-8)
    rows = torch.tensor([3, 1])
    torch.testing.assert_close(energy.take(rows).look(x[rows]).value, energy.look(x).value[rows], rtol=0, atol=0)


def test_the_scheme_keeps_the_laws_of_schemes() -> None:
    scheme = classes()["TowardsVertex"](Constant(0.1))
    x = torch.full((4, 3), 0.5, dtype=torch.float64)
    domain, c = L2(0.3).around(x), draw(4, 3)
    curve = flow(Linear(c).within(domain), x, scheme=scheme, until=Steps(6))
    assert float(domain.violation(curve.points[-1]).max()) < 1e-12
    exact = flow(Linear(c).within(domain), x, scheme=SemiImplicit(0.1, space=Lp(2)), until=1.0)
    torch.testing.assert_close(curve.end, exact.end)  # a linear energy in closed form: the vertex in its direction
    energy = Quadratic(torch.eye(3, dtype=torch.float64))
    together = flow(energy.within(domain), x + 0.1 * c.tanh(), scheme=scheme, until=Steps(5)).end
    for k in range(4):
        row = torch.tensor([k])
        alone = flow(energy.within(domain.take(row)), (x + 0.1 * c.tanh())[row], scheme=scheme, until=Steps(5)).end
        assert torch.equal(alone, together[row])
