"""Scattering by water and air, which are not crystal, and the shadow of the beamstop."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweeper.simulate.geometry import Beam, Detector, efficiency
from sweeper.simulate.structure import form_factor

CLASSICAL_RADIUS_SQUARED_M2 = 7.94079248018965e-30
"""Square of the classical electron radius, r_e², m²."""

_AVOGADRO = 6.02214076e23
_WATER_STOL = (0.0, 0.08, 0.12, 0.16, 0.20, 0.28, 0.36, 0.48)  # sinθ/λ, 1/Å
_WATER_F = (2.57, 3.05, 5.09, 8.01, 6.75, 4.55, 3.94, 3.33)  # electrons per molecule
_WATER_PER_M3 = 1000.0 / 0.018015 * _AVOGADRO
_AIR_PER_M3 = 1.2 / 0.02897 * _AVOGADRO
_AIR_F0 = 14.1  # electrons per molecule in the forward direction
_N2_BOND_ANGSTROM = 1.098
_PROFILE_STEPS = 1024
_PROFILE_STOL = 0.5


def water_form_factor(stol: ArrayLike) -> NDArray[Any]:
    """Return F of liquid water, electrons per molecule, at ``stol`` = sinθ/λ in 1/Å.

    Monotone cubic interpolation of the measured curve (its ring is at d = 3.1 Å); held constant
    past 0.48 1/Å.
    """
    from scipy.interpolate import PchipInterpolator

    curve = PchipInterpolator(_WATER_STOL, _WATER_F)
    return np.asarray(curve(np.clip(stol, 0.0, _WATER_STOL[-1])))


def air_form_factor(stol: ArrayLike) -> NDArray[Any]:
    """Return F of air, electrons per molecule: N₂ by Debye's equation, scaled to 14.1 electrons at 0."""
    s = np.asarray(stol, dtype=float)
    # np.sinc is sin(πx)/(πx); Debye's argument is q·r = 4π·stol·r.
    interference = np.sinc(4 * s * _N2_BOND_ANGSTROM)
    amplitude = form_factor("N", s) * np.sqrt(2 * (1 + interference))
    return np.asarray(amplitude * _AIR_F0 / (2 * form_factor("N", 0.0)))


@lru_cache(maxsize=1)
def _squared_profiles() -> tuple[NDArray[Any], NDArray[Any]]:
    """Return F² of water and of air on a fine grid of sinθ/λ, 0 to 0.5 1/Å."""
    grid = np.linspace(0.0, _PROFILE_STOL, _PROFILE_STEPS)
    return water_form_factor(grid) ** 2, air_form_factor(grid) ** 2


def background_photons(
    detector: Detector, beam: Beam, water_path_um: float, air_path_mm: float
) -> NDArray[np.float64]:
    """Return the photons a pixel expected from water and air: r_e² φ n F²(stol) P Ω η.

    Molecules scatter independently and from one point, so n = beam area · path · number density;
    absorption and Compton scattering are left out.

    Returns
    -------
    float64, (size, size)
    """
    from sweeper.simulate import _kernels

    water, air = _squared_profiles()
    area_m2 = (beam.width_um * 1e-6) ** 2
    n_water = area_m2 * water_path_um * 1e-6 * _WATER_PER_M3
    n_air = area_m2 * air_path_mm * 1e-3 * _AIR_PER_M3
    profile = CLASSICAL_RADIUS_SQUARED_M2 * beam.fluence_photons_per_m2 * (n_water * water + n_air * air)
    image: NDArray[np.float64] = _kernels.radial_image(
        detector.size,
        *detector.centre_px,
        detector.pixel_mm,
        detector.distance_mm,
        beam.wavelength_angstrom,
        beam.polarisation,
        profile,
        _PROFILE_STOL / (_PROFILE_STEPS - 1),
    )
    if detector.sensor_mm > 0:
        x, y = detector.places_mm()
        image *= efficiency(x, y, detector)
    return image


@dataclass(frozen=True)
class Beamstop:
    """A disc on an arm, described by the shadow that it casts on the detector.

    Attributes
    ----------
    radius_mm : float
        Radius halfway through the soft edge; nothing passes the disc.
    penumbra_mm : float
        Width of the soft edge of the disc and of the arm.
    arm_width_mm : float
        Width of the arm, which runs from the disc up to the detector's edge (towards row 0).
    arm_transmission : float
        Share of photons that pass the arm.
    """

    radius_mm: float = 1.8
    penumbra_mm: float = 1.0
    arm_width_mm: float = 1.2
    arm_transmission: float = 0.9


def transmission(detector: Detector, stop: Beamstop) -> NDArray[np.float64]:
    """Return the share of photons that pass the beamstop, 0 to 1, (size, size).

    The shadow moves with the direct beam.
    """
    x, y = detector.places_mm()
    disc = np.clip((np.hypot(x, y) - stop.radius_mm) / stop.penumbra_mm + 0.5, 0.0, 1.0)
    shade = np.clip((stop.arm_width_mm / 2 - np.abs(x)) / stop.penumbra_mm + 0.5, 0.0, 1.0)
    arm = 1 - (1 - stop.arm_transmission) * shade * (y < 0)
    return np.asarray(disc * arm)
