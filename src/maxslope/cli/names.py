"""From words to objects."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from maxslope.attacks import Effort
    from maxslope.goals import Goal
    from maxslope.integrability.networks import Activation
    from maxslope.sets import Budget
    from maxslope.spaces import Lp

NORMS = ("linf", "l2", "l1")
EFFORTS = ("quick", "standard", "exhaustive")


class GoalWords(NamedTuple):
    """How a goal is asked for: the form of its words, an example and its meaning, its class, and what it takes."""

    form: str
    example: str
    meaning: str
    made_by: str
    takes: type[int | float] | None


GOALS = {
    "top": GoalWords("top-K", "top-3", "the label leaves the 3 largest", "TopK", int),
    "target": GoalWords("target=CLASS", "target=3", "", "Targeted", int),
    "reject": GoalWords("reject=CLASS", "reject=10", "wrong, and not put into class 10", "Undetected", int),
    "any-label": GoalWords("any-label", "any-label", "", "AnyLabel", None),
    "share": GoalWords("share=S", "share=0.5", "of the places", "Share", float),
    "beyond": GoalWords("beyond=TOLERANCE", "beyond=0.1", "", "Beyond", float),
}


def norm(word: str) -> Lp:
    """Return the norm that ``linf``, ``l2``, ``l1``, ``l1.5`` or ``inf`` names.

    >>> norm("l2")
    Lp(p=2.0)
    """
    from maxslope.spaces import Lp

    bare = word.lower().removeprefix("l").removeprefix("_")
    try:
        return Lp(float(bare))
    except ValueError as error:
        raise ValueError(
            f"--norm is linf, l2, l1 or l followed by a number >= 1 such as l1.5, got {word!r}."
        ) from error


def budget(word: str, eps: str | None) -> Budget:
    """Return the budget of a norm and a radius; 8/255 is a number, and the default network has default radii."""
    from maxslope.sets import Budget

    space = norm(word)
    radius = _DEFAULT_EPS.get(space.p) if eps is None else number(eps)
    if radius is None:
        raise ValueError(f"--eps is needed for the norm {word!r}; there is no default.")
    return Budget(space, radius)


def asked(word: str, eps: str | None) -> str:
    """Return a budget as it was typed, with its value where that was a fraction.

    >>> asked("linf", "0.25/255"), asked("l2", None)
    ('l_inf 0.25/255 (0.0009804)', 'l_2 2')
    """
    chosen = budget(word, eps)
    typed = f"{float(chosen.eps):g}" if eps is None else eps.strip()
    return f"l_{norm(word).p:g} {typed}" + (f" ({float(chosen.eps):.4g})" if "/" in typed else "")


def inside(chosen: Budget, box: tuple[float, float] | None) -> Budget:
    """Return the budget in a box; an l_inf radius beyond the width of the box is hardly meant.

    >>> str(inside(budget("linf", "8/255"), (0.0, 1.0)))
    'l_inf 0.03137'
    """
    from maxslope.sets import Budget
    from maxslope.spaces import Lp

    eps = float(chosen.eps)
    if box is not None and chosen.norm == Lp(math.inf) and eps > box[1] - box[0]:
        raise ValueError(
            f"--eps {eps:g} is more than the whole box from {box[0]:g} to {box[1]:g}; write {eps:g}/255 if pixels are "
            "meant, or give the box of your inputs."
        )
    return Budget(chosen.norm, chosen.eps, box)


_DEFAULT_EPS = {float("inf"): 0.3, 2.0: 2.0, 1.0: 10.0}


def number(word: str) -> float:
    """Return a decimal number or a fraction.

    >>> round(number("8/255"), 5)
    0.03137
    """
    top, _, bottom = word.partition("/")
    try:
        return float(top) / float(bottom or 1)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"A radius is a number such as 0.3 or a fraction such as 8/255, got {word!r}.") from error


def effort(word: str) -> Effort:
    """Return the effort that ``quick``, ``standard`` or ``exhaustive`` names."""
    from maxslope.attacks import Effort

    if word not in EFFORTS:
        raise ValueError(f"--effort is one of {', '.join(EFFORTS)}, got {word!r}.")
    made: Effort = getattr(Effort, word)()
    return made


def goal(word: str | None) -> Goal:
    """Return the goal that a word names; None is another class than the label.

    >>> goal("top-3"), goal("beyond=0.25")
    (TopK(k=3), Beyond(tolerance=0.25))
    """
    from maxslope import goals

    if word is None:
        return goals.Misclassified()
    name, _, value = (word.replace("top-", "top=", 1) if word.startswith("top-") else word).partition("=")
    if name not in GOALS or (GOALS[name].takes is None and word != name):
        raise ValueError(f"--goal is one of {', '.join(known.form for known in GOALS.values())}, got {word!r}.")
    _, example, _, made_by, takes = GOALS[name]
    make: Callable[..., Goal] = getattr(goals, made_by)
    if takes is None:
        return make()
    try:
        number = takes(value)
    except ValueError as error:
        kind = "a whole number (classes are numbered as the model's outputs, from 0)" if takes is int else "a number"
        raise ValueError(f"--goal {name} takes {kind}, such as {example}, got {word!r}.") from error
    try:
        return make(number)
    except ValueError as error:
        raise ValueError(f"--goal {word}: {error}") from error


def activation(text: str) -> Activation:
    """Return the activation of a name; other words are expressions in z."""
    from sympy import Symbol

    from maxslope.integrability import networks as known
    from maxslope.integrability.exact import exact

    named = {a.name: a for a in (*known.CHECKED, known.SOFTPLUS, known.ERF, known.ATAN)}
    if text in named:
        return named[text]
    power = text.removeprefix("z^")
    if text.startswith("z^") and power.isdecimal():
        return known.monomial(int(power))
    z = Symbol("z", real=True)
    body = exact(text, "the activation", {"z": z})
    if body.free_symbols != {z}:
        raise ValueError(f"the activation must be an expression in z alone; got {text!r}.")
    return known.Activation(text, lambda value: body.subs(z, value))
