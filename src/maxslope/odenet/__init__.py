"""The mean-field residual network and the flow of its risk."""

from maxslope.odenet.control import Controlled, Uniform
from maxslope.odenet.descent import Descent, Until, descend
from maxslope.odenet.design import Depth, Design, Lift
from maxslope.odenet.escape import Escape, escape
from maxslope.odenet.estimator import OdeNetClassifier, OdeNetRegressor
from maxslope.odenet.exponent import Exponent, exponent
from maxslope.odenet.fields import BoundedTanh, Custom, Field, Tanh
from maxslope.odenet.interpolant import Affine, Hermite, Interpolant, dissipation
from maxslope.odenet.metric import distance, layered
from maxslope.odenet.misfit import Logistic, Misfit, Softmax, Squared
from maxslope.odenet.movement import Movement
from maxslope.odenet.movers import ExplicitEuler, Mover, RungeKutta, Stabilized
from maxslope.odenet.network import OdeNet
from maxslope.odenet.risk import Risk
from maxslope.odenet.robust import RobustRisk
from maxslope.odenet.spectrum import Curvature, smallest_curvature
from maxslope.odenet.starts import iid, sobol
from maxslope.odenet.tableau import Tableau
from maxslope.odenet.verdict import Fate, Verdict, verdict

__all__ = [
    "Affine",
    "BoundedTanh",
    "Controlled",
    "Curvature",
    "Custom",
    "Depth",
    "Descent",
    "Design",
    "Escape",
    "ExplicitEuler",
    "Exponent",
    "Fate",
    "Field",
    "Hermite",
    "Interpolant",
    "Lift",
    "Logistic",
    "Misfit",
    "Movement",
    "Mover",
    "OdeNet",
    "OdeNetClassifier",
    "OdeNetRegressor",
    "Risk",
    "RobustRisk",
    "RungeKutta",
    "Softmax",
    "Squared",
    "Stabilized",
    "Tableau",
    "Tanh",
    "Uniform",
    "Until",
    "Verdict",
    "descend",
    "dissipation",
    "distance",
    "escape",
    "exponent",
    "iid",
    "layered",
    "smallest_curvature",
    "sobol",
    "verdict",
]
