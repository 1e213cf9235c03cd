"""Area detectors: shapes, gaps between modules, and what their electronics can count.

Shapes and gaps are the makers', as in pyFAI's detector classes. A frame may be drawn at another size
than the detector's own; its pixels are then larger or smaller, as if counts had been binned.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

GAP = -1
"""Counts of a pixel between modules."""

BAD = -2
"""Counts of a pixel that is known to be bad."""


@dataclass(frozen=True)
class Detector:
    """One model of area detector.

    Attributes
    ----------
    name : str
    rows, columns : int
        At its own pixel size.
    pixel_mm : float
    module : tuple of int
        Rows and columns of a module.
    gap : tuple of int
        Pixels between modules, along rows and along columns.
    kind : {"counting", "ccd", "panel", "wire"}
        Photon counter; CCD behind a fibre taper; flat panel; gas-filled wire chamber.
    spread_px : float
        Standard deviation of the point spread, in its own pixels.
    saturation_counts : int
    """

    name: str
    rows: int
    columns: int
    pixel_mm: float
    module: tuple[int, int]
    gap: tuple[int, int]
    kind: str = "counting"
    spread_px: float = 0.35
    saturation_counts: int = 1_048_500
    round_area: bool = False

    def shape_at(self, size: int) -> tuple[int, int]:
        """Return rows and columns of a frame whose longer edge has `size` pixels."""
        longest = max(self.rows, self.columns)
        return max(1, round(self.rows * size / longest)), max(1, round(self.columns * size / longest))


def _pilatus(name: str, modules: tuple[int, int]) -> Detector:
    rows, columns = modules
    return Detector(
        name, rows * 195 + (rows - 1) * 17, columns * 487 + (columns - 1) * 7, 0.172, (195, 487), (17, 7)
    )


def _eiger(name: str, modules: tuple[int, int]) -> Detector:
    rows, columns = modules
    shape = rows * 514 + (rows - 1) * 37, columns * 1030 + (columns - 1) * 10
    return Detector(name, *shape, 0.075, (514, 1030), (37, 10), saturation_counts=4_000_000)


_MODELS = (
    _pilatus("Pilatus 100K", (1, 1)),
    _pilatus("Pilatus 300K", (3, 1)),
    _pilatus("Pilatus 300K-W", (1, 3)),
    _pilatus("Pilatus 1M", (5, 2)),
    _pilatus("Pilatus 2M", (8, 3)),
    _eiger("Eiger 500K", (1, 1)),
    _eiger("Eiger 1M", (2, 1)),
    _eiger("Eiger 4M", (4, 2)),
    Detector("MAR 165", 2048, 2048, 0.079, (2048, 2048), (0, 0), "ccd", 1.0, 65_535, True),
    Detector("mar345", 3450, 3450, 0.1, (3450, 3450), (0, 0), "ccd", 1.2, 130_000, True),
    Detector("Rayonix MX225", 3072, 3072, 0.0732, (3072, 3072), (0, 0), "ccd", 1.0, 65_535),
    Detector("Pixium 4700", 1910, 2480, 0.154, (1910, 2480), (0, 0), "panel", 0.8, 65_535),
    Detector("Perkin-Elmer", 2048, 2048, 0.2, (2048, 2048), (0, 0), "panel", 0.8, 65_535),
    Detector("Gabriel chamber", 256, 256, 0.8, (256, 256), (0, 0), "wire", 1.3, 1_000_000),
)

DETECTORS = {model.name: model for model in _MODELS}
"""Every model, by name."""


def _in_gap(own: int, module: int, gap: int, drawn: int) -> NDArray[np.bool_]:
    """Return whether the middle of each of `drawn` pixels along an edge of `own` is between modules."""
    middle = (np.arange(drawn) + 0.5) * own / drawn
    return np.asarray((middle % (module + gap)) >= module)


@lru_cache(maxsize=32)
def gaps(detector: Detector, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask of pixels that lie between modules, bool, `shape`; read-only.

    The middle of a pixel decides, so that the share of dead area is the same at any size.
    """
    rows = _in_gap(detector.rows, detector.module[0], detector.gap[0], shape[0])
    columns = _in_gap(detector.columns, detector.module[1], detector.gap[1], shape[1])
    mask = rows[:, np.newaxis] | columns[np.newaxis, :]
    mask.flags.writeable = False
    return mask
