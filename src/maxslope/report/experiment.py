"""The whole experiment: every figure and table of docs/flows.md."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from maxslope.data import default_data, default_network
from maxslope.energies import Energy, Loss, Margin
from maxslope.facts.export import write_csv
from maxslope.facts.numbers import number
from maxslope.figures import moons as moons_figures
from maxslope.loop import Steps, flow
from maxslope.report.drawn import panels, whole
from maxslope.report.sheets import Again, Drawings, Film, Part, Sheet, moving, table
from maxslope.schemes import Descent, Explicit, MinimizingMovement
from maxslope.sets import Linf
from maxslope.spaces import Lp
from maxslope.studies import moons
from maxslope.transport import AdversaryResult, Cloud, adversary, distance, dual

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from maxslope.reference import Convergence

Say = Callable[[str], None]
Record = dict[str, float | str]
PARTS = 11  # what is said to be done, with MNIST and an animation


def run(
    out: Path,
    *,
    samples: int,
    taus: int,
    images: int,
    say: Say,
    seed: int = 0,
    animation: bool = True,
    command: str = "",
) -> dict[str, Any]:
    """Train, measure, draw, into a folder; every part tells ``say`` how long it took.

    Args:
        out: folder for figures and tables.
        samples: initial values of the difference against tau.
        taus: step sizes.
        images: MNIST images; 0 leaves MNIST out.
        say: told what was done.
        seed: of the two moons, the networks and the initial values.
        animation: whether particles move, in a GIF and on the page.
        command: how to do it again, for the page.

    Returns:
        ``differences`` of explicit scheme and movements by network and tau (mean over initial values of the largest),
        ``orders`` in tau by scheme (slope, lower, upper), ``astray``, schemes by case that leave the reference.
    """
    start = time.perf_counter()

    def done(what: str) -> None:
        say(f"{time.perf_counter() - start:6.1f} s  {what}")

    nets = {"ReLU": moons.train(nn.ReLU, seed=seed), "GELU": moons.train(nn.GELU, seed=seed)}
    done("trained two networks on two moons")
    drawings = {"trajectories": moons_figures.draw_trajectories(nets, out / "trajectories")}
    done(f"trajectories  {out / 'trajectories.svg'}")
    film = None
    if animation:
        way = moons.particles(nets["GELU"], seed=seed)
        moons_figures.animate(nets["GELU"], way, out / "particles.gif")
        film = moons_figures.film(nets["GELU"], way)
        done(f"particles  {out / 'particles.gif'}")
    found: dict[str, moons.Differences] = {}
    for name, net in nets.items():
        found[name] = moons.differences(net, samples, moons.steps(count=taus), seed=seed)
        done(f"{name}: " + ", ".join(f"{d:.4f}" for d in found[name].largest.mean(1).tolist()))
    write_csv([r for name, d in found.items() for r in d.table(name)], out / "differences.csv")
    drawings["differences"] = moons_figures.draw_differences(found, out / "differences")
    study = moons.orders(nets["GELU"], min(40, max(samples, 12)), seed)
    drawings["convergence"] = moons_figures.draw_convergence(
        study, out / "convergence", "GELU network: schemes against the event-driven reference"
    )
    write_csv(study.table(), out / "convergence.csv")
    done("orders  " + ", ".join(f"{n} {o:.2f} [{a:.2f}, {b:.2f}]" for n, (o, a, b) in study.orders.items()))
    held = moons.constraints()
    write_csv([{"case": case, **r} for case, s in held.items() for r in s.table()], out / "constraints.csv")
    done("where a constraint binds, astray: " + "; ".join(f"{c}: {', '.join(s.astray)}" for c, s in held.items()))
    tau = 0.05 if samples >= 10 else 0.1  # fewer samples are a trial run
    write_csv(
        [{"network": n, **r} for n, net in nets.items() for r in moons.geometries(net, min(10, samples), tau, seed)],
        out / "geometries.csv",
    )
    done("norms l_1, l_2, l_inf; rates 2, 4, 16, inf")
    write_csv(clouds_of_moons(nets["GELU"], seed=seed), out / "transport.csv")
    done("distributional adversaries on two moons")
    if images:
        drawings["mnist"] = _mnist(out, images)
        done(f"MNIST  {out / 'mnist.svg'}")
    files = sorted(path.name for path in out.iterdir() if path.suffix in (".csv", ".svg", ".png", ".gif"))
    page = sheet(study, found, held, drawings, film, Again(command, files))
    done(f"page  {page.save(out / 'report.html')}")
    return {
        "differences": {name: d.largest.mean(1).tolist() for name, d in found.items()},
        "orders": {name: list(order) for name, order in study.orders.items()},
        "astray": {case: list(s.astray) for case, s in held.items()},
    }


def sheet(
    study: Convergence,
    differences: Mapping[str, moons.Differences],
    held: Mapping[str, Convergence],
    drawings: Drawings,
    film: Film | None,
    again: Again,
) -> Sheet:
    """Return the page.

    Orders of schemes against the event-driven reference (``study``); differences of explicit scheme and minimizing
    movements, by network; convergence where a constraint binds, by case (``held``); figures by name; a film.
    """
    gaps = {name: d.largest.mean(1).tolist() for name, d in differences.items()}
    shrink = [f"{name}: from {number(gap[0])} to {number(gap[-1])}" for name, gap in gaps.items()]
    first = next(iter(differences.values()))
    answer = (
        f"As the step tau shrinks from {number(first.taus[0])} to {number(first.taus[-1])}, the mean distance between "
        f"iterated FGSM and minimizing movements goes {'; '.join(shrink)}. Against an independent reference "
        "curve the schemes converge with the orders below."
    )
    numbers = [
        (f"Order of {name}", f"{o:.2f}", f"95 % interval {low:.2f} to {high:.2f}")
        for name, (o, low, high, *_) in study.orders.items()
    ]
    astray = "; ".join(f"{case}: {', '.join(s.astray)}" for case, s in held.items() if s.astray)
    remains = [f"Where a constraint binds, these schemes settle on another curve than the flow: {astray}."]
    if not astray:
        remains.clear()
    remains.append(
        "Two networks, one data set: the orders are measured here, and proved in the paper under its assumptions."
    )
    ways = [*moving(film, _PARTICLES), *panels(drawings["trajectories"], "way", _WAYS)]
    gap_tables = [table(f"{n}: differences", d.table(n)) for n, d in differences.items()]
    order_figures = panels(drawings["convergence"], "order", _ORDERS)
    parts = [
        Part("Curves", "White lines: level sets of the energy. The dark square: the budget.", ways),
        Part("Explicit steps and minimizing movements", "", panels(drawings["differences"], "gap", _GAPS), gap_tables),
        Part("Against the reference", "", order_figures, [table("Orders", study.table())]),
    ]
    if "mnist" in drawings:
        parts.append(Part("Images", "", [whole(drawings["mnist"], "images", _MNIST)]))
    asked = [
        ("Question", "do attacks with small steps follow a curve of maximal slope, and how closely"),
        ("Data", "two moons" + (", MNIST" if "mnist" in drawings else "")),
        ("Initial values", f"{first.largest.shape[1]}"),
        ("Source", "arXiv:2406.05376"),
    ]
    return Sheet("Curves of maximal slope on two moons", asked, answer, numbers, remains, parts, *again)


_WAYS = ("Explicit steps in blue, minimizing movements in red, with their step boxes.",)
_PARTICLES = (
    "Points of the two moons on curves of maximal slope, each within its own budget, by explicit steps; the slider "
    "chooses the time. Red and blue: what the network says at the start; the dark line: where it changes its mind."
)
_GAPS = (
    "The largest distance over time, mean over initial values, with two standard errors. Dotted: order one.",
    "The same by the measure that was published, the largest row sum.",
)
_ORDERS = (
    "Error against the reference; bands hold 80 % of the initial values. Dotted: order one.",
    "How far the energy dissipation equality is missed.",
    "How far the velocity is from the steepest directions.",
)
_MNIST = "Clean images, and the worst found where each moves by at most the radius, or all together on average."


def clouds_of_moons(net: nn.Module, eps: float = 0.15, seed: int = 0) -> list[Record]:
    """Risks of the adversaries in W_1, W_2 and W_inf of equal radius, and the dual bound for W_2."""
    x, y = moons.data(200, seed)
    cloud = Cloud(x.double(), y.long())
    energy = moons.SquaredError(net, y.double())
    runs = _adversaries(energy, cloud, eps=eps) | {"W_1": adversary(energy, cloud, r=1, norm=Lp(2), eps=eps)}
    bound = dual(energy, cloud, eps)
    spent = distance(cloud, bound.cloud, 2, Lp(2))
    last: Record = {
        "data": "moons", "adversary": "W_2 dual bound", "risk": bound.value, "errors": math.nan, "W_2": spent,
    }  # fmt: skip
    return [*_rows("moons", runs, cloud), last]


def _adversaries(energy: Energy, cloud: Cloud, **how: Any) -> dict[str, AdversaryResult]:
    """Adversaries of equal radius that move each sample, or all together."""
    return {
        "W_inf": adversary(energy, cloud, r=math.inf, norm=Lp(2), **how),
        "W_2": adversary(energy, cloud, r=2, norm=Lp(2), **how),
        "W_2 from mu_0 alone": adversary(energy, cloud, r=2, norm=Lp(2), start=cloud, **how),
    }


def _rows(name: str, runs: dict[str, AdversaryResult], cloud: Cloud) -> list[Record]:
    return [
        {"data": name, "adversary": kind, "risk": found.risk, "errors": found.errors,
         "W_2": distance(cloud, found.cloud, 2, Lp(2))}
        for kind, found in runs.items()
    ]  # fmt: skip


def _mnist(out: Path, images: int) -> Figure:
    """784 dimensions: explicit scheme against minimizing movements in l_inf, and W_inf against W_2 in l_2."""
    net = default_network()
    x, y = (t[:images] for t in default_data())
    energy = Loss(net, y, Margin())
    write_csv(_image_differences(energy, x), out / "mnist.csv")
    cloud = Cloud(x, y)
    runs = _adversaries(energy, cloud, eps=2.0, steps=10, box=(0.0, 1.0))
    write_csv(_rows("MNIST", runs, cloud), out / "mnist_transport.csv")
    panels = {"clean": x, "W_inf, 2": runs["W_inf"].cloud.points, "W_2, 2": runs["W_2"].cloud.points}
    far = Lp(2).norm(panels["W_2, 2"] - x).sort(descending=True).indices
    shown = torch.cat([far[:4], far[-4:]])
    titles = {kind: _captions(net, cloud, points, shown) for kind, points in panels.items()}
    return moons_figures.draw_images({kind: points[shown, 0] for kind, points in panels.items()}, titles, out / "mnist")


def _image_differences(energy: Loss, x: Tensor) -> list[Record]:
    """Explicit scheme and minimizing movements on images until time 0.2, budget 0.2, a minimum for each tau."""
    rows = x[:8]
    few = energy.take(torch.arange(8)).within(Linf(0.2).around(rows))
    inner = Descent(restarts=0, iterations=15, tolerance=1e-2)
    records: list[Record] = []
    for tau in (0.1, 0.05, 0.025):
        schemes = (Explicit(tau), MinimizingMovement(tau, inner=inner, nodes=0))
        explicit, movement = (flow(few, rows, scheme=scheme, until=Steps(round(0.2 / tau))) for scheme in schemes)
        way = (explicit.points - movement.points).abs().flatten(2)
        records.append(
            {
                "tau": tau,
                "explicit_margin": float(explicit.energy[-1].mean()),
                "movement_margin": float(movement.energy[-1].mean()),
                "mean_largest_difference": float(way.amax((0, 2)).mean()),
                "mean_absolute_difference": float(way.mean(2).amax(0).mean()),
                "unsolved_steps": math.nan if movement.failed is None else float(movement.failed[-1].double().mean()),
            }
        )
    return records


def _captions(net: nn.Module, cloud: Cloud, points: Tensor, shown: Tensor) -> list[str]:
    with torch.no_grad():
        answers = net(points[shown]).argmax(1).tolist()
    sizes = Lp(2).norm((points - cloud.points)[shown]).tolist()
    return [f"{a}, |d| = {s:.1f}" for a, s in zip(answers, sizes, strict=True)]
