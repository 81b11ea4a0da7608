"""Arrays in files: how large they say they are is looked at before memory is taken."""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from maxslope._optional import optional
from maxslope.evaluation._files import bounded

_ROWS = 64  # that are unpacked at once


def npz(path: Path, wanted: set[str], most: int | None = None) -> dict[str, Any]:
    """Return the arrays of an .npz file by name, None for those not wanted; ``most`` as in :func:`bounded`.

    ValueError if it is no archive of plain arrays or takes more; what zipfile raises, if it is damaged.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError("no archive of arrays")
    with zipfile.ZipFile(path) as archive:
        members = {item.filename.removesuffix(".npy"): item for item in archive.infolist()}
        if len(members) != len(archive.infolist()):
            raise ValueError("two arrays have one name")
        bounded(path, sum(item.file_size for name, item in members.items() if name in wanted), most)
        arrays: dict[str, Any] = dict.fromkeys(members)
        for name in members.keys() & wanted:
            with archive.open(members[name]) as stream:
                arrays[name] = npy(stream, members[name].file_size, path, most)
    return arrays


def npy(file: Any, size: int, path: Path, most: int | None = None) -> np.ndarray:
    """Return the array of a .npy stream of ``size`` bytes; ValueError, before memory is taken, if it says otherwise."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version} of the format is not read")
    shape, fortran, dtype = readers[version](file)
    if dtype.hasobject:
        raise ValueError("it holds objects, which are pickles")
    count = math.prod(map(int, shape))
    if min((0, *shape)) < 0 or dtype.itemsize == 0:
        raise ValueError(f"an array of shape {shape} and {dtype} has no size")
    bounded(path, count * (dtype.itemsize + (4 if dtype.itemsize < 4 else 0)), most)  # small ones become float32
    if count * dtype.itemsize > size:
        raise ValueError(f"an array of shape {shape} and {dtype} has more than the {size} bytes that are there")
    content = bytearray(count * dtype.itemsize)
    if (read := file.readinto(content)) < len(content):
        raise ValueError(f"it ends after {read} of {len(content)} bytes")
    array = np.frombuffer(content, dtype)
    return array.reshape(shape[::-1]).transpose() if fortran else array.reshape(shape)


def batches(
    path: Path, *, groups: list[int] | None = None, columns: list[str] | None = None, most: int | None = None
) -> Iterator[Any]:
    """Yield rows of groups of a Parquet file (of all), of columns (of all), a few at a time, as far as it may."""
    with need_pyarrow().parquet.ParquetFile(path) as opened:
        found = opened.metadata
        chosen = range(found.num_row_groups) if groups is None else groups
        said = [found.row_group(k).column(c) for k in chosen for c in range(found.num_columns)]
        own = [c for c in said if columns is None or c.path_in_schema.partition(".")[0] in columns]
        bounded(path, sum(max(c.total_uncompressed_size, c.num_values) for c in own), most)
        taken = 0
        for batch in opened.iter_batches(_ROWS, row_groups=list(chosen), columns=columns):
            taken += batch.nbytes
            bounded(path, taken, most)
            yield batch


def ipc_size(source: Any, start: int) -> int:
    """Return how many bytes the buffers of an Arrow stream that begins at ``start`` say they take when unpacked.

    Compressed buffers begin with that number; which buffers there are is in the metadata of each message, a
    FlatBuffer, whose tables are read here as far as that needs (Arrow columnar format, "Message.fbs").
    """
    import pyarrow

    source.seek(start)
    total = 0
    for message in pyarrow.ipc.MessageReader.open_stream(source):
        if message.type == "record batch":
            total += _unpacked(bytes(message.metadata), message.body)
        elif message.type == "dictionary":
            total += _unpacked(bytes(message.metadata), message.body, inner=1)
    return total


def _unpacked(data: bytes, body: Any, inner: int | None = None) -> int:
    """Bytes of the buffers of a message: a RecordBatch, or a DictionaryBatch around one."""
    batch = _field(data, struct.unpack_from("<I", data, 0)[0], 2)
    if inner is not None:
        batch = _field(data, batch, inner)
    buffers, packed = _field(data, batch, 2), _field(data, batch, 3)
    if not packed or not buffers:
        return len(body)
    total = 0
    for k in range(struct.unpack_from("<I", data, buffers)[0]):
        offset, length = struct.unpack_from("<qq", data, buffers + 4 + 16 * k)
        if length >= 8 and 0 <= offset <= len(body) - 8:
            total += max(struct.unpack_from("<q", body, offset)[0], length)
    return total


def _field(data: bytes, table: int, number: int) -> int:
    """Where the table or vector lies to which a field of a table refers, 0 if it has none."""
    entries = table - struct.unpack_from("<i", data, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", data, entries)[0]:
        return 0
    place = struct.unpack_from("<H", data, entries + 4 + 2 * number)[0]
    return table + place + struct.unpack_from("<I", data, table + place)[0] if place else 0


def need_pyarrow(what: str = "A run on disk needs") -> Any:
    """Return pyarrow with its module for Parquet; ImportError with the extra that has it."""
    with optional(f"{what} pyarrow", "[data]"):
        import pyarrow.parquet
    return pyarrow
