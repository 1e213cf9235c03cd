"""PNG and JPEG."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.format import Format, OpenFile, Source
from sweeper.errors import FrameError


@contextmanager
def _open(source: Source) -> Iterator[OpenFile]:
    yield OpenFile(1, lambda _index: _decode(source))


def _decode(source: Source) -> NDArray[Any]:
    import imagecodecs

    data = source.content()
    if data.startswith(b"\x89PNG"):
        return np.asarray(imagecodecs.png_decode(data))
    if not data.startswith(b"\xff\xd8"):
        raise FrameError(source.path, "neither a PNG nor a JPEG image")
    # The decoder fills a torn JPEG with grey. Its end marker cannot stand in compressed data, only in
    # an embedded preview, which comes before the last scan.
    if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise FrameError(source.path, "truncated: a JPEG image without its end marker")
    return np.asarray(imagecodecs.jpeg_decode(data))


FORMAT = Format(
    name="picture",
    suffixes=(".png", ".jpg", ".jpeg"),
    library="imagecodecs",
    reads="grey PNG of 8 or 16 bits, grey JPEG of 8",
    refuses="a JPEG without its end marker",
    images="one frame a file",
    masks="has none",
    open=_open,
)
