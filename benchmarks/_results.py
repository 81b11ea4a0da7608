"""Results of a measurement in parts: kept in JSON and as Markdown after every row, within a limit of minutes."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

GRACE = 20.0  # seconds that a part under way may take beyond the limit


class Part:
    """A table under way: its rows, and notes below it."""

    def __init__(self, name: str, title: str, columns: Sequence[str], save: Callable[[], None]) -> None:
        self.said: dict[str, Any] = {"name": name, "title": title, "columns": list(columns), "rows": [], "notes": []}
        self._save = save

    def row(self, *cells: Any) -> None:
        """Add a row, and keep it at once."""
        if len(cells) != len(self.said["columns"]):
            raise ValueError(f"A row has {len(self.said['columns'])} cells, got {len(cells)}: {cells}.")
        self.said["rows"].append(list(cells))
        print("   ", *(_shown(cell) for cell in cells), sep=" | ", flush=True)
        self._save()

    def note(self, text: str) -> None:
        """Add a sentence below the table."""
        self.said["notes"].append(text)
        print("    " + text, flush=True)
        self._save()


class Results:
    """What was measured so far.

    Args:
        path: of the JSON file; the Markdown goes beside it.
        minutes: the limit; parts that would not end within it are dropped, and one that does not is cut off.
        about: what was measured on what.
    """

    def __init__(self, path: Path, minutes: float, about: dict[str, Any]) -> None:
        self.path, self.limit, self.began = path, 60 * minutes, time.monotonic()
        self.data: dict[str, Any] = {"about": about, "parts": [], "dropped": [], "failed": [], "seconds": 0.0}
        self._lock = threading.RLock()
        watch = threading.Timer(self.limit + GRACE, self._cut)
        watch.daemon = True
        watch.start()
        self._watch = watch
        self.save()

    @property
    def left(self) -> float:
        """Seconds until the limit."""
        return self.limit - (time.monotonic() - self.began)

    def part(self, name: str, title: str, columns: Sequence[str], needs: float, fill: Callable[[Part], None]) -> None:
        """Measure a part, if the limit leaves the seconds it ``needs``; a failure is written down and ends it alone."""
        if self.left < needs:
            self.data["dropped"].append(name)
            print(f"-- {name}: dropped, about {needs:.0f} s wanted and {self.left:.0f} s left", flush=True)
            self.save()
            return
        print(f"-- {name}: {title} ({self.left:.0f} s left)", flush=True)
        part, began = Part(name, title, columns, self.save), time.monotonic()
        self.data["parts"].append(part.said)
        try:
            fill(part)
        except Exception as error:
            traceback.print_exc()
            self.data["failed"].append(name)
            part.note(f"Failed here: {_short(error)}")
        part.said["seconds"] = round(time.monotonic() - began, 1)
        self.save()

    def close(self) -> None:
        """Say that all is done."""
        self._watch.cancel()
        self.save()

    def save(self) -> None:
        """Write JSON and Markdown, each whole."""
        with self._lock:
            self.data["seconds"] = round(time.monotonic() - self.began, 1)
            for path, text in (
                (self.path, json.dumps(self.data, indent=1) + "\n"),
                (self.path.with_suffix(".md"), table(self.data)),
            ):
                beside = path.with_name(path.name + ".tmp")
                beside.write_text(text, encoding="utf-8")
                os.replace(beside, path)

    def _cut(self) -> None:
        name = self.data["parts"][-1]["name"] if self.data["parts"] else "the start"
        self.data["failed"].append(f"{name} (cut off by the limit of minutes; later parts were not begun)")
        self.save()
        print(table(self.data), f"Cut off in {name}.", sep="\n", flush=True)
        sys.stderr.flush()
        os._exit(3)


def attempt(what: Callable[[], Sequence[Any]], width: int) -> list[Any]:
    """Return ``width`` cells, or what went wrong and empty cells."""
    try:
        return list(what())
    except Exception as error:
        traceback.print_exc()
        return [f"failed: {_short(error)}", *[""] * (width - 1)]


def table(data: dict[str, Any]) -> str:
    """Return everything as Markdown."""
    lines = [", ".join(f"{key} {value}" for key, value in data["about"].items()) + f"; {data['seconds']:.0f} s in all."]
    for part in data["parts"]:
        lines += ["", f"**{part['title']}**", "", _line(part["columns"]), _line(["---"] * len(part["columns"]))]
        lines += [_line([_shown(cell) for cell in row]) for row in part["rows"]]
        lines += ["", *part["notes"]] if part["notes"] else []
    for key, words in (("dropped", "Dropped, for want of time"), ("failed", "Failed")):
        lines += ["", f"{words}: {'; '.join(data[key])}."] if data[key] else []
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _shown(cell: Any) -> str:
    if not isinstance(cell, float):
        return str(cell)
    return "-" if cell != cell else f"{cell:.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"
