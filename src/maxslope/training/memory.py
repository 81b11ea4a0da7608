"""What is remembered of each sample from one epoch to the next."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from maxslope._rows import column
from maxslope.training.distributed import gathered


class Recalled(NamedTuple):
    """What is known of the samples of a batch.

    Attributes:
        offset: from the clean points, ``[rows, *shape]``; 0 where unknown.
        scale: of the step lengths, ``[rows]``; 1 where unknown.
        known: ``[rows]`` bool.
    """

    offset: Tensor
    scale: Tensor
    known: Tensor


class Memory:
    """Where each sample's last flow ended and how long its steps were, by sample id; and single numbers by name.

    Perturbations are kept in units of eps, so that they grow with a radius that grows. Rows of other processes are
    taken in too: whichever process meets a sample next knows it. Adversaries that share a memory have a slot each.

    Source: arXiv:1912.11969 (perturbations transfer from epoch to epoch).

    >>> memory = Memory()
    >>> x, ids = torch.zeros(1, 2), torch.tensor([7])
    >>> memory.keep("a", ids, torch.ones(1, 2), torch.ones(1), eps=torch.tensor([0.5]))
    >>> memory.recall("a", ids, x, eps=torch.tensor([0.25]))[0]
    tensor([[0.5000, 0.5000]])
    """

    def __init__(self) -> None:
        self._slots: dict[str, dict[str, Tensor]] = {}
        self.numbers: dict[str, float] = {}

    def recall(self, slot: str, ids: Tensor, x: Tensor, eps: Tensor) -> Recalled:
        """Return where the flows of the samples ``ids`` ended, for the radii ``eps``, ``[rows]``."""
        self._reserve(slot, int(ids.max()) + 1, x)
        held = self._slots[slot]
        return Recalled(held["offset"][ids].to(x) * column(eps, x), held["scale"][ids], held["known"][ids])

    def keep(self, slot: str, ids: Tensor, offset: Tensor, scale: Tensor, eps: Tensor) -> None:
        """Remember offsets ``[rows, *shape]`` and step scales ``[rows]`` of samples."""
        whole = gathered(ids)
        self._reserve(slot, int(whole.max()) + 1, offset)
        held = self._slots[slot]
        unit = column(torch.where(eps > 0, eps, torch.ones_like(eps)), offset)
        held["offset"][whole] = gathered(offset / unit).to(held["offset"].dtype)
        held["scale"][whole] = gathered(scale)
        held["known"][whole] = True

    def forget(self) -> None:
        """Start every sample anew."""
        for held in self._slots.values():
            held["known"].fill_(False)
            held["scale"].fill_(1.0)

    def state(self) -> dict[str, Any]:
        """Return everything as a nested dictionary of tensors and numbers."""
        slots = {name: {k: t.clone() for k, t in held.items()} for name, held in self._slots.items()}
        return {"slots": slots, "numbers": dict(self.numbers)}

    def restore(self, state: dict[str, Any], device: torch.device | None = None) -> None:
        """Take back what ``state`` returned, on a device."""
        slots = state["slots"].items()
        self._slots = {name: {k: t.clone().to(device or t.device) for k, t in held.items()} for name, held in slots}
        self.numbers = dict(state["numbers"])

    def _reserve(self, slot: str, samples: int, like: Tensor) -> None:
        held = self._slots.get(slot)
        old = 0 if held is None else held["known"].shape[0]
        if held is not None and samples <= old:
            return
        size = max(samples, 2 * old, 1024)
        new = {
            "offset": torch.zeros(size, *like.shape[1:], dtype=like.dtype, device=like.device),
            "scale": torch.ones(size, dtype=like.dtype, device=like.device),
            "known": torch.zeros(size, dtype=torch.bool, device=like.device),
        }
        if held is not None:
            for name, tensor in held.items():
                new[name][:old] = tensor
        self._slots[slot] = new
