"""How far a run is: a bar on a terminal, plain lines in a log, nothing where nobody asked."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Update = Callable[[int, str], None]

_EVERY = 10.0  # seconds between lines of a log


@contextmanager
def progress(total: int | None, quiet: bool, *, resumed: bool = False) -> Iterator[Update]:
    """Yield what is told (samples done, what is known so far), on the error stream.

    Args:
        total: samples, if known.
        quiet: say nothing.
        resumed: the samples that are told first were there before, and no rate counts them.
    """
    if quiet:
        yield lambda done, so_far: None
    elif sys.stderr.isatty():
        with _bar(total, resumed) as update:
            yield update
    else:
        yield _Lines(total, resumed).update


@contextmanager
def _bar(total: int | None, resumed: bool) -> Iterator[Update]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[so_far]}"))
    speed = _Speed(total, resumed)
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total, so_far="")

        def update(done: int, so_far: str) -> None:
            bar.update(task, completed=done, so_far=f"{so_far}, {speed.of(done, time.monotonic())}")

        yield update


class _Lines:
    """Plain lines, the first at once, then one every ten seconds, and the last."""

    def __init__(self, total: int | None, resumed: bool) -> None:
        self.total, self.speed, self.last = total, _Speed(total, resumed), -math.inf

    def update(self, done: int, so_far: str) -> None:
        """See :func:`progress`."""
        now = time.monotonic()
        if now - self.last < _EVERY and done != self.total:
            return
        self.last = now
        of = "" if self.total is None else f" of {self.total}"
        sys.stderr.write(f"{done}{of} samples, {so_far}, {self.speed.of(done, now)}\n")
        sys.stderr.flush()


class _Speed:
    """Samples a second since the start, and the time that is left at that rate."""

    def __init__(self, total: int | None, resumed: bool) -> None:
        self.total, self.start = total, -1 if resumed else 0
        self.began = time.monotonic()

    def of(self, done: int, now: float) -> str:
        """Return rate and time left in words."""
        if self.start < 0:
            self.start = done
            return "taken over"
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
