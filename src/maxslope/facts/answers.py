"""What a model answers at points, for those who show it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from maxslope.energies import Network
from maxslope.goals.classes import as_logits


def answers_of(model: Any, points: Tensor) -> Tensor:
    """Return the logits of a model at points, ``[rows, classes]``; of a random one means over its draws."""
    network = Network(model)
    out = network.all_outputs(points)
    return as_logits(out if network.answers == 1 else out.reshape(-1, network.answers, *out.shape[1:]).mean(1))
