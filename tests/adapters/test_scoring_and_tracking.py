"""Scorers inside scikit-learn, and logs through the clients people use."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import maxslope as ms
from maxslope.adapters import metrics, robust_scorer, to_mlflow, to_tensorboard, to_wandb
from maxslope.attacks import Effort, recipes
from maxslope.attacks.findings import Finding, Kind
from nets import answers, conv, images

FAST = Effort((recipes.pgd(4),), "fast")


@pytest.fixture(scope="module")
def report() -> Any:
    model, x = conv(), images(20)
    return ms.evaluate(model, (x, answers(model, x)), ms.Linf(0.1), effort=FAST)


# --- scores ----------------------------------------------------------------------------------------------------------


def test_a_linear_classifier_is_scored_by_its_geometry() -> None:
    """In l_2 without a box, a sample stands exactly if it is farther than eps from the hyperplane."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    y = np.where(X @ [1.0, -2.0, 0.5] + 0.1 * rng.normal(size=40) > 0, "yes", "no")
    estimator = LogisticRegression(C=100).fit(X, y)
    eps = 0.2
    far = np.abs(estimator.decision_function(X)) / np.linalg.norm(estimator.coef_)
    wanted = float(((estimator.predict(X) == y) & (far > eps)).mean())
    blind = robust_scorer(ms.L2(eps, box=None))(estimator, X, y)

    def network(e: Any) -> nn.Module:
        layer = nn.Linear(3, 1).double()
        layer.weight.data.copy_(torch.from_numpy(e.coef_))
        layer.bias.data.copy_(torch.from_numpy(e.intercept_))
        return layer.eval()

    exact = robust_scorer(ms.L2(eps, box=None), network=network)(estimator, X, y)
    assert exact == pytest.approx(wanted)
    assert exact <= blind <= float(estimator.score(X, y))
    assert blind <= wanted + 0.05


def test_cross_validation_and_grid_search() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.naive_bayes import GaussianNB

    rng = np.random.default_rng(1)
    X, y = rng.uniform(size=(60, 2)), rng.integers(0, 3, 60)
    X[:, 0] = (X[:, 0] + y) / 3
    scorer = robust_scorer(ms.Linf(0.02), effort=Effort((recipes.square(20),), "few"))
    scores = cross_val_score(LogisticRegression(), X, y, cv=2, scoring=scorer)
    assert scores.shape == (2,)
    assert (scores > 0.2).all()
    search = GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 10.0]}, scoring=scorer, cv=2).fit(X, y)
    assert search.best_params_["var_smoothing"] == 1e-9


def test_modules_are_attacked_along_their_gradients() -> None:
    model, x = conv(), images(12)
    y = answers(model, x)
    wanted = ms.evaluate(model, (x, y), ms.Linf(0.1), effort=FAST, probe=False).robust_accuracy
    scorer = robust_scorer(ms.Linf(0.1), effort=FAST)
    assert scorer(model, x.numpy(), y.numpy()) == wanted
    held = SimpleNamespace(module_=model, classes_=np.arange(5))
    assert scorer(held, x.numpy(), y.numpy()) == wanted
    assert scorer(SimpleNamespace(module_=model), x.numpy(), y.numpy()) == wanted


def test_misuse_of_a_scorer() -> None:
    with pytest.raises(TypeError, match="The budget is a Budget"):
        robust_scorer(0.1)
    scorer = robust_scorer(ms.Linf(0.1))
    with pytest.raises(ValueError, match="got y=None"):
        scorer(conv(), images(2).numpy())
    with pytest.raises(TypeError, match="has no decision_function"):
        scorer(SimpleNamespace(classes_=np.arange(2)), np.zeros((2, 2)), np.zeros(2, int))
    with pytest.raises(ValueError, match="among the estimator's classes"):
        scorer(SimpleNamespace(classes_=np.arange(2)), np.zeros((2, 2)), np.array([0, 7]))


def test_a_score_carries_its_warnings() -> None:
    """A masked network: a warning, or with strict an error, which cross_val_score turns into NaN."""

    class Masked(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (10 * x).round() + 0 * x

    x, y = np.tile(np.array([[0.9, 0.1]], dtype="float32"), (20, 1)), np.zeros(20, int)
    budget, effort = ms.Linf(0.05), Effort((recipes.pgd(4),), "fast")
    with pytest.warns(ms.MaxslopeWarning, match=r"robust_scorer: 100.0 %, but vanishing gradients"):
        assert robust_scorer(budget, effort=effort)(Masked().eval(), x, y) == 1.0
    with pytest.raises(ValueError, match="vanishing gradients"):
        robust_scorer(budget, effort=effort, strict=True)(Masked().eval(), x, y)


# --- logs ------------------------------------------------------------------------------------------------------------


def test_metrics_are_the_report_s(report: Any) -> None:
    found = metrics(report, "val")
    assert found["val/robust_accuracy"] == report.robust_accuracy
    assert (found["val/robust_accuracy_low"], found["val/robust_accuracy_high"]) == report.interval
    assert found["val/samples"] == 20


def test_logs_carry_warnings(report: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    doubtful = replace(report, warnings=(Finding(Kind.OPEN_GAP, "Seen on 3 of 8 samples."),))
    assert (metrics(replace(report, warnings=()))["robustness/trusted"], metrics(doubtful)["robustness/trusted"]) == (
        1,
        0,
    )
    stood = Stood()
    monkeypatch.setitem(sys.modules, "mlflow", stood)
    to_mlflow(doubtful)
    assert "Seen on 3 of 8" in stood.calls[1][1][0]["robustness.warnings"]
    run = Stood()
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=run, Table=lambda columns, data: (columns, data)))
    to_wandb(doubtful)
    assert "Seen on 3 of 8" in run.calls[0][1][0]["robustness/said"]
    texts: list[str] = []
    to_tensorboard(doubtful, SimpleNamespace(
        add_scalar=lambda *a: None, add_histogram=lambda *a: None, add_text=lambda name, text, step: texts.append(text)
    ))  # fmt: skip
    assert "Seen on 3 of 8" in " ".join(texts[0].split())


def test_tensorboard_reads_what_we_write(report: Any, tmp_path: Path) -> None:
    """The real client writes, and TensorBoard's own reader reads it back."""
    pytest.importorskip("tensorboard", reason="the extra `log` holds it")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        to_tensorboard(report, writer, step=7)
    read = EventAccumulator(str(tmp_path)).Reload()
    event = read.Scalars("robustness/robust_accuracy")[0]
    assert event.step == 7
    assert event.value == pytest.approx(report.robust_accuracy)
    assert read.Histograms("robustness/margin")[0].histogram_value.num == 20
    assert "robustness/report/text_summary" in read.Tags()["tensors"]


def test_no_margins_no_histogram(report: Any) -> None:
    from dataclasses import replace

    calls: list[str] = []
    writer = SimpleNamespace(
        add_scalar=lambda *a: calls.append("scalar"), add_histogram=lambda *a: calls.append("histogram"),
        add_text=lambda *a: calls.append("text"),
    )  # fmt: skip
    to_tensorboard(replace(report, table={**report.table, "margin": [float("nan")] * 20}), writer)
    assert "histogram" not in calls
    assert calls.count("scalar") == len(metrics(report))


class Stood:
    """Stands in for a client that is not installed here: keeps the calls made by its documented interface."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **options: self.calls.append((name, args, options))


def test_mlflow_is_called_by_its_documented_interface(report: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No mlflow here: a stand-in keeps what log_metrics, set_tags and log_artifact are called with."""
    stood = Stood()
    monkeypatch.setitem(sys.modules, "mlflow", stood)
    to_mlflow(report, step=3, page=Path("page.html"))
    names = [name for name, _, _ in stood.calls]
    assert names == ["log_metrics", "set_tags", "log_artifact"]
    assert stood.calls[0][1][0] == metrics(report)
    assert stood.calls[0][2] == {"step": 3}
    stood.calls.clear()
    to_mlflow(report)
    assert [name for name, _, _ in stood.calls] == ["log_metrics", "set_tags"]
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ImportError, match="needs mlflow"):
        to_mlflow(report)


def test_wandb_is_called_by_its_documented_interface(report: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No wandb here: a stand-in keeps what Run.log and Table are called with."""
    run = Stood()
    client = SimpleNamespace(run=None, Table=lambda columns, data: (columns, data))
    monkeypatch.setitem(sys.modules, "wandb", client)
    with pytest.raises(ValueError, match=r"wandb.init\(\)"):
        to_wandb(report)
    to_wandb(report, run=run, step=2)
    client.run = run
    to_wandb(report)
    (name, args, options), second = run.calls
    assert (name, options) == ("log", {"step": 2})
    assert second[2] == {"step": None}
    columns, data = args[0]["robustness/samples_table"]
    assert columns == list(report.table)
    assert len(data) == 20
