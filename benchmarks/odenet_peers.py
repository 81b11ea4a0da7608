"""The estimators of maxslope.odenet beside scikit-learn's MLPClassifier and MLPRegressor; how defaults were chosen.

    python benchmarks/odenet_peers.py [peers] [choose] [penalty]

`peers`: cross-validated scores and CPU times with the defaults of both sides, inputs standardized, on six small data
sets (five folds, shuffled by seeds 0 and 1). `choose`: the scores of a grid of settings on nine data sets, and what
leaving one data set out would have chosen for it. `penalty`: OdeNetCV. One thread; `choose` takes half an hour.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _table import head, row
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_circles,
    make_classification,
    make_friedman1,
    make_moons,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from maxslope.odenet import (
    Controlled,
    Design,
    Lift,
    Logistic,
    OdeNet,
    OdeNetClassifier,
    OdeNetCV,
    OdeNetRegressor,
    Risk,
    Softmax,
    Squared,
    Stabilized,
    Until,
    descend,
    layered,
    sobol,
)

Table = tuple[np.ndarray, np.ndarray]
SIX: dict[str, Table] = {
    "iris": load_iris(return_X_y=True),
    "wine": load_wine(return_X_y=True),
    "breast cancer": load_breast_cancer(return_X_y=True),
    "moons": make_moons(300, noise=0.25, random_state=0),
    "digits": load_digits(return_X_y=True),
    "diabetes": load_diabetes(return_X_y=True),
}
MORE: dict[str, Table] = {
    "circles": make_circles(300, noise=0.15, factor=0.5, random_state=0),
    "friedman": make_friedman1(300, noise=1.0, random_state=0),
    "three classes": make_classification(400, 20, n_informative=6, n_classes=3, random_state=0),
}
NUMERIC = {"diabetes", "friedman"}
MARKS = (100, 200, 250, 300)
SHAPES = ((3, 32), (2, 32), (5, 32), (3, 64), (3, 16))  # layers, particles


def folds(name: str, table: Table, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    kind = KFold if name in NUMERIC else StratifiedKFold
    return list(kind(5, shuffle=True, random_state=seed).split(*table))


def peers(names: list[str]) -> None:
    head("data | rows x features | MLP | odenet | MLP s | odenet s | ratio | converged")
    means = []
    for name in names:
        x, y = SIX[name]
        if name in NUMERIC:
            scaled = TransformedTargetRegressor(MLPRegressor(random_state=0), transformer=StandardScaler())
            rivals = {"": MLPRegressor(random_state=0), ", targets standardized": scaled}
            ours: Any = OdeNetRegressor()
        else:
            rivals, ours = {"": MLPClassifier(random_state=0)}, OdeNetClassifier()
        parts = [part for seed in (0, 1) for part in folds(name, (x, y), seed)]
        found = {key: [_fit(make_pipeline(StandardScaler(), model), x, y, *part) for part in parts]
                 for key, model in {**rivals, "ours": ours}.items()}  # fmt: skip
        for key in rivals:
            them, us = np.array(found[key]), np.array(found["ours"])
            print(
                f"| {name}{key} | {x.shape[0]} x {x.shape[1]} | {them[:, 0].mean():.3f} | {us[:, 0].mean():.3f} | "
                f"{them[:, 1].mean():.2f} | {us[:, 1].mean():.2f} | {np.median(us[:, 1] / them[:, 1]):.1f} | "
                f"{int(us[:, 2].sum())} of {len(us)} |", flush=True,
            )  # fmt: skip
        means.append([np.mean([row[0] for row in found[key]]) for key in (*list(rivals)[-1:], "ours")])
    print(f"\nMean of the scores (MLP with targets standardized): {np.mean(means, 0).round(4).tolist()}")


def _fit(model: Any, x: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> tuple[float, float, bool]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        begin = time.process_time()
        model.fit(x[train], y[train])
        seconds = time.process_time() - begin
    done = not any(issubclass(w.category, ConvergenceWarning) for w in caught)
    return model.score(x[test], y[test]), seconds, done


def choose(file: Path) -> None:
    """A grid of settings; every flow is looked at on its way."""
    tables = {**SIX, **MORE}
    with file.open("w") as out:
        settings = [
            *itertools.product(SHAPES, (3e-3, 1e-2, 2e-2, 5e-2), (1e-2,)),
            ((3, 32), 1e-2, 0.1),
            ((3, 32), 2e-2, 0.1),
        ]
        for (layers, particles), penalty, tolerance in settings:
            for name, table in tables.items():
                parts = folds(name, table, 1)[: 1 if name == "digits" else 3]
                seen = [_on_the_way(name, table, part, (layers, particles), penalty, tolerance) for part in parts]
                for mark in MARKS:
                    score = float(np.mean([one[mark] for one in seen]))
                    out.write(json.dumps([layers, particles, penalty, tolerance, mark, name, score]) + "\n")
                out.flush()
    chosen(file)


def _on_the_way(
    name: str,
    table: Table,
    part: tuple[np.ndarray, np.ndarray],
    shape: tuple[int, int],
    penalty: float,
    tolerance: float,
) -> dict[int, float]:
    (x, y), (train, test) = table, part
    points = torch.as_tensor(x).double()
    mean, scale = points[train].mean(0), points[train].std(0, correction=0)
    lift = Lift(mean, torch.diag(1 / torch.where(scale > 0, scale, 1.0)))
    center, spread = (y[train].mean(), y[train].std()) if name in NUMERIC else (0.0, 1.0)
    if name in NUMERIC:
        targets, outputs, misfit = torch.as_tensor((y[train] - center) / spread), 1, Squared()
    else:
        classes = int(y.max()) + 1
        targets, outputs, misfit = (
            torch.as_tensor(y[train]),
            *((1, Logistic()) if classes == 2 else (classes, Softmax())),
        )
    design = Design(x.shape[1] + outputs, x.shape[1], outputs, lift=lift)
    risk = Risk(design, points[train], targets, misfit, penalty)
    found: dict[int, float] = {}
    counted = _Counted(risk)

    def watch(theta: torch.Tensor) -> bool:
        z = OdeNet(design, theta)(points[test]).detach().numpy()
        answers = z[:, 0] * spread + center if name in NUMERIC else z.argmax(1) if outputs > 1 else z[:, 0] > 0
        score = (r2_score if name in NUMERIC else accuracy_score)(y[test], answers)
        found.update({mark: float(score) for mark in MARKS if counted.count <= mark + 20})
        return False

    scheme = Controlled(Stabilized(), tolerance, layered(*shape))
    until = Until(slope=1e-4, gradients=MARKS[-1])
    descend(counted, sobol(design, *shape), until=until, scheme=scheme, rates=False, watch=watch)
    return found


class _Counted(Risk):
    """A risk that counts its gradients."""

    def __init__(self, risk: Risk) -> None:
        Risk.__init__(self, risk.design, risk.x, risk.y, risk.misfit, risk.penalty)
        object.__setattr__(self, "count", 0)

    def evaluate(self, x: torch.Tensor) -> Any:
        object.__setattr__(self, "count", self.count + 1)  # type: ignore[has-type]
        return Risk.evaluate(self, x)


def chosen(file: Path) -> None:
    """The best settings in the mean over data sets, and over all but one."""
    scores: dict[tuple[float, ...], dict[str, float]] = {}
    for *setting, name, score in map(json.loads, file.read_text().splitlines()):
        scores.setdefault(tuple(setting), {})[name] = score
    names = [*SIX, *MORE]
    scores = {setting: row for setting, row in scores.items() if len(row) == len(names)}
    ranked = sorted(scores, key=lambda s: -np.mean(list(scores[s].values())))
    print(
        "\n| layers | particles | penalty | tolerance | gradients | mean | "
        + " | ".join(names)
        + " |\n"
        + "|---" * 15
        + "|"
    )
    for setting in ranked[:8]:
        got = scores[setting]
        cells = [f"{np.mean(list(got.values())):.4f}", *(f"{got[name]:.3f}" for name in names)]
        row(*setting, *cells)
    head("left out | chosen by the others | score on it")
    for name in names:
        best = max(scores, key=lambda s, out=name: np.mean([v for k, v in scores[s].items() if k != out]))
        row(name, best, f"{scores[best][name]:.3f}")


def penalty() -> None:
    head("data | default | chosen by OdeNetCV | penalties")
    warnings.simplefilter("ignore", ConvergenceWarning)
    for name, (x, y) in SIX.items():
        if name == "digits":
            continue
        model = OdeNetRegressor() if name in NUMERIC else OdeNetClassifier()
        plain, by_data, values = [], [], []
        for train, test in folds(name, (x, y), 0):
            plain.append(model.fit(x[train], y[train]).score(x[test], y[test]))
            search = OdeNetCV(model, cv=3).fit(x[train], y[train])
            by_data.append(search.score(x[test], y[test]))
            values.append(search.penalty_)
        row(name, f"{np.mean(plain):.3f}", f"{np.mean(by_data):.3f}", ", ".join(map(str, values)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    asked = sys.argv[1:] or ["peers", "choose", "penalty"]
    if "peers" in asked:
        peers(list(SIX))
    if "choose" in asked:
        choose(Path("odenet_choose.jsonl"))
    if "penalty" in asked:
        penalty()
