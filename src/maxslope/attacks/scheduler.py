"""Which run of which sample is next, which may start ahead of its turn, and which came too early."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from maxslope.attacks.recipes import Recipe
from maxslope.attacks.state import Outcome

_CROWDED = 16  # padding below this part of the rows under way is not worth a search for runs ahead of time


class Turn(NamedTuple):
    """A run of a sample, by its number."""

    sample: int
    run: int


class Due(NamedTuple):
    """Runs whose turn it is and which have ended: their samples, all different, slots and outcomes."""

    samples: list[int]
    slots: list[int]
    outcomes: list[Outcome]


class Scheduler:
    """Takes every sample through its runs, in order; where rows would be padding, later runs start ahead of their turn.

    It knows numbers alone, no model and no points. What happens to a sample depends on the sample alone: its runs count
    in their order, and one that started ahead counts only if its turn comes. Calls of the model have ``tile`` rows; so
    many runs of a sample must count ``before`` any other starts.
    """

    def __init__(self, samples: int, runs: Sequence[Recipe], tile: int, before: int = 0) -> None:
        self.steps, self.tile = [run.steps for run in runs], tile
        # how many runs of a sample must count before each may start
        self.waits = [max(least, min(run, before)) for run, least in enumerate(settled_before(runs))]
        self.most = 0  # runs that a sample makes for now
        self.ready: deque[int] = deque()  # samples whose turn it is, first come, first served
        self.settled = [0] * samples  # runs of each sample that count
        self.reach = [float(self.steps[0])] * samples  # steps that each sample is expected to go on for
        self.open: dict[int, dict[int, int]] = {}  # by sample, the slots of runs under way or waiting for their turn
        self.ended: dict[int, Outcome] = {}  # by slot, the outcomes that wait for their turn
        self.barren = False  # whether no run can start ahead until another sample enters or a run counts

    def begin(self, samples: Iterable[int], most: int) -> None:
        """Let samples go on until ``most`` of their runs count."""
        self.most = most
        self.ready.extend(samples)

    def next(self, room: int, live: int) -> list[Turn]:
        """Return the runs that enter now: of samples whose turn it is, then, instead of padding, ahead of their turn.

        Args:
            room: how many can.
            live: rows that are under way.
        """
        turns = []
        for _ in range(min(room, len(self.ready))):
            sample = self.ready.popleft()
            turns.append(Turn(sample, self.settled[sample]))
            self.open.setdefault(sample, {})
        if turns:
            self.barren = False
        rows = live + len(turns)
        padding = min(-rows % self.tile, room - len(turns))
        if rows and padding * _CROWDED > rows and not self.barren:
            ahead = self._ahead(padding, turns)
            self.barren = len(ahead) < padding
            turns += ahead
        return turns

    def enter(self, turns: Sequence[Turn], slots: Sequence[int]) -> None:
        """Take note of the slots that runs are in."""
        for (sample, run), slot in zip(turns, slots, strict=True):
            self.open[sample][run] = slot

    def due(self, samples: Iterable[int]) -> Due:
        """Return the next run of each of the samples that have one which has ended: these count."""
        due = Due([], [], [])
        self.barren = False
        for sample in samples:
            slot = self.open[sample].get(self.settled[sample])
            if slot is not None and slot in self.ended:
                self.open[sample].pop(self.settled[sample])
                self.settled[sample] += 1
                due.samples.append(sample)
                due.slots.append(slot)
                due.outcomes.append(self.ended.pop(slot))
        return due

    def go_on(self, sample: int, reach: float) -> None:
        """Give a sample its next turn, if that run is not under way already."""
        self.reach[sample] = reach
        if self.settled[sample] not in self.open[sample]:
            self.ready.append(sample)

    def close(self, sample: int) -> tuple[list[int], list[int]]:
        """Decide a sample: return the slots of its runs that came too early, and those of them that have ended."""
        slots = list(self.open.pop(sample).values())
        return slots, [slot for slot in slots if self.ended.pop(slot, None) is not None]

    def _ahead(self, most: int, turns: Sequence[Turn]) -> list[Turn]:
        """At most ``most`` later runs that may start now, those first which are surest to count.

        A run will count if its sample goes on until its turn comes: if the steps of the runs before it are few beside
        those that the sample is expected to go on for. Runs beyond that are not started: padding costs the same.
        """
        found, entering = [], set(turns)
        for sample, slots in self.open.items():
            settled, reach, before, own = self.settled[sample], self.reach[sample], 0.0, 0
            for run in range(settled, self.most):
                if before > reach or own == most:
                    break
                if run not in slots and (sample, run) not in entering and self.waits[run] <= settled:
                    found.append((before / reach if reach else 0.0, before, Turn(sample, run)))
                    own += 1
                before += self.steps[run]
        return [turn for _, _, turn in sorted(found)[:most]]


def settled_before(runs: Sequence[Recipe]) -> list[int]:
    """How many runs of a sample must count before each may start.

    Jumps, which start from the best point so far, wait for the last independent run before them alone, so that several
    start side by side.
    """
    waits, known = [], 0
    for k, recipe in enumerate(runs):
        waits.append(k if recipe.start.follows else known if recipe.start.looks_back else 0)
        known = known if recipe.start.looks_back else k + 1
    return waits
