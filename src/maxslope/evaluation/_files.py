"""Files that are whole or absent, and fingerprints of what is in them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

_CHUNK = 1 << 22


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that whoever reads it, whenever, finds all of it or what was there before.

    The bytes go to a temporary file beside it, to the disk (fsync), and then take the file's name (rename).

    Raises:
        OSError: with the advice to free space and resume, if the disk is full or does not let us write.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OSError(
            error.errno,
            f"Cannot write {path}: {error.strerror or error}. What was finished before is whole; make room or get "
            "permission, then resume the run",
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make a rename last; folders cannot be opened everywhere."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def digest_of_file(path: Path) -> str:
    """Return a fingerprint of a file's content."""
    state = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        _feed(state, file)
    return state.hexdigest()


def _feed(state: hashlib.blake2b, file: IO[bytes]) -> None:
    while chunk := file.read(_CHUNK):
        state.update(chunk)
