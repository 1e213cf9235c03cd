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
            stack = _Hdf5Stack(file, attributes)
            yield lambda path, counts: stack.append(counts)
            stack.close()


def _write_tiff(path: Path, counts: NDArray[Any]) -> None:
    import tifffile

    with whole(path) as partial:
        tifffile.imwrite(partial, counts, photometric="minisblack")


class _Hdf5Stack:
    """Frames of a NeXus file, each a chunk under bitshuffle and LZ4.

    They are ``/entry/data/data`` where all have one shape and type; else each run of equal ones is
    ``data_000001``, ``data_000002``, ..., as detectors name parts of a series.
    """

    def __init__(self, file: Any, attributes: Mapping[str, str]) -> None:
        entry = file.create_group("entry")
        self._group = entry.create_group("data")
        self._runs: list[Any] = []
        file.attrs.update({"NX_class": "NXroot", "default": "entry", **attributes})
        entry.attrs.update({"NX_class": "NXentry", "default": "data"})
        self._group.attrs["NX_class"] = "NXdata"

    def append(self, counts: NDArray[Any]) -> None:
        run = self._runs[-1] if self._runs else None
        if run is None or run.shape[1:] != counts.shape or run.dtype != counts.dtype:
            import hdf5plugin

            run = self._group.create_dataset(
                f"data_{len(self._runs) + 1:06d}",
                (0, *counts.shape),
                counts.dtype,
                maxshape=(None, *counts.shape),
                chunks=(1, *counts.shape),
                compression=hdf5plugin.Bitshuffle(cname="lz4"),
            )
            self._runs.append(run)
        run.resize(len(run) + 1, axis=0)
        run[-1] = counts

    def close(self) -> None:
        signal = "data_000001"
        if len(self._runs) == 1:
            self._group.move(signal, "data")
            signal = "data"
        self._group.attrs["signal"] = signal
