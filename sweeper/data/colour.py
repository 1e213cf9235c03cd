"""Images in colours: grey ones are told from those in true colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.errors import FrameError


def grey(path: str | Path, values: NDArray[Any]) -> NDArray[Any]:
    """Return the counts of an image whose colours are all the same, (height, width).

    Parameters
    ----------
    path : str or Path
        Named in messages.
    values : ndarray, (height, width, 2 to 4)
        Grey and alpha; red, green and blue; or these and alpha.

    Raises
    ------
    FrameError
        True colour, or an alpha channel that differs between pixels.
    """
    number = values.shape[-1]
    first = values[..., 0]
    if number > 2 and not all(np.array_equal(first, values[..., i]) for i in (1, 2)):
        raise FrameError(path, f"a true colour image ({number} values a pixel), not detector counts")
    alpha = values[..., -1]
    if number != 3 and alpha.size and (alpha != alpha.flat[0]).any():
        raise FrameError(
            path, "an image with transparent pixels: its alpha channel is not the same everywhere"
        )
    return np.ascontiguousarray(first)
