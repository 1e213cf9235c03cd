"""Files of simulated frames: whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name to write to, which then becomes `path`: hidden, so that no reader takes it for a frame."""
    partial = partial_of(path)
    yield partial
    partial.replace(path)


def partial_of(path: Path) -> Path:
    """Where `path` is written before it takes its name; hidden."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def frame_writer(
    directory: Path, format_: str, files: Sequence[tuple[str, int | None]], attributes: Mapping[str, str]
) -> Iterator[Callable[[str, NDArray[Any]], None]]:
    """What writes frames, one after the other, to ``(path below directory, position in the file)`` each.

    Parameters
    ----------
    format_ : {"tiff", "hdf5"}
        HDF5: one file.
    attributes : mapping
        Written to an HDF5 file.
    """
    if format_ == "tiff":
        yield lambda path, counts: _write_tiff(directory / path, counts)
        return
    with whole(directory / files[0][0]) as partial:
        import h5py

        with h5py.File(partial, "w") as file:
            stack = _Hdf5Stack(file, len(files), attributes)
            yield lambda path, counts: stack.append(counts)


def _write_tiff(path: Path, counts: NDArray[Any]) -> None:
    import tifffile

    with whole(path) as partial:
        tifffile.imwrite(partial, counts, photometric="minisblack")


class _Hdf5Stack:
    """Frames as ``/entry/data/data`` of a NeXus file, each a chunk under bitshuffle and LZ4."""

    def __init__(self, file: Any, frames: int, attributes: Mapping[str, str]) -> None:
        self._file, self._frames, self._written = file, frames, 0
        entry = file.create_group("entry")
        data = entry.create_group("data")
        file.attrs.update({"NX_class": "NXroot", "default": "entry", **attributes})
        entry.attrs.update({"NX_class": "NXentry", "default": "data"})
        data.attrs.update({"NX_class": "NXdata", "signal": "data"})

    def append(self, counts: NDArray[Any]) -> None:
        import hdf5plugin

        data = self._file["entry/data"]
        if self._written == 0:
            shape = (self._frames, *counts.shape)
            packing = hdf5plugin.Bitshuffle(cname="lz4")
            data.create_dataset("data", shape, counts.dtype, chunks=(1, *counts.shape), compression=packing)
        stack = data["data"]
        if counts.shape != stack.shape[1:] or counts.dtype != stack.dtype:
            raise ValueError(
                f"simulate: format must be tiff where frames of a class differ: hdf5 holds {stack.shape[1:]} "
                f"of {stack.dtype}, got {counts.shape} of {counts.dtype}"
            )
        stack[self._written] = counts
        self._written += 1
