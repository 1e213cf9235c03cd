"""SPE 2.x and 3.0, as Princeton Instruments' WinView, WinSpec and LightField write it."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from sweeper.data.format import Format, OpenFile, Source
from sweeper.data.formats._raw import RawFrames, length, read_head
from sweeper.errors import FrameError

_HEAD = 4100
_TYPES = {0: "<f4", 1: "<i4", 2: "<i2", 3: "<u2", 5: "<f8", 6: "u1", 8: "<u4"}
_LAST_VALUE = 0x5555  # of the header, in files of all versions
_BLOCK = re.compile(r'<DataBlock\b[^>]*\btype="Frame"[^>]*>')


@contextmanager
def _open(source: Source) -> Iterator[OpenFile]:
    path = source.path
    with source.stream() as stream:
        size = length(stream)
        head = read_head(path, stream, _HEAD, "an SPE")
        (width,), (kind,) = struct.unpack_from("<H", head, 42), struct.unpack_from("<h", head, 108)
        (height,), (count,) = struct.unpack_from("<H", head, 656), struct.unpack_from("<i", head, 1446)
        (regions,), (version,) = struct.unpack_from("<h", head, 1510), struct.unpack_from("<f", head, 1992)
        (footer,), (last,) = struct.unpack_from("<Q", head, 678), struct.unpack_from("<H", head, 4098)
        if not (1 <= version < 4) and last != _LAST_VALUE:
            raise FrameError(path, "not an SPE file")
        if kind not in _TYPES or min(width, height, count) < 1:
            raise FrameError(
                path, f"damaged: an SPE header of {count} images, {height} × {width}, of type {kind}"
            )
        if regions > 1:
            raise FrameError(path, f"SPE with {regions} regions of interest is not supported")
        frames = RawFrames(path, [_HEAD], (height, width), np.dtype(_TYPES[kind]))
        stride, end = frames.bytes, size
        if version >= 3 and footer:
            stride, end = _stride(source, stream, footer, size, frames.bytes, count), footer
        if _HEAD + (count - 1) * stride + frames.bytes > end:
            raise FrameError(
                path, f"truncated: its header says {_HEAD + count * stride} bytes of pixels, it has {end}"
            )
        frames = RawFrames(path, range(_HEAD, _HEAD + count * stride, stride), frames.shape, frames.dtype)
        frames.check_size(end)
        yield OpenFile(count, lambda index: frames.read(stream, index))


def _stride(source: Source, stream: Any, footer: int, size: int, one: int, count: int) -> int:
    """Return how far frames are from each other, as the footer of version 3 says."""
    path = source.path
    if footer >= size or footer < _HEAD:
        raise FrameError(path, f"truncated: its footer is to begin at byte {footer}, it has {size}")
    stream.seek(footer)
    blocks = _BLOCK.findall(stream.read().decode(errors="replace"))
    if len(blocks) != 1:
        return one
    said = {name: int(number) for name, number in re.findall(r'\b(count|size|stride)="(\d+)"', blocks[0])}
    if said.get("size", one) != one or said.get("count", count) != count:
        raise FrameError(path, f"its header says {count} images of {one} bytes, its footer "
        f"{said.get('count')} of {said.get('size')}")  # fmt: skip
    return max(one, said.get("stride", one))


FORMAT = Format(
    name="spe",
    suffixes=(".spe",),
    library="none: the format is simple",
    reads="integers of 8 to 32 bits and floats",
    refuses="several regions of interest; a file that is longer or shorter than its header says",
    images="as many frames as its header says",
    masks="has none",
    open=_open,
)
