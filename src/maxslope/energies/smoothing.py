"""Gradients with smoothed kinks: seen from afar a piecewise linear network has fewer minima."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from maxslope._rows import column
from maxslope.energies.base import Energy, Evaluation

_UNTIL = 0.8  # the part of a run that is smoothed
# Whether tensors saved for a backward pass are hooked; where torch is too old to tell, nothing is smoothed.
_hooks = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)


@dataclass(frozen=True, eq=False)
class Graduated(Energy):
    """E, followed by gradients that begin with smoothed kinks, are so less and less, and end as those of E.

    After k of T steps the slope at z of every ReLU a (leaky ones, ReLU6 and hard tanh likewise) is

        (a(z + s) - a(z - s)) / (2 s),    s = first * rms * max(0, 1 - k / (0.8 T)),

    the mean of its derivative within s of z, where rms is the root mean square of what enters that layer in this row.
    Values and margins are those of E. Other functions keep their derivatives, max-pooling among them, and so does what
    torch's functions do not show (a scripted model), what is not made of as many rows as there are points, and what is
    differentiated inside the model or anew (torch.func, forward mode, checkpoints). Rows are taken to be in the order
    of the points. A torch too old to tell of checkpoints smooths nothing.

    Args:
        energy: of the outputs of a model.
        first: ``[rows]``, the width at the start in units of rms; 0 smooths nothing.
        steps: ``[rows]``, T.

    Source: Blake and Zisserman, Visual Reconstruction (1987), chapter 7, who let a non-convex energy emerge from a
    convex one; Xie et al. (arXiv:2006.14536), section 3, whose attacker smooths ReLUs in the backward pass alone.

    >>> import maxslope as ms
    >>> net = lambda z: torch.relu(z - 0.5) * torch.tensor([1.0, 0.0])
    >>> energy = ms.energies.Loss(net, torch.tensor([0]), ms.criteria.Margin())
    >>> along = Graduated(energy, first=torch.tensor([2.0]), steps=torch.tensor([10]))
    >>> x = torch.full((1, 2), 0.25)
    >>> [along.after(torch.tensor([k])).evaluate(x).gradient[0, 0].item() for k in (0, 4, 8)]
    [0.25, 0.0, 0.0]
    """

    energy: Energy
    first: Tensor
    steps: Tensor

    def evaluate(self, x: Tensor) -> Evaluation:
        return self.energy.evaluate(x)

    def look(self, x: Tensor) -> Evaluation:
        return self.energy.look(x)

    def after(self, clock: Tensor) -> Energy:
        widths = self.first * (1 - clock / (_UNTIL * self.steps.clamp_min(1))).clamp_min(0)
        return self.energy.smoothed(widths)

    def take(self, index: Tensor) -> Graduated:
        return Graduated(self.energy.take(index), self.first[index], self.steps[index])

    @property
    def passes(self) -> int:
        return self.energy.passes


@contextmanager
def smoothing(widths: Tensor | None) -> Iterator[Smoothing | None]:
    """Within it the kinks of a model have the slopes of :class:`Graduated`.

    Args:
        widths: s of the rows of a call, in units of rms, ``[rows]``: rows with 0 keep their derivatives, to the bit.
            None for none.
    """
    if widths is None or (widths.is_cpu and not bool(widths.any())):
        yield None
        return
    mode = Smoothing(widths)
    with mode:
        mode.under_way = True
        try:
            yield mode
        finally:
            mode.under_way = False


class Smoothing(TorchFunctionMode):
    """Gives kinks mean slopes; ``met`` says whether any was met, ``under_way`` whether the model is still called."""

    def __init__(self, widths: Tensor) -> None:
        self.widths, self.met, self.under_way = widths, False, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        kink = _KINKS.get(func)
        compiles = torch.compiler.is_compiling()
        z: Any = args[0] if args else given.get("input")
        inside = given.get("inplace", False) or func in _IN_PLACE
        if kink is None or not self._smooths(z) or (inside and kink is not _relu and compiles):
            return func(*args, **given)
        self.met = True
        own = {name: value for name, value in given.items() if name not in ("input", "inplace")}
        during = None if compiles else self
        with torch._C.DisableTorchFunction():
            out: Tensor = _Slopes.apply(z, kink(*args[1:], **own), self.widths, during)  # type: ignore[no-untyped-call]
            return z.copy_(out) if inside else out

    def _smooths(self, z: Any) -> bool:
        """Whether an input has these rows, and autograd's backward pass, and nothing else, makes its gradients."""
        if torch.compiler.is_compiling():
            return isinstance(z, Tensor) and z.requires_grad and z.dim() > 1 and z.shape[0] == len(self.widths)
        if type(z) not in (Tensor, torch.nn.Parameter) or z.layout is not torch.strided or z.is_nested:
            return False
        anew = _hooks is None or _hooks(True) is not None  # checkpoints, outside of this
        within = torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0
        rows = z.requires_grad and z.dim() > 1 and z.shape[0] == len(self.widths)
        return rows and not anew and not within


class Kink(NamedTuple):
    """A function of one number with kinks."""

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]  # its derivative, as autograd has it
    mean: Callable[[Tensor, Tensor], Tensor]  # that of the derivative within a distance


class _Slopes(torch.autograd.Function):
    """A kinked function; backward it has mean slopes, but its own as long as the model is still under way."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, kink: Kink, widths: Tensor, during: Smoothing | None) -> Tensor:
        wide = z.to(torch.promote_types(z.dtype, torch.float32))
        s = column((_rms(wide.flatten(1)) * widths).to(wide.dtype), wide)
        mean, own = kink.mean(wide, s), kink.slope(wide)
        ctx.save_for_backward(torch.where(s > 0, mean, own), own)
        ctx.during = during
        return kink.value(z)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        mean, own = ctx.saved_tensors
        (gradient,) = gradients
        slope = own if ctx.during is not None and ctx.during.under_way else mean
        return torch.where(slope == 0, 0, gradient * slope).to(gradient.dtype), None, None, None


def _rms(z: Tensor) -> Tensor:
    """The root mean square of what is finite, ``[rows]``, of ``[rows, m]``; squares do not overflow."""
    if not z.shape[1]:
        return z.new_zeros(z.shape[0])
    plain: Tensor = torch.linalg.vector_norm(z, dim=1) / math.sqrt(z.shape[1])
    sound = plain.isfinite() & (plain > 1e-15)
    if z.is_cpu and bool(sound.all()):
        return plain
    return torch.where(sound, plain, _careful_rms(z))


def _careful_rms(z: Tensor) -> Tensor:
    z = torch.where(z.isfinite(), z, 0)
    most = z.abs().amax(1, keepdim=True).clamp_min(torch.finfo(z.dtype).tiny)
    size: Tensor = torch.linalg.vector_norm(z / most, dim=1)
    return most.squeeze(1) * size / math.sqrt(z.shape[1])


def _relu() -> Kink:
    return Kink(torch.relu, lambda z: (z > 0).to(z.dtype), _above)


def _above(z: Tensor, s: Tensor) -> Tensor:
    """The part of [z - s, z + s] that is above 0."""
    return (z + s).div_(2 * s).clamp_(0, 1)


def _leaky(negative_slope: float = 0.01) -> Kink:
    def slope(z: Tensor) -> Tensor:
        return torch.where(z > 0, torch.ones_like(z), negative_slope)

    def mean(z: Tensor, s: Tensor) -> Tensor:
        return negative_slope + (1 - negative_slope) * _above(z, s)

    return Kink(lambda z: functional.leaky_relu(z, negative_slope), slope, mean)


def _hard(min_val: float = -1.0, max_val: float = 1.0) -> Kink:
    def slope(z: Tensor) -> Tensor:
        return ((z > min_val) & (z < max_val)).to(z.dtype)

    def value(z: Tensor) -> Tensor:
        return functional.hardtanh(z, min_val, max_val)

    return Kink(value, slope, lambda z, s: (value(z + s) - value(z - s)) / (2 * s))


_KINKS: dict[Any, Callable[..., Kink]] = {
    functional.relu: _relu, torch.relu: _relu, torch.relu_: _relu, torch.Tensor.relu: _relu, torch.Tensor.relu_: _relu,
    functional.leaky_relu: _leaky, functional.leaky_relu_: _leaky,
    functional.relu6: lambda: _hard(0.0, 6.0), functional.hardtanh: _hard, functional.hardtanh_: _hard,
}  # fmt: skip
_IN_PLACE = {torch.relu_, torch.Tensor.relu_, functional.leaky_relu_, functional.hardtanh_}
