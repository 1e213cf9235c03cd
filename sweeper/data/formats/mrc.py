"""MRC stacks, as electron microscopes and their cameras write them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from sweeper.data.format import Format, OpenFile, Source
from sweeper.data.formats._raw import RawFrames, length, read_head
from sweeper.errors import FrameError

_HEAD = 1024
_TYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_OTHERS = {3: "complex integers", 4: "complex numbers", 16: "colours", 101: "packed 4-bit counts"}
_IMOD, _IMOD_SIGNED = 1146047817, 1  # "IMOD" at byte 152, and the flag for signed bytes at 156


@contextmanager
def _open(source: Source) -> Iterator[OpenFile]:
    path = source.path
    with source.stream() as stream:
        size = length(stream)
        head = read_head(path, stream, _HEAD, "an MRC")
        order = _byte_order(head)
        if order is None:
            raise FrameError(path, "not an MRC file")
        width, height, sections, mode = struct.unpack_from(f"{order}4i", head)
        (extended,) = struct.unpack_from(f"{order}i", head, 92)
        if mode in _OTHERS:
            raise FrameError(path, f"MRC of mode {mode}, {_OTHERS[mode]}, is not supported")
        if mode not in _TYPES or min(width, height, sections) < 1 or extended < 0:
            raise FrameError(
                path, f"damaged: an MRC header of {sections} images, {height} × {width}, of mode {mode}"
            )
        dtype = np.dtype(order + _TYPES[mode])
        stamp, flags = struct.unpack_from(f"{order}2i", head, 152)
        if mode == 0 and stamp == _IMOD and not flags & _IMOD_SIGNED:
            dtype = np.dtype("u1")
        start, one = _HEAD + extended, height * width * dtype.itemsize
        if start + sections * one > size:
            raise FrameError(
                path, f"truncated: its header says {start + sections * one} bytes, it has {size}"
            )
        frames = RawFrames(path, range(start, start + sections * one, one), (height, width), dtype)
        frames.check_size(size)
        yield OpenFile(sections, lambda index: frames.read(stream, index))


def _byte_order(head: bytes) -> str | None:
    """Return the byte order: by the machine stamp, or, where old files have none, by what makes sense."""
    if head[208:212] == b"MAP ":
        if head[212] in (0x44, 0x41):
            return "<"
        if head[212] == 0x11:
            return ">"
    for order in "<>":
        width, height, sections, mode, *_ = struct.unpack_from(f"{order}10i", head)
        axes = struct.unpack_from(f"{order}3i", head, 64)
        sizes = 0 < width < 2**17 and 0 < height < 2**17 and 0 < sections < 2**24
        if (
            sizes
            and (mode in _TYPES or mode in _OTHERS)
            and (head[208:211] == b"MAP" or sorted(axes) == [1, 2, 3])
        ):
            return order
    return None


FORMAT = Format(
    name="mrc",
    suffixes=(".mrc", ".mrcs"),
    library="none: the format is simple",
    reads="integers of 8 and 16 bits and floats of 16 and 32, in either byte order",
    refuses="complex numbers, colours and packed 4-bit counts; a file that is longer or shorter than "
    "its header says",
    images="a section a frame, those of a volume too",
    masks="has none",
    open=_open,
)
