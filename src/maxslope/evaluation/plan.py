"""What is to be done in a run, and what its folder says of it and of where it took place."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import torch
from torch import nn

import maxslope
from maxslope._digest import digest_of, digest_of_text
from maxslope.attacks import Effort
from maxslope.energies import Randomized
from maxslope.evaluation._codec import encode
from maxslope.evaluation.about import About
from maxslope.evaluation.crew import Crew
from maxslope.evaluation.data import fingerprint, length
from maxslope.evaluation.hardware import Choice, Hardware
from maxslope.evaluation.part import Task, Threat, evaluate_part
from maxslope.evaluation.report import ROBUST, Report, judged
from maxslope.evaluation.store import FORMAT
from maxslope.sets import Budget


@dataclass(frozen=True)
class Purpose:
    """What is looked for in a run."""

    task: Task
    format: int  # of the folder
    column: str  # of the table, that tells how far it is
    so_far: Callable[[list[Any]], Any]  # what that column says of the samples done
    result: Callable[[Report], Any]  # of the contents of a run


EVALUATION = Purpose(evaluate_part, FORMAT, "verdict", lambda verdicts: verdicts.count(ROBUST), judged)


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
    purpose: Purpose = EVALUATION


def header_of(plan: Plan, choice: Choice, crew: Crew) -> dict[str, Any]:
    """Return what ``run.json`` says of a run."""
    return {
        "format": plan.purpose.format,
        "maxslope": maxslope.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "budget": encode(plan.budget),
        "effort": encode(plan.effort),
        "about": asdict(plan.about),
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


def environment() -> dict[str, Any]:
    """Return versions, system and devices."""
    cuda = torch.cuda.is_available()
    return {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "devices": [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())] if cuda else [],
    }


def identity(model: Any) -> str:
    """Return a fingerprint of a model: class, layers and the bits of its weights; of a function, its name.

    Of a random model, also how it is asked.

    >>> a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    >>> identity(a) == identity(a), identity(a) == identity(b)
    (True, False)
    """
    if isinstance(model, Randomized):
        asked = (model.draws, model.votes, model.confidence, model.seed)
        return f"Randomized {asked} of {identity(model.model)}"
    if not isinstance(model, nn.Module):
        kind = model if callable(getattr(model, "__name__", None)) else type(model)
        return f"{kind.__module__}:{getattr(model, '__qualname__', kind.__qualname__)}"
    state = model.state_dict()
    names = ",".join(state)
    tensors = [value for value in state.values() if isinstance(value, torch.Tensor)]
    return f"{type(model).__qualname__} {digest_of_text(repr(model) + names)} {digest_of(*tensors)}"


def toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Return tables of texts, numbers, truths and lists of numbers as TOML; None is left out.

    >>> toml({"run": {"eps": "8/255", "seed": 0}}).splitlines()
    ['[run]', 'eps = "8/255"', 'seed = 0']
    """
    blocks = []
    for title, table in tables.items():
        lines = [f"{key} = {_value(value)}" for key, value in table.items() if value is not None]
        blocks.append("\n".join([f"[{title}]", *lines]))
    return "\n\n".join(blocks) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(c, c if c.isprintable() else f"\\U{ord(c):08x}") for c in str(value)) + '"'
