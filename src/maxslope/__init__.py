"""maxslope: curves of maximal slope, to attack, evaluate and train robust classifiers and to study their flows.

Names load on first use, so that ``import maxslope`` and the command line start at once.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

_ROOMS = {
    "sets": ("Linf", "L2", "L1", "Budget"),
    "spaces": ("Lp", "Mixed", "Weighted"),
    "attacks": (
        "attack", "AttackResult", "minimal", "MinimalResult", "pilot", "Effort", "Recipe", "recipes",
    ),
    "": ("goals", "realize"),
    "evaluation": ("evaluate", "resume", "load", "Report"),
    "training": ("AdversarialRisk", "Trades", "fit"),
    "report": ("page", "Page", "compare", "Comparison"),
    "adapters": ("assert_robust",),
    "loop": ("flow", "Steps", "Stop", "Record"),
    "curve": ("Curve",),
    "_status": ("Status",),
    "schemes": ("Explicit", "SemiImplicit", "Momentum", "MinimizingMovement"),
    "reference": ("convergence",),
    "energies": ("Loss", "TargetedLoss", "Randomized", "Function"),
    "_checks": ("MaxslopeWarning",),
    "_citation": ("citation",),
}  # fmt: skip
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [*_HOME]  # noqa: PLE0604
__version__ = "0.3.0"

if TYPE_CHECKING:
    from maxslope import goals, realize
    from maxslope._checks import MaxslopeWarning
    from maxslope._citation import citation
    from maxslope._status import Status
    from maxslope.adapters import assert_robust
    from maxslope.attacks import AttackResult, Effort, Recipe, recipes
    from maxslope.attacks.attack import attack
    from maxslope.attacks.minimal import MinimalResult, minimal
    from maxslope.attacks.pilot import pilot
    from maxslope.curve import Curve
    from maxslope.energies import Function, Loss, Randomized, TargetedLoss
    from maxslope.evaluation import Report, evaluate, load, resume
    from maxslope.loop import Record, Steps, Stop, flow
    from maxslope.reference import convergence
    from maxslope.report.comparing import compare
    from maxslope.report.comparison import Comparison
    from maxslope.report.html import Page, page
    from maxslope.schemes import Explicit, MinimizingMovement, Momentum, SemiImplicit
    from maxslope.sets import L1, L2, Budget, Linf
    from maxslope.spaces import Lp, Mixed, Weighted
    from maxslope.training import AdversarialRisk, Trades
    from maxslope.training.fit import fit


def __getattr__(name: str) -> Any:
    if name not in _HOME and not name.startswith("_") and importlib.util.find_spec(f"maxslope.{name}") is not None:
        return importlib.import_module(f"maxslope.{name}")  # a room, as maxslope.training
    if name not in _HOME:
        raise AttributeError(f"module 'maxslope' has no attribute {name!r}")
    home = _HOME[name]
    module = importlib.import_module(f"maxslope.{home or name}")
    value = getattr(module, name) if home else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
