"""A run on disk: a folder that can be read at any time, and gone on with after any interruption.

Its files and the columns of its rows are listed in ``docs/scale.md``. ``run.json`` says what the run is, with
``format`` 2 for an evaluation, 3 for a search for smallest perturbations (1: an evaluation of an earlier version,
without checksums, read with a warning). ``decision.json`` says what the first part decided for all: effort (null, or
its stages, where a number stands for so many of its runs, rule, name and reserve), said (findings; earlier versions
wrote sentences), probes, and head (logits of the first samples, by which the model is known again).

The metadata of a part's schema hold, under ``maxslope``, a JSON object: number, start, rows, drawn (whether indices are
in the order of a draw), executed (passes, padding included), seconds, digest and first (fingerprints of the part's
samples and of its first one), and checksums (BLAKE2b, 128 bits): run (of run.json), decision (of decision.json, in part
0), points (of the part's points), content (of its own columns). They find what was damaged, mixed up or edited without
care; they are no signature: who edits with care writes new ones.

A part's files appear whole or not at all (temporary file, fsync, rename), its points before its rows; parts may appear
in any order. ``load(DIR)`` returns a :class:`Report` of the parts that are there.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maxslope._digest import digest_of_bytes, digest_of_text, whole
from maxslope.attacks.findings import Finding, Kind
from maxslope.evaluation import kept
from maxslope.evaluation._arrays import need_pyarrow
from maxslope.evaluation._files import digest_of_file, read_json
from maxslope.evaluation.part import Part, summed
from maxslope.evaluation.report import Column, Report, in_order, judged

Parts = dict[int, dict[str, Any]]  # what is known of each part, by its number
FORMAT, APPROACH = 2, 3  # of an evaluation, of a search for smallest perturbations
_FORMATS = (1, FORMAT, APPROACH)
_KINDS = {FORMAT: "an evaluation", APPROACH: "a search for smallest perturbations"}
_READERS = {
    FORMAT: "maxslope evaluate --resume, ms.resume or ms.load",
    APPROACH: "maxslope minimal --resume, or resume_smallest and load_smallest of maxslope.evaluation",
}
_NEEDED = {
    "budget", "effort", "words", "seed", "batch_size", "part", "probe", "keep_points", "samples", "choice", "model",
    "data",
}  # fmt: skip


class Folder:
    """The folder of a run; see the module's first lines.

    What is missing, damaged, altered, repeated or of another run raises ValueError with the name of the file.

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
        """What the run is."""
        if not self.exists:
            raise ValueError(
                f"{self.path} holds no run of maxslope (no run.json); start one with out={str(self.path)!r}."
            )
        kept.refuse_links(self.path)
        header = read_json(self.path / "run.json")
        if not isinstance(header, dict) or header.get("format") not in _FORMATS or _NEEDED - header.keys():
            raise ValueError(
                f"{self.path / 'run.json'} describes no run of format 1 to {APPROACH}; was it edited, or made by "
                "another version of maxslope?"
            )
        counts = [header["part"], 0 if header["samples"] is None else header["samples"]]
        if any(type(count) is not int or count < 0 for count in counts) or not header["part"]:
            raise ValueError(f"{self.path / 'run.json'} is damaged: part and samples are counts, got {counts}.")
        return header

    def opened(self, wanted: int) -> dict[str, Any]:
        """Return the header of a run of the wanted kind, ``FORMAT`` or ``APPROACH``."""
        header = self.header
        kind = max(header["format"], FORMAT)
        if kind != wanted:
            raise ValueError(f"{self.path} holds {_KINDS[kind]}, not {_KINDS[wanted]}; take {_READERS[kind]}.")
        return header

    @property
    def decision(self) -> dict[str, Any] | None:
        """What the first part decided, None before it is done."""
        found = read_json(self.path / "decision.json") if (self.path / "decision.json").exists() else None
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
        """Raise if a run has parts here, or if there is no way to write one; one that came to no part loses nothing."""
        need_pyarrow()
        if self.exists and self._parts():
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
        _write(self.path / "run.toml", toml.encode())
        self._write_json("run.json", header | {"toml": digest_of_text(toml)})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for writing; ValueError if a living process holds it.

        The lock belongs to the process as the operating system knows it, so that a dead process holds none.
        """
        from filelock import FileLock, Timeout

        kept.refuse_links(self.path)
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

    def finished(self) -> Parts:
        """Return what is known of each part that is there: number, start, rows, executed, digests."""
        header, parts = self.header, self._parts()
        found, run = {}, digest_of_file(self.path / "run.json")
        for path in parts:
            known = kept.known_of(path)
            kept.check_place(path, known, header, last=path == parts[-1])
            if header["format"] >= FORMAT and (known.keys() & {"content", "run"}) != {"content", "run"}:
                raise kept.damaged(path, "it carries no checksums, and those of this run do")
            if known.get("run", run) != run:
                raise ValueError(f"{self.path / 'run.json'} was edited since, or {path} is of another run; undo that.")
            found[int(known["number"])] = known
        path, decision = self.path / "decision.json", found.get(0, {}).get("decision")
        if decision and (not path.is_file() or digest_of_file(path) != decision):
            raise ValueError(
                f"{path} was edited or removed since the run; put it back, or delete rows/part-00000.parquet as well "
                "and resume."
            )
        return found

    def check_complete(self) -> None:
        """Raise ValueError naming what is missing: points of a part, or a part of a run that was finished."""
        parts = self._parts()
        if self.header["keep_points"]:
            for path in parts:
                if not (points := self._points(kept.number_of(path))).exists():
                    raise ValueError(f"{points} is missing; delete rows/{path.name} and resume: it is computed again.")
        if self.done:
            kept.check_whole(self.path, parts, read_json(self.path / "done.json"))

    def doubts(self) -> list[Finding]:
        """Return findings on what cannot be verified, or was edited, in a folder that is otherwise as it was."""
        header = self.header
        said = []
        if header["format"] < FORMAT:
            said.append(Finding(Kind.UNVERIFIED, "An earlier version wrote this run, without checksums."))
        toml = self.path / "run.toml"
        if header.get("toml") and (not toml.is_file() or digest_of_file(toml) != header["toml"]):
            said.append(Finding(Kind.UNVERIFIED, "run.toml was edited or removed since the run began."))
        return said

    def keep(self, part: Part, seed: int, digest: str, first: str) -> None:
        """Write a finished part, with fingerprints of all its samples and of the first one."""
        known = {
            "number": part.number,
            "start": part.start,
            "rows": part.samples,
            "drawn": part.table["index"] != list(range(part.start, part.start + part.samples)),
            "executed": part.executed,
            "seconds": round(part.seconds, 3),
            "digest": digest,
            "first": first,
            "run": digest_of_file(self.path / "run.json"),
        }
        if part.number == 0:
            said, effort = [found.data() for found in part.said], kept.changed(part.effort, self.header)
            self._write_json(
                "decision.json", {"effort": effort, "said": said, "probes": part.probes, "head": part.head}
            )
            known["decision"] = digest_of_file(self.path / "decision.json")
        if part.points is not None:
            buffer = io.BytesIO()
            np.save(buffer, part.points.numpy(), allow_pickle=False)
            _write(self._points(part.number), buffer.getvalue())
            known["points"] = digest_of_bytes(buffer.getvalue())
        _write(self._rows(part.number), kept.file_of(part, seed, known))

    def finish(self, samples: int, seconds: float) -> None:
        """Note that everything is there."""
        self._write_json("done.json", {"samples": samples, "parts": len(self._parts()), "seconds": round(seconds, 3)})

    def table(self, parts: Parts) -> dict[str, Column]:
        """Return the columns of finished parts, in the order of their samples."""
        table: dict[str, Any] = {}
        columns = kept.APPROACHED if self.header["format"] == APPROACH else kept.EVALUATED
        for number, known in parts.items():
            for name, values in kept.table_of(self._rows(number), known, columns).items():
                table.setdefault(name, []).extend(values)
        index = table.get("index", ())
        if len(set(index)) != len(index):
            raise ValueError(f"The parts in {self.path / 'rows'} hold a sample twice; one is of another run.")
        # Parts that an earlier version wrote have no files.
        return {name: column for name, column in table.items() if len(column) == len(index)}

    def points(self, parts: Parts) -> Iterator[Tensor]:
        """Yield the returned points of each of finished parts; nothing where they were not kept."""
        for number, known in parts.items() if self.header["keep_points"] else ():
            yield kept.points_of(self._points(number), known)

    def _rows(self, number: int) -> Path:
        return self.path / "rows" / f"{kept.name_of(number)}.parquet"

    def _points(self, number: int) -> Path:
        return self.path / "points" / f"{kept.name_of(number)}.npy"

    def _parts(self) -> list[Path]:
        return kept.parts_of(self.path / "rows")

    def _write_json(self, name: str, data: dict[str, Any]) -> None:
        _write(self.path / name, (json.dumps(data, indent=1, allow_nan=True) + "\n").encode())

    def _holder(self) -> str:
        try:
            return f" ({int(read_json(self.path / 'lock.json')['process'])})"
        except (ValueError, KeyError, TypeError):
            return ""


def _write(path: Path, content: bytes) -> None:
    with whole(path) as file:
        file.write(content)


def load(path: str | Path, *, points: bool = True) -> Report:
    """Read the report of a run from its folder, finished or not.

    Args:
        path: the folder that ``evaluate(..., out=path)`` wrote, or is writing.
        points: whether to read the returned points, if they were kept.

    Returns:
        A :class:`Report`; a run that is not finished, or was written without checksums, says so in ``warnings``.

    Raises:
        ValueError: if there is no run, no finished part, or a file that is missing, damaged, altered, repeated or of
            another run.
    """
    return judged(contents(path, FORMAT, points=points))


def contents(path: str | Path, wanted: int, *, points: bool) -> Report:
    """Return what the folder of a run of the wanted kind holds, without doubts about its rows; see :func:`load`."""
    folder = Folder(path)
    header, decision, parts = folder.opened(wanted), folder.decision, folder.finished()
    if not parts or decision is None:
        raise ValueError(f"No part of the run in {folder.path} is finished yet; resume it, or look again later.")
    folder.check_complete()
    found = list(folder.points(parts)) if points else []
    if len({(some.shape[1:], some.dtype) for some in found}) > 1:
        raise ValueError(f"The points of {folder.path} are of several shapes or kinds; those of another run?")
    table, returned = in_order(folder.table(parts), torch.cat(found) if found else None)
    about, findings = kept.words_of(folder.path, header, decision)
    said = [*findings, *folder.doubts()]
    if not folder.done:
        total = "" if header["samples"] is None else f" of {header['samples']}"
        said.append(Finding(Kind.UNFINISHED, f"The run is not finished: {len(table['index'])}{total} samples."))
    try:
        effort = kept.decided(kept.effort_of(header), decision)
        executed = summed(part["executed"] for part in parts.values())
        probes = summed([decision["probes"]])
        words, seed = str(header["words"]["budget"]), int(header["seed"])
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ValueError(f"{folder.path / 'run.json'} is damaged: {error!r}.") from error
    return Report(words, effort, seed, table, returned, executed, probes, tuple(said), about)
