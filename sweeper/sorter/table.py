"""The table that a sorter writes: CSV, a row a frame, appended as frames are sorted.

It is also what a sorter remembers: started again over the same table, it goes on after what stands in it. A
row is whole or, where the process was killed while it wrote, cut off when the table is opened again.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sweeper.errors import InputError
from sweeper.sorter.outline import Outline

if TYPE_CHECKING:
    from sweeper.sorter.model import Verdict

_TEXT = ("path", "class", "reason", "model")
_DIGITS = 6  # of a probability


@dataclass(frozen=True)
class Sorted:
    """A frame that was sorted.

    Attributes
    ----------
    verdict : Verdict
    latency_ms : float
        From when the frame was seen to arrive to its verdict; of frames that were there from the start, what
        it took to read, look at and classify it.
    """

    verdict: Verdict
    latency_ms: float


def written(path: str) -> str:
    """Return a path as it stands in a table: in one line, bytes that are no UTF-8 as ``\\\\udcff``."""
    text = path.encode("utf-8", "backslashreplace").decode()
    return text if text.isprintable() else text.encode("unicode_escape").decode()


class Table:
    """A table that is open for appending, by one process at a time.

    Parameters
    ----------
    path : Path
    model : Outline
        What the rows come from.

    Raises
    ------
    InputError
        It cannot be written, is no such table, comes from another model, or another process writes to it.
    """

    def __init__(self, path: Path, model: Outline) -> None:
        self.path, self.model = path, model
        self.columns = columns(model)
        self._done: dict[str, set[int]] = {}
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise InputError(f"{path}: the table cannot be written ({error.strerror})") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise InputError(f"{path}: another process sorts into this table") from None
        except OSError:  # a file system without locks
            pass
        try:
            self._resume()
        except BaseException:
            os.close(self._file)
            raise

    def _resume(self) -> None:
        """Cut off a row that is not whole, and note the frames that are there."""
        size = _whole_bytes(self.path)
        if size == 0:
            os.truncate(self._file, 0)
            self._write([self.columns])
            return
        with self.path.open(newline="", encoding="utf-8", errors="replace") as file:
            header = next(csv.reader(file))
        if header != self.columns:
            raise InputError(f"{self.path}: must be a table of this model and these options, or a new file")
        os.truncate(self._file, size)
        for row in read_rows(self.path):
            if row["model"] != self.model.id:
                raise InputError(
                    f"{self.path}: holds frames sorted by model {row['model']}, not {self.model.id}: give "
                    "another file"
                )
            self._done.setdefault(row["path"], set()).add(int(row["frame"]))

    def __len__(self) -> int:
        return sum(map(len, self._done.values()))

    def done(self, path: str) -> Set[int]:
        """Return which frames of a file are in the table."""
        return self._done.get(written(path), frozenset())

    def add(self, found: Sequence[Sorted]) -> list[tuple[Sorted, dict[str, Any]]]:
        """Append frames, at once; return those that were not in the table, with their rows."""
        new = []
        for each in found:
            frames = self._done.setdefault(written(each.verdict.path), set())
            if each.verdict.frame not in frames:
                frames.add(each.verdict.frame)
                new.append((each, self.row(each)))
        if new:
            self._write([list(row.values()) for _, row in new])
        return new

    def row(self, found: Sorted) -> dict[str, Any]:
        """Return a frame as a row, by column."""
        verdict = found.verdict
        keep = {} if verdict.keep is None else {"keep": _yes(verdict.keep)}
        return {
            "path": written(verdict.path),
            "frame": verdict.frame,
            "class": verdict.label,
            "accepted": _yes(verdict.accepted),
            "reason": verdict.reason,
            **keep,
            "latency_ms": round(found.latency_ms, 2),
            "model": self.model.id,
            **{
                f"p[{name}]": "" if math.isnan(p) else round(p, _DIGITS)
                for name, p in zip(self.model.classes, verdict.probabilities, strict=True)
            },
        }

    def _write(self, rows: Iterable[Sequence[Any]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        data = text.getvalue().encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(self._file, data) :]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def columns(model: Outline) -> list[str]:
    """Return the columns of a table of a model."""
    keep = ["keep"] if model.promise.never_miss else []
    names = [f"p[{name}]" for name in model.classes]
    return ["path", "frame", "class", "accepted", "reason", *keep, "latency_ms", "model", *names]


def json_line(row: dict[str, Any]) -> str:
    """Return a row as a line of JSON."""
    values: dict[str, Any] = {name: None if value == "" else value for name, value in row.items()}
    for name in ("accepted", "keep"):
        if name in values:
            values[name] = values[name] == "yes"
    return json.dumps(values, ensure_ascii=False)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _whole_bytes(path: Path) -> int:
    """Return the number of bytes up to the end of the last whole row."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        while size:
            begin = max(0, size - 65536)
            file.seek(begin)
            end = file.read(size - begin).rfind(b"\n")
            if end >= 0:
                return begin + end + 1
            size = begin
    return 0


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a table, by column."""
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        yield from csv.DictReader(file)


# --------------------------------------------------------------------------- other forms


def write_parquet(table: Path, target: Path) -> None:
    """Write a table as Parquet."""
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    from sweeper.atomic import atomically

    with table.open(newline="", encoding="utf-8") as file:
        names = next(csv.reader(file))
    types = {name: pa.string() if name in _TEXT else pa.float64() for name in names}
    types |= {"frame": pa.int64()} | {name: pa.bool_() for name in ("accepted", "keep") if name in names}
    options = pc.ConvertOptions(
        column_types=types, true_values=["yes"], false_values=["no"], strings_can_be_null=False
    )
    with atomically(target, sync=False) as partial:
        pq.write_table(pc.read_csv(table, convert_options=options), partial, compression="zstd")


def write_nexus(table: Path, target: Path, model: Outline) -> None:
    """Write a table as a NeXus file: an NXentry with an NXprocess, which says what made it.

    The file stands by itself: nothing is written into the files that hold the frames.
    """
    import datetime
    from importlib.metadata import version

    import h5py

    from sweeper.atomic import atomically

    rows = list(read_rows(table))
    text = h5py.string_dtype()

    def numbers(name: str, kind: Any) -> Any:
        return np.array([row[name] or "nan" for row in rows]).astype(kind) if rows else np.zeros(0, kind)

    with atomically(target, sync=False) as partial, h5py.File(partial, "w") as file:
        file.attrs["default"] = "entry"
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        process = entry.create_group("sorting")
        process.attrs["NX_class"] = "NXprocess"
        process["program"], process["version"] = "sweeper sort", version("sweeper")
        process["date"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        process["sequence_index"] = 1
        process["model"], process["classes"] = model.id, np.array(model.classes, dtype=text)
        data = process.create_group("data")
        data.attrs["NX_class"], data.attrs["signal"] = "NXdata", "probability"
        for name in ("path", "class", "reason"):
            data[name] = np.array([row[name] for row in rows], dtype=text)
        data["frame"], data["latency_ms"] = numbers("frame", np.int64), numbers("latency_ms", np.float64)
        for name in ("accepted", "keep"):
            if name in columns(model):
                data[name] = np.array([row[name] == "yes" for row in rows], dtype=np.uint8)
        data["probability"] = np.column_stack([numbers(f"p[{c}]", np.float64) for c in model.classes])
