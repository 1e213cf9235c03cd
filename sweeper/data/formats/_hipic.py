"""HiPic: images of Hamamatsu's cameras, of 8, 16 or 32 bits."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from sweeper.data.format import OpenFile, Source
from sweeper.data.formats._raw import RawFrames, length
from sweeper.errors import FrameError

_HEAD = 64
_TYPES = {0: "u1", 2: "<u2", 3: "<u4"}


@contextmanager
def open_hipic(source: Source) -> Iterator[OpenFile]:
    """Open a file: one image, or as many as follow one another."""
    path = source.path
    with source.stream() as stream:
        size = length(stream)
        places: list[int] = []
        kinds: set[tuple[int, int, int]] = set()
        at = 0
        while at + _HEAD <= size:
            stream.seek(at)
            head = stream.read(_HEAD)
            if not head.startswith(b"IM"):
                break  # tables of the axes' scales
            comment, width, height, _, _, kind = struct.unpack_from("<6H", head, 2)
            if kind not in _TYPES:
                raise FrameError(path, f"a HiPic image of file type {kind}, which is not supported")
            kinds.add((height, width, kind))
            places.append(at + _HEAD + comment)
            at += _HEAD + comment + height * width * np.dtype(_TYPES[kind]).itemsize
        if len(kinds) != 1:
            raise FrameError(path, "truncated" if not kinds else "its images have different sizes or types")
        [(height, width, kind)] = kinds
        frames = RawFrames(path, places, (height, width), np.dtype(_TYPES[kind]))
        frames.check_size(size, alone=False)
        yield OpenFile(len(places), lambda index: frames.read(stream, index))
