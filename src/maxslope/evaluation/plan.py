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
    """What is looked for in a run."""

    task: Task
    format: int  # of the folder
    column: str  # of the table, that tells how far it is
    so_far: Callable[[list[Any]], Any]  # what that column says of the samples done


EVALUATION = Search(evaluate_part, FORMAT, "verdict", lambda verdicts: verdicts.count(ROBUST))


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be evaluated, and how."""

    model: Any
    data: Any
    budget: Budget
    effort: Effort  # before the indicators are asked
    seed: int
    batch_size: int | None  # rows per call, None for a default
    probe: bool  # whether the indicators are asked
    keep_points: bool
    largest: int  # samples of a part
    hardware: Hardware  # what may be tried
    threat: Threat = field(default_factory=Threat)
    words: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # as the caller wrote it, for run.toml
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
