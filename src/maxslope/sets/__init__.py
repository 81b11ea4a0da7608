"""Where a curve may go."""

from maxslope.sets.ball_box import BallBox, ball
from maxslope.sets.base import Everything, Set
from maxslope.sets.box import Box
from maxslope.sets.budget import L1, L2, Budget, Linf
from maxslope.sets.groups import Groups
from maxslope.sets.near import Meet, near
from maxslope.sets.shared import Shared

__all__ = [
    "L1",
    "L2",
    "BallBox",
    "Box",
    "Budget",
    "Everything",
    "Groups",
    "Linf",
    "Meet",
    "Set",
    "Shared",
    "ball",
    "near",
]
