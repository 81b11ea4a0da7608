"""What labels are that are no class numbers, one for each row, and how they become others: words for ``_checks``."""

from __future__ import annotations

from typing import Any

from torch import Tensor

_REAL = "real numbers that a model is to meet are given with goal=ms.goals.Beyond(tolerance)"
_SEVERAL = "where a sample has several labels, give them as they are, 0 or 1, with goal=ms.goals.AnyLabel()"
_PLACES = "a mask, with a class number for each place of a sample, is given with goal=ms.goals.Share(0.5)"


def not_a_tensor(y: Any) -> str:
    """Return what to do with labels that are no tensor."""
    first = y
    while isinstance(first, tuple | list) and first:
        first = first[0]
    if isinstance(first, str):
        return (
            "names become numbers by their place among the model's classes: torch.tensor([names.index(c) for c in y])"
        )
    if isinstance(first, Tensor) and first is not y:
        return "labels of single samples become one tensor by torch.stack(y).flatten()"
    if isinstance(y, int):
        return f"one class for all rows is torch.full((x.shape[0],), {y})"
    return "use torch.as_tensor(y)"


def other_shape(y: Tensor, rows: int) -> str:
    """Return what to do with labels of another shape than ``[rows]``.

    >>> import torch
    >>> other_shape(torch.tensor([[0], [2]]), 2)
    'a column or row of class numbers becomes [2] by y.flatten()'
    """
    if y.ndim == 0:
        return f"one class for all rows is y.expand({rows})"
    if y.shape in ((rows, *[1] * (y.ndim - 1)), (1, rows)):
        return f"a column or row of class numbers becomes [{rows}] by y.flatten()" if _whole(y) else _REAL
    if y.shape[0] != rows:
        return f"{y.shape[0]} labels do not belong to {rows} samples: take both from the same rows"
    if y.numel() == 0 or y.is_complex():
        return "give class numbers"
    return _one_axis_more(y.double())


def _one_axis_more(y: Tensor) -> str:
    """What to do with labels ``[rows, k, ...]``."""
    flags, ones = bool(((y == 0) | (y == 1)).all() or (y.abs() == 1).all()), (y == 1).sum(1)
    if flags and bool((ones == 1).all()):
        if y.ndim == 2:
            return "one-hot labels become class numbers by y.argmax(1)"
        return "one-hot masks become masks by y.argmax(1), to be given with goal=ms.goals.Share(0.5)"
    if flags and y.ndim == 2:
        return _SEVERAL
    if bool(((y >= 0) & (y <= 1)).all()) and bool(((y.sum(1) - 1).abs() < 1e-3).all()):
        return "probabilities of classes become class numbers by y.argmax(1)"
    return _PLACES if _whole(y) else _REAL


def other_numbers(y: Tensor) -> str:
    """Return what to do with labels ``[rows]`` that are no integers.

    >>> import torch
    >>> other_numbers(torch.tensor([0.5, 1.7]))
    'real numbers that a model is to meet are given with goal=ms.goals.Beyond(tolerance)'
    """
    if y.is_complex():
        return "give class numbers"
    if not bool(y.isfinite().all()):
        return f"{int((~y.isfinite()).sum())} are NaN or infinite: drop their rows"
    return f"class numbers become integers by y.long(); {_REAL}" if _whole(y) else _REAL


def below_zero(y: Tensor) -> str:
    """Return what to do with integer labels ``[rows]`` some of which are negative.

    >>> import torch
    >>> below_zero(torch.tensor([-1, 1, 1]))
    'labels -1 and 1 become class numbers by (y + 1) // 2'
    """
    if bool((y < 0).all()):
        return "these samples have no labels; give those of the data, or the model's own answers: model(x).argmax(1)"
    if bool((y.abs() == 1).all()):
        return "labels -1 and 1 become class numbers by (y + 1) // 2"
    return "drop the rows without a class: x[y >= 0] and y[y >= 0]"


def too_large(y: Tensor, largest: int, count: int) -> str:
    """Return what to do with class numbers, the largest of which goes beyond the outputs of a model.

    >>> import torch
    >>> too_large(torch.tensor([1, 4]), 4, 4)
    'labels start at 0: where yours start at 1, use y - 1'
    >>> too_large(torch.tensor([0, 4]), 4, 4)
    'class numbers start at 0, and 4 belongs to a model with 5 outputs or more'
    """
    if y.ndim > 1:
        return "give places that do not count a negative label"
    if largest in (255, 65535):
        return f"{largest} often marks what has no class: drop those rows, x[y != {largest}] and y[y != {largest}]"
    if int(y.min()) > 0 and largest == count:
        return "labels start at 0: where yours start at 1, use y - 1"
    return f"class numbers start at 0, and {largest} belongs to a model with {largest + 1} outputs or more"


def _whole(y: Tensor) -> bool:
    return not y.is_complex() and (not y.is_floating_point() or bool((y == y.round()).all()))
