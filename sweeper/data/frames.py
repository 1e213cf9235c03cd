"""Reading detector frames: files in, two-dimensional arrays in their own bit depth out.

Opening a file touches headers only, so counting frames is cheap; pixels are read one frame at a
time. Everything that is wrong with a file is a :class:`FrameError` that says so in one line.
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

from sweeper.data import formats as readers
from sweeper.data import validity
from sweeper.data.formats import OpenFile, reason
from sweeper.errors import FrameError

__all__ = [
    "SUFFIXES",
    "FrameError",
    "FrameReport",
    "count_frames",
    "frame_counts",
    "inspect_frames",
    "is_frame_file",
    "read_frame",
    "read_frames",
]

SUFFIXES: frozenset[str] = readers.SUFFIXES
"""Lower-case suffixes of files taken for frames, such as ``.tif`` and ``.cbf.gz``."""

_MAX_ITEM_BYTES = 8  # float128 has no place in float32 features and no portable digest


def is_frame_file(name: str | Path) -> bool:
    """Whether a file's name says that it holds frames."""
    return readers.suffix_of(name) in SUFFIXES


def count_frames(path: str | Path) -> int:
    """Count the frames of a file from its headers.

    Raises
    ------
    FrameError
        The file is missing, of no known format, or its headers cannot be read.
    """
    with _opened(path) as file:
        return file.count


def frame_counts(paths: Iterable[str | Path]) -> list[int | str]:
    """Count the frames of many files: for each its number of frames, or what is wrong with it."""
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
    with _opened(path) as file:
        return _read(path, file, index)


def read_frames(path: str | Path, indices: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Read frames `indices` of one file in that order, opening it once; as :func:`read_frame`."""
    with _opened(path) as file:
        for index in indices:
            yield _read(path, file, index)


# --------------------------------------------------------------------------- inspection


@dataclass(frozen=True)
class FrameReport:
    """What a full read of one frame showed.

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
    """Read frames of one file in full and report on each; never raises for a bad frame.

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
        One a frame, in the order of `indices`. A file that cannot be opened gives the same error
        for each.
    """
    name = str(path)
    try:
        with _opened(path) as file:
            return [_inspect(name, file, index, negative, mask) for index in indices]
    except FrameError as error:
        return [FrameReport(name, index, 0, 0, "", "", error.problem) for index in indices]


def _inspect(
    path: str, file: OpenFile, index: int, negative: str, mask: NDArray[np.bool_] | None
) -> FrameReport:
    try:
        counts = _read(path, file, index)
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
    """Digest of dtype, shape, pixels and mask, 32 characters, equal on all byte orders."""
    little = counts.astype(counts.dtype.newbyteorder("<"), copy=False)
    hasher = hashlib.blake2b(f"{counts.dtype.name}{counts.shape}".encode(), digest_size=16)
    hasher.update(np.ascontiguousarray(little).data)
    if mask is not None:
        hasher.update(b"mask")
        hasher.update(np.packbits(mask).data)
    return hasher.hexdigest()


# --------------------------------------------------------------------------- opening and checking


@contextmanager
def _opened(path: str | Path) -> Iterator[OpenFile]:
    """Open `path`; whatever fails on the way is a FrameError, what the caller raises is not."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(readers.open_file(Path(path)))
            if file.count < 1:
                raise FrameError(path, "empty: holds no frame")
        except FrameError as error:
            raise FrameError(path, error.problem) from error  # that of an unpacked file names another path
        except Exception as error:  # readers of damaged files raise whatever they like
            raise FrameError(path, reason(path, error)) from error
        yield file


def _read(path: str | Path, file: OpenFile, index: int) -> NDArray[Any]:
    if isinstance(index, bool) or not 0 <= index < file.count:
        raise FrameError(path, f"frame index must be from 0 to {file.count - 1}, got {index}")
    try:
        counts = file.read(int(index))
    except FrameError as error:
        raise FrameError(path, error.problem) from error  # as above
    except Exception as error:
        raise FrameError(path, reason(path, error)) from error
    return _checked(path, counts)


def _checked(path: str | Path, counts: NDArray[Any]) -> NDArray[Any]:
    """Refuse what is not a frame; the machine's byte order for what is."""
    if counts.ndim == 3 and counts.shape[-1] in (2, 3, 4):
        raise FrameError(path, f"a colour image ({counts.shape[-1]} values a pixel), not detector counts")
    if counts.ndim != 2:
        raise FrameError(path, f"a frame must be two-dimensional, got shape {counts.shape}")
    if counts.size == 0:
        raise FrameError(path, f"empty: a frame of shape {counts.shape}")
    if counts.dtype.kind not in "iuf" or counts.dtype.itemsize > _MAX_ITEM_BYTES:
        raise FrameError(path, f"counts must be integers or real numbers, got {counts.dtype.name}")
    return np.ascontiguousarray(counts, dtype=counts.dtype.newbyteorder("="))
