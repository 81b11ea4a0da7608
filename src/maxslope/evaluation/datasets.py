"""Data from outside: from a word on the command line to samples, labels and their box."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from maxslope._escape import first_line
from maxslope._optional import optional
from maxslope._pairs import is_pair
from maxslope.evaluation._arrays import npz
from maxslope.evaluation._files import digest_of_file, needed, safetensors_header
from maxslope.evaluation.data import Batch, Stored
from maxslope.evaluation.images import ImageFolder
from maxslope.evaluation.models import PICKLES, call, tensors_of, unpickled
from maxslope.evaluation.tables import INPUTS, LABELS, Table, adopted, arrow, names_of, parquet, saved

Bounds = tuple[float, float]
Size = tuple[int, int] | None
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_UNIT = (0.0, 1.0)
_TABLES: dict[str, Any] = {".parquet": parquet, ".arrow": arrow}
_ARRAYS = {*INPUTS, *LABELS, "box"}  # that are read from npz files, which may hold more


@dataclass(frozen=True, eq=False)
class Loaded:
    """Data, the box of their inputs, and what was done to them."""

    data: Any  # as evaluate takes them
    box: Bounds | None  # None for no box
    notes: tuple[str, ...] = ()  # sentences to be said aloud


def load_data(
    word: str, *, box: Bounds | None = None, unbounded: bool = False, size: tuple[int, int] | None = None,
    trust: bool = False, most: int | None = None,
) -> Loaded:  # fmt: skip
    """Load data.

    Args:
        word: a .npz or .safetensors file with inputs (``x``, ``images``, ...) and labels (``y``, ``labels``, ...); a
            folder of images by class; a .parquet or .arrow file, or a folder of such; a data set that Hugging Face's
            datasets saved to disk; ``file.py:factory`` or ``package.module:factory`` that makes ``(x, y)``, a
            ``Dataset`` or a ``DataLoader``.
        box: the range of valid inputs. Where it is None it is read from the file (``box``) or is [0, 1] for 8-bit
            images, which are divided by 255; else it must be given.
        unbounded: there is no box.
        size: (height, width) that images are scaled to cover and cut to.
        trust: whether to load pickles.
        most: bytes that a packed file, or what is read of it at once, may take in memory; by default 1 GiB, or 64 times
            its size if that is more.

    Raises:
        ValueError: for a word of no known form, a file that cannot be read or is too large, or a box that nobody gave.
        ImportError: naming the package that is missing.
    """
    found = _read(word, size, trust, most)
    if unbounded:
        return Loaded(found.data, None, (*found.notes, "no box: inputs may take any value"))
    chosen = box or found.box
    if chosen is None:
        raise ValueError(
            f"The range of valid inputs is not known from {word}: give --box 0 1 (or --box -1 1, ...; --no-box for "
            "inputs that may take any value), or store it in the file as 'box'."
        )
    low, high = chosen
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"A box is two numbers lo < hi, got {low:g} {high:g}.")
    notes = found.notes if box else (*found.notes, f"box [{low:g}, {high:g}], from the data")
    return Loaded(found.data, chosen, notes)


def _read(word: str, size: Size, trust: bool, most: int | None) -> Loaded:
    path = Path(word)
    if path.is_dir():
        return _folder(path, size, most)
    if path.suffix not in {".npz", ".safetensors", *_TABLES, *PICKLES}:
        if ":" in word:
            return _made(word, size, most)
        raise ValueError(
            f"Data are a .npz, .safetensors, .parquet or .arrow file, a folder of images by class, a saved data set, "
            f"or file.py:factory, got {word!r}" + ("." if path.exists() else ", and there is no such folder.")
        )
    needed(path)
    if path.suffix == ".npz":
        return _npz(path, most)
    if path.suffix == ".safetensors":
        return _safetensors(path)
    if path.suffix in PICKLES:
        return _pickled(path, trust, most)
    return _table(_TABLES[path.suffix]([path], size, most))


def _folder(path: Path, size: Size, most: int | None) -> Loaded:
    files = saved(path)
    if files is not None:
        return _table(arrow(files, size, most, names_of(path)))
    for ending, kind in _TABLES.items():
        if found := sorted(p for p in path.iterdir() if p.suffix == ending):
            return _table(kind(found, size, most))
    images = ImageFolder(path, size, most)
    return Loaded(images, _UNIT, (images.words(), *_scaled(size)))


def _table(table: Table) -> Loaded:
    if len(table) == 0:
        raise ValueError(f"{table.place} holds no rows.")
    notes = (f"{len(table)} rows, inputs from {table.input!r}, labels from {table.label!r}",)
    return Loaded(table, _UNIT, (*notes, *_scaled(table.size))) if table.is_images() else Loaded(table, None, notes)


def _scaled(size: Size) -> tuple[str, ...]:
    cut = () if size is None else (f"images scaled to cover {size[0]} x {size[1]} and cut at the center",)
    return ("8-bit values divided by 255", *cut)


def _made(word: str, size: Size, most: int | None) -> Loaded:
    made = adopted(call(word, "data set"), size, most)
    if isinstance(made, Table):
        return _table(made)
    if not is_pair(made) and not isinstance(made, Dataset | DataLoader):
        raise ValueError(f"{word} makes (x, y) tensors, a Dataset or a DataLoader, got {type(made).__name__}.")
    return Loaded(made, None)


def _npz(path: Path, most: int | None) -> Loaded:
    try:
        arrays = npz(path, _ARRAYS, most)
    except Exception as error:
        raise ValueError(
            f"{path} is no npz file of plain arrays ({type(error).__name__}: {error}); write it with "
            "np.savez(path, x=..., y=..., box=[0, 1])."
        ) from error
    x, y = _pick(arrays, INPUTS, path, "inputs"), _pick(arrays, LABELS, path, "labels")
    box = _UNIT if x.dtype == np.uint8 else None
    if "box" in arrays:
        if arrays["box"].shape != (2,) or arrays["box"].dtype.kind not in "fiu":
            raise ValueError(f"{path}: 'box' is two numbers, got {arrays['box']!r}.")
        low, high = map(float, arrays["box"])
        box = (low, high)
    if x.dtype.kind not in "fiu" or y.dtype.kind not in "iu":
        raise ValueError(f"{path}: inputs are numbers and labels integers, got {x.dtype} and {y.dtype}.")
    inputs, notes = _prepared(torch.from_numpy(x.astype(x.dtype.newbyteorder("="), copy=False)), path)
    return Loaded((inputs, torch.from_numpy(y.astype(np.int64))), box, notes)


def _safetensors(path: Path) -> Loaded:
    data = Safetensors(path)
    if (text := data.metadata.get("box")) is None:
        return Loaded(data, _UNIT if data.bytes else None, data.notes)
    numbers = _NUMBER.findall(text)
    if len(numbers) != 2:
        raise ValueError(f"{path}: the metadata 'box' are two numbers, got {text!r}.")
    low, high = map(float, numbers)
    return Loaded(data, (low, high), data.notes)


class Safetensors(Stored):
    """Tensors of a safetensors file, read slice by slice.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        with optional("Data in safetensors need safetensors", "[data]"):
            from safetensors import safe_open
        self.path, self.handle = path, None
        try:
            safetensors_header(path)
            with safe_open(path, framework="pt") as file:
                self.metadata: dict[str, str] = file.metadata() or {}
                names = list(file.keys())
                self.input, self.label = _one(names, INPUTS, path, "inputs"), _one(names, LABELS, path, "labels")
                shape, kind = file.get_slice(self.input).get_shape(), file.get_slice(self.input).get_dtype()
                labels = file.get_slice(self.label).get_shape()
        except ValueError:
            raise
        except Exception as error:
            raise ValueError(f"{path} is no safetensors file ({type(error).__name__}: {error}).") from error
        if not shape or labels != shape[:1]:
            raise ValueError(f"{path}: inputs and labels must have one row per sample, got {shape} and {labels}.")
        self.count, self.bytes = int(shape[0]), kind == "U8"
        self.notes = _prepared(torch.empty(0, *shape[1:], dtype=torch.uint8 if self.bytes else torch.float32), path)[1]

    def __len__(self) -> int:
        return self.count

    def rows(self, start: int, stop: int) -> Batch:
        from safetensors import safe_open

        with safe_open(self.path, framework="pt") as file:
            x, y = file.get_slice(self.input)[start:stop], file.get_slice(self.label)[start:stop]
        if y.is_floating_point():
            raise ValueError(f"{self.path}: labels are integers, got {y.dtype}.")
        return _prepared(x, self.path)[0], y.long()

    def digest(self) -> str:
        return f"file {digest_of_file(self.path)}"


def _prepared(x: Tensor, path: Path) -> tuple[Tensor, tuple[str, ...]]:
    """8-bit images as numbers in [0, 1], channels first; everything that is done is said."""
    if x.dtype != torch.uint8:
        return (x if x.is_floating_point() else x.float()), ()
    notes = [f"{path.name}: 8-bit values divided by 255"]
    if x.ndim == 3:
        x = x[:, None]
        notes.append(f"a channel was added: {tuple(x.shape[1:])}")
    elif x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        x = x.permute(0, 3, 1, 2)
        notes.append(f"channels were put first: {tuple(x.shape[1:])}")
    return x.float() / 255, tuple(notes)


def _pickled(path: Path, trust: bool, most: int | None) -> Loaded:
    try:
        made = unpickled(path) if trust else tensors_of(path, most)
    except Exception as error:
        if trust:
            raise
        why = first_line(error) if isinstance(error, ValueError) else type(error).__name__
        raise ValueError(
            f"{path} cannot be read without running code that its author may have put into it, or is damaged ({why}); "
            "save tensors as .npz or safetensors, give file.py:factory, or add --trust if you made the file yourself."
        ) from error
    if isinstance(made, dict):
        made = (_pick(made, INPUTS, path, "inputs"), _pick(made, LABELS, path, "labels"))
    if not is_pair(made):
        raise ValueError(f"{path} holds (x, y) or a table of tensors, got {type(made).__name__}.")
    inputs, notes = _prepared(made[0], path)
    return Loaded((inputs, made[1]), _UNIT if made[0].dtype == torch.uint8 else None, notes)


def _pick(arrays: dict[str, Any], wanted: tuple[str, ...], path: Path, what: str) -> Any:
    return arrays[_one(list(arrays), wanted, path, what)]


def _one(names: list[str], wanted: tuple[str, ...], path: Path, what: str) -> str:
    found = [name for name in wanted if name in names]
    if len(found) != 1:
        raise ValueError(
            f"{path} needs exactly one array of {what} ({', '.join(wanted[:6])}, ...), got "
            f"{', '.join(found) or 'none'} among {', '.join(map(str, names)) or 'nothing'}."
        )
    return found[0]
