"""Beamlines and laboratories: which detector they use, and where it stands.

A session is one user's time at one instrument: all its frames share the instrument and the material.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sweeper.simulate.scattering.detectors import DETECTORS, Detector

Rng = np.random.Generator

_SHARES = {
    "SAXS": {
        "Pilatus 1M": 24, "Pilatus 300K": 16, "Pilatus 2M": 10, "Eiger 1M": 10, "Eiger 4M": 7,
        "Gabriel chamber": 12, "MAR 165": 5, "mar345": 3, "Rayonix MX225": 5, "Pilatus 100K": 4,
        "Eiger 500K": 3,
    },
    "WAXS": {
        "Pilatus 300K": 12, "Pilatus 300K-W": 12, "Pilatus 100K": 17, "Pilatus 1M": 12, "Pixium 4700": 7,
        "Perkin-Elmer": 14, "MAR 165": 5, "mar345": 6, "Rayonix MX225": 8, "Eiger 1M": 6,
        "Eiger 4M": 3, "Eiger 500K": 3,
    },
    "GISAXS": {
        "Pilatus 1M": 30, "Pilatus 2M": 22, "Pilatus 300K": 24, "Eiger 1M": 9, "Eiger 4M": 5, "MAR 165": 5,
        "Rayonix MX225": 5,
    },
    "GIWAXS": {
        "Pilatus 1M": 32, "Pilatus 2M": 10, "Pilatus 300K": 14, "Pilatus 300K-W": 8, "Eiger 1M": 12,
        "Eiger 4M": 5, "MAR 165": 8, "mar345": 3, "Rayonix MX225": 8,
    },
    "blank": {
        "Pilatus 1M": 30, "Pilatus 2M": 10, "Pilatus 300K": 20, "Pilatus 300K-W": 8, "Pilatus 100K": 16,
        "Eiger 1M": 10, "Eiger 4M": 6,
    },
}  # fmt: skip
"""How often a technique uses each detector, roughly in per cent."""


@dataclass(frozen=True)
class Instrument:
    """Properties that the frames of a session have in common.

    Attributes
    ----------
    detector : Detector
    shape : tuple of int
        Rows and columns of the frames.
        pixel_mm : float
            Pixel of the frames: the detector's, binned or refined.
    wavelength_angstrom : float
    synchrotron : bool
        Whether the beam is polarised, intense and small.
    spread_px : float
        Standard deviation of beam size and point spread, in pixels of the frame.
    up_quarter : int
        Quarter turns of the frame: 0 if its top is up, 1 if up is towards larger columns, and so on.
    gap_counts : int
        Value between modules in a file: −1, or 0 where the software does not mark them.
    """

    detector: Detector
    shape: tuple[int, int]
    pixel_mm: float
    wavelength_angstrom: float
    synchrotron: bool
    spread_px: float
    up_quarter: int
    gap_counts: int

    @property
    def polarisation(self) -> float:
        """Horizontal share of the beam minus the vertical share."""
        return 0.98 if self.synchrotron else 0.0

    @property
    def long_edge_mm(self) -> float:
        """Length of the frame's longer edge."""
        return max(self.shape) * self.pixel_mm

    def place(self, across: float, up: float) -> tuple[float, float]:
        """Return column and row of a place given as shares of the edges, across and up, in the turned frame.

        0, 0 is the lower left corner of the upright scene.
        """
        rows, columns = self.shape
        turned = ((across, up), (up, 1 - across), (1 - across, 1 - up), (1 - up, across))
        x, y = turned[self.up_quarter]
        return x * columns - 0.5, (1 - y) * rows - 0.5


def choose(rng: Rng, shares: dict[str, int] | dict[str, float]) -> str:
    """Choose one of some names, as often as its share says."""
    names = list(shares)
    weights = np.array([shares[name] for name in names], dtype=float)
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """Draw a number that is uniform in its logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def draw_instrument(label: str, size: int, rng: Rng) -> Instrument:
    """Draw the instrument of a session whose frames' longer edge has `size` pixels."""
    detector = DETECTORS[choose(rng, _SHARES[label])]
    shape = detector.shape_at(size)
    scale = max(detector.rows, detector.columns) / size  # the detector's own pixels to one of the frame
    hard = detector.kind == "panel" or (label == "WAXS" and rng.random() < 0.1)
    synchrotron = bool(hard or rng.random() < 0.65)
    if hard:
        wavelength = log_uniform(rng, 0.12, 0.35)
    elif synchrotron:
        wavelength = log_uniform(rng, 0.7, 1.7)
    else:
        wavelength = float(rng.choice([1.5418, 1.5418, 1.3414, 0.7107]))
    beam_px = log_uniform(rng, 0.3, 2.5) if synchrotron else log_uniform(rng, 0.7, 4.0)
    surface = label.startswith("GI")
    upright = rng.random() < (0.7 if surface else 0.5)
    return Instrument(
        detector=detector,
        shape=shape,
        pixel_mm=detector.pixel_mm * scale,
        wavelength_angstrom=wavelength,
        synchrotron=synchrotron,
        spread_px=float(np.hypot(beam_px, detector.spread_px) / scale),
        up_quarter=0 if upright else int(rng.integers(1, 4)),
        gap_counts=-1 if rng.random() < 0.75 else 0,
    )
