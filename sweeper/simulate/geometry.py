"""The beam and a flat detector: from a direction to a pixel, a solid angle and a polarisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

DETECTOR_EDGE_MM = 153.6
"""Edge of the square detector, whatever its number of pixels: 512 pixels of 0.3 mm."""


@dataclass(frozen=True)
class Beam:
    """A pulse of X-rays along +z.

    Attributes
    ----------
    wavelength_angstrom : float
    fluence_photons_per_m2 : float
        Photons per square metre during the exposure.
    width_um : float
        Edge of the square beam at the sample.
    divergence_rad : float
        Standard deviation of the direction, per axis.
    bandpass : float
        Standard deviation of the wavelength over its mean.
    polarisation : float
        K of the polarisation factor: 1 is fully polarised along x, 0 unpolarised.
    """

    wavelength_angstrom: float
    fluence_photons_per_m2: float
    width_um: float = 10.0
    divergence_rad: float = 0.0
    bandpass: float = 0.0
    polarisation: float = 0.99


@dataclass(frozen=True)
class Detector:
    """A flat square detector across the beam.

    Attributes
    ----------
    size : int
        Pixels along an edge.
    pixel_mm : float
        Edge of a pixel.
    distance_mm : float
        Distance from sample to detector.
    beam_x_mm, beam_y_mm : float
        Where the direct beam would hit, from the middle of the detector; x along columns, y along rows.
    sensor_mm : float
        Thickness of the layer that absorbs photons; 0 for a detector that counts every photon.
    attenuation_per_mm : float
        µ of the sensor.
    """

    size: int
    pixel_mm: float
    distance_mm: float = 150.0
    beam_x_mm: float = 0.0
    beam_y_mm: float = 0.0
    sensor_mm: float = 0.0
    attenuation_per_mm: float = 0.0

    @property
    def centre_px(self) -> tuple[float, float]:
        """Column and row of the direct beam; pixel centres are whole numbers."""
        middle = (self.size - 1) / 2
        return middle + self.beam_x_mm / self.pixel_mm, middle + self.beam_y_mm / self.pixel_mm

    @property
    def reach_mm(self) -> float:
        """Distance from the direct beam to the farthest corner."""
        half = self.size * self.pixel_mm / 2
        return float(np.hypot(half + abs(self.beam_x_mm), half + abs(self.beam_y_mm)))

    def places_mm(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return x of each column, (1, size), and y of each row, (size, 1), from the direct beam."""
        column, row = self.centre_px
        pixels = np.arange(self.size, dtype=np.float64)
        x, y = (pixels - column) * self.pixel_mm, (pixels - row) * self.pixel_mm
        return x[np.newaxis, :], y[:, np.newaxis]

    def finest_inverse_d(self, wavelength_angstrom: float) -> float:
        """Return 1/d in 1/Å at the farthest corner, by Bragg's law."""
        two_theta = np.arctan2(self.reach_mm, self.distance_mm)
        return float(2 * np.sin(two_theta / 2) / wavelength_angstrom)


def detector_of(size: int, beam_x_mm: float = 0.0, beam_y_mm: float = 0.0) -> Detector:
    """Return the project's detector with `size` × `size` pixels.

    Its extent is fixed, so a pixel is 0.3 mm · 512 / `size` and a pattern looks alike at any size; the
    photons in a pixel are proportional to its area.
    """
    return Detector(size, DETECTOR_EDGE_MM / size, beam_x_mm=beam_x_mm, beam_y_mm=beam_y_mm)


def efficiency(x_mm: ArrayLike, y_mm: ArrayLike, detector: Detector) -> NDArray[Any]:
    """Return the share of photons that the sensor absorbs, η = 1 − exp(−t µ / cos 2θ), at some points."""
    if detector.sensor_mm == 0:
        return np.ones(np.broadcast(x_mm, y_mm).shape)
    path = detector.sensor_mm * np.hypot(np.hypot(x_mm, y_mm), detector.distance_mm) / detector.distance_mm
    return np.asarray(-np.expm1(-path * detector.attenuation_per_mm))
