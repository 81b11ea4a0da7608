"""Goals of models that answer with more than one class: tags, maps of classes, real numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from maxslope import _checks
from maxslope.criteria import Criterion, CrossEntropy, Margin, OwnMargin, against_rival, pick
from maxslope.goals.base import Goal, lowest, rows_of
from maxslope.goals.classes import divergence


@dataclass(frozen=True)
class AnyLabel(Goal):
    """Some tag flips: m = min_j s_j z_j, with s_j = 1 where tag j is set and -1 where it is not.

    Outputs are logits ``[rows, tags]``, one for each tag; labels ``[rows, tags]`` are 0 and 1.

    >>> AnyLabel().margin(torch.tensor([[2.0, -1.0, 0.5]]), torch.tensor([[1, 0, 1]]))
    tensor([0.5000])
    """

    name = "any-label"

    def labels(self, y: Any, x: Tensor) -> Tensor:
        found = rows_of(y, x)
        if found.ndim != 2 or not bool(((found == 0) | (found == 1)).all()):
            raise ValueError(
                f"The labels of AnyLabel() are [rows, tags] of 0 and 1, got shape {tuple(found.shape)}, values from "
                f"{found.min().item()} to {found.max().item()}; class numbers [rows] go with goals.Misclassified()."
            )
        return found.long()

    def check(self, outputs: Tensor, y: Tensor) -> None:
        if outputs.shape != y.shape:
            raise ValueError(
                f"AnyLabel() needs a logit for each tag, [rows, tags]: the model returns {tuple(outputs.shape)} for "
                f"labels {tuple(y.shape)}."
            )

    def scores(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Goal`: 0, and how far each tag is on the wrong side."""
        wrong = torch.where(y > 0, -outputs, outputs)
        return torch.cat([torch.zeros_like(wrong[:, :1]), wrong], 1), y.new_zeros(len(y))

    def divergence(self, reference: Tensor, outputs: Tensor) -> Tensor:
        """See :class:`Goal`: the sum over tags of KL between the two chances of each."""
        pairs = (torch.stack([torch.zeros_like(z), z], 1) for z in (reference, outputs))
        return divergence(*pairs).sum(1)

    def answers(self, outputs: Tensor) -> list[Any]:
        """See :class:`Goal`: the tags that are set."""
        return self.shown(outputs > 0)

    def shown(self, y: Tensor) -> list[Any]:
        return [" ".join(str(k) for k, on in enumerate(row) if on) for row in y.tolist()]


class Places(NamedTuple):
    """The places of maps."""

    margins: Tensor  # [rows, places]
    counts: Tensor  # which places count, likewise
    logits: Tensor  # of all places of all rows, [rows places, classes]
    labels: Tensor  # [rows places]
    rivals: Tensor  # likewise

    def each(self, criterion: Criterion) -> Tensor:
        """Return a criterion at every place, ``[rows, places]``."""
        return criterion(lowest(self.logits), self.labels, self.rivals).reshape(self.margins.shape)


@dataclass(frozen=True)
class Share(Goal):
    """A share of the places of an output map is wrong: m = the q-th smallest of the margins of its places.

    q is the least number of places that are at least this share. Outputs are logits ``[rows, classes, *places]``,
    labels are class numbers ``[rows, *places]``; negative labels are places that do not count.

    What the search lowers is a mean over places: cross-entropy over those that are not yet wrong, margins over the q
    that are nearest to it, probabilities over all.

    Args:
        at_least: in (0, 1].

    Raises:
        ValueError: if it is not.

    Source: of the sums over places that are still right, arXiv:2207.12391 (SegPGD).

    >>> z = torch.tensor([[[3.0, 1.0, 0.0], [0.0, 2.0, 4.0]]])
    >>> Share(0.5).margin(z, torch.zeros(1, 3).long())
    tensor([-1.])
    """

    at_least: float
    ranked = False

    def __post_init__(self) -> None:
        if not 0 < self.at_least <= 1:
            raise ValueError(f"A share of places is in (0, 1], got at_least={self.at_least!r}.")

    @property
    def name(self) -> str:
        return f"share={self.at_least:g}"

    def labels(self, y: Any, x: Tensor) -> Tensor:
        found = rows_of(y, x)
        if found.ndim < 2 or found.is_floating_point():
            raise ValueError(
                f"The labels of Share() are class numbers [rows, *places] of an integer dtype, got {found.dtype} of "
                f"shape {tuple(found.shape)}; one class per sample goes with goals.Misclassified()."
            )
        if not bool((found >= 0).flatten(1).any(1).all()):
            raise ValueError("The labels of Share() must count at least one place (a label >= 0) in every row.")
        return found.long()

    def check(self, outputs: Tensor, y: Tensor) -> None:
        if outputs.ndim != y.ndim + 1 or outputs.shape[2:] != y.shape[1:]:
            raise ValueError(
                f"Share() needs logits [rows, classes, *places] for labels [rows, *places]: the model returns "
                f"{tuple(outputs.shape)} for labels {tuple(y.shape)}."
            )
        _checks.classes(y, self.class_count(outputs))

    def class_count(self, outputs: Tensor) -> int:
        """See :class:`Goal`: the logits of a place."""
        return outputs.shape[1]

    def scores(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Goal`: the margin against 0."""
        places = _places(outputs, y)
        m = self._kth(places.margins, places.counts)
        return torch.stack([m, torch.zeros_like(m)], 1), y.new_zeros(len(y))

    def energy(self, criterion: Criterion, outputs: Tensor, y: Tensor, rivals: Tensor) -> Tensor:
        places = _places(outputs, y)
        margins, counts = places.margins, places.counts
        if isinstance(criterion, OwnMargin):
            return self._kth(margins, counts)
        if isinstance(criterion, Margin):
            seen = margins.detach()
            nearest = seen <= self._kth(seen, counts)[:, None]
            return (margins.clamp_min(0) * (nearest & counts)).sum(1) / self._needed(counts)
        weights = counts & (margins.detach() >= 0) if isinstance(criterion, CrossEntropy) else counts
        return -(places.each(criterion) * weights).sum(1) / counts.sum(1)

    def risk(self, criterion: Criterion, outputs: Tensor, y: Tensor) -> Tensor:
        """See :class:`Goal`: the mean over the places that count."""
        places = _places(outputs, y)
        return (places.each(criterion) * places.counts).sum(1) / places.counts.sum(1)

    def divergence(self, reference: Tensor, outputs: Tensor) -> Tensor:
        """See :class:`Goal`: the mean over places of the KL between their classes."""
        return divergence(reference, outputs).flatten(1).mean(1)

    def _needed(self, counts: Tensor) -> Tensor:
        """Places that have to be wrong, ``[rows]``."""
        return torch.ceil(self.at_least * counts.sum(1).double() - 1e-9).clamp_min(1).long()

    def _kth(self, margins: Tensor, counts: Tensor) -> Tensor:
        ordered = margins.masked_fill(~counts, torch.inf).sort(1).values
        return ordered.gather(1, self._needed(counts)[:, None] - 1).squeeze(1)


def _places(outputs: Tensor, y: Tensor) -> Places:
    logits = outputs.flatten(2).transpose(1, 2).flatten(0, 1)
    counts, labels = (y >= 0).flatten(1), y.flatten().clamp_min(0)
    margin, rivals = against_rival(logits, labels)
    return Places(margin.reshape(counts.shape), counts, logits, labels, rivals)


@dataclass(frozen=True)
class Beyond(Goal):
    """A real answer is off by more than a tolerance: m = t - |output - y|.

    Outputs are ``[rows]`` or ``[rows, 1]``, labels are real numbers ``[rows]``.

    Args:
        tolerance: t, at least 0, in the units of the output.

    Raises:
        ValueError: if it is negative, infinite or NaN.

    >>> Beyond(0.5).margin(torch.tensor([2.0, 3.0]), torch.tensor([2.25, 2.0]))
    tensor([ 0.2500, -0.5000])
    """

    tolerance: float

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < math.inf:
            raise ValueError(f"A tolerance is a number of at least 0, got {self.tolerance!r}.")

    @property
    def name(self) -> str:
        return f"beyond={self.tolerance:g}"

    def labels(self, y: Any, x: Tensor) -> Tensor:
        found = rows_of(y, x)
        if found.shape not in ((x.shape[0],), (x.shape[0], 1)) or found.is_complex():
            raise ValueError(
                f"The labels of Beyond() are one real number per sample, [{x.shape[0]}], got {found.dtype} of shape "
                f"{tuple(found.shape)}."
            )
        found = (found if found.is_floating_point() else found.double()).reshape(-1)
        if not bool(found.isfinite().all()):
            raise ValueError("The labels of Beyond() must be finite; drop the rows without a value.")
        return found

    def check(self, outputs: Tensor, y: Tensor) -> None:
        if outputs.shape not in ((len(y),), (len(y), 1)):
            raise ValueError(
                f"Beyond() needs one real number per row, [rows] or [rows, 1], the model returns "
                f"{tuple(outputs.shape)}; choose one output in a wrapper."
            )

    def outputs(self, out: Tensor) -> Tensor:
        """See :class:`Goal`; an infinite answer of either sign is no number."""
        return out.masked_fill(out.isinf(), torch.nan)

    def energy(self, criterion: Criterion, outputs: Tensor, y: Tensor, rivals: Tensor) -> Tensor:
        """See :class:`Goal`: how far the answer is from wrong on the rival's side, for every criterion.

        Others are rising functions of it, and saturate where the units of the output are small.
        """
        scores, _ = self.scores(outputs, y)
        return -pick(scores, rivals)

    def scores(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Goal`: 0, and how far the answer is too high and too low."""
        off = outputs.reshape(-1) - y.to(outputs.dtype)
        zero = torch.zeros_like(off)
        return torch.stack([zero, off - self.tolerance, -off - self.tolerance], 1), zero.long()

    def divergence(self, reference: Tensor, outputs: Tensor) -> Tensor:
        """See :class:`Goal`: half the squared difference."""
        return (reference.reshape(-1) - outputs.reshape(-1)).square() / 2

    def answers(self, outputs: Tensor) -> list[Any]:
        return outputs.reshape(-1).double().tolist()

    def shown(self, y: Tensor) -> list[Any]:
        return y.double().tolist()
