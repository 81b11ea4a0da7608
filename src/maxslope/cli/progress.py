"""How far a command is: a bar on a terminal, plain lines in a log, nothing where nobody asked."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_EVERY = 10.0  # seconds between lines of a log


@dataclass(frozen=True)
class Update:
    """Is called with (units done, what is known so far), or notes a line that stays; all on the error stream."""

    tell: Callable[[int, str], None]
    note: Callable[[str], None]

    def __call__(self, done: int, so_far: str = "") -> None:
        """Tell how many units are done, and what is known."""
        self.tell(done, so_far)


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
    speed = _Speed(total, resumed, unit, even)
    if quiet:
        yield Update(lambda done, so_far: None, lambda line: None)
    elif sys.stderr.isatty():
        with _bar(doing, speed, stays) as update:
            yield update
    else:
        lines = _Lines(doing, speed)
        with lines.beating():
            yield Update(lines.tell, lines.note)


@contextmanager
def _bar(doing: str, speed: _Speed, stays: bool) -> Iterator[Update]:
    """A bar with its time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[so_far]}"))
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), console=console, redirect_stdout=False, transient=not stays) as bar:
        task = bar.add_task("", total=speed.total, so_far="")

        def tell(done: int, so_far: str) -> None:
            said = ", ".join(filter(None, (so_far, speed.of(done, time.monotonic()))))
            bar.update(task, completed=done, so_far=said)

        yield Update(tell, lambda line: console.print(line, markup=False, highlight=False))


class _Lines:
    """Plain lines: the first news at once, then a line every ten seconds, news or not, and the last."""

    def __init__(self, doing: str, speed: _Speed) -> None:
        self.doing, self.speed, self.last, self.news = doing, speed, -math.inf, ""
        self.lock, self.over = threading.Lock(), threading.Event()

    def tell(self, done: int, so_far: str) -> None:
        """Keep the news, and write them where it is time to."""
        now, total = time.monotonic(), self.speed.total
        of = "" if total is None else f" of {total}"
        with self.lock:
            self.news = ", ".join(filter(None, (f"{done}{of} {self.speed.unit}", so_far, self.speed.of(done, now))))
            if now - self.last >= _EVERY or done == total:
                self._write(self.news, now)

    def note(self, line: str) -> None:
        """Write a line."""
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

    def __init__(self, total: int | None, resumed: bool, unit: str, even: bool) -> None:
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
