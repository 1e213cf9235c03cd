"""Frames that lie in a file as they are, each at a place that its header tells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.errors import FrameError

_BLOCK = 2**25
_TRAILING = 4096  # bytes behind the last frame that may be padding


@dataclass(frozen=True)
class RawFrames:
    """Frames of one shape and type.

    Attributes
    ----------
    path : Path
        Named in messages.
    places : sequence of int
        Where each begins, in ascending order.
    shape : tuple of int
        (height, width), or with colours behind.
    dtype : numpy.dtype
        As stored, with its byte order.
    """

    path: Path
    places: Sequence[int]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def bytes(self) -> int:
        """Bytes of a frame."""
        return math.prod(self.shape) * self.dtype.itemsize

    def check_size(self, size: int, *, alone: bool = True) -> None:
        """Refuse a file that ends before its last frame does, or goes on behind it.

        Parameters
        ----------
        size : int
            Of the file.
        alone : bool
            Whether what follows the last frame may be no longer than padding.

        Raises
        ------
        FrameError
        """
        if min(self.shape, default=0) < 1:
            raise FrameError(
                self.path, f"empty: its header says an image of {' × '.join(map(str, self.shape))}"
            )
        end = self.places[-1] + self.bytes
        if end > size:
            raise FrameError(self.path, f"truncated: its header says {end} bytes, it has {size}")
        if alone and size - end >= max(self.bytes, 1) and size - end > _TRAILING:
            raise FrameError(
                self.path,
                f"holds more than its header says: {len(self.places)} images end at byte {end} of {size}",
            )

    def read(self, stream: Any, index: int) -> NDArray[Any]:
        """Read a frame."""
        stream.seek(self.places[index])
        data = stream.read(self.bytes)
        if len(data) < self.bytes:
            raise FrameError(
                self.path, f"truncated: frame {index} has only {len(data)} of {self.bytes} bytes"
            )
        return np.frombuffer(data, self.dtype).reshape(self.shape).copy()


def read_bytes(stream: Any, size: int) -> bytes:
    """Return the next bytes of a file, fewer where it ends; `size` may be far beyond what there is."""
    pieces: list[bytes] = []
    while size > 0 and (block := stream.read(min(size, _BLOCK))):
        pieces.append(block)
        size -= len(block)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def read_head(path: Path, stream: Any, size: int, title: str) -> bytes:
    """Return the header of a file, its first `size` bytes; FrameError where there are fewer."""
    stream.seek(0)
    head: bytes = stream.read(size)
    if len(head) < size:
        raise FrameError(path, f"truncated: {title} header has {size} bytes, the file {len(head)}")
    return head


def length(stream: Any) -> int:
    """Return how long a file is when it is unpacked."""
    return int(stream.seek(0, 2))
