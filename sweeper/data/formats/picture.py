"""PNG and JPEG."""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.format import Format, OpenFile, Source, check_size
from sweeper.errors import FrameError

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_MOST_CHUNK = 512  # bytes of a chunk that is read before the pixels: 256 transparencies are the most
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}


@contextmanager
def _open(source: Source) -> Iterator[OpenFile]:
    path = source.path
    with source.stream() as stream:
        begins = stream.read(len(_PNG))
        if begins == _PNG:
            header = _png_header(path, stream)
            size = 0 if source.compression else path.stat().st_size
            if size:
                check_size(path, header.bytes, size)
    if begins == _PNG:
        yield OpenFile(1, lambda _index: _decode_png(path, source.content(), header))
    elif begins.startswith(_JPEG):
        yield OpenFile(1, lambda _index: _decode_jpeg(path, source.content()))
    else:
        raise FrameError(path, "neither a PNG nor a JPEG image")


# --------------------------------------------------------------------------- PNG


@dataclass(frozen=True)
class _Png:
    """The header of a PNG image."""

    width: int
    height: int
    bits: int
    colour: int
    transparent: bool

    @property
    def bytes(self) -> int:
        """Bytes of its pixels."""
        return self.width * self.height * _CHANNELS[self.colour] * max(1, self.bits // 8)


def _png_header(path: Path, stream: Any) -> _Png:
    """Read what stands before the pixels."""
    parts: dict[bytes, bytes] = {}
    while True:
        head = stream.read(8)
        if len(head) < 8:
            raise FrameError(path, "truncated: a PNG image that ends before its pixels begin")
        length, name = struct.unpack(">I4s", head)
        if name in (b"IDAT", b"IEND"):
            break
        if name in (b"IHDR", b"acTL", b"tRNS"):
            if length > _MOST_CHUNK:
                raise FrameError(path, f"damaged: a PNG chunk {name.decode()} of {length} bytes")
            data, check = stream.read(length), stream.read(4)
            if len(check) < 4 or zlib.crc32(name + data) != int.from_bytes(check, "big"):
                raise FrameError(path, f"damaged: the checksum of the PNG chunk {name.decode()} is wrong")
            parts[name] = data
        else:
            stream.seek(length + 4, 1)
    if len(parts.get(b"IHDR", b"")) != 13:
        raise FrameError(path, "damaged: a PNG image without a header")
    width, height, bits, colour = struct.unpack(">IIBB", parts[b"IHDR"][:10])
    images = int.from_bytes(parts.get(b"acTL", b"\0\0\0\1")[:4], "big")
    if images > 1:
        raise FrameError(path, f"an animated PNG of {images} images, which is not supported")
    if colour == _PALETTE:
        raise FrameError(path, "a palette image, not detector counts")
    if colour not in _CHANNELS or bits not in (1, 2, 4, 8, 16) or not width or not height:
        raise FrameError(path, "damaged: a PNG header of values that there are not")
    return _Png(width, height, bits, colour, b"tRNS" in parts)


def _decode_png(path: Path, data: bytes, header: _Png) -> NDArray[Any]:
    import imagecodecs

    # Whatever follows the end of the image is none of it. The mark cannot be told from pixels by its name
    # alone.
    if data.rfind(b"\0\0\0\0IEND\xaeB`\x82") < 0:
        raise FrameError(path, "truncated: a PNG image without its end")
    values = np.asarray(imagecodecs.png_decode(data))
    if header.transparent and values.ndim == 3:  # made from a colour that stands for transparent
        values = values[..., :-1] if values.shape[-1] > 2 else values[..., 0]
    if values.shape[:2] != (header.height, header.width):
        raise FrameError(path, f"damaged: a PNG image of the shape {values.shape}")
    if header.bits < 8:  # the decoder stretches them to 8 bits
        values = (
            values.astype(np.uint8) if values.dtype == np.bool_ else values // (255 // (2**header.bits - 1))
        )
    return values


# --------------------------------------------------------------------------- JPEG

_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_START, _END, _SCAN, _MPF = 0xD8, 0xD9, 0xDA, 0xE2
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_THUMBNAIL = 0x01  # of the first byte of a type in the index of several pictures
_JPEG_MOST = 20_000  # bytes of pixels that a byte may hold: a scan of one colour


def _decode_jpeg(path: Path, data: bytes) -> NDArray[Any]:
    import imagecodecs

    height, width, channels, end = _jpeg_header(path, data)
    if channels == 4:
        raise FrameError(path, "a CMYK image, not detector counts")
    if height * width * channels > max(2**26, _JPEG_MOST * end):
        check_size(path, height * width * channels, end)
    following = data.find(_JPEG, end)
    if following >= 0 and _is_image(data, following):
        raise FrameError(path, "holds several JPEG images, which is not supported")
    values = np.asarray(imagecodecs.jpeg_decode(data))
    if values.shape[:2] != (height, width):
        raise FrameError(path, f"damaged: a JPEG image of the shape {values.shape}")
    return values


def _jpeg_header(path: Path, data: bytes) -> tuple[int, int, int, int]:
    """Return height, width, values a pixel, and where the image ends."""
    cut = FrameError(path, "truncated: a JPEG image without its end marker")
    size, at = (0, 0, 0), 2
    while found := _MARKER.search(data, at):
        marker, at = data[found.end() - 1], found.end()
        if marker == _END:
            if not math.prod(size):
                raise FrameError(path, "damaged: a JPEG image without a size")
            return *size, at
        if marker in (_START, 0x01):
            continue
        segment = data[at : at + int.from_bytes(data[at : at + 2], "big")]
        if len(segment) < 2 or len(segment) != int.from_bytes(segment[:2], "big"):
            raise cut
        if marker in _FRAMES and len(segment) >= 8:
            _, height, width, channels = struct.unpack_from(">BHHB", segment, 2)
            size = height, width, channels
        if marker == _MPF and segment[2:6] == b"MPF\0":
            images = _pictures(segment[6:])
            if images > 1:
                raise FrameError(path, f"a file of {images} pictures (MPO), which is not supported")
        at += len(segment)
    raise cut


def _is_image(data: bytes, start: int) -> bool:
    """Return whether what begins at a position has the size of an image and an end."""
    try:
        _jpeg_header(Path(), data[start:])
    except (FrameError, struct.error):
        return False
    return True


def _pictures(index: bytes) -> int:
    """Return how many pictures an index of several lists, without thumbnails."""
    order = "<" if index[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", index, 4)
        (number,) = struct.unpack_from(f"{order}H", index, start)
        for entry in range(number):
            tag, _, length, value = struct.unpack_from(f"{order}HHII", index, start + 2 + 12 * entry)
            if tag == 0xB002:
                kinds = [
                    struct.unpack_from(f"{order}I", index, value + 16 * i)[0] for i in range(length // 16)
                ]
                return sum((kind >> 16) & 0xFF != _THUMBNAIL for kind in kinds)
    except struct.error:
        pass
    return 1


FORMAT = Format(
    name="picture",
    suffixes=(".png", ".jpg", ".jpeg"),
    library="imagecodecs",
    reads="grey PNG of 1 to 16 bits, grey JPEG of 8; colour images whose colours are all the same; "
    "transparency that is the same everywhere, or of one colour (tRNS), is left out",
    refuses="palettes, true colour and CMYK; a file without the end of its image; animated PNG, "
    "multi-picture JPEG (MPO) and other files of several images",
    images="one frame a file; embedded thumbnails are none",
    masks="has none",
    open=_open,
    magic=(_PNG, _JPEG),
    title="PNG or JPEG",
)
