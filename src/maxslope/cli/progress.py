"""How far a command is: a bar on a terminal, plain lines in a log, nothing where nobody asked."""

from __future__ import annotations

import math
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_EVERY = 10.0  # seconds between lines of a log


class Update(ABC):
    """Is called with (units done, what is known so far); all of it goes to the error stream."""

    @abstractmethod
    def __call__(self, done: int, so_far: str = "") -> None:
        """Tell how many units are done, and what is known."""

    @abstractmethod
    def note(self, line: str) -> None:
        """Say a line that stays."""


class _Silent(Update):
    """Says nothing."""

    def __call__(self, done: int, so_far: str = "") -> None:
        """See :class:`Update`."""

    def note(self, line: str) -> None:
        """See :class:`Update`."""


@contextmanager
def progress(
    total: int | None,
    quiet: bool,
    *,
    resumed: bool = False,  # the units that are told first were there before, and no rate counts them
    doing: str = "evaluating",
    unit: str = "samples",
    even: bool = True,  # units take equally long, so that a rate and a time left mean something
    stays: bool = True,  # the bar, on the terminal, at the end
) -> Iterator[Update]:
    """Yield what is told (units done, what is known so far), on the error stream; nothing if it is to be quiet."""
    if quiet:
        yield _Silent()
    elif sys.stderr.isatty():
        with _bar(doing, _Speed(total, resumed, unit, even), stays) as bar:
            yield bar
    else:
        lines = _Lines(doing, _Speed(total, resumed, unit, even))
        with lines.beating():
            yield lines


class _Bar(Update):
    """A bar with its time left."""

    def __init__(self, bar: Any, speed: _Speed) -> None:
        self.bar, self.speed = bar, speed
        self.task = bar.add_task("", total=speed.total, so_far="")

    def __call__(self, done: int, so_far: str = "") -> None:
        """See :class:`Update`."""
        said = ", ".join(filter(None, (so_far, self.speed.of(done, time.monotonic()))))
        self.bar.update(self.task, completed=done, so_far=said)

    def note(self, line: str) -> None:
        """See :class:`Update`."""
        self.bar.console.print(line, markup=False, highlight=False)


@contextmanager
def _bar(doing: str, speed: _Speed, stays: bool) -> Iterator[Update]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[so_far]}"))
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), console=console, redirect_stdout=False, transient=not stays) as bar:
        yield _Bar(bar, speed)


class _Lines(Update):
    """Plain lines: the first news at once, then a line every ten seconds, news or not, and the last."""

    def __init__(self, doing: str, speed: _Speed) -> None:
        self.doing, self.speed, self.last, self.news = doing, speed, -math.inf, ""
        self.lock, self.over = threading.Lock(), threading.Event()

    def __call__(self, done: int, so_far: str = "") -> None:
        """See :class:`Update`."""
        now, total = time.monotonic(), self.speed.total
        of = "" if total is None else f" of {total}"
        with self.lock:
            self.news = ", ".join(filter(None, (f"{done}{of} {self.speed.unit}", so_far, self.speed.of(done, now))))
            if now - self.last >= _EVERY or done == total:
                self._write(self.news, now)

    def note(self, line: str) -> None:
        """See :class:`Update`."""
        with self.lock:
            self._write(line, time.monotonic())

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

    def __init__(self, total: int | None, resumed: bool, unit: str = "samples", even: bool = True) -> None:
        self.total, self.start, self.unit, self.even = total, -1 if resumed else 0, unit, even
        self.began = time.monotonic()

    def of(self, done: int, now: float) -> str:
        """Return rate and time left in words; nothing of units that each take their own time."""
        if self.start < 0:
            self.start = done
            return "taken over"
        if not self.even:
            return ""
        rate = (done - self.start) / max(now - self.began, 1e-9)
        if self.total is None or done >= self.total or not rate:
            return f"{rate:.3g} {self.unit}/s"
        return f"{rate:.3g} {self.unit}/s, {duration((self.total - done) / rate)} left"


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
