"""Reading detector frames: files in, two-dimensional arrays in their own bit depth out.

Opening a file touches headers only, so counting frames is cheap; pixels are read one frame at a
time. Everything that is wrong with a file is a :class:`~sweeper.errors.FrameError` that says so in one
line. Frames of many files with their masks come from :mod:`sweeper.data.prepared`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data import formats, validity
from sweeper.data.colour import grey
from sweeper.data.format import DEFAULT_READING, Format, Limits, OpenFile, Reading, reason
from sweeper.data.header import Header
from sweeper.errors import FrameError, InputError
from sweeper.pipeline import canonical_json

_MAX_ITEM_BYTES = 8  # float128 has no place in float32 features and no portable digest


def is_frame_file(name: str | Path) -> bool:
    """Return whether a file's name says that it holds frames."""
    return formats.has_known_suffix(name)


def count_frames(path: str | Path, reading: Reading = DEFAULT_READING) -> int:
    """Count the frames of a file from its headers.

    Parameters
    ----------
    path : str or Path
        The file; a dataset in an HDF5 file may follow: ``scan.h5::/1.1/measurement/eiger``. So it is
        wherever a path of frames is asked for.
    reading : Reading

    Raises
    ------
    FrameError
        The file is missing, of no known format, or its headers cannot be read.
    """
    with open_frames(path, reading=reading) as file:
        return file.count


@dataclass(frozen=True)
class Counted:
    """The headers of a file.

    Attributes
    ----------
    count : int
        Number of frames.
    note : str
        See :attr:`sweeper.data.format.OpenFile.note`.
    """

    count: int
    note: str = ""


def frame_counts(paths: Iterable[str | Path], reading: Reading = DEFAULT_READING) -> list[Counted | str]:
    """Return for each of many files how many frames it holds, or what is wrong with it."""
    counts: list[Counted | str] = []
    for path in paths:
        try:
            with open_frames(path, reading=reading) as file:
                counts.append(Counted(file.count, file.note))
        except FrameError as error:
            counts.append(error.problem)
    return counts


def read_frame(path: str | Path, index: int = 0, reading: Reading = DEFAULT_READING) -> NDArray[Any]:
    """Read one frame.

    Parameters
    ----------
    path : str or Path
    index : int
        Position in the file, from 0.
    reading : Reading

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
    with open_frames(path, reading=reading) as file:
        return file.read(index)


def read_frames(
    path: str | Path, indices: Sequence[int], reading: Reading = DEFAULT_READING
) -> Iterator[NDArray[Any]]:
    """Read frames `indices` of one file in that order as :func:`read_frame` does, opening it once."""
    with open_frames(path, reading=reading) as file:
        for index in indices:
            yield file.read(index)


@contextmanager
def open_frames(
    path: str | Path, format: Format | None = None, reading: Reading = DEFAULT_READING
) -> Iterator[OpenFile]:
    """Open a file whose frames are wanted in any order.

    Parameters
    ----------
    path : str or Path
    format : Format, optional
        The format of the file; by default that of its suffix.
    reading : Reading

    Yields
    ------
    OpenFile
        Its ``read`` gives frames as :func:`read_frame` does, and the same errors. Its own mask and limits
        are not there where `reading` says that they are not honoured, and its header where it is not asked
        for.

    Raises
    ------
    FrameError
        As :func:`count_frames`. What the caller raises in the context passes as it is.
    """
    with ExitStack() as stack:
        format = format or formats.format_of(path)
        try:
            source = formats.source_of(path, reading)
            if formats.split_location(path)[1] is not None and not format.datasets:
                raise FrameError(path, f"a dataset is named, but {format.called} files have none")
            file = stack.enter_context(format.open(source))
            if file.count < 1:
                raise FrameError(path, "empty: holds no frame")
        except FrameError as error:
            raise FrameError(path, error.problem) from error  # that of an unpacked file names another path
        except Exception as error:  # readers of damaged files raise whatever they like
            raise FrameError(path, reason(error, format.called)) from error
        yield _Opened(path, format.called, file).as_file(reading)


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
        blake2b of dtype, shape and pixels, of the mask when there is one, and of the file's header where that
        is read: equal digests give equal prepared frames. Empty when there is an `error`.
    error : str or None
        What is wrong, in one line without the path, or None.
    invalid_counts, mask_pixels, own_mask_pixels, limit_pixels : int
        How many pixels are invalid for each reason, whatever the others say: by what they count (NaN,
        negative, a detector's sentinel); by the mask file; by the mask that the file itself holds; beyond the
        limits that its header states.
    """

    path: str
    index: int
    height: int
    width: int
    dtype: str
    digest: str
    error: str | None
    invalid_counts: int = 0
    mask_pixels: int = 0
    own_mask_pixels: int = 0
    limit_pixels: int = 0


def inspect_frames(
    path: str | Path,
    indices: Sequence[int],
    negative: str = "masked",
    mask: NDArray[np.bool_] | None = None,
    reading: Reading = DEFAULT_READING,
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
    reading : Reading

    Returns
    -------
    list of FrameReport
        One for each frame, in the order of `indices`. A file that cannot be opened gives the same
        error for each.
    """
    name = str(path)
    try:
        with open_frames(path, reading=reading) as file:
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
    height, width = counts.shape
    report = FrameReport(path, index, height, width, counts.dtype.name, "", None)
    try:
        by_count = validity.valid_pixels(counts, negative)
        own, limits = own_masks(file, index, counts)
        header = file.header(index)
        combined = combine_masks(counts.shape, mask, own, limits)
        if not (by_count if combined is None else by_count & ~combined).any():
            problem = "no valid pixel: all are NaN, negative, a detector's sentinel or masked"
            return replace(report, error=problem)
    except FrameError as error:
        return replace(report, error=error.problem)
    except ValueError as error:
        return replace(report, error=str(error))
    return replace(
        report,
        digest=_digest(counts, combined, header),
        invalid_counts=counts.size - int(np.count_nonzero(by_count)),
        mask_pixels=_pixels(mask),
        own_mask_pixels=_pixels(own),
        limit_pixels=_pixels(limits),
    )


def _pixels(mask: NDArray[np.bool_] | None) -> int:
    return 0 if mask is None else int(np.count_nonzero(mask))


def own_masks(
    file: OpenFile, index: int, counts: NDArray[Any]
) -> tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
    """Return the pixels that a file's own mask calls invalid, and those beyond the limits it states."""
    own = file.own_mask(index) if file.own_mask is not None else None
    limits = file.limits(index)
    return own, limits.invalid(counts) if limits else None


def combine_masks(
    shape: tuple[int, ...],
    mask: NDArray[np.bool_] | None,
    own: NDArray[np.bool_] | None,
    limits: NDArray[np.bool_] | None,
) -> NDArray[np.bool_] | None:
    """Return the pixels that any mask calls invalid, or None where there is no mask file and no such pixel.

    Parameters
    ----------
    shape : (int, int)
        Of the frame.
    mask : bool, (height, width), or None
        That of a mask file.
    own, limits : bool, (height, width), or None
        What the file itself says.

    Raises
    ------
    ValueError
        A mask has another shape than the frame.
    """
    if mask is not None and mask.shape != shape:
        raise InputError(f"mask must have the shape of the frame, {shape}, got {mask.shape}")
    combined = mask
    for each in (own, limits):
        if each is not None and each.any():  # a file whose mask is empty reads as one without
            combined = each if combined is None else combined | each
    return combined


def _digest(counts: NDArray[Any], mask: NDArray[np.bool_] | None, header: Header) -> str:
    """Return a digest of dtype, shape, pixels, mask and header: 32 characters, for any byte order."""
    little = counts.astype(counts.dtype.newbyteorder("<"), copy=False)
    hasher = hashlib.blake2b(f"{counts.dtype.name}{counts.shape}".encode(), digest_size=16)
    hasher.update(np.ascontiguousarray(little).data)
    if mask is not None:
        hasher.update(b"mask")
        hasher.update(np.packbits(mask).data)
    if header:
        hasher.update(canonical_json(dict(header)).encode())
    return hasher.hexdigest()


INVALID_BY = {
    "invalid_counts": "by what they count",
    "mask_pixels": "by the mask file",
    "own_mask_pixels": "by the files' own masks",
    "limit_pixels": "beyond the limits that headers state",
}
"""Fields of :class:`FrameReport` that count invalid pixels, and the reason in words."""


def invalid_pixels(reports: Sequence[FrameReport]) -> list[str]:
    """Return a line with the share of pixels that each reason makes invalid; none where only counts do."""
    good = [report for report in reports if report.error is None]
    total = sum(report.height * report.width for report in good)
    numbers = {name: sum(getattr(report, name) for report in good) for name in INVALID_BY}
    if not any(number for name, number in numbers.items() if name != "invalid_counts"):
        return []
    return [f"invalid pixels: {invalid_shares(total, numbers)}"]


def invalid_shares(total: int, numbers: Mapping[str, int]) -> str:
    """Return shares of invalid pixels in words; `numbers` has the keys of :data:`INVALID_BY`."""
    shares = [f"{100 * n / total:.3g} % {INVALID_BY[name]}" for name, n in numbers.items() if n and total]
    return ", ".join(shares) or "none"


# --------------------------------------------------------------------------- checking


@dataclass(frozen=True)
class _Opened:
    """An open file as its format gives it, with what messages call it."""

    path: str | Path
    title: str
    file: OpenFile

    def as_file(self, reading: Reading) -> OpenFile:
        """Return the file with everything checked that is read from it."""
        file = OpenFile(self.file.count, self.read, note=self.file.note)
        if reading.header:
            file = replace(file, header=self.header)
        if not reading.own_mask:
            return file
        own_mask = None if self.file.own_mask is None else self.own_mask
        return replace(file, own_mask=own_mask, limits=self.limits)

    def read(self, index: int) -> NDArray[Any]:
        """Read a frame."""
        if isinstance(index, bool) or not 0 <= index < self.file.count:
            raise FrameError(self.path, f"frame index must be from 0 to {self.file.count - 1}, got {index}")
        return check_frame(self.path, self._tried(self.file.read, int(index)))

    def header(self, index: int) -> Header:
        """Read what the file says of how a frame was taken."""
        found: Header = self._tried(self.file.header, int(index))
        return found

    def own_mask(self, index: int) -> NDArray[np.bool_] | None:
        """Read the file's own mask of a frame."""
        assert self.file.own_mask is not None
        mask: NDArray[np.bool_] | None = self._tried(self.file.own_mask, int(index))
        return mask

    def limits(self, index: int) -> Limits:
        """Read what the header says of valid counts of a frame."""
        limits: Limits = self._tried(self.file.limits, int(index))
        return limits

    def _tried(self, read: Callable[..., Any], *index: int) -> Any:
        try:
            return read(*index)
        except FrameError as error:
            raise FrameError(self.path, error.problem) from error  # as above
        except Exception as error:
            raise FrameError(self.path, reason(error, self.title)) from error


def check_frame(path: str | Path, counts: NDArray[Any]) -> NDArray[Any]:
    """Return a frame in the machine's byte order; FrameError, naming `path`, for what is no frame."""
    if counts.ndim == 3 and counts.shape[-1] in (2, 3, 4):
        counts = grey(path, counts)
    if counts.ndim != 2:
        raise FrameError(path, f"a frame must be two-dimensional, got shape {counts.shape}")
    if counts.size == 0:
        raise FrameError(path, f"empty: a frame of shape {counts.shape}")
    if counts.dtype.kind not in "iuf" or counts.dtype.itemsize > _MAX_ITEM_BYTES:
        raise FrameError(path, f"counts must be integers or real numbers, got {counts.dtype.name}")
    return np.ascontiguousarray(counts, dtype=counts.dtype.newbyteorder("="))
