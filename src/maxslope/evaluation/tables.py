"""Samples in Parquet and Arrow files, and in data sets that Hugging Face's datasets saved to disk."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maxslope._digest import digest_of_text
from maxslope.evaluation._arrays import batches, ipc_size, need_pyarrow
from maxslope.evaluation._files import beside, bounded, read_json
from maxslope.evaluation.data import Batch, Stored
from maxslope.evaluation.images import image_of

INPUTS = ("image", "images", "img", "x", "input", "inputs", "features", "data", "pixel_values")
_MARK = 8  # bytes at the beginning of an Arrow file
_AT_ONCE = 256  # rows of a data set in memory
LABELS = ("label", "labels", "y", "target", "targets", "fine_label", "class")
Names = Mapping[str, tuple[str, ...]]  # of classes, by column


@dataclass(frozen=True)
class Block:
    """Rows that are read at once: of a file, so many, by the names of columns."""

    file: Path
    count: int
    read: Callable[[list[str]], Any]


class Table(Stored):
    """Rows of columnar files: one column of inputs (images as bytes, or lists of numbers), one of integer labels.

    What is read at once takes ``most`` bytes at most; images have a size as in :class:`ImageFolder`; a data set in
    memory has no files. ValueError if the columns are not found.
    """

    def __init__(
        self, schema: Any, blocks: list[Block], files: list[Path], size: tuple[int, int] | None, most: int | None,
        classes: Names | None = None,
    ) -> None:  # fmt: skip
        self.schema, self.blocks, self.files, self.size, self.most = schema, blocks, files, size, most
        self.ends = list(itertools.accumulate(block.count for block in blocks))
        self.place = files[0] if files else Path("datasets.Dataset")
        self.input = _found(schema.names, INPUTS, self.place, "inputs")
        self.label = _found(schema.names, LABELS, self.place, "labels")
        self.classes = (classes or {}).get(self.label, ())
        self.held: Any = None  # the block that was read last
        self.last = -1  # its number

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def rows(self, start: int, stop: int) -> Batch:
        inputs: list[Any] = []
        labels: list[Any] = []
        while start < stop:
            k = bisect.bisect_right(self.ends, start)
            if self.last != k:
                self.held, self.last = self._read(self.blocks[k], [self.input, self.label]), k
            first = self.ends[k] - self.blocks[k].count
            part = self.held.slice(start - first, min(stop, self.ends[k]) - start)
            inputs += part.column(self.input).to_pylist()
            labels += part.column(self.label).to_pylist()
            start = min(stop, self.ends[k])
        return self._inputs(inputs), self._labels(labels)

    def labels(self) -> Tensor:
        """See :class:`Stored`; the column of labels is read without the inputs."""
        columns = [self._read(block, [self.label]).column(self.label).to_pylist() for block in self.blocks]
        return self._labels(list(itertools.chain(*columns)))

    def digest(self) -> str:
        """See :class:`Stored`; sizes of files stand for their content, which is compared part by part."""
        files = [f"{file.name} {file.stat().st_size}" for file in self.files]
        known = f"{files} {self.schema.names} {len(self)}"
        if not files:
            known = f"{self.schema} {len(self)} {self.labels().tolist()}"
        return f"table {digest_of_text(f'{self.size} {known}')}"

    def is_images(self) -> bool:
        """Whether inputs are images, or 8-bit numbers, whose box is [0, 1]."""
        import pyarrow.types as kinds

        kind = self.schema.field(self.input).type
        if kinds.is_struct(kind) or kinds.is_binary(kind) or kinds.is_large_binary(kind):
            return True
        while kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind):
            kind = kind.value_type
        return bool(kinds.is_uint8(kind))

    def _read(self, block: Block, columns: list[str]) -> Any:
        try:
            return block.read(columns).select(columns)
        except Exception as error:
            raise ValueError(f"{block.file} is damaged ({type(error).__name__}: {error}).") from error

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
            beside(self.place, value["path"])
            return image_of(self.place.parent / value["path"], value["path"], self.size, self.most)
        if not isinstance(content, bytes):
            raise ValueError("an image is bytes, or a struct of bytes and path")
        return image_of(content, f"an image of {self.input!r}", self.size, self.most)

    def _labels(self, values: list[Any]) -> Tensor:
        bad = next((value for value in values if not (isinstance(value, int) and abs(value) < 2**63)), 0)
        if bad != 0:
            raise ValueError(f"The column {self.label!r} holds class numbers, got {bad!r}; replace names by numbers.")
        return torch.tensor(values, dtype=torch.int64)


def parquet(files: list[Path], size: tuple[int, int] | None, most: int | None) -> Table:
    """Return Parquet files as one table, read row group by row group; ValueError if they cannot be read."""
    pyarrow = need_pyarrow("Parquet and Arrow files need")

    def group(file: Path, number: int, columns: list[str]) -> Any:
        return pyarrow.Table.from_batches(list(batches(file, groups=[number], columns=columns, most=most)))

    with _opening(files):
        footers = [(file, pyarrow.parquet.read_metadata(file)) for file in files]
        blocks = [
            Block(file, footer.row_group(k).num_rows, partial(group, file, k))
            for file, footer in footers
            for k in range(footer.num_row_groups)
        ]
        schema = pyarrow.parquet.read_schema(files[0])
    return Table(schema, blocks, files, size, most)


def arrow(files: list[Path], size: tuple[int, int] | None, most: int | None, classes: Names | None = None) -> Table:
    """Return Arrow files or streams as one table, mapped into memory; ValueError if they cannot be read."""
    pyarrow = need_pyarrow("Parquet and Arrow files need")

    def opened(file: Path, columns: Any = None) -> Any:
        source = pyarrow.memory_map(str(file))
        start = _MARK if source.read(6) == b"ARROW1" else 0  # a file is a stream behind a mark
        bounded(file, ipc_size(source, start), most)
        source.seek(start)
        return pyarrow.ipc.open_stream(source).read_all()

    with _opening(files):
        blocks = [Block(file, opened(file).num_rows, partial(opened, file)) for file in files]
        schema = opened(files[0]).schema
    return Table(schema, blocks, files, size, most, classes)


@contextmanager
def _opening(files: list[Path]) -> Iterator[None]:
    """ValueError with the names of files that are damaged."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{files[0]} and its like cannot be read ({type(error).__name__}: {error}).") from error


def adopted(data: Any, size: tuple[int, int] | None = None, most: int | None = None) -> Any:
    """Return one split of Hugging Face's datasets, with its own choice and order of rows, as a table; others as is."""
    kind = type(data)
    if kind.__module__.partition(".")[0] != "datasets":
        return data
    if kind.__name__ != "Dataset":
        raise ValueError(
            f"Of Hugging Face's datasets a Dataset is read, one split with a length, got {kind.__name__}"
            + (f"; name a split: {', '.join(map(str, data))}." if isinstance(data, dict) else ".")
        )
    plain = data.with_format("arrow")

    def block(start: int) -> Block:
        stop = min(start + _AT_ONCE, len(data))
        return Block(Path("datasets.Dataset"), stop - start, lambda names: plain.select_columns(names)[start:stop])

    blocks = [block(start) for start in range(0, len(data), _AT_ONCE)]
    named = {column: tuple(getattr(feature, "names", ())) for column, feature in data.features.items()}
    return Table(data.features.arrow_schema, blocks, [], size, most, named)


def saved(folder: Path) -> list[Path] | None:
    """Return the Arrow files of a data set that ``save_to_disk`` wrote (of one split), None if the folder is none."""
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


def names_of(folder: Path) -> Names:
    """Return the names of classes that a saved data set's description has, by column; none where it has none."""
    try:
        features = dict(read_json(folder / "dataset_info.json")["features"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # names are a courtesy: numbers serve too
    return {
        column: tuple(map(str, feature["names"]))
        for column, feature in features.items()
        if isinstance(feature, dict) and isinstance(feature.get("names"), list)
    }


def _found(names: list[str], wanted: tuple[str, ...], file: Path, what: str) -> str:
    found = next((name for name in wanted if name in names), None)
    if found is None:
        raise ValueError(f"{file} has no column of {what} ({', '.join(wanted[:5])}, ...), got {', '.join(names)}.")
    return found
