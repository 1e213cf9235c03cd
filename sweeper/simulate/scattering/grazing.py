"""Scattering near a surface: the distorted-wave Born approximation.

A wave that meets a surface at a small angle is partly reflected, before and after it is scattered. To first
order in the scatterer there are four paths: straight, reflected before, reflected after, both (Sinha, Sirota,
Garoff and Stanley, Phys. Rev. B 38 (1988) 2297; Rauscher, Salditt and Spohn, Phys. Rev. B 52 (1995) 16855).
Angles are in radians, wavevectors in 1/Å, lengths in Å; z is the surface's normal, particles stand on z = 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.simulate.scattering.form_factors import disc_amplitude, sphere_amplitude

Grid = NDArray[Any]


@dataclass(frozen=True)
class Medium:
    """Refractive index n = 1 − δ + iβ."""

    delta: float
    beta: float

    @property
    def critical_rad(self) -> float:
        """Critical angle √(2δ)."""
        return float(np.sqrt(2 * self.delta))


def normal_wavevector(k_z: Grid, k: float, medium: Medium) -> Grid:
    """Return k̃_z = √(k_z² − 2k²(δ − iβ)), complex: the wavevector's normal component in a medium."""
    return np.sqrt(k_z**2 - 2 * k**2 * (medium.delta - 1j * medium.beta))


def reflection(outer: Grid, inner: Grid) -> Grid:
    """Return Fresnel's amplitude (k − k̃) / (k + k̃) from normal components on both sides of an interface."""
    return np.asarray((outer - inner) / (outer + inner))


def transmission_factor(exit_rad: Grid, k: float, medium: Medium) -> Grid:
    """Return |t|², t = 2k_z / (k_z + k̃_z): 4 at the critical angle (Yoneda's peak), 0 below the horizon."""
    k_z = k * np.sin(np.maximum(exit_rad, 0.0))
    inner = normal_wavevector(k_z, k, medium)
    return np.asarray(np.abs(2 * k_z / (k_z + inner)) ** 2)


Amplitude = Callable[[Grid], Grid]
"""A particle's amplitude over q_z, at the q∥ that it was made for."""


def four_paths(amplitude: Amplitude, k_zi: float, k_zf: Grid, r_i: complex, r_f: Grid) -> Grid:
    """Return A = F(k_zf+k_zi) + r_i F(k_zf−k_zi) + r_f F(−k_zf+k_zi) + r_i r_f F(−k_zf−k_zi).

    Parameters
    ----------
    amplitude : callable
        F over q_z, complex, with the phase of the particle's height.
    k_zi, k_zf : float, array
        Normal components of the incoming and outgoing wave, both positive.
    r_i, r_f : complex, array
        Reflection of the surface for both waves.
    """
    direct = amplitude(k_zf + k_zi) + r_i * amplitude(k_zf - k_zi)
    reflected = amplitude(-k_zf + k_zi) + r_i * amplitude(-k_zf - k_zi)
    return direct + r_f * reflected


@dataclass(frozen=True)
class Surface:
    """A substrate under a beam.

    Attributes
    ----------
    k : float
        2π / λ.
    incidence_rad : float
    medium : Medium
    """

    k: float
    incidence_rad: float
    medium: Medium

    def waves(self, exit_rad: Grid) -> tuple[float, Grid, complex, Grid]:
        """Return k_zi, k_zf, r_i and r_f for some angles of exit above the horizon."""
        k_zi = float(self.k * np.sin(self.incidence_rad))
        k_zf = self.k * np.sin(exit_rad)
        r_i = reflection(np.asarray(k_zi), normal_wavevector(np.asarray(k_zi), self.k, self.medium))
        r_f = reflection(k_zf, normal_wavevector(k_zf, self.k, self.medium))
        return k_zi, k_zf, complex(r_i), r_f


def cylinder_intensity(
    surface: Surface, q_parallel: Grid, exit_rad: Grid, radius: float, height: float
) -> Grid:
    """Return |A|² of upright cylinders on a substrate, 1 where F alone would be 1.

    F = 2J₁(q∥R) / (q∥R) · sin(q_z H/2) / (q_z H/2) · exp(−i q_z H/2).

    Parameters
    ----------
    q_parallel : float, (n,)
    exit_rad : float, (m,)
        Above the horizon.

    Returns
    -------
    float64, (n, m)
    """

    def along(q_z: Grid) -> Grid:
        return np.sinc(q_z * height / (2 * np.pi)) * np.exp(-0.5j * q_z * height)

    paths = np.abs(four_paths(along, *surface.waves(exit_rad))) ** 2
    return np.asarray(np.multiply.outer(disc_amplitude(q_parallel * radius) ** 2, paths))


def sphere_intensity(surface: Surface, q_parallel: Grid, exit_rad: Grid, radius: float) -> Grid:
    """Return |A|² of spheres that lie on a substrate; as :func:`cylinder_intensity`."""
    k_zi, k_zf, r_i, r_f = surface.waves(exit_rad)
    # F of a centred sphere is even in q_z: two tables serve the four paths.
    most = radius * np.hypot(q_parallel.max(), k_zf.max() + k_zi)
    grid = np.linspace(0, most, 2 + int(32 * most))
    table = sphere_amplitude(grid)

    def centred(q_z: Grid) -> Grid:
        return np.interp(radius * np.hypot(q_parallel[:, np.newaxis], q_z), grid, table)

    steep, flat = centred(k_zf + k_zi), centred(k_zf - k_zi)
    up, down = np.exp(-1j * radius * (k_zf + k_zi)), np.exp(-1j * radius * (k_zf - k_zi))
    of_steep = up + r_i * r_f * np.conj(up)
    of_flat = r_i * down + r_f * np.conj(down)
    return np.asarray(np.abs(of_steep * steep + of_flat * flat) ** 2)


def paracrystal(q: Grid, spacing: float, disorder: float) -> Grid:
    """Return the interference of particles in a row, neighbours at `spacing` ± `disorder`·`spacing`.

    S = (1 − p²) / (1 − 2p cos qD + p²), p = exp(−q²σ²/2) (Hosemann and Bagchi 1962).
    """
    p = np.minimum(np.exp(-0.5 * (q * spacing * disorder) ** 2), 0.995)
    return np.asarray((1 - p**2) / (1 - 2 * p * np.cos(q * spacing) + p**2))


def film_intensity(
    surface: Surface, form: Callable[[Grid, Grid], Grid], q_parallel: Grid, exit_rad: Grid, depth: float
) -> Grid:
    """Return a thick film's intensity: |t_i|²|t_f|²|F|² and, fainter, what its floor reflects.

    Depths are many and add without interference. q_z is taken inside the film, so that peaks are refracted.

    Parameters
    ----------
    form : callable
        Intensity over q∥ (n, 1) and q_z (m,), to (n, m).
    depth : float
        Depth in Å that contributes; damps what leaves at flat angles, exp(−2 Im(k̃_zf) depth).
    """
    k_zi, k_zf, _, r_f = surface.waves(exit_rad)
    inner_i = normal_wavevector(np.asarray(k_zi), surface.k, surface.medium)
    inner_f = normal_wavevector(k_zf, surface.k, surface.medium)
    escape = np.abs(1 + r_f) ** 2 * np.exp(-2 * inner_f.imag * depth)
    across = q_parallel[:, np.newaxis]
    direct = form(across, inner_f.real + inner_i.real)
    # A floor of another density reflects about a tenth of the incoming wave near the critical angle.
    mirrored = 0.12 * form(across, np.abs(inner_f.real - inner_i.real))
    return np.asarray(escape * (direct + mirrored))


def reflectivity(angle_rad: Grid, k: float, medium: Medium, roughness: float = 0.0) -> Grid:
    """Return |r|² of a rough surface (Névot and Croce 1980)."""
    k_z = k * np.sin(np.abs(angle_rad))
    inner = normal_wavevector(k_z, k, medium)
    return np.asarray(np.abs(reflection(k_z, inner) * np.exp(-2 * k_z * inner * roughness**2)) ** 2)
