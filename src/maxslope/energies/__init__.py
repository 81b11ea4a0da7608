"""What goes down along a curve."""

from maxslope.energies.algebra import Average, Sum
from maxslope.energies.analytic import Function, Linear, Quadratic
from maxslope.energies.base import Constrained, Energy, Evaluation
from maxslope.energies.blind import Blind
from maxslope.energies.classifier import Loss, Network, PerRow, TargetedLoss
from maxslope.energies.convex import Convex, Sparse, TotalVariation
from maxslope.energies.criteria import Criterion, CrossEntropy, Diversified, LogitsRatio, Margin, ProbabilityMargin

__all__ = [
    "Average",
    "Blind",
    "Constrained",
    "Convex",
    "Criterion",
    "CrossEntropy",
    "Diversified",
    "Energy",
    "Evaluation",
    "Function",
    "Linear",
    "LogitsRatio",
    "Loss",
    "Margin",
    "Network",
    "PerRow",
    "ProbabilityMargin",
    "Quadratic",
    "Sparse",
    "Sum",
    "TargetedLoss",
    "TotalVariation",
]
