"""Checkpoints: written whole or not at all."""

from __future__ import annotations

import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from maxslope._digest import whole
from maxslope._escape import first_line
from maxslope.training.identity import apart


class OtherTrainingError(ValueError):
    """A checkpoint was made by another training; ``differences`` says in words what differs."""

    def __init__(self, path: Path, differences: str) -> None:
        ValueError.__init__(
            self,
            f"The checkpoint {path} belongs to another training ({differences}); give another path or remove it.",
        )
        self.differences = differences


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
        with whole(path) as file:
            torch.save(state, file)

    def read(self) -> dict[str, Any] | None:
        """Return what was saved, of whatever training, or None where nothing was.

        Reads tensors and plain data alone; no code of the file is run.

        Raises:
            ValueError: if it is damaged, or is no checkpoint.
        """
        path = Path(self.path)
        if not path.exists():
            return None
        try:
            _check_size(path)
            state: Any = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ValueError(
                f"The checkpoint {path} cannot be read ({type(error).__name__}: {first_line(error)}); was it cut "
                "off, or written by something else? Remove it, and training starts again."
            ) from error
        if not isinstance(state, dict) or not isinstance(state.get("fingerprint"), dict):
            raise ValueError(f"{path} is no checkpoint of a training; give another path or remove it.")
        return dict(state)

    def compare(self, state: dict[str, Any], fingerprint: dict[str, Any]) -> None:
        """Raise ValueError if what was saved belongs to another training than the one with this fingerprint."""
        stored, path = state["fingerprint"], self.path
        differing = [k for k, mine in fingerprint.items() if k in stored and stored[k] != mine]
        if differing:
            words = "; ".join(f"{k} {apart(stored[k], fingerprint[k])}" for k in differing)
            raise OtherTrainingError(Path(path), words)
        if unknown := [k for k in fingerprint if k not in stored]:
            warnings.warn(
                f"The checkpoint {path} does not say with which {', '.join(unknown)} it was made (an earlier version "
                "wrote it): training goes on with those given now.",
                stacklevel=3,
            )


def _check_size(path: Path) -> None:
    """Raise ValueError if a checkpoint unpacks to more than it has: torch packs nothing."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
        if size > path.stat().st_size:
            raise ValueError(f"it has {path.stat().st_size} bytes and unpacks to {size}")
