"""Follow the flow of a network on a data set, and say and draw what it showed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from maxslope.odenet import Descent, Squared
from maxslope.report.canvas import write_csv
from maxslope.report.odenet_figures import draw
from maxslope.report.odenet_study import Data, Settings, numbers, study

Say = Callable[[str], None]


def run(out: Path, tables: list[Data], settings: Settings, *, say: Say) -> list[dict[str, Any]]:
    """Study every table; write figures (SVG, PNG), the trajectory (CSV) and the numbers (JSON), and return the numbers.

    Args:
        out: the folder.
        tables: the data.
        settings: how to train.
        say: told what was found.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    begin, all_measured = time.perf_counter(), []
    for data in tables:
        found = study(data, settings)
        seconds = time.perf_counter() - begin
        measured = numbers(found)
        kind = "R^2" if isinstance(found.risk.misfit, Squared) else "accuracy"
        say(
            f"{seconds:6.1f} s  {data.name}: J {measured['energy']:.6g}, slope {measured['slope']:.2g}, {kind} "
            f"{100 * found.score:.1f} % on the training data, {measured['gradients']} gradients, length "
            f"{measured['length']:.4g}"
        )
        say(f"          energy dissipation equality: relative defect {measured['relative_defect']:.1g}")
        for reason in [found.verdict.fate.value, *found.verdict.reasons]:
            say(f"          {reason}")
        folder = out / data.name
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.with_suffix(".json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        write_csv(_trajectory(found.run), folder.with_suffix(".csv"))
        draw(found, folder)
        say(f"          figure {folder.with_suffix('.svg')}")
        all_measured.append(measured)
    return all_measured


def _trajectory(run: Descent) -> list[dict[str, float]]:
    names = ("time", "energy", "slope", "rate", "length")
    columns = [run.time, run.energy, run.slope, run.rate, run.length]
    return [dict(zip(names, row, strict=True)) for row in torch.stack(columns, 1).tolist()]
