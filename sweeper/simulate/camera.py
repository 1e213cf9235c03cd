"""The detector's electronics: expected photons to counts, in nanoBragg's order of noises."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SATURATION_ADU = 65535
_FWHM_PER_SIGMA = 2.3548200450309493


@dataclass(frozen=True)
class Camera:
    """An integrating detector.

    Attributes
    ----------
    point_spread_px : float
        Full width at half maximum of the Gaussian point spread, in pixels: it shrinks with the
        pixels, so that patterns look alike at any size.
    calibration : float
        Standard deviation of what is left of the pixels' sensitivities after flat-fielding.
    gain_adu_per_photon, offset_adu, read_noise_adu : float
    zingers_per_frame : float
        Mean number of pixels hit by cosmic rays and radioactivity in an exposure.
    zinger_adu : float
        Mean of the exponential distribution of a hit's counts.
    """

    point_spread_px: float = 1.5
    calibration: float = 0.01
    gain_adu_per_photon: float = 1.0
    offset_adu: float = 40.0
    read_noise_adu: float = 3.0
    zingers_per_frame: float = 12.0
    zinger_adu: float = 60.0


@lru_cache(maxsize=2)
def calibration_map(seed: int, size: int, spread: float) -> NDArray[np.float32]:
    """Sensitivity of each pixel, 1 + `spread`·normal, the same for all frames of a `seed`; (size, size)."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(102,)))
    sensitivity = (1 + spread * rng.standard_normal((size, size), dtype=np.float32)).astype(np.float32)
    sensitivity = np.maximum(sensitivity, np.float32(0))
    sensitivity.flags.writeable = False
    return sensitivity


def count_photons(expected: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Photons that arrive where `expected` are: Poisson, the same shape."""
    return rng.poisson(expected).astype(np.float64)


def spread_points(photons: NDArray[np.float64], fwhm_px: float) -> NDArray[np.float64]:
    """`photons` through a Gaussian point spread; what leaves the edge is reflected, so that none is lost."""
    if fwhm_px == 0:
        return photons
    from scipy.ndimage import gaussian_filter

    blurred: NDArray[np.float64] = gaussian_filter(photons, fwhm_px / _FWHM_PER_SIGMA, mode="reflect")
    return blurred


def add_zingers(signal: NDArray[np.float64], camera: Camera, rng: np.random.Generator) -> NDArray[np.float64]:
    """`signal` with hits of single pixels: the isolated dots of a frame without X-rays."""
    hits = rng.poisson(camera.zingers_per_frame)
    places = rng.integers(0, signal.size, hits)
    np.add.at(signal.reshape(-1), places, rng.exponential(camera.zinger_adu, hits))
    return signal


def digitise(
    expected: NDArray[np.float64], camera: Camera, seed: int, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Expected photons to counts: calibration → Poisson → point spread → gain, offset, readout → clip.

    Parameters
    ----------
    expected : float64, (size, size)
        All zero without X-rays: what is left is the detector's own noise.
    seed : int
        Of the detector: names its calibration.

    Returns
    -------
    uint16, (size, size)
    """
    if expected.any():
        sensitivity = calibration_map(seed, expected.shape[0], camera.calibration)
        photons = count_photons(expected * sensitivity, rng)
        signal = camera.gain_adu_per_photon * spread_points(photons, camera.point_spread_px)
    else:
        signal = np.zeros_like(expected)
    signal += camera.offset_adu
    signal += camera.read_noise_adu * rng.standard_normal(expected.shape, dtype=np.float32)
    signal = add_zingers(signal, camera, rng)
    return np.clip(np.rint(signal), 0, SATURATION_ADU).astype(np.uint16)
