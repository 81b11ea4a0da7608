"""Why a run ended: a small integer per row, and one sentence for each."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """The state of a run. Statuses are per row; numerics never raise.

    >>> Status.REACHED.sentence
    'The goal was reached: the model misclassifies the point, or classifies it as the target.'
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
    Status.FINISHED: "The run went to its last step without reaching the goal.",
    Status.REACHED: "The goal was reached: the model misclassifies the point, or classifies it as the target.",
    Status.STATIONARY: "The gradient is zero in every coordinate: nothing moves (a masked or saturated gradient?).",
    Status.STOPPED: "The run was ended early: more steps could not have changed its outcome.",
    Status.NON_FINITE: "The energy or its gradient is NaN or infinite: the row is neither robust nor broken.",
    Status.VANISHED: "The set or its complement is empty: there is no boundary left to move.",
    Status.UNSOLVED: "The run went to its last step, but an inner minimization on the way did not meet its criterion.",
}
