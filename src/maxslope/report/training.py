"""The figure and the page of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maxslope.facts.numbers import Share, percent
from maxslope.figures.canvas import COLORS, INK, blank, dress, save
from maxslope.report.drawn import panels
from maxslope.report.sheets import Again, Part, Sheet, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_history(history: Sequence[Mapping[str, Any]], path: Path, title: str = "") -> Figure:
    """Draw the history of a :class:`maxslope.training.Fitted`: loss, accuracies that were checked, gradients, guard.

    It is written at a ``path`` without an ending, as SVG and PNG.

    Raises:
        ValueError: if no epoch was completed.
        ImportError: if matplotlib is not installed.
    """
    if not history:
        raise ValueError("A picture of a training needs at least one completed epoch, got none.")
    checked = [record for record in history if "robust" in record]
    figure = blank(10.5, 3.1)  # says how to get matplotlib
    from matplotlib.ticker import MaxNLocator

    loss, accuracy, cost = figure.subplots(1, 3)

    def line(axis: Axes, name: str, color: int, label: str = "", scale: float = 1.0, **style: Any) -> None:
        known = [record for record in history if name in record]
        values = [scale * record[name] for record in known]
        axis.plot([r["epoch"] for r in known], values, color=COLORS[color], label=label or name, linewidth=1.4, **style)

    line(loss, "loss", 0)
    line(accuracy, "clean", 0, scale=100, marker="o", markersize=3)
    line(accuracy, "robust", 1, scale=100, marker="o", markersize=3)
    line(cost, "backward", 0, "gradients")
    line(cost, "radius", 2, "radius / eps")
    line(cost, "ratio", 1, "guard's ratio")
    dress(loss, "mean loss of the epoch's batches", "epoch")
    dress(accuracy, "accuracy on held-out samples, %", "epoch", key=bool(checked))
    dress(cost, "inner gradients a sample", "epoch", key=True)
    if not checked:
        accuracy.text(0.5, 0.5, "not checked", ha="center", color=INK, transform=accuracy.transAxes)
    for axis, top in ((loss, None), (accuracy, 100), (cost, None)):
        axis.set_ylim(bottom=0, top=top)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return save(figure, path, title, 11)


def sheet(
    history: Sequence[Mapping[str, Any]],
    drawing: Figure,
    asked: Sequence[tuple[str, str]],
    held: int,
    again: Again,
) -> Sheet:
    """Return the page of a training, whose accuracies were verified on so many ``held`` samples."""
    checked = [record for record in history if "robust" in record]
    numbers, remains = [], []
    answer = f"{len(history)} epochs; no accuracy was checked on held-out samples."
    if checked:
        best, last = max(checked, key=lambda record: record["robust"]), checked[-1]
        answer = (
            f"The best epoch of {len(history)}, number {best['epoch']}, is right on {percent(best['robust'])} of "
            f"{held} held-out samples under attack, and on {percent(best['clean'])} without; its weights were kept."
        )
        for name in ("robust", "clean"):
            interval = f"95 % interval {Share.near(best[name], held).interval}"
            numbers.append((f"{name.capitalize()} accuracy", percent(best[name]), interval))
        if last["epoch"] != best["epoch"]:
            remains.append(f"After the last epoch it was {percent(last['robust'])}.")
        remains.append(
            "The epoch was chosen on these very samples, and the attack inside a training is a short one: the number "
            "is an upper bound. An evaluation (maxslope evaluate) of other samples says more."
        )
    parts = [Part("Epoch by epoch", "", panels(drawing, "history", _HISTORY), [table("All epochs", history)])]
    return Sheet("A robust training", asked, answer, numbers, remains, parts, *again)


_HISTORY = (
    "The loss that is trained on: under attack, so that it may rise where the attack gets stronger.",
    "Accuracies on samples that were held out, each verified.",
    "What the attack inside the training costs, and how large its radius is.",
)
