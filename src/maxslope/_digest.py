"""Fingerprints of tensors, texts and bytes."""

from __future__ import annotations

import hashlib

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
