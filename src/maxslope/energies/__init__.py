"""What goes down along a curve."""

from maxslope.criteria import Criterion, CrossEntropy, Diversified, LogitsRatio, Margin, ProbabilityMargin
from maxslope.energies.algebra import Average, Blind, Sum
from maxslope.energies.analytic import Function, Linear, Quadratic
from maxslope.energies.base import Constrained, Energy, Evaluation
from maxslope.energies.classifier import Loss, PerRow, TargetedLoss
from maxslope.energies.convex import Convex, Sparse, TotalVariation
from maxslope.energies.network import Network
from maxslope.energies.randomized import Randomized
from maxslope.energies.smoothing import Graduated

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
    "Graduated",
    "Linear",
    "LogitsRatio",
    "Loss",
    "Margin",
    "Network",
    "PerRow",
    "ProbabilityMargin",
    "Quadratic",
    "Randomized",
    "Sparse",
    "Sum",
    "TargetedLoss",
    "TotalVariation",
]
