"""Reading detector frames: files in, two-dimensional arrays in their own bit depth out.

Opening a file touches headers only, so counting frames is cheap; pixels are read one frame at a
time. Everything that is wrong with a file is a :class:`~sweeper.errors.FrameError` that says so in one
line. Frames of many files with their masks come from :mod:`sweeper.data.prepared`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data import formats, validity
from sweeper.data.format import Format, OpenFile, reason
from sweeper.errors import FrameError

_MAX_ITEM_BYTES = 8  # float128 has no place in float32 features and no portable digest


def is_frame_file(name: str | Path) -> bool:
    """Return whether a file's name says that it holds frames."""
    return formats.has_known_suffix(name)


def count_frames(path: str | Path) -> int:
    """Count the frames of a file from its headers.

    Raises
    ------
    FrameError
        The file is missing, of no known format, or its headers cannot be read.
    """
    with open_frames(path) as file:
        return file.count


def frame_counts(paths: Iterable[str | Path]) -> list[int | str]:
    """Return for each of many files how many frames it holds, or what is wrong with it."""
    counts: list[int | str] = []
    for path in paths:
        try:
            counts.append(count_frames(path))
        except FrameError as error:
            counts.append(error.problem)
    return counts


def read_frame(path: str | Path, index: int = 0) -> NDArray[Any]:
    """Read one frame.

    Parameters
    ----------
    path : str or Path
    index : int
        Position in the file, from 0.

    Returns
    -------
    ndarray, (height, width)
        Counts as the file stores them: integers of 8 to 64 bits or floats of 16 to 64, in the
        machine's byte order.

    Raises
    ------
    FrameError
        Naming the file: missing, unreadable, truncated, a colour image, not two-dimensional, empty,
        bool or complex, or no such index.
    """
    with open_frames(path) as file:
        return file.read(index)


def read_frames(path: str | Path, indices: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Read frames `indices` of one file in that order as :func:`read_frame` does, opening it once."""
    with open_frames(path) as file:
        for index in indices:
            yield file.read(index)


@contextmanager
def open_frames(path: str | Path, format: Format | None = None) -> Iterator[OpenFile]:
    """Open a file whose frames are wanted in any order.

    Parameters
    ----------
    path : str or Path
    format : Format, optional
        The format of the file; by default that of its suffix.

    Yields
    ------
    OpenFile
        Its ``read`` gives frames as :func:`read_frame` does, and the same errors.

    Raises
    ------
    FrameError
        As :func:`count_frames`. What the caller raises in the context passes as it is.
    """
    with ExitStack() as stack:
        try:
            source = formats.source_of(Path(path))
            file = stack.enter_context((format or formats.format_of(path)).open(source))
            if file.count < 1:
                raise FrameError(path, "empty: holds no frame")
        except FrameError as error:
            raise FrameError(path, error.problem) from error  # that of an unpacked file names another path
        except Exception as error:  # readers of damaged files raise whatever they like
            raise FrameError(path, reason(path, error)) from error
        yield OpenFile(file.count, lambda index: _read(path, file, index))


# --------------------------------------------------------------------------- inspection


@dataclass(frozen=True)
class FrameReport:
    """The outcome of reading one frame in full.

    Attributes
    ----------
    path : str
    index : int
        Position in the file.
    height, width : int
        In pixels; 0 when the frame could not be read.
    dtype : str
        As numpy names it, such as ``uint16``; empty when the frame could not be read.
    digest : str
        blake2b of dtype, shape and pixels, and of the mask when there is one: equal digests give
        equal prepared frames. Empty when there is an `error`.
    error : str or None
        What is wrong, in one line without the path, or None.
    """

    path: str
    index: int
    height: int
    width: int
    dtype: str
    digest: str
    error: str | None


def inspect_frames(
    path: str | Path,
    indices: Sequence[int],
    negative: str = "masked",
    mask: NDArray[np.bool_] | None = None,
) -> list[FrameReport]:
    """Read frames of one file in full and report on each, bad ones included.

    Parameters
    ----------
    path : str or Path
    indices : sequence of int
    negative : {"masked", "valid"}
        What negative counts are, as in :data:`sweeper.data.intensity.AXES`.
    mask : bool, (height, width), optional
        True where a pixel is invalid.

    Returns
    -------
    list of FrameReport
        One for each frame, in the order of `indices`. A file that cannot be opened gives the same
        error for each.
    """
    name = str(path)
    try:
        with open_frames(path) as file:
            return [_inspect(name, file, index, negative, mask) for index in indices]
    except FrameError as error:
        return [FrameReport(name, index, 0, 0, "", "", error.problem) for index in indices]


def _inspect(
    path: str, file: OpenFile, index: int, negative: str, mask: NDArray[np.bool_] | None
) -> FrameReport:
    try:
        counts = file.read(index)
    except FrameError as error:
        return FrameReport(path, index, 0, 0, "", "", error.problem)
    problem: str | None = None
    try:
        if not validity.valid_pixels(counts, negative, mask).any():
            problem = "no valid pixel: all are NaN, negative, a detector's sentinel or masked"
    except ValueError as error:
        problem = str(error)
    fingerprint = "" if problem else _digest(counts, mask)
    height, width = counts.shape
    return FrameReport(path, index, height, width, counts.dtype.name, fingerprint, problem)


def _digest(counts: NDArray[Any], mask: NDArray[np.bool_] | None) -> str:
    """Return a digest of dtype, shape, pixels and mask: 32 characters, the same on all byte orders."""
    little = counts.astype(counts.dtype.newbyteorder("<"), copy=False)
    hasher = hashlib.blake2b(f"{counts.dtype.name}{counts.shape}".encode(), digest_size=16)
    hasher.update(np.ascontiguousarray(little).data)
    if mask is not None:
        hasher.update(b"mask")
        hasher.update(np.packbits(mask).data)
    return hasher.hexdigest()


# --------------------------------------------------------------------------- checking


def _read(path: str | Path, file: OpenFile, index: int) -> NDArray[Any]:
    if isinstance(index, bool) or not 0 <= index < file.count:
        raise FrameError(path, f"frame index must be from 0 to {file.count - 1}, got {index}")
    try:
        counts = file.read(int(index))
    except FrameError as error:
        raise FrameError(path, error.problem) from error  # as above
    except Exception as error:
        raise FrameError(path, reason(path, error)) from error
    return check_frame(path, counts)


def check_frame(path: str | Path, counts: NDArray[Any]) -> NDArray[Any]:
    """Return a frame in the machine's byte order; FrameError, naming `path`, for what is no frame."""
    if counts.ndim == 3 and counts.shape[-1] in (2, 3, 4):
        raise FrameError(path, f"a colour image ({counts.shape[-1]} values a pixel), not detector counts")
    if counts.ndim != 2:
        raise FrameError(path, f"a frame must be two-dimensional, got shape {counts.shape}")
    if counts.size == 0:
        raise FrameError(path, f"empty: a frame of shape {counts.shape}")
    if counts.dtype.kind not in "iuf" or counts.dtype.itemsize > _MAX_ITEM_BYTES:
        raise FrameError(path, f"counts must be integers or real numbers, got {counts.dtype.name}")
    return np.ascontiguousarray(counts, dtype=counts.dtype.newbyteorder("="))
