"""The page of a boundary flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from maxslope.report.drawn import panels
from maxslope.report.numbers import number
from maxslope.report.sheet import Part, Rows, Sheet
from maxslope.report.sheets import Drawings, listed, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from maxslope.report.boundary import Study


def sheet(
    study: Study,
    drawings: Drawings,
    film: tuple[Figure, Sequence[str]] | None,
    *,
    neural: Mapping[str, Any] | None = None,
    command: str = "",
    files: Sequence[str] = (),
) -> Sheet:
    """Return the page of a boundary flow.

    Args:
        study: what was followed.
        drawings: the figures ``boundary`` and ``numbers``, and ``network`` where there is one.
        film: of :func:`maxslope.report.boundary_figures.film`, in the plane.
        neural: what the neural flow found.
        command: how to do it again.
        files: what else was written.
    """
    said = study.summary()
    asked = [
        ("Question", "where a decision boundary goes under adversarial training, and when to stop"),
        ("Problem", said["problem"]),
        ("Adversary", f"moves a point by at most {number(said['eps'])}, in units of the points"),
        ("Grid", " x ".join(map(str, said["cells"])) + f" cells, {said['steps']} steps"),
    ]
    moving = [] if film is None else panels(film[0], "film", _FILM, frames=film[1])
    figures = [*moving, *panels(drawings["boundary"], "boundary", _BOUNDARY)]
    numbers = panels(drawings["numbers"], "numbers", _NUMBERS)
    parts = [
        Part("The boundary", _HUES, figures),
        Part("Perimeter and risk", "", numbers, [table("All instants", study.records())]),
    ]
    if neural is not None and "network" in drawings:
        found = Rows(
            "Numbers of the neural flow", ("number", "value"), [(_words(n), listed(v)) for n, v in neural.items()]
        )
        network = panels(drawings["network"], "network", ("Boundaries of the network after each step.",))
        parts.append(Part("The neural flow", "", network, [found]))
    title = f"{said['problem']}: a boundary over time"
    return Sheet(title, asked, _answer(said), _numbers(said), (), _remains(said), parts, command, files)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _answer(said: Mapping[str, Any]) -> str:
    before, after = said["robust_risk"]
    stop, least = said["stopped_at"], said["least_robust_risk"]
    way = f"Followed to time {number(said['until'])}, the robust risk goes from {number(before)} to {number(after)}. "
    if not least < before:
        return way + "It is least at the start: the flow does not help here."
    if stop < said["until"]:
        return way + f"It is least, {number(least)}, at time {number(stop)}: the time to stop."
    return way + "It never rises on the way."


def _numbers(said: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The large ones."""
    start, end = said["weighted_perimeter"]
    least = f"at time {number(said['stopped_at'])}; {number(said['robust_risk'][0])} at the start"
    found = [
        ("Least robust risk", number(said["least_robust_risk"]), least),
        ("Weighted perimeter", number(end), f"{number(start)} at the start"),
    ]
    if said["adversarial_training"] is not None:
        note = "robust risk after one step of adversarial training"
        found.append(("One long step", number(said["adversarial_training"]), note))
    return found


def _remains(said: Mapping[str, Any]) -> list[str]:
    found = []
    if said["gap_to_reference_in_cells"] is not None:
        gap = number(said["gap_to_reference_in_cells"], 2)
        found.append(
            f"The boundary lies at most {gap} cells from the level-set solution of the same law: what is finer "
            "than the grid is not known."
        )
    if said["expected_stop"] is not None:
        found.append(f"To leading order the time to stop was expected to be {number(said['expected_stop'])}.")
    return [*found, f"Why the flow ended: {said['status']}"]


_HUES = (
    "Blue and red: the likelier class, stronger where samples are denser. Solid: minimizing movements; dotted: the "
    "limit law, a radius going to 0."
)
_FILM = ("The slider chooses the time. Solid: this flow; dotted: the limit law.",)
_BOUNDARY = (
    "By minimizing movements, at six times; the last in amber.",
    "By level sets, with the law of the same radius: an independent computation.",
    "By level sets, with the law for a radius going to 0.",
)
_NUMBERS = (
    "Perimeters along the flow, beside the level-set solutions: a falling line is what the theory says.",
    "The risk under the adversary; the dot is where the rule stops the flow.",
    "The risk without an adversary: what robustness costs.",
)
