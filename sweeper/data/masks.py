"""Mask files: which pixels of a detector are invalid in every frame."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data import formats
from sweeper.data.colour import grey
from sweeper.data.format import reason
from sweeper.errors import FrameError

_KEPT = 8  # masks of as many detectors; one of 16 million pixels takes 16 MB


def load_mask(path: str | Path) -> NDArray[np.bool_]:
    """Load a mask file: nonzero is invalid, as in NXmx ``pixel_mask``.

    Parameters
    ----------
    path : str or Path
        Any format that frames come in, and Fit2D's ``.msk``. Of an HDF5 file the dataset named
        ``pixel_mask`` or ``mask`` is taken, else the one that would hold the frames.

    Returns
    -------
    bool, (height, width)
        True where a pixel is invalid.

    Raises
    ------
    FrameError
        The file cannot be read, is not two-dimensional, or masks every pixel.
    """
    path = Path(path)
    values = _values(path)
    if values.ndim != 2:
        raise FrameError(path, f"a mask must be two-dimensional, got shape {values.shape}")
    mask = np.ascontiguousarray(values != 0)
    if mask.all():
        raise FrameError(path, "masks every pixel: nonzero must mean invalid")
    return mask


def kept_mask(path: str | Path) -> NDArray[np.bool_]:
    """Return a mask as :func:`load_mask` does, but load it only once as long as its file stays the same.

    Callers share the array, which is read-only.
    """
    try:
        status = Path(path).stat()
    except OSError:
        return load_mask(path)  # which says what is wrong
    return _load_once(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=_KEPT)
def _load_once(path: str, _size: int, _mtime_ns: int) -> NDArray[np.bool_]:
    mask = load_mask(path)
    mask.flags.writeable = False
    return mask


def _values(path: Path) -> NDArray[Any]:
    """Read a mask as it is stored; unlike a frame it may be of bools."""
    format = formats.format_of(path)
    try:
        source = formats.source_of(path)
        if format.read_mask is not None and (values := format.read_mask(source)) is not None:
            return values
        with format.open(source) as file:
            if file.count < 1:
                raise FrameError(path, "empty: holds no mask")
            values = file.read(0)
            return grey(path, values) if values.ndim == 3 and values.shape[-1] in (2, 3, 4) else values
    except FrameError as error:
        raise FrameError(path, error.problem) from error  # that of an unpacked file names another path
    except Exception as error:  # readers of damaged files raise whatever they like
        raise FrameError(path, reason(error, format.called)) from error
