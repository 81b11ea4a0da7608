"""Energies of a model's outputs: low where the adversary's goal is near."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import torch
from torch import Tensor

from maxslope._rows import asks_freely, select
from maxslope.criteria import Criterion, CrossEntropy
from maxslope.energies.base import Energy, Evaluation, gradients_of
from maxslope.energies.network import Call, Context, Model, Network
from maxslope.goals import Goal, Misclassified, Targeted

_TOGETHER = 1 << 18  # entries of points whose calls are looked at together: a look has a price of its own


class OfOutputs(Energy):
    """An energy of the outputs of a model, which is called in tiles, one forward (and backward) pass a row."""

    model: Model | Network
    context: Context
    widths: Tensor | None = None  # how far the kinks of the model are smoothed, [rows]

    @abstractmethod
    def from_outputs(self, outputs: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Return value, margin and whether the goal is reached, each ``[k]``, of the outputs ``[k, ...]``.

        Args:
            outputs: of calls of the model, without padding.
            rows: which of the energy's rows they belong to, one after the other.
        """

    def evaluate(self, x: Tensor) -> Evaluation:
        return self._through(x, gradient=True)

    def look(self, x: Tensor) -> Evaluation:
        return self._through(x, gradient=False)

    @property
    def passes(self) -> int:
        """See :class:`Energy`; as many as a random model has draws."""
        return self._network.answers

    @property
    def _network(self) -> Network:
        return self.model if isinstance(self.model, Network) else Network(self.model)

    def _through(self, x: Tensor, *, gradient: bool) -> Evaluation:
        network = self._network
        x, rows = x.detach(), x.shape[0]
        widths = self.widths if gradient else None
        if rows == (network.tile or rows) > 0 and network.answers == 1:
            return self._together(network, [Call(x, self.context, slice(0, rows), rows, widths)], gradient=gradient)
        calls = network.calls(x, self.context, widths)
        width = (network.tile or rows) if network.answers == 1 else network.answers
        # A captured graph of a GPU returns the same buffers at every call: one call is done with before the next.
        own = asks_freely(x)
        at_once = max(1, _TOGETHER // max(x[:1].numel() * width, 1)) if own else 1
        parts = []
        while group := list(islice(calls, at_once)):
            part = self._together(network, group, gradient=gradient)
            parts.append(part if own else part._replace(gradient=part.gradient.clone()))
        return parts[0] if len(parts) == 1 else Evaluation(*map(_joined, zip(*parts, strict=True)))

    def _together(self, network: Network, calls: Sequence[Call], *, gradient: bool) -> Evaluation:
        """Several calls of the model, one after the other, and one look at all their outputs."""
        with torch.set_grad_enabled(gradient):
            points = [call.x.requires_grad_(gradient) for call in calls]
            pairs = zip(points, calls, strict=True)
            answers = [_real(network.outputs(x, c.context, c.widths), c.real) for x, c in pairs]
            rows = slice(calls[0].rows.start, calls[-1].rows.stop)
            value, margin, reached = self._mean(_joined(answers), rows, network.answers)
            if gradient:
                network.executed.backward += sum(x.shape[0] for x in points)
                gradients = gradients_of(value, points)
                if network.answers > 1:
                    xi = torch.stack([g.sum(0) for g in gradients])
                else:
                    xi = _joined([_real(g, call.real) for g, call in zip(gradients, calls, strict=True)])
            else:
                xi = value.new_zeros(value.shape[0], 0)
        kind = calls[0].x.dtype  # outputs may be wider
        return Evaluation(value.detach().to(kind), xi.to(kind), margin.to(kind), reached)

    def _mean(self, outputs: Tensor, rows: slice, answers: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of outputs ``[k * answers, ...]`` mean value, median margin, and whether more than half reach the goal."""
        if answers == 1:
            return self.from_outputs(outputs, rows)
        parts = [self.from_outputs(one, rows) for one in outputs.reshape(-1, answers, *outputs.shape[1:]).unbind(1)]
        value, margin = (torch.stack(column) for column in list(zip(*parts, strict=True))[:2])
        middle = margin.sort(0).values[answers // 2]
        return value.mean(0), middle, middle < 0


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

    def take(self, index: Tensor) -> PerRow:
        """The criteria of the rows ``index``."""
        return PerRow(self.criteria, self.choice[index])

    def groups(self, rows: slice) -> list[Tensor]:
        """The places within ``rows`` that use each criterion; the device is asked once."""
        key = (rows.start, rows.stop)
        if key not in self._known:
            choice = self.choice[rows]
            self._known[key] = [(choice == j).nonzero().squeeze(1) for j in range(len(self.criteria))]
        return self._known[key]


@dataclass(frozen=True, eq=False)
class Loss(OfOutputs):
    """E(x) = -l(h(x), y): goes down as the adversary gains. Its goal is reached where the margin is negative.

    Gradients are taken by ``torch.autograd.grad`` with respect to the inputs only: no gradient reaches a weight, no
    hook or mode of the model changes.

    Args:
        model: a module or function from points to outputs, or a :class:`Network`.
        labels: ``[rows, ...]``; class numbers ``[rows]``, int64, for most goals.
        criterion: l, large where the model errs; see ``maxslope.criteria``. :class:`PerRow` for several.
        rivals: ``[rows]`` classes to raise, or None for the strongest wrong class at each point. -1 in a row also
            stands for the strongest.
        goal: what the adversary wants; see ``maxslope.goals``.
        context: tensors that the model gets after the points, row for row.
        widths: ``[rows]``, how far the kinks of the model are smoothed in its gradients, in units of rms, see
            ``energies.Graduated``; None for not at all.

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
    goal: Goal = field(default_factory=Misclassified)
    context: Context = ()
    widths: Tensor | None = None

    def smoothed(self, widths: Tensor) -> Loss:
        return replace(self, widths=widths)

    def take(self, index: Tensor) -> Loss:
        rivals = None if self.rivals is None else self.rivals[index]
        criterion = self.criterion.take(index) if isinstance(self.criterion, PerRow) else self.criterion
        context = tuple(select(t, index) for t in self.context)
        widths = None if self.widths is None else self.widths[index]
        y = self.labels[index]
        return replace(self, labels=y, rivals=rivals, criterion=criterion, context=context, widths=widths)

    def from_outputs(self, outputs: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        y = self.labels[rows]
        if not isinstance(self.model, Network):  # whoever made one has looked at its outputs already
            self.goal.check(outputs.detach(), y)
        outputs = self.goal.outputs(outputs)
        margin, rivals = self.goal.compete(outputs.detach(), y)
        if self.rivals is not None:
            wanted = self.rivals[rows]
            rivals = torch.where(wanted >= 0, wanted, rivals)
        return self._value(rows, outputs, y, rivals), margin, margin < 0

    def _value(self, rows: slice, outputs: Tensor, y: Tensor, rivals: Tensor) -> Tensor:
        """The energy of some rows; where criteria differ, each sees only its own rows."""
        if not isinstance(self.criterion, PerRow):
            return self.goal.energy(self.criterion, outputs, y, rivals)
        value = outputs.new_zeros(outputs.shape[0])
        for one, index in zip(self.criterion.criteria, self.criterion.groups(rows), strict=True):
            if index.numel():
                own = self.goal.energy(one, outputs[index], y[index], rivals[index])
                value = value.index_copy(0, index, own)
        return value


def TargetedLoss(  # noqa: N802
    model: Model | Network, targets: Tensor, criterion: Criterion | PerRow | None = None
) -> Loss:
    """Return E(x) = l(h(x), t): goes down as the model moves to the target class. Its goal: argmax h(x) = t.

    Args:
        model: a module or function from points to logits, or a :class:`Network`.
        targets: ``[rows]``, int64.
        criterion: l, small where the model answers t; see ``maxslope.criteria``.

    Source: arXiv:2406.05376, section 3; targeted attacks are another goal, not a flag.

    >>> energy = TargetedLoss(torch.nn.Linear(4, 3).eval(), torch.tensor([0, 1]))
    >>> energy.look(torch.zeros(2, 4)).value.shape
    torch.Size([2])
    """
    return Loss(model, targets, criterion or CrossEntropy(), goal=Targeted())


@dataclass(frozen=True, eq=False)
class Divergence(OfOutputs):
    """E(x) = -D(reference, h(x)), D the divergence of the goal: goes down as the answer leaves the reference.

    Its gradient is zero where h(x) equals the reference, so that a flow from a clean point needs a start beside it.

    Args:
        model: a module or function from points to outputs, or a :class:`Network`.
        reference: outputs, ``[rows, ...]``; a constant.
        goal: what the answers are; KL(softmax(reference) || softmax(h(x))) for classes.
        context: tensors that the model gets after the points, row for row.

    Source: arXiv:1901.08573, equation (5) (the inner problem of TRADES).
    """

    model: Model | Network
    reference: Tensor
    goal: Goal = field(default_factory=Misclassified)
    context: Context = ()

    def take(self, index: Tensor) -> Divergence:
        context = tuple(select(t, index) for t in self.context)
        return replace(self, reference=select(self.reference, index), context=context)

    def from_outputs(self, outputs: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """See :class:`OfOutputs`; no goal is reached."""
        value = -self.goal.divergence(self.reference[rows], outputs)
        return value, value.detach(), torch.zeros_like(value, dtype=torch.bool)
