"""HDF5 stacks of frames: NeXus, CXI, Eiger, Lambda and plain files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.format import Format, Limits, OpenFile, Source
from sweeper.data.formats._hdf5_find import Found, colours, find_frames, text, without_ones
from sweeper.data.formats._hdf5_header import find_header
from sweeper.data.formats._hdf5_links import STILL_WRITTEN, Tree, is_still_written, open_any
from sweeper.data.formats._hdf5_mask import (
    OwnMask,
    check_mask,
    find_limits,
    find_mask_file,
    find_own_mask,
    is_bad,
)
from sweeper.data.formats._hdf5_stored import Stored, check_stored, read_external
from sweeper.data.formats.fabio import refuse_by_name
from sweeper.errors import FrameError

_SHOT_IDS = re.compile(
    r"(memory_?)?cells?(_?ids?)?|(pulse|frame|shot|image|event)(_?ids?|_?numbers?)", re.IGNORECASE
)
_LIVE_NOTE = "open for writing (SWMR): frames as far as they are flushed"


@contextmanager
def _open(source: Source) -> Iterator[OpenFile]:
    """Open the detector's datasets of a file as one stack."""
    with _tree(source) as tree:
        found = find_frames(tree)
        parts = [_Part.of(tree, path, dataset) for path, dataset in found.parts]
        ends = list(accumulate(part.count for part in parts))
        _check_number(tree, found, ends[-1])

        def place(index: int) -> tuple[_Part, int]:
            which = int(np.searchsorted(ends, index, side="right"))
            return parts[which], index - (ends[which - 1] if which else 0)

        def read(index: int) -> NDArray[Any]:
            part, at = place(index)
            return part.read(at)

        def own_mask(index: int) -> NDArray[np.bool_] | None:
            part, at = place(index)
            return part.own_mask(at)

        notes = "; ".join(
            note for note in (found.note, parts[0].note, _LIVE_NOTE if tree.live else "") if note
        )
        yield OpenFile(
            ends[-1],
            read,
            own_mask,
            lambda index: place(index)[0].limits,
            notes,
            lambda index: place(index)[0].header,
        )


@contextmanager
def _tree(source: Source) -> Iterator[Tree]:
    try:
        file, live = open_any(source.seekable())
    except OSError as error:
        refuse_by_name(source.path, source.beginning(8))
        raise FrameError(source.path, _opening_problem(error)) from error
    with ExitStack() as stack:
        stack.callback(file.close)
        yield Tree(source, file, live, stack)


def _opening_problem(error: OSError) -> str:
    said = str(error)
    if is_still_written(error):
        return STILL_WRITTEN
    if "file signature not found" in said:
        return "not an HDF5 file"
    if "truncated file" in said:
        return "truncated: the file is shorter than its header says, or still being copied"
    if error.strerror and "errno" not in said:
        return f"cannot be read: {error.strerror}"
    return "cannot be read as HDF5: damaged, truncated or still being written"


def _check_number(tree: Tree, found: Found, count: int) -> None:
    """Refuse an Eiger master whose data files hold fewer images than it says were taken."""
    path, _ = found.parts[0]
    if found.given or not path.rsplit("/", 1)[-1].startswith("data_"):
        return
    said = 1
    for name in ("nimages", "ntrigger"):
        item = tree.get(tree.file, f"/entry/instrument/detector/detectorSpecific/{name}")
        if not hasattr(item, "chunks") or item.size != 1 or item.dtype.kind not in "iu":
            return
        said *= int(np.asarray(item[()]).reshape(()))
    if count < said:
        raise FrameError(
            tree.source.path, f"its header says {said} images, its data files hold {count}; --dataset "
            "/entry/data reads these"
        )  # fmt: skip


# --------------------------------------------------------------------------- one dataset


@dataclass(eq=False)
class _Part:
    """A dataset of frames.

    Attributes
    ----------
    shots : tuple of int
        Lengths of the axes that count frames.
    pixels : tuple of int
        Shape of a frame as it is stored: (height, width), with panels before, or with colours behind.
    panels : bool
        Whether `pixels` begins with panels.
    """

    tree: Tree
    path: str
    dataset: Any
    shots: tuple[int, ...]
    pixels: tuple[int, ...]
    panels: bool
    stored: Stored
    constant: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, tree: Tree, path: str, dataset: Any) -> _Part:
        """Look at a dataset: what its axes are, whether all of it is there, and which mask it has."""
        _check_no_gains(tree, path, dataset)
        stored = check_stored(tree, dataset)
        shape = without_ones(dataset.shape)
        image_axes = 3 if colours(dataset) else 2
        is_panels = image_axes == 2 and _has_panels(tree, path, dataset, shape)
        split = len(shape) - image_axes - is_panels
        shots, pixels = shape[:split], shape[split:]
        if tree.live and shots:
            shots = (stored.length, *shots[1:])
        elif stored.length < dataset.shape[0]:
            raise FrameError(
                tree.source.path,
                f"still being written: row {stored.length} of {dataset.shape[0]} is not there",
            )
        if "PALETTE" in dataset.attrs and text(dataset.attrs.get("IMAGE_SUBCLASS", "")) == "IMAGE_INDEXED":
            raise FrameError(tree.source.path, f"{path} is a palette image, not detector counts")
        return cls(tree, path, dataset, shots, pixels, is_panels, stored)

    @cached_property
    def mask(self) -> OwnMask | None:
        """The mask that lies beside the frames."""
        if len(self.pixels) != 2 + self.panels:  # in colours
            return None
        shots = tuple(self.dataset.shape[: len(self.shots)])
        return find_own_mask(self.tree, self.path, self.dataset, self.pixels, shots)

    @cached_property
    def limits(self) -> Limits:
        """Return what the file says of valid counts."""
        return find_limits(self.tree, self.path, self.dataset)

    @cached_property
    def header(self) -> dict[str, float]:
        """Return what the file says of how the frames were taken."""
        return find_header(self.tree, self.path, self.dataset)

    @property
    def count(self) -> int:
        """Number of frames."""
        return int(np.prod(self.shots, dtype=np.int64))

    @property
    def note(self) -> str:
        """How the axes were taken, where there is a choice."""
        if not self.panels:
            return ""
        panels, height, width = self.pixels
        return (
            f"the {panels} panels of {height} × {width} of a shot are one frame, one below the other "
            "(--scan-grid makes each a frame of its own)"
        )

    def read(self, index: int) -> NDArray[Any]:
        """Read a frame; panels stand one below the other."""
        if self.dataset.external:
            size = int(np.prod(self.pixels))
            values = read_external(self.dataset, index * size, size)
        else:
            values = np.asarray(self.dataset[self._at(index)] if self.shots else self.dataset[()])
        return values.reshape(self._frame_shape())

    def own_mask(self, index: int) -> NDArray[np.bool_] | None:
        """Return what the file says is invalid in a frame: its mask, and pixels that are not stored."""
        missing = None if self.stored.gaps is None else self.stored.gaps.of(self._at(index))
        if missing is not None:
            missing = missing.reshape(self._frame_shape())
        if self.mask is None:
            return missing
        if self.constant is None or self.mask.per_shot:
            invalid = self.mask.of(self._at(index), self.pixels).reshape(self._frame_shape())
            check_mask(self.tree, self.mask, invalid)
            self.constant = invalid
        return self.constant if missing is None else self.constant | missing

    def _at(self, index: int) -> tuple[int, ...]:
        return tuple(int(i) for i in np.unravel_index(index, self.shots)) if self.shots else ()

    def _frame_shape(self) -> tuple[int, ...]:
        return (self.pixels[0] * self.pixels[1], self.pixels[2]) if self.panels else self.pixels


def _has_panels(tree: Tree, path: str, dataset: Any, shape: tuple[int, ...]) -> bool:
    """Return whether the third axis from the end counts panels of one frame."""
    axes = dataset.attrs.get("axes") if "axes" in dataset.attrs else None
    names = (
        [each for text_ in np.atleast_1d(axes) for each in text(text_).split(":")] if axes is not None else []
    )
    if len(shape) < 3 or tree.source.reading.scan_grid:
        return False
    if len(names) == len(dataset.shape) and "module" in names[len(shape) - 3]:
        return True
    if len(shape) < 4 or shape[-3] == 1 or _ids_of(dataset, shape[:-2]):
        return False
    return not _is_scan_axis(tree, path, dataset, len(shape) - 3)


def _ids_of(dataset: Any, shots: tuple[int, ...]) -> list[str]:
    """Return the datasets beside one that number its shots, as the memory cells of a burst."""
    return [
        name
        for name, item in dataset.parent.items()
        if _SHOT_IDS.fullmatch(name) and hasattr(item, "chunks") and item.shape == shots
    ]


def _check_no_gains(tree: Tree, path: str, dataset: Any) -> None:
    """Refuse raw AGIPD data: of each shot a plane of values and one of the gains they have."""
    shape = dataset.shape
    if len(shape) == 4 and shape[1] == 2 and (_ids_of(dataset, shape[:1]) or _ids_of(dataset, (shape[0], 1))):
        raise FrameError(
            tree.source.path, f"{path} is not calibrated: of each shot it has a plane of values and one of "
            "gains, as a raw AGIPD file; take the calibrated file"
        )  # fmt: skip


def _is_scan_axis(tree: Tree, path: str, dataset: Any, axis: int) -> bool:
    """Return whether NeXus names an axis and gives it positions, as of a motor that was scanned."""
    group = tree.get(tree.file, path.rsplit("/", 1)[0] or "/")
    axes = group.attrs.get("axes") if "axes" in group.attrs else None
    if axes is None:
        return False
    names = [text(each) for each in np.atleast_1d(axes)]
    if len(names) <= axis or names[axis] in (".", "") or any(w in names[axis] for w in ("module", "panel")):
        return False
    positions = tree.get(group, names[axis])
    return (
        hasattr(positions, "chunks")
        and positions.dtype.kind in "iuf"
        and dataset.shape[axis] in positions.shape
    )


def _read_mask(source: Source) -> NDArray[Any] | None:
    """Read the first image of a file's pixel mask; None when it has none."""
    with _tree(source) as tree:
        if source.reading.dataset is not None:
            return None
        found = find_mask_file(tree)
        if found is None:
            return None
        path, dataset = found
        check_stored(tree, dataset)
        lead = (0,) * (dataset.ndim - 2)
        return is_bad(path, np.asarray(dataset[lead] if lead else dataset[()]))


FORMAT = Format(
    name="hdf5",
    suffixes=(".h5", ".hdf5", ".hdf", ".nxs", ".nx", ".nexus", ".cxi"),
    library="h5py with hdf5plugin",
    reads="NeXus, CXI, Eiger and Lambda files and plain HDF5: the dataset that --dataset or the "
    "manifest names, that NeXus names, one at a place where detectors write, or the only one that could "
    "be frames; every compression of hdf5plugin; virtual and external data; what is flushed of a file "
    "that is being written (SWMR)",
    refuses="files in which several datasets could hold the frames; links, virtual and external data "
    "that lead to what is not there; chunks that were never written; palettes",
    images="the axes before the image count frames; of four or more axes the third from the end counts "
    "panels, which stand one below the other in one frame, unless NeXus gives it positions or "
    "--scan-grid is given; an Eiger master gives the frames of all its data files",
    masks="pixel_mask (NXmx) and mask (CXI) beside the frames or in their detector's group, "
    "saturation_value, underload_value and bit_depth_image are honoured, as are pixels that no source "
    "is mapped to; --ignore-file-mask reads without them",
    open=_open,
    read_mask=_read_mask,
    magic=(b"\x89HDF\r\n\x1a\n",),
    datasets=True,
)
