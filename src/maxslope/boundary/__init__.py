"""Decision boundaries: sets on grids, their nonlocal perimeter, and the flow that adversarial training follows."""

from maxslope.boundary.adversarial import Stopped, first_rise, robust_classifier, stopping_time
from maxslope.boundary.densities import Densities
from maxslope.boundary.distance import contour, signed_distance, surface
from maxslope.boundary.energy import Perimeter
from maxslope.boundary.grid import Grid
from maxslope.boundary.interfaces import Interfaces, Motion
from maxslope.boundary.limit import LimitLaw, limit_flow
from maxslope.boundary.movement import Movement, evolve
from maxslope.boundary.neural import Regression, Relaxation, distances
from maxslope.boundary.neural_flow import NeuralFlow, Samples, Training, neural_flow
from maxslope.boundary.partition import PartitionPerimeter, partition_flow
from maxslope.boundary.risk import Lattice
from maxslope.boundary.soft import Isotropic, Soft
from maxslope.boundary.solver import Cut, Solver, Step
from maxslope.boundary.window import Window

__all__ = [
    "Cut",
    "Densities",
    "Grid",
    "Interfaces",
    "Isotropic",
    "Lattice",
    "LimitLaw",
    "Motion",
    "Movement",
    "NeuralFlow",
    "PartitionPerimeter",
    "Perimeter",
    "Samples",
    "Regression",
    "Relaxation",
    "Soft",
    "Solver",
    "Step",
    "Stopped",
    "Training",
    "Window",
    "contour",
    "distances",
    "evolve",
    "first_rise",
    "limit_flow",
    "neural_flow",
    "partition_flow",
    "robust_classifier",
    "signed_distance",
    "stopping_time",
    "surface",
]
