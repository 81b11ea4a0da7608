"""Curves of maximal slope against what is known of them: the tables of RESULTS.md, "Flows". A minute or two.

python benchmarks/flows.py
"""

from __future__ import annotations

import math
import time

import torch
from _table import row
from torch import Tensor, nn

from maxslope.energies import Function, Linear, Quadratic
from maxslope.loop import Record, Steps, flow
from maxslope.reference import euclidean_bowl, rated_bowl, reference, water_filling
from maxslope.schemes import Consensus, MinimizingMovement, Newton, SemiImplicit
from maxslope.sets import Linf
from maxslope.spaces import Lp
from maxslope.studies.moons import EPS, constraints, problem, solver, train
from maxslope.transport import Cloud, paths


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def references() -> None:
    print("\nreference curves against closed forms, the largest error at and between instants")
    x, eye = draw(3, 4), Quadratic(torch.eye(4, dtype=torch.float64))
    cases = [("l_2", eye, Lp(2), math.inf, euclidean_bowl), ("l_1", eye, Lp(1), math.inf, water_filling)]
    for rate in (1.5, 2.0, 3.5):
        cases.append((f"l_2, rate {rate:g}", eye, Lp(2), rate, lambda x, t, r=rate: rated_bowl(x, t, r)))
    for p in (1.5, 3.0, 6.0):
        size = Lp(p).norm(x)[:, None]
        energy = Function(lambda z, p=p: Lp(p).norm(z).square() / 2)
        cases.append((f"l_{p:g}", energy, Lp(p), math.inf, lambda x, t, s=size: x * (1 - t / s).clamp_min(0)))
    for name, energy, space, rate, closed in cases:
        begin = time.perf_counter()
        found = reference(energy, x, 2.5, space=space, rate=rate, instants=50)
        errors = [float((found.at(t) - closed(x, t)).abs().max()) for t in (0.1, 0.777, 1.3, 2.11, 2.5)]
        row(name, f"{max(errors):.1e}", f"{time.perf_counter() - begin:.1f} s")


def held() -> None:
    print("\nwhere a constraint binds: largest error against the reference")
    for case, study in constraints((0.04, 0.02, 0.01)).items():
        for name, table in study.errors.items():
            row(case, name, *(f"{float(e):.4f}" for e in table.mean(1)))


def kinks() -> None:
    print("\ndissipation defects at kinks: gradient at the point, metric slope")
    energy, x = Function(lambda z: z.abs().sum(1)), torch.tensor([[0.63]], dtype=torch.float64)
    for tau in (0.1, 0.05, 0.025):
        runs = [
            flow(energy, x, scheme=MinimizingMovement(tau, inner=Newton()), until=1.3, record=r)
            for r in (Record(kinks=0), Record())
        ]
        row("modulus", tau, *(f"{abs(float(c.defect())):.4f}" for c in runs))
    net = train(nn.ReLU)
    energy, x = problem(net, 30)
    constrained = energy.within(Linf(EPS, box=None).around(x))
    for tau in (0.05, 0.025, 0.0125):
        scheme = MinimizingMovement(tau, inner=solver(net), nodes=0)
        runs = [flow(constrained, x, scheme=scheme, until=0.4, record=r) for r in (Record(kinks=0), Record())]
        mean = [float(c.defect().abs().mean()) for c in runs]
        most = [float(c.defect().abs().max()) for c in runs]
        cells = [f"{a:.3f} ({b:.2f})" for a, b in zip(mean, most, strict=True)]
        row("ReLU network, mean (largest)", tau, *cells)


def vouched() -> None:
    print("\nconsensus on a linear energy in l_inf: share of the best decrease, rows called unsolved")
    for d in (2, 5, 20):
        c = draw(50, d)
        scheme = MinimizingMovement(0.1, inner=Consensus())
        curve = flow(Linear(c), torch.zeros_like(c), scheme=scheme, until=Steps(1))
        share = float((-curve.energy[-1] / (0.1 * c.abs().sum(1))).mean())
        row(d, f"{100 * share:.1f} %", f"{100 * float((curve.status == 6).double().mean()):.0f} %")


def found_again() -> None:
    print("\nparticles found again from clouds in random order, W_2 and W_inf, 200 particles")
    n = 200
    x = torch.rand(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    energy = Function(lambda z: torch.sin(5 * z).sum(1))
    labels = torch.arange(n) % 2
    g = torch.Generator().manual_seed(1)
    for tau in (0.1, 0.03, 0.01, 0.003):
        curve = flow(energy, x, scheme=SemiImplicit(tau, Lp(2)), until=Steps(5))
        orders = [torch.arange(n), *(torch.randperm(n, generator=g) for _ in range(5))]
        mixed = [Cloud(p[o], labels[o]) for p, o in zip(curve.points, orders, strict=True)]
        shares = []
        for r in (2, math.inf):
            again = paths(mixed, curve.time[:, 0], r, Lp(2))
            same = (again.points == curve.points).flatten(2).all(2).all(0)
            shares.append(f"{100 * float(same.double().mean()):.0f} %")
        row(tau, f"{float(again.apart.min()):.2f}", *shares)


if __name__ == "__main__":
    references()
    held()
    kinks()
    vouched()
    found_again()
