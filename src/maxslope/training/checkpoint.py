"""Checkpoints: written whole or not at all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Checkpoint:
    """Where a training is saved, and how often. A training that finds its own checkpoint goes on from there.

    The file is written beside its place and moved there, so that a kill at any moment leaves the old or the new one.

    Args:
        path: of the file.
        every: optimizer steps between two; None saves after each epoch.

    Raises:
        ValueError: if ``every`` is less than 1.

    >>> Checkpoint(Path("run.pt"), every=100).every
    100
    """

    path: Path
    every: int | None = None

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 1:
            raise ValueError(f"A checkpoint is saved every 1 step or more, got every={self.every}; None is each epoch.")

    def save(self, state: dict[str, Any]) -> None:
        """Write ``state`` atomically."""
        path = Path(self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    def load(self, fingerprint: dict[str, Any]) -> dict[str, Any] | None:
        """Return what was saved, or None where nothing was.

        Raises:
            ValueError: if it belongs to another training.
        """
        if not Path(self.path).exists():
            return None
        state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        other = {k: (v, state["fingerprint"].get(k)) for k, v in fingerprint.items()}
        differing = {k: pair for k, pair in other.items() if pair[0] != pair[1]}
        if differing:
            words = ", ".join(f"{k} {theirs!r} there, {mine!r} here" for k, (mine, theirs) in differing.items())
            raise ValueError(
                f"The checkpoint {self.path} belongs to another training ({words}); give another path or remove it."
            )
        return state
