"""Evaluate models on data."""

from maxslope.evaluation.report import Report
from maxslope.evaluation.run import evaluate
from maxslope.evaluation.statistics import wilson

__all__ = ["Report", "evaluate", "wilson"]
