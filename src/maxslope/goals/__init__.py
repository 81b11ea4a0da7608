"""What an adversary wants: one function of outputs and labels, negative where it has won."""

from maxslope.goals.base import Custom, Goal, as_goal
from maxslope.goals.classes import Misclassified, Targeted, TopK, Undetected
from maxslope.goals.structured import AnyLabel, Beyond, Share

__all__ = [
    "AnyLabel",
    "Beyond",
    "Custom",
    "Goal",
    "Misclassified",
    "Share",
    "Targeted",
    "TopK",
    "Undetected",
    "as_goal",
]
