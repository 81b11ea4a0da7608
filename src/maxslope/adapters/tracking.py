"""An evaluation in the logs that people keep already: TensorBoard, MLflow, Weights & Biases, through their clients."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from maxslope.adapters.conversions import need
from maxslope.evaluation import Report

_LONGEST_TAG = 5000  # characters, of MLflow


def metrics(report: Report, prefix: str = "robustness") -> dict[str, float]:
    """Return the numbers of a report by name.

    >>> import maxslope as ms
    >>> x, y = torch.tensor([[0.9, 0.1], [0.6, 0.5]]), torch.tensor([0, 0])
    >>> metrics(ms.evaluate(lambda x: 10 * x, (x, y), ms.Linf(0.2)))["robustness/robust_accuracy"]
    0.5
    """
    low, high = report.interval
    found = {
        "robust_accuracy": report.robust_accuracy,
        "robust_accuracy_low": low,
        "robust_accuracy_high": high,
        "clean_accuracy": report.clean_accuracy,
        "backward_per_sample": report.backward_per_sample,
        "forward_per_sample": report.forward_per_sample,
        "samples": float(report.samples),
        "warnings": float(len(report.warnings)),
        "trusted": float(report.trusted),
    }
    return {f"{prefix}/{name}": value for name, value in found.items()}


def to_tensorboard(report: Report, writer: Any, *, step: int = 0, prefix: str = "robustness") -> None:
    """Write a report to TensorBoard: its numbers, the margins at the worst points, the report in words.

    Args:
        report: of ``evaluate``.
        writer: ``torch.utils.tensorboard.SummaryWriter`` (the package tensorboard, extra ``log``).
        step: of the training.
        prefix: of the names.
    """
    for name, value in metrics(report, prefix).items():
        writer.add_scalar(name, value, step)
    margins = [m for m in map(float, report.table["margin"]) if math.isfinite(m)]
    if margins:
        writer.add_histogram(f"{prefix}/margin", torch.tensor(margins), step)
    writer.add_text(f"{prefix}/report", "```\n" + str(report) + "\n```", step)


def to_mlflow(report: Report, *, step: int = 0, prefix: str = "robustness", page: Path | None = None) -> None:
    """Log a report to the active run of MLflow: its numbers, budget and effort, and a page if there is one.

    Args:
        report: of ``evaluate``.
        step: of the training.
        prefix: of the names.
        page: an HTML page to keep as an artifact.

    Raises:
        ImportError: if mlflow is not installed.
    """
    mlflow = need("mlflow", "")
    mlflow.log_metrics(metrics(report, prefix), step=step)
    said = "\n".join(map(str, report.warnings))[:_LONGEST_TAG]
    mlflow.set_tags(
        {f"{prefix}.budget": report.budget, f"{prefix}.effort": report.effort.name, f"{prefix}.warnings": said}
    )
    if page is not None:
        mlflow.log_artifact(str(page))


def to_wandb(report: Report, *, run: Any = None, step: int | None = None, prefix: str = "robustness") -> None:
    """Log a report to a run of Weights & Biases: its numbers, and the table of samples.

    Args:
        report: of ``evaluate``.
        run: of ``wandb.init()``; by default the active one.
        step: of the training.
        prefix: of the names.

    Raises:
        ImportError: if wandb is not installed.
        ValueError: if no run is active.
    """
    wandb = need("wandb", "")
    active = wandb.run if run is None else run
    if active is None:
        raise ValueError("There is no active run of wandb; call wandb.init() first, or pass run=.")
    rows = [list(row) for row in zip(*report.table.values(), strict=True)]
    table, said = wandb.Table(columns=list(report.table), data=rows), "\n".join(map(str, report.warnings))
    content = {**metrics(report, prefix), f"{prefix}/samples_table": table, f"{prefix}/said": said}
    active.log(content, step=step)
