"""Energies of a classifier: minus a loss, for an adversary who wants an error; plus a loss, for one with a target."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import torch
from torch import Tensor

from maxslope import _checks
from maxslope.energies.base import Energy, Evaluation, gradients_of
from maxslope.energies.criteria import Criterion, CrossEntropy, against_rival

Model = Callable[[Tensor], Tensor]
Call = tuple[Tensor, slice, int]  # the points of a call, the rows they are, how many of them are not padding

_TOGETHER = 1 << 18  # entries of the points of calls whose logits are looked at together: a look has a price of its own


@dataclass(frozen=True, eq=False)
class Network:
    """A model seen as a map from points to logits ``[rows, classes]``, called in tiles of one fixed number of rows.

    A row's logits then do not depend, not in the last bit, on how many rows stand beside it: kernels choose their
    order of summation by the shape of the call, and the shape is always the same. Missing rows are filled up with
    copies of the last one. One-output binary models become two logits (0, z). Where the kernels of a processor round by
    the position of a row in its call (MKL's on some, for layers whose width is no multiple of 8), the last bits differ.

    Args:
        model: maps ``[rows, *shape]`` to ``[rows, classes]``, ``[rows, 1]`` or ``[rows]``.
        tile: rows per call; None calls the model with whatever number of rows there is.
        largest_label: checked against the number of classes at every call.
    """

    model: Model
    tile: int | None = None
    largest_label: int = 0
    _inspected: list[bool] = field(default_factory=list, repr=False)

    def logits(self, x: Tensor) -> Tensor:
        """Return ``[rows, classes]`` for one call's worth of points."""
        out = self.model(x)
        _checks.logits(out, x.shape[0])
        out = as_logits(out)
        _checks.classes(self.largest_label, out.shape[1])
        if not self._inspected:
            self._inspected.append(True)
            _checks.not_probabilities(out.detach())
        return out

    def calls(self, x: Tensor) -> Iterator[Call]:
        """Yield (points of one call, the rows they are, how many of them are not padding)."""
        size = self.tile or max(x.shape[0], 1)
        for start in range(0, x.shape[0], size):
            part = x if size >= x.shape[0] else x[start : start + size]
            real = part.shape[0]
            if self.tile and real < size:
                part = torch.cat([part, part[-1:].expand(size - real, *part.shape[1:])])
            yield part, slice(start, start + real), real

    def all_logits(self, x: Tensor) -> Tensor:
        """Return the logits of any number of points without gradient."""
        with torch.no_grad():
            return torch.cat([self.logits(part)[:real] for part, _, real in self.calls(x)])


def as_logits(out: Tensor) -> Tensor:
    """Return outputs ``[rows, classes]`` as they are, and one-output binary ones as the two logits (0, z).

    >>> as_logits(torch.tensor([3.0]))
    tensor([[0., 3.]])
    """
    if out.ndim > 1 and out.shape[1] > 1:
        return out
    z = out.reshape(-1)
    return torch.stack([torch.zeros_like(z), z], 1)


class OfLogits(Energy):
    """An energy of the logits of a model, which is called in tiles, one forward (and backward) pass a row."""

    model: Model | Network

    @abstractmethod
    def from_logits(self, logits: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Return value, margin and whether the goal is reached, each ``[k]``, of the logits ``[k, classes]``.

        Args:
            logits: of calls of the model, without padding.
            rows: which of the energy's rows they belong to, one after the other.
        """

    def evaluate(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`."""
        return self._through(x, gradient=True)

    def look(self, x: Tensor) -> Evaluation:
        """See :class:`Energy`."""
        return self._through(x, gradient=False)

    @property
    def passes(self) -> int:
        """See :class:`Energy`."""
        return 1

    def _through(self, x: Tensor, *, gradient: bool) -> Evaluation:
        network = self.model if isinstance(self.model, Network) else Network(self.model)
        x, rows = x.detach(), x.shape[0]
        if rows == (network.tile or rows) > 0:
            return self._together(network, [(x, slice(0, rows), rows)], gradient=gradient)
        calls = network.calls(x)
        at_once = max(1, _TOGETHER // max(x[:1].numel() * (network.tile or rows), 1))
        parts = []
        while group := list(islice(calls, at_once)):
            parts.append(self._together(network, group, gradient=gradient))
        return parts[0] if len(parts) == 1 else Evaluation(*map(_joined, zip(*parts, strict=True)))

    def _together(self, network: Network, calls: Sequence[Call], *, gradient: bool) -> Evaluation:
        """Several calls of the model, one after the other, and one look at all their logits."""
        with torch.set_grad_enabled(gradient):
            points = [part.requires_grad_(gradient) for part, _, _ in calls]
            logits = _joined([_real(network.logits(part), real) for part, _, real in calls])
            value, margin, reached = self.from_logits(logits, slice(calls[0][1].start, calls[-1][1].stop))
            if gradient:
                whole = zip(gradients_of(value, points), calls, strict=True)
                xi = _joined([_real(g, real) for g, (_, _, real) in whole])
            else:
                xi = value.new_zeros(value.shape[0], 0)
        return Evaluation(value.detach(), xi, margin, reached)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _real(rows: Tensor, count: int) -> Tensor:
    """The rows that are not padding; a slice of all of them would cost a pass backward."""
    return rows if count == rows.shape[0] else rows[:count]


@dataclass(frozen=True, eq=False)
class PerRow:
    """Criteria that differ by row: row i uses ``criteria[choice[i]]``.

    Args:
        criteria: the criteria.
        choice: ``[rows]`` int64, indices into ``criteria``.
    """

    criteria: Sequence[Criterion]
    choice: Tensor
    _known: dict[tuple[int, int], list[Tensor]] = field(default_factory=dict, init=False, repr=False)

    def groups(self, rows: slice) -> list[Tensor]:
        """The places within ``rows`` that use each criterion; the device is asked once."""
        key = (rows.start, rows.stop)
        if key not in self._known:
            choice = self.choice[rows]
            self._known[key] = [(choice == j).nonzero().squeeze(1) for j in range(len(self.criteria))]
        return self._known[key]


@dataclass(frozen=True, eq=False)
class Loss(OfLogits):
    """E(x) = -l(h(x), y): goes down as the model errs. Its goal: argmax h(x) differs from y.

    Gradients are taken by ``torch.autograd.grad`` with respect to the inputs only: no gradient reaches a weight, no
    hook or mode of the model changes.

    Args:
        model: a module or function from points to logits, or a :class:`Network`.
        labels: ``[rows]``, int64.
        criterion: l, large where the model errs; see ``maxslope.energies.criteria``. :class:`PerRow` for several.
        rivals: ``[rows]`` classes to raise, or None for the strongest wrong class at each point. -1 in a row also
            stands for the strongest.

    Source: arXiv:2406.05376, section 3.

    >>> import maxslope as ms
    >>> _ = torch.manual_seed(0)
    >>> energy = Loss(torch.nn.Linear(4, 3).eval(), torch.tensor([0, 1]))
    >>> energy.evaluate(torch.zeros(2, 4)).gradient.shape
    torch.Size([2, 4])
    """

    model: Model | Network
    labels: Tensor
    criterion: Criterion | PerRow = field(default_factory=CrossEntropy)
    rivals: Tensor | None = None

    def take(self, index: Tensor) -> Loss:
        """See :class:`Energy`."""
        rivals = None if self.rivals is None else self.rivals[index]
        criterion = _take_criterion(self.criterion, index)
        return replace(self, labels=self.labels[index], rivals=rivals, criterion=criterion)

    def from_logits(self, logits: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """See :class:`OfLogits`."""
        labels, seen = self.labels[rows], logits.detach()
        margin, rivals = against_rival(seen, labels)
        if self.rivals is not None:
            wanted = self.rivals[rows]
            rivals = torch.where(wanted >= 0, wanted, rivals)
        loss = _apply(self.criterion, rows, logits, labels, rivals)
        return -loss, margin, seen.argmax(1) != labels


@dataclass(frozen=True, eq=False)
class TargetedLoss(OfLogits):
    """E(x) = l(h(x), t): goes down as the model moves to the target class. Its goal: argmax h(x) = t.

    Args:
        model: a module or function from points to logits, or a :class:`Network`.
        targets: ``[rows]``, int64.
        criterion: l, small where the model answers t; see ``maxslope.energies.criteria``.

    Source: arXiv:2406.05376, section 3; targeted attacks are another energy, not a flag.
    """

    model: Model | Network
    targets: Tensor
    criterion: Criterion | PerRow = field(default_factory=CrossEntropy)

    def take(self, index: Tensor) -> TargetedLoss:
        """See :class:`Energy`."""
        return replace(self, targets=self.targets[index], criterion=_take_criterion(self.criterion, index))

    def from_logits(self, logits: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """See :class:`OfLogits`."""
        targets, seen = self.targets[rows], logits.detach()
        lead, rivals = against_rival(seen, targets)
        return _apply(self.criterion, rows, logits, targets, rivals), -lead, seen.argmax(1) == targets


def _take_criterion(criterion: Criterion | PerRow, index: Tensor) -> Criterion | PerRow:
    return PerRow(criterion.criteria, criterion.choice[index]) if isinstance(criterion, PerRow) else criterion


def _apply(criterion: Criterion | PerRow, rows: slice, logits: Tensor, labels: Tensor, rivals: Tensor) -> Tensor:
    """The criterion of some rows; where criteria differ, each sees only its own rows."""
    if not isinstance(criterion, PerRow):
        return criterion(logits, labels, rivals)
    loss = logits.new_zeros(logits.shape[0])
    for one, index in zip(criterion.criteria, criterion.groups(rows), strict=True):
        if index.numel():
            loss = loss.index_copy(0, index, one(logits[index], labels[index], rivals[index]))
    return loss
