"""The model as the adversary sees it: unwrapped, in evaluation mode, and handed back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel


def bare(model: Any) -> Any:
    """Return the module inside a DistributedDataParallel, whose own forward would prepare a reduction; else the model.

    >>> bare(len) is len
    True
    """
    return model.module if isinstance(model, DistributedDataParallel) else model


@contextmanager
def inference(model: Any) -> Iterator[None]:
    """Hold every submodule in evaluation mode, then give each its own mode back (a frozen one stays frozen).

    >>> net = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2).eval()).train()
    >>> net[1].training = False
    >>> with inference(net):
    ...     [m.training for m in net]
    [False, False]
    >>> [m.training for m in net]
    [True, False]
    """
    training = [m for m in model.modules() if m.training] if isinstance(model, nn.Module) else []
    for module in training:
        _set(module, False)
    try:
        yield
    finally:
        for module in training:
            _set(module, True)


def _set(module: nn.Module, mode: bool) -> None:
    """Set the mode of one module; past ``nn.Module.__setattr__``, which looks for parameters, if it is a plain flag."""
    held = vars(module)
    if "training" in held:
        held["training"] = mode
    else:  # scripted and compiled modules keep it elsewhere
        module.training = mode
