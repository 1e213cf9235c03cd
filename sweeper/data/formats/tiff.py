"""TIFF, as detectors, ImageJ and microscopes write it."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from sweeper.data.format import Format, Limits, OpenFile, Source, check_size
from sweeper.data.formats._library_logs import listening
from sweeper.data.formats._tiff_pages import Page, check_stored, read_pages
from sweeper.data.header import of_dectris
from sweeper.errors import FrameError

_PALETTE, _SEPARATED = 3, 5
_COLOURS = {
    _PALETTE: "palette", _SEPARATED: "CMYK", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*",
    32844: "LogL", 32845: "LogLuv",
}  # fmt: skip
_JPEG = (6, 7)
_MOST_SAMPLES = 4
_CUTOFF = re.compile(r"# *Count_cutoff +(\d+) *counts", re.IGNORECASE)
_SHOWN_TAGS = 2**20  # bytes of a description that are looked at
# MarCCD's own header lies between that of TIFF and the pixels: where it begins, and in it the places of the
# byte order (1234 or 4321), of width and height, and of the count of saturated pixels, each of 32 bits.
_MARCCD_AT, _MARCCD_ORDER, _MARCCD_SIZE, _MARCCD_SATURATED = 1024, 28, 80, 104


@contextmanager
def _open(source: Source) -> Iterator[OpenFile]:
    path = source.path
    with ExitStack() as stack:
        seekable = source.seekable()
        stream = stack.enter_context(seekable.open("rb")) if isinstance(seekable, Path) else seekable
        pages = read_pages(path, stream)
        if not pages:
            raise FrameError(path, "empty: a TIFF without a page")
        images = _images(path, pages)
        size = stream.seek(0, 2)
        for page in images:
            _check_colours(path, page)
            check_stored(path, page, size)
            stored = int(page.byte_counts.sum()) or page.image_bytes
            check_size(path, max(page.image_bytes, page.tile_bytes), stored)
        file = _File(source, stream, stack)
        about = _about(pages[0], stream)
        limits = _limits(about, pages[0], stream)
        contiguous = _under_one_header(path, file, pages, about)
        if contiguous is not None:
            yield OpenFile(
                contiguous.count,
                lambda index: contiguous.read(stream, index),
                limits=lambda _: limits,
                header=lambda _: of_dectris(about),
            )
        else:
            _check_number(path, about, pages)
            yield OpenFile(
                len(images),
                lambda index: file.read(images[index]),
                limits=lambda _: limits,
                header=lambda _: of_dectris(about),
            )


def _images(path: Path, pages: list[Page]) -> list[Page]:
    """Return the pages that are images of their own, and not smaller copies or masks of others."""
    images = [page for page in pages if not page.is_reduced]
    if not images and any(page.has_sub_pages for page in pages):
        raise FrameError(path, "its images hang below a thumbnail (SubIFDs), which is not supported")
    images = images or pages
    kinds = {page.kind for page in images}
    if len(kinds) > 1:
        first, other = images[0], next(page for page in images if page.kind != images[0].kind)
        raise FrameError(
            path, f"cannot tell which pages are frames: page {first.position} is {_described(first)}, "
            f"page {other.position} {_described(other)}"
        )  # fmt: skip
    return images


def _check_colours(path: Path, page: Page) -> None:
    """Refuse a page that says that it is in colours, or holds more values a pixel than colours have."""
    if page.photometric in _COLOURS:
        raise FrameError(path, f"a {_COLOURS[page.photometric]} image, not detector counts")
    if page.samples > _MOST_SAMPLES:
        raise FrameError(path, f"an image of {page.samples} values a pixel, not detector counts")


def _described(page: Page) -> str:
    height, width = page.shape
    values = f", {page.samples} values a pixel" if page.samples > 1 else ""
    return f"{height} × {width} of {page.bits} bits{values}"


def _about(page: Page, stream: Any) -> str:
    """Return the description of the first page."""
    values = page.tags.get(270, np.zeros(0, np.uint8))
    return bytes(values[:_SHOWN_TAGS].astype(np.uint8)).split(b"\0")[0].decode(errors="replace")


def _limits(about: str, page: Page, stream: Any) -> Limits:
    """Return what the header of a Pilatus, Eiger or MarCCD says: counts from there on are not measured."""
    found = _CUTOFF.search(about)
    too_many = int(found[1]) if found else _marccd_saturation(page, stream)
    return Limits(highest=too_many - 1) if too_many else Limits()


def _marccd_saturation(page: Page, stream: Any) -> int:
    """Return the count of a saturated pixel as MarCCD's header states it; 0 where there is none."""
    stream.seek(_MARCCD_AT)
    header = stream.read(_MARCCD_SATURATED + 4)
    if len(header) < _MARCCD_SATURATED + 4 or not header[4:].upper().startswith(
        (b"MARCCD", b"MMX", b"RAYONIX")
    ):
        return 0
    order = "<" if struct.unpack_from("<I", header, _MARCCD_ORDER)[0] == 1234 else ">"
    width, height = struct.unpack_from(f"{order}2I", header, _MARCCD_SIZE)
    saturated: int = struct.unpack_from(f"{order}I", header, _MARCCD_SATURATED)[0]
    return saturated if (height, width) == page.shape else 0


# --------------------------------------------------------------------------- pages


@dataclass(eq=False)
class _File:
    """An open file, and the library that decodes what is compressed in it once that is needed."""

    source: Source
    stream: Any
    stack: ExitStack
    tif: Any = field(default=None)

    def library(self) -> Any:
        """Return the file as tifffile opens it."""
        import tifffile

        if self.tif is None:
            self.tif = self.stack.enter_context(tifffile.TiffFile(self.source.seekable()))
        return self.tif

    def read(self, page: Page) -> NDArray[Any]:
        """Read the image of a page."""
        if page.dtype is not None:
            return _as_it_lies(self.source.path, self.stream, page)
        if page.compression in _JPEG:
            self._check_jpeg(page)
        with listening("tifffile"):  # of tags that do not matter here
            values: NDArray[Any] = np.asarray(self.library().pages[page.position].asarray())
        if page.samples > 1 and values.ndim == 3 and values.shape[1:] == page.shape:  # plane after plane
            values = np.moveaxis(values, 0, -1)
        if values.shape[:2] != page.shape:
            raise FrameError(self.source.path, f"damaged: page {page.position} has the shape {values.shape}")
        return values.astype(np.uint8) if values.dtype == np.bool_ else values

    def _check_jpeg(self, page: Page) -> None:
        """Refuse a strip or tile without its end marker: the decoder fills what is missing with grey."""
        for offset, length in zip(page.offsets.tolist(), page.byte_counts.tolist(), strict=True):
            self.stream.seek(offset)
            if not self.stream.read(length).rstrip(b"\0\xff").endswith(b"\xd9"):
                raise FrameError(
                    self.source.path, f"truncated: page {page.position} holds a JPEG without its end"
                )


def _as_it_lies(path: Path, stream: Any, page: Page) -> NDArray[Any]:
    """Read pixels that are neither compressed nor packed."""
    dtype, wanted = page.dtype, page.image_bytes
    assert dtype is not None
    lengths = page.byte_counts.tolist() or [wanted]
    values = np.empty(wanted // dtype.itemsize, dtype)
    view = memoryview(values.view(np.uint8))  # type: ignore[arg-type]
    at = 0
    for offset, length in _joined(page.offsets.tolist(), lengths):
        length = min(length, wanted - at)
        stream.seek(offset)
        if stream.readinto(view[at : at + length]) != length:
            raise FrameError(path, f"truncated: page {page.position} ends early")
        at += length
    return values.reshape(page.shape)


def _joined(offsets: list[int], lengths: list[int]) -> Iterator[tuple[int, int]]:
    """Yield the strips of a page, those that follow one another as one."""
    start, size = offsets[0], 0
    for offset, length in zip(offsets, lengths, strict=True):
        if offset != start + size:
            yield start, size
            start, size = offset, 0
        size += length
    yield start, size


# --------------------------------------------------------------------------- stacks


@dataclass(frozen=True)
class _Contiguous:
    """Images that follow one another after a single header."""

    path: Path
    count: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    offset: int

    def read(self, stream: Any, index: int) -> NDArray[Any]:
        """Read one of them."""
        values = np.empty(self.shape, self.dtype)
        stream.seek(self.offset + index * values.nbytes)
        if stream.readinto(memoryview(values.reshape(-1).view(np.uint8))) != values.nbytes:  # type: ignore[arg-type]
            raise FrameError(self.path, f"truncated: frame {index} ends early")
        return values


def _under_one_header(path: Path, file: _File, pages: list[Page], about: str) -> _Contiguous | None:
    """Return the stack of a file whose only page is followed by the pixels of others.

    ImageJ writes large stacks so, tifffile those that are to have one header, MetaMorph all.
    """
    said = _said_number(about, pages[0])
    is_metamorph = 33629 in pages[0].tags
    if len(pages) > 1 or (said is None and not is_metamorph) or (said == 1 and not is_metamorph):
        return None
    page = pages[0]
    if is_metamorph:
        with listening("tifffile"):
            series = file.library().series
        said = int(series[0].size // np.prod(page.shape)) if series else None
    if said is None or said <= 1:
        return None
    if page.dtype is None:
        raise FrameError(path, f"its header says {said} images, one page is there")
    offset, step = int(page.offsets[0]), page.image_bytes
    if int(page.offsets[0]) + int(page.byte_counts.sum()) != int((page.offsets + page.byte_counts).max()):
        raise FrameError(path, f"its header says {said} images, one page is there")
    size = file.stream.seek(0, 2)
    if offset + said * step > size:
        raise FrameError(
            path, f"truncated: its header says {said} images, {(size - offset) // step} are there"
        )
    return _Contiguous(path, said, page.shape, page.dtype, offset)


def _check_number(path: Path, about: str, pages: list[Page]) -> None:
    """Refuse a file whose description says that it holds more images than it has pages."""
    said = _said_number(about, pages[0])
    if said is not None and said > len(pages):
        raise FrameError(path, f"truncated: its header says {said} images, {len(pages)} are there")


def _said_number(about: str, page: Page) -> int | None:
    """Return how many images a description says that the file holds: ImageJ's, tifffile's or OME's."""
    if about.startswith("ImageJ="):
        found = re.search(r"^images=(\d+)", about, re.MULTILINE)
        return int(found[1]) if found else 1
    if about.startswith('{"shape":'):
        try:
            values = math.prod(map(int, json.loads(about)["shape"]))
        except (ValueError, TypeError, KeyError):
            return None
        of_page = max(1, math.prod(page.shape) * page.samples)
        return values // of_page if values % of_page == 0 else None
    if about.lstrip().startswith("<") and "<OME" in about[:2000]:
        return _ome_planes(about)
    return None


def _ome_planes(about: str) -> int | None:
    """Return how many planes an OME header says are in its own file; None where it does not say.

    Planes of a companion file are counted there.
    """
    try:
        root = ElementTree.fromstring(about)
    except ElementTree.ParseError:
        return None
    space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    own, planes = root.get("UUID"), 0
    for element in root.iter(f"{space}TiffData"):
        uuid = element.find(f"{space}UUID")
        if uuid is not None and own is not None and (uuid.text or "").strip() != own:
            continue
        number = element.get("PlaneCount")
        if number is None and element.get("IFD") is None:
            return None  # all there are
        planes += int(number) if number is not None and number.isdigit() else 1
    return planes or None


FORMAT = Format(
    name="tiff",
    suffixes=(".tif", ".tiff"),
    library="tifffile with imagecodecs",
    reads="integers of 1 to 64 bits and floats of 16 to 64, in strips or tiles, compressed or not; "
    "BigTIFF; colour images whose colours are all the same",
    refuses="palettes and true colour; a chain of pages that leads behind the end of the file; strips "
    "and tiles that were never written or end behind the end of the file; fewer images than ImageJ's, "
    "tifffile's or OME's header says; pages of different sizes or types",
    images="a frame a page, without pages that say that they are thumbnails or masks (NewSubfileType); "
    "a stack under one header, as ImageJ and MetaMorph write it, a frame an image",
    masks="has none; counts from the Count_cutoff of a DECTRIS header or the saturated_value of a MarCCD one "
    "on are invalid",
    open=_open,
    magic=(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
)
