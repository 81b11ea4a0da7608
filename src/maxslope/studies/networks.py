"""Train a network on a table of numbers by its flow, and judge the flow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maxslope import _random, odenet
from maxslope._optional import optional
from maxslope.sets import L2
from maxslope.studies.tables import numeric, read_csv

_MANY = 12  # features beyond which principal components enter


@dataclass(frozen=True, eq=False)
class Data:
    """A table: inputs ``[N, features]``, float64, and class numbers (int64) or targets (float64), ``[N]``."""

    name: str
    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Settings:
    """How to train: layers L, particles m, penalty lambda, and when to stop, by slope or after so many gradients.

    Attributes:
        eps: l_2 radius of the robust risk, in the units of the inputs; 0 trains the plain risk.
        seed: of the start, and of the rows held out.
        held_out: share of the rows that are scored and not learned from, in [0, 1).
    """

    layers: int = 6
    particles: int = 24
    penalty: float = 1e-2
    eps: float = 0.0
    slope: float = 1e-7
    gradients: int = 8000
    seed: int = 0
    held_out: float = 0.0


@dataclass(frozen=True, eq=False)
class Study:
    """What was trained, how it went, and what it shows.

    Attributes:
        data: the rows learned from.
        rest: the numbers of the rows held out.
        score: on the rows learned from.
        held_out: the same on the others, or None if there are none.
    """

    data: Data
    rest: list[int]
    risk: odenet.Risk
    network: odenet.OdeNet
    start: Tensor
    run: odenet.DescentResult
    verdict: odenet.FlowVerdict
    score: float
    held_out: float | None

    @property
    def measure(self) -> str:
        """What the score is."""
        return "R^2" if isinstance(self.risk.misfit, odenet.Squared) else "accuracy"


def moons(seed: int = 0) -> Data:
    """Return 200 points of two moons with noise 0.1."""
    from maxslope.studies.moons import data

    x, y = data(200, seed)
    return Data("moons", x.double(), y.long())


def digits() -> Data:
    """Return 300 of scikit-learn's 8 x 8 digits."""
    with optional("The digits need scikit-learn", "[flows]"):
        from sklearn.datasets import load_digits
    x, y = load_digits(return_X_y=True)
    return Data("digits", torch.as_tensor(x[:300]).double(), torch.as_tensor(y[:300]).long())


def table(path: Path) -> Data:
    """Read a CSV file of numbers: features, and the target in the last column. A first line of names is skipped.

    Whole numbers of at most 20 kinds are classes, everything else is regression.

    Raises:
        ValueError: if there is no table, a cell is not a number, or lines differ in length.
    """
    lines = read_csv(path, slice(None))
    wrong = [line.number for line in lines if len(line.cells) != len(lines[0].cells) or not numeric(line.cells)]
    if wrong or len(lines) < 2 or len(lines[0].cells) < 2:
        raise ValueError(
            f"{path.name} must hold at least two lines of finite numbers, features first and the target last, got "
            f"{len(lines)} lines{f' of which line {wrong[0]} does not fit' if wrong else ''}."
        )
    cells = torch.tensor([[float(cell) for cell in line.cells] for line in lines], dtype=torch.float64)
    x, y = cells[:, :-1], cells[:, -1]
    kinds = torch.tensor(sorted(set(y.tolist())), dtype=y.dtype)
    if len(kinds) <= 20 and bool((y == y.round()).all()):
        y = (y[:, None] == kinds).long().argmax(1)
    return Data(path.stem, x, y)


def problem(data: Data, penalty: float) -> odenet.Risk:
    """Return the risk of a network for a table: standardized features, or ten principal components of many.

    Raises:
        ValueError: if there is one class only.
    """
    mean, scale = data.x.mean(0), data.x.std(0, correction=0)
    matrix = torch.diag(1 / torch.where(scale > 0, scale, 1.0))
    if data.x.shape[1] > _MANY:
        _, size, basis = torch.linalg.svd(data.x - mean, full_matrices=False)
        keep = min(10, int((size > 1e-9 * size[0]).sum()))
        matrix = basis[:keep].T * (len(data.x) ** 0.5 / size[:keep])
    inputs, y = matrix.shape[1], data.y
    outputs, misfit = _task(y)
    if isinstance(misfit, odenet.Squared):
        spread = float(y.std(correction=0))
        y = (y - y.mean()) / (spread if spread > 0 else 1.0)
    design = odenet.Design(inputs + outputs, inputs, outputs, lift=odenet.Lift(mean, matrix))
    return odenet.Risk(design, data.x, y, misfit, penalty)


def _task(y: Tensor) -> tuple[int, odenet.Misfit]:
    """Outputs and misfit for targets: numbers, two classes, or several."""
    if y.is_floating_point():
        return 1, odenet.Squared()
    classes = int(y.max()) + 1
    if classes < 2:
        raise ValueError("Classification needs at least two classes in the last column, got one.")
    return (1, odenet.Logistic()) if classes == 2 else (classes, odenet.Softmax())


def study(data: Data, settings: Settings) -> Study:
    """Train on a table, score on the rows held out of it, and judge the flow.

    Raises:
        ValueError: if there is one class only.
    """
    whole = data
    data, rest = _split(whole, settings)
    risk = problem(data, settings.penalty)
    energy = odenet.RobustRisk(risk, L2(settings.eps, box=None)) if settings.eps else risk
    start = odenet.sobol(risk.design, settings.layers, settings.particles, seed=settings.seed)
    (run,) = odenet.descend(energy, start, until=odenet.Until(slope=settings.slope, gradients=settings.gradients))
    space = odenet.layered(settings.layers, settings.particles)
    curvature = odenet.smallest_curvature(energy, run.end, space, products=400)
    network = odenet.OdeNet(risk.design, run.end).eval().requires_grad_(False)
    judged = odenet.verdict(run, slope=settings.slope, curvature=curvature)
    held_out = _score(network, whole.x[rest], whole.y[rest], data.y) if rest else None
    return Study(data, rest, risk, network, start[0], run, judged, _score(network, data.x, data.y, data.y), held_out)


def _split(data: Data, settings: Settings) -> tuple[Data, list[int]]:
    """The rows to learn from, and the numbers of the others: a random share, at least one row of each class learned."""
    order = _random.normal(_random.keys(settings.seed, torch.tensor([0]), 2), (len(data.x),))[0].argsort()
    count = int(settings.held_out * len(data.x))
    if not data.y.is_floating_point():  # the first row of each class stays
        firsts = torch.tensor([int((data.y[order] == label).long().argmax()) for label in sorted(set(data.y.tolist()))])
        later = torch.ones(len(order), dtype=torch.bool)
        later[firsts] = False
        order = torch.cat([order[firsts], order[later]])
        count = min(count, len(order) - len(firsts))
    kept, rest = order[: len(order) - count].sort().values, order[len(order) - count :].sort().values
    return Data(data.name, data.x[kept], data.y[kept]), rest.tolist()


def _score(network: odenet.OdeNet, x: Tensor, y: Tensor, learned: Tensor) -> float:
    """Accuracy, or R^2 of a regression whose targets were standardized by those learned."""
    z = network(x)
    if y.is_floating_point():
        mean, spread = learned.mean(), learned.std(correction=0)
        miss = (z[:, 0] * (spread if spread > 0 else 1.0) + mean - y).square().sum()
        total = (y - y.mean()).square().sum()
        return 1 - float(miss / total) if total > 0 else float(miss == 0)
    answers = z.argmax(1) if z.shape[1] > 1 else (z[:, 0] > 0).long()
    return float((answers == y).double().mean())


def numbers(found: Study) -> dict[str, Any]:
    """Return what was measured, for a JSON file."""
    run, judged = found.run, found.verdict
    mass = odenet.escape(run.end)
    fit = judged.fit
    return {
        "data": found.data.name,
        "samples": len(found.data.x),
        "channels": found.risk.design.channels,
        "layers": found.start.shape[0],
        "particles": found.start.shape[1],
        "score": found.score,
        "held_out": None if found.held_out is None else {"rows": len(found.rest), "score": found.held_out},
        "energy": float(run.energy[-1]),
        "slope": float(run.slope[-1]),
        "time": float(run.time[-1]),
        "length": judged.length,
        "monotone": judged.monotone,
        "relative_defect": judged.relative_defect,
        "gradients": run.gradients,
        "status": run.status.sentence,
        "fate": judged.fate.value,
        "reasons": list(judged.reasons),
        "theta": None if fit is None else {"fit": fit.theta, "interval": fit.interval, "free": fit.free},
        "tail": None if fit is None or math.isinf(fit.tail) else fit.tail,
        "smallest_eigenvalue": None if judged.curvature is None else judged.curvature.smallest,
        "largest_share_of_a_particle": float(mass.share.max()),
        "escaping": mass.escaping,
    }
