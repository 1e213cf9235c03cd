"""Arrays as numpy saves them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from sweeper.data.format import Format, OpenFile, Source


@contextmanager
def _open(source: Source) -> Iterator[OpenFile]:
    # Pickled objects would run code.
    array = np.load(source.seekable(), mmap_mode=None if source.compression else "r", allow_pickle=False)
    if array.ndim == 3 and array.shape[-1] not in (3, 4):  # else refused as a colour image
        yield OpenFile(array.shape[0], lambda index: np.array(array[index]))
    else:
        yield OpenFile(1, lambda _index: np.array(array))


FORMAT = Format(
    name="npy",
    suffixes=(".npy",),
    library="numpy",
    reads="arrays of two or three axes, of integers of 8 to 64 bits or floats of 16 to 64",
    refuses="pickled objects; other numbers of axes",
    images="an array of three axes is a stack along the first",
    masks="has none; an array of bools is read where a mask file is asked for",
    open=_open,
)
