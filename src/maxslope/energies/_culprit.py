"""Which layer of a model mixes rows: the first that sees the same rows and returns others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

Rows = Tensor  # int64, which of the points stand in a call, place by place


def culprit(model: Any, ask: Callable[[Rows], Any], standard: Rows, other: Rows) -> str:
    """The innermost module, or '', that returns other rows when asked for the places ``other`` of ``standard``."""
    try:
        then, now = (_trace(model, ask, call) for call in (standard, standard[other]))
    except Exception:  # compiled and scripted modules may take no hooks
        return ""
    if len(then) != len(now):
        return ""
    for (name, before, after), (_, before_now, after_now) in zip(then, now, strict=True):
        if _equal(before, before_now, other) and not _equal(after, after_now, other):
            return name
    return ""


Seen = tuple[str, list[Tensor], list[Tensor]]  # a module, marks of the rows it saw, and of those it returned


def _trace(model: Any, ask: Callable[[Rows], Any], call: Rows) -> list[Seen]:
    """What goes in and out of each module, in the order in which they end; nothing is left on them."""
    seen: list[Seen] = []
    open_: list[list[Tensor]] = []  # what the modules under way saw, the innermost last
    size = call.shape[0]

    def enter(_: nn.Module, args: Any) -> None:
        open_.append(_marks(args, size))

    def leave(label: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda _module, _args, out: seen.append((label, open_.pop(), _marks(out, size)))

    with ExitStack() as stack:
        for name, module in _modules(model):
            label = f"{name} ({type(module).__name__})" if name else type(module).__name__
            stack.callback(module.register_forward_pre_hook(enter).remove)
            stack.callback(module.register_forward_hook(leave(label)).remove)
        ask(call)
    return seen


def _modules(model: Any) -> Iterator[tuple[str, nn.Module]]:
    """The modules in a model, with names; for a function, those it holds."""
    if isinstance(model, nn.Module):
        yield from model.named_modules()
        return
    function = getattr(model, "func", model)
    held: dict[str, Any] = {"": getattr(function, "__self__", None)}
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is not None:
        cells = getattr(function, "__closure__", None) or ()
        held |= {name: cell.cell_contents for name, cell in zip(code.co_freevars, cells, strict=True)}
        known = getattr(function, "__globals__", {})
        held |= {name: known[name] for name in code.co_names if name in known}
    for name, value in held.items():
        if isinstance(value, nn.Module):
            yield from value.named_modules(prefix=name)


def _marks(value: Any, size: int) -> list[Tensor]:
    """Four numbers for each row of each tensor in ``value``, ``[size, 4]``: enough to tell rows apart."""
    if isinstance(value, tuple | list):
        return [mark for part in value for mark in _marks(part, size)]
    if not isinstance(value, Tensor) or value.ndim == 0 or value.shape[0] != size or not value.numel():
        return []
    flat = value.detach().double().reshape(size, -1)
    return [torch.stack([flat.sum(1), flat.abs().sum(1), flat.amax(1), flat.amin(1)], 1)]


def _equal(then: list[Tensor], now: list[Tensor], other: Rows) -> bool:
    return len(then) == len(now) and all(
        torch.allclose(b, a[other], rtol=1e-3, atol=1e-3 * float(a.nan_to_num(0, 0, 0).abs().amax()), equal_nan=True)
        for a, b in zip(then, now, strict=True)
    )
