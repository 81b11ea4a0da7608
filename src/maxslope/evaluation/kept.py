"""The parts of a run on disk: written with what they are known by, read with every check that can be made."""

from __future__ import annotations

import io
import json
import math
import os
import re
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maxslope._digest import digest_of_bytes, digest_of_text
from maxslope.attacks import Effort, Recipe
from maxslope.attacks.findings import Finding
from maxslope.attacks.rule import Rule
from maxslope.attacks.stages import Runs
from maxslope.evaluation._arrays import batches, need_pyarrow, npy
from maxslope.evaluation._codec import decode, encode
from maxslope.evaluation.about import About
from maxslope.evaluation.data import sizes
from maxslope.evaluation.part import Part
from maxslope.evaluation.report import BROKEN, MISCLASSIFIED, NON_FINITE, ROBUST, Column

_NAME = re.compile(r"part-(\d{5,})\.parquet")
_VERDICTS = {ROBUST, BROKEN, MISCLASSIFIED, NON_FINITE}


# The columns that the rows of a run have at least, and what they hold; a label is what a goal knows: numbers, or words.
_COMMON: dict[str, Any] = {"index": int, "forward": int, "backward": int, "margin": float, "label": None, "file": str}
EVALUATED = (
    _COMMON
    | {"runs": int, "prediction": None, "verdict": str, "reason": str}
    | dict.fromkeys(("gap", "slope", "distance", "chance", "foreseen"), float)
)
APPROACHED = _COMMON | {"norm": float, "found": bool}
_SINCE = {"foreseen", "file"}  # which runs of earlier versions lack
_NAMES = {int: "whole numbers", float: "numbers", bool: "truths", str: "texts"}


def parts_of(folder: Path) -> list[Path]:
    """Return the files of the parts in a folder, by their numbers; ValueError if two names stand for one part."""
    found = [path for path in folder.glob("part-*.parquet") if _NAME.fullmatch(path.name)]
    for path in found:
        if path.stem != name_of(number_of(path)):
            raise ValueError(f"{path} repeats {name_of(number_of(path))}.parquet under another name; delete it.")
    return sorted(found, key=number_of)


def number_of(path: Path) -> int:
    """Return the number of a part by the name of its file."""
    return int(path.stem.rpartition("-")[2])


def name_of(number: int) -> str:
    """Return the name of the files of a part, without ending.

    >>> name_of(7)
    'part-00007'
    """
    return f"part-{number:05d}"


def file_of(part: Part, seed: int, known: dict[str, Any]) -> bytes:
    """Return the file of a part: its table, with what is known of it and a checksum of the table."""
    pyarrow = need_pyarrow()
    stored = pyarrow.table(part.table | {"seed": [(seed + 2**63) % 2**64 - 2**63] * part.samples})
    known = known | {"content": digest_of_table(stored.to_pydict())}
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(stored.replace_schema_metadata({"maxslope": json.dumps(known)}), buffer)
    return buffer.getvalue()


def digest_of_table(table: dict[str, Column]) -> str:
    """Return a checksum of the columns of a table; all NaN are one."""
    return digest_of_text(json.dumps(table, sort_keys=True))


def known_of(path: Path) -> dict[str, Any]:
    """Return what is known of a part: number, start, rows, executed, digests; ValueError if that cannot be read."""
    parquet = need_pyarrow().parquet
    try:
        known = json.loads((parquet.read_schema(path).metadata or {})[b"maxslope"])
        if int(known["number"]) != number_of(path):
            raise ValueError(f"it is part {known['number']} under another name")
        numbers = [known["start"], known["rows"], *known["executed"]]
        if len(numbers) != 4 or any(type(n) is not int or n < 0 for n in numbers):
            raise ValueError("its counts are no numbers")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged(path, error) from error
    return dict(known)


def table_of(path: Path, known: dict[str, Any], columns: dict[str, Any] = EVALUATED) -> dict[str, Column]:
    """Return the table of a part; ValueError if it cannot be read, is not what was written, or has other samples."""
    table: dict[str, Any] = {}
    try:
        for batch in batches(path):
            for name, values in batch.to_pydict().items():
                table.setdefault(name, []).extend(values)
        if known.get("content", "") not in ("", digest_of_table(table)):
            raise ValueError("its checksum is another one: rows were altered, dropped or moved")
        _check_rows(table, int(known["start"]), int(known["rows"]), columns, drawn="content" in known)
    except (OSError, ValueError, TypeError) as error:
        raise damaged(path, error) from error
    if "foreseen" in columns:
        table.setdefault("foreseen", [math.nan] * len(table["index"]))
    return {name: values for name, values in table.items() if name != "seed"}


def _check_rows(table: dict[str, Any], start: int, rows: int, columns: dict[str, Any], *, drawn: bool) -> None:
    """Raise unless these are rows ``start`` to ``start + rows``, or as many of a draw, with verdicts and counts."""
    if missing := sorted(columns.keys() - table.keys() - _SINCE):
        raise ValueError(f"it has no column {', '.join(missing)}")
    for name, kind in columns.items():
        kinds = set(map(type, table.get(name, ())))
        if kind is None and (kinds - {int, float, str} or len(kinds) > 1):
            raise ValueError(f"its column {name} holds other things than numbers or words")
        if kind is not None and kinds - {kind}:
            raise ValueError(f"its column {name} holds other things than {_NAMES[kind]}")
    index = table["index"]
    if not drawn and index != list(range(start, start + rows)):  # no draws without checksums
        raise ValueError(f"its rows are not the samples {start} to {start + rows - 1}")
    if len(index) != rows or len(set(index)) != rows or min(index) < 0:
        raise ValueError(f"its rows are not {rows} samples")
    if strange := set(table.get("verdict", ())) - _VERDICTS:
        raise ValueError(f"it has verdicts that are none: {sorted(strange)[:2]}")


def check_place(path: Path, known: dict[str, Any], header: dict[str, Any], *, last: bool) -> None:
    """Raise unless a part holds the samples that a part of its number holds in this run; all but the last are full."""
    samples, number, by_size = header["samples"], int(known["number"]), sizes(int(header["part"]))
    first, others = next(by_size), next(by_size)
    start, size = (first + (number - 1) * others, others) if number else (0, first)
    wanted = size if samples is None else min(size, int(samples) - start)
    full = known["rows"] == wanted or (samples is None and last and 0 < known["rows"] <= size)
    if known["start"] != start or not full:
        there, held = f"{known['rows']} samples from {known['start']} on", f"{max(wanted, 0)} from {start} on"
        raise damaged(path, f"it holds {there}, where part {known['number']} holds {held}")


def check_whole(folder: Path, parts: list[Path], done: Any) -> None:
    """Raise ValueError unless a run has the parts and samples that were noted at its end."""
    if not isinstance(done, dict) or any(type(done.get(k, 0)) is not int for k in ("samples", "parts")):
        raise ValueError(f"{folder / 'done.json'} is damaged; delete it and resume.")
    numbers = {number_of(path) for path in parts}
    gone = next(k for k in range(len(parts) + 1) if k not in numbers)
    there = sum(known_of(path)["rows"] for path in parts)
    if there == done.get("samples") and gone == len(parts) == done.get("parts", len(parts)):
        return
    raise ValueError(
        f"The run in {folder} was finished with {done.get('samples')} samples, and {there} are there: "
        f"{folder / 'rows' / name_of(gone)}.parquet is missing. Put it back, or resume: it is computed again."
    )


def refuse_links(folder: Path) -> None:
    """Raise ValueError if something in the folder of a run leads out of it: what is written there must stay there."""
    for place in (folder, folder / "rows", folder / "points"):
        for path in place.iterdir() if place.is_dir() else ():
            if path.is_symlink():
                raise ValueError(
                    f"{path} is a link to {os.readlink(path)}; the folder of a run has none: put the file itself there."
                )


def points_of(path: Path, known: dict[str, Any]) -> Tensor:
    """Return the points of a part; ValueError if they are missing, cannot be read, or are not what was written."""
    try:
        content = path.read_bytes()
        if known.get("points") not in (None, digest_of_bytes(content)):
            raise ValueError("its checksum is another one: points were altered, moved or are of another part")
        array = npy(io.BytesIO(content), len(content), path)
        if array.ndim < 1 or len(array) != known["rows"] or array.dtype.kind not in "fiu":
            raise ValueError(f"it holds {array.dtype} of shape {array.shape} for {known['rows']} samples")
        return torch.from_numpy(array)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"The points {path} cannot be read ({error}); delete rows/{path.stem}.parquet and resume: that part is "
            "computed again."
        ) from error


def words_of(folder: Path, header: dict[str, Any], decision: dict[str, Any]) -> tuple[About, list[Finding]]:
    """Return what a run says of its model and data, and what its first part found; ValueError if these are no words."""
    try:
        about = About.of(header)
        if not all(isinstance(name, str) for name in about.classes):
            raise TypeError("names of classes are texts")
        return about, [Finding.of(stored) for stored in decision["said"]]
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise ValueError(f"{folder / 'run.json'} or decision.json is damaged: {error!r}.") from error


def effort_of(header: dict[str, Any]) -> Effort:
    """Return the effort of a run; where code of other packages was part of it, one of the same name that cannot run."""
    try:
        effort = decode(header["effort"])
    except ValueError:
        words = header["words"]
        return Effort((Recipe("not stored", 0, 0.0),), str(words["effort"]), Rule(float(words["risk"])))
    if not isinstance(effort, Effort):
        raise TypeError("no effort")
    return effort


def changed(effort: Effort | None, header: dict[str, Any]) -> dict[str, Any] | None:
    """Return what an effort is beside that of a run: its stages, of runs how many come next; None for the same."""
    if effort is None or encode(effort) == header["effort"]:
        return None
    stages = [len(stage.recipes) if isinstance(stage, Runs) else encode(stage) for stage in effort.stages]
    return {"stages": stages, "name": effort.name, "reserve": effort.reserve, "rule": encode(effort.rule)}


def decided(effort: Effort, decision: dict[str, Any]) -> Effort:
    """Return the effort of every sample after what the first part said."""
    if (said := decision.get("effort")) is None:
        return effort
    runs = iter(effort.runs)
    stages: list[Any] = []
    for stored in said["stages"] if "stages" in said else [said["runs"], *said["then"]]:  # the latter up to 0.3
        stages += islice(runs, stored) if isinstance(stored, int) else [decode(stored)]
    rule = decode(said["rule"]) if "rule" in said else effort.rule  # no decision changed it up to 0.3
    return replace(effort, stages=tuple(stages), name=said["name"], reserve=said["reserve"], rule=rule)


def damaged(path: Path, why: Exception | str) -> ValueError:
    """Return what is said about a part that cannot be used."""
    return ValueError(f"{path} cannot be read ({why}); delete it and resume: it is computed again.")
