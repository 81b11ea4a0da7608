"""Files from outside: how much memory they may take, what they may name, and fingerprints of what is in them."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import itertools
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

UNPACKED = 1 << 30  # bytes that any file may take in memory
_RATIO = 64  # times its own size that a larger one may take
_TEXT = 1 << 26  # bytes of a description
_NO_PICKLES = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def allowance(path: Path, most: int | None = None) -> int:
    """Return how many bytes a file may take unpacked: ``most``, or 1 GiB or 64 times its size if that is more."""
    return max(UNPACKED, _RATIO * path.stat().st_size) if most is None else most


def bounded(path: Path, wanted: int, most: int | None = None) -> None:
    """Raise ValueError, with the way to allow it, before a file takes more memory than :func:`allowance`."""
    if not 0 <= wanted <= allowance(path, most):
        raise ValueError(
            f"{path} has {path.stat().st_size} bytes and asks for {_giga(wanted)} of memory, where "
            f"{_giga(allowance(path, most))} are allowed; if you know the file, allow more with --memory GIGABYTES."
        )


def _giga(count: int) -> str:
    return f"{count / (1 << 30):.3g} GiB"


def unpacked(path: Path, archive: zipfile.ZipFile, most: int | None = None) -> None:
    """Raise before an archive is unpacked whose members are larger than allowed together."""
    bounded(path, sum(item.file_size for item in archive.infolist()), most)


@contextlib.contextmanager
def without_pickles() -> Iterator[None]:
    """Let torch, and what other packages ask of it, read tensors alone for a while: a second line, behind checks."""
    before = os.environ.get(_NO_PICKLES)
    os.environ[_NO_PICKLES] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_NO_PICKLES]
        else:
            os.environ[_NO_PICKLES] = before


def needed(path: Path) -> None:
    """Raise ValueError unless a file is there."""
    if not path.is_file():
        raise ValueError(absent(path))


def absent(path: Path) -> str:
    """Say that there is no file, and which names are alike.

    >>> absent(Path("nowhere/net.pt"))
    'There is no file nowhere/net.pt: there is no folder nowhere.'
    """
    if path.is_dir():
        return f"{path} is a folder, where a file is wanted."
    if not path.parent.is_dir():
        return f"There is no file {path}: there is no folder {path.parent}."
    alike = difflib.get_close_matches(path.name, [p.name for p in itertools.islice(path.parent.iterdir(), 10_000)], 2)
    where = f"; its folder has {' and '.join(alike)}" if alike else f" in {path.parent.resolve()}"
    return f"There is no file {path.name if not alike else path}{where}."


def beside(path: Path, place: str) -> None:
    """Raise ValueError if a file that another one names lies outside of its folder."""
    folder = path.resolve().parent
    if place and (Path(place).is_absolute() or not (folder / place).resolve().is_relative_to(folder)):
        raise ValueError(f"it names the file {place!r}, which does not lie beside it")


def safetensors_header(path: Path) -> None:
    """Raise ValueError unless the header of a safetensors file lies within it, and is no larger than a description."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= min(path.stat().st_size - 8, _TEXT):
        raise ValueError(f"{path} says that its header has {length} bytes, of {path.stat().st_size} in all")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; ValueError if it is none, or larger or deeper than any description."""
    try:
        if path.stat().st_size > _TEXT:
            raise ValueError(f"it has {path.stat().st_size} bytes, where a description has {_TEXT} at most")
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path} cannot be read: it has thousands of brackets inside each other.") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}.") from error


def digest_of_file(path: Path) -> str:
    """Return a fingerprint of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
