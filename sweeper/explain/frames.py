"""Frames to explain: files, folders of frames and data sets, with known classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sweeper.data import manifest
from sweeper.data.dataset import load_dataset
from sweeper.data.folders import walk
from sweeper.data.format import DEFAULT_READING, Reading
from sweeper.data.formats import split_location
from sweeper.data.frames import count_frames, is_frame_file
from sweeper.data.masks import load_mask
from sweeper.data.prepared import FrameRef, inspect_refs
from sweeper.errors import BadFramesError, FrameError, InputError

_SHOWN = 3  # unusable frames in a message
_LONGEST_NAME = 150  # characters: file systems take names of 255 bytes


@dataclass(frozen=True)
class GivenFrame:
    """One frame to explain.

    Attributes
    ----------
    path : str
        Absolute.
    index : int
        Position in the file.
    name : str
        Path relative to the folder or manifest that named it.
    stacked : bool
        Whether the file holds more frames than this.
    true : str or None
        Class, where it is known.
    mask : str or None
        Mask file.
    reading : Reading
        How the file is read.
    """

    path: str
    index: int
    name: str
    stacked: bool
    true: str | None
    mask: str | None
    reading: Reading = DEFAULT_READING

    def called(self, name: str) -> str:
        """Return a name or path of the file, with ``#index`` in a stack."""
        return f"{name}#{self.index}" if self.stacked else name

    @property
    def ref(self) -> FrameRef:
        """Return the place of the frame; messages call it by its path."""
        return FrameRef(self.path, self.index, self.mask, self.called(self.path), self.reading)


def find_frames(
    given: Sequence[Path],
    mask: Path | None = None,
    *,
    allow_outside: bool = False,
    reading: Reading = DEFAULT_READING,
) -> list[GivenFrame]:
    """Return the frames of files, folders and data sets, in the order given, each once.

    A manifest, and a folder without a frame file directly in it, is a data set, whose classes are
    known; a folder with one is a folder of frames, whose classes are not, and whose folders below are
    walked.

    Parameters
    ----------
    given : sequence of Path
    mask : Path, optional
        Mask file of all frames for which a manifest names none.
    allow_outside : bool
        Whether a manifest may name files outside its folder.
    reading : Reading
        How files are read.

    Raises
    ------
    ValueError
        A path that does not exist, a file that cannot be opened, a folder without frames, a mask that
        cannot be used, or a data set that :func:`sweeper.data.dataset.load_dataset` refuses.
    """
    mask_file = None
    if mask is not None:
        load_mask(mask)
        mask_file = os.path.abspath(mask)  # noqa: PTH100  links keep their names
    found: dict[tuple[str, int], GivenFrame] = {}
    for path in given:
        for frame in _frames_of(path, mask_file, allow_outside, reading):
            found.setdefault((frame.path, frame.index), frame)
    return list(found.values())


def _frames_of(path: Path, mask: str | None, allow_outside: bool, reading: Reading) -> list[GivenFrame]:
    if not split_location(path)[0].exists():
        raise FrameError(path, "no such file")
    if path.suffix.lower() in manifest.SUFFIXES:
        return _dataset_frames(path, mask, allow_outside, reading)
    if not path.is_dir():
        return _file_frames(path, split_location(path)[0].name, mask, reading)
    if not any(entry.is_file() and is_frame_file(entry) for entry in path.iterdir()):
        return _dataset_frames(path, mask, allow_outside, reading)
    files = [file for file, is_frame in walk(path) if is_frame]
    return [f for file in files for f in _file_frames(file, file.relative_to(path).as_posix(), mask, reading)]


def _file_frames(path: Path, name: str, mask: str | None, reading: Reading) -> list[GivenFrame]:
    count = count_frames(path, reading)
    absolute = os.path.abspath(path)  # noqa: PTH100  as above
    return [GivenFrame(absolute, index, name, count > 1, None, mask, reading) for index in range(count)]


def _dataset_frames(path: Path, mask: str | None, allow_outside: bool, reading: Reading) -> list[GivenFrame]:
    try:
        data = load_dataset(path, mask=mask, allow_outside=allow_outside, reading=reading)
    except BadFramesError as bad:
        raise _unusable([f"{bad.source}: {name}: {problem}" for name, problem in bad.problems]) from None
    return [
        GivenFrame(
            path=data.paths[row],
            index=int(data.index[row]),
            name=data.files[data.file[row]],
            stacked=bool(data.sizes[data.file[row]] > 1),
            true=data.classes[data.labels[row]],
            mask=data.masks[row],
            reading=reading,
        )
        for row in range(len(data))
    ]


def at_most(frames: Sequence[GivenFrame], limit: int | None) -> list[GivenFrame]:
    """Return at most `limit` frames of each known class, spread evenly, and all frames of unknown class."""
    if limit is None:
        return list(frames)
    of_class: dict[str, list[int]] = {}
    for position, frame in enumerate(frames):
        if frame.true is not None:
            of_class.setdefault(frame.true, []).append(position)
    kept = {position for positions in of_class.values() for position in evenly(positions, limit)}
    return [f for position, f in enumerate(frames) if f.true is None or position in kept]


def evenly(items: Sequence[Any], most: int) -> list[Any]:
    """Return at most so many of some items, at equal distances from the first to the last."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.round(np.linspace(0, len(items) - 1, most)).astype(int).tolist()]


def check_readable(frames: Sequence[GivenFrame], negative: str) -> None:
    """Read every frame in full; raise InputError naming the first few that cannot be used.

    `negative` is what negative counts are, as in :data:`sweeper.data.intensity.AXES`.
    """
    reports = inspect_refs([frame.ref for frame in frames], negative)
    problems = [
        f"{frame.called(frame.path)}: {report.error}"
        for frame, report in zip(frames, reports, strict=True)
        if report.error is not None
    ]
    if problems:
        raise _unusable(problems)


def _unusable(problems: Sequence[str]) -> InputError:
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return InputError("; ".join(problems[:_SHOWN]) + more)


def png_names(frames: Sequence[GivenFrame]) -> list[str]:
    """Return a file name for the picture of each frame: its own name, with a number where two are alike."""
    names: list[str] = []
    taken = {"contact_sheet.png"}
    for frame in frames:
        parts = Path(frame.name).with_suffix("").parts
        stem = "__".join(part for part in parts if part not in ("/", ".."))[-_LONGEST_NAME:]
        stem += f"-{frame.index:05}" if frame.stacked else ""
        candidate, number = f"{stem}.png", 1
        while candidate.lower() in taken:  # some file systems do not tell case
            number += 1
            candidate = f"{stem}-{number}.png"
        taken.add(candidate.lower())
        names.append(candidate)
    return names
