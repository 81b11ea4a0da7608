"""Small pictures inside a page: tensors as PNG, encoded by hand, so that a page needs no image library."""

from __future__ import annotations

import base64
import struct
import zlib

import torch
from torch import Tensor

_BLUE, _WHITE, _ORANGE = (0.03, 0.32, 0.61), (0.97, 0.97, 0.97), (0.80, 0.33, 0.0)


def png(pixels: Tensor) -> bytes:
    """Return the PNG file of 8-bit pixels.

    Args:
        pixels: uint8, ``[height, width]`` gray or ``[height, width, 3]`` red, green, blue.

    Raises:
        ValueError: for another dtype or shape.

    Source: the PNG specification, W3C 2003, sections 5 and 11.

    >>> png(torch.zeros(1, 1, dtype=torch.uint8))[1:4]
    b'PNG'
    """
    if pixels.dtype != torch.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ValueError(
            f"A picture is uint8 [height, width] or [height, width, 3], got {pixels.dtype} {tuple(pixels.shape)}."
        )
    height, width = pixels.shape[:2]
    lines = torch.cat([torch.zeros(height, 1, dtype=torch.uint8), pixels.cpu().reshape(height, -1)], 1)
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if pixels.ndim == 2 else 2, 0, 0, 0)
    packed = zlib.compress(bytes(lines.flatten().tolist()), 9)
    parts = (_chunk(b"IHDR", header), _chunk(b"IDAT", packed), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def data_uri(pixels: Tensor) -> str:
    """Return pixels as an address that holds them.

    >>> data_uri(torch.zeros(1, 1, dtype=torch.uint8))[:22]
    'data:image/png;base64,'
    """
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")


def picture(image: Tensor, low: float, high: float) -> Tensor:
    """Return the pixels of an image ``[1 or 3, height, width]`` with values from ``low`` to ``high``."""
    bright = ((image.double() - low) / max(high - low, 1e-12)).clamp(0, 1).mul(255).round().to(torch.uint8)
    return bright[0] if image.shape[0] == 1 else bright.permute(1, 2, 0).contiguous()


def change(delta: Tensor, reach: float) -> Tensor:
    """Return the pixels of a perturbation ``[1 or 3, height, width]``, from ``-reach`` to ``reach``.

    One channel: blue where it darkens, orange where it brightens. Three: gray where nothing changes.
    """
    reach = max(reach, 1e-12)
    if delta.shape[0] == 3:
        return picture(delta, -reach, reach)
    share = (delta[0].double() / reach).clamp(-1, 1)[..., None]
    low, middle, high = (torch.tensor(color, dtype=torch.float64) for color in (_BLUE, _WHITE, _ORANGE))
    mixed = torch.where(share < 0, middle + share.abs() * (low - middle), middle + share * (high - middle))
    return mixed.mul(255).round().to(torch.uint8)
