"""Evaluate models on data."""

from maxslope.evaluation.crew import Crew, LocalCrew
from maxslope.evaluation.hardware import Hardware
from maxslope.evaluation.report import Report
from maxslope.evaluation.run import Interrupted, evaluate, resume
from maxslope.evaluation.smallest import Smallest, load_smallest, resume_smallest, smallest
from maxslope.evaluation.statistics import wilson
from maxslope.evaluation.store import Folder, load

__all__ = [
    "Crew", "Folder", "Hardware", "Interrupted", "LocalCrew", "Report", "Smallest", "evaluate", "load", "load_smallest",
    "resume", "resume_smallest", "smallest", "wilson",
]  # fmt: skip
