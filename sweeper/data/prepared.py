"""Frames of many files in order, with their masks: as counted, as featurizers see them, small for pictures.

Whoever needs frames takes them from here, so that a frame is read, masked and prepared in one way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Params, PreparedFrame
from sweeper.data.format import DEFAULT_READING, OpenFile, Reading
from sweeper.data.frames import FrameReport, combine_masks, inspect_frames, open_frames, own_masks
from sweeper.data.header import Header
from sweeper.data.intensity import for_display, prepare
from sweeper.data.masks import kept_mask
from sweeper.errors import FrameError


@dataclass(frozen=True)
class FrameRef:
    """Where one frame is.

    Attributes
    ----------
    path : str
    index : int
        Position in the file, from 0.
    mask : str or None
        Mask file.
    name : str
        What messages call the frame; empty: its path.
    reading : Reading
        How the file is read.
    """

    path: str
    index: int
    mask: str | None
    name: str = ""
    reading: Reading = DEFAULT_READING


@dataclass(frozen=True, eq=False)
class RawFrame:
    """One frame as the detector counted it.

    Attributes
    ----------
    ref : FrameRef
    counts : integer or real, (height, width)
        As :func:`sweeper.data.frames.read_frame` gives them.
    mask : bool, (height, width), or None
        True where a pixel is invalid: by the mask file, or by what the frame's own file says.
    header : mapping
        What its file says of how it was taken, where that is read, see :mod:`sweeper.data.header`.
    """

    ref: FrameRef
    counts: NDArray[Any]
    mask: NDArray[np.bool_] | None
    header: Header = field(default_factory=dict)

    def prepared(self, intensity: Params) -> PreparedFrame:
        """Apply intensity settings; FrameError when the frame does not allow them."""
        try:
            frame = prepare(self.counts, intensity, self.mask)
        except ValueError as error:
            raise FrameError(self.ref.name or self.ref.path, str(error)) from None
        if not self.header:
            return frame
        height, width = self.counts.shape
        return replace(frame, header={**self.header, "height_px": height, "width_px": width})

    def displayed(self, intensity: Params, most_px: int) -> PreparedFrame:
        """Apply intensity settings for a picture: on a logarithmic scale, of about `most_px` at most.

        See :func:`sweeper.data.intensity.for_display`.
        """
        return self.prepared(for_display(intensity, self.counts.shape, most_px))


ReadRaw = Callable[[Sequence[FrameRef]], Iterable[RawFrame]]
"""Reads frames in the order asked for: :func:`raw_frames`, or a way through a machine that sees the files."""


def raw_frames(refs: Sequence[FrameRef]) -> Iterator[RawFrame]:
    """Read frames in order, opening a file once for frames of it that follow one another.

    Raises
    ------
    FrameError
        A file or mask that cannot be read, when its frame's turn comes.
    """
    for (path, mask_file, reading), group in groupby(refs, key=_from_one_file):
        mask = None if mask_file is None else kept_mask(mask_file)
        with open_frames(path, reading=reading) as file:
            for ref in group:
                yield read_raw(file, ref, mask)


def read_raw(file: OpenFile, ref: FrameRef, mask: NDArray[np.bool_] | None = None) -> RawFrame:
    """Read a frame of a file that is open.

    Parameters
    ----------
    file : OpenFile
        From :func:`sweeper.data.frames.open_frames`.
    ref : FrameRef
        A frame of this file.
    mask : bool, (height, width), optional
        That of a mask file.
    """
    counts = file.read(ref.index)
    return RawFrame(ref, counts, _mask(file, ref.index, counts, mask), file.header(ref.index))


def _from_one_file(ref: FrameRef) -> tuple[str, str | None, Reading]:
    return ref.path, ref.mask, ref.reading


def _mask(
    file: OpenFile, index: int, counts: NDArray[Any], mask: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    if mask is not None and mask.shape != counts.shape:
        return mask  # whoever prepares the frame says so under its name
    return combine_masks(counts.shape, mask, *own_masks(file, index, counts))


def raw_frame(ref: FrameRef) -> RawFrame:
    """Read one frame."""
    [frame] = raw_frames([ref])
    return frame


def prepared_frames(
    refs: Sequence[FrameRef], intensity: Params, read: ReadRaw = raw_frames
) -> Iterator[PreparedFrame]:
    """Prepare frames for featurizers, in order.

    Parameters
    ----------
    refs : sequence of FrameRef
    intensity : mapping
        Values of :data:`sweeper.data.intensity.AXES`.
    read : callable
        What reads the frames.

    Raises
    ------
    FrameError
        A frame that cannot be read or prepared, when its turn comes.
    """
    for frame in read(refs):
        yield frame.prepared(intensity)


def inspect_refs(refs: Sequence[FrameRef], negative: str) -> list[FrameReport]:
    """Read frames in full and report on each, in order; a mask that cannot be read is its frames' error.

    Parameters
    ----------
    refs : sequence of FrameRef
    negative : {"masked", "valid"}
        What negative counts are, as in :data:`sweeper.data.intensity.AXES`.
    """
    reports: list[FrameReport] = []
    for (path, mask_file, reading), group in groupby(refs, key=_from_one_file):
        indices = [ref.index for ref in group]
        try:
            mask = None if mask_file is None else kept_mask(mask_file)
        except FrameError as error:
            reports += [FrameReport(path, index, 0, 0, "", "", str(error)) for index in indices]
        else:
            reports += inspect_frames(path, indices, negative, mask, reading)
    return reports
