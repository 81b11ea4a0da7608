"""Attacks: flows in input space."""

from maxslope.attacks import recipes, starts
from maxslope.attacks.attack import AttackResult, attack
from maxslope.attacks.effort import Effort
from maxslope.attacks.recipes import Recipe

__all__ = ["AttackResult", "Effort", "Recipe", "attack", "recipes", "starts"]
