"""Figures, and one self-contained HTML page on an evaluation."""

from maxslope.report.comparing import compare
from maxslope.report.comparison import Comparison
from maxslope.report.html import Page, page

__all__ = ["Comparison", "Page", "compare", "page"]
