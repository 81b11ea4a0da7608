"""Every message for misuse, in one place: the rule, the value received, and what to do."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor

_MODE_DEPENDENT = (
    torch.nn.modules.batchnorm._BatchNorm,
    torch.nn.RReLU,
)


class MaxslopeWarning(UserWarning):
    """A result was computed, but it may not mean what it seems to mean."""


def warn(message: str) -> None:
    """Warn the caller of the public function."""
    warnings.warn(message, MaxslopeWarning, stacklevel=4)


def logits(out: Any, rows: int) -> None:
    """Raise unless ``out`` has one row of logits per point."""
    if not isinstance(out, Tensor):
        raise TypeError(
            f"A model returns a tensor of logits [rows, classes], got {type(out).__name__}; wrap it: "
            "lambda x: model(x).logits, or model(x)[0]."
        )
    if out.ndim not in (1, 2) or out.shape[0] != rows:
        raise ValueError(
            f"A model returns logits [rows, classes] (or [rows] for one-output binary models), got "
            f"{tuple(out.shape)} for {rows} rows; reduce other axes (or segment rows) in a wrapper."
        )


def points(x: Any) -> Tensor:
    """Raise unless ``x`` is a non-empty, finite floating-point tensor ``[rows, *shape]``; return it detached."""
    if not isinstance(x, Tensor):
        raise TypeError(f"Inputs are a torch tensor [rows, *shape], got {type(x).__name__}; use torch.as_tensor.")
    if not x.is_floating_point():
        raise TypeError(
            f"Inputs must be floating point, got {x.dtype}; for 8-bit images use x.float() / 255 and a box of (0, 1)."
        )
    if x.ndim < 2 or x.numel() == 0:
        raise ValueError(
            f"Inputs are [rows, *shape] with at least one row and coordinate, got shape {tuple(x.shape)}; x[None] "
            "makes a batch of one sample."
        )
    # A finite sum has finite terms, and costs a tenth of a look at each.
    if not math.isfinite(float(x.detach().sum())) and not bool(x.isfinite().all()):
        raise ValueError(
            f"Inputs must be finite, got {int((~x.isfinite()).sum())} NaN or infinite values; replace them or drop "
            "their rows."
        )
    return x.detach()


def labels(y: Any, x: Tensor, name: str = "Labels") -> Tensor:
    """Raise unless ``y`` holds one class number per row of ``x``; return it as int64 on the device of ``x``."""
    if not isinstance(y, Tensor):
        raise TypeError(f"{name} are a torch tensor [rows] of class numbers, got {type(y).__name__}.")
    if y.shape != (x.shape[0],):
        raise ValueError(
            f"{name} have shape [{x.shape[0]}], one class number per row of the inputs, got {tuple(y.shape)}; one-hot "
            "labels become class numbers by .argmax(1)."
        )
    if y.is_floating_point() or y.is_complex():
        raise TypeError(f"{name} are class numbers of an integer dtype, got {y.dtype}; use y.long().")
    if int(y.min()) < 0:
        raise ValueError(
            f"{name} are class numbers >= 0, got a smallest value of {int(y.min())}; drop the rows without a class."
        )
    return y.detach().to(device=x.device, dtype=torch.int64)


def budget(value: Any, kind: type) -> None:
    """Raise unless ``value`` is a budget."""
    if not isinstance(value, kind):
        raise TypeError(f"The budget is a Budget such as Linf(8 / 255), got {value!r}.")


def effort(value: Any, kind: type) -> None:
    """Raise unless ``value`` is an effort or None."""
    if value is not None and not isinstance(value, kind):
        raise TypeError(
            f"The effort is an Effort, got {value!r}; use Effort.quick(), Effort.standard(), Effort.exhaustive() or "
            "Effort((recipe, ...))."
        )


def batch_size(value: int | None) -> None:
    """Raise unless ``value`` is None or at least 1."""
    if value is not None and value < 1:
        raise ValueError(f"batch_size must be at least 1, got {value}; leave it out for a default.")


def classes(largest: int, count: int) -> None:
    """Raise unless every label is below the number of the model's outputs."""
    if largest >= count:
        raise ValueError(
            f"Labels must be below the number of classes, but the model has {count} classes and the largest label is "
            f"{largest}; labels start at 0, and belong to this model?"
        )


def eps_rows(eps: Any, rows: int) -> None:
    """Raise unless eps is one number or one number per row."""
    if isinstance(eps, Tensor) and eps.ndim and eps.shape != (rows,):
        raise ValueError(f"eps is a number or a tensor [{rows}], one per sample, got shape {tuple(eps.shape)}.")


def ids(value: Any, x: Tensor) -> None:
    """Raise unless ``value`` is None or holds one integer per row of ``x``."""
    if value is None:
        return
    if not isinstance(value, Tensor) or value.is_floating_point() or value.shape != (x.shape[0],):
        got = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"ids are a torch tensor [{x.shape[0]}] of integers, one per sample, got {got}.")


def mask(value: Any) -> None:
    """Raise unless ``value`` is None or a boolean tensor."""
    if value is not None and (not isinstance(value, Tensor) or value.dtype != torch.bool):
        got = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"The mask is a boolean tensor, True where a coordinate may move, got {got}; use mask.bool().")


def in_box(x: Tensor, box: Any) -> None:
    """Raise unless every coordinate of ``x`` lies in the box."""
    if box is None:
        return
    lo, hi = (torch.as_tensor(b, dtype=x.dtype, device=x.device) for b in box)
    slack = 4 * torch.finfo(x.dtype).eps * (hi - lo).nan_to_num(posinf=0.0)
    if not torch.equal(x, x.clamp(lo - slack, hi + slack)):
        raise ValueError(
            f"Inputs must lie in the box {box!r}, got values from {float(x.min()):.4g} to {float(x.max()):.4g}. Give "
            "the box of your inputs, such as Linf(eps, box=(-1, 1)), or box=None; put normalization inside the model."
        )


def model(net: Any, x: Tensor) -> None:
    """Raise or warn about a module's mode, device and dtype; functions pass."""
    if not callable(net):
        raise TypeError(f"A model is callable, from inputs [rows, *shape] to logits, got {type(net).__name__}.")
    if not isinstance(net, torch.nn.Module):
        return
    training = [name or type(m).__name__ for name, m in net.named_modules() if m.training and _depends_on_mode(m)]
    if training:
        raise ValueError(
            f"The model is in training mode, where {', '.join(training[:3])} make a row's output depend on chance or "
            "on its batch; call model.eval() first."
        )
    if net.training:
        warn("The model is in training mode; no layer here depends on it, but call model.eval() to be sure.")
    weight = next((p for p in net.parameters() if p.is_floating_point()), None)
    if weight is None:
        return
    if weight.device != x.device:
        raise ValueError(
            f"Model and inputs must be on one device, got {weight.device} and {x.device}; use "
            f"x.to({str(weight.device)!r})."
        )
    if weight.dtype != x.dtype:
        raise ValueError(
            f"Model and inputs must have one dtype, got {weight.dtype} and {x.dtype}; use x.to({weight.dtype}) or "
            f"model.to({x.dtype})."
        )


def _depends_on_mode(module: torch.nn.Module) -> bool:
    if isinstance(module, torch.nn.modules.dropout._DropoutNd):
        return module.p > 0
    return isinstance(module, _MODE_DEPENDENT)


def probabilities(out: Tensor) -> str:
    """Return what is seen where logits look like the output of a softmax, nothing otherwise."""
    if out.shape[0] < 2 or out.shape[1] < 2 or not bool(out.isfinite().all()):
        return ""
    if not bool(((out >= 0) & (out <= 1)).all()) or not bool(((out.sum(1) - 1).abs() < 1e-3).all()):
        return ""
    return "The model's outputs look like probabilities (rows in [0, 1] that sum to 1). Losses expect logits."


def not_probabilities(out: Tensor) -> None:
    """Warn where logits look like the output of a softmax."""
    seen = probabilities(out)
    if seen:
        warn(f"{seen} Remove the final softmax, or wrap the model as lambda x: model(x).clamp_min(1e-30).log().")
