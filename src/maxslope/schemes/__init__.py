"""How one step is made."""

from maxslope.schemes.base import Account, Accounting, Adaptive, Here, Memory, Scheme
from maxslope.schemes.consensus import Consensus
from maxslope.schemes.explicit import Explicit
from maxslope.schemes.inner import Best, Descent, InnerProblem, InnerSolver, Solution
from maxslope.schemes.minimizing_movement import MinimizingMovement
from maxslope.schemes.newton import Newton
from maxslope.schemes.proximal import Proximal
from maxslope.schemes.random_search import RandomSearch
from maxslope.schemes.semi_implicit import SemiImplicit
from maxslope.schemes.steps import Constant, Cosine, StepSize
from maxslope.schemes.swarm import Swarm
from maxslope.schemes.wrappers import Momentum

__all__ = [
    "Account",
    "Accounting",
    "Adaptive",
    "Best",
    "Consensus",
    "Constant",
    "Cosine",
    "Descent",
    "Explicit",
    "Here",
    "InnerProblem",
    "InnerSolver",
    "Memory",
    "MinimizingMovement",
    "Momentum",
    "Newton",
    "Proximal",
    "RandomSearch",
    "Scheme",
    "SemiImplicit",
    "Solution",
    "StepSize",
    "Swarm",
]
