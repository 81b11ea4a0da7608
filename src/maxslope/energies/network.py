"""The model as everything behind it sees it: one guard that every verb calls it through."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from maxslope import _checks, _random
from maxslope._rows import flat
from maxslope.energies import _inspection
from maxslope.energies.randomized import Randomized, seeded
from maxslope.energies.smoothing import smoothing

Model = Callable[..., Tensor]
Context = tuple[Tensor, ...]


class Passes(NamedTuple):
    """Forward and backward passes of whole calls of a model, in rows, padding included."""

    forward: int
    backward: int


class Tally:
    """Counts the passes of whole calls of a model, and notes whether kinks were met where gradients smooth them."""

    def __init__(self) -> None:
        self.forward, self.backward, self.kinks = 0, 0, False

    def passes(self) -> Passes:
        """Return what was made so far."""
        return Passes(self.forward, self.backward)

    def __getitem__(self, place: int) -> int:
        """Return the number at a place, as of the list that was here until 0.4."""
        warnings.warn(
            "Network.executed has names: executed.forward, executed.backward.", DeprecationWarning, stacklevel=2
        )
        return self.passes()[place]


class Call(NamedTuple):
    """One call of a model.

    Attributes:
        x: the points, ``[tile, *shape]``, padding included.
        context: what goes with them, row for row.
        rows: which rows of all points they are.
        real: how many of them are not padding.
        widths: how far the kinks of the model are smoothed backward, row for row; None for not at all.
    """

    x: Tensor
    context: Context
    rows: slice
    real: int
    widths: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Network:
    """A model seen as a map from points to outputs ``[rows, ...]``, called in tiles of one fixed number of rows.

    A row's outputs then do not depend, not in the last bit, on how many rows stand beside it: kernels choose their
    order of summation by the shape of the call, and the shape is always the same. Missing rows are filled up with
    copies of the last one. Where the kernels of a processor round by the position of a row in its call (MKL's on some,
    for layers whose width is no multiple of 8), the last bits differ.

    Every call of the model is made here, and counted here. The model gets copies, so that what it changes in place is
    nobody else's. It is called as the caller would call it there: under his autocast, if there is one; but
    ``inference_mode`` is left, for gradients exist. Outputs come back in the wider of their own dtype and that of the
    points: narrowing them could change a sign, and a verdict is a sign.

    Args:
        model: maps ``[rows, *shape]``, and the context if there is one, to ``[rows, ...]``.
        tile: rows per call; None calls the model with whatever number of rows there is.
        voting: of a :class:`Randomized` model, whether answers are those of a verdict, not of the search.

    Attributes:
        executed: counts the passes of all calls.
        notes: what :meth:`inspect` found that is no reason to refuse the model, in sentences.

    >>> network = Network(lambda z: z.mul_(2).half(), tile=4)
    >>> x = torch.tensor([[1.0, 2.0]])
    >>> network.all_outputs(x), x, network.executed.passes()
    (tensor([[2., 4.]]), tensor([[1., 2.]]), Passes(forward=4, backward=0))
    """

    model: Model
    tile: int | None = None
    voting: bool = False
    executed: Tally = field(default_factory=Tally, repr=False)
    notes: list[str] = field(default_factory=list, repr=False)

    def outputs(self, x: Tensor, context: Context = (), widths: Tensor | None = None) -> Tensor:
        """Return the outputs of one call, ``[rows, ...]``, floating point and at least as precise as ``x``.

        Args:
            x: the points.
            context: what goes with them.
            widths: how far the kinks of the model are smoothed backward, see ``energies.smoothing``.

        Raises:
            TypeError: if the model returns no tensor, or one that is not of floating point.
            ValueError: if it does not return one row for each point.
        """
        out = self.raw(x, context, widths)
        dtype = torch.promote_types(out.dtype, x.dtype)
        # Without gradients a model may return the same buffer at every call (a captured graph does): copy it.
        return out.to(device=x.device, dtype=dtype, copy=not out.requires_grad)

    def raw(self, x: Tensor, context: Context = (), widths: Tensor | None = None) -> Tensor:
        """Return the outputs of one call as the model gives them, checked; see :meth:`outputs`."""
        self.executed.forward += x.shape[0]
        with ExitStack() as modes:
            _as_called(modes, x)
            if isinstance(self.model, Randomized):
                modes.enter_context(seeded(self._key(x), x.device))
            smooth = modes.enter_context(smoothing(widths))
            try:
                out: Any = self.model(x.clone(), *(t.clone() for t in context))
            except RuntimeError as error:
                _inspection.known_failure(error, x)
                raise
        self.executed.kinks |= smooth is not None and smooth.met
        _checks.outputs(out, x.shape[0])
        result: Tensor = out
        return result

    def calls(self, x: Tensor, context: Context = (), widths: Tensor | None = None) -> Iterator[Call]:
        """Yield the calls that points ``[rows, *shape]`` and their context take; of a random model, one for each."""
        along = context if widths is None else (*context, widths)
        count = len(context)
        if isinstance(self.model, Randomized):
            for row in range(x.shape[0]):
                x_, *rest = (t[row : row + 1].expand(self.answers, *t.shape[1:]).clone() for t in (x, *along))
                yield Call(x_, tuple(rest[:count]), slice(row, row + 1), self.answers, *rest[count:])
            return
        size = self.tile or max(x.shape[0], 1)
        for start in range(0, x.shape[0], size):
            parts = [t if size >= t.shape[0] else t[start : start + size] for t in (x, *along)]
            real = parts[0].shape[0]
            if self.tile and real < size:
                parts = [torch.cat([t, t[-1:].expand(size - real, *t.shape[1:])]) for t in parts]
            x_, *rest = parts
            yield Call(x_, tuple(rest[:count]), slice(start, start + real), real, *rest[count:])

    @property
    def answers(self) -> int:
        """How many answers the model gives for each row: 1, unless it is :class:`Randomized`."""
        if not isinstance(self.model, Randomized):
            return 1
        return self.model.votes if self.voting else self.model.draws

    def all_outputs(self, x: Tensor, context: Context = ()) -> Tensor:
        """Return the outputs of any number of points without gradient, ``[rows * answers, ...]``."""
        with torch.no_grad():
            return torch.cat([self.outputs(call.x, call.context)[: call.real] for call in self.calls(x, context)])

    def _key(self, x: Tensor) -> int:
        """What the answers at a point are seeded with: the bits of the point, the seed, and what they are for."""
        assert isinstance(self.model, Randomized)
        content = _random.keys_of_points(flat(x[:1]))
        return int(_random.keys(self.model.seed, content, int(self.voting))[0])

    def inspect(self, x: Tensor, context: Context = (), *, logits: bool = True) -> tuple[Tensor, Tensor]:
        """Find out, with two or three calls, whether the model is what a search assumes.

        Rows are shown again in other places and other company. Outputs that change by more than rounding belong to a
        model that is random, which is noted, or to one whose rows are no strangers, which is refused with the name
        of the layer, where it can be found. Probabilities in many columns are noted, in one column refused: their sign
        says nothing.

        Args:
            x: clean points, ``[rows, *shape]``.
            context: what goes with them.
            logits: whether outputs are meant as logits of classes; False leaves probabilities alone.

        Returns:
            The outputs of some rows of ``x``, ``[k, ...]``, and which rows they are, ``[k]``.

        Raises:
            ValueError: if a row's output depends on its company; if the model works on all rows, but not on calls of
                ``tile`` rows; if its only output is a probability; if it is random and in training mode.

        >>> Network(lambda z: z - z.mean(0), tile=4).inspect(torch.rand(3, 2))
        Traceback (most recent call last):
        ValueError: A row's output depends on the rows beside it...
        """
        if isinstance(self.model, Randomized):
            first = tuple(t[:1] for t in context)
            return self.all_outputs(x[:1], first)[:1], torch.zeros(1, dtype=torch.int64, device=x.device)
        with torch.no_grad():
            shown = _inspection.Shown(self.model, self.tile, self.notes, self.raw, self.outputs, x, context)
            return _inspection.inspect(shown, logits=logits)


def _as_called(modes: ExitStack, x: Tensor) -> None:
    """Enter what a call of the model needs: gradients as ``x`` wants them, and an outer autocast without its memory.

    Weights that an autocast casts and remembers without gradients would leave the caller's next call without them.
    """
    if torch.is_inference_mode_enabled():
        modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.set_grad_enabled(x.requires_grad))
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        modes.enter_context(torch.autocast(kind, dtype=dtype, cache_enabled=False))
