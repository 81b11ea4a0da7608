"""What curves of maximal slope should be: closed forms, event-driven curves, a stiff solver, measured convergence."""

from maxslope.reference.closed import (
    concave,
    euclidean_bowl,
    linear,
    piecewise_linear,
    rated_bowl,
    sliding,
    water_filling,
)
from maxslope.reference.curves import Reference, reference
from maxslope.reference.smoothed import smoothed
from maxslope.reference.study import Convergence, convergence

__all__ = [
    "Convergence",
    "Reference",
    "concave",
    "convergence",
    "euclidean_bowl",
    "linear",
    "piecewise_linear",
    "rated_bowl",
    "reference",
    "sliding",
    "smoothed",
    "water_filling",
]
