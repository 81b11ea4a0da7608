"""Adversarial training: a flow of weights with a flow inside."""

from maxslope.training._inside import Ramp
from maxslope.training.adversary import Adversary, ByRecipe, Drawn, Each, Perturbed, Pointwise, Problem, Worst
from maxslope.training.checkpoint import Checkpoint
from maxslope.training.distributed import World, processes, world
from maxslope.training.fit import fit
from maxslope.training.geometry import Geometry, geometry
from maxslope.training.guard import Guard
from maxslope.training.inner import Inner
from maxslope.training.objective import AdversarialRisk, Objective, Trades
from maxslope.training.plan import Callback, Check, Fitted, Moment, Plan, Trace, adam
from maxslope.training.shared import Lagrangian, Shared
from maxslope.training.stepping import one_cycle
from maxslope.training.weights import Optimizer, WeightRisk

__all__ = [
    "AdversarialRisk",
    "Adversary",
    "ByRecipe",
    "Callback",
    "Check",
    "Checkpoint",
    "Drawn",
    "Each",
    "Fitted",
    "Geometry",
    "Guard",
    "Inner",
    "Lagrangian",
    "Moment",
    "Objective",
    "Optimizer",
    "Perturbed",
    "Plan",
    "Pointwise",
    "Problem",
    "Ramp",
    "WeightRisk",
    "Shared",
    "Trace",
    "Trades",
    "World",
    "Worst",
    "adam",
    "fit",
    "geometry",
    "one_cycle",
    "processes",
    "world",
]
