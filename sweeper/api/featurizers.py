"""Featurizers: prepared frames to blocks of features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api.axes import Axis, Params


@dataclass(frozen=True)
class PreparedFrame:
    """One frame as featurizers see it: intensity settings applied, invalid pixels known.

    Attributes
    ----------
    counts : float32, (height, width)
        Counts after masking, hot-pixel rejection and binning; 0 where not `valid`.
    image : float32, (height, width)
        `counts` scaled (log1p or linear), clipped to percentiles and mapped to [0, 1];
        0 where not `valid`.
    valid : bool, (height, width)
        False where the detector gave no trustworthy value.
    levels : int
        Number of grey levels for texture, 2 to 256.
    header : mapping
        What the file says of how the frame was taken, for featurizers that ask for it with `reads_header`:
        ``distance_mm``, ``wavelength_angstrom``, ``pixel_mm``, ``beam_column_px``, ``beam_row_px`` and
        ``incidence_deg`` as far as they are stated, and then ``height_px`` and ``width_px`` of the frame as
        it was read. What is not stated is absent.
    """

    counts: NDArray[np.float32]
    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    levels: int
    header: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def quantised(self) -> NDArray[np.uint8]:
        """`image` as grey levels 0 to `levels` − 1, uint8, (height, width); 0 where not valid."""
        return quantise(self.image, self.levels)


def quantise(image: NDArray[np.float32], levels: int) -> NDArray[np.uint8]:
    """Return values in [0, 1] as grey levels 0 to `levels` − 1, uint8."""
    level = image * np.float32(levels)
    np.minimum(level, np.float32(levels - 1), out=level)
    return level.astype(np.uint8)


@dataclass(frozen=True)
class Featurizer:
    """Turns prepared frames into blocks of features.

    Attributes
    ----------
    name : str
        The file's name: lower case letters, digits and underscores.
    version : int
        Raise it when the same frame gives other numbers: blocks of other versions are not reused.
    source : str
        Paper, equation or table.
    axes : tuple of Axis
        The block grid: one block for each combination of single values.
    columns : callable
        Parameters of one block (single values) to the names of its columns, such as
        ``("contrast", "entropy")``. Not used when `codebook` is set.
    compute : callable
        ``compute(frame, blocks)``: a prepared frame and the parameters of the blocks asked for, to
        one float64 row for each block, in their order, each as wide as `columns` says. With `codebook`
        set, each row is a uint8 array ``(keypoints, descriptor_width)`` with any number of
        keypoints, including none.
    codebook : Axis or None
        Set when blocks are ragged descriptors that a bag-of-visual-words codebook, fitted on the
        training rows of the fold, turns into one row for each frame; the axis is its number of clusters.
    descriptor_width : int
        Length of one descriptor; 0 without a codebook.
    requires : tuple of str
        Import names of the libraries it needs beyond Sweeper's own: `list`, `plan` and `run` name one
        that is not installed.
    reads_header : bool
        Whether it looks at :attr:`PreparedFrame.header`: frames of equal pixels and other headers are other
        frames to sweeps that search it.
    """

    name: str
    version: int
    source: str
    axes: tuple[Axis, ...]
    columns: Callable[[Params], tuple[str, ...]]
    compute: Callable[[PreparedFrame, Sequence[Params]], list[NDArray[Any]]]
    codebook: Axis | None = None
    descriptor_width: int = 0
    requires: tuple[str, ...] = ()
    reads_header: bool = False

    @property
    def all_axes(self) -> tuple[Axis, ...]:
        """The block axes, and the codebook's where there is one."""
        return self.axes if self.codebook is None else (*self.axes, self.codebook)
