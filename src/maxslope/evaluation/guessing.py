"""Whether clean answers and labels belong to each other: accuracies as of guessing, classes in another order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from maxslope.attacks.findings import Finding, Kind
from maxslope.evaluation.about import About
from maxslope.evaluation.statistics import wilson
from maxslope.goals import Misclassified

_ASKED = 20  # samples below which an interval holds nearly everything
_OF_EACH = 5  # samples of a class below which it is not asked for what it is taken
_CONSTANT = 0.9  # of all answers: a model that says one class
_NAMED = 6  # classes that a sentence names


def doubts(table: Mapping[str, Sequence[Any]], about: About) -> tuple[Finding, ...]:
    """Return what the clean answers say of labels and model: not to be told from guessing, or classes in another order.

    Guessing gives 1 / classes, and to a model that nearly always says one class, and of other labels less than half are
    right, the share of that label. Asked of at least 20 samples with at least two labels, where an error is any other
    class; the table has index, label, and prediction, or norm, which is 0 where a clean sample is an error.

    >>> table = {"index": range(40), "label": [0, 1, 2, 3] * 10, "prediction": [2] * 40}
    >>> [found.name for found in doubts(table, About(goal="misclassified"))]
    ['guessing']
    """
    rows = _rows(table) if about.goal == Misclassified().name else []
    labels = {label for label, _ in rows}
    if len(rows) < _ASKED or len(labels) < 2:
        return ()
    other = _another_order(rows, about.name) if "prediction" in table else None
    found = other or _guessed(rows, max(1 + max(labels), len(about.classes)), about.name)
    return () if found is None else (found,)


def _rows(table: Mapping[str, Sequence[Any]]) -> list[tuple[int, int | None]]:
    """Label and answer of the clean samples with finite answers; None for an answer that is known to be wrong alone."""
    if "prediction" in table:
        bad = [verdict == "non-finite" for verdict in table.get("verdict", ())] or [False] * len(table["label"])
        triples = zip(table["label"], table["prediction"], bad, strict=True)
        return [(label, answer) for label, answer, lost in triples if isinstance(answer, int) and not lost]
    pairs = zip(table["label"], table["norm"], strict=True)
    return [(label, label if norm > 0 else None) for label, norm in pairs if not math.isnan(norm)]


def _guessed(rows: list[tuple[int, int | None]], classes: int, name: Callable[[int], str]) -> Finding | None:
    """An accuracy whose interval holds what guessing gives, or lies below it."""
    n, right = len(rows), sum(label == answer for label, answer in rows)
    answers = [answer for _, answer in rows if answer is not None]
    classes = max(classes, 1 + max(answers, default=0))
    low, high = wilson(right, n)
    chance, words = 1 / classes, f"guessing one of {classes} classes is right for {100 / classes:.1f} %"
    most, times = Counter(answers).most_common(1)[0] if len(answers) == n else (0, 0)
    others = [label == answer for label, answer in rows if label != most]
    if times >= _CONSTANT * n and 2 * sum(others) < len(others):
        share = 1 - len(others) / n
        chance = max(chance, share)
        words = f"the model answers class {name(most)} for {times} of them, and always to say so is right for "
        words += f"{100 * share:.1f} %"
    if low > chance:
        return None
    seen = (
        f"{right} of {n} clean samples are classified correctly ({100 * right / n:.1f} %, 95 % interval "
        f"{100 * low:.1f} to {100 * high:.1f}): {words}."
    )
    return Finding(Kind.GUESSING, seen)


class _Taken(NamedTuple):
    """What most samples of a class are answered, how many of them, of how many."""

    answer: int
    times: int
    samples: int


def _another_order(rows: list[tuple[int, int | None]], name: Callable[[int], str]) -> Finding | None:
    """Two classes or more, each mostly taken for one other, no two for the same."""
    votes: dict[int, Counter[int | None]] = {}
    for label, answer in rows:
        votes.setdefault(label, Counter())[answer] += 1
    taken = {}
    for label, own in sorted(votes.items()):
        answer, times = own.most_common(1)[0]
        if answer is not None and own.total() >= _OF_EACH and 2 * times > own.total():
            taken[label] = _Taken(answer, times, own.total())
    moved = {label: found for label, found in taken.items() if found.answer != label}
    if len(moved) < 2 or len({found.answer for found in taken.values()}) < len(taken):
        return None
    said = [
        f"class {name(k)} are answered {name(found.answer)} ({found.times} of {found.samples})"
        for k, found in list(moved.items())[:_NAMED]
    ]
    more = f", and {len(moved) - _NAMED} more classes so" if len(moved) > _NAMED else ""
    look = "swapped" if {found.answer for found in moved.values()} == set(moved) else "shifted"
    return Finding(Kind.ORDER, f"Most clean samples of {', of '.join(said)}{more}: these classes look {look}.")
