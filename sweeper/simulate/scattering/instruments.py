"""Beamlines and laboratories: which detector they use, how much of it they read, and where it stands.

A session is one user's time at one instrument: all its frames share the instrument and the material.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sweeper.simulate.scattering.detectors import DETECTORS, Area, Detector, whole
from sweeper.simulate.scattering.strata import Strata

Rng = np.random.Generator

_NAMES = ("Pilatus", "Eiger", "small counter", "ccd", "plate", "panel", "wire")
_FAMILIES = {
    "SAXS": (30, 18, 10, 16, 8, 5, 13),
    "WAXS": (26, 14, 10, 17, 13, 16, 4),
    "GISAXS": (36, 18, 10, 17, 7, 5, 7),
    "GIWAXS": (31, 18, 10, 18, 12, 6, 5),
    "blank": (40, 25, 35, 0, 0, 0, 0),
}
"""How often a technique uses each family of detectors, roughly in per cent."""

_PARTS = {"whole": 58, "strip": 14, "quarter": 10, "crop": 18}
"""How often all of a detector is read, and how often a part: along one edge, a corner, any."""


@dataclass(frozen=True)
class Instrument:
    """Properties that the frames of a session have in common.

    Attributes
    ----------
    area : Area
        The detector, and the part of it that frames show.
    part : {"whole", "strip", "quarter", "crop"}
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

    area: Area
    part: str
    shape: tuple[int, int]
    pixel_mm: float
    wavelength_angstrom: float
    synchrotron: bool
    spread_px: float
    up_quarter: int
    gap_counts: int

    @property
    def detector(self) -> Detector:
        """The model of the detector."""
        return self.area.detector

    @property
    def domain(self) -> str:
        """Family of the detector and whether all of it is read, which a classifier can tell."""
        return f"{self.detector.family}, {'whole' if self.part == 'whole' else 'part'}"

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


def _draw_part(part: str, detector: Detector, rng: Rng) -> Area:
    """Draw what is read of a detector; at least an eighth of the longer edge."""
    rows, columns = float(detector.rows), float(detector.columns)
    if part == "strip":
        aspect = log_uniform(rng, 2, 7)
        lying = columns > rows if max(rows, columns) > 1.5 * min(rows, columns) else bool(rng.random() < 0.5)
        if lying:
            columns = columns * rng.uniform(0.5, 1.0)
            rows = min(rows, columns / aspect)
        else:
            rows = rows * rng.uniform(0.5, 1.0)
            columns = min(columns, rows / aspect)
    elif part == "quarter":
        rows, columns = rows * rng.uniform(0.4, 0.6), columns * rng.uniform(0.4, 0.6)
    elif part == "crop":
        rows, columns = rows * rng.uniform(0.3, 1.0), columns * rng.uniform(0.3, 1.0)
    rows, columns = max(rows, columns / 8), max(columns, rows / 8)
    places = (0.0, 0.5, 1.0, rng.random())
    top, left = (detector.rows - rows) * rng.choice(places), (detector.columns - columns) * rng.choice(places)
    return Area(detector, float(top), float(left), float(rows), float(columns))


def draw_instrument(label: str, size: int, strata: Strata, rng: Rng) -> Instrument:
    """Draw the instrument of a session whose frames' longer edge has `size` pixels."""
    shares: dict[str, float] = {}
    for family, share in zip(_NAMES, _FAMILIES[label], strict=True):
        models = [name for name, model in DETECTORS.items() if model.family == family]
        shares |= dict.fromkeys(models, share / len(models))
    detector = DETECTORS[strata.choose("detector", shares)]
    part = strata.choose("part", _PARTS)
    area = whole(detector) if part == "whole" else _draw_part(part, detector, rng)
    scale = max(area.rows, area.columns) / size  # the detector's own pixels to one of the frame
    hard = rng.random() < (0.6 if detector.kind == "panel" else 0.1 if label == "WAXS" else 0.02)
    synchrotron = bool(hard or rng.random() < 0.65)
    if hard:
        wavelength = log_uniform(rng, 0.12, 0.35)
    elif synchrotron:
        wavelength = log_uniform(rng, 0.7, 1.7)
    else:
        wavelength = float(rng.choice([1.5418, 1.5418, 1.3414, 0.7107]))
    beam_px = log_uniform(rng, 0.3, 2.5) if synchrotron else log_uniform(rng, 0.7, 4.0)
    return Instrument(
        area=area,
        part=part,
        shape=area.shape_at(size),
        pixel_mm=detector.pixel_mm * scale,
        wavelength_angstrom=wavelength,
        synchrotron=synchrotron,
        spread_px=float(np.hypot(beam_px, detector.spread_px) / scale),
        up_quarter=int(strata.choose("turn", {"0": 52, "1": 16, "2": 16, "3": 16})),
        gap_counts=-1 if rng.random() < 0.75 else 0,
    )
