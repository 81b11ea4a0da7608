"""What the pool sees of the rows under way: their best points and whether they walk in cycles, in row order."""

from __future__ import annotations

import torch
from torch import Tensor

from maxslope._rows import choose, flat
from maxslope.energies import Evaluation
from maxslope.loop import Rows


class Lanes:
    """Storage of the runs under way, one lane each. Every tensor is ``[lanes]`` or ``[lanes, *shape]``.

    Attributes:
        margin: the least margin of the run.
        point: where it was seen.
        reference: the point remembered for the detection of cycles.
        level: the energy there.
    """

    def __init__(self, lanes: int, like: Tensor, *, cyclic: bool) -> None:
        self.margin = like.new_zeros(lanes)
        self.point = like.new_zeros(lanes, *like.shape[1:])
        self.reference = self.point.clone() if cyclic else self.point
        self.level = torch.zeros_like(self.margin)

    def improve(self, lane: Tensor, x: Tensor, margin: Tensor) -> None:
        """Keep the point of least margin of each run; NaN never improves."""
        better = margin < self.margin[lane]
        self.margin[lane] = torch.where(better, margin, self.margin[lane])
        index = better.nonzero().squeeze(1)
        self.point.index_copy_(0, lane[index], x[index])


class Watch:
    """The lanes of the rows under way, gathered once and written back when the rows change.

    A step then costs a comparison of margins where nothing improves, no copy where every row improves, and one
    comparison of energies for the detection of cycles.

    Args:
        lanes: the storage.
        rows: the rows under way.
        first: the first step of each, ``[rows]`` float64.
        final: what its steps tend to, negative where they are constant.
        steps: its length.
        cyclic: whether cycles are looked for.
    """

    def __init__(self, lanes: Lanes, rows: Rows, first: Tensor, final: Tensor, steps: Tensor, *, cyclic: bool) -> None:
        self.lanes, self.job, self.cyclic = lanes, rows.job, cyclic
        self.first, self.final, self.steps = first, final, steps
        self.constant = final < 0
        self.all_constant = bool(self.constant.all())
        self.margin, self.point = lanes.margin[self.job], lanes.point[self.job]
        if cyclic:
            self.reference, self.level = lanes.reference[self.job], lanes.level[self.job]
            self.wait = 0

    def close(self) -> None:
        """Write everything back."""
        self.lanes.margin.index_copy_(0, self.job, self.margin)
        self.lanes.point.index_copy_(0, self.job, self.point)
        if self.cyclic:
            self.lanes.reference.index_copy_(0, self.job, self.reference)
            self.lanes.level.index_copy_(0, self.job, self.level)

    def step(self, clock: Tensor) -> Tensor:
        """The step sizes, ``[rows]`` float64: constant, or cosine from first to final."""
        if self.all_constant:
            return self.first
        wave = self.final + (self.first - self.final) * (1 + torch.cos(torch.pi * clock / self.steps)) / 2
        return torch.where(self.constant, self.first, wave)

    def improve(self, x: Tensor, margin: Tensor) -> None:
        """Keep the point of least margin of each run; NaN never improves."""
        better = margin < self.margin
        if bool(better.all()):
            self.margin, self.point = margin, x
        elif bool(better.any()):
            self.margin = torch.where(better, margin, self.margin)
            self.point = choose(better, x, self.point)

    def cycles(self, rows: Rows, evaluation: Evaluation) -> Tensor | None:
        """Rows that are back, bit for bit, at a point where their run was before: more steps only repeat.

        Signed steps of constant length walk on a lattice, and do come back (arXiv:2503.19347). Brent's algorithm: one
        point is remembered, that of the last clock which was a power of two. Equal points have equal energies, so
        that points are compared only where energies agree. None where no row is back.
        """
        back: Tensor | None = None
        same = (evaluation.value == self.level) & self.constant
        if bool(same.any()):
            back = same & (rows.clock > 0) & (flat(rows.x) == flat(self.reference)).all(1)
        if self.wait == 0:
            clock = rows.clock
            keep = (clock & (clock - 1)) == 0
            if bool(keep.all()):
                self.reference, self.level = rows.x, evaluation.value
            else:
                self.reference = choose(keep, rows.x, self.reference)
                self.level = torch.where(keep, evaluation.value, self.level)
            self.wait = _until_a_power_of_two(clock)
        self.wait -= 1
        return back


def _until_a_power_of_two(clock: Tensor) -> int:
    """Steps until the clock of the first row is a power of two again.

    >>> _until_a_power_of_two(torch.tensor([0])), _until_a_power_of_two(torch.tensor([5, 9]))
    (1, 3)
    """
    return min((1 << c.bit_length()) - c for c in set(clock.tolist()))
