"""The page of a boundary flow, of two classes or of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from maxslope.facts.numbers import number
from maxslope.report.drawn import panels
from maxslope.report.sheets import Again, Drawings, Film, Part, Sheet, moving, plain_table, table
from maxslope.studies.partition import PartitionStudy

if TYPE_CHECKING:
    from maxslope.studies.boundary import Study


def sheet(
    study: Study | PartitionStudy, drawings: Drawings, film: Film | None, again: Again, neural: Mapping[str, Any]
) -> Sheet:
    """Return the page of a flow: ``drawings`` of the boundary, the numbers and a network, and what that found."""
    if isinstance(study, PartitionStudy):
        return _of_several(study, drawings, film, again)
    said = study.summary()
    least, stop = said["least_robust_risk"], said["stopped_at"]
    when = "It never rises on the way."
    if least < said["robust_risk"][0] and stop < said["until"]:
        when = f"It is least, {number(least)}, at time {number(stop)}: the time to stop."
    remains = []
    if said["gap_to_reference_in_cells"] is not None:
        gap = number(said["gap_to_reference_in_cells"], 2)
        remains.append(
            f"The boundary lies at most {gap} cells from the level-set solution of the same law: what is finer than "
            "the grid is not known."
        )
    if said["expected_stop"] is not None:
        remains.append(f"To leading order the time to stop was expected to be {number(said['expected_stop'])}.")
    remains.append(f"Why the flow ended: {said['status']}")
    numbers = _numbers(said)
    if said["adversarial_training"] is not None:
        note = "robust risk after one step of adversarial training"
        numbers.append(("One long step", number(said["adversarial_training"]), note))
    figures = [*moving(film, _FILM), *panels(drawings["boundary"], "boundary", _BOUNDARY)]
    measured = panels(drawings["numbers"], "numbers", _NUMBERS)
    parts = [
        Part("The boundary", _HUES, figures),
        Part("Perimeter and risk", "", measured, [table("All instants", study.records())]),
    ]
    if neural:
        network = panels(drawings["network"], "network", ("Boundaries of the network after each step.",))
        parts.append(Part("The neural flow", "", network, [plain_table("Numbers of the neural flow", neural)]))
    return Sheet(
        f"{said['problem']}: a boundary over time",
        _asked(said, "where a decision boundary goes under adversarial training, and when to stop"),
        _answer(said, when), numbers, remains, parts, *again,
    )  # fmt: skip


def _of_several(found: PartitionStudy, drawings: Drawings, film: Film | None, again: Again) -> Sheet:
    said = found.summary()
    stop = said["stopped_at"]
    end = "the end." if stop == said["until"] else f"time {number(stop)}: the time to stop."
    asked = _asked(said, "where the boundaries between several classes go as adversarial training smooths them")
    asked.insert(2, ("Classes", ", ".join(said["classes"])))
    before, after = said["risk"]
    numbers = [*_numbers(said), ("Risk", number(after), f"{number(before)} at the start")]
    remains = [*_SEVERAL, f"Why the flow ended: {said['status']}"]
    figures = [*moving(film, _FILM), *panels(drawings["boundary"], "boundary", _LAST)]
    measured = panels(drawings["numbers"], "numbers", _AREAS)
    parts = [
        Part("The boundaries", _HUES_OF_SEVERAL, figures),
        Part("Perimeter, risk and areas", "", measured, [table("All instants", found.records())]),
    ]
    return Sheet(
        f"{said['problem']}: boundaries over time",
        asked,
        _answer(said, f"It is least, {number(said['least_robust_risk'])}, at {end}"), numbers, remains, parts, *again,
    )  # fmt: skip


def _asked(said: Mapping[str, Any], question: str) -> list[tuple[str, str]]:
    steps = f", {said['steps']} steps" if "steps" in said else ""
    return [
        ("Question", question),
        ("Problem", said["problem"]),
        ("Adversary", f"moves a point by at most {number(said['eps'])}, in units of the points"),
        ("Grid", " x ".join(map(str, said["cells"])) + f" cells{steps}"),
    ]


def _answer(said: Mapping[str, Any], when: str) -> str:
    before, after = said["robust_risk"]
    if not said["least_robust_risk"] < before:
        when = "It is least at the start: the flow does not help here."
    way = f"the robust risk goes from {number(before)} to {number(after)}"
    return f"Followed to time {number(said['until'])}, {way}. {when}"


def _numbers(said: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The large ones."""
    long, short = map(number, said["weighted_perimeter"])
    least = f"at time {number(said['stopped_at'])}; {number(said['robust_risk'][0])} at the start"
    return [
        ("Least robust risk", number(said["least_robust_risk"]), least),
        ("Weighted perimeter", short, f"{long} at the start"),
    ]


_HUES = (
    "Blue and red: the likelier class, stronger where samples are denser. Solid: minimizing movements; dotted: the "
    "limit law, a radius going to 0."
)
_FILM = "The slider chooses the time."
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
_HUES_OF_SEVERAL = "Hues: the likeliest class, stronger where samples are denser and the class is surer."
_LAST = ("The last in amber.",)
_AREAS = (
    "The perimeter that the flow shortens: each boundary counts with the densities of both its classes.",
    "The risk, and that under the adversary; the dot is where it is least.",
    "A class may grow, shrink or vanish.",
)
_SEVERAL = (
    "The law is that of a radius going to 0, for each pair of classes; eps is that of the adversary whose risk is "
    "measured, and the flow does not know it.",
    "Where three classes meet, the angles balance the densities there, those below a tenth of the largest taken as "
    "a tenth. No second computation is made beside this one, as it is for two classes.",
)
