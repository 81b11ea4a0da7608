"""Every message for misuse, in one place: the rule, the value received, and what to do."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from maxslope import _labels

_MODE_DEPENDENT = (
    torch.nn.modules.batchnorm._BatchNorm,
    torch.nn.RReLU,
    torch.nn.utils.parametrizations._SpectralNorm,  # its power iteration goes on
)
_OBSERVERS = {"FakeQuantizeBase", "ObserverBase", "AffineQuantizedObserverBase"}  # by name: their home moves

PROBABILITIES = (
    "The model's outputs look like probabilities (rows in [0, 1] that sum to 1). Losses expect logits: remove the "
    "final softmax, or wrap the model as lambda x: model(x).clamp_min(1e-30).log()."
)
_SHAPE = (
    "A model returns logits [rows, classes] (or [rows] for one-output binary models), got {} for {} rows; reduce other "
    "axes (or segment rows) in a wrapper."
)


class MaxslopeWarning(UserWarning):
    """A result was computed, but it may not mean what it seems to mean."""


def warn(message: str) -> None:
    """Warn the caller of the public function."""
    warnings.warn(message, MaxslopeWarning, stacklevel=2 + _depth())


def _depth() -> int:
    """How many frames of this package stand between a check and the line of the caller."""
    frame, depth = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "maxslope":
        frame, depth = frame.f_back, depth + 1
    return max(depth - 2, 0)


def outputs(out: Any, rows: int) -> None:
    """Raise unless ``out`` is a dense floating-point tensor with one row per point."""
    if not isinstance(out, Tensor):
        raise TypeError(f"A model returns a tensor of logits [rows, classes], got {_named(out)}; {_unwrapped(out)}.")
    if out.ndim < 1 or out.shape[0] != rows:
        raise ValueError(
            _SHAPE.format(tuple(out.shape), rows) + " Where the output has the rows of a tensor that the function "
            "holds, hand that tensor over as context=(...)."
        )
    if out.layout != torch.strided or out.is_quantized:
        raise TypeError(
            f"A model returns a dense tensor of logits, got one that is "
            f"{'quantized' if out.is_quantized else out.layout}; wrap it: lambda x: "
            f"model(x).{'dequantize' if out.is_quantized else 'to_dense'}()."
        )
    if out.is_complex():
        raise TypeError(f"A model returns real logits, got {out.dtype}; wrap it: lambda x: model(x).abs(), or .real.")
    if not out.is_floating_point():
        raise TypeError(
            f"A model returns floating-point logits [rows, classes], got {out.dtype}, which no gradient passes; return "
            "the scores from before the argmax or the rounding, or wrap it as lambda x: model(x).float() and search "
            "without gradients: recipe=ms.recipes.square(1000)."
        )
    if 0 in out.shape:
        raise ValueError(f"A model returns at least one number a row, got shape {tuple(out.shape)}.")


def _named(out: Any) -> str:
    return "None (does its forward return?)" if out is None else type(out).__name__


def _unwrapped(out: Any) -> str:
    """What to do with outputs that are no tensor."""
    if isinstance(out, Mapping):
        keys = [key for key, value in out.items() if isinstance(value, Tensor)]
        key = "logits" if "logits" in keys or not keys else keys[0]
        return f"wrap it: lambda x: model(x)[{key!r}] (its keys are {list(out)[:8]})"
    if isinstance(out, tuple | list):
        place = next((k for k, value in enumerate(out) if isinstance(value, Tensor)), 0)
        return f"wrap it: lambda x: model(x)[{place}]"
    if type(out).__module__.partition(".")[0] == "numpy":
        return (
            "wrap it: lambda x: torch.from_numpy(model(x)), and search without gradients, which numpy does not pass: "
            "recipe=ms.recipes.square(1000)"
        )
    return "wrap it: lambda x: model(x).logits, or model(x)[0]"


def logits(out: Any, rows: int) -> None:
    """Raise unless ``out`` has one row of logits per point."""
    outputs(out, rows)
    if out.ndim not in (1, 2):
        raise ValueError(_SHAPE.format(tuple(out.shape), rows))


def points(x: Any) -> Tensor:
    """Raise unless ``x`` is a non-empty, finite floating-point tensor ``[rows, *shape]``; return it detached."""
    if not isinstance(x, Tensor):
        raise TypeError(f"Inputs are a torch tensor [rows, *shape], got {type(x).__name__}; {_as_one_tensor(x)}.")
    if x.layout != torch.strided or x.is_quantized:
        raise TypeError(f"Inputs are dense, got {x.layout}, {x.dtype}; use x.to_dense() or x.dequantize().")
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
    return _usual(x)


def _usual(t: Tensor) -> Tensor:
    """Without gradient, and of no kind of its own: tensors made in inference mode can not be used by autograd."""
    with torch.inference_mode(False), torch.no_grad():
        plain = t.clone() if t.is_inference() else t.detach()
        bare: Tensor = plain.as_subclass(Tensor)
    return bare


def _as_one_tensor(x: Any) -> str:
    """What to do with inputs that are no tensor."""
    parts = list(x.values()) if isinstance(x, Mapping) else list(x) if isinstance(x, tuple | list) else []
    if any(isinstance(part, Tensor) and part.ndim for part in parts):
        return (
            "of several inputs one is attacked, as one tensor x, and the others go along as context=(...): the model "
            "is called as model(x, *context). A list of samples becomes one tensor by torch.stack(x)"
        )
    return "use torch.as_tensor(x)"


def labels(y: Any, x: Tensor, name: str = "Labels") -> Tensor:
    """Raise unless ``y`` holds one class number per row of ``x``; return it as int64 on the device of ``x``."""
    rows = x.shape[0]
    if not isinstance(y, Tensor):
        raise TypeError(
            f"{name} are a torch tensor [rows] of class numbers, got {type(y).__name__}; {_labels.not_a_tensor(y)}."
        )
    if y.layout != torch.strided:
        raise TypeError(f"{name} are a dense tensor [{rows}] of class numbers, got {y.layout}; use y.to_dense().")
    y = _usual(y)
    if y.shape != (rows,):
        raise ValueError(
            f"{name} have shape [{rows}], one class number per row of the inputs, got {tuple(y.shape)}; "
            f"{_labels.other_shape(y, rows)}."
        )
    if y.is_floating_point() or y.is_complex():
        raise TypeError(f"{name} are class numbers of an integer dtype, got {y.dtype}; {_labels.other_numbers(y)}.")
    numbers: Tensor = y.to(torch.int64)
    least = int(numbers.min())
    if least < 0:
        way = _labels.below_zero(numbers)
        raise ValueError(f"{name} are class numbers >= 0, got a smallest value of {least}; {way}.")
    return numbers.to(x.device)


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


def whole(value: Any, least: int) -> bool:
    """Whether a value is an integer of at least ``least``; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def batch_size(value: int | None) -> None:
    """Raise unless ``value`` is None or a whole number of at least 1."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"batch_size is a whole number of rows, got {value!r}; use int(batch_size), or leave it out.")
    if value < 1:
        raise ValueError(f"batch_size must be at least 1, got {value}; leave it out for a default.")


class LabelsError(ValueError):
    """Labels go beyond the outputs of the model."""


def classes(y: Tensor, count: int, word: str = "label") -> None:
    """Raise unless every label, or what its word says, is below the number of the model's outputs."""
    largest = int(y.max())
    if largest >= count:
        raise LabelsError(
            f"{word.capitalize()}s must be below the number of classes, but the model has {count} classes and the "
            f"largest {word} is {largest}; {_labels.too_large(y, largest, count)}."
        )


def eps_rows(eps: Any, rows: int) -> None:
    """Raise unless eps is one number or one number per row."""
    if isinstance(eps, Tensor) and eps.ndim and eps.shape[0] != rows:
        raise ValueError(
            f"eps is a number or a tensor [{rows}], one per sample, got shape {tuple(eps.shape)}; one per channel is a "
            "norm: Budget(Weighted(Lp(p), w), 1.0) with w = 1 / eps of the shape of a sample, such as [C, 1, 1]."
        )


def ids(value: Any, x: Tensor) -> None:
    """Raise unless ``value`` is None or holds one integer per row of ``x``."""
    if value is None:
        return
    if not isinstance(value, Tensor) or value.is_floating_point() or value.shape != (x.shape[0],):
        got = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"ids are a torch tensor [{x.shape[0]}] of integers, one per sample, got {got}.")


def context(value: Any, rows: int | None, device: torch.device | None = None) -> tuple[Tensor, ...]:
    """Raise unless ``value`` is a tensor or a tuple of tensors, of ``rows`` if these are known; return a tuple."""
    found = (value,) if isinstance(value, Tensor) else tuple(value)
    for k, one in enumerate(found):
        if not isinstance(one, Tensor):
            raise TypeError(f"The context is a tensor or a tuple of tensors, got {type(one).__name__} at place {k}.")
        if rows is not None and (one.ndim < 1 or one.shape[0] != rows):
            raise ValueError(
                f"The context has one row per sample, {rows} of them, got shape {tuple(one.shape)} at place {k}; "
                "what is the same for all samples belongs into the model: lambda x: model(x, constant)."
            )
    return tuple(one.detach().to(device) for one in found)


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
    """Raise or warn about a module's mode, state, device and dtype; functions pass."""
    if not callable(net):
        raise TypeError(f"A model is callable, from inputs [rows, *shape] to logits, got {type(net).__name__}.")
    if isinstance(net, type):
        raise TypeError(f"A model is an instance, got the class {net.__name__}; make one: {net.__name__}(...).eval().")
    if not isinstance(net, torch.nn.Module):
        return
    state = [*net.named_parameters(), *net.named_buffers()]
    if lazy := [name for name, t in state if torch.nn.parameter.is_lazy(t)]:
        raise ValueError(
            f"The model has layers without weights yet ({', '.join(lazy[:3])}); call it once on samples, model(x[:2]), "
            "and load its weights, before it is attacked."
        )
    _mode(net)
    if made := [name for name, t in state if t.is_inference()]:
        raise ValueError(
            f"The model's tensors ({', '.join(made[:3])}) were made in torch.inference_mode(), and autograd cannot "
            "use them; make or load it outside, or take a copy made outside: copy.deepcopy(model)."
        )
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


def _mode(net: torch.nn.Module) -> None:
    """Raise where a layer's output depends on chance, on its batch or on the calls before it."""
    modules = [(name or type(m).__name__, m) for name, m in net.named_modules()]
    if training := [name for name, m in modules if m.training and _depends_on_mode(m)]:
        raise ValueError(
            f"The model is in training mode, where {', '.join(training[:3])} make a row's output depend on chance, on "
            "its batch or on the calls before; call model.eval() first."
        )
    if watching := [name for name, m in modules if _observes(m)]:
        raise ValueError(
            f"Observers of quantization ({', '.join(watching[:3])}) change the model at every call; switch them off, "
            "model.apply(torch.ao.quantization.disable_observer), or convert the model."
        )
    if net.training:
        warn("The model is in training mode; no layer here depends on it, but call model.eval() to be sure.")


def _depends_on_mode(module: torch.nn.Module) -> bool:
    """Whether training mode changes what a layer of this kind returns, or what it keeps."""
    nn = torch.nn
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    if isinstance(module, nn.RNNBase):
        return module.dropout > 0 and module.num_layers > 1
    if isinstance(module, nn.MultiheadAttention):
        return float(module.dropout) > 0
    if isinstance(module, nn.modules.instancenorm._InstanceNorm):
        return module.track_running_stats is True
    if isinstance(module, _MODE_DEPENDENT):
        return True
    if any(type(hook).__name__ == "SpectralNorm" for hook in module._forward_pre_hooks.values()):
        return True
    # A layer of someone's own, whose forward reads self.training: functional dropout, drop path, auxiliary outputs.
    forward = getattr(type(module).forward, "__code__", None)
    own = not type(module).__module__.startswith("torch.")
    return own and forward is not None and "training" in forward.co_names


def _observes(module: torch.nn.Module) -> bool:
    """Whether a layer of a model prepared for quantization still watches what passes."""
    if _OBSERVERS.isdisjoint(kind.__name__ for kind in type(module).__mro__):
        return False
    enabled = getattr(module, "observer_enabled", None)
    return enabled is None or bool(enabled)
