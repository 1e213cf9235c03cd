"""Checks that every file format passes, on example files that its author gives.

Give files that differ in what the format allows: data types, numbers of frames, kinds of compression.
Each must be whole in itself, since copies of it in another folder are read, and small, since it is read
many times.
"""

from __future__ import annotations

import bz2
import gc
import gzip
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.format import COMPRESSIONS, Format, split_suffix
from sweeper.data.frames import open_frames
from sweeper.errors import CheckFailedError, FrameError

Frames = list[NDArray[Any]]

_KEPT = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99)
"""Shares of a file that are kept when it is cut short."""
_THREADS, _ROUNDS = 4, 3
_PACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress}


@dataclass(frozen=True)
class Example:
    """An example file of a format.

    Attributes
    ----------
    format : Format
    path : Path
        The file, which is not changed.
    folder : Path
        An empty folder to work in.
    """

    format: Format
    path: Path
    folder: Path

    @cached_property
    def data(self) -> bytes:
        """Content of the file."""
        return self.path.read_bytes()

    @cached_property
    def frames(self) -> Frames:
        """Every frame of the file, which must be readable."""
        found = self.read(self.path)
        if isinstance(found, FrameError):
            raise CheckFailedError(f"format {self.format.name}: {found}: an example must be readable")
        return [frame.copy() for frame in found]  # whatever becomes of those that were read

    def copy(self, data: bytes, stem: str = "copy") -> Path:
        """Write some bytes to a file with the suffix of the example."""
        copy = self.folder / (stem + "".join(split_suffix(self.path)))
        copy.write_bytes(data)
        return copy

    def read(self, path: Path) -> Frames | FrameError:
        """Read every frame of a file in order, or return why it is refused."""
        try:
            with open_frames(path, self.format) as file:
                return [file.read(index) for index in range(file.count)]
        except FrameError as error:
            self.require(
                str(error).startswith(f"{path}: "), path, f"an error must name the file, got {error}"
            )
            self.require("\n" not in str(error), path, f"an error must be one line, got {error}")
            return error
        except Exception as error:
            raise CheckFailedError(
                f"format {self.format.name}: {path}: closing must raise nothing, got "
                f"{type(error).__name__}: {error}"
            ) from error

    def require(self, holds: bool, path: Path, rule: str) -> None:
        """Raise CheckFailedError unless a rule holds for a file."""
        if not holds:
            raise CheckFailedError(f"format {self.format.name}: {path}: {rule}")

    def require_same(self, path: Path, when: str) -> None:
        """Check that a file gives the frames of the example, bit for bit."""
        found = self.read(path)
        if isinstance(found, FrameError):
            raise CheckFailedError(f"format {self.format.name}: {found}: must be read {when}")
        number = len(self.frames)
        self.require(len(found) == number, path, f"must have {number} frames {when}, got {len(found)}")
        for index in range(number):
            self.require_equal(found[index], index, path, when)

    def require_equal(self, frame: NDArray[Any], index: int, path: Path, when: str) -> None:
        """Check that a frame equals one of the example, bit for bit."""
        self.require(_equal(frame, self.frames[index]), path, f"frame {index} must be the same {when}")

    def require_refused(self, path: Path, why: str) -> None:
        """Check that a file is refused."""
        self.require(isinstance(self.read(path), FrameError), path, f"must be refused: {why}")


def _equal(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def check_format(format: Format, files: Sequence[Path], folder: Path) -> None:
    """Hold a format to every rule.

    Parameters
    ----------
    format : Format
    files : sequence of Path
        Example files.
    folder : Path
        An empty folder to work in.

    Raises
    ------
    CheckFailedError
        The first rule that is broken.
    """
    check_declaration(format)
    if not files:
        raise CheckFailedError(f"format {format.name}: needs an example file to be checked on")
    for number, file in enumerate(files):
        for check in CHECKS:
            inner = folder / f"{number}-{check.__name__}"
            inner.mkdir()
            check(Example(format, file, inner))


def check_declaration(format: Format) -> None:
    """Check what a format says of itself."""

    def require(holds: bool, rule: str) -> None:
        if not holds:
            raise CheckFailedError(f"format {format.name}: {rule}")

    require(format.name.isidentifier(), "name must be the name of a module")
    require(format.suffixes != (), "suffixes must not be empty")
    require(len(set(format.suffixes)) == len(format.suffixes), "suffixes must differ from each other")
    for suffix in format.suffixes:
        plain = suffix[:1] == "." and suffix[1:].isalnum() and suffix == suffix.lower()
        require(plain, f"suffixes must be like .tif, in lower case, got {suffix!r}")
        require(suffix not in COMPRESSIONS, f"suffixes must not be those of compressed files, got {suffix!r}")
    for field in ("library", "reads", "refuses", "images", "masks"):
        text = getattr(format, field)
        require(
            text != "" and text == " ".join(text.split()), f"{field} must be a line of text, got {text!r}"
        )


# --------------------------------------------------------------------------- reading the example


def every_counted_frame_is_read(example: Example) -> None:
    """Check that a file has as many frames as are counted, each (height, width) and of real numbers."""
    path, number = example.path, len(example.frames)
    with open_frames(path, example.format) as file:
        example.require(file.count == number, path, f"must count {number} frames again, got {file.count}")
    for index, frame in enumerate(example.frames):
        is_image = frame.ndim == 2 and frame.size > 0
        example.require(is_image, path, f"frame {index} must be (height, width), got {frame.shape}")
        example.require(frame.dtype.kind in "iuf", path, f"frame {index} must be of real numbers")


def frames_do_not_depend_on_order(example: Example) -> None:
    """Check that frames are the same backwards, read again, and after somebody wrote into them."""
    path, number = example.path, len(example.frames)
    with open_frames(path, example.format) as file:
        for index in reversed(range(number)):
            frame = file.read(index)
            example.require_equal(frame, index, path, "in any order")
            example.require(frame.flags.writeable, path, f"frame {index} must be an array of its own")
            frame[...] = 0
            example.require_equal(file.read(index), index, path, "when it is read again")
    example.require_same(path, "when the file is opened again")


def positions_outside_are_refused(example: Example) -> None:
    """Check that there is no frame before the first or behind the last."""
    number = len(example.frames)
    with open_frames(example.path, example.format) as file:
        for index in (-1, number, number + 1000):
            try:
                file.read(index)
            except FrameError:
                continue
            example.require(False, example.path, f"frame {index} of {number} must be refused")


def files_are_closed(example: Example) -> None:
    """Check that no file stays open, be it read to the end, left or refused."""
    whole, left = example.copy(example.data, "whole"), example.copy(example.data, "left")
    cut = example.copy(example.data[: len(example.data) // 2], "cut")
    example.read(whole)
    example.read(cut)
    with open_frames(left, example.format) as file:
        file.read(0)
    del file
    gc.collect()
    for path in (whole, left, cut):
        example.require(not _is_open(path), path, "must be closed when its context ends")


def _is_open(path: Path) -> bool:
    """Return whether this process has a file open or mapped; False where the system does not tell."""
    here, name = Path("/proc/self"), str(path.resolve())
    if not (here / "fd").is_dir():
        return False
    for descriptor in (here / "fd").iterdir():
        try:
            if str(descriptor.readlink()) == name:
                return True
        except OSError:  # the descriptor that listed the folder
            continue
    return f" {name}\n" in (here / "maps").read_text()


def threads_read_at_once(example: Example) -> None:
    """Check that threads that open the file at the same time get the same frames."""
    assert example.frames  # read once before
    with ThreadPoolExecutor(_THREADS) as pool:
        list(
            pool.map(
                lambda _: example.require_same(example.path, "in several threads at once"),
                range(_THREADS * _ROUNDS),
            )
        )


# --------------------------------------------------------------------------- reading copies


def names_do_not_matter(example: Example) -> None:
    """Check that a copy reads the same with its suffix in capitals, and under an unusual name."""
    suffix = "".join(split_suffix(example.path))
    for name in (f"A{suffix.upper()}", f"- a.b#1 50%20d [é]{suffix}"):
        copy = example.folder / name
        copy.write_bytes(example.data)
        example.require_same(copy, "whatever the file is called")


def compressed_copies_are_read(example: Example) -> None:
    """Check that compressed copies give the same frames, and are refused when they are cut short."""
    suffix, compression = split_suffix(example.path)
    for packed_suffix, pack in {} if compression else _PACKERS.items():
        packed = pack(example.data)
        copy = example.folder / f"copy{suffix}{packed_suffix}"
        copy.write_bytes(packed)
        example.require_same(copy, "from a compressed file")
        copy.write_bytes(packed[: len(packed) // 2])
        example.require_refused(copy, "a compressed file that is cut short")


def missing_files_are_refused(example: Example) -> None:
    """Check that a file that is missing, empty or a folder is refused."""
    missing, empty, folder = (example.copy(b"", name) for name in ("missing", "empty", "folder"))
    missing.unlink()
    folder.unlink()
    folder.mkdir()
    example.require_refused(missing, "it is missing")
    example.require_refused(empty, "it is empty")
    example.require_refused(folder, "it is a folder")


def other_files_are_refused(example: Example) -> None:
    """Check that text, and bytes without meaning, are refused under the suffix of the format."""
    noise = np.random.default_rng(0).integers(0, 256, 4099, dtype=np.uint8).tobytes()
    for name, data in (("text", b"these are no frames\n" * 99), ("noise", noise), ("ones", b"\xff" * 997)):
        example.require_refused(example.copy(data, name), "it is no frame")


def cut_files_are_never_filled_up(example: Example) -> None:
    """Check that a file that is cut short is refused, or gives only frames that are whole.

    What a library makes of missing bytes, zeros or grey, must never pass for counts. Frames that end
    before the cut may be read.
    """
    size = len(example.data)
    for kept in sorted({*(int(share * size) for share in _KEPT), size - 1}):
        copy = example.copy(example.data[:kept], "cut")
        example.read(copy)  # how it is refused
        for index, frame in _readable(example.format, copy):
            if index >= len(example.frames) or not _equal(frame, example.frames[index]):
                rule = f"frame {index} must be whole or refused when only {kept} of {size} bytes are there"
                example.require(False, copy, rule)


def _readable(format: Format, path: Path) -> list[tuple[int, NDArray[Any]]]:
    """Return the frames of a damaged file that can be read, with their positions."""
    found: list[tuple[int, NDArray[Any]]] = []
    try:
        with open_frames(path, format) as file:
            for index in range(file.count):
                try:
                    found.append((index, file.read(index)))
                except FrameError:
                    continue
    except FrameError:
        return []
    return found


CHECKS: tuple[Callable[[Example], None], ...] = (
    every_counted_frame_is_read,
    frames_do_not_depend_on_order,
    positions_outside_are_refused,
    files_are_closed,
    threads_read_at_once,
    names_do_not_matter,
    compressed_copies_are_read,
    missing_files_are_refused,
    other_files_are_refused,
    cut_files_are_never_filled_up,
)
"""The checks of each example file."""
