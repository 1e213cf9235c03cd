"""GE: stacks of amorphous-silicon panels, with GE's own header, a blank one, or one in EDF's style."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from sweeper.data.format import OpenFile, Source
from sweeper.data.formats._edf import open_edf
from sweeper.data.formats._raw import RawFrames, length
from sweeper.errors import FrameError

_MARK = b"ADEPT"
_BLANK_HEADER, _BLANK_SIDE = 8192, 2048  # as APS's servers wrote files from 2018 on
_FIELDS = "<10s6H"  # mark, version of header, of user header, number of headers, user headers, sizes in KiB
_MAIN = 8192


@contextmanager
def open_ge(source: Source) -> Iterator[OpenFile]:
    """Open a file of a suffix of GE's."""
    path = source.path
    begins = source.beginning(_MAIN)
    if begins.lstrip().startswith(b"{"):
        with open_edf(source) as file:
            yield file
        return
    with source.stream() as stream:
        size = length(stream)
        if begins.startswith(_MARK):
            start, count, height, width, bits = _header(begins)
        elif not any(begins[:10]):
            start, height, width, bits = _BLANK_HEADER, _BLANK_SIDE, _BLANK_SIDE, 16
            count, rest = divmod(size - start, height * width * 2)
            if rest or count < 1:
                raise FrameError(
                    path, f"truncated or no GE file: a blank header and {size - start} bytes, which are "
                    f"no whole number of images of {height} × {width}"
                )  # fmt: skip
        else:
            raise FrameError(path, "not a GE file")
        if bits not in (8, 16, 32) or count < 1:
            raise FrameError(path, f"damaged: a GE header that says {count} images of {bits} bits")
        frames = RawFrames(path, [], (height, width), np.dtype(f"<u{bits // 8}"))
        one = frames.bytes
        if start + count * one > size:
            raise FrameError(
                path,
                f"truncated: its header says {count} images, {max(0, size - start) // max(one, 1)} are there",
            )
        frames = RawFrames(path, range(start, start + count * one, one), (height, width), frames.dtype)
        frames.check_size(size)
        yield OpenFile(count, lambda index: frames.read(stream, index))


def _header(begins: bytes) -> tuple[int, int, int, int, int]:
    """Return where pixels begin, the number of images, height, width and bits, as GE's own header says."""
    from fabio.GEimage import GE_HEADER_INFO

    at, said = 0, {}
    for name, size, form in GE_HEADER_INFO:
        if form is not None and at + size <= len(begins):
            (said[name],) = struct.unpack_from(form, begins, at)
        at += size
    start = said["StandardHeaderSizeInBytes"] + said["UserHeaderSizeInBytes"]
    height, width = said["NumberOfRowsInFrame"], said["NumberOfColsInFrame"]
    return int(start), int(said["NumberOfFrames"]), int(height), int(width), int(said["ImageDepthInBits"])
