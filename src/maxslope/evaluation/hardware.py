"""Speed on the hardware at hand: measured at the start, recorded, and confined to the search."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from maxslope.attacks.question import tile_for
from maxslope.energies import Randomized

_LARGEST = 4096  # rows per call beyond which nothing is tried
_GAIN = 0.9  # a change must save a tenth of the time to be kept
_REPEATS = 5
_THREADS = 16

Model = Callable[..., Tensor]


@dataclass(frozen=True)
class Hardware:
    """What may be tried to make the search faster. Off by default, because other kernels round otherwise.

    Each option is timed on the first samples against the plain model and kept only where it saves a tenth. Whatever is
    kept serves calls with gradients alone: verdicts, margins and certificates always come from the caller's model, as
    it is.

    Args:
        batch: rows per call, doubled while that pays and memory suffices.
        half: bfloat16 autocast.
        channels_last: the memory format of images, on a copy of the model.
        compile: ``torch.compile``.
        threads: the number of CPU threads.

    >>> Hardware().measure(torch.nn.Identity(), torch.zeros(1, 4)).kept()
    'nothing'
    """

    batch: bool = False
    half: bool = False
    channels_last: bool = False
    compile: bool = False
    threads: bool = False

    @classmethod
    def measured(cls) -> Hardware:
        """Return everything on."""
        return cls(True, True, True, True, True)

    def measure(self, model: Any, x: Tensor, tile: int | None = None) -> Choice:
        """Time the options on samples like ``x`` and return what pays, with the times that decided.

        Args:
            model: the caller's model.
            x: samples, ``[rows, *shape]``, at least one.
            tile: rows per call that the caller insists on.
        """
        x = moved(x, model)
        choice = Choice(tile or tile_for(x))
        if self.threads and x.device.type == "cpu":
            choice = _threads(choice, model, x)
        if self.batch and tile is None:
            choice = _batch(choice, model, x)
        options = {"channels_last": self.channels_last and x.ndim == 4, "half": self.half, "compile": self.compile}
        for name in (name for name, on in options.items() if on):
            choice = _try(choice, replace(choice, **{name: True}), name, model, x)  # type: ignore[arg-type]
        return choice


@dataclass(frozen=True)
class Choice:
    """How a model is called."""

    tile: int  # rows per call
    half: bool = False  # whether the search runs in bfloat16 autocast
    channels_last: bool = False  # on a copy in that format
    compile: bool = False  # compiled
    threads: int | None = None  # of the CPU; None leaves them alone
    times: dict[str, float | str] = field(default_factory=dict)  # milliseconds a row of what was tried, or its failure

    def kept(self) -> str:
        """Return in words what differs from the default."""
        names = [name for name in ("half", "channels_last", "compile") if getattr(self, name)]
        names += [f"{self.threads} threads"] if self.threads else []
        return ", ".join(names) or "nothing"

    def search(self, model: Any) -> Any:
        """Return the model as the search calls it: the model itself, or a faster twin for its gradients."""
        fast = model
        if self.channels_last:
            fast = copy.deepcopy(model).to(memory_format=torch.channels_last)
        if self.compile:
            fast = torch.compile(fast)
        if fast is model and not self.half:
            return model
        return Search(model, fast, self.half, self.channels_last)

    @contextmanager
    def set_threads(self) -> Iterator[None]:
        """Use the chosen number of CPU threads for a while."""
        before = torch.get_num_threads()
        if self.threads:
            torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@dataclass(frozen=True, eq=False)
class Search:
    """A model whose calls with gradients go to a faster twin; all others, verifications among them, to the model."""

    model: Model
    fast: Model
    half: bool
    channels_last: bool

    def __call__(self, x: Tensor, *context: Tensor) -> Tensor:
        """Return logits in the dtype of ``x``."""
        if not (torch.is_grad_enabled() and x.requires_grad):
            return self.model(x, *context)
        z = x.contiguous(memory_format=torch.channels_last) if self.channels_last else x
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.half):
            return self.fast(z, *context).to(x.dtype)


def module_of(model: Any) -> nn.Module | None:
    """Return a module, or that inside of a random model; None for functions."""
    inside = model.model if isinstance(model, Randomized) else model
    return inside if isinstance(inside, nn.Module) else None


def device_of(model: Any) -> torch.device | None:
    """Return the device of a module's parameters or buffers; None for functions and modules without either."""
    module = module_of(model)
    first = None if module is None else next(itertools.chain(module.parameters(), module.buffers()), None)
    return None if first is None else first.device


def dtype_of(model: Any) -> torch.dtype | None:
    """Return the precision of a module's parameters; None for functions and modules without any."""
    module = module_of(model)
    return None if module is None else next((p.dtype for p in module.parameters() if p.is_floating_point()), None)


def moved(x: Tensor, model: Any) -> Tensor:
    """Return samples from the CPU on the model's device, through pinned memory; other samples stay where they are."""
    device = device_of(model)
    if device is None or x.device == device or x.device.type != "cpu" or device.type == "meta":
        return x
    return (x.pin_memory() if device.type == "cuda" else x).to(device, non_blocking=True)


def _rows(x: Tensor, tile: int) -> Tensor:
    """``tile`` rows like those of ``x``."""
    return x.repeat(-(-tile // x.shape[0]), *(1,) * (x.ndim - 1))[:tile]


def _time(model: Model, x: Tensor) -> float:
    """Milliseconds a row of a forward and a backward pass: the median of a few, after one that does not count."""
    times = []
    for _ in range(_REPEATS + 1):
        z = x.detach().clone().requires_grad_(True)
        began = time.perf_counter()
        out = model(z)
        if out.requires_grad:
            torch.autograd.grad(out.sum(), z)
        if x.device.type == "cuda":
            torch.cuda.synchronize(x.device)
        times.append(time.perf_counter() - began)
    return 1000 * median(times[1:]) / x.shape[0]


def _noted(choice: Choice, name: str, value: float | str) -> Choice:
    return replace(choice, times=choice.times | {name: value if isinstance(value, str) else round(value, 5)})


def _batch(choice: Choice, model: Any, x: Tensor) -> Choice:
    best = _time(model, _rows(x, choice.tile))
    choice = _noted(choice, f"{choice.tile} rows", best)
    while choice.tile < _LARGEST:
        tile = 2 * choice.tile
        try:
            now = _time(model, _rows(x, tile))
        except (RuntimeError, MemoryError) as error:  # out of memory, on any device
            return _noted(choice, f"{tile} rows", f"failed: {str(error)[:80]}")
        choice = _noted(choice, f"{tile} rows", now)
        if now > _GAIN * best:
            return choice
        best, choice = now, replace(choice, tile=tile)
    return choice


def _threads(choice: Choice, model: Any, x: Tensor) -> Choice:
    rows, best = _rows(x, choice.tile), float("inf")
    most = max(1, min(torch.get_num_threads(), _THREADS))
    tried = choice
    for count in sorted({1, max(1, most // 2), most}):
        with replace(choice, threads=count).set_threads():
            now = _time(model, rows)
        tried = _noted(tried, f"{count} threads", now)
        if now < _GAIN * best:
            best, tried = now, replace(tried, threads=count)
    return tried


def _try(old: Choice, new: Choice, name: str, model: Any, x: Tensor) -> Choice:
    """The new choice if it saves a tenth, else the old one; both times are noted."""
    rows = _rows(x, old.tile)
    try:
        before, after = _time(old.search(model), rows), _time(new.search(model), rows)
    except Exception as error:
        return _noted(old, name, f"failed: {type(error).__name__}: {str(error)[:80]}")
    times = old.times | {f"without {name}": round(before, 5), name: round(after, 5)}
    return replace(new if after < _GAIN * before else old, times=times)
