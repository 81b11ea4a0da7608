"""How far, and which way is steepest."""

from maxslope.spaces.base import Space
from maxslope.spaces.lp import Lp
from maxslope.spaces.mixed import Mixed
from maxslope.spaces.weighted import Weighted

__all__ = ["Lp", "Mixed", "Space", "Weighted"]
