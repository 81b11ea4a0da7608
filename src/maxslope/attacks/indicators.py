"""Indicators of an evaluation that fails: what they say, who they name, and the order in which they are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from maxslope.attacks._probe import Beyond, Probe, probed
from maxslope.attacks.findings import Finding, Kind, Severity
from maxslope.attacks.question import Question
from maxslope.attacks.state import State

_MASKED = "Gradient masking: this robust accuracy is not to be trusted. "


@dataclass(frozen=True, eq=False)
class Findings:
    """What the probes saw, what they cost, and the better points they met on the way."""

    indicators: tuple[Finding, ...]  # what fired, warnings first
    probed: Tensor  # rows of the question that were probed, [m] int64
    points: Tensor  # the best point the probes met of each, [m, *shape], inside ball and box
    margins: Tensor  # the margin there, [m]; below 0 breaks the sample, subject to verification
    forward: Tensor  # passes, [n] int64
    backward: Tensor

    @property
    def masked(self) -> bool:
        """Whether some warning says that gradients inside the budget do not find what is there."""
        return any(i.severity == Severity.WARNING and i.kind in _MASKS for i in self.indicators)


_MASKS = (Kind.VANISHING, Kind.SATURATED, Kind.RANDOM_STEPS, Kind.TRANSFER, Kind.DISAGREES, Kind.OUTSIDE)

Look = Callable[[Probe], Finding | None]


def indicators(
    question: Question, known: State, *, beyond: Beyond | None = None, among: Tensor | None = None
) -> Findings:
    """Probe a small part of the samples that stand for signs that their verdict is worth nothing.

    The part is chosen by a hash of (seed, sample id): 8 samples, one in 64 of the question beyond 512, 32 at most, none
    that is broken. A probed sample costs about 100 forward and 60 backward passes where nothing is found, 160 and 80
    otherwise.

    Args:
        question: the samples.
        known: what the attack found.
        beyond: looks from outside the budget that were taken already.
        among: ``[n]`` bool, the samples that have passes left for it; by default all.

    Returns:
        :class:`Findings`.

    Source: the pitfalls listed by Athalye, Carlini and Wagner (arXiv:1802.00420), Carlini et al. (arXiv:1902.06705)
    and Pintor et al., Indicators of attack failure (arXiv:2106.09947); thresholds are the project's own, calibrated
    so that ordinary networks stay silent.
    """
    probe = Probe(question, known, beyond, among)
    # Draws are others at every point: differences of a random model say nothing of its gradient.
    differ = [] if question.votes > 1 else [_disagreement]
    of_gradients = [_vanishing, _saturated, *differ, _open_gap, _random_steps, _transfer, _outside]
    return _said(probe, [_randomness, _unseen_class, *(of_gradients if probe.rows.numel() else ())])


def indicators_of_values(
    question: Question, known: State, *, beyond: Beyond | None = None, among: Tensor | None = None
) -> Findings:
    """Like :func:`indicators`, but of a model without gradients: about randomness and classes alone."""
    return _said(Probe(question, known, beyond, among), [_randomness, _unseen_class])


def _said(probe: Probe, asked: Sequence[Look]) -> Findings:
    fired = [found for ask in asked if (found := ask(probe)) is not None]
    fired.sort(key=lambda one: -one.severity)
    outside = probe.beyond.found
    forward, backward = probe.forward + outside.forward, probe.backward + outside.backward
    return Findings(tuple(fired), probe.rows, probe.points, probe.margins, forward, backward)


def misled(question: Question, known: State, beyond: Beyond) -> bool:
    """Whether errors within the budget are seen from outside for a quarter of a few samples that stand, two at least.

    Asked after the first runs of every kind: then more runs inside the budget are not worth their passes.
    """
    broken = beyond.look(probed(question, known))
    return broken.numel() > 1 and enough(broken, 0.25)


def enough(hit: Tensor, share: float) -> bool:
    """Whether at least two rows and at least a share of all of them are hit; of one or two rows, all."""
    return int(hit.sum()) >= max(min(2, hit.numel()), share * hit.numel())


def _randomness(probe: Probe) -> Finding | None:
    """Two identical calls of the model differ, or verified points failed, unless it were votes that took them back."""
    hit = probe.unsteady()
    lost = (probe.known.unconfirmed > 0) & (probe.question.votes == 1)
    doubted = lost.nonzero().squeeze(1)
    rows = torch.zeros_like(probe.known.broken)
    rows[probe.some[hit]] = rows[doubted] = True
    if not bool(rows.any()):
        return None
    return Finding(
        Kind.RANDOM,
        f"The model is not deterministic: {int(hit.sum())} of {hit.numel()} samples got other logits from the same "
        f"call, and {doubted.numel()} samples lost an error when it was verified. This robust accuracy is not to be "
        "trusted.",
        probe.ids(rows.nonzero().squeeze(1)),
    )


def _unseen_class(probe: Probe) -> Finding | None:
    """A class that no clean sample looked at has or gets takes many of the points that count as errors."""
    taken = probe.unseen_classes()
    if taken is None:
        return None
    rows, hit, classes = taken
    if not enough(hit, 0.25) or int(hit.sum()) < 3:
        return None
    return Finding(
        Kind.UNSEEN_CLASS,
        f"{int(hit.sum())} of {hit.numel()} adversarial points are put into class {', '.join(map(str, classes))}, "
        f"which none of {probe.looked_at} clean samples has or gets: is it a detector or a class of rejects?",
        probe.ids(rows[hit]),
    )


def _vanishing(probe: Probe) -> Finding | None:
    """The linearized margin falls by less than a thousandth of itself over the whole budget, here and there."""
    hit = torch.maximum(probe.measured.promise, probe.measured.gap) <= 1e-3 * probe.measured.clean.abs()
    if not enough(hit, 0.1):
        return None
    return probe.finding(
        Kind.VANISHING,
        f"{_MASKED}The gradient of the margin is zero or next to zero at the clean and at the best point of "
        f"{probe.of(hit)}: gradient steps go nowhere there.",
        hit,
    )


def _saturated(probe: Probe) -> Finding | None:
    """Cross-entropy has a gradient of zero in the dtype of the inputs where the margin has not."""
    hit = probe.measured.flat_loss & (probe.measured.promise > 1e-3 * probe.measured.clean.abs())
    if not enough(hit, 0.1):
        return None
    return probe.finding(
        Kind.SATURATED,
        "The cross-entropy saturates: its gradient is exactly zero, while that of the margin is not, at the clean "
        f"point of {probe.of(hit)} (logits too large for {probe.question.x.dtype}?). Runs with cross-entropy or "
        "probabilities do not move: this robust accuracy is not to be trusted unless others were made.",
        hit,
    )


def _disagreement(probe: Probe) -> Finding | None:
    """Finite differences of the margin are not what its gradient says."""
    wrong, still = probe.differences()
    if not enough(wrong, 0.5):
        return None
    flat = enough(wrong & still, 0.5 * float(wrong.float().mean()))
    cause = (
        "small steps do not change the output at all: a quantized input or another step function with a made-up "
        "(straight-through) gradient"
        if flat
        else "a backward approximation, a broken gradient, or a function that varies on a very small scale"
    )
    return probe.finding(
        Kind.DISAGREES,
        "The gradient is not that of the function: along steepest or random short steps the margin of "
        f"{probe.of(wrong)} does not change as its gradient says ({cause}). Gradients may mislead: this robust "
        "accuracy is not to be trusted.",
        wrong,
    )


def _open_gap(probe: Probe) -> Finding | None:
    """At the best point the linearized margin still falls by far more than it has to, after many steps."""
    least, made = probe.spot.least, probe.measured.clean - probe.spot.least
    hit = (probe.measured.gap > 10 * torch.maximum(least, made)) & (least > 0) & probe.spot.long
    if not enough(hit, 0.25):
        return None
    return probe.finding(
        Kind.OPEN_GAP,
        f"{_MASKED}At the best point of {probe.of(hit)} the gradient promises more than ten times what would break "
        "the sample and what all steps have gained, and yet they ended there: the gradient shatters.",
        hit,
    )


def _random_steps(probe: Probe) -> Finding | None:
    """A short random search ends lower than all gradient steps together."""
    return _beaten(probe, *probe.random_search(), Kind.RANDOM_STEPS, f"A random search of {probe.queries} values")


def _transfer(probe: Probe) -> Finding | None:
    """Perturbations of other samples, or points found on a smoothed copy, beat a sample's own points."""
    what = "A point carried over from another sample or a smoothed copy"
    return _beaten(probe, *probe.transfer(), Kind.TRANSFER, what)


def _outside(probe: Probe) -> Finding | None:
    """Errors that the attack gave up looking for are found from outside: of few given up, one is too many."""
    broken = probe.outside()
    most = broken.numel() // 16
    if int(broken.sum()) <= most:
        return None
    return probe.finding(
        Kind.OUTSIDE,
        f"The attack was too weak, or gradients are masked. {probe.beyond.passes} gradients along the boundary, from "
        f"outside the budget, break {probe.of(broken)}, which stood.",
        broken,
        None if int((broken & probe.spot.long).sum()) > most else Severity.NOTE,
    )


def _beaten(probe: Probe, hit: Tensor, broken: Tensor, kind: Kind, what: str) -> Finding | None:
    if not (enough(hit, 0.25) or enough(broken, 0.1)):
        return None
    rows = hit | broken
    strong = enough(hit, 0.25) and enough(hit & probe.spot.long, 0.1)
    start = _MASKED if strong else "The attack was too weak, or gradients are masked. "
    return probe.finding(
        kind,
        f"{start}{what} clearly beats everything the attack found on {probe.of(rows)} and breaks {int(broken.sum())} "
        "of them.",
        rows,
        None if strong else Severity.NOTE,
    )
