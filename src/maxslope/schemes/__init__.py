"""How one step is made."""

from maxslope.schemes.base import Here, Memory, Scheme
from maxslope.schemes.explicit import Explicit
from maxslope.schemes.semi_implicit import SemiImplicit
from maxslope.schemes.steps import Constant, Cosine, StepSize
from maxslope.schemes.wrappers import Momentum

__all__ = ["Constant", "Cosine", "Explicit", "Here", "Memory", "Momentum", "Scheme", "SemiImplicit", "StepSize"]
