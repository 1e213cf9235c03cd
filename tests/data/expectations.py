"""What tests of formats expect of a file: its frames, or a refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sweeper.data.format import DEFAULT_READING, Reading
from sweeper.data.frames import count_frames, read_frames
from sweeper.errors import FrameError


def gives(path: Path | str, *wanted: NDArray[Any], reading: Reading = DEFAULT_READING) -> None:
    """Check that a file gives just these frames, in type and pixels."""
    assert count_frames(path, reading) == len(wanted)
    for frame, each in zip(read_frames(path, range(len(wanted)), reading), wanted, strict=True):
        assert frame.dtype == each.dtype
        np.testing.assert_array_equal(frame, each)


def refused(path: Path, rule: str) -> None:
    """Check that a file is refused with a reason, by whoever counts frames or by whoever reads them."""
    with pytest.raises(FrameError, match=rule):
        list(read_frames(path, range(count_frames(path))))
