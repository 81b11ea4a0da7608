"""The rows under way: which run of which sample each serves, its steps, its best point, whether it walks in a cycle."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from maxslope._rows import choose, flat, select
from maxslope.energies import Evaluation
from maxslope.loop import Rows
from maxslope.schemes import StepSize
from maxslope.schemes.steps import half_wave


class Slots:
    """Places for the rows under way; ``like`` is of the dtype and device of margins."""

    def __init__(self, count: int, like: Tensor) -> None:
        device = like.device
        self.free = list(range(count))  # the slots that no run is in
        self.sample = torch.zeros(count, dtype=torch.int64, device=device)  # whose run is in each
        self.run = torch.zeros_like(self.sample)  # its number
        self.made = torch.zeros_like(self.sample)  # the steps that it made, once it has ended
        self.hopeless = torch.zeros(count, dtype=torch.bool, device=device)  # whether it was given up on the way
        self.early = like.new_full((count,), torch.nan)  # its least margin when the rule asked for it, NaN before
        self.cancelled = torch.zeros_like(self.hopeless)  # whether its sample is decided without it
        self.doomed = False  # whether a row under way is cancelled

    def take(self, turns: Sequence[tuple[int, int]]) -> Tensor:
        """Put runs, as (sample, run), into free slots, and return these."""
        device = self.sample.device
        slot = torch.tensor([self.free.pop() for _ in turns], device=device)
        self.sample[slot], self.run[slot] = torch.tensor(turns, device=device).T
        self.made[slot], self.cancelled[slot], self.hopeless[slot], self.early[slot] = 0, False, False, torch.nan
        return slot

    def cancel(self, slots: Sequence[int], ended: Sequence[int]) -> None:
        """Let runs under way leave at the next step; those that have ended leave at once."""
        for slot in slots:
            self.cancelled[slot] = self.doomed = True
        self.free.extend(ended)

    def drop(self, slot: Tensor) -> Tensor:
        """Set cancelled ones of some slots free; return which of them stay, a mask."""
        gone = self.cancelled[slot]
        self.free.extend(slot[gone].tolist())
        return ~gone


class Watch(StepSize):
    """What is known of the rows under way, in their order: gathered when they change, and only where they changed.

    A step then costs a comparison of margins where nothing improves, no copy where every row improves, and one
    comparison of energies for the detection of cycles. A row's job is its slot.
    """

    def __init__(self, slots: int, like: Tensor, *, cyclic: bool, asks: bool) -> None:
        self.cyclic = cyclic  # whether cycles are looked for
        self.asks = asks  # whether the device is asked what happened, to spare it work where nothing did
        self.job = torch.zeros(0, dtype=torch.int64, device=like.device)
        self.position = torch.zeros(slots, dtype=torch.int64, device=like.device)
        # Those of the rows when a point is remembered next, known without asking the device. Rows that ended stand
        # still, but nobody looks at them.
        self.clocks: set[int] = set()
        self.margin, self.level = like.new_zeros(0), like.new_zeros(0)
        self.point = self.reference = like[:0]

    def follow(self, rows: Rows, first: Tensor, final: Tensor, steps: Tensor) -> None:
        """Take note of which rows are under way now; those with clock 0 are new.

        Steps of each go from ``first`` to ``final``, float64, which is negative where they are constant.
        """
        new = rows.clock == 0
        if self.job.shape != rows.job.shape or not bool((new | (self.job == rows.job)).all()):
            if not self.job.numel():  # all are new: nothing is read before it is written
                nothing = rows.x.new_zeros(len(rows.job))
                self.margin, self.level, self.point = nothing, nothing, rows.x
                self.reference = rows.x
            else:
                old = torch.where(new, 0, self.position[rows.job])
                self.margin, self.level, self.point = self.margin[old], self.level[old], select(self.point, old)
                self.reference = select(self.reference, old) if self.cyclic else self.reference
        if self.cyclic:
            self.clocks = set(rows.clock.tolist())
        self.margin = torch.where(new, torch.inf, self.margin)
        self.level = torch.where(new, torch.nan, self.level)
        self.job, self.wait = rows.job, 0
        self.position[rows.job] = torch.arange(rows.job.numel(), device=rows.job.device)
        self.first, self.final, self.steps = first, final, steps
        self.constant = final < 0
        self.all_constant = bool(self.constant.all())

    def best(self, slot: Tensor) -> tuple[Tensor, Tensor]:
        """The least margin of each run and where it was seen."""
        at = self.position[slot]
        return self.margin[at], select(self.point, at)

    def at(self, clock: Tensor, row: Tensor) -> Tensor:
        """See :class:`StepSize`: constant, or cosine from first to final."""
        if self.all_constant:
            return self.first
        wave = self.final + (self.first - self.final) * half_wave(clock, self.steps)
        return torch.where(self.constant, self.first, wave)

    def improve(self, x: Tensor, margin: Tensor) -> None:
        """Keep the point of least margin of each run; NaN never improves."""
        better = margin < self.margin
        if self.asks and bool(better.all()):
            self.margin, self.point = margin, x
        elif not self.asks or bool(better.any()):
            self.margin = torch.where(better, margin, self.margin)
            self.point = choose(better, x, self.point)

    def cycles(self, rows: Rows, evaluation: Evaluation) -> Tensor | None:
        """Rows that are back, bit for bit, at a point where their run was before: more steps only repeat.

        Signed steps of constant length walk on a lattice, and do come back (arXiv:2503.19347). Brent's algorithm: one
        point is remembered, that of the last clock which was a power of two. Equal points have equal energies, so
        that points are compared only where energies agree. None where no row is back.
        """
        back: Tensor | None = None
        same = evaluation.value == self.level
        if not self.asks or bool(same.any()):
            back = same & ((flat(rows.x) - flat(self.reference)).abs().amax(1) == 0)
            back = back if not self.asks or bool(back.any()) else None
        if self.wait == 0:
            clock = rows.clock
            keep = (clock & (clock - 1)) == 0
            all_keep = self.asks and bool(keep.all())
            self.reference = rows.x if all_keep else choose(keep, rows.x, self.reference)
            self.level = torch.where(keep & self.constant, evaluation.value, self.level)
            self.wait = _until_a_power_of_two(self.clocks)
            self.clocks = {c + self.wait for c in self.clocks}
        self.wait -= 1
        return back


def _until_a_power_of_two(clocks: set[int]) -> int:
    """Steps until the clock of the first row is a power of two again.

    >>> _until_a_power_of_two({0}), _until_a_power_of_two({5, 9})
    (1, 3)
    """
    return min((1 << c.bit_length()) - c for c in clocks)
