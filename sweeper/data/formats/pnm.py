"""PGM and its relatives: the portable any-map."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.format import Format, OpenFile, Source
from sweeper.data.formats._raw import RawFrames, length
from sweeper.errors import FrameError

_TOKEN = re.compile(rb"(?:\s|#[^\n]*\n)*([^\s#]+)")
_PLAIN, _BINARY = (b"P1", b"P2", b"P3"), (b"P4", b"P5", b"P6")
_COLOUR, _BITS = (b"P3", b"P6"), (b"P1", b"P4")
_HEAD = 2**12


@contextmanager
def _open(source: Source) -> Iterator[OpenFile]:
    path = source.path
    with source.stream() as stream:
        size = length(stream)
        kind, shape, highest, start = _header(path, stream, 0)
        if kind in _PLAIN:
            yield OpenFile(1, lambda _index: _plain(path, stream, kind, shape, highest, start))
            return
        if kind == b"P4":
            row = -(-shape[1] // 8)
            packed = RawFrames(path, [start], (shape[0], row), np.dtype("u1"))
            packed.check_size(size)
            yield OpenFile(1, lambda _index: np.unpackbits(packed.read(stream, 0), axis=1)[:, : shape[1]])
            return
        dtype = np.dtype("u1" if highest < 256 else ">u2")
        places = [start]
        one = math.prod(shape) * dtype.itemsize
        while places[-1] + one < size and _more(stream, places[-1] + one):
            following = _header(path, stream, places[-1] + one)
            if following[:3] != (kind, shape, highest):
                raise FrameError(path, "its images have different sizes or types")
            places.append(following[3])
        frames = RawFrames(path, places, shape, dtype)
        frames.check_size(size)

        def read(index: int) -> NDArray[Any]:
            counts = frames.read(stream, index)
            _check_highest(path, counts, highest)
            return counts

        yield OpenFile(len(places), read)


def _more(stream: Any, at: int) -> bool:
    """Return whether another image begins at a place, and not white space or padding."""
    stream.seek(at)
    return bool(re.match(rb"\s*P[1-6]\s", stream.read(64)))


def _header(path: Path, stream: Any, at: int) -> tuple[bytes, tuple[int, ...], int, int]:
    """Return kind, shape, largest value, and where pixels begin."""
    stream.seek(at)
    head = stream.read(_HEAD)
    tokens: list[bytes] = []
    end = 0
    wanted = 4
    while len(tokens) < wanted:
        found = _TOKEN.match(head, end)
        if found is None:
            raise FrameError(path, "truncated: a PNM header without its end")
        tokens.append(found[1])
        end = found.end()
        if len(tokens) == 1:
            if tokens[0] == b"P7":
                raise FrameError(path, "PAM files are not supported")
            if tokens[0] not in (*_PLAIN, *_BINARY):
                raise FrameError(path, "not a PNM file")
            wanted = 3 if tokens[0] in _BITS else 4
    numbers = [int(token) if token.isdigit() else 0 for token in tokens[1:]]
    highest = numbers[2] if wanted == 4 else 1
    if min(numbers) < 1 or highest > 65535:
        raise FrameError(path, "damaged: a PNM header of values that there are not")
    shape = (numbers[1], numbers[0], *((3,) if tokens[0] in _COLOUR else ()))
    return tokens[0], shape, highest, at + end + 1


def _plain(
    path: Path, stream: Any, kind: bytes, shape: tuple[int, ...], highest: int, start: int
) -> NDArray[Any]:
    """Read pixels that are written as text."""
    stream.seek(start)
    text = re.sub(rb"#[^\n]*", b"", stream.read())
    number = math.prod(shape)
    if kind == b"P1":
        digits = np.frombuffer(re.sub(rb"\s", b"", text), np.uint8).astype(np.int64) - ord("0")
    else:
        words = text.split()
        if not all(word.isdigit() and len(word) < 10 for word in words):
            raise FrameError(path, "damaged: a PNM image with pixels that are no numbers")
        digits = np.array(words, dtype=np.int64)
    if len(digits) != number:
        raise FrameError(path, f"truncated or damaged: its header says {number} pixels, it has {len(digits)}")
    _check_highest(path, digits, highest)
    return digits.astype(np.uint8 if highest < 256 else np.uint16).reshape(shape)


def _check_highest(path: Path, counts: NDArray[Any], highest: int) -> None:
    if (counts.size and int(counts.max()) > highest) or int(counts.min()) < 0:
        raise FrameError(path, f"damaged: a count of {counts.max()} where its header says at most {highest}")


FORMAT = Format(
    name="pnm",
    suffixes=(".pgm", ".pnm", ".pbm", ".ppm"),
    library="none: the format is simple",
    reads="grey images of 1 to 16 bits, binary or as text; colour images whose colours are all the same",
    refuses="true colour; counts above the largest that the header says; PAM",
    images="one frame; as many as follow one another in a binary file",
    masks="has none",
    open=_open,
)
