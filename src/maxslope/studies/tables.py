"""Tables of numbers: columns as rows, and files of them."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from maxslope.evaluation._files import needed


def records(columns: Mapping[str, Tensor]) -> list[dict[str, float]]:
    """Return columns of equal length as the rows of a table."""
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


class Line(NamedTuple):
    """A line of a table in a file, counted from 1, and its cells."""

    number: int
    cells: list[str]


def read_csv(path: Path, places: slice) -> list[Line]:
    """Return the lines of a table that are not empty, without a first one whose cells at ``places`` are no numbers.

    Raises:
        ValueError: if there is no such file, or it is no table in UTF-8.
    """
    needed(path)
    with path.open(newline="", encoding="utf-8") as file:
        try:
            lines = [Line(number, cells) for number, cells in enumerate(csv.reader(file), 1) if cells]
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not a table in UTF-8: {error}; save it as CSV in UTF-8.") from error
    return lines[1:] if lines and not numeric(lines[0].cells[places]) else lines


def numeric(cells: Sequence[str]) -> bool:
    """Whether cells, one at least, hold finite numbers alone."""
    try:
        return bool(cells) and all(math.isfinite(float(cell)) for cell in cells)
    except ValueError:
        return False
