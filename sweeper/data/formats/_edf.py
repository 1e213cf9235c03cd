"""EDF: one or several blocks of header and pixels, as ESRF's and other facilities' servers write them."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.format import Limits, OpenFile, Source, check_size
from sweeper.data.formats._ascii_header import Header, read_header
from sweeper.data.formats._raw import RawFrames, length
from sweeper.data.header import of_edf
from sweeper.errors import FrameError

_TYPES = {
    "SIGNEDBYTE": "i1", "SIGNED8": "i1", "UNSIGNEDBYTE": "u1", "UNSIGNED8": "u1",
    "SIGNEDSHORT": "i2", "SIGNED16": "i2",
    "UNSIGNEDSHORT": "u2", "UNSIGNED16": "u2", "UNSIGNEDSHORTINTEGER": "u2",
    "SIGNEDINTEGER": "i4", "SIGNED32": "i4", "SIGNEDLONG": "i4",
    "UNSIGNEDINTEGER": "u4", "UNSIGNED32": "u4", "UNSIGNEDLONG": "u4",
    "SIGNED64": "i8", "UNSIGNED64": "u8",
    "FLOAT": "f4", "FLOATVALUE": "f4", "FLOATIEEE32": "f4", "FLOAT32": "f4",
    "DOUBLE": "f8", "DOUBLEVALUE": "f8", "FLOATIEEE64": "f8", "DOUBLEIEEE64": "f8",
}  # fmt: skip
_COMPANION = re.compile(r"error|variance|sigma|mask|flat|dark", re.IGNORECASE)
_MOST_BLOCKS = 1_000_000
_DATA_ID = re.compile(r"\d+\.image\.(\w+)", re.IGNORECASE)


@dataclass(frozen=True)
class _Packed:
    """A compressed block, which holds one frame."""

    path: Path
    start: int
    size: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, stream: Any) -> NDArray[Any]:
        """Read its frame."""
        stream.seek(self.start)
        data = stream.read(self.size)
        wanted = math.prod(self.shape) * self.dtype.itemsize
        check_size(self.path, wanted, len(data))
        unpacker = zlib.decompressobj(wbits=47)  # gzip or zlib
        pixels = unpacker.decompress(data, wanted + 1)
        if len(pixels) != wanted or not unpacker.eof:
            raise FrameError(
                self.path, "damaged or truncated: a compressed block of another length than its header says"
            )
        return np.frombuffer(pixels, self.dtype).reshape(self.shape).copy()


@contextmanager
def open_edf(source: Source) -> Iterator[OpenFile]:
    """Open a file: all images of all of its blocks, without those that say that they are errors or masks."""
    with source.stream() as stream:
        yield _opened(source.path, stream)


def _opened(path: Path, stream: Any) -> OpenFile:
    blocks: list[RawFrames | _Packed] = []
    limits: list[Limits] = []
    headers: list[Header] = []
    start, size = 0, length(stream)
    passed = 0
    while (found := read_header(path, stream, start)) is not None:
        header, begin = found
        start = begin
        if "DIM_1" not in header or "DIM_2" not in header:
            if "EDF_DATAFORMATVERSION" in header or header.number(path, "EDF_BINARYSIZE", 0) == 0:
                start += header.number(path, "EDF_BINARYSIZE", 0)  # a general block, which holds no image
                continue
            raise FrameError(path, "holds a block that is no image: its header has no Dim_1 and Dim_2")
        block, start = _block(path, header, begin, size)
        if _is_companion(header):
            passed += 1
            continue
        blocks.append(block)
        limits.append(_limits(header))
        headers.append(header)
        if len(blocks) > _MOST_BLOCKS:
            raise FrameError(path, "damaged: more blocks than a file can have")
    if not blocks:
        raise FrameError(path, "empty: holds no image" + (", but errors of one" if passed else ""))
    place = [(number, i) for number, block in enumerate(blocks) for i in range(_images(block))]

    def read(index: int) -> NDArray[Any]:
        number, inside = place[index]
        block = blocks[number]
        return block.read(stream, inside) if isinstance(block, RawFrames) else block.read(stream)

    return OpenFile(
        len(place),
        read,
        limits=lambda index: limits[place[index][0]],
        header=lambda index: of_edf(headers[place[index][0]]),
    )


def _images(block: RawFrames | _Packed) -> int:
    return len(block.places) if isinstance(block, RawFrames) else 1


def _is_companion(header: Header) -> bool:
    """Return whether a block says that it is the errors or the mask of another."""
    found = _DATA_ID.match(header.get("EDF_DATABLOCKID", ""))
    return found is not None and _COMPANION.search(found[1]) is not None


def _block(path: Path, header: Header, begin: int, file_size: int) -> tuple[RawFrames | _Packed, int]:
    """Return the images of a block, and where the next one begins."""
    axes = [header.number(path, f"DIM_{i}", 1) for i in range(1, 1 + max(_axes(header)))]
    shape, dtype = tuple(axes[1::-1]), _dtype(path, header)
    count = math.prod(axes[2:]) * header.number(path, "NUM_IMAGES", 1)
    one = math.prod(shape) * dtype.itemsize
    if min(axes) < 1 or count < 1:
        raise FrameError(path, f"damaged: its header says {count} images of {shape[0]} × {shape[1]}")
    if "EDF_BINARYFILENAME" in header:
        raise FrameError(path, f"its pixels are in {header['EDF_BINARYFILENAME']}, which is not supported")
    said = header.number(path, "EDF_BINARYSIZE" if "EDF_BINARYSIZE" in header else "SIZE", one * count)
    compression = header.get("COMPRESSION", "NONE").upper()
    if not compression.startswith("NO") and compression != "":
        if not compression.startswith(("GZIP", "ZIP", "Z", "ZLIB")):
            raise FrameError(path, f"compressed by {compression}, which is not supported")
        if count != 1:
            raise FrameError(path, f"{count} images compressed in one block, which is not supported")
        if begin + said > file_size:
            raise FrameError(path, f"truncated: its header says {begin + said} bytes, it has {file_size}")
        return _Packed(path, begin, said, shape, dtype), begin + said
    if said == one:  # of each image, as APS's server writes it
        said = one * count
    if said < one * count:
        raise FrameError(path, f"damaged: its header says {said} bytes for {count} images of {one} bytes")
    if said >= one * (count + 1) and said % one == 0:
        raise FrameError(
            path, f"its header says {said} bytes, which are {said // one} images, and {count} of them"
        )
    if count * one > file_size - begin:
        raise FrameError(path, f"truncated: its header says {begin + count * one} bytes, it has {file_size}")
    frames = RawFrames(path, range(begin, begin + count * one, one), shape, dtype)
    return frames, begin + said


def _axes(header: Header) -> list[int]:
    return [int(key[4:]) for key in header if re.fullmatch(r"DIM_\d{1,2}", key)]


def _dtype(path: Path, header: Header) -> np.dtype[Any]:
    said = header.get("DATATYPE", "UnsignedShort")
    kind = _TYPES.get(said.upper().replace(" ", ""))
    if kind is None:
        raise FrameError(path, f"pixels of the type {said!r}, which is not supported")
    order = header.get("BYTEORDER", "LowByteFirst").upper()
    if order not in ("LOWBYTEFIRST", "HIGHBYTEFIRST"):
        raise FrameError(path, f"pixels in the byte order {order!r}, which is not supported")
    return np.dtype(("<" if order.startswith("LOW") else ">") + kind)


def _limits(header: Header) -> Limits:
    """Return the dummy value that stands for pixels without a measurement; 0 means that there is none."""
    try:
        dummy, width = float(header.get("DUMMY", 0)), float(header.get("DDUMMY", 0))
    except ValueError:
        return Limits()
    return (
        Limits(dummies=(dummy,), dummy_width=abs(width))
        if dummy != 0 and math.isfinite(dummy + width)
        else Limits()
    )
