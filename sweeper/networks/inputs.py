"""Inputs of networks: prepared frames at the network's size, in files that are mapped, not loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import PreparedFrame
from sweeper.atomic import atomically
from sweeper.errors import InputError

INPUT_VERSION = 1
"""Raise it when the same prepared frame gives another input."""


def input_array(frame: PreparedFrame, size: int) -> NDArray[np.float16]:
    """Resize a prepared frame to size × size.

    Along a dimension that shrinks a pixel is the average over its area, along one that grows it is
    interpolated bilinearly (pixel centres aligned, edges repeated). Both are weighted by the mask:
    the sum of image × valid over the sum of valid.

    Returns
    -------
    float16, (size, size)
        In [0, 1]; 0 where no valid pixel contributes.
    """
    summed = _resized(np.where(frame.valid, frame.image, np.float32(0)), size)
    if not frame.valid.all():
        weight = _resized(frame.valid.astype(np.float32), size)
        summed = np.divide(summed, weight, out=np.zeros_like(summed), where=weight > 0)
    return np.clip(summed, 0, 1).astype(np.float16)


def _resized(image: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Each dimension on its own: where one grows, OpenCV's INTER_AREA does not average along the other."""
    import cv2

    height, width = image.shape
    image = np.ascontiguousarray(image)
    if width >= size:
        image = cv2.resize(image, (size, height), interpolation=cv2.INTER_AREA)
    if height >= size:
        image = cv2.resize(image, (image.shape[1], size), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR))


def write_inputs(path: Path, frames: Iterable[PreparedFrame], n: int, size: int) -> None:
    """Write the inputs of some frames, float16, (n, size, size), as a .npy file, one at a time.

    Raises
    ------
    ValueError
        More or fewer than `n` frames.
    OSError
        The file cannot be written.
    """
    path = Path(path)
    with atomically(path) as partial, partial.open("wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (n, size, size)}
        np.lib.format.write_array_header_1_0(file, header)
        written = 0
        for frame in frames:
            file.write(input_array(frame, size).astype("<f2").tobytes())
            written += 1
        if written != n:
            raise InputError(f"{path}: must hold {n} frames, got {written}")


@dataclass(frozen=True)
class Inputs:
    """The inputs of a data set: files of consecutive rows, opened when they are first read.

    Can be pickled: the files are opened anew in the other process.

    Attributes
    ----------
    files : tuple of str
        As :func:`write_inputs` made them.
    counts : tuple of int
        Rows in each.
    """

    files: tuple[str, ...]
    counts: tuple[int, ...]

    def __len__(self) -> int:
        return sum(self.counts)

    def __getstate__(self) -> dict[str, Any]:
        return {"files": self.files, "counts": self.counts}

    @property
    def size(self) -> int:
        """Width and height."""
        return int(self._maps[0].shape[1])

    def batch(
        self, rows: NDArray[np.int64], quarter_turns: NDArray[np.int8] | None = None
    ) -> NDArray[np.float16]:
        """Inputs of some rows, in any order, float16, (n, 1, size, size).

        Parameters
        ----------
        rows : int64, (n,)
        quarter_turns : int8, (n,), optional
            Counter-clockwise rotations by 90 degrees.

        Raises
        ------
        ValueError
            A file that is damaged or holds other counts.
        """
        maps = self._maps
        file = np.searchsorted(self._ends, rows, side="right")
        within = rows - np.concatenate([[0], self._ends])[file]
        out = np.empty((len(rows), 1, self.size, self.size), dtype=np.float16)
        for i in range(len(rows)):
            image = maps[file[i]][within[i]]
            out[i, 0] = image if quarter_turns is None else np.rot90(image, quarter_turns[i])
        return out

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum(self.counts, dtype=np.int64)

    @cached_property
    def _maps(self) -> list[NDArray[np.float16]]:
        maps = [_open(path, count) for path, count in zip(self.files, self.counts, strict=True)]
        sizes = {part.shape[1:] for part in maps}
        if len(sizes) != 1:
            raise InputError(f"inputs must be of one size, got {sorted(sizes)}")
        return maps


def _open(path: str, count: int) -> NDArray[np.float16]:
    """Map one file; as a plain array, whose rows are read with less ado than those of np.memmap."""
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: damaged inputs: {error}") from error
    whole = np.asarray(mapped)
    if whole.dtype != np.float16 or whole.ndim != 3 or len(whole) != count:
        raise InputError(
            f"{path}: must hold float16 inputs of {count} frames, got {whole.dtype} of shape {whole.shape}"
        )
    return whole
