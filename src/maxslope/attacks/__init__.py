"""Attacks: flows in input space."""

from maxslope.attacks import recipes, stages, starts
from maxslope.attacks.attack import AttackResult, attack
from maxslope.attacks.effort import Effort
from maxslope.attacks.minimal import MinimalResult, minimal
from maxslope.attacks.pilot import Pilot, pilot
from maxslope.attacks.recipes import Recipe

__all__ = [
    "AttackResult",
    "Effort",
    "MinimalResult",
    "Pilot",
    "Recipe",
    "attack",
    "minimal",
    "pilot",
    "recipes",
    "stages",
    "starts",
]
