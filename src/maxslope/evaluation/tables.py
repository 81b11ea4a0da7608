"""Samples in Parquet and Arrow files, and in data sets that Hugging Face's datasets saved to disk."""

from __future__ import annotations

import bisect
import itertools
from abc import abstractmethod
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maxslope._digest import digest_of_text
from maxslope._optional import optional
from maxslope.evaluation._arrays import batches, ipc_size
from maxslope.evaluation._files import beside, bounded, read_json
from maxslope.evaluation.data import Batch, Stored
from maxslope.evaluation.images import image_of

INPUTS = ("image", "images", "img", "x", "input", "inputs", "features", "data", "pixel_values")
_MARK = 8  # bytes at the beginning of an Arrow file
LABELS = ("label", "labels", "y", "target", "targets", "fine_label", "class")


class Table(Stored):
    """Rows of columnar files: one column of inputs (images as bytes, or lists of numbers), one of integer labels.

    Args:
        files: read in this order.
        size: for images; see :class:`ImageFolder`.
        most: bytes that what is read at once may take; see :func:`maxslope.evaluation._files.allowance`.

    Raises:
        ValueError: if a file cannot be read, or the columns are not found.
    """

    def __init__(self, files: list[Path], size: tuple[int, int] | None, most: int | None = None) -> None:
        self.files, self.size, self.most = files, size, most
        with optional("Parquet and Arrow files need pyarrow", "[data]"):
            import_module("pyarrow")
        try:
            self.blocks = [block for file in files for block in self.blocks_of(file)]
            self.schema: Any = self.schema_of(files[0])
        except Exception as error:
            raise ValueError(f"{files[0]} and its like cannot be read ({type(error).__name__}: {error}).") from error
        self.ends = list(itertools.accumulate(count for _, _, count in self.blocks))
        names = list(self.schema.names)
        self.input, self.label = _found(names, INPUTS, files[0], "inputs"), _found(names, LABELS, files[0], "labels")
        self.cache: tuple[int, Any] = (-1, None)

    @abstractmethod
    def blocks_of(self, file: Path) -> list[tuple[Path, int, int]]:
        """Return (file, number, rows) of every block that is read at once."""

    @abstractmethod
    def schema_of(self, file: Path) -> Any:
        """Return the columns."""

    @abstractmethod
    def block(self, file: Path, number: int) -> Any:
        """Return the two columns of a block."""

    @abstractmethod
    def column(self, file: Path, name: str) -> list[Any]:
        """Return one column of a file."""

    def __len__(self) -> int:
        """See :class:`Stored`."""
        return self.ends[-1] if self.ends else 0

    def rows(self, start: int, stop: int) -> Batch:
        """See :class:`Stored`."""
        inputs: list[Any] = []
        labels: list[Any] = []
        while start < stop:
            k = bisect.bisect_right(self.ends, start)
            if self.cache[0] != k:
                file, number, _ = self.blocks[k]
                self.cache = (k, self._read(file, number))
            first = self.ends[k] - self.blocks[k][2]
            part = self.cache[1].slice(start - first, min(stop, self.ends[k]) - start)
            inputs += part.column(self.input).to_pylist()
            labels += part.column(self.label).to_pylist()
            start = min(stop, self.ends[k])
        return self._inputs(inputs), self._labels(labels)

    def labels(self) -> Tensor:
        """See :class:`Stored`; the column of labels is read without the inputs."""
        files = dict.fromkeys(file for file, _, _ in self.blocks)
        return self._labels([value for file in files for value in self.column(file, self.label)])

    def digest(self) -> str:
        """See :class:`Stored`; sizes of files stand for their content, which is compared part by part."""
        files = [f"{file.name} {file.stat().st_size}" for file in self.files]
        return f"table {digest_of_text(f'{self.size} {files} {self.schema.names} {len(self)}')}"

    def is_images(self) -> bool:
        """Whether inputs are images, or 8-bit numbers, whose box is [0, 1]."""
        import pyarrow.types as kinds

        kind = self.schema.field(self.input).type
        if kinds.is_struct(kind) or kinds.is_binary(kind) or kinds.is_large_binary(kind):
            return True
        while kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind):
            kind = kind.value_type
        return bool(kinds.is_uint8(kind))

    def _read(self, file: Path, number: int) -> Any:
        try:
            return self.block(file, number)
        except Exception as error:
            raise ValueError(f"{file} is damaged ({type(error).__name__}: {error}).") from error

    def _inputs(self, values: list[Any]) -> Tensor:
        first = values[0]
        if any(value is None for value in values):
            raise ValueError(f"The column {self.input!r} has rows without a value; drop them.")
        try:
            if isinstance(first, dict | bytes):
                return torch.stack([self._image(value) for value in values])
            x = torch.from_numpy(np.asarray(values, dtype=np.float32))
        except (RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"The column {self.input!r} does not hold inputs of one shape: {error} (images of several sizes: give "
                "--size 224 or so)."
            ) from error
        return x / 255 if self.is_images() else x

    def _image(self, value: Any) -> Tensor:
        content = value.get("bytes") if isinstance(value, dict) else value
        if content is None and isinstance(value, dict) and isinstance(value.get("path"), str):
            beside(self.files[0], value["path"])
            return image_of(self.files[0].parent / value["path"], value["path"], self.size, self.most)
        if not isinstance(content, bytes):
            raise ValueError("an image is bytes, or a struct of bytes and path")
        return image_of(content, f"an image of {self.input!r}", self.size, self.most)

    def _labels(self, values: list[Any]) -> Tensor:
        bad = next((value for value in values if not (isinstance(value, int) and abs(value) < 2**63)), 0)
        if bad != 0:
            raise ValueError(f"The column {self.label!r} holds class numbers, got {bad!r}; replace names by numbers.")
        return torch.tensor(values, dtype=torch.int64)


class Parquet(Table):
    """Parquet files, read row group by row group."""

    def blocks_of(self, file: Path) -> list[tuple[Path, int, int]]:
        """See :class:`Table`."""
        from pyarrow import parquet

        found = parquet.read_metadata(file)
        return [(file, k, found.row_group(k).num_rows) for k in range(found.num_row_groups)]

    def schema_of(self, file: Path) -> Any:
        """See :class:`Table`."""
        from pyarrow import parquet

        return parquet.read_schema(file)

    def block(self, file: Path, number: int) -> Any:
        """See :class:`Table`."""
        import pyarrow

        columns = [self.input, self.label]
        found = list(batches(file, groups=[number], columns=columns, most=self.most))
        return pyarrow.Table.from_batches(found).select(columns)

    def column(self, file: Path, name: str) -> list[Any]:
        """See :class:`Table`."""
        from pyarrow import parquet

        return list(parquet.read_table(file, columns=[name]).column(name).to_pylist())


class Arrow(Table):
    """Arrow files and streams, mapped into memory."""

    def blocks_of(self, file: Path) -> list[tuple[Path, int, int]]:
        """See :class:`Table`."""
        return [(file, 0, self._open(file).num_rows)]

    def schema_of(self, file: Path) -> Any:
        """See :class:`Table`."""
        return self._open(file).schema

    def block(self, file: Path, number: int) -> Any:
        """See :class:`Table`."""
        return self._open(file).select([self.input, self.label])

    def column(self, file: Path, name: str) -> list[Any]:
        """See :class:`Table`."""
        return list(self._open(file).column(name).to_pylist())

    def _open(self, file: Path) -> Any:
        import pyarrow

        source = pyarrow.memory_map(str(file))
        start = _MARK if source.read(6) == b"ARROW1" else 0  # a file is a stream behind a mark
        bounded(file, ipc_size(source, start), self.most)
        source.seek(start)
        return pyarrow.ipc.open_stream(source).read_all()


def saved(folder: Path) -> list[Path] | None:
    """Return the Arrow files of a data set that ``save_to_disk`` wrote, None if the folder is none.

    Raises:
        ValueError: if it holds several splits, or its description is damaged.
    """
    if (folder / "dataset_dict.json").exists():
        splits = sorted(p.name for p in folder.iterdir() if (p / "state.json").exists())
        raise ValueError(
            f"{folder} holds the splits {', '.join(splits)}; name one: {folder / (splits or ['test'])[0]}."
        )
    if not (folder / "state.json").exists():
        return None
    try:
        named = [item["filename"] for item in read_json(folder / "state.json")["_data_files"]]
        files = [folder / Path(name).name for name in named]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / 'state.json'} is damaged: {error!r}.") from error
    missing = [str(file) for file in files if not file.is_file()]
    if missing or not files:
        raise ValueError(f"{folder} names data files that are not there: {', '.join(missing[:3]) or 'none at all'}.")
    return files


def _found(names: list[str], wanted: tuple[str, ...], file: Path, what: str) -> str:
    found = next((name for name in wanted if name in names), None)
    if found is None:
        raise ValueError(f"{file} has no column of {what} ({', '.join(wanted[:5])}, ...), got {', '.join(names)}.")
    return found
