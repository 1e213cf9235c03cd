"""HDF5 stacks of frames: NeXus, CXI, Eiger, Lambda and plain files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.format import Format, OpenFile, Source
from sweeper.errors import FrameError

KNOWN_PATHS = (
    "/entry/data/data",
    "/entry_1/data_1/data",
    "/entry_1/image_1/data",
    "/entry_1/instrument_1/detector_1/data",
    "/entry/instrument/detector/data",
)
"""Where detectors and facilities write their frames (NeXus, CXI, Eiger, Lambda)."""

_DEEPEST_DEFAULT = 8  # a chain of `default` attributes that leads in a circle must end
_EIGER_LINK = re.compile(r"data_\d+")
# As large as the frames themselves, but not frames.
_NOT_FRAMES = re.compile(r"mask|flat|gain|dark|pedestal|background|offset|error|sigma|weight", re.IGNORECASE)
_MASK_NAMES = ("pixel_mask", "mask", "bad_pixels", "badpixels")


@contextmanager
def _open(source: Source) -> Iterator[OpenFile]:
    """Open the detector's dataset of a file as a stack; all leading axes count frames."""
    path = source.path
    with _file(source) as file:
        parts = find_frames(path, file)
        for part in parts:
            _check_sources(path, part)
        ends = list(accumulate(_frames_in(part) for part in parts))

        def read(index: int) -> NDArray[Any]:
            which = next(i for i, end in enumerate(ends) if index < end)
            start = ends[which - 1] if which else 0
            return _frame(parts[which], index - start)

        yield OpenFile(ends[-1], read)


def find_frames(path: Path, file: Any) -> list[Any]:
    """Find the datasets that hold the frames, several where an Eiger master links to its data files.

    In this order: NeXus's ``default`` attributes down to an NXdata and its ``signal``; an Eiger
    master's ``data_000001``, ...; :data:`KNOWN_PATHS`; the largest signal of an NXdata; the
    largest numeric dataset of two dimensions or more that is not called a mask, a flat field or the like.

    Raises
    ------
    FrameError
        None found, two of the same size, or a link to a file that is not there.
    """
    by_default = _follow_default(file)
    if by_default:
        return _with_siblings(path, *by_default)
    for name in ("/entry/data", "/entry/instrument/detector"):
        group = _group(file, name)
        if group is not None and "data" not in group:
            links = sorted(key for key in group if _EIGER_LINK.fullmatch(key))
            if links:
                return _with_siblings(path, group, links[0])
    for name in KNOWN_PATHS:
        if _has_link(file, name):
            dataset = _linked(path, file, name)
            if _is_stack(dataset):
                return [dataset]
    return [_largest(path, file)]


def find_mask(file: Any) -> Any | None:
    """Find a pixel mask (NXmx ``pixel_mask`` or a dataset named like one) in an open file, or None."""
    found: dict[int, Any] = {}

    def visit(name: str, item: Any) -> None:
        base = name.rsplit("/", 1)[-1].lower()
        if base in _MASK_NAMES and _has_shape(item):
            found.setdefault(_MASK_NAMES.index(base), item)

    file.visititems(visit)
    return found[min(found)] if found else None


def _read_mask(source: Source) -> NDArray[Any] | None:
    """Read the first image of a file's pixel mask; None when it has none."""
    with _file(source) as file:
        dataset = find_mask(file)
        return None if dataset is None else _frame(dataset, 0)


def _file(source: Source) -> Any:
    import h5py
    import hdf5plugin  # noqa: F401  registers bitshuffle, LZ4, Zstandard, ...

    return h5py.File(source.seekable(), "r", locking=False)  # another process may still be writing


# --------------------------------------------------------------------------- finding


def _follow_default(file: Any) -> tuple[Any, str] | None:
    """Return an NXdata group and the name of its signal, as NeXus's ``default`` attributes lead to them."""
    group = file
    for _ in range(_DEEPEST_DEFAULT):
        if "default" not in group.attrs:
            break
        below = _group(group, _text(group.attrs["default"]))
        if below is None:
            return None
        group = below
    signal = _text(group.attrs.get("signal", ""))
    if not signal or not _has_link(group, signal):
        return None
    dataset = _get(group, signal)  # None behind a broken link, which the caller reports
    return (group, signal) if dataset is None or _is_stack(dataset) else None


def _with_siblings(path: Path, group: Any, name: str) -> list[Any]:
    """Return the dataset, and for ``data_000001`` every one of that pattern in the group, in order."""
    names = [name]
    if _EIGER_LINK.fullmatch(name):
        names = sorted(key for key in group if _EIGER_LINK.fullmatch(key))
    return [_linked(path, group, each) for each in names]


def _linked(path: Path, group: Any, name: str) -> Any:
    """Follow a name that may be a link to a file which is not there (yet)."""
    try:
        return group[name]
    except (KeyError, OSError) as error:
        link = group.get(name, getlink=True)
        target = getattr(link, "filename", None) or getattr(link, "path", name)
        raise FrameError(path, f"{name} links to {target}, which cannot be opened") from error


def _largest(path: Path, file: Any) -> Any:
    """Return the largest stack in the file; where there are NXdata signals, the largest of them."""
    stacks: list[Any] = []
    signals: list[Any] = []

    def visit(name: str, item: Any) -> None:
        if _is_stack(item) and not _NOT_FRAMES.search(name.rsplit("/", 1)[-1]):
            stacks.append(item)
            parent_signal = _text(item.parent.attrs.get("signal", ""))
            if parent_signal == name.rsplit("/", 1)[-1] or _text(item.attrs.get("signal", "")) == "1":
                signals.append(item)

    file.visititems(visit)
    candidates = signals or stacks
    if not candidates:
        raise FrameError(path, "holds no numeric dataset of two or more dimensions")
    size = max(item.size for item in candidates)
    best = [item for item in candidates if item.size == size]
    if len(best) > 1:
        names = ", ".join(sorted(item.name for item in best))
        raise FrameError(path, f"cannot tell which dataset holds the frames: {names} are of equal size")
    return best[0]


def _check_sources(path: Path, dataset: Any) -> None:
    """Refuse a virtual dataset of which a source file is missing: it would read as fill values."""
    if not dataset.is_virtual:
        return
    folder = Path(dataset.file.filename).parent
    for source in dataset.virtual_sources():
        if (
            source.file_name != "."
            and "%" not in source.file_name
            and not (folder / source.file_name).exists()
        ):
            raise FrameError(path, f"{dataset.name} needs {source.file_name}, which is not there")


# --------------------------------------------------------------------------- small questions


def _has_shape(item: Any) -> bool:
    return hasattr(item, "dtype") and len(item.shape or ()) >= 2


def _is_stack(item: Any) -> bool:
    return _has_shape(item) and item.dtype.kind in "iufcb"


def _has_link(parent: Any, name: str) -> bool:
    """Return whether the name exists, even as a link to nothing."""
    return parent.get(name, getlink=True) is not None


def _get(parent: Any, name: str) -> Any | None:
    try:
        return parent[name]
    except (KeyError, OSError):
        return None


def _group(parent: Any, name: str) -> Any | None:
    found = _get(parent, name)
    return found if hasattr(found, "keys") else None


def _text(value: Any) -> str:
    """Return an attribute as text: HDF5 writers store bytes, strings, or arrays of one of them."""
    if isinstance(value, np.ndarray):
        value = value.flat[0] if value.size else ""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _is_colour(dataset: Any) -> bool:
    return dataset.ndim == 3 and dataset.shape[-1] in (3, 4)


def _frames_in(dataset: Any) -> int:
    return 1 if _is_colour(dataset) else int(np.prod(dataset.shape[:-2], dtype=np.int64))


def _frame(dataset: Any, index: int) -> NDArray[Any]:
    if _is_colour(dataset):  # refused by the caller, who sees its shape
        return np.asarray(dataset[()])
    return np.asarray(
        dataset[np.unravel_index(index, dataset.shape[:-2])] if dataset.ndim > 2 else dataset[()]
    )


FORMAT = Format(
    name="hdf5",
    suffixes=(".h5", ".hdf5", ".hdf", ".nxs", ".nx", ".nexus", ".cxi"),
    library="h5py with hdf5plugin",
    reads="NeXus, CXI, Eiger and Lambda files and plain HDF5: the dataset that NeXus names, one at a place "
    "where detectors write, or the largest; every compression of hdf5plugin",
    refuses="files in which two datasets could hold the frames; links and virtual datasets that lead to "
    "missing files",
    images="all axes but the last two count frames; an Eiger master gives those of all its data files",
    masks="pixel_mask, or a dataset named like one, is read where the file is given as a mask; it is not "
    "applied to the file's own frames",
    open=_open,
    read_mask=_read_mask,
)
