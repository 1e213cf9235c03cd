"""From detector coordinates to scattering vectors.

The laboratory's axes: x along a frame's columns, y against its rows (up), z along the beam. The sample is
at the origin. The detector stands at a distance, its normal along the beam, and may be turned about the
sample to larger angles (a 2θ arm). Vectors are in 1/Å, q = 4π sin θ / λ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Setup:
    """A detector's place, and the beam.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns of the frame.
    pixel_mm : float
        Pixel of the frame, not of the detector.
    distance_mm : float
        Distance from the sample to the detector's plane.
    column, row : float
        Foot of the perpendicular from the sample, in pixels; also the direct beam, unless the arm is turned.
    wavelength_angstrom : float
    arm_deg : tuple of float
        Rotation of the detector about the sample: to larger x, and to larger y.
    """

    shape: tuple[int, int]
    pixel_mm: float
    distance_mm: float
    column: float
    row: float
    wavelength_angstrom: float
    arm_deg: tuple[float, float] = (0.0, 0.0)

    @property
    def wavenumber(self) -> float:
        """k = 2π / λ, 1/Å."""
        return 2 * np.pi / self.wavelength_angstrom

    @property
    def beam_px(self) -> tuple[float, float]:
        """Column and row where the direct beam meets the detector's plane, however far outside the frame."""
        rotation = _rotation(self.arm_deg)
        x, y, z = rotation[2]  # the beam's direction in the detector's own axes
        scale = self.distance_mm / (max(z, 1e-3) * self.pixel_mm)
        return float(self.column + x * scale), float(self.row - y * scale)


def _rotation(arm_deg: tuple[float, float]) -> NDArray[np.float64]:
    """Return the matrix from the detector's own axes to the laboratory's: about y, then about x."""
    (sx, sy), (cx, cy) = np.sin(np.deg2rad(arm_deg)), np.cos(np.deg2rad(arm_deg))
    about_y = np.array([[cx, 0, sx], [0, 1, 0], [-sx, 0, cx]])
    about_x = np.array([[1, 0, 0], [0, cy, sy], [0, -sy, cy]])
    return np.asarray(about_x @ about_y)


def directions(setup: Setup) -> tuple[Image, Image, Image, Image]:
    """Return unit vectors from the sample to each pixel, and the relative solid angle of each pixel.

    Returns
    -------
    x, y, z : float32, `shape`
    weight : float32, `shape`
        (distance / length)³: solid angle relative to a pixel at the foot of the perpendicular.
    """
    rows, columns = setup.shape
    own_x = ((np.arange(columns) - setup.column) * setup.pixel_mm).astype(np.float32)[np.newaxis, :]
    own_y = ((setup.row - np.arange(rows)) * setup.pixel_mm).astype(np.float32)[:, np.newaxis]
    own_z = np.float32(setup.distance_mm)
    inverse = 1 / np.sqrt(own_x**2 + own_y**2 + own_z**2)
    weight = (own_z * inverse) ** 3
    if setup.arm_deg == (0.0, 0.0):
        return own_x * inverse, own_y * inverse, own_z * inverse, weight
    turn = _rotation(setup.arm_deg).astype(np.float32)
    x, y, z = ((t[0] * own_x + t[1] * own_y + t[2] * own_z) * inverse for t in turn)
    return x, y, z, weight


@dataclass(frozen=True)
class Transmission:
    """Coordinates of a pattern in transmission, each float32 of the frame's shape.

    Attributes
    ----------
    q : Image
        1/Å.
    azimuth : Image
        Radians about the beam, from x towards y.
    weight : Image
        Solid angle times polarisation.
    """

    q: Image
    azimuth: Image
    weight: Image


def transmission(setup: Setup, polarisation: float = 0.0) -> Transmission:
    """Return scattering vectors about the beam.

    Parameters
    ----------
    setup : Setup
    polarisation : float
        Horizontal share minus vertical share: 0 in a laboratory, about 0.99 at a synchrotron.
    """
    x, y, z, weight = directions(setup)
    sine2 = x**2 + y**2
    # 1 − cos 2θ loses too many digits in single precision at small angles, so half angles come from the sine.
    q = 2 * setup.wavenumber * np.sqrt(sine2 / (2 * (1 + z)))
    factor = 0.5 * (1 + z**2 - polarisation * (x**2 - y**2))
    return Transmission(q.astype(np.float32), np.arctan2(y, x), (weight * factor).astype(np.float32))


@dataclass(frozen=True)
class Grazing:
    """Coordinates of a pattern over a surface, each float32 of the frame's shape.

    Attributes
    ----------
    exit_rad : Image
        Angle of exit α_f over the surface; negative below the horizon.
    q_x, q_y, q_z : Image
        Along the beam's projection, across it in the surface, and along the surface's normal, in vacuum;
        1/Å.
    weight : Image
        Solid angle times polarisation.
    """

    exit_rad: Image
    q_x: Image
    q_y: Image
    q_z: Image
    weight: Image

    @property
    def q_parallel(self) -> Image:
        """Component in the plane of the surface, at least 0, 1/Å."""
        return np.hypot(self.q_x, self.q_y)


def grazing(setup: Setup, incidence_rad: float, up_rad: float, polarisation: float = 0.0) -> Grazing:
    """Return scattering vectors over a surface that the beam meets at a small angle.

    Parameters
    ----------
    setup : Setup
    incidence_rad : float
        α_i. The direct beam leaves at α_f = −α_i, the specular beam at α_i.
    up_rad : float
        Direction of the surface's normal in the frame: 0 is up, π/2 towards larger columns.
    polarisation : float
        As in :func:`transmission`.
    """
    x, y, z, weight = directions(setup)
    k = np.float32(setup.wavenumber)
    ci, si = np.float32(np.cos(incidence_rad)), np.float32(np.sin(incidence_rad))
    cu, su = np.float32(np.cos(up_rad)), np.float32(np.sin(up_rad))
    up, across = su * x + cu * y, cu * x - su * y
    sin_exit = ci * up - si * z
    forward = si * up - ci * (x**2 + y**2) / (1 + z)  # x·u − cos α_i, without cancellation
    factor = np.float32(0.5) * (1 + z**2 - np.float32(polarisation) * (x**2 - y**2))
    return Grazing(np.arcsin(sin_exit), k * forward, k * across, k * (sin_exit + si), weight * factor)
