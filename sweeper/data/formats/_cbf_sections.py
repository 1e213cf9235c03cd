"""The binary sections of a CBF file: what their headers say, and their pixels checked against it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.format import check_size
from sweeper.data.formats._raw import read_bytes
from sweeper.data.needs import needs
from sweeper.errors import FrameError

_BEGIN = b"--CIF-BINARY-FORMAT-SECTION--"
_CLOSE = _BEGIN + b"--"
_MARK = b"\x0c\x1a\x04\xd5"  # stands before the pixels
_BLOCK = 2**16
_MOST_HEADER = 2**24  # bytes of text between binary sections
_TYPES = {
    "signed 8-bit integer": "i1", "unsigned 8-bit integer": "u1",
    "signed 16-bit integer": "i2", "unsigned 16-bit integer": "u2",
    "signed 32-bit integer": "i4", "unsigned 32-bit integer": "u4",
    "signed 64-bit integer": "i8", "unsigned 64-bit integer": "u8",
    "signed 32-bit real ieee": "f4", "signed 64-bit real ieee": "f8",
}  # fmt: skip
_BY_PYCBF = ("x-CBF_PACKED", "x-CBF_PACKED_V2", "x-CBF_CANONICAL", "x-CBF_NIBBLE_OFFSET")


@dataclass(frozen=True)
class Section:
    """A binary section of a file.

    Attributes
    ----------
    head : str
        Its header.
    start, size : int
        Where its data begin in the file, and how many bytes they are.
    """

    head: str
    start: int
    size: int

    def value(self, name: str) -> str | None:
        """Return what the header says under a name, or None."""
        found = re.search(rf"(?im)^{re.escape(name)}:\s*\"?([^\"\r\n]*)", self.head)
        return found[1].strip() if found else None

    @property
    def conversion(self) -> str:
        """How it is compressed; empty: not at all."""
        found = re.search(r"conversions=\"?([\w-]+)", self.head)
        return "" if found is None or found[1].upper() == "X-CBF_NONE" else found[1]

    def dims(self, path: Path) -> tuple[int, int, int]:
        """Return panels, height and width as the header has them; 1 panel where it does not say."""
        names = ("Third", "Second", "Fastest")
        said = [self.value(f"X-Binary-Size-{name}-Dimension") for name in names]
        if said[1] is None or said[2] is None:
            raise FrameError(path, "damaged: a CBF section without the size of its image")
        panels, height, width = (int(each) if each is not None else 1 for each in said)
        if panels < 0 or height < 1 or width < 1:
            raise FrameError(path, f"damaged: a CBF section of {height} × {width} pixels")
        return max(1, panels), height, width

    def dtype(self, path: Path) -> np.dtype[Any]:
        """Return the data type of its pixels."""
        said = self.value("X-Binary-Element-Type")
        kind = "i4" if said is None else _TYPES.get(said.lower())
        if kind is None:
            raise FrameError(path, f"pixels of the type {said!r}, which is not supported")
        return np.dtype(kind)


def read_sections(path: Path, stream: Any, *, first_only: bool = False) -> tuple[str, list[Section]]:
    """Find the binary sections of a file.

    Parameters
    ----------
    path : Path
    stream : file
        From which what lies between sections is read, and not the sections themselves.
    first_only : bool
        Do not look behind the first.

    Returns
    -------
    text : str
        The file without its sections; ``;BINARY0;`` and so on stand in their places.
    sections : list of Section

    Raises
    ------
    FrameError
        Not a CBF file, cut short, or sections in a text encoding.
    """
    stream.seek(0)
    buffer, at = stream.read(_BLOCK), 0  # `at`: where the buffer begins in the file
    if not buffer.startswith(b"###CBF"):
        raise FrameError(path, "not a CBF file: it does not begin with ###CBF")
    text: list[str] = []
    sections: list[Section] = []
    while True:
        begin, buffer = _find(stream, buffer, _BEGIN, 0, _MOST_HEADER)
        if begin < 0:
            return "".join([*text, buffer.decode("latin-1")]), sections
        mark, buffer = _find(stream, buffer, _MARK, begin, _BLOCK)
        head = buffer[begin : mark if mark >= 0 else begin + _BLOCK].decode("latin-1")
        encoding = re.search(r"(?im)^Content-Transfer-Encoding:\s*\"?([\w-]+)", head)
        if encoding and encoding[1].upper() != "BINARY":
            raise FrameError(path, f"a CBF section in {encoding[1]} encoding, which is not supported")
        if mark < 0:
            raise FrameError(path, "truncated: a CBF file that ends before its pixels begin")
        section = _section(path, head, at + mark + len(_MARK))
        text += [buffer[:begin].decode("latin-1"), f"BINARY{len(sections)}\n"]
        sections.append(section)
        if first_only:
            return "".join([*text, ";\n"]), sections
        end = section.start + section.size
        if end - at <= len(buffer):
            buffer = buffer[end - at :]
        else:
            stream.seek(end)
            buffer = stream.read(_BLOCK)
        closing = max(0, buffer.find(_CLOSE))  # behind the padding
        skipped = closing + len(_CLOSE) if closing else 0
        buffer, at = buffer[skipped:], end + skipped


def _find(stream: Any, buffer: bytes, wanted: bytes, start: int, most: int) -> tuple[int, bytes]:
    """Return where some bytes first stand in what follows, or −1, and the buffer as far as was read."""
    position = buffer.find(wanted, start)
    while position < 0 and len(buffer) - start < most and (block := stream.read(_BLOCK)):
        known = max(start, len(buffer) - len(wanted))
        buffer += block
        position = buffer.find(wanted, known)
    return position, buffer


def _section(path: Path, head: str, start: int) -> Section:
    size = Section(head, start, 0).value("X-Binary-Size")
    if size is None or not size.isdigit():
        raise FrameError(path, "damaged: a CBF section that does not say how long it is")
    return Section(head, start, int(size))


# --------------------------------------------------------------------------- pixels


def read_pixels(path: Path, stream: Any, section: Section) -> NDArray[Any]:
    """Read a section, (panels, height, width).

    Raises
    ------
    FrameError
        It is cut short, its checksum is wrong, or it holds another number of pixels than it says.
    """
    stream.seek(section.start)
    data = read_bytes(stream, section.size)
    if len(data) < section.size:
        raise FrameError(path, f"truncated: a CBF section of {section.size} bytes, {len(data)} are there")
    _check_sum(path, section, data)
    shape, dtype = section.dims(path), section.dtype(path)
    number = section.value("X-Binary-Number-of-Elements")
    if number is not None and int(number) != math.prod(shape):
        raise FrameError(
            path, f"damaged: a CBF section of {number} pixels, its image is {shape[1]} × {shape[2]}"
        )
    check_size(path, math.prod(shape) * dtype.itemsize, len(data))
    conversion = section.conversion
    if conversion.upper() == "X-CBF_BYTE_OFFSET":
        return _unpacked(path, data, shape, dtype)
    if not conversion:
        return _as_it_lies(path, section, data, shape, dtype)
    if conversion.upper() in (name.upper() for name in _BY_PYCBF):
        return _by_pycbf(path, section, data, shape, dtype)
    raise FrameError(path, f"compressed by {conversion}, which is not supported")


def _check_sum(path: Path, section: Section, data: bytes) -> None:
    said = section.value("Content-MD5")
    if not said:
        if "content-md5" in section.head.lower():
            raise FrameError(path, "damaged: the MD5 checksum of its pixels cannot be read")
        return
    try:
        wanted = base64.b64decode(said)
    except binascii.Error:
        wanted = b""
    if hashlib.md5(data, usedforsecurity=False).digest() != wanted:
        raise FrameError(path, "damaged: the MD5 checksum of its pixels is wrong")


def _unpacked(path: Path, data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Undo byte-offset compression: differences of 8, 16, 32 or 64 bits, each after the mark of its width."""
    from sweeper.data.formats._byte_offset import unpack

    if dtype.kind == "f":
        raise FrameError(path, "real numbers in byte-offset compression, which is for integers")
    size, packed = math.prod(shape), np.frombuffer(data, np.uint8)
    for kind in ([np.int32] if dtype == np.int32 else []) + [np.int64]:
        counts, limits = np.empty(size, kind), np.iinfo(kind)
        pixels, used, fits = unpack(packed, counts, limits.min, limits.max)
        if fits:
            break
    if pixels < size or used < len(packed):
        there = f"at most {pixels}" if pixels < size else "more"
        raise FrameError(path, f"damaged: its header says {size} pixels, {there} are compressed in it")
    if counts.dtype != dtype and dtype.itemsize < 8:
        limits = np.iinfo(dtype)
        low, high = int(counts.min()), int(counts.max())
        if low < limits.min or high > limits.max:
            raise FrameError(path, f"damaged: counts from {low} to {high} where its header says {dtype.name}")
    return counts.astype(dtype, copy=False).reshape(shape)


def _as_it_lies(
    path: Path, section: Section, data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    order = (section.value("X-Binary-Element-Byte-Order") or "LITTLE_ENDIAN").upper()
    if order not in ("LITTLE_ENDIAN", "BIG_ENDIAN"):
        raise FrameError(path, f"pixels in the byte order {order}, which is not supported")
    wanted = math.prod(shape) * dtype.itemsize
    if len(data) < wanted:
        raise FrameError(path, f"truncated: its header says {wanted} bytes of pixels, {len(data)} are there")
    stored = np.frombuffer(data, dtype.newbyteorder("<" if order.startswith("L") else ">"), math.prod(shape))
    return stored.astype(dtype).reshape(shape)


def _by_pycbf(
    path: Path, section: Section, data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Decode a section with CBFlib: alone in a file of its own, so that what is around it plays no part."""
    pycbf = needs("pycbf", path, f"{section.conversion} compression")
    head = re.sub(r"(?im)^(X-Binary-Size-Padding:).*$", r"\1 0", section.head).encode("latin-1").strip()
    before = b"###CBF: VERSION 1.5\r\n\r\ndata_x\r\n\r\n_array_data.data\r\n;\r\n"
    whole = b"".join([before, head, b"\r\n\r\n", _MARK, data, b"\r\n", _CLOSE, b"\r\n;\r\n"])
    with tempfile.NamedTemporaryFile(suffix=".cbf", prefix="sweeper-") as file:
        file.write(whole)
        file.flush()
        handle = pycbf.cbf_handle_struct()
        handle.read_file(file.name, pycbf.MSG_NODIGEST)
        handle.find_category(b"array_data")
        handle.find_column(b"data")
        handle.select_row(0)
        get = handle.get_realarray_as_string if dtype.kind == "f" else handle.get_integerarray_as_string
        raw = get()
    if len(raw) != math.prod(shape) * dtype.itemsize:
        raise FrameError(
            path, f"damaged: {len(raw)} bytes of pixels are compressed in a section of {shape} pixels"
        )
    return np.frombuffer(raw, dtype).reshape(shape).copy()
