"""Which frame is meant: one of a run's, by path or name, or any other file; and how it is drawn."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sweeper.data.dataset import Dataset
from sweeper.data.formats import split_location
from sweeper.data.frames import count_frames
from sweeper.data.prepared import FrameRef, raw_frame
from sweeper.errors import FrameError, InputError
from sweeper.plugins import nearest
from sweeper.similar.drawing import Thumbnail

_THUMBNAIL_PX = 132
_MOST_NAMES = 10_000  # to look for the nearest of


@dataclass(frozen=True)
class Frame(FrameRef):
    """A frame to search with; its path is absolute.

    Attributes
    ----------
    row : int or None
        Row of the run's data set, where it is one of its frames.
    """

    row: int | None = None


def find_frame(data: Dataset, text: str, mask: str | None) -> Frame:
    """Return the frame that a text means: ``FILE``, or ``FILE#INDEX`` in a stack.

    FILE is a path, or a path within the data set as reports write it. A file that is none of the run's
    is taken with `mask`, and read as those of the run are.

    Raises
    ------
    ValueError
        No such file or frame, or a stack without an index.
    """
    whole = re.fullmatch(r"(.+)#(\d+)", text)
    file, index = (text, None) if whole is None or Path(text).exists() else (whole[1], int(whole[2]))
    inside = os.path.normpath(data.root / file)
    for path in dict.fromkeys((os.path.abspath(file), os.path.realpath(file), inside)):  # noqa: PTH100
        rows = np.flatnonzero(data.paths == path)
        if len(rows):
            row = _row(data, rows, index, text)
            return frame_at(data, row)
    on_disk = split_location(file)[0]
    if not on_disk.exists():
        close = f"; {nearest(file, data.files)}" if len(data.files) <= _MOST_NAMES else ""
        raise FrameError(file, f"no such file, and no frame of the run is called so{close}")
    if on_disk.is_dir():
        raise FrameError(file, "a frame must be a file, this is a folder")
    count = count_frames(file, data.reading)
    if count > 1 and index is None:
        raise FrameError(file, f"holds {count} frames: say which, such as {file}#0")
    return Frame(os.path.abspath(file), index or 0, mask, text, data.reading)  # noqa: PTH100


def _row(data: Dataset, rows: np.ndarray[Any, Any], index: int | None, text: str) -> int:
    """Return the row of a file's frame."""
    if index is None and len(rows) == 1:
        return int(rows[0])
    if index is None:
        raise InputError(f"{text}: holds {len(rows)} frames of the run: say which, such as {text}#0")
    row = rows[data.index[rows] == index]
    if not len(row):
        raise InputError(f"{text}: this frame of the file is none of the run's")
    return int(row[0])


def frame_at(data: Dataset, row: int) -> Frame:
    """Return the frame at a row of the run's data set."""
    name = str(data.names[row])
    return Frame(data.paths[row], int(data.index[row]), data.masks[row], name, data.reading, row)


def thumbnail(
    frame: Frame, intensity: Mapping[str, Any], label: str | None, distance: float | None = None
) -> Thumbnail:
    """Return the frame as it is drawn: with the pipeline's settings, but logarithmic and small."""
    view = raw_frame(frame).displayed(intensity, 2 * _THUMBNAIL_PX)
    return Thumbnail(frame.name, label, view.image, view.valid, distance)
