"""TIFF, as detectors, ImageJ and microscopes write it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.format import Format, OpenFile, Source
from sweeper.errors import FrameError

_PHOTOMETRIC_PALETTE = 3


@contextmanager
def _open(source: Source) -> Iterator[OpenFile]:
    import tifffile

    path = source.path
    with tifffile.TiffFile(source.seekable()) as tif:
        if len(tif.pages) == 0:
            raise FrameError(path, "empty: a TIFF without a page")
        series = tif.series[0] if tif.is_imagej and len(tif.pages) == 1 else None
        if series is not None and series.axes[-2:] == "YX" and series.dataoffset is not None:
            count = int(np.prod(series.shape[:-2], dtype=np.int64))
            yield OpenFile(count, lambda index: _imagej_frame(tif, series, index))
        else:
            yield OpenFile(len(tif.pages), lambda index: _page(path, tif, index))


def _imagej_frame(tif: Any, series: Any, index: int) -> NDArray[Any]:
    """Read one frame of a stack whose pixels follow one another after a single header."""
    dtype = series.dtype.newbyteorder(tif.byteorder)
    shape = series.shape[-2:]
    pixels = int(np.prod(shape))
    offset = series.dataoffset + index * pixels * dtype.itemsize
    return np.asarray(tif.filehandle.read_array(dtype, pixels, offset=offset)).reshape(shape)


def _page(path: Path, tif: Any, index: int) -> NDArray[Any]:
    page = tif.pages[index]
    tags = page.aspage()
    if tags.samplesperpixel != 1 or tags.photometric == _PHOTOMETRIC_PALETTE:
        raise FrameError(
            path, f"a colour image ({tags.samplesperpixel} samples a pixel), not detector counts"
        )
    # Lossy decoders fill what is missing with grey instead of failing.
    ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if max(ends, default=0) > tif.filehandle.size:
        raise FrameError(path, f"truncated: {tif.filehandle.size} bytes, page {index} ends at {max(ends)}")
    return np.asarray(page.asarray())


FORMAT = Format(
    name="tiff",
    suffixes=(".tif", ".tiff"),
    library="tifffile with imagecodecs",
    reads="integers of 8 to 64 bits and floats of 16 to 64, in strips or tiles, compressed or not",
    refuses="palettes; pages whose data end behind the end of the file",
    images="a frame a page; a stack under one header, as ImageJ writes it, a frame an image",
    masks="has none",
    open=_open,
)
