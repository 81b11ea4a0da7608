"""Files that are whole or absent, and fingerprints of what is in them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

_CHUNK = 1 << 22


def digest_of(*tensors: Tensor) -> str:
    """Return a fingerprint of the shapes, dtypes and bits of tensors.

    >>> digest_of(torch.zeros(2)) == digest_of(torch.zeros(2)), digest_of(torch.zeros(2)) == digest_of(torch.zeros(3))
    (True, False)
    """
    state = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        state.update(f"{tuple(tensor.shape)} {tensor.dtype};".encode())
        rows = tensor.detach().reshape(-1)
        for start in range(0, rows.numel(), _CHUNK):
            piece = rows[start : start + _CHUNK].cpu().contiguous()
            state.update(piece.view(torch.uint8).numpy().tobytes())
    return state.hexdigest()


def digest_of_text(text: str) -> str:
    """Return a fingerprint of a text."""
    return digest_of_bytes(text.encode())


def digest_of_bytes(content: bytes) -> str:
    """Return a fingerprint of bytes."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


@contextlib.contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """Write a file so that whoever reads it, whenever, finds all of it or what was there before.

    The bytes go to a temporary file beside it, to the disk (fsync), and then take the file's name (rename). An
    OSError says to free space and resume.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with open(temporary, "xb") as file:  # never through a link that somebody put there
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OSError(
            error.errno,
            f"Cannot write {path}: {error.strerror or error}. What was finished before is whole; make room or get "
            "permission, then resume the run",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename last; folders cannot be opened everywhere."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
