"""The model as everything behind it sees it: one guard that every verb calls it through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from maxslope import _checks

Model = Callable[..., Tensor]
Context = tuple[Tensor, ...]


class Call(NamedTuple):
    """One call of a model.

    Attributes:
        x: the points, ``[tile, *shape]``, padding included.
        context: what goes with them, row for row.
        rows: which rows of all points they are.
        real: how many of them are not padding.
    """

    x: Tensor
    context: Context
    rows: slice
    real: int


@dataclass(frozen=True, eq=False)
class Network:
    """A model seen as a map from points to outputs ``[rows, ...]``, called in tiles of one fixed number of rows.

    A row's outputs then do not depend, not in the last bit, on how many rows stand beside it: kernels choose their
    order of summation by the shape of the call, and the shape is always the same. Missing rows are filled up with
    copies of the last one. Where the kernels of a processor round by the position of a row in its call (MKL's on some,
    for layers whose width is no multiple of 8), the last bits differ.

    Every call of the model is made here, and counted here.

    Args:
        model: maps ``[rows, *shape]``, and the context if there is one, to ``[rows, ...]``.
        tile: rows per call; None calls the model with whatever number of rows there is.

    Attributes:
        executed: rows of all calls so far, padding included: forward, and with a backward pass.
    """

    model: Model
    tile: int | None = None
    executed: list[int] = field(default_factory=lambda: [0, 0], repr=False)

    def outputs(self, x: Tensor, context: Context = ()) -> Tensor:
        """Return the outputs of one call, ``[rows, ...]``.

        Raises:
            TypeError: if the model returns no tensor.
            ValueError: if it does not return one row for each point.
        """
        self.executed[0] += x.shape[0]
        out: Any = self.model(x, *context)
        _checks.outputs(out, x.shape[0])
        result: Tensor = out
        return result

    def calls(self, x: Tensor, context: Context = ()) -> Iterator[Call]:
        """Yield the calls that points ``[rows, *shape]`` and their context take."""
        size = self.tile or max(x.shape[0], 1)
        for start in range(0, x.shape[0], size):
            parts = [t if size >= t.shape[0] else t[start : start + size] for t in (x, *context)]
            real = parts[0].shape[0]
            if self.tile and real < size:
                parts = [torch.cat([t, t[-1:].expand(size - real, *t.shape[1:])]) for t in parts]
            yield Call(parts[0], tuple(parts[1:]), slice(start, start + real), real)

    def all_outputs(self, x: Tensor, context: Context = ()) -> Tensor:
        """Return the outputs of any number of points without gradient."""
        with torch.no_grad():
            return torch.cat([self.outputs(call.x, call.context)[: call.real] for call in self.calls(x, context)])
