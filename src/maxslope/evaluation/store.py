"""A run on disk: a folder that can be read at any time, and gone on with after any interruption.

Layout, format 1 (``DIR`` is what ``evaluate(..., out=DIR)`` and ``maxslope evaluate --out DIR`` write)::

    DIR/
      run.toml               the configuration in words; `maxslope evaluate --config DIR/run.toml` does it again
      run.json               what the run is: format, maxslope, created, budget, effort (the portfolio, with every
                             run's start, criterion, scheme, steps), words (budget and effort in words), seed, part
                             (most samples of a part), probe, keep_points, samples (null if unknown), choice (how the
                             model is called), model and data (words and fingerprints), environment
      decision.json          what the first part decided for all: effort (null, or how many runs of it are made and what
                             follows; earlier versions wrote rescued and early), said (the indicators' sentences),
                             probes, head (logits of the first samples, by which the model is known again)
      rows/part-00000.parquet, ...     a Parquet data set: one row per sample, see below
      points/part-00000.npy, ...       the returned points [rows, *shape], if kept
      done.json              when everything is there: samples, seconds
      lock                   held by the process that writes, and released by its death

Columns of ``rows``: index, label, prediction (int64), verdict (robust, broken, misclassified, non-finite), margin
(logit margin at the returned point), gap, slope, distance, chance (float64, NaN where they do not apply), forward,
backward (passes), runs (starts made), reason (why the last run ended), seed. The schema's metadata hold, under
``maxslope``, a JSON object: number, start, rows, executed (forward and backward passes, padding included), seconds,
digest and first (fingerprints of the part's samples and of its first one).

A part's files appear whole or not at all (temporary file, fsync, rename), its points before its rows; parts may appear
in any order. ``load(DIR)`` returns a :class:`Report` of the parts that are there.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maxslope.attacks import Effort, Recipe
from maxslope.attacks.rule import Rule
from maxslope.attacks.stages import Runs
from maxslope.evaluation._codec import decode, encode
from maxslope.evaluation._files import write_whole
from maxslope.evaluation.part import Part
from maxslope.evaluation.report import Column, Report, warnings_of

FORMAT = 1
_NAME = re.compile(r"part-(\d{5,})\.parquet")
_INTEGERS = ("index", "label", "prediction", "forward", "backward", "runs")
_WORDS = ("verdict", "reason")
_NEEDED = {"budget", "effort", "words", "seed", "batch_size", "part", "probe", "keep_points", "samples", "choice"} | {
    "model",
    "data",
}


class Folder:
    """The folder of a run; see the module's first lines for its layout.

    Args:
        path: of the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return (self.path / "run.json").exists()

    @property
    def header(self) -> dict[str, Any]:
        """What the run is.

        Raises:
            ValueError: if there is no run, or its description cannot be read.
        """
        if not self.exists:
            raise ValueError(
                f"{self.path} holds no run of maxslope (no run.json); start one with out={str(self.path)!r}."
            )
        header = self._json("run.json")
        if not isinstance(header, dict) or header.get("format") != FORMAT or _NEEDED - header.keys():
            raise ValueError(
                f"{self.path / 'run.json'} describes no run of format {FORMAT}; was it edited, or made by another "
                "version of maxslope?"
            )
        return header

    @property
    def decision(self) -> dict[str, Any] | None:
        """What the first part decided, None before it is done."""
        found = self._json("decision.json") if (self.path / "decision.json").exists() else None
        if found is not None and not (isinstance(found, dict) and {"said", "probes", "head"} <= set(found)):
            raise ValueError(
                f"{self.path / 'decision.json'} is damaged; delete it and rows/part-00000.parquet, resume."
            )
        return found

    @property
    def done(self) -> bool:
        """Whether every part is there."""
        return (self.path / "done.json").exists()

    def refuse_a_second(self) -> None:
        """Raise if a run was begun here already, or if there is no way to write one."""
        _pyarrow()
        if self.exists:
            raise ValueError(
                f"{self.path} holds a run already; go on with it (--resume, or resume({str(self.path)!r}, model, "
                "data)), or give another folder."
            )

    def begin(self, header: dict[str, Any], toml: str) -> None:
        """Create the folder of a new run."""
        try:
            (self.path / "rows").mkdir(parents=True, exist_ok=True)
            if header["keep_points"]:
                (self.path / "points").mkdir(exist_ok=True)
        except OSError as error:
            raise OSError(error.errno, f"Cannot make the folder {self.path}: {error.strerror or error}") from error
        write_whole(self.path / "run.toml", toml.encode())
        self._write("run.json", header)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for writing.

        The lock belongs to the process as the operating system knows it, so that a dead process holds none.

        Raises:
            ValueError: if a living process holds it.
        """
        from filelock import FileLock, Timeout

        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / "lock", timeout=0)
            lock.acquire()
        except Timeout as error:
            raise ValueError(
                f"Another process{self._holder()} is writing to {self.path}; wait for it, or give another folder."
            ) from error
        except OSError as error:
            raise OSError(error.errno, f"Cannot write to the folder {self.path}: {error.strerror or error}") from error
        try:
            (self.path / "lock.json").write_text(json.dumps({"process": os.getpid()}), encoding="utf-8")
            for name in (".", "rows", "points"):
                for left in (self.path / name).glob(".*.tmp"):
                    left.unlink(missing_ok=True)
            yield
        finally:
            lock.release()

    def finished(self) -> dict[int, dict[str, Any]]:
        """Return what is known of each part that is there: number, start, rows, executed, digest, first.

        Raises:
            ValueError: naming a file that cannot be read.
        """
        parquet = _pyarrow()
        found = {}
        for path in self._parts():
            try:
                known = json.loads((parquet.read_schema(path).metadata or {})[b"maxslope"])
                found[int(known["number"])] = known
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{path} cannot be read ({error}); delete it and resume: it is computed again."
                ) from error
        return dict(sorted(found.items()))

    def keep(self, part: Part, seed: int, digests: tuple[str, str]) -> None:
        """Write a finished part: decision (of the first), points, rows."""
        name = f"part-{part.number:05d}"
        if part.number == 0:
            self._write(
                "decision.json",
                {
                    "effort": self._changed(part.effort),
                    "said": part.said,
                    "probes": part.probes,
                    "head": part.head,
                },
            )
        if part.points is not None:
            buffer = io.BytesIO()
            np.save(buffer, part.points.numpy(), allow_pickle=False)
            write_whole(self.path / "points" / f"{name}.npy", buffer.getvalue())
        known = {
            "number": part.number,
            "start": part.start,
            "rows": part.rows,
            "executed": part.executed,
            "seconds": round(part.seconds, 3),
            "digest": digests[0],
            "first": digests[1],
        }
        write_whole(self.path / "rows" / f"{name}.parquet", _parquet(part.table, seed, known))

    def finish(self, samples: int, seconds: float) -> None:
        """Note that everything is there."""
        self._write("done.json", {"samples": samples, "seconds": round(seconds, 3)})

    def table(self) -> dict[str, Column]:
        """Return the columns of all parts that are there, in the order of their samples."""
        parquet = _pyarrow()
        table: dict[str, Any] = {}
        for path in self._parts():
            try:
                columns = parquet.read_table(path).to_pydict()
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"{path} cannot be read ({error}); delete it and resume: it is computed again."
                ) from error
            for name, values in columns.items():
                if name != "seed":
                    table.setdefault(name, []).extend(values)
        return table

    def points(self) -> Tensor | None:
        """Return the returned points of all parts that are there, None where they were not kept."""
        if not self.header["keep_points"]:
            return None
        files = [self.path / "points" / f"{path.stem}.npy" for path in self._parts()]
        try:
            return torch.cat([torch.from_numpy(np.load(file, allow_pickle=False)) for file in files]) if files else None
        except (OSError, ValueError) as error:
            raise ValueError(f"The points of {self.path} cannot be read: {error}.") from error

    def _changed(self, effort: Effort | None) -> dict[str, Any] | None:
        """What an effort is beside the one that the run was begun with: how many of its runs, and what follows."""
        if effort is None or encode(effort) == self.header["effort"]:
            return None
        then = tuple(stage for stage in effort.stages if not isinstance(stage, Runs))
        return {"runs": len(effort.runs), "then": encode(then), "name": effort.name, "limit": effort.limit}

    def _parts(self) -> list[Path]:
        return sorted((p for p in (self.path / "rows").glob("part-*.parquet") if _NAME.fullmatch(p.name)), key=_number)

    def _json(self, name: str) -> Any:
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{self.path / name} cannot be read: {error}.") from error

    def _write(self, name: str, data: dict[str, Any]) -> None:
        write_whole(self.path / name, (json.dumps(data, indent=1, allow_nan=True) + "\n").encode())

    def _holder(self) -> str:
        try:
            return f" ({json.loads((self.path / 'lock.json').read_text(encoding='utf-8'))['process']})"
        except (OSError, ValueError, KeyError, TypeError):
            return ""


def load(path: str | Path, *, points: bool = True) -> Report:
    """Read the report of a run from its folder, finished or not.

    Args:
        path: the folder that ``evaluate(..., out=path)`` wrote, or is writing.
        points: whether to read the returned points, if they were kept.

    Returns:
        A :class:`Report`; a run that is not finished says so in ``warnings``.

    Raises:
        ValueError: if there is no run, no finished part, or a damaged file.
    """
    folder = Folder(path)
    header, decision, parts = folder.header, folder.decision, folder.finished()
    if not parts or decision is None:
        raise ValueError(f"No part of the run in {folder.path} is finished yet; resume it, or look again later.")
    table = folder.table()
    said = [str(sentence) for sentence in decision["said"]]
    if not folder.done:
        total = "" if header["samples"] is None else f" of {header['samples']}"
        said.append(f"the run is not finished: these are {len(table['index'])}{total} samples.")
    try:
        effort = decided(effort_of(header), decision)
        executed = tuple(sum(int(part["executed"][k]) for part in parts.values()) for k in (0, 1))
        probes = (int(decision["probes"][0]), int(decision["probes"][1]))
        words, seed = str(header["words"]["budget"]), int(header["seed"])
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{folder.path / 'run.json'} is damaged: {error!r}.") from error
    return Report(
        budget=words,
        effort=effort,
        seed=seed,
        table=table,
        points=folder.points() if points else None,
        executed=(executed[0], executed[1]),
        probes=probes,
        warnings=(*said, *warnings_of(table)),
    )


def decided(effort: Effort, decision: dict[str, Any]) -> Effort:
    """Return the effort of every sample after what the first part said, as this version or an earlier one wrote it."""
    if (changed := decision.get("effort")) is not None:
        stages = (*effort.runs[: changed["runs"]], *decode(changed["then"]))
        return replace(effort, stages=stages, name=changed["name"], limit=changed["limit"])
    if decision.get("early"):
        return effort.pursued()
    return effort.rescued() if decision.get("rescued") else effort


def effort_of(header: dict[str, Any]) -> Effort:
    """Return the effort of a run; where code of other packages was part of it, one of the same name that cannot run."""
    try:
        effort = decode(header["effort"])
    except ValueError:
        words = header["words"]
        return Effort((Recipe("not stored", 0, 0.0),), str(words["effort"]), Rule(float(words["risk"])))
    if not isinstance(effort, Effort):
        raise TypeError("no effort")
    return effort


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} cannot be read ({error}); delete it and resume: that part is computed again.")


def _number(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    assert found is not None
    return int(found[1])


def _parquet(table: dict[str, Column], seed: int, known: dict[str, Any]) -> bytes:
    parquet = _pyarrow()
    import pyarrow

    arrays = {}
    for name, column in table.items():
        if name in _WORDS:
            arrays[name] = pyarrow.array(column, pyarrow.string())
        else:
            arrays[name] = pyarrow.array(column, pyarrow.int64() if name in _INTEGERS else pyarrow.float64())
    arrays["seed"] = pyarrow.array([(seed + 2**63) % 2**64 - 2**63] * known["rows"], pyarrow.int64())
    stored = pyarrow.table(arrays).replace_schema_metadata({"maxslope": json.dumps(known)})
    buffer = io.BytesIO()
    parquet.write_table(stored, buffer)
    return buffer.getvalue()


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError('A run on disk needs pyarrow: pip install "maxslope[data]".') from error
    return pyarrow.parquet
