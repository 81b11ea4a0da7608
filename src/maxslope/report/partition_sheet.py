"""The page of a flow of several classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from maxslope.report.drawn import panels
from maxslope.report.numbers import number
from maxslope.report.sheet import Part, Sheet
from maxslope.report.sheets import Drawings, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from maxslope.report.partition import PartitionStudy


def sheet(
    found: PartitionStudy,
    drawings: Drawings,
    film: tuple[Figure, Sequence[str]] | None,
    *,
    command: str = "",
    files: Sequence[str] = (),
) -> Sheet:
    """Return the page of a flow of several classes.

    Args:
        found: what was followed.
        drawings: the figures ``boundary`` and ``numbers``.
        film: of :func:`maxslope.report.partition_figures.film`; None for none.
        command: how to do it again.
        files: what else was written.
    """
    said = found.summary()
    before, after = said["robust_risk"]
    least, stop = said["least_robust_risk"], said["stopped_at"]
    asked = [
        ("Question", "where the boundaries between several classes go as adversarial training smooths them"),
        ("Problem", said["problem"]),
        ("Classes", ", ".join(said["classes"])),
        ("Adversary", f"moves a point by at most {number(said['eps'])}, in units of the points"),
        ("Grid", " x ".join(map(str, said["cells"])) + " cells"),
    ]
    way = f"Followed to time {number(said['until'])}, the robust risk goes from {number(before)} to {number(after)}. "
    when = "It is least at the start: the flow does not help here."
    if least < before:
        end = "the end." if stop == said["until"] else f"time {number(stop)}: the time to stop."
        when = f"It is least, {number(least)}, at {end}"
    long, short = map(number, said["weighted_perimeter"])
    numbers = [
        ("Least robust risk", number(least), f"at time {number(stop)}; {number(before)} at the start"),
        ("Weighted perimeter", short, f"{long} at the start"),
        ("Risk", number(said["risk"][1]), f"{number(said['risk'][0])} at the start"),
    ]
    remains = [
        "The law is that of a radius going to 0, for each pair of classes; eps is that of the adversary whose risk is "
        "measured, and the flow does not know it.",
        "Where three classes meet the angles are of 120 degrees, whatever their densities: an approximation where "
        "these differ much. No second computation stands beside this one, as it does for two classes.",
        f"Why the flow ended: {said['status']}",
    ]
    moving = () if film is None else panels(film[0], "film", _FILM, frames=film[1])
    parts = [
        Part("The boundaries", _HUES, [*moving, *panels(drawings["boundary"], "boundary", _BOUNDARY)]),
        Part(
            "Perimeter, risk and areas",
            "",
            panels(drawings["numbers"], "numbers", _NUMBERS),
            [table("All instants", found.records())],
        ),
    ]
    title = f"{said['problem']}: boundaries over time"
    return Sheet(title, asked, way + when, numbers, (), remains, parts, command, files)


_HUES = "Hues: the likeliest class, stronger where samples are denser and the class is surer."
_FILM = ("The slider chooses the time.",)
_BOUNDARY = ("The last in amber.",)
_NUMBERS = (
    "The perimeter that the flow shortens: each boundary counts with the densities of both its classes.",
    "The risk, and that under the adversary; the dot is where it is least.",
    "A class may grow, shrink or vanish.",
)
