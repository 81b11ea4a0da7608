"""The two-moons experiment: data, networks, energy; differences of schemes, other norms, other rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from maxslope._optional import optional
from maxslope.curve import Curve
from maxslope.energies import Constrained, Energy, Evaluation, Function, Linear
from maxslope.energies.base import plain
from maxslope.loop import Record, flow
from maxslope.reference import Convergence, convergence, reference
from maxslope.schemes import (
    Best,
    Consensus,
    Descent,
    Explicit,
    InnerSolver,
    MinimizingMovement,
    Newton,
    Scheme,
    SemiImplicit,
)
from maxslope.sets import L2, Budget, Linf
from maxslope.spaces import Lp, Space
from maxslope.studies.tables import records

TAUS = 8
EPS = 0.2

Schemes = dict[str, Callable[[float], Scheme]]


def data(samples: int = 1000, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return two moons with noise 0.1: points ``[n, 2]`` and labels ``[n]``, float32."""
    with optional("The two moons need scikit-learn", "[flows]"):
        from sklearn.datasets import make_moons
    x, y = make_moons(samples, noise=0.1, random_state=seed % 2**32)
    return torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y, dtype=torch.float32)


def train(activation: type[nn.Module], *, epochs: int = 100, seed: int = 0) -> nn.Module:
    """Train the network 2-20-20-20-1, batch norm after each activation and a sigmoid at the end, on the two moons.

    Mean squared error, Adam, batches of 100; data, start and batches by the seed. Torch's global generator is left
    as it was. The network is in eval mode, float64, with frozen weights, and maps ``[n, 2]`` to ``[n]``.
    """
    x, y = data(seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for width in (2, 20, 20):
            layers += [nn.Linear(width, 20), activation(), nn.BatchNorm1d(20)]
        net = nn.Sequential(*layers, nn.Linear(20, 1), nn.Sigmoid(), nn.Flatten(0))
        adam = torch.optim.Adam(net.parameters())
        for _ in range(epochs):
            for batch in torch.split(torch.randperm(len(x)), 100):
                adam.zero_grad()
                (net(x[batch]) - y[batch]).square().mean().backward()
                adam.step()
    return net.double().eval().requires_grad_(False)


@dataclass(frozen=True, eq=False)
class SquaredError(Energy):
    """E(x) = -(h(x) - y)^2: goes down as the model errs. Its goal: h(x) and y on different sides of 1/2.

    The model h maps ``[rows, *shape]`` to ``[rows]``; labels are ``[rows]``, in its dtype.

    Source: arXiv:2406.05376 (the experiment on two moons).
    """

    model: nn.Module
    labels: Tensor

    def evaluate(self, x: Tensor) -> Evaluation:
        with torch.enable_grad():
            z = x.detach().requires_grad_(True)
            value = -(self.model(z) - self.labels).square()
            (gradient,) = torch.autograd.grad(value.sum(), z)
        return plain(value.detach(), gradient)._replace(reached=value.detach() < -0.25)

    def look(self, x: Tensor) -> Evaluation:
        with torch.no_grad():
            value = -(self.model(x) - self.labels).square()
        return plain(value)._replace(reached=value < -0.25)

    def take(self, index: Tensor) -> SquaredError:
        return SquaredError(self.model, self.labels[index])


def problem(net: nn.Module, rows: int, seed: int = 0) -> tuple[SquaredError, Tensor]:
    """Return initial values uniform in [-1, 1]^2 and the energy with the network's own answers as labels."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(rows, 2, generator=generator, dtype=torch.float64) - 1
    return _own(net, x), x


def _own(net: nn.Module, x: Tensor) -> SquaredError:
    """The energy with the network's own answers as labels."""
    with torch.no_grad():
        return SquaredError(net, (net(x) > 0.5).double())


def steps(eps: float = EPS, count: int = TAUS) -> list[float]:
    """The step sizes eps 2^-i, largest first.

    >>> steps(0.5, 3)
    [0.5, 0.25, 0.125]
    """
    return [eps * math.ldexp(1.0, -i) for i in range(count)]


@dataclass(frozen=True, eq=False)
class Differences:
    """The explicit scheme against minimizing movements for step sizes ``taus``; tables ``[taus, rows]``.

    Attributes:
        largest: max over time of |x_k - y_k|_inf.
        matrix: the published measure, the largest row sum of the difference: max over time of |x_k - y_k|_1.
        failed: the share of steps whose inner solve missed its criterion.
    """

    taus: list[float]
    largest: Tensor
    matrix: Tensor
    failed: Tensor

    def table(self, name: str) -> list[dict[str, float | str]]:
        """One record per step size: means over rows and standard errors of the mean."""
        columns = {
            "tau": torch.tensor(self.taus, dtype=torch.float64),
            "mean_difference": self.largest.mean(1),
            "standard_error": self.largest.std(dim=1) / math.sqrt(self.largest.shape[1]),
            "mean_matrix_norm": self.matrix.mean(1),
            "unsolved_steps": self.failed.mean(1),
        }
        return [{"network": name, **record} for record in records(columns)]


def solver(net: nn.Module) -> InnerSolver:
    """Newton's method where the energy is smooth; the better of it and consensus-based search where it has kinks."""
    kinks = any(isinstance(layer, nn.ReLU) for layer in net.modules())
    return Best((Newton(iterations=6), Consensus(particles=14, iterations=14))) if kinks else Newton()


def differences(
    net: nn.Module, rows: int = 200, taus: Sequence[float] | None = None, *, until: float = 1.0, seed: int = 0
) -> Differences:
    """Run the explicit scheme and minimizing movements from the same initial values and compare them at every step.

    The initial values are uniform in [-1, 1]^2, the step sizes by default eps 2^-i for i = 0..7.
    """
    taus = list(steps() if taus is None else taus)
    energy, x = problem(net, rows, seed)
    constrained = energy.within(Linf(EPS, box=None).around(x))
    largest, matrix, failed = [], [], []
    for tau in taus:
        movement = MinimizingMovement(tau, inner=solver(net), nodes=0)
        mm = flow(constrained, x, scheme=movement, until=until, record=Record(kinks=0))  # points alone
        way = (flow(constrained, x, scheme=Explicit(tau), until=until).points - mm.points).abs()
        largest.append(way.amax((0, 2)))
        matrix.append(way.sum(2).amax(0))
        missed = mm.failed[-1] if mm.failed is not None else torch.zeros(rows)
        failed.append(missed / (len(mm.time) - 1))
    return Differences(taus, *map(torch.stack, (largest, matrix, failed)))


def trajectories(net: nn.Module, start: tuple[float, float], eps: float, tau: float) -> tuple[Curve, Curve]:
    """One curve of the explicit scheme and one of minimizing movements, from one point, until time 2 eps."""
    x = torch.tensor([start], dtype=torch.float64)
    energy, until = _own(net, x).within(Linf(eps, box=None).around(x)), max(2 * eps, 4 * tau)
    movement = MinimizingMovement(tau, inner=solver(net), nodes=0)
    return flow(energy, x, scheme=Explicit(tau), until=until), flow(energy, x, scheme=movement, until=until)


def particles(net: nn.Module, rows: int = 24, tau: float = 0.02, seed: int = 0) -> Curve:
    """Follow points of the two moons by explicit steps until time 0.3, each within its own l_inf budget."""
    x, _ = data(rows, seed)
    x = x.double()
    energy = _own(net, x).within(Linf(EPS, box=None).around(x))
    return flow(energy, x, scheme=Explicit(tau), until=0.3)


def orders(net: nn.Module, rows: int = 40, seed: int = 0) -> Convergence:
    """The three schemes against the event-driven reference on a smooth network, where coordinates cross or slide."""
    energy, x = problem(net, rows, seed)
    found = reference(energy, x, 0.3, instants=30)
    keep = (found.unique & torch.tensor([len(e) > 0 for e in found.events])).nonzero().squeeze(1)

    @cache
    def path(t: float) -> Tensor:
        return found.at(t)[keep]

    taus = [0.02 * 0.6**k for k in range(6)]
    return convergence(energy.take(keep), x[keep], schemes(Lp(math.inf), inner=Newton()), taus, path, until=0.3)


def schemes(space: Space, rate: float = math.inf, inner: InnerSolver | None = None) -> Schemes:
    """Explicit and semi-implicit steps, and with a solver minimizing movements: by name, from their step size."""
    found: Schemes = {
        "explicit": lambda tau: Explicit(tau, space, rate),
        "semi-implicit": lambda tau: SemiImplicit(tau, space, rate),
    }
    if inner is not None:
        found["minimizing movement"] = lambda tau: MinimizingMovement(tau, space, rate, inner, nodes=0)
    return found


def constraints(taus: Sequence[float] = (0.04, 0.01)) -> dict[str, Convergence]:
    """Explicit and semi-implicit steps in l_2 where a constraint binds, against reference curves, in the plane.

    A linear energy in a box, on whose face the explicit curve is slower for every tau, and a quadratic one in a ball.
    """
    x = torch.zeros(1, 2, dtype=torch.float64)
    A, b = x.new_tensor([[2.0, 0.4], [0.4, 1.0]]), x.new_tensor([-1.0, 0.6])
    quadratic = Function(lambda z: (z @ A * z).sum(1) / 2 + z @ b)
    cases = {
        "linear, box": (Linear(x.new_tensor([[1.0, 2.0]])).within(Linf(0.3, box=None).around(x)), x, 0.4),
        "quadratic, ball": (quadratic.within(L2(0.3, box=None).around(x)), x + 0.05, 0.5),
    }
    found = {}
    for name, (energy, start, until) in cases.items():
        exact = reference(energy, start, until, space=Lp(2), instants=24)
        found[name] = convergence(energy, start, schemes(Lp(2)), taus, exact, until=until)
    return found


def geometries(net: nn.Module, rows: int = 10, tau: float = 0.05, seed: int = 0) -> list[dict[str, float | str]]:
    """The three schemes in l_1, l_2 and l_inf, and rates from 2 to inf in l_2, with budgets of the same norm."""
    energy, x = problem(net, rows, seed)
    records: list[dict[str, float | str]] = []
    cases = [(1.0, math.inf), (2.0, math.inf), (math.inf, math.inf), (2.0, 2.0), (2.0, 4.0), (2.0, 16.0)]
    for p, rate in cases:
        space = Lp(p)
        domain = Budget(space, EPS, None).around(x)
        inner = Newton() if math.isinf(p) else Descent(restarts=0, iterations=10, tolerance=1e-4)
        made = schemes(space, rate, inner if p != 1 and math.isinf(rate) else None)
        records += [_summary(energy.within(domain), x, name, scheme(tau)) for name, scheme in made.items()]
    return records


def _summary(energy: Constrained, x: Tensor, name: str, scheme: Scheme) -> dict[str, float | str]:
    curve = flow(energy, x, scheme=scheme, until=0.4)
    assert isinstance(scheme.space, Lp)
    return {
        "norm": scheme.space.p,
        "rate": scheme.rate,
        "scheme": name,
        "mean_energy": float(curve.energy[-1].mean()),
        "mean_slope": float(curve.slope[-1].mean()),
        "mean_defect": float(curve.defect().abs().mean()),
        "max_speed": float(curve.speed.max()),
        "forward_passes": float(curve.forward.double().mean()),
    }
