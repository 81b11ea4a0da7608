"""Why a run ended: a small integer per row, and one sentence for each."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """The state of a run. Statuses are per row; numerics never raise.

    >>> Status.REACHED.sentence
    'The goal was reached: where it is an attack, the model errs at the point, or puts it into the target class.'
    """

    RUNNING = 0
    FINISHED = 1
    REACHED = 2
    STATIONARY = 3
    NON_FINITE = 4
    STOPPED = 5
    UNSOLVED = 6
    VANISHED = 7

    @property
    def sentence(self) -> str:
        """What the status means, in one sentence."""
        return _SENTENCES[self]


_SENTENCES = {
    Status.RUNNING: "The run has not ended.",
    Status.FINISHED: "The run went to its last step, and no goal was reached: what more steps would do is not known.",
    Status.REACHED: "The goal was reached: where it is an attack, the model errs at the point, or puts it into the "
    "target class.",
    Status.STATIONARY: "The gradient is zero in every coordinate: nothing moves (a masked or saturated gradient?).",
    Status.STOPPED: "The run was ended early by its stopping rule; what more steps would do is not known.",
    Status.NON_FINITE: "The energy or its gradient is NaN or infinite: the row is neither robust nor broken.",
    Status.VANISHED: "The set or its complement is empty: there is no boundary left to move.",
    Status.UNSOLVED: "The run went to its last step, but an inner minimization on the way did not meet its criterion.",
}
