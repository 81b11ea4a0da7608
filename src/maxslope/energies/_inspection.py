"""What a few calls of a model tell: whether a row's output depends on its company, on chance, or is a probability."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from maxslope import _checks
from maxslope._escape import first_line
from maxslope.energies._culprit import Rows, culprit

_ROUNDING = 1e-3  # a change of outputs, relative to their size, that may be rounding
_LOW = 0.05  # likewise where half precision is seen
_HIDDEN = 0.01  # likewise where it may be hidden in the model
_MATTERS = 0.05  # a change of outputs, relative to how they differ between samples, that makes verdicts untrue
_SHAPES = re.compile(
    r"shapes cannot be multiplied|to have \d+ channels|singleton dimension [1-9]|size mismatch|"
    r"invalid for input of size|greater than actual input size|too small|to have \d+ elements|normalized_shape"
)
_AT_ONCE = 1024  # rows that may be tried in one call when a call of a tile's rows fails

# Steps of autograd that move, cut, cast or clamp numbers, without making others of them.
_SAME_NUMBERS = {
    "Alias", "AsStrided", "Clamp", "ClampMax", "ClampMin", "Clone", "Flatten", "Index", "Permute", "Reshape",
    "ReshapeAlias", "Select", "Slice", "Squeeze", "T", "ToCopy", "Transpose", "UnsafeView", "Unsqueeze", "View",
}  # fmt: skip


Context = tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Shown:
    """A model, by what a :class:`maxslope.energies.Network` does with it, and points shown to it in this company."""

    model: Any
    tile: int | None
    notes: list[str]
    raw: Callable[[Tensor, Context], Tensor]
    outputs: Callable[[Tensor, Context], Tensor]
    x: Tensor
    context: Context

    def at(self, rows: Rows) -> tuple[Tensor, Context]:
        """The given rows of the points, and of what goes with them."""
        return self.x[rows], tuple(t[rows] for t in self.context)

    def ask(self, rows: Rows) -> Tensor:
        """The outputs ``[places, numbers]`` of a call with the given rows, in float64."""
        return _numbers(self.outputs(*self.at(rows)))

    def note(self, sentence: str) -> None:
        """Keep a finding, and say it."""
        self.notes.append(sentence)
        _checks.warn(sentence)


def _numbers(out: Tensor) -> Tensor:
    """Outputs as ``[places, numbers]`` in float64."""
    return out.detach().double().reshape(out.shape[0], -1)


def known_failure(error: RuntimeError, x: Tensor) -> None:
    """Raise with the way out if a model failed for a reason that torch states without it."""
    if "Can't call numpy()" in str(error):
        raise ValueError(
            "The model does not depend differentiably on its inputs: it calls numpy, which no gradient passes. Write "
            "that step in torch, or search without gradients: x.detach().numpy() inside and "
            "recipe=ms.recipes.square(1000)."
        ) from error
    if "Inference tensors cannot be" in str(error):
        raise ValueError(
            "The model holds tensors made in torch.inference_mode(), which autograd cannot use; make them outside, or "
            "take clones made outside."
        ) from error
    if _SHAPES.search(str(error)):
        what, way = f"inputs of shape {tuple(x.shape[1:])}", "as it was made for"
        if x.ndim == 4:
            what = f"images of {x.shape[2]} x {x.shape[3]} pixels and {x.shape[1]} channel{'s' * (x.shape[1] != 1)}"
            way = "of the size and channels it was made for; --size scales the images of files"
            if x.shape[1] == 3 and bool((x == x[:, :1]).all()):
                way += ". These are gray: a model of one channel takes them as lambda x: model(x[:, :1])"
        raise ValueError(
            f"The model fails on {what} ({type(error).__name__}: {first_line(error)[:200]}): give it inputs {way}."
        ) from error


def inspect(rows: Shown, *, logits: bool) -> tuple[Tensor, Rows]:
    """See :meth:`maxslope.energies.Network.inspect`."""
    count, device = rows.x.shape[0], rows.x.device
    size = rows.tile or count
    shown = min(size, count)
    chosen = torch.arange(shown, device=device) * count // shown  # from all over a sorted data set
    standard = chosen[torch.arange(size, device=device).clamp_max(shown - 1)]
    try:
        out = rows.outputs(*rows.at(standard))
    except Exception as error:
        _works_on_all(rows, size, error)
        error.add_note(f"This was the first call of the model, of {size} rows; tensors with rows go along as context.")
        raise
    first = _numbers(out)
    _company(rows, standard, shown, first)
    if logits:
        _probabilities(rows, standard, first[:shown])
    return out[:shown], chosen


def _works_on_all(rows: Shown, size: int, error: Exception) -> None:
    """Raise if the failure of a call of ``size`` rows is one of its number of rows."""
    count = rows.x.shape[0]
    if count == size or count > _AT_ONCE:
        return
    try:
        rows.raw(rows.x, rows.context)
    except Exception:
        return
    said = error.__cause__ or error  # in the model's own words
    raise ValueError(
        f"The model works on all {count} rows, but fails on a call of {size} ({type(said).__name__}: "
        f"{str(said)[:200]}). It is called with batch_size rows at a time. Tensors that belong to the rows (a second "
        "input, lengths, masks) go along as context=(...), and are moved with them; a model made for calls of one size "
        f"takes batch_size={count}."
    ) from error


# --- company and chance -----------------------------------------------------------------------------------------------


def _company(rows: Shown, standard: Rows, shown: int, first: Tensor) -> None:
    """Compare the rows of a first call with the same rows in other places and company."""
    size, places = standard.shape[0], torch.arange(standard.shape[0], device=standard.device)
    scale, other = _Scale.of(first), places
    copies = first[places.clamp_max(shown - 1)]  # what padding repeats
    worst = scale.apart(first if size > 1 else rows.ask(standard), copies)
    for half in _halves(first[:shown]):
        if worst.untrue(_LOW):
            break
        other = half[(places + 1) % half.shape[0]]  # each several times, and in other places
        worst = worst.or_more(scale.apart(rows.ask(standard[other]), first[other]))
    if worst.by_size <= _ROUNDING and shown < size:
        other = places[:shown]
        worst = _without_padding(rows, standard[:shown], scale, first[:shown])
    if worst.by_size <= _ROUNDING:
        return
    again = scale.apart(rows.ask(standard), first)
    if again.by_size > 0.1 * worst.by_size:
        _random(rows, again)
        return
    low = _low(rows, standard)
    if worst.untrue(_LOW if low else _HIDDEN):
        raise ValueError(_dependent(rows, standard, other, worst))
    if not low:
        rows.note(
            f"A row's outputs change {worst} with the rows beside it: low precision inside the model, or rows that "
            "depend on each other a little; verdicts near the boundary may depend on the call.",
        )


def _halves(out: Tensor) -> tuple[Rows, ...]:
    """The rows with small and those with large outputs: what is common to a call (a mean, a maximum) differs most."""
    if out.shape[0] == 1:
        return ()
    known = out.nan_to_num(0, 0, 0)
    order = known[:, (known.amax(0) - known.amin(0)).argmax()].argsort()
    return order.tensor_split(2)


def _without_padding(rows: Shown, chosen: Rows, scale: _Scale, first: Tensor) -> _Apart:
    """How far outputs are from those of a call with no padding, as the caller would make it; 0 where that fails."""
    try:
        return scale.apart(rows.ask(chosen), first)
    except Exception:  # a model made for calls of one size
        return _Apart(0.0, 0.0)


class _Apart(NamedTuple):
    """How far two answers to the same rows are apart, relative to the size of outputs and to their differences."""

    by_size: float
    by_spread: float

    def untrue(self, rounding: float) -> bool:
        """Whether verdicts would be untrue."""
        return self.by_size > rounding and self.by_spread > _MATTERS

    def or_more(self, other: _Apart) -> _Apart:
        """The larger of both."""
        return _Apart(max(self.by_size, other.by_size), max(self.by_spread, other.by_spread))

    def __str__(self) -> str:
        return f"by up to {self.by_size:.2g} of their size" if math.isfinite(self.by_size) else "to or from NaN"


@dataclass(frozen=True, eq=False)
class _Scale:
    """What differences of outputs ``[places, numbers]`` are compared with, a number for each column.

    A column that is almost constant has the scale of a usual one; one that is huge (-1e9 for a class that is excluded)
    does not hide the others.
    """

    size: Tensor
    spread: Tensor

    @classmethod
    def of(cls, out: Tensor) -> _Scale:
        """The scale of outputs; of a single row, or of equal ones, nothing but the size is known."""
        known = out.nan_to_num(0, 0, 0)
        size, spread = _usual(known.abs().amax(0)), _usual(known.amax(0) - known.amin(0))
        return cls(size, torch.where(spread > 1e-4 * size, spread, size))

    def apart(self, now: Tensor, then: Tensor) -> _Apart:
        """Compare two answers to the same rows."""
        same = (now == then) | (now.isnan() & then.isnan())
        gap = torch.where(same, 0, (now - then).abs().nan_to_num(nan=torch.inf, posinf=torch.inf)).amax(0)
        return _Apart(float((gap / self.size).amax()), float((gap / self.spread).amax()))


def _usual(of_columns: Tensor) -> Tensor:
    return of_columns.maximum(of_columns.median()).clamp_min(torch.finfo(torch.float32).tiny)


def _low(rows: Shown, standard: Rows) -> bool:
    """Whether points or outputs are in a precision in which rounding alone may be seen."""
    answers = rows.raw(*rows.at(standard))
    return min(torch.finfo(t.dtype).bits for t in (rows.x, answers)) < 32


def _random(rows: Shown, apart: _Apart) -> None:
    """Note a model that answers the same call in two ways."""
    model = rows.model
    if isinstance(model, nn.Module) and any(m.training for m in model.modules()):
        raise ValueError(
            f"The model is in training mode, and the outputs of two identical calls differ {apart}; call model.eval() "
            "first."
        )
    rows.note(
        f"The model is random, or changes its own state: the outputs of two identical calls differ {apart}. A verdict "
        "on it is one draw; ms.Randomized(model, draws=8, votes=64) averages gradients over draws and takes votes.",
    )


def _dependent(rows: Shown, standard: Rows, other: Rows, worst: _Apart) -> str:
    found = culprit(rows.model, rows.ask, standard, other)
    where = f", first in {found}" if found else ""
    return (
        f"A row's output depends on the rows beside it, or on its place among them{where}: the outputs of the same "
        f"samples change {worst} in another call. A verdict on a sample would be one on its company. Statistics of the "
        "batch in evaluation mode: use running ones (track_running_stats=True). A function that holds a tensor with a "
        "row for each sample: hand it over as context=(...), which is moved with the rows. Otherwise batch_size=1 asks "
        "the model about each sample by itself."
    )


# --- probabilities ----------------------------------------------------------------------------------------------------


def _probabilities(rows: Shown, standard: Rows, out: Tensor) -> None:
    """Refuse a probability in one column, note those in many."""
    if not bool(out.isfinite().all()) or not bool(((out >= 0) & (out <= 1)).all()):
        return
    if out.shape[1] > 1:
        if out.shape[0] > 1 and bool(((out.sum(1) - 1).abs() < 1e-3).all()):
            rows.note(_checks.PROBABILITIES)
        return
    if _ends_in_a_probability(rows, standard):
        raise ValueError(
            f"The model's only output is a probability (from a sigmoid or softmax, {float(out.min()):.3g} to "
            f"{float(out.max()):.3g}), but is taken for a logit: class 1 where it is positive, so everywhere. Remove "
            "the sigmoid, or wrap the model as lambda x: torch.logit(model(x), eps=1e-6). If these numbers are logits "
            "all the same: lambda x: 1 * model(x)."
        )
    if out.shape[0] > 3 and bool((out != out[0]).any()):
        rows.note(
            "The model's only output lies in [0, 1] for all samples seen, as a probability does, but is taken for a "
            "logit: class 1 where it is positive. If it is a probability, wrap the model as lambda x: "
            "torch.logit(model(x), eps=1e-6).",
        )


def _ends_in_a_probability(rows: Shown, standard: Rows) -> bool:
    """Whether autograd says that the outputs come from a sigmoid or a softmax, and nothing has changed them since."""
    try:
        with torch.enable_grad():
            part, context = rows.at(standard)
            node = rows.raw(part.detach().requires_grad_(), context).grad_fn
    except Exception:  # a model that takes no gradients
        return False
    while node is not None:
        kind = type(node).__name__.partition("Backward")[0]
        if kind in ("Sigmoid", "Softmax"):
            return True
        node = node.next_functions[0][0] if kind in _SAME_NUMBERS and node.next_functions else None
    return False
