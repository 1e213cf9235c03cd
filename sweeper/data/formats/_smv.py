"""SMV and d*TREK, as ADSC's and Rigaku's detectors write them: a header and one or several images."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sweeper.data.format import Limits, OpenFile, Source
from sweeper.data.formats._ascii_header import Header, parsed
from sweeper.data.formats._raw import RawFrames, length
from sweeper.data.header import of_smv
from sweeper.errors import FrameError

_TYPES = {
    "signed char": "i1", "signed_char": "i1", "signed_byte": "i1",
    "unsigned char": "u1", "unsigned_char": "u1", "unsigned_byte": "u1",
    "short int": "i2", "short": "i2", "signed_short": "i2", "signed short int": "i2", "short_int": "i2",
    "unsigned short int": "u2", "unsigned_short": "u2", "unsigned short": "u2", "unsigned_short_int": "u2",
    "long int": "i4", "long": "i4", "signed_long": "i4", "long_int": "i4", "signed long int": "i4",
    "int": "i4", "signed_int": "i4", "unsigned_int": "u4", "unsigned int": "u4",
    "unsigned long int": "u4", "unsigned_long": "u4", "unsigned long": "u4", "unsigned_long_int": "u4",
    "float ieee": "f4", "float": "f4", "float_ieee": "f4",
}  # fmt: skip
_BEGINS = 200
_SATURATION = ("CCD_IMAGE_SATURATION", "SATURATED_VALUE", "OVERFLOW", "OVERLOAD", "SATURATION")


def is_smv(begins: bytes) -> bool:
    """Return whether a file begins as an SMV file does."""
    text = begins.lstrip()
    return text.startswith(b"{") and b"HEADER_BYTES" in text[:200]


@contextmanager
def open_smv(source: Source) -> Iterator[OpenFile]:
    """Open a file: one image, or as many as its third axis has."""
    path = source.path
    with source.stream() as stream:
        header = _header(path, stream)
        begin = header.number(path, "HEADER_BYTES")
        axes = [header.number(path, f"SIZE{i}") for i in range(1, 1 + header.number(path, "DIM", 2))]
        if len(axes) < 2 or min(axes) < 1:
            raise FrameError(
                path, f"damaged: its header says an image of {' × '.join(map(str, axes)) or 'no axes'}"
            )
        shape, dtype = tuple(axes[1::-1]), _dtype(path, header)
        if not header.get("COMPRESSION", "none").lower().startswith("no"):
            raise FrameError(path, f"compressed by {header['COMPRESSION']}, which is not supported")
        one = math.prod(shape) * dtype.itemsize
        frames = RawFrames(path, range(begin, begin + math.prod(axes[2:]) * one, one), shape, dtype)
        frames.check_size(length(stream))
        yield OpenFile(
            len(frames.places),
            lambda index: frames.read(stream, index),
            limits=lambda _: _limits(path, header),
            header=lambda _: of_smv(header),
        )


def _header(path: Path, stream: Any) -> Header:
    """Read a header, which is as long as it says."""
    begins = stream.read(_BEGINS)
    found = re.search(rb"HEADER_BYTES\s*=\s*(\d{1,7})\s*;", begins)
    if found is None:
        raise FrameError(path, "damaged: an SMV header that does not say how long it is")
    whole = begins + stream.read(max(0, int(found[1]) - len(begins)))
    start, end = whole.find(b"{"), whole.find(b"}")
    if len(whole) < int(found[1]) or not 0 <= start < end:
        raise FrameError(
            path, f"truncated: its header is to have {int(found[1])} bytes, with a brace at its end"
        )
    return parsed(whole[start + 1 : end])


def _dtype(path: Path, header: Header) -> np.dtype[Any]:
    said = header.get("DATA_TYPE", header.get("TYPE", "unsigned_short"))
    kind = _TYPES.get(said.lower())
    if kind is None:
        raise FrameError(path, f"pixels of the type {said!r}, which is not supported")
    order = header.get("BYTE_ORDER", "little_endian").lower()
    if "little" not in order and "big" not in order:
        raise FrameError(path, f"pixels in the byte order {order!r}, which is not supported")
    return np.dtype(("<" if "little" in order else ">") + kind)


def _limits(path: Path, header: Header) -> Limits:
    """Return what the header says of saturation: pixels that reach it are saturated."""
    found = [header.number(path, key) for key in _SATURATION if header.get(key)]
    return Limits(highest=min(found) - 1) if found and min(found) > 0 else Limits()
