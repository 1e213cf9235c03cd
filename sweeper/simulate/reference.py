"""Bragg diffraction pixel by pixel, as nanoBragg sums it: the reference for the fast spots of ``crystal``.

The photons of a pixel are r_e² φ Ω P η / n · Σ over sources, mosaic domains and sub-pixels of F²_hkl F²_latt,
at s = (d̂ − ŝ₀)/λ with h = a·s, k = b·s, l = c·s, and F_hkl of the nearest reflection.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sweeper.simulate.background import CLASSICAL_RADIUS_SQUARED_M2
from sweeper.simulate.crystal import Crystal, rotation_matrix
from sweeper.simulate.geometry import Beam, Detector
from sweeper.simulate.structure import wilson_sum

LATTICES = ("square", "round", "gauss", "tophat")
"""Lattice factors, in the order of the compiled loop: a block, a ball, and two forms without ripples."""

_REACH_SIGMA = 3.0
_WILSON_STEPS = 512
_MOST_OVERSAMPLE = 64


def sources_of(beam: Beam, divergence_steps: int = 1, wavelength_steps: int = 1) -> NDArray[np.float64]:
    """Return a grid of directions and wavelengths to three standard deviations, with Gaussian weights.

    Returns
    -------
    float64, (divergence_steps² · wavelength_steps, 5)
        Unit direction, wavelength in Å, and weight; the weights sum to 1. There is one step where the beam
        has no spread.
    """
    angle, share = _normal_grid(beam.divergence_rad, divergence_steps)
    colour, colour_share = _normal_grid(beam.bandpass, wavelength_steps)
    rows = [
        (*_unit(ax, ay), beam.wavelength_angstrom * (1 + dc), wx * wy * wc)
        for ax, wx in zip(angle, share, strict=True)
        for ay, wy in zip(angle, share, strict=True)
        for dc, wc in zip(colour, colour_share, strict=True)
    ]
    return np.array(rows)


def mosaic_domains(crystal: Crystal, count: int, seed: int = 0) -> NDArray[np.float64]:
    """Return the axes of `count` domains, (count, 3, 3).

    Each is rotated about a random axis by m (1 − r²)^(1/3), r uniform in [−1, 1]; where the crystal has no
    mosaicity there is one domain, unrotated.
    """
    if crystal.mosaic_rad == 0:
        return crystal.axes_angstrom[np.newaxis]
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(103,)))
    axis = rng.standard_normal((count, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    angle = crystal.mosaic_rad * (1 - rng.uniform(-1, 1, count) ** 2) ** (1 / 3)
    quaternions = np.column_stack([np.cos(angle / 2), np.sin(angle / 2)[:, np.newaxis] * axis])
    return np.stack([crystal.axes_angstrom @ rotation_matrix(q).T for q in quaternions])


def oversample_of(crystal: Crystal, beam: Beam, detector: Detector) -> int:
    """Return how many sub-pixels along an edge resolve the interference: ⌈3 · size / (λ D / pixel)⌉."""
    size_mm = float(np.max(np.linalg.norm(crystal.axes_angstrom, axis=1) * crystal.cells)) * 1e-7
    fringe_mm = beam.wavelength_angstrom * 1e-7 * detector.distance_mm / detector.pixel_mm
    return min(_MOST_OVERSAMPLE, max(1, int(np.ceil(3 * size_mm / fringe_mm))))


def in_blocks(crystal: Crystal, block_um: float) -> tuple[Crystal, float]:
    """Return the mosaic blocks of a crystal, at most `block_um` along each edge, and their number.

    Blocks scatter independently. A crystal of micrometres has peaks far narrower than any grid of
    pixels, wavelengths and domains can sample.
    """
    edges_um = np.linalg.norm(crystal.axes_angstrom, axis=1) * crystal.cells * 1e-4
    shrink = np.minimum(1.0, block_um / edges_um)
    return replace(crystal, cells=crystal.cells * shrink), float(1 / np.prod(shrink))


def pixel_image(
    crystal: Crystal,
    beam: Beam,
    detector: Detector,
    intensities: NDArray[np.float32],
    *,
    lattice: str = "gauss",
    sources: NDArray[np.float64] | None = None,
    domains: NDArray[np.float64] | None = None,
    oversample: int | None = None,
    layers: int = 1,
) -> NDArray[np.float64]:
    """Return the expected Bragg photons in each pixel.

    Parameters
    ----------
    crystal : Crystal
        The square lattice factor rounds its cells to whole numbers.
    intensities : float32, (2 h_max + 1, 2 k_max + 1, 2 l_max + 1)
        As for :func:`sweeper.simulate.crystal.find_spots`.
    lattice : {"square", "round", "gauss", "tophat"}
    sources : float64, (n, 5), optional
        As :func:`sources_of` gives them; by default only the beam's mean direction and wavelength.
    domains : float64, (n, 3, 3), optional
        As :func:`mosaic_domains` gives them; by default the unrotated crystal.
    oversample : int, optional
        Sub-pixels along the edge of a pixel; by default :func:`oversample_of`.
    layers : int
        Layers of the sensor: photons that are absorbed deeper land farther out (parallax).

    Returns
    -------
    float64, (size, size)
    """
    from sweeper.simulate import _pixel_kernels

    sources = sources_of(beam) if sources is None else sources
    domains = crystal.axes_angstrom[np.newaxis] if domains is None else domains
    finest = detector.finest_inverse_d(float(sources[:, 3].min())) * 1.1
    stol = np.linspace(0.0, finest / 2, _WILSON_STEPS)
    depth = np.linspace(0.0, detector.sensor_mm, layers + 1)
    absorbs = detector.sensor_mm > 0
    image: NDArray[np.float64] = _pixel_kernels.sum_of_pixels(
        detector.size,
        *detector.centre_px,
        detector.pixel_mm,
        detector.distance_mm,
        np.column_stack([depth[:-1], depth[1:]]) if absorbs else np.zeros((1, 2)),
        detector.attenuation_per_mm if absorbs else 0.0,
        oversample or oversample_of(crystal, beam, detector),
        np.ascontiguousarray(sources),
        np.ascontiguousarray(domains),
        np.ascontiguousarray(np.linalg.inv(domains).transpose(0, 2, 1)),
        np.maximum(1.0, np.rint(crystal.cells)) if lattice == "square" else crystal.cells,
        LATTICES.index(lattice),
        intensities,
        CLASSICAL_RADIUS_SQUARED_M2 * beam.fluence_photons_per_m2 * wilson_sum(stol, crystal.b_factor_a2),
        stol[1],
        beam.polarisation,
    )
    return image


def _normal_grid(sigma: float, steps: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return evenly spaced values to three standard deviations, and their weights."""
    if sigma == 0 or steps == 1:
        return np.zeros(1), np.ones(1)
    x = np.linspace(-_REACH_SIGMA, _REACH_SIGMA, steps)
    weights = np.exp(-0.5 * x**2)
    return sigma * x, weights / weights.sum()


def _unit(angle_x: float, angle_y: float) -> tuple[float, float, float]:
    ray = np.array([np.tan(angle_x), np.tan(angle_y), 1.0])
    x, y, z = ray / np.linalg.norm(ray)
    return float(x), float(y), float(z)
