"""Files of simulated frames, which are whole or absent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a name to write to, which then becomes `path`; hidden, so that no reader takes it for a frame."""
    partial = partial_of(path)
    yield partial
    partial.replace(path)


def partial_of(path: Path) -> Path:
    """Return the hidden name under which `path` is written before it takes its own."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def frame_writer(
    directory: Path, format_: str, files: Sequence[tuple[str, int | None]], attributes: Mapping[str, str]
) -> Iterator[Callable[[str, NDArray[Any]], None]]:
    """Yield a function that writes frames in turn to ``(path below directory, position in the file)``.

    Parameters
    ----------
    format_ : {"tiff", "hdf5"}
        HDF5 puts all frames into one file.
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

    Frames that all have one shape and type are ``/entry/data/data``; else each run of equal ones is
    ``data_000001``, ``data_000002``, ..., as detectors name the parts of a series.
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
