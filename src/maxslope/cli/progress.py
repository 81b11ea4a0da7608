"""How far a command is: a bar on a terminal, plain lines in a log, nothing where nobody asked."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Update = Callable[[int, str], None]

_EVERY = 10.0  # seconds between lines of a log


@contextmanager
def progress(
    total: int | None, quiet: bool, *, resumed: bool = False, doing: str = "evaluating", unit: str = "samples"
) -> Iterator[Update]:
    """Yield what is told (units done, what is known so far), on the error stream.

    Args:
        total: units, if known.
        quiet: say nothing.
        resumed: the units that are told first were there before, and no rate counts them.
        doing: what is going on, a word.
        unit: what is counted.
    """
    if quiet:
        yield lambda done, so_far: None
    elif sys.stderr.isatty():
        with _bar(total, resumed, doing, unit) as update:
            yield update
    else:
        lines = _Lines(total, resumed, doing, unit)
        with lines.beating():
            yield lines.update


@contextmanager
def _bar(total: int | None, resumed: bool, doing: str, unit: str) -> Iterator[Update]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[so_far]}"))
    speed = _Speed(total, resumed, unit)
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total, so_far="")

        def update(done: int, so_far: str) -> None:
            bar.update(task, completed=done, so_far=", ".join(filter(None, (so_far, speed.of(done, time.monotonic())))))

        yield update


class _Lines:
    """Plain lines: the first news at once, then a line every ten seconds, news or not, and the last."""

    def __init__(self, total: int | None, resumed: bool, doing: str, unit: str) -> None:
        self.total, self.doing, self.unit, self.last = total, doing, unit, -math.inf
        self.speed, self.news = _Speed(total, resumed, unit), ""
        self.lock, self.over = threading.Lock(), threading.Event()

    def update(self, done: int, so_far: str) -> None:
        """See :func:`progress`."""
        now = time.monotonic()
        of = "" if self.total is None else f" of {self.total}"
        with self.lock:
            self.news = ", ".join(filter(None, (f"{done}{of} {self.unit}", so_far, self.speed.of(done, now))))
            if now - self.last >= _EVERY or done == self.total:
                self._write(self.news, now)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Write a line where ten seconds brought none, so that a long part is not a silence."""
        beat = threading.Thread(target=self._beat, daemon=True)
        beat.start()
        try:
            yield
        finally:
            self.over.set()
            beat.join()

    def _beat(self) -> None:
        while not self.over.wait(_EVERY / 10):
            now = time.monotonic()
            with self.lock:
                if now - max(self.last, self.speed.began) >= _EVERY:
                    self._write(f"{self.news or self.doing}, {duration(now - self.speed.began)} so far", now)

    def _write(self, line: str, now: float) -> None:
        self.last = now
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


class _Speed:
    """Units a second since the start, and the time that is left at that rate."""

    def __init__(self, total: int | None, resumed: bool, unit: str = "samples") -> None:
        self.total, self.start, self.unit = total, -1 if resumed else 0, unit
        self.began = time.monotonic()

    def of(self, done: int, now: float) -> str:
        """Return rate and time left in words; nothing of units that are no samples: each takes its own time."""
        if self.start < 0:
            self.start = done
            return "taken over"
        if self.unit != "samples":
            return ""
        rate = (done - self.start) / max(now - self.began, 1e-9)
        if self.total is None or done >= self.total or not rate:
            return f"{rate:.3g} samples/s"
        return f"{rate:.3g} samples/s, {duration((self.total - done) / rate)} left"


def duration(seconds: float) -> str:
    """Return a time as a person says it.

    >>> duration(75), duration(7325)
    ('1 min 15 s', '2 h 2 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
