"""The mean-field network: cost, exponents, lengths, orders, mean field, and standard against robust risk.

    python benchmarks/odenet.py [cost] [memory] [solvers] [exponents] [lengths] [meanfield] [robust] [separable]

Without names everything runs, in about half an hour on one core. Needs scikit-learn and scipy.
"""

from __future__ import annotations

import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from _table import head, row
from torch import Tensor

import maxslope as ms

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "odenet"))  # the problems of the acceptance tests
from _problems import digits, moons, pitchfork, separable

from maxslope.odenet import (
    Controlled,
    Depth,
    Design,
    ExplicitEuler,
    Logistic,
    OdeNet,
    ParticleMovement,
    Risk,
    RobustRisk,
    RungeKutta,
    Softmax,
    Stabilized,
    Tableau,
    Uniform,
    Until,
    descend,
    exponent,
    iid,
    layered,
    smallest_curvature,
    sobol,
    verdict,
)  # fmt: skip
from maxslope.odenet.descent import DescentResult
from maxslope.odenet.sweep import General

# cost -----------------------------------------------------------------------------------------------------------------

SIZES = [
    ("moons N200 d3 L8 m32", 200, 8, 32),
    ("moons N200 d3 L16 m256", 200, 16, 256),
    ("digits N500 d18 L10 m128", 500, 10, 128),
]


def plain(risk: Risk, theta: Tensor) -> Callable[[int], object]:
    """An nn.Module, backward and SGD."""
    net = OdeNet(risk.design, theta[0])
    sgd = torch.optim.SGD(net.parameters(), lr=1e-3)
    share = risk.penalty / (2 * theta.shape[1] * theta.shape[2])

    def run(steps: int) -> None:
        for _ in range(steps):
            sgd.zero_grad()
            z = net(risk.x)
            if isinstance(risk.misfit, Softmax):
                loss = torch.nn.functional.cross_entropy(z, risk.y)
            else:
                loss = (z - risk.y).square().mean() / 2
            (loss + share * net.theta.square().sum()).backward()
            sgd.step()

    return run


def general(risk: Risk, theta: Tensor) -> Callable[[int], object]:
    """The generic adjoint."""
    kind = General(risk.design)

    def run(steps: int) -> None:
        with torch.no_grad():
            for _ in range(steps):
                out, trace = kind.forward(theta[0], risk.design.enter(risk.x))
                _, slope = risk.misfit.both(risk.design.leave(out), risk.y)
                kind.backward(theta[0], trace, risk.design.leave_back(slope / len(slope)), torch.zeros_like(theta[0]))

    return run


def cost() -> None:
    head(
        "size | dtype | plain ms | gradient, generic | fast | full flow step | Hessian product",
        "Cost over a plain autograd step (paired, interleaved, CPU time, median of 9)",
    )
    for name, samples, layers, particles in SIZES:
        for dtype in (torch.float64, torch.float32):
            base = moons(samples) if "moons" in name else digits(samples)
            y = base.y if base.y.dtype == torch.int64 else base.y.to(dtype)
            risk = Risk(base.design, base.x.to(dtype), y, base.misfit, base.penalty)
            theta = iid(risk.design, layers, particles).to(dtype)
            scheme = Controlled(ExplicitEuler(), 0.5, layered(layers, particles), longest=1e-3)
            from maxslope.odenet.metric import Hilbert
            from maxslope.odenet.probe import Probe

            probe = Probe(risk, Hilbert(layered(layers, particles)))
            runs: dict[str, Callable[[int], object]] = {
                "generic": general(risk, theta),
                "fast": lambda n, risk=risk, theta=theta: [risk.evaluate(theta) for _ in range(n)],
                "step": lambda n, risk=risk, theta=theta, s=scheme: descend(
                    risk, theta, until=Until(steps=n), scheme=s
                ),
                "hvp": lambda n, p=probe, theta=theta: [p.bend(theta, theta) for _ in range(n)],
            }
            bare = plain(risk, theta)
            ratios: dict[str, list[float]] = {k: [] for k in runs}
            times = []
            for _ in range(9):
                for key, run in runs.items():
                    start = time.process_time()
                    bare(30)
                    middle = time.process_time()
                    run(30)  # a flow has one gradient more, that of its start
                    ratios[key].append((time.process_time() - middle) / (middle - start))
                    times.append((middle - start) / 30)
            row(name, str(dtype)[6:], 1e3 * statistics.median(times), *(statistics.median(r) for r in ratios.values()))


def memory() -> None:
    """Peak resident memory of one gradient, in a process of its own."""
    head("L | m | L m | MiB above the start", "Peak memory of a gradient, N = 5000, d = 3")
    for layers, particles in ((4, 32), (8, 32), (8, 64), (16, 64), (32, 64), (16, 128)):
        code = (
            "import torch; torch.set_num_threads(1)\n"
            "from maxslope.odenet import *\n"
            f"d = Design(3, 2, 1); t = iid(d, {layers}, {particles})\n"
            "r = Risk(d, torch.randn(5000, 2).double(), torch.randn(5000).double(), Squared(), 0.01)\n"
            "r.evaluate(t[:, :1, :1])\n"
            "open('/proc/self/clear_refs', 'w').write('5')  # forget the peak so far\n"
            "at = lambda k: int([w for w in open('/proc/self/status') if w.startswith(k)][0].split()[1])\n"
            "a = at('VmRSS'); r.evaluate(t); print((at('VmHWM') - a) / 1024)"
        )
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        row(layers, particles, layers * particles, float(out.stdout))


# flows ----------------------------------------------------------------------------------------------------------------


def timed(risk: object, theta: Tensor, **options: object) -> tuple[DescentResult, float]:
    start = time.process_time()
    (run,) = descend(risk, theta, **options)  # type: ignore[arg-type]
    return run, time.process_time() - start


def solvers() -> None:
    head(
        "method | steps (rejected) | gradients | CPU s | relative defect | slope",
        "To slope 1e-5 on moons N = 100, L4 m16",
    )
    risk = moons(100)
    theta = iid(risk.design, 4, 16)
    space = layered(4, 16)
    methods = [
        ("RKL2 1e-3", Controlled(Stabilized(), 1e-3, space)),
        ("RKL2 1e-2", Controlled(Stabilized(), 1e-2, space)),
        ("JKO 1e-2", Controlled(ParticleMovement(1e-6), 1e-2, space)),
        ("EE 1e-2", Controlled(ExplicitEuler(), 1e-2, space)),
        ("BS23 1e-3", Controlled(RungeKutta(Tableau.bogacki_shampine()), 1e-3, space)),
    ]
    for name, scheme in methods:
        run, seconds = timed(risk, theta, until=Until(slope=1e-5, gradients=70_000), scheme=scheme)
        row(name, f"{len(run.way)} ({run.rejected})", run.gradients, seconds, run.relative_defect, float(run.slope[-1]))
    head(
        "method | 1e-2 | 1e-3 | 1e-4 | 1e-6 | all monotone",
        "Worst defect over tolerance, 4 seeds, moons and digits, T = 20",
    )
    for name, mover in (
        ("ee", ExplicitEuler()),
        ("bs23", RungeKutta(Tableau.bogacki_shampine())),
        ("rkl2", Stabilized()),
    ):
        worst, monotone = [], True
        for tolerance in (1e-2, 1e-3, 1e-4, 1e-6):
            if name == "ee" and tolerance < 1e-4:
                worst.append("-")
                continue
            found = []
            for risk in (moons(100), digits(100)):
                thetas = iid(risk.design, 4, 16, rows=4)
                runs = descend(risk, thetas, until=Until(time=20.0), rates=False,
                               scheme=Controlled(mover, tolerance, layered(4, 16)))  # fmt: skip
                found += [run.relative_defect / tolerance for run in runs]
                monotone &= all(run.monotone for run in runs)
            worst.append(f"{max(found):.2f}")
        row(name, *worst, monotone)


def report(
    name: str, risk: Risk | RobustRisk, theta: Tensor, slope: float, most: int, products: int = 600
) -> tuple[DescentResult, float, float]:
    """Follow a flow, print a row of HEAD; return the run, its exponent and the smallest eigenvalue at its end."""
    scheme = Controlled(Stabilized(241), 1e-3, layered(*theta.shape[1:3]))  # near a limit steps are long
    run, seconds = timed(risk, theta, until=Until(slope=slope, gradients=most), scheme=scheme)
    found = exponent(run)
    certificate = smallest_curvature(risk, run.end, layered(*theta.shape[1:3]), products=products)
    judged = verdict(run, slope=max(slope, 1e-7), curvature=certificate)
    cells = (
        ("-",) * 3
        if found is None
        else (f"{found.theta:.4f}", f"[{found.low:.3f}, {found.high:.3f}]", f"{found.free:.4f}")
    )
    sure = f"{certificate.smallest:.2e} ({certificate.error:.0e}; {certificate.drift:.0e})"
    row(name, *cells, sure, "-" if found is None else found.rate, float(run.slope[-1]), float(run.length[-1]),
         judged.fate.name, run.gradients, seconds)  # fmt: skip
    return run, math.nan if found is None else found.theta, certificate.smallest


HEAD = (
    "problem | theta | interval | J*-free | lambda_min (error; drift) | "
    "r at the end | slope | length | verdict | gradients | CPU s"
)


def exponents() -> None:
    head(HEAD, "Exponents of networks, RKL2 with tolerance 1e-3")
    for seed in range(6):
        risk = moons(100, seed=seed)
        report(f"moons seed {seed}, lambda 1e-2, L4 m16", risk, iid(risk.design, 4, 16, seed=seed), 1e-11, 60_000)
    for name, risk in (
        ("moons logistic", moons(100, misfit=Logistic())),
        ("moons lambda 5e-2", moons(100, penalty=5e-2)),
    ):
        report(name, risk, iid(risk.design, 4, 16), 1e-11, 60_000)
    for seed in range(4):
        risk = digits(200)
        report(f"digits seed {seed}, lambda 1e-2, L4 m16", risk, iid(risk.design, 4, 16, seed=seed), 1e-8, 15_000, 200)
    for share, depth, shape in ((1.5, Depth.euler(), (4, 8)), (1.0, Depth.euler(), (4, 8)), (1.0, Depth.rk4(), (4, 8)),
                                (1.0, Depth.euler(), (16, 4)), (0.5, Depth.euler(), (4, 8))):  # fmt: skip
        risk = pitchfork(share, depth)
        name = f"pitchfork {share:g} lambda_c, {len(depth.tableau.b)} stages, L{shape[0]} m{shape[1]}"
        report(name, risk, iid(risk.design, *shape), 1e-8, 60_000, 200)


def lengths() -> None:
    head("problem | slope 1e-2 | 1e-3 | 1e-4 | 1e-5 | 1e-7", "Remaining length, predicted over actual")
    problems = (
        ("moons lambda 5e-2, L4 m16", moons(100, penalty=5e-2), (4, 16)),
        ("pitchfork at lambda_c, L2 m4", pitchfork(1.0), (2, 4)),
    )
    for name, risk, shape in problems:
        theta = iid(risk.design, *shape)
        final = 1e-9 if "moons" in name else 1e-8
        (whole,) = descend(risk, theta, until=Until(slope=final, gradients=100_000))
        end = exponent(whole)
        total = float(whole.length[-1]) + (end.tail if end else 0.0)
        cells = []
        for slope in (1e-2, 1e-3, 1e-4, 1e-5, 1e-7):
            (part,) = descend(risk, theta, until=Until(slope=slope))
            guess = exponent(part)
            cells.append("-" if guess is None else f"{guess.tail / (total - float(part.length[-1])):.3f}")
        row(name, *cells)


def meanfield() -> None:
    """Fluctuations over 40 seeds against a fine reference, and depth errors."""
    base = moons(100)

    def at(depth: Depth) -> Risk:
        return Risk(Design(3, 2, 1, depth=depth), base.x, base.y, base.misfit, base.penalty)

    deep = at(Depth.midpoint())

    def losses(risk: Risk, theta: Tensor) -> Tensor:
        scheme = Uniform(RungeKutta(Tableau.midpoint()), 0.25, layered(*theta.shape[1:3]))
        runs = descend(risk, theta, until=Until(time=5.0), scheme=scheme, rates=False)
        return torch.stack([run.energy for run in runs])

    limit = losses(deep, sobol(base.design, 32, 512))[0]
    head(
        "start | Lm 32 | 64 | 128 | 256 | 512 | 1024 | 2048 | slope",
        "Root mean square over 40 seeds of J(t) - J_ref(t), sup over t in [0, 5]",
    )

    def fall(name: str, start: Callable[..., Tensor], shapes: list[tuple[int, int]], seeds: int = 40) -> None:
        found = [
            (losses(deep, start(base.design, *s, rows=seeds)) - limit).square().mean(0).sqrt().max().item()
            for s in shapes
        ]
        x = torch.tensor([math.log(a * b) for a, b in shapes])
        y = torch.tensor(found).log()
        slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
        row(name, *([""] * (7 - len(found))), *found, slope)

    fall("iid, L = 8", iid, [(8, m) for m in (4, 8, 16, 32, 64, 128, 256)])
    fall("iid, m = 32", iid, [(n, 32) for n in (1, 2, 4, 8, 16, 32, 64)], 20)
    fall("Sobol, L = 8", sobol, [(8, m) for m in (8, 16, 32, 64, 128, 256)])
    head("scheme | L 2 | 4 | 8 | 16 | 32 | last order", "Depth error at fixed particles, sup over t")
    theta = iid(base.design, 1, 32)
    limit = losses(at(Depth.midpoint()), theta.repeat(1, 256, 1, 1))[0]
    for name, depth in (("Euler", Depth.euler()), ("midpoint", Depth.midpoint()), ("RK4", Depth.rk4())):
        found = [float((losses(at(depth), theta.repeat(1, n, 1, 1))[0] - limit).abs().max()) for n in (2, 4, 8, 16, 32)]
        row(name, *(f"{e:.1e}" for e in found), math.log2(found[-2] / found[-1]))


def robust() -> None:
    """Beyond the design: exponent and length of the flow of the robust risk."""
    head(HEAD, "Standard against robust risk, moons N = 60, logistic, lambda 1e-2, L4 m16, l_2 budget")
    ends: dict[float, list[tuple[float, float, float]]] = {}
    for seed in range(3):
        risk = moons(60, seed=seed, misfit=Logistic())
        theta = iid(risk.design, 4, 16, seed=seed)
        for eps in (0.0, 0.05, 0.1):
            energy = RobustRisk(risk, ms.L2(eps, box=None), steps=20) if eps else risk
            run, fit, least = report(f"eps {eps:g}, seed {seed}", energy, theta, 1e-6, 2500, 60)
            ends.setdefault(eps, []).append((fit, float(run.length[-1]), least))
            if eps:
                gap = float(energy.gap(run.end).max())  # type: ignore[union-attr]
                print(f"    J(T) {float(run.energy[-1]):.5f}, largest gap {gap:.1e}, {run.status.name}")
    head("eps | theta | length | lambda_min", "Median (range) over three seeds")
    for eps, rows in ends.items():
        row(eps, *(f"{statistics.median(c):.4g} ({min(c):.4g} to {max(c):.4g})" for c in zip(*rows, strict=True)))


def without_limit() -> None:
    head(
        "t | 1e2 | 1e3 | 1e4 | 1e5 | 1e6 | theta | interval | verdict", "Separable moons, logistic, lambda = 0, L4 m16"
    )
    risk = separable(100)
    (run,) = descend(risk, iid(risk.design, 4, 16), until=Until(time=1e6))
    at = [float(run.length[int((run.time <= t).sum()) - 1]) for t in (1e2, 1e3, 1e4, 1e5, 1e6)]
    judged = verdict(run)
    found = judged.fit
    assert found is not None
    row("length", *at, found.theta, f"[{found.low:.3f}, {found.high:.3f}]", judged.fate.name)


PARTS = {
    "cost": cost, "memory": memory, "solvers": solvers, "exponents": exponents, "lengths": lengths,
    "separable": without_limit, "meanfield": meanfield, "robust": robust,
}  # fmt: skip


def main() -> None:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 1 thread")
    for name in sys.argv[1:] or PARTS:
        start = time.perf_counter()
        PARTS[name]()
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"\n({name}: {time.perf_counter() - start:.0f} s, peak {used:.0f} MiB)", flush=True)


if __name__ == "__main__":
    main()
