"""Speed on the hardware at hand: measured at the start, recorded, and confined to the search."""

from __future__ import annotations

import copy
import itertools
import math
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
Times = dict[str, float | str]


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

    >>> Hardware().measure(torch.nn.Identity(), torch.zeros(1, 4)).times
    {}
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
        choice, clock = Choice(tile or tile_for(x)), _Clock(model, x)
        if self.threads and x.device.type == "cpu":
            most, best = max(1, min(torch.get_num_threads(), _THREADS)), math.inf
            for count in sorted({1, max(1, most // 2), most}):
                tried = replace(choice, threads=count)
                if (now := clock.took(tried, f"{count} threads")) < _GAIN * best:
                    best, choice = now, tried
        if self.batch and tile is None:
            best, gains = clock.took(choice, f"{choice.tile} rows"), True
            while gains and choice.tile < _LARGEST:
                larger = replace(choice, tile=2 * choice.tile)
                now = clock.took(larger, f"{larger.tile} rows")
                if gains := now <= _GAIN * best < math.inf:
                    best, choice = now, larger
        options = {"channels_last": self.channels_last and x.ndim == 4, "half": self.half, "compile": self.compile}
        for name in (name for name, on in options.items() if on):
            before, new = clock.took(choice, f"without {name}"), replace(choice, **{name: True})  # type: ignore[arg-type]
            choice = new if clock.took(new, name) < _GAIN * before else choice
        return replace(choice, times=clock.times)


@dataclass(frozen=True)
class Choice:
    """How a model is called."""

    tile: int  # rows per call
    half: bool = False  # whether the search runs in bfloat16 autocast
    channels_last: bool = False  # on a copy in that format
    compile: bool = False  # compiled
    threads: int | None = None  # of the CPU; None leaves them alone
    times: Times = field(default_factory=dict)  # milliseconds a row of what was tried, or its failure

    @property
    def twin(self) -> bool:
        """Whether the search asks a faster twin of the model for gradients."""
        return self.half or self.channels_last or self.compile

    def search(self, model: Any) -> Any:
        """Return the model as the search calls it: the model itself, or a faster twin for its gradients."""
        if not self.twin:
            return model
        fast = copy.deepcopy(model).to(memory_format=torch.channels_last) if self.channels_last else model
        return Search(model, torch.compile(fast) if self.compile else fast, self.half, self.channels_last)

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


class _Clock:
    """Times choices on samples, and notes what each took."""

    def __init__(self, model: Any, x: Tensor) -> None:
        self.model, self.x, self.times = model, x, Times()

    def took(self, choice: Choice, name: str) -> float:
        """Return milliseconds a row of a choice, infinite if it fails; noted under a name."""
        rows = torch.arange(choice.tile, device=self.x.device) % len(self.x)
        try:
            with choice.set_threads():
                found = _time(choice.search(self.model), self.x[rows])
        except Exception as error:  # no memory on any device, no compiler, an operation without half precision
            self.times[name] = f"failed: {type(error).__name__}: {str(error)[:80]}"
            return math.inf
        self.times[name] = round(found, 5)
        return found
