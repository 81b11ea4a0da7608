"""What is to be done in a run, and what its folder says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import maxslope
from maxslope._digest import digest_of
from maxslope.attacks import Effort
from maxslope.evaluation._codec import encode
from maxslope.evaluation.about import About
from maxslope.evaluation.crew import Crew
from maxslope.evaluation.data import fingerprint, length
from maxslope.evaluation.environment import environment, identity, toml
from maxslope.evaluation.hardware import Choice, Hardware
from maxslope.evaluation.part import Task, Threat, evaluate_part
from maxslope.evaluation.report import ROBUST
from maxslope.evaluation.store import FORMAT
from maxslope.sets import Budget


@dataclass(frozen=True)
class Search:
    """What is looked for in a run: the task of a part, the format of the folder, and how far it is.

    ``so_far`` says that of the values that a ``column`` of the table has for the samples done.
    """

    task: Task
    format: int
    column: str
    so_far: Callable[[list[Any]], Any]


EVALUATION = Search(evaluate_part, FORMAT, "verdict", lambda verdicts: verdicts.count(ROBUST))


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be evaluated, and how.

    Attributes:
        model: the caller's.
        data: the caller's.
        budget: norm, eps and box.
        effort: before the indicators are asked.
        seed: of all random numbers.
        batch_size: rows per call, None for a default.
        probe: whether the indicators are asked.
        keep_points: whether points are kept.
        largest: samples of a part.
        hardware: what may be tried.
        threat: goal, context, mask and realization.
        words: the configuration as the caller wrote it, by table and key, for ``run.toml``.
        about: what the report says of model, data and samples.
        search: what is looked for.
    """

    model: Any
    data: Any
    budget: Budget
    effort: Effort
    seed: int
    batch_size: int | None
    probe: bool
    keep_points: bool
    largest: int
    hardware: Hardware
    threat: Threat = field(default_factory=Threat)
    words: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    about: About = field(default_factory=About)
    search: Search = EVALUATION


def header_of(plan: Plan, choice: Choice, crew: Crew) -> dict[str, Any]:
    """Return what ``run.json`` says of a run."""
    return {
        "format": plan.search.format,
        "maxslope": maxslope.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "budget": encode(plan.budget),
        "effort": encode(plan.effort),
        "about": plan.about.stored(),
        "threat": threat_of(plan.threat),
        "words": {
            "goal": plan.threat.goal.name,
            "budget": str(plan.budget),
            "effort": plan.effort.name,
            "risk": plan.effort.rule.risk,
        },
        "seed": plan.seed,
        "batch_size": plan.batch_size,
        "probe": plan.probe,
        "keep_points": plan.keep_points,
        "samples": length(plan.data),
        "choice": asdict(choice),
        "model": identity(plan.model),
        "data": fingerprint(plan.data),
        "crew": crew.words(),
        "environment": environment(),
    }


def threat_of(threat: Threat) -> dict[str, Any]:
    """What a folder holds of a threat: tensors that may be as large as the data by their digests."""
    return {
        "goal": encode(threat.goal),
        "realize": encode(threat.realize),
        "context": [digest_of(t) for t in threat.context],
        "mask": None if threat.mask is None else digest_of(threat.mask),
    }


def toml_of(plan: Plan) -> str:
    """Return ``run.toml``: the configuration in words."""
    if plan.words:
        return toml(plan.words)
    note = "# Begun from Python, with objects: resume(folder, model, data) goes on.\n"
    return note + toml({"run": {"seed": plan.seed, "part": plan.largest}})
