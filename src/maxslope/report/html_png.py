"""Small pictures inside a page: tensors as PNG."""

from __future__ import annotations

import base64
import io

import torch
from torch import Tensor

from maxslope._optional import optional

_BLUE, _WHITE, _ORANGE = (0.03, 0.32, 0.61), (0.97, 0.97, 0.97), (0.80, 0.33, 0.0)


def data_uri(pixels: Tensor) -> str:
    """Return pixels, uint8 ``[height, width]`` gray or ``[height, width, 3]``, as an address that holds a PNG file.

    Raises:
        ImportError: if Pillow is not installed.

    >>> data_uri(torch.zeros(1, 1, dtype=torch.uint8))[:22]
    'data:image/png;base64,'
    """
    with optional("Pictures on a page need Pillow", "[report]"):
        from PIL import Image
    file = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


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
