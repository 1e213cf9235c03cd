"""The pages of a TIFF file as its directories describe them, to the end of their chain."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.errors import FrameError

_MOST_PAGES = 1_000_000
_MOST_VALUES = 50_000_000  # of one tag
_TYPES = {
    1: "u1", 2: "u1", 3: "u2", 4: "u4", 5: "u8", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 10: "u8", 11: "f4",
    12: "f8", 13: "u4", 16: "u8", 17: "i8", 18: "u8",
}  # fmt: skip
_SUBFILE, _OLD_SUBFILE, _WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
_DESCRIPTION, _STRIP_OFFSETS, _SAMPLES, _STRIP_COUNTS = 270, 273, 277, 279
_PLANAR, _PREDICTOR, _TILE_OFFSETS, _TILE_COUNTS, _SUB_IFDS, _SAMPLE_FORMAT = 284, 317, 324, 325, 330, 339
_FILL_ORDER, _DEPTH, _METAMORPH = 266, 32997, 33629
_TILE_WIDTH, _TILE_LENGTH, _TILE_DEPTH = 322, 323, 32998
_WANTED = {
    _SUBFILE, _OLD_SUBFILE, _WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS, _SAMPLES,
    _STRIP_COUNTS, _PLANAR, _PREDICTOR, _TILE_OFFSETS, _TILE_COUNTS, _SUB_IFDS, _SAMPLE_FORMAT, _FILL_ORDER,
    _DEPTH,
    _DESCRIPTION, _METAMORPH, _TILE_WIDTH, _TILE_LENGTH, _TILE_DEPTH,
}  # fmt: skip
_KINDS = {1: "u", 2: "i", 3: "f", 4: "u"}


@dataclass(frozen=True, eq=False)
class Page:
    """A page as its directory describes it.

    Attributes
    ----------
    position : int
        In the chain of pages, from 0.
    tags : dict of int to array
        Values of the tags that say how pixels are stored.
    order : str
        ``<`` or ``>``.
    """

    position: int
    tags: dict[int, NDArray[Any]]
    order: str

    def tag(self, number: int, default: int) -> int:
        """Return the first value of a tag."""
        values = self.tags.get(number)
        return default if values is None or not len(values) else int(values[0])

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.tag(_LENGTH, 0), self.tag(_WIDTH, 0)

    @property
    def samples(self) -> int:
        """Values a pixel."""
        return self.tag(_SAMPLES, 1)

    @property
    def bits(self) -> int:
        """Bits of a value."""
        return self.tag(_BITS, 1)

    @property
    def photometric(self) -> int:
        """Return the photometric interpretation of the values."""
        return self.tag(_PHOTOMETRIC, 1)

    @property
    def compression(self) -> int:
        """How it is compressed; 1: not at all."""
        return self.tag(_COMPRESSION, 1)

    @property
    def kind(self) -> tuple[Any, ...]:
        """Return the properties that all pages of a stack share."""
        return (*self.shape, self.samples, self.bits, self.tag(_SAMPLE_FORMAT, 1), self.photometric)

    @property
    def is_reduced(self) -> bool:
        """Whether it says that it is a smaller copy of another page, or its transparency mask."""
        return bool(self.tag(_SUBFILE, 0) & 0b101) or (
            _SUBFILE not in self.tags and self.tag(_OLD_SUBFILE, 1) == 2
        )

    @property
    def has_sub_pages(self) -> bool:
        """Whether further pages hang below it."""
        return _SUB_IFDS in self.tags

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where its strips or tiles begin."""
        return self._places(_TILE_OFFSETS if _TILE_OFFSETS in self.tags else _STRIP_OFFSETS)

    @property
    def byte_counts(self) -> NDArray[np.int64]:
        """How long its strips or tiles are; empty where that is not stated."""
        return self._places(_TILE_COUNTS if _TILE_OFFSETS in self.tags else _STRIP_COUNTS)

    def _places(self, number: int) -> NDArray[np.int64]:
        return self.tags.get(number, np.zeros(0)).astype(np.int64)

    @property
    def image_bytes(self) -> int:
        """Bytes of its pixels when they are not compressed."""
        height, width = self.shape
        return height * -(-width * self.samples * self.bits // 8) * self.tag(_DEPTH, 1)

    @property
    def tile_bytes(self) -> int:
        """Bytes of a tile when it is unpacked; 0 where there are none."""
        sides = self.tag(_TILE_WIDTH, 0), self.tag(_TILE_LENGTH, 0), self.tag(_TILE_DEPTH, 1)
        return math.prod(sides) * -(-self.samples * self.bits // 8)

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """Data type where pixels can be read as they lie in the file: one number of whole bytes a pixel."""
        plain = (
            self.samples == 1
            and self.compression == 1
            and self.bits in (8, 16, 32, 64)
            and self.tag(_PREDICTOR, 1) == 1
            and self.tag(_FILL_ORDER, 1) == 1
            and self.tag(_DEPTH, 1) == 1
            and _TILE_OFFSETS not in self.tags
        )
        kind = _KINDS.get(self.tag(_SAMPLE_FORMAT, 1))
        if not plain or kind is None or (kind == "f" and self.bits == 8):
            return None
        return np.dtype(f"{self.order}{kind}{self.bits // 8}")


def read_pages(path: Path, stream: Any) -> list[Page]:
    """Read all directories of a file.

    Raises
    ------
    FrameError
        Not a TIFF; the chain of pages leads behind the end of the file, or in a circle.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    head = stream.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if (
        order is None
        or len(head) < 8
        or (version := struct.unpack_from(f"{order}H", head, 2)[0]) not in (42, 43)
    ):
        raise FrameError(path, "not a TIFF file")
    layout = _Layout.big(order) if version == 43 else _Layout.classic(order)
    (offset,) = struct.unpack_from(layout.pointer, head.ljust(16, b"\0"), 8 if version == 43 else 4)
    pages: list[Page] = []
    seen: set[int] = set()
    while offset:
        what = f"truncated: page {len(pages)} is to begin at byte {offset}, the file has {size}"
        if offset + layout.count_size > size:
            raise FrameError(path, what)
        if offset in seen or len(pages) >= _MOST_PAGES:
            raise FrameError(path, "damaged: its pages lead in a circle")
        seen.add(offset)
        tags, offset = _directory(path, stream, layout, offset, size, what)
        pages.append(Page(len(pages), tags, order))
    return pages


@dataclass(frozen=True)
class _Layout:
    """Sizes of the fields of a directory."""

    order: str
    count: str
    pointer: str
    count_size: int
    entry_size: int
    inline: int

    @classmethod
    def classic(cls, order: str) -> _Layout:
        """Return that of TIFF."""
        return cls(order, f"{order}H", f"{order}I", 2, 12, 4)

    @classmethod
    def big(cls, order: str) -> _Layout:
        """Return that of BigTIFF."""
        return cls(order, f"{order}Q", f"{order}Q", 8, 20, 8)


def _directory(
    path: Path, stream: Any, layout: _Layout, offset: int, size: int, problem: str
) -> tuple[dict[int, NDArray[Any]], int]:
    stream.seek(offset)
    (number,) = struct.unpack(layout.count, stream.read(layout.count_size))
    length = number * layout.entry_size
    if offset + layout.count_size + length + layout.inline > size:
        raise FrameError(path, problem)
    block = stream.read(length + layout.inline)
    tags: dict[int, NDArray[Any]] = {}
    for at in range(0, length, layout.entry_size):
        tag, kind = struct.unpack_from(f"{layout.order}HH", block, at)
        if tag not in _WANTED or kind not in _TYPES:
            continue
        (count,) = struct.unpack_from(layout.pointer, block, at + 4)
        dtype = np.dtype(layout.order + _TYPES[kind])
        start = at + layout.entry_size - layout.inline
        if count * dtype.itemsize <= layout.inline:
            tags[tag] = np.frombuffer(block, dtype, count, start)
            continue
        (where,) = struct.unpack_from(layout.pointer, block, start)
        if count > _MOST_VALUES or where + count * dtype.itemsize > size:
            raise FrameError(
                path, f"truncated: a tag of a page is to end behind the end of the file, at byte {size}"
            )
        stream.seek(where)
        tags[tag] = np.frombuffer(stream.read(count * dtype.itemsize), dtype)
    (following,) = struct.unpack_from(layout.pointer, block, length)
    return tags, int(following)


def check_stored(path: Path, page: Page, size: int) -> None:
    """Check that all strips or tiles of a page are in the file.

    Raises
    ------
    FrameError
        Some end behind its end, were never written, or are too few or too short for the page.
    """
    offsets, counts = page.offsets, page.byte_counts
    name = f"page {page.position}"
    if math.prod(page.shape) == 0:
        raise FrameError(path, f"empty: {name} has the shape {page.shape}")
    if not len(offsets):
        raise FrameError(path, f"damaged: {name} has no pixels")
    if not len(counts) and page.compression == 1 and len(offsets) == 1:
        counts = np.array([page.image_bytes])
    if len(counts) != len(offsets):
        raise FrameError(
            path, f"damaged: {name} has {len(offsets)} strips or tiles, and {len(counts)} lengths of them"
        )
    unwritten = int(np.count_nonzero((counts == 0) | (offsets == 0)))
    if unwritten:
        raise FrameError(path, f"{unwritten} of {len(offsets)} strips or tiles of {name} were never written")
    end = int((offsets + counts).max())
    if end > size or (counts < 0).any() or (offsets < 0).any():
        raise FrameError(path, f"truncated: {size} bytes, {name} ends at {end}")
    if page.compression == 1 and int(counts.sum()) < page.image_bytes:
        raise FrameError(
            path, f"truncated: {name} needs {page.image_bytes} bytes of pixels, it has {counts.sum()}"
        )
