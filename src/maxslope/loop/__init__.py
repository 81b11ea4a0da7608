"""The one loop over steps, and the curves it follows."""

from maxslope.loop.following import Record, Steps, flow
from maxslope.loop.marching import Driver, Rows, Stop, march

__all__ = ["Driver", "Record", "Rows", "Steps", "Stop", "flow", "march"]
