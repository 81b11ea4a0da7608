"""What kind of number a setting is."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any


def whole(value: Any, least: float = -math.inf) -> bool:
    """Return whether a value is a whole number from ``least`` on, and no truth value.

    >>> whole(2, 1), whole(2.5), whole(None), whole(True)
    (True, False, False, False)
    """
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= least


def real(value: Any) -> float:
    """Return a number as a float, and NaN for anything else, which no bound lets pass.

    >>> real(2), real("2")
    (2.0, nan)
    """
    return float(value) if isinstance(value, Real) else math.nan
