"""One way into each file format; :mod:`sweeper.data.frames` is the interface to all of them.

An opener is a context manager that yields an :class:`OpenFile`. It reads headers only and may raise
anything: the caller turns it into a :class:`FrameError`. Libraries are imported when first needed.
"""

from __future__ import annotations

import bz2
import gzip
import io
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.errors import FrameError

TIFF = frozenset({".tif", ".tiff"})
PICTURE = frozenset({".png", ".jpg", ".jpeg"})
NUMPY = frozenset({".npy"})
HDF5 = frozenset({".h5", ".hdf5", ".hdf", ".nxs", ".nx", ".nexus", ".cxi"})
FABIO = frozenset(
    {".cbf", ".edf", ".cor", ".img", ".mccd", ".marccd", ".sfrm", ".osc", ".kcd", ".dm3", ".spe", ".pgm"}
    | {".pnm", ".f2d", ".mrc", ".esper", ".esperanto", ".mpa", ".ge", ".ge1", ".ge2", ".ge3", ".ge4", ".ge5"}
    | {f".mar{size}" for size in (1200, 1600, 1800, 2000, 2300, 2400, 3000, 3450)}
)
_COMPRESSED: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open}
_PLAIN = TIFF | PICTURE | NUMPY | HDF5 | FABIO
SUFFIXES = frozenset(_PLAIN | {plain + packed for plain in _PLAIN for packed in _COMPRESSED})

_MAX_REASON = 200  # characters: a message stays one readable line
_PHOTOMETRIC_PALETTE = 3

Source = Path | io.BytesIO
"""A file, or the bytes of a compressed one."""


@dataclass(frozen=True)
class OpenFile:
    """An open file: how many frames it holds, and how to read one by its position."""

    count: int
    read: Callable[[int], NDArray[Any]]


def suffix_of(path: str | Path) -> str:
    """Suffix in lower case, two parts for a compressed file: ``.cbf.gz``."""
    parts = [part.lower() for part in Path(path).suffixes[-2:]]
    if len(parts) == 2 and parts[1] in _COMPRESSED:
        return parts[0] + parts[1]
    return parts[-1] if parts else ""


def reason(path: str | Path, error: BaseException) -> str:
    """What a library's exception says, on one line and without the path."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = " ".join(text.replace(str(path), "the file").split())
    if len(text) > _MAX_REASON:
        text = text[:_MAX_REASON] + "..."
    return f"unreadable or truncated: {text or type(error).__name__}"


def open_file(path: Path) -> AbstractContextManager[OpenFile]:
    """Open a file by its suffix; unknown suffixes go to fabio, which looks at the first bytes.

    Raises
    ------
    FrameError
        No such file, a folder, or an empty file.
    """
    if not path.exists():
        raise FrameError(path, "no such file")
    if not path.is_file():
        raise FrameError(path, "not a file")
    if path.stat().st_size == 0:
        raise FrameError(path, "empty: the file has no bytes")
    suffix = suffix_of(path)
    packed = next((end for end in _COMPRESSED if suffix.endswith(end)), "")
    plain = suffix.removesuffix(packed)
    if plain == ".cbf":
        return _open_cbf(path, packed)
    if plain in FABIO or plain not in _PLAIN:
        return _open_packed_fabio(path, packed) if packed else _open_fabio(path)
    source: Source = path
    if packed:
        with _COMPRESSED[packed](path) as stream:
            source = io.BytesIO(stream.read())
    if plain in TIFF:
        return _open_tiff(path, source)
    if plain in PICTURE:
        return _open_picture(path, source)
    if plain in NUMPY:
        return _open_numpy(path, source)
    return _open_hdf5(path, source)


def _open_hdf5(path: Path, source: Source) -> AbstractContextManager[OpenFile]:
    from sweeper.data.formats import hdf5

    return hdf5.open_hdf5(path, source)


@contextmanager
def _open_tiff(path: Path, source: Source) -> Iterator[OpenFile]:
    """TIFF: a frame a page, or a stack under one header as ImageJ writes it."""
    import tifffile

    with tifffile.TiffFile(source) as tif:
        if len(tif.pages) == 0:
            raise FrameError(path, "empty: a TIFF without a page")
        series = tif.series[0] if tif.is_imagej and len(tif.pages) == 1 else None
        if series is not None and series.axes[-2:] == "YX" and series.dataoffset is not None:
            count = int(np.prod(series.shape[:-2], dtype=np.int64))
            yield OpenFile(count, lambda index: _imagej_frame(tif, series, index))
        else:
            yield OpenFile(len(tif.pages), lambda index: _tiff_page(path, tif, index))


def _imagej_frame(tif: Any, series: Any, index: int) -> NDArray[Any]:
    """Read one frame of a stack whose pixels follow one another after a single header."""
    dtype = series.dtype.newbyteorder(tif.byteorder)
    shape = series.shape[-2:]
    pixels = int(np.prod(shape))
    offset = series.dataoffset + index * pixels * dtype.itemsize
    return np.asarray(tif.filehandle.read_array(dtype, pixels, offset=offset)).reshape(shape)


def _tiff_page(path: Path, tif: Any, index: int) -> NDArray[Any]:
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


@contextmanager
def _open_picture(path: Path, source: Source) -> Iterator[OpenFile]:
    """PNG and JPEG: one frame, decoded when asked for."""
    yield OpenFile(1, lambda _index: _decode_picture(path, source))


def _decode_picture(path: Path, source: Source) -> NDArray[Any]:
    import imagecodecs

    data = source.getvalue() if isinstance(source, io.BytesIO) else source.read_bytes()
    if data.startswith(b"\x89PNG"):
        return np.asarray(imagecodecs.png_decode(data))
    if not data.startswith(b"\xff\xd8"):
        raise FrameError(path, "neither a PNG nor a JPEG image")
    # The decoder fills a torn JPEG with grey. Its end marker cannot stand in compressed data, only in
    # an embedded preview, which comes before the last scan.
    if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise FrameError(path, "truncated: a JPEG image without its end marker")
    return np.asarray(imagecodecs.jpeg_decode(data))


@contextmanager
def _open_numpy(path: Path, source: Source) -> Iterator[OpenFile]:
    """NPY: one frame, or a stack of them along the first axis; never unpickles."""
    if isinstance(source, Path):
        array = np.load(source, mmap_mode="r", allow_pickle=False)
    else:
        array = np.load(source, allow_pickle=False)
    if array.ndim == 3 and array.shape[-1] not in (3, 4):  # else refused as a colour image
        yield OpenFile(array.shape[0], lambda index: np.array(array[index]))
    else:
        yield OpenFile(1, lambda _index: np.array(array))


@contextmanager
def _open_fabio(path: Path) -> Iterator[OpenFile]:
    """Detector formats that fabio knows by their first bytes."""
    import fabio

    with _fabio_errors(path):
        image = fabio.open(str(path))
    try:
        yield OpenFile(int(image.nframes), lambda index: _fabio_frame(path, image, index))
    finally:
        image.close()


@contextmanager
def _open_packed_fabio(path: Path, packed: str) -> Iterator[OpenFile]:
    """Compressed detector formats, unpacked here: of a torn .edf.gz fabio makes zeros and says nothing."""
    with tempfile.TemporaryDirectory(prefix="sweeper-") as folder:
        plain = Path(folder, path.stem)
        with _COMPRESSED[packed](path) as stream, plain.open("wb") as unpacked:
            shutil.copyfileobj(stream, unpacked)
        with _open_fabio(plain) as file:
            yield file


@contextmanager
def _open_cbf(path: Path, packed: str) -> Iterator[OpenFile]:
    """CBF: always one frame, so that counting need not decode it, which fabio does on opening."""
    with _COMPRESSED[packed](path) if packed else path.open("rb") as stream:
        if not stream.read(16).startswith(b"###CBF"):
            raise FrameError(path, "not a CBF file: it does not begin with ###CBF")

    def read(index: int) -> NDArray[Any]:
        with _open_packed_fabio(path, packed) if packed else _open_fabio(path) as file:
            return file.read(index)

    yield OpenFile(1, read)


def _fabio_frame(path: Path, image: Any, index: int) -> NDArray[Any]:
    with _fabio_errors(path):
        data = image.data if image.nframes == 1 else image.get_frame(index).data
    if data is None:
        raise FrameError(path, f"unreadable or truncated: frame {index} has no data")
    return np.array(data)


@contextmanager
def _fabio_errors(path: Path) -> Iterator[None]:
    """Keep fabio quiet, and take what it logs as an error for one.

    For a truncated EDF file or a CBF whose checksum fails, fabio logs an error and returns pixels.
    """
    thread = threading.get_ident()
    said: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread and record.levelno >= logging.ERROR:
                said.append(record.getMessage())

    logger = logging.getLogger("fabio")
    handler, propagate = Collector(), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    except Exception as error:  # each format of fabio has its own
        raise FrameError(path, reason(path, error)) from error
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
    if said:
        raise FrameError(path, reason(path, ValueError(said[0])))
