"""Data sets that are tables: a CSV or Parquet manifest with one row for each frame or file of frames."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.formats import DATASET_MARK
from sweeper.data.listing import MISSING, SPLITS, Listing, some_of
from sweeper.data.table import check_csv, explain_rows, line_of
from sweeper.errors import InputError

SUFFIXES = (".csv", ".parquet", ".pq")

_REQUIRED = ("path", "label")
_OPTIONAL = ("split", "group", "domain", "helping")
_OF_FRAMES = ("frame", "mask", "dataset")

_YES, _NO = ("yes", "true", "1", "1.0"), ("no", "false", "0", "0.0", "nan", "")

_WHOLE = re.compile(r"\d+(\.0*)?")  # 3.0 too: a column with a gap in it is of floats


@dataclass(frozen=True, eq=False)
class _Column:
    """A column of text: each row is a position in the distinct `values`."""

    values: list[str]
    row: NDArray[np.int64]

    def without(self) -> NDArray[np.int64]:
        """Return the rows that hold nothing: empty ones, and NaN as text."""
        empty = np.array([value == "" or value.lower() == "nan" for value in self.values], dtype=np.bool_)
        return np.flatnonzero(empty[self.row])


@dataclass(frozen=True, eq=False)
class Located:
    """The places of the frames that the rows of a manifest list, in the order of rows.

    Attributes are those of :class:`~sweeper.data.listing.Listing`.
    """

    files: tuple[str, ...]
    file: NDArray[np.int64]
    frame: NDArray[np.int64]
    mask_files: tuple[str, ...]
    mask: NDArray[np.int64] | None
    problems: tuple[tuple[str, str], ...]


def read_manifest(path: Path, allow_outside: bool) -> Listing:
    """Read a manifest; check that the files it names exist, without opening them.

    Columns ``path`` and ``label``, and optionally ``split``, ``group``, ``domain`` (where frames come from),
    ``helping`` (yes where frames only help, see :mod:`sweeper.data.helping`), ``frame`` (position in the
    file, from 0; none: all of its frames), ``mask`` (a mask file) and ``dataset`` (which one of an HDF5 file
    holds the frames). Others are passed over. Paths are relative to the manifest's folder.

    Raises
    ------
    ValueError
        Unreadable, empty, a column missing, an empty cell in ``path`` or ``label``, or in ``group`` where no
        frames help, a bad ``split``, ``helping`` or ``frame``, or a path that leaves the folder while
        `allow_outside` is False.
    """
    columns = _read_columns(path, _REQUIRED, (*_OPTIONAL, *_OF_FRAMES))
    helping = _helping(path, columns["helping"]) if "helping" in columns else None
    for name in ("path", "label", "group"):
        if name in columns and (name != "group" or helping is None):
            _require_all(path, name, columns[name])
    located = _located(path, columns, allow_outside)
    classes = sorted(columns["label"].values)
    class_of = _positions(columns["label"].values, classes)
    group, domain = columns.get("group"), columns.get("domain")
    rows = len(located.file)
    return Listing(
        root=path.parent,
        **vars(located),
        classes=tuple(classes),
        label=class_of[columns["label"].row],
        split=_splits(path, columns["split"]) if "split" in columns else np.full(rows, "", dtype="U5"),
        group=None if group is None else _with_none(group),
        group_names=() if group is None else tuple(group.values),
        domain=None if domain is None else domain.row,
        domain_names=() if domain is None else tuple(domain.values),
        helping=helping,
    )


def read_located(path: Path) -> Located:
    """Read where the frames are that a manifest lists, inside its folder or not; labels are not needed.

    Columns ``path``, and optionally ``frame``, ``mask`` and ``dataset``, mean what they mean to
    :func:`read_manifest`, and the same of them is refused.
    """
    columns = _read_columns(path, ("path",), _OF_FRAMES)
    _require_all(path, "path", columns["path"])
    return _located(path, columns, allow_outside=True)


def _located(path: Path, columns: Mapping[str, _Column], allow_outside: bool) -> Located:
    place = _Locator(path, path.parent, allow_outside)
    located = place.locate("path", columns["path"].values)
    names, file, problems = _with_datasets(columns["path"], columns.get("dataset"), *located)
    mask_files, mask = _masks(columns.get("mask"), place)
    rows = len(columns["path"].row)
    frame = _frames(path, columns["frame"]) if "frame" in columns else np.full(rows, -1, dtype=np.int64)
    return Located(names, file, frame, mask_files, mask, tuple(problems))


# --------------------------------------------------------------------------- columns


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _read_columns(path: Path, required: Sequence[str], optional: Sequence[str]) -> dict[str, _Column]:
    """Return the known columns as text, without white space around it."""
    import pyarrow as pa

    is_csv = _is_csv(path)
    try:
        if is_csv:
            check_csv(path, required, (*required, *optional))
        table = (_read_csv if is_csv else _read_parquet)(path, required, optional)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if is_csv and isinstance(error, pa.ArrowException):
            explain_rows(path)
        raise InputError(f"{path}: manifest cannot be read: {' '.join(str(error).split())}") from error
    if table.num_rows == 0:
        raise InputError(f"{path}: manifest must have rows, it has none")
    return {name: _encode(path, name, table.column(name)) for name in table.column_names}


def _read_csv(path: Path, required: Sequence[str], optional: Sequence[str]) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    parse = csv.ParseOptions(newlines_in_values=True)
    with csv.open_csv(path, parse_options=parse) as reader:
        header = reader.schema.names
    wanted = _wanted(path, header, required, optional)
    convert = csv.ConvertOptions(
        include_columns=list(wanted.values()),
        column_types=dict.fromkeys(wanted.values(), pa.string()),
        strings_can_be_null=False,
    )
    table = csv.read_csv(path, parse_options=parse, convert_options=convert).rename_columns(list(wanted))
    _refuse_repeated_header(path, table, required)
    return table


def _refuse_repeated_header(path: Path, table: Any, required: Sequence[str]) -> None:
    """Refuse a row that is the header again, as in two manifests that were joined into one file."""
    import pyarrow.compute as pc

    header = np.ones(table.num_rows, dtype=np.bool_)
    for name in required:
        header &= pc.equal(pc.utf8_trim_whitespace(table.column(name)), name).to_numpy(zero_copy_only=False)
    if header.any():
        line = line_of(path, int(header.argmax()))
        raise InputError(f"{path}: manifest cannot be read: line {line} is the header again")


def _read_parquet(path: Path, required: Sequence[str], optional: Sequence[str]) -> Any:
    from pyarrow import parquet

    wanted = _wanted(path, parquet.read_schema(path).names, required, optional)
    return parquet.read_table(path, columns=list(wanted.values())).rename_columns(list(wanted))


def _wanted(
    path: Path, header: list[str], required: Sequence[str], optional: Sequence[str]
) -> dict[str, str]:
    """Return for each known column its name in the file, which may have white space around it."""
    where = "line 1: " if _is_csv(path) else ""
    for name, count in Counter(column.strip() for column in header).items():
        if name and count > 1:
            raise InputError(f"{path}: {where}manifest must have one column {name!r}, it has {count}")
    wanted: dict[str, str] = {}
    for name in (*required, *optional):
        written = [column for column in header if column.strip() == name]
        if written:
            wanted[name] = written[0]
        elif name in required:
            raise InputError(
                f"{path}: {where}manifest must have a column {name!r}, its columns are {', '.join(header)}"
            )
    return wanted


def _encode(path: Path, name: str, column: Any) -> _Column:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        text = pc.utf8_trim_whitespace(pc.fill_null(pc.cast(column, pa.string()), ""))
    except pa.ArrowException as error:
        raise InputError(f"{path}: column {name!r} must be text or numbers, got {column.type}") from error
    encoded = text.combine_chunks().dictionary_encode()
    row = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return _Column(encoded.dictionary.to_pylist(), row)


def _require_all(path: Path, name: str, column: _Column) -> None:
    rows = column.without()
    if rows.size:
        raise InputError(
            f"{path}: {_line(path, int(rows[0]))}: {name} must be given in every row, {rows.size} have none: "
            "row " + some_of([int(row) + 1 for row in rows])
        )


def _line(path: Path, row: int) -> str:
    """Return where a row stands, counted from 0: ``line 7`` of a CSV file, ``row 6`` of a Parquet file."""
    return f"line {line_of(path, row)}" if _is_csv(path) else f"row {row + 1}"


def _first(path: Path, column: _Column, value: str) -> str:
    """Return where the first row stands that has a value."""
    return _line(path, int((column.row == column.values.index(value)).argmax()))


def _positions(values: list[str], ordered: list[str]) -> NDArray[np.int64]:
    position = {value: i for i, value in enumerate(ordered)}
    return np.array([position[value] for value in values], dtype=np.int64)


def _splits(path: Path, column: _Column) -> NDArray[np.str_]:
    names = []
    for value in column.values:
        name = "" if value.lower() == "nan" else value.lower()
        if name and name not in SPLITS:
            where = _first(path, column, value)
            raise InputError(f"{path}: {where}: split must be train, val or test, got {value!r}")
        names.append(SPLITS.get(name, ""))
    return np.array(names, dtype="U5")[column.row]


def _with_none(column: _Column) -> NDArray[np.int64]:
    """Return the positions of a column's values, −1 in rows that hold nothing."""
    row = column.row.copy()
    row[column.without()] = -1
    return row


def _helping(path: Path, column: _Column) -> NDArray[np.bool_] | None:
    """Return which rows only help; None where none do."""
    for value in column.values:
        if value.lower() not in (*_YES, *_NO):
            where = _first(path, column, value)
            raise InputError(f"{path}: {where}: helping must be yes or no, got {value!r}")
    helping: NDArray[np.bool_] = np.array([value.lower() in _YES for value in column.values])[column.row]
    return helping if helping.any() else None


def _frames(path: Path, column: _Column) -> NDArray[np.int64]:
    indices = []
    for value in column.values:
        if value == "" or value.lower() == "nan":
            indices.append(-1)
        elif _WHOLE.fullmatch(value):
            indices.append(int(value.split(".")[0]))
        else:
            where = _first(path, column, value)
            raise InputError(f"{path}: {where}: frame must be a whole number from 0, got {value!r}")
        if indices[-1] > np.iinfo(np.int64).max:
            where = _first(path, column, value)
            raise InputError(f"{path}: {where}: frame must be a position in a file, got {value}")
    return np.array(indices, dtype=np.int64)[column.row]


def _with_datasets(
    path: _Column, dataset: _Column | None, files: list[str], problems: list[tuple[str, str]]
) -> tuple[tuple[str, ...], NDArray[np.int64], list[tuple[str, str]]]:
    """Return distinct files, each with the dataset named in it; which of them each row has; and problems.

    Parameters
    ----------
    path, dataset : _Column
    files : list of str
        Name of each of the distinct paths.
    problems : list of (str, str)
        Of some of `files`.
    """
    pairs = np.stack([path.row, np.zeros_like(path.row) if dataset is None else dataset.row])  # (2, rows)
    distinct, of_row = np.unique(pairs, axis=1, return_inverse=True)
    named = ["" if dataset is None else dataset.values[int(code)] for code in distinct[1]]
    locations = [
        files[int(code)] if name == "" or name.lower() == "nan" else f"{files[int(code)]}{DATASET_MARK}{name}"
        for code, name in zip(distinct[0], named, strict=True)
    ]
    names = sorted(set(locations))
    reasons = dict(problems)
    missing = [
        (name, reasons[file]) for name in names if (file := name.partition(DATASET_MARK)[0]) in reasons
    ]
    missing += [(name, reasons[name]) for name in names if name in reasons and DATASET_MARK in name]
    return tuple(names), _positions(locations, names)[of_row.reshape(-1)], missing


def _masks(column: _Column | None, place: _Locator) -> tuple[tuple[str, ...], NDArray[np.int64] | None]:
    """Return the distinct mask files, absolute, and which of them each row has."""
    if column is None:
        return (), None
    given = [value for value in column.values if value and value.lower() != "nan"]
    names, problems = place.locate("mask", given)
    if problems:
        missing = some_of([name for name, _ in problems])
        where = _first(place.manifest, column, given[names.index(problems[0][0])])
        raise InputError(
            f"{place.manifest}: {where}: mask must name existing files, {len(problems)} are missing: "
            + missing
        )
    absolute = [os.path.normpath(place.root / name) for name in names]
    files = tuple(sorted(set(absolute)))
    position = {file: i for i, file in enumerate(files)}
    code = {value: position[file] for value, file in zip(given, absolute, strict=True)}
    return files, np.array([code.get(value, -1) for value in column.values], dtype=np.int64)[column.row]


# --------------------------------------------------------------------------- where files lie


class _Locator:
    """Looks for the files that a manifest names, and refuses those outside its folder."""

    def __init__(self, manifest: Path, root: Path, allow_outside: bool) -> None:
        self.manifest = manifest
        self.root = root
        self.allow_outside = allow_outside
        self.real_root = os.path.realpath(root)
        self.real_folders: dict[str, str] = {}  # few folders hold many frames
        self.entries: dict[str, set[str]] = {}

    def locate(self, column: str, values: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
        """Return names relative to the root, and (name, reason) of each that is not there."""
        names: list[str] = []
        problems: list[tuple[str, str]] = []
        outside: list[str] = []
        for value in values:
            if "\0" in value:
                raise InputError(f"{self.manifest}: {column} must be a path, got {value!r}")
            absolute = os.path.normpath(Path(self.root, value))
            if not self.allow_outside and not self._is_inside(absolute):
                outside.append(value)
                continue
            name = Path(os.path.relpath(absolute, self.root)).as_posix()
            names.append(name)
            if not os.path.exists(absolute):  # noqa: PTH110  Path.exists raises for long names
                problems.append((name, self._missing(absolute)))
        if outside:
            raise InputError(
                f"{self.manifest}: {column} must stay inside the manifest's folder, unless --allow-outside, "
                f"{len(outside)} lead outside: {some_of(outside)}"
            )
        return names, problems

    def _missing(self, absolute: str) -> str:
        """Return what is wrong with a path at which no file is."""
        folder, base = os.path.split(absolute)
        if folder not in self.entries:
            self.entries[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()  # noqa: PTH112, PTH208
        for form in ("NFC", "NFD"):
            if unicodedata.normalize(form, base) in self.entries[folder]:
                return f"{MISSING}; there is one with the same letters in another Unicode form, {form}"
        return MISSING

    def _is_inside(self, absolute: str) -> bool:
        """Return whether a path stays in the root once symbolic links are followed."""
        folder, base = os.path.split(absolute)
        if folder not in self.real_folders:
            self.real_folders[folder] = os.path.realpath(folder)
        real = Path(self.real_folders[folder], base)
        if real.is_symlink():
            real = real.resolve()
        return real.is_relative_to(self.real_root)
