"""The mean-field residual network and the flow of its risk.

The estimators load on first use: they alone need scikit-learn.
"""

import importlib
from typing import TYPE_CHECKING, Any

from maxslope.odenet.control import Controlled, Uniform
from maxslope.odenet.descent import DescentResult, Until, descend
from maxslope.odenet.design import Depth, Design, Lift
from maxslope.odenet.exponent import Exponent, exponent
from maxslope.odenet.fields import BoundedTanh, CustomField, Field, Tanh
from maxslope.odenet.interpolant import Affine, Hermite, Interpolant, dissipation
from maxslope.odenet.metric import distance, layered
from maxslope.odenet.misfit import Logistic, Misfit, Softmax, Squared
from maxslope.odenet.movement import ParticleMovement
from maxslope.odenet.movers import ExplicitEuler, Mover, RungeKutta, Stabilized
from maxslope.odenet.risk import Risk
from maxslope.odenet.robust import RobustRisk
from maxslope.odenet.spectrum import Curvature, smallest_curvature
from maxslope.odenet.starts import iid, sobol
from maxslope.odenet.store import load, save
from maxslope.odenet.sweep import OdeNet
from maxslope.odenet.tableau import Tableau
from maxslope.odenet.verdict import Escape, Fate, FlowVerdict, escape, verdict

if TYPE_CHECKING:
    from maxslope.odenet.estimator import OdeNetClassifier, OdeNetCV, OdeNetRegressor

_ESTIMATORS = ("OdeNetCV", "OdeNetClassifier", "OdeNetRegressor")

__all__ = [
    "Affine",
    "BoundedTanh",
    "Controlled",
    "Curvature",
    "CustomField",
    "Depth",
    "DescentResult",
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
    "ParticleMovement",
    "Mover",
    "OdeNet",
    "OdeNetCV",
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
    "FlowVerdict",
    "descend",
    "dissipation",
    "distance",
    "escape",
    "exponent",
    "iid",
    "layered",
    "load",
    "save",
    "smallest_curvature",
    "sobol",
    "verdict",
]


def __getattr__(name: str) -> Any:
    if name not in _ESTIMATORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("maxslope.odenet.estimator"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_ESTIMATORS])
