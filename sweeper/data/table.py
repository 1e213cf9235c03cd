"""CSV files that are read whole or refused: what a lenient parser passes over is found, with its line."""

from __future__ import annotations

import codecs
import csv
import mmap
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from sweeper.errors import InputError

_BREAK = re.compile(rb"\r\n|\r|\n")
_COMMENT = re.compile(rb"(?:\A(?:\xef\xbb\xbf)?|[\r\n])[ \t]*(#)")
_LATER_MARK = re.compile(rb"[\r\n](\xef\xbb\xbf)")
_WIDE_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_OTHER_DELIMITERS = {";": "';'", "\t": "tabs", "|": "'|'", ":": "':'", " ": "spaces"}
_CHUNK_BYTES = 2**24
_LONGEST_FIELD = 2**31 - 1


def check_csv(path: Path, required: Sequence[str], one_line: Sequence[str]) -> None:
    """Refuse a CSV file that is not read as it is meant.

    It has to be UTF-8 (a byte order mark at its beginning is fine) without NUL bytes, its delimiter a comma,
    every quote closed, and no line a comment. The parser itself sees to the length of rows;
    :func:`explain_rows` says which one it stumbled over.

    Parameters
    ----------
    path : Path
    required : sequence of str
        Columns that the header must have: the delimiter is recognised by them.
    one_line : sequence of str
        Columns whose values must not hold line breaks.

    Raises
    ------
    InputError
        Names the file, the line and the rule.
    OSError
        It cannot be read.
    """
    if path.stat().st_size == 0:
        raise InputError(f"{path}: manifest cannot be read: it is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        _check_encoding(path, data)
        if comment := _COMMENT.search(data):
            _refuse(
                path,
                _line_at(data, comment.start(1)),
                "begins with '#': a manifest has no comments (a path that does is written ./#...)",
            )
        quoted = data.find(b'"') >= 0
    header = next(_rows(path), (1, [""]))[1]
    _check_delimiter(path, header, required)
    if quoted:
        _check_quotes(path, header, one_line)


def explain_rows(path: Path) -> None:
    """Raise InputError for the first row that has more or fewer fields than the header, if there is one."""
    width = 0
    for line, row in _rows(path):
        width = width or len(row)
        if len(row) != width:
            _refuse(path, line, f"must have {width} fields, as the header has, it has {len(row)}")


def line_of(path: Path, row: int) -> int:
    """Return the line in which a row of a CSV file begins; the first row after the header is row 0."""
    return next(line for number, (line, _) in enumerate(_rows(path)) if number == row + 1)


def _refuse(path: Path, line: int, problem: str) -> NoReturn:
    raise InputError(f"{path}: manifest cannot be read: line {line} {problem}")


# --------------------------------------------------------------------------- bytes


def _line_at(data: mmap.mmap, offset: int) -> int:
    """Return the number of the line that holds a byte."""
    return 1 + sum(1 for _ in _BREAK.finditer(data, 0, offset))


def _check_encoding(path: Path, data: mmap.mmap) -> None:
    if data[:4].startswith(_WIDE_MARKS):
        _refuse(path, 1, "begins as UTF-16 or UTF-32 does: save the manifest as UTF-8")
    if (nul := data.find(b"\0")) >= 0:
        _refuse(path, _line_at(data, nul), "has a NUL byte: save the manifest as text in UTF-8")
    decoder, start = codecs.getincrementaldecoder("utf-8")(), 0
    while start < len(data):
        chunk = data[start : start + _CHUNK_BYTES]
        held = len(decoder.getstate()[0])
        try:
            decoder.decode(chunk, final=start + len(chunk) == len(data))
        except UnicodeDecodeError as error:
            place = start - held + error.start
            _refuse(
                path,
                _line_at(data, place),
                f"has the byte 0x{data[place]:02x}, which is not UTF-8 (Latin-1?): save it as UTF-8",
            )
        start += len(chunk)
    if mark := _LATER_MARK.search(data):
        _refuse(
            path,
            _line_at(data, mark.start(1)),
            "begins with a byte order mark: are these two files in one?",
        )


# --------------------------------------------------------------------------- rows


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the line in which it begins; empty lines are passed over."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            while True:
                line = reader.line_num + 1
                try:
                    row = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    _refuse_quote(path, line, reader.line_num, error)
                if row:
                    yield line, row
    finally:
        csv.field_size_limit(before)


def _refuse_quote(path: Path, first: int, last: int, error: csv.Error) -> NoReturn:
    if "unexpected end of data" in str(error):
        _refuse(
            path, first, "has a field that begins with a quote and has no end: a closing quote is missing"
        )
    if first == last:
        _refuse(path, first, f"has text after a closing quote ({error})")
    _refuse(
        path,
        first,
        f"has a field that begins with a quote and ends in line {last}, where more text follows: "
        "a closing quote is missing",
    )


def _check_delimiter(path: Path, header: list[str], required: Sequence[str]) -> None:
    if set(required) <= {name.strip() for name in header}:
        return
    if len(header) == 1 and header[0].strip().lower().startswith("sep="):
        _refuse(path, 1, f"must be the header, it is {header[0].strip()!r}")
    text = ",".join(header)
    for delimiter, name in _OTHER_DELIMITERS.items():
        if set(required) <= {part.strip().strip('"') for part in text.split(delimiter)}:
            _refuse(
                path,
                1,
                f"must have its columns separated by commas, not by {name}: its columns are {text}",
            )


def _check_quotes(path: Path, header: list[str], one_line: Sequence[str]) -> None:
    """Refuse quotes that swallow rows, or that are taken for text because white space stands before them."""
    names = [name.strip() for name in header]
    for line, row in _rows(path):
        for name, value in zip(names, row, strict=False):  # of rows of another length the parser says so
            if value[:1].isspace() and value.lstrip().startswith('"'):
                _refuse(path, line, "has white space before a quote: remove it")
            if "\n" not in value and "\r" not in value:
                continue
            if name in one_line:
                _refuse(path, line, f"must have no line break in {name}, it has one: {value[:80]!r}")
            later = re.split(r"\r\n|\r|\n", value)[1:]
            if any(part.count(",") >= len(names) - 1 for part in later):
                _refuse(
                    path,
                    line,
                    f"has a quoted field that goes on for {len(later)} more lines, which look like rows: "
                    "a closing quote is missing",
                )
