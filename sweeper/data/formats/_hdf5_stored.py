"""Whether all that an HDF5 dataset promises is stored: its chunks, external files and virtual sources.

HDF5 gives fill values for whatever is not there, and says nothing.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.format import Source
from sweeper.data.formats._hdf5_links import Tree, cannot_be_opened, find_file, open_file
from sweeper.data.validity import valid_pixels
from sweeper.errors import FrameError

_DEEPEST = 16  # virtual datasets over each other
_MOST_CELLS = 50_000_000
_MOST_CHUNKS = 100_000
_MOST_HEADER, _MOST_BLOCKS = 2**16, 16


@dataclass(frozen=True)
class Stored:
    """The stored part of a dataset.

    Attributes
    ----------
    length : int
        Number of entries along the first axis that are there: all, but for a file that is being written.
    gaps : Gaps or None
        Pixels that no source of a virtual dataset is mapped to.
    """

    length: int
    gaps: Gaps | None = None


@dataclass(frozen=True, eq=False)
class Gaps:
    """Parts of a virtual dataset that nothing is mapped to, on a grid of cells that are all there or not.

    Attributes
    ----------
    edges : tuple of int64 arrays
        Where cells begin along each axis, and where the last one ends.
    mapped : bool, (cells along each axis)
    """

    edges: tuple[NDArray[np.int64], ...]
    mapped: NDArray[np.bool_]

    def of(self, lead: tuple[int, ...]) -> NDArray[np.bool_] | None:
        """Return which pixels of the image at a position of the leading axes are not there; None: all are."""
        cell = tuple(
            int(np.searchsorted(edges, i, side="right")) - 1
            for edges, i in zip(self.edges, lead, strict=False)
        )
        missing: NDArray[np.bool_] = np.asarray(~self.mapped[cell])
        if not missing.any():
            return None
        for axis, edges in enumerate(self.edges[len(lead) :]):
            missing = np.repeat(missing, np.diff(edges), axis=axis)
        return missing


def check_stored(tree: Tree, dataset: Any, depth: int = 0) -> Stored:
    """Check that a dataset holds all that its shape promises.

    Raises
    ------
    FrameError
        Naming what is missing.
    """
    import h5py

    path = tree.source.path
    if depth > _DEEPEST:
        raise FrameError(path, f"{dataset.name} is virtual and leads in a circle")
    _check_filters(path, dataset)
    layout = dataset.id.get_create_plist().get_layout()
    length = dataset.shape[0]
    if dataset.size == 0 or layout == h5py.h5d.COMPACT:
        return Stored(length)
    if layout == h5py.h5d.VIRTUAL:
        return Stored(length, _check_virtual(tree, dataset, depth))
    if layout == h5py.h5d.CHUNKED:
        return Stored(_check_chunks(tree, dataset))
    if dataset.external:
        _check_external(tree.source, dataset)
    elif dataset.id.get_offset() is None:
        raise FrameError(path, f"{dataset.name} was never written: there is no pixel in the file")
    elif tree.live and dataset.id.get_offset() + dataset.nbytes > Path(dataset.file.filename).stat().st_size:
        raise FrameError(path, f"truncated: {dataset.name} goes on behind the end of the file")
    return Stored(length)


def _check_filters(path: Path, dataset: Any) -> None:
    import h5py

    properties = dataset.id.get_create_plist()
    for position in range(properties.get_nfilters()):
        number, _, _, name = properties.get_filter(position)
        if not h5py.h5z.filter_avail(number):
            called = name.decode(errors="replace").split("\0")[0].strip() or "without a name"
            raise FrameError(
                path,
                f"{dataset.name} is compressed by HDF5 filter {number} ({called}), which is not supported",
            )


def _check_chunks(tree: Tree, dataset: Any) -> int:
    """Return how many entries along the first axis are there."""
    path, length = tree.source.path, int(dataset.shape[0])
    grid = tuple(-(-size // chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True))
    number, wanted = int(dataset.id.get_num_chunks()), math.prod(grid)
    if not tree.live and number == wanted > _MOST_CHUNKS:  # looking at each would take seconds
        return length
    if wanted > _MOST_CELLS:
        raise FrameError(
            path, f"{dataset.name} was not written in full: {number} of {wanted} chunks are there"
        )
    end = Path(dataset.file.filename).stat().st_size if tree.live else math.inf
    there, steps = np.zeros(grid, dtype=np.bool_), dataset.chunks

    def visit(chunk: Any) -> None:
        place = tuple(at // size for at, size in zip(chunk.chunk_offset, steps, strict=True))
        # A damaged index may have places that are not on the grid.
        on_grid = all(i < n for i, n in zip(place, grid, strict=True))
        if on_grid and chunk.byte_offset + chunk.size <= end:
            there[place] = True

    dataset.id.chunk_iter(visit)
    if there.all():
        return length
    missing = np.argwhere(~there)[0]
    first = int(missing[0] * dataset.chunks[0])
    if tree.live:
        return first
    where = f"frame {first}" if dataset.ndim > 2 else f"the part from row {first}"
    raise FrameError(
        path, f"{dataset.name} was not written in full: {where} is not there, nor are {(~there).sum()} "
        f"of {there.size} chunks"
    )  # fmt: skip


def _check_external(source: Source, dataset: Any) -> None:
    """Refuse a dataset whose pixels are in files beside it that are missing or too short."""
    folder = Path(dataset.file.filename).parent
    wanted = dataset.nbytes
    for name, offset, size in dataset.external:
        file = external_file(folder, name)
        if file is None:
            raise FrameError(source.path, f"{dataset.name} needs {name}, which is not there")
        here = min(size, wanted) if size else wanted
        there = max(0, file.stat().st_size - offset)
        if there < here:
            raise FrameError(
                source.path, f"truncated: {dataset.name} needs {offset + here} bytes of {name}, it has "
                f"{file.stat().st_size}"
            )  # fmt: skip
        wanted -= here
    if wanted > 0:
        raise FrameError(source.path, f"{dataset.name}: its external files are {wanted} bytes too short")


def external_file(folder: Path, name: str) -> Path | None:
    """Return a file with pixels that lies beside an HDF5 file, or None."""
    file = folder / name
    return file if file.is_file() else None


def read_external(dataset: Any, start: int, size: int) -> NDArray[Any]:
    """Read values of a dataset whose pixels are in files beside it.

    HDF5 itself would look for them in the current folder.

    Parameters
    ----------
    dataset : h5py.Dataset
        Contiguous, as all that have external files are.
    start, size : int
        First value, and their number.
    """
    folder = Path(dataset.file.filename).parent
    first, left = start * dataset.dtype.itemsize, size * dataset.dtype.itemsize
    pieces: list[bytes] = []
    for name, offset, held in dataset.external:
        here = min(left, max(0, held - first)) if held else left
        if here > 0:
            with (folder / name).open("rb") as stream:
                stream.seek(offset + first)
                pieces.append(stream.read(here))
            left -= here
            first = held
        first -= held
    return np.frombuffer(b"".join(pieces), dataset.dtype).copy()


# --------------------------------------------------------------------------- virtual datasets

Indices = NDArray[np.int64]


def _check_virtual(tree: Tree, dataset: Any, depth: int) -> Gaps | None:
    """Check the sources of a virtual dataset, and return what none of them is mapped to."""
    path, shape = tree.source.path, dataset.shape
    selections: list[list[Indices]] = []
    checked: dict[tuple[str, str], tuple[int, ...]] = {}
    for mapping in dataset.virtual_sources():
        if "%b" in mapping.file_name.replace("%%", "") or "%b" in mapping.dset_name.replace("%%", ""):
            blocks = _printf_blocks(tree, dataset, mapping)
        else:
            blocks = [(mapping.file_name.replace("%%", "%"), mapping.dset_name.replace("%%", "%"))]
        for number, place in enumerate(blocks):
            if place not in checked:
                checked[place] = _check_source(tree, dataset, *place, depth)
            is_series = len(blocks) > 1 or "%b" in mapping.file_name + mapping.dset_name
            selections += _selected(
                path, dataset, mapping, place, checked[place], number if is_series else None
            )
    written = _written_shape(tree, dataset)
    if written is not None and any(a < b for a, b in zip(shape, written, strict=True)):
        raise FrameError(
            path, f"{dataset.name} is virtual: its header says {written}, its sources give {shape}, so "
            "that some are missing or short"
        )  # fmt: skip
    return _gaps(path, dataset, selections, shape)


def _written_shape(tree: Tree, dataset: Any) -> tuple[int, ...] | None:
    """Return the shape that was written in the header of a virtual dataset whose size follows its sources.

    HDF5 gives what sources there are instead, so that the header is read here; None where it cannot be.
    """
    import h5py

    if None not in dataset.maxshape or tree.source.compression:
        return None
    start = int(h5py.h5o.get_info(dataset.id).addr) + int(dataset.file.userblock_size)
    with Path(dataset.file.filename).open("rb") as stream:
        try:
            return next(_header_shapes(stream, start, dataset.ndim), None)
        except struct.error:  # another layout than the usual ones
            return None


_DATASPACE, _CONTINUATION = 0x01, 0x10


def _header_shapes(stream: Any, start: int, ndim: int) -> Iterator[tuple[int, ...]]:
    """Yield shapes of dataspaces in an object header, of version 1 or 2."""
    stream.seek(start)
    head = stream.read(64)
    if head[:4] == b"OHDR":
        flags = head[5]
        at = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(head[at : at + width], "little")
        form, blocks = ("<BHB" + ("H" if flags & 4 else "")), [(start + at + width, size)]
    else:
        (size,) = struct.unpack_from("<I", head, 8)
        form, blocks = "<HHB3x", [(start + 16, size)]
    step = struct.calcsize(form)
    for where, length in blocks:  # grows
        stream.seek(where)
        block, at = stream.read(min(length, _MOST_HEADER)), 0
        if block[:4] == b"OCHK":
            at = 4
        while at + step <= len(block):
            kind, size, *_ = struct.unpack_from(form, block, at)
            body = block[at + step : at + step + size]
            if kind == _DATASPACE:
                version, rank = body[0], body[1]
                if rank == ndim and version in (1, 2):
                    yield struct.unpack_from(f"<{rank}Q", body, 8 if version == 1 else 4)
            elif kind == _CONTINUATION and len(blocks) < _MOST_BLOCKS:
                blocks.append(struct.unpack_from("<QQ", body))
            at += step + size


def _printf_blocks(tree: Tree, dataset: Any, mapping: Any) -> list[tuple[str, str]]:
    """Return file and dataset of each block of a series that a pattern names; refuse one with gaps."""
    main = dataset.file.filename

    def named(text: str, number: int) -> str:
        return "%".join(part.replace("%b", str(number)) for part in text.split("%%"))

    def pattern(text: str) -> re.Pattern[str]:
        return re.compile("%".join(re.escape(part).replace("%b", r"(\d+)") for part in text.split("%%")))

    numbers: set[int] = set()
    in_files = "%b" in mapping.file_name.replace("%%", "")
    if in_files:
        folder = find_folder(main, mapping.file_name)
        form = pattern(Path(mapping.file_name).name)
        numbers = {int(m[1]) for name in os.listdir(folder) if (m := form.fullmatch(name))}  # noqa: PTH208
    else:
        file = dataset.file if mapping.file_name == "." else None
        other = None if file is not None else _open_source(tree, dataset, mapping.file_name)
        group = tree.get(file if file is not None else other, str(Path(mapping.dset_name).parent))
        form = pattern(Path(mapping.dset_name).name)
        numbers = {
            int(m[1]) for name in (group.keys() if group is not None else ()) if (m := form.fullmatch(name))
        }
        if other is not None:
            other.close()
    places = [
        (named(mapping.file_name, n), named(mapping.dset_name, n))
        for n in range(max(numbers, default=-1) + 1)
    ]
    for number, (file_name, dset_name) in enumerate(places):
        if number not in numbers:
            what = file_name if in_files else dset_name
            raise FrameError(tree.source.path, f"{dataset.name} needs {what}, which is not there")
    if not places:
        what = named(mapping.file_name if in_files else mapping.dset_name, 0)
        raise FrameError(tree.source.path, f"{dataset.name} needs {what}, which is not there")
    return places


def find_folder(main: str, name: str) -> Path:
    """Return the folder of files that a pattern names, seen from the file that holds it."""
    return (Path(main).parent / name).parent


def _open_source(tree: Tree, dataset: Any, name: str) -> Any:
    path = tree.source.path
    if tree.source.compression:
        raise FrameError(path, f"{dataset.name} needs {name}: unpack the file to read it with its others")
    file = find_file(dataset.file.filename, name)
    if file is None:
        raise FrameError(path, f"{dataset.name} needs {name}, which is not there")
    try:
        return open_file(file, live=tree.live)
    except OSError as error:
        raise FrameError(path, f"{dataset.name} needs {name}, which {cannot_be_opened(error)}") from error


def _check_source(tree: Tree, dataset: Any, file_name: str, name: str, depth: int) -> tuple[int, ...]:
    """Check one source, which may be virtual itself; return its shape."""
    path = tree.source.path
    file = dataset.file if file_name == "." else _open_source(tree, dataset, file_name)
    inner = Tree(tree.source, file, tree.live)
    with inner.stack:
        try:
            found = inner.get(file, name)
            if found is None or not hasattr(found, "chunks"):
                where = "" if file_name == "." else f" of {file_name}"
                raise FrameError(path, f"{dataset.name} needs {name}{where}, which is not there")
            try:
                stored = check_stored(inner, found, depth + 1)
            except FrameError as error:
                where = "" if file_name == "." or file_name in error.problem else f"{file_name}: "
                raise FrameError(path, where + error.problem) from error
            if stored.gaps is not None and _is_count(found):
                raise FrameError(
                    path, f"{dataset.name} needs {name} of {file_name}, parts of which are mapped to nothing"
                )
            return (stored.length, *found.shape[1:])
        finally:
            if file_name != ".":
                file.close()


def _is_count(dataset: Any) -> bool:
    """Return whether the value that stands for missing pixels could be a count."""
    fill = np.full((1, 1), dataset.fillvalue, dtype=dataset.dtype)
    return bool(valid_pixels(fill).any())


def _selected(
    path: Path, dataset: Any, mapping: Any, place: tuple[str, str], shape: tuple[int, ...], number: int | None
) -> list[list[Indices]]:
    """Return the boxes of a virtual dataset that one source fills, as indices along each axis.

    Raises
    ------
    FrameError
        The source is smaller than what is mapped of it.
    """
    import h5py

    unlimited = h5py.h5s.UNLIMITED
    inside = _boxes(mapping.vspace)
    problem = FrameError(
        path,
        f"{dataset.name} needs other parts of {place[1]} in {place[0]} than are there: its shape is {shape}",
    )
    if number is not None:
        [box] = inside
        return [[_axis(*axis, dataset.shape[i], number) for i, axis in enumerate(box)]]
    if mapping.src_space.get_select_type() == h5py.h5s.SEL_ALL:  # whatever its shape is
        if math.prod(shape) != mapping.vspace.get_select_npoints():
            raise problem
        return [[_axis(*axis, size) for axis, size in zip(box, dataset.shape, strict=True)] for box in inside]
    outside = _boxes(mapping.src_space)
    open_ended = [i for i, axis in enumerate(outside[0]) if axis[2] == unlimited] if len(outside) == 1 else []
    if not open_ended:
        largest = [max(start + (count - 1) * stride + block for start, stride, count, block in axes)
                   for axes in zip(*outside, strict=True)]  # fmt: skip
        if len(largest) != len(shape) or any(a > b for a, b in zip(largest, shape, strict=True)):
            raise problem
        return [[_axis(*axis, size) for axis, size in zip(box, dataset.shape, strict=True)] for box in inside]
    available = len(_axis(*outside[0][open_ended[0]], shape[open_ended[0]]))
    [box] = inside
    return [
        [
            (_axis(*axis, size)[:available] if axis[2] == unlimited else _axis(*axis, size))
            for axis, size in zip(box, dataset.shape, strict=True)
        ]
    ]


Axis = tuple[int, int, int, int]
"""Start, stride, count and block of a selection along one axis."""


def _boxes(space: Any) -> list[list[Axis]]:
    """Return a selection as boxes."""
    import h5py

    if space.get_select_type() == h5py.h5s.SEL_HYPERSLABS:
        if space.is_regular_hyperslab():
            return [list(zip(*(map(int, each) for each in space.get_regular_hyperslab()), strict=True))]
        blocks = np.asarray(space.get_select_hyper_blocklist()).astype(np.int64)  # (blocks, 2, axes)
        return [
            [(int(low), 1, 1, int(high - low + 1)) for low, high in zip(*block, strict=True)]
            for block in blocks
        ]
    return [[(0, 1, 1, int(size)) for size in space.shape]]


def _axis(start: int, stride: int, count: int, block: int, size: int, number: int | None = None) -> Indices:
    """Return the indices of a selection along an axis of some size, or those of one of its blocks."""
    import h5py

    if block == h5py.h5s.UNLIMITED:
        block = max(0, size - start)
    if count == h5py.h5s.UNLIMITED:
        if number is not None:
            start, count = start + number * stride, 1
        else:
            count = max(0, -(-(size - start) // max(stride, 1)))
    starts = start + stride * np.arange(count, dtype=np.int64)
    indices = (starts[:, np.newaxis] + np.arange(block, dtype=np.int64)).ravel()
    return indices[indices < size]


def _gaps(path: Path, dataset: Any, boxes: list[list[Indices]], shape: tuple[int, ...]) -> Gaps | None:
    edges = []
    for axis, size in enumerate(shape):
        cuts = [np.array([0, size])]
        for box in boxes:
            indices = box[axis]
            if len(indices):
                jumps = np.flatnonzero(np.diff(indices) != 1)
                cuts += [indices[:1], indices[-1:] + 1, indices[jumps] + 1, indices[jumps + 1]]
        edges.append(np.unique(np.concatenate(cuts)))
    cells = [len(each) - 1 for each in edges]
    if math.prod(cells) > _MOST_CELLS:
        raise FrameError(path, f"{dataset.name} is virtual in a way that cannot be checked: too many pieces")
    mapped = np.zeros(cells, dtype=np.bool_)
    for box in boxes:
        if all(len(indices) for indices in box):
            at = [np.unique(np.searchsorted(e, i, side="right") - 1) for e, i in zip(edges, box, strict=True)]
            mapped[np.ix_(*at)] = True
    if mapped.all():
        return None
    lead = mapped.reshape(*cells[:-2], -1).any(axis=-1)
    if not lead.all():
        first = [int(e[i]) for e, i in zip(edges, np.argwhere(~lead)[0], strict=False)]
        where = f"frame {first[0] if len(first) == 1 else tuple(first)}" if first else "its image"
        raise FrameError(path, f"{dataset.name} is virtual, and nothing is mapped to {where}")
    return Gaps(tuple(edges), mapped)
