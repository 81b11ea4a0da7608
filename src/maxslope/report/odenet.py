"""Follow the flow of a network on a data set, and say and draw what it showed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from maxslope._status import Status
from maxslope.odenet import DescentResult, Squared, save
from maxslope.report.canvas import write_csv
from maxslope.report.odenet_figures import draw
from maxslope.report.odenet_study import Data, Settings, Study, numbers, study
from maxslope.report.sheets import odenet

Say = Callable[[str], None]


def run(
    out: Path,
    tables: list[Data],
    settings: Settings,
    *,
    say: Say,
    begun: Callable[[int, str], None] | None = None,
    command: str = "",
) -> list[dict[str, Any]]:
    """Study every table; write figures (SVG, PNG), the trajectory (CSV), the numbers (JSON), networks, a page (HTML).

    Args:
        out: the folder.
        tables: the data.
        settings: how to train.
        say: told what was found.
        begun: told the number and the name of a table before it is studied.
        command: how to do it again, for the page.

    Returns:
        The numbers, a mapping for each table.
    """
    begin, all_measured = time.perf_counter(), []
    drawn: list[tuple[Study, Any]] = []
    files: list[str] = []
    for done, data in enumerate(tables):
        if begun is not None:
            begun(done, data.name)
        found = study(data, settings)
        seconds = time.perf_counter() - begin
        measured = numbers(found)
        kind = "R^2" if isinstance(found.risk.misfit, Squared) else "accuracy"
        say(
            f"{seconds:6.1f} s  {data.name}: J {measured['energy']:.6g}, slope {measured['slope']:.2g}, {kind} "
            f"{100 * found.score:.1f} % on the {measured['samples']} rows learned from{_held(found)}, "
            f"{measured['gradients']} gradients, length {measured['length']:.4g}"
        )
        say(f"          {_end(found.run, settings.slope)}")
        say(f"          energy dissipation equality: relative defect {measured['relative_defect']:.1g}")
        for reason in [found.verdict.fate.value, *found.verdict.reasons]:
            say(f"          {reason}")
        folder = out / data.name
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.with_suffix(".json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        write_csv(_trajectory(found.run), folder.with_suffix(".csv"))
        save(found.network, folder.with_suffix(".safetensors"))
        drawn.append((found, draw(found, folder)))
        files += [folder.with_suffix(ending).name for ending in (".svg", ".png", ".csv", ".json", ".safetensors")]
        say(f"          figure {folder.with_suffix('.svg')}")
        all_measured.append(measured)
    page = odenet(drawn, command=command, files=files)
    say(f"page      {page.save(out / 'report.html')}")
    return all_measured


def _end(run: DescentResult, slope: float) -> str:
    return f"The slope came down to {slope:g}." if run.status == Status.REACHED else run.status.sentence


def _held(found: Study) -> str:
    if found.held_out is None:
        return ""
    return f", {100 * found.held_out:.1f} % on {len(found.rest)} held out"


def _trajectory(run: DescentResult) -> list[dict[str, float]]:
    names = ("time", "energy", "slope", "rate", "length")
    columns = [run.time, run.energy, run.slope, run.rate, run.length]
    return [dict(zip(names, row, strict=True)) for row in torch.stack(columns, 1).tolist()]
