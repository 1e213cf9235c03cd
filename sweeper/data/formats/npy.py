"""Arrays as numpy saves them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from sweeper.data.format import Format, OpenFile, Source, check_size
from sweeper.errors import FrameError

_MAGIC, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_MIN_COLOUR_PX = 5  # sides of an image in colours: smaller ones are stacks of matrices
_SHOWN = 6
_VERSIONS = ((1, 0), (2, 0), (3, 0))
_MOST_HEADER = 10_000  # bytes; numpy takes no more either


@contextmanager
def _open(source: Source) -> Iterator[OpenFile]:
    begins = source.beginning(len(_MAGIC))
    if begins.startswith(_ZIP):
        with zipfile.ZipFile(source.seekable()) as archive:
            member = _member(source, archive)
            with archive.open(member) as stream:
                shape, fortran, dtype = _header(source, stream)
                about = archive.getinfo(member)
                _check_length(source, about.file_size, stream.tell(), shape, dtype)
            check_size(source.path, about.file_size, about.compress_size)
            arrays: list[NDArray[Any]] = []

            def array() -> NDArray[Any]:
                if not arrays:
                    with archive.open(member) as stream:
                        arrays.append(np.lib.format.read_array(stream, allow_pickle=False))
                        stream.read()  # to the end: its checksum is looked at there
                return arrays[0]

            yield _as_stack(shape, array)
        return
    if begins != _MAGIC:
        raise FrameError(source.path, "not an NPY file")
    with source.stream() as stream:
        shape, fortran, dtype = _header(source, stream)
        start = stream.tell()
        stream.seek(0, 2)
        _check_length(source, stream.tell(), start, shape, dtype)
        # Pickled objects would run code.
        if source.compression:
            stream.seek(0)
            whole = np.lib.format.read_array(stream, allow_pickle=False)
        else:
            order: Literal["F", "C"] = "F" if fortran else "C"
            whole = np.empty(shape, dtype)
            if 0 not in shape:
                whole = np.memmap(source.path, dtype, "r", start, shape, order)
        yield _as_stack(shape, lambda: whole)


def _header(source: Source, stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy_format.read_magic(stream)
    if version not in _VERSIONS:
        raise FrameError(source.path, f"NPY of version {version[0]}.{version[1]}, which is not supported")
    start, width = stream.tell(), 2 if version == (1, 0) else 4
    if int.from_bytes(stream.read(width), "little") > _MOST_HEADER:  # numpy would read it first
        raise FrameError(source.path, f"damaged: an NPY header of more than {_MOST_HEADER} bytes")
    stream.seek(start)
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        raise FrameError(source.path, "holds pickled objects, which are not read")
    if dtype.names is not None:
        raise FrameError(source.path, "holds a table of several fields, not an array of counts")
    return tuple(map(int, shape)), bool(fortran), dtype


def _check_length(
    source: Source, size: int, start: int, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    wanted = start + dtype.itemsize
    for length in shape:  # as Python's numbers, which do not overflow
        wanted = start + (wanted - start) * length
    if wanted > size:
        raise FrameError(source.path, f"truncated: its header says {wanted} bytes, it has {size}")
    if wanted < size:
        raise FrameError(source.path, f"damaged: its header says {wanted} bytes, it has {size}")


def _as_stack(shape: tuple[int, ...], array: Any) -> OpenFile:
    """Return an array as a file of frames: what comes before the image counts them."""
    squeezed = shape
    while len(squeezed) > 2 and squeezed[-1] == 1:
        squeezed = squeezed[:-1]
    colours = len(squeezed) > 2 and squeezed[-1] in (3, 4) and min(squeezed[-3:-1]) >= _MIN_COLOUR_PX
    axes = 3 if colours else 2
    if len(squeezed) != axes + 1:
        return OpenFile(1, lambda _index: np.array(array()).reshape(squeezed))
    return OpenFile(squeezed[0], lambda index: np.array(array()[index]).reshape(squeezed[1:]))


def _member(source: Source, archive: zipfile.ZipFile) -> str:
    """Return the array of an archive that holds the frames."""
    names = [name for name in archive.namelist() if name.endswith(".npy")]
    wanted = source.reading.dataset
    if wanted is not None and wanted.strip("/") + ".npy" in names:
        return wanted.strip("/") + ".npy"
    candidates = []
    for name in names:
        with archive.open(name) as stream:
            shape, _, dtype = _header(source, stream)
        if len(shape) >= 2 and dtype.kind in "iuf":
            candidates.append((name, shape))
    if len(candidates) == 1 and wanted is None:
        return candidates[0][0]
    listed = ", ".join(
        f"{name.removesuffix('.npy')} ({' × '.join(map(str, shape))})" for name, shape in candidates[:_SHOWN]
    )
    if wanted is not None:
        raise FrameError(
            source.path, f"has no array {wanted}; it has {listed or 'none that could hold frames'}"
        )
    if not candidates:
        raise FrameError(source.path, "holds no array of numbers with two axes or more")
    raise FrameError(
        source.path, f"cannot tell which array holds the frames: {listed}; say which with --dataset "
        "NAME, or with a column dataset in a manifest"
    )  # fmt: skip


FORMAT = Format(
    name="npy",
    suffixes=(".npy", ".npz"),
    library="numpy",
    reads="arrays of two or three axes, of integers of 8 to 64 bits or floats of 16 to 64; of an NPZ "
    "archive the only such array, or the one that --dataset or the manifest names",
    refuses="pickled objects; other numbers of axes; a file that is longer or shorter than its header says",
    images="an array of three axes is a stack along the first; trailing axes of 1 are left out",
    masks="has none; an array of bools is read where a mask file is asked for",
    open=_open,
    magic=(_MAGIC,),
    datasets=True,
)
