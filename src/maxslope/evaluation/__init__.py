"""Evaluate models on data."""

from maxslope._former import former
from maxslope.evaluation.crew import Crew, LocalCrew
from maxslope.evaluation.hardware import Hardware
from maxslope.evaluation.report import Report
from maxslope.evaluation.run import Interrupted, evaluate, resume
from maxslope.evaluation.statistics import wilson
from maxslope.evaluation.store import Folder, load

__all__ = ["Crew", "Folder", "Hardware", "LocalCrew", "Interrupted", "Report", "evaluate", "load", "resume", "wilson"]
__getattr__ = former(__name__, {"Here": "LocalCrew"})
