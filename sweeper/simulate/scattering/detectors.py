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
    kind : {"counting", "ccd", "plate", "panel", "wire"}
        Photon counter; CCD behind a fibre taper; image plate; flat panel; gas-filled wire chamber.
    spread_px : float
        Standard deviation of the point spread, in its own pixels.
    saturation_counts : int
    round_area : bool
        Whether only the circle that touches the edges sees photons.
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

    @property
    def integrating(self) -> bool:
        """Whether charge or light is summed and read with noise, instead of photons being counted."""
        return self.kind in ("ccd", "plate", "panel")

    @property
    def family(self) -> str:
        """Maker of a large counter, or "small counter"; the kind of what does not count."""
        if self.kind != "counting":
            return self.kind
        maker = self.name.split()[0]
        return maker if maker in ("Pilatus", "Eiger") else "small counter"


@dataclass(frozen=True)
class Area:
    """The part of a detector that is read or kept, in its own pixels.

    Attributes
    ----------
    detector : Detector
    top, left, rows, columns : float
    """

    detector: Detector
    top: float
    left: float
    rows: float
    columns: float

    def shape_at(self, size: int) -> tuple[int, int]:
        """Return rows and columns of a frame whose longer edge has `size` pixels."""
        longest = max(self.rows, self.columns)
        return max(1, round(self.rows * size / longest)), max(1, round(self.columns * size / longest))


def whole(detector: Detector) -> Area:
    """Return all of a detector."""
    return Area(detector, 0, 0, detector.rows, detector.columns)


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
    _pilatus("Pilatus 900K", (3, 3)),
    _pilatus("Pilatus 1M", (5, 2)),
    _pilatus("Pilatus 2M", (8, 3)),
    _pilatus("Pilatus 6M", (12, 5)),
    _eiger("Eiger 500K", (1, 1)),
    _eiger("Eiger 1M", (2, 1)),
    _eiger("Eiger 4M", (4, 2)),
    _eiger("Eiger 9M", (6, 3)),
    _eiger("Eiger 16M", (8, 4)),
    Detector("Lambda 750K", 516, 1556, 0.055, (256, 256), (4, 4)),
    Detector("Maxipix 2x2", 516, 516, 0.055, (256, 256), (4, 4)),
    Detector("Maxipix 5x1", 256, 1296, 0.055, (256, 256), (4, 4)),
    Detector("Medipix", 256, 256, 0.055, (256, 256), (0, 0), saturation_counts=11_810),
    Detector("Jungfrau 500K", 512, 1024, 0.075, (512, 1024), (0, 0)),
    Detector("Jungfrau 4M", 2164, 2068, 0.075, (514, 1030), (36, 8)),
    Detector("MAR 165", 2048, 2048, 0.079, (2048, 2048), (0, 0), "ccd", 1.0, 65_535, True),
    Detector("Frelon", 2048, 2048, 0.047, (2048, 2048), (0, 0), "ccd", 1.4, 65_535),
    Detector("Quantum 210", 4096, 4096, 0.051, (4096, 4096), (0, 0), "ccd", 1.6, 65_535),
    Detector("Rayonix LX170", 1920, 3840, 0.0443, (1920, 3840), (0, 0), "ccd", 1.2, 65_535),
    Detector("fibre-taper CCD", 1152, 1242, 0.08, (1152, 1242), (0, 0), "ccd", 1.1, 65_535, True),
    Detector("mar345", 3450, 3450, 0.1, (3450, 3450), (0, 0), "plate", 1.2, 130_000, True),
    Detector("R-AXIS IV", 3000, 3000, 0.1, (3000, 3000), (0, 0), "plate", 1.2, 1_048_500),
    Detector("scanned plate", 2500, 2000, 0.1, (2500, 2000), (0, 0), "plate", 1.2, 65_535),
    Detector("Rayonix MX225", 3072, 3072, 0.0732, (3072, 3072), (0, 0), "ccd", 1.0, 65_535),
    Detector("Pixium 4700", 1910, 2480, 0.154, (1910, 2480), (0, 0), "panel", 0.8, 65_535),
    Detector("Perkin-Elmer", 2048, 2048, 0.2, (2048, 2048), (0, 0), "panel", 0.8, 65_535),
    Detector("Dexela 2923", 3888, 3072, 0.0748, (3888, 3072), (0, 0), "panel", 0.8, 16_383),
    Detector("Gabriel chamber", 256, 256, 0.8, (256, 256), (0, 0), "wire", 1.3, 1_000_000),
    Detector("HiStar", 1024, 1024, 0.105, (1024, 1024), (0, 0), "wire", 1.6, 65_535, True),
    Detector("Vantec 2000", 2048, 2048, 0.068, (2048, 2048), (0, 0), "wire", 1.6, 65_535, True),
)

DETECTORS = {model.name: model for model in _MODELS}
"""Every model, by name."""


def _in_gap(first: float, length: float, module: int, gap: int, drawn: int) -> NDArray[np.bool_]:
    """Return whether the middle of each of `drawn` pixels along `length` own ones is between modules."""
    middle = first + (np.arange(drawn) + 0.5) * length / drawn
    return np.asarray((middle % (module + gap)) >= module)


@lru_cache(maxsize=32)
def gaps(area: Area, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask of pixels that lie between modules, bool, `shape`; read-only.

    The middle of a pixel decides, so that the share of dead area is the same at any size.
    """
    module, gap = area.detector.module, area.detector.gap
    rows = _in_gap(area.top, area.rows, module[0], gap[0], shape[0])
    columns = _in_gap(area.left, area.columns, module[1], gap[1], shape[1])
    mask = rows[:, np.newaxis] | columns[np.newaxis, :]
    mask.flags.writeable = False
    return mask
