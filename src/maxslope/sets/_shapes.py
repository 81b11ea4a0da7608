"""What may be given as a radius, a box, a mask or weights, and what is said where it does not fit."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

_WEIGHTED = (
    "a radius per channel or coordinate is a weighted norm, Budget(Weighted(Lp(p), w), 1.0) with w = 1 / eps of the "
    "shape of a sample, such as [C, 1, 1]"
)


def number(value: Any, name: str) -> float | Tensor:
    """A number or tensor as it is, anything that holds numbers (arrays, lists) as a tensor; no strings."""
    if isinstance(value, int | float | Tensor):
        return value
    if isinstance(value, str):
        raise TypeError(
            f"{name} holds numbers, got the string {value!r}; write {value.strip() or '8/255'} without quotes."
        )
    try:
        made = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} is a number, a tensor or an array of numbers, got {value!r}: {error}.") from error
    if made.is_complex() or made.dtype == torch.bool:
        raise TypeError(f"{name} holds real numbers, got {made.dtype}; use .real or .float().")
    return made


def radius(value: Any) -> tuple[float | Tensor, int]:
    """Eps as a number or a tensor ``[rows]``, and how many axes it was given with."""
    eps = number(value, "eps")
    if not isinstance(eps, Tensor):
        return eps, 0
    if eps.ndim <= 1:
        return eps, eps.ndim
    if eps.shape[1:].numel() != 1:
        raise ValueError(
            f"eps is a number or one per sample, [rows] or [rows, 1, ..., 1], got the shape {tuple(eps.shape)}; "
            f"{_WEIGHTED}."
        )
    return eps.reshape(-1), eps.ndim


def radius_fits(eps: Tensor, axes: int, x: Tensor) -> None:
    """Raise unless eps ``[n]``, given with so many axes, is one per row of ``x`` and can mean nothing else."""
    rows, channels = x.shape[0], x.shape[1]
    given = (len(eps),) + (1,) * (axes - 1)
    if len(eps) != rows or (axes > 1 and axes != x.ndim):
        raise ValueError(
            f"eps is a number or one per sample, here [{rows}] or [{rows}{', 1' * (x.ndim - 1)}], got the shape "
            f"{given} for inputs {tuple(x.shape)}; {_WEIGHTED}."
        )
    if axes == 1 and rows == channels > 1 and x.ndim > 2:
        raise ValueError(
            f"eps of shape {given} on inputs {tuple(x.shape)} may be one per sample or one per channel. For one per "
            f"sample write eps.reshape(-1{', 1' * (x.ndim - 1)}); {_WEIGHTED}."
        )


def box(value: Any) -> tuple[float | Tensor, float | Tensor]:
    """The two bounds of a box, as numbers or tensors that fit each other, the lower one nowhere above the upper one."""
    if isinstance(value, str) or not isinstance(value, tuple | list | Tensor) or len(value) != 2:
        raise TypeError(f"The box is a pair (lo, hi) of numbers or tensors, got box={value!r}; box=None is no box.")
    lo, hi = number(value[0], "box"), number(value[1], "box")
    low, high = torch.as_tensor(lo), torch.as_tensor(hi)
    try:
        good = low.to(high.device) <= high
    except RuntimeError as error:
        raise ValueError(
            f"The bounds of a box fit each other, got box with lo {tuple(low.shape)} and hi {tuple(high.shape)}; give "
            "both the shape of a sample."
        ) from error
    if not bool(good.all()):
        raise ValueError(
            f"The box needs lo <= hi, got {int((~good).sum())} coordinates with lo > hi or NaN in box={value!r}; for "
            "unbounded inputs use box=None, or -inf and inf where a bound is missing."
        )
    return lo, hi


def bound(value: float | Tensor, x: Tensor) -> Tensor:
    """A bound of a box, a number or of the shape of a sample, as ``[1, *shape]`` in the dtype of ``x``."""
    return _as_sample(value, x, "box", "One bound per channel has the shape [C, 1, 1]").to(x)[None]


def weights(value: Tensor, x: Tensor) -> None:
    """Raise unless the weights of a norm fit a sample of ``x``."""
    _as_sample(value, x, "norm", "Weights per channel have the shape [C, 1, 1]")


def _as_sample(value: float | Tensor, x: Tensor, name: str, hint: str) -> Tensor:
    given, shape = torch.as_tensor(value), x.shape[1:]
    whole = given[0] if given.ndim == x.ndim and given.shape[0] == 1 else given
    fits = _fits(whole, shape)
    if not fits and given.numel() != 1:
        what = "The bounds of the box" if name == "box" else "The weights of the norm"
        raise ValueError(
            f"{what} are numbers or have the shape of a sample, {list(shape)}, up to ones, got {name} of shape "
            f"{list(given.shape)} for inputs {tuple(x.shape)}. {hint}."
        )
    return whole.expand(shape) if fits else given.reshape(()).expand(shape)


def _fits(given: Tensor, shape: torch.Size) -> bool:
    """Whether a tensor has a shape, up to ones."""
    return given.ndim == len(shape) and all(a in (1, b) for a, b in zip(given.shape, shape, strict=True))


def mask(value: Any, x: Tensor) -> Tensor:
    """A boolean mask of the shape of ``x`` or of a sample, up to ones: without a new axis in the middle."""
    given = torch.as_tensor(value)
    if given.dtype != torch.bool:
        raise TypeError(f"The mask is boolean, True where a coordinate may move, got {given.dtype}; use mask.bool().")
    if not _fits(given, x.shape) and not _fits(given, x.shape[1:]):
        raise ValueError(
            f"The mask has the shape of a sample, {list(x.shape[1:])}, or of the inputs, {list(x.shape)}, up to ones, "
            f"got mask of shape {list(given.shape)}; add the missing axes, such as mask[:, None]."
        )
    return given.to(x.device)


def whole_radius(eps: float | Tensor, bounds: tuple[float | Tensor, float | Tensor]) -> None:
    """Raise where eps is a positive integer on a box narrower than 2 where it is a range at all (8 is not 8/255)."""
    whole = not eps.is_floating_point() if isinstance(eps, Tensor) else isinstance(eps, int)
    if not whole or not bool((torch.as_tensor(eps) >= 1).any()):
        return
    lo, hi = (torch.as_tensor(b).double().cpu() for b in bounds)
    wide = (hi - lo)[hi > lo]
    width = float(wide.min()) if wide.numel() else math.inf
    if width < 2:
        raise TypeError(
            f"eps must be a float in the units of the inputs, got the integer eps={eps!r} on a box of width {width:g}; "
            f"write {eps}/255 if pixels are meant, or {eps}.0 if this is the radius."
        )
