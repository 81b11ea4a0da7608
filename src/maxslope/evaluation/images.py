"""Pictures in folders, one folder a class."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from maxslope._digest import digest_of_text
from maxslope._optional import optional
from maxslope.evaluation._files import UNPACKED
from maxslope.evaluation.data import Batch, Stored

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")
_KINDS = ("PNG", "JPEG", "MPO", "BMP", "WEBP", "GIF", "TIFF", "PPM")
_PIXEL = 16  # bytes: three of 8 bits, and three of 32


class File(NamedTuple):
    """An image and the number of its class."""

    path: Path
    label: int


class ImageFolder(Stored):
    """Images ``folder/class/name.png`` as RGB in [0, 1]; classes are the folders' numbers or, sorted, their places.

    Args:
        folder: with a folder for each class.
        size: (height, width) of the inputs: the image is scaled to cover it and cut at the center; None takes images
            as they are, which must then be of one size.
        most: bytes that an image may take in memory; by default 1 GiB.

    Raises:
        ValueError: if there are no classes or no images, or some classes without any, which have no number then.
    """

    def __init__(self, folder: Path, size: tuple[int, int] | None = None, most: int | None = None) -> None:
        self.folder, self.size, self.most = folder, size, most
        classes = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
        self.numbered = bool(classes) and all(name.isdecimal() for name in classes)
        labels = {name: int(name) if self.numbered else place for place, name in enumerate(classes)}
        self.files = [
            File(path, labels[name])
            for name in classes
            for path in sorted((folder / name).rglob("*"))
            if path.suffix.lower() in ENDINGS and not path.name.startswith(".") and path.is_file()
        ]
        if not self.files:
            raise ValueError(
                f"{folder} holds no images in folders of classes ({folder.name}/cat/1.png, ...), nor a data set of "
                "another kind."
            )
        empty = sorted(set(classes) - {file.path.relative_to(folder).parts[0] for file in self.files})
        if empty and not self.numbered:
            raise ValueError(
                f"{folder} has folders without images, {', '.join(empty[:4])}{', ...' * (len(empty) > 4)}: as classes "
                "they would shift the numbers of those after them. Remove them, or, where the model knows classes that "
                "have no images here, name all folders by the numbers of their classes: 0, 1, 2, ..."
            )
        self.classes = classes

    def __len__(self) -> int:
        return len(self.files)

    def rows(self, start: int, stop: int) -> Batch:
        chosen = self.files[start:stop]
        images = [image_of(file.path, str(file.path), self.size, self.most) for file in chosen]
        shapes = {tuple(image.shape) for image in images}
        if len(shapes) > 1:
            raise ValueError(f"Images have one size, got {sorted(shapes)[:3]} in {self.folder}; give --size 224 or so.")
        return torch.stack(images), torch.tensor([file.label for file in chosen])

    def labels(self) -> Tensor:
        return torch.tensor([file.label for file in self.files])

    def name_of(self, index: int) -> str:
        """Return the name of a sample's file, from the folder of its class on."""
        return self.files[index].path.relative_to(self.folder).as_posix()

    def digest(self) -> str:
        """See :class:`Stored`; names and sizes of files stand for their content, which is compared part by part."""
        files = [f"{path.relative_to(self.folder)} {path.stat().st_size} {label}" for path, label in self.files]
        return f"images {digest_of_text(f'{self.size} {files}')}"

    def words(self) -> str:
        """Say what the labels are."""
        how = "the folders' own numbers" if self.numbered else f"0 to {len(self.classes) - 1} by the sorted folders"
        return f"{len(self.files)} images of {len(self.classes)} classes, labels are {how}"


def image_of(source: Path | bytes, name: str, size: tuple[int, int] | None, most: int | None = None) -> Tensor:
    """Decode an image to ``[3, height, width]`` in [0, 1]; ValueError if that cannot be done."""
    with optional("Images need Pillow", "[data]"):
        from PIL import Image
    limit = (UNPACKED if most is None else most) // _PIXEL
    try:
        with (
            _pixels(limit),
            Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, "r", _known()) as opened,
        ):
            if opened.mode.startswith(("I", "F")):  # which a conversion would cut at 255
                raise ValueError(f"mode {opened.mode}: 16-bit and floating-point values are read from .npz, with a box")
            image = opened.convert("RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(
            f"{name} has more than the {limit} pixels that are allowed ({error}); if you know the file, allow more "
            "with --memory GIGABYTES."
        ) from error
    except Exception as error:
        raise ValueError(f"{name} is no image that can be read ({type(error).__name__}: {error}).") from error
    if size is not None:
        image = _cover(image, size)
    return torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1).float() / 255


@contextlib.contextmanager
def _pixels(limit: int) -> Iterator[None]:
    """Let Pillow refuse images of more pixels, wherever in a file it meets them."""
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = limit
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _known() -> list[str]:
    """The formats that are read, whatever a file's name says: others start programs (EPS) or are not needed."""
    from PIL import Image

    Image.init()
    return [kind for kind in _KINDS if kind in Image.OPEN]


def _cover(image: Any, size: tuple[int, int]) -> Any:
    from PIL import Image

    height, width = size
    scale = max(height / image.height, width / image.width)
    tall, wide = max(height, round(image.height * scale)), max(width, round(image.width * scale))
    if (tall, wide) != (image.height, image.width):
        image = image.resize((wide, tall), Image.Resampling.BICUBIC)
    left, top = (wide - width) // 2, (tall - height) // 2
    return image.crop((left, top, left + width, top + height))
